"""Graphs of PyTorch: messages and gradients against ours for the same weights and the same algebra, and bad input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, io, mark, nn, scope
from microgradrnn import sigmoid as our_sigmoid
from microgradrnn import tanh as our_tanh
from tests.viz.scenes import words as written

torch = pytest.importorskip("torch")

D, H, B, T = 3, 5, 2, 7
WEIGHTS = {"rnn": 1, "lstm": 4, "gru": 3}


def numbers(kind: str, steps: int = T) -> dict[str, Any]:
    """Weights, inputs and first states, all sizes different, the states not zero."""
    rng = np.random.default_rng(0)
    n = WEIGHTS[kind]
    return {
        "U": [rng.standard_normal((D, H)) / 2 for _ in range(n)], "W": [rng.standard_normal((H, H)) for _ in range(n)],
        "b": [rng.standard_normal(H) / 3 for _ in range(n)], "x": rng.standard_normal((steps, B, D)),
        "h": rng.standard_normal((B, H)) / 2, "c": rng.standard_normal((B, H)) / 2,
    }


def step_of(kind: str, sigmoid: Callable[[Any], Any], tanh: Callable[[Any], Any], U: Any, W: Any, b: Any,
            mark: Callable[[Any, str, str], Any] = lambda x, symbol, role: x) -> Any:
    """One step, in operators that both libraries have. (PyTorch has no marks: there, roles are to be recognised.)"""
    def net(x: Any, h: Any, j: int) -> Any:
        return x @ U[j] + h @ W[j] + b[j]

    def rnn(x: Any, h: Any, c: Any) -> Any:
        return tanh(net(x, h, 0)), c

    def lstm(x: Any, h: Any, c: Any) -> Any:
        i, f, o = (mark(sigmoid(net(x, h, j)), symbol, "gate") for j, symbol in enumerate("ifo"))
        c = f * c + i * mark(tanh(net(x, h, 3)), "g", "candidate")
        return o * tanh(c), c

    def gru(x: Any, h: Any, c: Any) -> Any:
        r, z = (mark(sigmoid(net(x, h, j)), symbol, "gate") for j, symbol in enumerate("rz"))
        n = mark(tanh(net(x, r * h, 2)), "n", "candidate")
        return z * h + (1 - z) * n, c

    return {"rnn": rnn, "lstm": lstm, "gru": gru}[kind]


def ours(kind: str, steps: int = T) -> Any:
    """The loss of our net."""
    said = numbers(kind, steps)
    U, W, b = ([mark(Tensor(w, requires_grad=True), f"{name}{j}", role="parameter") for j, w in enumerate(said[name])]
               for name in "UWb")
    step = step_of(kind, our_sigmoid, our_tanh, U, W, b, mark)
    h, c = said["h"], said["c"]
    for t in range(steps):
        with scope(kind, step=t):
            h, c = step(said["x"][t], h, c)
            mark(h, "h", role="hidden")
            if kind == "lstm":
                mark(c, "c", role="cell")
    return (h * h).sum()


def theirs(kind: str, steps: int = T) -> tuple[Any, dict[str, Any], Any]:
    """The loss of PyTorch's net, its parameters, its states."""
    said = numbers(kind, steps)
    U, W, b = ([torch.tensor(w, requires_grad=True) for w in said[name]] for name in "UWb")
    step = step_of(kind, torch.sigmoid, torch.tanh, U, W, b)
    x, h, c = (torch.tensor(said[name]) for name in "xhc")
    states = []
    for t in range(steps):
        h, c = step(x[t], h, c)
        states.append((h, c) if kind == "lstm" else h)
    parameters = {f"{name}{j}": w for name, ws in zip("UWb", (U, W, b), strict=True) for j, w in enumerate(ws)}
    return (h * h).sum(), parameters, states


