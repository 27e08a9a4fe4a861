r"""Batch norm with noise put in after it trains fast too, though nothing about it stays put.

Santurkar et al. (2018), Section 2.2 and Figure 2: if batch norm helped because it keeps the
distribution of each layer's input steady, then noise after it, with a mean and a scale that change
at every step, should undo the help. It does not: the noisy network still trains much faster than
the one without norms, whose distributions move less. Here the same with six hidden layers of tanh
whose weights start small; only noise as large as the signal itself does harm. Where the weights
start as is best for the network without norms, there is less to win, and noise takes it away.

Section 4 and Theorem 4.1: what batch norm changes is the gradient, which it makes shorter by what
points along the mean and along the normalized input. Their bound is an equality:
|dx|^2 = (gamma / sigma)^2 (|d|^2 - <1, d>^2 / m - <x_hat, d>^2 / m).

Values: ``steps`` until the training loss is below 0.3 (start, variant), infinite where it never
was; ``drift`` (start, variant), how far the means of the fourth layer's inputs move from one step
to the next, mean over units and steps, in units of their standard deviation; starts in the order
of `STARTS`, variants in that of `VARIANTS`; ``identity``, by how
much the two sides above differ, relative to the left.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.batchnorm import batchnorm_backward, batchnorm_forward
from dlnorm.experiments._core import BaseSettings, Result, Verdict, count, graded, mean, median
from dlnorm.experiments._networks import Streams, loss_below, steps_until, streams
from dlnorm.nn.initializers import Init
from dlnorm.nn.layer import Mode
from dlnorm.nn.noise import Noise
from dlnorm.plotting import BLUE, GREEN, INK, ORANGE, PINK, Shown, show, subplots

#: Each variant with how large its noise is; None for no batch norm at all.
VARIANTS: dict[str, float | None] = {
    "no norm": None,
    "batch norm": 0.0,
    "batch norm, noise 0.5": 0.5,
    "batch norm, noise 1": 1.0,
}
PLAIN, BATCH, NOISY, VERY_NOISY = range(4)
#: Small weights, and those that suit tanh best.
STARTS: tuple[Init, ...] = (0.05, "glorot")
DEPTH, WIDTH = 6, 100


class Jitter(Noise):
    """In train mode scale and shift each unit at random, anew at every step, and add noise.

    Parameters
    ----------
    size : float
        Scales lie in 1 - size to 1 + size and shifts in -size to size, one each a unit; the noise
        is normal with deviation size / 2, one an entry.
    rng : numpy.random.Generator
    """

    def __init__(self, size: float, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.size = size

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return x, jittered in train mode."""
        if mode == "test":
            self._cache = np.ones(x.shape[1])
            return x.copy()
        scale, shift = self.rng.uniform(-self.size, self.size, (2, x.shape[1]))
        self._cache = 1 + scale
        y: Array = x * self._cache + shift + self.size / 2 * self.rng.standard_normal(x.shape)
        return y

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dx: Array = dout * self._kept()
        return dx


class Probe(nn.Layer):
    """Change nothing, and remember the mean and the deviation of every unit in every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.means: list[Array] = []
        self.stds: list[Array] = []

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return x."""
        if mode == "train":
            self.means.append(x.mean(axis=0))
            self.stds.append(x.std(axis=0))
        return x

    def backward(self, dout: Array) -> Array:
        """Return dout."""
        return dout

    def drift(self) -> float:
        """Return how far a mean moves from one batch to the next, in deviations."""
        moves = np.abs(np.diff(self.means, axis=0))
        return float((moves / np.array(self.stds[1:])).mean())


@dataclass(frozen=True)
class Settings(BaseSettings):
    """How long the training may take."""

    steps: int
    rate: float = 0.1
    batch_size: int = 50

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), steps=350)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(8)), steps=2000)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's steps and drifts, and the identity on random numbers."""
    data = nn.digits(seed)
    steps, drift = np.empty((2, len(STARTS), len(VARIANTS)))
    for i, init in enumerate(STARTS):
        for v, noise in enumerate(VARIANTS.values()):
            random, probe = streams(seed), Probe()
            trainer = nn.Trainer(
                _network(noise, init, random, probe),
                nn.SGD(settings.rate),
                data,
                batch_size=settings.batch_size,
                seed=random.order,
            )
            steps[i, v] = steps_until(trainer, loss_below(0.3), settings.steps)
            drift[i, v] = probe.drift()
    return {"steps": steps, "drift": drift, "identity": np.array(_identity(seed))}


