"""Compiled loops over time have the outputs, states and gradients of the loop on the tape, for any cell."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import microgradrnn as mg
import viz
from microgradrnn import Tensor, nn
from microgradrnn.compiler import layout, loop
from microgradrnn.engine import Node, mark

T, B, D, H = 7, 4, 3, 5
LENGTHS = [7, 1, 4, 4]
NUMPY: Any = "numpy"  # the back end that is tested here
READ = ("hs", "last", "both", "rows", "first part", "last part")


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng((seed, *shape)).standard_normal(shape)


def parts(state: Any) -> Iterator[Any]:
    """The arrays of a nested state."""
    if isinstance(state, tuple):
        for part in state:
            yield from parts(part)
    else:
        yield state


def built(state: Any, make: Callable[[Any], Any]) -> Any:
    """A state of the same form, its arrays replaced."""
    if isinstance(state, tuple):
        made = [built(part, make) for part in state]
        return type(state)(*made) if hasattr(state, "_fields") else tuple(made)
    return make(state)


def numbers(x: Any) -> np.ndarray:
    return np.asarray(x.data if isinstance(x, Node) else x)


def loss_of(hs: Any, last: Any, read: str) -> Any:
    """A sum with unequal weights of what is read."""
    ends = [part for part in parts(last) if isinstance(part, Node)]
    which = {"hs": [hs], "last": ends, "both": [hs, *ends], "rows": [hs[0], hs[-1]],
             "first part": ends[:1], "last part": ends[-1:]}[read]  # fmt: skip
    random = np.random.default_rng(3)
    return sum((y * random.standard_normal(y.shape).astype(y.dtype)).sum() for y in which)


def found(
    cell: Any, xs: Any, state: Any, closed: Sequence[Any], read: str, compiled: Any, **options: Any
) -> dict[str, np.ndarray]:
    """All numbers of a forward and a backward pass, by name."""
    leaves: dict[str, Any] = {f"closed {k}": x for k, x in enumerate(closed)}
    if np.asarray(xs).dtype.kind == "f":
        xs = leaves["xs"] = Tensor(xs)
    if state is not None:
        state = built(state, Tensor)
        leaves |= {f"state {k}": x for k, x in enumerate(parts(state))}
    for x in leaves.values():
        x.grad = None
    hs, last = nn.unroll(cell, xs, state, compiled=compiled, **options)
    loss = loss_of(hs, last, read)
    if loss.requires_grad:
        loss.backward()
    outcome = {"hs": numbers(hs)} | {f"last {k}": numbers(part) for k, part in enumerate(parts(last))}
    for name, x in leaves.items():
        outcome[f"gradient of {name}"] = np.zeros_like(x.data) if x.grad is None else numbers(x.grad)
    return outcome


def assert_equal(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], tolerance: float, what: str = "") -> None:
    """The same shapes, dtypes, NaNs and infinities, and numbers that differ by rounding alone."""
    assert ours.keys() == theirs.keys()
    for name, b in theirs.items():
        a, where = ours[name], f"{what}: {name}"
        assert (a.shape, a.dtype) == (b.shape, b.dtype), where
        assert np.array_equal(np.isnan(a), np.isnan(b)), f"{where}: NaN {np.isnan(a).sum()} and {np.isnan(b).sum()}"
        finite = np.isfinite(b)
        assert np.array_equal(a[~finite], b[~finite], equal_nan=True), f"{where}: infinities"
        scale = max(float(np.abs(b[finite]).max(initial=0.0)), 1e-3)
        np.testing.assert_allclose(a[finite], b[finite], rtol=0, atol=tolerance * scale, err_msg=where)


def compare(
    cell: Any, xs: Any, state: Any, closed: Sequence[Any] = (), *, reads: Sequence[str] = READ,
    tolerance: float = 1e-12, compiled: Any = NUMPY, **options: Any,
) -> None:  # fmt: skip
    """Compiled, a loop has the numbers of the tape."""
    with np.errstate(all="ignore"):
        for read in reads:
            theirs = found(cell, xs, state, closed, read, False, **options)
            ours = found(cell, xs, state, closed, read, compiled, **options)
            assert_equal(ours, theirs, tolerance, read)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Factors are worked out for two steps or so at a time, so that there are many borders."""
    monkeypatch.setattr(layout, "CACHE", 2 * B * H)
    monkeypatch.setattr(loop, "STEPS", type(loop.STEPS)())


# ------------------------------------------------------------------------------------------------------ cells of all
U, W, b, p = Tensor(normal(D, H, scale=0.4)), Tensor(normal(H, H, scale=0.4)), Tensor(normal(H)), Tensor(normal(H))
U4, W4, b4 = Tensor(normal(D, 4 * H, scale=0.4)), Tensor(normal(H, 4 * H, scale=0.4)), Tensor(normal(4 * H))
U11, W3 = Tensor(normal(D, 11)), Tensor(normal(2, H, H, scale=0.3))
memory = Tensor(normal(B, 6, H))
XS, H0, C0, N0 = normal(T, B, D), normal(B, H, seed=1), normal(B, H, seed=2), normal(B, H, seed=3)
Pair = namedtuple("Pair", "h c")


def simple(x: Any, h: Any) -> Any:
    return mg.tanh(x @ U + h @ W + b)


