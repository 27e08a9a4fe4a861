"""Dropout with noise that is no mask, and predictions averaged over many noisy passes.

What regularizes is that the factor an entry is multiplied by has mean 1 and some variance; that
it is 0 or 1 / (1 - p) is one choice of three. The factor is drawn, remembered and applied again
on the way back as in `dlnorm.dropout`; only its distribution differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NotRequired, TypedDict

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.dropout import DropoutCache, DropoutParam, _arguments, _draw, dropout_backward


class UniformDropoutParam(TypedDict):
    """The settings of a Uout layer; `beta` and `mode` are required."""

    beta: float
    mode: Literal["train", "test"]
    per: NotRequired[Literal["element", "unit"]]
    seed: NotRequired[int]
    rng: NotRequired[np.random.Generator]


def gaussian_dropout_forward(x: Array, dropout_param: DropoutParam) -> tuple[Array, DropoutCache]:
    r"""Gaussian dropout: multiply by noise with the mean and the variance of inverted dropout's.

    .. math:: y = x \odot r, \qquad r_{ij} \sim \mathcal{N}\!\left(1, \frac{p}{1 - p}\right)

    while training; at test time y = x. The expectation of y is x in both modes.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        float32 or float64; never changed. Its first axis is the batch.
    dropout_param : dict
        As for `dropout_forward`. ``p``, in [0, 1), sets the variance to p / (1 - p), which is that
        of a mask that drops with probability p and divides by 1 - p.

    Returns
    -------
    out : ndarray, x's shape and dtype
    cache : DropoutCache
        The factor that each entry was multiplied by.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, or a key is missing.

    Notes
    -----
    No factor is exactly 0, so nothing is dropped; some are negative, and flip the sign of their
    entry. p / (1 - p) is the variance; the standard deviation is its root.

    References
    ----------
    Srivastava et al. (2014), Section 10, where p is the probability to keep; book, equation
    ``dropout-gaussian``.

    Examples
    --------
    >>> param = {"p": 0.2, "mode": "train", "seed": 1}
    >>> out, _ = gaussian_dropout_forward(np.ones((1, 1000)), param)
    >>> bool(abs(out.mean() - 1) < 0.1), bool(abs(out.var() - 0.25) < 0.1)
    (True, True)
    >>> gaussian_dropout_forward(np.ones((1, 2)), {"p": 0.2, "mode": "test"})[0]
    array([[1., 1.]])
    """
    x, p, mode = _arguments(x, dropout_param)
    if mode == "test":
        return x.copy(), DropoutCache(1.0, x.shape)
    std = np.sqrt(p / (1 - p))
    factor = _draw(x, dropout_param, lambda rng, shape: 1 + std * rng.standard_normal(shape))
    return x * factor, DropoutCache(factor, x.shape)


def gaussian_dropout_backward(dout: Array, cache: DropoutCache) -> Array:
    r"""Gradient through `gaussian_dropout_forward`: the same factor, on the way back.

    .. math:: dx = dy \odot r

    Parameters
    ----------
    dout : ndarray, shape of x
    cache : DropoutCache

    Returns
    -------
    dx : ndarray, shape of x

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Srivastava et al. (2014), Section 10; book, equation ``dropout-backward``.

    Examples
    --------
    >>> x = np.ones((2, 2))
    >>> out, cache = gaussian_dropout_forward(x, {"p": 0.5, "mode": "train"})
    >>> bool((gaussian_dropout_backward(x, cache) == out).all())
    True
    """
    return dropout_backward(dout, cache)


def uniform_dropout_forward(
    x: Array, dropout_param: UniformDropoutParam
) -> tuple[Array, DropoutCache]:
    r"""Uout: multiply by 1 plus noise that is uniform between -beta and beta.

    .. math:: y = x \odot (1 + r), \qquad r_{ij} \sim \mathcal{U}(-\beta, \beta)

    while training; at test time y = x. The expectation of y is x in both modes.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        float32 or float64; never changed. Its first axis is the batch.
    dropout_param : dict
        - ``beta``: half the width of the noise, at least 0. Up to 1 no factor is negative.
        - ``mode``, ``per``, ``seed``, ``rng``: as for `dropout_forward`.

    Returns
    -------
    out : ndarray, x's shape and dtype
    cache : DropoutCache
        The factor, 1 + r, that each entry was multiplied by.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, or a key is missing.

    Notes
    -----
    The factor has mean 1 and variance beta**2 / 3. At beta = 0.1 that is 0.0033, where the mask of
    p = 0.5 has 1: hence how little the variance of y shifts between training and test.

    References
    ----------
    Li et al. (2018), the section on "Uout"; book, equation ``dropout-uniform``.

    Examples
    --------
    >>> param = {"beta": 0.1, "mode": "train"}
    >>> out, cache = uniform_dropout_forward(np.ones((50, 50)), param)
    >>> bool(((out >= 0.9) & (out < 1.1)).all())
    True
    """
    x, beta, mode = _arguments(x, dropout_param, strength="beta", high=np.inf)
    if mode == "test":
        return x.copy(), DropoutCache(1.0, x.shape)
    factor = _draw(x, dropout_param, lambda rng, shape: 1 + beta * (2 * rng.random(shape) - 1))
    return x * factor, DropoutCache(factor, x.shape)


def uniform_dropout_backward(dout: Array, cache: DropoutCache) -> Array:
    r"""Gradient through `uniform_dropout_forward`: the same factor, on the way back.

    .. math:: dx = dy \odot (1 + r)

    Parameters
    ----------
    dout : ndarray, shape of x
    cache : DropoutCache

    Returns
    -------
    dx : ndarray, shape of x

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Li et al. (2018), the section on "Uout"; book, equation ``dropout-backward``.

    Examples
    --------
    >>> _, cache = uniform_dropout_forward(np.ones((2, 1)), {"beta": 0.0, "mode": "train"})
    >>> uniform_dropout_backward(np.full((2, 1), 3.0), cache)
    array([[3.],
           [3.]])
    """
    return dropout_backward(dout, cache)


def mc_dropout(
    forward: Callable[[Array, np.random.Generator], Array],
    x: Array,
    passes: int,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Array]:
    r"""Monte Carlo dropout: the mean and the variance of the output over many noisy passes.

    .. math:: \bar y = \frac1T \sum_{t=1}^{T} y_t, \qquad
        v = \frac1T \sum_{t=1}^{T} (y_t - \bar y)^2

    entry by entry, where each y_t comes from a pass with noise of its own.

    Parameters
    ----------
    forward : callable
        ``forward(x, rng)`` runs the network once, in dropout's train mode, draws its noise from
        `rng` and returns a float array, of the same shape and dtype at every call.
    x : ndarray, shape (N, ...)
        Handed on to `forward`; never changed here.
    passes : int
        T, at least 1.
    rng : numpy.random.Generator, optional
        What all passes draw from, one after another; a new one, unseeded, if left out.

    Returns
    -------
    mean, variance : ndarray, shape and dtype of what `forward` returns
        The variance divides by T: it is that of these T outputs.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, or `forward` returns anything but finite float
        arrays of one shape and dtype.

    Notes
    -----
    Give dropout this `rng`, not a seed: with a seed every pass draws the same mask, and the
    variance is 0. Only dropout belongs in train mode here; batch norm stays in test mode. For a
    classifier let `forward` return probabilities: the softmax of mean logits is not their mean.

    Outputs are added up as they come, in float64, so memory does not grow with `passes`.

    References
    ----------
    Gal & Ghahramani (2016), Section 4 (their variance has a term for the noise of the data on
    top); book, equation ``dropout-monte-carlo``.

    Examples
    --------
    >>> def forward(x, rng):
    ...     return gaussian_dropout_forward(x, {"p": 0.5, "mode": "train", "rng": rng})[0]
    >>> rng = np.random.default_rng(0)
    >>> mean, variance = mc_dropout(forward, np.ones((1, 1)), passes=2000, rng=rng)
    >>> mean.round(), variance.round()  # p / (1 - p) is 1
    (array([[1.]]), array([[1.]]))
    """
    if not callable(forward):
        raise TypeError(f"forward must be a function, got {type(forward).__name__}")
    x = _validate.finite("x", _validate.array("x", x, "N, ..."))
    if not _validate.number("passes", passes, 1, np.inf).is_integer():
        raise ValueError(f"passes must be a whole number, got {passes}")
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
    rng = np.random.default_rng() if rng is None else rng

    first = _validate.finite("forward(x, rng)", _validate.array("forward(x, rng)", forward(x, rng)))
    mean = first.astype(np.result_type(first, np.float64))
    squares = np.zeros_like(mean)  # sum of squared deviations from the mean so far
    for t in range(2, int(passes) + 1):
        y = _validate.upstream("forward(x, rng)", forward(x, rng), first.shape)
        if y.dtype != first.dtype:
            raise TypeError(f"forward(x, rng) must stay of dtype {first.dtype}, got {y.dtype}")
        deviation = y - mean
        mean += deviation / t
        squares += deviation * (y - mean)
    return mean.astype(first.dtype), (squares / passes).astype(first.dtype)
