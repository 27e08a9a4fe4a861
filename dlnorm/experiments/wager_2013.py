r"""Dropout on the inputs of logistic regression is an adaptive L2 penalty, while it is small.

Wager, Wang & Liang (2013), Section 2 and Figure 2: what dropout adds to the expected loss of
logistic regression is, to second order, half of p / (1 - p) times the sum of
q (1 - q) x_j^2 w_j^2 over samples and pixels, with the predicted probability q of each sample.
Here for threes against eights: that penalty over the true one, which is the mean over many masks
of what the loss goes up by. For moderate weights the ratio is 1 to a few percent; at three times
and ten times the weights the second order no longer is enough, and errs in either direction.

Values: ``ratio`` (scale, p), penalty over Monte Carlo mean; ``noise`` (scale, p), the standard
error of that mean, relative to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.dropout import dropout_forward
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean
from dlnorm.experiments._draw import points
from dlnorm.experiments._networks import streams
from dlnorm.nn.data import OFFSET
from dlnorm.plotting import INK, PALETTE, Shown, show, subplots


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: the size of the weights, and the drop probability."""

    masks: int
    scales: tuple[float, ...] = (0.2, 1.0, 3.0, 10.0)
    ps: tuple[float, ...] = (0.1, 0.3, 0.5)

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), masks=200)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(8)), masks=2000)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's ratios: other images, other weights."""
    data, random = nn.digits(seed), streams(seed)
    x = data.x_train[np.isin(data.y_train, (3, 8))] + OFFSET  # ink from 0 to 1, paper 0
    direction = random.weights.standard_normal(x.shape[1]) / 8  # about of length 1
    ratio = np.empty((len(settings.scales), len(settings.ps)))
    noise = np.empty_like(ratio)
    for (i, scale), (j, p) in product(enumerate(settings.scales), enumerate(settings.ps)):
        w = np.multiply(scale, direction)
        true = np.array([_added(x, w, p, random.noise) for _ in range(settings.masks)])
        q = 1 / (1 + np.exp(-x @ w))
        quadratic = p / (1 - p) / 2 * (q * (1 - q)) @ (x**2 @ w**2)
        ratio[i, j] = quadratic / true.mean()
        noise[i, j] = true.std(ddof=1) / np.sqrt(settings.masks) / true.mean()
    return {"ratio": ratio, "noise": noise}


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


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether the penalty is right for moderate weights and wrong for large ones."""
    scales, ratio = np.array(result.settings.scales), result["ratio"]
    moderate = scales <= 1
    off = mean(off_percent(result))
    close = bool(off[moderate].max() < 5)
    breaks = bool(off[-1].max() > 3 * off[moderate].max())
    low, high = ratio[:, moderate].min(), ratio[:, moderate].max()
    each = ", ".join(
        f"{o:.0f} % at scale {s:g}" for s, o in zip(scales, off.max(axis=1), strict=True)
    )
    text = (
        f"penalty over Monte Carlo mean {low:.2f} to {high:.2f} for weights of scale up to 1 (its "
        f"own error: {result['noise'][:, moderate].max():.3f}). Off by {each}, mean over seeds at "
        f"the worst p."
    )
    return Verdict(graded(close, breaks), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw how far the penalty is off against the drop probability, one line a scale."""
    settings = result.settings
    fig, ax = subplots()
    for i, (scale, color) in enumerate(zip(settings.scales, PALETTE, strict=False)):
        label = f"weights × {scale:g}"
        points(ax, np.array(settings.ps), off_percent(result)[:, i], color=color, label=label)
    floor = 100 * result["noise"][:, 0].mean()
    ax.axhline(floor, color=INK, lw=1, ls=":", label="Monte Carlo error")
    ax.set(xlabel="drop probability p", ylabel="penalty off by, %", yscale="log")
    ax.set_xticks(settings.ps)
    ax.set_yticks([1, 10, 100], ["1", "10", "100"])
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    worst = mean(off_percent(result)).max(axis=1)
    return show(
        fig,
        alt="By how many percent the quadratic penalty misses the true mean increase of the loss, "
        "against the drop probability, one line for each size of the weights: at most "
        + ", ".join(f"{w:.1f}" for w in worst)
        + " % from the smallest to the largest.",
    )
