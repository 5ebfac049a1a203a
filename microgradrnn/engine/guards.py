"""Guards: the first NaN or infinity, caught where it is made.

(The other guard, against values that change between forward and backward, is built in: a node's array is a frozen
copy, and the reverse pass compares what it is about to use with what the forward pass used.)
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from microgradrnn.engine.carried import carried, in_words, what_to_do
from microgradrnn.engine.node import Node
from microgradrnn.engine.scope import Context, Scope

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class AnomalyError(FloatingPointError):
    """A NaN or an infinity, with the operation that made it."""


class detect_anomaly(Context):  # noqa: N801
    """``with detect_anomaly():`` the first operation that makes a NaN or an infinity raises `AnomalyError`.

    Forward or backward; the message gives the operation, the shapes, the scope and time step, and the line of your
    code that made the node. Branches that a `where` does not take are hunted too. It looks at every number and asks
    Python for every line, so it is slow: a tool for finding, not for training. Wrap the forward pass as well as the
    backward one: lines are noted only inside.

    Raises:
        AnomalyError: at the first number that is not finite.

    >>> from microgradrnn import Tensor, detect_anomaly
    >>> with detect_anomaly():
    ...     Tensor([-1.0]).sqrt()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    microgradrnn.engine.guards.AnomalyError: sqrt: (1,) made nan [made at ...]
    """

    __slots__ = ()

    def inside(self, outer: Scope) -> Scope:
        """Hunting."""
        return Scope(outer.path, outer.step, outer.recording, True, None, outer, self, outer.loop, outer.running)


class accept_anomaly(Context):  # noqa: N801
    """The opposite. On its way a recorded rule may make a NaN that a `where` did not choose; its message must not."""

    __slots__ = ()

    def inside(self, outer: Scope) -> Scope:
        """Not hunting."""
        return Scope(outer.path, outer.step, outer.recording, False, None, outer, self, outer.loop, outer.running)


def check_forward(name: str, data: Any, operands: list[Any], where: Scope) -> None:
    """Raise if an operation's result is not finite."""
    if (found := not_finite(data)) is None:
        return
    shapes = ", ".join(str(np.shape(x)) if np.ndim(x) else repr(x) for x in operands)
    blame = "".join(
        f"; operand {k} already held {bad}" for k, x in enumerate(operands) if (bad := not_finite(x)) is not None
    )
    raise AnomalyError(f"{name}: {shapes} made {found}{blame}{where}")


def check_message(name: str, k: int, message: Any, g: Any, where: Scope) -> None:
    """Raise if the cotangent that an operation sends to its k-th input is not finite."""
    if (found := not_finite(message)) is None:
        return
    arrived = not_finite(g)
    blame = "" if arrived is None else f"; {arrived} had already arrived there from the loss"
    raise AnomalyError(f"{name}, backward: the gradient for input {k} holds {found}{blame}{where}")


def not_finite(x: Any) -> str | None:
    """Which non-finite number x holds, and how many; None if all is well."""
    x = getattr(x, "data", x) if not isinstance(x, np.ndarray) else x
    a = np.asarray(x)
    if a.dtype.kind != "f" or np.isfinite(a).all():
        return None
    bad = a[~np.isfinite(a)]
    first = float(bad.flat[0])
    word = "nan" if math.isnan(first) else "inf" if first > 0 else "-inf"
    return word if a.size == 1 else f"{word}, {bad.size} of {a.size} numbers not finite"


def user_line() -> str:
    """The innermost line of code outside this package."""
    frame: Any = sys._getframe(1)
    while frame is not None and os.path.abspath(frame.f_code.co_filename).startswith(_OURS):
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def need_node(x: Any, who: str) -> None:
    """Raise unless x is a node that a gradient can flow into."""
    if not isinstance(x, Node):
        raise TypeError(f"{who}: needs a Value or a Tensor, got {type(x).__name__}: only nodes carry a graph")
    if not x.requires_grad:
        raise ValueError(
            f"{who}: no gradient flows into this {type(x).__name__}{x.scope}: it is a constant, was detached, "
            "was computed under no_grad(), or from constants only"
        )


def need_roots(roots: Sequence[Any], seed: Any, who: str) -> None:
    """Raise unless a gradient flows into each, they are of one kind, and there is a seed for each or none at all."""
    if not len(roots):
        raise ValueError(f"{who}: there are no roots in this list, so there is nothing to differentiate")
    for one in roots:
        need_node(one, who)
    if len({one.kind for one in roots}) > 1:
        raise TypeError(f"{who}: Values and Tensors among the roots; their graphs do not mix: differentiate them apart")
    if seed is not None and (not hasattr(seed, "__len__") or len(seed) != len(roots)):
        raise ValueError(f"{who}: {len(roots)} roots need a list of {len(roots)} seeds, or none")


def fingerprint(y: Any, operands: Iterable[Any]) -> int:
    """A number that is another one, almost surely, once an array was written to."""
    return hash(tuple(a.tobytes() if isinstance(a, np.ndarray) else None for a in (y, *operands)))


def check_unwritten(node: Node) -> None:
    """Raise if an array that the forward pass used or made was written to since; known if that was in anomaly mode."""
    known = node.scope.fingerprint
    if known is not None and known != fingerprint(node._data, node._args):
        raise RuntimeError(
            f"{node.op.name}: an array that it used or made was written to after the forward pass{node.scope}, past "
            "the read-only flag. Give other libraries a copy: t.data.copy()"
        )


def refuse_change(node: Node, k: int, graph: Iterable[Node] = ()) -> NoReturn:
    """Say that the data of an input is no longer what the forward pass used; the graph shows why."""
    found = f"{node.op.name}: the data of input {k} was changed after the forward pass{node.scope}"
    if pairs := carried(graph):
        why = (f"{found}. These were computed before that change and are used after it, with their graph: "
               f"{in_words(pairs)}. {what_to_do(pairs)}")
    else:
        why = (f"{found}; the gradient would mix two different values. "
               "Call backward() before the update, or compute the result again after it.")
    raise RuntimeError(why)
