"""Whole networks: gradients, names, and what happens when numbers blow up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlnorm
from dlnorm import nn


def dense(rng: np.random.Generator) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(6, 5, rng),
        nn.BatchNorm(5),
        nn.Tanh(),
        nn.Dropout(0.4, rng.spawn(1)[0]),
        nn.WeightNormLinear(5, 5, rng),
        nn.MeanOnlyBatchNorm(5),
        nn.Sigmoid(),
        nn.LayerNorm(5),
        nn.Linear(5, 3, rng),
    )


def convolutional(rng: np.random.Generator) -> nn.Sequential:
    return nn.Sequential(
        nn.Reshape(1, 2, 3),
        nn.Conv2d(1, 4, 2, rng, padding=1),
        nn.GroupNorm(4, 2),
        nn.ReLU(),
        nn.Conv2d(4, 4, 2, rng, stride=2),
        nn.InstanceNorm(4),
        nn.Flatten(),
        nn.RMSNorm(8),
        nn.GaussianDropout(0.2, rng.spawn(1)[0]),
        nn.CosineLinear(8, 3, rng, scale=4.0),
    )


def recurrent(rng: np.random.Generator) -> nn.Sequential:
    return nn.Sequential(
        nn.Reshape(3, 2),
        nn.LayerNormRNN(2, 4, rng),
        nn.RNN(4, 4, rng),
        nn.LastStep(),
        nn.BatchRenorm(4),
        nn.UniformDropout(0.5, rng.spawn(1)[0]),
        nn.Linear(4, 3, rng),
    )


@pytest.mark.parametrize("build", [dense, convolutional, recurrent])
def test_every_gradient_of_the_loss_is_right(build: Callable[..., nn.Sequential]) -> None:
    network = build(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((4, 6)), np.array([0, 2, 1, 2])
    fresh = copy.deepcopy(network)
    _, dscores = nn.softmax_cross_entropy(network.forward(x, "train"), y)
    found = {"x": network.backward(dscores), **network.grads}
    assert network.grads.keys() == network.params.keys()

    def loss(name: str) -> Callable[[Any], Any]:
        def f(value: Any) -> Any:
            other = copy.deepcopy(fresh)
            if name != "x":
                layer, key = name.split(".")
                other.layers[int(layer)].params[key] = value
            scores = other.forward(value if name == "x" else x + 0j, "train")
            return np.array([nn.softmax_cross_entropy(scores, y)[0]])

        return f

    true = {
        name: dlnorm.complex_step_gradient(loss(name), start, np.ones(1))
        for name, start in {"x": x, **network.params}.items()
    }
    # a few thousand roundings, relative to the largest gradient of all: some are 0 by theory
    scale = max(np.abs(gradient).max() for gradient in true.values())
    for name, gradient in true.items():
        assert np.abs(found[name] - gradient).max() <= 1e-12 * scale, name


def test_parameters_are_the_layers_own_arrays_under_number_and_name() -> None:
    network = dense(np.random.default_rng(0))
    assert list(network.params) == [
        *("0.W", "0.b", "1.gamma", "1.beta", "4.v", "4.g", "4.b"),
        *("5.beta", "7.gamma", "7.beta", "8.W", "8.b"),
    ]
    assert network.params["8.W"] is network.layers[8].params["W"]
    assert list(network.memory) == ["1.running_mean", "1.running_var", "5.running_mean"]
    assert list(network.generators) == ["3"]
    assert network.generators["3"] is network.layers[3].rng


def test_memory_that_is_set_is_a_copy() -> None:
    network = dense(np.random.default_rng(0))
    mean = np.full(5, 7.0)
    network.remember({"5.running_mean": mean})
    mean += 1
    assert (network.memory["5.running_mean"] == 7).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_numbers_that_blow_up_are_told_with_their_place(bad: float) -> None:
    rng = np.random.default_rng(0)
    network = nn.Sequential(nn.Linear(3, 3, rng), nn.ReLU(), nn.BatchNorm(3), nn.Linear(3, 2, rng))
    kind = "entries up to" if np.isfinite(bad) else "NaN or infinity"
    with pytest.raises(nn.DivergedError, match=rf"the input of layer 0 \(Linear\) has {kind}"):
        network.forward(np.full((2, 3), bad), "train")
    x = np.ones((2, 3))
    network.params["0.W"][...] = abs(bad)  # so that it passes the ReLU
    with np.errstate(all="ignore"), pytest.raises(nn.DivergedError, match=r"layer 1 \(ReLU\)"):
        network.forward(x, "train")
    network.params["0.W"][...] = 1.0
    network.params["3.b"][...] = bad
    with pytest.raises(nn.DivergedError, match="the output of the network has"):
        network.forward(x, "train")
    network.params["3.b"][...] = 0.0
    network.forward(x, "train")
    with pytest.raises(nn.DivergedError, match=r"gradient at the output of layer 3 \(Linear\)"):
        network.backward(np.full((2, 2), bad))


def test_large_numbers_are_no_error() -> None:
    network = nn.Sequential(nn.ReLU())
    assert network.forward(np.full((2, 3), 1e150), "train").max() == 1e150


def test_only_layers_make_a_network() -> None:
    with pytest.raises(TypeError, match="layer 1 must be a Layer, got function"):
        nn.Sequential(nn.ReLU(), lambda x: x)
