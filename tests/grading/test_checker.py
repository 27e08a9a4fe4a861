"""The travelling checker: what it accepts, and what it says when something is wrong."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from dlnorm.grading import release
from dlnorm.grading.student import checker

SECTION = {"chapter": "A chapter", "title": "A section", "url": "https://example.org/x"}


def spec(expected, args=None, program="y = f(x)", compare=("y",), functions=("f",), hints=None):
    args = {"x": np.arange(6.0).reshape(2, 3)} if args is None else args
    return {
        "name": "f",
        "program": [program],
        "functions": list(functions),
        "compare": list(compare),
        "says": "y agrees",
        "section": SECTION,
        "hints": hints or {},
        "seed": None,
        "cases": [
            {
                "args": args,
                "expected": {"values": expected, "changed": [], "raised": None},
                "variants": {},
            }
        ],
    }


def message(function, **kwargs):
    found = checker.judge(spec(**kwargs), [function])
    assert not found["passed"]
    return found["message"]


DOUBLE = {"y": np.arange(6.0).reshape(2, 3) * 2}


def test_a_right_result_passes_with_one_line():
    found = checker.judge(spec(DOUBLE), [lambda x: x + x])
    assert found == {"passed": True, "message": "✓ f: y agrees (1 case)"}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: None, "y must be a NumPy array of numbers, got NoneType."),
        (lambda x: [[0, 2, 4], [6, 8, 10]], "y must be a NumPy array of numbers, got list."),
        (lambda x: 2 * x.T, "y must have shape (2, 3), got (3, 2)."),
        (lambda x: (2 * x).ravel(), "y must have shape (2, 3), got (6,)."),
        (lambda x: (2 * x).astype(np.float32), "y must have dtype float64, as x has; got float32."),
        (lambda x: x * np.nan, "6 of the 6 entries of y are NaN or infinite."),
        (lambda x: x * 0, "Every entry you return is 0."),
        (lambda x: -2 * x, "Every entry is -1 times what was expected."),
        (lambda x: 3 * x, "Every entry is 1.5 times what was expected."),
        (lambda x: 2 * x + 1, "Every entry is off by the same 1."),
        (lambda x: x**2, "4 of 6 entries differ, the most at [1, 2]"),
    ],
)
def test_the_message_says_what_came_and_what_was_expected(function, expected):
    assert expected in message(function, expected=DOUBLE)


def test_a_change_in_place_is_found_though_the_result_is_right():
    def function(x):
        x *= 2
        return x

    assert "The results are right, but x was changed in place." in message(
        function, expected=DOUBLE
    )


def test_a_crash_shows_the_students_own_line_and_no_traceback():
    def function(x):
        return x @ np.ones(7)

    text = message(function, expected=DOUBLE)
    assert "f(x) raised ValueError" in text
    assert "return x @ np.ones(7)" in text
    assert "Traceback" not in text
    assert "checker.py" not in text


def test_a_wrong_number_of_arguments_is_reported():
    assert "f(x) raised TypeError" in message(lambda: 1, expected=DOUBLE)


def test_a_wrong_number_of_results_is_reported():
    text = message(
        lambda x: x, expected={"out": DOUBLE["y"]}, program="out, cache = f(x)", compare=("out",)
    )
    assert "f must return out, cache, but returned one ndarray." in text
    text = message(
        lambda x: None, expected={"out": DOUBLE["y"]}, program="out, cache = f(x)", compare=("out",)
    )
    assert "but returned None. Is the return statement missing?" in " ".join(text.split())


def test_an_endless_loop_is_stopped_and_its_line_shown(monkeypatch):
    monkeypatch.setattr(checker, "TIME_LIMIT", 0.2)

    def function(x):
        while True:
            x = x + 1

    text = message(function, expected=DOUBLE)
    assert "ran for more than 0.2 seconds and was stopped" in text
    assert "Does a loop never end?" in text


def test_a_key_that_was_not_stored_is_reported():
    text = message(
        lambda x, param: x,
        expected={"param['kept']": np.ones(2)},
        args={"x": np.ones(2), "param": {}},
        program="y = f(x, param)",
        compare=("param['kept']",),
    )
    assert "param['kept'] is missing: your function did not store it." in text


def test_one_number_a_feature_may_have_shape_1_d_unless_it_was_handed_in():
    wide = {"expected": {"y": np.ones(3)}, "args": {"x": np.ones((2, 3))}}
    assert checker.judge(spec(**wide), [lambda x: np.ones((1, 3))])["passed"]

    def keep(x, param):
        param["kept"] = np.ones((1, 3))
        return x

    handed = {
        "expected": {"param['kept']": np.ones(3)},
        "args": {"x": np.ones(3), "param": {"kept": np.ones(3)}},
        "program": "y = f(x, param)",
        "compare": ("param['kept']",),
    }
    assert "must have shape (3,), got (1, 3)" in message(keep, **handed)


def test_a_subclass_that_compares_as_it_likes_is_no_array():
    class Agreeable(np.ndarray):
        def __eq__(self, other):
            return True

    assert "must be a NumPy array" in message(
        lambda x: np.zeros((2, 3)).view(Agreeable), expected=DOUBLE
    )


def test_a_warning_is_shown_and_costs_nothing():
    def function(x):
        _ = np.log(0 * x)
        return 2 * x

    found = checker.judge(spec(DOUBLE), [function])
    assert found["passed"]
    assert "RuntimeWarning: divide by zero" in found["message"]


def test_the_global_random_state_is_put_back():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    checker.judge(spec(DOUBLE), [lambda x: 2 * x + 0 * np.random.rand()])
    assert np.array_equal(before, np.random.get_state()[1])


def test_a_mistake_is_named_with_its_hint_and_section():
    hints = {"tripled": {"hint": "It looks as if x was taken three times.", "section": SECTION}}
    judged = spec(DOUBLE, hints=hints)
    judged["cases"][0]["variants"] = {
        "tripled": {"values": {"y": DOUBLE["y"] * 1.5}, "changed": [], "raised": None}
    }
    found = checker.judge(judged, [lambda x: 3 * x])
    assert found["misconception"] == "tripled"
    assert "Likely mistake (it gives exactly your results):" in found["message"]
    assert "It looks as if x was taken three times." in found["message"]
    assert "Reread: A chapter, “A section”" in found["message"]
    found = checker.judge(judged, [lambda x: 4 * x])
    assert found["misconception"] is None
    assert "None of the mistakes we know of" in found["message"]


def test_the_wrong_functions_handed_over_is_an_error_that_says_which():
    with pytest.raises(ValueError, match=r"needs the function\(s\) f"):
        checker.judge(spec(DOUBLE), [])


def test_a_missing_data_file_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must stay in the same folder as checker\.py"):
        checker.load(tmp_path / "checks.npz")


def test_stored_checks_come_back_as_they_were(tmp_path):
    judged = spec(DOUBLE)
    path = tmp_path / "checks.npz"
    path.write_bytes(release.pack([judged]))
    restored = checker.load(path)["f"]
    assert restored["program"] == judged["program"]
    np.testing.assert_array_equal(restored["cases"][0]["expected"]["values"]["y"], DOUBLE["y"])
    assert checker.judge(restored, [lambda x: 2 * x])["passed"]


def test_the_checker_needs_numpy_and_nothing_of_ours(tmp_path):
    """Alone in a folder, with `dlnorm` out of reach, as a student has it."""
    (tmp_path / "checker.py").write_bytes(release.CHECKER.read_bytes())
    (tmp_path / "checks.npz").write_bytes(release.pack([spec(DOUBLE)]))
    script = """
        import sys
        class NoDlnorm:
            def find_spec(self, name, *rest):
                if name.split(".")[0] in ("dlnorm", "nbwarden", "nbgrader", "IPython"):
                    raise ImportError(name)
        sys.meta_path.insert(0, NoDlnorm())
        from checker import check
        check("f", lambda x: 2 * x)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "✓ f: y agrees (1 case)\n", done.stderr


def test_describing_words_tell_the_known_kinds_of_mask_apart():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 2, (120, 110))
    p = 0.3
    fair = rng.random(x.shape) >= p
    column = np.broadcast_to(rng.random((1, 110)) >= p, x.shape)
    assert checker.describe_mask(x, x * fair / (1 - p), p) == {
        "fraction dropped": ["p", f"{1 - fair.mean():.3f} of them, where p = 0.3"],
        "kept entries": ["x / (1 - p)"],
        "coins along axis 0": ["independent"],
        "coins along axis 1": ["independent"],
        "dtype of out": ["float64"],
    }
    assert checker.describe_mask(x, x * ~fair, p)["fraction dropped"][0] == "1 - p"
    assert checker.describe_mask(x, x * fair, p)["kept entries"] == ["x itself"]
    assert checker.describe_mask(x, x * column, p)["coins along axis 0"] == ["one coin for all"]
    assert checker.describe_mask(x, 0 * x, p)["kept entries"] == ["there are none"]
    assert checker.describe_mask(x, x * rng.random(x.shape), p)["kept entries"][0] == (
        "not one multiple of x"
    )
