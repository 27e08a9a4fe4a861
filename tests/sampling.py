"""Long lists of cases: `make test` tries some of each, `make test-all` every one.

Which ones is decided by a seed that is printed and comes from the commit, so the same commit is
always tested in the same way, and the next one in another.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable
from itertools import groupby
from typing import TypeVar

import pytest

from tests.support import REPO

T = TypeVar("T")

#: How many cases of one test are tried, where its marker `cases` says nothing else.
CASES = 24


class Sample:
    """What of the long lists is tried in this run; `tests/conftest.py` sets it from the options."""

    everything = False
    seed = ""


def of_commit() -> str:
    """The commit's short name, or `unknown` without Git or outside a repository."""
    command = ["git", "-C", str(REPO), "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def sample(name: str, cases: Iterable[T], keep: int) -> list[T]:
    """Return `keep` of the cases in their order, or all of them if there are no more or all count.

    The name tells one list from another, so that not all lists are sampled at the same places.
    """
    listed = list(cases)
    if Sample.everything or len(listed) <= keep:
        return listed

    def rank(number: int) -> bytes:
        return hashlib.sha256(f"{Sample.seed}/{name}/{number}".encode()).digest()

    kept = sorted(sorted(range(len(listed)), key=rank)[:keep])
    return [listed[number] for number in kept]


def thin(items: list[pytest.Item]) -> list[pytest.Item]:
    """Take out of the list what of the tests with many cases is not tried, and return it."""
    kept = []
    for name, cases in groupby(items, lambda item: item.nodeid.partition("[")[0]):
        listed = list(cases)
        marker = listed[0].get_closest_marker("cases")
        kept += sample(name, listed, marker.args[0] if marker else CASES)
    chosen = set(kept)
    left = [item for item in items if item not in chosen]
    items[:] = kept
    return left
