"""The sentences of the tour are true of the data, whatever the net is."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, mark, nn, scope, tanh
from tests.viz.explorer.pages import data_of, numbers
from tests.viz.nets import own_cell
from viz.explorer.tour import ALIKE, TITLES
from viz.numbers import short

STATIONS = [name for name, _ in TITLES]


def xs(T: int, D: int = 3) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((T, 1, D))


def lstm(T: int = 40, H: int = 8, **options: Any) -> Any:
    return nn.LSTM(3, H, rng=0, **options)(xs(T))[1][0].sum()


def rnn(T: int = 40, H: int = 8) -> Any:
    return nn.RNN(3, H, rng=0)(xs(T))[1].sum()


def told(net: Any, **options: Any) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The stations by name, and the data."""
    data = data_of(viz.explore(net, **options))
    return {station["station"]: station for station in data["tour"]}, data


def words(net: Any, station: str, **options: Any) -> str:
    return str(told(net, **options)[0][station]["words"])


def exploding(T: int = 12) -> Any:
    W = Tensor(3 * np.eye(3), requires_grad=True)
    h: Any = Tensor(np.full((1, 3), 1e-9))
    for t in range(T):
        with scope("linear", step=t):
            h = mark(h @ W, "h", role="hidden")
    return h.sum()


NETS: dict[str, Any] = {
    "lstm": lstm, "rnn": rnn, "both": lambda: {"LSTM": lstm(), "tanh RNN": rnn()}, "own": own_cell,
    "exploding": exploding, "one step": lambda: lstm(1), "two steps": lambda: rnn(2),
    "a loss a step": lambda: (nn.LSTM(3, 4, rng=0)(xs(9))[0] ** 2).sum(),
    "nothing": lambda: lstm(5) * 0.0, "early": lambda: nn.LSTM(3, 4, rng=0)(xs(9))[0][2].sum(),
    "not finite": lambda: nn.LSTM(3, 4, rng=0)(np.full((6, 1, 3), np.nan))[1][0].sum(),
    "flow": lambda: viz.gradient_flow(lstm(9)), "padded": lambda: (nn.GRU(3, 4, rng=0)(
        np.ones((6, 2, 3)), lengths=[6, 2])[0] ** 2).sum(),
    "additive": lambda: nn.unroll(nn.AdditiveCell(3, 4, rng=0), xs(6))[1].sum(),
}


@pytest.mark.parametrize("name", NETS)
def test_every_net_has_eight_stations_that_point_into_the_page(name: str) -> None:
    _, data = told(NETS[name]())
    assert [station["station"] for station in data["tour"]] == STATIONS
    for station in data["tour"]:
        lane = data["lanes"][station["lane"]]
        assert 0 <= station["turn"] < lane["T"]
        assert station["words"].endswith((".", ".)"))
        assert not re.search(r"\bnan\b|None|\binf\b|  ", station["words"]), station["words"]
        assert set(station["set"]) <= {"cut", "wires", "slider"}
        assert set(station["set"].get("cut", [])) <= set((lane["ways"] or {"names": []})["names"])


# ------------------------------------------------------------------------------------------------ the cut
def kept(data: dict[str, Any], j: int, shut: str) -> tuple[float, float]:
    """At the oldest step: the norm with all ways, and without one."""
    names, norms = data["lanes"][j]["ways"]["names"], numbers(data["lanes"][j]["ways"]["kept"])
    whole = len(norms) - 1
    return float(norms[whole][0]), float(norms[whole ^ 1 << names.index(shut)][0])


def test_without_its_carry_the_lstm_dies_like_tanh_where_it_does() -> None:
    stations, data = told({"LSTM": lstm(forget_bias=5.0), "tanh RNN": rnn()})
    whole, without = kept(data, 0, "carry")
    assert without * ALIKE < whole
    said = stations["cut"]["words"]
    assert f"the norm is {short(without)} instead of {short(whole)}, {short(whole / without)} times less." in said
    here = math.log(without / numbers(data["lanes"][0]["profile"]["c"])[-1])
    norms = numbers(data["lanes"][1]["profile"]["h"])
    rate = here / math.log(norms[0] / norms[-1])
    how = "as fast as" if 0.8 < rate < 1.2 else "even faster than" if rate > 1 else "too, more slowly than"
    assert f"It vanishes {how} in “tanh RNN”, which has no carry" in said
    assert stations["cut"]["set"] == {"cut": ["carry"]}


def test_where_the_cut_changes_little_the_sentence_says_so() -> None:
    """c is carried over with a factor of 0.01; what reaches far back goes through tanh."""
    W, V = (Tensor(scale * np.eye(3), requires_grad=True) for scale in (0.95, 1e-6))
    h = c = Tensor(np.full((1, 3), 0.01))
    for t in range(12):
        with scope("odd", step=t):
            c = mark(0.01 * c + mark(tanh(c @ W), "g", role="candidate"), "c", role="cell")
            h = mark(tanh(c @ V) + c, "h", role="hidden")
    stations, data = told(h.sum())
    whole, without = kept(data, 0, "carry")
    assert 0.8 * whole < without < 1.25 * whole
    assert stations["cut"]["words"].endswith("So far back, the gradient hardly depends on the carry here.")


