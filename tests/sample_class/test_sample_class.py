"""The sample class, graded with real nbgrader, scores exactly what it was designed to score."""

from __future__ import annotations

import csv
import json
import re
import shutil
import zipfile

import nbformat
import pytest
from nbgrader.api import Gradebook

from nbwarden import gradebook
from tests.sample_class import make
from tests.sample_class.cast import ASSIGNMENTS, CAST
from tests.sampling import sample
from tests.support import REPO, run, tool

#: The first assignment of everybody, what cannot be read, and a sample of the rest.
_FIRST = [(s, a) for s, a in make.HANDED_IN if a == ASSIGNMENTS[0] or s.truncated]
_REST = [pair for pair in make.HANDED_IN if pair not in _FIRST]
HANDED_IN = [*_FIRST, *sample("the sample class", _REST, 3)]
IDS = [f"{s.name}-{a}" for s, a in HANDED_IN]


def _grade(folder):
    make.make(folder, HANDED_IN)
    done = run(tool("dlnorm"), "grade", "--class-dir", folder, ok=False)
    (folder / "printed.txt").write_text(done.stdout, encoding="utf-8")
    (folder / "status.txt").write_text(str(done.returncode), encoding="utf-8")


@pytest.fixture(scope="session")
def graded(shared):
    """The graded class, made once for the whole run."""
    return shared("sample-class", _grade)


@pytest.fixture(scope="session")
def marks(graded):
    """What the gradebook holds: {(student, assignment): {grade_id: (auto score, points)}}."""
    found = {}
    with Gradebook(f"sqlite:///{graded}/gradebook.db") as book:
        for assignment in book.assignments:
            for submission in assignment.submissions:
                found[submission.student_id, assignment.name] = {
                    grade.cell.name: (grade.auto_score, grade.max_score, grade.needs_manual_grade)
                    for notebook in submission.notebooks
                    for grade in notebook.grades
                }
    return found


def test_the_class_has_the_kinds_of_submission_that_matter():
    assert len(CAST) >= 8
    assert sum(bool(s.names) for s in CAST) >= 3, "three real misconceptions at least"


@pytest.mark.parametrize(("student", "assignment"), HANDED_IN, ids=IDS)
def test_every_mark_is_as_designed(marks, student, assignment):
    for cell, (score, points, by_hand) in marks[student.name, assignment].items():
        if not cell.startswith("test-"):  # a written answer waits for a person, or is empty
            handed_in = not (student.blank or student.truncated)
            assert by_hand == handed_in, cell
            assert score == (None if handed_in else 0), cell
            continue
        lost = student.blank or student.truncated or cell in student.loses.get(assignment, ())
        assert score == (0 if lost else points), cell


def test_the_designed_losses_name_real_cells(marks):
    for student, assignment in HANDED_IN:
        assert student.loses.get(assignment, set()) <= set(marks[student.name, assignment])


def feedback(graded, student, assignment):
    page = (graded / "feedback" / student / assignment / f"{assignment}.html").read_text(
        encoding="utf-8"
    )
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))


@pytest.mark.parametrize(
    ("student", "assignment"),
    [(s, a) for s, a in HANDED_IN if a in s.names],
    ids=[i for (s, a), i in zip(HANDED_IN, IDS, strict=True) if a in s.names],
)
def test_the_feedback_page_names_the_misconception(graded, student, assignment):
    page = feedback(graded, student.name, assignment)
    assert student.names[assignment] in page
    assert re.search("Reread “[^”]+” in the chapter “[^”]+”", page)


def test_an_unreadable_submission_is_reported_by_name_and_stops_nobody(graded):
    printed = (graded / "printed.txt").read_text(encoding="utf-8")
    for assignment in ASSIGNMENTS:
        assert re.search(rf"ivan, {assignment}: {assignment}.ipynb .* not a Jupyter note", printed)
    assert "could not be read" in printed
    assert (graded / "status.txt").read_text(encoding="utf-8") == "1"


def test_the_printed_gradebook_is_the_gradebook(graded, marks):
    printed = (graded / "printed.txt").read_text(encoding="utf-8")
    with Gradebook(f"sqlite:///{graded}/gradebook.db") as book:
        entries = gradebook.rows(book)
    assert len(entries) == len(HANDED_IN)
    for row in entries:
        total = sum(score or 0 for score, _, _ in marks[row.student, row.assignment].values())
        assert row.score == total
        assert re.search(rf"{row.student} +{row.score:g} ", printed)


