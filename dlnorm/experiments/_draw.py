"""Drawing what was measured: a mean over seeds with its standard error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlnorm._validate import Array
from dlnorm.experiments._core import mean, median, stderr
from dlnorm.plotting import INK


def band(ax: Any, x: Array, values: Array, *, color: str, label: str | None = None) -> None:
    """Draw the mean over seeds as a line and one standard error each way as a band."""
    middle, spread = mean(values), stderr(values)
    ax.plot(x, middle, color=color, label=label)
    ax.fill_between(x, middle - spread, middle + spread, color=color, alpha=0.3, lw=0)


def points(
    ax: Any, x: Array, values: Array, *, color: str, label: str | None = None, **style: Any
) -> None:
    """Draw the mean over seeds as points joined by a line, with bars of one standard error."""
    style = {"marker": "o", "markersize": 5, "capsize": 3, **style}
    ax.errorbar(x, mean(values), stderr(values), color=color, label=label, **style)


def censored_bars(ax: Any, steps: Array, limit: int, colors: Sequence[str]) -> None:
    """Draw one bar per arm up to the median step; hatched and marked where the budget ended it.

    Parameters
    ----------
    ax : matplotlib Axes
    steps : ndarray, shape (seeds, arms)
        Infinite where the budget ended the run.
    limit : int
        The budget.
    colors : sequence of str
        One per arm.
    """
    for arm, (middle, color) in enumerate(zip(median(steps), colors, strict=True)):
        if np.isfinite(middle):
            ax.barh(arm, middle, 0.6, color=color)
        else:
            ax.barh(arm, limit, 0.6, facecolor="none", edgecolor=color, hatch="///", lw=1.5)
        ended = steps[np.isfinite(steps[:, arm]), arm]
        ax.plot(ended, np.full(len(ended), arm), "o", color=INK, markersize=2.5)
        if len(ended) < len(steps):
            ax.text(limit, arm, f" > {limit}", va="center", fontsize=9)
    finite = np.isfinite(steps)
    ax.set_xlim(0, 1.1 * steps.max() if finite.all() else 1.3 * limit)
