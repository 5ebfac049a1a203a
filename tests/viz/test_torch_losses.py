"""Losses of PyTorch, wherever viz takes a loss: numbers against our own nets with the same weights, names, pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import io, nn
from viz.graph.steps import recurrent

torch = pytest.importorskip("torch")

D, H, B, T = 3, 5, 2, 6
KINDS = ("LSTM", "GRU", "RNN")
GATES = {"LSTM": {"f", "i", "o", "g"}, "GRU": {"r", "z", "n"}, "RNN": set()}


def inputs(steps: int = T) -> Any:
    return torch.tensor(np.random.default_rng(3).standard_normal((steps, B, D)))


def theirs(kind: str, steps: int = T) -> tuple[Any, Any]:
    """PyTorch's cell in a loop, and the loss of the last state."""
    torch.manual_seed(0)
    cell = getattr(torch.nn, f"{kind}Cell")(D, H).double()
    h = c = torch.zeros(B, H).double()
    for x in inputs(steps):
        h, c = cell(x, (h, c)) if kind == "LSTM" else (cell(x, h), c)
    return cell, (h**2).sum()


def ours(kind: str, cell: Any, steps: int = T) -> Any:
    """The loss of our net with the same weights."""
    net = nn.GRU(D, H, reset="after") if kind == "GRU" else getattr(nn, kind)(D, H)
    io.load_torch(net, {f"{name}_l0": w for name, w in cell.state_dict().items()})
    return (net(inputs(steps).numpy())[0][-1] ** 2).sum()


def marked(graph: Any) -> dict[tuple[int, str], str]:
    """What stands at each step under each symbol: its operation."""
    return {(said["step"], said["symbol"]): said["op"] for _, said in graph.nodes(data=True)
            if "step" in said and "symbol" in said}


