"""The record of the full settings, which the book prints: complete, and up to date."""

from __future__ import annotations

import json

import numpy as np
import pytest

from book import measure
from dlnorm import experiments
from dlnorm.experiments._run import module_of


def test_the_record_has_every_experiment_at_its_full_settings():
    results = measure.load()["results"]
    assert sorted(results) == sorted(experiments.NAMES), "run: make experiments"
    for name, result in results.items():
        assert result["settings"] == repr(module_of(name).Settings.full()), f"{name} is outdated"
        assert str(experiments.Verdict(result["reproduced"], "")) in result["said"]


def test_a_result_of_other_code_is_known_as_such(tmp_path, monkeypatch):
    text = measure.RECORD.read_text(encoding="utf-8")
    monkeypatch.setattr(measure, "RECORD", tmp_path / "record.json")
    record = json.loads(text)
    for result in record["results"].values():
        result["code"] = measure.code_digest("li_2018", "verdict")
    measure.RECORD.write_text(json.dumps(record), encoding="utf-8")
    current = {name for name, r in measure.load()["results"].items() if r["current"]}
    assert current == {"li_2018"}


def test_what_is_recorded_is_what_was_measured(tmp_path, monkeypatch):
    name = "ulyanov_2016"  # a second, even at its full settings
    found = measure.measured(name, tmp_path)
    result = experiments.run(name, quick=False, cache=tmp_path)
    assert found["said"] == str(experiments.verdict(result))
    assert len(list(tmp_path.iterdir())) == 1
    stored = np.load(next(tmp_path.iterdir()))
    assert set(result.values) <= set(stored.files)


@pytest.mark.parametrize("name", experiments.NAMES)
def test_full_settings_are_larger_than_quick_ones(name):
    module = module_of(name)
    quick, full = module.Settings.quick(), module.Settings.full()
    assert len(full.seeds) >= len(quick.seeds)
    assert full != quick
