"""PyTorch's graph as nodes of the engine: the same computation, differentiated by PyTorch's own functions.

PyTorch links backwards: ``loss.grad_fn`` is the function that takes the last operation back, and its
``next_functions`` are those of the operands. Each output of a function becomes a `Node`, whose rule calls the function:
so a reverse pass of this engine, over these nodes, computes PyTorch's gradients.

PyTorch does not record what needs no gradient, and keeps numbers only where a derivative needs them. A node has the
numbers that some function kept; where none did, its data are `Unknown`: a shape and a dtype, without numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np

from microgradrnn.engine import Node, Tensor
from microgradrnn.engine.node import new_node
from microgradrnn.engine.primitive import PRIMITIVES
from microgradrnn.engine.scope import Scope
from viz.graph.unknown import Guess, Unknown, Unseen

# PyTorch's names where ours differ: pictures and measurements know the same operations by the same names.
OURS = {
    "mul": "multiply", "sub": "subtract", "rsub": "subtract", "neg": "negative", "div": "divide", "pow": "power",
    "mm": "matmul", "bmm": "matmul", "mv": "matmul", "addmm": "affine", "t": "transpose", "permute": "transpose",
    "cat": "concat", "select": "getitem", "slice": "getitem", "index": "getitem", "embedding": "getitem",
    "split": "getitem", "unsafe_split": "getitem", "split_with_sizes": "getitem", "unbind": "getitem",
    "view": "reshape", "unsafe_view": "reshape", "squeeze": "reshape", "unsqueeze": "reshape",
    "expand": "broadcast_to", "_to_copy": "astype", "to_copy": "astype",
}
SIGNS = {"multiply": "*", "add": "+", "subtract": "-", "negative": "-", "divide": "/", "matmul": "@", "power": "**"}
# Functions of one array that work entry by entry.
ENTRYWISE = {"sigmoid", "hardsigmoid", "tanh", "hardtanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus",
             "log_sigmoid", "exp", "log", "sin", "cos", "sqrt", "abs", "negative"}
SIMPLE = {"multiply", "add", "subtract", "negative", "divide", "matmul", "affine", "sigmoid", "tanh", "relu",
          "getitem", "reshape", "transpose"}  # what is computed again where PyTorch kept no numbers
# The names under which functions keep their operands, where they are not self and other.
KEPT = {"mm": ("self", "mat2"), "bmm": ("self", "mat2"), "mv": ("self", "vec"), "addmm": ("self", "mat1", "mat2"),
        "addcmul": ("self", "tensor1", "tensor2"), "lerp": ("self", "end", "weight")}
ORDER = {"addmm": (1, 2, 0)}  # PyTorch adds the bias first; here x @ W + b is (x, W, b)

Output = tuple[Any, int]  # a function, and which of its outputs


class Call(dict[str, Any]):
    """The settings of an operation, and the function that takes it back.

    Attributes:
        function, output: the function of PyTorch, and which of its outputs the node is.
        order: for each operand of the node, its place in PyTorch's order.
        called: of a loss, what the net is called.
    """

    def __init__(self, settings: Mapping[str, Any], function: Any, output: int, order: tuple[int, ...]) -> None:
        super().__init__(settings)
        self.function, self.output, self.order = function, output, order
        self.called: str | None = None


class Operation:
    """An operation of PyTorch; to the reverse pass it is a `Primitive` whose rule calls PyTorch."""

    unfold = None
    reverses = selects = fits = variadic = False
    source = "PyTorch"

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name
        self.symbol = SIGNS.get(name, name)
        self.elementwise = name in ENTRYWISE or name in SIGNS.keys() - {"matmul"}
        self.vjp = self  # there is a rule for every operand
        self.known: tuple[Any, Any, Any] = None, None, None

    def __getitem__(self, k: int) -> Operation:
        return self

    def __call__(self, *operands: Any, **params: Any) -> Any:
        """What our operation of that name computes."""
        if self.name not in PRIMITIVES:
            raise TypeError(f"{self.name}: an operation of PyTorch, which is not computed again here")
        return PRIMITIVES[self.name](*operands, **params)

    def __repr__(self) -> str:
        return f"<{self.name} of PyTorch>"

    def pull(self, k: int, g: Any, y: Any, operands: Any, params: Any) -> Any:
        """What goes back to the k-th operand. One call of the function serves all operands."""
        known = self.known
        if known[0] is not params or known[1] is not g:
            known = self.known = params, g, taken_back(params.function, params.output, g)
        message = known[2][params.order[k]]
        return np.zeros_like(operands[k], subok=False) if message is None else message


@cache
def operation_of(name: str) -> Operation:
    """The operation of this name."""
    return Operation(name)


def operation(f: Any) -> str:
    """The name of the operation that a function takes back.

    >>> class MulBackward0: pass
    >>> class LogSoftmaxBackward0: pass
    >>> operation(MulBackward0()), operation(LogSoftmaxBackward0())
    ('multiply', 'log_softmax')
    """
    name = torch_name(f)
    return OURS.get(name, name)


def torch_name(f: Any) -> str:
    """The same in PyTorch's words."""
    return in_words(type(f).__name__)


