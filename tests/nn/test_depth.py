"""Stacked, bidirectional and ragged: against PyTorch, against each sequence alone, and what messages say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.nn.systems import ancestors
from tests.numerics import assert_same, relative_error

T, B, D, H, K = 9, 4, 3, 5, 6
LENGTHS = [9, 2, 5, 5]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def parts(state: Any) -> Iterator[Any]:
    """The arrays of a nested state."""
    if isinstance(state, tuple):
        for part in state:
            yield from parts(part)
    else:
        yield state


# ------------------------------------------------------------------------------------------------------- PyTorch
KINDS = {"rnn": (nn.RNN, {}), "lstm": (nn.LSTM, {}), "gru": (nn.GRU, {"reset": "after"})}


def twin(kind: str, net: Any, layers: int, both: bool) -> Any:
    """PyTorch's net with the weights of ours."""
    torch = pytest.importorskip("torch")
    peer = getattr(torch.nn, kind.upper())(D, H, num_layers=layers, bidirectional=both).double()
    with torch.no_grad():
        for k, direction, cell in net.cells():
            end = f"l{k}" + ("_reverse" if direction == "backwards" else "")
            getattr(peer, f"weight_ih_{end}").copy_(torch.tensor(cell.U.data.T.copy()))
            getattr(peer, f"weight_hh_{end}").copy_(torch.tensor(cell.W.data.T.copy()))
            getattr(peer, f"bias_ih_{end}").copy_(torch.tensor(cell.b.data.copy()))
            bias = getattr(peer, f"bias_hh_{end}")
            bias.zero_()
            if kind == "gru":
                bias[2 * H :] = torch.tensor(cell.b_n.data.copy())
    return peer


