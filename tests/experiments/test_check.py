"""``--check``: it passes now, and fails for each thing that can be wrong, with one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dlnorm import experiments
from dlnorm.experiments import Result, Verdict, _record, _run
from dlnorm.experiments.__main__ import main
from dlnorm.experiments._check import check

NAME = "bjorck_2018"  # any; its place is taken by the experiment below

PAGE = """# A page

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-any
tags: [hide-input]
---
nothing_of_the_record = undefined
```

```{code-cell} ipython3
:tags: [remove-cell]
:other: x

made = experiments.recorded("bjorck_2018")
glue("factor", f"{made.mean('x'):.1f}", display=False)
assert made.mean("x") > 3  # said below
```
"""


@dataclass(frozen=True)
class Settings(experiments.BaseSettings):
    factor: float = 2.0

    @classmethod
    def quick(cls) -> Settings:
        return cls((3, 4))

    @classmethod
    def full(cls) -> Settings:
        return cls((3, 4, 5))


def verdict(result: Result[Settings]) -> Verdict:
    return Verdict("yes" if result.mean("x") > 7 else "no", f"{result.mean('x'):.2f}.")


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of one page with a record of one experiment."""
    module = SimpleNamespace(
        Settings=Settings,
        measure=lambda settings, seed: {"x": np.array(settings.factor * seed)},
        verdict=verdict,
    )
    real = _run.module_of
    monkeypatch.setattr(_run, "module_of", lambda name: module if name == NAME else real(name))
    monkeypatch.setattr(_run, "NAMES", (NAME,))
    monkeypatch.setattr(_record, "path", lambda: tmp_path / "record.json")
    result = experiments.run(NAME, quick=False, cache=False)
    said = verdict(result)
    entry = {
        "reproduced": said.reproduced,
        "said": str(said),
        "quick": "yes",
        "settings": repr(result.settings),
        "with": _record.versions(),
        "code": _run.code_digest(NAME),
        "values": _record.encoded(result.values),
    }
    _record.write({NAME: entry})
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    return tmp_path


def altered(book: Path, **changes: Any) -> None:
    entries = _record.load()
    entries[NAME] |= changes
    _record.write(entries)


def paged(book: Path, text: str) -> None:
    (book / "page.md").write_text(text, encoding="utf-8")


def test_the_courses_own_record_is_true_to_code_and_pages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[:-1]] == list(experiments.NAMES)
    assert out.endswith("\nNothing is wrong.\n")


def test_a_record_of_todays_code_is_up_to_date(book: Path) -> None:
    assert check(book) == (["bjorck_2018      up to date"], [])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda b: altered(b, code="0" * 64), "the record of bjorck_2018 is stale: "),
        (
            lambda b: altered(b, **{"with": "Python 3.9, numpy 1.0, scikit-learn 1.0"}),
            "it is of other code, or of Python 3.9, numpy 1.0, scikit-learn 1.0, and here is ",
        ),
        (
            lambda b: altered(b, settings=repr(replace(Settings.full(), factor=3.0))),
            "the record of bjorck_2018 is of other settings: Settings(seeds=(3, 4, 5), factor=3.0)",
        ),
        (lambda b: altered(b, said="Reproduced: 9."), "says 'Reproduced: 9.', its numbers say "),
        (lambda b: altered(b, quick="no"), "must say that they differ, under (quick-differs-bj"),
        (
            lambda b: altered(b, values={"x": {"shape": [3], "numbers": "6 8"}}),
            "the record of bjorck_2018 is damaged (cannot reshape array of size 2 into shape (3,))",
        ),
        (
            lambda b: altered(b, values={"x": {"shape": [2], "numbers": "6 8"}}),
            "the record of bjorck_2018 does not have 3 seeds",
        ),
        (lambda b: paged(b, "# None\n"), "no page speaks from the record of bj"),
        (
            lambda b: paged(b, PAGE.replace("> 3", "> 30")),
            "page.md:19: assert made.mean(\"x\") > 30  # said below is false for the record",
        ),
        (
            lambda b: paged(b, PAGE.replace("made.mean('x')", "other")),
            "page.md:18: glue(\"factor\", f\"{other:.1f}\", display=False) fails: NameError(",
        ),
        (
            lambda b: paged(b, PAGE + "\n(quick-differs-bjorck_2018)=\nThey do."),
            "its page must not say that they differ",
        ),
        (
            lambda b: paged(b, PAGE.replace("bjorck_2018", "gal_2016")),
            "no page speaks from the record of bjorck_2018",
        ),
        (lambda b: (b / "record.json").unlink(), "record.json is missing; `make experiments`"),
        (
            lambda b: (b / "record.json").write_bytes((b / "record.json").read_bytes()[:90]),
            "record.json is cut off or damaged (",
        ),
        (lambda b: _record.write({}), "bjorck_2018 has no record; run `make experiments`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_a_line(
    damage: Callable[[Path], Any], says: str, book: Path
) -> None:
    damage(book)
    _, faults = check(book)
    assert any(says in fault for fault in faults), faults
    assert all("\n" not in fault for fault in faults)


def test_a_page_may_say_that_the_quick_run_differs(book: Path) -> None:
    altered(book, quick="no")
    (book / "page.md").write_text(
        PAGE + "\n(quick-differs-bjorck_2018)=\nThey do.", encoding="utf-8"
    )
    assert check(book)[1] == []


def test_a_name_that_is_no_experiments_is_told(book: Path) -> None:
    text = (book / "record.json").read_text(encoding="utf-8")
    record = json.loads(text)
    record["results"]["smith_1999"] = {}
    (book / "record.json").write_text(json.dumps(record), encoding="utf-8")
    assert "the record has smith_1999, no experiment" in check(book)[1]


def test_a_recorded_result_is_the_one_that_was_measured(book: Path) -> None:
    measured = experiments.run(NAME, quick=False, cache=False)
    result = experiments.recorded(NAME)
    assert result.settings == measured.settings
    assert (result["x"] == measured["x"]).all()


def test_numbers_that_are_not_finite_survive_the_record() -> None:
    values = {"x": np.array([[1.5, np.inf], [np.nan, -2e-17]])}
    result = _record.rounded(Result("demo", experiments.BaseSettings((0, 1)), values))
    assert np.array_equal(result["x"], values["x"], equal_nan=True)


def test_an_experiment_that_is_not_recorded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {name: entry for name, entry in _record.load().items() if name != "wager_2013"}
    monkeypatch.setattr(_record, "load", lambda: without)
    with pytest.raises(ValueError, match="got 'smith'"):
        experiments.recorded("smith")
    with pytest.raises(experiments.RecordError, match="has no numbers of wager_2013; run `make"):
        experiments.recorded("wager_2013")
