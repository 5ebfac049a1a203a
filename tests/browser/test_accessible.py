"""axe-core finds nothing on any main view, in both themes and both sizes."""

from pathlib import Path

import pytest

AXE = Path(__file__).parents[2] / "viz" / "web" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = {
    "start": "", "cursor": "#lag=12", "cut": "#lag=12&cut0=carry", "linear": "#lag=5&axis=linear&scale=own&size=rms",
    "slider": "#forgetBias0=-2&lag=3", "tour": "#tour=4", "last station": "#tour=8",
}  # fmt: skip
DO = {
    "card": "explorer.store.set({part: '0/' + explorer.data.lanes[0].cell.parts[3].key, pinned: true})",
    "save": "document.querySelector('.take').open = true",
    "search": "(() => { const field = document.querySelector('input[type=search]'); field.value = 'gate';"
              " field.focus(); field.dispatchEvent(new Event('input')); })()",
    "operations": "[...document.querySelectorAll('.strip-bar button')].at(-1).click()",
    "columns": "[...document.querySelectorAll('.strip-bar button')].at(-2).click()",
}  # fmt: skip


def violations(watched):
    if not AXE.is_file():
        pytest.skip("needs axe-core: npm ci --prefix viz/web")
    watched.page.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
    return watched.page.evaluate("""async () => (await axe.run()).violations.map(
        ({ id, nodes }) => [id, nodes.map((node) => `${node.html.slice(0, 120)} ${node.failureSummary}`)])""")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", [*VIEWS, *DO])
def test_a_view_has_no_violations(watch, last, view, scheme):
    watched = watch(last, VIEWS.get(view, "#lag=3"), color_scheme=scheme)
    if view in DO:
        watched.page.evaluate(f"() => {{ {DO[view]}; }}")
    watched.page.wait_for_timeout(350)
    assert violations(watched) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_and_a_page_of_many_losses_have_none(watch, every, scheme):
    watched = watch(every, "#lag=3&loss=3", size=(390, 844), color_scheme=scheme)
    watched.settle()
    assert violations(watched) == []


def test_everything_that_can_be_done_can_be_reached_by_tab(watch, last):
    watched = watch(last)
    reached = watched.page.evaluate("""() =>
        [...document.querySelectorAll("button, input, select, summary, [tabindex='0']")]
        .filter((element) => element.checkVisibility() && !element.disabled).length""")
    seen = set()
    for _ in range(reached + 5):
        watched.page.keyboard.press("Tab")
        seen.add(watched.page.evaluate("""() => {
            const all = [...document.querySelectorAll("*")];
            return all.indexOf(document.activeElement);
        }"""))
    assert len(seen) >= reached


@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
def test_nothing_is_wider_than_the_window(watch, every, size):
    watched = watch(every, "#lag=12", size=size)
    assert watched.page.evaluate("() => document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_system_until_it_is_chosen(watch, last, scheme):
    watched = watch(last, color_scheme=scheme)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    assert watched.page.evaluate(ground) == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]
    watched.page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    watched.settle()
    assert watched.page.evaluate(ground) == {"dark": "rgb(255, 255, 255)", "light": "rgb(20, 24, 29)"}[scheme]
    watched.page.get_by_label("Theme").select_option(scheme)
    watched.settle()
    assert watched.page.evaluate(ground) == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]
