"""Whole nets from PyTorch by one call, and back: outputs and gradients are the same, and what does not fit is named."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.parity import BAR, apart, whole
from microgradrnn import Tensor, io, nn
from tests.numerics import relative_error

torch = pytest.importorskip("torch")
from benchmarks.twins import KINDS, Plan, Twins, in_our_biases  # noqa: E402
from microgradrnn.io.torch_nets import from_torch, parts  # noqa: E402

D, H, K, N, T, B = 3, 5, 4, 11, 7, 2


def arrays(peer: Any) -> dict[str, np.ndarray]:
    return {name: p.numpy() for name, p in peer.state_dict().items()}


def unchanged(net: nn.Module, before: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(a, before[name]) for name, a in net.state_dict().items())


class Tagger(nn.Module):
    """Embedding, a bidirectional LSTM of two layers, a norm, a head; and a parameter of its own."""

    def __init__(self, **options: Any) -> None:
        self.embedding = nn.Embedding(N, D, **options)
        self.lstm = nn.LSTM(D, H, num_layers=2, bidirectional=True, **options)
        self.norm = nn.LayerNorm(2 * H, **options)
        self.head = nn.Linear(2 * H, K, **options)
        self.scale = nn.Parameter(np.ones((2, K)), **options)

    def __call__(self, ids: Any) -> Any:
        return self.head(self.norm(self.lstm(self.embedding(ids))[0])) * self.scale[0]


class TheirTagger(torch.nn.Module):
    """The same."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(N, D)
        self.lstm = torch.nn.LSTM(D, H, num_layers=2, bidirectional=True)
        self.norm = torch.nn.LayerNorm(2 * H)
        self.head = torch.nn.Linear(2 * H, K)
        self.scale = torch.nn.Parameter(torch.randn(2, K))
        self.double()

    def forward(self, ids: Any) -> Any:
        return self.head(self.norm(self.lstm(self.embedding(ids))[0])) * self.scale[0]


IDS = np.random.default_rng(0).integers(0, N, (T, B))


# -------------------------------------------------------------------------------------------------------- whole nets
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_nested_nets_equal_their_twins_in_pytorch(data: st.DataObject) -> None:
    twins = Twins(torch, lambda low, high: data.draw(st.integers(low, high)))
    for name, ours, theirs in twins.numbers():
        assert apart(ours, theirs) <= BAR, name
    there = {name: torch.from_numpy(a) for name, a in io.to_torch_state_dict(twins.net, names=twins.names).items()}
    assert str(twins.twin.load_state_dict(there)) == "<All keys matched successfully>"
    again = twins.ours.net(twins.plan, twins.words, twins.classes)
    assert io.load_torch(again, twins.twin.state_dict(), names=twins.names) == ([], [])
    assert unchanged(again, twins.net.state_dict())


def test_the_random_nets_hold_every_kind_of_block() -> None:
    def kinds(plan: Plan) -> set[str]:
        return {plan.kind, *(kind for one in plan.inside for kind in kinds(one))}

    found: set[str] = set()
    for seed in range(60):
        rng = np.random.default_rng([seed, 2])
        found |= kinds(Twins(torch, lambda low, high, rng=rng: int(rng.integers(low, high + 1))).plan)
    assert found == set(KINDS)


