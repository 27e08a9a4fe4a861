"""Files of arrays: whole or not there, never pickled, damage noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlnorm.nn import storage

ARRAYS = {"a/b": np.arange(6.0).reshape(2, 3), "t": np.array(3), "f": np.ones(2, np.float32)}
RECORD = {"big": 2**100, "text": "a step", "list": [1.5, None, True]}


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "state"  # no suffix is added to it
    storage.write(path, ARRAYS, RECORD)
    arrays, record = storage.read(path)
    assert record == RECORD
    assert arrays.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert arrays[name].dtype == value.dtype
        assert arrays[name].shape == value.shape
        assert (arrays[name] == value).all()


def test_a_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    storage.write(tmp_path / "state.npz", ARRAYS, RECORD)
    (tmp_path / "plain").write_text("", encoding="utf-8")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize(
    ("arrays", "record", "error"),
    [
        ({"a": np.array([object()])}, 1, TypeError),
        ({"record": np.ones(1)}, 1, ValueError),
        ({}, object(), TypeError),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(
    arrays: Any, record: Any, error: Any, tmp_path: Path
) -> None:
    path = tmp_path / "state.npz"
    storage.write(path, ARRAYS, RECORD)
    with pytest.raises(error):
        storage.write(path, arrays, record)
    assert storage.read(path)[1] == RECORD
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_is_interrupted_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.npz"
    storage.write(path, ARRAYS, RECORD)

    def interrupted(file: Any, **_: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.write(path, {}, None)
    assert storage.read(path)[1] == RECORD
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read(tmp_path / "none.npz")


def damaged(content: bytes) -> list[bytes]:
    middle = content.index(b"a/b.npy") + 200  # in the array's numbers
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    return [b"", b"text", content[: len(content) // 2], content[:-30], flipped]


@pytest.mark.parametrize("how", range(5))
def test_damage_is_noticed(how: int, tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    storage.write(path, ARRAYS, RECORD)
    path.write_bytes(damaged(path.read_bytes())[how])
    with pytest.raises(ValueError, match=r"state\.npz is damaged, or no file of dlnorm's"):
        storage.read(path)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    np.savez(path, record=np.array('{"a": 1}'), x=np.array([{"a": 1}]))
    with pytest.raises(ValueError, match="is damaged, or no file"):
        storage.read(path)
    np.savez(path, x=np.ones(2))
    with pytest.raises(ValueError, match="is damaged, or no file"):
        storage.read(path)
