"""Attacks on the machine that grades trusted tests: its resources, and what else it holds."""

from __future__ import annotations

import pytest

from tests.warden.attacked import attacked, check_class, classes, of_each_kind, size


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    with attacked(tmp_path_factory.mktemp("course"), "trusted", "warm") as course:
        yield course


@pytest.mark.parametrize("attacks", classes(of_each_kind(("resources", "outside"), 3)), ids=size)
def test_no_attack_succeeds(attacks, course, record_property):
    check_class(course, attacks, record_property)
