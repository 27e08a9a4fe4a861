"""Right answers in many styles: every one must pass every check of its functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """Functions that belong together, such as a forward and a backward pass with one cache."""

    name: str
    functions: dict[str, Callable[..., Any]]
