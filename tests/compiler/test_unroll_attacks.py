"""What might go wrong in compiled loops: stale traces, shared workspaces, names that clash, cells to refuse."""

from __future__ import annotations

import dataclasses
import functools
import gc
import logging
import random
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn, optim
from microgradrnn.compiler.errors import TraceError
from microgradrnn.engine import mark
from tests.compiler.test_unroll import (
    C0,
    H0,
    LENGTHS,
    NUMPY,
    XS,
    B,
    D,
    H,
    T,
    U,
    W,
    assert_equal,
    b,
    compare,
    found,
    gated,
    loss_of,
    normal,
    p,
    simple,
)


def run(cell: Any, xs: Any = XS, state: Any = H0, compiled: Any = NUMPY, **options: Any) -> np.ndarray:
    """The outputs of all steps."""
    hs = nn.unroll(cell, xs, state, compiled=compiled, **options)[0]
    return np.array(hs.data)


# ------------------------------------------------------------------------------------------- shapes, ranks, precision
def test_pieces_of_a_concatenation_that_only_the_backward_pass_reads() -> None:
    compare(lambda x, h: mg.concat([mg.tanh(h[:, :2]), mg.sigmoid(h[:, 2:])], -1) + x @ U, XS, H0, [U])


K6 = Tensor(normal(6, D, H, scale=0.4))
W6 = Tensor(normal(6, H, H, scale=0.4))


@pytest.mark.parametrize(("steps", "of"), [(6, "x"), (7, "x"), (6, "h")])
def test_weights_of_more_axes_than_x(steps: int, of: str) -> None:
    cells: dict[str, Any] = {"x": lambda x, h: mg.tanh((x @ K6).sum(0) + h @ W),
                             "h": lambda x, h: mg.tanh((h @ W6).mean(0) + x @ U)}  # fmt: skip
    compare(cells[of], normal(steps, B, D), H0, [K6, W6, U, W])


def test_weights_of_fewer_axes_than_the_state() -> None:
    cube = normal(B, 2, H)
    compare(lambda x, h: mg.tanh(h @ W + (x @ U)[:, None]), XS, cube, [U, W])
    compare(lambda x, h: mg.tanh(h @ W + h[:, ::-1] * p), XS, cube, [W, p])


SCALARS: dict[str, tuple[Any, Any, list[Any]]] = {
    "of the state": (lambda x, h: simple(x, h) / (1 + mg.sum(mg.square(h))), H0, [U, W, b]),
    "of the input": (lambda x, h: simple(x, h) * mg.tanh(mg.sum(x)), H0, [U, W, b]),
    "clipped to a norm": (lambda x, h: h / mg.maximum(mg.linalg.norm(h), 1.0) + 0.1 * x @ U, H0, [U]),
    "as state": (lambda x, s: mg.tanh(0.7 * s + mg.mean(x)), np.array(0.3), []),
    "beside the state": (
        lambda x, s: (simple(x, s[0]) * mg.sigmoid(s[1]), 0.9 * s[1] + mg.mean(s[0])), (H0, np.array(0.3)), [U, W, b]),
}  # fmt: skip


@pytest.mark.parametrize("kind", SCALARS)
def test_single_numbers_that_differ_from_step_to_step(kind: str) -> None:
    cell, state, closed = SCALARS[kind]
    compare(cell, XS, state, closed)


def test_inputs_may_be_single_numbers() -> None:
    compare(lambda x, h: mg.tanh(x * b + h @ W), XS[:, 0, 0], H0, [b, W])


def test_a_first_state_that_broadcasts_is_seen_as_it_is_by_the_first_step() -> None:
    compare(lambda x, h: mg.tanh(x @ U + h.sum(0, keepdims=True) @ W), XS, normal(1, H), [U, W], compiled="auto")


def test_a_first_state_in_float32_is_seen_as_it_is_by_the_first_step() -> None:
    compare(lambda x, h: mg.tanh(x @ U + (h * h) @ W), XS, H0.astype(np.float32), [U, W],
            compiled="auto")


def test_a_state_that_becomes_smaller_falls_back_to_the_tape() -> None:
    compare(lambda x, h: mg.tanh((x @ U).mean(0) + h.reshape(-1, H).mean(0)), XS, H0, [U], compiled="auto")


