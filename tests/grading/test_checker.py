"""The travelling checker: what it accepts, and what it says when something is wrong."""

from __future__ import annotations

import dataclasses
import html
import os
import re
import subprocess
import sys
import textwrap
from functools import cache

import nbclient
import nbformat
import numpy as np
import pytest

from dlnorm.grading import PROBLEM_SETS, exercise, release
from dlnorm.grading.student import checker
from tests.sampling import sample

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
        (lambda x: None, "f must return y, but returned None. Is the return statement missing?"),
        (lambda x: 2j * x, "y must be a NumPy array of numbers, got an array of dtype complex128."),
        (lambda x: [[0, 2, 4], [6, 8, 10]], "y must be a NumPy array of numbers, got list."),
        (lambda x: 2 * x.T, "y must have shape (2, 3), got (3, 2)."),
        (lambda x: (2 * x).ravel(), "y must have shape (2, 3), got (6,)."),
        (
            lambda x: (2 * x).astype(np.float32),
            "y must have dtype float64, as the inputs have; got float32.",
        ),
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


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: [1.0], "y must be a number, got list."),
        (lambda x: np.ones(1), "y must be a single number, got an array of shape (1,)."),
        (lambda x: 7.5, "y differs\n        expected   15\n        got        7.5\n"),
        (lambda x: np.nan, "y is NaN or infinite."),
    ],
)
def test_a_single_number_is_spoken_of_as_one(function, expected):
    assert expected in message(function, expected={"y": np.array(15.0)})


def test_a_dtype_that_no_input_has_is_not_said_to_be_that_of_the_inputs():
    args = {"x": np.arange(6).reshape(2, 3)}
    text = message(lambda x: 2 * x, expected=DOUBLE, args=args)
    assert "y must have dtype float64; got int64." in text


def test_an_argument_that_was_changed_explains_itself():
    def function(x, param, w):
        x += 1
        param["kept"] += 1
        w[:] = 0
        return DOUBLE["y"].copy()

    args = {"x": np.ones((2, 3)), "param": {"kept": np.ones(2)}, "w": np.ones(2)}
    text = message(function, expected=DOUBLE, args=args, program="y = f(x, param, w)")
    assert "The results are right, but x and w were changed in place." in text
    assert "write into the array itself" in " ".join(text.split())
    assert "None of the mistakes" not in text
    assert checker.listed(["x", "gamma", "beta"]) == "x, gamma and beta were"


def test_another_error_than_the_expected_one_is_reported_with_that():
    judged = spec({})
    judged["cases"][0]["expected"] = {"values": {}, "changed": [], "raised": "ValueError"}

    def function(x):
        raise KeyError("p")

    text = checker.judge(judged, [function])["message"]
    assert "f(x) raised KeyError: 'p'" in text
    assert "A ValueError was expected here." in text
    text = checker.judge(judged, [lambda x: x])["message"]
    assert "A ValueError was expected here, but nothing was raised." in text


def test_a_crash_shows_the_students_own_line_and_no_traceback():
    def function(x):
        return x @ np.ones(7)

    text = message(function, expected=DOUBLE)
    assert "f(x) raised ValueError" in text
    assert "return x @ np.ones(7)" in text
    assert "Traceback" not in text
    assert "in function, line " in text
    assert " of test_checker.py:" in text  # in a notebook: of its cell
    assert " checker.py" not in text


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
    place = "Reread “A section” in the chapter “A chapter"
    assert f"{place}”:\n    https://example.org/x" in found["message"]
    hints["tripled"]["section"] = {**SECTION, "url": ""}
    found = checker.judge(judged, [lambda x: 3 * x])
    assert found["message"].endswith(f"{place}.”")
    found = checker.judge(judged, [lambda x: 4 * x])
    assert found["misconception"] is None
    assert "None of the mistakes we know of" in found["message"]


def test_a_known_mistake_may_give_nan_and_is_named_by_where(tmp_path):
    hints = {"divided": {"hint": "It looks as if x was divided by x.", "section": SECTION}}
    judged = spec(DOUBLE, hints=hints)
    x = judged["cases"][0]["args"]["x"]
    with np.errstate(invalid="ignore"):
        judged["cases"][0]["variants"] = {
            "divided": {"values": {"y": x / x}, "changed": [], "raised": None}
        }
        assert checker.judge(judged, [lambda x: x / x])["misconception"] == "divided"
        assert checker.judge(judged, [lambda x: x / x.T.reshape(2, 3)])["misconception"] is None
    message = checker.judge(judged, [lambda x: x / x])["message"]
    assert "1 of the 6 entries of y is NaN or infinite." in message


