"""Is a graph small enough for a picture with a box for every node? Found out before any work is done on it."""

from __future__ import annotations

from typing import Any

import networkx as nx

from microgradrnn.engine import Node

# A record of `viz.draw_graph` and its operation take up to 260 pixels, a glyph of `viz.draw_unrolled` 60: as chains, so
# many are 260,000 and 120,000 pixels wide, more than 60 screens. Arranging them takes seconds, and more than twice as
# long for twice as many.
MOST_RECORDS, MOST_GLYPHS = 1000, 2000


def need_drawable(who: str, root: Any, most: int = MOST_RECORDS, *, steps_fold: bool = False) -> None:
    """Refuse what is too large to be looked at. No more of the graph is walked through than decides it.

    Args:
        who: the function's name, for the message.
        root: a node, or a graph from `trace` or `fold`.
        most: so many nodes, constants too, can be drawn.
        steps_fold: the picture draws one cell for all time steps, so that a graph with steps may have any size.

    Raises:
        ValueError: with what to do instead.
    """
    if not small_enough(root, most, steps_fold):
        raise ValueError(
            f"{who}: the graph has more than {most:,} nodes; with a box for each the picture would be too large to be "
            "looked at. If its parts have names, from mg.scope(name), draw one box for each: "
            "viz.draw_graph(viz.fold(root, by='module')). For a loop over time, name the steps, with mg.scope(step=t): "
            "then viz.draw_unrolled(root, last=8), viz.draw_rolled and viz.draw_long draw any number of them. Or take "
            "fewer examples or units; viz.write keeps every node as data"
        )


def small_enough(root: Any, most: int, steps_fold: bool) -> bool:
    """Can the graph be drawn?"""
    if isinstance(root, nx.MultiDiGraph):
        return len(root) <= most or (steps_fold and any("step" in said for _, said in root.nodes(data=True)))
    if not isinstance(root, Node):
        return True  # refused elsewhere, for what it is
    seen, stack, constants = {root}, [root], 0
    while stack and (steps_fold or len(seen) + constants <= most):
        node = stack.pop()
        if steps_fold and node.scope.step is not None:
            return True
        constants += sum(x is None for x in node.inputs)
        new = {x for x in node.inputs if x is not None} - seen
        seen |= new
        stack.extend(new)
    return len(seen) + constants <= most
