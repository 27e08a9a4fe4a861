"""Cosine normalization: against its definition and PyTorch, its bounds and its invariances.

Gradients against the complex step, dtypes, layouts and caches are in `tests.ops.test_operations`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dlnorm
from tests.ops.cases import EPS, Array, unit_roundoff
from tests.ops.operations import WEIGHTS

U = unit_roundoff(np.float64)
every_shape = pytest.mark.parametrize(("d_in", "d_out"), WEIGHTS)


def draw(d_in: int, d_out: int, n: int = 5) -> tuple[Array, Array, Array]:
    """Return x, w and dout."""
    rng = np.random.default_rng([n, d_in, d_out])
    return rng.normal(1, 2, (n, d_in)), rng.normal(size=(d_in, d_out)), rng.normal(size=(n, d_out))


def bound(d_in: int) -> float:
    """Rounding of a dot product of two unit vectors, each off by d_in / 2 + 3 roundings."""
    return (2 * d_in + 8) * U


@pytest.mark.parametrize("eps", [0.0, *EPS])
@every_shape
def test_each_entry_is_what_the_definition_says(d_in: int, d_out: int, eps: float) -> None:
    x, w, _ = draw(d_in, d_out)
    out, _ = dlnorm.cosinenorm_forward(x, w, eps)
    for n in range(len(x)):
        for j in range(d_out):
            dot = math.fsum(x[n] * w[:, j])
            lengths = [math.sqrt(math.fsum(u * u) + eps) for u in (x[n], w[:, j])]
            assert abs(out[n, j] - dot / math.prod(lengths)) <= bound(d_in)


def test_the_cosine_is_exact_unless_eps_is_given() -> None:
    x, w, _ = draw(4, 3)
    default, zero = dlnorm.cosinenorm_forward(x, w)[0], dlnorm.cosinenorm_forward(x, w, 0.0)[0]
    np.testing.assert_array_equal(default, zero)


@every_shape
def test_it_is_bounded_and_one_for_a_unit_that_is_the_sample(d_in: int, d_out: int) -> None:
    x, _, _ = draw(d_in, d_out)
    for size in (1e-100, 1.0, 1e100):
        out, _ = dlnorm.cosinenorm_forward(size * x, x.T)
        assert np.abs(out).max() <= 1 + bound(d_in)
        np.testing.assert_allclose(np.diag(out), 1, rtol=0, atol=bound(d_in))
    out, _ = dlnorm.cosinenorm_forward(-x, x.T)
    np.testing.assert_allclose(np.diag(out), -1, rtol=0, atol=bound(d_in))


@pytest.mark.parametrize("factor", [2.0, 0.125, -1.0, -4.0])
@every_shape
def test_the_scale_of_either_factor_does_not_matter_but_its_sign(
    d_in: int, d_out: int, factor: float
) -> None:
    # powers of 2: every rounding is the same
    x, w, dout = draw(d_in, d_out)
    out, cache = dlnorm.cosinenorm_forward(x, w)
    dx, dw = dlnorm.cosinenorm_backward(dout, cache)
    sign = math.copysign(1, factor)

    scaled, cache = dlnorm.cosinenorm_forward(factor * x, w)
    np.testing.assert_array_equal(scaled, sign * out)
    got = dlnorm.cosinenorm_backward(dout, cache)
    np.testing.assert_array_equal(got[0], dx / abs(factor))
    np.testing.assert_array_equal(got[1], sign * dw)

    scaled, cache = dlnorm.cosinenorm_forward(x, factor * w)
    np.testing.assert_array_equal(scaled, sign * out)
    got = dlnorm.cosinenorm_backward(dout, cache)
    np.testing.assert_array_equal(got[0], sign * dx)
    np.testing.assert_array_equal(got[1], dw / abs(factor))


@every_shape
def test_gradients_are_perpendicular_to_what_they_belong_to(d_in: int, d_out: int) -> None:
    x, w, dout = draw(d_in, d_out)
    dx, dw = dlnorm.cosinenorm_backward(dout, dlnorm.cosinenorm_forward(x, w)[1])
    size = 3 * bound(d_in) + (d_out + len(x)) * U
    assert (np.abs((dx * x).sum(axis=1)) <= size * np.abs(dout).sum(axis=1)).all()
    assert (np.abs((dw * w).sum(axis=0)) <= size * np.abs(dout).sum(axis=0)).all()


def test_samples_and_units_do_not_mix() -> None:
    x, w, _ = draw(4, 3)
    out, _ = dlnorm.cosinenorm_forward(x, w)
    for n in range(5):
        for j in range(3):
            alone, _ = dlnorm.cosinenorm_forward(x[n : n + 1], w[:, j : j + 1])
            np.testing.assert_allclose(alone, out[n : n + 1, j : j + 1], rtol=0, atol=2 * bound(4))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_with_eps_a_zero_vector_gives_zero_and_a_finite_gradient(dtype: Any) -> None:
    x, w, dout = (a.astype(dtype) for a in draw(4, 3))
    x[2], w[:, 1] = 0, 0
    out, cache = dlnorm.cosinenorm_forward(x, w, eps=0.25)
    np.testing.assert_array_equal(out[2], np.zeros(3))
    np.testing.assert_array_equal(out[:, 1], np.zeros(5))
    dx, dw = dlnorm.cosinenorm_backward(dout, cache)
    # at 0 the square root of eps, 1/2, is all there is to divide by
    unit_w = w / np.sqrt((w * w).sum(axis=0) + dtype(0.25))
    unit_x = x / np.sqrt((x * x).sum(axis=1, keepdims=True) + dtype(0.25))
    rtol = 40 * unit_roundoff(dtype) * 10
    np.testing.assert_allclose(dx[2], 2 * dout[2] @ unit_w.T, rtol=rtol)
    np.testing.assert_allclose(dw[:, 1], 2 * unit_x.T @ dout[:, 1], rtol=rtol)


def test_float64_weights_leave_float32_data_in_float32() -> None:
    x, w, dout = draw(4, 3)
    out, cache = dlnorm.cosinenorm_forward(x.astype(np.float32), w)
    assert out.dtype == np.float32
    grads = dlnorm.cosinenorm_backward(dout.astype(np.float32), cache)
    assert {grad.dtype for grad in grads} == {np.dtype(np.float32)}


X, W = draw(4, 3)[:2]
HOLLOW_X, HOLLOW_W = X * [[1], [1], [1], [0], [1]], W * [1, 0, 1]


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"x": [1.0]}, TypeError, "x must be a plain NumPy array, got list"),
        ({"x": X[0]}, ValueError, "x must have shape (N, D_in), got shape (4,)"),
        ({"x": X * np.nan}, ValueError, "x must be finite, got 20 NaN or infinite of 20"),
        ({"x": X * 1e200}, ValueError, "x must be small enough to compute with in float64"),
        ({"x": HOLLOW_X}, ValueError, "x must have no row of length 0 in float64"),
        ({"x": HOLLOW_X}, ValueError, "got one in row 3 and eps = 0"),
        ({"x": HOLLOW_X, "eps": 1e-320}, ValueError, "got one in row 3 and eps = 9.9998"),
        ({"w": HOLLOW_W}, ValueError, "w must have no column of length 0 in float64"),
        ({"w": HOLLOW_W}, ValueError, "got one in column 1 and eps = 0"),
        ({"w": W.astype(int)}, TypeError, "w must be of dtype float32 or float64, got int64"),
        ({"w": W.T}, ValueError, "w must have shape (4, 4), got (3, 4)"),
        ({"w": W[:, 0]}, ValueError, "w must have shape (D_in, D_out), got shape (4,)"),
        ({"w": W * np.inf}, ValueError, "w must be finite"),
        (
            {"x": X.astype(np.float32), "w": W * 1e100},
            ValueError,
            "w must be small enough to compute with in float32",
        ),
        ({"eps": -1e-9}, ValueError, "eps must lie in [0, inf), got -1e-09"),
        ({"eps": None}, TypeError, "eps must be a number, got NoneType"),
    ],
)
def test_a_wrong_argument_is_named(
    changed: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as raised:
        dlnorm.cosinenorm_forward(**{"x": X, "w": W, **changed})
    assert words in str(raised.value)


@every_shape
def test_forward_and_backward_are_those_of_pytorch(d_in: int, d_out: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an oracle, not a dependency")
    x, w, dout = draw(d_in, d_out)
    theirs_x, theirs_w = (torch.from_numpy(a).requires_grad_() for a in (x, w))
    unit = torch.nn.functional.normalize
    theirs = unit(theirs_x, dim=1) @ unit(theirs_w, dim=0)
    theirs.backward(torch.from_numpy(dout))
    out, cache = dlnorm.cosinenorm_forward(x, w)
    np.testing.assert_allclose(out, theirs.detach().numpy(), rtol=0, atol=2 * bound(d_in))
    short = min(np.sqrt((x * x).sum(axis=1)).min(), np.sqrt((w * w).sum(axis=0)).min())
    allowed = 4 * bound(d_in) * float(np.abs(dout).sum() / short)
    for got, want in zip(
        dlnorm.cosinenorm_backward(dout, cache), (theirs_x, theirs_w), strict=True
    ):
        np.testing.assert_allclose(got, want.grad.numpy(), rtol=0, atol=allowed)
