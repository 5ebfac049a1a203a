"""Threads, tasks, generators: each has its own graph, its own place, and leaves no trace in the others'."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import microgradrnn as mg
from microgradrnn import AnomalyError, Tensor, Value, nn
from microgradrnn.engine.scope import LEFT_ELSEWHERE, SCOPE


def place() -> tuple[Any, ...]:
    """What is in force here."""
    s = SCOPE.get()
    return s.path, s.step, s.recording, s.anomaly


OUTSIDE = ((), None, True, False)


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    assert place() == OUTSIDE
    yield
    assert place() == OUTSIDE
    assert SCOPE.get().outer is None


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Each in a thread of its own, all started at once."""
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        start.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(run, job) for job in jobs]]


def train(seed: int) -> list[np.ndarray]:
    """Some steps of training an LSTM, with everything on: its parameters at the end."""
    rng = np.random.default_rng(seed)
    layer = nn.LSTM(3, 4, rng=seed)
    optimiser = mg.optim.SGD(layer.parameters(), lr=0.05)
    for _ in range(8):
        with mg.scope(f"net{seed}"):
            hs, _ = layer(rng.standard_normal((6, 2, 3)))
            loss = mg.square(hs).sum() + mg.checkpoint(mg.tanh, hs).sum()
        with mg.no_grad():
            assert not (hs * 2).requires_grad
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return [np.array(p.data) for p in layer.parameters()]


def test_nets_trained_in_threads_are_those_trained_alone() -> None:
    alone = [train(seed) for seed in range(4)]
    for _ in range(3):
        for ours, expected in zip(together(*[lambda s=s: train(s) for s in range(4)]), alone, strict=True):
            for a, b in zip(ours, expected, strict=True):
                np.testing.assert_array_equal(a, b)


def test_scalar_graphs_in_threads_do_not_mix() -> None:
    def run(k: int) -> float:
        x = Value(0.1 * (k + 1))
        y = x
        for _ in range(500):
            y = (y * x + x).tanh()
        (slope,) = mg.grad(y, [x], create_graph=True)
        slope.backward()
        return float(x.grad)

    alone = [run(k) for k in range(4)]
    assert together(*[lambda k=k: run(k) for k in range(4)]) == alone


def test_one_graph_may_be_differentiated_by_several_threads_at_once() -> None:
    rng = np.random.default_rng(0)
    cell, x = nn.GRUCell(3, 4, rng=0), Tensor(rng.standard_normal((20, 2, 3)))
    hs, _ = nn.unroll(cell, x)
    loss = mg.square(hs).sum()
    targets = [x, *cell.parameters()]
    alone = mg.grad(loss, targets)
    for gradients in together(*[lambda: mg.grad(loss, targets)] * 4):
        for a, b in zip(gradients, alone, strict=True):
            np.testing.assert_array_equal(a, b)


def test_serial_numbers_are_never_given_twice() -> None:
    def serials() -> list[int]:
        return [Value(1.0).serial for _ in range(3000)]

    numbers = [n for some in together(*[serials] * 4) for n in some]
    assert len(set(numbers)) == len(numbers)


def test_settings_belong_to_one_thread() -> None:
    """One thread sits inside every block while the other computes, and the other way round."""
    inside, looked = threading.Event(), threading.Event()

    def first() -> Any:
        with mg.scope("first", step=1), mg.no_grad(), mg.detect_anomaly():
            inside.set()
            assert looked.wait(10)
            return place(), (Value(1.0) * 2).requires_grad

    def second() -> Any:
        assert inside.wait(10)
        seen = place(), (Value(1.0) * 2).requires_grad, mg.log(Value(0.0)).data
        with mg.scope("second"):
            looked.set()
        return seen

    assert together(first, second) == [((("first",), 1, False, True), False), (OUTSIDE, True, -np.inf)]


