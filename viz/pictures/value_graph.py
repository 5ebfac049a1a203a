"""The graph of values, as micrograd draws it; with a flow, every wire shows the message that came back along it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import networkx as nx

from viz.flow.finding import capital, finding
from viz.flow.messages import Flow
from viz.graph.steps import recurrent
from viz.numbers import decimals, short
from viz.pictures.legend import anchor_of, loss_of, measured
from viz.pictures.sheet import Field, Sheet, called
from viz.render.drawing import Drawing
from viz.scale import Scale
from viz.scene.chart import Block, column, heading, legend
from viz.scene.items import Item, Scene, Text
from viz.scene.wires import FORWARDS, look, off_the_scale, strength
from viz.theme import Theme
from viz.typography import shorten

LEAST = 560.0  # pixels for the words above a small graph


def fields_of(node: str, said: Mapping[str, Any], flow: Flow | None = None) -> list[Field]:
    """What a record says: the symbol, the data, the gradient; of a folded node, how much it stands for."""
    fields = [Field(((said["symbol"], 0),), "name")] if "symbol" in said else []

    def add(words: str, what: str, datum: float | None = None) -> None:
        fields.append(Field(((words, 0),), what, datum))

    if said["kind"] == "folded":
        times = f"{said['times']} × " if "times" in said else ""
        add(node, "name")
        add(f"{times}{said['members'] // said.get('times', 1)} nodes", "members", said["members"])
    elif "value" in said:
        add(f"data {decimals(said['value'])}", "data", said["value"])
    else:
        dtype = said.get("dtype", "float64").replace("float64", "")  # the usual one is not worth its room
        add(f"{said.get('shape', '')} {dtype}".strip() or said["name"], "shape")
        if "norm" in said:  # graphs read from elsewhere may not know the numbers
            add(f"‖data‖ {short(said['norm'])}", "data", said["norm"])
    gradient = said.get("gradient") if flow is None or "gradient" in said else flow.gradients.get(node)
    if gradient is not None and not said.get("grad_norm"):  # the .grad of a Value is 0 before any reverse pass
        add(f"‖grad‖ {short(gradient)}", "grad", gradient)
    elif "grad" in said:
        add(f"grad {decimals(said['grad'])}", "grad", said["grad"])
    elif "grad_norm" in said:
        add(f"‖grad‖ {short(said['grad_norm'])}", "grad", said["grad_norm"])
    return fields


def messages(graph: nx.MultiDiGraph, flow: Flow | None) -> dict[tuple[str, int], float]:
    """The norm of the message along each edge (consumer, k): what the graph itself says (`viz.fold`), or the flow's."""
    found = {(v, k): said["message"] for _, v, k, said in graph.edges(keys=True, data=True) if "message" in said}
    if found or flow is None:
        return found
    return {(v, k): flow.messages[v, k] for _, v, k in graph.edges(keys=True) if (v, k) in flow.messages}


def edges(said: Mapping[str, Any]) -> str:
    """How many edges of the traced graph a line stands for, if it is more than one."""
    return f"{said['count']} edges" if said.get("count", 1) > 1 else ""


def root_of(graph: nx.MultiDiGraph, name: str | None = None) -> str:
    """What the result of a graph is called."""
    if name:
        return name
    said = graph.nodes[graph.graph["root"]] if graph.graph.get("root") in graph else {}
    made = f"the {said['op']}" if "op" in said else said.get("name", "the result")
    return shorten(str(said.get("symbol") or made), 40)


def discovery(graph: nx.MultiDiGraph, gradients: Mapping[str, float], name: str | None = None) -> str:
    """What a graph of values shows, in one sentence: which leaf has the largest gradient.

    >>> from microgradrnn import Value
    >>> from viz.graph.trace import trace
    >>> y = Value(2.0, label="a") * Value(3.0, label="b")
    >>> discovery(trace(y), {"a": 3.0, "b": 2.0}, "y")
    'Among the leaves of y, a has the largest gradient: 3'
    >>> discovery(trace(y), {})
    'The multiply is computed from 2 values in 1 operation'
    """
    root = root_of(graph, name)
    given = [node for node in graph if not graph.in_degree(node)]
    largest = max((node for node in given if gradients.get(node)), key=lambda node: abs(gradients[node]), default=None)
    if largest is not None and len(given) > 1:
        said = graph.nodes[largest]
        words = "".join(part for part, _ in called(graph).get(largest, ((said["name"], 0),)))
        size = short(gradients[largest]).replace("-", "−")
        return capital(f"Among the leaves of {root}, {shorten(words, 40)} has the largest gradient: {size}")
    n = len(graph) - len(given)
    folded = sum(said.get("members", 1) for _, said in graph.nodes(data=True))
    if folded > len(graph):
        return capital(f"{root}: {folded} nodes in {len(graph)} boxes")
    return capital(f"{root} is computed from {len(given)} value{'s' * (len(given) != 1)} in {n} "
                   f"operation{'s' * (n != 1)}")


