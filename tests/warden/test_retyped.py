"""A class whose notebooks went through other hands and other programs, graded in one batch."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_markdown_cell
from nbgrader.api import Gradebook
from nbgrader.utils import compute_checksum

from nbwarden import command
from nbwarden.course import Course
from nbwarden.feedback import markdown_to_html
from tests.support import run, tool
from tests.warden.course import RIGHT, Graded, SmallCourse, cell_of, graded_cell, own, source_cells

FULL = {"test-double": 2, "test-shift": 2, "test-unshift": 2, "essay": None, "test-layers": 0}


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


def with_line_ends(notebook):
    for cell in notebook.cells:
        cell.source = cell.source.replace("\n", "  \r\n") + "\r\n"


def hand_out_older(notebook):
    """As if the given cell had been another one when this notebook was handed out."""
    cell = cell_of(notebook, "imports")
    cell.source = "import numpy as np  # an older version"
    cell.metadata.nbgrader.checksum = compute_checksum(cell)


EDITS = {
    "ann": lambda notebook: None,
    "bob": lose,
    "cat": lambda notebook: lose(notebook, "double", "shift"),
    "dan": type_again_at_top,
    "eve": lambda notebook: lose(notebook, "essay"),
    "hal": delete,
    "joe": with_line_ends,
    "pam": hand_out_older,
}
PNG = base64.b64encode(b"\x89PNG").decode()
PHOTO = base64.b64encode(b"\xff\xd8\xff" * 1_400_000).decode()
DRAWING = base64.b64encode(b"a drawing").decode()
ODD_NAMES = ("a[x", " ann ", "a*b?", "..a", "Zo\u00eb O'Neil & <i>", "~bob", "{student_id}")
LAYERS = {"oli": "def relu(x):\n    return max(x, 0)", "pat": "def relu(x):\n    return x"}
UNFIT_NAMES = ("[x]", "new\nline", "esc\x1b[2J")


def paste(source, **pictures):
    """Put a text with pictures into the essay, and into a cell of the student's own."""

    def edit(notebook):
        attachments = {f"{name}.pic": picture for name, picture in pictures.items()}
        for cell in (cell_of(notebook, "essay"), new_markdown_cell()):
            cell.source, cell.attachments = source, attachments
        notebook.cells.append(cell)

    return edit


PICTURES = {
    "kim": paste("Text ![p](attachment:gone.png) and text"),
    "lea": paste(
        "![p](attachment:web.pic) ![p](attachment:phone.pic) ![p](attachment:large.pic)",
        web={"image/webp": PNG},
        phone={"image/heic": PNG},
        large={"image/jpeg": PHOTO},
    ),
    "mia": paste("![p](my%20photo.png)"),
}


def locked_text(source):
    meta = {"grade": False, "solution": False, "locked": True, "task": False, "grade_id": "read"}
    return new_markdown_cell(source, metadata={"nbgrader": {**meta, "schema_version": 3}})


def configure(course, more=""):
    (course.root / "nbgrader_config.py").write_text(
        "import nbwarden\nc = get_config()\nnbwarden.enable(c)\n"
        f"c.CourseDirectory.course_id = 'small'\nc.Intake.try_solution = False\n{more}",
        encoding="utf-8",
    )


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
    cells = source_cells()
    cells.insert(1, locked_text("![d](attachment:d.png) ![f](img/f.png)"))
    cells.append(graded_cell("test-layers", "import layers\nassert layers.relu(-1) == 0", 1))
    cells[1].attachments = {"d.png": {"image/png": DRAWING}}
    course = SmallCourse(tmp_path_factory.mktemp("retyped"), cells)
    (course.root / "source" / "ps1" / "layers.py").write_text("relu = None", encoding="utf-8")
    (course.root / "source" / "ps1" / "img").mkdir()
    (course.root / "source" / "ps1" / "img" / "f.png").write_bytes(b"a figure")
    configure(course, "c.Autograde.exclude_overwriting = {'ps1': ['layers.py']}\n")
    for student, edit in EDITS.items():
        course.submit(RIGHT, edit, student=student)
    rename(course, "fay", "ps1 (1).ipynb")
    rename(course, "gus", "ps1-Copy1.ipynb", blank=True)
    rename(course, "ivy", "ps1.pdf")
    for student in (*ODD_NAMES, *UNFIT_NAMES):
        course.submit(RIGHT, student=student)
    for student, edit in PICTURES.items():
        course.submit(RIGHT, edit, student=student)
    for student, code in LAYERS.items():
        path = course.submit(RIGHT, student=student) / "layers.py"
        path.write_text(code, encoding="utf-8")
    (course.folder("mia") / "my photo.png").write_bytes(b"my photo")
    for number in range(80):
        with (course.submit(RIGHT, student="max") / f"{number}.bin").open("wb") as stream:
            stream.truncate(49 * 2**20)
    (course.folder("max") / "large.png").write_bytes(b"")
    os.truncate(course.folder("max") / "large.png", 49 * 2**20)
    for number in range(3):
        with (course.folder("max") / f"figure{number}.png").open("wb") as stream:
            stream.truncate(49 * 2**20)
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
    assert "6 cells without nbgrader's metadata" in graded.line("bob")
    assert graded.line("cat") == "answered in a cell of the student's own: double, shift"
    assert graded.line("eve") == "answered in a cell of the student's own: essay"
    assert graded.line("hal") == "missing: double"
    assert graded.line("fay") == "taken from ps1 (1).ipynb"
    assert graded.line("gus") == "taken from ps1-Copy1.ipynb"
    assert graded.line("ivy") == "ps1.ipynb is missing; what was handed in: helper.py, ps1.pdf"
    assert re.search(r"hal +4 .*see below", graded.printed)
    assert "4 in trouble" in graded.printed


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


