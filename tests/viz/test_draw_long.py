"""The long net folded: every colour, every curve and every tick against the flow's numbers."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, mark, nn, scope, tanh
from tests.viz.nets import last_loss, own_cell, two_layers
from tests.viz.test_fold import NETS
from viz.flow.compare import percent
from viz.graph.trace import traced
from viz.numbers import short
from viz.pictures.long import draw_long, telling
from viz.scale import Scale
from viz.scene.chart import Axis, Bin
from viz.scene.items import Area, Box, Item, Scene, Text, Wire
from viz.theme import DEFAULT, LEVELS

SCALE = Scale(-8, 2)
COLOURS = {DEFAULT.magnitude(j / LEVELS): j for j in range(LEVELS + 1)} | {DEFAULT.alarm: "alarm"}
Row = tuple[Box, list[Item]]  # the ground of a row of the heat map, and what is painted on it


def scene(drawing: viz.Drawing) -> Scene:
    assert drawing.scene is not None
    return drawing.scene


def rows(drawing: viz.Drawing) -> dict[str, Row]:
    """What is painted of each row of the heat map, by its name; of the same name, the last (the lowest layer)."""
    found: dict[str, Row] = {}
    for item, _, _ in scene(drawing).keyed():
        if isinstance(item.key, tuple) and item.key[0] == "row" and isinstance(item, Box):
            found[item.key[2]] = item, []
        elif isinstance(item.key, tuple) and item.key[0] == "heat":
            found[item.key[2]][1].append(item)
    return found


def looks(row: Row, at: float, half: int = 0) -> Any:
    """What is painted at a place of a row: a level of colour, "alarm", "zero" or None. Half 1 is the lower one."""
    ground, items = row
    y = ground.y + ground.h * (0.25 + 0.5 * half)
    for item in items:
        if isinstance(item, Area):
            for outline in item.outlines:
                (left, top), (right, bottom) = outline[0], outline[2]
                if left <= at < right and top <= y < bottom:
                    return COLOURS[item.fill or ""]
        elif isinstance(item, Wire):
            for route in item.routes:
                if route.start[0] <= at < route.end[0] and abs(route.start[1] - y) < 0.3 * ground.h:
                    return "zero"
    return None


def axis_of(drawing: viz.Drawing, steps: int) -> Axis:
    """The time axis, read off the ground of a row."""
    ground, _ = next(iter(rows(drawing).values()))
    return Axis(range(steps), ground.x, ground.w)


def data(drawing: viz.Drawing, kind: str) -> dict[Any, float | None]:
    """The numbers of all items of a kind, by their keys."""
    return {item.key[1:]: item.datum for item, _, _ in scene(drawing).keyed(kind)}  # type: ignore[index]


def curves(drawing: viz.Drawing) -> list[tuple[str, list[tuple[float, float]]]]:
    """The curves, in the order of painting: the state, and the points."""
    return [(item.key[2], [route.start, *(p for piece in route.pieces for p in piece)])  # type: ignore[index]
            for item, _, _ in scene(drawing).keyed("curve") if isinstance(item, Wire) for route in item.routes]


def drawn_steps(drawing: viz.Drawing) -> list[int]:
    """The steps whose cells are drawn, from left to right, layer by layer."""
    return [int(found[1]) for found in re.finditer(r"^t = (\d+)(, lag \d+)?$", scene(drawing).words, re.MULTILINE)]


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
    found = curves(drawing)
    assert [state for state, _ in found] == ["c", "h"]
    for state, points in found:
        assert [x for x, _ in points] == pytest.approx([axis.x(t + 0.5) for t in range(40)], abs=0.12)
        logs = [math.log10(flow.gradients[f"lstm/t{t}/{state}"]) for t in range(40)]
        slope = np.polyfit([y for _, y in points], logs, 1)
        assert slope[0] < 0, "larger is higher"
        assert np.allclose(np.polyval(slope, [y for _, y in points]), logs, atol=0.02)


def test_ticks_stand_under_their_steps() -> None:
    drawing = draw_long(long_flow())
    axis = axis_of(drawing, 40)
    (ticks,) = ticks_by_lane(drawing)
    assert len(ticks) > 6
    for t, x in ticks:
        assert x == pytest.approx(axis.x(t + 0.5), abs=0.12)


def test_without_a_flow_the_first_and_the_last_cells_are_drawn_and_how_many_are_not() -> None:
    drawing = draw_long(last_loss("gru before", 50), cells=4)
    assert drawn_steps(drawing) == [0, 1, 48, 49]
    assert data(drawing, "break") == {(1, 48): 46}
    assert "×46" in scene(drawing).words


def test_with_a_flow_cells_stand_where_the_gradient_changes() -> None:
    flow = viz.gradient_flow(last_loss("rnn", 150))
    drawing = draw_long(flow, cells=4)
    steps = drawn_steps(drawing)
    assert (len(steps), steps[0], steps[-1]) == (4, 0, 149)
    sizes = [flow.gradients[f"rnn/t{t}/h"] for t in steps]
    assert sizes[3] > 10 * sizes[2] > 100 * sizes[1], "each is far below the next"
    assert data(drawing, "state") == {(f"rnn/t{t}/h",): size for t, size in zip(steps, sizes, strict=True)}
    assert sum(data(drawing, "break").values()) == 146  # type: ignore[arg-type]
    lags = [149 - t for t in steps]
    assert all(f"t = {t}, lag {lag}" in scene(drawing).words for t, lag in zip(steps, lags, strict=True))


@pytest.mark.parametrize(("sizes", "n", "lags"), [
    ([1.0] * 5, 9, [0, 1, 2, 3, 4]), ([1.0], 1, [0]), ([1.0] * 9, 1, [0]), ([1.0] * 9, 2, [0, 8]),
    ([0.5**k for k in range(1000)], 4, [0, 10, 20, 999]), ([2.0**k for k in range(1000)], 4, [0, 300, 700, 999]),
    ([1.0, *[0.0] * 99], 3, [0, 1, 99]), ([math.nan] * 21, 3, [0, 10, 20]), ([1.0, *[None] * 20], 3, [0, 10, 20]),
])  # fmt: skip
def test_telling_lags(sizes: list[float | None], n: int, lags: list[int]) -> None:
    assert telling(sizes, min(n, len(sizes))) == lags


@pytest.mark.parametrize("T", [3, 30, 300])
@pytest.mark.parametrize("page", [1280, 830])
def test_as_many_cells_as_the_page_has_room_for(T: int, page: int) -> None:
    drawing = draw_long(viz.gradient_flow(last_loss("lstm", T)), theme=viz.Theme(page=page))
    assert drawing.width == page
    assert len(drawn_steps(drawing)) == {1280: 3, 830: 2}[page]


def test_a_phone_shows_the_charts_alone() -> None:
    drawing = draw_long(long_flow(), theme=viz.Theme(page=390))
    assert drawing.width == 390
    assert not drawn_steps(drawing)
    assert set(rows(drawing)) >= {"∂L/∂c", "∂L/∂h"}


@pytest.mark.parametrize("T", [1, 4])
def test_a_short_net_is_drawn_whole(T: int) -> None:
    drawing = draw_long(last_loss("lstm", T), cells=9)
    assert drawn_steps(drawing) == [*range(T)]
    assert not data(drawing, "break")


def test_numbers_on_the_cells_are_the_flows() -> None:
    flow = long_flow()
    drawing = draw_long(flow)
    edges = data(drawing, "edge")
    assert len(edges) > 30
    for edge, size in edges.items():
        assert size == flow.messages.get(viz.graph.steps.Edge(*edge)), edge
    for (node,), size in data(drawing, "state").items():
        assert size == flow.gradients[node]
    for (_, name, _), size in data(drawing, "last").items():
        assert size == (flow.arrivals["lstm/t39/c"].carry if name == "carried over"
                        else flow.gradients[f"lstm/t39/{name[-1]}"])


def test_lag_0_counts_as_1_in_colours_and_curves() -> None:
    """An exploding net does not push its own loss end off the scale."""
    h: Any = Tensor(np.ones((1, 2)), label="h0")
    for t in range(200):
        with scope("exploding", step=t):
            h = mark(h * 2.0, "h", role="hidden")
    found = scene(draw_long(viz.gradient_flow((0.001 * h).sum())))
    assert found.title.startswith("exploding multiplies its gradient by 8.0·10⁵⁹")
    grey = DEFAULT.change(2 / 3)
    last = [item for item, _, _ in found.keyed("heat") if isinstance(item, Area)][-1]
    colours = {item.fill: max(outline[2][0] for outline in item.outlines)
               for item, _, _ in found.keyed("heat") if isinstance(item, Area)}
    assert max(colours, key=lambda fill: colours[fill]) == grey, "the right end, lag 0"
    assert last.fill is not None
    assert "gradient: its norm, as a multiple of that at lag 0 (0.0014)" in found.words


def test_curves_that_coincide_share_a_name() -> None:
    a: Any = Tensor(np.ones((1, 2)), label="a0")
    b: Any = Tensor(np.ones((1, 2)), label="b0")
    for t in range(12):
        with scope("two", step=t):
            a, b = mark(tanh(b * 0.9), "a", role="hidden"), mark(tanh(a * 0.9), "b", role="hidden")
    drawing = draw_long(viz.gradient_flow((a + b).sum()))
    assert [item.plain for item, _ in scene(drawing).texts() if item.bold and item.italic] == ["a = b"]


def test_zero_nan_and_nothing_look_different() -> None:
    flow = long_flow()
    flow.gradients.update({"lstm/t10/c": math.nan, "lstm/t11/c": math.inf, "lstm/t12/c": 0.0})
    del flow.gradients["lstm/t13/c"]
    drawing = draw_long(flow)
    axis, parts = axis_of(drawing, 40), rows(drawing)["∂L/∂c"]
    assert [looks(parts, axis.x(t + 0.5)) for t in (10, 11, 12, 13)] == ["alarm", "alarm", "zero", None]
    assert "NaN or infinite at 2 steps, first at t = 10" in parts[0].note
    assert scene(drawing).words.splitlines().count("!") == 3, "two steps, and the legend"


def test_one_nan_makes_its_bin_an_alarm_and_a_zero_shows_below() -> None:
    assert math.isnan(Bin.of([1.0, math.nan, 3.0]).high or 0.0)
    assert Bin.of([0.0, 2.0]) == Bin(0.0, 2.0)
    assert Bin.of([None, None]) == Bin(None, None)


def test_without_a_flow_gates_show_their_mean_and_states_their_size() -> None:
    xs = np.random.default_rng(0).standard_normal((30, 2, 3))
    hs, _ = nn.LSTM(3, 4, rng=0)(xs)
    loss = (hs * hs).sum()
    _, ids = traced(loss)
    nodes = {v: node for node, v in ids.items()}
    drawing = draw_long(loss)
    axis, found, shares, means = axis_of(drawing, 30), rows(drawing), dict[str, float](), data(drawing, "mean")
    for label, parts in found.items():
        name, held = label[-1], 0.0
        for t in range(30):
            array = nodes[f"lstm/t{t}/{name}"].data
            held = array.mean() if name in "ifo" else np.sqrt((array**2).mean())
            shares[label] = shares.get(label, 0.0) + held / 30
            assert looks(parts, axis.x(t + 0.5)) == round(min(held, 1.0) * LEVELS), (name, t)
    assert {label: size for (_, label, _), size in means.items()} == pytest.approx(shares)
    for gate in "ifo":
        assert f"{percent(shares[f'gate {gate}'])} ({gate})" in scene(drawing).title
    assert "Gates: the mean" in scene(drawing).words
    assert "Gates: the mean" not in scene(draw_long(viz.trace(loss))).words, "a graph knows no means"


def test_states_without_roles_get_rows_too() -> None:
    assert set(rows(draw_long(viz.gradient_flow(own_cell(12, marked=False))))) >= {"∂L/∂s2", "∂L/∂h"}
    assert set(rows(draw_long(own_cell(12)))) == {"state m", "gate a", "state h"}


def test_without_a_flow_the_title_says_how_large_the_state_is_or_that_it_is_not_finite() -> None:
    net = nn.RNN(3, 4, rng=0)
    hs, _ = net(np.random.default_rng(0).standard_normal((30, 2, 3)))
    sizes = [float(np.linalg.norm(h)) for h in hs.data]
    said = f"rnn, 30 steps: the norm of h lies between {short(min(sizes))} and {short(max(sizes))}"
    assert scene(draw_long(hs[-1].sum())).title == said
    xs = np.ones((30, 2, 3))
    xs[20] = np.nan
    assert scene(draw_long(net(xs)[1].sum())).title == "rnn, 30 steps: h is NaN or infinite at 10 steps"


def test_a_layer_that_runs_backwards_has_the_same_time_axis() -> None:
    hs, _ = nn.RNN(3, 4, bidirectional=True, rng=0)(np.random.default_rng(0).standard_normal((20, 2, 3)))
    flow = viz.gradient_flow(hs[0].sum())  # which lies at the end of the way back
    drawing = draw_long(flow, cells=4)
    steps = drawn_steps(drawing)
    assert [steps[0], steps[3], steps[4], steps[7]] == [0, 19, 0, 19]
    sizes = [flow.gradients[f"layers.0/backwards/rnn/t{t}/h"] for t in range(20)]
    assert sizes[0] > sizes[19] > 0
    _, points = curves(drawing)[0]
    assert points[0][0] < points[-1][0]
    assert points[0][1] < points[-1][1], "most at t = 0"


def test_two_layers_stand_one_above_the_other() -> None:
    steps = drawn_steps(draw_long(two_layers(12), cells=4))
    assert steps == [0, 1, 10, 11] * 2


def test_a_skip_over_many_steps_is_not_cut() -> None:
    past: list[Any] = [Tensor(np.ones((1, 3))) for _ in range(7)]
    for t in range(60):
        with scope("skip", step=t):
            past.append(mark(past[-1] * 0.5 + past[-7] * 0.25, "h", role="hidden"))
    flow = viz.gradient_flow(past[-1].sum())
    edges = data(draw_long(flow), "edge")
    assert edges["skip/t59/multiply_2", 0] == flow.messages[viz.graph.steps.Edge("skip/t59/multiply_2", 0)]


@pytest.mark.parametrize("name", NETS)
def test_every_net_is_drawn_with_each_state_named_once_a_cell(name: str) -> None:
    loss = NETS[name]()
    for drawing in (viz.draw_rolled(loss), viz.draw_rolled(viz.gradient_flow(loss), beside=True),
                    draw_long(loss), draw_long(viz.gradient_flow(loss))):
        where = [(item.x + x, item.y + y) for item, x, y in scene(drawing).walk()
                 if isinstance(item, Text) and item.italic and len(item.runs) > 1 and item.runs[1][1] < 0]
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
    assert "A column is" in scene(drawing).words


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
    for item, _ in scene(drawing).texts():
        if item.plain.isdecimal() and item.anchor == "middle" and item.key is None and not item.bold:
            found.setdefault(item.y, []).append((int(item.plain), item.x))
    return [ticks for ticks in found.values() if len(ticks) > 2]


def spans(drawing: viz.Drawing, name: str) -> list[tuple[float, float]]:
    """Where the rows of this name begin and end, from the top lane down."""
    return [(item.x, item.x + item.w) for item, _, _ in scene(drawing).keyed("row")
            if isinstance(item, Box) and item.key[2] == name]  # type: ignore[index]


def translation(T: int, U: int, layers: int = 1) -> Any:
    net = nn.EncoderDecoder(nn.LSTM(4, 6, num_layers=layers, rng=0), nn.LSTM(4, 6, num_layers=layers, rng=1),
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
    lines = [points for _, points in curves(drawing)]
    assert [len(points) for points in lines] == [25, 25, 40, 40]
    assert lines[0][0][0] == pytest.approx(axis.x(40.5), abs=0.12)
    assert "T = 40 + 25" in scene(drawing).words


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
