"""Step Jacobians: how a small change of the state before a step changes the state after it. Numbers only.

Back-propagation through time is a product of these matrices, one for each step; whether gradients vanish or explode is
a property of the product. They are taken from the graph itself, step by step (`viz.flow.local`), so T steps cost T
times one step.

States are rows (docs/equations.md, section 2): ``J[i, k] = ∂(unit k after the step) / ∂(unit i before it)``. So
``dh_t = dh_{t-1} J_t``, the simple net has ``J_t = W diag(φ'(z_t))``, products are written in the order of time,
``∂h_T/∂h_0 = J_1 J_2 ⋯ J_T``, and a gradient is multiplied by ``J_tᵀ``. (PyTorch's jacobian is the transpose.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from microgradrnn.engine import Node
from viz.flow.drawable import Drawable
from viz.flow.local import local_jacobian, size
from viz.flow.products import log_singular_values
from viz.graph.root import as_node
from viz.graph.steps import need_alike, nothing_handed_on
from viz.graph.timeline import timeline
from viz.progress import progress


@dataclass(frozen=True)
class StepJacobians(Drawable):
    """The Jacobians of the whole state at every step, of one sequence of the batch.

    Attributes:
        states: the symbols of the parts of the state, ``("h", "c")``.
        sizes: how many units each has; together n.
        steps: the time step of each Jacobian, in the order of the loop.
        arrays: the Jacobians, (T, n, n); ``[i, k]`` is ∂(unit k after) / ∂(unit i before).
        batch: which sequence of the batch.
    """

    states: tuple[str, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]
    arrays: np.ndarray
    batch: int = 0

    def __repr__(self) -> str:
        return f"StepJacobians(T={len(self.steps)}, state=({', '.join(self.states)}), n={sum(self.sizes)})"

    def block(self, after: str, before: str) -> np.ndarray:
        """∂(one part after) / ∂(one part before), (T, n_before, n_after), the other parts before held fixed.

        For an LSTM ``block("c", "c")`` is diag(f_t) exactly: the gates read h_{t-1}, and that is held fixed here.
        """
        return self.arrays[:, self._units(before), self._units(after)]

    def _units(self, state: str | None) -> slice:
        if state is None:
            return slice(None)
        if state not in self.states:
            raise ValueError(f"no state {state!r}; the state is ({', '.join(self.states)})")
        k = self.states.index(state)
        start = sum(self.sizes[:k])
        return slice(start, start + self.sizes[k])

    def singular_values(self) -> np.ndarray:
        """By how much each step stretches, (T, n), the largest first; NaN where a Jacobian is not finite."""
        return np.array([_singular(J) for J in self.arrays])

    def eigenvalues(self) -> np.ndarray:
        """Complex, (T, n), the largest in modulus first; NaN where a Jacobian is not finite."""
        found = []
        for J in self.arrays:
            values = np.linalg.eigvals(J) if np.isfinite(J).all() else np.full(len(J), np.nan)
            found.append(values[np.argsort(-np.abs(values), kind="stable")])
        return np.array(found, dtype=complex)

    def spectral_radii(self) -> np.ndarray:
        """The largest modulus of an eigenvalue at each step, (T,). It bounds nothing: see `singular_values`."""
        radii: np.ndarray = np.abs(self.eigenvalues()[:, 0])
        return radii

    def product(self) -> np.ndarray:
        """∂(state at the end) / ∂(state before the first step), (n, n): the product of all. Long ones underflow."""
        whole = np.eye(self.arrays.shape[1])
        for J in self.arrays:
            whole = whole @ J
        return whole

    def transport(self, after: str | None = None, before: str | None = None) -> np.ndarray:
        """log10 ‖∂(state at the end) / ∂(state k steps before)‖₂ for k = 0, 1, ..., T: shape (T + 1,).

        The spectral norm: by how much the most fortunate gradient has grown or shrunk on its way back. The product is
        rescaled at every step, so nothing underflows. Minus infinity is exactly zero.

        Args:
            after, before: one part of the state at the end and at the beginning; by default all of it.
        """
        return self._products(lambda P: _singular(P[self._units(before), self._units(after)])[:1])[:, 0]

    def product_singular_values(self) -> np.ndarray:
        """log10 of all singular values of ∂(state at the end) / ∂(state k steps before), (T + 1, n).

        They may be any number of decades apart, see `viz.flow.products`: rounding in a step changes a value by about
        κ 10⁻¹⁶ of itself, where κ is the condition number of that step's Jacobian, not that of the product. Minus
        infinity is exactly zero, as after a ReLU that is off. Once a step is singular (or shrinks a direction 14
        decades or more below others), what lies 14 decades below the largest is NaN: rounding cannot tell it.
        """
        n = self.arrays.shape[1]
        logs = np.array([np.zeros(n), *log_singular_values(self.arrays[::-1], n)])
        formed = self._products(_singular)
        formed = np.where(formed < formed[:, :1] - 14, np.nan, formed)
        return np.where(np.isnan(logs), formed, logs)

    def _products(self, of: Any) -> np.ndarray:
        """log10 of something of every product, from no step to all, the last step's Jacobian first."""
        P, scale = np.eye(self.arrays.shape[1]), 0.0
        found = [of(P)]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = [np.log10(found[0])]
            for J in self.arrays[::-1]:
                P = J @ P
                size = np.abs(P).max(initial=0.0)
                if size > 0 and math.isfinite(size):
                    P, scale = P / size, scale + math.log10(size)
                logs.append(np.log10(of(P)) + scale)
        return np.array(logs)

    def product_of_norms(self) -> np.ndarray:
        """log10 ∏ ‖J_t‖₂ over the last k steps, k = 0..T: a bound of `transport` that holds for every net."""
        with np.errstate(divide="ignore"):
            logs = np.log10(self.singular_values()[::-1, 0])
        return np.concatenate([[0.0], np.cumsum(logs)])

    def bound(self, W: Any, slope: float = 1.0) -> np.ndarray:
        """``log10 (‖W‖₂ max|φ'|)^k`` for k = 0..T: the bound of docs/equations.md, section 2, for the simple net.

        Below 1, vanishing is certain. Above 1 it says nothing about explosion.

        Args:
            W: the recurrent matrix, an array or a node.
            slope: ``max |φ'|``: 1 for tanh, ReLU and the identity, 1/4 for the logistic sigmoid.

        Raises:
            ValueError: if W does not fit the state: then this is no simple net.
        """
        matrix = np.asarray(W.data if isinstance(W, Node) else W, dtype=np.float64)
        n = self.arrays.shape[1]
        if matrix.shape != (n, n):
            raise ValueError(f"bound: W {matrix.shape} does not map a state of {n} units to the next; the bound is "
                             "that of a simple net, h = φ(x U + h W + b). For others: product_of_norms()")
        with np.errstate(divide="ignore"):
            factor = np.log10(_singular(matrix)[0] * slope)
        return np.arange(len(self.steps) + 1) * factor if len(self.steps) else np.zeros(1)

    def lyapunov(self, count: int | None = None) -> np.ndarray:
        """The Lyapunov exponents over these steps: mean natural log of the growth per step, the largest first.

        exp(exponent) is the factor per step. A frame of orthonormal rows is carried along, ``Q J_t``, and made
        orthonormal again by QR at every step, so that no direction is lost in the largest one. All n exponents
        together are the mean of ``log |det J_t|``. Minus infinity: a direction that is lost at some step, as at a ReLU
        that is off. (As far as rounding tells: what QR leaves of such a direction is noise, so the frame goes on
        without.)

        Args:
            count: how many, from the largest down; all by default.
        """
        n = self.arrays.shape[1]
        count = n if count is None else count
        if not 1 <= count <= n:
            raise ValueError(f"lyapunov: count lies in 1..{n}, got {count!r}")
        if not np.isfinite(self.arrays).all():
            return np.full(count, np.nan)
        Q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, count)))[0]
        total = np.zeros(count)
        with np.errstate(divide="ignore"):
            for J in self.arrays:
                left = _rank(J, Q)
                total[left:] = -np.inf
                Q, R = np.linalg.qr(J.T @ Q[:, :left])
                total[:left] += np.log(np.abs(np.diag(R)))
        mean: np.ndarray = np.sort(total / len(self.arrays))[::-1]
        return mean

    def records(self) -> list[dict[str, float]]:
        """One row a step, for a table or a data frame: its singular values in short, and the product from there on.

        ``log10_transport`` and ``log10_bound`` are those of all steps from this one to the end.
        """
        values, radii = self.singular_values(), self.spectral_radii()
        transport, norms = self.transport()[1:][::-1], self.product_of_norms()[1:][::-1]
        return [
            {"step": step, "largest": values[j, 0], "median": float(np.median(values[j])), "smallest": values[j, -1],
             "spectral_radius": radii[j], "log10_transport": transport[j], "log10_product_of_norms": norms[j]}
            for j, step in enumerate(self.steps)
        ]


