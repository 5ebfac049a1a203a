"""The NumPy back end: a plan as straight-line code, one call of NumPy a line, into arrays that are there already.

`Code` writes the source; `Workspace` holds the arrays for a number of steps and the functions that the source defines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from microgradrnn.compiler.expression import ELEMENTWISE, Expression, ordered
from microgradrnn.compiler.layout import ALL, Home, Layout
from microgradrnn.compiler.plan import (
    AFTER,
    BACK,
    BEFORE,
    FACTOR,
    ONCE,
    REDUCTIONS,
    STACKED,
    STEP,
    Plan,
    Total,
    stacked_parts,
)
from microgradrnn.compiler.straight import executed, holds_arrays, literal
from microgradrnn.engine import PRIMITIVES

SIGMOID_STOPS = 40  # as in the engine: σ(x) is 1 from there on
RENAMED = {"abs": "absolute", "true_divide": "divide", "bitwise_and": "logical_and", "bitwise_or": "logical_or",
           "invert": "logical_not", "relu": "maximum"}


class Code:
    """The source of the loop, and what its names stand for but for the arrays."""

    def __init__(self, plan: Plan, ragged: bool) -> None:
        self.plan, self.layout = plan, Layout(plan, ragged)
        self.namespace: dict[str, Any] = {
            "np": np, "dot": np.dot, "copyto": np.copyto, "matmul": np.matmul, "empty": np.empty, "where": np.where,
        }
        self.numbers: dict[Any, str] = {}
        self.parts: dict[str, int] = {}  # the arrays with a time axis that the factors need
        self.rows: dict[str, list[str]] = {STEP: [], BACK: []}  # for each loop the arrays of which it takes a row
        forward, back = plan.forward, plan.order
        steps = [*self._phase(STEP, forward), *self._next_states()]
        factors = self._phase(FACTOR, back)
        steps_back = [*self._phase(BACK, back), *self._earlier_cotangents()]
        summed = set(ordered(e for total in plan.totals if total is not None for e in stacked_parts(total)))
        early = summed | set(ordered(e for e in back if plan.phase[e] in (BACK, FACTOR)))
        gradients = [self._total(total) if total is not None else "None" for total in plan.totals]
        self.functions = {
            "start": _function("", [*self._phase(ONCE, forward), *self._phase(BEFORE, forward)]),
            "steps": _function("first, stop", self._loop(STEP, steps, "rows[first:stop]")),
            "start_back": _function("", self._phase(ONCE, [e for e in back if e in early])),
            "factors": _function("first, stop, begin, end", [*self._parts(), *factors]),
            "loop_back": _function("first, stop", self._loop(BACK, steps_back, "rows_back[first:stop][::-1]")),
            "gradients": _function("", [*self._phase(AFTER, [e for e in back if e in summed]),
                                        f"return [{', '.join(gradients)}]"]),
            "finish": _function("", [*self._phase(ONCE, [e for e in back if e not in early]),
                                     *self._phase(AFTER, [e for e in back if e not in summed])]),
        }  # fmt: skip

    @property
    def source(self) -> str:
        """All functions as Python."""
        return "\n\n".join(f"def {name}{text}" for name, text in self.functions.items())

    def _phase(self, phase: str, order: Sequence[Expression]) -> list[str]:
        lines: list[str] = []
        for e in order:
            if self.plan.phase[e] == phase and e.args and not self.layout.is_view(e):
                lines += self._lines(e, phase)
        return lines

    def _loop(self, phase: str, lines: list[str], rows: str) -> list[str]:
        if not lines:
            return ["pass"]
        names = self.rows[phase]
        head = f"for {', '.join(names)}{',' * (len(names) == 1)} in {rows}:" if names else f"for _ in {rows}:"
        return [head, *(f"    {line}" for line in lines)]

    def _parts(self) -> list[str]:
        """The parts of arrays that the factors of a few steps are worked out from, and written to."""
        return [f"{name}_few = {name}_all[{'first:stop' if stacked == ALL else 'begin:end'}]"
                for name, stacked in self.parts.items()]  # fmt: skip

    # ------------------------------------------------------------------------------------------------------- names
    def _name(self, x: Any, phase: str) -> str:
        """How a line of a phase calls an expression or number."""
        if not isinstance(x, Expression):
            return self._number(x)
        return self._called(self.layout.homes[x], phase)

    def _called(self, home: Home, phase: str) -> str:
        if phase in (STEP, BACK) and home.stacked and home.name not in self.rows[phase]:
            self.rows[phase].append(home.name)
        if phase == FACTOR and home.stacked:
            self.parts[home.name] = home.stacked
            return f"{home.name}_few"
        return home.name if phase in (STEP, BACK) or not home.stacked else f"{home.name}_all"

    def _number(self, x: Any, dtype: Any = None) -> str:
        """A number, as an array of no axes: NumPy is quicker with those."""
        key = (type(x), repr(x), str(dtype))
        if key not in self.numbers:
            name = f"number_{repr(x).replace('.', '_').replace('-', 'minus_').replace('+', '')}"
            if dtype is not None:
                name += f"_{np.dtype(dtype).char}"
            self.numbers[key] = name
            self.namespace[name] = x if dtype is None else np.array(x, dtype)
        return self.numbers[key]

    def _operands(self, e: Expression, phase: str) -> list[str]:
        """The operands of an elementwise operation: numbers in the dtype of the result, axes in line."""
        floats = [a.dtype for a in e.inputs if a.dtype.kind == "f"]
        dtype = np.result_type(*floats) if floats else None
        found = []
        for a in e.args:
            if not isinstance(a, Expression):
                found.append(self._number(a, dtype if dtype is not None and type(a) is not bool else None))
            elif phase in STACKED and self.layout.homes[a].stacked and 0 < len(a.shape) < len(e.shape):
                missing = len(e.shape) - len(a.shape)
                found.append(f"{self._name(a, phase)}[:{', None' * missing}]")
            elif phase in STACKED and self.layout.homes[a].stacked and not a.shape and e.shape:
                found.append(f"{self._name(a, phase)}[:{', None' * len(e.shape)}]")
            else:
                found.append(self._name(a, phase))
        return found

    # ------------------------------------------------------------------------------------------------------- lines
    def _lines(self, e: Expression, phase: str) -> list[str]:
        """What computes an expression into its array."""
        if phase == BACK and e.op == "multiply" and self._in_a_run(e):
            return []
        out = self._name(e, phase)
        if e.op == "concat":
            return self._joined(e, phase)
        if e.op == "matmul":
            return [self._product(e, phase, out)]
        if e.op in ELEMENTWISE:
            return self._elementwise(e, self._operands(e, phase), out, phase)
        args = [self._name(a, phase) for a in e.args]
        if e.op == "reshape":
            return [f"copyto({out}, {args[0]}.reshape({out}.shape))"]
        if (columns := self._columns(e)) is not None and phase == ONCE:
            return [f"take({args[0]}, {columns}, -1, {out}, 'clip')"]
        if e.op == "transpose":
            return [f"copyto({out}, {args[0]}.transpose({e.params['axes']}))"]
        return [f"copyto({out}, {self._call(e, args, phase in STACKED)})"]

    def _elementwise(self, e: Expression, args: list[str], out: str, phase: str) -> list[str]:
        op = RENAMED.get(e.op, e.op)
        if e.op == "sigmoid":
            dtype = e.args[0].dtype
            forty, one = self._number(SIGMOID_STOPS, dtype), self._number(1, dtype)
            self._bind("minimum", "exp", "add", "divide")
            more = self._called(self.layout.beside(e), phase)
            return [
                f"minimum({args[0]}, {forty}, out={out})", f"exp({out}, {out})", f"add({out}, {one}, {more})",
                f"divide({out}, {more}, {out})",
            ]  # fmt: skip
        if e.op == "where":
            return [f"copyto({out}, where({', '.join(args)}))"]
        if e.op == "relu":
            args = [*args, self._number(0, e.dtype)]
        if isinstance(getattr(np, op, None), np.ufunc):
            self._bind(op)
            return [f"{op}({', '.join(args)}, {'out=' if op in ('minimum', 'maximum') else ''}{out})"]
        return [f"copyto({out}, {self._call(e, args, False)})"]

    def _columns(self, e: Expression) -> str | None:
        """The name of the places along the last axis that are taken, if it is these that are taken."""
        index = e.params.get("index")
        if not isinstance(index, tuple) or not isinstance(index[-1], np.ndarray) or index[-1].dtype.kind != "i":
            return None
        if index[:-1] != (slice(None),) * (len(e.args[0].shape) - 1):
            return None
        name = f"columns_{len(self.namespace)}"
        self.namespace[name] = index[-1]
        self.namespace["take"] = np.take
        return name

    def _bind(self, *names: str) -> None:
        for name in names:
            self.namespace[name] = getattr(np, name)

    def _call(self, e: Expression, args: Sequence[str], stacked: bool) -> str:
        """A call of the function that computes an operation."""
        if e.op in PRIMITIVES:
            name = f"{e.op}_of_arrays"
            self.namespace[name] = PRIMITIVES[e.op].on_arrays
        else:
            name = f"np.{e.op}"
        given = []
        for key, value in e.params.items():
            if stacked and key == "axis" and e.op in REDUCTIONS:
                value = later_axes(value, len(e.args[0].shape))
            text = literal(value)
            if holds_arrays(value):
                text = f"{key}_{len(self.namespace)}"
                self.namespace[text] = value
            given.append(f"{key}={text}")
        return f"{name}({', '.join([*args, *given])})"

    def _product(self, e: Expression, phase: str, out: str) -> str:
        a, b = e.args
        left, right = self._name(a, phase), self._name(b, phase)
        same = a.dtype == b.dtype == e.dtype
        if phase in STACKED:
            if not self.layout.homes[b].stacked and len(b.shape) == 2 and same and self._whole(e):
                return f"dot({self._flat(a, phase)}, {right}, {self._flat(e, phase)})"
            return f"matmul({left}, {right}, out={out})"
        if len(a.shape) == 2 == len(b.shape) and same and self._whole(e):
            return f"dot({left}, {right}, {out})"
        return f"matmul({left}, {right}, out={out})"

    def _flat(self, e: Expression, phase: str) -> str:
        """The name of an array as one matrix, the rows of all steps below each other."""
        name, home = self._name(e, phase), self.layout.homes[e]
        if phase == FACTOR or not home.stacked or not self._whole(e) or self.layout.is_view(e):
            return f"{name}.reshape(-1, {e.shape[-1]})"
        return f"{home.name}_flat"

    def _whole(self, e: Expression) -> bool:
        """Is its array in one piece, as np.dot needs it?"""
        return e not in self.layout.placed

    def _joined(self, c: Expression, phase: str) -> list[str]:
        """What is left to do for a concatenation: pieces that are not written in their places by themselves."""
        lines, layout = [], self.layout
        self._bind("multiply")
        for run in layout.runs[c]:
            across, factors, result = (self._called(home, phase) for home in (run.across, run.factors, run.result))
            lines.append(f"multiply({across}, {factors}, {result})")
        done = {k for run in layout.runs[c] for k in range(run.first, run.last)}
        axis, start = c.params["axis"] - len(c.shape), 0
        for k, piece in enumerate(c.args):
            stop = start + piece.shape[axis]
            if k not in done and layout.placed.get(piece) is not c:
                index = f"[..., {start}:{stop}{', :' * (-axis - 1)}]"
                value = "0" if piece.op == "zeros" else self._name(piece, phase)
                lines.append(f"copyto({self._name(c, phase)}{index}, {value})")
            start = stop
        return lines

    def _in_a_run(self, piece: Expression) -> bool:
        """Is it computed together with other pieces of a concatenation?"""
        return any(piece in c.args[run.first : run.last] for c, runs in self.layout.runs.items() for run in runs)

    # ------------------------------------------------------------------------------------------- the ends of a step
    def _next_states(self) -> list[str]:
        """Copies of next states that are not computed in their places."""
        lines = []
        for e, home in zip(self.plan.outputs, self.layout.outs, strict=True):
            if self.layout.homes.get(e) is not home:
                lines.append(f"copyto({self._called(home, STEP)}, {self._name(e, STEP)})")
        return lines

    def _earlier_cotangents(self) -> list[str]:
        """The carried cotangents, added to what is there from outside."""
        lines = []
        self._bind("add")
        for e, (_, earlier) in zip(self.plan.carried, self.layout.cotangents, strict=True):
            if e is not None and self.layout.homes[e] is not earlier:
                name = self._called(earlier, BACK)
                lines.append(f"add({name}, {self._name(e, BACK)}, {name})")
        return lines

    def _total(self, total: Any) -> str:
        """A sum over time, as one expression of Python."""
        if not isinstance(total, Total):
            return self._name(total, AFTER)
        op, e = total.op, total.like
        if op == "product":
            a, g = total.args
            return f"dot({self._flat(a, AFTER)}.T, {self._flat(g, AFTER)})"
        if op == "rows":
            return f"summed({self._flat(total.args[0], AFTER)})"
        if op == "steps":
            return f"{self._name(total.args[0], AFTER)}.sum(axis=0)"
        if op == "times":
            return f"({self._name(total.args[0], AFTER)} * T)"
        args = [self._total(a) for a in total.args]
        if op == "concat":
            return f"np.concatenate([{', '.join(args)}], {e.params['axis']})"
        if op == "matmul":
            return f"({args[0]} @ {args[1]})"
        if (columns := self._columns(e)) is not None:
            return f"{args[0]}.take({columns}, -1)"
        return self._call(e, args, False)


class Workspace:
    """The arrays for T steps, and the functions that compute with them.

    Attributes:
        x, dx: the inputs of all steps, and their cotangents (None if there are none).
        free: an array for each node that the cell closes over.
        histories: all states from the first to the last, (T + 1, ...) for each part; cotangents: theirs.
        overwritten: for each part, does a step overwrite its cotangent? Else it adds to it, or leaves it as it is.
        start, steps, start_back, steps_back, gradients, finish: what is to be done, in this order.
    """

    start: Callable[[], None]
    steps: Callable[[int, int], None]
    start_back: Callable[[], None]
    factors: Callable[[int, int, int, int], None]
    loop_back: Callable[[int, int], None]
    gradients: Callable[[], list[Any]]
    finish: Callable[[], None]

    def __init__(self, code: Code, T: int) -> None:
        layout, plan = code.layout, code.plan
        self.arrays = layout.arrays(T)
        self.x, self.dx = self._array(code, plan.x), None if plan.dx is None else self._array(code, plan.dx)
        self.free = [self._array(code, leaf) for _, leaf in plan.trace.free]
        self.histories = [self.arrays[whole.name] for whole in layout.histories]
        self.cotangents = [self.arrays[whole.name] for whole, _ in layout.cotangents]
        self.overwritten = [e is not None and layout.homes[e] is earlier
                      for e, (_, earlier) in zip(plan.carried, layout.cotangents, strict=True)]  # fmt: skip
        self.few = layout.few
        functions = executed(code.source, self._namespace(code, T))
        for e, home in layout.homes.items():
            if e.op in ("constant", "zeros") and home.name in self.arrays:
                self.arrays[home.name][...] = e.params.get("value", 0)
        for name in code.functions:
            setattr(self, name, functions[name])
        self.size = sum(a.nbytes for a in self.arrays.values() if a.base is None)

    def _namespace(self, code: Code, T: int) -> dict[str, Any]:
        """What the names in the source stand for."""
        rows = [list(zip(*(self._rows(n, T) for n in code.rows[phase]), strict=True)) or [()] * T
                for phase in (STEP, BACK)]  # fmt: skip
        given = {**code.namespace, "rows": rows[0], "rows_back": rows[1], "T": T, "summed": summed}
        words = set(re.findall(r"\w+", code.source))
        for home in code.layout.made:
            if (name := f"{home.name}_all" if home.stacked else home.name) in words:
                given[name] = self.arrays[home.name]
            if (name := f"{home.name}_flat") in words:
                given[name] = self.arrays[home.name].reshape(-1, self.arrays[home.name].shape[-1])
        return given

    def _array(self, code: Code, e: Expression) -> np.ndarray:
        """The array of an expression."""
        return self.arrays[code.layout.homes[e].name]

    def _rows(self, name: str, T: int) -> list[np.ndarray]:
        """A row of an array for each step."""
        a = self.arrays[name]
        rows = list(a) if a.ndim > 1 else [a[k, ...] for k in range(len(a))]
        return [rows[k % len(rows)] for k in range(T)]

    def steps_back(self, stop: int, first: int) -> None:
        """The steps from one back to another: the factors of a few at a time, then the loop over those."""
        while stop > first:
            begin = max(first, (stop - 1) // self.few * self.few)
            at = begin % self.few
            self.factors(begin, stop, at, at + stop - begin)
            self.loop_back(begin, stop)
            stop = begin


def summed(flat: np.ndarray) -> np.ndarray:
    """The sum over all rows of all steps, by a product with ones: quick, and not less exact."""
    result: np.ndarray = np.dot(ones(len(flat), flat.dtype), flat)
    return result


@lru_cache(maxsize=32)
def ones(n: int, dtype: Any) -> np.ndarray:
    """So many ones."""
    return np.ones(n, dtype)


def later_axes(axis: Any, ndim: int) -> Any:
    """Axes of an array, for the same array with a time axis in front."""
    if axis is None:
        return tuple(range(1, ndim + 1))
    if isinstance(axis, (tuple, list)):
        return tuple(later_axes(i, ndim) for i in axis)
    return axis if axis < 0 else axis + 1


def _function(parameters: str, lines: Iterable[str]) -> str:
    return f"({parameters}):\n" + "".join(f"    {line}\n" for line in lines or ["pass"])
