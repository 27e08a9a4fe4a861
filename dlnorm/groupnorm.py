"""Group norm for (N, C, H, W), and instance norm as its case of one channel a group.

The arithmetic is `dlnorm.standardize`. What is added here is a view: the channel axis is split
in two, groups and channels of a group, and everything happens in (N, G, C/G, H, W). The
statistics run over the last three axes; gamma and beta still have one entry a channel.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.layernorm import eps_of
from dlnorm.standardize import (
    StandardizeCache,
    scale_shift,
    scale_shift_backward,
    standardize,
    standardize_gradient,
)

FEATURE_AXIS = 1
GROUP_AXES = (2, 3, 4)  # of (N, G, C/G, H, W)


class GroupNormParam(TypedDict):
    """The setting of a group or an instance norm: there is only eps, and nothing is remembered."""

    eps: NotRequired[float]


class GroupNormCache(NamedTuple):
    """What the backward pass needs, in (N, G, C/G, H, W); one array of x's size, in `stats`."""

    stats: StandardizeCache
    gamma: Array
    gamma_shape: tuple[int, ...]


def spatial_groupnorm_forward(
    x: Array, gamma: Array, beta: Array, G: int, gn_param: GroupNormParam
) -> tuple[Array, GroupNormCache]:
    r"""Group normalization: each sample's channels in G groups, each group standardized.

    .. math:: y_{nchw} = \gamma_c \,
        \frac{x_{nchw} - \mu_{ng}}{\sqrt{\sigma_{ng}^2 + \epsilon}} + \beta_c,
        \qquad g = \left\lfloor \frac{c}{C / G} \right\rfloor

    with the mean and variance over the C/G channels of group g, all at once, and over H and W.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64; never changed.
    gamma, beta : ndarray, shape (C,) or (1, C, 1, 1)
        Scale and shift of each channel; both of the same shape.
    G : int
        The number of groups, a divisor of C. Neighboring channels share a group.
    gn_param : dict
        - ``eps``: added to the variance inside the root; default 1e-5. In units of x squared.

    Returns
    -------
    out : ndarray, shape (N, C, H, W), x's dtype
    cache : GroupNormCache

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or `x` is not finite.

    Notes
    -----
    G = 1 is layer norm over C, H and W with one gamma a channel; G = C is instance norm.

    References
    ----------
    Wu & He (2018), equations 1, 2, 6 and 7; book, equation ``gn-forward``.

    Examples
    --------
    >>> x = np.array([1.0, 3.0, 10.0, 30.0]).reshape(1, 4, 1, 1)
    >>> out, _ = spatial_groupnorm_forward(x, np.ones(4), np.zeros(4), 2, {"eps": 0.0})
    >>> out.ravel()
    array([-1.,  1., -1.,  1.])
    """
    return _forward(x, gamma, beta, G, eps_of("gn_param", gn_param))


def spatial_groupnorm_backward(dout: Array, cache: GroupNormCache) -> tuple[Array, Array, Array]:
    """Gradients of `spatial_groupnorm_forward`: the closed form within each group.

    Parameters
    ----------
    dout : ndarray, shape (N, C, H, W)
    cache : GroupNormCache

    Returns
    -------
    dx : ndarray, shape (N, C, H, W)
    dgamma, dbeta : ndarray, gamma's shape
        Sums over N, H and W: the axes that share an entry of gamma, not those of the statistics.

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Book, equation ``gn-backward``.

    Examples
    --------
    >>> x = np.arange(24.0).reshape(1, 6, 2, 2)
    >>> _, cache = spatial_groupnorm_forward(x, np.ones(6), np.zeros(6), 3, {})
    >>> dx, dgamma, dbeta = spatial_groupnorm_backward(np.ones_like(x), cache)
    >>> dbeta
    array([4., 4., 4., 4., 4., 4.])
    """
    _validate.cache(cache, GroupNormCache, "a group-norm or instance-norm forward pass")
    x_hat = cache.stats.x_hat
    n, groups, size, h, w = x_hat.shape
    dout = _validate.upstream("dout", dout, (n, groups * size, h, w))
    dx_hat, dgamma, dbeta = scale_shift_backward(dout.reshape(x_hat.shape), x_hat, cache.gamma)
    dx = standardize_gradient(dx_hat, cache.stats).reshape(dout.shape)
    return dx, dgamma.reshape(cache.gamma_shape), dbeta.reshape(cache.gamma_shape)


