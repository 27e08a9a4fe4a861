"""The feedback page is nbconvert's own, made in less time."""

from __future__ import annotations

import re

import pytest
from bs4 import BeautifulSoup

from nbwarden.feedback import FIT
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
