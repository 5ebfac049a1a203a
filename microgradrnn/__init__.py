"""microgradrnn: see how gradients flow through recurrent nets.

>>> from microgradrnn import Value
>>> h, w = Value(0.5), Value(0.9)
>>> for t in range(3):
...     h = (w * h).tanh()
>>> h.backward()
>>> round(w.grad, 4)
0.884
"""

from microgradrnn import nn, optim
from microgradrnn.engine import (
    AnomalyError, Tensor, Value, backward, detect_anomaly, enable_grad, grad, mark, no_grad, scope,
)
from microgradrnn.engine.rules.elementwise import (
    abs,
    cos,
    exp,
    log,
    maximum,
    minimum,
    relu,
    sigmoid,
    sign,
    sin,
    sqrt,
    tanh,
    where,
)
from microgradrnn.engine.rules.linalg import affine, matmul
from microgradrnn.engine.rules.reduction import log_softmax, logsumexp, max, mean, min, softmax, sum
from microgradrnn.engine.rules.shape import astype, broadcast_to, concat, reshape, split, stack, swapaxes, transpose

__version__ = "0.1.0"

__all__ = [
    "AnomalyError", "Tensor", "Value", "abs", "affine", "astype", "backward", "broadcast_to", "concat", "cos", "detect_anomaly", "enable_grad", "exp",
    "grad", "log", "log_softmax", "logsumexp", "mark", "matmul", "max", "maximum", "mean", "min", "minimum", "nn",
    "no_grad", "optim", "relu", "reshape", "scope", "sigmoid", "sign", "sin", "softmax", "split", "sqrt", "stack",
    "sum", "swapaxes", "tanh", "transpose", "where",
]  # fmt: skip
