"""A program that is forked does what one that is started does."""

from __future__ import annotations

import sys

import pytest

from tests import programs
from tests.support import REPO, run, tool

pytestmark = pytest.mark.slow  # each new interpreter imports for seconds


def test_a_forked_program_ends_and_prints_as_a_new_one(tmp_path):
    """Arguments, working directory and environment arrive; status, output and errors come back."""
    for command, cwd, status in (
        ((tool("dlnorm"), "release"), tmp_path, 2),  # there is no course
        ((tool("nbgrader"), "generate_assignment", "--version"), REPO, 0),
    ):
        forked, new = (run(*command, cwd=cwd, ok=False, new=new) for new in (False, True))
        assert forked.returncode == new.returncode == status
        assert (forked.stdout, forked.stderr) == (new.stdout, new.stderr)
        assert forked.stdout + forked.stderr


def test_only_what_is_imported_is_forked():
    assert programs.module_of([str(tool("nbgrader")), "export"]) == ("nbgrader", ["export"])
    module = [sys.executable, "-m", "nbwarden", "--json"]
    assert programs.module_of(module) == ("nbwarden", ["--json"])
    for command in (
        [sys.executable, "-c", "pass"],
        [sys.executable, "-m", "pytest"],
        ["nbgrader", "export"],  # whatever that is on the PATH
    ):
        assert programs.module_of(command) is None
