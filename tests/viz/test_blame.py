"""Local errors against their closed form and injected perturbations; shares against the gradient they add up to."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, Value, io, nn, scope
from tests.numerics import relative_error
from tests.viz.nets import own_cell
from tests.viz.scenes import words
from viz.flow import blame
from viz.flow.attribution import Places
from viz.graph.timeline import timeline

D, H, K, B = 3, 5, 4, 2


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


class Tagged:
    """A net with an output and a loss at every step, from a first state that is not zero."""

    def __init__(self, net: Any, T: int = 6, reduction: str = "sum", **options: Any) -> None:
        self.net, self.x = net, Tensor(normal(T, B, D, seed=3))
        cells = [cell for _, _, cell in net.cells()]
        state = None
        if len(cells) == 1:
            parts = tuple(Tensor(normal(B, H, seed=k)) for k in range(len(cells[0].state)))
            state = parts if len(parts) > 1 else parts[0]
        self.h0 = state
        self.hs, _ = net(self.x, state, **options)
        self.head = nn.Linear(self.hs.shape[-1], K, rng=7)
        self.os = self.head(self.hs)
        self.y = np.random.default_rng(T).integers(0, K, (T, B))
        self.loss = nn.cross_entropy(self.os, self.y, reduction=reduction)
        self.losses = [nn.cross_entropy(self.os[t], self.y[t], reduction="sum") for t in range(T)]
        self.parameters = {f"net.{k}": p for k, p in net.named_parameters()} | \
            {f"head.{k}": p for k, p in self.head.named_parameters()}


def deltas(tagged: Tagged) -> np.ndarray:
    """δ_{t,k} of a simple net by the recursion of docs/equations.md: (T, T, B, H)."""
    cell, V, hs, T = tagged.net.cell, tagged.head.V.data, tagged.hs.data, len(tagged.hs.data)
    p = np.exp(tagged.os.data)
    p /= p.sum(-1, keepdims=True)
    slopes, found = 1 - hs**2, np.zeros((T, T, B, H))
    for t in range(T):
        delta = ((p[t] - np.eye(K)[tagged.y[t]]) @ V.T) * slopes[t]
        found[t, t] = delta
        for k in reversed(range(t)):
            delta = (delta @ cell.W.data.T) * slopes[k]
            found[t, k] = delta
    return found


NETS: dict[str, Any] = {
    "rnn": lambda: nn.RNN(D, H, rng=0), "lstm": lambda: nn.LSTM(D, H, rng=0), "gru before": lambda: nn.GRU(D, H, rng=0),
    "gru after": lambda: nn.GRU(D, H, reset="after", rng=0), "mgu": lambda: nn.MGU(D, H, rng=0),
    "two layers": lambda: nn.GRU(D, H, num_layers=2, rng=0),
    "both ways": lambda: nn.RNN(D, H, bidirectional=True, rng=0),
    "deep, both ways": lambda: nn.LSTM(D, H, num_layers=2, bidirectional=True, rng=0),
}


# ------------------------------------------------------------------------------------------------ local errors
@pytest.mark.parametrize("T", [1, 2, 6, 40])
@pytest.mark.parametrize("given", ["one loss", "a list"])
def test_local_errors_of_a_simple_net_obey_their_recursion(given: str, T: int) -> None:
    tagged = Tagged(nn.RNN(D, H, rng=0), T)
    expected = deltas(tagged)
    found = viz.local_errors(tagged.loss if given == "one loss" else tagged.losses, arrays=True)
    assert (found.symbol, found.losses, found.steps) == ("z", tuple(range(T)), tuple(range(T)))
    for t in range(T):
        for k in range(t + 1):
            assert relative_error(found.arrays[t, k], expected[t, k]) < 1e-12
            assert found.at(t, k) == pytest.approx(np.linalg.norm(expected[t, k]), rel=1e-12)
    np.testing.assert_array_equal(found.reached, np.tri(T, dtype=bool))
    assert not found.norms[~found.reached].any()


@pytest.mark.parametrize("name", NETS)
def test_one_loss_and_its_terms_blame_alike(name: str) -> None:
    tagged = Tagged(NETS[name]())
    for layer in range(len(list(tagged.net.cells()))):
        one, several = (viz.local_errors(x, layer, at="h", arrays=True) for x in (tagged.loss, tagged.losses))
        assert relative_error(one.arrays, several.arrays) < 1e-13
        np.testing.assert_array_equal(one.reached, several.reached)


@pytest.mark.parametrize("at", ["h", "c", "f", "o"])
def test_in_gated_cells_any_state_or_gate_can_be_blamed(at: str) -> None:
    tagged = Tagged(nn.LSTM(D, H, rng=0))
    found = viz.local_errors(tagged.loss, at=at, arrays=True)
    nodes = [x for x in mg_nodes(tagged.loss) if x.symbol == at and x.role != "output"]
    for t, loss in enumerate(tagged.losses):
        for k, g in enumerate(mg.grad(loss, nodes)):
            assert np.abs(found.arrays[t, k] - g).max() < 1e-14
    assert viz.local_errors(tagged.loss).symbol == "h"
    with pytest.raises(ValueError, match=r"no 'q' in the steps of this layer; there is .*f"):
        viz.local_errors(tagged.loss, at="q")


@pytest.mark.parametrize(("kind", "at"), [("RNN", "h"), ("LSTM", "h"), ("LSTM", "c"), ("GRU", "h")])
def test_local_errors_are_those_of_pytorch(kind: str, at: str) -> None:
    torch = pytest.importorskip("torch")
    T, net = 5, getattr(nn, kind)(D, H, rng=0, **({"reset": "after"} if kind == "GRU" else {}))
    peer = getattr(torch.nn, f"{kind}Cell")(D, H).double()
    arrays = io.to_torch_state_dict(net)
    peer.load_state_dict({key.replace("_l0", ""): torch.from_numpy(a) for key, a in arrays.items()})
    xs, weights = normal(T, B, D), normal(T, B, H, seed=1)
    state: Any = torch.zeros(B, H).double().requires_grad_()
    state = (state, state) if kind == "LSTM" else state
    hs, blamed = [], []
    for x in torch.from_numpy(xs):
        state = peer(x, state)
        hs.append(state[0] if kind == "LSTM" else state)
        blamed.append(state[1] if at == "c" else hs[-1])
    found = viz.local_errors(((net(xs)[0] * weights) ** 2).sum(), at=at, arrays=True)
    for t in range(T):
        loss = ((hs[t] * torch.from_numpy(weights[t])) ** 2).sum()
        theirs = torch.autograd.grad(loss, blamed[: t + 1], retain_graph=True)
        for k in range(t + 1):
            assert relative_error(found.arrays[t, k], theirs[k].numpy()) < 1e-12


def mg_nodes(root: Any) -> list[Any]:
    seen, stack = {root}, [root]
    while stack:
        for x in stack.pop().inputs:
            if x is not None and x not in seen:
                seen.add(x)
                stack.append(x)
    return sorted(seen, key=lambda node: node.serial)


def test_a_net_that_reads_backwards_blames_the_future() -> None:
    tagged = Tagged(nn.RNN(D, H, rng=0), reverse=True)
    found = viz.local_errors(tagged.loss)
    np.testing.assert_array_equal(found.reached, np.tri(6, dtype=bool).T)
    assert (found.norms[found.reached] > 0).all()
    both = Tagged(nn.RNN(D, H, num_layers=2, bidirectional=True, rng=0))
    assert viz.local_errors(both.loss, layer=0).reached.all()


def test_a_loss_at_the_end_alone_is_one_row() -> None:
    hs, h = nn.RNN(D, H, rng=0)(normal(6, B, D))
    found = viz.local_errors((h**2).sum())
    assert (found.losses, found.norms.shape) == ((5,), (1, 6))
    z = [x for x in mg_nodes(h) if x.symbol == "z"]
    expected = [np.linalg.norm(g) for g in mg.grad((hs[-1] ** 2).sum(), z)]
    assert found.norms[0] == pytest.approx(expected, rel=1e-13)


def test_losses_of_some_steps_are_given_by_step() -> None:
    tagged = Tagged(nn.RNN(D, H, rng=0))
    some = viz.local_errors({3: tagged.losses[3], 1: tagged.losses[1]})
    assert some.losses == (1, 3)
    np.testing.assert_array_equal(some.norms, viz.local_errors(tagged.losses).norms[[1, 3]])
    with pytest.raises(ValueError, match="2 losses, but 6 steps"):
        viz.local_errors(tagged.losses[:2])
    with pytest.raises(ValueError, match="as nodes"):
        viz.local_errors([])
    with pytest.raises(ValueError, match="no time steps"):
        viz.local_errors(Tensor(normal(3)).sum())


@pytest.mark.parametrize("given", [3.0, np.ones(3), viz.gradient_flow(mg.Value(2.0) * 3)])
def test_what_is_no_loss_is_refused(given: Any) -> None:
    for measure in (viz.local_errors, partial(viz.shares, by="lag")):
        with pytest.raises(TypeError, match=r"local errors: give one loss, or .* got \w+"):
            measure(given)
    with pytest.raises(TypeError, match="step_jacobians: give a loss, or the list of the states; got"):
        viz.step_jacobians(given)


def test_steps_that_a_checkpoint_hides_are_said_to_be_hidden() -> None:
    hs, _ = nn.RNN(D, H, rng=0)(normal(6, B, D), checkpoint=True)
    loss = (hs**2).sum()
    for measure in (viz.shares, partial(viz.shares, by="lag"), viz.local_errors, viz.step_jacobians):
        with pytest.raises(ValueError, match="a checkpoint hides the steps inside it"):
            measure(loss)


def test_by_lag_is_the_root_of_the_mean_square_over_a_diagonal() -> None:
    found = viz.local_errors(Tagged(nn.RNN(D, H, rng=0)).loss)
    by_lag = found.by_lag()
    assert sorted(by_lag) == list(range(6))
    assert by_lag[2] == pytest.approx(math.sqrt(np.mean(np.diagonal(found.norms, -2) ** 2)), rel=1e-13)
    rows = found.records()
    assert len(rows) == 21
    assert rows[-2] == {"loss": 5, "step": 4, "lag": 1, "norm": found.at(5, 4)}


def test_somebody_elses_loop_with_the_losses_inside() -> None:
    W, V = Tensor(normal(H, H) / 2, label="W"), Tensor(normal(H, 1, seed=1), label="V")
    h: Any = np.ones((B, H))
    losses, hidden = [], []
    for t in range(5):
        with scope("mine", step=t):
            h = (h @ W + normal(B, H, seed=t)).tanh()
            hidden.append(h)
            losses.append(((h @ V) ** 2).sum())
    total = sum(losses[1:], start=losses[0])
    found, given = (viz.local_errors(x, arrays=True) for x in (total, losses))
    assert found.symbol == "z"
    assert relative_error(found.arrays, given.arrays) < 1e-14
    for t in range(5):
        for k, g in enumerate(mg.grad(losses[t], hidden[: t + 1])):
            assert relative_error(given.arrays[t, k], g * (1 - hidden[k].data ** 2)) < 1e-14
    for split in (viz.shares(total), viz.shares(total, by="lag"), viz.shares(losses, by="lag")):
        assert set(split) == {"W", "V"}
        for name, p in (("W", W), ("V", V)):
            assert relative_error(split[name].total, mg.grad(total, p)) < 1e-13
            assert not split[name].rest.any()
    assert viz.shares(total, by="lag")["V"].norms[1:].max() == 0


def test_scalars_are_blamed_too() -> None:
    w, h, losses = Value(0.7, label="w"), Value(0.3), []
    for t in range(4):
        with scope("neuron", step=t):
            h = (w * h + 0.1 * t).tanh()
            losses.append((h - 1) ** 2)
    total = losses[0] + losses[1] + losses[2] + losses[3]
    expected = mg.grad(total, w)
    for split in (viz.shares(total), viz.shares(total, by="lag"), viz.shares(losses, by="lag")):
        assert float(split["w"].total) == pytest.approx(expected, rel=1e-13)
    assert viz.local_errors(total).norms == pytest.approx(viz.local_errors(losses).norms, rel=1e-13)


# ------------------------------------------------------------------------------------------------ shares
@pytest.mark.parametrize("T", [1, 6, 40])
@pytest.mark.parametrize("name", NETS)
def test_shares_by_step_add_up_to_the_gradient(name: str, T: int) -> None:
    tagged = Tagged(NETS[name](), T, reduction="mean")
    found = viz.shares(tagged.loss, tagged.parameters)
    assert list(found) == list(tagged.parameters)
    for parameter, p in tagged.parameters.items():
        assert found[parameter].keys == tuple(range(T))
        assert relative_error(found[parameter].total, mg.grad(tagged.loss, p)) < 1e-12
        assert not found[parameter].rest.any()


@pytest.mark.parametrize("given", ["one loss", "a list"])
@pytest.mark.parametrize("name", NETS)
def test_shares_by_lag_add_up_to_the_gradient(name: str, given: str) -> None:
    tagged = Tagged(NETS[name]())
    found = viz.shares(tagged.loss if given == "one loss" else tagged.losses, tagged.parameters, by="lag")
    for parameter, p in tagged.parameters.items():
        assert relative_error(found[parameter].total, mg.grad(tagged.loss, p)) < 1e-12
        assert not found[parameter].rest.any()
        sees_ahead = "ways" in name
        assert found[parameter].keys == tuple(range(-5 if sees_ahead else 0, 6))
        if parameter.startswith("head"):
            assert not found[parameter].arrays[np.array(found[parameter].keys) != 0].any()


def test_shares_of_a_simple_net_are_those_of_the_equations() -> None:
    tagged = Tagged(nn.RNN(D, H, rng=0))
    cell, head = tagged.net.cell, tagged.head
    before = np.concatenate([tagged.h0.data[None], tagged.hs.data[:-1]])
    delta = deltas(tagged)
    eps = delta.sum(axis=0)  # over the losses: ∂L/∂z_k
    by_step = viz.shares(tagged.loss, {"U": cell.U, "W": cell.W, "b": cell.b, "V": head.V, "d": head.d})
    blame = np.exp(tagged.os.data) / np.exp(tagged.os.data).sum(-1, keepdims=True) - np.eye(K)[tagged.y]
    for k in range(6):
        assert relative_error(by_step["W"].arrays[k], before[k].T @ eps[k]) < 1e-12
        assert relative_error(by_step["U"].arrays[k], tagged.x.data[k].T @ eps[k]) < 1e-12
        assert relative_error(by_step["b"].arrays[k], eps[k].sum(0)) < 1e-12
        assert relative_error(by_step["V"].arrays[k], tagged.hs.data[k].T @ blame[k]) < 1e-12
        assert relative_error(by_step["d"].arrays[k], blame[k].sum(0)) < 1e-12
    by_lag = viz.shares(tagged.loss, {"U": cell.U, "W": cell.W, "b": cell.b}, by="lag")
    for lag in range(6):
        pairs = [(k + lag, k) for k in range(6 - lag)]
        assert relative_error(by_lag["W"].arrays[lag], sum(before[k].T @ delta[t, k] for t, k in pairs)) < 1e-12
        assert relative_error(by_lag["U"].arrays[lag], sum(tagged.x.data[k].T @ delta[t, k] for t, k in pairs)) < 1e-12
        assert relative_error(by_lag["b"].arrays[lag], sum(delta[t, k].sum(0) for t, k in pairs)) < 1e-12


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_shares_by_step_are_the_gradients_of_pytorch_with_a_copy_of_the_weights_for_each_step(kind: str) -> None:
    torch = pytest.importorskip("torch")
    net = nn.LSTM(D, H, rng=0) if kind == "LSTM" else nn.GRU(D, H, reset="after", rng=0)
    weights = {key: torch.from_numpy(a) for key, a in io.to_torch_state_dict(net).items()}
    xs, T = normal(4, B, D), 4
    copies = [{key.replace("_l0", ""): a.clone().requires_grad_() for key, a in weights.items()} for _ in range(T)]
    peer = getattr(torch.nn, f"{kind}Cell")(D, H).double()
    state: Any = (torch.zeros(B, H).double(),) * 2 if kind == "LSTM" else torch.zeros(B, H).double()
    hs = []
    for t in range(T):
        state = torch.func.functional_call(peer, copies[t], (torch.from_numpy(xs[t]), state))
        hs.append(state[0] if kind == "LSTM" else state)
    (torch.stack(hs) ** 2).sum().backward()
    found = viz.shares((net(xs)[0] ** 2).sum(), {"U": net.cell.U, "W": net.cell.W, "b": net.cell.b})
    for t in range(T):
        assert relative_error(found["U"].arrays[t], copies[t]["weight_ih"].grad.numpy().T) < 1e-12
        assert relative_error(found["W"].arrays[t], copies[t]["weight_hh"].grad.numpy().T) < 1e-12
        assert relative_error(found["b"].arrays[t], copies[t]["bias_ih"].grad.numpy()) < 1e-12


def test_embeddings_heads_of_two_layers_and_reshaped_rows_keep_their_steps() -> None:
    T = 5
    ids, y = np.random.default_rng(0).integers(0, 7, (T, B)), np.ones((T, B), dtype=int)
    table, net, inner, head = nn.Embedding(7, D, rng=1), nn.GRU(D, H, rng=2), nn.Linear(H, 6, rng=3), nn.Linear(6, K)
    hs, _ = net(table(ids))
    loss = nn.cross_entropy(head(mg.tanh(inner(hs.reshape((T * B, H))))), y.reshape(-1), reduction="sum")
    parameters = {"E": table.E, "V1": inner.V, "V2": head.V, "W": net.cell.W}
    found = viz.shares(loss, parameters)
    for name, p in parameters.items():
        assert relative_error(found[name].total, mg.grad(loss, p)) < 1e-12
        assert not found[name].rest.any()
        assert (found[name].norms > 0).sum() >= T - 1
    for t in range(T):  # a row of E owes nothing to the steps that did not read it
        unread = np.setdiff1d(np.arange(7), ids[t])
        assert not found["E"].arrays[t][unread].any()
        rows = hs.data[t]
        before = rows @ inner.V.data + inner.d.data
        o = np.tanh(before) @ head.V.data + head.d.data
        p = np.exp(o) / np.exp(o).sum(-1, keepdims=True) - np.eye(K)[y[t]]
        assert relative_error(found["V2"].arrays[t], np.tanh(before).T @ p) < 1e-12


def test_a_penalty_on_the_weights_belongs_to_no_step() -> None:
    hs, h = (net := nn.RNN(D, H, rng=0))(normal(4, B, D))
    W = net.cell.W
    for data in ((hs**2).sum(), (h**2).sum()):
        loss = data + 0.5 * (W * W).sum()
        for found in (viz.shares(loss, {"W": W})["W"], viz.shares(loss, {"W": W}, by="lag")["W"]):
            assert relative_error(found.rest, W.data) < 1e-14
            assert relative_error(found.total, mg.grad(loss, W)) < 1e-13


def test_sequences_of_different_lengths() -> None:
    net = nn.LSTM(D, H, rng=0)
    hs, _ = net(normal(6, B, D), lengths=[6, 3])
    loss, parameters = (hs**2).sum(), dict(net.named_parameters())
    for found in (viz.shares(loss, parameters), viz.shares(loss, parameters, by="lag")):
        for name, p in parameters.items():
            assert relative_error(found[name].total, mg.grad(loss, p)) < 1e-12
    errors = viz.local_errors(loss, at="h", arrays=True)
    assert not errors.arrays[4:, :, 1].any()
    assert errors.arrays[4:, :4, 0].all()


def test_the_names_are_those_of_the_pictures_and_unique() -> None:
    assert set(viz.shares(Tagged(nn.RNN(D, H, rng=0)).loss)) >= {"U", "W", "b", "V", "d"}
    two = viz.shares(Tagged(nn.GRU(D, H, num_layers=2, rng=0)).loss)
    assert {"U", "W", "b", "U_2", "W_2", "b_2", "V", "d"} <= set(two)
    own = viz.shares(own_cell())
    assert len(own) == 2
    with pytest.raises(ValueError, match="is no parameter"):
        viz.shares(own_cell(), {"x": 3})  # type: ignore[dict-item]


def test_a_head_written_out_and_weights_that_are_tied_to_the_inputs() -> None:
    T = 5
    ids = np.random.default_rng(0).integers(0, 7, (T, B))
    table, net, d = nn.Embedding(7, H, rng=0), nn.GRU(H, H, rng=1), mg.Tensor(normal(7), label="d")
    hs, _ = net(table(ids))
    loss = nn.cross_entropy(hs @ table.E.T + d, ids, reduction="sum")
    parameters = {"E": table.E, "d": d, **dict(net.named_parameters())}
    for found in (viz.shares(loss, parameters), viz.shares(loss, parameters, by="lag")):
        for name, p in parameters.items():
            assert relative_error(found[name].total, mg.grad(loss, p)) < 1e-12
            assert not found[name].rest.any()


def test_the_steps_of_a_decoder_are_counted_on_from_those_of_its_encoder() -> None:
    net = nn.EncoderDecoder(nn.RNN(D, H, rng=0), nn.RNN(D, H, rng=1), nn.Embedding(9, D, rng=3),
                            nn.Embedding(7, D, rng=4), nn.Linear(H, 7, rng=2), start=0)
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 9, (6, B)), rng.integers(0, 7, (4, B))
    loss = nn.cross_entropy(net(source, target), target, reduction="sum")
    parameters = dict(net.named_parameters())
    for found in (viz.shares(loss, parameters), viz.shares(loss, parameters, by="lag")):
        for name, p in parameters.items():
            assert relative_error(found[name].total, mg.grad(loss, p)) < 1e-12
    errors = viz.local_errors(loss, layer=0)
    assert (errors.losses, errors.steps) == (tuple(range(6, 10)), tuple(range(6)))
    assert (errors.norms > 0).all()
    assert sorted(errors.by_lag()) == list(range(1, 10))
    decoder = viz.local_errors(loss)
    assert decoder.losses == decoder.steps == tuple(range(6, 10))
    assert sorted(decoder.by_lag()) == list(range(4))
    used = viz.shares(loss, parameters)
    assert used["encoder.cell.W"].norms.nonzero()[0].tolist() == list(range(1, 6)), "h is 0 before the first step"
    assert used["decoder.cell.W"].norms.nonzero()[0].tolist() == list(range(6, 10))


def test_what_uses_several_steps_at_once_is_kept_in_the_rest() -> None:
    net, head = nn.RNN(D, H, rng=0), nn.Linear(H, K, rng=1)
    hs, _ = net(normal(6, B, D))
    loss = nn.cross_entropy(head(nn.mean_over_steps(hs)), [1, 2])
    parameters = {"W": net.cell.W, "V": head.V}
    for found in (viz.shares(loss, parameters), viz.shares(loss, parameters, by="lag")):
        for name, p in parameters.items():
            assert relative_error(found[name].total, mg.grad(loss, p)) < 1e-12
        assert not found["W"].rest.any()
        assert not found["V"].arrays.any()
    assert (viz.local_errors(loss).norms > 0).tolist() == np.tri(6, dtype=bool).tolist()


def test_inputs_have_their_gradient_from_the_steps_that_read_them() -> None:
    tagged = Tagged(nn.LSTM(D, H, rng=0))
    found = viz.shares(tagged.loss, {"x": tagged.x})["x"]
    whole = mg.grad(tagged.loss, tagged.x)
    for k in range(6):
        assert relative_error(found.arrays[k][k], whole[k]) < 1e-13
        assert not np.delete(found.arrays[k], k, axis=0).any()


@pytest.mark.parametrize("name", NETS)
def test_the_local_errors_of_all_losses_add_up_to_the_gradient(name: str) -> None:
    tagged = Tagged(NETS[name]())
    line = [timeline(tagged.loss, layer) for layer in range(len(list(tagged.net.cells())))]
    for layer, one in enumerate(line):
        states = [one.at(step, one.name_of("h")) for step in sorted(one.steps)]
        errors = viz.local_errors(tagged.loss, layer, at="h", arrays=True)
        for k, g in enumerate(mg.grad(tagged.loss, states)):
            assert relative_error(errors.arrays.sum(axis=0)[k], g) < 1e-13


def test_a_layer_that_two_read_hands_on_both() -> None:
    """The lower layer's outputs go to the upper layer and, past it, to the loss."""
    lower, upper = nn.RNN(D, H, rng=0), nn.RNN(H, H, rng=1)
    a, _ = lower(normal(6, B, D))
    b, _ = upper(a)
    loss = ((a + b) ** 2).sum()
    one = timeline(loss, 0)
    errors = viz.local_errors(loss, 0, arrays=True)
    z = [one.at(step, "z") for step in one.steps]
    for k, g in enumerate(mg.grad(loss, z)):
        assert relative_error(errors.arrays.sum(axis=0)[k], g) < 1e-13
    for t in range(6):
        expected = mg.grad(((a[t] + b[t]) ** 2).sum(), z)
        for k in range(t + 1):
            assert relative_error(errors.arrays[t, k], expected[k]) < 1e-12


