"""Read: scales, what a part is and who sent what, search."""

import pytest

from microgradrnn import nn
from tests.browser.pages import last_loss
from viz import gradient_flow
from viz.numbers import short


def part(watched, symbol, lane=0):
    return watched.page.locator(f"#lane{lane} .cell [data-key][aria-label*=': {symbol},']").first


def facts(watched, lane=0):
    watched.settle()
    card = watched.page.locator(f"#lane{lane} .card")
    names, values = card.locator("dt").all_inner_texts(), card.locator("dd").all_inner_texts()
    return card.locator("b").inner_text(), dict(zip(names, values, strict=True))


def test_a_part_says_operation_equation_shape_value_and_gradient(watch, last):
    watched = watch(last, "#lag=3")
    part(watched, "f").hover()
    title, said = facts(watched)
    assert title == "f, gate, sigmoid"
    assert said["operation"] == "sigmoid"
    assert said["shape"] == "1 × 8"
    flow = gradient_flow(last_loss(nn.LSTM(4, 8, rng=0, forget_bias=2.0)))
    gradient = flow.gradients["lstm/t20/f"]
    assert said["‖gradient‖"] == short(gradient).replace("-", "−")
    assert watched.page.locator("#lane0 .equations .lit").inner_text().startswith("f = σ(")


def test_it_says_who_sent_what_by_which_factor(watch, last):
    watched = watch(last, "#lag=3")
    part(watched, "f").hover()
    _, said = facts(watched)
    received = next(value for name, value in said.items() if name.startswith("received from"))
    sent = next(value for name, value in said.items() if name.startswith("sent to"))
    norm, factor = received.rstrip(")").split(" (× ")
    assert norm == said["‖gradient‖"]
    assert float(factor) > 0
    assert float(sent) > 0


def test_the_local_factor_is_the_message_by_the_gradient_of_its_consumer(watch, last):
    watched = watch(last, "#lag=3")
    found = watched.page.evaluate("""() => {
        const { lane } = explorer.lanes[0];
        const e = lane.cell.wires.findIndex((wire) => wire.to && wire.way === "carry" && !wire.recurrent);
        const part = lane.cell.parts.findIndex((one) => one.key === lane.cell.wires[e].to);
        return [lane.cell.wires[e].key, lane.messages.data[e * lane.T + 20], lane.gradients.data[part * lane.T + 20]];
    }""")
    watched.page.evaluate(f"() => explorer.store.set({{part: '0/{found[0]}'}})")
    _, said = facts(watched)
    assert float(said["local factor"]) == pytest.approx(found[1] / found[2], rel=0.06)
    assert said["message"] == short(found[1])


def test_focus_reads_a_part_too_and_leaving_ends_it(watch, last):
    watched = watch(last)
    part(watched, "o").focus()
    assert facts(watched)[0].startswith("o, gate")
    watched.page.locator("#cursor").focus()
    watched.settle()
    assert watched.page.locator("#lane0 .card").is_hidden()


def test_a_click_keeps_the_card_while_the_cursor_moves(watch, last):
    watched = watch(last, "#lag=3")
    part(watched, "g").click()
    before = facts(watched)[1]
    watched.page.mouse.move(5, 5)
    watched.page.locator("#cursor").fill("2")
    after = facts(watched)[1]
    assert watched.page.locator("#lane0 .card").is_visible()
    assert before != after


def test_escape_closes_the_card(watch, last):
    watched = watch(last)
    part(watched, "g").click()
    watched.page.keyboard.press("Escape")
    watched.settle()
    assert watched.page.locator("#lane0 .card").is_hidden()


def test_linear_and_log(watch, last):
    watched = watch(last)
    ticks = watched.page.locator("#lane1 .chart > g").first.locator("text")
    assert "10⁻" in "".join(ticks.all_text_contents())
    watched.page.get_by_role("button", name="linear").click()
    watched.settle()
    assert "10⁻" not in "".join(ticks.all_text_contents())
    assert watched.page.get_by_role("button", name="linear").get_attribute("aria-pressed") == "true"


def test_norm_and_rms(watch, last):
    watched = watch(last, "#lag=2")
    number = watched.page.locator("#lane0 .badge .size").first
    norm = float(number.text_content())
    watched.page.get_by_role("button", name="RMS").click()
    watched.settle()
    assert float(number.text_content()) == pytest.approx(norm / 8**0.5, rel=0.1)
    assert watched.text("#lane0 .reading").startswith("RMS(∂L/∂c) = ")


def test_common_and_own_scale_and_the_legend_follows(watch, last):
    watched = watch(last)
    legend = watched.page.locator(".legend")
    common = legend.get_attribute("aria-label")
    watched.page.get_by_role("button", name="own").click()
    watched.settle()
    own = legend.get_attribute("aria-label")
    assert common.startswith("Scale of all nets")
    assert own.startswith("Scale of LSTM")
    assert common != own
    watched.page.locator("#lane1 h2").click()
    watched.settle()
    assert legend.get_attribute("aria-label").startswith("Scale of tanh RNN")


def test_lag_0_counts_as_1(watch, last):
    watched = watch(last)
    assert watched.page.locator(".legend text[font-weight='bold']").text_content() == "1"
    shown = watched.page.evaluate("() => explorer.all.map(({norms, anchor, T}) => norms[T - 1] / anchor)")
    assert shown == [1, 1]


@pytest.mark.parametrize(("query", "hit"), [
    ("f", "f, gate, sigmoid in LSTM"), ("gate", "i, gate, sigmoid in LSTM"), ("tanh", "tanh"),
    ("forget", "f, gate, sigmoid in LSTM"),
    ("step 4", "step 4 “c”, lag 19 in LSTM"), ("lag 3", "step 20 “a”, lag 3 in LSTM"),
])  # fmt: skip
def test_search_finds_symbols_roles_and_steps(watch, last, query, hit):
    watched = watch(last)
    watched.page.get_by_label("Search").fill(query)
    hits = watched.page.locator(".hits button").all_inner_texts()
    assert any(hit in one for one in hits)


def test_a_hit_goes_to_the_step_or_lights_the_part(watch, last):
    watched = watch(last)
    watched.page.get_by_label("Search").fill("step 4")
    watched.page.keyboard.press("Enter")
    assert watched.view()["lag"] == 19
    watched.page.get_by_label("Search").fill("g")
    watched.page.keyboard.press("ArrowDown")
    watched.page.keyboard.press("Enter")
    assert facts(watched)[0].startswith("g, candidate")
    assert watched.page.locator("#lane0 .cell .lit").count() >= 1


def test_search_says_that_nothing_was_found(watch, last):
    watched = watch(last)
    watched.page.get_by_label("Search").fill("zzz")
    assert watched.page.locator(".search [role=status]").text_content() == "0 found"
    assert watched.page.locator(".hits li.none").is_visible()
    assert watched.page.get_by_label("Search").get_attribute("aria-invalid") == "true"