def normed(z: Any, axis: int) -> Any:
    return (z - z.mean(axis, keepdims=True)) / mg.sqrt(z.var(axis, keepdims=True) + 1e-5)


def attention(x: Any, h: Any) -> Any:
    a = mg.softmax((memory @ h[:, :, None])[:, :, 0], -1)
    return simple(x, h) + (a[:, None, :] @ memory)[:, 0]


def gated(order: Sequence[slice], keep_z: bool = False) -> Any:
    """An LSTM whose blocks lie in any order."""
    def cell(x: Any, state: Any) -> Any:
        z = x @ U4 + state[0] @ W4 + b4
        i, f, g, o = (z[:, cut] for cut in order)
        c = mg.sigmoid(f) * state[1] + mg.sigmoid(i) * mg.tanh(g)
        return (mg.sigmoid(o) * mg.tanh(c), c, z) if keep_z else (mg.sigmoid(o) * mg.tanh(c), c)

    return cell


BLOCKS = [slice(k * H, (k + 1) * H) for k in range(4)]


def uneven(x: Any, h: Any) -> Any:
    z = x @ U11 + mg.concat([h, h, h[:, :1]], -1)
    return mg.concat([mg.tanh(z[:, 4:6]), mg.sigmoid(z[:, :1]), mg.tanh(z[:, 1:3]) * mg.sigmoid(z[:, 9:])], -1)


def doubled(x: Any, state: Any) -> Any:
    y = simple(x, state[0] * state[1])
    return y, y


def fast_weights(x: Any, state: Any) -> Any:
    h = mg.tanh(x @ U + (state[1] @ state[0][:, :, None])[:, :, 0])
    return h, 0.9 * state[1] + 0.1 * h[:, :, None] * h[:, None, :]


def ranks(x: Any, state: Any) -> Any:
    h, v, cube = state
    return simple(x, h), v + h[:, :2].mean(0), 0.5 * cube + h[:, :, None] * x[:, None, :]


