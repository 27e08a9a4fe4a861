"""Two mistakes at once: the message names one of them as "at least", and never a third.

Nobody makes a single mistake. Where the one explains a part of the results by itself, it must be
found although the other hides the rest.
"""

from __future__ import annotations

import numpy as np
import pytest

from dlnorm.grading import PROBLEM_SETS
from dlnorm.grading.student import checker

#: The pairs of one check: as many as can be judged in a second or two.
PAIRS_A_CHECK = 12


def results(value):
    return list(value) if isinstance(value, tuple) else [value]


def differs(a, b):
    a, b = checker.plain_array(a), checker.plain_array(b)
    if a is None or b is None:
        return False
    return a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True)


def both(reference, first, second):
    """A function with the mistakes of two: each result from the one that gets it wrong."""

    def function(*args):
        tried = []
        for f in (reference, first, second):
            copies = [checker.copy_of(arg) for arg in args]
            tried.append((results(f(*copies)), copies))
        right, *wrong = tried
        for k, arg in enumerate(args):  # what they store in a dict, too
            if isinstance(arg, dict):
                kept = [copies[k] for _, copies in tried]
                arg.update({key: pick(*(d[key] for d in kept)) for key in kept[0]})
        mixed = [pick(*values) for values in zip(right[0], *(w[0] for w in wrong), strict=True)]
        return tuple(mixed) if len(mixed) > 1 else mixed[0]

    return function


def pick(right, first, second):
    return first if differs(right, first) else second


def wrong_results(spec, mistake):
    """Which of the compared names a mistake changes in some case, or None if it stops the run."""
    names = set()
    for case in spec["cases"]:
        variant = case["variants"].get(mistake.name)
        if variant is None:
            continue
        if variant["raised"] or variant["changed"] != case["expected"]["changed"]:
            return None
        for name in spec["compare"]:
            right = case["expected"]["values"][name]
            if isinstance(right, dict):
                return None
            if checker.compare(name, right, variant["values"][name], case["args"]):
                names.add(name)
    return names


def pairs(problem_set, check, spec):
    """Pairs of mistakes of the check's last function that spoil different results of it."""
    spoiled = [
        (m, wrong)
        for m in problem_set.misconceptions
        if m.replaces == check.functions[-1] and (wrong := wrong_results(spec, m))
    ]
    apart = [
        (a, b)
        for k, (a, wrong_a) in enumerate(spoiled)
        for b, wrong_b in spoiled[k + 1 :]
        if not wrong_a & wrong_b
    ]
    chosen = np.random.default_rng(0).permutation(len(apart))[:PAIRS_A_CHECK]
    return [apart[k] for k in chosen]


CHECKS = [(name, c) for name, s in PROBLEM_SETS.items() for c in s.checks if len(c.compare) > 1]


@pytest.fixture(autouse=True)
def _no_time_limit(monkeypatch):
    """A thread a call would cost more than the call."""
    monkeypatch.setattr(checker, "TIME_LIMIT", None)


@pytest.mark.parametrize(("set_name", "check"), CHECKS, ids=lambda v: getattr(v, "name", v))
def test_one_of_two_mistakes_is_named_and_no_other(set_name, check):
    problem_set = PROBLEM_SETS[set_name]
    spec = problem_set.spec(check.name, 0)
    for first, second in pairs(problem_set, check, spec):
        functions = {name: problem_set.reference[name] for name in spec["functions"]}
        wrong = first.replaces
        functions[wrong] = both(functions[wrong], first.function, second.function)
        found = checker.judge(spec, list(functions.values()))
        assert not found["passed"]
        named = found["misconception"]
        if any(checker.OPENING[sure] in found["message"] for sure in ("all", "words")):
            continue  # the catalogue knows the two together by a name of their own
        assert named in {first.name, second.name}, (
            f"{first.name} and {second.name} together:\n{found['message']}"
        )


def test_the_pairs_are_many():
    batchnorm = PROBLEM_SETS["batchnorm"]
    check = batchnorm.check("batchnorm_backward.train")
    spec = batchnorm.spec(check.name, 0)
    assert len(pairs(batchnorm, check, spec)) == PAIRS_A_CHECK
