"""Any number of honest submissions: the sample class's answers, each a little different."""

from __future__ import annotations

import random
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from tests.sample_class.cast import CAST
from tests.sample_class.make import REPO, refresh_sources, submission

#: Who can be varied: everybody who handed in a whole notebook whose cells come to an end.
MODELS = [s for s in CAST if s.name in ("ada", "bela", "carl", "dora", "emil", "gus")]


def varied(text: str, number: int) -> str:
    """A notebook with other remarks, another name for a thing, and one more cell."""
    chance = random.Random(number)
    notebook = nbformat.reads(text, as_version=4)
    word = chance.choice(["std", "sd", "spread", "deviation", "sigma"])
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = re.sub(r"(?<![\w\"'])std(?![\w\"'(=])", word, cell.source)
            cell.source += f"\n# my version {number}"
    own = f"rng = np.random.default_rng({number})\nprint(rng.normal(size=({2 + number % 7}, 3)))"
    notebook.cells.insert(len(notebook.cells) // 2, new_code_cell(own))
    return str(nbformat.writes(notebook))


def hand_in(submitted: Path, assignment: str, count: int, first: int = 0) -> list[str]:
    """Write `count` submissions below `submitted`; the students' names."""
    refresh_sources(REPO)
    texts = [submission(student, assignment) for student in MODELS]
    others = [
        p for p in (REPO / "assignments" / assignment).iterdir() if p.suffix in (".py", ".npz")
    ]
    names = []
    for number in range(first, first + count):
        name = f"h{number:04d}"
        folder = submitted / name / assignment
        folder.mkdir(parents=True)
        text = varied(texts[number % len(texts)], number)
        (folder / f"{assignment}.ipynb").write_text(text, encoding="utf-8")
        for path in others:
            (folder / path.name).write_bytes(path.read_bytes())
        names.append(name)
    return names
