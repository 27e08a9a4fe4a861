r"""Dropout before batch norm shifts its variance; what it costs is the noise, not the shift.

A test of the paper's finding. The formula in it is exact.

Li et al. (2018), Section 3: dropout multiplies the variance of a unit while training; the running
variance of a batch norm after it remembers that, and at test time, without dropout, it meets a
smaller one. With the mean c and the variance v of the unit and the probability q to keep, the
ratio of the two is v / ((c^2 + v) / q - c^2): this is exact. The paper sees in the shift the reason
why networks with dropout before batch norm make more mistakes. Its Section 4: noise that is uniform
between 1 - 0.1 and 1 + 0.1 ("Uout") shifts the variance by next to nothing.

What is different here: four layers of ReLU units on digits instead of residual networks on CIFAR,
at three widths, all with p = 0.5 (which is not tuned) and the same number of steps. Two controls
take the harm apart. Recalibration replaces the running statistics by those that test mode meets: it
takes away the shift and nothing else. And the same dropout in the same places of networks without
batch norm: noise, and nothing that it could shift.

Each arm is run at every rate of a grid (one grid with batch norm, one without), and compared at its
own best rate and at the middle one. A rate that is behind the middle one early in the training is
given up, and its network counts as it is then. A network is judged by the 500 test images in test
mode, with the noise off.

Values: ``error`` of the test images in percent, (norm, width, place, rate, state): norm 0 batch
norm, 1 none; state 0 as trained, 1 recalibrated, which without batch norm is the same; ``halfway``
(norm, width, place, rate), as trained, after half of the steps; ``shift`` (width, place, layer),
the running variance over the one in test mode, each summed over units, at the middle rate; ``uout``
(layer), the same for Uout right before batch norm in the widest network; ``formula`` (noise, 2),
the variance without over that with noise, mean over units, measured (0) and from the formula (1).
Places are in the order of `PLACES`, noises in that of `NOISES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean
from dlnorm.experiments._curves import Ruler
from dlnorm.experiments._intervals import Interval, interval
from dlnorm.experiments._networks import Streams, streams
from dlnorm.plotting import BLUE, GRAY, GREEN, INK, ORANGE, PINK, Shown, show, subplots

Noise = Callable[[np.random.Generator], nn.Layer]

KIND = "the paper's finding"
BETA = 0.1
#: Each noise with the mean of its squared factor, which is all the formula needs to know of it.
NOISES: dict[str, tuple[Noise, float]] = {
    "dropout, p = 0.5": (lambda rng: nn.Dropout(0.5, rng), 1 / 0.5),
    "dropout, p = 0.2": (lambda rng: nn.Dropout(0.2, rng), 1 / 0.8),
    "Gaussian, p = 0.5": (lambda rng: nn.GaussianDropout(0.5, rng), 1 / 0.5),
    "Uout, beta = 0.1": (lambda rng: nn.UniformDropout(BETA, rng), 1 + BETA**2 / 3),
}
PLACES = ("no dropout", "right before", "through a linear layer")
NONE, RIGHT, LINEAR = range(3)
#: Not one of the places whose errors are compared: here only the shift is of interest.
UOUT = 3
BATCH, PLAIN = range(2)
AS_TRAINED, RECALIBRATED = range(2)
DEPTH = 4


@dataclass(frozen=True)
class Settings(BaseSettings):
    """How wide networks are, and at which rates they are trained, with batch norm and without."""

    widths: tuple[int, ...]
    rates: tuple[tuple[float, ...], tuple[float, ...]]
    early: int
    steps: int
    draws: int
    n_train: int = 1000
    batch_size: int = 50

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1), widths=(32,), rates=((0.05,), (0.02,)), early=40, steps=80, draws=12)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(
            tuple(range(10)),
            widths=(8, 32, 128),
            rates=((0.005, 0.05, 0.5), (0.001, 0.02, 0.2)),
            early=100,
            steps=500,
            draws=30,
        )


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors, shifts and ratios."""
    data = nn.digits(seed, n_train=settings.n_train)
    ruler = Ruler.of(data, samples=500)
    middle, places = len(settings.rates[0]) // 2, (NONE, RIGHT, LINEAR)
    error = np.empty((2, len(settings.widths), len(places), len(settings.rates[0]), 2))
    halfway = np.empty(error.shape[:-1])
    shift = np.empty((len(settings.widths), len(places), DEPTH))

    def train(
        norm: int, width: int, place: int, rate: float, best: float
    ) -> tuple[nn.Sequential, list[tuple[float, float]]]:
        """Return a network, and its loss and error early, after half of the steps and at the end.

        It is given up, and only the first of the three returned, if its loss is not below `best`.
        """
        random = streams(seed)
        network = _network(norm, place, width, random)
        trainer = nn.Trainer(
            network, nn.SGD(rate, 0.9), data, batch_size=settings.batch_size, seed=random.order
        )
        readings: list[tuple[float, float]] = []
        for step in (settings.early, settings.steps // 2, settings.steps):
            trainer.fit(steps=step - trainer.step, disable=True)
            readings.append(ruler.read(network))
            if not readings[0][0] < best:
                break
        return network, readings

    for (w, width), norm, place in product(enumerate(settings.widths), (BATCH, PLAIN), places):
        rates, best = settings.rates[norm], np.inf
        for r in sorted(range(len(rates)), key=lambda r: r != middle):  # the middle one first
            network, readings = train(norm, width, place, rates[r], best)
            halfway[norm, w, place, r] = readings[:2][-1][1]
            error[norm, w, place, r] = readings[-1][1]
            if norm == BATCH and np.isfinite(readings[-1][0]):
                if r == middle:
                    shift[w, place] = _shifts(network, data.x_train)
                    z = network.layers[0].forward(data.x_train, "test")
                nn.recalibrate(network, data.x_train)
                error[norm, w, place, r, RECALIBRATED] = ruler.read(network)[1]
            if r == middle:
                best = readings[0][0]
        if (norm, place) == (BATCH, NONE):
            plain = z
    network, _ = train(BATCH, settings.widths[-1], UOUT, settings.rates[BATCH][middle], np.inf)
    random = streams(seed)
    formula = [_ratios(plain, *noise, settings.draws, random) for noise in NOISES.values()]
    return {
        "error": error,
        "halfway": halfway,
        "shift": shift,
        "uout": np.array(_shifts(network, data.x_train)),
        "formula": np.array(formula),
    }


def _network(norm: int, place: int, width: int, random: Streams) -> nn.Sequential:
    """Return linear, batch norm or none, and ReLU four times, with noise in one place of each."""
    layers: list[nn.Layer] = []
    for i, (n_in, n_out) in enumerate(pairwise((64, *[width] * DEPTH))):
        layers.append(nn.Linear(n_in, n_out, random.weights))
        if place == RIGHT:
            layers.append(nn.Dropout(0.5, random.noise.spawn(1)[0]))
        if place == UOUT:
            layers.append(nn.UniformDropout(BETA, random.noise.spawn(1)[0]))
        if norm == BATCH:
            layers.append(nn.BatchNorm(width, momentum=0.95))
        layers.append(nn.ReLU())
        if place == LINEAR and i < DEPTH - 1:  # after the last batch norm it would shift nothing
            layers.append(nn.Dropout(0.5, random.noise.spawn(1)[0]))
    layers.append(nn.Linear(width, 10, random.weights))
    return nn.Sequential(*layers)


def _shifts(network: nn.Sequential, x: Array) -> list[float]:
    """Return running over test variance at each batch norm, each summed over units."""
    shifts = []
    for layer in network:
        if isinstance(layer, nn.BatchNorm):
            shifts.append(float(layer.memory["running_var"].sum() / nn.statistics(x)[1].sum()))
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


def tuned(result: Result[Settings]) -> tuple[Array, Array]:
    """Return each arm's best rate, (norm, width, place), by mean over seeds, and the errors there.

    Errors are (seed, norm, width, place, state). The rate is the best of the network as trained.
    """
    best = mean(result["error"])[..., AS_TRAINED].argmin(axis=-1)
    index = best[np.newaxis, ..., np.newaxis, np.newaxis]
    errors: Array = np.take_along_axis(result["error"], index, axis=4)[..., 0, :]
    rates = np.array(result.settings.rates)
    return rates[np.arange(2)[:, np.newaxis, np.newaxis], best], errors


def equal(result: Result[Settings]) -> Array:
    """Return the errors at the middle rate, (seed, norm, width, place, state)."""
    errors: Array = result["error"][..., len(result.settings.rates[0]) // 2, :]
    return errors


def costs(errors: Array, place: int, width: int) -> dict[str, Interval]:
    """Return in points, for one width, what dropout in a place costs, and what of it is what.

    Parameters
    ----------
    errors : ndarray, shape (seeds, norm, width, place, state)
    place, width : int

    Returns
    -------
    dict of str to Interval
        "pair", dropout with batch norm against batch norm alone, as trained; "shift", the part of
        it that recalibration takes away; "noise", the part that it leaves, recalibrated against
        recalibrated; "control", what the same dropout costs without batch norm; and by how much
        "control" exceeds "pair", "more".
    """
    norm, plain = errors[:, BATCH, width], errors[:, PLAIN, width]
    pair = norm[:, place, AS_TRAINED] - norm[:, NONE, AS_TRAINED]
    control = plain[:, place, AS_TRAINED] - plain[:, NONE, AS_TRAINED]
    return {
        "pair": interval(pair),
        "shift": interval(norm[:, place, AS_TRAINED] - norm[:, place, RECALIBRATED]),
        "noise": interval(norm[:, place, RECALIBRATED] - norm[:, NONE, RECALIBRATED]),
        "control": interval(control),
        "more": interval(control - pair),
    }


def of_the_young(result: Result[Settings], width: int) -> Interval:
    """Return in points what the shift costs right before batch norm at the smallest rate.

    That rate is given up early, so the network has had only a few small steps.
    """
    errors = result["error"][:, BATCH, width, RIGHT, 0]
    return interval(errors[:, AS_TRAINED] - errors[:, RECALIBRATED])


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether the formula holds, the shift builds up, Uout has none, and the shift costs."""
    formula, shift, uout = result["formula"], result["shift"][:, -1], result["uout"]
    off = float(np.abs(formula[:, :, 0] / formula[:, :, 1] - 1).max())
    right, through, none = (mean(shift[:, k]) for k in (RIGHT, LINEAR, NONE))
    builds_up = (
        interval(shift[:, LINEAR, -1] - shift[:, LINEAR, 0]).low > 0
        and interval(shift[:, RIGHT].mean(axis=1)).low > 1.5
    )
    small = float(np.abs(mean(uout) - none).max()) < 0.05
    _, errors = tuned(result)
    widths = result.settings.widths
    cost = [costs(errors, RIGHT, w) for w in range(len(widths))]
    each = "; ".join(
        f"at {width} units {c['pair']:.1f} points, of which the shift {c['shift']:.1f}, and "
        f"without batch norm {c['control']:.1f}"
        for width, c in zip(widths, cost, strict=True)
    )
    text = (
        f"formula and measurement within {100 * off:.1f} %. Running over test variance at "
        f"{widths[-1]} units with dropout right before batch norm {right.min():.1f} to "
        f"{right.max():.1f}; through a linear layer {through[0]:.2f} at the first and "
        f"{through[-1]:.2f} at the last batch norm; with Uout at most {mean(uout).max():.2f}, "
        f"without noise {none.max():.2f}. Dropout right before batch norm costs, each network at "
        f"its best rate: {each}."
    )
    harm = [c["shift"].low > 0 for c in cost]
    return Verdict(graded(off < 0.02, builds_up, small, *harm), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the shift at every batch norm of the widest network, and formula against measurement."""
    fig, (left, right) = subplots(ncols=2, height=3.4)
    layers = np.arange(1, DEPTH + 1)
    shift, uout = result["shift"][:, -1], result["uout"]
    for values, aside, color, marker, label in (
        (shift[:, RIGHT], 0.0, ORANGE, "s", PLACES[RIGHT]),
        (shift[:, LINEAR], 0.0, BLUE, "o", PLACES[LINEAR]),
        (uout, -0.1, GREEN, "^", "Uout, right before"),
        (shift[:, NONE], 0.1, GRAY, "v", PLACES[NONE]),
    ):
        _bars(left, layers + aside, values, color=color, marker=marker, label=label)
    left.set(xlabel="batch norm", ylabel="running over test variance", xticks=layers)
    left.set_ylim(0.9, None)
    left.legend(fontsize=10, loc="lower left", bbox_to_anchor=(0, 1))
    measured, predicted = mean(result["formula"]).T
    places = np.arange(len(NOISES))
    right.barh(places, predicted, 0.6, color=GRAY, label="formula")
    right.plot(measured, places, "o", color=ORANGE, label="measured")
    right.set_yticks(places, NOISES)
    right.invert_yaxis()
    right.set(xlabel="test over running variance", xlim=(0, 1.1))
    right.legend(fontsize=10, loc="lower left", bbox_to_anchor=(0, 1))
    through = mean(shift)[LINEAR]
    return show(
        fig,
        alt=f"Left: running over test variance at the four batch norms; about "
        f"{mean(shift)[RIGHT].mean():.1f} with dropout right before, growing from "
        f"{through[0]:.2f} to {through[-1]:.2f} with dropout before the linear layer, near 1 with "
        f"Uout and without noise. Right: ratio of test to training variance for four kinds of "
        f"noise; the measured points lie at the ends of the bars that the formula gives.",
    )


def figure_of_widths(result: Result[Settings]) -> Shown:
    """Draw errors against width, with batch norm and without, and what the shift costs."""
    fig, axes = subplots(ncols=3, height=3.6, width_ratios=(1, 1, 0.9))
    _, errors = tuned(result)
    widths = result.settings.widths
    at = np.arange(len(widths))
    style = ((NONE, GRAY, "v"), (RIGHT, ORANGE, "s"), (LINEAR, BLUE, "o"))
    for norm, ax in enumerate(axes[:2]):
        for n, (place, color, marker) in enumerate(style):
            trained = errors[:, norm, :, place, AS_TRAINED]
            _bars(ax, at + 0.12 * (n - 1), trained, color=color, marker=marker, label=PLACES[place])
            if norm == BATCH:
                again = mean(errors[:, norm, :, place, RECALIBRATED])
                ax.plot(at + 0.12 * (n - 1) + 0.06, again, marker, color=color, mfc="none", ms=7)
        ax.set(title=("batch norm", "no norm")[norm], yscale="log", ylim=(1.5, 600))
        ax.set_yticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
        ax.minorticks_off()
        ax.set_ylabel("test error, %")
    axes[0].legend(fontsize=10, loc="upper left", handlelength=1, borderaxespad=0)
    for n, (key, color, marker, label) in enumerate(
        (("shift", PINK, "D", "by the shift"), ("noise", ORANGE, "s", "by the noise"))
    ):
        bars = [costs(errors, RIGHT, w)[key] for w in range(len(widths))]
        axes[2].errorbar(
            at + 0.12 * (2 * n - 1),
            [bar.middle for bar in bars],
            [bar.high - bar.middle for bar in bars],
            fmt=marker, color=color, capsize=3, ms=6, label=label,
        )  # fmt: skip
    axes[2].axhline(0, color=INK, lw=1)
    axes[2].set(title="harm right before", ylabel="points", ylim=(-8, 140))
    axes[2].set_yticks(range(0, 101, 20))
    axes[2].legend(fontsize=10, loc="upper right")
    for ax in axes:
        ax.set_xticks(at, [str(width) for width in widths])
        ax.set(xlim=(-0.5, len(widths) - 0.5), xlabel="units per layer")
    told = "; ".join(
        f"{width} units {e[BATCH, w, NONE, 0]:.1f}, {e[BATCH, w, RIGHT, 0]:.1f} and "
        f"{e[BATCH, w, RIGHT, 1]:.1f} %, without batch norm {e[PLAIN, w, NONE, 0]:.1f} and "
        f"{e[PLAIN, w, RIGHT, 0]:.1f} %"
        for e in (mean(errors),)
        for w, width in enumerate(widths)
    )
    return show(
        fig,
        alt="Test error with batch norm and no dropout, with dropout right before batch norm, and "
        f"the same recalibrated: {told}. On the right how much of the harm is the shift's and how "
        "much is the noise's.",
    )


def _bars(ax: object, x: Array, values: Array, **style: object) -> None:
    """Draw means over seeds, joined by a line, with 95 % intervals."""
    bars = [interval(values[:, k]) for k in range(values.shape[1])]
    half = [bar.high - bar.middle for bar in bars]
    ax.errorbar(x, [bar.middle for bar in bars], half, capsize=3, ms=6, lw=1.2, **style)  # type: ignore[attr-defined]