# ------------------------------------------------------------------------------------------------ numbers
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [2, T, 40])
def test_what_is_measured_on_their_graph_is_what_is_measured_on_ours(kind: str, steps: int) -> None:
    cell, loss = theirs(kind, steps)
    own = ours(kind, cell, steps)
    flow, mine = viz.gradient_flow(loss), viz.gradient_flow(own)
    for state in mine.state_names():
        assert flow.profile(state).norms == pytest.approx(mine.profile(state).norms, rel=1e-12)
        assert [(a.carry, a.rest) for a in flow.split(state)] == [
            pytest.approx((a.carry, a.rest), rel=1e-12, abs=1e-15) for a in mine.split(state)]
    for by in ("first", "last"):
        found, expected = viz.ways(loss, by=by), viz.ways(own, by=by)
        assert found.parts.keys() == expected.parts.keys()
        for way, part in expected.parts.items():
            np.testing.assert_allclose(found.parts[way], part, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(viz.step_jacobians(loss).arrays, viz.step_jacobians(own).arrays, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(viz.local_errors(loss).norms, viz.local_errors(own).norms, rtol=1e-12, atol=1e-15)
    (track,), (expected_track,) = (viz.compare_flow({kind: one}).tracks for one in (loss, own))
    assert track.parts.keys() == expected_track.parts.keys()
    assert track.norms == pytest.approx(expected_track.norms, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_shares_of_the_steps_add_up_to_their_gradient(kind: str) -> None:
    cell, loss = theirs(kind)
    found = viz.shares(loss)
    gradients = torch.autograd.grad(loss, list(cell.parameters()), retain_graph=True)
    assert sorted(float(np.linalg.norm(one.total)) for one in found.values()) == pytest.approx(
        sorted(float(g.norm()) for g in gradients), rel=1e-12)


def test_no_grad_is_touched_and_no_hook_is_called() -> None:
    cell, loss = theirs("LSTM")
    called: list[Any] = []
    cell.weight_hh.register_hook(called.append)
    viz.ways(loss)
    viz.gradient_flow(loss)
    assert not called
    assert all(p.grad is None for p in cell.parameters())


# ------------------------------------------------------------------------------------------------ names
@pytest.mark.parametrize("kind", KINDS)
def test_gates_candidates_and_states_are_named_at_every_step(kind: str) -> None:
    cell, loss = theirs(kind)
    graph = viz.trace(loss)
    states = {"h", "c"} if kind == "LSTM" else {"h"}
    assert {symbol for _, symbol in marked(graph)} == GATES[kind] | states
    assert len(marked(graph)) == T * len(GATES[kind] | states)
    expected = marked(viz.trace(ours(kind, cell)))
    for key, op in marked(graph).items():
        assert expected[key] == op


BLENDS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "sum": lambda z, h, n: z * h + (1 - z) * n,
    "lerp": lambda z, h, n: torch.lerp(n, h, z),
    "addcmul": lambda z, h, n: torch.addcmul((1 - z) * n, z, h),
    "difference": lambda z, h, n: n + z * (h - n),
    "in place": lambda z, h, n: (z * h).add_((1 - z).mul_(n)),
    "masked": lambda z, h, n: torch.where(torch.ones(B, H) > 0, z * h + (1 - z) * n, h),
    "replacing": lambda z, h, n: (1 - z) * h + z * n,
    "replacing, as a difference": lambda z, h, n: h - z * (h - n),
    "replacing, by lerp": lambda z, h, n: torch.lerp(h, n, z),
}


@pytest.mark.parametrize("blend", BLENDS.values(), ids=BLENDS)
@pytest.mark.parametrize("first", [0.0, 0.3])
def test_a_gru_is_recognised_however_it_is_written(blend: Callable[[Any, Any, Any], Any], first: float) -> None:
    rng = np.random.default_rng(0)
    U, W = (torch.tensor(rng.standard_normal((n, 2 * H)), requires_grad=True) for n in (D, H))
    V, R = (torch.tensor(rng.standard_normal((n, H)), requires_grad=True) for n in (D, H))
    h: Any = torch.full((B, H), first).double()
    for x in inputs():
        z, r = torch.sigmoid(x @ U + h @ W).chunk(2, 1)  # in another order than PyTorch's
        h = blend(z, h, torch.tanh(x @ V + (r * h) @ R))
    graph = viz.trace(h.sum())
    assert {symbol for _, symbol in marked(graph)} == {"r", "z", "n", "h"}
    assert len(marked(graph)) == 4 * T
    gates = {said["symbol"]: said["params"] for _, said in graph.nodes(data=True) if said.get("role") == "gate"}
    assert f"slice(0, {H}" in gates["z"]
    assert f"slice({H}, {2 * H}" in gates["r"]


def test_an_lstm_of_one_product_over_the_concatenation_is_recognised() -> None:
    rng = np.random.default_rng(0)
    W = torch.tensor(rng.standard_normal((D + H, 4 * H)), requires_grad=True)
    h: Any = torch.zeros(B, H).double()
    c: Any = h
    for x in inputs():
        o, f, i, g = (torch.cat([x, h], 1) @ W).chunk(4, 1)
        c = torch.addcmul(f.sigmoid() * c, i.sigmoid(), g.tanh())
        h = o.sigmoid() * c.tanh()
    graph = viz.trace((h**2).sum())
    (layer,) = recurrent(graph)
    assert layer.path == "lstm"
    assert {symbol for _, symbol in marked(graph)} == {"f", "i", "o", "g", "h", "c"}
    joined = [node for node, op in graph.nodes(data="op") if op == "concat"]
    assert all(graph.nodes[u]["step"] == graph.nodes[v]["step"] for u in joined for v in graph.successors(u))


def test_what_is_ambiguous_has_no_name() -> None:
    rng = np.random.default_rng(0)
    U, W = (torch.tensor(rng.standard_normal((n, 2 * H)), requires_grad=True) for n in (D, H))
    h: Any = torch.zeros(B, H).double()
    for x in inputs():
        a, b = (x @ U + h @ W).chunk(2, 1)
        h = a.sigmoid() * b.sigmoid() + b.tanh() * a.tanh()  # two gates multiply each other, none a state
    assert not {symbol for _, symbol in marked(viz.trace(h.sum()))} - {"h"}


@pytest.mark.parametrize("together", [True, False])
def test_two_layers_are_two_lanes_with_gates_named(together: bool) -> None:
    torch.manual_seed(0)
    below, above = torch.nn.LSTMCell(D, H).double(), torch.nn.GRUCell(H, 4).double()
    h = c = torch.zeros(B, H).double()
    top, hs = torch.zeros(B, 4).double(), []
    for x in inputs():
        h, c = below(x, (h, c))
        hs.append(h)
        if together:
            top = above(h, top)
    for h in [] if together else hs:
        top = above(h, top)
    loss = top.sum()
    graph = viz.trace(loss)
    assert [layer.path for layer in recurrent(graph)] == ["layers.0/lstm", "layers.1/gru"]
    symbols = [{said["symbol"] for _, said in graph.nodes(data=True) if said.get("path") == path and "symbol" in said}
               for path in ("layers.0/lstm", "layers.1/gru")]
    assert symbols == [{"f", "i", "o", "g", "h", "c"}, {"r", "z", "n", "h"}]
    words = viz.draw_unrolled(loss).scene.words
    assert "layer 1" in words
    assert "layer 2" in words


# ------------------------------------------------------------------------------------------------ pictures
@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_of_a_loss_shows_the_input_and_is_called_after_the_cell(kind: str) -> None:
    cell, loss = theirs(kind)
    drawings = [viz.draw_unrolled(loss), viz.draw_rolled(loss), viz.draw_long(loss), viz.draw_cell(loss),
                viz.draw_unrolled(viz.gradient_flow(loss)), viz.draw_cell(loss, flow=True)]
    for drawing in drawings:
        assert drawing.scene.title.startswith(f"{kind} cell")
        assert "x" in drawing.scene.words
        assert "nan" not in drawing.svg
    assert viz.draw_unrolled(viz.from_torch(loss, cell)).scene.title.startswith(f"{kind}Cell keeps")
    assert viz.draw_graph(theirs(kind, 2)[1]).source
    assert viz.roll(loss).number_of_nodes() < viz.trace(loss).number_of_nodes()


def test_the_equations_of_a_cell_are_those_of_its_kind() -> None:
    words = viz.draw_cell(theirs("LSTM")[1]).scene.words
    for part in ("forget gate: how much of", "input gate: how much of g is let in", "output gate: how much of"):
        assert part in words


def test_pytorch_is_not_imported_unless_it_is_given() -> None:
    code = ("import sys, numpy as np, viz\nfrom microgradrnn import nn\n"
            "loss = nn.RNN(2, 3, rng=0)(np.ones((4, 1, 2)))[1].sum()\n"
            "viz.ways(loss); viz.draw_unrolled(loss); viz.compare_flow({'x': loss})\nprint('torch' in sys.modules)")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def weights_of(*shapes: tuple[int, int]) -> list[Any]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape) / 2) for shape in shapes]


