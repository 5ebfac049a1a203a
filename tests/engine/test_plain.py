"""The plain case, written out for speed, does what the general way does."""

from __future__ import annotations

import math
import operator
import pickle
import sys
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn
from microgradrnn.engine import plain as module
from microgradrnn.engine.rules import elementwise as e

BINARY: list[Callable[[Any, Any], Any]] = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
UNARY: list[Callable[[Any], Any]] = [
    operator.neg, abs, mg.tanh, mg.relu, mg.sigmoid, mg.exp, mg.sin, mg.square, mg.sqrt, mg.log, mg.sign,
    mg.floor, mg.round, lambda x: mg.maximum(x, 0.5), lambda x: mg.arctan2(x, 2.0),
    lambda x: x.tanh(), lambda x: mg.clip(x, -1.0, 1.0), lambda x: x % 0.7,
]


def same(a: float, b: float) -> bool:
    """Equal, or both NaN."""
    return a == b or (math.isnan(a) and math.isnan(b))


@given(st.lists(st.tuples(st.integers(0, len(BINARY) + len(UNARY) - 1), st.integers(0, 30), st.integers(0, 30)),
                min_size=1, max_size=40),
       st.lists(st.floats(-2, 2) | st.sampled_from([0.0, 1.0, math.inf]), min_size=3, max_size=3), st.booleans())
@settings(max_examples=300)
def test_gradients_of_leaves_and_of_all_between_are_those_of_the_general_pass(
    program: list[tuple[int, int, int]], numbers: list[float], constants: bool
) -> None:
    def run() -> tuple[list[Value], Any]:
        nodes: list[Any] = [Value(numbers[0]), Value(numbers[1]), Value(numbers[2], requires_grad=not constants)]
        leaves = list(nodes)
        for which, i, j in program:
            a, b = nodes[i % len(nodes)], nodes[j % len(nodes)]
            if which < len(BINARY):
                nodes.append(BINARY[which](a, [b, 2, 0.5][j % 3]))
            else:
                nodes.append(UNARY[which - len(BINARY)](a))
        return nodes, sum(nodes, nodes[0]) + leaves[0]

    plain, root = run()
    general, other = run()
    assert same(root.data, other.data)
    mg.backward(root)
    mg.backward(other, observe=lambda *message: None)
    for a, b in zip([*plain, root], [*general, other], strict=True):
        assert same(a.grad, b.grad)
        assert same(a.data, b.data)
        assert a.op is b.op
    again = mg.grad(root, plain[:2])
    assert all(same(a.grad, g) for a, g in zip(plain, again, strict=False))


@pytest.mark.parametrize("op", [e.add, e.subtract, e.multiply, e.divide], ids=lambda op: op.name)
def test_a_pair_is_both_rules_of_the_row(op: Any) -> None:
    g, a, b = 0.7, 1.3, -2.1
    y = op.on_floats(a, b)
    assert module.PAIRS[op](g, y, a, b) == tuple(rule(g, y, a, b) for rule in op.vjp)


def test_a_pass_that_fails_half_way_leaves_all_gradients_of_leaves_as_they_were() -> None:
    a, b = Value(2.0), Value(3.0)
    (a * b).backward()
    loss = (a * b).tanh() * b
    a.data = 2.5
    with pytest.raises(RuntimeError, match=r"multiply: the data of input 0 was changed"):
        loss.backward()
    assert (a.grad, b.grad) == (3.0, 2.0)


def test_hooks_and_where_go_the_general_way() -> None:
    x = Value(3.0)
    h = x * x
    h.register_hook(lambda g: 10 * g)
    (2 * h).backward()
    assert (h.grad, x.grad) == (20.0, 120.0)
    leaf = Value(2.0)
    leaf.register_hook(lambda g: -g)
    (leaf * leaf).backward()
    assert leaf.grad == -4.0
    zero = Value(0.0)
    mg.where(False, zero.log(), zero * 3).backward()
    assert zero.grad == 3.0


def test_operators_outside_the_plain_case() -> None:
    x = Value(2.0)
    with mg.no_grad():
        assert not (x * x).requires_grad
    assert not (Value(1.0, requires_grad=False) + 1.0).requires_grad
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match=r"log: 0\.0 made -inf"):
        Value(0.0).log()
    with pytest.raises(TypeError, match="a Value and a Tensor do not mix"):
        x * Tensor([1.0])
    assert (Value(0.0).log().data, (x / 0).data, (Value(0.0) / 0.0).data != 0) == (-math.inf, math.inf, True)
    assert (x * True).inputs == (x, None)


