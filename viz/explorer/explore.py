"""explore: a page in which a person plays the reverse pass of their own net, cuts its ways and changes it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from microgradrnn.engine import Node
from viz.errors import need
from viz.explorer.encode import json_text
from viz.explorer.lane import Source, lane
from viz.explorer.themes import themes
from viz.flow.finding import finding
from viz.flow.messages import Flow, gradient_flow
from viz.graph.steps import no_steps, recurrent
from viz.pictures.unrolled import draw_unrolled
from viz.render.page import Page, page
from viz.theme import DEFAULT

COLOURS = [("#0072b2", "#56b4e9"), ("#b3450b", "#f0894d"), ("#00704f", "#2fc49a"), ("#8f3f73", "#dd8fc0"),
           ("#6b5b00", "#d9c64a"), ("#52606d", "#a3afbb")]  # of the nets, on light and on dark paper


def explore(
    net: Node | Flow | Mapping[str, Node | Flow], path: str | Path | None = None, *, name: str | None = None,
    labels: Any = None, state: str | None = None, layer: int | None = None,
) -> Page:  # fmt: skip
    """Make a page in which a person plays the reverse pass of a net: one HTML file, which needs no network.

    Args:
        net: the loss, or a `Flow`; or several by name.
        path: where to write it, ``explorer.html``. Without one the page is only returned; a notebook shows it.
        name: the title; by default what the gradient does.
        labels: what was read at each step, a text or a list; or a dict from steps to labels.
        state: the state that is followed, its symbol or role; by default the cell state if there is one.
        layer: the layer that is shown; by default all recurrent layers, the topmost first.

    Returns:
        The `Page`.

    Raises:
        TypeError: if net is none of these.
        ValueError: if a net has no time steps, or no such state or layer.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, (h, c) = nn.LSTM(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> explore(h.sum()).title
    'lstm keeps 53 % of its gradient at c over 5 steps'
    """
    nets = dict(net) if isinstance(net, Mapping) else {"": net}
    if not nets:
        raise ValueError("explore: no nets to show")
    lanes: list[dict[str, Any]] = []
    flows: dict[str, Flow] = {}
    for j, (called, one) in enumerate(nets.items()):
        flow = flows[called] = flow_of(one)
        for number in numbers(flow, layer):
            source = Source(str(called) or "net", one if isinstance(one, Node) else None, flow, number)
            lanes.append(lane(source, COLOURS[j % len(COLOURS)], labels, state))
    title = name or "; ".join(finding(flow, called) for called, flow in flows.items())
    summary = "The gradient at each state, step by step back from the loss."
    data = {"format": 1, "title": title, "summary": summary, "lanes": lanes, "tour": [],
            "scale": {"low": -8, "high": 1}, "themes": themes(), "error": None}
    picture = draw_unrolled(flows if isinstance(net, Mapping) else flows[""], labels=labels, theme=DEFAULT)
    found = page(json_text(data), picture.svg, title, summary, web("explorer.js"), web("explorer.css"))
    if path is not None:
        found.save(path)
    return found


def flow_of(net: Any) -> Flow:
    """The flow of a net."""
    need("explore", net, (Node, Flow), "a loss, a Flow, or several by name")
    flow: Flow = net if isinstance(net, Flow) else gradient_flow(net)
    if not recurrent(flow.graph):
        raise ValueError(f"explore: {no_steps(flow.graph)}")
    return flow


def numbers(flow: Flow, layer: int | None) -> list[int]:
    """Which layers are shown, the topmost first."""
    return list(reversed(range(len(recurrent(flow.graph))))) if layer is None else [layer]


def web(name: str) -> str:
    """A file of the page, as it is bundled; nothing, if it is not there."""
    file = files("viz").joinpath("web", name)
    return file.read_text(encoding="utf-8") if file.is_file() else ""
