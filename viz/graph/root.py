"""What can be measured and drawn: a node of the engine, or a loss of PyTorch, which is read into one."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from microgradrnn.engine import Node
from viz.errors import need


class TorchTensor(Protocol):
    """A tensor of PyTorch: it knows what made it."""

    @property
    def grad_fn(self) -> Any:
        """The function that takes back the operation that made it."""


Root: TypeAlias = Node | TorchTensor  # what can be differentiated


def root_of(who: str, root: Any, what: str = "a Value or a Tensor") -> Node:
    """The node that was given, or that of a tensor of PyTorch.

    Args:
        who: the function that was given it, for messages.
        root: what was given.
        what: what is expected.

    Raises:
        TypeError: if it is neither.
        ValueError: if PyTorch recorded nothing for it.
    """
    if is_torch(root):
        from viz.graph.torch.read import read

        return read(root, who=who)
    need(who, root, Node, what)
    node: Node = root
    return node


def as_node(who: str, x: Any) -> Any:
    """A loss of PyTorch as a node; anything else as it is."""
    return root_of(who, x) if is_torch(x) else x


def is_torch(x: Any) -> bool:
    """Is it an object of PyTorch? (Does not import it.)"""
    return type(x).__module__.split(".")[0] == "torch"
