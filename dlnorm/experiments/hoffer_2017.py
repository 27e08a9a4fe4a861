"""Large batches cost accuracy when they mean fewer steps; with as many steps they cost none.

The paper's finding.

Hoffer, Hubara & Soudry (2017), abstract: the generalization gap of large batches "stems from the
relatively small number of updates rather than the batch size, and can be completely eliminated by
adapting the training regime used"; and "Ghost Batch Normalization" (each large batch is normalized
in small parts) "enables significant decrease in the generalization gap without increasing the
number of updates". Section 4.1 lets the learning rate grow with the root of the batch size.

So the illness and the cure are both run. Uncured, a large batch has as many epochs as a small one,
and so far fewer steps. Cured, it has as many steps. Each is run without ghosts and with ghosts of
the small size; cured without ghosts is the control, which changes the number of steps and nothing
else. The rates are the small batches' rate times a power of the ratio of the batch sizes: the same
rate, the root of the paper, and proportional. So trainings can be compared at the paper's root
rate, at equal rates, and each at its best one.

What is different here: two hidden layers on digits, and momentum at a constant rate, instead of
convolutional networks and a rate that is lowered during training. And batch norm's running
averages, too, have fewer steps to settle in. So that this is no reason for a gap, they are replaced
by the exact statistics of the training images before a network is judged.

Values: ``error`` of 500 test images in percent and ``loss`` of 500 training images, both in test
mode with exact statistics, and ``remembered``, the error with the running averages; each
(training, rate), in the order of `TRAININGS` and of `Settings.powers`, NaN where a training was not
run at a rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean, pm
from dlnorm.experiments._curves import Ruler
from dlnorm.experiments._intervals import Interval, interval
from dlnorm.experiments._networks import mlp, streams
from dlnorm.plotting import INK, NORM_COLOR, Shown, show, subplots

KIND = "the paper's finding"


class Training(NamedTuple):
    """The powers of the ratio at which a training is run, and what distinguishes it."""

    powers: tuple[float, ...]
    large: bool = True
    ghosts: bool = False
    cured: bool = False


#: "Steps" have as many steps as small batches; the other large ones as many epochs.
TRAININGS = {
    "small": Training((-0.5, 0.0, 0.5), large=False),
    "large, epochs": Training((0.0, 0.5, 1.0, 1.5)),
    "epochs, ghosts": Training((0.0, 0.5, 1.0, 1.5), ghosts=True),
    "large, steps": Training((-0.5, 0.0, 0.5, 1.0, 1.5), cured=True),
    "steps, ghosts": Training((-0.5, 0.0, 0.5, 1.0, 1.5), ghosts=True, cured=True),
}
SMALL, LARGE, GHOSTS, CURED, CURED_GHOSTS = range(5)
#: The powers of the paper's recipe: small batches at their rate, large ones at the root rate.
RECIPE = (0.0, 0.5, 0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Settings(BaseSettings):
    """How large the batches are, how long the training is, and which rates are tried."""

    epochs: int
    powers: tuple[float, ...]
    recipe_only: bool = False
    large: int = 640
    small: int = 32
    n_train: int = 1280
    rate: float = 0.05
    width: int = 64

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls(
            (0, 1, 2),
            epochs=4,
            powers=(0.0, 0.5),
            recipe_only=True,
            large=320,
            n_train=640,
            width=32,
        )

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(10)), epochs=10, powers=(-0.5, 0.0, 0.5, 1.0, 1.5))

    @property
    def steps(self) -> int:
        """How many steps small batches have."""
        return self.epochs * (self.n_train // self.small)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors and losses."""
    data = nn.digits(seed, n_train=settings.n_train)
    ruler = Ruler.of(data, samples=500)
    remembered, error, loss = np.full((3, len(TRAININGS), len(settings.powers)), np.nan)
    for t, training in enumerate(TRAININGS.values()):
        for p, power in enumerate(settings.powers):
            if power == RECIPE[t] if settings.recipe_only else power in training.powers:
                trainer = _trainer(training, power, settings, data, seed)
                if training.large and not training.cured:
                    trainer.fit(epochs=settings.epochs, disable=True)
                else:
                    trainer.fit(steps=settings.steps, disable=True)
                remembered[t, p] = ruler.read(trainer.network)[1]
                if trainer.diverged is None:
                    nn.recalibrate(trainer.network, data.x_train)
                loss[t, p], error[t, p] = ruler.read(trainer.network)
    return {"error": error, "loss": loss, "remembered": remembered}


