"""Memory on text, drawn: a passage shaded by what a net listens to, or every pair of characters as a map."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np

from viz.layout.geometry import Point, Route
from viz.numbers import short
from viz.render.drawing import Drawing
from viz.scale import Scale, need_scale
from viz.scene.chart import SMALL, Block, column, heading, ink_on, legend
from viz.scene.items import Area, Box, Item, Scene, Text, Wire, line, rectangle
from viz.scene.wires import off_the_scale
from viz.theme import Theme, need_theme
from viz.typography import MONO, cells, shorten, text_width

SIZE, ROW, BETWEEN = 13.0, 21.0, 3.0  # of letters, of their grounds, between two lines
LONGEST, MOST = 1000, 12  # characters before a prediction, and predictions, in one picture
TOKEN = 24  # columns of the longest word
FINEST, LARGEST = 4.0, 820.0  # of the map: the smallest square, and the widest map
DECADES = 8


def draw_text(
    strengths: np.ndarray, words: str | Sequence[str], steps: Iterable[int] | None = None, *,
    scale: Scale | None = None, name: str | None = None, theme: Theme | str | None = None,
) -> Drawing:  # fmt: skip
    """The text itself, each character shaded by how much the prediction of the boxed one depends on it.

    Of a long text the last thousand characters before a prediction are drawn, and of many predictions the first twelve;
    a line below says what is left out.

    Args:
        strengths: (T, T), from `connectivity`.
        words: T + 1 characters (or words): the T that were read, and the last to be predicted. The answer at step t
            is the one that follows it, ``words[t + 1]``.
        steps: which predictions to show, one paragraph each; by default the last.
        scale: norms to colours; by default the decades of what is shown.
        name: what the net is called.
        theme: a name or a `Theme`; by default that of `set_theme`. Lines are broken at its page.

    Raises:
        ValueError: if sizes do not fit, or a step is not there.

    >>> draw_text(np.tril(np.ones((3, 3))), "abcd", name="GRU").scene.title
    'Before “d”, GRU depends most on “a”, 3 characters back'
    """
    theme = need_theme(theme)
    need_scale("draw_text", scale)
    tokens, C = checked("draw_text", strengths, words)
    asked = list[int]()
    for t in [len(C) - 1] if steps is None else steps:  # stops at the first that is not there
        if not 0 <= t < len(C):
            raise ValueError(f"draw_text: steps lie in 0..{len(C) - 1}, got {t}")
        asked.append(int(t))
    if not asked:
        raise ValueError("draw_text: steps holds no prediction to show")
    shown = asked[:MOST]
    scale = scale or Scale.of((g for t in shown for g in C[t]), widest=DECADES)
    width = theme.page - 2 * theme.margin
    blocks = [passage(tokens, C[t], t, width, scale, theme) for t in shown]
    notes = [before for t in shown if (before := left_out(tokens, C[t], t))]
    if len(asked) > MOST:
        notes.append(f"The first {MOST} of {len(asked)} predictions are drawn.")
    drawn = np.concatenate([C[t, :extent(C[t], t)] for t in shown])
    title = listens(tokens, C, shown[-1], name or "the net")
    what = f"how much the right answer, in a box, depends on each {kind(tokens)} read: ‖∂ logit / ∂x‖₂ (log scale)"
    key = legend(scale, what, off_the_scale(drawn.tolist()), notes, width, theme, wires=False)
    block = column([heading(title, width, theme, reaches(C, shown, tokens)), *blocks, key], gap=16)
    return Drawing.of(Scene([block.at(theme.margin, theme.margin)], block.width + 2 * theme.margin,
                            block.height + 2 * theme.margin, title, f"{reaches(C, shown, tokens)} Shown is {what}.",
                            theme))


def checked(who: str, strengths: np.ndarray, words: str | Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The words as a list, and the strengths, if they fit together."""
    C, tokens = np.asarray(strengths, float), list(words)
    if C.ndim != 2 or C.shape[0] != C.shape[1] or not len(C):
        raise ValueError(f"{who}: strengths are (T, T), from viz.connectivity; got shape {C.shape}")
    if len(tokens) != len(C) + 1:
        raise ValueError(f"{who}: for {len(C)} steps there are {len(C) + 1} characters (or words): those read, and the "
                         f"last, which is only predicted; got {len(tokens)}")
    return tokens, C


