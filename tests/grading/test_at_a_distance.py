"""A check is asked in one message and judged on one: the same verdict, whoever answers."""

from __future__ import annotations

import ast
import copy
import time
from contextlib import suppress
from itertools import pairwise

import nbformat
import numpy as np
import pytest
from nbgrader import utils

from dlnorm.grading import PROBLEM_SETS, grade, release
from dlnorm.grading.exercise import _repeatable
from dlnorm.grading.exercises import problem_set_of
from dlnorm.grading.student import checker
from nbwarden.ask import is_trusted, parsed
from nbwarden.inside.data import pack, unpack
from tests.sampling import sample
from tests.support import REPO

CHECKS = [check for problem_set in PROBLEM_SETS.values() for check in problem_set.checks]
NAMES = [check.name for check in CHECKS]


def at_a_distance(question, functions):
    """What comes back from another process."""
    return unpack(pack(checker.answer(unpack(pack(question)), *functions)))


def tries(check):
    """The right functions, and those with one of the known mistakes."""
    problem_set = problem_set_of(check.name)
    right = [problem_set.reference[name] for name in check.functions]
    wrong = [m for m in problem_set.misconceptions if m.replaces in check.functions]
    yield "right", right
    for mistake in sample(f"at a distance: {check.name}", wrong, 1):
        at = check.functions.index(mistake.replaces)
        yield mistake.name, [*right[:at], mistake.function, *right[at + 1 :]]


@pytest.mark.parametrize("check", CHECKS, ids=NAMES)
def test_the_verdict_is_the_same_on_what_comes_back_as_data(check, monkeypatch):
    monkeypatch.setattr(checker, "TIME_LIMIT", None)  # its threads cost more than the calls
    spec = problem_set_of(check.name).spec(check.name, 3)
    for name, functions in tries(check):
        with _repeatable(3):
            near = checker.score(spec, checker.answer(checker.question_of(spec), *functions))
        with _repeatable(3):
            far = checker.score(spec, at_a_distance(checker.question_of(spec), functions))
        assert far == near, name


@pytest.mark.parametrize("check", CHECKS, ids=NAMES)
def test_a_question_holds_nothing_of_what_is_expected(check):
    question, _ = grade.ask(check.name, seed=1)
    assert question.keys() == {"functions", "cases"}
    for case in question["cases"]:
        assert case.keys() == {"args", "lines", "wanted"}
        assert {line for _, line in case["lines"]} <= set(check.lines)
        used = names_in(n for _, line in case["lines"] for n in ast.walk(ast.parse(line)))
        assert case["args"].keys() <= used, "it has what only the judge needs"


def names_in(nodes):
    return {node.id for node in nodes if isinstance(node, ast.Name)}


@pytest.mark.parametrize("check", CHECKS, ids=NAMES)
def test_a_program_can_run_in_two_places(check):
    """Nothing the judge makes goes to the functions, and what is wanted of them is one value."""
    (case, *_) = check.cases(np.random.default_rng(0))
    there, wanted, here, _ = checker.places_of(
        {"program": check.lines, "compare": list(check.compare)}, case
    )
    lines = {number for number, _ in there}
    made, bound = set(), []
    for number, line in enumerate(check.lines):
        statement = ast.parse(line).body[0]
        targets = names_in(ast.walk(statement.targets[0]))
        if number in lines:
            assert not names_in(n for a in statement.value.args for n in ast.walk(a)) & made
            bound += [name for name in targets if name not in case]
        else:
            made |= targets
    assert len(bound) == len(set(bound)) or not {n for n in bound if bound.count(n) > 1} & {
        name for _, _, foreign in here for name in foreign
    }
    assert [n for n, _ in there] == sorted(lines)
    assert all(a[0] < b[0] for a, b in pairwise(here))
    assert set(wanted) >= {name for _, _, foreign in here for name in foreign}


def test_the_arguments_that_are_judged_by_are_the_judges_own():
    """A function that changes p in the dict it is given is judged by the p it was asked for."""

    def ignores_p(x, dropout_param):
        dropout_param["p"] = 0.5
        rng = np.random.default_rng(dropout_param.get("seed"))
        mask = (rng.random(x.shape) >= 0.5) / 0.5
        return x * mask, {"mask": mask}

    question, judge = grade.ask("dropout_forward.train", seed=2)
    share, message = judge(at_a_distance(question, [ignores_p]))
    assert share == 0
    assert "dropped" in message


def test_a_copy_that_comes_back_is_not_believed_where_the_judge_can_make_it():
    """A process that sends another `before` cannot pass off what it dropped as right."""
    question, judge = grade.ask("dropout_forward.train", seed=2)
    right = problem_set_of("dropout_forward.train").reference["dropout_forward"]
    replies = checker.answer(question, right)
    assert judge(replies)[0] == 1
    for reply in replies:
        for name in ("before", "x"):
            reply["values"][name] = np.zeros(3)
    assert judge(replies)[0] == 1


