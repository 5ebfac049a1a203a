"""The recorder: what it writes down, that it changes nothing, files, and runs that are killed and taken up again."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, mark, nn, optim, scope, sigmoid
from microgradrnn.training import fit
from tests.viz.nets import own_cell, two_layers
from tests.viz.scenes import scene_of, words
from viz.graph.reachable import reachable
from viz.scene.items import Area, Ink, Scene

XS = np.random.default_rng(0).standard_normal((12, 2, 3))
YS = np.random.default_rng(1).integers(0, 4, (12, 2))


class Training:
    """A small net, and a step that records."""

    def __init__(self, every: int = 3, kind: str = "lstm", recorder: bool = True) -> None:
        self.net = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](3, 5, rng=0)
        self.head = nn.Linear(5, 4, rng=1)
        self.adam = optim.Adam([*self.net.parameters(), *self.head.parameters()], lr=0.02)
        self.recorder = viz.Recorder(every=every) if recorder else None
        self.losses: list[Any] = []

    def step(self, T: int = 12) -> float:
        hs, _ = self.net(XS[:T])
        loss = nn.cross_entropy(self.head(hs), YS[:T])
        if self.recorder is not None:
            def last() -> Any:
                self.losses.append(nn.cross_entropy(self.head(hs[-1]), YS[T - 1]))
                return self.losses[-1]
            self.recorder(last)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return float(loss.item())


def same(a: viz.Recorder, b: viz.Recorder) -> bool:
    one, other = a.state_dict(), b.state_dict()
    assert one.keys() == other.keys()
    return all(np.array_equal(np.asarray(one[k]), np.asarray(other[k]), equal_nan=np.asarray(one[k]).dtype.kind == "f")
               for k in one)


def test_what_is_recorded_is_what_gradient_flow_says() -> None:
    run, expected = Training(every=2), []
    for _ in range(5):
        hs, _ = run.net(XS)
        flow = viz.gradient_flow(nn.cross_entropy(run.head(hs[-1]), YS[-1]))
        expected.append((flow.profile("c").norms, flow.horizon("c"), flow.split("c")))
        run.step()
    recorder = run.recorder
    assert recorder is not None
    assert recorder.updates == [0, 2, 4]
    assert recorder.count == 5
    for j, update in enumerate(recorder.updates):
        norms, horizon, split = expected[update]
        np.testing.assert_allclose(recorder.norms[j], norms, rtol=1e-12)
        assert recorder.horizons[j] == horizon
        shares = [a.carry / (a.carry + a.rest) for a in split]
        np.testing.assert_allclose(recorder.carry[j], shares, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("net", [
    lambda: nn.RNN(3, 4, rng=0)(XS)[1], lambda: nn.GRU(3, 4, rng=0)(XS)[1], lambda: nn.LSTM(3, 4, rng=0)(XS)[1][0],
    lambda: nn.GRU(3, 4, reset="after", rng=0)(XS)[1], lambda: nn.LSTM(3, 4, num_layers=2, rng=0)(XS)[0][-1],
    lambda: nn.unroll(nn.CoupledLSTMCell(3, 4, rng=0), XS)[1][0], lambda: nn.MGU(3, 4, rng=0)(XS)[1],
    own_cell, lambda: own_cell(marked=False), two_layers,
])
def test_the_quick_pass_finds_what_the_whole_flow_finds(net: Any) -> None:
    loss = net().sum()
    recorder = viz.Recorder()
    recorder(loss)
    flow = viz.gradient_flow(loss)
    profile = flow.profile(recorder.symbol)
    np.testing.assert_allclose(recorder.norms[0], profile.norms, rtol=1e-10)
    shares = [a.carry / (a.carry + a.rest) for a in flow.split(recorder.symbol)]
    np.testing.assert_allclose(recorder.carry[0], shares, rtol=1e-9, atol=1e-12)


def test_means_of_the_gates_are_those_of_the_forward_pass() -> None:
    run = Training(every=1)
    cell = nn.LSTMCell(3, 5, rng=0)
    h = c = np.zeros((2, 5))
    means = []
    for x in XS:
        z = x @ cell.U.data + h @ cell.W.data + cell.b.data
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-a)) for a in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        means.append((i.mean(), f.mean(), o.mean()))
    hs, _ = nn.unroll(cell, XS)
    recorder = viz.Recorder()
    recorder(hs[-1].sum())
    for symbol, expected in zip("ifo", zip(*means, strict=True), strict=True):
        np.testing.assert_allclose(recorder.gates[symbol][0], expected[::-1], rtol=1e-12)  # by lag: backwards in time
    run.step()
    assert run.recorder is not None
    assert list(run.recorder.gates) == ["f", "i", "o"]


def gate_of(state: Any, symbol: str) -> float:
    """The mean of the youngest gate of this name in a cell's step."""
    return float(next(x for x in reversed(reachable(state)) if x.symbol == symbol and x.role == "gate").data.mean())


