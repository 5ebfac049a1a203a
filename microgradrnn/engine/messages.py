"""Guards: what a message goes through on its way, from the rule that made it to the sum that it is added to.

A guard takes ``(consumer, k, g, message)`` and returns the message, as it is or mended. Each exists only if it is on:
most passes have one guard, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from microgradrnn.engine.cotangent import read_only
from microgradrnn.engine.double_where import Silence
from microgradrnn.engine.guards import check_message, check_unwritten, refuse_change
from microgradrnn.engine.node import Node
from microgradrnn.engine.scope import SCOPE

Observer = Callable[[Node, int, Node, Any], object]
Guard = Callable[[Node, int, Any, Any], Any]


def guards_of(
    live: Collection[Node], behind: set[Node], observe: Observer | None = None, create_graph: bool = False
) -> list[Guard]:
    """The guards of a pass, in the order in which they act.

    Args:
        live: the nodes that the pass comes to.
        behind: nodes that lie behind a `where`; the pass adds to them.
        observe: as in `backward`.
        create_graph: are the messages nodes?
    """
    guards: list[Guard] = []
    anomaly = SCOPE.get().anomaly
    if anomaly:
        guards.append(unwritten)
    traced = any(node.kind.lift is not None for node in live)  # symbols have no numbers to look at
    if not traced and (behind or any(op.selects for op in {node.op for node in live} - {None})):
        guards.append(Silencer(behind, live if create_graph else None))
    if any(node.kind.fit is not None for node in live):
        guards.append(fitted)
    if anomaly:
        guards.append(finite)
    if observe is not None:
        guards.append(Observed(observe))
    return guards


def unwritten(node: Node, k: int, g: Any, message: Any) -> Any:
    """Raise if an array was written to since the forward pass."""
    check_unwritten(node)
    return message


class Silencer:
    """Behind a `where`, 0 times an infinity or a NaN is 0: see `Silence`."""

    def __init__(self, behind: set[Node], recording: Iterable[Node] | None) -> None:
        self.behind, self.recording = behind, recording
        self.known: tuple[Any, Any] = None, None

    def __call__(self, node: Node, k: int, g: Any, message: Any) -> Any:
        if not (node.op.selects or node in self.behind):
            return message
        x = node.inputs[k]
        if x is not None:
            self.behind.add(x)
        if self.known[0] is not node or self.known[1] is not g:  # all messages of a node share what the first found out
            operands = node._args if self.recording is None else recorded(node, self.recording)
            params = {**node.params, "silent": True} if node.op.reverses else node.params
            self.known, self.silence = (node, g), Silence(node.op, g, operands, params)
        return self.silence.over(message, k)


def fitted(node: Node, k: int, g: Any, message: Any) -> Any:
    """In the shape and dtype of the input."""
    return message if node.op.fits else node.kind.fit(message, node._args[k])


def finite(node: Node, k: int, g: Any, message: Any) -> Any:
    """Raise at the first NaN or infinity."""
    check_message(node.op.name, k, message, g, node.scope)
    return message


class Observed:
    """Shows every message to a function."""

    def __init__(self, observe: Observer) -> None:
        self.observe = observe

    def __call__(self, node: Node, k: int, g: Any, message: Any) -> Any:
        self.observe(node, k, node.inputs[k], read_only(message))  # type: ignore[arg-type]
        return message


def recorded(node: Node, live: Iterable[Node]) -> list[Any]:
    """The inputs as nodes, so that a rule applied to them is recorded; plain operands as they are."""
    for k, (x, a) in enumerate(zip(node.inputs, node._args, strict=True)):
        if x is not None and x._data is not a:  # constants too: the rule would use what they are now
            refuse_change(node, k, live)
    return [a if x is None else x for x, a in zip(node.inputs, node._args, strict=True)]
