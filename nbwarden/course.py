"""An nbgrader course directory: what was handed in, what is remembered, and the lock on it."""

from __future__ import annotations

import fcntl
import glob
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from sqlalchemy import Engine
from traitlets.config import Config

from nbwarden import records
from nbwarden.one import open_course
from nbwarden.records import Record


class BatchError(RuntimeError):
    """Grading cannot go on; the text says why, and what to do. What was graded is kept."""


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
        with records.opened(self.db_url, self.api.coursedir.course_id) as engine:
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
            return records.records(connection, assignment)

    # -------- generating

    def generate(self, assignment: str) -> None:
        """Run `nbgrader generate_assignment`; RuntimeError with nbgrader's reason if it fails."""
        result = self.api.generate_assignment(assignment)
        if not result["success"]:
            reason = _last_error(result)
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

    def generate_if_changed(self, engine: Engine, assignment: str, content: str) -> None:
        """Have the gradebook know the assignment as it is now, and leave what is released."""
        with engine.begin() as connection:
            known = records.content(connection, records.GENERATED, assignment) == content
            if not known:  # until it is done, nobody knows
                records.set_content(connection, records.GENERATED, assignment, None)
        with self.gradebook as gradebook:
            try:
                gradebook.find_assignment(assignment)
            except MissingEntry:
                known = False
        if not known:
            with tempfile.TemporaryDirectory(prefix="nbw-release-") as elsewhere:
                aside = deepcopy(self.config)
                aside.CourseDirectory.release_directory = elsewhere
                Course(aside).generate(assignment)
            with engine.begin() as connection:
                records.set_content(connection, records.GENERATED, assignment, content)

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


def _last_error(done: dict[str, Any]) -> str:
    """The last error nbgrader logged before it gave up, in one line."""
    text = done.get("log", "") + "\n" + done.get("error", "")
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    errors = [
        line.strip()
        for line in text.splitlines()
        if re.match(r"\s*[\w.]*(Error|Exception)\b", line) and "Please see the" not in line
    ]
    last = errors[-1] if errors else (text.strip().splitlines() or ["unknown error"])[-1]
    return last[:200]
