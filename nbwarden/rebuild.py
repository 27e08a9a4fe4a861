"""A submission rebuilt from the instructor's cells: the student's words, in the released frame.

From the student come only the sources of the cells they may edit and their own free cells. All
other cells are the instructor's, as the gradebook has them. What had to be put right is said in
notes, which the student reads on top of the feedback page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_notebook

from nbwarden.canonical import Known, SourceCell, new_cell
from nbwarden.handed_in import Cell, listed
from nbwarden.matching import Matching, gap, is_blank, match, same
from nbwarden.members import shown
from nbwarden.names import bound_in
from nbwarden.renamed import HandedIn

#: What a person who gives marks reads in place of an answer that may be elsewhere.
_LOOK = (
    "(The cell of this answer was missing. The student wrote other cells of their own: "
    "look for the answer there.)"
)


@dataclass
class Rebuilt:
    """A notebook's cells as they are graded.

    Attributes
    ----------
    cells : list of NotebookNode
        Every known cell once. A student's own cell stays behind the known cell it came after.
    notes : list of str
        What had to be put right, one sentence each, in Markdown; empty if nothing had to.
    remark : str
        What the instructor is to know of cells that were missing, in one line; else empty.
    """

    cells: list[NotebookNode] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remark: str = ""


def rebuild(
    handed_in: HandedIn, known: list[Known], source: tuple[SourceCell, ...] = ()
) -> Rebuilt:
    """The notebook's cells in the released order, and what had to be put right.

    Parameters
    ----------
    handed_in : HandedIn
    known : list of Known
        All cells the instructor made, in the released order.
    source : tuple of SourceCell
        All cells of the instructor's notebook, also those that nbgrader does not know.
    """
    submitted = handed_in.cells
    matching = match(submitted, known, source)
    own, before = _own_cells(submitted, known, matching)
    rebuilt = Rebuilt(cells=before)
    for entry in known:
        for number in matching.along.get(entry.grade_id, ()):
            rebuilt.cells.append(_free(submitted[number]))
        rebuilt.cells.append(_placed(entry, submitted, matching))
        rebuilt.cells += own[entry.grade_id]
    rebuilt.notes = _notes(submitted, known, matching)
    remarks = _remarks(known, matching)
    if handed_in.instead:
        name = plain_text(handed_in.name)
        rebuilt.notes.insert(0, f"{handed_in.instead}: `{name}` was graded in its place.")
        remarks.insert(0, f"taken from {shown(handed_in.name)}")
    rebuilt.remark = "; ".join(remarks)
    return rebuilt


def _own_cells(
    submitted: list[Cell], known: list[Known], matching: Matching
) -> tuple[dict[str, list[NotebookNode]], list[NotebookNode]]:
    """The student's own cells, by the known cell they come after, and those before all."""
    by_id = {entry.grade_id: entry for entry in known}
    standing = _standing(known, matching, len(submitted))
    anchored = {number: grade_id for grade_id, number in standing.items()}
    own: dict[str, list[NotebookNode]] = {entry.grade_id: [] for entry in known}
    before: list[NotebookNode] = []
    behind = before
    for number, cell in enumerate(submitted):
        if number in anchored:
            behind = own[anchored[number]]
        elif number not in matching.used and not _dropped(cell, by_id):
            behind.append(_free(cell))
    return own, before


def _standing(known: list[Known], matching: Matching, total: int) -> dict[str, int]:
    """Where each known cell is, as far as it, or the answer for it, is at its place."""
    standing = dict(matching.anchors)
    found = {**matching.by_names, **{name: n[0] for name, n in matching.by_place.items()}}
    for entry in known:
        if entry.grade_id in found and entry.grade_id not in standing:
            places = [(other.grade_id, standing.get(other.grade_id)) for other in known]
            first, last = gap(entry.grade_id, places, total)
            if first < found[entry.grade_id] < last:
                standing[entry.grade_id] = found[entry.grade_id]
    return standing


