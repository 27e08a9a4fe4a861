"""The same jobs on more than one machine: a Dask cluster, somebody else's to start and to end.

The machines need this Python environment, bubblewrap with it, and nothing else of the course: no
shared folder and no access to the gradebook. What is handed in goes to them, what came of it comes
back, and this process alone writes it down.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any

from nbwarden.batch import BatchError, Job
from nbwarden.task import Package, Result, Task, run
from nbwarden.workers import TRIES, Lost

#: Seconds to wait for a scheduler to answer.
PATIENCE = 20.0

#: nbgrader changes the working directory, so one process grades one submission at a time.
_one_at_a_time = threading.Lock()


class ClusterPool:
    """The workers of a Dask cluster; a context manager.

    Parameters
    ----------
    address : str
        Where the scheduler listens, such as "tcp://host:8786".

    Raises
    ------
    BatchError
        If Dask is not installed, no scheduler answers, or it has no workers.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._client: Any = None

    def __enter__(self) -> ClusterPool:
        try:
            import dask
            import distributed
        except ImportError:
            raise BatchError(
                "to grade on a cluster, install distributed here and on its workers: "
                "pip install 'dlnorm[cluster]'"
            ) from None
        dask.config.set({"distributed.scheduler.allowed-failures": TRIES})
        try:
            connect: Any = distributed.Client
            self._client = connect(self.address, timeout=PATIENCE, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise BatchError(f"no Dask scheduler answers at {self.address}: {reason}") from None
        if not self._workers():
            self._client.close()
            raise BatchError(
                f"the cluster at {self.address} has no workers; start some: "
                f"dask worker {self.address} --nworkers -1 --nthreads 1"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            self._client.close()

    def _workers(self) -> int:
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Result | Lost]]:
        """Do all jobs; each comes back with its result as soon as it is there.

        Jobs are taken from the iterable as workers need them, a few ahead.
        """
        import distributed

        source = iter(jobs)
        waiting: dict[Any, Job] = {}
        done: Any = distributed.as_completed(  # type: ignore[no-untyped-call]
            loop=self._client.loop
        )
        packages: dict[str, Any] = {}

        def send() -> bool:
            job = next(source, None)
            if job is None:
                return False
            package, task = job
            if package.key not in packages:
                packages.clear()  # the cluster keeps it as long as a task needs it
                # as a task of its own it can be had again when the worker that holds it dies
                packages[package.key] = self._client.submit(_same, package, pure=False)
            future = self._client.submit(_grade, packages[package.key], task, pure=False)
            waiting[future] = job
            done.add(future)
            return True

        while send() and len(waiting) < 2 * max(1, self._workers()):
            pass
        while waiting:
            future = next(done)
            job = waiting.pop(future)
            result = self._result(future)
            future.release()
            yield job, result
            send()

    def _result(self, future: Any) -> Result | Lost:
        from distributed import KilledWorker

        try:
            result: Result = future.result()
            return result
        except KilledWorker:
            return Lost(f"its worker died {TRIES} times")
        except CancelledError:
            raise BatchError(
                f"the connection to the scheduler at {self.address} is lost. What was graded "
                "before is kept; run the same command again to go on."
            ) from None
        except Exception as error:
            return Lost(f"{type(error).__name__}: {str(error)[:200]}")


def _same(package: Package) -> Package:
    return package


def _grade(package: Package, task: Task) -> Result:
    """What a worker of the cluster does."""
    with _one_at_a_time:
        return run(package, task)
