"""Memory on text, drawn: a passage shaded by what a net listens to, or every pair of characters as a map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from viz.pictures.legend_old import power_of_ten
from viz.render.drawing import Drawing
from viz.render.markup import document, element, heading, text, title
from viz.scale import Scale
from viz.theme import DEFAULT, Theme, need_theme
from viz.typography import shorten, text_width

MONO = "DejaVu Sans Mono, Menlo, Consolas, Liberation Mono, monospace"


def draw_text(
    strengths: np.ndarray, words: str | Sequence[str], steps: Iterable[int] | None = None, *, width: float = 900,
    scale: Scale | None = None, name: str = "what the net listens to", theme: Theme = DEFAULT,
) -> Drawing:  # fmt: skip
    """The text itself, each character shaded by how much the prediction of the boxed one depends on it.

    Args:
        strengths: (T, T), from `connectivity`.
        words: T + 1 characters (or words): the T that were read, and the last to be predicted. The answer at step t
            is the one that follows it, ``words[t + 1]``.
        steps: which predictions to show, one paragraph each; by default the last.
        width: in pixels, where lines are broken.
        scale: norms to colours; by default the decades of what is shown.
        name: the title.
        theme: sizes and colours.

    Raises:
        ValueError: if sizes do not fit, or a step is not there.

    >>> draw_text(np.tril(np.ones((3, 3))), "abcd").svg.count(">d</text>")
    1
    """
    need_theme(theme)
    tokens, C = checked("draw_text", strengths, words)
    shown = [len(C) - 1] if steps is None else [int(t) for t in steps]
    if not shown or not all(0 <= t < len(C) for t in shown):
        raise ValueError(f"draw_text: steps lie in 0..{len(C) - 1}, got {shown}")
    scale = scale or Scale.of((g for t in shown for g in C[t]), widest=8)
    parts = [heading(16, 28, name)[0]]
    y, right = 44.0, 0.0
    for t in shown:
        said, edge, y = paragraph(tokens, C[t], t, y, width, scale, theme)
        parts.append(said)
        y, right = y + 18, max(right, edge)
    drawn = np.concatenate([C[t, : t + 1] for t in shown])
    markup, y = legend(scale, drawn, y + 4, theme, "‖∂ logit of the boxed one / ∂x‖₂")
    return document("".join([*parts, markup]), max(right + 16, 620.0), y, theme, name)


def checked(who: str, strengths: np.ndarray, words: str | Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The words as a list, and the strengths, if they fit together."""
    C, tokens = np.asarray(strengths, float), list(words)
    if C.ndim != 2 or C.shape[0] != C.shape[1] or not len(C):
        raise ValueError(f"{who}: strengths are (T, T), from viz.connectivity; got shape {C.shape}")
    if len(tokens) != len(C) + 1:
        raise ValueError(f"{who}: for {len(C)} steps there are {len(C) + 1} characters (or words): those read, and the "
                         f"last, which is only predicted; got {len(tokens)}")
    return tokens, C


def paragraph(tokens: list[str], row: np.ndarray, t: int, y: float, width: float, scale: Scale,
              theme: Theme) -> tuple[str, float, float]:
    """One prediction: what was read before it, shaded, and the right answer in a box; its right and lower edges."""
    size, height, x, left = 13.0, 21.0, 16.0, 16.0
    single = all(len(token) == 1 for token in tokens)
    unit = size * 0.66
    last = max(t + 1, max((k for k in range(len(row)) if row[k] > 0), default=0))  # a net may read backwards too
    parts, right = [], left
    for k in range(last + 1):
        shown = visible(tokens[k])
        wide = unit * max(len(shown), 1) + (0 if single else 6)
        if x + wide > width - 16 and x > left:
            x, y = left, y + height + 3
        middle = x + wide / 2
        if k == t + 1:
            parts.append(element("rect", x=x + 2, y=y, width=wide + 2, height=height, rx=2, fill=theme.paper,
                                 stroke=theme.ink, stroke_width=1.8))
            parts.append(text(middle + 3, y + 15, shown if shown != " " else "␣", font_family=MONO, font_weight="bold"))
            x += 6
        elif k < len(row):
            note = title(f"{tokens[k]!r} (step {k}): {row[k]:.4g}, for {tokens[t + 1]!r} (step {t})")
            parts.append(cell(note, row[k], x, y, wide, height, scale, theme))
            if shown != " ":
                ink = theme.ink if row[k] == 0 else ink_on(ground(row[k], scale, theme))
                parts.append(text(middle, y + 15, shown, font_family=MONO, fill=ink))
        x += wide
        right = max(right, x)
        if tokens[k].endswith("\n"):
            x, y = left, y + height + 3
    return "".join(parts), right, y + height + (0 if x > left else -height - 3)


def visible(token: str) -> str:
    r"""A token as it is drawn: line ends, tabs and control characters can be seen.

    >>> visible("\n"), visible("\t"), visible("a")
    ('⏎', '⇥', 'a')
    """
    return shorten(token, 24)


def cell(note: str, g: float, x: float, y: float, width: float, height: float, scale: Scale, theme: Theme) -> str:
    """The ground of one character. Exactly zero has none, but dots; what is not finite is vermillion."""
    if g == 0:
        return element("line", note, x1=x + 1.5, y1=y + height - 1.5, x2=x + width - 0.5, y2=y + height - 1.5,
                       stroke=theme.nothing, stroke_width=1.4, stroke_dasharray="1.5 2")
    return element("rect", note, x=x, y=y, width=width + 0.2, height=height, fill=ground(g, scale, theme),
                   shape_rendering="crispEdges")


