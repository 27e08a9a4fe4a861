"""How fast the norms are: ``python -m dlnorm.bench``, or ``make bench``.

Forward and backward of every norm are timed side by side, in one process and on one thread,
against three others: the textbook form, which writes every intermediate of the derivation down as
an array; PyTorch, if it is installed; and a copy of x, which is the least that any of them could
do. Only ratios are reported. Each is the middle one of many rounds, in which all take their turn,
so that what else the machine does hits all alike.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before NumPy is imported, which reads them once

import argparse
import importlib
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dlnorm
from dlnorm._validate import Array
from dlnorm.plotting import BLUE, GRAY, GREEN, ORANGE, Shown, show, subplots

TABLES = ((128, 100), (256, 1024), (4096, 1024))
IMAGES = (32, 64, 32, 32)
GROUPS = 8
#: Norm by name: the shapes it is timed on, and the axes its statistics run over.
NORMS: dict[str, tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]] = {
    "batch norm": (TABLES, (0,)),
    "layer norm": (TABLES, (1,)),
    "RMS norm": (TABLES, (1,)),
    "spatial batch norm": ((IMAGES,), (0, 2, 3)),
    "spatial layer norm": ((IMAGES,), (1, 2, 3)),
    "group norm": ((IMAGES,), (2, 3, 4)),
    "instance norm": ((IMAGES,), (2, 3)),
}
EPS = 1e-5
#: A round of all contenders on one case takes about this long, and there are this many.
ROUND_SECONDS, ROUNDS = 0.05, 15

Pass = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One norm on one shape and dtype: seconds of a forward and backward pass, by contender."""

    norm: str
    shape: tuple[int, ...]
    dtype: str
    seconds: dict[str, float]
    #: Middle ratio of ours to each other contender, round by round.
    ratio: dict[str, float]


# ---------------------------------------------------------------- the contenders


def ours(norm: str, x: Array, gamma: Array, beta: Array, dout: Array) -> Pass:
    """The functions of `dlnorm`."""
    param: Any = {"mode": "train", "eps": EPS}

    def run() -> Any:
        if norm == "batch norm":
            out, cache = dlnorm.batchnorm_forward(x, gamma, beta, param)
            return out, dlnorm.batchnorm_backward(dout, cache)
        if norm == "spatial batch norm":
            out, cache = dlnorm.spatial_batchnorm_forward(x, gamma, beta, param)
            return out, dlnorm.spatial_batchnorm_backward(dout, cache)
        if norm == "layer norm":
            out, cache_ln = dlnorm.layernorm_forward(x, gamma, beta, {"eps": EPS})
            return out, dlnorm.layernorm_backward(dout, cache_ln)
        if norm == "spatial layer norm":
            out, cache_ln = dlnorm.spatial_layernorm_forward(x, gamma, beta, {"eps": EPS})
            return out, dlnorm.spatial_layernorm_backward(dout, cache_ln)
        if norm == "RMS norm":
            out, cache_rms = dlnorm.rmsnorm_forward(x, gamma, {"eps": EPS})
            return out, dlnorm.rmsnorm_backward(dout, cache_rms)
        if norm == "group norm":
            out, cache_gn = dlnorm.spatial_groupnorm_forward(x, gamma, beta, GROUPS, {"eps": EPS})
            return out, dlnorm.spatial_groupnorm_backward(dout, cache_gn)
        out, cache_in = dlnorm.spatial_instancenorm_forward(x, gamma, beta, {"eps": EPS})
        return out, dlnorm.spatial_instancenorm_backward(dout, cache_in)

    return run


