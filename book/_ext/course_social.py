"""What a link to a page looks like elsewhere: title, description and a card drawn by the build.

Address and card need the site's address, `html: baseurl` in `_config.yml`; without it neither is
there.
"""

from __future__ import annotations

import re
from html import escape, unescape
from pathlib import Path
from typing import Any

from docutils import nodes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from sphinx.application import Sphinx

CARD = "_static/social-card.png"
WIDTH, HEIGHT = 1200, 630  # pixels, as those who show such cards ask for
PAPER, INK, SOFT = "#10161e", "#f2f5f9", "#a9b8c9"
FONT = "DejaVu Sans"  # comes with Matplotlib
PROMISE = "Every formula derived.\nEvery numbered equation\nchecked by running code."
_CIRCLE = re.compile(r"<circle ([^>]*)/>")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


def add_tags(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Add the page's Open Graph tags; addresses in them must be absolute, or are left out."""
    if doctree is None:
        return
    site, book = app.config.html_baseurl, app.config.html_title
    described = (node for node in doctree.findall(nodes.meta) if node.get("name") == "description")
    root = page == app.config.root_doc
    tags = {
        "og:type": "website" if root else "article",
        "og:site_name": book,
        "og:title": unescape(re.sub(r"<[^>]*>", "", context["title"])),
        "og:description": next((node["content"] for node in described), ""),
    }
    lines = []
    if site:
        tags |= {
            "og:url": site if root else f"{site}{page}.html",
            "og:image": site + CARD,
            "og:image:width": str(WIDTH),
            "og:image:height": str(HEIGHT),
            "og:image:alt": f"{book}. {' '.join(PROMISE.split())}",
        }
        lines.append('<meta name="twitter:card" content="summary_large_image" />')
    lines += [f'<meta property="{key}" content="{escape(text)}" />' for key, text in tags.items()]
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines])


def draw_card(app: Sphinx, exception: Exception | None) -> None:
    """Draw the card, unless the one that is there is younger than what it is made from."""
    if exception is not None or app.builder.format != "html" or not app.config.html_baseurl:
        return
    logo, target = Path(app.srcdir, app.config.html_logo), Path(app.outdir, CARD)
    made_from = (Path(__file__), logo, Path(app.srcdir).parent / "_config.yml")
    youngest = max(path.stat().st_mtime for path in made_from if path.is_file())
    if not target.is_file() or target.stat().st_mtime < youngest:
        card(app.config.html_title, logo.read_text(encoding="utf-8")).savefig(
            target, dpi=100, facecolor=PAPER, metadata={"Software": None}
        )


def card(title: str, logo: str) -> Figure:
    """Return the card: the logo's circles on the left, title and promise on the right."""
    fig = Figure(figsize=(WIDTH / 100, HEIGHT / 100), facecolor=PAPER)
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    ax.axis("off")
    scale, left, top = 6.2, 70, 120
    for attributes in _CIRCLE.findall(logo):
        circle = dict(_ATTRIBUTE.findall(attributes))
        x, y, r = (scale * float(circle[key]) for key in ("cx", "cy", "r"))
        ax.add_patch(
            Circle(
                (left + x, top + y),
                r,
                facecolor=circle["fill"],
                edgecolor=circle.get("stroke", "none"),
                linewidth=0.72 * scale * float(circle.get("stroke-width", 0)),
            )
        )
    head, _, tail = title.partition(" from ")
    lines = [*head.replace(" and ", " and\n").split("\n"), *([f"from {tail}"] if tail else [])]
    for row, line in enumerate(lines):
        ax.text(540, 165 + 62 * row, line, color=INK, size=36, weight="bold", family=FONT)
    for row, line in enumerate(PROMISE.split("\n")):
        ax.text(540, 190 + 62 * len(lines) + 54 * row, line, color=SOFT, size=27, family=FONT)
    return fig


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", add_tags)
    app.connect("build-finished", draw_card)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
