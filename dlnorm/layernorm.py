"""Layer norm and RMS norm: each sample is normalized by its own statistics, never by the batch's.

Layer norm is `dlnorm.standardize` over all the features of a sample: (N, D), images, and the
hidden units of a recurrent step. So there is no mode and no memory: training and test time are
the same function. RMS norm leaves the mean out, and with it half of `standardize`; its few lines
stand here, beside the norm they shorten, because no other norm shares them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.standardize import (
    StandardizeCache,
    scale_shift,
    scale_shift_backward,
    standard_deviation,
    standardize,
    standardize_gradient,
)

FEATURE_AXIS = 1


class LayerNormParam(TypedDict):
    """The setting of a layer norm or an RMS norm: there is only eps, and nothing is remembered."""

    eps: NotRequired[float]


class LayerNormCache(NamedTuple):
    """What the backward pass needs; one array of x's size, inside `stats`."""

    stats: StandardizeCache
    gamma: Array
    gamma_shape: tuple[int, ...]


class RMSNormCache(NamedTuple):
    """What the backward pass needs; one array of x's size."""

    x_hat: Array
    rms: Array
    gamma: Array
    gamma_shape: tuple[int, ...]


class LayerNormRNNStepCache(NamedTuple):
    """What one step back through time needs; `slope` is the derivative of tanh, 1 - h**2."""

    x: Array
    prev_h: Array
    Wx: Array
    Wh: Array
    norm: LayerNormCache
    slope: Array


class LayerNormRNNCache(NamedTuple):
    """The caches of all steps, first step first; they share one copy of Wx and of Wh."""

    steps: tuple[LayerNormRNNStepCache, ...]


# ---------------------------------------------------------------- layer norm


def layernorm_forward(
    x: Array, gamma: Array, beta: Array, ln_param: LayerNormParam
) -> tuple[Array, LayerNormCache]:
    r"""Layer normalization of (N, D): each row standardized over its D features.

    .. math:: y_{nj} = \gamma_j \, \frac{x_{nj} - \mu_n}{\sqrt{\sigma_n^2 + \epsilon}} + \beta_j

    Parameters
    ----------
    x : ndarray, shape (N, D)
        float32 or float64; never changed.
    gamma, beta : ndarray, shape (D,)
        Scale and shift of each feature; both of the same shape.
    ln_param : dict
        - ``eps``: added to the variance inside the root; default 1e-5. In units of x squared.

    Returns
    -------
    out : ndarray, shape (N, D), x's dtype
    cache : LayerNormCache

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or `x` is not finite.

    Notes
    -----
    The statistics run over the features, gamma and beta over the features too, but the gradients
    of gamma and beta are sums over the samples: the two passes use different axes.
    With D = 1 every row is its own mean, so ``out`` is beta.

    References
    ----------
    Ba, Kiros & Hinton (2016), equation 3; book, equation ``ln-forward``.

    Examples
    --------
    >>> x = np.array([[1.0, 3.0], [10.0, 30.0]])
    >>> layernorm_forward(x, np.array([2.0, 2.0]), np.array([5.0, 0.0]), {"eps": 0.0})[0]
    array([[3., 2.],
           [3., 2.]])
    """
    x = _validate.array("x", x, "N, D")
    eps = eps_of("ln_param", ln_param)
    wide_gamma = _validate.per_feature("gamma", gamma, x, FEATURE_AXIS)
    wide_beta = _validate.per_feature("beta", beta, x, FEATURE_AXIS)
    _validate.shape("beta", beta, gamma.shape)
    x_hat, stats = standardize(x, axes=1, eps=eps)
    out = scale_shift(x_hat, wide_gamma, wide_beta)
    return out, LayerNormCache(stats, wide_gamma, gamma.shape)


