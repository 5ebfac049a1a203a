"""Noise inside the loop: zoneout, recurrent dropout and variational dropout.

All of it acts after ``train(rng=)`` and stops after ``eval()``. Noise is drawn anew in every call, so a loop that draws
is not compiled and not checkpointed.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from microgradrnn.engine import mark
from microgradrnn.engine.rules.elementwise import sigmoid
from microgradrnn.engine.rules.linalg import affine
from microgradrnn.engine.rules.random import dropout
from microgradrnn.engine.rules.shape import split
from microgradrnn.nn.cells.base import Cell, Step
from microgradrnn.nn.cells.gru import GRUCell, MGUCell
from microgradrnn.nn.cells.lstm import LSTMCell
from microgradrnn.nn.cells.simple import AdditiveCell
from microgradrnn.nn.module import constant


class Around(Cell):
    """A cell around another one, of the same sizes."""

    def __init__(self, cell: Cell) -> None:
        if not isinstance(cell, Cell):
            raise TypeError(f"{type(self).__name__}: expected a cell such as nn.LSTMCell(3, 5), got a "
                            f"{type(cell).__name__}")
        self.cell = cell
        self.input_size, self.hidden_size, self.bias = cell.input_size, cell.hidden_size, cell.bias
        self.name, self.state = cell.name, cell.state

    @classmethod
    def from_concatenated(cls, W: Any, b: Any = None, **options: Any) -> Any:
        """Refused: the cell inside has the weights."""
        raise ValueError(f"{cls.__name__} goes around a cell; make that one from_concatenated")

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Those of the cell inside."""
        return self.cell.state_sizes

    def initial_state(self, B: int) -> Any:
        """That of the cell inside."""
        return self.cell.initial_state(B)


class Zoneout(Around):
    """A cell at which entries of the state keep their last value at random (Krueger et al. 2017)::

        s = d ⊙ s_{t-1} + (1 - d) ⊙ s'          s' = cell(x, s_{t-1})

    for each part s of the state. In training each entry of d is 1 with probability p, otherwise 0, drawn anew at every
    step; in evaluation d = p, its mean. Dropout would set entries of the memory to 0; zoneout keeps them, and
    where d = 1 the gradient passes with the factor 1.

    Args:
        cell: a `Cell`.
        p: in [0, 1); a number for all parts of the state, or one for each, as in ``(0.05, 0.5)`` for (h, c).

    Raises:
        ValueError: if there are not as many p as parts of the state.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> net = nn.Recurrent(nn.Zoneout(nn.LSTMCell(3, 5, rng=0), (0.05, 0.5))).train(rng=0)
    >>> net(np.ones((7, 2, 3)))[0].shape
    (7, 2, 5)
    """

    def __init__(self, cell: Cell, p: float | tuple[float, ...]) -> None:
        super().__init__(cell)
        self.p = tuple(p) if isinstance(p, (tuple, list)) else (p,) * len(cell.state)
        if len(self.p) != len(cell.state):
            raise ValueError(f"Zoneout: p is one number, or one for each part of the state, ({', '.join(cell.state)}); "
                             f"got {len(self.p)}")
        for one in self.p:
            need_probability("Zoneout", one)

    def prepare(self, x: Any) -> tuple[Any, Step]:
        """As for the cell inside."""
        z, step = self.cell.prepare(x)
        return z, partial(self.step_with, step)

    def step_with(self, step: Step, z: Any, state: Any) -> Any:
        """The next state, with some entries of the last one."""
        before, after = (s if isinstance(s, tuple) else (s,) for s in (state, step(z, state)))
        rng, parts = self.noise(None), []
        for old, new, p in zip(before, after, self.p, strict=True):
            symbol, role = new.symbol, new.role
            mark(new, f"{symbol}'", role=None)
            if rng is None:
                mixed = p * old + (1 - p) * new
            else:
                d = (rng.random(new.shape) < p).astype(new.dtype)
                mixed = constant(d, "d") * old + constant(1 - d, "(1 - d)") * new
            parts.append(mark(mixed, symbol, role=role))
        return tuple(parts) if len(parts) > 1 else parts[0]


