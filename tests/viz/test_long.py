"""Two hundred steps of an LSTM and a GRU, every number worked out again in plain NumPy from the equations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, nn

T, B, D, H = 200, 2, 3, 5
RNG = np.random.default_rng(0)
XS, H0, C0 = RNG.standard_normal((T, B, D)), 0.3 * RNG.standard_normal((B, H)), 0.3 * RNG.standard_normal((B, H))
EVERY = RNG.standard_normal((T, B, H))
LAST = np.concatenate([np.zeros((T - 1, B, H)), EVERY[-1:]])


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def distance(found: Any, expected: Any) -> float:
    """‖found - expected‖ / ‖expected‖."""
    gap = float(np.linalg.norm(np.asarray(found) - expected))
    return gap / float(np.linalg.norm(expected)) if gap else 0.0


@dataclass
class ByHand:
    """An LSTM forwards and backwards, for the loss Σ_t ⟨weights_t, h_t⟩."""

    U: np.ndarray
    W: np.ndarray
    b: np.ndarray
    weights: np.ndarray
    hs: list[np.ndarray] = field(default_factory=lambda: [H0])
    cs: list[np.ndarray] = field(default_factory=lambda: [C0])
    gates: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    at_h: dict[int, np.ndarray] = field(default_factory=dict)  # ∂L/∂h_t; the initial state is that of step -1
    at_c: dict[int, np.ndarray] = field(default_factory=dict)
    parts: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)  # of ∂L/∂c_t, by the way of the last step
    shares: dict[str, list[np.ndarray]] = field(default_factory=lambda: {"U": [], "W": [], "b": []})

    def __post_init__(self) -> None:
        for x in XS:
            i, f, g, o = np.split(x @ self.U + self.hs[-1] @ self.W + self.b, 4, axis=1)
            i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
            self.cs.append(f * self.cs[-1] + i * g)
            self.hs.append(o * np.tanh(self.cs[-1]))
            self.gates.append((i, f, g, o))
        back = {"carry": np.zeros((B, H))} | {way: np.zeros((B, H)) for way in "ifgo"}  # from step t + 1
        for t in reversed(range(T)):
            (i, f, g, o), c, old = self.gates[t], np.tanh(self.cs[t + 1]), self.cs[t]
            into_h = {"straight": self.weights[t], **{way: back[way] for way in "ifgo"}}
            self.at_h[t] = sum(into_h.values(), np.zeros((B, H)))
            through = o * (1 - c * c)
            self.parts[t] = {"carry": back["carry"], **{way: part * through for way, part in into_h.items()}}
            self.at_c[t] = sum(self.parts[t].values(), np.zeros((B, H)))
            dc = self.at_c[t]
            dz = [dc * g * i * (1 - i), dc * old * f * (1 - f), dc * i * (1 - g * g), self.at_h[t] * c * o * (1 - o)]
            together = np.concatenate(dz, axis=1)
            for name, share in (("U", XS[t].T @ together), ("W", self.hs[t].T @ together), ("b", together.sum(axis=0))):
                self.shares[name].insert(0, share)
            back = {way: z @ W.T for way, z, W in zip("ifgo", dz, np.split(self.W, 4, axis=1), strict=True)}
            back["carry"] = dc * f
        self.parts[-1], self.at_c[-1] = {"carry": back.pop("carry")}, dc * f
        self.at_h[-1] = sum(back.values(), np.zeros((B, H)))

    def jacobian(self, t: int, row: int) -> np.ndarray:
        """∂(h_t, c_t) / ∂(h_{t-1}, c_{t-1}) of one sequence."""
        i, f, g, o = (gate[row] for gate in self.gates[t])
        c, old = np.tanh(self.cs[t + 1][row]), self.cs[t][row]
        W_i, W_f, W_g, W_o = np.split(self.W, 4, axis=1)
        from_h = W_i * (g * i * (1 - i)) + W_f * (old * f * (1 - f)) + W_g * (i * (1 - g * g))
        to_c = np.concatenate([from_h, np.diag(f)])
        to_h = to_c * (o * (1 - c * c)) + np.concatenate([W_o * (c * o * (1 - o)), np.zeros((H, H))])
        return np.concatenate([to_h, to_c], axis=1)


@pytest.fixture(scope="module", params=["the last loss", "every loss"])
def lstm(request: Any) -> tuple[Any, Any, ByHand]:
    cell = nn.LSTMCell(D, H, rng=0)
    cell.U.data, cell.W.data = 1.5 * cell.U.data, 1.5 * cell.W.data
    hs, (_, c) = nn.unroll(cell, XS, (Tensor(H0), Tensor(C0)))
    weights = EVERY if request.param == "every loss" else LAST
    return (hs * weights).sum() + 0.0 * c.sum(), cell, ByHand(cell.U.data, cell.W.data, cell.b.data, weights)


def test_profiles_of_an_lstm(lstm: tuple[Any, Any, ByHand]) -> None:
    loss, _, by_hand = lstm
    flow = viz.gradient_flow(loss)
    for state, gradients in (("c", by_hand.at_c), ("h", by_hand.at_h)):
        profile = flow.profile(state)
        assert profile.lags == tuple(range(T))
        for step, size in zip(profile.steps, profile.norms, strict=True):
            assert size == pytest.approx(float(np.linalg.norm(gradients[step])), rel=1e-10)


def test_ways_of_an_lstm_step_by_step(lstm: tuple[Any, Any, ByHand]) -> None:
    loss, _, by_hand = lstm
    found = viz.ways(loss, "c", by="last")
    assert found.steps == tuple(range(T - 1, -2, -1))
    for j, step in enumerate(found.steps):
        size = np.linalg.norm(by_hand.at_c[step])
        for way, parts in found.parts.items():
            assert np.linalg.norm(parts[j] - by_hand.parts[step].get(way, 0.0)) <= 1e-10 * size
    for by in ("first", "last", "set", "number"):
        assert viz.ways(loss, "c", by=by).check() < 1e-10


def test_shares_of_an_lstm(lstm: tuple[Any, Any, ByHand]) -> None:
    loss, cell, by_hand = lstm
    for name, share in viz.shares(loss, dict(cell.named_parameters())).items():
        assert not share.rest.any()
        assert max(map(distance, share.arrays, by_hand.shares[name])) < 1e-10


@pytest.mark.parametrize("row", range(B))
def test_jacobians_and_transport_of_an_lstm(lstm: tuple[Any, Any, ByHand], row: int) -> None:
    loss, _, by_hand = lstm
    found = viz.step_jacobians(loss, batch=row)
    assert (found.states, found.steps) == (("h", "c"), tuple(range(T)))
    product, log, transport = np.eye(2 * H), 0.0, [0.0]
    for step in reversed(range(T)):
        J = by_hand.jacobian(step, row)
        assert distance(found.arrays[step], J) < 1e-10
        product = J @ product
        size = float(np.linalg.norm(product, 2))
        product, log = product / size, log + np.log10(size)
        transport.append(log)
    np.testing.assert_allclose(found.transport(), transport, atol=1e-10)


def test_the_carry_alone_of_an_lstm_is_the_product_of_its_forget_gates(lstm: tuple[Any, Any, ByHand]) -> None:
    _, cell, by_hand = lstm
    _, (_, c) = nn.unroll(cell, XS, (Tensor(H0), Tensor(C0)))
    expected, found = EVERY[0], viz.ways(c, "c", seed=EVERY[0])
    for part, step in zip(found.parts["carry"], found.steps, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-12)
        expected = expected * by_hand.gates[step][1] if step >= 0 else expected


@pytest.mark.parametrize("reset", ["before", "after"])
def test_the_carry_alone_of_a_gru_is_the_product_of_z(reset: Any) -> None:
    cell = nn.GRUCell(D, H, reset=reset, rng=0)
    cell.b.data = np.random.default_rng(1).standard_normal(3 * H)
    _, h = nn.unroll(cell, XS, Tensor(H0))
    old, zs = H0, []
    for x in XS:
        r, z = (sigmoid(x @ U + old @ W + b) for U, W, b in zip(
            *(np.split(p.data, 3, axis=-1)[:2] for p in (cell.U, cell.W, cell.b)), strict=True))
        U, W, b = (np.split(p.data, 3, axis=-1)[2] for p in (cell.U, cell.W, cell.b))
        n = np.tanh(x @ U + b + ((r * old) @ W if reset == "before" else r * (old @ W + cell.b_n.data)))
        old = z * old + (1 - z) * n
        zs.append(z)
    np.testing.assert_allclose(h.data, old, rtol=1e-10)
    expected, found = EVERY[0], viz.ways(h, seed=EVERY[0])
    for part, step in zip(found.parts["carry"], found.steps, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-12)
        expected = expected * zs[step] if step >= 0 else expected
    assert found.check() < 1e-10