# ------------------------------------------------------------------------------------------------ several loops
def by_hand(cell: Any, xs: Any, h: Any) -> tuple[list[Any], list[dict[str, Tensor]]]:
    """A simple net without any steps in the graph, with a copy of the weights for every use."""
    hs, copies = [], []
    for x in xs:
        copies.append({name: Tensor(p.data.copy()) for name, p in cell.named_parameters()})
        h = mg.tanh(x @ copies[-1]["U"] + h @ copies[-1]["W"] + copies[-1]["b"])
        hs.append(h)
    return hs, copies


@pytest.mark.parametrize("order", [slice(None, None, -1), slice(None, None, 2), slice(1, 6, 3), slice(None)])
def test_a_use_is_at_the_step_that_reads_the_row_not_at_the_one_that_made_it(order: slice) -> None:
    low, high, xs = nn.RNN(D, H, rng=0), nn.RNN(H, K, rng=1), normal(8, B, D)
    a, _ = low(xs)
    _, h = high(a[order])
    own, copies = by_hand(high.cell, list(a.data[order]), np.zeros((B, K)))
    n = len(own)
    loss, truth = (h**2).sum(), (own[-1] ** 2).sum()
    by_lag = viz.shares(loss, dict(high.cell.named_parameters()), by="lag")
    by_step = viz.shares(loss, dict(high.cell.named_parameters()))
    for name, found in by_lag.items():
        assert not found.rest.any()
        assert not found.arrays[n:].any()
        first = by_step[name].keys.index(by_step[name].keys[-1]) - n + 1  # the upper net's own first step
        for j, copy in enumerate(copies):
            expected = mg.grad(truth, copy[name])
            assert np.abs(found.arrays[found.keys.index(n - 1 - j)] - expected).max() < 1e-13
            assert np.abs(by_step[name].arrays[first + j] - expected).max() < 1e-13


