"""Time is read off the graph: what the loop is called, wrapped in or interrupted by changes no number."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, Value, mark, nn, scope
from viz.graph.identities import identities, without_identities
from viz.graph.reachable import reachable
from viz.graph.steps import READINGS, layers, recurrent, unchanged

XS = np.random.default_rng(0).normal(size=(5, 2, 3))


class Wrapped(nn.Module):
    """A cell around a cell: the inner one opens a scope of its own."""

    def __init__(self) -> None:
        self.cell = nn.RNNCell(3, 4, rng=0)

    def initial_state(self, B: int) -> Any:
        return self.cell.initial_state(B)

    def __call__(self, x: Any, h: Any) -> Any:
        return 0.5 * self.cell(x, h)


def written_out() -> Callable[[Any, Any], Any]:
    """The same in one scope."""
    cell = Wrapped().cell
    return lambda x, h: 0.5 * mg.tanh(mg.affine(h, cell.W, mg.affine(x, cell.U, cell.b)))


def loss_of(cell: Any) -> Any:
    return (nn.unroll(cell, XS, np.zeros((2, 4)))[1] ** 2).sum()


def test_a_wrapped_cell_is_one_layer_with_the_numbers_of_the_same_cell_written_out() -> None:
    inside, plain = loss_of(Wrapped()), loss_of(written_out())
    assert len(recurrent(viz.trace(inside))) == 1
    a, b = (viz.gradient_flow(loss) for loss in (inside, plain))
    assert a.profile().norms == pytest.approx(b.profile().norms, rel=1e-13)
    assert a.profile("h").norms == a.profile().norms, "the state is h, not what the inner cell calls so"
    assert viz.compare_flow({"net": inside}).verdict == viz.compare_flow({"net": plain}).verdict
    for measure in (lambda loss: viz.step_jacobians(loss).arrays, lambda loss: viz.local_errors(loss).norms,
                    lambda loss: viz.ways(loss).parts["tanh"]):
        np.testing.assert_allclose(measure(inside), measure(plain), rtol=1e-12)
    rolled = viz.roll(inside)
    assert {said["delay"] for _, _, said in rolled.edges(data=True) if said.get("delay")} == {1}
    assert nx.is_directed_acyclic_graph(nx.DiGraph((u, v) for u, v, said in rolled.edges(data=True)
                                                   if not said.get("delay")))


@pytest.mark.parametrize("start", [np.asarray, Tensor])
def test_a_sequence_that_is_reset_gets_exactly_nothing_from_after_the_reset(start: Any) -> None:
    done = np.zeros((8, 2, 1), bool)
    done[4, 0] = True
    cell, h = nn.GRUCell(3, 4, rng=0), start(np.zeros((2, 4)))
    for t, x in enumerate(np.random.default_rng(0).normal(size=(8, 2, 3))):
        with scope("net", step=t):
            h = cell(x, mg.where(done[t], 0.0, h))
    loss = (h * h).sum()
    assert [layer.path for layer in layers(viz.trace(loss))] == ["net"]
    found = viz.ways(loss)
    sizes = np.linalg.norm(found.whole, axis=2)
    assert (sizes[:4] > 0).all()
    assert (sizes[4:, 0] == 0).all()
    assert (sizes[4:, 1] > 0).all()


@pytest.mark.parametrize("same", [lambda h: h * 1.0, lambda h: h + 0, lambda h: -1 * (-h), lambda h: h / 2 + h / 2,
                                  lambda h: h[...], lambda h: h.T.T, lambda h: h.reshape(1, 4)])
@pytest.mark.parametrize("by", ["first", "last"])
def test_what_changes_nothing_between_two_steps_changes_no_way(by: str, same: Callable[[Any], Any]) -> None:
    def parts(between: bool) -> viz.Ways:
        cell = nn.LSTMCell(3, 4, rng=0)
        h, c = cell.initial_state(1)
        for t in range(4):
            if between and t:
                h = same(h)
            with scope("net", step=t):
                h, c = cell(XS[t, :1], (h, c))
        return viz.ways((h**2).sum(), "c", by=by)

    a, b = parts(True), parts(False)
    assert [*a.parts] == [*b.parts]
    for way, part in a.parts.items():
        np.testing.assert_allclose(part, b.parts[way], rtol=1e-12, atol=1e-17)


def test_a_factor_that_is_one_at_some_steps_only_is_no_identity() -> None:
    h = Value(0.5, label="h0")
    for t, gamma in enumerate((0.5, 1.0, 1.0)):
        with scope("net", step=t):
            h = gamma * mg.tanh(h)
    assert identities(reachable(h)) == {}
    assert viz.gradient_flow(h * 2).profile().lags == (0, 1, 2)


def test_what_is_marked_as_something_else_is_something_else() -> None:
    a = mark(Tensor(np.ones(3)) * 2.0, "a")
    b = mark(a * 1.0, "b")
    assert identities(reachable(b.sum())) == {}
    assert identities(reachable((c := a * 1.0).sum())) == {c: a}


def test_without_identities_gradients_are_the_same() -> None:
    x = Tensor(np.random.default_rng(0).normal(size=(3, 4)))
    y = mg.tanh(-1 * (-x)) * (x.T.T + 0.0)
    loss = (y[...] * y).sum()
    plain, place = without_identities(loss)
    assert len(reachable(plain)) < len(reachable(loss))
    np.testing.assert_allclose(mg.grad(plain, x), mg.grad(loss, x), rtol=1e-15)
    assert place[loss] is plain


@pytest.mark.parametrize("last", [lambda h: h, lambda h: h * 1, lambda h: h + h - h])
def test_a_loss_that_is_the_last_state_itself_has_lags_and_errors(last: Callable[[Any], Any]) -> None:
    w, h = Value(0.7, label="w"), Value(0.3)
    for t in range(4):
        with scope("net", step=t):
            h = mg.tanh(w * h + 0.5 * (t + 1))
    found = viz.shares(last(h), by="lag")["w"]
    assert found.keys == (0, 1, 2, 3)
    assert found.arrays == pytest.approx(viz.shares(h * 3)["w"].arrays[::-1] / 3, rel=1e-12)
    errors = viz.local_errors(last(h))
    assert errors.losses == (3,)
    assert (errors.norms > 0).all()


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_each_sequence_of_a_padded_batch_has_its_own_lags(kind: Any) -> None:
    net, xs, lengths = kind(3, 4, rng=0), np.random.default_rng(1).normal(size=(6, 3, 3)), [6, 2, 4]

    def last(state: Any) -> Any:
        return state[0] if isinstance(state, tuple) else state

    loss = (last(net(xs, lengths=lengths)[1]) ** 2).sum()
    alone = [(last(net(xs[:n, b : b + 1])[1]) ** 2).sum() for b, n in enumerate(lengths)]
    whole, single = viz.gradient_flow(loss).profile(), [viz.gradient_flow(one).profile() for one in alone]
    right = [np.sqrt(sum(one.norms[lag] ** 2 for one in single if lag < len(one.norms))) for lag in range(6)]
    assert whole.norms == pytest.approx(right, rel=1e-12)
    ways, parts = viz.ways(loss), [viz.ways(one) for one in alone]
    assert ways.check() < 1e-12
    for way, part in ways.parts.items():
        for b, n in enumerate(lengths):
            np.testing.assert_allclose(part[:n, b], parts[b].parts[way][:, 0], rtol=1e-10, atol=1e-15)
            assert (part[n:, b] == 0).all()
    assert not viz.compare_flow({"net": loss}).tracks[0].fed, "the end of a short sequence is no earlier loss"
    with pytest.raises(ValueError, match=r"padded batch.*give the loss itself"):
        viz.compare_flow({"net": viz.gradient_flow(loss)})


def masked(T: int, lengths: list[int], where: str, dead: bool = False) -> tuple[Any, list[Any]]:
    """A loss at each step of a padded batch, added up in the step or after the loop; and the states."""
    rng = np.random.default_rng(4)
    B = len(lengths)
    W, xs, h, hs = Tensor(rng.normal(size=(4, 4))), rng.normal(size=(T, B, 4)), np.zeros((B, 4)), []
    if dead:
        xs[-1, 0] = -100.0
    total: Any = 0.0
    for t, x in enumerate(xs):
        mask = (t < np.array(lengths))[:, None] * 1.0
        with scope("net", step=t):
            h = mark(mg.relu(h @ W + x) if dead else mg.tanh(h @ W + x), "h", role="hidden")
            if where == "in the step":
                total = total + (h**2 * mask).sum()
        hs.append((h, mask))
    return (total if where == "in the step" else sum(((h**2 * mask).sum() for h, mask in hs), 0.0)), [h for h, _ in hs]


@pytest.mark.parametrize("where", ["in the step", "after the loop"])
def test_a_padded_batch_with_masked_losses_has_lags_by_sequence(where: str) -> None:
    lengths = [6, 2, 4]
    loss, hs = masked(6, lengths, where)
    rows = [np.linalg.norm(g, axis=1) for g in mg.grad(loss, hs)]
    right = [np.sqrt(sum(rows[n - 1 - lag][b] ** 2 for b, n in enumerate(lengths) if lag < n)) for lag in range(6)]
    assert viz.gradient_flow(loss).profile().norms == pytest.approx(right, rel=1e-12)
    assert viz.ways(loss).whole_norms == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize("where", ["in the step", "after the loop"])
def test_a_relu_that_is_off_is_no_end_of_a_sequence(where: str) -> None:
    loss, hs = masked(5, [5, 5], where, dead=True)
    gradients = mg.grad(loss, hs)
    assert (gradients[-1][0] == 0).all()
    assert gradients[-1][1].any()
    right = [np.linalg.norm(g) for g in gradients[::-1]]
    assert viz.gradient_flow(loss).profile().norms == pytest.approx(right, rel=1e-12)
    assert viz.ways(loss).whole_norms == pytest.approx(right, rel=1e-12)


def test_lags_count_steps_and_not_their_numbers() -> None:
    def profile(numbers: list[int]) -> viz.Profile:
        cell, h = nn.RNNCell(3, 4, rng=0), np.zeros((2, 4))
        for number, x in zip(numbers, XS, strict=True):
            with scope("net", step=number):
                h = cell(x, h)
        return viz.gradient_flow((h**2).sum()).profile()

    a, b = profile([0, 1, 2, 3, 4]), profile([10, 8, 6, 4, 2])
    assert (a.lags, a.norms) == (b.lags, b.norms)
    assert b.steps == (2, 4, 6, 8, 10)


def test_a_loop_inside_a_step_of_another_is_a_loop_of_its_own() -> None:
    cell, h = nn.RNNCell(3, 4, rng=0), np.zeros((2, 4))
    with scope("epoch", step=3):
        for t, x in enumerate(XS):
            with scope("net", step=t):
                h = cell(x, h)
        loss = (h**2).sum()
    assert viz.gradient_flow(loss).profile().lags == (0, 1, 2, 3, 4)
    assert len(recurrent(viz.trace(loss))[0].steps) == 5


def test_steps_of_several_stretches_in_one_loss_are_counted_on() -> None:
    net, state, total = nn.RNN(3, 4, rng=0), None, 0.0
    for k in range(3):
        hs, state = net(np.random.default_rng(k).normal(size=(4, 2, 3)), nn.detach(state))
        total = total + (hs**2).sum()
    assert viz.shares(total)["W"].keys == tuple(range(12))
    apart = net(XS[:4])[0].sum() + net(XS[1:])[0].sum()  # two sequences, none of which goes on from the other
    assert viz.shares(apart)["W"].keys == (0, 1, 2, 3)


def test_reading_the_time_of_a_graph_does_not_keep_it_alive() -> None:
    for cell in (Wrapped(), lambda x, h: Wrapped()(x, h * 1.0)):
        graph = viz.trace(loss_of(cell))
        recurrent(graph)
        assert graph in READINGS
        alive = weakref.ref(graph)
        del graph
        gc.collect()
        assert alive() is None


def test_within_unchanged_a_graph_is_read_once_and_after_it_anew() -> None:
    graph = viz.trace(loss_of(Wrapped()))
    with unchanged():
        before = layers(graph)
        (state,) = [node for node, said in graph.nodes(data=True) if said.get("step") == 1 and said["name"] == "h"]
        step = graph.nodes[state].pop("step")
        assert layers(graph) is before
    assert layers(graph) is not before
    graph.nodes[state]["step"] = step
    assert layers(graph) == before


@pytest.mark.parametrize("T", [3, 5])
@pytest.mark.parametrize("readouts", [False, True])
@pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell])
def test_a_loop_without_a_name_that_goes_back_over_the_steps_of_another(
    cell: type[nn.Cell], readouts: bool, T: int
) -> None:
    xs = np.random.default_rng(0).normal(size=(T, 2, 3))
    there, back = cell(3, 4, rng=1), cell(3, 4, rng=2)
    V = np.random.default_rng(3).normal(size=(8, 3))
    kept: list[list[Any]] = []
    for one, steps in ((there, range(T)), (back, reversed(range(T)))):
        h, hs = np.zeros((2, 4)), {}
        for t in steps:
            with scope(step=t):
                hs[t] = h = one(xs[t], h)
        kept.append([hs[t] for t in range(T)])
    read = list(zip(*kept, strict=True)) if readouts else [(kept[0][-1], kept[1][0])]
    loss = sum((mg.tanh(mg.concat(pair, axis=-1) @ V) ** 2).sum() for pair in read)
    flow = viz.gradient_flow(loss)
    for layer, order in ((0, range(T)[::-1]), (1, range(T))):
        right = [np.linalg.norm(g) for g in mg.grad(loss, [kept[layer][t] for t in order])]
        assert flow.profile(layer=layer).steps == tuple(order)
        assert flow.profile(layer=layer).norms == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize("place", ["at the start of the step", "before the step"])
def test_a_name_that_the_last_state_does_not_get_hides_no_lag(place: str) -> None:
    def loss_of(named: bool) -> Any:
        cell, h = nn.RNNCell(3, 4, rng=0), np.zeros((2, 4))
        for t, x in enumerate(XS):
            if named and t and place == "before the step":
                h = mg.mark(h * 1.0, "k")
            with scope("net", step=t):
                if named and t and place == "at the start of the step":
                    h = mg.mark(h * 1.0, "k")
                h = mg.mark(cell(x, h), None, None)
        return (h**2).sum()

    one, other = (viz.gradient_flow(loss_of(named)).profile() for named in (False, True))
    assert (one.lags, one.norms) == (other.lags, other.norms)
    assert viz.ways(loss_of(True)).lags == one.lags


def test_one_step_without_a_mark_is_told_to_mark_its_state() -> None:
    with scope("net", step=0):
        h = mg.mark(nn.RNNCell(3, 4, rng=0)(XS[0], np.zeros((2, 4))), None, None)
    loss = (h**2).sum()
    for measure in (viz.step_jacobians, viz.ways, viz.local_errors, lambda x: viz.gradient_flow(x).profile()):
        with pytest.raises(ValueError, match=r"single step.*mark it"):
            measure(loss)


@pytest.mark.parametrize("T", [1, 2])
def test_inputs_that_are_made_in_a_scope_of_their_own_are_no_layer(T: int) -> None:
    cell, h = nn.RNNCell(3, 4, rng=0), np.zeros((2, 4))
    for t, x in enumerate(XS[:T]):
        with scope("given", step=t):
            x_t = mg.mark(mg.Tensor(x), "x", role="input")
        with scope(step=t):
            h = cell(x_t, h)
    assert len(recurrent(viz.trace((h**2).sum()))) == 1


@pytest.mark.parametrize("order", ["hc", "ch"])
@pytest.mark.parametrize("wrapper", ["where", "mask", "scale", "norm"])
def test_a_wrapped_state_is_called_after_the_one_that_the_cell_marked(wrapper: str, order: str) -> None:
    """Whichever of the two is wrapped first: what is called h are the states h that the loop handed on."""
    def wrapped(t: int, new: Any, old: Any) -> Any:
        there = np.array([[True], [t < 3]])
        if wrapper == "norm":
            away = new - new.mean(-1, keepdims=True)
            return away / mg.sqrt((away * away).mean(-1, keepdims=True) + 0.1)
        return {"where": lambda: mg.where(there, new, old), "mask": lambda: there * new + (~there) * old,
                "scale": lambda: 0.9 * new}[wrapper]()

    cell, state = nn.LSTMCell(3, 4, rng=0), {"h": np.zeros((2, 4)), "c": np.zeros((2, 4))}
    kept: dict[str, list[Any]] = {"h": [], "c": []}
    for t, x in enumerate(XS):
        with scope("net", step=t):
            new = dict(zip("hc", cell(x, (state["h"], state["c"])), strict=True))
            for name in order:
                state[name] = wrapped(t, new[name], state[name])
        for name in "hc":
            kept[name].append(state[name])
    loss = (state["h"] ** 2).sum()
    flow = viz.gradient_flow(loss)
    assert sorted(flow.state_names()) == ["c", "h"]
    for name, role in (("h", "hidden"), ("c", "cell")):
        right = dict(enumerate(np.linalg.norm(g) for g in mg.grad(loss, kept[name])))
        for profile in (flow.profile(name), flow.profile(role)):
            assert dict(zip(profile.steps, profile.norms, strict=True)) == pytest.approx(
                {t: right[t] for t in profile.steps}, rel=1e-12)
        found = viz.ways(loss, name)
        assert found.state == name
        assert found.whole_norms == pytest.approx([right[t] for t in found.steps], rel=1e-12)
    assert flow.profile().norms == flow.profile("c").norms
    assert viz.ways(loss).state == "c"
    assert viz.step_jacobians(loss).states == ("h", "c")


def test_the_carry_of_a_cell_state_that_is_scaled_is_a_carry() -> None:
    def carry(factor: float) -> np.ndarray:
        cell, state = nn.LSTMCell(3, 4, rng=0), (np.zeros((2, 4)), np.zeros((2, 4)))
        for t, x in enumerate(XS):
            with scope("net", step=t):
                h, c = cell(x, state)
                state = h, factor * c
        found = viz.ways((h**2).sum(), "c")
        assert list(found.parts) == ["carry", "i", "f", "g", "o"]
        return found.norms["carry"] / factor ** np.array(found.lags)

    assert carry(0.9) == pytest.approx(carry(0.999), rel=0.2)


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("T", [2, 3, 5])
def test_a_term_of_the_first_step_alone_changes_no_correspondence(T: int, marked: bool) -> None:
    A, V, U = (mg.Tensor(np.random.default_rng(k).normal(size=(n, 4)) * 0.6) for k, n in enumerate((3, 4, 3)))
    context, g, kept = mg.Tensor(XS[4]), np.zeros((2, 4)), []
    for t in range(T):
        with scope(step=t):
            g = mg.tanh(XS[t] @ A + g @ V + (context @ U if t == 0 else 0.0))
            kept.append(mg.mark(g, "g", "hidden") if marked else g)
    loss = (g * g).sum()
    right = [np.linalg.norm(x) for x in mg.grad(loss, kept[::-1])]
    assert viz.gradient_flow(loss).profile().norms == pytest.approx(right, rel=1e-12)
    assert viz.ways(loss).whole_norms == pytest.approx(right, rel=1e-12)


def test_a_state_worked_out_from_another_state_keeps_a_name_of_its_own() -> None:
    W = [mg.Tensor(np.random.default_rng(k).normal(size=(7, 4)) * 0.5) for k in range(4)]
    h = c = np.zeros((2, 4))
    kept: dict[str, list[Any]] = {"h": [], "c": []}
    for t, x in enumerate(XS):
        with scope(step=t):
            z = mg.concat([x, h], axis=-1)
            i, f, o = (mg.sigmoid(z @ w) for w in W[:3])
            c = mg.mark(f * c + i * mg.tanh(z @ W[3]), "c", "cell")
            h = o * mg.tanh(c)
        kept["h"].append(h)
        kept["c"].append(c)
    loss = (h * h).sum()
    flow = viz.gradient_flow(loss)
    assert flow.state_names() == ["c", "h"]
    for name in "hc":
        right = [np.linalg.norm(x) for x in mg.grad(loss, kept[name][::-1])]
        assert flow.profile(name).norms == pytest.approx(right, rel=1e-12)
    assert flow.profile("cell").norms == flow.profile().norms == flow.profile("c").norms


def test_two_states_of_one_origin_bear_neither_its_name() -> None:
    R, U = (mg.Tensor(np.random.default_rng(k).normal(size=(4, 4)) * 0.5) for k in range(2))
    h, k = np.zeros((2, 4)), np.zeros((2, 4))
    for t in range(4):
        with scope(step=t):
            one = mg.mark(mg.tanh(h @ R + k @ U + t), "c", "cell")
            h, k = 0.9 * one, mg.sin(one)
    assert sorted(viz.gradient_flow((h * k).sum()).state_names()) == ["h", "s2"]


@pytest.mark.parametrize("start", [np.zeros, lambda shape: mg.Tensor(np.zeros(shape))], ids=["array", "Tensor"])
@pytest.mark.parametrize("T", [2, 3, 5])
def test_steps_with_nodes_of_the_same_kinds_are_compared_by_what_the_nodes_read(T: int, start: Any) -> None:
    """At T = 2 both steps end in a product and a sum: 0.9 * c1 in the first, 0.5 * h in the last."""
    cell, h, c = nn.LSTMCell(3, 4, rng=0), start((2, 4)), start((2, 4))
    first = {"h": h, "c": c}
    kept: dict[str, list[Any]] = {"h": [], "c": []}
    for t, x in enumerate(XS[:T]):
        with scope("net", step=t):
            h1, c1 = cell(x, (h, c))
            c = 0.9 * c1
            h = h1 + 0.5 * h
        kept["h"].append(h)
        kept["c"].append(c)
    loss = sum((state * state).sum() for state in kept["h"])
    flow = viz.gradient_flow(loss)
    assert sorted(flow.state_names()) == ["c", "h"]
    for name in "hc":
        right = {t: np.linalg.norm(g) for t, g in enumerate(mg.grad(loss, kept[name])) if g.any()}
        profile = flow.profile(name)
        assert dict(zip(profile.steps, profile.norms, strict=True)) == pytest.approx(right, rel=1e-12)
        if isinstance(first[name], mg.Tensor):  # its row is that of the step before the first
            right[-1] = np.linalg.norm(mg.grad(loss, first[name]))
        found = viz.ways(loss, name)
        assert dict(zip(found.steps, found.whole_norms, strict=True)) == pytest.approx(right, rel=1e-12)
