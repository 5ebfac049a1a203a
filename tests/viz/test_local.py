"""The Jacobian of one step: a batch of copies against one reverse pass a unit, and the steps where copies do not do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, checkpoint, concat, nn, where
from tests.numerics import relative_error
from viz.flow.local import by_copies, by_units, is_confirmed

D, H, B = 3, 5, 4


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def both(step: Any, *states: Any, batch: int = 1) -> tuple[np.ndarray | None, np.ndarray]:
    """The Jacobian of a step by copies, None if they do not do, and unit by unit."""
    after = step(*states)
    ends = list(after) if isinstance(after, tuple) else [after]
    return by_copies(states, ends, batch), by_units(states, ends, batch)


CELLS: dict[str, Any] = {
    "rnn": nn.RNNCell, "irnn": nn.IRNNCell, "lstm": nn.LSTMCell, "coupled": nn.CoupledLSTMCell,
    "carousel": nn.CarouselLSTMCell, "gru": nn.GRUCell, "mgu": nn.MGUCell,
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rows", [1, 2, H, 2 * H])
@pytest.mark.parametrize("name", CELLS)
def test_copies_give_the_same_as_a_pass_for_each_unit(name: str, rows: int, dtype: Any) -> None:
    """Also where a batch has as many rows as the weights, or as the copies."""
    cell = CELLS[name](D, H, rng=0, dtype=dtype)
    states = [Tensor(normal(rows, H, seed=k).astype(dtype)) for k in range(len(cell.state))]
    x = normal(rows, D, seed=9).astype(dtype)

    def step(*states: Any) -> Any:
        return cell(x, states if len(states) > 1 else states[0])

    fast, slow = both(step, *states, batch=rows - 1)
    assert fast is not None
    assert relative_error(fast, slow) < (1e-14 if dtype is np.float64 else 1e-6)


W, V = Tensor(normal(H, H, seed=5)), Tensor(normal(D + H, H, seed=6))
X, MASK = normal(B, D, seed=7), np.array([[1.0], [0.0], [1.0], [0.0]])
CAN: dict[str, Any] = {
    "concat": lambda h: (concat([Tensor(X), h], axis=1) @ V).tanh(),
    "residual": lambda h: h + 0.5 * (h @ W).tanh(),
    "layer norm": lambda h: ((z := h @ W) - z.mean(axis=-1, keepdims=True)) / z.std(axis=-1, keepdims=True),
    "clip": lambda h: (h @ W).clip(-0.5, 0.5),
    "reset": lambda h: where(MASK, (h @ W).tanh(), h),
    "another in between": lambda h: ((h @ W).tanh() * 1.0) * MASK,
}
CANNOT: dict[str, Any] = {
    "mean over the batch": lambda h: (h @ W).tanh() + 0.1 * h.mean(axis=0),
    "fixed shape": lambda h: (h @ W).reshape(B, H).tanh(),
    "one row by number": lambda h: (h @ W).tanh() * h[2],
    "checkpoint": lambda h: checkpoint(lambda h: (h @ W).tanh(), h),
    "all in one number": lambda h: h * (h * h).sum(),
}


@pytest.mark.parametrize("batch", [0, 1, -1])
@pytest.mark.parametrize("name", CAN)
def test_what_is_around_a_cell_runs_on_copies_too(name: str, batch: int) -> None:
    fast, slow = both(CAN[name], Tensor(normal(B, H)), batch=batch)
    assert fast is not None
    np.testing.assert_allclose(fast, slow, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(("name", "rows"), [(name, rows) for name in CANNOT for rows in (1, B)
                                            if rows == B or name not in ("fixed shape", "one row by number")])
def test_where_copies_mix_or_do_not_fit_each_unit_has_its_pass(name: str, rows: int) -> None:
    state = Tensor(normal(rows, H))
    fast, slow = both(CANNOT[name], state, batch=0)
    assert fast is None
    after = CANNOT[name](state)
    np.testing.assert_array_equal(viz.step_jacobians([state, after]).arrays[0], slow)


def test_a_vector_without_a_batch_runs_on_copies() -> None:
    fast, slow = both(lambda h: (h @ W).tanh(), Tensor(normal(H)))
    assert fast is not None
    np.testing.assert_allclose(fast, slow, rtol=1e-13, atol=1e-15)


def test_the_confirmation_finds_one_wrong_entry() -> None:
    state = Tensor(normal(B, H))
    after = (state @ W).tanh()
    J = by_units([state], [after], 2)
    assert is_confirmed(J, [state], [after], 2)
    J[3, 1] *= 1 + 1e-9
    assert not is_confirmed(J, [state], [after], 2)


def test_an_infinite_slope_stays_infinite() -> None:
    state = Tensor(np.array([[0.0, 4.0]]))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = viz.step_jacobians([state, state.sqrt()]).arrays[0]
    np.testing.assert_array_equal(np.diag(found), [np.inf, 0.25])
