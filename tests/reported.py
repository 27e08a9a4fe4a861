"""What tests have said with `record_property`, for the tables of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def rows(reports: Iterable[Any], table: str) -> list[dict[str, Any]]:
    """The rows of one table, from all tests that have added to it."""
    return [
        row
        for report in reports
        for name, added in getattr(report, "user_properties", ())
        if name == table
        for row in added
    ]
