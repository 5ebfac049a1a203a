"""A layered layout for any graph: ranks by longest path, few crossings, nothing overlaps, no edge runs through a box.

For graphs without time steps, and for irregular ones where the ``dot`` program is missing. An unrolled net has better
(`viz.layout`): a step laid out once.

Sugiyama's four stages, each in about linear time: turn round the edges of cycles; give each node a rank; order the
ranks by barycentres; place by least squares. All edges out of one node share one chain of gaps through the ranks they
cross. Edges that cross many ranks (a weight that a thousand steps read) run on rails below everything, which they reach
between two ranks, where no box stands: else each would cost a gap on every rank, and the whole quadratic time.
"""

from __future__ import annotations

import math
from bisect import bisect, insort
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import networkx as nx

from viz.layout.geometry import Place, Point, Route, apart

SWEEPS = 8
LONG = 8  # an edge that crosses more ranks runs on a rail
THIN = 4.0  # the room that an edge gets where it crosses a rank
Spot = Any  # a node, or a gap: (Gap, source, rank)
Key = tuple[Hashable, Hashable, Hashable]


class Gap:
    """Marks a spot that is kept free for the edges out of one node, on a rank they cross."""


@dataclass
class Layered:
    """Where everything stands. The origin is the upper left corner.

    Attributes:
        boxes: where each node stands.
        routes: the way of each edge ``(u, v, key)``; the key is 0 in a graph without parallel edges.
        width, height: of the whole.
    """

    boxes: dict[Hashable, Place]
    routes: dict[Key, Route]
    width: float
    height: float


def layered(graph: nx.DiGraph | nx.MultiDiGraph, sizes: Mapping[Any, tuple[float, float]], *, rankdir: str = "LR",
            gap: float = 18.0) -> Layered:
    """Lay a graph out in ranks.

    Args:
        graph: any directed graph; cycles and loops are allowed.
        sizes: width and height of each node.
        rankdir: which way the edges point: ``LR``, ``RL``, ``TB`` (downwards) or ``BT``.
        gap: the room between neighbours in a rank. Between ranks there is more, the more edges run there.

    Raises:
        ValueError: if rankdir is none of these, or a node has no size.

    >>> found = layered(nx.DiGraph([("x", "y"), ("y", "z"), ("x", "z")]), dict.fromkeys("xyz", (30, 20)))
    >>> [found.boxes[name].x for name in "xyz"]
    [15.0, 82.875, 150.75]
    """
    if rankdir not in ("LR", "RL", "TB", "BT"):
        raise ValueError(f"layered: rankdir is 'LR', 'RL', 'TB' or 'BT', got {rankdir!r}")
    missing = [node for node in graph if node not in sizes]
    if missing:
        raise ValueError(f"layered: sizes has no entry for {missing[0]!r}")
    return _Ranks(graph, sizes, rankdir, gap).laid_out()


def backward_edges(graph: nx.DiGraph) -> set[tuple[Any, Any]]:
    """The edges that close a cycle, as a depth-first search in the graph's own order finds them.

    >>> backward_edges(nx.DiGraph([(1, 2), (2, 3), (3, 1)]))
    {(3, 1)}
    """
    found = set()
    done: set[Any] = set()
    inside: set[Any] = set()
    for start in graph:
        if start in done:
            continue
        stack = [(start, iter(graph.successors(start)))]
        inside.add(start)
        while stack:
            node, ahead = stack[-1]
            for v in ahead:
                if v in inside:
                    found.add((node, v))
                elif v not in done:
                    inside.add(v)
                    stack.append((v, iter(graph.successors(v))))
                    break
            else:
                stack.pop()
                inside.remove(node)
                done.add(node)
    return found


