"""Run a submission: its cells and contained tests in a sandbox, trusted checks judged out here.

All cells run in one sandboxed kernel, in their order, as nbgrader would run them. So do test cells,
unless they are trusted ones: see `ask.py`.

`execute` is a function of values and knows no gradebook: it runs in any process, on any machine.
`SafeExecute` is nbgrader's plug-in. It takes the outputs that `execute` gave elsewhere, or runs the
notebook on the spot.
"""

from __future__ import annotations

import atexit
import errno
import math
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_core.utils import run_sync
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import utils
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import Execute
from traitlets import Integer
from traitlets.config import Config

from nbwarden import canonical, folders
from nbwarden.ask import CourseError, Instructor, Question, is_trusted
from nbwarden.folders import Entry
from nbwarden.launch import SandboxError
from nbwarden.outcomes import CourseFault, Trouble
from nbwarden.student import StudentKernel, error_output
from nbwarden.warm import WARM

#: Characters that are kept of what a judge says.
_LONGEST = 20_000
#: What the system says where it has no room, no memory, or no processes and files left.
_SHORT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EAGAIN, errno.EMFILE)

#: What the cells of a notebook put out, cell by cell.
Outputs = list[list[NotebookNode]]


@dataclass(frozen=True)
class Assignment:
    """What all submissions of an assignment share, as a value.

    Attributes
    ----------
    key : str
        Names the content: a process unpacks the same assignment once.
    files : tuple of Entry
        The instructor's, without notebooks.
    imports : dict
        The import statements of the given cells, by notebook.
    config : Config
        Limits, and all else that is set.
    """

    key: str
    files: tuple[Entry, ...]
    imports: Mapping[str, tuple[str, ...]]
    config: Config


@dataclass(frozen=True)
class Submission:
    """What is executed: rebuilt notebooks by name, in their order, and the student's files."""

    notebooks: Mapping[str, NotebookNode]
    files: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Executed:
    """The outputs of each notebook, and how long it took, in seconds."""

    outputs: Mapping[str, Outputs]
    seconds: float


def execute(
    assignment: Assignment, submission: Submission, *, warm: bool = False
) -> Executed | CourseFault | Trouble:
    """Run all notebooks of a submission in one folder, the instructor's files over the student's.

    The folder is made for it and gone afterwards. Nothing else is read or written. If `warm`, this
    process keeps another one from which kernels are forked, for as long as the assignment is the
    same.
    """
    with _one_at_a_time:
        return _outcome(assignment, submission, warm)


def _outcome(
    assignment: Assignment, submission: Submission, warm: bool
) -> Executed | CourseFault | Trouble:
    started = time.perf_counter()
    try:
        if warm and sys.platform.startswith("linux"):
            if WARM.key != assignment.key:
                WARM.begin(assignment.key, _modules(assignment), _unpacked(assignment))
            WARM.use()
        with tempfile.TemporaryDirectory(prefix="nbw-run-", ignore_cleanup_errors=True) as scratch:
            outputs = _execute(assignment, submission, Path(scratch, "folder"))
    except CourseError as error:
        return CourseFault(str(error), traceback.format_exc() if error.__cause__ else "")
    except SandboxError as error:
        return Trouble(f"the sandbox failed: {error}")
    except MemoryError:
        return Trouble("this machine has no memory left")
    except OSError as error:
        if error.errno in _SHORT:
            return Trouble(f"{error.strerror} (in {tempfile.gettempdir()})")
        return Trouble(f"the grader failed: {error!r}", traceback.format_exc())
    except Exception as error:
        return Trouble(f"the grader failed: {error!r}", traceback.format_exc())
    return Executed(outputs, time.perf_counter() - started)


