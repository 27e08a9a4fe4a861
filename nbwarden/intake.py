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
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme
from traitlets import Bool, Integer, List, Unicode
from traitlets.config import Config

from nbwarden import canonical, folders, records, renamed, source
from nbwarden.ask import CourseError, Instructor, is_trusted
from nbwarden.execute import Assignment, execute
from nbwarden.files import Sorted, UnreadableError, Welcome, read_bytes
from nbwarden.handed_in import NO_NOTEBOOK, Caps
from nbwarden.launch import SandboxError
from nbwarden.pictures import ENDINGS
from nbwarden.rebuild import notebook, plain_text, rebuild, unread_notebook
from nbwarden.remembered import remembered
from nbwarden.sandbox import Sandbox
from nbwarden.solution import Trial
from nbwarden.source import Frame

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

    try_solution = Bool(
        True,
        help="""Whether the solution in the source folder is graded before the first submission.
        What it fails is not the students' fault, and nothing is graded until that is put right.
        Switch it off where the source folder holds no solutions.""",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._files: dict[str, Sorted] = {}
        self._frames: dict[str, Frame] = {}
        self._names: list[str] = []  # of the assignment's notebooks
        if isinstance(self.parent, Autograde):
            self._attach(self.parent)

    @property
    def caps(self) -> Caps:
        """How much is taken in."""
        return Caps(notebook=self.max_notebook * _MB, file=self.max_file * _MB)

    def _attach(self, converter: Autograde) -> None:
        """Stand between the converter and the submitted files."""
        course = converter.coursedir
        rebuilt = rebuilt_by(converter)
        if not rebuilt:  # else whoever did so has looked before
            self._frames = self._looked_at(course)
        self._names = [*(rebuilt or self._frames)]
        plain = converter.init_assignment

        def init_assignment(assignment_id: str, student_id: str) -> None:
            with self._clean_copy(converter, assignment_id, student_id):
                plain(assignment_id, student_id)

        converter.init_assignment = init_assignment
        # a folder without its notebook is a submission too: its older marks must not stand
        folders = glob.glob(converter._format_source(course.assignment_id, course.student_id))
        for folder in [*converter.assignments, *folders]:
            if "\n" in folder:  # nbgrader would stop there, and grade nobody who comes behind
                self.log.error("%r was not graded: rename it, without a line break", folder)
                converter.assignments.pop(folder, None)
                continue
            found = converter.assignments.setdefault(folder, [])
            for name in self._names:
                path = os.path.join(folder, f"{name}.ipynb")
                if path not in found and fnmatch.fnmatch(name, course.notebook_id):
                    found.append(path)

    # -------- the instructor's

    @staticmethod
    def look_at_source(course: CourseDirectory, assignment: str) -> None:
        """CourseError if a notebook cannot be graded for anyone, before any mark is touched."""
        files = source.paths(course, assignment)
        for path in sorted(source.folder(course, assignment).glob("*.ipynb")):
            made = canonical.source_notebook(path)
            if made.language != "python":
                raise CourseError(
                    f"{path.name} asks for the kernel {made.kernel!r} ({made.language}); this "
                    "grader runs Python"
                )
            for cell in made.cells:
                if cell.cell_type == "code" and is_trusted(cell.source):
                    Instructor.of(files, list(made.imports)).look_at(cell.source)

    def frames(self, gradebook: Gradebook, root: Path, assignment: str) -> dict[str, Frame]:
        """The frames of an assignment's notebooks; see `source.frames`."""
        return source.frames(gradebook, root, assignment, self._released)

    def assignment(self, course: CourseDirectory, name: str) -> Assignment:
        """All that submissions of an assignment share when they are executed."""
        root, entries = source.folder(course, name), source.entries(course, name)
        beside = tuple(entry for entry in entries if not entry.name.endswith(".ipynb"))
        notebooks = {path.stem: canonical.source_notebook(path) for path in root.glob("*.ipynb")}
        imports = {notebook: found.imports for notebook, found in notebooks.items()}
        return Assignment(folders.checksum(entries), beside, imports, self.config)

    def _looked_at(self, course: CourseDirectory) -> dict[str, Frame]:
        """The frames of an assignment that can be graded.

        Raises
        ------
        NbGraderException
            If it cannot, for a reason that is no student's.
        """
        name = course.assignment_id
        try:
            Sandbox(parent=self).check()
            self.look_at_source(course, name)
            with records.opened(course.db_url, course.course_id) as engine:
                with Gradebook(course.db_url, course.course_id) as gradebook:
                    frames = self.frames(gradebook, source.folder(course, name), name)
                trial = Trial(engine, name, self.assignment(course, name), frames)
                if self.try_solution and not trial.passed:
                    trial.judge(execute(trial.assignment, trial.submission))
        except (SandboxError, CourseError) as error:
            refusal = f"grading refused: {error}"
            self.log.error(refusal)  # of this exception nbgrader's command says nothing
            raise NbGraderException(refusal) from None
        return frames

    # -------- files

    @contextmanager
    def _clean_copy(
        self, converter: Autograde, assignment_id: str, student_id: str
    ) -> Iterator[None]:
        """Let the converter copy from a folder that holds only what may be taken in."""
        course = converter.coursedir
        folder = Path(converter._format_source(assignment_id, student_id))
        names = self._names
        source_files = source.paths(course, assignment_id)
        excluded = converter.exclude_overwriting.get(assignment_id, [])
        files = Sorted(strange=["the whole folder, which is a link"])
        if not _linked(folder):
            files = self.welcome(names, source_files, excluded).sort(folder)
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
        folder = source.folder(course, told["assignment"])
        original = canonical.source_notebook(folder / f"{told['notebook']}.ipynb")
        resources["nbwarden"] = {
            "outputs": getattr(converter, "outputs", {}).get(told["notebook"]),
            "files": source.paths(course, told["assignment"]),
            "imports": list(original.imports),
        }
        return super().from_filename(filename, resources=resources, **kwargs)

    def _rebuilt(self, path: Path, told: dict[str, str]) -> nbformat.NotebookNode:
        """The submitted notebook in the released frame."""
        converter: Any = self.parent
        if rebuilt := rebuilt_by(converter):
            return rebuilt[told["notebook"]]
        files = self._files.get(str(path.parent), Sorted())
        return self.rebuilt(path.parent, told["notebook"], self._frames, files)

    def rebuilt(
        self, folder: Path, name: str, frames: dict[str, Frame], files: Sorted
    ) -> nbformat.NotebookNode:
        """A submitted notebook in the released frame.

        Parameters
        ----------
        folder : Path
            What was handed in.
        name : str
            The notebook's, without ending.
        frames : dict of str to Frame
            Those of all notebooks.
        files : Sorted
            The files of the folder.
        """
        frame = frames[name]
        try:
            if _linked(folder):
                raise UnreadableError("the submitted folder is a link")
            handed_in = renamed.find(
                folder, name, {*frames}, frame.known, frame.source.cells, self.caps
            )
        except UnreadableError as error:
            self.log.error("%s: %s", folder, error)
            return unread_notebook(
                frame.known, _notes_on_files(files), frame.kernelspec, str(error)
            )
        rebuilt = rebuild(handed_in, frame.known, frame.source.cells)
        rebuilt.notes += _notes_on_files(files, handed_in.name)
        for note in rebuilt.notes:
            self.log.warning("%s: %s", folder, note)
        return notebook(rebuilt, frame.kernelspec)

    def _released(self, source: str) -> str:
        """A source without hidden tests and mark scheme."""
        return released(source, self)


def rebuilt_by(converter: Autograde) -> dict[str, nbformat.NotebookNode]:
    """The notebooks that were rebuilt before the converter began; see `one.py`."""
    rebuilt: dict[str, nbformat.NotebookNode] = getattr(converter, "rebuilt", {})
    return rebuilt


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
