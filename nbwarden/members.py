"""What is in an archive, read with care: one member after another, in small pieces.

Nothing that an archive says about itself is believed. Its bytes are counted as they come out of
it, and reading stops where a limit is passed. A member is a file or a folder below the place
where it is unpacked, or it is not taken.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_MB = 2**20
#: So many bytes are in memory at a time.
PIECE = 64 * 2**10
#: A name may have so many bytes, one part of it so many, and it may have so many parts.
_LONGEST, _LONGEST_PART, _DEEPEST = 1000, 255, 32
#: What a tar may say about one member beside its content, in bytes.
_HEADERS = 8 * 2**10
#: So many digits are a number; more are there to keep a reader busy.
_DIGITS = 255
#: What a zip's table of contents may say about a member, in bytes.
_ENTRY = 512


class LeftOutError(Exception):
    """Something is not taken; the text says why."""


class SpoiltError(LeftOutError):
    """The archive as a whole is not taken."""


@dataclass
class Budget:
    """What may come out of an archive, with the archives inside it.

    `settings` are the names of what sets its megabytes and files, `around` is the budget of the
    archive in which it lies: what comes out of this one comes out of that one too.
    """

    archive: str
    megabytes: int
    files: int
    settings: tuple[str, str]
    around: Budget | None = None
    size: int = 0
    count: int = 0

    def take(self, size: int = 0, files: int = 0) -> None:
        """Count bytes and files that came out.

        Raises
        ------
        SpoiltError
            If they are too many.
        """
        self.size += size
        self.count += files
        megabytes, most = (f"c.SafeExtractor.{setting}" for setting in self.settings)
        if self.size > self.megabytes * _MB:
            raise SpoiltError(
                f"more than {self.megabytes} MB come out of {self.archive} ({megabytes})"
            )
        if self.count > self.files:
            raise SpoiltError(
                f"more than {self.files} files and folders come out of {self.archive} ({most})"
            )
        if self.around:
            self.around.take(size, files)


@dataclass(frozen=True)
class Member:
    """One member of an archive.

    `refused` says why it cannot be taken, if it cannot. `pieces` is its content; read it before
    the next member.
    """

    name: str
    folder: bool
    refused: str
    pieces: Iterator[bytes]


def shown(name: str) -> str:
    """A name as it can be printed: of bearable length, and with nothing a terminal would obey."""
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name
    )
    return text if len(text) <= 200 else f"{text[:197]}..."


def parts_of(name: str) -> tuple[str, ...]:
    """The folders that a member's name leads through, and what it is called there.

    Raises
    ------
    LeftOutError
        If it leads anywhere but down, or cannot be a name.
    """
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise LeftOutError("its name has characters that cannot be printed")
    if "\\" in name:
        raise LeftOutError("its name has a backslash")
    if name.startswith("/"):
        raise LeftOutError("its name is an absolute path")
    if re.match("[A-Za-z]:", name):
        raise LeftOutError("its name begins with a drive letter")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise LeftOutError("its name leads out of the archive's folder")
    longest = max((len(part.encode()) for part in parts), default=0)
    if longest > _LONGEST_PART or len(name.encode()) > _LONGEST or len(parts) > _DEEPEST:
        raise LeftOutError("its name is too long")
    return parts


def read(path: Path, budget: Budget) -> Generator[Member, None, None]:
    """The members of an archive: a zip, a tar, or either a tar or one file under gzip.

    Which of them it is, its content says, not its name.

    Raises
    ------
    SpoiltError
        If it is none, is broken, or exceeds the budget.
    """
    with _blamed(SpoiltError), path.open("rb") as stream:
        head = stream.read(tarfile.BLOCKSIZE)
        zip_ = zipfile.is_zipfile(stream)
    if not head:
        raise SpoiltError("it has no content")
    if head.startswith(b"\x1f\x8b"):
        yield from _gzip(path, budget)
    elif _begins_tar(head):  # before the zip: a tar that holds one passes for one as well
        with path.open("rb") as stream:
            yield from _tar(_Forward(stream, budget))
    elif zip_:
        yield from _zip(path, budget)
    elif head.startswith(b"PK"):
        raise SpoiltError("the end of the zip is missing; was the upload or download cut off?")
    else:
        raise SpoiltError("it is neither a zip, nor a tar, nor gzipped, whatever its name says")


def pieces_of(path: Path) -> Iterator[bytes]:
    """The content of a file that is no archive."""
    with ExitStack() as stack:
        with _blamed(LeftOutError):
            stream = stack.enter_context(path.open("rb"))
        while True:
            with _blamed(LeftOutError):
                piece = stream.read(PIECE)
            if not piece:
                return
            yield piece


@contextmanager
def _blamed(kind: type[LeftOutError]) -> Iterator[None]:
    """Whatever a reader stumbles over is the archive's fault, and is said as such."""
    try:
        yield
    except LeftOutError:
        raise
    except Exception as error:
        detail = shown(str(error)) or type(error).__name__
        raise kind(f"it is damaged and cannot be read ({detail})") from None


# ---------------------------------------------------------------- zip