def _execute(assignment: Assignment, submission: Submission, folder: Path) -> dict[str, Outputs]:
    source = _unpacked(assignment)
    # the student may hand in those of the instructor's files that are not to be overwritten
    mine = {entry.name for entry in submission.files}
    folders.unpack(submission.files, folder)
    folders.unpack(tuple(entry for entry in assignment.files if entry.name not in mine), folder)
    files = {entry.name: source / entry.name for entry in assignment.files}
    outputs = {}
    with utils.setenv(NBGRADER_EXECUTION="autograde"):
        for name, notebook in submission.notebooks.items():
            instructor = Instructor.of(files, list(assignment.imports.get(name, ())))
            runner = SafeExecute(config=assignment.config)
            outputs[name] = runner.outputs(notebook, folder, instructor)
    return outputs


#: A process has kernels of one assignment at a time, and imports one instructor's modules.
_one_at_a_time = threading.Lock()
_unpacked_at: dict[str, Path] = {}


def _unpacked(assignment: Assignment) -> Path:
    """A folder with the instructor's files: that of one assignment at a time."""
    if assignment.key not in _unpacked_at or not _unpacked_at[assignment.key].is_dir():
        _drop_unpacked()
        folder = Path(tempfile.mkdtemp(prefix="nbw-source-"))
        folders.unpack(assignment.files, folder)
        _unpacked_at[assignment.key] = folder
    return _unpacked_at[assignment.key]


@atexit.register
def _drop_unpacked() -> None:
    for folder in _unpacked_at.values():
        shutil.rmtree(folder, ignore_errors=True)
    _unpacked_at.clear()


def _modules(assignment: Assignment) -> list[str]:
    """The modules that the instructor's cells import, as far as they are no files of theirs."""
    own = {entry.name.removesuffix(".py") for entry in assignment.files}
    named = (canonical.modules_of(s) for part in assignment.imports.values() for s in part)
    names = dict.fromkeys(name for modules in named for name in modules)
    return [name for name in names if name.partition(".")[0] not in own]


def not_run(notebook: NotebookNode, reason: str = "") -> Outputs:
    """The outputs of a notebook that was not run: no test of it scores."""
    text = "this test was not run" + (f": {reason}" if reason else "")
    return [[error_output("NotRun", text)] if is_test(cell) else [] for cell in notebook.cells]


