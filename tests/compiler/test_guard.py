"""What a compiled function closes over is read anew, or traced anew: it is never stale, and caches have an end."""

from __future__ import annotations

import dataclasses
import functools
import gc
import inspect
import linecache
import math
import traceback
import types
import warnings
import weakref
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn
from microgradrnn.compiler.errors import TraceError
from microgradrnn.compiler.function import MOST
from microgradrnn.compiler.guard import Watch, snapshot
from microgradrnn.compiler.straight import executed

FACTOR = 2.0
RNG = np.random.default_rng(0)


@dataclasses.dataclass(frozen=True)
class Frozen:
    k: Any


@dataclasses.dataclass
class Settings:
    k: float
    table: dict[str, Any]


class WithSlots:
    __slots__ = ("k",)

    def __init__(self, k: float) -> None:
        self.k = k


class Scaled:
    factor = 1.0

    def __init__(self) -> None:
        self.k = 2.0
        self.w = Value(3.0)

    def __call__(self, x: Any) -> Any:
        return self.k * x * self.w * self.factor


# ------------------------------------------------------------------------------------------- numbers, arrays, objects
def read_again(f: Callable[..., Any], change: Callable[[], Any], x: Any = 1.0) -> None:
    """A compiled function gives what the function itself gives, before and after a change."""
    compiled = mg.compile(f)
    for k in range(3):
        if k:
            change()
        for _ in range(2):
            np.testing.assert_array_equal(np.asarray(getattr(compiled(x), "data", compiled(x))),
                                          np.asarray(getattr(f(x), "data", f(x))))  # fmt: skip


def test_a_number_closed_over_is_read_anew() -> None:
    k = 2.0

    def change() -> None:
        nonlocal k
        k += 1

    read_again(lambda x: x * k, change)


def test_a_global_number_is_read_anew() -> None:
    def change() -> None:
        global FACTOR
        FACTOR += 1

    read_again(lambda x: x * FACTOR, change)


def test_an_array_changed_in_place_is_read_anew() -> None:
    a = np.ones(2)

    def change() -> None:
        a[0] += 1

    read_again(lambda x: (x * a).sum(), change)
    inside: Any = {"list": [a, {"deep": a}]}
    read_again(lambda x: (x * inside["list"][1]["deep"]).sum(), change)


def test_defaults_and_attributes_of_objects_are_read_anew() -> None:
    def scaled(x: Any, k: Any = 2.0, *, m: Any = 3.0) -> Any:
        return x * k * m

    f: Any = scaled

    def change() -> None:
        f.__defaults__ = (f.__defaults__[0] + 1,)
        f.__kwdefaults__["m"] += 1

    read_again(f, change)
    settings = Settings(2.0, {"a": 1.0})

    def other() -> None:
        settings.k += 1
        settings.table["a"] *= 2

    read_again(lambda x: x * settings.k * settings.table["a"], other)


def test_methods_and_callable_objects_follow_their_object() -> None:
    for bound in (False, True):
        scaled = Scaled()

        def change(scaled: Any = scaled) -> None:
            scaled.k += 1
            scaled.w = Value(scaled.w.data + 1)

        read_again(scaled.__call__ if bound else scaled, change)


def test_functions_inside_functions_are_followed() -> None:
    ks = [2.0]

    def wraps(f: Any) -> Any:
        @functools.wraps(f)
        def inner(*xs: Any) -> Any:
            return f(*xs) * ks[0]

        return inner

    @wraps
    def f(x: Any) -> Any:
        return x * FACTOR

    read_again(f, lambda: ks.__setitem__(0, ks[0] + 1))
    g = mg.compile(f)
    read_again(lambda x: g(x) + 1, lambda: ks.__setitem__(0, ks[0] + 1))


def test_signs_of_zero_and_nans_count() -> None:
    k = [0.0]
    f = mg.compile(lambda x: mg.arctan2(k[0], x))
    assert f(-1.0) == math.pi
    k[0] = -0.0
    assert f(-1.0) == -math.pi
    k[0] = math.nan
    assert math.isnan(f(-1.0))
    assert math.isnan(f(-1.0))
    assert len(f.traces) == 3


