"""The code's style, types and spelling: what `make lint` runs, side by side with other tests."""

from __future__ import annotations

import re

import pytest

from tests.support import REPO, run, tool

#: The commands below `lint:` in the Makefile, without the folder that they are in.
LINT = re.findall(
    r"^\t\$\(BIN\)/(.+)$",
    re.search(r"^lint:.*\n((?:\t.*\n)+)", (REPO / "Makefile").read_text("utf-8"), re.M)[1],
    re.M,
)


SLOW = {"mypy": pytest.mark.slow}


@pytest.mark.parametrize(
    "command", [pytest.param(line, marks=SLOW.get(line.split()[0], ())) for line in LINT]
)
def test_nothing_is_found_by(command: str):
    program, *arguments = command.split()
    run(tool(program), *arguments)


def test_all_of_the_commands_are_run():
    assert [command.split()[0] for command in LINT] == ["ruff", "ruff", "mypy", "codespell"]
