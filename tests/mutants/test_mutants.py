"""A formula with one thing wrong in it loses its check mark."""

from __future__ import annotations

import ast
import contextlib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from book._ext.course_equations import scan
from tests.mutants.mutate import Mutant, find_call, mutants, transcribed
from tests.mutants.norms import WRONG, instead_of_standardize
from tests.mutants.pages import Check, Page, State
from tests.sampling import sample
from tests.support import REPO

PAGES = [p for p in sorted((REPO / "book").glob("*.md")) if scan(p.read_text("utf-8")).checks]
#: A page's name, an equation's label, a mutant: why it makes no difference.
EQUIVALENT = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text("utf-8"))
#: What `make test` tries: pages, and mutants of each.
PAGES_SAMPLED, SAMPLE = 4, 8

Row = dict[str, Any]


def attempt(check: Check, mutant: Mutant | str, state: State) -> str:
    """Return what becomes of a check: it differs, another error, survives, or (no norm) nothing."""
    if isinstance(mutant, str):
        with instead_of_standardize(WRONG[mutant], state) as calls:
            error = check.run(state)
        if not calls:
            return "no norm"
    else:
        mutant.apply()
        try:
            error = check.run(state)
        finally:
            mutant.undo()
    if error is None:
        return "survives"
    return "differ" if isinstance(error, AssertionError) else "error"


def change(mutant: Mutant | str) -> str:
    return mutant if isinstance(mutant, str) else mutant.change


def tried(
    page: Page,
    equivalent: Mapping[str, Mapping[str, str]],
    choose: Callable[[list[Any]], list[Any]],
) -> tuple[list[Row], list[str]]:
    """Try the mutants of a page that are chosen; return a row for each equation, and the faults."""
    every = [(check, one) for check in page.checks for one in [*check.mutants(), *WRONG]]
    chosen = choose(every)
    faults = [
        f"{check.label}: nothing is transcribed in its cell"
        for check in page.checks
        if not check.mutants()
    ]
    known = {(check.label, change(one)) for check, one in every}
    faults += [
        f"{label}: {text}: listed, but there is no such mutant"
        for label, changes in equivalent.items()
        for text in changes
        if (label, text) not in known
    ]
    rows: dict[str, Row] = {}
    for check, state in page.states():
        reasons = equivalent.get(check.label, {})
        for one in [one for other, one in chosen if other is check]:
            outcome = attempt(check, one, state)
            text = change(one)
            if outcome == "survives" and text not in reasons:
                faults.append(f"{check.label}: {text}: survives")
            elif outcome != "survives" and text in reasons:
                faults.append(f"{check.label}: {text}: listed, but it is killed now")
            if outcome != "no norm":
                new = {"label": check.label, "tried": 0, "differ": 0, "error": 0, "survivors": {}}
                row = rows.setdefault(check.label, new)
                row["tried"] += 1
                if outcome == "survives":
                    row["survivors"][text] = reasons.get(text)
                else:
                    row[outcome] += 1
    return list(rows.values()), faults


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sample("pages with mutants", PAGES, PAGES_SAMPLED), ids=lambda path: path.stem
)
def test_a_formula_with_one_thing_wrong_loses_its_check_mark(
    path: Path, record_property: Callable[[str, object], None]
):
    def choose(every: list[Any]) -> list[Any]:
        return sample(f"mutants of {path.stem}", every, SAMPLE)

    rows, faults = tried(Page(path.read_text("utf-8")), EQUIVALENT.get(path.stem, {}), choose)
    record_property("mutants", [{"page": path.stem} | row for row in rows])
    assert faults == []


def test_equivalent_mutants_are_listed_for_pages_that_exist():
    assert EQUIVALENT.keys() <= {path.stem for path in PAGES}


def page_of(code: str) -> Page:
    """A page with one equation, its inputs in a cell of their own."""
    setup = (
        "import numpy as np\nfrom dlnorm import standardize, verify\nx = np.array([1.0, 2.0, 6.0])"
    )
    return Page(f"```{{code-cell}}\n{setup}\n```\n\n```{{code-cell}}\n{code}\n```\n")


def faults_of(code: str, **equivalent: str) -> list[str]:
    return tried(page_of(code), {"one": equivalent} if equivalent else {}, list)[1]


