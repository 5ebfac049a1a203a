"""Replay: a recorded computation as a program that can be run again with other numbers.

A graph remembers every operation with its operands and settings. The steps of a loop do the same (`viz.graph.loops`):
one of them, the pattern, does for all, once it is known what differs from step to step. That is the state, which the
step before made, and the inputs, one row for each step. What lies outside of the loops is done once, before, between or
after them. No cell and no net is needed, only the node that was computed.

What depends on nothing that is to be changed is not done again: it becomes part of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.engine import PRIMITIVES, Node
from microgradrnn.engine.node import plain
from microgradrnn.engine.primitive import Primitive
from viz.graph.loops import Loop, Place, loops
from viz.graph.program import Handed, Line, Name, Names, Once, Program, Recipe, Repeat, Rows
from viz.graph.steps import uses
from viz.graph.trace import traced

CLOSE, CLOSE_IN_FLOAT32 = 1e-9, 1e-4  # so far the program may be from what was recorded, relative to the largest entry
NOT_ALIKE = "the steps do not all do the same"


class IsTrue:
    """Conditions from the floats 0 and 1."""

    name = "is_true"

    def __call__(self, x: Any) -> Any:
        return x > 0.5


IS_TRUE = IsTrue()


class NoProgramError(ValueError):
    """The graph cannot be replayed in this way. The message says why, for the reader of a page."""


def program(root: Node, changeable: Collection[Node]) -> Program:
    """The program that computed a node.

    Args:
        root: the node, a single number. (Take `without_identities` of it first.)
        changeable: the leaves whose numbers are to be changed.

    Raises:
        NoProgramError: if the steps of a loop do not do the same, or depend on numbers in a way that leaves no trace.

    >>> from microgradrnn import nn
    >>> cell = nn.RNNCell(3, 4, rng=0)
    >>> hs, h = nn.unroll(cell, np.ones((5, 2, 3)))
    >>> found = program((h * h).sum(), [cell.W])
    >>> [type(stage).__name__ for stage in found.stages]
    ['Repeat', 'Once']
    >>> bool(abs(found.run()[found.loss] - (h * h).sum().data) < 1e-12)
    True
    """
    return _Reader(root, changeable).program()


def need_a_trace(nodes: Collection[Node]) -> None:
    """Refuse a graph that does not show how all numbers depend on others.

    Raises:
        NoProgramError: if the operations are those of another library, there is a checkpoint, or something is detached.
    """
    if any(node.op is not None and not isinstance(node.op, Primitive) for node in nodes):
        raise NoProgramError("its operations are PyTorch's, which cannot be computed here")
    if any(node.op is not None and node.op.name == "checkpoint" for node in nodes):
        raise NoProgramError("a checkpoint hides its steps")
    computed = {id(node._data) for node in nodes if node.op is not None and np.ndim(node._data)}
    if any(node.op is None and id(node._data) in computed for node in nodes):
        raise NoProgramError("something is detached, so that nothing shows how it was computed")


class Home(NamedTuple):
    """Where a loop made a node: the number of the loop, which of its steps, counted from the first, and the place."""

    loop: int
    turn: int
    place: Place


class _Reader:
    """Reads a program off a graph."""

    def __init__(self, root: Node, changeable: Collection[Node]) -> None:
        if np.size(root.data) != 1:
            raise NoProgramError("the result is not a single number")
        self.root, self.changeable = root, changeable
        self.graph, self.ids = traced(root)
        self.nodes = sorted(self.ids, key=lambda node: node.serial)
        self.names = Names()
        self.data: dict[Name, np.ndarray] = {}
        self.known: dict[Any, Name] = {}  # the names of nodes and arrays outside of loops, and of rows of loops
        self.kept: dict[tuple[int, Place], Name] = {}  # what a loop makes at a place, of all its steps
        self.varying: set[Name] = set()
        if any(node.scope.running is not None for node in self.nodes):
            raise NoProgramError("the sequences of its batch have different lengths")
        need_a_trace(self.nodes)
        self._find_loops()
        self._find_stages()

    # ------------------------------------------------------------------------------------------- what is where
    def _find_loops(self) -> None:
        """The loops, and what they make where. What one step alone makes, and no step reads, lies outside: the loss."""
        weights = {leaf for leaf, steps in uses(self.graph).items() if len(steps) > 1}
        self.loops: list[Loop] = [loop for loop in loops(self.graph, weights) if len(loop.steps) > 1]
        if not self.loops:
            raise NoProgramError("it takes a single step")
        if any(loop.encloses(other) for loop in self.loops for other in self.loops):
            raise NoProgramError("a loop runs inside a step of another one")
        node_of = {name: node for node, name in self.ids.items()}
        self.home: dict[Node, Home] = {}
        self.at: dict[tuple[int, Place], dict[int, Node]] = {}  # by turn
        for j, loop in enumerate(self.loops):
            for turn, names in enumerate(loop.steps.values()):
                for name in names:
                    node = node_of.get(name)
                    if node is not None and node.op is not None:  # a leaf is read, not made
                        self.home[node] = Home(j, turn, loop.places[name])
                        self.at.setdefault((j, loop.places[name]), {})[turn] = node
        inside: set[Node] = set()  # what the loops read
        for node in reversed(self.nodes):
            home = self.home.get(node)
            if home is not None and node not in inside and len(self.at[home.loop, home.place]) == 1:
                del self.at[home.loop, home.place], self.home[node]
            elif home is not None:
                inside |= {x for x in node.inputs if x is not None}

    def _find_stages(self) -> None:
        """For each node how many of the loops must have run, and whether it depends on what is changed."""
        self.after: dict[Node, int] = {}
        self.changes: set[Node] = set()
        for node in self.nodes:
            home, read = self.home.get(node), [x for x in node.inputs if x is not None]
            if home is None:
                self.after[node] = max((self.after[x] for x in read), default=0)
            else:
                self.after[node] = home.loop + 1
                if any(self.after[x] > home.loop and x not in self.home for x in read) or any(
                        self.home[x].loop > home.loop for x in read if x in self.home):
                    raise NoProgramError("two of its loops read each other's results")
            if home is not None or node in self.changeable or not self.changes.isdisjoint(read):
                self.changes.add(node)

    # ------------------------------------------------------------------------------------------------------ names
    def array(self, x: Any, wish: str | None) -> Name:
        """Numbers that are known beforehand."""
        name = self.names.give(wish, "known")
        self.data[name] = np.array(plain(x), np.float64)
        return name

    def outside(self, node: Node) -> Name:
        """Something that no loop makes."""
        if node not in self.known:
            again = node in self.changes and node.op is not None
            self.known[node] = self.names.give(node.symbol, node.op.name) if again else self.array(node, node.symbol)
        return self.known[node]

    def constant(self, x: Any) -> Any:
        """A plain operand: a number as it is, an array by name."""
        if np.ndim(x) == 0:
            return float(x)
        if id(x) not in self.known:
            self.known[id(x)] = self.array(x, None)
        return self.known[id(x)]

    def all_steps(self, j: int, place: Place) -> Name:
        """The array of what a loop makes at a place, of all its steps."""
        if (j, place) not in self.kept:
            node = next(iter(self.at[j, place].values()))
            self.kept[j, place] = name = self.names.give(f"{node.symbol or node.op.name}_all")
            self.varying.add(name)
        return self.kept[j, place]

    # ------------------------------------------------------------------------------------------------------ stages
    def program(self) -> Program:
        """All stages, if they compute what was recorded."""
        stages: list[Once | Repeat] = []
        for j in range(len(self.loops) + 1):
            again = [node for node in self.nodes if node not in self.home and node in self.changes
                     and node.op is not None and self.after[node] == j]
            before = self.once(again)
            stages.append(before)
            if j < len(self.loops):
                stages.append(_Step(self, j, before.recipe).stage())
        last = Once()
        loss = self.read_outside(self.root, last.recipe)
        stages.append(last)
        self._settle(stages, loss)
        leaves = {node: self.known[node] for node in self.changeable if node in self.known}
        found = Program(self.data, [stage for stage in stages if stage.recipe.gives], loss, leaves, self.varying)
        self._compare(found)
        return found

    def once(self, nodes: Sequence[Node]) -> Once:
        """What is done once, before, between or after the loops."""
        recipe = Recipe()
        for node in nodes:
            if (every := self.stack_of_all(node)) is not None:
                self.known[node] = self.in_order(every, node, recipe)
                continue
            operands = [self.constant(node.args[k]) if x is None else self.read_outside(x, recipe)
                        for k, x in enumerate(node.inputs)]
            made = self.outside(node)
            if not self.varying.isdisjoint(x for x in operands if isinstance(x, Name)):
                self.varying.add(made)
            recipe.lines += self.lines(node, made, operands, partial(self.mask, node))
        return Once(recipe)

    def mask(self, node: Node) -> Name:
        """The mask of an index that picks one entry of each row."""
        return self.array(chosen(node), "chosen")

    def read_outside(self, node: Node, recipe: Recipe) -> Name:
        """An operand of something outside: of what a loop makes, the row of one step."""
        if node not in self.home:
            return self.outside(node)
        if node not in self.known:
            j, turn, place = self.home[node]
            self.known[node] = made = self.names.give("row")
            recipe.lines.append(Line(made, PRIMITIVES["getitem"], (self.all_steps(j, place),), {"index": turn}))
            self.varying.add(made)
        return self.known[node]

    def stack_of_all(self, node: Node) -> list[Home] | None:
        """Is it a stack of what a loop makes at all its steps, in their order or the opposite one?"""
        if node.op.name != "stack" or node.params["axis"] != 0:
            return None
        homes = [self.home[x] for x in node.inputs if x is not None and x in self.home]
        if len(homes) != len(node.inputs) or len({(home.loop, home.place) for home in homes}) != 1:
            return None
        turns, every = [home.turn for home in homes], [*range(len(self.loops[homes[0].loop].steps))]
        return homes if turns in (every, every[::-1]) else None

    def in_order(self, homes: Sequence[Home], node: Node, recipe: Recipe) -> Name:
        """Such a stack: the array of all steps, or that array the other way round."""
        whole = self.all_steps(homes[0].loop, homes[0].place)
        if homes[0].turn == 0:
            return whole
        made = self.names.give(node.symbol, "reversed")
        recipe.lines.append(Line(made, PRIMITIVES["getitem"], (whole,), {"index": slice(None, None, -1)}))
        self.varying.add(made)
        return made

    def lines(self, node: Node, made: Name, operands: Sequence[Any], mask: Callable[[], Name]) -> Iterator[Line]:
        """The operation of a node. An index that picks one entry of each row, as a loss does, becomes a sum of products
        with a mask: 1 where an entry is picked, 0 elsewhere. All data are floats, so a condition becomes one again.
        """
        if picks(node):
            part = self.names.give("part")
            yield Line(part, PRIMITIVES["multiply"], (operands[0], mask()))
            yield Line(made, PRIMITIVES["sum"], (part,), {"axis": -1, "keepdims": False})
            if operands[0] in self.varying:
                self.varying.add(part)
        elif node.op.selects and isinstance(operands[0], Name):
            condition = self.names.give("condition")
            yield Line(condition, IS_TRUE, (operands[0],))
            yield Line(made, node.op, (condition, *operands[1:]), node.params)
        else:
            yield Line(made, node.op, tuple(operands), node.params)

    def _settle(self, stages: Sequence[Once | Repeat], loss: Name) -> None:
        """Say what each stage gives, and leave out the data that nothing reads."""
        wanted = {loss}
        for stage in reversed(stages):
            if isinstance(stage, Once):
                stage.recipe.gives = [line.made for line in stage.recipe.lines if line.made in wanted]
                needed = {*stage.recipe.gives}
                for line in reversed(stage.recipe.lines):
                    if line.made in needed:
                        needed |= {x for x in line.operands if isinstance(x, Name)}
                stage.recipe.lines = [line for line in stage.recipe.lines if line.made in needed]
            else:
                wanted |= {rows.source for rows in stage.rows.values()} | {state.first for state in stage.states}
            wanted |= set(stage.recipe.reads())
        for name in self.data.keys() - wanted:
            del self.data[name]

    def _compare(self, found: Program) -> None:
        """Refuse a program that does not compute what was recorded."""
        single = any(getattr(node.data, "dtype", None) == np.float32 for node in self.nodes)
        values = found.run()
        pairs = [(values[found.loss], self.root.data)]
        pairs += [(values[name][turn], node.data) for key, name in self.kept.items() if name in values
                  for turn, node in self.at[key].items()]
        for again, recorded in pairs:
            with np.errstate(invalid="ignore"):
                far = np.max(np.abs(again - recorded), initial=0.0)
            most = (CLOSE_IN_FLOAT32 if single else CLOSE) * np.max(np.abs(recorded), initial=0.0)
            if not (far <= most or np.array_equal(again, recorded, equal_nan=True)):
                raise NoProgramError(NOT_ALIKE)


class _Step:
    """Reads one step of a loop, as the pattern of all. What is done before the loop may be added to."""

    def __init__(self, reader: _Reader, j: int, before: Recipe) -> None:
        self.reader, self.j, self.before = reader, j, before
        self.T = len(reader.loops[j].steps)
        self.shapes = {np.shape(node.data) for node, home in reader.home.items() if home.loop == j}
        self.recipe = Recipe()
        self.local: dict[Place, Name] = {}  # what the step makes
        self.rows: dict[Name, Rows] = {}
        self.last: dict[Place, Name] = {}  # the states, by the place where they are made
        self.first: dict[Place, Name] = {}

    def stage(self) -> Repeat:
        """The loop."""
        reader = self.reader
        made = {place: nodes for (j, place), nodes in reader.at.items() if j == self.j}
        pattern = max(range(self.T), key=lambda turn: sum(turn in nodes for nodes in made.values()))
        nodes = sorted((nodes[pattern] for nodes in made.values() if pattern in nodes), key=lambda node: node.serial)
        for node in nodes:
            self.add(node, made[reader.home[node].place])
        if not self.last.keys() <= self.local.keys():
            raise NoProgramError(NOT_ALIKE)
        for place in self.last.keys() - self.first.keys():  # the first step read what came of a plain array: of zeros?
            self.start(place, None, np.zeros(()))
        states = [Handed(last, self.local[place], self.first[place]) for place, last in self.last.items()]
        read_later = {home.place for node in reader.nodes for x in node.inputs if x is not None
                      if (home := reader.home.get(x)) is not None and home.loop == self.j
                      and (node not in reader.home or reader.home[node].loop != self.j)}
        if reader.root in reader.home:
            read_later.add(reader.home[reader.root].place)
        kept = {name: reader.all_steps(self.j, place) for place, name in self.local.items()
                if place in read_later or place in self.last}
        self.recipe.gives = [*kept]
        places = {name: place for place, name in self.local.items()}
        return Repeat(self.recipe, self.T, self.rows, states, kept, places, reader.loops[self.j])

    def add(self, node: Node, same: dict[int, Node]) -> None:
        """One operation; `same` are the nodes that do it, by turn."""
        reader = self.reader
        place = reader.home[node].place
        if any(x.op is not node.op or len(x.inputs) != len(node.inputs) for x in same.values()):
            raise NoProgramError(NOT_ALIKE)
        if (row := self.row_of_one_array(same)) is not None:
            self.local[place] = row
            return
        operands = [self.operand({turn: (x.inputs[k], x.args[k]) for turn, x in same.items()})
                    for k in range(len(node.inputs))]
        self.local[place] = made = reader.names.give(node.symbol, node.op.name)

        def mask() -> Name:
            return self.known_rows([chosen(x) for x in same.values()])

        self.recipe.lines += reader.lines(node, made, operands, mask)

    # --------------------------------------------------------------------------------------------------- operands
    def operand(self, read: dict[int, tuple[Node | None, Any]]) -> Any:
        """An operand, from what the nodes that do the same read there, by turn: a node, or None, and the numbers."""
        reader = self.reader
        nodes = [x for x, _ in read.values()]
        homes = {turn: home for turn, (x, _) in read.items()
                 if x is not None and (home := reader.home.get(x)) is not None and home.loop == self.j}
        if homes:
            return self.made_in_loop(read, homes)
        if nodes[0] is not None and all(x is nodes[0] for x in nodes):
            return reader.read_outside(nodes[0], self.before)
        if all(x is not None and x in reader.home for x in nodes):
            return self.rows_of_loop([reader.home[x] for x in nodes if x is not None])
        if any(x is not None and x in reader.changes for x in nodes):
            raise NoProgramError("its steps read different things, and these depend on what is changed")
        values = [plain(value) for _, value in read.values()]
        if all(value is values[0] or np.array_equal(value, values[0]) for value in values):
            return reader.constant(values[0])
        if any(np.asarray(value).dtype == bool for value in values):
            raise NoProgramError("a condition was recorded as it came out, and not how it was computed")
        if any(x is not None and x.scope.step is not None and np.shape(x.data) in self.shapes for x in nodes):
            raise NoProgramError("something in its steps is detached, so that nothing shows how it was computed")
        return self.known_rows(values)

    def made_in_loop(self, read: dict[int, tuple[Node | None, Any]], homes: dict[int, Home]) -> Name:
        """Something that this step made, or the step before.

        The first step may read a plain array instead: the first state, or what is worked out from that alone.
        """
        places, delays = {home.place for home in homes.values()}, {turn - home.turn for turn, home in homes.items()}
        if max(delays) > 1:
            raise NoProgramError("its steps read more than the step before")
        if len(places) != 1 or len(delays) != 1 or not read.keys() - {0} <= homes.keys():
            raise NoProgramError(NOT_ALIKE)
        (place,), (delay,) = places, delays
        if delay == 0:
            if place not in self.local:
                raise NoProgramError(NOT_ALIKE)
            return self.local[place]
        if 0 in read:
            self.start(place, *read[0])
        return self.state(place)

    def state(self, place: Place) -> Name:
        """The state of the step before."""
        if place not in self.last:
            self.last[place] = self.reader.names.give(f"{self.called(place)}_prev")
            self.reader.varying.add(self.last[place])
        return self.last[place]

    def start(self, place: Place, first: Node | None, numbers: Any) -> None:
        """Take down from what a state starts."""
        reader = self.reader
        if first is not None and first in reader.changes and first.op is not None:
            self.first.setdefault(place, reader.read_outside(first, self.before))
        elif place not in self.first:
            shape = np.shape(next(iter(reader.at[self.j, place].values())).data)
            self.first[place] = reader.array(np.broadcast_to(plain(numbers), shape), f"{self.called(place)}_first")

    def called(self, place: Place) -> str:
        """What a state is called."""
        return next(iter(self.reader.at[self.j, place].values())).symbol or "state"

    def row_of_one_array(self, same: dict[int, Node]) -> Name | None:
        """Does each step read a row of its own of one array, ``xs[t]``? Then that is an input."""
        indices: list[Any] = [node.params.get("index") for node in same.values()]
        sources = [node.inputs[0] for node in same.values()]
        source = sources[0]
        if (source is None or source in self.reader.home or any(x is not source for x in sources)
                or len(same) != self.T or len({*map(repr, indices)}) == 1
                or not all(isinstance(index, (int, np.integer)) for index in indices)):
            return None
        wish = next(iter(same.values())).symbol or "x"
        return self.given(self.reader.outside(source), [int(index) % len(source.data) for index in indices], wish)

    def rows_of_loop(self, homes: Sequence[Home]) -> Name:
        """What another loop made, a row for each step."""
        if len(homes) != self.T or len({(home.loop, home.place) for home in homes}) != 1:
            raise NoProgramError(NOT_ALIKE)
        return self.given(self.reader.all_steps(homes[0].loop, homes[0].place), [home.turn for home in homes], "x")

    def known_rows(self, values: Sequence[Any]) -> Name:
        """Numbers that are known beforehand and differ from step to step."""
        if len(values) != self.T or len({np.shape(value) for value in values}) != 1:
            raise NoProgramError(NOT_ALIKE)
        return self.given(self.reader.array(np.stack([*map(plain, values)]), "inputs"), [*range(self.T)], "x")

    def given(self, source: Name, order: list[int], wish: str) -> Name:
        """An input of the step."""
        rows = Rows(source, order)
        for name, other in self.rows.items():
            if other == rows:
                return name
        name = self.reader.names.give(wish)
        self.rows[name] = rows
        if source in self.reader.varying:
            self.reader.varying.add(name)
        return name


# ------------------------------------------------------------------------------------- one entry of each row, x[i, y]
def picks(node: Node) -> bool:
    """Does it pick one entry of each row, ``x[arange(n), y]``?"""
    x, index = node.inputs[0], node.params.get("index")
    if x is None or np.ndim(x.data) != 2 or not isinstance(index, tuple) or len(index) != 2:
        return False
    n = len(x.data)
    return all(isinstance(i, np.ndarray) and i.dtype.kind in "iu" and i.shape == (n,) for i in index) and bool(
        np.array_equal(index[0], np.arange(n)))


def chosen(node: Node) -> np.ndarray:
    """1 where an entry is picked, 0 elsewhere."""
    mask = np.zeros(np.shape(node.args[0]))
    mask[node.params["index"]] = 1.0
    return mask
