"""Batch norm speeds training up, tuned or not; with statistics from outside the step it breaks.

A test of the paper's finding.

Ioffe & Szegedy (2015), Section 4.1 and Figure 1a: a network of three hidden layers of 100 sigmoid
units, trained on MNIST from small random weights, learns in far fewer steps with batch norm.
Section 2: if the gradient does not know of the normalization, a bias grows while the loss stays,
and in experiments "the model blows up when the normalization parameters are computed outside the
gradient descent step".

What is different here: small digits instead of MNIST. Beside the same start and rate for both
networks, each is given the best start and rate of a grid. For Section 2, three hidden layers of 50
units, three activations and several rates, and three kinds of statistics: those of the batch with
the true gradient; those of the batch, taken for constants by the gradient alone, which is the
control with the same forward pass; and moving averages, which the forward pass uses as well.

Steps are counted until 90 % of 250 fixed test images are right, in test mode. The loss is that of
200 fixed training images; where a network was trained with the statistics of batches, it is read
with those of 600 training images, since running averages lag behind a bias that grows.

Values: ``steps`` to 90 %, (norm, start, rate), norm 0 without and 1 with batch norm, infinite where
the budget ended the run or it took twice as long as another of the same norm and seed; ``loss``
and ``bias``, (activation, statistics, rate), the loss at the end and the length of the bias of the
second layer, both infinite where numbers stopped being finite; in the orders of `ACTIVATIONS` and
`STATISTICS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, count, graded, median
from dlnorm.experiments._curves import Ruler
from dlnorm.experiments._draw import censored_bars
from dlnorm.experiments._intervals import Interval, interval, ratio
from dlnorm.experiments._networks import mlp, steps_until, streams
from dlnorm.nn.layer import Mode
from dlnorm.plotting import INK, NORM_COLOR, ORANGE, PINK, Shown, show, subplots

KIND = "the paper's finding"
SIZES = (64, 100, 100, 100, 10)
#: Small weights, and the rate at which networks are compared from this start.
START, EQUAL = 0.1, 0.5
ACTIVATIONS: dict[str, Callable[[], nn.Layer]] = {
    "ReLU": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
STATISTICS = ("true gradient", "constants", "moving averages")
TRUE, CONSTANT, MOVING = range(3)
#: A loss below this is that of a network that has learned.
TRAINED = 0.5


class MovingAverages(nn.BatchNorm):
    """Batch norm that standardizes with its running statistics in train mode, too."""

    def forward(self, x: Array, mode: Mode) -> Array:
        """Move the running statistics in train mode, and return the batch, normalized by them."""
        if mode == "train":
            a = self.momentum
            mean, var = self.memory["running_mean"], self.memory["running_var"]
            self.memory = {
                "running_mean": a * mean + (1 - a) * x.mean(axis=0),
                "running_var": a * var + (1 - a) * x.var(axis=0),
            }
        return super().forward(x, "test")


@dataclass(frozen=True)
class Settings(BaseSettings):
    """The spreads of the first weights and the rates, for the speed; rates, for Section 2."""

    starts: tuple[float, ...]
    rates: tuple[float, ...]
    budget: int
    constant_rates: tuple[float, ...]
    constant_steps: int
    every: int = 5
    batch_size: int = 60

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls(
            (0, 1, 2),
            starts=(START, 0.8),
            rates=(EQUAL,),
            budget=150,
            constant_rates=(3.0,),
            constant_steps=30,
        )

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(
            tuple(range(10)),
            starts=(START, 0.4, 0.8, 1.6),
            rates=(0.15, EQUAL, 1.5, 5.0, 15.0),
            budget=3000,
            constant_rates=(0.03, 0.3, 1.0, 3.0, 10.0, 30.0),
            constant_steps=200,
        )


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's steps, losses and biases."""
    data = nn.digits(seed)
    shape = (len(ACTIVATIONS), len(STATISTICS), len(settings.constant_rates))
    loss, bias = np.empty((2, *shape))
    for a, s, r in np.ndindex(shape):
        activation = list(ACTIVATIONS.values())[a]
        loss[a, s, r], bias[a, s, r] = _constant(
            data, activation, s, settings.constant_rates[r], settings.constant_steps, seed
        )
    return {"steps": _steps(settings, data, seed), "loss": loss, "bias": bias}