OWN: dict[str, tuple[Any, Any, list[Any]]] = {
    "simple": (simple, H0, [U, W, b]),
    "half": (lambda x, h: 0.5 * simple(x, h), H0, [U, W, b]),
    "residual": (lambda x, h: h + 0.1 * simple(x, h), H0, [U, W, b]),
    "where": (lambda x, h: mg.where(h > 0, simple(x, h), 0.3 * h), H0, [U, W, b]),
    "where with and, or, not": (
        lambda x, h: mg.where(((h > 0) & ~(x @ U < 0.5)) | (h < -1), simple(x, h), 0.3 * h), H0, [U, W, b]),
    "clip": (lambda x, h: mg.clip(x @ U + h @ W, -0.5, 0.6), H0, [U, W]),
    "maximum": (lambda x, h: mg.maximum(x @ U, h @ W), H0, [U, W]),
    "layer norm": (lambda x, h: p * normed(x @ U + h @ W, -1) + b, H0, [U, W, b, p]),
    "batch norm": (lambda x, h: mg.tanh(p * normed(x @ U + h @ W, 0) + b), H0, [U, W, b, p]),
    "softmax": (lambda x, h: mg.softmax(x @ U + h @ W, -1), H0, [U, W]),
    "softmax of weights": (lambda x, h: mg.tanh(x @ U + 2 * h @ mg.softmax(W, -1)), H0, [U, W]),
    "attention": (attention, H0, [U, W, b, memory]),
    "einsum": (lambda x, h: mg.tanh(mg.einsum("bd,dh->bh", x, U) + mg.einsum("bi,ij->bj", h, W)), H0, [U, W]),
    "state handed through": (lambda x, h: h, H0, []),
    "x is the state": (lambda x, h: x, normal(B, D), []),
    "sum of inputs": (lambda x, h: h + x, normal(B, D), []),
    "swapped": (lambda x, s: (s[1], simple(x, s[0])), (H0, C0), [U, W, b]),
    "swapped, nothing else": (lambda x, s: (s[1], s[0]), (H0, C0), []),
    "turned round": (lambda x, s: (s[2], s[0], simple(x, s[1])), (H0, C0, N0), [U, W, b]),
    "twice the same": (doubled, (H0, C0), [U, W, b]),
    "nested": (lambda x, s: (simple(x, s[1][0]) + s[0], (0.5 * s[0], s[1][1] + s[0])), (H0, (C0, N0)), [U, W, b]),
    "named": (lambda x, s: Pair(simple(x, s.h) + s.c, 0.5 * s.c + s.h), Pair(H0, C0), [U, W, b]),
    "other shapes and ranks": (ranks, (H0, normal(2), normal(B, H, D)), [U, W, b]),
    "fast weights": (fast_weights, (H0, normal(B, H, H)), [U]),
    "x in the state": (lambda x, s: (simple(x, s[0]) + s[1] @ U, x), (H0, normal(B, D)), [U, W, b]),
    "no x": (lambda x, h: mg.tanh(h @ W), H0, [W]),
    "no state": (lambda x, h: mg.tanh(x @ U), H0, [U]),
    "neither": (lambda x, h: mg.broadcast_to(p, (B, H)), H0, [p]),
    "weights used twice": (lambda x, h: mg.tanh(mg.tanh(x @ U + h @ W) @ W + h @ W.T), H0, [U, W]),
    "a vector of weights": (lambda x, h: mg.tanh(x @ U + p * h), H0, [U, p]),
    "weights of rank 3": (lambda x, h: mg.tanh(x @ U + h @ W3[0] + h @ W3[1]), H0, [U, W3]),
    "matrix times vector": (lambda x, h: simple(x, h) * (h @ p)[:, None], H0, [U, W, b, p]),
    "vectors times weights": (lambda x, h: simple(x, h) * (p @ b) + p @ W + W @ p, H0, [U, W, b, p]),
    "LSTM": (gated(BLOCKS), (H0, C0), [U4, W4, b4]),
    "LSTM, tanh first": (gated([BLOCKS[k] for k in (2, 3, 0, 1)]), (H0, C0), [U4, W4, b4]),
    "LSTM, net input kept": (gated([BLOCKS[k] for k in (1, 3, 2, 0)], True), (H0, C0, normal(B, 4 * H)), [U4, W4, b4]),
    "side by side": (lambda x, h: mg.tanh(mg.concat([h, x], -1) @ mg.concat([W, U], 0) + b), H0, [U, W, b]),
    "joined from pieces": (
        lambda x, h: mg.concat([mg.tanh(h[:, 3:]), mg.sigmoid(x @ U)[:, :1], mg.relu(h[:, :2])], -1), H0, [U]),
    "uneven blocks": (uneven, H0, [U11]),
    "along the batch": (lambda x, h: mg.tanh(mg.concat([h[1:], h[:1]], 0) + x @ U), H0, [U]),
    "mean over the batch": (lambda x, h: simple(x, h) - h.mean(0), H0, [U, W, b]),
    "flipped": (lambda x, h: mg.tanh(h[:, ::-1] + x @ U), H0, [U]),
    "strides": (lambda x, h: mg.tanh(mg.concat([h[:, ::2], h[:, 1::2]], -1) + x @ U), H0, [U]),
    "index arrays": (lambda x, h: mg.tanh(h[:, [4, 0, 0, 2, 1]] + x[:, [2, 0, 0]] @ U), H0, [U]),
    "index arrays in weights": (lambda x, h: mg.tanh(h @ W[[4, 0, 0, 2, 1]] + x @ U), H0, [U, W]),
    "rolled": (lambda x, h: mg.tanh(mg.roll(h, 1, -1) + mg.pad(h[:, :3], [(0, 0), (1, 1)]) + x @ U), H0, [U]),
    "cumsum": (lambda x, h: mg.tanh(mg.cumsum(h, -1) + mg.cumsum(x, 0) @ U), H0, [U]),
    "unit length": (
        lambda x, h: (lambda y: y / mg.linalg.norm(y, axis=-1, keepdims=True))(simple(x, h)), H0, [U, W, b]),
    "logsumexp": (lambda x, h: simple(x, h) - mg.logsumexp(h, -1, keepdims=True), H0, [U, W, b]),
    "max and min": (lambda x, h: simple(x, h) - mg.max(h, axis=0) - mg.min(h, -1, keepdims=True), H0, [U, W, b]),
    "transposed": (lambda x, h: mg.tanh((W @ h.T + U.T @ x.T).T), H0, [U, W]),
    "reshaped": (lambda x, h: mg.tanh(h.T.reshape(B, H) + x @ U), H0, [U]),
    "outer products": (lambda x, h: simple(x, h) + ((h[:, :, None] @ x[:, None, :]) @ U)[:, :, 0], H0, [U, W, b]),
    "mask": (lambda x, h: simple(x, h) * np.array([1, 0, 1, 1, 0.0]), H0, [U, W, b]),
    "mask of bools": (
        lambda x, h: mg.where(np.array([True, False, True, True, False]), simple(x, h), h), H0, [U, W, b]),
    "integers": (lambda x, h: simple(x, h) * np.arange(H), H0, [U, W, b]),
    "powers": (lambda x, h: mg.tanh(x @ U + (h**2 + 1) ** 0.5 + h**3), H0, [U]),
    "quotient": (lambda x, h: mg.tanh(x @ U / (1 + mg.exp(-h))), H0, [U]),
    "many functions": (
        lambda x, h: mg.sin(x @ U) * mg.cos(h @ W) + mg.arctan2(h, 1 + h**2) + mg.erf(h) - mg.softplus(abs(h)), H0,
        [U, W]),
    "detached": (lambda x, h: simple(x, h.detach()) + 0.5 * h, H0, [U, W, b]),
    "shapes decide": (lambda x, h: simple(x, h) * x.shape[0] / h.shape[1], H0, [U, W, b]),
    "NumPy's functions": (lambda x, h: 0.5 * np.where(h > 0, h, 0.1 * h) + np.tanh(x @ U), H0, [U]),
    "stacked": (lambda x, h: mg.stack([simple(x, h), h, 0.5 * h], axis=0).sum(0), H0, [U, W, b]),
    "one row at a time": (lambda x, h: mg.stack([0.5 * row for row in simple(x, h)], axis=0), H0, [U, W, b]),
    "updated": (lambda x, h: mg.index_update(simple(x, h), (slice(None), slice(1, 3)), 0.5 * h[:, 3:]), H0, [U, W, b]),
}


