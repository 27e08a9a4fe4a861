"""One sweep that three experiments read: the test error against the batch size, norm by norm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, mean
from dlnorm.experiments._draw import points
from dlnorm.experiments._networks import Norm, mlp, streams
from dlnorm.plotting import PALETTE, Shown, show, subplots

SIZES = (64, 128, 128, 128, 10)
#: The error, in percent, of a network whose training broke off: nine of ten classes are wrong.
GUESSING = 90.0


def group_norm(features: int) -> nn.Layer:
    """Return group norm with eight groups."""
    return nn.GroupNorm(features, 8)


@dataclass(frozen=True)
class SweepSettings(BaseSettings):
    """What is varied, the batch size, and what every run has in common."""

    batch_sizes: tuple[int, ...]
    epochs: int
    n_train: int = 1000
    #: Learning rate at batch size 32; elsewhere in proportion to the batch size.
    rate: float = 0.1
    #: But never smaller than this.
    least_rate: float = 0.005


def sweep(norms: Mapping[str, Norm | None], settings: SweepSettings, seed: int) -> dict[str, Array]:
    """Return one seed's ``error`` of the test images in percent, (norm, batch size)."""
    error = np.empty((len(norms), len(settings.batch_sizes)))
    for n, norm in enumerate(norms.values()):
        for b, batch_size in enumerate(settings.batch_sizes):
            error[n, b] = _error(norm, batch_size, settings, seed)
    return {"error": error}


def _error(norm: Norm | None, batch_size: int, settings: SweepSettings, seed: int) -> float:
    """Train one network and return its test error in percent."""
    data, random = nn.digits(seed, n_train=settings.n_train), streams(seed)
    network = mlp(SIZES, random, norm=norm)
    rate = max(settings.least_rate, settings.rate * batch_size / 32)
    trainer = nn.Trainer(network, nn.SGD(rate), data, batch_size=batch_size, seed=random.order)
    trainer.fit(epochs=settings.epochs, disable=True)
    if trainer.diverged is not None:
        return GUESSING
    return nn.error_percent(network, data.x_test, data.y_test)


def draw(result: Result[SweepSettings], norms: Mapping[str, Norm | None], alt: str) -> Shown:
    """Draw the error of each norm against the batch size."""
    fig, ax = subplots()
    batch_sizes = np.array(result.settings.batch_sizes)
    for n, (name, color) in enumerate(zip(norms, PALETTE, strict=False)):
        points(ax, batch_sizes, result["error"][:, n], color=color, label=name)
    ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="test error, %")
    ax.set_xticks(batch_sizes, [str(size) for size in batch_sizes])
    ax.minorticks_off()
    ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 50, 90) if _within(tick, mean(result["error"]))]
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.legend(ncols=2)
    return show(fig, alt=alt)


def _within(tick: float, error: Array) -> bool:
    return bool(0.7 * error.min() <= tick <= 1.4 * error.max())
