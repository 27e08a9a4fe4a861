"""Drawing what was measured: a mean over seeds with its standard error."""

from __future__ import annotations

from typing import Any

from dlnorm._validate import Array
from dlnorm.experiments._core import mean, stderr


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
