"""Whose fault it is, is a type: a student pays for nothing that the course or the grader did."""

from __future__ import annotations

import json

import pytest

from nbwarden.batch import Run
from nbwarden.command import load
from nbwarden.course import BatchError, Course
from nbwarden.execute import Executed
from nbwarden.outcomes import CourseFault, Trouble
from nbwarden.workers import Lost
from tests.batch.classes import Class
from tests.support import run, tool
from tests.warden.course import ASSIGNMENT, answer_cell, given, graded_cell

#: A judge that fails on a text, and refuses a negative number.
CHECKS = """
def judge(replies):
    value = replies[0]["returned"]
    if value + 1 < 0:
        raise ValueError("a positive number was expected")
    return float(value == 6), "six was expected"


def check(double):
    assert judge([{"returned": double(3)}])[0] == 1


check.ask = lambda: ([[3]], judge)
"""
CELLS = [
    given("imports", "from mychecks import check"),
    answer_cell("double", "def double(x):\n    return 2 * x"),
    graded_cell("test-double", "# nbwarden: trusted\ncheck(double)"),
    graded_cell("test-again", "assert double(2) == 4"),
]


STUDENTS = ("ann", "bob", "cyd")


def answer(value):
    return {"double": f"def double(x):\n    return {value}"}


class Story:
    """What happened to a class, step by step; what was printed, and the marks afterwards."""

    def __init__(self, root):
        self.made = made = Class(root, 0, cells=CELLS, Intake__try_solution=True)
        for student in STUDENTS:
            made.course.submit(answer("2 * x"), student=student)
        checks = root / "source" / ASSIGNMENT / "mychecks.py"
        checks.write_text(CHECKS.replace("value == 6", "value == 7"), encoding="utf-8")
        self.refused = made.grade()
        self.refused_by_nbgrader = self.autograde("ann")
        self.written = [path for path in (root / "autograded", root / "feedback") if path.exists()]
        checks.write_text(CHECKS, encoding="utf-8")
        self.first = self.grade()
        made.course.submit(answer("'six'"), student="bob")
        made.course.submit(answer("-x"), student="cyd")
        self.second = self.grade()
        self.bob_by_nbgrader = self.autograde("bob")
        self.marks = made.marks()

    def grade(self):
        done = self.made.grade("--json")
        outcomes = json.loads(done.stdout)["outcomes"]
        self.logged = done.stderr
        return {o["student"]: (o["status"], o["reason"]) for o in outcomes}

    def autograde(self, student):
        command = (tool("nbgrader"), "autograde", ASSIGNMENT, "--student", student, "--force")
        return run(*command, cwd=self.made.root, ok=False)

    def score(self, student):
        return self.marks[student]["(submission)"][1]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    return Story(tmp_path_factory.mktemp("outcomes"))


def test_what_the_solution_fails_stops_grading_before_anything_is_written(story):
    sentence = (
        "the instructor's own solution of ps1 cannot be graded, so nothing was: "
        "ps1.ipynb, test-double: CheckFailed: six was expected"
    )
    assert story.refused.returncode == 2
    assert f"nbwarden: {sentence}" in story.refused.stderr
    assert story.refused_by_nbgrader.returncode != 0
    assert f"grading refused: {sentence}" in story.refused_by_nbgrader.stderr
    assert story.written == []
    assert story.first == dict.fromkeys(STUDENTS, ("graded", ""))


def test_a_judge_that_fails_is_the_courses_fault_and_touches_no_mark(story):
    status, reason = story.second["bob"]
    assert status == "course fault"
    assert reason == (
        "the judge of check failed on what came back: TypeError: can only concatenate str "
        '(not "int") to str'
    )
    assert "if value + 1 < 0:" in story.logged, "the traceback is logged"
    assert story.bob_by_nbgrader.returncode != 0
    assert f"grading refused: {reason}" in story.bob_by_nbgrader.stderr
    assert story.score("bob") == 4, "what he had"


def test_what_a_judge_refuses_is_the_students_fault_and_neighbors_do_not_notice(story):
    assert story.second["cyd"] == ("graded", "")
    assert story.score("cyd") == 0
    assert story.second["ann"] == ("unchanged", "")
    assert story.score("ann") == 4


class Fake:
    """A pool that executes nothing; what comes of each student is known, else all tests pass."""

    def __init__(self, **known):
        self.known = known

    def run(self, work, jobs):
        for task, (_, submission) in jobs:
            passed = {n: [[] for _ in nb.cells] for n, nb in submission.notebooks.items()}
            yield task, self.known.get(task.student, Executed(passed, 0.5))


