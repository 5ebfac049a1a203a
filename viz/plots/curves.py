"""Curves, with matplotlib (the extra ``plots``): the norm of the gradient against the lag."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any

from viz.errors import need
from viz.flow.compare import Comparison, one_of
from viz.flow.finding import finding
from viz.flow.horizon import Horizon
from viz.flow.messages import Flow, need_flows, profiles
from viz.flow.ways import CARRY
from viz.graph.steps import no_steps, recurrent
from viz.plots.axes import COLOURS, INCH, axes, dressed, name_curves, shown_on_a_log_axis
from viz.render.drawing import Drawing
from viz.theme import Theme, need_theme

DASHES = {"cell": (5.0, 2.0)}
LINES = ("-", "--", "-.")  # dotted is the carry
MULTIPLE = "‖∂L/∂state‖₂, as a multiple of lag 0"


def plot_norms(
    flows: Mapping[str, Flow], *, fraction: float = 0.01, theme: Theme | str | None = None, ax: Any = None
) -> Any:
    """Plot the norm of the gradient at every state against how far back it lies; log scale.

    Args:
        flows: by the name of the net.
        fraction: a dot marks each curve's horizon, the largest lag at which it is above this fraction of its start;
            it is hollow where the horizon is open.
        theme: a name or a `Theme`; by default that of `set_theme`.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The Axes. Each curve is measured by its own norm at lag 0. Zeros and non-finite norms are left out of the
        curves and counted in their names.

    Raises:
        MissingToolError: without matplotlib.
        TypeError: if these are no flows by name.
        ValueError: if there are no flows, or one has no time steps.

    >>> import numpy as np
    >>> import viz
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> ax = plot_norms({"rnn": viz.gradient_flow(hs[-1].sum())})
    >>> ax.get_xlabel()
    'lag: steps back from the loss; ● the last with more than 1 % of lag 0 (○ or later)'
    """
    theme = need_theme(theme)
    need_flows(flows, "plot_norms")
    if not flows:
        raise ValueError("plot_norms: no flows to plot")
    for name, flow in flows.items():
        if not recurrent(flow.graph):
            raise ValueError(f"plot_norms, {name!r}: {no_steps(flow.graph)}")
    ax = axes(ax, (9, 4.6), theme)
    lines, ends = [], dict[str, float]()
    for j, ((name, flow), colour) in enumerate(zip(flows.items(), cycle(COLOURS), strict=False)):
        for profile in profiles(flow):
            role = next((said.get("role") for _, said in flow.graph.nodes(data=True)
                         if said.get("symbol") == profile.state), None)
            one = one_of(profile.lags, profile.norms)
            ends.setdefault(name, profile.norms[-1] / one)
            shown = shown_on_a_log_axis(profile.norms, one)
            missing = sum(g != g for g in shown)
            label = f"{name}: {profile.state}" + (f" ({missing} zero or not finite)" if missing else "")
            (line,) = ax.plot(profile.lags, shown, color=colour, label=label, linewidth=1.8)
            if role == "cell":
                line.set_dashes(DASHES["cell"])
            lines.append(line)
            if (last := profile.horizon(fraction)) is not None:
                size = max(5, 11 - 3 * j)  # two in one place are both seen
                ax.plot([last], [(profile.at(last) or 0.0) / one], "o", color=colour, markersize=size,
                        **dot(last, theme))
    return finished(ax, lines, found(flows, ends), fraction, "", theme)


def found(flows: Mapping[str, Flow], ends: Mapping[str, float]) -> str:
    """What was found of each net; of more than three, of the two of which most and least is left."""
    names = sorted(ends, key=lambda name: -ends[name])
    shown = list(flows) if len(flows) < 4 else [names[0], names[-1]]
    more = f"; {len(flows) - 2} other nets lie between" if len(flows) > 3 else ""
    return "; ".join(finding(flows[name], name) for name in shown) + more


def plot_comparison(comparison: Comparison, *, theme: Theme | str | None = None, ax: Any = None) -> Any:
    """Plot the norm against the lag, a line for each net, and dotted what the carry alone passed on.

    Args:
        comparison: of `compare_flow`.
        theme: a name or a `Theme`; by default that of `set_theme`.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The Axes. Each net is measured by its own norm at lag 0. Zeros and what is not finite cannot stand on a log
        scale and are left out.

    Raises:
        MissingToolError: without matplotlib.
        TypeError: if given something else.

    >>> import numpy as np
    >>> import viz
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> ax = plot_comparison(viz.compare_flow({"rnn": hs[-1].sum()}))
    >>> ax.get_xlabel()
    'lag: steps back from the loss; ● the last with more than 1 % of lag 0 (○ or later); dotted: the carry alone'
    """
    theme = need_theme(theme)
    need("plot_comparison", comparison, Comparison, "what viz.compare_flow(nets) returns")
    ax = axes(ax, (9, 4.6), theme)
    lines = []
    for track, colour, how in zip(comparison.tracks, cycle(COLOURS), cycle(LINES), strict=False):
        label = f"{track.net}: {track.state}"
        for norms, style in ((track.norms, {"linestyle": how, "linewidth": 2.0, "label": label}),
                             (track.parts.get(CARRY, ()), {"linestyle": (0, (1, 1.6)), "linewidth": 1.0})):
            if any(g > 0 for g in norms):
                (line,) = ax.plot(track.lags, shown_on_a_log_axis(norms, track.one), color=colour, **style)
                lines += [line] * ("label" in style)
        if (last := track.horizon(comparison.fraction)) is not None:
            ax.plot([last], [(track.at(last) or 0.0) / track.one], "o", color=colour, markersize=6, **dot(last, theme))
    ax.invert_xaxis()  # as in the drawing: time to the right, the gradient to the left
    return finished(ax, lines, comparison.finding, comparison.fraction, "; dotted: the carry alone", theme)


def finished(ax: Any, lines: list[Any], title: str, fraction: float, more: str, theme: Theme) -> Any:
    """What the two plots share: the axes of lags and of multiples, names, title."""
    ax.set_yscale("log")
    ax.set_xlabel(f"lag: steps back from the loss; ● the last with more than {100 * fraction:g} % of lag 0 "
                  f"(○ or later){more}")
    ax.set_ylabel(MULTIPLE)
    if lines:
        ax.axhline(1, color=theme.wire, linewidth=0.8, zorder=0)
        name_curves(ax, lines, theme)
    return dressed(ax, title, theme)


def dot(horizon: Horizon, theme: Theme) -> dict[str, Any]:
    """How a horizon's dot is filled: hollow, if it is open."""
    return {"markerfacecolor": theme.paper} if horizon.open else {}


def drawn_by(plot: Callable[..., Any]) -> Callable[..., Drawing]:
    """The function as one that returns a `Drawing`, for results that draw themselves."""

    @functools.wraps(plot)
    def draw(result: Any, **options: Any) -> Drawing:
        ax = plot(result, **options)
        width, height = INCH * ax.figure.get_size_inches()
        return Drawing(as_svg(ax), float(width), float(height), figure=ax.figure)

    return draw


def as_svg(ax: Any) -> str:
    """The figure of some Axes as SVG whose text is text, the same in every run."""
    import io

    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "microgradrnn"}):
        ax.figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
