"""The engine: reverse-mode automatic differentiation on floats (`Value`) and arrays (`Tensor`)."""

from microgradrnn.engine.backward import backward, grad, reverse
from microgradrnn.engine.cotangent import Deferred
from microgradrnn.engine.guards import AnomalyError, detect_anomaly
from microgradrnn.engine.node import Node, mark
from microgradrnn.engine.primitive import PRIMITIVES, Primitive
from microgradrnn.engine.scope import Scope, enable_grad, no_grad, scope
from microgradrnn.engine.tensor import Tensor
from microgradrnn.engine.value import Value

__all__ = [
    "PRIMITIVES", "AnomalyError", "Deferred", "Node", "Primitive", "Scope", "Tensor", "Value",
    "backward", "detect_anomaly", "enable_grad", "grad", "mark", "no_grad", "reverse", "scope",
]
