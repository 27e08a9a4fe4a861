"""The student's side of the wall: answers calls from the trusted tests, in the student's kernel.

Nothing here is a defense. It lives in the same process as the student's code, which may change
all of it; the other side believes nothing but well-formed values. It travels into the sandbox,
so it needs the standard library, NumPy and the codec only.
"""

from __future__ import annotations

import linecache
import operator
import socket
import struct
import sys
import traceback
import types
import warnings
from typing import Any

from nbwarden import codec
from nbwarden.codec import Ref, decode, encode

_server: socket.socket | None = None
#: The student's objects that the trusted side has a reference to.
_kept: dict[int, Any] = {}
_numbers: dict[int, int] = {}  # id of a kept object -> its number
_MOST_KEPT = 100_000


class Callback:
    """A function of the trusted side; calling it runs it there, with values."""

    def __init__(self, ref: Ref) -> None:
        self.ref = ref
        self.__name__ = ref.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it, over there."""
        send(("callback", self.ref.number, args, kwargs))
        kind, *rest = receive()
        while kind != "returned":  # the function may call the student's functions in its turn
            if kind == "raised":
                raise _exception(*rest)
            answer(kind, rest)
            kind, *rest = receive()
        return rest[0]

    def __repr__(self) -> str:
        return f"<the tests' {self.ref.name}>"


def listen(path: str) -> None:
    """Make the socket on which the trusted side calls."""
    global _server
    _server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _server.bind(path)
    _server.listen(1)


_connection: socket.socket | None = None


def serve() -> None:
    """Answer calls until the trusted side says that its cell is done."""
    global _connection
    if _connection is None:
        assert _server is not None
        _connection, _ = _server.accept()
    while True:
        try:
            kind, *rest = receive()
        except KeyboardInterrupt:  # it came too late: the call was done
            continue
        if kind == "end":
            sys.stdout.flush()
            sys.stderr.flush()
            return
        answer(kind, rest)


def answer(kind: str, rest: list[Any]) -> None:
    """Do one thing the trusted side asks for, and send what came of it."""
    if kind == "lookup":
        (name,) = rest
        space = _namespace()
        send(("found", space[name]) if name in space else ("missing",))
    elif kind == "bind":
        name, present, value = rest
        if present:
            _namespace()[name] = value
        else:
            _namespace().pop(name, None)
        send(("done",))
    elif kind == "call":
        _call(*rest)
    else:
        send(("refused", f"unknown request {kind}"))


def _call(action: str, target: Any, args: tuple[Any, ...], kwargs: Any, state: Any) -> None:
    """Run one of the student's functions; send its result, and which arguments it changed."""
    if state is not None:
        codec.set_global_random_state(state)
    before = codec.global_random_state()
    sent = [_bytes(value) for value in (*args, *kwargs.values())]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outcome = ("returned", _ACTIONS[action](target, *args, **kwargs))
        except BaseException as error:
            outcome = ("raised", _described(error))
    changed = [
        (index, value)
        for index, value in enumerate((*args, *kwargs.values()))
        if sent[index] != _bytes(value)
    ]
    after = codec.global_random_state()
    told = [(w.category.__name__, str(w.message)[:1000]) for w in caught[:20]]
    news = None if codec.same_state(before, after) else codec.sendable(after)
    extra = (changed, news, told)
    try:
        send((*outcome, *extra))
    except codec.CodecError as error:
        problem = ValueError(f"what the function returned cannot be sent to the tests: {error}")
        send(("raised", _described(problem), [], None, told))


def _construct(target: Any, *args: Any, **kwargs: Any) -> Any:
    return target(*args, **kwargs)


#: What can be done with an object of the student's.
_ACTIONS = {
    "call": _construct,
    "getattr": getattr,
    "setattr": setattr,
    "isinstance": lambda cls, value: isinstance(value, cls),
    "issubclass": lambda cls, other: issubclass(other, cls),
    "iter": iter,
    "next": lambda iterator, count: _some(iterator, count),
    "enter": lambda value: value.__enter__(),
    "exit": lambda value: value.__exit__(None, None, None),
    **{kind.__name__: kind for kind in (str, int, float, complex, bool)},
    "len": len,
    **{
        name: getattr(operator, name)
        for name in (
            *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_"),
            *("xor", "getitem", "setitem", "delitem", "eq", "lt", "le", "gt", "ge"),
        )
    },
}


def _some(iterator: Any, count: int) -> tuple[list[Any], bool]:
    """The next values of an iterator, and whether it has ended."""
    values: list[Any] = []
    for _ in range(count):
        try:
            values.append(next(iterator))
        except StopIteration:
            return values, True
    return values, False


def _bytes(value: Any) -> bytes:
    """A value as it is now, to see whether a call changed it."""
    try:
        return encode(value, _keep)
    except codec.CodecError:
        return b""


# ---------------------------------------------------------------- objects that stay here


def _keep(value: Any) -> Ref:
    if isinstance(value, Callback):
        return value.ref
    number = _numbers.get(id(value))
    if number is None:
        number = len(_kept)
        if number >= _MOST_KEPT:
            raise codec.CodecError(f"more than {_MOST_KEPT} objects")
        _kept[number] = value  # kept alive, so that its id stays its own
        _numbers[id(value)] = number
    kind, name = "object", type(value).__name__
    if isinstance(value, types.ModuleType):
        kind, name = "module", value.__name__
    elif isinstance(value, type) and issubclass(value, BaseException):
        kind, name = "exception", ",".join(base.__name__ for base in value.__mro__)
    elif callable(value):
        kind, name = "callable", getattr(value, "__name__", name)
    return Ref("student", number, kind, str(name))


def _resolve(ref: Ref) -> Any:
    if ref.side == "student":
        return _kept[ref.number]
    return Callback(ref)


# ---------------------------------------------------------------- messages


def send(message: tuple[Any, ...]) -> None:
    """Send one message to the trusted side."""
    assert _connection is not None
    data = encode(message, _keep)
    _connection.sendall(struct.pack("<Q", len(data)) + data)


def receive() -> tuple[Any, ...]:
    """Wait for one message from the trusted side."""
    assert _connection is not None
    (length,) = struct.unpack("<Q", _exactly(_connection, 8))
    message = decode(_exactly(_connection, length), _resolve)
    assert isinstance(message, tuple)
    return message


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        # an interrupt between messages must not lose half of one
        part = connection.recv(min(count - len(data), 1 << 20))
        if not part:
            raise SystemExit(0)  # the tests' process is gone: so may we be
        data += part
    return bytes(data)


# ---------------------------------------------------------------- errors


def _described(error: BaseException) -> dict[str, Any]:
    """An exception as plain values, with the lines of the student's own cells it came through."""
    frames = []
    for frame in traceback.extract_tb(error.__traceback__):
        if "ipykernel_" in frame.filename:  # how IPython names the cells
            line = frame.line or linecache.getline(frame.filename, frame.lineno or 0)
            frames.append((frame.lineno or 1, frame.name, str(line).strip()[:500]))
    kind = type(error)
    return {
        "name": kind.__name__,
        "bases": [base.__name__ for base in kind.__mro__],
        "message": str(error)[:4000],
        "class": kind if kind.__module__ == "__main__" else None,
        "frames": frames[-20:],
    }


def _exception(name: str, message: str) -> BaseException:
    """An error of the trusted side, for the student's code that called it."""
    kind = getattr(__import__("builtins"), name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind(message)
    return RuntimeError(f"{name}: {message}")


def _namespace() -> dict[str, Any]:
    """The names that the student's cells have defined."""
    space: dict[str, Any] = sys.modules["__main__"].__dict__
    return space
