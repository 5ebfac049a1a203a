"""Deliberately wrong derivative rules, each a mistake that people make. `gradcheck` must catch every one.

A rule is the engine's own but for one change. Each entry says the operation it pretends to be, how it is called, and
what the message must name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

import microgradrnn as mg
from microgradrnn.engine import PRIMITIVES, Node, Primitive
from microgradrnn.engine.primitive import Every


class Wrong(NamedTuple):
    """A mistake: the operation, how it is used, on what shapes, and where it must be found."""

    mistake: str
    make: Callable[[], Primitive]
    use: Callable[[Primitive], Callable[..., Any]]
    shapes: tuple[tuple[int, ...], ...]
    input: int  # the input of the operation that is named
    order: int = 1
    named: bool = True  # False: only the function as a whole can tell
    floats: bool = False  # checked on Values


def _op(name: str, forward: Any, *rules: Any, **options: Any) -> Callable[[], Primitive]:
    return lambda: Primitive(name, options.pop("on_floats", None), forward, rules, **options)


def _plainly(op: Primitive) -> Callable[..., Any]:
    return lambda *xs: op(*xs)


def _with(**params: Any) -> Callable[[Primitive], Callable[..., Any]]:
    return lambda op: lambda *xs: op(*xs, **params)


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _joined(*xs: Any) -> Any:
    return np.concatenate(xs)


def _plain(x: Any) -> Any:
    return x.data if isinstance(x, Node) else x


def _once(values: Any, index: Any, shape: Any) -> Any:
    """Values put into zeros; where an index repeats, only the last stays."""
    total = np.zeros(shape)
    total[index] = _plain(values)
    return total


def _stale_rule() -> Primitive:
    """A rule that closes over the first output it ever saw."""
    seen: list[Any] = []

    def rule(g: Any, y: Any, x: Any) -> Any:
        seen.append(y)
        return g * seen[0]

    return Primitive("exp", None, np.exp, (rule,))


def _late(op: Primitive) -> Callable[..., Any]:
    return lambda x: op(op(x))


M = ((3, 4),)
MM = ((3, 4), (4, 2))
ROW = ((3, 4), (4,))
IDS = np.array([2, 0, 2, 1])

WRONG = [
    Wrong("sign", _op("cos", np.cos, lambda g, y, x: g * mg.sin(x)), _plainly, M, 0),
    Wrong("sign, of one input only", _op("subtract", np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: g),
          _plainly, ((3,), (3,)), 1),
    Wrong("missing term", _op("tanh", np.tanh, lambda g, y, x: g * (1 - y)), _plainly, M, 0),
    Wrong("missing term of the softmax", _op("softmax", _softmax, lambda g, y, x: g * y), _plainly, M, 0),
    Wrong("missing factor", _op("square", np.square, lambda g, y, x: g * x), _plainly, M, 0),
    Wrong("missing constant factor", _op("log2", np.log2, lambda g, y, x: g / x), _plainly, M, 0),
    Wrong("missing factor 1/n", _op("mean", lambda x: np.asarray(x.mean()),
                                    lambda g, y, x: mg.broadcast_to(g.reshape((1, 1)), x.shape)), _plainly, M, 0),
    Wrong("the cotangent forgotten", _op("exp", np.exp, lambda g, y, x: y), _plainly, M, 0),
    Wrong("the cotangent twice", _op("exp", np.exp, lambda g, y, x: g * g * y), _plainly, M, 0),
    Wrong("wrong broadcast: the mean instead of the sum",
          _op("add", np.add, lambda g, y, a, b: g, lambda g, y, a, b: g.sum(0) / g.shape[0]), _plainly, ROW, 1),
    Wrong("wrong broadcast: one row of many",
          _op("multiply", np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: (g * a)[0]), _plainly, ROW, 1),
    Wrong("wrong broadcast: along the other axis",
          _op("add", np.add, lambda g, y, a, b: g, lambda g, y, a, b: g.sum(1)), _plainly, ((3, 3), (3,)), 1),
    Wrong("swapped inputs",
          _op("divide", np.divide, lambda g, y, a, b: -g * y / b, lambda g, y, a, b: g / b), _plainly,
          ((3,), (3,)), 0),
    Wrong("swapped inputs in the other rule only",
          _op("multiply", np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * b), _plainly, ((3,), (3,)), 1),
    Wrong("stale output", _stale_rule, _late, ((3,),), 0),
    Wrong("output taken for input", _op("sqrt", np.sqrt, lambda g, y, x: g / (2 * x)), _plainly, M, 0),
    Wrong("input taken for output", _op("exp", np.exp, lambda g, y, x: g * x), _plainly, M, 0),
    Wrong("transposed matmul", _op("matmul", np.matmul, lambda g, y, a, b: g @ b, lambda g, y, a, b: a.mT @ g),
          _plainly, ((3, 3), (3, 3)), 0),
    Wrong("transposed matmul, on the right",
          _op("matmul", np.matmul, lambda g, y, a, b: g @ b.mT, lambda g, y, a, b: a @ g), _plainly,
          ((3, 3), (3, 3)), 1),
    Wrong("transpose by the same axes, not back",
          _op("transpose", lambda x: np.transpose(x, (1, 2, 0)), lambda g, y, x: mg.transpose(g, (1, 2, 0))), _plainly,
          ((2, 2, 2),), 0),
    Wrong("dropped accumulation", _op("getitem", lambda x: x[IDS], lambda g, y, x: _once(g, IDS, x.shape)), _plainly,
          M, 0),
    Wrong("dropped accumulation of one operand twice",
          lambda: Primitive("concat", None, _joined, Every(lambda k, g, y, xs: g[:3] * (k == 0))),
          lambda op: lambda x: op(x, x), M, 1),
    Wrong("off-by-one slice", _op("getitem", lambda x: x[1:3], lambda g, y, x: mg.scatter(g, slice(0, 2), x.shape)),
          _plainly, M, 0),
    Wrong("off-by-one piece",
          lambda: Primitive("concat", None, _joined, Every(lambda k, g, y, xs: g[k : k + 2])),
          _plainly, ((2, 3), (2, 3)), 1),
    Wrong("wrong axis", _op("sum", lambda x: x.sum(0), lambda g, y, x: mg.broadcast_to(g.reshape((3, 1)), x.shape)),
          _plainly, ((3, 3),), 0),
    Wrong("wrong axis of a running sum",
          _op("cumsum", lambda x: np.cumsum(x, 0), lambda g, y, x: mg.flip(mg.cumsum(mg.flip(g, 1), 1), 1)), _plainly,
          ((3, 3),), 0),
    Wrong("a running sum not turned round",
          _op("cumsum", lambda x: np.cumsum(x, 0), lambda g, y, x: mg.cumsum(g, 0)), _plainly, M, 0),
    Wrong("rolled the same way", _op("roll", lambda x: np.roll(x, 1, 0), lambda g, y, x: mg.roll(g, 1, 0)), _plainly,
          M, 0),
    Wrong("reshape in another order", _op("reshape", lambda x: x.reshape(4, 3), lambda g, y, x: g.T), _plainly, M, 0),
    Wrong("all winners, not one", _op("max", lambda x: x.max(-1), lambda g, y, x: g[:, None] * (x > 0)), _plainly,
          M, 0),
    Wrong("one input forgotten", _op("multiply", np.multiply, lambda g, y, a, b: g * b, None), _plainly,
          ((3,), (3,)), 1, named=False),
    Wrong("the bias of a product forgotten",
          _op("affine", lambda x, W, b: x @ W + b,
              lambda g, y, x, W, b: g @ W.mT, lambda g, y, x, W, b: x.mT @ g, None),
          _plainly, ((3, 4), (4, 2), (2,)), 2, named=False),
    Wrong("a setting ignored", _op("scale", lambda x, by: x * by, lambda g, y, x, by: g * 2.0), _with(by=3.0), M, 0),
    Wrong("wrong only in one entry", _op("negative", np.negative, lambda g, y, x: mg.index_update(-g, (1, 2), 0.0)),
          _plainly, M, 0),
    Wrong("wrong only in one entry of very many",
          _op("negative", np.negative, lambda g, y, x: mg.index_update(-g, (7, 11), 0.0)), _plainly, ((20, 30),), 0),
    Wrong("wrong by one part in ten thousand", _op("exp", np.exp, lambda g, y, x: g * y * 1.0001), _plainly, M, 0),
    Wrong("wrong for some signs only", _op("abs", np.abs, lambda g, y, x: g), lambda op: lambda x: op(x - 1.0), M, 0),
    Wrong("wrong on floats only",
          lambda: Primitive("sin", np.sin, np.sin, (lambda g, y, x: g * x if isinstance(x, float) else g * mg.cos(x),)),
          _plainly, ((),), 0, floats=True),
    Wrong("of another shape", _op("sum", lambda x: x.sum(0), lambda g, y, x: g[:2]), _plainly, ((3, 3),), 0),
    Wrong("wrong only at second order: data instead of nodes",
          _op("tanh", np.tanh, lambda g, y, x: g * (1 - np.square(_plain(y)))), _plainly, M, 0, order=2, named=False),
    Wrong("wrong only at second order: a detached input",
          _op("multiply", np.multiply, lambda g, y, a, b: g * _plain(b), lambda g, y, a, b: g * _plain(a)), _plainly,
          ((3,), (3,)), 0, order=2, named=False),
]  # fmt: skip


def _wrong_cosine() -> Primitive:
    """Right at first order; its rule is built from another operation, which is wrong."""
    minus_sine = Primitive("minus_sine", None, lambda x: -np.sin(x), (lambda g, y, x: g * mg.cos(x),))
    return Primitive("cos", None, np.cos, (lambda g, y, x: g * minus_sine(x),))


WRONG.append(
    Wrong("wrong only at second order: a wrong rule inside a right one", _wrong_cosine, _plainly, M, 0, order=2)
)


@contextmanager
def planted(wrong: Wrong) -> Iterator[tuple[Primitive, Callable[..., Any], list[Any]]]:
    """The wrong operation, a function that uses it, and inputs; the engine's own table is as before afterwards."""
    table = dict(PRIMITIVES)
    rng = np.random.default_rng(0)
    inputs: list[Any] = [rng.uniform(0.4, 1.6, shape) for shape in wrong.shapes]
    if wrong.floats:
        inputs = [float(x) for x in inputs]
    try:
        op = wrong.make()
        yield op, wrong.use(op), inputs
    finally:
        PRIMITIVES.clear()
        PRIMITIVES.update(table)
