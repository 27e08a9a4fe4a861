"""Three relatives of batch norm: mean-only, batch renormalization and ghost batches.

Each changes one thing about `dlnorm.batchnorm` in train mode and nothing in test mode. Each takes
(N, D), and (N, C, H, W) with statistics over N, H and W.
"""

from __future__ import annotations

from typing import NamedTuple, NotRequired

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.batchnorm import (
    FEATURE_AXIS,
    BatchNormCache,
    BatchNormParam,
    _averaged_axes,
    _forward,
    _remember,
    _running,
    _settings,
    batchnorm_backward,
)
from dlnorm.standardize import (
    scale_shift,
    scale_shift_backward,
    standard_deviation,
    standardize,
    standardize_gradient,
)


class BatchRenormParam(BatchNormParam):
    """The settings and the memory of a batch-renorm layer; `mode` is required."""

    r_max: NotRequired[float]
    d_max: NotRequired[float]


class GhostBatchNormParam(BatchNormParam):
    """The settings and the memory of a ghost-batch-norm layer; `mode` is required."""

    ghost_size: NotRequired[int]


class MeanOnlyCache(NamedTuple):
    """What the backward pass needs: no array at all."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    beta_shape: tuple[int, ...]
    mode: str


class BatchRenormCache(NamedTuple):
    """What the backward pass needs: batch norm's cache, and the correction it was given."""

    batch: BatchNormCache
    r: Array | float
    d: Array | float


# ---------------------------------------------------------------- mean only


def meanonly_batchnorm_forward(
    x: Array, beta: Array, bn_param: BatchNormParam
) -> tuple[Array, MeanOnlyCache]:
    r"""Mean-only batch norm: subtract the batch's mean, leave the scale as it is.

    .. math:: y = x - \mu + \beta

    with the batch's mean while training and the running one at test time.

    Parameters
    ----------
    x : ndarray, shape (N, D) or (N, C, H, W)
        float32 or float64; never changed.
    beta : ndarray, shape (D,), (C,) or (1, C, 1, 1)
        Shift of each feature; there is no gamma, because weight norm's g has that part.
    bn_param : dict
        ``mode``, ``momentum`` and ``running_mean``, as for `batchnorm_forward`.

    Returns
    -------
    out : ndarray, shape and dtype of x
    cache : MeanOnlyCache

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or a key is missing.

    Notes
    -----
    A bias in the linear layer before it would be subtracted again: beta is the bias.

    References
    ----------
    Salimans & Kingma (2016), Section 4; book, equation ``meanonly-forward``.

    Examples
    --------
    >>> bn_param = {"mode": "train"}
    >>> meanonly_batchnorm_forward(np.array([[1.0], [3.0]]), np.array([5.0]), bn_param)[0]
    array([[4.],
           [6.]])
    >>> bn_param["running_mean"]
    array([0.2])
    """
    x = _batch(x)
    mode, _, momentum = _settings(bn_param)
    wide_beta = _validate.per_feature("beta", beta, x, FEATURE_AXIS)
    running_mean = _running("running_mean", bn_param, x, start=0.0)
    axes = _averaged_axes(x)

    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with x's name
        mean = x.mean(axis=axes, keepdims=True) if mode == "train" else running_mean
        centered = x - mean
        if mode == "train":
            rounding = centered.mean(axis=axes, keepdims=True)  # see standardize
            centered -= rounding
            mean += rounding
    _validate.finite("x", x, because_of=centered)
    if mode == "train":
        _remember("running_mean", bn_param, running_mean, mean, momentum)
    return centered + wide_beta, MeanOnlyCache(x.shape, axes, beta.shape, mode)


