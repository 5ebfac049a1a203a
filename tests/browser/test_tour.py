"""The guided tour: eight stations, one idea lit and the rest dimmed, its sentences computed from the data."""

STATIONS = 8


def start(watched):
    watched.page.get_by_role("button", name="Guided tour").click()
    watched.settle()


def card(watched):
    return watched.page.locator(".tour")


def test_it_goes_through_eight_stations_and_back(watch, last):
    watched = watch(last)
    start(watched)
    titles = []
    for k in range(STATIONS):
        watched.settle()
        assert f"{k + 1} of {STATIONS}" in card(watched).inner_text()
        titles.append(card(watched).locator("h2").inner_text())
        if k < STATIONS - 1:
            card(watched).get_by_role("button", name="Next").click()
    assert len(set(titles)) == STATIONS
    assert card(watched).get_by_role("button", name="Next").is_disabled()
    card(watched).get_by_role("button", name="Back").click()
    watched.settle()
    assert card(watched).locator("h2").inner_text() == titles[-2]


def test_one_idea_is_lit_and_the_rest_dimmed(watch, last):
    watched = watch(last)
    start(watched)
    lit = []
    for _ in range(STATIONS - 1):
        watched.settle()
        assert watched.page.locator(".dim").count() >= 5
        lit.append(tuple(watched.page.evaluate("""() => [".cell-box", ".chart", ".ways", ".unrolled"].map(
            (selector) => !document.querySelector(selector).classList.contains("dim"))""")))
        card(watched).get_by_role("button", name="Next").click()
    watched.settle()
    assert watched.page.locator(".dim").count() == 0  # your turn
    assert len(set(lit)) >= 4
    assert lit[0] == (True, False, False, False)
    assert lit[1] == (False, False, False, True)


def test_the_sentences_hold_the_numbers_of_the_data(watch, last):
    watched = watch(last)
    for k in range(STATIONS):
        watched.page.evaluate(f"() => explorer.tour.go({k})")
        watched.settle()
        words = card(watched).locator("p").inner_text()
        assert words == watched.page.evaluate(f"() => explorer.data.tour[{k}].words")
        assert len(words) > 40
        if k == 3:
            assert "LSTM" in words
            assert "tanh RNN" in words
            assert "23 steps back" in words


def test_a_station_cuts_the_carry_and_the_end_opens_it(watch, last):
    watched = watch(last)
    watched.page.evaluate("() => explorer.tour.go(5)")
    assert watched.view()["cut"] == [1, 0]
    assert not watched.page.locator("#lane0 .ways input").first.is_checked()
    card(watched).get_by_role("button", name="End").click()
    assert watched.view()["cut"] == [0, 0]
    assert card(watched).is_hidden()
    assert watched.page.locator(".dim").count() == 0


def test_keyboard_alone_takes_the_tour(watch, last):
    watched = watch(last)
    watched.page.get_by_role("button", name="Guided tour").focus()
    watched.page.keyboard.press("Enter")
    watched.settle()
    assert watched.page.evaluate("() => document.activeElement === document.querySelector('.tour h2')")
    watched.page.keyboard.press("Tab")
    watched.page.keyboard.press("Enter")
    watched.settle()
    assert "2 of 8" in card(watched).inner_text()
    watched.page.keyboard.press("Escape")
    watched.settle()
    assert card(watched).is_hidden()


def test_what_is_lit_is_not_under_the_card(watch, last):
    watched = watch(last)
    for k in range(STATIONS):
        watched.page.evaluate(f"() => explorer.tour.go({k})")
        watched.settle()
        over = watched.page.evaluate("""() => {
            const card = document.querySelector(".tour").getBoundingClientRect();
            const lit = explorer.tour.lit[0].getBoundingClientRect();
            const under = Math.min(lit.bottom, innerHeight) > card.top + 1 && lit.top < card.bottom;
            return under ? [lit.top, lit.bottom, card.top] : null;
        }""") if k < STATIONS - 1 else None
        assert over is None or over[0] < over[2] - 100  # a tall part may reach below it
