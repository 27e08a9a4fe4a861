"""Gaussian dropout, Uout and Monte Carlo averages: noise that is given, and the law of real draws.

No test looks at what a seed draws: NumPy promises no stable random streams. Shares are compared
with probabilities within Hoeffding's bound at a false-alarm rate of 1e-9.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import dlnorm
from tests.ops.cases import Array, hoeffding, masks, unit_roundoff

Forward = Callable[..., Any]
GAUSSIAN = (dlnorm.gaussian_dropout_forward, dlnorm.gaussian_dropout_backward, {"p": 0.3})
UNIFORM = (dlnorm.uniform_dropout_forward, dlnorm.uniform_dropout_backward, {"beta": 0.4})
BOTH = [pytest.param(*GAUSSIAN, id="Gaussian"), pytest.param(*UNIFORM, id="Uout")]
SHAPES = [(5,), (1, 1), (4, 3), (3, 2, 4, 5)]
RATES = [0.0, 0.1, 0.5, 0.9]
U = unit_roundoff(np.float64)


class Given(np.random.Generator):
    """A generator whose standard normal, or uniform, numbers are given."""

    def __init__(self, numbers: Any) -> None:
        super().__init__(np.random.PCG64(0))
        self.numbers = np.asarray(numbers, np.float64)

    def standard_normal(self, size: Any = None, *_: Any, **__: Any) -> Any:
        return self.numbers.reshape(size)

    random = standard_normal


def sample(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> Array:
    return np.random.default_rng(7).standard_normal(shape).astype(dtype)


# ------------------------------------------------------------------ noise that is given


@pytest.mark.parametrize("p", RATES)
def test_gaussian_noise_has_the_mean_and_the_variance_of_the_mask(p: float) -> None:
    # Coins with sides -1 and 1 have the first two moments of a standard normal number, so the
    # mean over all their throws is the expectation. 2**6 terms and their factors are rounded.
    x, param = sample((2, 3)), {"p": p, "mode": "train"}
    mean, square = np.zeros(x.shape), np.zeros(x.shape)
    for coins in itertools.product([-1, 1], repeat=6):
        out, _ = dlnorm.gaussian_dropout_forward(x, {**param, "rng": Given(coins)})
        mean += out / 64
        square += (out - x) ** 2 / 64
    masked = sum(
        chance * (dlnorm.dropout_forward(x, {**param, "rng": rng})[0] - x) ** 2
        for _, chance, rng in masks(6, p)
    )
    scale = np.abs(x).max() * (1 + math.sqrt(p / (1 - p)))
    np.testing.assert_allclose(mean, x, rtol=0, atol=80 * U * scale)
    np.testing.assert_allclose(square, masked, rtol=0, atol=160 * U * scale**2)
    np.testing.assert_allclose(square, x**2 * p / (1 - p), rtol=0, atol=160 * U * scale**2)


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0, 2.5])
def test_uniform_noise_spans_one_plus_and_minus_beta(beta: float) -> None:
    x, share = sample((5, 1)), np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    param: Any = {"beta": beta, "mode": "train", "rng": Given(share)}
    out, cache = dlnorm.uniform_dropout_forward(x, param)
    factor = np.array([1 - beta, 1 - beta / 2, 1, 1 + beta / 2, 1 + beta])[:, np.newaxis]
    bound = 4 * U * (1 + beta)  # 2 u - 1 is exact here; a product, a sum and a product are rounded
    np.testing.assert_allclose(out, x * factor, rtol=0, atol=bound * np.abs(x).max())
    dx = dlnorm.uniform_dropout_backward(np.ones_like(x), cache)
    np.testing.assert_allclose(dx, factor, rtol=0, atol=bound)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_the_variance_of_uniform_noise_is_a_third_of_beta_squared(beta: float) -> None:
    # The midpoints of n equal parts have the mean of a uniform number and 1 - 1 / n**2 of its
    # variance: exact, but for n roundings.
    n = 50
    rng = Given((np.arange(n) + 0.5) / n)
    param: Any = {"beta": beta, "mode": "train", "rng": rng}
    out, _ = dlnorm.uniform_dropout_forward(np.ones((n, 1)), param)
    np.testing.assert_allclose(out.mean(), 1, rtol=2 * n * U)
    np.testing.assert_allclose(out.var(), beta**2 / 3 * (1 - 1 / n**2), rtol=0, atol=4 * n * U)


# ------------------------------------------------------------------ noise that is drawn


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_gaussian_noise_is_normal(p: float) -> None:
    param: Any = {"p": p, "mode": "train", "seed": 1}
    factor = dlnorm.gaussian_dropout_forward(np.ones((1000, 300)), param)[0]
    std = math.sqrt(p / (1 - p))
    for t in (-2.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.0):
        below = (1 + math.erf(t / math.sqrt(2))) / 2
        assert abs((factor < 1 + t * std).mean() - below) < hoeffding(factor.size)  # 0.006


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_uniform_noise_is_uniform(beta: float) -> None:
    param: Any = {"beta": beta, "mode": "train", "seed": 1}
    factor = dlnorm.uniform_dropout_forward(np.ones((1000, 300)), param)[0]
    assert factor.min() >= 1 - beta
    assert factor.max() <= 1 + beta
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        below = (factor < 1 + beta * (2 * share - 1)).mean()
        assert abs(below - share) < hoeffding(factor.size)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("forward", "backward", "strength"), BOTH)
def test_neighbors_are_independent(
    forward: Forward, backward: Forward, strength: dict[str, float], axis: int
) -> None:
    out, _ = forward(np.ones((600, 600)), {**strength, "mode": "train", "seed": 5})
    high = np.moveaxis(out > 1, axis, 0)
    agree = high[0::2] == high[1::2]  # pairs that share no entry
    assert abs(agree.mean() - 0.5) < hoeffding(agree.size)


@pytest.mark.parametrize("shape", [(6, 40), (3, 4, 8, 5)], ids=str)
@pytest.mark.parametrize(("forward", "backward", "strength"), BOTH)
def test_per_unit_shares_noise_in_the_batch(
    forward: Forward, backward: Forward, strength: dict[str, float], shape: tuple[int, ...]
) -> None:
    param = {**strength, "mode": "train", "per": "unit", "seed": 5}
    out, cache = forward(np.ones(shape), param)
    np.testing.assert_array_equal(out, np.broadcast_to(out[:1], shape))
    assert len(np.unique(out[0])) == out[0].size
    np.testing.assert_array_equal(backward(np.ones(shape), cache), out)
    single, _ = forward(np.ones(shape), {**param, "per": "element"})
    assert len(np.unique(single)) == single.size


@pytest.mark.parametrize(("forward", "backward", "strength"), BOTH)
def test_seeds_and_generators(
    forward: Forward, backward: Forward, strength: dict[str, float]
) -> None:
    x = np.ones((4, 5))
    before = np.random.get_state()[1].copy()

    def out(**more: Any) -> Array:
        return forward(x, {**strength, "mode": "train", **more})[0]

    np.testing.assert_array_equal(out(seed=3), out(seed=3))
    np.testing.assert_array_equal(out(seed=3), out(rng=np.random.default_rng(3)))
    assert (out(seed=3) != out(seed=4)).any()
    assert (out() != out()).any()
    rng = np.random.default_rng(3)
    assert (out(rng=rng) != out(rng=rng)).any()
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("forward", "backward", "strength"), BOTH)
def test_test_mode_and_no_noise_return_an_equal_array_that_is_not_the_same(
    forward: Forward, backward: Forward, strength: dict[str, float], shape: tuple[int, ...]
) -> None:
    x = sample(shape)
    none = dict.fromkeys(strength, 0.0)
    for param in ({**strength, "mode": "test"}, {**none, "mode": "train"}):
        out, cache = forward(x, param)
        np.testing.assert_array_equal(out, x)
        assert not np.shares_memory(out, x)
        np.testing.assert_array_equal(backward(x, cache), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("per", ["element", "unit"])
@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize(("forward", "backward", "strength"), BOTH)
def test_the_param_dict_is_left_alone(
    forward: Forward,
    backward: Forward,
    strength: dict[str, float],
    mode: str,
    per: str,
    dtype: npt.DTypeLike,
) -> None:
    param = {**strength, "mode": mode, "per": per, "seed": 1}
    before = copy.deepcopy(param)
    x = sample((4, 3), dtype)
    out, cache = forward(x, param)
    assert param == before
    assert out.dtype == backward(x, cache).dtype == dtype


# ------------------------------------------------------------------ wrong arguments

GOOD = np.ones((2, 3))
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x": [1.0]}, TypeError, "x must be a plain NumPy array, got list"),
    ({"x": np.ones(3, int)}, TypeError, "x must be of dtype float32 or float64, got int64"),
    ({"x": np.full((2, 3), np.nan)}, ValueError, "x must be finite, got 6 NaN or infinite of 6"),
    ({"x": np.ones(())}, ValueError, "x must have shape (N, ...), got shape ()"),
    ({"dropout_param": None}, TypeError, "dropout_param must be a dict, got NoneType"),
    ({"dropout_param": {"mode": "train"}}, ValueError, "dropout_param must have the key"),
    ({"mode": None}, ValueError, "dropout_param['mode'] must be 'train' or 'test', got None"),
    ({"mode": "eval"}, ValueError, "dropout_param['mode'] must be 'train' or 'test', got 'eval'"),
    ({"per": "batch"}, ValueError, "dropout_param['per'] must be 'element' or 'unit', got"),
    ({"seed": 1.5}, TypeError, "dropout_param['seed'] must be an int, got float"),
    ({"rng": 1}, TypeError, "dropout_param['rng'] must be a numpy.random.Generator, got int"),
    ({"rng": np.random.default_rng(0), "seed": 0}, ValueError, "'seed' or 'rng', got both"),
]
WRONG_P: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"p": 1.0}, ValueError, "dropout_param['p'] must lie in [0, 1), got 1.0"),
    ({"p": -0.1}, ValueError, "dropout_param['p'] must lie in [0, 1), got -0.1"),
    ({"p": "0.5"}, TypeError, "dropout_param['p'] must be a number, got str"),
]
WRONG_BETA: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"beta": -0.1}, ValueError, "dropout_param['beta'] must lie in [0, inf), got -0.1"),
    ({"beta": math.inf}, ValueError, "dropout_param['beta'] must lie in [0, inf), got inf"),
    ({"beta": math.nan}, ValueError, "dropout_param['beta'] must lie in [0, inf), got nan"),
    ({"beta": None}, TypeError, "dropout_param['beta'] must be a number, got NoneType"),
]


@pytest.mark.parametrize(
    ("forward", "good", "changed", "kind", "words"),
    [(GAUSSIAN[0], {"p": 0.5}, *row) for row in WRONG + WRONG_P]
    + [(UNIFORM[0], {"beta": 0.5}, *row) for row in WRONG + WRONG_BETA],
)
def test_a_wrong_argument_is_named(
    forward: Forward,
    good: dict[str, float],
    changed: dict[str, Any],
    kind: type[Exception],
    words: str,
) -> None:
    param = {**good, "mode": "train"} | {
        key: value for key, value in changed.items() if key not in ("x", "dropout_param")
    }
    with pytest.raises(kind) as raised:
        forward(changed.get("x", GOOD), changed.get("dropout_param", param))
    assert words in str(raised.value)


# ------------------------------------------------------------------ Monte Carlo


def handed_out(outputs: list[Array]) -> Callable[[Array, np.random.Generator], Array]:
    """A network whose outputs are given."""
    queue = list(outputs)
    return lambda x, rng: queue.pop(0)


@pytest.mark.parametrize("passes", [1, 2, 3, 17])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_mean_and_variance_are_those_of_the_outputs(passes: int, offset: float) -> None:
    # offset: the mean of the squares minus the square of the mean would be off by 2 here
    outputs = [offset + y for y in np.random.default_rng(2).standard_normal((passes, 4, 3))]
    mean, variance = dlnorm.mc_dropout(handed_out(outputs), GOOD, passes)
    stack = np.stack(outputs)
    # a mean of size M is off by passes u M, and each deviation by that; M is not in the variance
    # but through them
    error = 3 * passes * U * (offset + 5)
    np.testing.assert_allclose(mean, stack.mean(axis=0), rtol=0, atol=error)
    np.testing.assert_allclose(variance, stack.var(axis=0), rtol=0, atol=20 * error)


def test_every_mask_once_gives_the_expectation() -> None:
    # p = 1/2 makes all masks equally likely, so that the 2**6 of them are the whole distribution:
    # its mean through a linear layer is the plain layer, its variance that of independent factors.
    x, W = sample((1, 6)), sample((6, 3))
    generators = iter([rng for _, _, rng in masks(6, 0.5)])

    def forward(x: Array, rng: np.random.Generator) -> Array:
        param: Any = {"p": 0.5, "mode": "train", "rng": next(generators)}
        return dlnorm.dropout_forward(x, param)[0] @ W

    mean, variance = dlnorm.mc_dropout(forward, x, 64)
    size = float((np.abs(x) @ np.abs(W)).max())
    np.testing.assert_allclose(mean, x @ W, rtol=0, atol=200 * U * size)
    np.testing.assert_allclose(variance, x**2 @ W**2, rtol=0, atol=400 * U * size**2)


def test_all_passes_draw_from_one_generator() -> None:
    seen = []

    def forward(x: Array, rng: np.random.Generator) -> Array:
        seen.append(rng)
        return dlnorm.gaussian_dropout_forward(x, {"p": 0.5, "mode": "train", "rng": rng})[0]

    rng = np.random.default_rng(8)
    first = dlnorm.mc_dropout(forward, GOOD, 5, rng)
    assert len(seen) == 5
    assert all(one is rng for one in seen)
    again = dlnorm.mc_dropout(forward, GOOD, 5, np.random.default_rng(8))
    np.testing.assert_array_equal(first, again)
    assert (first[1] > 0).all()
    assert (dlnorm.mc_dropout(forward, GOOD, 5)[0] != first[0]).any()
    assert len({id(one) for one in seen[10:]}) == 1


def test_without_noise_the_variance_is_exactly_zero() -> None:
    mean, variance = dlnorm.mc_dropout(lambda x, rng: x / 3, GOOD, 7)
    np.testing.assert_array_equal(mean, GOOD / 3)
    np.testing.assert_array_equal(variance, np.zeros((2, 3)))


def test_one_output_array_filled_again_and_again_will_do() -> None:
    buffer = np.empty((2, 3))

    def forward(x: Array, rng: np.random.Generator) -> Array:
        buffer[...] = rng.standard_normal((2, 3))
        return buffer

    got = dlnorm.mc_dropout(forward, GOOD, 4, np.random.default_rng(1))
    fresh = dlnorm.mc_dropout(
        lambda x, rng: rng.standard_normal((2, 3)), GOOD, 4, np.random.default_rng(1)
    )
    np.testing.assert_array_equal(got, fresh)


def test_float32_stays_float32_and_is_added_up_in_float64() -> None:
    # a float32 mean of 1e4 would not notice 2500 times one more: 1 / t is less than half its ulp
    outputs = [np.full((1, 1), 1e4 + (t >= 2500), np.float32) for t in range(5000)]
    mean, variance = dlnorm.mc_dropout(handed_out(outputs), GOOD, 5000)
    assert mean.dtype == variance.dtype == np.float32
    np.testing.assert_allclose(mean, 1e4 + 0.5, rtol=2 * unit_roundoff(np.float32))
    np.testing.assert_allclose(variance, 0.25, rtol=2 * unit_roundoff(np.float32))


def test_any_output_shape_and_the_complex_step() -> None:
    x = sample((2, 3))
    assert dlnorm.mc_dropout(lambda x, rng: x.sum(axis=1), x, 2)[0].shape == (2,)

    def variance(x: Array) -> Array:
        rng = np.random.default_rng(3)
        return dlnorm.mc_dropout(lambda x, rng: x * rng.standard_normal(x.shape), x, 6, rng)[1]

    # the variance is quadratic in each entry of x
    expected = 2 * variance(x) / x
    got = dlnorm.complex_step_gradient(variance, x, np.ones_like(x))
    np.testing.assert_allclose(got, expected, rtol=100 * U)


WRONG_MC: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"forward": 3}, TypeError, "forward must be a function, got int"),
    ({"x": [1.0]}, TypeError, "x must be a plain NumPy array, got list"),
    ({"x": np.full((1, 1), np.inf)}, ValueError, "x must be finite"),
    ({"passes": 0}, ValueError, "passes must lie in [1, inf), got 0"),
    ({"passes": 2.5}, ValueError, "passes must be a whole number, got 2.5"),
    ({"passes": "3"}, TypeError, "passes must be a number, got str"),
    ({"passes": True}, TypeError, "passes must be a number, got bool"),
    ({"rng": 1}, TypeError, "rng must be a numpy.random.Generator, got int"),
    ({"forward": lambda x, rng: 1.0}, TypeError, "forward(x, rng) must be a plain NumPy array"),
    (
        {"forward": handed_out([np.ones(2), np.ones(3)])},
        ValueError,
        "forward(x, rng) must have shape (2,), got (3,)",
    ),
    (
        {"forward": handed_out([np.ones(2), np.ones(2, np.float32)])},
        TypeError,
        "forward(x, rng) must stay of dtype float64, got float32",
    ),
    (
        {"forward": handed_out([np.full(2, np.nan)])},
        ValueError,
        "forward(x, rng) must be finite, got 2 NaN or infinite of 2",
    ),
    (
        {"forward": handed_out([np.ones(2), np.full(2, np.inf)])},
        ValueError,
        "forward(x, rng) must be finite, got 2 NaN or infinite of 2",
    ),
]


@pytest.mark.parametrize(("changed", "kind", "words"), WRONG_MC)
def test_a_wrong_argument_of_mc_dropout_is_named(
    changed: dict[str, Any], kind: type[Exception], words: str
) -> None:
    good = {"forward": lambda x, rng: x, "x": GOOD, "passes": 2}
    with pytest.raises(kind) as raised:
        dlnorm.mc_dropout(**{**good, **changed})
    assert words in str(raised.value)
