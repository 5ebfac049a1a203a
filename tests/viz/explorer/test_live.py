"""What a page computes when a slider moves is what the tape computes: all cells, in Node.js, to 1e-9."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, Value, mark, nn, scope
from microgradrnn.nn.scalar import GRUNeuron, LSTMNeuron, RNNNeuron
from tests.viz import rewritings
from viz.explorer.live import MOST_STEPS, MOST_UNITS, live
from viz.explorer.sweep import sweep
from viz.flow.cuts import cuts
from viz.graph.steps import Edge, recurrent, state_symbols

NODE = Path(os.environ.get("NODE", shutil.which("node") or "node-is-missing"))
needs_node = pytest.mark.skipif(not NODE.exists(), reason="needs node; set NODE to it")
D, H, B, K = 3, 5, 2, 4
OPTIONS = {"forgetBias": "forget_bias", "gain": "gain"}

# A net of a test is a function of a first state (None: the net's own) and the number of steps; it returns the loss.
Make = Callable[[Any, int], Any]


@dataclass
class Case:
    """A net, the states that are compared, and settings of its sliders."""

    make: Make
    T: int
    states: tuple[str, ...]
    settings: list[dict[str, float]] = field(default_factory=list)
    layer: int = -1
    first: tuple[Any, ...] | None = None
    rtol: float = 1e-9

    def loss(self, T: int | None = None, shift: float = 0.0) -> Any:
        first = None if self.first is None else tuple(part + shift for part in self.first)
        return self.make(first, T or self.T)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def of_cell(cell: Any, T: int = 9, head: str = "all", settings: Any = None) -> Case:
    """A cell, a first state that is not zero, and a loss of the last step or of all."""
    parts = cell.initial_state(B)
    parts = parts if isinstance(parts, tuple) else (parts,)
    readout = nn.Linear(parts[0].shape[-1], K, rng=1)
    xs, y = numbers(T, B, cell.input_size), np.random.default_rng(2).integers(0, K, (T, B))

    def make(first: Any, n: int) -> Any:
        state = first if len(parts) > 1 else first[0]
        hs, _ = nn.unroll(cell, xs[T - n :], state)
        if head == "last":
            return nn.cross_entropy(readout(hs[-1]), y[-1])
        return nn.cross_entropy(readout(hs), y[T - n :], reduction="sum")

    first = tuple(0.5 * numbers(*part.shape, seed=k + 3) for k, part in enumerate(parts))
    mean = float(np.mean(np.concatenate([*map(np.ravel, first)])))
    default: list[dict[str, float]] = [{}, {"gain": 1.4}, {"h0": mean + 0.7}, {"length": 3}]
    default += [{"forgetBias": -1.0}, {"forgetBias": 2.5, "gain": 0.6, "length": T - 1}]
    return Case(make, T, cell.state, default if settings is None else settings, first=first)


def loop_with_losses(first: Any, n: int) -> Any:
    """A loop by hand: plain inputs, the losses added up inside of it, a first state that takes a gradient."""
    cell, readout = nn.LSTMCell(D, H, rng=0), nn.Linear(H, K, rng=1)
    xs, y = numbers(8, B, D), np.random.default_rng(2).integers(0, K, (8, B))
    state, loss = tuple(map(Tensor, first)), 0.0
    for t in range(8 - n, 8):
        with scope(step=t):
            state = cell(xs[t], state)
            loss = loss + nn.cross_entropy(readout(state[0]), y[t], reduction="sum")
    return loss


def loss_in_the_last_step(first: Any, n: int) -> Any:
    """All of it inside the loop, and a state that is scaled before the cell reads it."""
    cell, readout = nn.LSTMCell(D, H, rng=0), nn.Linear(H, K, rng=1)
    h, c = np.zeros((B, H)), np.zeros((B, H))
    for t in range(7 - n, 7):
        with scope(step=t):
            h, c = cell(numbers(7, B, D)[t], (h, 0.9 * c))
            if t == 6:
                loss = nn.cross_entropy(readout(h), [0, 3])
    return loss


def stacked(kind: Any, compiled: bool = False, **options: Any) -> Make:
    net = kind(D, H, 2, rng=0, **options)

    def make(first: Any, n: int) -> Any:
        hs, _ = net(numbers(7, B, D)[7 - n :], compiled=compiled)
        return (hs[-1] * hs[-1]).sum()

    return make


def both_layers_in_one_loop(first: Any, n: int) -> Any:
    below, above = nn.GRUCell(D, H, rng=0), nn.RNNCell(H, 4, rng=1)
    h, s = np.full((B, H), 0.1), np.full((B, 4), -0.2)
    for t in range(7 - n, 7):
        with scope(step=t):
            h = below(numbers(7, B, D)[t], h)
            s = above(h, s)
    return (s * s).sum()


def encoder_and_decoder(first: Any, n: int) -> Any:
    encoder, decoder = nn.LSTMCell(D, H, rng=0), nn.GRUCell(2, H, rng=1)
    _, (h, _) = nn.unroll(encoder, numbers(6, B, D))
    with scope("decoder"):
        hs, _ = nn.unroll(decoder, numbers(5, B, 2, seed=4), h)
    return (hs * hs).sum()


def one_unit(cell: Any) -> Make:
    xs = numbers(6, 2).tolist()

    def make(first: Any, n: int) -> Any:
        hs, _ = nn.unroll(cell, [list(map(Value, x)) for x in xs[6 - n :]], first if len(first) > 1 else first[0])
        return (hs[-1] - 0.3) ** 2 + hs[-2] * hs[-1] if n > 1 else (hs[-1] - 0.3) ** 2

    return make


def user_cell(first: Any, n: int) -> Any:
    """A function as a cell, with marks that are no names in JavaScript, and an operation more than cells have."""
    w, u = mark(Tensor(0.4 * numbers(H, H)), "</script>\u2028\ud800"), mark(Tensor(numbers(D, H)), "constructor")

    def cell(x: Any, h: Any) -> Any:
        z = mark(x @ u + h @ w, "*/ alert(1) //")
        return mark(0.5 * h + 0.5 * mg.relu(z) - 0.1 * mg.sigmoid(h) * h, "σ\x00", role="hidden")

    hs, _ = nn.unroll(cell, numbers(6, B, D)[6 - n :], first[0])
    return hs.mean() * 3


CELLS = {
    "RNN": nn.RNNCell(D, H, rng=0), "RNN, relu": nn.RNNCell(D, H, activation="relu", rng=0),
    "RNN, no bias": nn.RNNCell(D, H, bias=False, rng=0), "IRNN": nn.IRNNCell(D, H, rng=0),
    "Jordan": nn.JordanCell(D, H, 3, rng=0), "additive": nn.AdditiveCell(D, H, rng=0),
    "additive with W": nn.AdditiveCell(D, H, reads_state=True, rng=0), "LSTM": nn.LSTMCell(D, H, rng=0),
    "LSTM, relu": nn.LSTMCell(D, H, activation="relu", rng=0), "LSTM, no bias": nn.LSTMCell(D, H, bias=False, rng=0),
    "LSTM, update gate": nn.UpdateGateLSTMCell(D, H, rng=0), "LSTM of 1997": nn.CarouselLSTMCell(D, H, rng=0),
    "LSTM, coupled": nn.CoupledLSTMCell(D, H, rng=0), "GRU": nn.GRUCell(D, H, rng=0),
    "GRU, reset after": nn.GRUCell(D, H, reset="after", rng=0), "MGU": nn.MGUCell(D, H, rng=0),
    "GRU, D > H": nn.GRUCell(7, 2, rng=0),
}  # fmt: skip
LONGEST: list[dict[str, float]] = [{}, {"gain": 1.1, "length": 60}]
ONE: list[dict[str, float]] = [{}, {"gain": 1.4}, {"length": 4}]
CASES: dict[str, Case] = {
    **{name: of_cell(cell) for name, cell in CELLS.items()},
    **{f"{name}, loss of the last step": of_cell(CELLS[name], head="last") for name in ("RNN", "LSTM", "GRU", "MGU")},
    **{f"{name}, two steps": of_cell(CELLS[name], T=2, settings=[{}, {"gain": 0.5}]) for name in ("RNN", "LSTM")},
    **{f"{type(cell).__name__}, the largest": of_cell(cell, T=MOST_STEPS, settings=LONGEST) for cell in (
        nn.LSTMCell(8, MOST_UNITS, rng=0), nn.RNNCell(8, MOST_UNITS, rng=0), nn.GRUCell(8, MOST_UNITS, rng=0))},
    "LSTM in float32": replace(of_cell(nn.LSTMCell(D, H, rng=0, dtype=np.float32)), rtol=1e-4),
    "compiled": Case(stacked(nn.LSTM, compiled=True), 7, ("h", "c"), [{}, {"forgetBias": 0}], layer=0),
    "losses inside the loop": Case(loop_with_losses, 8, ("h", "c"), [{}, {"forgetBias": 3}, {"length": 5}],
                                   first=(np.full((B, H), 0.2), np.full((B, H), -0.1))),
    "loss in the last step": Case(loss_in_the_last_step, 7, ("h", "c"), [{}, {"gain": 1.2}, {"length": 4}]),
    "two layers, above": Case(stacked(nn.LSTM), 7, ("h", "c"), [{}, {"forgetBias": 0}, {"gain": 1.5}]),
    "two layers, below": Case(stacked(nn.LSTM), 7, ("h", "c"), [{}, {"forgetBias": 0}, {"gain": 1.5}], layer=0),
    "two layers of GRU, below": Case(stacked(nn.GRU), 7, ("h",), [{}, {"gain": 1.5}, {"length": 3}], layer=0),
    "both directions, the last layer": Case(stacked(nn.GRU, bidirectional=True), 7, ("h",), [{}, {"gain": 1.5}]),
    "both directions, the first layer": Case(stacked(nn.GRU, bidirectional=True), 7, ("h",), [{}, {"gain": 1.5}],
                                             layer=0),
    "two layers in one loop": Case(both_layers_in_one_loop, 7, ("h",), [{}, {"gain": 1.5}, {"length": 3}]),
    "encoder of a decoder": Case(encoder_and_decoder, 6, ("h", "c"), [{}, {"forgetBias": 3}, {"gain": 0.4}], layer=0),
    "decoder": Case(encoder_and_decoder, 5, ("h",), [{}, {"gain": 0.4}]),
    "one unit, RNN": Case(one_unit(RNNNeuron(2)), 6, ("h",), ONE, first=(0.3,)),
    "one unit, LSTM": Case(one_unit(LSTMNeuron(2)), 6, ("h", "c"), [*ONE, {"forgetBias": 4}], first=(0.3, -0.2)),
    "one unit, GRU": Case(one_unit(GRUNeuron(2)), 6, ("h",), ONE, first=(0.3,)),
    "a user's cell": Case(user_cell, 6, ("σ\x00",), [{}, {"gain": 1.2}, {"h0": 0.4}], first=(np.full((B, H), 0.1),)),
}  # fmt: skip


def wires_of(loss: Any, layer: int) -> list[tuple[str, int | None]]:
    """Every edge of the last step into the layer's nodes; and from the states to what reads them later."""
    graph = viz.trace(loss)
    found = recurrent(graph)[layer]
    names = {node: name for name, node in found.steps[found.order[-1]].items()}
    return [*((name, k) for node, name in names.items() for _, _, k in graph.in_edges(node, keys=True)),
            *((name, None) for name in state_symbols(graph, found))]


