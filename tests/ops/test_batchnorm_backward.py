"""Batch norm backward: against the complex step, central differences and the other forms.

dx is compared relative to its own largest entry, except where a statistic runs over fewer than
three entries: there the three terms of dx cancel to nothing but the part that eps adds, and the
comparison is relative to the terms.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import dlnorm
from tests.ops.cases import (
    BACKWARD,
    EPS,
    FORWARD,
    MODES,
    SHAPES_2D,
    SHAPES_4D,
    Array,
    BatchNormCase,
    entries,
    unit_roundoff,
    wide,
    x_hat_bound,
)

SHAPES = SHAPES_2D + SHAPES_4D
NAMES = ("dx", "dgamma", "dbeta")
PARAMETERS = ("x", "gamma", "beta")


def distance(case: BatchNormCase, name: str, got: Array, expected: Array) -> float:
    """Largest difference, relative as the module's docstring says."""
    if name == "dx" and entries(case.x) < 3:
        return float(np.abs(got - expected).max()) / case.terms
    if name == "dgamma" and entries(case.x) == 1:  # x_hat is 0, and so is dgamma
        return float(np.abs(got - expected).max() / np.abs(case.dout).max())
    return dlnorm.relative_error(got, expected)


def measured(case: BatchNormCase, name: str) -> Array:
    """Differentiate the forward pass with respect to one argument, by the complex step."""
    return dlnorm.complex_step_gradient(
        lambda value: case.forward(**{name: value})[0], getattr(case, name), case.dout
    )


# ------------------------------------------------------------------ two kinds of derivative


@pytest.mark.parametrize("var", [9.0, 0.05, 1e-6])
@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_equal_the_complex_step(
    shape: tuple[int, ...], mode: str, eps: float, var: float
) -> None:
    # Both sides work on the same x_hat; what differs is rounding in means of m entries: some
    # (m + 10) u times the cancellation in dx, far below 1e-10 for the m <= 24 here.
    case = BatchNormCase(shape, mode, eps, var=var)
    gradients = case.backward()
    for name, argument, gradient in zip(NAMES, PARAMETERS, gradients, strict=True):
        expected = measured(case, argument)
        assert gradient.shape == expected.shape
        assert distance(case, name, gradient, expected) < 1e-10, name


@pytest.mark.parametrize("var", [9.0, 0.05, 1e-6])
@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(7, 3), (3, 5), (2, 3, 4, 3), (2, 2, 1, 5)], ids=str)
def test_gradients_equal_central_differences(
    shape: tuple[int, ...], mode: str, eps: float, var: float
) -> None:
    case = BatchNormCase(shape, mode, eps, var=var)
    gradients = case.backward()
    u = unit_roundoff(np.float64)
    out = case.forward()[0]
    x_hat = float(np.abs((out - wide(case.beta, out)) / wide(case.gamma, out)).max())
    weight = float(np.abs(wide(case.gamma, case.x) * case.dout).sum())  # sum |gamma dout|
    std = float(case.std.min())
    m = entries(case.x)

    # dx. Along one entry, in units of std, x_hat is (a + b t) / sqrt(1 + 2 c t + d t**2) with
    # |a| <= sqrt(m), |b| <= 1, |c| <= 1 / sqrt(m), d <= 1 / m, so |x_hat'''| <= 33 / m <= 11; the
    # factor 2 covers that it is taken within a step of t = 0. The truncation error is a sixth of
    # that times t**2. In test mode x_hat is linear, and has none.
    # Rounding: x and x +- h are known to u max|x|, which is u max|x| / std in x_hat; x_hat, out
    # and their difference add m + 8 roundings of their sizes. Divided by t, the step.
    # Balanced where the two are equal.
    size = float(np.abs(case.x).max()) / std + (m + 8) * (1 + x_hat)
    size += float(np.abs(case.beta).max() / np.abs(case.gamma).min())
    t = (u * size) ** (1 / 3)
    truncation = 2 * 11 / 6 * t**2 if mode == "train" else 0.0
    allowed = weight / std * (truncation + 2 * u * size / t)
    numeric = dlnorm.numeric_gradient(lambda x: case.forward(x=x)[0], case.x, case.dout, t * std)
    assert allowed < 1e-4 * case.terms  # or the comparison would not mean much
    np.testing.assert_allclose(gradients[0], numeric, rtol=0, atol=allowed)

    # dgamma and dbeta. out is linear in both, so the step may be 1: only the roundings of out and
    # of the sum over m entries are left.
    largest = (np.abs(case.gamma).max() + 1) * x_hat + np.abs(case.beta).max() + 1
    rounding = (m + 4) * u * float(np.abs(case.dout).sum() * largest)
    for argument, gradient in zip(PARAMETERS[1:], gradients[1:], strict=True):
        numeric = dlnorm.numeric_gradient(
            lambda value, argument=argument: case.forward(**{argument: value})[0],
            getattr(case, argument),
            case.dout,
            h=1.0,
        )
        np.testing.assert_allclose(gradient, numeric, rtol=0, atol=rounding)


