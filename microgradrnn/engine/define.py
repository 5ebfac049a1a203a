"""Operations of your own: a forward, and one rule for each input, checked where they are defined.

In micrograd's lecture an operation makes a Value and gives it a closure, ``out._backward``, that adds to the gradients
of its inputs. Here the same lines are an operation that is declared once: ``other.data * out.grad`` becomes the rule
``lambda g, y, a, b: g * b``. It returns the cotangent of one input; the engine adds it up. Since a rule is made of
operators and of functions of this library, it can be differentiated again, works on arrays, and can be compiled.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from microgradrnn.engine.gradcheck import GradcheckError, gradcheck
from microgradrnn.engine.primitive import ERRORS, PRIMITIVES, Elementwise, Primitive, Rule

FAILURES = (*ERRORS, AttributeError)
DEFINED: set[str] = set()  # names that were defined here, and may be defined again
RULE = ("a rule is rule(g, y, *inputs): the cotangent of one input, from the cotangent g of the output y. It uses "
        "operators and functions of microgradrnn, such as mg.exp, so that it works on floats, arrays and nodes; "
        "functions of math and .data do not")  # fmt: skip


def define(forward: Callable[..., Any], *rules: Rule | None, name: str | None = None, at: Any = None) -> Primitive:
    """`Primitive.define`."""
    name = forward.__name__ if name is None else name
    has_settings = checked_signature(forward, rules, name)
    doc = inspect.getdoc(forward) or ""
    points: list[Any] = spread(len(rules)) if at is None else list(at) if isinstance(at, (list, tuple)) else [at]
    if len(points) != len(rules):
        raise ValueError(f"Primitive.define: {name} has {len(rules)} inputs, and at= has {len(points)}; give an "
                         "example of each input")
    if all(np.ndim(x) == 0 for x in points):
        points = [float(x) for x in points]
        places = [points] if at is not None else [points, *filter(partial(has_values, forward), others(points))]
        arrays = [np.concatenate(parts, axis=1) for parts in zip(*map(arrays_near, places), strict=True)]
        on_arrays = elementwise_on_arrays(forward, arrays, name)
        kind = Primitive if has_settings else Elementwise
        new = partial(kind, name, forward, on_arrays, rules, doc, elementwise=not has_settings)
        examples = [*places, arrays]
    else:
        new = partial(Primitive, name, None, forward, rules, doc)
        examples = [[np.asarray(x, np.float64) for x in points]]
    before = PRIMITIVES.get(name)
    op = new()
    try:
        for inputs in examples:
            check(op, inputs)
    except BaseException:
        del PRIMITIVES[name]
        if before is not None:
            PRIMITIVES[name] = before
        raise
    DEFINED.add(name)
    return op


def checked_signature(forward: Callable[..., Any], rules: Sequence[Rule | None], name: str) -> bool:
    """Does the forward take settings besides its inputs? Raises unless name, inputs and rules fit together."""
    if not name.isidentifier() or (name not in DEFINED and (name in PRIMITIVES or hasattr(np, name))):
        why = "is no name" if not name.isidentifier() else "has another meaning already"
        raise ValueError(f"Primitive.define: {name!r} {why}; give the operation a name of its own, name='my_...'")
    least, most, names = inputs_of(forward, len(rules))
    if not rules or not least <= len(rules) <= most:
        raise ValueError(f"Primitive.define: {name} takes {least} input{'s' * (least != 1)}, and {len(rules)} "
                         f"rule{'s were' if len(rules) != 1 else ' was'} given; give one for each input, None where no "
                         f"gradient flows. {RULE[0].upper()}{RULE[1:]}")
    return names > len(rules)


def inputs_of(forward: Callable[..., Any], n: int) -> tuple[int, int, int]:
    """How many inputs a forward takes, at least and at most, and how many parameters it has; n if nobody can say."""
    if isinstance(forward, np.ufunc):
        return forward.nin, forward.nin, forward.nin
    try:
        parameters = inspect.signature(forward).parameters.values()
    except ValueError:  # some functions of Python, such as math.log, have no signature
        return n, n, n
    inputs = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return sum(p.default is p.empty for p in inputs), len(inputs), len(parameters)


def spread(n: int) -> list[float]:
    """An example of each input, between 0 and 1, where most functions have a value."""
    return [round(0.3 + 0.5 * (k + 1) / (n + 1), 3) for k in range(n)]


def others(points: Sequence[float]) -> list[list[float]]:
    """The same farther from 0, and with other signs: an operation with an ``if`` has a rule on each side of it."""
    far = [x + 1.5 for x in points]
    return [far, [-x for x in points], [-x for x in far], [x * (-1) ** k for k, x in enumerate(points)]]


def has_values(forward: Callable[..., Any], points: Sequence[float]) -> bool:
    """Does the forward have a real, finite value at these numbers, and close to them?"""
    try:
        with np.errstate(all="ignore"):
            ys = [forward(*map(float, xs)) for xs in zip(*(a.ravel() for a in arrays_near(points)), strict=True)]
        return all(not isinstance(y, complex) and math.isfinite(y) for y in ys)
    except FAILURES:
        return False


def arrays_near(points: Sequence[float]) -> list[np.ndarray]:
    """For each number an array of numbers close to it."""
    around = np.linspace(0.96, 1.05, 6).reshape(2, 3)
    return [x * around if x else around - 1 for x in points]


def elementwise_on_arrays(forward: Callable[..., Any], arrays: Sequence[np.ndarray], name: str) -> Callable[..., Any]:
    """The forward on arrays: itself; or, if it works on single numbers only (with `math`, or an `if`), one by one."""
    def whole(*xs: Any, **settings: Any) -> Any:
        return forward(*map(np.asarray, xs), **settings)

    def one_by_one(*xs: Any, **settings: Any) -> Any:
        xs = tuple(map(np.asarray, xs))
        floats = [x.dtype for x in xs if x.dtype.kind == "f"] or [np.dtype(float)]
        each = np.frompyfunc(lambda *numbers: forward(*numbers, **settings), len(xs), 1)
        return np.asarray(each(*xs), dtype=np.result_type(*floats))

    try:
        single = one_by_one(*arrays)
    except FAILURES as error:
        at = ", ".join(f"{a.flat[0]:.3g}" for a in arrays)
        raise type(error)(f"Primitive.define: {name} fails at {at}: {error}; with at= give an example of each input, "
                          "a number, or an array if it works on arrays only") from error
    try:
        together = np.asarray(whole(*arrays))
    except FAILURES:
        return one_by_one
    if together.shape != single.shape or not np.allclose(together, single, rtol=1e-9, equal_nan=True):
        raise ValueError(f"Primitive.define: {name} of an array is not {name} of each of its entries; with at= give an "
                         "array as an example of each input, at=[np.ones((2, 3))]")
    return whole


def check(op: Primitive, inputs: Sequence[Any]) -> None:
    """Hold the rules, and their own derivatives, against differences; inputs without a rule stay as they are."""
    free = [k for k, rule in enumerate(op.vjp) if rule is not None]  # type: ignore[arg-type]

    def f(*xs: Any) -> Any:
        given = dict(zip(free, xs, strict=True))
        return op(*(given.get(k, x) for k, x in enumerate(inputs)))

    if not free:
        return
    try:
        gradcheck(f, [inputs[k] for k in free], order=2)
    except GradcheckError as error:
        is_plain = "the rule says" in str(error) and str(error).startswith("operation")  # a wrong rule, no wrong kind
        raise GradcheckError(f"Primitive.define: {error}{'' if is_plain else f'; {RULE}'}") from error
    except FAILURES as error:
        raise TypeError(f"Primitive.define: the rules of {op.name} cannot be checked: {error}; {RULE}") from error