def listing(flow: viz.Flow) -> list[tuple[Any, ...]]:
    """Each computed node that a gradient reaches, in the order of making: what it is, its gradient, its messages."""
    rows = []
    for node, said in sorted(flow.graph.nodes(data=True), key=lambda item: item[1]["order"]):
        if said["kind"] == "computed" and node in flow.gradients:
            sent = sorted(flow.messages[node, k] for _, _, k in flow.graph.in_edges(node, keys=True)
                          if (node, k) in flow.messages)  # type: ignore[index]
            rows.append((said["op"], said.get("step"), said.get("symbol"), flow.gradients[node], sent))
    return rows


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("steps", [1, T, 60])
def test_messages_and_gradients_are_ours_for_the_same_weights(kind: str, steps: int) -> None:
    loss, parameters, states = theirs(kind, steps)
    flow, own = viz.from_torch(loss, parameters, states), viz.gradient_flow(ours(kind, steps))
    here, there = listing(own), listing(flow)
    assert [row[:3] for row in here] == [row[:3] for row in there]
    assert {x for x, said in own.graph.nodes(data=True) if said["kind"] == "computed"} == {
        x for x, said in flow.graph.nodes(data=True) if said["kind"] == "computed"}
    for (_, _, _, g, sent), (_, _, _, their_g, their_sent) in zip(here, there, strict=True):
        assert their_g == pytest.approx(g, rel=1e-10)
        assert their_sent == pytest.approx(sent, rel=1e-10)
    for name in parameters:
        assert flow.gradients[name] == pytest.approx(own.gradients[name], rel=1e-10)
    for rows in ("rms", "balances"):
        here_said, there_said = (sorted(getattr(x, rows).values()) for x in (own, flow))
        assert there_said == pytest.approx(here_said, rel=1e-10)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_profiles_and_what_is_carried_are_ours(kind: str) -> None:
    loss, parameters, states = theirs(kind)
    flow, own = viz.from_torch(loss, parameters, states), viz.gradient_flow(ours(kind))
    for state in own.state_names():
        assert flow.profile(state).lags == own.profile(state).lags
        assert flow.profile(state).norms == pytest.approx(own.profile(state).norms, rel=1e-10)
        for a, b in zip(flow.split(state), own.split(state), strict=True):
            assert (a.step, a.lag, a.state) == (b.step, b.lag, b.state)
            assert (a.carry, a.rest, a.total) == pytest.approx((b.carry, b.rest, b.total), rel=1e-9, abs=1e-15)
    assert flow.horizon() == own.horizon()


def test_gradients_are_those_of_autograd_and_no_grad_is_touched() -> None:
    cell, h, states = torch.nn.GRUCell(D, H).double(), torch.zeros(B, H).double(), []
    for x in torch.randn(T, B, D, generator=torch.Generator().manual_seed(0)).double():
        h = cell(x, h)
        h.retain_grad()
        states.append(h)
    loss = h.sum()
    flow = viz.from_torch(loss, cell.named_parameters(), states)
    assert all(p.grad is None for p in [*cell.parameters(), *states])
    loss.backward()  # the graph is still there, and no hook is left that writes into the flow
    before = dict(flow.gradients)
    for name, p in cell.named_parameters():
        assert flow.gradients[name] == pytest.approx(p.grad.norm().item(), rel=1e-12)
        assert flow.graph.nodes[name]["kind"] == "parameter"
        assert flow.graph.nodes[name]["shape"] == str(tuple(p.shape))
    for t, state in enumerate(states):
        assert flow.gradients[f"gru/t{t}/h"] == pytest.approx(state.grad.norm().item(), rel=1e-12)
    assert flow.gradients == before


def test_hooks_are_taken_off_even_if_the_pass_fails() -> None:
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise ArithmeticError("bad")

    seen: list[str] = []
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    loss = Bad.apply(y).sum()
    kept = y.grad_fn
    with pytest.raises(ArithmeticError, match="bad"):
        viz.from_torch(loss)
    kept.register_prehook(lambda gs: seen.append("own"))
    y.sum().backward()
    assert seen == ["own"]


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("steps", [2, T, 60])
def test_steps_gates_and_states_are_found_without_being_given(kind: str, steps: int) -> None:
    loss, parameters, states = theirs(kind, steps)
    found, given = viz.from_torch(loss, parameters), viz.from_torch(loss, parameters, states)
    assert listing(found) == listing(given)
    assert dict(found.graph.nodes(data=True)) == dict(given.graph.nodes(data=True))
    assert found.arrivals == given.arrivals


