"""What pages need beyond the theme: descriptions, downloads, an accessible bibliography."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from jupyter_cache import get_cache
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


def offer_notebook(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Let the theme's download button offer the executed notebook.

    The theme does so itself only beside a button that launches the page on some server; and for a
    page out of its cache, MyST-NB writes the notebook without outputs, so they are added here.
    """
    source = Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"
    if doctree is None or "kernelspec" not in app.env.metadata[page] or not source.is_file():
        return
    notebook = nbformat.read(source, as_version=4)
    if not any(cell.get("outputs") for cell in notebook.cells):
        cache = get_cache(app.env.mystnb_config.execution_cache_path)
        _, notebook = cache.merge_match_into_notebook(notebook)
    target = Path(app.outdir, "_sources", f"{page}.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    context["ipynb_source"] = f"{page}.ipynb"


def visit_citation(self: HTML5Translator, node: nodes.citation) -> None:
    """Write an entry of the bibliography with a role that its list (role="list") may hold."""
    HTML5Translator.visit_citation(self, node)
    self.body[-1] = self.body[-1].replace('role="doc-biblioentry"', 'role="listitem"')


def depart_citation(self: HTML5Translator, node: nodes.citation) -> None:
    """As Docutils does."""
    HTML5Translator.depart_citation(self, node)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    app.connect("html-page-context", describe)
    app.connect("html-page-context", offer_notebook)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
