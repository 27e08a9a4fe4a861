"""Population statistics, against every batch there is; folding, against the layers it replaces."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator

import dlnorm
from tests.ops.cases import EPS, QUICK, Array, layouts, unchanged, unit_roundoff

U = unit_roundoff(np.float64)


def statistics(batches: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each feature, as batch norm in train mode computes them."""
    made = [dlnorm.standardize(batch, axes=0)[1] for batch in batches]
    return np.concatenate([s.mean for s in made]), np.concatenate([s.var for s in made])


# ------------------------------------------------------------------ population statistics


@pytest.mark.parametrize("m", [2, 3, 4])
def test_unbiased_for_independent_draws(m: int) -> None:
    # All 4**m batches that can be drawn with replacement from four samples, equally likely: their
    # average is the expectation, and what they are drawn from has the four samples' variance.
    four = np.random.default_rng(1).normal(3, [1, 5], (4, 2))
    batches = np.array([four[list(rows)] for rows in itertools.product(range(4), repeat=m)])
    mean, var = dlnorm.population_statistics(*statistics(batches), m)
    # sums of at most 256 terms, of the size of the largest sample, and of its square
    size = np.abs(four).max()
    np.testing.assert_allclose(mean, four.mean(axis=0), rtol=0, atol=300 * U * size)
    np.testing.assert_allclose(var, four.var(axis=0), rtol=0, atol=600 * U * size**2)


@pytest.mark.parametrize("m", [2, 3, 5, 6])
def test_without_replacement_unbiased_for_the_variance_with_divisor_one_less(m: int) -> None:
    six = np.random.default_rng(2).normal(3, [1, 5], (6, 2))
    batches = np.array([six[list(rows)] for rows in itertools.combinations(range(6), m)])
    mean, var = dlnorm.population_statistics(*statistics(batches), m)
    size = np.abs(six).max()
    np.testing.assert_allclose(mean, six.mean(axis=0), rtol=0, atol=60 * U * size)
    np.testing.assert_allclose(var, six.var(axis=0, ddof=1), rtol=0, atol=120 * U * size**2)


def test_one_epoch_gives_the_mean_of_the_set_but_not_its_variance() -> None:
    apart = np.array([[[0.0], [1.0]], [[10.0], [11.0]]])  # each batch knows its own spread only
    mean, var = dlnorm.population_statistics(*statistics(apart), 2)
    np.testing.assert_allclose(mean, 5.5, rtol=4 * U)
    np.testing.assert_allclose(var, 0.5, rtol=8 * U)


def test_test_mode_takes_what_comes_out() -> None:
    x = np.random.default_rng(3).normal(2, 3, (40, 8, 3))
    mean, var = dlnorm.population_statistics(*statistics(x), 8)
    bn_param: Any = {"mode": "test", "eps": 0.0, "running_mean": mean, "running_var": var}
    out, _ = dlnorm.batchnorm_forward(x[0], np.ones(3), np.zeros(3), bn_param)
    np.testing.assert_allclose(out, (x[0] - mean) / np.sqrt(var), rtol=0, atol=20 * U)


def test_float32_stays_float32_even_over_many_batches() -> None:
    # 1e5 equal numbers: in float32, added up one after another, they are 1e-4 off
    means = np.full((100_000, 1), 1.1, np.float32)
    mean, var = dlnorm.population_statistics(means, means, 2)
    assert mean.dtype == var.dtype == np.float32
    np.testing.assert_array_equal(mean, np.float32(1.1))
    np.testing.assert_array_equal(var, np.float32(2.2))


def test_the_complex_step_goes_through() -> None:
    means = np.random.default_rng(4).uniform(1, 2, (5, 3))
    for which, slope in ((0, 1 / 5), (1, 4 / 3 / 5)):

        def out(value: Array, which: int = which) -> Array:
            arguments = [means, means]
            arguments[which] = value
            return dlnorm.population_statistics(arguments[0], arguments[1], 4)[which]

        got = dlnorm.complex_step_gradient(out, means, np.ones(3))
        np.testing.assert_allclose(got, slope, rtol=10 * U)


