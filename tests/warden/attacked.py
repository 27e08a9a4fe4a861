"""The attack suite: no attack scores, looks out of its sandbox, harms others or plants script.

The attacks are in `attacks.py`. They are graded in classes, with honest students among them, under
the protection, and in two ways: as a worker of a batch does it, with kernels that are forked, and
by plain `nbgrader autograde`, which starts every kernel anew. All are tried on trusted test cells,
where they must gain nothing. The same are tried on contained ones, in which a student may give
themselves any mark and read the test, and nothing else may happen. `make test-all` tries every
attack in all ways; `make test` tries a sample, and cold starts on attacks on what starts or ends.
Every attack has its own verdict, and its row in _build/reports/attacks.html.

The tests are in several files, `test_attacks_*.py`, so that they can run side by side; what the
classes of one file share is made once.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from html.parser import HTMLParser
from pathlib import Path

import psutil
from traitlets.config import Config

from nbwarden import sandbox
from nbwarden.warm import WARM
from tests.sampling import sample
from tests.warden.attacks import ATTACKS, FOUND, Attack
from tests.warden.course import ASSIGNMENT, RIGHT, SECRET, Graded, SmallCourse, source_cells

#: Submissions that are graded together.
CLASS = 8
#: What attacks are aimed at.
KINDS = tuple(dict.fromkeys(attack.kind for attack in ATTACKS))
#: Attacks that look for the text of a hidden test: where it runs, the student's process has it.
READS_TESTS = ("the hidden test read", "the interpreter's memory read")
#: Attacks with text cells of their own, which may be a written answer that has lost its place.
WRITES = ("cells of impossible types", "text that is costly to show")
#: Two students whose marks no attack may touch: one is graded first, one last.
HONEST = ("0-first", "honest")
#: Seconds that the limits below leave to an attack, on a machine ten times as busy as it should be.
AT_MOST = 300


def limits(config: Config) -> None:
    """Limits as small as they may be for honest answers."""
    config.Sandbox.update(memory=600, processes=60, disk=20, cpu_time=60, wall_time=120)
    config.SafeExecute.update(output_size=200_000)
    config.Execute.timeout = 10


class Watch:
    """What an attack may find on the grader's machine, and whether it did."""

    def __init__(self, root: Path, folder: Path, stack: ExitStack) -> None:
        self.root, self.folder = root, folder
        # another run of these tests, or another worker of this one, has daemons of its own
        self.nap = str(100_000 + os.getpid())
        self.tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.services = [self.tcp]
        for name in (str(folder / "service"), "\0attack-canary-" + str(os.getpid())):
            service = stack.enter_context(socket.socket(socket.AF_UNIX))
            service.bind(name)
            service.listen(5)
            self.services.append(service)
        self.children = set(psutil.Process().children(recursive=True))
        self.files = self.listed()

    def place(self, text: str) -> str:
        """Fill in where things are."""
        known = {
            "@ROOT@": str(self.root),
            "@TMP@": str(self.folder),
            "@HOME@": str(Path.home()),
            "@PORT@": str(self.tcp.getsockname()[1]),
            "@PID@": str(os.getpid()),
            "@NAP@": self.nap,
            "attack-canary": f"attack-canary-{os.getpid()}",
        }
        for name, value in known.items():
            text = text.replace(name, value)
        return text

    def listed(self) -> dict[str, tuple[int, int]]:
        """The files that no submission may change: name, size, time."""
        ours = ("autograded", "feedback", "gradebook.db", "submitted")
        found = {}
        for top in (self.root, self.folder):
            for path in top.rglob("*"):
                if top == self.root and path.relative_to(top).parts[0] in ours:
                    continue
                stat = path.lstat()
                found[str(path)] = (stat.st_size, stat.st_mtime_ns if path.is_file() else 0)
        return found

    def problems(self) -> list[str]:
        """What has been changed, called or left behind."""
        problems = []
        if self.listed() != self.files:
            problems.append("files outside were changed")
        if (Path.home() / "mine.py").exists():
            problems.append("a file was written to the home folder")
        if select.select(self.services, [], [], 0)[0]:
            problems.append("a service of the machine was called")
        left = set(psutil.Process().children(recursive=True)) - self.children - _forking()
        if psutil.wait_procs(left, timeout=30)[1]:
            problems.append("processes were left behind")
        if any(self.nap in process.info["cmdline"] for process in _processes()):
            problems.append("a daemon outlived its kernel")
        return problems


def _forking() -> set[psutil.Process]:
    """The process that forks warm kernels: the next class needs it as well."""
    return {psutil.Process(WARM.zygote.process.pid)} if WARM.zygote else set()


def _processes() -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"]:
            yield process


