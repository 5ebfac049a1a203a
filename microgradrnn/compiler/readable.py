"""Readable Python: a traced function and its derivative as source code, for people to read and for Python to run.

Nothing is optimised here. `Outline` says which lines there are, and `Source` writes them. What is cut into parts of an
axis is split (``z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)``), so that the source of a cell runs for other batch sizes
and other numbers of units than those that it was traced with.

>>> import numpy as np
>>> import microgradrnn as mg
>>> step = mg.compile(mg.nn.RNNCell(3, 5, rng=0))
>>> h = step(np.ones((2, 3)), np.zeros((2, 5)))
>>> print(python_source(step.last.trace))
import numpy as np
<BLANKLINE>
<BLANKLINE>
def step(x, h_prev, U, W, b):
    z = h_prev @ W + (x @ U + b)
    h = np.tanh(z)
    saved = x, h_prev, U, W, h
    return h, saved
<BLANKLINE>
<BLANKLINE>
def step_backward(dh, saved):
    x, h_prev, U, W, h = saved
    dz = dh * (1 - h * h)
    dx = dz @ U.T
    dh_prev = dz @ W.T
    dU = x.T @ dz
    dW = h_prev.T @ dz
    db = dz.sum(axis=0)
    return dx, dh_prev, dU, dW, db
<BLANKLINE>
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import accumulate
from typing import Any

import numpy as np

from microgradrnn.compiler.expression import Expression, ordered
from microgradrnn.compiler.outline import Outline
from microgradrnn.compiler.python_text import ATOM, OPERATORS, Text, binary, dtype_name, listed, number, power, signed
from microgradrnn.compiler.trace import Trace
from microgradrnn.engine import PRIMITIVES


# ------------------------------------------------------------------------------------------------- what is offered
def python_source(trace: Trace, name: str = "step", states: Collection[str] = ()) -> str:
    """A traced function and its derivative as Python.

    The source defines two functions. ``name`` takes the inputs and then the arrays that the function closes over. It
    returns the outputs and, last, a tuple of what the other one needs. ``name_backward`` takes the cotangents of the
    outputs and that tuple. It returns the cotangents of all arguments, None where no gradient flows.

    Args:
        trace: the function.
        name: what it is called.
        states: inputs that hold the state of the last step; their names get ``_prev`` appended.

    Returns:
        The source. `run` executes it; if the function contains large arrays, `constants` has them.
    """
    return Source(trace, name, states).text


def constants(trace: Trace, name: str = "step", states: Collection[str] = ()) -> dict[str, Any]:
    """The arrays that `python_source` with the same arguments refers to by name."""
    return Source(trace, name, states).constants


def run(source: str, constants: dict[str, Any] | None = None) -> dict[str, Any]:
    r"""Execute a source.

    Args:
        source: from `python_source`.
        constants: from `constants`.

    Returns:
        All that it defines, by name.

    >>> run("def double(x):\n    return 2 * x")["double"](3)
    6
    """
    namespace = dict(constants or {})
    exec(compile(source, "<readable>", "exec"), namespace)
    return namespace


# ------------------------------------------------------------------------------------------- expressions as Python
def needs_helper(op: str) -> bool:
    """Has neither Python nor NumPy this operation, so that the source takes it from the engine?"""
    return op in PRIMITIVES and op not in WRITERS and op not in OPERATORS and not is_numpy(op)


def is_numpy(op: str) -> bool:
    """Is it a function of NumPy of that name?"""
    return getattr(np, op, None) is PRIMITIVES[op].on_arrays


class Source:
    """The source of a traced function and its derivative.

    Attributes:
        text: the source.
        constants: arrays that it refers to by name.
    """

    def __init__(self, trace: Trace, name: str, states: Collection[str]) -> None:
        everything = ordered([*trace.outputs, *trace.gradients.values()])
        self.helpers = sorted({e.op for e in everything if needs_helper(e.op)})
        reserved = ["np", "PRIMITIVES", "sigmoid", "saved", name, f"{name}_backward", *self.helpers]
        self.outline = Outline(trace, states, reserved)
        self.names = self.outline.names
        self.constants: dict[str, Any] = {}
        functions = [self._forward(name), self._backward(name)]
        has_sigmoid = any(e.op == "sigmoid" for e in everything)
        self.text = "\n\n\n".join([self._header(), *[SIGMOID] * has_sigmoid, *functions]) + "\n"

    def _header(self) -> str:
        lines = ["import numpy as np"]
        if self.helpers:
            lines += ["", "from microgradrnn.engine import PRIMITIVES", ""]
            lines += [f'{op} = PRIMITIVES["{op}"].on_arrays' for op in self.helpers]
        return "\n".join(lines)

    def _forward(self, name: str) -> str:
        outline = self.outline
        saved = self._saved()
        return "\n".join([
            listed(f"def {name}(", [self.names[a] for a in outline.arguments], "):"),
            *self._assignments(outline.forward),
            listed("    saved = ", saved) if saved else "    saved = ()",
            listed("    return ", [*(self.write(y).text for y in outline.trace.outputs), "saved"]),
        ])  # fmt: skip

    def _backward(self, name: str) -> str:
        outline = self.outline
        saved = self._saved()
        seeds = [self.names[g] for g in outline.trace.seeds]
        return "\n".join([
            listed(f"def {name}_backward(", [*seeds, "saved"], "):"),
            *[listed("    ", saved, " = saved")] * bool(saved),
            *self._assignments(outline.backward),
            listed("    return ", ["None" if g is None else self.write(g).text for g in outline.gradients]),
        ])  # fmt: skip

    def _assignments(self, expressions: Iterable[Expression]) -> list[str]:
        """The lines. Parts of one axis are split in one line, where the first of them is needed."""
        outline, done = self.outline, set()
        whole_of = {part: e for e, split in outline.splits.items() for part in split.parts}
        lines = []
        for e in expressions:
            whole = whole_of.get(e)
            if whole is None and e in outline.lines:
                lines.append(f"    {self.names[e]} = {self.write_out(e).text}")
            elif whole is not None and whole not in done:
                done.add(whole)
                lines.append(f"    {self.split(whole)}")
        return lines

    def split(self, whole: Expression) -> str:
        """z_i, z_f = np.split(z, 2, axis=1). Where parts differ in length, the places to cut are fractions."""
        axis, parts, sizes = self.outline.splits[whole]
        text, total = self.write(whole), sum(sizes)
        length = f"{text.inside(text.level == ATOM)}.shape[{axis}]"
        ends = accumulate(sizes[:-1])
        places = [f"{length} // {total}" if end == 1 else f"{end} * {length} // {total}" for end in ends]
        where = str(total) if set(sizes) == {1} else f"[{', '.join(places)}]"
        names = ", ".join("_" if part is None else self.names[part] for part in parts)
        return f"{names} = np.split({text.text}, {where}, axis={axis})"

    def _saved(self) -> list[str]:
        """The names of the function that the derivative reads, in their order."""
        outline = self.outline
        known = [*outline.arguments, *(e for e in outline.forward if e in outline.lines)]
        read = set(ordered([*(e for e in outline.backward if e in outline.lines), *outline.gradients], stop=known))
        return [self.names[e] for e in known if e in read]

    # ------------------------------------------------------------------------------------------------ expressions
    def write(self, x: Any) -> Text:
        """An operand: a name, a number, or an expression that has no line of its own."""
        if not isinstance(x, Expression):
            return number(x)
        if x in self.outline.lines or x.op == "leaf":
            return Text(self.names[x])
        return self.write_out(x)

    def write_out(self, e: Expression) -> Text:
        """What an expression computes."""
        if e.op in WRITERS:
            return WRITERS[e.op](self, e)
        operands = [self.write(a) for a in e.args]
        if e.op in OPERATORS:
            return binary(e.op, *operands)
        function = e.op if needs_helper(e.op) else f"np.{e.op}"
        return Text(f"{function}({', '.join([*(a.text for a in operands), *self.options(e.params)])})")

    def options(self, params: dict[str, Any]) -> list[str]:
        """Parameters, as keywords of a call; without those of NumPy's ufuncs that say nothing."""
        idle: list[tuple[str, Any]] = [("dtype", None), ("where", True), ("initial", np._NoValue), ("out", None)]
        shown = {key: p for key, p in params.items() if not any(key == k and p is value for k, value in idle)}
        return [f"{key}={self.setting(p)}" for key, p in shown.items()]

    def setting(self, p: Any) -> str:
        """A parameter. What Python has no way of writing becomes a constant."""
        if p is None or isinstance(p, (bool, str)):
            return repr(p)
        if p is Ellipsis:
            return "..."
        if isinstance(p, (int, float, np.integer, np.floating)):
            return number(p.item() if isinstance(p, np.generic) else p).text
        if isinstance(p, tuple):
            return f"({', '.join(map(self.setting, p))}{',' * (len(p) == 1)})"
        if isinstance(p, slice):
            return f"slice({self.setting(p.start)}, {self.setting(p.stop)}, {self.setting(p.step)})"
        if isinstance(p, np.dtype):
            return dtype_name(p)
        return self.constant(p)

    def constant(self, value: Any) -> str:
        """The name of an array that the source does not spell out."""
        for name, known in self.constants.items():
            if known is value:
                return name
        name = self.outline._names.take(("constant", len(self.constants)), f"constant_{len(self.constants) + 1}")
        self.constants[name] = value
        return name

    def behind(self, a: Any, ending: str) -> Text:
        """An operand with a method or an index behind it."""
        text = self.write(a)
        if not isinstance(a, Expression):
            return Text(f"np.asarray({text.text}){ending}")
        return Text(text.inside(text.level == ATOM) + ending)


