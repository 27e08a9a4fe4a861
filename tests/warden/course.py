"""A small nbgrader course, to grade submissions in that a test writes in a few lines.

    course = SmallCourse(folder)
    graded = course.grade({"double": "def double(x): return 2 * x"})
    assert graded.scores["test-double"] == 2

Nothing in it knows the course of this repository.
"""

from __future__ import annotations

import html
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

import nbwarden

ASSIGNMENT = "ps1"

#: A secret that only a hidden test holds; no feedback page may show it.
SECRET = "the-hidden-value-7391"

DOUBLE = "def double(x):\n    return 2 * x"
SHIFT = (
    "def shift(x):\n    return x + 1, {'x': x}\n\n\ndef unshift(out, cache):\n    return cache['x']"
)
RIGHT = {"double": DOUBLE, "shift": SHIFT, "essay": "Because two is one and one."}


def given(grade_id: str, source: str) -> nbformat.NotebookNode:
    return _cell(source, grade_id=grade_id, locked=True)


def answer_cell(grade_id: str, answer: str) -> nbformat.NotebookNode:
    """A cell that a student fills; the released one is empty but for nbgrader's stub."""
    return _cell(
        f"### BEGIN SOLUTION\n{answer}\n### END SOLUTION", grade_id=grade_id, solution=True
    )


def graded_cell(grade_id: str, source: str, points: float = 2) -> nbformat.NotebookNode:
    return _cell(source, grade_id=grade_id, grade=True, locked=True, points=points)


def _cell(source: str, make: Any = new_code_cell, **nbgrader: Any) -> nbformat.NotebookNode:
    meta = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
    return make(source, metadata={"nbgrader": {**meta, **nbgrader}})


#: The instructor's module. A check is what students run, and can be asked from a distance.
HELPER = """
import numpy as np


def nearly(a, b):
    return abs(a - b) < 1e-9


def judge_of(expected):
    def judge(replies):
        if not (isinstance(replies, list) and all(isinstance(r, dict) for r in replies)):
            raise ValueError("this is no answer")  # but what somebody has sent in its place
        for reply, right in zip(replies, expected):
            got = reply.get("returned")
            got = got[0] if isinstance(got, tuple) and got else got
            plain = isinstance(got, (int, float, np.generic, np.ndarray))
            if not (plain and np.shape(got) == np.shape(right) and np.allclose(got, right)):
                return 0.0, f"{right} was expected: {reply}"
        return 1.0, ""
    return judge


def there_and_back(question, shift, unshift):
    return [{"returned": unshift(*shift(*arguments))} for arguments in question]


class Check:
    def __init__(self, ask, answer=None):
        self.ask = ask
        if answer:
            self.answer = answer

    def __call__(self, *arguments):
        functions = [a for a in arguments if callable(a)]
        question, judge = self.ask(*(a for a in arguments if not callable(a)))
        if len(functions) == 2:
            share, message = judge(there_and_back(question, *functions))
        else:
            share, message = judge([{"returned": functions[0](*q)} for q in question])
        assert share == 1, message


def ask_double(numbers, label=""):
    x = np.array(numbers)[()]
    return [[x]], judge_of([2 * x])


check_double = Check(ask_double)
check_shift = Check(lambda: ([[np.ones(3)]], judge_of([np.full(3, 2.0)])))
check_unshift = Check(
    lambda: ([[np.arange(3.0)]], judge_of([np.arange(3.0)])), "helper:there_and_back"
)
"""
#: The same tests twice: as trusted cells, and as cells that run in the student's process.
TESTS = {
    "trusted": {
        "test-double": (
            "# nbwarden: trusted\ncheck_double(3, double)\n"
            "check_double([0.0, 1.0, 2.0, 3.0], double)\n### BEGIN HIDDEN TESTS\n"
            f"check_double([-1.0, -0.5, 0.0, 0.5, 1.0], '{SECRET}', double)\n"
            "### END HIDDEN TESTS"
        ),
        "test-shift": "# nbwarden: trusted\ncheck_shift(shift)",
        "test-unshift": "# nbwarden: trusted\ncheck_unshift(shift, unshift)",
    },
    "contained": {
        "test-double": (
            "assert nearly(double(3), 6)\n"
            "np.testing.assert_allclose(double(np.arange(4.0)), [0, 2, 4, 6])\n"
            f"### BEGIN HIDDEN TESTS\nvalue = '{SECRET}'\n"
            "expected = np.linspace(-1, 1, 5) * 2\n"
            "assert np.array_equal(double(np.linspace(-1, 1, 5)), expected), len(value)\n"
            "### END HIDDEN TESTS"
        ),
        "test-shift": "out, cache = shift(np.ones(3))\nassert np.all(out == 2)",
        "test-unshift": "x = np.arange(3.0)\nassert np.all(unshift(*shift(x)) == x)",
    },
}


def source_cells(kind: str = "trusted") -> list[nbformat.NotebookNode]:
    """The instructor's notebook: two functions, a hidden test, and a written answer."""
    tests = TESTS[kind]
    checks = ", ".join(["nearly", "check_double", "check_shift", "check_unshift"])
    return [
        new_markdown_cell("# Problem set 1"),
        given("imports", f"import numpy as np\nfrom helper import {checks}"),
        answer_cell("double", DOUBLE),
        graded_cell("test-double", tests["test-double"]),
        answer_cell("shift", SHIFT),
        graded_cell("test-shift", tests["test-shift"]),
        graded_cell("test-unshift", tests["test-unshift"]),
        _cell(
            "An answer.", new_markdown_cell, grade_id="essay", grade=True, solution=True, points=3
        ),
    ]


