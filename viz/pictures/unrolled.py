"""The unrolled net as a picture: cells, stamped along the time axis, and the gradient drawn over them.

Time runs from left to right, the gradient of a layer that runs forwards from right to left. A cell is laid out once
(`viz.layout`), so that every step looks the same; weights are named once and never drawn as edges to every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import networkx as nx

from microgradrnn.engine import Node, collector_paused
from viz.errors import need
from viz.flow.messages import Flow
from viz.graph.size import MOST_GLYPHS, need_drawable
from viz.graph.steps import layers, no_steps
from viz.graph.trace import attributes, trace
from viz.layout.lanes import Net, net
from viz.pictures.conveyor import Painter, natural_pitch
from viz.pictures.graph_without_steps import GraphWithoutSteps, without_steps
from viz.pictures.legend_old import legend
from viz.pictures.wires_old import Stamps
from viz.render.drawing import Drawing
from viz.render.markup import document, element
from viz.scale import Scale
from viz.theme import DEFAULT, Theme, need_theme

Drawn: TypeAlias = Node | Flow | nx.MultiDiGraph  # what a net is drawn from


def draw_unrolled(
    net: Drawn | Mapping[str, Drawn],
    *,
    flow: Flow | None = None,
    steps: tuple[int, int] | None = None,
    last: int = 8,
    labels: Sequence[object] | Mapping[int, object] | None = None,
    name: str | None = None,
    scale: Scale | None = None,
    theme: Theme = DEFAULT,
) -> Drawing:
    """Draw an unrolled net, or several below one another, time from left to right.

    Args:
        net: the loss (or a graph from `trace`, or a `Flow`); or several of these by name, ``{"lstm": loss, ...}``. They
            share one scale: the same width and colour mean the same norm in all of them.
        flow: from `gradient_flow`, for a single net: then every edge shows the gradient that flowed back along it.
        steps: the first and the last step to draw; by default the last ``last`` ones (of a layer that runs backwards
            alone, the first). A decoder's steps count on from its encoder's.
        last: how many steps to draw, where ``steps`` is not given.
        labels: what to write under each step, by step: the characters read, for instance.
        name: the title.
        scale: norms to widths and colours; by default the decades of the norms that are drawn.
        theme: sizes and colours.

    Returns:
        A `Drawing`. Each unrolled layer is a lane above those it reads, with the wires between them; a layer that runs
        backwards in time is mirrored. A tree (`nn.recurse`) is drawn as a tree, the root on top; any other graph
        without time steps in ranks, from left to right, all of it; under a loop that does not say where its steps are
        stands how to say it.

    Raises:
        TypeError: if net is none of these, or the flow is none.
        ValueError: if there are no nets, the steps are not in the graph, the flow is of another loss, there are fewer
            labels than steps, or a graph without steps has more nodes than can be looked at.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((5, 1, 3)))
    >>> draw_unrolled(h.sum(), steps=(2, 4)).svg.startswith("<svg")
    True
    """
    with collector_paused():  # it would walk the growing picture again and again
        if isinstance(net, Mapping):
            if not net:
                raise ValueError("draw_unrolled: no nets to draw")
            if flow is not None:
                raise TypeError("draw_unrolled: flow= is for a single net; of several nets give the flows, by name")
            blocks = [block(one, None, steps, last, labels, title, theme) for title, one in net.items()]
            return stacked(blocks, scale, theme, name or "side by side")
        one = block(net, flow, steps, last, labels, name, theme)
        return stacked([one], scale, theme, name or one.title)


def common_scale(flows: Iterable[Flow], *, last: int = 8) -> Scale:
    """The scale for pictures that are to be compared: the decades of the norms on the last steps of all flows."""
    return Scale.of(g for flow in flows for g in block(flow, None, None, last, None, None, DEFAULT).norms())


def block(root: Any, flow: Flow | None, steps: tuple[int, int] | None, last: int, labels: Any, name: str | None,
          theme: Theme) -> Net | GraphWithoutSteps:
    """What is to be drawn: a net, or a graph without time steps."""
    need_theme(theme)
    if isinstance(root, Flow):
        root, flow = root.graph, root
    if flow is not None:
        need_same(root, flow)
    need_drawable("draw_unrolled", root if flow is None else flow.graph, MOST_GLYPHS, steps_fold=True)
    graph = flow.graph if flow is not None else root if isinstance(root, nx.MultiDiGraph) else trace(root)
    found = layers(graph)
    if not found and steps is not None:
        raise ValueError(f"draw_unrolled, steps={steps!r:.40}: {no_steps(graph)}")
    if not found:
        need_drawable("draw_unrolled", graph, MOST_GLYPHS)
        return without_steps(graph, flow, name, labels, theme)
    return net(graph, found, flow, steps, last, labels, name, theme)


def need_same(root: Any, flow: Flow) -> None:
    """Check that the flow is that of the root.

    Raises:
        TypeError: if it is no flow.
        ValueError: if it is of another root.
    """
    need("draw_unrolled, flow", flow, Flow, "what viz.gradient_flow(loss) returns")
    if not isinstance(root, Node):
        return
    said, own = flow.graph.nodes[flow.graph.graph["root"]], attributes(root)
    if any(repr(said.get(key)) != repr(own.get(key)) for key in ("op", "shape", "norm", "value")):
        other = f"{said['name']} of shape {said['shape']} and norm {said['norm']:.4g}"
        raise ValueError(f"draw_unrolled: the flow is that of another node, {other}; give the flow alone, or "
                         "viz.gradient_flow of this loss")


def stacked(blocks: Sequence[Net | GraphWithoutSteps], scale: Scale | None, theme: Theme, name: str) -> Drawing:
    """Nets one above another, under one legend; equal steps of all nets stand in one column."""
    flow = next((one.flow for one in blocks if one.flow is not None), None)
    if scale is None:
        scale = Scale.of(g for one in blocks for g in one.norms()) if flow is not None else Scale()
    nets = [one for one in blocks if isinstance(one, Net)]
    pitch = max((natural_pitch(one, theme) for one in nets), default=0.0)
    parts, y, width, stamps = [], theme.margin, 480.0, Stamps()
    painters = [Painter(one, pitch, scale, theme, stamps) if isinstance(one, Net) else one for one in blocks]
    painted = [one.paint() if isinstance(one, Painter) else one.paint(scale, theme) for one in painters]
    if flow is not None:
        looks = set().union(*(one.drawn for one in painters))
        key, height, legend_width = legend(flow, ", ".join(dict.fromkeys(one.T for one in nets)), scale, looks, theme)
        y += height + 18
        width = max(width, legend_width + 2 * theme.margin)
    for markup, w, h in painted:
        parts.append(element("g", markup, transform=f"translate({theme.margin:g},{y:.1f})"))
        y, width = y + h + 14, max(width, w + 2 * theme.margin)
    if flow is not None:
        parts.insert(0, element("g", key, transform=f"translate({theme.margin:g},{theme.margin:g})"))
    return document(stamps.finished("".join(parts)), width, y, theme, name)
