"""Run a submission with its tests outside the student's process.

The student's cells run in a sandboxed kernel. Test cells run in a second kernel, which never
executes student code and calls the student's functions in the first one. Locked cells that are no
tests, such as imports and given data, run in both.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import utils
from nbgrader.preprocessors import Execute
from traitlets import Float, Integer

from nbwarden.canonical import names_bound, new_cell
from nbwarden.client import PromptClient
from nbwarden.sandbox import SandboxedKernelManager, SandboxError

#: Where calls go through; these frames are left out of what a student sees.
_OURS = str(Path(__file__).with_name("remote.py"))
#: What the student's kernel runs while a test cell calls its functions.
_SERVE = "__import__('nbwarden.servant').servant.serve()"


class TrustedExecute(Execute):  # type: ignore[misc]
    """nbgrader's Execute, with the student's cells in a sandbox and the tests outside it."""

    call_timeout = Float(
        0.0,
        help="""Seconds that one call of a student's function by a test may take; 0 means three
        quarters of what the whole cell may take (`timeout`).""",
    ).tag(config=True)

    submission_timeout = Integer(
        900,
        help="""Seconds after which no more cells of a submission are started. The tests that are
        left give no points.""",
    ).tag(config=True)

    restarts = Integer(
        30,
        help="""How often the student's kernel is started again after it has died or hung in one
        submission. After that, what needs it fails.""",
    ).tag(config=True)

    output_size = Integer(
        1_000_000, help="Bytes of output that are kept of one of the student's cells."
    ).tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: Any = None, km: Any = None
    ) -> tuple[NotebookNode, Any]:
        """Run the notebook; every test cell ends with a result of its own run or an error."""
        # nbclient puts every cell it runs into its notebook: so it has one of its own
        NotebookClient.__init__(self, _scratch(nb), None, record_timing=False)
        self.reset_execution_trackers()
        self._check_assign_resources(resources)
        run_sync(self._run)(nb, resources or {})
        return nb, self.resources

    async def _run(self, nb: NotebookNode, resources: Any) -> None:
        told = resources.get("nbwarden", {})
        for cell in nb.cells:
            if _is_test(cell):  # what does not run must not score
                cell.outputs = [_error("NotRun", "this test was not run")]
        if nb.metadata.get("nbwarden", {}).get("unreadable"):
            return
        student = StudentKernel(self, nb, resources)
        tests = TrustedKernel(self, told, names_bound(filter(_is_test, nb.cells)))
        deadline = time.monotonic() + self.submission_timeout
        try:
            await asyncio.gather(student.start(), tests.start())
            for index, cell in enumerate(nb.cells):
                if cell.cell_type != "code" or not cell.source.strip():
                    continue
                if time.monotonic() > deadline:
                    cell.outputs = [_error("TimeoutError", "the notebook took too long before")]
                    continue
                if not _is_test(cell):
                    await student.run(index, cell)
                if _is_test(cell):
                    await self._test_cell(cell, student, tests)
                elif utils.is_locked(cell):
                    await tests.setup(cell.source)
            nb.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        finally:
            await asyncio.gather(student.stop(), tests.stop())

    async def _test_cell(
        self, cell: NotebookNode, student: StudentKernel, tests: TrustedKernel
    ) -> None:
        """Run a test cell on the trusted side, with the student's side answering its calls."""
        if not student.alive:
            await student.restart()
        await tests.connect(student)
        run = new_cell("code", cell.source)
        serving = asyncio.ensure_future(student.serve())
        try:
            await tests.run(run)
        finally:
            printed = await student.served(serving)
        points = float(cell.metadata["nbgrader"].get("points") or 0)
        cell.outputs = _test_outputs(run, printed, points)
        cell.execution_count = run.execution_count
        if student.reason and any(o.output_type == "error" for o in cell.outputs):
            text = f"(Your process was stopped: {student.reason}.)\n"
            cell.outputs.append(new_output("stream", name="stdout", text=text))


