"""Every operation: value, gradient and second derivative against PyTorch and against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn.engine import PRIMITIVES, Node, Tensor
from tests.numerics import assert_same, finite_differences

torch = pytest.importorskip("torch")


class Case(NamedTuple):
    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    domain: str = "real"  # or "positive"; either way no two entries tie, and none is near a kink


IDS = np.array([2, 0, 2, 1, 2])
MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, True]])
PICK = MASK[:, :1]

TABLE = [
    Case("add", lambda a, b: a + b, lambda a, b: a + b, ((3, 4), (3, 4))),
    Case("add, row", lambda a, b: a + b, lambda a, b: a + b, ((3, 4), (4,))),
    Case("sub", lambda a, b: a - b, lambda a, b: a - b, ((3, 1), (2, 1, 4))),
    Case("sub, constant left", lambda a: 2 - a, lambda a: 2 - a, ((3, 4),)),
    Case("mul", lambda a, b: a * b, lambda a, b: a * b, ((3, 4), (3, 1))),
    Case("mul, constant left", lambda a: 2.5 * a, lambda a: 2.5 * a, ((3, 4),)),
    Case("mul, 0-d", lambda a, b: a * b, lambda a, b: a * b, ((3, 4), ())),
    Case("square as a product", lambda a: a * a, lambda a: a * a, ((3, 4),)),
    Case("div", lambda a, b: a / b, lambda a, b: a / b, ((3, 4), (2, 3, 4)), "positive"),
    Case("div, constant left", lambda a: 3 / a, lambda a: 3 / a, ((3, 4),), "positive"),
    Case("neg", lambda a: -a, lambda a: -a, ((3, 4),)),
    Case("power, cube", lambda a: a**3, lambda a: a**3, ((3, 4),)),
    Case("power, square root", lambda a: a**0.5, lambda a: a**0.5, ((3, 4),), "positive"),
    Case("power, negative", lambda a: a**-2, lambda a: a**-2, ((3, 4),), "positive"),
    Case("power of two tensors", lambda a, b: a**b, lambda a, b: a**b, ((3, 4), (3, 1)), "positive"),
    Case("power, constant base", lambda a: 2.0**a, lambda a: 2.0**a, ((3, 4),)),
    Case("abs", mg.abs, torch.abs, ((3, 4),)),
    Case("exp", mg.exp, torch.exp, ((3, 4),)),
    Case("log", mg.log, torch.log, ((3, 4),), "positive"),
    Case("sqrt", mg.sqrt, torch.sqrt, ((3, 4),), "positive"),
    Case("sin", mg.sin, torch.sin, ((3, 4),)),
    Case("cos", mg.cos, torch.cos, ((3, 4),)),
    Case("tanh", mg.tanh, torch.tanh, ((3, 4),)),
    Case("sigmoid", mg.sigmoid, torch.sigmoid, ((3, 4),)),
    Case("relu", mg.relu, torch.relu, ((3, 4),)),
    Case("sign", lambda a: mg.sign(a) * a * a, lambda a: torch.sign(a) * a * a, ((3, 4),)),
    Case("maximum", mg.maximum, torch.maximum, ((3, 4), (4,))),
    Case("minimum", mg.minimum, torch.minimum, ((3, 1), (3, 4))),
    Case("where", lambda a, b: mg.where(MASK, a, b * b), lambda a, b: torch.where(torch.tensor(MASK), a, b * b),
         ((3, 4), (4,))),
    Case("where, broadcast condition", lambda a, b: mg.where(PICK, a, b),
         lambda a, b: torch.where(torch.tensor(PICK), a, b), ((1, 4), ())),
    Case("matmul, 2 and 2", mg.matmul, torch.matmul, ((3, 4), (4, 5))),
    Case("matmul, 1 and 1", mg.matmul, torch.matmul, ((4,), (4,))),
    Case("matmul, 1 and 2", mg.matmul, torch.matmul, ((4,), (4, 5))),
    Case("matmul, 2 and 1", mg.matmul, torch.matmul, ((3, 4), (4,))),
    Case("matmul, 3 and 2", mg.matmul, torch.matmul, ((2, 3, 4), (4, 5))),
    Case("matmul, 2 and 3", mg.matmul, torch.matmul, ((3, 4), (2, 4, 5))),
    Case("matmul, 3 and 1", mg.matmul, torch.matmul, ((2, 3, 4), (4,))),
    Case("matmul, 1 and 3", mg.matmul, torch.matmul, ((4,), (2, 4, 5))),
    Case("matmul, batches broadcast", mg.matmul, torch.matmul, ((6, 1, 3, 4), (2, 4, 5))),
    Case("matmul with itself", lambda a: a @ a.T, lambda a: a @ a.T, ((3, 4),)),
    Case("affine", mg.affine, lambda x, W, b: x @ W + b, ((3, 4), (4, 5), (5,))),
    Case("affine, a bias for each row", mg.affine, lambda x, W, b: x @ W + b, ((3, 4), (4, 5), (3, 5))),
    Case("affine, a step's own bias", mg.affine, lambda x, W, b: x @ W + b, ((2, 3, 4), (4, 5), (5,))),
    Case("affine, one bias", mg.affine, lambda x, W, b: x @ W + b, ((3, 4), (4, 5), ())),
    Case("affine, of a vector", mg.affine, lambda x, W, b: x @ W + b, ((4,), (4, 5), (5,))),
    Case("affine, constant bias", lambda x, W: mg.affine(x, W, 2.0), lambda x, W: x @ W + 2.0, ((3, 4), (4, 5))),
    Case("affine, x twice", lambda x, W: mg.affine(x, W, x @ W), lambda x, W: x @ W * 2, ((3, 4), (4, 5))),
    Case("sum", mg.sum, torch.sum, ((3, 4),)),
    Case("sum, axis", lambda a: mg.sum(a, 1), lambda a: a.sum(1), ((2, 3, 4),)),
    Case("sum, axes", lambda a: mg.sum(a, (0, -1), keepdims=True), lambda a: a.sum((0, -1), True), ((2, 3, 4),)),
    Case("mean", mg.mean, torch.mean, ((3, 4),)),
    Case("mean, axes", lambda a: mg.mean(a, (0, 2)), lambda a: a.mean((0, 2)), ((2, 3, 4),)),
    Case("max", mg.max, torch.amax, ((3, 4),)),
    Case("max, axis", lambda a: mg.max(a * a, -1), lambda a: torch.amax(a * a, -1), ((2, 3, 4),)),
    Case("min, axes", lambda a: mg.min(a, (0, 2), keepdims=True), lambda a: torch.amin(a, (0, 2), True), ((2, 3, 4),)),
    Case("logsumexp", lambda a: mg.logsumexp(a, 1), lambda a: torch.logsumexp(a, 1), ((2, 3, 4),)),
    Case("logsumexp, all", mg.logsumexp, lambda a: torch.logsumexp(a, (0, 1)), ((3, 4),)),
    Case("softmax", mg.softmax, lambda a: torch.softmax(a, -1), ((3, 4),)),
    Case("softmax, axis 0", lambda a: mg.softmax(a, 0), lambda a: torch.softmax(a, 0), ((3, 4),)),
    Case("log_softmax", mg.log_softmax, lambda a: torch.log_softmax(a, -1), ((3, 4),)),
    Case("log_softmax, axis 1", lambda a: mg.log_softmax(a, 1), lambda a: torch.log_softmax(a, 1), ((2, 3, 4),)),
    Case("reshape", lambda a: mg.reshape(a, (4, -1)), lambda a: a.reshape(4, -1), ((2, 3, 4),)),
    Case("transpose", mg.transpose, lambda a: a.permute(2, 1, 0), ((2, 3, 4),)),
    Case("transpose, axes", lambda a: mg.transpose(a, (1, 2, 0)), lambda a: a.permute(1, 2, 0), ((2, 3, 4),)),
    Case("transpose, negative axes", lambda a: a.transpose(-1, 0, 1), lambda a: a.permute(2, 0, 1), ((2, 3, 4),)),
    Case("swapaxes", lambda a: mg.swapaxes(a, 0, -1), lambda a: a.swapaxes(0, -1), ((2, 3, 4),)),
    Case("mT", lambda a: a.mT, lambda a: a.mT, ((2, 3, 4),)),
    Case("broadcast_to", lambda a: mg.broadcast_to(a, (2, 3, 4)), lambda a: a.expand(2, 3, 4), ((3, 1),)),
    Case("astype", lambda a: mg.astype(a, np.float64), lambda a: a.to(torch.float64), ((3, 4),)),
    Case("concat", lambda a, b: mg.concat([a, b], 1), lambda a, b: torch.cat([a, b], 1), ((3, 4), (3, 2))),
    Case("concat, one input twice", lambda a: mg.concat([a, a * a, a], -1), lambda a: torch.cat([a, a * a, a], -1),
         ((2, 3, 4),)),
    Case("stack", lambda a, b: mg.stack([a, b, a]), lambda a, b: torch.stack([a, b, a]), ((3, 4), (3, 4))),
    Case("stack, last axis", lambda a, b: mg.stack([a, b], -1), lambda a, b: torch.stack([a, b], -1),
         ((3, 4), (3, 4))),
    Case("split, equal parts", lambda a: mg.split(a, 2, -1)[0] * mg.split(a, 2, -1)[1],
         lambda a: a[:, :3] * a[:, 3:], ((2, 6),)),
    Case("split, places", lambda a: mg.split(a, [1, 3], 0)[1], lambda a: a[1:3], ((4, 3),)),
    Case("getitem, integer", lambda a: a[-1], lambda a: a[-1], ((3, 4),)),
    Case("getitem, slices", lambda a: a[1:, ::2], lambda a: a[1:, ::2], ((3, 5),)),
    Case("getitem, None and ...", lambda a: a[..., None, 1], lambda a: a[..., None, 1], ((2, 3, 4),)),
    Case("getitem, repeats", lambda a: a[IDS], lambda a: a[torch.tensor(IDS)], ((3, 4),)),
    Case("getitem, pairs", lambda a: a[IDS, [0, 1, 0, 3, 0]], lambda a: a[torch.tensor(IDS), [0, 1, 0, 3, 0]],
         ((3, 4),)),
    Case("getitem, mask", lambda a: a[MASK], lambda a: a[torch.tensor(MASK)], ((3, 4),)),
    Case("getitem, the same row twice", lambda a: a[1] * a[1] + a[0], lambda a: a[1] * a[1] + a[0], ((3, 4),)),
    Case("diamond", lambda a: (a.tanh() * a.sigmoid() + a.tanh()).exp(),
         lambda a: (a.tanh() * a.sigmoid() + a.tanh()).exp(), ((3, 4),)),
]

every_case = pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)


def inputs(case: Case, dtype: Any = np.float64) -> list[np.ndarray]:
    """Distinct numbers, away from each other and from 0, so that no finite difference crosses a kink."""
    rng = np.random.default_rng(len(case.name))
    total = sum(int(np.prod(shape)) for shape in case.shapes)
    grid = (np.arange(total) + 0.5) / total * 1.5 + 0.3
    if case.domain == "real":
        grid = grid * np.where(np.arange(total) % 2, 1, -1)
    grid = rng.permutation(grid)
    cuts = np.cumsum([int(np.prod(shape)) for shape in case.shapes])[:-1]
    return [part.reshape(shape).astype(dtype) for part, shape in zip(np.split(grid, cuts), case.shapes, strict=True)]


def weights(shape: tuple[int, ...], salt: int = 0) -> np.ndarray:
    """A cotangent with no structure a wrong rule could hide in."""
    return np.random.default_rng(100 + salt).uniform(0.5, 2.0, shape) * np.random.default_rng(salt).choice(
        [-1.0, 1.0], shape
    )


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
def test_recording_the_backward_pass_changes_no_gradient(case: Case) -> None:
    ours = [Tensor(x) for x in inputs(case)]
    y = case.ours(*ours)
    seed = weights(y.shape)
    plain = mg.grad(y, ours, seed=seed)
    recorded = mg.grad(y, ours, seed=seed, create_graph=True)
    for g, g_node in zip(plain, recorded, strict=True):
        assert isinstance(g_node, Tensor)
        assert_same(g_node.data, g, rel=1e-14)


METHODS = ("getitem", "transpose, negative", "mT", "diamond")  # cases written with a Tensor's methods


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
    about_the_graph = {"backward", "grad", "mark"}
    offered = {name: getattr(mg, name) for name in mg.__all__}
    functions = {n for n, f in offered.items() if callable(f) and not isinstance(f, type)} - about_the_graph
    tested = {case.name.split(",")[0].split(" ")[0] for case in TABLE}
    assert functions <= tested, f"not in the table: {functions - tested}"


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
    differentiable = {name for name, p in PRIMITIVES.items() if p.name != "sign"}
    assert differentiable <= met, f"never met: {differentiable - met}"
