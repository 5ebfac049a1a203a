"""Drawing: a finished picture. An SVG text that knows how to save and to show itself."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from microgradrnn.files import write_whole
from viz.errors import MissingToolError
from viz.render.notebook import bundle
from viz.render.svg import svg
from viz.scene.items import Scene

SVG = "{http://www.w3.org/2000/svg}"
SHARE = re.compile(r"([\d.]+)%$")


@dataclass(frozen=True)
class Drawing:
    """A picture as SVG.

    Attributes:
        svg: the whole file, as text.
        width, height: in pixels.
        scene: the items that it consists of, with what they stand for and the numbers they show; None if the picture
            was made by Graphviz or matplotlib.
        figure: the figure, if it was made by matplotlib, which then writes PNG and PDF.
        laid_out_by: what found the places, if that was not our own layout of unrolled nets; see `viz.draw_graph`.

    >>> Drawing('<svg xmlns="http://www.w3.org/2000/svg"/>', 1, 1)
    Drawing(1 x 1 pixels, 41 characters of SVG)
    """

    svg: str
    width: float
    height: float
    laid_out_by: str = ""
    scene: Scene | None = field(default=None, repr=False, compare=False)
    figure: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, scene: Scene) -> Drawing:
        """The drawing of a scene."""
        return cls(svg(scene), scene.width, scene.height, scene.laid_out_by, scene)

    def save(self, path: str | Path) -> Path:
        """Write it to a file; the ending says how: ``.svg``, ``.png`` (needs resvg-py) or ``.pdf`` (needs svglib).

        Returns:
            The path.

        Raises:
            ValueError: if the ending is another one.
            MissingToolError: for ``.png`` and ``.pdf`` without what they need.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending not in (".svg", ".png", ".pdf"):
            raise ValueError(f"save: {path.name!r} ends in {ending or 'nothing'}; a drawing is saved as .svg, .png "
                             "or .pdf")
        content = self.svg.encode() if ending == ".svg" else self.png() if ending == ".png" else self.pdf()
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_whole(path, content)

    def png(self, zoom: int = 2) -> bytes:
        """The picture as PNG, two pixels for one by default."""
        if self.figure is not None:
            return saved(self.figure, "png", dpi=96 * zoom)
        try:
            import resvg_py
        except ImportError:
            raise MissingToolError(
                'PNG needs resvg-py: pip install "microgradrnn[png]". Without it, save as .svg, '
                "which every browser opens and prints."
            ) from None
        return bytes(resvg_py.svg_to_bytes(svg_string=self.svg, zoom=zoom))

    def pdf(self) -> bytes:
        """The picture as one page of PDF; its text is text, its fonts are in the file."""
        if self.figure is not None:
            return saved(self.figure, "pdf", metadata={"CreationDate": None})
        try:
            from reportlab.graphics import renderPDF
            from svglib.svglib import svg2rlg
        except ImportError:
            raise MissingToolError(
                'PDF needs svglib: pip install "microgradrnn[pdf]". Without it, save as .svg, '
                "which every browser opens and prints, into a PDF too."
            ) from None
        page = svg2rlg(io.BytesIO(in_pixels(self.svg, self.width, self.height)))
        put_pieces_together(page)
        return bytes(renderPDF.drawToString(page, invariant=1))

    @property
    def title(self) -> str:
        """What the picture says, in words."""
        if self.scene is not None:
            return self.scene.title
        axes = self.figure.axes if self.figure is not None else []
        return "; ".join(filter(None, (ax.get_title(loc) for ax in axes for loc in ("left", "center", "right"))))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        theme = self.scene.theme if self.scene is not None else None
        return bundle(self.svg, self.width, repr(self), title=self.title, theme=theme)

    def __repr__(self) -> str:
        return f"Drawing({self.width:.0f} x {self.height:.0f} pixels, {len(self.svg)} characters of SVG)"


def saved(figure: Any, kind: str, **options: Any) -> bytes:
    """A figure of matplotlib as a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def put_pieces_together(page: Any) -> None:
    """Sub- and superscripts follow what they belong to: svglib centres every piece of a line of text by itself."""
    from reportlab.graphics.shapes import Group, String
    from reportlab.pdfbase.pdfmetrics import stringWidth

    todo = [page]
    while todo:
        group = todo.pop()
        todo += [shape for shape in group.contents if isinstance(shape, Group)]
        pieces = [shape for shape in group.contents if isinstance(shape, String)]
        if len(pieces) > 1:
            widths = [stringWidth(piece.text, piece.fontName, piece.fontSize) for piece in pieces]
            x = pieces[0].x - sum(widths) * {"start": 0.0, "middle": 0.5, "end": 1.0}[pieces[0].textAnchor]
            for piece, width in zip(pieces, widths, strict=True):
                piece.x, piece.textAnchor = x, "start"
                x += width


def in_pixels(svg: str, width: float, height: float) -> bytes:
    """The picture as svglib can read it: per cents, of the page and of the parent's font, are worked out; stamps stand
    where they are used (it leaves out those with a title, and all after the ten thousandth); and there are no titles.
    """
    ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
    root = ElementTree.fromstring(svg)
    stamps = {element.attrib.pop("id"): element for element in list(root.iter()) if "id" in element.attrib}
    for defs in root.findall(f"{SVG}defs"):
        root.remove(defs)
    todo = [(root, 16.0)]
    while todo:
        element, size = todo.pop()
        for key, whole in (("width", width), ("height", height), ("font-size", size)):
            if share := SHARE.match(element.get(key, "")):
                element.set(key, f"{float(share[1]) / 100 * whole:g}")
        for note in element.findall(f"{SVG}title"):
            element.remove(note)
        if element.tag == f"{SVG}use":
            x, y, stamp = (element.attrib.pop(key, "0") for key in ("x", "y", "href"))
            element.tag = f"{SVG}g"
            element.set("transform", f"translate({x},{y})")
            element.append(stamps[stamp[1:]])
        own = float(element.get("font-size", size))
        todo += [(child, own) for child in element]
    return ElementTree.tostring(root)
