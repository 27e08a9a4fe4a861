"""Small networks in NumPy: layers, a loss, optimizers and a trainer, all of them seeded.

What the experiments train, and plain enough to read in a sitting. A layer is a shell around
`dlnorm`'s functions; a network is a list of layers; one step is forward, loss, backward, step.
Needs the extra ``experiments`` (scikit-learn for its digits, tqdm for the progress bar).
"""

from dlnorm.nn.activations import ReLU, Sigmoid, Tanh
from dlnorm.nn.calibrate import initialize_from_data, recalibrate, statistics
from dlnorm.nn.convolution import Conv2d, Flatten, Reshape
from dlnorm.nn.data import Data, digits
from dlnorm.nn.layer import Layer
from dlnorm.nn.linear import CosineLinear, Linear, WeightNormLinear
from dlnorm.nn.loss import log_softmax, softmax, softmax_cross_entropy
from dlnorm.nn.network import DivergedError, Sequential
from dlnorm.nn.noise import Dropout, GaussianDropout, UniformDropout
from dlnorm.nn.norms import (
    BatchNorm,
    BatchRenorm,
    GhostBatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    MeanOnlyBatchNorm,
    RMSNorm,
)
from dlnorm.nn.optimizers import SGD, Adam, Optimizer
from dlnorm.nn.predict import error_percent, noisy, predict
from dlnorm.nn.recurrent import RNN, LastStep, LayerNormRNN
from dlnorm.nn.trainer import Trainer

__all__ = [
    "RNN",
    "SGD",
    "Adam",
    "BatchNorm",
    "BatchRenorm",
    "Conv2d",
    "CosineLinear",
    "Data",
    "DivergedError",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GhostBatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "LastStep",
    "Layer",
    "LayerNorm",
    "LayerNormRNN",
    "Linear",
    "MeanOnlyBatchNorm",
    "Optimizer",
    "RMSNorm",
    "ReLU",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "Trainer",
    "UniformDropout",
    "WeightNormLinear",
    "digits",
    "error_percent",
    "initialize_from_data",
    "log_softmax",
    "noisy",
    "predict",
    "recalibrate",
    "softmax",
    "softmax_cross_entropy",
    "statistics",
]
