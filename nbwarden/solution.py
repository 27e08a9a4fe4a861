"""The instructor's own solution, graded before any submission: what it fails is the course's fault.

A solution is what the source folder has in its answer cells, in the frame that was released, with
all tests. It is executed as a submission is.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distributions

from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.preprocessors import IgnorePattern
from traitlets.config import Config

from nbwarden.canonical import new_cell
from nbwarden.execute import Assignment, Executed, Submission, is_test
from nbwarden.outcomes import CourseFault, Graded, Outcome, Trouble
from nbwarden.rebuild import Rebuilt, notebook
from nbwarden.source import Frame


def submission(frames: Mapping[str, Frame]) -> Submission:
    """The solution, as it is executed."""
    return Submission({name: _notebook(frame) for name, frame in frames.items()})


def _notebook(frame: Frame) -> NotebookNode:
    known = {entry.grade_id: entry for entry in frame.known}
    cells = []
    for cell in frame.source.cells:
        entry = known.get(cell.grade_id)
        if entry is None:
            cells.append(new_cell(cell.cell_type, cell.source))
        else:  # tests come from the gradebook: there, automatic ones are written out
            cells.append(entry.cell(None if entry.locked else cell.source))
    return notebook(Rebuilt(cells), frame.kernelspec)


def key(assignment: Assignment, frames: Mapping[str, Frame]) -> str:
    """A text that is another one if the solution might fare otherwise."""
    sections = ("Execute", "SafeExecute", "Sandbox", "IgnorePattern")
    limits = [str(sorted(assignment.config[name].items())) for name in sections]
    parts = (assignment.key, repr(dict(frames)), *limits, sys.version, _installed())
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


@cache
def _installed() -> str:
    """The packages there are, with their versions."""
    return str(sorted(f"{one.name} {one.version}" for one in distributions()))


def verdict(
    solved: Submission, result: Executed | CourseFault | Trouble, config: Config
) -> Outcome:
    """What came of a solution that was executed: `CourseFault` if it failed a test of its own."""
    if not isinstance(result, Executed):
        return result
    ignored = IgnorePattern(config=config)
    for name, solution in solved.notebooks.items():
        for cell, outputs in zip(solution.cells, result.outputs[name], strict=True):
            if is_test(cell):
                tested = NotebookNode(cell, outputs=outputs)
                if ignored.enabled:
                    tested, _ = ignored.preprocess_cell(tested, {}, 0)
                if failure := _failure(tested):
                    grade_id = cell.metadata.nbgrader.grade_id
                    return CourseFault(
                        f"the instructor's own solution fails its own test in {name}.ipynb, cell "
                        f"{grade_id}: {failure}"
                    )
    return Graded()


def _failure(cell: NotebookNode) -> str:
    """What a test said against the solution; empty if it gave points."""
    score, points = utils.determine_grade(cell)
    failed = [output for output in cell.outputs if output.output_type == "error"]
    if not failed and (score or not points):
        return ""
    if failed:
        return _short(f"{failed[0].ename}: {failed[0].evalue}")
    text = "".join(output.get("text", "") for output in cell.outputs)
    return _short(f"it gives 0 of {points:g} points, as something went to stderr: {text}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:300]} ..."
