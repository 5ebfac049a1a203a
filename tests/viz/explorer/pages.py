"""Reads the pages of the explorer: their data, their scripts, their policy."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np

from viz.explorer.encode import decoded
from viz.render.page import Page


class Reader(HTMLParser):
    """Collects elements with their attributes, and the text of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element."""
        self.found.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.raw.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        """What stands in it."""
        if self.cdata_elem is not None:
            tag, attrs, text = self.raw[-1]
            self.raw[-1] = tag, attrs, text + data


def data_of(page: Page) -> dict[str, Any]:
    """The JSON of a page, as a browser reads it."""
    (text,) = (text for tag, attrs, text in Reader(page.html).raw if attrs.get("id") == "data")
    found: dict[str, Any] = json.loads(text)
    return found


def policy_of(page: Page) -> dict[str, list[str]]:
    """The content-security-policy, by directive."""
    (meta,) = (attrs for tag, attrs in Reader(page.html).found if attrs.get("http-equiv") == "Content-Security-Policy")
    parts = (part.split() for part in str(meta["content"]).split(";"))
    return {name: sources for name, *sources in parts}


def numbers(said: dict[str, Any]) -> np.ndarray:
    """An array of the page."""
    return decoded(said)


def plain(words: str) -> str:
    """Without the digits, to compare sentences."""
    return re.sub(r"\d[\d.·⁰¹²³⁴⁵⁶⁷⁸⁹⁻]*", "#", words)
