"""L1, L2 and max-norm: values, gradients, and that the projection is the nearest point."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlnorm
from tests.ops.cases import QUICK, Array, layouts, unchanged, unit_roundoff

U = unit_roundoff(np.float64)
SHAPES = [(1,), (5,), (1, 1), (4, 3), (2, 3, 3, 2)]
PENALTIES: dict[str, Any] = {"l1": dlnorm.l1_penalty, "l2": dlnorm.l2_penalty}
every_penalty = pytest.mark.parametrize("name", PENALTIES)


def draw(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(shape).standard_normal(shape)


@pytest.mark.parametrize("strength", [0.0, 1e-4, 3.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_what_the_definitions_say(
    shape: tuple[int, ...], strength: float
) -> None:
    w = draw(shape)
    values = [float(v) for v in w.ravel()]
    rtol = (w.size + 3) * U
    loss, dw = dlnorm.l1_penalty(w, strength)
    assert math.isclose(loss, strength * math.fsum(map(abs, values)), rel_tol=rtol)
    np.testing.assert_array_equal(dw, strength * np.copysign(1, w))
    loss, dw = dlnorm.l2_penalty(w, strength)
    assert math.isclose(loss, strength / 2 * math.fsum(v * v for v in values), rel_tol=rtol)
    np.testing.assert_array_equal(dw, strength * w)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every_penalty
def test_gradients_equal_the_complex_step(name: str, shape: tuple[int, ...]) -> None:
    w, dout = draw(shape), np.array(1.7)
    want = dlnorm.complex_step_gradient(lambda w: PENALTIES[name](w, 0.3)[0], w, dout)
    np.testing.assert_allclose(1.7 * PENALTIES[name](w, 0.3)[1], want, rtol=10 * U)


def test_l1_has_no_slope_at_zero() -> None:
    loss, dw = dlnorm.l1_penalty(np.array([0.0, -0.0, 1e-300]), 0.5)
    np.testing.assert_array_equal(dw, [0, 0, 0.5])
    assert loss == 0.5e-300


@every_penalty
def test_float32_layouts_and_untouched_inputs(name: str) -> None:
    w = draw((6, 5)).astype(np.float32)
    exact, exact_dw = PENALTIES[name](w.astype(np.float64), 0.3)
    for given_w in layouts(w).values():
        with unchanged(w=given_w):
            loss, dw = PENALTIES[name](given_w, 0.3)
        assert loss.dtype == dw.dtype == np.float32
        assert loss.shape == ()
        # 30 terms of one sign
        np.testing.assert_allclose(loss, exact, rtol=33 * unit_roundoff(np.float32))
        np.testing.assert_allclose(dw, exact_dw, rtol=3 * unit_roundoff(np.float32))
        assert not np.shares_memory(dw, given_w)


# ------------------------------------------------------------------ max-norm


def lengths(w: Array) -> list[float]:
    return [math.hypot(*column) for column in w.T]


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 1.9, 50.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (4, 3), (3, 4), (3, 3)], ids=str)
def test_long_columns_are_shortened_and_the_others_left_alone(
    shape: tuple[int, int], max_norm: float
) -> None:
    w = draw(shape)
    with unchanged(w=w):
        got = dlnorm.maxnorm_project(w, max_norm)
    assert not np.shares_memory(got, w)
    rtol = (shape[0] / 2 + 6) * U
    for j, length in enumerate(lengths(w)):
        if length <= max_norm:
            np.testing.assert_array_equal(got[:, j], w[:, j])
        else:
            np.testing.assert_allclose(got[:, j], w[:, j] * (max_norm / length), rtol=rtol)
    assert max(lengths(got)) <= max_norm * (1 + rtol)
    np.testing.assert_allclose(dlnorm.maxnorm_project(got, max_norm), got, rtol=rtol)


def test_a_column_of_just_that_length_and_one_of_zeros_are_left_alone() -> None:
    w = np.array([[3.0, 0.0, -3.0], [4.0, 0.0, 4.0]])
    np.testing.assert_array_equal(dlnorm.maxnorm_project(w, 5.0), w)


@QUICK
@given(st.integers(1, 5), st.integers(1, 4), st.floats(0.1, 5), st.integers(0, 99))
def test_no_weights_within_the_limit_are_nearer(
    d_in: int, d_out: int, max_norm: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    w = 2 * rng.standard_normal((d_in, d_out))
    near = dlnorm.maxnorm_project(w, max_norm)
    other = rng.standard_normal((20, d_in, d_out))
    other *= max_norm * rng.uniform(size=(20, 1, 1)) / np.sqrt((other**2).sum(axis=1))[:, None]
    best = ((near - w) ** 2).sum(axis=0)
    assert (best <= ((other - w) ** 2).sum(axis=1) + 40 * U * (w**2).sum()).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_max_norm_in_any_dtype_and_layout(dtype: Any) -> None:
    w = draw((4, 3)).astype(dtype)
    plain = dlnorm.maxnorm_project(w, 1.0)
    for layout, given_w in layouts(w).items():
        got = dlnorm.maxnorm_project(given_w, 1.0)
        assert got.dtype == dtype
        # four squares, perhaps added in another order
        np.testing.assert_allclose(got, plain, rtol=10 * unit_roundoff(dtype), err_msg=layout)


def test_the_complex_step_goes_through_the_projection() -> None:
    # where it shortens, it is weight norm with g = max_norm; where not, the identity
    w, dout = draw((4, 3)), np.random.default_rng(0).standard_normal((4, 3))
    w[:, 1] *= 0.1 / lengths(w)[1]
    got = dlnorm.complex_step_gradient(lambda w: dlnorm.maxnorm_project(w, 0.5), w, dout)
    _, cache = dlnorm.weightnorm_forward(w, np.full(3, 0.5))
    want = dlnorm.weightnorm_backward(dout, cache)[0]
    want[:, 1] = dout[:, 1]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


W = np.ones((4, 3))
WRONG_W: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"w": [1.0]}, TypeError, "w must be a plain NumPy array, got list"),
    ({"w": W.astype(int)}, TypeError, "w must be of dtype float32 or float64, got int64"),
    ({"w": W * np.nan}, ValueError, "w must be finite, got 12 NaN or infinite of 12"),
    ({"w": W[:0]}, ValueError, "w must not be empty, got shape (0, 3)"),
]


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        *WRONG_W,
        ({"strength": -0.1}, ValueError, "strength must lie in [0, inf), got -0.1"),
        ({"strength": np.inf}, ValueError, "strength must lie in [0, inf), got inf"),
        ({"strength": "1"}, TypeError, "strength must be a number, got str"),
        ({"w": W * 1e308}, ValueError, "w must be small enough to compute with in float64"),
    ],
)
@every_penalty
def test_a_wrong_argument_of_a_penalty_is_named(
    name: str, changed: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as raised:
        PENALTIES[name](**{"w": W, "strength": 0.1, **changed})
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        *WRONG_W,
        ({"w": W[0]}, ValueError, "w must have shape (D_in, D_out), got shape (3,)"),
        ({"w": W * 1e200}, ValueError, "w must be small enough to compute with in float64"),
        ({"max_norm": 0}, ValueError, "max_norm must lie in (0, inf), got 0.0"),
        ({"max_norm": np.inf}, ValueError, "max_norm must lie in (0, inf), got inf"),
        ({"max_norm": None}, TypeError, "max_norm must be a number, got NoneType"),
    ],
)
def test_a_wrong_argument_of_max_norm_is_named(
    changed: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as raised:
        dlnorm.maxnorm_project(**{"w": W, "max_norm": 1.0, **changed})
    assert words in str(raised.value)