def test_a_row_that_two_steps_read_is_kept_in_the_rest() -> None:
    """Every step reads its row and the next; U is used once for each row."""
    U, W, xs = Tensor(normal(D, H)), Tensor(normal(H, H, seed=1) / 3), nn.RNN(D, D, rng=0)(normal(5, B, D))[0]
    projected, h = xs @ U, np.zeros((B, H))
    for t in range(4):
        with scope("mine", step=t):
            h = mg.tanh(projected[t] + projected[t + 1] + h @ W)
    loss = (h**2).sum()
    found = viz.shares(loss, {"U": U})["U"]
    assert relative_error(found.total, mg.grad(loss, U)) < 1e-12
    whole = mg.grad(loss, projected)
    assert relative_error(found.rest, sum(xs.data[t].T @ whole[t] for t in (1, 2, 3))) < 1e-12


def test_a_net_called_again_with_the_state_it_handed_on_is_the_net_called_once() -> None:
    for kind in (nn.RNN(D, H, rng=0), nn.GRU(D, H, num_layers=2, rng=0)):
        xs = normal(8, B, D)
        once, _ = kind(xs)
        first, state = kind(xs[:4])
        second, _ = kind(xs[4:], state)
        whole, parts = (once**2).sum(), (first**2).sum() + (second**2).sum()
        parameters = dict(kind.named_parameters())
        for measure in (viz.shares, partial(viz.shares, by="lag")):
            expected, found = measure(whole, parameters), measure(parts, parameters)
            for name in parameters:
                assert found[name].keys == expected[name].keys == tuple(range(8))
                np.testing.assert_allclose(found[name].arrays, expected[name].arrays, rtol=1e-10, atol=1e-14)
        together, last = viz.local_errors(whole, at="h"), viz.local_errors(parts, at="h")
        assert last.steps == tuple(range(4, 8))
        np.testing.assert_allclose(last.norms, together.norms[:, 4:], rtol=1e-12)


