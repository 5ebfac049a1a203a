"""Scrub and play: one cursor over all lanes, and beside each net the cell of that step."""

import numpy as np
import pytest

from microgradrnn import nn
from tests.browser.pages import last_loss
from viz import gradient_flow, shares
from viz.numbers import short


def drag(watched, selector, fraction):
    box = watched.page.locator(selector).first.bounding_box()
    watched.page.mouse.move(box["x"] + 0.98 * box["width"], box["y"] + 40)
    watched.page.mouse.down()
    watched.page.mouse.move(box["x"] + fraction * box["width"], box["y"] + 40, steps=4)
    watched.page.mouse.up()


def test_dragging_in_a_chart_moves_the_cursor_of_all_lanes(watch, last):
    watched = watch(last)
    drag(watched, ".chart", 0.5)
    lag = watched.view()["lag"]
    assert 8 <= lag <= 15
    lines = watched.page.eval_on_selector_all(".chart > line", "lines => lines.map((line) => line.getAttribute('x1'))")
    assert len(lines) == 2
    assert len(set(lines)) == 1
    assert f"lag {lag}" in watched.text(".toolbar output")


def test_the_slider_moves_the_cursor_and_says_where_it_is(watch, last):
    watched = watch(last)
    watched.page.locator("#cursor").fill("13")
    assert watched.view()["lag"] == 10
    assert watched.page.locator("#cursor").get_attribute("aria-valuetext") == "lag 10 “n”"


@pytest.mark.parametrize(("key", "lag"), [
    ("ArrowLeft", 6), ("ArrowRight", 4), ("End", 0), ("Home", 23), ("PageUp", 15)])  # fmt: skip
def test_keys_move_the_cursor(watch, last, key, lag):
    watched = watch(last, "#lag=5")
    watched.page.keyboard.press(key)
    assert watched.view()["lag"] == lag


def test_the_cell_shows_the_messages_of_the_step(watch, last):
    watched = watch(last, "#lag=7")
    flow = gradient_flow(last_loss(nn.LSTM(4, 8, rng=0, forget_bias=2.0)))
    badge = short(flow.profile("c").at(7)).replace("-", "−")
    assert badge in watched.page.locator("#lane0 .badge .size").all_text_contents()
    before = watched.page.locator("#lane0 .cell .number").all_text_contents()
    watched.page.keyboard.press("ArrowLeft")
    watched.settle()
    after = watched.page.locator("#lane0 .cell .number").all_text_contents()
    assert len(before) >= 8
    assert sum(a != b for a, b in zip(before, after, strict=True)) >= 6


def test_wires_get_thinner_as_the_gradient_vanishes(watch, last):
    watched = watch(last, "#lag=1")
    width = "line => Number(line.getAttribute('stroke-width'))"
    wire = watched.page.locator("#lane1 .cell > g > .wire > path:nth-child(2)").first
    near = wire.evaluate(width)
    watched.page.keyboard.press("Home")
    watched.settle()
    assert wire.evaluate(width) < near


def test_play_goes_back_to_the_first_step_and_stops(watch, last):
    watched = watch(last, "#speed=30")
    watched.page.keyboard.press(" ")
    assert watched.page.evaluate("() => explorer.store.view.playing")
    watched.page.wait_for_function("() => explorer.store.view.lag === 23 && !explorer.store.view.playing")


def test_pause_step_and_speed(watch, last):
    watched = watch(last)
    watched.page.get_by_label("Speed").select_option("2")
    watched.page.get_by_role("button", name="Play back").click()
    watched.page.wait_for_function("() => explorer.store.view.lag > 0")
    watched.page.get_by_role("button", name="Pause").click()
    lag = watched.view()["lag"]
    watched.page.wait_for_timeout(700)
    assert watched.view()["lag"] == lag < 23
    watched.page.get_by_role("button", name="One step further back").click()
    assert watched.view()["lag"] == lag + 1
    watched.page.get_by_role("button", name="One step nearer to the loss").click()
    assert watched.view()["lag"] == lag


def dots(watched):
    """How many dots were under way at some time, and from which side to which they ran."""
    return watched.page.evaluate("""async () => {
        const seen = new Map();
        for (let k = 0; k < 40; k++) {
            await new Promise(requestAnimationFrame);
            document.querySelectorAll("#lane1 .pulses circle").forEach((dot, j) => {
                const x = Number(dot.getAttribute("cx"));
                if (dot.getAttribute("opacity") === "1") seen.set(j, [...(seen.get(j) ?? []), x]);
            });
        }
        return [...seen.values()].map((xs) => xs[xs.length - 1] - xs[0]);
    }""")


def test_messages_travel_from_right_to_left(watch, last):
    watched = watch(last, "#speed=1")
    watched.page.keyboard.press(" ")
    moved = dots(watched)
    assert moved
    assert min(moved) < -20
    assert max(moved) < 20


def test_nothing_travels_where_motion_is_not_wanted(watch, last):
    watched = watch(last, "#speed=1", reduced_motion="reduce")
    watched.page.keyboard.press(" ")
    assert dots(watched) == []


def test_the_text_is_coloured_by_what_comes_back(watch, last):
    watched = watch(last)
    ground = "letters => letters.map((letter) => letter.style.backgroundColor)"
    forgetful = watched.page.eval_on_selector_all("#lane1 .letter", ground)
    mindful = watched.page.eval_on_selector_all("#lane0 .letter", ground)
    assert len(forgetful) == 24
    assert forgetful[0] != forgetful[-1]
    assert len(set(mindful)) < len(set(forgetful))


def test_a_click_on_a_letter_moves_the_cursor_to_it(watch, last):
    watched = watch(last)
    watched.page.locator("#lane0 .letter").nth(4).click()
    assert watched.view()["lag"] == 19
    assert watched.page.locator("#lane1 .letter.here").inner_text() == "c"


def test_heat_maps_follow_the_cursor(watch, last):
    watched = watch(last)
    pixels = "canvas => canvas.toDataURL()"
    heat = watched.page.locator("#lane0 .heat canvas").first
    at_loss = heat.evaluate(pixels)
    watched.page.keyboard.press("Home")
    watched.settle()
    assert heat.get_attribute("width") == "8"
    assert at_loss != heat.evaluate(pixels)


def test_the_weights_collect_one_share_a_step(watch, last):
    watched = watch(last)
    bar = watched.page.locator("#lane0 .weights .bar i").first
    width = "bar => bar.getBoundingClientRect().width"
    widths = []
    for lag in (0, 3, 23):
        watched.page.locator("#cursor").fill(str(23 - lag))
        watched.settle()
        widths.append(bar.evaluate(width))
    assert widths[0] < widths[1] <= widths[2]
    found = shares(last_loss(nn.LSTM(4, 8, rng=0, forget_bias=2.0)))["U"]
    said = watched.page.locator("#lane0 .weights li").first.text_content()
    assert said == f"U{short(float(np.linalg.norm(found.total)))} (+ {short(float(found.norms[0]))})"
