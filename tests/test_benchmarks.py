"""The benchmarks that judge correctness, in small; and that they can fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from benchmarks import gradcheck, stress
from microgradrnn.engine import PRIMITIVES
from tests.engine.operations import TABLE
from tests.engine.wrong_rules import WRONG, Wrong

torch = pytest.importorskip("torch")

FEW = [index for index in range(60) if len(stress.Graph(index).program) < 20][:24]  # short ones, of both kinds


def test_random_graphs_agree_with_pytorch() -> None:
    bad, worst = stress.disagreements(FEW)
    assert bad == []
    assert worst < 1e-12


@pytest.mark.parametrize("name", ["tanh", "multiply", "add", "sin"])
@pytest.mark.parametrize("factor", [-1.0, 1 + 1e-6])
def test_a_wrong_rule_shows_in_random_graphs(name: str, factor: float, monkeypatch: Any) -> None:
    op = PRIMITIVES[name]
    last = op.vjp[len(op.vjp) - 1]  # type: ignore[arg-type]
    wrong = (*list(op.vjp)[:-1], lambda *args: last(*args) * factor)  # type: ignore[call-overload]
    monkeypatch.setattr(op, "vjp", wrong)
    bad, _ = stress.disagreements(FEW)
    assert len(bad) > 3


def test_a_rule_wrong_at_second_order_only_shows_in_random_graphs(monkeypatch: Any) -> None:
    def detached(g: Any, y: Any, x: Any) -> Any:
        plain = y.data if isinstance(y, (mg.Value, mg.Tensor)) else y
        return g * (1 - plain * plain)

    monkeypatch.setattr(PRIMITIVES["tanh"], "vjp", (detached,))
    assert len(stress.disagreements(FEW)[0]) > 3


def test_a_rule_wrong_at_third_order_only_shows_in_random_graphs(monkeypatch: Any) -> None:
    def bent(g: Any, y: Any, x: Any) -> Any:
        recorded = isinstance(y, (mg.Value, mg.Tensor))
        nothing = y - y.data if recorded else 0.0  # and so are its square and the slope of that, but not its curvature
        return g * (1 - y * y + 1e-3 * nothing * nothing)

    monkeypatch.setattr(PRIMITIVES["tanh"], "vjp", (bent,))
    assert len(stress.disagreements(FEW)[0]) > 3


def test_every_case_in_the_table_of_operations_is_an_instruction_of_random_graphs() -> None:
    assert len(stress.operations(False)) == len(stress.ARRAY) + len(TABLE)
    assert len(stress.operations(True)) >= len(stress.SCALAR) + 45


def test_random_graphs_are_the_same_every_time_and_different_from_each_other() -> None:
    for index in (0, 1, 7):
        a, b = stress.Graph(index), stress.Graph(index)
        assert a.program == b.program
        assert all(np.array_equal(x, y) for x, y in zip(a.leaves, b.leaves, strict=True))
    programs = [tuple(stress.Graph(index).program) for index in range(60)]
    assert len(set(programs)) == 60


def test_random_graphs_use_every_operation_share_nodes_and_are_deep() -> None:
    graphs = [stress.Graph(index) for index in range(400)]
    for scalar in (True, False):
        used = {step.operation for g in graphs if g.scalar == scalar for step in g.program}
        assert used == set(range(len(stress.operations(scalar))))
    assert max(len(g.program) for g in graphs) > 150
    longest = max(graphs, key=lambda g: len(g.program))
    operands = [i for step in longest.program for i in step.operands]
    assert len(operands) - len(set(operands)) > 50


def test_the_gradcheck_benchmark_knows_a_mistake_that_is_missed() -> None:
    right = Wrong("none at all", lambda: mg.tanh, lambda op: op, ((3,),), 0)
    assert not gradcheck.caught(right)
    assert all(gradcheck.caught(wrong) for wrong in WRONG[:5])
