"""Value: a node whose data is a Python float. A drop-in for micrograd's."""

from __future__ import annotations

from typing import Any, ClassVar

from microgradrnn.engine.functions import NumpyProtocols
from microgradrnn.engine.node import Node
from microgradrnn.engine.operators import Operators
from microgradrnn.engine.plain import specialise
from microgradrnn.engine.rules import elementwise as e

NO_CLOSURE = (
    "an operation of your own is mg.Primitive.define(forward, rule, ...), with a rule for each input in place of the "
    "closure: self.grad += other.data * out.grad becomes lambda g, y, a, b: g * b"
)  # fmt: skip


class Value(Operators, NumpyProtocols, Node):
    """A float that remembers how it was computed.

    Args:
        data: a number.
        _children, _op: what micrograd's operations pass on. A leaf has neither; see `Primitive.define`.
        label: a name for pictures and messages.
        requires_grad: False makes a constant.

    Raises:
        TypeError: if data is not a number.

    >>> a, b = Value(2.0), Value(-3.0)
    >>> y = (a * b + a).tanh()
    >>> y.backward()
    >>> y
    Value(data=-0.999329299739067, grad=1.0)
    >>> a.grad == -2 * (1 - y.data ** 2)
    True
    """

    __slots__ = ("_arriving",)  # the sum of messages so far, while a plain pass runs
    _arriving: float
    no_grad_yet: ClassVar[float] = 0.0
    keeps_interior_grad: ClassVar[bool] = True
    on_floats: ClassVar[bool] = True
    fit = None
    data_type = data_type_of = float

    def __init__(
        self, data: float, _children: tuple[()] = (), _op: str = "", label: str | None = None, *,
        requires_grad: bool = True,
    ) -> None:  # fmt: skip
        if _children or _op:
            raise TypeError(f"Value: a leaf has no children and no operation; {NO_CLOSURE}")
        self._fill_leaf(self.own(data), requires_grad)
        if label is not None:
            self.label = label

    @staticmethod
    def own(x: Any) -> float:
        """x as a float."""
        if isinstance(x, Node):
            raise TypeError("Value: got a node; a Value is made from a number (use node.data, or the node itself)")
        try:
            if isinstance(x, (str, bytes)):
                raise TypeError
            return float(x)
        except (TypeError, ValueError):
            raise TypeError(
                f"a Value holds one real number, got {type(x).__name__}: {x!r}. For arrays use Tensor."
            ) from None

    constant = own

    def cotangent(self, seed: Any, as_node: bool) -> Any:
        """The seed of a reverse pass from here: 1 unless given."""
        if isinstance(seed, Value):
            return seed if as_node else seed.data
        g = 1.0 if seed is None else self.own(seed)
        return Value(g, requires_grad=False) if as_node else g

    def accumulate(self, g: Any) -> None:
        """Add g to the gradient."""
        self.grad = self.grad + g

    def keep_grad(self, g: Any) -> None:
        """Set the gradient of a computed node."""
        self.grad = g

    def finished(self, g: Any, as_node: bool) -> Any:
        """What `grad` returns for this node: zero where nothing arrived."""
        if g is None:
            g = 0.0
        return Value(g, requires_grad=False) if as_node and not isinstance(g, Node) else g

    def max(self, other: Any) -> Any:
        """The larger of the two; at a tie each gets half of the gradient."""
        return e.maximum(self, other)

    def min(self, other: Any) -> Any:
        """The smaller of the two; at a tie each gets half of the gradient."""
        return e.minimum(self, other)

    def item(self) -> float:
        """The number itself."""
        result: float = self._data
        return result

    __float__ = item

    def __repr__(self) -> str:
        return f"Value(data={self._data}, grad={self.grad})"

    # What micrograd calls them; its drawing code then works on our Values too.
    @property
    def _prev(self) -> set[Node]:
        return {x for x in self.inputs if x is not None}

    @property
    def _op(self) -> str:
        return "" if self.op is None else str(self.op.symbol)

    @property
    def _backward(self) -> Any:
        raise AttributeError(f"a Value has no _backward; backward() does the whole pass, and {NO_CLOSURE}")

    @_backward.setter
    def _backward(self, closure: Any) -> None:
        raise AttributeError(f"a Value has no _backward to be set; {NO_CLOSURE}")


Value.kind = Value
specialise(Value)
