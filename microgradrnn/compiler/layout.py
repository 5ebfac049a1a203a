"""Where the numbers of a plan live: one array for each expression, laid out once for a number of steps.

An array that is needed for all steps has time as its first axis; the others are overwritten at every step. Views (a
slice of the net input, a transposed matrix) are views of the arrays, made once. Pieces of a concatenation are written
in their places, so that nothing is left to be joined.
"""

from __future__ import annotations

import builtins
import keyword
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.compiler.expression import ELEMENTWISE, Expression
from microgradrnn.compiler.plan import (
    AFTER,
    BACK,
    BEFORE,
    FACTOR,
    ONCE,
    STACKED,
    STEP,
    Plan,
    buffer_of,
    is_view,
    stacked_parts,
)


class Home(NamedTuple):
    """An array: its name, whether it has a time axis, and how it is made from T and the arrays made before.

    The time axis has an entry for each step (`ALL`), or for a few steps at a time (`FEW`), which stay in the cache.
    """

    name: str
    stacked: int
    make: Callable[[int, dict[str, np.ndarray]], np.ndarray]


class Run(NamedTuple):
    """Pieces of a concatenation, from `first` up to `last`, that are one cotangent `d` times several factors.

    The arrays: d, so that it broadcasts; the factors; the pieces. The last two have an axis more, one entry a piece.
    """

    first: int
    last: int
    d: Expression
    across: Home
    factors: Home
    result: Home


class Arrays(dict[str, np.ndarray]):
    """Arrays by name, for T steps. Each is made when it is asked for: no back end needs all of them."""

    def __init__(self, homes: Sequence[Home], T: int) -> None:
        self.homes, self.T = {home.name: home for home in homes}, T

    def __missing__(self, name: str) -> np.ndarray:
        made = self[name] = self.homes[name].make(self.T, self)
        return made


ALL, FEW = 1, 2
RESERVED = {  # names that the code uses itself
    "T", "np", "rows", "rows_back", "first", "stop", "begin", "end", "summed", "start", "steps", "start_back",
    "factors", "loop_back", "gradients", "finish", *keyword.kwlist, *dir(builtins), *dir(np),
    *(f"{f}_{bits}" for f in ("exp", "tanh", "sigmoid") for bits in (32, 64)), *(f"i{k}" for k in range(10)),
}  # fmt: skip
CACHE = 1 << 15  # numbers: so many of an array of factors are worked out at a time


