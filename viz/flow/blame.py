"""Who is to blame: which step a loss blames, and to which step a shared weight owes its gradient. Numbers only.

Two questions about one gradient (docs/equations.md, section 2):

* `local_errors`: δ_{t,k} = ∂L_t/∂z_k, how much the loss at step t blames step k.
* `shares`: the gradient of a weight that all steps share is a sum with one term for each use. Here are the terms, by
  the step of the use; ``shares(loss, by="lag")`` sorts them by how long before the loss the use was.

Vanishing is a matter of single terms, not of their sum; and terms cancel. So sums and terms are kept apart.

**The loss at a step.** Give the losses of the steps one by one, and L_t is what you gave. Give one loss, and L_t is
the part of it that reads the recurrence at step t: the gradient that comes into the states of step t from behind the
recurrence, not through the states of other steps. For a loss that is a sum, each term of which reads one step, that is
the same; what the loss does behind the recurrence makes no difference.

**Steps** are counted in the order of execution. The layers of a deep net go through time side by side and share their
numbers. A loop that starts where another ended, or reads it in another order, comes after it: of an encoder of 5 steps
and a decoder of 3, the decoder has the steps 5, 6 and 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradrnn.engine import Node, enable_grad
from microgradrnn.engine.backward import reverse
from viz.errors import need
from viz.flow.attribution import Places, Sorter, Split, added
from viz.flow.drawable import Drawable
from viz.graph.root import as_node
from viz.graph.steps import nothing_handed_on, weight_names
from viz.graph.timeline import Timeline, timeline_of
from viz.graph.trace import norm
from viz.progress import progress

Losses = Node | Sequence[Node] | Mapping[int, Node]


@dataclass(frozen=True)
class LocalErrors(Drawable):
    """δ_{t,k} = ∂L_t/∂z_k for every loss t and every step k.

    Attributes:
        symbol: what was differentiated by: ``z``, ``h``, ...
        losses: the step t of each row, counted in the order of execution.
        steps: the step k of each column, counted in the same way.
        norms: Euclidean norms over the batch and all units, (rows, columns); 0 where nothing arrives.
        reached: is there a way from L_t to z_k? False for the later steps of a net that does not see the future.
        arrays: the errors themselves, (rows, columns, B, H), if they were asked for.
    """

    symbol: str
    losses: tuple[int, ...]
    steps: tuple[int, ...]
    norms: np.ndarray
    reached: np.ndarray
    arrays: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"LocalErrors(of {self.symbol}, {len(self.losses)} losses, {len(self.steps)} steps)"

    def at(self, t: int, k: int) -> float:
        """‖δ_{t,k}‖."""
        return float(self.norms[self.losses.index(t), self.steps.index(k)])

    def by_lag(self) -> dict[int, float]:
        """For each lag t - k, the root of the mean of ‖δ_{t,k}‖² over all pairs of that lag with a way between them."""
        turn = {step: j for j, step in enumerate(sorted({*self.losses, *self.steps}))}
        lags = np.subtract.outer([turn[t] for t in self.losses], [turn[k] for k in self.steps])
        found = {}
        for lag in np.unique(lags):
            here = (lags == lag) & self.reached
            if here.any():
                found[int(lag)] = norm(self.norms[here]) / float(np.sqrt(here.sum()))
        return found

    def records(self) -> list[dict[str, Any]]:
        """One row for each pair that is reached, for a table or a data frame."""
        return [{"loss": t, "step": k, "lag": t - k, "norm": float(self.norms[i, j])}
                for i, t in enumerate(self.losses) for j, k in enumerate(self.steps) if self.reached[i, j]]


def local_errors(losses: Losses, layer: int = -1, *, at: str | None = None, arrays: bool = False) -> LocalErrors:
    """How much the loss of every step blames every step: one reverse pass for each loss.

    Args:
        losses: one loss; or the losses of the steps, as a list (in the order of time, one a step) or by step.
        layer: which unrolled layer is blamed, the last by default.
        at: the symbol or role of what is differentiated by, ``"h"``, ``"c"``, ``"i"``. By default the pre-activation
            z_k where the state is an elementwise function of one (``h = tanh(z)``); in gated cells the state h_k.
            (For an LSTM that is not what goes on along the cell path: ``"c"`` is, with what c_k sends through h_k.)
        arrays: keep the errors themselves too; (T, T, B, H) numbers.

    Raises:
        TypeError: if that is neither a node nor a list of nodes or nodes by step.
        ValueError: without time steps, or if the list has another length than there are steps.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 5, rng=0)(np.ones((4, 2, 3)))
    >>> errors = local_errors((hs ** 2).sum())
    >>> errors
    LocalErrors(of z, 4 losses, 4 steps)
    >>> bool(errors.at(3, 3) > errors.at(3, 0) > 0), errors.at(0, 3)
    (True, 0.0)
    """
    apart = Apart.of(losses)
    return errors_of(apart, sorted(apart.losses), layer, at, arrays)


def errors_of(apart: Apart, rows: Sequence[int], layer: int, at: str | None, arrays: bool = False) -> LocalErrors:
    """`local_errors` of some of the losses: those of these steps."""
    line = timeline_of(apart.places.graph, apart.places.ids, layer, "local errors")
    shift = apart.places.shift(line.nodes[node] for node in line.layer.steps[line.layer.last].values())
    steps = [step + shift for step in line.steps]
    symbol, nodes = _blamed(line, at)
    places = {node: j for j, node in enumerate(nodes) if node is not None}
    size = (len(rows), len(steps))
    norms, reached, kept = np.zeros(size), np.zeros(size, dtype=bool), None
    if arrays:
        kept = np.zeros((*size, *np.shape(next(iter(places)).data)))
    for i, t in enumerate(progress(rows, "local_errors")):
        for node, g in reverse(apart.losses[t], targets=list(places)):
            if node in places:
                j = places[node]
                norms[i, j] = norm(g)
                # A slice of the stacked outputs sends exact zeros to the steps it does not read: no way either.
                reached[i, j] = norms[i, j] != 0 or t not in steps or steps.index(t) >= j
                if kept is not None:
                    kept[i, j] = g
    order = np.argsort(steps)
    return LocalErrors(symbol, tuple(rows), tuple(sorted(steps)), norms[:, order], reached[:, order],
                       None if kept is None else kept[:, order])


def _blamed(line: Timeline, at: str | None) -> tuple[str, list[Node | None]]:
    """What to differentiate by, at every step in the order of the loop, and what to call it.

    None where no loss depends on it, so that it is not in the graph: h_T, if the loss reads c_T alone.
    """
    if at is None:
        if not line.symbols:
            raise ValueError(f"local_errors: {nothing_handed_on(line.layer)}; or say at= what to blame")
        name = next(iter(line.symbols))
        states = [line.at(step, name) for step in line.steps]
        if all(state is not None and state.op is not None and state.op.elementwise and len(state.inputs) == 1
               and state.inputs[0] is not None for state in states):
            return "z", [state.inputs[0] for state in states]  # type: ignore[union-attr]
    else:
        name = line.name_of(at)
    symbol = line.symbols.get(name) or line.graph.nodes[line.layer.youngest[name]].get("symbol", name)
    return symbol, [line.at(step, name) for step in line.steps]


# ---------------------------------------------------------------------------------------------------- shares
@dataclass(frozen=True)
class Shares(Drawable):
    """The gradient of one parameter as a sum with a term for each time step, or for each lag.

    Attributes:
        parameter: its name.
        by: ``"step"``, the step that used it, or ``"lag"``, the step of the loss less the step that used it.
        keys: the steps, counted in the order of execution, or the lags.
        arrays: the shares, ``(len(keys), *shape of the parameter)``.
        rest: what belongs to no step: a penalty on the weight, or a use for several steps at once that does not keep
            them apart. Mostly 0.
    """

    parameter: str
    by: str
    keys: tuple[int, ...]
    arrays: np.ndarray
    rest: np.ndarray

    def __repr__(self) -> str:
        return f"Shares({self.parameter} {self.rest.shape}, {len(self.keys)} {self.by}s)"

    @property
    def total(self) -> np.ndarray:
        """The whole gradient: what ``.grad`` would hold."""
        whole: np.ndarray = self.arrays.sum(axis=0) + self.rest
        return whole

    @property
    def norms(self) -> np.ndarray:
        """The Euclidean norm of each share."""
        return np.array([norm(share) for share in self.arrays])

    def along(self) -> np.ndarray:
        """Each share's component along the whole gradient: signed, and together (with the rest's) ‖gradient‖."""
        whole = self.total
        size = norm(whole)
        if size == 0:
            return np.zeros(len(self.keys))
        signed: np.ndarray = np.tensordot(self.arrays, whole / size, axes=whole.ndim)
        return signed

    def cancellation(self) -> float:
        """The norm of the sum over the sum of the norms: 1 if all shares point one way, 0 if they cancel."""
        apart = float(self.norms.sum()) + norm(self.rest)
        return norm(self.total) / apart if apart else 1.0

    def growing(self) -> np.ndarray:
        """The norm of the sum of the first 1, 2, ... shares, in the order of the keys, the rest always included."""
        return np.array([norm(part + self.rest) for part in np.cumsum(self.arrays, axis=0)])

    def records(self) -> list[dict[str, Any]]:
        """One row for each share, for a table or a data frame."""
        return [{"parameter": self.parameter, self.by: key, "norm": float(size), "along": float(component)}
                for key, size, component in zip(self.keys, self.norms, self.along(), strict=True)]


def shares(losses: Losses, parameters: Mapping[str, Node] | None = None, *, by: str = "step") -> dict[str, Shares]:
    """The gradient of every shared parameter, split by the time step that used it. The shares add up to the gradient.

    A weight used once for all steps together counts too: for ``xs @ U`` before the loop, and ``hs @ V`` after it, the
    share of a step comes from the rows of that step; for weights cut before the loop, through the piece. Rows that are
    read step by step belong to the step that reads them: of ``hs[::-1] @ U``, the first to the first step.

    Args:
        losses: the loss to differentiate; by lag also the losses of the steps one by one, as in `local_errors`.
        parameters: by name, ``dict(net.named_parameters())`` for instance; by default all that are marked as parameters
            or read by several steps, under the names that pictures give them.
        by: ``"step"``, the step that used the parameter, in a single reverse pass; or ``"lag"``, t - k for the loss at
            t and the use at k: ∂L/∂W = Σ_t Σ_k share(t, k), added up along the diagonals. That takes one reverse pass
            for each loss, so twice as many steps take four times as long (an LSTM of 500 steps about half a minute).

    Raises:
        ValueError: without time steps, if a checkpoint hides those that use a parameter, if there is no such
            parameter, or ``by`` is something else.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> net = nn.RNN(3, 5, rng=0)
    >>> loss = (net(np.ones((4, 2, 3)))[0] ** 2).sum()
    >>> by_step = shares(loss)
    >>> by_step["W"]
    Shares(W (5, 5), 4 steps)
    >>> loss.backward()
    >>> bool(np.allclose(by_step["U"].total, net.cell.U.grad, rtol=1e-14))
    True
    >>> float(by_step["W"].norms[0])    # h_0 = 0
    0.0
    >>> shares(loss, by="lag")["W"]
    Shares(W (5, 5), 4 lags)
    """
    if by not in ("step", "lag"):
        raise ValueError(f"shares: by is 'step' or 'lag', got {by!r}")
    return _by_step(losses, parameters) if by == "step" else _by_lag(losses, parameters)


def _by_step(loss: Any, parameters: Mapping[str, Node] | None) -> dict[str, Shares]:
    """One reverse pass: each share is sorted by the step that used the parameter."""
    places = Places(as_node("shares", loss), "shares")
    wanted = _wanted(places, parameters, "shares")
    sorter = Sorter(list(wanted.values()), places)
    sorter.differentiate(places.root)
    split = sorter.split()
    return {name: _collected(name, "step", places.steps, p, split) for name, p in wanted.items()}


def _by_lag(losses: Losses, parameters: Mapping[str, Node] | None) -> dict[str, Shares]:
    """One reverse pass for each loss: each share is sorted by how long before that loss the use was."""
    apart = Apart.of(losses)
    wanted = _wanted(apart.places, parameters, "shares")
    sorter = Sorter(list(wanted.values()), apart.places)
    turn = apart.places.turn
    for t in progress(sorted(apart.losses), "shares"):
        sorter.differentiate(apart.losses[t], key=lambda k, t=t: turn[t] - turn[k])  # type: ignore[misc]
    if apart.keep is not None:  # the weights behind the recurrence are used where the loss is: lag 0
        sorter.differentiate(apart.root, key=lambda k: 0, keep=apart.keep)
    found = sorter.split()
    lags = sorted({lag for by in found.values() for lag, g in by.items() if lag is not None and (lag >= 0 or g.any())})
    return {name: _collected(name, "lag", lags or [0], p, found) for name, p in wanted.items()}


def _collected(name: str, by: str, keys: Sequence[int], p: Node, split: Split) -> Shares:
    found, nothing = split.get(p, {}), np.zeros(np.shape(p.data))
    arrays = np.array([np.asarray(found.get(key, nothing), dtype=np.float64) for key in keys])
    return Shares(name, by, tuple(keys), arrays, np.array(found.get(None, nothing), dtype=np.float64))


def _wanted(places: Places, parameters: Mapping[str, Node] | None, who: str) -> dict[str, Node]:
    """The parameters by name."""
    if parameters is None:
        ids, names = places.ids, weight_names(places.graph)
        # Names are not always unique, two layers have a W each; then ids are.
        several = len(set(names.values())) < len(names)
        return {node if several else names[node]: x for x, node in ids.items() if node in names and x.requires_grad}
    need(who, parameters, Mapping, "leaves by name, dict(net.named_parameters())")
    for name, node in parameters.items():
        if not isinstance(node, Node) or not node.is_leaf:
            raise ValueError(f"{who}: {name} is no parameter; give leaves by name, dict(net.named_parameters())")
    return dict(parameters)


# --------------------------------------------------------------------------------------- the losses of the steps
@dataclass(frozen=True)
class Apart:
    """A loss, taken apart by step.

    Attributes:
        root: the whole.
        places: which node belongs to which step.
        losses: for each step, a node whose gradient is that of L_t, at least at and before the states.
        keep: of one loss: which messages stay behind the recurrence; None if the losses were given.
    """

    root: Node
    places: Places
    losses: dict[int, Node]
    keep: Callable[[Node, int], bool] | None

    @classmethod
    def of(cls, losses: Losses) -> Apart:
        """One loss, a list, or a mapping from steps to losses."""
        losses = as_node("local errors", losses)
        if isinstance(losses, Node):
            return _taken_apart(losses)
        if not isinstance(losses, (Sequence, Mapping)):
            raise TypeError("local errors: give one loss, or the losses of the steps as a list or by step; got "
                            f"{type(losses).__name__}")
        given = list(losses.values()) if isinstance(losses, Mapping) else list(losses)
        if not given or not all(isinstance(one, Node) for one in given):
            raise ValueError("local errors: give one loss, or the losses of the steps, as nodes")
        with enable_grad():
            root = _sum(given)
        places = Places(root, "local errors")
        if not isinstance(losses, Mapping) and len(given) != len(places.steps):
            raise ValueError(f"local errors: {len(given)} losses, but {len(places.steps)} steps, those of all loops "
                             "in the order of execution; say which losses are there by step: {3: L_3, 7: L_7}")
        by_step = dict(losses) if isinstance(losses, Mapping) else dict(zip(places.steps, given, strict=True))
        return cls(places.root, places, {step: places.place[one] for step, one in by_step.items()}, None)


def _taken_apart(root: Node) -> Apart:
    """One loss, by the steps at which gradient comes into the recurrence from behind it."""
    places = Places(root, "local errors")
    root = places.root
    inside = places.recurrence()
    if any(node.op is not None and node.op.name == "checkpoint" and node not in inside for node in places.label):
        raise ValueError("local errors: a checkpoint behind the recurrence may hide the steps of another; unroll "
                         "without checkpoint=, or give the losses of the steps one by one")

    def crosses(consumer: Node, k: int) -> bool:
        x = consumer.inputs[k]
        return consumer not in inside and x in inside and places.label[x] is not None

    entering: dict[int, dict[Node, Any]] = {}

    def observe(consumer: Node, k: int, x: Node, message: Any) -> None:
        if crosses(consumer, k):
            for step, part in places.by_step(x, np.asarray(message)):
                added(entering.setdefault(step, {}), x, part)

    for node, g in reverse(root, observe=observe):
        if node is root and root in inside:  # the loss is a state itself
            for step, part in places.by_step(root, g):
                entering[step] = {root: part}
    losses = {}
    with enable_grad():
        for step in places.steps:
            if any(np.any(g) for g in entering.get(step, {}).values()):  # of the rows a loss does not read, only zeros
                losses[step] = _sum(_dot(x, g) for x, g in entering[step].items())
    return Apart(root, places, losses, lambda consumer, k: consumer not in inside and not crosses(consumer, k))


def _dot(x: Any, g: Any) -> Any:
    """⟨x, g⟩ as a node: its gradient at x is g."""
    return (x * g).sum() if np.ndim(x.data) else x * float(g)


def _sum(nodes: Iterable[Any]) -> Any:
    first, *rest = nodes
    for node in rest:
        first = first + node
    return first
