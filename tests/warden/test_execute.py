"""Trusted cells are judged outside the student's process; any other test cell works as ever."""

from __future__ import annotations

import math
import time

import nbformat
import pytest

from tests.warden.course import (
    RIGHT,
    SECRET,
    SmallCourse,
    answer_cell,
    cell_of,
    given,
    graded_cell,
    own,
    source_cells,
)


def test_right_answers_score_full_marks(course):
    graded = course.grade(RIGHT)
    assert graded.succeeded, graded.log
    assert graded.scores == {
        "test-double": 2,
        "test-shift": 2,
        "test-unshift": 2,
        "essay": None,
    }
    assert graded.waiting == {"essay"}
    assert "A note on your submission" not in graded.page


def test_wrong_answers_lose_their_own_points_only(course):
    graded = course.grade({**RIGHT, "double": "def double(x):\n    return 3 * x"})
    assert graded.scores["test-double"] == 0
    assert graded.scores["test-shift"] == graded.scores["test-unshift"] == 2


def test_nothing_written_scores_nothing_and_nothing_waits(course):
    graded = course.grade()
    assert graded.score == 0
    assert graded.waiting == set()
    assert "A note on your submission" not in graded.page


def test_a_hidden_test_is_not_in_the_feedback_but_its_message_is(course):
    graded = course.grade({**RIGHT, "double": "def double(x):\n    return abs(2 * x)"})
    assert graded.scores["test-double"] == 0
    assert SECRET in cell_of(graded.notebook, "test-double").source
    assert SECRET not in graded.page
    assert "was expected: {'returned'" in graded.text


@pytest.fixture(scope="module")
def contained(tmp_path_factory):
    return SmallCourse(tmp_path_factory.mktemp("contained"), source_cells("contained"))


def test_a_contained_test_scores_as_ever(contained):
    graded = contained.grade({**RIGHT, "shift": RIGHT["shift"].replace("x + 1", "x + 2")})
    assert graded.scores["test-double"] == graded.scores["test-unshift"] == 2
    assert graded.scores["test-shift"] == 0
    assert "AssertionError" in graded.text


def test_of_a_hidden_contained_test_the_page_shows_what_happened_only(contained):
    answer = (
        "def double(x):\n    print('printed by double')\n"
        "    if np.ndim(x) and x[0] < 0:\n        raise ValueError('too small')\n    return 2 * x"
    )
    graded = contained.grade({**RIGHT, "double": answer})
    assert graded.scores["test-double"] == 0
    assert SECRET not in graded.page
    assert "linspace" not in graded.page
    assert "In lines that are not shown" in graded.text
    assert "ValueError: too small" in graded.text
    assert "raise ValueError('too small')" in graded.text
    assert "a part of it is hidden" in graded.text
    assert "printed by double 6" not in graded.text


def test_the_students_own_line_is_shown(course):
    broken = "def double(x):\n    y = x\n    return y.nothing_here"
    graded = course.grade({**RIGHT, "double": broken})
    assert "return y.nothing_here" in graded.text
    assert "AttributeError" in graded.text


def test_a_warning_costs_nothing(course):
    warns = "import warnings\n\n\ndef double(x):\n    warnings.warn('careful')\n    return 2 * x"
    assert course.grade({**RIGHT, "double": warns}).scores["test-double"] == 2


def test_what_an_answer_prints_is_shown_and_gives_no_points(course):
    prints = "def double(x):\n    print('7.5 is printed')\n    return 3 * x"
    graded = course.grade({**RIGHT, "double": prints})
    assert graded.scores["test-double"] == 0
    assert "7.5 is printed" in graded.text


@pytest.mark.parametrize(
    "death", ["import os; os._exit(1)", "import ctypes; ctypes.string_at(0)", "raise SystemExit"]
)
def test_a_dead_kernel_costs_that_calls_points_only(course, death):
    graded = course.grade({**RIGHT, "double": f"def double(x):\n    {death}"})
    assert graded.scores["test-double"] == 0
    assert graded.scores["test-shift"] == graded.scores["test-unshift"] == 2


def test_a_cell_that_ends_the_process_costs_what_it_defines_only(course):
    graded = course.grade({**RIGHT, "double": "import os\nos._exit(0)"})
    assert graded.scores["test-double"] == 0
    assert graded.scores["test-shift"] == graded.scores["test-unshift"] == 2
    assert "ended the process of the notebook" in graded.text


@pytest.fixture(scope="module")
def impatient(course, tmp_path_factory):
    """A course that gives one cell the time that all of an honest submission takes here."""
    began = time.monotonic()
    course.grade(RIGHT)
    seconds = math.ceil(time.monotonic() - began)
    return SmallCourse(
        tmp_path_factory.mktemp("impatient"),
        settings=lambda c: c.Execute.update(timeout=seconds),
    )


