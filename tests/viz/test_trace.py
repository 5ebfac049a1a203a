"""The graph model: names, multiplicity, and nothing alive in it."""

from __future__ import annotations

import doctest
import gc
import json
import re
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, nn, scope
from microgradrnn.engine import Node
from tests.viz.nets import CELLS, last_loss
from viz.graph.trace import EDGE, GRAPH, NODE, norm

PAGE = Path(__file__).parent.parent.parent / "docs" / "graph.md"


def test_a_square_has_two_edges() -> None:
    x = Value(3.0, label="x")
    assert sorted(viz.trace(x * x).edges(keys=True)) == [("x", "multiply", 0), ("x", "multiply", 1)]


def test_operands_keep_their_places() -> None:
    g = viz.trace(Value(1.0, label="a") - Value(2.0, label="b"))
    assert {u: d["k"] for u, _, d in g.edges(data=True)} == {"a": 0, "b": 1}


def test_every_use_of_a_plain_number_is_a_constant_of_its_own() -> None:
    g = viz.trace(Value(3.0) * 2 + 2)
    constants = [said["value"] for _, said in g.nodes(data=True) if said["kind"] == "constant"]
    assert constants == [2.0, 2.0]


def test_names_tell_module_step_and_symbol() -> None:
    g = viz.trace(last_loss("lstm"))
    assert {"lstm/t3/f", "lstm/t3/c", "lstm/t3/h", "U", "W", "b", "cross_entropy/L"} <= set(g)
    said = g.nodes["lstm/t3/f"]
    assert (said["op"], said["role"], said["path"], said["step"]) == ("sigmoid", "gate", "lstm", 3)
    assert (said["shape"], said["dtype"]) == ("(2, 4)", "float64")
    assert g.nodes["W"]["kind"] == "parameter"


@pytest.mark.parametrize("name", CELLS)
def test_names_are_unique_and_the_same_every_time(name: str) -> None:
    loss = last_loss(name)
    first, second = viz.trace(loss), viz.trace(last_loss(name))
    assert list(first) == list(second)
    assert list(first.edges(keys=True)) == list(second.edges(keys=True))
    nodes = {loss}
    stack = [loss]
    plain = 0
    while stack:
        for x in stack.pop().inputs:
            plain += x is None
            if x is not None and x not in nodes:
                nodes.add(x)
                stack.append(x)
    assert len(first) == len(nodes) + plain


def test_a_symbol_that_looks_like_a_counted_name_does_not_hide_another() -> None:
    a, b, c = (Value(1.0, label=s) for s in ("x", "x_2", "x"))
    assert len(viz.trace(a + b + c)) == 5


def test_the_model_keeps_no_array_and_no_node_alive() -> None:
    loss = last_loss("lstm")
    held = len(gc.get_referrers(loss))
    g = viz.trace(loss)
    assert len(gc.get_referrers(loss)) == held
    for _, said in g.nodes(data=True):
        assert not any(isinstance(x, (np.ndarray, np.generic, Node)) for x in said.values()), said


@pytest.mark.parametrize(("write", "read"), [
    (lambda g, p: nx.write_graphml(g, p), lambda p: nx.read_graphml(p, force_multigraph=True)),
    (lambda g, p: p.write_text(json.dumps(nx.node_link_data(g, edges="edges"))),
     lambda p: nx.node_link_graph(json.loads(p.read_text()), edges="edges")),
])
def test_networkx_writes_it_and_reads_it_back(write: object, read: object, tmp_path: object) -> None:
    g = viz.trace(last_loss("gru before"))
    path = tmp_path / "graph"  # type: ignore[operator]
    write(g, path)  # type: ignore[operator]
    back = read(path)  # type: ignore[operator]
    assert set(back) == set(g)
    assert back.number_of_edges() == g.number_of_edges()
    assert back.nodes["gru/t3/z"]["role"] == "gate"


def test_gradients_are_shown_where_there_are_any() -> None:
    w = Tensor(np.array([[3.0, 4.0]]))
    y = (w * w).sum()
    assert "grad_norm" not in viz.trace(y).nodes["leaf"]
    y.backward()
    assert viz.trace(y).nodes["leaf"]["grad_norm"] == 10.0


def test_something_else_than_a_node_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a Value or a Tensor, got float"):
        viz.trace(1.0)  # type: ignore[arg-type]


def test_a_deep_graph_needs_no_recursion() -> None:
    h = Value(0.5)
    for t in range(20_000):
        with scope(step=t):
            h = h * 0.999
    assert len(viz.trace(h)) == 40_001


@pytest.mark.parametrize(("x", "size"), [
    ([3.0, 4.0], 5.0), ([3e-200, 4e-200], 5e-200), ([3e200, -4e200], 5e200), ([0.0, 0.0], 0.0), ([], 0.0),
    ([1.0, np.inf], np.inf), (-2.0, 2.0),
])
def test_norms_neither_under_nor_overflow(x: object, size: float) -> None:
    assert norm(x) == pytest.approx(size, rel=1e-15)


def test_the_norm_of_something_with_nan_is_nan() -> None:
    assert np.isnan(norm([1.0, np.nan, np.inf]))
    assert norm(np.float32([1e-30, 1e-30])) == pytest.approx(np.sqrt(2) * 1e-30, rel=1e-6)


def test_a_module_of_ones_own_names_its_nodes() -> None:
    assert "embedding/x" in viz.trace(nn.Embedding(3, 2, rng=0)([1, 2]).sum())


# ------------------------------------------------------------------------------------------------ docs/graph.md
def test_the_examples_on_the_page_of_the_graph_run() -> None:
    code = "".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    test = doctest.DocTestParser().get_doctest(code, {}, PAGE.name, str(PAGE), 0)
    result = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test)
    assert result.failed == 0
    assert result.attempted > 20


def test_the_page_of_the_graph_has_the_whole_schema_in_its_order() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(name, kind.__name__, meaning) for name, (kind, meaning) in NODE.items()]
    for name in (*EDGE, *GRAPH):
        assert f"`{name}`" in text or f"'{name}'" in text
