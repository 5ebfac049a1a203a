"""Time, told by the states of a loop: which node was made in which step, if the loop's states are given step by step.

What a state was computed from, back to the states of other steps, was made in its step; what several steps were
computed from was made before the loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microgradrnn.engine import Node
from viz.graph.steps import FUSED, MOVES, fused
from viz.graph.torch.functions import Output, is_leaf, operation, torch_name

Row = dict[str, Any]  # the states of one step by name


def by_step(states: Any) -> list[Row]:
    """The states of each step by name.

    Raises:
        ValueError: if steps differ in their states, or states in their steps.
    """
    if states is None:
        return []
    if isinstance(states, Mapping):
        lengths = {name: len(given) for name, given in states.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"from_torch: every state has the same number of steps, got {lengths}")
        return [dict(zip(states, row, strict=True)) for row in zip(*states.values(), strict=True)]
    rows = [row if isinstance(row, (tuple, list)) else (row,) for row in states]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("from_torch: every step has the same number of states, got "
                         f"{', '.join(str(len(row)) for row in rows)}")
    names = ["h", "c", *[f"s{j}" for j in range(3, max(map(len, rows), default=0) + 1)]]
    return [dict(zip(names, row, strict=False)) for row in rows]


def placed(nodes: Mapping[Output, Node], rows: list[Row]) -> tuple[dict[Node, int], dict[Node, str]]:
    """The step of each node that was made in one, and the name of each state.

    Raises:
        ValueError: if a state has no graph, or one operation made the states of several steps.
    """
    made = {getattr(x, "grad_fn", None) for row in rows for x in row.values()}
    whole: dict[Any, int] = {}  # of the operation that a state was cut out of: the step
    at: dict[Node, int] = {}
    names: dict[Node, str] = {}
    for step, row in enumerate(rows):
        for name, x in row.items():
            f = getattr(x, "grad_fn", None)
            if f is None:
                raise ValueError(f"from_torch: the state {name} of step {step} has no grad_fn; give the tensors that "
                                 "your loop computed, not detached and not under no_grad, the first state left out")
            source = cut_from(f, made)
            node = nodes.get((f, x.output_nr))
            if (other := whole.setdefault(source, step)) != step:
                op = torch_name(source)
                raise ValueError(f"from_torch: one operation ({torch_name(f) if node in at else op}) made the state "
                                 f"{name} of steps {other} and {step}, so neither was computed from the other; give "
                                 "the states that a loop over time handed on, one by one, or none: the steps of a loop "
                                 f"are found in the graph{f'. {fused(op)}' if op in FUSED else ''}")
            if node is not None:
                names[node] = name
            at |= {nodes[f, j]: step for j in range(len(f._input_metadata)) if (f, j) in nodes}
    if rows and not at:
        raise ValueError("from_torch: the loss was not computed from any of these states")
    steps: dict[Node, set[int]] = {node: {step} for node, step in at.items()}
    for state, step in at.items():
        stack = [state]
        while stack:
            for x in stack.pop().inputs:
                if x is None or x in at or x.op is None:
                    continue
                known = steps.setdefault(x, set())
                if step not in known and len(known) < 2:  # a second step settles it, for all below too
                    known.add(step)
                    stack.append(x)
    return {node: next(iter(known)) for node, known in steps.items() if len(known) == 1}, names


def cut_from(f: Any, made: set[Any]) -> Any:
    """What made the numbers that a function only cuts out or moves about; `made` are the functions of the states."""
    while operation(f) in MOVES and len(f.next_functions) == 1:
        g = f.next_functions[0][0]
        if g is None or g in made or is_leaf(g):
            break
        f = g
    return f


def need_order(nodes: list[Node], where: Mapping[Node, int], names: Mapping[Node, str]) -> None:
    """Check that the states come in the order of time, all forwards or, as of a net that reads backwards, all back.

    Raises:
        ValueError: if one was computed from itself of an earlier step in the list, and one from a later.
    """
    sources: dict[Node, set[tuple[str, int]]] = {}  # for each node: the states of other steps that it comes from
    ways: dict[str, dict[bool, tuple[int, int]]] = {}
    for node in nodes:
        if (step := where.get(node)) is None:
            continue
        found = sources[node] = set()
        for x in (x for x in node.inputs if x is not None):
            if x in names and where[x] != step:
                found.add((names[x], where[x]))
            elif where.get(x) == step:
                found |= sources[x]
        name = names.get(node)
        for source, other in found:
            if source == name:
                ways.setdefault(name, {}).setdefault(other < step, (step, other))
    for name, way in ways.items():
        if len(way) > 1:
            (a, b), (c, d) = way[False], way[True]
            raise ValueError(f"from_torch: the states are not in the order of time: {name} of step {a} was computed "
                             f"from that of step {b}, but that of step {c} from that of step {d}; give them in the "
                             "order in which the loop made them")


def need_places(nodes: list[Node], where: Mapping[Node, int], names: Mapping[Node, str]) -> None:
    """Check that each step gives its states in the same order, (h, c) and never (c, h).

    Raises:
        ValueError: if, at another step, what is given as one state is made or read as another one is.
    """
    for seen in patterns(nodes, where, names):
        first: dict[tuple[Any, ...], tuple[int, dict[str, Any]]] = {}
        for step, of in seen.items():
            before, there = first.setdefault(tuple(sorted(of.values())), (step, of))
            for name in of.keys() & there.keys():
                if of[name] != there[name]:
                    other = next(o for o in there if there[o] == of[name])
                    raise ValueError(f"from_torch: the states change places: what step {step} gives as {name} is what "
                                     f"step {before} gives as {other}. Every step gives its states in the same order, "
                                     "[(h_1, c_1), (h_2, c_2), ...]")


def patterns(nodes: list[Node], where: Mapping[Node, int],
             names: Mapping[Node, str]) -> list[dict[int, dict[str, Any]]]:
    """Three descriptions of each state, by step and name.

    They are by which operations it was made; the same with the names of the states that it was made from; and by which
    operations the next step reads it. Where two states have changed places, one of these has too.
    """
    alike: dict[Node | None, int] = {None: 0}  # the first state may be a constant, of which PyTorch knows nothing
    named: dict[Node | None, int] = {None: 0}
    made: dict[int, dict[str, Any]] = {step: {} for step in sorted(set(where.values()))}
    made_from: dict[int, dict[str, Any]] = {step: {} for step in made}
    read: dict[int, dict[str, Any]] = {step: {} for step in made}
    for node in nodes:
        step, parts, of_names = where.get(node), [], []
        for k, x in enumerate(node.inputs):
            if x is not None and x in names and where[x] != step:
                parts.append(0)
                of_names.append(hash(names[x]))
                if step is not None:
                    read[where[x]].setdefault(names[x], []).append((node.op.name, k))
            else:
                parts.append(alike.get(x, 0))
                of_names.append(named.get(x, 0))
        what = (node,) if node.op is None else (node.op.name, str(node.params.get("index")), node.params.get("output"))
        alike[node], named[node] = hash((*what, *parts)), hash((*what, *of_names))
        if node in names and step is not None:
            made[step][names[node]] = alike[node]
            made_from[step][names[node]] = named[node]
    for of in read.values():
        of.update((name, tuple(sorted(ways))) for name, ways in of.items())
    return [made, made_from, read]
