"""Batch norm forward: the definition, the running statistics, test mode, and what must not matter.

Bounds: see `tests.ops.cases.x_hat_bound`.
"""

from __future__ import annotations

import copy
import inspect
import itertools
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
    textbook,
    unit_roundoff,
    wide,
    x_hat_bound,
)

SHAPES = SHAPES_2D + SHAPES_4D


def allowed(case: BatchNormCase, out: Array) -> float:
    """How far out may be from the exact value, from the bound on x_hat."""
    gamma, beta = np.abs(case.gamma).max(), np.abs(case.beta).max()
    x_hat = np.abs((out - wide(case.beta, out)) / wide(case.gamma, out)).max()
    return float(x_hat_bound(case.x) * (gamma * (1 + x_hat) + beta))


# ------------------------------------------------------------------ the definition


@pytest.mark.parametrize("var", [9.0, 0.05, 1e-6])
@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_train_mode_is_the_definition(shape: tuple[int, ...], eps: float, var: float) -> None:
    case = BatchNormCase(shape, eps=eps, var=var)
    out, _ = case.forward()
    expected, _, _ = textbook(case.x, case.gamma, case.beta, eps)
    np.testing.assert_allclose(out, expected, rtol=0, atol=allowed(case, expected))


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_test_mode_is_the_formula(shape: tuple[int, ...], eps: float) -> None:
    case = BatchNormCase(shape, "test", eps, var=0.05)
    out, _ = case.forward()
    mean, var = case.bn_param["running_mean"], case.bn_param["running_var"]
    for n, c in itertools.product(range(shape[0]), range(shape[1])):
        expected = case.gamma[c] * (case.x[n, c] - mean[c]) / (var[c] + eps) ** 0.5 + case.beta[c]
        # five operations of the formula, each rounded once, on either side
        size = np.abs(case.gamma[c] * (case.x[n, c] - mean[c])) / case.std.min() + np.abs(out[n, c])
        assert (np.abs(out[n, c] - expected) <= 10 * unit_roundoff(np.float64) * (size + 1)).all()


def test_eps_is_added_to_the_variance_not_to_its_root() -> None:
    x = np.array([[-1.0], [1.0]])  # mean 0, variance 1: exact whatever the order of summation
    out, _ = dlnorm.batchnorm_forward(x, np.ones(1), np.zeros(1), {"mode": "train", "eps": 3.0})
    np.testing.assert_array_equal(out, x / 2)


def test_eps_is_a_hundred_thousandth_unless_given() -> None:
    case = BatchNormCase((6, 2), var=1e-6)
    del case.bn_param["eps"]
    out, _ = case.forward()
    case.bn_param["eps"] = 1e-5
    np.testing.assert_array_equal(out, case.forward()[0])
    assert inspect.signature(dlnorm.standardize).parameters["eps"].default == 1e-5


@pytest.mark.parametrize("shape", [(9, 4), (3, 4, 2, 5)], ids=str)
def test_every_feature_has_mean_beta_and_variance_gamma_squared(shape: tuple[int, ...]) -> None:
    eps = 0.5
    case = BatchNormCase(shape, eps=eps, var=0.5)
    out, _ = case.forward()
    feature = np.moveaxis(out, 1, 0).reshape(shape[1], -1)
    var = np.moveaxis(case.x, 1, 0).reshape(shape[1], -1).var(axis=1)
    bound = allowed(case, out)
    np.testing.assert_allclose(feature.mean(axis=1), case.beta, rtol=0, atol=bound)
    expected = case.gamma**2 * var / (var + eps)
    np.testing.assert_allclose(feature.var(axis=1), expected, rtol=0, atol=10 * bound)


@pytest.mark.parametrize("shape", [(9, 4), (3, 4, 2, 5)], ids=str)
def test_gamma_and_beta_can_undo_the_normalization(shape: tuple[int, ...]) -> None:
    case = BatchNormCase(shape, eps=1e-3)
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    gamma = np.sqrt(case.x.var(axis=axes) + 1e-3)
    case.gamma, case.beta = gamma, case.x.mean(axis=axes)
    out, _ = case.forward()
    np.testing.assert_allclose(out, case.x, rtol=0, atol=allowed(case, out))


@pytest.mark.parametrize("shape", [(1, 5), (1, 3, 1, 1)], ids=str)
def test_one_entry_a_feature_is_normalized_to_zero(shape: tuple[int, ...]) -> None:
    case = BatchNormCase(shape)
    out, _ = case.forward()
    np.testing.assert_array_equal(out, np.broadcast_to(wide(case.beta, out), shape))


