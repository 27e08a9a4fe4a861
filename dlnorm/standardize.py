"""Subtract the mean and divide by the standard deviation over some axes.

Batch, layer, instance and group normalization are this one operation with
different axes, followed by a scale and a shift on the feature axis. Both
halves stand here, each with its backward pass beside it; a norm's own module
says only which axes it uses and what it remembers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array


class StandardizeCache(NamedTuple):
    """What the backward pass needs: one array of x's size and the statistics."""

    x_hat: Array
    mean: Array
    var: Array
    std: Array
    axes: tuple[int, ...]


def standardize(
    x: Array, axes: int | tuple[int, ...], eps: float = 1e-5
) -> tuple[Array, StandardizeCache]:
    r"""Give `x` mean 0 and variance (almost) 1 over `axes`.

    .. math:: \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}

    with the mean and the biased variance taken over `axes`.

    Parameters
    ----------
    x : ndarray, any shape
        float32 or float64; never changed.
    axes : int or tuple of int
        The axes that are averaged over: 0 for batch norm of (N, D), 1 for layer norm.
    eps : float
        Added to the variance, inside the root; at least 0. In units of x squared.

    Returns
    -------
    x_hat : ndarray, x's shape and dtype
    cache : StandardizeCache
        x_hat, mean, var, std (kept with length 1 on `axes`) and the axes.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or `x` is not finite.

    Notes
    -----
    The mean is subtracted twice: what is left after the first time is its rounding error,
    which at a mean of 1e4 in float32 is as large as 5e-4. x_hat is the cache's own array; copy it
    before changing it.

    References
    ----------
    Ioffe & Szegedy (2015), Algorithm 1, for axes = 0.

    Examples
    --------
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> x_hat, cache = standardize(x, axes=0, eps=0.0)
    >>> x_hat
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> cache.mean, cache.std
    (array([[ 2., 20.]]), array([[ 1., 10.]]))
    """
    x = _validate.array("x", x)
    eps = _validate.number("eps", eps, 0, np.inf)
    axes = _validate.averaged_axes("axes", axes, x.ndim)

    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with x's name
        mean = x.mean(axis=axes, keepdims=True)
        centered = x - mean
        rounding = centered.mean(axis=axes, keepdims=True)
        centered -= rounding
        mean += rounding
        var = mean_product(centered, centered, axes)  # biased; not abs: see gradcheck
    _validate.finite("x", x, because_of=var)
    std = standard_deviation(var, eps)
    centered /= std
    return centered, StandardizeCache(centered, mean, var, std, axes)


def standard_deviation(var: Array, eps: float) -> Array:
    """``sqrt(var + eps)``, which must be a number to divide by."""
    with np.errstate(over="ignore"):
        std: Array = np.sqrt(var + eps)
    if not std.all():
        raise ValueError(
            f"eps must be larger, because var + eps is 0 in {std.dtype} "
            f"for {std.size - np.count_nonzero(std)} of {std.size} variances, got eps = {eps:g}"
        )
    if not np.isfinite(std).all():
        raise ValueError(f"eps must be smaller, because var + eps is infinite, got eps = {eps:g}")
    return std


def standardize_backward(dx_hat: Array, cache: StandardizeCache) -> Array:
    r"""Gradient of the loss with respect to the input of `standardize`.

    .. math:: dx = \frac{1}{\sigma_\epsilon}
        \left(d\hat x - \overline{d\hat x} - \hat x \, \overline{d\hat x \, \hat x}\right)

    where a bar is the mean over the axes that the statistics were taken over.

    Parameters
    ----------
    dx_hat : ndarray, shape of x
        Gradient with respect to x_hat.
    cache : StandardizeCache
        From the forward pass.

    Returns
    -------
    dx : ndarray, shape of x

    Raises
    ------
    TypeError, ValueError
        If `dx_hat` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Book, equation ``bn-backward-closed``; Ioffe & Szegedy (2015), Section 3, unsimplified.

    Examples
    --------
    >>> x_hat, cache = standardize(np.array([1.0, 2.0, 6.0]), axes=0)
    >>> dx = standardize_backward(np.ones(3), cache)  # adding a constant changes nothing
    >>> bool(np.abs(dx).max() < 1e-15)
    True
    """
    _validate.cache(cache, StandardizeCache, "standardize")
    return standardize_gradient(_validate.upstream("dx_hat", dx_hat, cache.x_hat.shape), cache)


def standardize_gradient(dx_hat: Array, cache: StandardizeCache) -> Array:
    """`standardize_backward` of what has been checked already."""
    along_mean = dx_hat.mean(axis=cache.axes, keepdims=True)
    along_x_hat = mean_product(dx_hat, cache.x_hat, cache.axes)
    return closed_form(dx_hat, along_mean, along_x_hat, cache.x_hat, 1 / cache.std)


def closed_form(
    dx_hat: Array, along_mean: Array, along_x_hat: Array, x_hat: Array, scale: Array
) -> Array:
    """``scale * (dx_hat - along_mean - x_hat * along_x_hat)``, in one new array and not in four.

    An array of x's size takes longer to allocate than to compute with.
    """
    dx: Array = x_hat * -along_x_hat
    dx += dx_hat
    dx -= along_mean
    dx *= scale
    return dx


def mean_product(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    """``(a * b).mean(axis=axes, keepdims=True)`` without an array for the product."""
    product = sum_product(a, b, axes)
    product /= a.size // product.size
    return product


def sum_product(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    """``(a * b).sum(axis=axes, keepdims=True)`` without an array for the product."""
    every = list(range(a.ndim))
    kept = [axis for axis in every if axis not in axes]
    total: Array = np.einsum(a, every, b, every, kept)
    return np.expand_dims(total, axes)


def scale_shift(x_hat: Array, gamma: Array, beta: Array) -> Array:
    """``gamma * x_hat + beta``, with gamma and beta already shaped to broadcast."""
    out: Array = np.multiply(gamma, x_hat, dtype=np.result_type(gamma, x_hat, beta))
    out += beta
    return out


def scale_shift_backward(dout: Array, x_hat: Array, gamma: Array) -> tuple[Array, Array, Array]:
    """Gradients of `scale_shift`: ``(dx_hat, dgamma, dbeta)``, the last two in gamma's shape."""
    return gamma * dout, *scale_shift_gradients(dout, x_hat, gamma)


def scale_shift_gradients(dout: Array, x_hat: Array, gamma: Array) -> tuple[Array, Array]:
    """Gradients of `scale_shift` for its parameters: ``(dgamma, dbeta)``, in gamma's shape."""
    shared = tuple(axis for axis, size in enumerate(gamma.shape) if size == 1)
    return sum_product(dout, x_hat, shared), dout.sum(axis=shared, keepdims=True)
