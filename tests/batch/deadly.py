"""Work for a pool that ends its worker, always or the first time only."""

import os
import signal
import time
from pathlib import Path


def work(job: str) -> str:
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.startswith("die once"):
        mark = Path(job.split()[-1], "died")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return f"done {job}"


def place(count: int) -> set[int]:
    """The processors of a worker, told when so many workers have begun."""
    others = Path(os.environ["TMPDIR"]).parent
    while len(list(others.glob("tmp*"))) < count:
        time.sleep(0.01)
    return os.sched_getaffinity(0)
