"""The recorder: how far back the gradient reaches while a net is trained. One sees memory grow, or not.

Inside your training step::

    recorder = viz.Recorder(every=50)

    def step(batch):
        x, y = batch
        hs, _ = net(x)
        loss = nn.cross_entropy(head(hs), y)
        recorder(lambda: nn.cross_entropy(head(hs[-1]), y[-1]))   # of the last step alone; made only when it is due
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.item()

A profile over lags is that of *one* loss, so record the loss of the last step, not the sum over all steps, to which
every step adds. Put the recorder into ``fit(..., saved={"recorder": recorder, ...})`` and a run that is killed and
taken up again goes on recording where it was.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.backward import reverse
from microgradrnn.files import DamagedFileError, read_whole, write_whole
from viz.flow.drawable import Drawable
from viz.flow.horizon import Horizon, horizon
from viz.flow.messages import Arrival, gradient_flow
from viz.flow.ragged import leaves_out
from viz.graph.identities import identities
from viz.graph.reachable import reachable
from viz.graph.root import as_node
from viz.graph.steps import is_linear, recurrent
from viz.graph.trace import norm, traced


class Recorder(Drawable):
    """Writes down, every n updates, the profile of a state, its horizon, the share of its carry and the gates' means.

    The state is one of the loop made last, and so are the gates, unless `layer` says otherwise. In a bidirectional net
    the last is the one that reads backwards, whose lag 0 is the first time step: the loss of the last step gives it
    nothing there, and no horizon.

    Args:
        every: after how many updates to record; the first one is recorded too.
        state: which state of the layer to follow, by its symbol or role; by default the cell state if there is one,
            else the hidden state.
        layer: which unrolled layer, the last by default. Another one has to be searched for in the whole graph: a
            record then takes as long as some twenty reverse passes, not one.
        fraction: the horizon is the largest lag at which the norm is above this fraction of its start.

    Attributes:
        count: how many updates were seen.
        updates: the numbers of those that were recorded, from 0.

    Raises:
        ValueError: if every is below 1.

    >>> from microgradrnn import nn
    >>> recorder, lstm = Recorder(every=2), nn.LSTM(3, 4, rng=0)
    >>> for update in range(5):
    ...     hs, (h, c) = lstm(np.ones((6, 1, 3)))
    ...     recorder(h.sum())
    >>> recorder
    Recorder(every=2, 3 of 5 updates recorded, ∂L/∂c, 6 lags, gates f, i, o)
    >>> recorder.norms.shape, recorder.gates["f"].shape
    ((3, 6), (3, 6))
    """

    def __init__(self, every: int = 50, *, state: str | None = None, layer: int = -1, fraction: float = 0.01) -> None:
        if every < 1:
            raise ValueError(f"Recorder: every must be at least 1, got {every}")
        if not 0 < fraction < 1:
            raise ValueError(f"Recorder: fraction must lie between 0 and 1, got {fraction!r}")
        self.every, self.state, self.layer, self.fraction = every, state, layer, fraction
        self.count = 0
        self.updates: list[int] = []
        self.symbol = ""
        self._rows: dict[str, list[list[float]]] = {"norms": [], "carry": []}  # by lag; also one for each gate

    def __repr__(self) -> str:
        return (f"Recorder(every={self.every}, {len(self.updates)} of {self.count} updates recorded, "
                f"∂L/∂{self.symbol or '?'}, {self.norms.shape[1]} lags, gates {', '.join(self.gates) or 'none'})")

    @property
    def due(self) -> bool:
        """Will the next call record?"""
        return self.count % self.every == 0

    def __call__(self, loss: Node | Callable[[], Node]) -> None:
        """Count an update, and record it if it is due. Touches no ``.grad``; `backward` may come before or after.

        Args:
            loss: the loss, or a function that makes it, which is called only if a record is due.

        Raises:
            TypeError: if that is no loss.
            ValueError: if its graph has no time steps, no such state or no such layer, or if the state is not the one
                that was recorded before.
            RuntimeError: if no state is marked, and the optimiser has already changed the weights that the loss was
                computed from.
        """
        update, due = self.count, self.due
        if due:
            self._record(loss() if callable(loss) and not isinstance(loss, Node) else loss, update)
        self.count += 1

    def _record(self, loss: Any, update: int) -> None:
        loss = as_node("Recorder", loss)
        if not isinstance(loss, Node):
            raise TypeError(f"Recorder: expected a loss (or a function that makes one), got {type(loss).__name__}")
        nodes = reachable(loss)
        at = marked_states(nodes, self.state) if self.layer == -1 else {}
        same = identities(nodes) if at else {}
        plain = {*same, *same.values()}.isdisjoint(at.values())
        measured = watched(loss, nodes, at) if at and plain else None
        if measured is not None:
            symbol, arrivals, path = measured
            gates = [x for x in nodes[beginning(nodes, at):] if x.role == "gate" and x.scope.path[: len(path)] == path]
        else:
            symbol, arrivals, gates = from_flow(loss, self.state, self.layer)
        if not arrivals:
            raise ValueError(f"Recorder: this loop hands on no ∂L/∂{symbol}, so there is nothing to record; of a "
                             'single step the state that the loss reads must be marked: mark(h, "h", role="hidden")')
        if self.updates and symbol != self.symbol:
            raise ValueError(f"Recorder: so far ∂L/∂{self.symbol} was recorded, and this is ∂L/∂{symbol}; mixed "
                             "records would mislead: a recorder for each net and state, Recorder(state=...)")
        lags = range(max(arrivals) + 1)
        said = [arrivals.get(lag) for lag in lags]
        norms = [a.total if a else math.nan for a in said]
        carry = [a.carry / (a.carry + a.rest) if a and a.carry + a.rest > 0 else math.nan for a in said]
        steps = {a.step: lag for lag, a in arrivals.items()}
        found = {"norms": norms, "carry": carry, **gate_means(gates, steps, len(lags))}
        for name in {**self._rows, **found}:
            rows = self._rows.setdefault(name, [[] for _ in self.updates])
            rows.append(found.get(name, []))
        self.symbol = symbol
        self.updates.append(update)

    # -------------------------------------------------------------------------------------------- the numbers
    @property
    def norms(self) -> np.ndarray:
        """The norm of the gradient at the state, (records, lags). NaN where a record did not reach that far back."""
        return table(self._rows["norms"])

    @property
    def carry(self) -> np.ndarray:
        """The share that was carried over directly from the step after, by norm, (records, lags)."""
        return table(self._rows["carry"])

    @property
    def gates(self) -> dict[str, np.ndarray]:
        """For each marked gate its mean over batch and units, (records, lags)."""
        return {name[5:]: table(rows) for name, rows in sorted(self._rows.items()) if name.startswith("gate ")}

    @property
    def horizons(self) -> np.ndarray:
        """The horizon of each record as a number; NaN where there was none. `horizon` says which are open."""
        found = (self.horizon(j) for j in range(len(self.updates)))
        return np.array([math.nan if last is None else last for last in found], float)

    def horizon(self, record: int = -1) -> Horizon | None:
        """The horizon of one record, by default the last; it is open where the record does not reach beyond."""
        norms = self._rows["norms"][record]
        return horizon(range(len(norms)), norms, self.fraction)

    def records(self) -> list[dict[str, Any]]:
        """One dict for each record and lag, ready for ``pandas.DataFrame``."""
        norms, carry, gates, horizons = self.norms, self.carry, self.gates, self.horizons
        is_open = [last is not None and last.open for last in map(self.horizon, range(len(self.updates)))]
        return [
            {"update": update, "state": self.symbol, "lag": lag, "norm": float(norms[j, lag]),
             "carry": float(carry[j, lag]), "horizon": float(horizons[j]), "open": is_open[j],
             **{f"mean {name}": float(means[j, lag]) for name, means in gates.items()}}
            for j, update in enumerate(self.updates) for lag in range(norms.shape[1]) if not math.isnan(norms[j, lag])
            or lag == 0
        ]

    # -------------------------------------------------------------------------------------------- to files and back
    def state_dict(self) -> dict[str, Any]:
        """All that was recorded, as arrays, for checkpoints."""
        return {"count": self.count, "updates": np.array(self.updates, int), "horizons": self.horizons,
                "symbol": self.symbol, "every": self.every, "fraction": self.fraction, "layer": self.layer,
                "state": self.state or "",
                **{name: table(rows) for name, rows in self._rows.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what was recorded.

        Raises:
            ValueError: if it was recorded at other intervals, with another fraction or of another state or layer, or is
                no recorder's.
        """
        missing = {"count", "updates", "horizons", "symbol", "every", "fraction", "layer", "state", "norms",
                   "carry"} - state.keys()
        if missing:
            raise ValueError(f"Recorder: this is not what a recorder wrote; it has no {', '.join(sorted(missing))}")
        for name in ("every", "fraction"):
            if float(state[name]) != getattr(self, name):
                raise ValueError(f"Recorder: this was recorded with {name}={float(state[name]):g} and is to go on with "
                                 f"{name}={getattr(self, name):g}; mixed records would mislead")
        of, own = (int(state["layer"]), str(state["state"]) or None), (self.layer, self.state)
        if of != own:
            raise ValueError("Recorder: this was recorded with layer={}, state={!r} and is to go on with layer={}, "
                             "state={!r}; mixed records would mislead".format(*of, *own))
        count, symbol = int(state["count"]), str(state["symbol"])
        updates = [int(n) for n in state["updates"]]
        rows = {name: [[float(x) for x in row] for row in state[name]] for name in state
                if name in ("norms", "carry") or name.startswith("gate ")}
        if updates != sorted(set(updates)) or not all(0 <= n < count for n in updates):
            raise ValueError(f"Recorder: the numbers of the updates do not rise from 0 to below the count, {count}")
        if {len(updates)} != {len(updates), *map(len, rows.values())}:
            raise ValueError("Recorder: there is not one row for each update")
        self.count, self.symbol, self.updates, self._rows = count, symbol, updates, rows

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a plain ``.npz`` file: arrays and no program."""
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in self.state_dict().items()}
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_whole(path, content.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recorder:
        """A recorder from a file that `save` wrote.

        Raises:
            DamagedFileError: if the file is something else, or damaged.
        """
        raw = read_whole(path)
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as file:
                state = {name: file[name] for name in file.files}
            made = cls()
            if {"every", "fraction", "layer", "state"} <= state.keys():
                made = cls(int(state["every"]), state=str(state["state"]) or None, layer=int(state["layer"]),
                           fraction=float(state["fraction"]))
            made.load_state_dict(state)
        except Exception as error:  # whatever a damaged file makes the readers raise
            raise DamagedFileError(f"Recorder: {os.fspath(path)} is not a file that Recorder.save wrote "
                                   f"({type(error).__name__}: {error})") from error
        return made

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return super()._repr_mimebundle_(include, exclude) if self.updates else {"text/plain": repr(self)}


# ------------------------------------------------------------------------------------------------ the measurement
def marked_states(nodes: list[Node], wanted: str | None) -> dict[int, Node]:
    """The states to follow, step by step, as they are marked; of loops of one name the last one's."""
    found = [x for x in nodes if x.op is not None and x.scope.step is not None
             and (x.role in ("cell", "hidden") if wanted is None else wanted in (x.symbol, x.role))]
    if not found:
        return {}
    found = [x for x in found if x.scope.path == found[-1].scope.path]
    role = "cell" if any(x.role == "cell" for x in found) else found[-1].role
    at: dict[int, Node] = {}
    now = None
    for x in found:
        if x.role == role and x.scope.step is not None:
            if x.scope.step != now and x.scope.step in at:
                at = {}  # the step comes round again: another loop begins
            now = x.scope.step
            at[now] = x
    if len(at) > 1 and at.keys().isdisjoint(handed_on(nodes, set(at.values()))):
        return {}  # what is handed on is something else, the output in Jordan's net, or what was made of the state
    return at


