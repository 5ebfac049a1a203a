"""Primitive: one operation, declared once, at home in three worlds.

A primitive is a forward for floats, a forward for arrays, and one derivative rule for each input. A rule is written
uncurried, ``rule(g, y, *inputs, **params)``: the cotangent g of the output y, then what the forward pass was given;
it returns the cotangent of one input. It uses only operators and other primitives, so the same line serves

* floats, when the reverse pass runs over `Value` nodes;
* arrays, when it runs over `Tensor` nodes;
* nodes, with ``create_graph=True``: the backward pass is then recorded like any other computation.

Called on plain numbers or arrays a primitive just computes.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from microgradrnn.engine.guards import AnomalyError, accept_anomaly, check_forward, fingerprint, user_line
from microgradrnn.engine.node import NO_PARAMS, Node, new_node
from microgradrnn.engine.scope import SCOPE, TRACING

Rule = Callable[..., Any]
ERRORS = (ArithmeticError, ValueError, TypeError, IndexError)

# Every primitive by name: the table that tests and docs walk through.
PRIMITIVES: dict[str, Primitive] = {}


class Primitive:
    """One differentiable operation.

    Args:
        name: as NumPy calls it.
        on_floats: the forward on Python floats; None if the operation makes no sense on scalars.
        on_arrays: the forward on arrays.
        vjp: one rule an input (None where no gradient flows), or one rule for all (`Every`).
        doc: what it computes, for readers.
        symbol: how pictures write it, such as ``+``.
        fits: do the rules' cotangents have the inputs' shapes and dtypes? By default not: an input may have been
            broadcast, or raised in precision, to meet the others, and the engine fits every message to its input.
        elementwise: does each entry of the output depend on the same entry of the inputs only?
        sound: an array like x at which the operation and its rules are harmless: ones, unless a matrix must be regular.
        selects: does it choose among its operands? What was not chosen may be NaN.
        reverses: is its rule a reverse pass? It is told when it is behind a `where`.

    Attributes:
        unfold: of an operation that stands for many, what replaces its node by theirs; see `unfold.py`.

    >>> from microgradrnn import matmul, tanh
    >>> tanh, matmul.elementwise
    (<primitive tanh>, False)
    """

    unfold: Callable[[Any], None] | None = None

    def __init__(
        self,
        name: str,
        on_floats: Callable[..., Any] | None,
        on_arrays: Callable[..., Any],
        vjp: Sequence[Rule | None] | Every,
        doc: str = "",
        symbol: str | None = None,
        fits: bool = False,
        elementwise: bool = False,
        sound: Callable[[Any], Any] = np.ones_like,
        selects: bool = False,
        reverses: bool = False,
    ) -> None:
        self.name = self.__name__ = name
        self.on_floats = on_floats
        self.on_arrays = on_arrays
        self.vjp = vjp
        self.__doc__ = doc
        self.symbol = symbol or name
        self.fits = fits
        self.elementwise = elementwise
        self.sound = sound
        self.most: float = len(vjp) if elementwise and not isinstance(vjp, Every) else math.inf  # operands
        self.variadic = isinstance(vjp, Every)
        self.selects = selects
        self.reverses = reverses
        PRIMITIVES[name] = self

    @staticmethod
    def define(forward: Callable[..., Any], *rules: Rule | None, name: str | None = None, at: Any = None) -> Primitive:
        """An operation of your own, for Values, Tensors, `grad` of any order, and `microgradrnn.compile`.

        The rules, and the derivatives of the rules, are checked on the spot against differences of the forward.

        Args:
            forward: computes the output from the inputs. On single numbers it may use `math` and ``if``; it is then
                applied to each entry of an array. Parameters with a default, behind the inputs, are settings.
            rules: one for each input, ``rule(g, y, *inputs)``: the cotangent of that input, from the cotangent g of the
                output y. None where no gradient flows. A rule uses operators and functions of microgradrnn.
            name: as pictures and messages call it; by default that of the forward.
            at: an example of each input, where the rules are checked: numbers, or arrays for an operation on whole
                arrays. By default some between 0 and 1, and others, positive and negative, if the forward has a value
                there.

        Returns:
            The operation, to be called with nodes, numbers or arrays.

        Raises:
            GradcheckError: if a rule is wrong: which one, and by how much.
            ValueError: if names, inputs and rules do not fit together, or `at` is needed.
            TypeError: if a rule cannot be checked.

        >>> from microgradrnn import Primitive, Tensor, Value, tanh
        >>> swish = Primitive.define(lambda x: x * (1 + tanh(x / 2)) / 2,
        ...                          lambda g, y, x: g * ((1 + tanh(x / 2)) / 2 + x * (1 - tanh(x / 2) ** 2) / 4),
        ...                          name="swish")
        >>> x, w = Value(0.0), Tensor([0.0, 1.0])
        >>> swish(x).backward(); swish(w).sum().backward()
        >>> x.grad, w.grad.round(4)
        (0.5, array([0.5   , 0.9277]))
        """
        from microgradrnn.engine.define import define  # it checks with passes that are made of primitives

        return define(forward, *rules, name=name, at=at)

    def __reduce__(self) -> Any:
        return primitive, (self.name,)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __call__(self, *operands: Any, **params: Any) -> Any:
        """Compute; if an operand is a node, the result is a node that remembers how it was made."""
        kind, inputs, values, requires_grad = self._unwrap(operands, params)
        if kind is None:
            return self._compute(any(map(is_array, values)), values, params)
        data = self._compute(not kind.on_floats, values, params)
        return self._remember(kind, data, inputs, values, params, requires_grad)

    def _unwrap(
        self, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[Any, tuple[Node | None, ...], list[Any], bool]:
        """The kind of node that comes out (None if no operand is one), the nodes, the data; does a gradient flow?"""
        kind: Any = None
        requires_grad = mixed = False
        values: list[Any] = []
        for x in operands:
            if isinstance(x, Node):
                if kind is None:
                    kind = x.kind
                elif x.kind is not kind:
                    return self._unwrap(self._of_one_kind(operands), params)
                if x.requires_grad:
                    requires_grad = True
                values.append(x._data)
            else:
                mixed = True
                values.append(x)
        if len(values) > self.most or (params and self.elementwise):  # NumPy would write into what it takes for out=
            raise self._misused(values, params)
        inputs: tuple[Node | None, ...] = operands
        if mixed and kind is not None:
            inputs = tuple([x if isinstance(x, Node) else None for x in operands])
            for k, v in enumerate(values):
                if type(v) is not float and inputs[k] is None:
                    values[k] = kind.constant(v)
        return kind, inputs, values, requires_grad

    def _compute(self, on_arrays: bool, values: list[Any], params: dict[str, Any]) -> Any:
        """The forward pass, on floats or on arrays."""
        forward: Any = self.on_arrays if on_arrays else self.on_floats
        try:
            if SCOPE.get().anomaly:
                with np.errstate(all="ignore"):  # the error will say it better than a warning
                    return forward(*values, **params)
            return forward(*values, **params) if params else forward(*values)
        except ERRORS as error:
            return self._recover(not on_arrays, values, params, error)

    def _remember(
        self, kind: Any, data: Any, inputs: tuple[Node | None, ...], values: list[Any], params: dict[str, Any],
        requires_grad: bool,
    ) -> Node:  # fmt: skip
        """A node for the result; with how it was made, if a gradient is to flow through it."""
        if type(data) is not kind.data_type:
            data = kind.data_type_of(data)
        scope = SCOPE.get()
        if scope.anomaly:
            scope = scope.at(user_line())
            check_forward(self.name, data, values, scope)
            scope.fingerprint = fingerprint(data, values)
        recorded = requires_grad and scope.recording
        if not recorded and not TRACING.get():
            return new_node(kind, data, scope, False)
        settled_params = {name: settled(p) for name, p in params.items()} if params else NO_PARAMS
        return new_node(kind, data, scope, recorded, self, inputs, tuple(values), settled_params)

    def pull(self, k: int, g: Any, y: Any, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        """What goes back to the k-th input: its rule, applied to the cotangent g of the output y."""
        rule: Any = self.vjp[k]
        if self.variadic:
            operands = (operands,)
        try:
            return rule(g, y, *operands, **params)
        except AnomalyError:  # a recorded rule may make a NaN on its way: its message is what counts, and is checked
            if self.reverses:
                raise
            with accept_anomaly():
                return rule(g, y, *operands, **params)
        except ArithmeticError:
            return ieee(rule, (g, y, *operands), params)

    def _misused(self, values: list[Any], params: dict[str, Any]) -> TypeError:
        named = f", and {', '.join(f'{name}=' for name in params)}" if params else ""
        takes = f"{self.most} operand{'s' * (self.most > 1)} and no options"
        return TypeError(f"{self.name}: takes {takes}, got {len(values)}{named}{SCOPE.get()}")

    def _recover(self, on_floats: bool, values: list[Any], params: dict[str, Any], error: Exception) -> Any:
        """After a failed forward: compute as IEEE says, or say which operation, operands and place it was."""
        if on_floats and self.on_floats is None:
            error = TypeError("works on Tensors and arrays, not on single numbers")
        elif on_floats and isinstance(error, (ArithmeticError, ValueError)):
            return ieee(self.on_arrays, values, params)
        between = f" {self.symbol} " if len(values) == 2 and not self.symbol.isalpha() else ", "
        operands = between.join(describe(v) for v in values)
        raise type(error)(f"{self.name}: {operands}: {error}{SCOPE.get()}") from error

    def _of_one_kind(self, operands: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operands as symbols, if one of them is a symbol; other kinds do not mix."""
        for x in operands:
            if isinstance(x, Node) and x.kind.lift is not None:
                return tuple(map(x.kind.lift, operands))
        raise TypeError(
            f"{self.name}: a Value and a Tensor do not mix{SCOPE.get()}; a Value holds one float, a Tensor an array. "
            "Use Tensor(value.data) for a constant, or build the whole expression of one kind."
        )


