"""What holds for layer, RMS, group and instance norm alike, each by its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnorm import complex_step_gradient
from tests.ops.cases import EPS, QUICK, Array, layouts, unchanged, unit_roundoff
from tests.ops.norms import EVERY, IDS, Norm, NormCase, Shape, arrays_in, norms_of

every_norm = pytest.mark.parametrize(("norm", "shape"), EVERY, ids=IDS)
#: variance and mean of x: ordinary, hardly any variance, a mean that dwarfs the variance
DATA = [(4.0, 1.0), (1e-6, 0.3), (1.0, 1e4)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("eps", EPS)
@every_norm
def test_out_is_what_the_definition_says(
    norm: Norm, shape: Shape, eps: float, dtype: type[np.floating]
) -> None:
    for var, mean in DATA:
        case = NormCase(norm, shape, eps, var=var, mean=mean, dtype=dtype)
        out, _ = case.forward()
        assert out.dtype == dtype
        np.testing.assert_allclose(out, case.exact()[0], rtol=0, atol=case.out_bound)


@pytest.mark.parametrize("eps", EPS)
@every_norm
def test_gradients_equal_the_complex_step(norm: Norm, shape: Shape, eps: float) -> None:
    # 1e-10 of the terms that dx is a sum of: 1e4 times what 100 roundings make, and far less than
    # any of the terms, forgotten or wrong, would
    for var, mean in DATA[:2]:
        case = NormCase(norm, shape, eps, var=var, mean=mean)
        terms = {"x": case.terms}
        for name, got in case.backward().items():

            def out(value: Array, name: str = name, case: NormCase = case) -> Array:
                return case.forward(**{name: value})[0]

            start = case.x if name == "x" else case.parameters[name]
            want = complex_step_gradient(out, start, case.dout)
            assert got.shape == start.shape
            allowed = 1e-10 * terms.get(name, np.abs(want).max())
            np.testing.assert_allclose(got, want, rtol=0, atol=allowed)


@QUICK
@given(data=st.data())
def test_any_shape_dtype_and_memory_layout(data: st.DataObject) -> None:
    shape = data.draw(
        st.tuples(st.integers(1, 4), st.integers(1, 12))
        | st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))
    )
    norm = data.draw(st.sampled_from(norms_of(shape)))
    case = NormCase(
        norm,
        shape,
        eps=data.draw(st.floats(1e-8, 10)),
        var=data.draw(st.sampled_from([1e-4, 1.0, 1e4])),
        dtype=data.draw(st.sampled_from([np.float32, np.float64])),
        seed=data.draw(st.integers(0, 99)),
    )
    plain, grads = case.forward()[0], case.backward()
    bounds = {"x": case.dx_bound}
    for layout, x in layouts(case.x).items():
        dout = layouts(case.dout)[layout]
        parameters = {name: layouts(v)[layout] for name, v in case.parameters.items()}
        with unchanged(x=x, dout=dout, param=case.param, **parameters):
            out, cache = case.forward(x=x, **parameters)
            with unchanged(cache=cache):
                got = norm.backward(dout, cache)
        assert out.shape == shape
        assert {a.dtype for a in (out, *got)} == {case.x.dtype}
        # the sums may run in another order, and each run may be off by the whole bound
        np.testing.assert_allclose(out, plain, rtol=0, atol=2 * case.out_bound, err_msg=layout)
        for (name, want), grad in zip(grads.items(), got, strict=True):
            allowed = 2 * bounds.get(name, of_parameter(case))
            np.testing.assert_allclose(grad, want, rtol=0, atol=allowed, err_msg=layout)


def of_parameter(case: NormCase) -> float:
    """Largest error of dgamma and dbeta: of x_hat's own error, and of a sum over all of x."""
    x_hat = 1 + float(np.abs(case.exact()[1]).max())
    size, u = case.x.size, unit_roundoff(case.x.dtype)
    return float(np.abs(case.dout).sum()) * x_hat * (case.x_hat_bound + size * u)


