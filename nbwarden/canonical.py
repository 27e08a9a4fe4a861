"""A submission rebuilt from the instructor's cells: the student's words, in the released frame.

From the student come only the sources of the cells they may edit and their own free cells. All
other cells are the instructor's, as the gradebook has them. What had to be put right is said in
notes, which the student reads on top of the feedback page.
"""

from __future__ import annotations

import ast
import base64
import binascii
import json
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from nbgrader import utils

_MB = 2**20


class UnreadableError(Exception):
    """A submitted notebook cannot be read; the text says why."""


@dataclass(frozen=True)
class Caps:
    """How much of a submission is taken in."""

    notebook: int = 50 * _MB
    file: int = 50 * _MB
    files: int = 200
    cells: int = 2000
    source: int = _MB
    picture: int = 5 * _MB


def new_cell(cell_type: str, source: str) -> NotebookNode:
    """A cell without outputs, which nobody has checked: its notebook will be, when it is whole."""
    cell = NotebookNode(id="cell", cell_type=cell_type, metadata=NotebookNode(), source=source)
    if cell_type == "code":
        cell.update(outputs=[], execution_count=None)
    return cell


@dataclass(frozen=True)
class Known:
    """A cell of the instructor's, as the gradebook has it.

    `released` is its source as students got it: without hidden tests and mark scheme.
    """

    grade_id: str
    cell_type: str
    source: str
    released: str
    locked: bool
    grade: bool
    solution: bool
    task: bool
    points: float

    def cell(self, source: str | None = None) -> NotebookNode:
        """The cell with the instructor's source, or with that of a student."""
        cell = new_cell(self.cell_type, self.source if source is None else source)
        meta = {
            "grade_id": self.grade_id,
            "grade": self.grade,
            "solution": self.solution,
            "locked": self.locked,
            "task": self.task,
            "schema_version": 3,
            "cell_type": self.cell_type,
        }
        if self.grade or self.task:
            meta["points"] = self.points
        cell.metadata["nbgrader"] = meta
        if self.locked:
            cell.metadata.update(editable=False, deletable=False)
        # nbgrader sees by it that nothing was written: the checksum of what was released
        blank = NotebookNode(cell, source=self.released if not self.locked else self.source)
        cell.metadata["nbgrader"]["checksum"] = utils.compute_checksum(blank)
        return cell


# ---------------------------------------------------------------- reading a file


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file: no link, no device, no more than `most` bytes.

    Raises
    ------
    UnreadableError
        With the reason.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnreadableError(f"{path.name} is missing") from None
    except OSError as error:
        kind = "a link" if path.is_symlink() else f"not readable ({error.strerror})"
        raise UnreadableError(f"{path.name} is {kind}; hand in the file itself") from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise UnreadableError(f"{path.name} is not a file")
    with os.fdopen(handle, "rb") as stream:
        if found.st_size > most:
            raise UnreadableError(
                f"{path.name} has {found.st_size / _MB:.0f} MB; {most / _MB:.0f} MB are accepted"
            )
        return stream.read(most + 1)[:most]


def read_cells(path: Path, caps: Caps) -> list[dict[str, Any]]:
    """The cells of a submitted notebook, as plain dicts with a type and a source each.

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
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableError(
            f"{size} is not a Jupyter notebook; was the upload cut off?"
        ) from None
    if not isinstance(found, dict) or ("nbformat" not in found and "cells" not in found):
        raise UnreadableError(f"{size} is not a Jupyter notebook")
    if found.get("nbformat", 4) != 4:
        raise UnreadableError(
            f"{path.name} is in notebook format {str(found['nbformat'])[:20]}; 4 is needed: "
            "open it in Jupyter and save it"
        )
    cells = found.get("cells")
    if not isinstance(cells, list):
        raise UnreadableError(f"{size} is not a Jupyter notebook: it has no list of cells")
    if not cells:
        raise UnreadableError(f"{path.name} is empty: it has no cells")
    if len(cells) > caps.cells:
        raise UnreadableError(f"{path.name} has {len(cells)} cells; {caps.cells} are accepted")
    return [cell for cell in (_plain(cell, caps) for cell in cells) if cell]


def _plain(cell: Any, caps: Caps) -> dict[str, Any] | None:
    """A cell's type, source, grade_id and pictures; None if it is no cell."""
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        return None
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str) or len(source) > caps.source:
        return None
    # lone surrogates cannot be written to any file
    source = source.encode("utf-8", "replace").decode()
    meta = cell.get("metadata")
    meta = meta.get("nbgrader") if isinstance(meta, dict) else None
    grade_id = meta.get("grade_id") if isinstance(meta, dict) else None
    return {
        "cell_type": cell["cell_type"],
        "source": source,
        "grade_id": grade_id if isinstance(grade_id, str) else None,
        "marked": bool(meta),
        "attachments": _pictures(cell.get("attachments"), caps),
    }


