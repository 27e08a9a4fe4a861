"""Predictions: probabilities, how many are wrong, and with dropout left on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dlnorm._validate import Array
from dlnorm.nn.loss import softmax
from dlnorm.nn.network import Sequential
from dlnorm.nn.noise import Noise


def predict(network: Sequential, x: Array) -> Array:
    """Return the probability of every class, in test mode.

    Parameters
    ----------
    network : Sequential
    x : ndarray, shape (N, ...)

    Returns
    -------
    ndarray, shape (N, K)

    Raises
    ------
    DivergedError
        If the network's numbers are not finite.

    Examples
    --------
    >>> network = Sequential(Linear(64, 10, np.random.default_rng(0)))
    >>> predict(network, np.zeros((1, 64)))[0, 0].round(12)
    np.float64(0.1)
    """
    return softmax(network.forward(x, "test"))


def error_percent(network: Sequential, x: Array, y: Array) -> float:
    """Return how many percent of the samples the network, in test mode, gets wrong.

    Parameters
    ----------
    network : Sequential
    x : ndarray, shape (N, ...)
    y : ndarray of int, shape (N,)

    Returns
    -------
    float

    Raises
    ------
    DivergedError
        If the network's numbers are not finite.

    Examples
    --------
    >>> network = Sequential(Linear(64, 10, np.random.default_rng(0), init=0.0))
    >>> error_percent(network, np.zeros((2, 64)), np.array([0, 1]))  # all scores 0: class 0
    50.0
    """
    wrong = network.forward(x, "test").argmax(axis=1) != y
    return 100 * float(wrong.mean())


def noisy(network: Sequential) -> Callable[[Array, np.random.Generator], Array]:
    """Return the network with its dropout on and all else in test mode, for `dlnorm.mc_dropout`.

    Parameters
    ----------
    network : Sequential

    Returns
    -------
    callable
        ``forward(x, rng)`` returns probabilities; every layer of noise draws from `rng`, and its
        own generator is left as it was.

    Raises
    ------
    ValueError
        If there is no layer of noise: then all passes would be alike.

    References
    ----------
    Gal & Ghahramani (2016).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> network = Sequential(Linear(64, 50, rng), Dropout(0.5, rng), Linear(50, 10, rng))
    >>> mean, variance = mc_dropout(noisy(network), np.ones((3, 64)), passes=10, rng=rng)
    >>> mean.sum(axis=1).round(12)
    array([1., 1., 1.])
    """
    if not any(isinstance(layer, Noise) for layer in network):
        raise ValueError("network must have a layer of dropout, got none")

    def forward(x: Array, rng: np.random.Generator) -> Array:
        for layer in network:
            x = (
                _with_generator(layer, x, rng)
                if isinstance(layer, Noise)
                else layer.forward(x, "test")
            )
        return softmax(x)

    return forward


def _with_generator(layer: Noise, x: Array, rng: np.random.Generator) -> Array:
    """Run a layer of noise in train mode, on a borrowed generator."""
    own, layer.rng = layer.rng, rng
    try:
        return layer.forward(x, "train")
    finally:
        layer.rng = own