def textbook(norm: str, x: Array, gamma: Array, beta: Array, dout: Array) -> Pass:
    """The form that courses teach: every node of the graph an array, the staged gradient."""
    features = 1
    wide = tuple(-1 if axis == features else 1 for axis in range(x.ndim))
    params = tuple(axis for axis in range(x.ndim) if axis != features)
    g, b = gamma.reshape(wide), beta.reshape(wide)
    axes = NORMS[norm][1]
    split = (x.shape[0], GROUPS, x.shape[1] // GROUPS, *x.shape[2:])

    def regroup(a: Array) -> Array:
        return a.reshape(split) if norm == "group norm" else a

    def run() -> Any:
        grouped = regroup(x)
        m = math.prod(grouped.shape[axis] for axis in axes)
        if norm == "RMS norm":
            rms = np.sqrt(np.mean(x**2, axis=axes, keepdims=True) + EPS)
            x_hat = x / rms
            out = g * x_hat
            dx_hat = dout * g
            drms = np.sum(-dx_hat * x / rms**2, axis=axes, keepdims=True)
            dx = dx_hat / rms + drms * x / (rms * m)
            return out, (dx, np.sum(dout * x_hat, axis=params))
        mu = np.mean(grouped, axis=axes, keepdims=True)
        var = np.var(grouped, axis=axes, keepdims=True)
        x_norm = (grouped - mu) / np.sqrt(var + EPS)
        x_hat = x_norm.reshape(x.shape)
        out = g * x_hat + b
        dx_norm = regroup(dout * g)
        dvar = np.sum(
            dx_norm * (grouped - mu) * -0.5 * (var + EPS) ** -1.5, axis=axes, keepdims=True
        )
        dmu = np.sum(-dx_norm / np.sqrt(var + EPS), axis=axes, keepdims=True)
        dmu = dmu + dvar * np.sum(-2 * (grouped - mu), axis=axes, keepdims=True) / m
        dx = dx_norm / np.sqrt(var + EPS) + dvar * 2 * (grouped - mu) / m + dmu / m
        return out, (dx.reshape(x.shape), np.sum(dout * x_hat, axis=params), dout.sum(axis=params))

    return run


def in_torch(norm: str, x: Array, gamma: Array, beta: Array, dout: Array) -> Pass | None:
    """PyTorch's own kernels on one thread, or None where it is not installed."""
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        return None
    torch.set_num_threads(1)
    functional = torch.nn.functional
    tx, tg, tb = (torch.tensor(a, requires_grad=True) for a in (x, gamma, beta))
    upstream = torch.tensor(dout)

    def forward() -> Any:
        if norm in ("batch norm", "spatial batch norm"):
            return functional.batch_norm(tx, None, None, tg, tb, True, 0.1, EPS)
        if norm == "layer norm":
            return functional.layer_norm(tx, tx.shape[1:], tg, tb, EPS)
        if norm == "spatial layer norm":  # one gamma a channel, as ours: PyTorch's G = 1
            return functional.group_norm(tx, 1, tg, tb, EPS)
        if norm == "RMS norm":
            return functional.rms_norm(tx, tx.shape[1:], tg, EPS)
        if norm == "group norm":
            return functional.group_norm(tx, GROUPS, tg, tb, EPS)
        return functional.instance_norm(tx, weight=tg, bias=tb, eps=EPS)

    def run() -> Any:
        tx.grad = tg.grad = tb.grad = None
        out = forward()
        out.backward(upstream)
        return out.detach().numpy(), (tx.grad.numpy(), tg.grad.numpy())

    return run


# ---------------------------------------------------------------- timing


def contenders(norm: str, shape: tuple[int, ...], dtype: type) -> dict[str, Pass]:
    """Every way to compute the same, on the same random numbers."""
    rng = np.random.default_rng(0)

    def random(shape: int | tuple[int, ...]) -> Array:
        return rng.standard_normal(shape).astype(dtype)

    x, gamma, beta, dout = random(shape), random(shape[1]), random(shape[1]), random(shape)
    passes: dict[str, Pass | None] = {
        "dlnorm": ours(norm, x, gamma, beta, dout),
        "textbook": textbook(norm, x, gamma, beta, dout),
        "PyTorch": in_torch(norm, x, gamma, beta, dout),
        "copy": x.copy,
    }
    return {name: run for name, run in passes.items() if run is not None}


def measure(
    norm: str,
    shape: tuple[int, ...],
    dtype: type,
    *,
    rounds: int = ROUNDS,
    seconds: float = ROUND_SECONDS,
) -> Row:
    """Time one norm on one shape: the contenders take turns, round after round."""
    passes = contenders(norm, shape, dtype)
    slowest = max(_time(run, 1) for _ in range(2) for run in passes.values())
    repeats = max(1, round(seconds / len(passes) / slowest))
    times = {name: np.empty(rounds) for name in passes}
    for number in range(rounds):
        for name, run in passes.items():
            times[name][number] = _time(run, repeats)
    ratio = {
        name: float(np.median(times["dlnorm"] / taken))
        for name, taken in times.items()
        if name != "dlnorm"
    }
    middle = {name: float(np.median(taken)) for name, taken in times.items()}
    return Row(norm, shape, np.dtype(dtype).name, middle, ratio)


def _time(run: Pass, repeats: int) -> float:
    """Seconds that one call takes: the quickest of `repeats`."""
    quickest = np.inf
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        quickest = min(quickest, time.perf_counter() - started)
    return quickest


# ---------------------------------------------------------------- showing


def machine() -> str:
    """What the numbers were measured with."""
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    if "torch" in sys.modules:
        versions += f", PyTorch {sys.modules['torch'].__version__}"
    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line
            for line in information.read_text(encoding="utf-8").splitlines()
            if "model name" in line
        ]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return f"{cpu}, one thread, {versions}"


