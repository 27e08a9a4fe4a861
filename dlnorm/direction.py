"""Divide vectors by their length: the piece that weight norm and cosine norm share.

`standardize` without the mean, and with a length where it has a standard deviation. As there, the
backward pass takes out of the gradient what points along the result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array


class DirectionCache(NamedTuple):
    """What the backward pass needs: one array of x's size and a length for each vector."""

    unit: Array
    length: Array
    axis: int


def direction(
    name: str, x: Array, axis: int, eps: float | None = None
) -> tuple[Array, DirectionCache]:
    r"""Scale the vectors that run along `axis` to length (almost) 1.

    .. math:: u = \frac{x}{\sqrt{\lVert x \rVert^2 + \epsilon}}

    Parameters
    ----------
    name : str
        What the caller's argument is called, for messages.
    x : ndarray, shape (rows, columns)
    axis : int
        0: each column is a vector; 1: each row is.
    eps : float, optional
        Added to the squared length, inside the root; 0, and not in messages, if left out.

    Returns
    -------
    unit : ndarray, x's shape and dtype
    cache : DirectionCache

    Raises
    ------
    ValueError
        If `x` is not finite, or a vector is too short to have a direction in its precision.

    References
    ----------
    Salimans & Kingma (2016), equation 2, with g = 1 and eps = 0.

    Examples
    --------
    >>> direction("v", np.array([[3.0, 0.0], [4.0, 2.0]]), axis=0)[0]
    array([[0.6, 0. ],
           [0.8, 1. ]])
    """
    with np.errstate(over="ignore", under="ignore"):  # reported below, with the name
        squares = (x * x).sum(axis=axis, keepdims=True) + (eps or 0.0)  # not abs: see gradcheck
    _validate.finite(name, x, because_of=squares)
    # a smaller sum was rounded to few digits, or to none
    short = squares.real.ravel() < np.finfo(x.dtype).tiny
    if short.any():
        line = ("column", "row")[axis]
        raise ValueError(
            f"{name} must have no {line} of length 0 in {x.real.dtype}, which has no direction, "
            f"got one in {line} {short.argmax()}" + ("" if eps is None else f" and eps = {eps:g}")
        )
    length = np.sqrt(squares)
    unit = x / length
    return unit, DirectionCache(unit, length, axis)


def direction_backward(dunit: Array, cache: DirectionCache) -> Array:
    r"""Gradient with respect to the input of `direction`: a projection and a scale.

    .. math:: dx = \frac{1}{\lVert x \rVert_\epsilon} \left(du - u \, (u \cdot du)\right)

    Parameters
    ----------
    dunit : ndarray, shape of x
    cache : DirectionCache

    Returns
    -------
    dx : ndarray, shape of x
        With eps = 0 perpendicular to x: growing along itself does not change a direction.

    References
    ----------
    Salimans & Kingma (2016), equation 4.

    Examples
    --------
    >>> _, cache = direction("v", np.array([[3.0], [4.0]]), axis=0)
    >>> direction_backward(np.array([[5.0], [0.0]]), cache).round(15)
    array([[ 0.64],
           [-0.48]])
    """
    unit, length, axis = cache
    along = (unit * dunit).sum(axis=axis, keepdims=True)
    dx: Array = (dunit - unit * along) / length
    return dx
