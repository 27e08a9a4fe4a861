"""Arrays and a JSON record in one .npz file: written whole or not at all, read without pickle."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlnorm._validate import Array

_RECORD = "record"


def write(path: str | os.PathLike[str], arrays: Mapping[str, Array], record: Any) -> None:
    """Write a file that `read` reads; whoever reads meanwhile sees the old file or the new one.

    Parameters
    ----------
    path : str or path
        Its folder is made if it is missing.
    arrays : dict of str to ndarray
        Under any name but ``"record"``.
    record : dict, list, str, number, bool or None
        Whatever JSON can hold; integers of any size.

    Raises
    ------
    TypeError, ValueError
        If JSON cannot hold `record`, or an array's entries are Python objects.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write(f"{folder}/state.npz", {"x": np.ones(2)}, {"step": 3})
    ...     read(f"{folder}/state.npz")
    ({'x': array([1., 1.])}, {'step': 3})
    """
    path = Path(path)
    text = np.array(json.dumps(record))
    for name, value in arrays.items():
        if name == _RECORD:
            raise ValueError(f"arrays must have names other than {_RECORD!r}")
        if value.dtype.hasobject:
            raise TypeError(f"arrays[{name!r}] must hold plain numbers, got {value.dtype}")
    path.parent.mkdir(parents=True, exist_ok=True)
    # in the same folder, because only within one file system is a rename one step
    aside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with aside.open("xb") as file:
            np.savez(file, allow_pickle=False, **{_RECORD: text}, **arrays)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], Any]:
    """Return the arrays and the record of a file that `write` wrote.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    arrays : dict of str to ndarray
    record
        What JSON makes of it: tuples have become lists.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is not such a file, or damaged.

    Examples
    --------
    See `write`.
    """
    try:
        # opened here, because NumPy leaves a damaged file open
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as entries:
            arrays = {name: entries[name] for name in entries.files}  # reading checks each CRC
        record = json.loads(str(arrays.pop(_RECORD)))
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile, zlib, struct and NumPy each have their own
        raise ValueError(f"{path} is damaged, or no file of dlnorm's: {error}") from error
    return arrays, record
