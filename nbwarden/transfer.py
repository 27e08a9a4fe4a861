"""Rows of a gradebook on their way: out to where a submission is graded, and back.

A worker gets a small gradebook of its own, with one assignment and one student in it, in which
nbgrader works as ever. What comes back is merged by the one process that writes, each submission
in one transaction together with a record of what was graded. So the gradebook is the only truth
about what is done: there is no other journal.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader import api
from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Engine,
    Float,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

#: Rows by table name, as plain dicts.
Rows = dict[str, list[dict[str, Any]]]

_TABLES: dict[str, Any] = dict(api.Base.metadata.tables)

_OWN = MetaData()
#: Which files of a submission were graded, with which files of the instructor's, and how it went.
GRADED = Table(
    "nbwarden_graded",
    _OWN,
    Column("submission_id", String(32), primary_key=True),
    Column("handed_in", String(64), nullable=False),
    Column("source", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("finished", DateTime, nullable=False),
)
#: With which files each assignment was generated into this gradebook.
GENERATED = Table(
    "nbwarden_generated",
    _OWN,
    Column("assignment", String(128), primary_key=True),
    Column("source", String(64), nullable=False),
)


class GradebookError(RuntimeError):
    """The gradebook cannot be read or written; the text says what to do."""


@dataclass(frozen=True)
class Record:
    """What the gradebook remembers of one graded submission."""

    handed_in: str
    source: str
    status: str
    reason: str = ""
    seconds: float = 0.0


@contextmanager
def opened(db_url: str, course_id: str) -> Iterator[Engine]:
    """The gradebook's database, with this package's own two tables in it.

    Raises
    ------
    GradebookError
        If the database is locked, full, out of reach, or not a gradebook.
    """
    engine = create_engine(db_url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _begin_when_asked)
        event.listen(engine, "begin", _lock_at_once)
    try:
        with explained(db_url), _whole_or_none(engine):
            with api.Gradebook(db_url, course_id):  # in a new one, its own tables come first
                pass
            _OWN.create_all(engine)
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _whole_or_none(engine: Engine) -> Iterator[None]:
    """Leave no file with half of a gradebook's tables."""
    file = Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None
    new = file is not None and not file.exists()
    try:
        yield
    except Exception:
        if new and file is not None:
            file.unlink(missing_ok=True)
        raise


