"""Every operation: value, gradient and second derivative against PyTorch and against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn.engine import FUNCTIONS, PRIMITIVES, Node, Tensor
from tests.engine.operations import TABLE, Case, inputs, names, torch, weights
from tests.numerics import assert_same, finite_differences

every_case = pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)


@every_case
def test_value_and_gradient_equal_pytorch(case: Case) -> None:
    ours = [Tensor(x) for x in inputs(case)]
    theirs = [torch.tensor(x, requires_grad=True) for x in inputs(case)]
    y, y_torch = case.ours(*ours), case.theirs(*theirs)
    assert_same(y.data, y_torch.detach().numpy(), rel=1e-14)
    seed = weights(y.shape)
    y.backward(seed)
    y_torch.backward(torch.tensor(seed))
    for x, x_torch in zip(ours, theirs, strict=True):
        assert_same(x.grad, x_torch.grad.numpy(), rel=1e-13)


@every_case
def test_gradient_equals_finite_differences(case: Case) -> None:
    arrays = inputs(case)
    ours = [Tensor(x) for x in arrays]
    y = case.ours(*ours)
    seed = weights(y.shape)
    y.backward(seed)
    with mg.no_grad():
        expected = finite_differences(lambda *xs: (case.ours(*map(Tensor, xs)).data * seed).sum(), arrays)
    for x, g in zip(ours, expected, strict=True):
        assert_same(x.grad, g, rel=1e-8)


@every_case
def test_second_derivative_equals_pytorch_and_finite_differences(case: Case) -> None:
    arrays = inputs(case)
    ours = [Tensor(x) for x in arrays]
    y = case.ours(*ours)
    seed = weights(y.shape)
    directions = [weights(x.shape, salt=k + 1) for k, x in enumerate(ours)]

    def slope(xs: list[Tensor], **options: Any) -> Any:
        gradients = mg.grad((case.ours(*xs) * case.ours(*xs) * seed).sum(), xs, **options)
        return sum((g * v).sum() for g, v in zip(gradients, directions, strict=True))

    second = mg.grad(slope(ours, create_graph=True), ours)

    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    first = torch.autograd.grad((case.theirs(*theirs) ** 2 * torch.tensor(seed)).sum(), theirs, create_graph=True)
    inner = sum((g * torch.tensor(v)).sum() for g, v in zip(first, directions, strict=True))
    expected = torch.autograd.grad(inner, theirs)
    for g, g_torch in zip(second, expected, strict=True):
        assert_same(g, g_torch.numpy(), rel=1e-12)

    numeric = finite_differences(lambda *xs: slope([Tensor(x) for x in xs]), arrays)
    for g, g_numeric in zip(second, numeric, strict=True):
        assert_same(g, g_numeric, rel=1e-7)


@every_case
def test_third_derivative_equals_pytorch(case: Case) -> None:
    arrays = inputs(case)
    seed = weights(case.ours(*map(Tensor, arrays)).shape)
    directions = [[weights(x.shape, salt=k + order) for k, x in enumerate(arrays)] for order in (1, 5)]

    ours = [Tensor(x) for x in arrays]
    derivative = mg.grad((case.ours(*ours) ** 3 * seed).sum(), ours, create_graph=True)
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    expected = torch.autograd.grad((case.theirs(*theirs) ** 3 * torch.tensor(seed)).sum(), theirs, create_graph=True)
    for vs in directions:
        slope = sum((g * v).sum() for g, v in zip(derivative, vs, strict=True))
        derivative = mg.grad(slope, ours, create_graph=True)
        slope = sum((g * torch.tensor(v)).sum() for g, v in zip(expected, vs, strict=True))
        expected = torch.autograd.grad(slope, theirs, create_graph=True)
    scale = max(1.0, *(float(g.detach().abs().max()) for g in expected))
    for g, g_torch in zip(derivative, expected, strict=True):
        np.testing.assert_allclose(g.data, g_torch.detach().numpy(), rtol=1e-11, atol=1e-13 * scale)


@every_case
def test_recording_the_backward_pass_changes_no_gradient(case: Case) -> None:
    ours = [Tensor(x) for x in inputs(case)]
    y = case.ours(*ours)
    seed = weights(y.shape)
    plain = mg.grad(y, ours, seed=seed)
    recorded = mg.grad(y, ours, seed=seed, create_graph=True)
    for g, g_node in zip(plain, recorded, strict=True):
        assert isinstance(g_node, Tensor)
        assert_same(g_node.data, g, rel=1e-14)


# Cases written with a Tensor's methods.
METHODS = ("getitem", "transpose, negative", "transpose, mT", "add, in a diamond", "affine, x twice")


@pytest.mark.parametrize("case", [c for c in TABLE if not c.name.startswith(METHODS)], ids=lambda case: case.name)
def test_plain_arrays_give_the_same_numbers_and_no_nodes(case: Case) -> None:
    arrays = inputs(case)
    y = case.ours(*arrays)
    assert not isinstance(y, Node)
    assert_same(y, case.ours(*map(Tensor, arrays)).data, rel=1e-15)


@pytest.mark.parametrize("case", [c for c in TABLE if c.name != "astype"], ids=lambda case: case.name)
def test_float32_stays_float32_in_value_and_gradient(case: Case) -> None:
    ours = [Tensor(x) for x in inputs(case, np.float32)]
    y = case.ours(*ours)
    assert y.dtype == np.float32
    seed = weights(y.shape).astype(np.float32)
    y.backward(seed)
    double = [Tensor(x.data.astype(np.float64)) for x in ours]
    case.ours(*double).backward(seed)
    for x, x_double in zip(ours, double, strict=True):
        assert x.grad.dtype == np.float32
        assert_same(x.grad, x_double.grad.astype(np.float32), rel=2e-5)


def test_every_public_function_is_in_the_table() -> None:
    assert set(FUNCTIONS) == names(), f"only on one side: {set(FUNCTIONS) ^ names()}"


def test_every_function_is_offered_by_the_package() -> None:
    offered = {name: getattr(mg, name) for name in FUNCTIONS}  # some answer PyTorch's keywords, around the function
    assert {name for name, f in offered.items() if getattr(f, "__wrapped__", f) is not FUNCTIONS[name]} == set()
    assert set(FUNCTIONS) <= set(mg.__all__)


def test_every_primitive_is_met_by_the_table() -> None:
    met: set[str] = set()
    for case in TABLE:
        ours = [Tensor(x) for x in inputs(case)]
        y = case.ours(*ours)
        for g in mg.grad(y, ours, seed=weights(y.shape), create_graph=True):
            todo: list[Any] = [y, g]
            seen: set[Any] = set()
            while todo:
                node = todo.pop()
                if node is not None and node not in seen:
                    seen.add(node)
                    todo += node.inputs
                    met |= {node.op.name} if node.op else set()
    assert set(PRIMITIVES) - {"checkpoint"} <= met, f"never met: {set(PRIMITIVES) - met}"
