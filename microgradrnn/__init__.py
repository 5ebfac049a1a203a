"""microgradrnn: see how gradients flow through recurrent nets.

>>> from microgradrnn import Value
>>> h, w = Value(0.5), Value(0.9)
>>> for t in range(3):
...     h = (w * h).tanh()
>>> h.backward()
>>> round(w.grad, 4)
0.884
"""

from typing import TYPE_CHECKING, Any

from microgradrnn import linalg, nn, optim
from microgradrnn.compiler.errors import TraceError
from microgradrnn.engine import (
    AnomalyError,
    GradcheckError,
    Primitive,
    Tensor,
    Value,
    backward,
    checkpoint,
    detect_anomaly,
    enable_grad,
    grad,
    gradcheck,
    hessian,
    hvp,
    jacobian,
    jvp,
    mark,
    no_grad,
    scope,
    vjp,
)
from microgradrnn.engine.rules import elementwise, indexing, matrices, random, reduction, shape
from microgradrnn.engine.rules import linalg as products
from microgradrnn.engine.rules.elementwise import *
from microgradrnn.engine.rules.indexing import *
from microgradrnn.engine.rules.linalg import *
from microgradrnn.engine.rules.matrices import *
from microgradrnn.engine.rules.random import *
from microgradrnn.engine.rules.reduction import *
from microgradrnn.engine.rules.shape import *

if TYPE_CHECKING:
    from microgradrnn.compiler.function import compile

__version__ = "0.1.0"

__all__ = [
    "AnomalyError", "GradcheckError", "Primitive", "Tensor", "TraceError", "Value", "backward", "checkpoint", "compile",
    "detect_anomaly", "enable_grad", "grad", "gradcheck", "hessian", "hvp", "jacobian", "jvp", "linalg", "mark", "nn",
    "no_grad", "optim", "scope", "vjp",
]  # fmt: skip
__all__ += elementwise.__all__
__all__ += indexing.__all__
__all__ += matrices.__all__
__all__ += products.__all__
__all__ += random.__all__
__all__ += reduction.__all__
__all__ += shape.__all__
del elementwise, indexing, matrices, products, random, reduction, shape


def __getattr__(name: str) -> Any:
    if name != "compile":
        raise AttributeError(f"module 'microgradrnn' has no attribute {name!r}")
    from microgradrnn.compiler.function import compile  # only for those who use it: the import stays light

    return compile
