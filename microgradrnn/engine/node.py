"""Node: one number or array in the graph, and how it was made.

A graph is nothing but nodes that remember their inputs. Each node takes the next serial number when it is made,
so a node is always younger than what it was computed from. That one integer is all the reverse pass needs to know
about order: see ``backward.py``.

Where it was made (module, time step) is kept with it: see ``scope.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from operator import attrgetter
from threading import RLock
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from microgradrnn.engine.read_only import ordinary
from microgradrnn.engine.scope import SCOPE, Scope

T = TypeVar("T")

# Options of PyTorch's backward, and what to do here.
PYTORCH = {
    "retain_graph": "a graph is there as long as you hold its root, so leave it out",
    "gradient": "the cotangent is seed=",
    "inputs": "grad(root, inputs) returns the gradients of those alone",
}

ROLES = ("input", "parameter", "hidden", "cell", "gate", "candidate", "output", "loss")


next_serial = count().__next__

# Held while a gradient is added to a leaf, or a hook to a node: reading, adding and writing back are three steps, and
# threads that share a leaf would lose what another wrote in between. (One thread may take it twice, in a hook.)
SHARED = RLock()


class Node:
    """A value in the graph. Use its two kinds: `Value` (a float) and `Tensor` (an ndarray).

    Attributes:
        data: the value itself. Setting it is allowed on leaves only; what was computed is not to be changed.
        grad: d(root)/d(node), after `backward`.
        op: the `Primitive` that made it; None for a leaf.
        inputs: what it was computed from, in order; None stands for an operand that was no node.
        params: the operation's settings, such as ``axis``.
        serial: the order of making; larger is younger.
        scope: where it was made (`Scope`); `symbol` and `role`: what `mark` says of it.
        requires_grad: does a gradient flow into it?
    """

    __slots__ = ("_args", "_data", "grad", "hooks", "inputs", "op", "params", "requires_grad", "scope", "serial", "tag")

    _data: Any
    grad: Any
    op: Any
    inputs: tuple[Node | None, ...]
    _args: tuple[Any, ...]
    params: dict[str, Any]
    serial: int
    scope: Scope
    hooks: list[Callable[[Any], Any]] | None
    tag: tuple[str | None, str | None]
    requires_grad: bool

    kind: ClassVar[type[Node]]
    no_grad_yet: ClassVar[Any]
    keeps_interior_grad: ClassVar[bool]
    fit: ClassVar[Any]  # how a message is fitted to an input; None where every message fits
    on_floats: ClassVar[bool]
    data_type: ClassVar[type]
    data_type_of: ClassVar[Callable[[Any], Any]]
    lift: ClassVar[Any] = None  # of symbols: what stands for another node; see compiler/symbol.py

    def _fill(
        self, data: Any, scope: Scope, requires_grad: bool, op: Any, inputs: tuple[Node | None, ...],
        args: tuple[Any, ...], params: dict[str, Any],
    ) -> None:  # fmt: skip
        self._data = data
        self.grad = self.no_grad_yet
        self.op = op
        self.inputs = inputs
        self._args = args
        self.params = params
        self.requires_grad = requires_grad
        self.tag = NO_TAG
        self.hooks = None
        self.scope = scope
        self.serial = next_serial()

    def _fill_leaf(self, data: Any, requires_grad: bool) -> None:
        self._fill(data, SCOPE.get(), requires_grad, None, (), (), NO_PARAMS)

    # What the two kinds define.
    constant: ClassVar[Any]  # constant(x): a plain operand, fit to stand beside nodes of this kind
    own: ClassVar[Any]  # own(x): a copy that belongs to the node alone, as leaf data

    def cotangent(self, seed: Any, as_node: bool) -> Any:
        """The seed of a reverse pass from here."""
        raise NotImplementedError

    def accumulate(self, g: Any) -> None:
        """Add g to the gradient."""
        raise NotImplementedError

    def keep_grad(self, g: Any) -> None:
        """Set the gradient of a computed node."""
        raise NotImplementedError

    def finished(self, g: Any, as_node: bool) -> Any:
        """What `grad` returns for this node; g is None where nothing arrived."""
        raise NotImplementedError

    def _set_data(self, new: Any) -> None:
        if self.op is not None:
            raise ValueError(
                f"{self.op.name}: the data of a computed node cannot be rebound{self.scope}; "
                "its gradient would belong to another value. Change a leaf and compute again, or detach() it first."
            )
        self._data = self.own(new)

    data = property(attrgetter("_data"), _set_data)  # attrgetter, because it reads at C speed

    @property
    def args(self) -> tuple[Any, ...]:
        """What the forward pass computed with: the inputs' data, and plain operands as they were given. Read-only."""
        for a in self._args:
            if isinstance(a, np.ndarray):
                a.setflags(write=False)
        return self._args

    @property
    def symbol(self) -> str | None:
        """The letter the equations use for this node, if `mark` gave one."""
        return self.tag[0]

    @property
    def role(self) -> str | None:
        """One of ROLES, if `mark` gave one."""
        return self.tag[1]

    @property
    def label(self) -> str | None:
        """The name that pictures show: the symbol. May be set, as in micrograd's lectures: ``c.label = "c"``."""
        return self.tag[0]

    @label.setter
    def label(self, name: str) -> None:
        self.tag = (name, self.tag[1])

    @property
    def is_leaf(self) -> bool:
        """True for a node that was given, not computed."""
        return self.op is None

    # Nodes are looked up by identity. Comparing one with a number is most likely meant for its data.
    def __eq__(self, other: object) -> bool:
        if isinstance(other, (int, float, np.ndarray, np.generic)):
            raise TypeError("== compares nodes by identity; to compare the numbers, use .data")
        return self is other

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.item(), digits)

    def __int__(self) -> int:
        return int(self.item())

    def item(self) -> float:
        """The number, if there is just one."""
        raise NotImplementedError

    def __reduce__(self) -> Any:
        # A pickled leaf gets a serial of the process that reads it: order is a matter of one process.
        if self.op is not None:
            raise TypeError("only leaves can be pickled or copied, a computed node is its graph: use .data or detach()")
        return _rebuilt, (type(self), ordinary(self._data), self.tag, self.requires_grad)

    def detach(self) -> Self:
        """The same value as a constant: no gradient flows through it. (Truncated BPTT detaches the state.)"""
        node: Self = object.__new__(self.kind)  # type: ignore[assignment]
        node._fill_leaf(self._data, False)
        node.tag = self.tag
        return node

    def backward(self, seed: Any = None, **options: Any) -> None:
        """`microgradrnn.backward(self, seed, **options)`."""
        from microgradrnn.engine.backward import backward

        for name in options and options.keys() & PYTORCH.keys():
            raise TypeError(f"backward: PyTorch's {name}= is not an option here: {PYTORCH[name]}")
        backward(self, seed, **options)

    def register_hook(self, hook: Callable[[Any], Any]) -> Callable[[], None]:
        """Call ``hook(g)`` with this node's gradient in every reverse pass, once it is complete.

        What the hook returns takes the gradient's place; None leaves it as it is. The gradient is an array or float
        (a node under ``create_graph``) and must not be written to.

        Returns:
            A function that takes the hook away again.

        >>> from microgradrnn import Value
        >>> x = Value(3.0)
        >>> h = x * x
        >>> remove = h.register_hook(lambda g: 10 * g)
        >>> (2 * h).backward()
        >>> h.grad, x.grad
        (20.0, 120.0)
        """
        entry = partial(hook)  # this registration, should the same function be registered twice
        with SHARED:
            self.hooks = [*(self.hooks or []), entry]

        def remove() -> None:
            with SHARED:
                self.hooks = [h for h in self.hooks or [] if h is not entry]

        return remove

    def hooked(self, g: Any) -> Any:
        """The gradient after the hooks have seen it, each in the order of registration."""
        for hook in self.hooks or ():
            if isinstance(g, np.ndarray):
                g = g.view()
                g.flags.writeable = False  # it may be shared with other nodes
            replacement = hook(g)
            if replacement is not None:
                try:
                    g = self.cotangent(replacement, isinstance(g, Node))
                except (TypeError, ValueError) as error:
                    name = self.label or type(self).__name__
                    raise type(error)(f"a hook of {name} returned no gradient: {error}") from error
        return g

    def retain_grad(self) -> Self:
        """Keep this computed node's gradient in ``.grad`` after `backward`. (Values do so anyway.) Returns the node."""
        with SHARED:
            self.hooks = [*(self.hooks or []), RETAIN]
        return self

    @property
    def retains_grad(self) -> bool:
        """Will a computed node's gradient be kept?"""
        return self.keeps_interior_grad or (self.hooks is not None and RETAIN in self.hooks)

    def zero_grad(self) -> None:
        """Forget the gradient, so that the next `backward` starts from nothing."""
        self.grad = self.no_grad_yet



