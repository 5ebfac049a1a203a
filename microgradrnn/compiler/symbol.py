"""Symbols: Tensors without numbers, on which primitives, rules and cells run as they are.

The rules of the engine are written in operators and primitives, so they have a fourth world besides floats, arrays and
nodes: a `Symbol` is a Tensor whose array only *stands in*, with the right shape and dtype, for numbers that are not
known yet. A function that is called with symbols leaves a graph of them; the reverse pass differentiates that graph
like any other (``create_graph=True``). `trace.py` does both.

What asks a symbol for its numbers (``if h > 0``, ``float(h)``) is refused with an error that says what to do instead.
A comparison such as ``h > 0`` is a symbol too, so that ``where(h > 0, a, b)`` can be traced.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple, NoReturn

import numpy as np

from microgradrnn.compiler.errors import TraceError
from microgradrnn.engine import Node, Tensor, mark
from microgradrnn.engine.guards import user_line
from microgradrnn.engine.node import NO_PARAMS, new_node
from microgradrnn.engine.plain import specialise
from microgradrnn.engine.scope import SCOPE


def refuse(*_: Any, **__: Any) -> NoReturn:
    """Say that the function asks for numbers."""
    raise TraceError(
        "compile: the function asks for numbers that are known only when it runs (if, while, float(), .item(), .data, "
        "functions of math). Choose with where(condition, a, b), compare the Tensor itself, as in h > 0, use the "
        f"functions of microgradrnn, or do not compile it [at {user_line()}]"
    )


class StandIn(np.ndarray):
    """What a symbol has in place of numbers. NumPy's ufuncs of it are remembered, since rules compare with them."""

    owner: Node | None  # the symbol that it belongs to
    made: tuple[str, tuple[Any, ...], dict[str, Any]] | None  # the ufunc that made it, and from what

    def __array_finalize__(self, obj: Any) -> None:
        self.owner = self.made = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if any(isinstance(x, Node) for x in inputs):
            return NotImplemented  # the symbol records it
        given = {key: numbers(x) for key, x in options.items()}
        if out is not None:
            given["out"] = tuple(map(numbers, out))
        result = getattr(ufunc, method)(*map(numbers, inputs), **given)
        if out is not None:
            return out[0]
        result = stand_in(result)
        result.made = (ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}", inputs, options)
        return result

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function is not np.where or len(args) != 3:
            return super().__array_function__(function, types, args, options)
        result = stand_in(np.where(*map(numbers, args)))
        result.made = ("where", args, {})
        return result

    def round(self, decimals: int = 0, out: Any = None) -> Any:  # type: ignore[override]
        """To whole numbers, remembered; to decimals, which no rule asks for, not."""
        return np.rint(self) if decimals == 0 else stand_in(numbers(self).round(decimals))

    __bool__ = __float__ = __int__ = __index__ = item = tolist = refuse


def numbers(x: Any) -> Any:
    """A stand-in as a plain array, for NumPy."""
    return x.view(np.ndarray) if isinstance(x, StandIn) else x


def stand_in(x: Any) -> StandIn:
    """An array, in the part of a stand-in."""
    return np.asarray(x).view(StandIn)


class Recorded(NamedTuple):
    """An operation of NumPy that no gradient flows through: a comparison, or the negation of one."""

    name: str
    unfold: None = None


class Symbol(Tensor):
    """A Tensor without numbers."""

    __slots__ = ("_stand_in",)
    data_type = StandIn
    data_type_of = staticmethod(stand_in)  # type: ignore[assignment]

    @staticmethod
    def leaf(like: np.ndarray, name: str | None = None, role: str | None = None) -> Symbol:
        """A symbol for something of that shape and dtype."""
        node: Any = new_node(Symbol, like, SCOPE.get(), True)
        return mark(node, name, role)

    # A stand-in knows its symbol, for the rules that look at the data.
    def _get_stand_in(self) -> Any:
        return self._stand_in

    def _set_stand_in(self, like: Any) -> None:
        self._stand_in = stand_in(like.view(np.ndarray))
        self._stand_in.owner = self

    _data = property(_get_stand_in, _set_stand_in)
    data = property(refuse)

    @staticmethod
    def constant(x: Any) -> Any:
        """A plain operand. A stand-in is as good as its symbol; an array is kept as it was."""
        return x if isinstance(x, StandIn) else Tensor.constant(x)

    def detach(self) -> Any:
        """The same numbers; no gradient flows."""
        return recorded("positive", self)

    def item(self) -> NoReturn:
        """Refused: there is no number yet."""
        refuse()

    __bool__ = __float__ = __int__ = __index__ = __round__ = refuse

    def __repr__(self) -> str:
        return f"Symbol({self.symbol or ''}, shape={self.shape}, dtype={self.dtype})"

    def __getitem__(self, index: Any) -> Any:
        if any(isinstance(i, (Node, StandIn)) for i in (index if isinstance(index, tuple) else (index,))):
            refuse()  # which entries those are, only the numbers say
        return super().__getitem__(index)

    def __lt__(self, other: Any) -> Any:
        return recorded("less", self, other)

    def __le__(self, other: Any) -> Any:
        return recorded("less_equal", self, other)

    def __gt__(self, other: Any) -> Any:
        return recorded("greater", self, other)

    def __ge__(self, other: Any) -> Any:
        return recorded("greater_equal", self, other)

    def __and__(self, other: Any) -> Any:
        return recorded("logical_and", self, other)

    def __or__(self, other: Any) -> Any:
        return recorded("logical_or", self, other)

    def __invert__(self) -> Any:
        return recorded("logical_not", self)

    __rand__, __ror__ = __and__, __or__


def recorded(name: str, *operands: Any) -> Node:
    """The symbol of a ufunc that no gradient flows through."""
    operands = tuple(map(lift, operands))
    values = tuple(x._data if isinstance(x, Node) else Symbol.constant(x) for x in operands)
    inputs = tuple(x if isinstance(x, Node) else None for x in operands)
    return new_node(Symbol, getattr(np, name)(*values), SCOPE.get(), False, Recorded(name), inputs, values, NO_PARAMS)


# While a function is traced: what makes a symbol of a node that the function closes over.
LIFT: ContextVar[Callable[[Node], Node]] = ContextVar("lift")


def lift(x: Any) -> Any:
    """A node that a traced function uses, as a symbol; what is no node, as it is."""
    return x if isinstance(x, Symbol) or not isinstance(x, Node) else LIFT.get()(x)


Symbol.kind = Symbol
Symbol.lift = staticmethod(lift)
specialise(Symbol)