def test_a_graph_without_a_loop_has_messages_and_no_steps() -> None:
    loss, parameters, _ = theirs("lstm", 1)
    flow = viz.from_torch(loss, parameters)
    assert "no time steps" in repr(flow)
    assert flow.messages
    with pytest.raises(ValueError, match=r"no time steps were found .*from_torch\(loss, states="):
        flow.profile()


def test_pictures_and_comparisons_of_their_nets() -> None:
    loss, parameters, states = theirs("gru")
    flow = viz.from_torch(loss, parameters, states)
    assert "U0" in viz.draw_unrolled(flow).svg
    assert "matmul" in viz.draw_graph(flow.graph, flow=flow).source
    (track,) = viz.compare_flow({"torch": flow}).tracks
    assert track.gated


def test_split_outputs_shapes_and_states_by_name() -> None:
    lstm = torch.nn.LSTMCell(D, H).double()
    h = c = torch.zeros(B, H).double()
    hs, cs = [], []
    for x in torch.ones(4, B, D).double():
        h, c = lstm(x, (h, c))
        hs.append(h)
        cs.append(c)
    by_name = viz.from_torch(h.sum(), dict(lstm.named_parameters()), {"h": hs, "c": cs})
    in_pairs = viz.from_torch(h.sum(), lstm.named_parameters(), list(zip(hs, cs, strict=True)))
    assert by_name.messages == in_pairs.messages
    assert sorted(by_name.state_names()) == ["c", "h"]
    assert by_name.graph.nodes["lstm/t2/c"]["shape"] == str((B, H))
    assert by_name.graph.nodes["lstm/t2/c"]["role"] == "cell"
    parts = [said["params"] for _, said in by_name.graph.nodes(data=True)
             if said.get("op") == "getitem" and said["step"] == 2]
    assert len(set(parts)) == 4


def grown(states: list[Any]) -> list[float]:
    """The norms of the gradients that PyTorch itself left in the states, the last step first."""
    return [0.0 if x.grad is None else float(x.grad.norm()) for x in states[::-1]]


def test_a_state_that_is_one_of_several_outputs_has_its_own_gradient() -> None:
    A = torch.tensor(np.random.default_rng(0).standard_normal((3, 6)), requires_grad=True)
    h: Any = torch.tensor(np.random.default_rng(1).standard_normal((2, 3)))
    hs, loss = [], torch.zeros(()).double()
    for t in range(5):
        u = torch.tanh((h + 0.3 * t) @ A)
        h, y = u.chunk(2, -1)
        h.retain_grad()
        hs.append(h)
        loss = loss + (10 * y).sum()
    flow = viz.from_torch(loss, {"A": A}, hs)
    loss.backward()
    profile = flow.profile("h")
    assert (0.0, *profile.norms) == pytest.approx(grown(hs), rel=1e-12)
    assert profile.lags == (1, 2, 3, 4)  # no loss reads the last h
    assert flow.gradients["A"] == pytest.approx(A.grad.norm().item(), rel=1e-12)
    assert flow.graph.nodes["rnn/t2/h"]["shape"] == "(2, 3)"


@pytest.mark.parametrize("kind", ["chunk", "function"])
def test_two_states_of_one_operation_are_told_apart(kind: str) -> None:
    class Cell(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, c: Any, z: Any) -> Any:
            ctx.save_for_backward(c, z)
            new = 0.5 * c + z
            return torch.sin(new), new

        @staticmethod
        def backward(ctx: Any, gh: Any, gc: Any) -> Any:
            c, z = ctx.saved_tensors
            g = gc + gh * torch.cos(0.5 * c + z)
            return 0.5 * g, g

    W = torch.tensor(np.random.default_rng(0).standard_normal((3, 6)), requires_grad=True)
    h, c = torch.tensor(np.random.default_rng(1).standard_normal((2, 2, 3)))
    hs, cs = [], []
    for t in range(6):
        if kind == "chunk":
            h, c = torch.cat([torch.tanh(h @ W[:, :3]), 0.5 * c + torch.sin(h @ W[:, 3:]) + 0.1 * t], -1).chunk(2, -1)
        else:
            h, c = Cell.apply(c, torch.tanh(h @ W[:, :3]))
        for x in (h, c):
            x.retain_grad()
        hs.append(h)
        cs.append(c)
    loss = (h * h).sum() + (c**3).sum()
    flow = viz.from_torch(loss, {"W": W}, list(zip(hs, cs, strict=True)))
    loss.backward()
    assert flow.profile("h").norms == pytest.approx(grown(hs), rel=1e-12)
    assert flow.profile("c").norms == pytest.approx(grown(cs), rel=1e-12)
    assert sorted(flow.state_names()) == ["c", "h"]
    if kind == "chunk":  # through the sum, and the concat
        carried = [0.0, *(0.5 * g for g in grown(cs)[:-1])]
        assert [a.carry for a in flow.split("c")] == pytest.approx(carried, rel=1e-12)
    assert viz.draw_unrolled(flow).svg.startswith("<svg")


