"""A flow at a glance, as a notebook shows it: one lane, how far the gradient reaches, and its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from viz.flow.compare import compare_flow
from viz.flow.messages import Flow, Profile, profiles
from viz.graph.steps import recurrent
from viz.numbers import short
from viz.render.drawing import Drawing
from viz.render.notebook import Glance
from viz.theme import need_theme

WIDTH = 560  # pixels
LAGS = (1, 10, 100)


def glance(flow: Flow) -> Glance | Drawing:
    """A small picture and the numbers of a flow: for each state, how much of its gradient is left at some lags.

    Without time steps there are no lags: then it is the picture of the graph.
    """
    layers = recurrent(flow.graph)
    if not layers:
        drawing: Drawing = flow.draw()
        return drawing
    found = [(k, profile) for k in range(len(layers)) for profile in known(flow, k)]
    last = max((lag for _, profile in found for lag in profile.lags), default=0)
    lags = [lag for lag in LAGS if lag < last] + [last]
    head = ["layer", "state", "norm at lag 0", *(f"left at lag {lag}" for lag in lags), "horizon"]
    return Glance(lane(flow), [head, *(row(k, profile, lags) for k, profile in found)], repr(flow))


def lane(flow: Flow) -> Drawing | None:
    """The lane of the last layer; None where a flow does not know enough, as in a padded batch."""
    theme = need_theme()
    try:
        net = recurrent(flow.graph)[-1].path or "net"
        drawing: Drawing = compare_flow({net: flow}).draw(theme=replace(theme, page=min(theme.page, WIDTH)))
    except ValueError:
        return None
    return drawing


def known(flow: Flow, layer: int) -> Iterator[Profile]:
    """The profiles of a layer's states; none where its steps hand on different states."""
    try:
        yield from profiles(flow, layer)
    except ValueError:
        return


def row(layer: int, profile: Profile, lags: Sequence[int]) -> list[str]:
    """The numbers of one state. What there is not is a dash."""
    start, horizon = profile.at(0), profile.horizon()
    left = [norm / start if start and (norm := profile.at(lag)) is not None else None for lag in lags]
    numbers = ["–" if x is None else short(x) for x in (start, *left)]
    return [str(layer), profile.state, *numbers, "–" if horizon is None else str(horizon)]