def _steps(settings: Settings, data: nn.Data, seed: int) -> Array:
    """Return the steps to 90 % of both networks, from every start at every rate."""
    steps = np.full((2, len(settings.starts), len(settings.rates)), np.inf)

    def reached(t: nn.Trainer) -> bool:
        return nn.error_percent(t.network, data.x_test[:250], data.y_test[:250]) <= 10

    def in_turn(cell: tuple[int, ...]) -> tuple[float, float]:
        """Put the equal comparison first, then what is fast, so that slow cells are given up."""
        start, rate = settings.starts[cell[0]], settings.rates[cell[1]]
        equal = start == START and rate == EQUAL
        return (-1 if equal else abs(start - 0.8)), abs(rate - 1.5)

    cells = sorted(np.ndindex(steps.shape[1:]), key=in_turn)
    for norm in (0, 1):
        for i, r in cells:
            random = streams(seed)
            network = mlp(
                SIZES,
                random,
                activation=nn.Sigmoid,
                norm=nn.BatchNorm if norm else None,
                init=settings.starts[i],
            )
            trainer = nn.Trainer(
                network,
                nn.SGD(settings.rates[r]),
                data,
                batch_size=settings.batch_size,
                seed=random.order,
            )
            limit = int(min(settings.budget, 2 * steps[norm].min()))
            steps[norm, i, r] = steps_until(trainer, reached, limit, settings.every)
    return steps


def _constant(
    data: nn.Data,
    activation: Callable[[], nn.Layer],
    statistics: int,
    rate: float,
    steps: int,
    seed: int,
) -> tuple[float, float]:
    """Return the loss after some steps, and the length of a bias in front of a norm."""
    random = streams(seed)

    def norm(features: int) -> nn.Layer:
        if statistics == MOVING:
            return MovingAverages(features)
        return nn.BatchNorm(features, constant_statistics=statistics == CONSTANT)

    network = mlp((64, 50, 50, 50, 10), random, norm=norm, activation=activation)
    trainer = nn.Trainer(network, nn.SGD(rate), data, batch_size=50, seed=random.order)
    trainer.fit(steps=steps, disable=True)
    if trainer.diverged is not None:
        return np.inf, np.inf
    if statistics != MOVING:
        for layer in network:
            if isinstance(layer, nn.BatchNorm):
                layer.momentum = 0.0  # the running statistics become those of the next batch
        network.forward(data.x_train[:600], "train")
    return Ruler.of(data).read(network)[0], float(np.linalg.norm(network.params["3.b"]))


def tuned(result: Result[Settings]) -> tuple[list[tuple[int, int]], Array]:
    """Return each norm's best cell, (start, rate), by median over seeds, and the steps there."""
    by_cell = median(result["steps"])
    cells = [tuple(np.unravel_index(cell.argmin(), cell.shape)) for cell in by_cell]
    steps = [result["steps"][:, norm, i, r] for norm, (i, r) in enumerate(cells)]
    return [(int(i), int(r)) for i, r in cells], np.stack(steps, axis=1)


def compared(result: Result[Settings]) -> Array:
    """Return the steps from small weights at the equal rate, (seed, norm)."""
    s = result.settings
    steps: Array = result["steps"][:, :, s.starts.index(START), s.rates.index(EQUAL)]
    return steps


def faster(result: Result[Settings], steps: Array) -> Interval:
    """Return how many times as many steps the network without norm takes."""
    return ratio(steps[:, 0], steps[:, 1], result.settings.budget)


def largest(result: Result[Settings]) -> Array:
    """Return the largest rate that trained most of the seeds, (activation, statistics)."""
    trained = median(result["loss"]) < TRAINED
    rates: Array = np.where(trained, result.settings.constant_rates, 0.0).max(axis=-1)
    return rates


