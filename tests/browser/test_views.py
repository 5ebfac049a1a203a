"""Screenshots of the main views, for people to look at; into the folder that EXPLORER_SCREENSHOTS names, if it does.

Asserted here is only what can be: that the picture is there, and no text is cut off or smaller than can be read.
"""

import os
from pathlib import Path

import pytest

SIZES = {"desktop": (1280, 720), "phone": (390, 844)}
VIEWS = {
    "start": ("last", ""), "cursor": ("last", "#lag=12"), "cut": ("last", "#lag=12&cut0=carry"),
    "loss": ("every", "#lag=12&loss=5"), "bias": ("last", "#forgetBias0=-2"),
    "linear": ("last", "#axis=linear&scale=own"), "tour": ("last", "#tour=4"),
}  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_there_and_can_be_read(watch, request, view, size, scheme):
    which, fragment = VIEWS[view]
    watched = watch(request.getfixturevalue(which), fragment, size=SIZES[size], color_scheme=scheme)
    watched.page.wait_for_timeout(250)
    if folder := os.environ.get("EXPLORER_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        watched.page.screenshot(path=Path(folder) / f"{view}-{size}-{scheme}.png", full_page=size == "phone")
    assert watched.page.locator(".chart path[fill]").count() >= 4
    small = watched.page.evaluate("""() =>
        [...document.querySelectorAll("h1, h2, p, label, button, dt, dd, li, .chart text, .legend text")]
        .filter((element) => element.checkVisibility() && parseFloat(getComputedStyle(element).fontSize) < 11)
        .map((element) => element.textContent)""")
    assert small == []
