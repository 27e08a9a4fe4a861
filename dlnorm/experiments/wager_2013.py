r"""Dropout on the inputs of logistic regression is an adaptive L2 penalty, while it is small.

A test of the paper's finding. What it starts from is exact.

Wager, Wang & Liang (2013), Section 2 and Figure 2. Exact: what dropout adds to the expected loss of
logistic regression is the mean of A(noisy z) - A(z), with A(z) = log(1 + e^z); the labels drop out
of it. Approximate: to second order in the noise, that is half of p / (1 - p) times the sum of
q (1 - q) x_j^2 w_j^2 over samples and pixels, with the predicted probability q of each sample. The
paper compares the two and finds the penalty accurate in its settings.

What is different here: threes against eights, with pixels from 0 to 1. The penalty is held against
the true increase, which is a mean over many masks, in two ways: for weights that gradient descent
with dropout has fitted, and for random weights of four sizes. These show where the expansion ends:
it is one in the noise, and noise grows with the weights. Nothing else changes from size to size.

Values: ``ratio`` (scale, p), penalty over Monte Carlo mean for random weights; ``noise`` (scale,
p), the standard error of that mean, relative to it; ``fitted`` (p), the ratio for fitted weights;
``length`` (p), how long the vector of the fitted weights is, where that of the random ones is about
the scale; ``mistakes`` (p), of the fitted weights on the images they were fitted to, in percent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.dropout import dropout_forward
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean
from dlnorm.experiments._intervals import Interval, interval
from dlnorm.experiments._networks import streams
from dlnorm.nn.data import OFFSET
from dlnorm.plotting import INK, PALETTE, Shown, show, subplots

KIND = "the paper's finding"
#: Weights up to this scale are moderate.
MODERATE = 1.0
#: By how many percent a penalty may miss the true increase and still be called accurate.
ACCURATE = 10.0


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: the size of the weights, and the drop probability."""

    masks: int
    steps: int
    rate: float = 2.0
    scales: tuple[float, ...] = (0.2, 1.0, 3.0, 10.0)
    ps: tuple[float, ...] = (0.1, 0.3, 0.5)

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), masks=60, steps=200)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(10)), masks=1000, steps=1000)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's ratios: other images, other weights."""
    data, random = nn.digits(seed), streams(seed)
    chosen = np.isin(data.y_train, (3, 8))
    x = data.x_train[chosen] + OFFSET  # ink from 0 to 1, paper 0
    eight = (data.y_train[chosen] == 8).astype(float)
    direction = random.weights.standard_normal(x.shape[1]) / 8  # about of length 1
    ratio = np.empty((len(settings.scales), len(settings.ps)))
    noise = np.empty_like(ratio)
    fitted, length, mistakes = np.empty((3, len(settings.ps)))
    for j, p in enumerate(settings.ps):
        for i, scale in enumerate(settings.scales):
            ratio[i, j], noise[i, j] = _ratio(
                x, np.multiply(scale, direction), p, settings.masks, random.noise
            )
        w = _fit(x, eight, p, settings, random.noise)
        fitted[j], _ = _ratio(x, w, p, settings.masks, random.noise)
        length[j] = np.linalg.norm(w)
        mistakes[j] = 100 * ((x @ w > 0) != eight).mean()
    return {
        "ratio": ratio,
        "noise": noise,
        "fitted": fitted,
        "length": length,
        "mistakes": mistakes,
    }


def _fit(x: Array, eight: Array, p: float, settings: Settings, rng: np.random.Generator) -> Array:
    """Return the weights of logistic regression by gradient descent with dropout on the inputs."""
    w = np.zeros(x.shape[1])
    for _ in range(settings.steps):
        noisy, _ = dropout_forward(x, {"p": p, "mode": "train", "rng": rng})
        w -= settings.rate / len(x) * noisy.T @ (1 / (1 + np.exp(-noisy @ w)) - eight)
    return w


