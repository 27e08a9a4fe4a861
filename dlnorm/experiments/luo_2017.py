r"""Cosines have a small variance, as the paper says; here they do not have a lower error.

A test of the paper's finding.

Luo et al. (2017), Sections 2 and 4: a unit that answers with the cosine between its weights and
its inputs, instead of their dot product, has a pre-activation between -1 and 1. Its variance is
therefore small, which is to make the network less sensitive to its inputs; on several data sets
networks with cosines reach lower test errors than with batch, weight and layer norm.

What is different here: three hidden layers of 64 tanh units and 500 training images of digits.
The cosines of the last layer are multiplied by 10, so that a softmax can decide, and no bias is
added to a cosine. The control multiplies the hidden cosines by 8, the root of the number of inputs,
and changes nothing else: pre-activations then vary as much as elsewhere. If it is the small
variance that lowers the error, this must raise it.

Each arm is run at every rate of a grid, and compared at its own best rate and at equal rates. A
network is judged by the error of 500 test images in test mode; their pre-activations are what
enters the tanh of the hidden layers. That a cosine's variance is at most 1 is no finding, it
follows from its bound.

Values: ``error`` of the test images in percent, (arm, rate); ``variance`` of pre-activations over
the test images, mean over hidden units, (arm, rate); arms in the order of `ARMS`. A network that
still knows less than nothing after the first steps, a loss above log(10), is given up there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean, median
from dlnorm.experiments._curves import Ruler
from dlnorm.experiments._intervals import Interval, interval, ratio
from dlnorm.experiments._networks import Streams, mlp, streams
from dlnorm.plotting import INK, NORM_COLOR, Shown, show, subplots

KIND = "the paper's finding"
HIDDEN = (64, 64, 64, 64)
#: The rate at which arms are compared at equal rates.
EQUAL = 0.64
#: An error below this, in percent, is a network that has learned.
LEARNED = 10.0


def _cosines(scale: float) -> Callable[[Streams], nn.Sequential]:
    """Return what builds a network of cosines, those of hidden layers multiplied by a scale."""

    def build(random: Streams) -> nn.Sequential:
        layers: list[nn.Layer] = []
        for n_in, n_out in pairwise(HIDDEN):
            layers += [nn.CosineLinear(n_in, n_out, random.weights, scale=scale), nn.Tanh()]
        return nn.Sequential(*layers, nn.CosineLinear(HIDDEN[-1], 10, random.weights, scale=10.0))

    return build


def _dots(**options: object) -> Callable[[Streams], nn.Sequential]:
    """Return what builds a network of dot products."""
    return lambda random: mlp((*HIDDEN, 10), random, activation=nn.Tanh, init="glorot", **options)  # type: ignore[arg-type]


ARMS: dict[str, Callable[[Streams], nn.Sequential]] = {
    "dot product": _dots(),
    "batch norm": _dots(norm=nn.BatchNorm),
    "layer norm": _dots(norm=nn.LayerNorm),
    "weight norm": _dots(linear=nn.WeightNormLinear),
    "cosine": _cosines(1.0),
    "8 × cosine": _cosines(8.0),
}
DOT, BATCH, LAYER, WEIGHT, COSINE, SCALED = range(6)


@dataclass(frozen=True)
class Settings(BaseSettings):
    """Which learning rates are tried, and how long the training takes."""

    rates: tuple[float, ...]
    steps: int
    #: After which a network that knows less than nothing is given up.
    trial: int
    n_train: int = 500
    batch_size: int = 50

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), rates=(EQUAL,), steps=50, trial=25)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        rates = (0.01, 0.04, 0.16, EQUAL, 2.56, 10.24, 40.96, 163.84)
        return cls(tuple(range(10)), rates=rates, steps=250, trial=50)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors and variances."""
    data = nn.digits(seed, n_train=settings.n_train)
    ruler = Ruler.of(data, samples=500)
    error, variance = np.empty((2, len(ARMS), len(settings.rates)))
    for a, build in enumerate(ARMS.values()):
        for r, rate in enumerate(settings.rates):
            random = streams(seed)
            trainer = nn.Trainer(build(random), nn.SGD(rate), data, seed=random.order,
                                 batch_size=settings.batch_size)  # fmt: skip
            trainer.fit(steps=settings.trial, disable=True)
            if ruler.read(trainer.network)[0] < np.log(10):
                trainer.fit(steps=settings.steps - settings.trial, disable=True)
            error[a, r] = ruler.read(trainer.network)[1]
            variance[a, r] = _variance(trainer.network, ruler.x[ruler.training :])
    return {"error": error, "variance": variance}


