"""All that viz measures of a program, as one dict; and whether two such measures agree.

Nothing here knows how viz works: it asks for what anybody can ask for, and writes down the number, or that there is
none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

import viz
from tests.viz.rewritings import Written, outputs
from viz.graph.cells import one_cell
from viz.graph.steps import layers
from viz.graph.trace import traced

TOLERANCE = 1e-12  # of the largest entry of the two
ROUNDING = 1e-15  # inputs and weights are of order one: what is smaller is nothing


class No(NamedTuple):
    """There is no such number; the kind of the error that says why, and its words."""

    kind: str
    words: str = ""


Measure = Any  # a number, an array, words, a No, or a dict of measures


def tried(f: Callable[[], Measure]) -> Measure:
    """What f returns, or why it does not."""
    try:
        return f()
    except Exception as error:
        return No(type(error).__name__, str(error))


def measures(program: Written) -> dict[str, Measure]:
    """Every number that viz gives of a program.

    Steps are not called by their numbers, which are the user's, but by how many steps of the loop lie between; what
    comes by step is put in the order of the loop.
    """
    found: dict[str, Measure] = {}
    loss, labels = program.loss, program.labels
    flow = viz.gradient_flow(loss)
    of_layers: list[list[str]] = []
    while len(of_layers) < 4:
        try:
            of_layers.append(flow.state_names(len(of_layers)))
        except ValueError:  # no such layer
            break
    names = [(layer, name) for layer, some in enumerate(of_layers) for name in some]
    count = found["layers"] = len(of_layers)
    found["states of layers"] = sorted(map(len, of_layers))
    found["names"] = [sorted(some) for some in of_layers]

    def each(f: Callable[[str, int], Measure]) -> dict[str, Measure]:
        return {f"{layer}: {name}": tried(partial(f, name, layer)) for layer, name in names}

    profiles = each(lambda name, layer: flow.profile(name, layer))

    def of(f: Callable[[viz.Profile], Measure]) -> dict[str, Measure]:
        return {key: one if isinstance(one, No) else tried(partial(f, one)) for key, one in profiles.items()}

    found["profile"] = of(lambda one: np.array(one.norms))
    found["lags"] = of(lambda one: np.array(one.lags, float))
    found["horizon"] = of(lambda one: str(one.horizon(0.5)))
    found["decay"] = of(rates)
    found["split"] = each(lambda name, layer: np.array([(a.lag, a.total, a.carry, a.rest)
                                                        for a in flow.split(name, layer)]))
    found["default profile"] = tried(lambda: np.array(flow.profile().norms))
    for by in ("first", ("last", "set", "number")[program.task.case.seed % 3]):
        found[f"ways, {by}"] = each(partial(ways_of, program, by))
    found["shares"] = tried(lambda: by_step(viz.shares(loss, program.parameters), labels))
    found["names of shares"] = tried(lambda: len(viz.shares(loss)))
    found["shares by lag"] = tried(lambda: {name: lagged(one) for name, one in
                                            viz.shares(loss, program.parameters, by="lag").items()})
    for layer in range(count):
        found |= {f"{what}, layer {layer}": one for what, one in of_layer(program, layer).items()}
    found["errors at states"] = each(lambda name, layer: errors(viz.local_errors(loss, layer, at=name), labels))
    found["comparison"] = tried(lambda: compared(loss))
    found["delays"] = tried(lambda: delays(loss, labels))
    found["drawn"] = tried(lambda: drawn(program))
    if not program.task.scalar and not program.task.ragged:
        x = program.task.xs[:, :1]
        found["connectivity"] = tried(lambda: viz.connectivity(outputs(program), x, [0] * len(x)))
    return found


def rates(profile: viz.Profile) -> Measure:
    """The line through a profile."""
    line = viz.decay(profile)
    return "no line" if line is None else np.array([line.rate, line.intercept, line.error, line.lags])


def ways_of(program: Written, by: str, name: str, layer: int) -> Measure:
    """The ways by which the gradient comes to a state."""
    return by_way(viz.ways(program.loss, name, by=by, layer=layer), program)


def by_way(found: viz.Ways, program: Written) -> Measure:
    """The parts at the steps; the row of a first state is left out, for only some programs have one."""
    rows = slice(None, -1 if found.initial else None)
    size = 1.0 + float(np.abs(found.whole).max(initial=0.0))
    parts = {name: part[rows] for name, part in found.parts.items() if np.abs(part[rows]).max(initial=0) > 1e-15 * size}
    return {"lags": np.array(found.lags[rows], float), "whole": found.whole[rows], "parts": parts}


def in_order(keys: Sequence[int], labels: Sequence[int]) -> list[int]:
    """The places of keys, in the order of the loop."""
    if set(keys) <= set(labels):
        return sorted(range(len(keys)), key=lambda j: labels.index(keys[j]))
    order = sorted(range(len(keys)), key=lambda j: keys[j])
    return order[::-1] if labels[-1] < labels[0] else order


def by_step(found: Mapping[str, viz.Shares], labels: Sequence[int]) -> Measure:
    """The shares of all steps, (T, *shape); a step that is missing has none."""
    result = {}
    for name, one in found.items():
        order = in_order(one.keys, labels)
        result[name] = {"steps": one.arrays[order], "rest": one.rest, "total": one.total}
    return result


def lagged(one: viz.Shares) -> Measure:
    """The shares by lag. Time may be numbered backwards: what counts is how many steps lie between."""
    there = {abs(lag): share for lag, share in zip(one.keys, one.arrays, strict=True) if np.any(share)}
    return {"rest": one.rest} | {f"lag {lag}": share for lag, share in there.items()}


def errors(found: viz.LocalErrors, labels: Sequence[int]) -> Measure:
    """The norms, both losses and steps in the order of the loop."""
    rows, columns = in_order(found.losses, labels), in_order(found.steps, labels)
    return {"norms": found.norms[rows][:, columns], "reached": found.reached[rows][:, columns].astype(float)}


def of_layer(program: Written, layer: int) -> dict[str, Measure]:
    """What is said of a layer as a whole."""
    loss = program.loss
    batch = int(program.task.lengths.argmax())

    def jacobians() -> Measure:
        if program.task.T == 1:
            return "a single step"
        found = viz.step_jacobians(loss, layer, batch=batch)
        rows = [j for j, step in enumerate(found.steps) if step in program.labels[1:]]  # the first has one if h_0 does
        if not rows:
            raise ValueError("there is one of the first step alone")
        return {"blocks": {f"{a} {b}": found.block(a, b)[rows] for a in found.states for b in found.states},
                "transport": found.transport()[:len(rows) + 1]}

    return {"jacobians": tried(jacobians),
            "errors": tried(lambda: errors(viz.local_errors(loss, layer), program.labels))}


def compared(loss: Any) -> Measure:
    """The track of the last layer, and what is said of it."""
    found = viz.compare_flow({"net": loss})
    (track,) = found.tracks
    return {"verdict": found.verdict, "net": track.net, "lags": np.array(track.lags, float),
            "norms": np.array(track.norms), "fed": str(track.fed), "horizon": str(track.horizon(0.5)),
            "parts": {way: np.array(part) for way, part in track.parts.items() if max(part) > 1e-15}}


def delays(loss: Any, labels: Sequence[int]) -> Measure:
    """By how many steps the rolled graph hands something on, and whether a circle lacks a delay.

    Not how many edges do, nor how often: through ``h * 1.0`` one edge goes on to three readers. Delays are in steps of
    the loop.
    """
    rolled = viz.roll(loss)
    back = {abs(delay) for _, _, delay in rolled.edges(data="delay") if delay}
    at_once = [(u, v) for u, v, said in rolled.edges(data=True) if not said.get("delay")]
    circle = not nx.is_directed_acyclic_graph(nx.DiGraph(at_once))
    return f"delays: {sorted(back)}{', a circle without delay' * circle}"


def drawn(program: Written) -> Measure:
    """What the cells show as inputs, by label; which of those are worked out from a state; how many lines go on."""
    graph, ids = traced(program.loss)
    late = {ids[part] for state in program.kept for part in state if part in ids}
    for node, _ in sorted(graph.nodes(data="order"), key=lambda item: item[1]):
        if any(u in late for u in graph.predecessors(node)):
            late.add(node)
    inputs: list[str] = []
    wrong: set[str] = set()
    handed = []
    for layer in layers(graph):
        cell = one_cell(graph, layer, layer.order)
        for name, glyph in cell.glyphs.items():
            if glyph.shape == "input":
                inputs.append(glyph.label)
                # of a stack the layer above reads the states of the one below, as its inputs: those count as such
                if not program.task.stacked and any(names.get(name) in late for names in layer.steps.values()):
                    wrong.add(glyph.label)
        handed.append(len({wire.source for wire in cell.wires if wire.delay}))
    return {"inputs": f"{len(inputs)}: {', '.join(sorted(inputs))}", "states as inputs": ", ".join(sorted(wrong)),
            "states handed on": str(sorted(handed))}


def short(x: Measure) -> str:
    """A measure in a few words."""
    if isinstance(x, No):
        return f"no: {x.kind}: {x.words[:90]}"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{k}: {short(v)}" for k, v in list(x.items())[:4]) + "}"
    if isinstance(x, np.ndarray):
        return np.array2string(x.ravel()[:6], precision=5, separator=" ") + (f" {x.shape}" if x.ndim > 1 else "")
    return str(x)[:200]


def alike(a: Measure, b: Measure, named: bool = True) -> bool:
    """Do two measures agree? Numbers to 1e-12 of the largest entry; reasons by kind.

    What stands under names (states, ways) is paired by name if named, else in the one way in which all agree, if there
    is one.
    """
    if isinstance(a, No) or isinstance(b, No):
        return isinstance(a, No) and isinstance(b, No) and a.kind == b.kind
    if isinstance(a, dict):
        if not isinstance(b, dict) or len(a) != len(b):
            return False
        if a.keys() == b.keys() and all(alike(one, b[key], named) for key, one in a.items()):
            return True
        if named or {"lags", "norms", "steps", "blocks", "inputs"} & a.keys():
            return False
        left = list(b.values())
        for one in a.values():
            fit = next((j for j, other in enumerate(left) if alike(one, other, named)), None)
            if fit is None:
                return False
            del left[fit]
        return True
    if isinstance(a, np.ndarray | float):
        a, b = np.asarray(a), np.asarray(b) if isinstance(b, float) else b
        if not isinstance(b, np.ndarray):
            return False
        if a.shape != b.shape:  # a Value is an array of one entry
            a, b = (x.reshape([n for n in x.shape if n != 1]) for x in (a, b))
            if a.shape != b.shape:
                return False
        if not a.size:
            return True
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return False
        a, b = np.nan_to_num(a), np.nan_to_num(b)
        largest = max(float(np.abs(a).max()), float(np.abs(b).max()))
        return float(np.abs(a - b).max()) <= max(TOLERANCE * largest, ROUNDING)
    return type(a) is type(b) and bool(a == b)
