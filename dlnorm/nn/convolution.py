"""Convolution of images, and layers that only change the shape."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dlnorm import _validate
from dlnorm._validate import Array
from dlnorm.nn.initializers import Init, draw, size
from dlnorm.nn.layer import Layer, Mode


class Conv2d(Layer):
    r"""Convolution (cross-correlation) of x, shape (N, C, H, W), with F square kernels.

    .. math:: y_{nfij} = b_f + \sum_{c, k, l} x_{n, c, s i + k, s j + l} \, W_{fckl}

    with the stride s, over x with a border of `padding` zeros.

    Parameters
    ----------
    channels, filters : int
        C and F.
    kernel : int
        Height and width of each kernel.
    rng : numpy.random.Generator
        Draws the kernels; the biases start at 0.
    stride, padding : int
    init : {"he", "glorot"} or float
        The spread of the kernels, with C * kernel**2 numbers going into each.
    bias : bool

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    Notes
    -----
    W has shape (F, C, kernel, kernel), as `dlnorm.fold_batchnorm` takes it. Each place of the
    output is one row of a matrix product ("im2col"): the windows of x are laid out as rows, the
    kernels as columns. On the way back each of the kernel's entries adds to dx where it looked.

    Examples
    --------
    >>> layer = Conv2d(1, 4, 3, np.random.default_rng(0), padding=1)
    >>> layer.forward(np.ones((2, 1, 8, 8)), "train").shape
    (2, 4, 8, 8)
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int,
        rng: np.random.Generator,
        *,
        stride: int = 1,
        padding: int = 0,
        init: Init = "he",
        bias: bool = True,
    ) -> None:
        super().__init__()
        channels, filters = size("channels", channels), size("filters", filters)
        self.kernel, self.stride = size("kernel", kernel), size("stride", stride)
        self.padding = _validate.seed("padding", padding)
        shape = (filters, channels, self.kernel, self.kernel)
        area = self.kernel * self.kernel
        self.params["W"] = draw(init, shape, channels * area, filters * area, rng)
        if bias:
            self.params["b"] = np.zeros(filters)

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the filtered images; the same in both modes."""
        W = self.params["W"]
        filters, channels = W.shape[:2]
        n, c, h, w = _validate.array("x", x, "N, C, H, W").shape
        if c != channels or min(h, w) + 2 * self.padding < self.kernel:
            raise ValueError(
                f"x must have {channels} channels and be at least "
                f"{self.kernel - 2 * self.padding} high and wide, got shape {x.shape}"
            )
        border = (self.padding, self.padding)
        padded = np.pad(x, ((0, 0), (0, 0), border, border))
        every = sliding_window_view(padded, (self.kernel, self.kernel), axis=(2, 3))
        windows = every[:, :, :: self.stride, :: self.stride].transpose(0, 2, 3, 1, 4, 5)
        _, height, width = windows.shape[:3]
        rows = windows.reshape(n * height * width, -1)
        out = rows @ W.reshape(filters, -1).T
        if "b" in self.params:
            out += self.params["b"]
        self._cache = rows, padded.shape, (n, height, width)
        return out.reshape(n, height, width, filters).transpose(0, 3, 1, 2)

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        rows, padded, (n, height, width) = self._kept()
        W, k, s = self.params["W"], self.kernel, self.stride
        filters, channels = W.shape[:2]
        _validate.shape("dout", dout, (n, filters, height, width))
        by_place = dout.transpose(0, 2, 3, 1).reshape(-1, filters)
        self.grads["W"] = (by_place.T @ rows).reshape(W.shape)
        if "b" in self.params:
            self.grads["b"] = by_place.sum(axis=0)
        dwindows = (by_place @ W.reshape(filters, -1)).reshape(n, height, width, channels, k, k)
        dwindows = dwindows.transpose(4, 5, 0, 3, 1, 2)
        dpadded = np.zeros(padded, dwindows.dtype)
        for i, j in np.ndindex(k, k):
            dpadded[:, :, i : i + s * height : s, j : j + s * width : s] += dwindows[i, j]
        inner = slice(self.padding, -self.padding or None)
        return dpadded[:, :, inner, inner]


class Reshape(Layer):
    """Give each sample another shape, as (64,) to (1, 8, 8).

    Parameters
    ----------
    *shape : int
        Of one sample; one of them may be -1.

    Examples
    --------
    >>> Reshape(1, 8, 8).forward(np.zeros((5, 64)), "train").shape
    (5, 1, 8, 8)
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return x in the new shape."""
        self._cache = x.shape
        return x.reshape(len(x), *self.shape)

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dx: Array = dout.reshape(self._kept())
        return dx


class Flatten(Reshape):
    """Make a row of each sample: (N, C, H, W) to (N, C * H * W).

    Examples
    --------
    >>> Flatten().forward(np.zeros((5, 2, 3, 4)), "train").shape
    (5, 24)
    """

    def __init__(self) -> None:
        super().__init__(-1)
