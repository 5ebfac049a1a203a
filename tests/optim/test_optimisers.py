"""SGD, Adam and clipping against torch.optim."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from microgradrnn import Tensor, Value, nn
from microgradrnn.optim import SGD, Adam, clip_grad_norm

torch = pytest.importorskip("torch")

OPTIMISERS = [
    (lambda p: SGD(p, lr=0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
    (lambda p: Adam(p), lambda p: torch.optim.Adam(p)),
    (lambda p: Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-4),
     lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-4)),
]


@pytest.mark.parametrize(("ours", "theirs"), OPTIMISERS, ids=["SGD", "Adam", "Adam with options"])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_twenty_steps_equal_pytorch(ours: Any, theirs: Any, clip: float | None) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((4, 5)), rng.standard_normal(5), rng.standard_normal((5, 3))]
    x, y = rng.standard_normal((7, 4)), rng.integers(0, 3, 7)
    ps = [nn.Parameter(a) for a in arrays]
    ps_t = [torch.tensor(a, requires_grad=True) for a in arrays]
    opt, opt_t = ours(ps), theirs(ps_t)
    for _ in range(20):
        opt.zero_grad()
        nn.cross_entropy((x @ ps[0] + ps[1]).tanh() @ ps[2], y).backward()
        opt_t.zero_grad()
        logits = (torch.tensor(x) @ ps_t[0] + ps_t[1]).tanh() @ ps_t[2]
        torch.nn.functional.cross_entropy(logits, torch.tensor(y)).backward()
        if clip is not None:
            norm, norm_t = clip_grad_norm(ps, clip), torch.nn.utils.clip_grad_norm_(ps_t, clip)
            assert norm == pytest.approx(norm_t.item(), rel=1e-12)
        opt.step()
        opt_t.step()
    for p, p_t, start in zip(ps, ps_t, arrays, strict=True):
        # PyTorch divides by norm + 1e-6 when it clips, we by the norm
        np.testing.assert_allclose(p.data, p_t.detach().numpy(), rtol=1e-10 if clip is None else 1e-4)
        assert np.abs(p.data - start).max() > 1e-3


@pytest.mark.parametrize("make", [lambda p: SGD(p, lr=0.1), lambda p: Adam(p, lr=0.1)])
def test_a_value_and_a_float32_tensor_are_trained_in_their_own_kind(make: Any) -> None:
    v, w = Value(1.0), Tensor(np.array([1.0, -1.0], dtype=np.float32))
    opt = make([v, w])
    for _ in range(100):
        opt.zero_grad()
        ((v - 3) ** 2).backward()
        ((w - 2) ** 2).sum().backward()
        opt.step()
    assert type(v.data) is float
    assert w.dtype == np.float32
    assert v.data == pytest.approx(3.0, abs=0.1)
    np.testing.assert_allclose(w.data, [2, 2], atol=0.1)


def test_a_parameter_without_gradient_is_left_alone() -> None:
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0])
    a.sum().backward()
    for opt in (SGD([a, b], lr=0.1), Adam([a, b])):
        opt.step()
    assert a.data[0] < 1.0
    assert b.data[0] == 1.0


def test_a_step_writes_to_no_array_that_a_graph_has_used() -> None:
    p = nn.Parameter([1.0, 2.0])
    before = p.data
    (p * p).sum().backward()
    SGD([p], lr=0.1).step()
    np.testing.assert_array_equal(before, [1, 2])
    np.testing.assert_allclose(p.data, [0.8, 1.6])


def test_nonsense_is_refused() -> None:
    p = nn.Parameter([1.0])
    for make in (lambda: SGD([], lr=0.1), lambda: Adam([])):
        with pytest.raises(ValueError, match="no parameters"):
            make()
    for lr in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="lr must be positive"):
            SGD([p], lr=lr)
    for norm in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="max_norm must be positive"):
            clip_grad_norm([p], norm)


def test_clipping_keeps_the_direction_and_is_one_norm_over_all() -> None:
    a, b, none = Tensor([3.0]), Tensor([[4.0]]), Tensor([1.0])
    a.grad, b.grad = np.array([3.0]), np.array([[4.0]])
    assert clip_grad_norm([a, b, none], 1.0) == 5.0
    np.testing.assert_allclose([a.grad[0], b.grad[0, 0]], [0.6, 0.8], rtol=1e-15)
    assert none.grad is None


def test_small_gradients_are_not_clipped_and_values_are_clipped_too() -> None:
    a, v = Tensor([0.3]), Value(1.0)
    a.grad, v.grad = np.array([0.3]), 0.4
    assert clip_grad_norm([a, v], 1.0) == pytest.approx(0.5)
    assert (a.grad[0], v.grad) == (0.3, 0.4)
    clip_grad_norm(iter([a, v]), 0.25)
    assert (a.grad[0], v.grad) == (pytest.approx(0.15), pytest.approx(0.2))


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_norm_that_is_not_finite_is_returned_and_nothing_is_changed(bad: float) -> None:
    a, b = Tensor([1.0]), Tensor([1.0])
    a.grad, b.grad = np.array([bad]), np.array([5.0])
    assert not np.isfinite(clip_grad_norm([a, b], 1.0))
    assert b.grad[0] == 5.0
