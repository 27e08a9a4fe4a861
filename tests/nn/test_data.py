"""The digits: what they are, that sets nest, and that seeds matter."""

from __future__ import annotations

import numpy as np
import pytest

from dlnorm import nn


def rows(x: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in x}


def test_the_digits_are_64_pixels_and_ten_classes() -> None:
    data = nn.digits(seed=0)
    assert data.x_train.shape == (1297, 64)
    assert data.x_test.shape == (500, 64)
    assert data.x_train.dtype == np.float64
    assert set(data.y_train) == set(data.y_test) == set(range(10))
    assert data.x_train.min() == -0.3
    assert data.x_train.max() == 0.7
    assert abs(np.concatenate([data.x_train, data.x_test]).mean()) < 0.01


def test_no_image_is_trained_on_and_tested() -> None:
    """Every image of the set is different, so this can be seen from the pixels."""
    data = nn.digits(seed=3)
    train, test = rows(data.x_train), rows(data.x_test)
    assert len(train) == 1297
    assert len(test) == 500
    assert not train & test


def test_a_smaller_set_is_part_of_a_larger_one_with_the_same_test_images() -> None:
    small, large = nn.digits(seed=1, n_train=100), nn.digits(seed=1, n_train=300)
    assert (large.x_train[:100] == small.x_train).all()
    assert (large.y_train[:100] == small.y_train).all()
    assert (large.x_test == small.x_test).all()


def test_the_seed_decides_which_images() -> None:
    assert (nn.digits(seed=1).x_test == nn.digits(seed=1).x_test).all()
    assert rows(nn.digits(seed=1).x_test) != rows(nn.digits(seed=2).x_test)


def test_a_set_may_be_changed_without_harm_to_the_next() -> None:
    nn.digits(seed=0).x_train[...] = 7
    nn.digits(seed=0).y_train[...] = 7
    assert nn.digits(seed=0).x_train.max() < 1
    assert set(nn.digits(seed=0).y_train) == set(range(10))


@pytest.mark.parametrize("n_train", [0, -1, 1298])
def test_an_impossible_number_of_images_is_named(n_train: int) -> None:
    with pytest.raises(ValueError, match=f"n_train must lie in 1 to 1297, got {n_train}"):
        nn.digits(seed=0, n_train=n_train)


def test_numbers_that_are_no_counts_are_named() -> None:
    with pytest.raises(TypeError, match="n_train must be an int, got float"):
        nn.digits(seed=0, n_train=1.5)
    with pytest.raises(TypeError, match="seed must be an int, got NoneType"):
        nn.digits(seed=None)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        nn.digits(seed=-1)
