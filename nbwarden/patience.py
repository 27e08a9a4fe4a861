"""Show what a student wrote, for as long as that may take, and no longer.

A few lines can be made to take a renderer minutes and gigabytes. A short text cannot take long; a
long one is rendered in a process of its own, which has limits and can be killed. A page has so many
seconds for all it shows. In the place of what is not rendered stands a note.
"""

from __future__ import annotations

import html
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from nbwarden.remembered import LONGEST

#: Seconds of processor time that one text may take, and all those of a page.
ONE, ALL = 10.0, 30.0
#: Seconds of the clock, on a machine that does much else.
WAIT = 60.0
#: Bytes of memory that rendering a text may add, and bytes that may come of it.
MEMORY, MOST = 2**30, 2**26
#: Characters that are shown of a text that cannot be rendered.
_BEGINNING = 1000


class Patience:
    """The seconds that are left for one page."""

    def __init__(self) -> None:
        self.left = ALL

    def render(self, function: Callable[[str], str], text: str) -> str:
        """What a function makes of a text, or HTML that says why it is not shown."""
        if self.left <= 0:
            return note(text)
        began = time.thread_time()
        if not is_apart(text):
            made: str | None = function(text)
            self.left -= time.thread_time() - began
        else:
            made, seconds = _apart(function, text, min(ONE, self.left))
            self.left -= seconds
        return note(text) if made is None else made


def is_apart(text: str) -> bool:
    """Whether a text is rendered in a process of its own, whose memory is lost with it."""
    return len(text) > LONGEST


def note(text: str) -> str:
    """What stands on the page in the place of a text that takes too long."""
    return (
        f"<p><b>Not shown in full: these {len(text):,} characters take too long to lay out. It "
        f"costs no points. They begin:</b></p><pre>{html.escape(text[:_BEGINNING])}</pre>"
    )


def _apart(function: Callable[[str], str], text: str, seconds: float) -> tuple[str | None, float]:
    """Call a function in a process of its own: its result, or None; and the processor time."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.close(reader)
            _limit(int(seconds) + 1)
            made = function(text).encode("utf-8", "replace")
            if len(made) <= MOST:
                with os.fdopen(writer, "wb") as stream:
                    stream.write(b"." + made)
        os._exit(0)
    os.close(writer)
    result = _read(reader)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, _, used = os.wait4(child, 0)
    return result, used.ru_utime + used.ru_stime


def _limit(seconds: int) -> None:
    """Hold this process to its share of processor time and memory."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    with suppress(OSError, ValueError):  # not every system knows it
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (_data() + MEMORY, hard))


def _data() -> int:
    """Bytes of data that this process has; 0 where the system does not say."""
    with suppress(OSError), open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _read(reader: int) -> str | None:
    """What comes through a pipe until it ends; None if that is nothing, or takes too long."""
    end, parts = time.monotonic() + WAIT, list[bytes]()
    with os.fdopen(reader, "rb", buffering=0) as stream:
        while select.select([stream], [], [], max(0.0, end - time.monotonic()))[0]:
            part = stream.read(1 << 20)
            if not part:
                whole = b"".join(parts)
                return whole[1:].decode() if whole else None
            parts.append(part)
    return None
