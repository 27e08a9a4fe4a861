"""The operations against ONNX: its backend test cases and its reference implementation.

How the two vocabularies map:

==================  ====================================================================
ONNX                here
==================  ====================================================================
epsilon             bn_param["eps"]
momentum            bn_param["momentum"]: both keep `momentum` of the old value
training_mode = 0   mode "test"; the inputs `mean` and `var` are the running statistics
training_mode = 1   mode "train"; the outputs 2 and 3 are the new running statistics, both
                    with the biased variance
Dropout `ratio`     dropout_param["p"], the probability that an entry is dropped; 0.5 if absent
Dropout `seed`      of `numpy.random.RandomState`, in both the cases and the reference
==================  ====================================================================

A mask is compared entry by entry: the generator handed to `dlnorm` replays the uniform numbers
that ONNX drew, and both sides keep what is ``>= ratio``. No case is skipped.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.backend.test.case import node as node_cases
from onnx.reference import ReferenceEvaluator

import dlnorm
from tests.ops.cases import (
    EPS,
    FORWARD,
    SHAPES_2D,
    SHAPES_4D,
    Array,
    BatchNormCase,
    Scripted,
    entries,
    unit_roundoff,
    x_hat_bound,
)

OPS = ("BatchNormalization", "Dropout")


def collect() -> list[Any]:
    """Every node test case of the two operations that the installed onnx has.

    A case is made when the module that describes it is imported. Importing all 1900 takes
    seconds, so only the modules whose text names one of the operations are. The cases draw from
    NumPy's global generator, which is seeded here so that every run tests the same numbers.
    """
    state = np.random.get_state()
    np.random.seed(0)
    package = Path(node_cases.__file__).parent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(package.glob("*.py")):
            source = path.read_text(encoding="utf-8")
            if path.stem != "__init__" and any(f'"{op}"' in source for op in OPS):
                importlib.import_module(f"{node_cases.__name__}.{path.stem}")
    np.random.set_state(state)
    made = {case.name: case for case in node_cases._NodeTestCases}
    return [
        case for case in made.values() if any(node.op_type in OPS for node in case.model.graph.node)
    ]


CASES = collect()
PYTORCH = sorted(
    path.parent
    for path in Path(onnx.__file__).parent.glob("backend/test/data/pytorch-*/*/model.onnx")
    if any(node.op_type in OPS for node in onnx.load(path).graph.node)
)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def as_image(x: Array) -> Array:
    """(N, C, L) and (N, C, D, H, W) as (N, C, H, W): batch norm sees only how many there are."""
    return x.reshape(*x.shape[:2], -1, x.shape[-1]) if x.ndim not in (2, 4) else x


def run_batchnorm(
    settings: dict[str, Any], inputs: list[Array]
) -> tuple[Array, dict[str, Any], float]:
    """Run ``(out, bn_param afterwards, bound on |out - exact|)`` for a BatchNormalization node."""
    x, gamma, beta, mean, var = inputs
    training = settings.get("training_mode", 0)
    bn_param = {
        "mode": "train" if training else "test",
        "eps": settings.get("epsilon", 1e-5),
        "momentum": settings.get("momentum", 0.9),
        "running_mean": mean,
        "running_var": var,
    }
    image = as_image(x)
    out, cache = FORWARD[image.ndim](image, gamma, beta, bn_param)
    # x_hat as derived in cases.py, on both sides, then a product and a sum. ONNX subtracts the
    # mean once, so that the whole error of its mean, (m + 1) u max|x|, stays, divided by std.
    x_hat, std = np.abs(cache.stats.x_hat).max(), cache.stats.std.min()
    of_mean = (entries(image) + 1) * unit_roundoff(x.dtype) * np.abs(x).max() / std
    scale, shift = np.abs(gamma).max(), np.abs(beta).max()
    bound = 2 * x_hat_bound(image) * (scale * (1 + x_hat) + shift) + scale * of_mean
    return out.reshape(x.shape), bn_param, float(bound)


def run_dropout(settings: dict[str, Any], inputs: list[Array]) -> tuple[Array, Array]:
    """``(out, mask)`` for a Dropout node: 1, 2 or 3 inputs, and before opset 12 an attribute."""
    x = inputs[0]
    p = float(inputs[1]) if len(inputs) > 1 else settings.get("ratio", 0.5)
    mode = "train" if len(inputs) > 2 and inputs[2] else "test"
    legacy = np.random.RandomState(settings.get("seed"))
    rng = Scripted(lambda shape: legacy.uniform(0, 1, shape))
    out, cache = dlnorm.dropout_forward(x, {"p": p, "mode": mode, "rng": rng})
    return out, np.broadcast_to(cache.factor != 0, x.shape)


def test_the_installed_onnx_has_the_cases_that_are_meant() -> None:
    names = {case.name for case in CASES}
    assert len([name for name in names if "batchnorm" in name]) >= 4
    assert len([name for name in names if "dropout" in name]) >= 12
    assert {"test_batchnorm_epsilon_training_mode", "test_training_dropout_mask"} <= names
    assert len(PYTORCH) >= 5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_backend_case(case: Any) -> None:
    (node,) = case.model.graph.node
    for inputs, expected in case.data_sets:
        if node.op_type == "Dropout":
            out, mask = run_dropout(attributes(node), inputs)
            # ONNX: mask * x * scale, here x * (mask / keep): three float32 roundings each
            np.testing.assert_allclose(out, expected[0], rtol=6 * unit_roundoff(out.dtype), atol=0)
            if len(expected) > 1:
                np.testing.assert_array_equal(mask, expected[1])
        else:
            out, bn_param, bound = run_batchnorm(attributes(node), inputs)
            assert bound < 1e-3  # no looser than ONNX itself is
            np.testing.assert_allclose(out, expected[0], rtol=0, atol=bound)
            for key, value in zip(("running_mean", "running_var"), expected[1:], strict=False):
                np.testing.assert_allclose(bn_param[key], value, rtol=0, atol=bound)
        assert out.dtype == expected[0].dtype
        assert out.shape == expected[0].shape


@pytest.mark.parametrize("folder", PYTORCH, ids=lambda folder: folder.name)
def test_numbers_that_pytorch_computed(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    (node,) = model.graph.node
    settings = attributes(node)
    assert settings.pop("is_test") == 1  # opset 6, where 1 stands for the later training_mode 0
    weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    by_name = dict(zip((t.name for t in model.graph.initializer), weights, strict=True))

    def tensor(name: str) -> Array:
        return numpy_helper.to_array(onnx.load_tensor(folder / "test_data_set_0" / name))

    x, expected = tensor("input_0.pb"), tensor("output_0.pb")
    out, _, bound = run_batchnorm(settings, [x, *(by_name[name] for name in node.input[1:])])
    assert bound < 1e-3
    np.testing.assert_allclose(out, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("training", [0, 1], ids=["test", "train"])
@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", SHAPES_2D + SHAPES_4D, ids=str)
def test_batchnorm_equals_the_reference_evaluator(
    shape: tuple[int, ...], eps: float, training: int
) -> None:
    case = BatchNormCase(shape, eps=eps)
    settings = {"epsilon": eps, "momentum": 0.7, "training_mode": training}
    outputs = ["y", "m", "v"] if training else ["y"]
    node = helper.make_node("BatchNormalization", list("xsbmv"), outputs, **settings)
    memory = [case.bn_param["running_mean"], case.bn_param["running_var"]]
    inputs = [case.x, case.gamma, case.beta, *memory]
    expected = evaluate(node, inputs, outputs)
    # an attribute is a float32; both sides use the number that came out of it
    out, bn_param, bound = run_batchnorm(attributes(node), inputs)
    assert bound < 1e-8
    np.testing.assert_allclose(out, expected[0], rtol=0, atol=bound)
    for key, value in zip(("running_mean", "running_var"), expected[1:], strict=False):
        np.testing.assert_allclose(bn_param[key], value, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("seed", [0, 1, 77])
@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("training", [False, True], ids=["test", "train"])
def test_dropout_equals_the_reference_evaluator(training: bool, ratio: float, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((4, 3, 2, 5))
    node = helper.make_node("Dropout", ["x", "r", "t"], ["y", "mask"], seed=seed)
    inputs = [x, np.float64(ratio), np.bool_(training)]
    y, mask = evaluate(node, inputs, ["y", "mask"])
    out, kept = run_dropout({"seed": seed}, inputs)
    np.testing.assert_allclose(out, y, rtol=6 * unit_roundoff(np.float64), atol=0)
    np.testing.assert_array_equal(kept, mask)


def evaluate(node: onnx.NodeProto, inputs: list[Any], outputs: list[str]) -> list[Array]:
    """Run one node through ONNX's own NumPy implementation."""
    types = {"float64": onnx.TensorProto.DOUBLE, "bool": onnx.TensorProto.BOOL}
    graph = helper.make_graph(
        [node],
        "one-node",
        [
            helper.make_tensor_value_info(name, types[value.dtype.name], value.shape)
            for name, value in zip(node.input, inputs, strict=True)
        ],
        [helper.make_tensor_value_info(n, onnx.TensorProto.UNDEFINED, None) for n in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    run = ReferenceEvaluator(model).run(None, dict(zip(node.input, inputs, strict=True)))
    return list(run)