def RETAIN(g: Any) -> None:
    """A hook that changes nothing; its presence tells `backward` to keep the gradient."""


NO_PARAMS: dict[str, Any] = {}
NO_TAG = (None, None)


def new_node(
    kind: type[Node], data: Any, scope: Scope, requires_grad: bool, op: Any = None,
    inputs: tuple[Node | None, ...] = (), args: tuple[Any, ...] = (), params: dict[str, Any] = NO_PARAMS,
) -> Node:  # fmt: skip
    """A node of a kind, with its data as they are: neither checked nor copied."""
    node = object.__new__(kind)
    node._fill(data, scope, requires_grad, op, inputs, args, params)
    return node


def mark(node: T, symbol: str | None, role: str | None = None) -> T:
    """Say what a node is: its letter in the equations and its role in the cell. Returns the node.

    Anything that is not a node (a plain array given as an input) passes through unmarked.
    ``role`` is one of ``input parameter hidden cell gate candidate output loss``.

    Raises:
        ValueError: if the role is none of ROLES.

    >>> from microgradrnn import Value, mark
    >>> f = mark(Value(0.3).sigmoid(), "f", role="gate")
    >>> f.symbol, f.role
    ('f', 'gate')
    """
    if role is not None and role not in ROLES:
        raise ValueError(f"mark: {role!r} is not a role; choose one of {', '.join(ROLES)}")
    if isinstance(node, Node):
        node.tag = (symbol, role)
    return node


def _rebuilt(cls: type[Node], data: Any, tag: Any, requires_grad: bool) -> Node:
    node = object.__new__(cls)
    node._fill_leaf(cls.own(data), requires_grad)
    node.tag = tag
    return node


def plain(x: Any) -> Any:
    """The data of a node, for the engine to look at; anything else as it is."""
    return x._data if isinstance(x, Node) else x
