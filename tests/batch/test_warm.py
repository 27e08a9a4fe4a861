"""A kernel that starts warm is as alone, and as powerless, as one that starts cold."""

from __future__ import annotations

import json
import sys

import pytest

from nbwarden.warm import Warm
from tests.batch.classes import Class, marks
from tests.support import REPO, run, tool
from tests.warden.course import ASSIGNMENT, RIGHT

#: What a student's cell can find out about where it runs.
LOOK = r"""
import json, os, re, resource, socket, sys
def read(path):
    try:
        return open(path).read()
    except OSError as error:
        return type(error).__name__
def attempt(call):
    try:
        call()
        return "done"
    except Exception as error:
        return type(error).__name__
status = dict(line.split(":\t", 1) for line in read("/proc/self/status").splitlines())
facts = {name: status[name].split() for name in
         ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups",
          "Umask")}
facts["uids are one"] = len(set(status["Uid"].split())) == 1
facts["root"] = os.getuid() == 0
facts["limits"] = {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource)
                   if n.startswith("RLIMIT_")}
facts["environment"] = dict(os.environ)
facts["folders"] = {path: attempt(lambda: os.listdir(path)) == "done" and sorted(os.listdir(path))
                    for path in ("/", "/tmp", "/run", "/run/nbwarden", "/home", "/root", "/etc")}
facts["folder"] = os.getcwd()
facts["path"] = [p for p in sys.path if "site-packages" not in p]
facts["mounts"] = sorted(line.split()[1] + " " + line.split()[3].split(",")[0]
                         for line in read("/proc/mounts").splitlines())
facts["pids"] = len([p for p in os.listdir("/proc") if p.isdigit()])
facts["handles"] = sorted({re.sub(r"\d+", "", os.readlink(f"/proc/self/fd/{n}"))
                           for n in os.listdir("/proc/self/fd")
                           if os.path.islink(f"/proc/self/fd/{n}")} - {"/proc//fd"})
facts["network"] = sorted(name for _, name in socket.if_nameindex())
facts["attempts"] = {
    "kill": attempt(lambda: os.kill(1, 9)),
    "raw": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW)),
    "root": attempt(lambda: os.setuid(0)),
    "chroot": attempt(lambda: os.chroot("/")),
    "write": attempt(lambda: open("/usr/x", "w")),
    "hostname": attempt(lambda: socket.sethostname("x")),
    "dlnorm": attempt(lambda: __import__("dlnorm")),
    "nbgrader": attempt(lambda: __import__("nbwarden.canonical")),
}
facts["hostname"] = socket.gethostname()
facts["keeps bytecode"] = not sys.dont_write_bytecode
facts["debugger"] = "debugpy" in sys.modules and sys.modules["debugpy"] is None
facts["modules with files elsewhere"] = sorted(
    name for name, module in list(sys.modules.items())
    if (getattr(module, "__file__", None) or "").startswith("@REPO@")
    and "site-packages" not in module.__file__)
print("FACTS" + json.dumps(facts, sort_keys=True))
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.show()
import importlib.util
compiled = importlib.util.cache_from_source("helper.py")
print("COMPILED", open(compiled, "rb").read(16).hex(),
      importlib.util.source_hash(open("helper.py", "rb").read()).hex())
print("DRAWN", __import__("random").random(), __import__("numpy").random.random())
""".replace("@REPO@", str(REPO))


#: An answer that is wrong, with the instructor's own check replaced by one that says it is right.
REPLACES_HELPER = (
    "def double(x):\n    return 7 if np.ndim(x) == 0 else 2 * x\n\n\n"
    "check_double = lambda *arguments: None\n"
    "check_double.ask = lambda *given: ([], lambda _: (1, ''))"
)


@pytest.fixture(scope="module")
def graded(shared):
    """The same three submissions, graded cold by plain nbgrader and warm by a batch."""

    def grade(place):
        cold = Class(place / "cold", 3)
        for student in cold.students:
            answers = {**RIGHT, "shift": RIGHT["shift"] + "\n" + LOOK}
            if student == "s002":
                answers["double"] = REPLACES_HELPER
            cold.course.submit(answers, student=student)
        warm = cold.copy(place / "warm")
        for step in ("generate_assignment", "autograde"):
            run(tool("nbgrader"), step, ASSIGNMENT, "--force", cwd=cold.root)
        done = warm.grade("--jobs", "1")
        assert done.returncode == 0, done.stdout + done.stderr

    place = shared("cold-and-warm", grade)
    return Class.at(place / "cold"), Class.at(place / "warm")


def told(made, student, word):
    for outputs in made.outputs(student):
        for output in outputs or ():
            for line in str(output.get("text", "")).splitlines():
                if line.startswith(word):
                    return line.removeprefix(word)
    raise AssertionError(f"{student} printed no {word}: {made.outputs(student)}")