def meanonly_batchnorm_backward(dout: Array, cache: MeanOnlyCache) -> tuple[Array, Array]:
    r"""Gradients of `meanonly_batchnorm_forward`: the gradient is centered, as x was.

    .. math:: dx = dy - \overline{dy}

    Parameters
    ----------
    dout : ndarray, shape of x
    cache : MeanOnlyCache

    Returns
    -------
    dx : ndarray, shape of x
        At test time, where the mean is a constant, dout itself.
    dbeta : ndarray, beta's shape

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Salimans & Kingma (2016), Section 4; book, equation ``meanonly-backward``.

    Examples
    --------
    >>> x = np.array([[1.0], [3.0]])
    >>> _, cache = meanonly_batchnorm_forward(x, np.zeros(1), {"mode": "train"})
    >>> meanonly_batchnorm_backward(np.array([[1.0], [2.0]]), cache)
    (array([[-0.5],
           [ 0.5]]), array([3.]))
    """
    _validate.cache(cache, MeanOnlyCache, "meanonly_batchnorm_forward")
    dout = _validate.upstream("dout", dout, cache.shape)
    dbeta = dout.sum(axis=cache.axes).reshape(cache.beta_shape)
    if cache.mode == "test":
        return dout.copy(), dbeta
    return dout - dout.mean(axis=cache.axes, keepdims=True), dbeta


# ---------------------------------------------------------------- batch renormalization


def batch_renorm_forward(
    x: Array, gamma: Array, beta: Array, bn_param: BatchRenormParam
) -> tuple[Array, BatchRenormCache]:
    r"""Batch renormalization: batch norm, corrected toward what test mode would give.

    .. math:: y = \gamma \left(\frac{x - \mu_B}{\sigma_B} \, r + d\right) + \beta, \qquad
        r = \mathrm{clip}\!\left(\frac{\sigma_B}{\sigma}, \frac{1}{r_{\max}}, r_{\max}\right), \quad
        d = \mathrm{clip}\!\left(\frac{\mu_B - \mu}{\sigma}, -d_{\max}, d_{\max}\right)

    where the index B marks the batch's mean and its sqrt(var + eps), and no index the running ones
    before this batch is added to them. r and d are constants of the backward pass.

    Parameters
    ----------
    x : ndarray, shape (N, D) or (N, C, H, W)
        float32 or float64; never changed.
    gamma, beta : ndarray, shape (D,), (C,) or (1, C, 1, 1)
    bn_param : dict
        As for `batchnorm_forward`, and

        - ``r_max``: at least 1; default 3.
        - ``d_max``: at least 0; default 5.

    Returns
    -------
    out : ndarray, shape and dtype of x
    cache : BatchRenormCache

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or a key is missing.

    Notes
    -----
    With r_max = 1 and d_max = 0 this is batch norm. Where neither limit is reached the output is
    that of test mode with the running statistics; the gradient is not, it still flows through the
    batch's. The paper starts as batch norm and lets the limits grow to 3 and 5 while it trains.

    The memory is batch norm's own, an average of variances, so that test mode is
    `batchnorm_forward`'s; the paper averages sigma_B itself.

    References
    ----------
    Ioffe (2017), Algorithm 1; book, equation ``batch-renorm``.

    Examples
    --------
    >>> bn_param = {"mode": "train", "eps": 0.0, "running_mean": np.zeros(1)}
    >>> bn_param["running_var"] = np.array([4.0])
    >>> batch_renorm_forward(np.array([[1.0], [5.0]]), np.ones(1), np.zeros(1), bn_param)[0]
    array([[0.5],
           [2.5]])
    """
    x = _batch(x)
    mode, eps, momentum = _settings(bn_param)
    r_max = _validate.number("bn_param['r_max']", bn_param.get("r_max", 3.0), 1, np.inf)
    d_max = _validate.number("bn_param['d_max']", bn_param.get("d_max", 5.0), 0, np.inf)
    if mode == "test":
        out, batch = _forward(x, gamma, beta, bn_param)
        return out, BatchRenormCache(batch, 1.0, 0.0)

    wide_gamma = _validate.per_feature("gamma", gamma, x, FEATURE_AXIS)
    wide_beta = _validate.per_feature("beta", beta, x, FEATURE_AXIS)
    running_mean = _running("running_mean", bn_param, x, start=0.0)
    running_var = _running("running_var", bn_param, x, start=1.0)
    sigma = standard_deviation(running_var, eps)
    axes = _averaged_axes(x)
    x_hat, stats = standardize(x, axes, eps)

    # Real parts only: to the complex step, too, r and d are constants. The mean of differences,
    # not the difference of means, which two large means would leave few digits.
    r = np.clip((stats.std / sigma).real, 1 / r_max, r_max)
    shift = (x - running_mean).mean(axis=axes, keepdims=True)
    d = np.clip((shift / sigma).real, -d_max, d_max)
    out = scale_shift(r * x_hat + d, wide_gamma, wide_beta)

    _remember("running_mean", bn_param, running_mean, stats.mean, momentum)
    _remember("running_var", bn_param, running_var, stats.var, momentum)
    return out, BatchRenormCache(BatchNormCache(stats, wide_gamma, gamma.shape, mode), r, d)