CONTEXTS = [lambda: mg.scope("s", step=3), mg.no_grad, mg.enable_grad, mg.detect_anomaly]
every_context = pytest.mark.parametrize("context", CONTEXTS, ids=["scope", "no_grad", "enable_grad", "detect_anomaly"])
INSIDE = {0: (("s",), 3, True, False), 1: ((), None, False, False), 2: OUTSIDE, 3: ((), None, True, True)}


@every_context
def test_a_block_ends_however_it_is_left(context: Any) -> None:
    within = INSIDE[CONTEXTS.index(context)]
    for error in (ValueError, KeyboardInterrupt, GeneratorExit, SystemExit):
        def leave(error: Any = error) -> None:
            with context():
                assert place() == within
                raise error

        with pytest.raises(error):
            leave()
        assert place() == OUTSIDE
    for _ in range(3):
        with context():
            break
    assert place() == OUTSIDE


@every_context
def test_one_object_may_be_entered_again_and_again(context: Any) -> None:
    block = context()
    with block, block:
        with block:
            pass
        assert place() is not None
    assert place() == OUTSIDE


def test_blocks_nest() -> None:
    with mg.no_grad():
        with mg.enable_grad():
            assert place()[2]
            with mg.no_grad():
                assert not place()[2]
            assert place()[2]
        assert not place()[2]
        with mg.scope("a"), mg.scope("b", step=2), mg.detect_anomaly():
            assert place() == (("a", "b"), 2, False, True)


@pytest.fixture
def threads_change_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("threads_change_often")
@pytest.mark.parametrize("leaf", [lambda: Value(1.0), lambda: Tensor(np.ones((30, 40)))], ids=["Value", "Tensor"])
@pytest.mark.parametrize("create_graph", [False, True], ids=["", "create_graph"])
def test_threads_that_share_a_leaf_lose_no_gradient(leaf: Callable[[], Any], create_graph: bool) -> None:
    w = leaf()

    def passes() -> None:
        for _ in range(100):
            loss = w * 2.0 if isinstance(w, Value) else (w * 2.0).sum()
            loss.backward(create_graph=create_graph)

    together(*[passes] * 8)
    np.testing.assert_array_equal(w.grad.data if create_graph else w.grad, np.full(np.shape(w.data), 1600.0))


def test_only_one_thread_at_a_time_adds_to_a_leaf() -> None:
    class Slow(Tensor):
        """A leaf that takes its time between reading its gradient and writing it back."""

        def accumulate(self, g: Any) -> None:
            before = 0.0 if self.grad is None else self.grad
            time.sleep(0.002)
            self.grad = before + g

    w = Slow([1.0, 2.0])
    together(*[lambda: [(w * 3.0).sum().backward() for _ in range(5)]] * 4)
    np.testing.assert_array_equal(w.grad, [60.0, 60.0])


@pytest.mark.usefixtures("threads_change_often")
def test_threads_that_share_a_net_get_the_gradient_of_all_their_batches() -> None:
    net, batches = nn.LSTM(3, 4, rng=0), np.random.default_rng(0).standard_normal((8, 10, 5, 2, 3))

    def passes(k: int) -> None:
        for xs in batches[k]:
            mg.square(net(xs)[0]).sum().backward()

    def gradients() -> list[np.ndarray]:
        found = [p.grad for p in net.parameters()]
        for p in net.parameters():
            p.zero_grad()
        return found

    for k in range(8):
        passes(k)
    alone = gradients()
    together(*[lambda k=k: passes(k) for k in range(8)])
    for ours, expected in zip(gradients(), alone, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)  # added up in another order


@pytest.mark.usefixtures("threads_change_often")
def test_one_graph_with_checkpoints_may_be_differentiated_by_several_threads_at_once() -> None:
    a, b = Tensor(np.arange(1.0, 4.0)), Tensor(np.arange(2.0, 5.0))
    y = mg.checkpoint(lambda a, b: mg.tanh(a * b) * a, a, b)
    seeds = np.random.default_rng(0).standard_normal((8, 3))

    def run(k: int) -> list[np.ndarray]:
        return [np.stack(mg.grad(y, [a, b], seed=seeds[k])) for _ in range(40)]

    for k, found in enumerate(together(*[lambda k=k: run(k) for k in range(8)])):
        for gradients in found:
            np.testing.assert_array_equal(gradients, np.stack(mg.grad(y, [a, b], seed=seeds[k])))


