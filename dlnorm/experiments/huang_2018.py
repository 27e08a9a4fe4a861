"""Whitening inside a network is faster than no norm, and seldom better than batch norm here.

A test of the paper's finding.

Huang et al. (2018), abstract: Decorrelated Batch Normalization "not just centers and scales
activations but whitens them", by ZCA over the batch with its gradient, and "further improves BN's
optimization efficiency and generalization ability". So whitening and batch norm are put at the same
places of a network, and steps and errors are counted. Batch norm is the control for the
correlations: it centers and scales as well, and leaves the correlations in.

What is different here: four hidden layers of 24 units on digits, with ReLU and with tanh, instead
of convolutional networks; batches of 200, whitened as a whole and not in groups of features; and
two values of eps, as a batch says little about the directions of small variance. Test mode uses
running averages of the mean and of the covariance. Each arm is run at every rate of a grid, and
compared at its own best rate and at equal rates. A network is judged by 500 fixed training images
and 500 test images, in test mode.

A related question, the premise (Section 2 of the paper): gradient descent is slow along directions
of small variance. For the digits as inputs, raw, standardized and whitened: the condition number of
the covariance (exact: largest over smallest eigenvalue of the directions that vary), and the steps
of gradient descent on all images that softmax regression needs.

Values: ``condition`` (input); ``input_steps`` to a loss of 0.1 on all training images (input,
rate), inputs in the order of `INPUTS`; ``steps`` until the training loss is below 0.1 (activation,
arm, rate), and ``error`` in percent where the budget ends, in the order of `ACTIVATIONS` and
`ARMS`; steps are infinite where the budget ended the run, ``input_steps`` also where it took twice
as long as another rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, count, graded, mean, median
from dlnorm.experiments._curves import Ruler, follow
from dlnorm.experiments._draw import censored_bars
from dlnorm.experiments._intervals import Interval, interval, ratio
from dlnorm.experiments._networks import Norm, loss_below, mlp, steps_until, streams
from dlnorm.nn.initializers import Init
from dlnorm.nn.layer import Mode
from dlnorm.plotting import INK, NORM_COLOR, Shown, show, subplots
from dlnorm.standardize import standardize
from dlnorm.whitening import zca_whiten_backward, zca_whiten_forward

KIND = "the paper's finding"
INPUTS = ("raw", "standardized", "whitened (ZCA)")
RAW, STANDARD, WHITE = range(3)
#: Some corner pixels never have ink: their variance is 0 and must not be divided by.
EPS = 1e-5
#: Small enough to bring up the directions of least variance that the digits have, about 1e-6.
ZCA_EPS = 1e-6
#: What the loss has to fall below.
LEARNED = 0.1
DEPTH, WIDTH = 4, 24
ACTIVATIONS: dict[str, tuple[Callable[[], nn.Layer], Init]] = {
    "ReLU": (nn.ReLU, "he"),
    "tanh": (nn.Tanh, "glorot"),
}
#: The rate at which arms are compared at equal rates.
EQUAL = 0.3


class Whiten(nn.Layer):
    """Whiten the batch by ZCA; then gamma and beta, as in batch norm.

    Parameters
    ----------
    features : int
    eps : float
        As in `dlnorm.zca_whiten_forward`.
    momentum : float
        What the running mean and the running covariance keep of their old value.
    """

    def __init__(self, features: int, eps: float, momentum: float = 0.9) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.params["gamma"], self.params["beta"] = np.ones(features), np.zeros(features)
        self.memory["running_mean"] = np.zeros(features)
        self.memory["running_cov"] = np.eye(features)

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the whitened batch, and in train mode move the running statistics."""
        if mode == "train":
            white, cache = zca_whiten_forward(x, self.eps)
            center, axes, std = cache.whitening
            seen = {"running_mean": center, "running_cov": axes * (std**2 - self.eps) @ axes.T}
            self.memory = {
                key: self.momentum * old + (1 - self.momentum) * seen[key]
                for key, old in self.memory.items()
            }
            self._cache = white, cache
        else:
            variances, axes = np.linalg.eigh(self.memory["running_cov"])
            along = (x - self.memory["running_mean"]) @ axes / np.sqrt(variances + self.eps)
            white = along @ axes.T
        y: Array = white * self.params["gamma"] + self.params["beta"]
        return y

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        white, cache = self._kept()
        self.grads["gamma"] = (dout * white).sum(axis=0)
        self.grads["beta"] = dout.sum(axis=0)
        return zca_whiten_backward(dout * self.params["gamma"], cache)


def _whiten(eps: float) -> Norm:
    return lambda features: Whiten(features, eps)


