"""Batch renormalization repairs batches of two, and batches that are sorted by class.

A test of the paper's finding.

Ioffe (2017), Section 4: batch norm suffers when batches are small, and when their samples are not
independent, because training then sees statistics that test mode will not. Batch renorm corrects
toward the running statistics while it trains, and loses little in either case.

What is different here: two hidden layers on digits instead of Inception on ImageNet; batches of two
and not of four; dependent batches are sorted ones, of 50 images from at most four classes, where
the paper draws classes at random and a few images of each. Random batches of 50 are the control:
they have neither fault, so renorm should gain nothing there. And as sorting may be a matter of the
budget, the sorted batches are also trained for longer.

Is the fault in what is remembered, or in what was learned? To tell them apart, each network is
judged twice: with its running averages, and with the exact statistics of the training images in
their place.

Each arm is run at every rate of a grid, and compared at its own best rate and at equal rates.

Values: ``error`` of 500 test images in percent, in test mode, (batches, norm, rate): the batches in
the order of `KINDS`, batch norm (0) and batch renorm (1), and the rates of `Settings.rates`, NaN
where a kind of batches was not trained at a rate; ``exact``, the same with exact statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean, pm
from dlnorm.experiments._curves import Ruler
from dlnorm.experiments._intervals import Interval, interval
from dlnorm.experiments._networks import mlp, streams
from dlnorm.nn.trainer import Order, shuffled
from dlnorm.plotting import INK, NORM_COLOR, Shown, show, subplots

KIND = "the paper's finding"
#: The running statistics keep this of their old value, as in the paper.
MOMENTUM = 0.99
WIDTH = 64


def by_class(rng: np.random.Generator, y: Array) -> Array:
    """Return an order in which 25 samples in a row are of one class, or of two neighbors."""
    place = rng.permutation(10)[y]
    order = np.lexsort((rng.random(len(y)), place))
    runs = [order[start : start + 25] for start in range(0, len(order), 25)]
    return np.concatenate([runs[i] for i in rng.permutation(len(runs))])


class Kind(NamedTuple):
    """The batches of a training, which of `Settings.steps` they have, and at which rates."""

    batch_size: int
    steps: int
    order: Order
    rates: tuple[float, ...]
    equal: float


KINDS = {
    "2, random": Kind(2, 0, shuffled, (0.003, 0.01, 0.03, 0.1), 0.03),
    "50, random": Kind(50, 1, shuffled, (0.3, 1.0, 3.0, 10.0), 0.3),
    "50, by class": Kind(50, 1, by_class, (0.03, 0.1, 0.3, 1.0), 0.3),
    "by class, longer": Kind(50, 2, by_class, (0.03, 0.1, 0.3, 1.0, 3.0), 0.3),
}
SMALL, RANDOM, SORTED, LONGER = range(4)


@dataclass(frozen=True)
class Settings(BaseSettings):
    """How long batches of two, of 50, and of 50 for longer are trained, and the rates."""

    steps: tuple[int, int, int]
    rates: tuple[float, ...]
    n_train: int = 1000

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), steps=(150, 60, 60), rates=(0.01, 0.3), n_train=600)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        rates = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
        return cls(tuple(range(10)), steps=(1200, 250, 800), rates=rates)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors."""
    data = nn.digits(seed, n_train=settings.n_train)
    ruler = Ruler.of(data, samples=500)
    error, exact = np.full((2, len(KINDS), 2, len(settings.rates)), np.nan)
    for k, kind in enumerate(KINDS.values()):
        steps = settings.steps[kind.steps]
        for r, rate in enumerate(settings.rates):
            if rate not in kind.rates:
                continue
            for renorm in (0, 1):
                random = streams(seed)
                norm = _renorm if renorm else _batch_norm
                trainer = nn.Trainer(
                    mlp((64, WIDTH, WIDTH, 10), random, norm=norm),
                    nn.SGD(rate),
                    data,
                    batch_size=kind.batch_size,
                    seed=random.order,
                    order=kind.order,
                )
                trainer.fit(steps=steps, callback=_opening(steps) if renorm else None, disable=True)
                error[k, renorm, r] = ruler.read(trainer.network)[1]
                if trainer.diverged is None:
                    nn.recalibrate(trainer.network, data.x_train)
                exact[k, renorm, r] = ruler.read(trainer.network)[1]
    return {"error": error, "exact": exact}


def _batch_norm(features: int) -> nn.Layer:
    return nn.BatchNorm(features, momentum=MOMENTUM)


