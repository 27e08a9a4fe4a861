"""Every layer: its gradients against the complex step, and its output against the function."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import dlnorm
from dlnorm import nn

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

#: Room for a few thousand roundings of 1.1e-16, relative to the largest entry: the complex step
#: itself has no other error, and no layer here adds up more terms.
EXACT = 5e-13


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


FLAT, IMAGE, SEQUENCE = (6, 4), (3, 4, 3, 5), (3, 5, 4)

#: name: (layer, shape of x)
LAYERS: dict[str, tuple[Callable[[], nn.Layer], Shape]] = {
    "Linear": (lambda: nn.Linear(4, 3, generator()), FLAT),
    "Linear, one sample": (lambda: nn.Linear(4, 3, generator()), (1, 4)),
    "Linear, no bias": (lambda: nn.Linear(4, 3, generator(), bias=False), FLAT),
    "WeightNormLinear": (lambda: nn.WeightNormLinear(4, 3, generator()), FLAT),
    "WeightNormLinear, no bias": (
        lambda: nn.WeightNormLinear(4, 3, generator(), bias=False),
        FLAT,
    ),
    "CosineLinear": (lambda: nn.CosineLinear(4, 3, generator(), scale=7.0, eps=0.1), FLAT),
    "Conv2d": (lambda: nn.Conv2d(4, 2, 3, generator()), IMAGE),
    "Conv2d, padded": (lambda: nn.Conv2d(4, 2, 3, generator(), padding=1), IMAGE),
    "Conv2d, strided": (lambda: nn.Conv2d(4, 3, 2, generator(), stride=2, padding=1), IMAGE),
    "Conv2d, 1 x 1, no bias": (lambda: nn.Conv2d(4, 3, 1, generator(), bias=False), IMAGE),
    "Reshape": (lambda: nn.Reshape(2, -1), FLAT),
    "Flatten": (nn.Flatten, IMAGE),
    "ReLU": (nn.ReLU, FLAT),
    "Tanh": (nn.Tanh, FLAT),
    "Sigmoid": (nn.Sigmoid, FLAT),
    "Dropout": (lambda: nn.Dropout(0.3, generator()), FLAT),
    "Dropout, per unit": (lambda: nn.Dropout(0.3, generator(3), per="unit"), FLAT),
    "GaussianDropout": (lambda: nn.GaussianDropout(0.3, generator()), FLAT),
    "UniformDropout": (lambda: nn.UniformDropout(0.5, generator()), IMAGE),
    "BatchNorm": (lambda: nn.BatchNorm(4), FLAT),
    "BatchNorm, images": (lambda: nn.BatchNorm(4), IMAGE),
    "BatchRenorm": (lambda: nn.BatchRenorm(4, r_max=1.5, d_max=0.5), FLAT),
    "BatchRenorm, images": (lambda: nn.BatchRenorm(4), IMAGE),
    "GhostBatchNorm": (lambda: nn.GhostBatchNorm(4, ghost_size=3), FLAT),
    "MeanOnlyBatchNorm": (lambda: nn.MeanOnlyBatchNorm(4), FLAT),
    "LayerNorm": (lambda: nn.LayerNorm(4), FLAT),
    "LayerNorm, images": (lambda: nn.LayerNorm(4), IMAGE),
    "RMSNorm": (lambda: nn.RMSNorm(4), FLAT),
    "GroupNorm": (lambda: nn.GroupNorm(4, 2), FLAT),
    "GroupNorm, images": (lambda: nn.GroupNorm(4, 2), IMAGE),
    "InstanceNorm": (lambda: nn.InstanceNorm(4), IMAGE),
    "RNN": (lambda: nn.RNN(4, 3, generator()), SEQUENCE),
    "RNN, one step": (lambda: nn.RNN(4, 3, generator()), (2, 1, 4)),
    "LayerNormRNN": (lambda: nn.LayerNormRNN(4, 3, generator()), SEQUENCE),
    "LastStep": (nn.LastStep, SEQUENCE),
}


def made(name: str) -> tuple[nn.Layer, Array]:
    """Return a layer away from its start values, and an input for it."""
    make, shape = LAYERS[name]
    layer, rng = make(), generator(1)
    for key, value in layer.params.items():
        # lengths and gammas of either sign, none near 0
        offset = 1.5 * rng.choice([-1, 1], value.shape) if key in ("g", "gamma") else 0
        value += offset + 0.3 * rng.standard_normal(value.shape)
    for key, value in layer.memory.items():
        layer.memory[key] = value + rng.uniform(0.1, 1, value.shape)
    return layer, 0.5 + rng.standard_normal(shape)


@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_are_those_of_the_forward_pass(name: str, mode: Any) -> None:
    layer, x = made(name)
    fresh = copy.deepcopy(layer)  # the same noise, the same running statistics
    dout = generator(2).standard_normal(layer.forward(x, mode).shape)
    found = {"x": layer.backward(dout), **layer.grads}
    assert layer.grads.keys() == layer.params.keys()

    def output(key: str) -> Callable[[Array], Array]:
        def f(value: Array) -> Array:
            other = copy.deepcopy(fresh)
            if key != "x":
                other.params[key] = value
            return other.forward(value if key == "x" else x + 0j, mode)

        return f

    for key, start in {"x": x, **layer.params}.items():
        true = dlnorm.complex_step_gradient(output(key), start, dout)
        # relative to the terms that cancel: a gradient that should be 0 has no scale of its own
        scale = max(np.abs(true).max(), np.abs(dout).max())
        assert found[key].shape == start.shape
        assert np.abs(found[key] - true).max() <= EXACT * scale, key


@pytest.mark.parametrize("name", LAYERS)
def test_a_pass_changes_neither_its_input_nor_the_parameters(name: str) -> None:
    layer, x = made(name)
    before, params = x.copy(), copy.deepcopy(layer.params)
    out = layer.forward(x, "train")
    dout = generator(2).standard_normal(out.shape)
    dout_before = dout.copy()
    layer.backward(dout)
    assert (x == before).all()
    assert (dout == dout_before).all()
    assert all((layer.params[key] == value).all() for key, value in params.items())


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_done_to_the_output_does_not_reach_the_backward_pass(name: str) -> None:
    layer, x = made(name)
    other = copy.deepcopy(layer)
    dout = generator(2).standard_normal(layer.forward(x, "train").shape)
    out = other.forward(x.copy(), "train")
    if out.base is None:  # a view of x is no array of its own
        out += 7
    assert (other.backward(dout) == layer.backward(dout)).all()


@pytest.mark.parametrize("name", LAYERS)
def test_a_backward_pass_needs_a_forward_pass(name: str) -> None:
    layer, x = made(name)
    with pytest.raises(RuntimeError, match=rf"{type(layer).__name__}\.backward needs a forward"):
        layer.backward(np.ones_like(x))


@pytest.mark.parametrize("name", [n for n in LAYERS if "Norm" in n and "RNN" not in n])
def test_only_batch_norms_remember_and_only_in_train_mode(name: str) -> None:
    layer, x = made(name)
    before = dict(layer.memory)
    layer.forward(x, "test")
    assert all((layer.memory[key] == value).all() for key, value in before.items())
    layer.forward(x, "train")
    moved = {key for key, value in before.items() if (layer.memory[key] != value).any()}
    assert moved == before.keys()
    assert bool(before) == isinstance(layer, nn.BatchNorm)


# ---------------------------------------------------------------- shells around functions


def test_batch_norm_is_the_function_with_the_layers_settings() -> None:
    for name, function in (
        ("BatchNorm", dlnorm.batchnorm_forward),
        ("BatchNorm, images", dlnorm.spatial_batchnorm_forward),
    ):
        layer, x = made(name)
        assert isinstance(layer, nn.BatchNorm)
        layer.eps, layer.momentum = 0.1, 0.6
        param: Any = {"mode": "train", "eps": 0.1, "momentum": 0.6, **layer.memory}
        out, _ = function(x, layer.params["gamma"], layer.params["beta"], param)
        assert (layer.forward(x, "train") == out).all()
        assert (layer.memory["running_mean"] == param["running_mean"]).all()
        assert (layer.memory["running_var"] == param["running_var"]).all()


def test_group_norm_of_features_is_that_of_images_of_one_pixel() -> None:
    layer, x = made("GroupNorm")
    gamma, beta = layer.params["gamma"], layer.params["beta"]
    out, _ = dlnorm.spatial_groupnorm_forward(x[:, :, None, None], gamma, beta, 2, {})
    assert (layer.forward(x, "train") == out[:, :, 0, 0]).all()
    whole = nn.GroupNorm(4, 1)
    whole.params = layer.params
    like = nn.LayerNorm(4)
    like.params = layer.params
    assert np.allclose(whole.forward(x, "train"), like.forward(x, "train"), rtol=0, atol=1e-14)


def test_ghost_batches_are_batches_by_themselves() -> None:
    layer, x = made("GhostBatchNorm")
    plain = nn.BatchNorm(4)
    plain.params, plain.memory = layer.params, dict(layer.memory)
    halves = [plain.forward(part, "train") for part in (x[:3], x[3:])]
    assert np.allclose(layer.forward(x, "train"), np.concatenate(halves), rtol=0, atol=1e-14)
    assert np.allclose(layer.memory["running_var"], plain.memory["running_var"], rtol=1e-14)


def test_renorm_without_room_is_batch_norm() -> None:
    layer, x = made("BatchRenorm")
    assert isinstance(layer, nn.BatchRenorm)
    layer.r_max, layer.d_max = 1.0, 0.0
    plain = nn.BatchNorm(4)
    plain.params = layer.params
    assert np.allclose(layer.forward(x, "train"), plain.forward(x, "train"), rtol=0, atol=1e-14)


def test_constant_statistics_leave_the_gradient_along_the_mean_in() -> None:
    layer, x = made("BatchNorm")
    assert isinstance(layer, nn.BatchNorm)
    wrong = copy.deepcopy(layer)
    wrong.constant_statistics = True
    assert (layer.forward(x, "train") == wrong.forward(x, "train")).all()
    ones = np.ones_like(x)  # the true gradient of the sum is 0
    std = np.sqrt(x.var(axis=0) + layer.eps)
    assert np.abs(layer.backward(ones)).max() < 1e-14
    assert np.allclose(wrong.backward(ones), layer.params["gamma"] / std, rtol=1e-13)
    assert all((wrong.grads[key] == value).all() for key, value in layer.grads.items())


def test_dropout_layers_use_their_own_generator() -> None:
    global_state = np.random.get_state()[1].copy()
    x = np.ones((50, 40))
    one, same, other = (nn.Dropout(0.5, generator(seed)) for seed in (0, 0, 1))
    first = one.forward(x, "train")
    assert (first == same.forward(x, "train")).all()
    assert (first != other.forward(x, "train")).any()
    assert (first != one.forward(x, "train")).any()  # another mask at every pass
    assert (one.forward(x, "test") == x).all()
    assert (np.random.get_state()[1] == global_state).all()


def test_a_mask_per_unit_is_shared_by_the_batch() -> None:
    layer = nn.Dropout(0.5, generator(), per="unit")
    out = layer.forward(np.ones((5, 40)), "train")
    assert (out == out[0]).all()
    assert 0 < (out[0] == 0).sum() < 40


def test_weight_norm_starts_as_the_plain_layer_and_keeps_v_perpendicular() -> None:
    layer, plain = nn.WeightNormLinear(4, 3, generator()), nn.Linear(4, 3, generator())
    x = generator(1).standard_normal((6, 4))
    # g v / |v| is v to three roundings
    assert np.allclose(layer.forward(x, "train"), plain.forward(x, "train"), rtol=0, atol=1e-14)
    layer.backward(generator(2).standard_normal((6, 3)))
    assert np.abs((layer.params["v"] * layer.grads["v"]).sum(axis=0)).max() < 1e-13


def test_the_cosine_layer_does_not_see_lengths() -> None:
    layer = nn.CosineLinear(4, 3, generator(), scale=3.0, eps=0.0)
    x = generator(1).standard_normal((6, 4))
    out = layer.forward(x, "train")
    layer.params["W"] *= 1e6
    assert np.allclose(layer.forward(1e-3 * x, "train"), out, rtol=0, atol=1e-14)
    assert np.abs(out).max() <= 3


# ---------------------------------------------------------------- convolution and recurrence


@pytest.mark.parametrize(
    ("stride", "padding", "kernel"), [(1, 0, 3), (1, 1, 3), (2, 1, 2), (3, 2, 3)]
)
def test_convolution_is_the_sum_that_its_docstring_gives(
    stride: int, padding: int, kernel: int
) -> None:
    x = generator(1).standard_normal((2, 3, 5, 4))
    layer = nn.Conv2d(3, 2, kernel, generator(), stride=stride, padding=padding)
    layer.params["b"] += [0.5, -1.0]
    out = layer.forward(x, "train")
    bordered = np.zeros((2, 3, 5 + 2 * padding, 4 + 2 * padding))
    bordered[:, :, padding : padding + 5, padding : padding + 4] = x
    height = (bordered.shape[2] - kernel) // stride + 1
    width = (bordered.shape[3] - kernel) // stride + 1
    assert out.shape == (2, 2, height, width)
    for n, f, i, j in np.ndindex(out.shape):
        window = bordered[n, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        expected = (window * layer.params["W"][f]).sum() + layer.params["b"][f]
        assert abs(out[n, f, i, j] - expected) < 1e-13


def test_batch_norm_folds_into_the_convolution_before_it() -> None:
    convolution, norm = nn.Conv2d(3, 2, 3, generator(), padding=1), nn.BatchNorm(2)
    x = generator(1).standard_normal((4, 3, 5, 4))
    for _ in range(3):
        norm.forward(convolution.forward(x, "train"), "train")
    expected = norm.forward(convolution.forward(x, "test"), "test")
    p, m = norm.params, norm.memory
    W, b = dlnorm.fold_batchnorm(
        convolution.params["W"],
        convolution.params["b"],
        p["gamma"],
        p["beta"],
        m["running_mean"],
        m["running_var"],
    )
    convolution.params = {"W": W, "b": b}
    assert np.allclose(convolution.forward(x, "test"), expected, rtol=0, atol=1e-13)


def test_the_recurrent_layer_is_its_step_repeated() -> None:
    layer, x = nn.RNN(4, 3, generator()), generator(1).standard_normal((2, 5, 4))
    layer.params["b"] += 0.1
    h = layer.forward(x, "train")
    state = np.zeros((2, 3))
    for t in range(5):
        p = layer.params
        state = np.tanh(state @ p["Wh"] + x[:, t] @ p["Wx"] + p["b"])
        assert (h[:, t] == state).all()


# ---------------------------------------------------------------- initial weights


@pytest.mark.parametrize(("init", "std"), [("he", 0.1), ("glorot", 0.08), (0.37, 0.37)])
def test_weights_start_with_the_spread_asked_for(init: Any, std: float) -> None:
    """200 * 112 weights: their deviation is known to 1 / sqrt(2 * 22400), 0.5 %; 4 of these."""
    W = nn.Linear(200, 112 + 1, generator(), init=init).params["W"]
    expected = {"he": np.sqrt(2 / 200), "glorot": np.sqrt(2 / 313)}.get(init, std)
    assert abs(W.std() / expected - 1) < 0.02
    assert abs(W.mean()) < 4 * expected / np.sqrt(W.size)
    kernels = nn.Conv2d(16, 40, 5, generator(), init="he").params["W"]
    assert abs(kernels.std() / np.sqrt(2 / (16 * 25)) - 1) < 0.03
    assert (nn.Linear(3, 2, generator()).params["b"] == 0).all()


# ---------------------------------------------------------------- bad input

BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: nn.Linear(0, 2, generator()), ValueError, "n_in must be at least 1, got 0"),
    (lambda: nn.Linear(2.0, 2, generator()), TypeError, "n_in must be an int, got float"),
    (lambda: nn.Linear(2, True, generator()), TypeError, "n_out must be an int, got bool"),
    (lambda: nn.Linear(2, 2, 0), TypeError, "rng must be a numpy.random.Generator, got int"),
    (lambda: nn.Linear(2, 2, generator(), init="xavier"), ValueError, "init must be 'he' or"),
    (lambda: nn.Linear(2, 2, generator(), init=-1.0), ValueError, "init must lie in"),
    (
        lambda: nn.Linear(2, 2, generator()).forward(np.ones((3, 4)), "train"),
        ValueError,
        "x must have shape (3, 2), got (3, 4)",
    ),
    (
        lambda: nn.Linear(2, 2, generator()).forward(np.ones((3, 2), int), "train"),
        TypeError,
        "x must be of dtype float32 or float64",
    ),
    (lambda: nn.CosineLinear(2, 2, generator(), scale=0.0), ValueError, "scale must lie in (0,"),
    (lambda: nn.Conv2d(1, 1, 0, generator()), ValueError, "kernel must be at least 1"),
    (lambda: nn.Conv2d(1, 1, 2, generator(), padding=-1), ValueError, "padding must be at least"),
    (
        lambda: nn.Conv2d(1, 1, 3, generator()).forward(np.ones((1, 2, 4, 4)), "train"),
        ValueError,
        "x must have 1 channels and be at least 3 high and wide, got shape (1, 2, 4, 4)",
    ),
    (
        lambda: nn.Conv2d(1, 1, 5, generator()).forward(np.ones((1, 1, 4, 9)), "train"),
        ValueError,
        "at least 5 high and wide, got shape (1, 1, 4, 9)",
    ),
    (lambda: nn.Dropout(0.5, 3), TypeError, "rng must be a numpy.random.Generator, got int"),
    (
        lambda: nn.Dropout(1.0, generator()).forward(np.ones((2, 2)), "train"),
        ValueError,
        "dropout_param['p'] must lie in [0, 1)",
    ),
    (lambda: nn.BatchNorm(0), ValueError, "features must be at least 1"),
    (
        lambda: nn.BatchNorm(3).forward(np.ones((2, 2)), "train"),
        ValueError,
        "gamma must have shape (2,) or (1, 2)",
    ),
    (
        lambda: nn.BatchNorm(2).forward(np.ones((2, 2)), "eval"),
        ValueError,
        "must be 'train' or 'test', got 'eval'",
    ),
    (lambda: nn.GhostBatchNorm(2, ghost_size=0), ValueError, "ghost_size must be at least 1"),
    (
        lambda: nn.GhostBatchNorm(2, ghost_size=4).forward(np.ones((6, 2)), "train"),
        ValueError,
        "must be a divisor of the batch size 6, got 4",
    ),
    (
        lambda: nn.GroupNorm(4, 3).forward(np.ones((2, 4)), "train"),
        ValueError,
        "G must divide the 4 channels",
    ),
    (lambda: nn.RNN(2, 0, generator()), ValueError, "n_hidden must be at least 1"),
    (
        lambda: nn.RNN(2, 3, generator()).forward(np.ones((2, 5, 3)), "train"),
        ValueError,
        "x must have shape (2, 5, 2), got (2, 5, 3)",
    ),
    (
        lambda: nn.LastStep().forward(np.ones((2, 5)), "train"),
        ValueError,
        "x must have shape (N, T, H), got shape (2, 5)",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[case[2] for case in BAD])
def test_bad_input_is_named(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
