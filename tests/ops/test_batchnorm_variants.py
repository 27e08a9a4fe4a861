"""Mean-only batch norm, batch renormalization and ghost batches: what each is, and what it equals.

Their gradients, dtypes, layouts and caches are in `tests.ops.test_operations`.
"""

from __future__ import annotations

import copy
import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import dlnorm
from tests.ops.cases import (
    EPS,
    FORWARD,
    MODES,
    SHAPES_2D,
    SHAPES_4D,
    Array,
    BatchNormCase,
    entries,
    reduced,
    textbook,
    unchanged,
    unit_roundoff,
    wide,
    x_hat_bound,
)

SHAPES = [*SHAPES_2D, (4, 2), *SHAPES_4D]
U = unit_roundoff(np.float64)
Param = dict[str, Any]


def renorm(case: BatchNormCase, **more: Any) -> tuple[Array, Any, Param]:
    """Run batch renorm on a copy of the memory: ``(out, cache, the memory after it)``."""
    param: Any = copy.deepcopy(case.bn_param) | more
    out, cache = dlnorm.batch_renorm_forward(case.x, case.gamma, case.beta, param)
    return out, cache, param


def ghosts(case: BatchNormCase, size: int) -> tuple[Array, Any, Param]:
    """Run ghost batch norm in the same way."""
    param: Any = copy.deepcopy(case.bn_param) | {"ghost_size": size}
    out, cache = dlnorm.ghost_batchnorm_forward(case.x, case.gamma, case.beta, param)
    return out, cache, param


def out_bound(case: BatchNormCase, x_hat: float) -> float:
    """Largest error of gamma x_hat + beta, with entries of x_hat up to the given one."""
    gamma, beta = float(np.abs(case.gamma).max()), float(np.abs(case.beta).max())
    return x_hat_bound(case.x) * (gamma * (1 + x_hat) + beta)


# ------------------------------------------------------------------ mean only


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean", [1.0, 1e4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mean_only_is_what_the_definition_says(
    shape: tuple[int, ...], mean: float, dtype: npt.DTypeLike
) -> None:
    case = BatchNormCase(shape, mean=mean, dtype=dtype)
    param: Any = copy.deepcopy(case.bn_param)
    out, _ = dlnorm.meanonly_batchnorm_forward(case.x, case.beta, param)

    m, u = entries(case.x), unit_roundoff(dtype)
    means = [sum(map(Fraction, map(float, case.x[:, c].ravel()))) / m for c in range(shape[1])]
    exact = np.stack(
        [
            np.vectorize(lambda v, c=c: float(Fraction(float(v)) - means[c]))(case.x[:, c])
            for c in range(shape[1])
        ],
        axis=1,
    ) + wide(case.beta.astype(np.float64), case.x)
    # As derived in `cases.x_hat_bound`: the first mean is off by e = (m + 1) u max|x|, of which
    # the second leaves (m + 1) u (max|centered| + e); two more roundings for the sum with beta.
    e = (m + 1) * u * float(np.abs(case.x).max())
    bound = (m + 4) * u * (float(np.abs(exact).max()) + e + float(np.abs(case.beta).max()))
    np.testing.assert_allclose(out, exact, rtol=0, atol=bound)

    want = 0.7 * case.bn_param["running_mean"] + 0.3 * np.array([float(v) for v in means])
    assert param["running_mean"].shape == shape[1:2]
    assert param["running_mean"].dtype == dtype
    np.testing.assert_allclose(param["running_mean"], want, rtol=0, atol=e + 4 * u * (mean + 9))
    np.testing.assert_array_equal(param["running_var"], case.bn_param["running_var"])


