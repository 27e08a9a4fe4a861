"""The foundations problem set: gradients one can trust, penalties, whitening.

Numeric gradients are compared with the same h, so a step of 0.25 shows what was computed, and its
truncation error with it. The functions that are differentiated couple all entries of x.

The signs of eigenvectors are free, so PCA is compared up to the sign of each column; ZCA needs no
such care. Clouds have variances between 0.05 and 2, which no eps of the cases leaves unnoticed. One
cloud is perfectly round, with equal eigenvalues: its covariance is exactly a multiple of the
identity, because its entries are few powers of two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dlnorm
from dlnorm._validate import Array
from dlnorm.grading.exercise import Args, Check, Misconception, ProblemSet, collect
from dlnorm.grading.misconceptions import foundations as wrong

# ---------------------------------------------------------------- references of this set only


def _central_difference(f: Callable[[Array], Any], x: Array, h: float) -> Array:
    """Gradient of a function with one value, by central differences."""
    return dlnorm.numeric_gradient(
        lambda point: np.asarray(f(point)), x.astype(np.float64), np.ones(()), h
    )


def _standardize_columns(x: Array, eps: float) -> Array:
    """Standardize each column, without a conjugate, so that the complex step passes through."""
    return dlnorm.standardize(x, axes=0, eps=eps)[0]


def _center_and_covariance(x: Array) -> tuple[Array, Array]:
    """X without its column means, and the biased covariance of its features."""
    centered = x - x.mean(axis=0)
    return centered, centered.T @ centered / len(x)


def _pca_whiten(x: Array, eps: float) -> Array:
    """PCA whitening, the axis of largest variance first."""
    return dlnorm.pca_whiten(x, eps)[0]


# ---------------------------------------------------------------- what the cases are made of

Rng = np.random.Generator


def _point(rng: Rng, *shape: int) -> Array:
    """Entries of both signs, none of them small."""
    point: Array = rng.uniform(0.3, 1.2, shape) * rng.choice([-1, 1], shape)
    return point


def _weights(rng: Rng, *shape: int) -> Array:
    """Weights of both signs, with two that are exactly 0."""
    w = _point(rng, *shape)
    w.flat[rng.choice(w.size, 2, replace=False)] = 0
    return w


def _eighths(rng: Rng, *shape: int) -> Array:
    """The same in float32, in multiples of 1/8: their sums are exact."""
    w = rng.integers(2, 12, shape) / 8 * rng.choice([-1, 1], shape)
    w.flat[rng.choice(w.size, 2, replace=False)] = 0
    single: Array = w.astype(np.float32)
    return single


def _columns_of_lengths(rng: Rng, d_in: int, lengths: list[float]) -> Array:
    """One column for each length, in a random direction and in random order."""
    columns = rng.standard_normal((d_in, len(lengths)))
    scaled: Array = columns / np.linalg.norm(columns, axis=0) * rng.permutation(lengths)
    return scaled


def _cloud(rng: Rng, n: int, d: int) -> Array:
    """Samples around means near 2, correlated, with deviations from 0.25 to 1.4 along the axes."""
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
    deviations = np.geomspace(1.4, 0.25, d) if d > 1 else np.array([0.4])
    cloud: Array = rng.uniform(1, 3, d) + rng.standard_normal((n, d)) * deviations @ axes.T
    return cloud


def _cloud_with_constants(rng: Rng, n: int, d: int) -> Array:
    """The same, and two features that are the same in all samples."""
    x = np.insert(_cloud(rng, n, d), [0, d], [2.0, -0.5], axis=1)
    return x[:, np.roll(np.arange(d + 2), rng.integers(d + 2))]


def _round_cloud(rng: Rng) -> Array:
    """Four samples whose covariance is exactly a multiple of the 3 x 3 identity."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    size, middle = rng.choice([0.5, 1.0, 2.0]), rng.integers(-3, 4, 3)
    cloud: Array = size * rng.permutation(corners).astype(np.float64) + middle
    return cloud


# ---------------------------------------------------------------- cases


def _scalar(rng: Rng) -> list[Args]:
    # many entries: putting one back by arithmetic is exact by chance three times in four
    return [
        {"f": "ripple", "x": _point(rng, 5), "h": 1e-3},
        {"f": "growth", "x": _point(rng, 3, 2), "h": 0.25},
        {"f": "ripple", "x": _point(rng, 3, 4, 4), "h": 1e-3},
        {"f": "growth", "x": rng.integers(1, 3, (2, 3)), "h": 0.25},
    ]


