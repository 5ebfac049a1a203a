"""Gradients of RNN, LSTM and GRU against PyTorch in float64: the largest relative error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.measure import Row, peer
from microgradrnn import Tensor, nn

T, B, D, H = 60, 3, 4, 5
LAYERS: dict[str, Callable[[], Any]] = {
    "RNN": lambda: nn.RNN(D, H, rng=0),
    "LSTM": lambda: nn.LSTM(D, H, rng=0),
    "GRU, reset after": lambda: nn.GRU(D, H, reset="after", rng=0),
    "GRU, reset before": lambda: nn.GRU(D, H, reset="before", rng=0),
}


def torch_outputs(torch: Any, name: str, x: Any, h0: Any, U: Any, W: Any, b: Any, b_n: Any = None) -> Any:
    """The outputs of PyTorch's own layer; for the GRU with the reset before, which it has not, of a loop."""
    if name == "GRU, reset before":
        hs, h = [], h0
        for x_t in x:
            u = x_t @ U + b
            rz = torch.sigmoid(u[:, : 2 * H] + h @ W[:, : 2 * H])
            r, z = rz[:, :H], rz[:, H:]
            h = z * h + (1 - z) * torch.tanh(u[:, 2 * H :] + (r * h) @ W[:, 2 * H :])
            hs.append(h)
        return torch.stack(hs)
    layer = getattr(torch.nn, name.split(",")[0])(D, H).double()
    b_hh = torch.zeros(b.shape, dtype=b.dtype)
    if b_n is not None:
        b_hh = torch.cat([b_hh[: 2 * H], b_n])
    weights = {"weight_ih_l0": U.T, "weight_hh_l0": W.T, "bias_ih_l0": b, "bias_hh_l0": b_hh}
    state = (h0[None], torch.zeros(1, B, H, dtype=b.dtype)) if name == "LSTM" else h0[None]
    return torch.func.functional_call(layer, weights, (x, state))[0]


def rows() -> Iterator[Row]:
    """One row a cell: the worst of the gradients of x, h0 and every parameter."""
    torch = peer("torch")
    rng = np.random.default_rng(0)
    xs, h0, c0, weights = (rng.standard_normal(s) for s in ((T, B, D), (B, H), (B, H), (T, B, H)))
    for name, make in LAYERS.items():
        layer = make()
        nodes = [Tensor(xs), Tensor(h0), *layer.parameters()]
        hs, _ = layer(nodes[0], (nodes[1], 0 * c0) if name == "LSTM" else nodes[1])
        (hs * weights).sum().backward()
        theirs = [torch.tensor(np.array(n.data), requires_grad=True) for n in nodes]
        (torch_outputs(torch, name, *theirs) * torch.tensor(weights)).sum().backward()
        errors = [
            np.abs(a.grad - b.grad.numpy()).max() / np.abs(b.grad.numpy()).max()
            for a, b in zip(nodes, theirs, strict=True)
        ]
        worst = float(max(errors))
        yield Row(f"gradients of {name}, T={T}: largest relative error", f"{worst:.1e}", "1e-10", worst / 1e-10,
                  bar=1.0)
