"""The elementwise table: one row an operation, as on a page of a calculus book.

    name = elementwise(name, on floats, on arrays, rule for input 0, rule for input 1, ...)

In a rule g is the cotangent of the output y; the inputs follow. Shapes are not a rule's business: a broadcast
input gets its gradient summed back in one place, in the engine.

Where a derivative does not exist the table takes: relu'(0) = 0, abs'(0) = sign(0) = 0, and at a tie maximum and
minimum give half to each side. sqrt'(0) and log'(0) are infinite, as they are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.primitive import Primitive, elementwise

# ---------------------------------------------------------------------------------------------- arithmetic
add = elementwise(
    "add", lambda a, b: a + b, np.add,
    lambda g, y, a, b: g,
    lambda g, y, a, b: g,
    symbol="+", doc="a + b.",
)
sub = elementwise(
    "subtract", lambda a, b: a - b, np.subtract,
    lambda g, y, a, b: g,
    lambda g, y, a, b: -g,
    symbol="-", doc="a - b.",
)
mul = elementwise(
    "multiply", lambda a, b: a * b, np.multiply,
    lambda g, y, a, b: g * b,
    lambda g, y, a, b: g * a,
    symbol="*", doc="a * b.",
)
div = elementwise(
    "divide", lambda a, b: a / b, np.divide,
    lambda g, y, a, b: g / b,
    lambda g, y, a, b: -g * y / b,
    symbol="/", doc="a / b.",
)
neg = elementwise(
    "negative", lambda a: -a, np.negative,
    lambda g, y, a: -g,
    symbol="-", doc="-a.",
)


def _power_of_floats(a: float, b: float) -> float:
    return math.pow(a, b)  # unlike a ** b, which turns complex for a < 0


power: Primitive = elementwise(
    "power", _power_of_floats, np.power,
    # The exponent 0 gets slope 0 even at a = 0, where b * a ** (b - 1) would be 0 * inf.
    lambda g, y, a, b: g * b * power(a, where(plain(b) == 0, 1.0, b - 1.0)),
    # 0 ** b is flat in b; there log(a) would be -inf.
    lambda g, y, a, b: g * y * log(where(plain(a) == 0, 1.0, a)),
    symbol="**", doc="a to the power b.",
)

# ---------------------------------------------------------------------------------------------- functions
exp: Primitive = elementwise("exp", math.exp, np.exp, lambda g, y, x: g * y, doc="e to the power x.")
log: Primitive = elementwise("log", math.log, np.log, lambda g, y, x: g / x, doc="The natural logarithm of x.")
sqrt: Primitive = elementwise("sqrt", math.sqrt, np.sqrt, lambda g, y, x: g / (2 * y), doc="The square root of x.")
sin: Primitive = elementwise("sin", math.sin, np.sin, lambda g, y, x: g * cos(x), doc="The sine of x (radians).")
cos: Primitive = elementwise("cos", math.cos, np.cos, lambda g, y, x: -g * sin(x), doc="The cosine of x (radians).")
tanh: Primitive = elementwise(
    "tanh", math.tanh, np.tanh, lambda g, y, x: g * (1 - y * y), doc="The hyperbolic tangent of x.",
)


def _sigmoid_of_float(x: float) -> float:
    e = math.exp(min(x, 40.0))
    return e / (1 + e)


def _sigmoid_of_array(x: Any) -> Any:
    # e^x / (1 + e^x) keeps full relative accuracy for x << 0 and reaches 0 without overflow; from x = 40 on
    # it is exactly 1 in float64, so nothing is lost by stopping there.
    e = np.exp(np.minimum(x, _40))
    return e / (e + _1)


# NumPy takes twice as long to add a Python number to a small array as to add another array. These are float32, so
# that they raise no array's precision.
_1, _40 = np.array(1, np.float32), np.array(40, np.float32)

sigmoid = elementwise(
    "sigmoid", _sigmoid_of_float, _sigmoid_of_array, lambda g, y, x: g * (y * (1 - y)),
    symbol="σ", doc="The logistic function 1 / (1 + exp(-x)), safe from overflow.",
)
relu = elementwise(
    "relu", lambda x: 0.0 if x < 0 else x, lambda x: np.maximum(x, 0), lambda g, y, x: g * (y > 0),
    symbol="ReLU", doc="max(x, 0).",
)
abs = elementwise(
    "abs", math.fabs, np.abs, lambda g, y, x: g * sign(x), symbol="|·|", doc="The absolute value of x.",
)
sign: Primitive = elementwise(
    "sign", lambda x: float((x > 0) - (x < 0)) if x == x else x, np.sign, None,
    doc="-1, 0 or 1. Flat, so no gradient flows.",
)

# ---------------------------------------------------------------------------------------------- choices
maximum = elementwise(
    "maximum", lambda a, b: a if a >= b or a != a else b, np.maximum,
    lambda g, y, a, b: g * _share(a, b),
    lambda g, y, a, b: g * _share(b, a),
    symbol="max", doc="The larger of a and b, element by element. At a tie each gets half of the gradient.",
)
minimum = elementwise(
    "minimum", lambda a, b: a if a <= b or a != a else b, np.minimum,
    lambda g, y, a, b: g * _share(b, a),
    lambda g, y, a, b: g * _share(a, b),
    symbol="min", doc="The smaller of a and b, element by element. At a tie each gets half of the gradient.",
)


def _share(a: Any, b: Any) -> Any:
    """How much of max(a, b) is a: 1, 0, or 1/2 at a tie. (Comparing nodes compares their data.)"""
    return (a >= b) * 0.5 + (a > b) * 0.5


_where: Primitive = elementwise(
    "where", lambda condition, x, y: x if condition else y, np.where,
    None,
    lambda g, out, condition, x, y: where(condition, g, 0.0),
    lambda g, out, condition, x, y: where(condition, 0.0, g),
)


def where(condition: Any, x: Any, y: Any) -> Any:
    """x where the condition holds, else y, element by element; no gradient flows into the condition.

    Args:
        condition: a bool, or an array of bools, such as ``x > 0``.
        x, y: numbers, arrays or nodes; shapes broadcast.

    >>> from microgradrnn import Tensor, where
    >>> x = Tensor([-1.0, 2.0])
    >>> where(x > 0, x, 0.1 * x).data
    array([-0.1,  2. ])
    """
    if isinstance(condition, Node):
        raise TypeError("where: the condition must be a bool or an array of bools, such as x > 0; got a node")
    if type(condition) is bool and type(x) is float and type(y) is float:
        return x if condition else y  # inside a rule on floats
    return _where(condition, x, y)