STALE = "not in the snapshot: it is stale"
MODULE = types.ModuleType("settings_of_somebody")
MODULE.k = 2.0  # type: ignore[attr-defined]


def test_a_number_in_another_module_is_read_anew() -> None:
    read_again(lambda x: x * MODULE.k, lambda: setattr(MODULE, "k", MODULE.k + 1))


def test_an_attribute_of_a_class_is_read_anew() -> None:
    read_again(lambda x: x * Scaled.factor, lambda: setattr(Scaled, "factor", Scaled.factor + 1))


def test_an_attribute_of_the_class_of_an_object_is_read_anew() -> None:
    read_again(Scaled(), lambda: setattr(Scaled, "factor", Scaled.factor + 1))


def test_an_object_with_slots_is_read_anew() -> None:
    s = WithSlots(2.0)
    read_again(lambda x: x * s.k, lambda: setattr(s, "k", s.k + 1))


def test_an_attribute_of_a_function_is_read_anew() -> None:
    def f(x: Any) -> Any:
        return x * f.k  # type: ignore[attr-defined]

    f.k = 2.0  # type: ignore[attr-defined]
    read_again(f, lambda: setattr(f, "k", f.k + 1))  # type: ignore[attr-defined]


READ = [2.0]


class Reads:
    @staticmethod
    def by_static_method() -> float:
        return READ[0]

    @classmethod
    def by_class_method(cls) -> float:
        return READ[0]

    @property
    def by_property(self) -> float:
        return READ[0]


class ReadsInAMethod:
    def by_method(self) -> float:
        return READ[0]


READS, READS_IN_A_METHOD = Reads(), ReadsInAMethod()


@pytest.mark.parametrize("read", [
    pytest.param(lambda: READS.by_static_method(), id="static method"),
    pytest.param(lambda: READS.by_class_method(), id="class method"),
    pytest.param(lambda: READS.by_property, id="property"),
    pytest.param(lambda: READS_IN_A_METHOD.by_method(), id="method"),
])  # fmt: skip
def test_what_the_methods_of_an_object_read_is_read_anew(read: Any) -> None:
    read_again(lambda x: x * read(), lambda: READ.__setitem__(0, READ[0] + 1))


@pytest.mark.parametrize("made", [lambda: deque([2.0]), lambda: array("d", [2.0])], ids=["deque", "array.array"])
def test_other_containers_are_read_anew(made: Any) -> None:
    held = made()
    read_again(lambda x: x * held[0], lambda: held.__setitem__(0, held[0] + 1))


@pytest.mark.parametrize("base", [list, dict])
def test_attributes_of_lists_and_dicts_of_ones_own_are_read_anew(base: Any) -> None:
    held = type("Own", (base,), {})()
    held.k = 2.0
    read_again(lambda x: x * held.k, lambda: setattr(held, "k", held.k + 1))


def test_a_list_that_holds_itself_is_no_endless_walk() -> None:
    held: list[Any] = [2.0]
    held.append(held)
    read_again(lambda x: x * held[0], lambda: held.__setitem__(0, held[0] + 1))


def test_a_deep_structure_is_no_error() -> None:
    held: list[Any] = [2.0]
    for _ in range(3000):
        held = [held]
    assert mg.compile(lambda x: x * len(held))(3.0) == 3.0


def test_keys_of_a_dict_are_told_apart() -> None:
    d: dict[Any, float] = {1: 2.0, "1": 3.0}

    def change() -> None:
        a, b = d[1], d["1"]
        d.clear()
        d["1"], d[1] = a, b

    read_again(lambda x: x * d[1], change)


# ------------------------------------------------------------------------------------------------------------- nodes
def test_rebound_data_are_read_anew_without_a_new_trace() -> None:
    w = Tensor([1.0, 2.0])
    f = mg.compile(lambda x: (x * mg.exp(w * w)).sum())
    for k in range(4):
        w.data = np.array([0.1, 0.2]) * k
        y = f(3.0)
        assert y.item() == pytest.approx(3 * np.exp(w.data**2).sum())
        w.zero_grad()
        y.backward()
        np.testing.assert_allclose(w.grad, 6 * w.data * np.exp(w.data**2))
    assert len(f.traces) == 1


