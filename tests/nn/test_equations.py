"""The equations, written out once more by hand in plain NumPy, against the engine.

Two independent routes: the closed forms of back-propagation through time for the simple net, and complex steps
through a forward pass that shares no code with the library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.numerics import assert_same, complex_step, relative_error

T, B, D, H, K = 6, 3, 4, 5, 7


def sigma(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def blocks(a: np.ndarray) -> list[np.ndarray]:
    return np.split(a, a.shape[-1] // H, axis=-1)


def rnn_step(x: Any, s: Any, U: Any, W: Any, b: Any) -> Any:
    return (np.tanh(x @ U + s[0] @ W + b),)


def lstm_step(x: Any, s: Any, U: Any, W: Any, b: Any) -> Any:
    h, c = s
    (U_i, U_f, U_g, U_o), (W_i, W_f, W_g, W_o), (b_i, b_f, b_g, b_o) = blocks(U), blocks(W), blocks(b)
    f = sigma(x @ U_f + h @ W_f + b_f)
    i = sigma(x @ U_i + h @ W_i + b_i)
    o = sigma(x @ U_o + h @ W_o + b_o)
    g = np.tanh(x @ U_g + h @ W_g + b_g)
    c = f * c + i * g
    return o * np.tanh(c), c


def gru_before_step(x: Any, s: Any, U: Any, W: Any, b: Any) -> Any:
    (h,) = s
    (U_r, U_z, U_n), (W_r, W_z, W_n), (b_r, b_z, b_n) = blocks(U), blocks(W), blocks(b)
    z = sigma(x @ U_z + h @ W_z + b_z)
    r = sigma(x @ U_r + h @ W_r + b_r)
    n = np.tanh(x @ U_n + (r * h) @ W_n + b_n)
    return (z * h + (1 - z) * n,)


def gru_after_step(x: Any, s: Any, U: Any, W: Any, b: Any, b_hn: Any) -> Any:
    (h,) = s
    (U_r, U_z, U_n), (W_r, W_z, W_n), (b_r, b_z, b_n) = blocks(U), blocks(W), blocks(b)
    z = sigma(x @ U_z + h @ W_z + b_z)
    r = sigma(x @ U_r + h @ W_r + b_r)
    n = np.tanh(x @ U_n + b_n + r * (h @ W_n + b_hn))
    return (z * h + (1 - z) * n,)


CELLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "rnn": (lambda: nn.RNN(D, H, rng=0), rnn_step),
    "lstm": (lambda: nn.LSTM(D, H, rng=0), lstm_step),
    "gru, reset before": (lambda: nn.GRU(D, H, reset="before", rng=0), gru_before_step),
    "gru, reset after": (lambda: nn.GRU(D, H, reset="after", rng=0), gru_after_step),
}


@pytest.mark.parametrize("name", CELLS)
def test_layer_equals_its_equations_to_the_last_digits(name: str) -> None:
    make, step = CELLS[name]
    layer = make()
    rng = np.random.default_rng(1)
    parts = 2 if name == "lstm" else 1
    xs, initial = rng.standard_normal((T, B, D)), [rng.standard_normal((B, H)) for _ in range(parts)]
    weights = rng.standard_normal((T, B, H))

    x, state = Tensor(xs), [Tensor(s) for s in initial]
    hs, last = layer(x, tuple(state) if parts == 2 else state[0])
    loss = (hs * weights).sum() + ((last[1] ** 3).sum() if parts == 2 else 0.0)
    loss.backward()
    parameters = layer.parameters()

    def by_hand(xs: Any, *rest: Any) -> Any:
        s, theta, total = tuple(rest[:parts]), rest[parts:], 0.0
        for t in range(T):
            s = step(xs[t], s, *theta)
            total = total + (s[0] * weights[t]).sum()
        return total + ((s[1] ** 3).sum() if parts == 2 else 0.0)

    arrays = [xs, *initial, *[p.data for p in parameters]]
    assert float(loss.data) == pytest.approx(by_hand(*arrays), rel=1e-13)
    for node, expected in zip([x, *state, *parameters], complex_step(by_hand, arrays), strict=True):
        assert relative_error(node.grad, expected) < 1e-12


@pytest.fixture
def net() -> dict[str, Any]:
    """A simple net with an output and a loss at every step, run by the engine."""
    rng = np.random.default_rng(3)
    cell, read_out = nn.RNNCell(D, H, rng=1), nn.Linear(H, K, rng=2)
    x, h0 = rng.standard_normal((T, B, D)), rng.standard_normal((B, H))
    y = rng.integers(0, K, (T, B))
    states: list[Any] = [h0]
    losses = []
    for t in range(T):
        states.append(cell(x[t], states[-1]))
        losses.append(nn.cross_entropy(read_out(states[-1]), y[t], reduction="sum"))
    h = np.stack([h0, *[s.data for s in states[1:]]])  # h[t] is the state after step t, h[0] the first
    o = h[1:] @ read_out.V.data + read_out.d.data
    p = np.exp(o) / np.exp(o).sum(-1, keepdims=True)
    return {"cell": cell, "read_out": read_out, "x": x, "h": h, "states": states, "losses": losses,
            "blame": p - np.eye(K)[y]}


def total(losses: list[Any]) -> Any:
    return sum(losses[1:], start=losses[0])


def gradients_of_states(net: dict[str, Any]) -> np.ndarray:
    """dL/dh_t from dL/dh_{t+1}: the recursion of back-propagation through time."""
    V, W, h = net["read_out"].V.data, net["cell"].W.data, net["h"]
    dh = np.zeros((T, B, H))
    dh[-1] = net["blame"][-1] @ V.T
    for t in reversed(range(T - 1)):
        dh[t] = net["blame"][t] @ V.T + (dh[t + 1] * (1 - h[t + 2] ** 2)) @ W.T
    return dh


def test_gradients_of_the_output_layer_are_sums_of_prediction_minus_target(net: dict[str, Any]) -> None:
    g_V, g_d = mg.grad(total(net["losses"]), [net["read_out"].V, net["read_out"].d])
    assert_same(g_V, sum(net["h"][t + 1].T @ net["blame"][t] for t in range(T)), rel=1e-13)
    assert_same(g_d, net["blame"].sum((0, 1)), rel=1e-13)


def test_gradients_of_hidden_states_obey_the_recursion(net: dict[str, Any]) -> None:
    ours = mg.grad(total(net["losses"]), net["states"][1:])
    for t, expected in enumerate(gradients_of_states(net)):
        assert_same(ours[t], expected, rel=1e-13)


def test_shared_weight_gradient_is_the_sum_over_time_steps(net: dict[str, Any]) -> None:
    cell, h = net["cell"], net["h"]
    eps = gradients_of_states(net) * (1 - h[1:] ** 2)
    g_U, g_W, g_b = mg.grad(total(net["losses"]), [cell.U, cell.W, cell.b])
    assert_same(g_W, sum(h[t].T @ eps[t] for t in range(T)), rel=1e-13)
    assert_same(g_U, sum(net["x"][t].T @ eps[t] for t in range(T)), rel=1e-13)
    assert_same(g_b, eps.sum((0, 1)), rel=1e-13)


def test_local_errors_add_up_to_the_gradient_of_the_recurrent_matrix(net: dict[str, Any]) -> None:
    """delta_{t,k}: how much the loss at t blames step k. One double sum over t and k <= t."""
    cell, h, V = net["cell"], net["h"], net["read_out"].V.data
    slope = 1 - h[1:] ** 2
    g_W = np.zeros((H, H))
    for t in range(T):
        delta = (net["blame"][t] @ V.T) * slope[t]
        share = np.zeros((H, H))
        for k in reversed(range(t + 1)):
            share += h[k].T @ delta
            delta = (delta @ cell.W.data.T) * slope[k - 1]
        assert_same(mg.grad(net["losses"][t], cell.W), share, rel=1e-13)
        g_W += share
    assert_same(mg.grad(total(net["losses"]), cell.W), g_W, rel=1e-13)


def test_the_step_jacobian_is_w_times_the_slopes(net: dict[str, Any]) -> None:
    t, W = 3, net["cell"].W.data
    before, after = net["states"][t], net["states"][t + 1]
    for k in range(H):
        seed = np.zeros((B, H))
        seed[:, k] = 1.0
        expected = (seed * (1 - after.data**2)) @ W.T
        assert_same(mg.grad(after, before, seed=seed), expected, rel=1e-14)


def test_along_the_cell_path_alone_an_lstm_transports_by_its_forget_gate() -> None:
    """The message c_t sends to c_{t-1} is the gradient at c_t times f_t, elementwise."""
    rng = np.random.default_rng(0)
    hs, _ = nn.LSTM(D, H, rng=0)(rng.standard_normal((T, B, D)))
    messages: list[Any] = []
    gradients = {}
    loss = (hs * rng.standard_normal((T, B, H))).sum()
    mg.backward(loss, observe=lambda node, k, x, g: messages.append((node, x, np.asarray(g))))
    for _, x, g in messages:
        gradients[x] = gradients.get(x, 0.0) + g
    seen = 0
    for node, x, g in messages:
        if node.op.name == "multiply" and x.role == "cell":
            [forget] = [a for a in node.inputs if a is not x]
            [consumer] = [n for n, a, _ in messages if a is node]
            assert forget.symbol == "f"
            assert_same(g, gradients[consumer] * forget.data, rel=1e-14)
            seen += 1
    assert seen == T - 1


def test_limits_of_the_gru() -> None:
    """z = 1 copies the state; z = 0, r = 1 is the simple net; z = 0, r = 0 forgets the history."""
    rng = np.random.default_rng(0)
    x, h = rng.standard_normal((B, D)), rng.standard_normal((B, H))
    cell = nn.GRUCell(D, H, rng=0)
    U_n, W_n, b_n = (a.data[..., 2 * H :] for a in (cell.U, cell.W, cell.b))

    def with_gates(r: float, z: float) -> np.ndarray:
        b = np.array(cell.b.data)
        b[:H], b[H : 2 * H] = (100 if r else -100), (100 if z else -100)
        cell.b.data = b
        return np.asarray(cell(Tensor(x), h).data)

    assert_same(with_gates(1, 1), h)
    assert_same(with_gates(1, 0), np.tanh(x @ U_n + h @ W_n + b_n))
    assert_same(with_gates(0, 0), np.tanh(x @ U_n + b_n))
