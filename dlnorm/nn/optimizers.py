"""How parameters follow their gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array


class Optimizer(ABC):
    """Something that changes parameters, in place, given their gradients.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0; an attribute, to be changed while training.
    weight_decay : float
        This times the weight is added to each weight's gradient, as an L2 penalty of that
        strength would (`dlnorm.l2_penalty`). Only arrays with at least two axes are weights:
        biases, gammas and betas, and the lengths g of weight norm, are left alone.

    Attributes
    ----------
    state : dict of str to ndarray
        What is remembered from step to step, as ``"velocity/0.W"``.
    """

    def __init__(self, lr: float, weight_decay: float = 0.0) -> None:
        self.lr = _validate.number("lr", lr, 0, np.inf)
        self.weight_decay = _validate.number("weight_decay", weight_decay, 0, np.inf)
        self.state: dict[str, Array] = {}

    def step(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change every parameter.

        Parameters
        ----------
        params : dict of str to ndarray
            Changed in place.
        grads : dict of str to ndarray
            Under the same names; never changed.

        Raises
        ------
        ValueError
            If the names differ.
        """
        if params.keys() != grads.keys():
            alone = sorted(params.keys() ^ grads.keys())
            raise ValueError(f"params and grads must have the same names, got {alone} in one only")
        for name, param in params.items():
            grad = grads[name]
            if self.weight_decay and param.ndim >= 2:
                grad = grad + self.weight_decay * param
            self._change(name, param, grad)

    @abstractmethod
    def _change(self, name: str, param: Array, grad: Array) -> None:
        """Change one parameter in place."""

    def _remembered(self, kind: str, name: str, like: Array) -> Array:
        """Return what is kept for a parameter; zeros at first."""
        key = f"{kind}/{name}"
        if key not in self.state:
            self.state[key] = np.zeros_like(like)
        return self.state[key]


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum if asked for.

    .. math:: v \leftarrow \mu v - \eta \, g, \qquad w \leftarrow w + v

    Parameters
    ----------
    lr : float
    momentum : float
        :math:`\mu`, in [0, 1).
    weight_decay : float
        See `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    Examples
    --------
    >>> w = {"w": np.array([1.0])}
    >>> sgd = SGD(lr=0.5, momentum=0.5)
    >>> for _ in range(2):
    ...     sgd.step(w, {"w": np.array([1.0])})
    >>> w  # 1 - 0.5 - (0.25 + 0.5)
    {'w': array([-0.25])}
    """

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.momentum = _validate.number("momentum", momentum, 0, 1)

    def _change(self, name: str, param: Array, grad: Array) -> None:
        if not self.momentum:
            param -= self.lr * grad
            return
        velocity = self._remembered("velocity", name, param)
        velocity *= self.momentum
        velocity -= self.lr * grad
        param += velocity


class Adam(Optimizer):
    r"""Adam: each entry's step is the average of its gradients over their root mean square.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        w \leftarrow w - \eta \, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    lr : float
    beta1, beta2 : float
        How much of the old averages is kept, in [0, 1).
    eps : float
        Here outside the root.
    weight_decay : float
        See `Optimizer`; part of the gradient, so it is averaged as well.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    References
    ----------
    Kingma & Ba (2015), Algorithm 1.

    Examples
    --------
    >>> w = {"w": np.array([1.0, 1.0])}
    >>> Adam(lr=0.1, eps=0.0).step(w, {"w": np.array([1e-3, -1e3])})
    >>> w["w"].round(12)  # the first step has length lr, however large the gradient
    array([0.9, 1.1])
    """

    def __init__(
        self,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.beta1 = _validate.number("beta1", beta1, 0, 1)
        self.beta2 = _validate.number("beta2", beta2, 0, 1)
        self.eps = _validate.number("eps", eps, 0, np.inf)

    def step(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change every parameter; see `Optimizer.step`."""
        self.state["t"] = self.state.get("t", np.zeros((), np.int64)) + 1
        super().step(params, grads)

    def _change(self, name: str, param: Array, grad: Array) -> None:
        t = int(self.state["t"])
        m = self._remembered("mean", name, param)
        v = self._remembered("square", name, param)
        m *= self.beta1
        m += (1 - self.beta1) * grad
        v *= self.beta2
        v += (1 - self.beta2) * grad * grad
        rms = np.sqrt(v / (1 - self.beta2**t))
        param -= self.lr * (m / (1 - self.beta1**t)) / (rms + self.eps)
