"""Derivatives of functions, built on the one reverse pass: vjp, jvp, jacobian, hessian, hvp.

Each takes an ordinary function of nodes. Floats become Values, arrays Tensors, and what comes back is plain again.
They record what they need, also inside a `no_grad` block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microgradrnn.engine.backward import grad
from microgradrnn.engine.node import Node
from microgradrnn.engine.rules.elementwise import multiply
from microgradrnn.engine.rules.reduction import sum
from microgradrnn.engine.scope import enable_grad
from microgradrnn.engine.tensor import Tensor
from microgradrnn.engine.value import Value

Function = Callable[..., Any]


@enable_grad()
def vjp(f: Function, *xs: Any) -> tuple[Any, Callable[..., tuple[Any, ...]]]:
    """f(xs), and the function that pulls a cotangent of it back to the inputs (vector-Jacobian product).

    Args:
        f: a function of nodes that returns a node.
        xs: floats or arrays.

    Returns:
        The value of f, and ``pull(g) -> (g_1, g_2, ...)``, one cotangent an input.

    >>> import numpy as np
    >>> y, pull = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> y, pull(np.array([1.0, 10.0]))
    (array([1., 4.]), (array([ 2., 40.]),))
    """
    leaves = _leaves(xs)
    y = _node(f(*leaves), "vjp")

    def pull(g: Any) -> tuple[Any, ...]:
        return _gradients(y, leaves, seed=g)

    return y.data, pull


@enable_grad()
def jvp(f: Function, xs: Sequence[Any], vs: Sequence[Any]) -> tuple[Any, Any]:
    """f(xs), and its change in the direction vs (Jacobian-vector product): forward mode, from reverse mode.

    The pull-back g -> gᵀJ is linear in g, whatever g is; pulling back *through it* with v gives J v. So forward mode
    needs no second table of rules.

    Args:
        f: a function of nodes that returns a node.
        xs: floats or arrays.
        vs: a direction for each, of the same shape.

    >>> import numpy as np
    >>> jvp(lambda x: x * x, [np.array([1.0, 2.0])], [np.array([1.0, 10.0])])
    (array([1., 4.]), array([ 2., 40.]))
    """
    leaves = _leaves(xs)
    _same_shapes("jvp", xs, vs)
    y = _node(f(*leaves), "jvp")
    g = Value(1.0) if isinstance(y, Value) else Tensor(np.ones(y.data.shape, y.data.dtype))
    if not y.requires_grad:
        return y.data, np.zeros_like(y.data)
    pulled = grad(y, leaves, seed=g, create_graph=True)
    change = _dot(pulled, vs)
    return y.data, _gradients(change, [g])[0]


@enable_grad()
def jacobian(f: Function, x: Any) -> Any:
    """All partial derivatives of f at x, shape ``f(x).shape + x.shape``: one reverse pass an output.

    >>> import numpy as np
    >>> jacobian(lambda x: x * x, np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    (leaf,) = _leaves([x])
    y = _node(f(leaf), "jacobian")
    if isinstance(y, Value):
        return _gradients(y, [leaf])[0]
    rows = []
    for k in range(y.data.size):
        seed = np.zeros(y.data.shape, y.data.dtype)
        seed.flat[k] = 1
        rows.append(_gradients(y, [leaf], seed=seed)[0])
    return np.reshape(np.array(rows, dtype=y.data.dtype), y.data.shape + np.shape(leaf.data))


@enable_grad()
def hessian(f: Function, x: Any) -> Any:
    """All second derivatives of a scalar function at x, shape ``x.shape + x.shape``.

    >>> import numpy as np
    >>> hessian(lambda x: (x ** 3).sum(), np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    return jacobian(lambda leaf: _slopes(_node(f(leaf), "hessian"), [leaf])[0], x)


@enable_grad()
def hvp(f: Function, xs: Sequence[Any], vs: Sequence[Any]) -> tuple[Any, ...]:
    """The Hessian of a scalar function times a direction, without the Hessian: the gradient of ⟨∇f, v⟩.

    Args:
        f: a function of nodes that returns one number.
        xs: floats or arrays; or leaf nodes, so that parameters of a module can be given.
        vs: a direction for each.

    Returns:
        One array (or float) for each input.

    >>> import numpy as np
    >>> hvp(lambda x: (x ** 3).sum(), [np.array([1.0, 2.0])], [np.array([1.0, 1.0])])
    (array([ 6., 12.]),)
    """
    leaves = _leaves(xs)
    _same_shapes("hvp", xs, vs)
    return _gradients(_dot(_slopes(_node(f(*leaves), "hvp"), leaves), vs), leaves)


def _leaves(xs: Sequence[Any]) -> list[Node]:
    """Floats as Values, arrays as Tensors, nodes as they are."""
    if isinstance(xs, (Node, np.ndarray, int, float)):
        raise TypeError("inputs come in a list, [x], one for each argument of the function, and directions too")
    return [
        x if isinstance(x, Node) else Value(x) if isinstance(x, (int, float)) and not isinstance(x, np.generic)
        else Tensor(x)
        for x in xs
    ]  # fmt: skip


def _node(y: Any, who: str) -> Any:
    if not isinstance(y, Node):
        raise TypeError(f"{who}: the function must return a node, got {type(y).__name__}; a constant has no derivative")
    return y


def _gradients(y: Any, leaves: Sequence[Node], seed: Any = None) -> tuple[Any, ...]:
    """Gradients as plain numbers or arrays; zeros where y does not depend on a leaf."""
    if not isinstance(y, Node) or not y.requires_grad:
        return tuple(x.finished(None, False) for x in leaves)
    result: tuple[Any, ...] = grad(y, leaves, seed=seed)
    return result


def _slopes(y: Any, leaves: Sequence[Node]) -> tuple[Any, ...]:
    """Gradients as nodes, to be differentiated again."""
    if not y.requires_grad:
        y.cotangent(None, True)  # a constant is one number too
        return tuple(x.finished(None, True) for x in leaves)
    slopes: tuple[Any, ...] = grad(y, leaves, create_graph=True)
    return slopes


def _dot(gs: Sequence[Any], vs: Sequence[Any]) -> Any:
    """⟨g, v⟩ over all pairs, as a node."""
    total: Any = 0.0
    for g, v in zip(gs, vs, strict=True):
        product = multiply(g, v)
        total = total + (sum(product) if isinstance(product, (Tensor, np.ndarray)) else product)
    return total


def _same_shapes(who: str, xs: Sequence[Any], vs: Sequence[Any]) -> None:
    shapes = [np.shape(x.data if isinstance(x, Node) else x) for x in xs]
    if shapes != [np.shape(v) for v in vs]:
        raise ValueError(f"{who}: inputs have shapes {shapes}, directions {[np.shape(v) for v in vs]}")
