"""Random expression graphs against PyTorch in float64: how many disagree by more than 1e-9, up to the third order.

A graph is a program: some leaves, then up to 200 instructions, each an operation on results that are there already, so
that nodes are shared. Every operation is bounded and its slope about 1 at most, and the root holds a bit of every leaf
directly; gradients of order one then mean that 1e-9 is a statement about rules, not about rounding.

Half of the graphs are of Values, half of Tensors of shape (2, 3). Of each, compared are the value, the gradient of
`grad` and of `backward`, the gradient of a recorded pass (``create_graph=True``), its derivative along a direction, and
the derivative of that along another.

The operations are the expressions below, and every case in the table of the tests, so that a new operation is tried
as soon as it has a row there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import cycle
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np

import microgradrnn as mg
from benchmarks.measure import Row, peer

GRAPHS = 20_000
CHUNK = 50  # so many at a time go to one of several processes
DEPTH = 200
TOLERANCE = 1e-9
MATRIX = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 3))
Operation = Callable[..., Any]  # of a library (ours or PyTorch's) and operands


class Step(NamedTuple):
    """One instruction: which operation, on which earlier results, and a number for it to use."""

    operation: int
    operands: tuple[int, int]
    number: float


def _of(m: Any, a: np.ndarray) -> Any:
    """A constant array, of the library's kind."""
    return a if m is mg else m.tensor(a)


# On numbers and arrays alike: (m, a, b, c) -> result; c is the step's own constant in (0.2, 0.8).
ELEMENTWISE: list[Operation] = [
    lambda m, a, b, c: m.tanh(a + b),
    lambda m, a, b, c: m.sin(a * b),
    lambda m, a, b, c: m.cos(a - c * b),
    lambda m, a, b, c: m.sigmoid(3 * a) - c * m.sigmoid(b),
    lambda m, a, b, c: m.arctan(a) * m.tanh(b),
    lambda m, a, b, c: a / (1 + b * b),
    lambda m, a, b, c: m.exp(-(a * a)) - c * b,
    lambda m, a, b, c: m.log1p(a * a) - c,
    lambda m, a, b, c: m.sqrt(1 + a * a) - 1 + c * m.sin(b),
    lambda m, a, b, c: m.erf(a) * c + m.expm1(-m.square(b)),
    lambda m, a, b, c: (1 + a * a) ** -c - (1 + b * b) ** (c * m.tanh(a)),
    lambda m, a, b, c: m.tanh(a) ** 3 + m.reciprocal(2 + m.tanh(b)),
    lambda m, a, b, c: m.relu(a - c) - m.abs(b) * c,
    lambda m, a, b, c: m.maximum(a, c * b),
    lambda m, a, b, c: m.minimum(m.cosh(m.tanh(a)), 1 + m.sinh(m.tanh(b)) / 2),
    lambda m, a, b, c: m.arcsin(c * m.tanh(a)) + m.arctanh(c * m.sin(b)),
    lambda m, a, b, c: m.arccos(c * m.cos(a)) - m.log2(2 + m.tanh(b)),
    lambda m, a, b, c: m.tan(c * m.tanh(a)) - m.log(2 + m.sin(b)),
    lambda m, a, b, c: (-a + b) * c + m.sign(a) * m.tanh(b),
    lambda m, a, b, c: m.tanh(a * a + b * b * c),
    lambda m, a, b, c: m.floor(3 * a) / 4 + m.sin(b) * m.ceil(a) / 3 + c * a,
    lambda m, a, b, c: _soft(m, 3 * a - b) / 3 - c,
    lambda m, a, b, c: _clip(m, a + b, -c, 1.0),
]
SCALAR: list[Operation] = [
    *ELEMENTWISE,
    lambda m, a, b, c: m.where(a > c, m.sin(b), a * c) if m is mg else m.sin(b) if a > c else a * c,
]
ARRAY: list[Operation] = [
    *ELEMENTWISE,
    lambda m, a, b, c: m.where(a > c, m.sin(b), a * c),
    lambda m, a, b, c: m.tanh(a @ _of(m, MATRIX)) + c * b,
    lambda m, a, b, c: m.tanh(a @ b.T) @ b * c,
    lambda m, a, b, c: m.softmax(a, -1) * b,
    lambda m, a, b, c: c * m.log_softmax(m.tanh(a), 0) + m.tanh(b),
    lambda m, a, b, c: m.tanh(a - _mean(m, b, 1)),
    lambda m, a, b, c: m.sin(a) * _mean(m, b, 0) + c,
    lambda m, a, b, c: m.tanh(a) * m.logsumexp(m.tanh(b), 1, keepdims=True) * c if m is mg
    else m.tanh(a) * m.logsumexp(m.tanh(b), 1, keepdim=True) * c,
    lambda m, a, b, c: m.tanh(a.sum()) * c + b[[1, 0]],
    lambda m, a, b, c: m.tanh(a[:, 1:2] * b[0]),
    lambda m, a, b, c: c * a[:, [2, 0, 0]] + m.tanh(b[:1]),
    lambda m, a, b, c: (m.concat([a, m.tanh(b)]) if m is mg else m.cat([a, m.tanh(b)]))[1:3],
    lambda m, a, b, c: m.stack([m.sin(a), m.tanh(b)], 1)[:, 1] + m.stack([a, b])[0] * c,
    lambda m, a, b, c: m.tanh(a.T.reshape(2, 3) - b),
    lambda m, a, b, c: m.flip(a, (0,)) * c + m.roll(m.tanh(b), 1, 1),
    lambda m, a, b, c: m.cumsum(m.tanh(a), 1) / 3 - c * m.tanh(b),
    lambda m, a, b, c: m.tanh(m.einsum("ij,kj->ik", a, m.tanh(b))) @ _of(m, MATRIX[:2]) * c,
    lambda m, a, b, c: m.tanh(a) / m.sqrt(c + (b * b).sum()),
    lambda m, a, b, c: m.prod(2 * m.sin(a), 0) * c + m.tanh(b),
    lambda m, a, b, c: (m.max(m.tanh(a), axis=1, keepdims=True) if m is mg else m.amax(m.tanh(a), 1, True)) * b * c,
    lambda m, a, b, c: m.tile(m.tanh(a[0]), (2, 1)) + c * m.tanh(b),
    lambda m, a, b, c: m.tanh(_var(m, a) + b),
]  # fmt: skip