def truth(case: Case, settings: dict[str, float], start: dict[str, float]) -> Any:
    """The loss, computed on the tape with these settings."""
    shift = settings["h0"] - start["h0"] if "h0" in settings else 0.0
    loss = case.loss(int(settings["length"]) if "length" in settings else None, shift)
    for option in settings.keys() & OPTIONS.keys() & start.keys():
        (loss,) = sweep(loss, case.layer, OPTIONS[option], [settings[option]])
    return loss


def last_setting(case: Case, lane: Any) -> Any:
    """The loss at the last of the settings, and the ways of its gradient."""
    start = {one["option"]: one["start"] for one in lane.data["sliders"]}
    loss = truth(case, {key: x for key, x in case.settings[-1].items() if key in start}, start)
    return loss, cuts(loss, case.states[-1], layer=case.layer)


def choices(case: Case, lane: Any) -> list[list[str]]:
    """For each set of ways those that are shut when the others are open."""
    _, found = last_setting(case, lane)
    return [[way for j, name in enumerate(found.ways) if not mask >> j & 1 for way in found.members.get(name, (name,))]
            for mask in range(len(found.norms))]


@pytest.fixture(scope="module")
def lanes() -> dict[str, Any]:
    made = {}
    for k, (name, case) in enumerate(CASES.items()):
        loss = case.loss()
        made[name] = live(loss, case.layer, f"net{k}", wires_of(loss, case.layer))
    return made