@contextmanager
def watched(root: Path) -> Iterator[Watch]:
    """A folder and services that attacks may find, for as long as a class is graded."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="atk-", dir="/tmp"))
        yield Watch(root, Path(folder), stack)


def verdict(graded: Graded, attack: Attack, cells: str) -> list[str]:
    """What an attack achieved: nothing, if all is well."""
    problems = []
    if cells == "trusted" and graded.score != 0:
        problems.append(f"it scored {graded.scores}")
    if graded.waiting and attack.name not in WRITES:
        problems.append(f"a person is asked to mark {graded.waiting}")
    if not 0 <= graded.score <= 6:
        problems.append(f"it scored {graded.scores}, of 6 points that a run can give")
    if FOUND in graded.output and not (cells == "contained" and attack.name in READS_TESTS):
        at = graded.output.index(FOUND)
        problems.append(f"it got hold of something: {graded.output[at : at + 200]}")
    if SECRET in graded.page:
        problems.append("the page shows the hidden test")
    problems += [f"the page holds {danger}" for danger in dangers(graded.page)]
    return problems


def of_each_kind(kinds: Iterable[str], keep: int) -> list[Attack]:
    """A sample that has attacks of each of these kinds."""
    return [
        attack
        for kind in kinds
        for attack in sample(f"attacks: {kind}", (a for a in ATTACKS if a.kind == kind), keep)
    ]


def classes(attacks: list[Attack]) -> list[list[Attack]]:
    """As few classes as there can be; slow attacks are dealt out evenly."""
    count = -(-len(attacks) // CLASS)
    return [attacks[number::count] for number in range(count)]


def size(attacks: list[Attack]) -> str:
    """The name of a class in a test's name."""
    return f"{len(attacks)} attacks"


class Attacked:
    """A course that is attacked by one class after the other.

    Parameters
    ----------
    root : Path
        Where it lies; made here.
    cells : str
        "trusted" or "contained".
    kernels : str
        "warm" or "cold".
    """

    def __init__(self, root: Path, cells: str, kernels: str) -> None:
        self.root, self.cells, self.kernels = root, cells, kernels
        self.course = SmallCourse(root, source_cells(cells), limits)
        self.gradebook = (root / "gradebook.db").read_bytes()

    def grade(self, attacks: list[Attack]) -> list[dict[str, object]]:
        """Grade a class, and return the rows of the report, of which each has its problems."""
        for folder in ("submitted", "autograded", "feedback"):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        (self.root / "gradebook.db").write_bytes(self.gradebook)
        students = {f"a{number:02d}": attack for number, attack in enumerate(attacks)}
        for student in HONEST:
            self.course.submit(RIGHT, student=student)
        with watched(self.root) as watch:
            for student, attack in students.items():
                self._submit(student, attack, watch)
            began = time.time()
            log, succeeded = self.course.run()
            assert succeeded, log
            assert "start cold here" not in log
            harm = watch.problems()
        return self._rows(students, began, harm)

    def _submit(self, student: str, attack: Attack, watch: Watch) -> None:
        answers = {key: watch.place(text) for key, text in attack.answers.items()}
        folder = self.course.submit(answers, attack.edit, student)
        if attack.folder:
            attack.folder(folder)

    def _rows(
        self, students: dict[str, Attack], last: float, harm: list[str]
    ) -> list[dict[str, object]]:
        rows = []
        for student in sorted([*students, *HONEST]):
            done = (self.root / "autograded" / student / "ps1" / "ps1.ipynb").stat().st_mtime
            seconds, last = done - last, done
            graded = self.course.outcome(student)
            if student in HONEST:
                assert graded.score == 6, f"{student} got {graded.scores}: {graded.output}"
                continue
            attack = students[student]
            problems = verdict(graded, attack, self.cells)
            if seconds > AT_MOST:
                problems.append(f"it took {seconds:.0f} seconds")
            rows.append(
                {
                    "cells": self.cells,
                    "kernels": self.kernels,
                    "kind": attack.kind,
                    "name": attack.name,
                    "tries": attack.tries,
                    "score": graded.score,
                    "seconds": seconds,
                    "problems": [*problems, *harm],
                    "output": graded.output[:1500],
                }
            )
        return rows


@contextmanager
def attacked(root: Path, cells: str, kernels: str) -> Iterator[Attacked]:
    """A course under attack, with kernels that are forked or started anew."""
    course = Attacked(root, cells, kernels)
    cold = sandbox.Sandbox
    if kernels == "warm":
        WARM.begin("attacks", ["numpy"], root / "source" / ASSIGNMENT)
        WARM.use()
    os.environ["ATTACK_CANARY"] = "ATTACK_" + "CANARY"
    try:
        yield course
    finally:
        del os.environ["ATTACK_CANARY"]
        WARM.end()
        vars(sandbox)["Sandbox"] = cold


def check_class(course: Attacked, attacks: list[Attack], record_property) -> None:
    """Grade a class, put its rows in the report, and fail if any of its attacks succeeded."""
    rows = course.grade(attacks)
    wrong = {row["name"]: (row["problems"], row["output"]) for row in rows if row["problems"]}
    record_property("attacks", rows)
    assert wrong == {}


class Dangers(HTMLParser):
    """Collects what in a page's body could run something or call somebody."""

    def __init__(self):
        super().__init__()
        self.found, self.formulas = [], []

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "iframe", "object", "embed", "svg", "form", "meta", "link", "base"):
            self.found.append(tag)
        for name, value in attributes:
            harmless = (value or "").startswith(("http", "#", "mailto:", "data:image/"))
            if name.startswith("on") or (name in ("href", "src", "action") and not harmless):
                self.found.append(f"{tag} {name}={value}")

    def handle_data(self, text):
        if self.lasttag not in ("pre", "span", "code") and "\\href" in text:
            self.found.append(text)


def dangers(page: str) -> list[str]:
    """What in a page's body could run something."""
    parser = Dangers()
    parser.feed(page[page.index("<body") :])
    return parser.found
