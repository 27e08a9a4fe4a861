"""A recurrent network over whole sequences, plain and with layer norm."""

from __future__ import annotations

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.layernorm import layernorm_rnn_backward, layernorm_rnn_forward
from dlnorm.nn.initializers import Init, draw, size
from dlnorm.nn.layer import Layer, Mode


class RNN(Layer):
    r"""The plain recurrent network, :math:`h^t = \tanh(h^{t-1} W_h + x^t W_x + b)`.

    Parameters
    ----------
    n_in, n_hidden : int
    rng : numpy.random.Generator
        Draws Wx, then Wh; the biases, and the state before the first step, are 0.
    init : {"he", "glorot"} or float
        The spread of both weights.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    Notes
    -----
    x has shape (N, T, D), the output (N, T, n_hidden): the state after every step. `LastStep`
    keeps the last one.

    Examples
    --------
    >>> layer = RNN(3, 4, np.random.default_rng(0))
    >>> layer.forward(np.ones((5, 7, 3)), "train").shape
    (5, 7, 4)
    """

    def __init__(
        self, n_in: int, n_hidden: int, rng: np.random.Generator, *, init: Init = "glorot"
    ) -> None:
        super().__init__()
        n_in, n_hidden = size("n_in", n_in), size("n_hidden", n_hidden)
        self.params["Wx"] = draw(init, (n_in, n_hidden), n_in, n_hidden, rng)
        self.params["Wh"] = draw(init, (n_hidden, n_hidden), n_hidden, n_hidden, rng)
        self.params["b"] = np.zeros(n_hidden)

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the states; the same in both modes."""
        Wx, Wh, b = self.params["Wx"], self.params["Wh"], self.params["b"]
        _validate.shape("x", _validate.array("x", x, "N, T, D"), (*x.shape[:2], len(Wx)))
        before = np.zeros((len(x), len(Wh)))
        states = []
        for t in range(x.shape[1]):
            before = np.tanh(before @ Wh + x[:, t] @ Wx + b)
            states.append(before)
        h = np.stack(states, axis=1)
        self._cache = x, h
        return h.copy()

    def backward(self, dout: Array) -> Array:
        """Return dx, from the last step to the first."""
        x, h = self._kept()
        Wx, Wh = self.params["Wx"], self.params["Wh"]
        _validate.shape("dout", dout, h.shape)
        da = np.empty_like(h)
        from_later = np.zeros_like(h[:, 0])  # nothing comes after the last step
        for t in reversed(range(h.shape[1])):
            da[:, t] = (dout[:, t] + from_later) * (1 - h[:, t] * h[:, t])
            from_later = da[:, t] @ Wh.T
        # the state before the first step is 0, so Wh has no gradient from there
        self.grads["Wh"] = np.einsum("nth,ntk->hk", h[:, :-1], da[:, 1:])
        self.grads["Wx"] = np.einsum("ntd,ntk->dk", x, da)
        self.grads["b"] = da.sum(axis=(0, 1))
        dx: Array = da @ Wx.T
        return dx


class LayerNormRNN(Layer):
    """`dlnorm.layernorm_rnn_forward` as a layer: layer norm before the tanh of every step.

    Parameters
    ----------
    n_in, n_hidden, rng, init
        As for `RNN`.
    eps : float

    Examples
    --------
    >>> layer = LayerNormRNN(3, 4, np.random.default_rng(0))
    >>> layer.forward(np.ones((5, 7, 3)), "train").shape
    (5, 7, 4)
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        rng: np.random.Generator,
        *,
        init: Init = "glorot",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        n_in, n_hidden = size("n_in", n_in), size("n_hidden", n_hidden)
        self.eps = eps
        self.params["Wx"] = draw(init, (n_in, n_hidden), n_in, n_hidden, rng)
        self.params["Wh"] = draw(init, (n_hidden, n_hidden), n_hidden, n_hidden, rng)
        self.params["gamma"], self.params["beta"] = np.ones(n_hidden), np.zeros(n_hidden)

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the states; the same in both modes."""
        p = self.params
        start = np.zeros((len(x), len(p["Wh"])))
        h, self._cache = layernorm_rnn_forward(
            x, start, p["Wx"], p["Wh"], p["gamma"], p["beta"], {"eps": self.eps}
        )
        return h

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dx, _, *shared = layernorm_rnn_backward(dout, self._kept())
        self.grads.update(zip(("Wx", "Wh", "gamma", "beta"), shared, strict=True))
        return dx


class LastStep(Layer):
    """Keep the last state of each sequence: (N, T, H) to (N, H).

    Examples
    --------
    >>> LastStep().forward(np.arange(6.0).reshape(1, 3, 2), "train")
    array([[4., 5.]])
    """

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return x at its last step."""
        self._cache = x.shape
        return _validate.array("x", x, "N, T, H")[:, -1]

    def backward(self, dout: Array) -> Array:
        """Return dx, which is 0 at every other step."""
        dx = np.zeros(self._kept(), dout.dtype)
        dx[:, -1] = dout
        return dx
