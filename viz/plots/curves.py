"""Curves, with matplotlib (the extra ``plots``): the norm of the gradient against the lag."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import cycle
from typing import Any

from viz.errors import MissingToolError, need
from viz.flow.compare import Comparison
from viz.flow.horizon import Horizon
from viz.flow.messages import Flow, need_flows, profiles
from viz.flow.ways import CARRY
from viz.graph.steps import no_steps, recurrent

# Okabe and Ito's colours; the cell state is dashed, to be told from h in grey as well.
COLOURS = ("#cc79a7", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9")
LINES = ("-", "--", "-.")  # of a comparison; dotted is the carry
DASHES = {"cell": (5.0, 2.0)}


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


def plot_norms(flows: Mapping[str, Flow], *, fraction: float = 0.01, ax: Any = None) -> Any:
    """Plot the norm of the gradient at every state against how far back it lies; log scale.

    Args:
        flows: by the name of the net.
        fraction: a dot marks each curve's horizon, the largest lag at which it is above this fraction of its start;
            it is hollow where the horizon is open.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The Axes. Zeros and non-finite norms are left out of the curves and counted in the legend.

    Raises:
        MissingToolError: without matplotlib.
        TypeError: if these are no flows by name.
        ValueError: if there are no flows, or one has no time steps.
    """
    need_flows(flows, "plot_norms")
    if not flows:
        raise ValueError("plot_norms: no flows to plot")
    for name, flow in flows.items():
        if not recurrent(flow.graph):
            raise ValueError(f"plot_norms, {name!r}: {no_steps(flow.graph)}")
    if ax is None:
        ax = need_matplotlib()(figsize=(9, 4.6), layout="constrained").add_subplot()
    for j, ((name, flow), colour) in enumerate(zip(flows.items(), cycle(COLOURS), strict=False)):
        for profile in profiles(flow):
            role = next((said.get("role") for _, said in flow.graph.nodes(data=True)
                         if said.get("symbol") == profile.state), None)
            pairs = [(lag, g) for lag, g in zip(profile.lags, profile.norms, strict=True) if g > 0 and math.isfinite(g)]
            missing = len(profile.norms) - len(pairs)
            label = f"{name}: {profile.state}" + (f" ({missing} zero or not finite)" if missing else "")
            lags, norms = zip(*pairs, strict=True) if pairs else ((), ())
            (line,) = ax.plot(lags, norms, color=colour, label=label, linewidth=1.8)
            if role == "cell":
                line.set_dashes(DASHES["cell"])
            if (last := profile.horizon(fraction)) is not None:
                size = max(5, 11 - 3 * j)  # two in one place are both seen
                ax.plot([last], [profile.at(last)], "o", color=colour, markersize=size, **dot(last))
    ax.set_yscale("log")
    ax.set_xlabel("lag: steps back from the loss")
    ax.set_ylabel("‖∂L/∂state‖₂, over the whole batch")
    ax.grid(True, which="major", color="#d3dae1", linewidth=0.6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.legend(frameon=False, title=f"● horizon: last lag above {fraction:g} × start (○ at least)", alignment="left")
    return ax


def plot_comparison(comparison: Comparison, *, ax: Any = None) -> Any:
    """Plot the norm against the lag, a line for each net, and dotted what the carry alone passed on.

    Args:
        comparison: of `compare_flow`.
        ax: the Axes to draw on; a new figure by default.

    Returns:
        The Axes. Zeros and what is not finite cannot stand on a log scale and are left out.

    Raises:
        MissingToolError: without matplotlib.
        TypeError: if given something else.
    """
    need("plot_comparison", comparison, Comparison, "what viz.compare_flow(nets) returns")
    if ax is None:
        ax = need_matplotlib()(figsize=(9, 4.6), layout="constrained").add_subplot()
    for track, colour, line in zip(comparison.tracks, cycle(COLOURS), cycle(LINES), strict=False):
        for norms, style in ((track.norms, {"linestyle": line, "linewidth": 2.0, "label": comparison.label(track)}),
                             (track.parts.get(CARRY, ()), {"linestyle": (0, (1, 1.6)), "linewidth": 1.0})):
            if any(g > 0 for g in norms):
                shown = [g if g > 0 and math.isfinite(g) else math.nan for g in norms]
                ax.plot(track.lags, shown, color=colour, **style)
        if (last := track.horizon(comparison.fraction)) is not None:
            ax.plot([last], [track.at(last)], "o", color=colour, markersize=6, **dot(last))
    ax.set_yscale("log")
    ax.invert_xaxis()  # as in the drawing: time to the right, the gradient to the left
    ax.set_xlabel("lag: steps back from the loss")
    ax.set_ylabel("‖∂L/∂state‖₂, over the whole batch")
    ax.grid(True, which="major", color="#d3dae1", linewidth=0.6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if ax.get_lines():
        ax.legend(frameon=False, title=f"● last above {comparison.fraction:g} × start (○ at least); "
                  "dotted: the carry alone")
    return ax


def dot(horizon: Horizon) -> dict[str, Any]:
    """How a horizon's dot is filled: hollow, if it is open."""
    return {"markerfacecolor": "white"} if horizon.open else {}


def as_svg(ax: Any) -> str:
    """The figure of some Axes as SVG whose text is text, the same in every run."""
    import io

    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "microgradrnn"}):
        ax.figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