class Elementwise(Primitive):
    """A row of the elementwise table. What is plain about one operand is written out: see `plain.py`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.plain: dict[type, Callable[[Any], Any]] = {}

    def __call__(self, *operands: Any, **params: Any) -> Any:
        """As any primitive."""
        if len(operands) == 1 and not params and (quick := self.plain.get(type(operands[0]))) is not None:
            return quick(operands[0])
        return super().__call__(*operands, **params)


def primitive(name: str) -> Primitive:
    """The operation of that name; pickled operations are found again by it."""
    return PRIMITIVES[name]


class Every:
    """One rule for an operation with any number of inputs: ``rule(k, g, y, inputs, **params)`` for the k-th of them.

    The inputs come as one sequence: unpacked for each of T inputs, they would cost T² in a loop over time.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __getitem__(self, k: int) -> Rule:
        return partial(self.rule, k)


def ieee(f: Callable[..., Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    """Compute as the floating-point standard says, where Python would raise: log(0) = -inf, 1/0 = inf, 0/0 = nan.

    Values then agree with Tensors (and PyTorch) at the hard edges. Only taken when the fast way has failed.
    """
    with np.errstate(all="ignore"):
        result = f(*[np.float64(a) if type(a) in (int, float) else a for a in args], **params)
    return float(result)


def settled(p: Any) -> Any:
    """A parameter of an operation that the caller cannot change before the backward pass: an axis as a number."""
    kind = type(p)
    if kind is int or kind is bool or p is None:
        return p
    if kind is tuple:
        parts = [settled(part) for part in p]
        return p if all(map(operator.is_, parts, p)) else tuple(parts)
    if kind is list:
        return tuple(map(settled, p))
    if kind is slice:
        return slice(settled(p.start), settled(p.stop), settled(p.step))
    if isinstance(p, np.ndarray) and p.flags.writeable:
        return p.copy() if p.ndim else p.item()
    return p


def is_array(x: Any) -> bool:
    """True for what NumPy would compute on: arrays, NumPy scalars, lists."""
    return isinstance(x, (np.ndarray, np.generic, list, tuple))


def describe(a: Any) -> str:
    """An operand in an error message: its shape if it is an array, else itself."""
    return str(a.shape) if isinstance(a, np.ndarray) else repr(a)


def elementwise(name: str, on_float: Callable[..., Any], on_array: Callable[..., Any], *vjp: Rule | None,
                doc: str = "", symbol: str | None = None, selects: bool = False) -> Elementwise:
    """A row of the elementwise table: the float form, the array form, and one rule for each input."""
    return Elementwise(name, on_float, on_array, vjp, doc, symbol, len(vjp) == 1, elementwise=True, selects=selects)