def step_jacobians(of: Any, layer: int = -1, batch: int = 0) -> StepJacobians:
    """The Jacobian of the state at every step, from the graph of any net.

    Args:
        of: a loss (or anything else that the steps lead to), whose states are found; or the list of the states,
            one node, or one tuple of nodes, a step, oldest first. A state that is handed over as a plain array or a
            detached one ends the graph there: the Jacobian is 0, which is what truncated back-propagation uses.
        layer: which unrolled layer, the last by default. (With a list of states: no meaning.)
        batch: which sequence. Arrays of two axes or more have the batch first; vectors and numbers have none.

    Returns:
        `StepJacobians`. The first step has one if the state before it is a node: give the net ``Tensor(h0)``. Without
        that there are T - 1. The last one has none if the loss does not depend on all of the state after it, as c_T
        alone does not on h_T: what nothing depends on is not in the graph. (In a net of one step nothing tells the
        state from the input: give a list.)

    Raises:
        ValueError: if there are no two states to compare, or no such sequence; if steps hand on different states; if
            a hook is registered on the way from one state to the next.

    >>> import numpy as np
    >>> from microgradrnn import nn, Tensor
    >>> cell = nn.RNNCell(3, 5, rng=0)
    >>> hs, h = nn.unroll(cell, np.ones((7, 2, 3)), Tensor(np.zeros((2, 5))))
    >>> jacobians = step_jacobians(h)
    >>> jacobians.arrays.shape
    (7, 5, 5)
    >>> bool(np.allclose(jacobians.arrays[6], cell.W.data * (1 - h.data[0] ** 2)))
    True
    """
    of = as_node("step_jacobians", of)
    names, steps, states = _found(of, layer) if isinstance(of, Node) else _given(of)
    if len(states) < 2:
        raise ValueError("step_jacobians: a single step does not show what went into it as the state; say so: "
                         "step_jacobians([h0, h]), where h0 is a Tensor")
    sizes = tuple(size(state) for state in states[-1])
    for step, parts in zip([None, *steps], states, strict=True):
        if tuple(size(state) for state in parts) != sizes:
            raise ValueError(f"step_jacobians: the state has {sizes} units at the end, but "
                             f"{tuple(size(state) for state in parts)} after step {step}")
        for state in parts:
            _row(state, batch)
    arrays = np.array([local_jacobian(before, after, batch) for before, after in
                       progress(pairwise(states), "step_jacobians", len(states) - 1)])
    return StepJacobians(names, sizes, tuple(steps), arrays, batch)


