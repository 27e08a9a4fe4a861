"""Mean-only batch norm speeds weight norm up; weight norm alone, and its start from data, don't.

Salimans & Kingma (2016), Section 5.1: weight norm trains faster than the plain parameters, weight
norm with mean-only batch norm faster still and about as fast as batch norm. Section 3: lengths and
biases set from one batch of data make the start independent of how the weights were drawn. Here:
four hidden layers of 100 ReLUs, plain gradient descent.

Values: ``steps`` until the training loss is below 0.3, (variant, rate), infinite where it never
was; variants in the order of `VARIANTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, count, graded, median
from dlnorm.experiments._networks import Streams, loss_below, mlp, steps_until, streams
from dlnorm.plotting import INK, PALETTE, Shown, show, subplots

SIZES = (64, 100, 100, 100, 100, 10)
#: Weights that are too small for the plain parameters.
BAD = 0.05


def _from_data(random: Streams, data: nn.Data, **options: object) -> nn.Sequential:
    network = mlp(SIZES, random, linear=nn.WeightNormLinear, init=BAD, **options)  # type: ignore[arg-type]
    nn.initialize_from_data(network, data.x_train[:200])
    return network


VARIANTS: dict[str, Callable[[Streams, nn.Data], nn.Sequential]] = {
    "plain, bad start": lambda random, _: mlp(SIZES, random, init=BAD),
    "plain, He start": lambda random, _: mlp(SIZES, random),
    "weight norm, He start": lambda random, _: mlp(SIZES, random, linear=nn.WeightNormLinear),
    "weight norm, from data": _from_data,
    "the same, mean-only BN": lambda random, data: _from_data(
        random, data, norm=nn.MeanOnlyBatchNorm
    ),
    "batch norm, He start": lambda random, _: mlp(SIZES, random, norm=nn.BatchNorm),
}
PLAIN_BAD, PLAIN, WEIGHT, DATA, MEAN_ONLY, BATCH = range(6)


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: the learning rate."""

    rates: tuple[float, ...]
    steps: int
    batch_size: int = 50

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), rates=(0.05, 0.2), steps=300)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(8)), rates=(0.05, 0.2, 1.0), steps=1000)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's numbers of steps."""
    data = nn.digits(seed)
    steps = np.full((len(VARIANTS), len(settings.rates)), np.inf)
    for v, build in enumerate(VARIANTS.values()):
        for r, rate in enumerate(settings.rates):
            random = streams(seed)
            trainer = nn.Trainer(
                build(random, data),
                nn.SGD(rate),
                data,
                batch_size=settings.batch_size,
                seed=random.order,
            )
            steps[v, r] = steps_until(trainer, loss_below(0.3), settings.steps)
    return {"steps": steps}


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether weight norm, mean-only batch norm and the start from data each help."""
    settings, steps = result.settings, median(result["steps"])
    first = steps[:, 0]
    one_rate = result["steps"][:, :, 0]
    mean_only = bool(
        (one_rate[:, MEAN_ONLY] < one_rate[:, [PLAIN, WEIGHT]].min(axis=1) / 1.5).all()
    )
    alone = bool((one_rate[:, WEIGHT] < one_rate[:, PLAIN] / 1.1).all())
    start = bool((steps[DATA] <= steps[WEIGHT]).all())
    shown = ", ".join(
        f"{name} {count(n, settings.steps)}" for name, n in zip(VARIANTS, first, strict=True)
    )
    other = ", ".join(
        f"{count(steps[DATA, r], settings.steps)} against {count(steps[WEIGHT, r], settings.steps)}"
        f" at {rate:g}"
        for r, rate in enumerate(settings.rates[1:], start=1)
    )
    text = (
        f"steps to a loss of 0.3 at rate {settings.rates[0]:g}: {shown}. Mean-only batch norm "
        f"{'helps' if mean_only else 'does not help'}, weight norm alone "
        f"{'helps' if alone else 'does not'}. The start from data against He's at larger rates: "
        f"{other}."
    )
    return Verdict(graded(mean_only, alone, start), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the number of steps of every variant at every rate."""
    settings = result.settings
    fig, ax = subplots(height=3.4)
    width = 0.8 / len(settings.rates)
    places = np.arange(len(VARIANTS))
    for r, (rate, color) in enumerate(zip(settings.rates, PALETTE, strict=False)):
        steps = np.minimum(result["steps"][:, :, r], settings.steps)
        at = places + (r - (len(settings.rates) - 1) / 2) * width
        ax.barh(at, median(steps), 0.9 * width, color=color, label=f"rate {rate:g}")
        for row in steps:
            ax.plot(row, at, "o", color=INK, markersize=2.5)
    ax.axvline(settings.steps, color=INK, lw=1, ls=":")
    ax.set_yticks(places, VARIANTS)
    ax.invert_yaxis()
    ax.set(xlabel=f"steps to a loss of 0.3 (stopped at {settings.steps})")
    ax.legend(loc="lower right")
    first = ", ".join(
        f"{name} {count(n, settings.steps)}"
        for name, n in zip(VARIANTS, median(result["steps"])[:, 0], strict=True)
    )
    return show(
        fig,
        alt=f"Steps to a training loss of 0.3 for six variants and "
        f"{len(settings.rates)} learning rates, medians as bars and seeds as dots. At rate "
        f"{settings.rates[0]:g}: {first}.",
    )
