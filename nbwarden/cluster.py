"""The same jobs on more than one machine: a Dask cluster, somebody else's to start and to end.

The machines need this Python environment, bubblewrap with it, and nothing else of the course: no
shared folder and no access to the gradebook. What is executed goes to them, what cells put out
comes back, and this process alone writes it down.
"""

from __future__ import annotations

import time
from concurrent.futures import CancelledError, Executor
from types import TracebackType
from typing import Any

from nbwarden.workers import Pool

#: Seconds to wait for a scheduler to answer, and for a worker in the place of one that died.
PATIENCE = 20.0


class ClusterError(RuntimeError):
    """There is no cluster, or no longer; the text says what to do."""


class ClusterPool(Pool):
    """The workers of a Dask cluster; a context manager.

    Parameters
    ----------
    address : str
        Where the scheduler listens, such as "tcp://host:8786".

    Raises
    ------
    ClusterError
        If Dask is not installed, no scheduler answers, or it has no workers.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._client: Any = None

    def __enter__(self) -> ClusterPool:
        try:
            import distributed
        except ImportError:
            raise ClusterError(
                "to grade on a cluster, install distributed here and on its workers: "
                "pip install 'dlnorm[cluster]'"
            ) from None
        self.deaths = (distributed.KilledWorker, CancelledError)
        try:
            connect: Any = distributed.Client
            self._client = connect(self.address, timeout=PATIENCE, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ClusterError(f"no Dask scheduler answers at {self.address}: {reason}") from None
        try:
            self.look()
        except ClusterError:
            self._client.close()
            raise
        self.window = 2 * self._workers()
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

    def executor(self) -> Executor:
        """The cluster."""
        executor: Executor = self._client.get_executor(pure=False)
        return executor

    def renew(self) -> None:
        """Begin again; the cluster itself puts others in the place of workers that died."""
        end = time.monotonic() + PATIENCE
        while self._client.status == "running" and not self._workers() and time.monotonic() < end:
            time.sleep(0.1)
        self.look()

    def look(self) -> None:
        """Raise an error if the cluster is gone, or has no workers."""
        if self._client.status != "running":
            raise ClusterError(
                f"the connection to the scheduler at {self.address} is lost. What was graded "
                "before is kept; run the same command again to go on."
            )
        if not self._workers():
            raise ClusterError(
                f"the cluster at {self.address} has no workers; start some, and run the same "
                f"command again to go on: dask worker {self.address} --nworkers -1 --nthreads 1"
            )