def handed_on(nodes: list[Node], states: set[Node]) -> Iterator[int]:
    """The steps of the states that another step reads."""
    for node in nodes:
        for x in node.inputs:
            if x in states and x is not None and node.scope.step not in (None, x.scope.step):
                yield x.scope.step or 0


def beginning(nodes: list[Node], at: dict[int, Node]) -> int:
    """Where in the nodes, which come as they were made, the first step of the loop begins."""
    if not at:
        return 0
    first = min(at.values(), key=lambda x: x.serial)
    before = (j for j, x in enumerate(nodes) if x.serial < first.serial and x.scope.step != first.scope.step)
    return max(before, default=-1) + 1


def watched(
    loss: Node, nodes: list[Node], at: dict[int, Node]
) -> tuple[str, dict[int, Arrival], tuple[str, ...]] | None:  # fmt: skip
    """What arrives at these states, by lag, and their path: one reverse pass that leaves the weights out, no graph.

    None for a padded batch, whose sequences have lags of their own: `from_flow` tells them apart.
    """
    states = set(at.values())
    youngest = max(states, key=lambda x: x.serial)
    marked = {x for x in nodes if x.role in ("cell", "hidden") and x.scope.path == youngest.scope.path} | states
    carried = {edge for state in marked for edge in carried_into(state, marked)}
    parts: dict[tuple[Node, bool], Any] = {}

    def observe(consumer: Node, k: int, x: Node, message: Any) -> None:
        if x in states:
            part, dense = (x, (consumer, k) in carried), np.asarray(message)
            parts[part] = parts[part] + dense if part in parts else dense

    gradients = {}
    for x, g in reverse(loss, targets=list(states), observe=observe):
        if x in states:
            if leaves_out(g):
                return None
            gradients[x] = norm(g)
    steps = dict.fromkeys(x.scope.step or 0 for x in sorted(marked, key=lambda x: -x.serial))
    lag_of = {step: lag for lag, step in enumerate(steps)}
    symbol = youngest.symbol or str(youngest.role)
    return symbol, {
        lag_of[step]: Arrival(symbol, step, lag_of[step], gradients.get(x, 0.0),
                              norm(parts.get((x, True), 0.0)), norm(parts.get((x, False), 0.0)))
        for step, x in sorted(at.items(), key=lambda pair: lag_of[pair[0]])
    }, youngest.scope.path


