"""explore: a page in which a person plays the reverse pass of their own net, cuts its ways and changes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import cycle
from pathlib import Path
from typing import Any

from microgradrnn.engine import Node
from microgradrnn.engine.allocator import collector_paused
from viz.errors import need
from viz.explorer.encode import json_text
from viz.explorer.lane import Lane, Net
from viz.explorer.raised import Raised
from viz.explorer.themes import themes
from viz.explorer.tour import tour
from viz.flow.compare import Comparison
from viz.flow.finding import finding, name_of
from viz.flow.messages import Flow, gradient_flow
from viz.graph.labels import labelled, need_labels
from viz.graph.root import Root, as_node
from viz.graph.size import MOST_RECORDS, small_enough
from viz.graph.steps import layer_of, no_steps, recurrent, unchanged
from viz.pictures.dot import draw_graph
from viz.pictures.unrolled import draw_unrolled
from viz.render.page import Page, page
from viz.theme import DEFAULT

COLOURS = [("#0072b2", "#56b4e9"), ("#b3450b", "#f0894d"), ("#00704f", "#2fc49a"), ("#8f3f73", "#dd8fc0"),
           ("#6b5b00", "#d9c64a"), ("#52606d", "#a3afbb")]  # of the lanes, on light and on dark paper
WIDEST = 24  # decades of the common scale, up and down from lag 0
FRACTION = 0.01  # what a horizon is measured by
UNTIL = "The page shows the steps before. The gradient is that of the sum of what they computed last."
HOW = ("Play the reverse pass step by step, shut ways through the cell, choose another loss or scale, and read every "
       "number.")


def explore(
    net: Root | Flow | Mapping[str, Root | Flow] | BaseException, path: str | Path | None = None, *,
    name: str | None = None, labels: Any = None, state: str | None = None, layer: int | None = None,
    sweep: Mapping[str, Sequence[float]] | None = None,
) -> Page:  # fmt: skip
    """Make a page in which a person plays the reverse pass of a net: one HTML file, which needs no network.

    Args:
        net: the loss (also one of PyTorch), or a `Flow`; or several by name. With the loss there is more to see than
            with its flow alone: ways to cut, heat maps, equations, and for small nets of microgradrnn sliders. An
            error that the forward pass raised gives a page of what was computed until then.
        path: where to write it, ``explorer.html``. Without one the page is only returned; a notebook shows it.
        name: the title; by default what the gradient does.
        labels: what was read at each step, a text or a list; or a dict from steps to labels.
        state: the state that is followed, its symbol or role; by default the cell state if there is one.
        layer: the layer that is shown; by default all recurrent layers, the topmost first.
        sweep: an option and its values, ``{"forget_bias": [-1, 0, 1, 3]}`` or ``{"gain": [0.5, 1, 2]}``. The net is
            computed again at each of them, without training, and a slider moves over the results. (Nets of up to 16
            units and 100 steps have sliders without it: the page computes them itself.)

    Returns:
        The `Page`.

    Raises:
        TypeError: if net is none of these.
        ValueError: if there are no nets; or one has no time steps, or no such state, layer or option; or labels are
            too few, or are for steps that there are not.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, (h, c) = nn.LSTM(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> explore(h.sum()).title
    'lstm keeps 53 % of its gradient at c over 5 steps'
    """
    net = as_node("explore", net)
    need("explore", net, (Node, Flow, Mapping, BaseException), "a loss, a Flow, several of them by name, or an error")
    need_labels("explore", labels, 0, "steps")  # the kind; how many there must be, each lane knows
    if isinstance(net, BaseException):
        found = of_error(Raised.of(net), name, labels)
    else:
        nets = [net_of(str(called), one) for called, one in (net if isinstance(net, Mapping) else {"": net}).items()]
        if not nets:
            raise ValueError("explore: no nets to show")
        if len({one.name for one in nets}) < len(nets):
            raise ValueError(f"explore: two nets have the same name; got {', '.join(one.name for one in nets)}")
        with collector_paused(), unchanged():
            lanes = lanes_of(nets, layer, state, labels)
            need_known_steps(labels, lanes)
            swept(lanes, sweep)
            title, more = said(nets, lanes)
            flows: Any = {one.name: one.flow for one in nets} if isinstance(net, Mapping) else nets[0].flow
            still = draw_unrolled(flows, labels=labels, theme=DEFAULT)
            found = written(lanes, name or title, f"{more} {HOW}".strip(), still.svg)
    if path is not None:
        found.save(path)
    return found


def written(lanes: Sequence[Lane], title: str, summary: str, picture: str, error: dict[str, Any] | None = None) -> Page:
    """The page of these lanes."""
    data = {"format": 1, "title": title, "summary": summary, "lanes": [lane.data() for lane in lanes],
            "tour": tour(lanes) if error is None else [], "scale": decades(lanes), "themes": themes(), "error": error}
    programs = [lane.live.source for lane in lanes if lane.live.data is not None]
    words = summary if error is None else f"{error['message']}. {summary}"
    return page(json_text(data), picture, title, words, web("explorer.js"), web("explorer.css"), programs,
                picture_shown=not lanes)


def of_error(raised: Raised, name: str | None, labels: Any) -> Page:
    """The page of a forward pass that raised: what was computed until then."""
    title = name or f"The forward pass stopped{f' at {raised.place}' if raised.place else ''}"
    who = f"The operation {raised.operation} raised an error. " if raised.operation else ""
    error: dict[str, Any] = {"message": raised.message, "lane": None, "turn": None, "node": None}
    root = raised.root
    if root is not None and (found := recurrent((flow := gradient_flow(root)).graph)):
        need_labels("explore", labels, min(len(layer.order) for layer in found), "steps")
        try:
            lanes = lanes_of([Net(name_of(flow.graph), root, flow)], None, None, labels)
            with collector_paused(), unchanged():
                places = [raised.in_lane(lane.stamp) for lane in lanes]
                lane = next((j for j, place in enumerate(places) if place is not None), None)
                error |= {"lane": lane, **(places[lane] or {} if lane is not None else {})}
                return written(lanes, title, who + UNTIL, draw_unrolled(flow, theme=DEFAULT).svg, error)
        except ValueError:  # the steps that there are do not show what the state is
            error |= {"lane": None, "turn": None, "node": None}
    graph = raised.graph()
    drawn = graph.number_of_edges() and small_enough(graph, MOST_RECORDS, False)
    picture = draw_graph(graph, theme=DEFAULT).drawing.svg if drawn else ""
    until = ("The picture shows what was computed until then." if drawn else
             "What was computed until then is too large for a picture." if raised.ends else
             "Nothing was computed before.")
    return written([], title, who + until, picture, error)


def net_of(called: str, of: Any) -> Net:
    """A net of the page, by its loss or its flow."""
    of = as_node("explore", of)
    need("explore", of, (Node, Flow), "a loss, a Flow, or several of them by name")
    flow: Flow = of if isinstance(of, Flow) else gradient_flow(of)
    if not recurrent(flow.graph):
        raise ValueError(f"explore: {no_steps(flow.graph)}. viz.draw_graph draws a graph without steps")
    return Net(called or name_of(flow.graph), of if isinstance(of, Node) else None, flow)


def lanes_of(nets: Sequence[Net], layer: int | None, state: str | None, labels: Any) -> list[Lane]:
    """The lanes of all nets, each with a colour of its own."""
    lanes = [lane for net in nets for lane in lanes_of_net(net, layer, state, labels)]
    for j, (lane, colours) in enumerate(zip(lanes, cycle(COLOURS), strict=False)):
        lane.colours, lane.module = colours, f"lane{j}"
        lane.read()  # labels that are too few are refused before any work is done
    return lanes


def lanes_of_net(net: Net, layer: int | None, state: str | None, labels: Any) -> list[Lane]:
    """The lanes of a net, the topmost layer first."""
    found = recurrent(net.flow.graph)
    if layer is not None:
        layer_of(net.flow.graph, layer, "explore")
    wanted = list(reversed(range(len(found)))) if layer is None else [layer % len(found)]
    words = labelled([one.path for one in found], [one.order[0] > one.order[-1] for one in found])
    if len(found) > 1:
        words = [word if net.name == name_of(net.flow.graph) and " and " in net.name else f"{net.name}, {word}"
                 for word in words]
    own = {j for j in wanted if labels is None or len(found[j].order) <= places(labels)} or {*wanted}
    return [Lane(net, j, words[j] if len(found) > 1 else net.name, COLOURS[0], state, labels if j in own else None)
            for j in wanted]


def swept(lanes: Sequence[Lane], sweep: Mapping[str, Sequence[float]] | None) -> None:
    """Compute the nets again at other values of an option, where they have it.

    Raises:
        TypeError: if the sweep is none.
        ValueError: if there is not one option, with numbers; or if no lane has it.
    """
    if sweep is None:
        return
    need("explore, sweep", sweep, Mapping, 'an option and its values, {"forget_bias": [-1, 0, 1, 3]}')
    if len(sweep) != 1:
        raise ValueError(f"explore, sweep: one option at a time; got {', '.join(map(str, sweep)) or 'none'}")
    ((option, given),) = sweep.items()
    try:
        values = [float(value) for value in given]
    except (TypeError, ValueError):
        raise TypeError(f"explore, sweep: expected a list of numbers for {option}, {{{option!r}: [0.5, 1, 2]}}; got "
                        f"{given!r:.60}") from None
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"explore, sweep: {option} takes one finite number or more, got {list(given)!r:.60}")
    refused = None
    for lane in lanes:
        try:
            lane.swept(str(option), sorted(values))
        except ValueError as error:
            refused = error
    if refused is not None and all(lane.sweep is None for lane in lanes):
        raise refused


def need_known_steps(labels: Any, lanes: Sequence[Lane]) -> None:
    """Raise if a dict has labels for steps that no lane has. (Before an error, some steps were not reached.)"""
    known = sorted({step for lane in lanes for step in lane.layer.order})
    stray = [step for step in labels if step not in known] if isinstance(labels, Mapping) else []
    if stray:
        raise ValueError(f"explore, labels: there is no step {', '.join(map(repr, stray))}; the steps are "
                         f"{known[0]} to {known[-1]}")


def places(labels: Any) -> float:
    """How many steps labels are for; of a dict, any number."""
    return math.inf if isinstance(labels, Mapping) else len(labels)


def said(nets: Sequence[Net], lanes: Sequence[Lane]) -> tuple[str, str]:
    """The title of the page, what the gradient does; and what else there is to say."""
    if len(nets) == 1:
        return finding(nets[0].flow, nets[0].name), ""
    first = [next(lane for lane in lanes if lane.net is one) for one in nets]
    found = Comparison(tuple(lane.track for lane in first), FRACTION)
    return found.finding, found.verdict.removeprefix(found.finding).removeprefix(".").strip()


def decades(lanes: Sequence[Lane]) -> dict[str, int]:
    """The decades that hold the norms of all lanes, each measured by its own at lag 0."""
    logs = [math.log10(g / lane.track.one) for lane in lanes for g in lane.track.norms
            if 0 < g < math.inf and 0 < g / lane.track.one < math.inf]
    low, high = math.floor(min(logs, default=0.0)), math.ceil(max(logs, default=0.0))
    return {"low": min(max(low, -WIDEST), -1), "high": max(min(high, WIDEST), 1)}


def web(name: str) -> str:
    """A file of the page's script and style, as they are bundled."""
    return files("viz").joinpath("web", name).read_text(encoding="utf-8")