@pytest.mark.parametrize("blend", [
    lambda n, h, z: z * h + (1 - z) * n, lambda n, h, z: torch.lerp(n, h, z),
    lambda n, h, z: torch.addcmul((1 - z) * n, z, h), lambda n, h, z: n + (h - n) / (1 / z),
    lambda n, h, z: torch.where(h > 0, z * h + (1 - z) * n, z * h + (1 - z) * n),
])
def test_what_is_carried_does_not_hang_on_how_it_is_written(blend: Any) -> None:
    rng = np.random.default_rng(0)
    Wz, Wn = (torch.tensor(rng.standard_normal((4, 4)), requires_grad=True) for _ in range(2))
    h: Any = torch.tensor(rng.standard_normal((2, 4)))
    hs, zs = [], []
    for _ in range(6):
        z = torch.sigmoid(h @ Wz)
        h = blend(torch.tanh(h @ Wn), h, z)
        h.retain_grad()
        hs.append(h)
        zs.append(z.detach())
    loss = (h * h).sum()
    flow = viz.from_torch(loss, {"Wz": Wz, "Wn": Wn}, hs)
    loss.backward()
    expected = [0.0, *(float((z * x.grad).norm()) for z, x in zip(zs[:0:-1], hs[:0:-1], strict=True))]
    assert [a.carry for a in flow.split()] == pytest.approx(expected, rel=1e-10)
    assert viz.compare_flow({"torch": flow}).tracks[0].gated


def test_eleven_states_are_eleven_states() -> None:
    W = torch.tensor([[0.5]], requires_grad=True)
    rows: list[Any] = []
    row: list[Any] = [torch.ones(1, 1) * j for j in range(1, 12)]
    for _ in range(3):
        row = [torch.tanh(x @ W) for x in row]
        rows.append(tuple(row))
    loss = sum(x.sum() for x in row)
    flow = viz.from_torch(loss, {"W": W}, rows)
    names = sorted(flow.state_names(layer)[0] for layer in range(11))  # they know nothing of each other: eleven layers
    assert names == sorted(["h", "c", *(f"s{j}" for j in range(3, 12))])
    with pytest.raises(ValueError, match="same number of states, got 11, 11, 10"):
        viz.from_torch(loss, {"W": W}, [*rows[:2], rows[2][:10]])


def test_constants_are_there_with_their_numbers_where_pytorch_kept_them() -> None:
    W, x = torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[3.0], [4.0]])
    graph = viz.from_torch(((x @ W) * 0.5 + torch.ones(2, 2)).sum(), {"W": W}).graph
    assert graph.nodes["matmul/0"]["norm"] == 5.0
    assert graph.nodes["matmul/0"]["shape"] == "(2, 1)"
    assert graph.nodes["multiply/1"]["value"] == 0.5
    assert graph.nodes["add/1"]["shape"] == "?"
    assert all(said["kind"] == "constant" for node, said in graph.nodes(data=True) if "/" in node)


def test_what_is_computed_before_the_loop_for_all_steps_has_no_step() -> None:
    U, W = (torch.tensor(np.random.default_rng(j).standard_normal(s), requires_grad=True)
            for j, s in enumerate([(D, H), (H, H)]))
    z = torch.ones(T, B, D).double() @ U
    h, states = torch.zeros(B, H).double(), []
    for t in range(T):
        h = torch.tanh(z[t] + h @ W)
        states.append(h)
    graph = viz.from_torch(h.sum(), {"U": U, "W": W}, states).graph
    steps = {said.get("step") for _, said in graph.nodes(data=True) if said.get("op") == "getitem"}
    assert steps == set(range(T))
    assert "step" not in graph.nodes["U"]
    assert all("step" not in graph.nodes[v] for _, v in graph.out_edges("U"))


