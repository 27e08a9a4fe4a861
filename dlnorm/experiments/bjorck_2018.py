"""Batch norm allows larger rates and at an equal small one gains no accuracy; the speed is there.

A test of the paper's finding.

Bjorck et al. (2018), abstract: batch norm "primarily enables training with larger learning rates,
which is the cause for faster convergence and better generalization". Section 2: at the small rate
that a network without norms needs, batch norm brings no better accuracy.

What is different here: five hidden layers of 50 ReLU units on digits instead of a residual network
on CIFAR-10; hundreds of steps instead of hundreds of epochs; layer norm, RMS norm and mean-only
batch norm beside the two. The control for "because of the rate" is batch norm itself at rates that
the network without norms can use: if the rate is the cause, it must be slower and worse there.

Two questions of ours. Is it the hidden layers that set the largest usable rate? The output layer
has no norm. The control holds its rate at `HELD` while those of all other layers vary. And are the
largest rates in the order of how well a norm keeps samples apart? For this, cosines between the
hidden vectors of images are measured before training.

Values: each of the first three (output, arm, rate). ``loss`` of 200 fixed training images and
``error`` of 500 test images in percent after the whole budget, both in test mode; infinite and 100
where numbers stopped being finite; a run whose loss is above 2 after a third of the budget is
given up, and that loss is its last. ``steps`` until that loss is below 0.1 for the first time,
infinite if it never is. Output 0 has the rate of the other layers, output 1 is held at `HELD`;
arms in the order of `ARMS`. ``cosine``, (arm, layer), between the hidden vectors of two images:
mean over pairs of 200 training images, before the first step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, median
from dlnorm.experiments._curves import Ruler, follow
from dlnorm.experiments._intervals import Interval, interval, ratio
from dlnorm.experiments._networks import Norm, mlp, streams
from dlnorm.plotting import INK, NORM_COLOR, Shown, show, subplots

KIND = "the paper's finding"
ARMS: dict[str, Norm | None] = {
    "no norm": None,
    "layer norm": nn.LayerNorm,
    "RMS norm": nn.RMSNorm,
    "mean-only": nn.MeanOnlyBatchNorm,
    "batch norm": nn.BatchNorm,
}
PLAIN, LAYER, RMS, MEAN_ONLY, BATCH = range(5)
COLORS = tuple(NORM_COLOR[key] for key in ("none", "layer", "rms", "mean-only", "batch"))
DEPTH, WIDTH = 5, 50
SIZES = (64, *[WIDTH] * DEPTH, 10)
#: Below this a loss counts as fast, or at the end as trained; above it, later, as hopeless.
FAST, TRAINED, HOPELESS = 0.1, 0.5, 2.0
#: The rate of the output layer in the control.
HELD = 0.1
#: The small rate at which accuracies are compared, the first of the grid.
EQUAL = 0.1


class HeldOutput(nn.SGD):
    """Gradient descent in which some parameters have a rate of their own."""

    def __init__(self, lr: float, held: tuple[str, ...], rate: float) -> None:
        super().__init__(lr)
        self.held, self.factor = held, rate / lr

    def step(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change every parameter."""
        slowed = {name: grads[name] * self.factor for name in self.held}
        super().step(params, {**grads, **slowed})


@dataclass(frozen=True)
class Settings(BaseSettings):
    """The rates that are tried, ascending, how long each run is, and with which outputs."""

    rates: tuple[float, ...]
    budget: int
    held: bool
    every: int = 15
    batch_size: int = 50

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1), rates=(EQUAL, 3.0), budget=90, held=False, every=30)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(10)), rates=(EQUAL, 0.3, 1.0, 3.0, 10.0), budget=405, held=True)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's losses, errors and steps, and its cosines."""
    data = nn.digits(seed)
    often, last = Ruler.of(data), Ruler.of(data, 500)
    third = settings.budget // 3
    loss, error, steps = np.empty((3, 1 + settings.held, len(ARMS), len(settings.rates)))
    cosine = np.empty((len(ARMS), DEPTH))
    for (a, norm), (r, rate) in product(enumerate(ARMS.values()), enumerate(settings.rates)):
        for output in range(1 + settings.held):
            where = output, a, r
            if output and rate == HELD:  # the same run once more
                for values in (loss, error, steps):
                    values[where] = values[0, a, r]
                continue
            random = streams(seed)
            network = mlp(SIZES, random, norm=norm)
            top = tuple(network.params)[-2:]  # weights and bias of the output layer
            trainer = nn.Trainer(
                network,
                HeldOutput(rate, top, HELD) if output else nn.SGD(rate),
                data,
                batch_size=settings.batch_size,
                seed=random.order,
            )
            curve = follow(trainer, often, third, every=settings.every)
            steps[where], loss[where] = curve.first(loss=FAST), curve.loss[-1]
            if loss[where] <= HOPELESS:
                curve = follow(trainer, often, settings.budget - third, every=settings.every)
                steps[where] = min(steps[where], curve.first(loss=FAST))
                loss[where] = curve.loss[-1]
            error[where] = last.read(network)[1]
        cosine[a] = _cosines(mlp(SIZES, streams(seed), norm=norm), often.x[: often.training])
    return {"loss": loss, "error": error, "steps": steps, "cosine": cosine}


