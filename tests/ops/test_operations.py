"""What holds for every operation of `tests.ops.operations`: gradients, dtypes, layouts, caches."""

from __future__ import annotations

import numpy as np
import pytest

from dlnorm import complex_step_gradient
from tests.ops.cases import Array, layouts, unchanged, unit_roundoff
from tests.ops.norms import arrays_in
from tests.ops.operations import EVERY, FEW, Operation


def test_the_table_names_each_operation_once() -> None:
    names = [op.name for op in EVERY]
    assert len(names) == len(set(names))
    kinds = {op.forward for op in EVERY}
    assert {op.forward for op in FEW} == kinds
    assert len(kinds) == 9


@pytest.mark.parametrize("op", [op for op in EVERY if op.complex_step], ids=lambda op: op.name)
def test_gradients_equal_the_complex_step(op: Operation) -> None:
    # 1e-10 of the terms that a gradient is a sum of: 1e4 times what 100 roundings make, and far
    # less than any of the terms, forgotten or wrong, would
    arrays, dout = op.draw()
    grads = op.gradients(dout, op.run(**arrays)[1])
    terms = op.terms(arrays, dout)
    for name, got in grads.items():

        def out(value: Array, name: str = name) -> Array:
            return op.run(**{**arrays, name: value})[0]

        want = complex_step_gradient(out, arrays[name], dout)
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * terms[name], err_msg=name)


def slack(op: Operation, arrays: dict[str, Array]) -> float:
    """How many roundings float32 may differ from float64 by, relative to the terms.

    Every sum runs over no more entries than the largest array has, n, so each is off by at most
    n u; an operation takes a sum of squares, a sum over them and a gradient's sum, after each a
    handful of products, and statistics of x with |x| / std at most 10 where var is 1 (of the
    centered x, as it is centered twice).
    """
    size = max(array.size for array in arrays.values())
    return 10 * (3 * size + 30) * unit_roundoff(np.float32)


@pytest.mark.parametrize("op", FEW, ids=lambda op: op.name)
def test_float32_stays_float32_and_close_to_float64(op: Operation) -> None:
    single, dout = op.draw(np.float32)
    double = {name: value.astype(np.float64) for name, value in single.items()}
    out, cache = op.run(**single)
    exact, exact_cache = op.run(**double)
    assert out.dtype == np.float32
    size = 1 + float(np.abs(exact).max())
    np.testing.assert_allclose(out, exact, rtol=0, atol=slack(op, single) * size)

    grads = op.gradients(dout, cache)
    wants = op.gradients(dout.astype(np.float64), exact_cache)
    terms = op.terms(double, dout.astype(np.float64))
    for name, got in grads.items():
        assert got.dtype == np.float32
        allowed = slack(op, single) * terms[name]
        np.testing.assert_allclose(got, wants[name], rtol=0, atol=allowed, err_msg=name)


@pytest.mark.parametrize("op", FEW, ids=lambda op: op.name)
def test_any_memory_layout_gives_the_same_and_nothing_is_changed(op: Operation) -> None:
    arrays, dout = op.draw()
    plain, cache = op.run(**arrays)
    terms = op.terms(arrays, dout)
    wants = op.gradients(dout, cache)
    # the sums may run in another order
    share = slack(op, arrays) * unit_roundoff(np.float64) / unit_roundoff(np.float32)
    for layout in layouts(dout):
        given = {name: layouts(value)[layout] for name, value in arrays.items()}
        upstream = layouts(dout)[layout]
        with unchanged(dout=upstream, **given):
            out, cache = op.run(**given)
            with unchanged(cache=cache):
                got = op.gradients(upstream, cache)
        size = 1 + float(np.abs(plain).max())
        np.testing.assert_allclose(out, plain, rtol=0, atol=share * size, err_msg=layout)
        for name, grad in got.items():
            allowed = share * terms[name]
            np.testing.assert_allclose(grad, wants[name], rtol=0, atol=allowed, err_msg=layout)


@pytest.mark.parametrize("op", FEW, ids=lambda op: op.name)
def test_the_cache_is_its_own(op: Operation) -> None:
    arrays, dout = op.draw()
    want = op.gradients(dout, op.run(**arrays)[1])
    mine = {name: value.copy() for name, value in arrays.items()}
    out, cache = op.run(**mine)
    for array in (out, *mine.values()):
        array[...] = np.nan  # such as an optimizer's step in place, only worse
    for name, got in op.gradients(dout, cache).items():
        np.testing.assert_array_equal(got, want[name])


@pytest.mark.parametrize("op", FEW, ids=lambda op: op.name)
def test_the_cache_holds_one_array_a_factor(op: Operation) -> None:
    arrays, _ = op.draw()
    _, cache = op.run(**arrays)
    held = sum(array.size for array in arrays_in(cache))
    kind, sizes = op.forward.__name__, [array.size for array in arrays.values()]
    if "dropout" in kind:
        assert held <= sizes[0]
    elif "meanonly" in kind:
        assert held == 0
    elif "batch" in kind:  # mean, variance and deviation of every statistic; gamma, r and d
        shape, mode, size = op.shapes["x"], op.settings[0]["mode"], op.settings[0].get("ghost_size")
        statistics = shape[1] * (shape[0] // size if size and mode == "train" else 1)
        assert held <= sizes[0] + 3 * statistics + 3 * shape[1]
    elif "zca" in kind:  # the mean, the deviations and the rotation
        assert held == sizes[0] + 2 * op.shapes["x"][1] + op.shapes["x"][1] ** 2
    elif "weight" in kind:  # the lengths
        assert held == sum(sizes) + sizes[1]
    else:
        n, (d_in, d_out) = op.shapes["x"][0], op.shapes["w"]
        assert held == n * d_in + d_in * d_out + n + d_out


@pytest.mark.parametrize("op", FEW, ids=lambda op: op.name)
def test_a_gradient_must_have_the_shape_of_out_and_a_cache_its_kind(op: Operation) -> None:
    arrays, dout = op.draw()
    _, cache = op.run(**arrays)
    name = op.upstream
    wrong = np.ones((*dout.shape[:-1], dout.shape[-1] + 1))
    with pytest.raises(ValueError, match=rf"^{name} must have shape \({dout.shape[0]},.*\), got"):
        op.backward(wrong, cache)
    with pytest.raises(ValueError, match=rf"^{name} must be finite, got 1 NaN or infinite of"):
        op.backward(np.where(np.arange(dout.size).reshape(dout.shape) == 0, np.nan, 1.0), cache)
    with pytest.raises(TypeError, match=rf"^{name} must be a plain NumPy array, got list"):
        op.backward(dout.tolist(), cache)
    with pytest.raises(TypeError, match=r"^cache must come from .*(norm|whiten|dropout)"):
        op.backward(dout, tuple(arrays.values()))
