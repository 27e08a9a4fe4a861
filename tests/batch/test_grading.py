"""Grading in parallel gives what nbgrader gives, one submission after another."""

from __future__ import annotations

import csv
import json
import re
import shutil

import pytest
from nbgrader.api import Gradebook

from nbwarden import gradebook
from tests.batch.classes import Class
from tests.support import run, tool
from tests.warden.course import ASSIGNMENT, HELPER


def hand_in(folder):
    """A class of six; one has handed in half a file, one late and more than was asked."""
    made = Class(folder / "course", 6)
    made.spoil("s004")
    late = made.folder("s005")
    late.joinpath("timestamp.txt").write_text("2026-03-01 10:00:00 UTC", encoding="utf-8")
    late.joinpath("notes.txt").write_text("mine", encoding="utf-8")
    late.joinpath("more.py").symlink_to("/etc/passwd")


@pytest.fixture(scope="module")
def handed_in(shared):
    return Class.at(shared("class-of-all-kinds", hand_in) / "course")


@pytest.fixture(scope="module")
def graded(handed_in, shared):
    def grade(folder):
        done = handed_in.copy(folder / "course").grade("--jobs", "2")
        assert done.returncode == 1, done.stderr
        (folder / "printed.txt").write_text(done.stdout, encoding="utf-8")
        (folder / "progress.txt").write_text(done.stderr, encoding="utf-8")

    folder = shared("class-of-all-kinds-graded", grade)
    made = Class.at(folder / "course")
    made.printed = (folder / "printed.txt").read_text("utf-8")
    made.progress = (folder / "progress.txt").read_text("utf-8")
    return made


@pytest.fixture(scope="module")
def plain(handed_in, shared):
    """The same class, graded with plain nbgrader commands."""

    def grade(folder):
        made = handed_in.copy(folder / "course")
        for step in ("generate_assignment", "autograde", "generate_feedback"):
            run(tool("nbgrader"), step, ASSIGNMENT, "--force", cwd=made.root)

    return Class.at(shared("class-of-all-kinds-plain", grade) / "course")


def test_the_gradebook_is_the_one_of_plain_nbgrader_cell_by_cell(graded, plain):
    ours, theirs = graded.marks(), plain.marks()
    assert list(ours) == graded.students
    for student in graded.students:
        assert ours[student] == theirs[student], student
    assert len({str(marks) for marks in ours.values()}) >= 4, "the class answers in many ways"