@pytest.mark.parametrize("dtype", [np.uint8, bool])
def test_small_integers_beside_float32_weights(dtype: Any) -> None:
    V = Tensor(U.data.astype(np.float32))
    compare(lambda x, h: mg.tanh(x @ V + 0.5 * h), (abs(5 * XS)).astype(dtype), H0.astype(np.float32), [V],
            tolerance=1e-5, compiled="auto")  # fmt: skip


@pytest.mark.parametrize("cell", [lambda x, h: 0.5 * h + (x + x) @ U, lambda x, h: 0.5 * h + 0.01 * -x @ U])
def test_arithmetic_of_integers_is_that_of_integers(cell: Any) -> None:
    compare(cell, (100 + abs(50 * XS)).astype(np.uint8), H0, [U], compiled="auto")


@pytest.mark.parametrize("kind", ["embedding", "mask", "integer division"])
def test_inputs_that_are_indices_or_masks_fall_back_to_the_tape(kind: str) -> None:
    E = Tensor(normal(6, D))
    ids = np.random.default_rng(0).integers(0, 6, (T, B))
    cells: dict[str, tuple[Any, Any]] = {
        "embedding": (lambda i, h: simple(E[i], h), ids),
        "mask": (lambda m, h: mg.where(m, 0.5 * h, h), XS[:, :, :1] > 0),
        "integer division": (lambda i, h: simple(E[0] * (i // 2)[:, None], h), ids),
    }
    compare(cells[kind][0], cells[kind][1], H0, [E], compiled="auto")


def test_numbers_may_be_rounded_to_float32() -> None:
    compare(lambda x, h: mg.astype(mg.astype(simple(x, h), np.float32), np.float64), XS, H0, [U, W, b])


def test_log_softmax() -> None:
    compare(lambda x, h: 0.1 * mg.log_softmax(x @ U + h, -1), XS, H0, [U])


def test_a_product_with_weights_that_nothing_depends_on() -> None:
    compare(lambda x, h: (h @ W, mg.tanh(x @ U + h))[1], XS, H0, [U, W])


def test_weights_that_nothing_depends_on() -> None:
    compare(lambda x, h: (2 * W, mg.tanh(x @ U + h))[1], XS, H0, [U, W])
    compare(lambda x, h: mg.tanh(x @ U + h) + mg.sign(W @ b) + 0 * b, XS, H0, [U, W, b])


def test_the_norm_of_all_of_an_input() -> None:
    compare(lambda x, h: simple(x, h) + mg.linalg.norm(x), XS, H0, [U, W, b])


@pytest.mark.parametrize("kind", ["xs", "state"])
def test_a_cell_may_close_over_the_inputs_or_the_first_state(kind: str) -> None:
    def gradients(compiled: Any) -> dict[str, np.ndarray]:
        xs, h0 = Tensor(XS), Tensor(H0)
        cells: dict[str, Any] = {"xs": lambda x, h: mg.tanh(x @ U + h @ W + xs.mean(0) @ U),
                                 "state": lambda x, h: mg.tanh(x @ U + h @ W + h0)}  # fmt: skip
        loss = loss_of(*nn.unroll(cells[kind], xs, h0, compiled=compiled), "both")
        return dict(zip("xhUW", map(np.array, mg.grad(loss, [xs, h0, U, W])), strict=True))

    assert_equal(gradients(NUMPY), gradients(False), 1e-12)


OVERWRITTEN = "loop.forward: where a sequence begins, its first state overwrites the output of the step before, "
LATE: dict[str, tuple[Any, Any]] = {
    "a root of a first state of zeros": (lambda x, h: mg.sqrt(mg.square(x @ U) + mg.square(h @ W) + 0.1), 0 * H0),
    "a softmax over the batch": (lambda x, h: mg.softmax(x @ U + h @ W, 0), H0),
    "a first state of inf": (simple, np.where(np.arange(B * H).reshape(B, H) == 11, np.inf, H0)),
}


@pytest.mark.parametrize("kind", LATE)
def test_a_sequence_that_begins_late_changes_nothing_in_the_steps_before(kind: str) -> None:
    cell, state = LATE[kind]
    compare(cell, XS, state, [U, W], lengths=LENGTHS, reverse=True)


# ------------------------------------------------------------------------------------------------------------- names
NAMES = ["T", "rows", "dot", "first", "stop", "exp", "add", "copyto", "summed", "tanh", "multiply", "rows_back",
         "z_all", "minimum", "steps", "factors", "start", "divide", "x_all", "lambda", "in", "None"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_symbols_may_be_any_words(name: str) -> None:
    V = mark(Tensor(W.data), name)

    def cell(x: Any, h: Any) -> Any:
        z = mark(x @ U, "z")
        return mg.tanh(mg.sigmoid(z) + h @ V * mark(mg.tanh(x @ U), name))

    def marked(x: Any, h: Any) -> Any:
        kept = mark(mg.sigmoid(mark(h @ W, name) * (h @ V)), name)
        return mark(mg.tanh(mg.square(x @ U) + kept + mark(x @ U * V[0], name)), name)

    compare(cell, XS, H0, [U, V], reads=["both"])
    compare(marked, XS, H0, [U, V, W], reads=["both"])


@pytest.mark.parametrize("name", ["np", "x", "h_prev", "v", "_", "α", "two words", "v_2", "h_prev_all", "", "T'", "1"])
def test_symbols_may_be_names_that_are_taken(name: str) -> None:
    V = mark(Tensor(W.data), name)

    def cell(x: Any, h: Any) -> Any:
        return mark(mg.tanh(mark(mg.sigmoid(mark(x @ U, name)), name) + h @ V * mark(mg.tanh(x @ U), name)), name)

    compare(cell, XS, H0, [U, V], reads=["both"])


# ------------------------------------------------------------------------------------------- closures are never stale
def by(k: Any, x: Any, h: Any) -> Any:
    return mg.tanh(x @ U + h @ W * k)


def assert_not_stale(make: Callable[[], Any], change: Callable[[], Any]) -> None:
    """After a change of what a cell depends on, a compiled loop computes what the tape does, and something else."""
    before = run(make())
    change()
    assert np.abs(run(make(), compiled=False) - before).max() > 1e-3
    np.testing.assert_allclose(run(make()), run(make(), compiled=False), rtol=0, atol=1e-12)


class Scaled(nn.Module):
    def __init__(self) -> None:
        self.n, self.ks, self.A, self.W = 1, [1.0], np.ones(H), nn.Parameter(W.data)

    def __call__(self, x: Any, h: Any) -> Any:
        return mg.tanh(x @ U + h @ self.W * (self.n * self.ks[0] * self.A))


class Leaky(nn.Cell):
    blocks, name, leak = 1, "leaky", 0.5

    def step(self, z: Any, h: Any) -> Any:
        return self.leak * h + mg.affine(h, self.W, z).tanh()


@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net, "n", 3), lambda net: net.ks.__setitem__(0, 3.0), lambda net: net.A.__setitem__(1, 3.0),
        lambda net: setattr(net, "W", nn.Parameter(2 * W.data)), lambda net: setattr(net.W, "data", 2 * W.data),
        lambda net: setattr(net, "A", np.array([2.0])),
    ],
    ids=["int", "list", "array", "parameter", "data", "array replaced"],
)  # fmt: skip
def test_attributes_may_change(change: Callable[[Any], Any]) -> None:
    net = Scaled()
    assert_not_stale(lambda: net, lambda: change(net))


def test_attributes_of_a_cell_of_the_library_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Leaky(D, H, rng=0)
    assert_not_stale(lambda: cell, lambda: monkeypatch.setattr(Leaky, "leak", 0.1))
    other = nn.RNNCell(D, H, rng=0)
    assert_not_stale(lambda: other, lambda: setattr(other, "activation", mg.sigmoid))


def test_closures_globals_and_defaults_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    k = 1.0
    box = {"k": 1.0}

    def set_k() -> None:
        nonlocal k
        k = 3.0

    assert_not_stale(lambda: lambda x, h: by(k, x, h), set_k)
    assert_not_stale(lambda: lambda x, h: by(box["k"], x, h), lambda: box.update(k=3.0))
    box = {"k": 1.0}
    assert_not_stale(lambda: lambda x, h, k=box["k"]: by(k, x, h), lambda: box.update(k=3.0))
    box = {"k": 1.0}
    assert_not_stale(lambda: functools.partial(by, box["k"]), lambda: box.update(k=3.0))
    monkeypatch.setattr(Config, "k", 1.0)


def test_numbers_read_out_of_a_weight_are_not_kept() -> None:
    V = Tensor(W.data)

    def cell(x: Any, h: Any) -> Any:
        return mg.tanh(x @ U + h @ V.data)

    nn.unroll(cell, XS, H0, compiled="auto")
    V.data = 2 * V.data
    assert_equal({"hs": run(cell, compiled="auto")}, {"hs": run(cell, compiled=False)}, 1e-12)


class Config:
    k = 1.0


module = types.ModuleType("module")
module.k = 1.0  # type: ignore[attr-defined]


def by_class(x: Any, h: Any) -> Any:
    return by(Config.k, x, h)


def by_module(x: Any, h: Any) -> Any:
    return by(module.k, x, h)


def by_attribute(x: Any, h: Any) -> Any:
    return by(by_attribute.k, x, h)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("cell", "holder"), [(by_class, Config), (by_module, module), (by_attribute, by_attribute)])