def test_grading_again_does_only_what_is_new(graded, tmp_path):
    again = tmp_path / "class"
    shutil.copytree(graded, again)
    student, assignment = "fay", ASSIGNMENTS[0]
    better = again / "submitted" / "ada" / assignment / f"{assignment}.ipynb"
    shutil.copyfile(better, again / "submitted" / student / assignment / f"{assignment}.ipynb")
    run(tool("dlnorm"), "grade", assignment, "--class-dir", again, ok=False)
    with Gradebook(f"sqlite:///{again}/gradebook.db") as book:
        scores = {r.student: r.score for r in gradebook.rows(book) if r.assignment == assignment}
    assert scores["fay"] == scores["ada"] > 0


def test_a_broken_resubmission_leaves_no_older_mark_standing(graded, tmp_path):
    again = tmp_path / "class"
    shutil.copytree(graded, again)
    assignment = ASSIGNMENTS[0]
    broken = again / "submitted" / "ada" / assignment / f"{assignment}.ipynb"
    broken.write_text("{", encoding="utf-8")
    done = run(tool("dlnorm"), "grade", assignment, "--class-dir", again, ok=False)
    assert f"ada, {assignment}: {assignment}.ipynb (1 bytes) is not a Jupyter note" in done.stdout
    with Gradebook(f"sqlite:///{again}/gradebook.db") as book:
        assert book.find_submission(assignment, "ada").score == 0


@pytest.fixture(scope="module")
def plain_course(graded, tmp_path_factory):
    """A course on which only plain nbgrader commands are run, its source notebooks fresh."""
    root = tmp_path_factory.mktemp("plain")
    shutil.copy(REPO / "nbgrader_config.py", root)
    shutil.copytree(REPO / "solutions", root / "solutions")
    return root


def test_plain_nbgrader_collects_grades_and_exports(plain_course, graded, marks):
    """zip_collect, generate_assignment, autograde, generate_feedback and export, as they are."""
    assignment = ASSIGNMENTS[0]
    archive = plain_course / "downloaded" / assignment / "archive"
    archive.mkdir(parents=True)
    for student in ("ada", "carl"):
        source = graded / "submitted" / student / assignment / f"{assignment}.ipynb"
        name = f"{student}_2026-03-01-10-00-00_{assignment}.ipynb"
        with zipfile.ZipFile(archive / f"{student}.zip", "w") as stream:
            stream.write(source, name)
    pattern = (
        r".*/(?P<student_id>\w+?)_(?P<timestamp>[0-9\-]+)_(?P<file_id>.*)"
        if (plain_course / "downloaded").exists()
        else ""
    )
    nbgrader = tool("nbgrader")
    run(nbgrader, "generate_assignment", assignment, cwd=plain_course)
    run(
        nbgrader,
        "zip_collect",
        assignment,
        f"--FileNameCollectorPlugin.named_regexp={pattern}",
        cwd=plain_course,
    )
    assert (plain_course / "submitted" / "carl" / assignment / f"{assignment}.ipynb").exists()
    run(nbgrader, "autograde", assignment, cwd=plain_course)
    run(nbgrader, "generate_feedback", assignment, cwd=plain_course)
    run(nbgrader, "export", cwd=plain_course)
    with (plain_course / "grades.csv").open(encoding="utf-8") as stream:
        rows = {r["student_id"]: r for r in csv.DictReader(stream) if r["assignment"] == assignment}
    for student in ("ada", "carl"):
        expected = sum(score or 0 for score, _, _ in marks[student, assignment].values())
        assert float(rows[student]["score"]) == expected
    assert "Likely mistake" in feedback(plain_course, "carl", assignment)


def test_formgrader_serves_the_class(graded):
    """The formgrader's own API, on a real Jupyter server, lists the class and its scores."""
    from tests.sample_class.server import formgrader

    with formgrader(graded, REPO / "nbgrader_config.py") as get:
        listed = json.loads(get("/formgrader/api/submissions/" + ASSIGNMENTS[0]))
        students = {entry["student"]: entry for entry in listed}
        assert {s.name for s in CAST} <= set(students)
        assert students["ada"]["autograded"]
        assert "Formgrader" in get("/formgrader") or "nbgrader" in get("/formgrader")


def test_a_graded_notebook_shows_no_traceback_of_the_checker(graded):
    for student in ("carl", "fay"):
        path = graded / "autograded" / student / ASSIGNMENTS[0] / f"{ASSIGNMENTS[0]}.ipynb"
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                if output.output_type == "error":
                    assert "checker.py" not in "\n".join(output.traceback)
