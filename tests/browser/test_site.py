"""The documentation site in a browser, every page: axe-core finds nothing, and no page is wider than the window."""

import json
from pathlib import Path

import pytest

from tests.browser.test_accessible import AXE

SITE = Path(__file__).parents[2] / "out" / "docs" / "html"
PAGES = [path.relative_to(SITE).as_posix() for path in sorted(SITE.rglob("*.html"))
         if "_static" not in path.parts and "live" not in path.parts]  # the explorer's page has tests of its own
SIZES = [(1280, 800), (390, 844)]
MATHS = ["th:has(math)"]  # axe-core does not read MathML, and takes such headings for empty ones
CODE = ["pre", ".sig"]  # thousands of small pieces, in a few colours: looked at on these pages, and left out on others
WITH_CODE = ("index.html", "lstm.html", "engine.html", "reference/microgradrnn-training.html")
VIOLATIONS = """async ([exclude, options]) => {
    const { violations } = await axe.run({ exclude }, { preload: false, iframes: false, ...options });
    const said = (node) => `${node.html.slice(0, 150)} ${node.failureSummary}`;
    return violations.map(({ id, nodes }) => [id, nodes.slice(0, 5).map(said)]);
}"""
NO_COLOURS = {"rules": {"color-contrast": {"enabled": False}}}
COLOURS = {"runOnly": ["color-contrast"]}
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module", params=SIZES, ids=["wide", "phone"])
def tab(browser, request):
    """One tab for all pages."""
    if not PAGES:
        pytest.skip("needs the site: make docs")
    if not AXE.is_file():
        pytest.skip("needs axe-core: npm ci --prefix viz/web")
    context = browser.new_context(viewport={"width": request.param[0], "height": request.param[1]})
    context.add_init_script(path=AXE)
    yield context.new_page()
    context.close()


@pytest.fixture
def complaints(tab):
    """What the pages complain about, or ask for elsewhere."""
    found = []

    def asked(request):
        if not request.url.startswith((SITE.as_uri(), "data:", "blob:")):
            found.append(request.url)

    def said(message):
        if message.type in ("error", "warning"):
            found.append(message.text)

    tab.on("request", asked)
    tab.on("console", said)
    yield found
    tab.remove_listener("request", asked)
    tab.remove_listener("console", said)


def opened(tab, page, scheme="light"):
    tab.emulate_media(color_scheme=scheme)
    tab.goto((SITE / page).as_uri())
    assert tab.evaluate("() => document.documentElement.dataset.theme") == scheme


@pytest.mark.parametrize("page", PAGES or ["none"])
def test_a_page_fits_the_window_and_has_no_violations(tab, complaints, page):
    opened(tab, page)
    assert tab.evaluate(WIDER) <= 0
    exclude = [] if page in WITH_CODE or page.startswith("lessons/") else CODE
    tab.wait_for_timeout(100 * (not exclude))  # until what scrolls can be reached by Tab
    found = tab.evaluate(VIOLATIONS, [exclude + MATHS, NO_COLOURS])
    assert found == [], json.dumps(found, indent=1)
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("source/")] or ["none"])
def test_all_words_of_a_page_can_be_read_in_both_themes(tab, page, scheme):
    opened(tab, page, scheme)
    exclude = [] if page in WITH_CODE or page.startswith("lessons/") else CODE
    found = tab.evaluate(VIOLATIONS, [exclude, COLOURS])
    assert found == [], json.dumps(found, indent=1)


def test_axe_finds_what_is_wrong(tab):
    opened(tab, "index.html")
    tab.evaluate("() => document.querySelector('main').insertAdjacentHTML('afterbegin', '<img src=\"no.svg\">"
                 "<p style=\"color: #aaa; width: 200vw\">faint</p>')")
    assert {name for name, _ in tab.evaluate(VIOLATIONS, [[], {}])} >= {"image-alt", "color-contrast"}