def test_settings_kept_in_a_class_a_module_or_a_function_may_change(
    cell: Any, holder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holder, "k", 1.0, raising=False)
    assert_not_stale(lambda: cell, lambda: monkeypatch.setattr(holder, "k", 3.0))


def with_default(k: float) -> Any:
    def inner(h: Any, q: float = 1.0) -> Any:
        return h * q

    return lambda x, h, k=k: by(k, x, inner(h))


def with_defaults(k: float) -> Any:
    def first(h: Any, q: float = 1.0) -> Any:
        return h * q

    def second(h: Any, q: float = k) -> Any:
        return h * q

    return lambda x, h: by(1.0, x, second(first(h)))


def with_partials(k: float) -> Any:
    times = lambda k, h: k * h
    one, other = functools.partial(times, 1.0), functools.partial(times, k)
    return lambda x, h: by(1.0, x, other(one(h)))


@pytest.mark.parametrize("make", [with_default, with_defaults, with_partials])
def test_defaults_of_several_functions_may_change(make: Callable[[float], Any]) -> None:
    k = [1.0]
    assert_not_stale(lambda: make(k[0]), lambda: k.__setitem__(0, 3.0))


class Slots:
    __slots__ = ("k",)

    def __init__(self) -> None:
        self.k = 1.0

    def __call__(self, x: Any, h: Any) -> Any:
        return by(self.k, x, h)