def test_a_thousand_steps_and_a_chain_of_ten_thousand_need_no_recursion() -> None:
    W = torch.eye(3, requires_grad=True)
    h, states = torch.ones(1, 3), []
    for _ in range(1000):
        h = torch.tanh(h @ W)
        states.append(h)
    flow = viz.from_torch(h.sum(), {"W": W}, states)
    assert len(flow.profile().norms) == 1000
    x = torch.ones(2, requires_grad=True)
    y = x
    for _ in range(10 * sys.getrecursionlimit()):
        y = torch.relu(y)
    assert viz.from_torch(y.sum()).gradients["leaf"] == pytest.approx(2**0.5)


def test_a_seed_differentiates_several_numbers() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for seed in (torch.tensor([0.0, 2.0]), np.array([0.0, 2.0]), [0.0, 2.0]):
        flow = viz.from_torch(x * 3, seed=seed)
        assert flow.gradients["leaf"] == 6.0


def test_sparse_and_half_precision_gradients_have_norms() -> None:
    embedding = torch.nn.Embedding(4, 3, sparse=True)
    flow = viz.from_torch(embedding(torch.tensor([1, 1])).sum(), embedding.named_parameters())
    assert flow.gradients["weight"] == pytest.approx(2 * 3**0.5)
    x = torch.ones(4, dtype=torch.bfloat16, requires_grad=True)
    assert viz.from_torch((x * 2).sum()).gradients["leaf"] == 4.0


# ------------------------------------------------------------------------------------------------ what goes wrong
def test_input_that_is_no_graph_is_refused() -> None:
    x = torch.ones(3, requires_grad=True)
    for given, error, words in [
        (3.0, TypeError, "expected a torch.Tensor, got float"),
        (ours("rnn"), TypeError, "use viz.gradient_flow"),
        (x, ValueError, "it is a leaf"),
        (torch.ones(3).sum(), ValueError, "no_grad"),
        (x * 2, ValueError, "holds 3 numbers"),
    ]:
        with pytest.raises(error, match=words):
            viz.from_torch(given)
    with pytest.raises(ValueError, match="the seed has shape"):
        viz.from_torch(x * 2, seed=torch.ones(2))


def test_a_graph_that_was_thrown_away_says_what_to_do() -> None:
    x = torch.ones(3, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"backward\(retain_graph=True\)"):
        viz.from_torch(loss)


def test_states_that_do_not_fit_are_refused() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    h = x * 2
    other = x * 5
    parts = torch.nn.functional.softmax(x, 1).unbind()
    with pytest.raises(ValueError, match="state h of step 0 has no grad_fn"):
        viz.from_torch(h.sum(), states=[torch.ones(2)])
    with pytest.raises(ValueError, match="was not computed from any of these states"):
        viz.from_torch(h.sum(), states=[other])
    with pytest.raises(ValueError, match=r"one operation \(unbind\) made the state h of steps 0 and 1"):
        viz.from_torch((parts[0] + parts[1]).sum(), states=parts)
    with pytest.raises(ValueError, match="the same number of steps"):
        viz.from_torch(h.sum(), states={"h": [h, h], "c": [h]})


def test_without_torch_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(viz.MissingToolError, match="pip install torch"):
        viz.from_torch(None)


def test_parameters_are_named_by_pairs_by_a_dict_or_by_the_model_itself() -> None:
    cell = torch.nn.RNNCell(3, 2)
    loss = cell(torch.ones(1, 3)).sum()
    names = [set(viz.from_torch(loss, given).graph) for given in
             (cell, cell.named_parameters(), dict(cell.named_parameters()))]
    assert names[0] == names[1] == names[2]
    assert {name for name, _ in cell.named_parameters()} <= names[0]
    for given in (cell.parameters(), list(cell.parameters()), [torch.ones(2, 3)], 5):
        with pytest.raises(TypeError, match=r"parameters come with their names, net\.named_parameters\(\)"):
            viz.from_torch(loss, given)


