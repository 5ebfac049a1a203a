"""Gates, states and candidates, recognised by what they do in their step, never by their place in the code.

The new state is written out as a sum of products, so that it does not matter how the program writes it: ``z * h +
(1 - z) * n``, ``n + z * (h - n)`` and ``torch.lerp(n, h, z)`` are all ``z h + n - z n``. The terms tell the roles:

    f c + i g             f multiplies the state of the step before, i the candidate g: an LSTM's cell state
    o tanh(c)             o multiplies a function of a cell state: the hidden state
    z h + n - z n         z keeps the state, 1 - z lets the candidate n in: a GRU's hidden state
    h - z h + z n         the same, where z replaces
    n = tanh(… r ⊙ … )    r multiplies what n sees of the state of the step before

A cell state is only carried over; a hidden state is what weights read, or what is handed on to them. So a gate on an
output that no other step reads makes no LSTM. What fits none of these has no name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from microgradrnn.engine import Node
from viz.graph.steps import MOVES, PRODUCTS, is_linear
from viz.graph.torch.time import At, Reader, readers_of
from viz.graph.unknown import Guess

GATES = {"sigmoid", "hardsigmoid"}
SAME = {"reshape", "astype", "clone", "alias"}  # operations that change no number
SUMS = {"add", "subtract", "lerp", "addcmul"}
MOST = 12  # products of a sum that is written out
NEAR = 4  # operations between a state and what is handed on of it: a mask, dropout, a clip

Mark = tuple[str, str]  # symbol and role


class Plain(NamedTuple):
    """An operand that is no node: the k-th one of a node; -1 stands for any."""

    reader: Node
    k: int


Factor = Node | Plain
Terms = dict[tuple[Factor, ...], float]  # a sum of products: for each product its coefficient


class Blend(NamedTuple):
    """A state, made of the state before and of something new. `gates` has f, i and g; or z, n and whether z keeps."""

    state: Node
    before: Factor
    names: dict[str, Node]
    keeps: bool = True


class State(NamedTuple):
    """What a state is, and what becomes of it.

    Attributes:
        is_cell: is it a cell state, c? Otherwise it is a hidden state, h.
        hidden: which of the products with gates is h; None if that is not clear.
        many: how many such products the step has.
    """

    is_cell: bool
    hidden: int | None
    many: int

    def output(self, products: list[tuple[Node, Node]]) -> tuple[Node, Node] | None:
        """The gate and the product that are o and h, if these are as many products as the steps before had."""
        return products[self.hidden] if self.hidden is not None and len(products) == self.many else None


@dataclass
class Roles:
    """What was recognised.

    Attributes:
        marks: symbol and role of nodes.
        kinds: for each loop, what cell it is: ``lstm``, ``gru``, ``mgu`` or ``rnn``. Others are missing.
    """

    marks: dict[Node, Mark] = field(default_factory=dict)
    kinds: dict[int, str] = field(default_factory=dict)


def roles_of(nodes: list[Node], at: Mapping[Node, At]) -> Roles:
    """The roles of the nodes that were made in steps.

    Args:
        nodes: a whole graph, oldest first.
        at: for those that were made in a step, which loop and which of its steps.
    """
    readers = readers_of(nodes)
    steps: dict[At, list[Node]] = {}
    for node in nodes:
        if node in at and node.op is not None:
            steps.setdefault(at[node], []).append(node)
    found: dict[Node, set[Mark]] = {}
    kinds: dict[int, dict[int, str]] = {}
    symbols: dict[int, dict[int, set[str]]] = {}
    states: dict[int, set[Node]] = {}  # for each loop those that were recognised so far
    before: dict[int, dict[int, State]] = {}  # for each loop what its states were in the step before, in their order
    for (loop, turn), made in sorted(steps.items(), key=lambda item: item[1][-1].serial):  # in the order of the loop
        step, known = Step(made, at, readers), states.setdefault(loop, set())
        blends = [blend for blend in step.blends() if not known or step.comes_from(blend.before, known.__contains__)]
        known |= {blend.state for blend in blends}
        known_as = {j: step.kind_of(blend.state, before.get(loop, {}).get(j)) for j, blend in enumerate(blends)}
        before[loop] = known_as
        named = [step.named(blend, known_as[j]) for j, blend in enumerate(blends)] or [step.simple()]
        for marks, kind in named:
            kinds.setdefault(loop, {})[turn] = kind if kinds.get(loop, {}).get(turn, kind) == kind else ""
            symbols.setdefault(loop, {}).setdefault(turn, set()).update(symbol for symbol, _ in marks.values())
            for node, mark in marks.items():
                found.setdefault(node, set()).add(mark)
    alone = {loop: only_at_first(by_turn) for loop, by_turn in symbols.items()}
    return Roles({node: mark for node, (mark, *others) in found.items()
                  if not others and mark[0] not in alone[at[node][0]].get(at[node][1], ())},
                 {loop: kind for loop, by_turn in kinds.items() if (kind := agreed(by_turn))})


def only_at_first(by_turn: Mapping[int, set[str]]) -> dict[int, set[str]]:
    """The symbols of the first step that no later one has: there the input was taken for the state before."""
    first, *later = by_turn
    return {first: by_turn[first].difference(*[set().union(*map(by_turn.__getitem__, later))])} if later else {}


def agreed(by_turn: Mapping[int, str]) -> str:
    """What all steps but the first are; of a single step, what that is. Nothing if they differ."""
    first, *later = by_turn
    names = {by_turn[turn] for turn in later} or {by_turn[first]}
    return names.pop() if len(names) == 1 else ""


class Step:
    """The nodes of one step of a loop.

    Args:
        made: the nodes, oldest first.
        at: for all nodes of the graph, where they were made.
        readers: who reads each node.
    """

    def __init__(self, made: list[Node], at: Mapping[Node, At], readers: Mapping[Node, list[Reader]]) -> None:
        self.made, self.at, self.readers = made, at, readers
        self.loop, self.step = at[made[0]]
        self.first = not any(self.is_elsewhere(x) for node in made for x in node.inputs)
        self.outside = Plain(made[0], -1)
        self.known: dict[Node, Terms] = {}

    def is_inside(self, x: Factor | None) -> bool:
        """Was it made in this step?"""
        return isinstance(x, Node) and x.op is not None and self.at.get(x) == (self.loop, self.step)

    def is_elsewhere(self, x: Factor | None) -> bool:
        """Was it made in another step of this loop?"""
        return isinstance(x, Node) and x in self.at and self.at[x][0] == self.loop and self.at[x][1] != self.step

    def is_past(self, x: Factor) -> bool:
        """Is it a state of another step? In the first step that is whatever comes from outside and is no weight."""
        if not self.first:
            return self.is_elsewhere(x)
        return x is self.outside if isinstance(x, Plain) else not self.is_inside(x) and x.role != "parameter"

    def operands(self, node: Node) -> Iterator[Factor]:
        """The operands of a node. Arrays that are no nodes are taken for the first state, in the first step."""
        for k, (x, a) in enumerate(zip(node.inputs, node._args, strict=True)):
            if x is not None:
                yield x
            else:
                number = isinstance(a, (int, float)) and not isinstance(a, Guess)
                yield self.outside if self.first and not number else Plain(node, k)

    def reaches(self, x: Factor, wanted: Callable[[Factor], bool], through: Callable[[Node, int], bool],
                most: float = math.inf) -> bool:
        """Is something wanted at most so many operations before x, within the step?

        Args:
            through: says of a node and one of its operands whether the way may lead there.
        """
        seen, near = {x}, [x]
        while near and not any(map(wanted, near)) and most > 0:
            before = {y for node in near if isinstance(node, Node) and self.is_inside(node)
                      for k, y in enumerate(self.operands(node)) if through(node, k)}
            near = list(before - seen)
            seen |= before
            most -= 1
        return any(map(wanted, near))

    # ------------------------------------------------------------------------------------------ sums of products
    def terms(self, x: Factor) -> Terms:
        """A node as a sum of products."""
        if not isinstance(x, Node) or not self.is_inside(x):
            plain = x.reader._args[x.k] if isinstance(x, Plain) and x is not self.outside else None
            if isinstance(plain, (int, float)):
                return number(1.0 if math.isnan(plain) else plain)  # of ``1 - z`` PyTorch may not keep the 1
            return {(x,): 1.0}
        if x not in self.known:
            found = self.written_out(x)
            self.known[x] = {(x,): 1.0} if found is None or len(found) > MOST else found
        return self.known[x]

    def written_out(self, node: Node) -> Terms | None:
        """The sum of products that an operation makes; None if it makes none."""
        name, (a, *others) = node.op.name, map(self.terms, self.operands(node))
        if name in SAME:
            return a
        if name == "negative":
            return times(number(-1), a)
        if name == "multiply":
            return times(a, others[0])
        factor = setting(node, "alpha", "value")
        if name == "add":
            return plus(a, times(number(factor), others[0]))
        if name == "subtract":
            return plus(a, times(number(-factor), others[0]))
        if name == "addcmul":
            return plus(a, times(number(factor), times(*others)))
        if name == "lerp":
            weight = others[1] if len(others) > 1 else number(setting(node, "weight"))
            return plus(a, times(weight, plus(others[0], times(number(-1), a))))
        return None

    # ------------------------------------------------------------------------------------------ roles
    def is_gate(self, x: Factor) -> bool:
        """Is it a sigmoid, or a part of one?"""
        while isinstance(x, Node) and self.is_inside(x):
            if x.op.name in GATES:
                return True
            if x.op.name not in MOVES or len(x.inputs) > 1:
                return False
            (x,) = self.operands(x)
        return False

    def blends(self) -> Iterator[Blend]:
        """The sums that make a state of the state before and of something new."""
        for node in self.made:
            if node.op.name in SUMS:
                terms = {product: n for product, n in self.terms(node).items() if n}
                old = {product: n for product, n in terms.items() if any(map(self.is_past, product))}
                before = {x for product in old for x in product if self.is_past(x)}
                if len(before) == 1:
                    yield from self.blend(node, before.pop(), old, {p: n for p, n in terms.items() if p not in old})

    def blend(self, node: Node, before: Factor, old: Terms, new: Terms) -> Iterator[Blend]:
        """The sum of these products, if it is one of the known forms."""
        gates: list[list[Node]] = [[x for x in product if isinstance(x, Node) and self.is_gate(x)]
                                   for product in (*old, *new)]
        candidates = {x for product in (*old, *new) for x in product if x != before and not self.is_gate(x)}
        known = list(dict.fromkeys(x for row in gates for x in row))
        candidate = candidates.pop() if len(candidates) == 1 else None
        if not isinstance(candidate, Node) or not self.is_inside(candidate) or any(len(row) > 1 for row in gates):
            return
        form = sorted((product in old, len(row) > 0, sign) for (product, sign), row in
                      zip([*old.items(), *new.items()], gates, strict=True))
        if form == [(False, True, 1), (True, True, 1)] and len(known) == 2:
            yield Blend(node, before, {"f": known[0], "i": known[1], "g": candidate})
        elif form == [(False, True, 1), (True, False, 1)]:
            yield Blend(node, before, {"i": known[0], "g": candidate})
        elif form == [(False, False, 1), (False, True, -1), (True, True, 1)] and len(known) == 1:
            yield Blend(node, before, {"z": known[0], "n": candidate})
        elif form == [(False, True, 1), (True, False, 1), (True, True, -1)] and len(known) == 1:
            yield Blend(node, before, {"z": known[0], "n": candidate}, keeps=False)

    def comes_from(self, x: Factor, is_state: Callable[[Factor], bool]) -> bool:
        """Is what this step reads a state that was recognised, or something near it in the step that made it?"""
        if not isinstance(x, Node) or x not in self.at:
            return False
        there = Step([x], self.at, self.readers)
        return there.reaches(x, is_state, lambda node, k: True, NEAR)

    def named(self, blend: Blend, state: State) -> tuple[dict[Node, Mark], str]:
        """The marks of a state, its gates and candidate, and what cell has it; "" if that is none with a name."""
        names, output, kind = dict(blend.names), state.output(self.products(blend.state)), ""
        if state.is_cell:
            if "z" in names:  # one gate for both: f and 1 - f, or i and 1 - i
                names = {"f" if blend.keeps else "i": names["z"], "g": names["n"]}
            if output is not None:
                names["o"], kind = output[0], "lstm"
        elif "f" not in names and "z" not in names:
            return {}, ""  # a residual connection looks like this too
        elif "n" in names and (reset := self.reset(names["n"])) is not None:
            both = reset is names["z"]  # a minimal gated unit has one gate, f
            names, kind = ({"f": reset, "n": names["n"]}, "mgu") if both else ({**names, "r": reset}, "gru")
        marks = {node: (name, "candidate" if name in ("g", "n") else "gate") for name, node in names.items()}
        if not state.is_cell:
            return {**marks, blend.state: ("h", "hidden")}, kind
        marks[blend.state] = "c", "cell"
        return (marks if output is None else {**marks, output[1]: ("h", "hidden")}), kind

    def kind_of(self, state: Node, before: State | None) -> State:
        """Is it a cell state, and which product is the hidden state? The last step hands nothing on: it is as before.

        Weights read a hidden state. A cell state is only carried over; what is handed on to weights is a gate's
        product with a function of it. Of a single step there is only the product to go by.
        """
        found = self.products(state)
        if not self.is_handed_on(state):
            return before or State(len(found) == 1, 0 if len(found) == 1 else None, len(found))
        if not found or self.meets_weights(state):
            return State(False, None, len(found))
        handed_on = [j for j, (_, product) in enumerate(found) if self.leads_on(product)]
        return State(True, handed_on[0] if len(handed_on) == 1 else None, len(found))

    def is_handed_on(self, node: Node) -> bool:
        """Does another step of this loop read it?"""
        return any(self.is_elsewhere(v) for v, _ in self.readers.get(node, ()))

    def leads_on(self, product: Node) -> bool:
        """Is it handed on, or what a projection, a mask or dropout makes of it?"""
        near = {product}
        for _ in range(NEAR):
            if any(map(self.is_handed_on, near)):
                return True
            near = {v for node in near for v, k in self.readers.get(node, ()) if self.is_inside(v)
                    and (is_linear(v.op.name, k) or v.op.name in PRODUCTS)
                    and sum(isinstance(x, Node) and self.is_inside(x) for x in self.operands(v)) == 1}
        return any(map(self.is_handed_on, near))

    def meets_weights(self, state: Node) -> bool:
        """Does another step multiply it with weights, before it becomes a state again?"""
        near, seen = [v for v in self.readers.get(state, ()) if self.is_elsewhere(v[0])], set[Reader]()
        while near:
            reader = near.pop()
            seen.add(reader)
            node, k = reader
            if node.op.name in PRODUCTS:
                return True
            there = self.at.get(node)
            if is_linear(node.op.name, k) and not any(
                    v in self.at and self.at[v][0] == self.loop and self.at[v] != there
                    for v, _ in self.readers.get(node, ())):
                near += [v for v in self.readers.get(node, ()) if self.at.get(v[0]) == there and v not in seen]
        return False

    def products(self, state: Node) -> list[tuple[Node, Node]]:
        """The gates that multiply a function of the state, with the products."""
        found = []
        for node in self.made:
            if node.op.name == "multiply" and node.serial > state.serial:
                a, b = self.operands(node)
                for gate, other in ((a, b), (b, a)):
                    if isinstance(gate, Node) and self.is_gate(gate) and not self.is_gate(other) and self.reaches(
                            other, state.__eq__, lambda node, k: True, NEAR):
                        found.append((gate, node))
        return found

    def reset(self, candidate: Node) -> Node | None:
        """The one gate that multiplies what a candidate sees of the state before; None if there is not just one."""
        found: set[Node] = set()

        def is_reset(x: Factor) -> bool:
            if isinstance(x, Node) and self.is_inside(x) and x.op.name == "multiply":
                a, b = self.operands(x)
                found.update(gate for gate, other in ((a, b), (b, a)) if isinstance(gate, Node) and self.is_gate(gate)
                             and self.reaches(other, self.is_past, works_out_weighted_sums))
            return False

        self.reaches(candidate, is_reset, lambda node, k: node is candidate or works_out_weighted_sums(node, k))
        return found.pop() if len(found) == 1 else None

    def simple(self) -> tuple[dict[Node, Mark], str]:
        """The state of a step without gates: the one function of a weighted sum of the state before."""
        functions = [node for node in self.made if node.op.elementwise and len(node.inputs) == 1
                     and node.op.name not in (*GATES, "negative")
                     and all(self.reaches(x, self.is_past, works_out_weighted_sums) for x in self.operands(node))]
        handed_on = [node for node in functions if self.is_handed_on(node)]
        states = handed_on or functions
        if len(states) != 1 or any(node.op.name in GATES for node in self.made):
            return {}, ""
        return {states[0]: ("h", "hidden")}, "rnn"


def works_out_weighted_sums(node: Node, k: int) -> bool:
    """Does a node pass its k-th operand on, multiply it with a weight, or add something to it?"""
    return is_linear(node.op.name, k) or node.op.name in PRODUCTS


def setting(node: Node, *names: str) -> float:
    """A factor that PyTorch's operation was given, 1 by default."""
    function = getattr(node.params, "function", None)
    return next((float(n) for name in names if (n := getattr(function, f"_saved_{name}", None)) is not None), 1.0)


def number(n: float) -> Terms:
    """A number as a sum of products."""
    return {(): n}


def plus(a: Terms, b: Terms) -> Terms:
    """The sum of two sums of products."""
    return {product: a.get(product, 0.0) + b.get(product, 0.0) for product in (*a, *b)}


def times(a: Terms, b: Terms) -> Terms:
    """Their product, multiplied out.

    >>> times({(): 2.0}, {(): 0.5})
    {(): 1.0}
    """
    found: Terms = {}
    for p, m in a.items():
        for q, n in b.items():
            product = tuple(sorted((*p, *q), key=place))
            found[product] = found.get(product, 0.0) + m * n
    return found


def place(x: Factor) -> tuple[float, int]:
    """Where a factor stands in a product: in the order of making."""
    return (x.serial, -1) if isinstance(x, Node) else (x.reader.serial, x.k)