class _Listed(io.BufferedReader):
    """A zip's file whose table of contents is looked at before it fills the memory."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(io.FileIO(path))
        self.most: int | None = most

    def read(self, size: int | None = -1, /) -> bytes:
        """Read; the table comes in one piece, so that its entries can be counted."""
        if self.most is not None and size is not None and size > PIECE + self.most * _ENTRY:
            raise SpoiltError("its table of contents is too long")
        data = super().read(size)
        if self.most is not None and data.count(b"PK\1\2") > self.most:
            raise SpoiltError(f"it lists more than {self.most} files and folders")
        return data


def _zip(path: Path, budget: Budget) -> Iterator[Member]:
    with ExitStack() as stack:
        with _blamed(SpoiltError):
            stream = stack.enter_context(_Listed(path, budget.files))
            archive = stack.enter_context(zipfile.ZipFile(stream))
        stream.most = None
        budget.take(files=len(archive.infolist()))
        for info in archive.infolist():
            # the name that zipfile gives ends at a NUL; the one before it is to be judged
            name = info.orig_filename if "\0" in info.orig_filename else info.filename
            yield Member(name, info.is_dir(), _refused(info), _unzipped(archive, info, budget))


def _refused(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "it is a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is neither a file nor a folder"
    if info.flag_bits & (0x1 | 0x40 | 0x2000):
        return "it is encrypted"
    # zipfile gives out all that a piece of bzip2 or LZMA inflates to, at once
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is compressed in another way than zips usually are (Deflate); zip it again"
    return ""


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> Iterator[bytes]:
    with ExitStack() as stack:
        with _blamed(LeftOutError):
            stream = stack.enter_context(archive.open(info))
        while True:
            with _blamed(LeftOutError):
                piece = stream.read(PIECE)
            if not piece:
                return
            budget.take(len(piece))
            yield piece


# ---------------------------------------------------------------- tar and gzip


class _Forward(io.BufferedIOBase):
    """A stream that counts what comes out of it, goes only forward, and never on after an error.

    `piece` is for content, `read` for tarfile, which reads headers whole, however long they are.
    """

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, budget: Budget) -> None:
        self.budget = budget
        self._stream = stream
        self._at = 0
        self._spoilt: SpoiltError | None = None
        self.headers = _HEADERS
        self.last = b""

    def piece(self, size: int) -> bytes:
        """The next bytes, so many if there are."""
        if self._spoilt:
            raise self._spoilt
        try:
            with _blamed(SpoiltError):
                data = self._stream.read(size)
                self.budget.take(len(data))
        except SpoiltError as error:
            self._spoilt = error
            raise
        self._at += len(data)
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        """Read a part of the headers."""
        most = self.headers if size is None or size < 0 else size
        self.headers -= most
        self.last = self.piece(most) if self.headers >= 0 else b""
        # before Python 3.11.10, tarfile needs the square of a number's length to read it
        if self.headers < 0 or any(len(run) > _DIGITS for run in re.findall(rb"\d+", self.last)):
            self._spoilt = SpoiltError("what it says about one of its files is too long")
            raise self._spoilt
        return self.last

    def tell(self) -> int:
        """How many bytes came out."""
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go forward to a place."""
        if whence or offset < self._at:
            raise SpoiltError("it is damaged: one of its files begins before the one before it")
        while self._at < offset and self.piece(min(PIECE, offset - self._at)):
            pass
        return self._at


def _begins_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _gzip(path: Path, budget: Budget) -> Iterator[Member]:
    """A gzipped tar, or a single gzipped file with the archive's name without its ending."""
    with _blamed(SpoiltError), gzip.open(path) as stream:
        tar = path.name.endswith((".tgz", ".tar.gz")) or _begins_tar(stream.read(tarfile.BLOCKSIZE))
    with gzip.open(path) as stream:
        forward = _Forward(stream, budget)
        if tar:
            yield from _tar(forward)
        else:
            budget.take(files=1)
            yield Member(os.path.splitext(path.name)[0], False, "", _whole(forward))


def _whole(stream: _Forward) -> Iterator[bytes]:
    while piece := stream.piece(PIECE):
        yield piece


def _tar(stream: _Forward) -> Iterator[Member]:
    with _blamed(SpoiltError):
        archive = tarfile.TarFile(fileobj=stream, errors="surrogateescape")
    while True:
        with _blamed(SpoiltError):
            info = archive.next()
        # it would keep them all
        archive.members = []  # type: ignore[attr-defined]
        archive.pax_headers = {}
        if info is None:
            break
        stream.budget.take(files=1)
        refused = "it is neither a file nor a folder"
        if info.issym() or info.islnk():
            refused = "it is a link"
        elif info.isdir() or (info.isreg() and not info.issparse()):
            refused = ""
        yield Member(info.name, info.isdir(), refused, _untarred(stream, info))
        stream.headers = _HEADERS
    if stream.last.strip(b"\0"):  # tarfile takes anything that is no header for the end
        raise SpoiltError("it is damaged or cut off in the middle")


def _untarred(stream: _Forward, info: tarfile.TarInfo) -> Iterator[bytes]:
    stream.seek(info.offset_data)
    left = info.size
    while left > 0:
        piece = stream.piece(min(PIECE, left))
        if not piece:
            raise SpoiltError("it is cut off in the middle of a file")
        left -= len(piece)
        yield piece
