"""Weight norm: against its definition and PyTorch, and what it promises of directions and lengths.

Gradients against the complex step, dtypes, layouts and caches are in `tests.ops.test_operations`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

import dlnorm
from tests.ops.cases import Array, layouts, unchanged, unit_roundoff
from tests.ops.operations import WEIGHTS

U = unit_roundoff(np.float64)
every_shape = pytest.mark.parametrize(("d_in", "d_out"), WEIGHTS)


def draw(d_in: int, d_out: int) -> tuple[Array, Array, Array]:
    """Return v, g and dW."""
    rng = np.random.default_rng([d_in, d_out])
    g = rng.uniform(0.5, 2, d_out) * rng.choice([-1, 1], d_out)
    return rng.normal(size=(d_in, d_out)), g, rng.normal(size=(d_in, d_out))


def rtol(d_in: int) -> float:
    """Rounding of v / ||v||: half of that of a sum of d_in squares, a root, two more operations."""
    return (d_in / 2 + 6) * U


# ------------------------------------------------------------------ forward


@every_shape
def test_each_column_is_what_the_definition_says(d_in: int, d_out: int) -> None:
    v, g, _ = draw(d_in, d_out)
    W, _ = dlnorm.weightnorm_forward(v, g)
    for j in range(d_out):
        length = math.hypot(*v[:, j])
        want = [g[j] * entry / length for entry in v[:, j]]
        np.testing.assert_allclose(W[:, j], want, rtol=rtol(d_in))
        assert math.isclose(math.hypot(*W[:, j]), abs(g[j]), rel_tol=rtol(d_in))


@pytest.mark.parametrize("axis", [0, 1])
def test_unit_vectors_are_those_of_onnx(axis: int) -> None:
    # LpNormalization is weight norm with g = 1, of columns or of rows
    node = helper.make_node("LpNormalization", ["v"], ["W"], axis=axis, p=2)
    double = onnx.TensorProto.DOUBLE
    graph = helper.make_graph(
        [node],
        "norm",
        [helper.make_tensor_value_info("v", double, None)],
        [helper.make_tensor_value_info("W", double, None)],
    )
    v, _, _ = draw(4, 3)
    (want,) = ReferenceEvaluator(helper.make_model(graph)).run(None, {"v": v})
    mine = v if axis == 0 else v.T
    W, _ = dlnorm.weightnorm_forward(mine, np.ones(mine.shape[1]))
    np.testing.assert_allclose(W if axis == 0 else W.T, want, rtol=2 * rtol(4))


@every_shape
def test_with_the_lengths_for_g_it_is_the_plain_layer(d_in: int, d_out: int) -> None:
    v, _, _ = draw(d_in, d_out)
    W, _ = dlnorm.weightnorm_forward(v, np.sqrt((v * v).sum(axis=0)))
    np.testing.assert_allclose(W, v, rtol=2 * rtol(d_in))


@pytest.mark.parametrize("factor", [2.0, 0.25, -1.0, -8.0])
@every_shape
def test_only_the_direction_of_v_counts(d_in: int, d_out: int, factor: float) -> None:
    # a power of 2: every rounding is the same
    v, g, dW = draw(d_in, d_out)
    W, cache = dlnorm.weightnorm_forward(v, g)
    dv, dg = dlnorm.weightnorm_backward(dW, cache)
    scaled, cache = dlnorm.weightnorm_forward(factor * v, g)
    sign = math.copysign(1, factor)
    np.testing.assert_array_equal(scaled, sign * W)
    got = dlnorm.weightnorm_backward(dW, cache)
    np.testing.assert_array_equal(got[0], dv / abs(factor))
    np.testing.assert_array_equal(got[1], sign * dg)


def test_units_do_not_mix() -> None:
    v, g, dW = draw(4, 3)
    W, cache = dlnorm.weightnorm_forward(v, g)
    dv, dg = dlnorm.weightnorm_backward(dW, cache)
    loud = v.copy()
    loud[:, 1:] *= -50.0
    W_loud, cache = dlnorm.weightnorm_forward(loud, g)
    got = dlnorm.weightnorm_backward(dW, cache)
    np.testing.assert_array_equal(W_loud[:, 0], W[:, 0])
    np.testing.assert_array_equal(got[0][:, 0], dv[:, 0])
    assert got[1][0] == dg[0]


# ------------------------------------------------------------------ backward


@every_shape
def test_the_gradients_are_those_of_the_paper(d_in: int, d_out: int) -> None:
    v, g, dW = draw(d_in, d_out)
    dv, dg = dlnorm.weightnorm_backward(dW, dlnorm.weightnorm_forward(v, g)[1])
    for j in range(d_out):
        length = math.hypot(*v[:, j])
        scalar = math.fsum(dW[:, j] * v[:, j]) / length
        terms = math.hypot(*dW[:, j])
        assert abs(dg[j] - scalar) <= (d_in + 8) * U * terms
        want = g[j] / length * dW[:, j] - g[j] * scalar / length**2 * v[:, j]
        bound = 2 * (d_in + 8) * U * abs(g[j]) * terms / length
        np.testing.assert_allclose(dv[:, j], want, rtol=0, atol=bound)


@every_shape
def test_dv_is_perpendicular_to_v_so_a_step_makes_v_longer(d_in: int, d_out: int) -> None:
    v, g, dW = draw(d_in, d_out)
    dv, _ = dlnorm.weightnorm_backward(dW, dlnorm.weightnorm_forward(v, g)[1])
    terms = np.abs(g) * np.sqrt((dW * dW).sum(axis=0))
    bound = 3 * (d_in + 8) * U * terms
    assert (np.abs((dv * v).sum(axis=0)) <= bound).all()
    rate = 0.3
    before, growth = (v * v).sum(axis=0), rate**2 * (dv * dv).sum(axis=0)
    after = ((v - rate * dv) ** 2).sum(axis=0)
    # what is left of the mixed term, 2 rate v dv, and the rounding of the sums
    allowed = 2 * rate * bound + 3 * (d_in + 4) * U * (before + growth + 2 * rate * terms)
    assert (np.abs(after - before - growth) <= allowed).all()


# ------------------------------------------------------------------ exponential form


@pytest.mark.parametrize("c", [0.1, 1.0, 2.5])
@every_shape
def test_the_exponential_form_is_the_plain_one_with_g_an_exponential(
    d_in: int, d_out: int, c: float
) -> None:
    v, s, dW = draw(d_in, d_out)
    W, cache = dlnorm.weightnorm_exp_forward(v, s, c)
    dv, ds = dlnorm.weightnorm_exp_backward(dW, cache)
    g = np.array([math.exp(c * value) for value in s])
    want, plain = dlnorm.weightnorm_forward(v, g)
    # exp magnifies the rounding of its argument, of size 5 at most
    np.testing.assert_allclose(W, want, rtol=10 * U)
    want_dv, dg = dlnorm.weightnorm_backward(dW, plain)
    np.testing.assert_allclose(dv, want_dv, rtol=0, atol=20 * U * np.abs(want_dv).max() + 1e-300)
    np.testing.assert_allclose(ds, c * g * dg, rtol=20 * U)


def test_c_is_one_unless_given() -> None:
    v, s, _ = draw(4, 3)
    got, want = dlnorm.weightnorm_exp_forward(v, s)[0], dlnorm.weightnorm_exp_forward(v, s, 1.0)[0]
    np.testing.assert_array_equal(got, want)


# ------------------------------------------------------------------ initialization


def standardized(x: Array, v: Array, g: Array, b: Array) -> tuple[float, float, float]:
    """How far mean and std of ``x @ W + b`` are from 0 and 1, and how far rounding may put them.

    y = (t - mean) / std is off by D + N + 10 roundings of |x| |v / ||v|| | / std, whose size
    counts the cancellation of the mean.
    """
    y = x @ dlnorm.weightnorm_forward(v, g)[0] + b
    size = (np.abs(x) @ np.abs(v) / np.sqrt((v * v).sum(axis=0)) * np.abs(g)).max()
    bound = 4 * (sum(x.shape) + 10) * unit_roundoff(x.dtype) * float(size + np.abs(b).max())
    return float(np.abs(y.mean(axis=0)).max()), float(np.abs(y.std(axis=0) - 1).max()), bound


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 3, 64])
@every_shape
def test_the_batch_comes_out_with_mean_0_and_deviation_1(
    d_in: int, d_out: int, n: int, dtype: Any
) -> None:
    v = draw(d_in, d_out)[0].astype(dtype)
    x = np.random.default_rng(n).normal(3, 2, (n, d_in)).astype(dtype)
    for layout, given in layouts(x).items():
        with unchanged(v=v, x=given):
            g, b = dlnorm.weightnorm_init(layouts(v)[layout], given)
        assert g.shape == b.shape == (d_out,)
        assert g.dtype == b.dtype == dtype
        mean, deviation, bound = standardized(x, v, g, b)
        assert mean <= bound
        assert deviation <= bound
    assert (g > 0).all()


def test_the_scale_of_v_does_not_matter() -> None:
    v, x = draw(4, 3)[0], np.random.default_rng(0).normal(1, 1, (9, 4))
    g, b = dlnorm.weightnorm_init(v, x)
    for got, want in zip(dlnorm.weightnorm_init(4 * v, x), (g, b), strict=True):
        np.testing.assert_array_equal(got, want)


def test_on_whitened_input_there_is_nothing_to_initialize() -> None:
    # and batch norm, which divides by the deviation of x v, is weight norm with g = gamma
    v, x = draw(4, 3)[0], np.random.default_rng(5).normal(1, 2, (50, 4))
    white, _ = dlnorm.zca_whiten_forward(x, eps=0.0)
    g, b = dlnorm.weightnorm_init(v, white)
    # whitening is off by N + D roundings times the condition of the covariance, below 100 here
    bound = 60 * 100 * U
    np.testing.assert_allclose(g, 1, rtol=0, atol=bound)
    np.testing.assert_allclose(b, 0, rtol=0, atol=bound)
    gamma, beta = np.array([2.0, -0.5, 1.0]), np.array([0.5, 1.0, -2.0])
    want, _ = dlnorm.batchnorm_forward(white @ v, gamma, beta, {"mode": "train", "eps": 0.0})
    got = white @ dlnorm.weightnorm_forward(v, gamma)[0] + beta
    np.testing.assert_allclose(got, want, rtol=0, atol=10 * bound)


def test_the_complex_step_goes_through_the_initialization() -> None:
    v, x = draw(4, 3)[0], np.random.default_rng(5).normal(1, 2, (6, 4))
    for which in (0, 1):
        for name, start in (("v", v), ("x", x)):

            def f(value: Array, which: int = which, name: str = name) -> Array:
                return dlnorm.weightnorm_init(**{"v": v, "x": x, name: value})[which]

            exact = dlnorm.complex_step_gradient(f, start, np.ones(3))
            near = dlnorm.numeric_gradient(f, start, np.ones(3))
            # h**2 and eps / h, each 4e-11, times derivatives and values of size up to 1e2
            np.testing.assert_allclose(exact, near, rtol=0, atol=1e-8)


# ------------------------------------------------------------------ wrong arguments

V, ONES = draw(4, 3)[0], np.ones(3)
ZERO = V * [1, 1, 0]
SUM = np.array([[0.1, 0.2], [0.4, -0.1], [0.7, -0.4]])
SHARED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"v": [1.0]}, TypeError, "v must be a plain NumPy array, got list"),
    ({"v": np.ones((4, 3), int)}, TypeError, "v must be of dtype float32 or float64, got int64"),
    ({"v": ONES}, ValueError, "v must have shape (D_in, D_out), got shape (3,)"),
    ({"v": V * np.nan}, ValueError, "v must be finite, got 12 NaN or infinite of 12"),
    ({"v": V * 1e200}, ValueError, "v must be small enough to compute with in float64"),
    ({"v": ZERO}, ValueError, "v must have no column of length 0 in float64, which has no dir"),
    ({"v": ZERO}, ValueError, "got one in column 2"),
    ({"v": V * [1, 1e-160, 1]}, ValueError, "got one in column 1"),
    ({"v": (V * 1e-22).astype(np.float32)}, ValueError, "no column of length 0 in float32"),
]


def one_a_unit(name: str) -> list[tuple[dict[str, Any], type[Exception], str]]:
    return [
        ({name: 1.0}, TypeError, f"{name} must be a plain NumPy array, got float"),
        ({name: np.ones(4)}, ValueError, f"{name} must have shape (3,), got (4,)"),
        ({name: np.ones((1, 3))}, ValueError, f"{name} must have shape (3,), got (1, 3)"),
        ({name: ONES * np.inf}, ValueError, f"{name} must be finite, got 3 NaN or infinite of 3"),
    ]


@pytest.mark.parametrize(
    ("function", "changed", "kind", "words"),
    [("forward", *row) for row in SHARED + one_a_unit("g")]
    + [("exp", *row) for row in SHARED + one_a_unit("s")]
    + [
        ("exp", {"s": ONES * 710}, ValueError, "s must be small enough to compute with in float64"),
        ("exp", {"c": 0.0}, ValueError, "c must lie in (0, inf), got 0.0"),
        ("exp", {"c": "1"}, TypeError, "c must be a number, got str"),
    ]
    + [("init", *row) for row in SHARED]
    + [
        ("init", {"x": [1.0]}, TypeError, "x must be a plain NumPy array, got list"),
        ("init", {"x": np.ones((5, 3))}, ValueError, "x must have shape (5, 4), got (5, 3)"),
        ("init", {"x": np.full((5, 4), np.nan)}, ValueError, "x must be finite"),
        ("init", {"x": np.full((5, 4), 0.1)}, ValueError, "the same x @ v for all 5 samples in co"),
        # equal but for rounding: 0.1 + 0.2 is not 0.7 - 0.4
        ("init", {"v": np.ones((2, 1)), "x": SUM}, ValueError, "the same x @ v for all 3 samples"),
        ("init", {"x": V.T[:1]}, ValueError, "x must vary over the batch along every column of v"),
        ("init", {"v": V * [[0], [1], [0], [0]], "x": np.eye(4)[[0, 2, 3]]}, ValueError, "vary"),
    ],
)
def test_a_wrong_argument_is_named(
    function: str, changed: dict[str, Any], kind: type[Exception], words: str
) -> None:
    call: Any
    call, good = {
        "forward": (dlnorm.weightnorm_forward, {"v": V, "g": ONES}),
        "exp": (dlnorm.weightnorm_exp_forward, {"v": V, "s": ONES}),
        "init": (dlnorm.weightnorm_init, {"v": V, "x": np.eye(4)}),
    }[function]
    with pytest.raises(kind) as raised:
        call(**{**good, **changed})
    assert words in str(raised.value)


# ------------------------------------------------------------------ PyTorch, where it is installed


@every_shape
def test_forward_and_backward_are_those_of_pytorch(d_in: int, d_out: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an oracle, not a dependency")
    v, g, dW = draw(d_in, d_out)
    theirs_v, theirs_g = (torch.from_numpy(a).requires_grad_() for a in (v, g))
    theirs = theirs_g * theirs_v / theirs_v.norm(dim=0)
    theirs.backward(torch.from_numpy(dW))
    W, cache = dlnorm.weightnorm_forward(v, g)
    np.testing.assert_allclose(W, theirs.detach().numpy(), rtol=2 * rtol(d_in))
    length = np.sqrt((v * v).sum(axis=0))
    for got, want, divided in zip(
        dlnorm.weightnorm_backward(dW, cache), (theirs_v, theirs_g), (length, 1), strict=True
    ):
        terms = np.sqrt((dW * dW).sum(axis=0)) * np.maximum(np.abs(g), 1) / divided
        bound = 4 * (d_in + 8) * U * float(terms.max())
        np.testing.assert_allclose(got, want.grad.numpy(), rtol=0, atol=bound)