def layernorm_backward(dout: Array, cache: LayerNormCache) -> tuple[Array, Array, Array]:
    r"""Gradients of `layernorm_forward`, in closed form.

    .. math:: dx = \frac{1}{\sqrt{\sigma^2 + \epsilon}} \left(\gamma\,dy - \overline{\gamma\,dy}
        - \hat x \, \overline{\gamma\,dy\,\hat x}\right)

    with the means over the features of each row. Gamma stays inside them: it differs from
    feature to feature. In batch norm it is the same along the mean, and moves to the front.

    Parameters
    ----------
    dout : ndarray, shape (N, D)
    cache : LayerNormCache

    Returns
    -------
    dx : ndarray, shape (N, D)
    dgamma, dbeta : ndarray, gamma's shape

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Book, equation ``ln-backward``.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0, 6.0]])
    >>> _, cache = layernorm_forward(x, np.ones(3), np.zeros(3), {})
    >>> dx, dgamma, dbeta = layernorm_backward(np.ones((1, 3)), cache)
    >>> dbeta
    array([1., 1., 1.])
    >>> bool(np.abs(dx).max() < 1e-15)  # the sum of a standardized row is always 0
    True
    """
    _validate.cache(cache, LayerNormCache, "a layer-norm forward pass")
    x_hat = cache.stats.x_hat
    dout = _validate.upstream("dout", dout, x_hat.shape)
    dx_hat, dgamma, dbeta = scale_shift_backward(dout, x_hat, cache.gamma)
    dx = standardize_gradient(dx_hat, cache.stats)
    return dx, dgamma.reshape(cache.gamma_shape), dbeta.reshape(cache.gamma_shape)


def spatial_layernorm_forward(
    x: Array, gamma: Array, beta: Array, ln_param: LayerNormParam
) -> tuple[Array, LayerNormCache]:
    """Layer normalization of images: each sample standardized over C, H and W together.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64; never changed.
    gamma, beta : ndarray, shape (C,), (1, C, 1, 1) or (C, H, W)
        Both of the same shape; see Notes.
    ln_param : dict
        As for `layernorm_forward`.

    Returns
    -------
    out : ndarray, shape (N, C, H, W), x's dtype
    cache : LayerNormCache

    Raises
    ------
    TypeError, ValueError
        As `layernorm_forward`.

    Notes
    -----
    One gamma a channel, (C,) or (1, C, 1, 1), fits a convolution, which treats all places alike
    and any image size; it makes this group norm with one group. One gamma an entry, (C, H, W),
    is layer norm as first defined, a gain for every unit of the layer: the image's size is
    then fixed, and the layer can tell one corner of the image from another.

    References
    ----------
    Ba, Kiros & Hinton (2016), equation 3, for (C, H, W); Wu & He (2018), equations 4 and 6, for
    (C,); book, equation ``ln-spatial``.

    Examples
    --------
    >>> x = np.arange(24.0).reshape(2, 3, 2, 2)
    >>> out, _ = spatial_layernorm_forward(x, np.ones(3), np.zeros(3), {})
    >>> bool(np.abs(out.mean(axis=(1, 2, 3))).max() < 1e-15)
    True
    """
    x = _validate.array("x", x, "N, C, H, W")
    eps = eps_of("ln_param", ln_param)
    wide_gamma = _per_channel_or_entry("gamma", gamma, x)
    wide_beta = _per_channel_or_entry("beta", beta, x)
    _validate.shape("beta", beta, gamma.shape)
    x_hat, stats = standardize(x, axes=(1, 2, 3), eps=eps)
    out = scale_shift(x_hat, wide_gamma, wide_beta)
    return out, LayerNormCache(stats, wide_gamma, gamma.shape)


