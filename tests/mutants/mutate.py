"""The mutants of a check: one number, sign, index or operator of its transcribed formula changed.

What is transcribed in a cell is the second argument of `verify`, and whatever in the cell feeds it
and none of the other sides.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
#: An operator that is written as a function, and what it is mistaken for; None: left out.
FUNCTIONS = {
    "sqrt": None,
    "abs": None,
    "exp": None,
    "log": None,
    "tanh": None,
    "sign": None,
    "diag": None,
    "sum": "mean",
    "mean": "sum",
    "var": "std",
    "std": "var",
    "max": "min",
    "min": "max",
    "maximum": "minimum",
    "minimum": "maximum",
    "cos": "sin",
    "sin": "cos",
}


@dataclass
class Part:
    """A piece of a cell that is executed as a whole: what it reads, what it sets, and its code."""

    node: ast.AST
    reads: set[str]
    sets: set[str]
    inside: list[Part] = field(default_factory=list)  # the headers of the loops around it


@dataclass(frozen=True)
class Mutant:
    """One change, in words that hold wherever the code stands, and how to make and undo it."""

    change: str
    apply: Callable[[], None]
    undo: Callable[[], None]


def find_call(cell: ast.Module, label: str) -> ast.Call:
    """Return the call of `verify` for a label."""
    for node in ast.walk(cell):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"verify", "dlnorm.verify"}:
            arguments = [getattr(argument, "value", None) for argument in node.args[:1]]
            if arguments == [label]:
                return node
    raise LookupError(f"no verify({label!r}, ...) in the cell")


def transcribed(cell: ast.Module, call: ast.Call) -> list[ast.AST]:
    """Return the pieces of a cell that are its transcribed formula."""
    if len(call.args) < 3 or any(isinstance(argument, ast.Starred) for argument in call.args):
        raise ValueError("write the formula and the truth as arguments two and three of verify")
    formula, *others = call.args[1:]
    parts = list(_parts(cell.body, []))
    of_others = {id(part) for other in others for part in _feeding(parts, _reads(other))}
    mine = [part.node for part in _feeding(parts, _reads(formula)) if id(part) not in of_others]
    return [*mine, formula]


def mutants(cell: ast.Module, pieces: list[ast.AST]) -> Iterator[Mutant]:
    """Yield every mutant of these pieces of a cell, in a fixed order."""
    parents = {id(child): node for node in ast.walk(cell) for child in ast.iter_child_nodes(node)}
    seen: Counter[str] = Counter()
    for piece in pieces:
        for node in _expressions(piece):
            for slot, new in _changes(node):
                shown = _context(node, parents)
                before = ast.unparse(shown)
                apply, undo = _setter(*slot, new)
                apply()
                after = ast.unparse(shown)
                undo()
                change = f"{before.strip()} → {after.strip()}"
                seen[change] += 1
                if seen[change] > 1:
                    change += f" ({seen[change]})"
                yield Mutant(change, apply, undo)


def _parts(body: list[ast.stmt], inside: list[Part]) -> Iterator[Part]:
    """Yield the pieces of some statements, loops and branches taken apart."""
    for node in body:
        if isinstance(node, ast.For):
            header = Part(node.iter, _reads(node.iter), _names(node.target, ast.Store), inside)
            yield header
            yield from _parts(node.body, [*inside, header])
        elif isinstance(node, ast.If | ast.While):
            header = Part(node.test, _reads(node.test), set(), inside)
            yield header
            yield from _parts([*node.body, *node.orelse], [*inside, header])
        elif isinstance(node, ast.Assign) and (pairs := _pairs(node)):
            for target, value in pairs:
                yield Part(value, _reads(value) | _reads(target), _sets(target), inside)
        elif isinstance(node, ast.FunctionDef):
            yield Part(node, _reads(node), {node.name}, inside)
        elif isinstance(node, ast.stmt) and not _verifies(node):
            yield Part(node, _reads(node), _sets(node), inside)


def _pairs(node: ast.Assign) -> list[tuple[ast.expr, ast.expr]]:
    """Split ``a, b = c, d`` into its two assignments."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=True))
    return []


def _verifies(node: ast.stmt) -> bool:
    return any(
        isinstance(part, ast.Call) and ast.unparse(part.func) in {"verify", "dlnorm.verify"}
        for part in ast.walk(node)
    )


def _names(node: ast.AST, kind: type[ast.expr_context]) -> set[str]:
    return {
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, kind)
    }


