"""Batch normalization for (N, D) and (N, C, H, W).

The arithmetic is `dlnorm.standardize` over every axis but the feature axis.
What is added here: gamma and beta, the running statistics, and test mode.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.standardize import (
    StandardizeCache,
    closed_form,
    scale_shift,
    scale_shift_gradients,
    standard_deviation,
    standardize,
)

MODES = ("train", "test")
FEATURE_AXIS = 1


class BatchNormParam(TypedDict):
    """The settings and the memory of a batch-norm layer; `mode` is required."""

    mode: Literal["train", "test"]
    eps: NotRequired[float]
    momentum: NotRequired[float]
    running_mean: NotRequired[Array]
    running_var: NotRequired[Array]


class BatchNormCache(NamedTuple):
    """What the backward pass needs; one array of x's size, inside `stats`."""

    stats: StandardizeCache
    gamma: Array
    gamma_shape: tuple[int, ...]
    mode: str


def batchnorm_forward(
    x: Array, gamma: Array, beta: Array, bn_param: BatchNormParam
) -> tuple[Array, BatchNormCache]:
    r"""Batch normalization of (N, D): each column standardized over the batch.

    .. math:: y = \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with the batch's mean and biased variance while training and the running ones at test time.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        float32 or float64; never changed.
    gamma, beta : ndarray, shape (D,)
        Scale and shift of each feature.
    bn_param : dict
        - ``mode``: ``"train"`` or ``"test"``; required.
        - ``eps``: added to the variance inside the root; default 1e-5.
        - ``momentum``: how much of the old running value is kept, in [0, 1); default 0.9.
        - ``running_mean``, ``running_var``: shape (D,); start at 0 and 1 when absent.
          In train mode both are replaced by new arrays of x's dtype, in this dict.

    Returns
    -------
    out : ndarray, shape (N, D), x's dtype
    cache : BatchNormCache

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or a key is missing.

    Notes
    -----
    ``running = momentum * running + (1 - momentum) * batch``, with the biased variance. PyTorch's
    ``momentum`` is one minus this one, and it stores the unbiased variance.

    References
    ----------
    Ioffe & Szegedy (2015), Algorithm 1; book, equations ``bn-standardize`` to ``bn-test``.

    Examples
    --------
    >>> bn_param = {"mode": "train", "eps": 0.0}
    >>> x = np.array([[1.0], [3.0]])
    >>> batchnorm_forward(x, np.array([2.0]), np.array([5.0]), bn_param)[0]
    array([[3.],
           [7.]])
    >>> bn_param["running_mean"], bn_param["running_var"]
    (array([0.2]), array([1.]))
    """
    _validate.array("x", x, "N, D")
    return _forward(x, gamma, beta, bn_param)


def batchnorm_backward(dout: Array, cache: BatchNormCache) -> tuple[Array, Array, Array]:
    r"""Gradients of `batchnorm_forward`, in closed form.

    .. math:: dx = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}
        \left(dy - \overline{dy} - \hat x \, \overline{dy \, \hat x}\right)

    Parameters
    ----------
    dout : ndarray, shape (N, D)
    cache : BatchNormCache
        From the forward pass, in either mode.

    Returns
    -------
    dx : ndarray, shape (N, D)
    dgamma, dbeta : ndarray, gamma's shape

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    Notes
    -----
    At test time the statistics are constants, so ``dx = dout * gamma / sqrt(running_var + eps)``.

    References
    ----------
    Book, equations ``bn-backward-gamma``, ``bn-backward-beta`` and ``bn-backward-closed``;
    Ioffe & Szegedy (2015), Section 3, gives the six gradients this form simplifies.

    Examples
    --------
    >>> x = np.array([[1.0], [2.0], [6.0]])
    >>> _, cache = batchnorm_forward(x, np.ones(1), np.zeros(1), {"mode": "train"})
    >>> dx, dgamma, dbeta = batchnorm_backward(np.ones((3, 1)), cache)
    >>> dbeta
    array([3.])
    """
    dout, dgamma, dbeta = _backward_affine(dout, cache)
    scale = cache.gamma / cache.stats.std
    if cache.mode == "test":
        dx = scale * dout
    else:
        m = dout.size // dbeta.size  # the two means are dbeta and dgamma over m
        dx = closed_form(dout, dbeta / m, dgamma / m, cache.stats.x_hat, scale)
    return dx, dgamma.reshape(cache.gamma_shape), dbeta.reshape(cache.gamma_shape)


