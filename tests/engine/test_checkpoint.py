"""Checkpoints: a stretch forgotten and made again gives the gradients of the stretch that was kept."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn
from microgradrnn.engine import Node
from tests.numerics import assert_same

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 4)) * 0.5, RNG.standard_normal(4)


class State(NamedTuple):
    h: Any
    c: Any


def leaves() -> list[Tensor]:
    return [Tensor(X), Tensor(W), Tensor(B)]


def plainly(f: Any, *xs: Any) -> Any:
    return f(*xs)


def single(keep: Any, x: Any, w: Any, b: Any) -> Any:
    """Parameters closed over."""
    return keep(lambda a: (a @ w + b).tanh(), x) @ w


def arguments(keep: Any, x: Any, w: Any, b: Any) -> Any:
    """Parameters as arguments."""
    return keep(lambda a, v, c: (a @ v + c).tanh(), x, w, b) * x


def several_outputs(keep: Any, x: Any, w: Any, b: Any) -> Any:
    h, c = keep(lambda a: ((a @ w).tanh(), (a * b).sum(axis=0)), x)
    return h * c


def one_output_unused(keep: Any, x: Any, w: Any, b: Any) -> Any:
    h, _ = keep(lambda a: ((a @ w).tanh(), mg.exp(a * b)), x)
    return h


def tuples_of_tuples(keep: Any, x: Any, w: Any, b: Any) -> Any:
    hs, (h, (c,)) = keep(lambda a: (a @ w, (a[0], ((a * b)[:, 1:2],))), x)
    return hs * h + c


def tuple_argument(keep: Any, x: Any, w: Any, b: Any) -> Any:
    return keep(lambda pair, k: pair[0] @ pair[1][0] * k, (x, (w, b)), 2.0) + b


def computed_inputs(keep: Any, x: Any, w: Any, b: Any) -> Any:
    return keep(lambda a: (a @ w).tanh(), mg.exp(x * b))


def slices_of_a_parameter(keep: Any, x: Any, w: Any, b: Any) -> Any:
    left, right = mg.split(w, 2, 1)
    return keep(lambda a: (a @ left).tanh() * (a @ right), x)


def a_computed_parameter(keep: Any, x: Any, w: Any, b: Any) -> Any:
    normed = w / mg.norm(w)
    return keep(lambda a: (a @ normed).tanh(), x) * normed.sum()


def one_after_the_other(keep: Any, x: Any, w: Any, b: Any) -> Any:
    h = x
    for _ in range(4):
        h = keep(lambda a: (a @ w + b).tanh(), h)
    return h


def nested(keep: Any, x: Any, w: Any, b: Any) -> Any:
    def inner(a: Any) -> Any:
        return keep(lambda c: (c @ w).tanh(), a) * b

    return keep(lambda a: inner(inner(a)) + keep(mg.sigmoid, a), x)


def through_and_around(keep: Any, x: Any, w: Any, b: Any) -> Any:
    y = x * b
    return keep(lambda a: (a @ w).tanh() + y, y) + y


def detached_outputs(keep: Any, x: Any, w: Any, b: Any) -> Any:
    h, c = keep(lambda a: ((a @ w).tanh(), (a * b).detach()), x)
    return h * c


def an_argument_handed_back(keep: Any, x: Any, w: Any, b: Any) -> Any:
    h, same = keep(lambda a: (a @ w, a), x)
    return h * same


def the_same_output_twice(keep: Any, x: Any, w: Any, b: Any) -> Any:
    h, again = keep(lambda a: (lambda y: (y, y))(mg.tanh(a @ w)), x)
    return h * again


def where_inside(keep: Any, x: Any, w: Any, b: Any) -> Any:
    return keep(lambda a: mg.where(X > 0, mg.sqrt(a), b) @ w, x)


def zero_dimensional(keep: Any, x: Any, w: Any, b: Any) -> Any:
    return keep(lambda a: (a * b).sum(), x) * keep(lambda a: a.mean(), w)


PLACES = {f.__name__: f for f in (
    single, arguments, several_outputs, one_output_unused, tuples_of_tuples, tuple_argument, computed_inputs,
    slices_of_a_parameter, a_computed_parameter, one_after_the_other, nested, through_and_around, detached_outputs,
    an_argument_handed_back, the_same_output_twice, where_inside, zero_dimensional,
)}  # fmt: skip
every = pytest.mark.parametrize("name", PLACES)
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")


@every
def test_gradients_equal_those_of_the_plain_stretch(name: str) -> None:
    results = []
    for keep in (plainly, mg.checkpoint):
        xs = leaves()
        y = PLACES[name](keep, *xs)
        seed = np.random.default_rng(1).standard_normal(y.shape)
        y.backward(seed)
        y.backward(seed)  # twice: leaves add up
        results.append([y.data, *(np.zeros(x.shape) if x.grad is None else x.grad for x in xs),
                        *mg.grad(y, xs, seed=seed), mg.grad(y, xs[0], seed=seed)])
    for ours, expected in zip(*reversed(results), strict=True):
        assert_same(ours, expected, rel=1e-13)
    assert np.abs(results[0][1]).max() > 0.01


@every
def test_second_derivatives_go_through(name: str) -> None:
    vs = [np.random.default_rng(k).standard_normal(a.shape) for k, a in enumerate((X, W, B))]
    plain, checked = (
        mg.hvp(lambda *xs, keep=keep: mg.square(PLACES[name](keep, *xs)).sum(), [X, W, B], vs)
        for keep in (plainly, mg.checkpoint)
    )
    for ours, expected in zip(checked, plain, strict=True):
        assert_same(ours, expected, rel=1e-12)


@every
def test_third_derivatives_go_through(name: str) -> None:
    results = []
    for keep in (plainly, mg.checkpoint):
        xs = leaves()
        loss = (PLACES[name](keep, *xs) ** 3).sum()
        for _ in range(2):
            loss = sum((g * g).sum() for g in mg.grad(loss, xs, create_graph=True))
        results.append(mg.grad(loss, xs))
    for ours, expected in zip(*reversed(results), strict=True):
        assert_same(ours, expected, rel=1e-10)


LAYERS = {
    "RNN": lambda: nn.RNNCell(3, 5, rng=0), "LSTM": lambda: nn.LSTMCell(3, 5, rng=0),
    "GRU, after": lambda: nn.GRUCell(3, 5, reset="after", rng=0),
    "GRU, before": lambda: nn.GRUCell(3, 5, reset="before", rng=0),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(("T", "checkpoint"), [(1, True), (12, True), (17, True), (10, 1), (10, 3), (10, 10), (10, 99)])
def test_unrolled_nets_have_the_plain_gradients(kind: str, T: int, checkpoint: Any) -> None:
    cell = LAYERS[kind]()
    rng = np.random.default_rng(0)
    xs, weights = rng.standard_normal((T, 2, 3)), rng.standard_normal((T, 2, 5))
    results = []
    for option in (False, checkpoint):
        x = Tensor(xs)
        cell.zero_grad()
        hs, last = nn.unroll(cell, x, checkpoint=option)
        ends = last if isinstance(last, tuple) else (last,)
        loss = (hs * weights).sum() + sum((s * s).sum() for s in ends)
        loss.backward()
        results.append([hs.data, *(s.data for s in ends), x.grad, *(p.grad for p in cell.parameters())])
    for ours, expected in zip(*reversed(results), strict=True):
        assert_same(ours, expected, rel=1e-12)


def test_a_plain_function_and_a_first_state_with_a_gradient_can_be_unrolled_in_stretches() -> None:
    results = []
    for option in (False, True, 4):
        w, h0 = Tensor(W), Tensor(X)
        hs, _ = nn.unroll(lambda x, h, w=w: (h @ w + x).tanh(), RNG.standard_normal((9, 1, 4)) * 0 + B, h0,
                          checkpoint=option)
        results.append([hs.data, *mg.grad(hs.sum(), [w, h0])])
    for other in results[1:]:
        for ours, expected in zip(other, results[0], strict=True):
            assert_same(ours, expected, rel=1e-12)


def test_an_unrolled_checkpoint_has_the_plain_hessian_vector_product() -> None:
    cell, xs = nn.LSTMCell(3, 4, rng=0), RNG.standard_normal((10, 2, 3))
    parameters = list(cell.parameters())
    vs = [np.random.default_rng(k).standard_normal(p.shape) for k, p in enumerate(parameters)]
    plain, checked = (
        mg.hvp(lambda *_, option=option: mg.square(nn.unroll(cell, xs, checkpoint=option)[0]).sum(), parameters, vs)
        for option in (False, True)
    )
    for ours, expected in zip(checked, plain, strict=True):
        assert_same(ours, expected, rel=1e-12)


@pytest.mark.parametrize("length", [0, -3])
def test_a_stretch_has_at_least_one_step(length: int) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        nn.unroll(nn.RNNCell(3, 5, rng=0), np.ones((4, 2, 3)), checkpoint=length)


def size(root: Node) -> int:
    """How many nodes hang on this one."""
    seen: set[Node] = set()
    todo: list[Any] = [root]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += node.inputs
    return len(seen)


def test_the_graph_of_the_stretch_is_forgotten() -> None:
    x = Tensor(X)

    def long(a: Any) -> Any:
        for _ in range(200):
            a = (a * 1.01).tanh()
        return a

    assert size(long(x)) > 400
    assert size(mg.checkpoint(long, x)) < 10


def test_the_stretch_runs_once_forward_and_once_backward_however_many_inputs_it_has() -> None:
    runs = []

    def f(a: Any, b: Any, c: Any) -> Any:
        runs.append(1)
        return a @ b + c

    y = mg.checkpoint(f, *leaves()).sum()
    assert len(runs) == 1
    y.backward()
    assert len(runs) == 2
    y.backward()
    assert len(runs) == 3


def test_under_no_grad_it_is_a_plain_call_that_records_nothing() -> None:
    runs = []
    x = Tensor(X)
    with mg.no_grad():
        y = mg.checkpoint(lambda a: (runs.append(1), a * 2)[1], x)
    assert not y.requires_grad
    assert len(runs) == 1
    assert size(y) == 1


def test_backward_may_run_under_no_grad() -> None:
    w = Tensor(W)
    y = mg.checkpoint(lambda a: (a @ w).tanh(), X).sum()
    with mg.no_grad():
        y.backward()
    assert_same(w.grad, X.T @ (1 - np.tanh(X @ W) ** 2), rel=1e-13)


def test_a_stretch_without_a_gradient_is_a_constant() -> None:
    y = mg.checkpoint(mg.tanh, Tensor(X, requires_grad=False))
    assert not y.requires_grad
    detached = mg.checkpoint(lambda a: (a * 2).detach(), Tensor(X))
    assert not detached.requires_grad


def test_a_random_function_is_caught() -> None:
    rng = np.random.default_rng(0)
    y = mg.checkpoint(lambda a: mg.dropout(a, 0.5, rng=rng), Tensor(X))
    with pytest.raises(RuntimeError, match=r"another result the second time.*random"):
        y.sum().backward()


def test_a_random_function_with_a_generator_of_its_own_is_right() -> None:
    x = Tensor(X)
    y = mg.checkpoint(lambda a: mg.dropout(a, 0.5, rng=np.random.default_rng(3)), x)
    y.sum().backward()
    assert_same(x.grad, (y.data != 0) * 2.0)


def test_what_it_closes_over_and_is_changed_is_caught() -> None:
    scale = np.array([2.0])
    x = Tensor(X)
    y = mg.checkpoint(lambda a: a * scale, x)
    scale[:] = 3.0
    with pytest.raises(RuntimeError, match="another result the second time"):
        y.sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("how", ["closed over", "argument"])
def test_a_parameter_rebound_before_the_reverse_pass_is_caught(how: str) -> None:
    x, w = Tensor(X), Tensor(np.zeros((4, 4)))  # at 0 the result does not tell whether x changed
    y = mg.checkpoint(lambda a: a @ w, x) if how == "closed over" else mg.checkpoint(lambda a, v: a @ v, x, w)
    x.data = X + 1
    with pytest.raises(RuntimeError, match="was changed after the forward pass"):
        y.sum().backward()
    assert w.grad is None


def test_an_array_given_may_be_overwritten_even_where_the_result_would_not_show_it() -> None:
    w = Tensor(np.zeros((4, 4)))
    first, second, third = X.copy(), X.copy(), X.copy()
    y = mg.checkpoint(lambda a, more, state: (a + more[0] + state.h) @ w, first, (second, None), State(third, None))
    first[:] = 99.0  # works: the caller's array is not locked
    second[:] = 99.0
    third[:] = 99.0
    y.sum().backward()
    assert_same(w.grad, (3 * X).T @ np.ones((3, 4)))


def test_an_error_in_the_stretch_reaches_the_caller_and_leaves_no_gradient() -> None:
    runs: list[int] = []

    def f(a: Any) -> Any:
        runs.append(1)
        if len(runs) > 1:
            raise KeyboardInterrupt
        return a * 2

    x = Tensor(X)
    y = mg.checkpoint(f, x)
    with pytest.raises(KeyboardInterrupt):
        y.sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("bad", [lambda x: 3.0, lambda x: x.data, lambda x: (x, None), lambda x: Value(1.0)])
def test_the_function_must_return_tensors(bad: Any) -> None:
    with pytest.raises(TypeError, match="checkpoint: the function must return Tensors"):
        mg.checkpoint(bad, Tensor(X))


def test_hooks_see_the_whole_gradient_once() -> None:
    for keep in (plainly, mg.checkpoint):
        x, w = Tensor(X), Tensor(W)
        h = x * 2
        seen: list[np.ndarray] = []
        w.register_hook(lambda g: 10 * g)
        h.register_hook(seen.append)
        (keep(lambda a, w=w: (a @ w).tanh(), h) + h @ w).sum().backward()
        [g] = seen
        slope = 1 - np.tanh(2 * X @ W) ** 2
        assert_same(w.grad, 10 * (2 * X).T @ (slope + 1), rel=1e-13)
        assert_same(g, (slope + 1) @ W.T, rel=1e-13)


def test_a_hook_inside_the_stretch_still_works() -> None:
    x = Tensor(X)

    def f(a: Any) -> Any:
        h = a * 3
        h.register_hook(lambda g: 0 * g)
        return h + a

    mg.checkpoint(f, x).sum().backward()
    assert_same(x.grad, np.ones((3, 4)))


def test_scope_and_time_step_are_those_of_the_forward_pass() -> None:
    seen: list[Any] = []

    def f(a: Any) -> Any:
        y = a * 2
        seen.append((y.scope.path, y.scope.step, y.requires_grad))
        return y

    with mg.scope("net", step=4):
        y = mg.checkpoint(f, Tensor(X))
    y.sum().backward()
    assert seen == [(("net",), 4, True)] * 2


def test_observers_see_one_message_to_each_source() -> None:
    x, w = Tensor(X), Tensor(W)
    y = mg.checkpoint(lambda a: (a @ w).tanh(), x).sum()
    messages: dict[Any, Any] = {}
    mg.backward(y, observe=lambda node, k, source, message: messages.setdefault(source, np.asarray(message)))
    for leaf in (x, w):
        assert_same(messages[leaf], leaf.grad)


def test_gradcheck_passes_through_checkpoints() -> None:
    for f in PLACES.values():
        if f is detached_outputs:
            continue  # differences see what was detached, the gradient does not
        mg.gradcheck(lambda x, w, b, f=f: f(mg.checkpoint, x, w, b), [X, W, B], order=2, rtol=1e-5)


def test_float32_stays_float32() -> None:
    x = Tensor(X.astype(np.float32))
    y = mg.checkpoint(lambda a: a.tanh(), x)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)


def test_outputs_of_different_precisions_keep_theirs() -> None:
    for keep in (plainly, mg.checkpoint):
        x = Tensor(X.astype(np.float32))
        single_, double = keep(lambda a: (a * 2, a.astype(np.float64) * 2), x)
        assert (single_.dtype, double.dtype) == (np.float32, np.float64)


def test_a_where_silences_the_branch_not_taken_inside_a_checkpoint() -> None:
    x = Tensor([0.0, 4.0])
    y = mg.where(x > 0, mg.checkpoint(mg.sqrt, x), 0.0)
    np.testing.assert_array_equal(mg.grad(y.sum(), x), [0.0, 0.25])