def test_where_a_cut_makes_the_gradient_larger_the_sentence_says_so() -> None:
    W = Tensor(0.5 * np.eye(3), requires_grad=True)
    h: Any = Tensor(np.full((1, 3), 1e-3))
    for t in range(8):
        with scope("odd", step=t):
            h = mark(-0.4 * h + mark(tanh(h @ W), "g", role="candidate"), "h", role="hidden")
    stations, data = told(h.sum())
    whole, without = kept(data, 0, "carry")
    assert without > ALIKE * whole
    assert "It becomes larger, because the paths along the carry cancel others." in stations["cut"]["words"]


def test_where_the_only_way_is_cut_exactly_nothing_arrives() -> None:
    said = words(rnn(), "cut")
    assert "Cut the way through tanh of rnn: 39 steps back exactly nothing arrives, instead of " in said
    assert said.endswith("Every path goes that way.")


def test_where_the_loss_of_the_step_itself_brings_gradient_the_sentence_says_so() -> None:
    root = (nn.LSTM(3, 4, rng=0)(xs(9))[0] ** 2).sum()
    stations, data = told(root)
    direct = float(numbers(data["lanes"][0]["ways"]["kept"])[0][0])
    assert f"The loss of that step itself brings {short(direct)}, by no way at all." in stations["cut"]["words"]


def test_a_flow_cannot_be_cut_and_the_sentence_says_so() -> None:
    assert words(viz.gradient_flow(lstm()), "cut").startswith("The ways through the cell cannot be cut here")


# ------------------------------------------------------------------------------------------------ what is left
def test_vanishing_and_exploding_are_told_from_the_numbers() -> None:
    assert "It has vanished in rnn." in words(rnn(), "vanishing")
    assert "It explodes in linear." in words(exploding(), "vanishing")
    calm = words({"additive": NETS["additive"]()}, "vanishing")
    assert calm == ("5 steps back, the gradient is as large as that at lag 0 in additive. It neither vanishes nor "
                    "explodes over 5 steps.")


def test_the_station_of_vanishing_shows_the_net_with_least() -> None:
    stations, data = told({"LSTM": lstm(), "tanh RNN": rnn()})
    left = [lane["left"] for lane in data["lanes"]]
    assert stations["vanishing"]["lane"] == int(np.argmin(left))
    assert stations["vanishing"]["turn"] == 0


def test_new_gradient_on_the_way_is_said() -> None:
    root = (nn.LSTM(3, 4, rng=0)(xs(9))[0] ** 2).sum()
    for station in ("reverse", "vanishing"):
        assert "New gradient comes in" in words(root, station)
        assert "New gradient comes in" not in words(lstm(), station)


def test_a_net_without_gates_is_not_said_to_have_any() -> None:
    assert words(rnn(), "step").endswith("It has no gates.")
    assert "Its gates i, f and o let more or less through." in words(lstm(), "step")
    assert words(rnn(), "carry").startswith("No carry leads to h of rnn: ")
    assert words(lstm(), "carry", state="h").startswith("No carry leads to h of lstm: "), "though one leads to c"


def test_where_nothing_is_marked_no_gate_is_denied() -> None:
    assert words(own_cell(marked=False), "step").endswith("Nothing in it is marked as a gate.")


def test_the_carry_is_quoted_with_its_equation_and_its_mean() -> None:
    root = lstm()
    (track,) = viz.compare_flow({"lstm": root}).tracks
    mean = math.exp(np.mean(np.log(track.kept())))
    said = words(root, "carry")
    assert "c is carried over by c = f ⊙ previous c + i ⊙ g" in said
    assert f"multiplies the norm of the gradient by {mean:.2f} (geometric mean)" in said


# ------------------------------------------------------------------------------------------------ changes
def test_of_a_sweep_the_numbers_are_told() -> None:
    stations, data = told(lstm(H=20), sweep={"forget_bias": [-1, 3]})
    low, high = (lane["left"] for lane in data["lanes"][0]["sweep"]["lanes"])
    assert high > low
    assert f"{short(low)} at −1 and {short(high)} at 3. Most is left at 3." in stations["bias"]["words"]
    assert stations["bias"]["set"] == {"slider": "forget_bias"}


def test_small_nets_have_sliders_and_large_ones_a_reason() -> None:
    stations, data = told(lstm(T=9))
    assert stations["bias"]["set"] == {"slider": "forgetBias"}
    assert data["lanes"][0]["live"] is not None
    stations, data = told(lstm(H=20))
    assert stations["bias"]["set"] == {}
    assert stations["bias"]["words"] == f"There are no sliders here: {data['lanes'][0]['missing']['live']}."


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_of_a_single_step_no_carry_is_denied(cell: Any) -> None:
    root = nn.unroll(cell(3, 4, rng=0), np.ones((1, 1, 3)))[0].sum()
    assert words(root, "carry") == "The loop takes a single step, so nothing is carried from step to step."
