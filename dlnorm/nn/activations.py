"""The nonlinear functions between the layers, applied to every entry."""

from __future__ import annotations

import numpy as np

from dlnorm._validate import Array
from dlnorm.nn.layer import Layer, Mode


class ReLU(Layer):
    r"""The positive part, :math:`\max(x, 0)`; its slope at 0 is taken as 0.

    Examples
    --------
    >>> ReLU().forward(np.array([[-1.0, 2.0]]), "train")
    array([[0., 2.]])
    """

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return x where it is positive and 0 elsewhere."""
        self._cache = x.real > 0  # real: see gradcheck
        return np.where(self._cache, x, x.dtype.type(0))

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dx: Array = dout * self._kept()
        return dx


class Tanh(Layer):
    """The hyperbolic tangent.

    Examples
    --------
    >>> Tanh().forward(np.array([[0.0, 100.0]]), "train")
    array([[0., 1.]])
    """

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return tanh(x)."""
        y: Array = np.tanh(x)
        self._cache = y
        return y.copy()

    def backward(self, dout: Array) -> Array:
        """Return dx, which is 1 - y**2 times dout."""
        y = self._kept()
        dx: Array = dout * (1 - y * y)
        return dx


class Sigmoid(Layer):
    r"""The logistic function :math:`1 / (1 + e^{-x})`, which is :math:`(1 + \tanh(x / 2)) / 2`.

    Notes
    -----
    The form with tanh never overflows. For large negative x it is right to 1e-16, not to 1e-16
    of its value.

    Examples
    --------
    >>> Sigmoid().forward(np.array([[-1000.0, 0.0]]), "train")
    array([[0. , 0.5]])
    """

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the logistic function of x."""
        y: Array = (1 + np.tanh(x / 2)) / 2
        self._cache = y
        return y.copy()

    def backward(self, dout: Array) -> Array:
        """Return dx, which is y (1 - y) times dout."""
        y = self._kept()
        dx: Array = dout * y * (1 - y)
        return dx
