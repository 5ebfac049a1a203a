"""Guards: the first number that is not finite is named where it is made; what changed is caught or does no harm."""

from __future__ import annotations

import contextlib
import inspect
import re
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import AnomalyError, Tensor, Value, nn
from tests.numerics import assert_same

INF, NAN = float("inf"), float("nan")


def here(after: int = 0) -> str:
    """The place of the caller's next lines, as messages give it."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f"{__file__}:{frame.f_back.f_lineno + after}"


def caught(f: Any) -> str:
    with pytest.raises(AnomalyError) as error, mg.detect_anomaly():
        f()
    return str(error.value)


# ------------------------------------------------------------------------------------------------ forward
@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda: Tensor([-1.0, 4.0, -1.0]).log(), r"log: \(3,\) made nan, 2 of 3 numbers not finite"),
        (lambda: Tensor([0.0]).log(), r"log: \(1,\) made -inf"),
        (lambda: Tensor([[1.0, 2.0]]) / 0.0, r"divide: \(1, 2\), 0.0 made inf, 2 of 2"),
        (lambda: Value(0.0).log(), r"log: 0.0 made -inf"),
        (lambda: Value(1e200) * 1e200, r"multiply: 1e\+200, 1e\+200 made inf"),
        (lambda: Value(2.0) ** 5000.0, r"power: 2.0, 5000.0 made inf"),
        (lambda: Tensor(np.full((2, 3), 1e200)) @ np.full((3, 1), 1e200), r"matmul: \(2, 3\), \(3, 1\) made inf"),
        (lambda: Tensor([1.0, 2.0]) * np.array([1.0, NAN]), r"multiply: .* made nan.*; operand 1 already held nan"),
        (lambda: Tensor([1.0, INF]) - Tensor([1.0, INF]), r"subtract: .*operand 0 already held inf.*operand 1"),
        (lambda: mg.concat([Tensor([1.0]), np.array([NAN])]), r"concat: \(1,\), \(1,\) made nan.*operand 1"),
        (lambda: mg.einsum("i,i->", Tensor([1.0, 1e200]), np.array([1.0, 1e200])), r"einsum: .*made inf"),
        (lambda: np.exp(Tensor([1000.0])), r"exp: \(1,\) made inf"),
    ],
)
def test_the_first_operation_that_makes_it_is_named_with_its_shapes(f: Any, words: str) -> None:
    assert re.match(words, caught(f))


def test_scope_step_and_line_of_user_code_are_named() -> None:
    line = here(2)
    with pytest.raises(AnomalyError) as error, mg.detect_anomaly(), mg.scope("decoder", step=7):
        Tensor([1.0, -1.0]).sqrt()
    assert str(error.value) == f"sqrt: (2,) made nan, 1 of 2 numbers not finite [in decoder, t=7, made at {line}]"


def test_a_nan_inside_an_unrolled_net_names_the_step_it_arose_in() -> None:
    xs = np.ones((6, 1, 3))
    xs[4, 0, 1] = NAN
    with pytest.raises(AnomalyError, match=r"^affine|^matmul|^add") as error, mg.detect_anomaly():
        nn.unroll(nn.LSTMCell(3, 4, rng=0), xs)
    assert "operand 0 already held nan" in str(error.value)


def test_the_line_is_the_innermost_one_outside_the_package() -> None:
    def cell(x: Any, h: Any) -> Any:
        return mg.log(h + x - 1.5)  # the line in question

    line = f"{__file__}:{cell.__code__.co_firstlineno + 1}"
    with pytest.raises(AnomalyError, match=re.escape(f"t=0, made at {line}]")), mg.detect_anomaly():
        nn.unroll(cell, np.ones((2, 1, 1)), Tensor([[0.0]]))


def test_it_does_not_warn_it_raises(recwarn: Any) -> None:
    caught(lambda: Tensor([-1.0]).log())
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_finite_computations_are_the_same_inside() -> None:
    def run() -> list[Any]:
        cell = nn.LSTMCell(3, 4, rng=0)
        x = Tensor(np.random.default_rng(0).standard_normal((5, 2, 3)))
        hs, _ = nn.unroll(cell, x)
        loss = (hs * hs).sum()
        (g,) = mg.grad(loss, [x], create_graph=True)
        (g * g).sum().backward()
        return [hs.data, g.data, x.grad, *(p.grad for p in cell.parameters())]

    outside = run()
    with mg.detect_anomaly():
        inside = run()
    for a, b in zip(inside, outside, strict=True):
        np.testing.assert_array_equal(a, b)


# ----------------------------------------------------------------------------------------------- backward
def test_a_gradient_that_is_not_finite_names_the_operation_and_the_line_that_made_the_node() -> None:
    with mg.detect_anomaly(), mg.scope("head", step=2):
        x = Tensor([0.0, 4.0])
        line = here(1)
        y = x.sqrt()
    with pytest.raises(AnomalyError) as error, mg.detect_anomaly(), np.errstate(divide="ignore"):
        y.sum().backward()
    assert str(error.value) == (
        "sqrt, backward: the gradient for input 0 holds inf, 1 of 2 numbers not finite "
        f"[in head, t=2, made at {line}]"
    )
    assert x.grad is None


@pytest.mark.parametrize("make", [Value, lambda x: Tensor([x])], ids=["Value", "Tensor"])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_backward_is_checked_on_both_kinds_of_node_and_in_both_modes(make: Any, create_graph: bool) -> None:
    x = make(0.0)
    y = x**0.5
    with pytest.raises(AnomalyError, match=r"power|divide|where"), mg.detect_anomaly():
        mg.grad(y if y.kind is Value else y.sum(), [x], create_graph=create_graph)


def test_a_bad_seed_is_said_to_have_come_from_the_loss() -> None:
    with mg.detect_anomaly():
        x = Tensor([1.0, 2.0])
        y = x * 3
        with pytest.raises(AnomalyError, match=r"multiply, backward: .*; nan.* had already arrived there from the l"):
            y.backward(np.array([1.0, NAN]))


def test_a_hook_that_returns_nan_is_found_at_the_next_operation() -> None:
    with mg.detect_anomaly():
        x = Tensor([1.0])
        h = x * 2
        h.register_hook(lambda g: g * NAN)
        with pytest.raises(AnomalyError, match=r"multiply, backward: the gradient for input 0 holds nan; .*already"):
            h.sum().backward()


def test_slices_and_products_are_checked_in_both_modes() -> None:
    """Their messages are put off, and must be looked at all the same."""
    for create_graph in (False, True):
        with mg.detect_anomaly():
            x, w = Tensor(np.ones((4, 2, 3))), Tensor(np.full((3, 3), 0.5))
            h: Any = x[0]
            for t in range(1, 4):
                h = (h @ w + x[t]).tanh()
            loss = (h * h).sum()
            gx, gw = mg.grad(loss, [x, w], create_graph=create_graph)
        again = mg.grad(loss, [x, w])
        assert_same(gx.data if create_graph else gx, again[0])
        assert_same(gw.data if create_graph else gw, again[1])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_branch_a_where_does_not_take_raises_forward_and_is_silent_backward() -> None:
    x = Tensor([0.0, 4.0])
    with mg.detect_anomaly():
        y = mg.where(x > 0, mg.sqrt(x), 0.0)  # sqrt(0) is finite, its slope is not
        y.sum().backward()
    assert_same(x.grad, [0.0, 0.25])


def test_outside_the_block_nothing_is_checked() -> None:
    with mg.detect_anomaly():
        pass
    with np.errstate(all="ignore"):
        x = Tensor([0.0])
        y = mg.log(x) + mg.sqrt(x)
        y.sum().backward()
    assert np.isinf(x.grad).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_checkpoints_name_the_operation_inside() -> None:
    def f(a: Any) -> Any:
        return mg.sqrt(a * 1.0)

    with mg.scope("net", step=3):
        y = mg.checkpoint(f, Tensor([0.0]))
    with pytest.raises(AnomalyError, match=r"sqrt, backward: .*holds inf \[in net, t=3"), mg.detect_anomaly():
        y.sum().backward()


# -------------------------------------------------------------------------- saved values that were changed
def test_no_array_of_a_node_can_be_written_to_by_any_way_in() -> None:
    x = Tensor(np.arange(6.0).reshape(2, 3))
    y = x * 2
    ways = [x.data, y.data, x.data[0], y.data[:, 1:], x.data.T, y.data.reshape(-1), x.reshape(3, 2).data, x.T.data,
            x[0].data, mg.broadcast_to(x, (2, 2, 3)).data, mg.split(y, 3, 1)[1].data, x.detach().data,
            mg.squeeze(mg.expand_dims(y, 0)).data, mg.flip(x).data, mg.astype(x, np.float64).data]
    writes = [
        lambda a: a.__setitem__(..., 100.0), lambda a: a.fill(7.0), lambda a: a.sort(), lambda a: np.copyto(a, 7.0),
        lambda a: np.put(a, 0, 7.0), lambda a: a.flat.__setitem__(0, 7.0), lambda a: np.add.at(a, 0, 7.0),
        lambda a: np.place(a, a > 0, 7.0), lambda a: np.multiply(1.0, 2.0, out=a), lambda a: np.putmask(a, a > 0, 7.0),
        lambda a: np.random.default_rng(0).shuffle(a), lambda a: memoryview(a).cast("B").__setitem__(0, 7),
        lambda a: np.put_along_axis(a, np.zeros((1,) * a.ndim, int), 7.0, 0),
    ]  # fmt: skip
    for array in ways:
        for write in writes:
            with pytest.raises((ValueError, TypeError), match=r"read-?only|must be writ|not writ|C-contiguous"):
                write(array)
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        x.data[0].flags.writeable = True
    for node in (x, y):
        for change in (np.ndarray.__iadd__, np.ndarray.__imul__):
            with contextlib.suppress(ValueError):  # `a += 1` may make a new array, but may not write
                change(node.data, np.asarray(3.0))
    assert_same(x.data, np.arange(6.0).reshape(2, 3))
    assert_same(y.data, np.arange(6.0).reshape(2, 3) * 2)
    assert_same(mg.grad((y * y).sum(), x), 8 * x.data)


CHANGES: dict[str, Any] = {
    "written to": lambda a, view: a.__setitem__(slice(None), 99.0),
    "added to": lambda a, view: a.__iadd__(99.0),
    "written to through a view": lambda a, view: view.__setitem__(slice(None), 99.0),
    "written to by a ufunc": lambda a, view: np.multiply(a, 0.0, out=a),
    "filled": lambda a, view: a.fill(99.0),
    "sorted": lambda a, view: a.sort(),
    "copied to": lambda a, view: np.copyto(a, 99.0),
    "put to": lambda a, view: np.put(a, [0], 99.0),
    "shuffled": lambda a, view: np.random.default_rng(0).shuffle(a),
    "written to through its memory": lambda a, view: memoryview(a).cast("B").__setitem__(0, 7),
    "set through flat": lambda a, view: a.flat.__setitem__(0, 99.0),
    "scaled": lambda a, view: a.__imul__(0.5),
}
USES: dict[str, Any] = {
    "leaf": lambda x, a: Tensor(a) * x,
    "operand": lambda x, a: x * a,
    "operand, first": lambda x, a: a / x,
    "operand, reversed view": lambda x, a: x * a[::-1],
    "product": lambda x, a: mg.sum(x * a) * mg.sum(a * x),
    "matmul": lambda x, a: mg.matmul(x, a),
    "affine": lambda x, a: mg.affine(mg.reshape(x, (1, 3)), np.ones((3, 3)), a) * a,
    "concat": lambda x, a: mg.concat([x, a]) * mg.concat([a, x]),
    "where": lambda x, a: mg.where(a > 1.5, x * x, x),
    "condition": lambda x, a: mg.where(a > 1.5, x, a * x),
    "clip": lambda x, a: mg.clip(x, a_max=a) * x,
    "maximum": lambda x, a: mg.maximum(x, a) ** 2,
    "power": lambda x, a: x**a,
    "einsum": lambda x, a: mg.einsum("i,i->", x, a),
    "index_update": lambda x, a: mg.index_update(a, slice(0, 2), x[:2]) * x,
    "checkpoint": lambda x, a: mg.checkpoint(lambda v, b: v * b, x, a),
    "detached": lambda x, a: Tensor(a).detach() * x,
    "a step of a cell": lambda x, a: nn.unroll(lambda v, h: (h * v).tanh(), a.reshape(1, 3), x)[0],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("use", USES)
def test_the_callers_array_is_never_locked_and_its_changes_do_no_harm(use: str, change: str) -> None:
    expected: Any = None
    for change_it in (False, True):
        x, base = Tensor([1.3, 2.1, 0.7]), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        a = base[0]
        y = USES[use](x, a)
        second = mg.grad((y * y).sum(), x, create_graph=True)
        if change_it:
            CHANGES[change](a, base[0, :])
        g = mg.grad((y * y).sum(), x)
        h = mg.grad(second.sum(), x)
        assert a.flags.writeable
        assert base.flags.writeable
        if expected is None:
            expected = (g, h)
    np.testing.assert_array_equal(g, expected[0])
    np.testing.assert_array_equal(h, expected[1])


def test_a_read_only_array_with_a_writable_view_elsewhere_does_no_harm() -> None:
    a = np.array([1.0, 2.0])
    view = a[:]
    a.flags.writeable = False
    x = Tensor([1.0, 1.0])
    y, leaf, updated = x * a, Tensor(a), Tensor([0.0, 0.0])
    updated.data = a
    z = updated * x
    view[:] = 99.0
    assert_same(mg.grad(y.sum(), x), [1, 2])
    assert_same(leaf.data, [1, 2])
    assert_same(mg.grad(z.sum(), x), [1, 2])
    a.flags.writeable = True  # the caller's own; not ours to lock


@pytest.mark.parametrize("make", [Value, lambda x: Tensor([x])], ids=["Value", "Tensor"])
@pytest.mark.parametrize("way", ["backward", "grad", "create_graph", "a target further down", "observe", "keep"])
def test_rebinding_data_between_forward_and_backward_is_caught(make: Any, way: str) -> None:
    x, w = make(1.5), make(2.0)
    with mg.scope("net", step=4):
        h = x * w
    y = h.tanh() if make is Value else h.tanh().sum()
    w.data = w.data + 1.0
    differentiate = {
        "backward": y.backward,
        "grad": lambda: mg.grad(y, [x, w]),
        "create_graph": lambda: mg.grad(y, [x, w], create_graph=True),
        "a target further down": lambda: mg.grad(y, w),
        "observe": lambda: mg.backward(y, observe=lambda *message: None),
        "keep": lambda: mg.backward(y, keep=lambda node, k: True),
    }[way]
    with pytest.raises(RuntimeError, match=r"multiply: the data of input 1 was changed .*\[in net, t=4\].*Call back"):
        differentiate()
    assert not x.grad
    assert not w.grad


def test_rebinding_to_an_equal_array_is_caught_too() -> None:
    """It is another forward pass's value; that it is equal is chance."""
    w = Tensor([2.0])
    y = (w * w).sum()
    w.data = np.array([2.0])
    with pytest.raises(RuntimeError, match="was changed"):
        y.backward()


