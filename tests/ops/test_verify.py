"""`verify` passes and fails where it says, and refuses a check that could not fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlnorm import verify

ONE = np.array([1.0, 2.0, 4.0])


def test_a_check_that_passes_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("some-label", ONE, ONE + 1e-13) is None
    line = "✓ some-label: both sides agree, largest difference 1e-13 (allowed 4e-12)\n"
    assert capsys.readouterr().out == line


def test_a_check_that_fails_says_by_how_much_and_where(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = np.array([[1.0, 2.0], [4.0, 8.5]])
    with pytest.raises(AssertionError) as error:
        verify("some-label", np.array([[1.0, 2.0], [4.0, 8.0]]), other)
    message = "some-label: the sides differ by 0.5 (allowed 8.5e-12) at (1, 1): left 8, right 8.5"
    assert str(error.value) == message
    assert capsys.readouterr().out == ""
    with pytest.raises(AssertionError, match=r"differ by 1 \(allowed 2e-12\): left 1, right 2$"):
        verify("scalar", 1.0, 2.0)


def test_what_the_library_computes_is_a_third_side(capsys: pytest.CaptureFixture[str]) -> None:
    verify("some-label", ONE, ONE + 1e-13, ONE + 2e-13)
    line = "✓ some-label: three sides agree, largest difference 2e-13 (allowed 4e-12)\n"
    assert capsys.readouterr().out == line
    verify("some-label", ONE, ONE + 1e-13, ONE + 2e-13, ONE - 3e-13)
    line = "✓ some-label: 4 sides agree, largest difference 3e-13 (allowed 4e-12)\n"
    assert capsys.readouterr().out == line


def test_a_third_side_that_differs_is_named() -> None:
    with pytest.raises(AssertionError, match=r"differ by 1 .*: left 2, library 3$"):
        verify("some-label", 2.0, 2.0 + 1e-15, 3.0)
    with pytest.raises(AssertionError, match=r"differ by 1 .*: left 2, library 2 3$"):
        verify("some-label", 2.0, 2.0 + 1e-15, 2.0 - 1e-15, 3.0)


@pytest.mark.parametrize(
    ("third", "words"),
    [
        (ONE, "right and library are one object"),
        (ONE[:2], r"left has shape \(3,\), library has shape \(2,\)"),
        ([1, 2, np.nan], "the library side has NaN"),
    ],
)
def test_a_third_side_that_means_nothing_is_refused(third: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        verify("some-label", ONE + 1e-15, ONE, third)


@pytest.mark.parametrize("scale", [None, 10.0])
@pytest.mark.parametrize("tolerance", [0.5, 1e-3, 1e-12])
def test_the_tolerance_is_the_border(tolerance: float, scale: float | None) -> None:
    # 4 is the largest entry of either side, and stays so
    right = np.array([0.0, -4.0])
    allowed = tolerance * (4 if scale is None else scale)
    verify("inside", np.array([0.99 * allowed, -4.0]), right, tolerance=tolerance, scale=scale)
    for outside in (1.01 * allowed, -1.01 * allowed):
        left = np.array([outside, -4.0])
        with pytest.raises(AssertionError):
            verify("outside", left, right, tolerance=tolerance, scale=scale)


def test_the_border_itself_is_allowed() -> None:
    verify("border", 4.0, 3.0, tolerance=0.25)
    verify("border", 4.0, 3.0, tolerance=1, scale=1)


def test_the_default_tolerance_and_scale() -> None:
    verify("default", 100.0, 100.0 + 0.9e-10)
    verify("default", -100.0 - 0.9e-10, -100.0)
    with pytest.raises(AssertionError):
        verify("default", 100.0, 100.0 + 1.1e-10)


def test_tolerance_zero_means_equal() -> None:
    verify("equal", [1, 2], [1, 2], tolerance=0)
    with pytest.raises(AssertionError):
        verify("equal", 1.0, np.nextafter(1.0, 2), tolerance=0)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([1, 2], (1.0, 2.0)),
        (3, 3),  # Python keeps one object for a small int: two ways of counting may meet in it
        (True, np.True_),
        (1 + 2j, np.complex128(1 + 2j)),
        (np.float32(0.5), 0.5),
        (np.zeros(2), [0.0, 0.0]),
        (np.uint8(5), 5.0),
    ],
)
def test_numbers_of_any_kind_can_be_compared(left: Any, right: Any) -> None:
    verify("kinds", left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (np.uint8([3]), np.uint8([5])),
        (np.array([True]), np.array([False])),
        (1 + 2j, 1 - 2j),
        (np.int64(-(2**62)), np.int64(2**62)),
    ],
)
def test_numbers_of_any_kind_can_differ(left: Any, right: Any) -> None:
    with pytest.raises(AssertionError, match="the sides differ by"):
        verify("kinds", left, right)


def test_unsigned_numbers_do_not_wrap_around() -> None:
    with pytest.raises(AssertionError, match="differ by 2 "):
        verify("unsigned", np.uint8([3]), np.uint8([5]))


LIST = [1.0, 2.0]


@pytest.mark.parametrize(
    ("left", "right", "kind", "words"),
    [
        (ONE, ONE, ValueError, "left and right are one object, so this check cannot fail"),
        (LIST, LIST, ValueError, "one object"),
        (2.5, 2.5, ValueError, "one object"),
        ([], [], ValueError, "both sides are empty, so this check cannot fail"),
        (ONE, ONE[:2], ValueError, r"left has shape \(3,\), right has shape \(2,\)"),
        (ONE, 1.0, ValueError, r"left has shape \(3,\), right has shape \(\)"),
        (ONE, ONE[:, None], ValueError, r"right has shape \(3, 1\)"),
        (np.nan, 1.0, ValueError, "the left side has NaN or infinite entries"),
        (ONE, [1, 2, np.inf], ValueError, "the right side has NaN or infinite entries"),
        (None, 1.0, TypeError, "the left side must be numbers, got object"),
        (1.0, "1", TypeError, "the right side must be numbers, got <U1"),
    ],
)
def test_a_check_that_means_nothing_is_refused(
    left: Any,
    right: Any,
    kind: type[Exception],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(kind, match=f"^some-label: .*{words}"):
        verify("some-label", left, right)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"tolerance": 1}, ValueError, r"tolerance must lie in \[0, 1\), got 1.0"),
        ({"tolerance": -1e-12}, ValueError, r"tolerance must lie in \[0, 1\)"),
        ({"tolerance": np.nan}, ValueError, r"tolerance must lie in \[0, 1\), got nan"),
        ({"tolerance": np.inf, "scale": 1}, ValueError, r"tolerance must lie in \[0, inf\)"),
        ({"tolerance": "1e-3"}, TypeError, "tolerance must be a number, got str"),
        ({"tolerance": None}, TypeError, "tolerance must be a number, got NoneType"),
        ({"scale": 0}, ValueError, r"scale must lie in \(0, inf\), got 0.0"),
        ({"scale": -1}, ValueError, r"scale must lie in \(0, inf\)"),
        ({"scale": np.inf}, ValueError, r"scale must lie in \(0, inf\), got inf"),
        ({"scale": np.nan}, ValueError, r"scale must lie in \(0, inf\), got nan"),
        ({"scale": ONE}, TypeError, "scale must be a number, got ndarray"),
    ],
)
def test_a_tolerance_that_lets_anything_pass_is_refused(
    settings: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        verify("some-label", 1.0, 1.0 + 1e-14, **settings)


@pytest.mark.parametrize("label", ["", None, 3])
def test_the_label_is_needed(label: Any) -> None:
    with pytest.raises(TypeError, match=f"label must be the label of an equation, got {label!r}"):
        verify(label, 1.0, 1.0 + 1e-14)