def test_a_constant_feature_is_normalized_to_zero() -> None:
    x = np.full((7, 2), 0.1)  # 7 * 0.1 / 7 is not 0.1 in floating point
    out, _ = dlnorm.batchnorm_forward(x, np.ones(2), np.full(2, 3.0), {"mode": "train"})
    # the mean is off by at most m u, and 1 / sqrt(eps) times that is left
    np.testing.assert_allclose(out, 3.0, rtol=0, atol=8 * 1.2e-16 * 0.1 / 1e-5**0.5 + 1e-15)


# ------------------------------------------------------------------ what must not matter


@pytest.mark.parametrize("a", [3.0, 1e-3, -1.0, -250.0])
def test_with_eps_zero_a_scale_and_a_shift_of_the_input_leave_only_the_sign(a: float) -> None:
    case = BatchNormCase((6, 4), eps=0.0)
    case.beta = np.zeros(4)
    out, _ = case.forward()
    moved, _ = case.forward(x=a * case.x + 5)
    # a x + 5 is rounded before it is normalized: an error of u |a x + 5| / (|a| std)
    rounding = 4 * unit_roundoff(np.float64) * (np.abs(case.x).max() + 5 / abs(a)) / case.std.min()
    bound = 2 * allowed(case, out) + float(rounding * np.abs(case.gamma).max())
    np.testing.assert_allclose(moved, np.sign(a) * out, rtol=0, atol=bound)


@pytest.mark.parametrize("a", [2.0**40, -(2.0**-30)])
def test_scaling_by_a_power_of_two_changes_no_bit(a: float) -> None:
    case = BatchNormCase((2, 3, 4, 3), eps=0.0)
    case.beta = np.zeros(3)
    np.testing.assert_array_equal(case.forward(x=a * case.x)[0], np.sign(a) * case.forward()[0])


def test_with_eps_the_scale_of_a_small_input_does_matter() -> None:
    case = BatchNormCase((6, 4), eps=1e-3, var=1e-3)
    case.beta = np.zeros(4)
    out, large = case.forward()[0], case.forward(x=100 * case.x)[0]
    assert dlnorm.relative_error(out, large) > 0.2


def test_the_order_of_the_samples_goes_through() -> None:
    case = BatchNormCase((7, 3))
    order = np.random.default_rng(1).permutation(7)
    out, _ = case.forward()
    shuffled, _ = case.forward(x=case.x[order])
    np.testing.assert_allclose(shuffled, out[order], rtol=0, atol=2 * allowed(case, out))


def test_a_batch_repeated_gives_the_same_outputs_twice() -> None:
    case = BatchNormCase((5, 3))
    out, _ = case.forward()
    twice, _ = case.forward(x=np.concatenate([case.x, case.x]))
    np.testing.assert_allclose(
        twice, np.concatenate([out, out]), rtol=0, atol=3 * allowed(case, out)
    )


def test_train_mode_does_not_read_the_running_statistics() -> None:
    case = BatchNormCase((5, 3))
    out, _ = case.forward()
    case.bn_param |= {"running_mean": np.full(3, 1e6), "running_var": np.full(3, 1e6)}
    np.testing.assert_array_equal(case.forward()[0], out)


def test_test_mode_does_not_look_at_the_other_samples() -> None:
    case = BatchNormCase((5, 3), "test")
    out, _ = case.forward()
    for n in range(5):
        np.testing.assert_array_equal(case.forward(x=case.x[n : n + 1])[0], out[n : n + 1])


# ------------------------------------------------------------------ images


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES_4D, ids=str)
def test_spatial_is_batchnorm_of_a_column_of_pixels_for_each_channel(
    shape: tuple[int, ...], mode: str
) -> None:
    case = BatchNormCase(shape, mode, eps=0.1, var=0.05)
    after = copy.deepcopy(case.bn_param)
    out, _ = dlnorm.spatial_batchnorm_forward(case.x, case.gamma, case.beta, after)
    for c in range(shape[1]):
        one = {**case.bn_param}
        one |= {key: one[key][c : c + 1] for key in ("running_mean", "running_var")}
        column = case.x[:, c].reshape(-1, 1)
        flat, _ = dlnorm.batchnorm_forward(column, case.gamma[c : c + 1], case.beta[c : c + 1], one)
        bound = 2 * allowed(case, out)
        np.testing.assert_allclose(out[:, c].reshape(-1, 1), flat, rtol=0, atol=bound)
        for key in ("running_mean", "running_var"):
            np.testing.assert_allclose(after[key][c], one[key][0], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES_4D, ids=str)
