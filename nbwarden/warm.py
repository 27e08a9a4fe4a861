"""Kernels that start warm: forked from a process that has NumPy and ipykernel imported already.

Only the workers of a batch use it; plain `nbgrader autograde` starts every kernel cold. A student's
kernel is still alone in a sandbox of its own, which bubblewrap has made as ever: it is only that
the process which enters it need not import everything anew.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import py_compile
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, ClassVar, cast

import psutil  # type: ignore[import-untyped]

from nbwarden import mounts, sandbox, seccomp
from nbwarden.launch import SandboxError
from nbwarden.sandbox import BOOT, INSIDE, Sandbox

#: What every kernel imports when it starts, much of it late.
_ALWAYS = (
    *("ipykernel.kernelapp", "ipykernel.ipkernel", "IPython.core.completerlib"),
    *("IPython.core.debugger", "IPython.core.logger", "IPython.core.oinspect"),
    *("IPython.core.pylabtools", "IPython.extensions.storemagic", "IPython.utils.wildcard"),
    *("sqlite3", "tornado.platform.asyncio", "zmq.utils.garbage"),
    "psutil",  # and not the backend of figures in the page: it looks for its shell on import
)
#: What students' kernels may have imported beforehand, if the assignment imports it at all: public
#: packages, and nothing of the instructor's.
_PUBLIC = ("numpy", "matplotlib", "scipy", "pandas", "sklearn")
#: What bubblewrap starts in a sandbox that a kernel will enter: it waits for the end of its input,
#: which comes when whoever started it has ended.
_HOLD = b"import os\nwhile os.read(0, 1):\n    pass\n"


class Zygote:
    """The process that forks kernels; see `zygote.py`."""

    def __init__(self, path: list[str], imports: list[str], environment: dict[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        told = {"path": path, "imports": imports}
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("zygote.py")), json.dumps(told)],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
        )
        theirs.close()
        self.socket = ours
        self.socket.settimeout(300)
        self._receive()  # it is ready

    def ask(self, **request: Any) -> dict[str, Any]:
        """Have a kernel forked; SandboxError if that fails."""
        try:
            self.socket.send(json.dumps(request).encode())
            return self._receive()
        except OSError as error:
            raise SandboxError(f"the process that forks kernels is gone: {error}") from None

    def _receive(self) -> dict[str, Any]:
        text = self.socket.recv(1 << 16)
        answer: dict[str, Any] = json.loads(text) if text else {"error": "it ended"}
        if "error" in answer:
            raise SandboxError(f"a kernel could not be forked: {answer['error']}")
        return answer

    def end(self) -> None:
        """End it; its kernels end by themselves."""
        self.socket.close()
        self.process.kill()
        self.process.wait()


class Warm:
    """The zygote of this process, for one assignment at a time."""

    def __init__(self) -> None:
        self.key = ""
        self.zygote: Zygote | None = None
        self.imports: list[str] = []
        self.compiled: dict[str, Path] = {}  # by the name of the module's file in its folder
        self.place: Path | None = None

    def begin(self, key: str, imports: list[str], source: Path) -> None:
        """Make the next kernels those of another assignment.

        Parameters
        ----------
        key : str
            Names the content of what follows.
        imports : list of str
            Modules that the assignment's cells import.
        source : Path
            The folder with the instructor's files. Its modules are compiled once for all kernels;
            Python takes what was compiled for the very same source only.
        """
        self.end()
        self.key, self.imports = key, imports
        self.place = Path(tempfile.mkdtemp(prefix="nbw-warm-"))
        for module in filter(Path.is_file, source.rglob("*.py")):
            name = module.relative_to(source).as_posix()
            target = self.place / "compiled" / f"{name}c"
            with suppress(py_compile.PyCompileError):  # whoever imports it will say so
                mode = py_compile.PycInvalidationMode.CHECKED_HASH
                py_compile.compile(str(module), str(target), name, True, invalidation_mode=mode)
                self.compiled[name] = target

    @staticmethod
    def use() -> None:
        """Have nbgrader start its kernels warm."""
        # the one place where the core says which sandbox a kernel manager has
        vars(sandbox)["Sandbox"] = WarmSandbox

    def forking(self, path: list[str], environment: dict[str, str]) -> Zygote:
        """The zygote. It knows of this package what travels, and no more."""
        if self.zygote is None:
            assert self.place is not None
            package = self.place / "lib" / "nbwarden"
            shutil.copytree(INSIDE, package / "inside", ignore=lambda *_: {"__pycache__"})
            package.joinpath("__init__.py").touch()
            for name, source in mounts.font_lists():
                target = self.place / Path(name).relative_to("/tmp")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            imports = [n for n in self.imports if n.partition(".")[0] in _PUBLIC]
            if "matplotlib.pyplot" in imports:
                imports.append("matplotlib.backends.backend_agg")
            own = {**environment, "HOME": str(self.place), "TMPDIR": str(self.place)}
            inside = ("nbwarden.inside.boot", "nbwarden.inside.reply")
            self.zygote = Zygote(
                [*path, str(package.parent)], [*_ALWAYS, "numpy", *inside, *imports], own
            )
        return self.zygote

    def end(self) -> None:
        """End the zygote; its kernels end by themselves."""
        if self.zygote is not None:
            self.zygote.end()
            self.zygote = None
        self.compiled = {}
        if self.place is not None:
            shutil.rmtree(self.place, ignore_errors=True)
            self.place = None


WARM = Warm()
atexit.register(WARM.end)


def _runs(process: psutil.Process | None) -> bool:
    if process is None:
        return False
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    """The children of a process; of one with a single thread the system has a list of them."""
    try:
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
    except OSError:  # not every system; then all processes there are must be looked through
        return cast(list[psutil.Process], process.children())
    found = []
    for number in listed.split():
        with suppress(psutil.Error):
            found.append(psutil.Process(int(number)))
    return found


# ---------------------------------------------------------------- the student's kernel


class WarmSandbox(Sandbox):
    """A sandbox made by bubblewrap, which a forked kernel enters."""

    #: Set when this machine does not let a process enter a sandbox: then all start cold.
    off: ClassVar[bool] = False

    _started: tuple[Path, dict[Path, bytes]] | None = None

    def _own_files(self, inside: Path, files: dict[Path, bytes]) -> dict[Path, bytes | Path]:
        own = super()._own_files(inside, files)
        if not self._cold:
            # what bubblewrap starts only keeps the sandbox open
            own[inside / BOOT] = _HOLD
        return own

    def _submission(self) -> list[tuple[str, Path]]:
        files = super()._submission()
        there = {name for name, _ in files}
        for name, compiled in WARM.compiled.items():
            module = f"/submission/{name}"
            if module in there and (cache := cache_from_source(module)) not in there:
                files.append((cache, compiled))
        return files

    @property
    def _cold(self) -> bool:
        return self.off or not self.wanted

    def _start_inside(self, inside: Path, files: dict[Path, bytes]) -> None:
        self._started = (inside, files)
        super()._start_inside(inside, files)

    async def _wait_until_up(self) -> None:
        if not self._cold:
            try:
                await self._enter()
            except (SandboxError, OSError, psutil.Error) as error:
                self.log.warning("kernels start cold here: %s", error)
                type(self).off = True
                self._kill_all()
                await self.wait()
                assert self._started is not None
                super()._start_inside(*self._started)
        await super()._wait_until_up()

    async def _enter(self) -> None:
        """Have a kernel forked into the sandbox, and wait until it listens."""
        assert self._started is not None
        assert self._first is not None
        inside, _ = self._started
        deadline = time.monotonic() + 60
        while not (held := _children(self._first)):  # then all is mounted
            if time.monotonic() > deadline or not _runs(self._first):
                raise SandboxError(f"the sandbox did not start: {self._complaint()}")
            await asyncio.sleep(0.002)
        environment = {**mounts.environment(), "PWD": "/submission"}
        filter_ = seccomp.program()
        zygote = WARM.forking(mounts.site_packages(), environment)
        zygote.ask(
            first=self._first.pid,
            root=os.getuid() == 0,
            filter=filter_.hex() if filter_ else "",
            environment=environment,
            boot=str(inside / BOOT),
            told=str(inside / "boot.json"),
        )
        while not (found := [p for p in _children(self._first) if p not in held]):
            if time.monotonic() > deadline or not _runs(self._first):
                raise SandboxError("the forked kernel did not stay")
            await asyncio.sleep(0.002)
        self._kernel = found[0]
        last = self.outside(str(inside / "s" / "k") + f"-{self._last_socket()}")
        while not os.path.exists(last):
            if time.monotonic() > deadline or not _runs(self._kernel):
                raise SandboxError("the forked kernel ended")
            await asyncio.sleep(0.002)

    @staticmethod
    def _last_socket() -> int:
        return sandbox._KERNEL_SOCKETS.index("iopub_port") + 1

    async def poll(self) -> int | None:
        """None while the kernel runs: the sandbox would stay open without it."""
        ended = await super().poll()
        if ended is None and not self._cold and self._kernel and not _runs(self._kernel):
            return 1
        return ended
