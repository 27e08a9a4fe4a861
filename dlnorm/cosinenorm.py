"""Cosine normalization: a linear layer that answers with the cosine instead of the dot product.

Both factors are divided by their length, the rows of x and the columns of w, so neither large
inputs nor large weights can make a large pre-activation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.direction import DirectionCache, direction, direction_backward


class CosineNormCache(NamedTuple):
    """What the backward pass needs; one array of x's size and one of w's."""

    x: DirectionCache
    w: DirectionCache


def cosinenorm_forward(x: Array, w: Array, eps: float = 0.0) -> tuple[Array, CosineNormCache]:
    r"""Cosine of the angle between each sample and each unit's weights.

    .. math:: y_{nj} = \frac{x_n \cdot w_j}
        {\sqrt{\lVert x_n \rVert^2 + \epsilon} \, \sqrt{\lVert w_j \rVert^2 + \epsilon}}

    Parameters
    ----------
    x : ndarray, shape (N, D_in)
        float32 or float64; never changed. One sample a row.
    w : ndarray, shape (D_in, D_out)
        One unit a column.
    eps : float
        Added to both squared lengths, inside the roots; at least 0.

    Returns
    -------
    out : ndarray, shape (N, D_out), x's dtype
        Between -1 and 1, up to rounding.
    cache : CosineNormCache

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, is not finite, or, with eps = 0, a row of `x`
        or a column of `w` has length 0.

    Notes
    -----
    With eps = 0, the default, the result is the cosine and does not change when a sample or a
    unit is multiplied by a positive number; a negative one flips its sign. A zero vector has no
    cosine and is refused: a layer behind ReLUs, where whole rows can be zero, needs eps > 0,
    which gives 0 there and shrinks every other cosine a little, short vectors most.

    References
    ----------
    Luo et al. (2017), "Cosine Normalization: Using Cosine Similarity Instead of Dot Product in
    Neural Networks"; book, equation ``cosine-forward``.

    Examples
    --------
    >>> x, w = np.array([[3.0, 4.0]]), np.array([[1.0, -300.0], [0.0, -400.0]])
    >>> cosinenorm_forward(x, w)[0].round(15)
    array([[ 0.6, -1. ]])
    """
    x = _validate.array("x", x, "N, D_in")
    w = _validate.array("w", w, "D_in, D_out")
    eps = _validate.number("eps", eps, 0, np.inf)
    _validate.shape("w", w, (x.shape[1], w.shape[1]))
    with np.errstate(over="ignore"):  # reported in the next line, with the name
        cast = w.astype(np.result_type(x, w) if np.iscomplexobj(w) else x.dtype)
    _validate.finite("w", w, because_of=cast)
    x_unit, x_cache = direction("x", x, axis=1, eps=eps)
    w_unit, w_cache = direction("w", cast, axis=0, eps=eps)
    return x_unit @ w_unit, CosineNormCache(x_cache, w_cache)


def cosinenorm_backward(dout: Array, cache: CosineNormCache) -> tuple[Array, Array]:
    r"""Gradients of `cosinenorm_forward`: the linear layer's, projected and scaled.

    With the unit vectors :math:`\hat x` and :math:`\hat w`

    .. math:: dx_n = \frac{1}{\lVert x_n \rVert_\epsilon}
        \sum_j dy_{nj} \left(\hat w_j - y_{nj} \, \hat x_n\right), \qquad
        dw_j = \frac{1}{\lVert w_j \rVert_\epsilon}
        \sum_n dy_{nj} \left(\hat x_n - y_{nj} \, \hat w_j\right)

    Parameters
    ----------
    dout : ndarray, shape (N, D_out)
    cache : CosineNormCache

    Returns
    -------
    dx : ndarray, shape (N, D_in)
    dw : ndarray, shape (D_in, D_out)
        With eps = 0 each row of dx is perpendicular to its row of x, and each column of dw to its
        column of w.

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of the output's shape, or the cache is another
        function's.

    References
    ----------
    Book, equation ``cosine-backward``.

    Examples
    --------
    >>> _, cache = cosinenorm_forward(np.array([[3.0, 4.0]]), np.array([[1.0], [0.0]]))
    >>> cosinenorm_backward(np.array([[1.0]]), cache)[0].round(15)
    array([[ 0.128, -0.096]])
    """
    _validate.cache(cache, CosineNormCache, "cosinenorm_forward")
    x_unit, w_unit = cache.x.unit, cache.w.unit
    dout = _validate.upstream("dout", dout, (x_unit.shape[0], w_unit.shape[1]))
    dx = direction_backward(dout @ w_unit.T, cache.x)
    dw = direction_backward(x_unit.T @ dout, cache.w)
    return dx, dw
