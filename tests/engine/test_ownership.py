"""The caller's arrays stay the caller's: never locked, and later writes to them never change a gradient."""

from __future__ import annotations

import operator
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn


def test_data_given_to_a_tensor_is_copied_and_not_locked() -> None:
    a = np.array([1.0, 2.0])
    x = Tensor(a)
    y = (x * x).sum()
    a[:] = 100
    np.testing.assert_array_equal(x.data, [1, 2])
    np.testing.assert_array_equal(mg.grad(y, x), [2, 4])


def test_a_read_only_view_of_a_writable_array_is_copied_too() -> None:
    a = np.array([1.0, 2.0])
    view = a[:]
    view.flags.writeable = False
    x = Tensor([1.0, 1.0])
    y, leaf = x * view, Tensor(view)
    a[:] = 100
    np.testing.assert_array_equal(mg.grad(y.sum(), x), [1, 2])
    np.testing.assert_array_equal(leaf.data, [1, 2])


@pytest.mark.parametrize(
    "use",
    [lambda x, c: x * c, lambda x, c: c / x, lambda x, c: c @ x, lambda x, c: x @ c, lambda x, c: mg.maximum(x, c),
     lambda x, c: mg.where(c > 0.6, x, 0.0), lambda x, c: mg.concat([x * x, c]) @ c, lambda x, c: x**c,
     lambda x, c: (x * c[::-1].T).sum(axis=0)],
)
def test_a_constant_operand_may_be_overwritten_after_the_forward_pass(use: Any) -> None:
    c = np.array([[0.5, 0.7, 0.9], [1.0, 1.5, 0.3], [0.2, 0.4, 0.8]])
    x = Tensor(np.arange(1.0, 10.0).reshape(3, 3) / 4)
    expected = mg.grad(use(x, c.copy()).sum(), x)
    y = use(x, c).sum()
    c[:] = 1e9  # works: not locked
    np.testing.assert_array_equal(mg.grad(y, x), expected)


def test_a_condition_may_be_overwritten_after_the_forward_pass() -> None:
    x, mask = Tensor([1.0, 2.0, 3.0]), np.array([True, False, True])
    y = mg.where(mask, x, x * x)
    mask[:] = False
    np.testing.assert_array_equal(mg.grad(y.sum(), x), [1, 4, 1])


@pytest.mark.parametrize("as_index", [lambda i: i, lambda i: (i, i), lambda i: (slice(None), i), lambda i: (None, i)])
def test_an_index_array_may_be_overwritten_after_the_forward_pass(as_index: Any) -> None:
    x = Tensor(np.arange(9.0).reshape(3, 3))
    ids = np.array([2, 0, 2])
    expected = mg.grad((x[as_index(ids.copy())] ** 2).sum(), x)
    y = (x[as_index(ids)] ** 2).sum()
    ids[:] = 1
    np.testing.assert_array_equal(mg.grad(y, x), expected)


def test_an_index_list_and_a_mask_may_be_overwritten_after_the_forward_pass() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    ids, mask = [0, 0, 2], np.array([True, False, True])
    y = x[ids].sum() + x[mask].sum() * 10
    ids[:] = [1, 1, 1]
    mask[:] = True
    np.testing.assert_array_equal(mg.grad(y, x), [12, 0, 11])


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "norm", "logsumexp", "var", "std", "flip"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_list_of_axes_may_be_changed_after_the_forward_pass(name: str, create_graph: bool) -> None:
    x, axis = Tensor(np.random.default_rng(0).uniform(1, 2, (3, 3))), [0]
    y = getattr(mg, name)(x, axis=axis)
    seed = np.random.default_rng(1).standard_normal(y.shape)
    expected = mg.grad(getattr(mg, name)(x, axis=0), x, seed=seed)
    axis[0] = 1
    g = mg.grad(y, x, seed=seed, create_graph=create_graph)
    np.testing.assert_array_equal(g.data if create_graph else g, expected)


def test_an_array_bound_to_a_leaf_is_copied_and_not_locked() -> None:
    w, new = Tensor([1.0, 2.0]), np.array([3.0, 4.0])
    w.data = new
    y = (w * w).sum()
    new[:] = 0
    np.testing.assert_array_equal(mg.grad(y, w), [6, 8])


