"""Equations: what a cell computes, read back from the graph that one step of it left.

Nothing is known beforehand about any cell. From each marked node (and each state) we walk back to other marked nodes,
to states, inputs and weights, and write down what we meet, in the usual notation: row vectors, ``⊙`` for products
entry by entry, ``σ`` for the logistic function. Where a cell keeps the weights of several gates side by side, the
slices that each gate reads are followed back into the weights, and named after the gate: ``U_f``, ``W_f``, ``b_f``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from microgradrnn.engine import Node
from viz.graph.probe import Probe, probe

SUM, PRODUCT, BESIDE, ATOM = range(4)  # how strongly an expression holds together
WRITTEN = {"sigmoid": "σ"}
NAME = re.compile(r"[^\W\d]\w*?(?:_\{([^{}]*)\}|_([^\W_]))?(?!\w)")  # with its subscript
LATEX = {"σ": r"\sigma", "tanh": r"\tanh", "exp": r"\exp", "log": r"\log"}
LATEX_SIGNS = {" ": r"\ ", "⊙": r"\odot", "−": "-", "ᵀ": r"^{\top}", "\\": r"\backslash ", "^": r"\hat{}",
               "~": r"\sim ", "{": r"\{", "}": r"\}", "_": r"\_", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%"}
Cut = tuple[int, int, int]  # axis (-1 or -2), from, to


@dataclass(frozen=True)
class Block:
    """A weight, or the part of it between two places along one axis."""

    leaf: Node
    cut: Cut | None = None

    @property
    def data(self) -> Any:
        """Its numbers."""
        if self.cut is None:
            return self.leaf.data
        axis, a, b = self.cut
        return self.leaf.data[..., a:b] if axis == -1 else self.leaf.data[..., a:b, :]


@dataclass(frozen=True)
class Expr:
    """An expression. ``kind`` is one of

    ``name`` (a symbol, in `word`), ``weight`` (`block`), ``number`` (`word`), ``sum`` (signs in `word`), ``product``,
    ``over``, ``beside`` (a matrix product, or a number times something), ``apply`` (a function, `word`),
    ``transposed``, ``cut`` (a slice, in `word`).
    """

    kind: str
    parts: tuple[Expr, ...] = ()
    word: str = ""
    block: Block | None = None

    def walk(self) -> Iterable[Expr]:
        """It and everything inside it."""
        yield self
        for part in self.parts:
            yield from part.walk()


@dataclass(frozen=True)
class Equation:
    """One line: ``symbol = right``. ``symbol`` is bare (``c``), ``left`` as it is written (``c_t``)."""

    symbol: str
    role: str | None
    left: str
    right: str
    expr: Expr
    node: Node

    def __str__(self) -> str:
        return f"{self.left} = {self.right}"


@dataclass(frozen=True, repr=False)
class Equations:
    """The result of `equations`: prints as one line an equation, and is typeset in a notebook.

    Attributes:
        lines: in the order of computation.
        weights: every weight, or block of one, by the name that the lines use.
        unread: parts of weights that nothing reads which the state depends on: name, from, to (columns).
        probe: the step that they describe.
        text: how to write any expression in their notation.
    """

    lines: tuple[Equation, ...]
    weights: dict[str, Block]
    unread: tuple[tuple[str, int, int], ...]
    probe: Probe
    text: Callable[[Expr], str]
    painter: ClassVar[Callable[..., Any]]  # filled in when `viz` is imported

    def draw(self, **options: Any) -> Any:
        """The picture of the cell, a `Drawing`: by `viz.draw_cell`, which says what ``name=`` and ``theme=`` are."""
        return type(self).painter(self.probe, **options)

    def __repr__(self) -> str:
        return "\n".join(map(str, self.lines))

    def _repr_latex_(self) -> str:
        lines = r" \\ ".join(f"{latex(line.left)} &= {latex(line.right)}" for line in self.lines)
        return rf"$$\begin{{aligned}} {lines} \end{{aligned}}$$"


def latex(words: str) -> str:
    r"""A formula as LaTeX.

    >>> print(latex("z ⊙ h_{t-1} + tanh(x W1)"))
    z\ \odot\ h_{t-1}\ +\ \tanh(x\ \mathrm{W1})
    """
    def escaped(part: str) -> str:
        return "".join(LATEX_SIGNS.get(c, c) for c in part)

    found, end = "", 0
    for name in NAME.finditer(words):
        sub = name[1] or name[2]
        base = name[0].split("_{")[0] if name[1] else name[0][:-2] if name[2] else name[0]
        found += escaped(words[end:name.start()])
        found += LATEX.get(base) or (base if len(base) == 1 else rf"\mathrm{{{escaped(base)}}}")
        found += f"_{{{escaped(sub)}}}" if sub else ""
        end = name.end()
    return found + escaped(words[end:])


def equations(cell: Callable[[Any, Any], Any] | Probe, x: Any = None, state: Any = None) -> Equations:
    """What a cell computes, derived from its graph.

    Args:
        cell: a cell of `nn`, a `Module`, or any function ``(x, state) -> state``.
        x, state: an input (B, D) and a first state (B, H), where the cell does not say what they look like: see
            `probe`.

    Returns:
        `Equations`; in their text ``_`` begins a subscript, ``h_{t-1}``.

    >>> from microgradrnn import nn
    >>> print(equations(nn.LSTMCell(3, 4, rng=0)))
    i = σ(x U_i + h_{t-1} W_i + b_i)
    f = σ(x U_f + h_{t-1} W_f + b_f)
    g = tanh(x U_g + h_{t-1} W_g + b_g)
    o = σ(x U_o + h_{t-1} W_o + b_o)
    c_t = f ⊙ c_{t-1} + i ⊙ g
    h_t = o ⊙ tanh(c_t)
    """
    return Reader(cell if isinstance(cell, Probe) else probe(cell, x, state)).read()


@dataclass
class Reader:
    """Reads equations off the nodes of one step."""

    of: Probe
    blocks: dict[tuple[Node, Cut | None], str] = field(default_factory=dict)  # and the symbol of who read it first
    beside: dict[Node, str] = field(default_factory=dict)  # a bias, and the state whose product it is added to
    asked: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        step = self.of
        self.before = self.states_before()
        self.after = dict(zip(step.after, step.symbols, strict=True))
        self.inputs = self.names_of_inputs()
        self.inside = self._inside()
        self.changing = {node for node in self.inside if node in self.inputs or node in self.before}
        for node in sorted(self.inside, key=lambda node: node.serial):
            if any(u in self.changing for u in node.inputs if u is not None):
                self.changing.add(node)
        self.named: dict[Node, str] = {}
        taken = {*step.symbols, *self.inputs.values()}
        for node in sorted(self.changing, key=lambda node: node.serial):
            if node.symbol and not (node in self.inputs or node in self.before or node in self.after):
                self.named[node] = _fresh(node.symbol, taken)
                taken.add(self.named[node])
        self._name_what_is_used_twice()

    def states_before(self) -> dict[Node, str]:
        """What to write for the states that the step read."""
        return {node: f"{name}_{{t-1}}" for node, name in zip(self.of.before, self.of.symbols, strict=True)}

    def names_of_inputs(self) -> dict[Node, str]:
        """What to write for the inputs of the step."""
        return {node: str(node.symbol) for node in self.of.inputs}

    def _inside(self) -> set[Node]:
        """What the step computed, and what it computed it from."""
        seen, stack = set(self.of.after), list(self.of.after)
        while stack:
            node = stack.pop()
            if node in self.before or node in self.inputs:
                continue
            for u in node.inputs:
                if u is not None and u not in seen:
                    seen.add(u)
                    stack.append(u)
        return seen

    def _name_what_is_used_twice(self) -> None:
        """Something without a mark that several places read is given a name: a1, a2, ..."""
        uses: dict[Node, int] = {}
        for node in self.inside:
            if node in self.before or node in self.inputs or node.op is None or node.op.name == "getitem":
                continue
            for u in node.inputs:
                if u in self.changing:
                    uses[u] = uses.get(u, 0) + 1
        taken = {*self.named.values(), *self.of.symbols, *self.inputs.values()}
        free = (name for name in (f"a{k}" for k in range(1, 10**6)) if name not in taken)
        for node in sorted(uses, key=lambda node: node.serial):
            known = node in self.named or node in self.after or node in self.inputs or node in self.before
            if uses[node] > 1 and not known and not self._is_net_input(node):
                self.named[node] = next(free)

    def _is_net_input(self, node: Node) -> bool:
        """A product with weights, that gates may read in slices: it is written out in each of them."""
        return node.op is not None and node.op.name in ("matmul", "affine") and any(
            u is not None and u not in self.changing for u in node.inputs)

    # ------------------------------------------------------------------------------------------------ reading
    def read(self) -> Equations:
        """All equations that lead to the state."""
        found: dict[Node, Expr] = {}
        todo = [node for node in self.of.after if node not in self.before]
        while todo:
            node = todo.pop()
            if node not in found:
                self.symbol = self.after.get(node) or self.named[node]
                self.asked = []
                found[node] = self.expr(node, None, top=True)
                todo += self.asked
        # blocks are named after the gate that comes first in the order of computation
        self.blocks.clear()
        for node in sorted(found, key=lambda node: node.serial):
            self.symbol = self.after.get(node) or self.named[node]
            found[node] = self.expr(node, None, top=True)
        self.names = self._names()
        lines = tuple(
            Equation(symbol, node.role, f"{symbol}_t" if node in self.after else symbol, self.text(found[node]),
                     found[node], node)
            for node in sorted(found, key=lambda node: node.serial)
            for symbol in [self.after.get(node) or self.named[node]]
        )
        weights = {name: Block(*key) for key, name in self.names.items()}
        return Equations(lines, weights, self._unread(), self.of, self.text)

    def expr(self, node: Node, cut: Cut | None, top: bool = False) -> Expr:
        """A node, or a slice of it, in terms of what has a name."""
        if node in self.before or node in self.inputs:
            return _sliced(Expr("name", word=(self.before.get(node) or self.inputs[node])), cut)
        if not top and (node in self.after or node in self.named):
            self.asked.append(node)
            name = f"{self.after[node]}_t" if node in self.after else self.named[node]
            return _sliced(Expr("name", word=name), cut)
        if node.op is None:
            return self.weight(node, cut)
        return self.computed(node, cut)

    def weight(self, leaf: Node, cut: Cut | None) -> Expr:
        """A leaf: a number if it is one without a symbol, else a block of weights."""
        if np.ndim(leaf.data) == 0 and leaf.symbol is None and not leaf.requires_grad:
            return _number(float(leaf.data))
        if cut is not None and cut[1] == 0 and cut[2] == leaf.data.shape[cut[0]]:
            cut = None
        self.blocks.setdefault((leaf, cut), self.symbol)
        return Expr("weight", block=Block(leaf, cut))

    def computed(self, node: Node, cut: Cut | None) -> Expr:
        """What an operation does, with the slice moved to its operands where that is the same."""
        op = node.op.name
        if op == "getitem":
            here = _as_cut(node.params["index"], node.inputs[0])
            if here is not None and (cut is None or cut[0] == here[0]):
                return self.operand(node, 0, here if cut is None else (here[0], here[1] + cut[1], here[1] + cut[2]))
            if here is None:
                return _sliced(Expr("cut", (self.operand(node, 0, None),), _index(node.params["index"])), cut)
            return _sliced(self.operand(node, 0, here), cut)
        if op == "transpose" and np.ndim(node.data) == 2:
            turned = None if cut is None else (-3 - cut[0], cut[1], cut[2])
            return Expr("transposed", (self.operand(node, 0, turned),))
        if op == "affine":
            a, b = self.product(node, cut), self.operand(node, 2, cut)
            return self.sum([("+", a), ("+", b)])
        if op == "matmul":
            return self.product(node, cut)
        if op == "astype":
            return self.operand(node, 0, cut)
        if not node.op.elementwise:
            usual = ("keepdims", "ends", *(("axis",) if op in ("softmax", "concat") else ()))
            settings = [f"{key}={value}" for key, value in node.params.items() if key not in usual]
            parts = tuple(self.operand(node, k, None) for k in range(len(node.inputs)))
            return _sliced(Expr("concat" if op == "concat" else "apply", parts, ", ".join([op, *settings])), cut)
        parts = tuple(self.operand(node, k, cut) for k in range(len(node.inputs)))
        if op in ("add", "subtract"):
            return self.sum([("+", parts[0]), ("+" if op == "add" else "-", parts[1])])
        if op == "negative":
            return self.sum([("-", parts[0])])
        if op == "multiply":
            return self.times(node, parts)
        if op == "divide":
            return Expr("over", parts)
        return Expr("apply", parts, WRITTEN.get(op, op))

    def operand(self, node: Node, k: int, cut: Cut | None) -> Expr:
        """The k-th operand, a node or a plain number or array; a slice of it, unless it is broadcast along there."""
        u, data = node.inputs[k], node.args[k]
        shape = np.shape(data)
        if cut is not None and (len(shape) < -cut[0] or (shape[cut[0]] == 1 and node.op.elementwise)):
            cut = None
        if u is not None:
            return self.expr(u, cut)
        if np.ndim(data) == 0:
            return _number(float(data))
        return self.weight(self._constant(data), cut)

    def _constant(self, data: Any) -> Node:
        """A plain array, as a leaf; the same one for the same array."""
        for leaf, _ in self.blocks:
            if leaf.data is data or (np.shape(leaf.data) == np.shape(data) and np.array_equal(leaf.data, data)):
                return leaf
        from microgradrnn.engine import Tensor

        return Tensor(np.array(data), requires_grad=False)

    def product(self, node: Node, cut: Cut | None) -> Expr:
        """A matrix product: its columns are those of the second matrix, its rows those of the first."""
        rows = cut if cut is not None and cut[0] == -2 else None
        return Expr("beside", (self.operand(node, 0, rows), self.operand(node, 1, None if rows else cut)))

    def times(self, node: Node, parts: tuple[Expr, ...]) -> Expr:
        """A product entry by entry. A number or a single weight stands beside what it multiplies."""
        a, b = parts
        if b.kind == "number" and a.kind != "number":
            a, b = b, a
        if a.kind == "number":
            return Expr("beside", (a, b))
        if np.ndim(node.data) == 0 and "weight" in (a.kind, b.kind):
            return Expr("beside", (b, a) if a.kind == "weight" else (a, b))
        return Expr("product", tuple(f for p in parts for f in (p.parts if p.kind == "product" else (p,))))

    def sum(self, terms: list[tuple[str, Expr]]) -> Expr:
        """A sum, without sums inside; a net input in the usual order: what x adds, what the state adds, biases."""
        flat: list[tuple[str, Expr]] = []
        for sign, term in terms:
            inner = zip(term.word, term.parts, strict=True) if term.kind == "sum" else [("+", term)]
            flat += [(sign if s == "+" else "-" if sign == "+" else "+", part) for s, part in inner]
        states = set(self.before.values())
        from_state = [next((e.word for e in part.walk() if e.word in states), "") if part.kind == "beside" else ""
                      for _, part in flat]
        for _, part in flat:
            if part.kind == "weight" and part.block is not None and any(from_state):
                self.beside.setdefault(part.block.leaf, max(from_state).split("_")[0])
        if all(s == "+" and (part.kind == "weight" or (part.kind == "beside" and part.parts[0].kind != "number"))
               for s, part in flat):
            order = {"weight": 2, "beside": 1}
            inputs = set(self.inputs.values())
            flat.sort(key=lambda item: 0 if item[1].kind == "beside" and any(e.word in inputs for e in item[1].walk())
                      else order[item[1].kind])
        return Expr("sum", tuple(part for _, part in flat), "".join(s for s, _ in flat))

    # ------------------------------------------------------------------------------------------------ names
    def _names(self) -> dict[tuple[Node, Cut | None], str]:
        """A name for every block, no two alike."""
        leaves = sorted({leaf for leaf, _ in self.blocks}, key=lambda leaf: leaf.serial)
        symbols = self._leaf_symbols(leaves)
        names: dict[tuple[Node, Cut | None], str] = {}
        known = {*self.of.symbols, *self.inputs.values(), *self.named.values()}
        for (leaf, cut), reader in self.blocks.items():
            if cut is not None:
                base = symbols[leaf].split("_")[0]
                names[leaf, cut] = _fresh(f"{base}_{_braced(reader)}", known | set(names.values()))
        blocks = known | set(names.values())
        for leaf, cut in self.blocks:
            if cut is None:
                name = symbols[leaf]
                if name in blocks and "_" in name:  # b_n of its own beside the n-th part of b: it is added to h W
                    base, sub = name.split("_", 1)
                    name = f"{base}_{_braced(self.beside.get(leaf, '0') + sub.strip('{}'))}"
                names[leaf, cut] = _fresh(name, blocks)
                blocks.add(names[leaf, cut])
        return names

    def _leaf_symbols(self, leaves: list[Node]) -> dict[Node, str]:
        """The symbol of each leaf; numbered where several share it; W1, ... or, for constants, k1, ... without one."""
        count: dict[str, int] = {}
        for leaf in leaves:
            count[leaf.symbol or ""] = count.get(leaf.symbol or "", 0) + 1
        symbols, turn = {}, dict.fromkeys(count, 0)
        for leaf in leaves:
            own = leaf.symbol or ""
            turn[own] += 1
            base, _, sub = own.partition("_")
            if not own:
                symbols[leaf] = f"{'W' if leaf.requires_grad else 'k'}{turn[own]}"
            elif count[own] > 1:
                symbols[leaf] = f"{base}_{_braced(sub.strip('{}') + str(turn[own]))}"
            else:
                symbols[leaf] = f"{base}_{_braced(sub.strip('{}'))}" if sub else base
        return symbols

    def _unread(self) -> tuple[tuple[str, int, int], ...]:
        """Columns of weights that only slices are read of, and which no slice covers."""
        symbols = self._leaf_symbols(sorted({leaf for leaf, _ in self.blocks}, key=lambda leaf: leaf.serial))
        found = []
        for leaf, name in symbols.items():
            cuts = [cut for u, cut in self.blocks if u is leaf]
            if None in cuts or any(cut is not None and cut[0] != -1 for cut in cuts):
                continue
            end = 0
            for _, a, b in [*sorted(cut for cut in cuts if cut is not None), (-1, *[leaf.data.shape[-1]] * 2)]:
                if a > end:
                    found.append((name, end, a))
                end = max(end, b)
        return tuple(found)

    # ------------------------------------------------------------------------------------------------ writing
    def text(self, e: Expr) -> str:
        """The expression as it is written."""
        match e.kind:
            case "name" | "number":
                return e.word
            case "weight":
                assert e.block is not None
                return self.names[e.block.leaf, e.block.cut]
            case "sum":
                words = "".join(f" {'+' if s == '+' else '−'} {self.held(part, PRODUCT)}"
                                for s, part in zip(e.word, e.parts, strict=True))
                return words[3:] if e.word[0] == "+" else "−" + words[3:]
            case "product":
                return " ⊙ ".join(self.held(part, ATOM) for part in e.parts)
            case "beside":
                return f"{self.held(e.parts[0], ATOM)} {self.held(e.parts[1], ATOM)}"
            case "over":
                return f"{self.held(e.parts[0], ATOM)} / {self.held(e.parts[1], ATOM)}"
            case "transposed":
                return f"{self.held(e.parts[0], ATOM)}ᵀ"
            case "cut":
                return f"{self.held(e.parts[0], ATOM)}[{e.word}]"
            case "concat":
                return f"[{', '.join(self.text(part) for part in e.parts)}]"
        name, _, settings = e.word.partition(", ")
        return f"{name}({', '.join([*(self.text(part) for part in e.parts), *([settings] if settings else [])])})"

    def held(self, e: Expr, needed: int) -> str:
        """In brackets where something around it would tear it apart."""
        holds = {"sum": SUM, "product": PRODUCT, "over": PRODUCT, "beside": BESIDE}.get(e.kind, ATOM)
        negative = e.kind == "number" and e.word.startswith("-")
        return f"({self.text(e)})" if holds < needed or negative else self.text(e)


def _number(x: float) -> Expr:
    return Expr("number", word=f"{x:g}" if float(f"{x:g}") == x else repr(x))


def _braced(sub: str) -> str:
    return sub if len(sub) == 1 else f"{{{sub}}}"


def _fresh(name: str, taken: set[str]) -> str:
    """The name, or with a number where it is taken."""
    base, _, sub = name.partition("_")
    k = 1
    while name in taken:
        k += 1
        name = f"{base}_{_braced(sub.strip('{}') + str(k))}"
    return name


def _sliced(e: Expr, cut: Cut | None) -> Expr:
    if cut is None:
        return e
    axis, a, b = cut
    return Expr("cut", (e,), f"{a}:{b}" if axis == -1 else f"{a}:{b}, :")


def _as_cut(index: Any, x: Node | None) -> Cut | None:
    """An index as one slice along the last axis or the one before it; None if it is anything else."""
    ndim = np.ndim(x.data) if x is not None else 0
    given = index if isinstance(index, tuple) else (index,)
    if Ellipsis in [part for part in given if part is Ellipsis]:
        j = next(k for k, part in enumerate(given) if part is Ellipsis)
        given = (*given[:j], *[slice(None)] * (ndim - len(given) + 1), *given[j + 1:])
    given = (*given, *[slice(None)] * (ndim - len(given)))
    cuts = [(k - ndim, part) for k, part in enumerate(given) if part != slice(None)] if all(
        isinstance(part, slice) for part in given) else []
    if x is None or len(cuts) != 1 or cuts[0][0] < -2 or cuts[0][1].step not in (None, 1):
        return None
    axis, part = cuts[0]
    a, b, _ = part.indices(np.shape(x.data)[axis])
    return axis, a, b


def _index(index: Any) -> str:
    def word(part: Any) -> str:
        if isinstance(part, slice):
            ends = ("" if v is None else str(v) for v in (part.start, part.stop))
            return ":".join(ends) + (f":{part.step}" if part.step not in (None, 1) else "")
        return "..." if part is Ellipsis else str(part)
    return ", ".join(map(word, index)) if isinstance(index, tuple) else word(index)
