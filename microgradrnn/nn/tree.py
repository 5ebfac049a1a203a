"""Recursive nets: one cell over a tree, from the leaves up. What `unroll` is to a sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microgradrnn.engine import mark, scope
from microgradrnn.engine.node import plain
from microgradrnn.engine.rules.linalg import affine
from microgradrnn.nn.cells.base import Activation, as_function
from microgradrnn.nn.module import Module, Parameter, Rng, as_rng, need_sizes, uniform


def recurse(cell: Callable[[Any, Any], Any], tree: Any, leaf: Callable[[Any], Any] | None = None) -> Any:
    """Run a cell over a tree, from the leaves up.

    A tuple or list is an inner node, anything else a leaf. Two children make ``cell(left, right)``. Further ones join
    from the left, as in a sentence: (a, b, c) is ((a, b), c). A single child is passed on as it is. So on a tree that
    branches to the left only, ``(((h_0, x_1), x_2), x_3)``, this is a recurrent net, and the cell may be one:
    ``recurse(lambda h, x: rnn(x, h), tree)``.

    Args:
        cell: ``(left, right) -> parent``, a `TreeCell` for instance.
        tree: nested tuples or lists, of any shape and depth.
        leaf: what makes a leaf a vector, an `Embedding` for instance; leaves are taken as they are by default.

    Returns:
        The root's vector.

    Raises:
        ValueError: if an inner node has no children.

    >>> recurse(lambda a, b: f"[{a} {b}]", ("the", ("old", "cat"), "sat"))
    '[[the [old cat]] sat]'
    """
    # No recursion: real trees are deeper than Python's limit. `waiting` holds, for each inner node we are in, its
    # children still to come, and what those already done have made.
    waiting: list[tuple[list[Any], list[Any]]] = [([tree], [])]
    while True:
        children, done = waiting[-1]
        if children:
            child = children.pop()
            if isinstance(child, (tuple, list)):
                if not child:
                    raise ValueError("recurse: an inner node of the tree has no children")
                waiting.append((list(child)[::-1], []))
                continue
            made = child if leaf is None else leaf(child)
        else:
            waiting.pop()
            if not waiting:
                return done[0]
            made, done = done[0], waiting[-1][1]
        done[:] = [cell(done[0], made) if done else made]


class TreeCell(Module):
    """The recursive net's cell: ``parent = φ(left U_l + right U_r + b)``, the same weights at all nodes.

    With ``U_l = W``, ``U_r = U``, and h_0 as the leftmost leaf of a tree that branches to the left only, it is the
    simple RNN.

    Args:
        hidden_size: H of the equations, the length of every vector, leaves and parents.
        activation: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        rng: a seed or a `numpy.random.Generator`.
        dtype: of the parameters.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> cell, words = nn.TreeCell(4, rng=0), nn.Embedding(10, 4, rng=1)
    >>> nn.recurse(cell, (3, ((1, 4), (1, 5))), leaf=words).shape
    (4,)
    """

    def __init__(
        self, hidden_size: int, *, activation: Activation = "tanh", rng: Rng = None, dtype: Any = np.float64
    ) -> None:
        need_sizes("TreeCell", hidden_size=hidden_size)
        self.hidden_size, H, rng = hidden_size, hidden_size, as_rng(rng)
        self.activation = as_function(activation, "TreeCell")
        self.U_l = Parameter(uniform(rng, (H, H), H, dtype), symbol="U_l")
        self.U_r = Parameter(uniform(rng, (H, H), H, dtype), symbol="U_r")
        self.b = Parameter(uniform(rng, (H,), H, dtype), symbol="b")

    def __call__(self, left: Any, right: Any) -> Any:
        for vector in (left, right):
            if np.shape(plain(vector))[-1:] != self.b.shape:
                raise ValueError(
                    f"TreeCell: leaves and parents are vectors of length {self.b.shape[0]}, got "
                    f"{np.shape(plain(vector)) or type(vector).__name__}; leaf= of recurse makes vectors of words, an "
                    "nn.Embedding for instance"
                )
        with scope("tree"):
            z = mark(affine(left, self.U_l, affine(right, self.U_r, self.b)), "z")
            return mark(self.activation(z), "h", role="hidden")
