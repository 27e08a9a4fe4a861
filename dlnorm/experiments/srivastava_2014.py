"""Dropout lowers the test error a little, and makes fewer hidden units answer to an image.

Srivastava et al. (2014), Sections 6.1.1 and 7.4: networks with dropout make fewer mistakes on test
images, and how many fewer depends on how many images they were trained on; Section 7.2: fewer of
their hidden units are active at a time. Here each network with dropout in its hidden layers
is compared with the network that starts from the same weights, meets the same batches and has no
dropout: what counts is the difference, because some test sets are harder than others.

Values: ``error`` of the test images in percent, (training-set size, dropout), and ``active``, the
fraction of hidden units that are above 0 for a test image; dropout 0 without and 1 with.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, above, graded, mean, pm
from dlnorm.experiments._draw import points
from dlnorm.experiments._networks import mlp, streams
from dlnorm.plotting import BLUE, INK, ORANGE, Shown, show, subplots


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: the number of images to train on."""

    sizes: tuple[int, ...]
    width: int
    steps: int
    p: float = 0.5
    rate: float = 0.05
    momentum: float = 0.9

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls(tuple(range(6)), sizes=(100, 500), width=128, steps=300)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(16)), sizes=(50, 100, 200, 500, 1000), width=512, steps=1500)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors and active fractions."""
    error = np.empty((len(settings.sizes), 2))
    active = np.empty_like(error)
    for (i, size), dropout in product(enumerate(settings.sizes), (0, 1)):
        data, random = nn.digits(seed, n_train=size), streams(seed)
        network = mlp(
            (64, settings.width, settings.width, 10), random, p=settings.p if dropout else 0.0
        )
        trainer = nn.Trainer(
            network,
            nn.SGD(settings.rate, settings.momentum),
            data,
            batch_size=min(50, size),
            seed=random.order,
        )
        trainer.fit(steps=settings.steps, disable=True)
        error[i, dropout] = nn.error_percent(network, data.x_test, data.y_test)
        active[i, dropout] = _active(network, data.x_test)
    return {"error": error, "active": active}


def _active(network: nn.Sequential, x: Array) -> float:
    """Return the fraction of positive outputs of all ReLUs, in test mode."""
    fractions = []
    for layer in network:
        x = layer.forward(x, "test")
        if isinstance(layer, nn.ReLU):
            fractions.append((x > 0).mean())
    return float(np.mean(fractions))


def gain(result: Result[Settings]) -> Array:
    """Return by how many percent of the test images dropout lowers the error, (seed, size)."""
    error = result["error"]
    lowered: Array = error[:, :, 0] - error[:, :, 1]
    return lowered


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether dropout lowers the error, over all sizes, and the active fraction."""
    gains, active = gain(result), result["active"]
    overall = gains.mean(axis=1)
    sparser = bool((active[:, :, 1] < active[:, :, 0]).all())
    each = ", ".join(
        f"{pm(gains[:, i], 2)} from {size} images" for i, size in enumerate(result.settings.sizes)
    )
    without, with_dropout = mean(active.mean(axis=1))
    text = (
        f"dropout lowers the test error by {pm(overall, 2)} points on the whole ({each}); "
        f"the fraction of active hidden units goes from {without:.2f} to {with_dropout:.2f}."
    )
    return Verdict(graded(above(overall), sparser), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw gain and active fraction against the number of training images."""
    fig, (left, right) = subplots(ncols=2)
    sizes = np.array(result.settings.sizes)
    points(left, sizes, gain(result), color=BLUE)
    left.axhline(0, color=INK, lw=1)
    left.set(xscale="log", xlabel="training images", ylabel="error lowered by, points")
    for dropout, (label, color) in enumerate((("no dropout", ORANGE), ("dropout", BLUE))):
        points(right, sizes, result["active"][:, :, dropout], color=color, label=label)
    right.set(xscale="log", xlabel="training images", ylabel="active hidden units", ylim=(0, 1))
    right.legend()
    for ax in (left, right):
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
    low, high = mean(gain(result)).min(), mean(gain(result)).max()
    return show(
        fig,
        alt=f"Left: by how many points dropout lowers the test error, between {low:.1f} and "
        f"{high:.1f} depending on the number of training images. Right: the fraction of active "
        f"hidden units, lower with dropout at every number of training images.",
    )
