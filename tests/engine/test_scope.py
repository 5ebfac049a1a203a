"""Tags: where a node was made, and what it is."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn


def test_scopes_nest_and_the_innermost_step_wins() -> None:
    with mg.scope("net", step=1):
        with mg.scope("lstm"):
            a = Value(1.0) * 2
        with mg.scope(step=5):
            b = Value(1.0) * 2
    c = Value(1.0) * 2
    assert [(v.scope.path, v.scope.step) for v in (a, b, c)] == [(("net", "lstm"), 1), (("net",), 5), ((), None)]


def test_a_scope_ends_when_an_error_passes_through() -> None:
    with pytest.raises(RuntimeError, match="on purpose"), mg.scope("net"):
        raise RuntimeError("on purpose")
    assert Value(1.0).scope.path == ()


def test_scopes_and_no_grad_belong_to_one_thread() -> None:
    seen: list[Any] = []
    with mg.scope("main"), mg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(Value(1.0) * 2))
        thread.start()
        thread.join()
    assert seen[0].scope.path == ()
    assert seen[0].requires_grad


def test_marks_pass_anything_through() -> None:
    f = Value(0.3).sigmoid()
    assert mg.mark(f, "f", role="gate") is f
    assert (f.symbol, f.role) == ("f", "gate")
    array = np.ones(2)
    assert mg.mark(array, "x", role="input") is array
    assert (Value(1.0).symbol, Value(1.0, label="w").symbol) == (None, "w")


def test_an_unrolled_lstm_tags_cell_states_with_their_time_step() -> None:
    hs, _ = nn.LSTM(4, 5, rng=0)(Tensor(np.ones((6, 3, 4))))
    cells: dict[Any, Any] = {}
    todo, seen = [hs], {hs}
    while todo:
        node = todo.pop()
        if node.role == "cell":
            cells[node.scope.step] = node.symbol
        for x in node.inputs:
            if x is not None and x not in seen:
                seen.add(x)
                todo.append(x)
    assert cells == dict.fromkeys(range(6), "c")
    assert {"i", "f", "o"} <= {n.symbol for n in seen if n.role == "gate" and n.scope.step == 4}
