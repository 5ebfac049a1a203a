"""Pictures of unrolled nets: seconds and bytes against the number of steps; and against Graphviz' dot.

Every step is drawn. Ours is everything from the finished forward pass to the SVG text: trace, layout, markup. dot gets
the same graph as DOT text that is ready, and its layout and SVG are timed, its start included. Once as the graph is,
where weights and inputs have an edge to every step; once with one cluster a step and without those edges, which suits
it best.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from statistics import median
from typing import Any

import networkx as nx
import numpy as np

import viz
from benchmarks.measure import MissingPeerError, Row, peer, seconds
from microgradrnn import nn

H = 16
BARS = {10: 0.1, 100: 0.3, 1_000: 3.0, 10_000: 30.0}
PATIENCE = 120  # seconds that dot gets


def loss(T: int) -> Any:
    """Of the last step of an LSTM, one sequence."""
    _, (h, _) = nn.LSTM(H, H, rng=0)(np.random.default_rng(0).standard_normal((T, 1, H)))
    return (h * h).sum()


def measured(T: int, root: Any) -> float:
    """Seconds from the finished forward pass to the SVG text, the median of a few."""
    repeats = 5 if T < 1_000 else 3 if T < 10_000 else 1
    return median(seconds(lambda: viz.draw_unrolled(root, last=T)) for _ in range(repeats))


def rows() -> Iterator[Row]:
    """Time, growth, size, and dot."""
    roots = {T: loss(T) for T in BARS}
    measured(10, roots[10])  # warms up
    taken = {}
    for T, bar in BARS.items():
        taken[T] = measured(T, roots[T])
        yield Row(f"picture of an LSTM, H={H}, T={T:,}, every step : {bar:g} s", f"{taken[T]:.3f} s", f"{bar:g} s",
                  taken[T] / bar, bar=1.0)
    yield Row("picture of an LSTM: time a step at T=10,000 : at 100", f"{taken[10_000] / 10:.3f} ms",
              f"{taken[100] * 10:.3f} ms", taken[10_000] / taken[100] / 100, bar=1.5)
    size = len(viz.draw_unrolled(roots[1_000], last=1_000).svg.encode())
    yield Row("picture of an LSTM, T=1,000: SVG : 1 MB", f"{size / 1e6:.2f} MB", "1 MB", size / 1e6, bar=1.0)
    flow = viz.gradient_flow(roots[1_000])
    size = len(viz.draw_unrolled(flow, last=1_000).svg.encode())
    yield Row("the same with the flow on every edge : 3 MB", f"{size / 1e6:.2f} MB", "3 MB", size / 3e6, bar=1.0)
    spent = median(seconds(lambda: viz.draw_unrolled(flow, last=1_000)) for _ in range(3))
    yield Row("the same with the flow on every edge: layout and SVG", f"{spent:.3f} s")
    yield from against_dot()
    for name, draw in (("torchviz", torchviz_graph), ("torchview", torchview_graph)):
        try:
            spent = median(seconds(draw) for _ in range(3))
        except MissingPeerError as missing:
            yield Row(f"graph of a torch LSTMCell loop, T=100, no layout: {name}", f"{taken[100]:.3f} s", str(missing))
        else:
            yield Row(f"picture of an LSTM, T=100 : {name}'s graph alone, not laid out", f"{taken[100]:.3f} s",
                      f"{spent:.3f} s", taken[100] / spent)


# ------------------------------------------------------------------------------------------------ dot
def against_dot() -> Iterator[Row]:
    """The same graph, laid out by dot."""
    for T, clusters, bar in ((30, False, 1 / 100), (300, True, 1 / 5)):
        root = loss(T)
        what = f"picture of an LSTM, T={T} : dot, {'one cluster a step' if clusters else 'weights shared'}"
        ours = measured(T, root)
        if shutil.which("dot") is None:
            yield Row(what, f"{ours:.3f} s", "no dot here")
            continue
        spent, how = dot_takes(dot_text(viz.trace(root), clusters))
        if spent is None:
            yield Row(what, f"{ours:.3f} s", how)
        else:
            yield Row(what, f"{ours:.3f} s", f"{how}{spent:.2f} s", ours / spent, bar=bar)


def dot_text(graph: nx.MultiDiGraph, clusters: bool) -> str:
    """The graph for dot; with a cluster for each step, and then without what has an edge to every step."""
    drawn = [node for node, said in graph.nodes(data=True)
             if not (clusters and "step" not in said and graph.out_degree(node) > 1)]
    number = {node: f"n{j}" for j, node in enumerate(drawn)}
    lines = ["digraph {", "rankdir=LR; node [shape=box]"]
    steps: dict[int, list[str]] = {}
    for node in drawn:
        said = graph.nodes[node]
        lines.append(f'{number[node]} [label="{said["name"]}"]')
        if "step" in said:
            steps.setdefault(said["step"], []).append(number[node])
    if clusters:
        lines += [f"subgraph cluster_{step} {{ {' '.join(inside)} }}" for step, inside in steps.items()]
    lines += [f"{number[u]} -> {number[v]}" for u, v in graph.edges() if u in number and v in number]
    return "\n".join([*lines, "}"])


def dot_takes(source: str) -> tuple[float | None, str]:
    """Seconds that dot takes for an SVG, and what is to be said of it: nothing, or that it was stopped or failed."""
    def run() -> None:
        subprocess.run(["dot", "-Tsvg"], input=source.encode(), capture_output=True, timeout=PATIENCE, check=True)

    try:
        return seconds(run), ""
    except subprocess.TimeoutExpired:
        return float(PATIENCE), "over "
    except subprocess.CalledProcessError as failed:
        return None, f"dot failed ({failed.returncode})"


# ------------------------------------------------------------------------------------------------ peers
def torchviz_graph(T: int = 100) -> object:
    """torchviz: the graph of a loop over torch's LSTMCell, as DOT text."""
    torchviz, torch = peer("torchviz"), peer("torch")
    cell = torch.nn.LSTMCell(H, H)
    state: Any = None
    for x in torch.ones(T, 1, H):
        state = cell(x, state)
    return torchviz.make_dot(state[0].sum(), params=dict(cell.named_parameters())).source


def torchview_graph(T: int = 100) -> object:
    """torchview: the same."""
    torchview, torch = peer("torchview"), peer("torch")

    class Loop(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.cell = torch.nn.LSTMCell(H, H)

        def forward(self, xs: Any) -> Any:
            """The last h."""
            state: Any = None
            for x in xs:
                state = self.cell(x, state)
            return state[0].sum()

    return torchview.draw_graph(Loop(), input_data=torch.ones(T, 1, H), device="cpu").visual_graph.source
