"""Drawing what was measured: a mean over seeds with its 95 % interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlnorm._validate import Array
from dlnorm.experiments._intervals import interval


def whiskers(
    ax: Any,
    x: Array,
    values: Array,
    *,
    color: str,
    label: str | None = None,
    least: float = -np.inf,
    **style: Any,
) -> None:
    """Draw the mean over seeds as points joined by a line, with 95 % intervals.

    Parameters
    ----------
    ax : matplotlib Axes
    x : ndarray, shape (points,)
    values : ndarray, shape (seeds, points)
    color : str
    label : str, optional
    least : float
        Intervals are cut off here; for an axis that is logarithmic.
    **style
        Handed on to `errorbar`.
    """
    bars = [interval(column) for column in values.T]
    middle, low = (np.array([getattr(b, side) for b in bars]) for side in ("middle", "low"))
    low = np.minimum(np.maximum(low, least), middle)
    high = np.array([b.high for b in bars])
    style = {"marker": "o", "markersize": 5, "capsize": 3, **style}
    ax.errorbar(x, middle, (middle - low, high - middle), color=color, label=label, **style)
