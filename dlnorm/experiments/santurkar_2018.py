r"""Batch norm with noise put in after it still trains faster than no norm, from both starts.

A test of the paper's finding.

Santurkar et al. (2018), Section 2.1 and Figure 2: "we perturb each activation
for each sample in the batch using i.i.d. noise sampled from a non-zero mean and non-unit variance
distribution", which "changes at each time step". The inputs of every layer then move more than
without batch norm, and yet the noisy network trains faster than the one without norms. If steady
inputs were what makes batch norm fast, it would not.

What is different here: six hidden layers of 100 tanh units on digits instead of VGG on CIFAR-10;
two starts, small weights and Glorot's; and the noise is taken apart. One kind is a random shift
and a random scale for each unit, the same for the whole batch: this moves the distribution, and
nothing else. The control is normal noise of the same power, drawn for every entry on its own: it
moves no distribution. If noise does harm because inputs move, the first kind must do more.

Each arm is run at every rate of a grid, and compared at its own best rate and at equal rates.
A network is judged by the loss of 200 fixed training images in test mode, with the noise off.

Exact: Section 4, Theorem 4.1. What batch norm changes is the gradient, which it makes shorter by
what points along the mean and along the normalized input. Their bound is an equality:
|dx|^2 = (gamma / sigma)^2 (|d|^2 - <1, d>^2 / m - <x_hat, d>^2 / m).

Values: ``steps`` until that loss is below 0.3, (start, arm, rate), infinite where the budget ended
the run, or where it took twice as long as another rate did from the same start and seed; ``drift``
(start, arm), how far the means of the fourth layer's inputs move from one step to the next, over
their standard deviation, both averaged over units and over the first steps at the rate 0.1; starts
in the order of `STARTS`, arms in that of `ARMS`; ``identity``, by how much the two sides above
differ, relative to the right.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.batchnorm import batchnorm_backward, batchnorm_forward
from dlnorm.experiments._core import BaseSettings, Result, Verdict, count, graded, mean, median
from dlnorm.experiments._curves import Ruler, follow
from dlnorm.experiments._draw import censored_bars
from dlnorm.experiments._intervals import Interval, interval, ratio
from dlnorm.experiments._networks import Streams, streams
from dlnorm.nn.initializers import Init
from dlnorm.nn.layer import Mode
from dlnorm.nn.noise import Noise
from dlnorm.plotting import GREEN, INK, NORM_COLOR, PINK, Shown, show, subplots

KIND = "the paper's finding"
#: Each arm: None for no batch norm, otherwise the noise behind it, (shift and scale, entries).
ARMS: dict[str, tuple[float, float] | None] = {
    "no norm": None,
    "batch norm": (0.0, 0.0),
    "shift and scale 0.5": (0.5, 0.0),
    "shift and scale 1": (1.0, 0.0),
    "entries 0.5": (0.0, 0.5),
    "entries 1": (0.0, 1.0),
}
PLAIN, BATCH, SHIFT, SHIFT_1, ENTRIES, ENTRIES_1 = range(6)
#: Small weights, and those that suit tanh best.
STARTS: tuple[Init, ...] = (0.05, "glorot")
DEPTH, WIDTH = 6, 100
#: What the loss has to fall below.
LEARNED = 0.3
#: The rate at which arms are compared at equal rates, and drifts are measured.
EQUAL = 0.1


class Jitter(Noise):
    """In train mode shift and scale each unit at random, or add noise to each entry.

    Parameters
    ----------
    moved : float
        Scales lie in 1 - moved to 1 + moved and shifts in -moved to moved, one of each per unit
        and step.
    entries : float
        The power of the normal noise added to each entry: as much as `moved` of that size brings
        for a standardized input, entries sqrt(2 / 3) as deviation.
    rng : numpy.random.Generator
    """

    def __init__(self, moved: float, entries: float, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.moved, self.entries = moved, entries

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return x, jittered in train mode."""
        if mode == "test":
            self._cache = np.ones(x.shape[1])
            return x.copy()
        scale, shift = self.rng.uniform(-self.moved, self.moved, (2, x.shape[1]))
        self._cache = 1 + scale
        y: Array = x * self._cache + shift
        if self.entries:
            y += self.entries * np.sqrt(2 / 3) * self.rng.standard_normal(x.shape)
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
        """Return how far a mean moves from one batch to the next, in (mean) deviations."""
        moves = np.abs(np.diff(self.means, axis=0))
        return float(moves.mean() / np.mean(self.stds))


@dataclass(frozen=True)
class Settings(BaseSettings):
    """Which learning rates are tried, `EQUAL` among them, and how long the training may take."""

    rates: tuple[float, ...]
    budget: int
    drift_steps: int
    every: int = 4
    batch_size: int = 50

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), rates=(EQUAL,), budget=120, drift_steps=20)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(10)), rates=(0.03, EQUAL, 0.3, 1.0), budget=600, drift_steps=20)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's steps and drifts, and the identity on random numbers."""
    data = nn.digits(seed)
    ruler = Ruler.of(data)
    steps = np.empty((len(STARTS), len(ARMS), len(settings.rates)))
    drift = np.empty((len(STARTS), len(ARMS)))

    def trainer(
        init: Init, noise: tuple[float, float] | None, rate: float, probe: Probe
    ) -> nn.Trainer:
        random = streams(seed)
        return nn.Trainer(
            _network(noise, init, random, probe),
            nn.SGD(rate),
            data,
            batch_size=settings.batch_size,
            seed=random.order,
        )

    for (i, init), (a, noise) in product(enumerate(STARTS), enumerate(ARMS.values())):
        for r, rate in enumerate(settings.rates):
            # a rate that takes twice as long as another one is not the best, and is given up
            budget = int(min([settings.budget, *(2 * steps[i, a, :r])]))
            curve = follow(
                trainer(init, noise, rate, Probe()),
                ruler,
                budget,
                every=settings.every,
                loss=LEARNED,
            )
            steps[i, a, r] = curve.first(loss=LEARNED)
        probe = Probe()
        trainer(init, noise, EQUAL, probe).fit(steps=settings.drift_steps, disable=True)
        drift[i, a] = probe.drift()
    return {"steps": steps, "drift": drift, "identity": np.array(_identity(seed))}