def _begin_when_asked(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver would begin a transaction when it thinks fit


def _lock_at_once(connection: Connection) -> None:
    # a lock taken at the first write could not be had, if somebody else waits for the same
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def explained(db_url: str) -> Iterator[None]:
    """Turn what a database driver says into what a person can do."""
    try:
        yield
    except DBAPIError as error:
        said = (str(error.orig).strip().splitlines() or ["it said nothing"])[0]
        if "locked" in said:
            what = (
                "is locked by another program: wait until it is done, or end it (formgrader, "
                "nbgrader or a database browser may hold it)"
            )
        elif "full" in said or "disk I/O" in said or "too big" in said:
            what = f"cannot grow ({said}): make room on its disk"
        else:
            what = f"cannot be used ({said})"
        shown = db_url.rsplit("@", 1)[-1].removeprefix("sqlite:///")
        raise GradebookError(
            f"the gradebook {shown} {what}. What was graded before is kept; "
            "run the same command again to go on."
        ) from error


# ---------------------------------------------------------------- taking rows out


def assignment_rows(connection: Connection, assignment: str) -> Rows:
    """All that the gradebook knows of an assignment itself: cells, points, due date."""
    found: Rows = {"course": _all(connection, "course")}
    found["assignment"] = _all(connection, "assignment", name=[assignment])
    ids = _ids(found["assignment"])
    found["notebook"] = _all(connection, "notebook", assignment_id=ids)
    ids = _ids(found["notebook"])
    found["source_cell"] = _all(connection, "source_cell", notebook_id=ids)
    found["base_cell"] = _all(connection, "base_cell", notebook_id=ids)
    ids = _ids(found["base_cell"])
    for name in ("grade_cells", "solution_cells", "task_cells"):
        found[name] = _all(connection, name, id=ids)
    return found


def submission_rows(connection: Connection, assignment: str, student: str) -> Rows:
    """All that the gradebook knows of one student's submission; no rows if it knows nothing."""
    table = _TABLES["submitted_assignment"]
    of = _TABLES["assignment"]
    query = (
        select(table)
        .join(of, of.c.id == table.c.assignment_id)
        .where(of.c.name == assignment, table.c.student_id == student)
    )
    found: Rows = {"student": _all(connection, "student", id=[student])}
    found["submitted_assignment"] = [dict(row) for row in connection.execute(query).mappings()]
    ids = _ids(found["submitted_assignment"])
    found["submitted_notebook"] = _all(connection, "submitted_notebook", assignment_id=ids)
    ids = _ids(found["submitted_notebook"])
    for name in ("grade", "comment"):
        found[name] = _all(connection, name, notebook_id=ids)
    return found


def _all(connection: Connection, name: str, /, **only: list[str]) -> list[dict[str, Any]]:
    table = _TABLES[name]
    query = select(table)
    for column, values in only.items():
        query = query.where(table.c[column].in_(values))
    return [dict(row) for row in connection.execute(query).mappings()]


def _ids(found: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in found]


def small_gradebook(path: Path, template: Path, rows: Rows, engine: Engine) -> None:
    """Make a gradebook of one's own at `path`, where `engine` looks: a template, and these rows."""
    shutil.copyfile(template, path)
    with engine.begin() as connection:
        _insert(connection, rows)


def make_template(path: Path, rows: Rows) -> None:
    """Make a gradebook with just these rows at `path`."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        api.Base.metadata.create_all(engine)
        with engine.begin() as connection:
            _insert(connection, rows)
    finally:
        engine.dispose()


def _insert(connection: Connection, rows: Rows) -> None:
    for name in [table.name for table in api.Base.metadata.sorted_tables]:
        if rows.get(name):
            connection.execute(insert(_TABLES[name]), rows[name])


# ---------------------------------------------------------------- putting rows back


def merge(connection: Connection, before: Rows, after: Rows, record: Record) -> None:
    """Write what came back, inside the caller's transaction.

    What a person gave meanwhile, by formgrader say, stands: of a grade that was there before,
    only what grading changes is written, and what a person gives only if grading took it back.
    """
    (submission,) = after["submitted_assignment"]
    if before["submitted_assignment"]:
        was = {row["id"]: row for row in before["grade"]}
        for row in after["grade"]:
            changed = {name: row[name] for name in ("auto_score", "needs_manual_grade")}
            for name in ("manual_score", "extra_credit"):
                if row["id"] in was and row[name] != was[row["id"]][name]:
                    changed[name] = row[name]
            _change(connection, "grade", row, changed)
        for row in after["comment"]:
            _change(connection, "comment", row, {"auto_comment": row["auto_comment"]})
        for row in after["submitted_notebook"]:
            late = row["late_submission_penalty"]
            _change(connection, "submitted_notebook", row, {"late_submission_penalty": late})
        changed = {"timestamp": submission["timestamp"]}
        _change(connection, "submitted_assignment", submission, changed)
    else:
        known = _all(connection, "student", id=_ids(after["student"]))
        _insert(connection, {**after, "student": [] if known else after["student"]})
    forget(connection, [submission["id"]])
    connection.execute(
        insert(GRADED).values(
            submission_id=submission["id"],
            handed_in=record.handed_in,
            source=record.source,
            status=record.status,
            reason=record.reason,
            seconds=record.seconds,
            finished=datetime.now(UTC).replace(tzinfo=None),
        )
    )


def _change(connection: Connection, name: str, row: dict[str, Any], values: dict[str, Any]) -> None:
    table = _TABLES[name]
    connection.execute(update(table).where(table.c.id == row["id"]).values(values))


def forget(connection: Connection, submissions: list[str]) -> None:
    """Remember no more that these were graded: they will be graded again."""
    if submissions:
        connection.execute(GRADED.delete().where(GRADED.c.submission_id.in_(submissions)))


def records(connection: Connection, assignment: str) -> dict[str, tuple[str, Record]]:
    """What is remembered of an assignment: by student, the submission's id and the record."""
    table, of = _TABLES["submitted_assignment"], _TABLES["assignment"]
    query = (
        select(table.c.student_id, GRADED)
        .join(GRADED, GRADED.c.submission_id == table.c.id)
        .join(of, of.c.id == table.c.assignment_id)
        .where(of.c.name == assignment)
    )
    return {
        row["student_id"]: (
            row["submission_id"],
            Record(*(row[n] for n in ("handed_in", "source", "status", "reason", "seconds"))),
        )
        for row in connection.execute(query).mappings()
    }


def generated(connection: Connection, assignment: str) -> str | None:
    """With which files the assignment was generated; None if that is not known."""
    query = select(GENERATED.c.source).where(GENERATED.c.assignment == assignment)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def set_generated(connection: Connection, assignment: str, source: str | None) -> None:
    """Remember with which files the assignment was generated, or that this is not known."""
    connection.execute(GENERATED.delete().where(GENERATED.c.assignment == assignment))
    if source:
        connection.execute(insert(GENERATED).values(assignment=assignment, source=source))