def test_a_check_that_tells_everything_apart_has_no_faults():
    assert faults_of('verify("one", x[2] ** 2 + x[1] * 3, 42.0)') == []


def test_a_mutant_that_survives_is_a_fault_unless_it_is_listed():
    weak = 'verify("one", x[1] ** 2, 4.0)'
    survivor = "x[1] ** 2 → x[1] * 2"
    assert faults_of(weak) == [f"one: {survivor}: survives"]
    assert faults_of(weak, **{survivor: "2 squared is 2 times 2"}) == []


def test_a_listed_mutant_that_is_killed_or_gone_is_a_fault():
    code, listed = 'verify("one", x[2] ** 2, 36.0)', "x[2] ** 2 → x[2] * 2"
    assert faults_of(code, **{listed: "-"}) == [f"one: {listed}: listed, but it is killed now"]
    assert faults_of(code, gone="-") == ["one: gone: listed, but there is no such mutant"]


def test_a_check_without_a_formula_is_a_fault():
    assert faults_of('a, b = list(x), tuple(x)\nverify("one", a, b)') == [
        "one: nothing is transcribed in its cell"
    ]


def test_a_check_that_two_calls_of_one_wrong_norm_pass_is_a_fault():
    two_calls = "standardize(x + 1, 0)[0], standardize(x, 0)[0]"
    survivors = [
        fault.removesuffix(": survives") for fault in faults_of(f'verify("one", {two_calls})')
    ]
    assert "one: standardize: unbiased variance" in survivors
    in_numpy = "(x - x.mean()) / np.sqrt(x.var() + 1e-5)"
    assert faults_of(f'verify("one", {in_numpy}, standardize(x, 0)[0])') == []


def test_what_an_earlier_run_has_left_in_memory_is_no_result():
    loop = "for i in range(3):\n    y[i] = 2 * x[i]\n"
    assert faults_of(f'y = np.empty(3)\n{loop}verify("one", y, [2.0, 4.0, 12.0])') == []


def changes_in(code: str) -> list[str]:
    cell = ast.parse(code)
    return [one.change for one in mutants(cell, transcribed(cell, find_call(cell, "one")))]


ONE_SIDE = """
shared = 2 + x
mine, truth = shared * 5, shared / 7
for k in range(n):
    mine.append(k - 1)
    truth.append(k + 4)
verify("one", mine, truth)
"""


def test_only_what_feeds_the_formula_alone_is_changed():
    assert changes_in(ONE_SIDE) == [
        "shared * 5 → shared / 5",
        "shared * 5 → shared * 6",
        "k - 1 → k + 1",
        "k - 1 → k - 2",
    ]


@pytest.mark.parametrize(
    ("formula", "changed"),
    [
        ("-a", ["-a → +a"]),
        ("a @ b", ["a @ b → a * b"]),
        ("a < 3", ["a < 3 → a >= 3", "a < 3 → a < 4"]),
        ("a[i, j]", ["a[i, j] → a[i - 1, j]", "a[i, j] → a[i, j - 1]"]),
        ("a.T", ["a.T → a.real"]),
        ("sqrt(a)", ["sqrt(a) → _same(a)"]),
        ("a.sum(axis=0)", ["a.sum(axis=0) → a.mean(axis=0)", "a.sum(axis=0) → a.sum(axis=1)"]),
        ("[f(k) for k in range(n)]", ["range(n) → range(n - 1)"]),
        ("f('text', True, None)", []),
    ],
)
def test_each_number_sign_index_and_operator_is_changed(formula: str, changed: list[str]):
    assert changes_in(f'verify("one", {formula}, truth)') == changed


def test_a_change_is_undone():
    cell = ast.parse('verify("one", -a[i] * 2 + sqrt(b), truth)')
    before = ast.unparse(cell)
    for one in mutants(cell, transcribed(cell, find_call(cell, "one"))):
        one.apply()
        assert ast.unparse(cell) != before
        one.undo()
        assert ast.unparse(cell) == before


def test_a_state_is_what_it_was_after_a_check_has_changed_it():
    page = page_of('x[0] += 1\nverify("one", x[0] * 1, 2.0)')
    with contextlib.closing(page.states()) as states:
        check, state = next(states)
        assert [check.run(state), check.run(state)] == [None, None]
        assert state["x"].tolist() == [1.0, 2.0, 6.0]
