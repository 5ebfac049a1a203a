"""A real browser: Debian's chromium, driven by Playwright. Whatever a page complains about fails its test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import viz
from tests.browser.pages import Watched, every_loss, pair

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--no-first-run", "--disable-sync", "--disable-default-apps", "--force-color-profile=srgb"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The browser; without one, or without Playwright, these tests are skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install microgradrnn[browser]")
    if CHROMIUM is None:
        pytest.skip("needs chromium: apt-get install chromium, or name it in CHROMIUM")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def watch(browser: Any) -> Iterator[Callable[..., Watched]]:
    """Opens a file in a page of its own; at the end nobody may have complained, or asked for anything."""
    opened: list[Watched] = []

    def open_page(path: Path, fragment: str = "", size: tuple[int, int] = (1280, 720), **settings: Any) -> Watched:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings)
        opened.append(Watched(context.new_page(), path))
        return opened[-1].open(fragment)

    yield open_page
    for watched in opened:
        watched.page.context.close()
        assert watched.complaints == []
        assert watched.foreign() == []


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pages are."""
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="session")
def last(folder: Path) -> Path:
    """An LSTM and a tanh RNN, the loss at the last step."""
    path = folder / "last.html"
    viz.explore(pair(), path, labels="the cat sat on the mat, ")
    return path


@pytest.fixture(scope="session")
def every(folder: Path) -> Path:
    """The same nets, a loss at every step."""
    path = folder / "every.html"
    viz.explore(pair(every_loss), path, labels="the cat sat on the mat, ")
    return path