class _Ranks:
    """One layout in the making. ``along`` runs with the edges, ``across`` runs within a rank."""

    def __init__(self, graph: Any, sizes: Mapping[Any, tuple[float, float]], rankdir: str, gap: float) -> None:
        self.original, self.sizes, self.rankdir, self.gap = graph, sizes, rankdir, gap
        simple = nx.DiGraph()
        simple.add_nodes_from(graph)
        simple.add_edges_from((u, v) for u, v in graph.edges() if u != v)
        self.turned = backward_edges(simple)
        simple.remove_edges_from(self.turned)
        simple.add_edges_from((v, u) for u, v in self.turned)
        self.graph = simple
        self.level = rank(simple)
        self.next: dict[Spot, list[Spot]] = defaultdict(list)  # spots of the rank after
        self.last: dict[Spot, list[Spot]] = defaultdict(list)  # spots of the rank before
        self.long: list[tuple[Any, Any]] = []
        self.rows = self._rows()
        self.across: dict[Spot, float] = {}

    def laid_out(self) -> Layered:
        self._order()
        self._place()
        return self._draw()

    # ------------------------------------------------------------------------------------------------ spots
    def _rows(self) -> list[list[Spot]]:
        """The nodes of each rank, and the gaps that edges cross it through."""
        rows: list[list[Spot]] = [[] for _ in range(1 + max(self.level.values(), default=-1))]
        for u in nx.topological_sort(self.graph):
            rows[self.level[u]].append(u)
            here = self.level[u]
            reached: Spot = u
            for v in sorted(self.graph.successors(u), key=self.level.__getitem__):
                if self.level[v] - self.level[u] > LONG:
                    self.long.append((u, v))
                    continue
                while here < self.level[v] - 1:
                    here += 1
                    spot = (Gap, u, here)
                    rows[here].append(spot)
                    self._join(reached, spot)
                    reached = spot
                self._join(reached, v)
        return rows

    def _join(self, a: Spot, b: Spot) -> None:
        self.next[a].append(b)
        self.last[b].append(a)

    def _thickness(self, spot: Spot, across: bool) -> float:
        if is_gap(spot):
            return THIN if across else 0.0
        w, h = self.sizes[spot]
        return float(h if across == (self.rankdir in ("LR", "RL")) else w)

    # ------------------------------------------------------------------------------------------------ order
    def _order(self) -> None:
        """Sweeps forth and back, each rank sorted by the mean place of its neighbours; the best order is kept."""
        fewest, best = self._crossings(), [list(row) for row in self.rows]
        place = {spot: float(j) for row in self.rows for j, spot in enumerate(row)}
        for sweep in range(SWEEPS):
            if not fewest:
                break
            forth = sweep % 2 == 0
            around = self.last if forth else self.next
            for row in self.rows if forth else reversed(self.rows):
                means = {spot: sum(place[other] for other in around[spot]) / len(around[spot])
                         if around[spot] else place[spot] for spot in row}
                row.sort(key=means.__getitem__)
                for j, spot in enumerate(row):
                    place[spot] = float(j)
            if (crossings := self._crossings()) < fewest:
                fewest, best = crossings, [list(row) for row in self.rows]
        self.rows = best

    def _crossings(self) -> int:
        """How many pairs of edges cross between neighbouring ranks."""
        total = 0
        for row, following in pairwise(self.rows):
            place = {spot: j for j, spot in enumerate(following)}
            ends: list[int] = []
            for spot in row:
                mine = sorted(place[other] for other in self.next[spot])
                total += sum(len(ends) - bisect(ends, j) for j in mine)
                for j in mine:
                    insort(ends, j)
        return total

    # ------------------------------------------------------------------------------------------------ places
    def _place(self) -> None:
        """Across: near the neighbours, apart from those in the same rank; chains of gaps pull straight."""
        for row in self.rows:
            self.across |= zip(row, apart([0.0] * len(row), [self._thickness(s, True) for s in row], self.gap),
                               strict=True)
        pulls = {spot: [(other, 4.0 if is_gap(spot) and is_gap(other) else 1.0)
                        for other in (*self.last[spot], *self.next[spot])] for row in self.rows for spot in row}
        for sweep in range(2 * SWEEPS):
            for row in self.rows if sweep % 2 == 0 else reversed(self.rows):
                wanted, weights = [], []
                for spot in row:
                    weight = sum(w for _, w in pulls[spot])
                    wanted.append(sum(self.across[other] * w for other, w in pulls[spot]) / weight
                                  if weight else self.across[spot])
                    weights.append(max(weight, 0.5))
                self.across |= zip(row, apart(wanted, [self._thickness(s, True) for s in row], self.gap, weights),
                                   strict=True)
        start = min((self.across[s] - self._thickness(s, True) / 2 for row in self.rows for s in row), default=0.0)
        for spot in self.across:
            self.across[spot] -= start

    def _along(self) -> list[tuple[float, float]]:
        """Where each rank begins and ends. The more edges change places between two ranks, the further apart."""
        spans, x = [], 0.0
        for j, row in enumerate(self.rows):
            thick = max(self._thickness(spot, False) for spot in row)
            spans.append((x, x + thick))
            steep = max((abs(self.across[a] - self.across[b]) for a in row for b in self.next[a]), default=0.0)
            x += thick + (2 * self.gap + min(steep / 8, 3 * self.gap) if j + 1 < len(self.rows) else 0.0)
        return spans

    # ------------------------------------------------------------------------------------------------ routes
    def _draw(self) -> Layered:
        spans = self._along()
        self.middle = [(a + b) / 2 for a, b in spans]
        length = spans[-1][1] if spans else 0.0
        breadth = max((self.across[s] + self._thickness(s, True) / 2 for s in self.across), default=0.0)
        ports = self._ports()
        self.rails = {edge: breadth + self.gap + 8 * track for edge, track in self._tracks().items()}
        breadth = max([breadth, *self.rails.values()])
        ways = {}
        for u, v, key in self._edges():
            if u == v:
                ways[u, v, key] = self._loop(u)
                breadth = max(breadth, *(y for _, y in ways[u, v, key].points()))
                continue
            a, b = (v, u) if (u, v) in self.turned else (u, v)
            way = self._way(a, b, ports[u, v, key], spans)
            ways[u, v, key] = reversed_route(way) if (u, v) in self.turned else way

        def put(p: Point) -> Point:
            along, across = p if self.rankdir in ("LR", "TB") else (length - p[0], p[1])
            return (along, across) if self.rankdir in ("LR", "RL") else (across, along)

        boxes = {node: Place(*put((self.middle[self.level[node]], self.across[node])), *map(float, self.sizes[node]))
                 for node in self.original}
        routes = {key: Route(put(way.start), [tuple(map(put, piece)) for piece in way.pieces])
                  for key, way in ways.items()}
        return Layered(boxes, routes, *((length, breadth) if self.rankdir in ("LR", "RL") else (breadth, length)))

    def _edges(self) -> list[Key]:
        if self.original.is_multigraph():
            return list(self.original.edges(keys=True))
        return [(u, v, 0) for u, v in self.original.edges()]

    def _ports(self) -> dict[Key, float]:
        """Where, across, each edge enters its target: side by side, in the order in which they come."""
        rails = set(self.long)
        entering: dict[Any, list[tuple[float, int, Key]]] = defaultdict(list)
        for j, (u, v, key) in enumerate(self._edges()):
            if u != v:
                a, b = (v, u) if (u, v) in self.turned else (u, v)
                before = math.inf if (a, b) in rails else self.across[self._before(a, b)]
                entering[b].append((before, j, (u, v, key)))
        ports = {}
        for target, edges in entering.items():
            room = self._thickness(target, True)
            step = min(room / (len(edges) + 1), 12.0)
            for j, (_, _, edge) in enumerate(sorted(edges, key=lambda item: item[:2])):
                ports[edge] = self.across[target] + (j - (len(edges) - 1) / 2) * step
        return ports

    def _tracks(self) -> dict[tuple[Any, Any], int]:
        """Which rail each long edge runs on: those out of one node, or into one node, share one, whichever are more."""
        out, into = Counter(u for u, _ in self.long), Counter(v for _, v in self.long)
        shared: dict[Any, list[tuple[Any, Any]]] = defaultdict(list)
        for u, v in self.long:
            shared[(u, 0) if out[u] >= into[v] else (v, 1)].append((u, v))
        taken: list[int] = []  # how far each rail is taken
        found: dict[tuple[Any, Any], int] = {}
        for edges in sorted(shared.values(), key=lambda edges: min(self.level[u] for u, _ in edges)):
            first, last = min(self.level[u] for u, _ in edges), max(self.level[v] for _, v in edges)
            track = next((j for j, end in enumerate(taken) if end < first), len(taken))
            taken[track:track + 1] = [last]
            found |= dict.fromkeys(edges, track)
        return found

    def _before(self, a: Any, b: Any) -> Spot:
        """The spot on the rank before b that the edge from a comes from."""
        return a if self.level[a] == self.level[b] - 1 else (Gap, a, self.level[b] - 1)

    def _way(self, a: Any, b: Any, port: float, spans: list[tuple[float, float]]) -> Route:
        route = Route((self.middle[self.level[a]] + self._thickness(a, False) / 2, self.across[a]))
        route.line(spans[self.level[a]][1], self.across[a])
        if (a, b) in self.rails:
            rail, (down, up) = self.rails[a, b], (spans[self.level[a]][1] + 12, spans[self.level[b]][0] - 12)
            route.corner(down, rail - 8, 8, level_first=True).corner(up - 8, rail, 8, level_first=False)
            route.corner(up, port + 8, 8, level_first=True)
            return route.corner(self.middle[self.level[b]] - self._thickness(b, False) / 2, port, 8, level_first=False)
        for j in range(self.level[a] + 1, self.level[b]):
            y = self.across[Gap, a, j]
            glide(route, spans[j][0], y).line(spans[j][1], y)
        glide(route, spans[self.level[b]][0], port)
        return route.line(self.middle[self.level[b]] - self._thickness(b, False) / 2, port)

    def _loop(self, node: Any) -> Route:
        """An edge from a node to itself: a bow beside it."""
        x, y = self.middle[self.level[node]], self.across[node] + self._thickness(node, True) / 2
        reach = min(self._thickness(node, False) / 2 - 2, self.gap / 2)
        return Route((x + reach, y), [((x + reach, y + self.gap * 0.6), (x - reach, y + self.gap * 0.6),
                                       (x - reach, y))])


