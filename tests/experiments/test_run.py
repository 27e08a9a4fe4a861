"""The cache: used when nothing has changed, never when something has; damage is no trouble."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dlnorm import experiments
from dlnorm.experiments import _run
from dlnorm.nn import storage

NAME = "bjorck_2018"  # any; its place is taken by the experiment below


@dataclass(frozen=True)
class Settings(experiments.BaseSettings):
    factor: float = 2.0

    @classmethod
    def quick(cls) -> Settings:
        return cls((3, 4))

    @classmethod
    def full(cls) -> Settings:
        return cls((3, 4, 5))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Put an experiment in place that costs nothing; the seeds that it measured."""
    seeds: list[int] = []

    def measure(settings: Settings, seed: int) -> dict[str, Any]:
        seeds.append(seed)
        return {"x": settings.factor * np.array([seed, np.inf]), "n": np.array(seed)}

    module = SimpleNamespace(Settings=Settings, measure=measure)
    monkeypatch.setattr(_run, "module_of", lambda name: module)
    return seeds


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the cache look at a copy of the package, which a test may change."""
    copy = tmp_path / "copy" / "dlnorm"
    shutil.copytree(_run.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(_run, "PACKAGE", copy)
    return copy


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_result_has_one_row_a_seed(measured: list[int], tmp_path: Path) -> None:
    result = experiments.run(NAME, cache=False)
    assert result.name == NAME
    assert result.settings == Settings.quick()
    assert result["x"].tolist() == [[6, np.inf], [8, np.inf]]
    assert result["n"].tolist() == [3, 4]
    assert experiments.run(NAME, quick=False, cache=False)["n"].tolist() == [3, 4, 5]


def test_the_same_settings_are_measured_once(measured: list[int], tmp_path: Path) -> None:
    first = experiments.run(NAME, cache=tmp_path)
    second = experiments.run(NAME, Settings((3, 4)), cache=tmp_path)
    assert measured == [3, 4]
    assert first.values.keys() == second.values.keys()
    for key, value in first.values.items():
        assert value.dtype == second[key].dtype
        assert (value == second[key]).all()
    assert second.settings == first.settings
    assert len(files(tmp_path)) == 1


def test_other_settings_are_measured_and_both_are_kept(measured: list[int], tmp_path: Path) -> None:
    experiments.run(NAME, cache=tmp_path)
    other = experiments.run(NAME, replace(Settings.quick(), factor=3.0), cache=tmp_path)
    assert other["x"][0, 0] == 9
    experiments.run(NAME, quick=False, cache=tmp_path)
    assert measured == [3, 4, 3, 4, 3, 4, 5]
    experiments.run(NAME, cache=tmp_path)
    assert len(measured) == 7
    assert len(files(tmp_path)) == 3


def test_without_a_cache_nothing_is_kept(
    measured: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLNORM_CACHE", str(tmp_path))
    for _ in range(2):
        experiments.run(NAME, cache=False)
    assert measured == [3, 4, 3, 4]
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("changed", "old", "new"),
    [
        ("batchnorm.py", "def _running(", "def _running(*"),
        ("standardize.py", "return ", "return 2 * "),
        ("_validate.py", "return ", "return 2 * "),
        ("nn/trainer.py", "return ", "return 2 * "),
        ("nn/loss.py", "return ", "return 2 * "),
        ("experiments/_run.py", "np.stack", "np.array"),
        ("experiments/_networks.py", "    return ", "    1\n    return "),
        (f"experiments/{NAME}.py", "return ", "return 2 * "),
    ],
)
def test_changed_code_is_run_again_and_the_old_result_goes(
    changed: str, old: str, new: str, measured: list[int], tmp_path: Path, package: Path
) -> None:
    cache = tmp_path / "cache"
    experiments.run(NAME, cache=cache)
    (former,) = files(cache)
    edit(package / changed, old, new)
    experiments.run(NAME, cache=cache)
    assert measured == [3, 4, 3, 4]
    (latter,) = files(cache)
    assert latter != former
    experiments.run(NAME, cache=cache)
    assert len(measured) == 4


@pytest.mark.parametrize(
    ("unrelated", "old", "new"),
    [
        ("nn/trainer.py", "\n\n\n", "\n\n# another comment\n\n"),
        ("nn/trainer.py", '"""Return', '"""Give'),
        ("whitening.py", "return ", "return 2 * "),
        ("plotting.py", "return ", "return 2 * "),
        ("grading/__init__.py", "return ", "return 2 * "),
        ("experiments/li_2018.py", "return ", "return 2 * "),
        (f"experiments/{NAME}.py", "def figure(", "def figure(*"),
    ],
)
def test_what_an_experiment_does_not_do_may_change(
    unrelated: str, old: str, new: str, measured: list[int], tmp_path: Path, package: Path
) -> None:
    experiments.run(NAME, cache=tmp_path / "cache")
    edit(package / unrelated, old, new)
    experiments.run(NAME, cache=tmp_path / "cache")
    assert measured == [3, 4]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_another_numpy_is_a_change(
    measured: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments.run(NAME, cache=tmp_path)
    monkeypatch.setattr(np, "__version__", "0.0")
    experiments.run(NAME, cache=tmp_path)
    assert measured == [3, 4, 3, 4]


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_damaged_file_is_computed_anew(
    content: bytes | None, measured: list[int], tmp_path: Path
) -> None:
    experiments.run(NAME, cache=tmp_path)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    result = experiments.run(NAME, cache=tmp_path)
    assert result["n"].tolist() == [3, 4]
    assert measured == [3, 4, 3, 4]
    experiments.run(NAME, cache=tmp_path)
    assert len(measured) == 4
    assert files(tmp_path) == [path]


def test_a_file_under_the_right_name_with_another_key_is_not_believed(
    measured: list[int], tmp_path: Path
) -> None:
    experiments.run(NAME, cache=tmp_path)
    (path,) = files(tmp_path)
    values, record = storage.read(path)
    for key in ("name", "settings", "code"):
        storage.write(path, values, {**record, key: "other"})
        experiments.run(NAME, cache=tmp_path)
    assert measured == [3, 4] * 4


def test_an_experiment_that_is_stopped_keeps_the_seeds_it_has_measured(
    measured: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _run.module_of(NAME)
    whole = module.measure

    def stopped(settings: Settings, seed: int) -> Any:
        if seed == 4:
            raise KeyboardInterrupt
        return whole(settings, seed)

    monkeypatch.setattr(module, "measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        experiments.run(NAME, cache=tmp_path)
    assert len(files(tmp_path)) == 1
    monkeypatch.setattr(module, "measure", whole)
    result = experiments.run(NAME, cache=tmp_path)
    assert measured == [3, 4]  # 3 was not measured again
    assert result["x"].tolist() == [[6, np.inf], [8, np.inf]]
    assert len(files(tmp_path)) == 1  # the result; single seeds are gone


def test_an_experiment_that_fails_leaves_nothing_behind(
    measured: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: Settings, seed: int) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(_run.module_of(NAME), "measure", fail)
    with pytest.raises(KeyboardInterrupt):
        experiments.run(NAME, cache=tmp_path)
    assert files(tmp_path) == []


def test_the_folder_is_the_environments_or_the_courses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DLNORM_CACHE", raising=False)
    assert _run.cache_folder() == _run.PACKAGE.parent / "_build" / "experiments"
    monkeypatch.setattr(_run, "PACKAGE", tmp_path / "site-packages" / "dlnorm")
    assert _run.cache_folder() == Path.home() / ".cache" / "dlnorm"
    monkeypatch.setenv("DLNORM_CACHE", str(tmp_path))
    assert _run.cache_folder() == tmp_path


def test_the_environments_folder_is_used(
    measured: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLNORM_CACHE", str(tmp_path / "new"))
    for _ in range(2):
        experiments.run(NAME)
    assert measured == [3, 4]
    assert len(files(tmp_path / "new")) == 1


def test_the_bar_is_for_terminals_only(
    measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    experiments.run(NAME, cache=False)
    assert capsys.readouterr().err == ""


def test_an_unknown_experiment_is_named() -> None:
    with pytest.raises(ValueError, match=r"name must be one of srivastava_2014, .*, got 'smith'"):
        experiments.run("smith")


def test_another_experiments_settings_are_named() -> None:
    settings = _run.module_of("huang_2018").Settings.quick()
    with pytest.raises(TypeError, match=r"settings must be luo_2017\.Settings, got dlnorm\.exper"):
        experiments.run("luo_2017", settings)
