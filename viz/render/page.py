"""The page of the explorer as one HTML file: data, script, style, and the static picture for those without scripts.

No text of a user becomes markup or script: data stand in an element that is never run, written in plain ASCII without
``<``, and the rest is escaped. A content-security-policy forbids the page every access to a network, and lets it run
only the scripts that are named by their hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from microgradrnn.files import write_whole
from viz.render.svg import clean, element
from viz.theme import recoloured

HEIGHT = 760  # of the frame in a notebook, in pixels
USED = re.compile(r'(?:fill|stroke)=\\?"(#[0-9a-f]{6})')


@dataclass(frozen=True)
class Page:
    """A page that is one file. It needs nothing else, shows itself in a notebook, and is saved by `save`.

    Attributes:
        html: the whole file, as text.
        title: what the page found, in one sentence.
    """

    html: str = field(repr=False)
    title: str

    def save(self, path: str | Path) -> Path:
        """Write the file.

        Returns:
            The path.

        Raises:
            ValueError: if the path ends in something else than ``.html`` or ``.htm``.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"save: {path.name!r} ends in {path.suffix or 'nothing'}; a page is saved as .html")
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_whole(path, self.html)

    def _repr_html_(self) -> str:
        return element("iframe", " ", srcdoc=self.html, title=clean(self.title), width="100%", height=str(HEIGHT),
                       style="border: 0")

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {len(self.html.encode()) / 1e6:.2f} MB)"


def page(data: str, picture: str, title: str, summary: str, script: str, style: str,
         programs: Sequence[str] = (), picture_shown: bool = False) -> Page:  # fmt: skip
    """The page.

    Args:
        data: JSON, as `viz.explorer.encode.json_text` writes it.
        picture: an SVG, shown where scripts do not run; with ``picture_shown`` everywhere.
        title, summary: what the page found, and what it shows.
        script, style: of the page.
        programs: scripts that run before it.
    """
    style += adapted(data + picture)
    scripts = [*programs, script] if script else list(programs)
    policy = "; ".join([
        "default-src 'none'", f"script-src {hashes(scripts)}", f"style-src {hashes([style])}", "img-src data: blob:",
        "base-uri 'none'", "form-action 'none'",
    ])
    head = "".join([
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", escape(clean(title))),
        element("meta", name="description", content=summary),
        raw("style", style),
    ])
    heading = element("h1", escape(clean(title))) + element("p", escape(clean(summary)))
    still = element("p", "This page is interactive where scripts may run. Here is its static picture.")
    body = "".join([
        element("div", " ", id="app"),
        element("noscript", element("main", heading + (still + picture) * (not picture_shown))),
        element("section", picture, id="still") * picture_shown,
        raw("script", data, ' type="application/json" id="data"'),
        *(raw("script", one) for one in scripts),
    ])
    return Page(f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n', title)


def raw(name: str, content: str, attributes: str = "") -> str:
    """An element whose content is not escaped, because browsers do not read it as markup.

    Raises:
        ValueError: if the content could end the element.
    """
    if f"</{name}" in content.lower() or "<!--" in content:
        raise ValueError(f"page: what stands in <{name}> may hold neither </{name} nor <!--")
    return f"<{name}{attributes}>{content}</{name}>"


def hashes(contents: Sequence[str]) -> str:
    """The sources that a content-security-policy allows: these texts, or none.

    >>> hashes([])
    "'none'"
    """
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"


def adapted(markup: str) -> str:
    """Rules that show pictures of the light theme in the dark one: by the system's setting, or the page's own."""
    used = set(USED.findall(markup))
    rules = [rule for rule in recoloured().splitlines() if rule[len('[fill="'):][:7] in used]
    dark = "".join(rule.replace("[", ":root[data-theme=dark] [") for rule in rules)
    system = "".join(rule.replace("[", ":root:not([data-theme=light]) [", 1).replace("}[", "}:root:not([data-theme="
                     "light]) [") for rule in rules)
    return f"\n{dark}\n@media(prefers-color-scheme:dark){{{system}}}\n"
