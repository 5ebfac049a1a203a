"""A net as PyTorch names it: its layers and own parameters, each with the path of attributes that leads to it.

A module of PyTorch and one of ours with the same attributes give the same names: ``self.lstm`` is "lstm", an entry of a
list (PyTorch's ModuleList) or of a `Sequential` is its number, one of a dict (ModuleDict) its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.engine import Node
from microgradrnn.io.torch_layers import Weight, as_it_is, layer_arrays, layer_weights, torch_cells
from microgradrnn.nn import Module, Parameter, Sequential


class Part(NamedTuple):
    """A layer that PyTorch has too, or a parameter of a module of your own.

    Attributes:
        path: the attributes that lead to it.
        thing: the layer, or the parameter.
        weights: its parameters.
        refused: why PyTorch has no such layer; empty if it has.
    """

    path: str
    thing: Module | Node
    weights: list[Weight]
    refused: str = ""

    def name(self, local: str) -> str:
        """The whole name of one of its arrays."""
        return joined(self.path, local)

    def arrays(self) -> dict[str, np.ndarray]:
        """Its numbers, as PyTorch names them inside the layer and lays them out."""
        if isinstance(self.thing, Node):
            return {"": np.array(self.thing.data)}
        return layer_arrays(self.thing) if self.weights else {}


def parts(net: Module) -> list[Part]:
    """All parts of a net, in the order of assignment. What stands in two places is listed twice, as in PyTorch.

    >>> from microgradrnn import nn
    >>> net = nn.Sequential(nn.Embedding(9, 4), nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 9)))
    >>> [part.name(local) for part in parts(net) for local in part.arrays()]
    ['0.weight', '1.0.weight', '1.0.bias', '1.1.weight', '1.1.bias']
    """
    return list(_walk(net, "", frozenset(), frozenset()))


def _walk(thing: Any, path: str, above: frozenset[int], covered: frozenset[int]) -> Iterator[Part]:
    """The parts of a thing, but for those that a layer covers."""
    if id(thing) in above | covered:  # a child may know its parent
        return
    if isinstance(thing, Node):
        if thing.op is None and (thing.requires_grad or isinstance(thing, Parameter)):
            yield Part(path, thing, [Weight(thing, ("",), as_it_is)])
        return
    if isinstance(thing, Module):
        try:
            weights = layer_weights(thing)
        except TypeError as error:
            yield Part(path, thing, [], refused=str(error))
        else:
            if weights:
                yield Part(path, thing, weights)
                cells = [cell for _, cell in torch_cells(thing)]
                covered |= {*map(id, cells), *(id(weight.parameter) for weight in weights)}
    for name, child in children(thing):
        yield from _walk(child, joined(path, name), above | {id(thing)}, covered)


def children(thing: Any) -> Iterator[tuple[str, Any]]:
    """What is inside a module, a dict or a list, by PyTorch's names."""
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(thing, Module):
        inside = vars(thing).items()
    elif isinstance(thing, dict):
        inside = thing.items()
    elif isinstance(thing, (list, tuple)):
        inside = enumerate(thing)
    for name, child in inside:
        if name == "layers" and isinstance(thing, Sequential):
            yield from children(child)
        else:
            yield str(name), child


def joined(path: str, name: str) -> str:
    """A name behind a path; either may be empty."""
    return ".".join(part for part in (path, name) if part)


def is_inside(name: str, path: str) -> bool:
    """Does a path lead to a name? The empty one leads to all."""
    return not path or name == path or name.startswith(f"{path}.")


def from_torch(net: Module, arrays: Mapping[str, np.ndarray]) -> list[tuple[Node, np.ndarray]]:
    """Our parameters, each with what PyTorch's arrays (weights, or their gradients) make it."""
    return [(weight.parameter, weight.make(*(arrays[part.name(local)] for local in weight.names)))
            for part in parts(net) for weight in part.weights]