def test_a_crash_is_a_known_mistake_only_if_it_says_the_same():
    hints = {"transposed": {"hint": "It looks as if x was transposed.", "section": SECTION}}
    judged = spec(DOUBLE, hints=hints)
    crash = checker.run(judged, {"f": lambda x: x @ x}, judged["cases"][0]["args"])
    judged["cases"][0]["variants"] = {"transposed": {**crash, "values": {}}}
    assert checker.judge(judged, [lambda x: x @ (x + 1)])["misconception"] == "transposed"
    assert checker.judge(judged, [lambda x: x @ np.ones(7)])["misconception"] is None


def two_cases(wrong, name="wrong"):
    """A check of two cases, x of shape (2, 3) and x of shape (3,), with one known mistake."""
    hints = {name: {"hint": "It looks as if something is wrong.", "section": SECTION}}
    judged = spec(DOUBLE, hints=hints)
    x = np.arange(1.0, 4)
    expected = {"values": {"y": 2 * x}, "changed": [], "raised": None}
    judged["cases"].append({"args": {"x": x}, "expected": expected, "variants": {}})
    for case in judged["cases"]:
        ran = checker.run(judged, {"f": wrong}, case["args"])
        if checker.difference(judged, case, ran):
            case["variants"][name] = ran
    return judged


def test_another_crash_in_the_same_cases_is_perhaps_the_same_mistake():
    judged = two_cases(lambda x: 2 * x.reshape(2, 3))
    found = checker.judge(judged, [lambda x: 2 * x[:, [0, 1, 2]]])
    assert found["misconception"] == "wrong"
    assert "Perhaps this is the mistake (it stops in the same cases):" in found["message"]
    assert "IndexError" in found["message"]
    for other in (
        lambda x: 2 * x if x.ndim == 1 else x[:, 7],  # stops in the other case
        lambda x: 2 * x[:, :7] + 1,  # stops there, but is wrong elsewhere, too
        lambda x: 2 * x if x.ndim == 2 else nothing_of_this_name,  # noqa: F821
    ):
        assert checker.judge(judged, [other])["misconception"] is None


def test_a_mistake_that_is_a_shape_is_named_for_that_shape_only():
    judged = two_cases(lambda x: 2 * x.squeeze())
    judged["cases"] = [
        {**case, "args": {"x": x}, "expected": {**case["expected"], "values": {"y": 2 * x}}}
        for case, x in zip(judged["cases"], (np.ones((1, 3)), np.ones(3)), strict=True)
    ]
    judged["cases"][0]["variants"]["wrong"] = checker.run(
        judged, {"f": lambda x: 2 * x.squeeze()}, judged["cases"][0]["args"]
    )
    squeezed = checker.judge(judged, [lambda x: 2 * x.ravel()])
    assert squeezed["misconception"] == "wrong"
    # (1, 3) is as good as (3,) elsewhere, but it is not the shape that is wrong here
    single = checker.judge(judged, [lambda x: (2 * x).astype(np.float32)])
    assert "must have dtype float64" in single["message"]
    assert single["misconception"] is None


def test_a_finite_result_is_not_that_of_a_mistake_that_gives_nan():
    judged = two_cases(lambda x: 2 * x / np.where(x == 0, 0, 1))
    assert checker.judge(judged, [lambda x: 2 * x / (x != 0)])["misconception"] == "wrong"
    assert checker.judge(judged, [lambda x: 2 * x + 5 * (x == 0)])["misconception"] is None
    # infinite is not NaN
    assert checker.judge(judged, [lambda x: 2 * x + 1 / (x != 0) - 1])["misconception"] is None


ZCA = PROBLEM_SETS["foundations"]


@cache
def whitening(check, seed):
    return ZCA.spec(check, seed)


@pytest.mark.parametrize("seed", [0, 1, release.STORED_SEED])
def test_a_mistake_that_divides_by_what_should_be_0_is_named_by_its_other_cases(seed):
    """There it gives noise, another one for everybody, and whatever comes out will do."""

    def by_singular_values(x, eps):
        centered = (x - x.mean(axis=0)).astype(np.float64)
        sides, sizes, axes = np.linalg.svd(centered, full_matrices=False)
        with np.errstate(all="ignore"):
            out = sides * sizes / (sizes / np.sqrt(len(x))) @ axes
        return out.astype(x.dtype), None

    judged = whitening("zca_whiten_forward", seed)
    stored = [case["variants"].get("zca_eps_omitted") for case in judged["cases"]]
    assert stored[0] is not None
    assert None in stored[1:]
    found = checker.judge(judged, [by_singular_values])
    assert found["misconception"] == "zca_eps_omitted", found["message"]
    assert checker.OPENING["all"] in found["message"]


