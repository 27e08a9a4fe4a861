"""Optimizers against their recurrences solved by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlnorm import nn

STEPS = 25
GRADS = np.random.default_rng(0).standard_normal((STEPS, 3))
START = np.array([1.0, -2.0, 0.5])

#: A sum of 25 numbers of about 1, each the result of a few roundings.
ROUNDING = 1e-13


def after(optimizer: nn.Optimizer, grads: Any = GRADS, start: Any = START) -> Any:
    params = {"w": start.copy()}
    for grad in grads:
        before = grad.copy()
        optimizer.step(params, {"w": grad})
        assert (grad == before).all()
    return params["w"]


def test_plain_descent_adds_up_the_gradients() -> None:
    assert np.allclose(after(nn.SGD(0.1)), START - 0.1 * GRADS.sum(axis=0), atol=ROUNDING)


def test_momentum_gives_a_gradient_a_geometric_series_of_steps() -> None:
    """Of the gradient of step k, after T steps, 1 + mu + ... + mu**(T - k) has been taken."""
    weights = (1 - 0.8 ** np.arange(STEPS, 0, -1)) / (1 - 0.8)
    expected = START - 0.1 * weights @ GRADS
    assert np.allclose(after(nn.SGD(0.1, momentum=0.8)), expected, atol=ROUNDING)


def test_momentum_on_a_quadratic_follows_its_matrix() -> None:
    """For the loss h w**2 / 2 one step maps (w, v) by a matrix; 25 steps by its power."""
    lr, mu, h = 0.1, 0.9, 3.0
    power = np.linalg.matrix_power(np.array([[1 - lr * h, mu], [-lr * h, mu]]), STEPS)
    params, optimizer = {"w": np.array([2.0])}, nn.SGD(lr, momentum=mu)
    for _ in range(STEPS):
        optimizer.step(params, {"w": h * params["w"]})
    assert np.allclose(params["w"], power[0, 0] * 2.0, atol=ROUNDING)


def test_adam_divides_the_averages_of_the_gradients() -> None:
    lr, beta1, beta2, eps = 0.01, 0.8, 0.95, 1e-3
    w = START.copy()
    for t in range(1, STEPS + 1):
        age = np.arange(t)[::-1]
        # the bias corrections make both weighted means: the weights add up to 1
        weights1 = (1 - beta1) * beta1**age / (1 - beta1**t)
        weights2 = (1 - beta2) * beta2**age / (1 - beta2**t)
        assert abs(weights1.sum() - 1) < 1e-14
        w -= lr * (weights1 @ GRADS[:t]) / (np.sqrt(weights2 @ GRADS[:t] ** 2) + eps)
    assert np.allclose(after(nn.Adam(lr, beta1, beta2, eps)), w, atol=ROUNDING)


def test_adam_with_a_constant_gradient_takes_steps_of_the_learning_rate() -> None:
    grads = np.broadcast_to(np.array([1e-6, -5.0, 1e6]), (STEPS, 3))
    expected = START - STEPS * 0.01 * np.array([1, -1, 1])
    assert np.allclose(after(nn.Adam(0.01, eps=0.0), grads), expected, atol=ROUNDING)


@pytest.mark.parametrize("kind", [nn.SGD, nn.Adam])
def test_weight_decay_is_a_gradient_on_weights_only(kind: Any) -> None:
    weights, bias = np.full((2, 3), 4.0), np.full(3, 4.0)
    decayed, penalized = {"W": weights.copy(), "b": bias.copy()}, {"W": weights.copy()}
    with_decay, without = kind(0.1, weight_decay=0.5), kind(0.1)
    for _ in range(3):
        zeros = {name: np.zeros_like(value) for name, value in decayed.items()}
        with_decay.step(decayed, zeros)
        assert not any(grad.any() for grad in zeros.values())
        without.step(penalized, {"W": 0.5 * penalized["W"]})
    assert (decayed["W"] == penalized["W"]).all()
    assert (decayed["W"] < 4).all()
    assert (decayed["b"] == 4).all()


def test_parameters_change_in_place_and_the_learning_rate_can_be_moved() -> None:
    w = START.copy()
    optimizer = nn.SGD(1.0)
    optimizer.lr = 0.0
    optimizer.step({"w": w}, {"w": GRADS[0]})
    assert (w == START).all()
    optimizer.lr = 2.0
    optimizer.step({"w": w}, {"w": GRADS[0]})
    assert (w == START - 2 * GRADS[0]).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.SGD(-0.1), ValueError, "lr must lie in [0, inf)"),
        (lambda: nn.SGD("fast"), TypeError, "lr must be a number, got str"),
        (lambda: nn.SGD(0.1, momentum=1.0), ValueError, "momentum must lie in [0, 1)"),
        (lambda: nn.SGD(0.1, weight_decay=-1), ValueError, "weight_decay must lie in [0, inf)"),
        (lambda: nn.Adam(beta1=1), ValueError, "beta1 must lie in [0, 1)"),
        (lambda: nn.Adam(beta2=-0.1), ValueError, "beta2 must lie in [0, 1)"),
        (lambda: nn.Adam(eps=-1), ValueError, "eps must lie in [0, inf)"),
        (
            lambda: nn.SGD(0.1).step({"w": START}, {"v": START}),
            ValueError,
            "params and grads must have the same names, got ['v', 'w'] in one only",
        ),
    ],
)
def test_bad_input_is_named(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
