"""What pages need beyond the theme: descriptions, accessible tables and lists, colors at once.

Also two things about lines: a formula keeps the punctuation beside it, and Chinese says that it is
Chinese.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

#: Pages that Sphinx writes itself, so that no source can carry their description.
GENERATED = {
    "genindex": "Index of the functions of dlnorm.",
    "py-modindex": "The modules of dlnorm.",
    "search": "Search the course Dropout and Normalization from First Principles.",
}


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give generated pages a description."""
    text = GENERATED.get(page)
    if page.startswith("_modules/"):
        text = f"Source code of {page.removeprefix('_modules/').replace('/', '.')}."
    if text:
        tag = f'<meta name="description" content="{escape(text)}" />'
        context["metatags"] = context.get("metatags", "") + tag


def light_without_script(app: Sphinx, exception: Exception | None) -> None:
    """Let pages begin in the light theme: without script they would have no colors at all.

    The theme writes `auto` there, which its script replaces before anything is drawn.
    """
    if exception is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        light = text.replace('data-theme="auto"', 'data-theme="light"', 1)
        if light != text:
            path.write_text(light, encoding="utf-8")


def visit_citation(self: HTML5Translator, node: nodes.citation) -> None:
    """Write an entry of the bibliography with a role that its list (role="list") may hold."""
    HTML5Translator.visit_citation(self, node)
    self.body[-1] = self.body[-1].replace('role="doc-biblioentry"', 'role="listitem"')


def depart_citation(self: HTML5Translator, node: nodes.citation) -> None:
    """As Docutils does."""
    HTML5Translator.depart_citation(self, node)


#: What may not be torn off a formula: a bracket before it, and a full stop, "-th" or "'s" after it.
_BEFORE = re.compile(r"[(\[“‘]+$")
_AFTER = re.compile(r"^[-–’'/]\w+[.,;:!?)\]”’]*|^[.,;:!?)\]”’]+")


def join_punctuation(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Keep a formula and its punctuation on one line; a browser would break between them."""
    for formula in list(doctree.findall(nodes.math)):
        parent = formula.parent
        position = parent.index(formula)
        joined = nodes.inline(classes=["course-joined"])
        parts: list[nodes.Node] = [formula]
        before = parent[position - 1] if position else None
        if isinstance(before, nodes.Text) and (found := _BEFORE.search(before)):
            parent[position - 1] = nodes.Text(before[: found.start()])
            parts.insert(0, nodes.Text(found[0]))
        after = parent[position + 1] if position + 1 < len(parent) else None
        if isinstance(after, nodes.Text) and (found := _AFTER.match(after)):
            parent[position + 1] = nodes.Text(after[found.end() :])
            parts.append(nodes.Text(found[0]))
        if len(parts) > 1:
            parent[position] = joined
            joined.extend(parts)


class Chinese(nodes.inline):
    """Words in Chinese: fonts and screen readers want to know."""


_CHINESE = re.compile(r"([\u4e00-\u9fff]+)")


def visit_chinese(self: HTML5Translator, node: Chinese) -> None:
    """Open the words."""
    self.body.append('<span lang="zh">')


def depart_chinese(self: HTML5Translator, node: Chinese) -> None:
    """Close them."""
    self.body.append("</span>")


def mark_chinese(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Say of the Chinese words on a page that they are Chinese."""
    for text in list(doctree.findall(nodes.Text)):
        if _CHINESE.search(text) and not isinstance(text.parent, nodes.FixedTextElement):
            parts = [part for part in _CHINESE.split(text) if part]
            text.parent.replace(
                text,
                [
                    Chinese("", part) if _CHINESE.fullmatch(part) else nodes.Text(part)
                    for part in parts
                ],
            )


class Corner(nodes.entry):
    """A header cell with nothing in it, as above a column of row names: it heads nothing."""


def visit_corner(self: HTML5Translator, node: Corner) -> None:
    """Write a plain cell."""
    node.parent.column += 1  # type: ignore[union-attr]
    self.body.append("<td>")


def depart_corner(self: HTML5Translator, node: Corner) -> None:
    """Close it."""
    self.body.append("</td>\n")


def empty_headers(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Make corners of the header cells that are empty."""
    for head in doctree.findall(nodes.thead):
        for entry in list(head.findall(nodes.entry)):
            if not entry.astext().strip() and not list(entry.findall(nodes.image)):
                entry.replace_self(Corner())


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    app.add_node(Corner, html=(visit_corner, depart_corner))
    app.add_node(Chinese, html=(visit_chinese, depart_chinese))
    app.connect("doctree-resolved", empty_headers)
    app.connect("doctree-resolved", join_punctuation)
    app.connect("doctree-resolved", mark_chinese)
    app.connect("html-page-context", describe)
    app.connect("build-finished", light_without_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
