"""Module: a thing with parameters. Parameter: a leaf Tensor that training may change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from microgradrnn.engine import Node, Tensor, Value, mark
from microgradrnn.engine.answers import answered_constructor
from microgradrnn.engine.node import plain
from microgradrnn.engine.rules.shape import stack
from microgradrnn.nn.names import OPTIONS

Rng = int | np.random.Generator | None


# What PyTorch's modules have and these do not, and what to do here.
HINTS = {
    **dict.fromkeys(("to", "cuda", "cpu", "float", "double", "half"), "say dtype= where a layer is made"),
    "requires_grad_": "set requires_grad of its parameters: for p in net.parameters(): p.requires_grad = False",
    "apply": "go over named_parameters()", "register_buffer": "assign the array to an attribute",
    "register_parameter": "assign the nn.Parameter to an attribute",
    **dict.fromkeys(("weight", "weight_ih", "weight_hh"), "U reads the input, W the state, V writes the output, and E "
                    "holds the rows of an Embedding; see named_parameters()"),
    "bias": "a Linear's bias is d, a cell's b; see named_parameters()",
    **dict.fromkeys(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), "a layer has cells with U, W and b; "
                    "microgradrnn.io brings weights from PyTorch and back"),
    **dict.fromkeys(("modules", "children", "named_modules"), "look at vars(module), or named_parameters()"),
    "forward": "call the module itself; the method is __call__",
}


class Parameter(Tensor):
    """A Tensor that belongs to a module and is to be learned. (A module counts any leaf that requires a gradient.)

    Without a symbol it is called by the name of the first attribute of a module that it is assigned to.

    >>> import numpy as np
    >>> Parameter(np.zeros((2, 3)), symbol="W").shape
    (2, 3)
    """

    __slots__ = ()

    def __init__(self, data: Any, *, symbol: str | None = None, dtype: Any = None) -> None:
        super().__init__(data, dtype=dtype)
        mark(self, symbol, role="parameter")


class Module:
    """Base of everything with parameters. Subclasses assign parameters and modules to attributes and define
    ``__call__``; lists and dicts of modules count too.

    >>> from microgradrnn import nn
    >>> net = nn.Linear(3, 2, rng=0)
    >>> [(name, p.shape) for name, p in net.named_parameters()]
    [('V', (3, 2)), ('d', (2,))]
    >>> net
    Linear, 8 parameters: V (3, 2), d (2,)
    """

    training: bool | None = None  # what train() and eval() said; None if neither was called
    _dropout_rng: np.random.Generator | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = answered_constructor(cls.__init__, OPTIONS)  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter) and value.symbol is None:
            mark(value, name, value.role)  # what its owner calls it, pictures call it too
        super().__setattr__(name, value)

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """Every parameter that is trained with its dotted path, each once, in the order of assignment."""
        seen: set[Node] = set()
        for name, p in _walk(self, prefix, set()):
            if p.requires_grad and p not in seen:
                seen.add(p)
                yield name, p

    def parameters(self) -> list[Node]:
        """Every parameter, each once."""
        return [p for _, p in self.named_parameters()]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters():
            p.zero_grad()

    def train(self, mode: bool = True, *, rng: Rng = None) -> Self:
        """From now on dropout acts in every call, in this module and all inside it. Returns the module.

        Args:
            mode: False is `eval`.
            rng: the seed or `numpy.random.Generator` that dropout draws from, one for all modules, so that a run can be
                repeated. By default a new one, another every time.

        >>> from microgradrnn import nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)).train(rng=0)
        >>> net.training, net[1].training, net.eval().training
        (True, True, False)
        """
        if not isinstance(mode, (bool, np.bool_)):
            raise TypeError(f"train: mode is True or False, got {mode!r}; a seed is rng={mode!r}")
        generator = as_rng(rng) if mode else None
        for module in _modules(self, set()):
            module.training, module._dropout_rng = bool(mode), generator
        return self

    def eval(self) -> Self:
        """From now on dropout does nothing, in this module and all inside it. Returns the module."""
        return self.train(False)

    def noise(self, rng: np.random.Generator | None) -> np.random.Generator | None:
        """What dropout draws from in a call: the generator given there, else that of `train`; None if it is off."""
        return self._dropout_rng if rng is None else rng

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter's data by name, frozen ones (`requires_grad` False) too.

        Raises:
            ValueError: if two parameters have one name.
        """
        return {name: np.array(p.data) for name, p in self._kept().items()}

    def _kept(self) -> dict[str, Node]:
        """Every parameter by name, each once, whether it is trained or frozen."""
        names: dict[Node, str] = {}
        for name, p in _walk(self, "", set()):
            names.setdefault(p, name)
        kept: dict[str, Node] = {}
        for p, name in names.items():
            if name in kept:
                raise ValueError(f"{type(self).__name__} has two parameters called {name}: the keys 1 and '1' of a "
                                 "dict are one name, and so are 'a.b' and 'b' inside 'a'")
            kept[name] = p
        return kept

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set every parameter from arrays by name. Nothing is changed unless all of it fits.

        Raises:
            KeyError: if a name is on one side only.
            ValueError: if a shape does not fit, a number is too large for the parameter's dtype, or two parameters have
                one name.
            TypeError: if an array is not of real numbers.
        """
        own = self._kept()
        if missing := sorted(own.keys() ^ state.keys()):
            theirs = any(name.rpartition(".")[2].startswith("weight") for name in state.keys() - own.keys())
            hint = "; microgradrnn.io.load_torch(net, state) takes the weights of PyTorch" * theirs
            raise KeyError(f"load_state_dict: these names are on one side only: {', '.join(missing)}{hint}")
        arrays = {name: np.asarray(plain(a)) for name, a in state.items()}
        for name, p in own.items():
            a = arrays[name]
            if a.shape != np.shape(p.data):
                raise ValueError(f"load_state_dict: {name} has shape {np.shape(p.data)}, the given array {a.shape}")
            if a.dtype.kind not in "fiub":
                raise TypeError(f"load_state_dict: {name} is an array of {a.dtype}; parameters are real numbers")
        assign("load_state_dict", [(name, p, arrays[name]) for name, p in own.items()])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        forward = "; what PyTorch calls forward is called __call__ here" if "forward" in dir(self) else ""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__{forward}")

    def __repr__(self) -> str:
        named = list(self.named_parameters())
        listed = ", ".join(f"{name} {np.shape(p.data)}" for name, p in named)
        return f"{type(self).__name__}, {sum(np.size(p.data) for _, p in named):,} parameters: {listed or 'none'}"

    if not TYPE_CHECKING:  # else nothing would be checked

        def __getattr__(self, name: str) -> Any:
            hint = f": {HINTS[name]}" if name in HINTS else ""
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}", name=name, obj=self)


def _walk(thing: Any, path: str, visited: set[int]) -> Iterator[tuple[str, Node]]:
    """Parameters, trained and frozen, inside modules, lists and dicts, with their paths."""
    children: Any = ()
    if id(thing) in visited and isinstance(thing, (Module, dict, list)):  # a child may know its parent
        return
    visited.add(id(thing))
    if isinstance(thing, Module):
        children = vars(thing).items()
    elif isinstance(thing, dict):
        children = thing.items()
    elif isinstance(thing, (list, tuple)):
        children = enumerate(thing)
    for key, child in children:
        name = f"{path}.{key}" if path else str(key)
        if isinstance(child, Node):
            if child.op is None and (child.requires_grad or isinstance(child, Parameter)):
                yield name, child
        elif isinstance(child, (Module, dict, list, tuple)):
            yield from _walk(child, name, visited)


def _modules(thing: Any, visited: set[int]) -> Iterator[Module]:
    """A module and all modules inside it, in lists and dicts too, each once."""
    if id(thing) in visited or not isinstance(thing, (Module, dict, list, tuple)):
        return
    visited.add(id(thing))
    if isinstance(thing, Module):
        yield thing
    inside = vars(thing) if isinstance(thing, Module) else thing
    for child in list(inside.values()) if isinstance(inside, dict) else inside:
        yield from _modules(child, visited)


def assign(who: str, given: Iterable[tuple[str, Node, np.ndarray]]) -> None:
    """Give parameters, each with its name, the arrays that follow them, in the dtypes that they have.

    Raises:
        ValueError: if a number is too large for such a dtype. No parameter is changed then.
    """
    made = []
    for name, p, a in given:
        with np.errstate(all="ignore"):
            data = a.astype(np.asarray(p.data).dtype)
        if (lost := a[np.isfinite(a) & ~np.isfinite(data)]).size:
            raise ValueError(f"{who}: {name} holds {lost[0]:g}, too large for {data.dtype}")
        made.append((p, data))
    for p, data in made:
        p.data = data


def as_rng(rng: Rng) -> np.random.Generator:
    """A generator from a seed, or the generator itself."""
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)


def as_array(x: Any, who: str) -> Any:
    """An array or node as it is; a list of them, or of numbers, as one array, along a new first axis.

    >>> as_array([[1, 2], [3, 4]], "mse").shape, as_array([Tensor([1.0, 2.0]), np.zeros(2)], "mse").shape
    ((2, 2), (2, 2))
    """
    if isinstance(x, tuple) and any(isinstance(part, (Node, tuple)) for part in x):
        raise TypeError(f"{who}: expected an array, got a tuple; a recurrent layer returns two things, "
                        "hs, state = layer(xs)")
    if isinstance(x, Value) or (isinstance(x, list) and any(isinstance(part, Value) for part in x)):
        raise TypeError(f"{who}: works on Tensors and arrays, not on Values; write their formula out, as in (y - t)**2")
    if hasattr(x, "shape"):
        return x
    try:
        a = stack(x) if isinstance(x, (list, tuple)) and any(isinstance(part, Node) for part in x) else np.asarray(x)
    except ValueError:
        raise ValueError(f"{who}: the parts of this {type(x).__name__} differ in shape, so they are no array; "
                         "microgradrnn.data.pad fills up sequences of unequal lengths") from None
    if a.dtype.kind not in "fiub":
        raise TypeError(f"{who}: expected an array of numbers, got a {type(x).__name__}")
    return a


def constant(data: np.ndarray, symbol: str) -> Tensor:
    """Numbers with a name, through which no gradient goes."""
    return mark(Tensor(data, requires_grad=False), symbol)


def uniform(rng: np.random.Generator, shape: tuple[int, ...], fan: int, dtype: Any) -> np.ndarray:
    """Uniform in ±1/sqrt(fan), PyTorch's default for layers and recurrent cells."""
    need_float(dtype)
    bound = 1 / np.sqrt(fan)
    return rng.uniform(-bound, bound, shape).astype(dtype)


def need_float(dtype: Any) -> None:
    """Raise unless parameters can have this dtype: integers would all be 0, and could not learn."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"parameters are float32 or float64, got dtype={np.dtype(dtype).name}")


def need_sizes(who: str, **sizes: Any) -> None:
    """Raise unless every size is a positive integer."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{who}: {name} must be a positive integer, got {size!r}")