def _reads(node: ast.AST) -> set[str]:
    """Names that a piece reads and does not bind itself."""
    bound: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.comprehension):
            bound |= _names(part.target, ast.Store)
        elif isinstance(part, ast.arguments):
            arguments = [*part.posonlyargs, *part.args, *part.kwonlyargs, part.vararg, part.kwarg]
            bound |= {argument.arg for argument in arguments if argument}
    if isinstance(node, ast.FunctionDef):
        bound |= _names(node, ast.Store)
    found = _names(node, ast.Load) - bound
    if isinstance(node, ast.AugAssign):
        found |= _sets(node)
    return found


def _sets(node: ast.AST) -> set[str]:
    """Names that a piece binds, or whose object it changes."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value  # its result is dropped: it changes what it is called on or given
        own = call.func.value if isinstance(call.func, ast.Attribute) else None
        touched = [own] if isinstance(own, ast.Name | ast.Subscript) else call.args
        return {name for part in touched if part for name in _names(part, ast.Load)}
    targets: list[Any] = [node]
    if isinstance(node, ast.Assign):
        targets = list(node.targets)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Assert | ast.Expr):
        targets = []
    found: set[str] = set()
    while targets:
        target = targets.pop()
        if isinstance(target, ast.Tuple | ast.List):
            targets += target.elts
        elif isinstance(target, ast.Subscript | ast.Attribute | ast.Starred):
            targets.append(target.value)
        elif isinstance(target, ast.Name):
            found.add(target.id)
    return found


def _feeding(parts: list[Part], wanted: set[str]) -> list[Part]:
    """Return the parts that some names depend on, in order."""
    chosen: dict[int, Part] = {}
    wanted = set(wanted)
    grown = True
    while grown:
        grown = False
        for part in parts:
            if id(part) not in chosen and part.sets & wanted:
                for one in (part, *part.inside):
                    chosen[id(one)] = one
                    wanted |= one.reads
                grown = True
    return [part for part in parts if id(part) in chosen]


def _expressions(piece: ast.AST) -> Iterator[ast.AST]:
    """Walk a piece in the order of its text, without annotations and docstrings."""
    yield piece
    for child in ast.iter_child_nodes(piece):
        yield from _expressions(child)


Slot = tuple[Any, str, int | None]


def _changes(node: ast.AST) -> Iterator[tuple[Slot, Any]]:
    """Yield what can be changed in a node: where, and the new value."""
    match node:
        case ast.Constant(value=bool() | str() | None):
            return
        case ast.Constant(value=value):
            yield (node, "value", None), value + 1
        case ast.BinOp(op=op) if type(op) in OPERATORS:
            yield (node, "op", None), OPERATORS[type(op)]()
        case ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield (node, "op", None), OPERATORS[type(op)]()
        case ast.UnaryOp(op=ast.USub()):
            yield (node, "op", None), ast.UAdd()
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                if type(op) in COMPARISONS:
                    yield (node, "ops", index), COMPARISONS[type(op)]()
        case ast.Subscript(slice=ast.Tuple(elts=elements) as several):
            for index, element in enumerate(elements):
                if isinstance(element, ast.Name | ast.BinOp):
                    yield (several, "elts", index), _less(element)
        case ast.Subscript(slice=ast.Name() | ast.BinOp() as one):
            yield (node, "slice", None), _less(one)
        case ast.Attribute(attr="T"):
            yield (node, "attr", None), "real"  # of real numbers: nothing
        case ast.Call(func=ast.Name(id="range"), args=[*_, last]):
            yield (node, "args", len(node.args) - 1), _less(last)
        case ast.Call(func=ast.Name(id=name) as function) if name in FUNCTIONS:
            yield (node, "func", None), _instead(name, function)
        case ast.Call(func=ast.Attribute(attr=name) as function) if name in FUNCTIONS:
            if FUNCTIONS[name]:
                yield (function, "attr", None), FUNCTIONS[name]
            elif node.args:
                yield (node, "func", None), _instead(name, function)


def _less(index: ast.expr) -> ast.expr:
    return ast.BinOp(index, ast.Sub(), ast.Constant(1))


def _instead(name: str, function: ast.expr) -> ast.expr:
    """What is called instead of a function: another one, or one that changes nothing."""
    other = FUNCTIONS[name]
    return ast.Name(other if other else "_same", ast.Load())


def _setter(
    owner: Any, name: str, index: int | None, new: Any
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return how to put a value into a slot of the tree, and how to take it back."""
    old = getattr(owner, name) if index is None else getattr(owner, name)[index]

    def put(value: Any) -> None:
        if index is None:
            setattr(owner, name, value)
        else:
            getattr(owner, name)[index] = value

    return lambda: put(new), lambda: put(old)


def _context(node: ast.AST, parents: dict[int, ast.AST]) -> ast.AST:
    """Return the expression around a node that says which one it is."""
    while isinstance(node, ast.Constant | ast.Tuple | ast.Slice | ast.keyword) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)
    ):
        node = parents[id(node)]
    return node
