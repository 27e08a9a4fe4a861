"""Where a student's code runs: a Jupyter kernel under bubblewrap.

The kernel sees the system and the Python environment, read-only, and a copy of the submission's
folder in memory. It has no network, no other process, no file of anyone else, no environment
variables of the grader, and no rights. Whatever it starts ends with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any, cast

import psutil  # type: ignore[import-untyped]
import zmq.asyncio
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Bool, Integer, List, Unicode

from nbwarden import bubblewrap, mounts
from nbwarden.client import PromptClient
from nbwarden.launch import Arguments, SandboxError, listens, rights, unused_user
from nbwarden.limits import Limits, Watchman

#: Set to 1, it switches the sandbox off, as `c.Sandbox.enabled = False` does.
NO_SANDBOX = "NBWARDEN_NO_SANDBOX"
#: The part of this package that travels into the sandbox.
INSIDE = Path(__file__).with_name("inside")
#: What is started there.
BOOT = "lib/nbwarden/inside/boot.py"
_MB = 2**20
#: In milliseconds.
_A_DAY = 24 * 60 * 60 * 1000
_KERNEL_SOCKETS = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")


class Sandbox(KernelProvisionerBase):
    """Starts a kernel that cannot reach anything but its own copy of a submission."""

    enabled = Bool(
        True,
        help=f"""Whether students' code runs in a sandbox. Without one it can read and change
        everything that you can: switch it off only for code you have read yourself. The
        environment variable {NO_SANDBOX}=1 does the same for one run.""",
    ).tag(config=True)

    memory = Integer(
        2048,
        help="""Megabytes of memory that a submission's processes and their files, which are kept
        in memory, may use together. Each process is held to it by the system; their sum is looked
        at four times a second, and a submission that exceeds it is stopped.""",
    ).tag(config=True)

    processes = Integer(
        128,
        help="""Processes and threads that a submission may have at a time. A kernel with NumPy
        has about 15.""",
    ).tag(config=True)

    cpu_time = Integer(
        600, help="Seconds of processor time that a submission's processes may use together."
    ).tag(config=True)

    wall_time = Integer(
        900, help="Seconds after which a submission's kernel is stopped, whatever it does."
    ).tag(config=True)

    disk = Integer(
        256,
        help="""Megabytes that may lie in each of the submission's folder, /tmp and /dev/shm. They
        are kept in memory, and gone when the kernel ends. No file may be larger than this.""",
    ).tag(config=True)

    files = Integer(
        50_000,
        help="""Files and folders that may lie in each of these three, together with what a fresh
        one holds. A submission that makes more is stopped.""",
    ).tag(config=True)

    hidden_packages = List(
        Unicode(),
        help="""Installed packages that students' code must not find, such as the one that holds
        the reference solutions. Packages installed as editable are not there in any case.""",
    ).tag(config=True)

    readable = List(
        Unicode(),
        help="""More folders that students' code may read, at the same path: large data sets, for
        example. The system and the Python environment are readable in any case.""",
    ).tag(config=True)

    folder = Unicode(help="The folder whose files the kernel gets a copy of.")

    process: subprocess.Popen[bytes] | None = None
    #: Why the sandbox was stopped by its own watchman, as a text; empty if it was not.
    reason = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._first: psutil.Process | None = None  # the first process inside; all end with it
        self._kernel: psutil.Process | None = None
        self._errors: IO[bytes] | None = None
        self._place: Path | None = None  # where everything lies if there is no sandbox
        self._uid: int | None = None

    # -------- what a test or a command asks before anything is started

    def check(self) -> None:
        """Refuse if a sandbox is wanted and cannot be had.

        Raises
        ------
        SandboxError
            With the cause, and the lines that help.
        """
        if self.wanted and (why := bubblewrap.refusal()):
            raise SandboxError(f"{why}\nWithout a sandbox: {NO_SANDBOX}=1")

    @property
    def wanted(self) -> bool:
        """Whether code runs in a sandbox: the trait, unless the environment says no."""
        return self.enabled and os.environ.get(NO_SANDBOX, "") in ("", "0")

    # -------- starting

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Nothing of the grader's environment goes in."""
        self.check()
        kwargs["cmd"] = []
        return kwargs

    async def launch_kernel(self, cmd: list[str], **_: Any) -> KernelConnectionInfo:
        """Start the kernel and wait until its sockets are there."""
        inside = Path("/run/nbwarden")
        if self.wanted and os.getuid() == 0:
            self._uid = unused_user()
        if not self.wanted:
            self.log.warning(
                "\n!! NO SANDBOX: students' code runs with all your rights on this machine !!\n"
            )
            self._place = inside = Path(tempfile.mkdtemp(prefix="nbw-"))
        assert self.parent is not None
        key = self.parent.session.key.decode()
        sockets = inside / "s" / "k"
        connection: dict[str, Any] = {
            "transport": "ipc",
            "ip": str(sockets),
            "key": key,
            "signature_scheme": "hmac-sha256",
            **{name: number for number, name in enumerate(_KERNEL_SOCKETS, 1)},
        }
        files = {
            inside / "connection.json": json.dumps(connection).encode(),
            inside / "boot.json": json.dumps(self._told(inside)).encode(),
        }
        self._errors = tempfile.TemporaryFile(prefix="nbw-")  # noqa: SIM115  (closed in cleanup)
        (self._start_inside if self.wanted else self._start_outside)(inside, files)
        await self._wait_until_up()
        await self._wait_until_it_listens(self.outside(str(sockets)))
        assert self._first is not None
        folders = tuple(map(self.outside, mounts.FOLDERS if self.wanted else ()))
        Watchman(self._limits(), self._first, folders, self._stop).start()
        connection["ip"] = self.outside(str(sockets))
        connection["key"] = key.encode()
        return cast(KernelConnectionInfo, connection)

    def outside(self, path: str) -> str:
        """Where a path inside the sandbox is found from here.

        The sandbox's own file system is reached through its first process, so that nothing in
        the sandbox can be written that lies on the grader's disk.
        """
        return f"/proc/{self._first.pid}/root{path}" if self.wanted and self._first else path

    def _told(self, inside: Path) -> dict[str, Any]:
        """What boot.py needs to know."""
        limits = self._limits().of_a_process()
        if not self.wanted:
            del limits["RLIMIT_NPROC"]  # it would count all that this user runs
        return {
            "limits": limits,
            "uid": self._uid,
            "folder": str(inside / "work") if self._place else "/submission",
            "path": mounts.site_packages(),
            "connection": str(inside / "connection.json"),
        }

    def _start_inside(self, inside: Path, files: dict[Path, bytes]) -> None:
        """Start bubblewrap. Its arguments say what there is; nothing else is."""
        program = bubblewrap.find()
        if program is None:
            raise SandboxError(bubblewrap.refusal())
        with closing(Arguments()) as arguments:
            self._fill(arguments, inside, files)
            code = [sys.executable, "-I", str(inside / BOOT), str(inside / "boot.json")]
            self.process, self._first = arguments.start(program, code, self._errors)
        if self._first is None:
            raise SandboxError(f"bubblewrap did not start: {self._complaint()}")

    def _fill(self, arguments: Arguments, inside: Path, files: dict[Path, bytes]) -> None:
        """Say what there is inside."""
        arguments.add(
            *rights(),
            *mounts.memory_folder("/tmp", self.disk),  # first: Python may lie below it
            *mounts.system(arguments.handle, self._uid or os.getuid(), self.readable),
            *mounts.hiding(self.hidden_packages),
            *mounts.memory_folder("/submission", self.disk),
            *mounts.memory_folder("/dev/shm", self.disk),
            *mounts.memory_folder(str(inside / "s"), 1),
        )
        for name, value in mounts.environment().items():
            arguments.add("--setenv", name, value)
        for path, content in self._own_files(inside, files).items():
            arguments.add("--perms", "0444", "--file", arguments.handle(content), str(path))
        copied = [*self._submission(), *mounts.font_lists()]
        arguments.add(*mounts.copies(arguments.handle, copied))

    def _start_outside(self, inside: Path, files: dict[Path, bytes]) -> None:
        """Start the same kernel without any sandbox."""
        (inside / "s").mkdir()
        (inside / "work").mkdir()
        for path, content in self._own_files(inside, files).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        for name, source in self._submission():
            target = inside / "work" / Path(name).relative_to("/submission")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        self.process = subprocess.Popen(
            [sys.executable, str(inside / BOOT), str(inside / "boot.json")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
        )
        self._first = self._kernel = psutil.Process(self.process.pid)

    def _own_files(self, inside: Path, files: dict[Path, bytes]) -> dict[Path, bytes | Path]:
        """What travels in: parts of this package, and what tells them what to do."""
        package = inside / "lib" / "nbwarden"
        modules = {package / "inside" / path.name: path for path in INSIDE.glob("*.py")}
        return {**files, package / "__init__.py": b"", **modules}

    def _submission(self) -> list[tuple[str, Path]]:
        """The files that the student's code finds: path inside, and path here."""
        return mounts.submission(self.folder)

    async def _wait_until_up(self) -> None:
        """Wait for the kernel's sockets, and find its process."""
        deadline = time.monotonic() + 300
        sockets = str((self._place or Path("/run/nbwarden")) / "s" / "k")
        last = self.outside(f"{sockets}-{_KERNEL_SOCKETS.index('iopub_port') + 1}")
        assert self.process is not None
        while not os.path.exists(last):
            if self.process.poll() is not None or time.monotonic() > deadline:
                complaint = self._complaint()
                await self.kill()
                raise SandboxError(f"the sandbox did not start: {complaint}")
            await asyncio.sleep(0.01)
        if self._kernel is None:
            assert self._first is not None
            self._kernel = self._first.children()[0]

    async def _wait_until_it_listens(self, sockets: str) -> None:
        """Wait until the two channels take connections: what connects once must not be early."""
        deadline = time.monotonic() + 300
        for name in ("shell_port", "iopub_port"):
            path = f"{sockets}-{_KERNEL_SOCKETS.index(name) + 1}"
            while not listens(path):
                if await self.poll() is not None or time.monotonic() > deadline:
                    raise SandboxError(f"the kernel in the sandbox ended: {self._complaint()}")
                await asyncio.sleep(0.005)

    def _complaint(self) -> str:
        """The last lines the sandbox wrote to its standard error."""
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read(20_000).decode(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:]) or "it said nothing"

    # -------- watching and ending

    def _limits(self) -> Limits:
        return Limits(**{name: getattr(self, name) for name in Limits.__dataclass_fields__})

    def _stop(self, reason: str) -> None:
        """End everything in the sandbox, by its watchman."""
        self.reason = reason
        self._kill_all()

    def _kill_all(self) -> None:
        """Kill the first process inside: the system kills all others with it."""
        if self._first is not None:
            with suppress(psutil.Error):
                others = [] if self.wanted else self._first.children(recursive=True)
                self._first.kill()
                for process in others:
                    with suppress(psutil.Error):
                        process.kill()
        if self.process is not None:
            with suppress(OSError):
                self.process.kill()

    @property
    def has_process(self) -> bool:
        """Whether there is a process to speak of."""
        return self.process is not None

    async def poll(self) -> int | None:
        """None while the kernel runs."""
        return self.process.poll() if self.process else 0

    async def wait(self) -> int | None:
        """Wait until everything in the sandbox has ended."""
        code = 0
        if self.process is not None:
            while (found := self.process.poll()) is None:
                await asyncio.sleep(0.005)
            if self.process.stdin is not None:
                self.process.stdin.close()
            code, self.process = found, None
        return code

    async def send_signal(self, signum: int) -> None:
        """Signal the kernel itself, which is not the first process inside."""
        if self._kernel is not None:
            with suppress(psutil.Error):
                self._kernel.send_signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """End everything in the sandbox."""
        self._kill_all()

    async def terminate(self, restart: bool = False) -> None:
        """End everything in the sandbox: nothing in it is asked for its consent."""
        self._kill_all()

    async def cleanup(self, restart: bool = False) -> None:
        """Let go of what was held here."""
        self._kill_all()
        if self._errors is not None:
            self._errors.close()
            self._errors = None
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)
            self._place = None


