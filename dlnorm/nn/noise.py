"""Dropout and its relatives as layers; each draws from a generator of its own."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dlnorm._validate import Array
from dlnorm.dropout import dropout_backward, dropout_forward
from dlnorm.nn.layer import Layer, Mode
from dlnorm.noise import gaussian_dropout_forward, uniform_dropout_forward

Per = Literal["element", "unit"]


class Noise(Layer):
    """A layer that multiplies by noise of mean 1 in train mode and does nothing in test mode.

    Parameters
    ----------
    rng : numpy.random.Generator
        The layer's own: two layers that share one depend on each other's order.
    per : {"element", "unit"}
        A factor for every entry, or one a unit for the whole batch.

    Raises
    ------
    TypeError
        If `rng` is no generator.
    """

    def __init__(self, rng: np.random.Generator, *, per: Per = "element") -> None:
        super().__init__()
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
        self.rng: np.random.Generator = rng
        self.per: Per = per

    def backward(self, dout: Array) -> Array:
        """Return dx: the factors of the forward pass once more."""
        return dropout_backward(dout, self._kept())


class Dropout(Noise):
    """`dlnorm.dropout_forward` as a layer: inverted dropout.

    Parameters
    ----------
    p : float
        Drop probability, in [0, 1).
    rng, per
        As for `Noise`.

    Examples
    --------
    >>> layer = Dropout(0.5, np.random.default_rng(0))
    >>> sorted(set(layer.forward(np.ones((20, 20)), "train").ravel().tolist()))
    [0.0, 2.0]
    """

    def __init__(self, p: float, rng: np.random.Generator, *, per: Per = "element") -> None:
        super().__init__(rng, per=per)
        self.p = p

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return x with dropped entries; x itself in test mode."""
        out, self._cache = dropout_forward(
            x, {"p": self.p, "mode": mode, "per": self.per, "rng": self.rng}
        )
        return out


class GaussianDropout(Noise):
    """`dlnorm.gaussian_dropout_forward` as a layer: normal noise with dropout's variance.

    Parameters
    ----------
    p : float
        The noise has variance p / (1 - p); in [0, 1).
    rng, per
        As for `Noise`.

    Examples
    --------
    >>> layer = GaussianDropout(0.5, np.random.default_rng(0))
    >>> round(layer.forward(np.ones((500, 500)), "train").var(), 1)
    np.float64(1.0)
    """

    def __init__(self, p: float, rng: np.random.Generator, *, per: Per = "element") -> None:
        super().__init__(rng, per=per)
        self.p = p

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return x times noise; x itself in test mode."""
        out, self._cache = gaussian_dropout_forward(
            x, {"p": self.p, "mode": mode, "per": self.per, "rng": self.rng}
        )
        return out


class UniformDropout(Noise):
    """`dlnorm.uniform_dropout_forward` (Uout) as a layer: noise uniform in 1 - beta to 1 + beta.

    Parameters
    ----------
    beta : float
        Half the width of the noise, at least 0.
    rng, per
        As for `Noise`.

    Examples
    --------
    >>> layer = UniformDropout(0.1, np.random.default_rng(0))
    >>> out = layer.forward(np.ones((20, 20)), "train")
    >>> bool(out.min() >= 0.9), bool(out.max() <= 1.1)
    (True, True)
    """

    def __init__(self, beta: float, rng: np.random.Generator, *, per: Per = "element") -> None:
        super().__init__(rng, per=per)
        self.beta = beta

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return x times noise; x itself in test mode."""
        out, self._cache = uniform_dropout_forward(
            x, {"beta": self.beta, "mode": mode, "per": self.per, "rng": self.rng}
        )
        return out
