"""`verify`: a numbered equation of the book, checked by running code."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from dlnorm import _validate


def verify(
    label: str,
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    *library: npt.ArrayLike,
    tolerance: float = 1e-12,
    scale: float | None = None,
) -> None:
    """Check that independently computed sides of an equation agree, and print one line.

    Parameters
    ----------
    label : str
        The equation's label in the book.
    left : array_like
        The formula as it is displayed, transcribed.
    right : array_like, left's shape
        What it claims to be equal to, computed without it: a loop, an enumeration, a complex step.
    *library : array_like, left's shape
        What the library computes, where it computes this too.
    tolerance : float
        Largest allowed difference, relative to `scale`; below 1 unless a scale is given. The
        default leaves room for a few thousand roundings in float64; a side that is estimated
        from samples states its own.
    scale : float, optional
        What the difference is relative to, positive; the largest entry of any side if left out.
        Where one side is zero by theory, give the size of the terms that cancel.

    Raises
    ------
    AssertionError
        If the sides differ by more than the tolerance.
    TypeError, ValueError
        If the check could not fail or means nothing: two sides are one object, or are empty, not
        numbers, not finite or of different shapes, or the tolerance would let anything pass.

    References
    ----------
    Every chapter of the book; CONTRIBUTING: "a numbered equation is executed".

    Examples
    --------
    >>> verify("geometric-series", sum(0.5**k for k in range(60)), 1 / (1 - 0.5))
    ✓ geometric-series: both sides agree, largest difference 0 (allowed 2e-12)
    """
    if not isinstance(label, str) or not label:
        raise TypeError(f"label must be the label of an equation, got {label!r}")
    names = ["left", "right", "library", *(f"library {n + 1}" for n in range(1, len(library)))]
    sides = dict(zip(names, (left, right, *library), strict=False))
    _no_two_are_one(label, sides)
    _validate.number("tolerance", tolerance, 0, 1 if scale is None else np.inf)
    if scale is not None:
        _validate.number("scale", scale, 0, np.inf, open_low=True)
    a, *others = (_numbers(label, name, side) for name, side in sides.items())
    for name, b in zip(names[1:], others, strict=False):
        if a.shape != b.shape:
            raise ValueError(f"{label}: left has shape {a.shape}, {name} has shape {b.shape}")
    if a.size == 0:
        raise ValueError(f"{label}: both sides are empty, so this check cannot fail")
    if scale is None:
        scale = max(np.abs(side).max() for side in (a, *others))
    allowed = tolerance * scale
    largest = 0.0
    for name, b in zip(names[1:], others, strict=False):
        difference = np.abs(a - b).max()
        if not difference <= allowed:
            at = np.unravel_index(np.abs(a - b).argmax(), a.shape)
            where = f" at {tuple(map(int, at))}" if at else ""
            raise AssertionError(
                f"{label}: the sides differ by {difference:.2g} (allowed {allowed:.2g}){where}: "
                f"left {a[at]:.6g}, {name} {b[at]:.6g}"
            )
        largest = max(largest, difference)
    many = {2: "both sides", 3: "three sides"}.get(len(sides), f"{len(sides)} sides")
    print(f"✓ {label}: {many} agree, largest difference {largest:.2g} (allowed {allowed:.2g})")


def _no_two_are_one(label: str, sides: dict[str, npt.ArrayLike]) -> None:
    """Refuse a side that was handed in twice."""
    for (name, side), (other_name, other) in combinations(sides.items(), 2):
        # Python keeps one object for equal small ints, however they were computed
        if side is other and not isinstance(side, int):
            raise ValueError(
                f"{label}: {name} and {other_name} are one object, so this check cannot fail"
            )


def _numbers(label: str, name: str, side: npt.ArrayLike) -> _validate.Array:
    """Return a side as an array of finite numbers that can be subtracted."""
    values = np.asarray(side)
    if values.dtype.kind not in "buifc":
        raise TypeError(f"{label}: the {name} side must be numbers, got {values.dtype}")
    if not np.isfinite(values).all():
        raise ValueError(f"{label}: the {name} side has NaN or infinite entries")
    # unsigned integers wrap around below 0, and bools cannot be subtracted
    return values.astype(np.float64) if values.dtype.kind in "bui" else values