# ------------------------------------------------------------------------------------------------ whole layers
def layer(kind: str, dtype: Any, **options: Any) -> tuple[Any, Any]:
    """A layer of PyTorch and what it returns for a sequence, (T, B, H)."""
    torch.manual_seed(0)
    net = getattr(torch.nn, kind)(D, H, dtype=dtype, **options)
    return net, net(torch.randn(T, B, D, dtype=dtype))[0]


def unpacked(net: Any, dtype: Any) -> Any:
    """What it returns for sequences of two lengths, padded again."""
    pack, pad = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
    return pad(net(pack(torch.randn(T, B, D, dtype=dtype), [T, T - 2]))[0])[0]


FUSED = viz.graph.steps.FUSED
FORMS = [(kind, dtype) for kind in ("RNN", "LSTM", "GRU") for dtype in (torch.float32, torch.float64)]


def test_a_picture_of_a_fused_layer_says_what_to_do() -> None:
    """Not every build of PyTorch fuses this one."""
    _, hs = layer("LSTM", torch.float32)
    loss = hs[-1].sum()
    if not FUSED & {op for _, op in viz.trace(loss).nodes(data="op")}:
        pytest.skip("this PyTorch does not fuse an LSTM")
    said = " ".join(written(viz.draw_unrolled(loss)))
    assert "PyTorch ran all steps of a layer as one fused operation (" in said
    assert "load the weights into the same net of this library, microgradrnn.io.load_torch(net, " in said
    assert "or write the loop with torch.nn.LSTMCell" in said


@pytest.mark.parametrize(("kind", "dtype"), FORMS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True},
                                     {"num_layers": 2, "bidirectional": True}])
def test_a_whole_layer_shows_its_steps_or_says_that_they_are_fused(kind: str, dtype: Any,
                                                                   options: dict[str, Any]) -> None:
    net, hs = layer(kind, dtype, **options)
    flow = viz.from_torch(hs[-1].sum(), net)
    for name, g in zip(dict(net.named_parameters()), torch.autograd.grad(hs[-1].sum(), net.parameters()), strict=True):
        assert flow.gradients[name] == pytest.approx(g.norm().item(), rel=1e-5)
    if FUSED & {op for _, op in flow.graph.nodes(data="op")}:
        for ask in (flow.profile, flow.split, flow.horizon, lambda: viz.roll(flow.graph),
                    lambda: viz.compare_flow({"torch": flow})):
            with pytest.raises(ValueError, match=r"one fused operation \(\w+\), which hides.*load_torch.*LSTMCell"):
                ask()
        return
    after = {"reset": "after"} if kind == "GRU" else {}
    ours = getattr(nn, kind)(D, H, options.get("num_layers", 1), bidirectional="bidirectional" in options, **after)
    io.load_torch(ours, net.state_dict())
    torch.manual_seed(0)
    x = torch.randn(T, B, D, dtype=torch.float64)
    again = viz.from_torch(net.double()(x)[0][-1].sum(), net)
    own = viz.gradient_flow(ours(x.numpy())[0][-1].sum())
    layers = len(viz.graph.steps.recurrent(own.graph))
    for number in range(layers):
        for state in own.state_names(number):
            mine, theirs = own.profile(state, number), again.profile(state, number)
            assert (mine.steps, mine.lags) == (theirs.steps, theirs.lags)
            assert theirs.norms == pytest.approx(mine.norms, rel=1e-12, abs=1e-15)
    marks = [{(said["path"], said["step"], said["symbol"], said["role"]) for _, said in flow.graph.nodes(data=True)
              if said.get("role") in ("gate", "candidate", "hidden", "cell")} for flow in (own, again)]
    assert marks[0] == marks[1]


def test_the_lstm_in_single_precision_is_the_fused_one_on_a_processor() -> None:
    """If PyTorch fuses others one day, or calls it otherwise, its name belongs into `FUSED`."""
    _, hs = layer("LSTM", torch.float32)
    ops = {op for _, op in viz.from_torch(hs[-1].sum()).graph.nodes(data="op")}
    assert ops & FUSED == ({"mkldnn_rnn_layer"} if torch.backends.mkldnn.is_available() else set())


