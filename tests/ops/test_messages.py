"""Every argument of every function, given wrongly: the message names it, says what came and what
was expected, and nothing was changed by the refused call.

A row of a table is the wrong argument, the kind of error, and the words its message must have.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import dlnorm
from tests.ops.cases import Array, unchanged

Function = Callable[..., Any]


@dataclass(frozen=True)
class Wrong:
    """A call that must be refused: `function` with its good arguments, `changed` exchanged."""

    function: Function
    changed: dict[str, Any]
    kind: type[Exception]
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.function.__name__}: {' '.join(self.words)}"


def random(*shape: int) -> Array:
    return np.random.default_rng(3).uniform(0.5, 2, shape)


BN = {"mode": "train", "eps": 1e-5, "momentum": 0.9}
BN |= {"running_mean": random(3), "running_var": random(3)}
DROP = {"p": 0.3, "mode": "train", "seed": 1}
FLAT, IMAGE = (4, 3), (2, 3, 4, 5)
FORWARD = {dlnorm.batchnorm_forward: FLAT, dlnorm.spatial_batchnorm_forward: IMAGE}
BACKWARD = {
    dlnorm.batchnorm_backward: FLAT,
    dlnorm.batchnorm_backward_staged: FLAT,
    dlnorm.spatial_batchnorm_backward: IMAGE,
}
DROPOUT = (dlnorm.dropout_forward, dlnorm.classical_dropout_forward)
DROPOUT_BACKWARD = (dlnorm.dropout_backward, dlnorm.classical_dropout_backward)
NUMERIC = (dlnorm.numeric_gradient, dlnorm.complex_step_gradient)


def good(function: Function) -> dict[str, Any]:
    """Arguments that are right."""
    if function in FORWARD:
        arguments = {"gamma": random(3), "beta": random(3), "bn_param": copy.deepcopy(BN)}
        return {"x": random(*FORWARD[function]), **arguments}
    if function in BACKWARD:
        shape = BACKWARD[function]
        forward = {2: dlnorm.batchnorm_forward, 4: dlnorm.spatial_batchnorm_forward}[len(shape)]
        _, cache = forward(random(*shape), random(3), random(3), copy.deepcopy(BN))
        return {"dout": random(*shape), "cache": cache}
    if function in DROPOUT:
        return {"x": random(*FLAT), "dropout_param": dict(DROP)}
    if function in DROPOUT_BACKWARD:
        return {"dout": random(*FLAT), "cache": dlnorm.dropout_forward(random(*FLAT), DROP)[1]}
    if function is dlnorm.standardize:
        return {"x": random(*FLAT), "axes": 0, "eps": 1e-5}
    if function is dlnorm.standardize_backward:
        return {"dx_hat": random(*FLAT), "cache": dlnorm.standardize(random(*FLAT), 0)[1]}
    if function in NUMERIC:
        return {"f": np.square, "x": random(*FLAT), "dout": random(*FLAT), "h": 1e-6}
    assert function is dlnorm.relative_error
    return {"a": random(*FLAT), "b": random(*FLAT)}


# ------------------------------------------------------------------ arrays

#: For each array: what its shape is called in the message, and shapes that are wrong.
Shapes = tuple[str, list[tuple[int, ...]]]
PARAMETER: Shapes = ("(3,)", [(), (1,), (2,), (4,), (3, 1), (1, 2), (3, 3)])
LIKE_FLAT: Shapes = ("(4, 3)", [(), (4,), (3, 4), (4, 1), (1, 3), (4, 3, 1)])
LIKE_IMAGE: Shapes = ("(2, 3, 4, 5)", [(), (2, 3), (2, 3, 5, 4), (2, 4, 5, 3), (2, 3, 1, 1)])
X_FLAT: Shapes = ("(N, D)", [(), (4,), (4, 3, 1), (2, 3, 4, 5)])
X_IMAGE: Shapes = ("(N, C, H, W)", [(), (4, 3), (2, 3, 4), (2, 3, 4, 5, 1)])
ARRAYS: dict[Function, dict[str, Shapes]] = {
    dlnorm.batchnorm_forward: {"x": X_FLAT, "gamma": PARAMETER, "beta": PARAMETER},
    dlnorm.spatial_batchnorm_forward: {
        "x": X_IMAGE,
        "gamma": ("(1, 3, 1, 1)", PARAMETER[1]),
        "beta": ("(1, 3, 1, 1)", [*PARAMETER[1], (1, 3)]),
    },
    dlnorm.batchnorm_backward: {"dout": LIKE_FLAT},
    dlnorm.batchnorm_backward_staged: {"dout": LIKE_FLAT},
    dlnorm.spatial_batchnorm_backward: {"dout": LIKE_IMAGE},
    dlnorm.dropout_forward: {"x": ("(N, ...)", [()])},
    dlnorm.classical_dropout_forward: {"x": ("(N, ...)", [()])},
    dlnorm.dropout_backward: {"dout": LIKE_FLAT},
    dlnorm.classical_dropout_backward: {"dout": LIKE_FLAT},
    dlnorm.standardize: {"x": ("", [])},
    dlnorm.standardize_backward: {"dx_hat": LIKE_FLAT},
    dlnorm.numeric_gradient: {"x": ("", []), "dout": ("", [])},
    dlnorm.complex_step_gradient: {"x": ("", []), "dout": ("", [])},
    dlnorm.relative_error: {"a": ("", []), "b": LIKE_FLAT},
}


def wrong_arrays(value: Array) -> Iterator[tuple[Any, type[Exception], tuple[str, ...]]]:
    """What is no finite float array of this shape, and the words for it."""
    for other, name in (
        (value.tolist(), "list"),
        (None, "NoneType"),
        (1.5, "float"),
        (np.float64(1.5), "float64"),
        ("x", "str"),
        (np.ma.masked_array(value), "MaskedArray"),
    ):
        yield other, TypeError, ("must be a plain NumPy array", f"got {name}")
    for dtype in ("int64", "int32", "bool", "float16", "complex64", "object", ">f8", "<U4"):
        words = ("must be of dtype float32 or float64", f"got {np.dtype(dtype)}")
        yield value.astype(dtype), TypeError, words
    empty = np.empty((0, *value.shape[1:]))
    yield empty, ValueError, ("must not be empty", f"got shape {empty.shape}")
    for bad in (np.nan, np.inf, -np.inf):
        one = value.copy()
        one.flat[-1] = bad
        yield one, ValueError, ("must be finite", f"got 1 NaN or infinite of {value.size}")


def array_rows() -> Iterator[Wrong]:
    for function, arguments in ARRAYS.items():
        for name, (expected, shapes) in arguments.items():
            value = good(function)[name]
            for other, kind, words in wrong_arrays(value):
                yield Wrong(function, {name: other}, kind, (name, *words))
            for shape in shapes:
                words = (name, "must have shape", expected, f"got {shape}")
                if expected.startswith("(N"):
                    words = (*words[:3], f"got shape {shape}")
                yield Wrong(function, {name: random(*shape)}, ValueError, words)


# ------------------------------------------------------------------ the dicts

REMOVED = object()


def in_dict(
    functions: Any, name: str, key: str, value: Any, kind: type[Exception], *words: str
) -> Iterator[Wrong]:
    """Exchange one entry of the dict called `name`, or remove it."""
    for function in functions:
        param = {**good(function)[name], key: value}
        if value is REMOVED:
            del param[key]
        yield Wrong(function, {name: param}, kind, (name, *words))


def numbers_outside(
    functions: Any, name: str, key: str, interval: str, outside: tuple[float, ...]
) -> Iterator[Wrong]:
    for value in outside:
        words = (f"['{key}']", f"must lie in {interval}", f"got {float(value)}")
        yield from in_dict(functions, name, key, value, ValueError, *words)
    for value in ("0.5", None, True, np.True_, 0.5j, [0.5], np.array(0.5)):
        words = (f"['{key}']", "must be a number", f"got {type(value).__name__}")
        yield from in_dict(functions, name, key, value, TypeError, *words)


def dict_rows() -> Iterator[Wrong]:
    for name, functions in (("bn_param", FORWARD), ("dropout_param", DROPOUT)):
        for function in functions:
            for other in (None, "train", [("mode", "train")], 0.5):
                words = (name, "must be a dict", f"got {type(other).__name__}")
                yield Wrong(function, {name: other}, TypeError, words)
        words = ("must have the key 'mode'", "got the keys")
        yield from in_dict(functions, name, "mode", REMOVED, ValueError, *words)
        for mode in ("training", "Train", "", None, True, ["train"], b"train"):
            words = ("['mode']", "must be 'train' or 'test'", f"got {mode!r}")
            yield from in_dict(functions, name, "mode", mode, ValueError, *words)

    nan, inf = float("nan"), float("inf")
    yield from numbers_outside(FORWARD, "bn_param", "eps", "[0, inf)", (-1e-9, -1, nan, inf))
    yield from numbers_outside(
        FORWARD, "bn_param", "momentum", "[0, 1)", (-0.1, 1, 1.0, 10, nan, inf)
    )
    yield from numbers_outside(
        DROPOUT, "dropout_param", "p", "[0, 1)", (-0.1, 1, 1.0, 50, nan, inf, -inf)
    )
    words = ("must have the key 'p'", "got the keys", "mode")
    yield from in_dict(DROPOUT, "dropout_param", "p", REMOVED, ValueError, *words)
    for per in ("column", "", None, 1, ["unit"]):
        words = ("['per']", "must be 'element' or 'unit'", f"got {per!r}")
        yield from in_dict(DROPOUT, "dropout_param", "per", per, ValueError, *words)
    for seed in (1.0, "1", True, [1, 2], np.random.default_rng(0)):
        words = ("['seed']", "must be an int", f"got {type(seed).__name__}")
        yield from in_dict(DROPOUT, "dropout_param", "seed", seed, TypeError, *words)
    words = ("['seed']", "must be at least 0", "got -1")
    yield from in_dict(DROPOUT, "dropout_param", "seed", -1, ValueError, *words)
    both = ("must have the key 'seed' or 'rng'", "got both")
    generator = np.random.default_rng(0)
    yield from in_dict(DROPOUT, "dropout_param", "rng", generator, ValueError, *both)
    for function in DROPOUT:
        for rng in (np.random, np.random.RandomState(0), 3, np.random.PCG64(0)):
            param = {"p": 0.3, "mode": "train", "rng": rng}
            expected = "must be a numpy.random.Generator"
            words = ("dropout_param['rng']", expected, f"got {type(rng).__name__}")
            yield Wrong(function, {"dropout_param": param}, TypeError, words)

    for key in ("running_mean", "running_var"):
        label = f"bn_param['{key}']"
        for function in FORWARD:
            if len(FORWARD[function]) == 4:
                shapes: list[tuple[int, ...]] = [(), (1,), (2,), (3, 1), (1, 3)]
            else:
                shapes = [(), (1,), (2,), (3, 1), (1, 3, 1, 1)]
            for shape in shapes:
                words = (label, "must have shape (3,)", f"got {shape}")
                yield from in_dict([function], "bn_param", key, random(*shape), ValueError, *words)
        for other, kind, more in wrong_arrays(random(3)):
            if other is not None:  # None stands for "not there yet"
                yield from in_dict(FORWARD, "bn_param", key, other, kind, label, *more)
    negative = np.array([1.0, -0.25, 0.0])
    words = ("bn_param['running_var']", "must not be negative", "got -0.25")
    yield from in_dict(FORWARD, "bn_param", "running_var", negative, ValueError, *words)


# ------------------------------------------------------------------ the rest


def other_rows() -> Iterator[Wrong]:
    flat, image = dlnorm.batchnorm_forward, dlnorm.spatial_batchnorm_forward
    foreign = {
        "BatchNormCache": good(dlnorm.batchnorm_backward)["cache"],
        "DropoutCache": good(dlnorm.dropout_backward)["cache"],
        "StandardizeCache": good(dlnorm.standardize_backward)["cache"],
        "tuple": (random(*FLAT), random(3)),
        "dict": {},
        "NoneType": None,
    }
    own = {
        **dict.fromkeys(BACKWARD, ("BatchNormCache", "a batch-norm forward pass")),
        **dict.fromkeys(DROPOUT_BACKWARD, ("DropoutCache", "a dropout forward pass")),
        dlnorm.standardize_backward: ("StandardizeCache", "standardize"),
    }
    for function, (mine, origin) in own.items():
        for name, cache in foreign.items():
            if name != mine:
                words = ("cache", f"must come from {origin}", f"got {name}")
                yield Wrong(function, {"cache": cache}, TypeError, words)
    in_test_mode = flat(random(*FLAT), random(3), random(3), {**BN, "mode": "test"})[1]
    words = ("cache", "must come from mode 'train'", "got a cache from mode 'test'")
    yield Wrong(dlnorm.batchnorm_backward_staged, {"cache": in_test_mode}, ValueError, words)

    for eps in (-1e-9, float("nan"), float("inf")):
        words = ("eps", "must lie in [0, inf)", f"got {eps}")
        yield Wrong(dlnorm.standardize, {"eps": eps}, ValueError, words)
    for eps in ("1e-5", None, True):
        words = ("eps", "must be a number", f"got {type(eps).__name__}")
        yield Wrong(dlnorm.standardize, {"eps": eps}, TypeError, words)
    axes_words = ("axes", "must be an int, or a tuple of different ints, in [-2, 2)")
    for axes in (2, -3, (0, 2), (0, 0), (0, -2)):
        words = (*axes_words, f"got {axes!r}")
        yield Wrong(dlnorm.standardize, {"axes": axes}, ValueError, words)
    for axes in (0.0, "0", None, (0.5,)):
        words = (*axes_words, f"got {axes!r}")
        yield Wrong(dlnorm.standardize, {"axes": axes}, TypeError, words)
    words = ("axes", "must name at least one axis", "got ()")
    yield Wrong(dlnorm.standardize, {"axes": ()}, ValueError, words)

    # numbers that are too large or too alike for the dtype
    huge = random(*FLAT)
    huge[0, 0] = 1e200
    words = ("x", "must be small enough to compute with in float64", "got entries up to 1e+200")
    yield Wrong(dlnorm.standardize, {"x": huge}, ValueError, words)
    yield Wrong(flat, {"x": huge}, ValueError, words)
    words = ("gamma", "must be small enough to compute with in float32", "up to 1e+200")
    yield Wrong(flat, {"gamma": np.full(3, 1e200), "x": random(*FLAT).astype("f4")}, *_two(words))
    sharp = {**BN, "mode": "test", "running_var": np.zeros(3), "eps": 1e-300}
    words = ("x", "must be small enough to compute with in float64", "got entries up to 1e+200")
    yield Wrong(flat, {"x": huge, "bn_param": sharp}, *_two(words))
    alike = random(*FLAT)
    alike[:, 1:] = 0.25  # whose sum and mean are exact
    words = ("eps", "must be larger", "2 of 3 variances", "got eps = 0")
    yield Wrong(dlnorm.standardize, {"x": alike, "eps": 0.0}, *_two(words))
    yield Wrong(flat, {"x": alike, "bn_param": {**BN, "eps": 0}}, *_two(words))
    words = ("eps", "must be larger", "3 of 3 variances", "got eps = 0")
    zero = {**BN, "mode": "test", "running_var": np.zeros(3), "eps": 0.0}
    yield Wrong(flat, {"bn_param": zero}, *_two(words))
    yield Wrong(image, {"bn_param": zero}, *_two(words))
    words = ("eps", "must be larger", "in float32", "got eps = 1e-50")
    small = {"x": np.ones(FLAT, np.float32), "eps": 1e-50}
    yield Wrong(dlnorm.standardize, small, *_two(words))
    words = ("eps", "must be smaller", "got eps = 1e+39")
    yield Wrong(dlnorm.standardize, {**small, "eps": 1e39}, *_two(words))

    for function in NUMERIC:
        for h in (0, -1e-6, float("nan"), float("inf")):
            words = ("h", "must lie in (0, inf)", f"got {float(h)}")
            yield Wrong(function, {"h": h}, ValueError, words)
        for h in ("1", None, True, 1j):
            words = ("h", "must be a number", f"got {type(h).__name__}")
            yield Wrong(function, {"h": h}, TypeError, words)
        for f in (None, 3.0, random(*FLAT)):
            words = ("f", "must be a function", f"got {type(f).__name__}")
            yield Wrong(function, {"f": f}, TypeError, words)
        words = ("f(x)", "must have shape (4, 3)", "got (3,)")
        yield Wrong(function, {"f": lambda x: x.sum(axis=0)}, ValueError, words)
        words = ("f(x)", "must be finite")
        yield Wrong(function, {"f": lambda x: x * np.nan}, ValueError, words)
        for name in ("x", "dout"):
            words = (name, "must be of dtype float32 or float64", "got complex128")
            yield Wrong(function, {name: random(*FLAT) + 0j}, TypeError, words)
    words = ("f", "must keep complex numbers complex", "got float64")
    for f in (np.abs, np.real, lambda x: np.zeros(FLAT)):
        yield Wrong(dlnorm.complex_step_gradient, {"f": f}, TypeError, words)


def _two(words: tuple[str, ...]) -> tuple[type[Exception], tuple[str, ...]]:
    return ValueError, words


ROWS = [*array_rows(), *dict_rows(), *other_rows()]


@pytest.mark.parametrize("wrong", ROWS, ids=str)
def test_a_wrong_argument_is_refused_by_name(wrong: Wrong) -> None:
    arguments = {**good(wrong.function), **wrong.changed}
    watched = {
        name: value
        for name, value in arguments.items()
        if name in ("x", "gamma", "beta", "dout", "bn_param")
    }
    with unchanged(**watched), pytest.raises(wrong.kind) as error:
        wrong.function(**arguments)
    assert type(error.value) is wrong.kind
    for word in wrong.words:
        assert word in str(error.value)
    (name, *_) = wrong.words
    assert str(error.value).startswith(name)


@pytest.mark.parametrize("function", ARRAYS, ids=lambda function: function.__name__)
def test_the_good_arguments_are_accepted(function: Function) -> None:
    function(**good(function))


def test_every_function_is_in_the_table() -> None:
    tested = {row.function for row in ROWS}
    own = {"batchnorm", "dropout", "standardize", "gradcheck"}
    for name in dlnorm.__all__:
        function = getattr(dlnorm, name)
        if callable(function) and function.__module__.removeprefix("dlnorm.") in own:
            assert function in tested or isinstance(function, type), name


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_refused_because_it_multiplies_otherwise() -> None:
    with pytest.raises(TypeError, match="x must be a plain NumPy array, got matrix"):
        dlnorm.standardize(np.matrix(random(*FLAT)), 0)


def test_train_mode_of_dropout_checks_the_same_in_test_mode() -> None:
    for more in ({"seed": -1}, {"rng": 3}, {"per": "row"}, {"seed": 1, "rng": "both"}):
        with pytest.raises((TypeError, ValueError), match=r"^dropout_param"):
            dlnorm.dropout_forward(random(*FLAT), {"p": 0.3, "mode": "test", **more})


def test_keys_of_any_type_are_listed_when_one_is_missing() -> None:
    with pytest.raises(ValueError, match=r"must have the key 'p', got the keys \[1, 'mode'\]"):
        dlnorm.dropout_forward(random(*FLAT), {1: 2, "mode": "train"})


def test_complex_input_is_accepted_because_the_complex_step_needs_it() -> None:
    x = random(*FLAT) + 1e-100j
    assert dlnorm.standardize(x, 0)[0].dtype == np.complex128
    for function in FORWARD:
        arguments = good(function)
        assert function(**{**arguments, "gamma": random(3) + 1e-100j})[0].dtype == np.complex128
