"""The pages of the book as programs: their checks, each with the state that it starts from."""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from book._ext.course_equations import code_in, scan
from tests.mutants.mutate import Mutant, find_call, mutants, transcribed

State = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """A cell that verifies an equation, up to the call of `verify`."""

    label: str
    number: int
    cell: ast.Module

    def mutants(self) -> list[Mutant]:
        """Return the mutants of the transcribed formula."""
        return list(mutants(self.cell, transcribed(self.cell, find_call(self.cell, self.label))))

    def run(self, state: State) -> Exception | None:
        """Run the cell as it now is, on a copy of a page's state; return what it raises."""
        names = {node.id for node in ast.walk(self.cell) if isinstance(node, ast.Name)}
        before = dict(state)
        memo: dict[int, Any] = {}
        state |= {name: _copy(before[name], memo) for name in names & before.keys()}
        state["_same"] = lambda value, *_: value  # what a function is that was left out
        try:
            _execute(self.cell, state)
        except Exception as error:
            return error
        finally:  # in place: the page's functions look their names up here
            state.clear()
            state.update(before)
        return None


class Page:
    """A page's code cells."""

    def __init__(self, text: str) -> None:
        lines, page = text.splitlines(), scan(text)
        self.cells = [ast.parse(code_in(lines[first : last - 1])) for first, last in page.cells]
        self.checks = [
            Check(check.label, check.cell, _until(self.cells[check.cell], check.label))
            for check in page.checks
            if check.label is not None
        ]

    def states(self) -> Iterator[tuple[Check, State]]:
        """Run what the checks need, and yield each check before it is run, with what there is."""
        state: State = {"__name__": "__main__"}
        for number in _needed(self.cells, {check.number for check in self.checks}):
            yield from ((check, state) for check in self.checks if check.number == number)
            _execute(self.cells[number], state)


def _needed(cells: list[ast.Module], wanted: set[int]) -> list[int]:
    """Return the numbers of the cells that some cells depend on, and of those cells."""
    chosen: set[int] = set()
    waiting = set(wanted)
    while waiting:
        number = waiting.pop()
        chosen.add(number)
        read = {node.id for node in ast.walk(cells[number]) if isinstance(node, ast.Name)}
        for name in read:
            before = [n for n in range(number) if name in _binds(cells[n])]
            waiting |= set(before[-1:]) - chosen
    return sorted(chosen)


def _binds(cell: ast.Module) -> set[str]:
    """Names that a cell binds at its top level, or in a loop there."""
    found: set[str] = set()
    for node in ast.walk(cell):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {alias.asname or alias.name.partition(".")[0] for alias in names}
    return found


def _until(cell: ast.Module, label: str) -> ast.Module:
    """Return a copy of a cell that ends with its call of `verify`."""
    cell = copy.deepcopy(cell)
    call = find_call(cell, label)
    last = next(n for n, node in enumerate(cell.body) if call in ast.walk(node))
    return ast.Module(cell.body[: last + 1], [])


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, types.ModuleType | types.FunctionType | type):
        return value
    return copy.deepcopy(value, memo)


def _execute(cell: ast.Module, state: dict[str, Any]) -> None:
    """Run a cell without a word; what `np.empty` returns holds no numbers of an earlier run."""
    code = compile(ast.fix_missing_locations(cell), "cell", "exec")
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
        mock.patch("numpy.empty", _filled(np.empty)),
        mock.patch("numpy.empty_like", _filled(np.empty_like)),
    ):
        warnings.simplefilter("ignore")
        exec(code, state)


def _filled(make: Callable[..., Any]) -> Callable[..., Any]:
    def made(*args: Any, **kwargs: Any) -> Any:
        array = make(*args, **kwargs)
        if array.dtype.kind in "fc":
            array.fill(np.nan)
        return array

    return made
