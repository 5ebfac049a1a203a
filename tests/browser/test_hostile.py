"""Text of users is shown as text, wherever it stands."""

import xml.etree.ElementTree as ET

import pytest

import viz
from microgradrnn import nn
from tests.browser.pages import HOSTILE, last_loss
from tests.browser.test_take_away import save


@pytest.fixture(scope="module")
def hostile(folder):
    path = folder / "hostile.html"
    nets = {name: last_loss(nn.LSTM(4, 4, rng=0), T=len(HOSTILE)) for name in HOSTILE[:3]}
    viz.explore(nets, path, labels=HOSTILE, name="</title><script>boom()</script>")
    return path


def test_hostile_names_and_labels_are_text(watch, hostile):
    watched = watch(hostile)
    assert watched.page.locator("h1").inner_text() == "</title><script>boom()</script>"
    assert watched.page.locator("h2").all_inner_texts()[:3] == HOSTILE[:3]
    letters = watched.page.locator("#lane0 .letter").all_text_contents()
    assert [letters[k] for k in (0, 1, 2, 7, 8, 9, 10, 11)] == [HOSTILE[k] for k in (0, 1, 2, 7, 8, 9, 10, 11)]
    assert len(letters) == len(HOSTILE)


def test_nothing_of_it_becomes_an_element(watch, hostile):
    watched = watch(hostile)
    assert watched.page.locator("img, main script, svg svg[onload], [onerror], [onload]").count() == 0
    assert watched.page.evaluate("() => typeof boom") == "undefined"


def test_it_stays_text_in_cards_search_tour_and_what_is_saved(watch, hostile):
    watched = watch(hostile)
    watched.page.get_by_label("Search").fill("</script><script>boom()</script>")
    assert HOSTILE[0] in watched.page.locator(".hits").inner_text()
    for k in range(8):
        watched.page.evaluate(f"() => explorer.tour.go({k})")
        watched.settle()
    saved = ET.fromstring(save(watched, "SVG")[1])
    assert HOSTILE[0] in {"".join(text.itertext()) for text in saved.iter("{http://www.w3.org/2000/svg}text")}
    assert not [element for element in saved.iter() if element.tag.endswith(("script", "img"))]
    for key in ["Home", "ArrowRight", "End"]:
        watched.page.keyboard.press(key)
        watched.settle()
    assert watched.page.locator("img, main script").count() == 0


def test_the_policy_allows_no_network(watch, hostile):
    watched = watch(hostile)
    said = watched.page.evaluate("""async () => {
        try { await fetch("https://example.invalid/"); return "reached"; } catch (error) { return "refused"; }
    }""")
    assert said == "refused"
    watched.complaints.clear()  # of the policy, which is what this test is about
    watched.requests.clear()


def test_right_to_left_text_keeps_to_its_place(watch, hostile):
    watched = watch(hostile)
    isolated = "letter => getComputedStyle(letter).unicodeBidi"
    assert watched.page.locator("#lane0 .letter").nth(6).evaluate(isolated) == "isolate"
