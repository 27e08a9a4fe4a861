"""`make experiments`: what is measured is kept, also when a run is killed half-way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from book import measure
from dlnorm import experiments
from dlnorm.experiments import _record, _run
from dlnorm.experiments._run import module_of
from tests.support import REPO

NAME = "invariances"  # a second, even at its full settings


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "record.json"
    monkeypatch.setattr(_record, "path", lambda: file)
    return file


def test_the_record_has_every_experiment_at_its_full_settings() -> None:
    entries = _record.load()
    assert list(entries) == list(experiments.NAMES), "run: make experiments"
    for name, entry in entries.items():
        assert entry["settings"] == repr(module_of(name).Settings.full()), f"{name} is outdated"
        assert str(experiments.Verdict(entry["reproduced"], "")) in entry["said"]


def test_what_is_recorded_is_what_was_measured(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    assert measure.main([NAME, "--jobs", "2", "--cache", str(cache)]) == 0
    assert f"{NAME}: Reproduced" in capsys.readouterr().out
    result = experiments.run(NAME, quick=False, cache=cache)
    entry = _record.load()[NAME]
    assert entry["said"] == str(experiments.verdict(result))
    assert entry["quick"] == experiments.verdict(experiments.run(NAME, cache=cache)).reproduced
    assert not measure.outdated(NAME, {NAME: entry})
    assert measure.outdated(NAME, {NAME: entry | {"code": "other"}})
    assert measure.outdated("gal_2016", {NAME: entry})
    again = _record.load()
    assert measure.main([NAME, "--cache", str(cache)]) == 0  # from the cache
    assert _record.load()[NAME] == again[NAME]
    assert list(cache.glob("*-seed*")) == []


def test_two_runs_at_a_time_lose_nothing_of_each_other(record: Path) -> None:
    """Each adds what it has measured to the record as it is by then."""
    names = experiments.NAMES[:6]
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from dlnorm.experiments import _record\n"
        "file = Path(sys.argv[1])\n"
        "_record.path = lambda: file\n"
        "write = _record.write\n"
        "_record.write = lambda entries: (time.sleep(0.1), write(entries))\n"
        "for name in sys.argv[2:]: _record.add(name, {'said': name})\n"
    )
    command = [sys.executable, "-c", script, str(record)]
    running = [subprocess.Popen([*command, *part], cwd=REPO) for part in (names[:3], names[3:])]
    assert [process.wait() for process in running] == [0, 0]
    assert list(_record.load()) == list(names)
    assert list(record.parent.iterdir()) == [record]


def test_the_record_can_be_read_where_files_cannot_be_locked() -> None:
    code = (
        "import sys; sys.modules['fcntl'] = None  # as on Windows\n"
        "from dlnorm import experiments\n"
        "print(len(experiments.recorded('li_2020')['gap']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, check=True, capture_output=True, encoding="utf-8"
    )
    assert done.stdout == "10\n"


def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(tmp_path)]
    first = subprocess.Popen(command, cwd=REPO)
    seeds = [tmp_path / f"measured-{seed}" for seed in (0, 1, 2)]
    while not seeds[1].exists() and first.poll() is None:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert seeds[1].exists()
    assert not (tmp_path / "done").exists()
    kept = len(list(tmp_path.glob("*-seed*.npz")))
    assert kept >= 1
    for file in seeds:
        file.unlink(missing_ok=True)
    (tmp_path / "fast").touch()
    subprocess.run(command, cwd=REPO, check=True)
    again = [seed for seed, file in enumerate(seeds) if file.exists()]
    assert again == list(range(kept, 3))  # none of those that were kept
    assert json.loads((tmp_path / "done").read_text(encoding="utf-8")) == [[0.0], [1.0], [2.0]]
    assert list(tmp_path.glob("*-seed*.npz")) == []


#: Three seeds, each of which says that it is being measured; all but the first take forever,
#: unless the file "fast" is there.
SLOW = """
import json, sys, time
from dataclasses import replace
from pathlib import Path
import numpy as np
from dlnorm.experiments import _run, run
from dlnorm.experiments import ulyanov_2016 as module
folder = Path(sys.argv[1])
def measure(settings, seed):
    (folder / f"measured-{seed}").touch()
    while seed and not (folder / "fast").exists():
        time.sleep(0.02)
    return {"x": np.array([float(seed)])}
module.measure = measure
settings = replace(module.Settings.quick(), seeds=(0, 1, 2))
result = run("ulyanov_2016", settings, cache=folder)
(folder / "done").write_text(json.dumps(result["x"].tolist()), encoding="utf-8")
"""


def test_each_experiment_is_written_when_it_is_complete(record: Path, tmp_path: Path) -> None:
    measure.main([NAME, "--jobs", "1", "--cache", str(tmp_path)])
    before = _record.load()

    def interrupt(*_: object) -> float:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "expected_seconds", interrupt)
        assert measure.main(["ulyanov_2016", "--jobs", "1", "--cache", str(tmp_path)]) == 130
    assert _record.load() == before


def test_a_damaged_record_is_not_written_over(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record.write_text('{"results": {"gal_2016": {"rep', encoding="utf-8")
    with pytest.raises(SystemExit):
        measure.main([NAME])
    assert f"{record} is cut off or damaged (" in capsys.readouterr().err
    assert record.read_text(encoding="utf-8").endswith('"rep')


@pytest.mark.parametrize(
    ("wrong", "says"),
    [(["smith_1999"], "no experiment smith_1999; there are: srivastava_2014, "),
     (["--jobs", "-1"], "--jobs must be 0 or more, got -1")],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(
    wrong: list[str], says: str, record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        measure.main(wrong)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("name", experiments.NAMES)
def test_full_settings_are_larger_than_quick_ones(name: str) -> None:
    module = module_of(name)
    quick, full = module.Settings.quick(), module.Settings.full()
    assert len(full.seeds) >= len(quick.seeds)
    assert full != quick


def test_a_seed_in_the_cache_that_is_damaged_is_measured_anew(tmp_path: Path) -> None:
    settings = module_of(NAME).Settings.quick()
    values, _ = _run.seed_of(NAME, settings, 0, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    again, _ = _run.seed_of(NAME, settings, 0, tmp_path)
    assert all((values[key] == again[key]).all() for key in values)
