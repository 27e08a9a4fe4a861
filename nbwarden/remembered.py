"""Remember what was made of a text: most texts of a submission are the same for all students."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps

#: Characters: what is longer is made anew each time, or a student could fill the memory with it.
LONGEST = 10_000
#: How many results of one function are kept.
MOST = 500


def remembered(function: Callable[..., str]) -> Callable[..., str]:
    """Let a function of texts remember its results, for as long as the process lives."""
    kept = lru_cache(maxsize=MOST)(function)

    @wraps(function)
    def call(*texts: str) -> str:
        short = sum(map(len, texts)) <= LONGEST
        return (kept if short else function)(*texts)

    return call
