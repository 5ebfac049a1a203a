"""A random net here and its twin in PyTorch: embedding, nested layers, head. One plan builds both, and runs both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradrnn import io, nn
from microgradrnn.io.torch_nets import from_torch, parts

Pick = Callable[[int, int], int]  # an integer from the first to the second
KINDS = ("Linear", "LayerNorm", "layer", "cell", "Sequential", "list", "dict", "own", "twice")
RENAMED = {"embedding": "emb", "body": "encoder.rnn", "head": "fc"}  # ours, theirs


@dataclass
class Plan:
    """One block of a net: it maps (T, B, before) to (T, B, after)."""

    kind: str
    before: int
    after: int
    options: dict[str, Any]
    inside: list[Plan]


def block(pick: Pick, before: int, depth: int) -> Plan:
    """A random block; deeper ones hold others."""
    kind = KINDS[pick(0, len(KINDS) - 1 if depth else 3)]
    if kind == "LayerNorm" and before < 4:  # of so few entries the gradient is nearly 0, and the rest is rounding
        kind = "Linear"
    after, inside = pick(1, 7), []
    options: dict[str, Any] = {}
    if kind == "Linear":
        options = {"bias": bool(pick(0, 1))}
    elif kind == "LayerNorm":
        after, options = before, {"bias": bool(pick(0, 1))}
    elif kind == "layer":
        which = ("RNN", "LSTM", "GRU")[pick(0, 2)]
        options = {"which": which, "num_layers": pick(1, 3), "bidirectional": bool(pick(0, 1)),
                   "batch_first": bool(pick(0, 1)), "bias": pick(0, 3) > 0}
        if which == "LSTM" and after > 1 and pick(0, 1):
            options |= {"proj_size": after - 1}
    elif kind == "cell":
        options = {"which": ("RNNCell", "LSTMCell", "GRUCell")[pick(0, 2)], "bias": pick(0, 3) > 0}
    elif kind == "Sequential":
        last = before
        for _ in range(pick(1, 3)):
            inside.append(Plan("Linear", last, last := pick(1, 7), {"bias": bool(pick(0, 1))}, []))
        after = last
    elif kind in ("list", "dict"):
        last = before
        for _ in range(pick(1, 3)):
            inside.append(block(pick, last, depth - 1))
            last = width(inside[-1])
        after = last
    elif kind == "own":
        inside, after = [block(pick, before, depth - 1)], before
    else:  # twice: the same module at two attributes
        inside, after = [Plan("cell", before, before, {"which": "GRUCell", "bias": True}, [])], before
    return Plan(kind, before, after, options, inside)


def width(plan: Plan) -> int:
    """The length of the last axis that a block gives."""
    if plan.kind in ("list", "dict"):
        return width(plan.inside[-1])
    if plan.kind == "own":
        return width(plan.inside[0])
    if plan.kind == "layer":
        return int(plan.options.get("proj_size", plan.after)) * (1 + plan.options["bidirectional"])
    return plan.after


class Holder(nn.Module):
    """A module whose attributes are assigned from outside."""


class Ours:
    """How a plan becomes a net of this library."""

    def made(self, plan: Plan) -> Any:
        """The block."""
        options = dict(plan.options)
        if plan.kind in ("layer", "cell"):
            which = options.pop("which")
            after = {"reset": "after"} if "GRU" in which else {}
            return getattr(nn, which)(plan.before, plan.after, **after, **options)
        if plan.kind == "Linear":
            return nn.Linear(plan.before, plan.after, **options)
        if plan.kind == "LayerNorm":
            return nn.LayerNorm(plan.before, **options)
        inside = [self.made(part) for part in plan.inside]
        if plan.kind == "Sequential":
            return nn.Sequential(*alternating(inside, nn.Tanh))
        holder = Holder()
        if plan.kind == "list":
            holder.blocks = inside
        elif plan.kind == "dict":
            holder.by_name = {f"block_{k}": one for k, one in enumerate(inside)}
        elif plan.kind == "own":
            holder.scale, holder.inner = nn.Parameter(np.ones(width(plan))), inside[0]
        else:
            holder.first = holder.second = inside[0]
        return holder

    def net(self, body: Plan, words: int, classes: int) -> Any:
        """Embedding, body and head."""
        net = Holder()
        net.embedding, net.body = nn.Embedding(words, body.before), self.made(body)
        net.head = nn.Linear(width(body), classes)
        return net

    def loop(self, cell: Any, x: Any) -> Any:
        """The states of a cell at all steps."""
        return nn.unroll(cell, x)[0]


class Theirs:
    """How a plan becomes a net of PyTorch."""

    def __init__(self, torch: Any, renamed: bool) -> None:
        self.torch, self.renamed = torch, renamed

    def made(self, plan: Plan) -> Any:
        """The block."""
        peer, options = self.torch.nn, dict(plan.options)
        if plan.kind in ("layer", "cell"):
            return getattr(peer, options.pop("which"))(plan.before, plan.after, **options)
        if plan.kind == "Linear":
            return peer.Linear(plan.before, plan.after, **options)
        if plan.kind == "LayerNorm":
            return peer.LayerNorm(plan.before, **options)
        inside = [self.made(part) for part in plan.inside]
        if plan.kind == "Sequential":
            return peer.Sequential(*alternating(inside, peer.Tanh))
        holder = peer.Module()
        if plan.kind == "list":
            holder.blocks = peer.ModuleList(inside)
        elif plan.kind == "dict":
            holder.by_name = peer.ModuleDict({f"block_{k}": one for k, one in enumerate(inside)})
        elif plan.kind == "own":
            holder.scale, holder.inner = peer.Parameter(self.torch.randn(width(plan))), inside[0]
        else:
            holder.first = holder.second = inside[0]
        return holder

    def net(self, body: Plan, words: int, classes: int) -> Any:
        """Embedding, body and head, in double precision."""
        peer = self.torch.nn
        net, embedding, head = peer.Module(), peer.Embedding(words, body.before), peer.Linear(width(body), classes)
        if self.renamed:
            net.emb, net.encoder, net.fc = embedding, peer.Module(), head
            net.encoder.rnn = self.made(body)
        else:
            net.embedding, net.body, net.head = embedding, self.made(body), head
        for p in net.parameters():  # LayerNorm starts from ones and zeros
            peer.init.uniform_(p, -0.6, 0.6)
        return net.double()

    def loop(self, cell: Any, x: Any) -> Any:
        """The states of a cell at all steps."""
        state, hs = None, []
        for x_t in x:
            state = cell(x_t, state)
            hs.append(state[0] if isinstance(state, tuple) else state)
        return self.torch.stack(hs)


def alternating(layers: list[Any], between: Callable[[], Any]) -> list[Any]:
    """The layers, with a new one between each two."""
    return [one for k, layer in enumerate(layers) for one in ([between()] if k else []) + [layer]]


def run(side: Ours | Theirs, plan: Plan, module: Any, x: Any) -> Any:
    """A block of either net on (T, B, before)."""
    if plan.kind == "layer":
        if plan.options["batch_first"]:
            return module(x.swapaxes(0, 1))[0].swapaxes(0, 1)
        return module(x)[0]
    if plan.kind == "cell":
        return side.loop(module, x)
    if plan.kind == "own":
        return module.scale * run(side, plan.inside[0], module.inner, x)
    if plan.kind == "twice":
        cell = plan.inside[0]
        return run(side, cell, module.second, run(side, cell, module.first, x))
    if plan.kind in ("list", "dict"):
        for one, layer in zip(plan.inside, module.blocks if plan.kind == "list" else module.by_name.values(),
                              strict=True):
            x = run(side, one, layer, x)
        return x
    return module(x)


class Twins:
    """A random net on both sides, with the same weights, by one call."""

    def __init__(self, torch: Any, pick: Pick) -> None:
        self.torch = torch
        self.words, self.classes = pick(2, 11), pick(2, 5)
        self.plan, self.names = block(pick, pick(1, 6), depth=2), RENAMED if pick(0, 1) else None
        T, B = pick(1, 6), pick(1, 4)
        self.rng = np.random.default_rng(pick(0, 10**6))
        self.ids = self.rng.integers(0, self.words, (T, B))
        self.targets = self.rng.integers(0, self.classes, (T, B))
        torch.manual_seed(pick(0, 10**6))
        self.ours, self.theirs = Ours(), Theirs(torch, renamed=self.names is not None)
        self.net = self.ours.net(self.plan, self.words, self.classes)
        self.twin = self.theirs.net(self.plan, self.words, self.classes)
        io.load_torch(self.net, self.twin.state_dict(), names=self.names)

    def numbers(self) -> Iterator[tuple[str, Any, Any]]:
        """What both compute, by name: ours and PyTorch's."""
        logits = self.net.head(run(self.ours, self.plan, self.net.body, self.net.embedding(self.ids)))
        loss = nn.cross_entropy(logits, self.targets)
        loss.backward()
        embedding, body, head = (self.twin.get_submodule((self.names or {}).get(name, name))
                                 for name in ("embedding", "body", "head"))
        logits_t = head(run(self.theirs, self.plan, body, embedding(self.torch.tensor(self.ids))))
        loss_t = self.torch.nn.functional.cross_entropy(
            logits_t.reshape(-1, self.classes), self.torch.tensor(self.targets.reshape(-1)))
        loss_t.backward()
        yield "logits", logits.data, logits_t.detach().numpy()
        yield "loss", loss.data, loss_t.detach().numpy()
        gradients = {name: p.grad.numpy() for name, p in self.twin.named_parameters(remove_duplicate=False)}
        for own, theirs in (self.names or {}).items():
            gradients = {own + name[len(theirs):] if name.startswith(f"{theirs}.") else name: g
                         for name, g in gradients.items()}
        for p, g in from_torch(self.net, in_our_biases(self.net, gradients)):
            yield f"gradient of {p.symbol}", p.grad, g


def in_our_biases(net: nn.Module, gradients: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each of PyTorch's two biases gets the whole gradient of our one: keep one of them, and for a GRU's b_n both."""
    kept = {name: np.array(g) for name, g in gradients.items()}
    for part in parts(net):
        gru = {weight.names for weight in part.weights if len(weight.names) == 1 and "bias_hh" in weight.names[0]}
        for weight in part.weights:
            if len(weight.names) == 2:
                second = weight.names[1]
                g = kept[part.name(second)]
                g[: 2 * len(g) // 3 if (second,) in gru else len(g)] = 0
    return kept
