"""Run every experiment at its full settings: `python book/measure.py [--jobs N] [--cache FOLDER]`.

What came out goes to `book/data/experiments.json`, which is committed: a build of the book has no
hour for it. With every result stands the code it was measured with, so that the book can say when
that is no longer the code of today. Results are kept as they come: a run that was stopped goes on
where it was.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from dlnorm import experiments
from dlnorm.experiments.__main__ import fill_cache
from dlnorm.experiments._run import cache_folder, code_digest

RECORD = Path(__file__).parent / "data" / "experiments.json"


def main() -> int:
    """Parse the command line, measure, and write the record."""
    parser = argparse.ArgumentParser(
        description="Run every experiment at its full settings, and record what came out for the "
        "book. Takes an hour; a run that was stopped goes on where it was."
    )
    parser.add_argument("--jobs", type=int, default=0, help="how many at a time (0: one a core)")
    parser.add_argument(
        "--cache", type=Path, default=cache_folder(), help="where results are kept (%(default)s)"
    )
    arguments = parser.parse_args()
    fill_cache(experiments.NAMES, False, arguments.cache, arguments.jobs)
    record = {
        "measured": datetime.now(UTC).date().isoformat(),
        "with": f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"scikit-learn {sklearn.__version__}",
        "results": {name: measured(name, arguments.cache) for name in experiments.NAMES},
    }
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(record['results'])} results: {RECORD}")
    return 0


def measured(name: str, cache: Path) -> dict[str, Any]:
    """What an experiment gave at its full settings."""
    result = experiments.run(name, quick=False, cache=cache)
    said = experiments.verdict(result)
    return {
        "reproduced": said.reproduced,
        "said": str(said),
        "settings": repr(result.settings),
        "code": code_digest(name, "verdict"),
    }


def load() -> dict[str, Any]:
    """The record, and of each result whether it is from the code of today (`current`)."""
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    for name, result in record["results"].items():
        result["current"] = result["code"] == code_digest(name, "verdict")
    return record


if __name__ == "__main__":
    sys.exit(main())
