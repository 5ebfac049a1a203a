"""Live: a net as JavaScript, so that a page can compute it again, forwards and backwards, when a slider moves.

The program of the recorded computation (`viz.graph.program`) is printed by the compiler, stage by stage: JavaScript is
never written by hand, and the derivative comes from the engine's own rules. ``viz/web/src/live.js`` runs the stages.

`live` returns a `Live`. Its `source` is a script that sets ``globalThis.microgradrnnModules[name]``, and its `data` is
a dict for JSON:

===========  ==========================================================================================================
``module``   the name in ``microgradrnnModules``
``T``        the number of steps
``loss``     the name of the result
``stages``   what is done, in this order; the k-th of the module has the functions of the k-th stage
``arrays``   the numbers that are known, by name (`viz.explorer.encode.array`)
``states``   for each state of the lane the probe that has its gradient
``cut``      the step once more, with masks for its ways (`viz.explorer.masks`), or None: its ``stage``, the ``number``
             of the stage in whose place it stands, and for each of the ``ways`` the name of its mask. Its functions
             are the last of the module.
``wires``    for each wire of the lane the probe that has its message; of a wire to what reads a state later, the name
             of the array of all steps; None where there is none
``sliders``  ``option`` (as in JavaScript: forgetBias, gain, h0, length), ``label``, ``start``, ``low``, ``high``,
             ``step``, and ``changes``: the ``array``, ``how`` (``add`` or ``multiply``) and columns ``from``, ``to``
===========  ==========================================================================================================

A stage has a ``kind``. Both kinds have ``inputs`` (the names of the operands through which a gradient flows, in the
order of the function's parameters) and ``gives`` (the names of the results, in order); all other values the function
finds by name. The kind ``repeat`` also has

* ``T``;
* ``rows``: for each input that is a row of an array, that array and the row for each step;
* ``states``: ``last`` (an input), ``next`` (a result), ``first`` (the name of the first state);
* ``kept``: for each result the name of the array of all steps;
* ``probes``: inputs that are zero and are added to something, so that their gradient is the gradient there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradrnn.compiler.errors import TraceError
from microgradrnn.engine import Node
from viz.explorer.encode import array
from viz.explorer.masks import Masked, masked
from viz.explorer.modules import module, script
from viz.explorer.probes import probed
from viz.explorer.sliders import Slider, sliders
from viz.graph.identities import without_identities
from viz.graph.program import Name, Once, Recipe, Repeat
from viz.graph.replay import NoProgramError, program
from viz.graph.steps import layer_of, state_symbols
from viz.graph.trace import traced

MOST_UNITS = 16  # entries in a row of a state, H
MOST_STEPS = 100
MOST_NUMBERS = 100_000  # in all arrays of a net, about 1 MB of text
MOST_LINES = 400  # operations of all stages together
RANGES = {"forget_bias": (-4.0, 6.0, 0.1), "gain": (0.0, 2.0, 0.02), "h0": (-2.0, 2.0, 0.05)}  # low, high, step
IN_JAVASCRIPT = {"forget_bias": "forgetBias"}  # the others are called the same

# An edge: the name of a node within the step, and which of its operands; None: from there to what reads it later.
Wire = tuple[str, int | None]


@dataclass(frozen=True)
class Live:
    """What a page needs to compute a net again.

    Attributes:
        data: for JSON; None if the page cannot compute the net.
        source: the script with the functions.
        reason: why there is no data.
    """

    data: dict[str, Any] | None = None
    source: str = ""
    reason: str = ""


def live(root: Node, layer: int = -1, name: str = "net", wires: Sequence[Wire] = ()) -> Live:
    """A net for a page to compute, if it is small enough and its steps all do the same.

    Args:
        root: the loss.
        layer: which recurrent layer the sliders and numbers are about.
        name: of the module; each lane of a page has its own.
        wires: the edges along which messages are to be measured, in the order of the lane's wires.

    >>> from microgradrnn import nn
    >>> hs, _ = nn.unroll(nn.LSTMCell(3, 4, rng=0), np.ones((5, 2, 3)))
    >>> [slider["option"] for slider in live(hs.sum()).data["sliders"]]
    ['forgetBias', 'gain', 'h0', 'length']
    >>> live(nn.unroll(nn.LSTMCell(3, 64, rng=0), np.ones((5, 2, 3)))[0].sum()).reason
    'this net is too large to be computed in the page: its state has 64 units, and at most 16 are allowed'
    """
    root, _ = without_identities(root)
    try:
        return _Lane(root, layer, name, wires).live()
    except _TooLargeError as error:
        return Live(reason=f"this net is too large to be computed in the page: {error}")
    except (NoProgramError, TraceError) as error:
        return Live(reason=f"the page cannot compute this net: {str(error).removeprefix('javascript: ')}")


class _TooLargeError(Exception):
    """The net is beyond the limits."""


class _Lane:
    """Makes the data of one lane."""

    def __init__(self, root: Node, layer: int, name: str, wires: Sequence[Wire]) -> None:
        self.name, self.wires = name, wires
        self.graph, self.ids = traced(root)
        self.layer = layer_of(self.graph, layer, "live")
        self.symbols = state_symbols(self.graph, self.layer)
        self.T = len(self.layer.order)
        youngest = self.layer.youngest
        states = {youngest[name] for name in self.symbols}
        self._need_limits([node for node, name in self.ids.items() if name in states])
        self.sliders = sliders(root, layer)
        self.program = program(root, [change.leaf for slider in self.sliders for change in slider.changes])
        if sum(x.size for x in self.program.data.values()) > MOST_NUMBERS:
            raise _TooLargeError(f"its weights and inputs are more than {MOST_NUMBERS} numbers")
        if sum(len(stage.recipe.lines) for stage in self.program.stages) > MOST_LINES:
            raise _TooLargeError(f"there are more than {MOST_LINES} operations outside of its loop")
        inside = set(self.layer.step_of())
        self.number = next(k for k, stage in enumerate(self.program.stages)
                           if isinstance(stage, Repeat) and not inside.isdisjoint(stage.loop.places))
        found = self.program.stages[self.number]
        assert isinstance(found, Repeat)
        self.loop = found

    def _need_limits(self, states: Sequence[Node]) -> None:
        """Refuse a net that is too large, before anything costs time."""
        units = max((np.shape(node.data)[-1] if np.ndim(node.data) else 1 for node in states), default=1)
        if units > MOST_UNITS:
            raise _TooLargeError(f"its state has {units} units, and at most {MOST_UNITS} are allowed")
        if self.T > MOST_STEPS:
            raise _TooLargeError(f"it takes {self.T} steps, and at most {MOST_STEPS} are allowed")

    def live(self) -> Live:
        """All of it."""
        shapes = {name: np.shape(x) for name, x in self.program.run().items()}
        value = self.values()
        found = probed(self.loop.recipe, [value[name] for name in self.symbols if name in value], self.edges(value))
        shapes |= {probe: shapes[other] for probe, other in found.like.items()}
        stages, modules = [], []
        for k, stage in enumerate(self.program.stages):
            recipe, like = (found.recipe, found.like) if k == self.number else (stage.recipe, {})
            stages.append(self.of_stage(stage, recipe, like))
            modules.append(module(recipe, stages[-1]["inputs"], shapes))
        cut = None
        if (one := self.with_masks([*found.at])) is not None:
            shapes |= dict.fromkeys(one.masks.values(), ())
            again = probed(one.recipe, [*found.at], [])
            shut = self.of_stage(self.loop, again.recipe, again.like)
            cut = {"number": self.number, "ways": one.masks, "stage": shut}
            modules.append(module(again.recipe, shut["inputs"], shapes))
        data = {
            "module": self.name, "T": self.T, "loss": self.program.loss, "stages": stages,
            "arrays": {name: array(x) for name, x in self.program.data.items()},
            "states": {symbol: found.at[value[name]] for name, symbol in self.symbols.items()
                       if value.get(name) in found.at},
            "wires": [self.loop.kept.get(value.get(name, Name())) if k is None else probe
                      for (name, k), probe in zip(self.wires, found.along, strict=True)],
            "cut": cut,
            "sliders": [*map(self.of_slider, self.sliders), *self.first_state(), *self.length()],
        }
        return Live(data, script(self.name, modules))

    def values(self) -> dict[str, Name]:
        """What the nodes of a step of the layer are called in the recipe."""
        made_at = {place: name for name, place in self.loop.places.items()}
        places = {name: self.loop.loop.places.get(node) for name, node in self.layer.youngest.items()}
        return {name: made_at[place] for name, place in places.items() if place in made_at}

    def edges(self, value: Mapping[str, Name]) -> list[tuple[Name, int] | None]:
        """The wires within a step, as edges of the recipe."""
        youngest, ops = self.layer.youngest, {line.made: line.op.name for line in self.loop.recipe.lines}
        return [(value[name], k) if k is not None and name in value
                and self.graph.nodes[youngest[name]]["op"] == ops.get(value[name]) else None for name, k in self.wires]

    def of_stage(self, stage: Once | Repeat, recipe: Recipe, probes: Mapping[Name, Name]) -> dict[str, Any]:
        """What the page must know of a stage."""
        inputs = [name for name in recipe.reads() if name in self.program.varying or name in probes
                  or (isinstance(stage, Repeat) and name in stage.rows)]
        found: dict[str, Any] = {"kind": "once", "inputs": inputs, "gives": recipe.gives}
        if isinstance(stage, Repeat):
            found |= {
                "kind": "repeat", "T": stage.T, "kept": stage.kept, "probes": [*probes],
                "rows": {name: {"array": rows.source, "order": rows.order} for name, rows in stage.rows.items()},
                "states": [{"last": last, "next": now, "first": first} for last, now, first in stage.states],
            }
        return found

    def with_masks(self, states: Sequence[Name]) -> Masked | None:
        """The step with a mask for each way. None if the loop has states of other layers too."""
        place_of = self.loop.loop.places
        inside = {place_of[node] for node in self.layer.step_of() if node in place_of}
        if any(self.loop.places[name] not in inside for name in self.loop.kept):
            return None
        example = {place_of[name]: node for node, name in self.ids.items() if name in place_of}
        nodes = {name: example[place] for name, place in self.loop.places.items()}
        marked = [name for name, node in nodes.items() if node.role in ("hidden", "cell")]
        last = [last for last, now, _ in self.loop.states if now in states]
        return masked(self.loop.recipe, nodes, last, [*states, *marked])

    # ------------------------------------------------------------------------------------------------------ sliders
    def of_slider(self, slider: Slider) -> dict[str, Any]:
        """A slider that changes leaves."""
        changes = [change_of(name, change.how, change.columns) for change in slider.changes
                   if (name := self.program.leaves.get(change.leaf)) in self.program.data]
        return said(slider.option, slider.label, slider.start, changes)

    def first_state(self) -> list[dict[str, Any]]:
        """The slider of the first state, if that is not computed by another part of the net."""
        ours = {self.loop.loop.places[node] for node in self.layer.step_of() if node in self.loop.loop.places}
        names = {first: None for _, now, first in self.loop.states
                 if first in self.program.data and self.loop.places[now] in ours}
        if not names:
            return []
        start = np.mean(np.concatenate([self.program.data[name].ravel() for name in names]))
        return [said("h0", "first state", float(start), [change_of(name, "add") for name in names])]

    def length(self) -> list[dict[str, Any]]:
        """The slider of the number of steps, if all loops take the same steps."""
        if any([*stage.loop.steps] != [*self.loop.loop.steps] for stage in self.program.loops):
            return []
        return [{"option": "length", "label": "steps", "start": self.T, "low": 1, "high": self.T, "step": 1,
                 "changes": []}]


def said(option: str, label: str, start: float, changes: list[dict[str, Any]]) -> dict[str, Any]:
    """A slider as the page knows it. Its range reaches to where it starts."""
    low, high, step = RANGES[option]
    return {"option": IN_JAVASCRIPT.get(option, option), "label": label, "start": start,
            "low": min(low, math.floor(start)), "high": max(high, math.ceil(start)), "step": step, "changes": changes}


def change_of(name: Name, how: str, columns: tuple[int, int] | None = None) -> dict[str, Any]:
    """What a slider does to an array; the columns are None for all of it."""
    return {"array": name, "how": how, "from": columns and columns[0], "to": columns and columns[1]}
