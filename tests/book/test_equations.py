"""Every numbered equation is executed, and every execution belongs to a numbered equation."""

from __future__ import annotations

from pathlib import Path

import pytest

from book._ext.course_equations import scan
from tests.support import REPO

BOOK = REPO / "book"
PAGES = sorted(BOOK.glob("*.md"))


def faults(text: str) -> list[str]:
    """Say, a sentence each, what is wrong with the checked equations of a MyST page."""
    page = scan(text)
    found = []
    for equation in page.equations:
        checks = [check for check in page.checks if check.label == equation.label]
        after = [n for n, (first, _) in enumerate(page.cells) if first > equation.line]
        if len(checks) != 1:
            found.append(f"line {equation.line}: {equation.label} is verified {len(checks)} times")
        elif not after or checks[0].cell != after[0]:
            found.append(f"line {checks[0].line}: {equation.label} is not verified right below it")
    labels = [equation.label for equation in page.equations]
    found += [f"{label} is the label of two equations" for label in duplicates(labels)]
    for check in page.checks:
        if check.label is None:
            found.append(f"line {check.line}: verify has no literal label")
        elif check.label not in labels:
            found.append(f"line {check.line}: {check.label} is no equation of this page")
    return found


def duplicates(items: list[str]) -> list[str]:
    """Return what occurs more than once."""
    return sorted({item for item in items if items.count(item) > 1})


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_numbered_equation_is_verified_right_below_it(path: Path):
    assert faults(path.read_text("utf-8")) == []


def test_no_two_pages_share_a_label():
    labels = [e.label for path in PAGES for e in scan(path.read_text("utf-8")).equations]
    assert duplicates(labels) == []


EQUATION = "```{math}\n:label: one\nx\n```\n"
DOLLARS = "$$\nx\n$$ (one)\n"
CELL = '```{code-cell} ipython3\n:tags: [hide-input]\nverify("one", 1, 2)\n```\n'


@pytest.mark.parametrize("equation", [EQUATION, DOLLARS, "$$ x $$ (one)\n"])
def test_a_verified_equation_passes(equation: str):
    assert faults(f"{equation}\nA sentence.\n\n{CELL}") == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (EQUATION, "line 1: one is verified 0 times"),
        (DOLLARS, "line 1: one is verified 0 times"),
        (EQUATION + CELL + CELL, "line 1: one is verified 2 times"),
        (CELL + EQUATION, "line 3: one is not verified right below it"),
        (
            EQUATION + "```{code-cell}\nprint(1)\n```\n" + CELL,
            "line 10: one is not verified right below it",
        ),
        (CELL, "line 3: one is no equation of this page"),
        (CELL.replace('"one"', "name"), "line 3: verify has no literal label"),
        (EQUATION + EQUATION + CELL, "one is the label of two equations"),
        # commented out, or shown and not run: neither is a check
        (EQUATION + CELL.replace("verify", "# verify"), "line 1: one is verified 0 times"),
        (
            EQUATION + CELL.replace("{code-cell} ipython3", "python"),
            "line 1: one is verified 0 times",
        ),
        # a call that only ends in the same letters
        (EQUATION + CELL.replace("verify", "not_verify"), "line 1: one is verified 0 times"),
    ],
)
def test_a_fault_is_found(text: str, fault: str):
    assert fault in faults(text)


def test_a_check_in_a_nested_directive_is_found():
    text = f"::::{{dropdown}} More\n{EQUATION}\n{CELL}::::\n"
    assert faults(text) == []
    assert faults(f"::::{{dropdown}} More\n{EQUATION}::::\n") == ["line 2: one is verified 0 times"]


def test_nothing_is_missed_after_a_nested_directive():
    text = f"::::{{dropdown}} More\n```{{note}}\nText.\n```\n::::\n{EQUATION}"
    assert faults(text) == ["line 6: one is verified 0 times"]


@pytest.mark.parametrize(
    "call",
    [
        'verify(\n    "one",\n    1,\n    2,\n)',
        "dlnorm.verify('one', 1, 2)",
        'verify(label="one", left=1, right=2)',
        'for _ in range(1):\n    verify("one", 1, 2)',
    ],
)
def test_a_check_is_found_however_it_is_written(call: str):
    cell = CELL.replace('verify("one", 1, 2)', call)
    assert faults(EQUATION + cell) == []
    yaml = cell.replace(":tags: [hide-input]", "---\ntags: [hide-input]\n---")
    assert faults(EQUATION + yaml) == []
