"""Files that somebody else put there: opened without following links, read up to a limit."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

_MB = 2**20
#: What nbgrader's exchange puts beside a submission, and needs again for the feedback.
EXCHANGE = ("timestamp.txt", "submission_secret.txt")
#: So many names in a folder are looked at.
_NAMES = 20_000


class UnreadableError(Exception):
    """What was handed in cannot be read; the text says why."""


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file: no link, no device, no more than `most` bytes.

    Raises
    ------
    UnreadableError
        With the reason.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnreadableError(f"{path.name} is missing") from None
    except OSError as error:
        kind = "a link" if path.is_symlink() else f"not readable ({error.strerror})"
        raise UnreadableError(f"{path.name} is {kind}; hand in the file itself") from None
    info = os.fstat(handle)
    if not stat.S_ISREG(info.st_mode):
        os.close(handle)
        raise UnreadableError(f"{path.name} is not a file")
    with os.fdopen(handle, "rb") as stream:
        if info.st_size > most:
            raise UnreadableError(
                f"{path.name} has {info.st_size / _MB:.0f} MB; {most / _MB:.0f} MB are accepted"
            )
        return stream.read(most + 1)[:most]


@dataclass
class Sorted:
    """The files of a folder by what becomes of them: names below the folder, as given there.

    `taken` are read, and no others; `strange` do not belong to the assignment, or are no files;
    `large` would have been welcome.
    """

    taken: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    large: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Welcome:
    """Which files of a submission are taken in, as their names say, and how much of them.

    Attributes
    ----------
    notebooks : tuple of str
        The assignment's; any other notebook is looked at as well.
    overwritten : frozenset of str
        Files that the instructor's replace, so that nobody has to read them.
    patterns : tuple of str
        What else is welcome, besides what nbgrader's exchange puts there.
    notebook, each, all : int
        Bytes of a notebook, of any other file, and of all together.
    files : int
    """

    notebooks: tuple[str, ...]
    overwritten: frozenset[str]
    patterns: tuple[str, ...]
    notebook: int
    each: int
    all: int
    files: int

    def sort(self, folder: Path) -> Sorted:
        """Sort a folder's files, by nothing but names and sizes; no link is followed."""
        found = Sorted()
        if folder.is_symlink():
            return found
        sizes = {}
        for path in islice(_walk(folder), _NAMES):
            name = path.relative_to(folder).as_posix()
            info = path.lstat()
            if name in self.overwritten:
                continue
            if stat.S_ISREG(info.st_mode) and self._welcome(name):
                sizes[name] = info.st_size
            else:
                found.strange.append(name)
        left = self.all
        for name in sorted(sizes, key=lambda name: (name not in self.notebooks, name)):
            most = self.notebook if name.lower().endswith(".ipynb") else self.each
            if len(found.taken) < self.files and sizes[name] <= min(left, most):
                found.taken.append(name)
                left -= sizes[name]
            elif name not in self.notebooks:  # who reads the notebook says what is wrong with it
                found.large.append(name)
        return found

    def _welcome(self, name: str) -> bool:
        by_pattern = any(
            fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name.lower(), pattern)
            for pattern in self.patterns
        )
        return by_pattern or name in EXCHANGE or name.lower().endswith(".ipynb")


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=False):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        folders[:] = sorted(set(folders) - set(links))
        for name in sorted([*files, *links]):
            yield Path(parent, name)