@dataclasses.dataclass
class Data:
    k: float = 1.0

    def __call__(self, x: Any, h: Any) -> Any:
        return by(self.k, x, h)


def test_a_dataclass_is_a_cell() -> None:
    cell = Data()
    assert_not_stale(lambda: cell, lambda: setattr(cell, "k", 3.0))


@pytest.mark.parametrize("make", [Data, Slots])
def test_cells_without_hash_or_weak_reference_can_be_explained(make: Any) -> None:
    cell = make()
    run(cell)
    assert type(cell).__name__ in nn.explain(cell)


def test_a_bound_method_can_be_explained() -> None:
    net = Scaled()
    run(net.__call__)
    assert nn.explain(net.__call__).endswith("compiled, on NumPy.")


# ---------------------------------------------------------------------------------------------- what must be refused
class Counting:
    def __init__(self, limit: int) -> None:
        self.n, self.limit = 0, limit

    def __call__(self, x: Any, h: Any) -> Any:
        self.n += 1
        return h if self.n > self.limit else simple(x, h)


def coin(kind: str) -> Any:
    """A cell that skips a step now and then."""
    rng = np.random.default_rng(1)
    draw: Any = {"generator": rng.random, "NumPy": np.random.random, "Python": random.random}[kind]
    return lambda x, h: h if draw() < 1e-3 else simple(x, h)


