"""Damaged and hostile files of graphs and of the recorder: one error, with the file's name and what is wrong."""

from __future__ import annotations

import io
import json
import random
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import viz
from microgradrnn import Value
from microgradrnn.files import DamagedFileError
from tests.viz.nets import last_loss
from viz.graph.export import as_dot, as_graphml, as_json

GRAPH = viz.trace((Value(2.0, label="x") * 3).tanh())
TEXTS = {"json": as_json(GRAPH), "graphml": as_graphml(GRAPH), "dot": as_dot(GRAPH)}
HOSTILE = [None, True, -1, 10**30, 1e308, float("nan"), "", "x", [], {}, [[]], {"$float": []}, {"$tuple": 3},
           {"$set": [[1]]}, {"$dict": [[[], 1]]}, {"$dict": 3}, {"$float": "x"}]


def read(path: Path, content: bytes | str) -> nx.MultiDiGraph | None:
    """What is read, or None if it is refused as it should be. No other error."""
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    try:
        return viz.read(path)
    except DamagedFileError as error:
        return None if path.name in str(error) else pytest.fail(str(error))


def changes(raw: bytes) -> Iterator[bytes]:
    """The start of a file up to every byte; bits flipped; bytes that mean something put elsewhere."""
    rng = random.Random(0)
    for length in range(0, len(raw), 1 + len(raw) // 400):
        yield raw[:length]
    for _ in range(300):
        damaged = bytearray(raw)
        for _ in range(rng.choice((1, 1, 3))):
            damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        yield bytes(damaged)
    for _ in range(300):
        at, other, n = rng.randrange(len(raw)), rng.randrange(len(raw)), rng.randrange(1, 30)
        yield raw[:at] + raw[other : other + n] + raw[at + rng.randrange(n) :]


@pytest.mark.parametrize("ending", TEXTS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused_by_name(ending: str, tmp_path: Path) -> None:
    if ending == "dot":
        pytest.importorskip("pygraphviz")
    found = [read(tmp_path / f"x.{ending}", raw) for raw in changes(TEXTS[ending].encode())]
    assert found.count(None) > 400


def everywhere(tree: Any, other: Any) -> Iterator[Any]:
    """The tree with something else in every place, and with every place left out."""
    yield other
    places = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, part in places:
        for changed in everywhere(part, other):
            copy = tree.copy()
            copy[key] = changed
            yield copy
        copy = tree.copy()
        del copy[key]
        yield copy


@pytest.mark.parametrize("other", HOSTILE, ids=str)
def test_anything_in_any_place_of_a_json_file_is_read_or_refused(other: Any, tmp_path: Path) -> None:
    for tree in everywhere(json.loads(TEXTS["json"]), other):
        read(tmp_path / "x.json", json.dumps(tree))


BOMB = "<!DOCTYPE b [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY a{k} '{f'&a{k - 1 or str()};' * 10}'>" for k in range(1, 12)) + "]>"


@pytest.mark.parametrize(("ending", "content"), [
    *[(ending, content) for ending in TEXTS for content in (b"", b"\xff\xfe\x00", bytes(range(256)), b"\0" * 99)],
    ("json", "[" * 100_000), ("json", '{"a":' * 100_000), ("json", "9" * 100_000), ("json", '"\\ud800"'),
    ("json", '{"nodes": [' + "[" * 2000 + "]" * 2000 + "]}"),
    ("graphml", "<a>" * 100_000), ("graphml", BOMB + "<graphml>&a11;</graphml>"),
    ("graphml", TEXTS["graphml"].replace("<graphml", BOMB + "<graphml", 1).replace("tanh", "&a11;", 1)),
    ("graphml", '<!DOCTYPE g SYSTEM "file:///etc/passwd"><graphml/>'),
    ("dot", "digraph {" * 10_000), ("dot", "digraph { n0 [label=<<b>x</b>>] }"), ("dot", "strict graph {}"),
    ("dot", "digraph { subgraph a { b -> c } }"), ("dot", 'digraph { a [id="json:{"] }'),
    ("dot", 'digraph { a [id="json:[1]"] }'), ("dot", 'digraph { a [id="%ff"] }'),
    ("dot", 'digraph { a [id="a", order="many"] }'),
], ids=lambda value: value if isinstance(value, str) and len(value) < 9 else "")
@pytest.mark.parametrize("parser", ["pygraphviz", "pydot"])
@pytest.mark.filterwarnings("ignore")
def test_hostile_files_are_refused(ending: str, content: bytes | str, parser: str, tmp_path: Path,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(parser)
    if parser == "pydot":
        monkeypatch.setitem(sys.modules, "pygraphviz", None)
    assert read(tmp_path / f"x.{ending}", content) is None


def twice(text: str, pattern: str) -> str:
    found = re.search(pattern, text, re.DOTALL)
    assert found
    return text[: found.end()] + found[0] + text[found.end() :]


def as_changed(change: Any) -> str:
    data = json.loads(TEXTS["json"])
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(("ending", "content", "words"), [
    ("json", as_changed(lambda d: d["nodes"].append(d["nodes"][0])), "two nodes have the id 'x'"),
    ("json", as_changed(lambda d: d["nodes"].pop(0)), "an edge has the end 'x', which is no node"),
    ("json", as_changed(lambda d: d["edges"].append(d["edges"][0])), "two edges have the same ends and the same key"),
    ("json", as_changed(lambda d: d.update(directed=False)), "it is a MultiGraph, not a MultiDiGraph"),
    ("json", as_changed(lambda d: d["nodes"][1].pop("order")), "node 'multiply' has no order"),
    ("json", as_changed(lambda d: d["nodes"][1].pop("kind")), "node 'multiply' has no kind"),
    ("json", as_changed(lambda d: d["nodes"][1].pop("id")), "KeyError: 'id'"),
    ("json", as_changed(lambda d: d["edges"][1].pop("k")), "the edge from .* has no k"),
    ("json", as_changed(lambda d: d["edges"].append({"source": "tanh", "target": "multiply", "key": 5, "k": 5})),
     "it has a cycle, and nothing is computed from itself"),
    ("graphml", twice(TEXTS["graphml"], '<node id="x".*?</node>'), "two nodes have the id 'x'"),
    ("graphml", re.sub('<node id="x".*?</node>', "", TEXTS["graphml"], flags=re.DOTALL), "the end 'x', which is no"),
    ("graphml", TEXTS["graphml"].replace('edgedefault="directed"', 'edgedefault="undirected"'), "is a MultiGraph, not"),
    ("graphml", BOMB + TEXTS["graphml"], "declares entities, which may grow without end"),
    ("dot", TEXTS["dot"].replace("}\n", "n0 -> n9 [key=\"json:7\", k=\"7\"]\n}\n"), "'n9' has no id, or is only the"),
    ("dot", TEXTS["dot"].replace("}\n", "n9 [id=\"x\"]\n}\n"), "two nodes have the id 'x'"),
    ("dot", TEXTS["dot"].replace("digraph", "graph", 1).replace("->", "--"), "its edges have no direction"),
])
def test_what_write_never_makes_is_refused_with_what_is_wrong(ending: str, content: str, words: str,
                                                              tmp_path: Path) -> None:
    (tmp_path / f"x.{ending}").write_text(content, encoding="utf-8")
    with pytest.raises(DamagedFileError, match=rf"read: 'x.{ending}' holds no graph that viz.write wrote .*{words}"):
        viz.read(tmp_path / f"x.{ending}")


@pytest.mark.parametrize("ending", TEXTS)
def test_folders_and_wrong_endings_are_refused(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"x.{ending}").mkdir()
    with pytest.raises(DamagedFileError, match=rf"x.{ending}: a folder, not a file"):
        viz.read(tmp_path / f"x.{ending}")
    for other in TEXTS.keys() - {ending}:
        assert read(tmp_path / f"y.{other}", TEXTS[ending]) is None


@pytest.mark.parametrize("ending", TEXTS)
def test_graphs_of_every_making_are_written_and_read(ending: str, tmp_path: Path) -> None:
    if ending == "dot":
        pytest.importorskip("pygraphviz")
    loss = last_loss("lstm")
    whole = viz.trace(loss)
    for graph in (whole, viz.fold(loss), viz.fold(loss, by="step"), viz.fold(loss, by="module"), viz.roll(loss),
                  viz.fold(viz.gradient_flow(loss), hide=[]), whole.subgraph(list(whole)[:30]).copy()):
        assert nx.utils.graphs_equal(viz.read(viz.write(graph, tmp_path / f"x.{ending}")), graph)
    whole.add_edge(whole.graph["root"], next(iter(whole)), key=9, k=9)
    with pytest.raises(ValueError, match="write: this is a graph of a computation, and it has a cycle"):
        viz.write(whole, tmp_path / f"bad.{ending}")
    assert not (tmp_path / f"bad.{ending}").exists()


@pytest.mark.parametrize("ending", TEXTS)
@pytest.mark.parametrize("value", [np.float64(1.5), np.float64("nan"), np.float64("-inf"), np.float32(1.5),
                                   np.float16(0.1), np.int64(3), np.uint8(200), np.bool_(True), np.str_("s")],
                         ids=lambda value: f"{type(value).__name__} {value}")
def test_scalars_of_numpy_are_written_as_the_numbers_they_are(value: Any, ending: str, tmp_path: Path) -> None:
    if ending == "dot":
        pytest.importorskip("pygraphviz")
    graph = GRAPH.copy()
    graph.nodes["x"].update(score=value, norm=value, scores=[value, (value,)], table={value: value})
    graph.graph["score"] = value
    graph.edges["x", "multiply", 0]["score"] = value
    back = viz.read(viz.write(graph, tmp_path / f"x.{ending}"))
    own = value.item()
    for found in (back.nodes["x"]["score"], back.graph["score"], back.edges["x", "multiply", 0]["score"],
                  back.nodes["x"]["scores"][1][0], next(iter(back.nodes["x"]["table"].values()))):
        assert repr(found) == repr(own)
    graph.nodes["x"]["score"] = np.complex64(1)
    with pytest.raises(TypeError, match="of type complex"):
        viz.write(graph, tmp_path / f"x.{ending}")


# ------------------------------------------------------------------------------------------------ the recorder
@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    recorder = viz.Recorder(every=1)
    for _ in range(3):
        recorder(last_loss("lstm"))
    path = tmp_path_factory.mktemp("recorder") / "r.npz"
    recorder.save(path)
    return path.read_bytes()


def test_damaged_files_of_the_recorder_are_read_or_refused_by_name(recorded: bytes, tmp_path: Path) -> None:
    path, refused = tmp_path / "r.npz", 0
    for raw in [*changes(recorded), b"\x93NUMPY", b"PK\x03\x04", *map(with_array(recorded), HOSTILE_ARRAYS)]:
        path.write_bytes(raw)
        try:
            viz.Recorder.load(path)
        except DamagedFileError as error:
            refused += "r.npz is not a file that Recorder.save wrote" in str(error) or pytest.fail(str(error))
    assert refused > 700
    with pytest.raises(DamagedFileError, match="a folder, not a file"):
        viz.Recorder.load(tmp_path)


HOSTILE_ARRAYS: list[tuple[str, Any]] = [
    ("count", np.array([])), ("count", -1), ("every", 0), ("every", np.array("x")), ("fraction", np.nan),
    ("updates", 3), ("updates", np.array([2, 1, 0])), ("updates", np.array([0, 1])), ("norms", np.zeros(())),
    ("carry", np.zeros((9, 9))), ("count", np.inf), ("gate f", np.zeros(3)), ("layer", np.nan), ("symbol", np.zeros(3)),
]


def with_array(raw: bytes) -> Any:
    def changed(place: tuple[str, Any]) -> bytes:
        with np.load(io.BytesIO(raw)) as file:
            arrays = dict(file)
        content = io.BytesIO()
        np.savez(content, **{**arrays, place[0]: place[1]})
        assert zipfile.is_zipfile(content)
        return content.getvalue()
    return changed


@pytest.mark.parametrize("place", HOSTILE_ARRAYS[:-1], ids=str)
def test_records_that_do_not_fit_together_are_refused(recorded: bytes, place: tuple[str, Any], tmp_path: Path) -> None:
    (tmp_path / "r.npz").write_bytes(with_array(recorded)(place))
    with pytest.raises(DamagedFileError, match=r"r\.npz"):
        viz.Recorder.load(tmp_path / "r.npz")