def picture(graph: nx.MultiDiGraph, flow: Flow | None, rankdir: str, theme: Theme, name: str | None = None) -> Drawing:
    """The whole graph; with a flow, the norm of the message on every edge, and all arrows point the way it flowed."""
    fields = {node: fields_of(node, said, flow) for node, said in graph.nodes(data=True)}
    gradients = {node: one.datum for node, record in fields.items() for one in record
                 if one.what == "grad" and one.datum is not None}
    sent = messages(graph, flow)
    found = (finding(flow, name or "") if flow is not None and recurrent(flow.graph) else
             discovery(graph, gradients, name))
    counted = any(said.get("count", 1) > 1 for _, _, said in graph.edges(data=True))
    sheet = Sheet(graph, fields, theme, rankdir, gap=30.0 if sent or counted else 16.0)
    scale = Scale.of(sent.values(), anchor=anchor_of(flow) if flow is not None else None)
    wires, words = [], {}
    for u, v, k, said in graph.edges(keys=True, data=True):
        size, many = sent.get((v, k)), edges(said)
        note = f"from {u} to {graph.nodes[v].get('op', v)}, its input {k + 1}{many and f', {many}'}"
        how = look(size, scale) if sent else FORWARDS
        note += "" if size is None else f": {size:.6g}"
        wires.append((strength(how), sheet.wire(u, v, k, how, scale, datum=size, note=note)))
        if size is not None or many:
            words[u, v, k] = many if size is None else short(size)
    wires.sort(key=lambda pair: pair[0])
    items = [item for _, one in wires for item in one]
    signs = [item.extent for item in items if isinstance(item, Text)]
    items += sheet.heads
    items += [item for v in graph if "op" in graph.nodes[v] for item in sheet.operation(v, head=not sent)]
    items += [item for node in graph for item in sheet.record(node, fields[node])]
    items += [item for again in sheet.pills() for item in sheet.pill(*again)]
    spots = sheet.spots(words, signs)
    items += [item for (_, v, k), said in words.items() if (v, k) in spots
              for item in sheet.number((v, k), spots[v, k], said, sent.get((v, k)))]
    subtitle = describe(graph, sheet, len(words) - len(spots))
    notes = []
    if sent:
        notes.append("The number on a wire is the norm of the message that flowed back along it."
                     + " Of several edges as one: the root of the sum of their squared norms." * counted)
    width = max(sheet.width, min(sheet.room, LEAST))
    said = f"gradient of {loss_of(flow)} sent along each wire" if flow is not None else "message along each wire"
    blocks = [heading(found, width, theme, subtitle), Block(items, sheet.width, sheet.height + 4)]
    if sent:
        looks = off_the_scale(sent.get((v, k)) for _, v, k in graph.edges(keys=True))
        blocks.append(legend(scale, measured(scale, said, flow=flow), looks, notes, width, theme))
    return finished(column(blocks, 16), found, summary(subtitle, gradients, graph), sheet)


def describe(graph: nx.MultiDiGraph, sheet: Sheet, hidden: int) -> str:
    """What is drawn, in words."""
    said = [one for _, one in graph.nodes(data=True)]
    words = "A record for each value, a circle for each operation."
    if any(one["kind"] == "folded" for one in said):
        words = "A box for each value or group of values, a circle for each operation."
    if any(one.get("sign") == "[ ]" for one in said):
        words += " [ ] takes a part of an array."
    if len(sheet.rows) > 1:
        words += (" Rows stand in the order of computing; a dotted pill is a value from another row" +
                  ("; # numbers what has no name." if any(name[0][0].startswith("#") for name in sheet.names.values())
                   else "."))
    if sheet.heads:
        words += " (viz.draw_unrolled draws such a net along an axis of time, a cell for each step.)"
    if hidden:
        words += f" {hidden} number{'s' * (hidden > 1)} found no room: point at the wire."
    return words


def summary(subtitle: str, gradients: Mapping[str, float], graph: nx.MultiDiGraph) -> str:
    """What is drawn, and the largest gradients."""
    largest = sorted((node for node in gradients if not graph.in_degree(node)), key=lambda node: -abs(gradients[node]))
    listed = ", ".join(f"{shorten(node, 40)} {short(gradients[node])}" for node in largest[:5])
    return subtitle + (f" The largest gradients of what is given: {listed}." if listed else "")


def finished(block: Block, title: str, said: str, sheet: Sheet) -> Drawing:
    """A picture of a sheet, with margins."""
    margin, by = sheet.theme.margin, sheet.rows[0]
    items: list[Item] = [block.at(margin, margin)]
    scene = Scene(items, block.width + 2 * margin, block.height + 2 * margin, title, said, sheet.theme,
                  laid_out_by=str(by).removeprefix("laid out by "))
    return replace(Drawing.of(scene), laid_out_by=by.by)
