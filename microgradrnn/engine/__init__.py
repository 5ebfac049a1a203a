"""The engine: reverse-mode automatic differentiation on floats (`Value`) and arrays (`Tensor`)."""

from microgradrnn.engine.backward import backward, grad, reverse
from microgradrnn.engine.cotangent import Deferred
from microgradrnn.engine.node import Node, Scope, enable_grad, mark, no_grad, scope
from microgradrnn.engine.primitive import PRIMITIVES, Primitive
from microgradrnn.engine.tensor import Tensor
from microgradrnn.engine.value import Value

__all__ = [
    "PRIMITIVES", "Deferred", "Node", "Primitive", "Scope", "Tensor", "Value",
    "backward", "enable_grad", "grad", "mark", "no_grad", "reverse", "scope",
]
