"""Forward and backward against PyTorch in float64, on machines that have it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlnorm
from tests.ops.cases import EPS
from tests.ops.norms import EVERY, IDS, Norm, NormCase, Shape

torch = pytest.importorskip("torch", reason="PyTorch is no dependency; compared where installed")

#: PyTorch refuses to normalize an entry by itself alone
COMPARED = [
    pytest.param(norm, shape, id=name)
    for (norm, shape), name in zip(EVERY, IDS, strict=True)
    if len(NormCase(norm, shape).columns) > 1
]


def in_torch(norm: Norm, x: Any, eps: float, gamma: Any, beta: Any = None) -> Any:
    """The same norm by PyTorch's own function."""
    functional = torch.nn.functional
    kind, _, groups = norm.name.partition(", G = ")
    if kind == "rms":
        return functional.rms_norm(x, x.shape[1:], gamma, eps)
    if kind == "instance":
        return functional.instance_norm(x, weight=gamma.ravel(), bias=beta.ravel(), eps=eps)
    if kind == "group":
        return functional.group_norm(x, int(groups), gamma, beta, eps)
    if gamma.shape == x.shape[1:]:
        return functional.layer_norm(x, x.shape[1:], gamma, beta, eps)
    x_hat = functional.layer_norm(x, x.shape[1:], eps=eps)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize(("norm", "shape"), COMPARED)
def test_out_and_gradients_equal_pytorch(norm: Norm, shape: Shape, eps: float) -> None:
    case = NormCase(norm, shape, eps)
    arguments = {"x": case.x, **case.parameters}
    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in arguments.items()}
    x, *parameters = tensors.values()
    out = in_torch(norm, x, eps, *parameters)
    out.backward(torch.tensor(case.dout))

    # PyTorch may take the variance in one pass, at the cost of m u (max|x| / std)**2
    std = case.exact()[2].min()
    m = len(case.columns)
    one_pass = m * np.finfo(float).eps * (1 + np.abs(case.x).max() / std) ** 2
    out_bound = 2 * case.out_bound + one_pass * np.abs(out.detach().numpy()).max()
    np.testing.assert_allclose(case.forward()[0], out.detach().numpy(), rtol=0, atol=out_bound)
    for name, got in case.backward().items():
        want = tensors[name].grad.numpy()
        scale = case.terms if name == "x" else np.abs(case.dout).sum()
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=(1e-10 + 9 * one_pass) * scale)


def test_the_recurrent_cell_equals_pytorch() -> None:
    rng = np.random.default_rng(0)
    n, t, d, h = 3, 4, 2, 5
    shapes = {"x": (n, t, d), "h0": (n, h), "Wx": (d, h), "Wh": (h, h), "gamma": (h,), "beta": (h,)}
    arguments = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    dh = rng.standard_normal((n, t, h))
    out, cache = dlnorm.layernorm_rnn_forward(*arguments.values(), {"eps": 1e-3})
    grads = dlnorm.layernorm_rnn_backward(dh, cache)

    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in arguments.items()}
    state, states = tensors["h0"], []
    for step in range(t):
        a = state @ tensors["Wh"] + tensors["x"][:, step] @ tensors["Wx"]
        normed = torch.nn.functional.layer_norm(a, (h,), tensors["gamma"], tensors["beta"], 1e-3)
        state = torch.tanh(normed)
        states.append(state)
    want = torch.stack(states, dim=1)
    want.backward(torch.tensor(dh))
    np.testing.assert_allclose(out, want.detach().numpy(), rtol=0, atol=1e-12)
    for got, tensor in zip(grads, tensors.values(), strict=True):
        assert dlnorm.relative_error(got, tensor.grad.numpy()) < 1e-10
