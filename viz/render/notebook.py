"""A picture in a notebook: it fits the cell or scrolls, and it is dark where the notebook is dark.

A picture is as wide as the cell, but never wider than it was drawn. Below two thirds of that its text is too small:
then it scrolls, and first shows its right end, where the loss is. (Scrolling starts at the right because the frame is
written from right to left; the picture inside is not.) No script is needed, so an exported page does the same.

In a dark notebook, pictures of the light theme have the colours of the dark one. The colours become variables
of CSS, which reach everything in the picture, also what ``<use>`` stamps, and nothing outside.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from typing import Any
from zlib import crc32

from viz.render.svg import clean, element
from viz.theme import DARK, DEFAULT, Theme, in_the_colours_of, recoloured

SMALLEST = 2 / 3  # of its size: text of 13 pixels is then one of 9
COLOUR = re.compile(r'(?<==")#[0-9a-f]{6}(?=")')
# JupyterLab and exported pages; VS Code; Colab; Sphinx. Where none of them speaks, what the reader's system prefers.
DARK_PAGES = ("[data-jp-theme-light=false]", ".vscode-dark", "html[theme=dark]", "html[data-theme=dark]")
UNDECIDED = ":root:not(:has([data-jp-theme-light],.vscode-light,.vscode-dark)):not([theme]):not([data-theme])"

Table = Sequence[Sequence[str]]


def bundle(svg: str, width: float, text: str, *, title: str = "", theme: Theme | None = None) -> dict[str, str]:
    """What a notebook is given to choose from: the picture as HTML, as SVG, and a line of text.

    Args:
        svg: the picture.
        width: as it was drawn, in pixels.
        text: where no picture can be shown.
        title: what the picture says, for those who cannot see it. (A picture of ours says that itself.)
        theme: of a picture of ours. Others stand apart from the page, as an image: their ids and styles may clash.
    """
    light = theme is not None and theme.colours == DEFAULT.colours
    return {"text/html": framed(svg, width, title, theme is not None, light), "text/plain": text,
            "image/svg+xml": adaptive(svg) if light else svg}


def framed(svg: str, width: float, title: str, ours: bool, light: bool) -> str:
    """The picture as HTML, in a frame that scrolls if it must."""
    if not ours:
        return image(svg.encode(), "svg+xml", width, title)
    name = name_of(svg.encode())
    start = svg.index("<svg") + len("<svg")
    inner = f'<svg style="{fitted(width)}"{svg[start:].rstrip()}'
    inner, rules = in_variables(inner, name) if light else (inner, "")
    return frame(inner, name, width, title, rules)


def image(content: bytes, kind: str, width: float, title: str) -> str:
    """The content of an image file as HTML, in such a frame."""
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return frame(element("img", alt=clean(title), src=source, style=fitted(width)), name_of(content), width, title)


def name_of(content: bytes) -> str:
    """A class for the frame of a picture: rules of CSS that are for it reach no other one."""
    return f"viz-{crc32(content):x}"


def frame(inner: str, name: str, width: float, title: str, rules: str = "") -> str:
    """What scrolls, and first shows its right end. Then the title, which is on the left, stands above it too."""
    narrow = f"@container(max-width:{SMALLEST * width - 1:.0f}px){{.{name} p{{display:block}}}}"
    above = element("p", f"{element('b', escape(clean(title)))} (scroll to the left for earlier steps and the key)",
                    aria_hidden="true")
    scrolls = element("div", inner, style="overflow-x:auto;direction:rtl", tabindex="0")  # also by the arrow keys
    return element("div", element("style", f".{name} p{{display:none}}{narrow}{rules}") + above + scrolls,
                   **{"class": name, "style": "container-type:inline-size"})


def fitted(width: float) -> str:
    """The style of a picture that is as wide as the cell, within bounds; on the left if there is room."""
    return (f"display:block;direction:ltr;width:100%;max-width:{width:.0f}px;min-width:{SMALLEST * width:.0f}px;"
            "height:auto;margin:0 auto 0 0")


def in_variables(svg: str, name: str) -> tuple[str, str]:
    """The picture with a variable for each colour that is another one in the dark, and rules that set them there."""
    dark = in_the_colours_of(DARK)
    number = {colour: j for j, colour in enumerate(sorted(set(COLOUR.findall(svg)) & dark.keys()))}
    values = "color-scheme:dark;" + "".join(f"--viz{j}:{dark[colour]};" for colour, j in number.items())
    pages = ",".join(f"{page} .{name}" for page in DARK_PAGES)

    def variable(found: re.Match[str]) -> str:
        return f"var(--viz{number[found[0]]},{found[0]})" if found[0] in number else found[0]

    return COLOUR.sub(variable, svg), (
        f"{pages}{{{values}}}@media(prefers-color-scheme:dark){{{UNDECIDED} .{name}{{{values}}}}}")


def adaptive(svg: str) -> str:
    """A picture of the light theme that is dark where the reader prefers dark pages."""
    used = set(COLOUR.findall(svg))
    rules = "".join(rule for rule in recoloured().splitlines() if COLOUR.findall(rule)[0] in used)
    at = svg.index(">") + 1
    return f"{svg[:at]}<style>@media(prefers-color-scheme:dark){{{rules}}}</style>{svg[at:]}"


class Glance:
    """A small picture and a table of numbers, for a notebook.

    Args:
        drawing: the picture, a `Drawing`; None if there is none.
        table: rows of words, the heading first.
        text: where neither can be shown.
    """

    def __init__(self, drawing: Any, table: Table, text: str) -> None:
        self.drawing, self.table, self.text = drawing, table, text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        shown: dict[str, str] = self.drawing._repr_mimebundle_() if self.drawing is not None else {}
        return {**shown, "text/html": shown.get("text/html", "") + as_table(self.table), "text/plain": self.text}


def as_table(rows: Table) -> str:
    """Rows of words as a table of HTML, the heading first."""
    def line(words: Sequence[str], cell: str) -> str:
        return element("tr", "".join(element(cell, escape(word)) for word in words))

    return element("table", line(rows[0], "th") + "".join(line(row, "td") for row in rows[1:]))