ARMS: dict[str, Norm | None] = {
    "no norm": None,
    "batch norm": nn.BatchNorm,
    "whitening, ε 0.001": _whiten(1e-3),
    "whitening, ε 0.1": _whiten(1e-1),
}
PLAIN, BATCH, SHARP, SOFT = range(4)


@dataclass(frozen=True)
class Settings(BaseSettings):
    """The rates that are tried for inputs and in networks, and how long the training may take."""

    input_rates: tuple[float, ...]
    input_budget: int
    rates: tuple[float, ...]
    budget: int
    every: int = 4
    batch_size: int = 200

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1), input_rates=(10.0,), input_budget=100, rates=(1.0,), budget=40, every=8)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(
            tuple(range(10)),
            input_rates=(1.0, 3.0, 10.0, 30.0, 100.0),
            input_budget=300,
            rates=(0.1, EQUAL, 1.0, 3.0, 10.0),
            budget=144,
        )


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's condition numbers, and steps and errors of all trainings."""
    data = nn.digits(seed)
    condition_numbers, input_steps = _inputs(settings, seed, data)
    ruler = Ruler.of(data, samples=500)
    steps = np.empty((len(ACTIVATIONS), len(ARMS), len(settings.rates)))
    error = np.empty_like(steps)
    for (i, (activation, init)), (a, norm), (r, rate) in product(
        enumerate(ACTIVATIONS.values()), enumerate(ARMS.values()), enumerate(settings.rates)
    ):
        random = streams(seed)
        trainer = nn.Trainer(
            mlp((64, *[WIDTH] * DEPTH, 10), random, activation=activation, norm=norm, init=init),
            nn.SGD(rate),
            data,
            batch_size=settings.batch_size,
            seed=random.order,
        )
        curve = follow(trainer, ruler, settings.budget, every=settings.every)
        steps[i, a, r], error[i, a, r] = curve.first(loss=LEARNED), curve.error[-1]
    return {
        "condition": condition_numbers,
        "input_steps": input_steps,
        "steps": steps,
        "error": error,
    }


def _inputs(settings: Settings, seed: int, data: nn.Data) -> tuple[Array, Array]:
    """Return the condition number and the steps at every rate, for each input."""
    x = data.x_train
    inputs = (x, standardize(x, 0, EPS)[0], zca_whiten_forward(x, ZCA_EPS)[0])
    steps = np.full((len(INPUTS), len(settings.input_rates)), np.inf)
    for (i, z), (r, rate) in product(enumerate(inputs), enumerate(settings.input_rates)):
        network = nn.Sequential(nn.Linear(64, 10, streams(seed).weights, init=0.0))
        trainer = nn.Trainer(
            network, nn.SGD(rate), data._replace(x_train=z), batch_size=len(x), seed=seed
        )
        # the batch is all training images: its loss is clean
        budget = int(min([settings.input_budget, *(2 * steps[i, :r])]))
        steps[i, r] = steps_until(trainer, loss_below(LEARNED, batches=1), budget)
    return np.array([condition(z) for z in inputs]), steps


def condition(x: Array, nothing: float = 1e-8) -> float:
    """Return the condition number of the covariance, over directions that vary at all."""
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    varying = eigenvalues[eigenvalues > nothing]
    return float(varying[-1] / varying[0])


def fewest(result: Result[Settings]) -> Array:
    """Return the steps of each input at its best rate, median over seeds."""
    best: Array = median(result["input_steps"]).min(axis=-1)
    return best


def equal(result: Result[Settings], key: str) -> Array:
    """Return steps or errors at equal rates, (seed, activation, arm)."""
    values: Array = result[key][..., result.settings.rates.index(EQUAL)]
    return values


def tuned(result: Result[Settings], key: str) -> tuple[Array, Array]:
    """Return each arm's best rate, (activation, arm), and steps or errors there.

    Best is judged by the median over seeds for ``steps``, by the mean for ``error``.
    """
    by_rate = (median if key == "steps" else mean)(result[key])
    best = by_rate.argmin(axis=-1)
    values = np.take_along_axis(result[key], best[np.newaxis, ..., np.newaxis], axis=-1)
    return np.array(result.settings.rates)[best], values[..., 0]


def factors(result: Result[Settings], steps: Array, arm: int, other: int) -> list[Interval]:
    """Return for each activation how many times as many steps one arm takes as another."""
    return [
        ratio(steps[:, i, arm], steps[:, i, other], result.settings.budget)
        for i in range(len(ACTIVATIONS))
    ]