def _pictures(attachments: Any, caps: Caps) -> dict[str, dict[str, str]]:
    """The pictures pasted into a text cell; nothing else may be attached."""
    kept: dict[str, dict[str, str]] = {}
    for name, data in attachments.items() if isinstance(attachments, dict) else ():
        for kind, content in data.items() if isinstance(data, dict) else ():
            if kind in ("image/png", "image/jpeg", "image/gif") and is_base64(content, caps):
                kept.setdefault(str(name)[:200], {})[kind] = content
    return kept


def is_base64(content: Any, caps: Caps | None = None) -> bool:
    """Whether a text is base64 and nothing else, and not too long."""
    if not isinstance(content, str) or len(content) > (caps or Caps()).picture:
        return False
    try:
        base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


# ---------------------------------------------------------------- rebuilding


def rebuild(
    submitted: list[dict[str, Any]], known: list[Known]
) -> tuple[list[NotebookNode], list[str]]:
    """The notebook's cells in the released order, and what had to be put right.

    Parameters
    ----------
    submitted : list of dict
        From `read_cells`.
    known : list of Known
        All cells the instructor made, in the released order.

    Returns
    -------
    cells : list of NotebookNode
        Every known cell once. A student's own cell stays behind the known cell it came after.
    notes : list of str
        One sentence each, in Markdown; empty if all was as it should be.
    """
    by_id = {cell.grade_id: cell for cell in known}
    chosen = _chosen(submitted, by_id)
    notes: list[str] = []
    own: dict[str | None, list[NotebookNode]] = {None: []}
    after: str | None = None
    order: list[str] = []
    copies = strangers = 0
    for index, cell in enumerate(submitted):
        grade_id = cell["grade_id"]
        if grade_id in by_id and chosen[grade_id] == index:
            after = grade_id
            order.append(grade_id)
            own[grade_id] = []
            continue
        if grade_id in by_id:
            copies += 1
            if by_id[grade_id].locked:
                continue
        elif cell["marked"]:
            strangers += 1
        own[after].append(_free(cell))
    cells = own[None]
    for entry in known:
        cells.append(_placed(entry, submitted, chosen, notes))
        cells += own.get(entry.grade_id, [])
    if copies:
        notes.append(
            f"{copies} copied cell{'s' * (copies > 1)} of the assignment: each cell counts once."
        )
    if strangers:
        notes.append(
            f"{strangers} cell{'s' * (strangers > 1)} marked as the assignment's, but not part of "
            "it: taken as your own."
        )
    if order != [entry.grade_id for entry in known if entry.grade_id in chosen]:
        notes.append("Cells of the assignment had been moved: they are back in their order.")
    return cells, notes


def _chosen(submitted: list[dict[str, Any]], by_id: dict[str, Known]) -> dict[str, int]:
    """For each known cell, which of the submitted ones it is: the last one written in."""
    chosen: dict[str, int] = {}
    for index, cell in enumerate(submitted):
        grade_id = cell["grade_id"]
        if grade_id not in by_id:
            continue
        blank = cell["source"].strip() == by_id[grade_id].released.strip()
        if grade_id not in chosen or not (blank or by_id[grade_id].locked):
            chosen[grade_id] = index
    return chosen


def _placed(
    entry: Known, submitted: list[dict[str, Any]], chosen: dict[str, int], notes: list[str]
) -> NotebookNode:
    """One known cell as it is graded; says in `notes` what was put right."""
    if entry.grade_id not in chosen:
        notes.append(f"The cell `{entry.grade_id}` was missing: it is there again, as released.")
        return entry.cell(None if entry.locked else entry.released)
    cell = submitted[chosen[entry.grade_id]]
    if cell["cell_type"] != entry.cell_type:
        notes.append(f"The cell `{entry.grade_id}` had become {cell['cell_type']}: it is put back.")
    if entry.locked:
        if cell["source"].strip() not in (entry.released.strip(), entry.source.strip()):
            notes.append(f"The cell `{entry.grade_id}` had been changed: it is as released again.")
        return entry.cell()
    placed = entry.cell(cell["source"])
    if cell["attachments"] and entry.cell_type == "markdown":
        placed.attachments = NotebookNode(cell["attachments"])
    return placed


