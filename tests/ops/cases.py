"""Inputs, oracles and error bounds that several test modules of this folder share."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import settings

import dlnorm

Array = npt.NDArray[Any]

#: The same examples at every run, and no folder of them left behind.
QUICK = settings(max_examples=40, deadline=None, derandomize=True, database=None)

#: One sample, one feature, more features than samples, more samples than features.
SHAPES_2D = [(1, 1), (1, 4), (6, 1), (3, 5), (7, 3)]
#: One value a channel, one sample, one channel, H != W, W = C, one row, one column.
SHAPES_4D = [(1, 1, 1, 1), (1, 2, 3, 4), (3, 1, 2, 5), (2, 3, 4, 3), (4, 3, 1, 1), (2, 2, 1, 5)]
EPS = [0.5, 1e-3, 1e-5, 1e-12]
MODES = ["train", "test"]

FORWARD: dict[int, Callable[..., Any]] = {
    2: dlnorm.batchnorm_forward,
    4: dlnorm.spatial_batchnorm_forward,
}
BACKWARD: dict[int, Callable[..., Any]] = {
    2: dlnorm.batchnorm_backward,
    4: dlnorm.spatial_batchnorm_backward,
}


def unit_roundoff(dtype: npt.DTypeLike) -> float:
    """Largest relative error of one rounding."""
    return float(np.finfo(dtype).eps) / 2


def reduced(x: Array) -> tuple[int, ...]:
    """The axes batch norm averages over."""
    return tuple(axis for axis in range(x.ndim) if axis != 1)


def entries(x: Array) -> int:
    """Return m, how many entries one statistic runs over."""
    return x.size // x.shape[1]


def wide(value: Array, x: Array) -> Array:
    """Reshape one entry a feature so that it broadcasts against x."""
    return value.reshape(1, -1, *[1] * (x.ndim - 2))


class BatchNormCase:
    """Random x, gamma, beta, dout and a bn_param, of which no two features are alike."""

    def __init__(
        self,
        shape: tuple[int, ...],
        mode: str = "train",
        eps: float = 1e-5,
        *,
        var: float = 4.0,
        mean: float = 1.0,
        dtype: npt.DTypeLike = np.float64,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng([seed, *shape])
        features = shape[1]
        self.x = (mean + math.sqrt(var) * rng.standard_normal(shape)).astype(dtype)
        self.gamma = rng.uniform(0.5, 2, features).astype(dtype) * rng.choice([-1, 1], features)
        self.gamma = self.gamma.astype(dtype)
        self.beta = rng.standard_normal(features).astype(dtype)
        self.dout = rng.standard_normal(shape).astype(dtype)
        self.bn_param: dict[str, Any] = {
            "mode": mode,
            "eps": eps,
            "momentum": 0.7,
            "running_mean": (mean + rng.standard_normal(features)).astype(dtype),
            "running_var": (var * rng.uniform(0.5, 2, features)).astype(dtype),
        }

    def forward(self, **changed: Array) -> tuple[Array, Any]:
        """Run the forward pass, with some arguments exchanged, on a copy of bn_param."""
        arguments = {"x": self.x, "gamma": self.gamma, "beta": self.beta, **changed}
        return FORWARD[self.x.ndim](**arguments, bn_param=copy.deepcopy(self.bn_param))

    def backward(self) -> tuple[Array, Array, Array]:
        """Gradients with respect to x, gamma and beta."""
        return BACKWARD[self.x.ndim](self.dout, self.forward()[1])

    @property
    def std(self) -> Array:
        """What x - mean is divided by, shaped to broadcast."""
        if self.bn_param["mode"] == "train":
            var = self.x.var(axis=reduced(self.x), keepdims=True)
        else:
            var = wide(self.bn_param["running_var"], self.x)
        return np.sqrt(var + self.bn_param["eps"])

    @property
    def terms(self) -> float:
        """Size of the terms that dx is a sum of; dx itself can cancel to 0."""
        return float(np.abs(wide(self.gamma, self.x) * self.dout / self.std).max())


def textbook(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array, Array]:
    """Batch norm as the definition says it, feature by feature: ``(out, mean, biased var)``.

    In exact fractions up to the root, so that no rounding is shared with what is tested.
    """
    out = np.empty(x.shape)
    means, variances = [], []
    for c in range(x.shape[1]):
        feature = [Fraction(float(value)) for value in x[:, c].ravel()]
        mean = sum(feature, Fraction(0)) / len(feature)
        centered = [value - mean for value in feature]
        var = sum((value**2 for value in centered), Fraction(0)) / len(feature)
        std = math.sqrt(var + Fraction(eps))
        scaled = np.array([float(value) for value in centered]) / std
        out[:, c] = float(gamma[c]) * scaled.reshape(x[:, c].shape) + float(beta[c])
        means.append(float(mean))
        variances.append(float(var))
    return out, np.array(means), np.array(variances)


def x_hat_bound(x: Array) -> float:
    """Return how far a computed x_hat may be from the exact one, relative to ``1 + |x_hat|``.

    With u the unit roundoff, m entries and any order of summation, a mean of numbers of size s is
    off by at most m u s. x - mean is exact where x is close to mean (Sterbenz), so after the
    second subtraction only m u mean|centered| is left of the first mean's error e, and
    mean|centered| <= std + e. The variance is off by (m + 2) u of itself and by the centering
    twice, its root by half of that, the division by u: in sum (2 m + 8) u (1 + e / std), where
    e <= (m + 1) u max|x|. The same with a further 8 for what follows on x_hat.
    """
    u, m = unit_roundoff(x.dtype), entries(x)
    spread = x.astype(np.float64).std(axis=reduced(x))
    error = (m + 1) * u * float(np.abs(x).max()) / float(spread.min()) if spread.all() else 0.0
    return (2 * m + 16) * u * (1 + error)


class Scripted(np.random.Generator):
    """A generator whose uniform numbers are given; `dlnorm` asks its rng for nothing else."""

    def __init__(self, draw: Callable[[tuple[int, ...]], Array]) -> None:
        super().__init__(np.random.PCG64(0))
        self._draw = draw

    def random(self, size: Any = None, *_: Any, **__: Any) -> Any:
        """Hand out the next array."""
        return self._draw(size)


def masks(size: int, p: float) -> Iterator[tuple[Array, float, Scripted]]:
    """Every mask of `size` entries, its probability, and a generator that makes it be drawn.

    The uniform numbers lie as close to p as they can on either side: p itself must be kept, since
    ``P(u < p) = p`` for u in [0, 1).
    """
    for bits in itertools.product([0.0, 1.0], repeat=size):
        mask = np.array(bits)
        probability = math.prod(1 - p if kept else p for kept in bits)
        uniform = np.where(mask, p, np.nextafter(p, -1))
        yield mask, probability, Scripted(uniform.reshape)


def layouts(x: Array) -> dict[str, Array]:
    """Return x in every memory layout that reaches a function in practice, values unchanged."""
    padded = np.full([2 * size + 1 for size in x.shape], np.nan, x.dtype)
    every_other = padded[tuple(slice(1, None, 2) for _ in x.shape)]
    every_other[...] = x
    backwards = np.flip(np.flip(x).copy())
    frozen = x.copy()
    frozen.flags.writeable = False
    return {
        "C": x.copy(),
        "Fortran": np.asfortranarray(x),
        "strided": every_other,
        "reversed": backwards,
        "read-only": frozen,
    }


@contextmanager
def unchanged(**values: Any) -> Iterator[None]:
    """Fail if any of the values, or an array inside a dict or a tuple, is changed in the block."""
    before = {name: copy.deepcopy(value) for name, value in values.items()}
    yield
    for name, value in values.items():
        assert_same(name, value, before[name])


def assert_same(name: str, value: Any, before: Any) -> None:
    """Compare exactly, through dicts and tuples."""
    if isinstance(value, dict):
        assert list(value) == list(before), f"{name} has other keys than before"
        for key in value:
            assert_same(f"{name}[{key!r}]", value[key], before[key])
    elif isinstance(value, tuple):
        for i, (one, other) in enumerate(zip(value, before, strict=True)):
            assert_same(f"{name}[{i}]", one, other)
    elif isinstance(value, np.ndarray):
        assert value.dtype == before.dtype, f"{name} has another dtype than before"
        np.testing.assert_array_equal(value, before, err_msg=f"{name} was changed")
    elif not isinstance(value, np.random.Generator):
        nan = value != value and before != before
        assert nan or value == before, f"{name} was changed"


def hoeffding(draws: int, false_alarm: float = 1e-9) -> float:
    """How far a mean of `draws` independent numbers in [0, 1] may be from its expectation.

    ``P(|mean - expectation| >= t) <= 2 exp(-2 n t**2)``, solved for t.
    """
    return math.sqrt(math.log(2 / false_alarm) / (2 * draws))
