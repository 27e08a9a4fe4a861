"""One small course a test module: its assignment is generated once."""

from __future__ import annotations

import pytest

from tests.warden.course import SmallCourse


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return SmallCourse(tmp_path_factory.mktemp("course"))
