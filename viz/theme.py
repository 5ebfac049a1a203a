"""How pictures look, as data: sizes, fonts, and the colours of roles and of magnitudes.

Roles have the hues of Okabe and Ito's palette and always a letter too. Their lightness differs, so that any two that
touch can be told apart in grey and with any colour deficiency (a contrast of at least 1.5). Magnitudes use cividis,
dark blue for little and yellow for much. Changes, which are compared with 1, go from blue (vanishing) over grey to
orange (exploding); both ramps keep their order in grey.

A theme is data, and a picture holds its colours in full, so that every program shows the same. `set_theme` chooses the
theme of all pictures and plots; `recoloured` tells a page how to show the pictures of one in the colours of another.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

CIVIDIS = (  # matplotlib's cividis at 0, 1/16, ..., 1
    "#00224e", "#002d6b", "#1a386f", "#2f436d", "#404d6b", "#4f576c", "#5d616e", "#696b71", "#757575",
    "#838078", "#918b78", "#a09776", "#afa271", "#bfae6b", "#d0bb61", "#e1c853", "#fee838",
)

CHANGES = ("#0d1f5c", "#1c3a80", "#2b55a3", "#567099", "#808b98", "#d9822b", "#ffb000")  # at 0, 1/6, ..., 1

NARROWEST = 320  # no page is narrower: a scale and a title must have room
TINT = 0.22  # how much of its colour the inside of a box has
LEVELS = 60  # as many colours as magnitudes have: steps too fine to be seen, and few enough to be listed in a page


COLOUR = re.compile("#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Theme:
    """Sizes in pixels, colours as ``#rrggbb``.

    Raises:
        TypeError, ValueError: if a size is no positive number, the page is narrower than 320 pixels, or a colour is
            written in another way.

    >>> theme = Theme(page=390)
    >>> theme.page, theme.size
    (390, 13)
    """

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
    page: float = 1280  # the width that pictures are made for: a slide 1280, a README 830, a phone 390

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
        "f": "#03294d", "i": "#008555", "o": "#b09d09", "g": "#823068", "n": "#823068", "z": "#03294d", "r": "#008555",
    })
    roles: dict[str, str] = field(default_factory=lambda: {
        "gate": "#03294d", "candidate": "#823068", "hidden": "#823068", "cell": "#a5cae9", "input": "#008555",
        "output": "#b09d09", "loss": "#52606d",
    })
    magnitudes: tuple[str, ...] = CIVIDIS  # from little to much, evenly spaced
    changes: tuple[str, ...] = CHANGES  # from vanishing to exploding; 1 is two thirds of the way

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(one.default, (int, float)):
                least = NARROWEST if one.name == "page" else 0
                if not isinstance(value, (int, float)):
                    raise TypeError(f"theme: {one.name} is a number of pixels; got {value!r:.40}")
                if not least <= value < math.inf or value == 0:
                    raise ValueError(f"theme: {one.name} is a number of pixels, "
                                     f"{f'at least {least}' if least else 'more than 0'}; got {value!r:.40}")
            elif one.name != "font":
                ramp = isinstance(value, tuple)
                for colour in value.values() if isinstance(value, dict) else value if ramp else (value,):
                    if not (isinstance(colour, str) and COLOUR.fullmatch(colour)):
                        raise ValueError(f"theme: a colour is written as #rrggbb; {one.name} has {colour!r:.40}")
                if ramp and len(value) < 2:
                    raise ValueError(f"theme: {one.name} needs two colours or more, from little to much")

    def __repr__(self) -> str:
        """What is not as in the light theme, for a signature holds it.

        >>> Theme(ink="#000000")
        Theme(ink='#000000')
        """
        own = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self)
               if getattr(self, f.name) != getattr(DEFAULT, f.name)]
        return f"Theme({', '.join(own)})"

    def colour(self, symbol: str | None, role: str | None) -> str | None:
        """The colour of a glyph; None for those without a role. Gates of one kind, i and i2, have one colour."""
        kind = (symbol or "").rstrip("0123456789_{}")
        if role in ("gate", "candidate") and kind in self.symbols:
            return self.symbols[kind]
        return self.roles.get(role or "")

    def magnitude(self, x: float) -> str:
        """The colour of a magnitude at x in 0..1 (`Scale.place`).

        >>> DEFAULT.magnitude(0.0), DARK.magnitude(0.0)
        ('#00224e', '#546b88')
        """
        return on_ramp(self.magnitudes, x)

    def change(self, x: float) -> str:
        """The colour of what is compared with 1, at x in 0..1; 1 is at two thirds.

        >>> DEFAULT.change(0.0), DEFAULT.change(2 / 3), DEFAULT.change(1.0)
        ('#0d1f5c', '#808b98', '#ffb000')
        """
        return on_ramp(self.changes, x)

    def carried(self, tenth: int) -> str:
        """The colour of a share that was carried over, in tenths.

        >>> DEFAULT.carried(0) == DEFAULT.tile, DEFAULT.carried(10)
        (True, '#698297')
        """
        return mixed(self.tile, mixed(self.roles.get("cell", self.wire), self.ink, 0.45), tenth / 10)

    @property
    def colours(self) -> dict[str, str]:
        """Every colour of the theme, by what it is for."""
        found = {f.name: value for f in fields(self)
                 if isinstance(value := getattr(self, f.name), str) and value.startswith("#")}
        found |= {f"symbols.{key}": value for key, value in self.symbols.items()}
        found |= {f"roles.{key}": value for key, value in self.roles.items()}
        found |= {f"{key}, as a tint": mixed(self.paper, value, TINT) for key, value in found.items()
                  if key == "now" or "." in key}
        found |= {f"carried.{tenth}": self.carried(tenth) for tenth in range(1, 11)}
        found |= {f"magnitude.{j}": self.magnitude(j / LEVELS) for j in range(LEVELS + 1)}
        return found | {f"change.{j}": self.change(j / LEVELS) for j in range(LEVELS + 1)}


def on_ramp(colours: Sequence[str], x: float) -> str:
    """The colour at x in 0..1 of a ramp of evenly spaced colours; NaN is like 0."""
    x = round(min(max(x, 0.0), 1.0) * LEVELS) / LEVELS if x == x else 0.0
    place = x * (len(colours) - 1)
    k = min(int(place), len(colours) - 2)
    return mixed(colours[k], colours[k + 1], place - k)


def mixed(one: str, other: str, share: float) -> str:
    """The colour that holds this share of the other.

    >>> mixed("#000000", "#ffffff", 0.5)
    '#808080'
    """
    pairs = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)


def compact(theme: Theme, gap: float = 10) -> Theme:
    """The same theme, set closer: where much must stand on one page. The smaller the gap, the narrower are cells."""
    return replace(theme, size=max(theme.size - 2, theme.small), box_height=24, radius=9.5, row=46, gap=gap, lane=36,
                   between=46)


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
    symbols={"f": "#074a7b", "i": "#1baa7e", "o": "#f7edd7", "g": "#a0548d", "n": "#a0548d", "z": "#074a7b",
             "r": "#1baa7e"},
    roles={"gate": "#074a7b", "candidate": "#a0548d", "hidden": "#a0548d", "cell": "#8dc1e9", "input": "#1baa7e",
           "output": "#f7edd7", "loss": "#8f9ca9"},
    changes=("#3d5bd0", "#4e71d7", "#5f86dd", "#849dcf", "#a9b4c0", "#ffb04d", "#ffe08a"),
    # Cividis, its dark end lifted off the dark paper; little is still dark and much still light.
    magnitudes=tuple(mixed(colour, "#ffffff", 0.33 * (1 - j / (len(CIVIDIS) - 1))) for j, colour in enumerate(CIVIDIS)),
)


THEMES = {
    "light": DEFAULT,
    "dark": DARK,
    "slides": replace(DEFAULT, size=15, small=13),
    "print": replace(DEFAULT, tile="#ffffff", rim="#9aa5b1", faint="#3e4c59"),
}
_CHOSEN: list[Theme] = [DEFAULT]
_LOCK = threading.Lock()


def set_theme(theme: str | Theme = "light", **changes: Any) -> Theme:
    """Choose the theme of all pictures and plots that are drawn from now on.

    Args:
        theme: ``"light"``, ``"dark"``, ``"slides"`` (larger letters), ``"print"`` (no grey grounds), or a `Theme`.
        changes: fields of the theme that are to be different, ``font_size=15`` or ``page=830``.

    Returns:
        The theme. ``set_theme()`` goes back to the light one.

    Raises:
        TypeError: if the theme is none, or has no such field, or a field is given twice.
        ValueError: if there is no theme of that name, or a size or a colour is none (see `Theme`).

    >>> set_theme("dark", font_size=16).size
    16
    >>> set_theme() == Theme()
    True
    """
    if "font_size" in changes:
        if "size" in changes:
            raise TypeError("set_theme: font_size and size are the same; give one of them")
        changes["size"] = changes.pop("font_size")
    known = [f.name for f in fields(Theme)]
    if unknown := [name for name in changes if name not in known]:
        raise TypeError(f"set_theme: a theme has no {unknown[0]!r}; it has font_size, {', '.join(known)}")
    chosen = replace(need_theme(theme), **changes) if changes else need_theme(theme)
    with _LOCK:
        _CHOSEN[:] = [chosen]
    return chosen


def need_theme(theme: str | Theme | None = None) -> Theme:
    """The theme that is meant: by name, or the one that `set_theme` chose.

    Raises:
        TypeError, ValueError: and says how a theme is given.

    >>> need_theme("dark") is DARK, need_theme() is DEFAULT
    (True, True)
    >>> need_theme("night")
    Traceback (most recent call last):
    ValueError: theme: there is no 'night'; it is 'light', 'dark', 'slides', 'print', or a viz.Theme
    """
    if theme is None:
        return _CHOSEN[0]
    if isinstance(theme, str):
        if theme not in THEMES:
            raise ValueError(f"theme: there is no {theme!r:.40}; it is {', '.join(map(repr, THEMES))}, or a viz.Theme")
        return THEMES[theme]
    if not isinstance(theme, Theme):
        raise TypeError(f"theme is {', '.join(map(repr, THEMES))}, or a viz.Theme; got {theme!r:.40}")
    return theme


def in_the_colours_of(shown: Theme, drawn: Theme = DEFAULT) -> dict[str, str]:
    """For each colour of one theme, the colour that means the same in another.

    >>> in_the_colours_of(DARK)["#1f2933"]
    '#e4e8ec'
    """
    return {colour: shown.colours[key] for key, colour in drawn.colours.items()}


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
    return "\n".join(f'[fill="{old}"]{unless}{{fill:{new}}}[stroke="{old}"]{unless}{{stroke:{new}}}'
                     for old, new in in_the_colours_of(shown, drawn).items())
