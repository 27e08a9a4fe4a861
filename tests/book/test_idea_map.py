"""The instructor's table, from idea to grade, points at what is there and leaves no check out."""

from __future__ import annotations

import csv
import re

import pytest

from dlnorm.grading import PROBLEM_SETS
from tests.book.test_sections import headings
from tests.support import REPO

TABLE = REPO / "book" / "data" / "source-ideas.csv"
COLUMNS = ["idea", "sources", "chapter", "section", "checks", "by_hand"]

with TABLE.open(encoding="utf-8", newline="") as stream:
    IDEAS = list(csv.DictReader(stream))

CHECKS = {check.name for problem_set in PROBLEM_SETS.values() for check in problem_set.checks}
IDS = [idea["idea"][:40] for idea in IDEAS]


def written_answers() -> set[str]:
    """The grade_ids of the cells that a person marks: text cells with points and a mark scheme."""
    found: set[str] = set()
    for name in PROBLEM_SETS:
        text = (REPO / "solutions" / name / f"{name}.md").read_text("utf-8")
        cells = re.findall(r'^\+\+\+ \{"nbgrader": (\{.*\})\}$', text, re.MULTILINE)
        graded = [cell for cell in cells if '"grade": true' in cell]
        found |= {m[1] for cell in graded if (m := re.search(r'"grade_id": "([\w-]+)"', cell))}
    return found


def test_the_table_has_its_columns_and_no_idea_twice():
    assert list(IDEAS[0]) == COLUMNS
    ideas = [idea["idea"] for idea in IDEAS]
    assert len(ideas) == len(set(ideas))


@pytest.mark.parametrize("idea", IDEAS, ids=IDS)
def test_an_idea_says_where_it_is_explained(idea: dict[str, str]):
    page = REPO / "book" / f"{idea['chapter']}.md"
    anchors = {anchor for anchor, _, _ in headings(page.read_text("utf-8"))}
    assert idea["section"] in anchors - {None}


@pytest.mark.parametrize("idea", IDEAS, ids=IDS)
def test_an_idea_names_checks_and_answers_that_exist(idea: dict[str, str]):
    assert set(idea["checks"].split()) <= CHECKS
    assert set(idea["by_hand"].split()) <= written_answers()
    assert set(idea["sources"].split()) <= set("12345")
    assert idea["sources"]


def test_every_check_belongs_to_an_idea():
    named = {check for idea in IDEAS for check in idea["checks"].split()}
    assert CHECKS - named == set()


def test_every_written_answer_belongs_to_an_idea():
    answers = written_answers()
    named = {cell for idea in IDEAS for cell in idea["by_hand"].split()}
    assert len(answers) >= len(PROBLEM_SETS)
    assert answers - named == set()


def test_every_source_has_ideas_that_are_graded():
    graded = [idea for idea in IDEAS if idea["checks"]]
    assert {source for idea in graded for source in idea["sources"].split()} == set("12345")
