"""Layer, RMS, group and instance norm against ONNX's test cases and reference implementation.

How the two vocabularies map:

=============================  =============================================================
ONNX                           here
=============================  =============================================================
epsilon, 1e-5 if absent        the dict's eps
num_groups                     G
axis = a, -1 if absent         all axes from a on are one sample's features: x as (rows, rest),
                               and for 4-D x and a = 1 also `spatial_layernorm_forward` as it is
InstanceNormalization          N, C, and everything behind as H, W
MeanVarianceNormalization      `standardize`, the core of them all, with eps = 0
a case ending in _expanded…    the same numbers, the operation spelled out in smaller ones, which
                               are not ours; that the numbers are the same is tested
=============================  =============================================================

No case is skipped.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.backend.test.case import node as node_cases
from onnx.reference import ReferenceEvaluator

import dlnorm
from tests.ops.cases import EPS, Array, unit_roundoff
from tests.ops.norms import EVERY, IDS, Norm, NormCase, Shape

MODULES = {
    "LayerNormalization": "layernormalization",
    "RMSNormalization": "rmsnormalization",
    "GroupNormalization": "groupnormalization",
    "InstanceNormalization": "instance_normalization",
    "MeanVarianceNormalization": "meanvariancenormalization",
}


def collect() -> dict[str, Any]:
    """Every node test case of these operations in the installed onnx, by its name.

    A case is made when the module that describes it is imported.
    """
    for module in MODULES.values():
        importlib.import_module(f"{node_cases.__name__}.{module}")
    made = {case.name: case for case in node_cases._NodeTestCases}
    ours = [name for name, case in made.items() if case.model.graph.node[0].op_type in MODULES]
    return {name: case for name, case in made.items() if name.partition("_expanded")[0] in ours}


CASES = collect()
PLAIN = [case for name, case in CASES.items() if "_expanded" not in name]
PYTORCH = [
    path.parent
    for path in sorted(Path(onnx.__file__).parent.glob("backend/test/data/*/*/model.onnx"))
    if any(node.op_type in MODULES for node in onnx.load(path).graph.node)
]


def run(node: onnx.NodeProto, inputs: list[Array]) -> tuple[list[Array], list[Array]]:
    """What `dlnorm` gives for a node: ``(outputs, out in every other form we have)``."""
    settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    param: Any = {"eps": settings.get("epsilon", 1e-5)}
    x = inputs[0]
    if node.op_type == "MeanVarianceNormalization":
        return [dlnorm.standardize(x, tuple(settings.get("axes", (0, 2, 3))), eps=0.0)[0]], []
    if node.op_type in ("GroupNormalization", "InstanceNormalization"):
        image = x.reshape(*x.shape[:2], -1, x.shape[-1])
        if node.op_type == "GroupNormalization":
            groups = settings["num_groups"]
            out, _ = dlnorm.spatial_groupnorm_forward(image, *inputs[1:], groups, param)
        else:
            out, _ = dlnorm.spatial_instancenorm_forward(image, *inputs[1:], param)
        return [out.reshape(x.shape)], []

    axis = settings.get("axis", -1) % x.ndim
    rows = x.reshape(int(np.prod(x.shape[:axis])), -1)
    parameters = [value.reshape(-1) for value in inputs[1:]]
    if node.op_type == "RMSNormalization":
        return [dlnorm.rmsnorm_forward(rows, *parameters, param)[0].reshape(x.shape)], []
    out, cache = dlnorm.layernorm_forward(rows, *parameters, param)
    statistics = (*x.shape[:axis], *[1] * (x.ndim - axis))
    mean, of_std = cache.stats.mean.reshape(statistics), 1 / cache.stats.std.reshape(statistics)
    other = []
    if x.ndim == 4 and axis == 1:
        other = [dlnorm.spatial_layernorm_forward(x, *inputs[1:], param)[0]]
    return [out.reshape(x.shape), mean, of_std], other


def bound(m: int, x: Array, *parameters: Array, roundings: int | None = None) -> float:
    """How far our out and ONNX's may be apart, for x that is normalized over m entries.

    ONNX subtracts the mean once, so that its whole error, (m + 1) u max|x|, stays, over std; the
    rest as in `cases.x_hat_bound`, (2 m + 16) u on either side, times what x_hat, at most
    sqrt(m), and the parameters make of it. Here std > 1/4 in all cases. Where a sum is known to
    round each of its terms less often than m times, `roundings` is how often.
    """
    u = unit_roundoff(x.dtype)
    k = m if roundings is None else roundings
    gamma, beta = [float(np.abs(value).max()) for value in parameters] or [1.0, 0.0]
    of_x_hat = 2 * (2 * k + 16) * u * (1 + m**0.5) + (k + 1) * u * float(np.abs(x).max()) * 4
    return gamma * of_x_hat + 2 * u * beta


def test_the_installed_onnx_has_the_cases_that_are_meant() -> None:
    names = [case.name for case in PLAIN]
    for start, least in {
        "test_layer_normalization_4d_axis": 8,
        "test_layer_normalization_": 19,
        "test_rms_normalization_": 19,
        "test_group_normalization_": 2,
        "test_instancenorm_": 2,
        "test_mvn": 1,
    }.items():
        assert len([name for name in names if name.startswith(start)]) >= least, start
    assert len(PYTORCH) >= 1


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_backend_case(case: Any) -> None:
    (node,) = case.model.graph.node
    for inputs, expected in case.data_sets:
        x, *parameters = inputs
        outputs, other = run(node, list(inputs))
        m = x.size if node.op_type != "InstanceNormalization" else x[0, 0].size
        allowed = bound(m, x, *parameters, *[np.zeros(1)] * (len(parameters) == 1))
        assert allowed < 1e-2  # no wrong formula comes that close
        for got, want in zip(outputs, expected, strict=True):
            assert got.dtype == want.dtype
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=0, atol=allowed)
        for got in other:
            np.testing.assert_allclose(got, expected[0], rtol=0, atol=allowed)


@pytest.mark.parametrize("name", [name for name in CASES if "_expanded" in name])
def test_an_expanded_case_has_the_numbers_of_its_plain_one(name: str) -> None:
    plain = CASES[name.partition("_expanded")[0]]
    for spelled_out, whole in zip(CASES[name].data_sets, plain.data_sets, strict=True):
        for ours, theirs in zip(spelled_out, whole, strict=True):
            for got, want in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("folder", PYTORCH, ids=lambda folder: folder.name)
def test_numbers_that_pytorch_computed(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    (node,) = model.graph.node
    by_name = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}

    def tensor(name: str) -> Array:
        return numpy_helper.to_array(onnx.load_tensor(folder / "test_data_set_0" / name))

    x, expected = tensor("input_0.pb"), tensor("output_0.pb")
    parameters = [by_name[name] for name in node.input[1:]]
    ((out,), _) = run(node, [x, *parameters])
    # both sides add the entries of a channel in blocks of lanes: NumPy rounds no term more than
    # 128 / 8 + 6 times for 1024 of them, and PyTorch's rows of 32 no more than 32 + 32 times
    allowed = bound(x[0, 0].size, x, *parameters, roundings=64)
    assert allowed < 1e-3
    np.testing.assert_allclose(out, expected, rtol=0, atol=allowed)


OPERATORS = {
    "layer": "LayerNormalization",
    "layer, per entry": "LayerNormalization",
    "rms": "RMSNormalization",
    "instance": "InstanceNormalization",
    "group": "GroupNormalization",
}
#: the forms of layer norm that ONNX does not have are compared in test_equivalences_norms.py
IN_ONNX = [
    pytest.param(norm, shape, id=name)
    for (norm, shape), name in zip(EVERY, IDS, strict=True)
    if norm.name.partition(", G")[0] in OPERATORS
]


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize(("norm", "shape"), IN_ONNX)
def test_out_equals_the_reference_evaluator(norm: Norm, shape: Shape, eps: float) -> None:
    eps = float(np.float32(eps))  # as an attribute can hold it
    case = NormCase(norm, shape, eps)
    kind, _, groups = norm.name.partition(", G = ")
    attributes: dict[str, Any] = {"epsilon": eps}
    if groups:
        # 11 is float64: let it compute in that, not in float32
        attributes |= {"num_groups": int(groups), "stash_type": onnx.TensorProto.DOUBLE}
    elif kind != "instance":
        attributes["axis"] = 1
    parameters = list(case.parameters.values())
    if kind == "instance":
        parameters = [value.reshape(-1) for value in parameters]
    inputs = [case.x, *parameters]
    node = helper.make_node(OPERATORS[kind], list("xgb")[: len(inputs)], ["y"], **attributes)
    want = evaluate(node, inputs)

    np.testing.assert_allclose(case.forward()[0], want, rtol=0, atol=both(case))


@pytest.mark.parametrize("axes", [(0, 2, 3), (1, 2, 3), (2, 3), (1,)], ids=str)
def test_the_core_equals_mean_variance_normalization(axes: tuple[int, ...]) -> None:
    # in float32, because the numbers spelled out in ONNX's definition are
    x = np.random.default_rng(0).standard_normal((3, 4, 2, 5)).astype(np.float32)
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=axes)
    want = evaluate(node, [x])
    got, cache = dlnorm.standardize(x, axes, eps=0.0)
    # ONNX takes the variance from E[x**2] - E[x]**2, each off by (m + 2) u of itself; half of that,
    # over the variance, is the error of 1 / std. And it adds 1e-9 to std, less than u here.
    u, m, largest = unit_roundoff(x.dtype), got.size / cache.std.size, np.abs(x).max()
    std, x_hat = cache.std.min(), np.abs(got).max()
    allowed = bound(int(m), x) / (4 * std) + x_hat * (m + 2) * u * largest**2 / std**2
    np.testing.assert_allclose(got, want, rtol=0, atol=allowed)


def both(case: NormCase) -> float:
    """How far two runs may be apart, the other of which subtracts the mean once only.

    Ours by `out_bound`; the other by as much, and by its mean's error, (m + 1) u max|x| over std.
    """
    gamma = np.abs(case.parameters["gamma"]).max()
    of_mean = (len(case.columns) + 1) * unit_roundoff(case.x.dtype) * np.abs(case.x).max()
    return float(2 * case.out_bound + gamma * of_mean / case.exact()[2].min())


def evaluate(node: onnx.NodeProto, inputs: list[Array]) -> Array:
    """Run one node through ONNX's own NumPy implementation, in the precision of its inputs."""

    def described(name: str, value: Array) -> onnx.ValueInfoProto:
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        return helper.make_tensor_value_info(name, kind, value.shape)

    named = dict(zip(node.input, inputs, strict=True))
    graph = helper.make_graph(
        [node],
        "one-node",
        [described(name, value) for name, value in named.items()],
        [described(node.output[0], inputs[0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    onnx.checker.check_model(model)
    out: Array = ReferenceEvaluator(model).run(None, named)[0]
    assert out.dtype == inputs[0].dtype
    return out
