"""Pairs of programs that do the same mathematics and are written differently.

What viz says of a net must not depend on how its loop was written. A `Case` is a cell of `CELLS` in a wrapper of
`WRAPPERS`, unrolled over random inputs, under one of `LOSSES`. `write` writes it plainly (`Loop()`), and again as one
of `REWRITINGS` says. What viz measures of a program is in `tests.viz.measures`; `tests.viz.differences` compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import microgradrnn as mg
from microgradrnn import Tensor, Value, mark, nn, scope
from microgradrnn.nn import scalar
from tests.viz.recurrences import (
    CELLS,
    LIBRARY,
    LOSSES,
    OF_ARRAYS,
    VALUES,
    WRAPPERS,
    Inner,
    Now,
    State,
    built_in,
    neuron,
    twin,
)

# ------------------------------------------------------------------------------------------- how a loop is written
IDENTITIES: dict[str, Callable[[Any], Any]] = {
    "h * 1.0": lambda h: h * 1.0,
    "h + 0": lambda h: h + 0,
    "-(-h)": lambda h: mg.negative(-h),
    "h / 2 + h / 2": lambda h: h / 2 + h / 2,
    "h[...]": lambda h: h[...],
    "reshape": lambda h: h.reshape(*h.shape),
    "h.T.T": lambda h: h.T.T,
}
OF_NUMBERS = ("h * 1.0", "h + 0", "-(-h)", "h / 2 + h / 2")
LABELS: dict[str, Callable[[int, int], int]] = {  # what the i-th of T steps is called
    "from 0": lambda i, T: i,
    "from 5": lambda i, T: 5 + i,
    "even": lambda i, T: 2 * i,
    "backwards": lambda i, T: T - 1 - i,
}


@dataclass(frozen=True)
class Loop:
    """How a program is written. The defaults are the plain hand-written loop that all others are compared with.

    Attributes:
        by: ``hand``, a loop over ``with scope(name, step=t)``; ``unroll``, `nn.unroll` over a function that does one
            step; ``unroll backwards``, the same over the reversed inputs; ``unroll cell``, over the bare cell, which
            works out ``x U`` before the loop.
        name: in ``scope(name, step=t)``; None leaves the name out.
        around: scopes round the whole loop.
        inside: scopes opened inside every step, round the wrapper.
        named: does the cell open a scope of its own, as those of the library do?
        labels: the numbers of the steps.
        identity: where something is done to the state that changes nothing, and may give it a name.
        marks: ``as made``; ``q``, the state is marked anew (its role stays); ``none``, it loses its mark.
        x: ``array``; ``tensor``, cut in the loop; ``cut``, a Tensor cut before it; ``leaves``, a Tensor a step.
        start: the first state, an ``array`` or a ``tensor`` that takes a gradient.
        terms: is what a step adds to the loss worked out and added ``in the step`` or ``after`` the loop? The sum
            starts from 0, or with the first term, ``in the step, no 0``.
            What reads the last state alone may be worked out ``in the last step``.
        layers: of a stack, ``one loop`` for both or ``two loops``.
        head: the scope of what a step adds to the loss, if it has one.
        ragged: how sequences end: ``picked`` after the loop, ``lengths=``, or the state is held by ``where``.
    """

    by: str = "hand"
    name: str | None = "net"
    around: tuple[Any, ...] = ()
    inside: tuple[str, ...] = ()
    named: bool = False
    labels: str = "from 0"
    identity: str | None = None
    marks: str = "as made"
    x: str = "array"
    start: str = "array"
    terms: str = "in the step"
    layers: str = "one loop"
    head: str | None = None
    ragged: str = "picked"


# What is rewritten, and how. An identity is put at every place where a person might put one.
REWRITINGS: dict[str, dict[str, Any]] = {
    "unroll of a function": {"by": "unroll"},
    "unroll of a function, named cell": {"by": "unroll", "named": True},
    "unroll of the cell": {"by": "unroll cell"},
    "unroll backwards": {"by": "unroll backwards", "labels": "backwards"},
    "name inside the step": {"name": None, "inside": ("net",)},
    "scope(step=) without a name": {"name": None},
    "name round the loop": {"name": None, "around": ("net",)},
    "the cell has a scope": {"named": True},
    "the cell has a scope, no other": {"named": True, "name": None},
    "a scope in the step": {"inside": ("wrapper",)},
    "scopes in the step, named cell": {"inside": ("wrapper", "layer"), "named": True},
    "steps inside a step of an outer loop": {"around": (("epoch", 3),)},
    "steps from 5": {"labels": "from 5"},
    "steps 0, 2, 4": {"labels": "even"},
    "steps backwards": {"labels": "backwards"},
    "steps backwards, named cell": {"labels": "backwards", "named": True},
    "identity before the step, outside": {"identity": "before"},
    "identity before the step, one part": {"identity": "before, one part"},
    "identity after the step, outside": {"identity": "after"},
    "identity at the start of the step": {"identity": "start"},
    "identity at the end of the step": {"identity": "end"},
    "identity between cell and wrapper": {"identity": "cell"},
    "identity with a name, at the start of the step": {"identity": "start, named", "marks": "none"},
    "identity with a name, before the step": {"identity": "before, named", "marks": "none"},
    "identity with a name, after the step": {"identity": "after, named", "marks": "none"},
    "identity after the loop": {"identity": "after the loop"},
    "identity on the loss": {"identity": "loss"},
    "states renamed": {"marks": "q"},
    "states without marks": {"marks": "none"},
    "x a Tensor, cut in the loop": {"x": "tensor"},
    "x a Tensor, cut before the loop": {"x": "cut"},
    "x a Tensor a step": {"x": "leaves"},
    "first state a Tensor": {"start": "tensor"},
    "loss after the loop": {"terms": "after"},
    "loss begun with its first term": {"terms": "in the step, no 0"},
    "loss in the last step": {"terms": "in the last step"},
    "loss with a scope of its own": {"head": "linear"},
    "loss with a scope of its own, named cell": {"head": "linear", "named": True},
    "Value instead of Tensor": {},
    "stack, named cells": {"named": True},
    "stack, unroll of a function": {"by": "unroll"},
    "stack, identity before the step": {"identity": "before"},
    "stack, steps from 5, named cells": {"labels": "from 5", "named": True},
    "stack in two loops": {"layers": "two loops"},
    "stack in two loops, named cells": {"layers": "two loops", "named": True},
    "stack in two loops, no names": {"layers": "two loops", "name": None},
    "ragged by lengths=": {"by": "unroll", "ragged": "lengths="},
    "ragged by lengths=, the cell": {"by": "unroll cell", "ragged": "lengths="},
    "ragged by where": {"ragged": "where"},
    "all at once": {"named": True, "inside": ("wrapper",), "identity": "before", "terms": "after", "labels": "from 5"},
}


class Case(NamedTuple):
    """A program and its rewriting. The seed draws sizes, numbers, and whatever is left to choose."""

    cell: str
    wrapper: str
    loss: str
    rewriting: str
    seed: int

    def __str__(self) -> str:
        return f"Case({self.cell!r}, {self.wrapper!r}, {self.loss!r}, {self.rewriting!r}, {self.seed})"

    @classmethod
    def of(cls, index: int) -> Case:
        """The index-th case: rewritings take turns, all else is drawn."""
        rng = np.random.default_rng([7, index])
        names = list(REWRITINGS)
        while True:
            cell, wrapper, loss = (str(rng.choice(list(of))) for of in (CELLS, WRAPPERS, LOSSES))
            case = cls(cell, wrapper, loss, names[index % len(names)], index)
            if case.makes_sense:
                return case

    @property
    def makes_sense(self) -> bool:
        """Not everything goes with everything."""
        changes, scalar_, plain_ = REWRITINGS[self.rewriting], self.cell in VALUES, self.wrapper == "plain"
        ragged = self.rewriting.startswith("ragged")
        return not (
            (scalar_ and (self.wrapper in OF_ARRAYS or ragged or changes.get("x")))
            or (not scalar_ and (self.loss == "the state itself" or self.rewriting == "Value instead of Tensor"))
            or (self.rewriting == "Value instead of Tensor" and not plain_)
            or (changes.get("by") == "unroll cell" and (self.cell not in LIBRARY or not plain_
                                                        or self.loss == "readouts"))
            or (ragged and (self.wrapper == "attention" or self.loss not in ("last", "last part", "sum")))
            # a state that is held on by `where` is read by losses at every step
            or (changes.get("ragged") == "where" and self.loss == "sum")
            or (self.rewriting.startswith("loss ") and (self.loss == "readouts") == ("last" in self.rewriting))
            or (self.rewriting == "loss in the last step" and self.loss == "sum")
        )

    @property
    def loop(self) -> Loop:
        """How the rewriting is written."""
        return replace(Loop(), **REWRITINGS[self.rewriting])


class Task:
    """The mathematics of a case: sizes, inputs, weights, constants. Nothing of how it is written.

    Args:
        case: which.
        arrays: do with arrays of one entry what the case does with Values.
    """

    def __init__(self, case: Case, arrays: bool = False) -> None:
        self.case, self.arrays = case, arrays
        rng = self.rng = np.random.default_rng([11, case.seed])
        self.scalar = case.cell in VALUES and not arrays
        self.ragged = case.rewriting.startswith("ragged")
        self.stacked = case.rewriting.startswith("stack")
        self.T = int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.04, 0.24, 0.36, 0.24, 0.06, 0.06]))
        single = case.cell in VALUES
        self.B = 1 if single else int(rng.integers(1, 4))
        self.D, self.H, self.G, self.K = (int(n) for n in rng.permutation([2, 3, 4, 5]))
        if single:
            self.H = self.G = 1
            self.D, self.T = 2 + self.D % 2, min(self.T, 4)  # a Value is a node, so there are many
        if self.ragged:
            self.B, self.T = max(self.B, 2), max(self.T, 3)
        self.xs = rng.uniform(-1.5, 1.5, (self.T, self.B, self.D))
        self.mask = rng.integers(0, 2, (self.T, 1, self.H)) * 2.0
        self.done = rng.random((self.T, self.B, 1)) < 0.25
        self.keep = rng.random((self.T, self.B, self.H)) < 0.4
        self.mix = rng.uniform(-0.5, 0.5, (self.G, self.D))
        self.w = rng.uniform(0.5, 1.5, (2, self.T, 1, max(self.H, self.G)))
        self.lengths = rng.integers(1, self.T + 1, self.B) if self.ragged else np.full(self.B, self.T)
        self.lengths[rng.integers(self.B)] = self.T
        self.identity = str(rng.choice(OF_NUMBERS if self.scalar else list(IDENTITIES)))
        self.part = int(rng.integers(2))

    def weights(self) -> Weights:
        """A fresh set of weights; always the same numbers."""
        return Weights(self)


class Weights:
    """All cells of a program, with their own leaves."""

    def __init__(self, task: Task) -> None:
        seed, kind = task.case.seed, nn.RNNCell
        one = partial(neuron, scalar.RNNNeuron) if task.scalar else partial(built_in, kind)
        above = partial(neuron, scalar.GRUNeuron) if task.scalar else partial(built_in, nn.GRUCell)
        self.inner = (twin(task.case.cell, task.D, seed) if task.arrays else
                      CELLS[task.case.cell](task.D, task.H, task.B, seed))
        self.second = one(task.H, task.G, task.B, seed + 1)
        self.above = above(task.H, task.G, task.B, seed + 2)
        self.parameters = {f"inner.{name}": p for name, p in self.inner.parameters.items()}
        if task.case.wrapper == "second cell":
            self.parameters |= {f"second.{name}": p for name, p in self.second.parameters.items()}
        if task.stacked:
            self.parameters |= {f"above.{name}": p for name, p in self.above.parameters.items()}
        if task.case.loss == "readouts":
            width = task.G if task.stacked else task.H
            start = np.random.default_rng(seed + 3).uniform(-0.7, 0.7, (width, task.K))
            self.V: Any = ([mark(Value(float(v)), f"v{j}", role="parameter") for j, v in enumerate(start[0])]
                           if task.scalar else nn.Parameter(start, symbol="V"))
            self.parameters |= ({f"V.{j}": v for j, v in enumerate(self.V)} if task.scalar else {"V": self.V})

    def cells(self) -> Iterator[Inner]:
        """Each of them."""
        return iter((self.inner, self.second, self.above))


@dataclass
class Written:
    """A program that has run.

    Attributes:
        task, loop: what ran, and how it is written.
        loss: its loss.
        kept: what each step handed on, in the order of the loop: all parts.
        terms: what the loss gets from each step, by the order of the loop.
        labels: the numbers of the steps, in the order of the loop.
        weights: those used at each step: one set, or copies.
    """

    task: Task
    loop: Loop
    loss: Any
    kept: list[State]
    terms: dict[int, Any]
    labels: list[int]
    weights: list[Weights]
    firsts: State = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """By name; of the first set."""
        return self.weights[0].parameters


class Writer:
    """Runs a task as a loop says."""

    def __init__(self, task: Task, loop: Loop, copies: bool = False) -> None:
        self.task, self.loop, self.case = task, loop, task.case
        sets = [task.weights() for _ in range(task.T if copies else 1)]
        self.weights = [sets[i if copies else 0] for i in range(task.T)]
        if not loop.named:
            for one in sets:
                for inner in one.cells():
                    if not callable(inner.cell) or not hasattr(inner.cell, "name"):
                        continue
                    inner.cell.name = None  # scope(None) opens none
        self.labels = [LABELS[loop.labels](i, task.T) for i in range(task.T)]
        self.kept: list[State] = []
        self.terms: dict[int, Any] = {}
        self.total: Any = None
        self.past: list[State] = []
        self.given: Any = None  # inputs, in place of the task's

    # -- pieces of a loop
    def same(self, state: State, place: str) -> State:
        """The state, through something that changes nothing, if this is the place for it."""
        wanted = self.loop.identity
        one = IDENTITIES[self.task.identity]

        def act(part: Any) -> Any:
            return one(part) if isinstance(part, (Tensor, Value)) else part

        if wanted == f"{place}, named":
            return tuple(mark(act(part), f"k{j}") if isinstance(part, (Tensor, Value)) and part.op is not None else part
                         for j, part in enumerate(state))
        if wanted == f"{place}, one part":
            j = self.task.part % len(state)
            return tuple(act(part) if i == j else part for i, part in enumerate(state))
        return tuple(map(act, state)) if wanted == place else state

    def x(self) -> Sequence[Any]:
        """The inputs, or something to take them out of, in the order of the loop."""
        task = self.task
        if self.given is not None:
            return self.given
        if task.scalar:
            return [x.tolist() for x in task.xs[:, 0]]
        if self.loop.x == "leaves":
            return [Tensor(x, requires_grad=True) for x in task.xs]
        xs = Tensor(task.xs, requires_grad=True) if self.loop.x != "array" else task.xs
        return [xs[t] for t in range(task.T)] if self.loop.x == "cut" else xs  # type: ignore[return-value]

    def first(self) -> State:
        """The first state of all cells that take part."""
        weights = self.weights[0]
        state = weights.inner.first
        if self.case.wrapper == "second cell":
            state = (*state, *weights.second.first)
        self.lower = len(state)
        if self.task.stacked:
            state = (*state, *weights.above.first)
        if self.loop.start == "tensor":
            kind = (lambda a: Value(float(a))) if self.task.scalar else (lambda a: Tensor(a, requires_grad=True))
            state = tuple(map(kind, state))
        return state

    def below(self, i: int, x: Any, state: State) -> State:
        """One step of the wrapped cell."""
        task, weights = self.task, self.weights[i]

        def cell(x: Any, state: State) -> State:
            return self.same(weights.inner(x, state), "cell")

        mix = float(task.mix[0, 0]) if task.scalar else task.mix
        now = Now(task.mask[i], task.done[i], task.keep[i], self.past, weights.second, mix)
        after = WRAPPERS[self.case.wrapper](cell, x, self.same(state, "start"), now)
        if self.loop.ragged == "where":
            alive = (i < task.lengths)[:, None]
            after = tuple(mg.where(alive, new, old) for new, old in zip(after, state, strict=True))
        after = self.same(after, "end")
        return self.marked(after)

    def upper(self, i: int, h: Any, state: State) -> State:
        """One step of the layer above."""
        h = [h] if self.task.scalar else h
        return self.marked(self.same(self.weights[i].above(h, self.same(state, "start")), "end"), "u")

    def marked(self, state: State, letter: str = "q") -> State:
        """The state under other names, or under none."""
        if self.loop.marks != "as made":
            for j, part in enumerate(state):
                mark(part, *((f"{letter}{j}", part.role) if self.loop.marks == "q" else (None, None)))
        return state

    def step(self, i: int, x: Any, state: State) -> State:
        """One step of all, with what it adds to the loss."""
        low, high = state[: self.lower], state[self.lower :]
        with ExitStack() as stack:
            for name in self.loop.inside:
                stack.enter_context(scope(name))
            low = self.below(i, x, low)
            if high:
                high = self.upper(i, low[0], high)
        state = (*low, *high)
        self.after(i, state)
        if self.case.loss == "readouts" and self.loop.terms != "after":
            self.add(self.terms[i])
        return state

    def add(self, term: Any) -> None:
        """``loss = loss + term``, from 0 or from the first term on."""
        if self.total is None:
            self.total = term if self.loop.terms == "in the step, no 0" else 0.0 + term
        else:
            self.total = self.total + term

    def after(self, i: int, state: State) -> None:
        """Keep the state, and work out the loss of the step if it is read there."""
        self.kept.append(state)
        self.past.append(state)
        if self.case.loss == "readouts" and self.loop.terms != "after":
            self.terms[i] = self.readout(i, self.read(state))
        if self.loop.terms == "in the last step" and i == self.task.T - 1:
            self.total = self.terms[i] = self.readout(i, self.read(state))

    def read(self, state: State) -> Any:
        """The part of the state that the loss reads."""
        top = state[self.lower :] or state[: self.lower]
        own = len(top) - (self.case.wrapper == "second cell" and not self.task.stacked)
        return top[own - 1] if self.case.loss == "last part" else top[0]

    def readout(self, i: int, h: Any) -> Any:
        """What one step adds to the loss."""
        with scope(self.loop.head):
            return self._readout(i, h)

    def _readout(self, i: int, h: Any) -> Any:
        a, b = self.task.w[:, i]
        if self.task.scalar:
            a, b = float(a[0, 0]), float(b[0, 0])
            if self.case.loss == "the state itself":
                return h
            if self.case.loss == "readouts":
                outs = [mg.tanh(h * v) for v in self.weights[i].V]
                return sum(outs[1:], outs[0]) * a
            return a * h + b * (h * h)
        if self.case.loss == "the state itself":
            return h.sum()
        if self.case.loss == "readouts":
            return (mg.tanh(h @ self.weights[i].V) * a[:, :1]).sum()
        n = h.shape[-1]
        return (a[:, :n] * h + b[:, :n] * (h * h)).sum()

    # -- whole loops
    def run(self) -> Written:
        """Run it."""
        state = self.first()
        firsts = state
        self.past.append(state[: self.lower])
        with ExitStack() as stack:
            for place in self.loop.around:
                stack.enter_context(scope(*place) if isinstance(place, tuple) else scope(place))
            if self.loop.by == "unroll cell":
                outs, state = self.unrolled_cell(state)
            elif self.loop.by.startswith("unroll"):
                outs, state = self.unrolled(state)
            elif self.loop.layers == "two loops" and self.task.stacked:
                state = self.two_loops(state)
                outs = None
            else:
                state = self.by_hand(self.x(), state, self.step)
                outs = None
            loss = self.total_loss(state, outs)
            if self.loop.identity == "loss":
                (loss,) = self.same((loss,), "loss")
        return Written(self.task, self.loop, loss, self.kept, self.terms, self.labels, self.weights, firsts)

    def by_hand(self, xs: Sequence[Any], state: State, step: Callable[[int, Any, State], State]) -> State:
        """A hand-written loop."""
        for i, label in enumerate(self.labels):
            state = self.same(state, "before")
            with scope(self.loop.name, step=label):
                state = step(i, xs[i], state)
            state = self.same(state, "after")
        return state

    def two_loops(self, state: State) -> State:
        """The lower layer first, then the one above, over all that the lower one made."""
        lows: list[State] = []

        def lower(i: int, x: Any, state: State) -> State:
            with ExitStack() as stack:
                for name in self.loop.inside:
                    stack.enter_context(scope(name))
                state = self.below(i, x, state)
            lows.append(state)
            self.past.append(state)
            return state

        def upper(i: int, x: Any, state: State) -> State:
            state = self.upper(i, x, state)
            self.kept.append((*lows[i], *state))
            if self.case.loss == "readouts":
                self.terms[i] = self.readout(i, self.read(self.kept[i]))
                self.add(self.terms[i])
            return state

        low = self.by_hand(self.x(), state[: self.lower], lower)
        high = self.by_hand([one[0] for one in lows], state[self.lower :], upper)
        return (*low, *high)

    def unrolled(self, state: State) -> tuple[Any, State]:
        """`nn.unroll` over a function."""
        count = iter(range(self.task.T))

        def one(x: Any, state: Any) -> Any:
            after = self.step(next(count), x, state if isinstance(state, tuple) else (state,))
            return after if len(after) > 1 else after[0]

        options: dict[str, Any] = {"lengths": self.task.lengths} if self.loop.ragged == "lengths=" else {}
        backwards = self.loop.by == "unroll backwards"
        with scope(self.loop.name):
            outs, last = nn.unroll(one, self.x()[:: -1 if backwards else 1], state if len(state) > 1 else state[0],
                                   reverse=backwards, **options)
        return outs, last if isinstance(last, tuple) else (last,)

    def unrolled_cell(self, state: State) -> tuple[Any, State]:
        """`nn.unroll` over the bare cell, which prepares all inputs at once. What its steps make is written down."""
        cell = self.weights[0].inner.cell

        def recording(step: Any) -> Any:
            def one(z: Any, before: Any) -> Any:
                after = step(z, before)
                self.kept.append(after if isinstance(after, tuple) else (after,))
                return after

            return one

        if hasattr(cell, "prepare"):
            prepare = type(cell).prepare

            def prepared(xs: Any) -> Any:
                z, step = prepare(cell, xs)
                return z, recording(step)

            cell.prepare = prepared
            made: Any = cell
        else:
            made = recording(cell)
        options: dict[str, Any] = {"lengths": self.task.lengths} if self.loop.ragged == "lengths=" else {}
        with scope(self.loop.name):
            outs, last = nn.unroll(made, self.x(), state if len(state) > 1 else state[0], **options)
        return outs, last if isinstance(last, tuple) else (last,)

    def total_loss(self, state: State, outs: Any) -> Any:
        """The loss."""
        task, T = self.task, self.task.T
        if self.total is not None:
            return self.total
        if self.case.loss in ("sum", "readouts"):
            if task.ragged:
                return self.ragged_sum(outs)
            read = [self.read(one) for one in self.kept]
            self.terms = {i: self.readout(i, h) for i, h in enumerate(read)}
            return sum(list(self.terms.values())[1:], self.terms[0])
        if task.ragged:
            return self.ragged_last(state)
        h = self.read(self.same(state, "after the loop"))
        loss = self.terms[T - 1] = self.readout(T - 1, h)
        return loss

    def ragged_last(self, state: State) -> Any:
        """The loss of each sequence's last state; its terms by the steps where sequences end."""
        task = self.task
        ends = task.lengths - 1
        for i in np.unique(ends):
            rows = np.nonzero(ends == i)[0]
            self.terms[int(i)] = self.readout(task.T - 1, self.read(self.kept[i])[rows])
        if self.loop.ragged == "picked":
            h = mg.stack([self.read(one) for one in self.kept])[ends, np.arange(task.B)]
        else:
            h = self.read(state)
        return self.readout(task.T - 1, h)

    def ragged_sum(self, outs: Any) -> Any:
        """The loss of all steps that are there."""
        task = self.task
        alive = np.arange(task.T)[:, None] < task.lengths
        read = [self.read(one) for one in self.kept]
        self.terms = {i: self.readout(i, h[np.nonzero(alive[i])[0]]) for i, h in enumerate(read)}
        if outs is None:
            return sum(list(self.terms.values())[1:], self.terms[0])
        a, b = task.w[..., : outs.shape[-1]]
        return (a * outs + b * (outs * outs)).sum()  # outputs at padded steps are 0


def write(case: Case, loop: Loop | None = None, *, copies: bool = False, arrays: bool = False) -> Written:
    """The program of a case, plainly or as a loop says; with copies of the weights, a set for each step."""
    return Writer(Task(case, arrays), loop or Loop(), copies).run()


def pair(case: Case) -> tuple[Written, Written]:
    """The plain program and its rewriting."""
    return write(case, arrays=case.rewriting == "Value instead of Tensor"), write(case, case.loop)


def outputs(program: Written) -> Callable[[Any], Any]:
    """The same program as a function of its inputs (T, any B, D); it returns what the loss would read of each step."""

    def net(x: Any) -> Any:
        task = Task(program.task.case, program.task.arrays)
        task.B, task.done, task.keep = x.shape[1], task.done[:, :1], task.keep[:, :1]
        writer = Writer(task, program.loop)
        writer.given = x
        return mg.stack([writer.read(state) for state in writer.run().kept])

    return net
