"""PCA and ZCA whitening, and the gradient through ZCA by routes that know no eigenvectors.

NumPy's `eigh` takes no complex numbers, so the complex step cannot go through `dlnorm` itself. It
goes through an oracle instead: the inverse root by the iteration of Denman & Beavers, which needs
matrix inverses only. Where the oracle agrees with the forward pass, its complex step is the exact
derivative to compare with, also where eigenvalues coincide. Central differences of `dlnorm`'s own
forward pass, and a Sylvester equation, say the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlnorm
from tests.ops.cases import QUICK, Array, layouts, unchanged, unit_roundoff

U = unit_roundoff(np.float64)
#: Tall, square, wide, one feature, one sample. The last three have no full covariance.
SHAPES = [(7, 3), (12, 5), (6, 1), (2, 1), (4, 4), (3, 5), (1, 3)]
FULL = [(7, 3), (12, 5), (6, 1), (2, 1)]
EPS = [0.5, 1e-3]


def draw(shape: tuple[int, int], mean: float = 1.0) -> tuple[Array, Array]:
    """Return correlated x, and dout."""
    rng = np.random.default_rng(shape)
    turn, _ = np.linalg.qr(rng.standard_normal((shape[1], shape[1])))
    stretch = np.geomspace(0.5, 2, shape[1])[:, np.newaxis]
    return mean + rng.standard_normal(shape) @ (stretch * turn), rng.standard_normal(shape)


def covariance(x: Array) -> Array:
    centered = x - x.mean(axis=0)
    return centered.T @ centered / len(x)


def spectrum(x: Array, eps: float) -> Array:
    """Eigenvalues of Cov + eps I, smallest first."""
    return np.linalg.eigvalsh(covariance(x)) + eps


def roots(matrix: Array) -> tuple[Array, Array]:
    """Root and inverse root of a matrix, real or complex; Denman & Beavers (1976).

    Newton's iteration doubles the number of right digits; before that it halves what is too large,
    so 60 steps are enough for condition numbers up to 1e16.
    """
    root, inverse = matrix, np.eye(len(matrix))
    for _ in range(60):
        root, inverse = (root + np.linalg.inv(inverse)) / 2, (inverse + np.linalg.inv(root)) / 2
    return root, inverse


def oracle(x: Array, eps: float) -> Array:
    """ZCA without eigenvectors."""
    return (x - x.mean(axis=0)) @ roots(covariance(x) + eps * np.eye(x.shape[1]))[1]


def out_bound(x: Array, eps: float) -> float:
    """Largest difference between two computations of ZCA.

    A computed covariance, and computed eigenvalues, are off by some (N + D) u of the largest, L;
    the inverse root of the smallest, l, by half of that divided by l**1.5. So each entry of out, a
    product with centered x, is off by |c| (N + D) u L / l**1.5, or |c| / sqrt(l) times that over
    the condition number L / l. 20 for D directions at once and for two computations.
    """
    values = spectrum(x, eps)
    size = np.abs(x - x.mean(axis=0)).sum(axis=1).max()
    return float(20 * sum(x.shape) * U * size * values[-1] / values[0] ** 1.5)


def dx_bound(x: Array, dout: Array, eps: float) -> float:
    """Largest difference between two computations of dx.

    dx is dout, or z times means of z dout with \\|z\\| <= sqrt(N D), divided by sqrt(l); s, z and
    the axes are off by the condition number times (N + D) u, as in `out_bound`.
    """
    values = spectrum(x, eps)
    terms = np.linalg.norm(dout) * (1 + x.shape[1]) / np.sqrt(values[0])
    return float(20 * sum(x.shape) * U * terms * values[-1] / values[0])


# ------------------------------------------------------------------ forward


@pytest.mark.parametrize("eps", [*EPS, 1e-5, 1e-12, 0.0])
@pytest.mark.parametrize("shape", FULL, ids=str)
def test_zca_is_the_inverse_root_of_the_covariance(shape: tuple[int, int], eps: float) -> None:
    x, _ = draw(shape)
    out, _ = dlnorm.zca_whiten_forward(x, eps)
    np.testing.assert_allclose(out, oracle(x, eps), rtol=0, atol=out_bound(x, eps))


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_zca_of_a_singular_covariance_with_eps(shape: tuple[int, int], eps: float) -> None:
    x, _ = draw(shape)
    out, _ = dlnorm.zca_whiten_forward(x, eps)
    np.testing.assert_allclose(out, oracle(x, eps), rtol=0, atol=out_bound(x, eps))


@pytest.mark.parametrize("eps", [*EPS, 1e-5, 0.0])
@pytest.mark.parametrize("whiten", [dlnorm.pca_whiten, dlnorm.zca_whiten_forward])
@pytest.mark.parametrize("shape", FULL, ids=str)
def test_the_covariance_is_the_identity_but_for_eps(
    shape: tuple[int, int], whiten: Any, eps: float
) -> None:
    x, _ = draw(shape)
    out, _ = whiten(x, eps)
    size = float(np.abs(out).max())
    bound = 2 * shape[0] * size * out_bound(x, eps)
    np.testing.assert_allclose(out.mean(axis=0), 0, rtol=0, atol=out_bound(x, eps))
    values = spectrum(x, eps)
    share = np.sort((values - eps) / values)
    got = np.linalg.eigvalsh(covariance(out))
    np.testing.assert_allclose(np.sort(got), share, rtol=0, atol=bound)
    if eps == 0:
        np.testing.assert_allclose(covariance(out), np.eye(shape[1]), rtol=0, atol=bound)
        assert bound < 1e-6


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pca_has_the_largest_variance_first_and_signs_that_are_fixed(
    shape: tuple[int, int],
) -> None:
    x, _ = draw(shape)
    out, (mean, axes, std) = dlnorm.pca_whiten(x, 0.01)
    d = shape[1]
    assert (np.diff(std) <= 0).all()
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=4 * shape[0] * U)
    np.testing.assert_allclose(axes.T @ axes, np.eye(d), rtol=0, atol=20 * d * U)
    diagonal = axes.T @ covariance(x) @ axes + 0.01 * np.eye(d)
    bound = 20 * sum(shape) * U * float(std[0]) ** 2
    np.testing.assert_allclose(diagonal, np.diag(std**2), rtol=0, atol=bound)
    assert (axes[np.abs(axes).argmax(axis=0), range(d)] > 0).all()
    want = (x - mean) @ axes / std
    np.testing.assert_allclose(out, want, rtol=0, atol=out_bound(x, 0.01))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_comes_back_whitens_other_data(shape: tuple[int, int]) -> None:
    x, _ = draw(shape)
    pca, (mean, axes, std) = dlnorm.pca_whiten(x, 0.01)
    zca, cache = dlnorm.zca_whiten_forward(x, 0.01)
    for one, other in zip((mean, axes, std), cache.whitening, strict=True):
        np.testing.assert_array_equal(one, other)
    again = (x - mean) @ axes / std
    bound = out_bound(x, 0.01)
    np.testing.assert_allclose(again, pca, rtol=0, atol=bound)
    np.testing.assert_allclose(again @ axes.T, zca, rtol=0, atol=bound)


def test_with_one_feature_it_is_standardize() -> None:
    x, dout = draw((6, 1))
    for eps in (0.0, 1e-5, 0.5):
        out, cache = dlnorm.zca_whiten_forward(x, eps)
        want, own = dlnorm.standardize(x, 0, eps)
        np.testing.assert_allclose(out, want, rtol=0, atol=out_bound(x, eps))
        pca, _ = dlnorm.pca_whiten(x, eps)
        np.testing.assert_allclose(pca, want, rtol=0, atol=out_bound(x, eps))
        dx = dlnorm.zca_whiten_backward(dout, cache)
        want = dlnorm.standardize_backward(dout, own)
        np.testing.assert_allclose(dx, want, rtol=0, atol=dx_bound(x, dout, eps))


@pytest.mark.parametrize("shape", FULL, ids=str)
def test_zca_turns_with_its_input_and_pca_does_not(shape: tuple[int, int]) -> None:
    x, dout = draw(shape)
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((shape[1], shape[1])))
    out, cache = dlnorm.zca_whiten_forward(x, 0.1)
    turned, turned_cache = dlnorm.zca_whiten_forward(x @ turn, 0.1)
    bound = 2 * shape[1] * out_bound(x, 0.1)
    np.testing.assert_allclose(turned, out @ turn, rtol=0, atol=bound)
    dx = dlnorm.zca_whiten_backward(dout, cache)
    got = dlnorm.zca_whiten_backward(dout @ turn, turned_cache)
    bound = 2 * shape[1] * dx_bound(x, dout, 0.1)
    np.testing.assert_allclose(got, dx @ turn, rtol=0, atol=bound)
    pca, turned = (np.abs(dlnorm.pca_whiten(a, 0.1)[0]) for a in (x, x @ turn))
    np.testing.assert_allclose(turned, pca, rtol=0, atol=1e4 * out_bound(x, 0.1))  # gaps of 1e-3


@pytest.mark.parametrize("factor", [4.0, -0.5])
@pytest.mark.parametrize("shape", FULL, ids=str)
def test_scale_and_mean_do_not_matter_but_the_sign(shape: tuple[int, int], factor: float) -> None:
    x, dout = draw(shape)
    out, cache = dlnorm.zca_whiten_forward(x, 0.0)
    other, other_cache = dlnorm.zca_whiten_forward(factor * x + 3, 0.0)
    sign, bound = np.sign(factor), 20 * out_bound(x, 0.0)  # 20: the mean of x is larger now
    np.testing.assert_allclose(other, sign * out, rtol=0, atol=bound)
    dx = dlnorm.zca_whiten_backward(dout, cache)
    got = dlnorm.zca_whiten_backward(sign * dout, other_cache)
    bound = 20 * dx_bound(x, dout, 0.0)
    np.testing.assert_allclose(factor * got, dx, rtol=0, atol=bound)
    # so the gradient is perpendicular to both: to shifting a feature, and to scaling x
    np.testing.assert_allclose(dx.sum(axis=0), 0, rtol=0, atol=len(x) * bound)
    np.testing.assert_allclose((dx * x).sum(), 0, rtol=0, atol=x.size * bound * np.abs(x).max())


# ------------------------------------------------------------------ backward


def compare(x: Array, dout: Array, eps: float) -> None:
    """Compare dx with the complex step through the oracle."""
    dx = dlnorm.zca_whiten_backward(dout, dlnorm.zca_whiten_forward(x, eps)[1])
    want = dlnorm.complex_step_gradient(lambda x: oracle(x, eps), x, dout)
    bound = dx_bound(x, dout, eps)
    assert bound < 1e-6 * np.linalg.norm(dout) / np.sqrt(spectrum(x, eps)[0])  # it can fail
    np.testing.assert_allclose(dx, want, rtol=0, atol=bound)


@pytest.mark.parametrize("eps", [*EPS, 1e-5, 1e-12, 0.0])
@pytest.mark.parametrize("shape", FULL, ids=str)
def test_the_gradient_equals_the_complex_step(shape: tuple[int, int], eps: float) -> None:
    compare(*draw(shape), eps)


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_gradient_of_a_singular_covariance_with_eps(shape: tuple[int, int], eps: float) -> None:
    compare(*draw(shape), eps)


def two_alike(gap: float) -> Array:
    """x with variances 1, 1 + gap and 4, and no correlations, in axes that are not the features.

    Two features of equal variance in any other axes still have equal variance: only without the
    gap is every direction in their plane an eigenvector.
    """
    rng = np.random.default_rng(11)
    centered = np.linalg.qr(np.column_stack([np.ones(8), rng.standard_normal((8, 3))]))[0][:, 1:]
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    return centered * np.sqrt(8 * np.array([1, 1 + gap, 4.0])) @ turn + 2


@pytest.mark.parametrize("eps", [0.0, 1e-3, 0.5])
@pytest.mark.parametrize("gap", [0.0, 1e-15, 1e-12, 1e-8, 1e-4])
def test_the_gradient_is_exact_where_eigenvalues_coincide(gap: float, eps: float) -> None:
    x = two_alike(gap)
    values = spectrum(x, 0.0)
    np.testing.assert_allclose(values, [1, 1 + gap, 4], rtol=0, atol=100 * U)
    compare(x, draw((8, 3))[1], eps)


def test_the_gradient_where_all_eigenvalues_are_exactly_equal() -> None:
    x = np.array([[1.0, 1], [-1, -1], [1, -1], [-1, 1]])
    np.testing.assert_array_equal(covariance(x), np.eye(2))
    for eps in (0.0, 0.3):
        compare(x, draw((4, 2))[1], eps)


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", [*FULL, (3, 5)], ids=str)
def test_the_gradient_equals_central_differences_of_its_own_forward_pass(
    shape: tuple[int, int], eps: float
) -> None:
    x, dout = draw(shape)
    dx = dlnorm.zca_whiten_backward(dout, dlnorm.zca_whiten_forward(x, eps)[1])
    got = dlnorm.numeric_gradient(lambda x: dlnorm.zca_whiten_forward(x, eps)[0], x, dout)
    # h = 6e-6. Truncation: h**2 = 4e-11 times the third derivative, which grows by a factor of
    # 1 / sqrt(l) for each order: l**-1.5 times some 10. Rounding: the error of out, divided by h.
    size = float(np.abs(dout).sum())
    truncation = 4e-11 * 10 * (1 + spectrum(x, eps)[0] ** -1.5)
    np.testing.assert_allclose(
        got, dx, rtol=0, atol=size * (truncation + out_bound(x, eps) / 6e-6 / 10)
    )


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_gradient_solves_a_sylvester_equation(shape: tuple[int, int], eps: float) -> None:
    # A = R^-1 with R R = Cov + eps I. Varied: dR R + R dR = dCov and dA = -A dR A, so the gradient
    # of Cov is the X with R X + X R = -A dA A, written out as one linear system for all entries.
    x, dout = draw(shape)
    n, d = shape
    centered = x - x.mean(axis=0)
    R, A = roots(covariance(x) + eps * np.eye(d))
    dA = centered.T @ dout
    both = np.kron(R, np.eye(d)) + np.kron(np.eye(d), R)
    dcov = np.linalg.solve(both, (-A @ dA @ A).ravel()).reshape(d, d)
    dcentered = dout @ A + centered @ (dcov + dcov.T) / n
    want = dcentered - dcentered.mean(axis=0)
    dx = dlnorm.zca_whiten_backward(dout, dlnorm.zca_whiten_forward(x, eps)[1])
    np.testing.assert_allclose(dx, want, rtol=0, atol=dx_bound(x, dout, eps))


def test_the_divided_differences_are_those_of_the_notes() -> None:
    # dx put together from K, as the docstring says, instead of from H
    x, dout = draw((7, 3))
    centered, eps = x - x.mean(axis=0), 0.1
    values, U_ = np.linalg.eigh(covariance(x))
    s = np.sqrt(values + eps)
    K = -1 / (np.outer(s, s) * (s[:, None] + s))
    far = ~np.eye(3, dtype=bool)
    differences = (1 / s[:, None] - 1 / s) / (values[:, None] - values + np.eye(3))
    np.testing.assert_allclose(K[far], differences[far], rtol=1e-12)
    dcov = U_ @ (K * (U_.T @ centered.T @ dout @ U_)) @ U_.T
    dcentered = dout @ U_ / s @ U_.T + centered @ (dcov + dcov.T) / 7
    want = dcentered - dcentered.mean(axis=0)
    dx = dlnorm.zca_whiten_backward(dout, dlnorm.zca_whiten_forward(x, eps)[1])
    np.testing.assert_allclose(dx, want, rtol=0, atol=dx_bound(x, dout, eps))


# ------------------------------------------------------------------ precision and layouts


@pytest.mark.parametrize("mean", [1.0, 1e4])
def test_float32_is_rounded_once(mean: float) -> None:
    x, dout = (a.astype(np.float32) for a in draw((40, 4), mean))
    double = x.astype(np.float64)
    out, cache = dlnorm.zca_whiten_forward(x)
    want, exact = dlnorm.zca_whiten_forward(double)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, want.astype(np.float32))
    np.testing.assert_array_equal(
        dlnorm.pca_whiten(x)[0], dlnorm.pca_whiten(double)[0].astype(np.float32)
    )
    dx = dlnorm.zca_whiten_backward(dout, cache)
    assert dx.dtype == np.float32
    want = dlnorm.zca_whiten_backward(dout.astype(np.float64), exact)
    # dout @ axes may be computed in another order
    bound = dx_bound(double, dout, 1e-5) + unit_roundoff(np.float32) * np.abs(want).max()
    np.testing.assert_allclose(dx, want, rtol=0, atol=bound)


def test_a_large_mean_costs_no_digits() -> None:
    # x + 2**30 has lost the last 30 bits of x: take them off first, and the shift is exact
    x = np.round(draw((40, 4))[0] * 2**20) / 2**20
    bound = 50 * out_bound(x, 1e-5)
    for whiten in (dlnorm.pca_whiten, dlnorm.zca_whiten_forward):
        want, _ = whiten(x)
        np.testing.assert_allclose(whiten(x + 2.0**30)[0], want, rtol=0, atol=bound)


def test_eps_is_1e_5_unless_given() -> None:
    x, _ = draw((7, 3))
    for whiten in (dlnorm.pca_whiten, dlnorm.zca_whiten_forward):
        np.testing.assert_array_equal(whiten(x)[0], whiten(x, 1e-5)[0])


@QUICK
@given(st.integers(1, 9), st.integers(1, 6), st.sampled_from([np.float32, np.float64]))
def test_any_shape_dtype_and_memory_layout(n: int, d: int, dtype: Any) -> None:
    x = draw((n, d))[0].astype(dtype)
    pca, zca = dlnorm.pca_whiten(x, 0.1)[0], dlnorm.zca_whiten_forward(x, 0.1)[0]
    bound = 2 * out_bound(x.astype(np.float64), 0.1) + 4 * unit_roundoff(dtype)
    for layout, same in layouts(x).items():
        with unchanged(x=same):
            got, _ = dlnorm.zca_whiten_forward(same, 0.1)
            coordinates, _ = dlnorm.pca_whiten(same, 0.1)
        assert got.dtype == coordinates.dtype == dtype
        np.testing.assert_allclose(got, zca, rtol=0, atol=bound * np.abs(zca).max() + bound)
        assert coordinates.shape == pca.shape, layout


# ------------------------------------------------------------------ wrong arguments

X = draw((7, 3))[0]
CONSTANT = X * [1, 0, 1] + [0, 5, 0]


@pytest.mark.parametrize("whiten", [dlnorm.pca_whiten, dlnorm.zca_whiten_forward])
@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"x": [1.0]}, TypeError, "x must be a plain NumPy array, got list"),
        ({"x": X.astype(int)}, TypeError, "x must be of dtype float32 or float64, got int64"),
        ({"x": X + 0j}, TypeError, "x must be of dtype float32 or float64, got complex128"),
        ({"x": X[0]}, ValueError, "x must have shape (N, D), got shape (3,)"),
        ({"x": X * np.nan}, ValueError, "x must be finite, got 21 NaN or infinite of 21"),
        ({"x": X * 1e200}, ValueError, "x must be small enough to compute with in float64"),
        ({"eps": -1e-9}, ValueError, "eps must lie in [0, inf), got -1e-09"),
        ({"eps": np.inf}, ValueError, "eps must lie in [0, inf), got inf"),
        ({"eps": "0"}, TypeError, "eps must be a number, got str"),
        (
            {"x": CONSTANT},
            ValueError,
            "x has no variance in 1 of 3 directions, got eps = 0",
        ),
        ({"x": CONSTANT, "eps": 1e-18}, ValueError, "eps must be larger than"),
        ({"x": X[:3]}, ValueError, "because x has no variance in 1 of 3 directions"),
        ({"x": X[:1]}, ValueError, "eps must be larger than 0, because x has no variance in 3 of"),
        ({"x": X @ [[1, 1, 0], [0, 0, 1], [0, 0, 0]]}, ValueError, "in 1 of 3 directions"),
    ],
)
def test_a_wrong_argument_is_named(
    whiten: Any, changed: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as raised:
        whiten(**{"x": X, "eps": 0.0, **changed})
    assert words in str(raised.value)


def test_a_constant_feature_needs_eps_and_comes_out_as_zero() -> None:
    # as three of the 64 pixels of scikit-learn's digits do
    for whiten in (dlnorm.pca_whiten, dlnorm.zca_whiten_forward):
        out, _ = whiten(CONSTANT, 1e-5)
        assert np.isfinite(out).all()
    np.testing.assert_allclose(out[:, 1], 0, rtol=0, atol=out_bound(CONSTANT, 1e-5))
    compare(CONSTANT, draw((7, 3))[1], 1e-5)
