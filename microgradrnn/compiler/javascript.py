"""A trace as JavaScript: an ES module with a function ``step`` and its derivative ``stepBackward``, in plain loops.

The files ``js_*.py`` beside this one have the parts: `js_simpler` rewrites operations in terms of others, `js_places`
says where numbers are, `js_statements` which loops there are, and `js_lines` writes them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from microgradrnn.compiler.expression import LEAVES, Expression, ordered, rewritten
from microgradrnn.compiler.js_lines import RESERVED, Names, Printer, number
from microgradrnn.compiler.js_places import Places, is_view
from microgradrnn.compiler.js_simpler import Simpler
from microgradrnn.compiler.js_statements import Function, inline
from microgradrnn.compiler.trace import Trace

RUNTIME = Path(__file__).with_name("runtime.js")


def javascript(trace: Trace, name: str = "step") -> str:
    """A trace as an ES module for Node.js and browsers.

    The module exports

    * ``shapes``: of the inputs, the weights (what the function closes over) and the outputs, by name;
    * ``step(...inputs, weights)``, which returns ``{ outputs, saved }``: the outputs by name, and what the derivative
      needs;
    * ``stepBackward(saved, ...seeds)``, which returns the gradients of inputs and weights by name, given one cotangent
      for each output. A gradient is null where none flows.

    Every array is a Float64Array, row by row. The module computes in float64, whatever the dtypes were. `saved` holds
    arrays, not copies: write to none of the inputs, weights and outputs before ``stepBackward`` has run.

    Behind a ``where`` the tape keeps NaNs and infinities of the branch that was not taken out of the gradient. The
    module does so in the ``where`` itself only: for its gradient, write ``where(x > 0, log(where(x > 0, x, 1)), 0)``,
    not just ``where(x > 0, log(x), 0)``.

    Args:
        trace: a function and its derivative.
        name: of the function; that of the derivative ends in "Backward".

    Returns:
        The source of the module.

    Raises:
        TraceError: if an operation of the function cannot be written as JavaScript.
        ValueError: if a function of the module cannot have that name.

    >>> import numpy as np
    >>> from microgradrnn.compiler.arguments import Slot
    >>> from microgradrnn.compiler.trace import trace
    >>> source = javascript(trace(lambda x: x * x, (Slot(np.zeros(3)),), ["x"]))
    >>> print(source[source.index("export function step(") : source.index("// Backwards")].strip())
    export function step(x, weights) {
      const y = new Float64Array(3); // (3,)
      for (let k = 0; k < 3; k++) {
        y[k] = x[k] * x[k];
      }
      return { outputs: { y }, saved: { x } };
    }
    """
    return Module(trace, name).text()


class Module:
    """The two functions of a module, and what is outside of them."""

    def __init__(self, trace: Trace, name: str) -> None:
        self.trace, self.name = trace, name
        self.leaves = [*trace.inputs, *(leaf for _, leaf in trace.free)]
        self._results()
        self._functions()
        self._names()

    def _results(self) -> None:
        """What the two functions return, by name."""
        t = self.trace
        self.places = Places()
        simpler = Simpler(t.table, self.places)
        gradients = {str(leaf.name): t.gradients.get(leaf) for leaf in self.leaves}
        flowing = {key: g for key, g in gradients.items() if g is not None}
        roots = rewritten(t.table, [*t.outputs, *flowing.values()], simpler)
        like = [*t.seeds, *(leaf for leaf in self.leaves if str(leaf.name) in flowing)]
        arrays = [e if has_array(e) else simpler.copy(e, a) for e, a in zip(roots, like, strict=True)]
        n = len(t.outputs)
        keys = Names(set())
        self.outputs = {keys.give(seed, getattr(y, "name", None) or "y"): e
                        for y, seed, e in zip(t.outputs, t.seeds, arrays[:n], strict=True)}  # fmt: skip
        self.gradients = gradients | dict(zip(flowing, arrays[n:], strict=True))

    def _functions(self) -> None:
        """The loops of both functions, and what the second needs from the first."""
        outputs, gradients = list(self.outputs.values()), [g for g in self.gradients.values() if g is not None]
        inlined, first = inline([*outputs, *gradients]), ordered(outputs)
        self.forward = Function(self.places, inlined, first)
        done = set(first)
        self.backward = Function(self.places, inlined, [e for e in ordered(gradients) if e not in done])
        read = {*self.backward.readers, *gradients} - self.backward.made.keys() - {*self.trace.seeds}
        self.constants = sorted(
            {e for f in (self.forward, self.backward) for e in f.readers if e.op in ("constant", "zeros")},
            key=lambda e: e.serial,
        )
        self.saved = sorted(read - {*self.constants}, key=lambda e: e.serial)

    def _names(self) -> None:
        """Names for what the module returns and is given; the others get theirs when they are printed."""
        helpers = RUNTIME.read_text(encoding="utf-8").strip().split("\n\n")[1:]
        self.helpers = {text.partition("(")[0].removeprefix("function "): text for text in helpers}
        self.names = Names(RESERVED | self.helpers.keys())
        if self.names.legal(self.name) != self.name:
            raise ValueError(f"javascript: {self.name!r} is a word of JavaScript, or not a name; choose another name")
        self.names.taken |= {self.name, f"{self.name}Backward"}
        given = {e: str(e.name) for e in (*self.leaves, *self.trace.seeds)}
        given |= {e: key for key, e in self.outputs.items()}
        given |= {e: e.name or f"d{key}" for key, e in self.gradients.items() if e is not None and e not in given}
        for e, wish in given.items():
            self.names.give(e, wish)

    def text(self) -> str:
        """The source."""
        body = f"{self._shapes()}\n\n{self._forward()}\n\n{self._backward()}\n"
        constants = [f"const {self.names[e]} = {constant(e)}; // {e.shape}\n" for e in self.constants]
        helpers = [f"{text}\n\n" for name, text in self.helpers.items() if re.search(rf"\b{name}\(", body)]
        return f"{HEADER}\n{''.join(helpers)}{''.join(constants)}{body}"

    def _shapes(self) -> str:
        def line(role: str, shapes: dict[str, tuple[int, ...]]) -> str:
            return f"  {role}: {braces(f'{key(k)}: {list(shape)}' for k, shape in shapes.items())},"

        return "\n".join([
            "export const shapes = {",
            line("inputs", {str(e.name): e.shape for e in self.trace.inputs}),
            line("weights", {str(e.name): e.shape for _, e in self.trace.free}),
            line("outputs", {name: e.shape for name, e in self.outputs.items()}),
            "};",
        ])  # fmt: skip

    def _forward(self) -> str:
        weights = self._object({str(e.name): e for _, e in self.trace.free})
        lines = [f"const {weights} = weights;"] if self.trace.free else []
        lines += Printer(self.forward, self.names, {*self.outputs.values(), *self.saved}).lines()
        lines.append(f"return {{ outputs: {self._object(self.outputs)}, saved: {self._saved()} }};")
        parameters = [*(self.names[e] for e in self.trace.inputs), "weights"]
        return f"// Forwards.\n{exported(self.name, parameters, lines)}"

    def _backward(self) -> str:
        lines = [f"const {self._saved()} = saved;"] if self.saved else []
        lines += Printer(self.backward, self.names, {g for g in self.gradients.values() if g is not None}).lines()
        lines.append(f"return {self._object(self.gradients)};")
        parameters = ["saved", *(self.names[e] for e in self.trace.seeds)]
        function = exported(f"{self.name}Backward", parameters, lines)
        return f"// Backwards, from the cotangents of the outputs.\n{function}"

    def _saved(self) -> str:
        return self._object({self.names[e]: e for e in self.saved})

    def _object(self, values: dict[str, Any]) -> str:
        """Names between braces, which JavaScript makes an object of, or takes from one."""
        pairs = [(k, "null" if e is None else self.names[e]) for k, e in values.items()]
        return braces(k if k == name else f"{key(k)}: {name}" for k, name in pairs)


HEADER = """\
// Written by microgradrnn.compiler.javascript.
// Every array is a Float64Array with the rows one after the other; `shapes` has their shapes.
"""


def has_array(e: Any) -> bool:
    """Does a function make an array for this result?"""
    return isinstance(e, Expression) and e.op not in LEAVES and not is_view(e)


def key(name: str) -> str:
    """A key of an object."""
    return name if name.isidentifier() else json.dumps(name)


def braces(parts: Iterable[str]) -> str:
    """What stands between the braces of an object."""
    text = ", ".join(parts)
    return f"{{ {text} }}" if text else "{}"


def constant(e: Expression) -> str:
    """An array that is known."""
    if e.op == "zeros":
        return f"new Float64Array({math.prod(e.shape)})"
    return f"Float64Array.of({', '.join(map(number, e.params['value'].ravel()))})"


def exported(name: str, parameters: Sequence[str], lines: Sequence[str]) -> str:
    """A function of the module."""
    body = "".join(f"  {line}\n" for line in lines)
    return f"export function {name}({', '.join(parameters)}) {{\n{body}}}"
