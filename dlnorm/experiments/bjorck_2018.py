"""With batch normalization a network trains at learning rates ten times as large as without.

Bjorck et al. (2018), Section 3: the gain of batch norm is in the learning rates it allows. Without
it activations grow from layer to layer, and at large rates a step makes them grow without limit.
Here: five hidden layers, rates a factor of about three apart, and for each norm the largest rate
at which the network still ends up with a small training loss.

Values: ``loss`` over the last steps, (norm, rate), infinite if the training broke off; norms in
the order of `NORMS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, median
from dlnorm.experiments._draw import points
from dlnorm.experiments._networks import Norm, mlp, streams
from dlnorm.plotting import BLUE, GREEN, INK, ORANGE, PURPLE, Shown, show, subplots

NORMS: dict[str, Norm | None] = {
    "no norm": None,
    "layer norm": nn.LayerNorm,
    "RMS norm": nn.RMSNorm,
    "batch norm": nn.BatchNorm,
}
SIZES = (64, 100, 100, 100, 100, 100, 10)
#: A loss below this is a network that has learned; log(10) = 2.3 is one that knows nothing.
TRAINED = 0.5


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: the learning rate."""

    rates: tuple[float, ...]
    steps: int
    batch_size: int = 50

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), rates=(0.1, 0.3, 1.0, 3.0, 10.0), steps=100)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(8)), rates=(0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0), steps=400)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's final losses."""
    data = nn.digits(seed)
    loss = np.full((len(NORMS), len(settings.rates)), np.inf)
    for (n, norm), (r, rate) in product(enumerate(NORMS.values()), enumerate(settings.rates)):
        random = streams(seed)
        trainer = nn.Trainer(
            mlp(SIZES, random, norm=norm),
            nn.SGD(rate),
            data,
            batch_size=settings.batch_size,
            seed=random.order,
        )
        trainer.fit(steps=settings.steps, disable=True)
        if trainer.diverged is None:
            loss[n, r] = trainer.recent_loss(20)
    return {"loss": loss}


def largest(result: Result[Settings]) -> Array:
    """Return each norm's largest rate that trained most of the seeds; 0 if none did."""
    trained = median(result["loss"]) < TRAINED
    rates: Array = np.where(trained, result.settings.rates, 0.0).max(axis=1)
    return rates


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether batch norm allows clearly larger rates than no norm."""
    rates = dict(zip(NORMS, largest(result), strict=True))
    factor = rates["batch norm"] / rates["no norm"] if rates["no norm"] else np.inf
    text = "largest usable learning rate: " + ", ".join(
        f"{name} {rate:g}" for name, rate in rates.items()
    )
    return Verdict(
        "yes" if factor >= 5 else "partly" if factor > 1 else "no",
        f"{text}; with batch norm {factor:.0f} times that without.",
    )


def figure(result: Result[Settings]) -> Shown:
    """Draw the final loss against the learning rate."""
    rates = np.array(result.settings.rates)
    unlearned = np.log(10)
    fig, ax = subplots()
    for n, (name, color) in enumerate(zip(NORMS, (ORANGE, GREEN, PURPLE, BLUE), strict=True)):
        # the worst a curve can show: broken off is as good as knowing nothing
        loss = np.minimum(result["loss"][:, n], unlearned)
        points(ax, rates, loss, color=color, label=name)
    ax.axhline(unlearned, color=INK, lw=1, ls=":")
    ax.text(rates[0], unlearned, "knows nothing, or broke off", va="bottom")
    ax.set(xscale="log", xlabel="learning rate", ylabel="final loss", ylim=(0, 1.15 * unlearned))
    ax.legend(loc="upper left", bbox_to_anchor=(0, 0.9))
    allowed = ", ".join(
        f"{name} {rate:g}" for name, rate in zip(NORMS, largest(result), strict=True)
    )
    return show(
        fig,
        alt=f"Final training loss against the learning rate for four networks. Each loss is small "
        f"up to a largest usable rate and then jumps to that of guessing: {allowed}.",
    )