def points(error: Array, arm: int, other: int) -> list[Interval]:
    """Return for each activation how many points of error one arm has more than another."""
    return [interval(error[:, i, arm] - error[:, i, other]) for i in range(len(ACTIVATIONS))]


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether the better whitening beats no norm in steps, and batch norm in both ways."""
    steps, error = tuned(result, "steps")[1], tuned(result, "error")[1]
    limit = result.settings.budget
    against_plain = factors(result, steps, SOFT, PLAIN)
    against_batch = factors(result, steps, SOFT, BATCH)
    cost = points(error, SOFT, BATCH)
    shown = "; ".join(
        f"{activation}: "
        + ", ".join(
            f"{name} {count(n, limit)} and {e:.1f} %"
            for name, n, e in zip(ARMS, median(steps)[i], mean(error)[i], strict=True)
        )
        for i, activation in enumerate(ACTIVATIONS)
    )
    raw, standard, white = mean(result["condition"])
    inputs = ", ".join(count(n, result.settings.input_budget) for n in fewest(result))
    text = (
        f"steps to a clean loss of {LEARNED} and test error, at each arm's best rate. {shown}. "
        f"Whitening (ε 0.1) takes {against_batch[0]:.2f} and {against_batch[1]:.2f} times the "
        f"steps of batch norm, and its error is larger by {cost[0]:.1f} and {cost[1]:.1f} points. "
        f"As inputs: condition number {raw:.1e} raw, {standard:.0f} standardized, {white:.1f} "
        f"whitened; steps {inputs}."
    )
    beats = (
        all(factor.high < 1 for factor in against_plain),
        all(factor.high < 1 for factor in against_batch),
        all(difference.high < 0 for difference in cost),
    )
    return Verdict(graded(*beats), text)


def inputs_figure(result: Result[Settings]) -> Shown:
    """Draw condition numbers and steps of the three inputs."""
    fig, axes = subplots(ncols=2, sharey=True)
    steps, limit = fewest(result), result.settings.input_budget
    shown = np.minimum(steps, limit)
    colors = (NORM_COLOR["none"], NORM_COLOR["batch"], NORM_COLOR["whitening"])
    for ax, values in zip(axes, (mean(result["condition"]), shown), strict=True):
        ax.barh(INPUTS, values, color=colors, height=0.6)
        for i, value in enumerate(values):
            text = f" {value:.2g}" if value < 100 else f" {value:,.0f}"
            ax.text(value, i, text, va="center")
    axes[0].invert_yaxis()
    axes[0].set(xscale="log", xlabel="condition number", xlim=(1, 1e8))
    axes[1].set(xlabel="steps at the best rate", xlim=(0, 1.25 * shown.max()))
    raw, standard, white = mean(result["condition"])
    return show(
        fig,
        alt=f"Left: condition number of the input's covariance, {raw:.1e} raw, {standard:.0f} "
        f"standardized, {white:.1f} whitened. Right: steps of gradient descent to a loss of "
        f"{LEARNED} at the best rate for each, {', '.join(count(n, limit) for n in steps)}.",
    )


def figure(result: Result[Settings]) -> Shown:
    """Draw the steps and the errors of every arm, for both activations."""
    fig, axes = subplots(ncols=3, sharey=True, height=2.8, width_ratios=(1, 1, 1))
    limit, steps = result.settings.budget, tuned(result, "steps")[1]
    error, places = tuned(result, "error")[1], np.arange(len(ARMS))
    colors = [NORM_COLOR[n] for n in ("none", "batch", "whitening", "whitening")]
    for i, (ax, activation) in enumerate(zip(axes[:2], ACTIVATIONS, strict=True)):
        censored_bars(ax, steps[:, i], limit, colors)
        ax.set(xlabel="steps", title=activation)
    for i, (marker, activation) in enumerate(zip("so", ACTIVATIONS, strict=True)):
        bars = [interval(error[:, i, arm]) for arm in places]
        axes[2].errorbar([bar.middle for bar in bars], places + 0.2 * (i - 0.5),
                         xerr=[bar.high - bar.middle for bar in bars], fmt=marker, color=INK,
                         ms=4, capsize=2, label=activation)  # fmt: skip
    axes[2].set(xlabel="test error, %", xlim=(0, None))
    axes[2].legend(fontsize=9, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False,
                   handletextpad=0.2, columnspacing=1)  # fmt: skip
    axes[0].set_yticks(places, ARMS)
    axes[0].invert_yaxis()
    middle = median(steps)
    told = "; ".join(
        f"{name} {count(relu, limit)} and {count(tanh, limit)} steps, "
        f"{mean(error)[0, a]:.1f} and {mean(error)[1, a]:.1f} % errors"
        for a, (name, relu, tanh) in enumerate(zip(ARMS, *middle, strict=True))
    )
    return show(
        fig,
        alt=f"Steps to a clean training loss of {LEARNED} and test errors with ReLU and with tanh, "
        f"each arm at its best rate: {told}.",
    )