@pytest.mark.parametrize("f", [
    lambda x, w: x * w.item(), lambda x, w: x * float(w), lambda x, w: x * 2 if w > 0 else x * 3,
    lambda x, w: x * w.data, lambda x, w: x * round(w, 1), lambda x, w: mg.sort(np.ones(3) * w) * x,
    lambda x, w: w[int(np.argmax(w))] * x,
], ids=["item", "float", "if", "data", "round", "sort", "argmax"])  # fmt: skip
def test_looking_at_the_numbers_of_a_node_closed_over_is_refused(f: Any) -> None:
    w = Tensor([2.0])
    with pytest.raises(TraceError):
        mg.compile(lambda x: f(x, w) + w[int(w > 1)])(1.0)


@pytest.mark.parametrize("f", [
    lambda x, w: x * w.detach(), lambda x, w: mg.where(w > 0, x, -x), lambda x, w: mg.clip(w, 0.5, 1.0) * x,
], ids=["detach", "where", "clip"])  # fmt: skip
def test_choosing_by_a_node_closed_over_is_never_stale(f: Any) -> None:
    w = Value(2.0)

    def change() -> None:
        w.data = -0.7 * w.data

    read_again(lambda x: f(x, w), change)


def test_another_node_in_its_place_is_found() -> None:
    box = [Tensor([1.0])]
    f = mg.compile(lambda x: (x * box[0]).sum())
    for k in range(3 * MOST):
        box[0] = Tensor([float(k)])
        gc.collect(0)
        y = f(2.0)
        y.backward()
        assert y.item() == 2 * k
        np.testing.assert_array_equal(box[0].grad, [2.0])
    assert len(f.traces) == MOST


def test_requires_grad_may_be_switched() -> None:
    w = Tensor([1.0, 2.0])
    f = mg.compile(lambda x: (x * w).sum())
    assert f(2.0).requires_grad
    w.requires_grad = False
    assert not f(2.0).requires_grad
    w.requires_grad = True
    f(2.0).backward()
    np.testing.assert_array_equal(w.grad, [2.0, 2.0])


def test_computed_nodes_closed_over_pass_their_gradient_on() -> None:
    for kind in (Value, Tensor):
        w: Any = kind(2.0)
        u = w * 3
        f = mg.compile(lambda x, u=u: x * u)
        y = f(kind(4.0))
        y.backward()
        assert (y.item(), w.grad) == (24.0, 12.0)


def test_nodes_made_inside_are_constants() -> None:
    f = mg.compile(lambda x: x * Value(3.0) + Value(2.0))
    x = Value(2.0)
    f(x).backward()
    assert x.grad == 3.0
    assert f.value_and_grad(2.0) == (8.0, (3.0,))
    g = mg.compile(lambda x: (x * Tensor([3.0, 1.0])).sum() + Tensor(2.0) * Tensor(3.0))
    assert g.value_and_grad(2.0) == (14.0, (4.0,))


def test_an_optimiser_makes_the_same_steps() -> None:
    xs, ts = RNG.standard_normal((4, 3)), RNG.standard_normal((4, 2))
    results = []
    for wrap in (lambda f: f, mg.compile):
        layer = nn.Linear(3, 2, rng=0)
        optimiser = mg.optim.Adam(layer.parameters(), lr=0.1)
        loss = wrap(lambda x, t, layer=layer: mg.square(layer(x) - t).mean())
        for _ in range(10):
            optimiser.zero_grad()
            loss(xs, ts).backward()
            optimiser.step()
        results.append([p.data for p in layer.parameters()])
    assert len(loss.traces) == 1
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_a_replaced_parameter_is_the_one_that_learns() -> None:
    cell = nn.RNNCell(2, 3, rng=0)
    f = mg.compile(cell)
    x, h = np.ones((1, 2)), np.zeros((1, 3))
    f(x, h)
    old, cell.U = cell.U, nn.Parameter(2 * cell.U.data)
    y = f(x, h)
    np.testing.assert_allclose(y.data, cell(x, h).data, rtol=1e-14)
    y.sum().backward()
    assert old.grad is None
    assert cell.U.grad is not None




