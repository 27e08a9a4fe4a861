"""The door through which every submission comes: nbgrader's exporter, made careful.

`c.Autograde.exporter_class = "nbwarden.intake.Intake"` is the one place where plain nbgrader
hands its converter to an object of the course's choice: on the command line, through its API and
behind formgrader's button. From there on no file is opened that was not looked at, every
submission starts from no points, and none can stop the others.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry, TaskCell
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme
from traitlets import Integer, List, Unicode
from traitlets.config import Config

from nbwarden import canonical
from nbwarden.ask import CourseError, Instructor, is_trusted
from nbwarden.canonical import Caps, UnreadableError
from nbwarden.remembered import remembered
from nbwarden.sandbox import Sandbox, SandboxError

_MB = 2**20
#: What nbgrader's exchange puts beside a submission, and needs again for the feedback.
EXCHANGE = ("timestamp.txt", "submission_secret.txt")


class Intake(NotebookExporter):
    """Takes in submitted notebooks and files; rebuilds each notebook before anything else."""

    extra_files = List(
        Unicode(),
        help="""Patterns of files that students may hand in beside the notebooks, such as "*.py".
        Files with the names of the assignment's own files are expected in any case.""",
    ).tag(config=True)

    max_notebook = Integer(50, help="Megabytes that a submitted notebook may have.").tag(
        config=True
    )

    max_file = Integer(50, help="Megabytes that any other submitted file may have.").tag(
        config=True
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._left_out: dict[str, list[str]] = {}
        if isinstance(self.parent, Autograde):
            self._attach(self.parent)

    @property
    def caps(self) -> Caps:
        """How much is taken in."""
        return Caps(notebook=self.max_notebook * _MB, file=self.max_file * _MB)

    def _attach(self, converter: Autograde) -> None:
        """Stand between the converter and the submitted files."""
        try:
            Sandbox(parent=self).check()
            self._look_at_checks(converter)
        except (SandboxError, CourseError) as error:
            raise NbGraderException(f"grading refused: {error}") from None
        plain = converter.init_assignment

        def init_assignment(assignment_id: str, student_id: str) -> None:
            with self._clean_copy(converter, assignment_id, student_id):
                plain(assignment_id, student_id)
            self._reset(converter, assignment_id, student_id)

        converter.init_assignment = init_assignment
        # a folder without its notebook is a submission too: its older marks must not stand
        course = converter.coursedir
        folders = glob.glob(converter._format_source(course.assignment_id, course.student_id))
        expected = self._expected(converter)
        for folder in folders:
            found = converter.assignments.setdefault(folder, [])
            for name in expected:
                path = os.path.join(folder, f"{name}.ipynb")
                if path not in found and fnmatch.fnmatch(name, course.notebook_id):
                    found.append(path)

    def _look_at_checks(self, converter: Autograde) -> None:
        """CourseError if a trusted cell is wrong, before any mark is touched."""
        course = converter.coursedir
        folder = Path(course.format_path(course.source_directory, ".", course.assignment_id))
        names = self._source_files(converter, course.assignment_id)
        files = {name.as_posix(): (folder / name).resolve() for name in names}
        for path in sorted(folder.glob("*.ipynb")):
            source = source_notebook(path)
            for cell in source.trusted:
                Instructor.of(files, list(source.imports)).look_at(cell)

    @staticmethod
    def _expected(converter: Autograde) -> list[str]:
        """The names of the assignment's notebooks."""
        course = converter.coursedir
        with Gradebook(course.db_url, course.course_id) as gradebook:
            try:
                assignment = gradebook.find_assignment(course.assignment_id)
            except MissingEntry:
                return []
            return [str(notebook.name) for notebook in assignment.notebooks]

    # -------- files

    @contextmanager
    def _clean_copy(
        self, converter: Autograde, assignment_id: str, student_id: str
    ) -> Iterator[None]:
        """Let the converter copy from a folder that holds only what may be taken in."""
        course = converter.coursedir
        folder = Path(converter._format_source(assignment_id, student_id))
        wanted = {p.as_posix() for p in self._source_files(converter, assignment_id)}
        names = self._expected(converter)
        left_out: list[str] = []
        kept = course.submitted_directory
        with tempfile.TemporaryDirectory(prefix="nbw-in-") as scratch:
            course.submitted_directory = scratch
            try:
                clean = Path(converter._format_source(assignment_id, student_id))
                clean.mkdir(parents=True)
                for path in self._regular_files(folder, left_out):
                    name = path.relative_to(folder).as_posix()
                    if name.removesuffix(".ipynb") in names:
                        continue  # read by `from_filename`
                    expected = name in wanted or name in EXCHANGE
                    if not expected and not any(
                        fnmatch.fnmatch(name, pattern) for pattern in self.extra_files
                    ):
                        left_out.append(name)
                        continue
                    try:
                        content = canonical.read_bytes(path, self.caps.file)
                    except UnreadableError:
                        left_out.append(name)
                        continue
                    if name == "timestamp.txt" and not _is_time(content):
                        self.log.warning("%s: %s is no time and was left out", student_id, name)
                        continue
                    target = clean / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
                for name in names:  # nbgrader looks whether they are there
                    (clean / f"{name}.ipynb").touch()
                yield
            finally:
                course.submitted_directory = kept
        ignored = (".ipynb_checkpoints", "__pycache__", "timestamp.txt", ".DS_Store")
        self._left_out[str(folder)] = [
            name for name in left_out if not any(part in ignored for part in Path(name).parts)
        ]

    def _regular_files(self, folder: Path, left_out: list[str]) -> Iterator[Path]:
        """The folder's regular files, without following any link."""
        if _linked(folder):
            left_out.append("the whole folder, which is a link")
            return
        count = 0
        for parent, folders, files in os.walk(folder, followlinks=False):
            folders[:] = sorted(n for n in folders if not os.path.islink(os.path.join(parent, n)))
            for name in sorted(files):
                path = Path(parent, name)
                count += 1
                if stat.S_ISREG(path.lstat().st_mode) and count <= self.caps.files:
                    yield path
                else:
                    left_out.append(path.relative_to(folder).as_posix())

    @staticmethod
    def _source_files(converter: Autograde, assignment_id: str) -> list[Path]:
        """The assignment's own files, relative to its source folder; no notebooks."""
        course = converter.coursedir
        folder = course.format_path(course.source_directory, ".", assignment_id)
        found = utils.find_all_files(folder, [*course.ignore, "*.ipynb"])
        return [Path(path).relative_to(folder) for path in found]

    # -------- marks

    @staticmethod
    def _reset(converter: Autograde, assignment_id: str, student_id: str) -> None:
        """Take back the points that an earlier run of the tests gave."""
        course = converter.coursedir
        with Gradebook(course.db_url, course.course_id) as gradebook:
            submission = gradebook.find_submission(assignment_id, student_id)
            for notebook in submission.notebooks:
                if fnmatch.fnmatch(str(notebook.name), course.notebook_id):
                    for grade in notebook.grades:
                        by_hand = isinstance(grade.cell, TaskCell)  # never marked by a run
                        grade.auto_score = None if by_hand else 0
                        grade.needs_manual_grade = by_hand
            gradebook.db.commit()

    @staticmethod
    def _void(gradebook: Gradebook, notebook: str, assignment: str, student: str) -> None:
        """Take back what a person gave as well: what they read is not there any more."""
        for grade in gradebook.find_submission_notebook(notebook, assignment, student).grades:
            grade.auto_score, grade.manual_score, grade.extra_credit = 0, None, None
            grade.needs_manual_grade = False
        gradebook.db.commit()

    # -------- notebooks

    def _preprocess(self, nb: nbformat.NotebookNode, resources: Any) -> tuple[Any, Any]:
        return preprocessed(self, nb, resources)

    def from_filename(self, filename: str, resources: Any = None, **kwargs: Any) -> Any:
        """Read a notebook: a submitted one carefully, one that is already rebuilt as it is."""
        converter = self.parent
        if not isinstance(converter, Autograde):
            return super().from_filename(filename, resources=resources, **kwargs)
        told = resources["nbgrader"]
        if converter._sanitizing:
            resources["metadata"] = {"name": told["notebook"], "path": os.path.dirname(filename)}
            made = self._rebuilt(Path(filename), told)
            return self.from_notebook_node(  # type: ignore[no-untyped-call]
                made, resources=resources, **kwargs
            )
        course = converter.coursedir
        folder = Path(course.format_path(course.source_directory, ".", told["assignment"]))
        source = source_notebook(folder / f"{told['notebook']}.ipynb")
        resources["nbwarden"] = {
            "files": {
                path.as_posix(): str((folder / path).resolve())
                for path in self._source_files(converter, told["assignment"])
            },
            "imports": list(source.imports),
        }
        return super().from_filename(filename, resources=resources, **kwargs)

    def _rebuilt(self, path: Path, told: dict[str, str]) -> nbformat.NotebookNode:
        """The submitted notebook in the released frame."""
        converter: Any = self.parent
        course = converter.coursedir
        folder = Path(course.format_path(course.source_directory, ".", told["assignment"]))
        order = list(source_notebook(folder / path.name).order)
        with Gradebook(told["db_url"], course.course_id) as gradebook:
            kept = gradebook.find_notebook(told["notebook"], told["assignment"])
            known = canonical.known_cells(kept, order, self._released)
            kernelspec = json.loads(kept.kernelspec or "{}")
            unreadable = ""
            notes: list[str] = []
            try:
                if _linked(path.parent):
                    raise UnreadableError("the submitted folder is a link")
                submitted = canonical.read_cells(path, self.caps)
                cells, notes = canonical.rebuild(submitted, known)
            except UnreadableError as error:
                unreadable = str(error)
                self.log.error("%s, %s: %s", told["student"], told["assignment"], unreadable)
                cells = [cell.cell(None if cell.locked else cell.released) for cell in known]
                self._void(gradebook, told["notebook"], told["assignment"], told["student"])
        left_out = self._left_out.get(str(path.parent), [])
        if left_out:
            shown = ", ".join(f"`{canonical.plain_text(name)}`" for name in left_out[:10])
            notes.append(f"Files that do not belong to the assignment were left out: {shown}.")
        for note in notes:
            self.log.warning("%s, %s: %s", told["student"], told["assignment"], note)
        return canonical.notebook(cells, notes, kernelspec, unreadable)

    def _released(self, source: str) -> str:
        """A source without hidden tests and mark scheme."""
        return released(source, self)


def preprocessed(
    exporter: Any, nb: nbformat.NotebookNode, resources: Any
) -> tuple[nbformat.NotebookNode, Any]:
    """What nbconvert's exporters do to their copy of a notebook, without copying it twice more.

    It is held against its schema once, when all is done to it, and not after each step.
    """
    for preprocessor in exporter._preprocessors:
        nb, resources = preprocessor(nb, resources)
    nbformat.validate(nb, relax_add_props=True)
    return nb, resources


@dataclass(frozen=True)
class SourceNotebook:
    """What grading asks of an instructor's notebook.

    `order` are the grade_ids as they come, `imports` the statements that import what tests may
    need, `trusted` the sources of the trusted cells.
    """

    order: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()


def source_notebook(path: Path) -> SourceNotebook:
    """An instructor's notebook, read once for all students; empty if it is not on this machine."""
    try:
        found = path.stat()
        return _source_notebook(path, found.st_mtime_ns, found.st_size)
    except (OSError, ValueError):
        return SourceNotebook()


@cache
def _source_notebook(path: Path, changed: int, size: int) -> SourceNotebook:
    cells = nbformat.read(path, as_version=4).cells
    return SourceNotebook(
        tuple(map(_grade_id, cells)),
        tuple(canonical.imports_of(cells)),
        tuple(c.source for c in cells if c.cell_type == "code" and is_trusted(c.source)),
    )


def released(source: str, parent: Any) -> str:
    """A source as students got it, by the delimiters that are configured."""
    told = {name: parent.config[name] for name in ("ClearHiddenTests", "ClearMarkScheme")}
    return _released(source, json.dumps(told))


@remembered
def _released(source: str, told: str) -> str:
    cell = canonical.new_cell("code", source)
    config = Config(json.loads(told))
    ClearHiddenTests(config=config)._remove_hidden_test_region(cell)
    ClearMarkScheme(config=config)._remove_mark_scheme_region(cell)
    return str(cell.source)


def _grade_id(cell: Any) -> str:
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def _is_time(content: bytes) -> bool:
    """Whether nbgrader can read a time in it; it fails if it cannot."""
    if len(content) > 100:
        return False
    try:
        utils.parse_utc(content.decode().strip())
    except (ValueError, TypeError, OverflowError, UnicodeDecodeError):
        return not content.strip()
    return True


def _linked(folder: Path) -> bool:
    """Whether a submission's folder, or its student's, is a link to somewhere else."""
    return folder.is_symlink() or folder.parent.is_symlink()