def test_gates_are_those_of_the_loop_that_is_followed() -> None:
    _, (h, _) = nn.LSTM(3, 4, rng=0)(XS[:6])
    decoded, _ = nn.GRU(2, 4, rng=1)(np.random.default_rng(2).standard_normal((4, 2, 2)), h)
    stacked, _ = nn.Recurrent(nn.LSTMCell(3, 4, rng=0), nn.GRUCell(4, 5, rng=1))(XS[:6])
    for outputs, T in ((decoded, 4), (stacked, 6)):
        recorder = viz.Recorder()
        recorder((outputs[-1] ** 2).sum())
        assert list(recorder.gates) == ["r", "z"]
        assert recorder.gates["z"].shape == (1, T)
        assert recorder.gates["z"][0, 0] == gate_of(outputs, "z")


def test_a_decoder_of_the_same_name_is_not_mixed_with_its_encoder() -> None:
    encoder, decoder = nn.LSTM(3, 4, rng=0), nn.LSTM(2, 4, rng=1)
    _, state = encoder(XS[:7])
    ys = np.random.default_rng(2).standard_normal((3, 2, 2))
    loss = (decoder(ys, state)[0][-1] ** 2).sum()
    alone = (decoder(ys, tuple(x.data for x in state))[0][-1] ** 2).sum()  # the same numbers, and no encoder
    one, other = viz.Recorder(), viz.Recorder()
    one(loss)
    other(alone)
    assert one.norms.shape == (1, 3)
    np.testing.assert_allclose(one.norms, other.norms, rtol=1e-12)
    np.testing.assert_allclose(one.carry, other.carry, rtol=1e-12)
    for symbol in "fio":
        np.testing.assert_allclose(one.gates[symbol], other.gates[symbol], rtol=1e-12)


def test_gates_of_a_loop_in_which_no_state_is_marked() -> None:
    W, h = Tensor(np.eye(4) / 3), Tensor(np.ones((2, 4)))
    means = []
    for t in range(5):
        with scope("own", step=t):
            z = mark(sigmoid(h @ W), "z", role="gate")
            h = z * h + (1 - z) * (h @ W).tanh()
            means.append(float(z.data.mean()))
    recorder = viz.Recorder()
    recorder(h.sum())
    np.testing.assert_allclose(recorder.gates["z"], [means[::-1]], rtol=1e-12)


def test_a_record_with_nothing_at_lag_0_stays_blank_and_says_why() -> None:
    hs, _ = nn.GRU(3, 4, bidirectional=True, rng=0)(XS[:7])
    recorder = viz.Recorder()
    recorder((hs[-1] ** 2).sum())
    assert (recorder.norms[0] > 0).tolist() == [False] * 6 + [True]
    drawing = recorder.draw()
    assert any("Blank: the record does not reach so far back" in line for line in words(drawing))
    inks = [item for item, *_ in scene_of(drawing).walk() if isinstance(item, Ink)]
    assert not any("#d55e00" in (ink.fill, ink.stroke) for ink in inks)
    run = Training(every=1)
    run.step()
    assert run.recorder is not None
    assert not any("Blank" in line for line in words(run.recorder.draw()))


