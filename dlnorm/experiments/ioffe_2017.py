"""Batch renormalization rescues batches of two; for batches of few classes it changes nothing here.

Ioffe (2017), Section 4: batch norm suffers when batches are small, and when their samples are not
independent, because training then sees statistics that test mode will not. Batch renorm corrects
toward the running statistics while it trains, and loses little in either case. Here: batches of
two, and batches of 50 from at most four classes, which batch norm turns out to stand well.

Values: ``error`` of the test images in percent, (batches, norm): batches of two, of 50 in random
order, of 50 sorted by class; batch norm (0) and batch renorm (1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, above, graded, mean, pm, stderr
from dlnorm.experiments._networks import mlp, streams
from dlnorm.nn.trainer import Order, shuffled
from dlnorm.plotting import BLUE, ORANGE, Shown, show, subplots

KINDS = ("batches of 2", "50, random", "50, by class")
#: The running statistics keep this of their old value, as in the paper.
MOMENTUM = 0.99


@dataclass(frozen=True)
class Settings(BaseSettings):
    """How long each of the two kinds of training is."""

    small_steps: int
    large_steps: int
    n_train: int = 600
    small_rate: float = 0.006
    large_rate: float = 0.05

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), small_steps=1000, large_steps=300)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(8)), small_steps=10000, large_steps=1500, n_train=1000)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors."""
    data = nn.digits(seed, n_train=settings.n_train)
    kinds: tuple[tuple[int, float, int, Order], ...] = (
        (2, settings.small_rate, settings.small_steps, shuffled),
        (50, settings.large_rate, settings.large_steps, shuffled),
        (50, settings.large_rate, settings.large_steps, by_class),
    )
    error = np.empty((len(kinds), 2))
    for k, (batch_size, rate, steps, order) in enumerate(kinds):
        for renorm in (0, 1):
            random = streams(seed)
            network = mlp((64, 128, 128, 10), random, norm=_renorm if renorm else _batch_norm)
            trainer = nn.Trainer(
                network,
                nn.SGD(rate),
                data,
                batch_size=batch_size,
                seed=random.order,
                order=order,
            )
            trainer.fit(steps=steps, callback=_opening(steps) if renorm else None, disable=True)
            error[k, renorm] = nn.error_percent(network, data.x_test, data.y_test)
    return {"error": error}


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


def by_class(rng: np.random.Generator, y: Array) -> Array:
    """Return an order in which 25 samples in a row are of one class, or of two neighbors."""
    place = rng.permutation(10)[y]
    order = np.lexsort((rng.random(len(y)), place))
    runs = [order[start : start + 25] for start in range(0, len(order), 25)]
    return np.concatenate([runs[i] for i in rng.permutation(len(runs))])


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether renorm is clearly better for small batches, and for batches by class."""
    error = result["error"]
    gain = error[:, :, 0] - error[:, :, 1]
    small, _, sorted_ = (
        f"{pm(error[:, k, 0])} % with batch norm and {pm(error[:, k, 1])} % with renorm"
        for k in range(3)
    )
    text = (
        f"batches of 2: test error {small}. Batches of 50 sorted by class: {sorted_}, a gain of "
        f"{pm(gain[:, 2])} points; for batch norm itself the sorting costs "
        f"{pm(error[:, 2, 0] - error[:, 1, 0])}."
    )
    return Verdict(graded(above(gain[:, 0]), above(gain[:, 2])), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the error of both norms for the three kinds of batches."""
    fig, (left, right) = subplots(ncols=2, width_ratios=(1, 2))
    middle, spread = mean(result["error"]), stderr(result["error"])
    for ax, kinds in ((left, [0]), (right, [1, 2])):
        for norm, (name, color) in enumerate((("batch norm", ORANGE), ("batch renorm", BLUE))):
            ax.bar(
                np.arange(len(kinds)) + 0.36 * norm - 0.18,
                middle[kinds, norm],
                0.34,
                yerr=spread[kinds, norm],
                capsize=3,
                color=color,
                label=name,
            )
        ax.set_xticks(range(len(kinds)), [KINDS[k] for k in kinds])
        ax.set(ylabel="test error, %", xlim=(-0.6, len(kinds) - 0.4))
    right.set_ylim(0, 1.5 * middle[1:].max())
    right.legend(ncols=2)
    numbers = "; ".join(
        f"{kind} {b:.1f} and {r:.1f} %" for kind, (b, r) in zip(KINDS, middle, strict=True)
    )
    return show(
        fig, alt=f"Test errors with batch norm and with batch renorm: {numbers}. Bars with errors."
    )
