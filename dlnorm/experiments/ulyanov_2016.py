"""With instance norm first, a network does not see the contrast of an image at all.

Exact: it follows from an equation, and is checked here on trained networks; it could not come out
otherwise.

Ulyanov, Vedaldi & Lempitsky (2016), Section 2: what a network makes of an image should not depend
on its contrast, and instance norm removes the contrast of every image by itself, which batch
norm, with one mean and one variance for all images, cannot. The paper's own finding is another one:
better pictures from a network that transfers styles. It is not tested here.

What is different here: networks are trained on digits as they are and tested on the same digits
with their contrast and brightness changed, image by image. With instance norm as their first layer
the scores stay the same to rounding. The controls have batch norm or no norm in its place and are
otherwise the same; how much they lose is measured, and depends on the task. All are trained at one
rate: what is exact holds at any.

Values: ``error`` of the test images in percent (norm, contrast), ``change`` of the scores (norm,
contrast), the largest, relative to the largest score; norms in the order of `NORMS`, the
contrasts being 1 and those of the settings, each with a brightness drawn for every image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlnorm import nn
from dlnorm._validate import Array
from dlnorm.experiments._core import BaseSettings, Result, Verdict, graded, mean
from dlnorm.experiments._intervals import Interval, interval
from dlnorm.experiments._networks import streams
from dlnorm.experiments._whiskers import whiskers
from dlnorm.plotting import NORM_COLOR, Shown, show, subplots

KIND = "exact"

#: With eps = 0: no image of a digit is of one gray all over.
NORMS: dict[str, Callable[[], nn.Layer] | None] = {
    "no norm": None,
    "batch norm": lambda: nn.BatchNorm(1),
    "instance norm": lambda: nn.InstanceNorm(1, eps=0.0),
}
BATCH, INSTANCE = 1, 2


@dataclass(frozen=True)
class Settings(BaseSettings):
    """What is varied: the contrast of the test images."""

    contrasts: tuple[float, ...]
    steps: int
    brightness: float = 0.3

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for seconds."""
        return cls((0, 1, 2), contrasts=(0.1, 0.3, 3.0), steps=200)

    @classmethod
    def full(cls) -> Settings:
        """Return settings for minutes."""
        return cls(tuple(range(10)), contrasts=(0.03, 0.1, 0.3, 3.0, 10.0), steps=1000)


def measure(settings: Settings, seed: int) -> dict[str, Array]:
    """Return one seed's errors and changes."""
    data = nn.digits(seed)
    brightness = streams(seed).noise.normal(0, settings.brightness, (len(data.x_test), 1))
    tests = [data.x_test, *(c * data.x_test + brightness for c in settings.contrasts)]
    error = np.empty((len(NORMS), len(tests)))
    change = np.empty_like(error)
    for n, norm in enumerate(NORMS.values()):
        random = streams(seed)
        first = [] if norm is None else [nn.Reshape(1, 8, 8), norm(), nn.Flatten()]
        network = nn.Sequential(
            *first,
            nn.Linear(64, 100, random.weights),
            nn.ReLU(),
            nn.Linear(100, 10, random.weights),
        )
        trainer = nn.Trainer(network, nn.SGD(0.1, 0.9), data, batch_size=50, seed=random.order)
        trainer.fit(steps=settings.steps, disable=True)
        plain = network.forward(data.x_test, "test")
        for t, x in enumerate(tests):
            error[n, t] = nn.error_percent(network, x, data.y_test)
            change[n, t] = np.abs(network.forward(x, "test") - plain).max() / np.abs(plain).max()
    return {"error": error, "change": change}


def losses(result: Result[Settings], norm: int) -> Interval:
    """Return by how many points of error a network is worse at its worst contrast than at 1."""
    error = result["error"][:, norm]
    return interval(error[:, 1:].max(axis=1) - error[:, 0])


def verdict(result: Result[Settings]) -> Verdict:
    """Return whether instance norm, and it alone, makes the scores blind to contrast."""
    error = result["error"]
    exact = float(result["change"][:, INSTANCE].max())
    at_one = ", ".join(f"{interval(error[:, n, 0]):.1f} % with {name}"
                       for n, name in enumerate(NORMS))  # fmt: skip
    text = (
        f"with instance norm the scores change by {exact:.0e} of the largest. Test error at "
        f"contrast 1: {at_one}. At the worst contrast it rises by {losses(result, BATCH):.1f} "
        f"points with batch norm, {losses(result, 0):.1f} without a norm and "
        f"{losses(result, INSTANCE):.1f} with instance norm."
    )
    return Verdict(graded(exact < 1e-10, losses(result, BATCH).low > 0), text)


def figure(result: Result[Settings]) -> Shown:
    """Draw the error of each network against the contrast of the test images."""
    fig, ax = subplots()
    contrasts = np.array([1.0, *result.settings.contrasts])
    order = contrasts.argsort()
    colors = [NORM_COLOR[key] for key in ("none", "batch", "instance")]
    for n, (name, color) in enumerate(zip(NORMS, colors, strict=True)):
        whiskers(ax, contrasts[order], result["error"][:, n, order], color=color, label=name)
    ax.set(xscale="log", xlabel="contrast of the test images", ylabel="test error, %")
    ax.set_xticks(contrasts, [f"{c:g}" for c in contrasts])
    ax.minorticks_off()
    ax.set_ylim(0, None)
    ax.legend()
    worst = mean(result["error"]).max(axis=1)
    return show(
        fig,
        alt="Test error against the contrast of the test images. With instance norm it is "
        f"{worst[INSTANCE]:.1f} % at every contrast; with batch norm it goes up to "
        f"{worst[BATCH]:.0f} % and without a norm up to {worst[0]:.0f} %.",
    )
