r"""PCA and ZCA whitening: standardization that takes the correlations out as well.

`standardize` divides each feature by its own deviation; here the whole covariance matrix becomes
(almost) the identity. The price is an eigendecomposition of a (D, D) matrix. What is done to x is
a rotation, a division by the standard deviations along the new axes and, for ZCA, the rotation
back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array


class Whitening(NamedTuple):
    """What whitens another batch in the same way, in float64.

    PCA: ``(x - mean) @ axes / std``. ZCA: the same, and ``@ axes.T`` after it.
    """

    mean: Array
    axes: Array
    std: Array


class ZCACache(NamedTuple):
    """What the backward pass needs: one array of x's size, x in whitened PCA coordinates."""

    white: Array
    whitening: Whitening


def pca_whiten(x: Array, eps: float = 1e-5) -> tuple[Array, Whitening]:
    r"""PCA whitening: coordinates along the principal axes, each divided by its deviation.

    .. math:: z = (x - \mu) \, U \, \mathrm{diag}\!\left(\frac{1}{\sqrt{\lambda + \epsilon}}\right),
        \qquad \mathrm{Cov} = U \, \mathrm{diag}(\lambda) \, U^\top

    Parameters
    ----------
    x : ndarray, shape (N, D)
        float32 or float64; never changed.
    eps : float
        Added to each eigenvalue of the covariance, inside the root; at least 0. In units of x
        squared.

    Returns
    -------
    out : ndarray, shape (N, D), x's dtype
        Column 0 is the axis of largest variance. The covariance is diagonal, with entries
        lambda / (lambda + eps): the identity for eps = 0.
    whitening : Whitening
        The mean, the axes (one a column) and the deviations sqrt(lambda + eps).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, `x` is not finite or complex, or `eps`
        is too small for a covariance that is singular, as with a constant feature or with N <= D.

    Notes
    -----
    The covariance divides by N, as the variance of batch norm does. An axis is determined up to
    its sign: here the entry of largest size is positive. Where eigenvalues coincide not even the
    plane's axes are determined, so the axes, and with them the output, have no derivative there:
    that is why only ZCA has a backward pass.

    All of it is computed in float64. The covariance of the output is off by about
    D * 2.2e-16 * (largest lambda) / (smallest lambda + eps).

    References
    ----------
    LeCun et al. (1998), Section 4.3; book, equation ``whitening-pca``.

    Examples
    --------
    >>> x = np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, -2.0], [-2.0, 2.0]])
    >>> out, whitening = pca_whiten(x, eps=0.0)
    >>> (out.T @ out / 4).round(12)
    array([[1., 0.],
           [0., 1.]])
    >>> whitening.std.round(12)
    array([2., 1.])
    """
    white, whitening = _pca(x, eps)
    return white.astype(x.dtype), whitening


def zca_whiten_forward(x: Array, eps: float = 1e-5) -> tuple[Array, ZCACache]:
    r"""ZCA whitening: of all whitened versions of x the one closest to x.

    .. math:: y = (x - \mu) \, U \, \mathrm{diag}\!\left(\frac{1}{\sqrt{\lambda + \epsilon}}\right)
        U^\top = (x - \mu) \, (\mathrm{Cov} + \epsilon I)^{-1/2}

    Parameters
    ----------
    x : ndarray, shape (N, D)
        float32 or float64; never changed.
    eps : float
        Added to each eigenvalue of the covariance, inside the root; at least 0. In units of x
        squared.

    Returns
    -------
    out : ndarray, shape (N, D), x's dtype
        Column j still means feature j. With D = 1 this is `standardize`.
    cache : ZCACache

    Raises
    ------
    TypeError, ValueError
        As `pca_whiten`.

    Notes
    -----
    Neither the signs nor the order of the axes matter, nor which axes are chosen where eigenvalues
    coincide: the root of a matrix is one matrix.

    References
    ----------
    Huang et al. (2018), "Decorrelated Batch Normalization"; book, equation ``whitening-zca``.

    Examples
    --------
    >>> x = np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, -2.0], [-2.0, 2.0]])
    >>> out, _ = zca_whiten_forward(x, eps=0.0)
    >>> out.round(12)
    array([[ 1.,  1.],
           [-1., -1.],
           [ 1., -1.],
           [-1.,  1.]])
    """
    white, whitening = _pca(x, eps)
    return (white @ whitening.axes.T).astype(x.dtype), ZCACache(white, whitening)


