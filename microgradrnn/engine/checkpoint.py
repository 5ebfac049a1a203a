"""Checkpointing: forget a stretch of the graph, and compute it again when the gradient comes by.

Time for memory. The stretch becomes one node that remembers its function and its inputs. When its cotangent arrives,
the function is run again, recorded this time, and the reverse pass goes through what it recorded. Nothing in the
engine knows about it: it is one more operation, whose rule happens to be a reverse pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from threading import local
from typing import Any

import numpy as np

from microgradrnn.engine.backward import ancestors, reverse
from microgradrnn.engine.node import Node, next_serial, plain
from microgradrnn.engine.primitive import Every, Primitive
from microgradrnn.engine.rules.shape import astype, concat, reshape
from microgradrnn.engine.scope import COMPILED, SCOPE, TRACING, resumed
from microgradrnn.engine.value import Value


def checkpoint(f: Callable[..., Any], *xs: Any) -> Any:
    """``f(*xs)``, without keeping its graph: the graph is made again, and dropped again, in the reverse pass.

    Works on any stretch of a computation. Nodes that f uses beyond its arguments (a cell's weights, say) get their
    gradients too. Gradients of gradients work as well.

    Args:
        f: a function that returns a Tensor or a tuple (of tuples) of Tensors, and the same ones whenever it is called:
            it must not draw random numbers, nor keep nodes from one call to the next.
        xs: its arguments: nodes, arrays, or tuples of them.

    Returns:
        What f returns.

    Raises:
        RuntimeError: in the reverse pass, if f gives another result the second time.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, checkpoint
    >>> w = Tensor([2.0, 3.0])
    >>> y = checkpoint(lambda x: (w * x).tanh(), np.ones(2))
    >>> y.sum().backward()
    >>> bool(np.allclose(w.grad, 1 - np.tanh(w.data) ** 2))
    True
    """
    if not SCOPE.get().recording or TRACING.get():
        return f(*xs)
    xs = tuple(map(_kept, xs))
    since = next_serial()
    outputs = f(*xs)
    parts = list(flat(outputs))
    for part in parts:
        if not isinstance(part, Node) or isinstance(part, Value):
            raise TypeError(f"checkpoint: the function must return Tensors, got {type(part).__name__}")
    if not any(part.requires_grad for part in parts):
        return outputs
    packed = _pack(parts)
    sources = [x for x in ancestors(packed, since=since) if x.serial < since]
    stretch = Stretch(f, xs, sources, _older(packed, since), packed.data)
    node = _recompute(*sources, stretch=stretch)
    return _like(outputs, _unpack(node, parts))


class Collected(local):
    """The cotangents of a stretch while a reverse pass collects them; each thread has its own."""

    seed: Any = None
    found: dict[Node, Any] = {}  # noqa: RUF012 (replaced, never changed)


class Stretch:
    """A function, its arguments, its result; and its cotangents, while the reverse pass collects them."""

    what = "checkpoint"

    def __init__(
        self, f: Callable[..., Any], xs: Sequence[Any], sources: list[Node], used: list[Node], result: np.ndarray
    ) -> None:
        self.f, self.xs, self.sources, self.result = f, xs, sources, result
        self.used = [(x, x._data) for x in used]
        self.scope, self.compiled = SCOPE.get(), COMPILED.get()

    @cached_property
    def collected(self) -> Collected:
        """What a reverse pass has collected."""
        return Collected()

    def cotangent(self, g: Any, source: Node, silent: bool) -> Any:
        """What reaches one source. The stretch is run again for the first source that asks, for all of them."""
        now = self.collected
        if now.seed is not g:
            now.found = self.run_again(g, silent)
            now.seed = g
        message = now.found.pop(source, None)
        if not now.found or source is self.sources[-1]:
            now.seed, now.found = None, {}
        return np.zeros_like(plain(source)) if message is None else message

    def run_again(self, g: Any, silent: bool) -> dict[Node, Any]:
        """Record the stretch and differentiate it, as far back as its own beginning."""
        self.check_unchanged()
        create_graph = isinstance(g, Node)
        since = next_serial()
        mode = COMPILED.set(self.compiled)
        try:
            with resumed(self.scope):
                outputs = self.f(*self.xs)
                packed = _pack(list(flat(outputs)))
        finally:
            COMPILED.reset(mode)
        if not np.array_equal(packed.data, self.result, equal_nan=True):
            raise RuntimeError(
                "checkpoint: the function gave another result the second time. Does it draw random numbers, or change "
                "something outside? Draw them before, and pass them in"
            )
        passed = reverse(packed, g, create_graph=create_graph, since=since, silent=silent)
        found = {node: gradient for node, gradient in passed if node.serial < since}
        if found.keys() - set(self.sources):
            raise RuntimeError(
                "checkpoint: the function used a node that it had made when it ran first (a cache?), whose graph is "
                "forgotten. Make it outside, and pass it in"
            )
        return found

    def check_unchanged(self) -> None:
        """Raise if a node that the function uses got other data since."""
        for x, data in self.used:
            if x._data is not data:
                raise RuntimeError(
                    f"{self.what}: the data of {x.label or 'a node that the function uses'} was changed after the "
                    f"forward pass{self.scope}. Call backward() before the update, or compute the result again after it"
                )


def _rule(k: int, g: Any, y: Any, sources: Sequence[Any], stretch: Stretch, silent: bool = False) -> Any:
    return stretch.cotangent(g, stretch.sources[k], silent)


_recompute = Primitive("checkpoint", None, lambda *sources, stretch: stretch.result, Every(_rule),
                       reverses=True)


def _older(root: Node, since: int) -> list[Node]:
    """Every node from before that the stretch used, constants too."""
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        if node.serial >= since:
            new = {x for x in node.inputs if x is not None} - seen
            seen |= new
            stack.extend(new)
    return [x for x in seen if x.serial < since]


def _kept(x: Any) -> Any:
    """An argument as it is now: plain arrays copied, so that the caller may overwrite his own."""
    if isinstance(x, (tuple, list)):
        kept = [_kept(part) for part in x]
        return type(x)(*kept) if hasattr(x, "_fields") else type(x)(kept)
    return x.copy() if isinstance(x, np.ndarray) else x


def _pack(parts: Sequence[Any]) -> Any:
    """Several Tensors as one long one."""
    return concat([reshape(part, -1) for part in parts])


def _unpack(packed: Any, parts: Sequence[Any]) -> Iterator[Any]:
    """The opposite of `_pack`: shapes and precisions are those of the parts."""
    start = 0
    for part in parts:
        stop = start + part.size
        piece = reshape(packed[start:stop], part.shape)
        yield piece if piece.dtype == part.dtype else astype(piece, part.dtype)
        start = stop


def flat(outputs: Any) -> Iterator[Any]:
    """The Tensors in a tuple of tuples of Tensors, in order."""
    if isinstance(outputs, tuple):
        for part in outputs:
            yield from flat(part)
    else:
        yield outputs


def _like(outputs: Any, parts: Iterator[Any]) -> Any:
    """The parts, in tuples as they were."""
    if not isinstance(outputs, tuple):
        return next(parts)
    made = [_like(part, parts) for part in outputs]
    return type(outputs)(*made) if hasattr(outputs, "_fields") else tuple(made)
