"""The engine: reverse-mode automatic differentiation on floats (`Value`) and arrays (`Tensor`)."""

from microgradrnn.engine.allocator import collector_paused
from microgradrnn.engine.backward import backward, grad, reverse
from microgradrnn.engine.checkpoint import checkpoint
from microgradrnn.engine.cotangent import Deferred
from microgradrnn.engine.functions import FUNCTIONS
from microgradrnn.engine.gradcheck import GradcheckError, gradcheck
from microgradrnn.engine.guards import AnomalyError, detect_anomaly
from microgradrnn.engine.node import Node, mark
from microgradrnn.engine.primitive import PRIMITIVES, Primitive
from microgradrnn.engine.scope import Scope, enable_grad, no_grad, scope
from microgradrnn.engine.tensor import Tensor
from microgradrnn.engine.transforms import hessian, hvp, jacobian, jvp, vjp
from microgradrnn.engine.value import Value

__all__ = [
    "FUNCTIONS", "PRIMITIVES", "AnomalyError", "Deferred", "GradcheckError", "Node", "Primitive", "Scope",
    "Tensor", "Value", "backward", "checkpoint", "collector_paused", "detect_anomaly", "enable_grad", "grad",
    "gradcheck", "hessian", "hvp", "jacobian", "jvp", "mark", "no_grad", "reverse", "scope", "vjp",
]  # fmt: skip