def _variance(network: nn.Sequential, x: Array) -> float:
    """Return the variance over samples of what enters a tanh, mean over units and layers."""
    variances = []
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            for layer in network:
                if isinstance(layer, nn.Tanh):
                    variances.append(x.var(axis=0).mean())
                x = layer.forward(x, "test")
    except (nn.DivergedError, ValueError):
        return float("inf")
    found = float(np.mean(variances))
    return found if np.isfinite(found) else float("inf")


def tuned(result: Result[Settings]) -> tuple[Array, Array, Array]:
    """Return each arm's best rate, by mean error, and errors and variances there, (seed, arm)."""
    best = mean(result["error"]).argmin(axis=-1)
    arms = np.arange(len(ARMS))
    error, variance = (result[key][:, arms, best] for key in ("error", "variance"))
    return np.array(result.settings.rates)[best], error, variance


def equal(result: Result[Settings]) -> tuple[Array, Array]:
    """Return errors and variances at equal rates, (seed, arm)."""
    r = result.settings.rates.index(EQUAL)
    return result["error"][..., r], result["variance"][..., r]


def lead(error: Array, other: int, arm: int = COSINE) -> Interval:
    """Return by how many points of error an arm, the cosine, is below another one."""
    return interval(error[:, other] - error[:, arm])


def usable(result: Result[Settings]) -> Array:
    """Return the largest rate at which most seeds learned, for each arm; 0 if there is none."""
    learned = median(result["error"]) < LEARNED
    rates: Array = np.where(learned, result.settings.rates, 0.0).max(axis=1)
    return rates


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether cosines have a lower error, and a lower variance, than each of the others."""
    rates, error, variance = tuned(result)
    others = (DOT, BATCH, LAYER, WEIGHT)
    names = list(ARMS)
    shown = ", ".join(
        f"{name} {e:.1f} % ({v:.2g}; rate {rate:g})"
        for name, e, v, rate in zip(names, mean(error), mean(variance), rates, strict=True)
    )
    leads = ", ".join(f"{lead(error, other):.1f} on {names[other]}" for other in others)
    at_equal = ", ".join(f"{lead(equal(result)[0], other):.1f}" for other in others)
    text = (
        f"test error (and variance of pre-activations) at each arm's best rate: {shown}. The "
        f"cosine's lead in points of error: {leads}; at the equal rate of {EQUAL:g}: {at_equal}. "
        f"Cosines times 8 lead plain cosines by {lead(error, COSINE, SCALED):.1f}."
    )
    lower = all(lead(error, other).low > 0 for other in others)
    small = all(ratio(variance[:, COSINE], variance[:, other], np.inf).high < 1 for other in others)
    return Verdict(graded(lower, small), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw error and variance of every arm at its best rate, and the error at equal rates."""
    fig, axes = subplots(ncols=3, sharey=True, height=2.8)
    _, error, variance = tuned(result)
    colors = [*(NORM_COLOR[key] for key in ("none", "batch", "layer", "weight")), INK, INK]
    for ax, values in zip(axes, (error, equal(result)[0], np.log10(variance)), strict=True):
        for arm, color in enumerate(colors):
            bar = interval(values[:, arm])
            ax.errorbar(bar.middle, arm, xerr=bar.high - bar.middle, fmt="s" if arm == SCALED
                        else "o", color=color, ms=6, capsize=3)  # fmt: skip
    axes[0].set(xlabel="test error, %", title="at its best rate")
    axes[1].set(xlabel="test error, %", title=f"at the rate {EQUAL:g}")
    axes[2].set(xlabel="variance", title="at its best rate")
    powers = range(int(np.floor(np.log10(variance).min())), 2)
    axes[2].set_xticks(list(powers), [f"{10.0**power:g}" for power in powers])
    axes[0].set_yticks(range(len(ARMS)), ARMS)
    axes[0].invert_yaxis()
    told = "; ".join(
        f"{name} {e:.1f} % and {v:.2g}"
        for name, e, v in zip(ARMS, mean(error), mean(variance), strict=True)
    )
    return show(
        fig,
        alt="Test error and variance of pre-activations, each arm at its best rate: "
        f"{told}. In the middle the error at the equal rate of {EQUAL:g}.",
    )
