"""The benchmark compares like with like, and what it wrote for the book is complete."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dlnorm import bench
from tests.support import REPO


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm", bench.NORMS)
def test_every_contender_computes_the_same(norm: str, dtype: type) -> None:
    (shape, *_), _ = bench.NORMS[norm]
    shape = shape if len(shape) == 2 else (3, 16, 4, 5)
    passes = bench.contenders(norm, shape, dtype)
    out, (dx, dgamma, *_) = passes.pop("dlnorm")()
    passes.pop("copy")
    assert "textbook" in passes
    # far more than rounding, far less than a formula that is another one
    atol = 1e-3 if dtype == np.float32 else 1e-11
    for name, run in passes.items():
        other_out, (other_dx, other_dgamma, *_) = run()
        for got, want in ((other_out, out), (other_dx, dx), (other_dgamma, dgamma)):
            assert got.dtype == dtype, name
            np.testing.assert_allclose(got, want, rtol=0, atol=atol * np.abs(want).max())


def test_a_measurement_is_written_read_and_shown(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(bench, "NORMS", {"batch norm": (((8, 4),), (0,))})
    monkeypatch.setattr(bench, "ROUND_SECONDS", 1e-4)
    path = tmp_path / "bench.json"
    assert bench.main(["--quick", "--out", str(path)]) == 0
    printed = capsys.readouterr().out
    rows, measured_on = bench.load(path)
    assert f"NumPy {np.__version__}" in measured_on
    assert [row.dtype for row in rows] == ["float32", "float64"]
    assert all(ratio > 0 for row in rows for ratio in row.ratio.values())
    assert bench.table(rows) in printed
    assert "| batch norm | 8 × 4 | float32 |" in bench.table(rows)
    assert "<svg" in bench.figure(rows).svg


def test_the_book_has_numbers_for_every_case() -> None:
    rows, _ = bench.load(REPO / "book" / "data" / "bench.json")
    wanted = {(n, s) for n, (shapes, _) in bench.NORMS.items() for s in shapes}
    assert {(row.norm, row.shape) for row in rows} == wanted
    assert json.dumps(sorted({row.dtype for row in rows})) == '["float32", "float64"]'
    assert all({"textbook", "PyTorch", "copy"} <= row.ratio.keys() for row in rows)