def _free(cell: dict[str, Any]) -> NotebookNode:
    """A student's own cell: its source, and pictures; no tags, no other metadata."""
    made = new_cell(cell["cell_type"], cell["source"])
    if cell["attachments"] and cell["cell_type"] == "markdown":
        made.attachments = NotebookNode(cell["attachments"])
    return made


def notebook(
    cells: Iterable[NotebookNode], notes: list[str], kernelspec: dict[str, Any], unreadable: str
) -> NotebookNode:
    """The notebook to be graded, with the notes on top."""
    made = list(cells)
    if unreadable:
        notes = [
            f"**This submission could not be read:** {plain_text(unreadable)}.",
            "Nothing of it was graded. What follows is the assignment as it was released.",
        ]
    if notes:
        head = "" if unreadable else "Before grading, this notebook was put in order:\n\n"
        lines = "\n".join(f"- {note}" for note in notes[:50])
        top = new_cell("markdown", f"### A note on your submission\n\n{head}{lines}")
        top.metadata["nbwarden"] = {"note": True}
        made.insert(0, top)
    for number, cell in enumerate(made):
        cell.id = f"cell-{number:04d}"
    metadata = {"kernelspec": kernelspec} if kernelspec.get("name") else {}
    result: NotebookNode = new_notebook(cells=made, metadata=metadata)
    if unreadable:
        result.metadata["nbwarden"] = {"unreadable": unreadable}
    return result


def plain_text(text: str) -> str:
    """A text with nothing in it that Markdown or HTML would take for markup."""
    return "".join(c if c.isalnum() or c in " .,;:()/_-?'" else "�" for c in text[:300])


# ---------------------------------------------------------------- what the instructor has


def known_cells(
    notebook_in_gradebook: Any, order: list[str], released: Callable[[str], str]
) -> list[Known]:
    """The instructor's cells of a notebook, from the gradebook.

    Parameters
    ----------
    notebook_in_gradebook : nbgrader.api.Notebook
    order : list of str
        The grade_ids as they come in the instructor's notebook; the gradebook keeps no order.
    released : callable
        From a source to the source that students got.
    """
    points = {c.name: float(c.max_score) for c in notebook_in_gradebook.grade_cells}
    tasks = {c.name: float(c.max_score) for c in notebook_in_gradebook.task_cells}
    solutions = {c.name for c in notebook_in_gradebook.solution_cells}
    found = [
        Known(
            grade_id=cell.name,
            cell_type=cell.cell_type,
            source=cell.source or "",
            released=released(cell.source or ""),
            locked=bool(cell.locked),
            grade=cell.name in points,
            solution=cell.name in solutions,
            task=cell.name in tasks,
            points=points.get(cell.name, tasks.get(cell.name, 0.0)),
        )
        for cell in notebook_in_gradebook.source_cells
    ]
    place = {name: number for number, name in enumerate(order)}
    return sorted(found, key=lambda cell: place.get(cell.grade_id, len(place)))


def imports_of(cells: Iterable[Any]) -> list[str]:
    """What an instructor's notebook imports at the top level of its cells, as statements.

    The tests need these names even where a student may edit the importing cell. From a cell with
    a solution only whole modules: a name imported there may be what the student is to write.
    """
    found: dict[str, None] = {}
    for cell in cells:
        if cell.cell_type != "code":
            continue
        try:
            body = ast.parse(cell.source).body
        except SyntaxError:  # a cell with magics
            continue
        for node in body:
            whole = isinstance(node, ast.Import)
            if whole or (isinstance(node, ast.ImportFrom) and not utils.is_solution(cell)):
                found[ast.unparse(node)] = None
    return list(found)


def names_bound(cells: Iterable[Any]) -> set[str]:
    """The names that code cells define or assign, outside of functions and classes as inside."""
    found: set[str] = set()
    for cell in cells:
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:  # a cell with magics
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.alias):
                found.add((node.asname or node.name).split(".")[0])
    return found