@pytest.mark.parametrize(("T", "S"), [(5, 3), (3, 5), (2, 2), (2, 6)])
def test_lags_between_decoder_and_encoder_are_counted_in_the_order_of_execution(T: int, S: int) -> None:
    ahead, behind = nn.RNN(D, H, rng=0), nn.RNN(K, H, rng=1)
    xs, ys, weights = normal(T, B, D), normal(S, B, K, seed=1), normal(S, B, H, seed=2)
    hs, _ = behind(ys, ahead(xs)[1])
    loss = ((hs * weights) ** 2).sum()
    read, uses = by_hand(ahead.cell, list(xs), np.zeros((B, H)))
    written, _ = by_hand(behind.cell, list(ys), read[-1])
    losses = [((h * w) ** 2).sum() for h, w in zip(written, weights, strict=True)]
    errors = viz.local_errors(loss, layer=0, at="h", arrays=True)
    assert (errors.losses, errors.steps) == (tuple(range(T, T + S)), tuple(range(T)))
    by_lag = viz.shares(loss, {"W": ahead.cell.W}, by="lag")["W"]
    expected: dict[int, Any] = {}
    for s in range(S):
        for k, (h, use) in enumerate(zip(read, uses, strict=True)):
            assert relative_error(errors.arrays[s, k], mg.grad(losses[s], h)) < 1e-11
            expected[T + s - k] = expected.get(T + s - k, 0) + mg.grad(losses[s], use["W"])
    for lag, share in expected.items():
        assert np.abs(by_lag.arrays[by_lag.keys.index(lag)] - share).max() < 1e-13
    assert sorted(errors.by_lag()) == sorted(expected)


