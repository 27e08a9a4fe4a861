"""What crosses the wall comes out equal, what may not is refused, and nothing is ever run."""

from __future__ import annotations

import math
import pickle
import random
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbwarden import codec
from nbwarden.codec import CodecError, Limits, Ref, decode, encode

pytestmark = pytest.mark.without_sandbox

DTYPES = (
    hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes() | hnp.complex_number_dtypes()
)  # fmt: skip
KEYS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
LEAVES = (
    KEYS
    | st.complex_numbers()
    | hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    | st.builds(lambda n: np.random.default_rng(n), st.integers(0, 2**32))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=5)
        | st.sets(KEYS, max_size=5)
        | st.frozensets(KEYS, max_size=5)
    ),
    max_leaves=20,
)


def same(a, b):
    """Equal in type and value, NaN equal to NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(k, m) and same(v, w) for (k, v), (m, w) in zip(a.items(), b.items(), strict=True)
        )
    if isinstance(a, np.random.Generator):
        return str(a.bit_generator.state) == str(b.bit_generator.state)
    if isinstance(a, (set, frozenset)):
        return sorted(map(repr, a)) == sorted(map(repr, b))
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    return repr(a) == repr(b)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_a_value_comes_out_as_it_went_in(value):
    assert same(decode(encode(value)), value)


@given(VALUES, st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_messages_are_refused_or_give_plain_values(value, data):
    message = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(message) - 1))
        message[at] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(message))
    except CodecError:
        return
    encode(found)  # whatever it is, it is a plain value


@given(st.binary(max_size=300))
@settings(max_examples=500, deadline=None)
def test_noise_is_refused_or_gives_a_plain_value(message):
    with suppress(CodecError):
        encode(decode(message))


@pytest.mark.parametrize("kind", [np.float32, np.int8, np.uint64, np.bool_, np.complex64])
def test_numpy_scalars_keep_their_type(kind):
    assert type(decode(encode(kind(1)))) is kind


@pytest.mark.parametrize(
    "value",
    [range(3), slice(1, None, 2), ..., float, np.float32, np.dtype("i2"), bytearray(b"x"), 2**4000],
)
def test_other_plain_values_cross(value):
    assert decode(encode(value)) == value


def test_strides_do_not_matter_and_what_comes_is_ones_own():
    table = np.arange(12.0).reshape(3, 4)
    for view in (table.T, table[::2, ::-1], np.broadcast_to(1.0, (3, 2)), table[1, 1]):
        found = decode(encode(view))
        assert np.array_equal(found, view)
    found = decode(encode(table))
    found[0, 0] = 99
    assert table[0, 0] == 0


def test_dicts_of_the_standard_library_cross_as_dicts():
    from collections import Counter, OrderedDict, defaultdict

    for made in (Counter("aab"), OrderedDict(a=1), defaultdict(int, a=1)):
        assert decode(encode(made)) == dict(made)


class Evil(np.ndarray):
    """Compares as it likes."""

    def __eq__(self, other):
        return np.ones(self.shape, bool)


class EvilInt(int):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


@pytest.mark.parametrize(
    "value",
    [
        object(), len, lambda: 0, Evil((2,)), EvilInt(3), np.array([object()]), np.ma.array([1]),
        type("S", (str,), {})("x"), type("L", (list,), {})(), np.array(["text"]),
        np.zeros(2, [("a", int)]), np.datetime64("2020-01-01"), Evil, open,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_nothing_else_crosses_by_value(value):
    with pytest.raises(CodecError):
        encode(value)
    stays = Ref("student", 7, "object", "Evil")
    assert decode(encode([value], lambda _: stays), lambda ref: ref) == [stays]


def test_a_reference_is_refused_where_none_may_come():
    message = encode([len], lambda _: Ref("student", 1, "callable", "len"))
    with pytest.raises(CodecError, match="reference"):
        decode(message)


def test_pickles_are_noise():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(CodecError):
            decode(pickle.dumps([1, 2], protocol))


def test_depth_size_and_number_are_limited_both_ways():
    nested = []
    for _ in range(60):
        nested = [nested]
    endless = []
    endless.append(endless)
    for value in (nested, endless):
        with pytest.raises(CodecError, match="nested"):
            encode(value)
    wide = Limits(depth=100)
    with pytest.raises(CodecError, match="nested"):
        decode(encode(nested, limits=wide))
    with pytest.raises(CodecError, match="MB"):
        encode(np.zeros(10_000), limits=Limits(bytes=1000))
    with pytest.raises(CodecError, match="parts"):
        encode([0] * 100, limits=Limits(items=50))
    with pytest.raises(CodecError, match="parts"):
        decode(encode([0] * 100), limits=Limits(items=50))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"?",
        b"NN",
        b"l" + struct.pack("<Q", 2**60),
        b"m" + struct.pack("<Q", 2**62),
        b"s" + struct.pack("<Q", 2**63),
        b"a" + struct.pack("<Q", 3) + b"<f8" + bytes([1]) + struct.pack("<Q", 2**50) + b"_"
        + struct.pack("<Q", 0),
        b"a" + struct.pack("<Q", 2) + b"|O" + bytes([0]) + b"_" + struct.pack("<Q", 0),
        b"a" + struct.pack("<Q", 4) + b"<M8D" + bytes([0]) + b"_" + struct.pack("<Q", 0),
        b"y" + struct.pack("<Q", 4) + b"eval",
        b"m" + struct.pack("<Q", 1) + b"l" + struct.pack("<Q", 0) + b"N",
        b"g" + struct.pack("<Q", 1) + encode({"bit_generator": "__class__"}),
        b"g" + struct.pack("<Q", 1) + encode({"bit_generator": "PCG64", "state": 3}),
        b"g" + struct.pack("<Q", 0),
        b"r" + struct.pack("<Q", 3) + encode(1) + encode(2) + encode(0),
    ],
)  # fmt: skip
def test_malformed_messages_are_refused_before_memory_is_taken(message):
    with pytest.raises(CodecError):
        decode(message)


def test_the_global_generators_go_and_come_back():
    kept = codec.global_random_state()
    try:
        np.random.seed(1)
        random.seed(1)
        before = codec.global_random_state()
        state = decode(encode(codec.sendable(before)))
        first = np.random.rand(), np.random.randn(), random.random(), random.gauss(0, 1)
        codec.set_global_random_state(state)
        assert codec.same_state(before, codec.global_random_state())
        again = np.random.rand(), np.random.randn(), random.random(), random.gauss(0, 1)
        assert not codec.same_state(before, codec.global_random_state())
        assert first == again
        for wrong in (None, {}, {**state, "numpy": {}}, {**state, "python": (3, [], None)}):
            with pytest.raises(CodecError):
                codec.set_global_random_state(wrong)
    finally:
        codec.set_global_random_state(codec.sendable(kept))
