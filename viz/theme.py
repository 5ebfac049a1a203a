"""How pictures look, as data: sizes, fonts, and the colours of roles and of magnitudes.

Roles wear Okabe and Ito's colours, which the colour-blind can tell apart, and always a letter too. Magnitudes wear
cividis, dark blue for little and yellow for much, which keeps its order in grey.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CIVIDIS = (  # matplotlib's cividis at 0, 1/16, ..., 1
    "#00224e", "#002d6b", "#1a386f", "#2f436d", "#404d6b", "#4f576c", "#5d616e", "#696b71", "#757575",
    "#838078", "#918b78", "#a09776", "#afa271", "#bfae6b", "#d0bb61", "#e1c853", "#fee838",
)


@dataclass(frozen=True)
class Theme:
    """Sizes in pixels, colours as ``#rrggbb``."""

    font: str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
    size: float = 13
    small: float = 11
    box_height: float = 28
    radius: float = 11
    row: float = 54
    gap: float = 14
    lane: float = 20
    between: float = 50  # between two tiles: room for the name of a state and its number
    margin: float = 16

    ink: str = "#1f2933"
    faint: str = "#66727f"
    paper: str = "#ffffff"
    tile: str = "#f3f5f7"
    rim: str = "#d3dae1"
    wire: str = "#52606d"
    alarm: str = "#d55e00"  # NaN and infinity
    nothing: str = "#9aa5b1"  # exactly zero

    symbols: dict[str, str] = field(default_factory=lambda: {
        "f": "#0072b2", "i": "#009e73", "o": "#e69f00", "g": "#cc79a7", "n": "#cc79a7", "z": "#0072b2", "r": "#009e73",
    })
    roles: dict[str, str] = field(default_factory=lambda: {
        "gate": "#0072b2", "candidate": "#cc79a7", "hidden": "#cc79a7", "cell": "#56b4e9", "input": "#009e73",
        "output": "#e69f00", "loss": "#52606d",
    })

    def colour(self, symbol: str | None, role: str | None) -> str | None:
        """The colour of a glyph; None for those without a role."""
        if role in ("gate", "candidate") and symbol in self.symbols:
            return self.symbols[symbol]
        return self.roles.get(role or "")


DEFAULT = Theme()


def cividis(x: float) -> str:
    """The colour at x in 0..1.

    >>> cividis(0), cividis(1)
    ('#00224e', '#fee838')
    """
    place = min(max(x, 0.0), 1.0) * (len(CIVIDIS) - 1)
    k = min(int(place), len(CIVIDIS) - 2)
    low, high = (bytes.fromhex(CIVIDIS[j][1:]) for j in (k, k + 1))
    mixed = (round(a + (place - k) * (b - a)) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def text_width(text: str, size: float) -> float:
    """About how wide a text is drawn: on the safe side, because whoever looks at an SVG brings their own fonts."""
    narrow, wide = "il.,:;|'()[]! ", "mwMW@%"
    return size * sum(0.36 if c in narrow else 0.95 if c in wide or ord(c) > 0x2E80 else 0.66 for c in text)


def shorten(text: str, longest: int) -> str:
    """The text, cut with … if it is longer than so many characters. Control characters become visible."""
    text = "".join({"\n": "⏎", "\t": "⇥", " ": " "}.get(c, c if c.isprintable() else "�") for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
