"""Whatever is killed, full or locked: a rerun finishes, and no mark is wrong, twice or lost."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from tests.batch.classes import Class
from tests.sampling import sample
from tests.support import PATIENCE, REPO, run
from tests.warden.course import ASSIGNMENT

KILLS = len(sample("kills", range(20), 2))
SEED = 20141215
#: How often grading may have ended before a test came to disturb it.
ATTEMPTS = 10


@pytest.fixture(scope="module")
def handed_in(shared):
    return Class.at(
        shared("class-of-eight", lambda folder: Class(folder / "course", 8, tiny=True)) / "course"
    )


@pytest.fixture(scope="module")
def undisturbed(handed_in, shared):
    def grade(folder):
        began = time.monotonic()
        done = handed_in.copy(folder / "course").grade("--jobs", "2")
        assert done.returncode == 0, done.stderr
        (folder / "seconds.txt").write_text(str(time.monotonic() - began), encoding="utf-8")

    folder = shared("class-of-eight-graded", grade)
    made = Class.at(folder / "course")
    made.seconds = float((folder / "seconds.txt").read_text("utf-8"))
    return made


def workers_of(coordinator):
    """The worker processes: the children of the process that forks them, sessions of their own."""
    with suppress(psutil.Error):
        return [
            process
            for process in psutil.Process(coordinator.pid).children(recursive=True)
            if os.getsid(process.pid) == process.pid
            and process.ppid() != coordinator.pid
            and "bwrap" not in process.name()
        ]
    return []


def said(code):
    """What a program prints: a pool's processes are its own, and not those of the tests."""
    return run(sys.executable, "-c", code).stdout.strip()


def processes_of(root):
    """All processes that were started with a folder below `root` as the place for their files."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR", "").startswith(str(root)):
                found.append(process)
    return found


def whole(root):
    """Every folder of results is whole: a notebook that can be read, a page that has its end."""
    for path in root.glob(f"autograded/*/{ASSIGNMENT}/ps1.ipynb"):
        json.loads(path.read_text(encoding="utf-8"))
    for path in root.glob(f"feedback/*/{ASSIGNMENT}/ps1.html"):
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>"), path


def test_kills_at_random_points_lose_nothing_and_do_nothing_twice(
    handed_in, undisturbed, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", tempfile.mkdtemp(prefix="nbk-", dir="/tmp"))
    root = Path(os.environ["TMPDIR"])
    disturbed = handed_in.copy(tmp_path / "course")
    chance = random.Random(SEED)
    coordinators = max(1, KILLS // 4)
    victims = ["coordinator"] * coordinators + ["worker"] * (KILLS - coordinators)
    chance.shuffle(victims)
    while victims:
        # with --force there is always work left to be killed in; a run without it goes on
        again = ["--force"] if disturbed.is_finished() else []
        running = disturbed.start("--jobs", "2", *again)
        while running.poll() is None and victims:
            time.sleep(chance.uniform(0.01, 0.2) * undisturbed.seconds)
            workers = workers_of(running)
            if len(workers) < 2:  # one that is alone runs what it may be held for
                continue
            if victims[-1] == "coordinator":
                running.kill()
                victims.pop()
                break
            with suppress(psutil.Error):
                chance.choice(workers).kill()
                victims.pop()
        running.kill()
        running.communicate()
        whole(disturbed.root)

    done = disturbed.grade("--jobs", "2", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert disturbed.marks() == undisturbed.marks()
    whole(disturbed.root)
    with sqlite3.connect(disturbed.root / "gradebook.db") as book:
        for table in ("submitted_assignment", "nbwarden_graded"):
            (count,) = book.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert count == len(disturbed.students), table
    hidden = [p for p in disturbed.root.rglob(".*") if p.name != ".nbwarden.lock"]
    assert hidden == []
    assert [p.name for p in root.iterdir() if p.name.startswith("nbw-pool-")] == []
    _, alive = psutil.wait_procs(processes_of(root), timeout=PATIENCE)
    assert alive == [], "whatever was killed, nothing goes on"
    # and a second look finds nothing to do
    again = json.loads(disturbed.grade("--json").stdout)
    assert {o["status"] for o in again["outcomes"]} == {"unchanged"}


def test_who_always_ends_a_worker_is_reported_and_stops_nobody():
    """The pool itself, with work that ends its worker."""
    code = f"""
import sys
sys.path.insert(0, {str(REPO)!r})
from tests.batch import deadly
from nbwarden.workers import LocalPool, Lost
names = ["a", "die", "b", "die once {tempfile.mkdtemp()}", "c"]
with LocalPool(2) as pool:
    results = dict(pool.run(deadly.work, [(name, (name,)) for name in names]))
