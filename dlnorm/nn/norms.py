"""The norms of activations as layers.

Each takes (N, D), and (N, C, H, W) where that has a meaning, and hands the work to the function
of `dlnorm` it is named after. Every gamma starts at 1 and every beta at 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlnorm._validate import Array
from dlnorm.batchnorm import batchnorm_backward, batchnorm_forward, spatial_batchnorm_forward
from dlnorm.batchnorm_variants import (
    batch_renorm_backward,
    batch_renorm_forward,
    ghost_batchnorm_backward,
    ghost_batchnorm_forward,
    meanonly_batchnorm_backward,
    meanonly_batchnorm_forward,
)
from dlnorm.groupnorm import spatial_groupnorm_backward, spatial_groupnorm_forward
from dlnorm.layernorm import (
    layernorm_backward,
    layernorm_forward,
    rmsnorm_backward,
    rmsnorm_forward,
    spatial_layernorm_forward,
)
from dlnorm.nn.initializers import size
from dlnorm.nn.layer import Layer, Mode

# ---------------------------------------------------------------- with running statistics


class BatchNorm(Layer):
    """`dlnorm.batchnorm_forward` as a layer, and `dlnorm.spatial_batchnorm_forward` for images.

    Parameters
    ----------
    features : int
        D, or C for images.
    eps, momentum : float
        As in `dlnorm.batchnorm_forward`.
    constant_statistics : bool
        Whether the backward pass pretends that mean and variance do not depend on x. A mistake,
        kept to show what it does.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, here or in the first forward pass.

    Examples
    --------
    >>> layer = BatchNorm(3)
    >>> x = np.random.default_rng(0).normal(5.0, 2.0, (100, 3))
    >>> bool(np.abs(layer.forward(x, "train").mean(axis=0)).max() < 1e-15)
    True
    >>> np.allclose(layer.memory["running_mean"], 0.1 * x.mean(axis=0), rtol=1e-14)
    True
    """

    def __init__(
        self,
        features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.9,
        constant_statistics: bool = False,
    ) -> None:
        super().__init__()
        features = size("features", features)
        self.eps, self.momentum = eps, momentum
        self.constant_statistics = constant_statistics
        self.params["gamma"], self.params["beta"] = np.ones(features), np.zeros(features)
        self.memory["running_mean"] = np.zeros(features)
        self.memory["running_var"] = np.ones(features)

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the normalized batch, and in train mode move the running statistics."""
        bn_param = self._bn_param(mode)
        out = self._norm(x, bn_param)
        self.memory = {key: bn_param[key] for key in self.memory}
        return out

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        cache = self._kept()
        if self.constant_statistics:
            cache = cache._replace(mode="test")
        dx, self.grads["gamma"], self.grads["beta"] = batchnorm_backward(dout, cache)
        return dx

    def _bn_param(self, mode: Mode) -> Any:
        """Return the dict that the function of `dlnorm` takes."""
        return {"mode": mode, "eps": self.eps, "momentum": self.momentum, **self.memory}

    def _norm(self, x: Array, bn_param: Any) -> Array:
        """Call the function of `dlnorm`, and keep its cache."""
        norm = spatial_batchnorm_forward if x.ndim == 4 else batchnorm_forward
        out, self._cache = norm(x, self.params["gamma"], self.params["beta"], bn_param)
        return out


class BatchRenorm(BatchNorm):
    """`dlnorm.batch_renorm_forward` as a layer.

    Parameters
    ----------
    features, eps, momentum
        As for `BatchNorm`.
    r_max, d_max : float
        The limits of the correction; attributes, to be moved while training.

    Examples
    --------
    >>> BatchRenorm(3).forward(np.ones((5, 3)), "train").shape
    (5, 3)
    """

    def __init__(
        self,
        features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.9,
        r_max: float = 3.0,
        d_max: float = 5.0,
    ) -> None:
        super().__init__(features, eps=eps, momentum=momentum)
        self.r_max, self.d_max = r_max, d_max

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dx, self.grads["gamma"], self.grads["beta"] = batch_renorm_backward(dout, self._kept())
        return dx

    def _bn_param(self, mode: Mode) -> Any:
        return {**super()._bn_param(mode), "r_max": self.r_max, "d_max": self.d_max}

    def _norm(self, x: Array, bn_param: Any) -> Array:
        out, self._cache = batch_renorm_forward(
            x, self.params["gamma"], self.params["beta"], bn_param
        )
        return out


class GhostBatchNorm(BatchNorm):
    """`dlnorm.ghost_batchnorm_forward` as a layer.

    Parameters
    ----------
    features : int
    ghost_size : int
        Samples in a ghost batch, a divisor of the batch size.
    eps, momentum
        As for `BatchNorm`.

    Examples
    --------
    >>> GhostBatchNorm(3, ghost_size=2).forward(np.ones((6, 3)), "train").shape
    (6, 3)
    """

    def __init__(
        self, features: int, *, ghost_size: int, eps: float = 1e-5, momentum: float = 0.9
    ) -> None:
        super().__init__(features, eps=eps, momentum=momentum)
        self.ghost_size = size("ghost_size", ghost_size)

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dx, self.grads["gamma"], self.grads["beta"] = ghost_batchnorm_backward(dout, self._kept())
        return dx

    def _bn_param(self, mode: Mode) -> Any:
        return {**super()._bn_param(mode), "ghost_size": self.ghost_size}

    def _norm(self, x: Array, bn_param: Any) -> Array:
        out, self._cache = ghost_batchnorm_forward(
            x, self.params["gamma"], self.params["beta"], bn_param
        )
        return out


