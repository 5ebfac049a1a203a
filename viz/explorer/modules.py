"""Recipes as JavaScript: the compiler prints each with its derivative, and one script holds them all.

No name of the user's gets into the script as it was, only ASCII letters, digits and _ of it: see `program.Names`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from microgradrnn.compiler.arguments import Slot
from microgradrnn.compiler.javascript import javascript
from microgradrnn.compiler.trace import trace
from microgradrnn.engine import Tensor
from viz.graph.program import Name, Recipe

REGISTRY = "globalThis.microgradrnnModules"


def module(recipe: Recipe, inputs: Sequence[Name], shapes: Mapping[Name, tuple[int, ...]]) -> str:
    """A recipe and its derivative as an ES module.

    Args:
        recipe: the operations.
        inputs: what a gradient is wanted of; all else that the recipe reads is found by name.
        shapes: of all that the recipe reads.

    Raises:
        TraceError: if there is no JavaScript for an operation.
    """
    others = {name: Tensor(np.zeros(shapes[name]), requires_grad=False, label=name)
              for name in recipe.reads() if name not in inputs}

    def step(*given: Any) -> tuple[Any, ...]:
        made = recipe(others | dict(zip(inputs, given, strict=True)))
        return tuple(made[name] for name in recipe.gives)

    slots = tuple(Slot(np.zeros(shapes[name])) for name in inputs)
    return javascript(trace(step, slots, inputs, "the step"), "step")


def script(name: str, modules: Sequence[str]) -> str:
    """Modules as one script. It puts a list of their functions where `live.js` looks for it, under a name."""
    end = "return { forwards: step, backwards: stepBackward, shapes };"
    parts = [f"(() => {{\n{text.replace('export ', '')}{end}\n}})(),\n" for text in modules]
    return f"({REGISTRY} ??= Object.create(null))[{json.dumps(name)}] = [\n{''.join(parts)}];\n"