@pytest.mark.parametrize("name", ["CudnnRnnBackward0", "MiopenRnnBackward0", "LstmMpsBackward0",
                                  "MkldnnRnnLayerBackward0"])
def test_fused_layers_of_other_devices_are_known_by_name(name: str) -> None:
    from viz.graph.torch.functions import operation

    assert operation(type(name, (), {})()) in FUSED
    assert operation(type("ThnnFusedLstmCellBackward0", (), {})()) not in FUSED  # a cell: one step


@pytest.mark.parametrize(("kind", "dtype"), FORMS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}])
def test_slices_of_what_a_layer_returns_are_no_states(kind: str, dtype: Any, options: dict[str, Any]) -> None:
    net, hs = layer(kind, dtype, **options)
    padded = unpacked(net, dtype)
    for states in (list(hs), [hs[t] for t in range(T)], [hs[t, :, :H] for t in range(T)], hs.unbind(),
                   {"h": [hs[t].squeeze(0) for t in range(T)]}):
        with pytest.raises(ValueError, match=r"one operation \(\w+\) made the state h of steps 0 and 1.*are found in"):
            viz.from_torch(hs.sum(), net, states)
    with pytest.raises(ValueError, match=r"one operation \(\w+\) made the state h of steps 0 and 1.*are found in"):
        viz.from_torch(padded.sum(), net, [padded[t] for t in range(T)])


def cell_loop(kind: str, xs: Any, learned: bool = False) -> tuple[Any, list[Any], Any]:
    """A loop of PyTorch's cell: the cell, the states step by step, and the last h. The first state may be learned."""
    torch.manual_seed(1)
    cell = getattr(torch.nn, kind)(xs.shape[-1], H, dtype=xs.dtype)
    h, c = (torch.full((B, H), 0.3, dtype=xs.dtype, requires_grad=learned) for _ in range(2))
    states = []
    for x in xs:
        if kind == "LSTMCell":
            h, c = cell(x, (h, c))
        else:
            h = cell(x, h)
        states.append((h, c) if kind == "LSTMCell" else (h,))
    return cell, states, h


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_an_own_loop_above_a_fused_layer_has_its_steps(kind: str) -> None:
    _, below = layer("LSTM", torch.float32)
    cell, states, h = cell_loop(kind, below)
    flow = viz.from_torch(h.sum(), cell, states)
    profile = flow.profile("h")
    for t, norm in zip(profile.steps, profile.norms, strict=True):
        (g,) = torch.autograd.grad(h.sum(), states[t][0], retain_graph=True)
        assert norm == pytest.approx(g.norm().item(), rel=1e-5)
    assert len(profile.norms) == T
    assert viz.draw_unrolled(flow, last=2).svg.startswith("<svg")
    with pytest.raises(ValueError, match=r"no layer 1; this graph has 1, .*\(mkldnn_rnn_layer\), which hides them"):
        flow.profile(layer=1)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_the_way_out_leads_to_the_same_gradients(kind: str) -> None:
    theirs, _ = layer(kind, torch.float64)
    x = torch.randn(T, B, D, dtype=torch.float64)
    ours = nn.GRU(D, H, reset="after", rng=0) if kind == "GRU" else getattr(nn, kind)(D, H, rng=0)
    io.load_torch(ours, theirs.state_dict())
    flow = viz.gradient_flow((ours(x.numpy())[0][-1] ** 2).sum())
    loop, _, _ = cell_loop(f"{kind}Cell", x)
    loop.load_state_dict({k.removesuffix("_l0"): a for k, a in theirs.state_dict().items()})
    h, c, hs = *(torch.zeros(B, H, dtype=torch.float64) for _ in range(2)), []
    for x_t in x:
        h, c = loop(x_t, (h, c)) if kind == "LSTM" else (loop(x_t, h), c)
        hs.append((h, c) if kind == "LSTM" else (h,))
    their_flow = viz.from_torch((h**2).sum(), loop, hs)
    for state in flow.state_names():
        assert their_flow.profile(state).norms == pytest.approx(flow.profile(state).norms, rel=1e-10)


