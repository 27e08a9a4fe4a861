"""What can become of a submission. Whose fault it is, is a type; only the first two write marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Outcome:
    """What became of one submission.

    `reason` says why, in one sentence; `trace` is a traceback, for the log, where a program failed
    that is not the student's.
    """

    status: ClassVar[str] = ""

    reason: str = ""
    trace: str = ""


class Graded(Outcome):
    """It has its marks; `reason` says which cells were missing, and is empty if none was."""

    status = "graded"


class Unreadable(Outcome):
    """The student's file cannot be graded: no points."""

    status = "unreadable"


class CourseFault(Outcome):
    """Something of the instructor's is not as it should be; no mark is touched."""

    status = "course fault"


class Trouble(Outcome):
    """The machine or the grader failed: no disk space, say; it is tried again next time."""

    status = "trouble"