def _trainer(
    training: Training, power: float, settings: Settings, data: nn.Data, seed: int
) -> nn.Trainer:
    """Return a training that has not begun."""

    def ghosts(features: int) -> nn.Layer:
        # several steps of the moving average per batch: slower ones, to remember as many batches
        momentum = 0.9 ** (settings.small / settings.large)
        return nn.GhostBatchNorm(features, ghost_size=settings.small, momentum=momentum)

    random = streams(seed)
    network = mlp(
        (64, settings.width, settings.width, 10),
        random,
        norm=ghosts if training.ghosts else nn.BatchNorm,
    )
    return nn.Trainer(
        network,
        nn.SGD(settings.rate * (settings.large / settings.small) ** power, 0.9),
        data,
        batch_size=settings.large if training.large else settings.small,
        seed=random.order,
    )


def at(result: Result[Settings], powers: tuple[float, ...]) -> Array:
    """Return the errors with one power for each training, (seed, training)."""
    columns = [result.settings.powers.index(power) for power in powers]
    error: Array = result["error"][:, np.arange(len(TRAININGS)), columns]
    return error


def tuned(result: Result[Settings]) -> tuple[tuple[float, ...], Array]:
    """Return each training's best power, by mean error, and the errors there."""
    best = np.nanargmin(mean(result["error"]), axis=-1)
    powers = tuple(result.settings.powers[column] for column in best)
    return powers, at(result, powers)


def costs(error: Array) -> dict[str, Interval]:
    """Return what large batches cost and what repairs save, in points, from (seed, training)."""
    return {
        "gap": interval(error[:, LARGE] - error[:, SMALL]),
        "saved by ghosts": interval(error[:, LARGE] - error[:, GHOSTS]),
        "cured": interval(error[:, CURED] - error[:, SMALL]),
        "saved by steps": interval(error[:, LARGE] - error[:, CURED]),
        "cured by ghosts": interval(error[:, CURED] - error[:, CURED_GHOSTS]),
        "ahead": interval(error[:, SMALL] - error[:, CURED_GHOSTS]),
    }


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether fewer steps make the gap, more steps close it, and ghosts narrow it."""
    error = at(result, RECIPE)
    cost = costs(error)
    gap = cost["gap"].low > 0
    # closed: what is left is less than half of the gap, at the ends of both intervals
    closed = gap and cost["cured"].high < cost["gap"].low / 2
    narrowed = cost["saved by ghosts"].low > 0
    each = ", ".join(f"{name} {pm(error[:, i])} %" for i, name in enumerate(TRAININGS))
    text = (
        f"test error at the rates of the paper's recipe: {each}. Large batches cost "
        f"{cost['gap']:.2f} points for as many epochs and {cost['cured']:.2f} for as many steps; "
        f"ghosts save {cost['saved by ghosts']:.2f} of the first."
    )
    return Verdict(graded(gap, closed, narrowed), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the errors at the recipe's rates and at the best ones, with 95 % intervals."""
    fig, axes = subplots(ncols=2, sharex=True, sharey=True, height=2.8)
    places = np.arange(len(TRAININGS))
    told = []
    for ax, error, title in zip(
        axes,
        (at(result, RECIPE), tuned(result)[1]),
        ("the paper's rates", "each at its best rate"),
        strict=True,
    ):
        bars = [interval(error[:, t]) for t in places]
        ax.barh(
            places,
            [bar.middle for bar in bars],
            0.6,
            xerr=[bar.high - bar.middle for bar in bars],
            capsize=3,
            color=NORM_COLOR["batch"],
        )
        for row in error:
            ax.plot(row, places, "o", color=INK, markersize=2.5)
        ax.set(xlabel="test error, %", title=title)
        numbers = zip(TRAININGS, bars, strict=True)
        told.append(f"{title}: " + "; ".join(f"{n} {bar.middle:.1f} %" for n, bar in numbers))
    axes[0].set_yticks(places, TRAININGS)
    axes[0].invert_yaxis()
    return show(fig, alt=f"Test errors, with the seeds as dots. {'. '.join(told)}.")