SIGMOID = """def sigmoid(x):
    e = np.exp(np.minimum(x, 40))  # beyond 40 the result is 1; nothing overflows
    return e / (1 + e)"""


# --------------------------------------------------------------------- operations that are written in their own way
Writer = Callable[[Source, Expression], Text]


def reduction(method: str) -> Writer:
    """A writer of ``a.sum(axis=0)`` and the like."""

    def write(source: Source, e: Expression) -> Text:
        params = dict(e.params)
        axis = params.pop("axis", None)
        if isinstance(axis, tuple) and len(axis) == 1:
            axis = axis[0]
        whole = axis is None or (isinstance(axis, tuple) and len(axis) == len(e.inputs[0].shape) > 0)
        if not params.get("keepdims"):
            params.pop("keepdims", None)
        options = source.options(params if whole else {"axis": axis, **params})
        return source.behind(e.args[0], f".{method}({', '.join(options)})")

    return write


def write_transpose(source: Source, e: Expression) -> Text:
    """a.T for matrices; a.mT if the last two axes are swapped."""
    axes, n = e.params["axes"], len(e.shape)
    if n == 2:
        return source.behind(e.args[0], ".T")
    is_swap = tuple(axes) == (*range(n - 2), n - 1, n - 2)
    return source.behind(e.args[0], ".mT" if is_swap else f".transpose({', '.join(map(str, axes))})")