def carried_into(state: Node, states: set[Node]) -> Iterator[tuple[Node, int]]:
    """The edges by which states of other steps come into this one through products, sums and moves alone."""
    stack, seen = [state], {state}
    while stack:
        node = stack.pop()
        if node.op is None or node.scope.step != state.scope.step or node.role in ("gate", "candidate"):
            continue
        for k, x in enumerate(node.inputs):
            if not is_linear(node.op.name, k):
                continue
            if x in states and x is not state:
                if x.scope.step != state.scope.step:  # what goes on from a state of the same step is its own affair
                    yield node, k
            elif x is not None and x not in seen:
                seen.add(x)
                stack.append(x)


def from_flow(loss: Node, wanted: str | None, layer: int) -> tuple[str, dict[int, Arrival], list[Node]]:
    """The same of any layer, marked or not, and its gates: slower, because the graph must be searched for them."""
    flow = gradient_flow(loss)
    symbol, arrivals = flow.profile(wanted, layer).state, {a.lag: a for a in flow.split(wanted, layer)}
    one = recurrent(flow.graph)[layer]
    inside = set() if flow.running(one) is not None else one.step_of().keys()  # gates are means over the whole batch
    return symbol, arrivals, [x for x, name in traced(loss)[1].items() if x.role == "gate" and name in inside]


def gate_means(gates: list[Node], lag_at: dict[int, int], lags: int) -> dict[str, list[float]]:
    """For each marked gate the mean over batch and units, by lag. Of gates of one name the youngest counts."""
    found: dict[str, list[float]] = {}
    for node in gates:
        if node.scope.step in lag_at and node.symbol is not None:
            row = found.setdefault(f"gate {node.symbol}", [math.nan] * lags)
            row[lag_at[node.scope.step]] = float(np.mean(node.data))
    return found


def table(rows: list[list[float]]) -> np.ndarray:
    """Rows of different lengths as one array, filled up with NaN.

    >>> table([[1.0], [2.0, 3.0]])
    array([[ 1., nan],
           [ 2.,  3.]])
    """
    filled = np.full((len(rows), max(map(len, rows), default=0)), math.nan)
    for j, row in enumerate(rows):
        filled[j, : len(row)] = row
    return filled


# ------------------------------------------------------------------------------------------------ the drawing
