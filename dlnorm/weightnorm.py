"""Weight normalization: the length and the direction of each unit's weights as parameters.

It acts on weights, not on activations: W comes out, for the linear layer to use, and the layer's
dW goes back in. One unit a column, so each column of v has a length of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.direction import DirectionCache, direction, direction_backward

UNIT_AXIS = 1


class WeightNormCache(NamedTuple):
    """What the backward pass needs; one array of v's size, inside `direction`."""

    direction: DirectionCache
    g: Array


class WeightNormExpCache(NamedTuple):
    """What the backward pass of the exponential form needs."""

    norm: WeightNormCache
    c: float


def weightnorm_forward(v: Array, g: Array) -> tuple[Array, WeightNormCache]:
    r"""Weight normalization: column j of W has length g_j and the direction of column j of v.

    .. math:: w = g \, \frac{v}{\lVert v \rVert}

    Parameters
    ----------
    v : ndarray, shape (D_in, D_out)
        float32 or float64; never changed. No column may be zero.
    g : ndarray, shape (D_out,)
        The length of each unit's weights; a negative one turns them around.

    Returns
    -------
    W : ndarray, shape (D_in, D_out), v's dtype
        The weights of a linear layer, ``x @ W + b``.
    cache : WeightNormCache

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, is not finite, or a column of `v` has length 0.

    Notes
    -----
    With g equal to the columns' lengths W is v: the plain layer. W does not change when a column
    of v is multiplied by a positive number.

    References
    ----------
    Salimans & Kingma (2016), equation 2; book, equation ``wn-forward``.

    Examples
    --------
    >>> W, _ = weightnorm_forward(np.array([[3.0, 0.0], [4.0, 2.0]]), np.array([10.0, 7.0]))
    >>> W
    array([[6., 0.],
           [8., 7.]])
    """
    v = _validate.array("v", v, "D_in, D_out")
    g = _per_unit("g", g, v)
    unit, cache = direction("v", v, axis=0)
    return g * unit, WeightNormCache(cache, g)


def weightnorm_backward(dW: Array, cache: WeightNormCache) -> tuple[Array, Array]:
    r"""Gradients of `weightnorm_forward`.

    .. math:: dg = \frac{dw \cdot v}{\lVert v \rVert}, \qquad
        dv = \frac{g}{\lVert v \rVert} \, dw - \frac{g \, dg}{\lVert v \rVert^2} \, v

    Parameters
    ----------
    dW : ndarray, shape (D_in, D_out)
    cache : WeightNormCache

    Returns
    -------
    dv : ndarray, shape (D_in, D_out)
        Perpendicular to v, column by column: no step of gradient descent makes v shorter.
    dg : ndarray, shape (D_out,)

    Raises
    ------
    TypeError, ValueError
        If `dW` is no finite float array of v's shape, or the cache is another function's.

    References
    ----------
    Salimans & Kingma (2016), equations 3 and 4; book, equations ``wn-backward-g`` and
    ``wn-backward-v``.

    Examples
    --------
    >>> _, cache = weightnorm_forward(np.array([[3.0], [4.0]]), np.array([10.0]))
    >>> dv, dg = weightnorm_backward(np.array([[5.0], [0.0]]), cache)
    >>> dv.round(15), dg.round(15)
    (array([[ 6.4],
           [-4.8]]), array([3.]))
    """
    _validate.cache(cache, WeightNormCache, "weightnorm_forward")
    unit = cache.direction.unit
    dW = _validate.upstream("dW", dW, unit.shape)
    dg = (dW * unit).sum(axis=0)
    return direction_backward(cache.g * dW, cache.direction), dg


def weightnorm_exp_forward(v: Array, s: Array, c: float = 1.0) -> tuple[Array, WeightNormExpCache]:
    r"""Weight normalization with the length in the exponent: a length that stays positive.

    .. math:: w = e^{c s} \, \frac{v}{\lVert v \rVert}

    Parameters
    ----------
    v : ndarray, shape (D_in, D_out)
        float32 or float64; never changed. No column may be zero.
    s : ndarray, shape (D_out,)
        The logarithm of each unit's length, divided by c.
    c : float
        How much of s counts, positive: dL/ds is proportional to it, so it sets the relative
        learning rate of the length.

    Returns
    -------
    W : ndarray, shape (D_in, D_out), v's dtype
    cache : WeightNormExpCache

    Raises
    ------
    TypeError, ValueError
        As `weightnorm_forward`, and if exp(c s) overflows.

    References
    ----------
    Salimans & Kingma (2016), Section 2, with c = 1; book, equation ``wn-exp``.

    Examples
    --------
    >>> v = np.array([[3.0], [4.0]])
    >>> weightnorm_exp_forward(v, np.log([10.0]))[0].round(12)
    array([[6.],
           [8.]])
    """
    v = _validate.array("v", v, "D_in, D_out")
    s = _per_unit("s", s, v)
    c = _validate.number("c", c, 0, np.inf, open_low=True)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # reported below
        g = np.exp(c * s)
    _validate.finite("s", s, because_of=g)
    W, cache = weightnorm_forward(v, g)
    return W, WeightNormExpCache(cache, c)


