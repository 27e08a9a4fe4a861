"""The command line: what it prints, and what it says to a wrong word."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dlnorm.experiments import NAMES, _run
from dlnorm.experiments.__main__ import main
from tests.support import run


def test_list_names_every_experiment_with_its_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert all(line.endswith(".") for line in lines)


def test_help_shows_examples_and_explains_the_verdicts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for part in ("examples:", "--full", "not reproduced", "DLNORM_CACHE", *NAMES):
        assert part in text


def test_an_unknown_name_is_answered_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["smith_1999"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "no experiment smith_1999; there are: srivastava_2014, " in error


def test_the_command_prints_finding_and_verdict_and_writes_figure_and_cache(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-W", "error", "-m", "dlnorm.experiments", "invariances"]
    cache, figures = tmp_path / "cache", tmp_path / "figures"
    done = run(*command, "--cache", cache, "--figures", figures)
    assert done.stdout.startswith("Which norm does not notice what")
    assert "\ninvariances: Reproduced: 18 of 18 cells" in done.stdout
    assert done.stdout.endswith(" s.\n")
    assert done.stderr == ""
    assert (figures / "invariances.svg").read_text(encoding="utf-8").startswith("<svg")
    assert len(list(cache.iterdir())) == 1


def test_a_terminal_without_the_characters_gets_the_verdict_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    command = [sys.executable, "-m", "dlnorm.experiments", "luo_2017"]
    done = run(*command, "--cache", tmp_path)
    assert "\nluo_2017: Reproduced in part: " in done.stdout
    assert "8 ? cosine" in done.stdout  # for the sign of multiplication


def test_several_at_a_time_give_what_one_at_a_time_gives(tmp_path: Path) -> None:
    names = ("invariances", "ulyanov_2016")
    command = [sys.executable, "-W", "error", "-m", "dlnorm.experiments", *names, "--cache"]
    together = run(*command, tmp_path / "a", "--jobs", "2").stdout.splitlines()
    alone = run(*command, tmp_path / "b").stdout.splitlines()
    assert together[:-1] == alone[:-1]  # the last line says how long it took
    assert len(list((tmp_path / "a").iterdir())) == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [(["--jobs", "-1"], "--jobs must be 0 or more, got -1"),
     (["--jobs", "2", "--no-cache"], "--no-cache computes one at a time; leave out --jobs")],
)  # fmt: skip
def test_jobs_that_make_no_sense_are_refused(
    wrong: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(wrong)
    assert stop.value.code == 2
    assert says in capsys.readouterr().err


def test_full_and_no_cache_are_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DLNORM_CACHE", str(tmp_path))
    assert main(["invariances", "--full", "--no-cache"]) == 0
    assert list(tmp_path.iterdir()) == []
    seeds = []
    compute = _run._compute

    def spy(name: str, settings: object, *others: object) -> object:
        seeds.append(len(settings.seeds))
        return compute(name, settings, *others)

    monkeypatch.setattr(_run, "_compute", spy)
    main(["invariances"])
    main(["invariances", "--full"])
    assert seeds == [3, 10]
    assert len(list(tmp_path.iterdir())) == 2
    capsys.readouterr()
