"""Drawing: a finished picture. An SVG text that knows how to save and to show itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Drawing:
    """A picture as SVG.

    Attributes:
        svg: the whole file, as text.
        width, height: in pixels.

    >>> Drawing('<svg xmlns="http://www.w3.org/2000/svg"/>', 1, 1)
    Drawing(1 x 1 pixels, 41 characters of SVG)
    """

    svg: str
    width: float
    height: float

    def save(self, path: str | Path) -> Path:
        """Write it to a file; the ending says how: ``.svg``, or ``.png`` if resvg-py is installed.

        Raises:
            ValueError: if the ending is another one.
            ImportError: for ``.png`` without resvg-py.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending == ".svg":
            path.write_text(self.svg, encoding="utf-8")
        elif ending == ".png":
            path.write_bytes(self.png())
        else:
            raise ValueError(f"save: {path.name!r} ends in {ending or 'nothing'}; a drawing is saved as .svg or .png")
        return path

    def png(self, zoom: int = 2) -> bytes:
        """The picture as PNG, two pixels for one by default."""
        try:
            import resvg_py
        except ImportError:
            raise ImportError(
                'PNG needs resvg-py: pip install "microgradrnn[png]". Without it, save as .svg, '
                "which every browser opens and prints."
            ) from None
        return bytes(resvg_py.svg_to_bytes(svg_string=self.svg, zoom=zoom))

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Drawing({self.width:.0f} x {self.height:.0f} pixels, {len(self.svg)} characters of SVG)"
