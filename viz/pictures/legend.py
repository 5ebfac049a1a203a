"""The legend of a picture on which a gradient is drawn: which norm, of which loss, over how many steps."""

from __future__ import annotations

from collections.abc import Collection

from viz.flow.finding import main_layer, main_profile
from viz.flow.messages import Flow
from viz.numbers import short
from viz.scale import Scale
from viz.scene.chart import Block, legend
from viz.scene.wires import Look
from viz.theme import Theme
from viz.typography import shorten


def flow_legend(flow: Flow, T: str, scale: Scale, looks: Collection[Look], width: float, theme: Theme,
                notes: Collection[str] = (), nets: int = 1) -> Block:
    """The scale of wires, and what is measured. T is "" for a graph without time steps."""
    span = f" (T = {T} step{'s' * (T != '1')})" if T else ""
    loss = loss_of(flow) if nets == 1 else "each net's loss"
    what = [f"The gradient of {loss}{span}, over the whole batch. Arrows point the way it flows: back."]
    if T:
        what.append("In a frame stands a state, and below it the norm of the whole gradient there.")
    return legend(scale, measured(scale, "message along each wire", nets, flow), looks, [*what, *notes], width, theme)


def measured(scale: Scale, what: str, nets: int = 1, flow: Flow | None = None) -> str:
    """The heading of a legend: the norm of something, or its ratio to the norm at lag 0; of several states, at which.

    >>> measured(Scale(-3, 0, anchor=2.0), "gradient at each state")
    'gradient at each state: its norm, as a multiple of that at lag 0 (2)'
    """
    if scale.anchor is None:
        return f"{what}: its norm (Euclidean, log scale)"
    if nets > 1:  # each has its own
        return f"{what}: its norm, as a multiple of the norm at lag 0 of its net"
    layer = main_layer(flow) if flow is not None else -1
    profile = main_profile(flow, layer) if flow is not None else None
    at = f" at {profile.state}" if flow and profile and len(flow.state_names(layer)) > 1 else ""
    return f"{what}: its norm, as a multiple of that{at} at lag 0 ({short(scale.anchor)})"


def anchor_of(flow: Flow, layer: int | None = None) -> float | None:
    """The norm that counts as 1: of the gradient at lag 0 at the first state of a layer; None where there is none.

    By default the layer is the one that the picture is about.
    """
    profile = main_profile(flow, main_layer(flow) if layer is None else layer)
    return profile.at(0) or None if profile is not None else None


def own_scale(scale: Scale, flow: Flow | None) -> Scale:
    """The scale for one net: the same decades, measured by its own gradient at lag 0."""
    anchor = anchor_of(flow) if flow is not None and scale.anchor is not None else None
    return scale if anchor is None else scale.anchored(anchor)


def loss_of(flow: Flow) -> str:
    """What the gradient is the gradient of: ``L``, or ``L = sum`` where the node has no such symbol."""
    said = flow.graph.nodes[flow.root]
    called = shorten(str(said.get("symbol") or said.get("op") or said["name"]), 12)
    return called if called == "L" else f"L = {called}"
