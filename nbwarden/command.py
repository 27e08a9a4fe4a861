"""The command line of grading: `python -m nbwarden`, and what other commands take from it."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path

from tqdm import tqdm
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from nbwarden import gradebook
from nbwarden.batch import Finished, Run
from nbwarden.cluster import ClusterPool
from nbwarden.course import Course
from nbwarden.members import shown
from nbwarden.sandbox import Sandbox
from nbwarden.workers import GRADING, LocalPool

EPILOG = """\
One bad submission stops nobody: it is named at the end, and the exit status is 1. If grading is
interrupted, the same command goes on where it was. Points given by hand in formgrader stay when a
submission is graded again. The gradebook is where nbgrader_config.py says (CourseDirectory.db_url):
a file, or a PostgreSQL database.
"""

_NO_SANDBOX = """\
!! NO SANDBOX: students' code runs with all your rights on this machine. It can read, change and
!! send away every file that you can. Stop now (Ctrl-C) unless you have read the code yourself.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say how to grade."""
    parser.add_argument(
        "--force", action="store_true", help="grade again what has not changed since last time"
    )
    parser.add_argument(
        "--jobs",
        type=_count,
        default=0,
        metavar="N",
        help="how many submissions to grade at a time (default: 0, one for each processor)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="grade on a Dask cluster instead, such as tcp://host:8786",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the gradebook and the outcomes as JSON"
    )
    parser.add_argument(
        "--no-sandbox",
        action="store_true",
        help="run students' code with all your rights: only for code that you have read yourself",
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


def apply(config: Config, arguments: argparse.Namespace) -> None:
    """Change the configuration as the options say."""
    if arguments.no_sandbox:
        config.Sandbox.enabled = False
        print(_NO_SANDBOX, file=sys.stderr)


def let_streams_print_anything() -> None:
    """Print `?` for what the terminal's encoding lacks, rather than fail after all the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def grade(course: Course, names: list[str], arguments: argparse.Namespace) -> list[Finished]:
    """Grade these assignments with a progress bar; the outcomes, by assignment and student."""
    outcomes: list[Finished] = []
    if not arguments.scheduler:  # a cluster's machines have each their own
        Sandbox(config=course.config).check()
    with _pool(arguments) as pool:
        run = Run(course, names, pool, force=arguments.force)
        with tqdm(total=run.total, unit="submission", desc="grading", dynamic_ncols=True) as bar:
            for outcome in run:
                outcomes.append(outcome)
                bar.set_postfix_str(f"{outcome.assignment}/{shown(outcome.student)}", refresh=False)
                bar.update()
    return sorted(outcomes, key=lambda o: (o.assignment, o.student))


def _pool(arguments: argparse.Namespace) -> ClusterPool | LocalPool:
    """What executes submissions: processes on this machine, or a cluster."""
    if arguments.scheduler:
        return ClusterPool(arguments.scheduler)
    return LocalPool(arguments.jobs, GRADING)


def summary(course: Course, outcomes: list[Finished], *, as_json: bool) -> int:
    """Print the gradebook and what could not be graded; 1 if something needs a person."""
    fine = ("graded", "unchanged")
    troubled = [o for o in outcomes if o.status not in fine]
    remarked = [o for o in outcomes if o.reason]
    with course.gradebook as book:
        entries = gradebook.rows(book)
    if as_json:
        document = {
            "gradebook": [asdict(row) for row in entries],
            "outcomes": [asdict(outcome) for outcome in outcomes],
        }
        print(json.dumps(document, indent=2))
        return 1 if troubled else 0
    words = {"unreadable": "could not be read"}
    remarks = {(o.assignment, o.student): words.get(o.status, "not graded") for o in troubled}
    remarks |= {(o.assignment, o.student): "see below" for o in remarked if o.status in fine}
    print("\n" + gradebook.table(entries, remarks))
    for o in remarked:
        print(f"{shown(o.student)}, {o.assignment}: {o.reason}")
    graded = sum(o.status == "graded" for o in outcomes)
    unchanged = sum(o.status == "unchanged" for o in outcomes)
    print(f"{graded} graded, {unchanged} unchanged since last time, {len(troubled)} in trouble.")
    print(f"Feedback pages: {course.path('feedback', 'STUDENT', 'ASSIGNMENT')}/")
    return 1 if troubled else 0


def load(folder: Path) -> Config:
    """The nbgrader configuration of a course.

    Raises
    ------
    FileNotFoundError
        If there is no nbgrader_config.py.
    """
    path = folder / "nbgrader_config.py"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: name the course's folder with --course")
    config: Config = PyFileConfigLoader(path.name, path=str(folder)).load_config()
    return config


def main(argv: list[str] | None = None) -> int:
    """Grade any nbgrader course; 0 if all went well, 1 if something needs a person, 2 if not."""
    parser = argparse.ArgumentParser(
        prog="python -m nbwarden",
        description="Grade what was handed in to an nbgrader course and is new or has changed: "
        "autograde and feedback, in parallel.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("assignments", nargs="*", metavar="ASSIGNMENT", help="default: all")
    parser.add_argument(
        "--course",
        type=Path,
        default=Path.cwd(),
        metavar="DIR",
        help="the folder that holds nbgrader_config.py (default: here)",
    )
    add_arguments(parser)
    let_streams_print_anything()
    arguments = parser.parse_args(argv)
    try:
        folder = arguments.course.resolve()
        config = load(folder)
        apply(config, arguments)
        if "root" not in config.CourseDirectory:
            config.CourseDirectory.root = str(folder)
        course = Course(config)
        names = arguments.assignments or course.submitted_assignments()
        outcomes = grade(course, names, arguments)
        return summary(course, outcomes, as_json=arguments.json)
    except (FileNotFoundError, RuntimeError) as error:
        print(f"nbwarden: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what was done is kept, the same command goes on", file=sys.stderr)
        return 130