# ------------------------------------------------------------------------------------------- states out of order
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("wrong", [{0}, {1}, {T - 1}, {0, 2, 4, 6}, {3, 4, 5, 6}])
def test_states_that_change_places_are_refused(wrong: set[int], learned: bool) -> None:
    cell, states, h = cell_loop("LSTMCell", torch.randn(T, B, D), learned)
    mixed = [row[::-1] if t in wrong else row for t, row in enumerate(states)]
    names = r"what step \d gives as [hc] is what step \d gives as [hc]\. .* in the same order"
    with pytest.raises(ValueError, match=f"the states change places: {names}"):
        viz.from_torch(h.sum(), cell, mixed)
    viz.from_torch(h.sum(), cell, states)


@pytest.mark.parametrize("wrong", [0, 1, 2, 3])
def test_states_made_alike_that_change_places_are_told_apart_by_what_they_were_made_from(wrong: int) -> None:
    W = torch.tensor([[0.5]], requires_grad=True)
    row: list[Any] = [torch.ones(1, 1) * j for j in range(1, 4)]
    rows: list[Any] = []
    for _ in range(4):
        row = [torch.tanh(x @ W) for x in row]
        rows.append(tuple(row))
    loss = sum(x.sum() for x in row)
    viz.from_torch(loss, {"W": W}, rows)
    rows[wrong] = (rows[wrong][0], *rows[wrong][:0:-1])
    with pytest.raises(ValueError, match=r"the states change places: what step \d gives as"):
        viz.from_torch(loss, {"W": W}, rows)


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_states_that_are_not_in_order_of_time_are_refused(kind: str) -> None:
    cell, states, h = cell_loop(kind, torch.randn(T, B, D))
    good = viz.from_torch(h.sum(), cell, states).profile("h").norms
    for order in ([1, 0, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 6, 5], [3, 1, 6, 0, 2, 5, 4], [6, 0, 1, 2, 3, 4, 5]):
        with pytest.raises(ValueError, match=r"not in the order of time: [hc] of step \d was computed from that of"):
            viz.from_torch(h.sum(), cell, [states[t] for t in order])
    if kind == "LSTMCell":
        with pytest.raises(ValueError, match="not in the order of time"):
            viz.from_torch(h.sum(), cell, [x for row in states for x in row])  # one after another, not in pairs
    backwards = viz.from_torch(h.sum(), cell, states[::-1]).profile("h")  # as of a net that reads backwards
    assert backwards.norms == pytest.approx(good, rel=1e-12)
    assert backwards.lags == tuple(range(T))


def test_loops_that_are_cut_or_differ_from_step_to_step_keep_their_states() -> None:
    cell, states = torch.nn.LSTMCell(D, H), []
    h = c = torch.zeros(B, H)
    for t, x in enumerate(torch.randn(T, B, D)):
        h, c = cell(x, (h, c))
        if t % 2:
            h = torch.nn.functional.dropout(h, 0.5)
        if t % 3 == 0:
            c = c.clamp(-1, 1)
        states.append((h, c))
        if t == 3:  # truncated: the next stretch reads nothing of this one
            h, c = h.detach(), c.detach()
    loss = sum(h.sum() for h, _ in states)
    flow = viz.from_torch(loss, cell, states)
    for t, (h, _) in enumerate(states):
        (g,) = torch.autograd.grad(loss, h, retain_graph=True)
        assert flow.gradients[f"t{t}/h"] == pytest.approx(g.norm().item(), rel=1e-5)


def test_the_same_layer_called_step_by_step_and_states_that_are_moved_keep_their_steps() -> None:
    lstm, out, states = torch.nn.LSTM(D, H), torch.zeros(()), []
    state = tuple(torch.zeros(1, B, H) for _ in range(2))
    for x in torch.randn(T, 1, B, D):
        _, state = lstm(x, state)
        states.append(state)
        out = out + state[0].sum()
    assert len(viz.from_torch(out, lstm, states).profile("h").norms) == T
    W, register = torch.eye(H, requires_grad=True), []
    a, b = torch.ones(B, H), torch.ones(B, H)
    for _ in range(T):
        a, b = torch.tanh(b @ W), a.clone()  # b is what a was
        register.append((a, b))
    flow = viz.from_torch((a + b).sum(), {"W": W}, register[1:])
    assert flow.profile("h").lags == tuple(range(T - 1))
