"""One norm as another: what coincides, what a factor or a shift does, what a gradient cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlnorm
from tests.ops.cases import Array, unit_roundoff
from tests.ops.norms import EVERY, IDS, IMAGES, Norm, NormCase, Shape, divisors, norms_of

U = unit_roundoff(np.float64)
every_norm = pytest.mark.parametrize(("norm", "shape"), EVERY, ids=IDS)
every_norm_with_a_mean = pytest.mark.parametrize(
    ("norm", "shape"), [one for one in EVERY if one[0].centers]
)
images = pytest.mark.parametrize("shape", IMAGES, ids=str)


def case_of(name: str, shape: Shape, eps: float = 1e-3) -> NormCase:
    (norm,) = (norm for norm in norms_of(shape) if norm.name == name)
    return NormCase(norm, shape, eps)


def same(one: NormCase, other: NormCase, of_other: Any = None) -> None:
    """Out and all gradients of two norms on the same numbers, equal to rounding.

    Each side may be off by its bound; a sum of its own for dgamma and dbeta by the number of its
    terms. `of_other` brings the other side's gradients into the form of the first one's.
    """
    np.testing.assert_array_equal(one.x.ravel(), other.x.ravel())
    out, other_out = one.forward()[0], other.forward()[0]
    allowed = one.out_bound + other.out_bound
    np.testing.assert_allclose(out, other_out.reshape(out.shape), rtol=0, atol=allowed)
    grads = other.backward() if of_other is None else of_other(other.backward())
    for name, got in one.backward().items():
        allowed = one.dx_bound + other.dx_bound if name == "x" else of_sums(one) + of_sums(other)
        np.testing.assert_allclose(got, grads[name].reshape(got.shape), rtol=0, atol=allowed)


def of_sums(case: NormCase) -> float:
    """Largest error of dgamma and dbeta."""
    x_hat = 1 + float(np.abs(case.exact()[1]).max())
    return float(np.abs(case.dout).sum()) * x_hat * (case.x_hat_bound + case.x.size * U)


def given_to(case: NormCase, other: NormCase) -> NormCase:
    """Hand the numbers of one case to another, which sees them in its own shapes."""
    other.x = case.x.reshape(other.x.shape)
    other.dout = case.dout.reshape(other.x.shape)
    other.parameters = {
        name: value.reshape(other.norm.gamma_shape) for name, value in case.parameters.items()
    }
    return other


# ---------------------------------------------------------------- one norm as another


@images
def test_group_norm_with_one_group_is_layer_norm_of_the_image(shape: Shape) -> None:
    group = case_of("group, G = 1", shape)
    for form in ("layer, per channel", "layer, per channel, wide"):
        same(group, given_to(group, case_of(form, shape)))


@images
def test_group_norm_with_a_group_for_each_channel_is_instance_norm(shape: Shape) -> None:
    group = case_of(f"group, G = {shape[1]}", shape)
    same(group, given_to(group, case_of("instance", shape)))


@images
def test_instance_norm_is_batch_norm_of_each_sample_alone(shape: Shape) -> None:
    case = case_of("instance", shape)
    out, grads = case.forward()[0], case.backward()
    totals = [np.zeros_like(case.parameters["gamma"]) for _ in range(2)]
    for n in range(shape[0]):
        bn_param: Any = {"mode": "train", "eps": 1e-3}
        x, dout = case.x[n : n + 1], case.dout[n : n + 1]
        alone, cache = dlnorm.spatial_batchnorm_forward(x, **case.parameters, bn_param=bn_param)
        dx, *sums = dlnorm.spatial_batchnorm_backward(dout, cache)
        np.testing.assert_allclose(out[n : n + 1], alone, rtol=0, atol=2 * case.out_bound)
        np.testing.assert_allclose(grads["x"][n : n + 1], dx, rtol=0, atol=2 * case.dx_bound)
        totals = [total + part for total, part in zip(totals, sums, strict=True)]
    for name, total in zip(("gamma", "beta"), totals, strict=True):
        np.testing.assert_allclose(grads[name], total, rtol=0, atol=2 * of_sums(case))


@images
def test_layer_norm_of_an_image_is_layer_norm_of_its_entries_in_a_row(shape: Shape) -> None:
    image = case_of("layer, per entry", shape)
    rows = case_of("layer", (shape[0], image.x[0].size))
    same(image, given_to(image, rows))


@images
def test_one_gamma_a_channel_is_the_same_gamma_at_every_place(shape: Shape) -> None:
    channel, entry = case_of("layer, per channel", shape), case_of("layer, per entry", shape)
    entry.x, entry.dout = channel.x, channel.dout
    entry.parameters = {
        name: np.broadcast_to(value[:, None, None], shape[1:]).copy()
        for name, value in channel.parameters.items()
    }

    def shared(grads: dict[str, Array]) -> dict[str, Array]:
        return {k: g if k == "x" else g.sum(axis=(1, 2)) for k, g in grads.items()}

    same(channel, entry, shared)


@images
def test_group_norm_is_layer_norm_with_groups_for_samples(shape: Shape) -> None:
    n, c, h, w = shape
    for groups in divisors(c):
        group = case_of(f"group, G = {groups}", shape)
        group.parameters = {"gamma": np.ones(c), "beta": np.zeros(c)}
        layer = case_of("layer, per entry", (n * groups, c // groups, h, w))
        layer.x, layer.dout = (a.reshape(layer.x.shape) for a in (group.x, group.dout))
        layer.parameters = {
            "gamma": np.ones(layer.norm.gamma_shape),
            "beta": np.zeros(layer.norm.gamma_shape),
        }

        # gamma and beta are per channel here and per group there: 1 and 0, and dx alone compared
        out, dx = layer.forward()[0].reshape(shape), layer.backward()["x"].reshape(shape)
        allowed = group.out_bound + layer.out_bound
        np.testing.assert_allclose(group.forward()[0], out, rtol=0, atol=allowed)
        allowed = group.dx_bound + layer.dx_bound
        np.testing.assert_allclose(group.backward()["x"], dx, rtol=0, atol=allowed)


@pytest.mark.parametrize("shape", [(1, 4), (3, 5), (7, 3)], ids=str)
def test_layer_norm_is_batch_norm_of_the_transposed_table(shape: Shape) -> None:
    n, d = shape
    case = case_of("layer", shape)
    case.parameters = {"gamma": np.ones(d), "beta": np.zeros(d)}
    bn_param: Any = {"mode": "train", "eps": 1e-3}
    out, cache = dlnorm.batchnorm_forward(case.x.T, np.ones(n), np.zeros(n), bn_param)
    np.testing.assert_allclose(case.forward()[0], out.T, rtol=0, atol=2 * case.out_bound)
    dx, _, _ = dlnorm.batchnorm_backward(case.dout.T, cache)
    np.testing.assert_allclose(case.backward()["x"], dx.T, rtol=0, atol=2 * case.dx_bound)


@pytest.mark.parametrize("shape", [(1, 4), (3, 5), (7, 3)], ids=str)
def test_rms_norm_of_centered_rows_is_layer_norm(shape: Shape) -> None:
    layer, rms = case_of("layer", shape), case_of("rms", shape)
    layer.parameters["beta"] = np.zeros(shape[1])
    layer.parameters["gamma"] = rms.parameters["gamma"]
    rms.x, rms.dout = layer.x - layer.x.mean(axis=1, keepdims=True), layer.dout
    allowed = layer.out_bound + rms.out_bound
    np.testing.assert_allclose(rms.forward()[0], layer.forward()[0], rtol=0, atol=allowed)
    # and backward through the centering: its gradient is centered in turn
    dx = rms.backward()["x"]
    centered, allowed = dx - dx.mean(axis=1, keepdims=True), layer.dx_bound + rms.dx_bound
    np.testing.assert_allclose(centered, layer.backward()["x"], rtol=0, atol=allowed)
    np.testing.assert_allclose(
        rms.backward()["gamma"], layer.backward()["gamma"], rtol=0, atol=2 * of_sums(layer)
    )


# ---------------------------------------------------------------- factors and shifts


@pytest.mark.parametrize("factor", [0.25, 8.0, -1.0, -0.5])
@every_norm
def test_a_factor_on_x_leaves_its_sign_and_divides_the_gradient(
    norm: Norm, shape: Shape, factor: float
) -> None:
    # powers of two: not one rounding differs. eps is in units of x squared and grows along; that
    # eps = 0 does without is the same statement, for then the eps of both is 0
    case, scaled = NormCase(norm, shape, 1e-3), NormCase(norm, shape, 1e-3 * factor**2)
    scaled.x = case.x * factor
    sign, zero = np.sign(factor), np.zeros(norm.gamma_shape)
    if norm.centers:
        case.parameters["beta"] = scaled.parameters["beta"] = zero
    np.testing.assert_array_equal(scaled.forward()[0], sign * case.forward()[0])
    grads, of_scaled = case.backward(), scaled.backward()
    np.testing.assert_array_equal(of_scaled["x"], grads["x"] / abs(factor))
    np.testing.assert_array_equal(of_scaled["gamma"], sign * grads["gamma"])
    if norm.centers:
        np.testing.assert_array_equal(of_scaled["beta"], grads["beta"])


@pytest.mark.parametrize("factor", [4.0, -4.0])
@pytest.mark.parametrize("name", ["layer", "rms"])
def test_a_factor_with_eps_left_alone_is_nearly_invisible(name: str, factor: float) -> None:
    case = case_of(name, (3, 5), eps=1e-3)
    if case.norm.centers:
        case.parameters["beta"] = np.zeros(5)
    out, std = case.forward()[0], case.exact()[2]
    difference = np.abs(case.forward(x=case.x * factor)[0] - np.sign(factor) * out)
    # out grows by sqrt((v + eps) / (v + eps / factor**2)) - 1: at most eps / (2 v), and not by 0
    assert (difference <= np.abs(out) * 1e-3 / (2 * (std**2 - 1e-3))).all()
    assert (difference > np.abs(out) * 1e-3 / (4 * std**2)).all()


@pytest.mark.parametrize("shift", [4.0, -64.0])
@every_norm_with_a_mean
def test_a_shift_of_a_whole_group_changes_nothing(norm: Norm, shape: Shape, shift: float) -> None:
    case, moved = NormCase(norm, shape, 1e-3), NormCase(norm, shape, 1e-3)
    moved.x = case.x + shift * (1 + case.label)  # another shift for every group
    # x + shift is rounded to u |x + shift|: so much of x is lost before the norm sees it
    lost = U * float(np.abs(moved.x).max()) / float(case.exact()[2].min())
    gamma, x_hat = np.abs(case.parameters["gamma"]).max(), 1 + np.abs(case.exact()[1]).max()
    allowed = case.out_bound + moved.out_bound + lost * gamma * x_hat**2
    np.testing.assert_allclose(moved.forward()[0], case.forward()[0], rtol=0, atol=allowed)
    allowed = case.dx_bound + moved.dx_bound + 4 * lost * x_hat**2 * case.terms
    np.testing.assert_allclose(moved.backward()["x"], case.backward()["x"], rtol=0, atol=allowed)


@pytest.mark.parametrize("shape", [(1, 4, 2, 4), (2, 6, 3, 2)], ids=str)
def test_only_instance_norm_takes_away_the_contrast_of_each_channel(shape: Shape) -> None:
    # every channel of every sample by a factor of its own; eps = 0, so that none of it is left
    factors = 2.0 ** np.random.default_rng(0).integers(-3, 4, (*shape[:2], 1, 1))
    for norm in norms_of(shape):
        case = NormCase(norm, shape, 0.0)
        moved = np.abs(case.forward(x=case.x * factors)[0] - case.forward()[0]).max()
        if norm.name in ("instance", f"group, G = {shape[1]}"):
            assert moved == 0
        else:
            assert moved > 0.1, norm.name


@images
def test_the_order_of_the_pixels_does_not_matter_with_one_gamma_a_channel(shape: Shape) -> None:
    n, c, h, w = shape
    order = np.random.default_rng(0).permutation(h * w)

    def shuffled(x: Array) -> Array:
        return x.reshape(n, c, -1)[:, :, order].reshape(shape)

    for norm in norms_of(shape):
        if norm.gamma_shape != shape[1:]:
            case = NormCase(norm, shape)
            np.testing.assert_allclose(
                case.forward(x=shuffled(case.x))[0],
                shuffled(case.forward()[0]),
                rtol=0,
                atol=2 * case.out_bound,
            )


# ---------------------------------------------------------------- what a gradient cannot be


@every_norm
def test_dx_has_no_part_along_the_ones_and_none_along_x_hat(norm: Norm, shape: Shape) -> None:
    # eps keeps x_hat a little too short, and lets a part along it through; with no variance it must
    alone = norm.centers and len(NormCase(norm, shape).columns) == 1
    case = NormCase(norm, shape, 1e-3 if alone else 0.0)
    dx, (_, x_hat, _) = case.backward()["x"], case.exact()
    size = len(case.columns) * case.dx_bound
    for k in np.unique(case.label):
        group = case.label == k
        # the sum of m numbers, each off by dx_bound; times x_hat, at most 1 + its bound
        along_x_hat = float((dx[group] * x_hat[group]).sum())
        assert abs(along_x_hat) <= size * (1 + np.abs(x_hat).max())
        if norm.centers:
            assert abs(float(dx[group].sum())) <= size
    if not norm.centers and shape[1] > 2:
        assert np.abs(dx.sum(axis=1)).max() > 0.01  # RMS norm's may point along the ones
