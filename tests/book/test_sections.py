"""The sections that a message sends a student to are in the book, under the titles it gives."""

from __future__ import annotations

import re

import pytest

from dlnorm.grading.sections import SECTIONS
from tests.support import REPO

_FENCED = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[tuple[str | None, str, str]]:
    """Return ``(anchor, marks, title)`` of every heading of a MyST page; code is no heading."""
    found = []
    anchor = None
    for line in _FENCED.sub("", text).splitlines():
        if heading := re.match(r"(#+) +(.+?) *$", line):
            found.append((anchor, heading[1], heading[2]))
        if line.strip():
            target = re.fullmatch(r"\(([\w-]+)\)= *", line)
            anchor = target[1] if target else None
    return found


@pytest.mark.parametrize("anchor", SECTIONS)
def test_section_exists_under_its_title(anchor: str):
    section = SECTIONS[anchor]
    page = headings((REPO / "book" / f"{section.page}.md").read_text("utf-8"))
    assert page[0][1:] == ("#", section.chapter)
    assert {title for name, _, title in page if name == anchor} == {section.title}


def test_headings_are_read_with_the_anchor_right_before_them():
    text = "# A\n\n(x)=\n## B\n\n(y)=\nText.\n\n```python\n# no heading\n```\n\n(z)=\n\n### C"
    assert headings(text) == [(None, "#", "A"), ("x", "##", "B"), ("z", "###", "C")]
