"""The experiments from the command line: ``python -m dlnorm.experiments``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from io import TextIOWrapper
from pathlib import Path

from tqdm import tqdm

from dlnorm.experiments._check import check
from dlnorm.experiments._run import NAMES, cache_folder, figure, finding, run, verdict

_EPILOG = """\
examples:
  python -m dlnorm.experiments                   all of them, at the quick settings
  python -m dlnorm.experiments --jobs 2          the same, two at a time
  python -m dlnorm.experiments --list            what there is, one line each
  python -m dlnorm.experiments bjorck_2018       one of them: its finding, then what came out
  python -m dlnorm.experiments li_2018 --full    with more seeds, larger networks, longer training
  python -m dlnorm.experiments --figures out/    and write each figure as an SVG file
  python -m dlnorm.experiments --check           is the record true to the code, the book to it?

A verdict is one of
  reproduced             the paper's finding came out here
  reproduced in part     one of its findings did, another did not
  no difference found    what there is of a difference is within its uncertainty
  not reproduced         it did not come out
and the numbers that follow it are what was measured: mean ± standard error over seeds.

Each seed is an independent repetition: other test images, other weights, another order. A result
is kept, and used again as long as neither code nor settings nor NumPy's version have changed.
The folder is _build/experiments, or what the environment variable DLNORM_CACHE or --cache says.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 if all went well."""
    parser = argparse.ArgumentParser(
        prog="python -m dlnorm.experiments",
        description="What the papers found, tried on handwritten digits, with a verdict on each.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which experiments (default: all): {', '.join(NAMES)}",
    )
    parser.add_argument("--list", action="store_true", help="name them, and run none")
    parser.add_argument(
        "--check",
        action="store_true",
        help="run none; compare the record of the full settings with the code, and what the "
        "book's pages assert with the record (1 if anything is wrong)",
    )
    parser.add_argument("--full", action="store_true", help="minutes each instead of seconds")
    parser.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="write NAME.svg for each into this folder"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help=f"where results are kept ({cache_folder()})"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="how many at a time (0: one a core)"
    )
    parser.add_argument("--no-cache", action="store_true", help="compute now, and keep nothing")
    arguments = parser.parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may lack the plus-minus sign

    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown:
        parser.error(f"no experiment {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    names = arguments.names or list(NAMES)
    if arguments.list:
        for name in names:
            print(f"{name:16} {finding(name).splitlines()[0]}")
        return 0

    if arguments.check:
        states, faults = check()
        print("\n".join(states))
        print("\n".join(f"wrong: {fault}" for fault in faults) or "Nothing is wrong.")
        return 1 if faults else 0

    if arguments.jobs < 0:
        parser.error(f"--jobs must be 0 or more, got {arguments.jobs}")
    if arguments.no_cache and arguments.jobs != 1:
        parser.error("--no-cache computes one at a time; leave out --jobs")

    started = time.monotonic()
    if arguments.jobs != 1 and len(names) > 1:
        fill_cache(names, not arguments.full, arguments.cache or True, arguments.jobs)
    for name in names:
        if arguments.names:
            print(finding(name), end="\n\n")
        cache = False if arguments.no_cache else (arguments.cache or True)
        result = run(name, quick=not arguments.full, cache=cache)
        print(f"{name}: {verdict(result)}", end="\n\n", flush=True)
        if arguments.figures:
            arguments.figures.mkdir(parents=True, exist_ok=True)
            (arguments.figures / f"{name}.svg").write_text(figure(result).svg, encoding="utf-8")
    print(f"{len(names)} in {time.monotonic() - started:.0f} s.")
    return 0


def fill_cache(names: Iterable[str], quick: bool, cache: Path | bool, jobs: int) -> None:
    """Compute what the cache lacks, `jobs` at a time, each in a process of its own."""
    names = list(names)
    with ProcessPoolExecutor(jobs or os.cpu_count()) as pool:
        waiting = {pool.submit(run, name, quick=quick, cache=cache, disable=True): name
                   for name in names}  # fmt: skip
        for done in tqdm(as_completed(waiting), total=len(names), unit="experiment", disable=None):
            done.result()


if __name__ == "__main__":
    sys.exit(main())