@pytest.mark.parametrize("kind", OWN)
def test_a_cell_of_ones_own_has_the_numbers_of_the_tape(kind: str) -> None:
    cell, state, closed = OWN[kind]
    for part in parts(found(cell, XS, state, closed, "both", False)["hs"]):
        assert np.abs(part).max() > 0.01  # something happens
    compare(cell, XS, state, closed)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("kind", OWN)
def test_a_cell_of_ones_own_may_run_for_any_number_of_steps_in_both_directions(kind: str) -> None:
    cell, state, closed = OWN[kind]
    long = normal(45, B, D, seed=5)
    options: list[dict[str, Any]] = [{}, {"reverse": True}]
    for steps in (1, 2, 3, 11, 45):
        for way in options:
            compare(cell, long[:steps], state, closed, reads=["both"], **way)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    "kind", [kind for kind, (_, state, _) in OWN.items() if all(part.shape[0] == B for part in parts(state))]
)
def test_sequences_of_a_cell_of_ones_own_may_end_at_different_steps(kind: str) -> None:
    cell, state, closed = OWN[kind]
    long = normal(45, B, D, seed=6)
    for lengths in ([45, 1, 30, 29], [44, 2, 2, 45]):
        for reverse in (False, True):
            compare(cell, long, state, closed, reads=["both", "last"], lengths=lengths, reverse=reverse)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("reverse", [False, True])
def test_a_chunk_ends_where_a_sequence_begins_and_elsewhere(reverse: bool) -> None:
    cell, state, closed = OWN["LSTM"]
    for first in range(1, 9):
        lengths = [9, first, 10 - first, 5]
        compare(cell, normal(9, B, D), state, closed, reads=["both"], lengths=lengths, reverse=reverse)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kind", ["simple", "layer norm", "LSTM", "uneven blocks", "fast weights"])
def test_a_batch_of_one(kind: str, batch: int) -> None:
    cell, state, closed = OWN[kind]
    compare(cell, XS[:, :batch], built(state, lambda part: part[:batch]), closed)


# ------------------------------------------------------------------------------------------------------ other inputs
def test_x_and_state_may_be_vectors_matrices_or_more() -> None:
    compare(lambda x, h: mg.tanh(x @ U + h @ W), XS[:, 0], normal(H), [U, W])
    compare(lambda x, h: mg.tanh(x @ U + h @ W), XS[:, 0], H0, [U, W])
    compare(lambda x, h: mg.tanh((x @ U).mean(0) + h @ W), XS, normal(H), [U, W])
    compare(lambda x, h: mg.tanh((x @ U).sum(1) + h @ W), normal(T, B, 2, D), H0, [U, W])
    compare(lambda x, h: mg.tanh((x @ U).sum((1, 2)) + h @ W), normal(T, B, 2, 6, D), H0, [U, W])


def test_the_first_state_may_broadcast() -> None:
    compare(simple, XS, normal(1, H), [U, W, b], compiled="auto")
    compare(simple, XS, normal(H), [U, W, b], compiled="auto")
    compare(gated(BLOCKS), XS, (normal(1, H), normal(H)), [U4, W4, b4], compiled="auto")


@pytest.mark.parametrize("kind", ["simple", "normed", "gated", "joined", "attention"])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_float32_stays_float32(kind: str, lengths: Any) -> None:
    V, A, k, m, A4 = (Tensor(x.data.astype(np.float32)) for x in (U, W, b, memory, W4))

    def z_of(x: Any, h: Any) -> Any:
        return x @ V + h @ A + k

    def gates(x: Any, state: Any) -> Any:
        i, f, g, o = mg.split(state[0] @ A4, 4, axis=-1)
        c = mg.sigmoid(f + 1) * state[1] + mg.sigmoid(i) * mg.tanh(g + x @ V)
        return mg.sigmoid(o) * mg.tanh(c), c

    cells: dict[str, Any] = {
        "simple": lambda x, h: 0.9 * mg.tanh(z_of(x, h)) + 0.1 * mg.where(h > 0.1, h, h**2),
        "normed": lambda x, h: normed(z_of(x, h), -1) * k + 0.5,
        "gated": gates,
        "joined": lambda x, h: mg.concat([mg.tanh(h[:, 2:]), mg.sigmoid(z_of(x, h)[:, :2])], -1),
        "attention": lambda x, h: mg.tanh(
            z_of(x, h) + (mg.softmax((m * h[:, None]).sum(-1), -1)[:, :, None] * m).mean(1)),
    }  # fmt: skip
    xs, h0 = XS.astype(np.float32), H0.astype(np.float32)
    state = (h0, C0.astype(np.float32)) if kind == "gated" else h0
    assert found(cells[kind], xs, state, [], "hs", NUMPY)["hs"].dtype == np.float32
    compare(cells[kind], xs, state, [V, A, k, m, A4], tolerance=1e-5, lengths=lengths)


def test_a_first_state_in_float32_grows_to_float64() -> None:
    compare(simple, XS, H0.astype(np.float32), [U, W, b], compiled="auto")


