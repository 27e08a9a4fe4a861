"""Cosine normalization bounds every pre-activation, and allows rates ten times as large or more.

Luo et al. (2017), Sections 2 and 4: a unit that answers with the cosine between its weights and
its inputs, instead of their dot product, has a pre-activation between -1 and 1, whatever the
lengths of the two; so its variance stays small, and larger learning rates can be used. Here: three
hidden layers of tanh, with dot products and with cosines; the largest learning rate at which
each still ends up with a small training loss, and the largest pre-activation of the trained
networks when the test images are made brighter.

Values: ``loss`` over the last steps (kind, rate), infinite if the training broke off; ``largest``
pre-activation of the first layer, by size (kind, factor), for test images times each factor; kinds
are dot product (0) and cosine (1).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean, median
from dlnorm.experiments._draw import points
from dlnorm.experiments._networks import Streams, streams
from dlnorm.plotting import BLUE, INK, ORANGE, Shown, show, subplots

KINDS = ("dot product", "cosine")
DOT, COSINE = 0, 1
SIZES = (64, 100, 100, 100)
#: A loss below this is a network that has learned; log(10) = 2.3 is one that knows nothing.
TRAINED = 0.5


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: the learning rate, and by what the test images are multiplied."""

    rates: tuple[float, ...]
    steps: int
    factors: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0)
    #: What the last layer's cosines are multiplied by, for a softmax that can decide.
    scale: float = 10.0

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), rates=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0), steps=120)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        rates = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
        return cls(tuple(range(8)), rates=rates, steps=600)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's losses and largest pre-activations."""
    data = nn.digits(seed)
    loss = np.full((2, len(settings.rates)), np.inf)
    largest = np.empty((2, len(settings.factors)))
    for kind in (DOT, COSINE):
        for r, rate in enumerate(settings.rates):
            random = streams(seed)
            network = _network(kind, settings.scale, random)
            trainer = nn.Trainer(network, nn.SGD(rate), data, batch_size=50, seed=random.order)
            trainer.fit(steps=settings.steps, disable=True)
            if trainer.diverged is None:
                loss[kind, r] = trainer.recent_loss(20)
            if r == 0:
                first = network.layers[0]
                largest[kind] = [
                    np.abs(first.forward(factor * data.x_test, "test")).max()
                    for factor in settings.factors
                ]
    return {"loss": loss, "largest": largest}


def _network(kind: int, scale: float, random: Streams) -> nn.Sequential:
    layers: list[nn.Layer] = []
    for n_in, n_out in pairwise(SIZES):
        if kind == COSINE:
            layers.append(nn.CosineLinear(n_in, n_out, random.weights))
        else:
            layers.append(nn.Linear(n_in, n_out, random.weights, init="glorot"))
        layers.append(nn.Tanh())
    if kind == COSINE:
        last: nn.Layer = nn.CosineLinear(SIZES[-1], 10, random.weights, scale=scale)
    else:
        last = nn.Linear(SIZES[-1], 10, random.weights, init="glorot")
    return nn.Sequential(*layers, last)


def usable(result: Result[Settings]) -> Array:
    """Return the largest rate that trained most of the seeds, for each kind; 0 if none did."""
    trained = median(result["loss"]) < TRAINED
    rates: Array = np.where(trained, result.settings.rates, 0.0).max(axis=1)
    return rates


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether cosines stay bounded and allow larger rates."""
    dot, cosine = usable(result)
    factor = cosine / dot if dot else np.inf
    grown, bound = result["largest"][:, DOT, -1].max(), result["largest"][:, COSINE].max()
    text = (
        f"largest usable learning rate {dot:g} with dot products, {cosine:g} with cosines, "
        f"{factor:.0f} times as much. For test images times {result.settings.factors[-1]:g} the "
        f"largest pre-activation is {grown:.0f} with dot products; with cosines it is "
        f"{bound:.2f} at every factor."
    )
    return Verdict(graded(factor >= 5, bool(bound <= 1 + 1e-12)), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw final loss against rate, and largest pre-activation against brightness."""
    fig, (left, right) = subplots(ncols=2)
    rates, factors = np.array(result.settings.rates), np.array(result.settings.factors)
    unlearned = np.log(10)
    for kind, (name, color) in enumerate(zip(KINDS, (ORANGE, BLUE), strict=True)):
        # the worst a curve can show: broken off is as good as knowing nothing
        loss = np.minimum(result["loss"][:, kind], unlearned)
        points(left, rates, loss, color=color, label=name)
        points(right, factors, result["largest"][:, kind], color=color, label=name)
    left.axhline(unlearned, color=INK, lw=1, ls=":")
    left.set(xscale="log", xlabel="learning rate", ylabel="final loss", ylim=(0, 2.5))
    right.set(xscale="log", yscale="log", xlabel="test images times", ylabel="largest |pre-act.|")
    left.legend(loc="center right")
    dot, cosine = usable(result)
    grown = mean(result["largest"])[:, -1]
    return show(
        fig,
        alt=f"Left: final training loss against the learning rate; usable up to {dot:g} with dot "
        f"products and {cosine:g} with cosines. Right: the largest pre-activation against what the "
        f"test images are multiplied by: it grows to {grown[DOT]:.0f} with dot products and stays "
        f"at {grown[COSINE]:.2f} with cosines.",
    )
