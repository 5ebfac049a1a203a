"""microgradrnn: see how gradients flow through recurrent nets.

>>> from microgradrnn import Value
>>> h, w = Value(0.5), Value(0.9)
>>> for t in range(3):
...     h = (w * h).tanh()
>>> h.backward()
>>> round(w.grad, 4)
0.884
"""

from inspect import isfunction
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
from microgradrnn.engine.answers import answered
from microgradrnn.engine.functions import FUNCTIONS, INSTEAD
from microgradrnn.engine.rules import composed, elementwise, indexing, matrices, random, reduction, shape
from microgradrnn.engine.rules import linalg as products
from microgradrnn.engine.rules.composed import *
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
__all__ += composed.__all__
__all__ += elementwise.__all__
__all__ += indexing.__all__
__all__ += matrices.__all__
__all__ += products.__all__
__all__ += random.__all__
__all__ += reduction.__all__
__all__ += shape.__all__
# Here, not where they are defined: the engine itself calls them without a detour.
for _name, _f in FUNCTIONS.items():
    if isfunction(_f):
        globals()[_name] = _f = answered(_f)
        _f.__module__ = __name__  # where pickle finds it
del FUNCTIONS, answered, composed, elementwise, indexing, isfunction, matrices, products, random, reduction, shape
del _f, _name


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext microgradrnn`` is ``%load_ext viz``. IPython loads it: this package does not import viz."""
    shell.extension_manager.load_extension("viz")


MADE = "Tensor(np.{}(...)), with `import numpy as np`"
NAMES = {  # of PyTorch, JAX, autograd and NumPy, and what to write
    **{name: f"write {instead}" for name, instead in INSTEAD.items()},
    "r_": "write concat([a, b])", "c_": "write column_stack([a, b])", "row_stack": "write vstack([a, b])",
    "make_vjp": "write y, pull = vjp(f, x)", "make_jvp": "write jvp(f, [x], [v])", "make_hvp": "write hvp(f, [x], [v])",
    "elementwise_grad": "write y.sum().backward()", "defvjp": "write Primitive.define(forward, rule)",
    "primitive": "write Primitive.define(forward, rule)",
    "tensor": "write Tensor(data)", "from_numpy": "write Tensor(array)", "as_tensor": "write Tensor(data)",
    **{name: f"write {MADE.format(name)}" for name in ("zeros", "ones", "arange", "eye", "full", "empty")},
    **dict.fromkeys(("randn", "rand", "normal"), "write Tensor(np.random.default_rng(0).standard_normal(shape))"),
    **dict.fromkeys(("zeros_like", "ones_like"), "np.zeros_like(x) and np.ones_like(x) make plain arrays"),
    "cat": "write concat([x, y], axis)", "manual_seed": "give a seed where numbers are drawn: rng=0",
    "device": "everything is on the CPU here; leave it out", "cuda": "everything is on the CPU here; leave it out",
    **dict.fromkeys(("float32", "float64"), "write np.float32 or np.float64"), "inference_mode": "write no_grad()",
    "set_grad_enabled": "write no_grad(), or enable_grad() inside it", "autograd": "write mg.grad(y, x)",
    **dict.fromkeys(("save", "load"), "microgradrnn.io.save and microgradrnn.io.load do it, with names"),
    "unsqueeze": "write expand_dims(x, axis), as in NumPy", "permute": "write transpose(x, axes), as in NumPy",
    **dict.fromkeys(("mm", "bmm"), "write a @ b"), "clamp": "write clip(x, low, high)",
    "argmax": "write x.data.argmax(): a position has no gradient", "pow": "write x ** n",
    "Function": "write Primitive.define(forward, rule)", "custom_vjp": "write Primitive.define(forward, rule)",
    "numpy": "the functions are here: mg.tanh; NumPy's own take nodes too: np.tanh(x)", "jit": "write mg.compile(f)",
    "value_and_grad": "write mg.compile(f).value_and_grad(x), or y.backward()",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name != "compile":
        hint = f": {NAMES[name]}" if name in NAMES else ""
        raise AttributeError(f"module 'microgradrnn' has no attribute {name!r}{hint}")
    from microgradrnn.compiler.function import compile  # only for those who use it: the import stays light

    return compile