def is_gap(spot: Spot) -> bool:
    """Is it a gap rather than a node?"""
    return isinstance(spot, tuple) and len(spot) == 3 and spot[0] is Gap


def rank(graph: nx.DiGraph) -> dict[Any, int]:
    """The rank of each node: the longest path that leads to it. What reads little is moved up to what it feeds.

    >>> rank(nx.DiGraph([("x", "y"), ("y", "z"), ("w", "z")]))
    {'x': 0, 'w': 1, 'y': 1, 'z': 2}
    """
    found: dict[Any, int] = {node: j for j, generation in enumerate(nx.topological_generations(graph))
                             for node in generation}
    for node in reversed(list(nx.topological_sort(graph))):
        if 0 < graph.out_degree(node) >= graph.in_degree(node):
            found[node] = min(found[v] for v in graph.successors(node)) - 1
    return found


def glide(route: Route, x: float, y: float) -> Route:
    """Leave along the edges' way, arrive along it."""
    x0, y0 = route.end
    if abs(y0 - y) < 0.05:
        return route.line(x, y)
    middle = (x0 + x) / 2
    route.pieces.append(((middle, y0), (middle, y), (x, y)))
    return route


def reversed_route(route: Route) -> Route:
    """The same way from its end to its start."""
    points = [route.start, *(piece[-1] for piece in route.pieces)]
    pieces = [(*piece[-2::-1], point) for piece, point in zip(route.pieces[::-1], points[-2::-1], strict=True)]
    return Route(route.end, pieces)