def spatial_instancenorm_forward(
    x: Array, gamma: Array, beta: Array, in_param: GroupNormParam
) -> tuple[Array, GroupNormCache]:
    r"""Instance normalization: each channel of each sample standardized over H and W.

    .. math:: y_{nchw} = \gamma_c \,
        \frac{x_{nchw} - \mu_{nc}}{\sqrt{\sigma_{nc}^2 + \epsilon}} + \beta_c

    Group norm with as many groups as channels; batch norm as if each sample were a batch alone.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64; never changed.
    gamma, beta : ndarray, shape (C,) or (1, C, 1, 1)
        Scale and shift of each channel; both of the same shape.
    in_param : dict
        - ``eps``: added to the variance inside the root; default 1e-5. In units of x squared.

    Returns
    -------
    out : ndarray, shape (N, C, H, W), x's dtype
    cache : GroupNormCache

    Raises
    ------
    TypeError, ValueError
        As `spatial_groupnorm_forward`.

    Notes
    -----
    With H = W = 1 each entry is its own mean, so ``out`` is beta.

    References
    ----------
    Ulyanov, Vedaldi & Lempitsky (2016), equation 3; Wu & He (2018), equation 5; book, equation
    ``in-forward``.

    Examples
    --------
    >>> x = np.array([1.0, 3.0, 10.0, 30.0]).reshape(1, 2, 1, 2)
    >>> out, _ = spatial_instancenorm_forward(x, np.ones(2), np.zeros(2), {"eps": 0.0})
    >>> out.ravel()  # the contrast of each channel is gone
    array([-1.,  1., -1.,  1.])
    """
    channels = _validate.array("x", x, "N, C, H, W").shape[FEATURE_AXIS]
    return _forward(x, gamma, beta, channels, eps_of("in_param", in_param))


def spatial_instancenorm_backward(dout: Array, cache: GroupNormCache) -> tuple[Array, Array, Array]:
    """Gradients of `spatial_instancenorm_forward`; see `spatial_groupnorm_backward`.

    Parameters
    ----------
    dout : ndarray, shape (N, C, H, W)
    cache : GroupNormCache

    Returns
    -------
    dx : ndarray, shape (N, C, H, W)
    dgamma, dbeta : ndarray, gamma's shape

    Raises
    ------
    TypeError, ValueError
        As `spatial_groupnorm_backward`.

    References
    ----------
    Book, equation ``gn-backward``, with G = C.

    Examples
    --------
    >>> x = np.arange(12.0).reshape(1, 3, 2, 2)
    >>> _, cache = spatial_instancenorm_forward(x, np.ones(3), np.zeros(3), {})
    >>> spatial_instancenorm_backward(np.ones_like(x), cache)[2]
    array([4., 4., 4.])
    """
    return spatial_groupnorm_backward(dout, cache)


def _forward(x: Any, gamma: Any, beta: Any, G: Any, eps: float) -> tuple[Array, GroupNormCache]:
    """Standardize every group, then scale and shift every channel."""
    x = _validate.array("x", x, "N, C, H, W")
    n, channels, h, w = x.shape
    groups = _divisor("G", G, channels)
    grouped = (n, groups, channels // groups, h, w)
    wide_gamma = _validate.per_feature("gamma", gamma, x, FEATURE_AXIS)
    wide_beta = _validate.per_feature("beta", beta, x, FEATURE_AXIS)
    _validate.shape("beta", beta, gamma.shape)

    gamma_of_group = wide_gamma.reshape(1, *grouped[1:3], 1, 1)
    beta_of_group = wide_beta.reshape(1, *grouped[1:3], 1, 1)
    x_hat, stats = standardize(x.reshape(grouped), GROUP_AXES, eps)
    out = scale_shift(x_hat, gamma_of_group, beta_of_group).reshape(x.shape)
    return out, GroupNormCache(stats, gamma_of_group, gamma.shape)


def _divisor(name: str, value: Any, channels: int) -> int:
    """Return `value` as an int if it is one that divides the channels into groups."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < 1 or channels % value:
        divisors = [d for d in range(1, channels + 1) if channels % d == 0]
        raise ValueError(
            f"{name} must divide the {channels} channels of x: one of {divisors}, got {value}"
        )
    return int(value)
