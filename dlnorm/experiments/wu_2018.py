r"""Batch norm fails with two images per batch, also with exact statistics; group norm does not.

A test of the paper's finding.

Wu & He (2018), Section 4.1: the error of batch norm grows as batches become smaller, which their
abstract puts down to "inaccurate batch statistics estimation"; group norm, which looks at one
sample at a time, keeps its error, 10.6 points below batch norm's at batch size 2. At batch size 32
batch norm is slightly ahead.

What is different here: two hidden layers of 64 ReLUs on digits instead of ResNet-50 on ImageNet,
the features of a layer in eight groups. A sample is a vector, so batch norm has as few numbers per
feature as there are samples, and at batch size 2 it sees two. Every network sees the 1000 training
images equally often.

Inaccurate statistics can harm in two places: in test mode, which uses the running ones, and in
training, as noise. The third arm takes the first away: after the training the running statistics
are replaced by those of all training images, and nothing else is changed.

Each arm is run at every rate of a grid, four for each batch size, and compared at its own best
rate and at equal rates. A network is judged by the error of 500 test images in test mode.

Values: ``error`` of the test images in percent, (arm, batch size, rate), arms in the order of
`ARMS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._batch_size import (
    SweepSettings,
    draw,
    equal,
    group_norm,
    recalibrated,
    sweep,
    tuned,
)
from dlnorm.experiments._core import Result, Verdict, graded, mean
from dlnorm.experiments._intervals import Interval, interval
from dlnorm.plotting import NORM_COLOR, Shown

KIND = "the paper's finding"
ARMS = ("batch norm", "group norm", "batch norm, exact statistics")
BATCH, GROUP, EXACT = range(3)
#: In points of test error: less than this is no harm.
MATTERS = 1.0


@dataclass(frozen=True)
class Settings(SweepSettings):
    """What is varied: batch size and learning rate."""

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), batch_sizes=(2, 32), rates=((0.01,), (0.16,)), epochs=2, n_train=400)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        ladder = (0.0025, 0.01, 0.04, 0.16, 0.64, 2.56)
        rates = tuple(ladder[first : first + 4] for first in (0, 1, 1, 2, 2))
        return cls(tuple(range(10)), batch_sizes=(2, 4, 8, 16, 32), rates=rates, epochs=3)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors."""
    trained, exact = recalibrated(nn.BatchNorm, settings, seed)
    (group,) = sweep({"group norm": group_norm}, settings, seed)
    return {"error": np.stack([trained, group, exact])}


def gap(error: Array, size: int, arm: int = BATCH) -> Interval:
    """Return by how many points an arm is worse than group norm at a batch size."""
    return interval(error[:, arm, size] - error[:, GROUP, size])


def growth(error: Array, arm: int) -> Interval:
    """Return by how many points an arm is worse at the smallest batches than at the largest."""
    return interval(error[:, arm, 0] - error[:, arm, -1])


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether batch norm alone fails at the smallest batches, and leads at the largest."""
    (rates, error), sizes = tuned(result), result.settings.batch_sizes
    at_equal, middle = equal(result)[1], mean(error)
    shown = [
        ", ".join(
            f"{name} {middle[a, size]:.1f} % (rate {rates[a, size]:g})"
            for a, name in enumerate(ARMS)
        )
        for size in (0, -1)
    ]
    text = (
        f"test error, each at its best rate, with batches of {sizes[0]}: {shown[0]}; of "
        f"{sizes[-1]}: {shown[1]}. Batch norm is {gap(error, 0):.1f} points behind group norm with "
        f"batches of {sizes[0]} (at equal rates {gap(at_equal, 0):.1f}; the paper: 10.6), and "
        f"{gap(error, -1):.1f} with {sizes[-1]}. From {sizes[-1]} to {sizes[0]} group norm changes "
        f"by {growth(error, GROUP):.1f} points."
    )
    steady = growth(error, GROUP).high < MATTERS
    return Verdict(graded(gap(error, 0).low > 0, steady, gap(error, -1).high < 0), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the error of each arm against the batch size."""
    sizes = result.settings.batch_sizes
    told = "; ".join(
        f"{name} " + ", ".join(f"{e:.1f}" for e in row)
        for name, row in zip(ARMS, mean(tuned(result)[1]), strict=True)
    )
    return draw(
        result,
        ARMS,
        [NORM_COLOR[key] for key in ("batch", "group", "batch")],
        [False, False, True],
        alt=f"Test error in percent with batches of {', '.join(map(str, sizes))}, each at its best "
        f"rate: {told}. On the right the same at equal rates; both axes are logarithmic.",
    )
