"""Every optimiser, and clipping, against torch.optim; rows S41 and S42."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from microgradrnn import Tensor, Value, nn
from microgradrnn.optim import SGD, Adagrad, Adam, AdamW, RMSprop, clip_grad_norm, clip_grad_value, global_norm
from tests.numerics import assert_same

torch = pytest.importorskip("torch")

OPTIMISERS: dict[str, tuple[Any, Any]] = {
    "SGD": (lambda p: SGD(p, lr=0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
    "momentum": (lambda p: SGD(p, lr=0.05, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    "Nesterov": (lambda p: SGD(p, lr=0.05, momentum=0.8, nesterov=True),
                 lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True)),
    "decay": (lambda p: SGD(p, lr=0.05, weight_decay=0.3), lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.3)),
    "Nesterov and decay": (lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
                           lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1)),
    "Adagrad": (lambda p: Adagrad(p), lambda p: torch.optim.Adagrad(p)),
    "RMSprop": (lambda p: RMSprop(p), lambda p: torch.optim.RMSprop(p)),
    "RMSprop with options": (lambda p: RMSprop(p, lr=0.02, alpha=0.7, eps=1e-3),
                             lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.7, eps=1e-3)),
    "Adam": (lambda p: Adam(p), lambda p: torch.optim.Adam(p)),
    "Adam with options": (lambda p: Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-4),
                          lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-4)),
    "dampened": (lambda p: SGD(p, lr=0.05, momentum=0.9, dampening=0.6, weight_decay=0.1),
                 lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, dampening=0.6, weight_decay=0.1)),
    "RMSprop with momentum": (lambda p: RMSprop(p, momentum=0.8), lambda p: torch.optim.RMSprop(p, momentum=0.8)),
    "RMSprop, centered": (lambda p: RMSprop(p, centered=True, alpha=0.9, momentum=0.5, weight_decay=0.1),
                          lambda p: torch.optim.RMSprop(p, centered=True, alpha=0.9, momentum=0.5, weight_decay=0.1)),
    "Adam with an L2 term": (lambda p: Adam(p, lr=0.02, weight_decay=0.4),
                             lambda p: torch.optim.Adam(p, lr=0.02, weight_decay=0.4)),
    "AMSGrad": (lambda p: Adam(p, lr=0.02, betas=(0.5, 0.6), amsgrad=True),
                lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.5, 0.6), amsgrad=True)),
    "AdamW": (lambda p: AdamW(p), lambda p: torch.optim.AdamW(p)),
    "AdamW with options": (lambda p: AdamW(p, lr=0.02, betas=(0.8, 0.95), weight_decay=0.4),
                           lambda p: torch.optim.AdamW(p, lr=0.02, betas=(0.8, 0.95), weight_decay=0.4)),
}
MAKERS = [ours for ours, _ in OPTIMISERS.values()]


@pytest.mark.parametrize(("ours", "theirs"), OPTIMISERS.values(), ids=OPTIMISERS)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_fifty_steps_equal_pytorch(ours: Any, theirs: Any, clip: float | None) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((4, 5)), rng.standard_normal(5), rng.standard_normal((5, 3))]
    x, y = rng.standard_normal((7, 4)), rng.integers(0, 3, 7)
    ps = [nn.Parameter(a) for a in arrays]
    ps_t = [torch.tensor(a, requires_grad=True) for a in arrays]
    opt, opt_t = ours(ps), theirs(ps_t)
    for _ in range(50):
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


def settings_of(kind: type, rng: np.random.Generator) -> dict[str, Any]:
    """Options of a kind of optimiser, drawn at random; PyTorch calls them the same."""
    def some(x: float) -> float:
        return float(rng.choice([0.0, x]))

    given: dict[str, Any] = {"lr": float(10 ** rng.uniform(-4, -1)), "weight_decay": some(rng.uniform(0, 0.5))}
    if kind is SGD:
        given["momentum"] = some(rng.uniform(0.1, 0.99))
        given["nesterov"] = bool(given["momentum"] and rng.random() < 0.4)
        given["dampening"] = 0.0 if given["nesterov"] else some(rng.uniform(0, 0.99))
        return given
    given["eps"] = float(10 ** rng.uniform(-10, -3))
    if kind is RMSprop:
        return {**given, "alpha": rng.uniform(0.5, 0.999), "momentum": some(rng.uniform(0.1, 0.99)),
                "centered": bool(rng.random() < 0.5)}
    if kind in (Adam, AdamW):
        return {**given, "betas": (rng.uniform(0, 0.99), rng.uniform(0.5, 0.9999)), "amsgrad": bool(rng.random() < 0.5)}
    return given


@pytest.mark.parametrize("kind", [SGD, Adagrad, RMSprop, Adam, AdamW])
def test_random_settings_equal_pytorch_and_go_on_from_a_state_dict(kind: Any) -> None:
    """Forty settings, fifty steps, gradients of changing size, some of them absent; stopped in the middle."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        options = settings_of(kind, rng)
        starts = [rng.standard_normal((3, 4)), rng.standard_normal(5)]
        ps, ps_t = [nn.Parameter(a) for a in starts], [torch.tensor(a, requires_grad=True) for a in starts]
        opt, opt_t = kind(ps, **options), getattr(torch.optim, kind.__name__)(ps_t, **options)
        stop = int(rng.integers(1, 50))
        for n in range(50):
            if n == stop:
                state, opt = opt.state_dict(), kind(ps, **{**options, "lr": 1.0})
                opt.load_state_dict(state)
            for p, p_t in zip(ps, ps_t, strict=True):
                g = rng.standard_normal(p.shape) * 10 ** rng.uniform(-2, 2)
                idle = rng.random() < 0.2
                p.grad, p_t.grad = (None, None) if idle else (g, torch.tensor(g))
            opt.step()
            opt_t.step()
        for p, p_t in zip(ps, ps_t, strict=True):
            assert_same(p.data, p_t.detach().numpy(), rel=1e-12, what=f"{kind.__name__} with {options}")


