r"""Dropout before batch norm shifts the variance between training and test as the formula says.

Li et al. (2018), Section 3: dropout multiplies the variance of a unit while training; the running
variance of a batch norm after it remembers that, and at test time, without dropout, it meets a
smaller one. With the mean c and the variance v of the unit and the probability q to keep, the
ratio of the two is v / ((c^2 + v) / q - c^2). Their Section 4: noise that is uniform between
1 - 0.1 and 1 + 0.1 ("Uout") shifts it by next to nothing.

Here: the formula against the noise itself; the shift at every batch norm of a trained network,
with dropout right before it or with a linear layer in between, where it builds up with depth; and
whether it does harm, which is the error that goes away when the running statistics are replaced
by those that test mode meets.

Values: ``formula`` (noise, 2), the ratio, mean over units, measured (0) and from the formula (1);
``shift`` (place, layer), the ratio of test and running variance, whichever way it is above 1, mean
over units; ``error`` of the test images in percent (place, 2), as trained (0) and recalibrated (1);
places in the order of `PLACES`, noises in that of `NOISES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, above, graded, mean, pm
from dlnorm.experiments._draw import points
from dlnorm.experiments._networks import Streams, streams
from dlnorm.plotting import BLUE, GRAY, GREEN, ORANGE, Shown, show, subplots

Noise = Callable[[np.random.Generator], nn.Layer]

BETA = 0.1
#: Each noise with the mean of its squared factor, which is all the formula needs to know of it.
NOISES: dict[str, tuple[Noise, float]] = {
    "dropout, p = 0.5": (lambda rng: nn.Dropout(0.5, rng), 1 / 0.5),
    "dropout, p = 0.2": (lambda rng: nn.Dropout(0.2, rng), 1 / 0.8),
    "Gaussian, p = 0.5": (lambda rng: nn.GaussianDropout(0.5, rng), 1 / 0.5),
    "Uout, beta = 0.1": (lambda rng: nn.UniformDropout(BETA, rng), 1 + BETA**2 / 3),
}
PLACES = ("no dropout", "right before", "through a linear layer", "Uout, right before")
NONE, RIGHT, LINEAR, UOUT = range(4)
DEPTH = 4


@dataclass(frozen=True)
class Settings(BaseSettings):
    """How wide the network is, and how long it is trained."""

    width: int
    steps: int
    draws: int
    n_train: int = 1000

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), width=128, steps=300, draws=12)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(8)), width=256, steps=1500, draws=300)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's ratios, shifts and errors."""
    data = nn.digits(seed, n_train=settings.n_train)
    shift, error = np.empty((len(PLACES), DEPTH)), np.empty((len(PLACES), 2))
    for place in range(len(PLACES)):
        random = streams(seed)
        network = _network(place, settings.width, random)
        trainer = nn.Trainer(network, nn.SGD(0.05, 0.9), data, batch_size=50, seed=random.order)
        trainer.fit(steps=settings.steps, disable=True)
        shift[place] = _shifts(network, data.x_train)
        error[place, 0] = nn.error_percent(network, data.x_test, data.y_test)
        if place == NONE:
            z = network.layers[0].forward(data.x_train, "test")
            formula = [_ratios(z, *noise, settings.draws, random) for noise in NOISES.values()]
        nn.recalibrate(network, data.x_train)
        error[place, 1] = nn.error_percent(network, data.x_test, data.y_test)
    return {"formula": np.array(formula), "shift": shift, "error": error}


def _network(place: int, width: int, random: Streams) -> nn.Sequential:
    """Return linear, batch norm and ReLU four times, with noise in one place of each."""
    layers: list[nn.Layer] = []
    for n_in, n_out in pairwise((64, *[width] * DEPTH)):
        layers.append(nn.Linear(n_in, n_out, random.weights))
        if place == RIGHT:
            layers.append(nn.Dropout(0.5, random.noise.spawn(1)[0]))
        if place == UOUT:
            layers.append(nn.UniformDropout(BETA, random.noise.spawn(1)[0]))
        layers += [nn.BatchNorm(width, momentum=0.95), nn.ReLU()]
        if place == LINEAR:
            layers.append(nn.Dropout(0.5, random.noise.spawn(1)[0]))
    if place == LINEAR:
        layers.pop()  # after the last batch norm it would shift nothing
    layers.append(nn.Linear(width, 10, random.weights))
    return nn.Sequential(*layers)


