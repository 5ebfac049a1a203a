"""Sequential, its activations, dropout and the two modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.numerics import assert_same


def test_sequential_equals_pytorch() -> None:
    torch = pytest.importorskip("torch")
    net = nn.Sequential(nn.Linear(4, 6, rng=0), nn.Tanh(), nn.Sequential(nn.Linear(6, 5, rng=1), nn.ReLU()),
                        nn.LayerNorm(5), nn.Linear(5, 3, rng=2), nn.Sigmoid())
    t = torch.nn
    peer = t.Sequential(t.Linear(4, 6), t.Tanh(), t.Sequential(t.Linear(6, 5), t.ReLU()), t.LayerNorm(5),
                        t.Linear(5, 3), t.Sigmoid()).double()
    ours = [p for p in net.parameters() if p.role == "parameter"]
    with torch.no_grad():
        for p, p_t in zip(ours, peer.parameters(), strict=True):
            p_t.copy_(torch.tensor(p.data.T.copy()))
    xs, seed = np.random.default_rng(0).standard_normal((7, 4)), np.random.default_rng(1).standard_normal((7, 3))
    x, x_t = Tensor(xs), torch.tensor(xs, requires_grad=True)
    y, y_t = net(x), peer(x_t)
    y.backward(seed)
    y_t.backward(torch.tensor(seed))
    assert_same(y.data, y_t.detach().numpy(), rel=1e-14)
    assert_same(x.grad, x_t.grad.numpy(), rel=1e-13)
    for p, p_t in zip(ours, peer.parameters(), strict=True):
        assert_same(p.grad, p_t.grad.numpy().T, rel=1e-12)


def test_functions_are_layers_and_parts_of_a_net_can_be_taken() -> None:
    net = nn.Sequential(nn.Linear(4, 6, rng=0), mg.relu, nn.Linear(6, 3, rng=1))
    x = np.ones((2, 4))
    assert len(net) == 3
    assert net[0] is next(iter(net))
    np.testing.assert_array_equal(net[2](net[:2](x)).data, net(x).data)
    assert [name for name, _ in net.named_parameters()] == ["layers.0.V", "layers.0.d", "layers.2.V", "layers.2.d"]
    np.testing.assert_array_equal(nn.Sequential()(x), x)


def test_its_weights_go_to_another_net_by_name() -> None:
    def make(rng: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, 6, rng=rng), nn.Tanh(), nn.LayerNorm(6))

    a, b, x = make(0), make(1), np.ones((2, 4))
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(a(x).data, b(x).data)


# ------------------------------------------------------------------------------------------------ dropout and modes
def test_dropout_drops_while_trained_and_is_the_identity_in_evaluation() -> None:
    net, x = nn.Sequential(nn.Dropout(0.25)), np.ones(100_000)
    assert net.train(rng=0) is net
    y = net(x)
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.005)
    assert y.mean() == pytest.approx(1, abs=0.01)
    assert net.eval()(x) is x
    net.train(rng=0)
    np.testing.assert_array_equal(net(x), y)
    assert not np.array_equal(net(x), y), "the next call draws on"
    assert not np.array_equal(net.train()(x), net.train()(x)), "without a seed every run is another"


def test_the_gradient_flows_through_what_was_kept() -> None:
    drop, x = nn.Dropout(0.5).train(rng=3), Tensor(np.arange(1.0, 9))
    y = drop(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data / x.data)
    assert set(x.grad) == {0.0, 2.0}


def test_the_modes_reach_every_module_in_lists_dicts_and_tuples_and_one_that_knows_its_parent() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.drops = [nn.Dropout(), {"a": nn.Dropout(), "b": (nn.Dropout(), nn.Sequential(nn.Dropout()))}]
            self.child = nn.Sequential(nn.Dropout())
            self.child.parent = self

    net = Net()
    inside = [net.drops[0], net.drops[1]["a"], net.drops[1]["b"][0], net.drops[1]["b"][1][0], net.child[0]]
    assert [m.training for m in inside] == [None] * 5
    assert [m.training for m in inside if net.train(rng=0)] == [True] * 5
    assert len({id(m.noise(None)) for m in inside}) == 1, "one generator for all"
    net.eval()
    assert [m.training for m in inside] == [False] * 5
    net.train(False)
    assert inside[0].noise(None) is None
    assert net.state_dict() == {}


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_follows_the_modes_too(make: Any) -> None:
    xs, net = np.random.default_rng(0).standard_normal((7, 5, 4)), make(4, 3, num_layers=2, dropout=0.5, rng=0)
    plain = net(xs)[0].data
    net.train(rng=1)
    trained = net(xs)[0].data
    assert not np.array_equal(trained, plain)
    np.testing.assert_array_equal(trained, net(xs, rng=np.random.default_rng(1))[0].data)
    np.testing.assert_array_equal(net.eval()(xs)[0].data, plain)
    assert not np.array_equal(net(xs, rng=np.random.default_rng(1))[0].data, plain), "rng= in a call says it by itself"
