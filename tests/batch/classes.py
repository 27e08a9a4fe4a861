"""Small classes on disk, with a configuration of their own, graded through the command line."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.api import Gradebook

from tests.support import PATIENCE, REPO, run
from tests.warden.course import (
    ASSIGNMENT,
    RIGHT,
    SmallCourse,
    answer_cell,
    empty_gradebook,
    given,
    graded_cell,
)

CONFIG = """
import os
import sys
from contextlib import suppress
from pathlib import Path

import nbwarden

c = get_config()
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
c.CourseDirectory.course_id = "small"
c.CourseDirectory.root = str(Path(__file__).parent) if "__file__" in globals() else os.getcwd()
c.Execute.timeout = 120
c.Intake.try_solution = False
nbwarden.enable(c)
"""

#: What students answer: right, wrong, nothing at all, an error, or something that is no notebook.
ANSWERS: dict[str, dict[str, str]] = {
    "right": RIGHT,
    "wrong": {**RIGHT, "double": "def double(x):\n    return 3 * x"},
    "blank": {},
    "broken": {**RIGHT, "shift": "def shift(x):\n    return x +"},
}


class Class:
    """A class of students who answer in the ways of `ANSWERS`, in turn.

    `sites` of the course (its folder) is what `python -m nbwarden --course` gets.
    """

    def __init__(
        self,
        root: Path,
        students: int,
        *,
        tiny: bool = False,
        cells: list[nbformat.NotebookNode] | None = None,
        **lines: Any,
    ) -> None:
        self.course = SmallCourse(root, tiny_cells() if tiny else cells)
        self.root = root
        extra = "".join(f"c.{name.replace('__', '.')} = {value}\n" for name, value in lines.items())
        (root / "nbgrader_config.py").write_text(CONFIG + extra, encoding="utf-8")
        (root / "gradebook.db").unlink()  # the command makes its own
        kinds = list(ANSWERS.items())
        self.students = [f"s{number:03d}" for number in range(students)]
        for number, student in enumerate(self.students):
            self.course.submit(kinds[number % len(kinds)][1], student=student)

    def spoil(self, student: str) -> None:
        """Make a submission unreadable."""
        self.folder(student).joinpath("ps1.ipynb").write_text("{", encoding="utf-8")

    def folder(self, student: str) -> Path:
        """Where a student's submission lies."""
        return self.root / "submitted" / student / ASSIGNMENT

    def begin_gradebook(self) -> None:
        """Put nbgrader's empty gradebook there: to make one takes a new process two seconds."""
        (self.root / "gradebook.db").write_bytes(empty_gradebook())

    def keep(self, *students: str) -> None:
        """Leave only these students' submissions, of a class whose others do not matter."""
        for student in set(self.students) - set(students):
            shutil.rmtree(self.root / "submitted" / student)
        self.students = list(students)

    @classmethod
    def at(cls, root: Path) -> Class:
        """The class that lies in a folder."""
        found = object.__new__(cls)
        found.root = root
        found.students = sorted(path.name for path in (root / "submitted").iterdir())
        return found

    def copy(self, root: Path) -> Class:
        """The same class elsewhere."""
        shutil.copytree(self.root, root, symlinks=True)
        return Class.at(root)

    def command(self, *options: str) -> list[str]:
        """The command that grades this class."""
        return [sys.executable, "-m", "nbwarden", "--course", str(self.root), *options]

    def start(self, *options: str, **more: Any) -> subprocess.Popen[str]:
        """Start grading, and go on."""
        return subprocess.Popen(
            self.command(*options),
            cwd=REPO,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            **more,
        )

    def grade(self, *options: str, new: bool = False) -> subprocess.CompletedProcess[str]:
        """Grade, and wait for the end; one at a time, as each further worker costs two seconds."""
        jobs = () if "--jobs" in options else ("--jobs", "1")
        return run(*self.command(*jobs, *options), ok=False, new=new)

    def marks(self, db_url: str = "") -> dict[str, dict[str, tuple[Any, ...]]]:
        """All that grading writes in the gradebook: by student, by cell."""
        return marks(db_url or f"sqlite:///{self.root}/gradebook.db")

    def is_finished(self) -> bool:
        """Whether the gradebook remembers every submission as graded."""
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.root / "gradebook.db")) as book:
            return self.remembers_all(book)
        return False

    def remembers_all(self, book: sqlite3.Connection) -> bool:
        """The same, of a gradebook that is open."""
        (count,) = book.execute("SELECT count(*) FROM nbwarden_graded").fetchone()
        return bool(count == len(self.students))

    def has_begun(self, running: subprocess.Popen[str]) -> None:
        """Wait until a submission has been graded."""
        end = time.monotonic() + PATIENCE
        while not self.pages():
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < end, "nothing is graded"
            time.sleep(0.02)

    def pages(self) -> list[Path]:
        """The feedback that is there."""
        return list(self.root.glob("feedback/*"))

    def outputs(self, student: str) -> list[Any]:
        """What the cells of the autograded notebook put out."""
        path = self.root / "autograded" / student / ASSIGNMENT / "ps1.ipynb"
        return [cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells]


def marks(db_url: str, assignment: str = ASSIGNMENT) -> dict[str, dict[str, tuple[Any, ...]]]:
    """All that grading writes in a gradebook: by student, by cell."""
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    with Gradebook(db_url, "small") as book:
        for submission in book.find_assignment(assignment).submissions:
            cells = found[submission.student.id] = {}
            cells["(submission)"] = (submission.timestamp, submission.score, submission.max_score)
            for notebook in submission.notebooks:
                late = (notebook.late_submission_penalty, notebook.needs_manual_grade)
                cells[f"({notebook.name})"] = late
                for grade in notebook.grades:
                    cells[grade.name] = (
                        grade.auto_score,
                        grade.manual_score,
                        grade.extra_credit,
                        grade.needs_manual_grade,
                    )
                for comment in notebook.comments:
                    cells[f"{comment.name}: comment"] = (
                        comment.auto_comment,
                        comment.manual_comment,
                    )
    return found


def tiny_cells() -> list[nbformat.NotebookNode]:
    """An assignment that is graded in no time."""
    return [
        given("imports", "import helper"),
        answer_cell("double", "def double(x):\n    return 2 * x"),
        graded_cell("test-double", "assert double(3) == 6"),
    ]
