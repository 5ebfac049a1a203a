"""The reverse pass. Everything that differentiates goes through `reverse`. (If no hook, observer or `where` is in use,
`backward` runs the same loop without guards, which is faster: see ``plain.py``.)

Every node took the next serial number when it was made, so it is younger than all it was computed from. Taking the
nodes from the youngest to the oldest is therefore a reverse topological order: when a node's turn comes, everything
that used it has already reported back. No recursion, no sorting of dependencies, any depth.

For a recurrent net, whose steps were made one after the other, this order *is* time running backwards. Nothing below
knows what a recurrent net is. Back-propagation through time is what this loop does to the graph a Python ``for`` left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from math import inf, nextafter
from operator import attrgetter
from typing import Any

from microgradrnn.engine.cotangent import Deferred, adding
from microgradrnn.engine.guards import need_node, need_roots, refuse_change
from microgradrnn.engine.messages import Observer, guards_of, recorded
from microgradrnn.engine.node import SHARED, Node
from microgradrnn.engine.plain import backward_of_arrays, backward_of_floats, plain_graph
from microgradrnn.engine.scope import SCOPE, enable_grad
from microgradrnn.engine.unfold import asked_for, unfold

Keep = Callable[[Node, int], bool]


def reverse(
    root: Node | Sequence[Node], seed: Any = None, *, targets: Sequence[Node] | None = None,
    observe: Observer | None = None, keep: Keep | None = None, create_graph: bool = False, since: int = -1,
    silent: bool = False,
) -> Iterator[tuple[Node, Any]]:  # fmt: skip
    """Yield ``(node, d(root)/d(node))``, youngest node first.

    A *message* is what one consumer sends to its k-th input. The gradient of a node is the sum of its messages.
    The options are those of `backward`; nodes with a serial below `since` are taken as leaves, and with `silent` the
    root lies behind a `where` itself.
    """
    arriving = seeds(root, seed, create_graph)  # for each node, the sum of its messages so far
    looks_inside = observe is not None or keep is not None or create_graph
    live, behind = opened(arriving, targets, since, looks_inside), set(arriving) if silent else set()
    add, guards = adding(arriving, create_graph), guards_of(live, behind, observe, create_graph)
    for node in sorted(live, key=attrgetter("serial"), reverse=True):
        g = arriving.pop(node, None)  # complete: all that used the node is younger, and has sent its messages
        if g is None:
            continue
        if isinstance(g, Deferred):
            g = g.dense()
        if node.hooks and node.serial >= since:
            g = node.hooked(g)
        yield node, g
        if node.op is None or node.serial < since:
            continue
        op, args, params = node.op, node._args, node.params
        y, operands = (node, recorded(node, live)) if create_graph else (node._data, args)
        if op.reverses:
            params = {**params, "silent": node in behind}
        for k, x in enumerate(node.inputs):
            if x not in live or op.vjp[k] is None or (keep is not None and not keep(node, k)):
                continue
            if x._data is not args[k]:
                refuse_change(node, k, live)
            message = op.pull(k, g, y, operands, params)
            for guard in guards:
                message = guard(node, k, g, message)
            arriving[x] = add(x, message) if x in arriving else message


def seeds(root: Node | Sequence[Node], seed: Any, create_graph: bool) -> dict[Node, Any]:
    """What arrives at the roots from outside; a root that is given twice counts twice."""
    if isinstance(root, Node):
        return {root: root.cotangent(seed, create_graph)}
    arriving: dict[Node, Any] = {}
    for one, g in zip(root, [None] * len(root) if seed is None else seed, strict=True):
        g = one.cotangent(g, create_graph)
        arriving[one] = arriving[one] + g if one in arriving else g
    return arriving


def opened(
    roots: Iterable[Node], targets: Sequence[Node] | None, since: int, looks_inside: bool
) -> dict[Node, None]:
    """The `ancestors`; a compiled loop is first replaced by its operations, if the pass needs to see them."""
    live = ancestors(roots, targets, since)
    if asked_for(live, targets, looks_inside):
        unfold([*roots, *(targets or ())])
        live = ancestors(roots, targets, since)
    return live


def ancestors(
    root: Node | Iterable[Node], targets: Sequence[Node] | None = None, since: float = -1
) -> dict[Node, None]:
    """All that the roots were computed from and a gradient flows into; with targets, only what leads to them."""
    live: dict[Node, None] = {root: None} if isinstance(root, Node) else dict.fromkeys(root)
    stack = list(live)
    if targets is not None:  # what is older than every target cannot lead to one
        oldest = min([x.serial for x in targets] or [max(x.serial for x in live)])
        since = max(since, nextafter(oldest, inf))  # (unfolded nodes have serials that are no whole numbers)
    while stack:
        node = stack.pop()
        if node.serial < since:
            continue
        for x in node.inputs:
            if x is not None and x not in live and x.requires_grad:
                live[x] = None
                stack.append(x)
    if targets is None:
        return live
    leading = dict.fromkeys(x for x in targets if x in live)
    leads_nowhere = leading.keys().isdisjoint  # a live view: it sees the nodes that the loop adds
    for node in sorted(live, key=attrgetter("serial")):
        if not leads_nowhere(node.inputs):
            leading[node] = None
    return leading


def backward(
    root: Node | Sequence[Node], seed: Any = None, *, observe: Observer | None = None, keep: Keep | None = None,
    create_graph: bool = False,
) -> None:  # fmt: skip
    """Differentiate the root with respect to everything it was computed from, into ``.grad``.

    Of several roots that is the gradient of their sum, in one pass.

    Leaves *accumulate* (a second call adds to what is there, as sums of losses do); computed Values are *set*, so
    that they can be read off a picture; computed Tensors keep no gradient, to save memory: ask `grad` for it.
    Several threads may call `backward` at once, also into the same leaves: what they add up is complete.

    Args:
        root: what to differentiate, a node or a list of nodes. One number, unless a seed is given.
        seed: the cotangent of the root, of its shape; 1 by default. Of several roots a list, None where it is 1.
        observe: called as ``observe(consumer, k, input, message)`` for every message, in the order in which they are
            sent. A message is an array that must not be changed (or a `Deferred` one; `np.asarray` works it out).
        keep: called as ``keep(consumer, k)``; where it is false the message to the k-th input is not sent. The
            gradient is then the part that took the remaining paths; over a partition of paths the parts add up. (A
            `checkpoint` is one consumer, to keep and observe: what is inside is not seen.)
        create_graph: record the backward pass too, so that gradients can be differentiated again.

    Raises:
        TypeError: if the root is not a node.
        ValueError: if no gradient flows into it, it holds several numbers and there is no seed, or the seed's shape
            is another.
        RuntimeError: if an input was changed after the forward pass.

    >>> from microgradrnn import Value, backward
    >>> x = Value(3.0)
    >>> y = x * x + x
    >>> backward(y)
    >>> x.grad
    7.0
    """
    if isinstance(root, (list, tuple)):
        need_roots(root, seed, "backward")
    else:
        need_node(root, "backward")
    watched = observe is not None or keep is not None or create_graph or SCOPE.get().anomaly
    if not watched and isinstance(root, Node) and (live := plain_graph(root)) is not None:
        plain_pass = backward_of_floats if root.on_floats else backward_of_arrays
        plain_pass(root, seed, live)
        return
    leaves = []
    with enable_grad() if create_graph else nullcontext():
        for node, g in reverse(root, seed, observe=observe, keep=keep, create_graph=create_graph):
            if node.op is None:
                leaves.append((node, g))
            elif node.keeps_interior_grad or (node.hooks and node.retains_grad):
                node.keep_grad(g)
    with SHARED:
        for leaf, g in leaves:  # only now: a backward pass that fails half-way leaves no half-summed gradients
            leaf.accumulate(g)


def grad(output: Node, inputs: Any, *, seed: Any = None, create_graph: bool = False) -> Any:
    """d(output)/d(inputs), returned; no ``.grad`` is touched, and only what leads to the inputs is visited.

    Args:
        output: the node to differentiate. One number, unless a seed is given.
        inputs: a node, leaf or computed, or a sequence of nodes.
        seed: the cotangent of the output; 1 by default.
        create_graph: return nodes that can be differentiated again.

    Returns:
        A float or array (a node with ``create_graph``), or a tuple of them; zeros where the output does not depend
        on an input.

    >>> from microgradrnn import Value, grad
    >>> x = Value(2.0)
    >>> (slope,) = grad(x ** 3, [x], create_graph=True)
    >>> slope.data, grad(slope, x)
    (12.0, 12.0)
    """
    need_node(output, "grad")
    targets = [inputs] if isinstance(inputs, Node) else list(inputs)
    for x in targets:
        need_node(x, "grad, inputs")
    wanted = set(targets)
    with enable_grad() if create_graph else nullcontext():
        passed = reverse(output, seed, targets=targets, create_graph=create_graph)
        found = {node: g for node, g in passed if node in wanted}
    gradients = tuple(x.finished(found.get(x), create_graph) for x in targets)
    return gradients[0] if isinstance(inputs, Node) else gradients
