"""One sweep that two experiments read: the test error by norm, batch size and learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, mean
from dlnorm.experiments._curves import Ruler
from dlnorm.experiments._networks import Norm, mlp, streams
from dlnorm.experiments._whiskers import whiskers
from dlnorm.plotting import Shown, show, subplots

SIZES = (64, 64, 64, 10)
#: Which of the rates of a batch size all norms are compared at.
EQUAL = 1
#: The test images on which networks are judged: all that a training part of 1000 leaves unused.
JUDGED = 500


def group_norm(features: int) -> nn.Layer:
    """Return group norm with eight groups."""
    return nn.GroupNorm(features, 8)


@dataclass(frozen=True)
class SweepSettings(BaseSettings):
    """What is varied, batch sizes and the rates tried at each, and how long the training takes."""

    batch_sizes: tuple[int, ...]
    #: As many for each batch size, from small to large.
    rates: tuple[tuple[float, ...], ...]
    epochs: int
    n_train: int = 1000


def sweep(norms: Mapping[str, Norm | None], settings: SweepSettings, seed: int) -> Array:
    """Return one seed's test errors in percent, (norm, batch size, rate); read as `_trained` is."""
    error = np.empty((len(norms), len(settings.batch_sizes), len(settings.rates[0])))
    for (n, norm), b in product(enumerate(norms.values()), range(len(settings.batch_sizes))):
        for r, rate in enumerate(settings.rates[b]):
            error[n, b, r] = _trained(norm, settings.batch_sizes[b], rate, settings, seed)[0]
    return error


def recalibrated(norm: Norm, settings: SweepSettings, seed: int) -> Array:
    """Return one seed's test errors of a norm with a memory, (2, batch size, rate).

    First as the network was trained, then with the statistics of all training images in the place
    of the running ones; nothing else is different.
    """
    error = np.empty((2, len(settings.batch_sizes), len(settings.rates[0])))
    for b, batch_size in enumerate(settings.batch_sizes):
        for r, rate in enumerate(settings.rates[b]):
            error[:, b, r] = _trained(norm, batch_size, rate, settings, seed, again=True)
    return error


def _trained(
    norm: Norm | None,
    batch_size: int,
    rate: float,
    settings: SweepSettings,
    seed: int,
    *,
    again: bool = False,
) -> list[float]:
    """Train one network; return its test error and, if asked, that after recalibration."""
    data, random = nn.digits(seed, n_train=settings.n_train), streams(seed)
    ruler = Ruler.of(data, JUDGED)
    network = mlp(SIZES, random, norm=norm)
    trainer = nn.Trainer(network, nn.SGD(rate), data, batch_size=batch_size, seed=random.order)
    trainer.fit(epochs=settings.epochs, disable=True)
    errors = [ruler.read(network)[1]]
    if again and trainer.diverged is not None:
        errors *= 2
    elif again:
        nn.recalibrate(network, data.x_train)
        errors.append(ruler.read(network)[1])
    return errors


def tuned(result: Result[SweepSettings]) -> tuple[Array, Array]:
    """Return each arm's best rate, (arm, batch size), by mean over seeds, and the errors there.

    The errors have shape (seeds, arms, batch sizes).
    """
    best = mean(result["error"]).argmin(axis=-1)
    error = np.take_along_axis(result["error"], best[np.newaxis, ..., np.newaxis], axis=-1)
    rates = np.array(result.settings.rates)
    return rates[np.arange(len(rates)), best], error[..., 0]


def equal(result: Result[SweepSettings]) -> tuple[Array, Array]:
    """Return the rate at which norms are compared at each batch size, and the errors there."""
    index = min(EQUAL, len(result.settings.rates[0]) - 1)
    return np.array(result.settings.rates)[:, index], result["error"][..., index]


def draw(
    result: Result[SweepSettings],
    arms: Sequence[str],
    colors: Sequence[str],
    dashed: Sequence[bool],
    alt: str,
) -> Shown:
    """Draw the error of each arm against the batch size, at its best rate and at equal rates."""
    fig, axes = subplots(ncols=2, sharey=True)
    sizes = np.array(result.settings.batch_sizes)
    for ax, error in zip(axes, (tuned(result)[1], equal(result)[1]), strict=True):
        for a, name in enumerate(arms):
            beside = sizes * 1.05 ** (a - (len(arms) - 1) / 2)  # intervals do not hide each other
            whiskers(ax, beside, error[:, a], color=colors[a], label=name, least=1.0,
                     ls="--" if dashed[a] else "-")  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="batch size")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
    top = 2 * float(max(mean(tuned(result)[1]).max(), mean(equal(result)[1]).max()))
    axes[0].set(ylabel="test error, %", title="each at its best rate", ylim=(1.5, top))
    axes[1].set(title="at equal rates")
    ticks = [tick for tick in (2, 5, 10, 20, 50) if tick < top]
    axes[0].set_yticks(ticks, [str(tick) for tick in ticks])
    axes[0].legend(fontsize=9)
    return show(fig, alt=alt)
