"""Export: a graph as a file, and back again, equal to the last bit.

The writers are networkx's own; what is here makes their files right for anything that a graph may hold. JSON knows no
NaN and no tuple, XML no control characters, DOT nothing but strings: what a format cannot hold is written in a way that
it can, and read back as it was. Everything else stands in the file as it is, for any other program to read.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes
from xml.etree import ElementTree

import networkx as nx
import numpy as np

from microgradrnn.engine import Node
from microgradrnn.files import DamagedFileError, read_whole, write_whole
from viz.errors import MissingToolError
from viz.graph.trace import EDGE, GRAPH, NODE

NOT_IN_XML = re.compile("[^\t\n -$&-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NOT_IN_DOT = re.compile("[^ !#$&-\\[\\]-~\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
TYPES = {name: kind for table in (NODE, EDGE, GRAPH) for name, (kind, _) in table.items()}


def write(graph: nx.MultiDiGraph, path: str | Path) -> Path:
    """Write a graph to a file; the ending says how.

    Args:
        graph: from `trace`, or any `networkx.MultiDiGraph` whose ids are strings.
        path: ending in ``.json`` (node-link JSON), ``.graphml``, or ``.dot`` or ``.gv``.

    Returns:
        The path.

    Raises:
        ValueError: if the ending is another one, or a node has an attribute ``id``, an edge one ``source``, ``target``
            or ``key``; or if nodes say their ``kind`` as in a graph of `trace`, and one has no kind or order, an edge
            no k, or there is a cycle (but for those that `roll` makes, whose edges say their delay).
        TypeError: if it is no `networkx.MultiDiGraph`, or holds something that is no data (an array, say).

    >>> import tempfile
    >>> from microgradrnn import Value
    >>> from viz.graph.trace import trace
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write(trace(Value(3.0) * Value(2.0)), folder + "/graph.json")
    >>> path.name
    'graph.json'
    """
    if not isinstance(graph, nx.MultiDiGraph):
        raise TypeError(f"write: expected a networkx.MultiDiGraph, as viz.trace gives, got {type(graph).__name__}"
                        f"{hint(graph)}")
    path = Path(path)
    for where, taken in ((graph.nodes(data=True), {ID}), (graph.edges(data=True), {"source", "target", KEY})):
        if lost := next((name for *_, said in where for name in said if name in taken), None):
            raise ValueError(f"write: an attribute is called {lost!r}, which files of graphs keep for themselves")
    text = format_of(path, "write")[0](graph)
    try:
        need_whole(graph)
    except ValueError as error:
        raise ValueError(f"write: this is a graph of a computation, and {error}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(path, text)


def hint(given: Any) -> str:
    """What to write in place of something that is no graph, but has one."""
    if isinstance(given, Node):
        return ": write viz.trace(it)"
    if isinstance(getattr(given, "graph", None), nx.MultiDiGraph):
        return ": write viz.fold(it, hide=[]), which is its graph with its numbers"
    return ""


def read(path: str | Path) -> nx.MultiDiGraph:
    """The graph that `write` wrote to this file.

    Raises:
        ValueError: if the ending is none that `write` knows.
        DamagedFileError: if the file is no such graph: damaged, undirected, with two nodes of one id, an edge to a node
            that is not there; or, where nodes say their ``kind`` as in a graph of `trace`, without what belongs to it.
        MissingToolError: for DOT, without pygraphviz or pydot.

    >>> import tempfile
    >>> from microgradrnn import Value
    >>> from viz.graph.trace import trace
    >>> graph = trace(Value(3.0, label="x") / Value(float("inf")))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     back = read(write(graph, folder + "/graph.json"))
    >>> nx.utils.graphs_equal(graph, back)
    True
    """
    path = Path(path)
    reader = format_of(path, "read")[1]
    raw = read_whole(path)
    try:
        graph = reader(raw.decode())
        need_whole(graph)
        return graph
    except MissingToolError:
        raise
    except Exception as error:  # whatever a damaged file makes the readers raise
        raise DamagedFileError(f"read: {path.name!r} holds no graph that viz.write wrote ({type(error).__name__}: "
                               f"{error})") from error


def need_declared(graph: nx.MultiDiGraph, nodes: list[Any], edges: int) -> None:
    """Raise unless a file's nodes and edges are those of the graph: readers add what is missing, and merge doubles."""
    if not isinstance(graph, nx.MultiDiGraph):
        raise ValueError(f"it is a {type(graph).__name__}, not a MultiDiGraph")
    if len(nodes) != len(set(nodes)):
        raise ValueError(f"two nodes have the id {next(v for j, v in enumerate(nodes) if v in nodes[:j])!r}")
    if lost := set(graph) - set(nodes):
        raise ValueError(f"an edge has the end {lost.pop()!r}, which is no node")
    if edges != graph.number_of_edges():
        raise ValueError("two edges have the same ends and the same key")


