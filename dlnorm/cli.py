"""The `dlnorm` command: release the assignments, grade what was handed in."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from traitlets.config import Config

from dlnorm.grading import PROBLEM_SETS, release, report, report_page, sections
from nbwarden import command, gradebook
from nbwarden.course import Course

_EPILOG = """\
examples:
  dlnorm release                    every assignment, from solutions/ to assignments/
  dlnorm release dropout --check    is assignments/dropout up to date? (writes nothing)
  dlnorm grade                      everything in submitted/ that is new or has changed
  dlnorm grade batchnorm --force    one assignment, again from the start
  dlnorm report batchnorm           how the class did, and what to reteach
  dlnorm grade --class-dir DIR      a class kept elsewhere: DIR/submitted/STUDENT/ASSIGNMENT/

All are plain nbgrader underneath: what they write, `nbgrader` and formgrader read.
"""

_GRADE = """\
Grade what is in submitted/STUDENT/ASSIGNMENT/ and is new, or has changed, or whose assignment has.
Students' code runs in a sandbox, the tests outside it.
"""

_GRADE_EPILOG = f"""\
examples:
  dlnorm grade                           one worker for each processor
  dlnorm grade batchnorm --jobs 1        one assignment, and leave the machine to others
  dlnorm grade --json > grades.json      for a program to read; progress still on the terminal
  dlnorm grade --scheduler tcp://host:8786   on the workers of a Dask cluster

