"""Make a sample class: submissions as students would hand them in, and what each must score.

    python tests/sample_class/make.py DIR

writes DIR/submitted/STUDENT/ASSIGNMENT/ from the released notebooks in assignments/. What a
student wrote differently from the solution stands in `cast.py`; nothing is edited by hand.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import nbformat

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))

from dlnorm.grading.release import refresh_sources  # noqa: E402
from tests.sample_class.cast import CAST, Student  # noqa: E402


def written_cells(assignment: str) -> dict[str, str]:
    """The instructor's answer to each cell that a student writes, by grade_id."""
    path = REPO / "solutions" / assignment / f"{assignment}.ipynb"
    return {
        cell.metadata["nbgrader"]["grade_id"]: cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }


def with_functions(source: str, own: str) -> str:
    """Put the functions defined in `own` in the place of those of the same name in `source`."""
    mine = {node.name: node for node in ast.parse(own).body if isinstance(node, ast.FunctionDef)}
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.FunctionDef) and node.name in mine:
            text = ast.get_source_segment(own, mine[node.name])
            assert text is not None
            lines[node.lineno - 1 : node.end_lineno] = text.splitlines()
    return "\n".join(lines)


def without_markers(source: str) -> str:
    """A solution as a student would have typed it."""
    source = re.sub(r"=== BEGIN MARK SCHEME ===.*=== END MARK SCHEME ===", "", source, flags=re.S)
    return "\n".join(line for line in source.splitlines() if "### " not in line)


def submission(student: Student, assignment: str) -> str:
    """The text of the notebook that `student` hands in."""
    released = REPO / "assignments" / assignment / f"{assignment}.ipynb"
    notebook = nbformat.read(released, as_version=4)
    answers = {} if student.blank else written_cells(assignment)
    own = student.own.get(assignment, "")
    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        grade_id = meta.get("grade_id")
        if meta.get("solution") and grade_id in answers:
            cell.source = without_markers(answers[grade_id])
            if cell.cell_type == "code":
                cell.source = with_functions(cell.source, own)
            if grade_id in student.typos:
                right, wrong = student.typos[grade_id]
                assert right in cell.source, f"{grade_id} has no {right!r} to mistype"
                cell.source = cell.source.replace(right, wrong, 1)
    text = nbformat.writes(notebook)
    return text[: len(text) // 2] if student.truncated else text


#: Who hands in what.
HANDED_IN = tuple((student, assignment) for student in CAST for assignment in student.hands_in)


def make(target: Path, handed_in: Iterable[tuple[Student, str]] = HANDED_IN) -> None:
    """Write the class below `target`, or some of its submissions."""
    refresh_sources(REPO)
    for student, assignment in handed_in:
        folder = target / "submitted" / student.name / assignment
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            path.name: path.read_bytes()
            for path in (REPO / "assignments" / assignment).iterdir()
            if path.is_file()
        }
        files[f"{assignment}.ipynb"] = submission(student, assignment).encode()
        for name, content in files.items():
            path = folder / name
            # what has not changed keeps its date, and is not graded again
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, metavar="DIR", help="where submitted/ is written")
    make(parser.parse_args().target)
    print(f"{len(CAST)} students: {', '.join(student.name for student in CAST)}")
