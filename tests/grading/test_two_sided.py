"""The grader itself, from both sides: no wrong variant passes, every right answer does."""

from __future__ import annotations

import importlib
import itertools
import time
from functools import cache

import numpy as np
import pytest

from dlnorm.grading import PROBLEM_SETS, grade
from dlnorm.grading.exercise import SECTIONS
from dlnorm.grading.student import checker
from tests.sampling import sample

#: Training is slow, and test_together.py holds how far the mark lies from what it gives.
SEEDS = {
    "train.accuracy": sample("seeds of training", range(10), 2),
    "other checks": sample("seeds of references", range(50), 8),
    "right answers": sample("seeds of right answers", range(10), 3),
    "mistakes": [0, *sample("seeds of mistakes", range(1, 3), 1)],  # others need 0 too
}

CHECKS = [(name, check.name) for name, s in PROBLEM_SETS.items() for check in s.checks]
MISTAKES = [(name, m) for name, s in PROBLEM_SETS.items() for m in s.misconceptions]


def cases(pairs, trains, name=str):
    """The parameters of a test, marked where it trains networks."""
    marks = [pytest.mark.training]
    return [
        pytest.param(*pair, marks=marks if trains(pair[1]) else [], id=f"{pair[0]}-{name(pair[1])}")
        for pair in pairs
    ]


def answers(problem_set):
    package = f"{__package__}.right_answers" if __package__ else "tests.grading.right_answers"
    return importlib.import_module(f"{package}.{problem_set.replace('-', '_')}").ANSWERS


ANSWERS = [(name, answer) for name in PROBLEM_SETS for answer in answers(name)]
NONSENSE = [
    lambda *a: None,
    lambda *a: a[0],
    lambda *a: (a[0], None),
    lambda *a: (a[0], a[0], a[0]),
    lambda *a: (np.zeros_like(a[0]) if isinstance(a[0], np.ndarray) else 0, None),
    lambda: 1,
    lambda *a: "x",
    lambda *a: (np.full(3, np.nan),) * 3,
    lambda *a: ([1, 2], {}),
]


@pytest.fixture(autouse=True)
def _no_time_limit(monkeypatch):
    """A thread a call is a quarter of what these tests would cost; the limit has its own."""
    monkeypatch.setattr(checker, "TIME_LIMIT", None)


@cache
def spec_of(problem_set, check, seed, with_mistakes=True):
    return PROBLEM_SETS[problem_set].spec(check, seed, with_mistakes=with_mistakes)


def seeds(pytestconfig, kind):
    """The seeds that are tried: as many as the option says, else those of the sample."""
    asked = pytestconfig.getoption("seeds")
    return range(asked) if asked else SEEDS[kind]


def verdict(problem_set, check, functions, seed, with_mistakes=True):
    """With the mistakes a failure is named, too, and a right answer passes just as well."""
    spec = spec_of(problem_set, check, seed, with_mistakes)
    return checker.judge(spec, [functions[f] for f in spec["functions"]])


@pytest.mark.parametrize(("problem_set", "check"), cases(CHECKS, "train.accuracy".__eq__))
def test_the_reference_passes_whatever_the_seed(problem_set, check):
    reference = PROBLEM_SETS[problem_set].reference
    for seed in SEEDS["train.accuracy" if check == "train.accuracy" else "other checks"]:
        # the right answers may need the same again
        make = spec_of if seed in SEEDS["right answers"] else spec_of.__wrapped__
        spec = make(problem_set, check, seed, with_mistakes=False)
        found = checker.judge(spec, [reference[f] for f in spec["functions"]])
        raised = {case["expected"]["raised"] for case in spec["cases"]}
        assert raised <= {None} or (check.endswith((".p", ".G")) and raised <= {None, "ValueError"})
        assert found["passed"], f"seed {seed}: {found['message']}"


@pytest.mark.parametrize(
    ("problem_set", "answer"),
    cases(ANSWERS, lambda answer: "train" in answer.functions, lambda answer: answer.name),
)
def test_a_right_answer_passes_whatever_its_style(problem_set, answer, pytestconfig):
    judged = 0
    for check in PROBLEM_SETS[problem_set].checks:
        if set(check.functions) <= set(answer.functions):
            for seed in seeds(pytestconfig, "right answers"):
                found = verdict(problem_set, check.name, answer.functions, seed, False)
                assert found["passed"], f"seed {seed}: {found['message']}"
            judged += 1
    assert judged, "this answer is never judged: it lacks a function that its checks need"


@pytest.mark.parametrize("problem_set", PROBLEM_SETS)
def test_every_function_has_at_least_six_right_answers(problem_set):
    count = {
        function: sum(function in answer.functions for answer in answers(problem_set))
        for function in PROBLEM_SETS[problem_set].reference
    }
    assert min(count.values()) >= 6, count


