"""The batch-norm problem set.

Cases have a variance near 0.05 or an eps that is large beside the variance, so that every place
where eps belongs shows; random gamma, beta and dout; more rows than features and the reverse.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dlnorm
from dlnorm._validate import Array
from dlnorm.grading.exercise import Args, Check, Misconception, ProblemSet, collect
from dlnorm.grading.misconceptions import batchnorm as wrong

# ---------------------------------------------------------------- references of this set only


def _column_statistics(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each column, both of shape (D,)."""
    _, stats = dlnorm.standardize(x, axes=0)
    return stats.mean.ravel(), stats.var.ravel()


def _undo_batchnorm(x: Array, eps: float) -> tuple[Array, Array]:
    """The gamma and beta with which batch norm returns x; book, equation ``bn-undo``."""
    _, stats = dlnorm.standardize(x, axes=0, eps=eps)
    return stats.std.ravel(), stats.mean.ravel()


def _fold_batchnorm(
    weight: Array, bias: Array, gamma: Array, beta: Array, bn_param: dict[str, Any]
) -> tuple[Array, Array]:
    """Absorb test-mode batch norm into the linear layer before it; book, equation ``bn-test``."""
    scale = gamma / np.sqrt(bn_param["running_var"] + bn_param.get("eps", 1e-5))
    return weight * scale, (bias - bn_param["running_mean"]) * scale + beta


# ---------------------------------------------------------------- what the cases are made of

Rng = np.random.Generator


def _batch(rng: Rng, n: int, d: int, spread: float = 0.2) -> Array:
    """A table (n, d) whose columns have means around 3 that differ, and the given spread."""
    return rng.uniform(2, 4, d) + spread * rng.standard_normal((n, d))


def _images(rng: Rng, n: int, c: int, h: int, w: int, spread: float = 0.2) -> Array:
    """Images whose channels have different means."""
    means = rng.permutation(np.arange(1.0, c + 1)).reshape(1, c, 1, 1)
    return means + spread * rng.standard_normal((n, c, h, w))


def _parameters(rng: Rng, d: int) -> Args:
    """Gamma and beta, no entry near 0 and none near 1."""
    size = rng.choice([rng.uniform(0.4, 0.8, d), rng.uniform(1.3, 2.0, d)])
    return {"gamma": size * rng.choice([-1, 1], d), "beta": rng.uniform(0.5, 2, d)}


def _memory(rng: Rng, d: int) -> Args:
    """Running statistics such as a few hundred steps leave behind."""
    return {"running_mean": rng.uniform(2, 4, d), "running_var": rng.uniform(0.03, 0.08, d)}


def _dout(rng: Rng, x: Array) -> Array:
    return rng.standard_normal(x.shape).astype(x.dtype)


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


def _layer(rng: Rng, x: Array, bn_param: Args) -> Args:
    return {"x": x, **_parameters(rng, x.shape[1]), "bn_param": bn_param}


# ---------------------------------------------------------------- cases


def _statistics(rng: Rng) -> list[Args]:
    return [{"x": _batch(rng, *shape)} for shape in ((7, 3), (4, 6), (5, 1))]


def _train(rng: Rng) -> list[Args]:
    far = _batch(rng, 8, 16) + 30  # a large mean: in float32 the squares lose digits
    return [
        _layer(rng, _batch(rng, 7, 3), {"mode": "train", "eps": 1e-2}),
        _layer(rng, _batch(rng, 4, 6, 1.0), {"mode": "train", "eps": 0.5, **_memory(rng, 6)}),
        _layer(rng, _batch(rng, 9, 1), {"mode": "train"}),
        _float32(_layer(rng, far, {"mode": "train", "eps": 1e-3})),
    ]


def _two_steps(rng: Rng) -> list[Args]:
    cases = []
    for d, bn_param in (
        (3, {"mode": "train", "eps": 0.1}),
        (2, {"mode": "train", "eps": 1e-2, "momentum": 0.7}),
        (4, {"mode": "train", "eps": 0.1, "momentum": 0.2, **_memory(rng, 4)}),
    ):
        first, second = _batch(rng, 6, d, 0.5), _batch(rng, 5, d, 0.8)
        cases.append({"x1": first, "x2": second, **_parameters(rng, d), "bn_param": bn_param})
    return cases


