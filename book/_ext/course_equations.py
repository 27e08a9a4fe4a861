"""Numbered equations and the cells that check them: found in the sources, shown on the page.

A checked equation is followed by a folded cell that prints one line, `✓ label: …`. On the page
that line becomes the fold's own title, with the equation's number in place of its label; any other
folded code moves below what it produced, so that a figure comes before its code.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.writers.html5 import HTML5Translator

TICK = "✓"
_FENCE = re.compile(r"(`{3,}|~{3,}|:{3,})\s*(?:\{([\w-]+)\}|([\w-]*))?")
_DOLLAR_LABEL = re.compile(r"\$\$\s*\(([^()\s]+)\)\s*$")
#: Directives whose body is no Markdown.
_VERBATIM = frozenset({"code-cell", "math", "raw", "code", "eval-rst", "mermaid", "bibliography"})


class Equation(NamedTuple):
    """A labeled block of displayed math and where it starts (1-based)."""

    label: str
    line: int


class Check(NamedTuple):
    """A call of `verify`: its literal label (None if it is none), its line, its cell's number."""

    label: str | None
    line: int
    cell: int


class Page(NamedTuple):
    """What a MyST page holds, in reading order; a cell is `(first line, last line)`."""

    equations: list[Equation]
    checks: list[Check]
    cells: list[tuple[int, int]]


def scan(text: str) -> Page:
    """Find the labeled equations, the code cells and the calls of `verify` in a MyST page."""
    page = Page([], [], [])
    lines = text.splitlines()
    for directive, first, last in blocks(lines):
        body = lines[first : last - 1]
        if directive == "code-cell":
            page.checks.extend(checks_in(body, first, len(page.cells)))
            page.cells.append((first, last))
        elif directive == "math":
            page.equations.extend(
                Equation(line.strip().removeprefix(":label:").strip(), first)
                for line in body
                if line.strip().startswith(":label:")
            )
        elif directive == "$$" and (label := _DOLLAR_LABEL.search(lines[last - 1])):
            page.equations.append(Equation(label[1], first))
    return page


def blocks(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """Yield ``(directive, first line, last line)`` of what is no running text, at any depth.

    Displayed math between dollars has the directive ``$$``; a block of code has none.
    """
    around: list[str] = []  # fences of directives whose body is Markdown
    fence = directive = ""
    first = 0
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if fence:
            if "$$" in bare if fence == "$$" else closes(bare, fence):
                yield directive, first, number
                fence = ""
            continue
        if around and closes(bare, around[-1]):
            around.pop()
        elif bare.startswith("$$"):
            if "$$" in bare[2:]:
                yield "$$", number, number
            else:
                fence, directive, first = "$$", "$$", number
        elif opened := _FENCE.match(bare):
            if opened[2] and opened[2] not in _VERBATIM:
                around.append(opened[1])
            else:
                fence, directive, first = opened[1], opened[2] or "", number


def closes(bare: str, fence: str) -> bool:
    """Whether a line ends the block that `fence` has begun."""
    return bare.startswith(fence) and not bare.strip(fence[0])


def checks_in(cell: list[str], line: int, number: int) -> Iterator[Check]:
    """Yield the calls of `verify` in a code cell; `line` is the cell's first line in its page."""
    for node in ast.walk(ast.parse(code_in(cell))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"verify", "dlnorm.verify"}:
            named = next((key.value for key in node.keywords if key.arg == "label"), None)
            label = node.args[0] if node.args else named
            text = label.value if isinstance(label, ast.Constant) else None
            yield Check(text if isinstance(text, str) else None, line + node.lineno, number)


def code_in(cell: list[str]) -> str:
    """Return the code of a cell; the options before it are left out, their lines are not."""
    skip = 0
    if cell and cell[0].strip() == "---":
        skip = next((i for i, text in enumerate(cell) if i and text.strip() == "---"), 0) + 1
    while skip < len(cell) and cell[skip].lstrip().startswith(":"):
        skip += 1
    return "\n" * skip + textwrap.dedent("\n".join(cell[skip:]))


def labels_of(book: Path) -> frozenset[str]:
    """Return the labels of every numbered equation of the book."""
    return frozenset(
        equation.label
        for page in sorted(book.glob("*.md"))
        for equation in scan(page.read_text("utf-8")).equations
    )


class Fold(nodes.General, nodes.Element):
    """Code behind a line that opens it; the attribute `lines` is what is always seen."""


def visit_fold(self: HTML5Translator, node: Fold) -> None:
    """Open the fold: a native `details`, which needs no script."""
    lines = "".join(f"<span>{escape(line)}</span>" for line in node["lines"])
    self.body.append(f'<details class="{" ".join(node["classes"])}"><summary>{lines}</summary>\n')


def depart_fold(self: HTML5Translator, node: Fold) -> None:
    """Close the fold."""
    self.body.append("</details>\n")


def fold_cells(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Rebuild every cell tagged `hide-input` on a page."""
    if app.builder.format != "html":
        return
    for hidden in list(doctree.findall(HideCodeCellNode)):
        cell = hidden.parent
        if cell.get("hide_mode") != "input":
            continue
        cell.remove(hidden)
        lines = [line for part in cell for line in part.astext().strip().splitlines()]
        if lines and all(line.startswith(TICK) for line in lines):
            fold = Fold(lines=[numbered(app, page, line) for line in lines])
            fold["classes"] += ["course-check"]
            cell.clear()
        else:
            fold = Fold(lines=["Show the code"])
            fold["classes"] += ["course-code"]
        fold.extend(hidden.children)
        cell.append(fold)


def numbered(app: Sphinx, page: str, line: str) -> str:
    """Put the equation's number into the line that `verify` printed with its label."""
    label, colon, rest = line.removeprefix(TICK).strip().partition(":")
    equations = app.env.toc_fignumbers.get(page, {}).get("displaymath", {})
    number = equations.get(nodes.make_id(f"equation-{label}"))
    name = f"Equation ({'.'.join(map(str, number))})" if number else label
    return f"{TICK} {name}{colon}{rest}"


def note_reading(app: Sphinx, env: BuildEnvironment, pages: list[str]) -> None:
    """Remember whether any page is read in this build."""
    app.course_any_read = bool(pages)


def rewrite_all(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Write every page again if any was read: the numbers that it refers to may have changed."""
    return sorted(env.found_docs) if app.course_any_read else []


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_node(Fold, html=(visit_fold, depart_fold))
    app.connect("doctree-resolved", fold_cells)
    app.connect("env-before-read-docs", note_reading)
    app.connect("env-updated", rewrite_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
