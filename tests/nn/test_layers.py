"""Linear, Embedding and cross-entropy against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.numerics import assert_same

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("lead", [(), (7,), (6, 3), (2, 6, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_equals_pytorch(lead: tuple[int, ...], bias: bool) -> None:
    layer, peer = nn.Linear(4, 5, bias=bias, rng=0), torch.nn.Linear(4, 5, bias=bias).double()
    with torch.no_grad():
        peer.weight.copy_(torch.tensor(layer.V.data.T.copy()))
        if bias:
            peer.bias.copy_(torch.tensor(layer.d.data.copy()))
    xs = np.random.default_rng(0).standard_normal((*lead, 4))
    x, x_t = Tensor(xs), torch.tensor(xs, requires_grad=True)
    y, y_t = layer(x), peer(x_t)
    assert_same(y.data, y_t.detach().numpy(), rel=1e-14)
    (y * y).sum().backward()
    (y_t * y_t).sum().backward()
    assert_same(x.grad, x_t.grad.numpy(), rel=1e-13)
    assert_same(layer.V.grad, peer.weight.grad.numpy().T, rel=1e-13)
    assert (layer.d is None) == (not bias)
    if bias:
        assert_same(layer.d.grad, peer.bias.grad.numpy(), rel=1e-13)


def test_repeated_ids_add_up_in_the_gradient_of_an_embedding() -> None:
    layer = nn.Embedding(6, 4, rng=0)
    ids = np.array([[1, 2, 1], [5, 1, 0]])
    E = torch.tensor(layer.E.data.copy(), requires_grad=True)
    weights = np.random.default_rng(0).standard_normal((2, 3, 4))
    x = layer(ids)
    (x * x * weights).sum().backward()
    x_t = torch.nn.functional.embedding(torch.tensor(ids), E)
    (x_t * x_t * torch.tensor(weights)).sum().backward()
    assert_same(x.data, x_t.detach().numpy())
    assert_same(layer.E.grad, E.grad.numpy())
    assert not layer.E.grad[[3, 4]].any()


def test_an_embedding_is_a_one_hot_product() -> None:
    layer, ids = nn.Embedding(6, 4, rng=0), np.array([0, 5, 5])
    assert_same(layer(ids).data, np.eye(6)[ids] @ layer.E.data)
    assert layer([[1, 2]]).shape == (1, 2, 4)
    assert layer(np.int64(3)).shape == (4,)


def test_ids_out_of_range_or_not_integer_are_refused() -> None:
    layer = nn.Embedding(6, 4, rng=0)
    with pytest.raises(ValueError, match=r"integers must lie in 0\.\.5, got 1\.\.6"):
        layer([1, 6])
    with pytest.raises(ValueError, match=r"0\.\.5"):
        layer([-1])
    with pytest.raises(TypeError, match="Embedding: expected integers, got float64"):
        layer([1.0])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("lead", [(), (7,), (6, 3)])
def test_cross_entropy_equals_pytorch(reduction: str, lead: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((*lead, 5)) * 3, rng.integers(0, 5, lead)
    o, o_t = Tensor(logits), torch.tensor(logits, requires_grad=True)
    loss = nn.cross_entropy(o, targets, reduction=reduction)
    loss_t = torch.nn.functional.cross_entropy(
        o_t.reshape(-1, 5), torch.tensor(targets.reshape(-1)), reduction=reduction
    )
    loss_t = loss_t.reshape(lead) if reduction == "none" else loss_t
    assert_same(loss.data, loss_t.detach().numpy(), rel=1e-14)
    seed = rng.standard_normal(loss.shape)
    loss.backward(seed)
    loss_t.backward(torch.tensor(seed))
    assert_same(o.grad, o_t.grad.numpy(), rel=1e-14)


def test_the_gradient_of_cross_entropy_is_prediction_minus_target() -> None:
    rng = np.random.default_rng(0)
    o, y = Tensor(rng.standard_normal((7, 5))), rng.integers(0, 5, 7)
    g = mg.grad(nn.cross_entropy(o, y, reduction="sum"), o)
    assert_same(g, mg.softmax(o.data) - np.eye(5)[y], rel=1e-15)


def test_cross_entropy_is_finite_when_the_net_is_sure_and_wrong() -> None:
    o = Tensor([[1000.0, -1000.0]])
    loss = nn.cross_entropy(o, [1])
    assert loss.item() == 2000.0
    assert_same(mg.grad(loss, o), np.array([[1.0, -1.0]]))


@pytest.mark.parametrize(
    ("targets", "options", "kind", "words"),
    [
        ([0, 1], {}, ValueError, r"logits \(3, 5\) need targets \(3,\), got \(2,\)"),
        ([0, 1, 5], {}, ValueError, r"0\.\.4"),
        ([0.0, 1.0, 2.0], {}, TypeError, "expected integers"),
        ([0, 1, 2], {"reduction": "max"}, ValueError, "'mean', 'sum' or 'none'"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets: Any, options: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        nn.cross_entropy(Tensor(np.zeros((3, 5))), targets, **options)


def test_targets_may_be_overwritten_after_the_forward_pass() -> None:
    o, y = Tensor(np.zeros((3, 2))), np.array([0, 1, 0])
    loss = nn.cross_entropy(o, y, reduction="sum")
    y[:] = 1
    assert_same(mg.grad(loss, o), np.array([[-0.5, 0.5], [0.5, -0.5], [-0.5, 0.5]]))


# ------------------------------------------------------------------------------------------------ padding
@pytest.mark.parametrize("padding_idx", [0, 2, -1])
def test_an_embedding_with_padding_equals_pytorch(padding_idx: int) -> None:
    layer, peer = nn.Embedding(6, 4, padding_idx=padding_idx, rng=0), torch.nn.Embedding(6, 4, padding_idx).double()
    assert layer.padding_idx == peer.padding_idx
    assert not layer.E.data[padding_idx].any()
    assert not peer.weight[padding_idx].any()
    peer.load_state_dict({"weight": torch.tensor(layer.E.data.copy())})
    ids, weights = np.array([[1, 2, 0], [5, 1, 0]]), np.random.default_rng(0).standard_normal((2, 3, 4))
    x, x_t = layer(ids), peer(torch.tensor(ids))
    (x * x * weights + x * weights).sum().backward()
    (x_t * x_t * torch.tensor(weights) + x_t * torch.tensor(weights)).sum().backward()
    assert_same(x.data, x_t.detach().numpy())
    assert_same(layer.E.grad, peer.weight.grad.numpy())
    assert not layer.E.grad[padding_idx].any()


def test_a_padding_row_that_was_loaded_is_read_and_not_trained() -> None:
    layer = nn.Embedding(3, 2, padding_idx=1)
    layer.load_state_dict({"E": np.arange(6.0).reshape(3, 2)})
    x = layer([0, 1, 1])
    assert x.data.tolist() == [[0, 1], [2, 3], [2, 3]]
    x.sum().backward()
    assert layer.E.grad.tolist() == [[1, 1], [0, 0], [0, 0]]


# ------------------------------------------------------------------------------------------------ LayerNorm
@pytest.mark.parametrize("shape", [5, (5,), (3, 5)])
@pytest.mark.parametrize("options", [{}, {"elementwise_affine": False}, {"bias": False}, {"eps": 0.1}], ids=str)
def test_layer_norm_equals_pytorch(shape: Any, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    layer, peer = nn.LayerNorm(shape, **options), torch.nn.LayerNorm(shape, **options).double()
    pairs = [(layer.gain, peer.weight), (layer.bias, peer.bias)]
    for ours, theirs in pairs:
        assert (ours is None) == (theirs is None)
        if ours is not None:
            ours.data = rng.standard_normal(ours.shape)
            with torch.no_grad():
                theirs.copy_(torch.tensor(ours.data.copy()))
    xs = rng.standard_normal((2, 4, 3, 5)) * 3 + 7
    x, x_t = Tensor(xs), torch.tensor(xs, requires_grad=True)
    seed = rng.standard_normal(xs.shape)
    y, y_t = layer(x), peer(x_t)
    y.backward(seed)
    y_t.backward(torch.tensor(seed))
    assert_same(y.data, y_t.detach().numpy(), rel=1e-14)
    assert_same(x.grad, x_t.grad.numpy(), rel=1e-12)
    for ours, theirs in pairs:
        if ours is not None:
            assert_same(ours.grad, theirs.grad.numpy(), rel=1e-13)


def test_layer_norm_is_differentiable_twice_and_finite_where_all_entries_are_equal() -> None:
    layer = nn.LayerNorm(4)
    assert mg.gradcheck(lambda x: layer(x), [np.random.default_rng(0).standard_normal((3, 4))], order=2)
    x = Tensor(np.ones((2, 4)))
    layer(x).backward(np.arange(8.0).reshape(2, 4))
    assert np.isfinite(x.grad).all()


def test_layer_norm_in_float32_stays_there() -> None:
    assert nn.LayerNorm(4, dtype=np.float32)(Tensor(np.ones((2, 4), np.float32))).dtype == np.float32
