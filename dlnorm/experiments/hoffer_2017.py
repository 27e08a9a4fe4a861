"""Large batches cost nothing here, so ghost batches have no gap to close.

Hoffer, Hubara & Soudry (2017), Section 4: networks trained on large batches make more mistakes on
test images than those trained on small ones; normalizing a large batch in small "ghost" batches,
with a larger learning rate and more epochs, closes the gap. Here: small batches, large batches
for the same number of steps, and the same with ghosts of the small size; learning rates as the
root of the batch size. On these digits large batches do as well as small ones. Ghosts differ from
both by half a point at most, which takes many seeds to tell from nothing.

Values: ``error`` of the test images in percent (training), in the order of `TRAININGS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import (
    BaseSettings,
    Result,
    Verdict,
    above,
    clear,
    graded,
    mean,
    pm,
    stderr,
)
from dlnorm.experiments._networks import mlp, streams
from dlnorm.plotting import BLUE, GREEN, INK, ORANGE, Shown, show, subplots

TRAININGS = ("small batches", "large batches", "large, ghosts")
SMALL, LARGE, GHOST = range(3)


@dataclass(frozen=True)
class Settings(BaseSettings):
    """How large the batches are, and how long the training is."""

    steps: int
    large: int
    small: int = 32
    n_train: int = 1280
    rate: float = 0.05

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), steps=300, large=320)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(12)), steps=800, large=640)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors."""
    data = nn.digits(seed, n_train=settings.n_train)
    error = np.empty(len(TRAININGS))

    def ghosts(features: int) -> nn.Layer:
        # several steps of the moving average a batch: slower ones, to remember as many batches
        momentum = 0.9 ** (settings.small / settings.large)
        return nn.GhostBatchNorm(features, ghost_size=settings.small, momentum=momentum)

    for training in range(len(TRAININGS)):
        random = streams(seed)
        norm = ghosts if training == GHOST else nn.BatchNorm
        batch_size = settings.small if training == SMALL else settings.large
        rate = settings.rate * (batch_size / settings.small) ** 0.5
        network = mlp((64, 128, 128, 10), random, norm=norm)
        trainer = nn.Trainer(
            network, nn.SGD(rate, 0.9), data, batch_size=batch_size, seed=random.order
        )
        trainer.fit(steps=settings.steps, disable=True)
        error[training] = nn.error_percent(network, data.x_test, data.y_test)
    return {"error": error}


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether large batches are clearly worse, and ghosts clearly better than without."""
    error = result["error"]
    gap, repair = error[:, LARGE] - error[:, SMALL], error[:, LARGE] - error[:, GHOST]
    each = ", ".join(f"{name} {pm(error[:, i], 2)} %" for i, name in enumerate(TRAININGS))
    text = (
        f"test error {each}. Large batches cost {pm(gap, 2)} points"
        f"{'' if clear(gap) else ', so there is no clear gap to close'}; ghosts lower the error "
        f"by {pm(repair, 2)}{'' if clear(repair) else ', within its uncertainty'}."
    )
    if not clear(gap) and not clear(repair):
        return Verdict("null", text)
    return Verdict(graded(above(gap), above(repair)), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the error of the three trainings, one dot a seed."""
    fig, ax = subplots(height=2.2)
    places = np.arange(len(TRAININGS))
    middle, spread = mean(result["error"]), stderr(result["error"])
    ax.barh(places, middle, 0.6, xerr=spread, capsize=3, color=(BLUE, ORANGE, GREEN))
    for row in result["error"]:
        ax.plot(row, places, "o", color=INK, markersize=2.5)
    ax.set_yticks(places, TRAININGS)
    ax.invert_yaxis()
    ax.set(xlabel="test error, %")
    numbers = ", ".join(f"{n} {m:.2f} %" for n, m in zip(TRAININGS, middle, strict=True))
    return show(fig, alt=f"Test errors, with the seeds as dots: {numbers}.")