@cache
def in_words(name: str) -> str:
    """The name of a class of functions as words.

    >>> in_words("LogSoftmaxBackward0")
    'log_softmax'
    """
    words = re.sub(r"Backward\d*$", "", name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()


# ------------------------------------------------------------------------------------------------ the way back
def taken_back(f: Any, output: int, g: Any) -> list[Any]:
    """What a function makes of the gradient of one of its outputs: an array for each operand, or None."""
    import torch

    made = f._input_metadata[output]
    given = torch.tensor(np.asarray(g), device=made.device)
    given = torch.view_as_complex(given) if made.dtype.is_complex else given.to(made.dtype)
    with torch.no_grad(), kept_graph():
        if hasattr(f, "apply"):  # written in Python: it takes an array for every output, and answers for every operand
            filled = (given if j == output else torch.zeros(one.shape, dtype=one.dtype, device=one.device)
                      for j, one in enumerate(f._input_metadata))
            answered = f.apply(*filled)
            answered = answered if isinstance(answered, tuple) else (answered,)
            tensors = iter([x for x, needed in zip(answered, f.needs_input_grad, strict=True) if needed])
            results = [None if x is None else next(tensors) for x, _ in f.next_functions]
        else:
            answered = f(*(given if j == output else None for j in range(len(f._input_metadata))))
            results = list(answered) if isinstance(answered, tuple) else [answered]
    return [None if x is None else array(x) for x in results]


@contextmanager
def kept_graph() -> Iterator[None]:
    """Say what to do if PyTorch has thrown a graph away."""
    try:
        yield
    except RuntimeError as error:
        if "second time" not in str(error):
            raise
        raise RuntimeError(
            "from_torch: PyTorch has thrown this graph away after an earlier backward(); call viz.from_torch first, "
            "or backward(retain_graph=True)"
        ) from None


def array(x: Any) -> np.ndarray:
    """The numbers of a tensor, wherever it lies; those of half precision in single, complex ones in pairs."""
    import torch

    x = x.detach()
    x = x.to_dense() if x.is_sparse else x
    x = torch.view_as_real(x) if x.is_complex() else x
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    return np.asarray(x.resolve_conj().resolve_neg().cpu().numpy())


def form(x: Any) -> tuple[tuple[int, ...], Any]:
    """The shape and dtype of the `array` of a tensor, from what PyTorch knows of one."""
    shape, dtype = tuple(x.shape), x.dtype
    if dtype.is_complex:
        return (*shape, 2), np.float64 if dtype.itemsize == 16 else np.float32
    return shape, np.float64 if dtype.itemsize == 8 else np.float32


# ------------------------------------------------------------------------------------------------ the way there
def nodes_of(loss: Any, named: Mapping[int, str]) -> dict[Output, Node]:
    """A node for each output that leads to a loss, in the order of making.

    Args:
        loss: a tensor.
        named: what to call parameters, by id.
    """
    root = loss.grad_fn, loss.output_nr
    functions = in_order(root[0])
    read = {root, *(edge for f in functions for edge in f.next_functions if edge[0] is not None)}
    with kept_graph():
        known = kept_numbers(functions) | {root: array(loss)}
    nodes: dict[Output, Node] = {}
    for f in functions:
        if is_leaf(f):
            nodes[f, 0] = leaf(f, named)
            continue
        for output in range(len(f._input_metadata)):
            if (f, output) in read:
                nodes[f, output] = computed(f, output, nodes, known)
    return nodes


def in_order(root: Any) -> list[Any]:
    """All functions that lead to the root, what was made first before what was made from it."""
    readers: dict[Any, list[Any]] = {root: []}
    waiting: dict[Any, int] = {}
    stack = [root]
    while stack:
        f = stack.pop()
        before = [x for x, _ in f.next_functions if x is not None]
        waiting[f] = len(before)
        for x in before:
            if x not in readers:
                readers[x] = []
                stack.append(x)
            readers[x].append(f)
    # Leaves have no number of their own: each takes that of the first function that reads it.
    number = {f: (f._sequence_nr(), 1) for f in readers if not is_leaf(f)}
    number |= {f: (min(number[v][0] for v in found), 0) for f, found in readers.items() if is_leaf(f)}
    ready = [(number[f], j, f) for j, f in enumerate(readers) if not waiting[f]]
    heapify(ready)
    order: list[Any] = []
    count = len(readers)
    while ready:
        f = heappop(ready)[2]
        order.append(f)
        for v in readers[f]:
            waiting[v] -= 1
            if not waiting[v]:
                count += 1
                heappush(ready, (number[v], count, v))
    return order


def is_leaf(f: Any) -> bool:
    """Is it where a gradient comes to rest?"""
    return hasattr(f, "variable")


def leaf(f: Any, named: Mapping[int, str]) -> Node:
    """The node of a leaf."""
    import torch

    x = f.variable
    name = named.get(id(x))
    node = new_node(Tensor, array(x), Scope(), True)
    node.tag = name, "parameter" if name is not None or isinstance(x, torch.nn.Parameter) else None
    return node


def computed(f: Any, output: int, nodes: Mapping[Output, Node], known: Mapping[Output, np.ndarray]) -> Node:
    """The node of one output of a function."""
    places = ORDER.get(torch_name(f), tuple(range(len(f.next_functions))))
    edges = [f.next_functions[k] for k in places]
    inputs: list[Node | None] = [None if x is None else nodes[x, j] for x, j in edges]
    data = known.get((f, output), Unknown.of(*form(f._input_metadata[output])))
    args = [plain_operand(f, k, inputs, data) if x is None else x._data for k, x in zip(places, inputs, strict=True)]
    if torch_name(f) == "rsub":  # other - self, and of other nothing is kept
        other = together(data, args[0])
        inputs, args, places = [None, *inputs], [math.nan if other is None else other, *args], (-1, *places)
    op, params = operation_of(operation(f)), Call(dict(settings(f, output)), f, output, places)
    if isinstance(data, Unknown):
        data = computed_again(op, args, params, data)
    return new_node(Tensor, data, Scope(), True, op, tuple(inputs), tuple(args), params)


def computed_again(op: Operation, args: list[Any], params: Call, like: np.ndarray) -> np.ndarray:
    """The numbers that nobody kept, if they are simple to compute from those that are known."""
    if op.name not in SIMPLE or getattr(params.function, "_saved_alpha", 1) != 1:
        return like
    if any(isinstance(a, (Unknown, Unseen)) or a is math.nan for a in args):
        return like
    found = np.asarray(op(*args, **params), like.dtype)
    return found if found.shape == like.shape else like


def settings(f: Any, output: int) -> Iterator[tuple[str, Any]]:
    """The settings of the operations that only move entries about, as in NumPy."""
    name, op, (shape, dtype) = torch_name(f), operation(f), form(f._input_metadata[output])
    if name in ("index", "embedding"):
        found = f._saved_indices
        yield "index", array(found) if name == "embedding" else tuple(
            slice(None) if i is None else array(i) for i in found)
    elif op == "getitem":
        part = cut(f, output)
        dim = signed(f._saved_dim)
        axis = dim if dim >= 0 else dim + len(shape) + isinstance(part, int)
        yield "index", (*[slice(None)] * axis, part) if axis else part
    elif op == "transpose":
        axes = list(range(len(shape)))
        if name == "permute":
            axes = [signed(axis) % len(shape) for axis in f._saved_dims]
        else:
            a, b = (signed(f._saved_dim0), signed(f._saved_dim1)) if name == "transpose" else (0, -1)
            axes[a], axes[b] = axes[b], axes[a]
        yield "axes", tuple(axes)
    elif op in ("concat", "stack"):
        yield "axis", signed(f._saved_dim) % len(shape)
    elif op in ("reshape", "broadcast_to"):
        yield "shape", shape
    elif op == "astype":
        yield "dtype", np.dtype(dtype)
    elif len(f._input_metadata) > 1:
        yield "output", output


def cut(f: Any, output: int) -> int | slice:
    """The part that a function takes out along its axis."""
    name = torch_name(f)
    if name == "unbind":
        return output
    if name == "select":
        return signed(f._saved_index)
    if name == "slice":
        length = f._saved_self_sym_sizes[signed(f._saved_dim)]
        return slice(signed(f._saved_start), min(signed(f._saved_end), length), f._saved_step)
    dim = signed(f._saved_dim)
    lengths = [made.shape[dim] for made in f._input_metadata]
    return slice(sum(lengths[:output]), sum(lengths[:output + 1]))


def signed(n: int) -> int:
    """PyTorch writes -1 as 2⁶⁴ - 1.

    >>> signed(2**64 - 1), signed(3)
    (-1, 3)
    """
    return n - 2**64 if n >= 2**63 else n


# ------------------------------------------------------------------------------------------------ known numbers
def kept_numbers(functions: list[Any]) -> dict[Output, np.ndarray]:
    """The numbers of the outputs that a function kept: its own result, or its operands."""
    found: dict[Output, np.ndarray] = {}
    for f in functions:
        if is_leaf(f):
            continue
        if (result := kept(f, "result")) is not None and len(f._input_metadata) == 1:
            found[f, 0] = result
        for k, (x, output) in enumerate(f.next_functions):
            if x is not None and not is_leaf(x) and (x, output) not in found:
                numbers = kept_operand(f, k)
                if numbers is not None and numbers.shape == form(x._input_metadata[output])[0]:
                    found[x, output] = numbers
    return found


def kept_operand(f: Any, k: int) -> np.ndarray | None:
    """The numbers of the k-th operand, if the function kept them."""
    names = KEPT.get(torch_name(f), ("self", "other"))
    return kept(f, names[k]) if k < len(names) else None


def kept(f: Any, name: str) -> np.ndarray | None:
    """The numbers that a function kept under a name; None if there are none, or they were changed since."""
    import torch

    try:
        x = getattr(f, f"_saved_{name}", None)
    except RuntimeError as error:
        if "second time" in str(error):
            raise
        return None  # its numbers were changed in place
    return array(x) if isinstance(x, torch.Tensor) else None


def plain_operand(f: Any, k: int, inputs: list[Node | None], y: np.ndarray) -> Any:
    """What is known of an operand that needs no gradient: its numbers, or its shape, or nothing."""
    name, others = torch_name(f), [x for x in inputs if x is not None]
    if (found := kept_operand(f, k)) is not None:
        return found.item() if found.ndim == 0 else found
    if name in ("add", "sub") and len(others) == 1:
        x = others[0]._data
        found = together(y, x) if (name, k) == ("sub", 0) else together(x, -y) if name == "sub" else together(y, -x)
        return Unseen() if found is None else Guess(found) if isinstance(found, float) else found
    if name == "cat" and len(inputs) == len(others) + 1:
        axis = signed(f._saved_dim)
        shape = list(y.shape)
        shape[axis] -= sum(x._data.shape[axis] for x in others)
        return Unknown.of(tuple(shape), y.dtype)
    return Unseen()


def together(a: np.ndarray, b: np.ndarray) -> Any:
    """The constant a + b, worked out from rounded numbers: one number, if all entries are the same and not 0.

    (Zeros are a first state.) None if the numbers of one are not known.

    >>> together(np.array([0.7, 0.2]), np.array([0.3, 0.8]))
    1.0
    """
    if isinstance(a, Unknown) or isinstance(b, Unknown):
        return None
    found = (a + b).round(6 if a.dtype == np.float32 else 12)
    return float(found.flat[0]) if found.size and (found == found.flat[0]).all() and found.any() else found
