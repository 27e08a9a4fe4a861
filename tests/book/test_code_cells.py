"""What the code on a page may not do."""

from __future__ import annotations

import ast
from pathlib import Path

import jupytext
import pytest

from tests.support import REPO

PAGES = sorted(
    path
    for path in (REPO / "book").glob("*.md")
    if "format_name: myst" in path.read_text("utf-8")[:400]
)


def shadowed(cells: list[str]) -> list[str]:
    """Return the names that a page imports from dlnorm and defines anew afterwards."""
    imported: set[str] = set()
    found = []
    for cell in cells:
        for statement in ast.parse(cell).body:
            if isinstance(statement, ast.ImportFrom) and (statement.module or "")[:6] == "dlnorm":
                imported |= {alias.asname or alias.name for alias in statement.names}
            elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
                found += [statement.name] if statement.name in imported else []
            elif isinstance(statement, ast.Assign):
                stored = [
                    node.id
                    for node in ast.walk(statement)
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                ]
                found += [name for name in stored if name in imported]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_page_replaces_a_library_function_that_it_shows(page: Path):
    notebook = jupytext.read(page)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert shadowed(cells) == []


def test_a_replaced_function_is_found():
    assert shadowed(["from dlnorm import f, g", "def f(x):\n    return x\ng = 1\nh = 2"]) == [
        "f",
        "g",
    ]
