"""One small course a test module: its assignment is generated once."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbwarden.sandbox import Sandbox, SandboxError
from tests.warden.course import SmallCourse

#: These start no sandbox.
_WITHOUT = ("test_codec.py",)


def pytest_configure(config):
    config.addinivalue_line("markers", "without_sandbox: needs no bubblewrap")


def pytest_collection_modifyitems(items):
    """Skip what needs a sandbox where none can be made."""
    try:
        Sandbox(enabled=True).check()
    except SandboxError as error:
        skip = pytest.mark.skip(reason=str(error))
        for item in items:
            free = item.path.name in _WITHOUT or item.get_closest_marker("without_sandbox")
            if item.path.is_relative_to(Path(__file__).parent) and not free:
                item.add_marker(skip)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return SmallCourse(tmp_path_factory.mktemp("course"))
