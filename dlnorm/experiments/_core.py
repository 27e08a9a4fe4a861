"""What an experiment's settings, result and verdict are, and when a difference counts as one."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Generic, Literal, TypeVar

import numpy as np

from dlnorm._validate import Array

#: Two-sided 95 % quantiles of Student's t, by degrees of freedom.
_T95 = {
    **{1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262},
    **{10: 2.228, 11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110},
    **{18: 2.101, 19: 2.093},
}

Reproduced = Literal["yes", "partly", "no", "null"]

_SAYS = {
    "yes": "reproduced",
    "partly": "reproduced in part",
    "no": "not reproduced",
    "null": "no difference found",
}


@dataclass(frozen=True)
class BaseSettings:
    """What every experiment is told: the seeds, each of which is one independent repetition."""

    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        """Two seeds at least: one has no standard error."""
        if len(set(self.seeds)) < 2 or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be two or more different ones, got {self.seeds}")


S = TypeVar("S", bound=BaseSettings, covariant=True)


@dataclass(frozen=True)
class Result(Generic[S]):
    """What an experiment measured: plain arrays by name, with one row a seed.

    Parameters
    ----------
    name : str
        The experiment's.
    settings : BaseSettings
        What it was run with.
    values : dict of str to ndarray
        First axis: the seeds. What the others are stands in the experiment's docstring.

    Examples
    --------
    >>> result = Result("demo", BaseSettings((0, 1)), {"error": np.array([[1.0, 5.0], [3.0, 5.0]])})
    >>> result.mean("error"), result.stderr("error")
    (array([2., 5.]), array([1., 0.]))
    """

    name: str
    settings: S
    values: dict[str, Array] = field(repr=False)

    def __getitem__(self, key: str) -> Array:
        """Return an array, one row a seed."""
        return self.values[key]

    def mean(self, key: str) -> Array:
        """Return the mean over seeds."""
        return mean(self.values[key])

    def stderr(self, key: str) -> Array:
        """Return the standard error of that mean."""
        return stderr(self.values[key])

    def median(self, key: str) -> Array:
        """Return the median over seeds: for counts of steps, some of which are infinite."""
        return median(self.values[key])


@dataclass(frozen=True)
class Verdict:
    """Whether the paper's finding came out here, and the numbers that say so.

    Parameters
    ----------
    reproduced : {"yes", "partly", "no", "null"}
        "null": the difference looked for is within its uncertainty.
    text : str
        Made of the measured numbers.

    Examples
    --------
    >>> print(Verdict("null", "1.8 ± 0.2 % against 1.7 ± 0.2 %."))
    No difference found: 1.8 ± 0.2 % against 1.7 ± 0.2 %.
    """

    reproduced: Reproduced
    text: str

    def __str__(self) -> str:
        """One line."""
        return f"{_SAYS[self.reproduced].capitalize()}: {self.text}"

    def _repr_html_(self) -> str:
        """A paragraph, for a notebook and for the book."""
        said = f"<strong>{_SAYS[self.reproduced].capitalize()}:</strong> {escape(self.text)}"
        return f'<p class="dl-verdict dl-{self.reproduced}">{said}</p>'


def mean(values: Array) -> Array:
    """Return the mean over seeds, the first axis."""
    average: Array = values.mean(axis=0)
    return average


def stderr(values: Array) -> Array:
    """Return the standard error of the mean over seeds."""
    spread: Array = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return spread


def median(values: Array) -> Array:
    """Return the median over seeds; of an even number the larger middle one.

    So it is always a number that was measured, and infinite unless most seeds came to an end.
    """
    middle: Array = np.sort(values, axis=0)[len(values) // 2]
    return middle


def clear(differences: Array) -> bool:
    """Whether one number a seed has a mean other than 0: its 95 % confidence interval excludes it.

    The interval is Student's, which for few seeds is much wider than two standard errors.

    Examples
    --------
    >>> clear(np.array([1.0, 1.2, 0.9])), clear(np.array([1.0, 1.2, -0.9]))
    (True, False)
    """
    quantile = _T95.get(len(differences) - 1, 2.093)  # that of 19 is a little wide for more
    return bool(abs(mean(differences)) > quantile * stderr(differences))


def above(differences: Array) -> bool:
    """Whether the mean of one number a seed is clearly larger than 0."""
    return clear(differences) and float(mean(differences)) > 0


def graded(*findings: bool) -> Reproduced:
    """Return "yes" if all findings came out, "partly" if some did, "no" if none.

    Examples
    --------
    >>> graded(True, True), graded(True, False), graded(False)
    ('yes', 'partly', 'no')
    """
    came_out = sum(findings)
    return "yes" if came_out == len(findings) else "partly" if came_out else "no"


def pm(values: Array, digits: int = 1) -> str:
    """Return "mean ± standard error" of one number a seed."""
    return f"{mean(values):.{digits}f} ± {stderr(values):.{digits}f}"


def count(steps: float, limit: int) -> str:
    """Return a number of steps, or that there were not enough."""
    return f"{steps:.0f}" if np.isfinite(steps) else f"more than {limit}"