def weightnorm_exp_backward(dW: Array, cache: WeightNormExpCache) -> tuple[Array, Array]:
    r"""Gradients of `weightnorm_exp_forward`: those of `weightnorm_forward`, and one factor more.

    .. math:: ds = c \, g \, dg, \qquad g = e^{c s}

    Parameters
    ----------
    dW : ndarray, shape (D_in, D_out)
    cache : WeightNormExpCache

    Returns
    -------
    dv : ndarray, shape (D_in, D_out)
    ds : ndarray, shape (D_out,)

    Raises
    ------
    TypeError, ValueError
        If `dW` is no finite float array of v's shape, or the cache is another function's.

    References
    ----------
    Book, equation ``wn-exp-backward``.

    Examples
    --------
    >>> _, cache = weightnorm_exp_forward(np.array([[3.0], [4.0]]), np.zeros(1), c=2.0)
    >>> weightnorm_exp_backward(np.array([[5.0], [0.0]]), cache)[1]
    array([6.])
    """
    _validate.cache(cache, WeightNormExpCache, "weightnorm_exp_forward")
    dv, dg = weightnorm_backward(dW, cache.norm)
    return dv, cache.c * cache.norm.g * dg


def weightnorm_init(v: Array, x: Array) -> tuple[Array, Array]:
    r"""Data-dependent initialization: lengths and biases that standardize one batch's outputs.

    .. math:: t = x \cdot \frac{v}{\lVert v \rVert}, \qquad
        g = \frac{1}{\sigma[t]}, \qquad b = -\frac{\mu[t]}{\sigma[t]}

    with the mean and the (biased) standard deviation of each unit's t over the batch.

    Parameters
    ----------
    v : ndarray, shape (D_in, D_out)
        float32 or float64; never changed. No column may be zero.
    x : ndarray, shape (N, D_in)
        A batch of the layer's input.

    Returns
    -------
    g, b : ndarray, shape (D_out,), v's dtype
        With them ``x @ weightnorm_forward(v, g)[0] + b`` has mean 0 and standard deviation 1 in
        each column.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, is not finite, a column of `v` has length 0, or
        a unit answers the whole batch with one number (as all do for N = 1).

    Notes
    -----
    In a deep network go from the first layer to the last: each layer's x is the output of the
    layers below it, with their new g and b. This is batch norm, once: nothing keeps the
    statistics at 0 and 1 when training starts.

    References
    ----------
    Salimans & Kingma (2016), equations 5 and 6; book, equation ``wn-init``.

    Examples
    --------
    >>> v, x = np.array([[2.0]]), np.array([[1.0], [5.0]])
    >>> g, b = weightnorm_init(v, x)
    >>> x @ weightnorm_forward(v, g)[0] + b
    array([[-1.],
           [ 1.]])
    """
    v = _validate.array("v", v, "D_in, D_out")
    x = _validate.finite("x", _validate.array("x", x, "N, D_in"))
    _validate.shape("x", x, (x.shape[0], v.shape[0]))
    unit, _ = direction("v", v, axis=0)
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with x's name
        t = x @ unit
        mean = t.mean(axis=0)
        centered = t - mean
        std = np.sqrt((centered * centered).mean(axis=0))
    _validate.finite("x", x, because_of=std)
    # what rounding alone can put between equal entries of t
    rounding = x.shape[1] * np.finfo(t.dtype).eps * (np.abs(x) @ np.abs(unit)).max(axis=0)
    constant = std.real <= rounding
    if constant.any():
        raise ValueError(
            "x must vary over the batch along every column of v, "
            f"got the same x @ v for all {x.shape[0]} samples in column {constant.argmax()}"
        )
    dtype = np.result_type(t, v) if np.iscomplexobj(t) else v.dtype
    return (1 / std).astype(dtype), (-mean / std).astype(dtype)


def _per_unit(name: str, value: Any, v: Array) -> Array:
    """Return a copy of a parameter with one entry a unit, shape (D_out,), in v's dtype."""
    units = (v.shape[UNIT_AXIS],)
    value = _validate.shape(name, _validate.array(name, value), units)
    return _validate.per_feature(name, value, v, UNIT_AXIS).reshape(units)
