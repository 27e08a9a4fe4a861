"""Values across the wall between trusted tests and untrusted answers, without pickle.

What crosses by value: None, bool, int, float, complex, str, bytes, list, tuple, dict, set,
frozenset, range, slice, NumPy arrays and scalars of numbers, dtypes, and NumPy's random
generators by their state. Everything else crosses as a reference: the object stays where it is.

Decoding never runs anything but the constructors of these types, and every size is checked
before memory is taken. The module needs NumPy and the standard library, because it also travels
into the sandbox.
"""

from __future__ import annotations

import builtins
import math
import random
import struct
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class CodecError(Exception):
    """A value cannot cross, or what came is not a value."""


@dataclass(frozen=True)
class Ref:
    """An object that stays on its own side: `side` is "student" or "trusted".

    `kind` is "object", "callable", "exception" (an exception class) or "module"; `name` is its
    type's name, or its own if it is a class, a function or a module.
    """

    side: str
    number: int
    kind: str
    name: str


@dataclass(frozen=True)
class Limits:
    """What one message may hold."""

    bytes: int = 64 * 2**20
    depth: int = 40
    items: int = 1_000_000
    int_bytes: int = 8192


#: Where the other side's objects are looked up, and where one's own are kept.
Refer = Callable[[Any], Ref]
Resolve = Callable[[Ref], Any]

# dict subclasses of the standard library that are equal to the dict with the same entries
_DICTS = (dict, OrderedDict, defaultdict, Counter)
_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
_NUMBERS = "biufc"
_TYPES: dict[str, type] = {
    name: getattr(builtins, name)
    for name in (
        *("bool", "int", "float", "complex", "str", "bytes", "list", "tuple", "dict"),
        *("set", "frozenset", "object", "type", "range"),
    )
} | {f"numpy.{t.__name__}": t for t in set(np.sctypeDict.values()) if np.dtype(t).kind in _NUMBERS}
_NAMES = {kind: name for name, kind in _TYPES.items()}
_LENGTH, _FLOAT, _COMPLEX = struct.Struct("<Q"), struct.Struct("<d"), struct.Struct("<dd")


def _nothing_stays(value: Any) -> Ref:
    raise CodecError(f"a {type(value).__name__} cannot cross by value")


def _nothing_known(ref: Ref) -> Any:
    raise CodecError(f"a reference to a {ref.name} came where none may come")


# ---------------------------------------------------------------- encoding


