"""Measure experiments at their full settings: `python book/measure.py [NAME ...] [--jobs N]`.

What comes out goes to `book/data/experiments.json`, which is committed: a build of the book has no
hour for it. Without names it measures what the record has not of today's code and settings. Every
seed is kept as soon as it is measured, and every experiment is written to the record as soon as
its seeds are complete: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dlnorm import experiments
from dlnorm.experiments import _record
from dlnorm.experiments._record import Entry, RecordError
from dlnorm.experiments._run import (
    cache_folder,
    code_digest,
    key_of,
    module_of,
    one_thread,
    seed_of,
)

#: What a seed is expected to take, in seconds of a processor, until it has been measured.
UNKNOWN = 30.0


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, measure, and write the record."""
    parser = argparse.ArgumentParser(
        description="Measure experiments at their full settings, and record what came out for the "
        "book. A run that was stopped goes on where it was."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="which (default: all whose record is not current)"
    )
    parser.add_argument("--jobs", type=int, default=0, help="how many at a time (0: one a core)")
    parser.add_argument(
        "--cache", type=Path, default=cache_folder(), help="where seeds are kept (%(default)s)"
    )
    arguments = parser.parse_args(argv)
    unknown = [name for name in arguments.names if name not in experiments.NAMES]
    if unknown:
        parser.error(
            f"no experiment {', '.join(unknown)}; there are: {', '.join(experiments.NAMES)}"
        )
    if arguments.jobs < 0:
        parser.error(f"--jobs must be 0 or more, got {arguments.jobs}")
    try:
        entries = _record.load() if _record.path().is_file() else {}
    except RecordError as error:
        parser.error(str(error))
    names = arguments.names or [name for name in experiments.NAMES if outdated(name, entries)]
    started = time.monotonic()
    try:
        measure(names, entries, arguments.cache, arguments.jobs or os.cpu_count() or 1)
    except KeyboardInterrupt:
        print("Stopped. What was measured is kept; the same command goes on from there.")
        return 130
    print(f"{len(names)} measured in {time.monotonic() - started:.0f} s: {_record.path()}")
    return 0


def outdated(name: str, entries: dict[str, Entry]) -> bool:
    """Whether the record lacks an experiment's numbers, of today's code and settings."""
    entry = entries.get(name)
    return entry is None or "values" not in entry or not _record.current(name, entry)


def measure(names: list[str], entries: dict[str, Entry], cache: Path, jobs: int) -> None:
    """Measure the seeds of some experiments, `jobs` at a time, and write each that is complete."""
    expected = {name: expected_seconds(name, entries.get(name)) for name in names}
    left = {name: set(module_of(name).Settings.full().seeds) for name in names}
    took = dict.fromkeys(names, 0.0)
    keys = {name: key_of(name, module_of(name).Settings.full()) for name in names}
    total = round(sum(expected[name] * len(left[name]) for name in names))
    with (
        ProcessPoolExecutor(jobs) as pool,
        tqdm(
            total=total, unit="s", disable=None, bar_format="{l_bar}{bar}| {remaining} left"
        ) as bar,
    ):
        waiting = {pool.submit(one_seed, name, seed, cache, keys[name]): (name, seed)
                   for name in names for seed in sorted(left[name])}  # fmt: skip
        try:
            for done in as_completed(waiting):
                name, seed = waiting[done]
                took[name] += done.result()
                left[name].remove(seed)
                bar.update(expected[name])
                if not left[name]:
                    # nothing is known of seeds that were all in the cache but what is recorded
                    seconds = took[name] or entries.get(name, {}).get("seconds", 0.0)
                    entry = entry_of(name, cache, seconds)
                    _record.add(name, entry)
                    tqdm.write(f"{name}: {entry['said']} ({took[name]:.0f} s)")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def expected_seconds(name: str, entry: Entry | None) -> float:
    """How long one seed is expected to take: as long as it took when the record was made."""
    if entry is None or "seconds" not in entry:
        return UNKNOWN
    return float(entry["seconds"]) / len(module_of(name).Settings.full().seeds)


def one_seed(name: str, seed: int, cache: Path, key: dict[str, Any]) -> float:
    """Measure a seed, unless it is in the cache; return how many seconds it took."""
    with one_thread():
        return seed_of(name, module_of(name).Settings.full(), seed, cache, key)[1]


def entry_of(name: str, cache: Path, seconds: float) -> Entry:
    """What the record says of an experiment whose seeds are all in the cache."""
    result = _record.rounded(experiments.run(name, quick=False, cache=cache, disable=True))
    said = experiments.verdict(result)
    quick = experiments.verdict(experiments.run(name, cache=cache, disable=True))
    return {
        "reproduced": said.reproduced,
        "said": str(said),
        "quick": quick.reproduced,
        "settings": repr(result.settings),
        "measured": datetime.now(UTC).date().isoformat(),
        "with": _record.versions(),
        "seconds": round(seconds),
        "code": code_digest(name),
        "values": _record.encoded(result.values),
    }


if __name__ == "__main__":
    sys.exit(main())
