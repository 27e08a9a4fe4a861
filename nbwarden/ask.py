"""Trusted test cells: a question goes to the student's process, data comes back, we judge.

A test cell whose first line is `# nbwarden: trusted` is read, and never run. It may import, and
call checks::

    # nbwarden: trusted
    check_double("small numbers", double)

A check is any function of the instructor's, imported in the cell itself or by a given cell, that
has an attribute `ask`. Called with the constants of the call, it returns a question, which is data,
and a judge: a function from what came back to the share of the points, from 0 to 1, and a message.
The names in the call are the student's; what `ask` may not depend on is left to them. An attribute
`answer`, "module:function", says what is called with the question and the student's functions,
inside, and whose result is the answer; without one it is `nbwarden.inside.reply.calls`. When the
student runs the cell, it is the function itself that runs.
"""

from __future__ import annotations

import ast
import base64
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbwarden.inside.data import pack

#: The first line of a trusted cell.
MARK = "# nbwarden: trusted"
_CALLS = "nbwarden.inside.reply:calls"

#: From what came back to the share of the points and a message.
Judge = Callable[[Any], tuple[float, str]]


class CourseError(RuntimeError):
    """Something of the instructor's is not as it should be; no student is to pay for it."""


@dataclass(frozen=True)
class Question:
    """One call of a check, as it is put to the student's process."""

    check: str
    code: str  # what the student's kernel runs
    judge: Judge


@dataclass
class Instructor:
    """The instructor's files of an assignment, from which checks are imported.

    Attributes
    ----------
    files : dict of str to Path
        Where each file lies, by its name in the assignment's folder.
    imports : list of str
        The import statements of the given cells.
    """

    files: dict[str, Path]
    imports: list[str]
    _imported: dict[str, Any] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, files: dict[str, Path], imports: list[str]) -> Instructor:
        """The instructor of these files as they are now, whose imports are made once a process."""
        stats = ((name, path, path.stat()) for name, path in sorted(files.items()))
        key = tuple((name, path, stat.st_mtime_ns, stat.st_size) for name, path, stat in stats)
        return _instructor(key, tuple(imports))

    def questions(self, source: str) -> list[Question]:
        """Read a trusted cell.

        Raises
        ------
        CourseError
            If it holds anything but imports and calls of checks, or a check cannot be asked.
        """
        return [_question(call, *asking) for call, asking in self._checks(source)]

    def look_at(self, source: str) -> None:
        """Raise CourseError if a trusted cell can be seen to be wrong without asking anything."""
        if source not in self._seen:
            self._checks(source)
            self._seen.add(source)

    def _checks(self, source: str) -> list[tuple[ast.Call, tuple[Any, list[Any], list[str]]]]:
        """A trusted cell's calls: the check of each, its constants and the student's names."""
        imports, calls = parsed(source)
        found = []
        for call in calls:
            name, given, students = _parts(call)
            check = self._import(name, [*self.imports, *imports])
            if not callable(getattr(check, "ask", None)):
                raise CourseError(
                    f"a trusted cell calls {name}, which is no check: it has no attribute `ask`"
                )
            found.append((call, (check, given, students)))
        return found

    def _import(self, name: str, imports: list[str]) -> Any:
        """What an import statement, the last one that does so, binds to a name."""
        for statement in reversed(imports):
            if name not in _bound(statement):
                continue
            if statement not in self._imported:
                self._imported[statement] = self._namespace(statement)
            return self._imported[statement][name]
        raise CourseError(
            f"a trusted cell calls {name}, which neither the cell nor a given cell imports"
        )

    def _namespace(self, statement: str) -> dict[str, Any]:
        space: dict[str, Any] = {}
        with _modules_of(self.files):
            try:
                exec(statement, space)
            except Exception as error:
                shown = f"{type(error).__name__}: {error}"
                raise CourseError(f"`{statement}` fails on this machine: {shown}") from error
        return space


def _question(call: ast.Call, check: Any, given: list[Any], students: list[str]) -> Question:
    """The question of one call; CourseError if the check cannot be asked."""
    try:
        question, judge = check.ask(*given)
        text = base64.b64encode(pack(question)).decode()
    except Exception as error:
        shown = f"{type(error).__name__}: {error}"
        raise CourseError(f"the check {ast.unparse(call)} cannot be asked: {shown}") from error
    answer = getattr(check, "answer", _CALLS)
    if answer == _CALLS:
        judge = _of_calls(len(question), judge)
    code = (
        "__import__('nbwarden.inside.reply', fromlist=['reply'])"
        f".reply({answer!r}, {students!r}, {text!r})"
    )
    return Question(ast.unparse(call.func), code, judge)


@lru_cache(maxsize=8)
def _instructor(
    files: tuple[tuple[str, Path, int, int], ...], imports: tuple[str, ...]
) -> Instructor:
    return Instructor({name: path for name, path, *_ in files}, list(imports))


def is_trusted(source: str) -> bool:
    """Whether a test cell is a trusted one."""
    return source.lstrip().partition("\n")[0].rstrip() == MARK


def parsed(source: str) -> tuple[list[str], list[ast.Call]]:
    """The imports and the calls of a trusted cell; CourseError if there is anything else."""
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise CourseError(f"line {error.lineno} of a trusted cell is no Python") from None
    imports, calls = [], []
    for node in body:
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level):
            imports.append(ast.unparse(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            calls.append(node.value)
        else:
            raise CourseError(
                f"`{ast.unparse(node)[:80]}` stands in a trusted cell, which holds imports and "
                "calls of checks, and nothing else"
            )
    return imports, calls


def _parts(call: ast.Call) -> tuple[str, list[Any], list[str]]:
    """The name of a check, the constants it is given, and the names of the student's functions."""
    if isinstance(call.func, ast.Name) and not call.keywords:
        names = [part.id for part in call.args if isinstance(part, ast.Name)]
        given = []
        for part in call.args:
            if not isinstance(part, ast.Name):
                try:
                    given.append(ast.literal_eval(part))
                except ValueError:
                    break
        else:
            return call.func.id, given, names
    raise CourseError(
        f"`{ast.unparse(call)[:80]}`: in a trusted cell a check is called with constants and names"
    )


def _of_calls(count: int, judge: Judge) -> Judge:
    """A judge of calls, which is shown an answer to all of them or nothing."""

    def judged(replies: Any) -> tuple[float, str]:
        forms = ({"returned"}, {"raised"})
        whole = isinstance(replies, list) and len(replies) == count
        if not whole or not all(isinstance(r, dict) and set(r) in forms for r in replies):
            raise ValueError("what came back is no answer to the question")
        return judge(replies)

    return judged


def _bound(statement: str) -> set[str]:
    node = ast.parse(statement).body[0]
    assert isinstance(node, ast.Import | ast.ImportFrom)
    return {alias.asname or alias.name.partition(".")[0] for alias in node.names}


@contextmanager
def _modules_of(files: dict[str, Path]) -> Iterator[None]:
    """Import from the instructor's folder: for a while, as every assignment has its `checker`."""
    own = {name.partition("/")[0].removesuffix(".py") for name in files if name.endswith(".py")}
    folders = {str(path.parents[name.count("/")]) for name, path in files.items()}
    kept = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in own}
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path[:0] = sorted(folders)
    try:
        yield
    finally:
        for folder in folders:
            sys.path.remove(folder)
        sys.dont_write_bytecode = written
        for name in [*sys.modules]:
            if name.partition(".")[0] in own:
                del sys.modules[name]
        sys.modules.update(kept)