def _network(
    noise: tuple[float, float] | None, init: Init, random: Streams, probe: Probe
) -> nn.Sequential:
    """Return six hidden layers, with the probe at the input of the fourth."""
    layers: list[nn.Layer] = []
    for i, (n_in, n_out) in enumerate(pairwise((64, *[WIDTH] * DEPTH))):
        if i == DEPTH // 2:
            layers.append(probe)
        layers.append(nn.Linear(n_in, n_out, random.weights, init=init))
        if noise is not None:
            layers.append(nn.BatchNorm(n_out))
            if any(noise):
                layers.append(Jitter(*noise, random.noise.spawn(1)[0]))
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


def equal(result: Result[Settings]) -> Array:
    """Return the steps at equal rates, (seed, start, arm)."""
    steps: Array = result["steps"][..., result.settings.rates.index(EQUAL)]
    return steps


def tuned(result: Result[Settings]) -> tuple[Array, Array]:
    """Return each arm's best rate, (start, arm), by median over seeds, and the steps there."""
    by_rate = median(result["steps"])
    best = by_rate.argmin(axis=-1)
    steps = np.take_along_axis(result["steps"], best[np.newaxis, ..., np.newaxis], axis=-1)
    return np.array(result.settings.rates)[best], steps[..., 0]


def against(result: Result[Settings], steps: Array, arm: int, other: int) -> list[Interval]:
    """Return from each start how many times as many steps one arm takes as another."""
    return [
        ratio(steps[:, start, arm], steps[:, start, other], result.settings.budget)
        for start in range(len(STARTS))
    ]


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether batch norm with moving inputs stays ahead of no norm, from both starts."""
    rates, steps = tuned(result)
    limit, off = result.settings.budget, float(result["identity"].max())
    gain = against(result, steps, SHIFT, PLAIN)
    ahead = [factor.high < 1 for factor in gain]
    restless = [
        interval(result["drift"][:, start, SHIFT] - result["drift"][:, start, PLAIN]).low > 0
        for start in range(len(STARTS))
    ]
    shown = [
        ", ".join(
            f"{name} {count(n, limit)}" + (f" (rate {rate:g})" if np.isfinite(n) else "")
            for name, n, rate in zip(ARMS, median(steps)[start], rates[start], strict=True)
        )
        for start in range(len(STARTS))
    ]
    drift = mean(result["drift"])
    text = (
        f"steps to a clean loss of {LEARNED} at each arm's best rate, from small weights: "
        f"{shown[0]}; from Glorot's: {shown[1]}. With inputs that drift by {drift[0, SHIFT]:.2f} "
        f"and {drift[1, SHIFT]:.2f} per step in place of {drift[0, PLAIN]:.2f} and "
        f"{drift[1, PLAIN]:.2f}, batch norm with noise 0.5 takes {gain[0]:.2f} and {gain[1]:.2f} "
        f"times the steps of no norm. The gradient identity holds to {off:.0e}."
    )
    return Verdict(graded(*ahead, *restless), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the steps of every arm from both starts, censored ones as such, and the drifts."""
    fig, axes = subplots(ncols=3, sharey=True, height=3.0)
    limit, (_, steps) = result.settings.budget, tuned(result)
    colors = (NORM_COLOR["none"], NORM_COLOR["batch"], GREEN, GREEN, PINK, PINK)
    places = np.arange(len(ARMS))
    for start, ax in enumerate(axes[:2]):
        censored_bars(ax, steps[:, start], limit, colors)
        ax.set(xlabel="steps", title=("small weights", "Glorot's weights")[start])
    for start, marker in enumerate("so"):
        values = result["drift"][:, start]
        bars = [interval(values[:, arm]) for arm in range(len(ARMS))]
        half = [bar.high - bar.middle for bar in bars]
        axes[2].errorbar([bar.middle for bar in bars], places + 0.2 * (start - 0.5), xerr=half,
                         fmt=marker, color=INK, ms=4, capsize=2,
                         label=("small", "Glorot's")[start])  # fmt: skip
    axes[2].set(xlabel="drift per step", xlim=(0, None))
    axes[2].legend(fontsize=9)
    axes[0].set_yticks(places, ARMS)
    axes[0].invert_yaxis()
    told = "; ".join(
        f"{name} {count(small, limit)} and {count(good, limit)} steps"
        for name, small, good in zip(ARMS, *median(steps), strict=True)
    )
    return show(
        fig,
        alt=f"Steps to a clean training loss of {LEARNED} from small weights and from Glorot's, "
        f"each arm at its best rate: {told}. On the right how far the inputs' means move.",
    )
