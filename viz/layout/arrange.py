"""Arranging an irregular graph: by Graphviz where it is to be had, by our own ranks where it is not.

Graphviz gets boxes without a word in them and gives back where they stand; whoever asked paints. So a picture looks the
same whatever arranged it, and no label ever reaches a parser. In this order: the ``dot`` program; pygraphviz, whose
wheels hold Graphviz' libraries; `viz.layout.layered`. The first two run as processes of their own, and not for ever.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from viz.layout.geometry import Place, Route
from viz.layout.layered import layered

PATIENCE = 20.0  # seconds for Graphviz
PYGRAPHVIZ = """
import sys, warnings
warnings.simplefilter("ignore")
import pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


@dataclass
class Arrangement:
    """Where everything stands, as in `viz.layout.layered.Layered`, and what found it.

    Attributes:
        boxes, routes, width, height: as there.
        by: ``dot``, ``pygraphviz`` or ``viz.layout.layered``.
        instead: for each that was tried before, why it was not that: ``not installed``, ``took more than 20 s``.
    """

    boxes: dict[Any, Place]
    routes: dict[tuple[Any, Any, Any], Route]
    width: float
    height: float
    by: str
    instead: dict[str, str]

    def __str__(self) -> str:
        return "; ".join([f"laid out by {self.by}", *(f"{tool}: {why}" for tool, why in self.instead.items())])


class GraphvizError(Exception):
    """Graphviz could not be had, or could not do it; says why."""


def arrange(graph: nx.MultiDiGraph, sizes: Mapping[Any, tuple[float, float]], *, rankdir: str = "LR",
            gap: float = 18.0) -> Arrangement:
    """Lay a graph out, its edges pointing the way that rankdir says.

    Args:
        graph: any directed multigraph.
        sizes: width and height of each node, in pixels.
        rankdir: ``LR``, ``RL``, ``TB`` or ``BT``.
        gap: the room between neighbours; there is twice as much between ranks.

    >>> graph = nx.MultiDiGraph([("x", "y"), ("x", "y")])
    >>> found = arrange(graph, {"x": (30, 20), "y": (30, 20)})
    >>> found.boxes["x"].right < found.boxes["y"].left, sorted(found.routes)
    (True, [('x', 'y', 0), ('x', 'y', 1)])
    """
    try:
        output, by, instead = by_graphviz(wordless(graph, sizes, rankdir, gap), "json0")
        return placed(json.loads(output), graph, sizes, by, instead)
    except GraphvizError as error:
        found = layered(graph, sizes, rankdir=rankdir, gap=gap)
        return Arrangement(found.boxes, found.routes, found.width, found.height, "viz.layout.layered", error.args[0])


FRONT = {"LR": "e", "RL": "w", "TB": "s", "BT": "n"}  # the side of a node that its edges leave from


def by_graphviz(text: str, format: str) -> tuple[bytes, str, dict[str, str]]:
    """What Graphviz makes of a text in DOT, which tool it was, and why not the one before.

    Raises:
        GraphvizError: if there is no Graphviz, or it fails; its argument says of each tool why.
    """
    program = shutil.which("dot")
    commands = {
        "dot": [program, f"-T{format}"] if program else None,
        "pygraphviz": [sys.executable, "-c", PYGRAPHVIZ, format] if has_pygraphviz() else None,
    }
    why: dict[str, str] = {}
    for tool, command in commands.items():
        if command is None:
            why[tool] = "not installed"
            continue
        try:
            run = subprocess.run(command, input=text.encode(), capture_output=True, timeout=PATIENCE, check=True)
        except subprocess.TimeoutExpired:
            why[tool] = f"took more than {PATIENCE:g} s"
            break  # the other is the same Graphviz
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip().splitlines()
            why[tool] = f"failed: {said[-1][:200] if said else f'exit status {error.returncode}'}"
        except OSError as error:
            why[tool] = f"failed: {error.strerror}"
        else:
            return run.stdout, tool, why
    raise GraphvizError(why)


def has_pygraphviz() -> bool:
    """Is it installed? (It is imported in a process of its own only.)"""
    try:
        return importlib.util.find_spec("pygraphviz") is not None
    except ValueError:  # sys.modules says: there is none
        return False


def wordless(graph: nx.MultiDiGraph, sizes: Mapping[Any, tuple[float, float]], rankdir: str, gap: float) -> str:
    """The graph in DOT: boxes of these sizes, without labels."""
    names = {node: f"n{j}" for j, node in enumerate(graph)}
    lines = [
        f"rankdir={rankdir} nodesep={gap / 72:.3f} ranksep={2 * gap / 72:.3f}",
        f'node [shape=box fixedsize=true label=""] edge [dir=none tailport={FRONT[rankdir]}]',
        *(f"{names[node]} [width={sizes[node][0] / 72:.5f} height={sizes[node][1] / 72:.5f}]" for node in graph),
        *(f"{names[u]} -> {names[v]} [id=e{j}]" for j, (u, v, _) in enumerate(graph.edges(keys=True))),
    ]
    return "digraph {\n" + "\n".join(lines) + "\n}\n"


def placed(found: dict[str, Any], graph: nx.MultiDiGraph, sizes: Mapping[Any, tuple[float, float]], by: str,
           instead: dict[str, str]) -> Arrangement:
    """What Graphviz says of `wordless`, in our terms: its y grows upwards."""
    _, _, width, height = map(float, found["bb"].split(","))

    def point(words: str) -> tuple[float, float]:
        x, y = map(float, words.split(",")[-2:])
        return x, height - y

    boxes = {node: Place(*point(said["pos"]), *map(float, sizes[node]))
             for node, said in zip(graph, found.get("objects", ()), strict=True)}
    ways = {said["id"]: [point(words) for words in said["pos"].split()] for said in found.get("edges", ())}
    routes = {}
    for j, edge in enumerate(graph.edges(keys=True)):
        start, *rest = ways[f"e{j}"]
        routes[edge] = Route(start, [tuple(rest[i:i + 3]) for i in range(0, len(rest), 3)])
    return Arrangement(boxes, routes, width, height, by, instead)
