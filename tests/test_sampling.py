"""What a sample of a long list is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests import sampling
from tests.sampling import CASES as CASES_OF_A_TEST
from tests.sampling import Sample, sample, thin

CASES = [f"case {number}" for number in range(200)]


@pytest.fixture(autouse=True)
def _some(monkeypatch):
    monkeypatch.setattr(Sample, "everything", False)
    monkeypatch.setattr(Sample, "seed", "one")


def test_a_sample_keeps_as_many_as_asked_in_their_order():
    chosen = sample("list", CASES, 20)
    assert len(chosen) == 20
    assert chosen == sorted(chosen, key=CASES.index)


def test_the_same_seed_gives_the_same_sample_and_another_seed_another(monkeypatch):
    chosen = sample("list", CASES, 20)
    assert sample("list", CASES, 20) == chosen
    assert sample("another list", CASES, 20) != chosen
    monkeypatch.setattr(Sample, "seed", "two")
    assert sample("list", CASES, 20) != chosen


def test_every_case_is_in_some_sample(monkeypatch):
    seen = set()
    for seed in range(200):
        monkeypatch.setattr(Sample, "seed", str(seed))
        seen |= set(sample("list", CASES, 20))
    assert seen == set(CASES)


def test_everything_and_short_lists_are_whole(monkeypatch):
    assert sample("list", CASES[:5], 20) == CASES[:5]
    monkeypatch.setattr(Sample, "everything", True)
    assert sample("list", CASES, 20) == CASES


@dataclass(frozen=True)
class Item:
    """What `thin` looks at of a test's case."""

    nodeid: str
    cases: int | None = None

    def get_closest_marker(self, name):
        return pytest.mark.cases(self.cases).mark if self.cases else None


def test_of_a_test_with_many_cases_some_are_tried_and_the_others_are_left_out():
    many = [Item(f"test_a.py::test_many[{n}]") for n in range(100)]
    few = [Item(f"test_a.py::test_few[{n}-[x]]", cases=7) for n in range(100)]
    short = [Item("test_b.py::test_one"), *(Item(f"test_b.py::test_two[{n}]") for n in range(3))]
    items = [*many, *few, *short]
    left = thin(items)
    assert set(left).isdisjoint(items)
    assert len(left) + len(items) == 204
    assert len(set(items) & set(many)) == CASES_OF_A_TEST
    assert len(set(items) & set(few)) == 7
    assert items[-4:] == short


def test_outside_a_repository_there_is_still_a_seed(monkeypatch, tmp_path):
    monkeypatch.setattr(sampling, "REPO", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert sampling.of_commit() == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))  # without Git
    assert sampling.of_commit() == "unknown"
