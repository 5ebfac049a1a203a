"""A lane: everything that the page knows about one recurrent layer of one net, as a dict that JSON can hold.

Arrays have a column for each step, in the order in which the loop took them: the last column is the step at which the
loop ended, lag 0. In a padded batch the profiles and the ways count the lags of each sequence from its own end, as
everywhere in `viz`; messages, values and heat maps belong to the steps themselves. Gradients are in double precision:
single precision would show 10⁻⁵⁰ as exactly zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.backward import reverse
from viz.explorer.cell import Stamp, shape
from viz.explorer.encode import array, finite
from viz.explorer.live import Live, live
from viz.explorer.sweep import sweep
from viz.explorer.weights import weights
from viz.flow.blame import Apart, errors_of
from viz.flow.compare import Track, from_flow, of_ways, one_of
from viz.flow.cuts import Cuts, cuts
from viz.flow.finding import finding, main_profile
from viz.flow.messages import Flow, Profile, gradient_flow, profiles
from viz.graph.cell_key import cell_key
from viz.graph.equations import Equations
from viz.graph.labels import need_labels
from viz.graph.recorded import recorded_equations
from viz.graph.steps import Layer, recurrent
from viz.graph.trace import norm, traced
from viz.layout.lanes import is_backwards
from viz.pictures.comparison import colour
from viz.theme import DARK, DEFAULT

UNITS = 64  # of a state that heat maps show
ITEMS = 20_000  # steps times losses that are itemised: each loss takes a reverse pass of its own
ROLES = ("cell", "hidden", "output", "gate", "candidate")  # what has a heat map


@dataclass(frozen=True)
class Net:
    """A net of the page.

    Attributes:
        name: what it is called.
        root: the loss; None if there is only a flow.
        flow: its flow.
    """

    name: str
    root: Node | None
    flow: Flow

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """The node of each id; nothing without a loss."""
        return {} if self.root is None else {name: node for node, name in traced(self.root)[1].items()}


@dataclass
class Lane:
    """One recurrent layer of a net, measured.

    Attributes:
        net: the net.
        number: which layer.
        name: what the lane is called.
        colours: of its curves, on light and on dark paper.
        state: the state that is followed, as the user said it; None for the default.
        labels: what was read at each step, as the user said it.
        module: the name of its program.
        missing: what the page cannot show of this lane, and why.
        sweep: the same, measured at other values of an option; see `swept`.
    """

    net: Net
    number: int
    name: str
    colours: tuple[str, str]
    state: str | None = None
    labels: Any = None
    module: str = "net"
    missing: dict[str, str] = field(default_factory=dict)
    sweep: dict[str, Any] | None = None

    # ------------------------------------------------------------------------------------------------ what is measured
    @property
    def flow(self) -> Flow:
        """The flow of the net."""
        return self.net.flow

    @cached_property
    def layer(self) -> Layer:
        """The layer."""
        return recurrent(self.flow.graph)[self.number]

    @property
    def T(self) -> int:
        """How many steps there are."""
        return len(self.layer.order)

    @cached_property
    def profile(self) -> Profile:
        """The profile of the state that is followed; by default of the one at which gradient starts."""
        main = main_profile(self.flow, self.number) if self.state is None else None
        return main or self.flow.profile(self.state, self.number)

    @cached_property
    def profiles(self) -> list[Profile]:
        """The profiles of all states; a single step hands none on, and has the one that is marked."""
        return profiles(self.flow, self.number) or [self.profile]

    @cached_property
    def stamp(self) -> Stamp:
        """The cell."""
        return Stamp(self.flow, self.layer, DEFAULT)

    @cached_property
    def cuts(self) -> Cuts | None:
        """The norms for every set of ways; None without a loss."""
        if self.net.root is None:
            self.missing["ways"] = "a Flow keeps norms, not the derivatives that ways are made of; give the loss"
            return None
        return cuts(self.net.root, self.profile.state, layer=self.number)

    @cached_property
    def track(self) -> Track:
        """The same as a track, to be compared with others."""
        if self.cuts is not None:
            return of_ways(self.name, self.cuts.last, self.T)
        if self.flow.running(self.layer) is None:
            return from_flow(self.name, self.flow, self.T, self.number)
        return Track(self.name, self.profile.state, self.profile.lags, self.profile.norms, {}, fed=True)

    @cached_property
    def equations(self) -> Equations | None:
        """What the cell computes; None without a loss."""
        if self.net.root is None:
            return None
        return recorded_equations(self.net.root, self.net.nodes, self.layer, self.stamp.tile.cell)

    @cached_property
    def live(self) -> Live:
        """The net as JavaScript, if it is small."""
        if self.net.root is None:
            return Live(reason="a Flow holds numbers, not the net; give the loss")
        edges = [(str(strand.state), None) if strand.wire is None else strand.wire.edge
                 for strand in self.stamp.strands]
        return live(self.net.root, self.number, self.module, edges)

    # ------------------------------------------------------------------------------------------------ as data
    def data(self) -> dict[str, Any]:
        """The dict of the lane."""
        if self.live.data is None:
            self.missing["live"] = self.live.reason
        return {
            "name": self.name, "colour": self.colours[0], "colour_dark": self.colours[1], "layer": self.number,
            "T": self.T, "steps": self.layer.order, "labels": self.read(), "state": self.profile.state,
            "states": [profile.state for profile in self.profiles],
            "padded": self.flow.running(self.layer) is not None, "cell": self.cell(), **self.measured(),
            "heat": self.heat(), "itemised": self.itemised(), "weights": self.weights(), "live": self.live.data,
            "sweep": self.sweep, "missing": self.missing,
        }

    def measured(self) -> dict[str, Any]:
        """What changes with the numbers of the net: all but the drawing, the entries and the single losses."""
        shown = self.profiles
        messages, rms, balance = self.messages()
        values, gradients = self.values()
        horizon = self.profile.horizon()
        return {
            "profile": {p.state: array(self.by_turn(p)) for p in shown},
            "rms": {p.state: array(self.by_turn(p) / math.sqrt(self.entries_of(p.state))) for p in shown},
            "one": one_of(self.profile.lags, self.profile.norms),
            "left": finite(self.track.left(max(self.track.lags, default=0))),
            "horizon": None if horizon is None else int(horizon), "open": horizon is not None and horizon.open,
            "finding": finding(self.flow, self.name, self.number, self.profile.state),
            "messages": array(messages), "message_rms": array(rms), "balance": array(balance, "f4"),
            "values": array(values, "f4"), "gradients": array(gradients), "ways": self.ways(),
        }

    def swept(self, option: str, values: Sequence[float]) -> None:
        """Compute the net again at each value of an option, and measure it.

        Raises:
            ValueError: if the layer has no such option, or there is only a flow.
        """
        if self.net.root is None:
            raise ValueError("sweep: a Flow holds numbers, not the net; give the loss")
        again = sweep(self.net.root, self.number, option, values)
        lanes = [replace(self, net=Net(self.net.name, root, gradient_flow(root)), missing={}) for root in again]
        self.sweep = {"option": option, "values": list(values), "lanes": [lane.measured() for lane in lanes]}

    def by_turn(self, profile: Profile) -> np.ndarray:
        """The norms of a profile, the oldest step first; NaN where the state is not in the graph."""
        found = np.full(self.T, math.nan)
        for lag, size in zip(profile.lags, profile.norms, strict=True):
            found[self.T - 1 - lag] = size
        return found

    def read(self) -> list[str] | None:
        """What was read at each step, in the order of the loop."""
        if self.labels is None:
            return None
        known = need_labels("explore", self.labels, self.T, "steps")
        return [str(known.get(step, "")) for step in self.layer.order]

    def entries_of(self, symbol: str) -> float:
        """How many entries a state has; NaN where the graph does not know its shape."""
        symbols = self.stamp.tile.cell.symbols
        name = next((name for name, said in symbols.items() if said == symbol), symbol)
        found = shape(self.flow.graph.nodes[self.layer.youngest[name]]) if name in self.layer.youngest else None
        return math.nan if found is None else max(math.prod(found), 1)

    def cell(self) -> dict[str, Any]:
        """The stamped cell, with the equation that each part belongs to."""
        found = self.stamp.data()
        lines = () if self.equations is None else self.equations.lines
        words = {} if self.equations is None else cell_key(self.equations)
        at = {line.node: j for j, line in enumerate(lines)}
        for part, name in zip(found["parts"], self.stamp.tile.cell.glyphs, strict=True):
            nodes = (self.net.nodes.get(ids.get(name, "")) for ids in self.layer.steps.values())
            part["equation"] = next((at[node] for node in nodes if node in at), None)
        found["equations"] = [{"left": line.left, "right": line.right, "symbol": line.symbol,
                               "words": words.get(line.symbol, "")} for line in lines]
        return found

    def messages(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Norm, RMS and balance of signs of what was sent along each wire at each step; NaN for nothing."""
        flow = self.flow
        found = np.full((3, len(self.stamp.strands), self.T), math.nan)
        for e, strand in enumerate(self.stamp.strands):
            for j, step in enumerate(self.layer.order):
                edges = [edge for edge in self.stamp.edges(strand, step) if edge in flow.messages]
                if edges:
                    found[0, e, j] = norm([flow.messages[edge] for edge in edges])
                    found[1, e, j] = norm([flow.rms[edge] for edge in edges])
                if len(edges) == 1:
                    found[2, e, j] = flow.balances[edges[0]]
        return found[0], found[1], found[2]

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """The norm of the data of each part, and of its gradient, at each step; NaN where there is none."""
        names = list(self.stamp.tile.cell.glyphs)
        values, gradients = np.full((2, len(names), self.T), math.nan)
        for p, name in enumerate(names):
            for j, step in enumerate(self.layer.order):
                if (node := self.stamp.node(name, step)) is not None:
                    values[p, j] = self.flow.graph.nodes[node].get("norm", math.nan)
                    gradients[p, j] = self.flow.gradients.get(node, math.nan)
        return values, gradients

    def heat(self) -> dict[str, Any] | None:
        """The entries of states, gates and candidates, and of their gradients, in the first sequence of the batch."""
        if self.net.root is None:
            self.missing["heat"] = "a Flow holds norms, not the entries; give the loss"
            return None
        rows = dict(self.heat_rows())
        wanted = [node for nodes in rows.values() for node in nodes if node is not None]
        arrived: dict[Node, Any] = dict.fromkeys(wanted)
        for node, g in reverse(self.net.root, targets=wanted):
            if node in arrived:
                arrived[node] = first_sequence(g)
        found = {}
        for symbol, nodes in rows.items():
            units = max(len(first_sequence(node.data)) for node in nodes if node is not None)
            value, gradient = np.full((2, self.T, min(units, UNITS)), math.nan)
            for j, one in enumerate(nodes):
                if one is not None:
                    value[j] = first_sequence(one.data)[:UNITS]
                    gradient[j] = 0.0 if arrived[one] is None else arrived[one][:UNITS]
            found[symbol] = {"value": array(value, "f4"), "gradient": array(gradient), "units": units}
        return found

    def heat_rows(self) -> Iterator[tuple[str, list[Node | None]]]:
        """What has a heat map, by its symbol: the node of each step; the states first."""
        cell, nodes = self.stamp.tile.cell, self.net.nodes
        roles = {name: glyph.role for name, glyph in cell.glyphs.items()}
        names = [name for name in cell.glyphs if name in self.layer.youngest and (
            name in cell.symbols or roles[name] in ROLES)]
        known = set()
        for name in sorted(names, key=lambda name: (name not in cell.symbols, ROLES.index(role)
                                                    if (role := roles[name]) in ROLES else len(ROLES))):
            symbol = str(cell.symbols.get(name) or cell.glyphs[name].symbol or name)
            symbol = name if symbol in known else symbol
            known.add(symbol)
            yield symbol, [nodes.get(ids.get(name, "")) for ids in self.layer.steps.values()]

    def ways(self) -> dict[str, Any] | None:
        """The ways, and the norms for every choice of them."""
        found = self.cuts
        if found is None:
            return None
        columns = [self.T - 1 - lag for lag in found.lags]
        kept, shares = np.zeros((len(found.norms), self.T)), np.full((len(found.ways), self.T), math.nan)
        kept[:, columns] = found.norms
        for row, way in zip(shares, found.ways, strict=True):
            row[columns] = found.shares[way]
        light, dark = ([colour(way, found.colours, theme) for way in found.ways] for theme in (DEFAULT, DARK))
        return {"names": list(found.ways), "members": {name: list(some) for name, some in found.members.items()},
                "colours": light, "colours_dark": dark, "shares": array(shares, "f4"), "kept": array(kept)}

    def weights(self) -> dict[str, Any] | None:
        """What each step adds to the gradient of the weights; None where that cannot be told."""
        if self.net.root is None:
            self.missing["weights"] = "a Flow holds norms, which cannot be added up; give the loss"
            return None
        backwards = is_backwards(self.layer)
        if backwards and not all(map(is_backwards, recurrent(self.flow.graph))):
            self.missing["weights"] = "a net that reads in both directions has steps in two orders"
            return None
        try:
            return weights(self.net.root, self.T, backwards)
        except ValueError as error:
            self.missing["weights"] = str(error)
            return None

    def itemised(self) -> dict[str, Any] | None:
        """What the loss of each step sent to each step, at the state that is followed; None where it cannot be told.

        The losses are those of steps of this layer. Of a long net with many losses some are left out.
        """
        if self.net.root is None:
            self.missing["itemised"] = "a Flow does not keep the losses apart; give the loss"
            return None
        if self.flow.running(self.layer) is not None:
            self.missing["itemised"] = "in a padded batch the sequences end at different steps"
            return None
        try:
            apart = Apart.of(self.net.root)
            rows = some_of(sorted(apart.losses), max(ITEMS // self.T, 2))
            found = errors_of(apart, rows, self.number, self.profile.state)
        except ValueError as error:
            self.missing["itemised"] = str(error)
            return None
        turn = {step: j for j, step in enumerate(found.steps)}
        own = [i for i, step in enumerate(found.losses) if step in turn]
        if not own:
            self.missing["itemised"] = "no loss is read off this layer's own steps"
            return None
        losses = [turn[found.losses[i]] for i in own]
        norms = found.norms[own]
        if is_backwards(self.layer):
            losses, norms = [self.T - 1 - j for j in losses], norms[:, ::-1]
        return {"losses": losses, "norms": array(norms), "of": len(apart.losses)}


def some_of(rows: list[int], most: int) -> list[int]:
    """At most so many of them, evenly spaced, the last one included.

    >>> some_of([0, 1, 2, 3, 4], 3), some_of([7], 3)
    ([0, 2, 4], [7])
    """
    if len(rows) <= most:
        return rows
    return [rows[j] for j in np.linspace(0, len(rows) - 1, most).round().astype(int)]


def first_sequence(x: Any) -> np.ndarray:
    """The entries of the first sequence of a batch, in a row.

    >>> first_sequence(np.ones((3, 2))), first_sequence(4.0)
    (array([1., 1.]), array([4.]))
    """
    a = np.asarray(x, dtype=np.float64)
    return (a[0] if a.ndim > 1 else a).reshape(-1)