REFUSED: dict[str, Callable[[], Any]] = {
    "dropout": lambda: (lambda r: lambda x, h: mg.dropout(simple(x, h), 0.3, rng=r))(np.random.default_rng(0)),
    "noise": lambda: (lambda r: lambda x, h: simple(x, h) + r.standard_normal(H))(np.random.default_rng(0)),
    "counting": lambda: (lambda n: lambda x, h: simple(x, h) * next(n))(iter(range(1, 99))),
    "branching": lambda: lambda x, h: simple(x, h) if h.sum() > 0 else h,
    "branching on data": lambda: lambda x, h: simple(x, h) if (h.data > 0).any() else h,
    "sorting": lambda: lambda x, h: mg.sort(simple(x, h), -1),
    "looking at x": lambda: lambda x, h: simple(x, h) if np.any(x) else h,
    "a number": lambda: lambda x, h: float(h[0, 0]) * simple(x, h),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_depends_on_numbers_or_chance_is_refused_and_auto_uses_the_tape(kind: str) -> None:
    with pytest.raises(TraceError, match="compile: "):
        run(REFUSED[kind]())
    cell, state = REFUSED[kind](), Tensor(H0)
    hs, _ = nn.unroll(cell, XS, state, compiled="auto")
    assert hs.requires_grad
    assert "on the tape. compile: " in nn.explain(cell)


@pytest.mark.parametrize(
    "make",
    [lambda: Counting(9),
     lambda: coin("generator"), lambda: coin("NumPy"), lambda: coin("Python")],
    ids=["counter", "generator", "NumPy", "Python"],
)  # fmt: skip
def test_what_changes_seldom_is_refused_too(make: Callable[[], Any]) -> None:
    with pytest.raises(TraceError):
        run(make(), xs=normal(20, B, D))


def test_a_cell_that_keeps_its_states_is_refused() -> None:
    kept: list[Any] = []

    def cell(x: Any, h: Any) -> Any:
        kept.append(simple(x, h))
        return kept[-1] + (0.5 * kept[-2] if len(kept) > 1 else 0.0)

    with pytest.raises(TraceError):
        run(cell)


@pytest.mark.parametrize(("wrong", "state"), [
    (lambda x, s: (s[0], (s[0], s[1])), (H0, C0)), (lambda x, s: None, H0), (lambda x, s: (s, s), H0),
    (lambda x, s: s @ U, H0), (lambda x, s: 1 / 0, H0),
])  # fmt: skip
def test_a_cell_that_is_wrong_is_an_error_in_both_ways(wrong: Any, state: Any) -> None:
    with pytest.raises((ValueError, TypeError, ZeroDivisionError)):
        run(wrong, state=state, compiled=False)
    with pytest.raises((ValueError, TypeError, ZeroDivisionError)):
        run(wrong, state=state)


@pytest.mark.parametrize(("wrong", "state"), [
    (lambda x, s: [s[0], s[1]], (H0, C0)), (lambda x, s: (s[0], s[1][0], s[1][1]), (H0, (C0, C0))),
    (lambda x, s: {"h": s}, H0),
])  # fmt: skip
def test_a_state_of_another_form_is_the_error_of_the_tape(wrong: Any, state: Any) -> None:
    with pytest.raises(ValueError, match="as its state and returned"):
        run(wrong, state=state, compiled=False)
    with pytest.raises((ValueError, TraceError)):
        run(wrong, state=state)


def test_a_cell_that_returns_an_array_falls_back_to_the_tape() -> None:
    xs, state = Tensor(XS), Tensor(H0)
    hs, _ = nn.unroll(lambda x, h: np.ones((B, H)), xs, state, compiled="auto")
    assert hs.shape == (T, B, H)


def test_checkpoints_lists_and_few_steps_say_why_they_are_not_compiled() -> None:
    cell = nn.RNNCell(D, H, rng=0)
    with pytest.raises(TraceError, match="checkpoint= makes the graph again"):
        nn.unroll(cell, XS, compiled=True, checkpoint=True)
    with pytest.raises(TraceError, match="stack\\(\\) the steps"):
        nn.unroll(simple, [*XS], H0, compiled=True)
    nn.unroll(cell, XS[:2], compiled="auto")
    assert "the loop is short" in nn.explain(cell)
    with pytest.raises(ValueError, match="compiled"):
        nn.unroll(cell, XS, compiled="yes")


def test_anomaly_mode_uses_the_tape_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    lstm = nn.LSTM(D, H, rng=0)
    expected = lstm(XS)[0].data
    with caplog.at_level(logging.WARNING, "microgradrnn"), mg.detect_anomaly():
        for _ in range(3):
            hs, _ = lstm(XS, compiled=True)
        mg.square(hs).sum().backward()
    assert np.array_equal(hs.data, expected)
    assert [record.message for record in caplog.records].count(
        "LSTMCell runs uncompiled: anomaly mode looks at every operation") == 1


# ------------------------------------------------------------------------------------------------------ NaN and inf
def test_where_hides_nan() -> None:
    for cell in (
        lambda x, h: mg.where(h > 0, mg.sqrt(h), 0.5 * h) @ W + x @ U,
        lambda x, h: 0.5 * mg.where(x @ U > 0, mg.log(x @ U), h),
        lambda x, h: mg.where(h > 0.5, mg.sqrt(h - 0.3), 0.5 * h) + 0.1 * x @ U,
    ):
        compare(cell, XS, H0, [U, W])
        ours = found(cell, XS, H0, [U], "both", NUMPY)
        assert all(np.isfinite(a).all() for a in ours.values())
        compare(cell, XS, H0, [U, W], lengths=LENGTHS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_where_the_tape_has_them(bad: float) -> None:
    xs, state = XS.copy(), H0.copy()
    xs[3, 1, 0] = bad
    compare(simple, xs, H0, [U, W, b])
    compare(gated([slice(k * H, (k + 1) * H) for k in range(4)]), xs, (H0, C0), [])
    compare(simple, xs, H0, [U, W, b], lengths=[7, 3, 2, 7])
    state[2, 1] = bad
    compare(simple, XS, state, [U, W, b])
    compare(lambda x, h: mg.sqrt(h) + x @ U, XS, H0, [U])
    compare(lambda x, h: 3 * h * h + x @ U, normal(12, B, D), 2 * H0, [U])


@pytest.mark.parametrize("reverse", [False, True])
def test_what_happens_over_padding_does_not_count(reverse: bool) -> None:
    lengths = [12, 2, 3, 2]
    xs = np.abs(normal(12, B, D)) + 1
    for cell in (
        lambda x, h: simple(mg.log(x), h),
        lambda x, h: simple(1 / (x * x), h),
        lambda x, h: simple(x / mg.linalg.norm(x, axis=-1, keepdims=True), h),
        lambda x, h: 1.5 * h * h + 0.05 * x @ U,
    ):
        compare(cell, xs, np.repeat([[0.01], [2], [2], [2]], H, 1), [U, W, b], lengths=lengths, reverse=reverse)


def test_an_output_that_nobody_reads_sends_nothing_back() -> None:
    compare(lambda x, s: (mg.sqrt(0.0 * s[1]), 0.5 * s[1] + x @ U), XS, (H0, np.zeros((B, H))), [U],
            reads=["last part"])  # fmt: skip


# ------------------------------------------------------------------------------------------------------- workspaces
def forward(cell: Any, xs: Any, state: Any, **options: Any) -> Any:
    return loss_of(*nn.unroll(cell, xs, state, compiled=NUMPY, **options), "both")


def alone(xs: np.ndarray, **options: Any) -> list[np.ndarray]:
    leaves = [Tensor(xs), Tensor(H0), U, W, b]
    loss = loss_of(*nn.unroll(simple, leaves[0], leaves[1], compiled=False, **options), "both")
    return [np.array(g) for g in mg.grad(loss, leaves)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0, 1)])
