"""Values as one message: plain ones, and arrays of numbers. Reading one runs nobody's code.

A message is a JSON text with its length in front, and the bytes of all arrays behind it.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

#: Bytes that a message may have.
LONGEST = 20 << 20
#: Containers in containers.
DEEPEST = 30
#: Bytes that a value counts for beside its own, about what Python needs for one.
COST = 32
#: How often a value needs each of these in a message.
MARKS = {b"{": 1, b"[": 2, b",": 5}
#: Numbers that an array without entries may have along its other axes, multiplied.
WIDEST = 1 << 20
#: Booleans, integers, floating-point and complex numbers.
NUMBERS = "biufc"
#: Types that a message may name.
KINDS = 1000
#: Digits of an integer: Python reads no more.
DIGITS = 4300


class Other:
    """Stands for a value that is no data; only the name of its type has come."""


def pack(value: Any) -> bytes:
    """Turn a value into a message.

    Parameters
    ----------
    value : None, bool, int, float, complex, str, list, tuple, dict with str keys, or ndarray
        Any nesting of these. A subclass of one of them goes as what it is a subclass of, except
        for arrays. What is anything else is replaced by the name of its type.

    Raises
    ------
    ValueError
        If the message has more than `LONGEST` bytes.
    """
    arrays: list[bytes] = []
    room, end = LONGEST, 0

    def spend(size: int) -> None:
        nonlocal room
        room -= size
        if room < 0:
            raise ValueError(f"more than {LONGEST >> 20} MB came back")

    def plain(part: Any, depth: int) -> Any:
        nonlocal end
        spend(COST)
        kind = type(part)
        if part is None or kind is bool:
            return part
        if isinstance(part, str):
            spend(len(part))
            return str.__str__(part)
        if kind is np.ndarray or isinstance(part, np.generic):
            if part.dtype.kind in NUMBERS:
                spend(part.nbytes)
                arrays.append(part.tobytes())
                start, end = end, end + part.nbytes
                return {"a": [part.dtype.str, list(part.shape), start, kind is not np.ndarray]}
            return {"o": f"an array of dtype {part.dtype}" if part.shape else kind.__name__}
        if isinstance(part, int) and int.bit_length(part) < 3 * DIGITS:
            return int.__int__(part)
        if isinstance(part, float):
            return {"f": float.hex(part)}
        if kind is complex:
            return {"c": [part.real.hex(), part.imag.hex()]}
        if depth < DEEPEST:
            if isinstance(part, list | tuple):
                entries = [plain(entry, depth + 1) for entry in part]
                return {"l" if isinstance(part, list) else "t": entries}
            if isinstance(part, dict) and all(isinstance(key, str) for key in part):
                for key in part:
                    spend(len(key))
                return {
                    "d": {str.__str__(key): plain(each, depth + 1) for key, each in part.items()}
                }
        return {"o": kind.__name__}

    text = json.dumps(plain(value, 0)).encode()
    return struct.pack("<I", len(text)) + text + b"".join(arrays)


def unpack(message: bytes) -> Any:
    """Turn a message, which may come from anybody, into a value.

    Raises
    ------
    ValueError
        If it is none.
    """
    if len(message) > 2 * LONGEST:
        raise ValueError(f"a message of {len(message) >> 20} MB is too long")
    try:
        (size,) = struct.unpack_from("<I", message)
        text = message[4 : 4 + size]
        # before it is read, as each of them takes much more memory than room in the message
        if any(text.count(mark) > times * (LONGEST // COST) for mark, times in MARKS.items()):
            raise ValueError("it holds too many values")
        return _Reader(message[4 + size :]).made(json.loads(text), 0)
    except (ValueError, TypeError, KeyError, AttributeError, struct.error, OverflowError,
            RecursionError, MemoryError) as error:  # fmt: skip
        raise ValueError(f"this is no message: {type(error).__name__}: {error}") from None


class _Reader:
    """Makes the values of one message, whose arrays lie one behind the other in `data`."""

    def __init__(self, data: bytes) -> None:
        self.data, self.read = data, 0
        self.others: dict[str, type[Other]] = {}

    def made(self, part: Any, depth: int) -> Any:
        if part is None or isinstance(part, bool | int | str):
            return part
        ((kind, content),) = part.items()
        if depth > DEEPEST:
            raise ValueError("it is nested too deep")
        if kind == "f":
            return float.fromhex(content)
        if kind == "c":
            real, imag = content
            return complex(float.fromhex(real), float.fromhex(imag))
        if kind in ("l", "t") and isinstance(content, list):
            entries = [self.made(entry, depth + 1) for entry in content]
            return entries if kind == "l" else tuple(entries)
        if kind == "d":
            return {key: self.made(entry, depth + 1) for key, entry in content.items()}
        if kind == "o":
            return self.other("".join(letter for letter in content[:80] if letter.isprintable()))
        if kind == "a":
            name, shape, start, scalar = content
            return self.array(name, shape, start, scalar)
        raise ValueError(f"nothing is called {kind!r:.20}")

    def other(self, name: str) -> Other:
        if name not in self.others:
            if len(self.others) >= KINDS:  # a class takes a thousand times its name
                raise ValueError("it speaks of too many types")
            self.others[name] = type(name, (Other,), {})
        return self.others[name]()

    def array(self, name: str, shape: list[int], start: int, scalar: bool) -> Any:
        dtype = np.dtype(name) if len(name) <= 5 and name[1:2] in NUMBERS else None
        if dtype is None or dtype.kind not in NUMBERS or any(type(n) is not int for n in shape):
            raise ValueError("an array is of numbers")
        if len(shape) > 32 or not all(0 <= n <= max(WIDEST, len(self.data)) for n in shape):
            raise ValueError("an array lies beyond the message")
        size = dtype.itemsize * math.prod(shape)
        if start != self.read or start + size > len(self.data):  # none is read twice
            raise ValueError("an array lies beyond the message")
        if math.prod(n or 1 for n in shape) > max(WIDEST, len(self.data)):
            raise ValueError("an array without entries is too wide")
        self.read += size
        piece = bytearray(self.data[start : start + size])
        array = np.frombuffer(piece, dtype).reshape(shape)
        return array[()] if scalar else array