def _network(noise: float | None, init: Init, random: Streams, probe: Probe) -> nn.Sequential:
    """Return six hidden layers, with the probe at the input of the fourth."""
    layers: list[nn.Layer] = []
    for i, (n_in, n_out) in enumerate(pairwise((64, *[WIDTH] * DEPTH))):
        if i == DEPTH // 2:
            layers.append(probe)
        layers.append(nn.Linear(n_in, n_out, random.weights, init=init))
        if noise is not None:
            layers.append(nn.BatchNorm(n_out))
        if noise:
            layers.append(Jitter(noise, random.noise.spawn(1)[0]))
        layers.append(nn.Tanh())
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10, random.weights, init=init))


def _identity(seed: int) -> float:
    """Return by how much the gradient's length and its formula differ, at worst over features."""
    rng = streams(seed).noise
    m, features = 50, 20
    x, dout = 3 + 2 * rng.standard_normal((2, m, features))
    gamma = rng.uniform(0.5, 2, features)
    _, cache = batchnorm_forward(x, gamma, np.zeros(features), {"mode": "train", "eps": 0.0})
    dx, dgamma, dbeta = batchnorm_backward(dout, cache)
    # sums of dout, and of dout times x_hat, are what the backward pass returns for beta and gamma
    inner = (dout**2).sum(axis=0) - dbeta**2 / m - dgamma**2 / m
    left, right = (dx**2).sum(axis=0), (gamma / x.std(axis=0)) ** 2 * inner
    return float(np.abs(left / right - 1).max())


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether moderate noise leaves batch norm ahead, and whether the identity holds."""
    small, good = result["steps"].transpose(1, 0, 2)
    drift, limit = result["drift"][:, 0], result.settings.steps
    ahead = bool((small[:, NOISY] < small[:, PLAIN] / 2).all())
    not_behind = bool(median(good)[NOISY] < 1.25 * median(good)[PLAIN])
    restless = bool((drift[:, NOISY] > drift[:, PLAIN]).all())
    off = float(result["identity"].max())
    shown = ", ".join(
        f"{name} {count(n, limit)} (drift {d:.2f})"
        for name, n, d in zip(VARIANTS, median(small), mean(drift), strict=True)
    )
    text = (
        f"steps to a loss of 0.3 from small weights: {shown}. From Glorot's weights: "
        f"{', '.join(count(n, limit) for n in median(good))}. The gradient identity holds to "
        f"{off:.0e}."
    )
    return Verdict(graded(ahead, not_behind, restless, off < 1e-12), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw steps and drift of the variants, from small weights."""
    fig, axes = subplots(ncols=2, sharey=True, height=2.6)
    limit = result.settings.steps
    steps, drift = result["steps"][:, 0], result["drift"][:, 0]
    places = np.arange(len(VARIANTS))
    for ax, values, middle in (
        (axes[0], np.minimum(steps, limit), np.minimum(median(steps), limit)),
        (axes[1], drift, mean(drift)),
    ):
        ax.barh(places, middle, 0.6, color=(ORANGE, BLUE, GREEN, PINK))
        for row in values:
            ax.plot(row, places, "o", color=INK, markersize=2.5)
    axes[0].set_yticks(places, VARIANTS)
    axes[0].invert_yaxis()
    axes[0].set(xlabel=f"steps (stopped at {limit})")
    axes[1].set(xlabel="drift of the means")
    numbers = "; ".join(
        f"{name} {count(n, limit)} steps, drift {d:.2f}"
        for name, n, d in zip(VARIANTS, median(steps), mean(drift), strict=True)
    )
    return show(
        fig,
        alt=f"Steps to a training loss of 0.3, and how far the means of a layer's inputs move from "
        f"step to step: {numbers}.",
    )