def spatial_layernorm_backward(dout: Array, cache: LayerNormCache) -> tuple[Array, Array, Array]:
    """Gradients of `spatial_layernorm_forward`; the same closed form over C, H and W.

    Parameters
    ----------
    dout : ndarray, shape (N, C, H, W)
    cache : LayerNormCache

    Returns
    -------
    dx : ndarray, shape (N, C, H, W)
    dgamma, dbeta : ndarray, gamma's shape
        Sums over the axes that share an entry of gamma: N, H and W, or N alone.

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Book, equations ``ln-backward`` and ``ln-spatial``.

    Examples
    --------
    >>> x = np.arange(24.0).reshape(2, 3, 2, 2)
    >>> _, cache = spatial_layernorm_forward(x, np.ones(3), np.zeros(3), {})
    >>> spatial_layernorm_backward(np.ones_like(x), cache)[2]
    array([8., 8., 8.])
    >>> _, cache = spatial_layernorm_forward(x, np.ones((3, 2, 2)), np.zeros((3, 2, 2)), {})
    >>> spatial_layernorm_backward(np.ones_like(x), cache)[2][0]
    array([[2., 2.],
           [2., 2.]])
    """
    return layernorm_backward(dout, cache)


# ---------------------------------------------------------------- RMS norm


def rmsnorm_forward(
    x: Array, gamma: Array, rms_param: LayerNormParam
) -> tuple[Array, RMSNormCache]:
    r"""RMS normalization of (N, D): each row divided by its root mean square.

    .. math:: y_{nj} = \gamma_j \, \frac{x_{nj}}{\sqrt{\frac1D \sum_k x_{nk}^2 + \epsilon}}

    Layer norm without its mean and without beta; the same as layer norm on rows of mean 0.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        float32 or float64; never changed.
    gamma : ndarray, shape (D,)
        Scale of each feature.
    rms_param : dict
        - ``eps``: added to the mean square inside the root; default 1e-5. In units of x squared.

    Returns
    -------
    out : ndarray, shape (N, D), x's dtype
    cache : RMSNormCache

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or `x` is not finite.

    References
    ----------
    Zhang & Sennrich (2019), equation 4, which has no eps; book, equation ``rms-forward``.

    Examples
    --------
    >>> x = np.array([[3.0, 4.0, 0.0, 0.0]])
    >>> rmsnorm_forward(x, np.ones(4), {"eps": 0.0})[0]
    array([[1.2, 1.6, 0. , 0. ]])
    """
    x = _validate.array("x", x, "N, D")
    eps = eps_of("rms_param", rms_param)
    wide_gamma = _validate.per_feature("gamma", gamma, x, FEATURE_AXIS)
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with x's name
        mean_square = (x * x).mean(axis=1, keepdims=True)  # not abs: see gradcheck
    _validate.finite("x", x, because_of=mean_square)
    rms = standard_deviation(mean_square, eps)  # around 0 instead of around the mean
    x_hat = x / rms
    return wide_gamma * x_hat, RMSNormCache(x_hat, rms, wide_gamma, gamma.shape)


def rmsnorm_backward(dout: Array, cache: RMSNormCache) -> tuple[Array, Array]:
    r"""Gradients of `rmsnorm_forward`.

    .. math:: dx = \frac{1}{\mathrm{rms}}
        \left(\gamma\,dy - \hat x \, \overline{\gamma\,dy\,\hat x}\right)

    the form of layer norm without the path through the mean.

    Parameters
    ----------
    dout : ndarray, shape (N, D)
    cache : RMSNormCache

    Returns
    -------
    dx : ndarray, shape (N, D)
    dgamma : ndarray, gamma's shape

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Book, equation ``rms-backward``.

    Examples
    --------
    >>> x = np.array([[3.0, 4.0, 0.0, 0.0]])
    >>> _, cache = rmsnorm_forward(x, np.ones(4), {"eps": 0.0})
    >>> dx, dgamma = rmsnorm_backward(np.array([[6.0, 8.0, 5.0, 0.0]]), cache)
    >>> dx  # what points along x is taken out
    array([[0., 0., 2., 0.]])
    """
    _validate.cache(cache, RMSNormCache, "rmsnorm_forward")
    x_hat = cache.x_hat
    dout = _validate.upstream("dout", dout, x_hat.shape)
    dx_hat, dgamma, _ = scale_shift_backward(dout, x_hat, cache.gamma)
    along_x_hat = (dx_hat * x_hat).mean(axis=1, keepdims=True)
    dx = (dx_hat - x_hat * along_x_hat) / cache.rms
    return dx, dgamma.reshape(cache.gamma_shape)


