"""Links that the reference page makes out of docstrings: to NumPy, and to numbered equations."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from course_equations import labels_of
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

import dlnorm

NUMPY = "https://numpy.org/doc/stable/reference/"
#: What docstrings mention and this site does not document: where it is documented.
ELSEWHERE = {
    "numpy.ndarray": NUMPY + "generated/numpy.ndarray.html",
    "tqdm.tqdm": "https://tqdm.github.io/docs/tqdm/",
    "numpy.random.Generator": NUMPY + "random/generator.html",
    "matplotlib.pyplot.subplots": (
        "https://matplotlib.org/stable/api/_as_gen/matplotlib.pyplot.subplots.html"
    ),
}
#: Modules that are no part of `dlnorm`'s own list of names.
SHOWN_WHOLE = ("dlnorm.plotting",)
_LITERAL = re.compile(r"``([\w-]+)``")
_CITATION = re.compile(
    r"(\b[Bb]ook),\s+equations?\s+((?:``[\w-]+``(?:,\s+and\s+|,\s+|\s+and\s+|\s+to\s+)?)+)"
)


def link_elsewhere(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.Element | None:
    """Resolve a name of `ELSEWHERE`, or a function of `dlnorm` by its name alone.

    Any other unknown name stays a warning.
    """
    target = node.get("reftarget", "")
    if target in ELSEWHERE:
        return nodes.reference("", "", contnode, internal=False, refuri=ELSEWHERE[target])
    if node.get("reftype") == "class" and not target.startswith("dlnorm."):
        return contnode  # a type in words, such as "dict of str to ndarray"
    name = target.rpartition(".")[2]
    home = getattr(getattr(dlnorm, name, None), "__module__", "")
    entry = env.get_domain("py").objects.get(f"{home}.{name}")
    if name not in dlnorm.__all__ or entry is None:
        return None
    page = node.get("refdoc", entry.docname)
    return make_refnode(app.builder, page, entry.docname, entry.node_id, contnode)


def link_equations(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Turn the label of a numbered equation into its number, linked to where it is derived."""
    if "course_labels" not in app.env.temp_data:  # of the page that is read
        app.env.temp_data["course_labels"] = labels_of(Path(app.srcdir))
    labels = app.env.temp_data["course_labels"]

    def link(match: re.Match[str]) -> str:
        return f":eq:`{match[1]}`" if match[1] in labels else match[0]

    def cite(match: re.Match[str]) -> str:
        if set(_LITERAL.findall(match[2])) <= labels:
            return match[0]
        return f"{match[1]}, a chapter in preparation"

    text = _CITATION.sub(cite, "\n".join(lines))
    lines[:] = _LITERAL.sub(link, text).split("\n")


def skip_internals(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what a module defines for itself: caches, settings, constants, shared pieces."""
    if what == "class":  # the classes of `dlnorm.nn` are named one by one
        return None
    if not inspect.isfunction(obj):
        return True
    shared = obj.__module__ not in SHOWN_WHOLE and name not in dlnorm.__all__
    return True if shared else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("missing-reference", link_elsewhere)
    app.connect("autodoc-skip-member", skip_internals)
    app.connect("autodoc-process-docstring", link_equations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
