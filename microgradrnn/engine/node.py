"""Node: one number or array in the graph, and how it was made.

A graph is nothing but nodes that remember their inputs. Each node takes the next serial number when it is made,
so a node is always younger than what it was computed from. That one integer is all the reverse pass needs to know
about order: see ``backward.py``.

What is in force *where* a node is made (is the graph being recorded? which module, which time step?) lives in two
context variables, so that it is right per thread and survives exceptions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from itertools import count
from operator import attrgetter
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

T = TypeVar("T")

ROLES = ("input", "parameter", "hidden", "cell", "gate", "candidate", "output", "loss")


class Scope(NamedTuple):
    """Where a node was made: the path of module names, and the time step (None outside any step)."""

    path: tuple[str, ...] = ()
    step: int | None = None

    def __str__(self) -> str:
        """For error messages: `` [in lstm, t=3]``, or nothing at the top level."""
        where = [f"in {'/'.join(self.path)}"] if self.path else []
        if self.step is not None:
            where.append(f"t={self.step}")
        return f" [{', '.join(where)}]" if where else ""


SCOPE: ContextVar[Scope] = ContextVar("scope", default=Scope())  # noqa: B039 (a Scope is immutable)
RECORDING: ContextVar[bool] = ContextVar("recording", default=True)

next_serial = count().__next__


class Node:
    """A value in the graph. Use its two kinds: `Value` (a float) and `Tensor` (an ndarray).

    Attributes:
        data: the value itself. Setting it is allowed on leaves only; what was computed is not to be changed.
        grad: d(root)/d(node), after `backward`.
        op: the `Primitive` that made it; None for a leaf.
        inputs: what it was computed from, in order; None stands for an operand that was no node.
        args: the inputs' data (and plain operands) as the forward pass saw them.
        params: the operation's settings, such as ``axis``.
        serial: the order of making; larger is younger.
        scope: where it was made (`Scope`); `symbol` and `role`: what `mark` says of it.
        requires_grad: does a gradient flow into it?
    """

    __slots__ = ("_data", "args", "grad", "inputs", "op", "params", "requires_grad", "scope", "serial", "tag")

    _data: Any
    grad: Any
    op: Any
    inputs: tuple[Node | None, ...]
    args: tuple[Any, ...]
    params: dict[str, Any]
    serial: int
    scope: Scope
    tag: tuple[str | None, str | None]
    requires_grad: bool

    kind: ClassVar[type[Node]]
    no_grad_yet: ClassVar[Any]
    keeps_interior_grad: ClassVar[bool]
    fit: ClassVar[Any]  # how a message is fitted to an input; None where every message fits
    on_floats: ClassVar[bool]
    data_type: ClassVar[type]
    data_type_of: ClassVar[Callable[[Any], Any]]

    # NumPy must not take a node for an array of objects: `ndarray @ Tensor` then reaches Tensor.__rmatmul__.
    __array_ufunc__: ClassVar[Any] = None

    def _fill(
        self,
        data: Any,
        op: Any,
        inputs: tuple[Node | None, ...],
        args: tuple[Any, ...],
        params: dict[str, Any],
        requires_grad: bool,
    ) -> None:
        self._data = data
        self.grad = self.no_grad_yet
        self.op = op
        self.inputs = inputs
        self.args = args
        self.params = params
        self.requires_grad = requires_grad
        self.tag = NO_TAG
        self.scope = SCOPE.get()
        self.serial = next_serial()

    # What the two kinds define.
    constant: ClassVar[Any]  # constant(x): a plain operand, fit to stand beside nodes of this kind
    own: ClassVar[Any]  # own(x): a copy that belongs to the node alone, as leaf data

    def cotangent(self, seed: Any, as_node: bool) -> Any:
        """The seed of a reverse pass from here."""
        raise NotImplementedError

    def accumulate(self, g: Any) -> None:
        """Add g to the gradient."""
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
    def symbol(self) -> str | None:
        """The letter the equations use for this node, if `mark` gave one."""
        return self.tag[0]

    @property
    def role(self) -> str | None:
        """One of ROLES, if `mark` gave one."""
        return self.tag[1]

    @property
    def is_leaf(self) -> bool:
        """True for a node that was given, not computed."""
        return self.op is None

    def detach(self) -> Self:
        """The same value as a constant: no gradient flows through it. (Truncated BPTT detaches the state.)"""
        node: Self = object.__new__(self.kind)  # type: ignore[assignment]
        node._fill(self._data, None, (), (), NO_PARAMS, False)
        node.tag = self.tag
        return node

    def backward(self, seed: Any = None, **options: Any) -> None:
        """`microgradrnn.backward(self, seed, **options)`."""
        from microgradrnn.engine.backward import backward

        backward(self, seed, **options)

    def zero_grad(self) -> None:
        """Forget the gradient, so that the next `backward` starts from nothing."""
        self.grad = self.no_grad_yet


NO_PARAMS: dict[str, Any] = {}
NO_TAG = (None, None)


class scope:  # noqa: N801 (reads as a statement: `with scope("lstm"):`)
    """``with scope("lstm", step=3):`` tags every node made inside with that module name and time step.

    Scopes nest: paths add up, the innermost step wins. Pictures and error messages read them; the engine does not.

    >>> from microgradrnn import Value, scope
    >>> with scope("cell", step=2):
    ...     y = Value(1.0) * 3
    >>> y.scope.path, y.scope.step
    (('cell',), 2)
    """

    __slots__ = ("_name", "_step", "_token")

    def __init__(self, name: str | None = None, step: int | None = None) -> None:
        self._name, self._step = name, step

    def __enter__(self) -> Scope:
        path, step = SCOPE.get()
        if self._name is not None:
            path = (*path, self._name)
        inner = Scope(path, step if self._step is None else self._step)
        self._token = SCOPE.set(inner)
        return inner

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        SCOPE.reset(self._token)


class no_grad:  # noqa: N801
    """``with no_grad():`` computes without recording: results are constants, and no graph is kept.

    >>> from microgradrnn import Value, no_grad
    >>> with no_grad():
    ...     y = Value(2.0) * 3
    >>> y.requires_grad
    False
    """

    __slots__ = ("_token",)
    _to = False

    def __enter__(self) -> None:
        self._token = RECORDING.set(self._to)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        RECORDING.reset(self._token)


class enable_grad(no_grad):  # noqa: N801
    """``with enable_grad():`` records again, inside a `no_grad` block."""

    __slots__ = ()
    _to = True


def mark(node: T, symbol: str | None, role: str | None = None) -> T:
    """Say what a node is: its letter in the equations and its role in the cell. Returns the node.

    Anything that is not a node (a plain array given as an input) passes through unmarked.
    ``role`` is one of ``input parameter hidden cell gate candidate output loss``.

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


def plain(x: Any) -> Any:
    """The data of a node; anything else as it is."""
    return x.data if isinstance(x, Node) else x