# ---------------------------------------------------------------- the recurrent cell


def layernorm_rnn_step_forward(
    x: Array,
    prev_h: Array,
    Wx: Array,
    Wh: Array,
    gamma: Array,
    beta: Array,
    ln_param: LayerNormParam,
) -> tuple[Array, LayerNormRNNStepCache]:
    r"""One step of a recurrent network with layer norm before its tanh.

    .. math:: a^t = h^{t-1} W_h + x^t W_x, \qquad
        h^t = \tanh\!\left(\gamma \odot \frac{a^t - \mu^t}{\sqrt{(\sigma^t)^2 + \epsilon}}
        + \beta\right)

    with the mean and variance over the H entries of each sample's a, anew at every step.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        The input of this step; float32 or float64.
    prev_h : ndarray, shape (N, H)
        The hidden state before it.
    Wx, Wh : ndarray, shape (D, H) and (H, H)
        One hidden unit a column.
    gamma, beta : ndarray, shape (H,)
        Scale and shift of each hidden unit; beta takes the place of the plain step's bias.
    ln_param : dict
        As for `layernorm_forward`.

    Returns
    -------
    next_h : ndarray, shape (N, H), x's dtype
    cache : LayerNormRNNStepCache

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    References
    ----------
    Ba, Kiros & Hinton (2016), equation 4; book, equation ``ln-recurrent``.

    Examples
    --------
    >>> x, h, Wx, Wh = np.ones((1, 1)), np.zeros((1, 2)), np.array([[1.0, 3.0]]), np.eye(2)
    >>> next_h, _ = layernorm_rnn_step_forward(x, h, Wx, Wh, np.ones(2), np.zeros(2), {"eps": 0})
    >>> np.arctanh(next_h).round(12)
    array([[-1.,  1.]])
    """
    x = _validate.array("x", x, "N, D")
    return _step(*_cell_arguments(x, "prev_h", prev_h, Wx, Wh), gamma, beta, ln_param)


def layernorm_rnn_step_backward(
    dnext_h: Array, cache: LayerNormRNNStepCache
) -> tuple[Array, Array, Array, Array, Array, Array]:
    r"""Gradients of `layernorm_rnn_step_forward`.

    .. math:: dy = dh^t \odot (1 - h^t \odot h^t), \qquad
        dx^t = da\,W_x^T, \quad dh^{t-1} = da\,W_h^T, \quad
        dW_x = (x^t)^T da, \quad dW_h = (h^{t-1})^T da

    where da is what `layernorm_backward` makes of dy.

    Parameters
    ----------
    dnext_h : ndarray, shape (N, H)
    cache : LayerNormRNNStepCache

    Returns
    -------
    dx : ndarray, shape (N, D)
    dprev_h : ndarray, shape (N, H)
    dWx, dWh : ndarray, shape (D, H) and (H, H)
    dgamma, dbeta : ndarray, gamma's shape

    Raises
    ------
    TypeError, ValueError
        If `dnext_h` is no finite float array of the hidden state's shape, or the cache is
        another function's.

    References
    ----------
    Book, equation ``ln-recurrent-backward``.

    Examples
    --------
    >>> x, h, Wx, Wh = np.ones((1, 1)), np.zeros((1, 2)), np.array([[1.0, 3.0]]), np.eye(2)
    >>> _, cache = layernorm_rnn_step_forward(x, h, Wx, Wh, np.ones(2), np.zeros(2), {})
    >>> [grad.shape for grad in layernorm_rnn_step_backward(np.ones((1, 2)), cache)]
    [(1, 1), (1, 2), (1, 2), (2, 2), (2,), (2,)]
    """
    _validate.cache(cache, LayerNormRNNStepCache, "layernorm_rnn_step_forward")
    dnormed = _validate.upstream("dnext_h", dnext_h, cache.slope.shape) * cache.slope
    da, dgamma, dbeta = layernorm_backward(dnormed, cache.norm)
    dx, dprev_h = da @ cache.Wx.T, da @ cache.Wh.T
    dWx, dWh = cache.x.T @ da, cache.prev_h.T @ da
    return dx, dprev_h, dWx, dWh, dgamma, dbeta