print({{job.split()[0] + str(len(job.split())): str(r) for job, r in results.items()}})
"""
    found = eval(said(code))
    assert found["a1"] == "done a"
    assert found["b1"] == "done b"
    assert found["c1"] == "done c"
    assert "it ended the process that ran it 2 times, with nothing else running" in found["die1"]
    assert found["die3"].startswith("done")


def test_workers_have_the_environment_of_when_they_start():
    """A course's configuration sets PATH, and what they are forked from is older."""
    code = (
        "import os\n"
        "from nbwarden import workers\n"
        "workers.begin()\n"
        "os.environ['NBW_LATE'] = 'known'\n"
        "with workers.LocalPool(1) as pool:\n"
        "    print(list(pool.run(os.getenv, [(1, ('NBW_LATE',))])))\n"
    )
    assert said(code) == "[(1, 'known')]"


def test_workers_share_the_processors_evenly():
    code = (
        "import os\n"
        "from tests.batch import deadly\n"
        "from nbwarden.workers import LocalPool, cores\n"
        "def places(count):\n"
        "    with LocalPool(count) as pool:\n"
        "        return [set(f) for _, f in pool.run(deadly.place, [(0, (count,))] * count)]\n"
        "every = os.sched_getaffinity(0)\n"
        "once, twice, more = places(cores()), places(2 * cores()), places(2 * cores() + 1)\n"
        "print(sorted(map(list, once)) == [[n] for n in sorted(every)],\n"
        "      sorted(map(list, twice)) == [[n] for n in sorted(every) for _ in 'ab'],\n"
        "      cores() == 1 or all(found == every for found in more))\n"
    )
    assert said(code) == "True True True"


@pytest.mark.cases(2)
@pytest.mark.parametrize(("option", "status"), [("--help", 0), ("--jobs=-1", 2)])
@pytest.mark.parametrize("package", ["dlnorm", "nbwarden"])
def test_the_command_is_a_module_too(package, option, status, tmp_path, monkeypatch):
    """And one that is asked for help, or cannot begin, leaves nothing behind."""
    words = ["grade"] if package == "dlnorm" else []
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = run(sys.executable, "-m", package, *words, option, ok=False, new=True)
    assert done.returncode == status, done.stderr
    assert "--jobs" in done.stdout + done.stderr
    _, alive = psutil.wait_procs(processes_of(tmp_path), timeout=PATIENCE)
    assert alive == []


def test_a_locked_gradebook_is_a_clear_error_and_changes_nothing(undisturbed, tmp_path):
    locked = undisturbed.copy(tmp_path / "course")
    before = locked.marks()
    holder = sqlite3.connect(locked.root / "gradebook.db")
    holder.execute("BEGIN EXCLUSIVE")
    try:
        done = locked.grade("--force")
    finally:
        holder.close()
    assert done.returncode == 2
    assert "is locked by another program" in done.stderr
    assert "Traceback" not in done.stderr
    assert locked.marks() == before
    assert locked.grade().returncode == 0


def test_a_gradebook_locked_half_way_keeps_what_was_done(handed_in, undisturbed, tmp_path):
    for attempt in range(ATTEMPTS):
        locked = handed_in.copy(tmp_path / f"course{attempt}")
        locked.begin_gradebook()
        running = locked.start("--jobs", "1")
        locked.has_begun(running)
        with closing(sqlite3.connect(locked.root / "gradebook.db", timeout=PATIENCE)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            came_in_time = not locked.remembers_all(holder)
            _, errors = running.communicate(timeout=PATIENCE)
        if came_in_time:
            break
    assert running.returncode == 2
    assert "is locked by another program" in errors
    assert "run the same command again" in errors
    assert locked.grade().returncode == 0
    assert locked.marks() == undisturbed.marks()


@pytest.fixture
def small_disk(tmp_path):
    """A file system with little room; as root only."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1200k", "none", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half(handed_in, undisturbed, small_disk):
    made = handed_in.copy(small_disk / "course")
    done = made.grade("--jobs", "1")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr or "cannot grow" in done.stderr
    whole(made.root)
    subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
    assert made.grade().returncode == 0
    assert made.marks() == undisturbed.marks()


def test_files_that_may_not_grow_are_a_clear_error(handed_in, undisturbed, tmp_path):
    made = handed_in.copy(tmp_path / "course")
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {2**30}))"
    code = f"{limit}; from nbwarden.command import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "--course", str(made.root), "--jobs", "1"]
    done = run(*command, ok=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot grow" in done.stderr
    assert not (made.root / "gradebook.db").exists()
    assert made.grade().returncode == 0
    assert made.marks() == undisturbed.marks()


def test_ctrl_c_stops_at_once_and_says_how_to_go_on(handed_in, undisturbed, tmp_path):
    for attempt in range(ATTEMPTS):
        made = handed_in.copy(tmp_path / f"course{attempt}")
        made.begin_gradebook()
        running = made.start("--jobs", "2", start_new_session=True)
        made.has_begun(running)
        running.send_signal(signal.SIGSTOP)
        came_in_time = len(made.pages()) < len(made.students)
        os.killpg(running.pid, signal.SIGINT)
        running.send_signal(signal.SIGCONT)
        _, errors = running.communicate(timeout=PATIENCE)
        if came_in_time:
            break
    assert running.returncode == 130
    assert not made.is_finished(), "it did not stop at once"
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    assert made.grade().returncode == 0
    assert made.marks() == undisturbed.marks()
