"""What a student typed is theirs wherever it stands, also without nbgrader's metadata."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nbwarden.canonical import Known, SourceCell
from nbwarden.files import UnreadableError, Welcome
from nbwarden.folders import pack
from nbwarden.handed_in import Caps, Cell, read_cells
from nbwarden.names import bound_in, defined_in
from nbwarden.rebuild import rebuild
from nbwarden.renamed import HandedIn, find

pytestmark = pytest.mark.without_sandbox

STUB = "def double(x):\n    raise NotImplementedError"
WRITTEN = "def double(x):\n    return 2 * x"


def answer(grade_id, released, **more):
    kind = {"cell_type": "code", "locked": False, "grade": False, "solution": True, "task": False}
    return Known(grade_id, source=released, released=released, points=0, **{**kind, **more})


def locked(grade_id, source):
    return answer(grade_id, source, locked=True, grade=True, solution=False)


KNOWN = [
    locked("imports", "import numpy as np"),
    answer("double", STUB, names=frozenset({"double"})),
    locked("test-double", "assert double(2) == 4"),
    answer("pair", "# YOUR CODE HERE", names=frozenset({"shift", "unshift"})),
    locked("test-pair", "assert unshift(shift(1)) == 1"),
    answer("essay", "Your answer.", cell_type="markdown", grade=True),
    answer("proof", "Your proof.", cell_type="markdown", grade=True),
]
SOURCE = (
    SourceCell("", "markdown", "# Problem set"),
    *(SourceCell(entry.grade_id, entry.cell_type, entry.source) for entry in KNOWN[:5]),
    SourceCell("", "markdown", "## On paper"),
    *(SourceCell(entry.grade_id, entry.cell_type, entry.source) for entry in KNOWN[5:6]),
    SourceCell("", "markdown", "## A proof"),
    *(SourceCell(entry.grade_id, entry.cell_type, entry.source) for entry in KNOWN[6:]),
)
ANSWERS = {
    "double": WRITTEN,
    "pair": "def shift(x):\n    return x + 1\n\ndef unshift(x):\n    return x - 1",
    "essay": "Because of this.",
    "proof": "Therefore.",
}


def notebook():
    """All cells of the assignment, with answers, by what they are."""
    cells = {}
    for cell in SOURCE:
        source = ANSWERS.get(cell.grade_id, cell.source)
        key = cell.grade_id or cell.source
        cells[key] = Cell(cell.cell_type, source, cell.grade_id or None, bool(cell.grade_id))
    return cells


def lost(cell):
    return replace(cell, grade_id=None, marked=False)


def rebuilt(cells):
    return rebuild(HandedIn("ps1.ipynb", list(cells)), KNOWN, SOURCE)


def sources(made):
    """The source of each of the assignment's cells, by grade_id."""
    return {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in made.cells
        if "nbgrader" in cell.metadata
    }


def everything(made):
    return [cell.source for cell in made.cells]


def test_a_notebook_in_order_is_left_in_peace():
    made = rebuilt(notebook().values())
    assert everything(made) == [cell.source for cell in notebook().values()]
    assert made.notes == []
    assert made.remark == ""


def test_all_metadata_lost_and_nothing_else():
    made = rebuilt(map(lost, notebook().values()))
    assert everything(made) == [cell.source for cell in notebook().values()]
    assert not any("missing: it is there again" in note for note in made.notes)
    assert "3 cells of the assignment had lost nbgrader's metadata" in made.notes[0]
    assert "`double` was missing. Your own cell that defines `double`" in " ".join(made.notes)
    assert "defines `shift` and `unshift` was graded" in " ".join(made.notes)
    assert "`essay` was missing. What you wrote in its place" in " ".join(made.notes)
    assert "answered in a cell of the student's own: double, pair, essay, proof" in made.remark
    assert "3 cells without nbgrader's metadata" in made.remark


def test_only_the_tests_kept_their_metadata():
    cells = notebook()
    for name in ("double", "pair", "essay"):
        cells[name] = lost(cells[name])
    made = rebuilt(cells.values())
    assert sources(made) == sources(rebuilt(notebook().values()))
    assert len(made.cells) == len(cells)


@pytest.mark.parametrize("place", ["top", "end"])
def test_an_answer_typed_again_elsewhere(place):
    cells = notebook()
    typed = lost(cells.pop("double"))
    rest = list(cells.values())
    made = rebuilt([typed, *rest] if place == "top" else [*rest, typed])
    assert sources(made)["double"] == WRITTEN
    assert everything(made).count(WRITTEN) == 1
    assert everything(made).index(WRITTEN) < everything(made).index("assert double(2) == 4")
    assert everything(made)[0] == "# Problem set"


