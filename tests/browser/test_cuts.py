"""Cut paths: the profile and the sentence change exactly."""

import numpy as np

from microgradrnn import nn
from tests.browser.pages import last_loss
from viz import gradient_flow
from viz.flow.cuts import cuts


def untick(watched, *ways, lane=0):
    for way in ways:
        watched.page.locator(f"#lane{lane} .ways").get_by_label(way, exact=True).uncheck()


def lstm():
    return last_loss(nn.LSTM(4, 8, rng=0, forget_bias=2.0))


def test_every_choice_of_ways_has_the_norms_that_python_has(watch, last):
    watched = watch(last)
    found = cuts(lstm())
    names = list(found.ways)
    for bits in range(2 ** len(names)):
        watched.page.evaluate(f"() => explorer.store.set({{cut: [{bits}, 0]}})")
        kept = [name for k, name in enumerate(names) if not bits >> k & 1]
        np.testing.assert_allclose(watched.norms()[::-1], found.open_only(kept), rtol=1e-9)


def test_cutting_the_carry_lets_the_lstm_forget_and_says_so(watch, last):
    watched = watch(last)
    before, chart = watched.norms(), watched.page.locator("#lane0 .chart > path").first.get_attribute("d")
    untick(watched, "carry")
    after = watched.norms()
    assert after[-1] == before[-1]
    assert after[0] < 1e-3 * before[0]
    assert watched.page.locator("#lane0 .chart > path").first.get_attribute("d") != chart
    sentence = watched.text("#lane0 .sentence")
    assert sentence.startswith("Without the carry, ")
    assert "23 steps back" in sentence
    assert "tanh RNN" in sentence


def test_the_ghost_of_the_whole_profile_stays(watch, last):
    watched = watch(last)
    ghost = watched.page.locator("#lane0 .chart > path[stroke-dasharray]")
    assert not ghost.get_attribute("d")
    untick(watched, "carry")
    watched.settle()
    assert ghost.get_attribute("d").startswith("M")


def test_a_cut_shows_in_the_cell_and_in_the_strip_of_ways(watch, last):
    watched = watch(last, "#lag=3")
    dashed = watched.page.locator("#lane0 .cell .wire > path[stroke-dasharray='5 4']")
    assert dashed.count() == 0
    untick(watched, "carry")
    watched.settle()
    assert dashed.count() >= 2
    assert watched.page.locator("#lane0 .share[data-way='0']").get_attribute("opacity") == "0.2"


def test_the_sentence_says_where_a_cut_changes_little(watch, last):
    watched = watch(last)
    untick(watched, "o")
    assert "changes little" in watched.text("#lane0 .sentence")


def test_with_every_way_cut_nothing_leaves_the_last_step(watch, last):
    watched = watch(last)
    untick(watched, "carry", "i", "f", "g", "o")
    norms = watched.norms()
    assert norms[-1] > 0
    assert not norms[:-1].any()
    assert "does not leave the last step" in watched.text("#lane0 .sentence")


def test_opening_again_restores_the_profile_of_the_flow(watch, last):
    watched = watch(last, "#cut0=carry,f")
    watched.page.locator("#lane0 .ways").get_by_label("carry").check()
    watched.page.locator("#lane0 .ways").get_by_label("f", exact=True).check()
    assert watched.view()["cut"] == [0, 0]
    np.testing.assert_allclose(watched.norms()[::-1], gradient_flow(lstm()).profile("c").norms, rtol=1e-9)


def test_a_cut_in_one_net_leaves_the_others_alone(watch, last):
    watched = watch(last)
    before = watched.norms(1)
    untick(watched, "carry")
    np.testing.assert_array_equal(watched.norms(1), before)
