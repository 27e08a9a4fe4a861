"""Pictures in text cells: what is taken in of them, and how they are shown.

A picture is shown inside the page, as data of an `img`, where nothing in it can run or load
anything. One that cannot be shown leaves a sentence in its place that says why.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from bleach.html5lib_shim import Filter  # type: ignore[import-untyped]
from mistune.renderers.html import HTMLRenderer
from nbconvert.filters.markdown_mistune import IPythonRenderer

from nbwarden.files import UnreadableError, read_bytes
from nbwarden.members import shown

_MB = 2**20
#: What browsers show.
KINDS = tuple(
    f"image/{kind}" for kind in ("svg+xml", "png", "jpeg", "webp", "gif", "avif", "bmp", "apng")
)
_ALSO_CALLED = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
#: The kinds of pictures that are shown, by the endings of files.
ENDINGS = {
    **{f".{kind.removeprefix('image/')}": kind for kind in KINDS},
    **{".svg": "image/svg+xml", ".jpg": "image/jpeg"},
}
#: In place of a picture that is not taken in, why.
_REASON = "text/plain"
#: The longest address of a picture that is looked at as a name.
_LONGEST = 2000
_DATA = re.compile(r"data:(image/[\w.+-]+);base64,([A-Za-z0-9+/=]{1000,})")


@dataclass
class Room:
    """How many bytes of pictures are taken in: of each, and of all together."""

    each: int = 10 * _MB
    all: int = 30 * _MB

    def reason_against(self, size: int) -> str:
        """Why a picture of that size is not taken; if it is, its bytes count."""
        if size > self.each:
            return f"it has {size / _MB:.1f} MB; {self.each / _MB:.0f} MB are accepted"
        if size > self.all:
            return "the pictures of this notebook are too large together"
        self.all -= size
        return ""


def is_base64(content: Any, most: int = 10 * _MB) -> bool:
    """Whether a text is base64 of at most so many bytes, and nothing else."""
    if not isinstance(content, str) or len(content) > most * 4 / 3 + 4:
        return False
    try:
        base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


# ---------------------------------------------------------------- taking in


def taken(attachments: Any, room: Room) -> dict[str, dict[str, str]]:
    """What is taken of a cell's attachments: of each one picture, or why there is none."""
    entries = attachments.items() if isinstance(attachments, dict) else ()
    return {_writable(str(name)): _taken(data, room) for name, data in entries}


def _writable(name: str) -> str:
    """A name of bearable length, without the halves of characters that no file can hold."""
    return name[:_LONGEST].encode("utf-8", "replace").decode()


