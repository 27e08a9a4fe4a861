"""The heart: mean 0 and variance almost 1 over any axes, and the gradient through it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import dlnorm
from dlnorm.standardize import scale_shift, scale_shift_backward
from tests.ops.cases import EPS, Array, BatchNormCase, unit_roundoff

SHAPE = (3, 4, 2, 5)
EVERY_AXES = [axes for k in range(1, 5) for axes in itertools.combinations(range(len(SHAPE)), k)]


def sample(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape) * 0.3 + 2


def slices(x: Array, axes: tuple[int, ...]) -> Array:
    """One row for each statistic, the entries it runs over along it."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    return x.transpose(*kept, *axes).reshape(math.prod([x.shape[axis] for axis in kept]), -1)


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("axes", EVERY_AXES, ids=str)
def test_over_any_axes_it_is_batch_norm_of_the_slices(axes: tuple[int, ...], eps: float) -> None:
    x, dx_hat = sample(), sample(seed=1)
    x_hat, cache = dlnorm.standardize(x, axes, eps)
    dx = dlnorm.standardize_backward(dx_hat, cache)

    rows = np.ascontiguousarray(slices(x, axes).T)
    features = rows.shape[1]
    expected, bn_cache = dlnorm.batchnorm_forward(
        rows, np.ones(features), np.zeros(features), {"mode": "train", "eps": eps}
    )
    # the order of summation may differ: m u in a mean, on either side, relative to its terms
    m = rows.shape[0]
    bound = (8 * m + 40) * unit_roundoff(np.float64)
    size = np.abs(expected).max() + 1
    np.testing.assert_allclose(slices(x_hat, axes).T, expected, rtol=0, atol=bound * size)
    flat = dlnorm.batchnorm_backward(np.ascontiguousarray(slices(dx_hat, axes).T), bn_cache)[0]
    largest = float(np.abs(dx_hat).max() * size**2 / cache.std.min())
    np.testing.assert_allclose(slices(dx, axes).T, flat, rtol=0, atol=bound * largest)
    for statistic in (cache.mean, cache.var, cache.std):
        assert statistic.shape == tuple(1 if i in axes else n for i, n in enumerate(SHAPE))


@pytest.mark.parametrize("axes", [(0,), (1,), (1, 3), (0, 2, 3), (0, 1, 2, 3)], ids=str)
def test_backward_equals_the_complex_step(axes: tuple[int, ...]) -> None:
    x, dx_hat = sample(), sample(seed=1)
    _, cache = dlnorm.standardize(x, axes, 0.01)
    expected = dlnorm.complex_step_gradient(
        lambda x: dlnorm.standardize(x, axes, 0.01)[0], x, dx_hat
    )
    dx = dlnorm.standardize_backward(dx_hat, cache)
    assert dlnorm.relative_error(dx, expected) < 1e-10


def test_axes_may_be_counted_from_the_end_and_given_as_one_number() -> None:
    x = sample()
    expected, _ = dlnorm.standardize(x, (1, 3))
    for axes in ((3, 1), (-1, 1), (-3, -1), [1, 3]):
        x_hat, cache = dlnorm.standardize(x, axes)
        np.testing.assert_array_equal(x_hat, expected)
        assert sorted(cache.axes) == [1, 3]
    np.testing.assert_array_equal(dlnorm.standardize(x, -1)[0], dlnorm.standardize(x, (3,))[0])


def test_batch_norm_is_this_over_the_batch() -> None:
    case = BatchNormCase((5, 3))
    x_hat, cache = dlnorm.standardize(case.x, 0)
    out, bn_cache = dlnorm.batchnorm_forward(case.x, np.ones(3), np.zeros(3), {"mode": "train"})
    np.testing.assert_array_equal(x_hat, out)
    np.testing.assert_array_equal(cache.var, bn_cache.stats.var)


def test_the_cache_holds_the_statistics_of_x() -> None:
    x = sample()
    x_hat, cache = dlnorm.standardize(x, (0, 3), 0.5)
    np.testing.assert_allclose(cache.mean, x.mean(axis=(0, 3), keepdims=True), rtol=1e-14)
    np.testing.assert_allclose(cache.var, x.var(axis=(0, 3), keepdims=True), rtol=1e-14)
    np.testing.assert_allclose(cache.std, np.sqrt(cache.var + 0.5), rtol=1e-15)
    assert cache.x_hat is x_hat
    assert cache.axes == (0, 3)


@pytest.mark.parametrize("c", [0.0, 0.1, 1e4, -1e300])
def test_a_constant_array_becomes_zero(c: float) -> None:
    x_hat, _ = dlnorm.standardize(np.full((4, 2), c), 0, eps=1e-5)
    np.testing.assert_array_equal(x_hat, np.zeros((4, 2)))


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 4), (2, 3, 2, 2)], ids=str)
def test_scale_and_shift_have_the_gradients_of_a_product_and_a_sum(shape: tuple[int, ...]) -> None:
    wide = tuple(size if axis == 1 else 1 for axis, size in enumerate(shape))
    x_hat, dout = sample(shape), sample(shape, 1)
    arguments: dict[str, Any] = {
        "x_hat": x_hat,
        "gamma": sample(wide, 2),
        "beta": sample(wide, 3),
    }
    gradients = scale_shift_backward(dout, x_hat, arguments["gamma"])
    for name, gradient in zip(arguments, gradients, strict=True):
        expected = dlnorm.complex_step_gradient(
            lambda value, name=name: scale_shift(**{**arguments, name: value}),
            arguments[name],
            dout,
        )
        assert gradient.shape == arguments[name].shape
        np.testing.assert_allclose(gradient, expected, rtol=1e-14)