def test_spatial_is_batchnorm_of_the_array_with_channels_last(
    shape: tuple[int, ...], mode: str
) -> None:
    case = BatchNormCase(shape, mode, eps=0.1, var=0.05)
    n, c, h, w = shape
    flat = case.x.transpose(0, 2, 3, 1).reshape(-1, c)
    out, _ = case.forward()
    rows, _ = dlnorm.batchnorm_forward(flat, case.gamma, case.beta, dict(case.bn_param))
    expected = rows.reshape(n, h, w, c).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(out, expected, rtol=0, atol=2 * allowed(case, out))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4, 3)], ids=str)
def test_parameters_may_come_ready_to_broadcast(shape: tuple[int, ...], mode: str) -> None:
    case = BatchNormCase(shape, mode)
    out, _ = case.forward()
    narrow = case.backward()
    keys = ("running_mean", "running_var")
    case.bn_param |= {key: wide(case.bn_param[key], case.x) for key in keys}
    case.gamma, case.beta = wide(case.gamma, case.x), wide(case.beta, case.x)
    np.testing.assert_array_equal(case.forward()[0], out)
    for gradient, expected, size in zip(
        case.backward(), narrow, (case.x, case.gamma, case.gamma), strict=True
    ):
        assert gradient.shape == size.shape
        np.testing.assert_array_equal(gradient.ravel(), expected.ravel())


# ------------------------------------------------------------------ the running statistics


def steps(shape: tuple[int, ...], count: int) -> tuple[list[Array], Array, Array]:
    """Batches of different mean and spread, and the mean and the biased variance of each."""
    batches = [BatchNormCase(shape, mean=k, var=1 + k, seed=k).x for k in range(count)]
    moments = [textbook(x, np.ones(shape[1]), np.zeros(shape[1]), 1.0)[1:] for x in batches]
    means, variances = zip(*moments, strict=True)
    return batches, np.array(means), np.array(variances)


@pytest.mark.parametrize("start", ["given", "missing", "None"])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("shape", [(2, 3), (5, 1), (1, 4), (2, 3, 2, 4)], ids=str)
def test_running_statistics_are_the_weighted_sum_of_all_batches(
    shape: tuple[int, ...], momentum: float, start: str
) -> None:
    count, features = 6, shape[1]
    batches, means, variances = steps(shape, count)
    bn_param: dict[str, Any] = {"mode": "train", "momentum": momentum}
    first = np.zeros(features), np.ones(features)
    if start == "given":
        rng = np.random.default_rng(4)
        first = rng.standard_normal(features), rng.uniform(0, 3, features)
        bn_param |= {"running_mean": first[0], "running_var": first[1]}
    elif start == "None":
        bn_param |= {"running_mean": None, "running_var": None}
    for x in batches:
        FORWARD[x.ndim](x, np.ones(features), np.zeros(features), bn_param)
    # momentum**K r_0 + (1 - momentum) sum_k momentum**(K - 1 - k) batch_k
    weight = (1 - momentum) * momentum ** np.arange(count - 1, -1, -1)
    for key, r_0, batch in zip(("mean", "var"), first, (means, variances), strict=True):
        expected = momentum**count * r_0 + weight @ batch
        # 3 roundings a step on top of the statistics' own, m + 2 roundings
        bound = (3 * count + entries(batches[0]) + 2) * unit_roundoff(np.float64)
        size = np.abs(batch).max() + np.abs(r_0).max()
        np.testing.assert_allclose(
            bn_param[f"running_{key}"], expected, rtol=0, atol=float(bound * size)
        )


def test_momentum_is_nine_tenths_unless_given() -> None:
    bn_param: dict[str, Any] = {"mode": "train"}
    x = np.array([[1.0], [3.0]])
    dlnorm.batchnorm_forward(x, np.ones(1), np.zeros(1), bn_param)
    np.testing.assert_allclose(bn_param["running_mean"], 0.2, rtol=1e-15)
    bn_param["running_var"] = np.array([11.0])
    dlnorm.batchnorm_forward(x, np.ones(1), np.zeros(1), bn_param)
    np.testing.assert_allclose(bn_param["running_var"], 0.9 * 11 + 0.1 * 1, rtol=1e-15)


def test_test_mode_starts_from_mean_zero_and_variance_one() -> None:
    x = np.array([[2.0, -4.0]])
    out, _ = dlnorm.batchnorm_forward(x, np.ones(2), np.zeros(2), {"mode": "test", "eps": 3.0})
    np.testing.assert_array_equal(out, x / 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 4)], ids=str)