def test_an_answer_that_moves_takes_along_what_it_needs():
    cells = notebook()
    del cells["double"]
    typed = [
        Cell("code", "import math as m"),
        Cell("code", "FACTOR = m.sqrt(4)"),
        Cell("code", "other = 3"),
        Cell("code", "def double(x):\n    return FACTOR * x"),
        Cell("code", "FACTOR = double(other)"),
    ]
    made = everything(rebuilt([*cells.values(), *typed]))
    before = made[: made.index("assert double(2) == 4")]
    assert before[-3:] == [typed[0].source, typed[1].source, typed[3].source]
    assert made[-2:] == [typed[2].source, typed[4].source]


def test_an_answer_in_two_cells_at_the_end():
    cells = notebook()
    del cells["pair"]
    typed = [
        Cell("code", "def shift(x):\n    return x + 1"),
        Cell("code", "def unshift(x):\n    return x - 1"),
    ]
    for order in (typed, typed[::-1]):
        made = everything(rebuilt([*cells.values(), *order]))
        test = made.index("assert unshift(shift(1)) == 1")
        assert {made[test - 1], made[test - 2]} == {cell.source for cell in typed}


@pytest.mark.parametrize("side", ["above", "below"])
def test_a_stub_left_blank_beside_the_answer(side):
    cells = {**notebook()}
    cells["double"] = replace(cells["double"], source=STUB + "  \n")
    order = list(cells.values())
    at = order.index(cells["double"])
    order.insert(at if side == "above" else at + 1, Cell("code", WRITTEN))
    made = rebuilt(order)
    assert sources(made)["double"] == WRITTEN
    assert STUB not in " ".join(everything(made))
    assert "`double` was left as it was handed out. Your own cell" in made.notes[0]


def test_the_last_of_several_drafts_counts_and_the_others_stay():
    cells = notebook()
    cells["double"] = Cell("code", "def double(x):\n    return x")
    order = list(cells.values())
    order.insert(order.index(cells["double"]) + 1, Cell("code", WRITTEN))
    made = rebuilt(order)
    assert sources(made)["double"] == WRITTEN
    assert everything(made).index("def double(x):\n    return x") < everything(made).index(WRITTEN)


def test_a_cell_that_was_written_in_stands_whatever_else_binds_its_name():
    cells = notebook()
    wrong = Cell("code", "def double(x):\n    return 0")
    assert sources(rebuilt([wrong, *cells.values(), wrong]))["double"] == WRITTEN


def test_a_blank_copy_does_not_undo_the_answer():
    cells = notebook()
    blank = replace(cells["double"], source=STUB)
    made = rebuilt([*cells.values(), blank])
    assert STUB not in everything(made)


def test_the_stub_is_put_back_where_nobody_wrote_the_answer():
    cells = notebook()
    del cells["double"], cells["essay"]
    made = rebuilt(cells.values())
    assert sources(made)["double"] == STUB
    assert sources(made)["essay"] == "Your answer."
    assert "`double` was missing, and no other cell defines `double`" in made.notes[0]
    assert made.remark == "missing: double, essay"


def test_a_test_that_was_deleted_is_remarked():
    cells = notebook()
    del cells["test-double"]
    made = rebuilt(cells.values())
    assert sources(made)["test-double"] == "assert double(2) == 4"
    assert made.remark == "missing: test-double"


def test_a_written_answer_in_a_fresh_cell_waits_for_a_person():
    cells = notebook()
    cells["essay"] = Cell("markdown", "In a fresh cell.")
    made = rebuilt(cells.values())
    assert sources(made)["essay"] == "In a fresh cell."
    assert everything(made).count("In a fresh cell.") == 1
    assert "A person will read it." in made.notes[0]


def test_a_written_answer_below_the_cell_that_stayed_blank():
    cells = notebook()
    cells["essay"] = replace(cells["essay"], source="Your answer.")
    order = list(cells.values())
    at = order.index(cells["essay"])
    order[at + 1 : at + 1] = [Cell("markdown", "One."), Cell("raw", "Two.")]
    made = rebuilt(order)
    assert sources(made)["essay"] == "One.\n\nTwo."
    assert "What you wrote below it was taken as the answer." in made.notes[0]


def test_a_text_above_the_cell_that_stayed_blank_is_no_answer():
    cells = notebook()
    cells["essay"] = replace(cells["essay"], source="Your answer.")
    order = list(cells.values())
    order.insert(order.index(cells["essay"]), Cell("markdown", "To do!"))
    made = rebuilt(order)
    assert sources(made)["essay"] == "Your answer."
    assert everything(made) == [cell.source for cell in order]


