"""Semantic zoom: far away a step is a column, nearer a cell, nearest every operation. Only what is in sight exists."""

import pytest

import viz
from microgradrnn import nn
from tests.browser.pages import last_loss


@pytest.fixture(scope="module")
def long(folder):
    path = folder / "long.html"
    viz.explore(last_loss(nn.LSTM(4, 4, rng=0, forget_bias=3.0), T=300), path, name="A long one")
    return path


def strip(watched):
    watched.page.locator(".strip").scroll_into_view_if_needed()
    watched.settle()
    return watched.page.locator(".strip")


def level(watched):
    watched.settle()
    return strip(watched).get_attribute("data-level")


def cells(watched):
    watched.settle()
    return [int(turn) for turn in watched.page.eval_on_selector_all(
        ".strip [data-turn]", "cells => cells.map((cell) => cell.dataset.turn)")]


def test_zooming_goes_from_columns_to_cells_to_operations(watch, long):
    watched = watch(long)
    watched.page.get_by_role("button", name="all steps").click()
    seen = [level(watched)]
    for _ in range(20):
        watched.page.get_by_role("button", name="Zoom in").click()
        if level(watched) != seen[-1]:
            seen.append(level(watched))
    assert seen == ["columns", "cells", "operations"]
    for _ in range(20):
        watched.page.get_by_role("button", name="Zoom out").click()
    assert level(watched) == "columns"


def test_only_the_steps_in_sight_are_in_the_document(watch, long):
    watched = watch(long)
    watched.page.get_by_role("button", name="step at the cursor").click()
    assert level(watched) == "operations"
    assert 1 <= len(cells(watched)) <= 8
    assert 299 in cells(watched)
    watched.page.get_by_role("button", name="all steps").click()
    assert cells(watched) == []
    assert strip(watched).locator("path").count() < 150


def test_numbers_are_written_only_where_they_can_be_read(watch, long):
    watched = watch(long)
    strip(watched)
    assert level(watched) == "cells"
    assert watched.page.locator(".strip .number").count() == 0
    watched.page.get_by_role("button", name="step at the cursor").click()
    watched.settle()
    assert watched.page.locator(".strip .number").count() >= 8


def test_the_wheel_zooms_where_the_strip_has_focus_and_scrolls_the_page_where_not(watch, long):
    watched = watch(long)
    strip(watched).hover()
    k = watched.page.evaluate("() => explorer.strips[0].at.k")
    watched.page.mouse.wheel(0, -30)
    watched.page.wait_for_timeout(100)
    assert watched.page.evaluate("() => explorer.strips[0].at.k") == k
    strip(watched).focus()
    watched.page.mouse.wheel(0, -300)
    watched.page.wait_for_function(f"() => explorer.strips[0].at.k > {k}")


def test_dragging_moves_along_the_steps(watch, long):
    watched = watch(long)
    box = strip(watched).bounding_box()
    before = cells(watched)
    watched.page.mouse.move(box["x"] + 300, box["y"] + 100)
    watched.page.mouse.down()
    watched.page.mouse.move(box["x"] + 900, box["y"] + 100, steps=5)
    watched.page.mouse.up()
    assert max(cells(watched)) < max(before)


def test_keys_zoom_and_move(watch, long):
    watched = watch(long)
    strip(watched).focus()
    before = cells(watched)
    watched.page.keyboard.press("ArrowLeft")
    assert min(cells(watched)) < min(before)
    assert watched.view()["lag"] == 0
    watched.page.keyboard.press("0")
    assert level(watched) == "columns"
    for _ in range(16):
        watched.page.keyboard.press("+")
    assert level(watched) == "operations"
    watched.page.keyboard.press("-")
    watched.page.keyboard.press("Enter")
    assert 299 in cells(watched)


def test_touch_pinches_and_moves(watch, long):
    watched = watch(long, size=(390, 844), has_touch=True)
    box = strip(watched).bounding_box()
    k = watched.page.evaluate("() => explorer.strips[0].at.k")
    session = watched.page.context.new_cdp_session(watched.page)
    y = box["y"] + 100

    def touch(kind, *xs):
        points = [{"x": box["x"] + x, "y": y, "id": j} for j, x in enumerate(xs)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 150, 200)
    touch("touchMove", 120, 230)
    touch("touchMove", 60, 300)
    touch("touchEnd")
    watched.page.wait_for_function(f"() => explorer.strips[0].at.k > {k}")


def test_a_click_on_a_step_moves_the_cursor_there(watch, long):
    watched = watch(long)
    box = strip(watched).bounding_box()
    watched.page.mouse.click(box["x"] + 40, box["y"] + 100)
    lag = watched.view()["lag"]
    assert lag > 2
    assert 299 - lag in cells(watched)


def test_the_minimap_shows_and_moves_the_window(watch, long):
    watched = watch(long)
    strip(watched)
    frame = watched.page.locator(".minimap rect").last
    before = float(frame.get_attribute("x"))
    minimap = watched.page.locator(".minimap svg")
    minimap.click(position={"x": minimap.bounding_box()["width"] / 4, "y": 8})
    watched.settle()
    assert float(frame.get_attribute("x")) < before
    assert 60 < min(cells(watched)) < 90


def test_the_strip_follows_the_cursor_out_of_sight(watch, long):
    watched = watch(long)
    strip(watched)
    watched.page.locator("#cursor").fill("10")
    assert 10 in cells(watched)


def test_another_net_can_be_unrolled(watch, last):
    watched = watch(last)
    watched.page.get_by_label("Which net").select_option("tanh RNN")
    assert watched.view()["lane"] == 1
    assert strip(watched).get_attribute("aria-label").startswith("tanh RNN unrolled")
