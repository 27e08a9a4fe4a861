"""Standardizing makes the input a thousand times better conditioned, whitening does the rest.

Huang et al. (2018), Section 2: gradient descent is slow along directions of small variance, so it
helps to give all directions the same: standardization does it feature by feature, whitening for
all directions at once. Here: the condition number of the covariance of the digits (largest
over smallest eigenvalue of the directions that vary), raw, standardized and after ZCA whitening;
and how many steps of gradient descent on all images softmax regression then needs, at the best
learning rate for each.

Values: ``condition`` (input); ``steps`` to a loss of 0.1 (input, rate), infinite where it was
never reached; inputs in the order of `INPUTS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, count, graded, mean, median
from dlnorm.experiments._networks import loss_below, steps_until, streams
from dlnorm.plotting import BLUE, GREEN, ORANGE, Shown, show, subplots
from dlnorm.standardize import standardize
from dlnorm.whitening import zca_whiten_forward

INPUTS = ("raw", "standardized", "whitened (ZCA)")
RAW, STANDARD, WHITE = range(3)
#: Some corner pixels never have ink: their variance is 0 and must not be divided by.
EPS = 1e-5
#: Small enough to bring up the directions of least variance that the digits have, about 1e-6.
ZCA_EPS = 1e-6


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: the learning rate, of which each input gets its best."""

    rates: tuple[float, ...]
    steps: int

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), rates=(3.0, 10.0, 30.0, 100.0, 300.0), steps=150)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(8)), rates=(0.3, 1.0, 3.0, 10.0, 30.0), steps=2000)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's condition numbers and steps."""
    data = nn.digits(seed)
    x = data.x_train
    inputs = (x, standardize(x, 0, EPS)[0], zca_whiten_forward(x, ZCA_EPS)[0])
    steps = np.full((len(INPUTS), len(settings.rates)), np.inf)
    for i, z in enumerate(inputs):
        for r, rate in enumerate(settings.rates):
            network = nn.Sequential(nn.Linear(64, 10, streams(seed).weights, init=0.0))
            trainer = nn.Trainer(
                network, nn.SGD(rate), data._replace(x_train=z), batch_size=len(x), seed=seed
            )
            steps[i, r] = steps_until(trainer, loss_below(0.1, batches=1), settings.steps)
    return {"condition": np.array([condition(z) for z in inputs]), "steps": steps}


def condition(x: Array, nothing: float = 1e-8) -> float:
    """Return the condition number of the covariance, over directions that vary at all."""
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    varying = eigenvalues[eigenvalues > nothing]
    return float(varying[-1] / varying[0])


def fewest(result: Result[Settings]) -> Array:
    """Return the steps of each input at its best rate, median over seeds."""
    best: Array = median(result["steps"]).min(axis=1)
    return best


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether each step improves the condition number, and the steps needed."""
    raw, standard, white = mean(result["condition"])
    steps, limit = fewest(result), result.settings.steps
    better = bool(raw > 100 * standard and standard > 2 * white)
    faster = bool(steps[STANDARD] < steps[RAW] / 2 and steps[WHITE] <= steps[STANDARD])
    text = (
        f"condition number {raw:.1e} raw, {standard:.0f} standardized, {white:.1f} whitened; steps "
        f"to a loss of 0.1 at the best rate: {', '.join(count(n, limit) for n in steps)}."
    )
    return Verdict(graded(better, faster), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw condition numbers and steps of the three inputs."""
    fig, axes = subplots(ncols=2, sharey=True)
    steps = np.minimum(fewest(result), result.settings.steps)
    for ax, values in zip(axes, (mean(result["condition"]), steps), strict=True):
        ax.barh(INPUTS, values, color=(ORANGE, BLUE, GREEN), height=0.6)
        for i, value in enumerate(values):
            text = f" {value:.2g}" if value < 100 else f" {value:,.0f}"
            ax.text(value, i, text, va="center")
    axes[0].invert_yaxis()
    axes[0].set(xscale="log", xlabel="condition number", xlim=(1, 1e8))
    axes[1].set(xlabel="steps at the best rate", xlim=(0, 1.25 * steps.max()))
    raw, standard, white = mean(result["condition"])
    return show(
        fig,
        alt=f"Left: condition number of the input's covariance, {raw:.1e} raw, {standard:.0f} "
        f"standardized, {white:.1f} whitened. Right: steps of gradient descent to a loss of 0.1 at "
        f"the best rate for each, {', '.join(f'{n:.0f}' for n in steps)}.",
    )
