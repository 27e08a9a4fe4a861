"""A page is found first under its own names: its title, and the `keywords` of its front matter.

Sphinx ranks what it finds by whether the words stand in a title, and it leaves out stop words, of
which IN, for instance norm, is one. Entries of an index count more than anything else and are
compared with the whole query, so each name becomes an entry that leads to the top of its page.
"""

from __future__ import annotations

from pathlib import Path

from course_contents import html_meta
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.search import js_index


def keywords(source: Path) -> list[str]:
    """Return the names that a page gives itself in its front matter, beside its title."""
    written = html_meta(source).get("keywords", "").split(",")
    return [name.strip() for name in written if name.strip()]


def name_pages(app: Sphinx, exception: Exception | None) -> None:
    """Enter the names of all pages into the search index, once it is written.

    In Sphinx's own index of a rebuilt site, the entries of pages that did not change are missing.
    """
    if exception is not None or app.builder.format != "html":
        return
    path = Path(app.outdir, "searchindex.js")
    index = js_index.loads(path.read_text("utf-8"))
    pages: dict[str, int] = {}
    for title, places in index["alltitles"].items():
        pages |= {title.lower(): page for page, anchor in places if anchor is None}
    for page, name in enumerate(index["docnames"]):
        for keyword in keywords(Path(app.env.doc2path(name))):
            other = pages.setdefault(keyword.lower(), page)
            if other != page:
                both = f"{index['docnames'][other]} and {name}"
                raise ExtensionError(f"{keyword!r} can lead to one page, and {both} claim it")
    # an entry: page, place on it (its top), and whether it is a main one
    index["indexentries"] |= {keyword: [[page, "", True]] for keyword, page in pages.items()}
    path.write_text(js_index.dumps(index), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("build-finished", name_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