class StudentKernel:
    """The sandboxed kernel of one submission: runs cells, serves calls, comes back after dying."""

    def __init__(self, execute: TrustedExecute, nb: NotebookNode, resources: Any) -> None:
        self.execute, self.nb = execute, nb
        self.folder = resources.get("metadata", {}).get("path") or ""
        self.client: _Client | None = None
        self.ran: list[int] = []  # the cells to run again after a restart
        self.started = 0
        self.alive = False
        self.reason = ""

    @property
    def socket(self) -> str:
        """Where the student's functions are called."""
        assert self.client is not None
        return self.client.manager.sandbox.calls

    async def start(self) -> None:
        """Start the sandbox; SandboxError if it does not come up."""
        self.started += 1
        manager = SandboxedKernelManager(folder=self.folder, config=self.execute.config)
        self.client = _Client(_scratch(self.nb), manager, self.execute)
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
        """Run a student's cell; what it does to its process is its own problem."""
        if not self.alive and not await self.restart():
            cell.outputs = [_error("DeadKernel", f"the notebook's process ended {self.reason}")]
            return
        assert self.client is not None
        self.client.begin()
        try:
            await self.client.async_execute_cell(cell, 0, store_history=True)
            self.ran.append(index)
        except Exception as error:  # a dead kernel, or one that talks nonsense
            await self.fail(error)
            cell.outputs = [
                *cell.get("outputs", [])[:20],
                _error("DeadKernel", f"this cell ended the process of the notebook {self.reason}"),
            ]
        cell.outputs = [output for output in cell.outputs if output]

    async def serve(self) -> list[NotebookNode]:
        """Answer the tests' calls until they are done; what the student's functions printed."""
        if not self.alive:
            return []
        assert self.client is not None
        self.client.begin(timeout=False)
        cell = new_cell("code", _SERVE)
        try:
            await self.client.async_execute_cell(cell, 0, store_history=False)
        except Exception as error:
            await self.fail(error)
        return list(cell.outputs)

    async def served(self, serving: asyncio.Future[list[NotebookNode]]) -> list[NotebookNode]:
        """Wait for the end of `serve`; a kernel that does not come to it is ended."""
        try:
            return await asyncio.wait_for(serving, timeout=5)
        except (TimeoutError, asyncio.CancelledError):
            await self.fail(TimeoutError("it did not come back from a call"))
            return []

    async def fail(self, error: Exception) -> None:
        """The kernel is dead or might as well be."""
        self.alive = False
        told = self.client.manager.sandbox.reason if self.client else ""
        self.reason = told or (
            "" if isinstance(error, DeadKernelError) else str(error).splitlines()[0][:200]
        )
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
        self, nb: NotebookNode, manager: SandboxedKernelManager, execute: TrustedExecute
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
        self.manager, self.left = manager, execute.output_size
        self.usual, self.most = execute.timeout, execute.output_size
        self.on_cell_executed = execute.on_cell_executed

    def begin(self, timeout: bool = True) -> None:
        """Prepare for the next cell."""
        self.timeout = self.usual if timeout else None
        self.left = self.most

    def process_message(self, msg: Any, cell: NotebookNode, cell_index: int) -> Any:
        """Take output up to its limit; no widgets, no updates of other cells' output."""
        kind = msg["msg_type"]
        if kind in ("stream", "display_data", "execute_result", "error"):
            before = self.left
            self.left -= len(json.dumps(msg["content"]))
            if self.left < 0:
                if before >= 0:
                    text = "\n... more output than is kept ...\n"
                    cell.outputs.append(new_output("stream", name="stdout", text=text))
                if self.left < -100 * self.most:
                    self.manager.sandbox.reason = "it printed without end"
                    self.manager.sandbox._kill_all()
                return None
        elif kind not in ("status", "clear_output"):
            return None
        msg["content"].pop("transient", None)
        return super().process_message(msg, cell, cell_index)

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