def test_layers_side_by_side_share_their_steps_and_all_that_comes_behind_is_counted_on() -> None:
    def shifts(root: Any) -> list[int]:
        return Places(root).shifts

    xs = normal(5, B, D)
    deep, both = nn.LSTM(D, H, num_layers=3, rng=0), nn.RNN(D, H, num_layers=2, bidirectional=True, rng=0)
    assert shifts((deep(xs)[0] ** 2).sum()) == [0, 0, 0]
    assert shifts((both(xs, lengths=[5, 2])[0] ** 2).sum()) == [0, 0, 0, 0]
    _, state = deep(xs)
    assert shifts((nn.LSTM(D, H, num_layers=3, rng=1)(normal(2, B, D), state)[0] ** 2).sum()) == [0, 0, 0, 5, 5, 5]
    _, (_, (ahead, back)) = both(xs)
    assert shifts((nn.RNN(D, 2 * H, rng=1)(normal(2, B, D), mg.concat([ahead, back], axis=-1))[0] ** 2).sum())[-1] == 5
    keys, h = nn.RNN(D, H, rng=0)(xs)[0], np.zeros((B, H))
    for t in range(3):  # attention alone
        with scope("reader", step=t):
            h = mg.tanh((keys * mg.softmax((keys * h).sum(axis=-1, keepdims=True), axis=0)).sum(axis=0) + h)
    assert shifts((h**2).sum()) == [0, 5]


