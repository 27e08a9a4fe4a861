"""Execute pages side by side, into the cache that Sphinx then looks into: `build.py` calls it.

`python book/execute.py CACHE TIMEOUT PAGE.md ...`; the timeout is that of one cell, in seconds.
A page that fails is left to Sphinx, which executes it again and shows the cell and its error.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor


def main(folder: str, timeout: str, *pages: str) -> None:
    """Execute as many pages at a time as there are cores."""

    def execute(page: str) -> None:
        started = time.monotonic()
        executor = load_executor("local-serial", get_cache(folder))
        if executor.run_and_cache(filter_uris=[page], timeout=int(timeout)).succeeded:
            print(f"executed {Path(page).stem} in {time.monotonic() - started:.1f} s", flush=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(execute, pages))


if __name__ == "__main__":
    main(*sys.argv[1:])
