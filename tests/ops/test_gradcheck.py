"""Gradients by differences: known derivatives, the order of convergence, and honest refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dlnorm import complex_step_gradient, numeric_gradient, relative_error
from dlnorm.gradcheck import CENTRAL_STEP, COMPLEX_STEP
from tests.ops.cases import Array, unit_roundoff

X = np.array([[0.3, -1.2, 2.0], [1.5, 0.7, -0.4]])
DOUT = np.array([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]])
#: f, its derivative, and a bound on its third derivative over [-2.1, 2.1]
ENTRYWISE: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array], float]] = {
    "square": (np.square, lambda x: 2 * x, 0.0),
    "cube": (lambda x: x**3, lambda x: 3 * x**2, 6.0),
    "exp": (np.exp, np.exp, float(np.exp(2.1))),
    "sin": (np.sin, np.cos, 1.0),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2, 2.0),
    "reciprocal": (lambda x: 1 / (x + 5), lambda x: -1 / (x + 5) ** 2, 6 / 2.9**4),
}


@pytest.mark.parametrize("name", ENTRYWISE)
def test_known_derivatives(name: str) -> None:
    f, derivative, third = ENTRYWISE[name]
    expected = DOUT * derivative(X)
    u, h = unit_roundoff(np.float64), CENTRAL_STEP
    # truncation h**2 / 6 max|f'''|; rounding: f and its argument are known to a few u
    scale = np.abs(f(X)) + np.abs(X * derivative(X))
    allowed = np.abs(DOUT) * (h**2 / 6 * third + 4 * u / h * scale)
    numeric = numeric_gradient(f, X, DOUT)
    assert (np.abs(numeric - expected) <= allowed).all()
    # libraries compute exp, sin and tanh to a few units in the last place, which 1 - tanh(2)**2
    # makes 27 times as many of its own; 4 of each, for the complex and for the real function
    got = complex_step_gradient(f, X, DOUT)
    np.testing.assert_allclose(got, expected, rtol=2 * 4 * 27 * 2 * u)


def test_a_function_that_mixes_entries_and_changes_the_shape() -> None:
    weights = np.arange(12.0).reshape(3, 4)
    dout = np.linspace(-1, 1, 8).reshape(2, 4)
    for gradient in (numeric_gradient, complex_step_gradient):
        got = gradient(lambda x: x @ weights, X, dout)
        np.testing.assert_allclose(got, dout @ weights.T, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", [(), (1,), (2, 1, 3)], ids=str)
def test_any_shape_and_a_scalar_result(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 2.0)
    for gradient in (numeric_gradient, complex_step_gradient):
        got = gradient(lambda x: (x**2).sum(), x, np.array(3.0))
        assert got.shape == shape
        np.testing.assert_allclose(got, np.full(shape, 12.0), rtol=1e-9)


def test_halving_the_step_of_central_differences_quarters_the_error() -> None:
    def error(h: float) -> float:
        return float(np.abs(numeric_gradient(np.exp, X, DOUT, h) - DOUT * np.exp(X)).max())

    # at these steps truncation, h**2 / 6, is at least 1e6 times the rounding, u / h; the next
    # term of the series, h**4 / 120, adds less than 1e-4 to the ratio 4
    for h in (1e-2, 5e-3, 2.5e-3):
        assert error(h) / error(h / 2) == pytest.approx(4, abs=1e-3)


def test_the_complex_step_has_an_error_of_order_h_squared_and_none_when_h_is_tiny() -> None:
    def error(h: float) -> float:
        return float(np.abs(complex_step_gradient(np.exp, X, DOUT, h) - DOUT * np.exp(X)).max())

    assert error(1e-2) / error(5e-3) == pytest.approx(4, abs=1e-3)
    # nothing but two exponentials, each to 4 units in the last place in any library, and products
    largest = float(np.abs(DOUT * np.exp(X)).max())
    assert error(COMPLEX_STEP) <= (2 * 4 * 2 + 4) * unit_roundoff(np.float64) * largest


def test_the_default_steps() -> None:
    eps = np.finfo(np.float64).eps
    assert abs(CENTRAL_STEP**3 / eps - 1) < 1e-14
    assert eps * 1e-50 > COMPLEX_STEP**2  # truncation is nothing beside rounding
    assert np.finfo(np.float64).tiny * 1e100 < COMPLEX_STEP  # f may shrink it and keep its digits


def test_a_step_that_is_given_is_the_step_that_is_taken() -> None:
    seen: list[float] = []

    def watch(x: Array) -> Array:
        seen.append(float(x[0]))
        return x

    numeric_gradient(watch, np.zeros(1), np.ones(1), h=0.25)
    assert sorted(seen) == [-0.25, 0.25]


def test_float32_input_is_differentiated_in_float64() -> None:
    x, dout = X.astype(np.float32), DOUT.astype(np.float32)

    def f(x: Array) -> Array:
        assert x.dtype in (np.float64, np.complex128)
        return np.sin(x)

    for gradient in (numeric_gradient, complex_step_gradient):
        got = gradient(f, x, dout)
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, DOUT * np.cos(x.astype(np.float64)), rtol=1e-8)


@pytest.mark.parametrize("drop", [np.abs, np.real, lambda x: np.zeros(x.shape), lambda x: 1.0])
def test_a_function_that_drops_the_imaginary_part_is_refused(
    drop: Callable[[Array], Array],
) -> None:
    with pytest.raises(TypeError, match="f must keep complex numbers complex, got float64"):
        complex_step_gradient(lambda x: drop(x) + np.zeros(x.shape), X, DOUT)


def test_relative_error_is_relative_to_the_largest_entry_of_either() -> None:
    a, b = np.array([[1.0, -100.0]]), np.array([[2.0, -101.0]])
    assert relative_error(a, b) == 1 / 101
    assert relative_error(b, a) == 1 / 101
    assert relative_error(a, a.copy()) == 0
    assert relative_error(a, -a) == 2
    assert relative_error(np.array([-3.0]), np.array([1.0])) == 4 / 3


def test_relative_error_does_not_compare_an_entry_with_itself_alone() -> None:
    assert relative_error(np.array([1e-17, 1.0]), np.array([0.0, 1.0])) == pytest.approx(1e-17)


def test_relative_error_of_zeros() -> None:
    zero = np.zeros(3)
    assert relative_error(zero, zero.copy()) == 0
    assert relative_error(zero, np.array([0.0, 0.0, 1e-300])) == 1
    assert type(relative_error(np.ones(1, np.float32), np.ones(1, np.float32))) is float
