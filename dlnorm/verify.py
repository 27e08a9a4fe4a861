"""`verify`: a numbered equation of the book, checked by running code."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dlnorm import _validate


def verify(
    label: str,
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    tolerance: float = 1e-12,
    scale: float | None = None,
) -> None:
    """Check that two independently computed sides of an equation agree, and print one line.

    Parameters
    ----------
    label : str
        The equation's label in the book.
    left, right : array_like, the same shape
        The two sides, computed in different ways.
    tolerance : float
        Largest allowed difference, relative to `scale`; below 1 unless a scale is given. The
        default leaves room for a few thousand roundings in float64; a side that is estimated
        from samples states its own.
    scale : float, optional
        What the difference is relative to, positive; the largest entry of either side if left out.
        Where one side is zero by theory, give the size of the terms that cancel.

    Raises
    ------
    AssertionError
        If the sides differ by more than the tolerance.
    TypeError, ValueError
        If the check could not fail or means nothing: the two sides are one object, empty, not
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
    # Python keeps one object for equal small ints, however they were computed
    if left is right and not isinstance(left, int):
        raise ValueError(f"{label}: left and right are one object, so this check cannot fail")
    _validate.number("tolerance", tolerance, 0, 1 if scale is None else np.inf)
    if scale is not None:
        _validate.number("scale", scale, 0, np.inf, open_low=True)
    a, b = _numbers(label, "left", left), _numbers(label, "right", right)
    if a.shape != b.shape:
        raise ValueError(f"{label}: left has shape {a.shape}, right has shape {b.shape}")
    if a.size == 0:
        raise ValueError(f"{label}: both sides are empty, so this check cannot fail")
    if scale is None:
        scale = max(np.abs(a).max(), np.abs(b).max())
    allowed = tolerance * scale
    difference = np.abs(a - b).max()
    if not difference <= allowed:
        at = np.unravel_index(np.abs(a - b).argmax(), a.shape)
        where = f" at {tuple(map(int, at))}" if at else ""
        raise AssertionError(
            f"{label}: the sides differ by {difference:.2g} (allowed {allowed:.2g}){where}: "
            f"left {a[at]:.6g}, right {b[at]:.6g}"
        )
    print(
        f"✓ {label}: both sides agree, largest difference {difference:.2g} (allowed {allowed:.2g})"
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
