"""Printed sentences wrap like any other text; printed columns scroll, so that they stay columns."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx

#: What wrapping would tear apart: things aligned by spaces, arrays, records.
_LAID_OUT = re.compile(r"  |\[|\{|\w,\w")


def is_text(printed: str) -> bool:
    """Whether what a cell has printed is made of sentences."""
    return _LAID_OUT.search(printed) is None


def wrap_text(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Mark what is text, for the style sheet."""
    for block in doctree.findall(nodes.literal_block):
        if "output" in block["classes"] and is_text(block.astext()):
            block["classes"].append("course-text")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", wrap_text)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