def test_noise_alone_names_no_mistake():
    judged = two_cases(lambda x: 3 * x)
    judged["cases"][0]["variants"]["wrong"] = None
    assert checker.judge(judged, [lambda x: 3 * x])["misconception"] == "wrong"
    # in the case that is left it is right, or wrong in another way
    assert checker.judge(judged, [lambda x: (2 + (x.ndim == 2)) * x])["misconception"] is None
    assert checker.judge(judged, [lambda x: 4 * x])["misconception"] is None
    judged["cases"][1]["variants"]["wrong"] = None
    assert checker.judge(judged, [lambda x: 3 * x])["misconception"] is None


@pytest.mark.slow
@pytest.mark.cases(2)
@pytest.mark.parametrize("check", ["pca_whiten", "zca_whiten_forward", "zca_whiten_backward"])
def test_inputs_off_by_rounding_store_the_same(check, tmp_path, monkeypatch):
    """Another machine computes the cases with other last digits."""
    asked = ZCA.check(check)
    stored = [release.pack([ZCA.spec(check, 7)])]
    for seed in sample("nudges", range(3), 1):
        rng = np.random.Generator(np.random.PCG64(1000 + seed))

        def nudged(cases, asked=asked, rng=rng):
            return [exercise._nudged(args, rng) for args in asked.cases(cases)]

        other = dataclasses.replace(
            ZCA, checks=tuple(dataclasses.replace(c, cases=nudged) for c in [asked])
        )
        stored.append(release.pack([other.spec(check, 7)]))
    for number, content in enumerate(stored):
        (tmp_path / f"{number}.npz").write_bytes(content)
    for number in range(1, len(stored)):
        assert release._same_arrays(tmp_path / "0.npz", tmp_path / f"{number}.npz")


def test_a_mistake_is_compared_by_the_scale_of_what_is_right_too():
    """Where a mistake gives 0 and rounding, other rounding is the same; another number is not."""
    judged = two_cases(lambda x: 1e-17 * x)
    assert checker.judge(judged, [lambda x: -3e-16 * x])["misconception"] == "wrong"
    assert checker.judge(judged, [lambda x: 1e-3 * x])["misconception"] is None
    # and a mistake with large numbers does not swallow what is right, or nearly so
    judged = two_cases(lambda x: 1e9 * x)
    assert checker.judge(judged, [lambda x: 1e9 * x + 1])["misconception"] == "wrong"
    assert checker.judge(judged, [lambda x: 2.1 * x])["misconception"] is None


@pytest.mark.parametrize("signs", [(1, 1, 1, 1, 1), (-1, 1, -1, 1, -1), (-1, -1, 1, 1, 1)])
def test_a_whitening_that_is_not_rotated_back_is_named_whatever_its_signs(signs):
    """Signs of eigenvectors are free, and an SVD gives others than `eigh`."""

    def pca(x, eps):
        centered = (x - x.mean(axis=0)).astype(np.float64)
        eigenvalues, axes = np.linalg.eigh(centered.T @ centered / len(x))
        axes, eigenvalues = axes[:, ::-1] * signs[: len(axes)], eigenvalues[::-1]
        return (centered @ axes / np.sqrt(eigenvalues + eps)).astype(x.dtype), None

    found = checker.judge(whitening("zca_whiten_forward", 0), [pca])
    assert found["misconception"] == "not_rotated_back", found["message"]


@pytest.mark.parametrize(("name", "axis"), [("batchnorm", 0), ("layernorm-groupnorm", 1)])
def test_digits_that_cancel_are_named_in_whatever_order_they_do(name, axis):
    """E[x^2] - E[x]^2 in float32 gives noise, which depends on how the sums are taken."""

    def forward(x, gamma, beta, param):
        mean = np.cumsum(x, axis=axis).take([-1], axis) / np.float32(x.shape[axis])
        squares = np.cumsum(x * x, axis=axis).take([-1], axis) / np.float32(x.shape[axis])
        var = np.maximum(squares - (mean * mean).astype(x.dtype), 0)
        root = np.sqrt(var + np.asarray(param.get("eps", 1e-5), x.dtype))
        return (gamma * (x - mean) / root + beta).astype(x.dtype), None

    check = {0: "batchnorm_forward.train", 1: "layernorm_forward"}[axis]
    judged = PROBLEM_SETS[name].spec(check, 1)
    message = checker.judge(judged, [forward])["message"]
    assert "nearly equal numbers" in " ".join(message.split()), message


def test_a_wrong_shape_explains_itself():
    text = message(lambda x: 2 * x.T, expected=DOUBLE)
    assert "None of the mistakes" not in text


