"""Grade many submissions: one after another, none of them able to stop the others."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr
from copy import deepcopy
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import nbformat
from nbformat.reader import NotJSONError
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from sqlalchemy.exc import SAWarning
from traitlets.config import Config


@dataclass(frozen=True)
class Outcome:
    """What became of one submission.

    `status` is "graded", "unchanged" (graded before, and the same file), "unreadable" (no valid
    notebook) or "failed" (nbgrader gave up on it); `reason` says why, for the last two.
    """

    assignment: str
    student: str
    status: str
    reason: str = ""


class Course:
    """An nbgrader course directory, opened with its configuration.

    Parameters
    ----------
    config : traitlets Config
        As loaded from `nbgrader_config.py`; `CourseDirectory.root` must be set.

    Raises
    ------
    FileNotFoundError
        If the root is not a directory.
    """

    def __init__(self, config: Config) -> None:
        root = Path(config.CourseDirectory.root)
        if not root.is_dir():
            raise FileNotFoundError(f"the course directory {root} does not exist")
        config = deepcopy(config)
        config.NbGraderAPI.log_level = "ERROR"
        with redirect_stderr(StringIO()):  # it complains if there is no exchange; none is needed
            self.api = NbGraderAPI(config=config)
        # nbgrader 0.9.6 makes SQLAlchemy warn at each new submission; nothing is wrong
        warnings.filterwarnings("ignore", category=SAWarning, module="nbgrader")
        # nbgrader's log goes into the results, from where `_reason` reads it, not to the terminal
        self.api.log.propagate = False
        self.api.log.handlers.clear()
        self.root = root

    @property
    def gradebook(self) -> Gradebook:
        """The gradebook; close it when done."""
        return Gradebook(self.api.coursedir.db_url, self.api.coursedir.course_id)

    def path(self, step: str, student: str, assignment: str) -> Path:
        """The folder of a student's assignment in a step: "submitted", "autograded", "feedback"."""
        directory = getattr(self.api.coursedir, f"{step}_directory")
        return Path(self.api.coursedir.format_path(directory, student, assignment))

    def submissions(self, assignment: str) -> list[str]:
        """The students who handed in `assignment`, sorted."""
        return sorted(self.api.get_submitted_students(assignment))

    def submitted_assignments(self) -> list[str]:
        """The assignments that at least one student handed in, sorted."""
        folders = self.path("submitted", "*", "*")
        return sorted({path.name for path in self.root.glob(str(folders.relative_to(self.root)))})

    def generate(self, assignment: str) -> None:
        """Run `nbgrader generate_assignment`; RuntimeError with nbgrader's reason if it fails."""
        result = self.api.generate_assignment(assignment)
        if not result["success"]:
            raise RuntimeError(f"{assignment} could not be generated: {_reason(result)}")

    def notebooks(self, assignment: str) -> list[str]:
        """The names of the assignment's notebooks, as the gradebook has them."""
        with self.gradebook as gradebook:
            return [notebook.name for notebook in gradebook.find_assignment(assignment).notebooks]

    def grade(self, assignment: str, *, force: bool = False) -> Iterator[Outcome]:
        """Grade every submission of `assignment` and write its feedback; one `Outcome` each.

        Parameters
        ----------
        assignment : str
        force : bool
            Grade again what was graded before and has not changed since.

        Yields
        ------
        Outcome
            As soon as the submission is done.
        """
        for student in self.submissions(assignment):
            yield self._grade_one(assignment, student, force)

    def _grade_one(self, assignment: str, student: str, force: bool) -> Outcome:
        reason = self._unreadable(assignment, student)
        if reason:
            self._void(assignment, student)
            return Outcome(assignment, student, "unreadable", reason)
        if not force and self._up_to_date(assignment, student):
            return Outcome(assignment, student, "unchanged")
        for run in (self.api.autograde, self.api.generate_feedback):
            result = run(assignment, student, force=True)
            if not result["success"]:
                self._void(assignment, student)
                return Outcome(assignment, student, "failed", _reason(result))
        return Outcome(assignment, student, "graded")

    def _unreadable(self, assignment: str, student: str) -> str:
        """Why the submission cannot be read, or an empty text."""
        folder = self.path("submitted", student, assignment)
        for name in self.notebooks(assignment):
            path = folder / f"{name}.ipynb"
            if not path.is_file():
                others = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing"
                return f"{path.name} is missing; the folder holds {others}"
            try:
                nbformat.validate(nbformat.read(path, as_version=4))
            except (UnicodeDecodeError, NotJSONError):
                size = path.stat().st_size
                return (
                    f"{path.name} ({size} bytes) is not a Jupyter notebook; was the upload cut off?"
                )
            except Exception as error:  # whatever a broken file makes nbformat raise
                return f"{path.name} is not a Jupyter notebook ({_short(error)})"
        return ""

    def _up_to_date(self, assignment: str, student: str) -> bool:
        """Whether the feedback is newer than everything that was handed in."""
        feedback = list(self.path("feedback", student, assignment).glob("*.html"))
        handed_in = [
            p for p in self.path("submitted", student, assignment).rglob("*") if p.is_file()
        ]
        return bool(feedback) and min(p.stat().st_mtime for p in feedback) > max(
            p.stat().st_mtime for p in handed_in
        )

    def _void(self, assignment: str, student: str) -> None:
        """Leave no older mark standing for a submission that could not be graded."""
        with self.gradebook as gradebook:
            gradebook.update_or_create_student(student)
            submission = gradebook.update_or_create_submission(assignment, student)
            for notebook in submission.notebooks:
                for grade in notebook.grades:
                    grade.auto_score, grade.manual_score = 0, None
                    grade.needs_manual_grade = False
            gradebook.db.commit()


def _reason(result: dict[str, Any]) -> str:
    """The last error nbgrader logged before it gave up, in one line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", result.get("log", "") or result.get("error", ""))
    errors = [
        line.strip()
        for line in text.splitlines()
        if re.match(r"\s*[\w.]*(Error|Exception)\b", line) and "Please see the" not in line
    ]
    last = errors[-1] if errors else (text.strip().splitlines() or ["unknown error"])[-1]
    return last[:200]


def _short(error: Exception) -> str:
    """The first line of an error, cut to fit on one."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return text if len(text) < 90 else text[:87] + "..."