@pytest.mark.parametrize(("kind", "layers", "both", "ragged"), [*product(KINDS, (1, 3), (False, True), (False, True))])
@pytest.mark.parametrize("T", [1, 9, 60])
def test_s17_s26_s29_s30_outputs_states_and_all_gradients_equal_pytorch(
    kind: str, layers: int, both: bool, ragged: bool, T: int
) -> None:
    torch = pytest.importorskip("torch")
    make, options = KINDS[kind]
    net = make(D, H, num_layers=layers, bidirectional=both, rng=0, **options)
    peer = twin(kind, net, layers, both)
    directions = 1 + both
    lengths = [T, max(T - 7, 1), (T + 1) // 2, (T + 1) // 2] if ragged else None
    xs = normal(T, B, D)
    first = [0.5 * normal(layers * directions, B, H, seed=k) for k in range(1 + (kind == "lstm"))]

    x, s = Tensor(xs), [[Tensor(a) for a in array] for array in first]
    cells = list(zip(*s, strict=True)) if kind == "lstm" else s[0]
    pairs = [tuple(cells[2 * k : 2 * k + 2]) for k in range(layers)] if both else cells
    hs, last = net(x, pairs[0] if layers == 1 else tuple(pairs), lengths=lengths)
    weights = normal(T, B, directions * H, seed=3)
    loss = (hs * weights).sum() + sum((part**2).sum() for part in parts(last))
    loss.backward()

    x_t, s_t = torch.tensor(xs, requires_grad=True), [torch.tensor(a, requires_grad=True) for a in first]
    pack, unpack = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
    given = pack(x_t, lengths, enforce_sorted=False) if ragged else x_t
    hs_t, last_t = peer(given, tuple(s_t) if kind == "lstm" else s_t[0])
    if ragged:
        hs_t, _ = unpack(hs_t)
    last_t = last_t if kind == "lstm" else (last_t,)
    ((hs_t * torch.tensor(weights)).sum() + sum((part**2).sum() for part in last_t)).backward()

    assert_same(hs.data, hs_t.detach().numpy(), what="outputs")
    ours = list(parts(last))
    for k, theirs in enumerate(last_t):
        assert_same(np.stack([p.data for p in ours[k :: len(last_t)]]), theirs.detach().numpy(), what="last state")
    assert relative_error(x.grad, x_t.grad.numpy()) < 1e-12
    for a, b in zip(s, s_t, strict=True):
        assert relative_error(np.stack([part.grad for part in a]), b.grad.numpy()) < 1e-12
    for k, direction, cell in net.cells():
        end = f"l{k}" + ("_reverse" if direction == "backwards" else "")
        for name, theirs in {"U": f"weight_ih_{end}", "W": f"weight_hh_{end}", "b": f"bias_ih_{end}"}.items():
            assert relative_error(getattr(cell, name).grad, getattr(peer, theirs).grad.numpy().T) < 1e-12, name
        if kind == "gru":
            assert relative_error(cell.b_n.grad, getattr(peer, f"bias_hh_{end}").grad.numpy()[2 * H :]) < 1e-12


# -------------------------------------------------------------------------------------------- each sequence alone
def leaky(x: Any, h: Any) -> Any:
    """A cell that is a plain function."""
    return (0.5 * h + 0.25 * mg.concat([x, x], axis=-1)[:, :H]).tanh()


CELLS: dict[str, Any] = {
    "rnn": lambda D: nn.RNNCell(D, H, rng=0),
    "relu": lambda D: nn.RNNCell(D, H, activation="relu", rng=0),
    "irnn": lambda D: nn.IRNNCell(D, H, rng=0),
    "jordan": lambda D: nn.JordanCell(D, 7, H, rng=0),
    "additive": lambda D: nn.AdditiveCell(D, H, rng=0),
    "additive, reads state": lambda D: nn.AdditiveCell(D, H, reads_state=True, rng=0),
    "lstm": lambda D: nn.LSTMCell(D, H, rng=0),
    "lstm, relu": lambda D: nn.LSTMCell(D, H, activation="relu", rng=0),
    "lstm, update gate": lambda D: nn.UpdateGateLSTMCell(D, H, rng=0),
    "lstm of 1997": lambda D: nn.CarouselLSTMCell(D, H, rng=0),
    "lstm, coupled gates": lambda D: nn.CoupledLSTMCell(D, H, rng=0),
    "gru, before": lambda D: nn.GRUCell(D, H, rng=0),
    "gru, after": lambda D: nn.GRUCell(D, H, reset="after", rng=0),
    "gru, z replaces": lambda D: nn.GRUCell(D, H, z="replaces", rng=0),
    "mgu": lambda D: nn.MGUCell(D, H, rng=0),
    "lstm, peepholes": lambda D: nn.PeepholeLSTMCell(D, H, rng=0),
    "lstm, layer norm": lambda D: nn.LayerNormLSTMCell(D, H, rng=0),
    "lstm, projected": lambda D: nn.LSTMCell(D, 7, proj_size=H, rng=0),
    "zoneout": lambda D: nn.Zoneout(nn.LSTMCell(D, H, rng=0), (0.1, 0.5)),
}
every_cell = pytest.mark.parametrize("kind", CELLS)


def deep(kind: str) -> Any:
    make = CELLS[kind]
    return nn.Recurrent((make(D), make(D)), (make(2 * H), make(2 * H)), make(2 * H))


def assert_each_is_as_if_alone(net: Any, padding: float = 0.0, **options: Any) -> None:
    xs = normal(T, B, D)
    for b, n in enumerate(LENGTHS):
        xs[n:, b] = padding
    weights = normal(T, B, H, seed=1)
    x = Tensor(xs)
    hs, last = net(x, lengths=LENGTHS, **options)
    loss = (hs * weights).sum() + sum((part**2).sum() for part in parts(last))
    loss.backward()
    together = [p.grad for p in net.parameters()]
    net.zero_grad()
    total = 0.0
    for b, n in enumerate(LENGTHS):
        one = Tensor(xs[:n, b : b + 1])
        alone, end = net(one, **options)
        assert_same(hs.data[:n, b], alone.data[:, 0])
        assert not hs.data[n:, b].any()
        for ours, theirs in zip(parts(last), parts(end), strict=True):
            assert_same(ours.data[b], theirs.data[0])
        L = (alone * weights[:n, b : b + 1]).sum() + sum((part**2).sum() for part in parts(end))
        L.backward()
        total += L.item()
        assert_same(x.grad[:n, b], one.grad[:, 0])
        assert not x.grad[n:, b].any()
    assert loss.item() == pytest.approx(total, rel=1e-12)
    for p, g in zip(net.parameters(), together, strict=True):
        assert_same(g, p.grad)


@every_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_in_a_ragged_batch_every_sequence_is_as_if_alone(kind: str, reverse: bool) -> None:
    assert_each_is_as_if_alone(nn.Recurrent(CELLS[kind](D)), reverse=reverse)


@every_cell
def test_in_a_ragged_batch_every_sequence_is_as_if_alone_in_a_deep_bidirectional_net_too(kind: str) -> None:
    assert_each_is_as_if_alone(deep(kind))


@pytest.mark.parametrize("padding", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("reverse", [False, True])
def test_what_stands_in_the_padding_does_not_matter(padding: float, reverse: bool) -> None:
    assert_each_is_as_if_alone(nn.Recurrent(CELLS["lstm"](D)), padding, reverse=reverse)
    assert_each_is_as_if_alone(nn.Recurrent(CELLS["relu"](D)), padding, reverse=reverse)


@pytest.mark.parametrize("kind", ["lstm", "gru, before", "additive"])
@pytest.mark.parametrize("checkpoint", [True, 1, 4, 20])
@pytest.mark.parametrize("reverse", [False, True])
def test_ragged_batches_may_be_checkpointed(kind: str, checkpoint: Any, reverse: bool) -> None:
    assert_each_is_as_if_alone(nn.Recurrent(CELLS[kind](D)), reverse=reverse, checkpoint=checkpoint)


def test_ragged_batches_start_each_from_its_own_first_state_backwards_too() -> None:
    cell, h0, xs = nn.GRUCell(D, H, rng=0), Tensor(normal(B, H)), normal(T, B, D)
    for reverse in (False, True):
        _, h = nn.unroll(cell, xs, h0, lengths=LENGTHS, reverse=reverse)
        g = mg.grad((h**2).sum(), h0)
        for b, n in enumerate(LENGTHS):
            one = Tensor(h0.data[b : b + 1])
            _, alone = nn.unroll(cell, xs[:n, b : b + 1], one, reverse=reverse)
            assert_same(h.data[b], alone.data[0])
            assert_same(g[b], mg.grad((alone**2).sum(), one)[0])


def test_lengths_that_are_all_full_change_nothing() -> None:
    net, xs = nn.LSTM(D, H, num_layers=2, bidirectional=True, rng=0), normal(T, B, D)
    for a, b in zip(parts(net(xs)), parts(net(xs, lengths=[T] * B)), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize(
    ("lengths", "says"),
    [([1, 2], r"expected 4 integers"), ([1.0] * 4, "expected 4 integers"), ([-1, 1, 1, 1], r"[01]\.\.9.*-1\.\.1"),
     ([1, 1, 1, 10], r"[01]\.\.9.*1\.\.10")],
)  # fmt: skip
def test_lengths_that_do_not_fit_are_refused(lengths: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        nn.LSTM(D, H, rng=0)(normal(T, B, D), lengths=lengths)
    with pytest.raises(ValueError, match=says):
        nn.last_step(normal(T, B, D), lengths)


# ------------------------------------------------------------------------------------------------- composition
@every_cell
def test_a_deep_bidirectional_net_is_a_composition_of_unrolls(kind: str) -> None:
    net, x = deep(kind), normal(T, B, D)
    hs, last = net(x)
    for k in range(2):
        f, b = (cell for layer, _, cell in net.cells() if layer == k)
        ahead, end_ahead = nn.unroll(f, x)
        back, end_back = nn.unroll(b, x[::-1])
        for ours, theirs in zip(parts(last[k]), parts((end_ahead, end_back)), strict=True):
            assert_same(ours.data, theirs.data, rel=1e-14)
        x = mg.concat([ahead, mg.flip(back, 0)], axis=-1)
    assert_same(hs.data, nn.unroll([*net.cells()][-1][2], x)[0].data, rel=1e-14)


def test_a_bidirectional_net_run_in_reverse_has_its_directions_exchanged() -> None:
    net, xs = nn.GRU(D, H, bidirectional=True, rng=0), normal(T, B, D)
    np.testing.assert_array_equal(net(xs, reverse=True)[0].data, net(xs[::-1].copy())[0].data[::-1])


def test_names_of_parameters_and_places_say_layer_and_direction() -> None:
    net = nn.LSTM(D, H, num_layers=2, bidirectional=True, rng=0)
    names = [name for name, _ in net.named_parameters()]
    assert names[:4] == ["layers.0.forwards.U", "layers.0.forwards.W", "layers.0.forwards.b", "layers.0.backwards.U"]
    assert names[-1] == "layers.1.backwards.b"
    hs, _ = net(normal(T, B, D))
    found = {node.scope.path for node in ancestors(hs) if node.symbol == "h"}
    assert found == {(f"layers.{k}", way, "lstm") for k in (0, 1) for way in ("forwards", "backwards")}
    steps = [node.scope.step for node in ancestors(hs) if node.symbol == "h" and "backwards" in node.scope.path]
    assert steps == [*reversed(range(T))] * 2
    assert [name for name, _ in nn.LSTM(D, H, rng=0).named_parameters()] == ["cell.U", "cell.W", "cell.b"]


def test_cells_may_differ_in_kind_and_size_and_plain_functions_are_cells() -> None:
    net = nn.Recurrent((nn.MGUCell(D, 4, rng=0), nn.LSTMCell(D, 2, rng=1)), leaky)
    hs, (both, h) = net(normal(T, B, D), ((None, None), np.zeros((B, H))), lengths=LENGTHS)
    assert hs.shape == (T, B, H)
    assert [part.shape for part in parts(both)] == [(B, 4), (B, 2), (B, 2)]
    assert h.shape == (B, H)
    assert len(net.parameters()) == 6


def test_states_come_back_in_the_form_in_which_they_are_given() -> None:
    net, xs = nn.LSTM(D, H, num_layers=2, bidirectional=True, rng=0), normal(2 * T, B, D)
    first = nn.GRU(D, H, num_layers=3, rng=0)
    whole, end = first(xs)
    _, state = first(xs[:T])
    rest, again = first(xs[T:], state)
    np.testing.assert_allclose(rest.data, whole.data[T:], rtol=1e-13)
    for a, b in zip(end, again, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-13)
    _, state = net(xs)
    assert [part.shape for part in parts(state)] == [(B, H)] * 8
    net(xs, state)


def test_states_of_another_form_are_refused() -> None:
    xs = normal(T, B, D)
    h = np.zeros((B, H))
    with pytest.raises(ValueError, match="with 2 layers the state is a tuple of 2, one a layer; got 3 parts"):
        nn.GRU(D, H, num_layers=2)(xs, (h, h, h))
    with pytest.raises(ValueError, match=r"with 2 layers .* got ndarray"):
        nn.GRU(D, H, num_layers=2)(xs, h)
    with pytest.raises(ValueError, match=r"pair, \(forwards, backwards\)"):
        nn.GRU(D, H, bidirectional=True)(xs, h)
    with pytest.raises(ValueError, match="LSTMCell: the state is"):
        nn.LSTM(D, H, bidirectional=True)(xs, (h, h))


# ---------------------------------------------------------------------------------------------------- dropout
def test_dropout_acts_between_layers_and_only_with_a_generator() -> None:
    net, plain = (nn.RNN(D, H, num_layers=2, dropout=p, rng=0) for p in (0.5, 0.0))
    xs = normal(T, B, D)
    np.testing.assert_array_equal(net(xs)[0].data, plain(xs)[0].data)
    np.testing.assert_array_equal(plain(xs, rng=np.random.default_rng(0))[0].data, plain(xs)[0].data)
    a, b, c = (net(xs, rng=np.random.default_rng(seed))[0].data for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0
    first, second = (cell for _, _, cell in net.cells())
    below = mg.dropout(nn.unroll(first, xs)[0], 0.5, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(a, nn.unroll(second, below)[0].data)


def test_dropout_out_of_range_and_nets_without_cells_are_refused() -> None:
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\)"):
        nn.LSTM(D, H, num_layers=2, dropout=1.0)
    with pytest.raises(ValueError, match="at least one cell"):
        nn.Recurrent()
    with pytest.raises(ValueError, match="layers must be a positive integer"):
        nn.LSTM(D, H, num_layers=0)


def test_the_third_argument_is_the_number_of_layers_as_in_pytorch() -> None:
    assert [k for k, _, _ in nn.LSTM(3, 5, 2).cells()] == [0, 1]
