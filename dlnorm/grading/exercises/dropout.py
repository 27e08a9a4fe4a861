"""The dropout problem set.

Masks are random, so most results are described in words (`checker.describe_mask` and its like)
and never compared position by position. Where a mask is read off an output, the input has no
zeros. With about 10^4 entries the share that is dropped stays, at `checker.SIGMAS` standard errors,
within 0.035 of p; the 600 and 900 coins of a unit mask stay within 0.11, which is why the p of the
cases keep away from 1 - p and, where they can, from 1/2. Of noise that is no mask there are 7200
numbers a case: at as many standard errors their variance stays within 10 % of the true one, or 6 %
if they are uniform, and the share within one standard deviation of their mean within 0.034. All
words together make a check stop a right answer less than once in 10^6 times: one word is wrong by
chance with probability 6.6e-9, or 1.1e-8 where a tail is heavier than the normal one, and no check
has more than twelve of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import dlnorm
from dlnorm._validate import Array
from dlnorm.dropout import DropoutCache, DropoutParam
from dlnorm.grading.exercise import Args, Check, Misconception, ProblemSet, collect
from dlnorm.grading.misconceptions import dropout as wrong

Grads = dict[str, Array]


# ---------------------------------------------------------------- references


class _Cache(NamedTuple):
    """What `dlnorm.dropout_backward` needs, and what wrong backward passes use instead."""

    factor: Array | float
    shape: tuple[int, ...]
    x: Array
    out: Array
    p: float
    mode: str


def _draw_mask(shape: tuple[int, ...], p: float, rng: np.random.Generator) -> Array:
    """Ones and zeros of the given shape, each 0 with probability p, drawn from `rng`."""
    return (rng.random(shape) >= p).astype(np.float64)


def _remembering(forward: Callable[..., Any]) -> Callable[..., tuple[Array, _Cache]]:
    """A forward pass of `dlnorm`, with a cache that wrong backward passes can work with, too."""

    def remembering_forward(x: Array, dropout_param: DropoutParam) -> tuple[Array, _Cache]:
        out, (factor, shape) = forward(x, dropout_param)
        return out, _Cache(factor, shape, x, out, dropout_param["p"], dropout_param["mode"])

    return remembering_forward


def _dropout_backward(dout: Array, cache: _Cache | DropoutCache) -> Array:
    """`dlnorm.dropout_backward`, for the cache of `_remembering` and those of wrong passes."""
    return dlnorm.dropout_backward(dout, DropoutCache(cache.factor, cache.shape))


def _unit_dropout_forward(x: Array, dropout_param: DropoutParam) -> tuple[Array, Any]:
    """Inverted dropout with one coin a column, shared by the batch."""
    return dlnorm.dropout_forward(x, {**dropout_param, "per": "unit"})


def _mc_predict(network: Callable[..., Array], x: Array, passes: int) -> tuple[Array, Array]:
    """Mean and variance of the probabilities over noisy passes of ``network(x, mode, mode)``."""

    def forward(x: Array, _: np.random.Generator) -> Array:
        scores = network(x, "train", "test")
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: Array = odds / odds.sum(axis=1, keepdims=True)
        return probabilities

    return dlnorm.mc_dropout(forward, x, passes)


def _three_layer_forward(
    x: Array, weights: dict[str, Array], u1: Array, u2: Array
) -> tuple[Array, tuple[Any, ...]]:
    """Scores of a three-layer ReLU network whose hidden layers are multiplied by u1 and u2.

    x is (N, D), the weights are W1 (D, H1), b1 (H1,), W2 (H1, H2), b2 (H2,), W3 (H2, K), b3 (K,),
    the scaled masks (N, H1) and (N, H2); the scores are (N, K).
    """
    a1 = np.maximum(x @ weights["W1"] + weights["b1"], 0)
    h1 = a1 * u1
    a2 = np.maximum(h1 @ weights["W2"] + weights["b2"], 0)
    h2 = a2 * u2
    out = h2 @ weights["W3"] + weights["b3"]
    return out, (x, a1, h1, a2, h2, u1, u2, weights)


def _three_layer_backward(dout: Array, cache: tuple[Any, ...]) -> tuple[Array, Grads]:
    """Gradients of `_three_layer_forward` with respect to x and to each entry of the weights."""
    x, a1, h1, a2, h2, u1, u2, weights = cache
    dz2 = dout @ weights["W3"].T * u2 * (a2 > 0)
    dz1 = dz2 @ weights["W2"].T * u1 * (a1 > 0)
    grads = {
        "W1": x.T @ dz1,
        "b1": dz1.sum(axis=0),
        "W2": h1.T @ dz2,
        "b2": dz2.sum(axis=0),
        "W3": h2.T @ dout,
        "b3": dout.sum(axis=0),
    }
    return dz1 @ weights["W1"].T, grads


# ---------------------------------------------------------------- cases


def _eighths(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "float64") -> Array:
    """Numbers of both signs, none of them zero; multiples of 1/8 are stored in little space."""
    numbers: Array = rng.integers(4, 17, shape) / 8 * rng.choice([-1, 1], shape)
    return numbers.astype(dtype)


def _with_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """The same, but about a tenth of the entries is 0, as it happens behind a ReLU."""
    numbers = _eighths(rng, shape)
    numbers[rng.random(shape) < 0.1] = 0
    return numbers


def _param(p: float, mode: str = "train", **more: Any) -> dict[str, Any]:
    return {"p": p, "mode": mode, **more}


def _draws(rng: np.random.Generator) -> list[Args]:
    return [
        {"shape": list(shape), "p": p, "seed": int(rng.integers(1 << 31))}
        for shape, p in (((100, 120), 0.3), ((10, 30, 40), 0.85))
    ]


def _batches(rng: np.random.Generator, mode: str, *batches: tuple[Any, ...]) -> list[Args]:
    """A case for each ``(shape, p)`` or ``(shape, p, dtype)``."""
    return [
        {"x": _eighths(rng, shape, *dtype), "dropout_param": _param(p, mode)}
        for shape, p, *dtype in batches
    ]


def _train(rng: np.random.Generator) -> list[Args]:
    images, plain = ((5, 6, 20, 18), 0.6), ((110, 100), 0.2, "float32")
    return _batches(rng, "train", ((100, 120), 0.3), images, plain)


def _test(rng: np.random.Generator) -> list[Args]:
    images, plain = ((4, 5, 12, 10), 0.6), ((2000,), 0.2, "float32")
    return _batches(rng, "test", ((60, 80), 0.3), images, plain)


def _classical(rng: np.random.Generator, mode: str) -> list[Args]:
    return _batches(rng, mode, ((100, 90), 0.3), ((4, 5, 20, 22), 0.6))


def _limits(rng: np.random.Generator) -> list[Args]:
    x = _eighths(rng, (40, 50))
    return [{"x": x, "dropout_param": _param(p)} for p in (1.0, -0.2, 1.5, 0.0)]


def _seeds(rng: np.random.Generator) -> list[Args]:
    first, second = (int(seed) for seed in rng.choice(10_000, 2, replace=False) + 1)
    return [
        {
            "x": _eighths(rng, (20, 30)),
            "dropout_param": _param(0.3, seed=one),
            "other_param": _param(0.3, seed=other),
        }
        for one, other in ((first, second), (0, first))
    ]


def _backward(rng: np.random.Generator, *modes: str) -> list[Args]:
    return [
        {
            "x": _with_zeros(rng, shape),
            "dout": _eighths(rng, shape),
            "dropout_param": _param(p, mode),
        }
        for (shape, p), mode in zip((((100, 90), 0.3), ((40, 3, 8, 9), 0.6)), modes, strict=True)
    ]


def _both_modes(rng: np.random.Generator) -> list[Args]:
    return [
        {"x": _eighths(rng, shape), "train_param": _param(p), "test_param": _param(p, "test")}
        for shape, p in (((60, 600), 0.3), ((40, 900), 0.6))
    ]


def _noisy(rng: np.random.Generator, key: str, *strengths: float) -> list[Args]:
    """Two cases for noise whose strength is called `key`: a float64 and a float32 one."""
    batches = (((80, 90), "float64"), ((4, 6, 15, 20), "float32"))
    return [
        {
            "x": _eighths(rng, shape, dtype),
            "train_param": {key: strength, "mode": "train"},
            "test_param": {key: strength, "mode": "test"},
        }
        for (shape, dtype), strength in zip(batches, strengths, strict=True)
    ]


def _noisy_networks(rng: np.random.Generator) -> list[Args]:
    """Small networks that are far from linear, with the noise of every pass."""
    return [
        {
            "x": rng.normal(0, 1, (n, d)),
            "first": rng.normal(0, 1, (d, h)),
            "center": rng.normal(-0.5, 1, h),
            "second": rng.normal(0, 1, (h, k)),
            "factors": (rng.random((passes, n, h)) >= 0.5) / 0.5,
            "passes": passes,
        }
        for n, d, h, k, passes in ((4, 3, 6, 5, 8), (3, 2, 5, 4, 3))
    ]


def _network(rng: np.random.Generator) -> list[Args]:
    cases = []
    for n, d, h1, h2, k in ((6, 4, 7, 5, 3), (3, 5, 4, 6, 2)):
        case: Args = {"x": rng.normal(0, 1, (n, d))}
        for layer, shape in enumerate(((d, h1), (h1, h2), (h2, k)), 1):
            case[f"W{layer}"] = rng.normal(0, 1, shape)
            case[f"b{layer}"] = rng.normal(0, 0.5, shape[1])
        case["u1"] = _alive(rng, (n, h1)) / 0.6
        case["u2"] = _alive(rng, (n, h2)) / 0.8
        cases.append(case)
    return cases


def _network_and_dout(rng: np.random.Generator) -> list[Args]:
    return [
        {**case, "dout": rng.normal(0, 1, (len(case["x"]), case["b3"].size))}
        for case in _network(rng)
    ]


def _alive(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """A 0/1 mask in which each row keeps a unit and drops one, so that no check runs empty."""
    mask = (rng.random(shape) >= 0.4).astype(np.float64)
    mask[:, 0], mask[:, -1] = 1, 0
    return rng.permuted(mask, axis=1)


# ---------------------------------------------------------------- checks


def _one_call(forward: str) -> str:
    """A program that describes what `forward` makes of x."""
    return f"""
    before = copy(x)
    out, cache = {forward}(x, dropout_param)
    result = describe_scaling(before, out, dropout_param['p'])
    """


def _two_calls(forward: str) -> str:
    """A program that describes what `forward` drops, and whether a second call drops the same."""
    return f"""
    before = copy(x)
    first, cache = {forward}(x, dropout_param)
    x = copy(before)
    out, cache = {forward}(x, dropout_param)
    mask = describe_mask(before, out, dropout_param['p'])
    calls = describe_calls(first, out)
    """


def _both_passes(forward: str, backward: str, description: str) -> str:
    """A program that follows `forward` and then `backward`."""
    return f"""
    before = copy(x)
    out, cache = {forward}(x, dropout_param)
    result = copy(out)
    x = copy(before)
    upstream = copy(dout)
    dx = {backward}(dout, cache)
    gradient = {description}
    """


def _train_and_test(forward: str, *descriptions: str) -> str:
    """A program with two calls in train mode and one at test time."""
    return f"""
    before = copy(x)
    tested, cache = {forward}(x, test_param)
    x = copy(before)
    first, cache = {forward}(x, train_param)
    x = copy(before)
    out, cache = {forward}(x, train_param)
    """ + "\n".join(descriptions)


def _noise_program(forward: str, kind: str, strength: str) -> str:
    """A program that describes the noise of `forward`, in both modes."""
    return _train_and_test(
        forward,
        f"noise = describe_noise(before, out, '{kind}', train_param['{strength}'])",
        "calls = describe_noise_calls(first, out)",
        "test = describe_change(before, tested)",
    )


_BACKWARD = _both_passes(
    "dropout_forward",
    "dropout_backward",
    "describe_backward(before, result, upstream, dx, dropout_param['p'])",
)

_NETWORK = """weights = weights_from(W1, b1, W2, b2, W3, b3)
out, cache = three_layer_forward(x, weights, u1, u2)"""

_CHECKS = (
    Check(
        name="draw_mask",
        program="""
        shape = tuple_of(shape)
        rng = generator(seed)
        mask = draw_mask(shape, p, rng)
        again = draw_mask(shape, p, rng)
        rng = generator(seed)
        repeated = draw_mask(shape, p, rng)
        coins = describe_draw(mask, shape, p)
        calls = describe_calls(mask, again, 'second call')
        source = describe_calls(mask, repeated, 'rng with the same seed')
        """,
        compare=("coins", "calls", "source"),
        cases=_draws,
        says="each entry is 0 with probability p, drawn from rng",
        section="dropout-mask",
    ),
    Check(
        name="dropout_forward.train",
        program=_two_calls("dropout_forward"),
        compare=("mask", "calls"),
        cases=_train,
        says="a share p is dropped, the others are scaled",
        section="dropout-mask",
    ),
    Check(
        name="dropout_forward.test",
        program=_one_call("dropout_forward"),
        compare=("result",),
        cases=_test,
        says="at test time nothing happens to x",
        section="dropout-test-time",
    ),
    Check(
        name="dropout_forward.p",
        program="""
        before = copy(x)
        out, cache = dropout_forward(x, dropout_param)
        result = describe_accepted(before, out, dropout_param['p'])
        x = copy(before)
        """,
        compare=("result",),
        cases=_limits,
        says="p from 0 up to, not including, 1 is accepted",
        section="dropout-scale",
    ),
    Check(
        name="dropout_forward.seed",
        program="""
        before = copy(x)
        state = seed_global(1)
        first, cache = dropout_forward(x, dropout_param)
        after_first = draw_global()
        x = copy(before)
        state = seed_global(2)
        again, cache = dropout_forward(x, dropout_param)
        after_again = draw_global()
        x = copy(before)
        other, cache = dropout_forward(x, other_param)
        x = copy(before)
        same = describe_calls(first, again, 'same seed again')
        another = describe_calls(first, other, 'another seed')
        numpy = describe_draws(after_first, after_again)
        """,
        compare=("same", "another", "numpy"),
        cases=_seeds,
        says="a seed repeats a mask and resets nothing else",
        section="dropout-seeds",
    ),
    Check(
        name="dropout_backward.train",
        program=_BACKWARD,
        compare=("gradient",),
        cases=lambda rng: _backward(rng, "train", "train"),
        says="dx goes back through your own forward pass",
        section="dropout-backward-pass",
    ),
    Check(
        name="dropout_backward.test",
        program=_BACKWARD,
        compare=("gradient",),
        cases=lambda rng: _backward(rng, "test", "test"),
        says="at test time the gradient passes unchanged",
        section="dropout-backward-pass",
    ),
    Check(
        name="unit_dropout_forward",
        program=_train_and_test(
            "unit_dropout_forward",
            "mask = describe_mask(before, out, train_param['p'])",
            "calls = describe_calls(first, out)",
            "test = describe_scaling(before, tested, test_param['p'])",
        ),
        compare=("mask", "calls", "test"),
        cases=_both_modes,
        says="one coin a column, none at test time",
        section="dropout-per-unit",
    ),
    Check(
        name="classical_dropout_forward.train",
        program=_two_calls("classical_dropout_forward"),
        compare=("mask", "calls"),
        cases=lambda rng: _classical(rng, "train"),
        says="a share p dropped, others untouched",
        section="dropout-scale",
    ),
    Check(
        name="classical_dropout_forward.test",
        program=_one_call("classical_dropout_forward"),
        compare=("result",),
        cases=lambda rng: _classical(rng, "test"),
        says="test time makes up for what is lost",
        section="dropout-test-time",
    ),
    Check(
        name="gaussian_dropout_forward",
        program=_noise_program("gaussian_dropout_forward", "normal", "p"),
        compare=("noise", "calls", "test"),
        cases=lambda rng: _noisy(rng, "p", 0.2, 0.6),
        says="normal noise with the mean and variance of a mask",
        section="shift-gaussian",
    ),
    Check(
        name="gaussian_dropout_backward",
        program=_both_passes(
            "gaussian_dropout_forward",
            "gaussian_dropout_backward",
            "describe_noise_backward(before, result, upstream, dx)",
        ),
        compare=("gradient",),
        cases=lambda rng: _backward(rng, "train", "test"),
        says="dx meets the noise of your own forward pass",
        section="dropout-backward-pass",
    ),
    Check(
        name="uniform_dropout_forward",
        program=_noise_program("uniform_dropout_forward", "uniform", "beta"),
        compare=("noise", "calls", "test"),
        cases=lambda rng: _noisy(rng, "beta", 0.3, 0.8),
        says="uniform noise around 1, none at test time",
        section="shift-uniform",
    ),
    Check(
        name="mc_predict",
        program="""
        network = noisy_network(first, center, second, factors)
        mean, variance = mc_predict(network, x, passes)
        """,
        compare=("mean", "variance"),
        cases=_noisy_networks,
        says="mean and variance of the probabilities",
        section="avg-monte-carlo",
    ),
    Check(
        name="three_layer.forward",
        program=_NETWORK,
        compare=("out",),
        cases=_network,
        says="the scores agree",
        section="dropout-network",
    ),
    Check(
        name="three_layer.backward",
        program=f"""{_NETWORK}
        dx, grads = three_layer_backward(dout, cache)
        dW1, db1, dW2, db2, dW3, db3 = weights_of(grads)
        """,
        compare=("dx", "dW1", "db1", "dW2", "db2", "dW3", "db3"),
        cases=_network_and_dout,
        says="all seven gradients agree",
        section="dropout-network",
    ),
)

PROBLEM_SET = ProblemSet(
    name="dropout",
    reference={
        "draw_mask": _draw_mask,
        "dropout_forward": _remembering(dlnorm.dropout_forward),
        "dropout_backward": _dropout_backward,
        "unit_dropout_forward": _unit_dropout_forward,
        "classical_dropout_forward": dlnorm.classical_dropout_forward,
        "gaussian_dropout_forward": _remembering(dlnorm.gaussian_dropout_forward),
        "gaussian_dropout_backward": _dropout_backward,
        "uniform_dropout_forward": dlnorm.uniform_dropout_forward,
        "mc_predict": _mc_predict,
        "three_layer_forward": _three_layer_forward,
        "three_layer_backward": _three_layer_backward,
    },
    checks=_CHECKS,
    misconceptions=collect(vars(wrong), Misconception),
)
