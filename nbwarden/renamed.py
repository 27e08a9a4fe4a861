"""The notebook that counts, where it was handed in under another name than it was handed out."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nbwarden.canonical import Known, SourceCell
from nbwarden.files import UnreadableError
from nbwarden.handed_in import (
    NO_NOTEBOOK,
    Caps,
    Cell,
    listed,
    other_notebooks,
    read_cells,
)
from nbwarden.matching import is_blank, match

#: What file managers, browsers, Jupyter and Colab add to the name of a copy.
_COPY = re.compile(r"^copy of |(?:[ _-]*(?:copy ?\d*|\(\d+\)))+$")


@dataclass(frozen=True)
class HandedIn:
    """A notebook that counts.

    `name` is that of its file, below the folder; `instead` says why it is another than expected,
    and is empty if it is not.
    """

    name: str
    cells: list[Cell]
    instead: str = ""


def find(
    folder: Path,
    name: str,
    expected: set[str],
    known: list[Known],
    source: tuple[SourceCell, ...],
    caps: Caps,
) -> HandedIn:
    """The notebook that counts as the one of this name.

    That is the file of this name, if there is anything of the student in it. Else it is the only
    other one that holds cells of this assignment, by whatever name.

    Parameters
    ----------
    folder : Path
    name : str
        Without ending.
    expected : set of str
        The names of all the assignment's notebooks, without endings.
    known, source
        As `match` takes them.
    caps : Caps

    Raises
    ------
    UnreadableError
        With the reason, and what there is instead.
    """
    blank, reason = None, f"{name}.ipynb is as it was handed out"
    try:
        blank = read_cells(folder / f"{name}.ipynb", caps)
        if _written(blank, known, source):
            return HandedIn(f"{name}.ipynb", blank)
    except UnreadableError as error:
        reason = str(error)
    others = {}
    paths = other_notebooks(folder, {f"{other}.ipynb" for other in expected})
    for path in paths:
        with suppress(UnreadableError):
            cells = read_cells(path, caps)
            if _written(cells, known, source) if blank else _ours(cells, known, source):
                others[path.relative_to(folder).as_posix()] = cells
    likely = _likely(list(others), name, expected)
    if len(likely) == 1:
        return HandedIn(likely[0], others[likely[0]], reason)
    if likely:
        raise UnreadableError(
            f"{reason}, and {listed(likely)} all hold cells of this assignment; hand in the one "
            f"that counts as {name}.ipynb"
        )
    if blank is not None:
        return HandedIn(f"{name}.ipynb", blank)
    raise UnreadableError(f"{reason}{_instead(folder, reason)}")


def _ours(cells: list[Cell], known: list[Known], source: tuple[SourceCell, ...]) -> bool:
    """Whether there is any cell of the assignment in it."""
    matching = match(cells, known, source)
    return bool(matching.anchors or matching.by_names)


def _written(cells: list[Cell], known: list[Known], source: tuple[SourceCell, ...]) -> bool:
    """Whether any answer was written into it."""
    matching = match(cells, known, source)
    return bool(matching.by_names or matching.by_place or matching.unsure) or any(
        not is_blank(cells[matching.by_id[entry.grade_id]], entry)
        for entry in known
        if entry.grade_id in matching.by_id and not entry.locked
    )


def _likely(names: list[str], name: str, expected: set[str]) -> list[str]:
    """Of several notebooks those that have the name, but for what marks a copy; else all."""
    stems = {other: _COPY.sub("", Path(other).stem.casefold()) for other in names}
    alike = [other for other in names if stems[other] == name.casefold()]
    taken = {other.casefold() for other in expected}
    return alike or [other for other in names if stems[other] not in taken]


def _instead(folder: Path, reason: str) -> str:
    """What lies in a folder in which the notebook is missing."""
    if not reason.endswith("is missing"):
        return ""
    names = sorted(path.name for path in folder.iterdir() if path.name != NO_NOTEBOOK)
    return f"; what was handed in: {listed(names)}" if names else "; the folder is empty"
