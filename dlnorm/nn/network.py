"""Layers one after another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from dlnorm._validate import Array
from dlnorm.nn.layer import Layer, Mode


class DivergedError(ArithmeticError):
    """Numbers in a network are no longer finite, or too large to be squared."""


class Sequential:
    """A network whose layers feed one another in order.

    Parameters
    ----------
    *layers : Layer

    Raises
    ------
    TypeError
        If one of them is no layer.

    Notes
    -----
    Parameters, gradients and memory carry the number of their layer, as in ``"0.W"``. They are
    the layers' own arrays.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> network = Sequential(Linear(64, 20, rng), ReLU(), Linear(20, 10, rng))
    >>> list(network.params)
    ['0.W', '0.b', '2.W', '2.b']
    >>> network.forward(np.ones((5, 64)), "test").shape
    (5, 10)
    """

    def __init__(self, *layers: Layer) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layer {i} must be a Layer, got {type(layer).__name__}")
        self.layers = layers

    def __iter__(self) -> Iterator[Layer]:
        """Go through the layers."""
        return iter(self.layers)

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the output of the last layer.

        Parameters
        ----------
        x : ndarray
            A batch.
        mode : {"train", "test"}
            Handed to every layer.

        Raises
        ------
        DivergedError
            If what goes into a layer, or comes out of the last, is not finite or so large that
            its squares would not be.
        """
        for i, layer in enumerate(self.layers):
            x = layer.forward(usable(x, f"the input of layer {i}", layer), mode)
        return usable(x, "the output of the network")

    def backward(self, dout: Array) -> Array:
        """Return dx; every layer's gradients are then in its `grads`.

        Raises
        ------
        DivergedError
            As `forward`, for the gradients.
        """
        for i, layer in reversed(list(enumerate(self.layers))):
            dout = layer.backward(usable(dout, f"the gradient at the output of layer {i}", layer))
        return dout

    @property
    def params(self) -> dict[str, Array]:
        """The parameters of all layers, by number and name."""
        return self._named("params")

    @property
    def grads(self) -> dict[str, Array]:
        """Their gradients, under the same names."""
        return self._named("grads")

    @property
    def memory(self) -> dict[str, Array]:
        """The running statistics of all layers, by number and name."""
        return self._named("memory")

    def remember(self, memory: Mapping[str, Array]) -> None:
        """Set the running statistics, by number and name, to copies of the arrays given."""
        for name, value in memory.items():
            number, key = name.split(".", 1)
            self.layers[int(number)].memory[key] = value.copy()

    @property
    def generators(self) -> dict[str, np.random.Generator]:
        """The generators of the layers that have one, by number."""
        return {str(i): layer.rng for i, layer in enumerate(self.layers) if layer.rng is not None}

    def _named(self, kind: str) -> dict[str, Array]:
        return {
            f"{i}.{name}": value
            for i, layer in enumerate(self.layers)
            for name, value in getattr(layer, kind).items()
        }


def usable(x: Array, what: str, layer: Layer | None = None) -> Array:
    """Return `x` if its sum of squares is finite: nothing in it is NaN, infinite or near that."""
    flat = x.ravel()
    if not math.isfinite(np.vdot(flat, flat).real):  # which warns of nothing
        kind = "" if layer is None else f" ({type(layer).__name__})"
        finite = np.isfinite(flat)
        size = f"entries up to {np.abs(flat).max():.1e}" if finite.all() else "NaN or infinity"
        raise DivergedError(f"{what}{kind} has {size}")
    return x
