"""The attack suite: no attack scores, looks out of its sandbox, harms others or plants script.

The attacks are in `attacks.py`. They are graded in classes, with honest students among them, under
the protection, and in two ways: as a worker of a batch does it, with kernels that are forked, and
by plain `nbgrader autograde`, which starts every kernel anew. All are tried on trusted test cells,
where they must gain nothing. The same are tried on contained ones, in which a student may give
themselves any mark and read the test, and nothing else may happen. `make test-all` tries every
attack in all ways; `make test` tries a sample, and cold starts on attacks on what starts or ends.
Every attack has its own verdict, and its row in _build/reports/attacks.html.
"""

from __future__ import annotations

import os
import select
import socket
import tempfile
import time
from contextlib import ExitStack, contextmanager
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pytest
from nbconvert.exporters import HTMLExporter

from nbwarden import sandbox
from nbwarden.warm import WARM
from tests.sampling import Sample, sample
from tests.warden.attacks import ATTACKS, FOUND
from tests.warden.course import (
    ASSIGNMENT,
    RIGHT,
    SECRET,
    SmallCourse,
    cell_of,
    own,
    source_cells,
)

#: Where it matters how a kernel starts or ends: on what it holds, or what it finds beside it.
STARTS_OR_ENDS = [
    attack
    for attack in ATTACKS
    if attack.kind == "resources"
    or attack.name in ("files for the next start", "another kernel", "modules beside the notebook")
]


def of_each_kind(attacks, keep):
    """A sample that has attacks of each kind."""
    kinds = dict.fromkeys(attack.kind for attack in attacks)
    return [
        attack
        for kind in kinds
        for attack in sample(f"attacks: {kind}", (a for a in attacks if a.kind == kind), keep)
    ]


def classes(attacks, size):
    """Separate tests, so that they can run side by side; slow attacks are dealt out evenly."""
    count = -(-len(attacks) // size)
    return [attacks[number::count] for number in range(count)]


WARM_CLASSES = classes(of_each_kind(ATTACKS, 3), 8)
COLD_CLASSES = classes(ATTACKS if Sample.everything else sample("cold", STARTS_OR_ENDS, 5), 8)
CONTAINED_CLASSES = classes(of_each_kind(ATTACKS, 1), 8)
CLASSES = [
    *(("trusted", "warm", attacks) for attacks in WARM_CLASSES),
    *(("trusted", "cold", attacks) for attacks in COLD_CLASSES),
    *(("contained", "warm", attacks) for attacks in CONTAINED_CLASSES),
]
#: Attacks that look for the text of a hidden test: where it runs, the student's process has it.
READS_TESTS = ("the hidden test read", "the interpreter's memory read")
#: An attack with a text cell of its own, which may be a written answer that has lost its place.
WRITES = ("cells of impossible types",)
#: Two students whose marks no attack may touch: one is graded first, one last.
HONEST = ("0-first", "honest")
#: Seconds that the limits below leave to an attack, on a machine ten times as busy as it should be.
AT_MOST = 300


def limits(config):
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
        told = []
        if self.listed() != self.files:
            told.append("files outside were changed")
        if (Path.home() / "mine.py").exists():
            told.append("a file was written to the home folder")
        if select.select(self.services, [], [], 0)[0]:
            told.append("a service of the machine was called")
        left = set(psutil.Process().children(recursive=True)) - self.children
        if psutil.wait_procs(left, timeout=30)[1]:
            told.append("processes were left behind")
        if any(self.nap in process.info["cmdline"] for process in _processes()):
            told.append("a daemon outlived its kernel")
        return told


def _processes():
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"]:
            yield process


@contextmanager
def watched(root):
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="atk-", dir="/tmp"))
        yield Watch(root, Path(folder), stack)


def verdict(graded, attack, cells):
    """What an attack achieved: nothing, if all is well."""
    told = []
    if cells == "trusted" and graded.score != 0:
        told.append(f"it scored {graded.scores}")
    if graded.waiting and attack.name not in WRITES:
        told.append(f"a person is asked to mark {graded.waiting}")
    if not 0 <= graded.score <= 6:
        told.append(f"it scored {graded.scores}, of 6 points that a run can give")
    if FOUND in graded.output and not (cells == "contained" and attack.name in READS_TESTS):
        at = graded.output.index(FOUND)
        told.append(f"it got hold of something: {graded.output[at : at + 200]}")
    if SECRET in graded.page:
        told.append("the page shows the hidden test")
    told += [f"the page holds {danger}" for danger in dangers(graded.page)]
    return told


