"""Batch norm makes deep residual networks trainable by keeping their blocks near the identity.

A test of the paper's finding.

De & Smith (2020), abstract: "at initialization, batch normalization downscales the residual branch
relative to the skip connection, by a normalizing factor on the order of the square root of the
network depth". So the blocks begin close to the identity; and a network without
norms, whose branches are multiplied by a learned number that begins at 0 ("SkipInit"), can be as
deep.

What is different here: fully connected networks on digits. A block adds to its input a branch of
batch norm, ReLU and a linear layer; the depth is the number of blocks. Without batch norm, "no
norm", the branch is as large as its input at every depth. The control keeps batch norm and takes
away the downscaling: the sum of skip and branch is divided by sqrt(2) in every block, so that the
stream does not grow, and each branch keeps its share. If batch norm itself is what deep networks
need, this one must train too; if the small share is, it must not.

Exact but for the randomness of the weights: with batch norm every branch has variance 1, so that
of block l, counted from 1, has the share 1 / (v + l) of the variance behind it, if the stream
begins with variance v.

Values: ``start``, that variance v; ``share`` of the branch in the variance behind each block of the
deepest network as initialized, (arm, block); ``loss`` of 200 fixed training images in test mode
after the steps, (arm, depth, rate), infinite where the training diverged; arms in the order of
`ARMS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean, median
from dlnorm.experiments._curves import Ruler
from dlnorm.experiments._networks import Streams, streams
from dlnorm.nn.layer import Mode
from dlnorm.plotting import INK, NORM_COLOR, Shown, show, subplots

KIND = "the paper's finding"
ARMS = ("no norm", "batch norm", "SkipInit", "batch norm, equal shares")
PLAIN, BATCH, SKIP, EQUAL = range(4)
#: Color and kind of line of each arm; the control is batch norm as well.
STYLES = (
    (NORM_COLOR["none"], "o-"),
    (NORM_COLOR["batch"], "o-"),
    (INK, "s-"),
    (NORM_COLOR["batch"], "^--"),
)
WIDTH = 64
#: A network that has learned something: guessing has a loss of log(10) = 2.3.
LEARNED = 0.5


class Residual(nn.Layer):
    """A skip connection around a branch: ``(x + factor * branch(x)) / divisor``.

    Parameters
    ----------
    branch : Sequential
    learned : bool
        Whether the factor is a parameter that begins at 0, instead of 1.
    divisor : float
    """

    def __init__(self, branch: nn.Sequential, *, learned: bool, divisor: float) -> None:
        super().__init__()
        self.branch, self.divisor = branch, divisor
        self.params = dict(branch.params)
        if learned:
            self.params["factor"] = np.zeros(1)
        #: The share of the branch in the variance of the last output.
        self.share = 0.0

    def forward(self, x: Array, mode: Mode) -> Array:
        """Return the sum, divided."""
        self._cache = self.branch.forward(x, mode)
        added = self._factor() * self._cache
        total: Array = x + added
        variance = total.var(axis=0).mean()
        self.share = float(added.var(axis=0).mean() / variance) if variance else 0.0
        return total / self.divisor

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        dout = dout / self.divisor
        dx: Array = dout + self.branch.backward(self._factor() * dout)
        self.grads = dict(self.branch.grads)
        if "factor" in self.params:
            self.grads["factor"] = (dout * self._kept()).sum(keepdims=True).reshape(1)
        return dx

    def _factor(self) -> float:
        return float(self.params["factor"][0]) if "factor" in self.params else 1.0


@dataclass(frozen=True)
class Settings(BaseSettings):
    """How deep the networks are, at which rates they are trained, and how long."""

    depths: tuple[int, ...]
    rates: tuple[float, ...]
    steps: int
    batch_size: int = 64

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1), depths=(2, 12), rates=(0.3,), steps=30)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        rates = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0)
        return cls(tuple(range(5)), depths=(4, 16, 48), rates=rates, steps=60)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's shares and losses."""
    data = nn.digits(seed)
    ruler = Ruler.of(data)
    share = np.empty((len(ARMS), settings.depths[-1]))
    loss = np.empty((len(ARMS), len(settings.depths), len(settings.rates)))
    for arm in range(len(ARMS)):
        network = _network(arm, settings.depths[-1], streams(seed))
        start = network.layers[0].forward(ruler.x, "train").var(axis=0).mean()
        network.forward(ruler.x, "train")
        share[arm] = [block.share for block in network if isinstance(block, Residual)]
        for d, depth in enumerate(settings.depths):
            for r, rate in enumerate(settings.rates):
                random = streams(seed)
                network = _network(arm, depth, random)
                trainer = nn.Trainer(
                    network, nn.SGD(rate), data, batch_size=settings.batch_size, seed=random.order
                )
                trainer.fit(steps=settings.steps, disable=True)
                diverged = trainer.diverged is not None
                loss[arm, d, r] = np.inf if diverged else ruler.read(network)[0]
    return {"start": start, "share": share, "loss": loss}


