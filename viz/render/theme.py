"""How pictures look, as data: sizes, fonts, and the colours of roles and of magnitudes.

Roles wear Okabe and Ito's colours, which the colour-blind can tell apart, and always a letter too. Magnitudes wear
cividis, dark blue for little and yellow for much, which keeps its order in grey.

A theme is data, and a picture holds its colours in full, so that every program shows the same. There are two themes,
`DEFAULT` and `DARK`; `recoloured` tells a page how to show the pictures of one in the colours of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

CIVIDIS = (  # matplotlib's cividis at 0, 1/16, ..., 1
    "#00224e", "#002d6b", "#1a386f", "#2f436d", "#404d6b", "#4f576c", "#5d616e", "#696b71", "#757575",
    "#838078", "#918b78", "#a09776", "#afa271", "#bfae6b", "#d0bb61", "#e1c853", "#fee838",
)

TINT = 0.22  # how much of its colour the inside of a box has
LEVELS = 64  # as many colours as magnitudes have: steps too fine to be seen, and few enough to be listed in a page


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
    lane: float = 42
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
    now: str = "#6a3d9a"  # what happens in this frame of a film

    symbols: dict[str, str] = field(default_factory=lambda: {
        "f": "#0072b2", "i": "#009e73", "o": "#e69f00", "g": "#cc79a7", "n": "#cc79a7", "z": "#0072b2", "r": "#009e73",
    })
    roles: dict[str, str] = field(default_factory=lambda: {
        "gate": "#0072b2", "candidate": "#cc79a7", "hidden": "#cc79a7", "cell": "#56b4e9", "input": "#009e73",
        "output": "#e69f00", "loss": "#52606d",
    })
    magnitudes: tuple[str, ...] = CIVIDIS  # from little to much, evenly spaced

    def __repr__(self) -> str:
        """What is not as in the light theme, for a signature holds it.

        >>> Theme(ink="#000000")
        Theme(ink='#000000')
        """
        own = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self)
               if getattr(self, f.name) != getattr(DEFAULT, f.name)]
        return f"Theme({', '.join(own)})"

    def colour(self, symbol: str | None, role: str | None) -> str | None:
        """The colour of a glyph; None for those without a role."""
        if role in ("gate", "candidate") and symbol in self.symbols:
            return self.symbols[symbol]
        return self.roles.get(role or "")

    def magnitude(self, x: float) -> str:
        """The colour of a magnitude at x in 0..1 (`Scale.place`).

        >>> DEFAULT.magnitude(0.0), DARK.magnitude(0.0)
        ('#00224e', '#546b88')
        """
        x = round(min(max(x, 0.0), 1.0) * LEVELS) / LEVELS if x == x else 0.0
        place = x * (len(self.magnitudes) - 1)
        k = min(int(place), len(self.magnitudes) - 2)
        return mixed(self.magnitudes[k], self.magnitudes[k + 1], place - k)

    @property
    def colours(self) -> dict[str, str]:
        """Every colour of the theme, by what it is for."""
        found = {f.name: value for f in fields(self)
                 if isinstance(value := getattr(self, f.name), str) and value.startswith("#")}
        found |= {f"symbols.{key}": value for key, value in self.symbols.items()}
        found |= {f"roles.{key}": value for key, value in self.roles.items()}
        found |= {f"{key}, as a tint": mixed(self.paper, value, TINT) for key, value in found.items()
                  if key == "now" or "." in key}
        return found | {f"magnitude.{j}": self.magnitude(j / LEVELS) for j in range(LEVELS + 1)}


def mixed(one: str, other: str, share: float) -> str:
    """The colour that holds this share of the other.

    >>> mixed("#000000", "#ffffff", 0.5)
    '#808080'
    """
    pairs = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)


def contrast(one: str, other: str) -> float:
    """How well two colours are told apart, from 1 (the same) to 21; 3 is enough for a line, 4.5 for text (WCAG 2).

    >>> contrast("#000000", "#ffffff"), contrast("#777777", "#777777")
    (21.0, 1.0)
    """
    def light(colour: str) -> float:
        linear = (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4
                  for x in (part / 255 for part in bytes.fromhex(colour[1:])))
        return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


DEFAULT = Theme()
DARK = Theme(
    ink="#e4e8ec", faint="#a3afbb", paper="#14181d", tile="#1f252c", rim="#3d4854", wire="#8f9ca9", alarm="#ff7a1a",
    nothing="#7b8794", now="#c0a8ff",
    symbols={"f": "#3aa0e0", "i": "#1fc492", "o": "#f0b128", "g": "#dd93bd", "n": "#dd93bd", "z": "#3aa0e0",
             "r": "#1fc492"},
    roles={"gate": "#3aa0e0", "candidate": "#dd93bd", "hidden": "#dd93bd", "cell": "#7cc7f2", "input": "#1fc492",
           "output": "#f0b128", "loss": "#8f9ca9"},
    # Cividis, its dark end lifted off the dark paper; little is still dark and much still light.
    magnitudes=tuple(mixed(colour, "#ffffff", 0.33 * (1 - j / (len(CIVIDIS) - 1))) for j, colour in enumerate(CIVIDIS)),
)


def need_theme(theme: Theme) -> None:
    """Refuse what is no theme.

    Raises:
        TypeError: and says how a theme is given.

    >>> need_theme("dark")
    Traceback (most recent call last):
    TypeError: theme is a viz.Theme: viz.DARK, or viz.Theme() for the light one; got 'dark'
    """
    if not isinstance(theme, Theme):
        raise TypeError(f"theme is a viz.Theme: viz.DARK, or viz.Theme() for the light one; got {theme!r:.40}")


def recoloured(besides: str = "", shown: Theme = DARK, drawn: Theme = DEFAULT) -> str:
    """Rules of CSS that show pictures drawn in one theme in the colours of another, where they stand in a page.

    Put them into ``@media (prefers-color-scheme: dark) { ... }``; ``besides`` is the selector of what they are not for.
    A rule of CSS beats the ``fill`` and ``stroke`` that an element of SVG says itself, so the pictures stay as they
    are, with their own colours, fit to be saved alone. (Where text stands on a colour of magnitude, leave the picture
    light: which text can be read there depends on the theme.)

    >>> [line for line in recoloured().splitlines() if "#1f2933" in line]
    ['[fill="#1f2933"]{fill:#e4e8ec}[stroke="#1f2933"]{stroke:#e4e8ec}']
    """
    # No "within": what <use> stamps is, for CSS, within nothing.
    unless = f":not({besides} *)" if besides else ""
    pairs = {colour: shown.colours[key] for key, colour in drawn.colours.items()}
    return "\n".join(f'[fill="{old}"]{unless}{{fill:{new}}}[stroke="{old}"]{unless}{{stroke:{new}}}'
                     for old, new in pairs.items())


def cividis(x: float) -> str:
    """The colour at x in 0..1.

    >>> cividis(0), cividis(1)
    ('#00224e', '#fee838')
    """
    return DEFAULT.magnitude(x)


def text_width(text: str, size: float) -> float:
    """About how wide a text is drawn: on the safe side, because whoever looks at an SVG brings their own fonts."""
    narrow, wide = "il.,:;|'()[]! ", "mwMW@%"
    return size * sum(0.36 if c in narrow else 0.95 if c in wide or ord(c) > 0x2E80 else 0.66 for c in text)


def shorten(text: str, longest: int) -> str:
    """The text, cut with … if it is longer than so many characters. Control characters become visible."""
    text = "".join({"\n": "⏎", "\t": "⇥", " ": " "}.get(c, c if c.isprintable() else "�") for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
