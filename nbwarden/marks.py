"""What an executed notebook means for the gradebook, written at once."""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.api import Comment, Grade, Gradebook, TaskCell
from nbgrader.preprocessors import NbGraderPreprocessor


class SaveMarks(NbGraderPreprocessor):  # type: ignore[misc]
    """nbgrader's SaveAutoGrades, in one transaction, and of no older points.

    A mark that is not given anew is taken back: nothing that an earlier run of the tests gave
    stands for what is now another file. If it cannot be read, what a person gave is taken back as
    well: what they read is not there any more.
    """

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Write the marks and comments of one notebook."""
        about = resources["nbgrader"]
        is_read = "unreadable" not in nb.metadata.get("nbwarden", {})
        cells = {c.metadata.nbgrader.grade_id: c for c in nb.cells if "nbgrader" in c.metadata}
        with Gradebook(about["db_url"]) as gradebook:
            submitted = gradebook.find_submission_notebook(
                about["notebook"], about["assignment"], about["student"]
            )
            notebook = submitted.notebook  # its cells are looked up one by one, and found here
            _ = [*notebook.grade_cells, *notebook.task_cells, *notebook.solution_cells]
            for grade in submitted.grades:
                self._mark(grade, cells.get(grade.name), is_read)
            for comment in submitted.comments:
                self._comment(comment, cells.get(comment.name))
            gradebook.db.commit()
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
        if cell is not None and (utils.is_solution(cell) or utils.is_task(cell)):
            kept = cell.metadata.nbgrader.get("checksum") == utils.compute_checksum(cell)
            blank = kept and not utils.is_task(cell)
            comment.auto_comment = "No response." if blank else None
