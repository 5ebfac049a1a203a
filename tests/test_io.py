"""Saving and loading: what comes back is what was saved, and a damaged file is refused."""

from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from microgradrnn import Tensor, Value, io, nn, optim
from microgradrnn.io import content
from microgradrnn.training import History

pytest.importorskip("safetensors")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


def trained(seed: int) -> tuple[nn.Module, optim.Adam, np.random.Generator]:
    """A net, and an optimiser that has a past."""
    rng = np.random.default_rng(seed)
    net = nn.LSTM(3, 4, num_layers=2, bidirectional=True, rng=rng, dtype=np.float32)
    adam = optim.Adam(net.parameters(), lr=0.01 * (seed + 1))
    for _ in range(seed + 1):
        adam.zero_grad()
        net(rng.standard_normal((5, 2, 3)).astype(np.float32))[0].sum().backward()
        adam.step()
    return net, adam, rng


def same(a: Any, b: Any) -> bool:
    """Equal to the bit, and of the same kinds."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or a != a


def test_a_net_an_optimiser_and_a_generator_come_back_bit_for_bit(path: Path) -> None:
    net, adam, rng = trained(1)
    io.save(path, net=net, adam=adam, rng=rng)
    net2, adam2, rng2 = trained(0)
    io.load(path, net=net2, adam=adam2, rng=rng2)
    assert same(net2.state_dict(), net.state_dict())
    assert same(adam2.state_dict(), adam.state_dict())
    assert (rng2.random(9) == rng.random(9)).all()


arrays = hnp.arrays(st.sampled_from([np.float64, np.float32, np.int64, np.bool_, np.uint8]),
                    hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
names = st.text().filter(lambda s: not s.startswith("$"))
trees = st.recursive(arrays | plain, lambda t: st.lists(t) | st.lists(t).map(tuple) | st.dictionaries(names, t),
                     max_leaves=8)


@given(st.dictionaries(names, trees))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_tree_of_arrays_and_plain_things_comes_back(path: Path, tree: dict[str, Any]) -> None:
    io.save(path, tree=tree)
    back: dict[str, Any] = {"old": 1}
    io.load(path, tree=back)
    assert same(back, tree)


def test_every_way_an_array_may_lie_in_memory_is_saved_as_it_reads(path: Path) -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    tree = {"f": np.asfortranarray(a), "t": a.T, "s": a[:, ::2], "n": Tensor(a) * 1, "x": np.float32(0.1)}
    io.save(path, tree=tree)
    back: dict[str, Any] = {}
    io.load(path, tree=back)
    for name, was in tree.items():
        np.testing.assert_array_equal(back[name], getattr(was, "data", was) if name == "n" else was)
        assert back[name].flags.c_contiguous


@pytest.mark.parametrize("kind", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_every_kind_of_generator_goes_on_where_it_stood(path: Path, kind: str) -> None:
    rng, other = (np.random.Generator(getattr(np.random, kind)(seed)) for seed in (1, 2))
    rng.integers(0, 9, 3, dtype=np.int32)  # leaves half a draw behind, which counts too
    io.save(path, rng=rng)
    io.load(path, rng=other)
    assert (rng.integers(0, 99, 9, dtype=np.int32) == other.integers(0, 99, 9, dtype=np.int32)).all()
    assert (rng.standard_normal(9) == other.standard_normal(9)).all()


def test_nothing_is_changed_unless_everything_fits(path: Path) -> None:
    net, adam, rng = trained(1)
    io.save(path, net=net, adam=adam, rng=rng)
    net2, adam2, _ = trained(0)
    before, other = net2.state_dict(), np.random.Generator(np.random.MT19937(0))
    with pytest.raises(ValueError, match="rng is a MT19937 generator; the file holds a PCG64"):
        io.load(path, net=net2, adam=adam2, rng=other)
    assert same(net2.state_dict(), before)
    with pytest.raises(KeyError, match="not both have rng"):
        io.load(path, net=net2, adam=adam2)
    with pytest.raises(ValueError, match=r"load: net: .* has shape"):
        io.load(path, net=nn.LSTM(5, 4, num_layers=2, bidirectional=True), adam=adam2, rng=rng)
    with pytest.raises(KeyError, match=r"load: adam: SGD.*the state is one of Adam"):
        io.load(path, net=net2, adam=optim.SGD(net2.parameters(), lr=1.0), rng=rng)
    with pytest.raises(TypeError, match="rng is a int; the file holds a module"):
        io.load(path, net=net2, adam=adam2, rng=3)
    io.save(path, x=[1])
    with pytest.raises(TypeError, match="put it in a dict"):
        io.load(path, x=3)


def test_what_has_a_state_comes_back_in_place_inside_lists_and_dicts(path: Path) -> None:
    def things(seed: int) -> dict[str, Any]:
        net, adam, rng = trained(seed)
        return {"a": [net, {"opt": adam}], "b": {"rngs": (rng,), "n": seed, "inner": {"k": [seed]}}}

    was, now = things(1), things(0)
    (net, opt), (rng,), inner = now["a"], now["b"]["rngs"], now["b"]["inner"]
    io.save(path, **was)
    io.load(path, **now)
    assert now["a"][0] is net
    assert now["a"][1] is opt
    assert now["b"]["rngs"][0] is rng
    assert now["b"]["inner"] is inner
    assert inner == {"k": [1]}
    assert same(net.state_dict(), was["a"][0].state_dict())
    assert same(opt["opt"].state_dict(), was["a"][1]["opt"].state_dict())
    assert rng.random() == was["b"]["rngs"][0].random()
    for other in ({"a": [], "b": {}}, {**now, "b": {"rngs": ()}}):
        with pytest.raises(TypeError, match="the file holds a module"):
            io.load(path, **other)
    io.save(path, x={"net": 1})
    with pytest.raises(TypeError, match=r"x\.net is a LSTM; the file holds a int"):
        io.load(path, x={"net": net})


def test_a_load_that_fails_leaves_containers_and_what_is_in_them_as_they_were(path: Path) -> None:
    net, adam, rng = trained(1)
    io.save(path, a={"net": net, "n": 1}, b=[rng, 5], c=adam)
    net2, _, rng2 = trained(0)
    inner = object()  # could not even be saved
    a, b = {"inner": inner, "net": net2}, [rng2, inner]
    before, drawn = net2.state_dict(), rng2.bit_generator.state
    with pytest.raises(KeyError, match="load: c"):
        io.load(path, a=a, b=b, c=optim.SGD(net2.parameters(), lr=1.0))
    assert (list(a), a["inner"], a["net"]) == (["inner", "net"], inner, net2)
    assert b == [rng2, inner]
    assert same(net2.state_dict(), before)
    assert rng2.bit_generator.state == drawn


def test_a_file_of_another_dtype_is_refused_and_nothing_rounded(path: Path) -> None:
    io.save(path, net=nn.Linear(3, 2, rng=0))
    net = nn.Linear(3, 2, rng=1, dtype=np.float32)
    before = net.state_dict()
    with pytest.raises(ValueError, match=r"net\.V is an array of float32; the file holds float64"):
        io.load(path, net=net)
    assert same(net.state_dict(), before)


def test_parameters_and_arrays_without_a_module_come_back_in_place(path: Path) -> None:
    """A net of bare Tensors goes on from its checkpoint; nobody notices a dict that holds copies."""
    w, v, a = Tensor(np.arange(6.0).reshape(2, 3)), Value(1.5), np.arange(4)
    things: dict[str, Any] = {"w": w, "others": [v, {"w": w}], "a": a, "constant": {"h": Tensor([1.0]).detach()}}
    io.save(path, **things)
    w.data, v.data = w.data + 1, 0.0
    a[:] = 9
    io.load(path, **things)
    assert things["w"] is things["others"][1]["w"] is w
    assert things["others"][0] is v
    np.testing.assert_array_equal(w.data, np.arange(6.0).reshape(2, 3))
    assert (v.data, type(v.data)) == (1.5, float)
    assert a.tolist() == [0, 1, 2, 3]
    assert isinstance(things["constant"]["h"], np.ndarray)


def test_parameters_and_arrays_that_do_not_fit_are_refused_and_nothing_changes(path: Path) -> None:
    io.save(path, w=Tensor(np.ones((2, 3))), a=np.ones(4))
    w, a = Tensor(np.zeros((2, 3))), np.zeros(4)
    for other, words in (({"a": np.zeros(5)}, r"a has shape \(5,\); the file holds \(4,\)"),
                         ({"a": np.zeros(4, int)}, "a is an array of int64; the file holds float64"),
                         ({"w": Tensor(np.zeros((3, 2)))}, r"w has shape \(3, 2\)"),
                         ({"a": Tensor(np.zeros(4)) * 2}, "put it in a dict")):
        with pytest.raises((ValueError, TypeError), match=words):
            io.load(path, **{"a": a, "w": w, **other})  # type: ignore[arg-type]
        assert not w.data.any()
        assert not a.any()


@pytest.mark.parametrize("bare", [None, True, 3, 0.5, "adam", (1, 2), np.float64(3.0)])
def test_a_bare_value_is_refused_when_it_is_saved_not_when_it_is_missed(path: Path, bare: Any) -> None:
    with pytest.raises(TypeError, match=r"save: x is a bare \w+, which load could not change in place; put it in a di"):
        io.save(path, x=bare)
    assert not path.exists()
    io.save(path, x={"value": bare})
    back: dict[str, Any] = {}
    io.load(path, x=back)
    assert back["value"] == bare


def test_a_file_in_the_layout_of_another_version_says_so(path: Path) -> None:
    import safetensors.numpy

    safetensors.numpy.save_file({"net.V": np.ones(2)}, path, {"format": "microgradrnn 1", "tree": "{}", "sha256": ""})
    with pytest.raises(io.DamagedFileError, match=r"layout 'microgradrnn 1' by another.*reads 'microgradrnn 2'"):
        io.load(path, net={})
    assert same(io.read(path), {"net.V": np.ones(2)})


@pytest.mark.parametrize(("thing", "words"), [
    (lambda x: x, "x is a function"), ({"f": {1, 2}}, r"x\.f is a set"), ({1: 2}, "x has the key 1"),
    ({"$array": 2}, "do not start with"), (np.array([None]), "array of object"), (np.array(["a"]), "array of <U1"),
    ({"z": 1j}, "complex"), (np.zeros(2, np.complex64), "array of complex64"),
    *([(np.zeros(2, np.longdouble), "array of float128")] if np.dtype(np.longdouble).name == "float128" else []),
])
def test_what_cannot_be_saved_is_refused_by_name_and_leaves_the_old_file(path: Path, thing: Any, words: str) -> None:
    io.save(path, x={"a": 1})
    old = path.read_bytes()
    with pytest.raises(TypeError, match=words):
        io.save(path, x=thing)
    assert path.read_bytes() == old


# ------------------------------------------------------------------------------------------------ damage
@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("io") / "f"
    io.save(path, net=nn.Linear(3, 2, rng=0), x={"a": 1.5})
    return path.read_bytes()


def refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    net = nn.Linear(3, 2, rng=1)
    before = net.state_dict()
    with pytest.raises(io.DamagedFileError, match=str(path.name)):
        io.load(path, net=net, x={})
    assert same(net.state_dict(), before)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
def test_a_file_with_any_one_bit_flipped_is_refused(path: Path, whole: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole) * 8 - 1))
    damaged = bytearray(whole)
    damaged[at // 8] ^= 1 << at % 8
    if same_meaning(bytes(damaged), whole):
        return  # white space in the table of contents, or the case of an escape
    refused(path, bytes(damaged))


def same_meaning(a: bytes, b: bytes) -> bool:
    """Does the table of contents read the same, and are the numbers the same?"""
    try:
        n, m = (struct.unpack("<Q", x[:8])[0] for x in (a, b))
        return bool(json.loads(a[8 : 8 + n]) == json.loads(b[8 : 8 + m]) and a[8 + n :] == b[8 + m :])
    except (ValueError, UnicodeDecodeError):
        return False


def test_a_file_cut_anywhere_or_with_something_added_is_refused(path: Path, whole: bytes) -> None:
    for length in {0, 1, 7, 8, 9, *range(0, len(whole), 37), len(whole) - 1}:
        refused(path, whole[:length])
    refused(path, whole + b"\0")
    refused(path, os.urandom(500))


def test_files_of_others_are_read_but_not_loaded(path: Path) -> None:
    import safetensors.numpy

    safetensors.numpy.save_file({"a": np.ones((2, 3), np.float32)}, path)
    assert same(io.read(path), {"a": np.ones((2, 3), np.float32)})
    with pytest.raises(io.DamagedFileError, match=r"not written by microgradrnn\.io\.save"):
        io.load(path, x={})


def test_no_pickle_is_ever_read(path: Path) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("a pickle was opened",))

    refused(path, pickle.dumps(Trap()))
    for source in Path(io.__file__).parent.glob("*.py"):
        assert "pickle" not in source.read_text().replace("unpickled", "")


@pytest.mark.parametrize("dtype", [">f8", "<f8", ">i4", "<u2", ">f2", "longlong"])
def test_any_byte_order_is_saved_as_the_numbers_it_stands_for(path: Path, dtype: str) -> None:
    a = np.arange(5).astype(dtype)
    io.save(path, x={"a": a})
    back: dict[str, Any] = {}
    io.load(path, x=back)
    np.testing.assert_array_equal(back["a"], a)
    assert back["a"].dtype == a.dtype.newbyteorder("=")


def test_nothing_that_could_not_be_read_takes_the_place_of_an_old_file(path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    io.save(path, x={"a": 1})
    old = path.read_bytes()
    with pytest.raises(ValueError, match="the name __metadata__ is taken"):
        io.save(path, __metadata__=np.ones(2))
    monkeypatch.setattr(content.safetensors(), "save", lambda arrays, metadata: b"not what was asked for")
    with pytest.raises(io.DamagedFileError):
        io.save(path, x={"a": 2})
    assert path.read_bytes() == old


@pytest.mark.parametrize("table", [b'{"__metadata__":null}', b'{"__metadata__":[]}', b"[]", b"null"])
def test_a_table_of_contents_of_another_kind_is_damage(path: Path, table: bytes) -> None:
    path.write_bytes(struct.pack("<Q", len(table)) + table)
    for use in (lambda: io.read(path), lambda: io.load(path, x={})):
        with pytest.raises(io.DamagedFileError):
            use()


def forged(path: Path, tree: Any, **arrays: np.ndarray) -> Path:
    """A file whose checksum is right, whatever is in it."""
    import safetensors.numpy

    text = tree if isinstance(tree, str) else json.dumps(tree)
    metadata = {"format": content.FORMAT, "tree": text, "sha256": content.digest(text, arrays)}
    safetensors.numpy.save_file(arrays, path, metadata)
    return path


@pytest.mark.parametrize("tree", [
    "", "{", "[]", "3", "null", '"x"', "[" * 100_000, '{"x":' * 100_000, {"x": {"$array": "gone"}},
    {"x": {"$array": []}}, {"x": {"$array": None}}, {"x": {"$tuple": 3}}, {"$state": {}}, {"$tuple": []},
], ids=lambda tree: str(tree)[:20])
def test_a_forged_tree_is_refused_by_name(path: Path, tree: Any) -> None:
    with pytest.raises(io.DamagedFileError, match=path.name):
        io.load(forged(path, tree), x={})


def adams(**changes: Any) -> dict[str, Any]:
    """The tree of an Adam over one parameter of shape (2,), with changes."""
    running = {"m": [{"$array": "a"}], "v": [{"$array": "a"}]}
    state = {"kind": "Adam", "lr": 0.1, "steps": 3, "counts": [3], "betas": {"$tuple": [0.9, 0.999]}, "eps": 1e-8,
             "amsgrad": False, "weight_decay": 0.0}
    return {"adam": {"$state": {**state, **running, **changes}}}


BAD_STATES: list[dict[str, Any]] = [
    *({"lr": lr} for lr in (float("nan"), -1.0, float("inf"), "x", None, [])),
    *({"steps": n} for n in (-1, 2, 1.5, "x", None, float("inf"))),
    *({"counts": n} for n in ([-1], [4], [1.5], ["x"], [], 3, None, "a", [[3]])),
    *({"betas": b} for b in (3, [0.9], [0.9, 1.0], [-0.1, 0.9], ["a", "b"], None, [0.9, float("nan")])),
    *({"eps": e} for e in (-1.0, float("nan"), "x", [])),
    *({"amsgrad": a} for a in (1, "x", None)), *({"weight_decay": w} for w in (-1.0, "x", True)),
    *({"m": m} for m in (3, [], ["a"], [3], None, [[1, 2, 3]])), {"kind": 3}, {"kind": []},
]


@pytest.mark.parametrize("change", BAD_STATES, ids=str)
def test_a_state_that_no_optimiser_has_is_refused_and_nothing_changes(path: Path, change: dict[str, Any]) -> None:
    adam = optim.Adam([Tensor(np.ones(2))], lr=0.5)
    before = adam.state_dict()
    io.load(forged(path, adams(), a=np.ones(2)), adam=optim.Adam([Tensor(np.ones(2))]))
    with pytest.raises((ValueError, TypeError, KeyError), match=rf"load: adam: .*\(in .*{path.name}\)"):
        io.load(forged(path, adams(**change), a=np.ones(2)), adam=adam)
    assert same(adam.state_dict(), before)


@pytest.mark.parametrize("state", [{}, {"bit_generator": "PCG64"}, {"bit_generator": "PCG64", "state": 3}, {
    "bit_generator": "PCG64", "state": {"state": -1, "inc": 10**60}, "has_uint32": "x", "uinteger": 2.5}, 3, [], None])
def test_a_state_that_no_generator_has_is_refused(path: Path, state: Any) -> None:
    rng, twin = np.random.default_rng(0), np.random.default_rng(0)
    with pytest.raises((ValueError, TypeError, KeyError), match=path.name):
        io.load(forged(path, {"rng": {"$state": state}}), rng=rng)
    assert rng.random() == twin.random()


@pytest.mark.parametrize("state", [
    {}, {"losses": 3}, {"losses": [1], "norms": [], "evaluated_at": [], "evaluations": []}, 3, [], None])
def test_a_state_that_no_history_has_is_refused(path: Path, state: Any) -> None:
    history = History([1.0])
    with pytest.raises((ValueError, TypeError, KeyError), match=path.name):
        io.load(forged(path, {"history": {"$state": state}}), history=history)
    assert history == History([1.0])


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**40, 10**8])
def test_a_length_that_no_file_has_is_refused(path: Path, length: int) -> None:
    refused(path, struct.pack("<Q", length) + b"{}")


@pytest.mark.parametrize("table", [
    {"a": 3}, {"a": {}}, {"a": {"dtype": "F64", "shape": [-1], "data_offsets": [0, 0]}}, "[" * 100_000,
    {"a": {"dtype": "F64", "shape": [2**62, 2**62], "data_offsets": [0, 0]}}, {"a": {"dtype": 3}},
    {"a": {"dtype": "F64", "shape": [2**63, 0], "data_offsets": [0, 0]}}, '{"a":' * 100_000,
    {"a": {"dtype": "F64", "shape": [0, 2**64 - 1, 2**64 - 1], "data_offsets": [0, 0]}},
    {"a": {"dtype": "F64", "shape": [1] * 100 + [0], "data_offsets": [0, 0]}},
    {"a": {"dtype": "F64", "shape": [1], "data_offsets": [8, 0]}}, {"a": None}, {"__metadata__": {"format": 3}},
], ids=lambda table: str(table)[:70])
def test_a_hostile_table_of_contents_is_refused(path: Path, table: Any) -> None:
    raw = (table if isinstance(table, str) else json.dumps(table)).encode()
    refused(path, struct.pack("<Q", len(raw)) + raw)


# ------------------------------------------------------------------------------------------------ writing
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    io.save(path, x={"a": 1})
    old = path.read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        io.save(path, x={"a": 2})
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_the_new_file_is_on_the_disk_before_it_takes_the_old_ones_place(path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), real_fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), real_replace(a, b))[1])
    io.save(path, x={"a": 1})
    assert calls[:2] == ["fsync", "replace"]


def test_without_safetensors_the_error_names_the_extra(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"microgradrnn\[io\]"):
        io.save(path, x={})
    io.load_torch(nn.Linear(2, 1), {"weight": np.ones((1, 2)), "bias": np.zeros(1)})


@pytest.mark.parametrize("do", [io.save, io.load])
def test_a_thing_without_a_name_is_told_how_to_get_one(do: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"first the path, then each thing under a name, .* got Linear without a name"):
        do(tmp_path / "net.safetensors", nn.Linear(3, 2))
    assert not list(tmp_path.iterdir())