{command.EPILOG}"""


_REPORT = """\
Write one HTML page about a graded assignment, and the same as CSV: the misconceptions by how many
students show them, each with the section of the book to reteach; success by exercise; scores;
submissions in trouble and slow ones; answers that resemble each other (a list to look at, with
what was compared, and no verdict). The page names students: keep it to yourself.
"""

_REPORT_EPILOG = """\
examples:
  dlnorm report batchnorm                 reports/batchnorm/index.html, and four .csv files
  dlnorm report batchnorm --json | jq '.mistakes[] | [.name, .students]'
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 if all went well, 1 if something needs a person, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="dlnorm",
        description="Release and grade the assignments of the course.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--course",
        type=Path,
        default=Path.cwd(),
        metavar="DIR",
        help="the course's folder, which holds nbgrader_config.py (default: here)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    sub = commands.add_parser("release", help="make assignments/ from solutions/")
    sub.add_argument("assignments", nargs="*", metavar="ASSIGNMENT", help="default: all of them")
    sub.add_argument(
        "--check", action="store_true", help="write nothing; say what is out of date and exit 1"
    )
    sub.set_defaults(run=_release)

    sub = commands.add_parser(
        "grade",
        help="autograde, write feedback, print the gradebook",
        description=_GRADE,
        epilog=_GRADE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.add_argument("assignments", nargs="*", metavar="ASSIGNMENT", help="default: all handed in")
    _add_class(sub)
    command.add_arguments(sub)
    sub.set_defaults(run=_grade)

    sub = commands.add_parser(
        "report",
        help="how a class did in an assignment, and what to reteach",
        description=_REPORT,
        epilog=_REPORT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.add_argument("assignment", metavar="ASSIGNMENT")
    _add_class(sub)
    sub.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to write (default: reports/ASSIGNMENT in the class's folder)",
    )
    sub.add_argument("--json", action="store_true", help="print it as JSON and write no files")
    sub.set_defaults(run=_report)

    command.let_streams_print_anything()
    arguments = parser.parse_args(argv)
    arguments.course = arguments.course.resolve()
    try:
        return int(arguments.run(arguments))
    except (release.ReleaseError, FileNotFoundError, RuntimeError) as error:
        print(f"dlnorm: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\ndlnorm: stopped. What was done is kept; the same command goes on.", file=sys.stderr
        )
        return 130


def _add_class(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--class-dir",
        type=Path,
        metavar="DIR",
        help="where submitted/ is and the gradebook is kept (default: the course's folder)",
    )


def _release(arguments: argparse.Namespace) -> int:
    """Generate each assignment aside, look for leaks, then put it in its place."""
    course: Path = arguments.course
    config = _config(course)
    names = _known(arguments.assignments, release.assignment_names(course))
    release.refresh_sources(course)
    stale = 0
    for name in names:
        with tempfile.TemporaryDirectory(prefix="dlnorm-release-") as scratch:
            aside = deepcopy(config)
            aside.CourseDirectory.root = str(course)
            aside.CourseDirectory.release_directory = scratch
            if arguments.check:  # a check leaves the gradebook alone
                aside.CourseDirectory.db_url = f"sqlite:///{scratch}/gradebook.db"
            Course(aside).generate(name)
            built, target = Path(scratch) / name, course / "assignments" / name
            source = nbformat.read(course / "solutions" / name / f"{name}.ipynb", as_version=4)
            leaked = release.leaks(source, built)
            if leaked:
                raise release.ReleaseError(
                    f"{name} would give away its solution; fix solutions/{name}/{name}.md:\n  "
                    + "\n  ".join(leaked)
                )
            differences = release.same_release(built, target) if target.exists() else ["new"]
            if not differences:
                print(f"{name}: up to date")
            elif arguments.check:
                stale += 1
                print(f"{name}: out of date ({'; '.join(differences)}); run: dlnorm release {name}")
            else:
                release.install(built, target)
                print(f"{name}: released to {target.relative_to(course)}/")
    return 1 if stale else 0


def _grade(arguments: argparse.Namespace) -> int:
    """Grade what is new, then print the gradebook and what needs a person."""
    with _class(arguments) as nbgrader_course:
        return _grade_class(nbgrader_course, arguments, release.assignment_names(arguments.course))


@contextmanager
def _class(arguments: argparse.Namespace) -> Iterator[Course]:
    """The class that a command is about, opened."""
    course: Path = arguments.course
    config = _config(course)
    config.CourseDirectory.root = str((arguments.class_dir or course).resolve())
    config.CourseDirectory.source_directory = str(course / "solutions")
    with tempfile.TemporaryDirectory(prefix="dlnorm-grade-") as scratch:
        # generating tells the gradebook the cells and points; the release itself is not wanted here
        config.CourseDirectory.release_directory = scratch
        if "no_sandbox" in arguments:
            command.apply(config, arguments)
        yield Course(config)


def _grade_class(nbgrader_course: Course, arguments: argparse.Namespace, known: list[str]) -> int:
    """Grade the assignments asked for in an opened class."""
    home = nbgrader_course.root
    submitted = nbgrader_course.submitted_assignments()
    if not submitted:
        raise FileNotFoundError(
            f"nothing to grade: {home}/submitted/STUDENT/ASSIGNMENT/ holds no submission. "
            "Collect with `nbgrader zip_collect` or `nbgrader collect` first."
        )
    names = _known(arguments.assignments, submitted)
    strangers = [name for name in names if name not in known]
    names = [name for name in names if name in known]
    for name in strangers:
        print(
            f"skipping submitted/*/{name}: no such assignment (there are: {', '.join(known)})",
            file=sys.stderr,
        )
    outcomes = command.grade(nbgrader_course, names, arguments)
    status = command.summary(nbgrader_course, outcomes, as_json=arguments.json)
    if not arguments.json:
        print("Written answers: start `jupyter lab` there and open Nbgrader > Formgrader.")
        print("What the class got wrong, and where to reteach it: dlnorm report ASSIGNMENT")
    return status


def _report(arguments: argparse.Namespace) -> int:
    """Write the report of a graded assignment."""
    name: str = arguments.assignment
    _known([name], release.assignment_names(arguments.course))
    with _class(arguments) as nbgrader_course:
        made = report.make(PROBLEM_SETS[name], *_facts(nbgrader_course, name, arguments.course))
        out: Path = arguments.out or nbgrader_course.root / "reports" / name
    if arguments.json:
        print(json.dumps(made.as_dict(), indent=2))
        return 0
    out.mkdir(parents=True, exist_ok=True)
    files = {"index.html": report_page.page(made, book_for(out)), **report.tables(made)}
    for file, text in files.items():
        (out / file).write_text(text, encoding="utf-8")
    print(f"{out / 'index.html'}\nand as CSV beside it: {', '.join(sorted(report.tables(made)))}")
    return 0


def book_for(folder: Path) -> str:
    """Where a page in `folder` finds the book: published, else as built here; empty if nowhere."""
    site = sections.CONFIG.parent / "_build" / "html"
    if sections.published() or not (site / "index.html").is_file():
        return sections.published()
    return quote(Path(os.path.relpath(site, folder.resolve())).as_posix()) + "/"


def _facts(nbgrader_course: Course, name: str, course: Path) -> tuple[Any, ...]:
    """What a report is made of, from the gradebook and the graded notebooks."""
    with nbgrader_course.gradebook as book:
        rows = [row for row in gradebook.rows(book) if row.assignment == name]
        if not rows:
            raise FileNotFoundError(f"nothing of {name} is graded yet: dlnorm grade {name}")
        marks = [report.Mark(*vars(mark).values()) for mark in gradebook.marks(book, name)]
    records = nbgrader_course.records(name)
    submissions = [report.Submission(row.student, row.score, row.by_hand) for row in rows]
    submissions = [
        replace(s, **{n: getattr(records[s.student], n) for n in ("status", "reason", "seconds")})
        if s.student in records
        else s
        for s in submissions
    ]

    def read(folder: Path) -> Any:
        return nbformat.read(folder / f"{name}.ipynb", as_version=4)

    found = {row.student: nbgrader_course.path("autograded", row.student, name) for row in rows}
    graded = {s: read(path) for s, path in found.items() if (path / f"{name}.ipynb").is_file()}
    released, solution = read(course / "assignments" / name), read(course / "solutions" / name)
    return rows[0].max_score, submissions, marks, graded, released, solution


def _config(course: Path) -> Config:
    """The course's nbgrader configuration; loading it also freshens the source notebooks."""
    return command.load(course)


def _known(asked: list[str], known: list[str]) -> list[str]:
    """The assignments asked for, all of them by default; says which is unknown."""
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise FileNotFoundError(
            f"no assignment {', '.join(map(repr, unknown))}; "
            f"there are: {', '.join(known) or 'none'}"
        )
    return asked or known


if __name__ == "__main__":
    sys.exit(main())
