"""Batch normalization fails with two images a batch; group normalization does not notice.

Wu & He (2018), Section 4.1: the error of batch norm grows as batches become smaller, because a
few samples tell little of the mean and variance that test mode will use; group norm, which looks
at one sample at a time, keeps its error, 10.6 points below batch norm's at batch size 2. At large
batch sizes batch norm is slightly ahead. Here: three hidden layers on digits, the features of a
layer in eight groups, the same number of epochs and a learning rate in proportion to the batch
size.

Values: ``error`` of the test images in percent, (norm, batch size), norms in the order of `NORMS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._batch_size import SweepSettings, draw, group_norm, sweep
from dlnorm.experiments._core import Result, Verdict, above, clear, graded, mean, pm
from dlnorm.experiments._networks import Norm
from dlnorm.plotting import Shown

NORMS: dict[str, Norm | None] = {
    "batch norm": nn.BatchNorm,
    "group norm": group_norm,
    "layer norm": nn.LayerNorm,
}
BATCH, GROUP = 0, 1


@dataclass(frozen=True)
class Settings(SweepSettings):
    """What is varied: the batch size."""

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), batch_sizes=(2, 8, 32), epochs=3, n_train=600)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(8)), batch_sizes=(2, 4, 8, 32, 128), epochs=20)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors."""
    return sweep(NORMS, settings, seed)


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether batch norm, and only batch norm, fails at the smallest batch size."""
    error, sizes = result["error"], result.settings.batch_sizes
    gap = error[:, BATCH] - error[:, GROUP]
    steady = bool(mean(error[:, GROUP, 0] - error[:, GROUP, -1]) < mean(gap[:, 0]) / 4)
    at_large = gap[:, -1]
    lead = "no clear difference"
    if clear(at_large):
        lead = f"{'group' if above(at_large) else 'batch'} norm ahead"
    text = (
        f"at batch size {sizes[0]} batch norm has {pm(error[:, BATCH, 0])} % errors, group norm "
        f"{pm(error[:, GROUP, 0])} % and layer norm {pm(error[:, 2, 0])} %: a gap of "
        f"{pm(gap[:, 0])} points, where the paper has 10.6 on ImageNet. At batch size {sizes[-1]}: "
        f"{pm(error[:, BATCH, -1])} % and {pm(error[:, GROUP, -1])} %, {lead}."
    )
    return Verdict(graded(above(gap[:, 0]), steady), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the error of each norm against the batch size."""
    sizes = result.settings.batch_sizes
    small, large = result.mean("error")[:, 0], result.mean("error")[:, -1]
    return draw(
        result,
        NORMS,
        alt=f"Test error against the batch size, both on logarithmic axes. Batch norm falls from "
        f"{small[BATCH]:.0f} % at batch size {sizes[0]} to {large[BATCH]:.1f} % at {sizes[-1]}; "
        f"group norm and layer norm stay between {mean(result['error'])[1:].min():.1f} and "
        f"{mean(result['error'])[1:].max():.1f} %.",
    )
