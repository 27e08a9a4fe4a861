"""Whatever is handed in, what is graded is the student's words in the released frame."""

from __future__ import annotations

import json
import os

import pytest

from tests.warden.course import ASSIGNMENT, RIGHT, SECRET, SmallCourse, cell_of, own

FULL = {"test-double": 2, "test-shift": 2, "test-unshift": 2, "essay": None}


def note(graded):
    """The note on top of the graded notebook; empty if there is none."""
    first = graded.notebook.cells[0]
    return first.source if first.metadata.get("nbwarden") else ""


def test_tags_and_all_other_metadata_are_dropped(course):
    def edit(notebook):
        notebook.metadata["kernelspec"] = {"name": "bash", "display_name": "b", "language": "b"}
        notebook.metadata["secret"] = 1
        for cell in notebook.cells:
            cell.metadata["tags"] = ["skip-execution", "raises-exception"]
            cell.metadata["secret"] = 1
        cell_of(notebook, "test-double").metadata["nbgrader"]["points"] = 100

    graded = course.grade(RIGHT, edit)
    assert graded.scores == FULL
    assert "secret" not in json.dumps(graded.notebook)
    assert "skip-execution" not in json.dumps(graded.notebook)
    assert graded.notebook.metadata["kernelspec"]["name"] == "python3"


def test_a_changed_test_is_as_released_again(course):
    def edit(notebook):
        cell_of(notebook, "test-double").source = "pass"
        cell_of(notebook, "imports").source = "np = None"

    graded = course.grade({**RIGHT, "double": "def double(x):\n    return 0"}, edit)
    assert graded.scores["test-double"] == 0
    assert graded.scores["test-shift"] == 2
    assert "`test-double` had been changed" in note(graded)
    assert "`imports` had been changed" in note(graded)
    assert "had been changed" in graded.text


def test_missing_cells_are_there_again(course):
    def edit(notebook):
        gone = ("test-double", "shift", "essay")
        notebook.cells = [
            c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in gone
        ]

    graded = course.grade(RIGHT, edit)
    assert graded.scores == {"test-double": 2, "test-shift": 0, "test-unshift": 0, "essay": 0}
    assert graded.waiting == set()
    assert note(graded).count("was missing") == 3


def test_copies_count_once_and_stop_nobody(course):
    def edit(notebook):
        for grade_id in ("test-double", "double", "essay"):
            cell = cell_of(notebook, grade_id)
            notebook.cells.append(type(cell)(json.loads(json.dumps(cell))))
        notebook.cells[-2].source = "def double(x):\n    return 2 * x"
        for number, cell in enumerate(notebook.cells):
            cell.id = f"c{number}"

    graded = course.grade({**RIGHT, "double": "def double(x):\n    return 0"}, edit)
    assert graded.scores == FULL  # of two answers, the last one counts, as in the student's kernel
    assert "3 copied cells" in note(graded)


def test_moved_cells_are_back_in_their_order(course):
    def edit(notebook):
        notebook.cells.reverse()

    graded = course.grade(RIGHT, edit)
    assert graded.scores == FULL
    assert "had been moved" in note(graded)


def test_cells_with_an_unknown_id_are_the_students_own(course):
    def edit(notebook):
        made = own("def double(x):\n    return 0")
        meta = {"grade": True, "solution": False, "locked": True, "grade_id": "bonus"}
        made.metadata["nbgrader"] = {**meta, "points": 50, "schema_version": 3, "task": False}
        notebook.cells.insert(2, made)

    graded = course.grade(RIGHT, edit)
    assert graded.scores == FULL
    assert "taken as your own" in note(graded)


def test_a_cell_made_text_is_code_again(course):
    def edit(notebook):
        cell = cell_of(notebook, "double")
        cell.cell_type = "markdown"
        del cell["outputs"], cell["execution_count"]

    graded = course.grade(RIGHT, edit)
    assert graded.scores == FULL
    assert "had become markdown" in note(graded)


OLD_FORMAT = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}
UNREADABLE = {
    "cut off": (b'{"cells": [', "was the upload cut off"),
    "empty file": (b"", "was the upload cut off"),
    "another encoding": ('{"cells": [], "ä": 1}'.encode("utf-16"), "not in UTF-8"),
    "an old format": (json.dumps(OLD_FORMAT).encode(), "notebook format 3"),
    "no cells": (b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "no cells"),
    "blank": (b'{"cells": []}', "no cells"),
    "a list": (b"[]", "not a Jupyter notebook"),
    "a number": (b"7", "not a Jupyter notebook"),
    "cells are text": (b'{"cells": "x", "nbformat": 4}', "no list of cells"),
    "nested without end": (b"[" * 100_000, "was the upload cut off"),
    "a large number": (b'{"cells": ' + b"9" * 10_000 + b"}", "was the upload cut off"),
    "a zip": (b"PK\x03\x04" + bytes(range(256)), "not in UTF-8"),
}


@pytest.mark.parametrize("kind", list(UNREADABLE))
def test_what_cannot_be_read_is_named_and_leaves_no_older_mark(course, kind):
    content, reason = UNREADABLE[kind]
    if kind == "cut off":  # once with a good run before
        assert course.grade(RIGHT).score == 6
    (course.submit() / "ps1.ipynb").write_bytes(content)
    graded = course.autograde()
    assert graded.succeeded, graded.log
    assert graded.score == 0
    assert graded.waiting == set()
    assert "This submission could not be read" in graded.text
    assert reason in graded.text


