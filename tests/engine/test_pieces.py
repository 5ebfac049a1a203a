"""The pieces of a split send their cotangents back in any combination, and each lands in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from microgradrnn import Tensor, grad, split

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 12, 2))

# What is done with the pieces a, b, c, d of an array, by Tensors and by torch alike.
USES: dict[str, Callable[..., Any]] = {
    "each once": lambda x, a, b, c, d: a * b * c + d * d * d,
    "in another order": lambda x, a, b, c, d: d * 2 + b * c * a,
    "one left out": lambda x, a, b, c, d: a * b + c,
    "only the last": lambda x, a, b, c, d: d * d,
    "one used twice": lambda x, a, b, c, d: a * b + a * c + d * a,
    "beside the whole": lambda x, a, b, c, d: (a * b + c * d).sum() + (x * x).sum(),
    "beside a slice of the whole": lambda x, a, b, c, d: (a * b).sum() + (x[1:2] * x[:1]).sum() + (c * d).sum(),
}


@pytest.mark.parametrize("what", USES)
@pytest.mark.parametrize(("shape", "axis"), [((3, 12, 2), 1), ((12, 3), 0), ((2, 8), -1)])
def test_pieces_send_back_what_torch_says(what: str, shape: tuple[int, ...], axis: int) -> None:
    torch = pytest.importorskip("torch")
    data = RNG.standard_normal(shape)
    x, t = Tensor(data), torch.tensor(data, requires_grad=True)
    USES[what](x, *split(x, 4, axis=axis)).sum().backward()
    USES[what](t, *torch.tensor_split(t, 4, dim=axis)).sum().backward()
    np.testing.assert_allclose(x.grad, t.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_two_splits_of_one_array_do_not_mix() -> None:
    x = Tensor(X)
    halves, quarters, uneven = split(x, 2, axis=1), split(x, 4, axis=1), split(x, [1, 5], axis=1)
    loss = sum((k + 1) * piece.sum() for k, piece in enumerate([*halves, *quarters, *uneven]))
    expected = np.zeros(12)
    for k, part in enumerate([*np.split(np.arange(12), 2), *np.split(np.arange(12), 4),
                              *np.split(np.arange(12), [1, 5])]):
        expected[part] += k + 1
    np.testing.assert_array_equal(grad(loss, x), np.broadcast_to(expected[:, None], X.shape))


def test_what_a_piece_sent_is_not_written_to() -> None:
    x = Tensor(X)
    a, b, *_ = split(x, 4, axis=1)
    sent: list[tuple[np.ndarray, np.ndarray]] = []

    def observe(consumer: Any, k: int, node: Any, g: Any) -> None:
        if node is not x:
            sent.append((np.asarray(g), np.array(g)))

    ((a * b).sum() + (a * a).sum() + x.sum()).backward(observe=observe)
    assert sent
    assert all((now == then).all() for now, then in sent)
