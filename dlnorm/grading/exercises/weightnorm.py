"""The problem set on weight norm and its relatives, and on what each norm does not notice.

Cases have more inputs than units and the reverse, and as many of the one as of the other, where a
wrong axis shows in the numbers only; columns of very different lengths, none of them 1; g of both
signs; batches whose means are not 0; and an eps that is large beside a squared length.

No backward check compares the forward result: a wrong forward pass costs no points twice.
"""

from __future__ import annotations

from functools import cache

import numpy as np

import dlnorm
from dlnorm._validate import Array
from dlnorm.grading.exercise import Args, Check, Misconception, ProblemSet, collect
from dlnorm.grading.misconceptions import weightnorm as wrong

Rng = np.random.Generator

# ---------------------------------------------------------------- references of this set only


def _column_norms(v: Array) -> Array:
    """The length of each column, shape (D_out,)."""
    norms: Array = np.linalg.norm(v, axis=0)
    return norms


def _take_over(W: Array, length: float) -> tuple[Array, Array]:
    """The v, with columns of this length, and the g with which weight norm gives W."""
    norms = _column_norms(W)
    v: Array = length * W / norms
    return v, norms


def _length_after_step(length: Array, dv: Array, lr: float) -> Array:
    """The length of v - lr dv where dv is perpendicular to v."""
    new_length: Array = np.hypot(length, lr * _column_norms(dv))
    return new_length


def _log_length(g: Array, dg: Array, c: float) -> tuple[Array, Array]:
    """The s with g = exp(c s), and its gradient; book, equation ``wn-exp-backward``."""
    return np.log(g) / c, c * g * dg


#: How the notebook calls the changes, and how the experiment does.
_CHANGES = {
    "weights x 3": "weights × 3",
    "weights x -3": "weights × −3",
    "one unit x 3": "one unit × 3",
    "data x 3": "data × 3",
    "data shifted": "data shifted",
    "one sample x 3": "one sample × 3",
}


@cache
def _measured(norm: str) -> dict[str, bool]:
    """What leaves the output of a norm as it was, measured with `dlnorm` and eps = 0."""
    from dlnorm.experiments import invariances as table  # needs Matplotlib

    rng = np.random.default_rng(0)
    layer, pixels = table.NORMS[norm]
    x = 0.5 + rng.standard_normal((table.N, table.D_IN, *pixels))
    weights = rng.standard_normal((table.D_IN, table.D_OUT))
    before, _ = layer(x, weights, 0.0)
    row = {}
    for change, known_as in _CHANGES.items():
        of_x, of_weights, _ = table.TRANSFORMATIONS[known_as]
        after, _ = layer(of_x(x), of_weights(weights), 0.0)
        row[change] = bool(np.abs(after - before).max() < table.ROUNDING * np.abs(before).max())
    return row


def _invariances(norm: str) -> dict[str, bool]:
    """A row of the table: for each change, whether the output is the same as before."""
    return dict(_measured(norm))


# ---------------------------------------------------------------- what the cases are made of


def _weights(rng: Rng, d_in: int, d_out: int) -> Array:
    """Columns of different lengths, between 0.3 and 3, and none of them near 1."""
    v = rng.standard_normal((d_in, d_out))
    # every other one is short: one length in the place of all must show
    short, long = rng.uniform(0.3, 0.7, d_out), rng.uniform(1.5, 3, d_out)
    lengths = rng.permutation(np.where(np.arange(d_out) % 2, long, short))
    v *= lengths / _column_norms(v)
    return v


def _lengths(rng: Rng, d_out: int) -> Array:
    """Values of g with both signs, none near 1."""
    g: Array = rng.choice([rng.uniform(0.4, 0.7, d_out), rng.uniform(1.5, 3, d_out)])
    g *= rng.permutation(np.resize([-1.0, 1.0], d_out))
    return g


def _batch(rng: Rng, n: int, d: int, spread: float = 1.0) -> Array:
    """A table (n, d) whose columns have means on both sides of 0 that differ."""
    means = rng.permutation(np.resize([-1.0, 1.0], d)) * rng.uniform(1, 3, d)
    return means + spread * rng.standard_normal((n, d))


def _float32(args: Args) -> Args:
    """The same case in single precision."""
    return {
        key: _float32(value)
        if isinstance(value, dict)
        else value.astype(np.float32)
        if isinstance(value, np.ndarray)
        else value
        for key, value in args.items()
    }


# ---------------------------------------------------------------- cases


def _matrices(rng: Rng) -> list[Args]:
    return [{"v": _weights(rng, *shape)} for shape in ((5, 3), (2, 4), (3, 3))]


def _forward(rng: Rng) -> list[Args]:
    cases: list[Args] = [
        {"v": _weights(rng, *shape), "g": _lengths(rng, shape[1])}
        for shape in ((5, 3), (3, 3), (2, 4))
    ]
    cases[2]["v"] *= 1e-3  # so short that any eps shows
    return [*cases, _float32({"v": _weights(rng, 6, 2), "g": _lengths(rng, 2)})]