def test_an_endless_loop_costs_its_own_points_only(impatient):
    loops = "def double(x):\n    while True:\n        pass"
    graded = impatient.grade({**RIGHT, "double": loops})
    assert graded.scores["test-double"] == 0
    assert graded.scores["test-shift"] == 2
    assert "did not come back from a call" in graded.text


def test_a_loop_that_catches_the_interrupt_is_killed(impatient):
    stubborn = (
        "def double(x):\n    while True:\n        try:\n            while True:\n"
        "                pass\n        except BaseException:\n            pass"
    )
    graded = impatient.grade({**RIGHT, "double": stubborn})
    assert graded.scores["test-double"] == 0
    assert graded.scores["test-shift"] == 2


def test_any_cache_goes_back_to_the_student(course):
    odd = (
        "class Cache:\n    def __init__(self, x):\n        self.x, self.f = x, lambda: x\n\n\n"
        "def shift(x):\n    return x + 1, [Cache(x), {'k': (Cache(x), open('/dev/null'))}]\n\n\n"
        "def unshift(out, cache):\n    assert type(cache[1]['k'][0]) is Cache\n"
        "    return cache[0].f()"
    )
    graded = course.grade({**RIGHT, "shift": odd})
    assert graded.scores["test-unshift"] == 2


def test_own_cells_run_in_their_place(course):
    def edit(notebook):
        at = notebook.cells.index(cell_of(notebook, "double"))
        notebook.cells.insert(at, own("def helper(x):\n    return x + x"))

    graded = course.grade({**RIGHT, "double": "def double(x):\n    return helper(x)"}, edit)
    assert graded.scores["test-double"] == 2
    assert "A note on your submission" not in graded.page


# ---------------------------------------------------------------- what test cells may do


ANSWERS = """
class Vector:
    "A vector."
    def __init__(self, x, y):
        self.x, self.y = x, y
    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)
    def __eq__(self, other):
        return (self.x, self.y) == (other.x, other.y)
    def __repr__(self):
        return f"Vector({self.x}, {self.y})"
    def __len__(self):
        return 2

class TooLarge(ValueError):
    pass

def square(x):
    return x * x
def sum_of_squares(n):
    return sum(square(i) for i in range(n))
def check_limit(x):
    if x > 5:
        raise TooLarge(f"{x} is too large")
def update(values, table, x):
    values.append(4); table["k"] = [1]; x *= 2
def derivative(f, x, h=1e-5):
    return (f(x + h) - f(x - h)) / (2 * h)
def count(n):
    for i in range(n):
        yield i
def forever():
    while True:
        yield 1
def draw():
    return np.random.rand(), random.random()
def draw_from(rng):
    return rng.random(3)
def compose(f, g):
    return lambda x: f(g(x))
def same(x):
    return x
def later():
    raise NotImplementedError
def log(x):
    return np.log(x)
answer = 42
"""