def names_and_sizes(folder):
    return {
        p.relative_to(folder).as_posix(): (p.stat().st_mode & 0o777, p.suffix in (".py", ".txt"))
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.mark.parametrize("step", ["autograded", "feedback"])
def test_the_folders_are_those_of_plain_nbgrader(graded, plain, step):
    assert names_and_sizes(graded.root / step) == names_and_sizes(plain.root / step)


def test_what_the_cells_put_out_is_what_plain_nbgrader_has(graded, plain):
    for student in graded.students:
        assert re.sub(
            r"ipykernel_\d+|0x\w+|<submission \d+>", "", str(graded.outputs(student))
        ) == re.sub(r"ipykernel_\d+|0x\w+|<submission \d+>", "", str(plain.outputs(student)))


def test_what_could_not_be_read_is_named(graded):
    assert "s004, ps1: ps1.ipynb (1 bytes) is not a Jupyter notebook" in graded.printed
    assert re.search(r"s004 +0 .*could not be read", graded.printed)


def test_the_printed_gradebook_is_in_order_and_progress_is_elsewhere(graded):
    rows = re.findall(r"^  (s\d{3}) ", graded.printed, re.MULTILINE)
    assert rows == graded.students
    assert "6/6" in graded.progress
    assert "6/6" not in graded.printed


def test_plain_nbgrader_goes_on_from_there(graded, tmp_path):
    """Export, feedback and autograde read what was written as if it were their own."""
    again = graded.copy(tmp_path / "course")
    before = again.marks()
    run(tool("nbgrader"), "export", cwd=again.root)
    exported = (again.root / "grades.csv").read_text(encoding="utf-8")
    for student in again.students:
        assert student in exported
    run(tool("nbgrader"), "generate_feedback", ASSIGNMENT, "--force", cwd=again.root)
    run(tool("nbgrader"), "autograde", ASSIGNMENT, "--student", "s000", "--force", cwd=again.root)
    assert again.marks() == before
    run(tool("nbgrader"), "db", "upgrade", cwd=again.root)
    assert again.marks() == before


def test_a_terminal_without_the_characters_gets_the_gradebook_all_the_same(
    graded, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = graded.copy(tmp_path / "course").grade()
    assert done.returncode == 1, done.stderr
    assert re.findall(r"^  (s\d{3}) .*\?", done.stdout, re.MULTILINE) == graded.students


def test_json_is_for_machines(graded, tmp_path):
    again = graded.copy(tmp_path / "course")
    done = again.grade("--json")
    document = json.loads(done.stdout)
    assert [row["student"] for row in document["gradebook"]] == again.students
    statuses = {o["student"]: o["status"] for o in document["outcomes"]}
    assert statuses.pop("s004") == "unreadable"
    assert set(statuses.values()) == {"unchanged"}


def test_only_what_is_new_or_has_changed_is_graded_again(graded, tmp_path):
    again = graded.copy(tmp_path / "course")
    right = again.root / "submitted" / "s000" / ASSIGNMENT / "ps1.ipynb"
    shutil.copyfile(right, again.root / "submitted" / "s002" / ASSIGNMENT / "ps1.ipynb")
    shutil.rmtree(again.root / "feedback" / "s003")  # and what was lost is made again
    done = json.loads(again.grade("--json").stdout)
    statuses = {o["student"]: o["status"] for o in done["outcomes"]}
    assert [s for s, status in statuses.items() if status == "graded"] == ["s002", "s003"]
    assert again.marks()["s002"]["test-double"] == again.marks()["s000"]["test-double"]
    assert (again.root / "feedback" / "s003" / ASSIGNMENT / "ps1.html").exists()


def test_another_version_of_the_assignment_grades_all_again(graded, tmp_path):
    again = graded.copy(tmp_path / "course")
    again.keep("s000", "s003", "s004")
    helper = again.root / "source" / ASSIGNMENT / "helper.py"
    helper.write_text(HELPER.replace("judge_of([2 * x])", "judge_of([7 * x])"), encoding="utf-8")
    done = json.loads(again.grade("--json").stdout)
    assert {o["status"] for o in done["outcomes"]} == {"graded", "unreadable"}
    assert again.marks()["s000"]["test-double"][0] == 0


#: Two points for each late hour, as a plug-in of nbgrader's.
LATE = """
from nbgrader.plugins import BasePlugin


class Late(BasePlugin):
    def late_submission_penalty(self, student, score, late):
        return 2 * late / 3600
"""


def test_another_due_date_counts_and_the_gradebook_is_the_export(graded, tmp_path, monkeypatch):
    again = graded.copy(tmp_path / "course")
    again.keep("s000", "s005")
    (again.root / "late.py").write_text(LATE, encoding="utf-8")
    with (again.root / "nbgrader_config.py").open("a", encoding="utf-8") as stream:
        stream.write('c.AssignLatePenalties.plugin_class = "late.Late"\n')
    monkeypatch.setenv("PYTHONPATH", str(again.root))
    with Gradebook(f"sqlite:///{again.root}/gradebook.db", "small") as book:
        book.update_or_create_assignment(ASSIGNMENT, duedate="2026-03-01 09:00:00 UTC")
        grade = book.find_grade("essay", "ps1", ASSIGNMENT, "s000")
        grade.manual_score = 1.5  # given, and to be looked at again
        assert grade.needs_manual_grade
        book.db.commit()
    done = json.loads(again.grade("--json", new=True).stdout)
    assert {o["student"]: o["status"] for o in done["outcomes"]} == dict.fromkeys(
        ("s000", "s005"), "graded"
    )
    run(tool("nbgrader"), "export", "--to", "marks.csv", cwd=again.root)
    with (again.root / "marks.csv").open(encoding="utf-8") as stream:
        exported = {r["student_id"]: r for r in csv.DictReader(stream) if r["student_id"] in
                    ("s000", "s005")}  # fmt: skip
    assert float(exported["s005"]["late_submission_penalty"]) == 2
    with Gradebook(f"sqlite:///{again.root}/gradebook.db", "small") as book:
        printed = {row.student: row for row in gradebook.rows(book)}
    assert {s: printed[s].score for s in exported} == {
        student: float(row["score"]) for student, row in exported.items()
    }
    assert printed["s000"].by_hand == 0


def test_what_a_person_gave_stays(graded, tmp_path):
    again = graded.copy(tmp_path / "course")
    again.keep("s000")
    with Gradebook(f"sqlite:///{again.root}/gradebook.db", "small") as book:
        grade = book.find_grade("essay", "ps1", ASSIGNMENT, "s000")
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 2.5, 0.5, False
        comment = book.find_comment("essay", "ps1", ASSIGNMENT, "s000")
        comment.manual_comment = "well put"
        book.db.commit()
    again.grade("--force")
    marks = again.marks()["s000"]
    assert marks["essay"] == (None, 2.5, 0.5, True)  # as nbgrader does: to be looked at again
    assert marks["essay: comment"] == (None, "well put")
    page = (again.root / "feedback" / "s000" / ASSIGNMENT / "ps1.html").read_text(encoding="utf-8")
    assert "well put" in page


def test_an_unreadable_resubmission_leaves_no_older_mark(graded, tmp_path):
    again = graded.copy(tmp_path / "course")
    again.spoil("s000")
    assert again.grade().returncode == 1
    assert again.marks()["s000"]["(submission)"][1] == 0


def test_two_runs_on_one_class_do_not_meet(graded, tmp_path):
    import fcntl

    again = graded.copy(tmp_path / "course")
    with (again.root / ".nbwarden.lock").open("w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = again.grade()
    assert done.returncode == 2
    assert "another run is grading" in done.stderr
