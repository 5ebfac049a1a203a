"""The long net folded: every colour, every curve and every tick against the flow's numbers."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, mark, nn, scope, tanh
from tests.viz.nets import last_loss, own_cell, two_layers
from tests.viz.test_fold import NETS
from viz.graph.trace import traced
from viz.pictures.heat_old import Axis, Column
from viz.pictures.long import draw_long
from viz.scale import Scale
from viz.theme import DEFAULT, LEVELS

SVG = "{http://www.w3.org/2000/svg}"
SCALE = Scale(-8, 2)
COLOURS = {DEFAULT.magnitude(j / LEVELS): j for j in range(LEVELS + 1)} | {DEFAULT.alarm: "alarm"}


def rows(drawing: viz.Drawing) -> dict[str, list[ElementTree.Element]]:
    """What is painted of each row of the heat map, by its name; of the same name, the last (the lowest layer)."""
    found: dict[str, list[ElementTree.Element]] = {}
    for group in ElementTree.fromstring(drawing.svg).iter(f"{SVG}g"):
        first, *others = [*group] or [group]
        if first.tag == f"{SVG}title" and others and others[0].tag == f"{SVG}rect":
            found[(first.text or "").split(":")[0]] = others
    return found


def looks(parts: list[ElementTree.Element], at: float, half: int = 0) -> Any:
    """What is painted at a place of a row: a level of colour, "alarm", "zero" or None. Half 1 is the lower one."""
    back, *shapes = parts
    top, height = float(back.get("y", 0)), float(back.get("height", 0))
    y = top + height * (0.25 + 0.5 * half)
    for shape in shapes:
        for a, b, c in re.findall(r"M([\d.]+),([\d.]+)H([\d.]+)", shape.get("d", "")):
            tall = re.search(r"v([\d.]+)", shape.get("d", ""))
            inside = float(a) <= at < float(c)
            if inside and tall and float(b) <= y < float(b) + float(tall[1]):
                return COLOURS[shape.get("fill", "")]
            if inside and not tall and abs(float(b) - y) < 0.3 * height:
                return "zero"
    return None


def axis_of(drawing: viz.Drawing, steps: int) -> Axis:
    """The time axis, read off the background of a row."""
    back = next(iter(rows(drawing).values()))[0]
    return Axis(range(steps), float(back.get("x", 0)), float(back.get("width", 0)))


def level(x: float, scale: Scale = SCALE) -> int:
    return round(scale.place(x) * LEVELS)


def long_flow(T: int = 40) -> viz.Flow:
    return viz.gradient_flow(last_loss("lstm", T))


def test_every_step_of_every_row_has_the_colour_of_its_norm() -> None:
    flow = long_flow()
    drawing = draw_long(flow, scale=SCALE)
    axis, found = axis_of(drawing, 40), rows(drawing)
    assert list(found)[:2] == ["∂L/∂c", "carried over"]
    assert set(found) == {"∂L/∂c", "carried over", "∂L/∂i", "∂L/∂f", "∂L/∂o", "∂L/∂g", "∂L/∂h"}
    for name, parts in found.items():
        for t in range(40):
            size = (flow.arrivals[f"lstm/t{t}/c"].carry if name == "carried over"
                    else flow.gradients[f"lstm/t{t}/{name[-1]}"])
            assert looks(parts, axis.x(t + 0.5)) == (level(size) if size else "zero"), (name, t)


def test_a_bin_shows_its_largest_and_its_smallest() -> None:
    T = 3000
    h: Any = Tensor(np.ones((1, 2)), label="h0")
    rng = np.random.default_rng(0)
    for t in range(T):
        with scope("rnn", step=t):
            h = mark(tanh(h) + rng.standard_normal((1, 2)), "h", role="hidden")
    flow = viz.gradient_flow(h.sum())
    drawing = draw_long(flow, scale=SCALE)
    axis = axis_of(drawing, T)
    assert axis.per > 1
    parts = rows(drawing)["∂L/∂h"]
    sizes = [flow.gradients[f"rnn/t{t}/h"] for t in range(T)]
    differ = 0
    for j in range(axis.columns):
        inside = sizes[j * axis.per:(j + 1) * axis.per]
        expected = [level(g) if g else "zero" for g in (max(inside), min(inside))]
        assert [looks(parts, axis.x(j + 0.5), half) for half in (0, 1)] == expected
        differ += expected[0] != expected[1]
    assert differ > 3


def test_the_curves_are_the_norms_and_stand_over_the_same_time() -> None:
    flow = long_flow()
    drawing = draw_long(flow)
    axis = axis_of(drawing, 40)
    lines = [e for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}path") if e.get("stroke-linejoin") == "round"]
    assert len(lines) == 2
    for line, state in zip(lines, "ch", strict=True):
        points = [tuple(map(float, p.split(","))) for p in line.get("d", "")[1:].split("L")]
        assert [x for x, _ in points] == pytest.approx([axis.x(t + 0.5) for t in range(40)], abs=0.12)
        logs = [math.log10(flow.gradients[f"lstm/t{t}/{state}"]) for t in range(40)]
        slope = np.polyfit([y for _, y in points], logs, 1)
        assert slope[0] < 0, "larger is higher"
        assert np.allclose(np.polyval(slope, [y for _, y in points]), logs, atol=0.02)


def test_ticks_stand_under_their_steps() -> None:
    drawing = draw_long(long_flow())
    axis = axis_of(drawing, 40)
    ticks = {int(e.text): float(e.get("x", 0)) for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")
             if e.text and e.text.isdigit()}
    assert len(ticks) > 10
    for t, x in ticks.items():
        assert x == pytest.approx(axis.x(t + 0.5), abs=0.12)


def test_four_cells_and_how_many_are_not_drawn() -> None:
    words = [e.text for e in ElementTree.fromstring(draw_long(last_loss("gru before", 50)).svg).iter(f"{SVG}text")]
    assert [w for w in words if w and w.startswith("t = ")] == ["t = 0", "t = 1", "t = 48", "t = 49", "t = 2 … 47"]
    assert "×46" in words


@pytest.mark.parametrize(("T", "cells"), [(1, 1), (4, 4), (5, 5), (6, 4)])
def test_a_short_net_is_drawn_whole(T: int, cells: int) -> None:
    svg = draw_long(last_loss("lstm", T)).svg
    assert len(re.findall(r">t = \d+</text>", svg)) == cells
    assert ("×" in re.sub(r">×</text>", "", svg)) == (cells < T)


def test_numbers_on_the_cells_are_the_flows() -> None:
    flow = long_flow()
    notes = [e.text for e in ElementTree.fromstring(draw_long(flow).svg).iter(f"{SVG}title")]
    for t in (1, 39):
        assert f"from f to f × c at t = {t}: {flow.messages[f'lstm/t{t}/multiply', 0]:.4g}" in notes
    inside = [flow.messages[e] for e in (("lstm/t38/multiply", 1), ("lstm/t2/multiply", 1))]
    assert f"from c at t = 37 to f × c at t = 38: {inside[0]:.4g}" in notes
    assert f"gradient to c: {inside[1]:.4g}, 1 message" in notes


def test_zero_nan_and_nothing_look_different() -> None:
    flow = long_flow()
    flow.gradients.update({"lstm/t10/c": math.nan, "lstm/t11/c": math.inf, "lstm/t12/c": 0.0})
    del flow.gradients["lstm/t13/c"]
    drawing = draw_long(flow)
    axis, parts = axis_of(drawing, 40), rows(drawing)["∂L/∂c"]
    assert [looks(parts, axis.x(t + 0.5)) for t in (10, 11, 12, 13)] == ["alarm", "alarm", "zero", None]
    assert any("NaN or infinite at 2 steps, first at t = 10" in (e.text or "")
               for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}title"))
    assert drawing.svg.count(">!</text>") == 3, "two steps, and the legend"


def test_one_nan_makes_its_bin_an_alarm_and_a_zero_shows_below() -> None:
    assert math.isnan(Column.of([1.0, math.nan, 3.0]).high or 0.0)
    assert Column.of([0.0, 2.0]) == Column(0.0, 2.0)
    assert Column.of([None, None]) == Column(None, None)


def test_without_a_flow_gates_show_their_mean_and_states_their_size() -> None:
    xs = np.random.default_rng(0).standard_normal((30, 2, 3))
    hs, _ = nn.LSTM(3, 4, rng=0)(xs)
    loss = (hs * hs).sum()
    _, ids = traced(loss)
    nodes = {v: node for node, v in ids.items()}
    drawing = draw_long(loss)
    axis, found = axis_of(drawing, 30), rows(drawing)
    for name, parts in found.items():
        for t in range(30):
            data = nodes[f"lstm/t{t}/{name}"].data
            held = data.mean() if name in "ifo" else np.sqrt((data**2).mean())
            assert looks(parts, axis.x(t + 0.5)) == round(min(held, 1.0) * LEVELS), (name, t)
    assert "Gates: the mean" in drawing.svg
    assert "Gates: the mean" not in draw_long(viz.trace(loss)).svg, "a graph knows no means"


def test_states_without_roles_get_rows_too() -> None:
    assert set(rows(draw_long(viz.gradient_flow(own_cell(12, marked=False))))) >= {"∂L/∂s2", "∂L/∂h"}
    assert set(rows(draw_long(own_cell(12)))) == {"m", "a", "h"}


def test_a_layer_that_runs_backwards_has_the_same_time_axis() -> None:
    hs, _ = nn.RNN(3, 4, bidirectional=True, rng=0)(np.random.default_rng(0).standard_normal((20, 2, 3)))
    flow = viz.gradient_flow(hs[0].sum())  # which lies at the end of the way back
    svg = draw_long(flow).svg
    captions = re.findall(r">t = (\d+)</text>", svg)
    assert captions == ["0", "1", "18", "19"] * 2
    sizes = [flow.gradients[f"layers.0/backwards/rnn/t{t}/h"] for t in range(20)]
    assert sizes[0] > sizes[19] > 0
    upper = svg[:svg.index("layer 1, forwards →")]
    line = re.search(r'<path d="M([^"]*)" fill="none" stroke="#cc79a7"', upper)
    assert line is not None
    heights = [float(p.split(",")[1]) for p in line[1].split("L")]
    assert heights[0] < heights[-1], "most at t = 0"


def test_two_layers_stand_one_above_the_other() -> None:
    drawing = draw_long(two_layers(12))
    words = [e.text for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")]
    assert words.count("×8") == 2


def test_a_skip_over_many_steps_is_not_cut() -> None:
    past: list[Any] = [Tensor(np.ones((1, 3))) for _ in range(7)]
    for t in range(60):
        with scope("skip", step=t):
            past.append(mark(past[-1] * 0.5 + past[-7] * 0.25, "h", role="hidden"))
    svg = draw_long(viz.gradient_flow(past[-1].sum())).svg
    notes = [e.text or "" for e in ElementTree.fromstring(svg).iter(f"{SVG}title")]
    assert any(note.startswith("from h at t = 52 to") and "t = 59" in note for note in notes)


@pytest.mark.parametrize("name", NETS)
def test_every_net_is_drawn_with_each_state_named_once_a_cell(name: str) -> None:
    loss = NETS[name]()
    for drawing in (viz.draw_rolled(loss), viz.draw_rolled(viz.gradient_flow(loss), beside=True)):
        assert ElementTree.fromstring(drawing.svg).tag == f"{SVG}svg"
    for drawing in (draw_long(loss), draw_long(viz.gradient_flow(loss))):
        words = [e for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text") if e.get("font-style") == "italic"]
        where = [(float(e.get("x", 0)), float(e.get("y", 0))) for e in words if len(e)]
        assert where
        for j, (x, y) in enumerate(where):
            assert all(abs(x - a) > 20 or abs(y - b) > 10 for a, b in where[:j]), "two names in one place"


def test_ten_thousand_steps_stay_small() -> None:
    h: Any = Value(0.5)
    for t in range(10_000):
        with scope("rnn", step=t):
            h = mark((h * 0.9997).tanh() + 1e-3, "h", role="hidden")
    drawing = draw_long(viz.gradient_flow(h))
    assert len(drawing.svg) < 200_000
    assert "A column is" in drawing.svg


def test_the_same_program_draws_the_same() -> None:
    assert draw_long(long_flow()).svg == draw_long(long_flow()).svg


def test_what_cannot_be_folded_is_refused() -> None:
    with pytest.raises(ValueError, match="no time steps"):
        draw_long(Value(1.0) * 2)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        draw_long(last_loss("rnn"), cells=0)
    with pytest.raises(TypeError, match="expected a Value or a Tensor, got float"):
        draw_long(1.0)


def ticks_by_lane(drawing: viz.Drawing) -> list[list[tuple[int, float]]]:
    """The ticks under each lane, from the top down: the number, and where it stands."""
    found: dict[float, list[tuple[int, float]]] = {}
    for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text"):
        if e.text and e.text.isdigit() and e.get("text-anchor") == "middle" and not len(e):
            found.setdefault(float(e.get("y", 0)), []).append((int(e.text), float(e.get("x", 0))))
    return list(found.values())


def spans(drawing: viz.Drawing, name: str) -> list[tuple[float, float]]:
    """Where the rows of this name begin and end, from the top lane down."""
    groups = [[*e] for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}g")]
    backs = [parts[1] for parts in groups if len(parts) > 1 and (parts[0].text or "").split(":")[0] == name
             and parts[1].tag == f"{SVG}rect"]
    return [(float(e.get("x", 0)), float(e.get("x", 0)) + float(e.get("width", 0))) for e in backs]


def translation(T: int, U: int, layers: int = 1) -> Any:
    net = nn.EncoderDecoder(nn.LSTM(4, 6, layers=layers, rng=0), nn.LSTM(4, 6, layers=layers, rng=1),
                            nn.Embedding(9, 4, rng=2), nn.Embedding(7, 4, rng=3), nn.Linear(6, 7, rng=4), start=0)
    target = np.ones((U, 2), dtype=int)
    return nn.cross_entropy(net(np.ones((T, 2), dtype=int), target), target)


def test_a_decoder_stands_after_its_encoder() -> None:
    flow = viz.gradient_flow(translation(40, 25))
    drawing = draw_long(flow, scale=SCALE)
    (start, end), (left, middle) = spans(drawing, "∂L/∂h")
    axis = Axis(range(65), left, end - left)
    assert start == pytest.approx(middle) == pytest.approx(axis.x(40), abs=0.15)
    parts = rows(drawing)["∂L/∂h"]  # the encoder's
    for t in range(65):
        size = flow.gradients[f"encoder/lstm/t{t}/h"] if t < 40 else None
        assert looks(parts, axis.x(t + 0.5)) == (None if size is None else level(size)), t
    decoder, encoder = ticks_by_lane(drawing)
    assert [t for t, _ in decoder] == [*range(0, 25, 5)]
    assert [t for t, _ in encoder] == [*range(0, 40, 5)]
    for ticks, offset in ((decoder, 40), (encoder, 0)):
        assert all(x == pytest.approx(axis.x(t + offset + 0.5), abs=0.12) for t, x in ticks)
    lines = [e.get("d", "")[1:].split("L") for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}path")
             if e.get("stroke-linejoin") == "round"]
    assert [len(points) for points in lines] == [25, 25, 40, 40]
    assert float(lines[0][0].split(",")[0]) == pytest.approx(axis.x(40.5), abs=0.12)
    assert "T = 40 + 25" in drawing.svg


def test_the_layers_of_a_stack_share_their_time() -> None:
    drawing = draw_long(viz.gradient_flow(translation(9, 5, layers=2)))
    upper, lower, *encoder = spans(drawing, "∂L/∂h")
    assert upper == lower
    assert encoder[0] == encoder[1]
    assert upper[0] == pytest.approx(encoder[0][1], abs=0.15)
    both = nn.RNN(3, 4, bidirectional=True, rng=0)(np.ones((9, 2, 3)))[0]
    assert len(set(spans(draw_long(viz.gradient_flow(both.sum())), "∂L/∂h"))) == 1


@pytest.mark.parametrize("cut", [False, True])
def test_stretches_of_one_loss_follow_each_other(cut: bool) -> None:
    net, rng = nn.LSTM(3, 4, rng=0), np.random.default_rng(0)
    state: Any = None
    loss: Any = 0.0
    lengths = (20, 8, 12)
    for T in lengths:
        hs, state = net(rng.standard_normal((T, 2, 3)), state)
        loss = loss + (hs * hs).sum()
        state = tuple(s.detach() for s in state) if cut else state
    found = spans(draw_long(viz.gradient_flow(loss)), "∂L/∂h")[::-1]
    unit = (found[-1][1] - found[0][0]) / sum(lengths)
    assert [(b - a) / unit for a, b in found] == pytest.approx(lengths, abs=0.02)
    assert [a for a, _ in found[1:]] == pytest.approx([b for _, b in found[:-1]], abs=0.15)
