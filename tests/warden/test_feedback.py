"""The feedback page is nbconvert's own, made in less time."""

from __future__ import annotations

import base64
import re

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_output

from nbwarden.feedback import FIT, SafeOutput
from nbwarden.remembered import LONGEST, remembered
from tests.warden.course import ASSIGNMENT, DOUBLE, SECRET

PICTURE = f"""
import matplotlib.pyplot as plt
from IPython.display import HTML, Markdown, display
plt.plot([1, 2])
plt.show()
display(HTML("<table><tr><td>a & b</td></tr></table><img alt='said' src='x'>"), Markdown("*x*<y"))
{DOUBLE}
"""


def normal(page: str) -> str:
    """A page as an HTML parser writes it, without what is ours: on pictures, and their width."""
    page = re.sub(rf"<style[^>]*>\s*{re.escape(FIT)}\s*</style>\s*", "", page)
    soup = BeautifulSoup(page, "html.parser")
    for picture in soup.select("img[src^='data:']"):
        assert picture.attrs.pop("alt")
    return str(soup)


def page_by(course, exporter):
    course.api.config.GenerateFeedback.exporter_class = exporter
    done = course.api.generate_feedback(ASSIGNMENT, "eve", force=True)
    assert done["success"], done
    return course.outcome("eve").page


def test_the_page_is_nbconverts_but_for_pictures(course):
    graded = course.grade({"double": PICTURE, "essay": "A *proof*: $x^2$ & <b>more</b>"})
    ours = page_by(course, "nbwarden.feedback.FeedbackPage")
    again = page_by(course, "nbwarden.feedback.FeedbackPage")
    theirs = page_by(course, "nbconvert.exporters.HTMLExporter")
    assert ours == again == graded.page
    assert normal(ours) == normal(theirs)
    assert ours.count(FIT) == 1
    assert 'alt="picture made by this cell"' in ours
    assert not re.search(r"<img(?![^>]*alt=)", ours)
    assert SECRET not in ours


@pytest.mark.without_sandbox
def test_what_is_remembered_has_a_limit():
    made = []

    @remembered
    def twice(text, mark):
        made.append(text)
        return text + mark + text

    long = "x" * LONGEST
    assert [twice(text, "-") for text in ("a", "b", "a")] == ["a-a", "b-b", "a-a"]
    assert twice("a", "+") == "a+a"
    assert twice(long, "") == twice(long, "") == 2 * long
    assert twice(long, "-") == twice(long, "-") == long + "-" + long
    assert made == ["a", "b", "a", long, long, long]


def outputs_of(data):
    cell = new_code_cell("pass", outputs=[new_output("display_data", data)])
    cell, _ = SafeOutput().preprocess_cell(cell, {}, 0)
    return cell.outputs


@pytest.mark.without_sandbox
def test_a_vector_figure_is_shown_as_a_picture_in_which_nothing_runs():
    figure = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><text>α</text></svg>'
    (output,) = outputs_of({"image/svg+xml": figure, "text/plain": "<Figure>"})
    picture = BeautifulSoup(output.data["text/html"], "html.parser").img
    kind, _, content = picture["src"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content).decode() == figure
    assert "image/svg+xml" not in output.data


@pytest.mark.without_sandbox
@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<style scoped>.a {color: red}</style><table><tr><td>1</td></tr></table>", "1"),
        ("a<SCRIPT>var x = 1 < 2;</script >:b<style>c</STYLE>:d", "a:b:d"),
        ("a<style>x<script>y</style>b", "ab"),
        ("a<styles>b</styles>", "ab"),
        ("a<script>b", "ab"),  # what has no end is no style sheet: its text stays
    ],
)
def test_style_sheets_and_scripts_leave_no_text(page, text):
    (output,) = outputs_of({"text/html": page})
    assert BeautifulSoup(output.data["text/html"], "html.parser").get_text() == text
    assert "<s" not in output.data["text/html"]