@pytest.mark.parametrize("student", ["joe", "pam"])
def test_nobody_is_accused_of_what_a_program_or_a_correction_did(graded, student):
    assert waits(graded[student])
    assert "had been changed" not in graded[student].text


def test_a_cell_corrected_after_the_hand_out_is_said_to_be_so(graded):
    assert "A note on your submission" not in graded["joe"].text
    assert "imports of the assignment has changed since this notebook was" in graded["pam"].text


@pytest.mark.parametrize("student", list(PICTURES))
def test_pictures_cost_nobody_a_point(graded, student):
    assert waits(graded[student])
    assert graded.line(student) == ""


def test_pictures_are_on_the_page_or_a_sentence_is(graded):
    assert graded["kim"].text.count("[The picture gone.png is not shown: it is not in the") == 2
    page = graded["lea"].page
    assert page.count(f"data:image/webp;base64,{PNG}") == 2
    assert graded["lea"].text.count("phone.pic is not shown: browsers do not show image/heic") == 2
    assert page.count(f"data:image/jpeg;base64,{PHOTO}") == 1  # its bytes count once
    assert graded["lea"].text.count("large.pic is not shown: it is shown above") == 1
    photo = base64.b64encode(b"my photo").decode()
    assert graded["mia"].page.count(f"data:image/png;base64,{photo}") == 2
    assert "left out" not in graded["mia"].text


def test_the_instructors_pictures_are_on_every_page(graded):
    figure = base64.b64encode(b"a figure").decode()
    for student in ("ann", "bob", "kim"):
        assert f"data:image/png;base64,{DRAWING}" in graded[student].page
        assert f"data:image/png;base64,{figure}" in graded[student].page


def test_formgraders_pages_show_the_same(graded):
    exporter = HTMLExporter(filters={"markdown2html": markdown_to_html})
    page, _ = exporter.from_filename(
        graded.course.root / "autograded" / "kim" / "ps1" / "ps1.ipynb"
    )
    assert "The picture gone.png is not shown" in page
    assert DRAWING in page


@pytest.mark.parametrize("student", ODD_NAMES)
def test_students_may_be_called_anything(graded, student):
    assert waits(graded[student])
    assert graded.line(student) == ""


def test_who_cannot_be_graded_is_named(graded):
    for name in ("[x]", r"new\nline", r"esc\x1b[2J"):
        assert "cannot work with the name of the student's folder" in graded.line(name)
    assert "\x1b" not in graded.printed


def test_large_files_are_neither_read_nor_missed(graded):
    assert waits(graded["max"])
    assert "figure2.png, large.png" in graded["max"].text
    assert "These files are too large, or too many, and were left out" in graded["max"].text
    taken = {path.name for path in (graded.course.root / "autograded/max/ps1").iterdir()}
    assert taken == {"ps1.ipynb", "helper.py", "img", "figure0.png", "figure1.png"}


def test_files_that_students_may_change_are_theirs(graded):
    assert graded["oli"].scores == {**FULL, "test-layers": 1}
    assert graded["pat"].scores == FULL
    assert "left out" not in graded["oli"].text


@pytest.mark.without_sandbox
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # nbgrader's at a new submission
def test_a_cell_added_after_submissions_comes_with_a_way_forward(tmp_path):
    course = SmallCourse(tmp_path)
    configure(course)
    url = f"sqlite:///{tmp_path}/gradebook.db"
    with Gradebook(url) as book:
        book.add_student("ann")
        book.add_submission("ps1", "ann")
    source = tmp_path / "source" / "ps1" / "ps1.ipynb"
    notebook = nbformat.read(source, as_version=4)
    notebook.cells.append(graded_cell("new", "assert True"))
    nbformat.write(notebook, source)
    config = command.load(tmp_path)
    config.CourseDirectory.root = str(tmp_path)
    with pytest.raises(RuntimeError) as refused:
        Course(config).generate("ps1")
    message = str(refused.value)
    assert "marks and comments given by hand" in message
    assert "Who handed in before gets no points for a new cell" in message
    (line,) = re.findall(r"^    nbgrader (.*)$", message, re.MULTILINE)
    assert f"--db={url}" in line
    run(tool("nbgrader"), *shlex.split(line), cwd=tmp_path)
    Course(config).generate("ps1")
    with Gradebook(url) as book:
        assert "new" in [cell.name for cell in book.find_notebook("ps1", "ps1").grade_cells]