def _layers(rng: Rng) -> list[Args]:
    return [
        {"W": _weights(rng, *shape), "length": length}
        for shape, length in (((5, 3), 2.5), ((3, 4), 0.2), ((4, 1), 5.0))
    ]


def _backward(rng: Rng) -> list[Args]:
    cases: list[Args] = [
        {
            "v": _weights(rng, *shape),
            "g": _lengths(rng, shape[1]),
            "dW": rng.standard_normal(shape),
        }
        for shape in ((5, 3), (3, 3), (2, 4), (4, 1), (6, 2))
    ]
    return [*cases[:-1], _float32(cases[-1])]


def _steps(rng: Rng) -> list[Args]:
    cases = []
    for (d_in, d_out), lr in (((5, 3), 0.3), ((3, 4), 2.0), ((2, 1), 0.05)):
        dv = rng.standard_normal((d_in, d_out))
        # a step that is long enough to be seen and shorter than v
        length = lr * _column_norms(dv) * rng.uniform(1.2, 2.5, d_out)
        cases.append({"length": length, "dv": dv, "lr": lr})
    return cases


def _logarithms(rng: Rng) -> list[Args]:
    return [
        {"g": rng.uniform(1.5, 4, d), "dg": rng.standard_normal(d), "c": c}
        for d, c in ((4, 0.5), (3, 2.0), (1, 3.0))
    ]


def _inits(rng: Rng) -> list[Args]:
    return [
        {"v": _weights(rng, d_in, d_out), "x": _batch(rng, n, d_in, spread)}
        for n, d_in, d_out, spread in (
            (7, 3, 4, 1.0),
            (5, 4, 4, 0.05),
            (6, 5, 1, 1.0),
            (3, 2, 3, 1),
        )
    ]


def _two_steps(rng: Rng) -> list[Args]:
    cases = []
    for d, bn_param in (
        (3, {"mode": "train"}),
        (2, {"mode": "train", "momentum": 0.7}),
        (4, {"mode": "train", "momentum": 0.2, "running_mean": rng.uniform(2, 4, 4)}),
    ):
        first, second = _batch(rng, 6, d), _batch(rng, 5, d)
        cases.append(
            {"x1": first, "x2": second, "beta": rng.uniform(0.5, 2, d), "bn_param": bn_param}
        )
    return [*cases[:2], _float32(cases[2])]


def _meanonly(rng: Rng, n: int, d: int, mode: str) -> Args:
    bn_param = {"mode": mode, "running_mean": rng.uniform(2, 4, d)}
    return {"x": _batch(rng, n, d), "beta": rng.uniform(0.5, 2, d), "bn_param": bn_param}


def _test(rng: Rng) -> list[Args]:
    cases = [_meanonly(rng, n, d, "test") for n, d in ((5, 3), (1, 4), (6, 2))]
    return [*cases[:2], _float32(cases[2])]


def _meanonly_backward(rng: Rng) -> list[Args]:
    return [
        {**_meanonly(rng, n, d, mode), "dout": rng.uniform(0.2, 1.5) + rng.standard_normal((n, d))}
        for n, d, mode in ((6, 3, "train"), (4, 4, "train"), (3, 5, "train"), (5, 3, "test"))
    ]


def _cosine(rng: Rng) -> list[Args]:
    cases: list[Args] = []
    for (n, d_in, d_out), eps in (
        ((4, 5, 3), 0.1),
        ((3, 3, 3), 0.5),
        ((5, 2, 4), 0.0),
        ((3, 4, 2), 1e-2),
    ):
        x = _weights(rng, d_in, n).T
        cases.append({"x": x, "w": _weights(rng, d_in, d_out), "eps": eps})
    cases[1]["x"][1] = 0  # as it comes out of a layer of ReLUs
    return [*cases[:3], _float32(cases[3])]


def _cosine_backward(rng: Rng) -> list[Args]:
    return [
        {
            **case,
            "dout": rng.standard_normal((case["x"].shape[0], case["w"].shape[1])).astype(
                case["x"].dtype
            ),
        }
        for case in _cosine(rng)
    ]


def _norms(*names: str) -> list[Args]:
    return [{"norm": name} for name in names]


# ---------------------------------------------------------------- checks

_WEIGHTS = "W, cache = weightnorm_forward(v, g)"
_BOTH = f"{_WEIGHTS}\ndv, dg = weightnorm_backward(dW, cache)"
_MEANONLY = "out, cache = meanonly_batchnorm_forward(x, beta, bn_param)"
_COSINE = "out, cache = cosinenorm_forward(x, w, eps)"
_ROW = f"""
row = invariances(norm)
cells = describe_truths(row, '{", ".join(_CHANGES)}')
"""

