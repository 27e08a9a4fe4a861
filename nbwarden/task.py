"""One submission, graded: all that is needed goes in as a value, all that came of it comes out.

A task reads nothing of the course's folders and writes nothing to them, so it runs as well in
another process as on another machine. What does the work is nbgrader itself, in a folder and a
gradebook of the task's own.
"""

from __future__ import annotations

import ast
import atexit
import json
import logging
import re
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import scoped_session, sessionmaker
from traitlets.config import Config

from nbwarden import canonical, folders, transfer
from nbwarden.folders import Entry
from nbwarden.handed_in import NO_NOTEBOOK
from nbwarden.transfer import Rows
from nbwarden.warm import WARM


@dataclass(frozen=True)
class Package:
    """What all submissions of an assignment share.

    `key` names the content: a worker unpacks the same package once.
    """

    key: str
    assignment: str
    config: Config
    source: tuple[Entry, ...]
    rows: Rows
    notebooks: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One student's submission: what was handed in, and what the gradebook knows of it."""

    assignment: str
    student: str
    files: tuple[Entry, ...]
    handed_in: str
    rows: Rows


@dataclass(frozen=True)
class Result:
    """What came of a task.

    `status` is "graded", "unreadable" (no valid notebook; no points), "failed" (nbgrader gave up
    on it; no points) or "trouble" (nothing was learned about the submission: no disk space, say).
    `reason` says why; of what was graded, it says which cells were missing.
    """

    status: str
    reason: str = ""
    seconds: float = 0.0
    rows: Rows = field(default_factory=dict)
    autograded: tuple[Entry, ...] = ()
    feedback: tuple[Entry, ...] = ()


_SCRATCH = "nbw-task-"
#: Words in nbgrader's log that say the machine, not the submission, is at fault.
_TROUBLE = re.compile(
    r"grading refused: (?P<refused>.+)"
    r"|SandboxError: (?P<sandbox>.+)"
    r"|(?P<room>\[Errno (?:27|28|122)\].*|.*database or disk is full.*)"
    r"|(?P<memory>\[Errno (?:11|12|23|24)\].*|^MemoryError.*)",
    re.MULTILINE,
)


def run(package: Package, task: Task) -> Result:
    """Grade one submission with nbgrader, and write its feedback."""
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, ignore_cleanup_errors=True) as scratch:
            result = _run(package, task, Path(scratch))
    except OSError as error:  # outside nbgrader, which catches all
        result = Result("trouble", f"{type(error).__name__}: {error}")
    except Exception:
        result = Result("trouble", traceback.format_exc().strip().splitlines()[-1])
    return Result(**{**vars(result), "seconds": time.perf_counter() - started})


def _run(package: Package, task: Task, root: Path) -> Result:
    assignment, student = task.assignment, task.student
    home = _unpacked(package)
    db_url = _own_gradebook(home, task.rows)
    config = _own_config(package.config, root, home, db_url)
    if sys.platform.startswith("linux"):
        if WARM.key != package.key:
            WARM.begin(package.key, _imports(package), home / package.assignment)
        WARM.use()
    course = open_course(config)
    submitted = Path(course.coursedir.format_path("submitted", student, assignment))
    folders.unpack(task.files, submitted)
    if not submitted.is_symlink() and not any(submitted.glob("*.ipynb")):
        (submitted / NO_NOTEBOOK).touch()
    for step in (course.autograde, course.generate_feedback):
        done = step(assignment, folders.literal(student), force=True)  # nbgrader takes a pattern
        if not done["success"]:
            trouble = _trouble(done)
            if trouble:
                return Result("trouble", trouble)
            return Result("failed", said(done), rows=_void(db_url, package, task))
    found = [
        folders.pack(Path(course.coursedir.format_path(step, student, assignment)))
        for step in ("autograded", "feedback")
    ]
    autograded = Path(course.coursedir.format_path("autograded", student, assignment))
    status, reason = _about(autograded, package)
    return Result(status, reason, 0.0, _rows(db_url, assignment, student), *found)


def _imports(package: Package) -> list[str]:
    """The modules that the instructor's cells import, as far as they are no files of theirs."""
    found: dict[str, None] = {}
    own = {entry.name.removesuffix(".py") for entry in package.source}
    for entry in package.source:
        if entry.name.endswith(".ipynb"):
            cells = nbformat.reads(entry.content.decode(), as_version=4).cells
            for statement in canonical.imports_of(cells):
                node = ast.parse(statement).body[0]
                if isinstance(node, ast.Import):
                    found.update(dict.fromkeys(name.name for name in node.names))
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found[node.module] = None
    return [name for name in found if name.partition(".")[0] not in own]


def _about(autograded: Path, package: Package) -> tuple[str, str]:
    """What is known of a submission from its notebooks: its status, and the reason or a remark."""
    remarks = []
    for name in package.notebooks:
        path = autograded / f"{name}.ipynb"
        about = json.loads(path.read_text("utf-8"))["metadata"].get("nbwarden", {})
        if "unreadable" in about:
            return "unreadable", about["unreadable"]
        remarks += [about["remark"]] if "remark" in about else []
    return "graded", "; ".join(remarks)


