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
from viz.flow.compare import listed
from viz.flow.finding import FED, finding, structure
from viz.flow.messages import Flow
from viz.graph.root import Root, as_node
from viz.graph.size import MOST_GLYPHS, need_drawable
from viz.graph.steps import layers, no_steps
from viz.graph.trace import attributes, trace
from viz.layout.lanes import Net, pitch_of
from viz.layout.lanes import net as net_of
from viz.pictures.conveyor import Painter
from viz.pictures.graph_without_steps import GraphWithoutSteps, without_steps
from viz.pictures.legend import anchor_of, flow_legend, own_scale
from viz.render.drawing import Drawing
from viz.scale import Scale, need_scale
from viz.scene.chart import column, heading
from viz.scene.items import Scene, Stamps
from viz.theme import Theme, compact, need_theme

Drawn: TypeAlias = Root | Flow | nx.MultiDiGraph  # what a net is drawn from


def draw_unrolled(
    net: Drawn | Mapping[str, Drawn],
    *,
    flow: Flow | None = None,
    steps: tuple[int, int] | None = None,
    last: int | None = None,
    labels: Sequence[object] | Mapping[int, object] | None = None,
    name: str | None = None,
    scale: Scale | None = None,
    theme: Theme | str | None = None,
) -> Drawing:
    """Draw an unrolled net, or several below one another, time from left to right.

    Args:
        net: the loss, also one of PyTorch (or a graph from `trace`, or a `Flow`); or several of these by name,
            ``{"lstm": loss, ...}``. They share one scale: the same width and colour mean the same part of the gradient
            at the last step.
        flow: from `gradient_flow`, for a single net: then every edge shows the gradient that flowed back along it.
        steps: the first and the last step to draw. A decoder's steps count on from its encoder's.
        last: draw the last so many steps (of a layer that runs backwards alone, the first). By default as many steps
            as fit on the page of the theme: without a flow the last ones; with one some that are spaced, the first
            and the last among them, so that it can be seen where the gradient vanishes.
        labels: what to write under each step, by step: the characters read, for instance.
        name: what the net is called; the title says what was found about it.
        scale: norms to widths and colours; by default the decades of the norms that are drawn, as multiples of the
            norm of the gradient at lag 0.
        theme: sizes and colours: a `Theme`, its name, or by default the one that `set_theme` chose.

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
    >>> draw_unrolled(h.sum(), steps=(2, 4)).scene.title
    'rnn: the same cell at 5 steps'
    """
    theme = given = need_theme(theme)
    need_scale("draw_unrolled", scale)
    nets = dict(net) if isinstance(net, Mapping) else {name or "": net}
    if not nets:
        raise ValueError("draw_unrolled: no nets to draw")
    if flow is not None and isinstance(net, Mapping):
        raise TypeError("draw_unrolled: flow= is for a single net; of several nets give the flows, by name")

    def attempt(theme: Theme, most: int | None = None) -> tuple[Scene, list[int]]:
        """The picture with at most so many steps, and how many the nets show that leave some out or are too wide."""
        blocks = [block(one, flow, steps, last, labels, title or None, theme, most) for title, one in nets.items()]
        counts = [len(one.columns) for one in blocks if isinstance(one, Net)]
        cut = [len(one.columns) for one in blocks if isinstance(one, Net) and one.left_out]
        scene = stacked(blocks, scale, theme, name)
        return scene, cut or (counts if scene.width > theme.page else [])

    with collector_paused():  # it would walk the growing picture again and again
        scene, cut = attempt(theme)
        if steps is None and last is None and cut:
            for few, gap in ((4, 10.0), (2, 4.0)):
                if min(cut, default=few) < few or scene.width > theme.page:
                    theme = compact(given, gap)
                    scene, cut = attempt(theme)
            fits = scene.width <= theme.page and len(set(cut)) < 2  # all nets that are cut show as many steps
            for most in range(max(cut, default=1), 0, -1):
                if fits:
                    break
                scene, cut = attempt(theme, most)
                fits = scene.width <= theme.page and len(set(cut)) < 2
    return Drawing.of(scene)


def common_scale(flows: Iterable[Flow], *, last: int = 8) -> Scale:
    """The scale for pictures that are to be compared: the decades of the norms on the last steps of all flows, as
    multiples of the gradient at lag 0 of each.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> from viz.flow.messages import gradient_flow
    >>> common_scale([gradient_flow(hs[-1].sum()), gradient_flow(hs[2].sum())])
    Scale(low=-3, high=1, anchor=None)
    """
    return scale_of([block(flow, None, None, last, None, None, need_theme()) for flow in flows])


