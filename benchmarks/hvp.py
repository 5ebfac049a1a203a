"""A Hessian-vector product of an RNN's loss, against PyTorch's double backward: the same numbers, in turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import microgradrnn as mg
from benchmarks.measure import Row, compared, peer
from microgradrnn import nn

T, B, H = 50, 4, 32


def rows() -> Iterator[Row]:
    """One row a precision."""
    torch = peer("torch")
    for dtype, name in ((np.float32, "float32"), (np.float64, "float64")):
        rng = np.random.default_rng(0)
        cell = nn.RNNCell(H, H, rng=0, dtype=dtype)
        xs, targets = rng.standard_normal((2, T, B, H)).astype(dtype)
        parameters: list[Any] = list(cell.parameters())
        directions = [np.asarray(rng.standard_normal(p.shape), dtype) for p in parameters]

        def ours(cell: Any = cell, xs: Any = xs, targets: Any = targets, parameters: Any = parameters,
                 directions: Any = directions) -> tuple[Any, ...]:
            def loss(*_: Any) -> Any:
                hs, _ = nn.unroll(cell, xs)
                return mg.square(hs - targets).sum()

            return mg.hvp(loss, parameters, directions)

        leaves = {n: torch.tensor(np.array(p.data), requires_grad=True) for n, p in cell.named_parameters()}
        vs, x_t, targets_t = [torch.tensor(v) for v in directions], torch.tensor(xs), torch.tensor(targets)

        def theirs(leaves: Any = leaves, vs: Any = vs, x_t: Any = x_t, targets_t: Any = targets_t) -> tuple[Any, ...]:
            inputs = x_t @ leaves["U"] + leaves["b"]
            h, hs = torch.zeros(B, H, dtype=x_t.dtype), []
            for u in inputs:
                h = torch.tanh(torch.addmm(u, h, leaves["W"]))
                hs.append(h)
            loss = torch.square(torch.stack(hs) - targets_t).sum()
            slopes = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
            slope = sum((g * v).sum() for g, v in zip(slopes, vs, strict=True))
            return tuple(torch.autograd.grad(slope, list(leaves.values())))

        for a, b in zip(ours(), theirs(), strict=True):
            assert np.allclose(a, b, rtol=1e-2, atol=1e-3 * float(abs(b).max())), "the two do not compute the same"
        yield compared(f"Hessian-vector product, RNN ({T},{B},{H}), {name} : torch", ours, theirs, repeats=31, bar=1.0)