def worse(result: Result[Settings], statistics: int) -> list[list[Interval]]:
    """Return how many times as large the loss is as with the true gradient, (activation, rate)."""
    loss = result["loss"]
    return [
        [
            ratio(loss[:, a, statistics, r], loss[:, a, TRUE, r], 1e3)
            for r in range(len(result.settings.constant_rates))
        ]
        for a in range(len(ACTIVATIONS))
    ]


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether batch norm was faster, a bias grew, and statistics from outside break it."""
    same, (_, best) = compared(result), tuned(result)
    gain, gain_best = faster(result, same), faster(result, best)
    limit, ceilings = result.settings.budget, largest(result)
    at = len(result.settings.constant_rates) // 4  # a rate at which nothing breaks
    bias = median(result["bias"])[:, :, at]
    rates = result.settings.constant_rates
    held = "; ".join(
        f"{name}: "
        + ", ".join(f"{rate:g}" + (" or more" if rate == rates[-1] else "") for rate in row)
        for name, row in zip(ACTIVATIONS, ceilings, strict=True)
    )
    shown = [count(n, limit) for n in (*median(same), *median(best))]
    text = (
        f"steps to 90 % from small weights at the rate {EQUAL:g}: {shown[0]} without and "
        f"{shown[1]} with batch norm, {gain:.1f} times as many; at the best start and rate of "
        f"each {shown[2]} and {shown[3]}, {gain_best:.1f} times as many. With constant statistics "
        f"a bias grows at the rate {rates[at]:g} to {bias[0, CONSTANT]:.1f} with ReLU (true "
        f"gradient: {bias[0, TRUE]:.0e}). The largest usable rate with the true gradient, with "
        f"constants and with moving averages is {held}."
    )
    return Verdict(
        graded(
            gain.low > 1,
            gain_best.low > 1,
            bool((bias[:, CONSTANT] > 100 * bias[:, TRUE]).all()),
            bool((ceilings[:, MOVING] < ceilings[:, TRUE]).all()),
        ),
        text,
    )


def figure(result: Result[Settings]) -> Shown:
    """Draw the steps with and without batch norm, and the loss with three kinds of statistics."""
    fig, axes = subplots(ncols=2, nrows=2, width=6.6, height=5.6)
    first, *others = np.ravel(axes)
    limit, (_, best) = result.settings.budget, tuned(result)
    same, rates = compared(result), np.array(result.settings.constant_rates)
    colors = (NORM_COLOR["none"], NORM_COLOR["batch"]) * 2
    censored_bars(first, np.concatenate([same, best], axis=1), limit, colors)
    first.set_yticks(range(4), ["none, equal", "batch, equal", "none, best", "batch, best"])
    first.invert_yaxis()
    first.set_xlabel("steps to 90 %")
    unlearned = np.log(10)
    for a, (ax, name) in enumerate(zip(others, ACTIVATIONS, strict=True)):
        for s, color in enumerate((NORM_COLOR["batch"], ORANGE, PINK)):
            # the worst that a curve can show: a network that knows nothing
            loss = np.log10(np.minimum(result["loss"][:, a, s], unlearned))
            bars = [interval(loss[:, r]) for r in range(len(rates))]
            middle = 10 ** np.array([bar.middle for bar in bars])
            ends = 10 ** np.array([[bar.low, bar.high] for bar in bars])
            ax.errorbar(rates, middle, np.abs(ends.T - middle), color=color, marker="os^"[s],
                        ms=4, capsize=2, label=STATISTICS[s])  # fmt: skip
        ax.axhline(unlearned, ls=":", lw=1, color=INK)
        ax.set(xscale="log", yscale="log", ylim=(2e-3, 5), xlabel="learning rate", title=name)
        ax.set_ylabel("final loss")
    fig.legend(*others[0].get_legend_handles_labels(), ncols=3, fontsize=10,
               loc="outside upper center")  # fmt: skip
    told = [count(n, limit) for n in (*median(same), *median(best))]
    breaks = ", ".join(
        f"{name} {rate:g}"
        for name, rate in zip(ACTIVATIONS, largest(result)[:, MOVING], strict=True)
    )
    return show(
        fig,
        alt=f"Steps to 90 %: {told[0]} without and {told[1]} with batch norm from the same start "
        f"at the same rate, {told[2]} and {told[3]} at the best of each. Final loss against the "
        f"rate for three activations: with moving averages it jumps up at rates above {breaks}; "
        f"with the true gradient it stays small.",
    )
