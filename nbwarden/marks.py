"""What an executed notebook means for the gradebook, and the other way round: each at once.

nbgrader's own plug-ins ask the gradebook for one cell after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.api import Comment, Grade, Gradebook, SubmittedNotebook, TaskCell
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import List, Unicode


@contextmanager
def _submitted(about: dict[str, Any]) -> Iterator[SubmittedNotebook]:
    """A submitted notebook, with all cells that its marks are about; changes are kept.

    A converter may have a gradebook open: each new one compiles all that it asks anew.
    """
    gradebook = about.get("gradebook") or Gradebook(about["db_url"])
    try:
        submitted = gradebook.find_submission_notebook(
            about["notebook"], about["assignment"], about["student"]
        )
        _ = submitted.notebook.grade_cells  # loads all, and what asks for one finds it loaded
        yield submitted
        gradebook.db.commit()
    finally:
        gradebook.close()


class SaveMarks(NbGraderPreprocessor):  # type: ignore[misc]
    """nbgrader's SaveAutoGrades, in one transaction, and of no older points.

    A mark that is not given anew is taken back: nothing that an earlier run of the tests gave
    stands for what is now another file. If it cannot be read, what a person gave is taken back as
    well: what they read is not there any more.
    """

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Write the marks and comments of one notebook."""
        is_read = "unreadable" not in nb.metadata.get("nbwarden", {})
        cells = {c.metadata.nbgrader.grade_id: c for c in nb.cells if "nbgrader" in c.metadata}
        with _submitted(resources["nbgrader"]) as submitted:
            for grade in submitted.grades:
                self._mark(grade, cells.get(grade.name), is_read)
            for comment in submitted.comments:
                self._comment(comment, cells.get(comment.name))
        return nb, resources

    def _mark(self, grade: Grade, cell: NotebookNode | None, is_read: bool) -> None:
        if not is_read:
            grade.auto_score, grade.manual_score, grade.extra_credit = 0, None, None
            grade.needs_manual_grade = False
        elif isinstance(grade.cell, TaskCell):  # never marked by a run
            grade.auto_score, grade.needs_manual_grade = None, True
        else:
            score = utils.determine_grade(cell, self.log)[0] if cell else 0
            grade.auto_score = score
            grade.needs_manual_grade = score is None or grade.manual_score is not None

    @staticmethod
    def _comment(comment: Comment, cell: NotebookNode | None) -> None:
        if cell is not None:
            kept = cell.metadata.nbgrader.get("checksum") == utils.compute_checksum(cell)
            blank = kept and not utils.is_task(cell)
            comment.auto_comment = "No response." if blank else None


class ShowMarks(NbGraderPreprocessor):  # type: ignore[misc]
    """nbgrader's GetGrades."""

    # the HTML exporter sets it for every preprocessor it runs
    display_data_priority = List(Unicode()).tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Write marks and comments into a notebook, for its page."""
        about = resources["nbgrader"]
        with _submitted(about) as submitted:
            grades = {grade.name: grade for grade in submitted.grades}
            comments = {comment.name: comment for comment in submitted.comments}
            for cell in nb.cells:
                shown = cell.metadata.get("nbgrader", {})
                if utils.is_solution(cell) or utils.is_task(cell):
                    shown["comment"] = comments[shown["grade_id"]].comment
                if utils.is_grade(cell) or utils.is_task(cell):
                    grade = grades[shown["grade_id"]]
                    shown["score"], shown["points"] = grade.score, grade.max_score
            penalty = submitted.late_submission_penalty or 0
            about["score"] = submitted.score - penalty
            about["max_score"], about["late_penalty"] = submitted.max_score, penalty
        return nb, resources