# ------------------------------------------------------------------------------------------------ in words
def kind(tokens: Sequence[str]) -> str:
    """What one token is called."""
    return "character" if all(len(token) == 1 for token in tokens) else "word"


def quoted(token: str) -> str:
    """A token as part of a sentence."""
    return f"“{'␣' if token == ' ' else shorten(token, TOKEN)}”"


def listens(tokens: Sequence[str], C: np.ndarray, t: int, net: str) -> str:
    """What the prediction at a step depends on most."""
    row = C[t]
    there = np.isfinite(row)
    before = f"Before {quoted(tokens[t + 1])}"
    if not there.any():
        return f"{before}, nothing that {net} listens to is finite"
    most = int(np.argmax(np.where(there, row, -1.0)))
    if row[most] == 0:
        return f"{before}, {net} listens to nothing: all strengths are exactly zero"
    back = t + 1 - most
    place = f"{back} {kind(tokens)}{'s' * (back > 1)} back" if back > 0 else f"{-back} ahead" if back else "the answer"
    return f"{before}, {net} depends most on {quoted(tokens[most])}, {place}"


def span(row: np.ndarray, t: int) -> int | None:
    """How many steps, the last ones read, hold nine tenths of the sum of strengths; None without a finite sum.

    >>> span(np.array([1.0, 0.0, 9.0]), 2), span(np.zeros(3), 2)
    (1, None)
    """
    past = row[t::-1]
    whole = float(past.sum())
    return int(np.searchsorted(np.cumsum(past), 0.9 * whole)) + 1 if 0 < whole < math.inf else None


def reaches(C: np.ndarray, steps: Iterable[int], tokens: Sequence[str]) -> str:
    """How far back nine tenths of the strength reach, over some predictions."""
    found = sorted(n for t in steps if (n := span(C[t], t)) is not None)
    if not found:
        return ""
    few, most = found[0], found[-1]
    many = f"{few} to {most}" if few < most else f"{few}"
    of = f", over {len(found)} predictions" if len(found) > 1 else ""
    return f"90 % of the strength lies in the last {many} {kind(tokens)}{'s' * (most > 1)} read{of}."


def left_out(tokens: Sequence[str], row: np.ndarray, t: int) -> str:
    """What stands before the part that is drawn; empty if nothing does."""
    n = start_of(t)
    if not n:
        return ""
    return (f"{n} {kind(tokens)}s before those drawn for {quoted(tokens[t + 1])} (step {t}) are left out; the "
            f"strongest of them has {short(float(row[:n].max()))}.")


# ------------------------------------------------------------------------------------------------ one prediction
def start_of(t: int) -> int:
    """The first step that is drawn before a prediction."""
    return max(0, t + 1 - LONGEST)


def extent(row: np.ndarray, t: int) -> int:
    """Up to which step tokens are drawn: past the prediction only where the net listens, as it reads backwards too."""
    return max(t + 1, int(np.flatnonzero(row)[-1]) + 1 if row.any() else 0)


def passage(tokens: Sequence[str], row: np.ndarray, t: int, width: float, scale: Scale, theme: Theme) -> Block:
    """One prediction: what was read before it, shaded, and the right answer in a box."""
    padding = 0.0 if kind(tokens) == "character" else 6.0
    items: list[Item] = []
    letters: list[tuple[str, float, float, float, str]] = []  # text, x, width, baseline and ink
    x = y = right = 0.0
    last = min(max(extent(row, t), t + 2), start_of(t) + 2 * LONGEST)
    for k in range(start_of(t), last):
        shown = shorten(tokens[k], TOKEN)
        wide = SIZE * MONO * max(cells(shown), 1) + padding
        room = wide + (6 if k == t + 1 else 0)
        if x + room > width and x > 0:
            x, y = 0.0, y + ROW + BETWEEN
        if k == t + 1:
            items.append(Box(x + 2, y, wide + 2, ROW, 2, fill=theme.paper, stroke=theme.ink, stroke_width=1.8,
                             key=("answer", t)))
            letters.append((shown if shown != " " else "␣", x + 3, wide, y + 15, ""))
        elif k < len(row):
            items.append(ground(float(row[k]), x, y, wide, scale, theme, ("heat", t, k),
                                f"{shown} (step {k}): {short(float(row[k]))}, for {quoted(tokens[t + 1])} (step {t})"))
            fill = shade(float(row[k]), scale, theme)
            letters.append((shown, x, wide, y + 15, theme.ink if fill is None else ink_on(fill)))
        x += room
        right = max(right, x)
        if tokens[k].endswith("\n"):
            x, y = 0.0, y + ROW + BETWEEN
    return Block(items + list(runs(letters, padding)), right, y + ROW - (ROW + BETWEEN) * (x == 0))


