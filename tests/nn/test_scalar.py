"""Nets of single numbers: micrograd's demo, and cells of one unit against the cells of arrays."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Value, nn
from microgradrnn.nn import scalar


def moons(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles that reach into each other, with labels -1 and 1."""
    angle = np.linspace(0, np.pi, n // 2)
    outer, inner = np.c_[np.cos(angle), np.sin(angle)], np.c_[1 - np.cos(angle), 0.5 - np.sin(angle)]
    noise = np.random.default_rng(1).normal(scale=0.1, size=(n, 2))
    return np.concatenate([outer, inner]) + noise, np.repeat([-1, 1], n // 2)


def demo(value: Any, mlp: Any, steps: int) -> tuple[list[float], list[float], Any]:
    """micrograd's moons demo, with Value and MLP as they are imported."""
    np.random.seed(1337)
    random.seed(1337)
    X, y = moons(100)
    model = mlp(2, [16, 16, 1])

    def loss() -> Any:
        inputs = [list(map(value, xrow)) for xrow in X]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        alpha = 1e-4
        reg_loss = alpha * sum(p * p for p in model.parameters())
        total_loss = data_loss + reg_loss
        accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(y, scores, strict=True)]
        return total_loss, sum(accuracy) / len(accuracy)

    losses, accuracies = [], []
    for k in range(steps):
        total_loss, acc = loss()
        model.zero_grad()
        total_loss.backward()
        learning_rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= learning_rate * p.grad
        losses.append(total_loss.data)
        accuracies.append(acc)
    return losses, accuracies, model


def test_micrograds_moons_demo_runs_with_only_the_imports_changed() -> None:
    micrograd = pytest.importorskip("micrograd.engine")
    theirs = pytest.importorskip("micrograd.nn")
    losses, accuracies, model = demo(Value, scalar.MLP, 6)
    expected, expected_accuracies, peer = demo(micrograd.Value, theirs.MLP, 6)
    assert losses == pytest.approx(expected, rel=1e-9)
    assert accuracies == expected_accuracies
    assert [p.data for p in model.parameters()] == pytest.approx([p.data for p in peer.parameters()], rel=1e-8)
    assert repr(model) == repr(peer)
    assert len(model.parameters()) == len(peer.parameters()) == 337


def test_it_learns_and_zero_grad_forgets() -> None:
    losses, _, model = demo(Value, scalar.MLP, 12)
    assert losses[-1] < 0.5 * losses[0]
    model.zero_grad()
    assert all(p.grad == 0 for p in model.parameters())


def numbers(cell: Any, gates: str, array_cell: Any) -> None:
    """Give the cell of arrays the weights of the neuron."""
    inputs = [getattr(cell, f"z_{gate}") if len(gates) > 1 else cell.z for gate in gates]
    array_cell.U.data = np.array([[u.data for u in z.u] for z in inputs]).T
    array_cell.W.data = np.array([[z.w.data for z in inputs]])
    array_cell.b.data = np.array([z.b.data for z in inputs])


@pytest.mark.parametrize(
    ("neuron", "gates", "cell"),
    [(scalar.RNNNeuron, "h", nn.RNNCell), (scalar.LSTMNeuron, "ifgo", nn.LSTMCell),
     (scalar.GRUNeuron, "rzn", nn.GRUCell)],
    ids=["rnn", "lstm", "gru"],
)  # fmt: skip
def test_a_recurrent_neuron_is_the_cell_of_one_unit(neuron: Any, gates: str, cell: Any) -> None:
    random.seed(0)
    ours, arrays = neuron(2), cell(2, 1)
    numbers(ours, gates, arrays)
    xs = np.random.default_rng(0).standard_normal((5, 1, 2))
    hs, state = nn.unroll(ours, xs[:, 0].tolist())
    outputs, _ = nn.unroll(arrays, xs)
    assert [h.data for h in hs] == pytest.approx(outputs.data[:, 0, 0], rel=1e-13)
    last = state[0] if isinstance(state, tuple) else state
    assert last is hs[-1]
    hs[-1].backward()
    outputs[-1].sum().backward()
    inputs = [getattr(ours, f"z_{gate}") if len(gates) > 1 else ours.z for gate in gates]
    assert [z.w.grad for z in inputs] == pytest.approx(arrays.W.grad[0], rel=1e-12)
    assert [z.b.grad for z in inputs] == pytest.approx(arrays.b.grad, rel=1e-12)
    assert [[u.grad for u in z.u] for z in inputs] == [pytest.approx(row, rel=1e-12) for row in arrays.U.grad.T]
    with pytest.raises(ValueError, match="reads 2 numbers a step, got 3"):
        ours([1.0, 2.0, 3.0], state)


@pytest.mark.parametrize("neuron", [scalar.RNNNeuron, scalar.LSTMNeuron, scalar.GRUNeuron])
def test_a_recurrent_neuron_makes_a_small_picture(neuron: Any) -> None:
    random.seed(0)
    hs, _ = nn.unroll(neuron(2), [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert [h.scope.step for h in hs] == [0, 1, 2]
    flow = viz.gradient_flow(hs[-1])
    assert viz.draw_unrolled(hs[-1], flow=flow).svg.startswith("<svg")
    assert "u_" in viz.draw_graph(hs[-1]).source
