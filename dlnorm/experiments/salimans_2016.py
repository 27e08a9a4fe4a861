r"""The start from data trains fast, with weight norm or without; weight norm alone gains nothing.

A test of the paper's finding.

Salimans & Kingma (2016), Section 5.1: weight norm trains faster than the plain parameters, weight
norm with mean-only batch norm faster still and about as fast as batch norm. Section 3: lengths and
biases set from one batch of data make the start independent of how the weights were drawn.

What is different here: four hidden layers of 100 ReLUs on digits instead of a convolutional network
on CIFAR-10, and plain gradient descent instead of Adam. Each of the three parts has its control:
weight norm without the start from data, from the weights that the plain network has; the start from
data without weight norm, written into plain parameters; and mean-only batch norm without both. The
start from data is tried on arrows v that suit ReLUs (He) and on arrows that are much too short.

Each arm is run at every rate of a grid, and compared at its own best rate and at equal rates. A
network is judged by the loss of 200 fixed training images in test mode.

Values: ``steps`` until that loss is below 0.3, (arm, rate), infinite where the budget ended the
run, or where it took twice as long as another rate did with the same arm and seed; arms in the
order of `ARMS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, count, graded, median
from dlnorm.experiments._curves import Ruler, follow
from dlnorm.experiments._draw import censored_bars
from dlnorm.experiments._intervals import Interval, ratio
from dlnorm.experiments._networks import Streams, mlp, streams
from dlnorm.nn.initializers import Init
from dlnorm.plotting import NORM_COLOR, Shown, show, subplots
from dlnorm.weightnorm import weightnorm_forward

KIND = "the paper's finding"
SIZES = (64, 100, 100, 100, 100, 10)
#: Weights that are too small for the plain parameters.
SMALL = 0.05
#: What the loss has to fall below.
LEARNED = 0.3
#: The rate at which arms are compared at equal rates.
EQUAL = 0.1
#: A factor in steps that counts as "about as fast", both ways.
CLOSE = 1.5


def _from_data(random: Streams, data: nn.Data, init: Init, **options: object) -> nn.Sequential:
    network = mlp(SIZES, random, linear=nn.WeightNormLinear, init=init, **options)  # type: ignore[arg-type]
    nn.initialize_from_data(network, data.x_train[:200])
    return network


def _plain_from_data(random: Streams, data: nn.Data) -> nn.Sequential:
    """Return the network that `_from_data` starts as, with its weights as plain parameters."""
    layers: list[nn.Layer] = []
    for layer in _from_data(random, data, "he"):
        if isinstance(layer, nn.WeightNormLinear):
            W, _ = weightnorm_forward(layer.params["v"], layer.params["g"])
            plain = nn.Linear(*W.shape, np.random.default_rng(0))  # type: ignore[arg-type, call-arg]
            plain.params["W"][...], plain.params["b"][...] = W, layer.params["b"]
            layer = plain
        layers.append(layer)
    return nn.Sequential(*layers)


ARMS: dict[str, Callable[[Streams, nn.Data], nn.Sequential]] = {
    "plain, small weights": lambda random, _: mlp(SIZES, random, init=SMALL),
    "plain": lambda random, _: mlp(SIZES, random),
    "plain, from data": _plain_from_data,
    "weight norm": lambda random, _: mlp(SIZES, random, linear=nn.WeightNormLinear),
    "weight norm, from data": lambda random, data: _from_data(random, data, "he"),
    "the same, short v": lambda random, data: _from_data(random, data, SMALL),
    "mean-only BN": lambda random, _: mlp(SIZES, random, norm=nn.MeanOnlyBatchNorm),
    "WN from data + mean-only": lambda random, data: _from_data(
        random, data, "he", norm=nn.MeanOnlyBatchNorm
    ),
    "batch norm": lambda random, _: mlp(SIZES, random, norm=nn.BatchNorm),
}
PLAIN_SMALL, PLAIN, PLAIN_DATA, WEIGHT, DATA, SHORT, MEAN_ONLY, BOTH, BATCH = range(9)


@dataclass(frozen=True)
class Settings(BaseSettings):
    """Which learning rates are tried, and how long the training may take."""

    rates: tuple[float, ...]
    budget: int
    every: int = 2
    batch_size: int = 50

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1), rates=(EQUAL,), budget=70, every=4)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        rates = (0.003, 0.01, 0.03, EQUAL, 0.3, 1.0, 3.0)
        return cls(tuple(range(10)), rates=rates, budget=200)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's numbers of steps."""
    data = nn.digits(seed)
    ruler = Ruler.of(data)
    steps = np.full((len(ARMS), len(settings.rates)), np.inf)
    for a, build in enumerate(ARMS.values()):
        # the equal rate first, then the others: one that takes twice as long as another is not
        # the best, and is given up
        for rate in sorted(settings.rates, key=lambda rate: (rate != EQUAL, rate)):
            random = streams(seed)
            trainer = nn.Trainer(build(random, data), nn.SGD(rate), data, seed=random.order,
                                 batch_size=settings.batch_size)  # fmt: skip
            budget = int(min(settings.budget, 2 * steps[a].min()))
            curve = follow(trainer, ruler, budget, every=settings.every, loss=LEARNED)
            steps[a, settings.rates.index(rate)] = curve.first(loss=LEARNED)
    return {"steps": steps}


