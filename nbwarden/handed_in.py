"""Reading what a student handed in: no link is followed, no file is believed to be a notebook."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbformat import from_dict
from nbgrader import utils

from nbwarden.files import UnreadableError, read_bytes
from nbwarden.members import shown
from nbwarden.pictures import Room, moved_out, taken

_MB = 2**20
#: A notebook under another name is looked for in no more files than this.
_NOTEBOOKS = 10
#: Pictures that are written out in a text of more characters than this are taken out of it.
_LONG = 100_000
#: nbgrader passes over a folder without any notebook, before anybody is asked. This one is put
#: there then, and nobody is told of it.
NO_NOTEBOOK = "nbwarden-no-notebook.ipynb"


@dataclass(frozen=True)
class Caps:
    """How much of a submission is taken in."""

    notebook: int = 50 * _MB
    file: int = 50 * _MB
    files: int = 200
    cells: int = 2000
    source: int = _MB
    picture: int = 10 * _MB
    pictures: int = 30 * _MB


@dataclass(frozen=True)
class Cell:
    """A cell as it was handed in.

    `marked` says that it has nbgrader's metadata, whatever they hold, and `unchanged` that its
    source is still the one for which these metadata were made.
    """

    cell_type: str
    source: str
    grade_id: str | None = None
    marked: bool = False
    unchanged: bool = False
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)


def read_cells(path: Path, caps: Caps) -> list[Cell]:
    """The cells of a submitted notebook.

    Raises
    ------
    UnreadableError
        With the reason, fit for the student to read.
    """
    content = read_bytes(path, caps.notebook)
    size = f"{path.name} ({len(content)} bytes)"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError(f"{size} is not in UTF-8; save it from Jupyter") from None
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableError(
            f"{size} is not a Jupyter notebook; was the upload cut off?"
        ) from None
    if not isinstance(notebook, dict) or ("nbformat" not in notebook and "cells" not in notebook):
        raise UnreadableError(f"{size} is not a Jupyter notebook")
    if notebook.get("nbformat", 4) != 4:
        version = shown(str(notebook["nbformat"])[:20])
        raise UnreadableError(
            f"{path.name} is in notebook format {version}; 4 is needed: open it in Jupyter and "
            "save it"
        )
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        raise UnreadableError(f"{size} is not a Jupyter notebook: it has no list of cells")
    if not cells:
        raise UnreadableError(f"{path.name} is empty: it has no cells")
    if len(cells) > caps.cells:
        raise UnreadableError(f"{path.name} has {len(cells)} cells; {caps.cells} are accepted")
    room = Room(caps.picture, caps.pictures)
    return [cell for cell in (_cell(cell, caps, room) for cell in cells) if cell]


def other_notebooks(folder: Path, expected: set[str]) -> list[Path]:
    """The notebooks in a folder that have no expected name, up to a number; follows no link."""
    return sorted(_others(folder, expected))[:_NOTEBOOKS]


def _others(folder: Path, expected: set[str]) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent, name)
            known = path.relative_to(folder).as_posix() in {*expected, NO_NOTEBOOK}
            if name.lower().endswith(".ipynb") and not known:
                yield path


def listed(names: list[str], most: int = 5) -> str:
    """Some names, as they can be printed."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def _cell(cell: Any, caps: Caps, room: Room) -> Cell | None:
    """A cell with what of it is believed; None if it is no cell."""
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        return None
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    attachments = cell.get("attachments")
    if len(source) > _LONG and cell["cell_type"] != "code":
        source, attachments = moved_out(source, attachments)
    if len(source) > caps.source:
        source = _too_long(cell["cell_type"], len(source), caps.source)
    # lone surrogates cannot be written to any file
    source = source.encode("utf-8", "replace").decode()
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    meta = cell.get("metadata")
    meta = meta.get("nbgrader") if isinstance(meta, dict) else None
    grade_id = meta.get("grade_id") if isinstance(meta, dict) else None
    return Cell(
        cell_type=cell["cell_type"],
        source=source,
        grade_id=grade_id if isinstance(grade_id, str) else None,
        marked=bool(meta),
        unchanged=_fits(cell["cell_type"], source, meta),
        attachments=taken(attachments, room),
    )


def _too_long(cell_type: str, size: int, most: int) -> str:
    """What stands in place of a text that is not taken in; a person who gives marks reads it."""
    text = f"{size / _MB:.1f} MB of text stood here; {most / _MB:.0f} MB are accepted in a cell."
    return f"# {text}" if cell_type == "code" else text


def _fits(cell_type: str, source: str, meta: Any) -> bool:
    """Whether a cell's source is the one whose checksum is in its metadata.

    Anybody can make it fit: it decides what a student is told, and nothing else.
    """
    if not isinstance(meta, dict):
        return False
    about = {"cell_type": cell_type, "source": source, "metadata": {"nbgrader": meta}}
    try:
        cell = from_dict(about)
        return bool(utils.compute_checksum(cell) == meta.get("checksum"))
    except Exception:  # the metadata may be anything
        return False