def _taken(data: Any, room: Room) -> dict[str, str]:
    kinds = {}
    for kind, content in data.items() if isinstance(data, dict) else ():
        if isinstance(content, list) and all(isinstance(line, str) for line in content):
            content = "".join(content)
        kinds[_ALSO_CALLED.get(str(kind), str(kind))] = content
    for kind in KINDS:
        if kind in kinds:
            content = kinds[kind]
            if kind == "image/svg+xml" and isinstance(content, str) and "<" in content:
                content = base64.b64encode(content.encode("utf-8", "replace")).decode()
            if not isinstance(content, str) or not is_base64(content, len(content)):
                return {_REASON: "it is damaged"}
            reason = room.reason_against(len(content) * 3 // 4)
            return {_REASON: reason} if reason else {kind: content}
    return {_REASON: _cannot_show(next(iter(kinds), "nothing"))}


def _cannot_show(kind: str) -> str:
    return f"browsers do not show {shown(kind[:50])}; save it as PNG or JPEG"


def moved_out(source: str, attachments: Any) -> tuple[str, dict[str, Any]]:
    """A text without the pictures that are written out in it, and these among the attachments."""
    attachments = dict(attachments) if isinstance(attachments, dict) else {}

    def name(match: re.Match[str]) -> str:
        key = f"picture-in-the-text-{len(attachments)}"
        attachments[key] = {match[1]: match[2]}
        return f"attachment:{key}"

    return _DATA.sub(name, source), attachments


# ---------------------------------------------------------------- showing


@dataclass
class Page:
    """What a page shows already: each picture once, and small ones again."""

    room: int = 60 * _MB
    room_for_repeated: int = _MB
    there: set[bytes] = field(default_factory=set)

    def reason_against(self, picture: str) -> str:
        """Why a picture is not shown; if it is, it counts."""
        digest = hashlib.sha256(picture.encode()).digest()
        if digest in self.there:
            self.room_for_repeated -= len(picture)
            if self.room_for_repeated < 0:
                return "it is shown above"
        self.there.add(digest)
        self.room -= len(picture)
        return "this page has no room for more pictures" if self.room < 0 else ""


class Pictures:
    """The pictures that one cell may show.

    Parameters
    ----------
    attachments : dict
        Of the cell, as `taken` gives them.
    folder : Path, optional
        Where the files are that the cell may name.
    page : Page
    """

    def __init__(self, attachments: dict[str, Any], folder: Path | None, page: Page) -> None:
        self.attachments = {_normal(name): data for name, data in attachments.items()}
        self.folder, self.page = folder, page
        self._written_out: list[str] = []

    def short(self, address: str) -> str:
        """An address that can be repeated without harm, for one that may be a whole picture."""
        if len(address) <= _LONGEST:
            return address
        if address not in self._written_out:
            self._written_out.append(address)
        return f"data:,{self._written_out.index(address)}"

    def data(self, address: str) -> str:
        """A picture as a data URI.

        Raises
        ------
        UnreadableError
            If it cannot be shown; the text says why.
        """
        if address.startswith("data:,") and address[6:].isdecimal():
            number = int(address[6:])
            address = self._written_out[number] if number < len(self._written_out) else ""
        data = self._data(address)
        if reason := self.page.reason_against(data):
            raise UnreadableError(reason)
        return data

    def _data(self, address: str) -> str:
        scheme, colon, rest = address.partition(":")
        if colon and scheme == "attachment":
            data = self.attachments.get(_normal(rest)) or self.attachments.get(
                _normal(unquote(rest))
            )
            if data is None:
                raise UnreadableError("it is not in the notebook")
            for kind in KINDS:
                if kind in data:
                    return f"data:{kind};base64,{data[kind]}"
            raise UnreadableError(str(data.get(_REASON, "it is not in the notebook")))
        if not address:
            raise UnreadableError("there is no address at which it could be")
        if colon and scheme == "data":
            if not is_picture(address):
                raise UnreadableError("it is damaged, or no picture")
            return address
        if colon or address.startswith("/"):
            raise UnreadableError("pictures from elsewhere are not loaded; hand it in")
        return self._from_file(unquote(re.split("[?#]", address)[0]))

    def _from_file(self, name: str) -> str:
        kind = kind_of(name)
        if not kind:
            raise UnreadableError(_cannot_show(f"{Path(name).suffix or 'such'} files"))
        absent = UnreadableError("it is not among the files that were handed in or out")
        if self.folder is None or "\0" in name:
            raise absent
        folder = self.folder.resolve()
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise absent
        content = read_bytes(path, Room.each)
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def kind_of(name: str) -> str:
    """The kind of picture that a file's name promises; empty if none that is shown."""
    return ENDINGS.get(Path(name).suffix.lower(), "")


def is_picture(address: str) -> bool:
    """Whether an address holds a whole picture that browsers show."""
    kind, _, content = address.partition(";base64,")
    return kind.removeprefix("data:") in KINDS and kind.startswith("data:") and is_base64(content)


def _normal(name: str) -> str:
    """A file's name, however the system writes its accents."""
    return unicodedata.normalize("NFC", name)


class Renderer(IPythonRenderer):
    """Renders text, with pictures by their names: `ShowPictures` knows what they are.

    An address is written once for each time that it is referred to, so a long one is cut short.
    """

    def __init__(self, pictures: Pictures) -> None:
        super().__init__(escape=False, anchor_link_text="¶")
        self.pictures = pictures

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """An `img` that may name an attachment or a file."""
        return HTMLRenderer.image(self, text, self.pictures.short(url), title and title[:_LONGEST])

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """A link, or, if its address is beyond reason, its text."""
        if len(url) > _LONGEST:
            return text
        return super().link(text, url, title and title[:_LONGEST])


class ShowPictures(Filter):  # type: ignore[misc]
    """Puts pictures in the place of their names, while HTML is cleaned."""

    def __init__(self, source: Any, pictures: Pictures) -> None:
        super().__init__(source)
        self.pictures = pictures

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for token in super().__iter__():
            if token["type"] not in ("StartTag", "EmptyTag") or token["name"] != "img":
                yield token
                continue
            address = token["data"].pop((None, "src"), "")
            try:
                token["data"][(None, "src")] = self.pictures.data(address)
                yield token
            except UnreadableError as error:
                name = "" if address.startswith("data:") else unquote(address)
                name = shown(name.removeprefix("attachment:"))
                text = f"[The picture {name} is not shown: {error}.]".replace("  ", " ")
                frame = {"name": "em", "namespace": token["namespace"]}
                yield {"type": "StartTag", "data": {}, **frame}
                yield {"type": "Characters", "data": text}
                yield {"type": "EndTag", "data": {}, **frame}
