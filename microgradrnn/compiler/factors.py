"""The factors of a carried cotangent, collected: ``(dc * g) * (1 - i)`` becomes ``dc * (g * (1 - i))``.

A cotangent that is carried from step to step is known only when the reverse pass gets there; its factors are known as
soon as the forward pass is done. Once they are collected, their product is worked out for all steps at once, and the
loop multiplies only once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from microgradrnn.compiler.expression import Expression, Table, is_number, ordered


def collected(table: Table, roots: list[Any], seeds: Iterable[Expression]) -> list[Any]:
    """The roots, with the factors of everything that depends on the seeds collected."""
    seeded = set(seeds)
    new: dict[Expression, Any] = {}
    for e in ordered(roots):
        fresh = table.again(e, [new[a] if isinstance(a, Expression) else a for a in e.args]) if e.args else e
        if e in seeded or any(a in seeded for a in fresh.inputs):
            seeded.add(fresh)
            fresh = _collected(table, fresh, seeded)
            seeded.add(fresh)
        new[e] = fresh
        if e.name and not fresh.name:
            fresh.name = e.name
    return [new[e] if isinstance(e, Expression) else e for e in roots]


def _collected(table: Table, e: Expression, seeded: set[Expression]) -> Expression:
    """One expression, whose arguments are done."""
    if e.op in ("multiply", "divide"):
        a, b = e.args
        if e.op == "multiply" and _seeded(b, seeded):
            a, b = b, a
        if not _seeded(a, seeded) or _seeded(b, seeded) or a.shape != e.shape or a.dtype != e.dtype:
            return e
        d, factor = _parts(a, seeded)
        if is_number(factor, 1) and e.op == "multiply":
            return e
        made = d if d.shape == e.shape else None
        if made is None:
            return e
        return _times(table, d, table.elementwise(e.op, factor, b), e)
    if e.op == "negative" and _seeded(e.args[0], seeded):
        d, factor = _parts(e.args[0], seeded)
        return e if is_number(factor, 1) else _times(table, d, table.elementwise("negative", factor), e)
    if e.op in ("add", "subtract") and all(isinstance(a, Expression) and _seeded(a, seeded) for a in e.args):
        (d, one), (same, other) = (_parts(a, seeded) for a in e.args)
        if d is same and d.shape == e.shape:
            return _times(table, d, table.elementwise(e.op, one, other), e)
    return e


def _seeded(x: Any, seeded: set[Expression]) -> bool:
    return isinstance(x, Expression) and x in seeded


def _parts(e: Expression, seeded: set[Expression]) -> tuple[Expression, Any]:
    """The cotangent in a product and its factor, 1 if there is none."""
    if e.op == "multiply":
        for d, factor in (e.args, e.args[::-1]):
            if _seeded(d, seeded) and not _seeded(factor, seeded) and d.shape == e.shape and d.dtype == e.dtype:
                return d, factor
    return e, 1.0


def _times(table: Table, d: Expression, factor: Any, like: Expression) -> Expression:
    made = table.elementwise("multiply", d, factor)
    if not isinstance(made, Expression) or made.shape != like.shape or made.dtype != like.dtype:
        return like
    return made
