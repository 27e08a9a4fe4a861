r"""Weight decay in front of a norm is an exponential learning-rate schedule without decay.

Exact.

Li & Arora (2020), Section 2: for a loss that does not notice the scale of the weights, training
with weight decay at a constant rate passes through the same functions as training without decay at
a rate that grows exponentially, momentum included. With rate eta, decay delta and
momentum mu, let alpha be the larger root of alpha^2 - (1 + mu - eta delta) alpha + mu = 0. Then the
rate of step t is eta alpha^(-2t - 1), and the weights are those with decay, divided by alpha^t.
Without momentum alpha is 1 - eta delta.

Here: two hidden layers on digits, with batch norm; only the weights under a norm have decay, or the
growing rate. What is compared is the loss of every minibatch. Two controls take the reason away,
the scale that is not noticed: an epsilon of 1e-5 in place of 0, and no norm at all.

Values: ``loss`` of minibatches, mean over `EVERY` steps, (momentum, network, training, part);
``gap`` (momentum, network), the largest relative difference between the two trainings' losses in
any step; ``growth`` (momentum,), by what factor the rate has grown at the end; ``length`` of the
first layer's weights at the end, (momentum, network, training). Momenta in the order of `RECIPES`,
networks in that of `NETWORKS`, trainings in that of `TRAININGS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean
from dlnorm.experiments._networks import Norm, mlp, streams
from dlnorm.plotting import INK, NORM_COLOR, Shown, show, subplots

KIND = "exact"
#: Rate, decay and momentum.
RECIPES = ((0.5, 0.01, 0.0), (0.1, 0.01, 0.9))
NETWORKS: dict[str, Norm | None] = {
    "batch norm": partial(nn.BatchNorm, eps=0.0),
    "epsilon 1e-5": partial(nn.BatchNorm, eps=1e-5),
    "no norm": None,
}
TRAININGS = ("decay, constant rate", "no decay, growing rate")
EXACT, EPSILON, PLAIN = range(3)
EVERY = 20


class UnderNorm(nn.SGD):
    """Momentum with decay, or in its place a growing rate, for the hidden layers' weights alone.

    Parameters
    ----------
    lr, decay, momentum : float
    schedule : bool
        Whether the rate grows, instead of decay.
    """

    def __init__(self, lr: float, decay: float, momentum: float, *, schedule: bool) -> None:
        super().__init__(lr, momentum)
        self.decay, self.schedule = decay, schedule
        self.alpha = root(lr, decay, momentum)
        self.steps = 0

    def step(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change every parameter; the last weights are under no norm."""
        weights = [name for name, value in params.items() if value.ndim == 2]
        self.hidden = set(weights[:-1])
        super().step(params, grads)
        self.steps += 1

    def _change(self, name: str, param: Array, grad: Array) -> None:
        if name not in self.hidden:
            super()._change(name, param, grad)
        elif not self.schedule:
            super()._change(name, param, grad + self.decay * param)
        else:
            first = f"velocity/{name}" not in self.state
            velocity = self._remembered("velocity", name, param)
            if first and self.momentum:  # what a run with decay that rests at these weights has
                velocity += (1 - self.alpha) / (self.lr * self.alpha) * param
            velocity *= self.momentum
            velocity -= grad
            param += self.lr * self.alpha ** (-2 * self.steps - 1) * velocity


def root(lr: float, decay: float, momentum: float) -> float:
    """Return alpha, by which decay shrinks the weights in a step."""
    linear = 1 + momentum - lr * decay
    return float((linear + np.sqrt(linear**2 - 4 * momentum)) / 2)


