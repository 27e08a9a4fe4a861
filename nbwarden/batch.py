"""Grade many submissions: executed in parallel, none able to stop another; one writer of marks."""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import time
import traceback
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nbgrader.converters import Autograde
from sqlalchemy import Engine

from nbwarden import folders, records, source
from nbwarden.course import BatchError, Course
from nbwarden.execute import Assignment, Executed, Submission, execute, not_run
from nbwarden.files import Welcome
from nbwarden.folders import Entry
from nbwarden.handed_in import NO_NOTEBOOK
from nbwarden.intake import Intake
from nbwarden.one import Converters
from nbwarden.outcomes import CourseFault, Graded, Outcome, Trouble, Unreadable
from nbwarden.records import Record
from nbwarden.sandbox import Sandbox
from nbwarden.solution import Trial
from nbwarden.source import Frame
from nbwarden.workers import Lost, Pool, home

#: When so many submissions in a row fail by no fault of theirs, it is no use to go on.
IN_A_ROW = 3

_EXECUTE = partial(execute, warm=True)
_LOG = logging.getLogger("nbwarden")


@dataclass(frozen=True)
class Finished:
    """What became of one submission.

    `status` is "graded", "unchanged" (graded before, and the same files), "unreadable" (no points),
    "course fault" or "trouble" (no mark was touched; it is tried again next time). `reason` says
    why; of what was graded, it says which cells were missing, and is empty if none was.
    """

    assignment: str
    student: str
    status: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Work:
    """An assignment whose submissions are graded.

    `version` is another one if its files or its due date are.
    """

    assignment: Assignment
    name: str
    version: str
    frames: Mapping[str, Frame]
    intake: Intake
    welcome: Welcome

    @classmethod
    def of(cls, course: Course, engine: Engine, name: str) -> Work:
        """An assignment, generated if it has changed; CourseError if it cannot be graded."""
        coursedir, intake = course.api.coursedir, Intake(parent=course.api, config=course.config)
        intake.look_at_source(coursedir, name)
        assignment = intake.assignment(coursedir, name)
        course.generate_if_changed(engine, name, assignment.key)
        with course.gradebook as gradebook:
            frames = intake.frames(gradebook, source.folder(coursedir, name), name)
            due = gradebook.find_assignment(name).duedate  # penalties hang on it
        excluded = Autograde(coursedir=coursedir, parent=course.api).exclude_overwriting
        beside = [entry.name for entry in assignment.files]
        return cls(
            assignment=assignment,
            name=name,
            version=hashlib.sha256(f"{assignment.key} {due}".encode()).hexdigest(),
            frames=frames,
            intake=intake,
            welcome=intake.welcome(frames, beside, excluded.get(name, [])),
        )


@dataclass(frozen=True)
class Task:
    """One submission on its way; `submission` is rebuilt, `handed_in` names what it was made of."""

    work: Work
    student: str
    handed_in: str
    submission: Submission


#: A task with what its executor takes.
Job = tuple[Task, tuple[Assignment, Submission]]


