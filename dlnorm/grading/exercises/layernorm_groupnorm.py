"""The problem set on layer, group and instance norm.

Cases come with as many rows as columns, where a mixed-up axis raises no error, and with other
shapes, where it does; with one sample, one feature, one group and a group for every channel;
with an eps that is large beside the variance; with random gamma, beta and dout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dlnorm
from dlnorm._validate import Array
from dlnorm.grading.exercise import Args, Check, Misconception, ProblemSet, collect
from dlnorm.grading.misconceptions import layernorm_groupnorm as wrong
from dlnorm.layernorm import LayerNormRNNCache, LayerNormRNNStepCache

# ---------------------------------------------------------------- references of this set only


def _row_statistics(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each row, both of shape (N, 1)."""
    _, stats = dlnorm.standardize(x, axes=1)
    return stats.mean, stats.var


def _who_depends_on_whom(layer: Callable[[Array], Array], x: Array) -> Array:
    """Entry [i, j] says whether the output for sample i changes when sample j does."""
    before = layer(x)
    depends = np.zeros((len(x), len(x)), dtype=bool)
    for j in range(len(x)):
        changed = x.copy()
        changed[j] = x[j] + np.arange(x.shape[1]) ** 2
        depends[:, j] = (layer(changed) != before).any(axis=1)
    return depends


def _rnn_backward(dh: Array, caches: list[LayerNormRNNStepCache]) -> tuple[Array, ...]:
    """Back through time, from the list of the steps' caches; book, ``ln-through-time``."""
    return dlnorm.layernorm_rnn_backward(dh, LayerNormRNNCache(tuple(caches)))


# ---------------------------------------------------------------- what the cases are made of

Rng = np.random.Generator


def _samples(rng: Rng, n: int, d: int, spread: float = 0.2) -> Array:
    """A table (n, d) whose rows have means from 2 to 4 that differ, and about the given spread."""
    level, width = rng.permutation(np.linspace(2, 4, n)), rng.uniform(0.7, 1.3, n)
    return level[:, None] + spread * width[:, None] * rng.standard_normal((n, d))


def _images(rng: Rng, n: int, c: int, h: int, w: int, spread: float = 0.2) -> Array:
    """Images whose channels have different means."""
    means = rng.permutation(np.linspace(1, 2, c)).reshape(1, c, 1, 1)
    return means + spread * rng.standard_normal((n, c, h, w))


def _parameters(rng: Rng, d: int) -> Args:
    """Gamma and beta, no entry near 0 and no two of a kind."""
    return {
        "gamma": rng.permutation(np.linspace(0.5, 2, d)) * rng.choice([-1, 1], d),
        "beta": rng.permutation(np.linspace(0.5, 2.5, d)),
    }


def _dout(rng: Rng, x: Array) -> Array:
    return rng.standard_normal(x.shape).astype(x.dtype)


def _float32(args: Args) -> Args:
    """The same case in single precision."""
    return {
        key: value.astype(np.float32) if isinstance(value, np.ndarray) else value
        for key, value in args.items()
    }


def _in_four_dimensions(args: Args) -> Args:
    """The same case with gamma and beta of shape (1, C, 1, 1)."""
    return {**args, **{key: args[key].reshape(1, -1, 1, 1) for key in ("gamma", "beta")}}


def _layer(rng: Rng, x: Array, ln_param: Args) -> Args:
    return {"x": x, **_parameters(rng, x.shape[1]), "ln_param": ln_param}


def _group(rng: Rng, x: Array, G: int, gn_param: Args) -> Args:
    return {"x": x, **_parameters(rng, x.shape[1]), "G": G, "gn_param": gn_param}


def _instance(rng: Rng, x: Array, in_param: Args) -> Args:
    return {"x": x, **_parameters(rng, x.shape[1]), "in_param": in_param}


def _cell(rng: Rng, n: int, d: int, units: int, ln_param: Args, steps: int = 1) -> Args:
    """The inputs of `steps` steps and the cell's parameters; the sums have a spread of about 1."""
    names = ["x"] if steps == 1 else [f"x{t + 1}" for t in range(steps)]
    return {
        **{name: rng.standard_normal((n, d)) for name in names},
        "h0": rng.uniform(-0.9, 0.9, (n, units)),
        "Wx": rng.standard_normal((d, units)) / np.sqrt(d),
        "Wh": rng.standard_normal((units, units)) / np.sqrt(units),
        **_parameters(rng, units),
        "ln_param": ln_param,
    }