@pytest.mark.cases(60)
@pytest.mark.parametrize(
    ("problem_set", "mistake"),
    cases(
        MISTAKES,
        lambda mistake: mistake.replaces in ("train", "predict"),
        lambda mistake: mistake.name,
    ),
)
def test_a_misconception_is_rejected_and_named(problem_set, mistake, record_property, pytestconfig):
    reference = PROBLEM_SETS[problem_set].reference
    functions = {**reference, mistake.replaces: mistake.function}
    named: dict[str, set[str | None]] = {}
    passed: dict[str, set[bool]] = {}
    matrix = dict.fromkeys((check.name for check in PROBLEM_SETS[problem_set].checks), "")
    for check in PROBLEM_SETS[problem_set].checks:
        if mistake.replaces not in check.functions:
            continue
        matrix[check.name] = "passes"
        for seed in seeds(pytestconfig, "mistakes"):
            found = verdict(problem_set, check.name, functions, seed)
            passed.setdefault(check.name, set()).add(found["passed"])
            if not found["passed"]:
                named.setdefault(check.name, set()).add(found["misconception"])
                own = named[check.name] == {mistake.name}
                matrix[check.name] = "named" if own else "rejected"
    record_property("matrix", [problem_set, mistake.name, matrix])
    assert named, f"{mistake.name} passes every check of {mistake.replaces}"
    flips = [check for check, verdicts in passed.items() if len(verdicts) > 1]
    assert not flips, f"{mistake.name} passes {flips} with some seeds and not with others"
    always = [check for check, names in named.items() if names == {mistake.name}]
    assert always, f"{mistake.name} is rejected but named as {named}"


@pytest.mark.parametrize(("problem_set", "mistake"), MISTAKES, ids=lambda v: getattr(v, "name", v))
def test_a_hint_helps_and_does_not_give_the_answer(problem_set, mistake):
    assert mistake.section in SECTIONS
    assert 40 <= len(mistake.hint) <= 420, len(mistake.hint)
    for code in ("np.", "return ", "keepdims", "axis="):
        assert code not in mistake.hint, f"{code!r} in a hint is code, not advice"


def test_misconception_names_are_unique():
    names = [m.name for _, m in MISTAKES]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(("problem_set", "check"), CHECKS)
def test_an_unwritten_answer_fails_every_check(problem_set, check):
    def unwritten(*_):
        raise NotImplementedError

    spec = spec_of(problem_set, check, 0)
    found = checker.judge(spec, [unwritten] * len(spec["functions"]))
    assert not found["passed"]
    assert "not written yet" in found["message"]


@pytest.mark.cases(40)
@pytest.mark.parametrize(
    ("check", "answer"),
    itertools.product(CHECKS, NONSENSE),
    ids=lambda value: value[1] if isinstance(value, tuple) else "answer",
)
def test_nonsense_never_passes_and_never_crashes_the_checker(check, answer):
    spec = spec_of(*check, 0)
    found = checker.judge(spec, [answer] * len(spec["functions"]))
    # doing nothing is right where nothing is to be done: the identity at test time
    if found["passed"]:
        assert check[1].endswith((".test", ".p0")), found["message"]
    assert "Traceback" not in found["message"]


@pytest.mark.parametrize(("problem_set", "check"), CHECKS)
def test_every_line_of_a_message_fits(problem_set, check):
    spec = spec_of(problem_set, check, 0)
    for function in (lambda *a: None, lambda *a: (a[0] + 1, None), lambda *a: 1 / 0):
        message = checker.judge(spec, [function] * len(spec["functions"]))["message"]
        assert max(map(len, message.splitlines())) <= checker.WIDTH, message


@cache
def seconds_of_counting():
    """What this processor, with this Python, needs to count to ten million."""
    started = time.thread_time()
    for _ in range(10_000_000):
        pass
    return time.thread_time() - started


@pytest.mark.parametrize(("problem_set", "check"), CHECKS)
def test_a_check_takes_no_longer_than_counting_to_a_hundred_million(problem_set, check):
    """That is two seconds where the course was written, and as many more on a slower machine.

    Of computing in this thread, which a busy machine does not stretch, nor NumPy's others.
    """
    reference = PROBLEM_SETS[problem_set].reference
    spec = spec_of(problem_set, check, 0)
    started = time.thread_time()
    checker.judge(spec, [reference[f] for f in spec["functions"]])
    assert time.thread_time() - started < 10 * seconds_of_counting()


def test_grade_raises_with_the_diagnosis_and_the_seed():
    with pytest.raises(checker.CheckFailed, match="seed 7"):
        grade("batchnorm_forward.train", lambda *a: None, seed=7)


def test_an_unknown_check_is_named_with_those_that_exist():
    with pytest.raises(KeyError, match=r"no check 'nope'.*batchnorm_forward\.train"):
        grade("nope", print)
