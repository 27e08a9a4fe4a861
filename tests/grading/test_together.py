"""The problem set `together`: its data file, and its mark between two kinds of network."""

from __future__ import annotations

import numpy as np
import pytest

from dlnorm.grading import release
from dlnorm.grading.exercises import together
from dlnorm.grading.misconceptions import together as wrong
from dlnorm.grading.student import checker
from tests.sampling import sample


def accuracy(train, seed):
    case = together._digits(np.random.default_rng(seed))[0]
    rng = np.random.default_rng(case["seed"])
    model = train(checker.pixels(case["images"]), case["y"], rng)
    return (together._predict(checker.pixels(case["tested"]), model) == case["y_tested"]).mean()


def test_the_digits_travel_whole_and_reproducibly(tmp_path):
    first, second = (release._archive(together._digits_file()) for _ in range(2))
    assert first == second
    (tmp_path / "digits.npz").write_bytes(first)
    with np.load(tmp_path / "digits.npz", allow_pickle=False) as stored:
        images, classes = stored["images"], stored["classes"]
        assert "UCI" in str(stored["about"])
    assert images.dtype == classes.dtype == np.uint8
    assert images.shape == (1797, 8, 8)
    assert images.max() == 16
    assert np.array_equal(np.unique(classes), np.arange(10))


@pytest.mark.parametrize("key", ["images", "classes", "about"])
def test_another_data_file_is_noticed(tmp_path, key):
    one, other = together._digits_file(), together._digits_file()
    other[key] = other[key][::-1] if other[key].ndim else np.array("something else")
    for name, content in (("one", one), ("other", other), ("again", one)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "digits.npz").write_bytes(release._archive(content))
    assert release.same_release(tmp_path / "one", tmp_path / "again") == []
    assert release.same_release(tmp_path / "one", tmp_path / "other") == [
        "digits.npz: other stored cases"
    ]


def test_training_and_test_images_are_different_ones():
    case = together._digits(np.random.default_rng(0))[0]
    trained = {image.tobytes() for image in case["images"].reshape(-1, 64)}
    assert len(trained & {image.tobytes() for image in case["tested"]}) <= 5  # true look-alikes


def looked_up(case):
    """The share of images named right by who finds the nearest one in `digits.npz`."""
    stored = together._digits_file()
    known = stored["images"].reshape(-1, 64).astype(float)
    sought = case["tested"].astype(float)
    rows = {"as they are": known, "sorted": np.sort(known, axis=1)}
    asked = {"as they are": sought, "sorted": np.sort(sought, axis=1)}
    found = {
        kind: ((rows[kind] ** 2).sum(axis=1) - 2 * asked[kind] @ rows[kind].T).argmin(axis=1)
        for kind in rows
    }
    return max((stored["classes"][best] == case["y_tested"]).mean() for best in found.values())


def test_the_file_that_travels_helps_nobody_to_name_an_image():
    shares = [looked_up(together._digits(np.random.default_rng(seed))[0]) for seed in range(6)]
    # the numbers of the classes are a random permutation: by chance some are the old ones
    assert np.mean(shares) < 0.3
    assert max(shares) < checker.MARK - 0.2
    case = together._digits(np.random.default_rng(0))[0]
    known = {
        np.sort(image).tobytes() for image in together._digits_file()["images"].reshape(-1, 64)
    }
    shown = [*case["images"].reshape(-1, 64), *case["tested"]]
    assert not any(np.sort(image).tobytes() in known for image in shown)


@pytest.mark.training
def test_the_mark_lies_far_below_group_norm_and_far_above_batch_norm():
    """Six standard deviations from the mean of the reference.

    Most of these are the drawing of 500 images. Of a network that names 94 % right on average, so
    few as 85 % of 500 are right once in 1e12 checks; at 92 % it would be once in 1e7.
    """
    right = [accuracy(together._train, s) for s in sample("right marks", range(20), 8)]
    assert np.mean(right) - 6 * np.std(right, ddof=1) > checker.MARK
    wrongly = wrong.trained_with_batch_norm.function
    missed = [accuracy(wrongly, s) for s in sample("missed marks", range(10), 3)]
    assert max(missed) < checker.MARK - 0.1
