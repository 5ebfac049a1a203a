"""The Jacobian of one step: ∂(states after) / ∂(states before), for one sequence of the batch. Numbers only.

A reverse pass from one unit of the state gives one column, and it sees the nodes of one step only. All n columns take
n such passes; or one, over n copies of the sequence in one batch, the k-th asked for unit k. Sequences of a batch know
nothing of each other, so the second way gives the same numbers, many times faster. Not every step can be computed
again with another batch: a ``reshape`` to a fixed shape cannot, and a mean over the batch mixes the copies. So the
result is compared with one ordinary reverse pass, from a random combination of all units; if they differ, or the step
cannot be computed again, the n passes are run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice, product
from operator import attrgetter
from typing import Any

import numpy as np

from microgradrnn.engine import Node, Tensor, enable_grad, grad
from microgradrnn.engine.backward import ancestors, reverse
from microgradrnn.engine.node import RETAIN
from microgradrnn.engine.rules.shape import concat
from microgradrnn.engine.scope import SCOPE

TRIES = 8  # ways to tell, of a node, which operands belong to one sequence
CANNOT = (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError)


def local_jacobian(before: Sequence[Node], after: Sequence[Node], batch: int) -> np.ndarray:
    """∂after/∂before, (n_before, n_after). The states before are walls: each is taken as given, whatever made it."""
    for state in after:
        need_no_hooks(state, before)
    J = by_copies(before, after, batch)
    return by_units(before, after, batch) if J is None else J


def by_units(before: Sequence[Node], after: Sequence[Node], batch: int) -> np.ndarray:
    """One reverse pass for each unit of the states after."""
    columns = []
    for state in after:
        for unit in np.eye(size(state)):
            columns.append(pulled_back(before, state, seed_of(state, batch, unit), batch))
    return np.array(columns).T


def pulled_back(before: Sequence[Node], state: Node, seed: Any, batch: int) -> np.ndarray:
    """What a cotangent of one state becomes at the states before, one row: an ordinary reverse pass over the step."""
    row = np.zeros(sum(map(size, before)))
    walls = slices(before)
    for node, g in reverse(state, seed, targets=before, keep=lambda consumer, k: consumer not in walls):
        if node in walls:
            row[walls[node]] = part(g, batch)
    return row


@enable_grad()
@np.errstate(all="ignore")  # the loop itself has warned before
def by_copies(before: Sequence[Node], after: Sequence[Node], batch: int) -> np.ndarray | None:
    """One reverse pass over n copies of the sequence; None where that is not possible, or not the same."""
    if not all(isinstance(state, Tensor) and state.data.ndim for state in (*before, *after)) or SCOPE.get().anomaly:
        return None
    n = sum(map(size, after))
    walls, made = slices(before), {state: Tensor(copied(state.data, n, batch)) for state in before}
    for node in between(before, after):
        again = computed_again(node, made, n, batch)
        if again is None:
            return None
        made[node] = again
    J = np.zeros((sum(map(size, before)), n))
    ends = [made[state] if state in made else Tensor(copied(state.data, n, batch)) for state in after]
    try:
        root = concat([end.reshape(n, -1) for end in ends], axis=1)
        found = grad(root, [made[state] for state in walls], seed=np.eye(n, dtype=root.data.dtype))
    except CANNOT:
        return None
    for units, g in zip(walls.values(), found, strict=True):
        J[units] = np.asarray(g, dtype=np.float64).reshape(n, -1).T
    return J if is_confirmed(J, before, after, batch) else None


def between(before: Sequence[Node], after: Sequence[Node]) -> list[Node]:
    """What the states after are made of that depends on the states before, oldest first."""
    oldest, walls = min(state.serial for state in before), set(before)
    seen = set(after) - walls
    stack = list(seen)
    while stack:
        for x in stack.pop().inputs:
            if x is not None and x not in seen and x not in walls and x.requires_grad and x.serial > oldest:
                seen.add(x)
                stack.append(x)
    found, depending = [], walls
    for node in sorted(seen, key=attrgetter("serial")):
        if any(x in depending for x in node.inputs):
            depending.add(node)
            found.append(node)
    return found


def computed_again(node: Node, made: dict[Node, Any], n: int, batch: int) -> Any:
    """The node for n copies of one sequence; None if its operation does not give the same numbers for each.

    Of an operand that does not depend on the states, only its shape tells whether it holds one row for each sequence or
    is a weight. What gives the numbers of the graph is right.
    """
    operands: list[Any] = [a if x is None else made.get(x, a) for x, a in zip(node.inputs, node._args, strict=True)]
    rows = len(node._data) if node._data.ndim else 0
    open_ones = [k for k, a in enumerate(operands) if isinstance(a, np.ndarray) and a.ndim > 1 and len(a) == rows]
    expected = node._data[batch] if node._data.ndim > 1 else node._data
    for chosen in islice(product((True, False), repeat=len(open_ones)), TRIES):
        copies = {k: copied(operands[k], n, batch) for k, one in zip(open_ones, chosen, strict=True) if one}
        try:
            again = node.op(*(copies.get(k, a) for k, a in enumerate(operands)), **node.params)
        except CANNOT:
            continue
        if again.data.shape == (n, *expected.shape) and np.allclose(again.data, expected, rtol=1e-3, atol=1e-5):
            return again
    return None


def copied(a: np.ndarray, n: int, batch: int) -> np.ndarray:
    """The numbers of one sequence n times, in a batch."""
    one = a[batch] if a.ndim > 1 else a
    return np.repeat(one[None], n, axis=0)


def is_confirmed(J: np.ndarray, before: Sequence[Node], after: Sequence[Node], batch: int) -> bool:
    """Does one ordinary reverse pass, from random numbers at all units at once, give the same combination of columns?

    Two matrices that differ agree there with probability 0; rounding alone is allowed for.
    """
    v = np.random.default_rng(0).standard_normal((J.shape[1],))
    precision = max(np.finfo(state.data.dtype).eps for state in (*before, *after))
    row, start = np.zeros(len(J)), 0
    for state in after:
        end = start + size(state)
        row += pulled_back(before, state, seed_of(state, batch, v[start:end]), batch)
        start = end
    with np.errstate(invalid="ignore"):
        return bool((np.abs(J @ v - row) <= 64 * len(v) * precision * (np.abs(J) @ np.abs(v))).all())


def need_no_hooks(state: Node, before: Sequence[Node]) -> None:
    """A hook changes what goes back, and would be called once for every unit; the Jacobian is about the way there."""
    oldest = min(x.serial for x in before)
    if any(set(node.hooks or ()) - {RETAIN} and node.serial >= oldest for node in ancestors(state, before)):
        raise ValueError("step_jacobians: a hook is registered on a state, or on the way from one to the next. It acts "
                         "on gradients, a Jacobian is one of the forward step; take the hook off to measure it")


def seed_of(state: Node, batch: int, cotangent: np.ndarray) -> Any:
    """A cotangent of one sequence's units, as one of the whole state."""
    data = np.asarray(state.data)
    if data.ndim == 0:
        return float(cotangent[0])
    seed = np.zeros(data.shape, data.dtype)
    (seed[batch] if data.ndim > 1 else seed).reshape(-1)[:] = cotangent
    return seed


def part(g: Any, batch: int) -> np.ndarray:
    """The entries of one sequence, in a row."""
    a = np.asarray(g, dtype=np.float64)
    return (a[batch] if a.ndim > 1 else a).reshape(-1)


def size(state: Node) -> int:
    """The units of a state, of one sequence."""
    shape = np.shape(state.data)
    return math.prod(shape[1:] if len(shape) > 1 else shape)


def slices(states: Sequence[Node]) -> dict[Node, slice]:
    """Where the units of each state lie in the whole state."""
    starts = np.cumsum([0, *map(size, states)])
    return {state: slice(start, start + size(state)) for state, start in zip(states, starts, strict=False)}