@pytest.mark.usefixtures("threads_change_often")
def test_hooks_registered_by_threads_on_one_node_all_stay() -> None:
    w = Value(1.0)

    def register() -> None:
        for _ in range(300):
            w.register_hook(lambda g: None)()
            w.register_hook(lambda g: None)

    together(*[register] * 8)
    assert w.hooks is not None
    assert len(w.hooks) == 8 * 300


@pytest.mark.usefixtures("threads_change_often")
@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_as_it_was_when_all_threads_have_paused_it(on: bool) -> None:
    def pauses() -> None:
        for _ in range(2000):
            with mg.engine.collector_paused():
                pass

    usual = gc.isenabled()
    try:
        (gc.enable if on else gc.disable)()
        together(*[pauses] * 4)
        assert gc.isenabled() == on
    finally:
        (gc.enable if usual else gc.disable)()


# --------------------------------------------------------------------------------------------- decorators
@every_context
def test_a_decorated_function_runs_inside(context: Any) -> None:
    within = INSIDE[CONTEXTS.index(context)]

    @context()
    def f(a: int, *, b: int) -> Any:
        """What it does."""
        return place(), a + b

    assert (f.__name__, f.__doc__) == ("f", "What it does.")
    assert f(1, b=2) == (within, 3)
    assert place() == OUTSIDE

    @context()
    def fails() -> None:
        raise ValueError(str(place()))

    with pytest.raises(ValueError, match=f"^{__import__('re').escape(str(within))}$"):
        fails()


def test_a_decorated_function_may_call_itself() -> None:
    @mg.scope("deep")
    def f(n: int) -> Any:
        return place()[0] if n == 0 else f(n - 1)

    assert f(3) == ("deep",) * 4


@every_context
def test_a_decorated_generator_is_inside_only_while_it_runs(context: Any) -> None:
    within = INSIDE[CONTEXTS.index(context)]
    seen: list[Any] = []

    @context()
    def steps(n: int) -> Any:
        total = 0
        try:
            for k in range(n):
                seen.append(place())
                try:
                    total += (yield k) or 0
                except KeyError:
                    seen.append(("thrown", place()))
        finally:
            seen.append(("end", place()))
        return total

    body = steps(3)
    assert next(body) == 0
    assert place() == OUTSIDE
    assert body.send(10) == 1
    assert body.throw(KeyError()) == 2
    assert place() == OUTSIDE
    with pytest.raises(StopIteration) as stop:
        body.send(5)
    assert stop.value.value == 15
    assert seen == [within, within, ("thrown", within), within, ("end", within)]

    seen.clear()
    unfinished = steps(3)
    next(unfinished)
    unfinished.close()
    assert seen == [within, ("end", within)]
    with pytest.raises(RuntimeError, match="on purpose"):
        (lambda g: (next(g), g.throw(RuntimeError("on purpose"))))(steps(3))
    assert place() == OUTSIDE


def test_two_decorated_generators_in_turns_do_not_mix() -> None:
    @mg.scope("one", step=1)
    def one() -> Any:
        for _ in range(3):
            yield place()

    @mg.no_grad()
    def two() -> Any:
        for _ in range(3):
            yield place()

    for a, b in zip(one(), two(), strict=True):
        assert a == (("one",), 1, True, False)
        assert b == ((), None, False, False)
        assert place() == OUTSIDE


# ----------------------------------------------------------------------------- blocks inside generators
def quiet() -> Iterator[int]:
    with mg.no_grad(), mg.scope("quiet", step=5):
        yield 1
        yield 2