def _soft(m: Any, a: Any) -> Any:
    return m.softplus(a) if m is mg else m.nn.functional.softplus(a, threshold=60)


def _clip(m: Any, a: Any, low: float, high: float) -> Any:
    return m.clip(a, low, high)


def _mean(m: Any, a: Any, axis: int) -> Any:
    return m.mean(a, axis, keepdims=True) if m is mg else m.mean(a, axis, keepdim=True)


def _var(m: Any, a: Any) -> Any:
    return m.var(a, 1, keepdims=True) if m is mg else m.var(a, 1, correction=0, keepdim=True)


def _from_table(case: Any) -> Operation:
    """A case of the table as an instruction.

    Its inputs are those of the table, inside its domain and away from ties, each entry scaled by 0.7 ... 1.3 with
    an entry of a or b. Its output is brought to the shape (2, 3) by a random matrix.
    """
    rng = np.random.default_rng(len(case.name))
    bases = _inputs(case)
    indices = [rng.integers(6, size=base.shape) for base in bases]
    y = case.ours(*map(mg.Tensor, bases)).data
    matrix = rng.uniform(-1, 1, (y.size, 6)) / math.sqrt(y.size) / (1 + np.abs(y).max())

    def operation(m: Any, a: Any, b: Any, c: float) -> Any:
        xs = [_of(m, base) * (1 + 0.3 * m.tanh(x.reshape(-1)[_of(m, index)]))
              for base, index, x in zip(bases, indices, cycle((a, b)), strict=False)]
        y = (case.ours if m is mg else case.theirs)(*xs)
        return m.tanh((y.reshape(1, -1) @ _of(m, matrix)).reshape(2, 3) + c * b)

    return operation


def _from_table_of_values(case: Any) -> Operation:
    """The same on single numbers: the first entry of each input."""
    bases = _numbers(case)
    scale = 1 / (1 + abs(case.ours(*map(mg.Value, bases)).data))

    def operation(m: Any, a: Any, b: Any, c: float) -> Any:
        xs = [base * (1 + 0.3 * m.tanh(x)) for base, x in zip(bases, cycle((a, b)), strict=False)]
        y = (case.ours if m is mg else case.theirs)(*xs)
        return m.tanh(scale * y + c * b)

    return operation


def _inputs(case: Any) -> list[np.ndarray]:
    from tests.engine.operations import inputs

    return inputs(case)


def _numbers(case: Any) -> list[float]:
    return [float(base.flat[0]) for base in _inputs(case)]


def _takes_values(case: Any) -> bool:
    """Is the case one of single numbers too? Some operations, and cases with a mask of a fixed shape, are not."""
    torch, numbers = peer("torch"), _numbers(case)
    try:
        y, y_torch = case.ours(*map(mg.Value, numbers)), case.theirs(*map(torch.tensor, numbers))
    except (TypeError, ValueError, IndexError, AttributeError, RuntimeError):
        return False
    return isinstance(y, mg.Value) and bool(y_torch.ndim == 0)


@cache
def operations(scalar: bool) -> list[Operation]:
    """All instructions for graphs of Values, or of Tensors."""
    from tests.engine.operations import TABLE

    if scalar:
        return SCALAR + [_from_table_of_values(case) for case in TABLE if _takes_values(case)]
    return ARRAY + [_from_table(case) for case in TABLE]