@every_norm
def test_float32_stays_accurate_at_a_large_mean(norm: Norm, shape: Shape) -> None:
    single = NormCase(norm, shape, mean=1e4, var=1.0, dtype=np.float32)
    double = NormCase(norm, shape)
    double.x, double.dout = single.x.astype(np.float64), single.dout.astype(np.float64)
    double.parameters = {k: v.astype(np.float64) for k, v in single.parameters.items()}
    assert single.out_bound < 2e-3  # what one subtraction of a float32 mean alone can cost
    np.testing.assert_allclose(
        single.forward()[0], double.forward()[0], rtol=0, atol=single.out_bound
    )
    np.testing.assert_allclose(
        single.backward()["x"], double.backward()["x"], rtol=0, atol=single.dx_bound
    )


@every_norm
def test_what_happens_in_one_sample_stays_there(norm: Norm, shape: Shape) -> None:
    case = NormCase(norm, shape)
    out, _ = case.forward()
    loud = case.x.copy()
    loud[1:] *= -50.0
    np.testing.assert_array_equal(case.forward(x=loud)[0][0], out[0])

    case.dout[1:] = 0
    assert not case.backward()["x"][1:].any()


@every_norm
def test_a_sample_needs_no_batch(norm: Norm, shape: Shape) -> None:
    case = NormCase(norm, shape)
    out, dx = case.forward()[0], case.backward()["x"]
    for n in range(shape[0]):
        alone = NormCase(norm, shape)
        alone.x, alone.dout = case.x[n : n + 1], case.dout[n : n + 1]
        np.testing.assert_allclose(
            alone.forward()[0], out[n : n + 1], rtol=0, atol=2 * case.out_bound
        )
        np.testing.assert_allclose(
            alone.backward()["x"], dx[n : n + 1], rtol=0, atol=2 * case.dx_bound
        )


@every_norm
def test_nothing_is_remembered_and_other_keys_do_no_harm(norm: Norm, shape: Shape) -> None:
    case = NormCase(norm, shape)
    first = case.forward()[0]
    param = {"eps": 1e-5, "mode": "test", "running_mean": None}
    with unchanged(param=param):
        again = norm.forward(case.x, *case.parameters.values(), param)[0]
    np.testing.assert_array_equal(again, first)
    default = norm.forward(case.x, *case.parameters.values(), {})[0]
    np.testing.assert_array_equal(default, first)


@every_norm
def test_the_cache_is_its_own_and_holds_one_array_of_this_size(norm: Norm, shape: Shape) -> None:
    case = NormCase(norm, shape)
    want = case.backward()
    out, cache = case.forward()
    for array in (out, case.x, *case.parameters.values()):
        array[...] = np.nan  # such as an optimizer's step in place, only worse
    for got, value in zip(norm.backward(case.dout, cache), want.values(), strict=True):
        np.testing.assert_array_equal(got, value)

    _, statistics = case.columns.shape
    of_each = 3 if norm.centers else 1  # mean, variance and deviation, or the root mean square
    held = sum(array.size for array in arrays_in(cache))
    assert held <= case.x.size + of_each * statistics + case.parameters["gamma"].size


@pytest.mark.parametrize(
    ("name", "shape"),
    [("layer", (4, 1)), ("instance", (3, 4, 1, 1)), ("group, G = 4", (3, 4, 1, 1))],
)
def test_an_entry_that_is_its_own_mean_leaves_beta(name: str, shape: Shape) -> None:
    (norm,) = (norm for norm in norms_of(shape) if norm.name == name)
    case = NormCase(norm, shape)
    np.testing.assert_array_equal(case.forward()[0], case.spread_out("beta"))
    assert not case.backward()["x"].any()


