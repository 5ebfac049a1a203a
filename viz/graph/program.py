"""A program: a computation as stages that can be done again with other numbers.

A stage is done once (`Once`) or again and again, as the steps of a loop are (`Repeat`). What a stage does is a
`Recipe`: operations one after the other, on values that have names. `viz.graph.replay` reads a program off a graph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from microgradrnn.engine import Node, mark
from viz.graph.loops import Loop, Place


class Name(str):
    """An operand that is a value by name, not a plain number."""

    __slots__ = ()


class Names:
    """Makes names of ASCII letters, digits and _ alone, each once."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def give(self, wish: str | None, otherwise: str = "t") -> Name:
        """A name that nothing has yet, as much like the wish as is possible.

        >>> names = Names()
        >>> names.give("h"), names.give("h"), names.give("σ</script>"), names.give(None)
        ('h', 'h_2', 'script', 't')
        """
        base = re.sub(r"[^A-Za-z0-9_]", "", wish or "").strip("_") or otherwise
        base = base if base[0].isalpha() else f"v{base}"
        name, k = base, 2
        while name in self.taken:
            name, k = f"{base}_{k}", k + 1
        self.taken.add(name)
        return Name(name)


class Operation(Protocol):
    """What a line does: a primitive, for instance."""

    name: str

    def __call__(self, *operands: Any, **params: Any) -> Any:
        """Numbers or arrays from such, nodes from nodes."""


class Line(NamedTuple):
    """One operation: ``made = op(*operands, **params)``. An operand is a `Name` or a plain number."""

    made: Name
    op: Operation
    operands: tuple[Any, ...]
    params: Mapping[str, Any] = {}


@dataclass
class Recipe:
    """Operations one after the other.

    Attributes:
        lines: the operations.
        gives: the names of the results.
    """

    lines: list[Line] = field(default_factory=list)
    gives: list[Name] = field(default_factory=list)

    def __call__(self, values: Mapping[Name, Any]) -> dict[Name, Any]:
        """All that the recipe makes, by name, from numbers, arrays or nodes by name; from nodes it makes nodes."""
        known: dict[Name, Any] = dict(values)
        made: dict[Name, Any] = {}
        for name, op, operands, params in self.lines:
            found = op(*[known[x] if isinstance(x, Name) else x for x in operands], **params)
            known[name] = made[name] = mark(found, name)
        return {name: known[name] for name in self.gives} | made

    def reads(self) -> list[Name]:
        """The names of what must be given."""
        made = {line.made for line in self.lines}
        read = [x for line in self.lines for x in line.operands if isinstance(x, Name)]
        return [name for name in dict.fromkeys([*read, *self.gives]) if name not in made]


@dataclass
class Once:
    """A stage that is done once."""

    recipe: Recipe = field(default_factory=Recipe)


class Handed(NamedTuple):
    """A state that is handed from step to step: what a step calls the last one, the next one, and the very first."""

    last: Name
    next: Name
    first: Name


class Rows(NamedTuple):
    """An input of a step that is a row of an array: which array, and which row at each step."""

    source: Name
    order: list[int]


@dataclass
class Repeat:
    """A stage that is done for each step of a loop.

    Attributes:
        recipe: of one step.
        T: how many steps there are.
        rows: for each input of the step where it is read.
        states: what is handed from step to step.
        kept: for each result of the step the name of the array that holds it of all steps.
        places: where in the loop each value of the recipe is made.
        loop: the loop of the graph.
    """

    recipe: Recipe
    T: int
    rows: dict[Name, Rows]
    states: list[Handed]
    kept: dict[Name, Name]
    places: dict[Name, Place]
    loop: Loop


@dataclass
class Program:
    """A computation that can be done again.

    Attributes:
        data: what is known beforehand, by name: leaves, inputs, first states, and what is computed from them alone.
        stages: what is done, in this order.
        loss: the name of the result.
        leaves: the names of the leaves that may be changed.
        varying: the names of all that depends on a loop. A gradient has to flow through them.
    """

    data: dict[Name, np.ndarray]
    stages: list[Once | Repeat]
    loss: Name
    leaves: dict[Node, Name]
    varying: set[Name]

    def run(self) -> dict[Name, Any]:
        """All values by name. Of what a step makes these are the last step's."""
        known: dict[Name, Any] = dict(self.data)
        with np.errstate(all="ignore"):  # the recorded computation has warned already
            for stage in self.stages:
                known |= stage.recipe(known) if isinstance(stage, Once) else self._repeated(stage, known)
        return known

    def _repeated(self, stage: Repeat, known: dict[Name, Any]) -> dict[Name, Any]:
        """What a loop makes."""
        made = {last: known[first] for last, _, first in stage.states}
        kept: dict[Name, list[Any]] = {name: [] for name in stage.kept}
        for t in range(stage.T):
            if t > 0:
                made |= {last: made[now] for last, now, _ in stage.states}
            made |= {name: known[source][order[t]] for name, (source, order) in stage.rows.items()}
            made |= stage.recipe(known | made)
            for name, values in kept.items():
                values.append(made[name])
        return made | {stage.kept[name]: np.stack(values) for name, values in kept.items()}

    @property
    def loops(self) -> list[Repeat]:
        """The stages that are loops."""
        return [stage for stage in self.stages if isinstance(stage, Repeat)]
