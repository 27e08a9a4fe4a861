"""Usual test cells score with nbwarden as with plain nbgrader, and students see the same."""

from __future__ import annotations

import ast
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from nbwarden.feedback import NOT_SHOWN, HideTests
from tests.parity import course
from tests.parity.course import STUDENTS
from tests.parity.patterns import NOTEBOOKS, PATTERNS, Pattern, chosen

CHOSEN = chosen()
EACH_PATTERN = pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(
            pattern,
            id=pattern.name,
            marks=pytest.mark.skipif(
                pattern.is_missing, reason=f"{pattern.needs or 'nothing'} is not installed"
            ),
        )
        for pattern in CHOSEN
    ],
)
ALL = pytest.mark.cases(len(CHOSEN))
#: What only hidden tests print and warn begins with it.
HIDDEN = "hidden:"


@dataclass(frozen=True)
class Graded:
    """What became of both submissions: by student."""

    scores: dict[str, course.Scores]
    cells: dict[str, course.Cells]
    pages: dict[str, str]

    @classmethod
    def at(cls, root: Path, hide: course.Hide | None) -> Graded:
        """What lies in a course's folder; `hide` makes what students see of their notebooks."""
        return cls(
            scores={student: course.scores(root, student) for student in STUDENTS},
            cells={student: course.graded_cells(root, student, hide) for student in STUDENTS},
            pages={student: course.page(root, student) for student in STUDENTS},
        )


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course with both submissions, not graded."""
    root = tmp_path_factory.mktemp("parity") / "course"
    course.build(root)
    return root


@pytest.fixture(scope="module")
def plain(handed_in: Path) -> Graded:
    """Graded by nbgrader as it comes."""
    return _graded(handed_in, protected=False)


@pytest.fixture(scope="module")
def ours(handed_in: Path) -> Graded:
    """Graded by nbwarden."""
    return _graded(handed_in, protected=True)


def _graded(handed_in: Path, protected: bool) -> Graded:
    root = handed_in.with_name("ours" if protected else "plain")
    shutil.copytree(handed_in, root)
    course.grade(root, protected)
    return Graded.at(root, HideTests().preprocess if protected else None)


# -------- the table itself


@pytest.mark.without_sandbox
def test_there_are_many_patterns_and_no_two_of_a_name():
    names = [pattern.name for pattern in PATTERNS]
    assert len(set(names)) == len(names) >= 102


@pytest.mark.without_sandbox
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_no_pattern_binds_what_a_wrong_answer_lacks(notebook: str):
    topics = NOTEBOOKS[notebook]
    patterns = [p for p in PATTERNS if p.topic in topics and not p.is_markdown]
    code = {p.name: (p.answer, p.wrong_answer, *p.tests) for p in patterns}
    bound = {name: set().union(*map(_bound, sources)) for name, sources in code.items()}
    for pattern in patterns:
        tests = set().union(*map(_bound, pattern.tests))
        lacks = _bound(pattern.answer) - _bound(pattern.wrong_answer) - tests
        for other in bound.keys() - {pattern.name}:
            assert not lacks & bound[other], f"{other} binds what {pattern.name} lacks"


def _bound(source: str) -> set[str]:
    """The names that a cell binds at its top level, but for modules and what is read from them."""
    if source.startswith("%%"):
        return set()
    tree = ast.parse(TransformerManager().transform_cell(source))
    bound = {n.id for n in _top_level(tree) if isinstance(getattr(n, "ctx", None), ast.Store)}
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return bound | {node.name for node in tree.body if isinstance(node, defined)}


def _top_level(node: ast.AST) -> list[ast.Name]:
    own_scope = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    found = [node] if isinstance(node, ast.Name) else []
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*own_scope, *comprehensions)):
            found += _top_level(child)
    return found


@pytest.mark.without_sandbox
@ALL
@EACH_PATTERN
def test_plain_nbgrader_gives_what_the_pattern_says(pattern: Pattern, plain: Graded):
    for student, expected in (("right", pattern.right), ("wrong", pattern.wrong)):
        given = plain.scores[student]
        assert [given[grade_id] for grade_id in pattern.test_ids] == [
            (score, None, False) for score in expected
        ], _outputs_of(pattern, plain.cells[student])
        if pattern.manual is not None:
            assert given[pattern.name] == (None, None, True)


@pytest.mark.without_sandbox
def test_automatic_tests_are_written_out_when_released(handed_in: Path):
    path = handed_in / "release" / course.ASSIGNMENT / "points.ipynb"
    sources = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if "nbgrader" in cell.metadata
    }
    assert 'assert str(area(3)) == """6"""' in sources["autotest-1"]
    assert "sha1(" in sources["hashed_autotest-1"]
    assert not any("AUTOTEST" in source for source in sources.values())


# -------- parity


@ALL
@EACH_PATTERN
def test_every_score_is_plain_nbgraders(
    pattern: Pattern, plain: Graded, ours: Graded, record_property: Any
):
    ids = [pattern.name] * (pattern.manual is not None) + pattern.test_ids
    rows = [
        {
            "topic": pattern.topic,
            "pattern": pattern.name,
            "cell": grade_id,
            "points": pattern.manual if grade_id == pattern.name else pattern.points,
            **{s: (plain.scores[s][grade_id][0], ours.scores[s][grade_id][0]) for s in STUDENTS},
        }
        for grade_id in ids
    ]
    record_property("parity", rows)
    for student in STUDENTS:
        of_plain, of_ours = ({i: g.scores[student][i] for i in ids} for g in (plain, ours))
        assert of_ours == of_plain, _outputs_of(pattern, ours.cells[student])


def _outputs_of(pattern: Pattern, cells: course.Cells) -> str:
    ids = (pattern.name, *pattern.test_ids)
    return "\n".join(f"{i}: {_shown(cells[i], pattern.varies)}" for i in ids)


@ALL
@EACH_PATTERN
def test_students_see_what_plain_nbgrader_shows(pattern: Pattern, plain: Graded, ours: Graded):
    for student in STUDENTS:
        for grade_id in (pattern.name, *pattern.test_ids):
            cell = plain.cells[student][grade_id]
            expected = _shown(cell, pattern.varies)
            seen = _shown(ours.cells[student][grade_id], pattern.varies)
            if "BEGIN HIDDEN TESTS" in cell.source:
                is_magic = cell.source.startswith("%%")
                expected = _what_is_not_hidden(expected, is_magic)
                seen = [parts[: 2 if is_magic else 3] for parts in seen]
            assert seen == expected, grade_id


def test_the_page_says_of_hidden_tests_what_is_true(plain: Graded, ours: Graded):
    for student in STUDENTS:
        assert HIDDEN in _printed_on(plain.pages[student])
        assert HIDDEN not in _printed_on(ours.pages[student])
        for cell in ours.cells[student].values():
            pattern = cell.metadata.nbgrader.grade_id
            if "hidden" not in pattern:
                assert "not shown" not in str(_shown(cell)), pattern


# -------- outputs


def _shown(cell: NotebookNode, varies: bool = False) -> list[tuple[str, ...]]:
    """What a cell puts out, as far as it does not depend on the place and the run."""
    shown: list[tuple[str, ...]] = []
    for output in cell.get("outputs", ()):
        if output.output_type == "stream":
            if shown and shown[-1][0] == output.name:  # one text may arrive in several pieces
                shown[-1] = (output.name, shown[-1][1] + output.text)
            else:
                shown.append((output.name, output.text))
        elif output.output_type == "error":
            trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
            shown.append(("error", output.ename, output.evalue, trace))
        else:
            pictures = [kind for kind in output.data if kind.startswith("image/png")]
            text = output.data.get("text/html") or output.data.get("text/plain", "")
            shown.append((output.output_type, text, *pictures))
    if varies:
        return [(kind,) for kind, *_ in shown]
    return [tuple(map(_normal, parts)) for parts in shown]


def _normal(text: str) -> str:
    """A text without addresses, numbers of processes, folders of the library, and the width.

    A traceback begins with a line as wide as the terminal of whoever started the kernel.
    """
    text = re.sub(r"-{40,}", "---", text)
    text = re.sub(r" *Traceback \(most recent call last\)", " Traceback", text)
    text = re.sub(r"0x[0-9a-f]+", "0x…", text)
    text = re.sub(r"File \S*/(?=[^/\s]+:\d)", "File ", text)
    return re.sub(r"(?:/tmp)?/ipykernel_\d+/\d+\.py", "cell.py", text)


def _what_is_not_hidden(shown: list[tuple[str, ...]], is_magic: bool) -> list[tuple[str, ...]]:
    """What may be seen of a hidden test's outputs: a sentence stands for what it prints.

    Nothing is said of tracebacks here: lines that students know may stand in them.
    """
    kept = [parts[:3] for parts in shown if parts[0] in ("error", "execute_result")]
    if is_magic:  # whose error may hold the whole cell
        kept = [parts[:2] for parts in kept]
    was_printed = [parts for parts in shown if parts[0] not in ("error", "execute_result")]
    return [("stdout", NOT_SHOWN), *kept] if was_printed else kept


def _printed_on(page: str) -> str:
    """What stands on a feedback page below its cells."""
    areas = BeautifulSoup(page, "html.parser").select(".output_area, .jp-OutputArea-output")
    return "\n".join(area.get_text() for area in areas)
