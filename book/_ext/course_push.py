"""Figures that the reader pushes: `{push} NAME` puts a panel on the page and loads its script.

The script, `_assets/push/NAME.js`, fills the panel, shows it, and offers what it computes as
`window.coursePush.NAME`, so that a test can hold it against `dlnorm`. Styles that only this panel
needs may stand in `NAME.css` beside it. Options::

    :label:     what the panel is, for a screen reader
    :replaces:  the name of a plain figure of the page; with script, the panel stands in its place,
                above its caption, and on paper the plain figure comes back
    :static:    the directive's body is a plain figure itself, seen with and without script
    :name:      makes the panel a numbered figure, with
    :caption:   as its caption (Markdown)

Without script the panel stays hidden unless it is static, and the plain figure says the same.
"""

from __future__ import annotations

import hashlib
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SCRIPTS = Path(__file__).parents[1] / "_assets" / "push"
OFF = (
    "With JavaScript on, there is a figure to push here. The plain figure beside it stays as it is."
)
OFF_STATIC = "With JavaScript on, this figure can be pushed."


class Push(SphinxDirective):
    """One panel; what stands in the directive's body is HTML that the script finds inside it."""

    required_arguments = 1
    has_content = True
    option_spec = {  # noqa: RUF012  (as docutils has it)
        "label": directives.unchanged_required,
        "replaces": directives.unchanged_required,
        "static": directives.flag,
        "name": directives.unchanged_required,
        "caption": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Return the panel with its script, inside of a figure if it has a caption."""
        name = self.arguments[0]
        if not (SCRIPTS / f"{name}.js").is_file():
            raise self.error(f"there is no {name}.js in {SCRIPTS}")
        if "label" not in self.options:
            raise self.error(f"push {name}: :label: must say what the panel is")
        if "static" in self.options and "replaces" in self.options:
            raise self.error(f"push {name}: a static panel is its own plain figure")
        panel = nodes.raw("", self.panel(name), format="html")
        if "caption" not in self.options:
            return [panel]
        figure = nodes.figure("", panel)
        text, messages = self.state.inline_text(self.options["caption"], self.lineno)
        figure += nodes.caption("", "", *text)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure, *messages]

    def panel(self, name: str) -> str:
        """Return the panel's HTML."""
        static = "static" in self.options
        attributes = {
            "class": "push push-static" if static else "push",
            "id": f"push-{name}",
            "role": "group",
            "aria-label": self.options["label"],
        }
        if "replaces" in self.options:
            attributes["data-replaces"] = self.options["replaces"]
        written = " ".join(f'{key}="{escape(value)}"' for key, value in attributes.items())
        lines = [f"<div {written}{'' if static else ' hidden'}>", *self.content, "</div>"]
        lines.append(f"<noscript><p><em>{OFF_STATIC if static else OFF}</em></p></noscript>")
        if (SCRIPTS / f"{name}.css").is_file():
            lines.insert(0, f'<link rel="stylesheet" href="{self.address(f"{name}.css")}">')
        lines.append(f'<script defer src="{self.address(f"{name}.js")}"></script>')
        return "\n".join(lines)

    def address(self, file: str) -> str:
        """Return where the page finds a file: another address when its contents have changed."""
        path = SCRIPTS / file
        self.env.note_dependency(str(path))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        return f"{'../' * self.env.docname.count('/')}_static/push/{file}?v={digest}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("push", Push)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
