"""A film: parts of a scene, each seen from one frame to another, as an animated SVG, as a GIF, or as stills.

In the animated SVG, style sheets show and hide the parts, without a script. It stands still while the pointer rests on
it or while it has the focus, and where a reader has asked for no motion it shows its end.
"""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.files import write_whole
from viz.errors import MissingToolError
from viz.progress import progress
from viz.render.drawing import Drawing
from viz.render.notebook import bundle
from viz.render.svg import Writer, document, element
from viz.scene.items import Item, Scene

MOST_PIXELS = 1e9  # of all frames of a GIF: some minutes of painting


class Part(NamedTuple):
    """Items that are seen from frame ``start`` until before frame ``stop``."""

    items: list[Item]
    start: int
    stop: int


@dataclass
class Frames:
    """A film.

    Attributes:
        parts: what is seen, and when; in the order of painting.
        seconds: how long each frame is shown.
        stills: the frames in which something has just arrived; the others show a message on its way.
        scene: the size, the title and the theme of every frame; without items.
        messages: every message, in the order of sending.
        laid_out_by: what found the places; see `viz.draw_graph`.

    ``len(frames)`` counts the frames, ``frames[j]`` is one of them, a `Drawing`; ``frames[-1]`` is the last.
    """

    parts: list[Part]
    seconds: list[float]
    stills: list[int]
    scene: Scene
    messages: Sequence[Any] = ()
    laid_out_by: str = ""

    def __len__(self) -> int:
        return len(self.seconds)

    def __getitem__(self, j: int) -> Drawing:
        if not -len(self) <= j < len(self):
            raise IndexError(f"frame {j} of {len(self)}")
        j %= len(self)
        items = [item for part in self.parts if part.start <= j < part.stop for item in part.items]
        scene = replace(self.scene, items=items, title=f"{self.scene.title} (frame {j + 1} of {len(self)})")
        return replace(Drawing.of(scene), laid_out_by=self.laid_out_by)

    def __iter__(self) -> Iterator[Drawing]:
        return (self[j] for j in range(len(self)))

    @property
    def width(self) -> float:
        """In pixels."""
        return self.scene.width

    @property
    def height(self) -> float:
        """In pixels."""
        return self.scene.height

    @property
    def svg(self) -> str:
        """The film as one SVG that plays by itself, in a loop, and pauses under the pointer."""
        total, last = sum(self.seconds), len(self)
        times = [100 * sum(self.seconds[:j]) / total for j in range(last + 1)]
        write = Writer({}, self.scene.theme.size).all
        markup = [write(part.items) for part in self.parts]
        prefix = f"f{zlib.crc32(''.join(markup).encode()):x}"
        spans = sorted({part[1:] for part in self.parts} - {(0, last)})
        classes = {span: f"{prefix}-{j}" for j, span in enumerate(spans)}
        rules = [f"[class^={prefix}]{{animation:{total:.2f}s step-end infinite}}"
                 f"svg:hover [class^={prefix}],svg:focus [class^={prefix}]{{animation-play-state:paused}}"]
        for (start, stop), name in classes.items():
            frames = [(0.0, start == 0), *([(times[start], True)] if start else []),
                      *([(times[stop], False)] if stop < last else [])]
            rules.append(f"@keyframes {name}{{"
                         + "".join(f"{at:.4f}%{{visibility:{'visible' if seen else 'hidden'}}}" for at, seen in frames)
                         + f"}}.{name}{{animation-name:{name}}}")
        rules.append(f"@media(prefers-reduced-motion:reduce){{[class^={prefix}]{{animation:none}}}}")
        body = element("style", "".join(rules)) + "".join(
            one if part[1:] == (0, last) else
            f'<g class="{classes[part[1:]]}" visibility="{"visible" if part.stop == last else "hidden"}">{one}</g>'
            for part, one in zip(self.parts, markup, strict=True)
        )
        return document(self.scene, body, tabindex="0")

    def save(self, path: str | Path, ending: str = ".svg") -> Path:
        """Write the film.

        Args:
            path: ``x.svg`` plays by itself in a browser and in a README; ``x.gif`` plays everywhere; anything
                without an ending is a folder, for the stills: ``000.svg``, ``001.svg``, ...
            ending: of the files in a folder: ``.svg``, ``.png`` or ``.pdf``.

        Raises:
            ValueError: if the path has another ending, or the film is too large for a GIF.
            MissingToolError: for ``.gif``, without Pillow or resvg-py; for stills as in `Drawing.save`.
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind not in (".svg", ".gif", ""):
            raise ValueError(f"save: {path.name!r} ends in {kind}; a film is an .svg or .gif, or a folder of stills")
        content = self.svg.encode() if kind == ".svg" else self.gif() if kind == ".gif" else b""
        (path if not kind else path.parent).mkdir(parents=True, exist_ok=True)
        if kind:
            write_whole(path, content)
        else:
            for j, still in enumerate(self.stills):
                self[still].save(path / f"{j:03}{ending}")
        return path

    def gif(self) -> bytes:
        """The film as an animated GIF, in a loop."""
        try:
            import resvg_py  # noqa: F401  (for the frames, see Drawing.png)
            from PIL import Image
        except ImportError as error:
            raise MissingToolError(f'GIF needs Pillow and resvg-py, and there is no {error.name}: pip install '
                                   '"microgradrnn[gif]". Without them, save as .svg: it plays by itself in every '
                                   "browser.") from None
        zoom = 2 if self.width <= 900 else 1
        if len(self) * self.width * self.height * zoom**2 > MOST_PIXELS:
            size = f"{len(self)} frames of {self.width:.0f} x {self.height:.0f} pixels"
            raise ValueError(f"save: {size} are too much for a GIF; save as .svg, which plays by itself in every "
                             "browser, or take fewer steps or units")

        def pixels(j: int) -> np.ndarray:
            r, g, b = np.asarray(Image.open(io.BytesIO(self[j].png(zoom))).convert("RGB"), dtype=np.int64).T
            return ((r << 16) | (g << 8) | b).T

        colours: Counter[int] = Counter()
        for j in (0, len(self) // 2, len(self) - 1):
            values, counts = np.unique(pixels(j), return_counts=True)
            colours.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        palette = np.array([colour for colour, _ in colours.most_common(256)])  # one for all frames: nothing flickers

        def image(j: int) -> Any:
            shown = pixels(j)
            values, places = np.unique(shown, return_inverse=True)
            nearest = np.abs(channels(values)[:, None] - channels(palette)).sum(2).argmin(1)
            frame = Image.fromarray(nearest.astype(np.uint8)[places.reshape(shown.shape)])
            frame.putpalette(channels(palette).astype(np.uint8).tobytes())
            return frame

        images = map(image, progress(range(len(self)), "frames"))
        buffer = io.BytesIO()
        next(images).save(buffer, format="GIF", save_all=True, append_images=images, loop=0,
                          duration=[round(1000 * s) for s in self.seconds])
        return buffer.getvalue()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return bundle(self.svg, self.width, repr(self), title=self.scene.title, theme=self.scene.theme)

    def __repr__(self) -> str:
        return (f"Frames({len(self.messages)} messages, {len(self)} frames, {sum(self.seconds):.0f} s, "
                f"{self.width:.0f} x {self.height:.0f} pixels)")


def channels(colours: np.ndarray) -> np.ndarray:
    """Red, green and blue of colours written as one number, 0xrrggbb."""
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)
