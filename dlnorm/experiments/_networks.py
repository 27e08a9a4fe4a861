"""The networks that several experiments train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dlnorm import nn
from dlnorm.nn.initializers import Init

#: From the number of features to a norm for them.
Norm = Callable[[int], nn.Layer]


class Streams(NamedTuple):
    """All the randomness of one repetition; runs that are compared share it."""

    weights: np.random.Generator
    noise: np.random.Generator
    order: int


def streams(seed: int) -> Streams:
    """Return independent randomness for weights, for noise and for the order of the samples."""
    weights, noise, order = np.random.SeedSequence(seed).spawn(3)
    return Streams(
        np.random.default_rng(weights),
        np.random.default_rng(noise),
        int(order.generate_state(1)[0]),
    )


def mlp(
    sizes: Sequence[int],
    random: Streams,
    *,
    activation: Callable[[], nn.Layer] = nn.ReLU,
    norm: Norm | None = None,
    p: float = 0.0,
    init: Init = "he",
    linear: type[nn.Linear] = nn.Linear,
) -> nn.Sequential:
    """Return linear, norm, activation and dropout for each hidden layer, then a linear layer.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden units of each layer, classes.
    random : Streams
    activation : callable
    norm : callable, optional
        From the number of features to the layer that normalizes them.
    p : float
        Drop probability of the hidden units; no dropout layers at all for 0.
    init
        As for `dlnorm.nn.Linear`.
    linear : type
        `Linear`, or `WeightNormLinear`.
    """
    layers: list[nn.Layer] = []
    for n_in, n_out in pairwise(sizes[:-1]):
        layers.append(linear(n_in, n_out, random.weights, init=init))
        if norm is not None:
            layers.append(norm(n_out))
        layers.append(activation())
        if p:
            layers.append(nn.Dropout(p, random.noise.spawn(1)[0]))
    layers.append(linear(sizes[-2], sizes[-1], random.weights, init=init))
    return nn.Sequential(*layers)


def steps_until(
    trainer: nn.Trainer, reached: Callable[[nn.Trainer], bool], limit: int, every: int = 1
) -> float:
    """Train until `reached`, asked after every so many steps; return the steps, or infinity."""
    done = False

    def ask(t: nn.Trainer) -> bool:
        nonlocal done
        done = t.step % every == 0 and reached(t)
        return done

    trainer.fit(steps=limit, callback=ask, disable=True)
    return float(trainer.step) if done else float("inf")


def loss_below(threshold: float, batches: int = 20) -> Callable[[nn.Trainer], bool]:
    """Return the question whether the last batches' mean loss is below a threshold."""
    return lambda trainer: trainer.recent_loss(batches) < threshold
