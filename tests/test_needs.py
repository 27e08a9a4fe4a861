"""What a machine lacks is said in a line: tests that need it are skipped, and in CI they fail."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from book import browser
from tests import needs
from tests.support import REPO, run

pytestmark = pytest.mark.browser  # most start one, or try to

REFUSES = (
    "#!/bin/sh\ncase $1 in --help) echo --size;; *) echo bwrap: No permissions >&2; exit 1;; esac"
)
START = """
from playwright.sync_api import sync_playwright
from book import browser
with sync_playwright() as playwright:
    started, name = browser.start(playwright)
    started.close()
    print(name)
"""
STUB = "#!/bin/sh\necho 'requires the chromium snap to be installed' >&2; exit 1"


@pytest.fixture
def bare(tmp_path):
    """Run Python on a machine on whose PATH nothing is but what the test puts there."""

    def put(name, text):
        (tmp_path / name).write_text(text + "\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)

    def run(*arguments, **environment):
        environment = {
            "PATH": str(tmp_path),
            "HOME": str(tmp_path),  # where Playwright's browsers would be
            "PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9",  # nobody listens there
            "TMPDIR": str(tmp_path),
            **environment,
        }
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            capture_output=True, encoding="utf-8", check=False, cwd=REPO, env=environment,
        )  # fmt: skip

    run.put = put
    return run


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_what_cannot_be_had_is_said_and_stops_only_ci(bare, ci, status):
    bare.put("bwrap", REFUSES)
    bare.put("chromium-browser", STUB)
    done = bare("tests.needs", CI=ci)
    assert done.returncode == status, done.stdout + done.stderr
    assert "No browser: no Chromium or Chrome starts here" in done.stderr
    assert "chromium-browser: " in done.stderr, "a browser that does not start is named"
    assert "sudo apt-get install chromium" in done.stderr
    assert "No sandbox: " in done.stderr
    assert ("are skipped" in done.stderr) == (not ci)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("ci", "status", "word"), [("", 0, "1 skipped: "), ("true", 1, "CI=true")])
def test_tests_that_need_what_is_missing_are_counted_in_a_line(bare, ci, status, word):
    bare.put("bwrap", REFUSES)
    test = "tests/warden/test_refused.py::test_a_sandbox_that_works_is_named"
    done = bare("pytest", "-n", "0", "--sample", "0", test, CI=ci)
    assert done.returncode == status, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if "no sandbox: " in line)
    assert "`python -m nbwarden.bubblewrap` says what helps" in line
    assert word in done.stdout


def test_a_browser_that_does_not_start_is_passed_over(tmp_path, monkeypatch):
    found = list(browser.installed())
    if not found:
        needs.lacking(browser.HOW)
    stub = tmp_path / browser.NAMES[0]
    stub.write_text(STUB + "\n", encoding="utf-8")
    stub.chmod(0o755)
    works = tmp_path / browser.NAMES[1]
    works.symlink_to(found[0])
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    # in a process of its own: Playwright starts only once in each
    done = run(sys.executable, "-c", START)
    assert done.stdout == f"{works}\n"