class SandboxedKernelManager(AsyncKernelManager):
    """A kernel manager whose kernel runs in a `Sandbox`.

    Parameters
    ----------
    folder : str
        The folder whose files the kernel gets a copy of.
    """

    #: The largest message a kernel may send; its connection is cut at a larger one.
    largest_message = 32 * _MB

    def __init__(self, folder: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transport = "ipc"  # the sandbox has no network
        self.transport_encryption = "disabled"  # nobody else sees these sockets
        self.shutdown_wait_time = 0.5
        self.client_factory = PromptClient
        self.provisioner = self.sandbox = Sandbox(parent=self, folder=folder)
        self._contexts: list[zmq.asyncio.Context] = []

    def client(self, **kwargs: Any) -> Any:
        """A client that takes no message larger than `largest_message`."""
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.MAXMSGSIZE, self.largest_message)
        # connected once, before a student's code runs: later, another socket may be in its place.
        # Not -1, for never: with that, zmq has aborted the process when a kernel hung up
        context.setsockopt(zmq.RECONNECT_IVL, _A_DAY)
        context.setsockopt(zmq.SNDTIMEO, 1000)  # there may be nobody to send to
        self._contexts.append(context)
        return super().client(context=context, **kwargs)

    def let_go(self) -> None:
        """Close the clients' sockets for good."""
        for context in self._contexts:
            context.destroy(linger=0)
        self._contexts.clear()
