"""Silence: behind a `where`, 0 times infinity is 0.

A rule is linear in the cotangent g, so an entry of the output where g is 0 sends nothing back, whatever the derivative
is there. The machine sees it otherwise: 0 * inf is NaN, and one NaN that a `where` did not choose would fill a sum.

A message that is finite is right as it is; to see that is all that silence costs as a rule. If one is not, the entries
of the operands are told apart: those that some *live* output (one where g is not 0) depends on, and the dead ones. Dead
entries may be anything, so those that are not finite become 1, and the rule is asked again. What is NaN for the sake of
a live output stays NaN.

Which entries are dead the rule itself tells. *Dye* is sent through it, a cotangent that is NaN where an output lives
and 0 elsewhere, with 1 for all operands: what it does not stain is dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from microgradrnn.engine.cotangent import Deferred, all_finite, unbroadcast
from microgradrnn.engine.guards import accept_anomaly
from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.primitive import Primitive
from microgradrnn.engine.rules.elementwise import where


class Silence:
    """What keeps one node behind a `where` from sending 0 times an infinity or a NaN."""

    def __init__(self, op: Primitive, g: Any, operands: Sequence[Any], params: dict[str, Any]) -> None:
        self.op, self.g, self.operands, self.params = op, g, operands, params

    def over(self, message: Any, k: int) -> Any:
        """The message to the k-th input, with 0 for what is 0 times an infinity or a NaN."""
        recorded = isinstance(self.g, Node)
        if self.op.reverses or (not recorded and finite(message)) or not np.any(plain(self.g) == 0):
            return message
        with accept_anomaly():
            return self.recorded(message, k) if recorded else self.mended(message, k)

    def mended(self, message: Any, k: int) -> Any:
        """A message that is not finite, as good as it can be."""
        if not self.op.elementwise:
            message = self.asked_again(k)
        return message if finite(message) else where(self.dead(k), 0.0, dense(message))

    def recorded(self, message: Any, k: int) -> Any:
        """The same for a message that is a node.

        A cotangent may be 0 just here, and its slope not: only what is lost anyway is replaced. But the next reverse
        pass must find a `where` in every case, to be as silent behind it.
        """
        message = dense(message)
        if not self.op.elementwise and not finite(message):
            message = dense(self.asked_again(k))
        return where(False if finite(message) else ~np.isfinite(message.data) & self.dead(k), 0.0, message)

    def asked_again(self, k: int) -> Any:
        """The message that the rule gives with harmless operands."""
        y, operands = self.harmless
        return self.ask(k, self.g, y, operands)

    def ask(self, k: int, g: Any, y: Any, operands: list[Any]) -> Any:
        """The rule for the k-th input."""
        with np.errstate(all="ignore"):
            return self.op.pull(k, g, y, operands, self.params)

    @cached_property
    def harmless(self) -> tuple[Any, list[Any]]:
        """The output, and the operands, with 1 in dead entries that are not finite (a sound matrix for a dead one)."""
        operands = list(self.operands)
        for j, x in enumerate(operands):
            bad = ~np.isfinite(plain(x))
            if bad.any() and self.op.vjp[j] is not None:
                stained = np.isnan(unbroadcast(self.stain(j), bad.shape))
                whole = self.op.sound is not np.ones_like  # a matrix that is sound in part may be singular
                operands[j] = where((bad | whole) & ~stained, self.op.sound(plain(x)), x)
        return self.op(*operands, **self.params), operands

    def dead(self, k: int) -> Any:
        """Where in the message to the k-th input nothing arrives from a live output."""
        return plain(self.g) == 0 if self.op.elementwise else ~np.isnan(self.stain(k))

    def stain(self, k: int) -> np.ndarray:
        """The message to the k-th input that the dye gives."""
        return np.asarray(self.ask(k, *self.dyed))

    @cached_property
    def dyed(self) -> tuple[np.ndarray, Any, list[Any]]:
        """The dye, and what it is sent through: NaN at live outputs, 0 at dead ones; sound operands, their output."""
        g, sound = plain(self.g), [self.op.sound(plain(x)) for x in self.operands]
        return np.where(g == 0, 0, np.nan).astype(g.dtype), self.op(*sound, **self.params), sound


def finite(message: Any) -> bool:
    """Is every number of a message finite?"""
    return message.finite() if isinstance(message, Deferred) else all_finite(plain(message))


def dense(message: Any) -> Any:
    """A message worked out."""
    return message.dense() if isinstance(message, Deferred) else message