@pytest.mark.parametrize("kind", ["integers", "Fortran", "read-only", "strided", "broadcast"])
def test_inputs_may_lie_in_memory_as_they_like_and_are_not_written_to(kind: str) -> None:
    xs = {"integers": (5 * XS).astype(int), "Fortran": np.asfortranarray(XS), "read-only": XS.copy(),
          "strided": np.repeat(XS, 2, axis=1)[::-1, ::2],
          "broadcast": np.broadcast_to(XS[0], XS.shape)}[kind]  # fmt: skip
    before, state = xs.copy(), np.asfortranarray(H0)
    if kind == "read-only":
        xs.flags.writeable = state.flags.writeable = False
    outcomes = []
    for compiled in (False, NUMPY):
        for x in (U, W, b):
            x.grad = None
        hs, h = nn.unroll(simple, xs, state, compiled=compiled, lengths=LENGTHS)
        loss_of(hs, h, "both").backward()
        outcomes.append({"hs": hs.data, "h": h.data} | {str(k): np.array(x.grad) for k, x in enumerate((U, W, b))})
    assert_equal(outcomes[1], outcomes[0], 1e-12)
    assert np.array_equal(xs, before)
    assert np.array_equal(state, H0)


def test_padding_may_hold_nan() -> None:
    xs = XS.copy()
    for k, n in enumerate(LENGTHS):
        xs[n:, k] = np.nan
    for kind in ("simple", "LSTM", "layer norm"):
        cell, state, closed = OWN[kind]
        for reverse in (False, True):
            ours = found(cell, xs, state, closed, "both", NUMPY, lengths=LENGTHS, reverse=reverse)
            assert all(np.isfinite(a).all() for a in ours.values())
            compare(cell, xs, state, closed, lengths=LENGTHS, reverse=reverse)


def test_a_node_may_come_in_twice() -> None:
    def gradients(compiled: Any) -> dict[str, np.ndarray]:
        h0, xs = Tensor(H0), Tensor(XS)
        hs, last = nn.unroll(lambda x, s: (mg.tanh(x @ U + s[1] @ W), 0.5 * s[0]), 2 * xs, (h0, h0), compiled=compiled)
        together = loss_of(hs, last, "both") + (hs * xs[:, :, :1]).sum() + (h0 * last[1]).sum()
        return dict(zip("hx", map(np.array, mg.grad(together, [h0, xs])), strict=True))

    assert_equal(gradients(NUMPY), gradients(False), 1e-12)


def test_a_node_that_was_computed_outside_gets_its_gradient() -> None:
    def gradients(compiled: Any) -> dict[str, np.ndarray]:
        A = mg.softmax(W, -1)
        hs, h = nn.unroll(lambda x, h: mg.tanh(x @ U + h @ A), XS, H0, compiled=compiled)
        return dict(zip("WU", map(np.array, mg.grad(loss_of(hs, h, "both") + mg.square(A).sum(), [W, U])), strict=True))

    assert_equal(gradients(NUMPY), gradients(False), 1e-12)


def test_outputs_may_be_read_in_any_way() -> None:
    def gradients(compiled: Any) -> dict[str, np.ndarray]:
        xs, h0 = Tensor(XS), Tensor(H0)
        hs, h = nn.unroll(simple, xs, h0, compiled=compiled)
        loss = hs[2:5, 1].sum() + hs[-1].sum() + (2 * hs[::-2]).sum() + hs[[0, 0, 1]].sum() + mg.square(hs).sum()
        loss += mg.max(hs) + (h * hs[0]).sum() + mg.square(mg.concat([hs, hs], 0)).mean()
        loss += sum((row * k).sum() for k, row in enumerate(hs))
        return dict(zip("xhUWb", map(np.array, mg.grad(loss, [xs, h0, U, W, b])), strict=True))

    assert_equal(gradients(NUMPY), gradients(False), 1e-12)


# ---------------------------------------------------------------------------------------- the library's own cells
BUILT_IN: dict[str, Callable[[], Any]] = {
    "rnn": lambda: nn.RNNCell(D, H, rng=0),
    "relu": lambda: nn.RNNCell(D, H, activation="relu", rng=0),
    "irnn": lambda: nn.IRNNCell(D, H, rng=0),
    "jordan": lambda: nn.JordanCell(D, 6, H, rng=0),
    "jordan, softmax": lambda: nn.JordanCell(D, 6, 2, feedback=mg.softmax, rng=0),
    "additive": lambda: nn.AdditiveCell(D, H, rng=0),
    "additive, reads state": lambda: nn.AdditiveCell(D, H, reads_state=True, rng=0),
    "lstm": lambda: nn.LSTMCell(D, H, rng=0),
    "lstm, relu": lambda: nn.LSTMCell(D, H, activation="relu", rng=0),
    "lstm, update gate": lambda: nn.UpdateGateLSTMCell(D, H, rng=0),
    "lstm of 1997": lambda: nn.CarouselLSTMCell(D, H, rng=0),
    "lstm, coupled gates": lambda: nn.CoupledLSTMCell(D, H, rng=0),
    "gru, before": lambda: nn.GRUCell(D, H, rng=0),
    "gru, after": lambda: nn.GRUCell(D, H, reset="after", rng=0),
    "gru, z replaces": lambda: nn.GRUCell(D, H, z="replaces", rng=0),
    "mgu": lambda: nn.MGUCell(D, H, rng=0),
    "lstm, peepholes": lambda: nn.PeepholeLSTMCell(D, H, rng=0),
    "lstm, layer norm": lambda: nn.LayerNormLSTMCell(D, H, rng=0),
    "lstm, projected": lambda: nn.LSTMCell(D, H, proj_size=2, rng=0),
    "zoneout": lambda: nn.Zoneout(nn.LSTMCell(D, H, rng=0), (0.1, 0.5)),
}