def _test(rng: Rng) -> list[Args]:
    return [
        _layer(rng, _batch(rng, 5, 3), {"mode": "test", "eps": 1e-2, **_memory(rng, 3)}),
        _layer(rng, _batch(rng, 1, 4), {"mode": "test", **_memory(rng, 4)}),
        _layer(rng, _batch(rng, 6, 1, 1.0), {"mode": "test", "eps": 0.5, **_memory(rng, 1)}),
        _float32(_layer(rng, _batch(rng, 3, 5), {"mode": "test", "eps": 0.1, **_memory(rng, 5)})),
    ]


def _undo(rng: Rng) -> list[Args]:
    return [
        {"x": _batch(rng, n, d), "eps": eps}
        for n, d, eps in ((7, 3, 1e-2), (4, 6, 0.5), (5, 1, 1e-5))
    ]


def _fold(rng: Rng) -> list[Args]:
    return [
        {
            "weight": rng.standard_normal((m, d)),
            "bias": rng.standard_normal(d),
            **_parameters(rng, d),
            "bn_param": {"mode": "test", **eps, **_memory(rng, d)},
        }
        for m, d, eps in ((4, 3, {"eps": 1e-2}), (3, 3, {}), (2, 5, {"eps": 0.5}))
    ]


def _with_dout(rng: Rng, layers: list[Args]) -> list[Args]:
    return [{**args, "dout": _dout(rng, args["x"])} for args in layers]


def _backward_train(rng: Rng) -> list[Args]:
    return _with_dout(
        rng,
        [
            _layer(rng, _batch(rng, 7, 3), {"mode": "train", "eps": 1e-2}),
            _layer(rng, _batch(rng, 5, 6, 1.0), {"mode": "train", "eps": 0.5}),
            _layer(rng, _batch(rng, 6, 1), {"mode": "train"}),
            _float32(_layer(rng, _batch(rng, 8, 5, 0.5), {"mode": "train", "eps": 1e-2})),
        ],
    )


def _backward_test(rng: Rng) -> list[Args]:
    return _with_dout(
        rng,
        [
            _layer(rng, _batch(rng, 5, 3), {"mode": "test", "eps": 1e-2, **_memory(rng, 3)}),
            _layer(rng, _batch(rng, 1, 4), {"mode": "test", **_memory(rng, 4)}),
            _layer(rng, _batch(rng, 6, 1), {"mode": "test", "eps": 0.5, **_memory(rng, 1)}),
        ],
    )


def _spatial(rng: Rng) -> list[Args]:
    kept = {"momentum": 0.7, **_memory(rng, 4)}
    return [
        # first W = C: a parameter on the wrong axis gives numbers there, and crashes elsewhere
        _layer(rng, _images(rng, 3, 4, 2, 4), {"mode": "train", "eps": 0.5, **kept}),
        _layer(rng, _images(rng, 2, 3, 4, 5), {"mode": "train", "eps": 1e-2}),
        _layer(rng, _images(rng, 1, 2, 3, 4), {"mode": "train"}),
        _layer(rng, _images(rng, 1, 3, 2, 3), {"mode": "test", "eps": 0.1, **_memory(rng, 3)}),
    ]


def _spatial_backward(rng: Rng) -> list[Args]:
    return _with_dout(
        rng,
        [
            _layer(rng, _images(rng, 3, 4, 2, 4), {"mode": "train", "eps": 0.5}),
            _layer(rng, _images(rng, 2, 3, 4, 5), {"mode": "train", "eps": 1e-2}),
            _layer(rng, _images(rng, 1, 2, 3, 4), {"mode": "train"}),
            _layer(rng, _images(rng, 2, 3, 2, 4), {"mode": "test", **_memory(rng, 3)}),
        ],
    )


# ---------------------------------------------------------------- checks

_FORWARD = "out, cache = batchnorm_forward(x, gamma, beta, bn_param)"
_STAGED = f"{_FORWARD}\ndx, dgamma, dbeta = batchnorm_backward_staged(dout, cache)"
_CLOSED = f"{_FORWARD}\ndx, dgamma, dbeta = batchnorm_backward(dout, cache)"
_RUNNING = ("bn_param['running_mean']", "bn_param['running_var']")

