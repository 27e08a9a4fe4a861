"""What the tests need of a machine beside Python: a browser, and a sandbox.

    python -m tests.needs

finds them, or gets them where it can. What is missing all the same is said in a line, and the tests
that need it are skipped; with CI=true they fail, and so does this command.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NoReturn

import pytest

from book import browser
from nbwarden import bubblewrap

IN_CI = os.environ.get("CI", "").lower() in ("true", "1")


def lacking(line: str) -> NoReturn:
    """Skip a test that cannot run on this machine, or fail it in CI; `line` says what helps."""
    if IN_CI:
        pytest.fail(f"{line}\n(CI=true: nothing may be missing)", pytrace=False)
    pytest.skip(line)


def skipped(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """How many tests were skipped and why: a line for each reason."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ").splitlines()[0]
        for report in reports
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in reasons.most_common():
        yield f"{count} skipped: {reason}"


@functools.cache
def refusal() -> str:
    """Why there is no sandbox, in a line; empty if there is one."""
    why = bubblewrap.refusal().splitlines()
    return f"no sandbox: {why[0]}; `python -m nbwarden.bubblewrap` says what helps" if why else ""


def main() -> int:
    """Find what the tests need, or get it; 1 if something is missing in CI."""
    missing = []
    try:
        print(f"Browser: {browser.get()}", flush=True)
    except browser.NoBrowserError as error:
        missing.append(f"No browser: {error}")
    if why := bubblewrap.refusal():
        missing.append(f"No sandbox: {why}")
    else:
        print(f"Sandbox: {bubblewrap.find()}", flush=True)
    for line in missing:
        print(line, file=sys.stderr)
    if missing and not IN_CI:
        print("The tests that need what is missing are skipped.", file=sys.stderr)
    return 1 if missing and IN_CI else 0


if __name__ == "__main__":
    sys.exit(main())