def test_a_warm_kernel_sees_and_may_what_a_cold_one_does(graded):
    cold, warm = (json.loads(told(made, "s001", "FACTS")) for made in graded)
    cold_path, warm_path = cold.pop("path"), warm.pop("path")
    # a sandbox whose kernel came from elsewhere has one process more, which only sleeps
    assert warm.pop("pids") <= cold.pop("pids") + 1
    # the file for bubblewrap's own errors is not among what a forked kernel has open
    assert any(name.endswith("(deleted)") for name in cold["handles"])
    assert not any("deleted" in name for name in warm["handles"]), "it started cold"
    assert set(warm.pop("handles")) <= set(cold.pop("handles"))
    # not a right more; some that cold kernels cannot use are not even there
    for rights in ("CapBnd", "CapInh"):
        mine, theirs = (int(facts.pop(rights)[0], 16) for facts in (warm, cold))
        assert mine & ~theirs == 0
    cold["environment"].pop("PYDEVD_USE_FRAME_EVAL", None)  # of the debugger, left out when warm
    assert warm.pop("environment") == cold.pop("environment")
    assert warm == cold
    assert cold["Seccomp"] == ["2"]
    assert cold["NoNewPrivs"] == ["1"]
    assert warm_path == cold_path


def test_figures_are_drawn(graded):
    for made in graded:
        for student in made.students:
            assert "image/png" in str(made.outputs(student)), student


def test_the_instructors_modules_are_compiled_once_for_all(graded):
    checked = []
    for made in graded:
        found, source = told(made, "s000", "COMPILED").split()
        flags, of = bytes.fromhex(found)[4:8], bytes.fromhex(found)[8:].hex()
        checked.append((flags[0], of == source))
    # a kernel that has compiled it looks at its date; one that was given it, at its source
    assert checked == [(0, False), (0b11, True)]


def test_what_cannot_be_compiled_is_left_to_whoever_imports_it(tmp_path):
    source = tmp_path / "source"
    (source / "folder.py").mkdir(parents=True)
    (source / "broken.py").write_text("def f(:", encoding="utf-8")
    (source / "cut.py").write_bytes(b"x = 1\n\0")
    (source / "gone.py").symlink_to("nowhere.py")
    (source / "below").mkdir()
    (source / "below" / "good.py").write_text("x = 1\n", encoding="utf-8")
    (source / "empty.py").touch()
    warm = Warm()
    warm.begin("key", [], source)
    try:
        assert sorted(warm.compiled) == ["below/good.py", "empty.py"]
        assert all(path.is_file() for path in warm.compiled.values())
    finally:
        warm.end()
    assert warm.compiled == {}


def test_no_two_kernels_draw_the_same_numbers(graded):
    _, warm = graded
    drawn = {told(warm, student, "DRAWN") for student in warm.students}
    assert len(drawn) == len(warm.students)


def test_warm_and_cold_give_the_same_marks(graded):
    cold, warm = graded
    assert warm.marks() == marks(f"sqlite:///{cold.root}/gradebook.db")
    assert warm.marks()["s000"]["test-shift"][0] == 2
    assert warm.marks()["s000"]["test-double"][0] == 2


def test_what_tests_import_from_the_instructor_is_never_the_students(graded):
    for made in graded:
        book = made.marks(f"sqlite:///{made.root}/gradebook.db")
        assert book["s002"]["test-double"][0] == 0


def test_where_no_sandbox_can_be_entered_kernels_start_cold(tmp_path):
    """An error in the fork is not the student's loss."""
    made = Class(tmp_path / "course", 1, tiny=True)
    code = (
        "import sys\n"
        "from nbwarden import warm\n"
        "from nbwarden.batch import Run\n"
        "from nbwarden.course import Course\n"
        "from nbwarden.command import load\n"
        "from pathlib import Path\n"
        "warm.Zygote.ask_ = warm.Zygote.ask\n"
        "def ask(self, **request):\n"
        "    if 'first' in request: request['first'] = 2**22\n"
        "    return self.ask_(**request)\n"
        "warm.Zygote.ask = ask\n"
        "class Here:\n"
        "    def run(self, work, jobs):\n"
        "        for name, given in jobs: yield name, work(*given)\n"
        "config = load(Path(sys.argv[1]))\n"
        "config.CourseDirectory.root = sys.argv[1]\n"
        "print([o.status for o in Run(Course(config), ['ps1'], Here())], warm.WarmSandbox.off)\n"
    )
    done = run(sys.executable, "-c", code, made.root)
    assert done.stdout.strip() == "['graded'] True", done.stderr
    assert made.marks()["s000"]["test-double"][0] == 2
