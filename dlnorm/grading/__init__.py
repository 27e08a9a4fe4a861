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


class Grade:
    """The check that hidden tests call: `checker.check`, on fresh random cases."""

    #: What runs beside the student's functions; `checker.py` travels with the assignment.
    answer = "checker:answer"

    def __call__(self, name: str, *functions: Callable[..., Any], seed: int | None = None) -> None:
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
        question, judge = self.ask(name, seed)
        needed = question["functions"]
        if len(functions) != len(needed) or not all(map(callable, functions)):
            raise ValueError(f"grade({name!r}, ...) needs the function(s) {', '.join(needed)}")
        share, message = judge(checker.answer(question, *functions))
        if share < 1:
            raise checker.CheckFailed(message)

    def ask(
        self, name: str, seed: int | None = None
    ) -> tuple[dict[str, Any], Callable[[Any], tuple[float, str]]]:
        """Draw fresh cases of a check.

        Parameters
        ----------
        name, seed
            As above.

        Returns
        -------
        question : dict
            What `checker.answer` needs, and nothing of what is expected.
        judge : callable
            From what `checker.answer` says to the share of the points, 0 or 1, and the message,
            which is empty if all is well. ValueError if that is no answer.
        """
        seed = secrets.randbits(32) if seed is None else seed
        problem_set = problem_set_of(name)
        spec = problem_set.spec(name, seed, fresh=True, with_mistakes=False)

        def judge(replies: Any) -> tuple[float, str]:
            outcomes = checker.outcomes_from(spec, replies)
            if checker.verdict_on(spec, outcomes)["passed"]:
                return 1.0, ""
            # only now is it worth running every known mistake on the same cases
            explained = problem_set.spec(name, seed, fresh=True)
            return 0.0, checker.verdict_on(explained, outcomes)["message"]

        return checker.question_of(spec), judge


grade = Grade()