class Graph:
    """A random program, leaves to run it on, and two directions to differentiate its gradient along."""

    def __init__(self, index: int, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, index])
        self.scalar = index % 2 == 0
        self.operations = operations(self.scalar)
        shape = () if self.scalar else (2, 3)
        self.leaves = [rng.uniform(-1.5, 1.5, shape) for _ in range(rng.integers(1, 5))]
        self.directions = [[rng.uniform(-1, 1, shape) for _ in self.leaves] for _ in range(2)]
        self.weights = rng.uniform(0.5, 1.5, 4)
        self.program = []
        for there in range(len(self.leaves), len(self.leaves) + int(DEPTH ** rng.random())):
            recent = max(there - 4, 0)
            first = int(rng.integers(recent, there))  # deep ...
            second = int(rng.integers(0, there))  # ... and shared
            operands = (first, second) if rng.random() < 0.7 else (second, first)
            self.program.append(Step(int(rng.integers(len(self.operations))), operands, rng.uniform(0.2, 0.8)))

    def run(self, m: Any, leaves: list[Any]) -> Any:
        """The root: a weighted sum of the last results, and a cubic of each leaf, so that no order lacks a leaf."""
        results = list(leaves)
        for operation, (i, j), number in self.program:
            results.append(self.operations[operation](m, results[i], results[j], number))
        root = sum(w * y for w, y in zip(self.weights, results[::-1], strict=False))
        root = root + sum(x * x * (1 + x / 3) for x in leaves)
        return root if self.scalar else root.sum()


def ours(graph: Graph) -> list[np.ndarray]:
    """Value, gradient as `grad` and as `backward` have it, recorded gradient, second and third derivative."""
    make: Any = (lambda x: mg.Value(float(x))) if graph.scalar else mg.Tensor
    leaves = [make(x) for x in graph.leaves]
    root = graph.run(mg, leaves)
    found = [np.array(root.data), np.array(mg.grad(root, leaves))]
    root.backward()
    found.append(np.array([x.grad for x in leaves]))
    derivative = mg.grad(root, leaves, create_graph=True)
    found.append(np.array([g.data for g in derivative]))
    for directions in graph.directions:
        products = [g * (float(v) if graph.scalar else v) for g, v in zip(derivative, directions, strict=True)]
        slope = sum(p if graph.scalar else p.sum() for p in products)
        derivative = mg.grad(slope, leaves, create_graph=True)
        found.append(np.array([g.data for g in derivative]))
    return found


def theirs(torch: Any, graph: Graph) -> list[np.ndarray]:
    """The same of PyTorch."""
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in graph.leaves]
    root = graph.run(torch, leaves)
    derivative = torch.autograd.grad(root, leaves, create_graph=True)
    gradient = np.array([g.detach().numpy() for g in derivative])
    found = [root.detach().numpy(), gradient, gradient, gradient]
    for directions in graph.directions:
        slope = sum((g * torch.tensor(v)).sum() for g, v in zip(derivative, directions, strict=True))
        derivative = torch.autograd.grad(slope, leaves, create_graph=True)
        found.append(np.array([g.detach().numpy() for g in derivative]))
    return found


def error(torch: Any, index: int) -> float:
    """The largest difference over the largest entry, at least 1, of the six results; infinite for a NaN."""
    graph = Graph(index)
    worst = 0.0
    with np.errstate(all="ignore"):
        for a, b in zip(ours(graph), theirs(torch, graph), strict=True):
            scale = max(1.0, float(np.abs(b).max()))
            difference = float(np.abs(a - b).max()) / scale
            worst = max(worst, difference if difference == difference else float("inf"))
    return worst


def disagreements(indices: Iterable[int]) -> tuple[list[int], float]:
    """The graphs that differ by more than the tolerance, and the largest difference of all."""
    torch = peer("torch")
    torch.set_num_threads(1)
    errors = {index: error(torch, index) for index in indices}
    return [index for index, e in errors.items() if not e <= TOLERANCE], max(errors.values())


def rows() -> Iterator[Row]:
    """One row; its bar is 0."""
    peer("torch")
    chunks = [range(start, min(start + CHUNK, GRAPHS)) for start in range(0, GRAPHS, CHUNK)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = list(pool.map(disagreements, chunks))
    bad, worst = [index for some, _ in found for index in some], max(most for _, most in found)
    first = f", the first is {bad[0]}" if bad else ""
    yield Row(f"random graphs, depth to {DEPTH}, that disagree with PyTorch{first}", f"{len(bad)} of {GRAPHS:,}", "0",
              float(len(bad)), bar=0.0)
    yield Row("random graphs: largest relative difference", f"{worst:.1e}", f"{TOLERANCE:.0e}", worst / TOLERANCE,
              bar=1.0)