def tuned(result: Result[Settings]) -> tuple[Array, Array]:
    """Return each arm's best rate by median over seeds, and the steps there, (seed, arm)."""
    best = median(result["steps"]).argmin(axis=-1)
    steps: Array = result["steps"][:, np.arange(len(ARMS)), best]
    return np.array(result.settings.rates)[best], steps


def equal(result: Result[Settings]) -> Array:
    """Return the steps at equal rates, (seed, arm)."""
    steps: Array = result["steps"][..., result.settings.rates.index(EQUAL)]
    return steps


def against(result: Result[Settings], steps: Array, arm: int, other: int) -> Interval:
    """Return how many times as many steps one arm takes as another."""
    return ratio(steps[:, arm], steps[:, other], result.settings.budget)


def close(factor: Interval) -> bool:
    """Return whether a factor in steps lies within `CLOSE`, both ways, with its interval."""
    return factor.low > 1 / CLOSE and factor.high < CLOSE


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether weight norm, mean-only batch norm and the start do what is claimed of them."""
    rates, steps = tuned(result)
    limit = result.settings.budget
    shown = ", ".join(
        f"{name} {count(n, limit)}" + (f" (rate {rate:g})" if np.isfinite(n) else "")
        for name, n, rate in zip(ARMS, median(steps), rates, strict=True)
    )
    alone = against(result, steps, WEIGHT, PLAIN)
    started = against(result, steps, DATA, PLAIN_DATA)
    start = against(result, steps, PLAIN_DATA, PLAIN)
    still = against(result, steps, BOTH, DATA)
    as_batch = against(result, steps, BOTH, BATCH)
    any_start = against(result, steps, SHORT, DATA)
    text = (
        f"steps to a clean loss of {LEARNED} at each arm's best rate: {shown}. Weight norm takes "
        f"{alone:.2f} times the steps of plain parameters from the same weights, and "
        f"{started:.2f} times from the start from data, which itself takes {start:.2f} times the "
        f"steps of plain parameters from He's weights. Mean-only batch norm on top takes "
        f"{still:.2f} times the steps without it, and {as_batch:.2f} times those of batch norm. "
        f"The start from data with a short v: {any_start:.2f} times the steps of that with a long "
        f"one."
    )
    findings = started.high < 1, still.high < 1, close(as_batch), close(any_start)
    return Verdict(graded(*findings), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the steps of every arm at its best rate and at equal rates, censored ones as such."""
    fig, axes = subplots(ncols=2, sharey=True, height=3.6)
    limit, (_, steps) = result.settings.budget, tuned(result)
    names = (*["none"] * 3, *["weight"] * 3, "mean-only", "mean-only", "batch")
    for ax, values in zip(axes, (steps, equal(result)), strict=True):
        censored_bars(ax, values, limit, [NORM_COLOR[name] for name in names])
        ax.set(xlabel="steps")
    axes[0].set(title="each at its best rate")
    axes[1].set(title=f"at the rate {EQUAL:g}")
    axes[0].set_yticks(np.arange(len(ARMS)), ARMS)
    axes[0].invert_yaxis()
    told = "; ".join(
        f"{name} {count(best, limit)} and {count(same, limit)} steps"
        for name, best, same in zip(ARMS, median(steps), median(equal(result)), strict=True)
    )
    return show(
        fig,
        alt=f"Steps to a clean training loss of {LEARNED}, each arm at its best rate, and all at "
        f"the rate {EQUAL:g}: {told}.",
    )