GOOD = np.ones((4, 3))


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"means": [1.0]}, TypeError, "means must be a plain NumPy array, got list"),
        ({"means": np.ones(3)}, ValueError, "means must have shape (K, D), got shape (3,)"),
        ({"means": np.full((4, 3), np.nan)}, ValueError, "means must be finite"),
        ({"variances": np.ones((4, 2))}, ValueError, "variances must have shape (4, 3), got"),
        ({"variances": -GOOD}, ValueError, "variances must not be negative, got -1"),
        ({"variances": GOOD * np.inf}, ValueError, "variances must be finite"),
        ({"variances": GOOD.astype(int)}, TypeError, "variances must be of dtype float32 or"),
        ({"m": 1}, ValueError, "m must lie in [2, inf), got 1"),
        ({"m": 2.5}, ValueError, "m must be a whole number, got 2.5"),
        ({"m": "8"}, TypeError, "m must be a number, got str"),
    ],
)
def test_a_wrong_statistic_is_named(
    changed: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as raised:
        dlnorm.population_statistics(**{"means": GOOD, "variances": GOOD, "m": 8, **changed})
    assert words in str(raised.value)


# ------------------------------------------------------------------ folding


def norm_of(units: int, rng: np.random.Generator) -> dict[str, Array]:
    """What a trained batch norm has."""
    return {
        "gamma": rng.uniform(0.5, 2, units) * rng.choice([-1, 1], units),
        "beta": rng.standard_normal(units),
        "running_mean": rng.standard_normal(units),
        "running_var": rng.uniform(0.05, 2, units),
    }


def after(out: Array, norm: dict[str, Array], eps: float) -> Array:
    """Batch norm in test mode."""
    forward = dlnorm.batchnorm_forward if out.ndim == 2 else dlnorm.spatial_batchnorm_forward
    param: Any = {"mode": "test", "eps": eps}
    param |= {name: norm[name] for name in ("running_mean", "running_var")}
    return forward(out, norm["gamma"], norm["beta"], param)[0]


def fold_bound(
    W: Array, b: Array, x: float, norm: dict[str, Array], eps: float, terms: int
) -> float:
    """Largest difference between two layers and the folded one.

    Each is a sum of `terms` products and of b, E and beta: terms + 12 roundings on either side,
    each of the size of the sum of all their sizes.
    """
    scale = np.abs(norm["gamma"]) / np.sqrt(norm["running_var"] + eps)
    inside = terms * np.abs(W).max() * x + np.abs(b).max() + np.abs(norm["running_mean"]).max()
    return float(2 * (terms + 12) * U * (scale.max() * inside + np.abs(norm["beta"]).max()))


@pytest.mark.parametrize("eps", [0.0, *EPS])
@pytest.mark.parametrize(("d_in", "d_out"), [(4, 3), (3, 4), (3, 3), (1, 2), (2, 1)])
def test_a_folded_linear_layer_gives_what_both_gave(d_in: int, d_out: int, eps: float) -> None:
    rng = np.random.default_rng([d_in, d_out])
    x, W, b = rng.normal(size=(5, d_in)), rng.normal(size=(d_in, d_out)), rng.normal(size=d_out)
    norm = norm_of(d_out, rng)
    with unchanged(W=W, b=b, **norm):
        folded, shift = dlnorm.fold_batchnorm(W, b, **norm, eps=eps)
    assert folded.shape == W.shape
    assert shift.shape == b.shape
    bound = fold_bound(W, b, np.abs(x).max(), norm, eps, d_in)
    np.testing.assert_allclose(x @ folded + shift, after(x @ W + b, norm, eps), rtol=0, atol=bound)


def test_eps_is_batch_norms_unless_given() -> None:
    norm = norm_of(3, np.random.default_rng(0))
    W, b = np.ones((2, 3)), np.ones(3)
    for one, other in zip(
        dlnorm.fold_batchnorm(W, b, **norm),
        dlnorm.fold_batchnorm(W, b, **norm, eps=1e-5),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def convolved(x: Array, W: Array, b: Array, groups: int) -> Array:
    """What ONNX's reference gives for a convolution with zero padding."""
    node = helper.make_node("Conv", ["x", "W", "b"], ["y"], pads=[1, 1, 1, 1], group=groups)
    double = onnx.TensorProto.DOUBLE
    graph = helper.make_graph(
        [node],
        "conv",
        [helper.make_tensor_value_info(name, double, None) for name in "xWb"],
        [helper.make_tensor_value_info("y", double, None)],
    )
    (y,) = ReferenceEvaluator(helper.make_model(graph)).run(None, {"x": x, "W": W, "b": b})
    return np.asarray(y)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("filters", "channels", "kernel", "groups"),
    [(4, 3, (3, 2), 1), (3, 3, (3, 3), 1), (2, 3, (2, 3), 1), (1, 2, (1, 1), 1), (4, 4, (2, 2), 2)],
)
def test_a_folded_convolution_gives_what_both_gave(
    filters: int, channels: int, kernel: tuple[int, int], groups: int, wide: bool
) -> None:
    rng = np.random.default_rng([filters, channels])
    x = rng.normal(size=(2, channels, 5, 4))
    W, b = rng.normal(size=(filters, channels // groups, *kernel)), rng.normal(size=filters)
    norm = norm_of(filters, rng)
    arguments = {k: v.reshape(1, -1, 1, 1) for k, v in norm.items()} if wide else norm
    folded, shift = dlnorm.fold_batchnorm(W, b, **arguments, eps=1e-3)
    assert folded.shape == W.shape
    assert shift.shape == b.shape
    want = after(convolved(x, W, b, groups), norm, 1e-3)
    bound = fold_bound(W, b, np.abs(x).max(), norm, 1e-3, W[0].size)
    np.testing.assert_allclose(convolved(x, folded, shift, groups), want, rtol=0, atol=bound)


@pytest.mark.parametrize("name", ["W", "b", "gamma", "beta", "running_mean", "running_var"])
def test_the_complex_step_goes_through_every_argument(name: str) -> None:
    # folding changes the form of the function, not its slope
    rng = np.random.default_rng(6)
    x, dout = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    arguments = {"W": rng.normal(size=(4, 3)), "b": rng.normal(size=3), **norm_of(3, rng)}

    def folded(value: Array) -> Array:
        W, b = dlnorm.fold_batchnorm(**{**arguments, name: value})
        return x @ W + b

    def both(value: Array) -> Array:
        now = {**arguments, name: value}
        return after(x @ now["W"] + now["b"], now, 1e-5)

    got = dlnorm.complex_step_gradient(folded, arguments[name], dout)
    want = dlnorm.complex_step_gradient(both, arguments[name], dout)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * np.abs(want).max())


@QUICK
@given(data=st.data())
def test_any_dtype_and_memory_layout(data: st.DataObject) -> None:
    kernels = data.draw(st.booleans())
    shape = data.draw(st.tuples(*[st.integers(1, 4)] * (4 if kernels else 2)))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    units = shape[0] if kernels else shape[1]
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=shape).astype(dtype), rng.normal(size=units).astype(dtype)
    norm = {k: v.astype(dtype) for k, v in norm_of(units, rng).items()}
    plain = dlnorm.fold_batchnorm(W, b, **norm)
    for layout, w in layouts(W).items():
        arguments = {name: layouts(value)[layout] for name, value in norm.items()}
        folded, shift = dlnorm.fold_batchnorm(w, layouts(b)[layout], **arguments)
        assert folded.dtype == shift.dtype == dtype
        np.testing.assert_array_equal(folded, plain[0])  # entry by entry: no sum to reorder
        np.testing.assert_array_equal(shift, plain[1])
    double = dlnorm.fold_batchnorm(W, b.astype(np.float64), **norm_of(units, rng))
    assert {a.dtype for a in double} == {np.dtype(dtype)}


THREE = np.ones(3)


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"W": [1.0]}, TypeError, "W must be a plain NumPy array, got list"),
        ({"W": np.ones((2, 3, 4))}, ValueError, "W must have shape (D_in, D_out) or (F, C, kH, kW"),
        ({"W": np.full((2, 3), np.nan)}, ValueError, "W must be finite"),
        ({"b": np.ones(2)}, ValueError, "b must have shape (3,), got (2,)"),
        ({"b": None}, TypeError, "b must be a plain NumPy array, got NoneType"),
        ({"b": THREE * np.inf}, ValueError, "b must be finite"),
        (
            {"gamma": np.ones(2)},
            ValueError,
            "gamma must have shape (3,) to match W of shape (2, 3)",
        ),
        ({"gamma": 1.0}, TypeError, "gamma must be a plain NumPy array, got float"),
        ({"beta": np.ones((3, 1))}, ValueError, "beta must have shape (3,) to match W"),
        ({"running_mean": np.ones((1, 3))}, ValueError, "running_mean must have shape (3,)"),
        ({"running_mean": THREE.astype(int)}, TypeError, "running_mean must be of dtype float32"),
        ({"running_var": -THREE}, ValueError, "running_var must not be negative, got -1"),
        ({"running_var": 0 * THREE, "eps": 0.0}, ValueError, "eps must be larger, because var"),
        ({"eps": -1.0}, ValueError, "eps must lie in [0, inf), got -1"),
        ({"eps": None}, TypeError, "eps must be a number, got NoneType"),
        (
            {"W": np.ones((3, 2, 1, 1)), "beta": np.ones((3, 1, 1, 1))},
            ValueError,
            "beta must have shape (3,) or (1, 3, 1, 1) to match W of shape (3, 2, 1, 1), got",
        ),
        (
            {"W": np.ones((2, 3), np.float32), "gamma": THREE * 1e300},
            ValueError,
            "gamma must be small enough to compute with in float32, got entries up to 1e+300",
        ),
    ],
)
def test_a_wrong_argument_of_folding_is_named(
    changed: dict[str, Any], kind: type[Exception], words: str
) -> None:
    good = dict.fromkeys(["b", "gamma", "beta", "running_mean", "running_var"], THREE)
    with pytest.raises(kind) as raised:
        dlnorm.fold_batchnorm(**{"W": np.ones((2, 3)), **good, **changed})
    assert words in str(raised.value)
