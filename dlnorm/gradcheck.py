"""Derivatives one can trust: central differences, the complex step, and how far apart two are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array

Function = Callable[[Array], Array]

#: The step at which truncation (h**2) and rounding (eps / h) errors balance, for |x| about 1.
CENTRAL_STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
#: So small that its square vanishes: the complex step subtracts nothing, so nothing is lost.
COMPLEX_STEP = 1e-100


def numeric_gradient(f: Function, x: Array, dout: Array, h: float = CENTRAL_STEP) -> Array:
    r"""Gradient of ``sum(f(x) * dout)`` by central differences.

    .. math:: \frac{\partial L}{\partial x_i} \approx
        \sum \frac{f(x + h e_i) - f(x - h e_i)}{2h} \odot dy

    Parameters
    ----------
    f : callable
        From an array of x's shape to an array of dout's shape.
    x : ndarray
        Where; never changed.
    dout : ndarray
        Upstream gradient, in the shape of ``f(x)``.
    h : float
        Step, positive. The error is about h**2 from truncation plus eps / h from rounding,
        each times the scale of f; the default balances the two, at about 4e-11 where
        x is about 1 in size. At another scale give an h of that scale: one that vanishes in the
        rounding of x + h makes the result 0.

    Returns
    -------
    dx : ndarray, float64, x's shape

    Raises
    ------
    TypeError, ValueError
        If `f` is no function, `x` or `dout` no finite float array, `h` not positive, or f(x) not
        finite or of another shape than `dout`.

    References
    ----------
    Book, equation ``central-difference``.

    Examples
    --------
    >>> numeric_gradient(np.square, np.array([1.0, 3.0]), np.ones(2)).round(6)
    array([2., 6.])
    """
    h = _validate.number("h", h, 0, np.inf, open_low=True)

    def difference(point: Array, step: Array) -> Array:
        ahead, behind = point + step, point - step
        slope: Array = (f(ahead) - f(behind)) / (2 * h)
        return slope

    return _entry_by_entry(f, difference, x, dout, h)


def complex_step_gradient(f: Function, x: Array, dout: Array, h: float = COMPLEX_STEP) -> Array:
    r"""Gradient of ``sum(f(x) * dout)`` by the complex step, exact to rounding.

    .. math:: \frac{\partial L}{\partial x_i} =
        \sum \frac{\mathrm{Im} f(x + i h e_i)}{h} \odot dy + O(h^2)

    Parameters
    ----------
    f : callable
        From an array of x's shape to an array of dout's shape; must work on complex numbers
        (no abs, comparison, maximum or conjugate on the way).
    x, dout : ndarray
        As for `numeric_gradient`.
    h : float
        Step, positive; so small that h**2 is nothing.

    Returns
    -------
    dx : ndarray, float64, x's shape

    Raises
    ------
    TypeError, ValueError
        As `numeric_gradient`, and where f threw the imaginary part away.

    References
    ----------
    Squire & Trapp (1998); book, equation ``complex-step``.

    Examples
    --------
    >>> complex_step_gradient(np.exp, np.array([0.0, 1.0]), np.ones(2)) - np.exp([0.0, 1.0])
    array([0., 0.])
    """
    h = _validate.number("h", h, 0, np.inf, open_low=True)

    def difference(point: Array, step: Array) -> Array:
        value = f(point + 1j * step)
        if not np.iscomplexobj(value):
            raise TypeError(f"f must keep complex numbers complex, got {np.asarray(value).dtype}")
        return value.imag / h

    return _entry_by_entry(f, difference, x, dout, h)


def _entry_by_entry(
    f: Function, difference: Callable[[Array, Array], Array], x: Array, dout: Array, h: float
) -> Array:
    """Contract `difference`, taken along each entry of x in turn, with `dout`."""
    if not callable(f):
        raise TypeError(f"f must be a function, got {type(f).__name__}")
    x = _validate.real("x", _validate.finite("x", _validate.array("x", x))).astype(np.float64)
    dout = _validate.real("dout", _validate.finite("dout", _validate.array("dout", dout)))
    dx = np.empty_like(x)
    step = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step[i] = h
        change = _validate.shape("f(x)", np.asarray(difference(x, step)), dout.shape)
        step[i] = 0
        dx[i] = (_validate.finite("f(x)", change) * dout).sum()
    return dx


def relative_error(a: Array, b: Array) -> float:
    """Largest difference between two arrays, relative to the largest entry of either.

    Parameters
    ----------
    a, b : ndarray, the same shape

    Returns
    -------
    float
        0 if both are zero everywhere; never compares an entry with itself alone, so an entry
        that should be 0 and is 1e-17 does not count as wrong.

    Raises
    ------
    TypeError, ValueError
        If either is no float array, the shapes differ, or an entry is not finite.

    References
    ----------
    Book, chapter "Derivatives you can trust".

    Examples
    --------
    >>> relative_error(np.array([1.0, 100.0]), np.array([1.0, 101.0])).__round__(4)
    0.0099
    """
    a = _validate.finite("a", _validate.array("a", a))
    b = _validate.finite("b", _validate.shape("b", _validate.array("b", b), a.shape))
    scale = max(np.abs(a).max(), np.abs(b).max())
    return float(np.abs(a - b).max() / scale) if scale else 0.0
