"""Recurrent layers of random configurations, and whole nets with layers and cells inside, against PyTorch in float64:
outputs, last states and all gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.measure import Row, peer
from benchmarks.twins import Twins, in_our_biases
from microgradrnn import Tensor, io, nn
from microgradrnn.engine.checkpoint import flat
from microgradrnn.io.torch_nets import from_torch

BAR = 1e-12
COUNT = 600
NETS = 300
KINDS = ("RNN", "ReLU RNN", "LSTM", "projected LSTM", "GRU")


@dataclass
class Configuration:
    """A net, its inputs, lengths and first states, all drawn from one seed."""

    seed: int
    kind: str = field(init=False)
    options: dict[str, Any] = field(init=False)
    sizes: tuple[int, int, int, int] = field(init=False)  # T, B, D, H
    lengths: list[int] | None = field(init=False)
    has_state: bool = field(init=False)
    compiled: bool | str = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.kind = KINDS[self.seed % len(KINDS)]
        T, B, D, H = int(rng.choice([1, 2, 3, 7, 20, 50])), *(int(n) for n in rng.integers(1, [6, 8, 10]))
        H += self.kind == "projected LSTM"
        self.sizes = T, B, D, H
        self.options = {"num_layers": int(rng.integers(1, 4)), "bidirectional": bool(rng.integers(2)),
                        "bias": bool(rng.random() < 0.8), "batch_first": bool(rng.integers(2))}
        if self.kind == "projected LSTM":
            self.options["proj_size"] = int(rng.integers(1, H))
        self.lengths = rng.integers(1, T + 1, B).tolist() if rng.integers(2) else None
        if self.lengths is not None:
            self.lengths[0] = T  # PyTorch cuts off the steps that no sequence takes
        self.has_state = bool(rng.integers(2))
        self.compiled = "numpy" if rng.random() < 0.4 else False

    def nets(self, torch: Any) -> tuple[Any, Any]:
        """Ours and PyTorch's, with the same weights."""
        _, _, D, H = self.sizes
        torch.manual_seed(self.seed)
        name = self.kind.split()[-1]
        ours = {"activation": "relu"} if self.kind == "ReLU RNN" else {"reset": "after"} if name == "GRU" else {}
        theirs = {"nonlinearity": "relu"} if self.kind == "ReLU RNN" else {}
        net = getattr(nn, name)(D, H, **ours, **self.options)
        twin = getattr(torch.nn, name)(D, H, **theirs, **self.options).double()
        io.load_torch(net, {key: a.numpy() for key, a in twin.state_dict().items()})
        return net, twin

    def numbers(self, torch: Any) -> Iterator[tuple[str, Any, Any]]:
        """What both compute, by name: ours and PyTorch's."""
        T, B, D, _ = self.sizes
        rng, (net, twin) = np.random.default_rng([self.seed, 1]), self.nets(torch)
        ahead = self.options["batch_first"]
        xs = rng.standard_normal((B, T, D) if ahead else (T, B, D))
        cells = [cell for _, _, cell in net.cells()]
        parts = [[rng.standard_normal((B, n)) for n in cell.state_sizes] for cell in cells]
        x, s = Tensor(xs), [[Tensor(a) for a in one] for one in parts]
        hs, last = net(x, nested(s, self.options) if self.has_state else None, lengths=self.lengths,
                       compiled=self.compiled)

        x_t = torch.tensor(xs, requires_grad=True)
        stacked = [torch.tensor(np.stack(part), requires_grad=True) for part in zip(*parts, strict=True)]
        first = (tuple(stacked) if len(stacked) > 1 else stacked[0],) if self.has_state else ()
        rnn = torch.nn.utils.rnn
        packed = x_t if self.lengths is None else rnn.pack_padded_sequence(
            x_t, self.lengths, batch_first=ahead, enforce_sorted=False)
        hs_t, last_t = twin(packed, *first)
        if self.lengths is not None:
            hs_t, _ = rnn.pad_packed_sequence(hs_t, batch_first=ahead)
        last_t = last_t if isinstance(last_t, tuple) else (last_t,)

        n = len(last_t)
        ours = [hs, *(part for k in range(n) for part in list(flat(last))[k::n])]
        theirs = [hs_t, *(part for state in last_t for part in state)]
        weights = [rng.standard_normal(y.shape) for y in ours]
        sum((y * w).sum() for y, w in zip(ours, weights, strict=True)).backward()
        sum((y * torch.tensor(w)).sum() for y, w in zip(theirs, weights, strict=True)).backward()

        for k, (y, y_t) in enumerate(zip(ours, theirs, strict=True)):
            yield f"output {k}", y.data, y_t.detach().numpy()
        yield "gradient of x", x.grad, x_t.grad.numpy()
        if self.has_state:
            for k, whole in enumerate(stacked):
                yield f"gradient of first state {k}", np.stack([one[k].grad for one in s]), whole.grad.numpy()
        gradients = in_our_biases(net, {key: p.grad.numpy() for key, p in twin.named_parameters()})
        for p, g in from_torch(net, gradients):
            yield f"gradient of {p.symbol}", p.grad, g

    def difference(self, torch: Any) -> float:
        """The largest difference of anything, relative to its largest entry."""
        return max(apart(ours, theirs) for _, ours, theirs in self.numbers(torch))


def nested(states: list[list[Any]], options: dict[str, Any]) -> Any:
    """The first states of all cells in the form that a layer takes."""
    each: list[Any] = [tuple(parts) if len(parts) > 1 else parts[0] for parts in states]
    if options["bidirectional"]:
        each = [(each[k], each[k + 1]) for k in range(0, len(each), 2)]
    return each[0] if options["num_layers"] == 1 else tuple(each)


def apart(ours: Any, theirs: Any) -> float:
    """Largest difference over the largest entry; infinity for other shapes or values that are not finite."""
    ours = np.zeros_like(theirs) if ours is None else np.asarray(ours)  # None: no gradient has come
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    scale, error = float(np.abs(theirs).max(initial=0.0)), float(np.abs(ours - theirs).max(initial=0.0))
    return error / scale if scale else error


def whole(torch: Any, seed: int) -> float:
    """The largest difference of anything in a whole net, relative to its largest entry."""
    rng = np.random.default_rng([seed, 2])
    twins = Twins(torch, lambda low, high: int(rng.integers(low, high + 1)))
    return max(apart(ours, theirs) for _, ours, theirs in twins.numbers())


def rows() -> Iterator[Row]:
    """One row a kind of layer, and one for whole nets."""
    torch = peer("torch")
    for k, kind in enumerate(KINDS):
        yield row(kind, [Configuration(seed).difference(torch) for seed in range(k, COUNT, len(KINDS))])
    yield row("nested net", [whole(torch, seed) for seed in range(NETS)])


def row(kind: str, errors: list[float]) -> Row:
    """How many differ."""
    bad = sum(not error <= BAR for error in errors)
    return Row(f"{kind} : PyTorch, {len(errors)} random configurations, worst {max(errors):.1e}", f"{bad} differ",
               "0 differ", float(bad), bar=0.0)