class Layout:
    """The arrays of a plan.

    Attributes:
        homes: for each expression its array.
        made: all arrays in an order in which they can be made.
        runs: for each concatenation the runs of pieces that one multiplication computes.
    """

    def __init__(self, plan: Plan, ragged: bool) -> None:
        self.plan, self.ragged = plan, ragged
        self.homes: dict[Expression, Home] = {}
        self.made: list[Home] = []
        self.names: set[str] = set(RESERVED)
        self.placed: dict[Expression, Expression] = {}  # pieces that are written in their place in a concatenation
        self.runs: dict[Expression, list[Run]] = {}
        self.reads = self._count()
        everything = [*plan.forward, *plan.order]
        largest = max([int(np.prod(e.shape)) for e in everything if plan.phase[e] == FACTOR], default=1)
        self.few = max(CACHE // max(largest, 1), 1)
        later = [a for e in plan.order if plan.phase[e] == AFTER for a in e.inputs]
        later += [e for total in plan.totals if total is not None for e in stacked_parts(total)]
        self.whole = {buffer_of(a) for a in later if plan.phase[a] == FACTOR}
        used = {buffer_of(a) for a in (*later, *(a for e in plan.order for a in e.inputs))}
        made = [e for e in plan.forward if plan.phase[e] == BEFORE and e.args and not is_view(e)]
        self.spare = [e for e in made if e not in used]
        self.outs: list[Home] = []
        self._states()
        for part in (plan.forward, plan.order):
            self._place([e for e in part if e.op == "concat"])
            for e in part:
                self.home(e)
            kept = {self.homes[e].name for e in used & self.homes.keys()}  # two may share an array
            self.spare = [e for e in self.spare if self.homes[e].name not in kept]
        for c, runs in self.runs.items():
            self.runs[c] = [self._with_views(c, run) for run in runs]

    def _count(self) -> Counter[Expression]:
        """How often each expression is read."""
        plan = self.plan
        reads: Counter[Expression] = Counter()
        for e in {*plan.forward, *plan.order}:
            reads.update(e.inputs)
        for root in (*plan.outputs, *plan.carried, plan.dx):
            if root is not None:
                reads[root] += 2  # by name, and by whoever is outside
        for total in plan.totals:
            if total is not None:
                reads.update(dict.fromkeys(stacked_parts(total), 2))
        return reads

    # ------------------------------------------------------------------------------------------------------ making
    def name(self, wish: str | None) -> str:
        """A name that no array has yet."""
        base = wish if wish and wish.isidentifier() else "v"
        if base.startswith(("number_", "columns_")) or base.endswith(("_all", "_few", "_flat", "_of_arrays")):
            base += "_"  # the code has names of this form
        name, k = base, 2
        while name in self.names:
            name, k = f"{base}_{k}", k + 1
        self.names.add(name)
        return name

    def new(self, name: str | None, shape: tuple[int, ...], dtype: Any, stacked: int, more: int = 0) -> Home:
        """A new array; with `more` steps than there are."""
        def make(T: int, arrays: dict[str, np.ndarray]) -> np.ndarray:
            steps = T + more if stacked == ALL else min(T, self.few)
            return np.zeros((steps, *shape) if stacked else shape, dtype)

        return self._note(Home(self.name(name), stacked, make))

    def view(self, name: str | None, of: Home, look: Callable[[np.ndarray], np.ndarray]) -> Home:
        """Another look at an array."""
        return self._note(Home(self.name(name), of.stacked, lambda T, arrays: look(arrays[of.name])))

    def _note(self, home: Home) -> Home:
        self.made.append(home)
        return home

    def arrays(self, T: int) -> Arrays:
        """The arrays for T steps, by name."""
        return Arrays(self.made, T)

    # ------------------------------------------------------------------------------------------------------- homes
    def _states(self) -> None:
        """States and their cotangents: T + 1 of each, of which the last (next) ones are a look at the others."""
        plan = self.plan
        self.histories, self.cotangents = [], []
        for k, (before, after, seed) in enumerate(zip(plan.states, plan.outputs, plan.seeds, strict=True)):
            whole = self.new(f"{before.name}_to_end", before.shape, before.dtype, ALL, 1)
            self.histories.append(whole)
            self.homes[before] = self.view(before.name, whole, lambda a: a[:-1])
            out = self.view(after.name, whole, lambda a: a[1:])
            if isinstance(after, Expression) and after not in self.homes and self._writable(after):
                self.homes[after] = out
            whole = self.new(f"{seed.name}_to_end", seed.shape, seed.dtype, ALL, 1)
            self.homes[seed] = self.view(seed.name, whole, lambda a: a[1:])
            self.outs.append(out)
            carried = plan.carried[k]
            earlier = self.view(carried.name if carried is not None else None, whole, lambda a: a[:-1])
            self.cotangents.append((whole, earlier))
            # Only the outputs, or states of sequences that end at different steps, get cotangents from outside.
            if k and not self.ragged and carried is not None and carried not in self.homes and self._writable(carried):
                self.homes[carried] = earlier

    def _writable(self, e: Expression) -> bool:
        """Is it computed, and in a loop?"""
        return bool(e.args) and not self.is_view(e) and self.plan.phase[e] in (STEP, BACK) and e not in self.plan.seeds

    def _place(self, joined: list[Expression]) -> None:
        """Give each concatenation its array, and the pieces that can be written in their places a part of it."""
        for c in joined:
            home = self.homes.get(c) or self._spared(c) or self.new(c.name, c.shape, c.dtype, self.stacked(c))
            self.homes[c] = home
            axis, start = c.params["axis"], 0
            self.runs[c] = self._runs(c) if axis == len(c.shape) - 1 else []
            grouped = {k for run in self.runs[c] for k in range(run.first, run.last)}
            for k, piece in enumerate(c.args):
                stop = start + piece.shape[axis]
                if k not in grouped and self._fits(piece, c):
                    self.homes[piece] = self.view(piece.name, home, slicer(axis - len(c.shape), start, stop))
                    self.placed[piece] = c
                start = stop

    def _fits(self, piece: Expression, c: Expression) -> bool:
        """Can it be computed in its place in a concatenation?"""
        return (
            piece.op in ELEMENTWISE and bool(piece.inputs) and piece not in self.homes and piece.dtype == c.dtype
            and self.plan.phase[piece] == self.plan.phase[c] and c.args.count(piece) == 1
            and self.stacked(piece) in (0, self.stacked(c))  # what is kept for all steps needs room for them
        )  # fmt: skip

    def _runs(self, c: Expression) -> list[Run]:
        """Neighbouring pieces that are one cotangent times different factors, of the same width."""
        found: list[Run] = []
        k = 0
        while k < len(c.args) and self.plan.phase[c] == BACK and len(c.shape) == 2:
            pairs: list[tuple[Expression, Expression]] = []
            while k + len(pairs) < len(c.args) and (pair := self._times(c.args[k + len(pairs)])) is not None:
                same = all(pair[0] is d and pair[1] is not f and pair[1].shape == f.shape for d, f in pairs)
                if not same:
                    break
                pairs.append(pair)
            if len(pairs) > 1:
                shape = (c.shape[0], len(pairs), pairs[0][1].shape[-1])
                joint = self.new("factors", shape, c.dtype, FEW)
                for j, (_, factor) in enumerate(pairs):
                    self.homes[factor] = self.view(factor.name, joint, partial(_middle, j=j))
                found.append(Run(k, k + len(pairs), pairs[0][0], joint, joint, joint))
            k += max(len(pairs), 1)
        return found

    def _with_views(self, c: Expression, run: Run) -> Run:
        """A run with the arrays of its operands and its result, one row for each piece."""
        width = run.factors.make(1, {}).shape[-1]
        start = sum(piece.shape[-1] for piece in c.args[: run.first])
        stop, many, d = start + width * (run.last - run.first), run.last - run.first, self.homes[run.d]
        across = self.view(f"{d.name}_across", d, lambda a: a[..., None, :])
        result = self.view(
            f"{self.homes[c].name}_{start}_to_{stop}", self.homes[c],
            lambda a: a[..., start:stop].reshape((*a.shape[:-1], many, width)),
        )  # fmt: skip
        return run._replace(across=across, result=result)

    def _times(self, piece: Expression) -> tuple[Expression, Expression] | None:
        """The cotangent and the factor of a piece, if the factor can have a place beside others."""
        plan = self.plan
        if piece.op != "multiply" or self.reads[piece] != 1 or plan.phase[piece] != BACK:
            return None
        for d, factor in (piece.args, piece.args[::-1]):
            if (
                isinstance(d, Expression) and isinstance(factor, Expression) and plan.phase[d] == BACK
                and plan.phase[factor] == FACTOR and factor.op in ELEMENTWISE and factor not in self.homes
                and factor not in self.whole and d.shape == factor.shape == piece.shape
                and d.dtype == factor.dtype == piece.dtype
            ):
                return d, factor
        return None

    def is_view(self, e: Expression) -> bool:
        """Is it another look at its argument's array? (A transposed matrix of weights is written out: products of it
        are quicker.)
        """
        return is_view(e) and not (e.op == "transpose" and self.plan.phase[e] == ONCE)

    def stacked(self, e: Expression) -> int:
        """Does it have a time axis, and of all steps or of a few?"""
        phase = self.plan.phase[e]
        if phase == FACTOR and buffer_of(e) not in self.whole:
            return FEW
        return ALL if phase in STACKED or (phase in (STEP, BACK) and buffer_of(e) in self.plan.kept) else 0

    def home(self, e: Expression) -> Home:
        """The array of an expression."""
        if e not in self.homes:
            if self.is_view(e):
                self.homes[e] = self.view(e.name, self.home(e.args[0]), look_of(e, bool(self.home(e.args[0]).stacked)))
            else:
                self.homes[e] = (
                    self._reused(e) or self._spared(e) or self.new(e.name, e.shape, e.dtype, self.stacked(e))
                )
        return self.homes[e]

    def _spared(self, e: Expression) -> Home | None:
        """For a cotangent the array of something that only the forward pass reads, such as the net input."""
        if self.plan.phase[e] == BACK and self.stacked(e) == ALL:
            for other in self.spare:
                if other.shape == e.shape and other.dtype == e.dtype:
                    home = self.home(other)
                    self.spare = [x for x in self.spare if self.homes[x] is not home]
                    return home
        return None

    def beside(self, e: Expression) -> Home:
        """A second array like that of an expression, for what is on its way to it."""
        return self.new(f"{e.name or 'v'}_beside", e.shape, e.dtype, FEW if self.stacked(e) == FEW else
                        ALL if self.plan.phase[e] in STACKED else 0)

    def _reused(self, e: Expression) -> Home | None:
        """The array of an argument that nobody else reads."""
        if e.op not in ELEMENTWISE or e.op == "where" or self.plan.phase[e] == ONCE:
            return None
        for a in e.inputs:
            if (
                self.reads[a] == 1 and a.shape == e.shape and a.dtype == e.dtype and a.args and not self.is_view(a)
                and self.plan.phase[a] == self.plan.phase[e] and self.stacked(a) == self.stacked(e)
                and a not in self.placed and a.op != "concat" and e.op != "sigmoid" and a not in self.plan.kept
                and self.home(a) not in self.outs and e not in self.plan.kept
            ):
                return self.home(a)
        return None


def _middle(a: np.ndarray, j: int) -> np.ndarray:
    """One of the arrays that lie side by side in an array."""
    return a[:, :, j]


def slicer(axis: int, start: int, stop: int) -> Callable[[np.ndarray], np.ndarray]:
    """A look at a part of an axis, counted from the end."""
    index: Any = (..., slice(start, stop), *(slice(None),) * (-axis - 1))
    return lambda a: a[index]


def look_of(e: Expression, stacked: bool) -> Callable[[np.ndarray], np.ndarray]:
    """The look that a view takes at the array of its argument, which may have a time axis in front."""
    lead, params = int(stacked), e.params
    if e.op == "getitem":
        index = params["index"] if isinstance(params["index"], tuple) else (params["index"],)
        return lambda a: a[(slice(None),) * lead + index]
    if e.op == "transpose":
        return lambda a: a.transpose((*range(lead), *(i + lead for i in params["axes"])))
    if e.op == "broadcast_to":
        missing = len(e.shape) - len(e.args[0].shape)
        return lambda a: np.broadcast_to(
            a.reshape((*a.shape[:lead], *(1,) * missing, *a.shape[lead:])), (*a.shape[:lead], *e.shape)
        )
    return lambda a: a.reshape((*a.shape[:lead], *e.shape))
