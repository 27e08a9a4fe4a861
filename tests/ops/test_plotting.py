"""Figures: readable on both themes, no two share an id, none without a text alternative."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from dlnorm import plotting
from dlnorm.plotting import INK, NORM_COLOR, PALETTE, Shown, show, subplots

WHITE, DARK = "#ffffff", "#14181e"


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    """Take back the style that `subplots` sets for the rest of a notebook."""
    with mpl.rc_context():
        yield


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb, by its definition in WCAG 2.2."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def figure() -> Any:
    """Draw one of everything that the chapters draw."""
    fig, axes = subplots(1, 2, width=5, height=2)
    for k in range(len(PALETTE)):
        axes[0].plot([0, 1], [0, k], marker="o", label=f"line {k}")
    axes[0].set(title="title", xlabel="x", ylabel="$\\hat{x}$")
    axes[0].legend()
    axes[0].grid(True)
    axes[0].annotate("here", (0, 0), (1, 1), arrowprops={"arrowstyle": "->"})
    axes[1].add_patch(Rectangle((0, 0), 1, 1, fill=False))
    axes[1].bar([0, 1], [1, 2], hatch="//")
    axes[1].hist(np.linspace(0, 1, 9))
    axes[1].fill_between([0, 1], [0, 1], alpha=0.2)
    axes[1].set_xlim(0, 0.5)
    return fig


@functools.cache
def drawn(k: int = 0) -> Shown:
    """Return the same figure, shown for the k-th time."""
    with mpl.rc_context():
        return show(figure(), alt="Lines and bars.")


def svg(shown: Shown) -> ElementTree.Element:
    return ElementTree.fromstring(shown.svg)


def test_contrast_is_what_wcag_says() -> None:
    assert contrast("#000000", WHITE) == 21
    assert contrast("#777777", WHITE) == pytest.approx(4.48, abs=0.005)  # W3C's own example


@pytest.mark.parametrize("page", [WHITE, DARK])
@pytest.mark.parametrize("color", sorted({*PALETTE, *NORM_COLOR.values()}))
def test_every_color_stands_out_from_both_pages(color: str, page: str) -> None:
    assert contrast(color, page) >= 3  # WCAG 1.4.11, for graphical objects


def test_the_colors_differ() -> None:
    assert len(set(PALETTE)) == len(PALETTE) == 6
    assert len(set(NORM_COLOR.values())) == len(NORM_COLOR)


def test_a_figure_is_drawn_in_the_palette_and_the_ink_of_the_page() -> None:
    shown = drawn()
    used = set(re.findall(r"#[0-9a-fA-F]{6}\b", shown.svg))
    assert set(PALETTE) <= used
    assert used <= set(PALETTE), "a color that does not follow the theme"
    assert INK not in shown.svg
    assert "var(--pst-color-text-base, currentColor)" in shown.svg
    # Not set by the style: black, which a dark page swallows
    assert not re.search(r"(stroke|fill): ?(black|#000\b)", shown.svg)


def test_nothing_is_painted_behind_the_figure() -> None:
    fig, ax = subplots()
    assert fig.get_facecolor()[3] == 0
    assert ax.get_facecolor()[3] == 0
    assert not re.search(r"fill: ?(white|#ffffff)", show(fig, alt="Axes.").svg)


def test_no_two_figures_share_an_id_and_every_reference_is_met() -> None:
    shown = [drawn(k) for k in range(2)]
    ids = [{node.get("id") for node in svg(one).iter() if node.get("id")} for one in shown]
    assert ids[0]
    assert ids[0].isdisjoint(ids[1])
    for one, own in zip(shown, ids, strict=True):
        links = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', one.svg)
        assert links
        assert {a or b for a, b in links} <= own
        assert len(re.findall(r'\bid="', one.svg)) == len(own)  # nor twice in one figure


def test_the_same_figure_is_the_same_text_but_for_the_ids() -> None:
    one, other = (re.sub(r"\bf\d+-", "", drawn(k).svg) for k in range(2))
    assert one == other


def test_no_date_and_no_program_name_is_left() -> None:
    text = drawn().svg
    assert "metadata" not in text
    assert "matplotlib.org" not in text
    assert "<dc:" not in text


def test_the_style_sheet_of_a_figure_does_not_reach_the_page() -> None:
    shown = drawn()
    for style in re.findall(r"<style[^>]*>(.*?)</style>", shown.svg, re.DOTALL):
        assert style.startswith(".dl-svg *{")
    assert "dl-svg" in (svg(shown).get("class") or "")


def test_a_figure_is_an_image_with_its_text_alternative() -> None:
    alt = 'The mean & the "variance" rise: 0 < p < 1.'
    shown = show(subplots()[0], alt=alt)
    root = svg(shown)
    assert root.tag.endswith("svg")
    assert root.get("role") == "img"
    assert root.get("aria-label") == alt
    html = shown._repr_html_()
    assert html == f'<div class="dl-figure">{shown.svg}</div>'
    assert shown.svg.startswith("<svg ")  # no XML prolog inside a page


def test_a_figure_needs_a_text_alternative() -> None:
    fig, _ = subplots()
    with pytest.raises(TypeError, match="alt"):
        show(fig)  # type: ignore[call-arg]
    for empty in ("", "  \n"):
        with pytest.raises(ValueError, match=r"alt must say .*, got an empty text"):
            show(fig, alt=empty)
    with pytest.raises(TypeError, match="alt must be a sentence, got NoneType"):
        show(fig, alt=None)  # type: ignore[arg-type]


def test_subplots_hands_on_what_matplotlib_understands() -> None:
    fig, axes = subplots(2, 3, width=7, height=4, sharex=True)
    assert axes.shape == (2, 3)
    assert tuple(fig.get_size_inches()) == (7, 4)
    axes[0, 0].set_xlim(0, 9)
    assert axes[1, 0].get_xlim() == (0, 9)
    with pytest.raises(TypeError):
        subplots(nonsense=1)


def test_the_first_lines_take_the_colors_in_order() -> None:
    _, ax = subplots()
    colors = [ax.plot([0, 1])[0].get_color() for _ in PALETTE]
    assert colors == list(PALETTE)
    assert (
        plotting.BLUE,
        plotting.ORANGE,
        plotting.GREEN,
        plotting.PINK,
        plotting.PURPLE,
        plotting.GRAY,
    ) == PALETTE


def test_only_plotting_needs_matplotlib() -> None:
    code = "import sys, dlnorm; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_error_bars_take_the_page_s_ink_as_well() -> None:
    fig, ax = plotting.subplots()
    ax.bar([0, 1], [1, 2], yerr=[0.1, 0.2])
    svg = plotting.show(fig, alt="Two bars.").svg
    assert "#000000" not in svg
    assert "var(--pst-color-text-base" in svg


def test_the_same_picture_twice_has_no_id_twice() -> None:
    fig, axes = plotting.subplots(1, 2)
    for ax in axes:
        ax.imshow(np.eye(3))
    svg = plotting.show(fig, alt="Two equal pictures.").svg
    assert svg.count("<image ") == 2
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