def in_node(given: list[dict[str, Any]], folder: Path) -> Any:
    """What the page computes, for all nets in one process."""
    (folder / "given.json").write_text(json.dumps(given))
    driver, source = Path(__file__).with_name("live_driver.mjs"), Path(viz.__file__).parent / "web" / "src"
    command = [str(NODE), str(driver), str(source), str(folder / "given.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def answers(lanes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    given = [{"script": lane.source, "live": lane.data, "settings": case.settings, "shut": choices(case, lane)}
             for case, lane in zip(CASES.values(), lanes.values(), strict=True)]
    return dict(zip(CASES, in_node(given, tmp_path_factory.mktemp("live")), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_net_can_be_computed_in_the_page(name: str, lanes: dict[str, Any]) -> None:
    assert lanes[name].reason == ""


@needs_node
@pytest.mark.parametrize("name", CASES)
def test_loss_and_profiles_are_those_of_the_tape(name: str, lanes: dict[str, Any], answers: dict[str, Any]) -> None:
    case = CASES[name]
    start = {one["option"]: one["start"] for one in lanes[name].data["sliders"]}
    assert lanes[name].data["states"].keys() >= set(case.states)
    for settings, found in zip(case.settings, answers[name]["runs"], strict=True):
        settings = {key: x for key, x in settings.items() if key in start}
        loss = truth(case, settings, start)
        n = int(settings.get("length", case.T))
        flow = viz.gradient_flow(loss)
        for state in case.states:
            recorded = flow.profile(state, layer=case.layer)
            expected = np.full(case.T, math.nan)
            for lag, size in zip(recorded.lags, recorded.norms, strict=True):
                expected[case.T - 1 - lag] = size
            np.testing.assert_allclose(np.array(found["profile"][state], float), expected, rtol=case.rtol, atol=0)
        if n == case.T:
            assert found["loss"] == pytest.approx(float(loss.data), rel=case.rtol)


@needs_node
@pytest.mark.parametrize("name", CASES)
def test_messages_along_edges_are_those_of_the_tape(name: str, lanes: dict[str, Any], answers: dict[str, Any]) -> None:
    case, found = CASES[name], answers[name]["runs"][0]["messages"]
    loss = case.loss()
    flow = viz.gradient_flow(loss)
    layer = recurrent(flow.graph)[case.layer]
    seen = 0
    for e, (consumer, k) in enumerate(wires_of(loss, case.layer)):
        if lanes[name].data["wires"][e] is not None:
            for turn, step in enumerate(layer.order):
                node, inside = layer.steps[step].get(consumer, ""), layer.step_of()
                edges = [Edge(node, k)] if k is not None else [
                    Edge(v, j) for _, v, j in flow.graph.out_edges(node, keys=True) if v not in inside]
                sent = [flow.messages[edge] for edge in edges if edge in flow.messages]
                if len(sent) == 1:  # (a plain array, as the first state may be, is sent none)
                    assert float(found[e * case.T + turn]) == pytest.approx(sent[0], rel=case.rtol, abs=0)
                    seen += 1
    assert seen >= 2 * case.T


@needs_node
@pytest.mark.parametrize("name", CASES)
def test_cuts_are_those_of_the_tape(name: str, lanes: dict[str, Any], answers: dict[str, Any]) -> None:
    case = CASES[name]
    _, recorded = last_setting(case, lanes[name])
    if name == "two layers in one loop":
        assert lanes[name].data["cut"] is None
        assert answers[name]["cuts"][0] is None
        return
    assert lanes[name].data["cut"]["ways"].keys() >= {*recorded.ways} - recorded.members.keys()
    turns = [case.T - 1 - lag for lag in recorded.lags]
    for norms, found in zip(recorded.norms, answers[name]["cuts"], strict=True):
        row = np.array(found[recorded.state], float)[turns]
        np.testing.assert_allclose(row, norms, rtol=case.rtol, atol=1e-6 * case.rtol * recorded.norms.max())


def test_a_wrong_slider_is_found(lanes: dict[str, Any]) -> None:
    """The comparison can fail: a net with another forget bias has other profiles."""
    case = CASES["LSTM"]
    start = {one["option"]: one["start"] for one in lanes["LSTM"].data["sliders"]}
    one, other = [viz.gradient_flow(truth(case, {"forgetBias": bias}, start)).profile("c").norms
                  for bias in (1.0, 1.001)]
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(one, other, rtol=1e-9)


# ---------------------------------------------------------------------------------------- what sliders there are
@pytest.mark.parametrize(("name", "options"), [
    ("RNN", "gain h0 length"), ("LSTM", "forgetBias gain h0 length"), ("LSTM, no bias", "gain h0 length"),
    ("LSTM of 1997", "gain h0 length"), ("LSTM, coupled", "gain h0 length"), ("GRU", "forgetBias gain h0 length"),
    ("GRU, reset after", "forgetBias gain h0 length"), ("MGU", "gain h0 length"), ("additive", "h0 length"),
    ("additive with W", "gain h0 length"), ("Jordan", "gain h0 length"), ("decoder", "forgetBias gain"),
    ("both directions, the last layer", "forgetBias gain h0"), ("one unit, LSTM", "forgetBias gain h0 length"),
    ("a user's cell", "gain h0 length"),
])  # fmt: skip
def test_a_net_has_the_sliders_of_what_it_has(name: str, options: str, lanes: dict[str, Any]) -> None:
    assert [one["option"] for one in lanes[name].data["sliders"]] == options.split()


def test_a_slider_starts_at_what_was_recorded(lanes: dict[str, Any]) -> None:
    forget, gain, first, length = lanes["LSTM"].data["sliders"]
    assert (forget["label"], forget["start"]) == ("forget bias", 1.0)
    (change,) = forget["changes"]
    assert (change["from"], change["to"]) == (H, 2 * H)
    assert (gain["start"], length["start"], length["high"]) == (1.0, 9, 9)
    parts = CASES["LSTM"].first
    assert parts is not None
    assert first["start"] == pytest.approx(np.mean(parts))
    assert lanes["GRU"].data["sliders"][0]["label"] == "bias of z"


def test_a_range_reaches_to_the_start() -> None:
    hs, _ = nn.unroll(nn.LSTMCell(D, H, forget_bias=9.5, rng=0), numbers(4, B, D))
    assert live(hs.sum()).data["sliders"][0]["high"] == 10  # type: ignore[index]


# ------------------------------------------------------------------------------------------------ what is refused
def detached() -> Any:
    cell, h = nn.RNNCell(D, H, rng=0), Tensor(np.zeros((B, H)))
    for t in range(6):
        with scope(step=t):
            h = cell(numbers(6, B, D)[t], h) + 0.5 * h.detach()
    return h.sum()


def changing() -> Any:
    h, w = np.zeros((B, H)), Tensor(numbers(H, H))
    for t in range(6):
        with scope(step=t):
            h = mg.tanh(h @ w + 1.0) if t % 2 else mg.sigmoid(h @ w + 1.0)
    return h.sum()


def skipping() -> Any:
    w, states = Tensor(numbers(H, H)), [Tensor(np.zeros((B, H))), Tensor(np.ones((B, H)))]
    for t in range(6):
        with scope(step=t):
            states.append(mark(mg.tanh(states[-1] @ w) + states[-2], "h", role="hidden"))
    return states[-1].sum()


def with_condition() -> Any:
    h, w = np.full((B, H), 0.3), Tensor(numbers(H, H))
    for t in range(6):
        with scope(step=t):
            z = h @ w
            h = mg.where(np.greater(z.data, 0.1), mg.tanh(z), 0.5 * z)
    return h.sum()


def of_gru(**options: Any) -> Any:
    return nn.unroll(nn.GRUCell(D, H, rng=0), numbers(9, B, D), **options)[0].sum()


@pytest.mark.parametrize(("loss", "reason"), [
    (lambda: nn.unroll(nn.RNNCell(D, MOST_UNITS + 1, rng=0), numbers(5, B, D))[0].sum(), "has 17 units"),
    (lambda: nn.unroll(nn.RNNCell(D, H, rng=0), numbers(MOST_STEPS + 1, B, D))[0].sum(), "takes 101 steps"),
    (lambda: nn.unroll(nn.RNNCell(D, H, rng=0), numbers(100, 500, D))[0].sum(), "more than 100000 numbers"),
    (lambda: of_gru(lengths=[9, 4]), "different lengths"), (lambda: of_cell(CELLS["LSTM"], T=1).loss(), "single step"),
    (detached, "detached"), (changing, "do not all do the same"), (skipping, "more than the step before"),
    (with_condition, "condition"), (lambda: mg.cumsum(of_gru() * np.ones(3))[2], "cumsum"),
])  # fmt: skip
def test_what_the_page_cannot_compute_is_refused_with_a_reason(loss: Callable[[], Any], reason: str) -> None:
    found = live(loss())
    assert found.data is None
    assert found.source == ""
    assert reason in found.reason


# ------------------------------------------------------------------------------------------------ the text
def test_the_source_holds_no_name_of_the_users(lanes: dict[str, Any]) -> None:
    source = lanes["a user's cell"].source
    for part in ("</", "<!--", "*/", "alert(1)", "\x00", "\u2028", "\ud800", "σ"):
        assert part not in source
    assert "script" in source  # of a name only letters and digits are left


def test_data_can_be_written_as_json(lanes: dict[str, Any]) -> None:
    for lane in lanes.values():
        json.dumps(lane.data, allow_nan=False)


# ------------------------------------------------------------------------------------------------ nets of all kinds
@needs_node
def test_a_net_written_in_whatever_way_is_computed_rightly_or_refused(tmp_path: Path) -> None:
    """Cells in wrappers, with all kinds of losses, written in all ways that the pictures are tested with."""
    given, flows = [], []
    for index in range(60):
        loss = rewritings.pair(rewritings.Case.of(index))[1].loss
        found = live(loss, name=f"drawn{index}")
        if found.data is not None:
            moved = "gain" in {one["option"] for one in found.data["sliders"]}
            settings: list[dict[str, float]] = [{}, {"gain": 0.8}] if moved else [{}]
            given.append({"script": found.source, "live": found.data, "settings": settings, "shut": []})
            losses = [loss, *sweep(loss, -1, "gain", [0.8])] if moved else [loss]
            flows.append([viz.gradient_flow(one) for one in losses])
    assert len(given) > 25
    for of_tape, answer in zip(flows, in_node(given, tmp_path), strict=True):
        for flow, run in zip(of_tape, answer["runs"], strict=True):
            for state, norms in run["profile"].items():
                recorded = flow.profile(state)
                row = np.array(norms, float)[[len(norms) - 1 - lag for lag in recorded.lags]]
                np.testing.assert_allclose(row, recorded.norms, rtol=1e-9, atol=1e-13 * max(recorded.norms))