def layer_numbers(net: Any, xs: Any, state: Any, compiled: Any, **options: Any) -> dict[str, np.ndarray]:
    """Outputs, last states and all gradients of a layer."""
    xs = Tensor(xs)
    state = None if state is None else built(state, Tensor)
    leaves = [xs, *(parts(state) if state is not None else ()), *net.parameters()]
    hs, last = net(xs, state, compiled=compiled, **options)
    outcome = {"hs": hs.data} | {f"last {k}": part.data for k, part in enumerate(parts(last))}
    gradients = mg.grad(loss_of(hs, last, "both"), leaves)
    return outcome | {f"gradient {k}": np.array(g) for k, g in enumerate(gradients)}


@pytest.mark.parametrize("kind", BUILT_IN)
@pytest.mark.parametrize("reverse", [False, True])
def test_every_built_in_cell_has_the_numbers_of_the_tape(kind: str, reverse: bool) -> None:
    cell = BUILT_IN[kind]()
    state = built(cell.initial_state(B), lambda part: normal(*part.shape, seed=4))
    for lengths in (None, LENGTHS):
        compare(cell, XS, state, cell.parameters(), lengths=lengths, reverse=reverse)
        compare(cell, XS, None, cell.parameters(), reads=["both"], lengths=lengths, reverse=reverse)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    "make", [nn.RNNCell, nn.IRNNCell, nn.LSTMCell, nn.GRUCell, nn.MGUCell, nn.CoupledLSTMCell, nn.CarouselLSTMCell]
)
def test_cells_without_biases_and_for_many_steps(make: Any) -> None:
    cell = make(D, H, rng=1) if make is nn.IRNNCell else make(D, H, rng=1, bias=False)
    long = normal(43, B, D, seed=8)
    for reverse in (False, True):
        for lengths in (None, [43, 1, 7, 42]):
            compare(cell, long, None, cell.parameters(), reads=["both"], lengths=lengths, reverse=reverse)


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU, nn.MGU, nn.IRNN])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_stacks_in_both_directions_with_dropout_between_layers(make: Any, both: bool, dtype: Any) -> None:
    net = make(D, H, 3, bidirectional=both, dropout=0.4, rng=0, dtype=dtype)
    xs = XS.astype(dtype)
    for lengths in (None, LENGTHS):
        ours, theirs = (
            layer_numbers(net, xs, None, compiled, lengths=lengths, rng=np.random.default_rng(7))
            for compiled in (NUMPY, False)
        )
        assert_equal(ours, theirs, 1e-12 if dtype == np.float64 else 1e-5)
    assert net.explain().count("compiled, on NumPy.") == (6 if both else 3)


def test_a_net_of_mixed_cells_takes_first_states_and_runs_backwards() -> None:
    net = nn.Recurrent((nn.MGUCell(D, 2, rng=0), nn.RNNCell(D, 6, rng=1)), nn.LSTMCell(8, H, rng=2),
                       nn.GRUCell(H, 3, reset="after", rng=3))  # fmt: skip
    state = ((normal(B, 2), normal(B, 6)), (H0, C0), normal(B, 3))
    for reverse in (False, True):
        for lengths in (None, LENGTHS):
            ours, theirs = (
                layer_numbers(net, XS, state, compiled, lengths=lengths, reverse=reverse) for compiled in (NUMPY, False)
            )
            assert_equal(ours, theirs, 1e-12)


def test_encoder_and_decoder_learn_and_speak_alike() -> None:
    source, target = np.random.default_rng(0).integers(0, 9, (T, B)), np.random.default_rng(1).integers(0, 6, (5, B))
    net = nn.EncoderDecoder(nn.LSTM(D, H, rng=0), nn.LSTM(D, H, rng=1), nn.Embedding(9, D, rng=2),
                            nn.Embedding(6, D, rng=3), nn.Linear(H, 6, rng=4), start=0)  # fmt: skip

    def numbers() -> dict[str, np.ndarray]:
        loss = nn.cross_entropy(net(source, target, lengths=LENGTHS), target)
        gradients = {str(k): np.array(g) for k, g in enumerate(mg.grad(loss, net.parameters()))}
        return gradients | {"loss": loss.data, "said": net.generate(source, 8, lengths=LENGTHS)}

    theirs = numbers()
    with nn.compiling():
        ours = numbers()
    assert nn.explain(net.encoder.cell) == "LSTMCell: compiled, on NumPy."
    assert_equal(ours, theirs, 1e-12)


def test_truncated_back_propagation_carries_the_state_on() -> None:
    lstm = nn.LSTM(D, H, rng=0)

    def gradients(compiled: Any) -> dict[str, np.ndarray]:
        state, total = None, []
        for k in range(0, 45, 9):
            hs, state = lstm(normal(45, B, D)[k : k + 9], nn.detach(state), compiled=compiled)
            total.append(mg.grad(mg.square(hs).sum(), lstm.parameters()))
        return {str(k): np.sum([np.array(g) for g in gs], 0) for k, gs in enumerate(zip(*total, strict=True))}

    assert_equal(gradients(NUMPY), gradients(False), 1e-12)