# ------------------------------------------------------------------ the same in other ways


def equal_to_rounding(case: BatchNormCase, got: Array, expected: Array, size: float) -> None:
    bound = (8 * entries(case.x) + 40) * unit_roundoff(case.x.dtype) * size
    np.testing.assert_allclose(got, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("var", [9.0, 0.05, 1e-6])
@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_staged_form_equals_the_closed_form(
    shape: tuple[int, ...], eps: float, var: float
) -> None:
    case = BatchNormCase(shape, eps=eps, var=var)
    cache = case.forward()[1]
    staged = dlnorm.batchnorm_backward_staged(case.dout, cache)
    closed = BACKWARD[len(shape)](case.dout, cache)
    # a sum of m terms, each of which passes through some ten operations on either side;
    # |x_hat|**2 <= m enters the term of the variance
    m = entries(case.x)
    bound = (m + 20) * m * unit_roundoff(np.float64) * case.terms
    assert bound < 1e-12 * case.terms
    np.testing.assert_allclose(staged[0], closed[0], rtol=0, atol=bound)
    np.testing.assert_array_equal(staged[1], closed[1])
    np.testing.assert_array_equal(staged[2], closed[2])
    assert staged[1].shape == closed[1].shape == (shape[1],)


def test_the_staged_form_refuses_a_cache_from_test_mode() -> None:
    case = BatchNormCase((4, 3), "test")
    with pytest.raises(ValueError, match=r"cache must come from mode 'train', got .* 'test'"):
        dlnorm.batchnorm_backward_staged(case.dout, case.forward()[1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES_4D, ids=str)
def test_spatial_is_batchnorm_of_a_column_of_pixels_for_each_channel(
    shape: tuple[int, ...], mode: str
) -> None:
    case = BatchNormCase(shape, mode, eps=0.1, var=0.05)
    dx, dgamma, dbeta = case.backward()
    for c in range(shape[1]):
        own = slice(c, c + 1)
        one = {**case.bn_param}
        one |= {key: one[key][own] for key in ("running_mean", "running_var")}
        column = case.x[:, c].reshape(-1, 1)
        _, cache = dlnorm.batchnorm_forward(column, case.gamma[own], case.beta[own], one)
        flat = dlnorm.batchnorm_backward(case.dout[:, c].reshape(-1, 1), cache)
        size = float(np.abs(case.dout[:, c]).sum()) * 4
        equal_to_rounding(case, dx[:, c].reshape(-1, 1), flat[0], case.terms * 4)
        equal_to_rounding(case, dgamma[own], flat[1], size)
        equal_to_rounding(case, dbeta[own], flat[2], size)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES_4D, ids=str)
def test_spatial_is_batchnorm_of_the_array_with_channels_last(
    shape: tuple[int, ...], mode: str
) -> None:
    case = BatchNormCase(shape, mode, eps=0.1, var=0.05)
    n, c, h, w = shape

    def rows(a: Array) -> Array:
        return a.transpose(0, 2, 3, 1).reshape(-1, c)

    dx, dgamma, dbeta = case.backward()
    _, cache = dlnorm.batchnorm_forward(
        rows(case.x), case.gamma, case.beta, copy.deepcopy(case.bn_param)
    )
    flat = dlnorm.batchnorm_backward(rows(case.dout), cache)
    size = float(np.abs(case.dout).sum()) * 4
    equal_to_rounding(case, dx, flat[0].reshape(n, h, w, c).transpose(0, 3, 1, 2), case.terms * 4)
    equal_to_rounding(case, dgamma, flat[1], size)
    equal_to_rounding(case, dbeta, flat[2], size)


# ------------------------------------------------------------------ what theory says


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", [(7, 3), (2, 3, 4, 3)], ids=str)
def test_dx_sums_to_zero_over_the_batch(shape: tuple[int, ...], eps: float) -> None:
    case = BatchNormCase(shape, eps=eps)
    dx = case.backward()[0]
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    bound = 8 * entries(case.x) ** 2 * unit_roundoff(np.float64) * case.terms
    np.testing.assert_allclose(dx.sum(axis=axes), 0, rtol=0, atol=bound)


def test_with_eps_zero_dx_is_orthogonal_to_x_hat() -> None:
    case = BatchNormCase((7, 3), eps=0.0)
    x_hat = case.forward()[1].stats.x_hat
    bound = 8 * 7**2 * unit_roundoff(np.float64) * case.terms
    np.testing.assert_allclose((case.backward()[0] * x_hat).sum(axis=0), 0, rtol=0, atol=bound)


@pytest.mark.parametrize("a", [3.0, -0.5, -40.0])
def test_with_eps_zero_a_scaled_input_has_its_gradient_divided_by_the_size_of_the_scale(
    a: float,
) -> None:
    case = BatchNormCase((7, 3), eps=0.0)
    dx, dgamma, dbeta = case.backward()
    case.dout = np.sign(a) * case.dout  # the output has the other sign, and so has the loss's
    case.x = a * case.x
    moved = case.backward()
    size = 20 * np.abs(case.dout).sum()
    equal_to_rounding(case, moved[0], dx / a, case.terms * 20)
    equal_to_rounding(case, moved[1], dgamma, size)
    equal_to_rounding(case, moved[2], np.sign(a) * dbeta, size)


@pytest.mark.parametrize("shape", [(1, 5), (1, 3, 1, 1)], ids=str)
def test_one_entry_a_feature_has_no_gradient(shape: tuple[int, ...]) -> None:
    case = BatchNormCase(shape)
    dx, dgamma, dbeta = case.backward()
    np.testing.assert_array_equal(dx, np.zeros(shape))
    np.testing.assert_array_equal(dgamma, np.zeros(shape[1]))
    np.testing.assert_array_equal(dbeta, case.dout.ravel())


def test_in_test_mode_the_gradient_of_each_entry_is_its_own() -> None:
    case = BatchNormCase((4, 3), "test", 0.1)
    dx, dgamma, dbeta = case.backward()
    np.testing.assert_allclose(dx, case.dout * case.gamma / case.std, rtol=1e-15)
    x_hat = (case.x - case.bn_param["running_mean"]) / case.std
    np.testing.assert_allclose(dgamma, (case.dout * x_hat).sum(axis=0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(dbeta, case.dout.sum(axis=0), rtol=0, atol=1e-15)


@pytest.mark.parametrize("mode", MODES)
def test_backward_is_linear_in_dout_also_for_complex_dout(mode: str) -> None:
    case = BatchNormCase((5, 3), mode)
    cache = case.forward()[1]
    real = dlnorm.batchnorm_backward(case.dout, cache)
    both = dlnorm.batchnorm_backward(case.dout * (1 - 2j), cache)
    for one, gradient in zip(real, both, strict=True):
        np.testing.assert_allclose(gradient, one * (1 - 2j), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("mode", MODES)
def test_a_cache_can_be_used_again_and_again(mode: str) -> None:
    case = BatchNormCase((5, 3), mode)
    cache = case.forward()[1]
    first = dlnorm.batchnorm_backward(case.dout, cache)
    if mode == "train":
        dlnorm.batchnorm_backward_staged(case.dout, cache)
    for one, again in zip(first, dlnorm.batchnorm_backward(case.dout, cache), strict=True):
        np.testing.assert_array_equal(one, again)


# ------------------------------------------------------------------ float32


Form = Callable[[Array, Any], tuple[Array, Array, Array]]


@pytest.mark.parametrize(
    ("shape", "mode", "backward"),
    [
        ((64, 5), "train", dlnorm.batchnorm_backward),
        ((64, 5), "train", dlnorm.batchnorm_backward_staged),
        ((64, 5), "test", dlnorm.batchnorm_backward),
        ((4, 5, 4, 4), "train", dlnorm.spatial_batchnorm_backward),
        ((4, 5, 4, 4), "test", dlnorm.spatial_batchnorm_backward),
    ],
)
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_float32_gradients_equal_those_of_a_float64_run(
    shape: tuple[int, ...], mode: str, backward: Form, mean: float
) -> None:
    case = BatchNormCase(shape, mode, mean=mean, var=1.0, dtype=np.float32)
    gradients = backward(case.dout, case.forward()[1])

    def doubled(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return value.astype(np.float64)

    bn_param = {k: doubled(v) if isinstance(v, np.ndarray) else v for k, v in case.bn_param.items()}
    _, cache = FORWARD[len(shape)](
        doubled(case.x), doubled(case.gamma), doubled(case.beta), bn_param
    )
    exact = backward(doubled(case.dout), cache)
    # x_hat is off by `off` (1 + |x_hat|); dx holds it twice, times a mean of dout * x_hat, which
    # is at most max|dout| max|x_hat|; a mean adds m u of what it runs over.
    m, u = entries(case.x), unit_roundoff(np.float32)
    off = x_hat_bound(case.x) if mode == "train" else 8 * u
    x_hat = float(np.abs(cache.stats.x_hat).max())
    relative = (2 * off + (m + 10) * u) * (1 + x_hat) ** 2
    sizes = (case.terms, *[float(np.abs(case.dout).sum()) / shape[1] * 2] * 2)
    assert relative < 2e-3
    for name, one, other, size in zip(NAMES, gradients, exact, sizes, strict=True):
        assert one.dtype == np.float32, name
        np.testing.assert_allclose(one, other, rtol=0, atol=relative * size, err_msg=name)
