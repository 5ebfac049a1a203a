"""Somebody else's graph: what PyTorch recorded, in the same graph model, and its gradient flow, measured by hooks.

PyTorch links backwards: ``loss.grad_fn`` is the node that made the loss, its ``next_functions`` those that made its
operands. What needs no gradient is not recorded: little is known of constants, and nothing of the numbers in between.
For the messages one reverse pass is run with a hook on every node, into nobody's ``.grad``; the hooks are removed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np

from viz.errors import MissingToolError
from viz.flow.messages import Arrival, Flow, Named
from viz.graph.steps import FUSED, MOVES, OWN_LOOP, Edge, carries, fused, recurrent, state_symbols
from viz.graph.trace import norm

# PyTorch's names where ours differ; a picture and the split into carry and rest know the same operations so.
OURS = {
    "mul": "multiply", "sub": "subtract", "rsub": "subtract", "neg": "negative", "div": "divide", "pow": "power",
    "mm": "matmul", "bmm": "matmul", "mv": "matmul", "t": "transpose", "permute": "transpose",
    "cat": "concat", "select": "getitem", "slice": "getitem", "index": "getitem", "embedding": "getitem",
    "unsafe_split": "split", "split_with_sizes": "split", "unbind": "split", "view": "reshape",
    "unsafe_view": "reshape", "expand": "broadcast_to", "_to_copy": "astype", "to_copy": "astype",
}
SIGNS = {"multiply": "*", "add": "+", "subtract": "-", "negative": "-", "divide": "/", "matmul": "@", "power": "**"}
ROLES = {"h": "hidden", "c": "cell"}
UNKNOWN = {"shape": "?", "dtype": "?"}
KEPT = f"torch.nn.LSTM, GRU and RNN hand on none: {OWN_LOOP}"


def need_torch() -> Any:
    """PyTorch, or an error that says how to get it."""
    try:
        import torch
    except ImportError:
        raise MissingToolError(
            'from_torch reads graphs of PyTorch, which is not installed: pip install torch, or pip install '
            '"microgradrnn[bench]". For nets of this library use viz.gradient_flow.'
        ) from None
    return torch


def from_torch(
    loss: Any, named_parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | Any = None,
    states: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None, seed: Any = None,
) -> Flow:  # fmt: skip
    """Read the graph that PyTorch recorded for a loss, and measure how its gradient flows back.

    Args:
        loss: a tensor with a ``grad_fn``; one number, unless a seed is given. Its graph is kept: `backward` can follow.
        named_parameters: what to call the parameters: ``model.named_parameters()``, a dict, or the model itself.
        states: the hidden states, step by step, ``[h_1, h_2, ...]``, or ``[(h_1, c_1), ...]``, or by name,
            ``{"h": [...], "c": [...]}``: the tensors that your loop handed on. They tell which node was made in which
            step; without them the flow has messages and gradients, but no steps. Every step gives them in the same
            order. Slices ``hs[t]`` of what ``torch.nn.LSTM``, ``GRU`` or ``RNN`` returns are none: no step reads them.
        seed: the cotangent of the loss, a tensor or an array; 1 by default.

    Returns:
        A `Flow`, as from `gradient_flow`; its ``graph`` has the attributes of `trace`, as far as PyTorch knows them.
        An operand's place k counts the operands in PyTorch's order. No ``.grad`` of a parameter or a state is touched.
        Your own hooks run, as in every reverse pass; so does ``retain_grad()`` of tensors that are no states.

    Raises:
        MissingToolError: without PyTorch.
        TypeError: if the loss is no tensor, or parameters have no names.
        ValueError: if no gradient flows into it, it holds several numbers and there is no seed, or states do not fit.
        RuntimeError: if PyTorch has thrown away what it had recorded.

    >>> import torch                                                             # doctest: +SKIP
    >>> cell, h, states = torch.nn.GRUCell(3, 5), torch.zeros(1, 5), []           # doctest: +SKIP
    >>> for x in torch.randn(20, 1, 3):                                           # doctest: +SKIP
    ...     h = cell(x, h)
    ...     states.append(h)
    >>> flow = from_torch(h.sum(), cell.named_parameters(), states)               # doctest: +SKIP
    >>> flow.profile().norms                                                      # doctest: +SKIP
    """
    torch = need_torch()
    if seed is not None and isinstance(loss, torch.Tensor):
        seed = torch.as_tensor(seed, dtype=loss.dtype, device=loss.device)
    check(torch, loss, seed)
    functions = reachable(loss.grad_fn)
    named = {id(p): name for name, p in by_name(torch, named_parameters).items()}
    rows = by_step(states)
    where, symbols = placed(functions, rows)
    need_order(functions, where, symbols)
    need_places(functions, where, symbols)
    ids, graph = model(torch, functions, named, where, symbols)
    graph.graph |= {"root": ids[loss.grad_fn], "source": "PyTorch"}
    graph.nodes[ids[loss.grad_fn]].update(numbers(loss))
    retained = [(x, x.grad) for x in (loss, *(x for row in rows for x in row.values())) if x.retains_grad]
    try:
        return measured(torch, loss, seed, functions, ids, graph)
    finally:
        for x, g in retained:  # PyTorch fills these in every pass
            x.grad = g


def check(torch: Any, loss: Any, seed: Any) -> None:
    """Raise what can be said before anything is done."""
    if not isinstance(loss, torch.Tensor):
        ours = "; for a net of this library use viz.gradient_flow" if hasattr(loss, "serial") else ""
        raise TypeError(f"from_torch: expected a torch.Tensor, got {type(loss).__name__}{ours}")
    if loss.grad_fn is None:
        why = "it is a leaf, nothing was computed from it" if loss.requires_grad else \
            "it was computed under no_grad, detached, or from tensors that need no gradient"
        raise ValueError(f"from_torch: the tensor has no grad_fn: {why}")
    if seed is None and loss.numel() != 1:
        raise ValueError(f"from_torch: the tensor holds {loss.numel()} numbers, shape {tuple(loss.shape)}: give one "
                         "number, such as its .sum(), or the cotangent as seed=")
    if seed is not None and tuple(seed.shape) != tuple(loss.shape):
        raise ValueError(f"from_torch: the seed has shape {tuple(seed.shape)}, the tensor {tuple(loss.shape)}")


def by_name(torch: Any, named_parameters: Any) -> dict[str, Any]:
    """The parameters by name, of a module too."""
    if isinstance(named_parameters, torch.nn.Module):
        named_parameters = named_parameters.named_parameters()
    try:
        named = dict(named_parameters or ())
        if all(isinstance(name, str) for name in named):
            return named
    except (TypeError, ValueError):
        pass  # said below, for parameters that come in a row without names
    raise TypeError("from_torch: parameters come with their names, net.named_parameters(), or in a dict; got "
                    f"a {type(named_parameters).__name__} without")


# ------------------------------------------------------------------------------------------------ the graph
def reachable(root: Any) -> list[Any]:
    """All functions that lead to the root, what was made first before what was made from it."""
    seen, stack = {root}, [root]
    while stack:
        for f, _ in stack.pop().next_functions:
            if f is not None and f not in seen:
                seen.add(f)
                stack.append(f)
    computed = sorted((f for f in seen if not is_leaf(f)), key=lambda f: f._sequence_nr())
    found = dict.fromkeys(leaf for f in computed for leaf, _ in f.next_functions if leaf is not None and is_leaf(leaf))
    first: dict[Any, list[Any]] = {}  # leaves stand just before the first that reads them
    for f in computed:
        for leaf, _ in f.next_functions:
            if leaf in found:
                first.setdefault(f, []).append(leaf)
                del found[leaf]
    return [g for f in computed for g in (*first.get(f, ()), f)]


def is_leaf(f: Any) -> bool:
    """Is it where a gradient comes to rest?"""
    return hasattr(f, "variable")


def by_step(states: Any) -> list[dict[str, Any]]:
    """The states of each step by name."""
    if states is None:
        return []
    if isinstance(states, Mapping):
        lengths = {name: len(given) for name, given in states.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"from_torch: every state has the same number of steps, got {lengths}")
        return [dict(zip(states, row, strict=True)) for row in zip(*states.values(), strict=True)]
    rows = [row if isinstance(row, (tuple, list)) else (row,) for row in states]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("from_torch: every step has the same number of states, got "
                         f"{', '.join(str(len(row)) for row in rows)}")
    names = ["h", "c", *[f"s{j}" for j in range(3, max(map(len, rows), default=0) + 1)]]
    return [dict(zip(names, row, strict=False)) for row in rows]


def placed(functions: list[Any], rows: list[dict[str, Any]]) -> tuple[dict[Any, int], dict[Any, dict[int, str]]]:
    """The step in which each function was made, for those made in one; of each the symbols of outputs that are states.

    What a state was computed from, back to the states of other steps, was made in its step; what several steps were
    computed from was made before the loop.
    """
    there = set(functions)
    made = {getattr(x, "grad_fn", None) for row in rows for x in row.values()}
    whole: dict[Any, int] = {}  # of the operation that a state was cut out of: the step
    at: dict[Any, int] = {}
    symbols: dict[Any, dict[int, str]] = {}
    for step, row in enumerate(rows):
        for name, x in row.items():
            f = getattr(x, "grad_fn", None)
            if f is None:
                raise ValueError(f"from_torch: the state {name} of step {step} has no grad_fn; give the tensors that "
                                 "your loop computed, not detached and not under no_grad, the first state left out")
            source = cut_from(f, made)
            if (other := whole.setdefault(source, step)) != step:
                op = operation(source)
                raise ValueError(f"from_torch: one operation ({operation(f) if f in at else op}) made the state {name} "
                                 f"of steps {other} and {step}, so neither was computed from the other; give the "
                                 "states that a loop over time handed on, one by one. "
                                 f"{fused(op) if op in FUSED else KEPT}")
            if f in there:
                at[f] = step
                symbols.setdefault(f, {})[x.output_nr] = name
    if rows and not at:
        raise ValueError("from_torch: the loss was not computed from any of these states")
    steps: dict[Any, set[int]] = {f: {step} for f, step in at.items()}
    for state, step in at.items():
        stack = [state]
        while stack:
            for f, _ in stack.pop().next_functions:
                if f is None or f in at:
                    continue
                known = steps.setdefault(f, set())
                if step not in known and len(known) < 2:  # a second step settles it, for all below too
                    known.add(step)
                    stack.append(f)
    return {f: next(iter(known)) for f, known in steps.items() if len(known) == 1}, symbols


def cut_from(f: Any, made: set[Any]) -> Any:
    """What made the numbers that a function only cuts out or moves about; `made` are the functions of the states."""
    while operation(f) in MOVES and len(f.next_functions) == 1:
        g = f.next_functions[0][0]
        if g is None or g in made or is_leaf(g):
            break
        f = g
    return f


def need_order(functions: list[Any], where: dict[Any, int], symbols: dict[Any, dict[int, str]]) -> None:
    """Check that the states come in the order of time, all forwards or, as of a net that reads backwards, all back.

    Raises:
        ValueError: if one was computed from itself of an earlier step in the list, and one from a later.
    """
    sources: dict[Any, set[tuple[str, int]]] = {}  # of each function: the states of other steps that it comes from
    ways: dict[str, dict[bool, tuple[int, int]]] = {}
    for f in functions:
        if (step := where.get(f)) is None:
            continue
        found = sources[f] = set()
        for x, output in f.next_functions:
            name = symbols.get(x, {}).get(output)
            if name is not None and where[x] != step:
                found.add((name, where[x]))
            elif where.get(x) == step:
                found |= sources.get(x, set())
        for name in symbols.get(f, {}).values():
            for source, other in found:
                if source == name:
                    ways.setdefault(name, {}).setdefault(other < step, (step, other))
    for name, way in ways.items():
        if len(way) > 1:
            (a, b), (c, d) = way[False], way[True]
            raise ValueError(f"from_torch: the states are not in the order of time: {name} of step {a} was computed "
                             f"from that of step {b}, but that of step {c} from that of step {d}; give them in the "
                             "order in which the loop made them")


def need_places(functions: list[Any], where: dict[Any, int], symbols: dict[Any, dict[int, str]]) -> None:
    """Check that each step gives its states in the same order, (h, c) and never (c, h).

    Raises:
        ValueError: if, at another step, what is given as one state is made or read as another one is.
    """
    for seen in patterns(functions, where, symbols):
        first: dict[tuple[Any, ...], tuple[int, dict[str, Any]]] = {}
        for step, of in seen.items():
            before, there = first.setdefault(tuple(sorted(of.values())), (step, of))
            for name in of.keys() & there.keys():
                if of[name] != there[name]:
                    other = next(o for o in there if there[o] == of[name])
                    raise ValueError(f"from_torch: the states change places: what step {step} gives as {name} is what "
                                     f"step {before} gives as {other}. Every step gives its states in the same order, "
                                     "[(h_1, c_1), (h_2, c_2), ...]")


def patterns(functions: list[Any], where: dict[Any, int],
             symbols: dict[Any, dict[int, str]]) -> list[dict[int, dict[str, Any]]]:
    """Three descriptions of each state, by step and name.

    They are by which operations it was made; the same with the names of the states that it was made from; and by which
    operations the next step reads it. Where two states have changed places, one of these has too.
    """
    alike: dict[Any, int] = {None: 0}  # the first state may be a constant, of which PyTorch knows nothing
    named: dict[Any, int] = {None: 0}
    made: dict[int, dict[str, Any]] = {step: {} for step in sorted(set(where.values()))}
    made_from: dict[int, dict[str, Any]] = {step: {} for step in made}
    read: dict[int, dict[str, Any]] = {step: {} for step in made}
    for f in functions:
        step, parts, names = where.get(f), [], []
        for k, (x, output) in enumerate(f.next_functions):
            if x in symbols and where[x] != step:
                name = symbols[x].get(output)
                parts.append((0, 0))
                names.append((hash((name, output)), 0))
                if name is not None and step is not None:
                    read[where[x]].setdefault(name, []).append((operation(f), k))
            else:
                parts.append((alike.get(x, 0), output))
                names.append((named.get(x, 0), output))
        what = f if is_leaf(f) else operation(f)
        alike[f], named[f] = hash((what, *parts)), hash((what, *names))
        for output, name in symbols.get(f, {}).items():
            made[where[f]][name] = alike[f], output
            made_from[where[f]][name] = named[f], output
    for of in read.values():
        of.update((name, tuple(sorted(ways))) for name, ways in of.items())
    return [made, made_from, read]


def model(torch: Any, functions: list[Any], named: dict[int, str], where: dict[Any, int],
          symbols: dict[Any, dict[int, str]]) -> tuple[dict[Any, str], nx.MultiDiGraph]:
    """The graph model, and the id of each function.

    A state that is one output of several (of a ``chunk``, of a function of your own) is a node of its own, that takes
    its part out of what the function made; its id is that of (function, number of the output).
    """
    graph, ids = nx.MultiDiGraph(), {}

    def add(key: Any, said: dict[str, Any], symbol: str | None, step: int | None) -> None:
        if symbol is not None:
            said |= {"symbol": symbol} | ({"role": ROLES[symbol]} if symbol in ROLES else {})
        if step is not None and said["kind"] != "parameter":
            said["step"] = step
        start = f"t{step}/" if "step" in said else ""
        base = name = str(said.get("symbol") or said.get("op") or said["kind"])
        count = 1
        while start + name in graph:
            count += 1
            name = f"{base}_{count}"
        ids[key] = start + name
        graph.add_node(ids[key], **said, order=len(ids) - 1, name=name)

    for f in functions:
        states = symbols.get(f, {})
        made = () if is_leaf(f) else getattr(f, "_input_metadata", ())
        add(f, attributes(torch, f, named), states.get(0) if len(made) < 2 else None, where.get(f))
        for output, symbol in sorted(states.items()) if len(made) > 1 else ():
            add((f, output), {"kind": "computed", "op": "getitem", "sign": f"[{output}]", **form(made[output])}, symbol,
                where.get(f))
            graph.add_edge(ids[f], ids[f, output], key=0, k=0)
    for f in functions:
        for k, (x, output) in enumerate(f.next_functions):
            if x is not None:
                graph.add_edge(ids.get((x, output), ids[x]), ids[f], key=k, k=k)
            elif graph.nodes[ids[f]].get("op") in SIGNS:
                said, constant = graph.nodes[ids[f]], f"{ids[f]}/{k}"
                placed_at = {key: said[key] for key in ("step", "order") if key in said}
                graph.add_node(constant, kind="constant", name=f"{said['name']}/{k}", **placed_at, **kept(torch, f, k))
                graph.add_edge(constant, ids[f], key=k, k=k)
    return ids, graph


def kept(torch: Any, f: Any, k: int) -> dict[str, Any]:
    """What is known of an operand that needs no gradient: PyTorch has kept it if the other one's gradient needs it."""
    for name in (("_saved_self",), ("_saved_other", "_saved_mat2"))[min(k, 1)]:
        try:
            x = getattr(f, name, None)
        except RuntimeError:  # thrown away
            continue
        if isinstance(x, torch.Tensor):
            return numbers(x)
    return UNKNOWN