def test_a_loop_inside_a_step_is_compiled_with_it() -> None:
    def outer(x: Any, h: Any) -> Any:
        return nn.unroll(lambda y, h: mg.tanh(y[:, None] + h @ W), x.T, h)[1]

    with nn.compiling():
        compare(outer, XS, H0, [W], compiled=None)
    assert nn.explain(outer) == "outer: compiled, on NumPy."
    compare(outer, XS, H0, [W], lengths=LENGTHS)


def test_recomputing_a_stretch_runs_a_compiled_loop_again() -> None:
    def gradients(compiled: Any) -> dict[str, np.ndarray]:
        xs = Tensor(XS)
        loss = mg.checkpoint(lambda xs: loss_of(*nn.unroll(simple, xs, H0, compiled=compiled), "both"), xs)
        return dict(zip("xUW", map(np.array, mg.grad(loss, [xs, U, W])), strict=True))

    assert_equal(gradients(NUMPY), gradients(False), 1e-12)


# ------------------------------------------------------------------------------------------------- looking inside
def nets() -> dict[str, Any]:
    return {"rnn": nn.RNN(D, H, rng=0), "lstm": nn.LSTM(D, H, rng=0), "gru": nn.GRU(D, H, 2, rng=0),
            "both ways": nn.RNN(D, H, bidirectional=True, rng=0),
            "own": nn.Recurrent(lambda x, h: mark(mg.tanh(mark(x @ U + h @ W, "z")), "h", role="hidden"))}  # fmt: skip


def loss_and_steps(kind: str, compiled: Any, lengths: Any = None) -> tuple[Any, list[Any]]:
    """The loss of a net and that of each step."""
    net = nets()[kind]
    state = Tensor(H0) if kind == "own" else None
    hs, _ = net(Tensor(XS), state, compiled=compiled, lengths=lengths)
    each = [mg.square(hs[t]).sum() for t in range(T)]
    return sum(each[1:], each[0]), each


def flat(x: Any) -> Iterator[np.ndarray]:
    """All arrays and numbers of nested dicts, lists and dataclasses."""
    if isinstance(x, dict):
        for key in x:
            yield from flat(x[key])
    elif isinstance(x, (list, tuple)):
        for part in x:
            yield from flat(part)
    elif hasattr(x, "__dataclass_fields__"):
        yield from flat([getattr(x, name) for name in x.__dataclass_fields__])
    elif isinstance(x, (int, float, np.ndarray)) and not isinstance(x, bool):
        yield np.asarray(x, float)


VIEWS: dict[str, Callable[[Any, list[Any]], Any]] = {
    "profiles": lambda loss, each: [(q.state, q.steps, q.norms) for q in viz.profiles(viz.gradient_flow(loss))],
    "shares by lag": lambda loss, each: viz.shares(each, by="lag"),
    "Jacobians of steps": lambda loss, each: viz.step_jacobians(loss),
    "errors of steps": lambda loss, each: viz.local_errors(each).norms,
    "norms of messages": lambda loss, each: sorted(viz.gradient_flow(loss).messages.values()),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", nets())
def test_pictures_count_the_same_numbers(kind: str, view: str) -> None:
    ours, theirs = (list(flat(VIEWS[view](*loss_and_steps(kind, compiled)))) for compiled in (NUMPY, False))
    assert len(ours) == len(theirs) > 0
    for a, c in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-9, atol=1e-12)


DRAWINGS: dict[str, Callable[[Any], str]] = {
    "unrolled": lambda loss: viz.draw_unrolled(loss).svg,
    "unrolled with its flow": lambda loss: viz.draw_unrolled(loss, flow=viz.gradient_flow(loss)).svg,
    "rolled": lambda loss: viz.draw_rolled(loss, flow=viz.gradient_flow(loss)).svg,
    "nodes": lambda loss: viz.draw_graph(loss).source,
    "compared": lambda loss: viz.compare_flow({"net": loss}).draw().svg,
}


@pytest.mark.parametrize("drawing", DRAWINGS)
@pytest.mark.parametrize("kind", nets())
@pytest.mark.parametrize("ragged", [False, True])
def test_pictures_look_the_same(kind: str, drawing: str, ragged: bool) -> None:
    lengths = LENGTHS if ragged else None
    ours, theirs = (DRAWINGS[drawing](loss_and_steps(kind, compiled, lengths)[0]) for compiled in (NUMPY, False))
    assert ours == theirs


def test_gradients_of_gradients_are_those_of_the_tape() -> None:
    for kind in ("simple", "LSTM", "layer norm", "where", "named"):
        cell, first, closed = OWN[kind]

        def numbers(compiled: Any, cell: Any = cell, first: Any = first, closed: Any = closed) -> dict[str, np.ndarray]:
            xs, state = Tensor(XS), built(first, Tensor)
            loss = loss_of(*nn.unroll(cell, xs, state, compiled=compiled), "both")
            before = mg.grad(loss, [xs, *closed])
            gradients = mg.grad(loss, [xs, *parts(state), *closed], create_graph=True)
            twice = mg.grad(sum(mg.square(g).sum() for g in gradients), [xs, *closed])
            after = mg.grad(loss, [xs, *closed])
            return {f"{k} {j}": np.array(g) for k, gs in enumerate((before, twice, after)) for j, g in enumerate(gs)}

        assert_equal(numbers(NUMPY), numbers(False), 1e-11, kind)


