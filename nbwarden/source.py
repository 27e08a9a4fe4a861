"""An assignment as its instructor has it: in the source folder, and in the gradebook."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.coursedir import CourseDirectory

from nbwarden import canonical, folders
from nbwarden.canonical import Known, SourceNotebook
from nbwarden.folders import Entry


@dataclass(frozen=True)
class Frame:
    """A notebook as it was released, in which submissions are rebuilt.

    `known` are its cells as the gradebook has them, `source` is the instructor's notebook.
    """

    known: list[Known]
    source: SourceNotebook
    kernelspec: dict[str, Any]


def folder(coursedir: CourseDirectory, assignment: str) -> Path:
    """Where the instructor's files of an assignment lie."""
    return Path(coursedir.format_path(coursedir.source_directory, ".", assignment))


def entries(coursedir: CourseDirectory, assignment: str) -> tuple[Entry, ...]:
    """The instructor's files of an assignment, as nbgrader sees them."""
    root = folder(coursedir, assignment)
    kept = utils.find_all_files(str(root), coursedir.ignore)
    names = {Path(path).relative_to(root).as_posix() for path in kept}
    return tuple(entry for entry in folders.pack(root) if entry.name in names)


def paths(coursedir: CourseDirectory, assignment: str) -> dict[str, Path]:
    """Where the files beside an assignment's notebooks lie, by their names below its folder."""
    root = folder(coursedir, assignment)
    found = map(Path, utils.find_all_files(str(root), [*coursedir.ignore, "*.ipynb"]))
    return {path.relative_to(root).as_posix(): path.resolve() for path in found}


def frames(
    gradebook: Gradebook, root: Path, assignment: str, released: Callable[[str], str]
) -> dict[str, Frame]:
    """The frames of an assignment's notebooks, in the order in which they run; none if unknown.

    Parameters
    ----------
    gradebook : Gradebook
    root : Path
        The assignment's source folder.
    assignment : str
    released : callable
        From a source to the source that students got.
    """
    try:
        notebooks = gradebook.find_assignment(assignment).notebooks
    except MissingEntry:
        return {}
    found = {}
    for notebook in sorted(notebooks, key=lambda notebook: str(notebook.name)):
        source = canonical.source_notebook(root / f"{notebook.name}.ipynb")
        known = canonical.known_cells(notebook, source, released)
        found[str(notebook.name)] = Frame(known, source, json.loads(notebook.kernelspec or "{}"))
    return found