def need_whole(graph: nx.MultiDiGraph) -> None:
    """Raise unless a graph whose nodes say their kind has all that `trace`, `fold` and `roll` give."""
    if not any("kind" in said for _, said in graph.nodes(data=True)):
        return  # anybody's graph
    for node, said in graph.nodes(data=True):
        if lost := {"kind", "order"} - said.keys():
            raise ValueError(f"node {node!r} has no {lost.pop()}")
    for u, v, said in graph.edges(data=True):
        if "k" not in said:
            raise ValueError(f"the edge from {u!r} to {v!r} has no k")
    at_once = nx.DiGraph((u, v) for u, v, said in graph.edges(data=True) if not said.get("delay"))
    if not nx.is_directed_acyclic_graph(at_once):
        raise ValueError("it has a cycle, and nothing is computed from itself")


def format_of(path: Path, who: str) -> tuple[Callable[[nx.MultiDiGraph], str], Callable[[str], nx.MultiDiGraph]]:
    """The writer and the reader for a file's ending."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{who}: {path.name!r} ends in {path.suffix or 'nothing'}; a graph is a "
                         f"{', '.join(list(FORMATS)[:-1])} or {list(FORMATS)[-1]} file")
    return FORMATS[path.suffix.lower()]


# ------------------------------------------------------------------------------------------------ values
def packed(x: Any) -> Any:
    """A value as strict JSON can hold it: what it cannot becomes ``{"$float": "nan"}``, ``{"$tuple": [...]}``.

    >>> packed({"norm": math.inf, "shape": (2, 3)})
    {'norm': {'$float': 'inf'}, 'shape': {'$tuple': [2, 3]}}
    """
    if isinstance(x, np.generic):
        x = bare(x)
    if isinstance(x, float) and not math.isfinite(x):
        return {"$float": str(x)}
    if isinstance(x, tuple):
        return {"$tuple": [packed(part) for part in x]}
    if isinstance(x, (set, frozenset)):
        return {"$" + type(x).__name__: sorted((packed(part) for part in x), key=repr)}
    if isinstance(x, list):
        return [packed(part) for part in x]
    if isinstance(x, dict) and all(isinstance(key, str) and not key.startswith("$") for key in x):
        return {key: packed(value) for key, value in x.items()}
    if isinstance(x, dict):
        return {"$dict": [[packed(key), packed(value)] for key, value in x.items()]}
    if x is None or type(x) in (str, int, float, bool):
        return x
    raise TypeError(f"write: {x!r:.60} is of type {type(x).__name__}; a graph in a file holds numbers, strings, None, "
                    "and tuples, lists, sets and dicts of them")


def bare(x: Any) -> Any:
    """A scalar of NumPy as Python's own, anything else as it is.

    >>> bare(np.float32(1.5)), bare(np.bool_(True)), bare("x")
    (1.5, True, 'x')
    """
    return x.item() if isinstance(x, (np.number, np.bool_, np.str_)) else x


def unpacked(x: Any) -> Any:
    """The value that `packed` packed."""
    if isinstance(x, list):
        return [unpacked(part) for part in x]
    if not isinstance(x, dict):
        return x
    tag = next(iter(x), "")
    if len(x) != 1 or tag not in PACKS:
        return {key: unpacked(value) for key, value in x.items()}
    return PACKS[tag](x[tag])


PACKS: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$tuple": lambda parts: tuple(map(unpacked, parts)),
    "$set": lambda parts: set(map(unpacked, parts)),
    "$frozenset": lambda parts: frozenset(map(unpacked, parts)),
    "$dict": lambda pairs: {unpacked(key): unpacked(value) for key, value in pairs},
}


ID, KEY = "id", "key"  # an attribute of this name holds, in DOT, the id of a node, the key of an edge
TAG, EMPTY = "json:", "%"  # text that stands for something else, and for no character at all
LONGEST = 8000  # Graphviz reads no longer string in one piece


def coded(text: str, unfit: re.Pattern[str]) -> str:
    """Text whose unfit characters (% is always one) are written as in an address: ``%00``.

    >>> coded('100 %, "quoted"', NOT_IN_DOT)
    '100 %25, %22quoted%22'
    """
    text = unfit.sub(lambda found: quote(found[0], safe="", errors="surrogatepass"), text)
    return "json%3A" + text[len(TAG):] if text.startswith(TAG) else text


def as_text(x: Any, unfit: re.Pattern[str]) -> str:
    """Anything at all as text: ``json:``, and what it is in JSON."""
    return TAG + coded(json.dumps(packed(x), allow_nan=False), unfit)


def plain(text: str) -> Any:
    """What `coded` or `as_text` made text of.

    >>> plain("100 %25"), plain(as_text((1, None), NOT_IN_XML))
    ('100 %', (1, None))
    """
    if text.startswith(TAG):
        return unpacked(json.loads(plain(text[len(TAG):])))
    return "" if text == EMPTY else unquote_to_bytes(text).decode("utf-8", "surrogatepass") if "%" in text else text


def changed(graph: nx.MultiDiGraph, change: Callable[[str, Any], Any]) -> nx.MultiDiGraph:
    """The graph with ``change(name, x)`` for every attribute, and so for every id, key and name of an attribute."""
    def each(said: dict[str, Any]) -> dict[str, Any]:
        return {change(ID, name): change(name, x) for name, x in said.items()}

    found = nx.MultiDiGraph(**each(graph.graph))
    found.add_nodes_from((change(ID, node), each(said)) for node, said in graph.nodes(data=True))
    found.add_edges_from((change(ID, u), change(ID, v), change(KEY, key), each(said))
                         for u, v, key, said in graph.edges(keys=True, data=True))
    return found


# ------------------------------------------------------------------------------------------------ JSON
def as_json(graph: nx.MultiDiGraph) -> str:
    """networkx's node-link data, as JSON in the strict sense."""
    return json.dumps(packed(nx.node_link_data(graph, edges="edges")), allow_nan=False, indent=1) + "\n"