class MeanOnlyBatchNorm(BatchNorm):
    """`dlnorm.meanonly_batchnorm_forward` as a layer; made to follow weight norm.

    Parameters
    ----------
    features : int
    momentum : float

    Examples
    --------
    >>> MeanOnlyBatchNorm(1).forward(np.array([[1.0], [3.0]]), "train")
    array([[-1.],
           [ 1.]])
    """

    def __init__(self, features: int, *, momentum: float = 0.9) -> None:
        super().__init__(features, momentum=momentum)
        del self.params["gamma"], self.memory["running_var"]

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dx, self.grads["beta"] = meanonly_batchnorm_backward(dout, self._kept())
        return dx

    def _norm(self, x: Array, bn_param: Any) -> Array:
        out, self._cache = meanonly_batchnorm_forward(x, self.params["beta"], bn_param)
        return out


# ---------------------------------------------------------------- each sample by itself


class LayerNorm(Layer):
    """`dlnorm.layernorm_forward` as a layer, and `dlnorm.spatial_layernorm_forward` for images.

    Parameters
    ----------
    features : int
        D, or C for images, which then get one gamma a channel.
    eps : float

    Examples
    --------
    >>> LayerNorm(2).forward(np.array([[1.0, 3.0]]), "train").round(3)
    array([[-1.,  1.]])
    """

    def __init__(self, features: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        features = size("features", features)
        self.eps = eps
        self.params["gamma"], self.params["beta"] = np.ones(features), np.zeros(features)

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the normalized samples; the same in both modes."""
        norm = spatial_layernorm_forward if x.ndim == 4 else layernorm_forward
        gamma, beta = self.params["gamma"], self.params["beta"]
        out, self._cache = norm(x, gamma, beta, {"eps": self.eps})
        return out

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dx, self.grads["gamma"], self.grads["beta"] = layernorm_backward(dout, self._kept())
        return dx


class RMSNorm(Layer):
    """`dlnorm.rmsnorm_forward` as a layer, for (N, D).

    Parameters
    ----------
    features : int
    eps : float

    Examples
    --------
    >>> RMSNorm(4, eps=0.0).forward(np.array([[3.0, 4.0, 0.0, 0.0]]), "train")
    array([[1.2, 1.6, 0. , 0. ]])
    """

    def __init__(self, features: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.params["gamma"] = np.ones(size("features", features))

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the normalized samples; the same in both modes."""
        out, self._cache = rmsnorm_forward(x, self.params["gamma"], {"eps": self.eps})
        return out

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dx, self.grads["gamma"] = rmsnorm_backward(dout, self._kept())
        return dx


class GroupNorm(Layer):
    """`dlnorm.spatial_groupnorm_forward` as a layer.

    (N, D) is taken as images of one pixel: then a group's statistics run over its features.

    Parameters
    ----------
    features : int
        C, or D.
    groups : int
        A divisor of `features`.
    eps : float

    Examples
    --------
    >>> GroupNorm(4, 2).forward(np.array([[1.0, 3.0, 10.0, 30.0]]), "train").round(3)
    array([[-1.,  1., -1.,  1.]])
    """

    def __init__(self, features: int, groups: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        features = size("features", features)
        self.groups, self.eps = size("groups", groups), eps
        self.params["gamma"], self.params["beta"] = np.ones(features), np.zeros(features)

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the normalized samples; the same in both modes."""
        images = x[:, :, np.newaxis, np.newaxis] if x.ndim == 2 else x
        gamma, beta = self.params["gamma"], self.params["beta"]
        out, self._cache = spatial_groupnorm_forward(
            images, gamma, beta, self.groups, {"eps": self.eps}
        )
        return out.reshape(x.shape)

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        images = dout[:, :, np.newaxis, np.newaxis] if dout.ndim == 2 else dout
        dx, self.grads["gamma"], self.grads["beta"] = spatial_groupnorm_backward(
            images, self._kept()
        )
        return dx.reshape(dout.shape)


class InstanceNorm(GroupNorm):
    """Instance norm of images as a layer: `GroupNorm` with as many groups as channels.

    Parameters
    ----------
    channels : int
    eps : float

    Examples
    --------
    >>> x = np.array([1.0, 3.0, 10.0, 30.0]).reshape(1, 2, 1, 2)
    >>> InstanceNorm(2).forward(x, "train").ravel().round(3)
    array([-1.,  1., -1.,  1.])
    """

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__(channels, channels, eps=eps)
