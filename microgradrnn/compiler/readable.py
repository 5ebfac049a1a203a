"""Readable Python: a traced function and its derivative as source code, for people to read and for Python to run.

Nothing is optimised here. An expression that has a name, or that several others read, gets a line of its own; the rest
is written into the lines that use it. `Outline` decides which is which and gives every line a name of its own;
`Source` writes the lines.

>>> import numpy as np
>>> from microgradrnn import nn
>>> from microgradrnn.compile.trace import Slot, trace
>>> cell = nn.RNNCell(3, 5, rng=0)
>>> def step(x, h):
...     z, next_state = cell.prepare(x)
...     return next_state(z, h)
>>> t = trace(step, (Slot(np.zeros((2, 3))), Slot(np.zeros((2, 5)))), ["x", "h"])
>>> print(python_source(t, states=["h"]))
import numpy as np
<BLANKLINE>
<BLANKLINE>
def step(x, h_prev, U, b, W):
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
    db = dz.sum(axis=0)
    dW = h_prev.T @ dz
    return dx, dh_prev, dU, db, dW
<BLANKLINE>
"""

from __future__ import annotations

import keyword
import math
import re
import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import count, pairwise
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.compile.expression import COMPARISONS, LEAVES, Expression, ordered, uses
from microgradrnn.compile.trace import Trace, one_slice
from microgradrnn.engine import PRIMITIVES

LONGEST = 8  # operations in one line
WIDTH = 100  # characters in one line, for lists of names


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