@pytest.mark.parametrize("make", [mg.optim.SGD, mg.optim.Adam], ids=lambda optimiser: optimiser.__name__)
def test_an_optimiser_step_taken_too_early_is_caught(make: Any) -> None:
    cell, xs = nn.LSTMCell(2, 3, rng=0), np.ones((4, 1, 2))
    optimiser = make(cell.parameters(), lr=0.1)
    nn.unroll(cell, xs)[0].sum().backward()
    late = nn.unroll(cell, xs)[0].sum()
    optimiser.step()
    kept = [np.array(p.grad) for p in cell.parameters()]
    with pytest.raises(RuntimeError, match="Call backward\\(\\) before the update"):
        late.backward()
    for p, g in zip(cell.parameters(), kept, strict=True):
        np.testing.assert_array_equal(p.grad, g)


def test_a_recorded_gradient_of_changed_parameters_is_caught() -> None:
    w = Tensor([2.0])
    (g,) = mg.grad((w**3).sum(), [w], create_graph=True)
    w.data = np.array([5.0])
    with pytest.raises(RuntimeError, match="was changed"):
        mg.grad(g.sum(), w)


def test_returned_gradients_are_the_users_to_change() -> None:
    x, z = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    y = (x * z + x).sum()
    y.backward()
    first = mg.grad(y, x)
    x.grad *= 100.0
    first[:] = -1.0
    x.grad = None
    y.backward()
    assert_same(x.grad, z.data + 1)
    assert_same(z.grad, 2 * x.data)
    assert_same(mg.grad(y, x), z.data + 1)


