"""Answers that resemble each other: a list for a person to look at, and what was compared.

Two right answers to a small exercise are alike because they are right. So what every student was
given, and what the instructor wrote, is left out first; of the rest, what few students share
counts for more than what many do. Names, comments, blank lines and layout count for nothing.
"""

from __future__ import annotations

import io
import keyword
import math
import token
import tokenize
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

#: So many tokens in a row make one piece that is compared.
LENGTH = 6
#: A pair is listed from this likeness on, if it shares at least so many pieces.
LIKENESS, SHARED = 0.5, 25
#: No more pairs than this are listed.
MOST = 25

WHAT = (
    f"Compared are the code cells that students fill in, cut into runs of {LENGTH} tokens, after "
    "renaming all variables in the order they appear and dropping comments, text layout and "
    "everything that is in the released notebook or in the instructor's solution. The likeness of "
    "two students is the weight of the runs they share over the weight of the runs of either; a "
    "run weighs more the fewer students have it. Listed are pairs with a likeness of at least "
    f"{LIKENESS:.0%} and at least {SHARED} shared runs."
)

_SKIPPED = {
    *(token.NEWLINE, token.INDENT, token.DEDENT, token.ENDMARKER, tokenize.NL, tokenize.COMMENT),
}

Pieces = set[tuple[str, ...]]


@dataclass(frozen=True)
class Pair:
    """Two students whose answers share more than chance would have it."""

    one: str
    other: str
    likeness: float
    shared: int
    cells: tuple[str, ...]


def tokens(source: str) -> list[str]:
    """The tokens of a piece of Python, with every variable renamed; of broken code, the start."""
    found: list[str] = []
    names: dict[str, str] = {}
    try:
        for entry in tokenize.generate_tokens(io.StringIO(source).readline):
            if entry.type in _SKIPPED:
                continue
            text = entry.string
            # an attribute is a word of the library; any other name is the writer's choice
            own = entry.type == token.NAME and not keyword.iskeyword(text)
            if own and not (found and found[-1] == "."):
                text = names.setdefault(text, f"name{len(names)}")
            found.append(text)
    except (tokenize.TokenError, SyntaxError):
        pass
    return found


def pieces(cell: str, source: str) -> Pieces:
    """The runs of tokens in one cell."""
    found = tokens(source)
    return {(cell, *found[i : i + LENGTH]) for i in range(len(found) - LENGTH + 1)}


def pairs(
    answers: Mapping[str, Mapping[str, str]], common: Iterable[Mapping[str, str]] = ()
) -> list[Pair]:
    """The pairs of students whose answers are most alike, the most alike first.

    Parameters
    ----------
    answers : mapping
        By student, the source of each cell.
    common : iterable of mapping
        Sources that nobody has thought up alone: the released cells, the instructor's.
    """
    known: Pieces = set()
    for source in common:
        for cell, text in source.items():
            known |= pieces(cell, text)
    own = {
        student: set().union(*(pieces(c, text) for c, text in cells.items())) - known
        for student, cells in sorted(answers.items())
    }
    spread = Counter(piece for found in own.values() for piece in found)
    weight = {piece: math.log((len(own) + 1) / count) for piece, count in spread.items()}
    total = {student: sum(weight[p] for p in found) for student, found in own.items()}
    found = []
    for one, other in combinations(own, 2):
        both = own[one] & own[other]
        if len(both) < SHARED:
            continue
        shared = sum(weight[piece] for piece in both)
        likeness = shared / (total[one] + total[other] - shared)
        if likeness >= LIKENESS:
            cells = tuple(sorted({piece[0] for piece in both}))
            found.append(Pair(one, other, likeness, len(both), cells))
    return sorted(found, key=lambda pair: (-pair.likeness, pair.one, pair.other))[:MOST]