def ink_on(colour: str) -> str:
    """Black or white, whichever can be read on the colour.

    >>> ink_on("#fee838"), ink_on("#00224e")
    ('#111111', '#ffffff')
    """
    red, green, blue = bytes.fromhex(colour[1:])
    return "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < 128 else "#111111"


def ground(g: float, scale: Scale, theme: Theme) -> str:
    """The colour of a number that is not zero."""
    return theme.magnitude(scale.place(g)) if np.isfinite(g) else theme.alarm


# ------------------------------------------------------------------------------------------------ all pairs
def draw_text_map(
    strengths: np.ndarray, words: str | Sequence[str], *, scale: Scale | None = None,
    name: str = "which step listens to which", theme: Theme = DEFAULT,
) -> Drawing:  # fmt: skip
    """All pairs of steps as a heat map, the text along both axes: a row for each answer, a column for each step read.

    Args:
        strengths, words, scale, name, theme: as in `draw_text`.

    Raises:
        ValueError: if sizes do not fit.

    >>> draw_text_map(np.tril(np.ones((3, 3))), "abcd").svg.count(">d</text>")
    1
    """
    need_theme(theme)
    tokens, C = checked("draw_text_map", strengths, words)
    scale = scale or Scale.of(C[C > 0].tolist(), widest=8)
    T = len(C)
    unit = min(max(820.0 / T, 6.0), 18.0)
    rim = 8 + max(text_width(visible(token), min(unit, 13.0)) for token in tokens)
    left, top = 16 + rim, 62 + rim
    said = "a row for each right answer, top down; a column for each step read, from the left"
    parts = [heading(16, 28, name)[0],
             text(16, 48, said, anchor="start", font_size="12", fill=theme.faint),
             element("rect", x=left, y=top, width=unit * T, height=unit * T, fill=theme.tile)]
    parts.extend(squares(C, left, top, unit, scale, theme))
    size = f"{min(unit, 13.0):.1f}"
    for k in range(T):
        here, there = (visible(token) if token != " " else "␣" for token in tokens[k:k + 2])
        x, y = left + (k + 0.5) * unit, top + (k + 0.5) * unit + 0.35 * unit
        if len(here) == 1:
            parts.append(text(x, top - 5, here, font_size=size, font_family=MONO))
        else:
            parts.append(text(0, 0, here, anchor="start", font_size=size, font_family=MONO,
                              transform=f"translate({x + 0.35 * unit:.1f},{top - 5:.1f}) rotate(-90)"))
        parts.append(text(left - 5, y, there, anchor="end", font_size=size, font_family=MONO))
    drawn = C[np.tril_indices(T)]  # what lies ahead is simply not read yet
    markup, bottom = legend(scale, drawn, top + unit * T + 18, theme, "‖∂ logit of the right answer / ∂x‖₂",
                            "" if C[np.triu_indices(T, 1)].any() else "; empty: not read yet")
    return document("".join([*parts, markup]), max(left + unit * T + 16, 620.0), bottom, theme, name)


def squares(C: np.ndarray, left: float, top: float, unit: float, scale: Scale, theme: Theme) -> Iterator[str]:
    """The squares, one path for each colour: a rectangle apiece would be a megabyte for 150 steps."""
    paths: dict[str, list[str]] = {}
    dots = ""
    for (t, k), g in np.ndenumerate(C):
        if g == 0:
            if k <= t:  # what lies ahead is simply not read yet: there the ground shows
                dots += f"M{left + (k + 0.5) * unit - 0.7:.1f},{top + (t + 0.5) * unit:.1f}h1.4"
            continue
        square = f"M{left + k * unit:.1f},{top + (t + 0.5) * unit:.1f}h{unit:.1f}"
        paths.setdefault(ground(float(g), scale, theme), []).append(square)
    for colour, d in paths.items():
        yield element("path", d="".join(d), stroke=colour, stroke_width=unit + 0.3, shape_rendering="crispEdges")
    if dots:
        yield element("path", d=dots, stroke=theme.nothing, stroke_width=1.4)


def legend(scale: Scale, values: np.ndarray, y: float, theme: Theme, what: str, more: str = "") -> tuple[str, float]:
    """The colours, decade by decade, and how zero and NaN look, if they are there. Returns the lower edge too."""
    left, unit = 34.0, 52.0
    parts = [text(16, y + 10, f"colour: {what}, log scale{more}", anchor="start", font_size="12")]
    y += 20
    decades = scale.high - scale.low
    for j in range(8 * decades):
        parts.append(element("rect", x=left + j * unit / 8, y=y, width=unit / 8 + 0.3, height=12.0,
                             fill=theme.magnitude(scale.place(10 ** (scale.low + (j + 0.5) / 8))),
                             shape_rendering="crispEdges"))
    for j, decade in enumerate(scale.decades):
        parts.append(power_of_ten(left + j * unit, y + 27, decade, "≤ " * (j == 0), font_size="11"))
    x = left + unit * decades + 24
    if (values == 0).any():
        parts.append(element("line", x1=x, y1=y + 11, x2=x + 14, y2=y + 11, stroke=theme.nothing, stroke_width=1.4,
                             stroke_dasharray="1.5 2"))
        parts.append(text(x + 20, y + 10, "exactly zero", anchor="start", font_size="11"))
        x += 116
    if not np.isfinite(values).all():
        parts.append(element("rect", x=x, y=y, width=14, height=12, fill=theme.alarm))
        parts.append(text(x + 20, y + 10, "NaN or infinite", anchor="start", font_size="11"))
    return "".join(parts), y + 42