def runs(letters: Sequence[tuple[str, float, float, float, str]], padding: float) -> Iterator[Text]:
    """Letters that follow each other, on one line and in one ink, as one text each; at most a word.

    Letters are a little narrower than the grounds that they stand on, in some fonts more than in others. In the middle
    of its grounds a word is never far off.
    """
    def together(one: tuple[int, tuple[str, float, float, float, str]]) -> tuple[object, ...]:
        j, (shown, _, _, y, ink) = one
        plain = len(shown) == 1 and cells(shown) == 1 and not padding and ink and shown.isascii()
        return (y, ink, shown == " ") if plain else (j,)

    for _, run in groupby(enumerate(letters), together):
        found = [letter for _, letter in run]
        words = "".join(letter[0] for letter in found)
        if words.strip():
            (_, left, _, y, ink), (_, x, wide, _, _) = found[0], found[-1]
            yield Text((left + x + wide) / 2, y, words, SIZE, "middle", bold=not ink, mono=True, fill=ink or None)


def shade(g: float, scale: Scale, theme: Theme) -> str | None:
    """The colour of a number; None for zero."""
    return None if g == 0 else scale.colour(g, theme) if math.isfinite(g) else theme.alarm


def ground(g: float, x: float, y: float, wide: float, scale: Scale, theme: Theme, key: tuple[object, ...],
           note: str) -> Item:  # fmt: skip
    """What one token stands on. Exactly zero has no ground, but dots; what is not finite is vermillion."""
    if g == 0:
        return line(x + 1.5, y + ROW - 1.5, x + wide - 0.5, y + ROW - 1.5, stroke=theme.nothing, stroke_width=1.4,
                    dashes="1.5 2", key=key, datum=0.0, note=note)
    return Box(x, y, wide + 0.2, ROW, fill=shade(g, scale, theme), crisp=True, key=key, datum=g, note=note)