def test_an_older_mark_by_hand_does_not_stand_either(course):
    from nbgrader.api import Gradebook

    course.grade(RIGHT)
    with Gradebook(f"sqlite:///{course.root}/gradebook.db") as book:
        grade = book.find_grade("essay", "ps1", ASSIGNMENT, "eve")
        grade.manual_score, grade.needs_manual_grade = 3, False
        book.db.commit()
    graded = course.grade(RIGHT)
    assert graded.scores["essay"] == 3  # graded again: what a person gave stays, to be looked at
    assert graded.waiting == {"essay"}
    (course.folder() / "ps1.ipynb").write_text("{", encoding="utf-8")
    graded = course.autograde()
    assert graded.score == 0
    assert graded.waiting == set()


def test_malformed_cells_are_left_out_and_the_rest_is_graded(course):
    folder = course.submit(RIGHT)
    path = folder / "ps1.ipynb"
    found = json.loads(path.read_text(encoding="utf-8"))
    found["cells"] += [None, 3, {}, {"cell_type": "code"}, {"cell_type": "x", "source": "1"}]
    found["cells"].append({"cell_type": "code", "source": 7, "metadata": []})
    found["cells"].append({"cell_type": "code", "source": "1", "metadata": {"nbgrader": 5}})
    found["metadata"] = "nothing"
    path.write_text(json.dumps(found), encoding="utf-8")
    assert course.autograde().scores == FULL


def test_a_link_is_not_followed(course, tmp_path):
    course.submit(RIGHT, student="ada")
    assert course.autograde("ada").scores == FULL
    path = course.submit() / "ps1.ipynb"
    path.unlink()
    path.symlink_to(course.folder("ada") / "ps1.ipynb")
    graded = course.autograde()
    assert graded.score == 0
    assert "a link" in graded.text


def test_a_linked_folder_is_not_followed(course):
    course.submit(RIGHT, student="ada")
    folder = course.folder("mallory")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(course.folder("ada"))
    graded = course.autograde("mallory")
    assert graded.score == 0
    assert "a link" in graded.text


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_what_is_no_file_does_not_hang_the_grader(course, kind):
    path = course.submit() / "ps1.ipynb"
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    try:
        graded = course.autograde()
        assert graded.score == 0
        assert "could not be read" in graded.text
    finally:
        path.rmdir() if kind == "folder" else path.unlink()


def test_only_expected_files_are_taken_in(course):
    folder = course.submit(RIGHT)
    (folder / "numpy").mkdir(exist_ok=True)
    (folder / "numpy" / "__init__.py").write_text("raise SystemExit", encoding="utf-8")
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    try:
        graded = course.autograde()
        assert graded.scores == FULL
        assert "were left out" in note(graded)
        taken = {p.name for p in (course.root / "autograded/eve" / ASSIGNMENT).iterdir()}
        assert taken == {"ps1.ipynb", "helper.py"}
        helper = (course.root / "autograded/eve" / ASSIGNMENT / "helper.py").read_text(
            encoding="utf-8"
        )
        assert "return True" not in helper  # the instructor's, not the student's copy
    finally:
        for name in ("passwd", "endless", "notes.txt"):
            (folder / name).unlink()
        (folder / "numpy" / "__init__.py").unlink()
        (folder / "numpy").rmdir()


def test_a_large_notebook_is_refused(tmp_path):
    def settings(c):
        c.Intake.max_notebook = 1

    course = SmallCourse(tmp_path, settings=settings)
    with (course.submit(RIGHT) / "ps1.ipynb").open("a", encoding="utf-8") as stream:
        stream.write(" " * 1_100_000)
    graded = course.autograde()
    assert graded.score == 0
    assert "1 MB are accepted" in graded.text


def test_extra_files_can_be_welcome(tmp_path):
    def settings(c):
        c.Intake.extra_files = ["*.py"]

    course = SmallCourse(tmp_path, settings=settings)
    (course.submit() / "mine.py").write_text("def double(x):\n    return 2 * x\n", encoding="utf-8")
    graded = course.grade({**RIGHT, "double": "from mine import double"})
    assert graded.scores == FULL


def test_plain_nbgrader_grades_a_batch_to_its_end(tmp_path):
    """On the command line, with two lines of configuration."""
    from tests.support import run, tool

    course = SmallCourse(tmp_path)
    (tmp_path / "nbgrader_config.py").write_text(
        "import nbwarden\nnbwarden.enable(get_config())\n"
        "get_config().CourseDirectory.course_id = 'small'\n",
        encoding="utf-8",
    )
    course.submit(RIGHT, student="ada")
    course.submit({**RIGHT, "double": "import os; os._exit(3)"}, student="bob")
    (course.submit(student="cy") / "ps1.ipynb").write_bytes(b"\x00")
    (course.submit(student="di") / "ps1.ipynb").unlink()
    course.submit(RIGHT, student="zoe")
    run(tool("nbgrader"), "autograde", ASSIGNMENT, cwd=tmp_path)
    run(tool("nbgrader"), "generate_feedback", ASSIGNMENT, cwd=tmp_path)
    run(tool("nbgrader"), "export", cwd=tmp_path)
    rows = (tmp_path / "grades.csv").read_text(encoding="utf-8").splitlines()
    at = {name: number for number, name in enumerate(rows[0].split(","))}
    scores = {row.split(",")[at["student_id"]]: row.split(",")[at["score"]] for row in rows[1:]}
    assert scores == {"ada": "6.0", "bob": "4.0", "cy": "0.0", "di": "0.0", "zoe": "6.0"}
    page = (tmp_path / "feedback" / "zoe" / ASSIGNMENT / "ps1.html").read_text(encoding="utf-8")
    assert SECRET not in page
    assert "is missing" in (tmp_path / "feedback/di" / ASSIGNMENT / "ps1.html").read_text(
        encoding="utf-8"
    )
