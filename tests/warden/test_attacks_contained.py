"""Attacks on contained tests: they may change the attacker's own mark, and nothing else."""

from __future__ import annotations

import pytest

from tests.warden.attacked import KINDS, attacked, check_class, classes, of_each_kind, size


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    with attacked(tmp_path_factory.mktemp("course"), "contained", "warm") as course:
        yield course


@pytest.mark.parametrize("attacks", classes(of_each_kind(KINDS, 1)), ids=size)
def test_no_attack_succeeds(attacks, course, record_property):
    check_class(course, attacks, record_property)
