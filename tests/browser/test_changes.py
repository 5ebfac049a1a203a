"""Change the net: the page computes it again, with the numbers of the tape."""

import numpy as np
import pytest

from microgradrnn import nn
from tests.browser.pages import last_loss
from viz import explore, gradient_flow
from viz.flow.cuts import cuts
from viz.numbers import short


def slide(watched, option, value, lane=0):
    watched.page.locator(f"#lane{lane} input[data-option={option}]").evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value)


def profile(cell):
    return np.array(gradient_flow(last_loss(cell)).profile("c").norms)[::-1]


def test_at_the_start_the_page_computes_what_the_tape_computed(watch, last):
    watched = watch(last)
    computed = watched.page.evaluate("() => Array.from(explorer.lanes[0].sliders.net.run({}).profile.c)")
    np.testing.assert_allclose(computed, watched.norms(), rtol=1e-9)
    np.testing.assert_allclose(computed, profile(nn.LSTM(4, 8, rng=0, forget_bias=2.0)), rtol=1e-9)


@pytest.mark.parametrize("bias", [-1.0, 0.5, 4.0])
def test_another_forget_bias_gives_the_norms_of_that_net(watch, last, bias):
    watched = watch(last)
    slide(watched, "forgetBias", bias)
    np.testing.assert_allclose(watched.norms(), profile(nn.LSTM(4, 8, rng=0, forget_bias=bias)), rtol=1e-9)


def test_the_sentence_says_what_the_change_did_and_the_ghost_stays(watch, last):
    watched = watch(last)
    was = watched.norms()
    slide(watched, "forgetBias", -2)
    now = watched.norms()
    sentence = watched.text("#lane0 .sentence")
    assert sentence.startswith("With forget bias −2, ")
    assert now[0] / now[-1] < was[0] / was[-1]
    assert watched.page.locator("#lane0 .chart > path[stroke-dasharray]").get_attribute("d")


def test_the_cell_shows_the_messages_of_the_changed_net(watch, last):
    watched = watch(last, "#lag=6")
    before = watched.page.locator("#lane0 .cell .number").all_text_contents()
    slide(watched, "forgetBias", -2)
    watched.settle()
    assert watched.page.locator("#lane0 .cell .number").all_text_contents() != before
    flow = gradient_flow(last_loss(nn.LSTM(4, 8, rng=0, forget_bias=-2.0)))
    badges = watched.page.locator("#lane0 .badge .size").all_text_contents()
    assert short(flow.profile("c").at(6)).replace("-", "−") in badges


def test_gain_first_state_and_length(watch, last):
    watched = watch(last)
    before = watched.norms(1)
    for option, value in [("gain", 0.5), ("h0", 1.0), ("length", 10)]:
        slide(watched, option, value, lane=1)
    after = watched.norms(1)
    assert np.isnan(after[:14]).all()
    assert np.isfinite(after[14:]).all()
    assert not np.allclose(after[14:], before[14:])
    assert "9 steps back" in watched.text("#lane1 .sentence")


def test_as_recorded_restores_everything(watch, last):
    watched = watch(last)
    before, sentence = watched.norms(), watched.text("#lane0 .sentence")
    slide(watched, "forgetBias", -2)
    assert not np.array_equal(watched.norms(), before)
    watched.page.locator("#lane0").get_by_role("button", name="as recorded").click()
    np.testing.assert_array_equal(watched.norms(), before)
    assert watched.text("#lane0 .sentence") == sentence


def test_ways_are_cut_in_the_changed_net(watch, last):
    watched = watch(last)
    slide(watched, "forgetBias", -1)
    found = cuts(last_loss(nn.LSTM(4, 8, rng=0, forget_bias=-1.0)))
    for bits in range(2 ** len(found.ways)):
        watched.page.evaluate(f"() => explorer.store.set({{cut: [{bits}, 0]}})")
        kept = [name for k, name in enumerate(found.ways) if not bits >> k & 1]
        np.testing.assert_allclose(watched.norms()[::-1], found.open_only(kept), rtol=1e-9)
    watched.page.evaluate("() => explorer.store.set({cut: [1, 0]})")
    watched.settle()
    assert watched.text("#lane0 .sentence").startswith("Without the carry, ")


def test_nets_computed_before_are_chosen_by_a_slider(watch, folder):
    path = folder / "sweep.html"
    explore(last_loss(nn.LSTM(4, 20, rng=0)), path, sweep={"forget_bias": [-1, 1, 3]})
    watched = watch(path)
    slider = watched.page.locator("#lane0 input[data-option=forget_bias]")
    assert slider.input_value() == "1"  # the net itself, whose bias is 1
    for place, bias in enumerate([-1, 1, 3]):
        slide(watched, "forget_bias", place)
        found = last_loss(nn.LSTM(4, 20, rng=0, forget_bias=float(bias)))
        np.testing.assert_allclose(watched.norms()[::-1], gradient_flow(found).profile("c").norms, rtol=1e-9)
        assert watched.page.locator("#lane0 .sliders output").inner_text() == short(bias).replace("-", "−")
    watched.page.locator("#lane0 .ways").get_by_label("carry").uncheck()
    np.testing.assert_allclose(watched.norms()[::-1], cuts(found).open_only(["i", "f", "g", "o"]), rtol=1e-9)


def test_a_large_net_says_why_it_has_no_sliders(watch, folder):
    path = folder / "large.html"
    explore(last_loss(nn.LSTM(4, 20, rng=0)), path)
    watched = watch(path)
    assert watched.page.locator(".sliders").count() == 0
    assert "No sliders" in watched.text("#lane0 p.note")
