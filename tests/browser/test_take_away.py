"""Take away: SVG, PNG, CSV, a link, paper, and the static picture where scripts do not run."""

import csv
import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tests.browser.test_cuts import lstm
from viz.flow.cuts import cuts


def save(watched, what):
    watched.page.locator(".take summary").click()
    with watched.page.expect_download() as waiting:
        watched.page.get_by_role("button", name=what).click()
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def test_the_view_is_saved_as_svg_with_its_colours(watch, last):
    watched = watch(last, "#lag=4&cut0=carry")
    name, content = save(watched, "SVG")
    root = ET.fromstring(content)
    texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert name == "explorer.svg"
    assert any(text.startswith("Without the carry") for text in texts)
    assert b"var(" not in content
    assert b"class=" not in content
    assert b"<script" not in content
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 60


def test_the_svg_can_be_opened_alone(watch, last, folder):
    watched = watch(last, "#lag=4", color_scheme="dark")
    path = folder / "saved.svg"
    path.write_bytes(save(watched, "SVG")[1])
    page = watched.page.context.new_page()
    page.goto(path.as_uri())
    assert page.evaluate("() => document.documentElement.getBoundingClientRect().width") > 600
    assert page.evaluate("() => document.querySelector('rect').getAttribute('fill')") == "#14181d"


def test_the_view_is_saved_as_png(watch, last):
    name, content = save(watch(last), "PNG")
    assert name == "explorer.png"
    assert content.startswith(b"\x89PNG")
    assert len(content) > 20_000


def test_the_numbers_are_saved_as_csv(watch, last):
    name, content = save(watch(last, "#cut0=carry"), "CSV")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert name == "explorer.csv"
    assert len(rows) == 48
    own = [row for row in rows if row["net"] == "LSTM"]
    found = cuts(lstm())
    for column, ways in [("norm", ["i", "f", "g", "o"]), ("norm, nothing changed", found.ways)]:
        norms = [float(row[column]) for row in reversed(own)]
        np.testing.assert_allclose(norms, found.open_only(ways), rtol=1e-12)
    assert own[4]["label"] == "c"
    assert own[4]["lag"] == "19"


def test_the_address_holds_the_view(watch, last):
    watched = watch(last)
    watched.page.locator("#cursor").fill("13")
    watched.page.locator("#lane0 .ways").get_by_label("carry").uncheck()
    watched.page.get_by_role("button", name="linear").click()
    watched.page.get_by_role("button", name="RMS").click()
    watched.page.get_by_label("Theme").select_option("dark")
    watched.page.locator("#lane1 h2").click()
    watched.page.wait_for_function("() => location.hash.includes('dark') && location.hash.includes('lane')")
    view = watched.view()
    again = watch(last, "#" + watched.page.url.partition("#")[2])
    assert again.view() == view
    assert view["lag"] == 10
    assert view["cut"] == [1, 0]


def test_a_link_followed_later_changes_the_view(watch, last):
    watched = watch(last)
    watched.page.evaluate("() => { location.hash = '#lag=9&axis=linear'; }")
    watched.page.wait_for_function("() => explorer.store.view.lag === 9")
    assert not watched.view()["log"]


@pytest.mark.parametrize("fragment", ["#lag=-5", "#lag=1e9&cut0=nothing&loss=abc", "#%00=%ff",
                                      "#lane=99&tour=77&forgetBias0=zzz", "#theme=<script>&speed=NaN"])
def test_a_broken_fragment_does_no_harm(watch, last, fragment):
    view = watch(last, fragment).view()
    assert (view["lag"], view["lane"], view["cut"], view["loss"]) == (0, 0, [0, 0], None)


def test_a_shared_slider_is_restored(watch, last):
    watched = watch(last, "#forgetBias0=-2")
    assert watched.page.locator("#lane0 input[data-option=forgetBias]").input_value() == "-2"
    assert watched.text("#lane0 .sentence").startswith("With forget bias −2")


def test_on_paper_there_are_the_pictures_and_no_controls(watch, last):
    watched = watch(last)
    watched.page.emulate_media(media="print", color_scheme="dark")
    watched.settle()
    assert watched.page.locator(".chart").first.is_visible()
    assert watched.page.locator(".cell").first.is_visible()
    assert watched.page.locator("#cursor").is_hidden()
    assert watched.page.locator(".menu").is_hidden()
    assert watched.page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_scripts_there_is_the_static_picture(browser, last):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(last.as_uri())
    assert page.locator("noscript svg, svg").first.is_visible()
    assert "steps back" in page.locator("h1").first.inner_text()
    context.close()