@dataclass(frozen=True)
class Graded:
    """What became of a submission."""

    scores: dict[str, float | None]
    waiting: set[str]
    notebook: nbformat.NotebookNode
    page: str
    log: str
    succeeded: bool

    @property
    def score(self) -> float:
        """All points together."""
        return sum(score or 0 for score in self.scores.values())

    @property
    def output(self) -> str:
        """All that the cells put out."""
        outputs = [output for cell in self.notebook.cells for output in cell.get("outputs", ())]
        return "\n".join(map(str, outputs))

    @property
    def text(self) -> str:
        """The feedback page as text."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", self.page)))


@cache
def empty_gradebook() -> bytes:
    """A gradebook as nbgrader makes it; it calls another program for that, which takes seconds."""
    with tempfile.TemporaryDirectory() as folder:
        with Gradebook(f"sqlite:///{folder}/gradebook.db", "small"):
            pass
        return Path(folder, "gradebook.db").read_bytes()


Edit = Callable[[nbformat.NotebookNode], None]


class SmallCourse:
    """A course on disk, its one assignment generated, and the protection switched on."""

    def __init__(
        self,
        root: Path,
        cells: list[nbformat.NotebookNode] | None = None,
        settings: Callable[[Config], None] | None = None,
    ) -> None:
        self.root = root
        source = root / "source" / ASSIGNMENT
        source.mkdir(parents=True)
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        made = new_notebook(cells=cells or source_cells(), metadata={"kernelspec": kernelspec})
        nbformat.write(made, source / "ps1.ipynb")
        (source / "helper.py").write_text(HELPER, encoding="utf-8")
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        config = Config()
        config.CourseDirectory.root = str(root)
        config.CourseDirectory.course_id = "small"
        config.Execute.timeout = 120
        config.NbGraderAPI.log_level = "WARN"
        nbwarden.enable(config)
        config.Intake.try_solution = False  # it takes as long as a submission
        if settings:
            settings(config)
        with redirect_stderr(StringIO()):
            self.api = NbGraderAPI(config=config)
        self.api.log.propagate = False
        self.api.log.handlers.clear()
        (root / "gradebook.db").write_bytes(empty_gradebook())
        done = self.api.generate_assignment(ASSIGNMENT)
        assert done["success"], done

    def folder(self, student: str = "eve") -> Path:
        """Where a student's submission lies."""
        return self.root / "submitted" / student / ASSIGNMENT

    def submit(
        self, answers: dict[str, str] | None = None, edit: Edit | None = None, student: str = "eve"
    ) -> Path:
        """Hand in the released notebook with some cells replaced, then edited in any way."""
        released = self.root / "release" / ASSIGNMENT / "ps1.ipynb"
        notebook = nbformat.read(released, as_version=4)
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            if grade_id in (answers or {}):
                cell.source = answers[grade_id]
        if edit:
            edit(notebook)
        folder = self.folder(student)
        folder.mkdir(parents=True, exist_ok=True)
        # as it is, valid or not
        (folder / "ps1.ipynb").write_text(json.dumps(notebook, indent=1), encoding="utf-8")
        (folder / "helper.py").write_text("def nearly(a, b):\n    return True\n", encoding="utf-8")
        return folder

    def autograde(self, student: str = "eve") -> Graded:
        """Grade what lies there, and write the feedback."""
        log, succeeded = self.run(student)
        return self.outcome(student, log, succeeded)

    def run(self, student: str = "*") -> tuple[str, bool]:
        """Grade what lies there, by default of everybody, and write the feedback: log, success."""
        with warnings.catch_warnings():  # nbgrader 0.9.6 makes SQLAlchemy warn; nothing is wrong
            warnings.filterwarnings("ignore", category=SAWarning)
            done = self.api.autograde(ASSIGNMENT, student, force=True)
        if done["success"]:
            fed = self.api.generate_feedback(ASSIGNMENT, student, force=True)
            assert fed["success"], fed
        return done.get("log", "") + done.get("error", ""), done["success"]

    def outcome(self, student: str, log: str = "", succeeded: bool = True) -> Graded:
        """What became of a student's submission."""
        page = ""
        if succeeded:
            path = self.root / "feedback" / student / ASSIGNMENT / "ps1.html"
            page = path.read_text(encoding="utf-8")
        with Gradebook(f"sqlite:///{self.root}/gradebook.db") as book:
            grades = book.find_submission(ASSIGNMENT, student).notebooks[0].grades
            scores = {
                g.name: g.manual_score if g.manual_score is not None else g.auto_score
                for g in grades
            }
            waiting = {g.name for g in grades if g.needs_manual_grade}
        graded = self.root / "autograded" / student / ASSIGNMENT / "ps1.ipynb"
        notebook = nbformat.read(graded, as_version=4) if graded.exists() else new_notebook()
        return Graded(scores, waiting, notebook, page, log, succeeded)

    def grade(self, answers: dict[str, str] | None = None, edit: Edit | None = None) -> Graded:
        """Hand in and grade."""
        self.submit(answers, edit)
        return self.autograde()


def cell_of(notebook: nbformat.NotebookNode, grade_id: str) -> nbformat.NotebookNode:
    """The cell with that grade_id."""
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id:
            return cell
    raise KeyError(grade_id)


def own(source: str) -> nbformat.NotebookNode:
    """A cell of the student's own."""
    return new_code_cell(source)
