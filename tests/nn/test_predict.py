"""Predictions, noisy ones too, and networks set up from data."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import dlnorm
from dlnorm import nn

DATA = nn.digits(seed=0, n_train=200)


def network_of(seed: int = 0, p: float = 0.5) -> nn.Sequential:
    weights, noise = np.random.default_rng(seed).spawn(2)
    return nn.Sequential(
        nn.WeightNormLinear(64, 20, weights),
        nn.BatchNorm(20),
        nn.ReLU(),
        nn.Dropout(p, noise),
        nn.WeightNormLinear(20, 10, weights),
    )


def test_predictions_are_made_in_test_mode() -> None:
    network = network_of()
    p = nn.predict(network, DATA.x_test)
    assert p.shape == (500, 10)
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-14
    assert (p == nn.predict(network, DATA.x_test)).all()  # no noise
    assert (network.memory["1.running_mean"] == 0).all()
    wrong = sum(int(row.argmax() != y) for row, y in zip(p, DATA.y_test, strict=True))
    assert nn.error_percent(network, DATA.x_test, DATA.y_test) == 100 * wrong / 500


def test_noisy_passes_have_dropout_on_and_batch_norm_in_test_mode() -> None:
    network = network_of()
    forward, rng = nn.noisy(network), np.random.default_rng(1)
    state = network.layers[3].rng.bit_generator.state
    one, two = forward(DATA.x_test, rng), forward(DATA.x_test, rng)
    assert (one != two).any()
    assert (forward(DATA.x_test, np.random.default_rng(1)) == one).all()
    assert network.layers[3].rng.bit_generator.state == state
    assert (network.memory["1.running_mean"] == 0).all()
    # a sample's output does not depend on the others, so batch norm was in test mode
    half = forward(DATA.x_test[:250], np.random.default_rng(1))
    assert np.allclose(half, one[:250], rtol=1e-12)


def test_without_noise_the_noisy_network_is_the_network() -> None:
    network = network_of(p=0.0)
    rng = np.random.default_rng(0)
    mean, variance = dlnorm.mc_dropout(nn.noisy(network), DATA.x_test, passes=3, rng=rng)
    assert np.allclose(mean, nn.predict(network, DATA.x_test), rtol=1e-14)
    assert variance.max() < 1e-30
    with pytest.raises(ValueError, match="network must have a layer of dropout"):
        nn.noisy(nn.Sequential(nn.ReLU()))


def test_an_error_in_a_noisy_pass_gives_the_generator_back() -> None:
    network = network_of()
    own = network.layers[3].rng
    network.layers[3].p = 2.0
    with pytest.raises(ValueError, match="must lie in"):
        nn.noisy(network)(DATA.x_test, np.random.default_rng(0))
    assert network.layers[3].rng is own


def test_initialization_from_data_standardizes_every_pre_activation() -> None:
    weights = np.random.default_rng(0)
    layers = []
    for n_in, n_out in ((64, 30), (30, 30), (30, 10)):
        layers += [nn.WeightNormLinear(n_in, n_out, weights), nn.Tanh()]
    network = nn.Sequential(*layers)
    directions = copy.deepcopy([layer.params["v"] for layer in layers[::2]])
    nn.initialize_from_data(network, DATA.x_train)
    x = DATA.x_train
    for i, layer in enumerate(network):
        x = layer.forward(x, "test")
        if i % 2 == 0:
            assert np.abs(x.mean(axis=0)).max() < 1e-13
            assert np.abs(x.std(axis=0) - 1).max() < 1e-13
            assert (layer.params["v"] == directions[i // 2]).all()


def test_initialization_from_data_goes_through_norms_without_a_trace() -> None:
    network = network_of()
    nn.initialize_from_data(network, DATA.x_train)
    assert (network.memory["1.running_mean"] == 0).all()
    assert (network.memory["1.running_var"] == 1).all()
    x = DATA.x_train
    for layer in network.layers[:3]:
        x = layer.forward(x, "train")
    x = network.layers[4].forward(x, "test")
    assert np.abs(x.std(axis=0) - 1).max() < 1e-13


def test_recalibration_gives_what_test_mode_meets() -> None:
    network = network_of()
    network.layers[1].memory["running_mean"] += 5
    deep = nn.Sequential(*network.layers, nn.BatchNorm(10), nn.MeanOnlyBatchNorm(10))
    nn.recalibrate(deep, DATA.x_train)
    out = deep.forward(DATA.x_train, "test")
    assert np.abs(out.mean(axis=0)).max() < 1e-12
    x = DATA.x_train
    for i, layer in enumerate(deep):
        if i in (1, 5):
            mean, var = nn.statistics(x)
            assert (layer.memory["running_mean"] == mean).all()
            assert (layer.memory["running_var"] == var).all()
        x = layer.forward(x, "test")
    assert list(deep.layers[6].memory) == ["running_mean"]


def test_statistics_of_images_are_per_channel() -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 5))
    mean, var = nn.statistics(x)
    for c in (0, 1):
        assert abs(mean[c] - x[:, c].mean()) < 1e-15
        assert abs(var[c] - x[:, c].var()) < 1e-15
    with pytest.raises(ValueError, match=r"x must have shape \(N, D, ...\)"):
        nn.statistics(np.ones(3))
