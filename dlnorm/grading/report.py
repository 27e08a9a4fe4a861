"""What a class made of an assignment: scores, success by exercise, mistakes, what to reteach.

Everything here is read off what grading left behind: the marks, and the messages that the tests
wrote into the graded notebooks. Nothing is run.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nbformat import NotebookNode

from dlnorm.grading import sections
from dlnorm.grading.exercise import ProblemSet, section
from dlnorm.grading.similar import WHAT, Pair, pairs
from dlnorm.grading.student import checker


@dataclass(frozen=True)
class Submission:
    """One student's result.

    `by_hand` points still wait for a person; `reason` says what went wrong, if anything did;
    `seconds` is how long grading took, None if that is not known.
    """

    student: str
    score: float
    by_hand: float
    status: str = "graded"
    reason: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Mark:
    """One student's points in one cell; `waiting` if a person has yet to give them."""

    student: str
    cell: str
    score: float
    points: float
    waiting: bool


@dataclass(frozen=True)
class Exercise:
    """How a class did in one graded cell."""

    cell: str
    points: float
    full: int
    partial: int
    none: int
    waiting: int

    @property
    def share(self) -> float:
        """The share of full marks among those who have a mark."""
        marked = self.full + self.partial + self.none
        return self.full / marked if marked else 0.0


@dataclass(frozen=True)
class Mistake:
    """What is wrong with answers, who shows it, and the section to reteach.

    `kind` is "known" (a misconception, with a name and its hint), "unknown" (other wrong numbers)
    or "no result" (nothing to compare: not written, an error, a wrong type, no end).
    """

    kind: str
    name: str
    hint: str
    section: str
    students: tuple[str, ...]
    cells: tuple[str, ...]

    @property
    def title(self) -> str:
        """The section's title in the book."""
        found = sections.SECTIONS.get(self.section)
        return f"“{found.title}” in “{found.chapter}”" if found else ""

    def link(self, book: str) -> str:
        """The section's address in the book at `book`; empty if either is not known."""
        return sections.link(self.section, book) if self.section else ""


@dataclass(frozen=True)
class Report:
    """All that the page, the CSV files and the JSON document show."""

    assignment: str
    points: float
    submissions: tuple[Submission, ...]
    exercises: tuple[Exercise, ...]
    mistakes: tuple[Mistake, ...]
    similar: tuple[Pair, ...]
    compared: str = field(default=WHAT)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        found = asdict(self)
        for entry, mistake in zip(found["mistakes"], self.mistakes, strict=True):
            entry.update(title=mistake.title, url=mistake.link(sections.published()))
        return found


def make(
    problem_set: ProblemSet,
    points: float,
    submissions: Iterable[Submission],
    marks: Iterable[Mark],
    graded: Mapping[str, NotebookNode],
    released: NotebookNode,
    solution: NotebookNode,
) -> Report:
    """Put together what is known of an assignment.

    Parameters
    ----------
    problem_set : ProblemSet
        Its misconceptions are those that are counted.
    points : float
        The most one can get.
    submissions, marks : iterable
        What the gradebook has.
    graded : mapping of str to NotebookNode
        By student, the graded notebook.
    released, solution : NotebookNode
        What students got, and what the instructor wrote.
    """
    listed = tuple(sorted(submissions, key=lambda s: s.student))
    answers = {student: written(notebook) for student, notebook in graded.items()}
    return Report(
        problem_set.name,
        points,
        listed,
        tuple(exercises(marks, _order(solution))),
        tuple(mistakes(problem_set, graded)),
        tuple(pairs(answers, (written(released), written(solution)))),
    )


def exercises(marks: Iterable[Mark], order: list[str]) -> list[Exercise]:
    """Success by graded cell, in the order of the notebook."""
    by_cell: dict[str, list[Mark]] = {}
    for mark in marks:
        by_cell.setdefault(mark.cell, []).append(mark)
    found = []
    for cell in sorted(by_cell, key=lambda c: (order.index(c) if c in order else len(order), c)):
        given = by_cell[cell]
        done = [mark for mark in given if not mark.waiting]
        full = sum(mark.score >= mark.points for mark in done)
        none = sum(mark.score <= 0 < mark.points for mark in done)
        found.append(
            Exercise(
                cell, given[0].points, full, len(done) - full - none, none, len(given) - len(done)
            )
        )
    return found


