"""The pictures of a page: dark on a dark page, and never so small that they cannot be read.

A picture is as wide as the page, but not wider than it was drawn; below two thirds of that it scrolls, as in a
notebook. It is a link to its file. Those that `viz` drew in the light theme have a twin in the colours of the dark one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from microgradrnn.files import write_whole
from viz.render.notebook import COLOUR, SMALLEST
from viz.theme import DARK, DEFAULT, in_the_colours_of

IMAGE = re.compile(r'<img [^>]*?src="([^"]*_images/([^"/]+)\.svg)"[^>]*?/?>')
OURS = f'fill="{DEFAULT.paper}"/><g'  # viz begins a picture with a sheet of paper
WIDTH = re.compile(r'<svg [^>]*?width="([\d.]+)')


def framed(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put the pictures of a page into frames, and beside the light ones their dark twins."""
    files = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}  # type: ignore[attr-defined]

    def frame(image: re.Match[str]) -> str:
        svg = files[f"{image[2]}.svg"].read_text(encoding="utf-8")
        if OURS not in svg[:4000]:
            return picture(image[0], image[1], svg)
        twin = f"{image[2]}-on-dark.svg"
        write_whole(made(Path(app.outdir, "_images")) / twin, dark(svg))
        uri = image[1].replace(f"{image[2]}.svg", twin)
        return (picture(image[0], image[1], svg, "only-light")
                + picture(image[0].replace(image[1], uri), uri, svg, "only-dark"))

    if "body" in context:
        context["body"] = IMAGE.sub(frame, context["body"])


def made(folder: Path) -> Path:
    """The folder, which exists."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def dark(svg: str) -> str:
    """A picture of the light theme in the colours of the dark one."""
    colours = in_the_colours_of(DARK)
    return COLOUR.sub(lambda found: colours.get(found[0], found[0]), svg)


def picture(image: str, uri: str, svg: str, where: str = "on-paper") -> str:
    """An image in its frame, a link to the file."""
    width = WIDTH.search(svg)
    smallest = f"min-width:{SMALLEST * float(width[1]):.0f}px" if width else ""
    image = image.replace("<img ", f'<img loading="lazy" style="{smallest}" ')
    return f'<span class="picture {where}"><a href="{uri}">{image}</a></span>'


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", framed)
    return {"parallel_read_safe": True, "version": "1"}