def test_a_state_fits_an_optimiser_that_keeps_the_same_running_arrays_only() -> None:
    p = nn.Parameter([1.0])
    for plain, other, name in ((Adam([p]), Adam([p], amsgrad=True), "v_max"),
                               (RMSprop([p]), RMSprop([p], centered=True), "m"),
                               (RMSprop([p]), RMSprop([p], momentum=0.5), "v")):
        with pytest.raises(KeyError, match=f"on one side only: {name}"):
            plain.load_state_dict(other.state_dict())
        with pytest.raises(KeyError, match=f"on one side only: {name}"):
            other.load_state_dict(plain.state_dict())


def test_with_a_constant_gradient_the_centred_deviation_is_zero_and_not_nan() -> None:
    p = nn.Parameter([1.0])
    opt = RMSprop([p], lr=1e-9, alpha=0.0, centered=True)
    for g in (0.1, 0.3, 1 / 3, 1e8 / 7):
        p.grad = np.array([g])
        opt.step()
    assert np.isfinite(p.data).all()


@pytest.mark.parametrize("make", [lambda p: SGD(p, lr=0.1), lambda p: Adam(p, lr=0.1), lambda p: RMSprop(
    p, lr=0.1, momentum=0.1, centered=True), lambda p: Adam(p, lr=0.1, amsgrad=True)])
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
    for lr in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"SGD: lr must be (positive|finite)"):
            SGD([p], lr=lr)
    for wrong in ("0.1", None, True):
        with pytest.raises(TypeError, match="SGD: lr must be a number"):
            SGD([p], lr=wrong)  # type: ignore[arg-type]
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


def test_an_explosion_in_float32_is_clipped_too() -> None:
    p = Tensor(np.zeros(2, np.float32))
    p.grad = np.array([3e30, -4e30], np.float32)
    assert clip_grad_norm([p], 1.0) == pytest.approx(5e30)
    np.testing.assert_allclose(p.grad, [0.6, -0.8], rtol=1e-6)
    assert p.grad.dtype == np.float32


# ------------------------------------------------------------------------------------------------ the ledger's rows
@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(-1e3, 1e3)),
       hnp.arrays(np.float64, (5,), elements=st.floats(-1e3, 1e3)), st.floats(1e-3, 1e4))
