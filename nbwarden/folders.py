"""Folders as values: what a submission consists of, to send it, compare it and put it in place."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

#: Of a folder that somebody else filled, so many entries travel that nobody will look into.
MOST = 1000


@dataclass(frozen=True)
class Entry:
    """One entry of a folder.

    `kind` is "file", "link" (then `content` is where it points) or "other", such as a pipe.
    `size` is that of the file, even where its content does not travel.
    """

    name: str
    kind: str
    mode: int
    content: bytes
    size: int


def pack(folder: Path, taken: Collection[str] | None = None) -> tuple[Entry, ...]:
    """What is in a folder, sorted by name; follows no link and opens nothing but files.

    Parameters
    ----------
    folder : Path
        It may be a link itself: then that link is the only entry, and its name is ".".
    taken : collection of str, optional
        The files whose content is read; of all others only the size is taken, as nobody will
        look into them, and of those no more than `MOST` are listed.
    """
    if folder.is_symlink():
        return (Entry(".", "link", 0, os.fsencode(os.readlink(folder)), 0),)
    entries: list[Entry] = []
    others = 0
    for parent, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted([*files, *links]):
            path = Path(parent, name)
            below = path.relative_to(folder).as_posix()
            read = taken is None or below in taken
            others += not read
            if read or others <= MOST:
                entries.append(_entry(path, below, read))
    return tuple(sorted(entries, key=lambda entry: entry.name))


def _entry(path: Path, name: str, read: bool) -> Entry:
    info = path.lstat()
    if stat.S_ISLNK(info.st_mode):
        return Entry(name, "link", 0, os.fsencode(os.readlink(path)), 0)
    if not stat.S_ISREG(info.st_mode):
        return Entry(name, "other", 0, b"", 0)
    content = b""
    if read:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            content = stream.read(info.st_size)
    return Entry(name, "file", stat.S_IMODE(info.st_mode), content, info.st_size)


def unpack(entries: tuple[Entry, ...], folder: Path) -> None:
    """Make the folder again: a file too large to travel has its size, and no content."""
    if entries and entries[0].name == ".":
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(os.fsdecode(entries[0].content))
        return
    folder.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        path = folder / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind == "link":
            path.symlink_to(os.fsdecode(entry.content))
        elif entry.kind == "other":
            os.mkfifo(path)
        else:
            with path.open("wb") as stream:
                stream.write(entry.content)
                if entry.size > len(entry.content):
                    stream.truncate(entry.size)
            path.chmod(entry.mode)


def checksum(entries: tuple[Entry, ...]) -> str:
    """A text that is another one if anything in the folder is another."""
    digest = hashlib.sha256()
    for entry in entries:
        head = f"{entry.name}\0{entry.kind}\0{entry.size}\0{len(entry.content)}\0"
        digest.update(head.encode("utf-8", "surrogateescape"))
        digest.update(entry.content)
    return digest.hexdigest()


def put(entries: tuple[Entry, ...], target: Path) -> None:
    """Put a folder in the place of `target`, whole or not at all.

    Raises
    ------
    OSError
        If there is no room, for one; `target` is then as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = f".{target.name}-nbw-"
    for left in target.parent.glob(f"{literal(mark)}*"):  # by a run that was killed
        _remove(left)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=mark))
    try:
        new, old = staging / "new", staging / "old"
        unpack(entries, new)
        if os.path.lexists(target):
            target.rename(old)
        new.rename(target)
    finally:
        _remove(staging)


def discard(target: Path) -> None:
    """Remove a folder that holds nothing true any more."""
    if os.path.lexists(target):
        _remove(target)


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for parent, _, _ in os.walk(path):
        os.chmod(parent, 0o700)
    shutil.rmtree(path, ignore_errors=True)


def literal(text: str) -> str:
    """A text as a pattern that matches only itself, also where blanks at its ends are cut off."""
    return "".join(f"[{c}]" if c in "*?[" or c.isspace() else c for c in text)