def test_the_shape_that_a_mask_is_judged_by_is_the_judges_own():
    """A shape of 2 coins would let any share of zeros pass."""
    question, judge = grade.ask("draw_mask", seed=2)
    assert all("shape" not in case["wanted"] for case in question["cases"])
    replies = checker.answer(question, problem_set_of("draw_mask").reference["draw_mask"])
    assert judge(replies)[0] == 1
    assert "shape" not in replies[0]["values"]


def passes(name, *functions, seed=5):
    question, judge = grade.ask(name, seed=seed)
    return judge(at_a_distance(question, functions))


def test_what_else_a_function_stores_in_a_dict_is_nobodys_business():
    right = problem_set_of("batchnorm_forward.running").reference

    def forward(x, gamma, beta, bn_param):
        out, cache = right["batchnorm_forward"](x, gamma, beta, bn_param)
        bn_param[0], bn_param["log"] = "a key that is no text", [bn_param] * 3
        return out, cache

    assert passes("batchnorm_forward.running", forward) == (1.0, "")

    class Grads(dict):
        pass

    def gradients(*args):
        loss, grads = problem_set_of("network_gradients").reference["network_gradients"](*args)
        return loss, Grads(grads) | {1: object()}

    assert passes("network_gradients", gradients) == (1.0, "")


def test_the_names_of_layers_may_come_from_an_array():
    right = problem_set_of("dropouts_last").reference["dropouts_last"]
    assert passes("dropouts_last", lambda stack: list(np.array(right(stack)))) == (1.0, "")


def test_what_a_function_did_not_store_is_named():
    def forward(x, gamma, beta, bn_param):
        return x, None

    share, message = passes("batchnorm_forward.running", forward)
    assert share == 0
    assert "bn_param['running_mean'] is missing: your function did not store it." in message


def long_ones(replies):
    """Replies with 20 MB of text, which took minutes to wrap."""
    text = "x" * (20 << 20)
    for change in (
        {"stopped": 0, "problem": text, "raised": "E"}, {"changed": [text]},
        {"warnings": [text]}, {"warnings": ["w"] * 10**6}, {"changed": ["x"] * 10**6},
    ):  # fmt: skip
        yield [{**reply, **change} for reply in replies]


def test_a_long_text_keeps_nobody_waiting():
    question, judge = grade.ask("batchnorm_forward.train", seed=4)
    right = problem_set_of("batchnorm_forward.train").reference["batchnorm_forward"]
    start = time.process_time()
    for replies in long_ones(checker.answer(question, right)):
        with suppress(ValueError):
            assert len(judge(replies)[1]) < 20_000
    question, judge = grade.ask("shifted_batchnorms", seed=4)
    replies = checker.answer(question, lambda stack: list(range(10**6)))
    share, message = judge(replies)
    assert share == 0
    assert len(message) < 20_000
    assert time.process_time() - start < 10


def test_an_error_that_says_a_lot_is_still_an_error():
    def forward(x, gamma, beta, bn_param):
        raise ValueError("no " * 10**5)

    share, message = passes("batchnorm_forward.train", forward)
    assert share == 0
    assert "raised ValueError: no no" in message


def forged(replies):
    """Replies that no honest process sends, each from whole and right ones."""
    yield None
    yield []
    yield {}
    yield replies[:-1]
    yield [*replies, replies[0]]
    for key, value in (
        ("stopped", 0), ("stopped", "0"), ("problem", 3), ("raised", "TimeoutError"),
        ("warnings", [3]), ("changed", "x"), ("values", []), ("values", {}), ("error", None),
    ):  # fmt: skip
        made = copy.deepcopy(replies)
        made[0][key] = value
        yield made
    made = copy.deepcopy(replies)
    del made[0]["changed"]
    yield made
    yield [{**replies[0], "stopped": 0, "problem": "", "raised": "TimeoutError"}]


def test_what_is_no_answer_gives_no_points():
    question, judge = grade.ask("batchnorm_forward.train", seed=4)
    right = problem_set_of("batchnorm_forward.train").reference["batchnorm_forward"]
    replies = checker.answer(question, right)
    assert judge(replies) == (1.0, "")
    refused = 0
    for number, reply in enumerate(forged(replies)):
        try:
            share, message = judge(reply)
        except ValueError:
            refused += 1
        else:
            assert share == 0, (number, message)
    assert refused >= 14


def test_every_graded_code_cell_of_the_course_is_trusted_and_can_be_read():
    release.refresh_sources(REPO)
    seen = set()
    for name in release.assignment_names(REPO):
        notebook = nbformat.read(REPO / "solutions" / name / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell):
                assert is_trusted(cell.source), cell.source
                _, calls = parsed(cell.source)
                assert [call.func.id for call in calls] == ["check", "grade"]
                seen.add(calls[0].args[0].value)
                assert [ast.dump(a) for a in calls[0].args] == [ast.dump(a) for a in calls[1].args]
    assert seen == set(NAMES)
