"""Losses against PyTorch and complex steps; rows S34, S35 and S43 of the ledger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import microgradrnn as mg
from microgradrnn import Tensor, nn
from microgradrnn.nn import losses
from tests.numerics import assert_same, complex_step, relative_error


def softmax(o: np.ndarray) -> np.ndarray:
    e = np.exp(o - o.real.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ------------------------------------------------------------------------------------------------ S34
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_s34_the_gradient_of_cross_entropy_is_p_minus_y_to_the_last_digits(size: float) -> None:
    rng = np.random.default_rng(0)
    o, y = rng.standard_normal((7, 5)) * size, rng.integers(0, 5, 7)
    g = mg.grad(nn.cross_entropy(t := Tensor(o), y, reduction="sum"), t)
    (by_complex_step,) = complex_step(lambda o: -np.log(softmax(o)[np.arange(7), y]).sum(), [o])
    assert relative_error(g, by_complex_step) < 1e-14
    assert relative_error(g, softmax(o) - np.eye(5)[y]) < 1e-14


def test_s34_p_minus_y_needs_targets_that_sum_to_one() -> None:
    """For soft targets of sum s it is s p - y; smoothing keeps the sum 1."""
    rng = np.random.default_rng(0)
    o, y = Tensor(rng.standard_normal(5)), rng.random(5) * 2
    g = mg.grad(-(y * mg.log_softmax(o)).sum(), o)
    p = softmax(o.data)
    assert_same(g, y.sum() * p - y, rel=1e-14)
    assert relative_error(g, p - y) > 0.1
    smooth = mg.grad(nn.cross_entropy(o, 2, label_smoothing=0.1), o)
    assert_same(smooth, p - (0.9 * np.eye(5)[2] + 0.1 / 5), rel=1e-14)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_s34_cross_entropy_is_stable_at_logits_of_ten_thousand(size: float) -> None:
    o = Tensor([[size, 0.0, -size], [0.0, size, size]])
    loss = nn.cross_entropy(o, [2, 0], reduction="none")
    exact = [2e4, 1e4 + np.log(2)] if size > 0 else [0.0, 0.0]
    np.testing.assert_allclose(loss.data, exact, rtol=1e-15)
    g = mg.grad(loss.sum(), o)
    assert np.isfinite(g).all()
    np.testing.assert_allclose(g.sum(axis=1), 0, atol=1e-15)


# ------------------------------------------------------------------------------------------------ S35
class Net(nn.Module):
    """A tanh net with a softmax at every step."""

    def __init__(self) -> None:
        self.cell = nn.RNNCell(3, 6, rng=0)
        self.readout = nn.Linear(6, 4, rng=1)

    def __call__(self, xs: np.ndarray) -> Any:
        hs, _ = nn.unroll(self.cell, xs)
        return self.readout(hs)


def problem(T: int = 9, B: int = 2) -> tuple[Net, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return Net(), rng.standard_normal((T, B, 3)), rng.integers(0, 4, (T, B))


def gradients(net: Net, loss: Any) -> dict[str, np.ndarray]:
    names, parameters = zip(*net.named_parameters(), strict=True)
    return dict(zip(names, mg.grad(loss, list(parameters)), strict=True))


def test_s35_the_mean_is_the_sum_over_the_count() -> None:
    net, xs, ys = problem()
    summed = gradients(net, nn.cross_entropy(net(xs), ys, reduction="sum"))
    mean = gradients(net, nn.cross_entropy(net(xs), ys))
    for name, g in mean.items():
        assert relative_error(g * ys.size, summed[name]) < 2e-15, name


# ------------------------------------------------------------------------------------------------ S43
def test_s43_a_padded_batch_with_a_mask_has_the_gradient_of_its_sequences_alone() -> None:
    from microgradrnn.data import pad

    rng = np.random.default_rng(0)
    net, lengths = Net(), [7, 3, 5, 1]
    xs = [rng.standard_normal((n, 3)) for n in lengths]
    ys = [rng.integers(0, 4, n) for n in lengths]
    alone: dict[str, Any] = {}
    for x, y in zip(xs, ys, strict=True):
        for name, g in gradients(net, nn.cross_entropy(net(x[:, None]), y[:, None], reduction="sum")).items():
            alone[name] = alone.get(name, 0) + g
    x, mask = pad(xs)
    y, _ = pad(ys)
    x[~mask] = 7.0  # whatever stands in the padding
    masked = gradients(net, nn.cross_entropy(net(x), y, mask=mask, reduction="sum"))
    unmasked = gradients(net, nn.cross_entropy(net(x), y, reduction="sum"))
    for name, g in masked.items():
        assert relative_error(g, alone[name]) < 5e-15, name
    assert max(relative_error(g, alone[name]) for name, g in unmasked.items()) > 0.5


def test_s43_the_mean_counts_what_the_mask_lets_through() -> None:
    rng = np.random.default_rng(0)
    o, y, mask = rng.standard_normal((6, 3, 4)), rng.integers(0, 4, (6, 3)), rng.random((6, 3)) < 0.5
    each = nn.cross_entropy(o, y, reduction="none")
    assert float(nn.cross_entropy(o, y, mask=mask)) == pytest.approx(each[mask].mean(), rel=1e-14)
    assert float(nn.cross_entropy(o, y, mask=mask.astype(int))) == pytest.approx(each[mask].mean(), rel=1e-14)
    np.testing.assert_array_equal(nn.cross_entropy(o, y, mask=mask, reduction="none"), np.where(mask, each, 0))
    assert float(nn.cross_entropy(o, y, mask=~mask & mask, reduction="sum")) == 0
    with pytest.raises(ValueError, match="no target counts"):
        nn.cross_entropy(o, y, mask=~mask & mask)


def test_what_the_mask_leaves_out_may_be_infinite_or_nan() -> None:
    log_p, mask = Tensor([[-1.0, -2.0], [-np.inf, 0.0]]), [True, False]
    loss = nn.nll(log_p, [0, 0], mask=mask)
    assert loss.item() == 1.0
    assert mg.grad(loss, log_p).tolist() == [[-1.0, 0.0], [0.0, 0.0]]
    p = Tensor([1.0, np.inf])
    assert mg.grad(nn.mse(p, [3.0, np.nan], mask=mask), p).tolist() == [-4.0, 0.0]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_masked_logits_of_any_kind_leave_loss_and_gradient_of_the_others_alone(bad: float, smoothing: float) -> None:
    rows = [[1.0, -2.0, 0.5], [bad, bad, bad], [0.0, bad, 1.0]]
    o, alone = Tensor(rows), Tensor(rows[:1])
    loss = nn.cross_entropy(o, [2, 0, 1], mask=[True, False, False], label_smoothing=smoothing)
    expected = nn.cross_entropy(alone, [2], label_smoothing=smoothing)
    assert loss.item() == expected.item()
    np.testing.assert_array_equal(mg.grad(loss, o), [*mg.grad(expected, alone), [0] * 3, [0] * 3])


# ------------------------------------------------------------------------------------------------ against PyTorch
LOSSES: dict[str, Any] = {
    "cross_entropy": lambda F, r, m: (
        lambda o, y: nn.cross_entropy(o, y[0], mask=m, label_smoothing=0.2, reduction=r),
        lambda o, y: F.cross_entropy(o, y[0], label_smoothing=0.2, reduction="none")),
    "nll": lambda F, r, m: (lambda o, y: nn.nll(mg.log_softmax(o), y[0], mask=m, reduction=r),
                            lambda o, y: F.nll_loss(F.log_softmax(o, -1), y[0], reduction="none")),
    "mse": lambda F, r, m: (lambda o, y: nn.mse(o, y[1], mask=m, reduction=r),
                            lambda o, y: F.mse_loss(o, y[1], reduction="none")),
    "binary_cross_entropy": lambda F, r, m: (
        lambda o, y: nn.binary_cross_entropy(o, y[1], mask=m, reduction=r),
        lambda o, y: F.binary_cross_entropy_with_logits(o, y[1], reduction="none")),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_loss_equals_pytorch(name: str, reduction: str, masked: bool, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    mask = rng.random(8) < 0.6 if masked else None
    o = (rng.standard_normal((8, 5)) * 4).astype(dtype)
    y = rng.integers(0, 5, 8), rng.random((8, 5)).astype(dtype)
    ours, theirs = LOSSES[name](torch.nn.functional, reduction, mask)
    t, t_t = Tensor(o), torch.tensor(o, requires_grad=True)
    loss, each = ours(t, y), theirs(t_t, [torch.tensor(a) for a in y])
    each = each if mask is None else each[torch.tensor(mask)]
    loss_t = {"mean": each.mean, "sum": each.sum, "none": each.sum}[reduction]()
    loss = loss.sum() if reduction == "none" else loss
    loss_t.backward()
    rel = 1e-13 if dtype == "float64" else 1e-5
    assert loss.dtype == dtype
    assert_same(loss.data, loss_t.detach().numpy(), rel=rel)
    assert_same(mg.grad(loss, t), t_t.grad.numpy(), rel=rel)


@given(st.floats(-1e6, 1e6), st.floats(0, 1))
@settings(max_examples=200)
def test_binary_cross_entropy_is_finite_everywhere_and_its_gradient_is_sigma_minus_y(o: float, y: float) -> None:
    t = Tensor([o])
    loss = nn.binary_cross_entropy(t, [y])
    assert np.isfinite(loss.item())
    assert loss.item() >= -1e-9 * max(1.0, abs(o))
    sigma = 1 / (1 + np.exp(-o)) if o > -700 else 0.0
    np.testing.assert_allclose(mg.grad(loss, t), [sigma - y], atol=1e-15)


def test_binary_cross_entropy_is_the_cross_entropy_of_two_classes() -> None:
    rng = np.random.default_rng(0)
    o, y = rng.standard_normal(9) * 5, rng.integers(0, 2, 9)
    two = nn.cross_entropy(np.stack([0 * o, o], axis=1), y)
    assert float(nn.binary_cross_entropy(o, y)) == pytest.approx(float(two), rel=1e-13)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: nn.mse(np.zeros((3, 1)), np.zeros(3)), r"predictions \(3, 1\) and targets \(3,\) must have one shape"),
    (lambda: nn.binary_cross_entropy(np.zeros(2), [0, 2]), r"targets must lie in \[0, 1\]"),
    (lambda: nn.binary_cross_entropy(np.zeros(2), [0, np.nan]), r"targets must lie in \[0, 1\]"),
    (lambda: nn.mse(np.zeros((3, 2)), np.zeros((3, 2)), mask=[1, 0]), r"mask \(2,\) does not fit losses \(3, 2\)"),
    (lambda: nn.mse(np.zeros(3), np.zeros(3), mask=[1, 0, 2]), "mask holds True or False"),
    (lambda: nn.cross_entropy(np.zeros((1, 3)), [0], label_smoothing=1.0), "label_smoothing"),
    (lambda: nn.nll(np.zeros((1, 3)), [[0]]), r"log_p \(1, 3\) need targets \(1,\), got \(1, 1\)"),
    (lambda: nn.mse(np.zeros(3), np.zeros(3), reduction="avg"), "mse: reduction is"),
])
def test_what_does_not_fit_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_every_loss_is_offered_by_nn() -> None:
    for name in ("cross_entropy", "nll", "mse", "binary_cross_entropy"):
        assert getattr(nn, name) is getattr(losses, name)


# ------------------------------------------------------------------------------------------------ lists
TARGETS: dict[str, Any] = {"cross_entropy": [2, 0], "nll": [1, 1], "mse": [[0.5, 1.0, 2.0], [3.0, 4.0, 5.0]],
                          "binary_cross_entropy": [[0, 1, 0.5], [1, 1, 0]]}


@pytest.mark.parametrize("name", TARGETS)
def test_a_list_is_the_array_it_stands_for(name: str) -> None:
    loss, y = getattr(nn, name), TARGETS[name]
    numbers = [[0.1, -0.2, 0.3], [0.4, 0.5, -0.6]]
    one = Tensor(numbers)
    steps = [Tensor(row) for row in numbers]
    expected = loss(one, y)
    assert loss(numbers, y) == expected.item()
    together = loss(steps, y)
    assert together.item() == expected.item()
    np.testing.assert_array_equal(np.stack(mg.grad(together, steps)), mg.grad(expected, one))


@pytest.mark.parametrize("name", TARGETS)
def test_a_list_that_is_no_array_is_refused(name: str) -> None:
    loss, y = getattr(nn, name), TARGETS[name]
    with pytest.raises(ValueError, match=rf"{name}: the parts of this list differ in shape.*data\.pad"):
        loss([[0.1, 0.2], [0.3]], y)
    with pytest.raises(TypeError, match=f"{name}: expected an array of numbers, got a list"):
        loss(["a", "b"], y)


# ------------------------------------------------------------------------------------------------ nodes as targets
@pytest.mark.parametrize("name", ["mse", "binary_cross_entropy"])
def test_a_target_that_is_a_node_gets_its_gradient(name: str) -> None:
    rng = np.random.default_rng(0)
    o, y = rng.uniform(0.1, 0.9, (2, 3)), rng.uniform(0.1, 0.9, (2, 3))
    mask = np.array([[True, False, True], [True, True, False]])
    assert mg.gradcheck(lambda a, b: getattr(nn, name)(a, b, mask=mask), [o, y], order=2)
    assert mg.gradcheck(lambda b: getattr(nn, name)(o, b), [y])


def test_the_squared_error_is_the_same_with_its_arguments_exchanged() -> None:
    o, y = Tensor([1.0, 2.0]), np.array([3.0, 5.0])
    np.testing.assert_array_equal(mg.grad(nn.mse(y, o), o), mg.grad(nn.mse(o, y), o))


def test_a_single_number_is_no_logits() -> None:
    for loss in (nn.cross_entropy, nn.nll):
        with pytest.raises(ValueError, match="need an axis, the last"):
            loss(Tensor(1.0), 0)


def test_a_numpy_number_as_label_smoothing_does_not_raise_the_precision() -> None:
    o = Tensor(np.zeros((2, 3), np.float32))
    assert nn.cross_entropy(o, [0, 1], label_smoothing=np.float64(0.1)).dtype == np.float32


# ------------------------------------------------------------------------------------------------ options of PyTorch
@pytest.mark.parametrize("targets", ["classes", "probabilities"])
def test_cross_entropy_equals_pytorch_over_random_options(targets: str) -> None:
    """A hundred settings of class weights, ignored targets, smoothing, shapes and reductions: value and gradient."""
    torch = pytest.importorskip("torch")
    for seed in range(100):
        rng = np.random.default_rng(seed)
        lead, K = tuple(rng.integers(1, 6, rng.integers(0, 3))), int(rng.integers(2, 7))
        o = rng.standard_normal((*lead, K)) * 3
        options: dict[str, Any] = {"reduction": str(rng.choice(["mean", "sum", "none"])),
                                   "label_smoothing": float(rng.choice([0.0, rng.uniform(0, 0.9)]))}
        weight = rng.uniform(0.1, 3, K) if rng.random() < 0.6 else None
        if targets == "classes":
            y: Any = rng.integers(0, K, lead)
            if rng.random() < 0.5 and y.size > 1:
                y = np.where(rng.random(lead) < 0.3, -7, y)
                y.flat[0] = 0
                options["ignore_index"] = -7
        else:
            y = rng.dirichlet(np.ones(K), lead)
        ours, theirs = Tensor(o), torch.tensor(o.reshape(-1, K), requires_grad=True)
        y_t = torch.tensor(y.reshape(-1, K) if targets == "probabilities" else np.reshape(y, -1))
        loss = nn.cross_entropy(ours, y, weight=weight, **options)
        weight_t = None if weight is None else torch.tensor(weight)
        loss_t = torch.nn.functional.cross_entropy(theirs, y_t, weight=weight_t, **options)
        seeds = rng.standard_normal(loss.shape)
        loss.backward(seeds)
        loss_t.backward(torch.tensor(seeds.reshape(loss_t.shape)))
        assert_same(loss.data.reshape(loss_t.shape), loss_t.detach().numpy(), rel=1e-13, what=f"{seed}")
        assert_same(ours.grad.reshape(-1, K), theirs.grad.numpy(), rel=1e-13, what=f"{seed}")
        if targets == "classes":
            log_p = mg.log_softmax(o)
            options.pop("label_smoothing")
            loss_t = torch.nn.functional.nll_loss(torch.tensor(log_p.reshape(-1, K)), y_t, weight=weight_t, **options)
            assert_same(nn.nll(log_p, y, weight=weight, **options).reshape(loss_t.shape), loss_t.numpy(), rel=1e-13)


@pytest.mark.parametrize("soft", [False, True])
def test_a_mask_does_the_same_as_leaving_rows_out_whatever_the_options(soft: bool) -> None:
    rng = np.random.default_rng(0)
    o, mask = rng.standard_normal((6, 3, 4)), rng.random((6, 3)) < 0.5
    y: Any = rng.dirichlet(np.ones(4), (6, 3)) if soft else rng.integers(0, 4, (6, 3))
    options: dict[str, Any] = {"weight": [0.5, 1.0, 2.0, 0.1], "label_smoothing": 0.3}
    o[~mask] = np.nan
    alone, masked = Tensor(o[mask]), Tensor(o)
    expected, loss = nn.cross_entropy(alone, y[mask], **options), nn.cross_entropy(masked, y, mask=mask, **options)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-14)
    g = mg.grad(loss, masked)
    assert_same(g[mask], mg.grad(expected, alone), rel=1e-14)
    assert not g[~mask].any()
    if not soft:
        ignoring = nn.cross_entropy(masked, np.where(mask, y, 9), ignore_index=9, **options)
        assert ignoring.item() == loss.item()


def test_probabilities_may_be_a_node_and_get_their_gradient() -> None:
    rng = np.random.default_rng(0)
    o, z = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    assert mg.gradcheck(lambda o, z: nn.cross_entropy(o, mg.softmax(z), weight=[1.0, 0.5, 2.0]), [o, z], order=2)


def test_one_hot_probabilities_are_classes_also_where_other_classes_are_impossible() -> None:
    o, y = Tensor([[1.0, -np.inf, 0.5], [0.0, 2.0, -np.inf]]), [0, 1]
    loss, expected = nn.cross_entropy(o, np.eye(3)[y]), nn.cross_entropy(o, y)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-15)
    assert_same(mg.grad(loss, o), mg.grad(expected, o), rel=1e-15)


@pytest.mark.parametrize(("make", "function", "targets"), [
    (lambda: nn.CrossEntropyLoss([1.0, 2.0, 0.5], ignore_index=2, label_smoothing=0.1, reduction="sum"),
     lambda o, y: nn.cross_entropy(o, y, weight=[1.0, 2.0, 0.5], ignore_index=2, label_smoothing=0.1, reduction="sum"),
     [0, 1, 2, 1]),
    (lambda: nn.NLLLoss([1.0, 2.0, 0.5], ignore_index=0, reduction="sum"),
     lambda o, y: nn.nll(o, y, weight=[1.0, 2.0, 0.5], ignore_index=0, reduction="sum"), [0, 1, 2, 1]),
    (lambda: nn.MSELoss(reduction="sum"), lambda o, y: nn.mse(o, y, reduction="sum"), np.ones((4, 3))),
    (lambda: nn.BCEWithLogitsLoss(reduction="sum"), lambda o, y: nn.binary_cross_entropy(o, y, reduction="sum"),
     np.ones((4, 3))),
], ids=["CrossEntropyLoss", "NLLLoss", "MSELoss", "BCEWithLogitsLoss"])
def test_a_loss_as_an_object_is_its_function_with_options(make: Any, function: Any, targets: Any) -> None:
    o, mask = Tensor(np.random.default_rng(0).standard_normal((4, 3))), [True, False, True, True]
    assert make()(o, targets).item() == function(o, targets).item()
    assert make()(o, targets).item() != type(make())()(o, targets, mask=mask).item()
    assert make()(o, targets, mask=mask).item() < make()(o, targets).item()
    assert make().parameters() == []