def tuned(result: Result[Settings]) -> Array:
    """Return the loss at each arm's and depth's best rate by median, (seed, arm, depth)."""
    best = median(result["loss"]).argmin(axis=-1)[np.newaxis, ..., np.newaxis]
    loss: Array = np.take_along_axis(result["loss"], best, axis=-1)[..., 0]
    return loss


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether the deepest network trains with small shares, and with them alone."""
    loss = tuned(result)
    middle, deepest = median(loss), result.settings.depths[-1]
    trains = middle[:, -1] < LEARNED
    small = mean(result["share"])[BATCH, -1] < 2 / deepest
    shown = "; ".join(
        f"{name} " + ", ".join("diverged" if np.isinf(x) else f"{x:.2g}" for x in middle[arm])
        for arm, name in enumerate(ARMS)
    )
    share = mean(result["share"])[:, -1]
    text = (
        f"clean training loss after {result.settings.steps} steps at each one's best rate, with "
        f"{', '.join(map(str, result.settings.depths))} blocks: {shown}. At the start the last "
        f"branch of {deepest} has a share of {share[BATCH]:.3f} in the variance with batch norm, "
        f"of {share[PLAIN]:.2f} without a norm, and of {share[EQUAL]:.2f} with equal shares."
    )
    found = bool(trains[BATCH] and not trains[PLAIN]), bool(trains[SKIP])
    return Verdict(graded(*found, bool(small), bool(trains[BATCH] and not trains[EQUAL])), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the shares at the start, and the loss at the best rate against the depth."""
    fig, (left, right) = subplots(ncols=2, height=3.2)
    share, depths = mean(result["share"]), np.array(result.settings.depths)
    block = np.arange(1, depths[-1] + 1)
    for arm in (PLAIN, BATCH, EQUAL):
        color, kind = STYLES[arm]
        left.loglog(block, share[arm], kind[0], color=color, ms=3.5, label=ARMS[arm])
    left.loglog(block, 1 / (mean(result["start"]) + block), color=STYLES[BATCH][0], lw=1)
    left.set(xlabel="block", title="share of the branch", ylim=(0.01, 1.3))
    left.set_yticks([0.02, 0.1, 0.5], ["0.02", "0.1", "0.5"])
    loss = tuned(result)
    top = 3.0
    for arm, name in enumerate(ARMS):
        middle = median(loss)[arm]
        finite = np.isfinite(middle)
        color, kind = STYLES[arm]
        right.plot(depths[finite], middle[finite], kind, color=color, label=name)
        right.plot(depths[~finite], np.full((~finite).sum(), top), "x", color=color, ms=8)
    right.set(
        xscale="log", yscale="log", xlabel="blocks", title="loss at the best rate (×: diverged)"
    )
    right.set_xticks(depths, [str(depth) for depth in depths])
    right.set_yticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
    for ax in (left, right):
        ax.minorticks_off()
    right.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    told = "; ".join(
        f"{name} " + ", ".join("diverged" if np.isinf(x) else f"{x:.2g}" for x in row)
        for name, row in zip(ARMS, median(loss), strict=True)
    )
    return show(
        fig,
        alt=f"Left: the share of each branch in the variance at the start. Without a norm and with "
        f"equal shares it stays near one half; with batch norm it falls like one over the number "
        f"of the block, to {share[BATCH, -1]:.3f}. Right: training loss at the best rate with "
        f"{', '.join(map(str, depths))} blocks: {told}.",
    )


def _network(arm: int, depth: int, random: Streams) -> nn.Sequential:
    """Return a linear layer, the blocks, and a linear layer; norms have one before the last."""
    norm: Callable[[], list[nn.Layer]] = lambda: (  # noqa: E731
        [nn.BatchNorm(WIDTH)] if arm in (BATCH, EQUAL) else []
    )
    layers: list[nn.Layer] = [nn.Linear(64, WIDTH, random.weights)]
    for _ in range(depth):
        branch = nn.Sequential(*norm(), nn.ReLU(), nn.Linear(WIDTH, WIDTH, random.weights))
        divisor = 2**0.5 if arm == EQUAL else 1.0
        layers.append(Residual(branch, learned=arm == SKIP, divisor=divisor))
    return nn.Sequential(*layers, *norm(), nn.ReLU(), nn.Linear(WIDTH, 10, random.weights))
