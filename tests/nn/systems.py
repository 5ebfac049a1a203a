"""What the tests of the systems share: the equations by hand in plain NumPy, Jacobians, and walks through the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import microgradrnn as mg
from microgradrnn import Tensor, nn
from microgradrnn.engine import Node
from tests.numerics import complex_step, relative_error

P = dict[str, np.ndarray]


def sigma(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def relu(z: Any) -> Any:
    return z * (z.real > 0)


def cut(p: P, n: int) -> list[list[np.ndarray]]:
    """U, W and b, each in n blocks."""
    return [np.split(p[name], n, axis=-1) for name in "UWb"]


def rnn(f: Callable[[Any], Any] = np.tanh) -> Callable[..., Any]:
    return lambda x, s, p: (f(s[0] @ p["W"] + x @ p["U"] + p["b"]),)


def additive(x: Any, s: Any, p: P) -> Any:
    return (s[0] + np.tanh(s[0] @ p["W"] + x @ p["U"] + p["b"]),)


def lstm(f: Callable[[Any], Any] = np.tanh) -> Callable[..., Any]:
    def step(x: Any, s: Any, p: P) -> Any:
        h, c = s
        z_i, z_f, z_g, z_o = (x @ U + h @ W + b for U, W, b in zip(*cut(p, 4), strict=True))
        c = sigma(z_f) * c + sigma(z_i) * f(z_g)
        return sigma(z_o) * f(c), c
    return step


def lstm_1997(x: Any, s: Any, p: P) -> Any:
    h, c = s
    z_i, z_g, z_o = (x @ U + h @ W + b for U, W, b in zip(*cut(p, 3), strict=True))
    c = c + sigma(z_i) * np.tanh(z_g)
    return sigma(z_o) * np.tanh(c), c


def lstm_coupled(x: Any, s: Any, p: P) -> Any:
    h, c = s
    z_u, z_g, z_o = (x @ U + h @ W + b for U, W, b in zip(*cut(p, 3), strict=True))
    u = sigma(z_u)
    c = (1 - u) * c + u * np.tanh(z_g)
    return sigma(z_o) * np.tanh(c), c


def gru(x: Any, s: Any, p: P) -> Any:
    (h,) = s
    (U_r, U_z, U_n), (W_r, W_z, W_n), (b_r, b_z, b_n) = cut(p, 3)
    r, z = sigma(x @ U_r + h @ W_r + b_r), sigma(x @ U_z + h @ W_z + b_z)
    return (z * h + (1 - z) * np.tanh(x @ U_n + (r * h) @ W_n + b_n),)


def mgu(x: Any, s: Any, p: P) -> Any:
    (h,) = s
    (U_f, U_n), (W_f, W_n), (b_f, b_n) = cut(p, 2)
    f = sigma(x @ U_f + h @ W_f + b_f)
    return ((1 - f) * h + f * np.tanh(x @ U_n + (f * h) @ W_n + b_n),)


def jordan(x: Any, s: Any, p: P) -> Any:
    return (np.tanh(s[0] @ p["W"] + x @ p["U"] + p["b"]) @ p["V"] + p["d"],)


def assert_gradients(cell: Any, step: Callable[..., Any], T: int, rel: float = 1e-10, B: int = 2, K: int = 3) -> None:
    """Every gradient of a tagging net (an output and a loss at each step) against complex steps by hand."""
    rng = np.random.default_rng(T)
    parts = len(cell.state)
    H = cell.state_sizes[0]
    xs = rng.standard_normal((T, B, cell.input_size))
    initial = [0.5 * rng.standard_normal((B, n)) for n in cell.state_sizes]
    y = rng.integers(0, K, (T, B))
    head = nn.Linear(H, K, rng=7)

    x, state = Tensor(xs), [Tensor(s) for s in initial]
    hs, _ = nn.unroll(cell, x, tuple(state) if parts > 1 else state[0])
    loss = nn.cross_entropy(head(hs), y, reduction="sum")
    loss.backward()

    names = [name for name, _ in cell.named_parameters()]

    def by_hand(xs: Any, V: Any, d: Any, *rest: Any) -> Any:
        s, p = tuple(rest[:parts]), dict(zip(names, rest[parts:], strict=True))
        total = 0.0
        for t in range(T):
            s = step(xs[t], s, p)
            o = s[0] @ V + d
            total = total + (np.log(np.exp(o).sum(-1)) - o[np.arange(B), y[t]]).sum()
        return total

    nodes = [x, head.V, head.d, *state, *cell.parameters()]
    arrays = [np.asarray(node.data) for node in nodes]
    np.testing.assert_allclose(loss.item(), by_hand(*arrays), rtol=1e-12)
    for node, expected in zip(nodes, complex_step(by_hand, arrays), strict=True):
        assert relative_error(node.grad, expected) < rel


def jacobian(y: Any, x: Any) -> np.ndarray:
    """dy_k / dx_j at [k, j], for y and x of one row."""
    rows = []
    for k in range(y.shape[-1]):
        seed = np.zeros(y.shape)
        seed[..., k] = 1.0
        rows.append(mg.grad(y, x, seed=seed).reshape(-1))
    return np.array(rows)


def ancestors(root: Node) -> list[Node]:
    """All nodes that lead to the root, itself included, oldest first."""
    seen, stack = {root}, [root]
    while stack:
        for x in stack.pop().inputs:
            if x is not None and x not in seen:
                seen.add(x)
                stack.append(x)
    return sorted(seen, key=lambda node: node.serial)


def marked(root: Node, symbol: str) -> list[Any]:
    """The nodes of that letter, oldest first."""
    return [node for node in ancestors(root) if node.symbol == symbol]


def paths(root: Node, symbol: str) -> tuple[int, int]:
    """The most marked nodes on any way to the root, and how many ways with so many there are."""
    longest: dict[Node, tuple[int, int]] = {}
    for node in ancestors(root):
        best: dict[int, int] = {}
        for x in {x for x in node.inputs if x is not None}:
            n, ways = longest[x]
            best[n] = best.get(n, 0) + ways
        n = max(best, default=0)
        longest[node] = (n + (node.symbol == symbol), best[n] if n else 1)
    return longest[root]