def _dropped(cell: Cell, by_id: dict[str, Known]) -> bool:
    """Whether a cell is only a copy of one that counts, and not the student's to write."""
    entry = by_id.get(cell.grade_id or "")
    return entry is not None and (entry.locked or is_blank(cell, entry))


def _placed(entry: Known, submitted: list[Cell], matching: Matching) -> NotebookNode:
    """One known cell as it is graded."""
    if entry.locked:
        return entry.cell()
    if entry.grade_id in matching.by_place:
        answer = _joined([submitted[number] for number in matching.by_place[entry.grade_id]])
    elif entry.grade_id in matching.by_names:
        answer = submitted[matching.by_names[entry.grade_id]]
    elif entry.grade_id in matching.anchors:
        answer = submitted[matching.anchors[entry.grade_id]]
    elif entry.grade_id in matching.unsure:
        return entry.cell(_LOOK if entry.cell_type == "markdown" else f"# {_LOOK}")
    else:
        return entry.cell(entry.released)
    placed = entry.cell(entry.released if is_blank(answer, entry) else answer.source)
    if answer.attachments and entry.cell_type == "markdown":
        placed.attachments = NotebookNode({**entry.attachments, **answer.attachments})
    return placed


def _joined(cells: list[Cell]) -> Cell:
    """Several cells as one."""
    attachments = {name: kinds for cell in cells for name, kinds in cell.attachments.items()}
    source = "\n\n".join(cell.source for cell in cells)
    return Cell(cells[0].cell_type, source, attachments=attachments)


def _free(cell: Cell) -> NotebookNode:
    """A student's own cell: its source, and pictures; no tags, no other metadata."""
    made = new_cell(cell.cell_type, cell.source)
    if cell.attachments and cell.cell_type == "markdown":
        made.attachments = NotebookNode(cell.attachments)
    return made


# ---------------------------------------------------------------- what is said about it


def _notes(submitted: list[Cell], known: list[Known], matching: Matching) -> list[str]:
    notes = []
    if matching.by_source:
        notes.append(
            f"{_count(len(matching.by_source), 'cell')} of the assignment had lost nbgrader's "
            "metadata, as happens when a notebook is copied or goes through another program. "
            "They were recognized by their text."
        )
    for entry in known:
        notes += _note(entry, submitted, matching)
    by_id = {entry.grade_id: entry for entry in known}
    counted = {*matching.by_id.values()}
    copies = sum(c.grade_id in by_id and n not in counted for n, c in enumerate(submitted))
    if copies:
        notes.append(f"{_count(copies, 'copied cell')} of the assignment: each cell counts once.")
    strangers = sum(
        cell.marked and cell.grade_id not in by_id and number not in matching.used
        for number, cell in enumerate(submitted)
    )
    if strangers:
        notes.append(
            f"{_count(strangers, 'cell')} marked as the assignment's, but not part of it: "
            "taken as your own."
        )
    anchors = matching.anchors
    order = [entry.grade_id for entry in known if entry.grade_id in anchors]
    if order != sorted(order, key=lambda grade_id: anchors[grade_id]):
        notes.append("Cells of the assignment had been moved: they are back in their order.")
    return notes


def _note(entry: Known, submitted: list[Cell], matching: Matching) -> list[str]:
    """What is to be said about one known cell: one sentence or none."""
    name = f"`{entry.grade_id}`"
    number = matching.anchors.get(entry.grade_id)
    left = f"The cell {name} was {'missing' if number is None else 'left as it was handed out'}"
    if entry.locked and number is not None:
        return _note_on_locked(entry, submitted[number])
    if entry.grade_id in matching.by_names:
        cell = submitted[matching.by_names[entry.grade_id]]
        names = " and ".join(f"`{n}`" for n in sorted(entry.names & bound_in(cell.source)))
        return [f"{left}. Your own cell that defines {names} was graded as the answer."]
    reader = " A person will read it." if entry.grade else ""
    if entry.grade_id in matching.by_place:
        where = "in its place" if number is None else "below it"
        return [f"{left}. What you wrote {where} was taken as the answer.{reader}"]
    if entry.grade_id in matching.unsure:
        return [f"{left}. A person will look for the answer in the other cells that you wrote."]
    if number is None:
        names = " or ".join(f"`{n}`" for n in sorted(entry.names))
        nobody = f", and no other cell defines {names}" if names else ""
        return [f"{left}{nobody}: it is there again, as released."]
    return _note_on_type(entry, submitted[number])