def batchnorm_backward_staged(dout: Array, cache: BatchNormCache) -> tuple[Array, Array, Array]:
    """Gradients of `batchnorm_forward`, one node of the computational graph at a time.

    The same numbers as `batchnorm_backward`, from the chain rule alone; what the closed form
    is proved against. Train mode only.

    Parameters
    ----------
    dout : ndarray, shape (N, D) or (N, C, H, W)
    cache : BatchNormCache

    Returns
    -------
    dx : ndarray, shape of x
    dgamma, dbeta : ndarray, gamma's shape

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's or from
        test mode.

    References
    ----------
    Ioffe & Szegedy (2015), Section 3, the six displayed gradients; book, equations
    ``bn-stage-x-hat`` to ``bn-stage-x``.

    Examples
    --------
    >>> x, dout = np.array([[1.0], [2.0], [6.0]]), np.array([[1.0], [0.0], [2.0]])
    >>> _, cache = batchnorm_forward(x, np.ones(1), np.zeros(1), {"mode": "train"})
    >>> staged, closed = batchnorm_backward_staged(dout, cache), batchnorm_backward(dout, cache)
    >>> np.allclose(staged[0], closed[0], rtol=0, atol=1e-15)
    True
    """
    _validate.cache(cache, BatchNormCache, "a batch-norm forward pass")
    if cache.mode == "test":
        raise ValueError("cache must come from mode 'train', got a cache from mode 'test'")
    x_hat, _, _, std, axes = cache.stats
    m = x_hat.size // std.size  # how many entries each mean runs over
    centered = x_hat * std

    dout, dgamma, dbeta = _backward_affine(dout, cache)
    # out = gamma * x_hat + beta
    dx_hat = cache.gamma * dout
    # x_hat = centered / std
    dstd = (-dx_hat * centered / std**2).sum(axis=axes, keepdims=True)
    # std = sqrt(var + eps)
    dvar = dstd / (2 * std)
    # var = mean(centered**2), and centered feeds x_hat as well: two branches add up
    dcentered = dx_hat / std + dvar * 2 * centered / m
    # centered = x - mean
    dmean = -dcentered.sum(axis=axes, keepdims=True)
    # mean = mean(x), and x feeds centered as well
    dx = dcentered + dmean / m
    return dx, dgamma.reshape(cache.gamma_shape), dbeta.reshape(cache.gamma_shape)


def spatial_batchnorm_forward(
    x: Array, gamma: Array, beta: Array, bn_param: BatchNormParam
) -> tuple[Array, BatchNormCache]:
    """Batch normalization of images: each channel standardized over N, H and W.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    gamma, beta : ndarray, shape (C,) or (1, C, 1, 1)
    bn_param : dict
        As for `batchnorm_forward`; the running statistics have shape (C,).

    Returns
    -------
    out : ndarray, shape (N, C, H, W), x's dtype
    cache : BatchNormCache

    Raises
    ------
    TypeError, ValueError
        As `batchnorm_forward`.

    References
    ----------
    Ioffe & Szegedy (2015), Section 3.2; book, equation ``bn-spatial``.

    Examples
    --------
    >>> x = np.arange(24.0).reshape(2, 3, 2, 2)
    >>> out, _ = spatial_batchnorm_forward(x, np.ones(3), np.zeros(3), {"mode": "train"})
    >>> bool(np.abs(out.mean(axis=(0, 2, 3))).max() < 1e-15)
    True
    """
    _validate.array("x", x, "N, C, H, W")
    return _forward(x, gamma, beta, bn_param)


