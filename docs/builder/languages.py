"""Pages in Chinese say so: browsers choose fonts by the language of a page, and screen readers the voice."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def said(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Write the language into the first tag of the page."""
    if page.startswith("zh/"):
        context["language"] = "zh"


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", said)
    return {"parallel_read_safe": True, "version": "1"}