def gru_loop(gated: bool) -> Any:
    """A GRU; on request its outputs are gated as well, which makes it no LSTM."""
    U, W, h, total = weights_of(*[(3, 4)] * 3), weights_of(*[(4, 4)] * 4), torch.zeros(1, 4), 0.0
    for x in torch.randn(6, 1, 3):
        r, z = torch.sigmoid(x @ U[0] + h @ W[0]), torch.sigmoid(x @ U[1] + h @ W[1])
        h = z * h + (1 - z) * torch.tanh(x @ U[2] + (r * h) @ W[2])
        total = total + (torch.sigmoid(h @ W[3]) * h).sum()
    return total if gated else h.sum()


def lstm_loop(gated: bool, skip: bool = False) -> Any:
    """An LSTM; on request with gated outputs, or with a connection from the input to h."""
    U, W, total = weights_of(*[(3, 4)] * 5), weights_of(*[(4, 4)] * 5), 0.0
    h = c = torch.zeros(1, 4)
    for x in torch.randn(6, 1, 3):
        i, f, o = (torch.sigmoid(x @ U[k] + h @ W[k]) for k in range(3))
        c = f * c + i * torch.tanh(x @ U[3] + h @ W[3])
        h = o * torch.tanh(c) + (x @ U[4] if skip else 0.0)
        total = total + (torch.sigmoid(h @ W[4]) * h).sum()
    return total if gated else h.sum()


def symbols_by_step(loss: Any) -> list[set[str]]:
    """The symbols of the nodes that each step computes."""
    found: dict[int, set[str]] = {}
    for _, said in viz.trace(loss).nodes(data=True):
        if "step" in said and said["kind"] == "computed":
            found.setdefault(said["step"], set()).update({said["symbol"]} if "symbol" in said else set())
    return list(found.values())


@pytest.mark.parametrize("gated", [False, True])
def test_gated_outputs_make_no_other_cell(gated: bool) -> None:
    letters = {"r", "z", "n", "h", "f", "i", "g", "o", "c"}
    assert [symbols & letters for symbols in symbols_by_step(gru_loop(gated))] == [{"r", "z", "n", "h"}] * 6
    assert [symbols & letters for symbols in symbols_by_step(lstm_loop(gated))] == [
        {"f", "i", "g", "o", "c", "h"}] * 6
    assert list(viz.ways(gru_loop(gated)).parts) == ["carry", "r", "z", "n"]
    assert sorted(viz.ways(lstm_loop(gated)).parts) == ["carry", "f", "g", "i", "o"]


def test_a_product_that_is_not_handed_on_is_not_called_a_state() -> None:
    for symbols in symbols_by_step(lstm_loop(gated=False, skip=True)):
        assert {"f", "i", "g", "c"} <= symbols
        assert "h" not in symbols  # the state is the sum of the product and what comes from the input


def test_a_gate_on_the_input_is_no_reset_gate_in_the_first_step_either() -> None:
    U, W, h = weights_of(*[(3, 4)] * 3), weights_of(*[(4, 4)] * 2), torch.zeros(1, 4)
    for x in torch.randn(6, 1, 3):
        q, z = torch.sigmoid(x @ U[0]), torch.sigmoid(x @ U[1] + h @ W[0])
        h = z * h + (1 - z) * torch.tanh(q * (x @ U[2]) + h @ W[1])
    assert not any("r" in symbols for symbols in symbols_by_step(h.sum()))
