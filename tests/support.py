"""Running commands and sharing work between the processes of one test run."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import programs

REPO = Path(__file__).resolve().parents[1]

#: Seconds for what comes at once on an idle machine: only what never comes may take longer.
PATIENCE = 300


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Let one process of the run in at a time."""
    with lock.open("w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def run(
    *command: str | Path, cwd: Path = REPO, ok: bool = True, new: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user in our environment would; a failure shows its output.

    If it is one that `tests.programs` has imported, it is forked there; `new` asks for another
    interpreter, where it matters how that begins.
    """
    words = [str(part) for part in command]
    beside = str(Path(sys.executable).parent)  # nbgrader calls `alembic`, which is installed there
    env = {**os.environ, "PATH": os.pathsep.join((beside, os.environ["PATH"]))}
    imported = None if new else programs.module_of(words)
    if imported:
        done = programs.run(*imported, cwd, env)
    else:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=env,
            capture_output=True,
            encoding="utf-8",  # as `tests.machine` has every Python speak
            check=False,
        )
    if ok and done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done


def tool(name: str) -> Path:
    """A command installed beside this Python, such as `nbgrader`."""
    return Path(sys.executable).with_name(name)