def _note_on_locked(entry: Known, cell: Cell) -> list[str]:
    if same(cell.source, entry.released) or same(cell.source, entry.source):
        return _note_on_type(entry, cell)
    if cell.unchanged:
        return [
            f"The cell `{entry.grade_id}` of the assignment has changed since this notebook was "
            "handed out: the current version was used."
        ]
    return [f"The cell `{entry.grade_id}` had been changed: it is as released again."]


def _note_on_type(entry: Known, cell: Cell) -> list[str]:
    if cell.cell_type == entry.cell_type:
        return []
    return [f"The cell `{entry.grade_id}` had become {cell.cell_type}: it is put back."]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _remarks(known: list[Known], matching: Matching) -> list[str]:
    """Which cells were missing, and what was done about it, for the instructor."""
    order = [entry.grade_id for entry in known]
    ways = {
        "missing": [n for n in order if matching.lacks(n) and n not in matching.unsure],
        "missing, a person has to look for the answer": matching.unsure,
        "answered in a cell of the student's own": [
            n for n in order if n in matching.by_names or n in matching.by_place
        ],
    }
    parts = [f"{way}: {listed(names)}" for way, names in ways.items() if names]
    if matching.by_source:
        parts.append(f"{_count(len(matching.by_source), 'cell')} without nbgrader's metadata")
    return parts


# ---------------------------------------------------------------- the notebook


def notebook(rebuilt: Rebuilt, kernelspec: dict[str, Any]) -> NotebookNode:
    """The notebook to be graded, with the notes on top."""
    cells = list(rebuilt.cells)
    if rebuilt.notes:
        lines = "\n".join(f"- {note}" for note in rebuilt.notes[:50])
        head = "Before grading, this notebook was put in order:\n\n"
        cells.insert(0, _top(f"{head}{lines}"))
    return _whole(cells, kernelspec, {"remark": rebuilt.remark} if rebuilt.remark else {})


def unread_notebook(
    known: list[Known], notes: list[str], kernelspec: dict[str, Any], reason: str
) -> NotebookNode:
    """The assignment as it was released, with the reason on top why nothing was graded."""
    cells = [entry.cell(None if entry.locked else entry.released) for entry in known]
    notes = [
        f"**This submission could not be read:** {plain_text(reason)}.",
        "Nothing of it was graded. What follows is the assignment as it was released.",
        *notes,
    ]
    top = _top("\n".join(f"- {note}" for note in notes))
    return _whole([top, *cells], kernelspec, {"unreadable": reason})


def _top(text: str) -> NotebookNode:
    top = new_cell("markdown", f"### A note on your submission\n\n{text}")
    top.metadata["nbwarden"] = {"note": True}
    return top


def _whole(
    cells: list[NotebookNode], kernelspec: dict[str, Any], about: dict[str, str]
) -> NotebookNode:
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number:04d}"
    metadata: dict[str, Any] = {"kernelspec": kernelspec} if kernelspec.get("name") else {}
    if about:
        metadata["nbwarden"] = about
    made: NotebookNode = new_notebook(cells=cells, metadata=metadata)
    return made


def plain_text(text: str) -> str:
    """A text with nothing in it that Markdown or HTML would take for markup."""
    return "".join(c if c.isalnum() or c in " .,;:()/_-?'" else "�" for c in text[:300])
