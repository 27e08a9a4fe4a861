"""The names that a cell binds, read off its lines: also of a cell that does not parse.

What a student sent is looked at line by line, which takes no longer than reading it, and sees
through magics and syntax errors. So a mistake in an answer does not hide whose answer it is.
"""

from __future__ import annotations

import re

_DEFINITION = re.compile(r"^(?:async[ \t]+def|def|class)[ \t]+(\w+)", re.MULTILINE)
# possessive, or a line of blanks would be gone through once for each of them
_ASSIGNMENT = re.compile(r"^(?=\w)([\w \t,]*+)(?::[^=\n]*+)?=(?!=)", re.MULTILINE)
_IMPORT = re.compile(
    r"^(?:from[ \t]++[\w.]++[ \t]++)?import[ \t]++(\([^)#]*+|[^#\n;]*+)", re.MULTILINE
)
_WORD = re.compile(r"[^\W\d]\w*")


def defined_in(source: str) -> frozenset[str]:
    """The functions and classes that a cell defines; if none, the variables that it assigns."""
    return frozenset(_DEFINITION.findall(source)) or _assigned(source)


def bound_in(source: str) -> frozenset[str]:
    """All names that a cell binds at its left margin, those that it imports among them."""
    return frozenset(_DEFINITION.findall(source)) | _assigned(source) | _imported(source)


def mentioned_in(source: str) -> frozenset[str]:
    """All words of a cell that could be names."""
    return frozenset(_WORD.findall(source))


def _assigned(source: str) -> frozenset[str]:
    targets = (target.split(",") for target in _ASSIGNMENT.findall(source))
    names = (name.strip() for target in targets for name in target)
    return frozenset(name for name in names if name.isidentifier())


def _imported(source: str) -> frozenset[str]:
    entries = (entry for part in _IMPORT.findall(source) for entry in part.strip("(").split(","))
    return frozenset(words[-1].partition(".")[0] for entry in entries if (words := entry.split()))
