"""Who does the work: executors, on this machine or elsewhere, of which any process may die.

The coordinator keeps a few jobs ahead of the workers. When a process dies, all that was under way
is suspect: it is done again, one job at a time, so that only who is the cause is held for it.
Whatever a worker leaves lies in one folder, which goes with the pool, or with the next one if this
one was killed.
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
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from concurrent.futures.process import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

Name = TypeVar("Name")
Result = TypeVar("Result")

#: How often a job is tried alone that may be the cause of a process's death.
TRIES = 2
#: Seconds after which workers that say nothing are ended. The sandbox has limits far below.
PATIENCE = 3600.0
#: Seconds between two looks whether there are workers at all.
_LOOK = 20.0

#: What a worker that grades wants to have imported.
GRADING = ("nbwarden.execute", "ipykernel.kernelspec")

_FOLDER = "nbw-pool-"


@dataclass(frozen=True)
class Lost:
    """A job that ended each process that did it; `reason` says how."""

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


class Pool:
    """Workers that may be had anew; a context manager. Made of an `Executor` by its children."""

    #: How many jobs are under way at a time: a few more than there are workers.
    window = 1
    #: What a future raises whose worker has died.
    deaths: tuple[type[BaseException], ...] = (BrokenExecutor,)

    def executor(self) -> Executor:
        """What runs jobs now."""
        raise NotImplementedError

    def renew(self) -> None:
        """Begin again with workers that nothing has happened to."""

    def look(self) -> None:
        """Raise an error if nobody is there who works."""

    def run(
        self, work: Callable[..., Result], jobs: Iterable[tuple[Name, tuple[Any, ...]]]
    ) -> Iterator[tuple[Name, Result | Lost]]:
        """Do all jobs; each comes back with its result as soon as it is there.

        Parameters
        ----------
        work : callable
            A function of a module, as it is looked up by name.
        jobs : iterable
            Of each its name, which stays here, and the arguments for `work`. They are taken only
            when a worker is about to be free.
        """
        source = iter(jobs)
        suspects: deque[tuple[Name, tuple[Any, ...]]] = deque()
        pending: dict[Future[Result], tuple[Name, tuple[Any, ...]]] = {}
        while True:
            while not suspects and len(pending) < self.window:
                job = next(source, None)
                if job is None:
                    break
                pending[self._submit(work, job[1])] = job
            if not pending and not suspects:
                return
            if not pending:
                name, arguments = suspects.popleft()
                yield name, self._alone(work, arguments)
                continue
            for future in self._done(pending):
                job = pending.pop(future)
                try:
                    result = future.result()
                except self.deaths:
                    suspects.append(job)
                else:
                    yield job[0], result
            if suspects and not pending:
                self.renew()

    def _submit(self, work: Callable[..., Result], arguments: tuple[Any, ...]) -> Future[Result]:
        try:
            return self.executor().submit(work, *arguments)
        except BrokenExecutor:  # by a worker that died with nothing to do
            self.renew()
            return self.executor().submit(work, *arguments)

    def _alone(self, work: Callable[..., Result], arguments: tuple[Any, ...]) -> Result | Lost:
        """The result of a job while nothing else is done, so that it can be no other's fault."""
        for _ in range(TRIES):
            future = self._submit(work, arguments)
            self._done({future: None})
            try:
                return future.result()
            except self.deaths:
                self.renew()
        return Lost(f"it ended the process that ran it {TRIES} times, with nothing else running")

    def _done(self, pending: dict[Future[Result], Any]) -> set[Future[Result]]:
        """Futures that have a result, or an error, waited for until there is one."""
        end = time.monotonic() + PATIENCE
        while not (done := wait(pending, _LOOK, FIRST_COMPLETED).done):
            self.look()
            if time.monotonic() > end:
                self.renew()  # which is the end of all that was under way
                end = time.monotonic() + PATIENCE
        return done


class LocalPool(Pool):
    """Worker processes on this machine.

    Parameters
    ----------
    count : int
        How many workers; 0 is one for each processor.
    preload : tuple of str
        Modules that are imported once, before the first worker starts.
    """

    def __init__(self, count: int = 0, preload: tuple[str, ...] = ()) -> None:
        self.count = count or cores()
        self.window = 2 * self.count
        self._context = multiprocessing.get_context("forkserver")
        begin(*preload)
        self._executor: ProcessPoolExecutor | None = None
        self._lifeline: Any = None
        self._stack = ExitStack()
        self._home = ""

    def __enter__(self) -> LocalPool:
        self._home = str(self._stack.enter_context(home()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._executor is not None and kind is None:
            self._executor.shutdown()
        self.renew()
        self._stack.close()

    def executor(self) -> Executor:
        """The workers, started if there are none."""
        if self._executor is None:
            places = self._context.SimpleQueue()
            for number in range(self.count):
                places.put(self._processor(number))
            theirs, self._lifeline = self._context.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(
                self.count,
                mp_context=self._context,
                initializer=_begin_work,
                initargs=(theirs, self._home, places, dict(os.environ)),
            )
        return self._executor

    def renew(self) -> None:
        """End the workers, in the middle of their jobs if need be."""
        executor, self._executor = self._executor, None
        if executor is not None:
            self._lifeline.close()
            executor.shutdown(cancel_futures=True)

    def _processor(self, number: int) -> int | None:
        """The processor for a worker; None if the system is to choose.

        A worker and the kernels that it talks with take turns: left to itself, the system now and
        then has two workers share a processor while another one rests.
        """
        if not hasattr(os, "sched_getaffinity"):  # macOS
            return None
        processors = sorted(os.sched_getaffinity(0))
        if self.count % len(processors):
            return None
        return processors[number % len(processors)]


def _begin_work(lifeline: Any, home: str, places: Any, environment: dict[str, str]) -> None:
    """What a worker process does before its first job."""
    os.environ.update(environment)  # it may have changed since `begin`
    processor = places.get()
    if processor is not None:
        with suppress(OSError):  # it may have been taken away
            os.sched_setaffinity(0, {processor})
    os.setsid()  # Ctrl-C is for the coordinator, which ends its workers
    threading.Thread(target=_follow_coordinator, args=(lifeline,), daemon=True).start()
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(dir=home)


def _follow_coordinator(lifeline: Any) -> None:
    """End at once when the coordinator does, or lets go: nobody would take the results."""
    parent = multiprocessing.parent_process()
    connection.wait([lifeline, *([parent.sentinel] if parent is not None else [])])
    os.kill(os.getpid(), signal.SIGKILL)


# ---------------------------------------------------------------- folders


@contextmanager
def home() -> Iterator[Path]:
    """A folder for this process, which also goes if the process is killed: with the next one's."""
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers() -> None:
    """Remove the folders of those who were killed."""
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
