"""nbgrader's own quickstart course, unmodified, with two lines of configuration."""

from __future__ import annotations

import ast
import shutil

import nbformat
from nbgrader.api import Gradebook

from tests.support import REPO, run, tool

TWO_LINES = "\nimport nbwarden\nnbwarden.enable(c)\n"


def answers(source):
    """The instructor's answers, by grade_id."""
    cells = nbformat.read(source, as_version=4).cells
    marked = [c for c in cells if c.metadata.get("nbgrader", {}).get("solution")]
    return {cell.metadata["nbgrader"]["grade_id"]: cell.source for cell in marked}


def marks(root, student):
    with Gradebook(f"sqlite:///{root}/gradebook.db") as book:
        return {
            grade.name: (grade.auto_score, grade.needs_manual_grade)
            for notebook in book.find_submission("ps1", student).notebooks
            for grade in notebook.grades
        }


def test_the_quickstart_course_grades_as_it_is(tmp_path):
    nbgrader = tool("nbgrader")
    run(nbgrader, "quickstart", "course101", cwd=tmp_path)
    root = tmp_path / "course101"
    with (root / "nbgrader_config.py").open("a", encoding="utf-8") as stream:
        stream.write(TWO_LINES)
    run(nbgrader, "generate_assignment", "ps1", cwd=root)
    for student in ("ada", "blank"):
        shutil.copytree(root / "release" / "ps1", root / "submitted" / student / "ps1")
    for path in (root / "submitted" / "ada" / "ps1").glob("*.ipynb"):
        right = answers(root / "source" / "ps1" / path.name)
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.source = right.get(grade_id, cell.source)
        nbformat.write(notebook, path)
    run(nbgrader, "autograde", "ps1", cwd=root)
    run(nbgrader, "generate_feedback", "ps1", cwd=root)

    tests = {
        "correct_squares": (1, False),
        "squares_invalid_input": (1, False),
        "correct_sum_of_squares": (0.5, False),
        "sum_of_squares_uses_squares": (0.5, False),  # it deletes the student's function
    }
    written = ("sum_of_squares_equation", "sum_of_squares_application", "part-a", "part-b")
    ada, blank = marks(root, "ada"), marks(root, "blank")
    assert {name: ada[name] for name in tests} == tests
    assert {ada[name] for name in written} == {(None, True)}
    assert {blank[name] for name in tests} == {(0, False)}
    assert {blank[name] for name in written} == {(0, False)}
    (task,) = set(ada) - set(tests) - set(written)
    assert ada[task] == (None, True)  # a task is marked by a person in any case


def test_nbwarden_imports_nothing_of_this_course():
    for path in (REPO / "nbwarden").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not any(name.split(".")[0] == "dlnorm" for name in names), path.name