def test_a_seed_is_neither_locked_nor_kept() -> None:
    x, z = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    seed = np.ones(2)
    y = x + z
    y.backward(seed)
    seed[:] = 50
    np.testing.assert_array_equal(x.grad, [1, 1])
    y.backward(seed)
    x.grad[:] = 0
    np.testing.assert_array_equal(z.grad, [51, 51])
    np.testing.assert_array_equal(seed, [50, 50])


def test_gradients_of_different_leaves_share_no_memory() -> None:
    x, y, z = (Tensor(np.ones((2, 3))) for _ in range(3))
    (x + y + z.reshape(3, 2).reshape(2, 3) - (-x)).sum().backward()
    for a, b in [(x, y), (y, z), (x, z)]:
        assert not np.shares_memory(a.grad, b.grad)
        assert a.grad.flags.writeable


def test_no_message_is_changed_after_it_was_sent() -> None:
    x = Tensor(np.ones((2, 3)))
    y = (x * 2 + x.tanh() + x * x + x[0] + x[1] + x[0] + x @ np.ones((3, 3))).sum()
    y = y + (np.ones((2, 2)) @ x).sum() + (np.ones((2, 2)) @ x).tanh().sum()
    for create_graph in (False, True):
        sent: list[Any] = []

        def observe(node: Any, k: int, source: Any, message: Any, sent: Any = sent) -> None:
            sent.append((message, np.array(getattr(message, "data", message))))

        mg.backward(y, observe=observe, create_graph=create_graph)
        for message, copy in sent:
            np.testing.assert_array_equal(np.asarray(getattr(message, "data", message)), copy)


def test_what_one_pass_returned_is_not_touched_by_the_next() -> None:
    layer = nn.LSTM(4, 5, rng=0)
    rng = np.random.default_rng(0)

    def run() -> list[np.ndarray]:
        layer.zero_grad()
        x = Tensor(rng.standard_normal((6, 3, 4)))
        hs, (h, c) = layer(x)
        loss = (hs * hs).sum()
        loss.backward()
        return [hs.data, h.data, c.data, x.grad, mg.grad(loss, h), *(p.grad for p in layer.parameters())]

    first = run()
    copies = [a.copy() for a in first]
    for _ in range(3):
        second = run()
    for a, copy, b in zip(first, copies, second, strict=True):
        np.testing.assert_array_equal(a, copy)
        assert not np.shares_memory(a, b)


def test_two_backward_passes_taken_in_turns_do_not_mix() -> None:
    """Each pass has its own gradients in flight, also when they advance step by step together."""
    W = Tensor(np.random.default_rng(0).standard_normal((3, 3)) * 0.5)
    h = Tensor(np.ones((2, 3)))
    for _ in range(5):
        h = (h @ W).tanh()
    y = (h * h).sum()
    alone = [np.array(g) for _, g in mg.engine.reverse(y)]
    together = [(np.array(a), np.array(b)) for (_, a), (_, b) in
                zip(mg.engine.reverse(y), mg.engine.reverse(y), strict=True)]
    for g, (a, b) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, g)
        np.testing.assert_array_equal(b, g)