def test_observers_and_kept_gradients_see_the_steps() -> None:
    def messages(compiled: Any) -> tuple[list[str], list[np.ndarray], np.ndarray]:
        loss = loss_and_steps("lstm", compiled)[0]
        names: list[str] = []
        seen: list[np.ndarray] = []

        def observe(node: Any, k: int, x: Any, message: Any) -> None:
            names.append(f"{node.op.name} {k} {node.scope}")
            seen.append(np.array(message))

        loss.backward(observe=observe)
        return names, seen, np.array(loss.data)

    ours, theirs = messages(NUMPY), messages(False)
    assert sorted(ours[0]) == sorted(theirs[0])
    assert len(ours[0]) > 10 * T
    assert np.isclose(sum(np.abs(m).sum() for m in ours[1]), sum(np.abs(m).sum() for m in theirs[1]), rtol=1e-12)


# ---------------------------------------------------------------------------------------------- cells by the dice
UNARY: list[Callable[[Any], Any]] = [
    mg.tanh, mg.sigmoid, mg.relu, mg.sin, mg.square, lambda y: -y, lambda y: 0.5 * y, lambda y: y[:, ::-1],
    lambda y: mg.softmax(y, -1), lambda y: y - y.mean(-1, keepdims=True), lambda y: y - 0.5 * y.mean(0), mg.erf, abs,
    lambda y: mg.concat([y[:, 2:], y[:, :2]], -1), lambda y: mg.clip(y, -0.7, 0.9), lambda y: y * np.arange(1, H + 1),
    lambda y: y.detach(), lambda y: y.T.reshape(B, H), lambda y: mg.softplus(y) - 0.5,
    lambda y: y / (1 + mg.square(y)),
]  # fmt: skip
GATES: list[Callable[[Any], Any]] = [
    lambda y: mg.concat([mg.tanh(y[:, :1]), mg.sigmoid(y[:, 1:3]), mg.tanh(y[:, 3:])], -1),
    lambda y: mg.concat([mg.sigmoid(y[:, 3:]), mg.sigmoid(y[:, :2]), y[:, 2:3]], -1),
]
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda y, z: y + z, lambda y, z: y - z, lambda y, z: y * z, mg.maximum, mg.minimum,
    lambda y, z: mg.where(y > z, 0.3 * y, z), lambda y, z: mg.sigmoid(y) * z, lambda y, z: y / (2 + mg.square(z)),
    lambda y, z: y * z.sum(-1, keepdims=True), lambda y, z: y + (y[:, :, None] * z[:, None, :]).mean(-1),
    lambda y, z: mg.concat([y[:, :2], z[:, 2:]], -1), lambda y, z: mg.sigmoid(z[:, :1]) * y + z[:1],
]  # fmt: skip


def by_dice(seed: int, unary: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
    """A cell of random operations on random values that it has made so far."""
    dice = np.random.default_rng(seed)
    n = int(dice.integers(1, 4))
    weights = [Tensor(w) for w in (normal(D, H, seed=seed), normal(H, H, seed=seed, scale=0.5), normal(H, seed=seed))]
    plan = [(int(dice.integers(4)), int(dice.integers(len(unary))), int(dice.integers(len(BINARY))),
             *(int(k) for k in dice.integers(0, 1 << 30, 2))) for _ in range(dice.integers(3, 12))]  # fmt: skip
    ends = [int(k) for k in dice.integers(0, 5, n)]

    def cell(x: Any, state: Any) -> Any:
        made = [x @ weights[0], *parts(state), weights[2]]
        made[-1] = mg.broadcast_to(made[-1], (B, H))
        for kind, one, two, i, j in plan:
            y, z = made[i % len(made)], made[j % len(made)]
            if kind < 2:
                made.append(BINARY[two](y, z) if kind else unary[one](y))
            else:
                made.append(y @ weights[1] + (kind - 2) * z)
        made.append(sum(0.1 * y for y in made))  # whatever was made is used
        last = [mg.tanh(made[-1 - k]) + 0.01 * made[-1] for k in ends]
        return last[0] if n == 1 else tuple(last)

    first = [normal(B, H, seed=seed + k) for k in range(n)]
    return cell, first[0] if n == 1 else tuple(first), weights


def compare_dice(seed: int, unary: Sequence[Any]) -> None:
    cell, state, closed = by_dice(seed, unary)
    steps = seed % 9 + 1
    lengths = {"lengths": [steps, 1, (steps + 1) // 2, steps]}
    options: list[dict[str, Any]] = [{}, {"reverse": True}, lengths, {**lengths, "reverse": True}]
    compare(cell, normal(steps, B, D, seed=seed), state, closed, reads=[READ[seed % len(READ)]], **options[seed % 4])


@settings(max_examples=100)
@given(st.integers(0, 10**6))
def test_cells_made_by_dice_have_the_numbers_of_the_tape(seed: int) -> None:
    compare_dice(seed, UNARY)


@settings(max_examples=100)
@given(st.integers(0, 10**6))
def test_cells_with_gates_made_by_dice_have_the_numbers_of_the_tape(seed: int) -> None:
    compare_dice(seed, [*UNARY[:4], *GATES])
