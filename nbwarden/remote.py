"""The tests' side of the wall: a name that is missing here is looked up in the student's kernel.

It runs in the trusted kernel, which never executes student code. A function of the student's is
a `Remote` here: calling it sends the arguments over, runs it there, and brings back the result,
the changes to the arguments, the random state, the warnings, or the exception with the student's
own line. What comes back is a value of a plain type, or again a `Remote`.
"""

from __future__ import annotations

import ast
import builtins
import io
import itertools
import linecache
import os
import re
import select
import signal
import socket
import stat
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any, NoReturn

import numpy as np
import psutil  # type: ignore[import-untyped]

from nbwarden import codec
from nbwarden.codec import CodecError, Ref, decode, encode

#: Seconds an interrupted call has before its process is killed.
GRACE = 2.0
_MISSING: Any = object()


class AnswerDied(RuntimeError):
    """The student's process ended during a call."""


class NotAValue(TypeError):
    """A student's object was used where the tests need a value they can believe."""


# ---------------------------------------------------------------- the connection


def _connect(connection: socket.socket, path: str) -> psutil.Process:
    """Connect to the socket at `path` in the sandbox; the process that listens there.

    The student's code may have put anything in its place. A link would lead to a socket of this
    machine, and a process id may by now be somebody else's, who must not be interrupted or killed.

    Raises
    ------
    OSError
        If there is no socket, or nobody of the sandbox listens on it.
    """
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            raise OSError(f"{path} is no socket")
        connection.connect(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
    # who listens there, as the kernel of the system says: nothing the other side claims
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    inside = re.match(r"/proc/(\d+)/root/", path)
    try:
        process = psutil.Process(struct.unpack("3i", credentials)[0])
        above = [parent.pid for parent in process.parents()]
    except (psutil.Error, ValueError) as error:
        raise OSError(f"nobody listens there: {error}") from None
    if inside and int(inside[1]) not in above:  # the sandbox's first process adopts all orphans
        raise OSError("who listens is not in the sandbox")
    return process


class Link:
    """The connection to the student's kernel.

    Parameters
    ----------
    path : str
        The socket on which the student's kernel listens.
    call_timeout : float
        Seconds that one call may take.
    """

    def __init__(self, path: str, call_timeout: float) -> None:
        self.call_timeout = call_timeout
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(call_timeout)  # nobody may accept, or read what is sent
        self.process = _connect(self.socket, path)
        self.alive = True
        self.state: tuple[Any, Any] | None = None
        self.callbacks: dict[int, Any] = {}
        self.errors: dict[int, type[BaseException]] = {}

    def close(self) -> None:
        """End the connection."""
        self.alive = False
        self.socket.close()

    def end(self) -> None:
        """Tell the other side that no more calls come for now."""
        self.callbacks.clear()
        if self.alive:
            try:
                self.send(("end",))
            except (OSError, AnswerDied):
                self.alive = False

    # -------- messages

    def send(self, message: tuple[Any, ...]) -> None:
        """Send one message; AnswerDied if nobody is there."""
        data = encode(message, self.refer)
        try:
            self.socket.sendall(struct.pack("<Q", len(data)) + data)
        except OSError as error:
            self.dead(error)

    def receive(self, deadline: float) -> tuple[Any, ...]:
        """Wait for one message; TimeoutError after the deadline."""
        (length,) = struct.unpack("<Q", self.exactly(8, deadline))
        if length > codec.Limits().bytes:
            raise self.broken(f"a message of {length} bytes")
        try:
            message = decode(self.exactly(length, deadline), self.resolve)
        except CodecError as error:
            raise self.broken(str(error)) from None
        if type(message) is not tuple or not message or type(message[0]) is not str:
            raise self.broken("no message")
        return message

    def exactly(self, count: int, deadline: float) -> bytes:
        """Read so many bytes."""
        data = bytearray()
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            # in slices: an interrupt raised by another thread shows between two of them only
            if not select.select([self.socket], [], [], min(left, 0.05))[0]:
                continue
            try:
                part = self.socket.recv(min(count - len(data), 1 << 20))
            except OSError as error:
                self.dead(error)
            if not part:
                self.dead(None)
            data += part
        return bytes(data)

    def dead(self, cause: Exception | None) -> NoReturn:
        """Say that the student's process is gone."""
        self.alive = False
        raise AnswerDied(
            "the Python process that runs your notebook ended during this call: by os._exit, "
            "by a crash, or because it used more memory or time than it may"
        ) from cause

    def broken(self, what: str) -> AnswerDied:
        """What came is no message: have nothing more to do with that process."""
        self.kill()
        return AnswerDied(f"the process that runs your notebook sent what is no result: {what}")

    def kill(self) -> None:
        """End the student's process."""
        self.alive = False
        with suppress(psutil.Error):
            self.process.kill()

    # -------- objects that do not cross

    def refer(self, value: Any) -> Ref:
        """What stands for an object in a message to the other side."""
        if isinstance(value, Remote):
            return object.__getattribute__(value, "_ref")  # type: ignore[no-any-return]
        for number, kind in self.errors.items():
            if value is kind:
                return Ref("student", number, "exception", kind.__name__)
        if callable(value):
            self.callbacks[id(value)] = value
            name = getattr(value, "__name__", type(value).__name__)
            return Ref("trusted", id(value), "callable", str(name))
        raise TypeError(
            f"a {type(value).__name__} cannot be passed to a student's function: only plain "
            "values, arrays of numbers, random generators and functions can"
        )

    def resolve(self, ref: Ref) -> Any:
        """The object on this side that stands for a reference in a message."""
        if ref.side == "trusted":
            if ref.number not in self.callbacks:
                raise CodecError("a reference to nothing the tests passed")
            return self.callbacks[ref.number]
        if ref.kind == "exception":
            if ref.number not in self.errors:
                name, *bases = _text(ref.name, 400).split(",")
                name = name if name.isidentifier() else "Error"
                self.errors[ref.number] = type(name, (_exception_class("", bases),), {})
            return self.errors[ref.number]
        return (RemoteCallable if ref.kind == "callable" else Remote)(self, ref)

    # -------- requests

    def ask(self, *message: Any) -> tuple[Any, ...]:
        """Send a request and wait for its answer, serving callbacks meanwhile."""
        if not self.alive:
            self.dead(None)
        deadline = time.monotonic() + self.call_timeout
        try:
            self.send(message)
            while True:
                reply = self.receive(deadline)
                if reply[0] != "callback":
                    return reply
                self.serve_callback(reply)
        except KeyboardInterrupt:
            raise self.interrupted(self.interrupt()) from None
        except TimeoutError:
            self.interrupt()
            raise TimeoutError(
                f"the call took longer than {self.call_timeout:g} seconds and was stopped"
            ) from None

    def interrupt(self) -> tuple[Any, ...] | None:
        """Interrupt the student's process; its answer, or None if it had to be killed."""
        try:
            self.process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + GRACE
            while True:
                reply = self.receive(deadline)
                if reply[0] in ("returned", "raised"):
                    return reply
        except (TimeoutError, AnswerDied, psutil.Error):
            self.kill()
            return None

    def interrupted(self, reply: tuple[Any, ...] | None) -> BaseException:
        """The KeyboardInterrupt, as from the student's line at which it came."""
        error = KeyboardInterrupt()
        if reply and reply[0] == "raised" and type(reply[1]) is dict:
            try:
                _raise_through(_frames(reply[1]), error)
            except KeyboardInterrupt as shown:
                return shown
        return error

    def serve_callback(self, message: tuple[Any, ...]) -> None:
        """Call a function of the tests' that was passed to the student's function."""
        if len(message) != 4 or type(message[2]) is not tuple or type(message[3]) is not dict:
            raise self.broken("no call")
        function = self.callbacks.get(message[1])
        if function is None:
            raise self.broken("a call of nothing the tests passed")
        try:
            answer: tuple[Any, ...] = ("returned", function(*message[2], **message[3]))
        except Exception as error:  # the student's code gets what the function raised
            answer = ("raised", type(error).__name__, str(error)[:2000])
        try:
            self.send(answer)
        except (CodecError, TypeError) as error:
            self.send(("raised", "TypeError", str(error)))

    def perform(self, action: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Have something done with an object on the student's side; what comes of it."""
        MIRROR.push()
        state = codec.global_random_state()
        known = self.state is not None and codec.same_state(state, self.state)
        news = None if known else codec.sendable(state)
        try:
            reply = self.ask("call", action, target, args, kwargs, news)
        except CodecError as error:
            raise ValueError(f"an argument cannot be sent: {error}") from None
        kind, outcome, changed, after, told = (*reply, *[None] * 5)[:5]
        if kind not in ("returned", "raised") or type(changed) is not list:
            raise self.broken("no answer to a call")
        self.state = state
        if after is not None:
            try:
                codec.set_global_random_state(after)
            except CodecError as error:
                raise self.broken(str(error)) from None
            self.state = codec.global_random_state()
        _copy_back([*args, *kwargs.values()], changed)
        _warn_again(told)
        if kind == "raised":
            self.raise_again(outcome)
        return outcome

    def raise_again(self, told: Any) -> NoReturn:
        """Raise the student's exception, at the student's line."""
        if type(told) is not dict:
            raise self.broken("no error")
        name = _text(told.get("name"), 80)
        kind = told.get("class")
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            kind = _exception_class(name if name.isidentifier() else "Error", told.get("bases"))
        error = kind(_text(told.get("message"), 4000))
        _raise_through(_frames(told), error)
        raise error


def _exception_class(name: str, bases: Any) -> type[Exception]:
    """The exception class of that name, or one with that name and its nearest known base."""
    known = {**vars(builtins), "LinAlgError": np.linalg.LinAlgError}
    known["AxisError"] = np.exceptions.AxisError
    for base in [name, *(bases if type(bases) is list else [])][:50]:
        found = known.get(base) if type(base) is str else None
        if isinstance(found, type) and issubclass(found, Exception):
            try:
                found("")  # some need more than a text, such as UnicodeDecodeError
            except TypeError:
                continue
            return found if base == name or not name else type(name, (found,), {})
    # SystemExit, for one, must not end the tests
    return type(name, (RuntimeError,), {}) if name else Exception


def _frames(told: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Where in the student's cells an error came from: line, function, text of the line."""
    frames = told.get("frames")
    found = []
    for frame in (frames if type(frames) is list else [])[-20:]:
        if type(frame) is tuple and tuple(map(type, frame)) == (int, str, str):
            number, name, text = frame
            if 0 < number < 100_000:
                found.append((number, _text(name, 80), _text(text, 500)))
    return found


def _text(value: Any, most: int) -> str:
    """A text that can be shown, whatever came."""
    text = value if type(value) is str else "?"
    return text[:most].encode("utf-8", "replace").decode().replace("\0", "?")


_count = itertools.count(1)


def _raise_through(frames: list[tuple[int, str, str]], error: BaseException) -> None:
    """Raise `error` from frames that look like those of the student's cells."""

    def nested(rest: list[tuple[int, str, str]]) -> Callable[[], None]:
        (number, name, text), *inner = rest
        file = f"<submission {next(_count)}>"
        linecache.cache[file] = (len(text), None, [*["\n"] * (number - 1), text + "\n"], file)
        tree = ast.parse("inner()" if inner else "raise error from None")
        code = compile(ast.increment_lineno(tree, number - 1), file, "exec")
        code = code.replace(co_name=name, co_qualname=name)
        space = {"error": error, "inner": nested(inner) if inner else None}
        return lambda: exec(code, space)

    if frames:
        nested(frames)()


def _warn_again(told: Any) -> None:
    """Give the student's warnings to whoever listens on this side."""
    for entry in (told if type(told) is list else [])[:20]:
        if type(entry) is tuple and tuple(map(type, entry)) == (str, str):
            kind = getattr(builtins, entry[0], UserWarning)
            if not (isinstance(kind, type) and issubclass(kind, Warning)):
                kind = UserWarning
            warnings.warn(entry[1][:1000], kind, stacklevel=5)


def _copy_back(arguments: list[Any], changed: list[Any]) -> None:
    """Make the arguments as the student's function left its copies of them."""
    for entry in changed:
        if type(entry) is tuple and len(entry) == 2 and entry[0] in range(len(arguments)):
            _assign(arguments[entry[0]], entry[1])


def _assign(target: Any, value: Any) -> None:
    """Change `target` in place so that it equals `value`, as far as its type can change."""
    if type(target) is not type(value):
        return
    if isinstance(target, np.ndarray):
        if target.shape == value.shape and target.dtype == value.dtype and target.flags.writeable:
            target[...] = value
    elif isinstance(target, list):
        target[:] = [_same_or(old, new) for old, new in itertools.zip_longest(target, value)][
            : len(value)
        ]
    elif isinstance(target, dict):
        kept = {key: _same_or(target.get(key), new) for key, new in value.items()}
        target.clear()
        target.update(kept)
    elif isinstance(target, set):
        target.clear()
        target.update(value)
    elif isinstance(target, bytearray):
        target[:] = value
    elif isinstance(target, np.random.Generator):
        if type(target.bit_generator) is type(value.bit_generator):
            target.bit_generator.state = value.bit_generator.state
    elif isinstance(target, np.random.RandomState):
        target.set_state(value.get_state(legacy=False))
    elif isinstance(target, tuple):
        for old, new in zip(target, value, strict=False):
            _assign(old, new)


def _same_or(old: Any, new: Any) -> Any:
    """The old object, changed to be like the new one, if it can be; else the new one."""
    if (
        isinstance(old, np.ndarray)
        and type(new) is np.ndarray
        and (old.shape, old.dtype, old.flags.writeable) == (new.shape, new.dtype, True)
    ):
        old[...] = new
        return old
    if type(old) is type(new) and type(old) in (list, dict, set):
        _assign(old, new)
        return old
    return new


# ---------------------------------------------------------------- the student's objects


class Remote:  # noqa: D101  (its __doc__ is the student's)
    # An object of the student's: it stays there, and never says how it compares with a value.
    # Attributes and methods work, and so do operators between two objects of the student's. An
    # operator with a value on one side does not: the object could answer as it likes.

    __doc__ = property(lambda self: self._link.perform("getattr", self, "__doc__"))
    __slots__ = ("_link", "_ref")
    __array_ufunc__ = None

    def __init__(self, link: Link, ref: Ref) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_ref", ref)

    def __getattr__(self, name: str) -> Any:
        asked = name in ("__name__", "__qualname__", "__annotations__", "__defaults__")
        if (name.startswith("__") and not asked) or name.startswith(("_repr_", "_ipython_")):
            raise AttributeError(name)
        return self._link.perform("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.perform("setattr", self, name, value)

    def __repr__(self) -> str:
        return f"<the student's {self._ref.name[:80]}>"

    def __str__(self) -> str:
        text = self._link.perform("str", self)
        return text if type(text) is str else repr(self)

    def __hash__(self) -> int:
        return hash(self._ref.number)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Remote):
            return False
        if other._ref.number == self._ref.number:
            return True
        return self._link.perform("eq", self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __instancecheck__(self, value: Any) -> bool:
        if not isinstance(value, Remote):
            return False
        return self._link.perform("isinstance", self, value) is True

    def __subclasscheck__(self, other: Any) -> bool:
        if not isinstance(other, Remote):
            return False
        return self._link.perform("issubclass", self, other) is True

    def __iter__(self) -> Iterator[Any]:
        iterator = self._link.perform("iter", self)
        if not isinstance(iterator, Remote):
            return iter(iterator)
        return _values(self._link, iterator)

    def __next__(self) -> Any:
        values, _ = _chunk(self._link, self, 1)
        if not values:
            raise StopIteration
        return values[0]

    def __enter__(self) -> Any:
        return self._link.perform("enter", self)

    def __exit__(self, *_: Any) -> None:
        self._link.perform("exit", self)

    def __bool__(self) -> bool:
        return self._link.perform("bool", self) is True

    def __getitem__(self, key: Any) -> Any:
        return self._link.perform("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._link.perform("setitem", self, key, value)

    def __delitem__(self, key: Any) -> None:
        self._link.perform("delitem", self, key)


def _number(action: str, kind: type) -> Callable[[Remote], Any]:
    def convert(self: Remote) -> Any:
        value = self._link.perform(action, self)
        if type(value) is not kind:
            raise NotAValue(f"{action}() of the student's {self._ref.name} gave no {action}")
        return value

    return convert


def _operator(name: str) -> Callable[[Remote, Any], Any]:
    def operate(self: Remote, other: Any) -> Any:
        if not isinstance(other, Remote):
            raise NotAValue(
                f"expected a value, but the answer is an object of the student's own "
                f"({self._ref.name}); the tests do not ask it how it compares with a value"
            )
        return self._link.perform(name, self, other)

    return operate


_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
for _name in (*_ARITHMETIC, "and", "or", "xor", "lt", "le", "gt", "ge"):
    _action = _name + "_" if _name in ("and", "or") else _name
    setattr(Remote, f"__{_name}__", _operator(_action))
    if _name not in ("lt", "le", "gt", "ge"):
        setattr(Remote, f"__r{_name}__", _operator(_action))  # two Remotes never come here
for _name, _kind in (("int", int), ("float", float), ("complex", complex), ("len", int)):
    setattr(Remote, f"__{_name}__", _number(_name, _kind))


class RemoteCallable(Remote):  # noqa: D101
    # A function or class of the student's.

    __doc__ = Remote.__dict__["__doc__"]
    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it, over there."""
        return self._link.perform("call", self, *args, **kwargs)


def _chunk(link: Link, iterator: Remote, count: int) -> tuple[list[Any], bool]:
    reply = link.perform("next", iterator, count)
    if type(reply) is not tuple or len(reply) != 2 or type(reply[0]) is not list:
        raise link.broken("no values of an iterator")
    return reply[0], reply[1] is True


def _values(link: Link, iterator: Remote) -> Iterator[Any]:
    """The values of a student's iterator, one by one: it may have no end."""
    while True:
        values, ended = _chunk(link, iterator, 1)
        yield from values
        if ended:
            return


# ---------------------------------------------------------------- names


class StudentNames(dict[str, Any]):
    """The builtins of the test cells, and behind them the names of the student's notebook."""

    def __missing__(self, name: str) -> Any:
        if name in IMPORTS:
            return IMPORTS[name]
        if LINK is None or name.startswith("__") or name in RESERVED:
            raise KeyError(name)
        found = LINK.ask("lookup", name)
        if found[0] != "found" or len(found) != 2:
            raise KeyError(name)
        value = found[1]
        if isinstance(value, Remote) and value._ref.kind == "module":
            # a module here must be the real one: see IMPORTS
            raise KeyError(name)
        return value


class Mirror:
    """Names of the student's that a test cell deletes or replaces, as a test of helpers does.

    `del helper` or `helper = mock` in a test cell is meant for the student's functions that use
    it. So the name is put here before the cell runs, and what becomes of it is told the other
    side before its next call.
    """

    def __init__(self) -> None:
        self.space: dict[str, Any] = {}
        self.known: dict[str, Any] = {}

    def prepare(self, source: str, space: dict[str, Any]) -> None:
        """Bind the student's functions whose names the cell deletes or assigns."""
        self.space, self.known = space, {}
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a magic; or the cell's own problem
            return
        for node in ast.walk(tree):
            if not isinstance(node, ast.Name) or isinstance(node.ctx, ast.Load):
                continue
            if node.id not in space and node.id not in vars(builtins):
                try:
                    value = space["__builtins__"][node.id]
                except KeyError:
                    continue
                if isinstance(value, RemoteCallable):
                    space[node.id] = self.known[node.id] = value

    def push(self) -> None:
        """Tell the student's side what became of the names."""
        for name, known in self.known.items():
            now = self.space.get(name, _MISSING)
            if now is not known and LINK is not None:
                self.known[name] = now
                LINK.ask("bind", name, now is not _MISSING, None if now is _MISSING else now)

    def finish(self) -> None:
        """After the cell: leave the names to the student's side again."""
        self.push()
        for name in self.known:
            self.space.pop(name, None)
        self.known = {}


#: What the instructor's notebook imports in cells that a student may edit.
IMPORTS: dict[str, Any] = {}
#: Names that the tests define themselves. `_` is IPython's.
RESERVED = {"_", "_i"}
MODULES_OF_STUDENTS = False
LINK: Link | None = None
MIRROR = Mirror()


# ---------------------------------------------------------------- inside the trusted kernel


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()


def start(imports: list[str], reserved: list[str], theirs: bool = False) -> None:
    """Make the names of the student's notebook known to the cells of this kernel.

    Parameters
    ----------
    imports : list of str
        Statements: what the instructor's notebook imports.
    reserved : list of str
        Names that are never looked up on the student's side.
    theirs : bool
        Whether students hand in modules of their own, which the instructor's cells may import.
    """
    global MODULES_OF_STUDENTS
    MODULES_OF_STUDENTS = theirs
    RESERVED.update(reserved)
    shell = _shell()
    shell.user_ns["__builtins__"] = StudentNames(vars(builtins))
    for statement in imports:
        try:
            exec(statement, IMPORTS)
        except Exception as error:
            # the cells that need it will say so
            warnings.warn(f"{statement}: {error}", stacklevel=1)
            _reserve(ast.parse(statement).body[0])
    IMPORTS.pop("__builtins__", None)
    shell.events.register("pre_run_cell", _before)
    shell.events.register("post_run_cell", _after)


def _reserve(statement: ast.stmt) -> None:
    """If an import failed: what it would have brought is not the student's to say instead."""
    if isinstance(statement, ast.Import | ast.ImportFrom) and not MODULES_OF_STUDENTS:
        RESERVED.update((a.asname or a.name).partition(".")[0] for a in statement.names)


def setup(source: str) -> None:
    """Run a locked cell that is no test, as far as it needs nothing of the student's.

    Its statements are run one by one, so that one that calls a student's function, for a plot
    perhaps, keeps none of the others from being the instructor's here.
    """
    global LINK
    shell = _shell()
    try:
        body = ast.parse(shell.transform_cell(source)).body
    except SyntaxError:
        return
    link, LINK = LINK, None
    try:
        with io.StringIO() as away, redirect_stdout(away), redirect_stderr(away):
            for statement in body:
                code = compile(ast.Module([statement], []), "<given>", "exec")
                try:
                    exec(code, shell.user_ns)
                except Exception:  # a name of the student's, or what it leads to
                    _reserve(statement)
    finally:
        LINK = link


def connect(path: str, call_timeout: float) -> None:
    """Call the student's kernel that listens at `path` from now on."""
    global LINK
    if LINK is not None:
        LINK.close()
    LINK = Link(path, call_timeout)


def _before(info: Any) -> None:
    if LINK is not None and LINK.alive:
        with suppress(AnswerDied, TimeoutError):  # the cell will meet it again
            MIRROR.prepare(info.raw_cell, _shell().user_ns)


def _after(_: Any) -> None:
    if LINK is None:
        return
    # whatever is wrong: the student's kernel is started anew before the next cell
    with suppress(AnswerDied, TimeoutError, CodecError, TypeError):
        MIRROR.finish()
    LINK.end()
