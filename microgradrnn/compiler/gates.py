"""Gates side by side: one activation call for all gates that have the same one.

A cell cuts its net input into blocks and puts each through an activation. Blocks that are neighbours and go through the
same activation are put through it together; `merged` sees to that. If blocks of a kind are not neighbours (the LSTM's
are i, f, g, o, and only g goes through tanh), `reordered` first gives the columns of the weights another order, inside:
gradients come out in the order of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate, pairwise, permutations
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.compiler.expression import ELEMENTWISE, Expression, Table, ordered, reading
from microgradrnn.compiler.trace import one_slice

MOST = 6  # blocks, of which all orders are tried


class Block(NamedTuple):
    """A slice of a net input along its last axis, and the one activation that reads it, if there is just one."""

    start: int
    stop: int
    slice: Expression
    activation: Expression | None


Readers = dict[Expression, list[Expression]]
New = dict[Any, Any]  # what became of each expression
Replacement = Callable[[New], Any]
NO_COTANGENT: tuple[Expression | None, ...] = (None,)


def readers_of(roots: Sequence[Any]) -> Readers:
    """For each expression those that read it, once for each time."""
    found: Readers = {}
    for e in ordered(roots):
        for a in e.inputs:
            found.setdefault(a, []).append(e)
    return found


def blocks_of(z: Expression, readers: Readers) -> list[Block]:
    """The blocks of a net input, in order; none if it is read in another way."""
    found: list[Block] = []
    for e in readers.get(z, ()) if z.shape else ():
        cut = one_slice(e.params["index"], z.shape) if e.op == "getitem" else None
        if cut is None or cut[0] != len(z.shape) - 1 or e.shape != (*z.shape[:-1], cut[2] - cut[1]):
            return []
        users = readers.get(e, [])
        unary = len(users) == 1 and users[0].op in ELEMENTWISE and len(users[0].args) == 1
        found.append(Block(cut[1], cut[2], e, users[0] if unary else None))
    found.sort(key=lambda block: block.start)
    ends = [0, *(block.stop for block in found)]
    tiles = all(block.start == end for block, end in zip(found, ends, strict=False)) and ends[-1] in z.shape[-1:]
    return found if len(found) > 1 and tiles else []


# ------------------------------------------------------------------------------------------------------------ merging
def merged(table: Table, roots: list[Any]) -> list[Any]:
    """The roots, with one activation for neighbouring blocks that have the same one."""
    readers = readers_of(roots)
    replace: dict[Expression, Replacement] = {}
    for z in ordered(roots):
        run: list[Block] = []
        for block in [*blocks_of(z, readers), None]:
            op = block.activation.op if block is not None and block.activation is not None else None
            if run and (op is None or op != run[0].activation.op):  # type: ignore[union-attr]
                if len(run) > 1:
                    _merge(table, z, run, replace)
                run = []
            if op is not None:
                run.append(block)  # type: ignore[arg-type]
    return substituted(table, roots, replace)


def _merge(table: Table, z: Expression, run: list[Block], replace: dict[Any, Any]) -> None:
    first, last = run[0].start, run[-1].stop

    def cut(of: Expression, start: int, stop: int, name: str | None = None) -> Expression:
        index = (*(slice(None),) * (len(of.shape) - 1), slice(start, stop))
        return table.make("getitem", (of,), {"index": index}, (*of.shape[:-1], stop - start), of.dtype, name)

    def part(block: Block) -> Replacement:
        def made(new: New) -> Any:
            activation: Any = block.activation
            whole = new[z] if (first, last) == (0, z.shape[-1]) else cut(new[z], first, last)
            together = table.elementwise(activation.op, whole, name="gates")
            return cut(together, block.start - first, block.stop - first, activation.name)

        return made

    for block in run:
        replace[block.activation] = part(block)


# --------------------------------------------------------------------------------------------------------- reordering
def reordered(table: Table, roots: list[Any], varying: Sequence[Expression], seeds: Sequence[Expression]) -> list[Any]:
    """The roots, with the columns of net inputs in the order in which the fewest calls are needed.

    Args:
        table: of the expressions.
        roots: next states and gradients.
        varying: the leaves that are others at each step: the input, the state and the cotangents.
        seeds: the cotangents among them.
    """
    readers, changing, seeded = readers_of(roots), reading(roots, varying), reading(roots, seeds)
    for z in ordered(roots):
        blocks = blocks_of(z, readers) if z not in seeded else []
        if not 2 < len(blocks) <= MOST or any(block.activation is None for block in blocks):
            continue
        joined = [c for c in ordered(roots) if c.op == "concat" and c.shape == z.shape and c in seeded
                  and [a.shape[-1] for a in c.args] == [b.stop - b.start for b in blocks]]  # fmt: skip
        for c in joined or NO_COTANGENT:
            order = best_order(blocks, c)
            if order != list(range(len(blocks))):
                replace = _permuted(table, z, blocks, c, order, readers, changing)
                if replace is not None:
                    return substituted(table, roots, replace)
    return roots


def best_order(blocks: list[Block], c: Expression | None) -> list[int]:
    """The order of blocks with the fewest calls: activations, and products with a cotangent, that are neighbours."""
    kinds: list[Any] = [block.activation.op for block in blocks]  # type: ignore[union-attr]
    carriers: list[Any] = [None] * len(blocks) if c is None else [piece.args[0] for piece in c.args]

    def calls(order: Iterable[int]) -> int:
        pairs = list(pairwise(order))
        activations = 4 * sum(kinds[i] != kinds[j] for i, j in pairs)
        return activations + sum(carriers[i] is not carriers[j] for i, j in pairs)

    return list(min(permutations(range(len(blocks))), key=calls))


def _permuted(
    table: Table, z: Expression, blocks: list[Block], c: Expression | None, order: list[int], readers: Readers,
    changing: set[Expression],
) -> dict[Expression, Replacement] | None:  # fmt: skip
    """What to replace to have the blocks of z, and the pieces of its cotangent c, in another order."""
    columns = np.concatenate([np.arange(blocks[k].start, blocks[k].stop) for k in order])
    back = np.argsort(columns)

    def columns_of(e: Any, index: np.ndarray) -> Any:
        """An expression with its columns in another order; None if that would cost something at each step."""
        if not isinstance(e, Expression) or not e.shape or e.shape[-1] == 1:
            return e
        if e.op == "add":
            parts = [columns_of(a, index) for a in e.args]
            return None if any(p is None for p in parts) else table.elementwise("add", *parts)
        if e.op == "matmul" and e in changing:
            weights = columns_of(e.args[1], index)
            return None if weights is None else table.make("matmul", (e.args[0], weights), {}, e.shape, e.dtype)
        return None if e in changing else taken(e, index)

    def taken(e: Expression, index: np.ndarray) -> Expression:
        return table.make("getitem", (e,), {"index": (*(slice(None),) * (len(e.shape) - 1), index)}, e.shape, e.dtype)

    other = columns_of(z, columns)
    if other is None:
        return None
    replace: dict[Expression, Replacement] = {}
    ends = list(accumulate((blocks[k].stop - blocks[k].start for k in order), initial=0))
    for place, k in enumerate(order):
        index = (*(slice(None),) * (len(z.shape) - 1), slice(ends[place], ends[place + 1]))
        cut = table.make("getitem", (other,), {"index": index}, blocks[k].slice.shape, z.dtype, blocks[k].slice.name)
        replace[blocks[k].slice] = partial(_this, cut)
    if c is None:
        return replace

    def joined(new: New) -> Expression:
        return table.make("concat", [new[c.args[k]] for k in order], c.params, c.shape, c.dtype, c.name)

    def times_weights(e: Expression, turned: Expression, new: New) -> Expression:
        return table.make("matmul", (joined(new), turned), {}, e.shape, e.dtype, e.name)

    def of_weights(e: Expression, new: New) -> Expression:
        args = [joined(new) if a is c else new[a] for a in e.args]
        return taken(table.make(e.op, args, e.params, e.shape, e.dtype, e.name), back)

    for e in readers.get(c, ()):
        if e.op == "matmul" and e.args[0] is c and e.args[1].op == "transpose" and e.args[1] not in changing:
            w = taken(e.args[1].args[0], columns)
            turned = table.make("transpose", (w,), e.args[1].params, e.args[1].shape, w.dtype)
            replace[e] = partial(times_weights, e, turned)
        elif (e.op == "matmul" and e.args[1] is c) or (
            e.op == "sum" and len(c.shape) - 1 not in (e.params["axis"] or range(len(c.shape)))
        ):
            replace[e] = partial(of_weights, e)
        else:
            return None
    return replace


def _this(e: Expression, new: New) -> Expression:
    return e


def substituted(
    table: Table, roots: list[Any], replace: dict[Expression, Replacement]
) -> list[Any]:
    """The roots with some expressions replaced; each replacement is made from what became of the others."""
    new: New = {}
    for e in ordered(roots):
        if e in replace:
            new[e] = replace[e](new)
        else:
            new[e] = table.again(e, [new[a] if isinstance(a, Expression) else a for a in e.args]) if e.args else e
    return [new[e] if isinstance(e, Expression) else e for e in roots]