def attributes(torch: Any, f: Any, named: dict[int, str]) -> dict[str, Any]:
    """What can be said of a function before anything is measured."""
    if is_leaf(f):
        x = f.variable
        name = named.get(id(x))
        parameter = name is not None or isinstance(x, torch.nn.Parameter)
        said: dict[str, Any] = {"kind": "parameter" if parameter else "leaf"} | numbers(x)
        return said | ({"role": "parameter"} if parameter else {}) | ({"symbol": name} if name is not None else {})
    op = operation(f)
    said = {"kind": "computed", "op": op, "sign": SIGNS.get(op, op)}
    made = list(getattr(f, "_input_metadata", ()))  # the inputs of the way back are the outputs of the way there
    return said | (form(made[0]) if len(made) == 1 else UNKNOWN)


def form(x: Any) -> dict[str, str]:
    """The shape and the dtype."""
    return {"shape": str(tuple(x.shape)), "dtype": str(x.dtype).removeprefix("torch.")}


def operation(f: Any) -> str:
    """The name of the operation that a function takes back.

    >>> class MulBackward0: pass
    >>> class LogSoftmaxBackward0: pass
    >>> operation(MulBackward0()), operation(LogSoftmaxBackward0())
    ('multiply', 'log_softmax')
    """
    words = re.sub(r"Backward\d*$", "", type(f).__name__)
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()
    return OURS.get(name, name)


