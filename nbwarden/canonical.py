"""The instructor's cells of a notebook, as the gradebook and the source folder have them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader import utils

from nbwarden.names import defined_in
from nbwarden.pictures import Room, taken


@dataclass(frozen=True)
class SourceCell:
    """A cell of the instructor's notebook; `grade_id` is empty if it is not nbgrader's."""

    grade_id: str
    cell_type: str
    source: str
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceNotebook:
    """What grading asks of an instructor's notebook.

    `imports` are the statements that import what tests may need; `kernel` is the name of the kernel
    it asks for, and `language` that kernel's.
    """

    cells: tuple[SourceCell, ...] = ()
    imports: tuple[str, ...] = ()
    kernel: str = ""
    language: str = "python"


def source_notebook(path: Path) -> SourceNotebook:
    """An instructor's notebook, read once for all students; empty if it is not on this machine."""
    try:
        info = path.stat()
        return _source_notebook(path, info.st_mtime_ns, info.st_size)
    except (OSError, ValueError):
        return SourceNotebook()


@cache
def _source_notebook(path: Path, changed: int, size: int) -> SourceNotebook:
    notebook = nbformat.read(path, as_version=4)
    cells, kernel = notebook.cells, notebook.metadata.get("kernelspec", {})
    language = kernel.get("language") or notebook.metadata.get("language_info", {}).get("name")
    return SourceNotebook(
        tuple(map(_source_cell, cells)),
        tuple(imports_of(cells)),
        str(kernel.get("name", "")),
        str(language or "python").lower(),
    )


def _source_cell(cell: NotebookNode) -> SourceCell:
    grade_id = str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))
    attachments = taken(cell.get("attachments"), Room())
    return SourceCell(grade_id, cell.cell_type, cell.source, attachments)


def new_cell(cell_type: str, source: str) -> NotebookNode:
    """A cell without outputs, which nobody has checked: its notebook will be, when it is whole."""
    cell = NotebookNode(id="cell", cell_type=cell_type, metadata=NotebookNode(), source=source)
    if cell_type == "code":
        cell.update(outputs=[], execution_count=None)
    return cell


@dataclass(frozen=True)
class Known:
    """A cell of the instructor's, as the gradebook has it.

    `released` is its source as students got it: without hidden tests and mark scheme. `names` are
    those by which an answer to it is recognized: what the released cell defines, or, if that is
    nothing, what the solution does.
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
    names: frozenset[str] = frozenset()
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)

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
        if self.attachments and self.cell_type == "markdown":
            cell.attachments = NotebookNode(self.attachments)
        # nbgrader sees by it that nothing was written: the checksum of what was released
        blank = NotebookNode(cell, source=self.released if not self.locked else self.source)
        cell.metadata["nbgrader"]["checksum"] = utils.compute_checksum(blank)
        return cell


def known_cells(
    notebook_in_gradebook: Any, source: SourceNotebook, released: Callable[[str], str]
) -> list[Known]:
    """The instructor's cells of a notebook, from the gradebook.

    Parameters
    ----------
    notebook_in_gradebook : nbgrader.api.Notebook
    source : SourceNotebook
        The instructor's notebook: the gradebook keeps neither the order of the cells nor what
        the solutions define.
    released : callable
        From a source to the source that students got.
    """
    points = {c.name: float(c.max_score) for c in notebook_in_gradebook.grade_cells}
    tasks = {c.name: float(c.max_score) for c in notebook_in_gradebook.task_cells}
    solutions = {c.name for c in notebook_in_gradebook.solution_cells}
    by_id = {cell.grade_id: cell for cell in source.cells if cell.grade_id}
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
            names=_names(cell, by_id.get(cell.name)) if cell.name in solutions else frozenset(),
            attachments=by_id[cell.name].attachments if cell.name in by_id else {},
        )
        for cell in notebook_in_gradebook.source_cells
    ]
    place = {cell.grade_id: number for number, cell in enumerate(source.cells)}
    return sorted(found, key=lambda cell: place.get(cell.grade_id, len(place)))


def _names(cell: Any, solved: SourceCell | None) -> frozenset[str]:
    if cell.cell_type != "code":
        return frozenset()
    return defined_in(cell.source or "") or defined_in(solved.source if solved else "")


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


def modules_of(statement: str) -> list[str]:
    """The modules that an import statement names."""
    node = ast.parse(statement).body[0]
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert isinstance(node, ast.ImportFrom)
    return [node.module] if node.module and not node.level else []
