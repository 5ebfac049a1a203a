"""Which time step a node belongs to, and the gradient of a leaf kept apart by time step.

Rules are linear in the cotangent, so a gradient can be split wherever it is cut: what one step sends to a weight,
or to anything worked out from weights and inputs before the loop, is kept apart, and each part is pulled back on its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.backward import ancestors, reverse
from microgradrnn.engine.cotangent import Deferred, Scatter, fit
from viz.graph.identities import without_identities
from viz.graph.reachable import reachable
from viz.graph.steps import HIDDEN, SUMS, Layer, no_steps, recurrent, states
from viz.graph.trace import traced

MANY = "several"
Label = int | str | None  # a step; several steps; before any step
Rows = dict[int, slice]
Split = dict[Node, dict[int | None, Any]]  # for each parameter, its gradient by step; None: of no step


class Places:
    """To which time step the nodes of a graph belong.

    Steps are counted in the order of execution. Loops that go through time side by side, the layers of a deep net,
    share their numbers: the upper one reads at each step what the lower one made at that step. Any other loop that
    reads from an earlier one comes after it, and its steps are counted on from there: a decoder behind its encoder, a
    net that is called again with the state it handed on, a net that reads the outputs of another in another order. (A
    single step is no loop: it counts as a part of the loop that it exchanges most with, under its own number.)

    Attributes:
        root: what they lead to, without identities; `place` says which node of it stands for one of the given graph.
        label: for each node its step: where it was made, or else the one step that it was worked out from; MANY if it
            was worked out from several, None if from none (weights, and what is worked out before the loop).
        rows: for the nodes of many steps that keep them apart along their first axis: which rows are whose.
        used: for the same nodes, the rows by the step that reads them, if it is a step that does (``x[t]``), else by
            the step they are from; None is for rows that several steps read.
        steps: all steps, in the order of time, and `turn`: which one each is. A lag is a difference of turns.

    Raises:
        ValueError: if nothing was made inside a time step.
    """

    def __init__(self, root: Node, who: str = "time steps") -> None:
        self.root, self.place = without_identities(root)
        self.graph, self.ids = traced(self.root)
        named = {name: node for node, name in self.ids.items()}
        self.loops = recurrent(self.graph)
        self.step = {named[name]: step for layer in self.loops for name, step in layer.step_of().items()}
        self.loop = {named[name]: i for i, layer in enumerate(self.loops) for name in layer.step_of()}
        nodes = reachable(self.root)
        self.label: dict[Node, Label] = {}
        self.rows: dict[Node, Rows] = {}
        self.shifts = [0] * len(self.loops)
        self._read(nodes)
        self.shifts = shifts(self, nodes)
        if any(self.shifts):
            self._read(nodes)
        self.used = self._used(nodes)
        self.steps = sorted({step for step in self.label.values() if isinstance(step, int)})
        self.turn = {step: t for t, step in enumerate(self.steps)}
        if not self.steps:
            raise ValueError(f"{who}: {no_steps(self.graph)}")

    def _read(self, nodes: Sequence[Node]) -> None:
        self.label, self.rows = {}, {}
        for node in nodes:
            self.label[node] = self._label(node)

    def _label(self, node: Node) -> Label:
        if node.op is None:
            return None
        if node in self.step:
            return self.step[node] + self.shifts[self.loop[node]]
        made_of = {self.label[x] for x in node.inputs if x is not None} - {None}
        if len(made_of) == 1 and MANY not in made_of:
            return made_of.pop()
        if not made_of:
            return None
        rows = self._rows(node)
        if isinstance(rows, int):
            return rows
        if rows is not None:
            self.rows[node] = rows
        return MANY

    def _used(self, nodes: Sequence[Node]) -> dict[Node, list[tuple[int | None, slice]]]:
        """The rows by the step that reads them."""
        readers: dict[Node, dict[int, set[Label]]] = {}  # for each node and row: the steps that read it
        for node in reversed(nodes):
            for x in dict.fromkeys(node.inputs):
                if x is None or x not in self.rows:
                    continue
                if node in self.step and (place := row_taken(node)) is not None:
                    readers.setdefault(x, {}).setdefault(place, set()).add(self.label[node])
                elif node in readers and self.rows.get(node) == self.rows[x]:
                    for place, steps in readers[node].items():
                        readers.setdefault(x, {}).setdefault(place, set()).update(steps)
        found: dict[Node, list[tuple[int | None, slice]]] = {}
        for x, rows in self.rows.items():
            found[x] = []
            for step, own in rows.items():
                steps = set().union(*(readers.get(x, {}).get(place, ()) for place in range(own.start, own.stop)))
                one: Any = step if not steps else steps.pop() if len(steps) == 1 else None
                found[x].append((one, own))
        return found

    def _rows(self, node: Node) -> Rows | int | None:
        """Which rows are whose; a step, if one row was taken out; None if it cannot be told."""
        name, params = node.op.name, node.params
        inputs = [x for x in node.inputs if x is not None]
        if name == "stack" and params["axis"] == 0 and len(inputs) == len(node.inputs):
            own = [self.label[x] for x in inputs]
            if len(set(own)) == len(own) and all(isinstance(step, int) for step in own):
                return {step: slice(i, i + 1) for i, step in enumerate(own)}  # type: ignore[misc]
            return None
        many = [x for x in inputs if self.label[x] == MANY]
        if not many or any(self.rows.get(x) != self.rows.get(many[0]) for x in many) or many[0] not in self.rows:
            return None
        x, rows = many[0], self.rows[many[0]]
        before, after = np.shape(x.data), np.shape(node.data)
        if name == "getitem":
            return _taken(rows, params["index"], before[0])
        if name == "reshape" and after and after[0] and after[0] % before[0] == 0:
            m = after[0] // before[0]
            return {step: slice(m * own.start, m * own.stop) for step, own in rows.items()}
        same = len(after) == len(before) and after[0] == before[0]
        if name in ("affine", "matmul") and (node.inputs[0] is not x or len(many) > 1 or len(before) < 2):
            return None
        if name in ("concat", "stack") and params["axis"] == 0:
            return None
        kept = node.op.elementwise or name in ("affine", "matmul", "concat", "index_update")
        return rows if kept and same else None

    def by_step(self, node: Node, g: Any) -> Iterator[tuple[int, Any]]:
        """A cotangent of a node, split by step."""
        label = self.label[node]
        if isinstance(label, int):
            yield label, g
            return
        if node not in self.rows:
            raise ValueError(f"{node.op.name if node.op else 'a leaf'}{node.scope} mixes several time steps, and the "
                             "loss and the recurrence both read it: give the losses of the steps one by one")
        for step, rows in self.rows[node].items():
            part = np.zeros_like(g)
            part[rows] = g[rows]
            yield step, part

    def shift(self, nodes: Iterable[Node]) -> int:
        """What was added to the step numbers of the loop that these nodes are of."""
        return next(self.shifts[self.loop[node]] for node in nodes)

    def recurrence(self) -> set[Node]:
        """The states of all steps, and all that they were worked out from."""
        nodes = {name: node for node, name in self.ids.items()}
        found: set[Node] = set()
        for layer in self.loops:
            found |= {nodes[name] for name in states(self.graph, layer)}
        if not found:  # one step hands nothing on: marks must do
            found = {node for node in self.ids if node.role in ("hidden", "cell") and isinstance(self.label[node], int)}
        stack = list(found)
        while stack:
            for x in stack.pop().inputs:
                if x is not None and x not in found:
                    found.add(x)
                    stack.append(x)
        return found


def shifts(places: Places, nodes: Sequence[Node]) -> list[int]:
    """How much is to be added to the step numbers of each loop, so that all are counted in the order of execution."""
    loop, loops = places.loop, places.loops
    made_of: dict[Node, frozenset[int]] = {}  # for nodes outside a loop: the loops that they were worked out from
    read: list[dict[int, set[tuple[int, int]]]] = [{} for _ in loops]  # by loop, and loop read: steps (reader, read)
    for node in nodes:
        sources = {x: frozenset([loop[x]]) if x in loop else made_of[x] for x in node.inputs if x is not None}
        made_of[node] = frozenset().union(*sources.values())
        if node not in loop:
            continue
        for x, behind in sources.items():
            at = places.label[x]
            if at == MANY and (place := row_taken(node)) is not None:
                rows = places.rows.get(x, {})
                at = next((step for step, own in rows.items() if own.start <= place < own.stop), place)
            for other in behind - {loop[node]}:
                pairs = read[loop[node]].setdefault(other, set())
                if isinstance(at, int):
                    pairs.add((places.step[node], at))
    found: list[int] = []
    for i, layer in enumerate(loops):
        shift = 0
        for other in sorted(read[i].keys() & set(range(i))):
            if _side_by_side(layer, loops[other], read[i][other]):
                shift = max(shift, found[other])
            else:
                shift = max(shift, found[other] + max(loops[other].steps) + 1 - min(layer.steps))
        before = [other for other in range(i) if _goes_on(places, other, i)]
        for other in before[-1:]:
            shift = max(shift, found[other] + max(loops[other].steps) + 1 - min(layer.steps))
        found.append(shift)
    return found


def _goes_on(places: Places, earlier: int, later: int) -> bool:
    """Does a loop start from the numbers that another of the same scopes ended with, without its graph? (`detach`)"""
    before, after = places.loops[earlier], places.loops[later]
    if before.path != after.path:
        return False
    nodes = {name: node for node, name in places.ids.items()}
    ended = [np.asarray(nodes[name].data) for name in states(places.graph, before)
             if name in before.steps[before.last].values()]
    began = [arg for name in after.steps[after.order[0]].values() if (node := nodes[name]).op is not None
             for x, arg in zip(node.inputs, node.args, strict=True) if x is None or not x.requires_grad]
    return any(np.any(end) and np.array_equal(end, start) for end in ended for start in began)


def _side_by_side(layer: Layer, other: Layer, pairs: set[tuple[int, int]]) -> bool:
    """Does a loop read at each step what another made at the same step, and nothing of later ones?"""
    same = sum(reader == step for reader, step in pairs)
    turn = {step: i for i, step in enumerate(other.order)}
    ahead = any(turn.get(step, 0) > turn.get(reader, len(turn)) for reader, step in pairs)
    return not ahead and (same > 1 or (same == 1 == len(layer.steps) and layer.path != other.path))


def row_taken(node: Node) -> int | None:
    """The row that ``x[t]`` takes out; None of anything else."""
    if node.op is None or node.op.name != "getitem":
        return None
    index = node.params["index"]
    first = index[0] if isinstance(index, tuple) and index else index
    if not isinstance(first, (int, np.integer)) or isinstance(first, (bool, np.bool_)):
        return None
    return int(first) % np.shape(node.args[0])[0]


def _taken(rows: Rows, index: Any, length: int) -> Rows | int | None:
    """The rows after ``x[index]``."""
    first = index[0] if isinstance(index, tuple) and index else index
    if isinstance(first, (int, np.integer)):
        place = int(first) % length
        return next((step for step, own in rows.items() if own.start <= place < own.stop), None)
    if first is Ellipsis and isinstance(index, tuple) and len(index) > 1:
        return None
    if isinstance(first, slice):
        if any(own.stop - own.start != 1 for own in rows.values()):
            return rows if first == slice(None) else None
        places = {place: i for i, place in enumerate(range(length)[first])}
        return {step: slice(places[own.start], places[own.start] + 1) for step, own in rows.items()
                if own.start in places}
    return None


class Sorter:
    """Collects the gradient of some leaves, filed under keys: the steps that used them, or lags.

    Args:
        leaves: by what the roots are differentiated.
        places: of a graph that holds the roots.

    Raises:
        ValueError: if a checkpoint hides steps that use the leaves.
    """

    def __init__(self, leaves: Sequence[Node], places: Places) -> None:
        self.leaves, self.wanted, self.places = leaves, set(leaves), places
        self.leading = ancestors(places.root, leaves)
        if any(node.op is not None and node.op.name == "checkpoint" for node in self.leading):
            raise ValueError(f"shares: {HIDDEN}")
        self.found: Split = {}
        self.waiting: Split = {}  # what was worked out before the loop, with its parts: pulled back at the end

    def differentiate(
        self, root: Node, *, key: Callable[[int], int] = lambda step: step,
        keep: Callable[[Node, int], bool] | None = None,
    ) -> None:
        """One reverse pass: what the steps send to whatever was there before the loop.

        Args:
            root: what to differentiate.
            key: what to file a step's part under.
            keep: as in `backward`: which messages are sent.
        """
        label, rows = self.places.label, self.places.used

        def observe(consumer: Node, k: int, x: Node, message: Any) -> None:
            step = label.get(consumer)
            if step is None or label.get(x) is not None or (step == MANY and consumer in rows):
                return  # those with rows: in the loop below, row by row
            known = isinstance(step, int) and not _adds_penalty(consumer, x)
            self._file(x, key(step) if known else None, message)  # type: ignore[arg-type]

        for node, g in reverse(root, targets=self.leaves, observe=observe, keep=keep):
            if label.get(node) == MANY and node in rows:
                before = [k for k, x in enumerate(node.inputs) if x in self.leading and label[x] is None
                          and (keep is None or keep(node, k))]
                if before:
                    for step, own in rows[node]:
                        self._pull_rows(node, own, g[own], None if step is None else key(step), before)

    def split(self) -> Split:
        """The gradient of every leaf by key."""
        for x, parts in self.waiting.items():
            for key, g in parts.items():
                for node, part in reverse(x, g, targets=self.leaves):
                    if node in self.wanted:
                        added(self.found.setdefault(node, {}), key, part)
        self.waiting = {}
        return self.found

    def _file(self, x: Node, key: int | None, message: Any) -> None:
        """A part of the cotangent of something from before the loop."""
        if x not in self.leading:
            return
        if x in self.wanted:
            added(self.found.setdefault(x, {}), key, message)
        elif isinstance(message, Scatter) and type(message.index) is int:
            self._pull_rows(x, slice(message.index, message.index + 1), message.values[None], key)
        else:
            added(self.waiting.setdefault(x, {}), key, message)

    def _pull_rows(
        self, node: Node, rows: slice, g: np.ndarray, key: int | None, only: Sequence[int] | None = None
    ) -> None:
        """The cotangent of some rows of a node, on to its inputs (or only to some of them).

        One step's rows are a T-th of the whole: T steps pulled back one by one cost no more than all at once.
        """
        cut = _rows_of_inputs(node, rows)
        for k, x in enumerate(node.inputs):
            if x not in self.leading or x is None or (only is not None and k not in only):
                continue
            if cut is None:
                whole = Scatter(g, rows, node.data.shape)
                if only is None:
                    added(self.waiting.setdefault(node, {}), key, whole)
                    return
                self._file(x, key, _message(node, whole.dense(), k, x))
                continue
            args, params = cut
            message = fit(node.op.pull(k, g, node.data[rows], args, params), args[k])
            if args[k] is node.args[k]:
                self._file(x, key, message)
            elif x.op is None:
                added(self.found.setdefault(x, {}), key, Scatter(message, rows, x.data.shape))
            else:
                self._pull_rows(x, rows, np.asarray(message), key)


def _rows_of_inputs(node: Node, rows: slice) -> tuple[list[Any], dict[str, Any]] | None:
    """The operands and settings with which the operation makes these rows alone; None if it is not that simple."""
    if node.op is None:
        return None
    args, params = list(node.args), node.params
    if node.op.name in ("affine", "matmul") and np.ndim(args[0]) == np.ndim(node.data) > 1 and np.ndim(args[1]) == 2:
        args[0] = args[0][rows]
        if len(args) == 3 and np.shape(args[2]) == node.data.shape:
            args[2] = args[2][rows]
        return args, params
    index = params.get("index")
    if node.op.name == "getitem" and isinstance(index, np.ndarray) and index.dtype != bool and index.ndim:
        return args, {"index": index[rows]}
    return None


def _adds_penalty(node: Node, x: Node) -> bool:
    """Is x, worked out from weights alone, added to single numbers outside the steps? Then it belongs to no step."""
    return node.scope.step is None and np.ndim(node.data) == 0 and node.op.name in SUMS and x.op is not None


def _message(node: Node, g: Any, k: int, x: Node) -> Any:
    """What a node sends to its k-th input alone."""
    passed = reverse(node, g, targets=[x], since=node.serial, keep=lambda consumer, j: j == k)
    return next((message for one, message in passed if one is x), 0.0)


def added(sums: MutableMapping[Any, Any], key: Any, g: Any) -> None:
    """sums[key] += g, into an array of our own. What the engine put off is not worked out in full."""
    if key not in sums:
        sums[key] = np.array(g)
    elif isinstance(g, Deferred):
        g.add_to(sums[key])
    else:
        sums[key] += g