def load(path: Path) -> tuple[list[Row], str]:
    """Read what a run wrote: its rows, and what they were measured with."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    return [Row(**{**row, "shape": tuple(row["shape"])}) for row in stored["rows"]], stored["on"]


def table(rows: list[Row]) -> str:
    """A table in Markdown: time of ours by that of the others, and by that of a copy."""
    others = [name for name in ("textbook", "PyTorch", "copy") if name in rows[0].ratio]
    lines = [
        "| norm | shape | dtype | " + " | ".join(f"÷ {name}" for name in others) + " |",
        "|:--|:--|:--|" + "--:|" * len(others),
    ]
    for row in rows:
        numbers = " | ".join(f"{row.ratio[name]:.2f}" for name in others)
        shape = " × ".join(map(str, row.shape))
        lines.append(f"| {row.norm} | {shape} | {row.dtype} | {numbers} |")
    return "\n".join(lines)


def figure(rows: list[Row]) -> Shown:
    """Draw the ratio to the textbook form and to PyTorch, one line a norm and shape."""
    fig, ax = subplots(width=6.6, height=0.5 + 0.27 * len(rows))
    colors = {"textbook": BLUE, "PyTorch": ORANGE, "copy": GREEN}
    names = [name for name in ("textbook", "PyTorch") if name in rows[0].ratio]
    for name in names:
        ratios = [row.ratio[name] for row in rows]
        ax.plot(ratios, range(len(rows)), "o", color=colors[name], label=f"÷ {name}")
    ax.axvline(1, color=GRAY, lw=1)
    labels = [f"{r.norm}, {'×'.join(map(str, r.shape))}, {r.dtype[-2:]}" for r in rows]
    ax.set(yticks=range(len(rows)), yticklabels=labels, ylim=(len(rows) - 0.4, -0.6))
    ax.set(xscale="log", xlabel="time of dlnorm by time of the other", xticks=[0.25, 0.5, 1, 2, 4])
    ax.set_xticks([], minor=True)
    ax.set_xticklabels(["¼", "½", "1", "2", "4"])
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
    best, worst = (f(row.ratio["textbook"] for row in rows) for f in (min, max))
    alt = f"Time by that of the textbook form, from {best:.2f} to {worst:.2f}"
    if "PyTorch" in names:
        best, worst = (f(row.ratio["PyTorch"] for row in rows) for f in (min, max))
        alt += f", and by PyTorch's, from {best:.2f} to {worst:.2f}"
    return show(fig, alt=f"{alt}; one dot a norm, shape and precision.")


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m dlnorm.bench",
        description="Time forward + backward of every norm against the textbook form, PyTorch "
        "(if installed) and a copy of x, side by side, and print the ratios: below 1, ours is "
        "faster. Takes about a minute.",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write them, as JSON")
    parser.add_argument("--quick", action="store_true", help="one round each: to see that it works")
    arguments = parser.parse_args(argv)
    from tqdm import tqdm

    cases = [
        (norm, shape, dtype)
        for norm, (shapes, _) in NORMS.items()
        for shape in shapes
        for dtype in (np.float32, np.float64)
    ]
    rows = []
    for case in tqdm(cases, desc="timing", disable=None):
        rows.append(measure(*case, rounds=1 if arguments.quick else ROUNDS))
    print(f"Time of dlnorm by that of the others, on {machine()}:\n\n{table(rows)}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        stored = {"on": machine(), "rows": [asdict(row) for row in rows]}
        arguments.out.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        print(f"\nWritten to {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
