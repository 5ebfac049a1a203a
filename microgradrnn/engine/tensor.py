"""Tensor: a node whose data is an ndarray."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from microgradrnn.engine import cotangent
from microgradrnn.engine.answers import answered
from microgradrnn.engine.functions import METHODS, NumpyProtocols
from microgradrnn.engine.node import Node
from microgradrnn.engine.operators import Operators
from microgradrnn.engine.plain import specialise
from microgradrnn.engine.read_only import Frozen
from microgradrnn.engine.rules import indexing, linalg, reduction, shape


class Tensor(Operators, NumpyProtocols, Node):
    """An array that remembers how it was computed.

    The array is copied, and the copy is frozen: what a forward pass has used cannot change under its gradient.
    ``w.data -= 0.1 * w.grad`` updates a leaf all the same: it makes a new array. Plain arrays and numbers beside
    Tensors are constants; wrap in a Tensor what you want the gradient of.

    Every function of microgradrnn that takes an array first is a method too: ``t.squeeze(0)`` is ``squeeze(t, 0)``.

    Args:
        data: an array or nested lists. float32 and float64 are kept; integers and bools become float64.
        requires_grad: False makes a constant.
        dtype: float32 or float64, to convert to.
        label: a name for pictures.

    Raises:
        TypeError: if data is complex, half precision, or no array of numbers.

    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> (x * x).sum().backward()
    >>> x.grad
    array([[2., 4.],
           [6., 8.]])
    """

    __slots__ = ()
    no_grad_yet: ClassVar[None] = None
    keeps_interior_grad: ClassVar[bool] = False
    on_floats: ClassVar[bool] = False
    data_type: ClassVar[type] = np.ndarray
    data_type_of = np.asarray
    fit = staticmethod(cotangent.fit)

    def __init__(
        self, data: Any, *, requires_grad: bool = True, dtype: Any = None, label: str | None = None
    ) -> None:
        self._fill_leaf(self.own(data, dtype), requires_grad)
        if label is not None:
            self.label = label

    @staticmethod
    def own(x: Any, dtype: Any = None) -> np.ndarray:
        """A frozen copy of x as an array of floats."""
        if isinstance(x, Node):
            raise TypeError("Tensor: got a node; use it as it is, or detach() it for a constant")
        a = numeric(x)
        to = np.dtype(dtype if dtype is not None else a.dtype if a.dtype.kind == "f" else np.float64)
        if to not in (np.float32, np.float64):
            raise TypeError(f"a Tensor holds float32 or float64, got {to}; convert it: a.astype(np.float32)")
        return freeze(a.astype(to, order="C"))  # copied: a read-only array too: somebody may hold a writable view of it

    @staticmethod
    def constant(x: Any) -> Any:
        """A plain operand: numbers as they are (they take the Tensor's dtype), arrays frozen."""
        if type(x) in (float, int, bool):
            return x
        a = numeric(x)
        if a.dtype.kind == "f" and a.dtype.itemsize not in (4, 8):
            raise TypeError(f"a {a.dtype} array beside a Tensor: use float32 or float64")
        return freeze(a.copy())

    def _get_data(self) -> np.ndarray:
        """The array, read-only. A leaf's may be rebound, to one of its shape and dtype; also by ``t.data -= step``."""
        # Frozen when it is handed out, not when it is made: the engine itself writes to no node's array.
        self._data.setflags(write=False)
        return self._data.view(Frozen)

    def _set_data(self, new: Any) -> None:
        if self.op is not None or isinstance(new, Node):
            return super()._set_data(new)  # which says why not
        if np.shape(new) != self.shape:
            raise ValueError(f"a Tensor of shape {self.shape} cannot be rebound to data of shape {np.shape(new)}")
        floats = isinstance(new, (np.ndarray, np.generic)) and new.dtype.kind == "f"
        data = self.own(new, None if floats else self.dtype)  # lists and whole numbers take the dtype of the leaf
        if data.dtype != self.dtype:
            raise TypeError(
                f"a {self.dtype} Tensor cannot be rebound to {data.dtype} data: all that it meets would change its "
                "precision. Convert it: t.data = a.astype(t.dtype); another precision needs another Tensor"
            )
        self._data = data

    data = property(_get_data, _set_data)

    def cotangent(self, seed: Any, as_node: bool) -> Any:
        """The seed of a reverse pass from here: 1 if this holds one number, else it must be given."""
        if seed is None:
            if self.size != 1:
                raise ValueError(
                    f"backward: the root has shape {self.shape}{self.scope}, and only a single number has a gradient. "
                    "Reduce it, for example with .sum(), or pass seed=, the cotangent, of that shape"
                )
            one = np.empty(self.shape, self.dtype)  # (np.ones takes longer)
            one.fill(1)
            return Tensor(one, requires_grad=False) if as_node else one
        if isinstance(seed, Tensor):
            g = seed if as_node else seed.data
        else:
            g = numeric(seed).astype(self.dtype)
        if g.shape != self.shape:
            raise ValueError(f"a cotangent of shape {g.shape} for a Tensor of shape {self.shape}; they must be equal")
        return Tensor(g, requires_grad=False) if as_node and not isinstance(g, Node) else g

    def accumulate(self, g: Any) -> None:
        """Add g to the gradient. (A copy: what is in flight may be shared with other nodes.)"""
        if self.grad is not None:
            self.grad = self.grad + g
        else:
            self.grad = g if isinstance(g, Node) else np.array(g)

    def keep_grad(self, g: Any) -> None:
        """Set the gradient of a computed node."""
        self.grad = g if isinstance(g, Node) else np.array(g)

    def finished(self, g: Any, as_node: bool) -> Any:
        """What `grad` returns for this node: zeros where nothing arrived."""
        if g is None:
            g = np.zeros(self.shape, self.dtype)
        if as_node:
            return g if isinstance(g, Node) else Tensor(g, requires_grad=False)
        return np.array(g)

    # -------------------------------------------------------------------------------------- like an ndarray
    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        result: tuple[int, ...] = self._data.shape
        return result

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._data.shape)

    @property
    def size(self) -> int:
        """The number of entries."""
        return int(self._data.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        result: np.dtype[Any] = self._data.dtype
        return result

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return shape.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        return shape.swapaxes(self, -1, -2)

    def item(self) -> float:
        """The number, if there is just one."""
        return float(self._data.item())

    __float__ = item

    if TYPE_CHECKING:  # the methods that are added below

        def __getattr__(self, name: str) -> Any: ...

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[t] for t in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __repr__(self) -> str:
        text = np.array2string(self._data, prefix="Tensor(", separator=", ")
        made = f", op={self.op.name}" if self.op is not None else "" if self.requires_grad else ", requires_grad=False"
        dtype = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        return f"Tensor({text}{dtype}{made})"

    def __getitem__(self, index: Any) -> Tensor:
        if type(index) is int:
            return indexing.take_part(self, index=index)
        return indexing.getitem(self, index)

    def __setitem__(self, index: Any, new: Any) -> None:
        raise TypeError(
            "a Tensor cannot be written in place: its gradient would be wrong. Use t = index_update(t, index, values), "
            "which makes a new one; to change a leaf, rebind it: t.data = new_array"
        )

    def __matmul__(self, other: Any) -> Tensor:
        return linalg.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return linalg.matmul(other, self)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`microgradrnn.sum`."""
        return reduction.sum(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`microgradrnn.mean`."""
        return reduction.mean(self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`microgradrnn.max`."""
        return reduction.max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`microgradrnn.min`."""
        return reduction.min(self, axis, keepdims)

    def reshape(self, *shape_: Any) -> Tensor:
        """`microgradrnn.reshape`; takes a tuple or the lengths one by one."""
        return shape.reshape(self, shape_[0] if len(shape_) == 1 else shape_)

    def transpose(self, *axes: Any) -> Tensor:
        """`microgradrnn.transpose`; takes a tuple or the axes one by one."""
        one_by_one = len(axes) != 1 or isinstance(axes[0], (int, np.integer))
        return shape.transpose(self, axes or None if one_by_one else axes[0])

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """`microgradrnn.swapaxes`."""
        return shape.swapaxes(self, axis1, axis2)

    def astype(self, dtype: Any) -> Tensor:
        """`microgradrnn.astype`."""
        return shape.astype(self, dtype)


Tensor.kind = Tensor
specialise(Tensor)


# What PyTorch and NumPy users reach for, and what it is called here.
HINTS = {
    "numpy": "use .data, the array",
    "tolist": "use .data.tolist()",
    "clone": "a Tensor never changes, so use it as it is; .data.copy() copies the numbers",
    "view": "use .reshape(...)",
    "permute": "use .transpose(...), as in NumPy",
    "t": "use .T",
    "unsqueeze": "use .expand_dims(axis), as in NumPy",
    "expand": "use .broadcast_to(shape)",
    "add": "use +", "sub": "use -", "mul": "use *", "div": "use /", "neg": "use -x",
    "clamp": "use .clip(low, high)",
    "cat": "use concat([x, y], axis)",
    "pow": "use ** or .power(...)",
    "dim": "use .ndim",
    "numel": "use .size",
    "cpu": "everything is on the CPU here; leave it out",
    "cuda": "everything is on the CPU here; leave it out",
    "device": "everything is on the CPU here",
    "is_cuda": "everything is on the CPU here",
    "half": "Tensors are float32 or float64",
    "type": "use .astype(dtype), or .dtype",
    "contiguous": "leave it out",
    "chunk": "use .split(n), as in NumPy",
    "unbind": "a Tensor can be unpacked: a, b = x",
    "masked_fill": "use where(mask, value, x)",
    "gather": "use x[index]; arrays of integers take parts",
    "eq": "compare the numbers: x.data == y.data",
    **dict.fromkeys(("mul_", "sub_", "div_", "copy_", "clamp_", "uniform_", "normal_", "exp_"),
                    "in-place methods do not exist; write t = t + x, or rebind a leaf: t.data = new_array"),
    "to": "use .astype(dtype); there is one device",
    "float": "use .astype(np.float32)",
    "double": "use .astype(np.float64)",
    "requires_grad_": "give requires_grad=True when making it: Tensor(array)",
    "grad_fn": "use .op, the operation, and .inputs",
    "add_": "in-place methods do not exist; write t = t + x, or t.data += x for a leaf",
    "zero_": "use .zero_grad() for the gradient",
    "fill_": "rebind: t.data = new_array",
    "argmax": "use .data.argmax(): a position has no gradient",
    "argmin": "use .data.argmin(): a position has no gradient",
    "sort": "NumPy's x.sort() sorts in place, and a Tensor never changes; x = microgradrnn.sort(x) makes a sorted one",
    "partition": "NumPy's x.partition(k) works in place, and a Tensor never changes; write x = mg.partition(x, k)",
    "append": "a Tensor never changes; x = microgradrnn.append(x, values) makes a longer one",
    "any": "use .data.any()",
    "all": "use .data.all()",
    "copy": "a Tensor never changes, so use it as it is; .data.copy() copies the numbers",
    "mm": "use @",
    "bmm": "use @",
    "matmul": "use @",
}


def _method(f: Any) -> Any:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return f(self, *args, **kwargs)

    method.__name__, method.__doc__ = f.__name__, f"`microgradrnn.{f.__name__}`."
    return answered(method)


def _hint(name: str, words: str) -> property:
    def missing(self: Tensor) -> Any:
        raise AttributeError(f"a Tensor has no attribute {name!r}: {words}")

    return property(missing, doc=f"Not here: {words}.")


for _name in ("sum", "mean", "max", "min"):
    setattr(Tensor, _name, answered(getattr(Tensor, _name)))
# Set once on the class: a __getattr__ would slow down every attribute of every node.
for _name, _f in METHODS.items():
    if not hasattr(Tensor, _name):
        setattr(Tensor, _name, _method(_f))
for _name, _words in HINTS.items():
    if not hasattr(Tensor, _name):
        setattr(Tensor, _name, _hint(_name, _words))


def numeric(x: Any) -> np.ndarray:
    """x as an array of real numbers."""
    a = np.asarray(x)
    if a.dtype.kind not in "fiub":
        what = "complex numbers are not supported" if a.dtype.kind == "c" else "it must hold real numbers"
        raise TypeError(f"cannot use {type(x).__name__} of dtype {a.dtype}: {what}")
    return a


def freeze(a: np.ndarray) -> np.ndarray:
    """The same array, made read-only."""
    a.flags.writeable = False
    return a
