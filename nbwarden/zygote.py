"""A process that has imported what kernels need, and forks one for each submission.

It runs no code but this and what it imports, keeps nothing of any submission, and each of its
children serves one submission only. It enters a sandbox which bubblewrap has made, before anything
of a student's is read. The process is started with a JSON text as its argument, and asked over its
standard input, which is a socket; it ends when that closes. Standard library only, until told
otherwise.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import io
import json
import os
import signal
import socket
import struct
import sys
from typing import Any

#: The namespaces of a sandbox, in the order in which they are entered.
_NAMESPACES = ("cgroup", "ipc", "uts", "net", "pid", "mnt", "user")
_OWNER = 0xB701  # the request for the user namespace that another one belongs to
_NO_NEW_PRIVS, _SET_SECCOMP, _DROP_BOUND = 38, 22, 24
_CAPABILITIES = 41


def main(told: dict[str, Any]) -> None:
    """Import, then fork whenever asked."""
    for folder in told["path"]:
        if folder not in sys.path:
            sys.path.append(folder)
    # grading debugs nothing, and the debugger takes most of a kernel's start
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    importlib.import_module("ipykernel.debugger")
    del sys.modules["debugpy"]
    for name in told["imports"]:
        # what is not here will be imported, or found missing, by the code that wants it
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    for rehearse in (_show_an_error, _draw_a_figure):
        with contextlib.suppress(Exception):  # then it is not quicker, and that is all
            rehearse()
    gc.collect()
    gc.freeze()  # so that a child's garbage collection does not copy all of this
    asked = socket.socket(fileno=os.dup(0))
    asked.send(b"{}")
    while True:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are not waited for
        text = asked.recv(1 << 20)
        if not text:
            os._exit(0)
        request = json.loads(text)
        try:
            answer = _fork(request, asked)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        asked.send(json.dumps(answer).encode())


def _show_an_error() -> None:
    """Show one as a cell would: the first time, the file of every module there is is looked up."""
    from IPython.core.ultratb import FormattedTB

    show: Any = FormattedTB
    try:
        raise ValueError
    except ValueError as error:
        show(mode="Context").structured_traceback(type(error), error, error.__traceback__)


def _draw_a_figure() -> None:
    """Draw one, if anybody here will: fonts are found and read the first time."""
    if "matplotlib.pyplot" not in sys.modules:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()  # of pyplot nothing is touched: to a kernel, its first figure is the first
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label="a line")
    axes.set(title="title", xlabel="$x$", ylabel="y")
    axes.legend()
    FigureCanvasAgg(figure).print_figure(io.BytesIO(), bbox_inches="tight")


def _fork(request: dict[str, Any], asked: socket.socket) -> dict[str, Any]:
    """Fork a kernel into a sandbox: a child enters it, its child is inside, and that one's stays.

    The one in the middle ends at once, so that the kernel becomes a child of the first process
    inside, as if it had been started there.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reader, writer = os.pipe()
    entering = os.fork()
    if entering == 0:
        os.close(reader)
        try:
            _enter(request["first"])
            inside = os.fork()
            if inside == 0:
                if os.fork() == 0:
                    os.close(writer)
                    with _child(asked):
                        _become_student(request)
                os._exit(0)
            os.waitpid(inside, 0)
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode()[:2000])
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        complaint = stream.read().decode(errors="replace")
    os.waitpid(entering, 0)
    return {"error": complaint} if complaint else {}


def _enter(first: int) -> None:
    """Enter the namespaces of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    handles = {
        name: os.open(f"/proc/{first}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        for name in _NAMESPACES
        if os.readlink(f"/proc/{first}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")
    }
    order = [handles[name] for name in _NAMESPACES if name in handles]
    if "user" in handles:
        # the others belong to the user namespace that they were made in; bubblewrap then moves on
        # to one inside it, in which no more can be made
        owner = fcntl.ioctl(handles["net"], _OWNER)
        if os.fstat(owner).st_ino != os.fstat(handles["user"]).st_ino:
            order.insert(0, owner)
        else:
            order.insert(0, order.pop())
    for handle in order:
        if libc.setns(handle, 0):
            raise OSError(ctypes.get_errno(), "a namespace of the sandbox could not be entered")
    for handle in order:
        os.close(handle)


def _become_student(request: dict[str, Any]) -> None:
    """Give up all rights, and become the kernel that the sandbox is for."""
    os.setsid()
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(_CAPABILITIES):
        libc.prctl(_DROP_BOUND, number, 0, 0, 0)
    if not request["root"]:  # in the sandbox's user namespace: there a user has all rights
        header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
        if libc.capset(header, none):
            raise OSError(ctypes.get_errno(), "the rights could not be given up")
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs could not be set")
    if request["filter"]:
        code = bytes.fromhex(request["filter"])
        buffer = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
        if libc.prctl(_SET_SECCOMP, 2, program, 0, 0):
            raise OSError(ctypes.get_errno(), "the filter of system calls could not be set")
    _change_environment(request["environment"])
    # what is not in the sandbox is no place to look for modules
    sys.path[:] = [path for path in sys.path if os.path.exists(path) or path.endswith(".zip")]
    from nbwarden.inside import boot

    # as if it had been started inside
    boot.__file__ = request["boot"]
    boot.main(request["told"])


def _change_environment(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


@contextlib.contextmanager
def _child(asked: socket.socket) -> Any:
    """What a new kernel is to be like, whatever becomes of it: it never returns."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asked.close()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.closerange(3, 256)
        import random

        random.seed()
        if "numpy" in sys.modules:  # the children of one parent must not draw the same numbers
            sys.modules["numpy"].random.seed()
        gc.unfreeze()
        yield
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
