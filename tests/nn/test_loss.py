"""Softmax and cross-entropy: values, gradient, extremes, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dlnorm
from dlnorm import nn

RNG = np.random.default_rng(0)
SCORES, Y = 3 * RNG.standard_normal((6, 4)), np.array([0, 3, 1, 2, 2, 0])


def test_softmax_is_the_exponentials_over_their_sum() -> None:
    expected = [[math.exp(s) / math.fsum(map(math.exp, row)) for s in row] for row in SCORES]
    assert np.allclose(nn.softmax(SCORES), expected, rtol=1e-14)
    assert np.allclose(np.exp(nn.log_softmax(SCORES)), expected, rtol=1e-14)


def test_the_loss_is_the_mean_log_probability_of_the_labels() -> None:
    loss, _ = nn.softmax_cross_entropy(SCORES, Y)
    p = nn.softmax(SCORES)
    expected = -math.fsum(math.log(p[n, k]) for n, k in enumerate(Y)) / 6
    assert abs(loss - expected) < 1e-14
    of_ten = nn.softmax_cross_entropy(np.zeros((3, 10)), np.arange(3))[0]
    assert abs(of_ten - math.log(10)) < 4e-15  # eight units in the last place, of any library


def test_the_gradient_is_that_of_the_loss() -> None:
    def loss(scores: Any) -> Any:
        return np.array([nn.softmax_cross_entropy(scores, Y)[0]])

    true = dlnorm.complex_step_gradient(loss, SCORES, np.ones(1))
    assert np.abs(nn.softmax_cross_entropy(SCORES, Y)[1] - true).max() < 1e-15


def test_huge_scores_neither_overflow_nor_lose_the_loss() -> None:
    scores = np.array([[1e5, 0.0], [-1e5, 0.0]])
    loss, dscores = nn.softmax_cross_entropy(scores, np.array([1, 1]))
    assert loss == 1e5 / 2
    assert (dscores == [[0.5, -0.5], [0, 0]]).all()


def test_scores_do_not_change() -> None:
    before = SCORES.copy()
    nn.softmax_cross_entropy(SCORES, Y)
    assert (before == SCORES).all()


@pytest.mark.parametrize(
    ("scores", "y", "error", "message"),
    [
        (SCORES[0], Y, ValueError, "scores must have shape (N, K), got shape (4,)"),
        (SCORES, Y[:5], ValueError, "y must have shape (6,), got (5,)"),
        (SCORES, Y.astype(float), TypeError, "y must be an array of int, got float64"),
        (SCORES, Y.tolist(), TypeError, "y must be an array of int, got list"),
        (SCORES, Y + 1, ValueError, "y must lie in 0 to 3, got labels from 1 to 4"),
        (SCORES, Y - 1, ValueError, "y must lie in 0 to 3, got labels from -1 to 2"),
    ],
)
def test_bad_input_is_named(scores: Any, y: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        nn.softmax_cross_entropy(scores, y)
    assert message in str(caught.value)
