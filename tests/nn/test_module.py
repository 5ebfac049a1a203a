"""Module: its parameters by name, each once; saving and loading them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from microgradrnn import Tensor, nn


class Net(nn.Module):
    """Modules in attributes, lists and dicts; one parameter tied under a second name."""

    def __init__(self, seed: int = 0) -> None:
        self.embed = nn.Embedding(7, 4, rng=seed)
        self.layers = [nn.LSTM(4, 5, rng=seed), nn.RNN(5, 5, rng=seed)]
        self.heads = {"next": nn.Linear(5, 7, rng=seed)}
        self.scale = nn.Parameter(1.0)
        self.tied = self.embed.E
        self.constant = Tensor([1.0], requires_grad=False)
        self.name = "net"


def test_named_parameters_are_dotted_paths_in_order_each_once() -> None:
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "embed.E",
        "layers.0.cell.U", "layers.0.cell.W", "layers.0.cell.b",
        "layers.1.cell.U", "layers.1.cell.W", "layers.1.cell.b",
        "heads.next.V", "heads.next.d",
        "scale",
    ]
    assert len({id(p) for p in net.parameters()}) == len(net.parameters()) == 10
    assert next(iter(net.named_parameters("model")))[0] == "model.embed.E"


def test_a_state_dict_goes_round() -> None:
    a, b = Net(0), Net(1)
    state = a.state_dict()
    b.load_state_dict(state)
    for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data, err_msg=name)
    state["embed.E"][:] = 0
    assert np.abs(a.embed.E.data).min() > 0
    assert np.abs(b.embed.E.data).min() > 0


def test_a_state_dict_is_loaded_in_the_dtype_of_the_module() -> None:
    a, b = nn.LSTM(4, 5, rng=0), nn.LSTM(4, 5, rng=1, dtype=np.float32)
    b.load_state_dict(a.state_dict())
    assert {p.dtype for p in b.parameters()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(b.cell.W.data, a.cell.W.data, rtol=1e-6)


@pytest.mark.parametrize("spoil", [lambda s: s.pop("scale"), lambda s: s.update(extra=np.ones(1))])
def test_names_that_do_not_agree_are_listed_and_nothing_is_changed(spoil: Any) -> None:
    a, b = Net(0), Net(1)
    before, state = b.state_dict(), a.state_dict()
    spoil(state)
    with pytest.raises(KeyError, match=r"scale|extra"):
        b.load_state_dict(state)
    np.testing.assert_array_equal(b.embed.E.data, before["embed.E"])


def test_shapes_that_do_not_agree_are_named_and_nothing_is_changed() -> None:
    a, b = Net(0), Net(1)
    before, state = b.state_dict(), a.state_dict()
    state["heads.next.d"] = np.ones(8)
    with pytest.raises(ValueError, match=r"heads\.next\.d has shape \(7,\), the given array \(8,\)"):
        b.load_state_dict(state)
    np.testing.assert_array_equal(b.embed.E.data, before["embed.E"])


def test_zero_grad_forgets_every_gradient() -> None:
    layer = nn.GRU(4, 5, reset="after", rng=0)
    layer(np.ones((3, 2, 4)))[0].sum().backward()
    assert all(np.abs(p.grad).max() > 0 for p in layer.parameters())
    layer.zero_grad()
    assert all(p.grad is None for p in layer.parameters())


def test_a_parameter_is_a_leaf_copied_from_its_array() -> None:
    a = np.ones((2, 3), dtype=np.float32)
    p = nn.Parameter(a, symbol="W")
    a[:] = 5
    np.testing.assert_array_equal(p.data, np.ones((2, 3)))
    assert (p.symbol, p.role, p.is_leaf, p.dtype) == ("W", "parameter", True, np.float32)
    assert type(p * 2) is Tensor


def test_a_module_without_call_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Net defines no __call__"):
        Net()(1)


def test_frozen_parameters_are_in_the_state_dict_but_not_trained() -> None:
    a, b = nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=1)
    for net in (a, b):
        net.V.requires_grad = False
    assert [name for name, _ in b.named_parameters()] == ["d"]
    assert list(a.state_dict()) == ["V", "d"]
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(b.V.data, a.V.data)
    nn.Linear(3, 2).load_state_dict(a.state_dict())


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_module_can_be_pickled_and_copied(make: Any) -> None:
    """Its activation is an operation of the engine, found again by name."""
    net = make(3, 4, rng=0)
    xs = np.ones((2, 1, 3))
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        np.testing.assert_array_equal(other(xs)[0].data, net(xs)[0].data)
        assert not set(other.parameters()) & set(net.parameters())


@pytest.mark.parametrize("bad", [np.array(["a"] * 3), np.ones(3) * 1j, np.array([None] * 3)])
def test_a_state_of_other_than_real_numbers_is_refused_and_changes_nothing(bad: Any) -> None:
    net = nn.Linear(2, 3, rng=0)
    before = net.state_dict()
    with pytest.raises(TypeError, match=r"d is an array of .*parameters are real numbers"):
        net.load_state_dict({"V": np.ones((2, 3)), "d": bad})
    for name, a in before.items():
        np.testing.assert_array_equal(net.state_dict()[name], a)


@pytest.mark.parametrize("inside", [
    {1: nn.Parameter(np.zeros(2)), "1": nn.Parameter(np.ones(2))},
    {"1": {"a": nn.Parameter(np.zeros(2))}, "1.a": nn.Parameter(np.ones(2))},
])
def test_two_parameters_of_one_name_are_an_error_and_none_is_lost(inside: Any) -> None:
    net = nn.Module()
    net.heads = inside
    for call in (net.state_dict, lambda: net.load_state_dict({})):
        with pytest.raises(ValueError, match=r"Module has two parameters called heads\.1.*are one name"):
            call()


def test_a_parameter_under_two_keys_that_read_alike_is_one() -> None:
    net, p = nn.Module(), nn.Parameter(np.zeros(2))
    net.heads = {1: p, "1": p}
    assert list(net.state_dict()) == ["heads.1"]


@pytest.mark.parametrize("over", ["raise", "warn", "ignore"])
def test_numbers_that_are_too_large_are_refused_and_change_nothing(over: Any) -> None:
    net = nn.Linear(2, 3, rng=0, dtype=np.float32)
    before = net.state_dict()
    with np.errstate(over=over), pytest.raises(ValueError, match=r"^load_state_dict: d holds 1e\+300, too large for "
                                                                 "float32$"):
        net.load_state_dict({"V": np.ones((2, 3)), "d": np.array([1.0, 1e300, np.inf])})
    for name, a in before.items():
        np.testing.assert_array_equal(net.state_dict()[name], a)


def test_infinity_nan_and_numbers_near_0_are_loaded() -> None:
    net = nn.Linear(2, 3, dtype=np.float32)
    with np.errstate(all="raise"):
        net.load_state_dict({"V": np.ones((2, 3)), "d": np.array([np.inf, np.nan, 1e-300])})
    np.testing.assert_array_equal(net.d.data, np.array([np.inf, np.nan, 0.0]))


def test_a_parameter_without_a_symbol_is_called_as_its_module_calls_it() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.U_k = nn.Parameter(np.zeros((3, 2)))
            self.again = self.U_k
            self.W = nn.Parameter(np.zeros((2, 2)), symbol="R")

    net = Net()
    assert (net.U_k.symbol, net.U_k.role, net.W.symbol) == ("U_k", "parameter", "R")
