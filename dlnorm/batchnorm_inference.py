"""Batch norm after training: exact statistics instead of running ones, and no layer at all.

Running averages remember batches of weights that have changed since. Once the weights are final,
a pass over the training set gives the statistics that test mode should use; and as test mode is
then an affine map with constant entries, the layer before it can absorb it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.standardize import standard_deviation


def population_statistics(means: Array, variances: Array, m: int) -> tuple[Array, Array]:
    r"""Mean and variance of the population that the batches came from.

    .. math:: \mathrm{E}[x] = \mathrm{E}_B[\mu_B], \qquad
        \mathrm{Var}[x] = \frac{m}{m - 1} \, \mathrm{E}_B[\sigma_B^2]

    with the average over batches for :math:`\mathrm{E}_B`.

    Parameters
    ----------
    means, variances : ndarray, shape (K, D)
        Mean and biased variance of each feature in each of K batches, one row a batch: what
        batch norm computes in train mode. All with the same weights, or it is no population.
    m : int
        How many entries each statistic ran over, the same in every batch: N, or N * H * W for
        images; at least 2.

    Returns
    -------
    mean, var : ndarray, shape (D,), the dtype of `means`
        For test mode, as ``running_mean`` and ``running_var``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, is not finite, or a variance is
        negative.

    Notes
    -----
    What is estimated, exactly. If the m entries of a batch are independent draws, both results
    are unbiased for the mean and the variance of what they are drawn from. If batches are drawn
    without replacement from a finite training set of M entries, as in an epoch of shuffled
    batches, they are unbiased for the mean of the set and for its variance with divisor M - 1.
    So only the average over all shuffles is exact, not every epoch: the means of the batches of
    one epoch average to the mean of the set, but their variances do not know how far apart those
    means are.

    For images the m = N * H * W entries of a batch are not independent, because neighboring
    pixels are alike: the factor m / (m - 1) is then too small or too large a correction.

    References
    ----------
    Ioffe & Szegedy (2015), Algorithm 2, step 10; book, equations ``bn-unbiased`` and
    ``bn-unbiased-shuffled``.

    Examples
    --------
    >>> means, variances = np.array([[1.0], [3.0]]), np.array([[4.0], [2.0]])
    >>> population_statistics(means, variances, m=4)
    (array([2.]), array([4.]))
    """
    means = _validate.finite("means", _validate.array("means", means, "K, D"))
    variances = _validate.finite("variances", _validate.array("variances", variances, "K, D"))
    _validate.shape("variances", variances, means.shape)
    if (variances.real < 0).any():
        raise ValueError(f"variances must not be negative, got {variances.real.min():g}")
    if not _validate.number("m", m, 2, np.inf).is_integer():
        raise ValueError(f"m must be a whole number, got {m}")
    exact = np.result_type(means, variances, np.float64)  # there may be thousands of batches
    mean = means.mean(axis=0, dtype=exact)
    var = m / (m - 1) * variances.mean(axis=0, dtype=exact)
    dtype = exact if np.iscomplexobj(var) else means.dtype
    return mean.astype(dtype), var.astype(dtype)


def fold_batchnorm(
    W: Array,
    b: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    eps: float = 1e-5,
) -> tuple[Array, Array]:
    r"""Absorb test-mode batch norm into the linear or convolutional layer before it.

    .. math:: W'_{\cdot j} = \frac{\gamma_j}{\sqrt{V_j + \epsilon}} \, W_{\cdot j}, \qquad
        b'_j = \frac{\gamma_j}{\sqrt{V_j + \epsilon}} \, (b_j - E_j) + \beta_j

    so that the layer with W' and b' gives what the layer with W and b, and batch norm after it,
    gave together.

    Parameters
    ----------
    W : ndarray, shape (D_in, D_out) or (F, C, kH, kW)
        The weights of a linear layer, one unit a column, or the kernels of a convolution, one
        filter along the first axis. float32 or float64; never changed.
    b : ndarray, shape (D_out,) or (F,)
        The layer's bias; zeros if it has none.
    gamma, beta, running_mean, running_var : ndarray, shape of b
        Of the batch norm that comes after the layer. For kernels (1, F, 1, 1) will also do.
    eps : float
        The same as in the layer that is folded.

    Returns
    -------
    W, b : ndarray, the shapes of `W` and `b`, W's dtype

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, is not finite, or a variance is
        negative.

    Notes
    -----
    Nothing may stand between the two layers, no activation and no dropout that is on. A batch
    norm *before* a linear layer can be absorbed as well, but not one before a convolution with
    zero padding: the zeros of the border are put in after it.

    References
    ----------
    Ioffe & Szegedy (2015), Algorithm 2, step 11, and Section 3.2; book, equation ``bn-test``.

    Examples
    --------
    >>> one = np.ones(1)
    >>> W, b = fold_batchnorm(np.array([[6.0]]), 5 * one, 2 * one, one, 3 * one, 4 * one, eps=0.0)
    >>> W, b
    (array([[6.]]), array([3.]))
    """
    W = _validate.finite("W", _validate.array("W", W))
    if W.ndim not in (2, 4):
        raise ValueError(f"W must have shape (D_in, D_out) or (F, C, kH, kW), got shape {W.shape}")
    units = W.shape[1] if W.ndim == 2 else W.shape[0]
    b = _validate.shape("b", _validate.array("b", b), (units,))
    bias = _one_a_unit("b", b, W, units)
    scale = _one_a_unit("gamma", gamma, W, units)
    shift = _one_a_unit("beta", beta, W, units)
    mean = _one_a_unit("running_mean", running_mean, W, units)
    var = _one_a_unit("running_var", running_var, W, units)
    if (var.real < 0).any():
        raise ValueError(f"running_var must not be negative, got {var.real.min():g}")
    eps = _validate.number("eps", eps, 0, np.inf)
    scale = scale / standard_deviation(var, eps)
    wide = scale if W.ndim == 2 else scale.reshape(-1, 1, 1, 1)
    return W * wide, (bias - mean) * scale + shift


def _one_a_unit(name: str, value: Any, W: Array, units: int) -> Array:
    """Return a parameter with one entry a unit as a copy of shape (units,), in W's dtype."""
    value = _validate.array(name, value)
    allowed = ((units,),) if W.ndim == 2 else ((units,), (1, units, 1, 1))
    if value.shape not in allowed:
        raise ValueError(
            f"{name} must have shape {' or '.join(map(str, allowed))} to match W of shape "
            f"{W.shape}, got {value.shape}"
        )
    dtype = np.result_type(W, value) if np.iscomplexobj(value) else W.dtype
    with np.errstate(over="ignore"):  # reported in the next line, with the name
        cast: Array = value.astype(dtype)
    _validate.finite(name, value, because_of=cast)
    return cast.reshape(units)