def _shifts(network: nn.Sequential, x: Array) -> list[float]:
    """Return how far test and running variance are apart at each batch norm."""
    shifts = []
    for layer in network:
        if isinstance(layer, nn.BatchNorm):
            ratio = nn.statistics(x)[1] / layer.memory["running_var"]
            shifts.append(float(np.maximum(ratio, 1 / ratio).mean()))
        x = layer.forward(x, "test")
    return shifts


def _ratios(
    z: Array, noise: Noise, square: float, draws: int, random: Streams
) -> tuple[float, float]:
    """Return the variance without over that with noise, measured and from the formula."""
    layer = noise(random.noise.spawn(1)[0])
    c, v = nn.statistics(z)
    noisy = np.concatenate([layer.forward(z, "train") for _ in range(draws)])
    measured = v / nn.statistics(noisy)[1]
    predicted = v / ((c**2 + v) * square - c**2)
    return float(measured.mean()), float(predicted.mean())


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether the formula holds, the shift builds up, and recalibration helps."""
    formula, shift, error = result["formula"], result["shift"], result["error"]
    off = float(np.abs(formula[:, :, 0] / formula[:, :, 1] - 1).max())
    right, through, none, uout = (shift[:, k] for k in (RIGHT, LINEAR, NONE, UOUT))
    builds_up = above(through[:, -1] - through[:, 0]) and above(right.mean(axis=1) - 1.5)
    small = float(mean(uout).max() - mean(none).max()) < 0.05
    harm = error[:, RIGHT, 0] - error[:, RIGHT, 1]
    text = (
        f"formula and measurement within {100 * off:.1f} %. Shift with dropout right before batch "
        f"norm {mean(right).min():.1f} to {mean(right).max():.1f}; through a linear layer "
        f"{pm(through[:, 0], 2)} at the first and {pm(through[:, -1], 2)} at the last batch norm; "
        f"with Uout at most {mean(uout).max():.2f}, without noise {mean(none).max():.2f}. "
        f"Test error {pm(error[:, RIGHT, 0])} %, recalibrated {pm(error[:, RIGHT, 1])} %: "
        + (f"the shift costs {pm(harm)} points." if above(harm) else "no clear harm.")
    )
    return Verdict(graded(off < 0.02, builds_up, small, above(harm)), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the shift at every batch norm, and formula against measurement."""
    fig, (left, right) = subplots(ncols=2, height=3.4)
    layers = np.arange(1, DEPTH + 1)
    for place, color in zip((RIGHT, LINEAR, UOUT, NONE), (ORANGE, BLUE, GREEN, GRAY), strict=True):
        points(left, layers, result["shift"][:, place], color=color, label=PLACES[place])
    left.set(xlabel="batch norm", ylabel="variance shift", ylim=(0.9, None), xticks=layers)
    left.legend(fontsize=9, loc="lower left", bbox_to_anchor=(0, 1))
    measured, predicted = mean(result["formula"]).T
    places = np.arange(len(NOISES))
    right.barh(places, predicted, 0.6, color=GRAY, label="formula")
    right.plot(measured, places, "o", color=ORANGE, label="measured")
    right.set_yticks(places, NOISES)
    right.invert_yaxis()
    right.set(xlabel="variance ratio", xlim=(0, 1.1))
    right.legend(fontsize=9, loc="lower left", bbox_to_anchor=(0, 1))
    through = mean(result["shift"])[LINEAR]
    return show(
        fig,
        alt=f"Left: variance shift at the four batch norms; about "
        f"{mean(result['shift'])[RIGHT].mean():.1f} with dropout right before, growing from "
        f"{through[0]:.2f} to {through[-1]:.2f} with dropout before the linear layer, near 1 with "
        f"Uout and without noise. Right: ratio of test to training variance for four kinds of "
        f"noise; the measured points lie at the ends of the bars that the formula gives.",
    )