def test_a_generator_closed_late_takes_only_its_own_change_away() -> None:
    body = quiet()
    with mg.scope("outer"):
        next(body)  # from here on its block is open in this thread, as Python has it
        with mg.scope("inner"), mg.detect_anomaly():
            body.close()
            assert place() == (("outer", "inner"), None, True, True)
        assert place() == (("outer",), None, True, False)
    assert place() == OUTSIDE


def test_a_generator_closed_after_the_block_around_it_has_ended() -> None:
    body = quiet()
    with mg.scope("outer"):
        next(body)
    assert place() == (("quiet",), 5, False, False)  # it is still open
    body.close()
    assert place() == OUTSIDE


def test_generators_closed_in_any_order() -> None:
    first, second, third = quiet(), quiet(), quiet()
    for body in (first, second, third):
        next(body)
    for body in (second, first, third):
        body.close()
    assert place() == OUTSIDE


def test_a_forgotten_generator_is_cleaned_up_by_the_collector() -> None:
    body = quiet()
    next(body)
    del body
    gc.collect()
    assert place() == OUTSIDE


def test_a_generator_closed_by_another_thread_changes_nothing_there() -> None:
    body = quiet()
    context = contextvars.copy_context()
    context.run(next, body)
    assert place() == OUTSIDE

    def close_it() -> Any:
        with mg.scope("there"):
            body.close()
            return place()

    assert together(close_it) == [(("there",), None, True, False)]


def test_an_error_thrown_into_a_generator_ends_its_block_unless_it_is_caught_there() -> None:
    def body() -> Iterator[Any]:
        with mg.no_grad(), mg.scope("body"):
            try:
                yield place()
            except KeyError:
                yield place()

    generator: Any = body()
    assert next(generator) == (("body",), None, False, False)
    with mg.detect_anomaly():
        assert generator.throw(KeyError()) == (("body",), None, False, True)  # its caller hunts, so it does
        with pytest.raises(ValueError, match="on purpose"):
            generator.throw(ValueError("on purpose"))
        assert place() == ((), None, True, True)
    fails = quiet()
    next(fails)
    with pytest.raises(ZeroDivisionError), mg.scope("outer"):
        fails.throw(ZeroDivisionError())  # type: ignore[attr-defined]
    assert place() == OUTSIDE


def test_a_context_manager_made_of_a_generator_is_a_block_like_any_other() -> None:
    @contextlib.contextmanager
    def evaluation() -> Iterator[None]:
        with mg.no_grad(), mg.scope("evaluation"):
            yield

    with evaluation():
        assert place() == (("evaluation",), None, False, False)
        with contextlib.suppress(ValueError), evaluation():
            assert place()[0] == ("evaluation", "evaluation")
            raise ValueError
        assert place() == (("evaluation",), None, False, False)
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(evaluation())
        second.enter_context(mg.scope("second"))
        first.close()
        assert place() == (("second",), None, True, False)


KINDS: dict[str, Callable[[], Any]] = {
    "scope": lambda: mg.scope("s"), "step": lambda: mg.scope("t", step=7), "no_grad": mg.no_grad,
    "enable_grad": mg.enable_grad, "anomaly": mg.detect_anomaly,
}


def folded(kinds: list[str]) -> tuple[Any, ...]:
    """What is in force inside these blocks, the first one outermost."""
    settings = [kind == "enable_grad" for kind in kinds if kind in ("no_grad", "enable_grad")]
    return (tuple({"scope": "s", "step": "t"}[kind] for kind in kinds if kind in ("scope", "step")),
            7 if "step" in kinds else None, settings[-1] if settings else True, "anomaly" in kinds)


