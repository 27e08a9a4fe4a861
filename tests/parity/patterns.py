"""The patterns of `patterns/*.txt`: a usual answer, its test cells, and an answer that is wrong.

The files are in the form of Jupytext's percent notebooks::

    # %% name key=value ...
    the right answer
    # %% test
    a test cell; there may be several
    # %% wrong
    the wrong answer

Keys: `points` of each test cell (1), `right` and `wrong`, what plain nbgrader gives for the test
cells where that is not all and nothing, with a comma between several; `manual`, the points for the
answer itself, given by hand; `cell`, `markdown` for a written answer; `needs`, a package without
which the pattern is left out; `varies`, for outputs that are not the same twice.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from tests.sampling import sample

_FOLDER = Path(__file__).parent / "patterns"
_MARK = re.compile(r"^# %% (.+)\n", re.MULTILINE)

_EVERYDAY = ("values", "functions", "classes", "printing", "magics", "files", "asynchronous")
#: Topics whose patterns are the cells of one notebook, in that order. Few notebooks, as each starts
#: a kernel for every grading; the one with automatic tests starts one for its release as well.
NOTEBOOKS = {
    "everyday": (*_EVERYDAY, "arrays", "plots", "frames"),
    "points": ("frameworks", "grading"),
}

#: How many everyday patterns are tried where not all are.
TRIED = 50


@dataclass(frozen=True)
class Pattern:
    """An answer and its tests, and what each of them scores."""

    name: str
    topic: str
    answer: str
    wrong_answer: str
    tests: tuple[str, ...]
    points: float
    right: tuple[float, ...]
    wrong: tuple[float, ...]
    manual: float | None
    is_markdown: bool
    needs: str
    varies: bool

    @property
    def test_ids(self) -> list[str]:
        """The grade_ids of its test cells."""
        return [f"{self.name}-{number}" for number in range(1, len(self.tests) + 1)]

    @property
    def is_missing(self) -> bool:
        """Whether the package that it needs is not installed."""
        return bool(self.needs) and importlib.util.find_spec(self.needs) is None


def read(topic: str) -> list[Pattern]:
    """The patterns of one file."""
    _, *pieces = _MARK.split((_FOLDER / f"{topic}.txt").read_text(encoding="utf-8"))
    sources = [source.strip("\n") for source in pieces[1::2]]
    cells = list(zip(pieces[::2], sources, strict=True))
    starts = [i for i, (mark, _) in enumerate(cells) if mark not in ("test", "wrong")]
    ends = [*starts[1:], len(cells)]
    return [_pattern(topic, cells[start:end]) for start, end in zip(starts, ends, strict=True)]


def _pattern(topic: str, cells: list[tuple[str, str]]) -> Pattern:
    (header, answer), *others = cells
    name, *keys = header.split()
    given = dict(key.split("=") for key in keys)
    tests = tuple(source for mark, source in others if mark == "test")
    (wrong_answer,) = (source for mark, source in others if mark == "wrong")
    points = float(given.pop("points", 1))

    def scores(key: str, usual: float) -> tuple[float, ...]:
        listed = given.pop(key, None)
        return tuple(map(float, listed.split(","))) if listed else (usual,) * len(tests)

    manual = given.pop("manual", None)
    pattern = Pattern(
        name=name,
        topic=topic,
        answer=answer,
        wrong_answer=wrong_answer,
        tests=tests,
        points=points,
        right=scores("right", points),
        wrong=scores("wrong", 0),
        manual=float(manual) if manual else None,
        is_markdown=given.pop("cell", "") == "markdown",
        needs=given.pop("needs", ""),
        varies=given.pop("varies", "") == "yes",
    )
    assert not given, f"{name}: unknown keys {', '.join(given)}"
    assert len(pattern.right) == len(pattern.wrong) == len(tests), f"{name}: a score for each test"
    return pattern


def chosen() -> list[Pattern]:
    """Those that are tried in this run: all that are about points, and a sample of the others."""
    everyday = [pattern for pattern in PATTERNS if pattern.topic in NOTEBOOKS["everyday"]]
    kept = sample("parity", everyday, TRIED)
    return [pattern for pattern in PATTERNS if pattern in kept or pattern not in everyday]


PATTERNS = [pattern for topics in NOTEBOOKS.values() for topic in topics for pattern in read(topic)]
