"""Files that somebody else put there: opened without following links, read up to a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MB = 2**20


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