def test_mean_only_remembers_the_mean_to_a_rounding_in_float32() -> None:
    # added up one after another, 4096 numbers near 1e4 lose some digits of their mean
    x = np.random.default_rng(0).normal(10000.3, 1, (4096, 2)).astype(np.float32)
    param: Any = {"mode": "train", "momentum": 0.0}
    dlnorm.meanonly_batchnorm_forward(x, np.zeros(2), param)
    want = x.mean(axis=0, dtype=np.float64)
    # one rounding of the mean, and the second mean's own error: 4096 u of 1
    bound = unit_roundoff(np.float32) * (1e4 + 4096 + 1)
    one_after_another = np.cumsum(x, axis=0)[-1] / np.float32(4096)
    assert np.abs(one_after_another - want).max() > bound
    np.testing.assert_allclose(param["running_mean"], want, rtol=0, atol=bound)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mean_only_at_test_time_subtracts_what_was_remembered(shape: tuple[int, ...]) -> None:
    case = BatchNormCase(shape, "test")
    with unchanged(bn_param=case.bn_param):
        out, cache = dlnorm.meanonly_batchnorm_forward(case.x, case.beta, case.bn_param)
    want = (case.x - wide(case.bn_param["running_mean"], case.x)) + wide(case.beta, case.x)
    np.testing.assert_array_equal(out, want)
    dx, dbeta = dlnorm.meanonly_batchnorm_backward(case.dout, cache)
    np.testing.assert_array_equal(dx, case.dout)
    assert not np.shares_memory(dx, case.dout)
    size = float(np.abs(case.dout).sum())
    want = case.dout.sum(axis=reduced(case.x))
    np.testing.assert_allclose(dbeta, want, rtol=0, atol=case.dout.size * U * size)


@pytest.mark.parametrize("shape", [s for s in SHAPES if entries(np.empty(s)) > 1], ids=str)
def test_mean_only_is_batch_norm_where_the_variance_is_already_one(shape: tuple[int, ...]) -> None:
    case = BatchNormCase(shape)
    x_hat, _ = dlnorm.standardize(case.x, reduced(case.x), eps=0.0)
    case.x = 5.0 + x_hat
    case.gamma = np.ones_like(case.gamma)
    case.bn_param["eps"] = 0.0
    out, _ = dlnorm.meanonly_batchnorm_forward(case.x, case.beta, copy.deepcopy(case.bn_param))
    bound = 2 * out_bound(case, float(np.abs(x_hat).max()))
    np.testing.assert_allclose(out, case.forward()[0], rtol=0, atol=bound)


def test_mean_only_ignores_a_bias_before_it_and_keeps_the_scale() -> None:
    case = BatchNormCase((7, 3))
    zero = np.zeros(3)
    out, _ = dlnorm.meanonly_batchnorm_forward(case.x, zero, {"mode": "train"})
    shifted, _ = dlnorm.meanonly_batchnorm_forward(case.x + 64, zero, {"mode": "train"})
    np.testing.assert_allclose(shifted, out, rtol=0, atol=20 * U * 80)
    for factor in (4.0, -4.0):  # a power of 2: every rounding is the same
        scaled, _ = dlnorm.meanonly_batchnorm_forward(factor * case.x, zero, {"mode": "train"})
        np.testing.assert_array_equal(scaled, factor * out)


