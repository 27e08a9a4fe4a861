"""The student's kernel: runs cells, answers questions, comes back after dying."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output

from nbwarden.canonical import new_cell
from nbwarden.inside.data import unpack
from nbwarden.inside.reply import MIME
from nbwarden.launch import SandboxError
from nbwarden.sandbox import SandboxedKernelManager

if TYPE_CHECKING:
    from nbwarden.execute import SafeExecute

#: Characters of what functions print while they are asked about, and figures.
_MOST_PRINTED, _MOST_FIGURES = 20_000, 20


class StudentKernel:
    """The sandboxed kernel of one submission."""

    def __init__(self, execute: SafeExecute, nb: NotebookNode, resources: Any) -> None:
        self.execute, self.nb = execute, nb
        self.folder = resources.get("metadata", {}).get("path") or ""
        self.client: _Client | None = None
        self.ran: list[int] = []  # the cells to run again after a restart
        self.started = 0
        self.alive = False
        self.reason = ""

    async def start(self) -> None:
        """Start the sandbox; SandboxError if it does not come up."""
        self.started += 1
        manager = SandboxedKernelManager(folder=self.folder, config=self.execute.config)
        self.client = _Client(_scratch(), manager, self.execute)
        try:
            await self.client.async_start_new_kernel()
            await self.client.async_start_new_kernel_client()
        except (RuntimeError, OSError) as error:
            await self.stop()
            raise SandboxError(str(error)) from error
        self.alive = True

    async def restart(self) -> bool:
        """Start anew and run again what ran; False if that was tried often enough."""
        await self.stop()
        if self.started > self.execute.restarts:
            return False
        await self.start()
        ran, self.ran = self.ran, []
        for index in ran:
            if not self.alive:
                break
            await self.run(index, new_cell("code", self.nb.cells[index].source))
        return self.alive

    async def run(self, index: int, cell: NotebookNode) -> None:
        """Run a cell; what it does to its process is its own problem."""
        if not self.alive and not await self.restart():
            text = f"the notebook's process ended {self.reason}"
            cell.outputs = [error_output("DeadKernel", text)]
            return
        assert self.client is not None
        self.client.begin()
        try:
            await self.client.async_execute_cell(cell, 0, store_history=True)
            self.ran.append(index)
        except Exception as error:  # a dead kernel, or one that talks nonsense
            await self.fail(error)
            text = f"this cell ended the process of the notebook {self.reason}"
            cell.outputs = [*cell.get("outputs", [])[:20], error_output("DeadKernel", text)]
        cell.outputs = [output for output in cell.outputs if output]

    async def ask(self, code: str) -> tuple[dict[str, Any], list[NotebookNode]]:
        """Put a question; the reply, an empty dict if none came, and what was printed meanwhile."""
        if not self.alive and not await self.restart():
            return {}, []
        assert self.client is not None
        self.client.begin(asked=True)
        cell = new_cell("code", code)
        try:
            await self.client.async_execute_cell(cell, 0, store_history=False)
        except Exception as error:
            await self.fail(error)
        reply = self.client.reply if self.client else {}
        text = "".join(o.text for o in cell.outputs if o and o.output_type == "stream")
        printed = [new_output("stream", name="stdout", text=text[:_MOST_PRINTED])] if text else []
        figures = [o for o in cell.outputs if o and o.output_type == "display_data"]
        return reply, printed + figures[:_MOST_FIGURES]

    async def fail(self, error: Exception) -> None:
        """The kernel is dead or might as well be."""
        self.alive = False
        stopped = self.client.manager.sandbox.reason if self.client else ""
        self.reason = stopped or _reason(error)
        await self.stop()

    async def stop(self) -> None:
        """End the sandbox and everything in it."""
        self.alive = False
        client, self.client = self.client, None
        if client is not None:
            await client.close()


class _Client(NotebookClient):
    """Runs cells in the sandboxed kernel; believes nothing of what it says."""

    def __init__(
        self, nb: NotebookNode, manager: SandboxedKernelManager, execute: SafeExecute
    ) -> None:
        super().__init__(
            nb,
            km=manager,
            timeout=execute.timeout,
            allow_errors=True,
            interrupt_on_timeout=True,
            error_on_timeout=execute.error_on_timeout,
            raise_on_iopub_timeout=True,
            startup_timeout=execute.startup_timeout,
            store_widget_state=False,
            record_timing=False,
            log=execute.log,
        )
        self.manager, self.left, self.most = manager, execute.output_size, execute.output_size
        self.reply: dict[str, Any] = {}
        self.asked = False  # one reply is read, to a question
        self.on_cell_executed = execute.on_cell_executed

    def begin(self, *, asked: bool = False) -> None:
        """Prepare for the next cell, or for a question."""
        self.left, self.reply, self.asked = self.most, {}, asked

    def process_message(self, msg: Any, cell: NotebookNode, cell_index: int) -> Any:
        """Take output up to its limit; no widgets, no updates of other cells' output."""
        kind = msg["msg_type"]
        if kind == "display_data" and MIME in msg["content"].get("data", {}):
            if not self.asked:
                self._count(msg)
            else:  # reading a reply may take long: there is one
                self.asked, self.reply = False, _read(msg["content"]["data"][MIME])
            return None
        if kind in ("stream", "display_data", "execute_result", "error"):
            before = self.left
            self._count(msg)
            if self.left < 0:
                if before >= 0:
                    text = "\n... more output than is kept ...\n"
                    cell.outputs.append(new_output("stream", name="stdout", text=text))
                return None
        elif kind not in ("status", "clear_output"):
            return None
        msg["content"].pop("transient", None)
        return super().process_message(msg, cell, cell_index)

    def _count(self, msg: Any) -> None:
        """Take a message off what is left, and end what never ends."""
        self.left -= len(json.dumps(msg["content"]))
        if self.left < -100 * self.most:
            self.manager.sandbox.reason = "it printed without end"
            self.manager.sandbox._kill_all()

    async def close(self) -> None:
        """End the kernel and everything that talks with it."""
        if self.kc is not None:
            with suppress(Exception):
                self.kc.stop_channels()
        with suppress(Exception):
            await self.manager.sandbox.kill()
            await asyncio.wait_for(self.manager.sandbox.wait(), timeout=5)
        await self.manager.sandbox.cleanup()
        with suppress(Exception):
            await self.manager.cleanup_resources()
        self.manager.let_go()


def _reason(error: Exception) -> str:
    """Why a kernel is given up, as far as that is worth saying."""
    if isinstance(error, DeadKernelError):
        return ""
    if isinstance(error, zmq.Again):
        return "it closed its connection to the grader"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _read(text: Any) -> dict[str, Any]:
    """The reply in a message, which may come from anybody; an empty dict if it is none."""
    with suppress(ValueError, TypeError):
        reply = unpack(base64.b64decode(text, validate=True))
        if isinstance(reply, dict):
            return reply
    return {}


def _scratch() -> NotebookNode:
    """A notebook of one cell. Whatever its kernel was called elsewhere, here it is this Python."""
    cells = [new_cell("code", "")]
    return NotebookNode(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)


def error_output(name: str, text: str) -> NotebookNode:
    """An error as a cell shows it."""
    text = text.strip()
    made: NotebookNode
    made = new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])
    return made
