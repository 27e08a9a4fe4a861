"""Layer norm in a recurrent cell, step by step and through time; and what is layer norm's own.

What it shares with the other norms is in test_norm_properties.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlnorm
from dlnorm import complex_step_gradient
from tests.ops.cases import (
    EPS,
    QUICK,
    Array,
    layouts,
    textbook,
    unchanged,
    unit_roundoff,
    x_hat_bound,
)
from tests.ops.norms import NormCase, arrays_in, norms_of

NAMES = ("x", "h0", "Wx", "Wh", "gamma", "beta")
#: N, T, D, H: one of each alone, H = D, H > D, H < D
SIZES = [(1, 1, 1, 1), (1, 3, 2, 4), (3, 1, 4, 2), (4, 5, 3, 1), (2, 4, 3, 3), (3, 6, 1, 5)]


class Sequence:
    """Random arguments of `layernorm_rnn_forward`, of which no two entries are alike."""

    def __init__(
        self,
        sizes: tuple[int, int, int, int],
        eps: float = 1e-5,
        dtype: type[np.floating] = np.float64,
        seed: int = 0,
    ) -> None:
        n, t, d, h = sizes
        rng = np.random.default_rng([seed, *sizes])
        shapes = ((n, t, d), (n, h), (d, h), (h, h), (h,), (h,))
        self.arguments = {
            name: rng.standard_normal(shape).astype(dtype)
            for name, shape in zip(NAMES, shapes, strict=True)
        }
        self.dh = rng.standard_normal((n, t, h)).astype(dtype)
        self.ln_param: Any = {"eps": eps}

    def forward(self, **changed: Array) -> tuple[Array, Any]:
        return dlnorm.layernorm_rnn_forward(
            *{**self.arguments, **changed}.values(), dict(self.ln_param)
        )

    def backward(self) -> dict[str, Array]:
        grads = dlnorm.layernorm_rnn_backward(self.dh, self.forward()[1])
        return dict(zip(NAMES, grads, strict=True))

    @property
    def first_step(self) -> dict[str, Array]:
        """The arguments of `layernorm_rnn_step_forward` at t = 0, by its own names."""
        x, h0, *rest = self.arguments.values()
        names = ("x", "prev_h", *NAMES[2:])
        return dict(zip(names, (x[:, 0], h0, *rest), strict=True))


def by_hand(sequence: Sequence) -> tuple[Array, float]:
    """Equation 4 of Ba et al. (2016) as it stands there: one sample, one step, one unit a time.

    And how far a computed state may be from it, as a length over the H units: r, by which a sum
    of D + H products is off, and what the last state was off by, times its weights, are divided by
    std, for standardizing is a projection that shortens if anything; tanh shortens too. The
    standardization adds its own error. One unit alone is its own mean, without any error.
    """
    x, h0, Wx, Wh, gamma, beta = (v.astype(np.float64) for v in sequence.arguments.values())
    dtype = sequence.arguments["x"].dtype
    eps, u, units = sequence.ln_param["eps"], unit_roundoff(dtype), len(gamma)
    n, t, d = x.shape
    h = np.empty((n, t, units))
    largest = 0.0
    for i in range(n):
        state, error = h0[i], 0.0
        for step in range(t):
            a = [Wh[:, unit] @ state + Wx[:, unit] @ x[i, step] for unit in range(units)]
            column = np.array(a)[:, np.newaxis]  # what `textbook` standardizes
            out, _, var = textbook(column, np.ones(1), np.zeros(1), eps)
            terms = np.abs(state) @ np.abs(Wh) + np.abs(x[i, step]) @ np.abs(Wx)
            r = 2 * (d + units + 1) * u * terms.max()  # 2: here and there
            own = x_hat_bound(column.astype(dtype)) * (
                1 + np.abs(out).max() + np.abs(beta / gamma).max()
            )
            passed_on = np.linalg.norm(Wh, 2) * error + units**0.5 * r
            passed_on = 0.0 if units == 1 else passed_on / float(np.sqrt(var[0] + eps))
            error = float(np.abs(gamma).max()) * (passed_on + units**0.5 * own)
            largest = max(largest, error)
            state = h[i, step] = np.tanh(gamma * out[:, 0] + beta)
    return h, largest


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_states_are_those_of_the_papers_equation(
    sizes: tuple[int, int, int, int], eps: float
) -> None:
    sequence = Sequence(sizes, eps)
    h, _ = sequence.forward()
    want, allowed = by_hand(sequence)
    assert allowed < 1e-6
    np.testing.assert_allclose(h, want, rtol=0, atol=allowed)


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gradients_through_time_equal_the_complex_step(
    sizes: tuple[int, int, int, int], eps: float
) -> None:
    sequence = Sequence(sizes, eps)
    grads = sequence.backward()
    # what sums up to a gradient: W times da, at most |gamma dh| / std, for each step and on
    stats = [step.norm.stats for step in sequence.forward()[1].steps]
    steepest = 1 / min(float(s.std.min()) for s in stats)
    for name, got in grads.items():

        def states(value: Array, name: str = name) -> Array:
            return sequence.forward(**{name: value})[0]

        want = complex_step_gradient(states, sequence.arguments[name], sequence.dh)
        assert got.shape == sequence.arguments[name].shape
        # with one unit, or two, da cancels to 0 but for eps: then its terms are the scale
        few = steepest if sizes[3] <= 2 else 0.0
        np.testing.assert_allclose(
            got, want, rtol=0, atol=1e-10 * max(float(np.abs(want).max()), few), err_msg=name
        )


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gradients_of_one_step_equal_the_complex_step(sizes: tuple[int, int, int, int]) -> None:
    sequence = Sequence(sizes, eps=1e-3)
    arguments, dnext_h = sequence.first_step, sequence.dh[:, 0]
    _, cache = dlnorm.layernorm_rnn_step_forward(*arguments.values(), {"eps": 1e-3})
    grads = dlnorm.layernorm_rnn_step_backward(dnext_h, cache)
    for (name, value), got in zip(arguments.items(), grads, strict=True):

        def next_h(value: Array, name: str = name) -> Array:
            changed = {**arguments, name: value}
            return dlnorm.layernorm_rnn_step_forward(*changed.values(), {"eps": 1e-3})[0]

        want = complex_step_gradient(next_h, value, dnext_h)
        assert got.shape == value.shape
        scale = max(float(np.abs(want).max()), 1e-3**-0.5 if sizes[3] == 1 else 0.0)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * scale, err_msg=name)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_first_state_is_the_steps(sizes: tuple[int, int, int, int]) -> None:
    sequence = Sequence(sizes)
    next_h, _ = dlnorm.layernorm_rnn_step_forward(*sequence.first_step.values(), {})
    np.testing.assert_array_equal(next_h, sequence.forward()[0][:, 0])


def test_a_sequence_in_two_parts_is_the_sequence() -> None:
    sequence = Sequence((3, 6, 2, 4))
    h, _ = sequence.forward()
    grads = sequence.backward()
    x = sequence.arguments["x"]
    first, cache1 = sequence.forward(x=x[:, :2])
    second, cache2 = sequence.forward(x=x[:, 2:], h0=first[:, -1])
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), h)

    later = dlnorm.layernorm_rnn_backward(sequence.dh[:, 2:], cache2)
    dh = sequence.dh[:, :2].copy()
    dh[:, -1] += later[1]  # what the second part says about its h0
    earlier = dlnorm.layernorm_rnn_backward(dh, cache1)
    both = {
        "x": np.concatenate([earlier[0], later[0]], axis=1),
        "h0": earlier[1],
        **{NAMES[i]: earlier[i] + later[i] for i in range(2, 6)},
    }
    for name, got in both.items():
        # the same terms added in another order
        assert dlnorm.relative_error(got, grads[name]) < 100 * unit_roundoff(np.float64), name


def test_without_recurrence_every_step_is_a_layer_norm_of_its_own() -> None:
    sequence = Sequence((3, 5, 2, 4))
    x, _, Wx, _, gamma, beta = sequence.arguments.values()
    h, _ = sequence.forward(Wh=np.zeros((4, 4)))
    normed, _ = dlnorm.layernorm_forward(x.reshape(15, 2) @ Wx, gamma, beta, {})
    np.testing.assert_allclose(h.reshape(15, 4), np.tanh(normed), rtol=0, atol=1e-14)


def test_what_happens_in_one_sequence_stays_there() -> None:
    sequence = Sequence((3, 5, 2, 4))
    h, _ = sequence.forward()
    loud = sequence.arguments["x"].copy()
    loud[1:] *= -50.0
    np.testing.assert_array_equal(sequence.forward(x=loud)[0][0], h[0])
    sequence.dh[1:] = 0
    grads = sequence.backward()
    assert not grads["x"][1:].any()
    assert not grads["h0"][1:].any()


def test_a_gradient_never_goes_forward_in_time() -> None:
    sequence = Sequence((2, 5, 3, 4))
    sequence.dh[:, 3:] = 0
    assert not sequence.backward()["x"][:, 3:].any()
    assert sequence.backward()["x"][:, :3].all()


@pytest.mark.parametrize("factor", [0.25, 4.0, -1.0, -8.0])
def test_scaling_all_weights_changes_nothing_but_the_sign(factor: float) -> None:
    # powers of two, so that not one rounding differs; eps is in units of a squared
    sequence = Sequence((3, 5, 2, 4))
    h, _ = sequence.forward()
    Wx, Wh = sequence.arguments["Wx"] * factor, sequence.arguments["Wh"] * factor
    sequence.ln_param = {"eps": 1e-5 * factor**2}
    gamma = sequence.arguments["gamma"] * np.sign(factor)
    np.testing.assert_array_equal(sequence.forward(Wx=Wx, Wh=Wh, gamma=gamma)[0], h)


def test_one_number_added_to_a_row_of_weights_changes_nothing() -> None:
    # it moves every unit's a by the same, and with it the mean
    sequence = Sequence((3, 5, 2, 4))
    h, _ = sequence.forward()
    Wx = sequence.arguments["Wx"] + np.array([[3.0], [-2.0]])
    # a is about 5 times larger than its spread, which costs 5 roundings a step
    np.testing.assert_allclose(sequence.forward(Wx=Wx)[0], h, rtol=0, atol=1e-12)


@QUICK
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(3, 6)),
    eps=st.floats(1e-3, 1),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 99),
)
def test_any_sizes_dtype_and_memory_layout(
    sizes: tuple[int, int, int, int], eps: float, dtype: type[np.floating], seed: int
) -> None:
    sequence = Sequence(sizes, eps, dtype, seed)
    (want, allowed), grads = by_hand(sequence), sequence.backward()
    for layout in layouts(sequence.dh):
        arguments = {name: layouts(v)[layout] for name, v in sequence.arguments.items()}
        dh = layouts(sequence.dh)[layout]
        with unchanged(dh=dh, ln_param=sequence.ln_param, **arguments):
            out, cache = dlnorm.layernorm_rnn_forward(*arguments.values(), sequence.ln_param)
            with unchanged(cache=cache):
                got = dlnorm.layernorm_rnn_backward(dh, cache)
        assert {a.dtype for a in (out, *got)} == {np.dtype(dtype)}
        np.testing.assert_allclose(out, want, rtol=0, atol=allowed, err_msg=layout)
        # the cell keeps copies, all laid out alike; of the gradients only the first sums, over dh,
        # can run in another order. As much room as the complex step has: 1e-10 is 9e5 u
        for name, grad in zip(grads, got, strict=True):
            difference = np.abs(grad - grads[name]).max()
            assert difference <= 9e5 * unit_roundoff(dtype) * np.abs(grads[name]).max(), name


def test_float64_weights_leave_float32_data_in_float32() -> None:
    sequence = Sequence((2, 3, 4, 5), dtype=np.float32)
    want, _ = sequence.forward()
    double = {k: v.astype(np.float64) for k, v in sequence.arguments.items() if k != "x"}
    got, _ = sequence.forward(**double)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)


def test_the_cache_is_its_own() -> None:
    sequence = Sequence((2, 3, 4, 5))
    want = sequence.backward()
    h, cache = sequence.forward()
    next_h, step = dlnorm.layernorm_rnn_step_forward(*sequence.first_step.values(), {})
    of_step = dlnorm.layernorm_rnn_step_backward(sequence.dh[:, 0], step)
    for array in (h, next_h, *sequence.arguments.values()):
        array[...] = np.nan
    for name, got in zip(NAMES, dlnorm.layernorm_rnn_backward(sequence.dh, cache), strict=True):
        np.testing.assert_array_equal(got, want[name], err_msg=name)
    again = dlnorm.layernorm_rnn_step_backward(sequence.dh[:, 0], step)
    for got, value in zip(again, of_step, strict=True):
        np.testing.assert_array_equal(got, value)


def test_the_steps_share_one_copy_of_the_weights() -> None:
    _, cache = Sequence((2, 7, 4, 5)).forward()
    for weight in ("Wx", "Wh"):
        assert len({id(getattr(step, weight)) for step in cache.steps}) == 1
    held = {id(array): array.size for array in arrays_in(cache)}
    n, t, d, h = 2, 7, 4, 5
    states, weights = n * t * (d + 3 * h), (d + h) * h  # x; prev_h, x_hat, slope; Wx and Wh
    assert sum(held.values()) == states + weights + t * (3 * n + h)  # mean, var, std; gamma


BAD_SEQUENCES = [
    ("x", np.ones((3, 2)), ValueError, "x must have shape (N, T, D), got shape (3, 2)"),
    ("x", np.ones((3, 0, 2)), ValueError, "x must not be empty, got shape (3, 0, 2)"),
    ("x", np.full((3, 5, 2), np.nan), ValueError, "x must be finite, got 30 NaN"),
    ("x", [[[1.0]]], TypeError, "x must be a plain NumPy array, got list"),
    ("h0", np.ones((2, 4)), ValueError, "h0 must have shape (3, 4), got (2, 4)"),
    ("h0", np.ones(4), ValueError, "h0 must have shape (N, H), got shape (4,)"),
    ("h0", None, TypeError, "h0 must be a plain NumPy array, got NoneType"),
    ("h0", np.full((3, 4), np.inf), ValueError, "h0 must be finite, got 12 NaN or infinite of 12"),
    ("Wx", np.ones((4, 2)), ValueError, "Wx must have shape (2, 4), got (4, 2)"),
    ("Wx", np.ones((2, 4), int), TypeError, "Wx must be of dtype float32 or float64, got int64"),
    ("Wx", np.full((2, 4), np.nan), ValueError, "Wx must be finite"),
    ("Wh", np.ones((2, 4)), ValueError, "Wh must have shape (4, 4), got (2, 4)"),
    ("Wh", np.full((4, 4), np.nan), ValueError, "Wh must be finite"),
    ("Wh", np.full((4, 4), 1e308), ValueError, "h @ Wh + x @ Wx must be finite"),
    ("gamma", np.ones(2), ValueError, "gamma must have shape (4,) or (1, 4)"),
    ("beta", np.ones(2), ValueError, "beta must have shape (4,) or (1, 4)"),
    ("ln_param", 1e-5, TypeError, "ln_param must be a dict, got float"),
    ("ln_param", {"eps": -1}, ValueError, "ln_param['eps'] must lie in [0, inf), got -1"),
]


@pytest.mark.parametrize(("name", "value", "error", "message"), BAD_SEQUENCES)
def test_bad_arguments_of_a_sequence_are_named(
    name: str, value: Any, error: type[Exception], message: str
) -> None:
    sequence = Sequence((3, 5, 2, 4))
    arguments = {**sequence.arguments, "h0": np.full((3, 4), 10.0), "ln_param": {}, name: value}
    with pytest.raises(error) as raised:
        dlnorm.layernorm_rnn_forward(*arguments.values())
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("x", np.ones((3, 5, 2)), ValueError, "x must have shape (N, D), got shape (3, 5, 2)"),
        ("x", np.ones((2, 2)), ValueError, "prev_h must have shape (2, 4), got (3, 4)"),
        ("prev_h", np.ones((3, 4, 1)), ValueError, "prev_h must have shape (N, H)"),
        *[bad for bad in BAD_SEQUENCES if bad[0] not in ("x", "h0") and bad[1] is not None][:4],
    ],
)
def test_bad_arguments_of_a_step_are_named(
    name: str, value: Any, error: type[Exception], message: str
) -> None:
    arguments = {**Sequence((3, 5, 2, 4)).first_step, "ln_param": {}, name: value}
    with pytest.raises(error) as raised:
        dlnorm.layernorm_rnn_step_forward(*arguments.values())
    assert message in str(raised.value)


def test_bad_gradients_and_caches_are_named() -> None:
    sequence = Sequence((3, 5, 2, 4))
    cache = sequence.forward()[1]
    with pytest.raises(ValueError, match=r"^dh must have shape \(3, 5, 4\), got \(3, 4\)"):
        dlnorm.layernorm_rnn_backward(np.ones((3, 4)), cache)
    with pytest.raises(ValueError, match=r"^dh must be finite"):
        dlnorm.layernorm_rnn_backward(np.full((3, 5, 4), np.nan), cache)
    with pytest.raises(TypeError, match=r"^cache must come from layernorm_rnn_forward, got .*Step"):
        dlnorm.layernorm_rnn_backward(sequence.dh, cache.steps[0])
    with pytest.raises(ValueError, match=r"^dnext_h must have shape \(3, 4\), got \(4, 3\)"):
        dlnorm.layernorm_rnn_step_backward(np.ones((4, 3)), cache.steps[0])
    with pytest.raises(TypeError, match=r"^cache must come from layernorm_rnn_step_forward"):
        dlnorm.layernorm_rnn_step_backward(np.ones((3, 4)), cache)


# ---------------------------------------------------------------- images


def test_gamma_per_entry_is_told_from_gamma_per_channel_by_its_shape() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 3))
    weights = np.random.default_rng(1).standard_normal((3, 3, 3))
    out, _ = dlnorm.spatial_layernorm_forward(x, weights, np.zeros((3, 3, 3)), {})
    plain, _ = dlnorm.spatial_layernorm_forward(x, np.ones(3), np.zeros(3), {})
    np.testing.assert_array_equal(out, weights * plain)


@pytest.mark.parametrize("shape", [(2,), (3, 1, 1), (1, 3, 4, 5), (4, 5, 3), (1, 1, 1, 3), ()])
def test_the_forms_of_gamma_are_listed_where_it_has_none_of_them(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    for wrong in ("gamma", "beta"):
        parameters = {"gamma": np.ones(3), "beta": np.zeros(3), wrong: np.ones(shape)}
        with pytest.raises(ValueError, match=f"^{wrong} must have shape") as raised:
            dlnorm.spatial_layernorm_forward(x, **parameters, ln_param={})
        forms = "(3,), (1, 3, 1, 1) or (3, 4, 5) to match x of shape (2, 3, 4, 5)"
        assert f"{forms}, got {shape}" in str(raised.value)


# ---------------------------------------------------------------- RMS norm


def test_rms_norm_notices_a_shift_and_layer_norm_does_not() -> None:
    layer, rms = norms_of((3, 5))
    moved = {}
    for norm in (layer, rms):
        case = NormCase(norm, (3, 5))
        moved[norm.name] = np.abs(case.forward(x=case.x + 8.0)[0] - case.forward()[0]).max()
    assert moved["layer"] < 1e-13
    assert moved["rms"] > 0.1


def test_rows_of_zeros_are_normalized_to_zeros() -> None:
    x = np.zeros((2, 3))
    x[1] = 1.0
    out, cache = dlnorm.rmsnorm_forward(x, np.full(3, 2.0), {"eps": 1e-4})
    np.testing.assert_array_equal(out[0], 0)
    dx, _ = dlnorm.rmsnorm_backward(np.ones((2, 3)), cache)
    np.testing.assert_allclose(dx[0], 2.0 / 1e-2, rtol=1e-15)
