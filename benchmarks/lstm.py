"""LSTM forward and backward, float32: against a loop of torch.nn.LSTMCell, and against HIPS autograd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.measure import MissingPeerError, Row, compared, peer
from microgradrnn import nn

# (T, B, D, H): bar against PyTorch, bar against autograd, repeats
SIZES = {
    (32, 1, 16, 16): (0.75, 0.3, 41),
    (50, 1, 64, 64): (0.75, 0.3, 31),
    (50, 16, 64, 64): (0.75, 0.4, 21),
    (50, 32, 128, 128): (1.0, 0.5, 9),
    (100, 32, 256, 256): (1.0, 0.6, 7),
}
Run = Callable[[], tuple[Any, Any]]  # returns the loss and the gradient of the recurrent matrix (H, 4H)


def ours(layer: nn.LSTM, xs: np.ndarray) -> Run:
    """Our layer; the loss is the sum of all outputs."""

    def run() -> tuple[float, Any]:
        layer.zero_grad()
        hs, _ = layer(xs)
        loss = hs.sum()
        loss.backward()
        return loss.item(), layer.cell.W.grad

    return run


def with_torch(layer: nn.LSTM, xs: np.ndarray) -> Run:
    """The same weights in a torch.nn.LSTMCell, in a Python loop."""
    torch = peer("torch")
    cell = torch.nn.LSTMCell(layer.cell.input_size, layer.cell.hidden_size)
    x = torch.tensor(xs)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor(layer.cell.U.data.T.copy()))
        cell.weight_hh.copy_(torch.tensor(layer.cell.W.data.T.copy()))
        cell.bias_ih.copy_(torch.tensor(layer.cell.b.data.copy()))
        cell.bias_hh.zero_()

    def run() -> tuple[float, Any]:
        cell.zero_grad()
        h = c = torch.zeros(xs.shape[1], layer.cell.hidden_size)
        hs = []
        for x_t in x:
            h, c = cell(x_t, (h, c))
            hs.append(h)
        loss = torch.stack(hs).sum()
        loss.backward()
        return loss.item(), cell.weight_hh.grad.numpy().T

    return run


def with_autograd(layer: nn.LSTM, xs: np.ndarray) -> Run:
    """The same weights in autograd.numpy: one product of [x, h] with all four gates."""
    value_and_grad, anp = peer("autograd").value_and_grad, peer("autograd.numpy")
    D, H = layer.cell.input_size, layer.cell.hidden_size
    parameters = (np.concatenate([layer.cell.U.data, layer.cell.W.data]), np.array(layer.cell.b.data))

    def sigma(z: Any) -> Any:
        return 1 / (1 + anp.exp(-z))

    def loss(parameters: Any) -> Any:
        UW, b = parameters
        h = c = np.zeros((xs.shape[1], H), xs.dtype)
        hs = []
        for x in xs:
            z = anp.dot(anp.concatenate([x, h], axis=1), UW) + b
            i, f, g, o = z[:, :H], z[:, H : 2 * H], z[:, 2 * H : 3 * H], z[:, 3 * H :]
            c = sigma(f) * c + sigma(i) * anp.tanh(g)
            h = sigma(o) * anp.tanh(c)
            hs.append(h)
        return anp.sum(anp.array(hs))

    both = value_and_grad(loss)

    def run() -> tuple[float, Any]:
        value, (g, _) = both(parameters)
        return float(value), g[D:]

    return run


def rows() -> Iterator[Row]:
    """Five sizes against each peer, where both compute the same numbers."""
    for name, make, which in (("torch.nn.LSTMCell in a loop", with_torch, 0), ("autograd", with_autograd, 1)):
        for (T, B, D, H), (*bars, repeats) in SIZES.items():
            layer = nn.LSTM(D, H, rng=0, dtype=np.float32)
            xs = np.random.default_rng(0).standard_normal((T, B, D)).astype(np.float32)
            try:
                theirs = make(layer, xs)
            except MissingPeerError as missing:
                yield Row(f"LSTM : {name}", str(missing))
                break
            mine = ours(layer, xs)
            for a, b in zip(mine(), theirs(), strict=True):
                assert np.allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max()), "the two do not compute the same"
            yield compared(f"LSTM ({T},{B},{D},{H}) : {name}", mine, theirs, repeats=repeats, bar=bars[which])