class TrustedKernel:
    """The kernel in which the tests run; it has the instructor's files, and no student's code."""

    def __init__(self, execute: TrustedExecute, told: dict[str, Any], bound: set[str]) -> None:
        self.execute, self.told = execute, told
        # what the tests define themselves is never the student's to say, even if it is missing
        self.reserved = sorted(bound - set(told.get("answers", ())))
        self.done: list[str] = []  # setup cells, to run again after a restart
        self.folder: Path | None = None
        self.student: StudentKernel | None = None
        self.connected = 0  # which start of the student's kernel is called

    async def start(self) -> None:
        """Start the kernel in a copy of the instructor's files."""
        if self.folder is None:
            # a socket lies in it, whose path may have about 100 characters
            base = None if len(tempfile.gettempdir()) < 70 else "/tmp"
            self.folder = Path(tempfile.mkdtemp(prefix="nbw-tests-", dir=base))
            for name, source in self.told.get("files", {}).items():
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        execute = self.execute
        manager = execute.km = execute.create_kernel_manager()
        manager.transport, manager.ip = "ipc", str(self.folder / ".kernel")
        manager.transport_encryption = "disabled"  # the folder is this user's only
        manager.client_factory = PromptClient
        # figures of given cells are drawn on the student's side
        env = {**os.environ, "MPLBACKEND": "agg"}
        await execute.async_start_new_kernel(cwd=str(self.folder), env=env)
        await execute.async_start_new_kernel_client()
        told = (self.told.get("imports", []), self.reserved, self.told.get("modules", False))
        await self._own(f"import nbwarden.remote as __r; __r.start(*{told!r})")

    async def connect(self, student: StudentKernel) -> None:
        """Call the functions of this student's kernel from now on, if not so already."""
        self.student = student
        if student.alive and self.connected != student.started:
            self.connected = student.started
            timeout = self.execute.call_timeout or 0.75 * (self.execute.timeout or 3600)
            try:
                await self._own(f"__r.connect({student.socket!r}, {timeout!r})")
            except RuntimeError as error:  # what listens there is not what was started
                await student.fail(error)

    async def _own(self, code: str) -> None:
        """Run a line of our own, which must succeed."""
        assert self.execute.kc is not None
        reply = await self.execute.kc.execute(code, silent=True, reply=True, timeout=600)
        if reply["content"]["status"] != "ok":
            raise RuntimeError(
                f"the tests' kernel could not be prepared: {reply['content']['evalue']}"
            )

    async def run(self, cell: NotebookNode) -> None:
        """Run a cell of the instructor's."""
        try:
            await self.execute.async_execute_cell(cell, 0, store_history=True)
        except Exception as error:  # dead or out of reach: what the student sent was too much
            cell.outputs = [_error(type(error).__name__, "the test did not come to its end")]
            await self.restart()

    async def setup(self, source: str) -> None:
        """Run a locked cell that is no test, as far as it goes without the student."""
        self.done.append(source)
        await self._own(f"__r.setup({source!r})")

    async def restart(self) -> None:
        """A new kernel with the setup cells run again."""
        await self._end()
        self.connected = 0
        await self.start()
        if self.student is not None:
            await self.student.stop()
        for source in self.done:
            await self._own(f"__r.setup({source!r})")

    async def stop(self) -> None:
        """End the kernel, and remove its files."""
        with suppress(Exception):
            await self._end()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _end(self) -> None:
        """Kill the kernel, and let go of it."""
        if self.execute.km is None:
            return
        kernel = self.execute.km.provisioner
        if kernel is not None and kernel.has_process:
            await kernel.kill()
            patience = time.monotonic() + 5
            # Jupyter would look ten times a second only
            while await kernel.poll() is None and time.monotonic() < patience:
                await asyncio.sleep(0.002)
        self.execute.shutdown_kernel = "immediate"
        await self.execute._async_cleanup_kernel()


# ---------------------------------------------------------------- cells and outputs


def _is_test(cell: NotebookNode) -> bool:
    """A cell whose run gives points."""
    return cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell)


def _scratch(nb: NotebookNode) -> NotebookNode:
    """A notebook of one cell, for the same kernel."""
    metadata = {key: value for key, value in nb.metadata.items() if key == "kernelspec"}
    cells = [new_cell("code", "")]
    return NotebookNode(cells=cells, metadata=metadata, nbformat=4, nbformat_minor=5)


def _error(name: str, text: str) -> NotebookNode:
    text = text.strip()
    made: NotebookNode
    made = new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])
    return made


def _test_outputs(
    run: NotebookNode, printed: list[NotebookNode], points: float
) -> list[NotebookNode]:
    """What a test cell shows: the tests' own results, with what the student's functions printed.

    Nothing printed, by either side, costs or earns points: a warning in a right answer is no
    mistake, and only the tests themselves may give partial credit.
    """
    texts = [o.text for o in printed if o.output_type == "stream"]
    text = "".join(texts)[:20_000]
    outputs = [new_output("stream", name="stdout", text=text)] if text else []
    outputs += [o for o in printed if o.output_type == "display_data"][:20]
    for output in run.outputs:
        if output.output_type == "stream":
            output.name = "stdout"
        elif output.output_type == "execute_result":
            with suppress(ValueError):
                credit = float(output.data.get("text/plain", ""))
                if not (math.isfinite(credit) and 0 <= credit <= points):
                    output = _error("ValueError", f"the test's partial credit is {credit}")
        elif output.output_type == "error":
            output.traceback = [part for part in output.traceback if _OURS not in part]
        outputs.append(output)
    return outputs
