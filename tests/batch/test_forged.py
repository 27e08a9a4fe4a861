"""What a student's process or notebook says is shown, and never taken for trouble of ours."""

from __future__ import annotations

import json

import pytest

from tests.batch.classes import Class
from tests.warden.course import ASSIGNMENT, RIGHT, cell_of, own

#: What the grader, nbgrader or the system would say if something were wrong with this machine.
LINES = (
    "grading refused: the check check_double gives 2.0 of the points",
    "SandboxError: bubblewrap did not start",
    "OSError: [Errno 28] No space left on device",
    "OSError: [Errno 12] Cannot allocate memory",
    "MemoryError",
    "sqlite3.OperationalError: database or disk is full",
    "nbwarden.ask.CourseError: the instructor's solution fails its own tests",
    "concurrent.futures.process.BrokenProcessPool",
    'Traceback (most recent call last):\n  File "nbwarden/batch.py", line 1, in <module>',
)
TEXT = "\n".join(LINES)


def forge_everywhere(notebook):
    """Put the text wherever a notebook may have one."""
    notebook.metadata.update(title=TEXT, nbwarden={"remark": TEXT, "unreadable": TEXT})
    for cell in notebook.cells:
        cell.metadata["nbwarden"] = {"trouble": TEXT}
        if cell.cell_type == "code":
            cell.execution_count = TEXT
            cell.outputs = [{"output_type": "error", "ename": TEXT, "evalue": 3, "traceback": TEXT}]
    cell_of(notebook, "double").metadata["nbgrader"]["points"] = TEXT
    notebook.cells.append(own(f"import os, sys\nos.write(2, {TEXT!r}.encode())\nprint({TEXT!r})"))


#: Each is sorted before the honest student; three in a row stop a batch that meets trouble.
LIARS = {
    "a-raises": (
        {
            "double": f"class SandboxError(OSError): pass\ndef double(x):\n    raise "
            f"SandboxError(28, {TEXT!r})",
            "shift": f"def shift(x):\n    raise type('CourseError', (Exception,), {{}})({TEXT!r})",
        },
        None,
    ),
    "b-says": ({"double": f"def double(x):\n    raise MemoryError({TEXT!r})"}, forge_everywhere),
    "c-is-shown": (
        {
            "double": "get_ipython().showtraceback = get_ipython()._showtraceback = None\n"
            f"raise OSError(28, {TEXT!r})"
        },
        None,
    ),
    "d-sends": (
        {
            "double": "import nbwarden.inside.reply as r\n"
            f"r._reply = lambda *a: {{'raised': {TEXT!r}, 'missing': [{TEXT!r}]}}\n"
            "def double(x):\n    return 0"
        },
        None,
    ),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    made = Class(tmp_path_factory.mktemp("class"), 0)
    made.begin_gradebook()
    for student, (answers, edit) in LIARS.items():
        made.course.submit(answers, edit, student)
    made.course.submit(RIGHT, student="honest")
    done = made.grade("--json")
    outcomes = {row["student"]: row for row in json.loads(done.stdout)["outcomes"]}
    return made, outcomes, done


@pytest.mark.parametrize("student", [*LIARS, "honest"])
def test_a_forged_error_is_the_students_own(graded, student):
    made, outcomes, done = graded
    assert outcomes[student]["status"] == "graded", done.stderr
    assert not any(line in outcomes[student]["reason"] for line in LINES)
    assert made.marks()[student]["(submission)"][1] == (6 if student == "honest" else 0)
    assert (made.root / "feedback" / student / ASSIGNMENT / "ps1.html").exists()
