"""Constructors and attributes have PyTorch's names, and `batch_first` exchanges two axes and changes nothing else."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, nn
from tests.nn.test_depth import KINDS, parts, twin
from tests.numerics import relative_error

T, B, D, H = 9, 4, 3, 5
LENGTHS = [9, 2, 5, 5]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# ------------------------------------------------------------------------------------------------------- names
MODULES = {"Linear": (3, 5), "Embedding": (10, 4), "LayerNorm": (4,), "RNNCell": (3, 5), "LSTMCell": (3, 5),
           "GRUCell": (3, 5), "RNN": (3, 5), "LSTM": (3, 5), "GRU": (3, 5)}
ONLY_THEIRS = {"device", "elementwise_affine", "max_norm", "norm_type", "scale_grad_by_freq", "sparse", "nonlinearity"}


@pytest.mark.parametrize("kind", MODULES)
def test_the_arguments_that_both_have_are_called_as_in_pytorch_and_come_in_its_order(kind: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, kind)
    if kind in ("RNN", "LSTM", "GRU"):
        names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"]
    else:
        names = [name for name in inspect.signature(theirs.__init__).parameters
                 if name not in ONLY_THEIRS | {"self", "_weight", "_freeze", "dtype"}]
    peer, values = theirs(*MODULES[kind]), {}
    for name, value in zip(names, MODULES[kind], strict=False):
        values[name] = value
    ours = getattr(nn, kind)(**values)
    for name in names:
        if kind not in ("Linear", "LayerNorm") or name != "bias":  # there it is an array
            assert getattr(ours, name, None) == getattr(peer, name, None), name
    assert ours.state_dict().keys() == getattr(nn, kind)(*MODULES[kind]).state_dict().keys()


@pytest.mark.parametrize("options", [
    {}, {"num_layers": 3, "dropout": 0.25}, {"bias": False}, {"bidirectional": True, "batch_first": True}])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_options_of_a_layer_are_its_attributes_as_in_pytorch(kind: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, kind)(3, 5, **options), getattr(torch.nn, kind)(3, 5, **options)
    for name in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"):
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.parametrize("make", [
    lambda: nn.LSTM(D=3, H=5), lambda: nn.GRUCell(D=3, H=5), lambda: nn.LSTM(3, 5, layers=2),
    lambda: nn.Embedding(n=3, D=4), lambda: nn.LayerNorm(shape=3), lambda: nn.TreeCell(H=4),
    lambda: nn.JordanCell(3, 5, K=2)])
def test_there_is_no_second_set_of_names(make: Any) -> None:
    with pytest.raises(TypeError):
        make()


@pytest.mark.parametrize("module", [nn.LSTM(3, 5), nn.LSTMCell(3, 5), nn.JordanCell(3, 5, 2), nn.Embedding(3, 4)])
def test_the_letters_of_the_equations_are_no_attributes(module: Any) -> None:
    for letter in "DHKn":
        assert not hasattr(module, letter)


# ------------------------------------------------------------------------------------------------- batch_first
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("compiled", [False, True, "numpy"])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_states_and_gradients_equal_those_of_pytorch_with_batch_first(
    kind: str, compiled: Any, layers: int, both: bool, lengths: Any
) -> None:
    torch = pytest.importorskip("torch")
    make, options = KINDS[kind]
    net = make(D, H, layers, bidirectional=both, batch_first=True, rng=0, **options)
    peer = twin(kind, net, layers, both)
    peer.batch_first = True
    xs, weights = normal(B, T, D), normal(B, T, (1 + both) * H, seed=1)
    x, x_t = Tensor(xs), torch.tensor(xs, requires_grad=True)
    hs, last = net(x, lengths=lengths, compiled=compiled)
    ((hs * weights).sum() + sum((part**2).sum() for part in parts(last))).backward()

    pack, unpack = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
    given = x_t if lengths is None else pack(x_t, lengths, batch_first=True, enforce_sorted=False)
    hs_t, last_t = peer(given)
    if lengths is not None:
        hs_t, _ = unpack(hs_t, batch_first=True)
    last_t = last_t if kind == "lstm" else (last_t,)
    ((hs_t * torch.tensor(weights)).sum() + sum((part**2).sum() for part in last_t)).backward()

    assert hs.shape == (B, T, (1 + both) * H)
    assert relative_error(hs.data, hs_t.detach().numpy()) < 1e-12
    for k, theirs in enumerate(last_t):
        ours = np.stack([part.data for part in list(parts(last))[k :: len(last_t)]])
        assert relative_error(ours, theirs.detach().numpy()) < 1e-12
    assert relative_error(x.grad, x_t.grad.numpy()) < 1e-12
    for k, direction, cell in net.cells():
        end = f"l{k}" + "_reverse" * (direction == "backwards")
        for name, symbol in {"weight_ih": "U", "weight_hh": "W", "bias_ih": "b"}.items():
            theirs = getattr(peer, f"{name}_{end}").grad.numpy().T
            assert relative_error(getattr(cell, symbol).grad, theirs) < 1e-12, name


@pytest.mark.parametrize("make", [nn.MGU, nn.IRNN])
@pytest.mark.parametrize("options", [
    {}, {"reverse": True}, {"checkpoint": 2}, {"lengths": LENGTHS, "reverse": True}, {"rng": 1}])
def test_a_layer_does_the_same_whichever_axis_comes_first(make: Any, options: dict[str, Any]) -> None:
    ahead, first = (make(D, H, 2, dropout=0.3, batch_first=flag, rng=0) for flag in (False, True))
    xs, state = normal(T, B, D), (normal(B, H, seed=1), normal(B, H, seed=2))
    options = {name: np.random.default_rng(1) if name == "rng" else value for name, value in options.items()}
    expected, last = ahead(xs, state, **options)
    options = {name: np.random.default_rng(1) if name == "rng" else value for name, value in options.items()}
    found, ended = first(xs.swapaxes(0, 1), state, **options)
    np.testing.assert_array_equal(found.data.swapaxes(0, 1), expected.data)
    for a, b in zip(parts(ended), parts(last), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_a_net_of_any_cells_may_take_its_batch_first() -> None:
    cells = (nn.MGUCell(D, 2, rng=0), nn.RNNCell(D, 6, rng=1)), lambda x, h: (x[:, :H] + h).tanh()
    xs, state = normal(T, B, D), ((None, None), normal(B, H))
    expected = nn.Recurrent(*cells)(xs, state)[0].data
    np.testing.assert_array_equal(
        nn.Recurrent(*cells, batch_first=True)(xs.swapaxes(0, 1), state)[0].data, expected.swapaxes(0, 1))


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("read", [nn.last_step, nn.mean_over_steps])
def test_what_reads_all_outputs_reads_them_with_the_batch_first_too(read: Any, lengths: Any) -> None:
    hs = normal(T, B, H)
    np.testing.assert_array_equal(read(hs.swapaxes(0, 1), lengths, batch_first=True), read(hs, lengths))


@pytest.mark.parametrize("compiled", [False, True])
def test_gradient_flow_is_the_same_whichever_axis_comes_first(compiled: bool) -> None:
    xs, flows = normal(T, B, D), []
    for flag in (False, True):
        net = nn.LSTM(D, H, batch_first=flag, rng=0)
        hs, _ = net(xs.swapaxes(0, 1) if flag else xs, compiled=compiled)
        flows.append(viz.gradient_flow((hs[:, -1] if flag else hs[-1]).sum()))
    ours, theirs = ({(a.state, a.step): a.total for a in flow.arrivals.values()} for flow in flows)
    assert ours.keys() == theirs.keys()
    assert len(ours) > T
    np.testing.assert_allclose(list(ours.values()), [theirs[key] for key in ours], rtol=1e-12)
