"""What is asked: a check is a small program of calls, run on seeded cases.

Run with the reference functions it gives the expected outcome, run with a misconception in
the place of one of them the outcome that names the mistake, and run with the student's
functions what is judged. Everything else follows from these three.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from unittest import mock

import numpy as np

from dlnorm.grading.sections import SECTIONS, link, published
from dlnorm.grading.student import checker

Args = dict[str, Any]
Functions = Mapping[str, Callable[..., Any]]
Spec = dict[str, Any]


@dataclass(frozen=True)
class Misconception:
    """A function that is wrong on purpose; its docstring is the hint a student reads."""

    function: Callable[..., Any]
    replaces: str
    section: str
    #: Whether the columns of what it gives have the free signs of eigenvectors.
    up_to_sign: bool = False

    @property
    def name(self) -> str:
        """The function's name, which reports count by."""
        return self.function.__name__

    @cached_property
    def hint(self) -> str:
        """What was likely done, why it is wrong; never the answer."""
        return " ".join((inspect.getdoc(self.function) or "").split())


@dataclass(frozen=True)
class Check:
    """One graded check of an exercise.

    Attributes
    ----------
    name : str
        As in ``check("batchnorm_forward.train", ...)``.
    program : str
        Lines such as ``out, cache = batchnorm_forward(x, gamma, beta, bn_param)``.
    compare : tuple of str
        The names in it that are compared, in order: ``out`` or ``bn_param['running_mean']``.
    cases : callable
        From a generator to the list of argument dicts the program is run on.
    says : str
        What a passed check has shown, printed after ✓.
    section : str
        Where to reread if the mistake is unknown; a label of `sections`.
    nudges : int
        How many times the arguments are nudged to find out what of a mistake is rounding noise.
        Where eigenvalues that should be 0 are divided by, two are not enough to tell for sure.
    """

    name: str
    program: str
    compare: tuple[str, ...]
    cases: Callable[[np.random.Generator], list[Args]]
    says: str
    section: str
    nudges: int = 2

    @property
    def lines(self) -> list[str]:
        """The program, line by line."""
        return [line.strip() for line in self.program.strip().splitlines()]

    @cached_property
    def functions(self) -> list[str]:
        """The student's functions that the program calls, in order of their first call."""
        called: dict[str, None] = {}
        for line in self.lines:
            statement = ast.parse(line).body[0]
            assert isinstance(statement, ast.Assign)
            call = statement.value
            assert isinstance(call, ast.Call)
            assert isinstance(call.func, ast.Name)
            if call.func.id not in checker.HELPERS:
                called[call.func.id] = None
        return list(called)