# A backward check compares `out` first: if the forward pass is wrong, nothing else is to blame.
_CHECKS = (
    Check(
        name="column_statistics",
        program="mean, var = column_statistics(x)",
        compare=("mean", "var"),
        cases=_statistics,
        says="one mean and one biased variance a column",
        section="bn-axes",
    ),
    Check(
        name="batchnorm_forward.train",
        program=_FORWARD,
        compare=("out",),
        cases=_train,
        says="out is right in train mode, also in float32",
        section="bn-algorithm",
    ),
    Check(
        name="batchnorm_forward.running",
        program="""
        out1, cache1 = batchnorm_forward(x1, gamma, beta, bn_param)
        out2, cache2 = batchnorm_forward(x2, gamma, beta, bn_param)
        """,
        compare=_RUNNING,
        cases=_two_steps,
        says="two steps leave the right running statistics",
        section="bn-running",
    ),
    Check(
        name="batchnorm_forward.test",
        program=_FORWARD,
        compare=("out", *_RUNNING),
        cases=_test,
        says="test mode uses what was remembered, and changes nothing",
        section="bn-test-mode",
    ),
    Check(
        name="undo_batchnorm",
        program="gamma, beta = undo_batchnorm(x, eps)",
        compare=("gamma", "beta"),
        cases=_undo,
        says="with this gamma and beta, batch norm returns x",
        section="bn-gamma-beta",
    ),
    Check(
        name="fold_batchnorm",
        program="new_weight, new_bias = fold_batchnorm(weight, bias, gamma, beta, bn_param)",
        compare=("new_weight", "new_bias"),
        cases=_fold,
        says="one linear layer does the work of two",
        section="bn-test-mode",
    ),
    Check(
        name="batchnorm_backward_staged.affine",
        program=_STAGED,
        compare=("out", "dgamma", "dbeta"),
        cases=_backward_train,
        says="dgamma and dbeta are right",
        section="bn-affine-gradients",
    ),
    Check(
        name="batchnorm_backward_staged.dx",
        program=_STAGED,
        compare=("out", "dx"),
        cases=_backward_train,
        says="dx is right: all branches are there, and added",
        section="bn-staged",
    ),
    Check(
        name="batchnorm_backward.train",
        program=_CLOSED,
        compare=("out", "dx", "dgamma", "dbeta"),
        cases=_backward_train,
        says="the closed form is right in train mode",
        section="bn-closed",
    ),
    Check(
        name="batchnorm_backward.test",
        program=_CLOSED,
        compare=("out", "dx", "dgamma", "dbeta"),
        cases=_backward_test,
        says="in test mode the statistics are constants",
        section="bn-backward-test",
    ),
    Check(
        name="spatial_batchnorm_forward",
        program="out, cache = spatial_batchnorm_forward(x, gamma, beta, bn_param)",
        compare=("out", *_RUNNING),
        cases=_spatial,
        says="one mean and one variance a channel, in both modes",
        section="bn-spatial-section",
    ),
    Check(
        name="spatial_batchnorm_backward",
        program="""
        out, cache = spatial_batchnorm_forward(x, gamma, beta, bn_param)
        dx, dgamma, dbeta = spatial_batchnorm_backward(dout, cache)
        """,
        compare=("out", "dx", "dgamma", "dbeta"),
        cases=_spatial_backward,
        says="all three gradients are right, in both modes",
        section="bn-backward-spatial",
    ),
)

PROBLEM_SET = ProblemSet(
    name="batchnorm",
    reference={
        "column_statistics": _column_statistics,
        "batchnorm_forward": dlnorm.batchnorm_forward,
        "undo_batchnorm": _undo_batchnorm,
        "fold_batchnorm": _fold_batchnorm,
        "batchnorm_backward_staged": dlnorm.batchnorm_backward_staged,
        "batchnorm_backward": dlnorm.batchnorm_backward,
        "spatial_batchnorm_forward": dlnorm.spatial_batchnorm_forward,
        "spatial_batchnorm_backward": dlnorm.spatial_batchnorm_backward,
    },
    checks=_CHECKS,
    misconceptions=collect(vars(wrong), Misconception),
)