def mistakes(problem_set: ProblemSet, graded: Mapping[str, NotebookNode]) -> list[Mistake]:
    """Every mistake that a message names, the most frequent first; the others by section."""
    hints = [(_bare(m.hint), m) for m in problem_set.misconceptions if m.hint]
    seen: dict[tuple[str, str, str, str], dict[str, set[str]]] = {}
    for student, notebook in graded.items():
        for cell, message in messages(notebook):
            bare = _bare(message)
            functions = _functions(problem_set, message)
            named = [m for hint, m in hints if hint in bare and m.replaces in functions]
            kind = "unknown" if _bare(checker.OPENING[None]) in bare else "no result"
            keys = [("known", m.name, m.hint, m.section) for m in named]
            keys = keys or [(kind, "", "", _section(message))]
            for key in keys:
                entry = seen.setdefault(key, {"students": set(), "cells": set()})
                entry["students"].add(student)
                entry["cells"].add(cell)
    found = [
        Mistake(*key, tuple(sorted(entry["students"])), tuple(sorted(entry["cells"])))
        for key, entry in seen.items()
    ]
    order = ("known", "unknown", "no result")
    return sorted(found, key=lambda m: (order.index(m.kind), -len(m.students), m.name, m.section))


def messages(notebook: NotebookNode) -> list[tuple[str, str]]:
    """What failed tests said, by cell. What students' code printed is none of it."""
    return [
        (_grade_id(cell), str(output.get("evalue", "")))
        for cell in notebook.cells
        if cell.cell_type == "code" and _is(cell, "grade") and not _is(cell, "solution")
        for output in cell.get("outputs", ())
        if output.output_type == "error"
    ]


def written(notebook: NotebookNode) -> dict[str, str]:
    """The code that students write, by cell."""
    return {
        _grade_id(cell): str(cell.source)
        for cell in notebook.cells
        if cell.cell_type == "code" and _is(cell, "solution")
    }


def _section(message: str) -> str:
    """The label of the section that a message sends to."""
    bare = _bare(message)
    for label in sections.SECTIONS:
        for book in ("", "linked"):
            if _bare(checker.reread(section(label, book))) in bare:
                return label
    return ""


def _functions(problem_set: ProblemSet, message: str) -> list[str]:
    """The functions that a message is about: two may be got wrong in the same words."""
    title = re.search(r"✗ ([\w.]+): case", message)
    names = [check.name for check in problem_set.checks]
    if title and title[1] in names:
        return problem_set.check(title[1]).functions
    return [m.replaces for m in problem_set.misconceptions]


def _bare(text: str) -> str:
    """A text without white space: a message is wrapped, and a hint is not."""
    return "".join(text.split())


def _order(notebook: NotebookNode) -> list[str]:
    return [_grade_id(cell) for cell in notebook.cells]


def _grade_id(cell: NotebookNode) -> str:
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def _is(cell: NotebookNode, what: str) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get(what))


# ---------------------------------------------------------------- CSV


def tables(report: Report) -> dict[str, str]:
    """The report as CSV files: by name, the text."""
    return {
        "students.csv": _csv(
            ("student", "score", "of", "by hand", "status", "reason", "seconds"),
            (
                (s.student, s.score, report.points, s.by_hand, s.status, s.reason, s.seconds)
                for s in report.submissions
            ),
        ),
        "exercises.csv": _csv(
            ("cell", "points", "full", "partial", "none", "waiting"),
            ((e.cell, e.points, e.full, e.partial, e.none, e.waiting) for e in report.exercises),
        ),
        "misconceptions.csv": _csv(
            ("misconception", "students", "who", "cells", "section", "link", "hint"),
            (
                (
                    *(m.name or f"({m.kind})", len(m.students), " ".join(m.students)),
                    *(" ".join(m.cells), m.title, m.link(sections.published()), m.hint),
                )
                for m in report.mistakes
            ),
        ),
        "similar.csv": _csv(
            ("student", "other", "likeness", "shared runs", "cells"),
            (
                (p.one, p.other, f"{p.likeness:.3f}", p.shared, " ".join(p.cells))
                for p in report.similar
            ),
        ),
    }


def _csv(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return stream.getvalue()


#: What a formula begins with, for one spreadsheet or another.
_FORMULA = "=+-@＝＋－＠"


def _plain(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula or for more than one cell."""
    if isinstance(value, float):
        return f"{value:g}"
    if not isinstance(value, str):
        return value
    text = value.replace("\r", "\n")  # which is quoted
    formula = text.lstrip()[:1] in tuple(_FORMULA) or text[:1] in ("\t", "\n")
    return f"'{text}" if formula else text
