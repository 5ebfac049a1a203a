"""PyTorch's graph of a loss, as a node of the engine: with its time steps, and marked gates and states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from microgradrnn.engine import Node
from microgradrnn.engine.node import next_serial
from microgradrnn.engine.scope import Scope
from viz.errors import MissingToolError
from viz.graph.torch.functions import Call, nodes_of
from viz.graph.torch.gates import Roles, roles_of
from viz.graph.torch.states import by_step, need_order, need_places, placed
from viz.graph.torch.time import At, Times, in_turn, times_of

ROLES = {"h": "hidden", "c": "cell"}


def need_torch() -> Any:
    """PyTorch, or an error that says how to get it."""
    try:
        import torch
    except ImportError:
        raise MissingToolError(
            'from_torch reads graphs of PyTorch, which is not installed: pip install torch, or pip install '
            '"microgradrnn[bench]". For nets of this library use viz.gradient_flow.'
        ) from None
    return torch


def read(
    loss: Any, named_parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | Any = None,
    states: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None, seed: Any = None, who: str = "from_torch",
) -> Node:  # fmt: skip
    """The node of a loss. The arguments and errors are those of `viz.from_torch`; a seed is only checked."""
    torch = need_torch()
    check(torch, loss, seed, who)
    named = {id(p): name for name, p in by_name(torch, named_parameters).items()}
    nodes = nodes_of(loss, named)
    made = list(nodes.values())
    if states is None:
        times = times_of(made)
        made = renumbered(in_turn(made, times.at))
        put(times, roles_of(made, times.at), {})
    else:
        where, names = placed(nodes, by_step(states))
        need_order(made, where, names)
        need_places(made, where, names)
        at = {node: (0, step) for node, step in where.items()}
        made = renumbered(in_turn(made, at))
        roles = roles_of(made, at)
        # States that were given in a row are called by their place; what they do says it better.
        known = roles.marks if not isinstance(states, Mapping) else {}
        for node in [node for node, (_, role) in roles.marks.items() if role in ROLES.values()]:
            if node not in known or node not in names:
                del roles.marks[node]
        put(Times(at, [0], set()), roles, {node: (name, ROLES.get(name)) for node, name in names.items()})
    node = nodes[loss.grad_fn, loss.output_nr]
    assert isinstance(node.params, Call)
    node.params.called = type(named_parameters).__name__ if isinstance(named_parameters, torch.nn.Module) else None
    return node


def renumbered(nodes: list[Node]) -> list[Node]:
    """The nodes with serial numbers in this order."""
    for node in nodes:
        node.serial = next_serial()
    return nodes


def put(times: Times, roles: Roles, names: Mapping[Node, tuple[str, str | None]]) -> None:
    """Tell the nodes where they were made, and what they are."""
    paths = {j: path_of(j, times, roles) for j in range(len(times.depths))}
    scopes: dict[At, Scope] = {}
    for node, (loop, step) in times.at.items():
        if (loop, step) not in scopes:
            scopes[loop, step] = Scope(paths[loop], step, loop="/".join(paths[loop]))
        node.scope = scopes[loop, step]
    for node, tag in (*names.items(), *roles.marks.items()):
        node.tag = tag


def path_of(j: int, times: Times, roles: Roles) -> tuple[str, ...]:
    """The path of a loop: what cell it is, in which layer, and in which direction if there are both.

    >>> times = Times({}, [0, 0, 1], {1})
    >>> [path_of(j, times, Roles({}, {0: "gru", 1: "gru"})) for j in range(3)]
    [('layers.0', 'forwards', 'gru'), ('layers.0', 'backwards', 'gru'), ('layers.1',)]
    """
    layer = f"layers.{times.depths[j]}" if len(times.depths) > 1 else ""
    beside = [i for i, depth in enumerate(times.depths) if depth == times.depths[j]]
    way = "backwards" if j in times.backwards else "forwards"
    both = way if len(beside) > 1 and len(times.backwards.intersection(beside)) == 1 else ""
    return tuple(filter(None, (layer, both, roles.kinds.get(j))))


def check(torch: Any, loss: Any, seed: Any, who: str) -> None:
    """Raise what can be said before anything is done."""
    if isinstance(loss, torch.nn.Module):
        raise TypeError(f"{who}: expected a loss, got a {type(loss).__name__}; call it, and take a loss or an output")
    if not isinstance(loss, torch.Tensor):
        ours = "; for a net of this library use viz.gradient_flow" if hasattr(loss, "serial") else ""
        raise TypeError(f"{who}: expected a torch.Tensor, got {type(loss).__name__}{ours}")
    if loss.grad_fn is None:
        why = "it is a leaf, nothing was computed from it" if loss.requires_grad else \
            "it was computed under no_grad, detached, or from tensors that need no gradient"
        raise ValueError(f"{who}: the tensor has no grad_fn: {why}")
    if seed is None and loss.numel() != 1 and who == "from_torch":
        raise ValueError(f"from_torch: the tensor holds {loss.numel()} numbers, shape {tuple(loss.shape)}: give one "
                         "number, such as its .sum(), or the cotangent as seed=")
    if seed is not None and tuple(seed.shape) != tuple(loss.shape):
        raise ValueError(f"{who}: the seed has shape {tuple(seed.shape)}, the tensor {tuple(loss.shape)}")


def by_name(torch: Any, named_parameters: Any) -> dict[str, Any]:
    """The parameters by name, of a module too."""
    if isinstance(named_parameters, torch.nn.Module):
        named_parameters = named_parameters.named_parameters()
    try:
        named = dict(named_parameters or ())
        if all(isinstance(name, str) for name in named):
            return named
    except (TypeError, ValueError):
        pass  # said below, for parameters that come in a row without names
    raise TypeError("from_torch: parameters come with their names, net.named_parameters(), or in a dict; got "
                    f"a {type(named_parameters).__name__} without")