def _found(root: Node, layer: int) -> tuple[tuple[str, ...], list[int], list[list[Node]]]:
    """The symbols of the states, the steps, and the states before the first of these steps and after each."""
    line = timeline(root, layer, "step_jacobians")
    if not line.symbols:
        raise ValueError(f"step_jacobians: {nothing_handed_on(line.layer)}")
    for name in line.symbols:
        need_alike(line.graph, line.layer, name, "step_jacobians")
    steps = [step for step in line.steps if len(line.states(step)) == len(line.symbols)]
    if not steps:
        raise ValueError("step_jacobians: of no step does the loss depend on all of "
                         f"({', '.join(line.symbols.values())}); give the states yourself, as a list with one tuple a "
                         "step")
    states = [line.states(step) for step in steps]
    for step in line.steps[line.steps.index(steps[0]) : line.steps.index(steps[-1])]:
        if step not in steps:
            raise ValueError(f"step_jacobians: step {step} does not make all of ({', '.join(line.symbols.values())}); "
                             "give the states yourself, as a list with one tuple a step")
    first = line.first_states()
    if first is not None and steps[0] == line.steps[0]:
        return tuple(line.symbols.values()), steps, [first, *states]
    return tuple(line.symbols.values()), steps[1:], states


def _given(of: Sequence[Any]) -> tuple[tuple[str, ...], list[int], list[list[Node]]]:
    if not isinstance(of, Sequence):
        raise TypeError(f"step_jacobians: give a loss, or the list of the states; got {type(of).__name__}")
    states = [list(state) if isinstance(state, tuple) else [state] for state in of]
    for j, parts in enumerate(states):
        for part in parts:
            if not isinstance(part, Node):
                raise TypeError(f"step_jacobians: states are Tensors, Values, or tuples of them; the {j}-th holds a "
                                f"{type(part).__name__}. Wrap the first state: Tensor(h0)")
    if not states:
        raise ValueError("step_jacobians: no states")
    names: list[str] = []
    for k, part in enumerate(states[-1]):
        name = part.symbol or ("h" if k == 0 else f"s{k + 1}")
        names.append(name if name not in names else f"{name}_{k + 1}")
    steps = [parts[0].scope.step for parts in states[1:]]
    known = [step for step in steps if step is not None]
    return tuple(names), known if len(known) == len(steps) else list(range(1, len(states))), states


def _row(state: Node, batch: int) -> None:
    shape = np.shape(state.data)
    if len(shape) > 1 and not -shape[0] <= batch < shape[0]:
        raise ValueError(f"step_jacobians: batch {batch}, but the state {shape} holds {shape[0]} sequences")


def _rank(J: np.ndarray, Q: np.ndarray) -> int:
    """How many directions of a frame are left after a step. Units are brought to one scale: a small one is not lost."""
    scale = np.abs(J).max(axis=0)[:, None]
    return int(np.linalg.matrix_rank((J.T / np.where(scale > 0, scale, 1)) @ Q)) if Q.size else 0


def _singular(J: np.ndarray) -> np.ndarray:
    """The singular values, the largest first; NaN if J is not finite."""
    if not np.isfinite(J).all():
        return np.full(min(J.shape), np.nan)
    values: np.ndarray = np.linalg.svd(J, compute_uv=False)
    return values