@given(data=st.data())
def test_generators_that_come_and_go_in_any_order_leave_just_the_blocks_that_are_open(data: Any) -> None:
    def body(kind: str) -> Iterator[None]:
        with KINDS[kind]():
            while True:
                yield

    @mg.no_grad()
    def decorated() -> Iterator[None]:
        while True:
            yield

    alive: list[tuple[str, Any]] = []  # in the order in which they were entered
    bystander = decorated()
    for _ in range(data.draw(st.integers(1, 12))):
        action = data.draw(st.sampled_from(["open", "step", "close", "throw", "forget"])) if alive else "open"
        if action == "open":
            kind = data.draw(st.sampled_from(sorted(KINDS)))
            alive.append((kind, body(kind)))
            next(alive[-1][1])
        else:
            i = data.draw(st.integers(0, len(alive) - 1))
            kind, generator = alive[i] if action == "step" else alive.pop(i)
            if action == "step":
                next(generator)
            elif action == "close":
                generator.close()
            elif action == "throw":
                with pytest.raises(KeyError):
                    generator.throw(KeyError())
            del generator
        next(bystander)
        assert place() == folded([kind for kind, _ in alive])
    while alive:
        alive.pop(0)[1].close()
    assert place() == OUTSIDE


@pytest.mark.parametrize("end", ["closed", "exhausted", "thrown into", "collected"])
@every_context
def test_a_generator_ended_by_another_thread_lets_go_of_the_first_at_its_next_block(context: Any, end: str) -> None:
    def body() -> Iterator[int]:
        with context():
            yield 1
            yield 2

    with mg.scope("outer"):
        generators: list[Any] = [body()]
        next(generators[0])

        def finish() -> Any:
            with mg.scope("there", step=9):
                if end == "closed":
                    generators[0].close()
                elif end == "exhausted":
                    assert list(generators[0]) == [2]
                elif end == "thrown into":
                    with pytest.raises(KeyError):
                        generators[0].throw(KeyError())
                generators.clear()
                gc.collect()
                return place()

        assert together(finish) == [(("there",), 9, True, False)]
        for _ in range(2):
            with mg.scope("next"):
                assert place() == (("outer", "next"), None, True, False)
        assert place() == (("outer",), None, True, False)
    assert place() == OUTSIDE


def test_an_object_left_in_another_thread_can_be_entered_again() -> None:
    block = mg.no_grad()

    def body() -> Iterator[int]:
        with block, block:
            yield 1

    generator = body()
    next(generator)
    together(lambda: generator.close())  # type: ignore[attr-defined]
    with block, mg.scope("inner"):
        assert place() == (("inner",), None, False, False)
        with mg.scope("more"):
            assert place() == (("inner", "more"), None, False, False)
    assert place() == OUTSIDE


def test_a_decorated_generator_takes_its_settings_along_from_thread_to_thread() -> None:
    @mg.no_grad()
    def steps() -> Any:
        while True:
            yield place()

    body = steps()

    def step() -> Any:
        with mg.scope("there"):
            return next(body), place()

    with mg.scope("here"):
        assert next(body) == (("here",), None, False, False)
        assert together(step) == [((("there",), None, False, False), (("there",), None, True, False))]
        together(lambda: body.close())
        assert place() == (("here",), None, True, False)


def test_decorated_generators_pass_on_values_returned_and_errors_swallowed() -> None:
    @mg.no_grad()
    def inner() -> Any:
        got = yield place()
        try:
            yield got
        except KeyError:
            return "caught", place()

    @mg.detect_anomaly()
    @mg.scope("outer")
    def outer() -> Any:
        result = yield from inner()
        yield result
        return place()

    body = outer()
    assert next(body) == (("outer",), None, False, True)
    assert body.send("sent") == "sent"
    assert body.throw(KeyError()) == ("caught", (("outer",), None, False, True))
    assert place() == OUTSIDE
    with pytest.raises(StopIteration) as stop:
        next(body)
    assert stop.value.value == (("outer",), None, True, True)
    assert list(body) == []
    with pytest.raises(KeyError):
        outer().throw(KeyError())  # before its first step
    outer().close()

    @mg.no_grad()
    def stubborn() -> Any:
        try:
            yield
        except GeneratorExit:
            yield

    refuses = stubborn()
    next(refuses)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        refuses.close()
    assert place() == OUTSIDE


