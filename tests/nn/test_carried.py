"""A state, or anything else, that is carried over an update of the weights without `nn.detach`: the error names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, mark, nn, optim, scope

Run = Callable[[Callable[[Any], Any]], None]


def by_layer(make: Callable[[], Any], **options: Any) -> Run:
    """Two stretches of a layer; what is given does something to the state in between."""

    def run(between: Callable[[Any], Any]) -> None:
        net, state = make(), None
        sgd = optim.SGD(net.parameters(), lr=0.1)
        for _ in range(2):
            hs, state = net(np.ones((4, 2, 3)), between(state), **options)
            sgd.zero_grad()
            mg.square(hs).sum().backward()
            sgd.step()

    return run


def by_hand(make: Callable[[], Any], *, steps: bool) -> Run:
    """The same by a loop around a cell."""

    def run(between: Callable[[Any], Any]) -> None:
        cell = make()
        sgd, state = optim.SGD(cell.parameters(), lr=0.1), cell.initial_state(2)
        for _ in range(2):
            state = between(state)
            for t in range(3):
                with scope(step=t if steps else None):
                    state = cell(np.ones((2, 3)), state)
            sgd.zero_grad()
            mg.square(state[0] if isinstance(state, tuple) else state).sum().backward()
            sgd.step()

    return run


def by_values(between: Callable[[Any], Any]) -> None:
    """One neuron of Values."""
    w, u, h = Value(0.5), Value(0.3), Value(0.0, requires_grad=False)
    for _ in range(2):
        h = between(h)
        for t in range(3):
            with scope("neuron", step=t):
                h = mark((w * 1.0 + u * h).tanh(), "h", role="hidden")
        for p in (w, u):
            p.zero_grad()
        (h * h).backward()
        for p in (w, u):
            p.data -= 0.1 * p.grad


def unmarked(between: Callable[[Any], Any]) -> None:
    """A cell of one line that marks nothing."""
    W, h = Tensor(np.eye(3) / 2), Tensor(np.ones(3), requires_grad=False)
    for _ in range(2):
        h = between(h)
        for _ in range(3):
            h = mg.tanh(W @ h)
        W.zero_grad()
        h.sum().backward()
        W.data -= 0.1 * W.grad


CASES: dict[str, tuple[Run, str]] = {
    "RNN": (by_layer(lambda: nn.RNN(3, 4, rng=0)), r": h \[in rnn, t=3\] \(read by affine \[in rnn, t=0\]\)\. "),
    "GRU": (by_layer(lambda: nn.GRU(3, 4, rng=0)), r": h \[in gru, t=3\] \(read by \w+ \[in gru, t=0\]\)\. "),
    "LSTM": (by_layer(lambda: nn.LSTM(3, 4, rng=0)), r": h \[in lstm, t=3\] \(.* c \[in lstm, t=3\] \("),
    "two layers": (by_layer(lambda: nn.LSTM(3, 4, num_layers=2, rng=0)),
                   r": h \[in layers\.0/lstm, t=3\].* and 1 more\. "),
    "both directions": (by_layer(lambda: nn.RNN(3, 4, bidirectional=True, rng=0)),
                        r": h \[in layers\.0/forwards/rnn, t=3\].* h \[in layers\.0/backwards/rnn, t=0\] "),
    "checkpoints": (by_layer(lambda: nn.LSTM(3, 4, rng=0), checkpoint=True), r"\[in lstm\] \(read by checkpoint"),
    "lengths": (by_layer(lambda: nn.GRU(3, 4, rng=0), lengths=[4, 2]), r"\[in gru\] \(read by \w+ \[in gru, t=0\]\)"),
    "loop of LSTM": (by_hand(lambda: nn.LSTMCell(3, 4, rng=0), steps=True),
                     r": h \[in lstm, t=2\].* c \[in lstm, t=2\]"),
    "loop of GRU": (by_hand(lambda: nn.GRUCell(3, 4, rng=0), steps=True),
                    r": h \[in gru, t=2\] \(read by \w+ \[in gru, t=0"),
    "no steps": (by_hand(lambda: nn.GRUCell(3, 4, rng=0), steps=False),
                 r": h \[in gru\] \(read by \w+ \[in gru\]\)\. "),
    "Values": (by_values, r": h \[in neuron, t=2\] \(read by multiply \[in neuron, t=0\]\)\. "),
    "unmarked": (unmarked, r": the result of tanh \(read by matmul\)\. "),
}
every_case = pytest.mark.parametrize(("run", "said"), CASES.values(), ids=list(CASES))


@every_case
def test_the_error_names_the_state_and_nn_detach(run: Run, said: str) -> None:
    with pytest.raises(RuntimeError, match=r"changed after the forward pass.* are used after it") as error:
        run(lambda state: state)
    assert "state = nn.detach(state)" in str(error.value)
    with pytest.raises(RuntimeError, match=said):
        run(lambda state: state)


@every_case
def test_what_the_error_says_to_do_is_right(run: Run, said: str) -> None:
    run(nn.detach)


def test_a_kept_loss_is_named_and_so_is_the_way_to_sum_numbers() -> None:
    w, total = Tensor([1.0, 2.0]), Tensor(0.0, requires_grad=False)
    for _ in range(2):
        total = total + (w * w).sum()
        w.data -= 0.1
    with pytest.raises(RuntimeError, match=r"the result of add \(read by add\).*loss\.item\(\)"):
        total.backward()


def test_an_update_before_backward_carries_nothing_and_is_told_so() -> None:
    w = Tensor([1.0, 2.0])
    loss = (w * w).sum()
    w.data -= 0.1
    with pytest.raises(RuntimeError, match="the gradient would mix two different values") as error:
        loss.backward()
    assert "detach" not in str(error.value)


def test_a_state_carried_while_the_weights_stay_is_back_propagation_through_all_of_the_past() -> None:
    net, xs = nn.LSTM(3, 4, rng=0), np.random.default_rng(0).standard_normal((2, 5, 2, 3))
    state, losses = None, []
    for k in range(2):
        hs, state = net(xs[k], state)
        losses.append(mg.square(hs).sum())
        losses[-1].backward()
    carried = [p.grad for p in net.parameters()]
    whole = mg.grad(mg.square(net(np.concatenate(xs))[0]).sum(), net.parameters())
    for a, b in zip(carried, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