def test_training_with_a_recorder_is_bit_for_bit_training_without() -> None:
    one, other = Training(every=1), Training(recorder=False)
    assert [one.step() for _ in range(6)] == [other.step() for _ in range(6)]
    for a, b in zip(one.adam.parameters, other.adam.parameters, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_a_loss_is_made_only_when_it_is_due() -> None:
    run = Training(every=4)
    for _ in range(9):
        run.step()
    assert len(run.losses) == 3
    assert run.recorder is not None
    assert not run.recorder.due
    assert viz.Recorder().due


@pytest.mark.parametrize(("kind", "state", "gates"), [("lstm", "c", ["f", "i", "o"]), ("gru", "h", ["r", "z"]),
                                                      ("rnn", "h", [])])
def test_every_cell_is_recorded_at_the_state_that_carries_its_memory(kind: str, state: str, gates: list[str]) -> None:
    run = Training(every=1, kind=kind)
    run.step()
    assert run.recorder is not None
    assert run.recorder.symbol == state
    assert list(run.recorder.gates) == gates
    ET.fromstring(run.recorder.draw().svg)


def test_sequences_of_other_lengths_leave_nan() -> None:
    run = Training(every=1)
    for T in (5, 12, 2, 7):
        run.step(T)
    assert run.recorder is not None
    norms = run.recorder.norms
    assert norms.shape == (4, 12)
    assert np.isfinite(norms).sum(axis=1).tolist() == [5, 12, 2, 7]
    ET.fromstring(run.recorder.draw().svg)
    assert {row["lag"] for row in run.recorder.records() if row["update"] == 0} == set(range(5))


def test_the_loss_may_come_anywhere_in_the_step() -> None:
    run = Training()
    hs, _ = run.net(XS)
    loss = nn.cross_entropy(run.head(hs[-1]), YS[-1])
    before, after, late = viz.Recorder(), viz.Recorder(), viz.Recorder()
    before(loss)
    run.adam.zero_grad()
    loss.backward()
    after(loss)
    assert same(before, after)
    run.adam.step()  # rebinds the weights; what the loss was computed from is as it was
    late(loss)
    assert same(before, late)


# ------------------------------------------------------------------------------------------------ files
def test_a_plain_file_holds_all_of_it_and_no_program(tmp_path: Path) -> None:
    run = Training(every=2)
    for _ in range(5):
        run.step()
    assert run.recorder is not None
    run.recorder.save(tmp_path / "memory.npz")
    again = viz.Recorder.load(tmp_path / "memory.npz")
    assert same(run.recorder, again)
    assert repr(again) == repr(run.recorder)
    assert again.draw().svg == run.recorder.draw().svg
    with np.load(tmp_path / "memory.npz", allow_pickle=False) as file:
        assert file["norms"].shape == (3, 12)


def test_a_file_says_which_state_of_which_layer_it_is_about(tmp_path: Path) -> None:
    loss = nn.LSTM(3, 4, num_layers=2, rng=0)(XS)[0][-1].sum()
    recorder = viz.Recorder(every=1, state="h", layer=0)
    recorder(loss)
    recorder.save(tmp_path / "h.npz")
    again = viz.Recorder.load(tmp_path / "h.npz")
    again(loss)
    assert again.symbol == "h"
    np.testing.assert_array_equal(again.norms[1], again.norms[0])
    for other in (viz.Recorder(every=1), viz.Recorder(every=1, state="h"), viz.Recorder(every=1, layer=0)):
        with pytest.raises(ValueError, match=r"recorded with layer=0, state='h' and is to go on with layer="):
            other.load_state_dict(recorder.state_dict())


def test_records_of_other_states_are_not_mixed() -> None:
    recorder = viz.Recorder(every=1)
    recorder(nn.LSTM(3, 4, rng=0)(XS)[0][-1].sum())
    with pytest.raises(ValueError, match="so far ∂L/∂c was recorded, and this is ∂L/∂h"):
        recorder(nn.GRU(3, 4, rng=0)(XS)[1].sum())
    assert (recorder.count, recorder.updates) == (1, [0])


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -2, -3])
def test_any_layer_can_be_followed_with_its_own_gates(layer: int) -> None:
    net = nn.Recurrent(nn.LSTMCell(3, 4, rng=0), nn.GRUCell(4, 5, rng=1), nn.LSTMCell(5, 4, rng=2))
    loss = (net(XS[:7])[0][-1] ** 2).sum()
    recorder = viz.Recorder(layer=layer)
    recorder(loss)
    np.testing.assert_allclose(recorder.norms[0], viz.gradient_flow(loss).profile(layer=layer).norms, rtol=1e-12)
    assert list(recorder.gates) == [["f", "i", "o"], ["r", "z"], ["f", "i", "o"]][layer]
    gate = next(iter(recorder.gates))
    nodes = [x for x in reachable(loss) if x.role == "gate" and f"layers.{layer % 3}" in x.scope.path]
    means = [x.data.mean() for x in nodes if x.symbol == gate]
    np.testing.assert_allclose(recorder.gates[gate][0], means[::-1], rtol=1e-12)


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "pickled.npz", every=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="not what a recorder wrote"):
        viz.Recorder.load(tmp_path / "other.npz")
    for name in ("text.npz", "pickled.npz"):
        with pytest.raises(ValueError, match="is not a file that"):
            viz.Recorder.load(tmp_path / name)
    recorder = viz.Recorder(every=3)
    with pytest.raises(ValueError, match="every=2 and is to go on with every=3"):
        recorder.load_state_dict(viz.Recorder(every=2).state_dict())