def test_a_decorated_generator_that_is_forgotten_ends_inside() -> None:
    seen: list[Any] = []

    @mg.scope("s")
    def steps() -> Any:
        try:
            yield
        finally:
            seen.append(place())

    body = steps()
    next(body)
    with mg.detect_anomaly():
        del body
        gc.collect()
    assert seen == [(("s",), None, True, True)]


# -------------------------------------------------------------------------------------------------- asyncio
def test_a_cancelled_task_and_an_abandoned_async_generator_leave_nothing_behind() -> None:
    async def values() -> AsyncIterator[Any]:
        with mg.no_grad(), mg.scope("values"):
            yield place()
            yield place()

    async def sleeps() -> None:
        with mg.no_grad():
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(sleeps())
        await asyncio.sleep(0)
        assert place() == OUTSIDE
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert place() == OUTSIDE
        async for value in values():
            assert value == (("values",), None, False, False)
        assert place() == OUTSIDE
        unfinished: Any = values()
        await unfinished.__anext__()
        with mg.scope("later"):
            await unfinished.aclose()
            assert place() == (("later",), None, True, False)
        thrown: Any = values()
        await thrown.__anext__()
        with pytest.raises(KeyError):
            await thrown.athrow(KeyError())
        assert place() == OUTSIDE

    asyncio.run(main())


def test_tasks_have_settings_of_their_own() -> None:
    async def task(name: str, context: Any) -> list[Any]:
        seen = []
        with context, mg.scope(name):
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append((place(), (Value(1.0) * 2).requires_grad))
        await asyncio.sleep(0)
        assert place() == (("all",), None, True, False)
        return seen

    async def main() -> list[Any]:
        with mg.scope("all"):
            return await asyncio.gather(task("a", mg.no_grad()), task("b", mg.enable_grad()),
                                        task("c", mg.detect_anomaly()))

    a, b, c = asyncio.run(main())
    assert a == [((("all", "a"), None, False, False), False)] * 3
    assert b == [((("all", "b"), None, True, False), True)] * 3
    assert c == [((("all", "c"), None, True, True), True)] * 3


@every_context
def test_a_decorated_coroutine_runs_inside(context: Any) -> None:
    within = INSIDE[CONTEXTS.index(context)]

    @context()
    async def f(x: int) -> Any:
        before = place()
        await asyncio.sleep(0)
        return before, place(), x

    async def main() -> Any:
        results = await asyncio.gather(f(1), f(2))
        assert place() == OUTSIDE
        return results

    assert asyncio.run(main()) == [(within, within, 1), (within, within, 2)]


def test_an_async_generator_cannot_be_decorated() -> None:
    async def f() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="no_grad cannot decorate an async generator; put a with block"):
        mg.no_grad()(f)


def test_anomalies_in_one_thread_do_not_stop_another() -> None:
    def hunts() -> str:
        with pytest.raises(AnomalyError) as error, mg.detect_anomaly():
            sum(Value(1.0 - k / 200).log() for k in range(201))
        return str(error.value)[:9]

    def does_not() -> float:
        return sum(1 for _ in range(200) if np.isinf(Value(0.0).log().data))

    assert together(hunts, does_not) == ["log: 0.0 ", 200]


def test_blocks_left_in_another_task_are_forgotten_with_the_task_that_entered_them() -> None:
    def inside() -> Iterator[None]:
        with mg.no_grad():
            yield

    async def begin(generator: Iterator[None]) -> None:
        next(generator)

    async def end(generator: Any) -> None:
        generator.close()

    async def hand_over() -> None:
        generator = inside()
        await asyncio.create_task(begin(generator))
        await asyncio.create_task(end(generator))
        assert place() == OUTSIDE

    async def main() -> None:
        for _ in range(10):
            await hand_over()

    gc.collect()
    before = len(LEFT_ELSEWHERE)
    asyncio.run(main())
    gc.collect()
    assert len(LEFT_ELSEWHERE) <= before
