"""What Sphinx and MyST-NB write so that a screen reader would stumble over it, written differently.

* The parameters of a long signature are items of a list that has no terms; here they are plain lines.
* The heading of a column without a name is an ordinary cell.
* A hidden solution is called "Toggle hidden content", whatever it says; here it is called what it says.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

SIGNATURE = re.compile(r'(<span class="sig-paren">[(]</span>)\s*<dl>(.*?)</dl>', re.DOTALL)
NAMELESS = re.compile(r'<th class="head[^"]*"><p></p></th>')
SUMMARY = '<summary aria-label="Toggle hidden content">'


def plain_lines(signature: re.Match[str]) -> str:
    """A long signature with a line for each parameter."""
    lines = signature[2].replace("<dd>", "<span>").replace("</dd>", "</span>")
    return f'{signature[1]}<span class="parameters">{lines}</span>'


def mended(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Rewrite the body of a page."""
    if "body" in context:
        body = SIGNATURE.sub(plain_lines, context["body"])
        context["body"] = NAMELESS.sub("<td></td>", body).replace(SUMMARY, "<summary>")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", mended)
    return {"parallel_read_safe": True, "version": "1"}
