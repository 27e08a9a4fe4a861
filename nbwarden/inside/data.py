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
#: Numbers that an array without entries may have along its other axes, multiplied.
WIDEST = 1 << 20
#: Booleans, integers, floating-point and complex numbers.
NUMBERS = "biufc"
#: Digits of an integer: Python reads no more.
DIGITS = 4300


class Other:
    """Stands for a value that is no data; only the name of its type has come."""


def pack(value: Any) -> bytes:
    """Turn a value into a message.

    Parameters
    ----------
    value : None, bool, int, float, complex, str, list, tuple, dict with str keys, or ndarray
        Any nesting of these. What is anything else is replaced by the name of its type.

    Raises
    ------
    ValueError
        If the message has more than `LONGEST` bytes.
    """
    arrays: list[bytes] = []
    room = LONGEST

    def spend(size: int) -> None:
        nonlocal room
        room -= size
        if room < 0:
            raise ValueError(f"more than {LONGEST >> 20} MB came back")

    def plain(part: Any, depth: int) -> Any:
        spend(16)
        kind = type(part)
        if part is None or kind is bool or (kind is int and part.bit_length() < 3 * DIGITS):
            return part
        if kind is str:
            spend(len(part))
            return part
        if kind is float:
            return {"f": part.hex()}
        if kind is complex:
            return {"c": [part.real.hex(), part.imag.hex()]}
        if kind is np.ndarray or isinstance(part, np.generic):
            if part.dtype.kind in NUMBERS and part.dtype.isnative and kind is not np.void:
                spend(part.nbytes)
                start = sum(map(len, arrays))
                arrays.append(part.tobytes())
                return {"a": [part.dtype.str, list(part.shape), start, kind is not np.ndarray]}
            return {"o": f"an array of dtype {part.dtype}" if part.shape else kind.__name__}
        if depth < DEEPEST:
            if kind in (list, tuple):
                entries = [plain(entry, depth + 1) for entry in part]
                return {"l" if kind is list else "t": entries}
            if kind is dict and all(type(key) is str for key in part):
                return {"d": {key: plain(entry, depth + 1) for key, entry in part.items()}}
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
        return _made(json.loads(message[4 : 4 + size]), message[4 + size :], 0)
    except (ValueError, TypeError, KeyError, AttributeError, struct.error, OverflowError,
            RecursionError, MemoryError) as error:  # fmt: skip
        raise ValueError(f"this is no message: {type(error).__name__}: {error}") from None


def _made(part: Any, data: bytes, depth: int) -> Any:
    if part is None or isinstance(part, bool | int | str):
        return part
    ((kind, content),) = part.items()
    if depth > DEEPEST:
        raise ValueError("it is nested too deep")
    if kind == "f":
        return float.fromhex(content)
    if kind == "c":
        return complex(*map(float.fromhex, content))
    if kind in ("l", "t") and isinstance(content, list):
        entries = [_made(entry, data, depth + 1) for entry in content]
        return entries if kind == "l" else tuple(entries)
    if kind == "d":
        return {key: _made(entry, data, depth + 1) for key, entry in content.items()}
    if kind == "o":
        name = "".join(letter for letter in content[:80] if letter.isprintable())
        return type(name, (Other,), {})()
    if kind == "a":
        name, shape, start, scalar = content
        return _array(name, shape, start, scalar, data)
    raise ValueError(f"nothing is called {kind!r:.20}")


def _array(name: str, shape: list[int], start: int, scalar: bool, data: bytes) -> Any:
    dtype = np.dtype(name) if len(name) <= 5 and name[1:2] in NUMBERS else None
    if dtype is None or dtype.kind not in NUMBERS or any(type(n) is not int for n in shape):
        raise ValueError("an array is of numbers")
    size = dtype.itemsize * math.prod(shape)
    if start < 0 or min(shape, default=0) < 0 or start + size > len(data):
        raise ValueError("an array lies beyond the message")
    if len(shape) > 32 or math.prod(n or 1 for n in shape) > max(WIDEST, len(data)):
        raise ValueError("an array without entries is too wide")
    array = np.frombuffer(bytearray(data[start : start + size]), dtype).reshape(shape)
    return array[()] if scalar else array
