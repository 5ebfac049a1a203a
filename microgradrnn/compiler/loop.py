"""`unroll`, compiled: one step of a cell traced, and run in a loop that records nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.compiler.arguments import Slot, collected_slots, given_form, mapped, refilled, slotted
from microgradrnn.compiler.errors import TraceError
from microgradrnn.compiler.guard import Watch
from microgradrnn.compiler.numpy_loop import Code, Workspace
from microgradrnn.compiler.plan import Plan
from microgradrnn.compiler.replay import on_the_tape
from microgradrnn.compiler.trace import Trace, trace
from microgradrnn.engine import Node, Tensor
from microgradrnn.engine.checkpoint import flat
from microgradrnn.engine.node import plain
from microgradrnn.engine.scope import SCOPE

BACK_ENDS: tuple[str, ...] = ("numba", "numpy")  # in the order in which they are tried
MOST = 32  # so many compiled steps are kept
MOST_BYTES = 1 << 27  # of workspaces that are kept for the next calls


class Unrolled(NamedTuple):
    """What a compiled loop gives: the outputs and the last state; how it ran, and how often the cell was traced."""

    result: tuple[Any, Any]
    back_end: str
    traces: int


class CompiledStep:
    """One step of a cell for inputs and states of given shapes, and its workspaces for different numbers of steps.

    Args:
        step: the cell as a function of the input and the state.
        x: the input of one step.
        slots: the first state, as the cell takes it, with a `Slot` for each part.
        ragged: may a gradient arrive at any part of the state at any step? (Sequences end at different steps, or all
            states are returned.)
        what: what the cell is called in messages.
        back_end: "numpy", "numba", or "best".
    """

    def __init__(self, step: Callable[..., Any], x: Slot, slots: Any, ragged: bool, what: str, back_end: str) -> None:
        parts: list[Any] = []
        collected_slots(slots, parts)
        names = ["x", *state_names(step, len(parts))]
        self.trace: Trace = trace(step, (x, slots), names, what)
        if len(self.trace.outputs) != len(parts):
            raise TraceError(
                f"compile: {what} gets a state of {len(parts)} parts and returns {len(self.trace.outputs)} that are "
                "computed from its input, its state or its weights; compiled, it must return all of them"
            )
        if collected_form(self.trace.result) != collected_form(slots):
            raise TraceError(
                f"compile: {what} gets a state of the form {collected_form(slots)} and returns "
                f"{collected_form(self.trace.result)}; a cell returns the next state alone, in the form of the last one"
            )
        given, made = ([f"{e.dtype} {e.shape}" for e in es] for es in (self.trace.inputs[1:], self.trace.outputs))
        if given != made:
            raise TraceError(
                f"compile: the first state of {what} is {', '.join(given)}, the next one {', '.join(made)}; give it a "
                "first state of the shape and dtype of the others, and inputs of the dtype of its weights"
            )

        def larger_batch() -> Trace | None:
            """The same for a batch of one more, if that is possible; None if not."""
            with suppress(Exception):
                if all(part.shape[0] == x.shape[0] > 1 for part in parts):
                    return trace(step, mapped((x, slots), with_one_more), names, what)
            return None

        self.plan, self.code, self.workspace_type = coded(self.trace, ragged, back_end, larger_batch)
        self.free = [x for x, _ in self.trace.free]
        gradients = self.plan.dx, *self.plan.carried, *self.plan.totals
        self.flowing = [k for k, g in enumerate(gradients) if g is not None]  # what a gradient flows into
        self.back_end = "NumPy" if self.workspace_type is Workspace else "Numba"
        self.traces = 1  # how often the cell was traced for inputs of this form, of late


class Pool:
    """Workspaces that are not used any more, for the next call with the same step and as many steps.

    All together take at most `MOST_BYTES`; the ones that were not used for longest are let go.
    """

    def __init__(self) -> None:
        self.idle: list[tuple[CompiledStep, int, Workspace]] = []
        self.lock = threading.Lock()

    def take(self, step: CompiledStep, T: int) -> Workspace:
        """A workspace that nobody uses."""
        with self.lock:
            for k in range(len(self.idle))[::-1]:
                if self.idle[k][0] is step and self.idle[k][1] == T:
                    return self.idle.pop(k)[2]
        return step.workspace_type(step.code, T)

    def give(self, step: CompiledStep, T: int, workspace: Workspace) -> None:
        """A workspace that is not used any more."""
        with self.lock:
            self.idle.append((step, T, workspace))
            while len(self.idle) > 1 and sum(w.size for _, _, w in self.idle) > MOST_BYTES:
                self.idle.pop(0)


POOL = Pool()


class Run:
    """A forward pass, and the backward passes that may follow. It owns a workspace until it is dropped."""

    def __init__(self, step: CompiledStep, T: int) -> None:
        self.step, self.T, self.workspace = step, T, POOL.take(step, T)
        self.lock = threading.Lock()

    def __del__(self) -> None:
        with suppress(Exception):  # (the interpreter may be about to end)
            POOL.give(self.step, self.T, self.workspace)

    def forward(self, xs: Any, state: Sequence[Any], starts: dict[int, np.ndarray]) -> list[np.ndarray]:
        """All states from the first to the last, (T + 1, ...) for each part. They are overwritten later.

        Args:
            xs: the inputs, (T, ...).
            state: the first state, in parts.
            starts: for the number of a step which sequences of the batch start there, from their first state.
        """
        workspace = self.workspace
        histories = workspace.histories
        workspace.x[...] = xs
        for (x, _), array in zip(self.step.trace.free, workspace.free, strict=True):
            array[...] = x._data
        for history, first in zip(histories, state, strict=True):
            history[0] = first
        workspace.start()
        self.starts = starts
        self.firsts = [np.array(part) for part in state] if starts else []
        self.ended = {}  # where sequences start: what the steps before have left there
        for first, stop in self.stretches():
            if first in starts:
                self.ended[first] = [history[first, starts[first]] for history in histories]
                self.put(first, [part[starts[first]] for part in self.firsts])
            if first < stop:
                workspace.steps(first, stop)
        return histories

    def put(self, k: int, parts: list[np.ndarray]) -> None:
        """Write the states of the sequences that start at a step."""
        for history, part in zip(self.workspace.histories, parts, strict=True):
            history[k, self.starts[k]] = part

    def stretches(self) -> list[tuple[int, int]]:
        """The loop in pieces, which begin where sequences start; those of no steps start after the last piece."""
        pieces = list(pairwise(sorted({0, *self.starts, self.T}))) if self.starts else [(0, self.T)]
        return pieces + [(self.T, self.T)] * (self.T in self.starts)

    def backward(
        self, fill: Callable[[list[np.ndarray]], None], inputs: bool, states: bool = True
    ) -> tuple[Any, list[Any], list[Any]]:
        """The cotangents of the inputs, of the first state and of what the cell closes over.

        Args:
            fill: writes the cotangents of all states, (T + 1, ...) for each part of the state. Those of the outputs,
                the first part, it must write all; of the others it adds to zeros what is not zero.
            inputs: is that of the inputs wanted?
            states: are those of the first state wanted?
        """
        with self.lock:
            wholes = self.workspace.cotangents
            for whole, overwritten in zip(wholes[1:], self.workspace.overwritten[1:], strict=True):
                whole[-1 if overwritten else 0 :] = 0
            fill(wholes)
            self.workspace.start_back()
            firsts: list[Any] = [np.zeros_like(whole[0]) for whole in wholes] if self.starts else []
            for k in self.starts:
                self.put(k, [part[self.starts[k]] for part in self.firsts])
            for first, stop in reversed(self.stretches()):
                if first < stop:
                    self.workspace.steps_back(stop, first)
                if first in self.starts:
                    self.put(first, self.ended[first])
                    who = self.starts[first]
                    for whole, begin in zip(wholes, firsts, strict=True):
                        begin[who] += whole[first, who]
                        whole[first, who] = 0
            for k in self.starts:
                self.put(k, [part[self.starts[k]] for part in self.firsts])
            gradients = self.workspace.gradients()
            if firsts:
                for whole, begin in zip(wholes, firsts, strict=True):
                    begin += whole[0]
            else:
                firsts = [whole[0].copy() if states else None for whole in wholes]
            if self.workspace.dx is None or not inputs:
                return None, firsts, gradients
            self.workspace.finish()
            return np.array(self.workspace.dx), firsts, gradients


def with_one_more(slot: Slot) -> Slot:
    """A slot for a batch of one more."""
    return Slot(np.empty((slot.shape[0] + 1, *slot.shape[1:]), slot.dtype))


def state_names(step: Any, n: int) -> list[str]:
    """What the parts of the last state are called."""
    names = getattr(step, "state_symbols", ("h", "c"))
    return [f"{names[k] if k < len(names) else f's{k}'}_prev" for k in range(n)]


LOCK = threading.RLock()
STEPS: OrderedDict[Any, tuple[Any, CompiledStep | TraceError]] = OrderedDict()
WATCHES: OrderedDict[int, Watch] = OrderedDict()  # by the ids of cells


def coded(
    trace: Trace, ragged: bool, back_end: str, larger_batch: Callable[[], Trace | None]
) -> tuple[Plan, Code, type[Workspace]]:
    """A plan, its code and the type of its workspaces: machine code if Numba is there and can do it, else NumPy.

    Args:
        trace, ragged, back_end: as in `CompiledStep`.
        larger_batch: traces the step for another batch size.

    Raises:
        TraceError: if it must be machine code, and cannot.
        ImportError: if it must be, and Numba is not installed.
    """
    if back_end == "numba" or (back_end == "best" and "numba" in BACK_ENDS):
        try:
            from microgradrnn.compiler.numba_loop import NumbaCode, NumbaWorkspace

            plan, larger = Plan(trace, grouped=False), larger_batch()
            code = NumbaCode(plan, ragged, None if larger is None else Plan(larger, grouped=False))
            code.compile()
            return plan, code, NumbaWorkspace
        except ImportError:
            if back_end == "numba":
                raise ImportError(
                    'compiled="numba" needs Numba: pip install numba, or the extra "fast"; compiled=True does without'
                ) from None
        except TraceError:
            if back_end == "numba":
                raise
    plan = Plan(trace)
    return plan, Code(plan, ragged), Workspace


def compiled_step(
    cell: Any, step: Callable[..., Any], x: np.ndarray, state: Any, state_form: Any, ragged: bool, what: str,
    back_end: str,
) -> CompiledStep:  # fmt: skip
    """The compiled step of a cell, made if there is none for these shapes or if the cell is another one by now.

    That a cell cannot be compiled is remembered too.
    """
    with LOCK:
        key = (watched(cell).snapshot(), (x.shape, x.dtype.str), state_form, ragged, back_end)
        found = STEPS.get(key, (cell, None))[1]
        if found is None:
            parts: list[Any] = []
            slots = slotted(state, parts)
            if len(parts) < len(list(flat(state))):
                raise TraceError(
                    "compile: the first state holds whole numbers, and traces are of floats; use zeros of floats"
                )
            try:
                found = CompiledStep(step, Slot(x), slots, ragged, what, back_end)
            except TraceError as error:
                found = error.with_traceback(None)
            if isinstance(found, CompiledStep):
                found.traces += sum(other is cell and known[1:] == key[1:] for known, (other, _) in STEPS.items())
            STEPS[key] = cell, found  # the cell too: keys hold the ids of its parts
            if len(STEPS) > MOST:
                STEPS.popitem(last=False)
        STEPS.move_to_end(key)
    if isinstance(found, TraceError):
        raise type(found)(str(found)) from found
    return found


def watched(cell: Any) -> Watch:
    """The watch over a cell, made if there is none."""
    watch = WATCHES.get(id(cell))
    if watch is None or watch.thing is not cell:
        WATCHES[id(cell)] = watch = Watch(cell)
        if len(WATCHES) > MOST:
            WATCHES.popitem(last=False)
    WATCHES.move_to_end(id(cell))
    return watch


def unroll_compiled(
    cell: Any, step: Callable[..., Any], xs: Any, state: Any, lengths: np.ndarray | None, reverse: bool, states: bool,
    what: str, uncompiled: Callable[..., Any], back_end: str = "best",
) -> Unrolled:  # fmt: skip
    """The outputs of all steps and the last state, as `unroll` returns them.

    Args:
        cell: on what the compiled step depends.
        step: the cell as a function of the input of one step and the state.
        xs, state: as for `unroll`; of the state each part is a Tensor or an array.
        lengths: of each sequence; what comes after is padding.
        reverse: run from the last step to the first.
        states: are all parts of the state wanted at every step?
        what: what the cell is called in messages.
        uncompiled: the same on the tape, as a function of xs and the state; it runs when the inside is needed.
        back_end: "numpy", "numba", or "best".

    Raises:
        TraceError: if the step cannot be compiled.
    """
    T, open_, data = len(xs), lengths is not None or states, plain(xs)
    parts: list[Any] = []
    if data.dtype.kind != "f":
        raise TraceError(f"compile: xs holds {data.dtype}, and traces are of floats; convert it: xs.astype(float)")
    found = compiled_step(cell, step, data[0], state, given_form(state, parts), open_, what, back_end)
    run = Run(found, T)
    starts = {}
    ends: Any = -1
    if lengths is not None:
        dead = np.arange(T)[:, None] >= lengths
        if reverse:
            begins = T - lengths
            starts = {k: np.nonzero(begins == k)[0] for k in set(begins.tolist()) if k}
        else:
            ends = lengths, np.arange(len(lengths))
    way = slice(None, None, -1 if reverse else 1)
    histories = run.forward(data[way], list(map(plain, parts)), starts)
    n = len(histories) if states else 1
    outputs = [np.array(history[1:][way]) for history in histories[:n]]
    if lengths is not None:
        for hs in outputs:
            hs[dead] = 0
    outputs += [np.array(history[ends]) for history in histories]
    given = [xs, *parts, *found.free]
    places = [k for k in found.flowing if isinstance(given[k], Node)]
    sources = [given[k] for k in places]
    if not (SCOPE.get().recording and any(x.requires_grad for x in sources)):
        some = any(isinstance(x, Node) for x in given)
        nodes: list[Any] = [Tensor(y, requires_grad=False) for y in outputs] if some else outputs
    else:
        def pull(cotangents: list[Any]) -> list[Any]:
            def fill(wholes: list[np.ndarray]) -> None:
                wholes[0][...] = 0
                for whole, g in zip(wholes, cotangents[:n], strict=False):
                    if g is not None:
                        whole[1:][way] = g
                    if lengths is not None:
                        whole[1:][way][dead] = 0
                for whole, g in zip(wholes, cotangents[n:], strict=True):
                    if g is not None:
                        whole[ends] += g

            inputs, states = isinstance(xs, Node) and xs.requires_grad, any(isinstance(x, Node) for x in parts)
            dx, firsts, gradients = run.backward(fill, inputs, states)
            everything = [None if dx is None else dx[way], *firsts, *gradients]
            return [everything[k] for k in places]

        nodes = on_the_tape(uncompiled, (xs, state), sources, outputs, pull,
                            found.trace.differentiable[:n] + found.trace.differentiable,
                            found.trace.selects or lengths is not None)  # fmt: skip
    given = refilled(state, iter(nodes[:n])) if states else nodes[0]
    return Unrolled((given, refilled(state, iter(nodes[n:]))), found.back_end, found.traces)


def collected_form(state: Any) -> str:
    """What a state is made of, whatever stands in its places."""
    if isinstance(state, (tuple, list)):
        return f"{type(state).__name__}({', '.join(map(collected_form, state))})"
    return "a dict" if isinstance(state, dict) else "an array"
