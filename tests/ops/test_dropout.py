"""Dropout: every mask enumerated, and the frequencies of real draws within a bound.

No test looks at which entries a seed drops: NumPy promises no stable random streams. Bounds on
frequencies are Hoeffding's, at a false-alarm rate of 1e-9 (`tests.ops.cases.hoeffding`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import dlnorm
from tests.ops.cases import Array, Scripted, hoeffding, masks, unit_roundoff

RATES = [0.0, 0.1, 0.3, 0.5, 0.9]
SHAPES = [(5,), (1, 1), (4, 3), (3, 2, 4, 5)]
Forward = Callable[..., Any]
Backward = Callable[..., Any]
INVERTED = (dlnorm.dropout_forward, dlnorm.dropout_backward)
CLASSICAL = (dlnorm.classical_dropout_forward, dlnorm.classical_dropout_backward)
BOTH = [pytest.param(*INVERTED, id="inverted"), pytest.param(*CLASSICAL, id="classical")]


def sample(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> Array:
    """Random numbers, some of which are 0: a mask cannot be read off ``out != 0``."""
    x = np.random.default_rng(7).standard_normal(shape).astype(dtype)
    x.flat[::4] = 0
    return x


def train(p: float = 0.3, **more: Any) -> dict[str, Any]:
    return {"p": p, "mode": "train", **more}


# ------------------------------------------------------------------ every mask, enumerated


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize("shape", [(2, 3), (1, 5), (4, 1)], ids=str)
def test_the_mean_over_all_masks_is_x(shape: tuple[int, ...], p: float) -> None:
    x = sample(shape)
    total = np.zeros(shape)
    for mask, probability, rng in masks(x.size, p):
        out, _ = dlnorm.dropout_forward(x, train(p, rng=rng))
        np.testing.assert_allclose(out, x * mask.reshape(shape) / (1 - p), rtol=4e-16)
        total += probability * out
    # 2**6 masks at most, each weighted by a product of 6 factors and summed
    np.testing.assert_allclose(total, x, rtol=0, atol=80 * unit_roundoff(float) * np.abs(x).max())


@pytest.mark.parametrize("p", RATES)
def test_the_mean_over_all_masks_of_the_units_is_x(p: float) -> None:
    x = sample((5, 4))
    total = np.zeros(x.shape)
    for mask, probability, rng in masks(4, p):
        out, _ = dlnorm.dropout_forward(x, train(p, rng=rng, per="unit"))
        np.testing.assert_allclose(out, x * mask / (1 - p), rtol=4e-16)
        total += probability * out
    np.testing.assert_allclose(total, x, rtol=0, atol=40 * unit_roundoff(float) * np.abs(x).max())


@pytest.mark.parametrize("p", RATES)
def test_classical_test_mode_is_the_mean_over_all_masks(p: float) -> None:
    x = sample((2, 3))
    total = sum(
        probability * dlnorm.classical_dropout_forward(x, train(p, rng=rng))[0]
        for _, probability, rng in masks(6, p)
    )
    out, _ = dlnorm.classical_dropout_forward(x, {"p": p, "mode": "test"})
    np.testing.assert_array_equal(out, (1 - p) * x)
    np.testing.assert_allclose(total, out, rtol=0, atol=80 * unit_roundoff(float) * np.abs(x).max())


@pytest.mark.parametrize("p", RATES)
def test_the_gradient_of_every_mask_is_the_mask(p: float) -> None:
    x, dout = sample((2, 3)), sample((2, 3)) + 1
    for scale, (forward, backward) in ((1 / (1 - p), INVERTED), (1.0, CLASSICAL)):
        for mask, _, rng in masks(6, p):
            _, cache = forward(x, train(p, rng=rng))
            expected = dout * mask.reshape(2, 3) * scale
            np.testing.assert_allclose(backward(dout, cache), expected, rtol=4e-16)


# ------------------------------------------------------------------ backward


@pytest.mark.parametrize("per", ["element", "unit"])
@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("forward", "backward"), BOTH)
def test_backward_equals_the_complex_step_and_central_differences(
    forward: Forward, backward: Backward, shape: tuple[int, ...], mode: str, per: str
) -> None:
    x, dout = sample(shape), sample(shape)[::-1].copy() + 0.5
    settings = {"p": 0.3, "mode": mode, "per": per, "seed": 11}
    dx = backward(dout, forward(x, settings)[1])

    def f(x: Array) -> Array:
        return forward(x, settings)[0]

    exact = dlnorm.complex_step_gradient(f, x, dout)
    np.testing.assert_allclose(dx, exact, rtol=1e-15)
    # linear in x, so that a step of 1 has no truncation error
    numeric = dlnorm.numeric_gradient(f, x, dout, h=1.0)
    np.testing.assert_allclose(dx, numeric, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("forward", "backward"), BOTH)
@pytest.mark.parametrize("mode", ["train", "test"])
def test_a_complex_x_leaves_no_complex_factor_behind(
    forward: Forward, backward: Backward, mode: str
) -> None:
    out, cache = forward(sample((4, 3)) + 1e-100j, {"p": 0.3, "mode": mode, "seed": 1})
    assert out.dtype == np.complex128
    assert backward(sample((4, 3)), cache).dtype == np.float64


def test_backward_uses_the_mask_of_its_own_forward_pass() -> None:
    rng = np.random.default_rng(1)
    x = np.ones((30, 30))
    passes = [dlnorm.dropout_forward(x, train(0.5, rng=rng)) for _ in range(3)]
    for out, cache in reversed(passes):
        np.testing.assert_array_equal(dlnorm.dropout_backward(x, cache), out)
        np.testing.assert_array_equal(dlnorm.dropout_backward(x, cache), out)


# ------------------------------------------------------------------ what comes out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("per", ["element", "unit"])
@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_entry_is_dropped_or_divided_by_keep(
    shape: tuple[int, ...], p: float, per: str, dtype: npt.DTypeLike
) -> None:
    x = sample(shape, dtype)
    # 1 - p and 1 / (1 - p) are each rounded, and so are their products
    rtol = 4 * unit_roundoff(dtype)
    settings = train(p, per=per, seed=3)
    out, cache = dlnorm.dropout_forward(x, settings)
    assert out.dtype == dtype
    assert out.shape == shape
    kept = np.isclose(out, x / dtype(1 - p), rtol=rtol, atol=0)
    assert ((out == 0) | kept).all()
    dx = dlnorm.dropout_backward(x, cache)
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, out)
    classical, _ = dlnorm.classical_dropout_forward(x, settings)
    assert classical.dtype == dtype
    assert ((classical == 0) | (classical == x)).all()
    np.testing.assert_allclose(classical / dtype(1 - p), out, rtol=rtol)


def test_with_p_zero_nothing_changes() -> None:
    x = sample((50, 40))
    out, cache = dlnorm.dropout_forward(x, train(0.0, seed=0))
    np.testing.assert_array_equal(out, x)
    assert out is not x
    np.testing.assert_array_equal(dlnorm.dropout_backward(x, cache), x)


def test_p_just_below_one_is_finite() -> None:
    p = float(np.nextafter(1, 0))
    for dtype in (np.float32, np.float64):
        one = Scripted(lambda shape: np.full(shape, p))  # the largest uniform number: kept
        out, _ = dlnorm.dropout_forward(np.ones(3, dtype), train(p, rng=one))
        np.testing.assert_array_equal(out, np.full(3, 2.0**53, dtype))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_test_mode_returns_an_equal_array_that_is_not_the_same(shape: tuple[int, ...]) -> None:
    x = sample(shape)
    out, cache = dlnorm.dropout_forward(x, {"p": 0.5, "mode": "test"})
    np.testing.assert_array_equal(out, x)
    assert out is not x
    assert not np.shares_memory(out, x)
    np.testing.assert_array_equal(dlnorm.dropout_backward(x, cache), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classical_test_mode_multiplies_by_keep(dtype: npt.DTypeLike) -> None:
    x = sample((4, 3), dtype)
    out, cache = dlnorm.classical_dropout_forward(x, {"p": 0.3, "mode": "test"})
    np.testing.assert_array_equal(out, x * dtype(0.7))
    dx = dlnorm.classical_dropout_backward(x, cache)
    np.testing.assert_array_equal(dx, out)
    assert out.dtype == dx.dtype == dtype


# ------------------------------------------------------------------ the masks that are drawn


@pytest.mark.parametrize(("forward", "backward"), BOTH)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_is_p(forward: Forward, backward: Backward, p: float) -> None:
    x = np.ones((1000, 300))
    out, _ = forward(x, train(p, seed=2))
    assert abs((out == 0).mean() - p) < hoeffding(x.size)  # 0.006


def test_the_share_of_units_that_is_dropped_is_p() -> None:
    x = np.ones((2, 100_000))
    out, _ = dlnorm.dropout_forward(x, train(0.2, seed=2, per="unit"))
    assert abs((out[0] == 0).mean() - 0.2) < hoeffding(x.shape[1])


@pytest.mark.parametrize("axis", [0, 1])
def test_neighbors_are_dropped_independently(axis: int) -> None:
    p = 0.3
    out, _ = dlnorm.dropout_forward(np.ones((600, 600)), train(p, seed=5))
    dropped = np.moveaxis(out == 0, axis, 0)
    agree = dropped[0::2] == dropped[1::2]  # pairs that share no entry
    assert abs(agree.mean() - (p**2 + (1 - p) ** 2)) < hoeffding(agree.size)


@pytest.mark.parametrize("shape", [(6, 400), (3, 10, 8, 5)], ids=str)
def test_per_unit_drops_whole_columns(shape: tuple[int, ...]) -> None:
    out, cache = dlnorm.dropout_forward(np.ones(shape), train(0.5, seed=5, per="unit"))
    np.testing.assert_array_equal(out, np.broadcast_to(out[:1], shape))
    assert len(np.unique(out[0])) == 2  # false alarm 2**-399
    dx = dlnorm.dropout_backward(np.ones(shape), cache)
    np.testing.assert_array_equal(dx, out)


def test_per_element_is_the_default_and_drops_no_whole_column() -> None:
    x = np.ones((40, 50))
    out, _ = dlnorm.dropout_forward(x, train(0.5, seed=5))
    np.testing.assert_array_equal(
        dlnorm.dropout_forward(x, train(0.5, seed=5, per="element"))[0], out
    )
    assert not (out == out[:1]).all(axis=0).any()  # false alarm 50 * 2**-39 < 1e-10
    assert not (out == out[:, :1]).all(axis=1).any()


@pytest.mark.parametrize("per", ["element", "unit"])
@pytest.mark.parametrize(("forward", "backward"), BOTH)
def test_the_same_seed_gives_the_same_mask_and_another_another(
    forward: Forward, backward: Backward, per: str
) -> None:
    x = np.ones((20, 100))
    out = [forward(x, train(0.5, per=per, seed=seed))[0] for seed in (4, 4, 5, np.int64(4))]
    np.testing.assert_array_equal(out[0], out[1])
    np.testing.assert_array_equal(out[0], out[3])
    assert (out[0] != out[2]).any()  # false alarm 2**-100


def test_seed_zero_is_a_seed() -> None:
    x = np.ones((20, 100))
    first, second = (dlnorm.dropout_forward(x, train(0.5, seed=0))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_inverted_and_classical_draw_the_same_mask_from_a_seed() -> None:
    x = np.ones((20, 30))
    inverted, classical = (f(x, train(0.5, seed=1))[0] for f, _ in (INVERTED, CLASSICAL))
    np.testing.assert_array_equal(inverted, 2 * classical)


@pytest.mark.parametrize("none", [{}, {"seed": None}, {"rng": None}, {"seed": None, "rng": None}])
def test_without_a_seed_every_call_draws_a_fresh_mask(none: dict[str, None]) -> None:
    x = np.ones((20, 30))
    first, second = (dlnorm.dropout_forward(x, train(0.5, **none))[0] for _ in range(2))
    assert (first != second).any()  # false alarm 2**-600


def test_a_generator_is_drawn_from_and_moves_on() -> None:
    x = np.ones((20, 30))
    rng = np.random.default_rng(8)
    twin = copy.deepcopy(rng)
    out = [dlnorm.dropout_forward(x, train(0.5, rng=rng))[0] for _ in range(2)]
    again = [dlnorm.dropout_forward(x, train(0.5, rng=twin, seed=None))[0] for _ in range(2)]
    np.testing.assert_array_equal(out, again)
    assert (out[0] != out[1]).any()


def test_test_mode_draws_nothing() -> None:
    rng = np.random.default_rng(8)
    before = copy.deepcopy(rng.bit_generator.state)
    dlnorm.dropout_forward(np.ones((3, 3)), {"p": 0.5, "mode": "test", "rng": rng})
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("more", [{}, {"seed": 3}, {"per": "unit", "seed": 3}])
@pytest.mark.parametrize(("forward", "backward"), BOTH)
def test_the_global_random_state_is_neither_changed_nor_used(
    forward: Forward, backward: Backward, more: dict[str, Any]
) -> None:
    x = np.ones((20, 30))
    np.random.seed(0)
    before = np.random.get_state(legacy=False)
    out, cache = forward(x, train(0.5, **more))
    backward(x, cache)
    np.testing.assert_equal(np.random.get_state(legacy=False), before)
    np.random.seed(0)
    again, _ = forward(x, train(0.5, **more))
    assert (again == out).all() == ("seed" in more)