def test_a_weight_that_is_off_by_a_billionth_shows_in_a_whole_net(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = range(20)
    assert max(whole(torch, seed) for seed in seeds) <= BAR
    right = io.load_torch

    def off(net: nn.Module, *args: Any, **options: Any) -> Any:
        left = right(net, *args, **options)
        net.head.V.data = net.head.V.data * (1 + 1e-9)
        return left

    monkeypatch.setattr(io, "load_torch", off)
    assert min(whole(torch, seed) for seed in seeds) > BAR


def test_a_net_takes_its_weights_by_its_attributes_and_gives_them_back() -> None:
    net, peer = Tagger(), TheirTagger()
    left = io.load_torch(net, peer.state_dict())
    assert repr(left) == "<All keys matched successfully>"
    assert relative_error(net(IDS).data, peer(torch.tensor(IDS)).detach().numpy()) < BAR
    other = TheirTagger()
    other.load_state_dict({name: torch.from_numpy(a) for name, a in io.to_torch_state_dict(net).items()})
    assert relative_error(other(torch.tensor(IDS)).detach(), peer(torch.tensor(IDS)).detach()) < BAR


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_a_file_of_a_whole_model_is_read_in_every_precision(tmp_path: Path, dtype: str) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    peer = TheirTagger().to(getattr(torch, dtype))
    save_file(peer.state_dict(), tmp_path / "model.safetensors")
    net, direct = Tagger(), Tagger()
    io.load_torch(net, tmp_path / "model.safetensors")
    io.load_torch(direct, peer.state_dict())
    np.testing.assert_array_equal(net.norm.bias.data, peer.norm.bias.detach().double().numpy())
    assert unchanged(net, direct.state_dict())


def test_a_net_in_float32_stays_in_float32() -> None:
    net = Tagger(dtype=np.float32)
    io.load_torch(net, TheirTagger().state_dict())
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float32)}


