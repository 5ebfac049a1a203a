"""A `where` keeps what was not chosen out of the gradient, through every operation of the table.

For each operation some entries of the inputs are spoilt, and a `where` leaves out every output that depends on one of
them. The gradient must then be what it is with sound inputs, and 0 for the spoilt entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor
from microgradrnn.engine.cotangent import all_finite
from tests.engine.operations import TABLE, Case, inputs, weights
from tests.numerics import assert_same

INF, NAN = float("inf"), float("nan")
BAD = [NAN, INF, -INF, 0.0, -1.0, 1e200]
every_case = pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
both_modes = pytest.mark.parametrize("create_graph", [False, True], ids=["plain", "create_graph"])
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def value(case: Case, xs: list[np.ndarray]) -> np.ndarray:
    with mg.no_grad():
        return np.asarray(case.ours(*map(Tensor, xs)).data)


def spoilt(case: Case) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """Which entries of the inputs may be spoilt, and the outputs that are left out for it; in a few ways.

    What depends on an entry is seen by changing it.
    """
    xs = inputs(case)
    places = [(k, i) for k, x in enumerate(xs) for i in np.ndindex(x.shape)]
    y = value(case, xs)

    def reached(place: Any) -> np.ndarray:
        k, i = place
        reach = np.zeros(y.shape, dtype=bool)
        for bad in BAD:
            changed = [x.copy() for x in xs]
            changed[k][i] = bad
            reach |= value(case, changed) != y
        return reach

    outputs = [reached(place) for place in places]
    rng = np.random.default_rng(len(places))
    for first in rng.choice(len(places), 2, replace=False):
        out = outputs[first] | outputs[rng.integers(len(places))]
        entries = [np.zeros(x.shape, dtype=bool) for x in xs]
        for (k, i), reach in zip(places, outputs, strict=True):
            entries[k][i] = not (reach & ~out).any()
        assert any(e.any() for e in entries)
        yield entries, out


def spoil(xs: list[np.ndarray], entries: list[np.ndarray], bad: float) -> list[np.ndarray]:
    return [np.where(e, bad, x) for x, e in zip(xs, entries, strict=True)]


@every_case
@both_modes
def test_the_gradient_is_that_of_sound_inputs(case: Case, create_graph: bool) -> None:
    for entries, out in spoilt(case):
        seed = weights(out.shape)
        sound = [Tensor(x) for x in inputs(case)]
        expected = mg.grad(case.ours(*sound), sound, seed=np.where(out, 0.0, seed))
        for bad in BAD:
            xs = [Tensor(x) for x in spoil(inputs(case), entries, bad)]
            y = mg.where(out, 7.0, case.ours(*xs))
            for x, g, e, dead in zip(xs, mg.grad(y, xs, seed=seed, create_graph=create_graph), expected, entries,
                                     strict=True):
                g = g.data if create_graph else g
                assert_same(g, np.where(dead, 0.0, e), rel=1e-14, what=f"{bad}")
                assert (g[dead] == 0).all()
                assert g.dtype == x.dtype


@every_case
def test_the_second_derivative_is_that_of_sound_inputs(case: Case) -> None:
    def second(xs: list[Tensor], out: np.ndarray) -> Any:
        y = mg.where(out, 7.0, case.ours(*xs))
        slopes = mg.grad((y * y).sum(), xs, create_graph=True)
        return mg.grad(sum((g * weights(g.shape)).sum() for g in slopes), xs)

    for entries, out in spoilt(case):
        expected = second([Tensor(x) for x in inputs(case)], out)
        for bad in BAD:
            found = second([Tensor(x) for x in spoil(inputs(case), entries, bad)], out)
            for g, e, dead in zip(found, expected, entries, strict=True):
                assert_same(g, np.where(dead, 0.0, e), rel=1e-12, what=f"{bad}")


@every_case
def test_the_gradient_goes_on_silent_behind_the_operation_and_through_checkpoints(case: Case) -> None:
    """The spoilt entries are 0, which is no harm to many an operation, but they come from a root: its slope is not."""
    for entries, out in spoilt(case):
        xs, seed = inputs(case), weights(out.shape)

        def run(squares: list[np.ndarray], keep: Any, order: int, out: Any = out, seed: Any = seed) -> Any:
            roots = [Tensor(s) for s in squares]
            f = lambda *rs: case.ours(*(mg.sqrt(r) * np.sign(x) for r, x in zip(rs, inputs(case), strict=True)))
            y = mg.where(out, 7.0, keep(f, *roots))
            if order == 1:
                return mg.grad(y, roots, seed=seed)
            slopes = mg.grad((y * y * y * seed).sum(), roots, create_graph=True)
            return mg.grad(sum((g * g).sum() for g in slopes), roots)

        for order in (1, 2):
            expected = run([x * x for x in xs], lambda f, *rs: f(*rs), order)
            for keep in (lambda f, *rs: f(*rs), mg.checkpoint):
                found = run([np.where(e, 0.0, x * x) for x, e in zip(xs, entries, strict=True)], keep, order)
                for g, e, dead in zip(found, expected, entries, strict=True):
                    assert_same(g, np.where(dead, 0.0, e), rel=1e-11)


# ------------------------------------------------------------------------------- what must not be silenced
ROWS = np.array([[1.0, 2.0, 4.0], [NAN, 1.0, 3.0], [0.5, NAN, 1.0]])  # the second row is left out, the third is not
LEFT_OUT = np.array([[False], [True], [False]])
PER_ROW: dict[str, Any] = {
    "norm": lambda x: mg.norm(x, 1, keepdims=True),
    "logsumexp": lambda x: mg.logsumexp(x, 1, keepdims=True),
    "prod of squares": lambda x: mg.prod(x * x, 1, keepdims=True),
    "softmax": mg.softmax,
    "log_softmax": mg.log_softmax,
    "std": lambda x: mg.std(x, 1, keepdims=True),
    "einsum": lambda x: mg.einsum("ij,ij->i", x, x)[:, None],
    "product": lambda x: mg.tanh(x @ np.eye(3)[:, :2]) * mg.sum(x, 1, keepdims=True),
    "checkpoint": lambda x: mg.checkpoint(lambda a: mg.norm(mg.exp(a), 1, keepdims=True), x),
}


@pytest.mark.parametrize("name", PER_ROW)
@both_modes
def test_a_nan_that_was_chosen_stays(name: str, create_graph: bool) -> None:
    def gradient(rows: np.ndarray, left_out: Any) -> np.ndarray:
        x = Tensor(rows)
        g = mg.grad(mg.where(left_out, 0.0, PER_ROW[name](x)).sum(), x, create_graph=create_graph)
        return np.asarray(g.data)

    g = gradient(ROWS, LEFT_OUT)
    assert_same(g[0], gradient(ROWS[:1], False)[0])
    assert (g[1] == 0).all()
    np.testing.assert_array_equal(np.isnan(g[2]), np.isnan(gradient(ROWS[2:], False)[0]))
    assert np.isnan(g[2]).any()


@pytest.mark.parametrize("name", [name for name in PER_ROW if name != "checkpoint"])
def test_the_hunt_for_anomalies_finds_the_chosen_one_only(name: str) -> None:
    """The forward pass is not hunted here, so that the backward pass has something to find. (A checkpoint runs its
    forward pass again, and is found there.)"""
    for rows, found in ((ROWS, True), (ROWS[:2], False)):
        x = Tensor(rows)
        y = mg.where(LEFT_OUT[: len(rows)], 0.0, PER_ROW[name](x)).sum()
        if found:
            with pytest.raises(mg.AnomalyError, match="backward: the gradient for input"), mg.detect_anomaly():
                y.backward()
        else:
            with mg.detect_anomaly():
                y.backward()


@pytest.mark.parametrize("name", ["sqrt", "norm of sqrt", "checkpoint"])
def test_the_hunt_goes_past_slopes_that_were_not_chosen_in_every_order(name: str) -> None:
    f: Any = {"sqrt": mg.sqrt, "norm of sqrt": lambda x: mg.norm(mg.sqrt(x), 1, keepdims=True),
              "checkpoint": lambda x: mg.checkpoint(mg.sqrt, x)}[name]
    slopes = []
    for rows in ([[0.0, 0.0], [4.0, 1.0]], [[4.0, 1.0]]):  # the slope of the first row is infinite
        x = Tensor(rows)
        with mg.detect_anomaly():
            y = mg.where(x.data[:, :1] > 0, f(x), 0.0)
            (g,) = mg.grad((y * y * y).sum(), [x], create_graph=True)
            slopes.append([g.data[-1], mg.grad((g * g).sum(), x)[-1]])
    assert_same(slopes[0], slopes[1])


def test_a_recorded_slope_that_was_chosen_is_found_and_named() -> None:
    x = Tensor([0.0, 4.0])
    y = mg.where(np.array([True, False]), mg.sqrt(x), 0.0).sum()
    with pytest.raises(mg.AnomalyError, match=r"sqrt, backward: .* input 0 holds inf, 1 of 2"), mg.detect_anomaly():
        mg.grad(y, x, create_graph=True)


@both_modes
def test_a_weight_shared_by_rows_left_out_and_a_row_chosen_with_nan_is_nan(create_graph: bool) -> None:
    W = Tensor(np.ones((3, 2)))
    for rows, is_nan in ((ROWS[:2], [False] * 3), (ROWS, [False, True, False])):
        y = mg.where(LEFT_OUT[: len(rows)], 0.0, Tensor(rows) @ W).sum()
        g = np.asarray(mg.grad(y, W, create_graph=create_graph).data)
        np.testing.assert_array_equal(np.isnan(g), np.repeat(np.array(is_nan)[:, None], 2, axis=1))
        assert_same(g[~np.isnan(g)], np.repeat((rows[0] + (rows[2] if len(rows) > 2 else 0))[~np.array(is_nan)], 2))


def test_outside_a_where_zero_times_infinity_is_nan_as_ever() -> None:
    x = Tensor([0.0, 4.0])
    g = mg.grad((mg.sqrt(x) * np.array([0.0, 1.0])).sum(), x)
    np.testing.assert_array_equal(g, [NAN, 0.25])


def test_steps_left_out_of_a_long_recurrence_leave_its_gradients_as_they_are() -> None:
    """Masked steps of a padded batch, whose padding is NaN: each row's state stands still after its end."""
    rng = np.random.default_rng(0)
    lengths, x, W = np.array([40, 7, 23]), rng.standard_normal((40, 3, 4)), rng.standard_normal((4, 4)) * 0.4
    padded = np.arange(40)[:, None, None] >= lengths[None, :, None]

    def run(xs: np.ndarray, order: int) -> Any:
        w, h0, inputs_ = Tensor(W), Tensor(np.full((3, 4), 0.1)), Tensor(xs)
        h: Any = h0
        for t in range(40):
            new = mg.tanh(mg.affine(h, w, inputs_[t] / mg.norm(inputs_[t], 1, keepdims=True)))
            h = mg.where(padded[t], h, new)
        loss = (h * h).sum()
        if order == 1:
            return mg.grad(loss, [w, h0, inputs_])
        (g,) = mg.grad(loss, [w], create_graph=True)
        return mg.grad((g * g).sum(), [w, h0, inputs_])

    for order in (1, 2):
        for ours, sound in zip(run(np.where(padded, NAN, x), order), run(np.where(padded, 1.0, x), order), strict=True):
            assert_same(ours, sound, rel=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (40, 50)])
def test_every_infinity_is_seen_and_large_numbers_are_none(dtype: Any, shape: tuple[int, ...]) -> None:
    large = np.full(shape, np.finfo(dtype).max / 2, dtype)
    assert all_finite(large)
    assert all_finite(np.zeros((0, 3), dtype))
    for bad in (NAN, INF, -INF):
        for base in (large, np.zeros(shape, dtype)):
            a = base.copy()
            a.flat[-1] = bad
            assert not all_finite(a)
            assert not all_finite(np.repeat(a[None], 2, axis=0).T[..., ::2])