def block(root: Any, flow: Flow | None, steps: tuple[int, int] | None, last: int | None, labels: Any,
          name: str | None, theme: Theme, most: int | None = None) -> Net | GraphWithoutSteps:  # fmt: skip
    """What is to be drawn: a net, or a graph without time steps."""
    if isinstance(root, Flow):
        root, flow = root.graph, root
    root = as_node("draw_unrolled", root)
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
    return net_of(graph, found, flow, steps, last, labels, name, theme, most)


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


def stacked(blocks: Sequence[Net | GraphWithoutSteps], scale: Scale | None, theme: Theme, name: str | None) -> Scene:
    """Nets one above another, under one title and one legend; equal steps of all nets stand in one column."""
    flow = next((one.flow for one in blocks if one.flow is not None), None)
    scale = scale or scale_of(blocks)
    scale = own_scale(scale, flow) if len(blocks) == 1 else scale
    nets = [one for one in blocks if isinstance(one, Net)]
    pitch = max((pitch_of(one.lanes, theme) for one in nets), default=0.0)
    stamps, room = Stamps(), theme.page - 2 * theme.margin
    named = len(blocks) > 1
    painters = [Painter(one, pitch, own_scale(scale, one.flow), theme, stamps, named) if isinstance(one, Net) else one
                for one in blocks]
    painted = [one.paint() if isinstance(one, Painter) else one.paint(scale, theme) for one in painters]
    title, what = said(blocks, name)
    top = [heading(title, min(room, max([640.0, *(block.width for block in painted)])), theme, what)]
    if flow is not None:
        looks = set().union(*(one.drawn for one in painters))
        T = ", ".join(dict.fromkeys(one.T for one in nets))
        top.append(flow_legend(flow, T, scale, looks, room, theme, nets=len(blocks)))
    whole = column([*top, *painted], 18)
    return Scene([whole.at(theme.margin, theme.margin)], max(whole.width, 448.0) + 2 * theme.margin,
                 whole.height + 2 * theme.margin, title, what, theme, stamps)


def said(blocks: Sequence[Net | GraphWithoutSteps], name: str | None) -> tuple[str, str]:
    """The title, what the pictures show; and below it how to read them."""
    found = [finding(one.flow, one.name) if one.flow is not None else structure(one.graph, one.name) for one in blocks]
    how = "Time runs from left to right." if any(isinstance(one, Net) for one in blocks) else ""
    if any(isinstance(one, Net) and one.groups for one in blocks):
        how += " A dot marks an output that is read."
    if any(one.flow is not None for one in blocks):
        how = f"{how} The gradient flows back along the wires, from the loss to the inputs and the weights.".strip()
    alike: dict[str, list[str]] = {}  # what is said of several nets in the same words is said once
    for one, words in zip(blocks, found, strict=True):
        rest = words.removeprefix(f"{one.name}: ").removesuffix(FED if len(blocks) > 1 else "")
        alike.setdefault(rest if words.startswith(f"{one.name}: ") else "", []).append(
            one.name if words.startswith(f"{one.name}: ") else words)
    sentence = "; ".join([*alike.pop("", []), *(f"{listed(names)}: {rest}" for rest, names in alike.items())])
    if len(blocks) > 1 and (fed := [one.name for one, words in zip(blocks, found, strict=True) if words.endswith(FED)]):
        sentence += f"{FED} in {'all of them' if len(fed) == len(blocks) else listed(fed)}"
    return (f"{name}: {sentence}" if name and len(blocks) > 1 else sentence), how


def scale_of(blocks: Sequence[Net | GraphWithoutSteps]) -> Scale:
    """The decades of all norms that are drawn, those of each net as multiples of its own gradient at lag 0."""
    anchors = [anchor_of(one.flow) if one.flow is not None else None for one in blocks]
    if any(anchor is None for anchor in anchors):
        return Scale.of(g for one in blocks for g in one.norms())
    ratios = [g / anchor for one, anchor in zip(blocks, anchors, strict=True) if anchor for g in one.norms()]
    return Scale.of(ratios, anchor=1.0).anchored(anchors[0] or 1.0)