def test_in_place_operators_make_a_new_node() -> None:
    x = Tensor([1.0, 2.0])
    t = x * 2
    old = t
    y = (t * t).sum()
    t += 1
    t *= 3
    t -= x
    t /= 2
    t **= 2
    t @= np.eye(2)
    assert t is not old
    assert_same(old.data, [2.0, 4.0])
    assert_same(mg.grad(y, x), 8 * x.data)
    inner = ((2 * x.data + 1) * 3 - x.data) / 2
    assert_same(mg.grad(t.sum(), x), 2 * inner * 2.5)
    for a in (np.ones(2), np.ones((2, 2))):
        with pytest.raises(TypeError, match="out="):
            a += x


@pytest.mark.parametrize("past", ["setflags", "dlpack", "from_numpy"])
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("computed", [False, True])
def test_what_is_written_past_the_freeze_is_found_in_anomaly_mode(past: str, computed: bool) -> None:
    with mg.detect_anomaly():
        w = Tensor([1.0, 2.0])
        h = w * 3.0
        loss = (h * h).sum()
        loss.backward()
        data = (h if computed else w).data
        if past == "setflags":
            raw: Any = data.base
            raw.setflags(write=True)
        else:
            torch = pytest.importorskip("torch")
            raw = torch.from_numpy(data.view(np.ndarray)) if past == "from_numpy" else torch.from_dlpack(data.base)
        raw[0] = 9.0
        with pytest.raises(RuntimeError, match=r"written to after the forward pass.*copy\(\)"):
            loss.backward()
