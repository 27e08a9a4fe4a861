"""What holds for every shape, dtype and memory layout: searched by Hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlnorm
from tests.ops.cases import (
    BACKWARD,
    FORWARD,
    MODES,
    QUICK,
    Array,
    BatchNormCase,
    entries,
    layouts,
    unchanged,
    unit_roundoff,
    x_hat_bound,
)

LAYOUTS = list(layouts(np.zeros((2, 2))))
dtypes = st.sampled_from([np.float32, np.float64])
layout = st.sampled_from(LAYOUTS)
shapes_2d = st.tuples(st.integers(1, 9), st.integers(1, 9))
shapes_4d = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
rates = st.floats(0, 0.95)


def in_layout(case: BatchNormCase, draw: st.DrawFn) -> BatchNormCase:
    """Lay every array of the case out in some way, some of them read-only."""
    for name in ("x", "gamma", "beta", "dout"):
        setattr(case, name, layouts(getattr(case, name))[draw(layout)])
    for name in ("running_mean", "running_var"):
        case.bn_param[name] = layouts(case.bn_param[name])[draw(layout)]
    return case


@st.composite
def cases(draw: st.DrawFn) -> tuple[BatchNormCase, BatchNormCase]:
    """Draw a case twice: as ordinary arrays, and in some memory layout."""
    shape = draw(shapes_2d | shapes_4d)
    settings: dict[str, Any] = {
        "mode": draw(st.sampled_from(MODES)),
        "eps": draw(st.sampled_from([1e-5, 1e-3, 0.5])),
        "var": draw(st.sampled_from([0.05, 1.0, 25.0])),
        "dtype": draw(dtypes),
        "seed": draw(st.integers(0, 99)),
    }
    return BatchNormCase(shape, **settings), in_layout(BatchNormCase(shape, **settings), draw)


@QUICK
@given(cases())
def test_batchnorm_of_any_layout_is_that_of_the_plain_array(
    both: tuple[BatchNormCase, BatchNormCase],
) -> None:
    plain, laid_out = both
    x, dtype = plain.x, plain.x.dtype
    forward, backward = FORWARD[x.ndim], BACKWARD[x.ndim]
    expected = plain.forward()[0]
    gradients = plain.backward()

    param = laid_out.bn_param
    arrays = {name: getattr(laid_out, name) for name in ("x", "gamma", "beta", "dout")}
    memory = {name: param[name] for name in ("running_mean", "running_var")}
    with unchanged(**arrays, **memory):
        out, cache = forward(laid_out.x, laid_out.gamma, laid_out.beta, param)
    with unchanged(**arrays, **memory, bn_param=param, cache=tuple(cache)):
        result = backward(laid_out.dout, cache)

    # The layout decides in which order NumPy sums: both orders obey the bound of cases.py.
    x_hat = float(np.abs(cache.stats.x_hat).max())
    relative = 2 * x_hat_bound(x)
    largest = float(np.abs(plain.gamma).max()) * (1 + x_hat) + float(np.abs(plain.beta).max())
    np.testing.assert_allclose(out, expected, rtol=0, atol=relative * largest)
    relative = (3 * relative + 2 * entries(x) * unit_roundoff(dtype)) * (1 + x_hat) ** 2
    sizes = (plain.terms, *[float(np.abs(plain.dout).sum())] * 2)
    for gradient, other, size in zip(result, gradients, sizes, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=0, atol=relative * size)
    shapes = (x.shape, x.shape, plain.gamma.shape, plain.beta.shape)
    for array, shape in zip((out, *result), shapes, strict=True):
        assert array.shape == shape
        assert array.dtype == dtype
        assert type(array) is np.ndarray
    for name, old in memory.items():
        assert param[name].dtype == dtype
        assert (param[name] is old) == (param["mode"] == "test")
    if param["mode"] == "train":
        staged = dlnorm.batchnorm_backward_staged(laid_out.dout, cache)
        assert [array.dtype for array in staged] == [dtype] * 3
        np.testing.assert_allclose(staged[0], gradients[0], rtol=0, atol=relative * plain.terms)


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (dlnorm.dropout_forward, dlnorm.dropout_backward),
        (dlnorm.classical_dropout_forward, dlnorm.classical_dropout_backward),
    ],
    ids=["inverted", "classical"],
)
@QUICK
@given(data=st.data(), p=rates, shape=shapes_2d | shapes_4d, dtype=dtypes)
def test_dropout_of_any_layout_is_that_of_the_plain_array(
    forward: Any, backward: Any, data: st.DataObject, p: float, shape: tuple[int, ...], dtype: Any
) -> None:
    plain = np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)
    x = layouts(plain)[data.draw(layout)]
    dout = layouts(plain + 1)[data.draw(layout)]
    settings = {
        "p": p,
        "mode": data.draw(st.sampled_from(MODES)),
        "per": data.draw(st.sampled_from(["element", "unit"])),
        "seed": data.draw(st.integers(0, 2**70)),
    }
    with unchanged(x=x, dout=dout, settings=settings):
        out, cache = forward(x, settings)
        dx = backward(dout, cache)
    expected, plain_cache = forward(plain, settings)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(dx, backward(plain + 1, plain_cache))
    assert out.dtype == dx.dtype == dtype
    assert out.shape == dx.shape == shape
    assert not np.shares_memory(out, x)
    assert not np.shares_memory(dx, dout)


@QUICK
@given(data=st.data(), shape=shapes_2d | shapes_4d, dtype=dtypes)
def test_standardize_of_any_layout_over_any_axes(
    data: st.DataObject, shape: tuple[int, ...], dtype: Any
) -> None:
    axes = tuple(
        data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True), label="axes")
    )
    plain = np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)
    x = layouts(plain)[data.draw(layout)]
    dx_hat = layouts(plain[::-1] + 1)[data.draw(layout)]
    with unchanged(x=x, dx_hat=dx_hat):
        x_hat, cache = dlnorm.standardize(x, axes, 0.1)
        with unchanged(cache=tuple(cache)):
            dx = dlnorm.standardize_backward(dx_hat, cache)
    m = plain.size // cache.std.size
    bound = (4 * m + 20) * unit_roundoff(dtype) * (1 + float(np.abs(x_hat).max()))
    np.testing.assert_allclose(x_hat.mean(axis=axes), 0, rtol=0, atol=bound)
    expected = cache.var / (cache.var + 0.1)
    np.testing.assert_allclose(
        (x_hat.astype(np.float64) ** 2).mean(axis=axes, keepdims=True), expected, atol=4 * bound
    )
    size = float(np.abs(dx_hat).max() / cache.std.min()) * m
    np.testing.assert_allclose(dx.sum(axis=axes), 0, rtol=0, atol=bound * size)
    for array in (x_hat, dx, cache.mean, cache.var, cache.std):
        assert array.dtype == dtype
    assert x_hat.shape == dx.shape == shape
    assert not np.shares_memory(x_hat, x)


@QUICK
@given(data=st.data(), dtype=dtypes)
def test_gradient_checks_and_relative_error_change_nothing(data: st.DataObject, dtype: Any) -> None:
    plain = np.random.default_rng(3).standard_normal((3, 2)).astype(dtype)
    x, dout = (layouts(plain + k)[data.draw(layout)] for k in range(2))

    def rude(value: Array) -> Array:
        """Change the argument, which must not be x itself."""
        value *= 2
        return value

    with unchanged(x=x, dout=dout):
        for gradient in (
            dlnorm.numeric_gradient(rude, x, dout),
            dlnorm.complex_step_gradient(rude, x, dout),
        ):
            assert gradient.dtype == np.float64
            np.testing.assert_allclose(gradient, 2.0 * dout, rtol=1e-9)
        assert 0 < dlnorm.relative_error(x, dout) < 2
