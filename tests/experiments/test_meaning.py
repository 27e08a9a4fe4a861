"""What identifies code: changed by all that can run, and by nothing else."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from dlnorm import experiments
from dlnorm._meaning import Code, Reached
from dlnorm.experiments import _run

PACKAGE = {
    "__init__.py": "from p.shapes import area, LIMIT\n",
    "shapes.py": '''
"""Shapes."""
import math

LIMIT = 3
UNUSED = 4

def area(r):
    """The area."""
    # of a disc
    if r > LIMIT:
        raise ValueError(f"r must be at most {LIMIT}, got {r:.2f}")
    return _square(r) * math.pi

def _square(x):
    return x * x

def length(r):
    return 2 * math.pi * r
''',
    "told.py": """
from importlib import import_module
NAMES = ("one", "two")
def run(name):
    return import_module(f"p.parts.{name}").measure()
def about(name):
    return import_module(f"p.parts.{name}").__doc__
""",
    "parts/__init__.py": "from p.parts import one\n",
    "parts/one.py": "from .. import shapes\ndef measure():\n    return shapes.length(1)\n",
    "parts/two.py": "def measure():\n    from p import area\n    return area(2)\n",
    "loud.py": "import p.shapes\np.shapes.LIMIT = 5\n",
    "quiet.py": "import p.loud\n\ndef nothing():\n    pass\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in PACKAGE.items():
        path = tmp_path / "p" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def changes(root: Path) -> Callable[..., bool]:
    """Whether the digest of a source changes if one text takes the place of another."""

    def changes(source: str, file: str, old: str, new: str, **options: Any) -> bool:
        path = root / "p" / file
        text = path.read_text("utf-8")
        before = Code(root, ("p",)).digest(source=source, **options)
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        after = Code(root, ("p",)).digest(source=source, **options)
        path.write_text(text, encoding="utf-8")
        return before != after

    return changes


AREA = "from p import area\narea(2)"


@pytest.mark.parametrize(
    ("source", "file", "old", "new", "expected"),
    [
        (AREA, "shapes.py", "return _square", "return 2 * _square", True),
        (AREA, "shapes.py", "return x * x", "return x ** 2", True),
        (AREA, "shapes.py", "LIMIT = 3", "LIMIT = 4", True),
        (AREA, "shapes.py", "at most", "no more than", True),  # a page may show an error
        (AREA, "shapes.py", "# of a disc", "# of a circle", False),
        (AREA, "shapes.py", "r > LIMIT", "r  >  (LIMIT)", False),
        (AREA, "shapes.py", "The area.", "Its area.", False),
        (AREA, "shapes.py", "UNUSED = 4", "UNUSED = 5", False),
        (AREA, "shapes.py", "return 2 *", "return 3 *", False),
        ("import p\np.area(2)", "shapes.py", "return x * x", "return x ** 2", True),
        ("import p as q\nq.area(2)", "shapes.py", "return 2 *", "return 3 *", False),
        ("import p.shapes\np.shapes.length(2)", "shapes.py", "return 2 *", "return 3 *", True),
        ("import p\nprint(p.__file__)", "shapes.py", "return 2 *", "return 3 *", False),
        ("import p\ngetattr(p, name)", "shapes.py", "return x * x", "return x ** 2", True),
        ("from p import shapes\nvars(shapes)", "shapes.py", "UNUSED = 4", "UNUSED = 5", True),
        ("from p.shapes import *", "shapes.py", "UNUSED = 4", "UNUSED = 5", True),
        ("def f():\n    from p import area", "shapes.py", "x * x", "x ** 2", False),  # not used
        ("def f():\n    from p import area\n    area(2)", "shapes.py", "x * x", "x ** 2", True),
        ("from p import told\ntold.run('one')", "shapes.py", "return 2 *", "return 3 *", True),
        ("from p import told\ntold.run('one')", "parts/two.py", "area(2)", "area(3)", False),
        ("from p import told\ntold.run('two')", "parts/two.py", "area(2)", "area(3)", True),
        ("from p import told\ntold.run(x)", "parts/two.py", "area(2)", "area(3)", True),
        (
            "from p import told\ntold.run('one')\nfor n in told.NAMES: told.run(n)",
            *("parts/two.py", "area(2)", "area(3)", True),
        ),
        ("from p import parts\nparts.one.measure()", "shapes.py", "return 2 *", "3 *", True),
        ("from p import quiet\nquiet.nothing()", "loud.py", "= 5", "= 6", True),
        (AREA + "\nhelp(area)", "shapes.py", "The area.", "Its area.", True),
        (AREA + "\nhelp(area)", "shapes.py", "# of a disc", "# of a circle", False),
        (AREA + "\nprint(area.__doc__)", "shapes.py", "The area.", "Its area.", True),
        (AREA + "\nfrom p import told\ntold.about('one')", "shapes.py", "The", "Its", True),
    ],
)
def test_what_a_source_can_run_changes_it_and_nothing_else(
    changes: Callable[..., bool], source: str, file: str, old: str, new: str, expected: bool
) -> None:
    assert changes(source, file, old, new) is expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("at most", "no more than", False),
        ("{r:.2f}", "{_square(r):.2f}", True),
        ("ValueError", "TypeError", True),
        ("r > LIMIT", "r >= LIMIT", True),
    ],
)
def test_an_errors_words_can_be_left_out_but_not_its_class(
    changes: Callable[..., bool], old: str, new: str, expected: bool
) -> None:
    assert changes(AREA, "shapes.py", old, new, messages=False) is expected


def test_the_source_itself_counts_without_its_comments(root: Path) -> None:
    digest = Code(root, ("p",)).digest
    assert digest(source=AREA) == digest(source=f"# a comment\n{AREA}")
    assert digest(source=AREA) != digest(source=AREA.replace("2", "3"))


def test_a_start_that_is_not_there_is_named(root: Path) -> None:
    code = Code(root, ("p",))
    with pytest.raises(ModuleNotFoundError, match="no module"):
        code.digest("p.nothing")
    with pytest.raises(ModuleNotFoundError, match="in p"):
        code.digest("p.shapes:volume")
    with pytest.raises(SyntaxError):
        code.digest(source="no Python")


def test_no_function_of_ours_runs_that_was_not_reached() -> None:
    """Against the truth: what an experiment calls when it runs."""
    name = "invariances"
    module = f"dlnorm.experiments.{name}"
    starts = (f"{module}:Settings", f"{module}:measure")
    reached = Reached(Code(_run.PACKAGE.parent), *starts).definitions
    missing: set[tuple[str, str]] = set()
    experiment = _run.module_of(name)
    settings = experiment.Settings.quick()
    seen: set[object] = set()

    def look(frame: FrameType, event: str, argument: object) -> None:
        where = frame.f_globals.get("__name__", "")
        if event == "call" and where.startswith("dlnorm.") and frame.f_code not in seen:
            seen.add(frame.f_code)
            top = top_level(where, frame.f_code.co_firstlineno)
            if (where, top) not in reached:
                missing.add((where, top))

    sys.setprofile(look)
    try:
        experiment.measure(settings, settings.seeds[0])
    finally:
        sys.setprofile(None)
    assert seen
    assert missing == set()


@cache
def top_level(module: str, line: int) -> str:
    """The name that the statement at a line of a module binds."""
    tree = ast.parse(Path(sys.modules[module].__file__ or "").read_bytes())
    for node in tree.body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        if first <= line <= (node.end_lineno or 0):
            target = node.targets[0] if isinstance(node, ast.Assign) else node
            return getattr(target, "name", getattr(target, "id", ""))
    return ""


def test_every_experiment_is_found_by_its_parts() -> None:
    digests = {_run.code_digest(name) for name in experiments.NAMES}
    digests |= {_run.code_digest(name, "verdict") for name in experiments.NAMES}
    assert len(digests) == 2 * len(experiments.NAMES)
