"""What a student wrote is shown for as long as that may take; a note stands for the rest."""

from __future__ import annotations

import time

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nbwarden import patience
from nbwarden.feedback import FeedbackPage, SafeOutput, markdown_to_html
from nbwarden.patience import Patience
from nbwarden.remembered import LONGEST

pytestmark = pytest.mark.without_sandbox

NOTE = "take too long to lay out"
LONG = "x" * (LONGEST + 1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(patience, "ONE", 1.0)
    monkeypatch.setattr(patience, "ALL", 4.0)


def page(*cells):
    filters = {"markdown2html": markdown_to_html}
    return FeedbackPage(filters=filters).from_notebook_node(new_notebook(cells=list(cells)))[0]


@pytest.mark.parametrize(
    "text",
    ["\\begin{a}" * 40_000, "<b>" * 100_000, "![a](x)" + "\\begin{a}" * 40_000],
    ids=["begins without an end", "tags without an end", "the same with a picture"],
)
def test_a_text_without_end_leaves_a_note(text):
    made = page(new_markdown_cell("before"), new_markdown_cell(text), new_markdown_cell("*after*"))
    assert made.count(NOTE) == 1
    assert "before" in made
    assert "<em>after</em>" in made
    assert len(made) < 1_000_000


def test_so_does_code():
    made = page(new_code_cell("x = (1 + 2)\n" * 1_000_000), new_code_cell("y"))
    assert made.count(NOTE) == 1


def test_so_does_output():
    cell = new_code_cell("x")
    data = {"text/html": "<p><b>" * 100_000}
    cell.outputs = [new_output("display_data", data), new_output("stream", text="still there")]
    SafeOutput().preprocess(new_notebook(cells=[cell]), {})
    assert NOTE in cell.outputs[0].data["text/html"]
    assert cell.outputs[1].text == "still there"


def test_a_long_text_that_is_no_trouble_is_shown_whole():
    made = page(new_markdown_cell(f"**{LONG}** and *so on*"))
    assert f"<strong>{LONG}</strong>" in made
    assert NOTE not in made


def test_many_short_ones_have_a_limit_together(monkeypatch):
    monkeypatch.setattr(patience, "ALL", 0.05)
    waiting, made = Patience(), []
    while not made or NOTE not in made[-1]:
        assert len(made) < 1000
        made.append(waiting.render(lambda text: str(sum(range(200_000))) and text, "short"))
    assert made[0] == "short"
    assert "short" in made[-1]


@pytest.mark.parametrize("what", ["memory", "size", "sleep", "death"])
def test_whatever_happens_it_ends(what, monkeypatch):
    monkeypatch.setattr(patience, "MEMORY", 2**27)
    monkeypatch.setattr(patience, "WAIT", 0.5)

    def harm(text):
        if what == "memory":
            return str(len(bytearray(2**28)))
        if what == "sleep":
            time.sleep(1000)
        if what == "death":
            raise SystemExit(3)
        return text * (patience.MOST // len(text) + 1)

    assert NOTE in Patience().render(harm, LONG)


def test_the_note_shows_how_the_text_began_as_text():
    assert "&lt;script&gt;" in patience.note("<script>" * 5000)
