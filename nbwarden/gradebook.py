"""The gradebook as a table a person can read."""

from __future__ import annotations

from dataclasses import dataclass

from nbgrader.api import Gradebook


@dataclass(frozen=True)
class Row:
    """One student's score in one assignment; `by_hand` points still wait for a person."""

    assignment: str
    student: str
    score: float
    max_score: float
    by_hand: float


@dataclass(frozen=True)
class Mark:
    """One student's points in one graded cell; `waiting` if a person has yet to give them."""

    student: str
    cell: str
    score: float
    max_score: float
    waiting: bool


def marks(gradebook: Gradebook, assignment: str) -> list[Mark]:
    """Every mark of an assignment, by student; extra credit counts."""
    found = []
    submissions = gradebook.find_assignment(assignment).submissions
    for submission in sorted(submissions, key=lambda s: str(s.student_id)):
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                waiting = bool(grade.needs_manual_grade) and grade.manual_score is None
                found.append(
                    Mark(
                        str(submission.student_id),
                        str(grade.cell.name),
                        float(grade.score),
                        float(grade.cell.max_score),
                        waiting,
                    )
                )
    return found


def rows(gradebook: Gradebook) -> list[Row]:
    """Every submission in the gradebook, by assignment and student, less what was late."""
    found = []
    for assignment in sorted(gradebook.assignments, key=lambda a: str(a.name)):
        for submission in sorted(assignment.submissions, key=lambda s: str(s.student_id)):
            waiting = sum(
                grade.cell.max_score
                for notebook in submission.notebooks
                for grade in notebook.grades
                if grade.needs_manual_grade and grade.manual_score is None
            )
            found.append(
                Row(
                    str(assignment.name),
                    str(submission.student_id),
                    # as `nbgrader export` has it
                    max(0.0, float(submission.score - submission.late_submission_penalty)),
                    float(submission.max_score),
                    float(waiting),
                )
            )
    return found


def table(entries: list[Row], remarks: dict[tuple[str, str], str] | None = None) -> str:
    """The rows as text, one block an assignment, with a bar for each score.

    `remarks`, by (assignment, student), stand at the end of a row.
    """
    remarks = remarks or {}
    lines: list[str] = []
    wide = max((len(row.student) for row in entries), default=0)
    for assignment in dict.fromkeys(row.assignment for row in entries):
        block = [row for row in entries if row.assignment == assignment]
        lines += [f"{assignment}  (of {block[0].max_score:g} points)"]
        for row in block:
            share = row.score / row.max_score if row.max_score else 0.0
            bar = ("█" * round(20 * share)).ljust(20, "·")
            waiting = f"  + up to {row.by_hand:g} by hand" if row.by_hand else ""
            remark = remarks.get((row.assignment, row.student), "")
            remark = f"  {remark}" if remark else ""
            lines.append(f"  {row.student:<{wide}}  {row.score:>5g}  {bar}{waiting}{remark}")
        lines.append("")
    return "\n".join(lines)