class Run:
    """One run over the submissions of some assignments: iterate over it for what became of them.

    Parameters
    ----------
    course : Course
    assignments : list of str
        Of which every submission is graded that is new or has changed.
    pool : Pool
        What executes them: `LocalPool(...)`, for one.
    force : bool
        Grade again what was graded before and has not changed since.

    Attributes
    ----------
    total : int
        How many submissions there are.
    """

    def __init__(
        self, course: Course, assignments: list[str], pool: Pool, *, force: bool = False
    ) -> None:
        self.course, self.pool, self.force = course, pool, force
        self.students = {name: course.submissions(name) for name in assignments}
        self.total = sum(map(len, self.students.values()))
        Sandbox(config=course.config).check()  # before anything is changed
        self._settled: list[Finished] = []  # without any work
        self._failures: list[Outcome] = []  # in a row
        self._has_graded = False

    def __iter__(self) -> Iterator[Finished]:
        with (
            self.course.alone(),
            records.explained(self.course.db_url),
            self.course.opened() as engine,
            home() as place,
        ):
            self.converters = Converters(self.course.config, self.course.db_url, place / "c")
            works = [Work.of(self.course, engine, name) for name in self.students]
            self._try_solutions(engine, works)
            for task, result in self.pool.run(_EXECUTE, self._jobs(engine, works)):
                yield from self._say_settled()
                yield self._finish(engine, task, result)
            yield from self._say_settled()

    def _say_settled(self) -> Iterator[Finished]:
        settled, self._settled = self._settled, []
        yield from settled

    def _try_solutions(self, engine: Engine, works: list[Work]) -> None:
        """CourseError if an assignment's own solution fails."""
        trials = (Trial(engine, work.name, work.assignment, work.frames) for work in works)
        jobs = [(t, (t.assignment, t.submission)) for t in trials if not t.passed]
        if jobs and works[0].intake.try_solution:
            for trial, result in self.pool.run(_EXECUTE, jobs):
                trial.judge(result)

    def _jobs(self, engine: Engine, works: list[Work]) -> Iterator[Job]:
        """The jobs there are, made one by one as workers ask for them."""
        for work in works:
            with engine.begin() as connection:
                done = records.records(connection, work.name)
                if self.force:  # if this run is killed, the next one goes on where it was
                    records.forget(connection, work.name)
                    done = {}
            self.converters.begin(work.name, source.folder(self.course.api.coursedir, work.name))
            for student in self.students[work.name]:
                if not _fit_for_nbgrader(student):
                    reason = "nbgrader cannot work with the name of the student's folder; rename it"
                    self._settled.append(Finished(work.name, student, "trouble", reason))
                    continue
                files = self._packed(work, student)
                handed_in = folders.checksum(files)
                record = done.get(student)
                if record and self._stands(record, handed_in, work, student):
                    self._settled.append(_remembered(record, work.name, student))
                    continue
                submission = self._rebuilt(work, student, files)
                yield Task(work, student, handed_in, submission), (work.assignment, submission)

    def _packed(self, work: Work, student: str) -> tuple[Entry, ...]:
        """What was handed in."""
        path = self.course.path("submitted", student, work.name)
        if path.parent.is_symlink():
            path = path.parent
        return folders.pack(path, work.welcome.sort(path).taken)

    def _rebuilt(self, work: Work, student: str, files: tuple[Entry, ...]) -> Submission:
        """A submission as it is executed. It is made of a copy, which nobody changes meanwhile."""
        folder = self.converters.submitted(student, work.name)
        folders.unpack(files, folder)
        if not folder.is_symlink() and not any(folder.glob("*.ipynb")):
            (folder / NO_NOTEBOOK).touch()
        sorted_files = work.welcome.sort(folder)
        taken = {name for name in sorted_files.taken if not name.lower().endswith(".ipynb")}
        notebooks = {
            name: work.intake.rebuilt(folder, name, dict(work.frames), sorted_files)
            for name in work.frames
        }
        return Submission(notebooks, tuple(entry for entry in files if entry.name in taken))

    def _stands(self, record: Record, handed_in: str, work: Work, student: str) -> bool:
        """Whether a submission was graded as it is now, and what came of it is still there."""
        return (record.handed_in, record.source) == (handed_in, work.version) and all(
            self.course.path(step, student, work.name).is_dir()
            for step in ("autograded", "feedback")
        )

    # -------- what came of it

    def _finish(
        self, engine: Engine, task: Task, result: Executed | CourseFault | Trouble | Lost
    ) -> Finished:
        """Write down what came of a submission, if that is its own doing."""
        started = time.perf_counter()
        try:
            outcome = self._outcome(engine, task, result)
        finally:
            self.converters.clear(task.student)
        seconds = time.perf_counter() - started
        seconds += result.seconds if isinstance(result, Executed) else 0
        name, student = task.work.name, task.student
        _log(outcome, f"{name}, {student}")
        if isinstance(outcome, (Graded, Unreadable)):
            self._failures.clear()
            self._has_graded = True
            record = Record(
                task.handed_in, task.work.version, outcome.status, outcome.reason, seconds
            )
            with engine.begin() as connection:
                records.remember(connection, name, student, record)
        elif isinstance(outcome, Trouble) or not self._has_graded:
            # a judge that failed on a few answers must not stop the others
            self._failures.append(outcome)
            if len(self._failures) == IN_A_ROW:
                raise BatchError(
                    f"{IN_A_ROW} submissions in a row could not be graded, and not by any fault of "
                    f"theirs; {student}, {name}: {outcome.reason}. What was graded before is kept; "
                    "put this right and run the same command again to go on."
                )
        return Finished(name, student, outcome.status, outcome.reason, seconds)

    def _outcome(
        self, engine: Engine, task: Task, result: Executed | CourseFault | Trouble | Lost
    ) -> Outcome:
        notebooks = task.submission.notebooks
        if isinstance(result, (CourseFault, Trouble)):
            return result
        if isinstance(result, Lost):
            outputs = {name: not_run(nb, result.reason) for name, nb in notebooks.items()}
            outcome: Outcome = Unreadable(result.reason)
        else:
            outputs = dict(result.outputs)
            outcome = _about(notebooks)
        try:
            return self._written(engine, task, outputs, outcome)
        except OSError as error:
            raise BatchError(
                f"{error.filename or 'a file'} cannot be written: {error.strerror or error}. What "
                "was graded before is kept; make room and run the same command again to go on."
            ) from error

    def _written(
        self, engine: Engine, task: Task, outputs: dict[str, Any], outcome: Outcome
    ) -> Outcome:
        """Have nbgrader write marks and pages, and put them in their place.

        Until all of it is done, nothing is remembered: who is killed on the way begins again.
        """
        name, student = task.work.name, task.student
        with engine.begin() as connection:
            records.forget(connection, name, student)
        rebuilt = task.submission.notebooks
        try:
            graded = self.converters.autograde(student, name, rebuilt, outputs)
        except Exception as error:
            return Trouble(f"its marks could not be written: {self._bug(error)}", _trace(error))
        folders.put(graded, self.course.path("autograded", student, name))
        pages = self.course.path("feedback", student, name)
        try:
            folders.put(self.converters.feedback(student, name, rebuilt), pages)
        except Exception as error:  # which costs no point, and is tried again next time
            folders.discard(pages)
            reason = f"it has its marks, and no feedback page: {self._bug(error)}"
            return replace(outcome, reason=reason, trace=_trace(error))
        return outcome

    def _bug(self, error: Exception) -> str:
        """What failed, as a text, if it is a program; raises it again if it is the machine."""
        with records.explained(self.course.db_url):
            if records.of_database(error) or isinstance(error, OSError):
                raise error
        return f"{type(error).__name__}: {error}"


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _about(notebooks: Mapping[str, Any]) -> Outcome:
    """What is known of a submission from its rebuilt notebooks."""
    remarks = []
    for notebook in notebooks.values():
        about = notebook.metadata.get("nbwarden", {})
        if "unreadable" in about:
            return Unreadable(about["unreadable"])
        remarks += [about["remark"]] if "remark" in about else []
    return Graded("; ".join(remarks))


def _log(outcome: Outcome, what: str) -> None:
    """Log the traceback of a program that failed and is not the student's."""
    if outcome.trace:
        _LOG.error("%s: %s\n%s", what, outcome.reason, outcome.trace)


def _fit_for_nbgrader(student: str) -> bool:
    """Whether nbgrader finds a folder of this name, and a database and a terminal can take it.

    nbgrader takes the name for a pattern, and one with brackets does not match itself.
    """
    odd = any(unicodedata.category(character) in ("Cc", "Cs") for character in student)
    return not odd and fnmatch.fnmatchcase(student, student)


def _remembered(record: Record, assignment: str, student: str) -> Finished:
    """What became of a submission that was not graded again."""
    status = "unchanged" if record.status == "graded" else record.status
    return Finished(assignment, student, status, record.reason, record.seconds)