@pytest.mark.parametrize(
    ("cells", "kernels", "attacks"),
    CLASSES,
    ids=lambda v: v if isinstance(v, str) else f"{len(v)} attacks",
)
def test_no_attack_succeeds(attacks, kernels, cells, tmp_path, monkeypatch, record_property):
    def settings(config):
        limits(config)
        if kernels == "warm":
            monkeypatch.setattr(sandbox, "Sandbox", sandbox.Sandbox)  # to be put back
            WARM.begin("attacks", ["numpy"], tmp_path / "source" / ASSIGNMENT)
            WARM.use()

    monkeypatch.setenv("ATTACK_CANARY", "ATTACK_" + "CANARY")
    course = SmallCourse(tmp_path, source_cells(cells), settings)
    students = {f"a{number:02d}": attack for number, attack in enumerate(attacks)}
    for student in HONEST:
        course.submit(RIGHT, student=student)
    rows, wrong = [], {}
    with watched(tmp_path) as watch:
        for student, attack in students.items():
            answers = {key: watch.place(text) for key, text in attack.answers.items()}
            folder = course.submit(answers, attack.edit, student)
            if attack.folder:
                attack.folder(folder)
        last = time.time()
        log, succeeded = course.run()
        WARM.end()
        assert succeeded, log
        assert "start cold here" not in log
        harm = watch.problems()
    for student in sorted([*students, *HONEST]):
        done = (tmp_path / "autograded" / student / "ps1" / "ps1.ipynb").stat().st_mtime
        seconds, last = done - last, done
        graded = course.outcome(student)
        if student in HONEST:
            assert graded.score == 6, f"{student} got {graded.scores}: {graded.output}"
            continue
        attack = students[student]
        told = verdict(graded, attack, cells)
        if seconds > AT_MOST:
            told.append(f"it took {seconds:.0f} seconds")
        if told:
            wrong[attack.name] = told, graded.output[:1500]
        rows.append(
            {
                "kernels": kernels if cells == "trusted" else f"{kernels}, contained",
                "kind": attack.kind,
                "name": attack.name,
                "tries": attack.tries,
                "score": graded.score,
                "seconds": seconds,
                "problems": [*told, *harm],
                "outcome": "their own mark only, as in plain nbgrader" if graded.score else "held",
            }
        )
    record_property("attacks", rows)
    assert wrong == {}
    assert harm == []


def test_a_blank_submission_scores_nothing(course):
    assert course.grade().score == 0


def test_there_are_enough_of_them():
    assert len(ATTACKS) == len({attack.name for attack in ATTACKS}) >= 40


SCRIPT = "<script>alert(1)</script>"
PLANTS = {
    "html": f"from IPython.display import HTML, display\ndisplay(HTML({SCRIPT!r}))",
    "svg": "from IPython.display import SVG, display\n"
    "display({'image/svg+xml': '<svg onload=alert(1)>'}, raw=True)",
    "javascript": "from IPython.display import Javascript\nJavascript('alert(1)')",
    "markdown": f"from IPython.display import Markdown\nMarkdown({SCRIPT!r} + "
    "'<img src=x onerror=alert(1)>[x](javascript:alert(1))')",
    "latex": f"from IPython.display import Latex\nLatex(r'$\\href{{javascript:alert(1)}}{{x}}$' "
    f"+ {SCRIPT!r})",
    "a picture that is none": "from IPython.display import display\n"
    "display({'image/png': '\\\"><script>alert(1)</script>'}, raw=True)",
    "sizes": "from IPython.display import display\ndisplay({'image/png': 'AAAA'}, raw=True, "
    "metadata={'image/png': {'width': '1 onerror=alert(1)', 'alt': 'x\" onload=alert(1)'}})",
    "printed": f"print({SCRIPT!r})",
    "raised": f"raise ValueError({SCRIPT!r})",
    "an error's name": f"raise type({SCRIPT!r}, (Exception,), {{}})('x')",
    "widget": "from IPython.display import display\n"
    "display({'application/vnd.jupyter.widget-view+json': {'model_id': 'x'}}, raw=True)",
}


@pytest.fixture(scope="module")
def planted(course):
    """One submission with all the plants in it, in output, in text and in an answer's error."""

    def edit(notebook):
        notebook.cells += [own(source) for source in PLANTS.values()]
        text = (
            f"{SCRIPT}<img src=x onerror=alert(1)><iframe src=x></iframe>[x](javascript:alert(1))"
        )
        notebook.cells[0].source = text
        cell_of(notebook, "essay").source = f"{text} $\\href{{javascript:alert(1)}}{{x}}$ $a < b$"

    answers = {**RIGHT, "shift": f"def shift(x):\n    raise ValueError({SCRIPT!r})"}
    return course.grade(answers, edit)


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


def dangers(page):
    """What in a page's body could run something."""
    parser = Dangers()
    parser.feed(page[page.index("<body") :])
    return parser.found


def test_no_script_reaches_the_feedback_page(planted):
    assert dangers(planted.page) == []
    assert "alert(1)" in planted.page  # the text itself is shown, as text
    assert "a &lt; b" in planted.page


def test_formgraders_page_is_as_safe(planted, course):
    """Its exporter gets the same filter, and the notebook it shows holds no script."""
    html, _ = HTMLExporter(config=course.api.config).from_notebook_node(planted.notebook)
    assert dangers(html) == []


def test_the_look_for_dangers_finds_them():
    body = "<body><img src=x onerror=f()><a href='javascript:f()'>x</a><script>f()</script>"
    assert len(dangers(body)) == 4