@pytest.mark.parametrize("make", [
    pytest.param(float, id="a number"), pytest.param(lambda k: np.array([k]), id="an array"),
    pytest.param(lambda k: Tensor([k]), id="a node"),
])  # fmt: skip
def test_a_closure_that_changed_before_the_function_unfolds_is_an_error(make: Any) -> None:
    k = [make(1.0)]
    x = Tensor([1.0, 2.0])
    y = mg.compile(lambda x: (x * x * k[0]).sum())(x * 1.0)
    k[0] = make(100.0)
    try:
        g = mg.grad(y, x, create_graph=True).data
    except RuntimeError:
        return
    np.testing.assert_array_equal(g, [2.0, 4.0])


# --------------------------------------------------------------------------------------- functions, partials, caches
def test_lambdas_made_in_a_loop_are_told_apart() -> None:
    assert [mg.compile(lambda x, k=k: x * k)(1.0) for k in range(4)] == [0.0, 1.0, 2.0, 3.0]
    f = mg.compile(lambda x, g: g(x))
    for k in range(5 * MOST):
        assert f(1.0, lambda x, k=k: x * k) == k
        assert f(1.0, eval(f"lambda x: x * {k}.5")) == k + 0.5
    assert len(f.traces) == MOST


def test_partials_are_followed() -> None:
    w, ks = Value(2.0), [3.0]
    f = mg.compile(functools.partial(lambda a, x, b: a * b[0] * x, w, b=ks))
    f(1.0).backward()
    assert w.grad == 3.0
    ks[0] = 5.0
    w.zero_grad()
    f(1.0).backward()
    assert w.grad == 5.0
    assert f.value_and_grad(2.0) == (20.0, (10.0,))


def test_frozen_dataclasses_as_arguments() -> None:
    f = mg.compile(lambda x, s: x * s.k)
    assert [f(1.0, Frozen(k)) for k in (2.0, 3.0, 2.0)] == [2.0, 3.0, 2.0]
    w = Value(3.0)
    f(2.0, Frozen(w)).backward()
    assert w.grad == 2.0


def test_an_object_that_is_gone_is_not_taken_for_the_next_one() -> None:
    box: list[Any] = [None]
    f = mg.compile(lambda x: x * box[0].k)
    for k in range(50):
        box[0] = None
        box[0] = WithSlots(float(k))
        assert f(1.0) == k


def test_the_oldest_trace_goes_first() -> None:
    f = mg.compile(lambda x, n: x * n)
    for n in range(MOST):
        f(1.0, n)
    first = next(iter(f.traces.values()))
    f(1.0, 0)  # used again, so that it stays
    f(1.0, MOST)
    assert first in f.traces.values()
    assert len(f.traces) == MOST


def test_the_arrays_of_the_first_call_are_let_go() -> None:
    f, a = mg.compile(lambda x: x * 2), np.ones(3)
    f(a)
    there = weakref.ref(a)
    del a
    gc.collect()
    assert there() is None


def test_value_and_grad_adds_to_no_gradient() -> None:
    w = Tensor([1.0, 2.0])
    for x in (np.array([0.0, 4.0]), np.ones(2)):  # the first one goes to the tape
        mg.compile(lambda x: mg.where(x > 0, mg.sqrt(x) * w, x).sum()).value_and_grad(x)
    assert w.grad is None


def test_an_error_in_compiled_code_shows_its_own_line() -> None:
    for line in ("    return x / 0\n", "    return x % 0\n"):
        f = executed(f"def f(x):\n{line}", {})["f"]
        with pytest.raises(ZeroDivisionError) as caught:
            f(1)
        shown = "".join(traceback.format_exception(caught.value))
        assert 'File "compiled function ' in shown
        assert line.strip() in shown


def test_a_warning_in_compiled_code_shows_its_own_line() -> None:
    for line in ("return a / (b - b)", "return (a - a) / (b - b)"):
        f = executed(f"def f(a, b):\n    c = 1\n    {line}\n", {})["f"]
        with pytest.warns(RuntimeWarning) as caught:
            f(np.ones(2), np.ones(2))
        shown = warnings.formatwarning(caught[0].message, caught[0].category, caught[0].filename, caught[0].lineno)
        assert ":3: RuntimeWarning: " in shown
        assert shown.endswith(f"  {line}\n")