# ---------------------------------------------------------------- cases


def _statistics(rng: Rng) -> list[Args]:
    return [{"x": _samples(rng, *shape)} for shape in ((4, 4), (3, 6), (5, 1), (1, 4))]


def _forward(rng: Rng) -> list[Args]:
    far = _samples(rng, 4, 16) + 30  # a large mean: in float32 the squares lose digits
    return [
        _layer(rng, _samples(rng, 4, 4), {"eps": 1e-2}),
        _layer(rng, _samples(rng, 6, 3, 1.0), {"eps": 0.5}),
        _layer(rng, _samples(rng, 3, 5), {}),
        _layer(rng, _samples(rng, 5, 1), {"eps": 0.1}),
        _float32(_layer(rng, far, {"eps": 1e-3})),
    ]


def _alone(rng: Rng) -> list[Args]:
    """A batch, and a sample of it by itself."""
    cases = []
    for n, d, ln_param in (
        (4, 4, {"eps": 1e-2, "mode": "train"}),
        (3, 6, {"eps": 0.1, "mode": "test"}),
        (5, 3, {}),
    ):
        case = _layer(rng, _samples(rng, n, d), ln_param)
        cases.append({**case, "sample": case["x"][1:2].copy()})
    return cases


def _influences(rng: Rng) -> list[Args]:
    alone = np.eye(3)
    everybody = np.ones((4, 4))
    in_pairs = np.kron(np.eye(2), np.ones((2, 2)))
    after = np.tril(np.ones((5, 5)), -1)  # each sample sees those before it, and not itself
    return [
        {"sees": sees * rng.uniform(0.5, 1, sees.shape), "x": _samples(rng, len(sees), d, 1.0)}
        for sees, d in ((after, 4), (in_pairs, 3), (everybody, 5), (alone, 4))
    ]


def _backward(rng: Rng) -> list[Args]:
    layers = [
        _layer(rng, _samples(rng, 4, 4), {"eps": 1e-2}),
        _layer(rng, _samples(rng, 6, 3, 1.0), {"eps": 0.5}),
        _layer(rng, _samples(rng, 1, 5), {}),
        _layer(rng, _samples(rng, 5, 1), {"eps": 0.1}),
        _float32(_layer(rng, _samples(rng, 3, 8, 0.5), {"eps": 1e-2})),
    ]
    return [{**args, "dout": _dout(rng, args["x"])} for args in layers]


def _two_steps(rng: Rng) -> list[Args]:
    return [
        _cell(rng, 4, 3, 4, {"eps": 0.1}, steps=2),
        _cell(rng, 2, 4, 6, {"eps": 1e-2}, steps=2),
        _cell(rng, 1, 2, 5, {}, steps=2),
        _float32(_cell(rng, 3, 5, 4, {"eps": 0.5}, steps=2)),
    ]


def _step_and_dh(rng: Rng) -> list[Args]:
    cells = [
        _cell(rng, 4, 3, 4, {"eps": 0.1}),
        _cell(rng, 2, 4, 6, {"eps": 0.5}),
        _cell(rng, 1, 2, 5, {}),
    ]
    return [{**args, "dh": _dout(rng, args["h0"])} for args in cells]


def _three_steps(rng: Rng) -> list[Args]:
    cases = []
    for n, d, units, ln_param in ((4, 3, 5, {"eps": 0.1}), (1, 2, 3, {"eps": 0.5}), (3, 4, 4, {})):
        case = _cell(rng, n, d, units, ln_param, steps=3)
        cases.append({**case, "dh": rng.standard_normal((n, 3, units))})
    return cases


def _grouped(rng: Rng) -> list[Args]:
    far = _images(rng, 2, 4, 2, 3, 0.5) + 10
    return [
        _group(rng, _images(rng, 2, 4, 2, 4), 2, {"eps": 1e-2}),
        _in_four_dimensions(_group(rng, _images(rng, 2, 6, 1, 5, 1.0), 3, {"eps": 0.5})),
        _in_four_dimensions(_group(rng, _images(rng, 2, 3, 2, 3), 1, {})),
        _group(rng, _images(rng, 1, 4, 3, 2), 4, {"eps": 0.1}),
        _group(rng, _images(rng, 2, 6, 3, 2), 2, {"eps": 0.1, "mode": "test"}),
        _float32(_group(rng, far, 2, {"eps": 1e-2})),
    ]


