"""The explorer's page in a real browser: the time to the first picture, and the frames of scrubbing, cutting, sliding.

Needs Playwright and chromium. Frames are timed as a person sees them: something changes in every frame, and the time
from one frame to the next is what the browser's clock says.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import viz
from benchmarks.explorer import loss
from benchmarks.explorer_live import loss as small_loss
from benchmarks.measure import MissingPeerError, Row, peer
from microgradrnn import nn

OPENED = {50: 0.5, 500: 2.0}  # seconds to the first picture
REPEATS = 5
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
FRAMES = """async (change) => {
    const frame = () => new Promise(requestAnimationFrame);
    const act = eval(change), times = [];
    for (let k = 0, last = await frame(); k < 120; k++) {
        act(k);
        const now = await frame();
        times.push(now - last);
        last = now;
    }
    return times.slice(20);
}"""
ANSWERS = """async (change) => {
    const act = eval(change), times = [];
    for (let k = 0; k < 40; k++) {
        const start = performance.now();
        act(k);
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));  // after the paint
        times.push(performance.now() - start);
    }
    return times.slice(5);
}"""
SCRUB = "(k) => explorer.store.set({ lag: (3 * k) % explorer.longest })"
CUT = "(k) => explorer.store.set({ cut: [k % 32] })"
SLIDE = """(k) => {
    const slider = document.querySelector("input[data-option=forgetBias]");
    slider.value = -1 + (k % 30) / 10;
    slider.dispatchEvent(new Event("input"));
}"""


def opened(browser: Any, path: Path) -> tuple[Any, float]:
    """A page, and the milliseconds until its first picture was there."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(path.as_uri())
    page.wait_for_function(PAINTED)
    return page, page.evaluate(PAINTED)


def rows() -> Iterator[Row]:
    """One after the other; the medians."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    playwright = peer("playwright.sync_api")
    if chromium is None:
        raise MissingPeerError("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder, playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for T, bar in OPENED.items():
            path = viz.explore(loss(T), labels="x" * T).save(Path(folder) / f"{T}.html")
            times = []
            for _ in range(REPEATS):
                page, time = opened(browser, path)
                times.append(time / 1e3)
                page.close()
            yield Row(f"explorer, T={T}: open to first picture : {bar:g} s", f"{median(times):.2f} s", f"{bar:g} s",
                      median(times) / bar, min(times) / bar, bar=1.0)
        page, _ = opened(browser, path)
        for what, change in (("scrubbing", SCRUB), ("cutting", CUT)):
            times = page.evaluate(FRAMES, change)
            yield Row(f"explorer, T=500: {what}, a frame : 33 ms", f"{median(times):.1f} ms", "33 ms",
                      median(times) / 33, min(times) / 33, bar=1.0)
        path = viz.explore(small_loss(nn.LSTM)).save(Path(folder) / "small.html")
        page, _ = opened(browser, path)
        times = page.evaluate(ANSWERS, SLIDE)
        yield Row("explorer, H=16, T=100: a slider moved : 100 ms", f"{median(times):.1f} ms", "100 ms",
                  median(times) / 100, min(times) / 100, bar=1.0)
        browser.close()
