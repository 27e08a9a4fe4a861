"""What the gradebook remembers beside nbgrader's own: which files were graded, and how it went.

Each record is written when all of a submission's marks and folders are in their place. So the
gradebook is the only truth about what is done: there is no other journal.
"""

from __future__ import annotations

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
)
from sqlalchemy.exc import DBAPIError

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
#: With which content each assignment's own solution was seen to pass its tests.
SOLVED = Table(
    "nbwarden_solved",
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
    """The gradebook's database, with this package's own tables in it.

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
    except Exception as error:
        cause = of_database(error)
        if cause is None:
            raise
        said = (str(cause.orig).strip().splitlines() or ["it said nothing"])[0]
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


def of_database(error: BaseException | None) -> DBAPIError | None:
    """The database's error that is behind another one: nbgrader raises its own in their place."""
    while error is not None and not isinstance(error, DBAPIError):
        error = error.__cause__ or error.__context__
    return error


# ---------------------------------------------------------------- submissions


def _submissions(assignment: str) -> Any:
    """Which rows are the submissions of an assignment: their ids and students."""
    table, of = _TABLES["submitted_assignment"], _TABLES["assignment"]
    joined = table.join(of, of.c.id == table.c.assignment_id)
    return (
        select(table.c.id, table.c.student_id).select_from(joined).where(of.c.name == assignment)
    ).subquery()


def records(connection: Connection, assignment: str) -> dict[str, Record]:
    """What is remembered of an assignment, by student."""
    of = _submissions(assignment)
    query = select(of.c.student_id, GRADED).join(GRADED, GRADED.c.submission_id == of.c.id)
    names = ("handed_in", "source", "status", "reason", "seconds")
    return {
        row["student_id"]: Record(*(row[name] for name in names))
        for row in connection.execute(query).mappings()
    }


def forget(connection: Connection, assignment: str, student: str | None = None) -> None:
    """Remember no more that this submission, or any of the assignment, was graded."""
    of = _submissions(assignment)
    ids = select(of.c.id) if student is None else select(of.c.id).where(of.c.student_id == student)
    connection.execute(GRADED.delete().where(GRADED.c.submission_id.in_(ids)))


def remember(connection: Connection, assignment: str, student: str, record: Record) -> None:
    """Remember that a submission was graded, and how it went."""
    of = _submissions(assignment)
    query = select(of.c.id).where(of.c.student_id == student)
    forget(connection, assignment, student)
    connection.execute(
        insert(GRADED).values(
            submission_id=connection.execute(query).scalar_one(),
            **vars(record),
            finished=datetime.now(UTC).replace(tzinfo=None),
        )
    )


# ---------------------------------------------------------------- assignments


def content(connection: Connection, table: Table, assignment: str) -> str | None:
    """Of which content an assignment was when it was generated, or solved; None if never."""
    query = select(table.c.source).where(table.c.assignment == assignment)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def set_content(connection: Connection, table: Table, assignment: str, source: str | None) -> None:
    """Remember of which content it was, or that this is not known."""
    connection.execute(table.delete().where(table.c.assignment == assignment))
    if source:
        connection.execute(insert(table).values(assignment=assignment, source=source))