@every_norm
def test_a_gradient_must_have_the_shape_of_out_and_a_cache_its_kind(
    norm: Norm, shape: Shape
) -> None:
    case = NormCase(norm, shape)
    _, cache = case.forward()
    wrong = np.ones((*shape[:-1], shape[-1] + 1))
    with pytest.raises(ValueError, match=r"^dout must have shape \(.*\), got"):
        norm.backward(wrong, cache)
    with pytest.raises(ValueError, match=r"^dout must be finite, got 1 NaN or infinite of"):
        norm.backward(np.where(np.arange(case.x.size).reshape(shape) == 0, np.nan, 1.0), cache)
    with pytest.raises(TypeError, match=r"^dout must be a plain NumPy array, got list"):
        norm.backward(case.dout.tolist(), cache)
    with pytest.raises(TypeError, match=r"^cache must come from .*norm.*forward"):
        norm.backward(case.dout, (case.x, case.parameters["gamma"]))


@every_norm
def test_bad_arguments_are_named(norm: Norm, shape: Shape) -> None:
    case = NormCase(norm, shape)
    good = {"x": case.x, **case.parameters, "param": {"eps": 1e-5}}
    dimensions = "N, D" if len(shape) == 2 else "N, C, H, W"
    table = [
        ("x", case.x.tolist(), TypeError, "x must be a plain NumPy array, got list"),
        ("x", case.x.astype(int), TypeError, "x must be of dtype float32 or float64, got int64"),
        ("x", case.x[0], ValueError, f"x must have shape ({dimensions}), got shape {shape[1:]}"),
        ("x", case.x[:0], ValueError, "x must not be empty, got shape (0, "),
        ("x", np.full(shape, np.inf), ValueError, f"x must be finite, got {case.x.size} NaN"),
        ("x", np.full(shape, 1e200), ValueError, "x must be small enough to compute with")
        if not norm.centers
        else ("x", np.full(shape, np.nan), ValueError, "x must be finite"),
        ("param", None, TypeError, "_param must be a dict, got NoneType"),
        ("param", 1e-5, TypeError, "_param must be a dict, got float"),
        ("param", {"eps": "small"}, TypeError, "_param['eps'] must be a number, got str"),
        ("param", {"eps": -1e-5}, ValueError, "_param['eps'] must lie in [0, inf), got -1e-05"),
        ("param", {"eps": np.inf}, ValueError, "_param['eps'] must lie in [0, inf), got inf"),
    ]
    for name, value in case.parameters.items():
        longer = np.ones(value.size + 1)
        table += [
            (name, 1.0, TypeError, f"{name} must be a plain NumPy array, got float"),
            (name, value.astype(int), TypeError, f"{name} must be of dtype float32 or float64"),
            (name, longer, ValueError, f"{name} must have shape ({shape[1]},)"),
            (name, longer, ValueError, f"to match x of shape {shape}, got {longer.shape}"),
            (name, np.full_like(value, np.nan), ValueError, f"{name} must be finite"),
        ]
    for name, value, error, message in table:
        with pytest.raises(error) as raised:
            norm.forward(*{**good, name: value}.values())
        assert message in str(raised.value)


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 3, 2)], ids=str)
def test_gamma_and_beta_must_be_of_one_shape(shape: Shape) -> None:
    wide = tuple(size if axis == 1 else 1 for axis, size in enumerate(shape))
    for norm in norms_of(shape):
        if norm.centers:
            case = NormCase(norm, shape)
            other = (4,) if norm.gamma_shape != (4,) else wide
            with pytest.raises(ValueError, match=r"^beta must have shape \(.*\), got"):
                case.forward(beta=np.zeros(other))


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 3, 2)], ids=str)
def test_no_variance_needs_eps(shape: Shape) -> None:
    for norm in norms_of(shape):
        case = NormCase(norm, shape, eps=0.0)
        case.forward()
        case.x[0] = 0.0
        with pytest.raises(ValueError, match=r"^eps must be larger, because var \+ eps is 0"):
            case.forward()


@every_norm
def test_parameters_of_float64_leave_float32_data_in_float32(norm: Norm, shape: Shape) -> None:
    single = NormCase(norm, shape, dtype=np.float32)
    want = single.forward()[0]
    parameters = {k: v.astype(np.float64) for k, v in single.parameters.items()}
    got = single.forward(**parameters)[0]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)
