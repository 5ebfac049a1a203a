"""The elementwise table: one row an operation, as on a page of a calculus book.

    name = elementwise(name, on floats, on arrays, rule for input 0, rule for input 1, ...)

In a rule g is the cotangent of the output y; the inputs follow. Shapes are not a rule's business: a broadcast
input gets its gradient summed back in one place, in the engine.

Where a derivative does not exist, the table takes

==================  ====================================================================
relu at 0           0
abs, sign at 0      0
maximum, minimum    at a tie, half to each side
clip at a bound     1, as inside
floor, ceil, round  0, also at the jumps
sqrt, log at 0      infinite, as it is (`norm` at 0 takes 0)
power at 0 ** 0     0 in both
hypot at (0, 0)     0 in both, the middle of the unit disc
arctan2 at (0, 0)   0 in both
logaddexp           0 in both where both operands are -inf
remainder, jumps    the slope beside the jump: 1, and -floor(a / b)
anything at NaN     whatever the comparison says, since a NaN compares false
==================  ====================================================================
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import numpy as np

from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.primitive import Elementwise, Primitive, elementwise

__all__ = [
    "abs", "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "around",
    "ceil", "clip", "cos", "cosh", "divide", "erf", "exp", "exp2", "expm1", "fabs", "floor", "hypot", "log", "log1p",
    "log2", "log10", "logaddexp", "maximum", "minimum", "mod", "multiply", "negative", "power", "reciprocal", "relu",
    "remainder", "round", "sigmoid", "sign", "sin", "sinh", "softplus", "sqrt", "square", "subtract", "tan", "tanh",
    "true_divide", "where",
]  # fmt: skip

# ---------------------------------------------------------------------------------------------- arithmetic
add = elementwise(
    "add", operator.add, np.add,
    lambda g, y, a, b: g,
    lambda g, y, a, b: g,
    symbol="+", doc="a + b.",
)  # fmt: skip
subtract = elementwise(
    "subtract", operator.sub, np.subtract,
    lambda g, y, a, b: g,
    lambda g, y, a, b: -g,
    symbol="-", doc="a - b.",
)  # fmt: skip
multiply = elementwise(
    "multiply", operator.mul, np.multiply,
    lambda g, y, a, b: g * b,
    lambda g, y, a, b: g * a,
    symbol="*", doc="a * b.",
)  # fmt: skip
divide = elementwise(
    "divide", operator.truediv, np.divide,
    lambda g, y, a, b: g / b,
    lambda g, y, a, b: -g * y / b,
    symbol="/", doc="a / b.",
)  # fmt: skip
true_divide = divide
power: Elementwise = elementwise(
    "power", math.pow, np.power,
    lambda g, y, a, b: g * b * power(a, _one_less(a, b)),
    lambda g, y, a, b: g * y * log(where(_no_logarithm(a, b), 1.0, a)),
    symbol="**", doc="a to the power b.",
)  # fmt: skip


def _one_less(a: Any, b: Any) -> Any:
    """The exponent b - 1 of the slope b a^(b - 1); where b = 0, one for which the slope is 0 also at a = 0 or ±inf.

    A node b may be differentiated again, which gives a^(b - 1) at b = 0. There only a = 0 is an exception.
    """
    less = b - 1.0
    if isinstance(b, Node):
        return where((plain(a) == 0) & (plain(b) == 0), 1.0, less)
    return where(b == 0, 0.0, less)


def _no_logarithm(a: Any, b: Any) -> Any:
    """Where a^b log(a) is 0 although log(a) is infinite: 0^b is flat in b > 0, and inf^b in b < 0."""
    return (plain(a) == 0) & (plain(b) >= 0) | (plain(a) == math.inf) & (plain(b) < 0)


remainder = elementwise(
    "remainder", operator.mod, np.remainder,
    lambda g, y, a, b: g,
    # a = b * floor(a / b) + y. Rounding (a - y) / b gives that whole number even where a / b rounds up to the next.
    lambda g, y, a, b: -g * round(divide(plain(a) - plain(y), plain(b))),
    symbol="%", doc="a % b, with the sign of b: a less the largest whole multiple of b that is not beyond it.",
)  # fmt: skip
mod = remainder
negative = elementwise("negative", operator.neg, np.negative, lambda g, y, x: -g, symbol="-", doc="-x.")
square = elementwise("square", lambda x: x * x, np.square, lambda g, y, x: g * (2 * x), symbol="²", doc="x * x.")
reciprocal = elementwise("reciprocal", lambda x: 1 / x, np.reciprocal, lambda g, y, x: -g * (y * y), doc="1 / x.")

# ------------------------------------------------------------------------------------ exponentials and powers
exp: Elementwise = elementwise("exp", math.exp, np.exp, lambda g, y, x: g * y, doc="e to the power x.")
exp2 = elementwise("exp2", math.exp2, np.exp2, lambda g, y, x: g * (y * math.log(2)), doc="2 to the power x.")
expm1 = elementwise("expm1", math.expm1, np.expm1, lambda g, y, x: g * exp(x), doc="exp(x) - 1, exact near 0.")
log: Elementwise = elementwise(
    "log", lambda x: math.log(x), np.log, lambda g, y, x: g / x, doc="The natural logarithm of x.",  # no base
)  # fmt: skip
log1p = elementwise("log1p", math.log1p, np.log1p, lambda g, y, x: g / (1 + x), doc="log(1 + x), exact near 0.")
log2 = elementwise("log2", math.log2, np.log2, lambda g, y, x: g / (x * math.log(2)), doc="The logarithm to base 2.")
log10 = elementwise(
    "log10", math.log10, np.log10, lambda g, y, x: g / (x * math.log(10)), doc="The logarithm to base 10.",
)  # fmt: skip
sqrt: Elementwise = elementwise("sqrt", math.sqrt, np.sqrt, lambda g, y, x: g / (2 * y), doc="The square root of x.")

# ---------------------------------------------------------------------------- circular and hyperbolic functions
sin: Elementwise = elementwise("sin", math.sin, np.sin, lambda g, y, x: g * cos(x), doc="The sine of x (radians).")
cos: Elementwise = elementwise("cos", math.cos, np.cos, lambda g, y, x: -g * sin(x), doc="The cosine of x (radians).")
tan = elementwise("tan", math.tan, np.tan, lambda g, y, x: g * (1 + y * y), doc="The tangent of x (radians).")
arcsin = elementwise("arcsin", math.asin, np.arcsin, lambda g, y, x: g / sqrt(1 - x * x), doc="The inverse of sin.")
arccos = elementwise("arccos", math.acos, np.arccos, lambda g, y, x: -g / sqrt(1 - x * x), doc="The inverse of cos.")
arctan2 = elementwise(
    "arctan2", math.atan2, np.arctan2,
    # x / r², divided by r twice, so that r² need not be a number of the machine.
    lambda g, out, y, x: g * (x / (r := _radius(y, x)) / r),
    lambda g, out, y, x: -g * (y / (r := _radius(y, x)) / r),
    doc="The angle of the point (x, y), from -π to π; y comes first.",
)  # fmt: skip
arctan = elementwise("arctan", math.atan, np.arctan, lambda g, y, x: g / (1 + x * x), doc="The inverse of tan.")
sinh: Elementwise = elementwise("sinh", math.sinh, np.sinh, lambda g, y, x: g * cosh(x), doc="The hyperbolic sine.")
cosh: Elementwise = elementwise("cosh", math.cosh, np.cosh, lambda g, y, x: g * sinh(x), doc="The hyperbolic cosine.")
tanh = elementwise("tanh", math.tanh, np.tanh, lambda g, y, x: g * (1 - y * y), doc="The hyperbolic tangent of x.")
arcsinh = elementwise("arcsinh", math.asinh, np.arcsinh, lambda g, y, x: g / hypot(x, 1.0), doc="The inverse of sinh.")
arccosh = elementwise(
    "arccosh", math.acosh, np.arccosh, lambda g, y, x: g / (sqrt(x - 1) * sqrt(x + 1)), doc="The inverse of cosh.",
)  # fmt: skip
arctanh = elementwise("arctanh", math.atanh, np.arctanh, lambda g, y, x: g / (1 - x * x), doc="The inverse of tanh.")

# ------------------------------------------------------------------------------------------------- activations


def _sigmoid_of_float(x: float) -> float:
    e = math.exp(builtins.min(x, 40.0))
    return e / (1 + e)


def _sigmoid_of_array(x: Any) -> Any:
    # e^x / (1 + e^x) keeps full relative accuracy for x << 0 and reaches 0 without overflow; from x = 40 on
    # it is exactly 1 in float64, so nothing is lost by stopping there.
    e = np.exp(np.minimum(x, _40))
    return e / (e + _1)


# NumPy takes twice as long to add a Python number to a small array as to add another array. These are float32, so
# that they raise no array's precision.
_1, _40 = np.array(1, np.float32), np.array(40, np.float32)

sigmoid: Elementwise = elementwise(
    "sigmoid", _sigmoid_of_float, _sigmoid_of_array, lambda g, y, x: g * (y - y * y),
    symbol="σ", doc="The logistic function 1 / (1 + exp(-x)), safe from overflow.",
)  # fmt: skip
softplus = elementwise(
    "softplus",
    lambda x: math.log1p(math.exp(-math.fabs(x))) + builtins.max(x, 0.0),
    lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0),
    lambda g, y, x: g * sigmoid(x),
    doc="log(1 + exp(x)), a smooth relu, safe from overflow.",
)
relu = elementwise(
    "relu", lambda x: 0.0 if x < 0 else x, lambda x: np.maximum(x, 0), lambda g, y, x: g * (y > 0),
    symbol="ReLU", doc="max(x, 0).",
)  # fmt: skip


def _erf_of_array(x: Any) -> Any:
    # NumPy has no erf; the standard library's is exact, one number at a time.
    x = np.asarray(x)
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), dtype=x.dtype if x.dtype.kind == "f" else np.float64)


erf = elementwise(
    "erf", math.erf, _erf_of_array, lambda g, y, x: g * (exp(-(x * x)) * (2 / math.sqrt(math.pi))),
    doc="The error function, 2/√π times the integral of exp(-t²) from 0 to x.",
)  # fmt: skip

# ------------------------------------------------------------------------------------------- size and direction
abs = elementwise(
    "abs", math.fabs, np.abs, lambda g, y, x: g * sign(x), symbol="|·|", doc="The absolute value of x.",
)  # fmt: skip
absolute = fabs = abs
sign: Elementwise = elementwise(
    "sign", lambda x: float((x > 0) - (x < 0)) if x == x else x, np.sign, None,
    doc="-1, 0 or 1. Flat, so no gradient flows.",
)  # fmt: skip
hypot: Elementwise = elementwise(
    "hypot", math.hypot, np.hypot,
    lambda g, y, a, b: g * (a / _nonzero(y)),
    lambda g, y, a, b: g * (b / _nonzero(y)),
    doc="sqrt(a² + b²), safe from overflow and underflow.",
)  # fmt: skip


def _nonzero(y: Any) -> Any:
    """y, but 1 where it is 0: a / hypot(a, b) is then 0 at the origin."""
    return where(plain(y) == 0, 1.0, y)


def _radius(y: Any, x: Any) -> Any:
    return _nonzero(hypot(y, x))


floor = elementwise("floor", math.floor, np.floor, None, doc="The next integer below. Flat: no gradient flows.")
ceil = elementwise("ceil", math.ceil, np.ceil, None, doc="The next integer above. Flat: no gradient flows.")
_round = Primitive(
    "round", lambda x, decimals: builtins.round(x, decimals), lambda x, decimals: np.round(x, decimals), (None,),
)  # fmt: skip


def round(x: Any, decimals: int = 0) -> Any:
    """x to the nearest integer, or to so many decimals. Flat, so no gradient flows.

    >>> import numpy as np
    >>> round(np.array([1.26, -0.5]), 1)
    array([ 1.3, -0.5])
    """
    return _round(x, decimals=decimals)


around = round


# ------------------------------------------------------------------------------------------------------ choices
maximum = elementwise(
    "maximum", lambda a, b: a if a >= b or a != a else b, np.maximum,
    lambda g, y, a, b: g * _share(a, b),
    lambda g, y, a, b: g * _share(b, a),
    symbol="max", doc="The larger of a and b, element by element. At a tie each gets half of the gradient.",
)  # fmt: skip
minimum = elementwise(
    "minimum", lambda a, b: a if a <= b or a != a else b, np.minimum,
    lambda g, y, a, b: g * _share(b, a),
    lambda g, y, a, b: g * _share(a, b),
    symbol="min", doc="The smaller of a and b, element by element. At a tie each gets half of the gradient.",
)  # fmt: skip


def _share(a: Any, b: Any) -> Any:
    """How much of max(a, b) is a: 1, 0, or 1/2 at a tie. (Comparing nodes compares their data.)"""
    return (a >= b) * 0.5 + (a > b) * 0.5


logaddexp = elementwise(
    "logaddexp", lambda a, b: _logaddexp_of_floats(a, b), np.logaddexp,
    lambda g, y, a, b: g * _share_of_sum(y, a, b),
    lambda g, y, a, b: g * _share_of_sum(y, b, a),
    doc="log(exp(a) + exp(b)), safe from overflow.",
)  # fmt: skip


def _logaddexp_of_floats(a: float, b: float) -> float:
    if a == b:  # two infinities have no difference
        return a + math.log(2)
    return builtins.max(a, b) + math.log1p(math.exp(-math.fabs(a - b))) if a == a else a


def _share_of_sum(y: Any, a: Any, b: Any) -> Any:
    """How much of exp(y) = exp(a) + exp(b) is exp(a). Equal infinities have no difference: half each, of 0 nothing."""
    equal = (plain(a) == plain(b)) & (abs(plain(y)) == math.inf)
    return where(plain(y) == -math.inf, 0.0, sigmoid(where(equal, 0.0, a) - where(equal, 0.0, b)))


_where: Elementwise = elementwise(
    "where", lambda condition, x, y: x if condition else y, np.where,
    None,
    lambda g, out, condition, x, y: where(condition, g, 0.0),
    lambda g, out, condition, x, y: where(condition, 0.0, g),
    selects=True,
)  # fmt: skip


def where(condition: Any, x: Any, y: Any) -> Any:
    """x where the condition holds, else y, element by element.

    No gradient flows into the condition, nor into what was not chosen, whatever happened there:
    ``where(x > 0, log(x), 0)`` is safe. Infinite slopes and NaNs of the branch not taken stay out of the gradient
    through every operation, in every order of differentiation: see `microgradrnn/engine/double_where.py`.

    Args:
        condition: a bool, or an array of bools, such as ``x > 0``.
        x, y: numbers, arrays or nodes; shapes broadcast.

    Raises:
        TypeError: if the condition is a node; a condition has no gradient.

    >>> from microgradrnn import Tensor, where
    >>> x = Tensor([-1.0, 2.0])
    >>> where(x > 0, x, 0.1 * x).data
    array([-0.1,  2. ])
    """
    if isinstance(condition, Node) and np.asarray(plain(condition)).dtype != bool:  # (a symbol may be a bool)
        raise TypeError("where: the condition must be a bool or an array of bools, such as x > 0; got a node")
    if type(condition) is bool and type(x) is float and type(y) is float:
        return x if condition else y  # inside a rule on floats
    return _where(condition, x, y)


def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """x held between two bounds; either may be None. The gradient is 0 outside them, and 1 at them, as inside.

    ``min=`` and ``max=`` are other names of the bounds, as in NumPy and PyTorch.

    Raises:
        TypeError: if a bound is given twice, as ``a_min`` and as ``min``.

    >>> from microgradrnn import Tensor, clip
    >>> clip(Tensor([-2.0, 0.5, 3.0]), -1, 1).data
    array([-1. ,  0.5,  1. ])
    """
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise TypeError("clip: a bound is given twice; a_min and min are two names of one, and so are a_max and max")
    a_min, a_max = (min if a_min is None else a_min), (max if a_max is None else a_max)
    if a_min is not None:
        x = where(plain(x) < plain(a_min), a_min, x)
    if a_max is not None:
        x = where(plain(x) > plain(a_max), a_max, x)
    return x
