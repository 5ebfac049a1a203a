"""A partial page when the forward pass raises: what was computed so far, and the failing operation with its message."""

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, nn, scope


def failing_loop(bad):
    """A loop of five steps whose product does not fit at one of them."""
    W, h = Tensor(np.ones((4, 4)) / 5, requires_grad=True), Tensor(np.ones((1, 4)))
    for t in range(5):
        with scope("net", step=t):
            h = mg.tanh(h @ (W if t < bad else np.ones((3, 3))))
    return h


def failing_cell():
    cell = nn.LSTMCell(3, 4, rng=0)
    state = cell.initial_state(1)
    for t in range(5):
        with scope("net", step=t):
            state = cell(np.ones((1, 3 if t < 3 else 2)), state)


def page_of(folder, run, name):
    with pytest.raises(ValueError, match=r"inner dimensions|expected x of shape") as caught:
        run()
    path = folder / f"{name}.html"
    viz.explore(caught.value, path)
    return path, str(caught.value)


def test_the_failing_operation_is_marked_and_its_message_shown(watch, folder):
    path, message = page_of(folder, lambda: failing_loop(3), "loop")
    watched = watch(path)
    assert message in watched.page.get_by_role("alert").inner_text()
    assert watched.page.locator(".cell .failed").count() == 1
    assert watched.page.locator(".cell [data-key]:has(.failed)").get_attribute("aria-label").endswith("matmul")


def test_the_steps_before_can_be_read(watch, folder):
    path, _ = page_of(folder, failing_cell, "cell")
    watched = watch(path)
    assert "expected x of shape" in watched.page.get_by_role("alert").inner_text()
    assert watched.page.locator("#cursor").get_attribute("max") == "2"
    watched.page.keyboard.press("Home")
    assert watched.view()["lag"] == 2
    assert watched.page.locator("#lane0 .cell .number").count() >= 8


def test_without_any_step_there_is_the_graph_and_no_controls(watch, folder):
    path, message = page_of(folder, lambda: failing_loop(0), "none")
    watched = watch(path)
    assert message in watched.page.get_by_role("alert").inner_text()
    assert watched.page.locator("#still svg").is_visible()
    assert watched.page.locator(".toolbar, .unrolled, .take, .search").count() == 0


def test_a_page_without_data_says_so(browser, last, folder):
    path = folder / "broken.html"
    path.write_text(last.read_text(encoding="utf-8").replace('"format":1', '"format":1,,', 1), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert "could not be shown" in page.get_by_role("alert").inner_text()
    page.close()


@pytest.mark.parametrize("case", ["one step", "ends early", "stacked", "explodes"])
def test_unusual_nets_have_pages_too(watch, folder, case):
    def lstm(T):
        return nn.LSTM(4, 5, rng=0)(np.random.default_rng(0).normal(size=(T, 1, 4)))[0]

    if case == "stacked":
        loss = nn.LSTM(5, 5, rng=1)(lstm(8))[0][-1].sum()
    elif case == "explodes":
        net = nn.RNN(4, 5, rng=0)
        net.cell.W.data *= 40
        loss = net(np.full((60, 1, 4), 1e-30))[0][-1].sum()
    else:
        loss = lstm(1)[-1].sum() if case == "one step" else lstm(8)[3].sum()
    path = folder / f"{case}.html"
    viz.explore(loss, path)
    watched = watch(path)
    assert watched.page.locator(".lane").count() == (2 if case == "stacked" else 1)
    for key in ["Home", "ArrowRight", "Escape", "End"]:
        watched.page.keyboard.press(key)
        watched.settle()
    for box in watched.page.locator(".ways input").all():
        box.uncheck()
    watched.settle()
    said = watched.page.locator(".reading").first.inner_text()
    assert "no gradient comes here" in said if case == "ends early" else "the gradient enters here" in said