def test_the_same_words_are_called_less_than_the_same_numbers():
    dropout = PROBLEM_SETS["dropout"]
    judged = dropout.spec("dropout_forward.train", 0)
    found = checker.judge(judged, [lambda x, param: (x * (x > 0.2), None)])
    assert checker.OPENING["all"] not in found["message"]

    def unscaled(x, param):
        return x * (np.random.random(x.shape) >= param["p"]), None

    found = checker.judge(judged, [unscaled])
    assert found["misconception"] == "not_scaled"
    assert checker.OPENING["words"] in found["message"]
    assert "scaled so that the mean of out is x" in found["message"]
    assert "/ (1 - p)" not in found["message"], "the message gives the answer"


def test_the_wrong_functions_handed_over_is_an_error_that_says_which():
    with pytest.raises(ValueError, match=r"needs the function\(s\) f"):
        checker.judge(spec(DOUBLE), [])


def test_a_missing_data_file_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must stay in the same folder as checker\.py"):
        checker.load(tmp_path / "checks.npz")


@pytest.mark.parametrize("kept", [0, 30, -40])
def test_a_damaged_data_file_is_explained(tmp_path, kept):
    path = tmp_path / "checks.npz"
    path.write_bytes(release.pack([spec(DOUBLE)])[:kept])
    with pytest.raises(ValueError, match=r"checks\.npz is damaged .* Download the assignment's"):
        checker.load(path)


def test_any_damage_is_explained_or_does_no_harm(tmp_path):
    path, good = tmp_path / "checks.npz", release.pack([spec(DOUBLE)])
    path.write_bytes(good)
    whole = repr(checker.load(path))
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        try:
            found = repr(checker.load(path))
        except ValueError as error:
            found = str(error)
        if "Download the assignment's folder again" in found:
            assert "pickle" not in found, "that is no advice"
        else:
            assert found in (whole, "{}"), at  # an entry whose name is gone is not there


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
        encoding="utf-8",
        check=False,
    )
    assert done.stdout == "✓ f: y agrees (1 case)\n", done.stderr


def test_a_terminal_without_the_characters_still_gets_the_message(tmp_path):
    (tmp_path / "checker.py").write_bytes(release.CHECKER.read_bytes())
    (tmp_path / "checks.npz").write_bytes(release.pack([spec(DOUBLE)]))
    done = subprocess.run(
        [sys.executable, "-c", "from checker import check; check('f', lambda x: 2 * x)"],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        check=False,
    )
    assert done.stdout.split() == b"? f: y agrees (1 case)".split(), done.stderr


def in_a_notebook(tmp_path, *sources, **environment):
    """Run cells with a released checker in a real kernel; the outputs of each."""
    (tmp_path / "checker.py").write_bytes(release.CHECKER.read_bytes())
    (tmp_path / "checks.npz").write_bytes(release.pack([spec(DOUBLE)]))
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(
        notebook, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env={**os.environ, **environment})
    return [cell.outputs for cell in notebook.cells]


def test_a_notebook_shows_the_message_once_as_html_and_as_text(tmp_path):
    shown, error = in_a_notebook(
        tmp_path, "from checker import check\ncheck('f', lambda x: x**2 + x.min(axis=1)[:, None])"
    )[0]
    assert "✗ f: case 1 of 1" in shown["data"]["text/plain"]
    page = shown["data"]["text/html"]
    assert "<a href='https://example.org/x'>A section</a>" in page
    assert page.count("<tr>") == 4  # the argument; places, expected, got
    assert "class=worst>" in page
    assert error["traceback"] == ["✗ f: case 1 of 1 (see above)"]


def test_nbgrader_gets_the_whole_message_as_text(tmp_path):
    (error,) = in_a_notebook(
        tmp_path,
        "from checker import check\ncheck('f', lambda x: x**2)",
        NBGRADER_EXECUTION="validate",
    )[0]
    assert "What differs:" in "\n".join(error["traceback"])


@pytest.mark.parametrize(
    ("function", "needed"),
    [
        (lambda x: x**2, ["expected", "got", "[1, 2]", "25", "10", "y, shape (2, 3): 4 of 6"]),
        (lambda x: 3 * x, ["Every entry is 1.5 times what was expected."]),
        (lambda x: x.T, ["y must have shape (2, 3), got (3, 2)."]),
        (lambda x: x @ np.ones(7), ["raised ValueError", "lambda"]),
        (lambda x: None, ["f must return y, but returned None."]),
    ],
)
def test_the_html_says_what_the_text_says(function, needed):
    page = checker.as_html(checker.judge(spec(DOUBLE), [function])["report"])
    bare = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    plain = " ".join(html.unescape(bare).split())
    for words in [*needed, "A section", "What was run", "float64, shape (2, 3)"]:
        assert words in plain


def test_the_html_cannot_be_steered_by_what_a_student_returns():
    class Sly:
        pass

    Sly.__name__ = "<script>alert(1)</script>"
    page = checker.as_html(checker.judge(spec(DOUBLE), [lambda x: Sly()])["report"])
    assert "<script" not in page


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
