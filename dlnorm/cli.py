"""The `dlnorm` command: release the assignments, grade what was handed in."""

from __future__ import annotations

import argparse
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

import nbformat
from tqdm import tqdm
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from dlnorm.grading import release
from nbwarden import gradebook
from nbwarden.batch import Course, Outcome

_EPILOG = """\
examples:
  dlnorm release                    every assignment, from solutions/ to assignments/
  dlnorm release dropout --check    is assignments/dropout up to date? (writes nothing)
  dlnorm grade                      everything in submitted/ that is new or has changed
  dlnorm grade batchnorm --force    one assignment, again from the start
  dlnorm grade --class-dir DIR      a class kept elsewhere: DIR/submitted/STUDENT/ASSIGNMENT/

Both are plain nbgrader underneath: what they write, `nbgrader` and formgrader read.
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

    sub = commands.add_parser("grade", help="autograde, write feedback, print the gradebook")
    sub.add_argument("assignments", nargs="*", metavar="ASSIGNMENT", help="default: all handed in")
    sub.add_argument(
        "--class-dir",
        type=Path,
        metavar="DIR",
        help="where submitted/ is and the gradebook is kept (default: the course's folder)",
    )
    sub.add_argument(
        "--force", action="store_true", help="grade again what has not changed since last time"
    )
    sub.set_defaults(run=_grade)

    arguments = parser.parse_args(argv)
    arguments.course = arguments.course.resolve()
    try:
        return int(arguments.run(arguments))
    except (release.ReleaseError, FileNotFoundError, RuntimeError) as error:
        print(f"dlnorm: {error}", file=sys.stderr)
        return 2


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
    course: Path = arguments.course
    home = (arguments.class_dir or course).resolve()
    config = _config(course)
    config.CourseDirectory.root = str(home)
    config.CourseDirectory.source_directory = str(course / "solutions")
    with tempfile.TemporaryDirectory(prefix="dlnorm-grade-") as scratch:
        # generating tells the gradebook the cells and points; the release itself is not wanted here
        config.CourseDirectory.release_directory = scratch
        return _grade_class(Course(config), arguments, release.assignment_names(course))


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
        print(f"skipping submitted/*/{name}: no such assignment (there are: {', '.join(known)})")

    outcomes: list[Outcome] = []
    for name in names:
        nbgrader_course.generate(name)
    total = sum(len(nbgrader_course.submissions(name)) for name in names)
    with tqdm(total=total, unit="submission", desc="grading", dynamic_ncols=True) as bar:
        for name in names:
            for outcome in nbgrader_course.grade(name, force=arguments.force):
                outcomes.append(outcome)
                bar.set_postfix_str(f"{name}/{outcome.student}")
                bar.update()
    return _summary(nbgrader_course, outcomes)


def _summary(course: Course, outcomes: list[Outcome]) -> int:
    """Print the gradebook, what could not be graded, and where to look next."""
    remarks = {
        (o.assignment, o.student): "could not be read" if o.status == "unreadable" else "failed"
        for o in outcomes
        if o.reason
    }
    with course.gradebook as book:
        print("\n" + gradebook.table(gradebook.rows(book), remarks))
    troubled = [o for o in outcomes if o.reason]
    for o in troubled:
        print(f"{o.student}, {o.assignment}: {o.reason}")
    graded = sum(o.status == "graded" for o in outcomes)
    unchanged = sum(o.status == "unchanged" for o in outcomes)
    print(f"{graded} graded, {unchanged} unchanged since last time, {len(troubled)} in trouble.")
    print(f"Feedback pages: {course.root}/feedback/STUDENT/ASSIGNMENT/ASSIGNMENT.html")
    print("Written answers: start `jupyter lab` there and open Nbgrader > Formgrader.")
    return 1 if troubled else 0


def _config(course: Path) -> Config:
    """The course's nbgrader configuration; loading it also freshens the source notebooks."""
    path = course / "nbgrader_config.py"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: run dlnorm in the course's folder, or name it with --course"
        )
    config: Config = PyFileConfigLoader(path.name, path=str(course)).load_config()
    return config


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