@pytest.mark.parametrize("name", ["rnn", "lstm"])
def test_the_last_state_is_one_loss_however_it_is_read(name: str) -> None:
    hs, state = NETS[name]()(normal(5, B, D))
    h = state[0] if name == "lstm" else state
    row, last = (viz.local_errors(x, at="h") for x in ((hs[-1] ** 2).sum(), (h**2).sum()))
    assert row.losses == last.losses == (4,)
    np.testing.assert_array_equal(row.norms, last.norms)
    assert row.by_lag() == last.by_lag()
    assert row.reached.all()


def test_shares_of_weights_that_a_checkpoint_hides_are_refused_and_of_others_not() -> None:
    low, high, xs = nn.RNNCell(D, H, rng=0), nn.RNN(H, K, rng=1), normal(9, B, D)
    hidden, _ = nn.unroll(low, xs, checkpoint=True)
    seen, _ = nn.unroll(low, xs)
    loss, plain = ((high(a)[1] ** 2).sum() for a in (hidden, seen))
    for measure in (viz.shares, partial(viz.shares, by="lag")):
        with pytest.raises(ValueError, match="a checkpoint hides the steps inside it"):
            measure(loss, {"W": low.W})
        found, expected = (measure(x, {"W": high.cell.W})["W"] for x in (loss, plain))
        np.testing.assert_allclose(found.arrays, expected.arrays, rtol=1e-12)


