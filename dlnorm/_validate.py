"""Argument checks shared by every operation: what came, what was expected.

Each helper either returns the argument, ready to use, or raises an error that
names it. Complex input is accepted wherever real input is, because the
complex-step derivative (`dlnorm.gradcheck`) runs the operations on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_DTYPES = (np.float32, np.float64, np.complex128)


def array(name: str, value: Any, axes: str | None = None) -> Array:
    """Return `value` if it is a non-empty float array with one dimension a name in `axes`.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : ndarray
        What came; float32, float64 or complex128.
    axes : str, optional
        Names of the dimensions, as in ``"N, D"``, or ``"N, ..."`` for one or more; any number of
        dimensions if left out.

    Raises
    ------
    TypeError
        If `value` is no array, or no array of floating-point numbers.
    ValueError
        If the number of dimensions differs or the array is empty.
    """
    if type(value) is not np.ndarray:  # np.matrix multiplies otherwise, a masked array leaves out
        raise TypeError(f"{name} must be a plain NumPy array, got {type(value).__name__}")
    if value.dtype not in _DTYPES:
        raise TypeError(f"{name} must be of dtype float32 or float64, got {value.dtype}")
    if axes is not None:
        least = axes.replace(", ...", "").count(",") + 1
        if value.ndim < least or (value.ndim > least and "..." not in axes):
            raise ValueError(f"{name} must have shape ({axes}), got shape {value.shape}")
    if value.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {value.shape}")
    return value


def real(name: str, value: Array) -> Array:
    """Return `value` if it is not complex."""
    if np.iscomplexobj(value):
        raise TypeError(f"{name} must be of dtype float32 or float64, got {value.dtype}")
    return value


def finite(name: str, value: Array, because_of: Array | None = None) -> Array:
    """Return `value` unless a NaN or an infinity is in it (or in what was computed from it)."""
    checked = value if because_of is None else because_of
    flat = checked.ravel()
    # the sum of squares is finite only if every entry is; it is cheap, and warns of nothing
    if not math.isfinite(np.vdot(flat, flat).real) and not np.isfinite(checked).all():
        bad = value.size - int(np.isfinite(value).sum())
        if bad:
            raise ValueError(
                f"{name} must be finite, got {bad} NaN or infinite of {value.size} entries"
            )
        raise ValueError(
            f"{name} must be small enough to compute with in {checked.dtype}, "
            f"got entries up to {np.abs(value).max():.3g}"
        )
    return value


def shape(name: str, value: Array, expected: tuple[int, ...]) -> Array:
    """Return `value` if its shape is `expected`."""
    if value.shape != expected:
        raise ValueError(f"{name} must have shape {expected}, got {value.shape}")
    return value


def upstream(name: str, value: Any, expected: tuple[int, ...]) -> Array:
    """Return an upstream gradient: a finite float array of the shape of what it belongs to."""
    return finite(name, shape(name, array(name, value), expected))


def per_feature(name: str, value: Any, x: Array, feature_axis: int) -> Array:
    """Return a parameter with one entry a feature, reshaped to broadcast against `x`.

    `value` has shape ``(C,)``, or already the broadcasting shape, ``(1, C, 1, 1)`` for images;
    it takes x's dtype, so that float32 data stays float32. Always a copy: a cache must not
    follow when an optimizer later changes the parameter in place.
    """
    size = x.shape[feature_axis]
    wide = tuple(size if axis == feature_axis else 1 for axis in range(x.ndim))
    value = array(name, value)
    if value.shape not in ((size,), wide):
        raise ValueError(
            f"{name} must have shape {(size,)} or {wide} to match x of shape {x.shape}, "
            f"got {value.shape}"
        )
    dtype = np.result_type(x, value) if np.iscomplexobj(value) else x.dtype
    with np.errstate(over="ignore") if value.dtype != dtype else nullcontext():
        cast: Array = value.astype(dtype)  # an overflow is reported below, with the name
    finite(name, value, because_of=cast)
    return cast.reshape(wide)


def averaged_axes(name: str, value: Any, ndim: int) -> tuple[int, ...]:
    """Return one axis or several as a tuple of different indices from 0 to ``ndim - 1``."""
    try:
        axes = np.lib.array_utils.normalize_axis_tuple(value, ndim)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{name} must be an int, or a tuple of different ints, in [{-ndim}, {ndim}), "
            f"got {value!r}"
        ) from None
    if not axes:
        raise ValueError(f"{name} must name at least one axis, got {value!r}")
    return axes


def option(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Return `value` if it is one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, got {value!r}")
    return value


def required(name: str, param: Any, key: str) -> Any:
    """Return ``param[key]``, or say that the key is missing from the dict called `name`."""
    if not isinstance(param, dict):
        raise TypeError(f"{name} must be a dict, got {type(param).__name__}")
    if key not in param:
        raise ValueError(f"{name} must have the key {key!r}, got the keys {list(param)}")
    return param[key]


def number(name: str, value: Any, low: float, high: float, *, open_low: bool = False) -> float:
    """Return `value` as a float if it lies in ``[low, high)``, or in ``(low, high)``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    result = float(value)
    above = result > low if open_low else result >= low
    if not (above and result < high):
        interval = f"{'(' if open_low else '['}{low:g}, {high:g})"
        raise ValueError(f"{name} must lie in {interval}, got {result}")
    return result


def seed(name: str, value: Any) -> int:
    """Return `value` as an int if it is one, and at least 0."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name} must be at least 0, got {value}")
    return int(value)


def cache(value: Any, kind: type, forward: str) -> None:
    """Raise unless `value` is the cache that the function called `forward` returns."""
    if not isinstance(value, kind):
        raise TypeError(f"cache must come from {forward}, got {type(value).__name__}")