def _divisors(rng: Rng) -> list[Args]:
    """Six channels in three groups, then numbers of groups that do not divide the channels."""
    return [
        _group(rng, _images(rng, n, c, h, w), G, {"eps": 1e-2})
        for n, c, h, w, G in ((2, 6, 2, 6, 3), (2, 6, 2, 4, 4), (3, 4, 3, 1, 3), (1, 2, 2, 2, 4))
    ]


def _grouped_and_dout(rng: Rng) -> list[Args]:
    layers = [
        _group(rng, _images(rng, 2, 4, 2, 4), 2, {"eps": 1e-2}),
        _in_four_dimensions(_group(rng, _images(rng, 2, 6, 1, 5, 1.0), 3, {"eps": 0.5})),
        _in_four_dimensions(_group(rng, _images(rng, 2, 3, 2, 3), 1, {})),
        _group(rng, _images(rng, 1, 4, 3, 2), 4, {"eps": 0.1}),
        _float32(_group(rng, _images(rng, 2, 4, 2, 3, 0.5), 2, {"eps": 1e-2})),
    ]
    return [{**args, "dout": _dout(rng, args["x"])} for args in layers]


def _instances(rng: Rng) -> list[Args]:
    return [
        _instance(rng, _images(rng, 2, 4, 3, 4), {"eps": 1e-2}),
        _in_four_dimensions(_instance(rng, _images(rng, 2, 3, 2, 5, 1.0), {"eps": 0.5})),
        _instance(rng, _images(rng, 2, 3, 1, 1), {}),
        _float32(_instance(rng, _images(rng, 1, 2, 4, 3), {"eps": 0.1})),
    ]


def _instances_and_dout(rng: Rng) -> list[Args]:
    return [{**args, "dout": _dout(rng, args["x"])} for args in _instances(rng)]


# ---------------------------------------------------------------- checks

_FORWARD = "out, cache = layernorm_forward(x, gamma, beta, ln_param)"
_BACKWARD = f"{_FORWARD}\ndx, dgamma, dbeta = layernorm_backward(dout, cache)"
# For gradients of gamma and beta of images, (C,) is as good as (1, C, 1, 1).
_ONE_A_CHANNEL = "dgamma = per_channel(dgamma)\ndbeta = per_channel(dbeta)"

