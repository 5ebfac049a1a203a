"""Optimisers and clipping at the edges: single nodes, duplicates, computed nodes, huge gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn, optim


def test_a_single_node_is_refused_instead_of_iterated_over() -> None:
    w = Tensor([1.0, 2.0])
    (w * w).sum().backward()
    for use in (lambda: optim.SGD(w, 0.1), lambda: optim.clip_grad_norm(w, 1.0), lambda: optim.global_norm(w)):
        with pytest.raises(TypeError, match="not a single node"):
            use()
    with pytest.raises(ValueError, match="computed node"):
        optim.SGD([w * 2], 0.1)
    with pytest.raises(TypeError, match="parameters are nodes"):
        optim.SGD([np.ones(2)], 0.1)


def test_a_parameter_given_twice_counts_once() -> None:
    w = Tensor([3.0, 4.0])
    w.grad = np.array([3.0, 4.0])
    assert optim.global_norm([w, w]) == optim.clip_grad_norm([w, w], 1.0) == 5.0
    np.testing.assert_allclose(w.grad, [0.6, 0.8], rtol=1e-15)
    w.data, w.grad = [0.0, 0.0], np.array([1.0, 1.0])
    optim.SGD([w, w], 0.5).step()
    np.testing.assert_array_equal(w.data, [-0.5, -0.5])


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e20), (np.float64, 1e200), (np.float64, 1e-200)])
def test_the_norm_neither_overflows_nor_vanishes(dtype: type, size: float) -> None:
    w = Tensor(np.zeros(2, dtype))
    w.grad = np.array([3 * size, 4 * size], dtype)
    assert optim.clip_grad_norm([w], size) == pytest.approx(5 * size, rel=1e-6)
    np.testing.assert_allclose(w.grad / size, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("clip", [optim.clip_grad_norm, optim.clip_grad_value])
def test_a_numpy_number_as_the_limit_does_not_raise_the_precision(clip: Any) -> None:
    w = Tensor(np.ones(2, np.float32))
    w.grad = np.array([3.0, 4.0], np.float32)
    clip([w], np.float64(1.0))
    assert w.grad.dtype == np.float32
    optim.SGD([w], 0.1).step()
    assert w.dtype == np.float32


def test_a_recorded_gradient_trains_too() -> None:
    w = Tensor([1.0, 2.0])
    mg.backward((w * w).sum(), create_graph=True)
    optim.SGD([w], 0.5).step()
    np.testing.assert_array_equal(w.data, [0.0, 0.0])


def test_a_module_that_knows_its_parent_is_walked_once() -> None:
    class Child(nn.Module):
        def __init__(self, parent: nn.Module) -> None:
            self.parent, self.layer = parent, nn.Linear(2, 3, rng=0)

    class Parent(nn.Module):
        def __init__(self) -> None:
            self.child = Child(self)

    assert [name for name, _ in Parent().named_parameters()] == ["child.layer.V", "child.layer.d"]


def test_recorded_gradients_are_cut_too_and_stay_recorded() -> None:
    w, v = Tensor([3.0, -0.25]), mg.Value(4.0)
    mg.backward((w * w).sum(), create_graph=True)
    mg.backward(v * v, create_graph=True)
    assert optim.clip_grad_value([w, v], 1.0) == pytest.approx(np.sqrt(36 + 0.25 + 64))
    assert w.grad.data.tolist() == [1.0, -0.5]
    assert v.grad.data == 1.0
    assert mg.grad(w.grad.sum(), w).tolist() == [0.0, 2.0]
