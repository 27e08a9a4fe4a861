"""The reference operations of the course, in NumPy: short, exact, checked."""

from dlnorm.batchnorm import (
    BatchNormParam,
    batchnorm_backward,
    batchnorm_backward_staged,
    batchnorm_forward,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
)
from dlnorm.batchnorm_inference import (
    fold_batchnorm,
    population_statistics,
)
from dlnorm.batchnorm_variants import (
    BatchRenormParam,
    GhostBatchNormParam,
    batch_renorm_backward,
    batch_renorm_forward,
    ghost_batchnorm_backward,
    ghost_batchnorm_forward,
    meanonly_batchnorm_backward,
    meanonly_batchnorm_forward,
)
from dlnorm.cosinenorm import (
    cosinenorm_backward,
    cosinenorm_forward,
)
from dlnorm.dropout import (
    DropoutParam,
    classical_dropout_backward,
    classical_dropout_forward,
    dropout_backward,
    dropout_forward,
)
from dlnorm.gradcheck import complex_step_gradient, numeric_gradient, relative_error
from dlnorm.groupnorm import (
    GroupNormParam,
    spatial_groupnorm_backward,
    spatial_groupnorm_forward,
    spatial_instancenorm_backward,
    spatial_instancenorm_forward,
)
from dlnorm.layernorm import (
    LayerNormParam,
    layernorm_backward,
    layernorm_forward,
    layernorm_rnn_backward,
    layernorm_rnn_forward,
    layernorm_rnn_step_backward,
    layernorm_rnn_step_forward,
    rmsnorm_backward,
    rmsnorm_forward,
    spatial_layernorm_backward,
    spatial_layernorm_forward,
)
from dlnorm.noise import (
    UniformDropoutParam,
    gaussian_dropout_backward,
    gaussian_dropout_forward,
    mc_dropout,
    uniform_dropout_backward,
    uniform_dropout_forward,
)
from dlnorm.penalties import (
    l1_penalty,
    l2_penalty,
    maxnorm_project,
)
from dlnorm.standardize import standardize, standardize_backward
from dlnorm.verify import verify
from dlnorm.weightnorm import (
    weightnorm_backward,
    weightnorm_exp_backward,
    weightnorm_exp_forward,
    weightnorm_forward,
    weightnorm_init,
)
from dlnorm.whitening import (
    pca_whiten,
    zca_whiten_backward,
    zca_whiten_forward,
)

__all__ = [
    "BatchNormParam",
    "BatchRenormParam",
    "DropoutParam",
    "GhostBatchNormParam",
    "GroupNormParam",
    "LayerNormParam",
    "UniformDropoutParam",
    "batch_renorm_backward",
    "batch_renorm_forward",
    "batchnorm_backward",
    "batchnorm_backward_staged",
    "batchnorm_forward",
    "classical_dropout_backward",
    "classical_dropout_forward",
    "complex_step_gradient",
    "cosinenorm_backward",
    "cosinenorm_forward",
    "dropout_backward",
    "dropout_forward",
    "fold_batchnorm",
    "gaussian_dropout_backward",
    "gaussian_dropout_forward",
    "ghost_batchnorm_backward",
    "ghost_batchnorm_forward",
    "l1_penalty",
    "l2_penalty",
    "layernorm_backward",
    "layernorm_forward",
    "layernorm_rnn_backward",
    "layernorm_rnn_forward",
    "layernorm_rnn_step_backward",
    "layernorm_rnn_step_forward",
    "maxnorm_project",
    "mc_dropout",
    "meanonly_batchnorm_backward",
    "meanonly_batchnorm_forward",
    "numeric_gradient",
    "pca_whiten",
    "population_statistics",
    "relative_error",
    "rmsnorm_backward",
    "rmsnorm_forward",
    "spatial_batchnorm_backward",
    "spatial_batchnorm_forward",
    "spatial_groupnorm_backward",
    "spatial_groupnorm_forward",
    "spatial_instancenorm_backward",
    "spatial_instancenorm_forward",
    "spatial_layernorm_backward",
    "spatial_layernorm_forward",
    "standardize",
    "standardize_backward",
    "uniform_dropout_backward",
    "uniform_dropout_forward",
    "verify",
    "weightnorm_backward",
    "weightnorm_exp_backward",
    "weightnorm_exp_forward",
    "weightnorm_forward",
    "weightnorm_init",
    "zca_whiten_backward",
    "zca_whiten_forward",
]