def test_written_answers_one_after_the_other_get_a_cell_each():
    headings = ("## On paper", "## A proof")
    source = tuple(cell for cell in SOURCE if cell.source not in headings)
    cells = [lost(cell) for cell in notebook().values() if cell.source not in headings]
    made = rebuild(HandedIn("ps1.ipynb", cells), KNOWN, source)
    assert sources(made)["essay"] == "Because of this."
    assert sources(made)["proof"] == "Therefore."


def test_a_written_answer_that_goes_on_in_a_second_cell_keeps_it():
    cells = notebook()
    cells["proof"] = replace(cells["proof"], source="Your proof.")
    order = list(cells.values())
    order.insert(order.index(cells["essay"]) + 1, Cell("markdown", "And so on."))
    made = rebuilt(order)
    assert sources(made)["proof"] == "Your proof."
    assert everything(made).index("And so on.") == everything(made).index("Because of this.") + 1


def test_a_written_answer_somewhere_else_is_looked_for_by_a_person():
    cells = notebook()
    del cells["essay"]
    made = rebuilt([Cell("markdown", "My essay."), *cells.values()])
    assert "look for the answer there" in sources(made)["essay"]
    assert "My essay." in everything(made)
    assert "A person will look for the answer" in made.notes[0]
    assert made.remark == "missing, a person has to look for the answer: essay"


def test_text_of_the_instructor_is_nobodys_answer():
    cells = notebook()
    del cells["essay"]
    made = rebuilt(cells.values())
    assert sources(made)["essay"] == "Your answer."


def test_names_are_seen_through_magics_and_mistakes():
    assert bound_in("%%time\nasync def f(x:\n    y = 2") == {"f"}
    assert bound_in("a, b = 1, 2\nc: int = 3\nd == 4\nprint(e == 5)\nf(g=6)") == {"a", "b", "c"}
    assert bound_in("from m import f as g, h\nimport os.path, numpy as np") == {
        "g",
        "h",
        "os",
        "np",
    }
    assert bound_in("from m import (f,\n    g)") == {"f", "g"}
    assert bound_in("# def f(): pass\nif x: pass\n    def g(): pass") == set()
    assert defined_in("import os\nx = 1\n\nclass A:\n    y = 2") == {"A"}
    assert defined_in("x = 1") == {"x"}


@pytest.mark.parametrize("line", ["a" + " " * 10**6, "a:" + "b" * 10**6, "import " + "a," * 10**5])
def test_no_line_takes_long_to_read(line):
    bound_in(line + "\n" + line)  # a pattern that goes back would take minutes


def write(folder, name, cells):
    made = [
        {
            "cell_type": cell.cell_type,
            "source": cell.source,
            "metadata": {"nbgrader": {"grade_id": cell.grade_id}} if cell.grade_id else {},
        }
        for cell in cells
    ]
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": made, "nbformat": 4}), encoding="utf-8")


def test_lines_end_in_one_way_whoever_saved_them(tmp_path):
    write(tmp_path, "ps1.ipynb", [Cell("code", "a = 1\r\nb = 2\rc = 3\n")])
    (cell,) = read_cells(tmp_path / "ps1.ipynb", Caps())
    assert cell.source == "a = 1\nb = 2\nc = 3\n"


def test_names_and_sizes_decide_before_anything_is_read(tmp_path):
    welcome = Welcome(("ps1.ipynb",), frozenset({"given.csv"}), ("*.py",), 2000, 1000, 2500, 200)
    sizes = {"ps1.ipynb": 900, "a.py": 1000, "b.py": 1001, "c.py": 700, "d.py": 600, "z.py": 1}
    for name, size in {**sizes, "given.csv": 5, **{f"{n}.bin": 2**40 for n in range(80)}}.items():
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
    (tmp_path / "link.py").symlink_to("a.py")
    files = welcome.sort(tmp_path)
    assert files.taken == ["ps1.ipynb", "a.py", "d.py"]
    assert files.large == ["b.py", "c.py", "z.py"]
    assert len(files.strange) == 81
    packed = {entry.name: entry for entry in pack(tmp_path, files.taken)}
    assert sum(len(entry.content) for entry in packed.values()) == 2500 + len("a.py")
    assert packed["7.bin"].size == 2**40


def found(folder, expected=("ps1",)):
    return find(folder, "ps1", set(expected), KNOWN, SOURCE, Caps())