def test_several_forward_passes_may_wait_for_their_backward_passes(order: tuple[int, ...]) -> None:
    inputs = [Tensor(normal(n, B, D, seed=k)) for k, n in enumerate((T, T, T + 3))]
    h0 = Tensor(H0)
    losses = [forward(simple, xs, h0) for xs in inputs]
    for k in order:
        gradients = mg.grad(losses[k], [inputs[k], h0, U, W, b])
        for ours, theirs in zip(gradients, alone(inputs[k].data), strict=True):
            np.testing.assert_allclose(np.array(ours), theirs, rtol=0, atol=1e-12 * abs(theirs).max())


def test_backward_twice_adds_up_and_dropped_results_do_no_harm() -> None:
    xs, h0 = Tensor(XS), Tensor(H0)
    loss = forward(simple, xs, h0)
    for k in range(6):
        forward(simple, normal(T, B, D, seed=k), h0)
        nn.unroll(simple, normal(T, B, D, seed=k), h0, compiled=NUMPY)
    gc.collect()
    loss.backward()
    once = xs.grad.copy()
    loss.backward()
    np.testing.assert_allclose(xs.grad, 2 * once, rtol=1e-14)
    np.testing.assert_allclose(once, alone(XS)[0], rtol=0, atol=1e-12 * abs(once).max())


