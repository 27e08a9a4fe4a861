"""Scikit-learn's handwritten digits, ready to train on. Nothing is downloaded."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from dlnorm import _validate
from dlnorm._validate import Array

#: How many of the 1797 images are never trained on.
TEST_IMAGES = 500
#: About the mean of the pixels once they lie in 0 to 1.
OFFSET = 0.3


class Data(NamedTuple):
    """Inputs and classes to train on, and others to test on."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def digits(seed: int, n_train: int | None = None) -> Data:
    """Return the digits: 8 x 8 gray pixels in a row of 64, ten classes.

    Parameters
    ----------
    seed : int
        Shuffles the 1797 images before 500 of them are set aside as test images: every seed
        tests on other images, and trains on other ones.
    n_train : int, optional
        How many of the other 1297 to train on; all of them if left out. A smaller set is part
        of every larger one of the same seed.

    Returns
    -------
    Data
        x of shape (N, 64), float64, pixels from -0.3 to 0.7; y of shape (N,), int.

    Raises
    ------
    TypeError, ValueError
        If `seed` is no int of at least 0, or `n_train` not one from 1 to 1297.
    ModuleNotFoundError
        If scikit-learn, of the extra ``experiments``, is not installed.

    References
    ----------
    Alpaydin & Kaynak (1998), "Optical Recognition of Handwritten Digits", the test set, as it
    comes with scikit-learn.

    Examples
    --------
    >>> data = digits(seed=0, n_train=100)
    >>> data.x_train.shape, data.x_test.shape
    ((100, 64), (500, 64))
    """
    x, y = _all_digits()
    order = np.random.default_rng(_validate.seed("seed", seed)).permutation(len(x))
    train, test = order[:-TEST_IMAGES], order[-TEST_IMAGES:]
    if n_train is not None:
        if isinstance(n_train, bool) or not isinstance(n_train, (int, np.integer)):
            raise TypeError(f"n_train must be an int, got {type(n_train).__name__}")
        if not 1 <= n_train <= len(train):
            raise ValueError(f"n_train must lie in 1 to {len(train)}, got {n_train}")
        train = train[:n_train]
    return Data(x[train], y[train], x[test], y[test])


@cache
def _all_digits() -> tuple[Array, Array]:
    """Return all images and labels, in the order of the file, read once."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # slow to import

    images, classes = load_digits(return_X_y=True)
    return images / 16 - OFFSET, classes.astype(np.int64)
