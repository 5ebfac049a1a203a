"""Numerical check of a gradient, which says which operation is wrong.

The check goes operation by operation: every rule that a function uses is held against central differences of its own
forward, where it was used. Then the whole function is checked the same way, for what the rules cannot see (a detached
value, a stale output, a wrong sum). Large inputs are checked along random directions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microgradrnn.engine.backward import ancestors, grad
from microgradrnn.engine.cotangent import Deferred
from microgradrnn.engine.node import Node
from microgradrnn.engine.primitive import ERRORS
from microgradrnn.engine.rules.reduction import sum
from microgradrnn.engine.scope import enable_grad
from microgradrnn.engine.tensor import Tensor
from microgradrnn.engine.transforms import _leaves
from microgradrnn.engine.value import Value

FEW = 64  # up to so many entries every one is checked; beyond, random directions


class GradcheckError(AssertionError):
    """A gradient that disagrees with central differences."""


@enable_grad()
def gradcheck(
    f: Callable[..., Any], inputs: Sequence[Any], *, order: int = 1, eps: float = 1e-5, rtol: float = 1e-6,
    atol: float = 1e-8, directions: int = 8, rng: int | np.random.Generator = 0,
) -> bool:  # fmt: skip
    """Hold the gradient of f against central differences, (f(x + ε) - f(x - ε)) / 2ε, in float64.

    Args:
        f: a function of nodes that returns a node (of any shape: a random weighting of its entries is checked).
        inputs: floats, float64 arrays, or leaf nodes (such as a module's parameters, which f may also use directly).
        order: 1 checks the gradient; 2 the gradient's gradient too.
        eps: ε, relative to inputs of size about 1.
        rtol, atol: allowed disagreement, relative and absolute.
        directions: how many random directions stand for an input of more than 64 entries.
        rng: a seed or generator for weighting and directions.

    Returns:
        True.

    Raises:
        GradcheckError: names the operation, the input and the entry that disagree, with both numbers.
        TypeError: if an input is not float64, for then the differences say nothing.

    >>> import numpy as np
    >>> from microgradrnn import gradcheck, tanh
    >>> gradcheck(lambda x: tanh(x) * x, [np.array([0.3, -1.0])], order=2)
    True
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: order is 1 or 2, got {order!r}")
    check = _Check(eps, rtol, atol, directions, np.random.default_rng(rng))
    leaves = _leaves(inputs)
    for k, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor) and leaf.dtype != np.float64:
            raise TypeError(f"gradcheck: input {k} is {leaf.dtype}; differences need float64")
    y = f(*leaves)
    if not isinstance(y, Node):
        raise TypeError(f"gradcheck: the function must return a node, got {type(y).__name__}")
    weights = check.like(y.data)
    check.operations(y)

    def loss() -> Any:
        z = f(*leaves) * weights
        return sum(z) if isinstance(z, Tensor) else z

    check.function("the whole function", loss, leaves)
    if order == 2:
        vs = [check.like(leaf.data) for leaf in leaves]

        def slope() -> Any:
            total: Any = 0.0
            for g, v in zip(grad(loss(), leaves, create_graph=True), vs, strict=True):
                total = total + (sum(g * v) if isinstance(g, Tensor) else g * v)
            return total

        first = slope()
        if isinstance(first, Node) and first.requires_grad:
            check.operations(first)
        check.function("second order: the gradient of the gradient", slope, leaves)
    return True


