"""Run a submission: its cells and contained tests in a sandbox, trusted checks judged out here.

All cells run in one sandboxed kernel, in their order, as nbgrader would run them. So do test cells,
unless they are trusted ones: see `ask.py`.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from jupyter_core.utils import run_sync
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import utils
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import Execute
from traitlets import Integer

from nbwarden.ask import CourseError, Instructor, Question, is_trusted
from nbwarden.student import StudentKernel, error_output

#: Characters that are kept of what a judge says.
_LONGEST = 20_000


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
        """Run the notebook; every test cell ends with a result of its own run or an error."""
        for cell in nb.cells:
            if is_test(cell):  # what does not run must not score
                cell.outputs = [error_output("NotRun", "this test was not run")]
        if not nb.metadata.get("nbwarden", {}).get("unreadable"):
            try:
                run_sync(self._run)(nb, resources or {})
            except CourseError as error:
                raise NbGraderException(f"grading refused: {error}") from error
        return nb, resources

    async def _run(self, nb: NotebookNode, resources: Any) -> None:
        known = resources.get("nbwarden", {})
        files = {name: Path(path) for name, path in known.get("files", {}).items()}
        instructor = Instructor.of(files, known.get("imports", []))
        student = StudentKernel(self, nb, resources)
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
            nb.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
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
        """What a judge says: no points and a message if what came back is beyond it."""
        try:
            share, message = question.judge(reply)
            if math.isnan(share):  # so were the student's numbers
                raise ValueError("NaN of the points")
        except Exception as error:
            self.log.warning("the judge of %s failed: %r", question.check, error, exc_info=True)
            return 0.0, f"What your functions returned cannot be judged: {error}"
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


def _cut(text: str) -> str:
    """A message that may quote what came back, which may be long."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


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
