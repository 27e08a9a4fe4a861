"""Grade many submissions: in parallel, none able to stop another, one writer for the marks."""

from __future__ import annotations

import fcntl
import fnmatch
import glob
import hashlib
import os
import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from traitlets.config import Config

from nbwarden import folders, transfer
from nbwarden.files import Welcome
from nbwarden.folders import Entry
from nbwarden.intake import Intake
from nbwarden.sandbox import Sandbox
from nbwarden.task import Package, Result, Task, open_course, run, said
from nbwarden.transfer import Record
from nbwarden.workers import GRADING, LocalPool, Lost

#: When so many submissions in a row meet trouble on our side, it is no use to go on.
IN_A_ROW = 3

#: A package and a task, as workers take them.
Job = tuple[Package, Task]


@dataclass(frozen=True)
class Outcome:
    """What became of one submission.

    `status` is "graded", "unchanged" (graded before, and the same files), "unreadable" (no valid
    notebook), "failed" (nbgrader gave up on it) or "lost" (by trouble on our side: a worker that
    died, no disk space; it is tried again next time). `reason` says why, for the last three; for
    the others it says which cells were missing, and is empty if none was.
    """

    assignment: str
    student: str
    status: str
    reason: str = ""
    seconds: float = 0.0


class BatchError(RuntimeError):
    """Grading cannot go on; the text says why, and what to do. What was graded is kept."""


class Pool(Protocol):
    """What runs the jobs: processes on this machine, or a cluster."""

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Result | Lost]]:
        """Do all jobs; each comes back with its result as soon as it is there."""
        ...


def grade_job(job: Job) -> Result:
    """What a worker does."""
    return run(*job)


def local_pool(count: int = 0) -> LocalPool[Job, Result]:
    """Workers on this machine, one for each processor if `count` is 0."""
    return LocalPool(grade_job, count, GRADING)