# ----------------------------------------------------------------------------------------- lines, and their names
class Names:
    """Names for expressions: Python identifiers, each given once.

    >>> names = Names(reserved=["np"])
    >>> names.take("a", "h"), names.take("b", "h"), names.take("c", "lambda"), names.take("d", "h (1)")
    ('h', 'h_2', 'lambda_', 'h_1')
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self.reserved = {*keyword.kwlist, *reserved}
        self.given: dict[Any, str] = {}
        self.taken: set[str] = set()

    def take(self, e: Any, *wishes: str) -> str:
        """Name an expression: the first wish that is free, or the first of them with a number."""
        wishes = tuple(map(self.identifier, wishes))
        name = next((wish for wish in wishes if wish not in self.taken), None) or self._numbered(wishes[0])
        self.taken.add(name)
        self.given[e] = name
        return name

    def identifier(self, name: str) -> str:
        """The name with what Python does not allow in it left out. Python takes 𝐡 for h, and so do we."""
        name = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", name)).strip("_") or "v"
        name = name if name.isidentifier() else f"v{name}"
        return f"{name}_" if name in self.reserved else name

    def fresh(self) -> str:
        """A name that says nothing: v1, v2, ..."""
        return next(name for k in count(1) if (name := f"v{k}") not in self.taken)

    def _numbered(self, wish: str) -> str:
        return next(name for k in count(2) if (name := f"{wish}_{k}") not in self.taken)


class Outline:
    """Which expressions get a line of their own, in which order, and under which name.

    Attributes:
        arguments: the leaves that the function takes.
        gradients: for each of them the cotangent; None where no gradient flows.
        forward: the expressions of the function, each after what it needs.
        backward: what the derivative needs besides.
        lines: those that get a line.
        names: of lines and leaves, and of some expressions that another way of writing may want to name.
        primal: for an expression of the derivative, the expression of the function that it is the cotangent of.
        readers: for an expression of the function, those that read it in the function.
    """

    def __init__(self, trace: Trace, states: Collection[str] = (), reserved: Iterable[str] = ()) -> None:
        self.trace = trace
        self.arguments = [*trace.inputs, *(leaf for _, leaf in trace.free)]
        self.gradients = [trace.gradients.get(leaf) for leaf in self.arguments]
        self.forward = blocks_in_order(trace.outputs)
        inside = set(self.forward)
        self.backward = [e for e in ordered(self.gradients) if e not in inside]
        self.readers: dict[Expression, list[Expression]] = defaultdict(list)
        for e in self.forward:
            for a in e.inputs:
                self.readers[a].append(e)
        self.lines = self._lines()
        self.primal: dict[Expression, Expression] = {}
        self._names = Names(reserved)
        self.names = self._names.given
        self._name_arguments(states)
        self._name_marked()
        self._name_cotangents()
        self._name_net_inputs()
        self._name_the_rest()

    # ------------------------------------------------------------------------------------------------------- lines
    def _lines(self) -> set[Expression]:
        roots = [*self.trace.outputs, *self.gradients]
        read = uses(roots)
        lines: set[Expression] = set()
        size: dict[Expression, int] = {}
        parts = {a for e in (*self.forward, *self.backward) if e.op in ("concat", "stack") for a in e.inputs}
        for e in (*self.forward, *self.backward):
            if e.op in LEAVES:
                continue
            size[e] = 1 + sum(size.get(a, 0) for a in e.inputs if a not in lines)
            is_part = e in parts and size[e] > 1
            is_shared = read[e] > 1 and not (size[e] == 1 and is_short(e))
            if e.name or e in roots or is_part or is_shared or size[e] > LONGEST:
                lines.add(e)
        return lines

    # ------------------------------------------------------------------------------------------------------- names
    def _name_arguments(self, states: Collection[str]) -> None:
        for leaf in self.arguments:
            name = str(leaf.name)
            self._names.take(leaf, f"{name}_prev" if name in states else name)

    def _name_marked(self) -> None:
        for e in self.forward:
            if e.name and e not in self.names:
                self._names.take(e, e.name)
        for y in self.trace.outputs:
            if y not in self.names:
                self._names.take(y, "y")

    def _name_cotangents(self) -> None:
        """The cotangent of h is dh. If h is an output and is read as well, dh is the sum, and what comes in dh_out."""
        for leaf, g in zip(self.arguments, self.gradients, strict=True):
            if g in self.lines and g not in self.forward:
                self.primal.setdefault(g, leaf)
        self._pair_marked()
        summed = set(self.primal.values())
        for seed, y in zip(self.trace.seeds, self.trace.outputs, strict=True):
            self.primal[seed] = y
            self._names.take(seed, f"d{self.names[y]}" + "_out" * (y in summed))
        for e in self.backward:
            if e not in self.names and (e in self.primal or e.name):
                self._names.take(e, f"d{self.names[self.primal[e]]}" if e in self.primal else str(e.name))

    def _pair_marked(self) -> None:
        """Cotangents named dh belong to expressions named h. If there are several, they come in the opposite order."""
        marked: dict[str, list[Expression]] = defaultdict(list)
        for e in self.backward:
            if e.name and e.op not in LEAVES and e not in self.primal:
                marked[e.name].append(e)
        finished = {y for y in self.trace.outputs if not self.readers[y]}
        for name, cotangents in marked.items():
            primals = [e for e in self.forward if e.op not in LEAVES and f"d{e.name}" == name and e not in finished]
            if len(primals) == len(cotangents):
                primals.sort(key=lambda e: -e.serial)
                cotangents.sort(key=lambda e: e.serial)
                self.primal.update(zip(cotangents, primals, strict=True))

    def _name_net_inputs(self) -> None:
        """What the gate i alone is computed from is z_i; what is cut into such blocks is z."""
        for e in self.forward:
            if e in self.names and is_function(e) and (z := e.inputs[0]) not in self.names and self.readers[z] == [e]:
                self._names.take(z, f"z_{self.names[e]}")
        blocks = [e for e in self.forward if e.op not in LEAVES and self.pieces(e)]
        for e in blocks:
            if e not in self.names:
                self._name_block(e, alone=len(blocks) == 1)
        for e in self.forward:
            for k, piece in enumerate(self.pieces(e), 1):
                if piece not in self.names:
                    self._names.take(piece, f"{self.names[e]}_{self._label(piece) or k}")

    def _name_block(self, e: Expression, alone: bool) -> None:
        labels = [self.names.get(piece, "").partition("_")[2] for piece in self.pieces(e)]
        source = next((leaf for leaf in self.trace.inputs if leaf in ordered([e])), None)
        from_source = "z_" + self.names.get(source, "v").removesuffix("_prev")
        from_labels = ["z"] * alone + ["z_" + "".join(labels)] if all(labels) else []
        self._names.take(e, *from_labels, from_source)

    def _label(self, e: Expression) -> str:
        """n, for what ends up in z_n and nowhere else."""
        while e not in self.names and len(self.readers[e]) == 1:
            (e,) = self.readers[e]
        return self.names.get(e, "").partition("_")[2]

    def _name_the_rest(self) -> None:
        """Short names, by what an expression does; v, if there is none."""
        for e in self.forward:
            if e in self.lines and e not in self.names:
                self._names.take(e, *self._descriptions(e), self._names.fresh())
        self._pair_slopes()
        self._pair_weights()
        self._pair_products()
        self._pair_blocks()
        for e in self.backward:
            if e in self.lines and e not in self.names:
                primal = self.primal.get(e)
                self._names.take(e, f"d{self.names[primal]}" if primal in self.names else self._names.fresh())

    def _descriptions(self, e: Expression) -> list[str]:
        words = [self.names.get(a, "").removesuffix("_prev") for a in e.inputs]
        if words and words[0] and is_function(e):
            return [f"{e.op}_{words[0]}"]
        if e.op in ("multiply", "matmul") and len(words) == 2 and all(len(word) == 1 for word in words):
            return ["".join(words)]
        return []

    # ------------------------------------------------------------------------- what is the cotangent of what
    def _pair_slopes(self) -> None:
        """For i = σ(z_i), the cotangent of z_i is di times something that reads i alone."""
        for e in self.backward:
            if e.op == "multiply" and e not in self.primal:
                for g, slope in (e.args, e.args[::-1]):
                    y = self.primal.get(g)
                    if y is not None and is_function(y) and reads_only(slope, y):
                        self.primal[e] = y.inputs[0]

    def _pair_products(self) -> None:
        """For y = a @ b, the cotangent of a is dy @ b.T, if nothing else reads a."""
        transposed = {(self.total(y), y.args[1]): y.args[0] for y in self.forward if y.op == "matmul"}
        for e in self.backward:
            if e.op == "matmul" and e not in self.primal and is_transpose(e.args[1]):
                dy, b = e.args[0], e.args[1].args[0]
                a = transposed.get((self.primal[dy], b)) if dy in self.primal else None
                if a is not None and len(self.readers[a]) == 1:
                    self.primal[e] = a

    def _pair_blocks(self) -> None:
        """The cotangents of the blocks of z, joined, are the cotangent of z."""
        for e in self.backward:
            if e.op == "concat" and e not in self.primal:
                blocks = [self.primal.get(part) for part in e.args]
                whole = {b.inputs[0] for b in blocks if b is not None and cut(b) is not None}
                if len(whole) == 1 and blocks == self.pieces(*whole):
                    self.primal[e] = self.total(*whole)

    def _pair_weights(self) -> None:
        """For y = a @ b, the cotangent of b is a.T @ dy, which tells dy; for y = a + b, it is the sum of dy."""
        for db in self.backward:
            b = self.primal.get(db)
            for y in list(self.readers[b]) if b is not None else ():
                dy: Any = None
                if (db.op, y.op) == ("sum", "add"):
                    dy = db.args[0]
                elif db.op == y.op == "matmul" and is_transpose(db.args[0]) and db.args[0].args[0] is y.args[0]:
                    dy = db.args[1]
                if isinstance(dy, Expression) and dy.shape == y.shape:
                    self.primal.setdefault(dy, self.total(y))

    def total(self, e: Expression) -> Expression:
        """The sum that an expression goes into, if it goes nowhere else; its cotangent is the same."""
        while e not in self.names and len(self.readers[e]) == 1:
            (reader,) = self.readers[e]
            if reader.op != "add" or reader.shape != e.shape:
                break
            e = reader
        return e

    def pieces(self, e: Expression) -> list[Expression]:
        """The slices that an expression is cut into, in order, if they lie side by side; else none."""
        found = sorted({r for r in self.readers[e] if cut(r) is not None}, key=lambda r: cut(r) or (0, 0, 0))
        ends = [cut(piece) or (0, 0, 0) for piece in found]
        apart = all(a[0] == b[0] and a[2] <= b[1] for a, b in pairwise(ends))
        return found if apart and len(found) > 1 and len(found) == len(set(self.readers[e])) else []


def blocks_in_order(outputs: Sequence[Any]) -> list[Expression]:
    """All that the outputs are computed from, each after what it needs; what reads slices, in the order of these."""
    found = ordered(outputs)
    cuts = [(e.inputs[0].serial, cut(e), e) for e in found if cut(e) is not None and e.inputs[0].op not in LEAVES]
    place = {e: (block, where) for block, where, e in cuts}
    first = [(place[a], e.serial, e) for e in found for a in e.inputs if a in place]
    return ordered([*(e for *_, e in sorted(first, key=lambda x: x[:2])), *outputs])


def cut(e: Expression) -> tuple[int, int, int] | None:
    """(axis, start, stop), if an expression is a slice of another along one axis."""
    return one_slice(e.params["index"], e.inputs[0].shape) if e.op == "getitem" else None


def is_function(e: Expression) -> bool:
    """Is it a function of one argument: softmax, or an elementwise one such as tanh, but no operator?"""
    is_elementwise = e.op in PRIMITIVES and PRIMITIVES[e.op].elementwise and e.op != "negative"
    return len(e.args) == len(e.inputs) == 1 and (is_elementwise or e.op == "softmax")


def is_short(e: Expression) -> bool:
    """Is it as easy to read as a name: a slice, a transpose, -a or 1 - a? Then it is written out each time."""
    if e.op == "getitem":
        return cut(e) is not None
    return e.op in ("transpose", "negative") or (e.op == "subtract" and not isinstance(e.args[0], Expression))


def reads_only(e: Any, source: Expression) -> bool:
    """Is an expression computed from one other, and numbers?"""
    found = ordered([e], stop=[source])
    return source in found and all(x is source or x.inputs for x in found)


def is_transpose(x: Any) -> bool:
    """Is it the transpose of a matrix?"""
    return isinstance(x, Expression) and x.op == "transpose" and len(x.shape) == 2


# ------------------------------------------------------------------------------------------- expressions as Python
# How tightly an expression holds together. Those from PRODUCT to REMAINDER are one level to Python; here they are
# told apart, since `(r * h) @ W` is easier to read than `r * h @ W`.
COMPARE, EITHER, BOTH, SUM, PRODUCT, MATRIX_PRODUCT, REMAINDER, SIGN, POWER, ATOM = range(10)


class Text(NamedTuple):
    """A piece of source, and how tightly it holds together."""

    text: str
    level: int = ATOM

    def inside(self, fits: bool) -> str:
        """The text; in parentheses unless it fits."""
        return self.text if fits else f"({self.text})"


OPERATORS = {
    "add": ("+", SUM), "subtract": ("-", SUM), "multiply": ("*", PRODUCT), "divide": ("/", PRODUCT),
    "true_divide": ("/", PRODUCT), "matmul": ("@", MATRIX_PRODUCT), "remainder": ("%", REMAINDER),
    "logical_and": ("&", BOTH), "bitwise_and": ("&", BOTH), "logical_or": ("|", EITHER), "bitwise_or": ("|", EITHER),
    **{op: (symbol, COMPARE) for op, symbol in COMPARISONS.items()},
}  # fmt: skip


def binary(op: str, a: Text, b: Text) -> Text:
    """Two operands with an operator between them, in no more parentheses than are needed.

    >>> a, b = Text("a"), Text("b + c", SUM)
    >>> binary("add", b, a).text, binary("add", a, b).text, binary("multiply", a, b).text
    ('b + c + a', 'a + (b + c)', 'a * (b + c)')
    """
    symbol, level = OPERATORS[op]
    if op == "add" and b.text.startswith("-") and b.level in (PRODUCT, SIGN):  # a + -b is a - b, to the last digit
        symbol, b = "-", Text(b.text[1:], b.level)
    if PRODUCT <= level <= REMAINDER:
        left = a.level >= SIGN or a.level == level != REMAINDER
        right = b.level >= SIGN
    else:
        left = a.level > level or a.level == level != COMPARE
        right = b.level > level
    return Text(f"{a.inside(left)} {symbol} {b.inside(right)}", level)


def signed(symbol: str, a: Text) -> Text:
    """-a or ~a. The sign of a product may stand in front: -a * b."""
    if symbol == "-" and a.level == PRODUCT and not a.text.startswith("-"):
        return Text(f"-{a.text}", PRODUCT)
    return Text(symbol + a.inside(a.level >= POWER), SIGN)


def power(a: Text, b: Text) -> Text:
    """a ** b."""
    return Text(f"{a.inside(a.level == ATOM)} ** {b.inside(b.level >= SIGN)}", POWER)


def number(x: Any) -> Text:
    """A number as Python writes it.

    >>> number(-0.5), number(float("inf"))
    (Text(text='-0.5', level=7), Text(text='np.inf', level=9))
    """
    text = repr(x) if not isinstance(x, float) or math.isfinite(x) else "np.nan" if math.isnan(x) else f"{x:+}"
    text = text.replace("+inf", "np.inf").replace("-inf", "-np.inf")
    return Text(text, SIGN if text.startswith("-") else ATOM)


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
        lines = self.outline.lines
        return [f"    {self.names[e]} = {self.write_out(e).text}" for e in expressions if e in lines]

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


def listed(before: str, items: Sequence[str], after: str = "") -> str:
    """Items with commas between them, on several lines if they are many.

    >>> listed("return ", ["a"]), listed("(", ["a"], "):"), listed("", ["a"], " = saved"), listed("", ["a", "b"])
    ('return a', '(a):', '(a,) = saved', 'a, b')
    """
    is_tuple = not before.endswith("(") and (before.endswith("= ") or after.startswith(" ="))
    text = ", ".join(items)
    if is_tuple and len(items) == 1:
        text = f"({text},)"
    if len(before + text + after) <= WIDTH:
        return before + text + after
    indent = before[: len(before) - len(before.lstrip())]
    body = textwrap.fill(text + ",", WIDTH, initial_indent=f"{indent}    ", subsequent_indent=f"{indent}    ")
    opening, closing = ("", "") if before.endswith("(") else ("(", ")")
    return f"{before}{opening}\n{body}\n{indent}{closing}{after}"


def dtype_name(dtype: np.dtype[Any]) -> str:
    """How Python writes a dtype."""
    return "bool" if dtype.kind == "b" else f"np.{dtype.name}"


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
        parts = ", ".join(source.write(a).text for a in e.args)
        return Text(f"np.{function}([{parts}], axis={e.params['axis']})")

    return write


WRITERS: dict[str, Writer] = {
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
