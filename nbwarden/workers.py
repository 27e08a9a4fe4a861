"""Worker processes on this machine: one submission at a time each, and any of them may die.

The coordinator hands out jobs and takes in results. A worker that dies costs its job a second
try, by a fresh worker; after that the job is reported as lost. Whatever a worker leaves lies in
one folder, which goes with the pool, or with the next one if this one was killed.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

#: How often a job is tried whose worker dies.
TRIES = 2
#: Seconds after which a worker that says nothing is ended. The sandbox has limits far below.
PATIENCE = 3600.0

#: What a worker that grades wants to have imported; the second line is what others import late.
GRADING = (
    *("nbwarden.task", "nbwarden.execute", "nbwarden.feedback"),
    *("ipykernel.kernelspec", "IPython.lib.lexers", "pygments.styles.default", "jinja2.ext"),
)

_FOLDER = "nbw-pool-"


@dataclass(frozen=True)
class Lost:
    """A job whose workers died; `reason` says how."""

    reason: str


def cores() -> int:
    """The number of processors that this process may use."""
    with suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def begin(*preload: str) -> None:
    """Start the process that workers are forked from, which imports these modules meanwhile.

    A command calls this before its own imports, which take as long; if it does not, the first pool
    does. The process ends with this one.
    """
    forkserver.set_forkserver_preload(["nbwarden.workers", *preload])
    forkserver.ensure_running()


def begin_grading(words: list[str]) -> None:
    """Begin for a command with these arguments, unless it will not want workers of this machine.

    They are `--help` and `--scheduler`, both of which may be shortened.
    """
    if not any(word.startswith(("-h", "--h", "--s")) for word in words):
        begin(*GRADING)


class LocalPool(Generic[Job, Result]):
    """Worker processes for one kind of job; a context manager.

    Parameters
    ----------
    work : callable
        From a job to its result. A function of a module, as it is looked up by name.
    count : int
        How many workers; 0 is one for each processor.
    preload : tuple of str
        Modules that are imported once, before the first worker starts.
    """

    def __init__(
        self, work: Callable[[Job], Result], count: int = 0, preload: tuple[str, ...] = ()
    ) -> None:
        self.work = work
        self.count = count or cores()
        self._start = multiprocessing.get_context("forkserver")
        begin(*preload)
        self._workers: list[_Worker] = []
        self._home: Path | None = None
        self._lock: int | None = None

    def __enter__(self) -> LocalPool[Job, Result]:
        remove_leftovers()
        self._home = Path(tempfile.mkdtemp(prefix=_FOLDER))
        self._lock = os.open(self._home / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.end(at_once=kind is not None)
        self._workers.clear()
        if self._lock is not None:
            os.close(self._lock)
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Result | Lost]]:
        """Do all jobs; each comes back with its result as soon as it is there.

        Jobs are taken from the iterable only when a worker is about to be free.
        """
        source = iter(jobs)
        again: deque[tuple[Job, int]] = deque()
        busy: list[_Worker] = []
        idle = list(self._workers)
        while True:
            while len(busy) < self.count:
                entry = again.popleft() if again else next(((job, 1) for job in source), None)
                if entry is None:
                    break
                worker = idle.pop() if idle else self._new_worker()
                worker.give(*entry)
                busy.append(worker)
            if not busy:
                return
            for worker in self._ready(busy):
                busy.remove(worker)
                job, tries = worker.job, worker.tries
                answer = worker.take()
                if not isinstance(answer, Lost):
                    idle.append(worker)
                    yield job, answer
                    continue
                self._workers.remove(worker)
                worker.end(at_once=True)
                if tries < TRIES:
                    again.append((job, tries + 1))
                else:
                    yield job, answer

    def _new_worker(self) -> _Worker:
        assert self._home is not None
        worker = _Worker(self._start, self.work, self._home, self._processor())
        self._workers.append(worker)
        return worker

    def _processor(self) -> int | None:
        """The processor for a new worker; None if the system is to choose.

        A worker and the kernels that it talks with take turns: left to itself, the system now and
        then has two workers share a processor while another one rests.
        """
        if not hasattr(os, "sched_getaffinity"):  # macOS
            return None
        processors = sorted(os.sched_getaffinity(0))
        if self.count % len(processors):
            return None
        taken = Counter(worker.processor for worker in self._workers)
        return min(processors, key=lambda number: taken[number])

    @staticmethod
    def _ready(busy: list[_Worker]) -> list[_Worker]:
        """The workers that have a result, or died, or have been silent for too long."""
        waiting: dict[Any, _Worker] = {}
        for worker in busy:
            waiting[worker.pipe] = worker
        soonest = min(worker.deadline for worker in busy) - time.monotonic()
        found = connection.wait(list(waiting), timeout=max(0.0, soonest))
        return [waiting[one] for one in found] or [
            worker for worker in busy if worker.deadline <= time.monotonic()
        ]


class _Worker:
    """One worker process, and the coordinator's end of the pipe to it."""

    def __init__(
        self, start: Any, work: Callable[[Any], Any], home: Path, processor: int | None
    ) -> None:
        self.processor = processor
        self.pipe, theirs = start.Pipe()
        told = (theirs, work, str(home), processor, dict(os.environ))
        self.process = start.Process(target=_serve, args=told, daemon=True)
        self.process.start()
        theirs.close()  # so that the worker's end closes with the worker
        self.job: Any = None
        self.tries = 0
        self.deadline = 0.0

    def give(self, job: Any, tries: int) -> None:
        """Hand over a job; if nobody is there to take it, `take` will say so."""
        self.job, self.tries, self.deadline = job, tries, time.monotonic() + PATIENCE
        with suppress(OSError):
            self.pipe.send(job)

    def take(self) -> Any:
        """The result, or how the worker was lost."""
        self.job = None
        try:
            if not self.pipe.poll():
                return Lost(f"its worker did not come to an end in {PATIENCE:g} seconds")
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(5)
            code = self.process.exitcode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
            return Lost(f"its worker process died ({how})")

    def end(self, at_once: bool) -> None:
        """End the process, in the middle of its job if need be."""
        self.pipe.close()  # an idle worker ends by itself
        if at_once:
            self.process.kill()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def _serve(
    pipe: Any,
    work: Callable[[Any], Any],
    home: str,
    processor: int | None,
    environment: dict[str, str],
) -> None:
    """What a worker process does: jobs, until nobody sends any."""
    os.environ.update(environment)  # it may have changed since `begin`
    if processor is not None:
        with suppress(OSError):  # it may have been taken away
            os.sched_setaffinity(0, {processor})
    os.setsid()  # Ctrl-C is for the coordinator, which ends its workers
    threading.Thread(target=_follow_coordinator, daemon=True).start()
    own = tempfile.mkdtemp(dir=home)
    os.environ["TMPDIR"] = tempfile.tempdir = own
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        result = work(job)
        try:
            pipe.send(result)
        except OSError:
            return


def _follow_coordinator() -> None:
    """End at once when the coordinator ends: nobody would take the results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def remove_leftovers() -> None:
    """Remove the folders of pools whose coordinator was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