class Course:
    """An nbgrader course directory, opened with its configuration.

    Parameters
    ----------
    config : traitlets Config
        As loaded from `nbgrader_config.py`; `CourseDirectory.root` must be set.

    Raises
    ------
    FileNotFoundError
        If the root is not a directory.
    """

    def __init__(self, config: Config) -> None:
        root = Path(config.CourseDirectory.root)
        if not root.is_dir():
            raise FileNotFoundError(f"the course directory {root} does not exist")
        self.config = deepcopy(config)
        self.api = open_course(config)
        self.root = root

    # -------- what there is

    @property
    def gradebook(self) -> Gradebook:
        """The gradebook; close it when done."""
        return Gradebook(self.db_url, self.api.coursedir.course_id)

    @property
    def db_url(self) -> str:
        """Where the gradebook is."""
        return str(self.api.coursedir.db_url)

    @contextmanager
    def opened(self) -> Iterator[Engine]:
        """The gradebook's database, for what nbgrader has no words for."""
        with transfer.opened(self.db_url, self.api.coursedir.course_id) as engine:
            yield engine

    def path(self, step: str, student: str, assignment: str) -> Path:
        """The folder of a student's assignment in a step: "submitted", "autograded", "feedback"."""
        directory = getattr(self.api.coursedir, f"{step}_directory")
        return Path(self.api.coursedir.format_path(directory, student, assignment))

    def submissions(self, assignment: str) -> list[str]:
        """The students who handed in `assignment`, sorted."""
        coursedir = self.api.coursedir
        directory = coursedir.submitted_directory
        regex = coursedir.format_path(directory, "(?P<student>.*)", assignment, escape=True)
        students = set()
        for pattern in ("*", ".*"):  # nbgrader passes over names that begin with a dot
            for path in glob.glob(coursedir.format_path(directory, pattern, assignment)):
                match = re.fullmatch(regex, path, re.DOTALL)
                if match and os.path.isdir(path) and match["student"] != ".ipynb_checkpoints":
                    students.add(match["student"])
        return sorted(students)

    def submitted_assignments(self) -> list[str]:
        """The assignments that at least one student handed in, sorted."""
        folders = self.path("submitted", "*", "*")
        return sorted({path.name for path in self.root.glob(str(folders.relative_to(self.root)))})

    def records(self, assignment: str) -> dict[str, Record]:
        """How grading went, by student, as far as it was done by this package."""
        with self.opened() as engine, engine.begin() as connection:
            found = transfer.records(connection, assignment)
        return {student: record for student, (_, record) in found.items()}

    # -------- generating

    def generate(self, assignment: str) -> None:
        """Run `nbgrader generate_assignment`; RuntimeError with nbgrader's reason if it fails."""
        result = self.api.generate_assignment(assignment)
        if not result["success"]:
            reason = said(result)
            if "Cannot add or remove cells" in reason:
                reason = self._on_other_cells(assignment)
            raise RuntimeError(f"{assignment} could not be generated: {reason}")

    def _on_other_cells(self, assignment: str) -> str:
        """What to do where nbgrader refuses other cells than those that were graded."""
        sqlite = self.db_url.startswith("sqlite")
        database = f" {shlex.quote(f'--db={self.db_url}')}" if sqlite else ""
        return (
            "cells that nbgrader knows were added, removed or renamed, and the gradebook has "
            "submissions with the cells as they were. Either make the cells again what they were, "
            "or remove the assignment from the gradebook and run the same command again:\n"
            f"    nbgrader db assignment remove {shlex.quote(assignment)} --force{database}\n"
            "Then every submission is graded anew. What is lost: marks and comments given by hand "
            "(`nbgrader export` writes the marks into a file), and the due date. Who handed in "
            "before gets no points for a new cell."
        )

    def _source(self, assignment: str) -> Path:
        directory = self.api.coursedir.source_directory
        return Path(self.api.coursedir.format_path(directory, ".", assignment))

    def _source_files(self, assignment: str) -> tuple[Entry, ...]:
        """The instructor's files of an assignment, as nbgrader sees them."""
        folder = self._source(assignment)
        kept = utils.find_all_files(str(folder), self.api.coursedir.ignore)
        names = {Path(path).relative_to(folder).as_posix() for path in kept}
        return tuple(entry for entry in folders.pack(folder) if entry.name in names)

    def _generate_if_changed(self, engine: Engine, assignment: str, source: str) -> None:
        """Have the gradebook know the assignment as it is now."""
        with transfer.explained(self.db_url), engine.begin() as connection:
            known = transfer.generated(connection, assignment) == source
            if not known:  # until it is done, nobody knows
                transfer.set_generated(connection, assignment, None)
        with transfer.explained(self.db_url), self.gradebook as gradebook:
            try:
                gradebook.find_assignment(assignment)
            except MissingEntry:
                known = False
        if not known:
            self.generate(assignment)
            with transfer.explained(self.db_url), engine.begin() as connection:
                transfer.set_generated(connection, assignment, source)

    # -------- grading

    def grade(self, assignments: list[str], pool: Pool, *, force: bool = False) -> Run:
        """Prepare to grade every submission of these assignments that is new or has changed.

        Parameters
        ----------
        assignments : list of str
        pool : Pool
            What does the work: `local_pool(...)`, for one.
        force : bool
            Grade again what was graded before and has not changed since.

        Returns
        -------
        Run
            An iterator over the outcomes, which knows how many there will be.
        """
        return Run(self, assignments, pool, force)

    def package(self, connection: Any, assignment: str, source: tuple[Entry, ...]) -> Package:
        """What all submissions of an assignment share."""
        rows = transfer.assignment_rows(connection, assignment)
        names = tuple(sorted(row["name"] for row in rows["notebook"]))
        due = "".join(str(row["duedate"]) for row in rows["assignment"])  # penalties hang on it
        version = hashlib.sha256(f"{folders.checksum(source)} {due}".encode()).hexdigest()
        key = f"{assignment}-{version}"
        return Package(key, assignment, self.config, source, rows, names)

    def welcome(self, package: Package) -> Welcome:
        """Which files of a submission are of use to whoever grades it."""
        excluded = Autograde(coursedir=self.api.coursedir, parent=self.api).exclude_overwriting
        source_files = (e.name for e in package.source if not e.name.endswith(".ipynb"))
        return Intake(config=self.config).welcome(
            package.notebooks, source_files, excluded.get(package.assignment, [])
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second run on the same class from starting; BatchError if this one is it."""
        path = self.root / ".nbwarden.lock"
        try:
            handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise BatchError(f"{path} cannot be written: {error.strerror}") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BatchError(
                    f"another run is grading {self.root} at this moment; wait until it is done"
                ) from None
            yield
        finally:
            os.close(handle)


class Run:
    """One run over the submissions of some assignments: iterate over it for the outcomes.

    `total` is the number of outcomes that will come.
    """

    def __init__(self, course: Course, assignments: list[str], pool: Pool, force: bool) -> None:
        self.course, self.pool, self.force = course, pool, force
        self.students = {name: course.submissions(name) for name in assignments}
        self.total = sum(map(len, self.students.values()))
        Sandbox(config=course.config).check()  # before anything is changed
        self._settled: list[Outcome] = []  # without any work
        self._troubles = 0  # in a row

    def __iter__(self) -> Iterator[Outcome]:
        with self.course.alone(), self.course.opened() as engine:
            work = self.pool.run(self._jobs(engine))
            for job, result in work:
                yield from self._say_settled()
                yield self._finish(engine, *job, result)
            yield from self._say_settled()

    def _say_settled(self) -> Iterator[Outcome]:
        settled, self._settled = self._settled, []
        yield from settled

    def _jobs(self, engine: Engine) -> Iterator[Job]:
        """The jobs there are, made one by one as workers ask for them."""
        db_url = self.course.db_url
        for assignment, students in self.students.items():
            source = self.course._source_files(assignment)
            self.course._generate_if_changed(engine, assignment, folders.checksum(source))
            with transfer.explained(db_url), engine.begin() as connection:
                package = self.course.package(connection, assignment, source)
                version = package.key.rpartition("-")[2]
                welcome = self.course.welcome(package)
                done = transfer.records(connection, assignment)
                if self.force:  # if this run is killed, the next one goes on where it was
                    transfer.forget(connection, [submission for submission, _ in done.values()])
                    done = {}
            for student in students:
                if not _fit_for_nbgrader(student):
                    reason = "nbgrader cannot work with the name of the student's folder; rename it"
                    self._settled.append(Outcome(assignment, student, "lost", reason))
                    continue
                path = self.course.path("submitted", student, assignment)
                if path.parent.is_symlink():
                    path = path.parent
                files = folders.pack(path, welcome.sort(path).taken)
                handed_in = folders.checksum(files)
                _, record = done.get(student, ("", None))
                if record and self._stands(record, handed_in, version, assignment, student):
                    self._settled.append(_remembered(record, assignment, student))
                    continue
                with transfer.explained(db_url), engine.begin() as connection:
                    rows = transfer.submission_rows(connection, assignment, student)
                yield package, Task(assignment, student, files, handed_in, rows)

    def _stands(
        self, record: Record, handed_in: str, version: str, assignment: str, student: str
    ) -> bool:
        """Whether a submission was graded as it is now, and what came of it is still there."""
        known = record.status != "failed" and (record.handed_in, record.source)
        return known == (handed_in, version) and all(
            self.course.path(step, student, assignment).is_dir()
            for step in ("autograded", "feedback")
        )

    def _finish(
        self, engine: Engine, package: Package, task: Task, result: Result | Lost
    ) -> Outcome:
        """Put what came back where it belongs: first the folders, then the gradebook."""
        assignment, student = task.assignment, task.student
        if isinstance(result, Lost) or result.status == "trouble":
            self._troubles += 1
            if self._troubles >= IN_A_ROW:
                raise BatchError(
                    f"{self._troubles} submissions in a row could not be graded, and not by any "
                    f"fault of theirs; {student}, {assignment}: {result.reason}. What was graded "
                    "before is kept; put this right and run the same command again to go on."
                )
            return Outcome(assignment, student, "lost", result.reason)
        self._troubles = 0
        try:
            for step in ("autograded", "feedback"):
                entries, path = getattr(result, step), self.course.path(step, student, assignment)
                if entries:
                    folders.put(entries, path)
                else:
                    folders.discard(path)
        except OSError as error:
            raise BatchError(
                f"{path} cannot be written: {error.strerror or error}. What was graded before is "
                "kept; make room and run the same command again to go on."
            ) from error
        source = package.key.rpartition("-")[2]
        record = Record(task.handed_in, source, result.status, result.reason, result.seconds)
        with transfer.explained(self.course.db_url):
            try:
                with engine.begin() as connection:
                    transfer.merge(connection, task.rows, result.rows, record)
            except IntegrityError:  # somebody else made the same submission's rows meanwhile
                reason = "the gradebook was changed by another program meanwhile; grade it again"
                return Outcome(assignment, student, "lost", reason, result.seconds)
        return Outcome(assignment, student, result.status, result.reason, result.seconds)


def _fit_for_nbgrader(student: str) -> bool:
    """Whether nbgrader finds a folder of this name, and a database and a terminal can take it.

    nbgrader takes the name for a pattern, and one with brackets does not match itself.
    """
    odd = any(unicodedata.category(character) in ("Cc", "Cs") for character in student)
    return not odd and fnmatch.fnmatchcase(student, student)


def _remembered(record: Record, assignment: str, student: str) -> Outcome:
    """The outcome of a submission that was not graded again."""
    status = "unchanged" if record.status == "graded" else record.status
    return Outcome(assignment, student, status, record.reason, record.seconds)
