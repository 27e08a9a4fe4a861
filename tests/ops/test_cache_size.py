"""A norm's cache holds one array of x's size, and nothing else that grows with the batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dlnorm
from dlnorm import bench


def arrays(value: Any) -> Iterator[np.ndarray]:
    """The arrays in a cache, each memory once."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from arrays(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from arrays(part)


def memory_of(value: Any) -> dict[int, int]:
    """Bytes by the array that owns them: a view of one that is counted costs nothing."""
    owned = {}
    for array in arrays(value):
        while isinstance(array.base, np.ndarray):
            array = array.base
        owned[id(array)] = array.nbytes
    return owned


def forwards() -> dict[str, Any]:
    gamma, beta = np.full(16, 2.0), np.full(16, 3.0)
    train = {"mode": "train"}
    return {
        "batch": ((64, 16), lambda x: dlnorm.batchnorm_forward(x, gamma, beta, train)),
        "layer": ((64, 16), lambda x: dlnorm.layernorm_forward(x, gamma, beta, {})),
        "rms": ((64, 16), lambda x: dlnorm.rmsnorm_forward(x, gamma, {})),
        "mean only": ((64, 16), lambda x: dlnorm.meanonly_batchnorm_forward(x, beta, train)),
        "renorm": ((64, 16), lambda x: dlnorm.batch_renorm_forward(x, gamma, beta, train)),
        "spatial batch": (
            (4, 16, 6, 5),
            lambda x: dlnorm.spatial_batchnorm_forward(x, gamma, beta, train),
        ),
        "spatial layer": (
            (4, 16, 6, 5),
            lambda x: dlnorm.spatial_layernorm_forward(x, gamma, beta, {}),
        ),
        "group": (
            (4, 16, 6, 5),
            lambda x: dlnorm.spatial_groupnorm_forward(x, gamma, beta, 4, {}),
        ),
        "instance": (
            (4, 16, 6, 5),
            lambda x: dlnorm.spatial_instancenorm_forward(x, gamma, beta, {}),
        ),
    }


@pytest.mark.parametrize("name", forwards())
def test_the_cache_holds_one_array_of_the_inputs_size(name: str) -> None:
    shape, forward = forwards()[name]
    x = np.random.default_rng(0).normal(size=shape)
    out, cache = forward(x)
    large = [size for size in memory_of(cache).values() if size >= x.nbytes]
    assert len(large) <= 1
    # what is left is statistics and parameters, one number a feature, sample or group
    rest = sum(memory_of(cache).values()) - sum(large)
    assert rest <= x.nbytes
    assert not any(np.shares_memory(out, array) for array in arrays(cache) if array.size == x.size)


def test_every_norm_that_is_timed_is_here() -> None:
    assert {name.removesuffix(" norm").lower() for name in bench.NORMS} <= set(forwards())
