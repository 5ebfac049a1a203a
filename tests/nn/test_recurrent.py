"""RNN, LSTM and GRU against torch.nn in float64: outputs, last states, and every gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.numerics import relative_error

torch = pytest.importorskip("torch")

B, D, H, K = 3, 4, 5, 6

KINDS = {
    "rnn": (lambda **o: nn.RNN(D, H, **o), lambda: torch.nn.RNN(D, H)),
    "relu rnn": (lambda **o: nn.RNN(D, H, activation="relu", **o), lambda: torch.nn.RNN(D, H, nonlinearity="relu")),
    "lstm": (lambda **o: nn.LSTM(D, H, **o), lambda: torch.nn.LSTM(D, H)),
    "gru": (lambda **o: nn.GRU(D, H, reset="after", **o), lambda: torch.nn.GRU(D, H)),
}


def twins(kind: str) -> tuple[Any, Any]:
    """Our layer and PyTorch's, with the same weights: U = W_ih^T, W = W_hh^T, b = b_ih + b_hh."""
    make, make_torch = KINDS[kind]
    layer, peer = make(rng=0), make_torch().double()
    p = layer.cell
    with torch.no_grad():
        peer.weight_ih_l0.copy_(torch.tensor(p.U.data.T.copy()))
        peer.weight_hh_l0.copy_(torch.tensor(p.W.data.T.copy()))
        peer.bias_ih_l0.copy_(torch.tensor(p.b.data.copy()))
        peer.bias_hh_l0.zero_()
        if kind == "gru":  # the candidate's recurrent bias stands inside the reset; it cannot be merged into b
            peer.bias_hh_l0[2 * H :] = torch.tensor(p.b_n.data.copy())
    return layer, peer


def peer_gradients(kind: str, peer: Any) -> dict[str, np.ndarray]:
    gradients = {"U": peer.weight_ih_l0.grad.T, "W": peer.weight_hh_l0.grad.T, "b": peer.bias_ih_l0.grad}
    if kind == "gru":
        gradients["b_n"] = peer.bias_hh_l0.grad[2 * H :]
    return {name: g.numpy() for name, g in gradients.items()}


@pytest.mark.parametrize("T", [1, 7, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_layer_equals_pytorch(kind: str, T: int) -> None:
    layer, peer = twins(kind)
    rng = np.random.default_rng(T)
    xs = rng.standard_normal((T, B, D))
    states = [rng.standard_normal((B, H)) * 0.5 for _ in range(2 if kind == "lstm" else 1)]
    V, targets = rng.standard_normal((H, K)), rng.integers(0, K, (T, B))

    x, state = Tensor(xs), tuple(Tensor(s) for s in states)
    hs, last = layer(x, state if kind == "lstm" else state[0])
    last = last if kind == "lstm" else (last,)
    loss = nn.cross_entropy(hs @ V, targets, reduction="sum") + sum((s * s).sum() for s in last)
    loss.backward()

    x_t = torch.tensor(xs, requires_grad=True)
    state_t = tuple(torch.tensor(s[None], requires_grad=True) for s in states)
    hs_t, last_t = peer(x_t, state_t if kind == "lstm" else state_t[0])
    last_t = last_t if kind == "lstm" else (last_t,)
    loss_t = torch.nn.functional.cross_entropy(
        (hs_t @ torch.tensor(V)).reshape(T * B, K), torch.tensor(targets.reshape(-1)), reduction="sum"
    ) + sum((s * s).sum() for s in last_t)
    loss_t.backward()

    assert relative_error(hs.data, hs_t.detach().numpy()) < 1e-12
    for ours, theirs in zip(last, last_t, strict=True):
        assert relative_error(ours.data, theirs[0].detach().numpy()) < 1e-12
    assert relative_error(x.grad, x_t.grad.numpy()) < 1e-10
    for ours, theirs in zip(state, state_t, strict=True):
        assert relative_error(ours.grad, theirs.grad[0].numpy()) < 1e-10
    expected = peer_gradients(kind, peer)
    assert expected.keys() == dict(layer.cell.named_parameters()).keys()
    for name, p in layer.cell.named_parameters():
        assert relative_error(p.grad, expected[name]) < 1e-10, name


@pytest.mark.parametrize("kind", KINDS)
def test_cell_equals_pytorch(kind: str) -> None:
    layer, peer = twins(kind)
    rng = np.random.default_rng(0)
    x, h, c = rng.standard_normal((B, D)), rng.standard_normal((B, H)), rng.standard_normal((B, H))
    cells = {"rnn": torch.nn.RNNCell, "relu rnn": lambda *a: torch.nn.RNNCell(*a, nonlinearity="relu"),
             "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}
    cell = cells[kind](D, H).double()
    cell.load_state_dict({name.removesuffix("_l0"): p for name, p in peer.state_dict().items()})
    tensors = [torch.tensor(a) for a in (x, h, c)]
    if kind == "lstm":
        ours, theirs = layer.cell(Tensor(x), (h, c)), cell(tensors[0], tuple(tensors[1:]))
    else:
        ours, theirs = (layer.cell(Tensor(x), h),), (cell(tensors[0], tensors[1]),)
    for a, b in zip(ours, theirs, strict=True):
        assert relative_error(a.data, b.detach().numpy()) < 1e-14


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_through_time_equal_pytorch(kind: str) -> None:
    layer, peer = twins(kind)
    xs = np.random.default_rng(0).standard_normal((4, B, D))
    W, W_t = layer.cell.W, peer.weight_hh_l0
    direction = np.random.default_rng(1).standard_normal(W.shape)
    hs, _ = layer(xs)
    second = mg.grad((mg.grad((hs * hs).sum(), W, create_graph=True) * direction).sum(), W)
    hs_t, _ = peer(torch.tensor(xs))
    [first_t] = torch.autograd.grad((hs_t * hs_t).sum(), W_t, create_graph=True)
    [second_t] = torch.autograd.grad((first_t * torch.tensor(direction.T)).sum(), W_t)
    assert relative_error(second, second_t.numpy().T) < 1e-10


def test_a_loss_at_the_last_step_alone_equals_pytorch() -> None:
    layer, peer = twins("lstm")
    xs = np.random.default_rng(0).standard_normal((60, B, D))
    x, x_t = Tensor(xs), torch.tensor(xs, requires_grad=True)
    hs, _ = layer(x)
    hs[-1].sum().backward()
    hs_t, _ = peer(x_t)
    hs_t[-1].sum().backward()
    for t in range(60):  # step by step: the gradient fades over time, and the faint end must be right too
        assert relative_error(x.grad[t], x_t.grad[t].numpy()) < 1e-10
