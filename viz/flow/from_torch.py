"""The gradient flow of a graph of PyTorch: it is read into nodes (`viz.graph.torch`), and measured as ours is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from viz.flow.messages import Flow, gradient_flow
from viz.graph.torch.functions import array
from viz.graph.torch.read import need_torch, read


def from_torch(
    loss: Any, named_parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | Any = None,
    states: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None, seed: Any = None,
) -> Flow:  # fmt: skip
    """Read the graph that PyTorch recorded for a loss, and measure how its gradient flows back.

    The time steps, the gates and the states are found in the graph: see ``docs/flow.md``. All functions that take a
    loss of this library, such as `gradient_flow`, `ways` and `draw_unrolled`, read a loss of PyTorch in the same way;
    here names of parameters, and the states of a loop that is not found, can be given too.

    Args:
        loss: a tensor with a ``grad_fn``; one number, unless a seed is given. Its graph is kept: `backward` can follow.
        named_parameters: what to call the parameters: ``model.named_parameters()``, a dict, or the model itself, after
            which pictures are then called.
        states: the hidden states, step by step, ``[h_1, h_2, ...]``, or ``[(h_1, c_1), ...]``, or by name,
            ``{"h": [...], "c": [...]}``: the tensors that your loop handed on. They tell which node was made in which
            step, where the graph does not. Every step gives them in the same order. Slices ``hs[t]`` of what
            ``torch.nn.LSTM``, ``GRU`` or ``RNN`` returns are none: no step reads them.
        seed: the cotangent of the loss, a tensor or an array; 1 by default.

    Returns:
        A `Flow`, as from `gradient_flow`; its ``graph`` has the attributes of `trace`, as far as PyTorch knows them.
        No ``.grad`` is touched, and no hook is called: these are the derivatives of the recorded operations.

    Raises:
        MissingToolError: without PyTorch.
        TypeError: if the loss is no tensor, or parameters have no names.
        ValueError: if no gradient flows into it, it holds several numbers and there is no seed, or states do not fit.
        RuntimeError: if PyTorch has thrown away what it had recorded.

    >>> import torch                                                             # doctest: +SKIP
    >>> cell, h = torch.nn.GRUCell(3, 5), torch.zeros(1, 5)                       # doctest: +SKIP
    >>> for x in torch.randn(20, 1, 3):                                           # doctest: +SKIP
    ...     h = cell(x, h)
    >>> flow = from_torch(h.sum(), cell)                                          # doctest: +SKIP
    >>> flow.profile().norms                                                      # doctest: +SKIP
    """
    torch = need_torch()
    if seed is not None and isinstance(loss, torch.Tensor):
        seed = torch.as_tensor(seed, dtype=loss.dtype, device=loss.device)
    node = read(loss, named_parameters, states, seed)
    return gradient_flow(node, None if seed is None else array(seed))
