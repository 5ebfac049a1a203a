"""The one reverse pass. Everything that differentiates goes through `reverse`.

Every node took the next serial number when it was made, so it is younger than all it was computed from. Taking the
nodes from the youngest to the oldest is therefore a reverse topological order: when a node's turn comes, everything
that used it has already reported back. No recursion, no sorting of dependencies, any depth.

For a recurrent net, whose steps were made one after the other, this order *is* time running backwards. Nothing below
knows what a recurrent net is. Back-propagation through time is what this loop does to the graph a Python ``for`` left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import Any

from microgradrnn.engine.cotangent import Deferred, read_only, together
from microgradrnn.engine.guards import AnomalyError, accept_anomaly, changed, check_message, check_unwritten, need_node
from microgradrnn.engine.node import SHARED, Node
from microgradrnn.engine.primitive import ieee
from microgradrnn.engine.scope import SCOPE, enable_grad
from microgradrnn.engine.silence import Silence

Observer = Callable[[Node, int, Node, Any], object]


def reverse(
    root: Node,
    seed: Any = None,
    *,
    targets: Sequence[Node] | None = None,
    observe: Observer | None = None,
    keep: Callable[[Node, int], bool] | None = None,
    create_graph: bool = False,
    since: int = -1,
    silent: bool = False,
) -> Iterator[tuple[Node, Any]]:
    """Yield ``(node, d(root)/d(node))``, youngest node first.

    A *message* is what one consumer sends to its k-th input. The gradient of a node is the sum of its messages.
    The options are those of `backward`; nodes with a serial below `since` are taken as leaves, and with `silent` the
    root lies behind a `where` itself.
    """
    live = ancestors(root, targets, since)
    arriving = {root: root.cotangent(seed, create_graph)}  # for each node, the sum of its messages so far
    summed = set()  # nodes whose sum is our own array, free to be added to in place
    behind: set[Node] = {root} if silent else set()  # nodes behind a `where`: there 0 * inf is 0
    fit, anomaly = root.kind.fit, SCOPE.get().anomaly
    for node in sorted(live, key=attrgetter("serial"), reverse=True):
        g = arriving.pop(node, None)
        if g is None:
            continue
        if isinstance(g, Deferred):
            g = g.dense()
        if node.hooks and node.serial >= since:
            g = node.hooked(g)
        yield node, g
        if node.op is None or node.serial < since:
            continue
        if anomaly:
            check_unwritten(node)
        op, args, params = node.op, node._args, node.params
        y, operands = (node, recorded(node, live)) if create_graph else (node._data, args)
        silence = Silence(op, g, operands, params) if op.selects or node in behind else None
        if silence is not None and op.reverses:
            params = {**params, "silent": True}
        if op.variadic:
            operands = (operands,)
        k = -1
        for x in node.inputs:
            k += 1
            if x not in live or (rule := op.vjp[k]) is None or (keep is not None and not keep(node, k)):
                continue
            if x._data is not args[k]:
                raise changed(node, k, live)
            try:
                message = rule(g, y, *operands, **params)
            except AnomalyError:
                if op.reverses:
                    raise
                with accept_anomaly():
                    message = rule(g, y, *operands, **params)
            except ArithmeticError:
                message = ieee(rule, (g, y, *operands), params)
            if silence is not None:
                behind.add(x)
                message = silence.over(message, k)
            if fit is not None and not op.fits:
                message = fit(message, args[k])
            if anomaly:
                check_message(op.name, k, message, g, node.scope)
            if observe is not None:
                observe(node, k, x, read_only(message))
            if x not in arriving:
                arriving[x] = message
            elif create_graph:
                arriving[x] = together(arriving[x], message)
            elif x in summed:
                arriving[x] += message
            else:
                arriving[x] = arriving[x] + message
                summed.add(x)


def ancestors(root: Node, targets: Sequence[Node] | None = None, since: int = -1) -> dict[Node, None]:
    """All that the root was computed from and a gradient flows into; with targets, only what leads to them."""
    live = {root: None}
    stack = [root]
    if targets is not None:  # what is older than every target cannot lead to one
        since = max(since, min((x.serial for x in targets), default=root.serial) + 1)
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
    root: Node,
    seed: Any = None,
    *,
    observe: Observer | None = None,
    keep: Callable[[Node, int], bool] | None = None,
    create_graph: bool = False,
) -> None:
    """Differentiate the root with respect to everything it was computed from, into ``.grad``.

    Leaves *accumulate* (a second call adds to what is there, as sums of losses do); computed Values are *set*, so
    that they can be read off a picture; computed Tensors keep no gradient, to save memory: ask `grad` for it.
    Several threads may call `backward` at once, also into the same leaves: what they add up is complete.

    Args:
        root: what to differentiate. One number, unless a seed is given.
        seed: the cotangent of the root, of its shape; 1 by default.
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
    need_node(root, "backward")
    leaves, interior = [], root.keeps_interior_grad
    with enable_grad() if create_graph else nullcontext():
        for node, g in reverse(root, seed, observe=observe, keep=keep, create_graph=create_graph):
            if node.op is None:
                leaves.append((node, g))
            elif interior or (node.hooks and node.retains_grad):
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


def recorded(node: Node, live: Iterable[Node]) -> list[Any]:
    """The inputs as nodes, so that a rule applied to them is recorded; plain operands as they are."""
    for k, (x, a) in enumerate(zip(node.inputs, node._args, strict=True)):
        if x is not None and x._data is not a:  # constants too: the rule would use what they are now
            raise changed(node, k, live)
    return [a if x is None else x for x, a in zip(node.inputs, node._args, strict=True)]