def test_a_run_that_is_cut_and_taken_up_again_has_recorded_what_a_straight_one_has(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")

    def run(steps: int, path: Path) -> viz.Recorder:
        training = Training(every=4)
        recorder = training.recorder
        assert recorder is not None
        saved = {"net": training.net, "head": training.head, "adam": training.adam, "recorder": recorder}
        fit(lambda batch: training.step(), [0], steps, every=5, checkpoint=path, saved=saved)
        return recorder

    straight = run(15, tmp_path / "straight.safetensors")
    run(5, tmp_path / "cut.safetensors")
    assert same(run(15, tmp_path / "cut.safetensors"), straight)
    assert straight.updates == [0, 4, 8, 12]


# ------------------------------------------------------------------------------------------------ the drawing
def picture(recorder: viz.Recorder, **options: Any) -> Scene:
    """The scene of its picture."""
    scene: Scene = recorder.draw(**options).scene
    return scene


def squares(scene: Scene, kind: str) -> float:
    """The area of everything of one kind."""
    areas = [item for item, _, _ in scene.keyed(kind) if isinstance(item, Area)]
    return sum((corners[2][0] - corners[0][0]) * (corners[2][1] - corners[0][1])
               for area in areas for corners in area.outlines)


def test_the_picture_has_a_square_for_each_number_and_a_line_for_each_gate() -> None:
    run = Training(every=1)
    for _ in range(4):
        run.step()
    recorder = run.recorder
    assert recorder is not None
    scene = picture(recorder)
    whole = squares(scene, "heat")
    assert {item.key for item, _, _ in scene.keyed("heat")} == {("heat", lag) for lag in range(12)}
    state = recorder.state_dict()
    state["norms"] = np.array(state["norms"])
    state["norms"][1, 6:] = math.nan  # half of one of four records
    again = viz.Recorder(every=1)
    again.load_state_dict(state)
    assert squares(picture(again), "heat") == pytest.approx(whole * 7 / 8)
    gates = {item.key[1]: item for item, _, _ in scene.keyed("gate") if len(item.key) == 2}  # type: ignore[index, arg-type]
    assert {name: item.datum for name, item in gates.items()} == {
        name: pytest.approx(rows[-1].mean()) for name, rows in recorder.gates.items()}
    means = recorder.gates["f"].mean(axis=1)
    assert f"mean of f over batch, units and steps: {means[0]:.3f} at first, {means[-1]:.3f} at last" == gates["f"].note


def test_colours_say_what_is_left_of_lag_0() -> None:
    recorder = viz.Recorder(every=1)
    run = Training(every=1)
    run.step()
    assert run.recorder is not None
    state = run.recorder.state_dict()
    state["norms"] = np.array([[0.5] * 6 + [5.0] + [5e-4] * 5])
    recorder.load_state_dict(state)
    fills = {item.key[1]: item.fill for item, _, _ in picture(recorder).keyed("heat")}  # type: ignore[index, attr-defined]
    theme = viz.Theme()
    assert fills[0] == theme.change(2 / 3), "lag 0 is 1 in every picture"
    assert fills[6] == theme.change(1.0), "more than at lag 0: exploding"
    assert fills[11] == theme.change(0.0), "the least of all: vanishing"


def test_the_title_says_how_far_back_the_gradient_reaches_now_and_at_first() -> None:
    run = Training(every=1)
    run.step()
    recorder = run.recorder
    assert recorder is not None
    state = recorder.state_dict()
    for key in ("norms", "carry", "gate f", "gate i", "gate o"):
        state[key] = np.repeat(state[key], 2, axis=0)
    state["norms"] = np.array([[1.0] * 3 + [1e-3] * 9, [1.0] * 7 + [1e-3] * 5])
    state |= {"updates": np.array([0, 1]), "count": 2, "horizons": np.array([2.0, 6.0])}
    recorder.load_state_dict(state)
    said = "The gradient of the net reaches 6 steps back at update 1; at update 0 it reached 2"
    assert picture(recorder).title == said
    assert picture(recorder, name="my LSTM").title == said.replace("the net", "my LSTM")
    assert "Horizon at the last record: 6." in picture(recorder).summary


def test_a_horizon_that_the_record_does_not_reach_beyond_is_said_to_be_open() -> None:
    run, said = Training(every=1), []
    assert run.recorder is not None
    for T in (12, 5):  # the second ends before its gradient does, though the first reached further back
        run.step(T)
        assert run.recorder.horizons[-1] == T - 1
        assert run.recorder.horizon().open  # type: ignore[union-attr]
        assert run.recorder.records()[-1]["open"]
        said += [item.plain for item, _, _ in picture(run.recorder).keyed("horizon") if item.key == ("horizon", 1)]  # type: ignore[attr-defined]
    assert said == ["lag ≥ 11", "lag ≥ 4"]


def test_exact_zeros_and_what_is_not_finite_are_told_apart() -> None:
    run = Training(every=1)
    run.step()
    recorder = run.recorder
    assert recorder is not None
    assert "exactly zero" not in picture(recorder).words
    state = recorder.state_dict()
    state["norms"] = np.array([[1.0] * 10 + [0.0, math.inf]])
    recorder.load_state_dict(state)
    scene = picture(recorder)
    assert {"exactly zero", "NaN or infinite"} <= set(scene.words.split("\n"))
    fills = {item.key[1]: item.fill for item, _, _ in scene.keyed("heat")}  # type: ignore[index, attr-defined]
    assert (fills[10], fills[11]) == (scene.theme.nothing, scene.theme.alarm)


def test_records_are_plain_numbers() -> None:
    run = Training(every=1)
    run.step()
    assert run.recorder is not None
    rows = run.recorder.records()
    assert len(rows) == 12
    assert rows[3]["lag"] == 3
    assert rows[3]["norm"] == run.recorder.norms[0, 3]
    assert {"update", "state", "norm", "carry", "horizon", "mean f", "mean i", "mean o"} <= rows[0].keys()
    json.dumps(rows)


@pytest.mark.parametrize(("act", "error", "words"), [
    (lambda: viz.Recorder(every=0), ValueError, "every must be at least 1"),
    (lambda: viz.Recorder(fraction=2.0), ValueError, "fraction must lie between 0 and 1"),
    (lambda: viz.Recorder()(3.0), TypeError, "expected a loss"),
    (lambda: viz.Recorder()(lambda: None), TypeError, "got NoneType"),
    (lambda: viz.Recorder()(nn.Linear(3, 2, rng=0)(XS).sum()), ValueError, "no time steps"),
    (lambda: viz.Recorder().draw(), ValueError, "nothing was recorded yet"),
    (lambda: viz.Recorder(layer=3)(nn.RNN(3, 4, rng=0)(XS)[1].sum()), ValueError, "no layer 3; this graph has 1"),
    (lambda: viz.Recorder(state="q")(nn.RNN(3, 4, rng=0)(XS)[1].sum()), ValueError, "no state 'q'"),
])
def test_what_cannot_be_recorded_is_refused(act: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        act()


def test_a_refused_loss_leaves_the_recorder_as_it_was() -> None:
    recorder = viz.Recorder(every=2)
    with pytest.raises(TypeError):
        recorder(3.0)  # type: ignore[arg-type]
    assert (recorder.count, recorder.updates) == (0, [])


def test_what_two_states_send_each_other_is_carried_as_in_the_flow_and_lags_are_the_loops() -> None:
    """a passes into b through products alone; of the last step the loss reads a, so b begins at lag 1."""
    rng = np.random.default_rng(0)
    U, V, W = (Tensor(rng.standard_normal((3 + (k > 0), 4))) for k in range(3))

    def cell(x: Any, state: Any) -> Any:
        a, b = state
        f = mark(sigmoid(x @ U + a @ V), "f", role="gate")
        g = mark((x @ U + b @ W).tanh(), "g", role="candidate")
        return mark(f * a + (1 - f) * g, "a", role="hidden"), mark(f * b + g * a, "b", role="hidden")

    _, (a, b) = nn.unroll(cell, XS, (Tensor(rng.standard_normal((2, 4))), Tensor(rng.standard_normal((2, 4)))))
    cotangent = rng.standard_normal((2, 4))
    for loss, first in (((a * cotangent).sum(), 1), ((a * cotangent + b).sum(), 0)):
        flow = viz.gradient_flow(loss)
        for state in "ab":
            recorder = viz.Recorder(every=1, state=state)
            recorder(loss)
            begin = first if state == "b" else 0
            split = flow.split(state)
            assert [arrival.lag for arrival in split] == list(range(begin, 12))
            np.testing.assert_allclose(recorder.norms[0, begin:], flow.profile(state).norms, rtol=1e-12)
            np.testing.assert_allclose(recorder.carry[0, begin:], [x.carry / (x.carry + x.rest) for x in split],
                                       rtol=1e-9, atol=1e-12)
            assert np.isnan(recorder.norms[0, :begin]).all()


@pytest.mark.parametrize("broken", [(0,), (1,), (0, 1)])
def test_a_record_that_is_not_finite_is_drawn_and_the_title_says_so(broken: tuple[int, ...]) -> None:
    """Gates whose means are NaN at every update have no curve."""
    recorder = viz.Recorder(every=1)
    for update in range(2):
        xs = np.full((5, 1, 3), math.nan if update in broken else 1.0)
        recorder(nn.LSTM(3, 4, rng=0)(xs)[1][0].sum())
    scene = picture(recorder)
    if len(broken) == 2:
        assert scene.title == "The net: no finite gradient starts at lag 0"
        assert not list(scene.keyed("gate"))
    else:
        assert scene.title == (f"The gradient of the net reaches ≥ 4 steps back at update {1 - broken[0]}; at lag 0 it "
                               f"is not finite at update {broken[0]}")
        assert list(scene.keyed("gate"))
