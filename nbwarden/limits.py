"""What all processes of a submission may take together, and the watchman who sees to it.

The system holds each process to its limits, and each folder in memory to its size. Their sum is
looked at four times a second, from outside.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]

_MB = 2**20
#: Seconds between two looks.
_BETWEEN = 0.25

#: How the limits are kept, as `python -m nbwarden.bubblewrap` says it.
IN_FORCE = """\
Limits: the system holds each process to its memory, processor time and file size, a submission to
its number of processes, and each folder to its size. What all its processes and folders have in
memory together, their processor time and their files are looked at four times a second, and a
submission that has more than it may is stopped as a whole. Control groups are not used."""


@dataclass(frozen=True)
class Limits:
    """Of a submission: memory and disk in megabytes, times in seconds."""

    memory: int
    processes: int
    cpu_time: int
    wall_time: int
    disk: int
    files: int

    def of_a_process(self) -> dict[str, int]:
        """The limits that each process takes upon itself, by their names in `resource`."""
        return {
            "RLIMIT_AS": 2 * self.memory * _MB,  # addresses, of which much is never used
            "RLIMIT_DATA": self.memory * _MB,
            "RLIMIT_CPU": self.cpu_time,
            "RLIMIT_FSIZE": self.disk * _MB,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_NOFILE": 1024,
            "RLIMIT_CORE": 0,
        }


@dataclass
class Watchman:
    """Looks at a submission's processes from outside, and stops them when they take too much.

    Attributes
    ----------
    limits : Limits
    first : psutil.Process
        The process that all others come from, and end with.
    folders : tuple of str
        The submission's folders in memory, as they are found from outside.
    stop : callable
        Ends all processes; it is given the reason.
    """

    limits: Limits
    first: psutil.Process
    folders: tuple[str, ...]
    stop: Callable[[str], None]
    _spent: dict[psutil.Process, float] = field(default_factory=dict)

    def start(self) -> None:
        """Watch, in a thread, until the first process has ended."""
        threading.Thread(target=self._watch, daemon=True, name="nbwarden-watch").start()

    def _watch(self) -> None:
        end = time.monotonic() + self.limits.wall_time
        while True:
            time.sleep(_BETWEEN)
            if not self.first.is_running() or self.first.status() == psutil.STATUS_ZOMBIE:
                return
            reason = self._too_much()
            if not reason and time.monotonic() > end:
                reason = f"it ran for more than {self.limits.wall_time} seconds"
            if reason:
                self.stop(reason)
                return

    def _too_much(self) -> str:
        """Of what the submission takes too much; empty if of nothing."""
        processes = [self.first]
        with suppress(psutil.Error):
            processes += self.first.children(recursive=True)
        files, stored = self._stored()
        memory = self.limits.memory * _MB
        if files > self.limits.files:
            return f"it made more than {self.limits.files} files"
        # what processes share counts once; to look that up is slow
        if stored + _resident(processes) > memory and stored + _own(processes) > memory:
            return f"it used more than {self.limits.memory} MB of memory"
        if self._processor_time(processes) > self.limits.cpu_time:
            return f"it used more than {self.limits.cpu_time} seconds of processor time"
        return ""

    def _stored(self) -> tuple[int, int]:
        """Files in the fullest of the folders, and bytes in all of them."""
        files = size = 0
        for folder in self.folders:
            with suppress(OSError):
                system = os.statvfs(folder)
                files = max(files, system.f_files - system.f_ffree)
                size += (system.f_blocks - system.f_bfree) * system.f_frsize
        return files, size

    def _processor_time(self, processes: list[psutil.Process]) -> float:
        """Seconds, with those of processes that have ended since they were seen."""
        for process in processes:
            with suppress(psutil.Error):
                times = process.cpu_times()
                self._spent[process] = times.user + times.system
        return sum(self._spent.values())


def _resident(processes: list[psutil.Process]) -> int:
    """Bytes that processes have in memory, with those that they share counted for each."""
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _own(processes: list[psutil.Process]) -> int:
    """The same, with those that they share counted once."""
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            try:
                total += process.memory_full_info().pss
            except (psutil.AccessDenied, AttributeError):  # then it is all held to be its own
                total += process.memory_info().rss
    return total
