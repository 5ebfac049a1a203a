"""Masks: a step whose ways can be shut one by one, in the derivative alone.

A path from one state to the next belongs to a way (`viz.flow.ways`): that of the first gate or candidate it goes
through; if there is none, of the strongest function or product, the last one of several; and if there is none either,
it is the carry. So every value of a step is needed in several *versions*: equal numbers, but each with the derivative
along the paths of one way only. Where they meet in a new state, the version of a way is multiplied by its mask, which
is 1 if the way is open and 0 if it is shut::

    c = stop(c) + Σ mask · (version − stop(version))

`stop` lets no gradient through. All versions have the same numbers, so the compiler computes them once. It prints the
derivative of each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from microgradrnn.engine import PRIMITIVES, Node
from viz.flow.ways import CARRY, MARKED, Label, label_of
from viz.graph.program import Line, Name, Recipe

ADD, SUBTRACT, MULTIPLY = (PRIMITIVES[name] for name in ("add", "subtract", "multiply"))


class Stop:
    """The same numbers; no gradient flows."""

    name = "stop"

    def __call__(self, x: Any) -> Any:
        return x.detach() if isinstance(x, Node) else x


STOP = Stop()


class Way(NamedTuple):
    """What is known of paths to a value: do they begin in the step before, and the way they are on so far."""

    crosses: bool
    label: Label | None = None

    def after(self, label: Label | None) -> Way:
        """The way behind an edge."""
        now = self.label
        if label is None or (now is not None and (now.strength == MARKED or now.strength > label.strength)):
            return self
        return Way(self.crosses, label)

    @property
    def mask(self) -> str | None:
        """The way whose mask counts at a state. Between two states of one step only gates and candidates count."""
        if self.label is None or (not self.crosses and self.label.strength != MARKED):
            return CARRY if self.crosses else None
        return self.label.name


class Masked(NamedTuple):
    """A recipe with masks, and the name of the mask of each way."""

    recipe: Recipe
    masks: dict[str, Name]


def masked(recipe: Recipe, nodes: Mapping[Name, Node], last: Collection[Name], states: Collection[Name]) -> Masked:
    """The recipe of a step with a mask for each way.

    Args:
        recipe: the step.
        nodes: for what it makes an example of the node.
        last: what it calls the last states.
        states: the states that it makes.
    """
    return _Masker(recipe, nodes, last, states).masked()


class _Masker:
    """Writes the lines anew, with versions."""

    def __init__(
        self, recipe: Recipe, nodes: Mapping[Name, Node], last: Collection[Name], states: Collection[Name]
    ) -> None:
        self.recipe, self.nodes, self.states = recipe, nodes, states
        self.lines: list[Line] = []
        self.versions: dict[Name, dict[Way, Name]] = {name: {Way(True): name} for name in last}
        self.masks: dict[str, Name] = {}
        self.count = 0

    def masked(self) -> Masked:
        """The recipe."""
        for line in self.recipe.lines:
            if line.made in self.states:
                whole = line._replace(made=Name(f"{line.made}_whole"))
                self.lines.append(whole)
                self.join(line.made, whole.made, self.split(line, whole.made))
                self.versions[line.made] = {Way(False): line.made}
            else:
                self.lines.append(line)
                self.versions[line.made] = self.split(line, line.made)
        return Masked(Recipe(self.lines, self.recipe.gives), self.masks)

    def line(self, op: Any, *operands: Any) -> Name:
        """One more line."""
        self.count += 1
        made = Name(f"version{self.count}")
        self.lines.append(Line(made, op, operands))
        return made

    def split(self, line: Line, whole: Name) -> dict[Way, Name]:
        """The versions of what a line makes: for each way the same operation, the operands on that way alone live."""
        node = self.nodes.get(line.made)
        sources: dict[Way, dict[int, list[Way]]] = {}  # for each way the operands it comes by, and on which way there
        for k, x in enumerate(line.operands):
            for way in self.versions.get(x, {}) if isinstance(x, Name) else ():
                label = None if node is None else label_of(node, k)
                sources.setdefault(way.after(label), {}).setdefault(k, []).append(way)
        if len(sources) == 1:
            return dict.fromkeys(sources, whole)
        found: dict[Way, Name] = {}
        for way, by in sources.items():
            operands = [self.live(x, by[k]) if k in by else self.dead(x) for k, x in enumerate(line.operands)]
            self.count += 1
            found[way] = made = Name(f"version{self.count}")
            self.lines.append(line._replace(made=made, operands=tuple(operands)))
        return found

    def dead(self, x: Any) -> Any:
        """An operand through which no gradient flows."""
        return self.line(STOP, x) if self.versions.get(x) else x

    def live(self, x: Name, ways: Collection[Way]) -> Name:
        """An operand with the derivative along some ways."""
        versions = self.versions[x]
        if len(ways) == len(versions):
            return x
        first, *others = dict.fromkeys(versions[way] for way in ways)
        for other in others:
            first = self.line(ADD, first, self.line(SUBTRACT, other, self.line(STOP, other)))
        return first

    def join(self, made: Name, whole: Name, versions: Mapping[Way, Name]) -> None:
        """A new state, from its versions, each with its mask."""
        if not versions:
            self.lines[-1] = self.lines[-1]._replace(made=made)
            return
        found = self.line(STOP, whole)
        for way, version in versions.items():
            part = self.line(SUBTRACT, version, self.line(STOP, version))
            if way.mask is not None:
                mask = self.masks.setdefault(way.mask, Name(f"open{len(self.masks)}"))
                part = self.line(MULTIPLY, part, mask)
            found = self.line(ADD, found, part)
        self.lines[-1] = self.lines[-1]._replace(made=made)