class SafeExecute(Execute):  # type: ignore[misc]
    """nbgrader's Execute, with the student's kernel in a sandbox and trusted checks outside it."""

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
        """Give every code cell its outputs: those of elsewhere, or of a run here and now."""
        known = resources["nbwarden"]
        outputs: Sequence[list[NotebookNode]] | None = known.get("outputs")
        if outputs is None:
            instructor = Instructor.of(known["files"], known["imports"])
            folder = Path(resources["metadata"]["path"])
            try:
                outputs = self.outputs(nb, folder, instructor)
            except CourseError as error:
                raise NbGraderException(f"grading refused: {error}") from error
        for cell, put_out in zip(nb.cells, outputs, strict=True):
            if cell.cell_type == "code":
                cell.outputs = put_out
        nb.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        return nb, resources

    def outputs(self, notebook: NotebookNode, folder: Path, instructor: Instructor) -> Outputs:
        """Run a notebook; every test cell ends with a result of its own run or an error.

        Raises
        ------
        CourseError
            If something of the instructor's is wrong.
        SandboxError
            If no sandbox starts.
        """
        nb = NotebookNode(notebook, cells=[_without_outputs(cell) for cell in notebook.cells])
        for cell, put_out in zip(nb.cells, not_run(nb), strict=True):
            if cell.cell_type == "code":
                cell.outputs = put_out  # what does not run must not score
        if not nb.metadata.get("nbwarden", {}).get("unreadable"):
            run_sync(self._run)(nb, folder, instructor)
        return [list(cell.get("outputs", ())) for cell in nb.cells]

    async def _run(self, nb: NotebookNode, folder: Path, instructor: Instructor) -> None:
        student = StudentKernel(self, nb, {"metadata": {"path": str(folder)}})
        deadline = time.monotonic() + self.submission_timeout
        try:
            await student.start()
            for index, cell in enumerate(nb.cells):
                if cell.cell_type != "code" or not cell.source.strip():
                    continue
                if time.monotonic() > deadline:
                    text = "the notebook took too long before"
                    cell.outputs = [error_output("TimeoutError", text)]
                elif is_test(cell) and is_trusted(cell.source):
                    questions = instructor.questions(cell.source)
                    cell.outputs = await self._asked(cell, questions, student)
                else:
                    await student.run(index, cell)
                    if is_test(cell):
                        cell.outputs = [_credited(output, cell) for output in cell.outputs]
        finally:
            await student.stop()

    async def _asked(
        self, cell: NotebookNode, questions: list[Question], student: StudentKernel
    ) -> list[NotebookNode]:
        """The outputs of a trusted cell: its checks in their order, up to one that fails.

        What the student's functions print is shown; it costs and earns nothing.
        """
        points = float(cell.metadata["nbgrader"].get("points") or 0)
        outputs: list[NotebookNode] = []
        share = 1.0
        for question in questions:
            reply, printed = await student.ask(question.code)
            outputs += printed
            if "reply" not in reply:
                return [*outputs, _no_reply(reply, student.reason)]
            share, message = self._judged(question, reply["reply"])
            message = _cut(message)
            if share == 0:
                name = "CheckFailed"
                error = new_output(
                    "error", ename=name, evalue=message, traceback=message.split("\n")
                )
                return [*outputs, error]
            if message:
                outputs.append(new_output("stream", name="stdout", text=message + "\n"))
            if share < 1:
                break
        if share < 1:
            credit = f"{share * points:g}"
            outputs.append(new_output("execute_result", data={"text/plain": credit}))
        return outputs

    def _judged(self, question: Question, reply: Any) -> tuple[float, str]:
        """What a judge says; CourseError if it fails, as no student is to pay for that.

        With a ValueError or an AssertionError it refuses what came back: no points.
        """
        try:
            share, message = question.judge(reply)
            if math.isnan(share):  # so were the student's numbers
                raise ValueError("NaN of the points")
        except (ValueError, AssertionError) as error:
            return 0.0, f"What your functions returned cannot be judged: {error}"
        except MemoryError:
            raise
        except Exception as error:
            shown = _cut(f"{type(error).__name__}: {error}", 300)
            raise CourseError(
                f"the judge of {question.check} failed on what came back: {shown}"
            ) from error
        if not 0 <= share <= 1:
            raise CourseError(f"{question.check} gives {share} of the points, not 0 to 1 of them")
        return float(share), str(message)


def is_test(cell: NotebookNode) -> bool:
    """Whether a cell's run gives points."""
    return cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell)


def _credited(output: NotebookNode, cell: NotebookNode) -> NotebookNode:
    """An output of a contained test, which nbgrader can read as a partial credit or not at all.

    It gives up the whole submission for more points than the cell has, and for a result without a
    text.
    """
    if output.output_type == "execute_result":
        text = output.data.get("text/plain")
        if not text:
            shown: NotebookNode = new_output("display_data", output.data)
            return shown
        points = float(cell.metadata["nbgrader"].get("points") or 0)
        try:
            credit = float(text)
        except ValueError:
            return output
        if not credit <= points:  # nor any number at all
            complaint = f"the test's partial credit is {credit:g}, and it has {points:g} points"
            return error_output("ValueError", complaint)
    return output


def _cut(text: str, most: int = _LONGEST) -> str:
    """A message that may quote what came back, which may be long."""
    return text if len(text) <= most else f"{text[:most]} ..."


def _without_outputs(cell: NotebookNode) -> NotebookNode:
    """A cell whose outputs can be changed without changing this one's."""
    return NotebookNode(cell, outputs=[]) if cell.cell_type == "code" else cell


def _no_reply(reply: dict[str, Any], reason: str) -> NotebookNode:
    """The output of a check to which there was no answer."""
    missing = reply.get("missing")
    if isinstance(missing, list) and missing:
        return error_output("NameError", f"name {str(missing[0])[:100]!r} is not defined")
    if "raised" in reply:
        text = f"your notebook could not be asked: {_cut(str(reply['raised']))}"
        return error_output("NoAnswer", text)
    why = f": {reason}" if reason else ""
    return error_output("NoAnswer", f"your process ended, or did not come back from a call{why}")
