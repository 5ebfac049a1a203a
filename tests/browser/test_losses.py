"""Choose the loss: lanes, text and itemised contributions follow."""

import numpy as np

from microgradrnn import nn
from tests.browser.pages import every_loss
from viz import local_errors


def column(watched, lane=0):
    """The turns at which the strip shows that a loss sent something to the step under the cursor."""
    watched.settle()
    return watched.page.locator(f"#lane{lane} .chart path.senders").get_attribute("d").count("M")


def test_a_letter_chooses_its_loss_in_all_lanes(watch, every):
    watched = watch(every)
    whole = watched.norms()
    watched.page.locator("#lane0 .letter").nth(15).click()
    assert watched.view()["loss"] == 8
    alone = watched.norms()
    assert not alone[16:].any()
    assert alone[15] > 0
    assert alone[0] != whole[0]
    assert not watched.norms(1)[16:].any()
    assert watched.page.locator("#lane1 .letter.loss").inner_text() == "t"
    assert "The loss at step 15 “t” reaches" in watched.text("#lane0 .sentence")


def test_the_norms_of_a_loss_are_those_of_its_own_gradient(watch, every):
    watched = watch(every, "#loss=8")
    errors = local_errors(every_loss(nn.LSTM(4, 8, rng=0, forget_bias=2.0)), at="c")
    np.testing.assert_allclose(watched.norms(), [errors.at(15, k) for k in range(24)], rtol=1e-9)


def test_the_text_follows_the_loss(watch, every):
    watched = watch(every)
    ground = "letters => letters.map((letter) => letter.style.backgroundColor)"
    before = watched.page.eval_on_selector_all("#lane1 .letter", ground)
    watched.page.locator("#lane1 .letter").nth(12).click()
    watched.settle()
    after = watched.page.eval_on_selector_all("#lane1 .letter", ground)
    assert before != after
    assert len(set(after[13:])) == 1


def test_the_strip_shows_which_later_losses_sent_something(watch, every):
    watched = watch(every, "#lag=0")
    assert column(watched) == 1
    watched.page.locator("#cursor").fill("5")
    assert column(watched) == 24 - 5
    assert "sends the most to this step" in watched.text("#lane0 .senders-said")


def test_all_losses_come_back_by_the_button_and_by_the_keyboard(watch, every):
    watched = watch(every, "#lag=5")
    watched.page.locator("#lane0").get_by_role("button", name="Follow only the loss of this step").click()
    assert watched.view()["loss"] == 5
    watched.page.locator("#lane0").get_by_role("button", name="Follow all losses").click()
    assert watched.view()["loss"] is None
    watched.page.locator("#lane1 .text").focus()
    watched.page.keyboard.press("Enter")
    assert watched.view()["loss"] == 5


def test_a_bar_of_the_strip_chooses_its_loss(watch, every):
    watched = watch(every, "#lag=10")
    box = watched.page.locator("#lane0 .chart path.senders").bounding_box()
    watched.page.mouse.click(box["x"] + 3, box["y"] + box["height"] - 2)
    assert watched.view()["loss"] == 10


def test_scales_and_legend_follow_the_loss(watch, every):
    watched = watch(every)
    before = watched.page.locator(".legend").get_attribute("aria-label")
    watched.page.locator("#lane0 .letter").nth(15).click()
    watched.settle()
    assert watched.page.locator(".legend").get_attribute("aria-label") != before


def test_a_single_loss_offers_no_choice(watch, last):
    watched = watch(last)
    assert watched.page.locator(".losses").count() == 0