def layernorm_rnn_forward(
    x: Array,
    h0: Array,
    Wx: Array,
    Wh: Array,
    gamma: Array,
    beta: Array,
    ln_param: LayerNormParam,
) -> tuple[Array, LayerNormRNNCache]:
    """A recurrent network with layer norm, run over a whole sequence.

    Every step uses the same weights, gamma and beta, and statistics of its own; so a sequence
    may be longer than any seen before, which running statistics a step would not allow.

    Parameters
    ----------
    x : ndarray, shape (N, T, D)
        N sequences of T steps; float32 or float64.
    h0 : ndarray, shape (N, H)
        The hidden state before the first step.
    Wx, Wh, gamma, beta, ln_param
        As for `layernorm_rnn_step_forward`.

    Returns
    -------
    h : ndarray, shape (N, T, H), x's dtype
        The hidden state after each step.
    cache : LayerNormRNNCache

    Raises
    ------
    TypeError, ValueError
        As `layernorm_rnn_step_forward`.

    References
    ----------
    Ba, Kiros & Hinton (2016), Section 3.1; book, equation ``ln-recurrent``.

    Examples
    --------
    >>> x, h0, Wx, Wh = np.ones((5, 7, 3)), np.zeros((5, 2)), np.ones((3, 2)), np.eye(2)
    >>> h, cache = layernorm_rnn_forward(x, h0, Wx, Wh, np.ones(2), np.zeros(2), {})
    >>> h.shape, len(cache.steps)
    ((5, 7, 2), 7)
    """
    x = _validate.array("x", x, "N, T, D")
    x, h, Wx, Wh = _cell_arguments(x, "h0", h0, Wx, Wh)
    states, steps = [], []
    for t in range(x.shape[1]):
        h, step = _step(x[:, t], h, Wx, Wh, gamma, beta, ln_param)
        states.append(h)
        steps.append(step)
    return np.stack(states, axis=1), LayerNormRNNCache(tuple(steps))


