"""Layers of weighted sums: linear, with weight norm, and with the cosine in place of the sum.

Weights have one unit a column, shape (D_in, D_out).
"""

from __future__ import annotations

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.cosinenorm import cosinenorm_backward, cosinenorm_forward
from dlnorm.nn.initializers import Init, draw, size
from dlnorm.nn.layer import Layer, Mode
from dlnorm.weightnorm import weightnorm_backward, weightnorm_forward


class Linear(Layer):
    r"""A linear layer, :math:`y = x W + b`, for x of shape (N, D_in).

    Parameters
    ----------
    n_in, n_out : int
    rng : numpy.random.Generator
        Draws the weights; the biases start at 0.
    init : {"he", "glorot"} or float
        The spread of the weights, see ``dlnorm.nn.initializers.spread``.
    bias : bool
        Whether there is a b; a norm right after the layer that subtracts a mean makes it useless.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    Examples
    --------
    >>> layer = Linear(3, 2, np.random.default_rng(0))
    >>> layer.forward(np.ones((5, 3)), "train").shape
    (5, 2)
    >>> layer.backward(np.ones((5, 2))).shape, layer.grads["b"]
    ((5, 3), array([5., 5.]))
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        rng: np.random.Generator,
        *,
        init: Init = "he",
        bias: bool = True,
    ) -> None:
        super().__init__()
        n_in, n_out = size("n_in", n_in), size("n_out", n_out)
        self.params["W"] = draw(init, (n_in, n_out), n_in, n_out, rng)
        if bias:
            self.params["b"] = np.zeros(n_out)

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return ``x @ W + b``; the same in both modes."""
        W = self._weights()
        _validate.shape("x", _validate.array("x", x, "N, D_in"), (len(x), len(W)))
        self._cache = x, W
        out: Array = x @ W
        return out + self.params["b"] if "b" in self.params else out

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        x, W = self._kept()
        self._weights_backward(x.T @ dout)
        if "b" in self.params:
            self.grads["b"] = dout.sum(axis=0)
        dx: Array = dout @ W.T
        return dx

    def _weights(self) -> Array:
        """Return the weights that multiply x."""
        return self.params["W"]

    def _weights_backward(self, dW: Array) -> None:
        """Hand the gradient of those weights on to the parameters they come from."""
        self.grads["W"] = dW


class WeightNormLinear(Linear):
    """A linear layer whose weights are `dlnorm.weightnorm_forward` of its parameters v and g.

    It starts as the plain layer with the same generator would: g is the length of v.

    Parameters
    ----------
    n_in, n_out, rng, init, bias
        As for `Linear`; `init` is the spread of v.

    Raises
    ------
    TypeError, ValueError
        As `Linear`.

    See Also
    --------
    dlnorm.nn.initialize_from_data : g and b from a batch of data.

    Examples
    --------
    >>> layer = WeightNormLinear(3, 2, np.random.default_rng(0))
    >>> plain = Linear(3, 2, np.random.default_rng(0))
    >>> x = np.ones((5, 3))
    >>> np.allclose(layer.forward(x, "train"), plain.forward(x, "train"), rtol=1e-15)
    True
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        rng: np.random.Generator,
        *,
        init: Init = "he",
        bias: bool = True,
    ) -> None:
        super().__init__(n_in, n_out, rng, init=init, bias=bias)
        v = self.params.pop("W")
        self.params = {"v": v, "g": np.linalg.norm(v, axis=0), **self.params}

    def _weights(self) -> Array:
        W, self._norm_cache = weightnorm_forward(self.params["v"], self.params["g"])
        return W

    def _weights_backward(self, dW: Array) -> None:
        self.grads["v"], self.grads["g"] = weightnorm_backward(dW, self._norm_cache)


class CosineLinear(Layer):
    """`dlnorm.cosinenorm_forward` as a layer: each unit answers with a cosine, from -1 to 1.

    Parameters
    ----------
    n_in, n_out : int
    rng : numpy.random.Generator
        Draws the weights, whose lengths don't matter.
    scale : float
        What the cosines are multiplied by, positive: scores between -1 and 1 would leave a
        softmax over ten classes undecided.
    eps : float
        As in `dlnorm.cosinenorm_forward`; above 0 where a whole row of x can be 0.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    References
    ----------
    Luo et al. (2017).

    Examples
    --------
    >>> layer = CosineLinear(3, 2, np.random.default_rng(0), scale=5.0)
    >>> bool(np.abs(layer.forward(1e9 * np.ones((4, 3)), "train")).max() <= 5)
    True
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        rng: np.random.Generator,
        *,
        scale: float = 1.0,
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        n_in, n_out = size("n_in", n_in), size("n_out", n_out)
        self.params["W"] = draw("glorot", (n_in, n_out), n_in, n_out, rng)
        self.scale = _validate.number("scale", scale, 0, np.inf, open_low=True)
        self.eps = eps

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the scaled cosines; the same in both modes."""
        out, self._cache = cosinenorm_forward(x, self.params["W"], self.eps)
        return self.scale * out

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dx, self.grads["W"] = cosinenorm_backward(self.scale * dout, self._kept())
        return dx
