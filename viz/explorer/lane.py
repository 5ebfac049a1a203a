"""A lane: everything that the page knows about one recurrent layer of one net, as a dict that JSON can hold.

Arrays have a column for each step, in the order in which the loop took them: the last column is the step at which the
loop ended, lag 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradrnn.engine import Node
from viz.explorer.cell import Stamp, shape
from viz.explorer.encode import array
from viz.flow.cuts import Cuts, cuts
from viz.flow.finding import finding
from viz.flow.messages import Flow, Profile, profiles
from viz.graph.labels import need_labels
from viz.graph.steps import Layer, recurrent
from viz.graph.trace import norm
from viz.pictures.comparison import colour
from viz.theme import DARK, DEFAULT


@dataclass(frozen=True)
class Source:
    """What a lane is made from.

    Attributes:
        net: the name of the net.
        root: the loss; None if there is only a flow.
        flow: its flow.
        number: which recurrent layer.
    """

    net: str
    root: Node | None
    flow: Flow
    number: int

    @property
    def layer(self) -> Layer:
        """The layer."""
        return recurrent(self.flow.graph)[self.number]


def lane(source: Source, colours: tuple[str, str], labels: Any, state: str | None) -> dict[str, Any]:
    """The dict of one lane."""
    flow, layer = source.flow, source.layer
    stamp = Stamp(flow, layer, DEFAULT)
    T = len(layer.order)
    shown = profiles(flow, source.number)
    wanted = flow.profile(state, source.number)
    messages, rms, balance = messages_of(stamp)
    values, gradients = parts_of(stamp)
    sizes = {profile.state: math.prod(shape_of(stamp, profile.state)) for profile in shown}
    horizon = wanted.horizon()
    return {
        "name": source.net, "colour": colours[0], "colour_dark": colours[1], "layer": source.number, "T": T,
        "steps": layer.order,
        "labels": labels_of(labels, layer), "state": wanted.state, "states": [profile.state for profile in shown],
        "profile": {p.state: array(by_turn(p, T)) for p in shown},
        "rms": {p.state: array(by_turn(p, T) / math.sqrt(max(sizes[p.state], 1))) for p in shown},
        "horizon": horizon, "open": horizon is not None and horizon.open, "finding": finding(flow, source.net),
        "cell": stamp.data() | {"equations": []},
        "messages": array(messages, "f4"), "message_rms": array(rms, "f4"), "balance": array(balance, "f4"),
        "values": array(values, "f4"), "gradients": array(gradients, "f4"),
        "heat": None,
        "ways": None if source.root is None else ways_of(cuts(source.root, state, layer=source.number), T),
        "itemised": None, "live": None, "sweep": None,
    }


def by_turn(profile: Profile, T: int) -> np.ndarray:
    """The norms of a profile, the oldest step first; NaN where the state is not in the graph."""
    found = np.full(T, math.nan)
    for lag, size in zip(profile.lags, profile.norms, strict=True):
        found[T - 1 - lag] = size
    return found


def labels_of(labels: Any, layer: Layer) -> list[str] | None:
    """What was read at each step, in the order of the steps."""
    if labels is None:
        return None
    known = need_labels("explore", labels, len(layer.order), "steps")
    return [str(known.get(step, "")) for step in layer.order]


def shape_of(stamp: Stamp, symbol: str) -> list[int]:
    """The shape of a state."""
    name = next(name for name, said in stamp.tile.cell.symbols.items() if said == symbol)
    return shape(stamp.graph.nodes[stamp.layer.youngest[name]])


def messages_of(stamp: Stamp) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Norm, root mean square and balance of signs of what was sent along each wire at each step; NaN for nothing."""
    flow, order = stamp.flow, stamp.layer.order
    found = np.full((3, len(stamp.strands), len(order)), math.nan)
    for e, strand in enumerate(stamp.strands):
        for j, step in enumerate(order):
            edges = [edge for edge in stamp.edges(strand, step) if edge in flow.messages]
            if edges:
                found[0, e, j] = norm([flow.messages[edge] for edge in edges])
                found[1, e, j] = norm([flow.rms[edge] for edge in edges])
            if len(edges) == 1:
                found[2, e, j] = flow.balances[edges[0]]
    return found[0], found[1], found[2]


def parts_of(stamp: Stamp) -> tuple[np.ndarray, np.ndarray]:
    """The norm of the data of each part, and of its gradient, at each step; NaN where there is none."""
    names, order = list(stamp.tile.cell.glyphs), stamp.layer.order
    values, gradients = np.full((2, len(names), len(order)), math.nan)
    for p, name in enumerate(names):
        for j, step in enumerate(order):
            if (node := stamp.node(name, step)) is not None:
                values[p, j] = stamp.graph.nodes[node].get("norm", math.nan)
                gradients[p, j] = stamp.flow.gradients.get(node, math.nan)
    return values, gradients


def ways_of(found: Cuts, T: int) -> dict[str, Any]:
    """The ways, and the norms for every choice of them."""
    columns = [T - 1 - lag for lag in found.lags]
    kept = np.zeros((len(found.norms), T))
    kept[:, columns] = found.norms
    shares = np.full((len(found.ways), T), math.nan)
    for row, way in zip(shares, found.ways, strict=True):
        row[columns] = found.shares[way]
    colours = [[colour(way, found.colours, theme) for way in found.ways] for theme in (DEFAULT, DARK)]
    return {"names": list(found.ways), "members": {name: list(some) for name, some in found.members.items()},
            "colours": colours[0], "colours_dark": colours[1], "shares": array(shares, "f4"), "kept": array(kept)}
