"""Penalties on the weights, and a hard limit: L1, L2 and max-norm.

The two penalties are terms of the loss, so they return their value and their gradient, to be
added to the gradient from the data. Max-norm is no term of the loss: it is applied to the weights
after each step. Biases are usually left out of all three.
"""

from __future__ import annotations

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array


def l1_penalty(w: Array, strength: float) -> tuple[Array, Array]:
    r"""L1 penalty: the same pull toward 0 on every weight, however small; many end at 0.

    .. math:: L = \lambda \sum_i |w_i|, \qquad dw_i = \lambda \, \mathrm{sign}(w_i)

    Parameters
    ----------
    w : ndarray, any shape
        float32 or float64; never changed.
    strength : float
        :math:`\lambda`, at least 0.

    Returns
    -------
    loss : scalar, w's dtype
    dw : ndarray, shape and dtype of w

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, or `w` is not finite.

    Notes
    -----
    At w = 0 there is a kink, with every number from -strength to strength for a slope; dw is 0
    there, so that gradient descent leaves a zero where it is.

    References
    ----------
    Book, equation ``penalty-l1``.

    Examples
    --------
    >>> loss, dw = l1_penalty(np.array([3.0, -1.0, 0.0]), strength=0.5)
    >>> loss, dw
    (np.float64(2.0), array([ 0.5, -0.5,  0. ]))
    """
    w, strength = _arguments(w, strength)
    sign = np.sign(w.real)  # of the real part: |w| = w sign(w), without abs; see gradcheck
    with np.errstate(over="ignore"):  # reported below, with w's name
        loss = strength * (w * sign).sum()
    _validate.finite("w", w, because_of=loss)
    return loss, (strength * sign).astype(w.dtype)


def l2_penalty(w: Array, strength: float) -> tuple[Array, Array]:
    r"""L2 penalty: a pull toward 0 in proportion to the weight; all shrink, none ends at 0.

    .. math:: L = \frac{\lambda}{2} \sum_i w_i^2, \qquad dw_i = \lambda \, w_i

    Parameters
    ----------
    w : ndarray, any shape
        float32 or float64; never changed.
    strength : float
        :math:`\lambda`, at least 0.

    Returns
    -------
    loss : scalar, w's dtype
    dw : ndarray, shape and dtype of w

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, or `w` is not finite.

    Notes
    -----
    Some texts leave the one half out; their strength is half of this one. A step of gradient
    descent at learning rate r multiplies w by 1 - r * strength: "weight decay".

    References
    ----------
    Book, equation ``penalty-l2``.

    Examples
    --------
    >>> loss, dw = l2_penalty(np.array([3.0, -1.0, 0.0]), strength=0.5)
    >>> loss, dw
    (np.float64(2.5), array([ 1.5, -0.5,  0. ]))
    """
    w, strength = _arguments(w, strength)
    with np.errstate(over="ignore"):  # reported below, with w's name
        loss = strength * (w * w).sum() / 2
        dw = strength * w
    _validate.finite("w", w, because_of=loss)
    return loss, dw


def maxnorm_project(w: Array, max_norm: float) -> Array:
    r"""Max-norm: shorten the weights of each unit that are longer than `max_norm`.

    .. math:: w_j \leftarrow w_j \, \min\!\left(1, \frac{c}{\lVert w_j \rVert}\right)

    Parameters
    ----------
    w : ndarray, shape (D_in, D_out)
        float32 or float64, one unit a column; never changed.
    max_norm : float
        c, the greatest length a column may have; positive.

    Returns
    -------
    w : ndarray, shape (D_in, D_out), w's dtype
        The nearest weights that keep the limit. Columns within it are copied bit for bit.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or `w` is not finite.

    References
    ----------
    Srivastava et al. (2014), Section 5.1; book, equation ``penalty-maxnorm``.

    Examples
    --------
    >>> maxnorm_project(np.array([[3.0, 0.3], [4.0, 0.4]]), max_norm=1.0)
    array([[0.6, 0.3],
           [0.8, 0.4]])
    """
    w = _validate.array("w", w, "D_in, D_out")
    max_norm = _validate.number("max_norm", max_norm, 0, np.inf, open_low=True)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # reported below
        length = np.sqrt((w * w).sum(axis=0))
    _validate.finite("w", w, because_of=length)
    shorten = np.ones_like(length)
    long = length.real > max_norm
    shorten[long] = max_norm / length[long]
    projected: Array = w * shorten
    return projected


def _arguments(w: Array, strength: float) -> tuple[Array, float]:
    """Check the arguments that both penalties share."""
    w = _validate.finite("w", _validate.array("w", w))
    return w, _validate.number("strength", strength, 0, np.inf)
