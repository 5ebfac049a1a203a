"""The nets whose pages the tests of the browser open, and how a page is watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from microgradrnn import Tensor, nn

TEXT = "the cat sat on the mat, and then the dog came in"
HOSTILE = ["</script><script>boom()</script>", "<img src=x onerror=boom()>", "\"'><svg onload=boom()>",
           "\u2028\u2029", "\0", "\ud800", "\u202eright to left", "]]>", "<!--",
           "{{7*7}}", "&amp;", "javascript:boom()"]


def last_loss(cell: Any, T: int = 24, D: int = 4) -> Tensor:
    """A loss that reads the last step alone."""
    hs, _ = cell(np.random.default_rng(0).normal(size=(T, 1, D)))
    return (hs[-1] ** 2).sum()


def every_loss(cell: Any, T: int = 24, D: int = 4) -> Tensor:
    """A sum of one loss a step."""
    hs, _ = cell(np.random.default_rng(0).normal(size=(T, 1, D)))
    return sum((hs[t] ** 2).sum() for t in range(1, T)) + (hs[0] ** 2).sum()


def pair(loss: Callable[..., Tensor] = last_loss, H: int = 8, T: int = 24) -> Mapping[str, Tensor]:
    """An LSTM that remembers, and a tanh RNN."""
    return {"LSTM": loss(nn.LSTM(4, H, rng=0, forget_bias=2.0), T), "tanh RNN": loss(nn.RNN(4, H, rng=0), T)}


class Watched:
    """A page in the browser, with everything that it complained about or asked for."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page, self.path = page, path
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning")
                else None)  # fmt: skip
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, fragment: str = "") -> Watched:
        """Load it."""
        self.page.goto(self.path.as_uri() + fragment)
        self.page.wait_for_selector("main")
        return self

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def view(self) -> dict[str, Any]:
        """What the person has chosen."""
        self.settle()
        return self.page.evaluate("() => explorer.store.shown")

    def norms(self, lane: int = 0) -> np.ndarray:
        """What a lane shows."""
        self.settle()
        return np.array(self.page.evaluate(f"() => Array.from(explorer.all[{lane}].norms)"))

    def text(self, selector: str) -> str:
        """The text of the first element."""
        self.settle()
        return self.page.locator(selector).first.inner_text()

    def foreign(self) -> list[str]:
        """The requests for anything but the page itself and what it holds."""
        return [url for url in self.requests if not url.startswith((self.path.as_uri(), "data:", "blob:"))]