def zca_whiten_backward(dout: Array, cache: ZCACache) -> Array:
    r"""Gradient of `zca_whiten_forward`, exact, also where eigenvalues coincide.

    In the coordinates of the principal axes, p = dy U and z = the whitened x, with
    :math:`s = \sqrt{\lambda + \epsilon}` and bars for means over the batch,

    .. math:: dx = \left(p - \overline{p} - z H\right) \mathrm{diag}(1 / s) \, U^\top, \qquad
        H_{ij} = \frac{s_i \, \overline{z_i p_j} + s_j \, \overline{z_j p_i}}{s_i + s_j}

    Parameters
    ----------
    dout : ndarray, shape (N, D)
    cache : ZCACache

    Returns
    -------
    dx : ndarray, shape (N, D), dout's dtype

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    Notes
    -----
    With one feature H is the mean of z p, and this is `standardize_backward`.

    The derivative of f(Cov), with f the inverse root, has in the eigenbasis the divided
    differences of f as its entries: K_ij = (f(l_i) - f(l_j)) / (l_i - l_j), which for this f is
    -1 / (s_i s_j (s_i + s_j)). Nothing is left of the difference in the denominator, which makes
    gradients through eigenvectors blow up where two eigenvalues are close. H is what K becomes
    when it is put together with centered x = z diag(s) U^T.

    References
    ----------
    Higham (2008), "Functions of Matrices", Section 3.2 (the divided differences); book, equation
    ``whitening-zca-backward``.

    Examples
    --------
    >>> x = np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, -2.0], [-2.0, 2.0]])
    >>> out, cache = zca_whiten_forward(x, eps=0.0)
    >>> dx = zca_whiten_backward(out, cache)  # sum(out**2) is N D whatever x is: no slope
    >>> bool(np.abs(dx).max() < 1e-15)
    True
    """
    _validate.cache(cache, ZCACache, "zca_whiten_forward")
    white, (_, axes, std) = cache
    dout = _validate.upstream("dout", dout, white.shape)
    p = dout @ axes
    p = p - p.mean(axis=0)
    along = white.T @ p / len(white)  # the mean of z_i p_j over the batch
    s = std[:, np.newaxis]
    H = (s * along + std * along.T) / (s + std)
    dx: Array = ((p - white @ H) / std @ axes.T).astype(dout.dtype)
    return dx


def _pca(x: Array, eps: float) -> tuple[Array, Whitening]:
    """Return x in whitened PCA coordinates, in float64, and how to get there."""
    x = _validate.real("x", _validate.array("x", x, "N, D"))  # eigh knows no complex step
    eps = _validate.number("eps", eps, 0, np.inf)
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with x's name
        mean = x.mean(axis=0, dtype=np.float64)
        centered = x - mean
        rounding = centered.mean(axis=0)  # see standardize
        centered -= rounding
        mean += rounding
        covariance = centered.T @ centered / len(x)
    _validate.finite("x", x, because_of=covariance)

    eigenvalues, axes = np.linalg.eigh(covariance)
    eigenvalues, axes = eigenvalues[::-1], axes[:, ::-1]  # largest first
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(len(largest))])

    # how far an eigenvalue may be off: one that should be 0 may come out negative
    error = len(axes) * np.finfo(np.float64).eps * max(eigenvalues[0], 0.0)
    flat = eigenvalues + eps <= error
    if flat.any():
        raise ValueError(
            f"eps must be larger than {error:.2g}, because x has no variance in "
            f"{flat.sum()} of {flat.size} directions, got eps = {eps:g}"
        )
    std = np.sqrt(eigenvalues + eps)
    return centered @ axes / std, Whitening(mean, axes, std)