# ------------------------------------------------------------------ batch renormalization


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("limits", [(3.0, 5.0), (1.1, 0.05), (1.0, 0.0), (1e6, 1e6)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_renorm_is_what_the_algorithm_says(
    shape: tuple[int, ...], limits: tuple[float, float], eps: float
) -> None:
    case = BatchNormCase(shape, eps=eps)
    out, _, after = renorm(case, r_max=limits[0], d_max=limits[1])
    ones, zeros = np.ones(shape[1]), np.zeros(shape[1])
    x_hat, mean, var = textbook(case.x, ones, zeros, eps)
    before, sigma = case.bn_param, np.sqrt(case.bn_param["running_var"] + eps)
    r, d = np.sqrt(var + eps) / sigma, (mean - before["running_mean"]) / sigma
    r = np.array([min(max(v, 1 / limits[0]), limits[0]) for v in r])
    d = np.array([min(max(v, -limits[1]), limits[1]) for v in d])
    gamma, beta = wide(case.gamma, case.x), wide(case.beta, case.x)
    want = gamma * (x_hat * wide(r, case.x) + wide(d, case.x)) + beta
    size = float(r.max() * (1 + np.abs(x_hat).max()) + np.abs(d).max() + 1)
    np.testing.assert_allclose(out, want, rtol=0, atol=4 * out_bound(case, size))

    plain = copy.deepcopy(before)
    FORWARD[len(shape)](case.x, case.gamma, case.beta, plain)
    for name in ("running_mean", "running_var"):
        np.testing.assert_array_equal(after[name], plain[name])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_renorm_without_leeway_is_batch_norm(shape: tuple[int, ...], mode: str) -> None:
    case = BatchNormCase(shape, mode)
    out, cache, _ = renorm(case, r_max=1, d_max=0)
    np.testing.assert_array_equal(out, case.forward()[0])
    for got, want in zip(
        dlnorm.batch_renorm_backward(case.dout, cache), case.backward(), strict=True
    ):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_renorm_without_limits_gives_what_test_mode_gives_but_not_its_gradient(
    shape: tuple[int, ...],
) -> None:
    case, later = BatchNormCase(shape), BatchNormCase(shape, "test")
    out, cache, _ = renorm(case, r_max=1e9, d_max=1e9)
    want, _ = later.forward()
    size = float(np.abs(want / wide(case.gamma, case.x)).max()) + 1e3
    np.testing.assert_allclose(out, want, rtol=0, atol=4 * out_bound(case, size))
    # a constant added to a feature is subtracted again, as in batch norm: the gradient sums to 0
    dx = dlnorm.batch_renorm_backward(case.dout, cache)[0]
    size = 1e3 * case.terms * case.x.size * U
    np.testing.assert_allclose(dx.sum(axis=reduced(case.x)), 0, rtol=0, atol=size)
    assert np.abs(later.backward()[0].sum(axis=reduced(case.x))).max() > 1e-3


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_renorm_at_test_time_is_batch_norm(shape: tuple[int, ...]) -> None:
    case = BatchNormCase(shape, "test")
    with unchanged(bn_param=case.bn_param):
        out, cache = dlnorm.batch_renorm_forward(case.x, case.gamma, case.beta, case.bn_param)
    np.testing.assert_array_equal(out, case.forward()[0])
    for got, want in zip(
        dlnorm.batch_renorm_backward(case.dout, cache), case.backward(), strict=True
    ):
        np.testing.assert_array_equal(got, want)


def test_renorm_defaults_are_three_and_five() -> None:
    case = BatchNormCase((7, 3))
    case.bn_param |= {
        "running_mean": case.x.mean(axis=0) + np.array([9.0, -9, 0]),
        "running_var": np.array([100.0, 1e-3, 4]),
    }
    _, cache, _ = renorm(case)
    ratio = math.sqrt(case.x[:, 2].var() / 4)
    np.testing.assert_allclose(cache.r, [[1 / 3, 3.0, ratio]], rtol=1e-5)  # eps
    np.testing.assert_allclose(cache.d, [[-0.9, 5.0, 0.0]], rtol=1e-5, atol=20 * U * 20)


def test_renorm_in_float32_is_as_good_at_a_large_mean() -> None:
    # d from the two means, each rounded to float32, would be off by up to 5e-4 / sigma
    case = BatchNormCase((64, 3), mean=1e4, var=1.0, dtype=np.float32)
    out, _, _ = renorm(case)
    double = BatchNormCase((64, 3), mean=1e4, var=1.0)
    double.x = case.x.astype(np.float64)
    double.gamma, double.beta = case.gamma.astype(np.float64), case.beta.astype(np.float64)
    double.bn_param |= {
        name: case.bn_param[name].astype(np.float64) for name in ("running_mean", "running_var")
    }
    want, cache, _ = renorm(double)
    # x - running_mean is exact; 64 of them are added up, and a handful of roundings follows
    size = float(np.abs(case.gamma).max()) * (4 * 3 + float(np.abs(cache.d).max())) + 3
    bound = (64 + 20) * unit_roundoff(np.float32) * size
    assert bound < 2e-4
    np.testing.assert_allclose(out, want, rtol=0, atol=bound)


# ------------------------------------------------------------------ ghost batches


def divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ghosts_are_batches_one_after_another(shape: tuple[int, ...], eps: float) -> None:
    case = BatchNormCase(shape, eps=eps)
    for size in divisors(shape[0]):
        out, cache, after = ghosts(case, size)
        dx, dgamma, dbeta = dlnorm.ghost_batchnorm_backward(case.dout, cache)
        param: Any = copy.deepcopy(case.bn_param)
        total, terms, m = [0.0, 0.0], 0.0, entries(case.x) * size // shape[0]
        for start in range(0, shape[0], size):
            part = BatchNormCase(shape, eps=eps)
            part.x, part.dout = case.x[start : start + size], case.dout[start : start + size]
            want, own = FORWARD[len(shape)](part.x, case.gamma, case.beta, param)
            grads = dlnorm.batchnorm_backward(part.dout, own)
            x_hat = float(np.abs(own.stats.x_hat).max())
            # the same sums, perhaps in another order
            bound = 2 * out_bound(part, x_hat)
            got = out[start : start + size]
            np.testing.assert_allclose(got, want, rtol=0, atol=bound)
            # 4 B X^2 of the terms, as derived in `norms.NormCase.dx_bound`
            bound = 8 * x_hat_bound(part.x) * (1 + x_hat) ** 2 * part.terms
            got = dx[start : start + size]
            np.testing.assert_allclose(got, grads[0], rtol=0, atol=bound)
            total = [t + g for t, g in zip(total, grads[1:], strict=True)]
            share = x_hat_bound(part.x) + case.x.size * U
            terms += float(np.abs(part.dout).sum()) * (1 + x_hat) * share
        np.testing.assert_allclose(dgamma, total[0], rtol=0, atol=2 * terms)
        np.testing.assert_allclose(dbeta, total[1], rtol=0, atol=2 * terms)
        for name in ("running_mean", "running_var"):
            assert after[name].shape == shape[1:2]
            scale = float(np.abs(case.x).max()) ** 2 + 4
            np.testing.assert_allclose(
                after[name], param[name], rtol=0, atol=(2 * m + 20) * U * scale
            )


def test_ghosts_are_neighbors_and_the_last_counts_most() -> None:
    x = np.array([[0.0], [2.0], [10.0], [30.0]])
    param: Any = {"mode": "train", "momentum": 0.5, "eps": 0.0, "ghost_size": 2}
    out, _ = dlnorm.ghost_batchnorm_forward(x, np.ones(1), np.zeros(1), param)
    np.testing.assert_array_equal(out.ravel(), [-1, 1, -1, 1])
    # means 1 and 20, variances 1 and 100; 0 and 1 before
    np.testing.assert_array_equal(param["running_mean"], [0.25 * 1 + 0.5 * 20])
    np.testing.assert_array_equal(param["running_var"], [0.25 + 0.25 * 1 + 0.5 * 100])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_ghost_is_batch_norm(shape: tuple[int, ...]) -> None:
    case = BatchNormCase(shape)
    out, cache, _ = ghosts(case, shape[0])
    want, own = case.forward()
    x_hat = float(np.abs(own.stats.x_hat).max())
    np.testing.assert_allclose(out, want, rtol=0, atol=2 * out_bound(case, x_hat))
    bound = 8 * x_hat_bound(case.x) * (1 + x_hat) ** 2 * case.terms
    got = dlnorm.ghost_batchnorm_backward(case.dout, cache)[0]
    np.testing.assert_allclose(got, case.backward()[0], rtol=0, atol=bound)


@pytest.mark.parametrize("shape", SHAPES_4D, ids=str)
def test_ghosts_of_one_image_are_instance_norm(shape: tuple[int, ...]) -> None:
    case = BatchNormCase(shape)
    out, _, _ = ghosts(case, 1)
    want, _ = dlnorm.spatial_instancenorm_forward(
        case.x, wide(case.gamma, case.x), wide(case.beta, case.x), {"eps": case.bn_param["eps"]}
    )
    worst = max(out_bound_of(case.x[n : n + 1], case) for n in range(shape[0]))
    np.testing.assert_allclose(out, want, rtol=0, atol=2 * worst)


def out_bound_of(x: Array, case: BatchNormCase) -> float:
    """`out_bound` for a part of the batch, on its own."""
    part = copy.copy(case)
    part.x = x
    x_hat, _, _ = textbook(x, np.ones(x.shape[1]), np.zeros(x.shape[1]), case.bn_param["eps"])
    return out_bound(part, float(np.abs(x_hat).max()))


@pytest.mark.parametrize("size", [None, 2, 5, "many"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ghosts_do_not_matter_at_test_time(shape: tuple[int, ...], size: Any) -> None:
    case = BatchNormCase(shape, "test")
    param = case.bn_param if size is None else case.bn_param | {"ghost_size": size}
    with unchanged(param=param):
        out, cache = dlnorm.ghost_batchnorm_forward(case.x, case.gamma, case.beta, param)
    np.testing.assert_array_equal(out, case.forward()[0])
    for got, want in zip(
        dlnorm.ghost_batchnorm_backward(case.dout, cache), case.backward(), strict=True
    ):
        np.testing.assert_array_equal(got, want)


# ------------------------------------------------------------------ invariance


@pytest.mark.parametrize("factor", [4.0, -4.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ghosts_ignore_the_scale_of_x_up_to_its_sign(shape: tuple[int, ...], factor: float) -> None:
    # powers of 2, and 0 for eps: every rounding is the same
    case = BatchNormCase(shape, eps=0.0)
    case.beta = np.zeros_like(case.beta)
    for size in divisors(shape[0]):
        if entries(case.x) * size // shape[0] == 1:
            continue  # one entry has no variance
        out, cache, _ = ghosts(case, size)
        dx = dlnorm.ghost_batchnorm_backward(case.dout, cache)[0]
        other = copy.copy(case)
        other.x = factor * case.x
        scaled, cache, _ = ghosts(other, size)
        np.testing.assert_array_equal(scaled, math.copysign(1, factor) * out)
        got = dlnorm.ghost_batchnorm_backward(math.copysign(1, factor) * case.dout, cache)[0]
        np.testing.assert_array_equal(got, dx / factor)


# ------------------------------------------------------------------ memory and wrong arguments

VARIANTS: dict[str, Any] = {
    "meanonly": lambda x, gamma, beta, bn_param: dlnorm.meanonly_batchnorm_forward(
        x, beta, bn_param
    ),
    "renorm": dlnorm.batch_renorm_forward,
    "ghosts": dlnorm.ghost_batchnorm_forward,
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


@every_variant
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 5)], ids=str)
def test_memory_starts_at_zero_and_one_and_is_replaced_not_changed(
    variant: str, shape: tuple[int, ...]
) -> None:
    case = BatchNormCase(shape)
    fresh: Any = {"mode": "train", "ghost_size": 4}
    started: Any = fresh | {"running_mean": np.zeros(3), "running_var": np.ones(3)}
    one = VARIANTS[variant](case.x, case.gamma, case.beta, fresh)[0]
    mean, var = started["running_mean"], started["running_var"]
    two = VARIANTS[variant](case.x, case.gamma, case.beta, started)[0]
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(mean, np.zeros(3))
    np.testing.assert_array_equal(var, np.ones(3))
    assert ("running_var" in fresh) == (variant != "meanonly")
    np.testing.assert_array_equal(fresh["running_mean"], started["running_mean"])


@every_variant
def test_a_refused_call_leaves_no_trace_in_the_memory(variant: str) -> None:
    case = BatchNormCase((4, 3))
    param = case.bn_param | {"ghost_size": 2}
    case.x[2, 1] = np.nan
    with unchanged(param=param), pytest.raises(ValueError, match=r"^x must be finite"):
        VARIANTS[variant](case.x, case.gamma, case.beta, param)


@every_variant
def test_the_complex_step_leaves_real_memory(variant: str) -> None:
    case = BatchNormCase((4, 3))
    param = case.bn_param | {"ghost_size": 2}
    out, _ = VARIANTS[variant](case.x + 1e-100j, case.gamma, case.beta, param)
    assert np.iscomplexobj(out)
    assert param["running_mean"].dtype == param["running_var"].dtype == np.float64


X = np.ones((4, 3)) * np.arange(4.0)[:, np.newaxis]
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x": [1.0]}, TypeError, "x must be a plain NumPy array, got list"),
    ({"x": X.astype(int)}, TypeError, "x must be of dtype float32 or float64, got int64"),
    ({"x": X[0]}, ValueError, "x must have shape (N, D) or (N, C, H, W), got shape (3,)"),
    ({"x": X[None]}, ValueError, "x must have shape (N, D) or (N, C, H, W), got shape (1, 4, 3)"),
    ({"x": X[:0]}, ValueError, "x must not be empty, got shape (0, 3)"),
    ({"x": np.full((4, 3), 1e308)}, ValueError, "x must be small enough"),
    ({"beta": np.ones(2)}, ValueError, "beta must have shape (3,) or (1, 3) to match x of shape"),
    ({"beta": None}, TypeError, "beta must be a plain NumPy array, got NoneType"),
    ({"bn_param": None}, TypeError, "bn_param must be a dict, got NoneType"),
    ({"bn_param": {}}, ValueError, "bn_param must have the key 'mode', got the keys []"),
    ({"mode": "eval"}, ValueError, "bn_param['mode'] must be 'train' or 'test', got 'eval'"),
    ({"eps": -1.0}, ValueError, "bn_param['eps'] must lie in [0, inf), got -1.0"),
    ({"momentum": 1.0}, ValueError, "bn_param['momentum'] must lie in [0, 1), got 1.0"),
    ({"running_mean": np.ones(2)}, ValueError, "bn_param['running_mean'] must have shape (3,)"),
]
NOT_MEAN_ONLY: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"gamma": np.ones(2)}, ValueError, "gamma must have shape (3,) or (1, 3) to match x of shape"),
    ({"gamma": 1.0}, TypeError, "gamma must be a plain NumPy array, got float"),
    ({"running_var": -np.ones(3)}, ValueError, "bn_param['running_var'] must not be negative"),
    ({"x": np.ones((4, 3)), "eps": 0.0}, ValueError, "eps must be larger, because var + eps is 0"),
]
RENORM: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"r_max": 0.9}, ValueError, "bn_param['r_max'] must lie in [1, inf), got 0.9"),
    ({"r_max": None}, TypeError, "bn_param['r_max'] must be a number, got NoneType"),
    ({"d_max": -1}, ValueError, "bn_param['d_max'] must lie in [0, inf), got -1"),
    (
        {"running_var": np.zeros(3), "eps": 0.0},
        ValueError,
        "eps must be larger, because var + eps is 0 in float64 for 3 of 3 variances",
    ),
]
GHOSTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"ghost_size": 3}, ValueError, "bn_param['ghost_size'] must be a divisor of the batch size 4"),
    ({"ghost_size": 8}, ValueError, "must be a divisor of the batch size 4, got 8"),
    ({"ghost_size": 1.6}, ValueError, "must be a divisor of the batch size 4, got 1.6"),
    ({"ghost_size": 0}, ValueError, "bn_param['ghost_size'] must lie in [1, inf), got 0"),
    ({"ghost_size": "2"}, TypeError, "bn_param['ghost_size'] must be a number, got str"),
    ({"ghost_size": ...}, ValueError, "bn_param must have the key 'ghost_size', got the keys"),
]


@pytest.mark.parametrize(
    ("variant", "changed", "kind", "words"),
    [(variant, *row) for variant in VARIANTS for row in WRONG]
    + [(variant, *row) for variant in ("renorm", "ghosts") for row in NOT_MEAN_ONLY]
    + [("renorm", *row) for row in RENORM]
    + [("ghosts", *row) for row in GHOSTS],
)
def test_a_wrong_argument_is_named(
    variant: str, changed: dict[str, Any], kind: type[Exception], words: str
) -> None:
    arrays = {"x": X, "gamma": np.ones(3), "beta": np.ones(3)}
    settings = {k: v for k, v in changed.items() if k not in (*arrays, "bn_param")}
    param = {"mode": "train", "ghost_size": 2} | settings
    param = {key: value for key, value in param.items() if value is not ...}
    arguments = {**arrays, "bn_param": param}
    arguments |= {key: changed[key] for key in arguments if key in changed}
    with pytest.raises(kind) as raised:
        VARIANTS[variant](**arguments)
    assert words in str(raised.value)