def write_getitem(source: Source, e: Expression) -> Text:
    """a[:, 0:5]."""
    index = e.params["index"]
    parts = ", ".join(place(i, source) for i in (index if isinstance(index, tuple) else (index,)))
    return source.behind(e.args[0], f"[{parts or '()'}]")


def place(i: Any, source: Source) -> str:
    """One axis of an index."""
    if isinstance(i, slice):
        ends = ["" if n is None else str(n) for n in (i.start, i.stop)]
        return ":".join([*ends, *([] if i.step is None else [str(i.step)])])
    if isinstance(i, np.ndarray):
        return repr(i.tolist()) if i.ndim == 1 and 0 < i.size <= 8 else source.constant(i)
    return source.setting(i)


def write_reshape(source: Source, e: Expression) -> Text:
    """a.reshape(2, 1)."""
    lengths = ", ".join(map(str, e.shape)) or "()"
    return source.behind(e.args[0], f".reshape({lengths})")


def write_broadcast_to(source: Source, e: Expression) -> Text:
    """np.broadcast_to(a, (2, 5))."""
    return Text(f"np.broadcast_to({source.write(e.args[0]).text}, {source.setting(e.shape)})")


def write_constant(source: Source, e: Expression) -> Text:
    """A short array is spelled out; others get a name."""
    a = e.params["value"]
    if a.ndim > 1 or a.size > 4 or not np.isfinite(a).all():
        return Text(source.constant(a))
    return Text(f"np.array({a.tolist()}{'' if np.array(a.tolist()).dtype == a.dtype else ', ' + dtype_name(a.dtype)})")


def write_zeros(source: Source, e: Expression) -> Text:
    """np.zeros((2, 5))."""
    dtype = "" if e.dtype == np.float64 else f", {dtype_name(e.dtype)}"
    return Text(f"np.zeros({source.setting(e.shape)}{dtype})")


def joined(function: str) -> Writer:
    """A writer of ``np.concatenate([a, b], axis=1)`` and the like."""

    def write(source: Source, e: Expression) -> Text:
        like = {a.shape: source.write(a).text for a in e.inputs if a.op != "zeros"}
        parts = [f"np.zeros_like({like[a.shape]})" if isinstance(a, Expression) and a.op == "zeros" and a.shape in like
                 else source.write(a).text for a in e.args]
        return Text(f"np.{function}([{', '.join(parts)}], axis={e.params['axis']})")

    return write


WRITERS: dict[str, Writer] = {
    "copy": lambda source, e: source.write(e.args[0]),
    "constant": write_constant,
    "zeros": write_zeros,
    "getitem": write_getitem,
    "transpose": write_transpose,
    "concat": joined("concatenate"),
    "stack": joined("stack"),
    **{method: reduction(method) for method in ("sum", "mean", "max", "min", "prod")},
    "add.reduce": reduction("sum"),
    "negative": lambda source, e: signed("-", source.write(e.args[0])),
    "logical_not": lambda source, e: signed("~", source.write(e.args[0])),
    "invert": lambda source, e: signed("~", source.write(e.args[0])),
    "power": lambda source, e: power(source.write(e.args[0]), source.write(e.args[1])),
    "square": lambda source, e: power(source.write(e.args[0]), Text("2")),
    "reciprocal": lambda source, e: binary("divide", Text("1"), source.write(e.args[0])),
    "sigmoid": lambda source, e: Text(f"sigmoid({source.write(e.args[0]).text})"),
    "relu": lambda source, e: Text(f"np.maximum({source.write(e.args[0]).text}, 0)"),
    "reshape": write_reshape,
    "broadcast_to": write_broadcast_to,
    "astype": lambda source, e: source.behind(e.args[0], f".astype({dtype_name(e.dtype)})"),
}  # fmt: skip