def _cosines(network: nn.Sequential, x: Array) -> list[float]:
    """Return the mean cosine of two images' hidden vectors, layer by layer."""
    found = []
    for layer in network:
        x = layer.forward(x, "train")
        if isinstance(layer, nn.ReLU):
            unit = x / np.linalg.norm(x, axis=1, keepdims=True)
            pairs = len(x) * (len(x) - 1)
            found.append(float((unit @ unit.T).sum() - len(x)) / pairs)
    return found


def largest(result: Result[Settings]) -> Array:
    """Return the largest rate that trained most of the seeds, (output, arm); 0 if none did."""
    trained = median(result["loss"]) < TRAINED
    rates: Array = np.where(trained, result.settings.rates, 0.0).max(axis=-1)
    return rates


def best(result: Result[Settings]) -> Array:
    """Return where in the grid each arm ends with the smallest loss, by median over seeds."""
    where: Array = median(result["loss"])[0].argmin(axis=-1)
    return where


def beyond(result: Result[Settings]) -> int:
    """Return where batch norm's loss is smallest among the rates that no norm cannot use.

    The last of the grid if there are none.
    """
    above = np.array(result.settings.rates) > largest(result)[0, PLAIN]
    loss = np.where(above, median(result["loss"])[0, BATCH], np.inf)
    return int(loss.argmin()) if np.isfinite(loss).any() else len(loss) - 1


def gain(result: Result[Settings], arm: int, at: int, other: int, other_at: int) -> Interval:
    """Return by how many points of test error one arm at one rate is better than another."""
    error = result["error"][:, 0]
    return interval(error[:, other, other_at] - error[:, arm, at])


def speed(result: Result[Settings], arm: int, at: int, other: int, other_at: int) -> Interval:
    """Return how many times as many steps one arm takes at one rate as another."""
    steps = result["steps"][:, 0]
    return ratio(steps[:, arm, at], steps[:, other, other_at], result.settings.budget)


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether batch norm allows larger rates, gains only there, and is faster by them."""
    rates, ceilings = result.settings.rates, largest(result)
    plain, far = best(result)[PLAIN], beyond(result)
    same = gain(result, BATCH, 0, PLAIN, 0)
    better = gain(result, BATCH, far, BATCH, 0)
    equally = speed(result, BATCH, plain, PLAIN, plain)
    faster = speed(result, BATCH, far, BATCH, plain)
    shown = [
        ", ".join(
            f"{name} {rate:g}" + (" or more" if rate == rates[-1] else "")
            for name, rate in zip(ARMS, row, strict=True)
        )
        for row in ceilings
    ]
    held = f" (with the output layer's held at {HELD:g}: {shown[1]})" if len(shown) > 1 else ""
    text = (
        f"largest usable learning rate: {shown[0]}{held}. At the equal rate {rates[0]:g} batch "
        f"norm's test error is lower by {same:.2f} points than that of no norm; at "
        f"{rates[far]:g}, a rate that no norm cannot use, it is lower by {better:.2f} than at "
        f"{rates[0]:g}. "
        f"At no norm's best rate, {rates[plain]:g}, batch norm takes {equally:.2f} times its steps "
        f"to a loss of {FAST:g}; at {rates[far]:g} it takes {faster:.2f} times as many as there."
    )
    findings = (
        bool(ceilings[0, BATCH] >= 5 * ceilings[0, PLAIN] > 0),
        same.low <= 0 and same.high < 1,
        better.low > 0,
        faster.high < 1,
    )
    return Verdict(graded(*findings), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the final loss against the rate, with the output layer's rate free and held."""
    rates, unlearned = np.array(result.settings.rates), np.log(10)
    outputs = result["loss"].shape[1]
    fig, axes = subplots(ncols=outputs, sharey=True, width=3.3 * outputs, height=3.4)
    for output, ax in enumerate(np.atleast_1d(axes)):
        for arm, (name, color) in enumerate(zip(ARMS, COLORS, strict=True)):
            # the worst that a curve can show: broken off is as good as knowing nothing
            loss = np.log10(np.minimum(result["loss"][:, output, arm], unlearned))
            bars = [interval(loss[:, r]) for r in range(len(rates))]
            middle = 10 ** np.array([bar.middle for bar in bars])
            ends = 10 ** np.array([[bar.low, bar.high] for bar in bars])
            ax.errorbar(rates, middle, np.abs(ends.T - middle), color=color, label=name,
                        marker="osv^D"[arm], ms=4, capsize=2)  # fmt: skip
        ax.axhline(unlearned, ls=":", lw=1, color=INK)
        ax.set(xscale="log", yscale="log", xlabel="learning rate")
        ax.set_title(("one rate for all layers", f"output layer at {HELD:g}")[output], fontsize=11)
    axes = np.atleast_1d(axes)
    axes[0].set(ylabel="final loss", ylim=(6e-4, 5))
    fig.legend(*axes[0].get_legend_handles_labels(), fontsize=10, ncols=3,
               loc="outside upper center")  # fmt: skip
    told = " and ".join(
        ", ".join(f"{name} {rate:g}" for name, rate in zip(ARMS, row, strict=True))
        for row in largest(result)
    )
    return show(
        fig,
        alt=f"Final training loss against the learning rate for five networks. Each loss is small "
        f"up to a largest usable rate and then that of guessing. Largest rates: {told}.",
    )