# ---------------------------------------------------------------------------------------------- several roots
def test_several_roots_are_differentiated_as_their_sum_in_one_pass() -> None:
    x, y = Tensor([1.0, 2.0]), Tensor([3.0, -1.0])
    mg.backward([(x * y).sum(), (x * x).sum(), y.sum()], [1.0, None, 2.0])
    assert x.grad.tolist() == [5.0, 3.0]
    assert y.grad.tolist() == [3.0, 4.0]
    a, b = Value(2.0), Value(5.0)
    mg.backward((a * b, a * a))
    assert (a.grad, b.grad) == (9.0, 2.0)


def test_a_root_that_another_root_was_made_of_gets_both() -> None:
    x = Tensor([1.0, 2.0])
    h = x * 3
    mg.backward([h, (h * h).sum(), h], [[1.0, 1.0], None, [0.5, 0.0]])
    assert x.grad.tolist() == [3 * (1.5 + 6), 3 * (1.0 + 12)]


def test_seeds_of_several_roots_may_be_an_array() -> None:
    x = Value(2.0)
    mg.backward([x * 2, x], np.array([1.0, 2.0]))
    assert x.grad == 4.0


# ---------------------------------------------------------------------------------------------------- Tensors
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_of_a_net_are_those_of_the_general_pass(dtype: Any) -> None:
    def gradients(**options: Any) -> list[Any]:
        net = nn.LSTM(3, 4, num_layers=2, rng=0, dtype=dtype)
        xs = Tensor(np.random.default_rng(0).normal(size=(6, 2, 3)).astype(dtype))
        hs, _ = net(xs)
        mg.backward((hs * hs).sum() / 3 + mg.logsumexp(hs) + hs.max(), **options)
        return [xs.grad, *(p.grad for p in net.parameters())]

    for a, b in zip(gradients(), gradients(observe=lambda *message: None), strict=True):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_array_equal(a, b)


def test_what_is_broadcast_raised_in_precision_or_given_twice_is_summed_and_fitted() -> None:
    def gradients(**options: Any) -> list[Any]:
        a, b = Tensor(np.arange(6.0).reshape(2, 3)), Tensor(np.float32([[1.5], [2.5]]))
        c = Tensor(2.0)
        y = (a * b + c * c - b / c).tanh() + 2 * a[0] - a @ a.T @ np.ones((2, 1))
        mg.backward(y, np.arange(6.0).reshape(2, 3), **options)
        return [a.grad, b.grad, c.grad]

    for one, other in zip(gradients(), gradients(observe=lambda *message: None), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_a_failed_pass_over_arrays_leaves_gradients_as_they_were() -> None:
    a, b = Tensor([2.0]), Tensor([3.0])
    (a * b).sum().backward()
    loss = ((a * b).tanh() * b).sum()
    a.data = np.array([2.5])
    with pytest.raises(RuntimeError, match=r"multiply: the data of input 0 was changed"):
        loss.backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([3.0], [2.0])


# ------------------------------------------------------------------------------------ what the plain pass leaves alone
def test_a_plain_pass_and_a_watched_one_at_the_same_time_are_both_complete() -> None:
    before, w, h = sys.getswitchinterval(), Value(1.0001), Value(0.5)
    for _ in range(3000):
        h = h * w * 0.9999
    h.backward()
    right = w.grad
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(6):
            w.grad = 0.0
            threads = [threading.Thread(target=f) for f in
                       (lambda: mg.backward(h, observe=lambda *message: None), h.backward, h.backward)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert w.grad == pytest.approx(3 * right, rel=1e-12)
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_interrupted_pass_loses_nothing_that_leaves_had(stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    leaves, calls = [Value(float(k + 1)) for k in range(4)], count()
    loss = leaves[0] * leaves[1] * leaves[2] * leaves[3]

    def interrupted(*numbers: float) -> tuple[float, float]:
        if next(calls) + 1 == stop:
            raise KeyboardInterrupt
        return rule(*numbers)

    for leaf in leaves:
        leaf.grad = 5.0
    rule = module.PAIRS[e.multiply]
    monkeypatch.setitem(module.PAIRS, e.multiply, interrupted)
    with pytest.raises(KeyboardInterrupt):
        loss.backward()
    assert [leaf.grad for leaf in leaves] == [5.0] * 4
    loss.backward()
    assert [leaf.grad for leaf in leaves] == [29.0, 17.0, 13.0, 11.0]


def test_a_leaf_may_accumulate_in_its_own_way() -> None:
    class Clipped(Value):
        def accumulate(self, g: float) -> None:
            self.grad = self.grad + min(g, 1.0)

    x = Clipped(2.0)
    (x * x).backward()
    assert x.grad == 1.0


def test_specialised_methods_are_methods_of_their_class() -> None:
    for method in (Value.__add__, Tensor.tanh, Value.__neg__):
        assert pickle.loads(pickle.dumps(method)) is method
    assert Value.__add__(Value(1.0), other=2.0).data == 3.0
    assert "hyperbolic tangent" in (Value.tanh.__doc__ or "")