def test_s41_the_norm_after_clipping_is_the_smaller_of_the_two_and_the_direction_stays(
    g: np.ndarray, k: np.ndarray, tau: float
) -> None:
    a, b = Tensor(np.zeros((3, 4))), Tensor(np.zeros(5))
    a.grad, b.grad = g.copy(), k.copy()
    before = np.concatenate([g.ravel(), k])
    norm = clip_grad_norm([a, b], tau)
    after = np.concatenate([a.grad.ravel(), b.grad])
    assert norm == pytest.approx(np.linalg.norm(before), rel=1e-12)
    assert np.linalg.norm(after) == pytest.approx(min(norm, tau), rel=1e-12)
    assert global_norm([a, b]) == pytest.approx(min(norm, tau), rel=1e-12)
    if norm > 1e-100:
        assert after @ before / (np.linalg.norm(after) * np.linalg.norm(before)) == pytest.approx(1, abs=1e-12)


def test_s42_without_a_gradient_from_the_loss_weights_shrink_by_one_minus_lr_times_decay() -> None:
    w = np.random.default_rng(0).standard_normal((4, 3))
    p = nn.Parameter(w)
    opt = SGD([p], lr=0.1, weight_decay=0.01)
    for _ in range(1000):
        p.grad = np.zeros((4, 3))
        opt.step()
    np.testing.assert_allclose(p.data, w * (1 - 0.1 * 0.01) ** 1000, rtol=1e-12)
    assert np.linalg.norm(p.data) / np.linalg.norm(w) == pytest.approx(0.3677, abs=5e-5)


def test_s42_weight_decay_is_the_gradient_of_half_the_squared_norm() -> None:
    w = np.random.default_rng(0).standard_normal((4, 3))
    explicit, built_in = nn.Parameter(w), nn.Parameter(w)
    opts = [SGD([explicit], lr=0.1), SGD([built_in], lr=0.1, weight_decay=0.3)]
    for _ in range(20):
        for p, opt, decay in zip((explicit, built_in), opts, (0.3, 0.0), strict=True):
            opt.zero_grad()
            (p.sin().sum() + decay / 2 * (p * p).sum()).backward()
            opt.step()
    np.testing.assert_allclose(built_in.data, explicit.data, rtol=1e-12)


def test_clipping_by_value_cuts_every_entry_and_returns_the_norm_before() -> None:
    a, v, none = Tensor([3.0, -0.5]), Value(1.0), Tensor([1.0])
    a.grad, v.grad = np.array([3.0, -0.5]), -7.0
    assert clip_grad_value([a, v, none], 1.0) == pytest.approx(np.sqrt(9 + 0.25 + 49))
    assert (a.grad.tolist(), v.grad, none.grad) == ([1.0, -0.5], -1.0, None)
    assert type(v.grad) is float
    with pytest.raises(ValueError, match="limit must be positive"):
        clip_grad_value([a], 0.0)
    a_t = torch.zeros(2, requires_grad=True)
    a_t.grad = torch.tensor([3.0, -0.5])
    torch.nn.utils.clip_grad_value_([a_t], 1.0)
    np.testing.assert_array_equal(a.grad, a_t.grad.numpy())


# ------------------------------------------------------------------------------------------------ stop and go on
@pytest.mark.parametrize("make", MAKERS, ids=OPTIMISERS)
def test_an_optimiser_goes_on_from_its_state_dict_bit_for_bit(make: Any) -> None:
    def train(p: Any, opt: Any, steps: int) -> None:
        for _ in range(steps):
            opt.zero_grad()
            (p.sin() * np.arange(6.0)).sum().backward()
            opt.step()

    straight = nn.Parameter(np.linspace(-1, 1, 6))
    opt = make([straight])
    train(straight, opt, 7)
    stopped, state = np.array(straight.data), opt.state_dict()
    train(straight, opt, 5)
    again = nn.Parameter(stopped)
    opt = make([again])
    opt.load_state_dict(state)
    train(again, opt, 5)
    np.testing.assert_array_equal(again.data, straight.data)


def test_a_state_of_another_optimiser_or_of_other_parameters_is_refused_and_changes_nothing() -> None:
    p, q = nn.Parameter([1.0]), nn.Parameter([1.0, 2.0])
    opt = Adam([p], lr=0.5)
    with pytest.raises(KeyError, match="one of SGD"):
        opt.load_state_dict(SGD([p], lr=0.1).state_dict())
    with pytest.raises(ValueError, match="parameters of other shapes"):
        opt.load_state_dict(Adam([q], lr=0.1).state_dict())
    assert opt.lr == 0.5