def batch_renorm_backward(dout: Array, cache: BatchRenormCache) -> tuple[Array, Array, Array]:
    r"""Gradients of `batch_renorm_forward`: batch norm's, with gamma times r for gamma.

    .. math:: dx = r \, dx_{\mathrm{BN}}, \qquad d\gamma = r \, d\gamma_{\mathrm{BN}} + d \, d\beta

    Parameters
    ----------
    dout : ndarray, shape of x
    cache : BatchRenormCache
        From the forward pass, in either mode.

    Returns
    -------
    dx : ndarray, shape of x
    dgamma, dbeta : ndarray, gamma's shape

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Ioffe (2017), Section 3; book, equation ``batch-renorm-backward``.

    Examples
    --------
    >>> x = np.array([[1.0], [2.0], [6.0]])
    >>> _, cache = batch_renorm_forward(x, np.ones(1), np.zeros(1), {"mode": "train"})
    >>> dx, dgamma, dbeta = batch_renorm_backward(np.ones((3, 1)), cache)
    >>> dbeta
    array([3.])
    """
    _validate.cache(cache, BatchRenormCache, "batch_renorm_forward")
    dx, dgamma, dbeta = batchnorm_backward(dout, cache.batch)
    if cache.batch.mode == "test":
        return dx, dgamma, dbeta
    r, d = (np.reshape(factor, dgamma.shape) for factor in (cache.r, cache.d))
    return cache.r * dx, r * dgamma + d * dbeta, dbeta


# ---------------------------------------------------------------- ghost batches


def ghost_batchnorm_forward(
    x: Array, gamma: Array, beta: Array, bn_param: GhostBatchNormParam
) -> tuple[Array, BatchNormCache]:
    """Ghost batch norm: a large batch, normalized in small ones of `ghost_size` samples each.

    Samples 0 to ghost_size - 1 are the first ghost batch, the next ghost_size samples the second,
    and so on: each is standardized by its own statistics. gamma and beta are shared.

    Parameters
    ----------
    x : ndarray, shape (N, D) or (N, C, H, W)
        float32 or float64; never changed.
    gamma, beta : ndarray, shape (D,), (C,) or (1, C, 1, 1)
    bn_param : dict
        As for `batchnorm_forward`, and

        - ``ghost_size``: samples in a ghost batch, a divisor of N; required in train mode.

    Returns
    -------
    out : ndarray, shape and dtype of x
    cache : BatchNormCache

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or a key is missing.

    Notes
    -----
    The running statistics take one step of the moving average for every ghost batch, in order: all
    is as if `batchnorm_forward` had been called on one ghost batch after another. So for K ghost
    batches the old value keeps a weight of ``momentum**K``.

    References
    ----------
    Hoffer, Hubara & Soudry (2017), "Train longer, generalize better", Algorithm 1; book, equation
    ``ghost-batches``.

    Examples
    --------
    >>> x = np.array([[1.0], [3.0], [10.0], [30.0]])
    >>> bn_param = {"mode": "train", "eps": 0.0, "ghost_size": 2}
    >>> ghost_batchnorm_forward(x, np.ones(1), np.zeros(1), bn_param)[0].ravel()
    array([-1.,  1., -1.,  1.])
    >>> bn_param["running_mean"].round(12)  # 0.9 * (0.1 * 2) + 0.1 * 20
    array([2.18])
    """
    x = _batch(x)
    mode, eps, momentum = _settings(bn_param)
    if mode == "test":
        return _forward(x, gamma, beta, bn_param)

    ghosts = x.reshape(-1, _ghost_size(x, bn_param), *x.shape[1:])
    wide_gamma = _validate.per_feature("gamma", gamma, x, FEATURE_AXIS)
    wide_beta = _validate.per_feature("beta", beta, x, FEATURE_AXIS)
    running_mean = _running("running_mean", bn_param, x, start=0.0)
    running_var = _running("running_var", bn_param, x, start=1.0)
    axes = tuple(axis for axis in range(1, ghosts.ndim) if axis != 1 + FEATURE_AXIS)
    x_hat, stats = standardize(ghosts, axes, eps)
    for mean, var in zip(stats.mean, stats.var, strict=True):
        running_mean = _remember("running_mean", bn_param, running_mean, mean, momentum)
        running_var = _remember("running_var", bn_param, running_var, var, momentum)
    out = scale_shift(x_hat, wide_gamma, wide_beta).reshape(x.shape)
    return out, BatchNormCache(stats, wide_gamma[np.newaxis], gamma.shape, mode)