def _ratio(
    x: Array, w: Array, p: float, masks: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return penalty over Monte Carlo mean, and the relative standard error of that mean."""
    true = np.array([_added(x, w, p, rng) for _ in range(masks)])
    q = 1 / (1 + np.exp(-x @ w))
    quadratic = p / (1 - p) / 2 * (q * (1 - q)) @ (x**2 @ w**2)
    return quadratic / true.mean(), true.std(ddof=1) / np.sqrt(masks) / true.mean()


def _added(x: Array, w: Array, p: float, rng: np.random.Generator) -> float:
    """Return what one mask adds to the loss, summed over samples, less a part of mean 0.

    The loss is log(1 + e^z) minus a term linear in z. Dropout does not change z on average, so
    whatever is linear in the change of z may be left out: taking out the tangent leaves the same
    mean over masks and a hundredth of its variance.
    """
    z = x @ w
    noisy = dropout_forward(x, {"p": p, "mode": "train", "rng": rng})[0] @ w
    tangent = (noisy - z) / (1 + np.exp(-z))
    return float((np.logaddexp(0, noisy) - np.logaddexp(0, z) - tangent).sum())


def off_percent(result: Result[Settings]) -> Array:
    """Return by how many percent the penalty misses the true mean, (seed, scale, p)."""
    missed: Array = 100 * np.abs(result["ratio"] - 1)
    return missed


def of_fitted(result: Result[Settings]) -> list[Interval]:
    """Return by how many percent the penalty exceeds the true increase at the fitted weights."""
    return [interval(100 * (result["fitted"][:, j] - 1)) for j in range(len(result.settings.ps))]


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether the penalty is right for moderate and fitted weights, and wrong for large."""
    scales, ratio = np.array(result.settings.scales), result["ratio"]
    moderate = scales <= MODERATE
    off, fitted = mean(off_percent(result)), of_fitted(result)
    worst = interval(off_percent(result)[:, moderate].max(axis=(1, 2)))
    breaks = interval(off_percent(result)[:, -1].max(axis=1))
    low, high = ratio[:, moderate].min(), ratio[:, moderate].max()
    each = ", ".join(
        f"{o:.0f} % at scale {s:g}" for s, o in zip(scales, off.max(axis=1), strict=True)
    )
    trained = ", ".join(
        f"{f:.1f} % at p = {p:g}" for f, p in zip(fitted, result.settings.ps, strict=True)
    )
    text = (
        f"penalty over Monte Carlo mean {low:.2f} to {high:.2f} for random weights of scale up to "
        f"{MODERATE:g} (its own error: {result['noise'][:, moderate].max():.3f}). Off by {each}, "
        f"mean over seeds at the worst p. At the fitted weights, of length "
        f"{mean(result['length']).min():.1f} to {mean(result['length']).max():.1f}, it exceeds "
        f"the true increase by {trained}."
    )
    accurate = all(max(abs(f.low), abs(f.high)) < ACCURATE for f in fitted)
    return Verdict(graded(worst.high < ACCURATE, accurate, breaks.low > ACCURATE), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw how far the penalty is off, random weights and fitted ones, with 95 % intervals."""
    settings = result.settings
    fig, ax = subplots()
    off, ps = off_percent(result), np.array(settings.ps)
    shown = [(f"random, length {s:g}", off[:, i], "o-") for i, s in enumerate(settings.scales)]
    lengths = mean(result["length"])
    label = f"fitted, length {lengths.min():.0f} to {lengths.max():.0f}"
    shown.append((label, 100 * np.abs(result["fitted"] - 1), "s--"))
    for (label, values, form), color in zip(shown, PALETTE, strict=False):
        bars = [interval(values[:, j]) for j in range(len(ps))]
        middle = np.array([bar.middle for bar in bars])
        half = np.array([bar.high - bar.middle for bar in bars])
        low = np.minimum(half, 0.9 * middle)  # an axis of logarithms ends above 0
        ax.errorbar(ps, middle, (low, half), fmt=form, color=color, capsize=3, ms=5, label=label)
    floor = 100 * result["noise"][:, 0].mean()
    ax.axhline(floor, color=INK, lw=1, ls=":", label="Monte Carlo error")
    ax.set(xlabel="drop probability p", ylabel="penalty off by, %", yscale="log")
    ax.set_xticks(settings.ps)
    ax.set_yticks([1, 10, 100], ["1", "10", "100"])
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    worst = mean(off).max(axis=1)
    return show(
        fig,
        alt="By how many percent the quadratic penalty misses the true mean increase of the loss, "
        "against the drop probability, one line for each size of random weights and one for "
        "fitted ones: at most "
        + ", ".join(f"{w:.1f}" for w in worst)
        + " % from the smallest random weights to the largest.",
    )