def from_json(text: str) -> nx.MultiDiGraph:
    """The graph of `as_json`."""
    data = unpacked(json.loads(text))
    graph = nx.node_link_graph(data, edges="edges")
    need_declared(graph, [said[ID] for said in data["nodes"]], len(data["edges"]))
    return graph


# ------------------------------------------------------------------------------------------------ GraphML
def as_graphml(graph: nx.MultiDiGraph) -> str:
    """networkx's GraphML; numbers keep their type."""
    buffer = io.BytesIO()
    nx.write_graphml_xml(changed(graph, to_xml), buffer)
    return buffer.getvalue().decode()


def from_graphml(text: str) -> nx.MultiDiGraph:
    """The graph of `as_graphml`."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares entities, which may grow without end")
    graph = nx.parse_graphml(text, force_multigraph=True, edge_key_type=int)
    elements = [(element.tag.rpartition("}")[2], element.get("id")) for element in ElementTree.fromstring(text).iter()]
    need_declared(graph, [name for tag, name in elements if tag == "node"], sum(tag == "edge" for tag, _ in elements))
    for default in ("node_default", "edge_default"):
        graph.graph.pop(default, None)
    return changed(graph, lambda place, x: plain(x) if isinstance(x, str) else x)


def to_xml(place: str, x: Any) -> Any:
    """An id, a key or the value of an attribute as GraphML can hold it."""
    x = bare(x)
    if type(x) in (int, float, bool) or (isinstance(x, str) and place != KEY):
        return coded(x, NOT_IN_XML) if isinstance(x, str) else x
    return as_text(x, NOT_IN_XML)


# ------------------------------------------------------------------------------------------------ DOT
def as_dot(graph: nx.MultiDiGraph) -> str:
    """The whole graph as DOT, every attribute a string in quotes. (The DOT of a picture is made by `viz.draw_graph`.)

    Names are n0, n1, ..., which nothing can be taken for; the ids stand beside them.
    """
    def each(said: dict[str, Any], **first: Any) -> str:
        return "[" + ", ".join(f"{quoted(ID, name)}={quoted(name, x)}" for name, x in (first | said).items()) + "]"

    names = {node: f"n{j}" for j, node in enumerate(graph)}
    lines = [f"graph {each(graph.graph)};"] if graph.graph else []
    lines += [f"{names[node]} {each(said, id=node)};" for node, said in graph.nodes(data=True)]
    lines += [f"{names[u]} -> {names[v]} {each(said, key=key)};"
              for u, v, key, said in graph.edges(keys=True, data=True)]
    return "digraph {\n" + "".join(f"\t{line}\n" for line in lines) + "}\n"


def quoted(name: str, x: Any) -> str:
    """The value of an attribute as a string of DOT; a long one in pieces, put together by ``+``.

    >>> quoted("symbol", "say {this}"), quoted("step", 3), quoted("range", (0, 3))
    ('"say {this}"', '"3"', '"json:{%22$tuple%22: [0, 3]}"')
    """
    x = bare(x)
    if isinstance(x, str) and name != KEY and TYPES.get(name, str) is str:
        text = coded(x, NOT_IN_DOT) or EMPTY
    else:
        text = str(x) if type(x) is TYPES.get(name) else as_text(x, NOT_IN_DOT)
    return " + ".join(f'"{text[j:j + LONGEST]}"' for j in range(0, len(text), LONGEST))


def from_dot(text: str) -> nx.MultiDiGraph:
    """The graph of `as_dot`, parsed by pygraphviz, or else by pydot."""
    def value(name: str, x: str) -> Any:
        kind = TYPES.get(name, str)
        return plain(x) if kind is str or x.startswith(TAG) else kind(x)

    graph = parsed(text)
    ids = {node: said.pop(ID, None) for node, said in graph.nodes(data=True)}
    if unnamed := next((node for node, id in ids.items() if id is None), None):
        raise ValueError(f"node {unnamed!r} has no id, or is only the end of an edge")
    need_declared(nx.relabel_nodes(graph, ids), list(ids.values()), graph.number_of_edges())
    return changed(nx.relabel_nodes(graph, ids), value)


def parsed(dot: str) -> nx.MultiDiGraph:
    """DOT as a graph whose attributes are all strings, as they stand in the file."""
    try:
        import pygraphviz
    except ImportError:
        return parsed_by_pydot(dot)
    try:
        graph = pygraphviz.AGraph(string=dot)
    except pygraphviz.agraph.DotError as error:
        raise ValueError(str(error)) from None
    if graph.is_undirected():
        raise ValueError("its edges have no direction")
    found = nx.MultiDiGraph(**dict(graph.graph_attr))
    found.add_nodes_from((str(node), dict(node.attr)) for node in graph.nodes_iter())
    found.add_edges_from((u, v, key, dict(graph.get_edge(u, v, key).attr)) for u, v, key in graph.edges_iter(keys=True))
    return found


def parsed_by_pydot(dot: str) -> nx.MultiDiGraph:
    """The same, where pygraphviz is missing."""
    try:
        import pydot
    except ImportError:
        raise MissingToolError('reading DOT needs pygraphviz: pip install "microgradrnn[graphviz]" (or pydot). '
                               "Without them, write and read .json or .graphml.") from None

    def bare(said: dict[str, str]) -> dict[str, str]:
        return {name.strip('"'): "".join(re.findall(r'"([^"]*)"', x)) or x for name, x in said.items()}

    (graph,) = pydot.graph_from_dot_data(dot) or [None]
    if graph is None or graph.get_type() != "digraph":
        raise ValueError("its edges have no direction" if graph else "it is not in the language DOT")
    if graph.get_subgraphs():
        raise ValueError("it has graphs inside")
    found = nx.MultiDiGraph(**{name: x for said in graph.get_graph_defaults() for name, x in bare(said).items()})
    found.add_nodes_from((node.get_name(), bare(node.get_attributes())) for node in graph.get_nodes()
                         if node.get_name() not in ("graph", "node", "edge"))
    for edge in graph.get_edges():
        said = bare(edge.get_attributes())
        found.add_edge(edge.get_source(), edge.get_destination(), said.pop(KEY, None), **said)
    return found


FORMATS: dict[str, tuple[Callable[[nx.MultiDiGraph], str], Callable[[str], nx.MultiDiGraph]]] = {
    ".json": (as_json, from_json), ".graphml": (as_graphml, from_graphml), ".dot": (as_dot, from_dot),
    ".gv": (as_dot, from_dot),
}