def test_results_are_not_overwritten_by_later_calls() -> None:
    def cell(x: Any, s: Any) -> Any:
        return simple(x, s[0]) * s[1], s[1]

    xs, state = Tensor(XS), (Tensor(H0), Tensor(C0))
    hs, last = nn.unroll(cell, xs, state, compiled=NUMPY)
    gradients = mg.grad(loss_of(hs, last, "both"), [xs, *state, U, W, b])
    arrays = [hs.data, *(part.data for part in last), *map(np.asarray, gradients)]
    before = [a.copy() for a in arrays]
    del hs, last
    for k in range(4):
        other = Tensor(normal(T, B, D, seed=k + 7))
        mg.grad(loss_of(*nn.unroll(cell, other, (C0, H0), compiled=NUMPY), "both"), [other, U])
        gc.collect()
    assert all(np.array_equal(a, c) for a, c in zip(arrays, before, strict=True))
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, c) for c in arrays[:i])


def test_a_result_does_not_share_memory_with_what_was_given() -> None:
    for cell, state in ((lambda x, h: x, normal(B, D)), (lambda x, h: h, H0)):
        xs = XS.copy()
        hs, last = nn.unroll(cell, Tensor(xs), Tensor(state), compiled=NUMPY)
        before = hs.data.copy(), last.data.copy()
        xs *= 2
        assert np.array_equal(hs.data, before[0])
        assert np.array_equal(last.data, before[1])


def test_threads_may_use_the_same_cell_on_different_data() -> None:
    expected = [alone(normal(n, B, D, seed=n)) for n in range(3, 11)]
    wrong: list[Any] = []

    def work(k: int) -> None:
        try:
            for j in range(8):
                n = 3 + (k + j) % 8
                xs, h0 = Tensor(normal(n, B, D, seed=n)), Tensor(H0)
                gradients = mg.grad(forward(simple, xs, h0), [xs, h0, U, W, b])
                for ours, theirs in zip(gradients, expected[n - 3], strict=True):
                    np.testing.assert_allclose(np.array(ours), theirs, rtol=0, atol=1e-12 * abs(theirs).max())
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_exception_in_the_middle_leaves_nothing_behind() -> None:
    fail = [True]

    def cell(x: Any, h: Any) -> Any:
        if fail[0]:
            raise RuntimeError("in the middle")
        return simple(x, h)

    with pytest.raises(RuntimeError, match="in the middle"):
        run(cell)
    fail[0] = False
    compare(cell, XS, H0, [U, W, b])
    xs, h0 = Tensor(XS), Tensor(H0)
    loss = forward(simple, xs, h0)
    xs.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loss.backward()
    compare(simple, XS, H0, [U, W, b])


def test_training_gives_the_same_weights() -> None:
    def trained(compiled: Any) -> dict[str, np.ndarray]:
        net, head = nn.GRU(D, H, 2, rng=0), nn.Linear(H, 2, rng=1)
        adam = optim.Adam([*net.parameters(), *head.parameters()], lr=0.02)
        for k in range(12):
            loss = mg.square(head(net(normal(T + k % 2, B, D, seed=k), compiled=compiled)[0])).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        return {str(k): q.data for k, q in enumerate(net.parameters())}

    assert_equal(trained(NUMPY), trained(False), 1e-10)


