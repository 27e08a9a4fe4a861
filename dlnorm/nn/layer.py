"""What every layer of a network has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np

from dlnorm._validate import Array

Mode = Literal["train", "test"]


class Layer(ABC):
    """One step of a network: a forward pass, a backward pass, and what lies between the two.

    Attributes
    ----------
    params : dict of str to ndarray
        What an optimizer changes, in place.
    grads : dict of str to ndarray
        The gradients that the last backward pass found, under the same names.
    memory : dict of str to ndarray
        What is carried from batch to batch without a gradient: running statistics.
    rng : numpy.random.Generator or None
        Where the layer's noise comes from; None for a layer without noise.

    Notes
    -----
    A layer is a thin shell: the arithmetic of a norm or of dropout is that of the function of
    `dlnorm` it is named after, and what the function returns as its cache the layer keeps until
    the backward pass. So a backward pass belongs to the forward pass before it.
    """

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.memory: dict[str, Array] = {}
        self.rng: np.random.Generator | None = None
        self._cache: Any = None

    @abstractmethod
    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the layer's output for the batch `x`."""

    @abstractmethod
    def backward(self, dout: Array) -> Array:
        """Return the gradient with respect to the input; those of `params` go to `grads`."""

    def _kept(self) -> Any:
        """Return what the forward pass kept for the backward pass."""
        if self._cache is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward pass before it")
        return self._cache