class VariationalDropout(Around):
    """Dropout on x and on h, with the same masks at all steps of a sequence (Gal & Ghahramani 2016)::

        state = cell(m_x ⊙ x, m_h ⊙ h_{t-1})

    Each entry of the masks m is 0 with probability p, otherwise 1/(1 - p). They are drawn once in a call, for each
    sequence its own, and are the same at all steps. c of an LSTM is not masked.

    For cells that read h in products only. A GRU also carries h on, and a mask on it would erase the memory itself:
    GRUs, MGUs and additive cells are refused.

    Args:
        cell: a `Cell`.
        p: of m_h, in [0, 1).
        input_p: of m_x, in [0, 1).

    Raises:
        ValueError: if the cell hands h on as well as reading it, as a GRU does.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> net = nn.Recurrent(nn.VariationalDropout(nn.LSTMCell(3, 5, rng=0), 0.3)).train(rng=0)
    >>> net(np.ones((7, 2, 3)))[0].shape
    (7, 2, 5)
    """

    def __init__(self, cell: Cell, p: float, input_p: float = 0.0) -> None:
        super().__init__(cell)
        if isinstance(cell, (GRUCell, MGUCell, AdditiveCell)):
            raise ValueError(f"VariationalDropout: a {type(cell).__name__} carries h on as well as reading it, and a "
                             "mask on h would erase its memory; use Zoneout, or an LSTM")
        need_probability("VariationalDropout", p)
        need_probability("VariationalDropout", input_p)
        self.p, self.input_p = p, input_p

    def prepare(self, x: Any) -> tuple[Any, Step]:
        """As for the cell inside, with masks for this call."""
        rng = self.noise(None)
        if rng is None:
            return self.cell.prepare(x)
        self._check_input(x)
        B = x.shape[-2]
        m_x, m_h = (constant(dropout(np.ones((B, n), x.dtype), p, rng=rng), symbol) for n, p, symbol in (
            (self.input_size, self.input_p, "m_x"), (self.state_sizes[0], self.p, "m_h")))
        z, step = self.cell.prepare(m_x * x)
        return z, partial(self.step_with, step, m_h)

    def step_with(self, step: Step, m: Any, z: Any, state: Any) -> Any:
        """The next state of a cell that reads m ⊙ h."""
        return step(z, (m * state[0], *state[1:]) if isinstance(state, tuple) else m * state)


class RecurrentDropoutLSTMCell(LSTMCell):
    """The LSTM with dropout on what it writes (Semeniuta, Severyn & Barth 2016)::

        i, f, o = σ(x U + h W + b)              g = tanh(x U + h W + b)
        c = f ⊙ c + i ⊙ m ⊙ g                   h = o ⊙ tanh(c)

    Each entry of the mask m is 0 with probability p, otherwise 1/(1 - p), drawn anew at every step. What c holds is
    never dropped, so noise does not add up over time.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        p: in [0, 1).
        options: as for `LSTMCell`.

    >>> import numpy as np
    >>> cell = RecurrentDropoutLSTMCell(3, 5, p=0.25, rng=0).train(rng=0)
    >>> cell(np.ones((2, 3)))[0].shape
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, *, p: float, **options: Any) -> None:
        need_probability("RecurrentDropoutLSTMCell", p)
        super().__init__(input_size, hidden_size, **options)
        self.p = p

    def step(self, z: Any, state: Any) -> Any:
        """(h_t, c_t) from the net input and (h_{t-1}, c_{t-1})."""
        h, c = state
        z_i, z_f, z_g, z_o = split(affine(h, self.W, z), 4, axis=-1)
        i = mark(sigmoid(z_i), "i", role="gate")
        f = mark(sigmoid(z_f), "f", role="gate")
        g = mark(self.activation(z_g), "g", role="candidate")
        o = mark(sigmoid(z_o), "o", role="gate")
        if (rng := self.noise(None)) is not None:
            g = constant(dropout(np.ones(g.shape, g.dtype), self.p, rng=rng), "m") * g
        c = mark(f * c + i * g, "c", role="cell")
        h = o * self.activation(c)
        return mark(h if self.P is None else h @ self.P, "h", role="hidden"), c


def need_probability(who: str, p: Any) -> None:
    """Raise unless p is a number in [0, 1)."""
    if isinstance(p, bool) or not isinstance(p, (int, float, np.number)) or not 0 <= p < 1:
        raise ValueError(f"{who}: a probability must lie in [0, 1), got {p!r}")