def _renorm(features: int) -> nn.Layer:
    return nn.BatchRenorm(features, momentum=MOMENTUM, r_max=1.0, d_max=0.0)


def _opening(steps: int) -> Callable[[nn.Trainer], None]:
    """Return what starts as batch norm and widens the limits to 3 and 5, as in the paper."""

    def widen(trainer: nn.Trainer) -> None:
        part = min(max(trainer.step / steps - 0.1, 0) / 0.4, 1)  # from a tenth to half of the way
        for layer in trainer.network:
            if isinstance(layer, nn.BatchRenorm):
                layer.r_max, layer.d_max = 1 + 2 * part, 5 * part

    return widen


def tuned(result: Result[Settings], key: str = "error") -> tuple[Array, Array]:
    """Return each arm's best rate, (batches, norm), by mean error, and the errors there.

    With ``"exact"``: the errors with exact statistics at the same rates.
    """
    best = np.nanargmin(mean(result["error"]), axis=-1)
    error = np.take_along_axis(result[key], best[np.newaxis, ..., np.newaxis], axis=-1)
    return np.array(result.settings.rates)[best], error[..., 0]


def equal(result: Result[Settings]) -> Array:
    """Return the errors at one rate for each kind of batches, (seed, batches, norm)."""
    columns = [result.settings.rates.index(kind.equal) for kind in KINDS.values()]
    return np.stack([result["error"][:, k, :, column] for k, column in enumerate(columns)], axis=1)


def gains(error: Array) -> list[Interval]:
    """Return how many points renorm gains for each kind of batches, from (seed, batches, norm)."""
    return [interval(error[:, k, 0] - error[:, k, 1]) for k in range(len(KINDS))]


def sorting(error: Array) -> tuple[Interval, Interval]:
    """Return how many points sorted batches cost batch norm and renorm, at equal steps."""
    cost = error[:, SORTED] - error[:, RANDOM]
    return interval(cost[:, 0]), interval(cost[:, 1])


def memory(error: Array, exact: Array) -> list[Interval]:
    """Return by how many points exact statistics lower the error of batch norm, by batches."""
    return [interval(error[:, k, 0] - exact[:, k, 0]) for k in range(len(KINDS))]


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether renorm is clearly better for small batches, and for batches by class."""
    error = tuned(result)[1]
    gain, cost = gains(error), sorting(error)
    each = "; ".join(
        f"{kind} {pm(error[:, k, 0])} % with batch norm and {pm(error[:, k, 1])} % with renorm"
        for k, kind in enumerate(KINDS)
    )
    text = (
        f"test error at each arm's best rate, by batches: {each}. Renorm gains {gain[SMALL]:.1f} "
        f"points for batches of two, {gain[SORTED]:.1f} for sorted ones and {gain[RANDOM]:.1f} for "
        f"random ones; sorting costs batch norm {cost[0]:.1f} and renorm {cost[1]:.1f}."
    )
    return Verdict(graded(gain[SMALL].low > 0, gain[SORTED].low > 0), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the error of both norms at their best rates for each kind of batches."""
    fig, (left, right) = subplots(ncols=2, width_ratios=(1, 2.6))
    error = tuned(result)[1]
    for ax, kinds in ((left, [SMALL]), (right, [RANDOM, SORTED, LONGER])):
        for norm, (name, color) in enumerate(
            (("batch norm", NORM_COLOR["batch"]), ("batch renorm", NORM_COLOR["renorm"]))
        ):
            places = np.arange(len(kinds)) + 0.36 * norm - 0.18
            bars = [interval(error[:, k, norm]) for k in kinds]
            ax.bar(places, [bar.middle for bar in bars], 0.34, color=color, label=name,
                   yerr=[bar.high - bar.middle for bar in bars], capsize=3)  # fmt: skip
            for row in error[:, kinds, norm]:
                ax.plot(places, row, "o", color=INK, markersize=2)
        ax.set_xticks(range(len(kinds)), [list(KINDS)[k] for k in kinds])
        ax.set(ylabel="test error, %", xlim=(-0.6, len(kinds) - 0.4), ylim=(0, None))
    right.legend(loc="upper left")
    right.set_ylim(0, 1.4 * error[:, RANDOM:].max())
    numbers = "; ".join(
        f"{kind} {b:.1f} and {r:.1f} %" for kind, (b, r) in zip(KINDS, mean(error), strict=True)
    )
    return show(
        fig,
        alt="Test errors with batch norm and with batch renorm, each at its best rate: "
        f"{numbers}. Bars with 95 % intervals; the seeds are dots.",
    )
