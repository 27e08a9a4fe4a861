"""Attacks on kernels that start anew, in a sample those on what starts or ends."""

from __future__ import annotations

import pytest

from tests.sampling import Sample, sample
from tests.warden.attacked import attacked, check_class, classes, size
from tests.warden.attacks import ATTACKS

#: Where it matters how a kernel starts or ends: on what it holds, or what it finds beside it.
STARTS_OR_ENDS = [
    attack
    for attack in ATTACKS
    if attack.kind == "resources"
    or attack.name in ("files for the next start", "another kernel", "modules beside the notebook")
]
TRIED = ATTACKS if Sample.everything else sample("cold", STARTS_OR_ENDS, 5)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    with attacked(tmp_path_factory.mktemp("course"), "trusted", "cold") as course:
        yield course


@pytest.mark.parametrize("attacks", classes(TRIED), ids=size)
def test_no_attack_succeeds(attacks, course, record_property):
    check_class(course, attacks, record_property)
