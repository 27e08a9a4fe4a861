"""Attacks of code on trusted tests: on Python, with values that lie, on the wire."""

from __future__ import annotations

import pytest

from tests.warden.attacked import attacked, check_class, classes, of_each_kind, size

CLASSES = classes(of_each_kind(("python", "values", "wire"), 3))


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    with attacked(tmp_path_factory.mktemp("course"), "trusted", "warm") as course:
        yield course


@pytest.mark.parametrize("attacks", CLASSES, ids=size)
def test_no_attack_succeeds(attacks, course, record_property):
    check_class(course, attacks, record_property)
