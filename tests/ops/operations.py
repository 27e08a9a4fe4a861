"""The operations with weights, noise or a memory of their own, in one table that tests run through.

An entry says which arrays go in, by name and in the order in which their gradients come back, how
large the terms are that each gradient is a sum of, and how far float32 may be off. What is special
about an operation is tested in its own module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

import dlnorm
from tests.ops.cases import EPS, SHAPES_2D, SHAPES_4D, Array, reduced, wide

Shape = tuple[int, ...]
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Operation:
    """``forward(*arrays, *settings)`` and its backward pass, on arrays of given shapes."""

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    shapes: dict[str, Shape]
    #: from the arrays and dout to the size of the terms of each gradient; it can cancel to 0
    terms: Callable[[Arrays, Array], dict[str, float]]
    settings: tuple[Any, ...] = ()
    upstream: str = "dout"
    complex_step: bool = True
    #: x = mean + sqrt(var) * noise
    mean: float = field(default=0.5)
    var: float = field(default=1.0)

    def draw(self, dtype: npt.DTypeLike = np.float64, seed: int = 0) -> tuple[Arrays, Array]:
        """Return the arrays, of which no two entries are alike, and dout."""
        rng = np.random.default_rng([seed, *(n for shape in self.shapes.values() for n in shape)])
        arrays = {name: rng.standard_normal(shape) for name, shape in self.shapes.items()}
        if "x" in arrays:
            arrays["x"] = self.mean + np.sqrt(self.var) * arrays["x"]
        arrays = {name: value.astype(dtype) for name, value in arrays.items()}
        out = self.run(**arrays)[0]
        return arrays, rng.standard_normal(out.shape).astype(dtype)

    def run(self, **arrays: Array) -> Any:
        """Run the forward pass on a copy of the settings."""
        return self.forward(*arrays.values(), *copy.deepcopy(self.settings))

    def gradients(self, dout: Array, cache: Any) -> Arrays:
        """Every gradient, by the name of what it belongs to."""
        grads = self.backward(dout, cache)
        grads = grads if isinstance(grads, tuple) else (grads,)
        return dict(zip(self.shapes, grads, strict=True))


def length(x: Array, axis: int, eps: float = 0.0) -> Array:
    return np.sqrt((x * x).sum(axis=axis) + eps)


def of_weights(c: float | None) -> Callable[[Arrays, Array], dict[str, float]]:
    """Terms of weight norm: with g, or with s and c."""

    def terms(arrays: Arrays, dout: Array) -> dict[str, float]:
        v, last = arrays.values()
        g = last if c is None else np.exp(c * last)
        dg = length(dout, axis=0)  # Cauchy and Schwarz: no sum of dW times a unit vector is larger
        name = "g" if c is None else "s"
        outer = 1.0 if c is None else np.abs(c * g)
        return {
            "v": float((np.abs(g) * dg / length(v, axis=0)).max()),
            name: float((outer * dg).max()),
        }

    return terms


def of_cosine(eps: float) -> Callable[[Arrays, Array], dict[str, float]]:
    def terms(arrays: Arrays, dout: Array) -> dict[str, float]:
        x, w = arrays.values()
        return {
            "x": float((np.abs(dout).sum(axis=1) / length(x, 1, eps)).max()),
            "w": float((np.abs(dout).sum(axis=0) / length(w, 0, eps)).max()),
        }

    return terms


def of_batch(eps: float, ghost_size: int | None, mode: str) -> Callable[..., dict[str, float]]:
    """Terms of the relatives of batch norm; r is at most r_max, 3, and d at most d_max, 5."""

    def terms(arrays: Arrays, dout: Array) -> dict[str, float]:
        x = arrays["x"]
        total = float(np.abs(dout).sum())
        if "gamma" not in arrays:
            return {"x": float(np.abs(dout).max()), "beta": total}
        if mode == "test":
            std = np.sqrt(wide(memory(x.shape)["running_var"], x) + eps)
            x_hat = (x - wide(memory(x.shape)["running_mean"], x)) / std
        else:
            chunks = x.reshape(-1, ghost_size or len(x), *x.shape[1:])
            axes = tuple(axis + 1 for axis in reduced(x))
            std = np.sqrt(chunks.var(axis=axes, keepdims=True) + eps)
            x_hat = (chunks - chunks.mean(axis=axes, keepdims=True)) / std
        gamma = np.abs(arrays["gamma"]).max()
        return {
            "x": float(3 * gamma * np.abs(dout).max() / std.min()),
            "gamma": total * (3 * float(np.abs(x_hat).max()) + 5),
            "beta": total,
        }

    return terms


def memory(shape: Shape) -> dict[str, Array]:
    """Running statistics near those of x, so that neither limit of batch renorm is reached."""
    rng = np.random.default_rng([5, *shape])
    features = shape[1]
    return {
        "running_mean": 0.5 + 0.2 * rng.standard_normal(features),
        "running_var": rng.uniform(0.5, 2, features),
    }


def batch_operations(shape: Shape, mode: str, eps: float, var: float = 1.0) -> list[Operation]:
    """The three relatives of batch norm; ghost batches of one sample, of some, and of all."""
    feature = shape[1:2]
    param = {"mode": mode, "eps": eps, "momentum": 0.7, **memory(shape)}
    affine = {"x": shape, "gamma": feature, "beta": feature}
    if len(shape) == 4:  # the other form of gamma and beta
        affine = {"x": shape, "gamma": (1, *feature, 1, 1), "beta": (1, *feature, 1, 1)}
    label = f"{mode}, {'x'.join(map(str, shape))}, eps {eps:g}, var {var:g}"
    made = [
        Operation(
            f"mean-only, {label}",
            dlnorm.meanonly_batchnorm_forward,
            dlnorm.meanonly_batchnorm_backward,
            {"x": shape, "beta": affine["beta"]},
            of_batch(eps, None, mode),
            (param,),
            var=var,
        )
    ]
    limits = {"wide": {}, "tight": {"r_max": 1.1, "d_max": 0.05}, "shut": {"r_max": 1, "d_max": 0}}
    for limit, setting in limits.items():
        made.append(
            Operation(
                f"renorm, {limit}, {label}",
                dlnorm.batch_renorm_forward,
                dlnorm.batch_renorm_backward,
                affine,
                of_batch(eps, None, mode),
                (param | setting,),
                var=var,
            )
        )
    for size in [d for d in range(1, shape[0] + 1) if shape[0] % d == 0]:
        made.append(
            Operation(
                f"ghosts of {size}, {label}",
                dlnorm.ghost_batchnorm_forward,
                dlnorm.ghost_batchnorm_backward,
                affine,
                of_batch(eps, size, mode),
                (param | {"ghost_size": size},),
                var=var,
            )
        )
    return made


def weight_operations(d_in: int, d_out: int) -> list[Operation]:
    """Weight norm and its exponential form."""
    label = f"{d_in}x{d_out}"
    made = [
        Operation(
            f"weight norm, {label}",
            dlnorm.weightnorm_forward,
            dlnorm.weightnorm_backward,
            {"v": (d_in, d_out), "g": (d_out,)},
            of_weights(None),
            upstream="dW",
        )
    ]
    for c in (1.0, 0.3):
        made.append(
            Operation(
                f"weight norm, exp, c = {c}, {label}",
                dlnorm.weightnorm_exp_forward,
                dlnorm.weightnorm_exp_backward,
                {"v": (d_in, d_out), "s": (d_out,)},
                of_weights(c),
                (c,),
                upstream="dW",
            )
        )
    return made


def cosine_operation(n: int, d_in: int, d_out: int, eps: float) -> Operation:
    return Operation(
        f"cosine, {n}x{d_in}x{d_out}, eps {eps:g}",
        dlnorm.cosinenorm_forward,
        dlnorm.cosinenorm_backward,
        {"x": (n, d_in), "w": (d_in, d_out)},
        of_cosine(eps),
        (eps,),
    )


def noise_operations(shape: Shape) -> list[Operation]:
    """Gaussian dropout and Uout, with a seed, so that each call draws the same noise."""
    made = []
    for mode in ("train", "test"):
        for per in ("element", "unit"):
            shared = {"mode": mode, "per": per, "seed": 4}
            label = f"{mode}, per {per}, {'x'.join(map(str, shape))}"
            for name, strength, forward, backward in (
                (
                    "Gaussian",
                    {"p": 0.3},
                    dlnorm.gaussian_dropout_forward,
                    dlnorm.gaussian_dropout_backward,
                ),
                (
                    "Uout",
                    {"beta": 0.4},
                    dlnorm.uniform_dropout_forward,
                    dlnorm.uniform_dropout_backward,
                ),
            ):
                made.append(
                    Operation(
                        f"{name}, {label}",
                        forward,
                        backward,
                        {"x": shape},
                        lambda arrays, dout: {"x": float(np.abs(dout).max())},
                        (strength | shared,),
                    )
                )
    return made


def of_zca(arrays: Arrays, dout: Array) -> dict[str, float]:
    """dx is dout divided by deviations, the smallest of them sqrt(lambda + eps), eps = 0.5."""
    size = np.linalg.norm(dout)
    white = 1 + float(np.linalg.norm(arrays["x"] - arrays["x"].mean(axis=0))) ** 2
    return {"x": float(size * white / np.sqrt(0.5))}


def zca_operation(n: int, d: int) -> Operation:
    return Operation(
        f"ZCA, {n}x{d}",
        dlnorm.zca_whiten_forward,
        dlnorm.zca_whiten_backward,
        {"x": (n, d)},
        of_zca,
        (0.5,),
        complex_step=False,
    )


#: Wide, tall, square, one input, one unit.
WEIGHTS = [(4, 3), (3, 4), (3, 3), (1, 3), (5, 1), (1, 1)]
#: Shapes whose batch splits into ghosts.
BATCHES = [*SHAPES_2D, (4, 2), *SHAPES_4D]


def operations(epsilons: list[float]) -> list[Operation]:
    return [
        *(op for d_in, d_out in WEIGHTS for op in weight_operations(d_in, d_out)),
        *(
            cosine_operation(n, d_in, d_out, eps)
            for n in (1, 5)
            for d_in, d_out in WEIGHTS
            for eps in (0.0, *epsilons)
        ),
        *(
            op
            for shape in BATCHES
            for mode in ("train", "test")
            for eps in epsilons
            for op in batch_operations(shape, mode, eps)
        ),
        *(op for shape in [(5,), *BATCHES] for op in noise_operations(shape)),
        *(zca_operation(n, d) for n, d in [(1, 1), (1, 3), (6, 1), (3, 5), (7, 3), (3, 3)]),
    ]


#: Every eps, and hardly any variance.
EVERY = operations(EPS)
EVERY += [op for shape in BATCHES for op in batch_operations(shape, "train", 1e-5, var=1e-6)]
#: For what does not depend on them.
FEW = operations([1e-5])
