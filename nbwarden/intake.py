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
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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

from nbwarden import canonical, renamed
from nbwarden.ask import CourseError, Instructor, is_trusted
from nbwarden.files import Sorted, UnreadableError, Welcome, read_bytes
from nbwarden.handed_in import NO_NOTEBOOK, Caps
from nbwarden.launch import SandboxError
from nbwarden.pictures import ENDINGS
from nbwarden.rebuild import notebook, plain_text, rebuild, unread_notebook
from nbwarden.remembered import remembered
from nbwarden.sandbox import Sandbox

_MB = 2**20


class Intake(NotebookExporter):
    """Takes in submitted notebooks and files; rebuilds each notebook before anything else."""

    extra_files = List(
        Unicode(),
        help="""Patterns of files that students may hand in beside the notebooks, such as "*.py".
        Pictures are welcome in any case; of files with the names of the assignment's own, those
        that `c.Autograde.exclude_overwriting` names.""",
    ).tag(config=True)

    max_notebook = Integer(50, help="Megabytes that a submitted notebook may have.").tag(
        config=True
    )

    max_file = Integer(50, help="Megabytes that any other submitted file may have.").tag(
        config=True
    )

    max_files = Integer(
        100, help="Megabytes that the files of a submission may have together."
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._files: dict[str, Sorted] = {}
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
            self._look_at_source(converter)
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
        for folder in [*converter.assignments, *folders]:
            if "\n" in folder:  # nbgrader would stop there, and grade nobody who comes behind
                self.log.error("%r was not graded: rename it, without a line break", folder)
                converter.assignments.pop(folder, None)
                continue
            found = converter.assignments.setdefault(folder, [])
            for name in expected:
                path = os.path.join(folder, f"{name}.ipynb")
                if path not in found and fnmatch.fnmatch(name, course.notebook_id):
                    found.append(path)

    def _look_at_source(self, converter: Autograde) -> None:
        """CourseError if a notebook cannot be graded for anyone, before any mark is touched."""
        course = converter.coursedir
        folder = Path(course.format_path(course.source_directory, ".", course.assignment_id))
        names = self._source_files(converter, course.assignment_id)
        files = {name.as_posix(): (folder / name).resolve() for name in names}
        for path in sorted(folder.glob("*.ipynb")):
            source = canonical.source_notebook(path)
            if source.language != "python":
                raise CourseError(
                    f"{path.name} asks for the kernel {source.kernel!r} ({source.language}); this "
                    "grader runs Python"
                )
            for cell in source.cells:
                if cell.cell_type == "code" and is_trusted(cell.source):
                    Instructor.of(files, list(source.imports)).look_at(cell.source)

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
        names = self._expected(converter)
        source_files = self._source_files(converter, assignment_id)
        excluded = converter.exclude_overwriting.get(assignment_id, [])
        files = Sorted(strange=["the whole folder, which is a link"])
        if not _linked(folder):
            files = self.welcome(names, map(str, source_files), excluded).sort(folder)
        expected = {f"{name}.ipynb" for name in names}
        kept = course.submitted_directory
        with tempfile.TemporaryDirectory(prefix="nbw-in-") as scratch:
            course.submitted_directory = scratch
            try:
                clean = Path(converter._format_source(assignment_id, student_id))
                clean.mkdir(parents=True)
                for name in files.taken:
                    if name.lower().endswith(".ipynb"):
                        if name not in expected:  # perhaps it is the one that counts
                            files.strange.append(name)
                        continue
                    content = read_bytes(folder / name, self.caps.file)
                    if name == "timestamp.txt" and not _is_time(content):
                        self.log.warning("%s: %s is no time and was left out", student_id, name)
                        continue
                    target = clean / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
                for name in expected:  # nbgrader looks whether they are there
                    (clean / name).touch()
                yield
            finally:
                course.submitted_directory = kept
        ignored = {NO_NOTEBOOK, ".ipynb_checkpoints", "__pycache__", "timestamp.txt", ".DS_Store"}
        files.strange = [name for name in files.strange if ignored.isdisjoint(Path(name).parts)]
        self._files[str(folder)] = files

    def welcome(
        self, notebooks: Iterable[str], source_files: Iterable[str], excluded: Iterable[str]
    ) -> Welcome:
        """Which files of a submission are taken in.

        Parameters
        ----------
        notebooks : iterable of str
            The assignment's, without endings.
        source_files : iterable of str
            The assignment's other files, below its folder.
        excluded : iterable of str
            Those of them that students may change (`exclude_overwriting`).
        """
        excluded = {*excluded}
        pictures = (f"*{ending}" for ending in ENDINGS)
        return Welcome(
            notebooks=tuple(f"{name}.ipynb" for name in notebooks),
            overwritten=frozenset(source_files) - excluded,
            patterns=(*self.extra_files, *map(glob.escape, excluded), *pictures),
            notebook=self.caps.notebook,
            each=self.caps.file,
            all=self.max_files * _MB,
            files=self.caps.files,
        )

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
            for graded in submission.notebooks:
                if fnmatch.fnmatch(str(graded.name), course.notebook_id):
                    for grade in graded.grades:
                        by_hand = isinstance(grade.cell, TaskCell)  # never marked by a run
                        grade.auto_score = None if by_hand else 0
                        grade.needs_manual_grade = by_hand
            gradebook.db.commit()

    @staticmethod
    def _void(gradebook: Gradebook, name: str, assignment: str, student: str) -> None:
        """Take back what a person gave as well: what they read is not there any more."""
        for grade in gradebook.find_submission_notebook(name, assignment, student).grades:
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
        source = canonical.source_notebook(folder / f"{told['notebook']}.ipynb")
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
        source = canonical.source_notebook(folder / path.name)
        files = self._files.get(str(path.parent), Sorted())
        with Gradebook(told["db_url"], course.course_id) as gradebook:
            kept = gradebook.find_notebook(told["notebook"], told["assignment"])
            known = canonical.known_cells(kept, source, self._released)
            kernelspec = json.loads(kept.kernelspec or "{}")
            try:
                if _linked(path.parent):
                    raise UnreadableError("the submitted folder is a link")
                expected = {*self._expected(converter)}
                handed_in = renamed.find(
                    path.parent, told["notebook"], expected, known, source.cells, self.caps
                )
            except UnreadableError as error:
                self.log.error("%s, %s: %s", told["student"], told["assignment"], error)
                self._void(gradebook, told["notebook"], told["assignment"], told["student"])
                return unread_notebook(known, _notes_on_files(files), kernelspec, str(error))
        rebuilt = rebuild(handed_in, known, source.cells)
        rebuilt.notes += _notes_on_files(files, handed_in.name)
        for note in rebuilt.notes:
            self.log.warning("%s, %s: %s", told["student"], told["assignment"], note)
        return notebook(rebuilt, kernelspec)

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


def _notes_on_files(files: Sorted, taken: str = "") -> list[str]:
    strange = [name for name in files.strange if name != taken]
    notes = []
    if strange:
        notes.append(
            f"Files that do not belong to the assignment were left out: {_quoted(strange)}."
        )
    if files.large:
        notes.append(
            f"These files are too large, or too many, and were left out: {_quoted(files.large)}."
        )
    return notes


def _quoted(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(f"`{plain_text(name)}`" for name in names[:10]) + more


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
