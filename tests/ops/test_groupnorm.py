"""What is group norm's own: which channels stand together, and what G may be.

What it shares with the other norms is in test_norm_properties.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlnorm
from tests.ops.cases import Array


def images(*shape: int) -> tuple[Array, Array, Array]:
    """x, gamma and beta."""
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape), rng.standard_normal(shape[1]), rng.standard_normal(shape[1])


def test_neighboring_channels_stand_together() -> None:
    x, gamma, beta = images(2, 6, 3, 2)
    out, _ = dlnorm.spatial_groupnorm_forward(x, gamma, beta, 3, {})
    for first in (0, 2, 4):
        pair = slice(first, first + 2)
        alone, _ = dlnorm.spatial_groupnorm_forward(x[:, pair], gamma[pair], beta[pair], 1, {})
        np.testing.assert_allclose(out[:, pair], alone, rtol=0, atol=1e-13)


def test_groups_do_not_hear_each_other() -> None:
    x, gamma, beta = images(2, 6, 3, 2)
    out, cache = dlnorm.spatial_groupnorm_forward(x, gamma, beta, 3, {})
    loud = x.copy()
    loud[:, 2:4] *= -50.0
    again, _ = dlnorm.spatial_groupnorm_forward(loud, gamma, beta, 3, {})
    np.testing.assert_array_equal(again[:, [0, 1, 4, 5]], out[:, [0, 1, 4, 5]])
    dout = np.zeros(x.shape)
    dout[:, 2] = images(2, 1, 3, 2)[0][:, 0]
    dx, dgamma, dbeta = dlnorm.spatial_groupnorm_backward(dout, cache)
    assert not dx[:, [0, 1, 4, 5]].any()
    assert dx[:, 3].all()  # its neighbor is in the group, and hears
    assert dgamma.astype(bool).tolist() == dbeta.astype(bool).tolist() == [c == 2 for c in range(6)]


@pytest.mark.parametrize("groups", [np.int64(3), np.int32(3), np.uint8(3)])
def test_the_number_of_groups_may_be_numpys(groups: Any) -> None:
    x, gamma, beta = images(2, 6, 3, 2)
    got, _ = dlnorm.spatial_groupnorm_forward(x, gamma, beta, groups, {})
    want, _ = dlnorm.spatial_groupnorm_forward(x, gamma, beta, 3, {})
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (4, ValueError, "G must divide the 6 channels of x: one of [1, 2, 3, 6], got 4"),
        (0, ValueError, "G must divide the 6 channels of x: one of [1, 2, 3, 6], got 0"),
        (-2, ValueError, "G must divide the 6 channels of x: one of [1, 2, 3, 6], got -2"),
        (12, ValueError, "G must divide the 6 channels of x: one of [1, 2, 3, 6], got 12"),
        (2.0, TypeError, "G must be an int, got float"),
        (True, TypeError, "G must be an int, got bool"),
        ("2", TypeError, "G must be an int, got str"),
        (None, TypeError, "G must be an int, got NoneType"),
        ({}, TypeError, "G must be an int, got dict"),  # gn_param in its place
    ],
)
def test_a_wrong_number_of_groups_is_named(
    groups: Any, error: type[Exception], message: str
) -> None:
    x, gamma, beta = images(2, 6, 3, 2)
    with pytest.raises(error) as raised:
        dlnorm.spatial_groupnorm_forward(x, gamma, beta, groups, {})
    assert str(raised.value) == message


def test_the_param_dict_is_called_by_its_name() -> None:
    x, gamma, beta = images(2, 6, 3, 2)
    with pytest.raises(ValueError, match=r"^gn_param\['eps'\] must lie in"):
        dlnorm.spatial_groupnorm_forward(x, gamma, beta, 2, {"eps": -1.0})
    with pytest.raises(ValueError, match=r"^in_param\['eps'\] must lie in"):
        dlnorm.spatial_instancenorm_forward(x, gamma, beta, {"eps": -1.0})
    with pytest.raises(ValueError, match=r"^ln_param\['eps'\] must lie in"):
        dlnorm.spatial_layernorm_forward(x, gamma, beta, {"eps": -1.0})
    with pytest.raises(ValueError, match=r"^rms_param\['eps'\] must lie in"):
        dlnorm.rmsnorm_forward(x[:, :, 0, 0], gamma, {"eps": -1.0})


def test_a_gradient_in_groups_is_no_gradient_of_out() -> None:
    x, gamma, beta = images(2, 6, 3, 2)
    _, cache = dlnorm.spatial_groupnorm_forward(x, gamma, beta, 3, {})
    with pytest.raises(ValueError, match=r"^dout must have shape \(2, 6, 3, 2\), got \(2, 3, 2,"):
        dlnorm.spatial_groupnorm_backward(np.ones((2, 3, 2, 3, 2)), cache)