class _Encoder:
    def __init__(self, refer: Refer, limits: Limits) -> None:
        self.refer, self.limits = refer, limits
        self.parts: list[bytes] = []
        self.size = self.items = 0

    def put(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.limits.bytes:
            raise CodecError(f"the value is larger than {self.limits.bytes >> 20} MB")
        self.parts.append(data)

    def block(self, tag: bytes, data: bytes) -> None:
        self.put(tag + _LENGTH.pack(len(data)))
        self.put(data)

    def series(self, tag: bytes, values: Any, depth: int) -> None:
        values = list(values)
        self.put(tag + _LENGTH.pack(len(values)))
        for value in values:
            self.value(value, depth + 1)

    def array(self, tag: bytes, value: np.ndarray) -> None:
        if value.nbytes > self.limits.bytes:
            raise CodecError(f"the array is larger than {self.limits.bytes >> 20} MB")
        dtype, shape = value.dtype.str.encode(), value.shape
        head = tag + _LENGTH.pack(len(dtype)) + dtype + bytes([len(shape)])
        # the bytes are a copy in C order, whatever the strides
        self.block(head + b"".join(map(_LENGTH.pack, shape)) + b"_", value.tobytes())

    def value(self, value: Any, depth: int = 0) -> None:
        self.items += 1
        if depth > self.limits.depth:
            raise CodecError(f"the value is nested deeper than {self.limits.depth} levels")
        if self.items > self.limits.items:
            raise CodecError(f"the value has more than {self.limits.items} parts")
        kind = type(value)  # exactly this type: what a subclass does differently must not cross
        if value is None:
            self.put(b"N")
        elif kind is bool:
            self.put(b"T" if value else b"F")
        elif kind is int:
            length = value.bit_length() // 8 + 1
            if length > self.limits.int_bytes:
                raise CodecError(f"the int has more than {self.limits.int_bytes} bytes")
            self.block(b"i", value.to_bytes(length, "little", signed=True))
        elif kind is float:
            self.put(b"d" + _FLOAT.pack(value))
        elif kind is complex:
            self.put(b"c" + _COMPLEX.pack(value.real, value.imag))
        elif kind is str:
            self.block(b"s", value.encode("utf-8", "surrogatepass"))
        elif kind is bytes or kind is bytearray:
            self.block(b"b" if kind is bytes else b"B", bytes(value))
        elif kind is list or kind is tuple:
            self.series(b"l" if kind is list else b"t", value, depth)
        elif kind in _DICTS:
            entries = list(dict.items(value))
            self.put(b"m" + _LENGTH.pack(len(entries)))
            for key, entry in entries:
                self.value(key, depth + 1)
                self.value(entry, depth + 1)
        elif kind is set or kind is frozenset:
            self.series(b"S" if kind is set else b"f", value, depth)
        elif kind is range or kind is slice:
            self.series(
                b"r" if kind is range else b"/", (value.start, value.stop, value.step), depth
            )
        elif value is Ellipsis:
            self.put(b"E")
        elif kind is np.ndarray and value.dtype.kind in _NUMBERS:
            self.array(b"a", value)
        elif isinstance(value, np.generic) and _NAMES.get(kind) and value.dtype.kind in _NUMBERS:
            self.array(b"n", np.asarray(value))
        elif isinstance(value, np.dtype) and value.kind in _NUMBERS and value.names is None:
            self.block(b"D", value.str.encode())
        elif isinstance(value, type) and value in _NAMES:
            self.block(b"y", _NAMES[value].encode())
        elif kind is np.random.Generator or kind is np.random.RandomState:
            self.series(b"g" if kind is np.random.Generator else b"G", (_random(value),), depth)
        else:
            self.reference(self.refer(value))

    def reference(self, ref: Ref) -> None:
        self.put(b"R")
        for part in (ref.side, ref.number, ref.kind, ref.name[:200]):
            self.value(part)


def encode(value: Any, refer: Refer = _nothing_stays, limits: Limits | None = None) -> bytes:
    """Write `value` as bytes.

    Parameters
    ----------
    value : object
        Anything; what does not cross by value is handed to `refer`.
    refer : callable
        From an object to the `Ref` that stands for it; by default none may.
    limits : Limits, optional

    Raises
    ------
    CodecError
        If the value is larger or deeper than the limits, or holds what cannot cross.
    """
    encoder = _Encoder(refer, limits or Limits())
    encoder.value(value)
    return b"".join(encoder.parts)


def _random(value: Any) -> Any:
    """The state of a generator, as plain values."""
    if type(value) is np.random.RandomState:
        state = value.get_state(legacy=False)
    else:
        state = value.bit_generator.state
    if state["bit_generator"] not in _BIT_GENERATORS:
        raise CodecError(f"a generator on {state['bit_generator']} cannot cross")
    return state


# ---------------------------------------------------------------- decoding


class _Decoder:
    def __init__(self, data: bytes, resolve: Resolve, limits: Limits) -> None:
        self.data, self.resolve, self.limits = data, resolve, limits
        self.at = self.items = 0

    def take(self, count: int) -> bytes:
        start, end = self.at, self.at + count
        if end > len(self.data):
            raise CodecError("the message ends too early")
        self.at = end
        return self.data[start:end]

    def length(self, at_least: int) -> int:
        """A length that the rest of the message can hold, at so many bytes an item."""
        count: int = _LENGTH.unpack(self.take(8))[0]
        if count * at_least > len(self.data) - self.at:
            raise CodecError("the message ends too early")
        return count

    def block(self) -> bytes:
        return self.take(self.length(1))

    def series(self, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in range(self.length(1))]

    def dtype(self) -> np.dtype:
        text = self.block().decode("ascii")
        if len(text) > 5 or text[:1] not in "<>|=" or text[1:2] not in _NUMBERS:
            raise CodecError(f"no dtype of numbers: {text[:20]!r}")
        return np.dtype(text)

    def array(self) -> np.ndarray:
        dtype = self.dtype()
        shape = tuple(_LENGTH.unpack(self.take(8))[0] for _ in range(self.take(1)[0]))
        if self.take(1) != b"_":
            raise CodecError("an array without numbers")
        data = self.block()
        entries = math.prod(shape)
        if len(shape) > 64 or entries * dtype.itemsize != len(data) or max((0, *shape)) > 2**40:
            raise CodecError(f"an array of shape {shape[:8]} with {len(data)} bytes")
        # a copy of its own, writable and aligned
        return np.frombuffer(bytearray(data), dtype).reshape(shape)

    def key(self, depth: int) -> Any:
        key = self.value(depth)
        try:
            hash(key)
        except TypeError:
            raise CodecError(f"a {type(key).__name__} as a key") from None
        return key

    def value(self, depth: int = 0) -> Any:
        self.items += 1
        if depth > self.limits.depth:
            raise CodecError(f"nested deeper than {self.limits.depth} levels")
        if self.items > self.limits.items:
            raise CodecError(f"more than {self.limits.items} parts")
        read = self._READ.get(self.take(1))
        if read is None:
            raise CodecError("an unknown kind of value")
        return read(self, depth)

    def integer(self) -> int:
        data = self.block()
        if len(data) > self.limits.int_bytes:
            raise CodecError(f"an int of {len(data)} bytes")
        return int.from_bytes(data, "little", signed=True)

    def three(self, depth: int) -> list[Any]:
        parts = self.series(depth)
        if len(parts) != 3:
            raise CodecError("a range or slice has three parts")
        return parts

    def random(self, depth: int) -> Any:
        state = self.series(depth)
        try:
            name = state[0]["bit_generator"]
            if name not in _BIT_GENERATORS:
                raise CodecError(f"no bit generator: {str(name)[:40]!r}")
            bits = getattr(np.random, name)()
            bits.state = state[0]
            return bits, state[0]
        except CodecError:
            raise
        except Exception as error:  # whatever NumPy makes of a state that is none
            raise CodecError(f"no state of a generator: {error}") from None

    def generator(self, depth: int) -> Any:
        return np.random.Generator(self.random(depth)[0])

    def random_state(self, depth: int) -> Any:
        bits, state = self.random(depth)
        value = np.random.RandomState(bits)
        try:
            value.set_state(state)
        except Exception as error:
            raise CodecError(f"no state of a generator: {error}") from None
        return value

    def known_type(self) -> type:
        name = self.block().decode("ascii")
        if name not in _TYPES:
            raise CodecError(f"no type that may cross: {name[:40]!r}")
        return _TYPES[name]

    def table(self, depth: int) -> dict[Any, Any]:
        count = self.length(2)
        return {self.key(depth + 1): self.value(depth + 1) for _ in range(count)}

    def keys(self, depth: int) -> list[Any]:
        return [self.key(depth + 1) for _ in range(self.length(1))]

    def reference(self) -> Any:
        side, number, kind, name = (self.value() for _ in range(4))
        if (
            side not in ("student", "trusted")
            or type(number) is not int
            or kind not in ("object", "callable", "exception", "module")
            or type(name) is not str
        ):
            raise CodecError("no reference")
        return self.resolve(Ref(side, number, kind, name))

    _READ: dict[bytes, Callable[[_Decoder, int], Any]] = {  # noqa: RUF012
        b"N": lambda d, _: None,
        b"T": lambda d, _: True,
        b"F": lambda d, _: False,
        b"E": lambda d, _: Ellipsis,
        b"i": lambda d, _: d.integer(),
        b"d": lambda d, _: _FLOAT.unpack(d.take(8))[0],
        b"c": lambda d, _: complex(*_COMPLEX.unpack(d.take(16))),
        b"s": lambda d, _: d.block().decode("utf-8", "surrogatepass"),
        b"b": lambda d, _: d.block(),
        b"B": lambda d, _: bytearray(d.block()),
        b"l": lambda d, depth: d.series(depth),
        b"t": lambda d, depth: tuple(d.series(depth)),
        b"m": lambda d, depth: d.table(depth),
        b"S": lambda d, depth: set(d.keys(depth)),
        b"f": lambda d, depth: frozenset(d.keys(depth)),
        b"r": lambda d, depth: range(*d.three(depth)),
        b"/": lambda d, depth: slice(*d.three(depth)),
        b"a": lambda d, _: d.array(),
        b"n": lambda d, _: d.array()[()],
        b"D": lambda d, _: d.dtype(),
        b"y": lambda d, _: d.known_type(),
        b"g": lambda d, depth: d.generator(depth),
        b"G": lambda d, depth: d.random_state(depth),
        b"R": lambda d, _: d.reference(),
    }


def decode(data: bytes, resolve: Resolve = _nothing_known, limits: Limits | None = None) -> Any:
    """Read the one value in `data`.

    Parameters
    ----------
    data : bytes
        From anywhere: nothing in it is believed.
    resolve : callable
        From a `Ref` to what stands for it here; by default none may come.
    limits : Limits, optional

    Raises
    ------
    CodecError
        If it is not exactly one well-formed value within the limits.
    """
    decoder = _Decoder(bytes(data), resolve, limits or Limits())
    try:
        value = decoder.value()
    except CodecError:
        raise
    except (ValueError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        raise CodecError(f"not a value: {error}") from None
    if decoder.at != len(data):
        raise CodecError("something follows the value")
    return value


# ---------------------------------------------------------------- global random state


def global_random_state() -> tuple[Any, Any]:
    """The states of Python's and NumPy's global generators, to compare or to send."""
    return random.getstate(), np.random.get_state(legacy=False)


def sendable(state: tuple[Any, Any]) -> dict[str, Any]:
    """A state that `global_random_state` gave, as values that cross in few parts."""
    (version, words, gauss), numpy = state
    return {"numpy": numpy, "python": (version, np.array(words, np.uint32), gauss)}


def set_global_random_state(sent: Any) -> None:
    """Put back what `sendable` gave; CodecError if it is not that."""
    try:
        version, words, gauss = sent["python"]
        random.setstate((version, tuple(words.tolist()), gauss))
        np.random.set_state(sent["numpy"])
    except Exception as error:  # whatever the generators make of a state that is none
        raise CodecError(f"no state of the global generators: {error}") from None


def same_state(a: tuple[Any, Any], b: tuple[Any, Any]) -> bool:
    """Whether two states that `global_random_state` gave are the same."""

    def parts(numpy: dict[str, Any]) -> tuple[Any, ...]:
        rest = dict(numpy)
        bits = rest.pop("state")
        return bits["key"].tobytes(), bits["pos"], rest

    return bool(a[0] == b[0] and parts(a[1]) == parts(b[1]))