# ------------------------------------------------------------------------------------------------ all pairs
def draw_text_map(
    strengths: np.ndarray, words: str | Sequence[str], *, scale: Scale | None = None, name: str | None = None,
    theme: Theme | str | None = None,
) -> Drawing:  # fmt: skip
    """All pairs of steps as a heat map, the text along both axes: a row for each answer, a column for each step read.

    Of a long text a square is the largest of several pairs, and only every so often a piece of the text is written.

    Args:
        strengths, words, scale, name, theme: as in `draw_text`.

    Raises:
        ValueError: if sizes do not fit.

    >>> draw_text_map(np.tril(np.ones((3, 3))), "abcd").scene.title
    'The net listens back furthest at “d”: 90 % of the strength lies in the last 3 characters'
    """
    theme = need_theme(theme)
    need_scale("draw_text_map", scale)
    tokens, C = checked("draw_text_map", strengths, words)
    scale = scale or Scale.of(C[C > 0].tolist(), widest=DECADES)
    T, width = len(C), theme.page - 2 * theme.margin
    room = min(LARGEST, width - 60)
    apart = SMALL + 3 if room / T < SMALL + 2 else 0.0  # of labels, where there is no room for all
    longest = 14 if apart else TOKEN
    called = [label(tokens, k, longest, bool(apart)) for k in range(T + 1)]
    rim = 10 + max(text_width(words, SMALL, mono=True) for words in called)
    room = min(LARGEST, width - rim)
    per = max(1, math.ceil(T * FINEST / room))
    unit = min(room / math.ceil(T / per), 18.0)
    n = math.ceil(T / per)
    said = [f"A row for each right answer, from the top; a column for each {kind(tokens)} read, from the left."]
    if not C[np.triu_indices(T, 1)].any():
        said.append("Empty: not read yet.")
    if per > 1:
        said.append(f"A square is the largest of {per} × {per} pairs.")
    items: list[Item] = [Box(rim, rim, unit * n, unit * n, fill=theme.tile), *squares(C, per, rim, unit, scale, theme)]
    every = max(1, math.ceil(apart / (unit / per)))
    for k in range(0, T, every):
        at = rim + (k + 0.5) * unit / per
        here, there = called[k], called[k + 1]
        if len(here) == 1:
            items.append(Text(at, rim - 6, here, SMALL, "middle", mono=True, key=("read", k)))
        else:
            items.append(Text(at + 4, rim - 6, here, SMALL, mono=True, turn=-90, key=("read", k)))
        items.append(Text(rim - 6, at + 4, there, SMALL, "end", mono=True, key=("answer", k)))
    title = furthest(tokens, C, name or "the net")
    drawn = C[np.tril_indices(T)].tolist()  # what lies ahead is simply not read yet
    key = legend(scale, "how much the score of the right answer depends on what was read: ‖∂ logit / ∂x‖₂ (log scale)",
                 off_the_scale(drawn), (), width, theme, wires=False)
    block = column([heading(title, width, theme, " ".join(said)), Block(items, rim + unit * n, rim + unit * n), key],
                   gap=16)
    return Drawing.of(Scene([block.at(theme.margin, theme.margin)], block.width + 2 * theme.margin,
                            block.height + 2 * theme.margin, title,
                            f"{reaches(C, range(T), tokens)} {' '.join(said)}", theme))


def label(tokens: Sequence[str], k: int, longest: int, piece: bool) -> str:
    """What stands at a step: its token; or, where not all have room, its number and a piece of the text."""
    if not piece:
        return "␣" if tokens[k] == " " else shorten(tokens[k], longest)
    around = "".join(tokens[k:k + longest]) if kind(tokens) == "character" else tokens[k]
    return f"{k} {shorten(around, longest)}"


def furthest(tokens: Sequence[str], C: np.ndarray, net: str) -> str:
    """Where the net listens furthest back."""
    found = {t: n for t in range(len(C)) if (n := span(C[t], t)) is not None}
    if not found:
        return f"No prediction of {net} has a finite strength but zero"
    t = max(found, key=found.__getitem__)
    net = net[:1].upper() + net[1:] if net.startswith("the ") else net
    return (f"{net} listens back furthest at {quoted(tokens[t + 1])}: 90 % of the strength lies in the last {found[t]} "
            f"{kind(tokens)}{'s' * (found[t] > 1)}")


def squares(C: np.ndarray, per: int, rim: float, unit: float, scale: Scale, theme: Theme) -> Iterator[Item]:
    """The squares, those of one colour together, and those that follow each other in a row as one."""
    T = len(C)
    n = math.ceil(T / per)
    padded = np.zeros((n * per, n * per))
    padded[:T, :T] = C
    largest = padded.reshape(n, per, n, per).max(axis=(1, 3))  # NaN wins
    areas: dict[str, list[list[Point]]] = defaultdict(list)
    dots = []
    for t, row in enumerate(largest):
        y = rim + t * unit
        for colour, run in groupby(enumerate(row), lambda one: shade(float(one[1]), scale, theme)):
            js = [j for j, _ in run]
            if colour is not None:
                areas[colour].append(rectangle(rim + js[0] * unit, y, rim + (js[-1] + 1) * unit, y + unit))
            else:  # what lies ahead is simply not read yet: there the ground shows
                dots += [Route((rim + (j + 0.5) * unit - 0.7, y + unit / 2)).line(rim + (j + 0.5) * unit + 0.7,
                                                                               y + unit / 2) for j in js if j <= t]
    for colour, outlines in areas.items():
        yield Area(outlines, fill=colour, crisp=True, key=("heat", colour))
    if dots:
        yield Wire(dots, stroke=theme.nothing, stroke_width=1.4, key=("zero",), datum=0.0)
