"""The record of the full settings, `book/data/experiments.json`: what the pages speak from."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dlnorm._validate import Array
from dlnorm.experiments import _run
from dlnorm.experiments._core import Result

Entry = dict[str, Any]


class RecordError(ValueError):
    """The record is missing, damaged, or of something else; the message says what to do."""


def path() -> Path:
    """Return where the record is: in the course's folder, or where the package's data went."""
    inside = _run.PACKAGE.parent / "book" / "data" / "experiments.json"
    installed = Path(sys.prefix) / "share" / "dlnorm" / "experiments.json"
    return installed if installed.is_file() and not inside.is_file() else inside


def load(file: Path | None = None) -> dict[str, Entry]:
    """Return the entry of each recorded experiment, by name.

    Raises
    ------
    RecordError
        If there is no record, or a damaged one.
    """
    file = file or path()
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["results"]
    except FileNotFoundError:
        raise RecordError(f"{file} is missing; `make experiments` measures it") from None
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise RecordError(
            f"{file} is cut off or damaged ({error}); restore it with git, or delete it and run "
            f"`make experiments`, which uses all seeds that are in its cache"
        ) from None
    return dict(entries)


def write(entries: dict[str, Entry], file: Path | None = None) -> None:
    """Write the record, in the order of the course; whoever reads sees the old or the new one."""
    file = file or path()
    ordered = {name: entries[name] for name in _run.NAMES if name in entries}
    text = json.dumps({"results": ordered}, indent=1, ensure_ascii=False) + "\n"
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)


def add(name: str, entry: Entry) -> None:
    """Put one entry into the record as it is now: another process may have written others."""
    import fcntl  # not on Windows, where the record can be read all the same

    folder = os.open(path().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        write((load() if path().is_file() else {}) | {name: entry})
    finally:
        os.close(folder)


def recorded(name: str) -> Result[Any]:
    """Return what an experiment measured at its full settings.

    Parameters
    ----------
    name : str
        One of ``experiments.NAMES``.

    Returns
    -------
    Result

    Raises
    ------
    RecordError
        If the record is missing, damaged, without this experiment's numbers, or of other
        settings than its ``full()``.

    """
    _run.module_of(name)
    entries = load()
    if name not in entries or "values" not in entries[name]:
        raise RecordError(f"{path()} has no numbers of {name}; run `make experiments`")
    return result_of(name, entries[name])


def result_of(name: str, entry: Entry) -> Result[Any]:
    """Return the result that an entry holds; `RecordError` if it is of other settings."""
    full = _run.module_of(name).Settings.full()
    if entry["settings"] != repr(full):
        raise RecordError(
            f"the record of {name} is of other settings: {entry['settings']}, not {full!r}; "
            f"run `make experiments`"
        )
    try:
        values = {key: _decoded(value) for key, value in entry["values"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"the record of {name} is damaged ({error}); restore it") from None
    if any(len(value) != len(full.seeds) for value in values.values()):
        raise RecordError(f"the record of {name} does not have {len(full.seeds)} seeds; restore it")
    return Result(name, full, values)


def encoded(values: dict[str, Array]) -> dict[str, dict[str, Any]]:
    """Return arrays as JSON can hold them: a shape, and all numbers in one line of text."""
    return {
        key: {"shape": list(a.shape), "numbers": " ".join(f"{x:.6g}" for x in a.ravel())}
        for key, a in values.items()
    }


def rounded(result: Result[Any]) -> Result[Any]:
    """Return a result with the numbers that its record will hold."""
    values = {key: _decoded(value) for key, value in encoded(result.values).items()}
    return Result(result.name, result.settings, values)


def _decoded(value: dict[str, Any]) -> Array:
    return np.array([float(x) for x in value["numbers"].split()]).reshape(value["shape"])


def current(name: str, entry: Entry) -> bool:
    """Return whether an entry is of today's code and settings, and of these libraries."""
    return bool(
        entry["code"] == _run.code_digest(name)
        and entry["with"].endswith(_run.versions())
        and entry["settings"] == repr(_run.module_of(name).Settings.full())
    )


def versions() -> str:
    """Return with what an experiment is being measured."""
    return f"Python {platform.python_version()}, {_run.versions()}"
