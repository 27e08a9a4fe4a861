"""Dropout lowers the test error a little, and makes fewer hidden units answer to an image.

A test of the paper's finding.

Srivastava et al. (2014), Sections 6.1.1 and 7.4: networks with dropout make fewer mistakes on test
images, and how many fewer depends on how many images they were trained on: nothing for the smallest
training sets, most for middling ones, less again for large ones. Section 7.2: fewer of their hidden
units are active at a time.

What is different here: digits of 8 by 8 pixels, of which there are at most 1000 to train on, so the
sizes are smaller than the paper's; two layers of hidden units, dropped with p = 0.5, no dropout on
the inputs and no bound on the weights; and a network with dropout is as large as the one without.
The control is that one: it starts from the same weights and meets the same batches.

Each of the two is run at every rate of a grid, and compared at its own best rate and at equal
rates. A network is judged by the 500 test images in test mode, with all units on.

Values: ``error`` of the test images in percent, (training-set size, dropout, rate); ``halfway``,
the same after half of the steps; and ``active``, the fraction of hidden units that are above 0 for
a test image, in the same order; dropout 0 without and 1 with.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean
from dlnorm.experiments._curves import Ruler
from dlnorm.experiments._intervals import Interval, interval
from dlnorm.experiments._networks import mlp, streams
from dlnorm.plotting import BLUE, INK, ORANGE, Shown, show, subplots

KIND = "the paper's finding"
#: The rate at which the two are compared at equal rates.
EQUAL = 0.05


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: the number of images to train on, and the learning rate."""

    sizes: tuple[int, ...]
    rates: tuple[float, ...]
    width: int
    steps: int
    p: float = 0.5
    momentum: float = 0.9

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1), sizes=(50, 200, 1000), rates=(EQUAL,), width=64, steps=150)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(
            tuple(range(12)),
            sizes=(50, 100, 200, 500, 1000),
            rates=(0.0005, 0.005, EQUAL, 0.5),
            width=128,
            steps=750,
        )


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors and active fractions."""
    error = np.empty((len(settings.sizes), 2, len(settings.rates)))
    halfway, active = np.empty_like(error), np.empty_like(error)
    for (i, size), dropout in product(enumerate(settings.sizes), (0, 1)):
        data = nn.digits(seed, n_train=size)
        ruler = Ruler.of(data, samples=500)
        for r, rate in enumerate(settings.rates):
            random = streams(seed)
            network = mlp(
                (64, settings.width, settings.width, 10), random, p=settings.p if dropout else 0.0
            )
            trainer = nn.Trainer(
                network,
                nn.SGD(rate, settings.momentum),
                data,
                batch_size=min(50, size),
                seed=random.order,
            )
            trainer.fit(steps=settings.steps // 2, disable=True)
            halfway[i, dropout, r] = ruler.read(network)[1]
            trainer.fit(steps=settings.steps - trainer.step, disable=True)
            error[i, dropout, r] = ruler.read(network)[1]
            active[i, dropout, r] = _active(network, data.x_test)
    return {"error": error, "halfway": halfway, "active": active}


def _active(network: nn.Sequential, x: Array) -> float:
    """Return the fraction of positive outputs of all ReLUs, in test mode."""
    fractions = []
    for layer in network:
        x = layer.forward(x, "test")
        if isinstance(layer, nn.ReLU):
            fractions.append((x > 0).mean())
    return float(np.mean(fractions))


def tuned(result: Result[Settings]) -> tuple[Array, Array]:
    """Return the best rates, (size, dropout), by mean error over seeds, and where they are."""
    best = mean(result["error"]).argmin(axis=-1)
    return np.array(result.settings.rates)[best], best


def at_best(result: Result[Settings], key: str) -> Array:
    """Return ``error``, ``halfway`` or ``active`` at the best rates, (seed, size, dropout)."""
    _, best = tuned(result)
    values: Array = np.take_along_axis(result[key], best[np.newaxis, ..., np.newaxis], -1)[..., 0]
    return values


def gain(result: Result[Settings], key: str = "error", rate: float | None = None) -> Array:
    """Return by how many percent of the test images dropout lowers the error, (seed, size).

    Each at its own best rate, or both at the same; at the end, or ``halfway``.
    """
    error = at_best(result, key)
    if rate is not None:
        error = result[key][..., result.settings.rates.index(rate)]
    lowered: Array = error[:, :, 0] - error[:, :, 1]
    return lowered


def middling(gains: Array) -> Interval:
    """Return by how much the mean gain of the sizes between the ends exceeds that of the ends."""
    return interval(gains[:, 1:-1].mean(axis=1) - gains[:, [0, -1]].mean(axis=1))


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether dropout lowers error and active fraction, and most between the ends."""
    gains, active = gain(result), at_best(result, "active")
    overall, same = interval(gains.mean(axis=1)), interval(gain(result, rate=EQUAL).mean(axis=1))
    between = middling(gains)
    sparser = bool((active[:, :, 1] < active[:, :, 0]).all())
    each = ", ".join(
        f"{interval(gains[:, i]):.2f} from {size}" for i, size in enumerate(result.settings.sizes)
    )
    without, with_dropout = mean(active.mean(axis=1))
    text = (
        f"each at its best rate, dropout lowers the test error by {overall:.2f} points over all "
        f"sizes ({each} images); both at the rate {EQUAL:g}, by {same:.2f}. The gain of the sizes "
        f"between the ends exceeds that of the ends by {between:.2f} points. The fraction of "
        f"active hidden units goes from {without:.2f} to {with_dropout:.2f}."
    )
    return Verdict(graded(overall.low > 0, between.low > 0, sparser), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw gain and active fraction against the number of training images."""
    fig, (left, right) = subplots(ncols=2)
    sizes = np.array(result.settings.sizes)
    _bars(left, sizes, gain(result), color=BLUE, fmt="o-")
    left.axhline(0, color=INK, lw=1)
    left.set(xscale="log", xlabel="training images", ylabel="error lowered by, points")
    active = at_best(result, "active")
    for dropout, (label, color) in enumerate((("no dropout", ORANGE), ("dropout", BLUE))):
        _bars(right, sizes, active[:, :, dropout], color=color, fmt="o-", label=label)
    right.set(xscale="log", xlabel="training images", ylabel="active hidden units", ylim=(0, 1))
    right.legend()
    for ax in (left, right):
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
    told = ", ".join(f"{g:.1f} from {n}" for n, g in zip(sizes, mean(gain(result)), strict=True))
    without, with_dropout = mean(active.mean(axis=1))
    return show(
        fig,
        alt=f"Left: by how many points dropout lowers the test error, each at its best rate: "
        f"{told} training images. Right: the fraction of active hidden units, {without:.2f} "
        f"without dropout and {with_dropout:.2f} with it.",
    )


def _bars(ax: object, x: Array, values: Array, **style: object) -> None:
    """Draw means over seeds with 95 % intervals."""
    bars = [interval(values[:, k]) for k in range(values.shape[1])]
    half = [bar.high - bar.middle for bar in bars]
    ax.errorbar(x, [bar.middle for bar in bars], half, capsize=3, ms=5, lw=1.2, **style)  # type: ignore[attr-defined]
