"""The `{assignments}` directive: every problem set, with what it teaches and its downloads.

It reads the released folders, `assignments/NAME/`, so that the page cannot fall behind them; the
same folders are packed into the site when the build ends.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from html import escape
from pathlib import Path
from typing import NamedTuple

import nbformat
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

#: Where the downloads lie in the site.
TARGET = "assignments"
_HEADING = re.compile(r"^(#{1,2})[ \t]+(.+?)[ \t]*$", re.MULTILINE)
#: Of every file in a zip, so that the same folder gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


class Exercise(NamedTuple):
    """A section of the notebook in which something is graded."""

    title: str
    points: float


class Assignment(NamedTuple):
    """What the page says of a problem set."""

    name: str
    title: str
    summary: str
    exercises: list[Exercise]


def folder_of(app: Sphinx) -> Path:
    """Return the folder of the released problem sets, beside the book's."""
    return Path(app.srcdir).parent / "assignments"


def found_in(folder: Path) -> list[Path]:
    """Return the notebooks `NAME/NAME.ipynb` in a folder, by name."""
    return sorted(path for path in folder.glob("*/*.ipynb") if path.stem == path.parent.name)


def read(path: Path) -> Assignment:
    """Read title, first paragraph and graded sections out of a released notebook."""
    title, summary, section = path.stem, "", ""
    points: dict[str, float] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for mark, text in _HEADING.findall(cell.source):
                if mark == "#":
                    title = text
                    after = cell.source.partition(text)[2].strip()
                    first = "" if after.startswith("#") else re.split(r"\n\s*\n|\n(?=-)", after)[0]
                    # whole sentences: what leads on to a list stays behind with it
                    summary = "".join(re.findall(r"[^.]*\.(?:\s+|$)", first))
                else:
                    section = re.sub(r"^\d+\. ", "", text)  # the list on the card counts itself
        grader = cell.metadata.get("nbgrader", {})
        if grader.get("grade"):
            heading = section or title
            points[heading] = points.get(heading, 0) + grader.get("points", 0)
    return Assignment(path.stem, title, summary, [Exercise(*item) for item in points.items()])


def count(number: float, noun: str) -> str:
    """Return the number with its noun: `1 point`, `2.5 points`."""
    return f"{number:g} {noun}{'' if number == 1 else 's'}"


class Assignments(SphinxDirective):
    """One card for each problem set in the repository's `assignments` folder.

    The names in the directive, one a line, say which come first; the rest follow by name. A card
    is the target `set-NAME` of links from other pages.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the cards, or one sentence if there is nothing yet."""
        paths = found_in(folder_of(self.env.app))
        self.env.metadata[self.env.docname]["assignments"] = [str(path) for path in paths]
        for path in paths:
            self.env.note_dependency(str(path))
        if not paths:
            text = "No problem set has been released into this copy of the course yet."
            return [nodes.paragraph("", text)]
        first = [line.strip() for line in self.content]
        place = {name: number for number, name in enumerate(first)}
        paths.sort(key=lambda path: place.get(path.stem, len(first)))
        return [self.card(read(path)) for path in paths]

    def card(self, assignment: Assignment) -> nodes.Node:
        """Return one problem set's card."""
        place = f"set-{assignment.name}"
        card = nodes.container(classes=["course-assignment"], ids=[place], names=[place])
        labels = self.env.get_domain("std").data
        labels["anonlabels"][place] = self.env.docname, place
        labels["labels"][place] = self.env.docname, place, assignment.title
        title = {"classes": ["course-title"], "heading-level": 2}
        card += nodes.rubric("", assignment.title, **title)
        total = count(sum(exercise.points for exercise in assignment.exercises), "point")
        parts = count(len(assignment.exercises), "exercise")
        card += nodes.paragraph("", f"{parts}, {total}", classes=["course-points"])
        card += self.markdown(assignment.summary)
        lines = [f"1. {title} ({count(points, 'point')})" for title, points in assignment.exercises]
        card += self.markdown("\n".join(lines))
        folder = "../" * self.env.docname.count("/") + TARGET
        links = "".join(
            f'<a href="{escape(f"{folder}/{assignment.name}.{ending}")}" download>{text}</a>'
            for ending, text in (
                ("zip", f"Download {escape(assignment.name)}.zip"),
                ("ipynb", "The notebook alone"),
            )
        )
        card += nodes.raw("", f'<p class="course-downloads">{links}</p>', format="html")
        return card

    def markdown(self, text: str) -> list[nodes.Node]:
        """Render a piece of the notebook's Markdown."""
        holder = nodes.Element()
        lines = StringList(text.splitlines(), self.get_source_info()[0])
        self.state.nested_parse(lines, self.content_offset, holder)
        return holder.children


def outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Read a page with the directive again if a problem set has come or gone."""
    paths = [str(path) for path in found_in(folder_of(app))]
    return [page for page, data in env.metadata.items() if data.get("assignments", paths) != paths]


def pack(notebook: Path, target: Path) -> None:
    """Write `NAME.zip` and `NAME.ipynb` into a folder; the same input gives the same bytes."""
    name = notebook.stem
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(notebook, target / notebook.name)
    with zipfile.ZipFile(target / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in notebook.parent.iterdir() if path.is_file()):
            info = zipfile.ZipInfo(f"{name}/{file.name}", _DATE)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, file.read_bytes())


def pack_all(app: Sphinx, exception: Exception | None) -> None:
    """Put the downloads into the finished site, and nothing that is no longer released."""
    if exception is None and app.builder.format == "html":
        target = Path(app.outdir, TARGET)
        shutil.rmtree(target, ignore_errors=True)
        for notebook in found_in(folder_of(app)):
            pack(notebook, target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("assignments", Assignments)
    app.connect("env-get-outdated", outdated)
    app.connect("build-finished", pack_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
