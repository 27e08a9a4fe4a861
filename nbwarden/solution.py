"""The instructor's own solution, graded before any submission: what it fails is the course's fault.

A solution is what the source folder has in its answer cells, in the frame that was released, with
all tests. It is executed as a submission is.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distributions

from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.preprocessors import IgnorePattern
from sqlalchemy import Engine

from nbwarden import records
from nbwarden.ask import CourseError
from nbwarden.canonical import new_cell
from nbwarden.execute import Assignment, Executed, Submission, is_test
from nbwarden.outcomes import CourseFault, Trouble
from nbwarden.rebuild import Rebuilt, notebook
from nbwarden.source import Frame
from nbwarden.workers import Lost

#: What is set here may change what comes of a solution.
_SECTIONS = ("Execute", "SafeExecute", "Sandbox", "IgnorePattern")


class Trial:
    """An assignment's own solution, which is tried once for what it and its surroundings are."""

    def __init__(
        self, engine: Engine, name: str, assignment: Assignment, frames: Mapping[str, Frame]
    ) -> None:
        self.engine, self.name, self.assignment = engine, name, assignment
        self.submission = Submission({name: _notebook(frame) for name, frame in frames.items()})
        limits = [str(sorted(assignment.config[name].items())) for name in _SECTIONS]
        parts = (assignment.key, repr(self.submission), *limits, sys.version, _installed())
        self.key = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()

    @property
    def passed(self) -> bool:
        """Whether the gradebook remembers that it passed."""
        with self.engine.begin() as connection:
            return records.content(connection, records.SOLVED, self.name) == self.key

    def judge(self, result: Executed | CourseFault | Trouble | Lost) -> None:
        """Remember that it passed; CourseError if it did not."""
        fault = self._fault(result) if isinstance(result, Executed) else result.reason
        if isinstance(result, CourseFault | Trouble) and result.trace:
            logging.getLogger("nbwarden").error("%s: %s\n%s", self.name, fault, result.trace)
        if fault:
            raise CourseError(
                f"the instructor's own solution of {self.name} cannot be graded, so nothing was: "
                f"{fault}"
            )
        with self.engine.begin() as connection:
            records.set_content(connection, records.SOLVED, self.name, self.key)

    def _fault(self, result: Executed) -> str:
        """The first test that gives no points, and what it said; empty if there is none."""
        ignored = IgnorePattern(config=self.assignment.config)
        for name, solved in self.submission.notebooks.items():
            for cell, outputs in zip(solved.cells, result.outputs[name], strict=True):
                if is_test(cell):
                    tested = NotebookNode(cell, outputs=outputs)
                    if ignored.enabled:
                        tested, _ = ignored.preprocess_cell(tested, {}, 0)
                    if failure := _failure(tested):
                        return f"{name}.ipynb, {cell.metadata.nbgrader.grade_id}: {failure}"
        return ""


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


@cache
def _installed() -> str:
    """The packages there are, with their versions."""
    return str(sorted(f"{one.name} {one.version}" for one in distributions()))


def _failure(cell: NotebookNode) -> str:
    """What a test said against the solution; empty if it gave points."""
    score, points = utils.determine_grade(cell)
    errors = [output for output in cell.outputs if output.output_type == "error"]
    if errors:
        return _short(f"{errors[0].ename}: {errors[0].evalue}")
    if score or not points:
        return ""
    text = "".join(output.get("text", "") for output in cell.outputs)
    return _short(f"it gives 0 of {points:g} points, as something went to stderr: {text}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:300]} ..."