def spatial_batchnorm_backward(dout: Array, cache: BatchNormCache) -> tuple[Array, Array, Array]:
    """Gradients of `spatial_batchnorm_forward`; the same closed form over N, H and W.

    Parameters
    ----------
    dout : ndarray, shape (N, C, H, W)
    cache : BatchNormCache

    Returns
    -------
    dx : ndarray, shape (N, C, H, W)
    dgamma, dbeta : ndarray, gamma's shape

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Book, equation ``bn-spatial``.

    Examples
    --------
    >>> x = np.arange(24.0).reshape(2, 3, 2, 2)
    >>> _, cache = spatial_batchnorm_forward(x, np.ones(3), np.zeros(3), {"mode": "train"})
    >>> dx, dgamma, dbeta = spatial_batchnorm_backward(np.ones_like(x), cache)
    >>> dbeta
    array([8., 8., 8.])
    """
    return batchnorm_backward(dout, cache)


def _forward(x: Array, gamma: Any, beta: Any, bn_param: Any) -> tuple[Array, BatchNormCache]:
    """Both shapes: statistics over every axis but the feature axis."""
    mode, eps, momentum = _settings(bn_param)
    wide_gamma = _validate.per_feature("gamma", gamma, x, FEATURE_AXIS)
    wide_beta = _validate.per_feature("beta", beta, x, FEATURE_AXIS)
    axes = _averaged_axes(x)
    running_mean = _running("running_mean", bn_param, x, start=0.0)
    running_var = _running("running_var", bn_param, x, start=1.0)

    if mode == "train":
        x_hat, stats = standardize(x, axes, eps)
        _remember("running_mean", bn_param, running_mean, stats.mean, momentum)
        _remember("running_var", bn_param, running_var, stats.var, momentum)
    else:
        std = standard_deviation(running_var, eps)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below, with x's name
            x_hat = (x - running_mean) / std
        _validate.finite("x", x, because_of=x_hat)
        stats = StandardizeCache(x_hat, running_mean, running_var, std, axes)
    out = scale_shift(x_hat, wide_gamma, wide_beta)
    return out, BatchNormCache(stats, wide_gamma, gamma.shape, mode)


def _settings(bn_param: Any) -> tuple[str, float, float]:
    """Return mode, eps and momentum, checked."""
    mode = _validate.required("bn_param", bn_param, "mode")
    _validate.option("bn_param['mode']", mode, MODES)
    eps = _validate.number("bn_param['eps']", bn_param.get("eps", 1e-5), 0, np.inf)
    momentum = _validate.number("bn_param['momentum']", bn_param.get("momentum", 0.9), 0, 1.0)
    return mode, eps, momentum


def _averaged_axes(x: Array) -> tuple[int, ...]:
    """Every axis but the feature axis."""
    return tuple(axis for axis in range(x.ndim) if axis != FEATURE_AXIS)


def _running(key: str, bn_param: Any, x: Array, start: float) -> Array:
    """Return the running mean or variance, shaped to broadcast; all `start` when absent."""
    value = bn_param.get(key)
    if value is None:
        value = np.full(x.shape[FEATURE_AXIS], start, x.dtype)
    value = _validate.per_feature(f"bn_param['{key}']", value, x, FEATURE_AXIS)
    if key == "running_var" and (value.real < 0).any():
        raise ValueError(f"bn_param['{key}'] must not be negative, got {value.real.min():g}")
    return value


def _remember(key: str, bn_param: Any, old: Array, batch: Array, momentum: float) -> Array:
    """Take a step of the moving average: write it into `bn_param`, and return it to broadcast."""
    # real even in a complex-step derivative, which must leave no trace here
    new: Array = (momentum * old + (1 - momentum) * batch).real
    bn_param[key] = new.reshape(-1)
    return new


def _backward_affine(dout: Any, cache: BatchNormCache) -> tuple[Array, Array, Array]:
    """Return `dout`, checked, and the gradients of gamma and beta, shaped to broadcast."""
    _validate.cache(cache, BatchNormCache, "a batch-norm forward pass")
    x_hat = cache.stats.x_hat
    dout = _validate.upstream("dout", dout, x_hat.shape)
    return dout, *scale_shift_gradients(dout, x_hat, cache.gamma)