def test_the_source_of_compiled_code_is_its_own() -> None:
    source = "def f(x):\n    return x / 0\n"
    f = executed(source, {})["f"]
    assert inspect.getsource(f) == source
    with pytest.raises(ZeroDivisionError) as caught:
        f(1)
    assert "return x / 0" in "".join(traceback.format_exception(caught.value))
    linecache.checkcache()
    assert inspect.getsource(f) == source


def test_a_trace_that_is_forgotten_takes_no_line_from_one_who_goes_through_the_cache_of_lines() -> None:
    """As `linecache.checkcache` does, for every traceback and every doctest; the collector may run at any moment."""
    f = mg.compile(lambda x, n: x * n + n)
    f(1.0, 0)
    names = list(linecache.cache)
    for n in range(5 * MOST):
        f(1.0, n)
    del f
    gc.collect()
    assert all(name in linecache.cache for name in names)


def test_the_source_of_forgotten_traces_is_let_go() -> None:
    f = executed("def f(x):\n    return x\n", {})["f"]
    file, there = f.__code__.co_filename, weakref.ref(f.__globals__["__source__"])
    assert there() is not None
    del f
    gc.collect()
    assert there() is None
    assert linecache.getlines(file) == []


def test_a_call_of_the_inner_function_does_not_make_the_outer_trace_out_of_date() -> None:
    g = mg.compile(lambda x: x * x)
    f = mg.compile(lambda x: g(x) + 1)
    f(1.0)
    for n in range(4):
        g(np.ones(n))
        f(1.0)
    assert len(f.traces) == 1


# ------------------------------------------------------------------------------------------------- watches
def rename(owner: Any, old: str, new: str) -> None:
    """Give an attribute another name, and keep its place."""
    own = {new if name == old else name: value for name, value in vars(owner).items()}
    vars(owner).clear()
    vars(owner).update(own)


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "an attribute": (Scaled, lambda s: setattr(s, "k", 3.0)),
    "an equal attribute of another type": (Scaled, lambda s: setattr(s, "k", 2)),
    "the name of an attribute": (Scaled, lambda s: rename(s, "k", "n")),
    "one attribute more": (Scaled, lambda s: setattr(s, "n", 3.0)),
    "requires_grad": (Scaled, lambda s: setattr(s.w, "requires_grad", False)),
    "another node": (Scaled, lambda s: setattr(s, "w", Value(3.0))),
    "a parameter of a cell": (lambda: nn.RNNCell(2, 3, rng=0), lambda c: setattr(c, "W", nn.Parameter(c.W.data))),
    "a bias of a cell": (lambda: nn.RNNCell(2, 3, rng=0), lambda c: setattr(c, "b", None)),
    "an item of a list": (lambda: [1.0, [2.0]], lambda x: x[1].append(3.0)),
    "an equal list, then an item of it": (lambda: [[2.0]], lambda x: (x.__setitem__(0, [2.0]), x[0].append(3.0))),
    "an item of a dict": (lambda: {"a": [2.0]}, lambda x: x["a"].clear()),
    "a number in an array": (lambda: [np.zeros(2)], lambda x: x[0].fill(1.0)),
    "a slot": (lambda: WithSlots(2.0), lambda s: setattr(s, "k", [2.0])),
    "an object inside": (lambda: Settings(1.0, {"x": Settings(2.0, {})}), lambda s: setattr(s.table["x"], "k", 3.0)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_watch_sees_what_a_snapshot_sees(name: str) -> None:
    make, change = CHANGES[name]
    thing = make()
    watch = Watch(thing)
    before = watch.snapshot()
    assert before == watch.snapshot() == snapshot(thing)
    change(thing)
    assert watch.snapshot() == snapshot(thing)
    assert watch.snapshot() != before
    assert watch.snapshot() == snapshot(thing)


def test_a_watch_keeps_its_snapshot() -> None:
    watch = Watch(nn.LSTMCell(2, 3, rng=0))
    assert watch.snapshot() is watch.snapshot()