def test_frozen_weights_get_no_gradient_and_may_thaw() -> None:
    net = Scaled()
    for trains in (True, False, True):
        net.W.requires_grad = trains
        net.W.grad = None
        forward(net, XS, Tensor(H0)).backward()
        assert (net.W.grad is not None) == trains
        compare(net, XS, H0, [U])


def test_weights_that_change_before_the_backward_pass_are_an_error() -> None:
    net = Scaled()
    loss = forward(net, XS, H0)
    net.W.data = 2 * net.W.data
    with pytest.raises(RuntimeError, match="was changed after the forward pass"):
        loss.backward()


def test_inputs_that_change_in_place_before_the_backward_pass_do_not_count() -> None:
    xs = XS.copy()
    loss = forward(simple, xs, H0)
    xs *= 3
    expected = alone(XS)[3]
    np.testing.assert_allclose(np.array(mg.grad(loss, [W])[0]), expected, rtol=0, atol=1e-12 * abs(expected).max())


def test_without_a_graph_there_is_no_gradient() -> None:
    with mg.no_grad():
        hs, h = nn.unroll(simple, Tensor(XS), Tensor(H0), compiled=NUMPY)
    assert not hs.requires_grad
    assert not h.requires_grad
    np.testing.assert_allclose(hs.data, run(simple, compiled=False), rtol=0, atol=1e-12)
    V = U.data.copy()
    plain, _ = nn.unroll(lambda x, h: np.tanh(x @ V + h), XS, H0, compiled=NUMPY)
    assert isinstance(plain, np.ndarray)


def test_what_no_gradient_flows_to_keeps_none() -> None:
    xs, h0 = Tensor(XS), Tensor(H0)
    nn.unroll(lambda x, h: mg.tanh(h @ W), xs, h0, compiled=False)[0].sum().backward()
    assert xs.grad is None
    nn.unroll(lambda x, h: mg.tanh(h @ W), xs, h0, compiled=NUMPY)[0].sum().backward()
    assert xs.grad is None


def keep(calls: list[np.ndarray], g: Any) -> None:
    calls.append(np.array(g))


def test_hooks_on_inputs_states_and_results_are_called_once() -> None:
    seen: dict[str, list[np.ndarray]] = {}
    for compiled in (False, NUMPY):
        xs, h0 = Tensor(XS), Tensor(H0)
        hs, h = nn.unroll(simple, xs, h0, compiled=compiled)
        calls: list[np.ndarray] = []
        for x in (xs, h0, hs, U):
            x.register_hook(functools.partial(keep, calls))
        loss_of(hs, h, "both").backward()
        seen[str(compiled)] = sorted(calls, key=lambda a: a.shape)
        U.hooks = None
    ours, theirs = seen.values()
    assert len(ours) == len(theirs) == 4
    for a, c in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, c, rtol=0, atol=1e-12 * abs(c).max())


def test_a_gradient_at_a_node_inside_an_unfolded_loop() -> None:
    found_inside = []
    for compiled in (False, NUMPY):
        hs, _ = nn.RNN(D, H, rng=0)(Tensor(XS), compiled=compiled)
        loss = mg.square(hs[-1]).sum()
        inside: dict[Any, Any] = {}
        loss.backward(observe=lambda node, k, x, g, inside=inside: inside.setdefault(str(node.scope), node))
        node = next(node for scope, node in inside.items() if "t=2" in scope)
        found_inside.append(np.array(mg.grad(loss, [node])[0]))
    assert np.abs(found_inside[0]).max() > 0
    np.testing.assert_allclose(found_inside[1], found_inside[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("compiled", [False, NUMPY])
def test_lengths_may_be_overwritten_before_the_backward_pass(compiled: Any) -> None:
    lengths, x, gradients = np.array(LENGTHS), Tensor(XS), []
    for change in (False, True):
        x.zero_grad()
        last = nn.unroll(simple, x, H0, lengths=lengths, compiled=compiled)[1]
        if change:
            lengths[:] = 1
        (last * last).sum().backward()
        gradients.append(x.grad)
    np.testing.assert_array_equal(*gradients)
