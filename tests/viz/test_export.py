"""Graphs as files: read back equal, valid for every other program, and whole whatever they hold."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, scope, tanh
from tests.viz.nets import CELLS, all_losses, last_loss, own_cell
from viz.graph.export import as_dot, parsed_by_pydot
from viz.graph.trace import EDGE, GRAPH, NODE

ENDINGS = ("json", "graphml", "dot", "gv")


def told(x: Any) -> str:
    """A value with its types: NaN is like NaN, a dict has its order, a set none."""
    if isinstance(x, (set, frozenset)):
        return f"{type(x).__name__}{sorted(map(told, x))}"
    if isinstance(x, (tuple, list)):
        return f"{type(x).__name__}{list(map(told, x))}"
    return f"dict{[(told(key), told(value)) for key, value in x.items()]}" if isinstance(x, dict) else repr(x)


def exact(graph: nx.MultiDiGraph) -> list[str]:
    """All that a graph holds, in its order."""
    return [told(sorted(graph.graph.items())), *(told((node, sorted(said.items()))) for node, said in
                                                 graph.nodes(data=True)),
            *sorted(told((*edge, sorted(said.items()))) for *edge, said in graph.edges(keys=True, data=True))]


def there_and_back(graph: nx.MultiDiGraph, ending: str, folder: Path) -> nx.MultiDiGraph:
    if ending in ("dot", "gv"):
        pytest.importorskip("pygraphviz")
    return viz.read(viz.write(graph, folder / f"graph.{ending}"))


def with_gradients() -> Any:
    loss = all_losses("lstm", T=3)
    loss.backward()
    return loss


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("make", [lambda: last_loss("gru before"), with_gradients, own_cell, lambda: Value(2.0) ** 3],
                         ids=["gru", "gradients", "own", "values"])
def test_a_graph_is_read_back_equal(ending: str, make: Any, tmp_path: Path) -> None:
    graph = viz.trace(make())
    back = there_and_back(graph, ending, tmp_path)
    assert exact(back) == exact(graph)
    assert nx.utils.graphs_equal(graph, back)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nan_and_infinity_survive(ending: str, tmp_path: Path) -> None:
    graph = viz.trace(Value(math.inf, label="x") * 0.0 + Tensor(np.array([math.nan, -math.inf])).sum().item())
    back = there_and_back(graph, ending, tmp_path)
    assert exact(back) == exact(graph)
    assert math.isnan(back.nodes[back.graph["root"]]["value"])
    assert back.nodes["x"]["value"] == math.inf


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_formats_do_not_know_survives(ending: str, tmp_path: Path) -> None:
    graph = nx.MultiDiGraph(root="a", range=(0, 3), settings={"deep": [1, None, (2.5, "%")]}, none=None, yes=True)
    graph.add_node("a", members=("x", "y"), steps=[1, 2], nothing="", looks="json:[1]", percent="100 %41",
                   mixed={1: "a", (2, 3): math.nan}, many={"b", "a"}, fixed={frozenset({"b", "a"}): 1},
                   step=-3, order=10**20, norm=5e-324, value=-0.0)
    graph.add_node("", **{"": 1, "a\nb": 2, "50 %": 3})
    graph.add_node("", wide="  spaces  ", lines="\n\t\r\u2028", step="not a number", k=1.5, key="mine")
    graph.add_edge("a", "", key=0, k=0, weight=math.inf)
    graph.add_edge("a", "", key=7, k=1)
    graph.add_edge("a", "a", key="0")
    graph.add_edge("a", "a", key=("x", 1))
    assert exact(there_and_back(graph, ending, tmp_path)) == exact(graph)


HOSTILE = [
    "</svg><script>alert(1)</script>", "\"quoted\" & 'single'", "back\\slash {a|b} <x> \\", "two\nlines\r\n", "🦜🌊",
    "\x00\x01\x07\x1b\x7f\x85\u2028\ufffe\uffff", "שלום\u202e", "]]>", "x" * 10_000, "a:b:c", "<b>bold</b>",
    "&amp;", "", "\ud800 alone \udfff", "node", "graph", "digraph", "%00", "%", "json:1", "json:json:", "\\N", "a->b;",
    "//", "\t",
]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("label", HOSTILE, ids=lambda label: ascii(label)[:20])
def test_hostile_labels_are_not_lost(label: str, ending: str, tmp_path: Path) -> None:
    x = Value(1.0, label=label)
    with scope(label or "empty", step=0):
        y = x * x + Value(2.0, label=label)
    y.label = label
    graph = viz.trace(y)
    assert exact(there_and_back(graph, ending, tmp_path)) == exact(graph)


@pytest.mark.parametrize("label", HOSTILE, ids=lambda label: ascii(label)[:20])
def test_pydot_parses_our_dot_like_pygraphviz(label: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pydot")
    x = Value(1.0, label=label)
    graph = viz.trace(x * x + 1)
    assert len(parsed_by_pydot(as_dot(graph))) == len(graph)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    assert exact(viz.read(viz.write(graph, tmp_path / "x.dot"))) == exact(graph)


def test_the_files_are_valid_for_everyone_else(tmp_path: Path) -> None:
    graph = viz.trace(Value(math.nan, label="\x00</graphml>") * 2.0)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    data = json.loads(viz.write(graph, tmp_path / "x.json").read_text(encoding="ascii"), parse_constant=refuse)
    assert {node["id"] for node in data["nodes"]} == set(graph)
    ElementTree.fromstring(viz.write(graph, tmp_path / "x.graphml").read_text(encoding="utf-8"))
    plain = viz.trace(own_cell())
    text = viz.write(plain, tmp_path / "x.json").read_text(encoding="utf-8")
    assert exact(nx.node_link_graph(json.loads(text), edges="edges")) == exact(plain), "networkx reads it without us"
    back = nx.read_graphml(viz.write(plain, tmp_path / "x.graphml"), force_multigraph=True)
    assert dict(back.nodes["mine/t3/h"]) == plain.nodes["mine/t3/h"], "networkx reads it without us"


def test_all_attributes_are_in_the_schema_and_of_the_type_it_says() -> None:
    met = set()
    with scope("loop", step=0), scope("cell"):
        nested = tanh(Value(1.0)) * 1.0
    own = with_gradients(), own_cell(), Value(1.0, label="x") ** 2, nested
    for root in (*(last_loss(name) for name in CELLS), *own):
        graph = viz.trace(root)
        for table, said in ((GRAPH, graph.graph), *((NODE, said) for _, said in graph.nodes(data=True)),
                            *((EDGE, said) for _, _, said in graph.edges(data=True))):
            for name, value in said.items():
                assert type(value) is table[name][0], name
                met.add(name)
        assert all(said["k"] == key for _, _, key, said in graph.edges(keys=True, data=True))
    of_pytorch = {"source", "called"}
    assert met == {*NODE, *EDGE, *GRAPH} - of_pytorch, "the schema has nothing that never comes"


def test_a_graph_of_pytorch_says_so_and_what_its_net_is_called() -> None:
    torch = pytest.importorskip("torch")
    cell = torch.nn.RNNCell(2, 3)
    loss = cell(torch.ones(1, 2), cell(torch.ones(1, 2))).sum()
    assert viz.trace(loss).graph == {"root": "sum", "source": "PyTorch"}
    assert viz.from_torch(loss, cell).graph.graph == {"root": "sum", "source": "PyTorch", "called": "RNNCell"}


def test_networkx_algorithms_run_on_a_traced_graph() -> None:
    graph = viz.trace(last_loss("rnn", T=6))
    root = graph.graph["root"]
    assert nx.is_directed_acyclic_graph(graph)
    assert nx.ancestors(graph, root) == set(graph) - {root}
    place = {node: j for j, node in enumerate(nx.topological_sort(graph))}
    assert all(place[u] < place[v] for u, v in graph.edges())
    assert all(graph.nodes[u]["order"] <= graph.nodes[v]["order"] for u, v in graph.edges())
    longest = nx.dag_longest_path(graph)
    assert [node for node in longest if node.endswith("/h")] == [f"rnn/t{t}/h" for t in range(6)]
    assert nx.number_weakly_connected_components(graph) == 1
    assert not nx.has_path(graph, "rnn/t4/h", "rnn/t3/h")


# ------------------------------------------------------------------------------------------------ refusals
def test_refusals_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = viz.trace(Value(1.0) * 2)
    with pytest.raises(ValueError, match=r"'x.txt' ends in .txt; a graph is a .json, .graphml, .dot or .gv file"):
        viz.write(graph, tmp_path / "x.txt")
    with pytest.raises(ValueError, match="ends in nothing"):
        viz.read(tmp_path / "x")
    loss = last_loss("rnn")
    with pytest.raises(TypeError, match=r"got Tensor: write viz.trace\(it\)"):
        viz.write(loss, tmp_path / "x.json")  # type: ignore[arg-type]
    flow = viz.gradient_flow(loss)
    with pytest.raises(TypeError, match=r"got Flow: write viz.fold\(it, hide=\[\]\)"):
        viz.write(flow, tmp_path / "x.json")  # type: ignore[arg-type]
    back = viz.read(viz.write(viz.fold(flow, hide=[]), tmp_path / "x.json"))
    assert {v for v, said in back.nodes(data=True) if "gradient" in said} == set(flow.gradients)
    with pytest.raises(TypeError, match=r"expected a networkx.MultiDiGraph, as viz.trace gives, got Value"):
        viz.write(Value(1.0), tmp_path / "x.json")  # type: ignore[arg-type]
    graph.nodes["multiply"]["array"] = np.ones(3)
    for ending in ENDINGS:
        with pytest.raises(TypeError, match="of type ndarray; a graph in a file holds numbers, strings"):
            viz.write(graph, tmp_path / f"bad.{ending}")
        assert not (tmp_path / f"bad.{ending}").exists()
    named = nx.MultiDiGraph()
    named.add_node("a", id="b")
    with pytest.raises(ValueError, match="an attribute is called 'id', which files of graphs keep for themselves"):
        viz.write(named, tmp_path / "x.json")
    for ending, text in (("json", "{"), ("json", "3"),
                          ("json", "[]"), ("json", '{"nodes": 3}'), ("graphml", "<a"), ("graphml", "<a/>"),
                         ("json", json.dumps(nx.node_link_data(nx.DiGraph(), edges="edges")))):
        (tmp_path / f"x.{ending}").write_text(text)
        with pytest.raises(ValueError, match="holds no graph that viz"):
            viz.read(tmp_path / f"x.{ending}")
    viz.write(viz.trace(Value(1.0)), tmp_path / "x.dot")
    for module in ("pygraphviz", "pydot"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(viz.MissingToolError, match=r'microgradrnn\[graphviz\].*Without them, write and read .json'):
        viz.read(tmp_path / "x.dot")


@pytest.mark.parametrize("module", ["pygraphviz", "pydot"])
@pytest.mark.parametrize("text", ["", "digraph {", "graph { a -- b }", "nonsense"])
def test_what_is_no_directed_graph_is_refused(module: str, text: str, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(module)
    if module == "pydot":
        monkeypatch.setitem(sys.modules, "pygraphviz", None)
    (tmp_path / "x.dot").write_text(text)
    with pytest.raises(ValueError, match="holds no graph that viz"):
        viz.read(tmp_path / "x.dot")