@pytest.fixture
def course(tmp_path):
    made = Class(tmp_path / "course", 4, tiny=True)
    config = load(made.root)
    config.CourseDirectory.root = str(made.root)
    return Course(config), made


def test_only_who_ends_its_executor_alone_gets_no_points_and_trouble_is_not_kept(course, caplog):
    course, made = course
    pool = Fake(s000=Lost("it died"), s001=Trouble("no room", "Traceback of it"))
    found = {o.student: (o.status, o.reason) for o in Run(course, [ASSIGNMENT], pool)}
    assert found["s000"] == ("unreadable", "it died")
    assert found["s001"] == ("trouble", "no room")
    assert found["s002"] == found["s003"] == ("graded", "")
    assert "Traceback of it" in caplog.text
    marks = made.marks()
    assert marks["s000"]["test-double"][0] == 0
    assert "s001" not in marks
    assert marks["s002"]["test-double"][0] == 2
    page = made.root / "feedback" / "s000" / ASSIGNMENT / "ps1.html"
    assert "this test was not run: it died" in page.read_text("utf-8")
    changed = {"s000": "unreadable", "s001": "graded"}
    again = {o.student: o.status for o in Run(course, [ASSIGNMENT], Fake())}
    assert again == {**dict.fromkeys(made.students, "unchanged"), **changed}


def test_when_all_fail_alike_grading_stops_and_says_so(course):
    course, made = course
    fault = CourseFault("the kernel is missing")
    pool = Fake(**dict.fromkeys(made.students, fault))
    with pytest.raises(BatchError, match=r"3 submissions .*; s002, ps1: the kernel is missing\. "):
        list(Run(course, [ASSIGNMENT], pool))
    assert made.marks() == {}


def test_judges_that_fail_on_the_answers_of_a_few_stop_nobody(course):
    course, made = course
    odd = dict.fromkeys(made.students[1:], CourseFault("the judge of check failed"))
    outcomes = [o.status for o in Run(course, [ASSIGNMENT], Fake(**odd))]
    assert outcomes == ["graded", *["course fault"] * 3]


def test_what_is_released_is_left_alone(course):
    course, made = course
    mine = made.root / "release" / ASSIGNMENT / "README.md"
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("Read me.", encoding="utf-8")
    before = {path.name: path.read_bytes() for path in mine.parent.iterdir()}
    source = made.root / "source" / ASSIGNMENT / "ps1.ipynb"
    source.write_text(
        source.read_text("utf-8").replace("import helper", "import helper  # it"), "utf-8"
    )
    assert {o.status for o in Run(course, [ASSIGNMENT], Fake())} == {"graded"}
    assert {path.name: path.read_bytes() for path in mine.parent.iterdir()} == before


def test_a_page_that_cannot_be_made_costs_no_point_and_is_made_next_time(course, monkeypatch):
    course, made = course

    def fail(*_):
        raise KeyError("a bug")

    monkeypatch.setattr("nbwarden.feedback.HideTests.preprocess", fail)
    outcomes = list(Run(course, [ASSIGNMENT], Fake()))
    assert {o.status for o in outcomes} == {"graded"}
    assert {o.reason for o in outcomes} == {
        "it has its marks, and no feedback page: KeyError: 'a bug'"
    }
    assert made.marks()["s000"]["test-double"][0] == 2
    monkeypatch.undo()
    assert {o.status for o in Run(course, [ASSIGNMENT], Fake())} == {"graded"}
    assert len(made.pages()) == len(made.students)


@pytest.mark.parametrize("last", ["one.Converters.feedback", "folders.put", "records.remember"])
def test_who_is_killed_on_the_way_is_graded_again_even_as_before(course, monkeypatch, last):
    course, made = course
    made.keep("s000")
    notebook = made.folder("s000") / "ps1.ipynb"
    before = notebook.read_text("utf-8")
    assert [o.status for o in Run(course, [ASSIGNMENT], Fake())] == ["graded"]
    marks = made.marks()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"nbwarden.{last}", killed)
    notebook.write_text(before.replace("2 * x", "3 * x"), "utf-8")
    with pytest.raises(KeyboardInterrupt):
        list(Run(course, [ASSIGNMENT], Fake(s000=Lost("it died"))))
    assert made.marks() != marks
    monkeypatch.undo()
    notebook.write_text(before, "utf-8")
    assert [o.status for o in Run(course, [ASSIGNMENT], Fake())] == ["graded"]
    assert made.marks() == marks