def layernorm_rnn_backward(
    dh: Array, cache: LayerNormRNNCache
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Gradients of `layernorm_rnn_forward`: back through time, last step first.

    The state after step t acts on the loss at once and through step t + 1, so two gradients
    arrive there and add up; what all steps share collects one term from each.

    Parameters
    ----------
    dh : ndarray, shape (N, T, H)
        Gradient with respect to each state in h, as the loss uses it directly.
    cache : LayerNormRNNCache

    Returns
    -------
    dx : ndarray, shape (N, T, D)
    dh0 : ndarray, shape (N, H)
    dWx, dWh : ndarray, shape (D, H) and (H, H)
    dgamma, dbeta : ndarray, gamma's shape

    Raises
    ------
    TypeError, ValueError
        If `dh` is no finite float array of h's shape, or the cache is another function's.

    References
    ----------
    Book, equation ``ln-through-time``.

    Examples
    --------
    >>> x, h0, Wx, Wh = np.ones((5, 7, 3)), np.zeros((5, 2)), np.ones((3, 2)), np.eye(2)
    >>> _, cache = layernorm_rnn_forward(x, h0, Wx, Wh, np.ones(2), np.zeros(2), {})
    >>> [grad.shape for grad in layernorm_rnn_backward(np.ones((5, 7, 2)), cache)]
    [(5, 7, 3), (5, 2), (3, 2), (2, 2), (2,), (2,)]
    """
    _validate.cache(cache, LayerNormRNNCache, "layernorm_rnn_forward")
    n, units = cache.steps[0].prev_h.shape
    dh = _validate.upstream("dh", dh, (n, len(cache.steps), units))
    from_later = np.zeros_like(dh[:, 0])  # nothing comes after the last step
    dx: list[Array] = []
    shared: list[Array] = []
    for t, step in reversed(list(enumerate(cache.steps))):
        dx_t, from_later, *here = layernorm_rnn_step_backward(dh[:, t] + from_later, step)
        dx.append(dx_t)
        shared = (
            [total + part for total, part in zip(shared, here, strict=True)] if shared else here
        )
    dWx, dWh, dgamma, dbeta = shared
    return np.stack(dx[::-1], axis=1), from_later, dWx, dWh, dgamma, dbeta


def _step(
    x: Array, h: Array, Wx: Array, Wh: Array, gamma: Array, beta: Array, ln_param: LayerNormParam
) -> tuple[Array, LayerNormRNNStepCache]:
    """One step of the cell, from arguments that are checked and the cache's own."""
    with np.errstate(over="ignore", invalid="ignore"):  # reported in the line after
        a = h @ Wh + x @ Wx
    _validate.finite("h @ Wh + x @ Wx", a)
    normed, norm = layernorm_forward(a, gamma, beta, ln_param)
    next_h = np.tanh(normed)
    slope = 1 - next_h * next_h
    return next_h, LayerNormRNNStepCache(x, h, Wx, Wh, norm, slope)


# ---------------------------------------------------------------- arguments


def eps_of(name: str, param: Any) -> float:
    """Return the eps in the dict called `name`, or 1e-5: all that these norms can be told."""
    if not isinstance(param, dict):
        raise TypeError(f"{name} must be a dict, got {type(param).__name__}")
    return _validate.number(f"{name}['eps']", param.get("eps", 1e-5), 0, np.inf)


def _per_channel_or_entry(name: str, value: Any, x: Array) -> Array:
    """Return gamma or beta of images, with one entry a channel or one a unit, to broadcast."""
    _, c, h, w = x.shape
    value = _validate.array(name, value)
    if value.shape not in ((c,), (1, c, 1, 1), (c, h, w)):
        raise ValueError(
            f"{name} must have shape {(c,)}, {(1, c, 1, 1)} or {(c, h, w)} to match x of shape "
            f"{x.shape}, got {value.shape}"
        )
    wide = (1, c, h, w) if value.ndim == 3 else (1, c, 1, 1)
    return _own(name, value, x).reshape(wide)


def _cell_arguments(
    x: Array, state: str, h: Any, Wx: Any, Wh: Any
) -> tuple[Array, Array, Array, Array]:
    """Check what a recurrent cell multiplies; return copies, all in x's precision."""
    units = _validate.array(state, h, "N, H").shape[1]
    n, d = x.shape[0], x.shape[-1]
    expected = {state: (n, units), "Wx": (d, units), "Wh": (units, units)}
    for (name, shape), value in zip(expected.items(), (h, Wx, Wh), strict=True):
        _validate.shape(name, _validate.array(name, value), shape)
    return _own("x", x, x), _own(state, h, x), _own("Wx", Wx, x), _own("Wh", Wh, x)


def _own(name: str, value: Array, x: Array) -> Array:
    """Return a finite copy in x's dtype (complex stays complex), for the cache to keep."""
    dtype = np.result_type(x, value) if np.iscomplexobj(value) else x.dtype
    with np.errstate(over="ignore"):  # reported in the next line, with the name
        cast: Array = value.astype(dtype, order="C")
    _validate.finite(name, value, because_of=cast)
    return cast