@dataclass(frozen=True)
class ProblemSet:
    """The checks of one assignment, with the references and the known mistakes."""

    name: str
    reference: Functions
    checks: tuple[Check, ...]
    misconceptions: tuple[Misconception, ...] = field(default=())
    #: Data that travels with the notebook: what each `.npz` holds, made when it is released.
    files: Mapping[str, Callable[[], dict[str, Any]]] = field(default_factory=dict)

    def check(self, name: str) -> Check:
        """The check called `name`."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"{self.name} has no check {name!r}: {[c.name for c in self.checks]}")

    def spec(
        self, name: str, seed: int, *, fresh: bool = False, with_mistakes: bool = True
    ) -> Spec:
        """What `checker.judge` needs: cases with the expected outcome and each mistake's outcome.

        `fresh` marks cases that were drawn for this one run; the message then names the seed.
        Without the mistakes an answer is judged just as well, but none is named and no section is
        linked.
        """
        check = self.check(name)
        functions = check.functions
        what = {"program": check.lines, "compare": list(check.compare)}
        wrong = [m for m in self.misconceptions if with_mistakes and m.replaces in functions]
        with _repeatable(seed):
            cases = self._cases(check, what, seed, wrong)
        seen = {name for case in cases for name, outcome in case["variants"].items() if outcome}
        return {
            **what,
            "name": check.name,
            "functions": list(functions),
            "says": check.says,
            "section": section(check.section, published() if with_mistakes else ""),
            "cases": cases,
            "hints": {
                m.name: {
                    "hint": m.hint,
                    "section": section(m.section, published()),
                    "up_to_sign": m.up_to_sign,
                }
                for m in wrong
                if m.name in seen
            },
            "seed": seed if fresh else None,
        }

    def _cases(self, check: Check, what: Spec, seed: int, wrong: list[Misconception]) -> list[Spec]:
        """The cases, each with the expected outcome and that of every mistake that shows in it.

        Where what a mistake gives is nothing but rounding noise (a division by an eigenvalue that
        should be 0, say), None stands for its outcome: another machine would not repeat it, and
        neither would a student who computes the same in another order.
        """
        reference = {f: self.reference[f] for f in check.functions}
        cases = []
        for args in check.cases(np.random.default_rng(seed)):
            expected = _stored(checker.run(what, reference, args))
            case: Spec = {"args": args, "expected": expected, "variants": {}}
            nudged = _nudged_copies(args, check.nudges) if wrong else []
            for misconception in wrong:
                tried = {**reference, misconception.replaces: misconception.function}
                ran = checker.run(what, tried, args)
                shows = checker.difference(what, case, ran, brief=True)
                as_compared = checker.without_signs if misconception.up_to_sign else _as_it_is
                if not _is_settled(what, tried, case, as_compared(ran), as_compared, nudged):
                    case["variants"][misconception.name] = None
                elif shows:
                    case["variants"][misconception.name] = _stored(as_compared(ran))
            cases.append(case)
        return cases


def _as_it_is(outcome: Spec) -> Spec:
    return outcome


def _is_settled(
    what: Spec,
    functions: Functions,
    case: Spec,
    ran: Spec,
    as_compared: Callable[[Spec], Spec],
    nudged: list[Args],
) -> bool:
    """Whether an outcome stays what it is if the last digits of the arguments change.

    It has to stay within a hundredth of what a check lets pass. So there is room for the rounding
    of another machine, and of the student's own way to compute the same.
    """
    if any(isinstance(value, dict) for value in ran["values"].values()):
        return True  # words
    as_ran = {"args": case["args"], "expected": _stored(ran), "right": case["expected"]}
    closely = {name: tolerance / 100 for name, tolerance in checker.TOLERANCE.items()}
    with mock.patch.dict(checker.TOLERANCE, closely):
        again = (as_compared(checker.run(what, functions, args)) for args in nudged)
        return not any(checker.difference(what, as_ran, other, brief=True) for other in again)


def _nudged_copies(args: Args, count: int) -> list[Args]:
    """The arguments, nudged in as many ways."""
    generators = (np.random.Generator(np.random.PCG64(seed)) for seed in range(count))
    return [_nudged(args, rng) for rng in generators]


def _nudged(value: Any, rng: np.random.Generator) -> Any:
    """A copy in which every number of double precision is off by two units of its last place.

    Single precision stays: there, rounding may itself be the mistake. So do numbers with few
    digits, such as 0.5 or 3: with them a case may be exact on every machine.
    """
    if isinstance(value, dict):
        return {key: _nudged(part, rng) for key, part in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        off = 2 * np.finfo(float).eps * rng.choice([-1, 1], value.shape)
        few_digits = value == np.round(value * 256) / 256
        return np.where(few_digits, value, value * (1 + off))
    return value


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Make unseeded generators repeat themselves, so that random functions give the same words."""
    seeds = np.random.SeedSequence(seed)
    unseeded, state = np.random.default_rng, np.random.get_state()

    def seeded(own: Any = None) -> np.random.Generator:
        return unseeded(seeds.spawn(1)[0] if own is None else own)

    np.random.seed(seed % 2**32)
    try:
        with mock.patch.object(np.random, "default_rng", seeded):
            yield
    finally:
        np.random.set_state(state)


def misconception(
    replaces: str, section: str, *, up_to_sign: bool = False
) -> Callable[[Callable[..., Any]], Misconception]:
    """Decorate a wrong function: which right one it stands for, and where to reread.

    `up_to_sign` says that the signs of its columns are those of eigenvectors, which are free: its
    results are then recognized whatever their signs.
    """
    return lambda function: Misconception(function, replaces, section, up_to_sign)


def section(label: str, book: str) -> dict[str, str]:
    """A section as a message names it, and links to it in the book at `book` if there is one."""
    found = SECTIONS[label]
    return {"chapter": found.chapter, "title": found.title, "url": link(label, book)}


def collect(namespace: Mapping[str, Any], kind: type) -> tuple[Any, ...]:
    """Every object of `kind` in a module's namespace, in the order they were written."""
    found: Iterable[Any] = (value for value in namespace.values() if isinstance(value, kind))
    return tuple(found)


def _stored(ran: Spec) -> Spec:
    """The part of an outcome that is stored and compared: words without the figures behind them."""
    values = {
        name: {key: words[:1] for key, words in value.items()}
        if isinstance(value, dict)
        else np.asarray(value)
        for name, value in ran["values"].items()
    }
    stored = {"values": values, "changed": ran["changed"], "raised": ran["raised"]}
    return {**stored, "error": ran["error"]} if ran["raised"] else stored
