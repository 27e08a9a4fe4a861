"""A class whose notebooks went through other hands and other programs, graded in one batch."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from dataclasses import dataclass

import pytest

from nbwarden import command
from tests.warden.course import RIGHT, Graded, SmallCourse, cell_of, own

FULL = {"test-double": 2, "test-shift": 2, "test-unshift": 2, "essay": None}


def lose(notebook, *grade_ids):
    """Take nbgrader's metadata from these cells, or from all."""
    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        if not grade_ids or meta.get("grade_id") in grade_ids:
            cell.metadata = {"cell_id": "4f2c", "deepnote_cell_type": cell.cell_type}


def type_again_at_top(notebook):
    cell = cell_of(notebook, "shift")
    notebook.cells.remove(cell)
    notebook.cells.insert(0, own(cell.source))


def delete(notebook):
    notebook.cells.remove(cell_of(notebook, "double"))


EDITS = {
    "ann": lambda notebook: None,
    "bob": lose,
    "cat": lambda notebook: lose(notebook, "double", "shift"),
    "dan": type_again_at_top,
    "eve": lambda notebook: lose(notebook, "essay"),
    "hal": delete,
}


def rename(course, student, name, *, blank=False):
    """Hand in right answers under another name, perhaps beside the notebook as it was released."""
    folder = course.submit(RIGHT, student=student)
    (folder / "ps1.ipynb").rename(folder / name)
    if blank:
        course.submit(student=student)


@dataclass
class Class:
    """What came of all: the summary as printed, and each student's outcome."""

    course: SmallCourse
    printed: str

    def __getitem__(self, student: str) -> Graded:
        return self.course.outcome(student)

    def line(self, student: str) -> str:
        """What the summary says of a student, below the table."""
        found = re.search(rf"^{re.escape(student)}, ps1: (.*)$", self.printed, re.MULTILINE)
        return found[1] if found else ""


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    course = SmallCourse(tmp_path_factory.mktemp("retyped"))
    (course.root / "nbgrader_config.py").write_text(
        "import nbwarden\nc = get_config()\nnbwarden.enable(c)\n"
        "c.CourseDirectory.course_id = 'small'\n",
        encoding="utf-8",
    )
    for student, edit in EDITS.items():
        course.submit(RIGHT, edit, student=student)
    rename(course, "fay", "ps1 (1).ipynb")
    rename(course, "gus", "ps1-Copy1.ipynb", blank=True)
    rename(course, "ivy", "ps1.pdf")
    with redirect_stdout(io.StringIO()) as printed:
        assert command.main(["--course", str(course.root)]) == 1  # because of ivy
    return Class(course, printed.getvalue())


def waits(graded):
    return graded.waiting == {"essay"} and graded.scores == FULL


def test_nobody_loses_points_to_another_program(graded):
    for student in ("ann", "bob", "cat", "dan", "eve", "fay", "gus"):
        assert waits(graded[student]), (student, graded[student].scores)


def test_what_is_missing_is_missing(graded):
    assert graded["hal"].scores == {**FULL, "test-double": 0}


def test_the_summary_says_where_cells_were_missing(graded):
    assert graded.line("ann") == ""
    assert "answered in a cell of the student's own: double, shift, essay" in graded.line("bob")
    assert "4 cells without nbgrader's metadata" in graded.line("bob")
    assert graded.line("cat") == "answered in a cell of the student's own: double, shift"
    assert graded.line("eve") == "answered in a cell of the student's own: essay"
    assert graded.line("hal") == "missing: double"
    assert graded.line("fay") == "taken from ps1 (1).ipynb"
    assert graded.line("gus") == "taken from ps1-Copy1.ipynb"
    assert graded.line("ivy") == "ps1.ipynb is missing; what was handed in: helper.py, ps1.pdf"
    assert re.search(r"hal +4 .*see below", graded.printed)
    assert "1 in trouble" in graded.printed


def test_an_unchanged_submission_keeps_its_remark(graded):
    with redirect_stdout(io.StringIO()) as printed:
        command.main(["--course", str(graded.course.root), "--json"])
    outcomes = {o["student"]: o for o in json.loads(printed.getvalue())["outcomes"]}
    assert outcomes["hal"]["status"] == "unchanged"
    assert outcomes["hal"]["reason"] == "missing: double"


def test_students_read_what_was_done(graded):
    assert "A note on your submission" not in graded["ann"].text
    assert "Your own cell that defines shift and unshift was graded" in graded["dan"].text
    assert "A person will read it." in graded["eve"].text
    assert "ps1.ipynb is missing: ps1 (1).ipynb was graded in its place." in graded["fay"].text
