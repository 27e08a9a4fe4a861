"""The start page's view of the book: `{chapters}`, a line a page, and `{count}`, what there is.

Both are read from the sources, so that the start page cannot fall behind them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import yaml
from course_assignments import found_in, read
from course_equations import labels_of
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole

from dlnorm import experiments
from dlnorm.grading import PROBLEM_SETS

_FIGURE = re.compile(r"^\s*:?name: fig-", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


def parts(book: Path) -> list[tuple[str, list[str]]]:
    """Return the parts of the table of contents: caption and pages of each."""
    toc = yaml.safe_load((book / "_toc.yml").read_text("utf-8"))
    listed = toc.get("parts", [{"caption": "Pages", "chapters": toc.get("chapters", [])}])
    return [(part["caption"], [entry["file"] for entry in part["chapters"]]) for part in listed]


def sources(book: Path) -> list[Path]:
    """Return the files that the start page speaks of."""
    return [book / f"{page}.md" for _, pages in parts(book) for page in pages]


def html_meta(path: Path) -> dict[str, str]:
    """Return what the front matter of a page says about it: `description`, `keywords`."""
    found = _FRONT_MATTER.match(path.read_text("utf-8"))
    settings = yaml.safe_load(found[1]) if found else {}
    return settings.get("myst", {}).get("html_meta", {})


def description(path: Path) -> str:
    """Return how a page describes itself."""
    return html_meta(path).get("description", "")


def equations(book: Path) -> int:
    """How many equations are numbered, and so checked."""
    return len(labels_of(book))


def figures(book: Path) -> int:
    """How many figures the pages have."""
    return sum(len(_FIGURE.findall(path.read_text("utf-8"))) for path in sources(book))


def problem_sets(book: Path) -> int:
    """How many problem sets are released."""
    return len(found_in(book.parent / "assignments"))


def exercises(book: Path) -> int:
    """How many graded exercises they have."""
    return sum(len(read(path).exercises) for path in found_in(book.parent / "assignments"))


def mistakes(book: Path) -> int:
    """How many known mistakes have a name."""
    return sum(len(problem_set.misconceptions) for problem_set in PROBLEM_SETS.values())


def papers(book: Path) -> int:
    """How many experiments are reproduced."""
    return len(experiments.NAMES)


COUNTS: dict[str, Callable[[Path], int]] = {
    "equations": equations,
    "figures": figures,
    "problem-sets": problem_sets,
    "exercises": exercises,
    "mistakes": mistakes,
    "experiments": papers,
}


class Count(SphinxRole):
    """How many there are of something, as a number in the text."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the number; `env-get-outdated` lets it be counted again."""
        if self.text not in COUNTS:
            known = ", ".join(COUNTS)
            message = self.inliner.reporter.error(f"count {self.text}: there are {known}")
            return [], [message]
        book = Path(self.env.srcdir)
        note(self.env.docname, self.env.metadata)
        return [nodes.Text(str(COUNTS[self.text](book)))], []


class Chapters(SphinxDirective):
    """Every page of the book under its part's caption, with the sentence that describes it."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return a title and a list for each part."""
        book = Path(self.env.srcdir)
        note(self.env.docname, self.env.metadata)
        lines = []
        for caption, pages in parts(book):
            lines += ["", f"**{caption}**", ""]
            lines += [f"- [](/{page}.md): {description(book / f'{page}.md')}" for page in pages]
        holder = nodes.container(classes=["course-chapters"])
        content = StringList(lines, self.get_source_info()[0])
        self.state.nested_parse(content, self.content_offset, holder)
        return [holder]


def note(page: str, metadata: dict[str, dict[str, object]]) -> None:
    """Remember that a page speaks of the others."""
    metadata[page]["speaks_of_others"] = True


def outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Read a page that speaks of others again when any of them has changed."""
    pages = [page for page, data in env.metadata.items() if data.get("speaks_of_others")]
    return pages if added | changed | removed else []


def declare_safe(app: Sphinx) -> None:
    """Let pages be read side by side: two extensions of Jupyter Book do not say that they may.

    One numbers sections when all pages are read; the other is for LaTeX alone.
    """
    for name in ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex"):
        app.extensions[name].parallel_read_safe = True


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("chapters", Chapters)
    app.add_role("count", Count())
    app.connect("env-get-outdated", outdated)
    app.connect("builder-inited", declare_safe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