CHECKS = {
    "classes": (
        "v = Vector(1, 2) + Vector(3, y=4)\nassert v.x == 4 and v == Vector(4, 6)\n"
        "assert isinstance(v, Vector) and not isinstance(3, Vector)\n"
        "assert str(v) == 'Vector(4, 6)' and len(v) == 2 and Vector.__doc__ == 'A vector.'\n"
        "v.x = 9\nassert v.x == 9 and getattr(v, 'z', None) is None"
    ),
    "exceptions": (
        "try:\n    check_limit(6)\nexcept TooLarge as error:\n    assert '6 is too' in str(error)\n"
        "else:\n    raise AssertionError('nothing was raised')\n"
        "try:\n    check_limit(7)\nexcept ValueError:\n    pass"
        "\ntry:\n    later()\nexcept NotImplementedError:\n    pass"
    ),
    "helpers replaced": (
        "assert sum_of_squares(3) == 5\nkept = square\ndel square\n"
        "try:\n    sum_of_squares(1)\nexcept NameError:\n    pass\n"
        "else:\n    raise AssertionError('it does not use square')\nfinally:\n    square = kept\n"
        "assert sum_of_squares(3) == 5\nsquare = lambda x: 10\nassert sum_of_squares(3) == 30\n"
        "square = kept"
    ),
    "helpers are back": "assert sum_of_squares(3) == 5 and answer == 42 and LIMIT == 5",
    "arguments changed": (
        "values, table, x = [1], {'a': np.ones(2)}, np.arange(3.0)\ninner = table['a']\n"
        "update(values, table, x)\nassert values == [1, 4] and table['k'] == [1]\n"
        "assert x.tolist() == [0, 2, 4] and table['a'] is inner"
    ),
    "functions as arguments": (
        "assert abs(derivative(lambda t: t ** 3, 2.0) - 12) < 1e-6\n"
        "assert abs(derivative(np.sin, 0.0) - 1) < 1e-6\n"
        "assert abs(derivative(square, 3.0) - 6) < 1e-6\n"
        "assert compose(square, lambda t: t + 1)(2) == 9"
    ),
    "generators": (
        "assert list(count(4)) == [0, 1, 2, 3] and sum(count(5)) == 10 and 2 in count(3)\n"
        "assert [a for a, _ in zip(forever(), range(3))] == [1, 1, 1] and next(count(1)) == 0"
    ),
    "random state": (
        "np.random.seed(3); random.seed(4)\na = draw(), np.random.rand(), random.random()\n"
        "np.random.seed(3); random.seed(4)\n"
        "b = (np.random.rand(), random.random()), np.random.rand(), random.random()\n"
        "assert a == b\n"
        "rng = np.random.default_rng(1); a = draw_from(rng), rng.random()\n"
        "rng = np.random.default_rng(1); b = rng.random(3), rng.random()\n"
        "assert (a[0] == b[0]).all() and a[1] == b[1]"
    ),
    "types": (
        "for v in (None, True, 3, 2.5, 1j, 'ä', b'x', (1, [2, {3}]), {'k': (1,)}, 2**200,\n"
        "          np.float32(2), np.arange(6, dtype='i2').reshape(2, 3), range(3), slice(1, 2)):\n"
        "    w = same(v)\n    assert type(w) is type(v) and np.all(w == v)\n"
        "assert same(np.float32) is np.float32 and same(square) == square"
    ),
    "partial credit": "0.5",
    "a warning": (
        "import warnings\nwith warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n    log(np.array([-1.0]))\n"
        "assert seen[0].category is RuntimeWarning and 'invalid value' in str(seen[0].message)"
    ),
    "a helper of the tests": (
        "def same_list(a, b):\n    assert list(a) == b\nsame_list(count(2), [0, 1])"
    ),
    "used again": "same_list(count(3), [0, 1, 2])",
}


@pytest.fixture(scope="module")
def freely(tmp_path_factory):
    """A course with one cell of answers and a test cell for each check, graded."""
    cells = [
        given("imports", "import random\nimport numpy as np\n\nLIMIT = 5"),
        answer_cell("answers", ANSWERS),
        *(graded_cell(f"t{number}", check, 1) for number, check in enumerate(CHECKS.values())),
    ]
    return SmallCourse(tmp_path_factory.mktemp("freely"), cells).grade({"answers": ANSWERS})


@pytest.mark.parametrize("number", range(len(CHECKS)), ids=list(CHECKS))
def test_what_a_test_cell_may_do(freely, number):
    name = list(CHECKS)[number]
    cell = cell_of(freely.notebook, f"t{number}")
    shown = "\n".join("\n".join(o.traceback) for o in cell.outputs if o.output_type == "error")
    assert freely.scores[f"t{number}"] == (0.5 if name == "partial credit" else 1), shown


def test_a_trusted_cell_that_is_wrong_stops_grading_before_any_mark_is_touched(tmp_path):
    cells = source_cells()
    course = SmallCourse(tmp_path, cells)
    assert course.grade(RIGHT).score == 6
    source = tmp_path / "source" / "ps1" / "ps1.ipynb"
    source.write_text(
        source.read_text(encoding="utf-8").replace("check_shift(shift)", "shift(1) == 2"),
        encoding="utf-8",
    )
    course.submit({})
    log, succeeded = course.run("eve")
    assert not succeeded
    assert "grading refused: `shift(1) == 2` stands in a trusted cell" in log
    assert course.outcome("eve", succeeded=False).score == 6


def test_a_kernel_of_another_name_is_python_and_one_of_another_language_stops_grading(tmp_path):
    course = SmallCourse(tmp_path)
    source = tmp_path / "source" / "ps1" / "ps1.ipynb"
    notebook = nbformat.read(source, as_version=4)
    notebook.metadata.kernelspec = {
        "name": "conda-env-ml-py",
        "display_name": "ml",
        "language": "python",
    }
    nbformat.write(notebook, source)
    assert course.api.generate_assignment("ps1", force=True)["success"]
    assert course.grade(RIGHT).score == 6
    notebook.metadata.kernelspec = {"name": "ir", "display_name": "R", "language": "R"}
    nbformat.write(notebook, source)
    log, succeeded = course.run("eve")
    assert not succeeded
    assert "ps1.ipynb asks for the kernel 'ir' (r); this grader runs Python" in log
    assert course.outcome("eve", succeeded=False).score == 6
