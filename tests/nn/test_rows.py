"""Single sequences of a batch: masks, resets, no steps at all; and all states of all steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, nn
from microgradrnn.compiler.errors import TraceError
from tests.nn.test_depth import CELLS, parts
from tests.numerics import relative_error

T, B, D, H = 7, 4, 3, 5
MASK = np.array([[0, 0, 0, 1, 1, 1, 1],                                # padding on the left
                 [1, 0, 1, 1, 0, 0, 1],                                # holes
                 [1, 1, 1, 1, 1, 1, 1],
                 [0, 0, 0, 0, 0, 0, 0]], dtype=bool).T                 # no step at all
RESET = np.array([[0, 0, 1, 0, 0, 0, 0], [1, 0, 0, 1, 0, 1, 0], [0] * 7, [0, 0, 1, 0, 0, 0, 0]], dtype=bool).T


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def state_of(cell: Any, B: int = B) -> Any:
    """A first state that is not 0."""
    made = [0.5 * normal(B, n, seed=k) for k, n in enumerate(cell.state_sizes)]
    return tuple(made) if len(made) > 1 else made[0]


def leaves(state: Any) -> Any:
    return tuple(map(Tensor, state)) if isinstance(state, tuple) else Tensor(state)


def row(state: Any, b: int) -> Any:
    return tuple(part[b : b + 1] for part in state) if isinstance(state, tuple) else state[b : b + 1]


def first_part(state: Any) -> Any:
    return state[0] if isinstance(state, tuple) else state


def one_by_one(cell: Any, xs: Any, state: Any, mask: np.ndarray, reset: np.ndarray, reverse: bool) -> tuple[Any, Any]:
    """Each sequence alone in a loop of its own, which leaves out the steps that it does not take."""
    outputs: Any = [[None] * B for _ in range(len(mask))]
    last = []
    for b in range(B):
        s = row(state, b)
        for t in range(len(mask))[:: -1 if reverse else 1]:
            if reset[t, b]:
                s = cell.initial_state(1)
            if mask[t, b]:
                s = cell(xs[t, b : b + 1], s)
                outputs[t][b] = first_part(s)
            else:
                outputs[t][b] = np.zeros((1, cell.state_sizes[0]))
        last.append(s)
    ended = [mg.concat([list(parts(s))[k] for s in last]) for k in range(len(cell.state))]
    return mg.stack([mg.concat(line) for line in outputs]), ended


def loss_of(hs: Any, last: Any) -> Any:
    """A sum with unequal weights."""
    return (hs * normal(*hs.shape, seed=8)).sum() + sum((s * normal(*s.shape, seed=9)).sum() for s in last)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("what", ["mask", "reset", "both", "no steps"])
@pytest.mark.parametrize("kind", ["rnn", "jordan", "lstm", "gru, after", "lstm, projected", "zoneout"])
def test_each_sequence_gets_the_numbers_and_gradients_of_a_loop_of_its_own(kind: str, what: str, reverse: bool) -> None:
    cell = CELLS[kind](D)
    mask, reset = np.ones((T, B), bool), np.zeros((T, B), bool)
    options: dict[str, Any] = {}
    if what in ("mask", "both"):
        mask = options["mask"] = MASK
    if what in ("reset", "both"):
        reset = options["reset"] = RESET
    if what == "no steps":
        options["lengths"] = [7, 0, 3, 0]
        mask = np.arange(T)[:, None] < np.array(options["lengths"])
    numbers = []
    for loop in (lambda *a: nn.unroll(cell, *a, reverse=reverse, **options),
                 lambda *a: one_by_one(cell, *a, mask, reset, reverse)):
        xs, state = Tensor(normal(T, B, D)), leaves(state_of(cell))
        hs, last = loop(xs, state)
        last = list(parts(last)) if isinstance(last, tuple) or not isinstance(last, list) else last
        given = [xs, *parts(state), *cell.parameters()]
        numbers.append([hs.data, *[s.data for s in last], *map(np.array, mg.grad(loss_of(hs, last), given))])
    for ours, theirs in zip(*numbers, strict=True):
        assert relative_error(ours, theirs) < 1e-13


@pytest.mark.parametrize("kind", CELLS)
def test_a_mask_that_is_padding_on_the_right_says_what_lengths_say(kind: str) -> None:
    cell, lengths = CELLS[kind](D), np.array([7, 1, 4, 0])
    mask = np.arange(T)[:, None] < lengths
    (hs, last), (expected, ended) = (
        nn.unroll(cell, normal(T, B, D), state_of(cell), **by) for by in ({"mask": mask}, {"lengths": lengths}))
    np.testing.assert_array_equal(hs.data, expected.data)
    for ours, theirs in zip(parts(last), parts(ended), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)


@pytest.mark.parametrize("T", [1, 60])
@pytest.mark.parametrize("options", [{"mask": True}, {"reset": True}, {"mask": True, "reset": True}])
def test_gradients_are_those_of_finite_differences(options: dict[str, Any], T: int) -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    chosen = {name: np.random.default_rng(3).random((T, B)) < (0.6 if name == "mask" else 0.1) for name in options}

    def loss(xs: Any, h: Any, c: Any) -> Any:
        hs, last = nn.unroll(cell, xs, (h, c), **chosen)
        return loss_of(hs, last)

    assert mg.gradcheck(loss, [normal(T, B, D), *state_of(cell)], directions=2)


@pytest.mark.parametrize("options", [{"mask": MASK}, {"reset": RESET}, {"lengths": [7, 0, 3, 0]}, {"states": True},
                                     {"mask": MASK, "reset": RESET, "reverse": True},
                                     {"lengths": [7, 0, 3, 0], "reverse": True, "states": True}])
@pytest.mark.parametrize("checkpoint", [True, 3])
def test_checkpoints_change_nothing(options: dict[str, Any], checkpoint: Any) -> None:
    cell, numbers = nn.LSTMCell(D, H, rng=0), []
    for stretch in (False, checkpoint):
        xs, state = Tensor(normal(T, B, D)), leaves(state_of(cell))
        hs, last = nn.unroll(cell, xs, state, checkpoint=stretch, **options)
        loss = sum(loss_of(part, last) for part in parts(hs))
        numbers.append(list(map(np.array, mg.grad(loss, [xs, *state, *cell.parameters()]))))
    for ours, theirs in zip(*numbers, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("lengths", [[7, 0, 3, 0], [0, 0, 0, 0], None, [7, 1, 4, 4]])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("back_end", ["numpy", "numba"])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru, after", "lstm, peepholes", "lstm, projected"])
def test_sequences_of_no_steps_and_all_states_are_compiled(
    kind: str, back_end: Any, states: bool, reverse: bool, lengths: Any
) -> None:
    if back_end == "numba":
        pytest.importorskip("numba")
    cell, numbers = CELLS[kind](D), []
    for compiled in (back_end, False):
        xs, state = Tensor(normal(T, B, D)), leaves(state_of(cell))
        hs, last = nn.unroll(cell, xs, state, lengths=lengths, reverse=reverse, states=states, compiled=compiled)
        last = list(parts(last))
        loss = sum(loss_of(part, last) for part in parts(hs))
        gradients = mg.grad(loss, [xs, *parts(state), *cell.parameters()])
        numbers.append([*(part.data for part in parts(hs)), *(s.data for s in last), *map(np.array, gradients)])
    for ours, theirs in zip(*numbers, strict=True):
        assert relative_error(ours, theirs) < 1e-12


@pytest.mark.parametrize("kind", CELLS)
def test_all_states_are_those_of_a_loop_by_hand(kind: str) -> None:
    cell = CELLS[kind](D)
    xs, state = normal(T, B, D), state_of(cell)
    found, last = nn.unroll(cell, xs, state, states=True)
    for t in range(T):
        state = cell(xs[t], state)
        for ours, theirs in zip(parts(found), parts(state), strict=True):
            np.testing.assert_allclose(ours.data[t], theirs.data, rtol=1e-13, atol=1e-15)
    for ours, theirs in zip(parts(found), parts(last), strict=True):
        np.testing.assert_array_equal(ours.data[-1], theirs.data)


def test_what_a_masked_step_reads_does_not_matter_and_gets_no_gradient() -> None:
    xs = normal(T, B, D)
    spoilt = np.where(MASK[..., None], xs, np.nan)
    cell, x = nn.GRUCell(D, H, rng=0), Tensor(spoilt)
    hs, last = nn.unroll(cell, x, mask=MASK)
    np.testing.assert_array_equal(hs.data, nn.unroll(cell, xs, mask=MASK)[0].data)
    g = mg.grad(hs.sum() + last.sum(), x)
    assert not g[~MASK].any()
    assert (abs(g[MASK]) > 0).all()


def test_a_reset_sends_the_gradient_into_a_learned_initial_state() -> None:
    class Learned(nn.RNNCell):
        def __init__(self) -> None:
            super().__init__(D, H, rng=0)
            self.h_0 = nn.Parameter(normal(1, H), symbol="h_0")

        def initial_state(self, B: int) -> Any:
            return mg.broadcast_to(self.h_0, (B, H))

    cell, state = Learned(), Tensor(normal(B, H, seed=1))
    reset = np.zeros((T, B), bool)
    reset[3, 1] = True
    _, h = nn.unroll(cell, normal(T, B, D), state, reset=reset)
    to_learned, to_given = mg.grad((h**2).sum(), [cell.h_0, state])
    assert abs(to_learned).max() > 0
    np.testing.assert_array_equal(abs(to_given).max(1) > 0, [True, False, True, True])


@pytest.mark.parametrize("both", [False, True])
def test_layers_take_masks_and_resets_too_and_with_the_batch_first_as_such(both: bool) -> None:
    xs = normal(T, B, D)
    net, first = (nn.LSTM(D, H, 2, bidirectional=both, batch_first=flag, rng=0) for flag in (False, True))
    hs, _ = net(xs, mask=MASK, reset=RESET)
    np.testing.assert_array_equal(
        first(xs.swapaxes(0, 1), mask=MASK.T, reset=RESET.T)[0].data.swapaxes(0, 1), hs.data)
    assert not hs.data[~MASK].any()
    for b in range(3):  # the one that takes no step is 0, see above
        alone, _ = net(xs[MASK[:, b], b : b + 1], reset=RESET[MASK[:, b], b : b + 1])
        if not RESET[~MASK[:, b], b].any():
            np.testing.assert_allclose(hs.data[MASK[:, b], b], alone.data[:, 0], rtol=1e-12)


def test_masks_and_resets_run_on_the_tape_and_say_so() -> None:
    cell, xs = nn.LSTMCell(D, H, rng=0), normal(T, B, D)
    for options in ({"mask": MASK}, {"reset": RESET}):
        with pytest.raises(TraceError, match=r"with mask= or reset= .* runs on the tape; lengths= compiles"):
            nn.unroll(cell, xs, compiled=True, **options)
        expected = nn.unroll(cell, xs, **options)[0].data
        np.testing.assert_array_equal(nn.unroll(cell, xs, compiled="auto", **options)[0].data, expected)
        assert "with a mask or resets" in nn.explain(cell)


def own(x: Any, h: Any) -> Any:
    """A cell that is a plain function."""
    return mg.tanh(x + h)


@pytest.mark.parametrize(("options", "words"), [
    ({"mask": MASK.T}, r"mask= is an array of bools, .* \(7, 4\); got bool of shape \(4, 7\)"),
    ({"mask": 0.5 * MASK}, r"mask= is an array of bools, .* got float64"),
    ({"reset": [1, 2]}, r"reset= is an array of bools"),
    ({"mask": MASK, "lengths": [1, 1, 1, 1]}, "both say which steps a sequence takes; give one of the two"),
    ({"lengths": [-1, 1, 1, 1]}, r"lengths: must lie in 0\.\.7"),
])
def test_mistakes_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        nn.GRU(D, H)(normal(T, B, D), **options)
    with pytest.raises(ValueError, match=r"reset= .* the cell's initial_state\(B\), which own does not have"):
        nn.unroll(own, normal(T, B, H), np.zeros((B, H)), reset=RESET)
    for read in (nn.last_step, nn.mean_over_steps):
        with pytest.raises(ValueError, match=r"lengths: must lie in 1\.\.7"):
            read(normal(T, B, H), [0, 1, 1, 1])


def test_pictures_and_flows_see_masks_and_resets() -> None:
    net = nn.LSTM(D, H, rng=0)
    hs, _ = net(normal(T, B, D), mask=MASK, reset=RESET)
    flow = viz.gradient_flow((hs[-1] ** 2).sum(), keep_arrays=True)
    assert sorted(flow.profile("c").steps) == [*range(T)]
    assert flow.check() < 1e-12
    assert viz.draw_unrolled(flow).svg.startswith("<svg")
    hs, _ = net(normal(T, 1, D), mask=MASK[:, 1:2], reset=np.arange(T)[:, None] == 3)
    reached = {a.step: a.total for a in viz.gradient_flow((hs[-1] ** 2).sum()).arrivals.values() if a.state == "c"}
    assert reached[4] == reached[5] > 0, "over a hole c is carried as it is"
    assert reached.get(2, 0.0) == 0.0, "nothing goes back beyond a reset"


def test_what_a_cell_makes_of_padding_may_be_nan() -> None:
    x, h = normal(3, 2, D), np.zeros((2, D))
    x[:2, 0] = 0.0  # padding, whose length is 0
    mask = np.array([[0, 1], [0, 1], [1, 1]], dtype=bool)

    def unit(v: Any, h: Any) -> Any:
        return mg.tanh(v / (v**2).sum(axis=-1, keepdims=True) ** 0.5 + 0.5 * h)

    xs, start = Tensor(x), Tensor(h)
    with np.errstate(all="ignore"):
        _, last = nn.unroll(unit, xs, start, mask=mask)
        (last * last).sum().backward()
    alone = Tensor(x[2:, :1])
    _, by_itself = nn.unroll(unit, alone, Tensor(h[:1]))
    (by_itself * by_itself).sum().backward()
    np.testing.assert_allclose(last.data[:1], by_itself.data, rtol=1e-14)
    np.testing.assert_allclose(xs.grad[2:, :1], alone.grad, rtol=1e-12)
    assert np.isfinite(xs.grad).all()
    assert not xs.grad[:2, 0].any()


@pytest.mark.parametrize("lengths", [[], np.zeros(0, int)])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_batch_of_no_sequences_has_no_lengths(lengths: Any, compiled: bool) -> None:
    for layer in (nn.RNN(3, 4, rng=0), nn.LSTM(3, 4, rng=0, bidirectional=True)):
        hs, _ = layer(np.ones((5, 0, 3)), lengths=lengths, compiled=compiled)
        assert hs.shape[:2] == (5, 0)
    with pytest.raises(ValueError, match="lengths: expected 2 integers"):
        nn.RNN(3, 4, rng=0)(np.ones((5, 2, 3)), lengths=[])
