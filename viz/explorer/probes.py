"""Probes: zeros that are added to something in a step, so that the derivative gives the gradient there.

The compiler prints the gradients of what a function is given. To get the gradient at c, a zero d_c is added:
``c = f * c_prev + i * g + d_c``. Then the gradient of d_c is the gradient at c. If the zero is added to one operand of
one operation, its gradient is the message along that edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from microgradrnn.engine import PRIMITIVES
from viz.graph.program import Line, Name, Recipe

ADD = PRIMITIVES["add"]


class Probed(NamedTuple):
    """A recipe with probes.

    Attributes:
        recipe: the recipe.
        like: for each probe the value that it is added to.
        at: the probe of each value that was to have one.
        along: the probe of each edge; None where there is none.
    """

    recipe: Recipe
    like: dict[Name, Name]
    at: dict[Name, Name]
    along: list[Name | None]


def probed(recipe: Recipe, values: Sequence[Name], edges: Sequence[tuple[Name, int] | None]) -> Probed:
    """A recipe with probes at some values, and along some edges: the value that is made, and which operand.

    There is none at a value that the recipe does not make, and none along an edge from a plain number.
    """
    like: dict[Name, Name] = {}
    at = {line.made: Name(f"d_{line.made}") for line in recipe.lines if line.made in values}
    along: list[Name | None] = []
    of_line: dict[Name, dict[int, Name]] = {}
    operands = {line.made: line.operands for line in recipe.lines}
    for edge in edges:
        probe = None
        if edge is not None and edge[0] in operands and isinstance(operands[edge[0]][edge[1]], Name):
            probe = of_line.setdefault(edge[0], {}).setdefault(edge[1], Name(f"d_{edge[0]}_{edge[1]}"))
            like[probe] = operands[edge[0]][edge[1]]
        along.append(probe)
    lines = []
    for line in recipe.lines:
        given = list(line.operands)
        for k, probe in of_line.get(line.made, {}).items():
            given[k] = Name(f"{line.made}_{k}")
            lines.append(Line(given[k], ADD, (line.operands[k], probe)))
        if line.made in at:
            own, probe = Name(f"{line.made}_own"), at[line.made]
            lines += [line._replace(made=own, operands=tuple(given)), Line(line.made, ADD, (own, probe))]
            like[probe] = line.made
        else:
            lines.append(line._replace(operands=tuple(given)))
    return Probed(Recipe(lines, recipe.gives), like, at, along)