def numbers(x: Any) -> dict[str, Any]:
    """Shape, dtype, the norm, and the number if there is just one."""
    a = array(x)
    said: dict[str, Any] = {**form(x), "norm": norm(a)}
    if a.size == 1 and not np.iscomplexobj(a):
        said["value"] = float(a.item())
    return said


def array(x: Any) -> np.ndarray:
    """The numbers of a tensor, in double precision, wherever it lies."""
    x = x.detach()
    x = x.to_dense() if x.is_sparse else x
    x = x.abs() if x.is_complex() else x
    return np.asarray(x.double().cpu().numpy())


# ------------------------------------------------------------------------------------------------ the measurement
class Watch:
    """What the hooks write down."""

    def __init__(self, ids: dict[Any, str], graph: nx.MultiDiGraph) -> None:
        loops = recurrent(graph)
        self.ids, self.graph = ids, graph
        self.carried = set().union(*(carries(graph, layer) for layer in loops))
        self.watched: dict[str, tuple[str, int, int]] = {
            names[name]: (symbol, step, lags[step]) for layer in loops for lags in [layer.lags()]
            for name, symbol in state_symbols(graph, layer).items()
            for step, names in layer.steps.items() if name in names}
        self.messages: dict[Edge, float] = {}
        self.rms: dict[Edge, float] = {}
        self.balances: dict[Edge, float] = {}
        self.gradients: dict[str, float] = {}
        self.parts: dict[tuple[str, bool], Any] = {}

    def arrived(self, f: Any, gs: Sequence[Any]) -> None:
        """The gradient of a function's outputs is known."""
        sizes = [norm(array(g)) for g in gs if g is not None]
        if sizes:
            self.gradients[self.ids[f]] = norm(sizes)
        for output, g in enumerate(gs):
            if g is not None and (f, output) in self.ids:  # a state: its part of what the function made
                node = self.ids[f, output]
                self.measure(Edge(node, 0), array(g))
                self.gradients[node] = self.messages[Edge(node, 0)]

    def sent(self, f: Any, gs: Sequence[Any]) -> None:
        """A function has sent its messages."""
        for k, ((x, output), g) in enumerate(zip(f.next_functions, gs, strict=False)):
            if x is None or g is None:
                continue
            edge, message, to = Edge(self.ids[f], k), array(g), self.ids.get((x, output), self.ids[x])
            self.measure(edge, message)
            if to in self.watched:  # parts for each output apart: they have their own shapes
                outputs = self.parts.setdefault((to, edge in self.carried), {})
                outputs[output] = outputs[output] + message if output in outputs else message

    def measure(self, edge: Edge, message: np.ndarray) -> None:
        """The numbers of one message."""
        n = max(message.size, 1)
        self.messages[edge] = norm(message)
        self.rms[edge] = self.messages[edge] / math.sqrt(n)
        self.balances[edge] = float(np.count_nonzero(message > 0) - np.count_nonzero(message < 0)) / n

    def flow(self) -> Flow:
        """All of it, as a `Flow` that knows its names already."""
        found = Flow.__new__(Flow)
        named = Named(self.graph, self.messages, self.rms, self.balances, self.gradients, self.arrivals(), {}, {}, {})
        found.__dict__ |= {"_named": named, "_passed": None}  # as a Flow that was pickled comes back
        return found

    def arrivals(self) -> dict[str, Arrival]:
        """What arrived at the states, split in carry and rest; the last step first."""
        found = {}
        for node in sorted(self.watched.keys() & self.gradients.keys(),
                           key=lambda node: self.graph.nodes[node]["order"], reverse=True):
            symbol, step, lag = self.watched[node]
            carry, rest = (norm([norm(part) for part in self.parts.get((node, way), {}).values()])
                           for way in (True, False))
            found[node] = Arrival(symbol, step, lag, self.gradients[node], carry, rest)
        return found


def measured(torch: Any, loss: Any, seed: Any, functions: list[Any], ids: dict[Any, str],
             graph: nx.MultiDiGraph) -> Flow:
    """Run the reverse pass with hooks, and take them off again."""
    watch = Watch(ids, graph)
    leaves = [f for f in functions if is_leaf(f)]
    handles = []
    try:
        for f in functions:
            if not is_leaf(f):
                handles.append(f.register_prehook(lambda gs, f=f: watch.arrived(f, gs)))
                handles.append(f.register_hook(lambda sent, _, f=f: watch.sent(f, sent)))
        found = torch.autograd.grad(loss, [f.variable for f in leaves], seed, retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        if "second time" not in str(error):
            raise
        raise RuntimeError(
            "from_torch: PyTorch has thrown this graph away after an earlier backward(); call viz.from_torch first, "
            "or backward(retain_graph=True)"
        ) from None
    finally:
        for handle in handles:
            handle.remove()
    for f, g in zip(leaves, found, strict=True):
        if g is not None:
            watch.arrived(f, [g])
    return watch.flow()