def _arrays(rng: Rng, steps: tuple[float, float, float]) -> list[Args]:
    cases = []
    for name, shape, out_shape, h in (
        ("squash", (2, 3), (2, 3), steps[0]),
        ("mix", (3, 2), (3, 3), steps[1]),
        ("pool", (4, 3), (3,), steps[2]),
    ):
        x, dout = _point(rng, *shape), rng.standard_normal(out_shape)
        cases.append({"f": name, "x": x, "dout": dout, "h": h})
    return cases


def _columns(rng: Rng) -> list[Args]:
    return [
        {
            "x": rng.uniform(2, 4, d) + 0.4 * rng.standard_normal((n, d)),
            "eps": eps,
            "v": rng.standard_normal((n, d)),
            "h": 1e-100,
        }
        for n, d, eps in ((5, 3, 1e-2), (4, 6, 0.5), (7, 1, 0.1))
    ]


def _pairs(rng: Rng) -> list[Args]:
    a = _point(rng, 3, 4)
    largest, other, zero = rng.choice(12, 3, replace=False)
    a.flat[largest], a.flat[zero] = -2.0, 0.0
    off = rng.uniform(0.005, 0.01, a.shape) * rng.choice([-1, 1], a.shape)
    b = a + off
    b.flat[largest], b.flat[other], b.flat[zero] = -1.8, a.flat[other] + 0.3, 1e-17
    x, y = _point(rng, 6), rng.integers(6)
    z = 3 * x
    z[y] = 4.5
    small = 1e-9 * _point(rng, 5)
    return [
        {"a": a, "b": b},
        {"a": x, "b": z},
        {"a": np.zeros(4), "b": rng.standard_normal(4)},
        {"a": small, "b": small * 1.25 + 1e-10},
        {"a": np.zeros((2, 3)), "b": np.zeros((2, 3))},
    ]


def _penalties(rng: Rng) -> list[Args]:
    return [
        {"w": _weights(rng, 4, 3), "strength": 0.3},
        {"w": _weights(rng, 7), "strength": 0.01},
        {"w": _weights(rng, 2, 3, 2), "strength": 2.5},
        {"w": _eighths(rng, 3, 5), "strength": 0.1},
    ]


def _too_long(rng: Rng) -> list[Args]:
    cases = []
    for d_in, share, c in (
        (5, [2.2, 0.4, 1.5], 2.5),
        (3, [0.9, 1.3, 0.3, 1.1], 0.7),
        (4, [0.8, 0.2, 0.5, 0.6], 1.6),
    ):
        w = _columns_of_lengths(rng, d_in, [s * c for s in share])
        cases.append({"w": w, "max_norm": c})
    cases.append({"w": np.array([[3.0, 4.0], [4.0, 3.0]]), "max_norm": 5.0})
    single = _columns_of_lengths(rng, 6, [4.0, 1.5, 0.3]).astype(np.float32)
    cases.append({"w": single, "max_norm": 2.0})
    with_zeros = _columns_of_lengths(rng, 3, [0.0, 1.9, 0.5, 0.7])
    cases.append({"w": with_zeros, "max_norm": 1.3})
    return cases


def _tables(rng: Rng) -> list[Args]:
    return [{"x": _cloud(rng, n, d)} for n, d in ((7, 3), (4, 6), (5, 1))]


def _pca_clouds(rng: Rng) -> list[Args]:
    return [
        {"x": _cloud(rng, 9, 3), "eps": 1e-2},
        {"x": _cloud(rng, 12, 4), "eps": 0.5},
        {"x": _cloud(rng, 8, 2), "eps": 1e-5},
        {"x": _cloud(rng, 4, 5), "eps": 0.5},
        {"x": _cloud_with_constants(rng, 10, 3), "eps": 1e-2},
    ]


def _zca_clouds(rng: Rng) -> list[Args]:
    return [
        {"x": _cloud(rng, 9, 3), "eps": 1e-2},
        {"x": _cloud(rng, 12, 4), "eps": 0.5},
        {"x": _cloud(rng, 8, 1), "eps": 1e-5},
        {"x": _cloud(rng, 11, 3).astype(np.float32), "eps": 0.1},
        {"x": _cloud(rng, 4, 5), "eps": 0.5},
        {"x": _cloud_with_constants(rng, 10, 3), "eps": 1e-2},
    ]


def _zca_gradients(rng: Rng) -> list[Args]:
    clouds: list[Args] = [
        {"x": _cloud(rng, 9, 3), "eps": 1e-2},
        {"x": _cloud(rng, 6, 1), "eps": 0.1},
        {"x": _cloud(rng, 8, 4).astype(np.float32), "eps": 0.1},
        {"x": _round_cloud(rng), "eps": 0.25},
        {"x": _cloud(rng, 4, 5), "eps": 0.5},
    ]
    return [{**c, "dout": rng.standard_normal(c["x"].shape).astype(c["x"].dtype)} for c in clouds]