def test_one_loss_behind_a_checkpoint_is_not_taken_apart() -> None:
    low, high = nn.RNN(D, H, rng=0), nn.RNNCell(H, K, rng=1)
    a, _ = low(normal(5, B, D))
    b, _ = nn.unroll(high, a, checkpoint=2)
    plain, _ = nn.unroll(high, a)
    with pytest.raises(ValueError, match=r"a checkpoint behind the recurrence.*one by one"):
        viz.local_errors((b**2).sum())
    given = viz.local_errors([(b[t] ** 2).sum() for t in range(5)])
    expected = viz.local_errors([(plain[t] ** 2).sum() for t in range(5)], layer=0)
    np.testing.assert_allclose(given.norms, expected.norms, rtol=1e-12)


# ------------------------------------------------------------------------------------------------ cancellation
def test_what_shares_say_of_cancellation() -> None:
    arrays = np.array([[3.0, 0.0], [0.0, 4.0], [-3.0, 0.0]])
    found = blame.Shares("w", "lag", (0, 1, 2), arrays, np.zeros(2))
    assert found.total.tolist() == [0, 4]
    assert found.norms.tolist() == [3, 4, 3]
    assert found.cancellation() == 0.4
    assert found.along().tolist() == [0, 4, 0]
    assert found.growing().tolist() == [3, 5, 4]
    assert found.records()[1] == {"parameter": "w", "lag": 1, "norm": 4.0, "along": 4.0}
    nothing = blame.Shares("w", "step", (0,), np.zeros((1, 2)), np.zeros(2))
    assert (nothing.cancellation(), nothing.along().tolist()) == (1.0, [0.0])
    against = blame.Shares("w", "step", (0, 1), np.array([[1.0], [-1.0]]), np.zeros(1))
    assert against.cancellation() == 0


def test_signed_shares_and_the_rest_add_up_to_the_norm_of_the_gradient() -> None:
    tagged = Tagged(nn.LSTM(D, H, rng=0))
    for found in viz.shares(tagged.loss).values():
        assert found.along().sum() == pytest.approx(np.linalg.norm(found.total), rel=1e-12)
        assert found.growing()[-1] == pytest.approx(np.linalg.norm(found.total), rel=1e-12)
        assert 0 < found.cancellation() < 1


def test_no_grad_is_touched_and_no_grad_does_not_matter() -> None:
    tagged = Tagged(nn.RNN(D, H, rng=0))
    with mg.no_grad():
        errors = viz.local_errors(tagged.loss)
        by_lag = viz.shares(tagged.losses, by="lag")
    assert errors.norms[5, 0] > 0
    assert by_lag["W"].norms[0] > 0
    assert all(p.grad is None for p in tagged.parameters.values())


def test_where_steps_are_mixed_before_a_layer_that_reads_on_the_user_is_told() -> None:
    hs, _ = nn.RNN(D, H, rng=0)(normal(5, B, D))
    mixed = hs - hs.mean(axis=0, keepdims=True)
    top, _ = nn.RNN(H, H, rng=1)(mixed)
    loss = (top**2).sum() + (mixed**2).sum()
    with pytest.raises(ValueError, match=r"mixes several time steps.*one by one"):
        viz.local_errors(loss)


