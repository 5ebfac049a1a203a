"""What of a step has to be done at every step, and what can be done for all steps at once.

A loop over time is slow because of the number of its operations. Much of a step need not be in it:

=======  ==========================================================================================
once     what depends on weights only
before   what depends on the input, but not on the state: ``x @ U + b`` for all steps is one product
step     the rest of the forward pass: in the loop
factor   in the backward pass what depends on no cotangent: known for all steps after the forward pass
back     what the carried cotangents are made of: in the loop backwards
after    other cotangents: ``dx = dz @ U.T`` for all steps is one product
total    sums over time: ``dW`` is one product of the stacked ``h_prev`` and the stacked ``dz``
=======  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from microgradrnn.compiler.expression import ELEMENTWISE, Expression, ordered, reading
from microgradrnn.compiler.factors import collected
from microgradrnn.compiler.gates import merged, reordered
from microgradrnn.compiler.trace import Trace

ONCE, BEFORE, STEP, FACTOR, BACK, AFTER = "once", "before", "step", "factor", "back", "after"
REDUCTIONS = {"sum", "mean", "max", "min", "softmax", "log_softmax", "logsumexp", "norm"}
STACKED = (BEFORE, FACTOR, AFTER)  # phases in which all steps are done at once


class Total(NamedTuple):
    """A sum over time, as a tree: an operation and its arguments, which are totals, expressions or numbers.

    ``product`` is Σ aᵀ g of two stacked matrices, ``rows`` the sum over steps and the first axis, ``steps`` that over
    steps alone, ``times`` T times what is the same at each step; any other operation is done with totals.
    """

    op: str
    args: tuple[Any, ...]
    like: Expression


class Plan:
    """A step of a recurrent net and its derivative, in phases.

    Attributes:
        x, states: the leaves of the input and of the last state.
        outputs: the next state.
        seeds: the cotangents of the next state; carried: those of the last one, None where no gradient flows.
        dx: the cotangent of the input, or None.
        totals: for each free leaf its gradient, summed over time, or None.
        phase: for each expression the phase in which it is computed.
        kept: those of the loops that are needed afterwards, for all steps.
    """

    def __init__(self, trace: Trace, grouped: bool = True) -> None:
        """Plan a step.

        Args:
            trace: of the step.
            grouped: put gates with the same activation together? That pays where each call costs.
        """
        self.trace = trace
        self.x, *self.states = trace.inputs
        self.seeds = trace.seeds
        free = [leaf for _, leaf in trace.free]
        wanted = [trace.gradients.get(leaf) for leaf in (*self.states, self.x, *free)]
        table, n = trace.table, len(self.states)
        roots = [*trace.outputs, *collected(table, wanted, self.seeds)]
        if grouped:
            roots = merged(table, reordered(table, roots, [*trace.inputs, *self.seeds], self.seeds))
        self.outputs, found = roots[:n], roots[n:]
        self.changing = reading(roots, [*trace.inputs, *self.seeds])
        self.carried, self.dx = found[:n], found[n]
        self.phase: dict[Expression, str] = {}
        self._forward()
        self.given = reading(found, [self.x, *self.states])
        self.seeded = reading(found, self.seeds)
        self.totals = [None if g is None else self._total(g) for g in found[n + 1 :]]
        self._backward([e for total in self.totals if total is not None for e in stacked_parts(total)])
        self.kept = self.needed_later()

    # ----------------------------------------------------------------------------------------------------- phases
    def _forward(self) -> None:
        step, before = reading(self.outputs, self.states), reading(self.outputs, [self.x])
        self.phase[self.x] = BEFORE
        for e in [*self.states, *ordered(self.outputs)]:
            if e is self.x:
                continue
            in_loop = e in step or any(self.phase.get(a) == STEP for a in e.inputs)
            if not in_loop and e in before and not self._can_be_stacked(e):
                in_loop = True
            self.phase[e] = STEP if in_loop else BEFORE if e in before else ONCE
        self.forward = list(self.phase)

    def _backward(self, summed: list[Expression]) -> None:
        roots = [e for e in (*self.carried, self.dx, *summed) if e is not None]
        order = [e for e in ordered(roots) if e not in self.phase]
        needed = set(ordered([e for e in self.carried if e is not None]))
        looped = {e for e in order if e in self.seeded and e in needed} | set(self.seeds)
        while True:  # what cannot be stacked is done in the loop; and so is what that reads
            more = {
                e for e in order if e not in looped and e not in self.seeds and (
                    (not self._can_be_stacked(e) and (e in self.given or e in self.seeded))
                    or (e not in self.seeded and any(a in looped for a in e.inputs))
                    or (e in self.seeded and any(e in user.inputs for user in looped))
                )
            }  # fmt: skip
            if not more:
                break
            looped |= more
        for e in [*self.seeds, *order]:
            depends = e in self.seeded or e in self.given
            self.phase[e] = (
                BACK if e in looped else AFTER if e in self.seeded else FACTOR if depends else ONCE
            )
        self.order = list(dict.fromkeys([*self.seeds, *order]))

    def _can_be_stacked(self, e: Expression) -> bool:
        """Can it be computed for all steps at once?"""
        if e.op in ELEMENTWISE or e.op in ("leaf", "constant", "zeros", "concat", "transpose", "reshape",
                                           "broadcast_to", "astype"):
            return True
        if e.op == "getitem":
            return basic(e.params["index"])
        if e.op == "matmul":
            ranks = [len(a.shape) for a in e.args]
            most = max(ranks)  # the time axis must come before all others
            return min(ranks) >= 2 and all(
                rank == most for a, rank in zip(e.args, ranks, strict=True) if a in self.changing
            )
        return e.op in REDUCTIONS and bool(e.inputs) and len(e.args[0].shape) > 0

    def needed_later(self) -> set[Expression]:
        """What the loops make that is read after them."""
        kept = {buffer_of(e) for e in self.outputs}
        later = [(self.phase[e], a) for e in self.order for a in e.inputs]
        later += [(AFTER, e) for total in self.totals if total is not None for e in stacked_parts(total)]
        later += [(AFTER, self.dx)] if self.dx is not None else []
        for reader, a in later:
            phase = self.phase[a]
            if (phase == STEP and reader != STEP) or (phase == BACK and reader != BACK):
                kept.add(buffer_of(a))
        return kept | {e for e in self.states if any(a is e for o in self.order for a in o.inputs)}

    # ------------------------------------------------------------------------------------------------ sums over time
    def _total(self, e: Expression) -> Any:
        """The sum over all steps, as a `Total`; what is linear is done with the sums."""
        if e not in self.seeded:
            return Total("times", (e,), e)
        sums = [self._total(a) if self._varies(a) else a for a in e.args]
        if e.op in ("add", "subtract", "negative", "concat", "reshape", "transpose", "getitem", "astype") and all(
            self._varies(a) or e.op == "concat" for a in e.args
        ):
            if e.op == "concat":
                sums = [s if isinstance(s, Total) else Total("times", (s,), s) for s in sums]
            return Total(e.op, tuple(sums), e)
        if e.op in ("multiply", "divide") and [self._varies(a) for a in e.args] == [True, False]:
            return Total(e.op, tuple(sums), e) if e.args[0].shape == e.shape else Total("steps", (e,), e)
        if e.op == "matmul":
            a, b = e.args
            if a.op == "transpose" and len(a.shape) == 2 == len(b.shape) and self._varies(a) and self._varies(b):
                return Total("product", (a.args[0], b), e)
            if self._varies(a) != self._varies(b):
                return Total("matmul", tuple(sums), e)
        if e.op == "sum" and e.params["axis"] == (0,) and not e.params["keepdims"] and len(e.args[0].shape) == 2:
            return Total("rows", (e.args[0],), e)
        return Total("steps", (e,), e)

    def _varies(self, a: Any) -> bool:
        """Is it another one at each step?"""
        return isinstance(a, Expression) and (a in self.seeded or a in self.given)


def stacked_parts(total: Any) -> Iterable[Expression]:
    """The expressions that a sum over time needs for all steps."""
    if isinstance(total, Expression):
        yield total
    elif isinstance(total, Total):
        for part in total.args:
            yield from stacked_parts(part)


def basic(index: Any) -> bool:
    """Is it an index of whole numbers and slices, which gives a view?"""
    parts = index if isinstance(index, tuple) else (index,)
    return all(i is None or i is Ellipsis or isinstance(i, (int, slice)) for i in parts)


def is_view(e: Expression) -> bool:
    """Is it another look at its argument's numbers?"""
    if e.op == "reshape":
        return isinstance(e.args[0], Expression) and not is_view(e.args[0])
    if e.op == "getitem":
        return basic(e.params["index"])
    return e.op in ("transpose", "broadcast_to") and isinstance(e.args[0], Expression)


def buffer_of(e: Expression) -> Expression:
    """The expression whose numbers a view looks at."""
    while is_view(e):
        e = e.args[0]
    return e
