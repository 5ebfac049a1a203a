"""Compiled loops beside what else a program does with them: parts, hooks, updates, generators, checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, nn
from tests.numerics import assert_same

XS = np.random.default_rng(0).standard_normal((6, 2, 3))


def outcome(net: Any, compiled: Any) -> tuple[Any, Any, Any]:
    """The outputs, and the last state in parts."""
    hs, last = net(Tensor(XS), compiled=compiled)
    h, c = last if isinstance(last, tuple) else (last, None)
    return hs, h, c


@pytest.mark.parametrize("net", [nn.RNN(3, 4, rng=0), nn.LSTM(3, 4, rng=0)])
def test_the_outputs_depend_on_the_last_state_as_on_the_tape(net: Any) -> None:
    found = []
    for compiled in (False, "numpy"):
        hs, h, c = outcome(net, compiled)
        found.append(mg.grad((hs * hs).sum(), h if c is None else c))
    assert abs(found[0]).max() > 0
    assert_same(found[1], found[0])


def test_gradients_that_are_kept_and_hooks_are_those_of_the_tape() -> None:
    net, found = nn.LSTM(3, 4, rng=0), []
    for compiled in (False, "numpy"):
        hs, h, _ = outcome(net, compiled)
        h.retain_grad()
        hs.register_hook(lambda g: 2 * g)
        net.zero_grad()
        (hs.sum() + h.sum()).backward()
        found.append((h.grad, net.cell.W.grad))
    assert_same(found[1][0], found[0][0])
    assert_same(found[1][1], found[0][1])


def test_a_loop_is_unfolded_with_the_weights_that_it_ran_with() -> None:
    net, found = nn.GRU(3, 4, rng=0), []
    W = net.cell.W.data.copy()
    for compiled in (False, "numpy"):
        hs, _, _ = outcome(net, compiled)
        loss = (hs * hs).sum()
        net.cell.W.data = 0.5 * W
        found.append(viz.trace(loss))
        assert (net.cell.W.data == 0.5 * W).all()
        net.cell.W.data = W
    assert set(found[0]) == set(found[1])


def test_anomaly_mode_around_the_backward_pass_alone_looks_at_parts() -> None:
    hs, h, _ = outcome(nn.LSTM(3, 4, rng=0), "numpy")
    with mg.detect_anomaly():
        (hs.sum() + h.sum()).backward()


def test_an_observer_sees_as_many_messages_as_on_the_tape() -> None:
    counts = []
    for compiled in (False, "numpy"):
        seen: list[Any] = []
        hs, _, _ = outcome(nn.LSTM(3, 4, rng=0), compiled)
        mg.backward(hs.sum(), observe=lambda *message, seen=seen: seen.append(message))
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_a_trace_gives_generators_their_state_back_and_writes_to_no_list() -> None:
    rng, log = np.random.default_rng(0), []

    def cell(x: Any, h: Any) -> Any:
        log.append(h)
        return mg.tanh(x + h * (rng.random() < 0.5))

    hs, _ = nn.unroll(cell, XS, np.zeros((2, 3)), compiled="auto")
    again = np.random.default_rng(0)
    h: Any = np.zeros((2, 3))
    for x in XS:
        h = np.tanh(x + h * (again.random() < 0.5))
    assert_same(hs[-1] if isinstance(hs, np.ndarray) else hs.data[-1], h)
    assert rng.random() == again.random()
    assert len(log) == len(XS)
    assert all(type(h).__name__ != "Symbol" for h in log)
    assert "on the tape" in nn.explain(cell)


def test_a_checkpoint_runs_again_as_it_ran_first() -> None:
    cell = nn.RNNCell(3, 4, rng=0)
    with nn.compiling():
        loss = mg.checkpoint(lambda x: nn.unroll(cell, x)[0].sum(), Tensor(XS))
    loss.backward()
    found = cell.W.grad
    cell.zero_grad()
    nn.unroll(cell, Tensor(XS))[0].sum().backward()
    assert_same(found, cell.W.grad)


def test_a_cell_whose_setting_changes_is_told_so() -> None:
    class Leaky(nn.Module):
        def __init__(self) -> None:
            self.U, self.rate = nn.Parameter(np.ones((3, 4))), 1.0

        def __call__(self, x: Any, h: Any) -> Any:
            return (1 - self.rate) * h + self.rate * mg.tanh(x @ self.U)

    cell = Leaky()
    for k in range(5):
        cell.rate = 1 / (1 + k)
        nn.unroll(cell, XS, np.zeros((2, 4)), compiled="auto")
    assert "traced 5 times" in nn.explain(cell)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64])
def test_rows_may_be_named_by_small_integers(dtype: Any) -> None:
    table = Tensor(np.zeros((127, 3)))
    table[np.array([1, 2, 1], dtype)].sum().backward()
    np.testing.assert_array_equal(table.grad[:4, 0], [0, 2, 1, 0])
