"""Means, errors, when a difference is one, and how a verdict reads."""

from __future__ import annotations

import doctest
from types import ModuleType

import numpy as np
import pytest

from dlnorm.experiments import BaseSettings, Result, Verdict, _core, _run
from dlnorm.experiments._core import _T95, above, clear, count, graded, median, pm

VALUES = np.array([[1.0, 10.0], [2.0, 10.0], [6.0, 10.0]])


def test_a_result_gives_mean_error_and_median_over_seeds() -> None:
    result = Result("demo", BaseSettings((0, 1, 2)), {"x": VALUES})
    assert (result["x"] == VALUES).all()
    assert result.mean("x").tolist() == [3, 10]
    # sample deviation sqrt((4 + 1 + 9) / 2), over the root of three seeds
    assert np.allclose(result.stderr("x"), [np.sqrt(7 / 3), 0], rtol=1e-15)
    assert result.median("x").tolist() == [2, 10]


def test_a_median_is_infinite_unless_most_seeds_came_to_an_end() -> None:
    inf = np.inf
    assert median(np.array([inf, 3.0, 5.0])) == 5
    assert median(np.array([inf, inf, 5.0])) == inf
    assert median(np.array([1.0, 2.0, inf, inf])) == inf
    assert median(np.array([1.0, 2.0, 3.0, inf])) == 3


def test_the_quantiles_are_those_of_student() -> None:
    from scipy import stats  # takes a second

    for freedom, quantile in _T95.items():
        assert abs(quantile - stats.t.ppf(0.975, freedom)) < 6e-4
    assert sorted(_T95) == list(range(1, 20))


def test_a_difference_is_clear_as_the_t_test_says() -> None:
    from scipy import stats  # takes a second

    rng = np.random.default_rng(0)
    said = []
    for n in (2, 3, 4, 8, 12, 20):
        for shift in (0.0, 0.5, 1.0, 2.0, -2.0):
            values = shift + rng.standard_normal(n)
            p = stats.ttest_1samp(values, 0).pvalue
            assert clear(values) == (p < 0.05)
            assert above(values) == (p < 0.05 and values.mean() > 0)
            said.append(clear(values))
    assert True in said
    assert False in said


def test_without_spread_any_difference_is_clear_and_none_is_not() -> None:
    assert clear(np.array([1.0, 1.0]))
    assert not clear(np.array([0.0, 0.0]))


def test_findings_are_graded() -> None:
    assert graded(True) == graded(True, True) == "yes"
    assert graded(True, False) == "partly"
    assert graded(False) == graded(False, False) == "no"


def test_numbers_are_written_with_their_error() -> None:
    assert pm(VALUES[:, 0]) == "3.0 ± 1.5"
    assert pm(VALUES[:, 0], 2) == "3.00 ± 1.53"
    assert count(3.0, 10) == "3"
    assert count(np.inf, 10) == "more than 10"


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("yes", "Reproduced: "),
        ("partly", "Reproduced in part: "),
        ("no", "Not reproduced: "),
        ("null", "No difference found: "),
    ],
)
def test_a_verdict_reads_as_a_sentence(kind: str, start: str) -> None:
    assert str(Verdict(kind, "3 against 4.")) == start + "3 against 4."


@pytest.mark.parametrize("seeds", [(), (1,), (1, 1)])
def test_one_seed_has_no_standard_error(seeds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="seeds must be two or more different ones, got"):
        BaseSettings(seeds)


@pytest.mark.parametrize("module", [_core, _run])
def test_the_examples_give_what_they_show(module: ModuleType) -> None:
    tested = doctest.testmod(module)
    assert tested.attempted >= 2
    assert tested.failed == 0
