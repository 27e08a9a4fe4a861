"""A course whose one assignment holds all patterns, graded by plain nbgrader and by nbwarden."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

import nbwarden
from tests.parity.patterns import NOTEBOOKS, Pattern, chosen
from tests.warden.course import _cell, empty_gradebook, graded_cell

ASSIGNMENT = "patterns"
STUDENTS = ("right", "wrong")
#: The notebook of which feedback is written: all of them would take as long as grading.
PAGE = "points"

#: The form of automatic tests.
AUTOTESTS = Path(__file__).with_name("autotests.yml")

#: What lies beside the notebooks.
FILES = {
    "helper.py": "def double(x):\n    return 2 * x\n",
    "data/measured.csv": "t\n1\n2\n3\n",
}

Scores = dict[str, tuple[float | None, float | None, bool]]
Cells = dict[str, nbformat.NotebookNode]
Hide = Callable[[nbformat.NotebookNode, Any], tuple[nbformat.NotebookNode, Any]]


def build(root: Path) -> None:
    """Write the course, its assignment released, and both students' submissions."""
    source = root / "source" / ASSIGNMENT
    _write_files(source)
    shutil.copy(AUTOTESTS, source)
    for name in NOTEBOOKS:
        nbformat.write(_notebook(name), source / f"{name}.ipynb")
    api = _api(root, protected=False)
    (root / "gradebook.db").write_bytes(empty_gradebook())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        done = api.generate_assignment(ASSIGNMENT)
        gc.collect()  # nbgrader leaves the sockets open of the kernel that makes automatic tests
    assert done["success"], done
    for student in STUDENTS:
        _submit(root, student)


def grade(root: Path, protected: bool) -> None:
    """Grade both submissions, and write feedback, by plain nbgrader or by nbwarden."""
    api = _api(root, protected)
    with warnings.catch_warnings():  # nbgrader 0.9.6 makes SQLAlchemy warn; nothing is wrong
        warnings.filterwarnings("ignore", category=SAWarning)
        done = api.autograde(ASSIGNMENT, "*")
    assert done["success"], done
    api.config.CourseDirectory.notebook_id = PAGE
    done = api.generate_feedback(ASSIGNMENT)
    assert done["success"], done


def scores(root: Path, student: str) -> Scores:
    """By grade_id: the points given automatically and by hand, and whether a person must look."""
    with Gradebook(f"sqlite:///{root}/gradebook.db") as book:
        return {
            grade.name: (grade.auto_score, grade.manual_score, grade.needs_manual_grade)
            for notebook in book.find_submission(ASSIGNMENT, student).notebooks
            for grade in notebook.grades
        }


def graded_cells(root: Path, student: str, hide: Hide | None = None) -> Cells:
    """The graded cells by grade_id, after `hide` has done its work on their notebooks."""
    cells: Cells = {}
    for name in NOTEBOOKS:
        path = root / "autograded" / student / ASSIGNMENT / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        if hide:
            notebook, _ = hide(notebook, {})
        marked = (cell for cell in notebook.cells if "nbgrader" in cell.metadata)
        cells |= {cell.metadata.nbgrader.grade_id: cell for cell in marked}
    return cells


def page(root: Path, student: str) -> str:
    """The feedback page of the notebook with hidden tests."""
    path = root / "feedback" / student / ASSIGNMENT / f"{PAGE}.html"
    return path.read_text(encoding="utf-8")


def patterns_of(notebook: str) -> list[Pattern]:
    """The patterns in a notebook, but for those whose package is not installed."""
    return [p for p in chosen() if p.topic in NOTEBOOKS[notebook] and not p.is_missing]


def _notebook(name: str) -> nbformat.NotebookNode:
    made = [new_markdown_cell(f"# Problems: {name}")]
    for pattern in patterns_of(name):
        made.append(_answer_cell(pattern))
        made += [
            graded_cell(grade_id, source, pattern.points)
            for grade_id, source in zip(pattern.test_ids, pattern.tests, strict=True)
        ]
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=made, metadata={"kernelspec": kernelspec})


def _answer_cell(pattern: Pattern) -> nbformat.NotebookNode:
    if pattern.is_markdown:
        kind: dict[str, Any] = {"make": new_markdown_cell}
        source = pattern.answer
    else:
        kind = {}
        source = f"### BEGIN SOLUTION\n{pattern.answer}\n### END SOLUTION"
    if pattern.manual is not None:
        kind |= {"grade": True, "points": pattern.manual}
    return _cell(source, grade_id=pattern.name, solution=True, **kind)


def _submit(root: Path, student: str) -> None:
    """Hand in what was released, with the right answers or with the wrong ones."""
    folder = root / "submitted" / student / ASSIGNMENT
    _write_files(folder)
    answers = {p.name: p.answer if student == "right" else p.wrong_answer for p in chosen()}
    for name in NOTEBOOKS:
        path = root / "release" / ASSIGNMENT / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.source = answers.get(grade_id, cell.source)
        nbformat.write(notebook, folder / f"{name}.ipynb")


def _write_files(folder: Path) -> None:
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def _api(root: Path, protected: bool) -> NbGraderAPI:
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    config = Config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.course_id = "parity"
    config.NbGraderAPI.log_level = "WARN"
    if protected:
        nbwarden.enable(config)
        config.Intake.try_solution = False  # in some patterns it costs points, as in nbgrader
    with redirect_stderr(StringIO()):
        api = NbGraderAPI(config=config)
    api.log.propagate = False
    api.log.handlers.clear()
    return api
