"""Operators and methods that Values and Tensors share. Each is one primitive; nothing is computed here."""

from __future__ import annotations

from typing import Any

from microgradrnn.engine.node import plain
from microgradrnn.engine.rules import elementwise as e
from microgradrnn.engine.scope import SCOPE


class Operators:
    """``a + b``, ``-a``, ``a ** b``, ``a > b``, ``a.tanh()`` for nodes."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        return e.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return e.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return e.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return e.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return e.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return e.multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return e.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return e.divide(other, self)

    def __mod__(self, other: Any) -> Any:
        return e.remainder(self, other)

    def __rmod__(self, other: Any) -> Any:
        return e.remainder(other, self)

    def __pow__(self, other: Any) -> Any:
        return e.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return e.power(other, self)

    # `a += b` makes a new node and gives it the name, as for numbers. Only under no_grad(), where PyTorch's training
    # loops write `p -= lr * p.grad`, is a leaf itself changed.
    def __iadd__(self, other: Any) -> Any:
        return self._assign(e.add, other)

    def __isub__(self, other: Any) -> Any:
        return self._assign(e.subtract, other)

    def __imul__(self, other: Any) -> Any:
        return self._assign(e.multiply, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._assign(e.divide, other)

    def __ipow__(self, other: Any) -> Any:
        return self._assign(e.power, other)

    def _assign(self, operation: Any, other: Any) -> Any:
        node: Any = self
        result = operation(node, other)
        if node.op is None and node.requires_grad and not SCOPE.get().recording:
            node.data = result.data
            return node
        return result

    def __pos__(self) -> Any:
        return self

    def __neg__(self) -> Any:
        return e.negative(self)

    def __abs__(self) -> Any:
        return e.abs(self)

    # Comparisons give plain bools (or arrays of them): no gradient flows through a choice. There is no `==`,
    # because nodes are looked up by identity; compare `.data`.
    def __lt__(self, other: Any) -> Any:
        return plain(self) < plain(other)

    def __le__(self, other: Any) -> Any:
        return plain(self) <= plain(other)

    def __gt__(self, other: Any) -> Any:
        return plain(self) > plain(other)

    def __ge__(self, other: Any) -> Any:
        return plain(self) >= plain(other)

    def exp(self) -> Any:
        """e to the power of this."""
        return e.exp(self)

    def expm1(self) -> Any:
        """exp(x) - 1."""
        return e.expm1(self)

    def log(self) -> Any:
        """The natural logarithm."""
        return e.log(self)

    def log1p(self) -> Any:
        """log(1 + x)."""
        return e.log1p(self)

    def sqrt(self) -> Any:
        """The square root."""
        return e.sqrt(self)

    def square(self) -> Any:
        """The square."""
        return e.square(self)

    def sin(self) -> Any:
        """The sine."""
        return e.sin(self)

    def cos(self) -> Any:
        """The cosine."""
        return e.cos(self)

    def tanh(self) -> Any:
        """The hyperbolic tangent."""
        return e.tanh(self)

    def sigmoid(self) -> Any:
        """The logistic function."""
        return e.sigmoid(self)

    def softplus(self) -> Any:
        """log(1 + exp(x))."""
        return e.softplus(self)

    def relu(self) -> Any:
        """max(x, 0)."""
        return e.relu(self)

    def abs(self) -> Any:
        """The absolute value."""
        return e.abs(self)