@pytest.mark.parametrize(("ours", "theirs"), OPTIMISERS.values(), ids=OPTIMISERS)
def test_parameters_without_a_gradient_on_some_steps_equal_pytorch(ours: Any, theirs: Any) -> None:
    rng = np.random.default_rng(0)
    starts = rng.standard_normal((3, 4))
    ps, ps_t = [nn.Parameter(a) for a in starts], [torch.tensor(a, requires_grad=True) for a in starts]
    opt, opt_t = ours(ps), theirs(ps_t)
    for n in range(20):
        if n == 11:  # stop, and go on with another
            state, opt = opt.state_dict(), ours(ps)
            opt.load_state_dict(state)
        for k, (p, p_t) in enumerate(zip(ps, ps_t, strict=True)):
            g = rng.standard_normal(4)
            idle = (k == 1 and n < 7) or (k == 2 and n % 3)
            p.grad, p_t.grad = (None, None) if idle else (g, torch.tensor(g))
        opt.step()
        opt_t.step()
    for p, p_t in zip(ps, ps_t, strict=True):
        np.testing.assert_allclose(p.data, p_t.detach().numpy(), rtol=1e-10)


def test_a_state_holds_the_kind_and_the_settings() -> None:
    p = nn.Parameter([1.0])
    for other in (AdamW([p]), SGD([p], lr=0.1), RMSprop([p])):
        with pytest.raises(KeyError, match=f"one of {type(other).__name__}"):
            Adam([p]).load_state_dict(other.state_dict())
    with pytest.raises(KeyError, match="one of Adagrad"):
        RMSprop([p]).load_state_dict(Adagrad([p]).state_dict())
    with pytest.raises(ValueError, match="for 2 parameters"):
        SGD([p], lr=0.1).load_state_dict(SGD([p, nn.Parameter([1.0])], lr=0.1).state_dict())
    plain, set_otherwise = AdamW([p]), AdamW([p], betas=(0.5, 0.6), eps=1e-3, weight_decay=0.7)
    plain.load_state_dict(set_otherwise.state_dict())
    assert (plain.betas, plain.eps, plain.weight_decay) == ((0.5, 0.6), 1e-3, 0.7)


@pytest.mark.parametrize(("make", "words"), [
    (lambda p: SGD(p, lr=0.1, momentum=1.0), r"momentum must lie in \[0, 1\)"),
    (lambda p: SGD(p, lr=0.1, nesterov=True), "nesterov looks ahead"),
    (lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, dampening=0.1), "dampening must be 0"),
    (lambda p: SGD(p, lr=0.1, dampening=1.0), r"dampening must lie in \[0, 1\)"),
    (lambda p: RMSprop(p, momentum=-0.1), "RMSprop: momentum"), (lambda p: Adam(p, weight_decay=-1.0), "weight_decay"),
    (lambda p: SGD(p, lr=0.1, weight_decay=-1.0), "weight_decay must be finite and not negative"),
    (lambda p: Adagrad(p, eps=-1.0), "Adagrad: eps"), (lambda p: RMSprop(p, eps=-1.0), "RMSprop: eps"),
    (lambda p: Adam(p, eps=-1.0), "Adam: eps"), (lambda p: Adam(p, betas=0.9), "Adam: betas are two numbers"),
    (lambda p: RMSprop(p, alpha=-0.1), "RMSprop: alpha"), (lambda p: Adam(p, betas=(0.9, 1.0)), "Adam: beta2"),
    (lambda p: AdamW(p, weight_decay=float("nan")), "AdamW: weight_decay"),
])
def test_settings_out_of_range_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make([nn.Parameter([1.0])])


def test_a_module_or_a_method_in_place_of_parameters_is_refused_with_what_to_write() -> None:
    net = nn.Linear(2, 1)
    for wrong, words in ((net, r"give module\.parameters\(\), not the module; got Linear"),
                         (nn.Sequential(net), r"give module\.parameters\(\), not the module; got Sequential"),
                         (net.parameters, r"give parameters\(\), with the brackets; got method"),
                         (net.V, ".*not a single node"), (3, "give a list of parameters; got int")):
        with pytest.raises(TypeError, match=f"Adam: {words}"):
            Adam(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=f"clip_grad_norm: {words}"):
            clip_grad_norm(wrong, 1.0)  # type: ignore[arg-type]
