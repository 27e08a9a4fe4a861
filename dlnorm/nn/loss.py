"""Softmax and its cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array


def softmax(scores: Array) -> Array:
    r"""Probabilities from scores: :math:`p_{nk} = e^{s_{nk}} / \sum_j e^{s_{nj}}`.

    Parameters
    ----------
    scores : ndarray, shape (N, K)

    Returns
    -------
    ndarray, shape (N, K)
        Each row adds up to 1.

    Raises
    ------
    TypeError, ValueError
        If `scores` has the wrong type or shape.

    Notes
    -----
    The row's maximum is subtracted first, which changes nothing in exact arithmetic: however
    large a score, no exponential overflows.

    Examples
    --------
    >>> softmax(np.array([[1000.0, 1000.0]]))
    array([[0.5, 0.5]])
    """
    return np.exp(log_softmax(scores))


def log_softmax(scores: Array) -> Array:
    """Return the logarithm of `softmax`, right where the probability itself rounds to 0.

    Parameters
    ----------
    scores : ndarray, shape (N, K)

    Returns
    -------
    ndarray, shape (N, K)

    Raises
    ------
    TypeError, ValueError
        If `scores` has the wrong type or shape.

    Examples
    --------
    >>> log_softmax(np.array([[0.0, 1000.0]]))
    array([[-1000.,     0.]])
    """
    scores = _validate.array("scores", scores, "N, K")
    shifted = scores - scores.real.max(axis=1, keepdims=True)  # real: see gradcheck
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def softmax_cross_entropy(scores: Array, y: Any) -> tuple[Any, Array]:
    r"""Mean cross-entropy of the softmax with the labels, and its gradient.

    .. math:: L = -\frac1N \sum_n \log p_{n, y_n}, \qquad
        \frac{\partial L}{\partial s_{nk}} = \frac{p_{nk} - [k = y_n]}{N}

    Parameters
    ----------
    scores : ndarray, shape (N, K)
    y : ndarray of int, shape (N,)
        The right class of each sample, from 0 to K - 1.

    Returns
    -------
    loss : float
        In nats: log(K) for a network that knows nothing.
    dscores : ndarray, shape (N, K)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Examples
    --------
    >>> loss, dscores = softmax_cross_entropy(np.zeros((1, 2)), np.array([0]))
    >>> bool(loss == np.log(2)), dscores
    (True, array([[-0.5,  0.5]]))
    """
    logs = log_softmax(scores)
    n, classes = logs.shape
    y = labels("y", y, n, classes)
    rows = np.arange(n)
    dscores = np.exp(logs)
    dscores[rows, y] -= 1
    dscores /= n
    return -logs[rows, y].mean(), dscores


def labels(name: str, y: Any, n: int, classes: int) -> Array:
    """Return `y` if it holds one class for each of n samples."""
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "iu":
        kind = y.dtype if isinstance(y, np.ndarray) else type(y).__name__
        raise TypeError(f"{name} must be an array of int, got {kind}")
    _validate.shape(name, y, (n,))
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f"{name} must lie in 0 to {classes - 1}, got labels from {y.min()} to {y.max()}"
        )
    return y