BLANK = [replace(c, source=s.source) for c, s in zip(notebook().values(), SOURCE, strict=True)]
RENAMED = ["ps1 (1).ipynb", "PS1.ipynb", "ps1-Copy1.ipynb", "ada.ipynb", "inner/ps1.ipynb"]


@pytest.mark.parametrize("name", RENAMED)
def test_the_only_notebook_of_the_assignment_is_taken_by_any_name(tmp_path, name):
    write(tmp_path, name, notebook().values())
    write(tmp_path, "shopping.ipynb", [Cell("markdown", "milk")])
    handed_in = found(tmp_path)
    assert (handed_in.name, handed_in.instead) == (name, "ps1.ipynb is missing")
    assert sources(rebuild(handed_in, KNOWN, SOURCE))["double"] == WRITTEN


def test_work_in_a_copy_of_a_notebook_left_blank_is_taken(tmp_path):
    write(tmp_path, "ps1.ipynb", BLANK)
    write(tmp_path, "ps1-Copy1.ipynb", notebook().values())
    write(tmp_path, "ps1-Copy2.ipynb", BLANK)
    made = rebuild(found(tmp_path), KNOWN, SOURCE)
    assert sources(made)["double"] == WRITTEN
    assert "ps1.ipynb is as it was handed out: `ps1-Copy1.ipynb` was graded" in made.notes[0]
    assert made.remark == "taken from ps1-Copy1.ipynb"


def test_a_notebook_with_work_in_it_counts_whatever_lies_beside_it(tmp_path):
    write(tmp_path, "ps1.ipynb", notebook().values())
    write(tmp_path, "ps1-Copy1.ipynb", notebook().values())
    assert (found(tmp_path).name, found(tmp_path).instead) == ("ps1.ipynb", "")


def test_a_blank_notebook_alone_is_a_submission(tmp_path):
    write(tmp_path, "ps1.ipynb", BLANK)
    assert (found(tmp_path).name, found(tmp_path).instead) == ("ps1.ipynb", "")


def test_several_copies_are_named(tmp_path):
    write(tmp_path, "ps1 (1).ipynb", notebook().values())
    write(tmp_path, "ps1 (2).ipynb", notebook().values())
    with pytest.raises(UnreadableError, match=r"ps1 \(1\).ipynb, ps1 \(2\).ipynb all hold cells"):
        found(tmp_path)


def test_of_several_the_one_with_the_name_is_taken(tmp_path):
    write(tmp_path, "ps2 (1).ipynb", notebook().values())
    write(tmp_path, "Ps1 - Copy (2).ipynb", notebook().values())
    assert found(tmp_path, ["ps1", "ps2"]).name == "Ps1 - Copy (2).ipynb"


def test_what_lies_there_is_named_where_nothing_is_a_notebook_of_the_assignment(tmp_path):
    with pytest.raises(UnreadableError, match=r"ps1\.ipynb is missing; the folder is empty"):
        found(tmp_path)
    write(tmp_path, "shopping.ipynb", [Cell("markdown", "milk")])
    (tmp_path / "\x1b[2Jps1.pdf").touch()
    with pytest.raises(UnreadableError, match=r"in: \\x1b\[2Jps1\.pdf, shopping\.ipynb$"):
        found(tmp_path)


def test_a_link_to_a_notebook_is_not_taken(tmp_path):
    write(tmp_path, "ada/ps1.ipynb", notebook().values())
    (tmp_path / "eve").mkdir()
    (tmp_path / "eve" / "ps1-Copy1.ipynb").symlink_to(tmp_path / "ada" / "ps1.ipynb")
    (tmp_path / "eve" / "inner").symlink_to(tmp_path / "ada")
    with pytest.raises(UnreadableError, match="is missing"):
        found(tmp_path / "eve")


@pytest.mark.parametrize(
    "odd",
    [{}, [], 3, None, True, "\ud800", 10**400, 1e400, {"a": [{}]}],
    ids=lambda odd: type(odd).__name__,
)
@pytest.mark.parametrize("key", ["grade_id", "points", "grade", "locked", "checksum", "solution"])
def test_metadata_of_any_kind_is_no_reason_to_stop(key, odd, tmp_path):
    meta = {"grade_id": "double", "grade": True, "locked": False, "solution": True, "points": 1}
    cell = {"cell_type": "code", "source": "x", "metadata": {"nbgrader": {**meta, key: odd}}}
    path = tmp_path / "ps1.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "cells": [cell]}), encoding="utf-8")
    (read,) = read_cells(path, Caps())
    assert read.source == "x"
