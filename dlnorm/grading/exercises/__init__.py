"""The problem sets, one module each; the misconceptions stand beside them."""

from __future__ import annotations

from dlnorm.grading.exercise import ProblemSet
from dlnorm.grading.exercises import (
    batchnorm,
    dropout,
    foundations,
    layernorm_groupnorm,
    together,
    weightnorm,
)

PROBLEM_SETS: dict[str, ProblemSet] = {
    problem_set.name: problem_set
    for problem_set in (
        foundations.PROBLEM_SET,
        dropout.PROBLEM_SET,
        batchnorm.PROBLEM_SET,
        layernorm_groupnorm.PROBLEM_SET,
        weightnorm.PROBLEM_SET,
        together.PROBLEM_SET,
    )
}


def problem_set_of(check: str) -> ProblemSet:
    """The problem set that has the check called `check`."""
    for problem_set in PROBLEM_SETS.values():
        if any(c.name == check for c in problem_set.checks):
            return problem_set
    names = [c.name for problem_set in PROBLEM_SETS.values() for c in problem_set.checks]
    raise KeyError(f"there is no check {check!r}; there are: {', '.join(names)}")
