"""What several test folders share: things that are slow to make are made once a run."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from book.browser import NoBrowserError, start
from nbwarden.workers import cores
from tests import attack_table, machine, matrix, needs, parity_table
from tests.mutants import table as mutant_table
from tests.sampling import Sample, of_commit, thin
from tests.support import REPO, only_one

Once = Callable[[str, Callable[[Path], None]], Path]

REPORTS = {
    REPO / "_build" / "reports" / "misconceptions.html": matrix.write,
    REPO / "_build" / "reports" / "attacks.html": attack_table.write,
    REPO / "_build" / "reports" / "mutants.html": mutant_table.write,
    REPO / "_build" / "reports" / "parity.html": parity_table.write,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """How thoroughly things are tried: `--all` and `--seeds 50` take long."""
    parser.addoption("--all", action="store_true", help="try all cases of the long lists")
    parser.addoption(
        "--sample",
        metavar="SEED",
        help="choose the cases of the long lists by this seed, not by the commit",
    )
    parser.addoption(
        "--seeds",
        type=int,
        metavar="N",
        help="try every right answer and every known mistake with N seeds, not with a few",
    )


#: Why a test may be slow, and how it shows: `make test-quick` leaves these out.
SLOW = {
    "browser": "looks at the built site",
    "sandbox": "runs submissions in the sandbox",
    "slow": "computes for long in another way",
    "training": "trains networks",
}
LOOKS_AT_THE_SITE = {"site", "address", "browser"}
#: Folders whose tests grade in the sandbox, but for those marked `without_sandbox`.
GRADES = {"batch", "parity", "sample_class", "warden"}


def pytest_configure(config: pytest.Config) -> None:
    """Choose the sample, name the markers, have interrupts arrive, and leave habits behind."""
    machine.settle(config)
    Sample.everything = config.getoption("--all")
    Sample.seed = config.getoption("--sample") or of_commit()
    for marker, why in SLOW.items():
        config.addinivalue_line("markers", f"{marker}: {why}")
    config.addinivalue_line("markers", "without_sandbox: needs none, though its folder does")
    config.addinivalue_line("markers", "cases(n): how many of its cases are a sample")
    # a process that a shell starts in the background ignores interrupts
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)  # without xdist there is no such thing
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than processors: what tests of grading do is, half the time, to wait."""
    return cores() + 1


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave a sample of the long lists, and begin with what takes longest."""
    left = thin(items)
    config.hook.pytest_deselected(items=left)
    for item in items:
        if LOOKS_AT_THE_SITE.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("browser")
        if GRADES.intersection(item.path.parts) and not item.get_closest_marker("without_sandbox"):
            item.add_marker("sandbox")
    # whole files, as each is for one worker: those that wait, those that look at the site, and
    # what computes for long, so that nothing long is left for the end
    first = [
        {item.path for item in items if item.get_closest_marker(marker)}
        for marker in ("sandbox", "browser", "slow")
    ]
    items.sort(key=lambda item: [item.path not in paths for paths in first])


@pytest.hookimpl(tryfirst=True)  # before anything is made for the test
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a sandbox where none can be made; in CI it fails."""
    if item.get_closest_marker("sandbox") and (line := needs.refusal()):
        needs.lacking(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was tried, and write the tables of those tests that make one, if they have run."""
    tried = "all cases" if Sample.everything else f"a sample, --sample {Sample.seed}"
    terminalreporter.write_line(f"of the long lists: {tried}")
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    for path, write in REPORTS.items():
        line = write(reports, path)
        if line:
            terminalreporter.write_line(f"{line}: {path.relative_to(REPO)}")
    for line in needs.skipped(terminalreporter.getreports("skipped")):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def shared(
    tmp_path_factory: pytest.TempPathFactory,
) -> Once:
    """Make a folder once for all workers of the run: ``shared(name, make)`` gives its path."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if base.name.startswith("popen-") else base  # under pytest-xdist

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = base / name, base / f"{name}.done"
        with only_one(base / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start this machine's browser; `python -m tests.needs` has got one, if it could."""
    with sync_playwright() as playwright:
        none = ""
        try:
            browser, _ = start(playwright)
        except NoBrowserError as error:
            none = str(error)
        if none:  # not above, where each failure would show that error as well
            needs.lacking(none)
        yield browser
        browser.close()
