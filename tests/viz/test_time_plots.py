"""Pictures of gradients through time: what is drawn is what was measured, and what is not a number looks it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import nn
from viz.flow.blame import LocalErrors, Shares
from viz.flow.jacobians import StepJacobians
from viz.numbers import short
from viz.plots.curves import as_svg
from viz.scale import Scale
from viz.theme import DARK, DEFAULT

pytest.importorskip("matplotlib")
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

T = 8


@pytest.fixture(scope="module")
def loss() -> Any:
    rng = np.random.default_rng(0)
    hs, _ = nn.RNN(3, 5, rng=0)(rng.standard_normal((T, 2, 3)))
    return nn.cross_entropy(nn.Linear(5, 4, rng=1)(hs), rng.integers(0, 4, (T, 2)), reduction="sum")


@pytest.fixture(scope="module")
def errors(loss: Any) -> LocalErrors:
    return viz.local_errors(loss)


@pytest.fixture(scope="module")
def by_lag(loss: Any) -> dict[str, Shares]:
    return viz.shares(loss, by="lag")


@pytest.fixture(scope="module")
def jacobians(loss: Any) -> StepJacobians:
    return viz.step_jacobians(loss)


def labels(ax: Any) -> str:
    """All that is written in a figure."""
    ax.figure.canvas.draw()
    return "\n".join(text.get_text() for text in ax.figure.findobj(lambda artist: hasattr(artist, "get_text")))


def pixels(ax: Any) -> np.ndarray:
    [image] = ax.images
    return np.asarray(image.get_array())


def test_the_map_of_blame_shows_numbers_zeros_the_future_and_nan_apart(errors: LocalErrors) -> None:
    norms = errors.norms.copy()
    norms[3, 1], norms[4, 2], norms[5, 5], norms[6, 0] = 0, np.nan, 1e3, 1e-30
    ax = viz.plot_local_errors(replace(errors, norms=norms), scale=Scale(-8, 2))
    image = pixels(ax)
    assert to_hex(image[3, 1]) == DEFAULT.nothing
    assert to_hex(image[4, 2]) == DEFAULT.alarm
    assert to_hex(image[5, 5]) == "#fee838"
    assert to_hex(image[6, 0]) == "#00224e"
    assert {to_hex(image[t, k]) for t in range(T) for k in range(t + 1, T)} == {DEFAULT.tile}
    written = labels(ax).split("\n")
    assert {"no way there", "exactly 0", "NaN or infinite"} <= set(written)
    assert "NaN or infinite" not in labels(viz.plot_local_errors(errors))


def test_more_blame_is_brighter(errors: LocalErrors) -> None:
    image = pixels(viz.plot_local_errors(errors))
    shown = image[np.tril_indices(T)] @ [0.299, 0.587, 0.114]
    order = np.argsort(errors.norms[np.tril_indices(T)])
    assert (np.diff(shown[order]) > -0.01).all()
    assert not np.allclose(image[0, 0], to_rgb(DEFAULT.nothing))


def test_the_axes_of_the_map_are_the_steps(loss: Any) -> None:
    some = viz.local_errors(loss)
    some = replace(some, losses=some.losses[3:], norms=some.norms[3:], reached=some.reached[3:])
    ax = viz.plot_local_errors(some)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [str(t) for t in range(3, T)]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [str(t) for t in range(T)]


def heights(ax: Any, label: str) -> dict[int, float]:
    for bars in ax.containers:
        if bars.get_label() == label:
            return {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars}
    raise AssertionError(label)


def test_signed_bars_add_up_to_where_the_line_ends(by_lag: dict[str, Shares]) -> None:
    shares = by_lag["W"]
    ax = viz.plot_shares(shares)
    signed = heights(ax, "along the sum")
    if (shares.along() < 0).any():
        signed |= heights(ax, "against it")
    assert sorted(signed) == list(shares.keys)
    line = next(line for line in ax.lines if line.get_label() == "‖sum so far‖")
    assert sum(signed.values()) == pytest.approx(line.get_ydata()[-1], rel=1e-12)
    assert line.get_ydata()[-1] == pytest.approx(np.linalg.norm(shares.total), rel=1e-12)
    assert np.abs(list(heights(ax, "‖share‖").values())) == pytest.approx(shares.norms, rel=1e-12)
    assert ax.get_title(loc="left").startswith(f"{100 * shares.cancellation():.0f} % of the shares is left")


def test_the_bars_on_a_log_scale_are_the_norms_and_zeros_are_marked(by_lag: dict[str, Shares]) -> None:
    shares = by_lag["W"]  # h_0 = 0: the share of the longest lag is exactly 0
    assert shares.norms[-1] == 0
    ax = viz.plot_shares(shares, log=True)
    assert ax.get_yscale() == "log"
    assert list(heights(ax, "‖share‖").values()) == pytest.approx(shares.norms[:-1], rel=1e-12)
    assert "exactly 0" in labels(ax)


def test_of_a_layer_that_sees_one_side_only_that_side_is_drawn() -> None:
    hs, _ = nn.RNN(3, 5, bidirectional=True, rng=0)(np.random.default_rng(0).standard_normal((T, 2, 3)))
    by_lag = viz.shares((hs**2).sum(), by="lag")
    for name, side in (("W", range(T)), ("W_2", range(1 - T, 1))):
        assert by_lag[name].keys == tuple(range(1 - T, T))
        assert sorted(heights(viz.plot_shares(by_lag[name]), "‖share‖")) == list(side)
    both = Shares("w", "lag", (-1, 0, 1), np.array([[1.0], [2.0], [3.0]]), np.zeros(1))
    assert len(heights(viz.plot_shares(both), "‖share‖")) == 3


def test_the_fan_shows_the_extremes_and_what_all_steps_do_together(jacobians: StepJacobians) -> None:
    ax = viz.plot_singular_values(jacobians)
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    values = jacobians.singular_values()
    assert lines["the largest"] == pytest.approx(values[:, 0])
    assert lines["the median"] == pytest.approx(np.median(values, axis=1))
    (band,) = ax.collections
    assert set(values[:, -1]) <= set(band.get_paths()[0].vertices[:, 1])
    together = np.asarray(lines["all steps together"])
    whole = np.linalg.norm(jacobians.product(), 2)
    assert together[:-1].prod() * values[-1, 0] == pytest.approx(whole)
    assert np.isnan(together[-1]), "of one step, the product is its largest singular value"


def test_transport_is_drawn_below_its_bounds(jacobians: StepJacobians) -> None:
    W = nn.RNN(3, 5, rng=0).cell.W
    ax = viz.plot_transport({"net": jacobians}, W={"net": W})
    truth, norms, bound, *_ = (np.asarray(line.get_ydata()) for line in ax.lines)
    assert truth == pytest.approx(jacobians.transport())
    assert (truth <= norms + 1e-12).all()
    assert (norms <= bound + 1e-12).all()
    gone = StepJacobians(("h",), (2,), (0, 1, 2), np.array([np.eye(2), np.zeros((2, 2)), np.eye(2)]))
    assert "exactly nothing in cut" in labels(viz.plot_transport({"cut": gone}))
    with pytest.raises(ValueError, match="no Jacobians"):
        viz.plot_transport({})


def test_eigenvalues_lie_where_they_are(jacobians: StepJacobians) -> None:
    ax = viz.plot_eigenvalues(jacobians)
    *circles, dots = ax.lines
    drawn = dots.get_xdata() + 1j * np.asarray(dots.get_ydata())
    stretch = jacobians.singular_values().max()
    assert [np.hypot(*circle.get_data()) for circle in circles] == [pytest.approx(1.0), pytest.approx(stretch)]
    assert np.sort_complex(drawn) == pytest.approx(np.sort_complex(jacobians.eigenvalues().ravel()))


def test_every_picture_can_be_drawn_into_given_axes_and_says_its_units(
    errors: LocalErrors, by_lag: dict[str, Shares], jacobians: StepJacobians
) -> None:
    pictures: dict[str, Any] = {
        "over batch and units": lambda ax: viz.plot_local_errors(errors, ax=ax),
        "Euclidean norm": lambda ax: viz.plot_shares(by_lag["U"], ax=ax),
        "singular values of": lambda ax: viz.plot_singular_values(jacobians, ax=ax),
        "s: the state of one sequence": lambda ax: viz.plot_transport({"net": jacobians}, ax=ax),
        "eigenvalues λ of": lambda ax: viz.plot_eigenvalues(jacobians, ax=ax),
    }
    for unit, draw in pictures.items():
        figure = Figure()
        ax = figure.add_subplot()
        assert draw(ax) is ax
        assert unit in labels(ax)
        assert not ax.spines["top"].get_visible()


@pytest.mark.filterwarnings("error")
def test_zeros_and_what_is_not_finite_do_not_stop_the_pictures_of_jacobians() -> None:
    for J in (np.zeros((1, 1)), np.full((2, 2), np.nan), np.diag([1.0, 0.0])):
        odd = StepJacobians(("h",), (len(J),), (0, 1), np.array([J, J]))
        for ax in (viz.plot_singular_values(odd), viz.plot_eigenvalues(odd), viz.plot_transport({"odd": odd})):
            ax.figure.canvas.draw()


def test_the_pictures_become_svg_with_text_in_it(errors: LocalErrors) -> None:
    text = as_svg(viz.plot_local_errors(errors))
    assert text == as_svg(viz.plot_local_errors(errors))
    assert "the step of the loss" in text


def test_symbols_of_any_kind_can_be_written(errors: LocalErrors, jacobians: StepJacobians) -> None:
    for symbol in ("$", "b_n", "state{", "\\h"):
        labels(viz.plot_local_errors(replace(errors, symbol=symbol)))
        labels(viz.plot_singular_values(replace(jacobians, states=(symbol,))))


def test_jacobians_are_said_to_be_of_one_sequence() -> None:
    jacobians = viz.step_jacobians(nn.GRU(3, 4, rng=0)(np.ones((5, 2, 3)))[1].sum(), batch=1)
    fan, curves = viz.plot_singular_values(jacobians), viz.plot_transport({"gru": jacobians})
    plane = viz.plot_eigenvalues(jacobians)
    for ax in (fan, curves, plane):
        assert any(words.get_text().endswith("of one sequence") for words in ax.get_legend().get_texts())


def test_titles_say_what_was_found_and_curves_carry_their_names(
    errors: LocalErrors, by_lag: dict[str, Shares], jacobians: StepJacobians
) -> None:
    row, last = errors.norms[-1], T - 1
    most = int(row.argmax())
    title = viz.plot_local_errors(errors).get_title(loc="left").replace("\n", " ")
    share = short(row[0] / row[most])
    assert title == f"Of the loss at step {last}, step 0 gets {share} times the blame that step {most} gets"
    fan = viz.plot_singular_values(jacobians)
    whole = short(float(np.linalg.norm(jacobians.product(), 2)))
    title = fan.get_title(loc="left").replace("\n", " ")
    assert title.startswith("Every step shrinks a gradient")
    assert title.endswith(f"and {T - 1} steps together leave at most {whole} of it")
    assert {text.get_text() for text in fan.texts} == {"the largest", "the median", "all steps together"}
    transport = viz.plot_transport({"a": jacobians, "b": jacobians})
    assert "a = b (coincide)" in {text.get_text() for text in transport.texts}
    assert f"{whole} in a" in transport.get_title(loc="left").replace("\n", " ")
    assert viz.plot_eigenvalues(jacobians).get_title(loc="left").startswith(f"All {5 * (T - 1)} eigenvalues")


@pytest.mark.parametrize(("factor", "said"), [
    (2.0, "A step can make a gradient 2 times as large, and 3 steps together make it up to 8 times as large"),
    (0.5, "Every step shrinks a gradient, to 0.5 at most, and 3 steps together leave at most 0.12 of it"),
    (0.0, "Every step shrinks a gradient, to 0 at most, and 3 steps together leave exactly nothing of it"),
    (np.nan, "No Jacobian is finite"),
])  # fmt: skip
def test_the_title_of_the_singular_values_says_what_the_steps_do_together(factor: float, said: str) -> None:
    many = StepJacobians(("h",), (2,), (0, 1, 2), np.array([factor * np.eye(2)] * 3))
    assert viz.plot_singular_values(many).get_title(loc="left").replace("\n", " ") == said


def test_of_many_nets_the_title_names_the_best_and_the_worst(jacobians: StepJacobians) -> None:
    less = replace(jacobians, arrays=jacobians.arrays / 2)
    title = viz.plot_transport({"a": jacobians, "b": less, "c": jacobians, "d": jacobians}).get_title(loc="left")
    assert " of 4 nets, " in title
    assert title.endswith(" in b")
    flows = {f"net{j}": viz.gradient_flow(nn.RNN(3, 5, rng=j)(np.ones((T, 2, 3)))[1].sum()) for j in range(4)}
    left = {name: flow.profile("h").norms[-1] / flow.profile("h").norms[0] for name, flow in flows.items()}
    title = viz.plot_norms(flows).get_title(loc="left").replace("\n", " ")
    best, worst, rest = title.split("; ")
    assert best.startswith(f"{max(left, key=left.__getitem__)} keeps")
    assert worst.startswith(f"{min(left, key=left.__getitem__)} keeps")
    assert rest == "2 other nets lie between"


def test_a_long_title_and_a_legend_have_room_above_axes_of_any_figure(jacobians: StepJacobians) -> None:
    for plot in (viz.plot_eigenvalues, viz.plot_singular_values):
        figure = Figure(figsize=(6.4, 4.8))
        ax = plot(jacobians, ax=figure.add_subplot())
        figure.canvas.draw()
        assert ax._left_title.get_window_extent().y1 <= figure.bbox.y1


def test_plots_follow_the_theme(errors: LocalErrors, by_lag: dict[str, Shares], jacobians: StepJacobians) -> None:
    flow = viz.gradient_flow(nn.RNN(3, 5, rng=0)(np.ones((T, 2, 3)))[1].sum())
    plots: list[Any] = [
        partial(viz.plot_local_errors, errors), partial(viz.plot_shares, by_lag["W"]),
        partial(viz.plot_singular_values, jacobians), partial(viz.plot_transport, {"net": jacobians}),
        partial(viz.plot_eigenvalues, jacobians), partial(viz.plot_norms, {"net": flow}),
        partial(viz.plot_comparison, viz.compare_flow({"net": flow})),
    ]
    try:
        for plot in plots:
            viz.set_theme("dark", font_size=20)
            ax = plot()
            assert to_hex(ax.figure.get_facecolor()) == to_hex(ax.get_facecolor()) == DARK.paper
            assert to_hex(ax.xaxis.label.get_color()) == DARK.ink
            assert ax.xaxis.label.get_fontsize() == 15, "20 pixels"
            assert to_hex(plot(theme="light").get_facecolor()) == DEFAULT.paper
            with pytest.raises(ValueError, match="there is no 'night'"):
                plot(theme="night")
    finally:
        viz.set_theme()


def test_the_norms_are_plotted_one_curve_a_state_each_from_1_on() -> None:
    flow = viz.gradient_flow(nn.LSTM(3, 5, rng=0)(np.random.default_rng(0).standard_normal((T, 2, 3)))[1][0].sum())
    ax = Figure().add_subplot()
    assert viz.plot_norms({"lstm": flow}, ax=ax) is ax
    curves = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert set(curves) == {"lstm: c", "lstm: h"} == {text.get_text() for text in ax.texts}
    norms = np.array(flow.profile("c").norms)
    np.testing.assert_allclose(np.asarray(curves["lstm: c"].get_ydata()), norms / norms[0])
    assert ax.get_yscale() == "log"
    assert ax.get_title(loc="left").startswith("lstm keeps ")
    ET.fromstring(as_svg(ax))
