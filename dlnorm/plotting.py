"""The course's figure style: one palette, readable on light and on dark pages.

A figure is shown as inline SVG whose ink is the page's own text color, so the same figure
follows the reader's theme. Needs Matplotlib, which nothing else in `dlnorm` does.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import Any

import matplotlib.style
from cycler import cycler
from matplotlib.figure import Figure

#: Mid-tone colors, each with a contrast of at least 3 to white and to the dark page (WCAG 1.4.11).
BLUE, ORANGE, GREEN, PINK, PURPLE, GRAY = (
    "#2f7fd0",
    "#d26a00",
    "#1f9460",
    "#cf4f90",
    "#8a6de0",
    "#808890",
)
PALETTE = (BLUE, ORANGE, GREEN, PINK, PURPLE, GRAY)
#: One color for each norm, in every figure of the book.
NORM_COLOR = {
    "none": GRAY,
    "batch": BLUE,
    "layer": GREEN,
    "rms": "#0f9aa0",
    "group": ORANGE,
    "instance": PURPLE,
    "weight": PINK,
    "mean-only": "#9a7b00",
    "renorm": "#c94f3d",
    "whitening": "#6f8a1f",
}

#: Stands for "the page's text color" until the SVG is written.
INK = "#0b0b0c"
_PAGE_INK = "var(--pst-color-text-base, currentColor)"

STYLE: dict[str, Any] = {
    "figure.figsize": (6.6, 3.0),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.transparent": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.labelsize": 10.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "patch.edgecolor": INK,
    "font.size": 10.5,
    "font.family": "sans-serif",
    "legend.frameon": False,
    "lines.linewidth": 2,
    "grid.color": GRAY,
    "grid.alpha": 0.3,
    "image.cmap": "cividis",
    "svg.fonttype": "path",
    "svg.hashsalt": "dlnorm",
}

_serial = count(1)


@dataclass(frozen=True)
class Shown:
    """A finished figure, displayed by Jupyter and by the book as inline SVG."""

    svg: str

    def _repr_html_(self) -> str:
        return f'<div class="dl-figure">{self.svg}</div>'


def subplots(
    nrows: int = 1, ncols: int = 1, *, width: float = 6.6, height: float = 3.0, **kwargs: Any
) -> tuple[Figure, Any]:
    """`matplotlib.pyplot.subplots` in the course's style, which stays set for what is drawn next.

    Parameters
    ----------
    nrows, ncols : int
    width, height : float
        Of the whole figure, in inches; 6.6 fills the text's width.
    **kwargs
        Handed on, as `sharex` or `subplot_kw`.

    Returns
    -------
    fig, ax
        As from Matplotlib.

    Raises
    ------
    TypeError
        As Matplotlib.

    Examples
    --------
    >>> fig, ax = subplots(height=2)
    >>> _ = ax.plot([0, 1])
    >>> type(show(fig, alt="A rising line.")).__name__
    'Shown'
    """
    matplotlib.style.use(STYLE)
    fig = Figure(figsize=(width, height))
    return fig, fig.subplots(nrows, ncols, **kwargs)


def show(fig: Figure, alt: str) -> Shown:
    """Return `fig` as SVG that follows the page's theme; let it be the last line of a cell.

    Parameters
    ----------
    fig : matplotlib Figure
    alt : str
        What a reader who cannot see the figure needs to know; a full sentence.

    Returns
    -------
    Shown

    Raises
    ------
    TypeError, ValueError
        If `alt` is no text, or an empty one.

    Examples
    --------
    See `subplots`.
    """
    if not isinstance(alt, str):
        raise TypeError(f"alt must be a sentence, got {type(alt).__name__}")
    if not alt.strip():
        raise ValueError("alt must say in a sentence what the figure shows, got an empty text")
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for ink in (INK, "#000000"):  # Matplotlib draws error bars black whatever the style says
        svg = svg.replace(ink, _PAGE_INK)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # nothing refers to a bitmap's id, which is its hash: the same picture twice, the same id twice
    svg = re.sub(r'(<image\b[^>]*?) id="[^"]*"', r"\1", svg)
    # ids are unique on a page only if no two figures share them
    prefix = f"f{next(_serial)}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    svg = svg.replace('<style type="text/css">*{', '<style type="text/css">.dl-svg *{')
    label = f'<svg role="img" aria-label="{escape(alt)}" class="dl-svg" '
    return Shown(svg.replace("<svg ", label, 1))