def test_train_mode_puts_new_arrays_into_the_dict_and_leaves_the_old_ones_alone(
    shape: tuple[int, ...], dtype: npt.DTypeLike
) -> None:
    case = BatchNormCase(shape, dtype=dtype)
    # float64 memory of another dtype than x, and read-only: it is replaced, never written to
    old = {key: case.bn_param[key].astype(np.float64) for key in ("running_mean", "running_var")}
    for value in old.values():
        value.flags.writeable = False
    bn_param = {**case.bn_param, **old, "extra": "left alone"}
    FORWARD[len(shape)](case.x, case.gamma, case.beta, bn_param)
    assert set(bn_param) == {*case.bn_param, "extra"}
    assert bn_param["extra"] == "left alone"
    for key, value in old.items():
        assert bn_param[key] is not value
        assert bn_param[key].shape == (shape[1],)
        assert bn_param[key].dtype == dtype
        np.testing.assert_array_equal(value, case.bn_param[key])


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 4)], ids=str)
def test_test_mode_leaves_the_dict_as_it_is(shape: tuple[int, ...]) -> None:
    case = BatchNormCase(shape, "test")
    bn_param = dict(case.bn_param)
    FORWARD[len(shape)](case.x, case.gamma, case.beta, bn_param)
    assert bn_param.keys() == case.bn_param.keys()
    assert all(bn_param[key] is case.bn_param[key] for key in bn_param)
    bare = {"mode": "test"}
    FORWARD[len(shape)](case.x, case.gamma, case.beta, bare)
    assert bare == {"mode": "test"}


def test_a_complex_step_leaves_no_imaginary_part_in_the_running_statistics() -> None:
    case = BatchNormCase((4, 3))
    dlnorm.complex_step_gradient(
        lambda x: dlnorm.batchnorm_forward(x, case.gamma, case.beta, case.bn_param)[0],
        case.x,
        case.dout,
    )
    assert case.bn_param["running_mean"].dtype == np.float64
    assert case.bn_param["running_var"].dtype == np.float64


# ------------------------------------------------------------------ numbers that are hard


@pytest.mark.parametrize("shape", [(64, 5), (4, 5, 4, 4)], ids=str)
def test_a_large_mean_costs_float32_no_accuracy(shape: tuple[int, ...]) -> None:
    case = BatchNormCase(shape, mean=1e4, var=1.0, dtype=np.float32)
    out, _ = case.forward()
    exact, _, _ = textbook(case.x, case.gamma, case.beta, case.bn_param["eps"])
    bound = allowed(case, exact)
    # Subtracting the mean once leaves up to half a unit in its last place, 4.9e-4, divided by std
    assert bound < 2.5e-4
    np.testing.assert_allclose(out, exact, rtol=0, atol=bound)


def test_the_mean_is_stored_as_well_as_float32_can() -> None:
    case = BatchNormCase((64, 5), mean=1e4, var=1.0, dtype=np.float32)
    case.bn_param["momentum"] = 0.0
    bn_param = dict(case.bn_param)
    dlnorm.batchnorm_forward(case.x, case.gamma, case.beta, bn_param)
    _, mean, var = textbook(case.x, case.gamma, case.beta, 0.5)
    # half a unit in the last place of 1e4, and the sum of the corrections
    np.testing.assert_allclose(bn_param["running_mean"], mean, rtol=1.01 * 2.0**-24, atol=0)
    np.testing.assert_allclose(bn_param["running_var"], var, rtol=x_hat_bound(case.x), atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_input_is_normalized_like_any_other(dtype: npt.DTypeLike) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([[0.0], [2.0], [4.0]], dtype=dtype) * tiny
    out, _ = dlnorm.batchnorm_forward(
        x, np.ones(1, dtype), np.zeros(1, dtype), {"mode": "train", "eps": 1e-5}
    )
    np.testing.assert_allclose(out, (x - x.mean()) / 1e-5**0.5, rtol=4 * np.finfo(dtype).eps)


def test_a_gamma_of_another_precision_takes_the_precision_of_x() -> None:
    case = BatchNormCase((4, 3), dtype=np.float32)
    out, _ = case.forward()
    assert out.dtype == np.float32
    mixed, _ = case.forward(gamma=case.gamma.astype(np.float64), beta=case.beta.astype(np.float64))
    assert mixed.dtype == np.float32
    np.testing.assert_array_equal(mixed, out)
    double = BatchNormCase((4, 3))
    gamma = double.gamma.astype(np.float32)
    assert double.forward(gamma=gamma)[0].dtype == np.float64


def test_the_cache_does_not_follow_a_parameter_that_is_changed_later() -> None:
    case = BatchNormCase((4, 3))
    _, cache = case.forward()
    before = dlnorm.batchnorm_backward(case.dout, cache)
    case.gamma -= 0.5  # as an optimizer does
    case.beta -= 0.5
    for gradient, expected in zip(dlnorm.batchnorm_backward(case.dout, cache), before, strict=True):
        np.testing.assert_array_equal(gradient, expected)
