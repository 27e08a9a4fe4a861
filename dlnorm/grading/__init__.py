"""What is asked and how an answer is judged: knows the mathematics, runs nothing by itself.

`grade` is what a hidden test calls, on the instructor's machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from dlnorm.grading.exercises import PROBLEM_SETS, problem_set_of
from dlnorm.grading.student import checker

__all__ = ["PROBLEM_SETS", "grade"]


def grade(name: str, *functions: Callable[..., Any], seed: int | None = None) -> None:
    """Judge `functions` on fresh random cases of the check called `name`.

    Parameters
    ----------
    name : str
        As in the notebook's ``check(name, ...)``.
    *functions : callable
        The student's functions, in the order of the check's program.
    seed : int, optional
        To repeat a run; a message names the seed it was drawn with.

    Raises
    ------
    CheckFailed
        With the diagnosis, if a case fails.
    KeyError, ValueError
        If there is no such check, or the functions are not those it needs.
    """
    seed = secrets.randbits(32) if seed is None else seed
    problem_set = problem_set_of(name)
    spec = problem_set.spec(name, seed, fresh=True, with_mistakes=False)
    outcomes = checker.outcomes_of(spec, functions)
    if not checker.verdict_on(spec, outcomes)["passed"]:
        # only now is it worth running every known mistake on the same cases
        spec = problem_set.spec(name, seed, fresh=True)
        raise checker.CheckFailed(checker.verdict_on(spec, outcomes)["message"])
