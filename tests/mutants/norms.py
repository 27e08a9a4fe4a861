"""Wrong ways to standardize, each in place of `dlnorm.standardize` wherever it was imported."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dlnorm import standardize
from dlnorm.standardize import StandardizeCache

Array = Any
Wrong = Callable[[Array, Array, Array, int, float], tuple[Array, Array, Array]]


def identity(x: Array, mean: Array, var: Array, m: int, eps: float) -> tuple[Array, Array, Array]:
    return 0 * mean, var, np.ones_like(var)


def eps_outside(
    x: Array, mean: Array, var: Array, m: int, eps: float
) -> tuple[Array, Array, Array]:
    return mean, var, np.sqrt(var) + eps


def unbiased(x: Array, mean: Array, var: Array, m: int, eps: float) -> tuple[Array, Array, Array]:
    var = var * m / (m - 1)
    return mean, var, np.sqrt(var + eps)


def not_centered(
    x: Array, mean: Array, var: Array, m: int, eps: float
) -> tuple[Array, Array, Array]:
    return 0 * mean, var, np.sqrt(var + eps)


def uncentered_variance(
    x: Array, mean: Array, var: Array, m: int, eps: float
) -> tuple[Array, Array, Array]:
    var = var + mean**2
    return mean, var, np.sqrt(var + eps)


WRONG: dict[str, Wrong] = {
    "standardize: identity": identity,
    "standardize: eps outside the root": eps_outside,
    "standardize: unbiased variance": unbiased,
    "standardize: mean not subtracted": not_centered,
    "standardize: uncentered variance": uncentered_variance,
}


@contextlib.contextmanager
def instead_of_standardize(wrong: Wrong, state: dict[str, Any]) -> Iterator[list[bool]]:
    """Have `dlnorm` and a page standardize in a wrong way; the list says of each call that it was.

    A page's state keeps its own name for the function.
    """
    calls: list[bool] = []

    def replaced(x: Array, axes: Any, eps: float = 1e-5) -> tuple[Array, StandardizeCache]:
        calls.append(True)
        cache = standardize(x, axes, eps)[1]
        m = x.size // cache.mean.size
        mean, var, std = wrong(x, cache.mean, cache.var, m, eps)
        x_hat = (x - mean) / std
        return x_hat, StandardizeCache(x_hat, mean, var, std, cache.axes)

    spaces = [vars(module) for name, module in sys.modules.items() if name.startswith("dlnorm")]
    using = [space for space in (*spaces, state) if space.get("standardize") is standardize]
    for space in using:
        space["standardize"] = replaced
    try:
        yield calls
    finally:
        for space in using:
            space["standardize"] = standardize