_CHECKS = (
    Check(
        name="column_norms",
        program="norms = column_norms(v)",
        compare=("norms",),
        cases=_matrices,
        says="one length a unit",
        section="wn-columns",
    ),
    Check(
        name="weightnorm_forward",
        program=_WEIGHTS,
        compare=("W",),
        cases=_forward,
        says="directions from v, lengths from g, also in float32",
        section="wn-split",
    ),
    Check(
        name="take_over",
        program="v, g = take_over(W, length)",
        compare=("v", "g"),
        cases=_layers,
        says="the layer computes what it did",
        section="wn-split",
    ),
    Check(
        name="weightnorm_backward.g",
        program=_BOTH,
        compare=("dg",),
        cases=_backward,
        says="dg is right",
        section="wn-gradient-g",
    ),
    Check(
        name="weightnorm_backward.v",
        program=_BOTH,
        compare=("dv",),
        cases=_backward,
        says="dv is right, and perpendicular to v",
        section="wn-gradient-v",
    ),
    Check(
        name="length_after_step",
        program="new_length = length_after_step(length, dv, lr)",
        compare=("new_length",),
        cases=_steps,
        says="every step makes v longer, by this much",
        section="wn-gradient-v",
    ),
    Check(
        name="log_length",
        program="s, ds = log_length(g, dg, c)",
        compare=("s", "ds"),
        cases=_logarithms,
        says="the length is in the exponent, and so is its gradient",
        section="wn-gradient-g",
    ),
    Check(
        name="weightnorm_init",
        program="g, b = weightnorm_init(v, x)",
        compare=("g", "b"),
        cases=_inits,
        says="every unit starts with mean 0 and deviation 1",
        section="wn-data-init",
    ),
    Check(
        name="meanonly_batchnorm_forward.train",
        program="""
        out1, cache1 = meanonly_batchnorm_forward(x1, beta, bn_param)
        out2, cache2 = meanonly_batchnorm_forward(x2, beta, bn_param)
        """,
        compare=("out1", "out2", "bn_param['running_mean']"),
        cases=_two_steps,
        says="two steps of training are right, and remembered",
        section="wn-meanonly",
    ),
    Check(
        name="meanonly_batchnorm_forward.test",
        program=_MEANONLY,
        compare=("out", "bn_param['running_mean']"),
        cases=_test,
        says="test mode uses what was remembered, and changes nothing",
        section="bn-test-mode",
    ),
    Check(
        name="meanonly_batchnorm_backward",
        program=f"{_MEANONLY}\ndx, dbeta = meanonly_batchnorm_backward(dout, cache)",
        compare=("dx", "dbeta"),
        cases=_meanonly_backward,
        says="both gradients are right, in both modes",
        section="wn-meanonly",
    ),
    Check(
        name="cosinenorm_forward",
        program=_COSINE,
        compare=("out",),
        cases=_cosine,
        says="one cosine for each sample and unit",
        section="wn-cosine",
    ),
    Check(
        name="invariances.weights",
        program=_ROW,
        compare=("cells",),
        cases=lambda rng: _norms("none", "weight", "cosine"),
        says="the rows of the norms that act on weights are right",
        section="inv-table",
    ),
    Check(
        name="invariances.samples",
        program=_ROW,
        compare=("cells",),
        cases=lambda rng: _norms("batch", "instance"),
        says="a unit compared with itself: both rows are right",
        section="inv-table",
    ),
    Check(
        name="invariances.units",
        program=_ROW,
        compare=("cells",),
        cases=lambda rng: _norms("layer", "group"),
        says="units compared with their neighbors: both rows are right",
        section="inv-table",
    ),
    Check(
        name="cosinenorm_backward",
        program=f"{_COSINE}\ndx, dw = cosinenorm_backward(dout, cache)",
        compare=("dx", "dw"),
        cases=_cosine_backward,
        says="both gradients are right, with and without eps",
        section="wn-cosine",
    ),
)

PROBLEM_SET = ProblemSet(
    name="weightnorm",
    reference={
        "column_norms": _column_norms,
        "weightnorm_forward": dlnorm.weightnorm_forward,
        "take_over": _take_over,
        "weightnorm_backward": dlnorm.weightnorm_backward,
        "length_after_step": _length_after_step,
        "log_length": _log_length,
        "weightnorm_init": dlnorm.weightnorm_init,
        "meanonly_batchnorm_forward": dlnorm.meanonly_batchnorm_forward,
        "meanonly_batchnorm_backward": dlnorm.meanonly_batchnorm_backward,
        "cosinenorm_forward": dlnorm.cosinenorm_forward,
        "invariances": _invariances,
        "cosinenorm_backward": dlnorm.cosinenorm_backward,
    },
    checks=_CHECKS,
    misconceptions=collect(vars(wrong), Misconception),
)
