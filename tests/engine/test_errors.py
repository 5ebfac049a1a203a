"""What cannot be right is refused, and the message says where and what to do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn


def test_a_mismatched_product_names_shapes_scope_and_time_step() -> None:
    a, b = Tensor(np.ones((32, 64))), Tensor(np.ones((128, 64)))
    words = "matmul: (32, 64) @ (128, 64): inner dimensions 64 and 128 differ [in lstm, t=3]"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"), mg.scope("lstm", step=3):
        mg.matmul(a, b)


def test_a_mismatch_inside_an_unrolled_cell_names_the_step() -> None:
    W = {t: Tensor(np.ones((5, 5) if t < 3 else (4, 5))) for t in range(6)}
    steps = iter(W)

    def cell(x: Any, h: Any) -> Any:
        return (x + h @ W[next(steps)]).tanh()

    with pytest.raises(ValueError, match=r"inner dimensions 5 and 4 differ \[in net, t=3\]"), mg.scope("net"):
        nn.unroll(cell, Tensor(np.ones((6, 2, 5))), np.zeros((2, 5)))


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda x: x + np.ones(5), r"add: \(3, 4\).*\(5,\)"),
        (lambda x: x @ 2.0, "at least one axis"),
        (lambda x: mg.matmul(np.ones((2, 3, 3)), mg.stack([x, x, x])), r"\(2, 3, 3\) @ \(3, 3, 4\).*batch"),
        (lambda x: mg.affine(x, np.ones((4, 5)), np.ones(6)), r"affine: \(3, 4\).*\(4, 5\).*\(6,\)"),
        (lambda x: mg.affine(x, np.ones((4, 5)), np.ones((2, 1, 5))), r"affine: \(3, 4\).*\(2, 1, 5\)"),
        (lambda x: x.sum(axis=2), "sum.*axis 2 is out of range.*2 axes"),
        (lambda x: x.max(axis=(0, -3)), "max.*axis -3 is out of range"),
        (lambda x: x.reshape(5, -1), "reshape"),
        (lambda x: x.transpose(0, 0), "transpose"),
        (lambda x: mg.concat([x, x.T]), "concat"),
        (lambda x: mg.concat([]), "concat: nothing to join"),
        (lambda x: mg.stack([x, x.T]), "stack"),
        (lambda x: mg.stack([]), "stack: nothing to join"),
    ],
)
def test_shape_errors_name_the_operation(use: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        use(Tensor(np.ones((3, 4))))


def test_an_index_out_of_range_names_scope_and_step() -> None:
    x = Tensor(np.ones((3, 4)))
    with pytest.raises(IndexError, match=r"getitem.*\[in decoder, t=9\]"), mg.scope("decoder", step=9):
        x[7]


@pytest.mark.parametrize("index", [1.5, np.array([0.5]), Tensor([1.0]), Value(1.0), "a"])
def test_an_index_must_be_made_of_integers(index: Any) -> None:
    with pytest.raises((TypeError, IndexError), match="ind"):
        Tensor(np.ones((3, 4)))[index]


@pytest.mark.parametrize("mix", [lambda v, t: v + t, lambda v, t: t * v, lambda v, t: mg.maximum(v, t),
                                 lambda v, t: mg.where(True, v, t), lambda v, t: mg.stack([t, v])])
def test_values_and_tensors_do_not_mix(mix: Any) -> None:
    with pytest.raises(TypeError, match="a Value and a Tensor do not mix"):
        mix(Value(1.0), Tensor(1.0))


@pytest.mark.parametrize("make", [Value, Tensor])
def test_a_node_is_not_made_from_a_node(make: Any) -> None:
    for node in (Value(1.0), Tensor(1.0)):
        with pytest.raises(TypeError, match="got a node"):
            make(node)


def test_a_root_of_several_numbers_needs_a_seed() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\).*\.sum\(\).*seed="):
        (Tensor([1.0, 2.0, 3.0]) * 2).backward()


@pytest.mark.parametrize("seed", [1.0, np.ones(2), np.ones((3, 1)), np.ones((1, 3))])
def test_a_seed_must_have_the_shape_of_the_root(seed: Any) -> None:
    x = Tensor([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"shape .*\(3,\).* must be equal"):
        (x * 2).backward(seed)
    with pytest.raises(ValueError, match="must be equal"):
        mg.grad(x * 2, x, seed=seed, create_graph=True)


@pytest.mark.parametrize("make", [Value, Tensor])
def test_a_constant_has_no_gradient(make: Any) -> None:
    x = make(1.0)
    with mg.no_grad():
        under_no_grad = x * 2
    for root in (make(1.0, requires_grad=False), under_no_grad, (x * 2).detach(), make(2.0, requires_grad=False) * 3):
        with pytest.raises(ValueError, match="no gradient flows"):
            root.backward()
        with pytest.raises(ValueError, match="no gradient flows"):
            mg.grad(x * 2, root)


def test_plain_numbers_carry_no_graph() -> None:
    x = Value(1.0)
    for bad in (3.0, np.ones(1), None):
        with pytest.raises(TypeError, match="needs a Value or a Tensor"):
            mg.backward(bad)
        with pytest.raises(TypeError, match="needs a Value or a Tensor"):
            mg.grad(x * x, [bad])


@pytest.mark.parametrize("make", [Value, Tensor])
def test_data_rebound_between_forward_and_backward_raises(make: Any) -> None:
    w = make(2.0)
    with mg.scope("net", step=4):
        y = w * w
    w.data = 3.0
    for differentiate in (y.backward, lambda: mg.grad(y, w), lambda: mg.grad(y, w, create_graph=True)):
        with pytest.raises(RuntimeError, match=r"multiply: the data of input 0 was changed.*\[in net, t=4\]"):
            differentiate()
    assert not w.grad
    (w * w).backward()
    assert float(w.grad) == 6.0


def test_an_optimiser_step_before_backward_raises() -> None:
    w = nn.Parameter(np.ones((3, 3)))
    x = Tensor(np.ones((2, 3)))
    first, second = (x @ w).sum(), (x @ w).tanh().sum()
    first.backward()
    mg.optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="Call backward\\(\\) before the update"):
        second.backward()


def test_a_failed_backward_leaves_every_gradient_as_it_was() -> None:
    a, b = Tensor(1.0), Tensor(2.0)
    late = b * 3
    a.data = 1.5
    early = a * 1.0
    a.data = 2.5
    with pytest.raises(RuntimeError):
        (early + late).backward()
    assert a.grad is None
    assert b.grad is None


@pytest.mark.parametrize("make", [Value, Tensor])
def test_the_data_of_a_computed_node_cannot_be_rebound(make: Any) -> None:
    y = make(2.0) * 3
    with pytest.raises(ValueError, match="multiply: the data of a computed node cannot be rebound"):
        y.data = 7.0
    assert float(y.data) == 6.0
    loose = y.detach()
    loose.data = 7.0
    assert (float(y.data), float(loose.data)) == (6.0, 7.0)


def test_a_tensor_cannot_be_written_in_place() -> None:
    x = Tensor([1.0, 2.0])
    with pytest.raises(TypeError, match=r"index_update.*rebind it"):
        x[0] = 5.0
    with pytest.raises(ValueError, match="read-only"):
        x.data[0] = 5.0
    with pytest.raises(ValueError, match="read-only"):
        (x * 2).data[0] = 5.0
    with pytest.raises(ValueError, match=r"read-only.*t.data -= step"):
        x.data[:1] -= 0.5
    with pytest.raises(ValueError, match="cannot be rebound"):
        (x * 2).data += 1
    np.testing.assert_array_equal(x.data, [1.0, 2.0])


def test_the_training_loops_of_micrograd_and_pytorch_update_a_leaf() -> None:
    x = Tensor([1.0, 2.0])
    before, y = x.data, (x * x).sum()
    y.backward()
    x.data -= 0.5 * x.grad
    np.testing.assert_array_equal(x.data, [0.0, 0.0])
    np.testing.assert_array_equal(before, [1.0, 2.0])
    with pytest.raises(RuntimeError, match="changed after the forward pass"):
        y.backward()
    for leaf in (Tensor([1.0, 2.0]), Value(3.0)):
        same = leaf
        with mg.no_grad():
            leaf += 1.0
            leaf *= 2.0
            leaf -= 1.0
            leaf /= 2.0
        assert leaf is same
        assert leaf.requires_grad
        assert leaf.is_leaf
    assert float(leaf) == 3.5


def test_comparing_a_node_with_a_number_is_refused() -> None:
    for node, other in ((Value(1.0), 1), (Tensor([1.0]), 1.0), (Tensor([1.0]), np.ones(1))):
        with pytest.raises(TypeError, match=r"use \.data"):
            assert node == other
        assert node == node
        assert node != Value(1.0)


def test_what_pytorch_calls_otherwise_is_named() -> None:
    x = Tensor([[1.0, 2.0]])
    for name, hint in (("numpy", r"\.data"), ("view", "reshape"), ("unsqueeze", "expand_dims"), ("argmax", r"\.data")):
        with pytest.raises(AttributeError, match=hint):
            getattr(x, name)
    assert not hasattr(x, "no_such_thing")
    np.testing.assert_array_equal(x.squeeze(0).data, [1.0, 2.0])
    assert f"{x.sum():.1f} {round(x.sum(), 1)} {int(x.sum())}" == "3.0 3.0 3"


def test_a_leaf_keeps_its_shape() -> None:
    x = Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match=r"\(2,\) cannot be rebound to data of shape \(3,\)"):
        x.data = np.zeros(3)


def test_a_label_is_the_symbol() -> None:
    for node in (Value(1.0, label="a"), Tensor([1.0], label="a")):
        assert node.label == node.symbol == "a"
        node.label = "b"
        assert (node.symbol, node.role) == ("b", None)


def test_augmented_assignment_makes_a_new_node() -> None:
    x = Tensor([1.0, 2.0])
    y = x
    y += 1
    y *= x
    np.testing.assert_array_equal(x.data, [1, 2])
    np.testing.assert_array_equal(mg.grad(y.sum(), x), 2 * x.data + 1)


@pytest.mark.parametrize("use", [np.asarray, np.array, lambda t: np.array([t, t]), lambda t: np.array(t, dtype=object)])
def test_no_array_is_made_of_a_node(use: Any) -> None:
    for node in (Tensor([1.0, 2.0]), Value(1.0)):
        with pytest.raises(TypeError, match="without losing its gradient"):
            use(node)


def test_the_refusal_of_numpy_says_what_to_do() -> None:
    with pytest.raises(TypeError, match="\\.data"):
        np.asarray(Tensor([1.0, 2.0]))


def test_a_condition_that_is_a_node_is_refused() -> None:
    with pytest.raises(TypeError, match="such as x > 0"):
        mg.where(Tensor([1.0]), 1.0, 2.0)


def test_a_role_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden"):
        mg.mark(Value(1.0), "h", role="hiden")


def test_an_operation_on_arrays_refuses_a_value() -> None:
    with pytest.raises(TypeError, match="matmul"):
        mg.matmul(Value(1.0), Value(2.0))


@pytest.mark.parametrize("use", [lambda x: mg.concat([x, x], 2), lambda x: mg.concat([x, x], -3),
                                 lambda x: mg.stack([x, x], 3), lambda x: mg.transpose(x, (0, 2)),
                                 lambda x: mg.swapaxes(x, 0, 2), lambda x: mg.split(x, 2, 2),
                                 lambda x: mg.softmax(x, 2), lambda x: mg.log_softmax(x, -3)])
def test_an_axis_out_of_range_is_refused_and_does_not_wrap_around(use: Any) -> None:
    with pytest.raises((ValueError, IndexError), match=r"ax[ie]s"):
        use(Tensor(np.ones((4, 4))))


def test_a_split_into_no_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="split"):
        mg.split(Tensor(np.ones(4)), 0)


@pytest.mark.parametrize("use", [
    mg.tanh, lambda x, h: mg.add(x, x, h), lambda x, h: mg.maximum(x, x, h), lambda x, h: mg.add(x, x, out=h),
    lambda x, h: mg.exp(x, where=np.array([True, False])), lambda x, h: mg.exp(x, dtype=np.float32),
    lambda x, h: mg.tanh(x.data, np.zeros(2)),
])  # fmt: skip
def test_an_operand_too_many_is_refused_and_overwrites_nothing(use: Any) -> None:
    x = Tensor([1.0, 2.0])
    h = x * 3
    with pytest.raises(TypeError, match=r"takes . operands? and no options"):
        use(x, h)
    np.testing.assert_array_equal(h.data, [3.0, 6.0])


def test_a_logarithm_has_no_base_for_its_slope_would_be_another() -> None:
    with pytest.raises(TypeError, match="log: takes 1 operand and no options, got 2"):
        mg.log(Value(8.0), 2)


@pytest.mark.parametrize("use", [
    lambda x: mg.gradcheck(mg.tanh, x), lambda x: mg.gradcheck(mg.tanh, Tensor(x)),
    lambda x: mg.gradcheck(mg.tanh, 2.0), lambda x: mg.jvp(mg.tanh, x, x),
    lambda x: mg.hvp(lambda t: t.tanh().sum(), x, x),
])  # fmt: skip
def test_inputs_come_in_a_list(use: Any) -> None:
    with pytest.raises(TypeError, match=r"in a list, \[x\]"):
        use(np.array([2.0]))


@pytest.mark.parametrize(("option", "words"), [("retain_graph", "leave it out"), ("gradient", "seed="),
                                               ("inputs", r"grad\(root, inputs\)")])
def test_the_options_of_pytorchs_backward_are_explained(option: str, words: str) -> None:
    with pytest.raises(TypeError, match=f"{option}=.*{words}"):
        (Value(2.0) * 3).backward(**{option: True})