# A backward check compares `out` first: if the forward pass is wrong, nothing else is to blame.
_CHECKS = (
    Check(
        name="row_statistics",
        program="mean, var = row_statistics(x)",
        compare=("mean", "var"),
        cases=_statistics,
        says="one mean and one biased variance a row, shaped to broadcast",
        section="ln-axes",
    ),
    Check(
        name="layernorm_forward",
        program=_FORWARD,
        compare=("out",),
        cases=_forward,
        says="out is right, also for one feature and in float32",
        section="ln-algorithm",
    ),
    Check(
        name="layernorm_forward.alone",
        program="""
        out, cache = layernorm_forward(x, gamma, beta, ln_param)
        alone, cache1 = layernorm_forward(sample, gamma, beta, ln_param)
        """,
        compare=("out", "alone"),
        cases=_alone,
        says="a sample gets the same alone as in a batch, in any mode",
        section="ln-no-batch",
    ),
    Check(
        name="who_depends_on_whom",
        program="""
        layer = table_layer(sees)
        depends = who_depends_on_whom(layer, x)
        depends = as_numbers(depends)
        """,
        compare=("depends",),
        cases=_influences,
        says="you find out which samples a layer mixes",
        section="ln-no-batch",
    ),
    Check(
        name="layernorm_backward.affine",
        program=_BACKWARD,
        compare=("out", "dgamma", "dbeta"),
        cases=_backward,
        says="dgamma and dbeta are right",
        section="ln-affine-gradients",
    ),
    Check(
        name="layernorm_backward.dx",
        program=_BACKWARD,
        compare=("out", "dx"),
        cases=_backward,
        says="dx is right: the means run along the rows, with gamma inside",
        section="ln-gradient",
    ),
    Check(
        name="layernorm_rnn_step_forward",
        program="""
        h1, c1 = layernorm_rnn_step_forward(x1, h0, Wx, Wh, gamma, beta, ln_param)
        h2, c2 = layernorm_rnn_step_forward(x2, h1, Wx, Wh, gamma, beta, ln_param)
        """,
        compare=("h1", "h2"),
        cases=_two_steps,
        says="two steps in a row give the right states",
        section="ln-step",
    ),
    Check(
        name="layernorm_rnn_step_backward",
        program="""
        h, cache = layernorm_rnn_step_forward(x, h0, Wx, Wh, gamma, beta, ln_param)
        dx, dh0, dWx, dWh, dgamma, dbeta = layernorm_rnn_step_backward(dh, cache)
        """,
        compare=("h", "dx", "dh0", "dWx", "dWh", "dgamma", "dbeta"),
        cases=_step_and_dh,
        says="all six gradients of a step are right",
        section="ln-step",
    ),
    Check(
        name="layernorm_rnn_backward",
        program="""
        h1, c1 = layernorm_rnn_step_forward(x1, h0, Wx, Wh, gamma, beta, ln_param)
        h2, c2 = layernorm_rnn_step_forward(x2, h1, Wx, Wh, gamma, beta, ln_param)
        h3, c3 = layernorm_rnn_step_forward(x3, h2, Wx, Wh, gamma, beta, ln_param)
        caches = several(c1, c2, c3)
        dx, dh0, dWx, dWh, dgamma, dbeta = layernorm_rnn_backward(dh, caches)
        """,
        compare=("h1", "h2", "h3", "dx", "dh0", "dWx", "dWh", "dgamma", "dbeta"),
        cases=_three_steps,
        says="the gradients go back through all steps, and add up",
        section="ln-time",
    ),
    Check(
        name="spatial_groupnorm_forward",
        program="out, cache = spatial_groupnorm_forward(x, gamma, beta, G, gn_param)",
        compare=("out",),
        cases=_grouped,
        says="each group of each image is standardized, from G = 1 to G = C",
        section="gn-groups",
    ),
    Check(
        name="spatial_groupnorm_forward.G",
        program="out, cache = spatial_groupnorm_forward(x, gamma, beta, G, gn_param)",
        compare=("out",),
        cases=_divisors,
        says="a G that does not divide C is refused",
        section="gn-groups",
    ),
    Check(
        name="spatial_groupnorm_backward",
        program=f"""
        out, cache = spatial_groupnorm_forward(x, gamma, beta, G, gn_param)
        dx, dgamma, dbeta = spatial_groupnorm_backward(dout, cache)
        {_ONE_A_CHANNEL}
        """,
        compare=("out", "dx", "dgamma", "dbeta"),
        cases=_grouped_and_dout,
        says="all three gradients are right, from G = 1 to G = C",
        section="gn-gradient",
    ),
    Check(
        name="spatial_instancenorm_forward",
        program="out, cache = spatial_instancenorm_forward(x, gamma, beta, in_param)",
        compare=("out",),
        cases=_instances,
        says="each channel of each image is standardized by itself",
        section="gn-instance",
    ),
    Check(
        name="spatial_instancenorm_backward",
        program=f"""
        out, cache = spatial_instancenorm_forward(x, gamma, beta, in_param)
        dx, dgamma, dbeta = spatial_instancenorm_backward(dout, cache)
        {_ONE_A_CHANNEL}
        """,
        compare=("out", "dx", "dgamma", "dbeta"),
        cases=_instances_and_dout,
        says="all three gradients are right",
        section="gn-instance",
    ),
)

_REFERENCE: dict[str, Callable[..., Any]] = {
    "row_statistics": _row_statistics,
    "layernorm_forward": dlnorm.layernorm_forward,
    "who_depends_on_whom": _who_depends_on_whom,
    "layernorm_backward": dlnorm.layernorm_backward,
    "layernorm_rnn_step_forward": dlnorm.layernorm_rnn_step_forward,
    "layernorm_rnn_step_backward": dlnorm.layernorm_rnn_step_backward,
    "layernorm_rnn_backward": _rnn_backward,
    "spatial_groupnorm_forward": dlnorm.spatial_groupnorm_forward,
    "spatial_groupnorm_backward": dlnorm.spatial_groupnorm_backward,
    "spatial_instancenorm_forward": dlnorm.spatial_instancenorm_forward,
    "spatial_instancenorm_backward": dlnorm.spatial_instancenorm_backward,
}

PROBLEM_SET = ProblemSet(
    name="layernorm-groupnorm",
    reference=_REFERENCE,
    checks=_CHECKS,
    misconceptions=collect(vars(wrong), Misconception),
)