def _void(db_url: str, package: Package, task: Task) -> Rows:
    """The submission's rows with no points: no older mark stands for what could not be graded."""
    with _quiet(), Gradebook(db_url, package.config.CourseDirectory.course_id or "") as gradebook:
        gradebook.update_or_create_student(task.student)
        submission = gradebook.update_or_create_submission(task.assignment, task.student)
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                grade.auto_score, grade.manual_score, grade.extra_credit = 0, None, None
                grade.needs_manual_grade = False
        gradebook.db.commit()
    return _rows(db_url, task.assignment, task.student)


def _rows(db_url: str, assignment: str, student: str) -> Rows:
    with _engines[db_url].connect() as connection:
        return transfer.submission_rows(connection, assignment, student)


# ---------------------------------------------------------------- nbgrader


def open_course(config: Config) -> NbGraderAPI:
    """Nbgrader's API on a course, which says nothing on the terminal."""
    config = deepcopy(config)
    config.NbGraderAPI.log_level = "ERROR"
    with redirect_stderr(StringIO()):  # it complains if there is no exchange; none is needed
        course = NbGraderAPI(config=config)
    # nbgrader 0.9.6 makes SQLAlchemy warn at each new submission; nothing is wrong
    warnings.filterwarnings("ignore", category=SAWarning)
    course.log.propagate = False
    course.log.handlers.clear()
    return course


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        yield


def _own_config(config: Config, root: Path, source: Path, db_url: str) -> Config:
    """The course's configuration, in a folder of the task's own."""
    own = deepcopy(config)
    own.CourseDirectory.root = str(root)
    own.CourseDirectory.db_url = db_url
    own.CourseDirectory.source_directory = str(source)
    for step in ("submitted", "autograded", "feedback", "release"):
        own.CourseDirectory[f"{step}_directory"] = step
    own.CourseDirectory.pop("directory_structure", None)
    return own


_packages: dict[str, Path] = {}
_engines: dict[str, Engine] = {}


def _own_gradebook(home: Path, rows: Rows) -> str:
    """Put a fresh gradebook for one task where that of the task before was; its URL."""
    folder = home / f"{_SCRATCH}gradebook"
    path = folder / "gradebook.db"
    db_url = f"sqlite:///{path}"
    if db_url not in _engines:
        _engines[db_url] = create_engine(db_url)
    _engines[db_url].dispose()  # what is connected still sees the file of the task before
    shutil.rmtree(folder, ignore_errors=True)  # with whatever a task that failed has left
    folder.mkdir()
    transfer.small_gradebook(path, home / "gradebook.db", rows, _engines[db_url])
    return db_url


_open = Gradebook.__init__


def _open_at_once(
    self: Gradebook, db_url: str, course_id: str = "default_course", authenticator: Any = None
) -> None:
    """Open a gradebook; that of a task, without looking whether it is one.

    nbgrader opens a dozen for each submission. Each looks for all its tables, and compiles the
    same statements anew; those of tasks share an engine, which knows them from the task before.
    """
    if db_url not in _engines:
        _open(self, db_url, course_id, authenticator)
        return
    self.engine = _engines[db_url]
    self.db = scoped_session(sessionmaker(autoflush=True, bind=self.engine, future=True))
    self.course_id, self.authenticator = course_id, authenticator


setattr(Gradebook, "__init__", _open_at_once)  # noqa: B010  (mypy refuses an assignment)


@event.listens_for(Engine, "connect")
def _no_waiting_for_the_disk(connection: Any, _: Any) -> None:
    """A gradebook that lives as long as one task need not survive a power cut."""
    if isinstance(connection, sqlite3.Connection):
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        if Path(file).parent.name.startswith(_SCRATCH):
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = MEMORY")


def _unpacked(package: Package) -> Path:
    """A folder with the instructor's files and a gradebook, for all tasks of this package.

    A process has one at a time.
    """
    if package.key not in _packages or not _packages[package.key].is_dir():
        _drop_packages()
        folder = Path(tempfile.mkdtemp(prefix="nbw-package-"))
        folders.unpack(package.source, folder / package.assignment)
        transfer.make_template(folder / "gradebook.db", package.rows)
        _packages[package.key] = folder
    return _packages[package.key]


@atexit.register
def _drop_packages() -> None:
    _engines.clear()
    for folder in _packages.values():
        shutil.rmtree(folder, ignore_errors=True)
    _packages.clear()


def _trouble(done: dict[str, Any]) -> str:
    """What is wrong with this machine, if that is why a step failed."""
    found = _TROUBLE.search(_log(done))
    if not found:
        return ""
    if found["refused"]:
        return f"refused: {found['refused'].strip()}"
    if found["room"]:
        return f"no room: {found['room'].strip()[:200]} (in {tempfile.gettempdir()})"
    return found[0].strip()[:200]


def said(done: dict[str, Any]) -> str:
    """The last error nbgrader logged before it gave up, in one line."""
    text = _log(done)
    errors = [
        line.strip()
        for line in text.splitlines()
        if re.match(r"\s*[\w.]*(Error|Exception)\b", line) and "Please see the" not in line
    ]
    last = errors[-1] if errors else (text.strip().splitlines() or ["unknown error"])[-1]
    return last[:200]


def _log(done: dict[str, Any]) -> str:
    text = done.get("log", "") + "\n" + done.get("error", "")
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


logging.getLogger("nbwarden").addHandler(logging.NullHandler())