@dataclass(frozen=True)
class Settings(BaseSettings):
    """How long the training is."""

    steps: int
    width: int = 64
    batch_size: int = 64

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1), steps=60)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(10)), steps=300)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's losses, and by how much those of the two trainings differ."""
    data = nn.digits(seed)
    loss = np.empty((len(RECIPES), len(NETWORKS), len(TRAININGS), settings.steps))
    length = np.empty(loss.shape[:-1])
    for m, recipe in enumerate(RECIPES):
        for n, norm in enumerate(NETWORKS.values()):
            for t in range(len(TRAININGS)):
                random = streams(seed)
                network = mlp((64, settings.width, settings.width, 10), random, norm=norm)
                trainer = nn.Trainer(
                    network,
                    UnderNorm(*recipe, schedule=bool(t)),
                    data,
                    batch_size=settings.batch_size,
                    seed=random.order,
                )
                trainer.fit(steps=settings.steps, disable=True)
                loss[m, n, t] = np.inf
                loss[m, n, t, : len(trainer.losses)] = trainer.losses
                length[m, n, t] = np.sqrt((network.params["0.W"] ** 2).sum())
    with np.errstate(invalid="ignore"):
        gap = np.abs(loss[:, :, 0] - loss[:, :, 1]) / loss.min(axis=2)
    gap = np.nan_to_num(gap, nan=np.inf)  # of a training that diverged
    parts = loss.reshape(*loss.shape[:-1], settings.steps // EVERY, EVERY).mean(axis=-1)
    growth = [root(*recipe) ** (-2 * settings.steps) for recipe in RECIPES]
    return {"loss": parts, "gap": gap.max(axis=-1), "growth": np.array(growth), "length": length}


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether the trainings are the same under a norm, and differ without the reason."""
    gap, growth = result["gap"].max(axis=0), result.mean("growth")
    apart = result["gap"].min(axis=(0, 1))
    same = float(gap[:, EXACT].max()) < 1e-6
    reasons = [float(apart[n]) > 1e3 * float(gap[:, EXACT].max()) for n in (EPSILON, PLAIN)]
    text = (
        f"with batch norm and epsilon 0, no minibatch of {result.settings.steps} has losses that "
        f"differ by more than {gap[0, EXACT]:.0e} of the loss without momentum and by more than "
        f"{gap[1, EXACT]:.0e} with it, while the rates grow by factors of {growth[0]:.0f} and "
        f"{growth[1]:.0f}. The controls part ways: with epsilon 1e-5 the largest difference is at "
        f"least {apart[EPSILON]:.2g} times the loss, and without a norm {apart[PLAIN]:.2g} times."
    )
    return Verdict("no" if not same else graded(same, *reasons), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the rates with momentum, and both trainings' losses with batch norm and without."""
    lr, decay, momentum = RECIPES[1]
    fig, (left, *axes) = subplots(ncols=3, height=2.8)
    step = np.arange(result.settings.steps)
    rates = lr * root(lr, decay, momentum) ** (-2.0 * step - 1)
    left.semilogy(step, np.full(len(step), lr), color=INK, label="with decay")
    left.semilogy(step, rates, color=NORM_COLOR["batch"], ls="--", label="without")
    left.set(xlabel="step", title="learning rate")
    loss = mean(result["loss"])[1]  # with momentum
    middle = EVERY * (np.arange(loss.shape[-1]) + 0.5)
    for ax, n, color in zip(axes, (EXACT, PLAIN), ("batch", "none"), strict=True):
        decayed, grown = loss[n]
        ax.semilogy(middle, decayed, color=INK)
        ax.semilogy(middle, grown, "o" if n == EXACT else "o--", color=NORM_COLOR[color], ms=5)
        ax.set(xlabel="step", title=f"loss, {list(NETWORKS)[n]}", ylim=(0.03, 4))
        ax.set_yticks([0.1, 1], ["0.1", "1"])
        ax.minorticks_off()
    left.legend(fontsize=9, loc="upper left")
    return show(
        fig,
        alt=f"Left: a constant learning rate of {lr:g}, and one that grows from there to "
        f"{rates[-1]:.0f} on a straight line, on a logarithmic axis. Middle: with batch norm the "
        f"losses of both trainings, a line and dots on it, fall to {loss[EXACT, 0, -1]:.2f}. "
        f"Right: without a norm the line falls to {loss[PLAIN, 0, -1]:.2f} and the dots leave it, "
        f"to end at {loss[PLAIN, 1, -1]:.1f}.",
    )