def test_nobody_can_write_to_what_the_graph_has_used() -> None:
    x = Tensor([1.0, 2.0])
    h = x * 2
    picked = h[np.array([0, 0, 1])]
    for array in (picked.args[0], picked.params["index"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9

    def scribble(consumer: Any, k: int, source: Any, message: Any) -> None:
        if isinstance(message, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                message *= 100

    mg.backward((x * 3 + x).sum(), observe=scribble)
    np.testing.assert_array_equal(x.grad, [4.0, 4.0])


def test_a_leaf_that_went_through_pickle_gets_its_gradient() -> None:
    for _ in range(2000):
        Value(0.0)
    leaves = pickle.dumps((Tensor([1.0, 2.0], label="x"), Value(3.0)))
    code = (
        "import pickle, sys; x, v = pickle.loads(sys.stdin.buffer.read());"
        "(x * x).sum().backward(); (v * v).backward(); print(x.grad.tolist(), v.grad, x.label)"
    )
    run = subprocess.run([sys.executable, "-c", code], input=leaves, capture_output=True, check=True)
    assert run.stdout.decode().split("\n")[0] == "[2.0, 4.0] 6.0 x"
    with pytest.raises(TypeError, match="only leaves can be pickled"):
        pickle.dumps(Value(1.0) * 2)


@pytest.mark.parametrize("requires_grad", [True, False])
def test_a_second_derivative_never_uses_data_rebound_since(requires_grad: bool) -> None:
    for make, value in ((Value, 2.0), (Tensor, [2.0])):
        w, x = make(value, requires_grad=requires_grad), make(value)
        y = w * x * x
        w.data = 100 * np.asarray(value) if make is Tensor else 100.0
        with pytest.raises(RuntimeError, match="changed after the forward pass"):
            mg.grad(y, x, create_graph=True)


def test_a_checkpoint_refuses_what_changed_or_was_kept_in_between() -> None:
    w, x = Tensor([2.0], requires_grad=False), Tensor([0.0])
    y = mg.checkpoint(lambda u: u * w, x).sum()
    w.data = [9.0]
    with pytest.raises(RuntimeError, match=r"checkpoint.*changed after the forward pass"):
        mg.grad(y, x)
    v, cache = Tensor([3.0]), {}
    z = mg.checkpoint(lambda u: u * cache.setdefault("v2", v * 2), Tensor([1.0])).sum()
    with pytest.raises(RuntimeError, match="made when it ran first"):
        z.backward()


@pytest.mark.parametrize("write", [
    lambda d: np.clip(d, -1, 1, out=d), lambda d: np.maximum(d, 0, out=d), lambda d: np.exp(d, out=d),
    lambda d: np.negative(d, d), lambda d: np.add(1, d, out=d),
])  # fmt: skip
def test_writing_into_the_data_of_a_leaf_is_refused_and_not_passed_over(write: Any) -> None:
    w = Tensor([2.0, -3.0])
    with pytest.raises(ValueError, match=r"rebind it: t\.data = new_array"):
        write(w.data)
    powers = ((2, [4.0, 9.0]), (0.5, [2.0, 3.0]), (1, [2.0, 3.0]), (-1, [0.5, 1 / 3]), (3, [1 / 8, 1 / 27]))
    for exponent, expected in powers:
        w.data **= exponent
        np.testing.assert_allclose(w.data, expected, rtol=1e-15)


@pytest.mark.parametrize(("use", "expected"), [
    (operator.iadd, 5.0), (operator.isub, 1.0), (operator.imul, 6.0), (operator.itruediv, 1.5), (operator.ipow, 9.0),
])  # fmt: skip
@pytest.mark.parametrize("make", [Value, Tensor])
def test_under_no_grad_an_in_place_operator_changes_the_leaf(make: Any, use: Any, expected: float) -> None:
    w = make(3.0)
    with mg.no_grad():
        assert use(w, 2.0) is w
    assert w.requires_grad
    assert w.data == expected


TAKES_A_NUMBER: dict[str, Any] = {
    **{name: getattr(mg, name) for name in (
        "sum", "mean", "max", "min", "prod", "norm", "logsumexp", "var", "std", "softmax", "log_softmax", "cumsum",
        "round", "take", "pad", "diagonal", "trace", "index_update",
    )},
    "several axes": lambda x, k: mg.sum(x, (k, 2)),
    "keepdims": lambda x, k: mg.sum(x, 1, k),
    "roll": lambda x, k: mg.roll(x, 1, k),
    "roll, by": lambda x, k: mg.roll(x, k, 0),
    "flip": lambda x, k: mg.flip(x, k),
    "expand_dims": lambda x, k: mg.expand_dims(x, k),
    "getitem": lambda x, k: x[:, k],
    "slice": lambda x, k: x[k:2],
    "concat": lambda x, k: mg.concat([x, x], k),
    "stack": lambda x, k: mg.stack([x, x], k),
    "transpose": lambda x, k: mg.transpose(x, [k, 2, 1]),
    "reshape": lambda x, k: mg.reshape(x, [k + 1, 27]),
}  # fmt: skip
TAKES_A_NUMBER["index_update"] = lambda x, k: mg.index_update(x, k, 0.0)


@pytest.mark.parametrize("f", TAKES_A_NUMBER.values(), ids=list(TAKES_A_NUMBER))
def test_a_number_given_as_an_array_may_be_changed_before_the_backward_pass(f: Any) -> None:
    x = Tensor(np.random.default_rng(0).standard_normal((3, 3, 3)))
    k = np.array(0)
    y, same = f(x, k), f(x, 0)
    k[...] = 1
    seed = np.random.default_rng(1).standard_normal(same.shape)
    np.testing.assert_array_equal(mg.grad(y, x, seed=seed), mg.grad(same, x, seed=seed))
    assert not any(p is k for p in y.params.values())