# ------------------------------------------------------------------------------------------------------------- cells
CELLS: dict[str, tuple[Any, Any]] = {
    "RNNCell": (nn.RNNCell, torch.nn.RNNCell), "LSTMCell": (nn.LSTMCell, torch.nn.LSTMCell),
    "GRUCell": (lambda *a, **k: nn.GRUCell(*a, reset="after", **k), torch.nn.GRUCell),
    "RNNCell relu": (lambda *a, **k: nn.RNNCell(*a, activation="relu", **k),
                     lambda *a, **k: torch.nn.RNNCell(*a, nonlinearity="relu", **k)),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_a_step_of_a_cell_equals_pytorch_and_so_do_its_gradients(kind: str, bias: bool) -> None:
    ours, theirs = CELLS[kind]
    cell, peer = ours(D, H, bias=bias), theirs(D, H, bias=bias).double()
    io.load_torch(cell, peer.state_dict())
    rng = np.random.default_rng(0)
    x, *state = (rng.standard_normal((B, n)) for n in (D, *cell.state_sizes))
    x_t, state_t = torch.tensor(x, requires_grad=True), [torch.tensor(a) for a in state]
    x_o = Tensor(x)
    one = len(state) == 1
    new, new_t = cell(x_o, state[0] if one else tuple(state)), peer(x_t, state_t[0] if one else tuple(state_t))
    total, total_t = 0.0, 0.0
    for s, s_t in zip((new,) if one else new, (new_t,) if one else new_t, strict=True):
        assert relative_error(s.data, s_t.detach().numpy()) < BAR
        total, total_t = total + (s * s * s).sum(), total_t + (s_t * s_t * s_t).sum()
    total.backward()
    total_t.backward()
    assert relative_error(x_o.grad, x_t.grad.numpy()) < BAR
    for p, g in from_torch(cell, in_our_biases(cell, {name: p.grad.numpy() for name, p in peer.named_parameters()})):
        assert relative_error(p.grad, g) < BAR
    peer.load_state_dict({name: torch.from_numpy(a) for name, a in io.to_torch_state_dict(cell).items()})


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_loop_over_a_cell_and_a_layer_of_one_cell_take_each_others_weights(kind: str) -> None:
    after = {"reset": "after"} if kind == "GRU" else {}
    layer, cell = getattr(nn, kind)(D, H, **after), getattr(nn, f"{kind}Cell")(D, H, **after)
    peer = torch.nn.ModuleDict({"step": getattr(torch.nn, f"{kind}Cell")(D, H).double()})
    io.load_torch(layer, peer.state_dict(), names={"": "step"})
    io.load_torch(cell, io.to_torch_state_dict(layer))
    xs = np.random.default_rng(0).standard_normal((T, B, D))
    state = None
    for x in torch.tensor(xs):
        state = peer["step"](x, state)
    last = (state[0] if kind == "LSTM" else state).detach().numpy()
    assert relative_error(layer(xs)[0].data[-1], last) < BAR
    assert relative_error(nn.unroll(cell, xs)[0].data[-1], last) < BAR


def test_a_layer_of_several_cells_does_not_take_a_lone_one() -> None:
    with pytest.raises(io.UnmatchedError, match="weight_ih_l1"):
        io.load_torch(nn.LSTM(D, H, num_layers=2), torch.nn.LSTMCell(D, H).state_dict())
    with pytest.raises(io.UnmatchedError, match="weight_ih_l1"):
        io.load_torch(nn.LSTMCell(D, H), torch.nn.LSTM(D, H, num_layers=2).state_dict())


# ------------------------------------------------------------------------------------------------------------- names
class Wrapped(torch.nn.Module):
    """As DataParallel and torch.compile wrap a model."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module


def test_names_lead_from_ours_to_theirs() -> None:
    net, peer = Tagger(), torch.nn.Module()
    theirs = TheirTagger()
    peer.emb, peer.encoder, peer.fc = theirs.embedding, torch.nn.Module(), theirs.head
    peer.encoder.rnn, peer.encoder.ln, peer.gamma = theirs.lstm, theirs.norm, theirs.scale
    names = {"embedding": "emb", "lstm": "encoder.rnn", "norm": "encoder.ln", "head": "fc", "scale": "gamma"}
    io.load_torch(net, peer.state_dict(), names=names)
    assert relative_error(net(IDS).data, theirs(torch.tensor(IDS)).detach().numpy()) < BAR
    there = io.to_torch_state_dict(net, names=names)
    assert there.keys() == peer.state_dict().keys()


def test_the_whole_net_may_be_a_part_of_theirs_and_the_reverse() -> None:
    theirs = TheirTagger()
    net, holder = Tagger(), nn.Module()
    holder.net = Tagger()
    io.load_torch(net, Wrapped(theirs).state_dict(), names={"": "module"})
    io.load_torch(holder, theirs.state_dict(), names={"net": ""})
    for one in (net, holder.net):
        assert relative_error(one(IDS).data, theirs(torch.tensor(IDS)).detach().numpy()) < BAR
    assert io.to_torch_state_dict(net, names={"": "module"}).keys() == Wrapped(theirs).state_dict().keys()
    head = nn.Linear(2 * H, K)
    assert io.load_torch(head, theirs.state_dict(), names={"": "head"}) == ([], [])
    np.testing.assert_array_equal(head.V.data.T, theirs.head.weight.detach())


@pytest.mark.parametrize(("make", "said"), [
    (TheirTagger, None),
    (lambda: Wrapped(TheirTagger()), '{"": "module"}'),
    (lambda: torch.nn.ModuleDict({"rnn": torch.nn.LSTM(D, H, num_layers=2, bidirectional=True),
                                  "fc": torch.nn.Linear(2 * H, K), "ln": torch.nn.LayerNorm(2 * H),
                                  "emb": torch.nn.Embedding(N, D)}),
     '{"embedding": "emb", "lstm": "rnn", "norm": "ln", "head": "fc"}'),
])
def test_the_error_says_which_names_belong_together(make: Any, said: str | None) -> None:
    net, state = Tagger(), make().state_dict()
    before = net.state_dict()
    if said is None:
        del state["head.bias"]
    with pytest.raises(KeyError) as caught:
        io.load_torch(net, state)
    assert unchanged(net, before)
    error = caught.value
    assert isinstance(error, io.UnmatchedError)
    text = str(error)
    for name in (*error.missing_keys, *error.unexpected_keys):
        assert f" {name} (" in text
    assert (f"Perhaps names={said} (ours: theirs)" in text) if said else ("Perhaps" not in text)
    assert str(pickle.loads(pickle.dumps(error))) == text


def test_the_nearest_of_theirs_is_of_the_part_that_fits() -> None:
    pair = nn.Module()
    pair.a, pair.b = nn.Linear(3, 4), nn.Linear(5, 4)
    theirs = torch.nn.ModuleDict({"b2": torch.nn.Linear(3, 4), "a2": torch.nn.Linear(5, 4)})
    with pytest.raises(KeyError, match=r"a\.weight \(4, 3\); the nearest of theirs is b2\.weight"):
        io.load_torch(pair, theirs.state_dict())


def test_a_path_that_the_net_does_not_have_is_answered_with_those_that_it_has() -> None:
    with pytest.raises(ValueError, match=r"ours first.*no 'rnn', it has embedding, head, lstm, norm, scale"):
        io.load_torch(Tagger(), TheirTagger().state_dict(), names={"rnn": "lstm"})
    with pytest.raises(ValueError, match="no 'rnn'"):
        io.to_torch_state_dict(Tagger(), names={"rnn": "lstm"})


def test_the_error_of_a_net_of_many_blocks_says_it_in_one_word_and_soon() -> None:
    net, theirs = nn.Module(), {}
    net.blocks, net.head = [nn.Linear(4, 4) for _ in range(200)], nn.Linear(4, 2)
    for name, a in io.to_torch_state_dict(net).items():
        theirs[name.replace("blocks", "encoder.layers")] = a + 1
    with pytest.raises(io.UnmatchedError, match=r'Perhaps names=\{"blocks": "encoder\.layers"\} ') as caught:
        io.load_torch(net, theirs)
    assert len(caught.value.missing_keys) == len(caught.value.unexpected_keys) == 400
    io.load_torch(net, theirs, names={"blocks.": "encoder.layers."})  # a dot at the end does no harm
    np.testing.assert_array_equal(net.blocks[7].V.data.T, theirs["encoder.layers.7.weight"])


def test_a_hint_does_not_rename_what_is_found_already() -> None:
    net = nn.Module()
    net.a, net.b = nn.Linear(2, 3), nn.Linear(3, 4)
    state = {"a.weight": np.ones((3, 2)), "a.bias": np.ones(3), "x.b.weight": np.ones((4, 3)), "x.b.bias": np.ones(4)}
    with pytest.raises(io.UnmatchedError, match=r'Perhaps names=\{"b": "x\.b"\} '):
        io.load_torch(net, state)


@pytest.mark.parametrize("names", [["lstm"], "lstm", {"lstm": None}, {0: "rnn"}])
def test_names_are_a_dict_of_paths(names: Any) -> None:
    with pytest.raises(TypeError, match="load_torch: names is a dict of paths"):
        io.load_torch(Tagger(), {}, names=names)
    with pytest.raises(TypeError, match="to_torch_state_dict: names is a dict of paths"):
        io.to_torch_state_dict(Tagger(), names=names)


@pytest.mark.parametrize(("names", "words"), [
    ({"0": "1"}, r"0\.weight and 1\.weight would both be called 1\.weight"),
    ({"0": "", "1": ""}, r"0\.weight and 1\.weight would both be called weight"),
    ({"0.weight": "0.bias"}, r"0\.weight and 0\.bias would both be called 0\.bias"),
])
def test_names_that_would_lose_a_weight_are_refused(names: dict[str, str], words: str) -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    with pytest.raises(ValueError, match=f"^to_torch_state_dict: {words}"):
        io.to_torch_state_dict(net, names=names)


def test_a_part_that_their_model_does_not_have_is_answered_with_those_that_it_has() -> None:
    for strict in (True, False):
        with pytest.raises(ValueError, match=r"nothing of theirs is inside 'modul'; they have module, .*head"):
            io.load_torch(Tagger(), Wrapped(TheirTagger()).state_dict(), names={"": "modul"}, strict=strict)


def test_what_their_model_keeps_besides_arrays_is_a_leftover() -> None:
    net, extra = nn.Linear(2, 3), "_extra_state"
    state = io.to_torch_state_dict(net)
    for kept in ({"scale": 1.0}, b"bytes", torch.ones(2)):
        assert io.load_torch(net, {**state, extra: kept}, strict=False) == ([], [extra])
        with pytest.raises(io.UnmatchedError, match=extra):
            io.load_torch(net, {**state, extra: kept})


def test_one_path_is_not_named_twice() -> None:
    net = nn.Sequential(nn.Linear(3, 3))
    names = {"0": "a", "0.": "b"}
    for call in (lambda: io.to_torch_state_dict(net, names=names), lambda: io.load_torch(net, {}, names=names)):
        with pytest.raises(ValueError, match="names says of '0' both 'a' and 'b'"):
            call()


def test_weights_of_a_net_that_have_one_name_are_refused() -> None:
    net = nn.Module()
    net.heads = {1: nn.Linear(2, 3), "1": nn.Linear(2, 3)}
    for call in (lambda: io.to_torch_state_dict(net), lambda: io.load_torch(net, {}, strict=False)):
        with pytest.raises(ValueError, match=r"two weights of the net are called heads\.1\.weight"):
            call()


def test_load_state_dict_says_who_takes_the_weights_of_pytorch() -> None:
    with pytest.raises(KeyError, match=r"one side only: .*; microgradrnn\.io\.load_torch\(net, state\) takes"):
        Tagger().load_state_dict(TheirTagger().state_dict())
    with pytest.raises(KeyError, match=r"one side only: d'$"):
        nn.Linear(2, 3).load_state_dict({"V": np.ones((2, 3))})


def test_a_checkpoint_that_holds_the_state_is_told_from_it() -> None:
    linear, theirs = nn.Linear(2, 3), torch.nn.Linear(2, 3)
    with pytest.raises(TypeError, match=r"give state\['model'\]"):
        io.load_torch(linear, {"epoch": 3, "model": theirs.state_dict()})
    io.load_torch(linear, {"weight": linear.V.T, "bias": linear.d})  # nodes are arrays too
    assert linear.V.is_leaf


def test_a_path_is_no_beginning_of_another_word() -> None:
    net = nn.Module()
    net.rnn, net.rnn2 = nn.Linear(2, 3), nn.Linear(3, 4)
    assert [name for name in io.to_torch_state_dict(net, names={"rnn": "a"}) if "weight" in name] == [
        "a.weight", "rnn2.weight"]


# --------------------------------------------------------------------------------------------------------- leftovers
def test_without_strict_what_is_on_both_sides_is_loaded_and_the_rest_returned() -> None:
    net, peer = Tagger(), TheirTagger()
    peer.bn = torch.nn.BatchNorm1d(K)
    state = peer.state_dict()
    del state["head.bias"], state["lstm.bias_hh_l1"], state["scale"]
    before = net.state_dict()
    left = io.load_torch(net, state, strict=False)
    theirs = TheirTagger().load_state_dict(state, strict=False)
    assert set(left.missing_keys) == set(theirs.missing_keys) == {"head.bias", "lstm.bias_hh_l1", "scale"}
    assert left.unexpected_keys == theirs.unexpected_keys
    assert "bn.running_mean" in left.unexpected_keys
    np.testing.assert_array_equal(net.head.V.data.T, state["head.weight"])
    np.testing.assert_array_equal(net.head.d.data, before["head.d"])
    np.testing.assert_array_equal(net.lstm.layers[1]["forwards"].b.data, before["lstm.layers.1.forwards.b"])
    with pytest.raises(io.UnmatchedError, match="running_mean"):
        io.load_torch(net, state)


@pytest.mark.parametrize("local", ["bias_ih_l0", "bias_hh_l0"])
def test_one_of_two_biases_is_no_bias_and_adds_nothing(local: str) -> None:
    other = {"bias_ih_l0": "bias_hh_l0", "bias_hh_l0": "bias_ih_l0"}[local]
    for net in (nn.LSTM(D, H), nn.GRU(D, H, reset="after")):
        before, b = net.cell.b.data.copy(), np.ones(net.cell.b.shape)
        for _ in range(2):
            left = io.load_torch(net, {local: b}, strict=False)
            assert other in left.missing_keys
            np.testing.assert_array_equal(net.cell.b.data, before)


@pytest.mark.parametrize("given", [["weight_hh_l1"], ["weight_ih_l0", "weight_hh_l0"],
                                   ["weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"]])
def test_biases_that_are_not_given_are_left_alone_and_reported_without_strict(given: list[str]) -> None:
    net = nn.LSTM(D, H, num_layers=2)
    before, state = net.state_dict(), io.to_torch_state_dict(net)
    left = io.load_torch(net, {name: state[name] + 1 for name in given}, strict=False)
    assert set(left.missing_keys) == state.keys() - set(given)
    for name in ("layers.0.b", "layers.1.b"):
        np.testing.assert_array_equal(net.state_dict()[name], before[name])


def test_biases_are_0_only_where_a_whole_layer_has_none_and_nothing_is_left_over() -> None:
    net = nn.LSTM(D, H, num_layers=2)
    before, state = net.state_dict(), io.to_torch_state_dict(net)
    one_bare = {name: a for name, a in state.items() if "bias" not in name or "l1" in name}
    misspelled = {name.replace("bias", "bais"): a for name, a in state.items()}
    for theirs, missing in ((one_bare, {"bias_ih_l0", "bias_hh_l0"}), (misspelled, {n for n in state if "bias" in n})):
        with pytest.raises(io.UnmatchedError) as caught:
            io.load_torch(net, theirs)
        assert set(caught.value.missing_keys) == missing
    assert unchanged(net, before)
    assert io.load_torch(net, {name: a for name, a in state.items() if "bias" not in name}) == ([], [])
    assert not net.state_dict()["layers.0.b"].any()


def test_an_empty_state_has_nothing_for_a_net() -> None:
    with pytest.raises(io.UnmatchedError, match=r"^load_torch: .* 2 of ours without weights, 0 of theirs not used:\n"):
        io.load_torch(nn.Linear(2, 3), {})
    linear = nn.Linear(2, 3)
    before = linear.state_dict()
    assert io.load_torch(linear, {}, strict=False) == (["weight", "bias"], [])
    assert unchanged(linear, before)
    assert io.load_torch(nn.Sequential(nn.Tanh()), {}) == ([], [])


def test_shapes_that_do_not_fit_are_all_named_and_a_transpose_is_noticed() -> None:
    net, state = Tagger(), TheirTagger().state_dict()
    before = net.state_dict()
    state["scale"], state["norm.bias"] = state["scale"].T, torch.zeros(3)
    for strict in (True, False):
        with pytest.raises(ValueError, match=r"norm\.bias of shape \(10,\), got \(3,\), scale of shape \(2, 4\), got "
                                             r"\(4, 2\); its transpose would fit"):
            io.load_torch(net, state, strict=strict)
    assert unchanged(net, before)


@pytest.mark.parametrize("over", ["raise", "warn"])
def test_numbers_that_are_too_large_change_nothing(over: Any) -> None:
    net = Tagger(dtype=np.float32)
    before, state = net.state_dict(), {name: a + 1 for name, a in io.to_torch_state_dict(net).items()}
    state["head.bias"] = np.full(K, 1e300)
    with np.errstate(over=over), pytest.raises(ValueError, match=r"^load_torch: head\.bias holds 1e\+300, too large"):
        io.load_torch(net, state)
    assert unchanged(net, before)


def test_a_layer_that_pytorch_does_not_have_is_named_by_its_path() -> None:
    net = nn.Module()
    net.head, net.inner = nn.Linear(H, K), [nn.MGU(D, H)]
    state = {"head.weight": np.ones((K, H)), "head.bias": np.ones(K)}
    for call in (lambda: io.load_torch(net, state), lambda: io.to_torch_state_dict(net)):
        with pytest.raises(TypeError, match=r"inner\.0: PyTorch has no counterpart of this MGUCell"):
            call()
    left = io.load_torch(net, state, strict=False)
    assert left == (["inner.0.cell.U", "inner.0.cell.W", "inner.0.cell.b"], [])
    np.testing.assert_array_equal(net.head.V.data, 1.0)


@pytest.mark.parametrize("thing", [[nn.Linear(2, 3)], torch.nn.Linear(2, 3), None])
def test_what_is_no_net_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"load_torch: the first argument is a net of this library"):
        io.load_torch(thing, {})


# ------------------------------------------------------------------------------------------------------------ shared
def shared_nets() -> tuple[nn.Module, Any]:
    net, peer = nn.Module(), torch.nn.Module()
    net.a = nn.Linear(3, 3)
    net.b, net.c = nn.Linear(3, 3), net.a
    net.b.V = net.a.V
    peer.a, peer.b = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    peer.c, peer.b.weight = peer.a, peer.a.weight
    return net, peer.double()


def test_what_both_share_is_loaded_once_and_needs_one_of_its_names() -> None:
    net, peer = shared_nets()
    state = peer.state_dict()
    assert len(state) == 6
    assert io.load_torch(net, state) == ([], [])
    assert net.a.V is net.b.V
    np.testing.assert_array_equal(net.a.V.data.T, state["a.weight"])
    assert list(io.to_torch_state_dict(net)) == list(state)
    few = {name: state[name] for name in ("b.weight", "b.bias", "a.bias")}  # as safetensors.torch.save_model keeps them
    again, _ = shared_nets()
    assert io.load_torch(again, few) == ([], [])
    assert unchanged(again, net.state_dict())


def test_one_parameter_that_is_given_different_arrays_is_an_error() -> None:
    net, peer = shared_nets()
    before, state = net.state_dict(), peer.state_dict()
    state["b.weight"] = state["b.weight"] + 1
    for strict in (True, False):
        with pytest.raises(ValueError, match=r"a\.weight and b\.weight are one parameter here"):
            io.load_torch(net, state, strict=strict)
    assert unchanged(net, before)


class TiedWords(nn.Module):
    """The rows of the embedding read the state out as well."""

    def __init__(self) -> None:
        self.embedding, self.rnn = nn.Embedding(N, H), nn.GRU(H, H, reset="after")

    def __call__(self, ids: Any) -> Any:
        return self.rnn(self.embedding(ids))[0] @ self.embedding.E.T


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_a_tied_head_that_is_no_layer_of_ours_is_no_leftover(dtype: str) -> None:
    peer = torch.nn.ModuleDict({"embedding": torch.nn.Embedding(N, H), "rnn": torch.nn.GRU(H, H),
                                "head": torch.nn.Linear(H, N, bias=False)})
    peer["head"].weight = peer["embedding"].weight
    peer = peer.to(getattr(torch, dtype))
    net = TiedWords()
    assert io.load_torch(net, peer.state_dict()) == ([], [])
    peer = peer.double()
    hs, _ = peer["rnn"](peer["embedding"](torch.tensor(IDS)))
    assert relative_error(net(IDS).data, peer["head"](hs).detach().numpy()) < BAR
    untied = {name: a.clone() for name, a in peer.state_dict().items()}
    with pytest.raises(io.UnmatchedError, match=r"theirs  head\.weight \(11, 5\)"):
        io.load_torch(net, untied)


def test_one_of_theirs_may_feed_two_of_ours() -> None:
    net = nn.Module()
    net.embedding, net.head = nn.Embedding(N, H), nn.Linear(H, N, bias=False)
    rows = np.random.default_rng(0).standard_normal((N, H))
    io.load_torch(net, {"embedding.weight": rows}, names={"head": "embedding"})
    np.testing.assert_array_equal(net.head.V.data, rows.T)
    np.testing.assert_array_equal(net.embedding.E.data, rows)


# ------------------------------------------------------------------------------------------------------- your own
class Leaky(nn.Cell):
    """A cell of one's own: its weights go by their names."""

    blocks, name = 1, "leaky"

    def step(self, z: Any, h: Any) -> Any:
        return 0.9 * h + 0.1 * (z + h @ self.W).tanh()


def test_weights_of_your_own_cells_go_by_their_own_names_and_as_they_are() -> None:
    net = nn.Module()
    net.cell, net.rnn = Leaky(D, H), nn.Recurrent(Leaky(D, H))
    names = [f"{path}.{name}" for path in ("cell", "rnn.cell") for name in "UWb"]
    assert list(io.to_torch_state_dict(net)) == names
    shapes = {"U": (D, H), "W": (H, H), "b": (H,)}
    state = {name: np.full(shapes[name[-1]], float(k)) for k, name in enumerate(names)}
    io.load_torch(net, state)
    np.testing.assert_array_equal(net.rnn.cell.W.data, 4.0)


def test_a_layer_of_yours_that_adds_to_one_of_ours_keeps_both() -> None:
    class Scaled(nn.LSTM):
        def __init__(self) -> None:
            super().__init__(D, H)
            self.gain, self.head = nn.Parameter(np.ones(H)), nn.Linear(H, K)

    net = Scaled()
    assert list(io.to_torch_state_dict(net)) == [
        "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "gain", "head.weight", "head.bias"]


def test_frozen_parameters_values_and_cycles_are_all_right() -> None:
    net = nn.Module()
    net.mlp, net.frozen, net.child = nn.MLP(2, [1]), nn.Parameter(np.zeros(3)), nn.Module()
    net.frozen.requires_grad = False
    net.child.parent = net
    state = {name: a + 1 for name, a in io.to_torch_state_dict(net).items()}
    assert {a.shape for a in state.values()} == {(), (3,)}
    assert io.load_torch(net, state) == ([], [])
    np.testing.assert_array_equal(net.frozen.data, 1.0)
    values = [p.data for p in net.parameters()]
    assert all(type(x) is float for x in values)
    np.testing.assert_array_equal(values, [a for name, a in state.items() if name != "frozen"])


@pytest.mark.parametrize("change", [
    lambda a: a.clone().requires_grad_(), lambda a: torch.nn.Parameter(a),
    lambda a: torch.as_strided(a.repeat_interleave(2, 0).contiguous(), a.shape,
                               (a.stride()[0] * 2, *a.stride()[1:])) if a.ndim else a,
    lambda a: a.numpy()[::-1][::-1], lambda a: a.float(), lambda a: a.bfloat16(), lambda a: a.half()])
def test_tensors_of_every_sort_are_taken(change: Any) -> None:
    net, peer = Tagger(), TheirTagger()
    state = {name: change(a) for name, a in peer.state_dict().items()}
    io.load_torch(net, state)
    expected = Tagger()
    io.load_torch(expected, {name: a if isinstance(a, np.ndarray) else a.detach().double().numpy()
                             for name, a in state.items()})
    assert unchanged(net, expected.state_dict())


def test_what_is_loaded_does_not_change_with_theirs() -> None:
    net, peer = Tagger(), TheirTagger()
    io.load_torch(net, peer.state_dict())
    before = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        for p in peer.parameters():
            p += 1
    assert unchanged(net, before)


def test_every_part_has_its_place() -> None:
    assert [part.path for part in parts(Tagger())] == ["embedding", "lstm", "norm", "head", "scale"]
