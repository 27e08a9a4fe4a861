"""How weights start: random, with a spread that suits what comes after the layer."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array

Init = Literal["he", "glorot"] | float


def spread(init: Init, n_in: int, n_out: int) -> float:
    r"""Return the standard deviation that weights are drawn with.

    .. math:: \sigma_{\mathrm{He}} = \sqrt{\frac{2}{n_{\mathrm{in}}}}, \qquad
        \sigma_{\mathrm{Glorot}} = \sqrt{\frac{2}{n_{\mathrm{in}} + n_{\mathrm{out}}}}

    Parameters
    ----------
    init : {"he", "glorot"} or float
        He et al.'s suits ReLU, Glorot & Bengio's suits tanh; a number is the deviation itself.
    n_in, n_out : int
        How many numbers go into a unit, and how many units there are.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If `init` is no such name and no number, or a negative one.

    References
    ----------
    He et al. (2015), equation 10; Glorot & Bengio (2010), equation 12.

    Examples
    --------
    >>> spread("he", 8, 100), spread("glorot", 8, 24), spread(0.1, 8, 100)
    (0.5, 0.25, 0.1)
    """
    if isinstance(init, str):
        _validate.option("init", init, ("he", "glorot"))
        return math.sqrt(2 / (n_in if init == "he" else n_in + n_out))
    return _validate.number("init", init, 0, np.inf)


def draw(
    init: Init, shape: tuple[int, ...], n_in: int, n_out: int, rng: np.random.Generator
) -> Array:
    """Return normal weights of mean 0 and the `spread` of `init`."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
    weights: Array = spread(init, n_in, n_out) * rng.standard_normal(shape)
    return weights


def size(name: str, value: int) -> int:
    """Return `value` if it is an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)
