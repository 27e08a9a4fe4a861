"""Start bubblewrap, and find what it has started."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped]

from nbwarden import bubblewrap, seccomp

#: What holds of every sandbox.
_ALWAYS = (
    *("--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"),
    *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
    *("--unshare-cgroup-try", "--hostname", "sandbox"),
)


class SandboxError(RuntimeError):
    """The sandbox is missing or cannot be started; nobody's code was run."""


class Arguments:
    """Those of one start of bubblewrap, with the open files that they name by number."""

    def __init__(self) -> None:
        self._list = [*_ALWAYS]
        self._handles: list[int] = []

    def add(self, *arguments: str) -> None:
        """Add some; their order counts."""
        self._list += arguments

    def handle(self, content: bytes | Path) -> str:
        """The number of an open file with this content, or of a file that is no link."""
        if isinstance(content, Path):
            self._handles.append(os.open(content, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        else:
            self._handles.append(os.memfd_create("nbwarden"))
            os.write(self._handles[-1], content)
            os.lseek(self._handles[-1], 0, os.SEEK_SET)
        return str(self._handles[-1])

    def start(
        self, program: str, code: list[str], errors: IO[bytes] | None
    ) -> tuple[subprocess.Popen[bytes], psutil.Process | None]:
        """Start bubblewrap with `code` inside: its process, and the first one inside, if any."""
        reader, writer = os.pipe()
        self._handles.append(writer)
        self.add("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/submission")
        if rules := seccomp.program():
            self.add("--seccomp", self.handle(rules))
        try:
            process = subprocess.Popen(
                [program, *self._list, "--info-fd", str(writer), "--", *code],
                # its other end is held here: what begins inside sees by it that we have ended
                # before bubblewrap was ready to see to that
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=self._handles,
                cwd="/",
            )
        finally:
            self.close()
        with os.fdopen(reader, encoding="utf-8") as stream:
            text = stream.read()
        with suppress(ValueError, KeyError, psutil.Error):
            return process, psutil.Process(json.loads(text)["child-pid"])
        return process, None

    def close(self) -> None:
        """Close the files."""
        while self._handles:
            os.close(self._handles.pop())


def rights() -> list[str]:
    """How a sandbox has no rights: in a user namespace, or as nobody if started by root."""
    if os.getuid() == 0:
        # boot.py takes an unused user id, and loses all capabilities with it
        return ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [
        "--unshare-user",
        *(["--disable-userns"] if bubblewrap.can("--disable-userns") else []),
    ]


def listens(path: str) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def unused_user() -> int:
    """A user id that nobody has, of those this system or container knows."""
    highest = 0
    for line in Path("/proc/self/uid_map").read_text(encoding="utf-8").splitlines():
        first, _, count = map(int, line.split())
        highest = max(highest, first + count - 1)
    highest = min(highest, 2**31 - 2)
    if highest < 20_000:
        raise SandboxError("this container knows too few user ids to give each submission its own")
    lowest = max(20_000, highest - 1_000_000_000)
    return lowest + secrets.randbelow(highest - lowest)
