"""Choose the loss: lanes, text and itemised contributions follow."""

import numpy as np

from microgradrnn import nn
from tests.browser.pages import every_loss
from tests.browser.test_changes import slide
from tests.browser.test_cuts import untick
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


def test_sentences_of_many_losses_speak_of_multiples_and_not_of_what_is_left(watch, every):
    watched = watch(every)
    untick(watched, "carry")
    said = watched.text("#lane0 .sentence")
    assert said.startswith("Without the carry, the gradient 23 steps back is ")
    assert " times that at lag 0, instead of " in said
    assert "is left" not in said
    untick(watched, "i", "f", "g", "o")
    assert "what is left at a step is from its own loss" in watched.text("#lane0 .sentence")
    assert watched.norms()[:-1].all()


def test_one_way_alone_that_is_enough_is_said_to_be_the_one(watch, last):
    watched = watch(last, "#cut0=i,f,g,o")
    said = watched.text("#lane0 .sentence")
    assert said.startswith("By the carry alone, ")
    assert "the other ways" not in said


def test_a_changed_net_is_not_said_to_follow_one_loss(watch, every):
    watched = watch(every, "#lag=5")
    slide(watched, "forgetBias", 3)
    watched.settle()
    button = watched.page.locator("#lane0").get_by_role("button", name="Follow only the loss of this step")
    assert button.is_disabled()
    watched.page.locator("#lane1 .letter").nth(12).click()
    watched.settle()
    assert watched.text("#lane0 .sentence").startswith("With forget bias 3")
    assert watched.text("#lane1 .sentence").startswith("The loss at step 12")
    assert not watched.page.locator("#lane0 .heat").is_visible()


def test_the_cursor_stays_on_a_step_that_the_net_takes(watch, every):
    watched = watch(every, "#lag=20")
    slide(watched, "length", 8)
    watched.settle()
    assert watched.view()["lag"] == 7
    assert "not a number" not in watched.page.locator("#lane0 .cell").first.text_content()
