"""The norms that look at one sample at a time, in one table that several modules run through.

A norm is told apart from the others by one question: which entries share their statistics? Here
it is answered as Wu & He (2018) write it, with a label for every entry, and not with axes or a
reshape as `dlnorm` does it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

import dlnorm
from tests.ops.cases import (
    SHAPES_2D,
    SHAPES_4D,
    Array,
    textbook,
    unit_roundoff,
    x_hat_bound,
)

Shape = tuple[int, ...]

#: Those of batch norm, and some with channels to group: in two ways, and with W = C.
IMAGES = [*SHAPES_4D, (1, 4, 2, 4), (2, 6, 3, 2)]


@dataclass(frozen=True)
class Norm:
    """A norm as the tests see it: ``forward(x, *parameters, param)``, parameters of one shape."""

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    #: from the indices of an entry (n, c, h, w) to the label of what it is averaged with
    together: Callable[..., Any]
    gamma_shape: Shape
    centers: bool = True

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("gamma", "beta") if self.centers else ("gamma",)


def divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def groupnorm(groups: int) -> Callable[..., Any]:
    """Group norm with G set, its other arguments as those of its relatives."""

    def forward(x: Any, gamma: Any, beta: Any, gn_param: Any) -> Any:
        return dlnorm.spatial_groupnorm_forward(x, gamma, beta, groups, gn_param)

    return forward


def norms_of(shape: Shape) -> list[Norm]:
    """Every norm, in each form of its parameters, that takes x of this shape."""
    c = shape[1]
    if len(shape) == 2:
        return [
            Norm("layer", dlnorm.layernorm_forward, dlnorm.layernorm_backward, sample, (c,)),
            Norm("rms", dlnorm.rmsnorm_forward, dlnorm.rmsnorm_backward, sample, (c,), False),
        ]
    layer = partial(
        Norm,
        forward=dlnorm.spatial_layernorm_forward,
        backward=dlnorm.spatial_layernorm_backward,
        together=sample,
    )
    group = partial(Norm, backward=dlnorm.spatial_groupnorm_backward)
    instance = Norm(
        "instance",
        dlnorm.spatial_instancenorm_forward,
        dlnorm.spatial_instancenorm_backward,
        lambda n, k, *_: n * c + k,
        (1, c, 1, 1),
    )
    return [
        layer(name="layer, per channel", gamma_shape=(c,)),
        layer(name="layer, per channel, wide", gamma_shape=(1, c, 1, 1)),
        layer(name="layer, per entry", gamma_shape=shape[1:]),
        instance,
        *(
            group(
                name=f"group, G = {groups}",
                forward=groupnorm(groups),
                together=partial(in_group, groups, c // groups),
                gamma_shape=(c,),
            )
            for groups in divisors(c)
        ),
    ]


def sample(n: Array, *_: Array) -> Array:
    return n


def in_group(groups: int, size: int, n: Array, c: Array, *_: Array) -> Array:
    return n * groups + c // size


#: (norm, shape), each as a test's parameters
EVERY = [(norm, shape) for shape in [*SHAPES_2D, *IMAGES] for norm in norms_of(shape)]
IDS = [f"{norm.name}-{'x'.join(map(str, shape))}" for norm, shape in EVERY]


class NormCase:
    """Random x, gamma, beta and dout, of which no two features and no two samples are alike."""

    def __init__(
        self,
        norm: Norm,
        shape: Shape,
        eps: float = 1e-5,
        *,
        var: float = 4.0,
        mean: float = 1.0,
        dtype: npt.DTypeLike = np.float64,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng([seed, *shape])
        self.norm = norm
        self.x = (mean + np.sqrt(var) * rng.standard_normal(shape)).astype(dtype)
        size = norm.gamma_shape
        gamma = rng.uniform(0.5, 2, size) * rng.choice([-1, 1], size)
        self.parameters = {"gamma": gamma.astype(dtype)}
        if norm.centers:
            self.parameters["beta"] = rng.standard_normal(size).astype(dtype)
        self.dout = rng.standard_normal(shape).astype(dtype)
        self.param = {"eps": eps}

    def forward(self, **changed: Array) -> tuple[Array, Any]:
        """Run the forward pass, with some arguments exchanged."""
        arguments = {"x": self.x, **self.parameters, **changed}
        return self.norm.forward(*arguments.values(), copy.copy(self.param))

    def backward(self) -> dict[str, Array]:
        """Every gradient, by the name of what it belongs to."""
        grads = self.norm.backward(self.dout, self.forward()[1])
        return dict(zip(("x", *self.norm.parameters), grads, strict=True))

    @property
    def label(self) -> Array:
        """Of every entry; those with the same label share their statistics."""
        return np.broadcast_to(self.norm.together(*np.indices(self.x.shape)), self.x.shape)

    @property
    def columns(self) -> Array:
        """x as (m, how many statistics there are): what shares its statistics stands in a column.

        So the oracle of batch norm on a table serves all of them.
        """
        return np.stack([self.x[self.label == k] for k in np.unique(self.label)], axis=1)

    def scattered(self, columns: Array) -> Array:
        """Undo `columns`."""
        back = np.empty(self.x.shape, columns.dtype)
        for j, k in enumerate(np.unique(self.label)):
            back[self.label == k] = columns[:, j]
        return back

    def spread_out(self, name: str) -> Array:
        """Gamma or beta with an entry for every entry of x, looked up by its index."""
        value = self.parameters.get(name, np.zeros(self.norm.gamma_shape))
        _, c, *place = np.indices(self.x.shape)
        return value[c, *place] if value.shape == self.x.shape[1:] else value.ravel()[c]

    def exact(self) -> tuple[Array, Array, Array]:
        """By the definition, in exact fractions up to the root: ``(out, x_hat, std)``, x's size."""
        columns, eps = self.columns.astype(np.float64), self.param["eps"]
        m, statistics = columns.shape
        if self.norm.centers:
            x_hat, _, var = textbook(columns, np.ones(statistics), np.zeros(statistics), eps)
            std = np.sqrt(var + eps)
        else:
            squares = [sum(Fraction(value) ** 2 for value in column) for column in columns.T]
            std = np.array([math.sqrt(total / m + Fraction(eps)) for total in squares])
            x_hat = columns / std
        x_hat, std = self.scattered(x_hat), self.scattered(np.broadcast_to(std, columns.shape))
        out = self.spread_out("gamma").astype(np.float64) * x_hat + self.spread_out("beta")
        return out, x_hat, std

    @property
    def x_hat_bound(self) -> float:
        """Largest error of x_hat, relative to 1 + its largest entry.

        For a norm with a mean as derived in `cases.x_hat_bound`. Without: the mean square is off
        by (m + 1) u of itself, its root by half of that and one rounding, and so the quotient by
        (m / 2 + 3) u of itself; again with a further 8 for what follows on x_hat.
        """
        if self.norm.centers:
            return x_hat_bound(self.columns)
        return (len(self.columns) / 2 + 11) * unit_roundoff(self.x.dtype)

    @property
    def out_bound(self) -> float:
        """Largest error of the forward pass."""
        _, x_hat, _ = self.exact()
        gamma, beta = np.abs(self.spread_out("gamma")), np.abs(self.spread_out("beta"))
        return self.x_hat_bound * float((gamma * (1 + np.abs(x_hat).max()) + beta).max())

    @property
    def terms(self) -> float:
        """Size of what dx is a sum of; dx itself can cancel to 0."""
        return float(np.abs(self.spread_out("gamma") * self.dout / self.exact()[2]).max())

    @property
    def dx_bound(self) -> float:
        """Largest error of dx = (d - mean(d) - x_hat mean(d x_hat)) / std.

        With B the bound on x_hat and X = 1 + max|x_hat|: the product of x_hat with a mean over
        x_hat suffers twice from x_hat's error, 2 B X^2 d; both means from summation, in sum at
        most B X^2 d / 2; the division by std from std's error, less than B, on terms of at most
        (1 + X^2) d. In sum less than 4 B X^2 d / std, with room for the single roundings.
        """
        _, x_hat, _ = self.exact()
        return 4 * self.x_hat_bound * (1 + float(np.abs(x_hat).max())) ** 2 * self.terms


def arrays_in(cache: Any) -> Iterator[Array]:
    """Every array inside a cache of named tuples."""
    if isinstance(cache, np.ndarray):
        yield cache
    elif isinstance(cache, tuple):
        for value in cache:
            yield from arrays_in(value)
