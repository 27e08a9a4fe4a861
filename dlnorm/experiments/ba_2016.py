r"""Batches of four images harm batch norm; layer norm does as well with them, and so does no norm.

A test of the paper's finding.

Ba, Kiros & Hinton (2016), Section 6.6: the same network is trained on digits with batches of 128
and of 4, with layer norm and with batch norm. Layer norm learns in both; batch norm is much worse
in the second.

What is different here: two hidden layers of 64 ReLUs on 8 x 8 digits, plain gradient descent, and
a batch size between the two. Every network sees the 1000 training images equally often, so large
batches take few steps. The control is the network without a norm: if it does as well at every batch
size, then what the comparison shows is what batch norm loses, not what layer norm adds. RMS norm
is a third arm; Zhang & Sennrich (2019) find that leaving the mean out costs no accuracy.

Each arm is run at every rate of a grid, four for each batch size, and compared at its own best
rate and at equal rates. A network is judged by the error of 500 test images in test mode.

Values: ``error`` of the test images in percent, (norm, batch size, rate), norms in the order of
`NORMS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._batch_size import SweepSettings, draw, equal, sweep, tuned
from dlnorm.experiments._core import Result, Verdict, graded, mean
from dlnorm.experiments._intervals import Interval, interval
from dlnorm.experiments._networks import Norm
from dlnorm.plotting import NORM_COLOR, Shown

KIND = "the paper's finding"
NORMS: dict[str, Norm | None] = {
    "batch norm": nn.BatchNorm,
    "layer norm": nn.LayerNorm,
    "RMS norm": nn.RMSNorm,
    "no norm": None,
}
BATCH, LAYER, RMS, PLAIN = range(4)
#: In points of test error: less than this is no harm.
MATTERS = 1.0


@dataclass(frozen=True)
class Settings(SweepSettings):
    """What is varied: batch size and learning rate."""

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), batch_sizes=(4, 32), rates=((0.04,), (0.16,)), epochs=2, n_train=400)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        rates = ((0.01, 0.04, 0.16, 0.64), (0.04, 0.16, 0.64, 2.56), (0.16, 0.64, 2.56, 10.24))
        return cls(tuple(range(10)), batch_sizes=(4, 32, 128), rates=rates, epochs=5)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors."""
    return {"error": sweep(NORMS, settings, seed)}


def harm(error: Array, norm: int) -> Interval:
    """Return by how many points a norm is worse at the smallest batches than at the largest."""
    return interval(error[:, norm, 0] - error[:, norm, -1])


def apart(error: Array, norm: int, other: int, size: int = 0) -> Interval:
    """Return by how many points a norm is worse than another one at a batch size."""
    return interval(error[:, norm, size] - error[:, other, size])


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether the smallest batches harm batch norm, and do no harm to layer norm."""
    (rates, error), sizes = tuned(result), result.settings.batch_sizes
    harmed = interval(error[:, BATCH, 0] - error[:, BATCH, -1] - error[:, LAYER, 0]
                      + error[:, LAYER, -1])  # fmt: skip
    behind = apart(error, BATCH, LAYER)
    at_equal = apart(equal(result)[1], BATCH, LAYER)
    alike = interval((error[:, RMS] - error[:, LAYER]).mean(axis=-1))
    shown = "; ".join(
        f"{name} " + ", ".join(f"{e:.1f} (rate {rate:g})" for e, rate in zip(*row, strict=True))
        for name, *row in zip(NORMS, mean(error), rates, strict=True)
    )
    text = (
        f"test error in % with batches of {' and '.join(map(str, sizes))}, each at its best rate: "
        f"{shown}. With batches of {sizes[0]} batch norm is {behind:.1f} points behind layer norm "
        f"(at equal rates {at_equal:.1f}). From {sizes[-1]} to {sizes[0]} batch norm changes by "
        f"{harm(error, BATCH):.1f} points, layer norm by {harm(error, LAYER):.1f}, no norm by "
        f"{harm(error, PLAIN):.1f}. RMS norm minus layer norm: {alike:.1f} points."
    )
    unharmed = harm(error, LAYER).high < MATTERS
    return Verdict(graded(unharmed, harmed.low > 0, behind.low > 0), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the error of each norm against the batch size."""
    sizes = result.settings.batch_sizes
    told = "; ".join(
        f"{name} " + ", ".join(f"{e:.1f}" for e in row)
        for name, row in zip(NORMS, mean(tuned(result)[1]), strict=True)
    )
    return draw(
        result,
        list(NORMS),
        [NORM_COLOR[key] for key in ("batch", "layer", "rms", "none")],
        [False] * len(NORMS),
        alt=f"Test error in percent with batches of {' and '.join(map(str, sizes))}, each norm at "
        f"its best rate: {told}. On the right the same at equal rates.",
    )
