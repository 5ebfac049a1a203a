"""The outline of a traced function: which expressions get a line of their own, in which order, and under which name.

An expression that has a name, or that several others read, gets a line; the rest is written into the lines that use it.
The cotangent of h is called dh. `readable.py` writes the lines of an outline as Python, `equations.py` as mathematics.
"""

from __future__ import annotations

import keyword
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import count, pairwise
from typing import Any, NamedTuple

from microgradrnn.compiler.expression import LEAVES, Expression, ordered, uses
from microgradrnn.compiler.trace import Trace, one_slice
from microgradrnn.engine import PRIMITIVES

LONGEST = 8  # operations in one line
MOST_PARTS = 8  # of an axis, in one line


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


class Split(NamedTuple):
    """How an expression is cut into parts: along which axis, the parts (None for one that nobody reads), and how long
    they are, in the largest unit that fits.
    """

    axis: int
    parts: list[Expression | None]
    sizes: list[int]


class Outline:
    """Which expressions get a line of their own, in which order, and under which name.

    Attributes:
        arguments: the leaves that the function takes.
        gradients: for each of them the cotangent; None where no gradient flows. If it is the cotangent of something
            else as well, as in ``dh_prev = dh``, it is an expression ``copy``, which gets a line of its own.
        forward: the expressions of the function, each after what it needs.
        backward: what the derivative needs besides.
        lines: those that get a line.
        splits: for an expression that is cut into a few parts of an axis, the parts.
        names: of lines and leaves, and of some expressions that another way of writing may want to name.
        primal: for an expression of the derivative, the expression of the function that it is the cotangent of.
        readers: for an expression of the function, those that read it in the function.
    """

    def __init__(self, trace: Trace, states: Collection[str] = (), reserved: Iterable[str] = ()) -> None:
        self.trace = trace
        self.arguments = [*trace.inputs, *(leaf for _, leaf in trace.free)]
        self.forward = blocks_in_order(trace.outputs)
        self.readers: dict[Expression, list[Expression]] = defaultdict(list)
        for e in self.forward:
            for a in e.inputs:
                self.readers[a].append(e)
        self.primal = self._primals()
        self.gradients = [self._gradient(leaf) for leaf in self.arguments]
        inside = set(self.forward)
        self.backward = [e for e in ordered(self.gradients) if e not in inside]
        self.splits = {e: split for e in self.forward if (split := self._split(e))}
        self.lines = self._lines()
        self._names = Names(reserved)
        self.names = self._names.given
        self._name_arguments(states)
        self._name_marked()
        self._name_cotangents()
        self._name_net_inputs()
        self._name_the_rest()

    # ------------------------------------------------------------------------------------------------------- lines
    def _primals(self) -> dict[Expression, Expression]:
        """For each cotangent, the expression that it is named after.

        The terms of a sum have the same cotangent as the sum. Of several such expressions, a result with a name comes
        first, then an argument, then the one that is computed last.
        """
        trace, arguments = self.trace, set(self.arguments)
        place = {e: k for k, e in enumerate(self.forward)}
        results = {*trace.outputs, *(e for e in self.forward if e.name and e.op not in LEAVES)}

        def rank(e: Expression) -> tuple[bool, bool, int]:
            at = place.get(e, -1)
            return e in results, e in arguments, -at if e in arguments else at

        found: dict[Expression, Expression] = {}
        for e, g in (*trace.cotangents.items(), *trace.gradients.items()):
            if isinstance(g, Expression) and g not in place and (g not in found or rank(e) > rank(found[g])):
                found[g] = e
        return found | dict(zip(trace.seeds, trace.outputs, strict=True))

    def _gradient(self, leaf: Expression) -> Any:
        g = self.trace.gradients.get(leaf)
        if not isinstance(g, Expression) or (self.primal.get(g) is leaf and g.op != "zeros"):
            return g
        op, of = ("zeros_like", leaf) if g.op == "zeros" else ("copy", g)
        line = Expression(op, (of,), {}, g.shape, g.dtype, None, -1)
        self.primal[line] = leaf
        return line

    def _lines(self) -> set[Expression]:
        roots = [*self.trace.outputs, *self.gradients]
        read = uses(roots)
        lines = {part for split in self.splits.values() for part in split.parts if part is not None}
        size: dict[Expression, int] = {}
        joined = {a for e in (*self.forward, *self.backward) if e.op in ("concat", "stack") for a in e.inputs}
        for e in (*self.forward, *self.backward):
            if e.op in LEAVES:
                continue
            size[e] = 1 + sum(size.get(a, 0) for a in e.inputs if a not in lines)
            is_part = e in joined and size[e] > 1
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
        """The cotangent of h is dh. If an output h is read as well, dh is a sum; the part that comes in is dh_out."""
        for seed, y in zip(self.trace.seeds, self.trace.outputs, strict=True):
            is_part = self.trace.cotangents.get(y, seed) is not seed
            self._names.take(seed, f"d{self.names[y]}" + "_out" * is_part)
        self._name_after_primals()

    def _name_after_primals(self) -> None:
        for e in self.backward:
            if e in self.lines and e not in self.names and self.primal.get(e) in self.names:
                self._names.take(e, f"d{self.names[self.primal[e]]}")

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
        self._name_after_primals()
        for e in self.backward:
            if e in self.lines and e not in self.names:
                self._names.take(e, self._names.fresh())

    def _descriptions(self, e: Expression) -> list[str]:
        words = [self.names.get(a, "").removesuffix("_prev") for a in e.inputs]
        if words and words[0] and is_function(e):
            return [f"{e.op}_{words[0]}"]
        if e.op in ("multiply", "matmul") and len(words) == 2 and all(len(word) == 1 for word in words):
            return ["".join(words)]
        return []

    # ------------------------------------------------------------------------------------------------------- parts
    def pieces(self, e: Expression) -> list[Expression]:
        """The slices that an expression is cut into, in order, if they lie side by side; else none."""
        found = sorted({r for r in self.readers[e] if cut(r) is not None}, key=lambda r: cut(r) or (0, 0, 0))
        ends = [cut(piece) or (0, 0, 0) for piece in found]
        apart = all(a[0] == b[0] and a[2] <= b[1] for a, b in pairwise(ends))
        return found if apart and len(found) > 1 and len(found) == len(set(self.readers[e])) else []

    def _split(self, e: Expression) -> Split | None:
        """The pieces, with what lies between them; None, if they are not a few whole parts of the axis."""
        pieces = self.pieces(e)
        cuts = [found for piece in pieces if (found := cut(piece))]
        if not cuts or any(start == stop for _, start, stop in cuts):
            return None
        axis, length = cuts[0][0], e.shape[cuts[0][0]]
        unit = math.gcd(length, *(end for _, *ends in cuts for end in ends))
        if length // unit > MOST_PARTS:
            return None
        parts: list[Expression | None] = []
        sizes: list[int] = []
        place = 0
        for piece, start, stop in [*((p, a, b) for p, (_, a, b) in zip(pieces, cuts, strict=True)), (None, length, 0)]:
            gap = (start - place) // unit
            parts += [None] * gap
            sizes += [1] * gap
            if piece is not None:
                parts.append(piece)
                sizes.append((stop - start) // unit)
            place = stop
        return Split(axis, parts, sizes)


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
