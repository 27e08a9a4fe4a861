"""Programs of this environment, started without importing again what takes them seconds.

`nbgrader`, `dlnorm` and `python -m nbwarden` import for two seconds what their processes then need
for a tenth of that. Here one process has imported it all, and forks for each command: the child
*is* the program from there on, with the arguments, the environment, the working directory and the
files that it was given, and ends as a program ends.

What is left out is what a new interpreter makes of its environment, but for the encoding of its
streams: where its warnings or its search path matter, or how a program starts, `tests.support.run`
is asked for a new one.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import importlib
import json
import multiprocessing.util
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import NoReturn

REPO = Path(__file__).resolve().parents[1]
#: What each command of ours is as a module, which is run as `python -m` runs it.
MODULES = {"nbgrader": "nbgrader", "dlnorm": "dlnorm"}
#: What they import, sooner or later.
IMPORTED = (
    *("nbgrader.apps.nbgraderapp", "dlnorm.cli", "nbwarden.command", "nbwarden.workers"),
    *("nbgrader.apps.autogradeapp", "nbgrader.apps.generatefeedbackapp", "nbgrader.apps.exportapp"),
    *("nbgrader.apps.generateassignmentapp", "nbgrader.apps.zipcollectapp"),
)

#: Seconds after which a program that has not ended says where it stands, and ends.
LONGEST = 900


def module_of(command: Sequence[str]) -> tuple[str, list[str]] | None:
    """The module that a command runs, and its arguments; None if it is none of `MODULES`."""
    program, *arguments = command
    if program == sys.executable and arguments[:2] == ["-m", "nbwarden"]:
        return "nbwarden", arguments[2:]
    path = Path(program)
    if path.parent == Path(sys.executable).parent and path.name in MODULES:
        return MODULES[path.name], arguments
    return None


def run(
    module: str, arguments: list[str], cwd: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a module as a program, and wait for its end, as `subprocess.run` does."""
    with tempfile.TemporaryDirectory(prefix="program-") as folder:
        streams = [str(Path(folder, name)) for name in ("stdout", "stderr")]
        order = {"module": module, "arguments": arguments, "cwd": str(cwd), "env": env}
        answer = _ask({**order, "streams": streams})
        printed, errors = (Path(path).read_text("utf-8") for path in streams)
    return subprocess.CompletedProcess([module, *arguments], int(answer), printed, errors)


def _ask(order: dict[str, object]) -> str:
    """Give an order to the process that forks; the exit status of the program."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        print(json.dumps(order), file=server.stdin, flush=True)
        answer = server.stdout.readline()
    except BaseException:  # of a time limit, say: its answer would be taken for the next one's
        _server.cache_clear()
        _end(server)
        raise
    if not answer:
        raise RuntimeError(f"the process that starts programs ended: {server.wait()}")
    return answer


@cache
def _server() -> subprocess.Popen[str]:
    """The process that forks, started once by each process of the tests that wants programs."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.programs"],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.communicate()


# ---------------------------------------------------------------- in that process


def _serve() -> dict[str, object]:
    """Fork for each order; returns in the child only, with its order."""
    # its words with the tests go elsewhere than where a program prints
    orders, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    gc.collect()
    gc.freeze()  # what is shared with the children stays shared
    for line in orders:
        pid = os.fork()
        if pid == 0:
            orders.close()
            answers.close()
            return json.loads(line)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    sys.exit()


def _become(order: dict[str, object]) -> None:
    """Be the program from here on."""
    for number, path in enumerate(order["streams"], start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    tempfile.tempdir = None  # as the environment says now
    if encoding := os.environ.get("PYTHONIOENCODING"):
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding=encoding)
    multiprocessing.util.spawnv_passfds = _fork_interpreter
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    sys.argv = [order["module"], *order["arguments"]]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def _fork_interpreter(path: str, arguments: list[str], keep: list[int]) -> int:
    """In the place of `spawnv_passfds`: the helpers of multiprocessing have it all imported too."""
    pid = os.fork()
    if pid == 0:
        _be_interpreter(arguments[-1], keep)
    return pid


def _be_interpreter(code: str, keep: list[int]) -> NoReturn:
    """What `python -c code` would do, with none but the standard streams and these files open."""
    status = 1
    try:
        low = 3
        for number in sorted(keep):
            os.closerange(low, number)
            low = number + 1
        os.closerange(low, os.sysconf("SC_OPEN_MAX"))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        forkserver._forkserver._lock = threading.Lock()  # whoever forked held it
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(status)


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    from alembic.script import ScriptDirectory
    from nbgrader import api
    from nbgrader.dbutil import ALEMBIC_DIR

    # nbgrader asks a program for this each time it makes a gradebook, which takes two seconds
    head = ScriptDirectory(ALEMBIC_DIR).get_current_head()
    api.get_alembic_version = lambda: head
    _become(_serve())