def ghost_batchnorm_backward(dout: Array, cache: BatchNormCache) -> tuple[Array, Array, Array]:
    """Gradients of `ghost_batchnorm_forward`: batch norm's closed form in each ghost batch.

    Parameters
    ----------
    dout : ndarray, shape of x
    cache : BatchNormCache
        From the forward pass, in either mode.

    Returns
    -------
    dx : ndarray, shape of x
    dgamma, dbeta : ndarray, gamma's shape
        Sums over all samples, not one a ghost batch.

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Book, equation ``bn-backward-closed``, for each ghost batch.

    Examples
    --------
    >>> x = np.array([[1.0], [3.0], [10.0], [30.0]])
    >>> bn_param = {"mode": "train", "ghost_size": 2}
    >>> _, cache = ghost_batchnorm_forward(x, np.ones(1), np.zeros(1), bn_param)
    >>> dx, dgamma, dbeta = ghost_batchnorm_backward(np.ones((4, 1)), cache)
    >>> dbeta
    array([4.])
    """
    _validate.cache(cache, BatchNormCache, "ghost_batchnorm_forward")
    if cache.mode == "test":
        return batchnorm_backward(dout, cache)
    ghosts, size, *rest = cache.stats.x_hat.shape
    dout = _validate.upstream("dout", dout, (ghosts * size, *rest))
    dx_hat, *dparameters = scale_shift_backward(
        dout.reshape(ghosts, size, *rest), cache.stats.x_hat, cache.gamma
    )
    dx = standardize_gradient(dx_hat, cache.stats)
    dgamma, dbeta = (d.reshape(cache.gamma_shape) for d in dparameters)
    return dx.reshape(dout.shape), dgamma, dbeta


# ---------------------------------------------------------------- shared


def _batch(x: Array) -> Array:
    """Return x if it is a batch of samples or of images."""
    if _validate.array("x", x).ndim not in (2, 4):
        raise ValueError(f"x must have shape (N, D) or (N, C, H, W), got shape {x.shape}")
    return x


def _ghost_size(x: Array, bn_param: GhostBatchNormParam) -> int:
    """Return the samples of a ghost batch."""
    value = _validate.required("bn_param", bn_param, "ghost_size")
    size = _validate.number("bn_param['ghost_size']", value, 1, np.inf)
    if not size.is_integer() or len(x) % size:
        raise ValueError(
            f"bn_param['ghost_size'] must be a divisor of the batch size {len(x)}, got {value}"
        )
    return int(size)