# ---------------------------------------------------------------- checks

#: Two directions without variance give NaN or not by chance; one nudge in ten shows that.
_NUDGES = 40

_CHECKS = (
    Check(
        name="central_difference",
        program="""
        f = function(f)
        gradient = central_difference(f, x, h)
        """,
        compare=("gradient",),
        cases=_scalar,
        says="one central difference for each entry of x",
        section="derivatives-central",
    ),
    Check(
        name="numeric_gradient",
        program="""
        f = function(f)
        dx = numeric_gradient(f, x, dout, h)
        """,
        compare=("dx",),
        cases=lambda rng: _arrays(rng, (1e-3, 0.25, 1e-2)),
        says="all paths from an entry of x to the loss are counted",
        section="derivatives-vjp",
    ),
    Check(
        name="complex_step_gradient",
        program="""
        f = function(f)
        dx = complex_step_gradient(f, x, dout, h)
        dx = real(dx)
        """,
        compare=("dx",),
        cases=lambda rng: _arrays(rng, (1e-100, 0.1, 1e-20)),
        says="exact, with a step that no difference survives",
        section="derivatives-complex",
    ),
    Check(
        name="standardize_columns",
        program="""
        out = standardize_columns(x, eps)
        z = off_axis(x, v, h)
        moved = standardize_columns(z, eps)
        slope = slope_of(moved, h)
        """,
        compare=("out", "slope"),
        cases=_columns,
        says="the complex step passes through, mean and variance included",
        section="derivatives-complex",
    ),
    Check(
        name="relative_error",
        program="""
        error = relative_error(a, b)
        error = number(error)
        """,
        compare=("error",),
        cases=_pairs,
        says="the largest difference, against the largest entry of either",
        section="derivatives-relative",
    ),
    Check(
        name="l1_penalty",
        program="""
        loss, dw = l1_penalty(w, strength)
        loss = number(loss)
        """,
        compare=("loss", "dw"),
        cases=_penalties,
        says="value and slope, and 0 for a weight of 0",
        section="reg-l1",
    ),
    Check(
        name="l2_penalty",
        program="""
        loss, dw = l2_penalty(w, strength)
        loss = number(loss)
        """,
        compare=("loss", "dw"),
        cases=_penalties,
        says="value and slope belong together",
        section="reg-l2",
    ),
    Check(
        name="maxnorm_project",
        program="projected = maxnorm_project(w, max_norm)",
        compare=("projected",),
        cases=_too_long,
        says="long columns are shortened, the others stay",
        section="reg-maxnorm",
    ),
    Check(
        name="center_and_covariance",
        program="centered, covariance = center_and_covariance(x)",
        compare=("centered", "covariance"),
        cases=_tables,
        says="the mean is gone, and features are compared with features",
        section="white-center",
    ),
    Check(
        name="pca_whiten",
        program="""
        out = pca_whiten(x, eps)
        out = up_to_sign(out)
        """,
        compare=("out",),
        cases=_pca_clouds,
        says="white along the axes of the cloud, up to the signs",
        section="white-pca",
        nudges=_NUDGES,
    ),
    Check(
        name="zca_whiten_forward",
        program="out, cache = zca_whiten_forward(x, eps)",
        compare=("out",),
        cases=_zca_clouds,
        says="white, and column j still means feature j",
        section="white-zca",
        nudges=_NUDGES,
    ),
    # `out` is compared first: if the forward pass is wrong, nothing else is to blame.
    Check(
        name="zca_whiten_backward",
        program="""
        out, cache = zca_whiten_forward(x, eps)
        dx = zca_whiten_backward(dout, cache)
        """,
        compare=("out", "dx"),
        cases=_zca_gradients,
        says="dx is right, even where eigenvalues coincide",
        section="white-backward",
        nudges=_NUDGES,
    ),
)

PROBLEM_SET = ProblemSet(
    name="foundations",
    reference={
        "central_difference": _central_difference,
        "numeric_gradient": dlnorm.numeric_gradient,
        "complex_step_gradient": dlnorm.complex_step_gradient,
        "standardize_columns": _standardize_columns,
        "relative_error": dlnorm.relative_error,
        "l1_penalty": dlnorm.l1_penalty,
        "l2_penalty": dlnorm.l2_penalty,
        "maxnorm_project": dlnorm.maxnorm_project,
        "center_and_covariance": _center_and_covariance,
        "pca_whiten": _pca_whiten,
        "zca_whiten_forward": dlnorm.zca_whiten_forward,
        "zca_whiten_backward": dlnorm.zca_whiten_backward,
    },
    checks=_CHECKS,
    misconceptions=collect(vars(wrong), Misconception),
)
