"""What plots share: Axes in the colours and letters of a theme, the finding as title, names at the ends of curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from viz.errors import MissingToolError
from viz.scene.chart import apart
from viz.theme import Theme
from viz.typography import fitting, text_width, wrapped

# Okabe and Ito's colours; the cell state is dashed, to be told from h in grey as well.
COLOURS = ("#cc79a7", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9")
POINTS = 0.75  # a pixel of a theme in matplotlib's points
INCH = 96.0  # in pixels


def need_matplotlib() -> Any:
    """The class Figure, or an error that says how to get it. (No pyplot: nothing is opened, nothing global.)"""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingToolError(
            'plots need matplotlib: pip install "microgradrnn[plots]". Without it, viz.draw_unrolled and viz.draw_long '
            "still draw, and Flow.profile has the numbers."
        ) from None
    return Figure


def axes(ax: Any, size: tuple[float, float], theme: Theme) -> Any:
    """The axes that were given, or those of a new figure of so many inches; on the theme's paper."""
    if ax is None:
        ax = need_matplotlib()(figsize=size, layout="constrained", facecolor=theme.paper).add_subplot()
    ax.set_facecolor(theme.paper)
    return ax


def dressed(ax: Any, title: str, theme: Theme, *, grid: bool = True) -> Any:
    """The axes in the theme's letters and colours, without a frame, under what was found, wrapped."""
    lines = wrapped(title, 0.98 * pixels(ax), theme.size + 1, bold=True)
    pad = 10 + theme.small * (1.5 * rows(ax) + (0.9 if rows(ax) else 0.0))
    ax.set_title("\n".join(map(plain, lines)), loc="left", fontsize=POINTS * (theme.size + 1), fontweight="bold",
                 color=theme.ink, pad=POINTS * pad)
    if grid:
        ax.grid(True, which="major", color=theme.rim, linewidth=0.6)
        ax.set_axisbelow(True)
    ax.tick_params(which="both", colors=theme.ink, labelsize=POINTS * theme.small)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=theme.ink, fontsize=POINTS * theme.size)
    for side, spine in ax.spines.items():
        spine.set(edgecolor=theme.wire, visible=side in ("left", "bottom"))
    make_room(ax, pad + 1.3 * (theme.size + 1) * len(lines))
    return ax


def make_room(ax: Any, above: float) -> None:
    """Lower the upper edge of axes that no layout of matplotlib's places, so that so many pixels are free above it."""
    if ax.figure.get_layout_engine() is not None:
        return
    place = ax.get_position()
    floor = min((other.y0 for one in ax.figure.axes if (other := one.get_position()).y0 >= place.y1), default=1.0)
    top = floor - above / (INCH * ax.figure.get_figheight())
    if place.y0 < top < place.y1:
        ax.set_position((place.x0, place.y0, place.width, top - place.y0))


def pixels(ax: Any) -> float:
    """How wide the axes are, about, in the pixels of a theme."""
    return float(INCH * ax.figure.get_figwidth() * ax.get_position().width)


def plain(words: str) -> str:
    """Words in which matplotlib finds no mathematics."""
    return words.replace("$", r"\$")


def key(ax: Any, theme: Theme, handles: Sequence[Any] | None = None) -> None:
    """A legend in the theme's letters above the axes, where it hides nothing, in as few rows as there is room for."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    widest = max((text_width(one.get_label(), theme.small) for one in handles), default=0.0) + 4.5 * theme.small
    columns = min(len(handles), max(1, int(pixels(ax) // widest)))
    found = ax.legend(handles=handles, frameon=False, fontsize=POINTS * theme.small, labelcolor=theme.ink,
                      loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, columnspacing=1.2, ncols=columns)
    found.rows = -(-len(handles) // columns)


def rows(ax: Any) -> int:
    """How many rows of a legend stand between the axes and the title."""
    return int(getattr(ax.get_legend(), "rows", 0))


def scale_bar(ax: Any, shown: Any, label: str, theme: Theme, **options: Any) -> Any:
    """A colour bar in the theme's letters."""
    bar = ax.figure.colorbar(shown, ax=ax, **options)
    bar.set_label(label, color=theme.ink, fontsize=POINTS * theme.size)
    bar.ax.tick_params(which="both", colors=theme.ink, labelsize=POINTS * theme.small)
    bar.outline.set_visible(False)
    return bar


def name_curves(ax: Any, lines: Sequence[Any], theme: Theme) -> None:
    """Write the name of each line beside its last point; lines that coincide share theirs.

    Room is made beyond the last step, inside the axes, so that it works in any figure. On an inverted axis that is on
    the left.
    """
    groups: list[list[Any]] = []
    for line in lines:
        if last_point(line) is None:
            continue
        same = next((group for group in groups if coincide(group[0], line)), None)
        groups.append([line]) if same is None else same.append(line)
    if not groups:
        return
    size, wide = theme.small, pixels(ax)
    labels = [fitting(" = ".join(str(line.get_label()) for line in group) + ("" if len(group) == 1 else " (coincide)"),
                      0.45 * wide, size) for group in groups]
    low, high = sorted(ax.get_xlim())
    share = min(0.5, (max(text_width(words, size) for words in labels) + 24) / wide)
    ticks = [x for x in ax.get_xticks() if low <= x <= high]
    leftwards = ax.xaxis_inverted()
    ax.set_xlim(low, low + (high - low) / (1 - share))
    if leftwards:
        ax.invert_xaxis()
    ax.set_xticks(ticks)
    ax.set_ylim(ax.get_ylim())
    ends = [end for group in groups if (end := last_point(group[0])) is not None]
    heights = [float(ax.transLimits.transform(ax.transScale.transform(end))[1]) for end in ends]
    order = sorted(range(len(groups)), key=lambda j: heights[j])
    gap = 1.35 * size / (INCH * ax.figure.get_figheight() * ax.get_position().height)
    places = apart([heights[j] for j in order], 0.02, 0.98, gap)
    for j, place in zip(order, places, strict=True):
        ax.annotate(plain(labels[j]), ends[j], (share - 0.02 if leftwards else 1 - share + 0.02, place),
                    textcoords="axes fraction", ha="right" if leftwards else "left", va="center",
                    fontsize=POINTS * size, color=theme.ink, annotation_clip=False,
                    bbox={"facecolor": theme.paper, "edgecolor": "none", "pad": 0.5},
                    arrowprops={"arrowstyle": "-", "color": groups[j][0].get_color(), "linewidth": 0.8, "shrinkA": 1,
                                "shrinkB": 0})


def last_point(line: Any) -> tuple[float, float] | None:
    """The last point of a line that has a finite number; None if there is none."""
    xs, ys = (np.asarray(values, float) for values in line.get_data())
    there = np.flatnonzero(np.isfinite(ys))
    return (float(xs[there[-1]]), float(ys[there[-1]])) if len(there) else None


def coincide(one: Any, other: Any) -> bool:
    """Do two lines lie on each other, as far as can be seen?"""
    (xs, ys), (us, vs) = ([np.asarray(values, float) for values in line.get_data()] for line in (one, other))
    return len(xs) == len(us) and np.array_equal(xs, us) and bool(np.allclose(ys, vs, rtol=0.02, equal_nan=True))


def shown_on_a_log_axis(norms: Sequence[float], one: float = 1.0) -> list[float]:
    """Norms as multiples of one; NaN where a log axis has no place.

    >>> shown_on_a_log_axis([3.0, 0.0, math.inf], 2.0)
    [1.5, nan, nan]
    """
    return [g / one if g > 0 and 0 < g / one < math.inf else math.nan for g in norms]