class _Check:
    """The tolerances, and the two ways of checking."""

    def __init__(self, eps: float, rtol: float, atol: float, directions: int, rng: np.random.Generator) -> None:
        self.eps, self.rtol, self.atol, self.directions, self.rng = eps, rtol, atol, directions, rng

    def like(self, x: Any) -> Any:
        """Random numbers, away from 0, in the shape of x."""
        v = self.rng.uniform(0.5, 1.5, np.shape(x)) * self.rng.choice([-1.0, 1.0], np.shape(x))
        return float(v) if not np.shape(x) and not isinstance(x, np.ndarray) else v

    def operations(self, y: Node) -> None:
        """Every rule in the graph of y, each kind of use a few times: a rule may be right only the first time."""
        uses: Counter[Any] = Counter()
        for node in ancestors(y):
            if node.op is None or node.op.name == "checkpoint":  # its forward does not look at its inputs
                continue
            shapes = tuple(np.shape(a) for a in node.args)
            settings = tuple(sorted((key, str(value)) for key, value in node.params.items()))
            for k, x in enumerate(node.inputs):
                use = (node.op, k, shapes, settings)
                if x is not None and x.requires_grad and node.op.vjp[k] is not None and uses[use] < 3:
                    uses[use] += 1
                    self.rule(node, k)

    def rule(self, node: Node, k: int) -> None:
        """One rule, against differences of the operation's own forward."""
        on_floats = node.kind is Value
        forward = node.op.on_floats if on_floats else node.op.on_arrays
        what = f"operation {node.op.name!r}, input {k}{node.scope}"
        g = self.like(node.data)
        try:
            message = node.op.pull(k, g, node.data, node.args, node.params)
            message = message.dense() if isinstance(message, Deferred) else message
            if not on_floats:
                message = Tensor.fit(np.asarray(message), np.asarray(node.args[k]))
        except ERRORS as error:
            raise GradcheckError(f"{what}: the rule fails: {error}") from error
        if not (np.isfinite(node.data).all() and np.isfinite(message).all()):
            return  # a branch that a `where` does not take, or else the whole function will show it

        def value(x: Any) -> float:
            args = [*node.args[:k], x, *node.args[k + 1 :]]
            return float(np.sum(g * np.asarray(forward(*args, **node.params))))

        self.compare(what, value, node.args[k], message)

    def function(self, what: str, f: Callable[[], Any], leaves: Sequence[Node]) -> None:
        """The gradient of a function of leaves, one leaf at a time, by rebinding its data."""
        y = f()
        gradients = [x.finished(None, False) for x in leaves]
        if isinstance(y, Node) and y.requires_grad:
            gradients = list(grad(y, leaves))
        for k, (leaf, g) in enumerate(zip(leaves, gradients, strict=True)):
            at = leaf.data

            def value(x: Any, leaf: Node = leaf) -> float:
                leaf.data = x
                result = f()
                return float(result.data if isinstance(result, Node) else result)

            try:
                self.compare(f"{what}, input {k}", value, at, g)
            finally:
                leaf.data = at

    def compare(self, what: str, value: Callable[[Any], float], at: Any, gradient: Any) -> None:
        """The gradient's slope against the difference, for every entry, or along random directions."""
        shape = np.shape(at)
        if np.shape(gradient) != shape:
            raise GradcheckError(f"{what}: the gradient has shape {np.shape(gradient)}, the input {shape}")
        size = int(np.prod(shape, dtype=int))
        few = size <= FEW
        for trial in range(size if few else self.directions):
            if few:
                direction = np.zeros(shape)
                direction.flat[trial] = 1.0
                where = f"entry {tuple(int(i) for i in np.unravel_index(trial, shape))}" if shape else "its value"
            else:
                direction = self.rng.standard_normal(shape) / np.sqrt(size)
                where = f"random direction {trial}"
            step = direction * self.eps
            ahead, behind = at + step, at - step
            if not shape and isinstance(at, float):
                ahead, behind = float(ahead), float(behind)
            numeric = (value(ahead) - value(behind)) / (2 * self.eps)
            analytic = float(np.sum(np.asarray(gradient) * direction))
            if not abs(analytic - numeric) <= self.atol + self.rtol * max(abs(analytic), abs(numeric), 1.0):
                raise GradcheckError(f"{what}, {where}: the rule says {analytic:.10g}, differences say {numeric:.10g}")
