"""Dropout: classical (scaled at test time) and inverted (scaled while training).

`p` is the probability that an entry is dropped and ``keep = 1 - p`` that it is
kept. A mask has one entry an element, or one a unit, shared by the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array

MODES = ("train", "test")
PER = ("element", "unit")


class DropoutParam(TypedDict):
    """The settings of a dropout layer; `p` and `mode` are required."""

    p: float
    mode: Literal["train", "test"]
    per: NotRequired[Literal["element", "unit"]]
    seed: NotRequired[int]
    rng: NotRequired[np.random.Generator]


class DropoutCache(NamedTuple):
    """What the backward pass needs: the factor each entry was multiplied by."""

    factor: Array | float
    shape: tuple[int, ...]


def dropout_forward(x: Array, dropout_param: DropoutParam) -> tuple[Array, DropoutCache]:
    r"""Inverted dropout: drop with probability p, divide what is kept by 1 - p.

    .. math:: y = x \odot \frac{m}{1 - p}, \qquad m_{ij} \sim \mathrm{Bernoulli}(1 - p)

    while training; at test time y = x. The expectation of y is x in both modes.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        float32 or float64; never changed. Its first axis is the batch.
    dropout_param : dict
        - ``p``: drop probability, in [0, 1).
        - ``mode``: ``"train"`` or ``"test"``.
        - ``per``: ``"element"`` (default) draws a mask entry for every entry of x;
          ``"unit"`` draws one for every unit and drops it in the whole batch.
        - ``seed``: int, at least 0; the same seed gives the same mask at every call (for
          gradient checks).
        - ``rng``: `numpy.random.Generator` to draw from, instead of a seed.

    Returns
    -------
    out : ndarray, x's shape and dtype
    cache : DropoutCache
        The factor, 0 or 1 / (1 - p), that each entry was multiplied by.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, or a key is missing.

    Notes
    -----
    NumPy's global random state is neither used nor changed.

    References
    ----------
    Srivastava et al. (2014), Section 10 (the inverted form); book, equation ``dropout-inverted``.

    Examples
    --------
    >>> out, cache = dropout_forward(np.ones((2, 3)), {"p": 0.5, "mode": "train", "seed": 1})
    >>> sorted(set(out.ravel().tolist()))
    [0.0, 2.0]
    >>> dropout_forward(np.ones((2, 3)), {"p": 0.5, "mode": "test"})[0].sum()
    np.float64(6.0)
    """
    x, p, mode = _arguments(x, dropout_param)
    if mode == "test":
        return x.copy(), DropoutCache(1.0, x.shape)
    mask = _draw_mask(x, p, dropout_param)
    mask /= 1 - p
    return x * mask, DropoutCache(mask, x.shape)


def dropout_backward(dout: Array, cache: DropoutCache) -> Array:
    r"""Gradient through `dropout_forward`: the same factor, on the way back.

    .. math:: dx = dy \odot \frac{m}{1 - p}

    Parameters
    ----------
    dout : ndarray, shape of x
    cache : DropoutCache
        From the forward pass.

    Returns
    -------
    dx : ndarray, shape of x

    Raises
    ------
    TypeError, ValueError
        If `dout` is no finite float array of x's shape, or the cache is another function's.

    References
    ----------
    Book, equation ``dropout-backward``.

    Examples
    --------
    >>> _, cache = dropout_forward(np.ones((2, 2)), {"p": 0.5, "mode": "test"})
    >>> dropout_backward(np.full((2, 2), 3.0), cache)
    array([[3., 3.],
           [3., 3.]])
    """
    _validate.cache(cache, DropoutCache, "a dropout forward pass")
    return _validate.upstream("dout", dout, cache.shape) * cache.factor


def classical_dropout_forward(x: Array, dropout_param: DropoutParam) -> tuple[Array, DropoutCache]:
    r"""Classical dropout: drop while training, multiply by 1 - p at test time.

    .. math:: y = x \odot m \text{ (train)}, \qquad y = (1 - p)\, x \text{ (test)}

    Parameters
    ----------
    x : ndarray, shape (N, ...)
    dropout_param : dict
        As for `dropout_forward`.

    Returns
    -------
    out : ndarray, x's shape and dtype
    cache : DropoutCache

    Raises
    ------
    TypeError, ValueError
        As `dropout_forward`.

    References
    ----------
    Srivastava et al. (2014), Section 4; book, equation ``dropout-classical``.

    Examples
    --------
    >>> classical_dropout_forward(np.ones((1, 2)), {"p": 0.25, "mode": "test"})[0]
    array([[0.75, 0.75]])
    """
    x, p, mode = _arguments(x, dropout_param)
    if mode == "test":
        return x * (1 - p), DropoutCache(1 - p, x.shape)
    mask = _draw_mask(x, p, dropout_param)
    return x * mask, DropoutCache(mask, x.shape)


def classical_dropout_backward(dout: Array, cache: DropoutCache) -> Array:
    """Gradient through `classical_dropout_forward`; see `dropout_backward`.

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
    Srivastava et al. (2014), Section 5.1 (backpropagation through a thinned network).

    Examples
    --------
    >>> _, cache = classical_dropout_forward(np.ones(2), {"p": 0.25, "mode": "test"})
    >>> classical_dropout_backward(np.ones(2), cache)
    array([0.75, 0.75])
    """
    return dropout_backward(dout, cache)


def _arguments(
    x: Any, dropout_param: Any, strength: str = "p", high: float = 1.0
) -> tuple[Array, float, str]:
    """Check the arguments that all forms share; `strength` is the key that says how much noise."""
    level = _validate.number(
        f"dropout_param['{strength}']",
        _validate.required("dropout_param", dropout_param, strength),
        0,
        high,
    )
    mode = _validate.required("dropout_param", dropout_param, "mode")
    _validate.option("dropout_param['mode']", mode, MODES)
    _validate.option("dropout_param['per']", dropout_param.get("per", "element"), PER)
    seed, rng = dropout_param.get("seed"), dropout_param.get("rng")
    if seed is not None and rng is not None:
        raise ValueError("dropout_param must have the key 'seed' or 'rng', got both")
    if seed is not None:
        _validate.seed("dropout_param['seed']", seed)
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"dropout_param['rng'] must be a numpy.random.Generator, got {type(rng).__name__}"
        )
    return _validate.finite("x", _validate.array("x", x, "N, ...")), level, mode


def _draw_mask(x: Array, p: float, dropout_param: DropoutParam) -> Array:
    """Ones with probability 1 - p, and zeros."""
    return _draw(x, dropout_param, lambda rng, shape: rng.random(shape) >= p)


def _draw(x: Array, dropout_param: Any, sample: Callable[[Any, Any], Array]) -> Array:
    """Random numbers, one a unit or one an element, in x's real dtype."""
    rng = dropout_param.get("rng")
    if rng is None:
        rng = np.random.default_rng(dropout_param.get("seed"))
    per_unit = dropout_param.get("per") == "unit"
    shape = (1, *x.shape[1:]) if per_unit else x.shape
    return sample(rng, shape).astype(x.real.dtype)
