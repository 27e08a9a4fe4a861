"""Whether the record is true to the code, and the pages to the record: ``--check``."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlnorm import experiments, plotting
from dlnorm.experiments import _record, _run
from dlnorm.experiments._record import Entry, RecordError

_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEAD = re.compile(r"\A(---\n.*?^---\n|(:\w+:[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"experiments\.recorded\(\"(\w+)\"\)")


class Cell(NamedTuple):
    """A cell that speaks from the record: its page, the line where its code begins, its code."""

    page: Path
    line: int
    code: str


def check(pages: Path | None = None) -> tuple[list[str], list[str]]:
    """Compare record, code and pages.

    Parameters
    ----------
    pages : Path, optional
        The folder with the pages; the course's `book` if left out.

    Returns
    -------
    states, faults : list of str
        One line for each experiment; and one for all that is wrong. No fault, all is well.
    """
    pages = pages or _run.PACKAGE.parent / "book"
    cells = [cell for page in sorted(pages.glob("*.md")) for cell in cells_of(page)]
    try:
        entries = _record.load()
    except RecordError as error:
        return [], [str(error)]
    states, faults = (
        [],
        [f"the record has {name}, no experiment" for name in entries.keys() - set(_run.NAMES)],
    )
    for name in _run.NAMES:
        wrong = list(_faults_of(name, entries.get(name), cells))
        faults += wrong
        states.append(f"{name:16} {'wrong' if wrong else 'up to date'}")
    for cell in cells:
        faults += fault_in(cell)
    return states, faults


def _faults_of(name: str, entry: Entry | None, cells: list[Cell]) -> Iterator[str]:
    """Go through what is wrong with the record of one experiment."""
    quoting = [cell.page for cell in cells if name in _NAMED.findall(cell.code)]
    if entry is None or "values" not in entry:
        yield f"{name} has no record; run `make experiments`"
        return
    try:
        result = _record.result_of(name, entry)
    except RecordError as error:
        yield str(error)
        return
    if not _record.current(name, entry):
        yield (
            f"the record of {name} is stale: it is of other code, or of {entry['with']}, and here "
            f"is {_record.versions()}; run `make experiments`"
        )
    said = experiments.verdict(result)
    if (entry["reproduced"], entry["said"]) != (said.reproduced, str(said)):
        yield f"the record of {name} says {entry['said']!r}, its numbers say {str(said)!r}"
    if not quoting:
        yield f"no page speaks from the record of {name}"
    label = f"(quick-differs-{name})="
    told = any(label in page.read_text(encoding="utf-8") for page in quoting)
    if (entry["quick"] != said.reproduced) != told:
        yield (
            f"the quick run of {name} says {entry['quick']!r} and the record {said.reproduced!r}: "
            f"its page must {'not say' if told else 'say'} that they differ, under {label}"
        )


def cells_of(page: Path) -> list[Cell]:
    """Return a page's cells that speak from the record."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _CELL.finditer(text):
        head = _HEAD.match(match[1])
        code = match[1][head.end() if head else 0 :]
        if "experiments.recorded(" in code:
            start = match.start(1) + (head.end() if head else 0)
            found.append(Cell(page, text.count("\n", 0, start) + 1, code))
    return found


def fault_in(cell: Cell) -> list[str]:
    """Run a cell with `np`, `plotting`, `experiments` and `glue` alone; return what goes wrong."""

    def glue(name: str, value: Any, display: bool = True) -> None:
        """Stand in for MyST-NB's, which keeps the value for the text."""

    names = {"np": np, "plotting": plotting, "experiments": experiments, "glue": glue}
    try:
        with redirect_stdout(StringIO()):  # what it prints is for the page
            exec(compile("\n" * (cell.line - 1) + cell.code, str(cell.page), "exec"), names)
    except Exception as error:
        lines = [
            f.lineno
            for f in traceback.extract_tb(error.__traceback__)
            if f.filename == str(cell.page)
        ]
        line = lines[-1] if lines else cell.line
        source = cell.page.read_text(encoding="utf-8").splitlines()[(line or 1) - 1].strip()
        what = (
            "is false for the record" if isinstance(error, AssertionError) else f"fails: {error!r}"
        )
        return [f"{cell.page.name}:{line}: {source} {what}"]
    return []