def test_a_state_that_the_loss_does_not_read_at_the_last_step_is_not_to_blame_there() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    _, (_, c) = nn.unroll(cell, normal(5, B, D))
    loss = (c * normal(B, H, seed=1)).sum()
    errors = viz.local_errors(loss, arrays=True)
    assert (errors.symbol, errors.steps, errors.losses) == ("h", (0, 1, 2, 3, 4), (4,))
    assert errors.reached.tolist() == [[True, True, True, True, False]]
    flow = viz.gradient_flow(loss)
    np.testing.assert_allclose(errors.norms[0, :4][::-1], flow.profile("h").norms, rtol=1e-12)
    assert flow.profile("h").lags == (1, 2, 3, 4)
    assert flow.state_names() == ["c", "h"]
    assert flow.horizon("h") is None  # there is no lag 0
    assert (errors.norms[0, 4], errors.arrays is not None and errors.arrays[0, 4].any()) == (0.0, False)


# ------------------------------------------------------------------------------------------------ inputs are no weights
def input_forms() -> dict[str, Any]:
    """An input of T steps, in forms in which it comes, each with the rows that the steps read."""
    rng = np.random.default_rng(0)
    whole, first = Tensor(rng.standard_normal((4, 2, 3))), Tensor(rng.standard_normal((2, 4, 3)))
    apart, one = [Tensor(rng.standard_normal((2, 3))) for _ in range(4)], Tensor(rng.standard_normal((2, 3)))
    return {"cut in the step": lambda: [lambda t=t: whole[t] for t in range(4)],
            "cut before": lambda: [lambda x=whole[t]: x for t in range(4)],
            "batch first": lambda: [lambda t=t: first[:, t] for t in range(4)],
            "one by one": lambda: [lambda t=t: apart[t] for t in range(4)],
            "stacked": lambda: (lambda xs: [lambda t=t: xs[t] for t in range(4)])(mg.stack(apart)),
            "scaled": lambda: (lambda xs: [lambda t=t: xs[t] / 3 for t in range(4)])(whole * 0.5),
            "the same at every step": lambda: [lambda: one] * 4}


@pytest.mark.parametrize("made", [Tensor, nn.Parameter])
@pytest.mark.parametrize("form", input_forms())
@pytest.mark.parametrize("written", ["in the step", "before the loop", "concatenated", "elementwise"])
def test_an_input_is_no_weight_however_it_is_read(form: str, written: str, made: Any) -> None:
    rng, rows = np.random.default_rng(1), input_forms()[form]()
    U, W, h = made(rng.standard_normal((3, 3))), made(rng.standard_normal((6, 3))), Tensor(np.ones((2, 3)))
    products = [row() @ U for row in rows] if written == "before the loop" else []
    for t, row in enumerate(rows):
        with scope(step=t):
            if written == "concatenated":
                h = mg.tanh(mg.concat([h, row()], axis=1) @ W) * mg.tanh(row() @ U)
            elif written == "elementwise" and form != "the same at every step":
                h = mg.tanh(row() * 0.3 + h @ U.T + h @ W[:3])
            else:
                h = mg.tanh((products[t] if products else row() @ U) + h @ W[:3])
    found = viz.shares((h * h).sum())
    assert sorted(found) == ["W1", "W2"]
    for name, share in found.items():
        w = {3: U, 6: W}[share.total.shape[0]]
        assert relative_error(share.total, mg.grad((h * h).sum(), w)) < 1e-12, name
    assert not any(word.startswith("W3") for word in words(viz.draw_unrolled(h.sum())))


def test_weights_that_look_like_inputs_are_weights() -> None:
    rng = np.random.default_rng(0)

    def leaf(*shape: int) -> Tensor:
        return Tensor(rng.standard_normal(shape))

    gates, table, own, U, h = leaf(2, 3, 3), leaf(7, 4), leaf(4, 3, 3), leaf(4, 3), Tensor(np.ones((2, 3)))
    for t in range(4):
        with scope(step=t):  # slices that are the same at every step; rows looked up; a matrix for each step
            h = mg.tanh(h @ gates[0]) * mg.tanh(h @ gates[1]) + table[np.array([t, t + 1])] @ U + h @ own[t]
    assert {x.total.shape for x in viz.shares(h.sum()).values()} == {(2, 3, 3), (7, 4), (4, 3, 3), (4, 3)}
    A, B, xs, s = leaf(3, 2), leaf(3, 3), leaf(4, 2), Tensor(np.ones(3))
    for t in range(4):
        with scope(step=t):  # columns: the weights stand on the left
            s = mg.tanh(A @ xs[t] + B @ s)
    assert {x.total.shape for x in viz.shares(s.sum()).values()} == {(3, 2), (3, 3)}


def test_shares_are_by_step_or_by_lag() -> None:
    loss = (nn.RNN(3, 4, rng=0)(np.ones((4, 2, 3)))[0] ** 2).sum()
    assert (viz.shares(loss)["W"].by, viz.shares(loss, by="lag")["W"].by) == ("step", "lag")
    with pytest.raises(ValueError, match="shares: by is 'step' or 'lag', got 'loss'"):
        viz.shares(loss, by="loss")
