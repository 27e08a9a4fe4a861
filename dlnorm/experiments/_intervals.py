"""Paired comparisons over seeds, with 95 % intervals (Student's t)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlnorm._validate import Array
from dlnorm.experiments._core import _T95, mean, stderr


class Interval(NamedTuple):
    """A mean over seeds, and between which bounds the true one lies with 95 % confidence."""

    middle: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        """As ``f"{interval:.1f}"``: the mean, and the interval in brackets."""
        return f"{self.middle:{form}} [{self.low:{form}}, {self.high:{form}}]"


def interval(values: Array) -> Interval:
    """Return the mean of one number per seed with its 95 % interval.

    Examples
    --------
    >>> f"{interval(np.array([1.0, 2.0, 3.0])):.1f}"  # 2 ± 4.303 / sqrt(3)
    '2.0 [-0.5, 4.5]'
    """
    half = _T95[len(values) - 1] * float(stderr(values))
    middle = float(mean(values))
    return Interval(middle, middle - half, middle + half)


def ratio(steps: Array, other: Array, budget: float) -> Interval:
    """Return by what factor one number of steps per seed exceeds the other, as geometric mean.

    Parameters
    ----------
    steps, other : ndarray, shape (seeds,)
        Of the same seeds; infinite where the budget ended a run.
    budget : float
        What a censored run counts as. If only runs of `other` are censored, the factor is an
        upper bound.

    Examples
    --------
    >>> f"{ratio(np.array([10.0, 20.0]), np.array([20.0, 40.0]), 100):.2f}"
    '0.50 [0.50, 0.50]'
    """
    logs = np.log(np.minimum(steps, budget)) - np.log(np.minimum(other, budget))
    return Interval(*np.exp(interval(logs)).tolist())


def inside(values: Array) -> bool:
    """Return whether the smallest of some values on a grid lies neither first nor last.

    Examples
    --------
    >>> inside(np.array([3.0, 1.0, 2.0])), inside(np.array([3.0, 2.0, 1.0]))
    (True, False)
    """
    return 0 < int(values.argmin()) < len(values) - 1
