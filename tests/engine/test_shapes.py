"""Shapes, axes and indices of every kind (property tests). Expected gradients are written out in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import microgradrnn as mg
from microgradrnn import Tensor
from tests.numerics import assert_same

quick = settings(max_examples=80)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)


def filled(shape: tuple[int, ...], salt: int = 0) -> np.ndarray:
    """Distinct numbers in a scrambled order, away from zero."""
    n = int(np.prod(shape))
    return np.random.default_rng(salt).permutation(np.arange(n) / (n + 1) + 0.5).reshape(shape)


def summed_to(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The transpose of broadcasting, entry by entry."""
    out = np.zeros(shape)
    where_from = np.broadcast_to(np.arange(out.size).reshape(shape), g.shape)
    np.add.at(out.reshape(-1), where_from.reshape(-1), g.reshape(-1))
    return out


@quick
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
def test_gradients_of_broadcast_operands_are_summed_back(pair: Any) -> None:
    a, b = (Tensor(filled(shape, k)) for k, shape in enumerate(pair.input_shapes))
    y = a * b
    assert y.shape == pair.result_shape
    seed = filled(y.shape, 2)
    y.backward(seed)
    assert_same(a.grad, summed_to(seed * b.data, a.shape))
    assert_same(b.grad, summed_to(seed * a.data, b.shape))


@quick
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
def test_recorded_gradients_of_broadcast_operands_are_summed_back(pair: Any) -> None:
    a, b = (Tensor(filled(shape, k)) for k, shape in enumerate(pair.input_shapes))
    seed = filled(pair.result_shape, 2)
    ga, gb = mg.grad(a * b + a, [a, b], seed=seed, create_graph=True)
    assert_same(ga.data, summed_to(seed * b.data + seed, a.shape))
    assert_same(gb.data, summed_to(seed * a.data, b.shape))
    # ga is linear in b, with the slope that b's gradient has in a
    assert_same(mg.grad(ga.sum(), b), summed_to(np.broadcast_to(seed, pair.result_shape), b.shape))


@quick
@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=4))
def test_matmul_of_any_shapes(pair: Any) -> None:
    a, b = (Tensor(filled(shape, k)) for k, shape in enumerate(pair.input_shapes))
    y = a @ b
    assert_same(y.data, np.matmul(a.data, b.data))
    seed = filled(y.shape, 2)
    y.backward(seed)
    A = a.data[None, :] if a.ndim == 1 else a.data
    B = b.data[:, None] if b.ndim == 1 else b.data
    G = seed.reshape(np.matmul(A, B).shape)
    assert_same(a.grad, summed_to(G @ np.swapaxes(B, -1, -2), A.shape).reshape(a.shape))
    assert_same(b.grad, summed_to(np.swapaxes(A, -1, -2) @ G, B.shape).reshape(b.shape))


@st.composite
def reductions(draw: Any) -> tuple[tuple[int, ...], Any, bool]:
    """A shape, an axis (none, one, or several; negative ones too), and keepdims."""
    shape = draw(shapes)
    axes = st.none()
    if shape:
        one = st.integers(-len(shape), len(shape) - 1)
        several = st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True).flatmap(
            lambda some: st.tuples(*[st.sampled_from([i, i - len(shape)]) for i in some])
        )
        axes = st.one_of(st.none(), one, several)
    return shape, draw(axes), draw(st.booleans())


@quick
@given(reductions())
def test_sums_and_means_over_any_axes(case: Any) -> None:
    shape, axis, keepdims = case
    x = Tensor(filled(shape))
    for ours, theirs in [(mg.sum, np.sum), (mg.mean, np.mean)]:
        y = ours(x, axis, keepdims)
        assert_same(y.data, theirs(x.data, axis=axis, keepdims=keepdims))
        seed = filled(y.shape, 1)
        kept = seed.reshape(np.sum(x.data, axis=axis, keepdims=True).shape)
        share = 1 if ours is mg.sum else kept.size / x.size
        assert_same(mg.grad(y, x, seed=seed), np.broadcast_to(kept, shape) * share)


@quick
@given(reductions())
def test_max_and_min_send_the_gradient_to_the_winner(case: Any) -> None:
    shape, axis, keepdims = case
    x = Tensor(filled(shape))
    for ours, theirs in [(mg.max, np.max), (mg.min, np.min)]:
        y = ours(x, axis, keepdims)
        assert_same(y.data, theirs(x.data, axis=axis, keepdims=keepdims))
        kept = theirs(x.data, axis=axis, keepdims=True)
        seed = filled(y.shape, 1)
        assert_same(mg.grad(y, x, seed=seed), (x.data == kept) * seed.reshape(kept.shape))


@quick
@given(reductions())
def test_logsumexp_over_any_axes_has_the_softmax_as_gradient(case: Any) -> None:
    shape, axis, keepdims = case
    x = Tensor(filled(shape))
    y = mg.logsumexp(x, axis, keepdims)
    e = np.exp(x.data)
    assert_same(y.data, np.log(e.sum(axis=axis, keepdims=keepdims)))
    total = e.sum(axis=axis, keepdims=True)
    seed = filled(y.shape, 1)
    assert_same(mg.grad(y, x, seed=seed), seed.reshape(total.shape) * e / total)


@quick
@given(st.data())
def test_basic_indices_put_the_gradient_back_where_it_came_from(data: Any) -> None:
    shape = data.draw(shapes)
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    x = Tensor(filled(shape))
    y = x[index]
    assert_same(y.data, np.asarray(x.data[index]))
    seed = filled(y.shape, 1)
    expected = np.zeros(shape)
    expected[index] = seed
    assert_same(mg.grad(y, x, seed=seed), expected)
    assert_same(mg.grad(y, x, seed=seed, create_graph=True).data, expected)


@quick
@given(st.data())
def test_integer_array_indices_add_up_where_they_repeat(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    index = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=5)))
    x = Tensor(filled(shape))
    y = x[index]
    seed = filled(y.shape, 1)
    expected = np.zeros(shape)
    np.add.at(expected, index, seed)
    assert_same(mg.grad(y, x, seed=seed), expected)
    assert_same(mg.grad(y * y, x, seed=seed), 2 * x.data * expected)


@pytest.mark.parametrize(
    "index",
    [(slice(None, None, -1),), (slice(3, None, -2), 1), (None, [0, 2, 2]), (..., [1, 1, 0]),
     ([0, 0], slice(None), [2, 2]),
     (np.array([True, False, True, True]),), (np.int64(2),), ([3, -1], None), ([],), (1, [True, False, True])],
    ids=str,
)
def test_particular_indices(index: Any) -> None:
    x = Tensor(filled((4, 3, 5)))
    for key in [index, index[0]] if len(index) == 1 else [index]:
        y = x[key]
        assert_same(y.data, x.data[key])
        seed = filled(y.shape, 1)
        expected = np.zeros(x.shape)
        np.add.at(expected, key, seed)
        assert_same(mg.grad(y, x, seed=seed), expected)


@quick
@given(st.data())
def test_concat_stack_and_split_cut_the_gradient_into_its_pieces(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))

    pieces = []
    for k, length in enumerate(lengths):
        longer = list(shape)
        longer[axis] = length
        pieces.append(Tensor(filled(tuple(longer), k)))
    joined = mg.concat(pieces, axis)
    assert_same(joined.data, np.concatenate([p.data for p in pieces], axis))
    seed = filled(joined.shape, 9)
    cuts = list(np.cumsum(lengths)[:-1])
    for g, expected in zip(mg.grad(joined, pieces, seed=seed), np.split(seed, cuts, axis), strict=True):
        assert_same(g, expected)

    whole = Tensor(joined.data)
    parts = mg.split(whole, [int(c) for c in cuts], axis)
    for k, part in enumerate(parts):
        assert_same(part.data, pieces[k].data)
        expected_parts = [np.zeros(p.shape) for p in pieces]
        expected_parts[k] += 2 * part.data
        assert_same(mg.grad((part * part).sum(), whole), np.concatenate(expected_parts, axis))

    layers = [Tensor(filled(shape, k)) for k in range(3)]
    stacked = mg.stack(layers, axis)
    assert_same(stacked.data, np.stack([x.data for x in layers], axis))
    seed = filled(stacked.shape, 9)
    for k, g in enumerate(mg.grad(stacked, layers, seed=seed)):
        assert_same(g, np.take(seed, k, axis))


@quick
@given(st.data())
def test_transposes_and_reshapes_move_the_gradient_back(data: Any) -> None:
    shape = data.draw(shapes)
    order = data.draw(st.permutations(range(len(shape))))
    order = [i - len(shape) if data.draw(st.booleans()) else i for i in order]
    x = Tensor(filled(shape))
    y = mg.transpose(x, order)
    seed = filled(y.shape, 1)
    assert_same(y.data, np.transpose(x.data, order))
    g = mg.grad(y, x, seed=seed)
    assert_same(np.transpose(g, order), seed)
    flat = mg.grad(x.reshape(-1), x, seed=seed.reshape(-1))
    assert_same(flat.reshape(-1), seed.reshape(-1))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,)])
def test_an_empty_mask_picks_nothing(shape: tuple[int, ...]) -> None:
    assert Tensor(np.zeros(shape))[np.zeros(shape, dtype=bool)].shape == (0,)


def test_axes_to_transpose_come_one_by_one_or_in_any_sequence() -> None:
    a = filled((2, 3, 4))
    for axes in ((), (None,), (1, 2, 0), ((1, 2, 0),), ([1, 2, 0],), (np.array([1, 2, 0]),), (np.argsort([2, 0, 1]),)):
        assert_same(Tensor(a).transpose(*axes).data, a.transpose(*axes))
    assert_same(Tensor(a[0, 0]).transpose(0).data, a[0, 0])
    with pytest.raises(ValueError, match="transpose: axes"):
        Tensor(a).transpose(1)


def test_an_array_split_into_unequal_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="length 7 does not fall into 3 equal parts"):
        mg.split(Tensor(filled((2, 7))), 3, axis=1)


def test_an_array_of_no_axes_is_a_number_and_a_fraction_is_none() -> None:
    a = filled((6, 3))
    for sections, axis in ((np.array(3), 0), (3, np.array(0)), (np.array([1, 4]), np.array(0))):
        for ours, right in zip(mg.split(Tensor(a), sections, axis), np.split(a, sections, int(axis)), strict=True):
            assert_same(ours.data, right)
    assert_same(mg.tensordot(Tensor(a), a.T, np.array(1)).data, np.tensordot(a, a.T, 1))
    for wrong in (lambda: mg.split(Tensor(a), 2.0), lambda: mg.split(Tensor(a), [1.5]),
                  lambda: mg.tensordot(Tensor(a), a.T, 1.0)):
        with pytest.raises(TypeError, match="integer"):
            wrong()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("cuts", [[3, 1], [3, 0], [2, -3], [6, 2, 2], [-1, 1]])
def test_places_to_split_at_may_be_out_of_order_and_parts_overlap(cuts: list[int], create_graph: bool) -> None:
    x, expected = Tensor(filled((2, 4))), np.zeros((2, 4))
    weighted: Any = 0.0
    for k, (part, where) in enumerate(zip(mg.split(x, cuts, 1), np.split(np.arange(4), cuts), strict=True), start=1):
        assert_same(part.data, x.data[:, where])
        weighted = weighted + (k * part).sum()
        expected[:, where] += k
    g = mg.grad(weighted, x, create_graph=create_graph)
    assert_same(g.data if create_graph else g, expected)


def test_ties_in_max_share_the_gradient_equally() -> None:
    x = Tensor([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    assert_same(mg.grad(x.max(axis=1).sum(), x), np.array([[0, 0.5, 0.5, 0], [0.25] * 4]))
    assert_same(mg.grad(x.min(), x), np.array([[0, 0, 0, 1.0], [0.0] * 4]))
    assert_same(mg.grad(x.max(axis=0).sum(), x), np.array([[0, 1, 1, 0], [1, 0, 0, 1.0]]))


def test_ties_in_maximum_and_minimum_give_half_to_each_side() -> None:
    a, b = Tensor([1.0, 2.0, 3.0]), Tensor([1.0, 5.0, -1.0])
    for ours, expected in [(mg.maximum, [0.5, 0, 1]), (mg.minimum, [0.5, 1, 0])]:
        ga, gb = mg.grad(ours(a, b).sum(), [a, b])
        assert_same(ga, np.array(expected))
        assert_same(gb, 1 - np.array(expected))


def test_empty_products_and_assignments_with_leading_ones_have_gradients() -> None:
    for a, b in (((2, 3, 0), (0, 4)), ((2, 3, 2), (2, 0)), ((0, 3, 2), (2, 4))):
        x, w = Tensor(np.ones(a)), Tensor(np.ones(b))
        (x @ w).sum().backward()
        assert (x.grad.shape, w.grad.shape) == (a, b)
    for shape in ((3,), (1, 3), (1, 1, 3), (1, 1)):
        x, v = Tensor(np.zeros((2, 3))), Tensor(np.full(shape, 2.0))
        (mg.index_update(x, 0, v) * np.arange(6.0).reshape(2, 3)).sum().backward()
        np.testing.assert_array_equal(x.grad, [[0, 0, 0], [3, 4, 5]])
        assert v.grad.shape == shape
        assert v.grad.sum() == 3


def test_einsum_refuses_axes_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="axis 'i' has lengths 1 and 2"):
        mg.einsum("ij,ij->ij", Tensor(np.ones((1, 3))), np.ones((2, 3)))
    with pytest.raises(ValueError, match="names 2 axes"):
        mg.einsum("ij->i", Tensor(np.ones(3)))


def test_numpy_integers_are_integers_and_a_shift_is_a_whole_number() -> None:
    x = Tensor(np.arange(4.0))
    assert mg.reshape(x, np.int64(4)).shape == (4,)
    assert [part.shape for part in mg.split(x, np.int64(2))] == [(2,), (2,)]
    assert_same(mg.roll(x, (1, 2)).data, np.roll(x.data, (1, 2)))
    for shift in (1.0, (1, 2.5), Tensor(1.0)):
        with pytest.raises(TypeError, match="shift must be an integer"):
            mg.roll(x, shift)
    with pytest.raises(ValueError, match="2 shifts for 3 axes"):
        mg.roll(Tensor(np.ones((2, 3, 4))), (1, 2), (0, 1, 2))


def test_an_axis_given_twice_is_refused() -> None:
    x = Tensor(np.ones((1, 1, 3)))
    for use in (mg.flip, mg.squeeze, mg.sum, mg.max, mg.prod, mg.norm, lambda x, axes: mg.moveaxis(x, axes, (0, 1)),
                lambda x, axes: mg.moveaxis(x, (0, 1), axes), lambda x, axes: mg.tensordot(x, x, (axes, (0, 1)))):
        for axes in ((0, 0), (1, -2)):
            with pytest.raises(ValueError, match=r"twice|duplicate"):
                use(x, axes)


def test_counts_of_repeat_are_checked() -> None:
    x = Tensor(np.ones((2, 3)))
    assert mg.repeat(x, 0, 1).shape == (2, 0)
    assert mg.repeat(Tensor(np.ones((0, 3))), 2, 0).shape == (0, 3)
    assert mg.repeat(Tensor(np.ones((0, 3))), [], 0).shape == (0, 3)
    with pytest.raises(TypeError, match="from 0 up, got -1"):
        mg.repeat(x, -1)
    with pytest.raises(TypeError, match="must be integers"):
        mg.repeat(x, 1.5)
    with pytest.raises(ValueError, match="2 counts for an axis of length 3"):
        mg.repeat(x, [1, 2], 1)
    with pytest.raises(ValueError, match="axis 2 is out of range"):
        mg.repeat(x, 2, 2)


def test_ties_in_a_sort_keep_their_order_and_each_its_gradient() -> None:
    x = Tensor([2.0, 1.0, 2.0, np.nan, 1.0])
    y = mg.sort(x)
    np.testing.assert_array_equal(y.data, [1.0, 1.0, 2.0, 2.0, np.nan])
    np.testing.assert_array_equal(mg.grad(y, x, seed=np.arange(5.0)), [2.0, 0.0, 3.0, 4.0, 1.0])
    assert mg.argsort(x).tolist() == [1, 4, 0, 2, 3]
    with pytest.raises(AttributeError, match="sorts in place"):
        x.sort()
    with pytest.raises(ValueError, match="sort: axis 1 is out of range"):
        mg.sort(x, 1)


def test_empty_arrays_pass_through_the_functions_of_shape() -> None:
    x = Tensor(np.ones((0, 3)))
    for f in (mg.sort, mg.diff, mg.flatten, mg.cumprod, lambda x: mg.sort(x, 0), lambda x: mg.cumprod(x, 0),
              lambda x: mg.vstack([x, x]), lambda x: mg.hstack([x, x]), lambda x: mg.append(x, []), mg.tril,
              lambda x: mg.dot(x, np.ones((3, 2))), lambda x: mg.tensordot(x, x, 2), lambda x: mg.kron(x, x),
              lambda x: mg.roll(x, (1, 1), (0, 1)), lambda x: mg.array_split(x, 2)[1],
              lambda x: mg.einsum("i...->...", x)):
        y = f(x)
        assert y.shape == np.shape(f(x.data))
        assert mg.grad(y, x, seed=np.ones(y.shape)).shape == (0, 3)


def test_an_array_of_nodes_and_numbers() -> None:
    a, b = Tensor(2.0), Tensor(3.0)
    y = mg.array([[a, a * b, 1], [0.0, b, np.float64(2)]])
    assert_same(y.data, [[2, 6, 1], [0, 3, 2]])
    assert_same(np.array(mg.grad(y.sum(), [a, b])), [4.0, 3.0])
    assert mg.array(a) is a
    assert type(mg.array([1.0, 2.0])) is np.ndarray
    with pytest.raises(ValueError, match=r"different shapes: \[\(\), \(2,\)\]"):
        mg.array([a, [1.0, 2.0]])


def test_array_split_and_padding_are_checked() -> None:
    x = Tensor(np.arange(7.0))
    assert [part.shape[0] for part in mg.array_split(x, 3)] == [3, 2, 2]
    assert [part.shape[0] for part in mg.array_split(x, 9)] == [1] * 7 + [0] * 2
    with pytest.raises(ValueError, match="must be positive, got 0"):
        mg.array_split(x, 0)
    with pytest.raises(ValueError, match="the only mode is 'constant', got 'edge'"):
        np.pad(x, 1, mode="edge")
    with pytest.raises(TypeError, match="a bound is given twice"):
        mg.clip(x, 0.0, min=1.0)
    with pytest.raises(ValueError, match="diff: n must not be negative"):
        mg.diff(x, -1)


def test_products_refuse_what_does_not_meet() -> None:
    a, b = Tensor(np.ones((2, 3))), np.ones((3, 4))
    with pytest.raises(ValueError, match=r"shapes \(2, 3\) and \(3, 4\): the lengths of axes \[1\] and \[1\]"):
        mg.inner(a, b)
    with pytest.raises(ValueError, match="3 axes cannot meet"):
        mg.tensordot(a, b, 3)
    with pytest.raises(ValueError, match="inner dimensions 3 and 2 differ"):
        mg.dot(a, a)
    with pytest.raises(ValueError, match="takes a vector or a matrix"):
        mg.diag(np.ones((2, 2, 2)))
    with pytest.raises(ValueError, match="at least one axis"):
        mg.triu(2.0)


@pytest.mark.parametrize(("subscripts", "words"), [
    ("ij,jk->ii", "the result has a letter twice"), ("ij,jk->il", "no operand has the axis 'l'"),
    ("...j,jk->k", "stands for 1 axes; the result must have it too"), ("ij.,jk", "the subscripts are letters"),
    ("ii,jk", "axis 'i' has lengths 2 and 3"), ("ij", "names 1 operands, 2 were given"), ("ijk...,jk", "names 3 axes"),
])
def test_einsum_says_what_is_wrong_with_the_subscripts(subscripts: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mg.einsum(subscripts, Tensor(np.ones((2, 3))), np.ones((3, 4)))


def test_einsum_with_numbers_for_letters_is_checked() -> None:
    x = Tensor(np.ones((2, 3)))
    assert_same(mg.einsum(x, [0, 51]).data, x.data)
    assert_same(mg.einsum(x, [Ellipsis, 1], [1, Ellipsis]).data, x.data.T)
    with pytest.raises(ValueError, match="from 0 to 51"):
        mg.einsum(x, [0, 52])
    with pytest.raises(TypeError, match="the subscripts come first"):
        mg.einsum(x, "ij")


def test_the_largest_entries_by_partition_get_the_gradient_wherever_they_stand() -> None:
    x = filled((3, 0, 5), 1)
    assert mg.partition(Tensor(x), 2).shape == (3, 0, 5)
    x = filled((3, 7), 1)
    for axis, kth in ((0, 1), (-1, -3), (1, [0, 5])):
        t = Tensor(x)
        y = mg.partition(t, kth, axis)
        assert_same(y.data, np.partition(x, kth, axis), rel=0)
        seed = filled(y.shape, 3)
        numeric = np.zeros_like(x)
        np.put_along_axis(numeric, np.argpartition(x, kth, axis), seed, axis)
        assert_same(mg.grad(y, t, seed=seed), numeric, rel=0)
    with pytest.raises(AttributeError, match="works in place"):
        t.partition(1)
    with pytest.raises(ValueError, match="partition: axis 2 is out of range"):
        mg.partition(t, 1, 2)
    with pytest.raises(ValueError, match="out of bounds"):
        mg.partition(t, 7)


# ------------------------------------------------------------------------------------------------ lists of Tensors
REDUCTIONS = [mg.sum, mg.mean, mg.max, mg.min, mg.prod, mg.var, mg.std, mg.norm, mg.logsumexp]


@pytest.mark.parametrize("f", REDUCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [None, 0, -1, (1, -2)])
def test_a_reduction_takes_a_list_of_tensors_as_it_takes_their_stack(f: Any, axis: Any) -> None:
    rows = [filled((4,), salt) for salt in range(3)]
    ours, stacked = [Tensor(row) for row in rows], Tensor(np.stack(rows))
    y, expected = f(ours, axis=axis), f(stacked, axis=axis)
    assert_same(y.data, expected.data, rel=0)
    assert_same(y.data, f(np.stack(rows), axis=axis), rel=0)
    seed = filled(y.shape, 4)
    assert_same(np.stack(mg.grad(y, ours, seed=seed)), mg.grad(expected, stacked, seed=seed), rel=0)


def test_append_and_norms_take_lists_with_tensors() -> None:
    a, b = Tensor(2.0), Tensor(3.0)
    assert mg.append([a, a * b], b).data.tolist() == [2.0, 6.0, 3.0]
    assert mg.append([[a, b]], [[1.0, a]], axis=0).shape == (2, 2)
    y = mg.append([1.0], [a, b]) * [1.0, 10.0, 100.0]
    assert mg.grad(y.sum(), [a, b]) == (10.0, 100.0)
    assert mg.grad(mg.linalg.norm([a, 7.0 * b, -b], 1), [a, b]) == (1.0, 8.0)


def test_an_array_of_tensors_in_a_precision() -> None:
    a = Tensor(2.0)
    x = mg.array([a, 1.0], dtype=np.float32)
    assert x.dtype == np.float32
    assert mg.array(a, np.float32).dtype == np.float32
    assert mg.array([1, 2], dtype=np.float32).dtype == np.float32
    x.backward(np.array([3.0, 4.0], np.float32))
    assert a.grad == 3.0
    assert a.grad.dtype == np.float64
    with pytest.raises(TypeError, match="carries no gradient"):
        mg.array([a, 1.0], dtype=int)


LISTED: dict[str, Any] = {f: getattr(mg, f) for f in (
    "sum", "mean", "max", "min", "prod", "var", "std", "norm", "logsumexp", "softmax", "log_softmax", "cumsum",
    "cumprod", "diff")}  # fmt: skip


@pytest.mark.parametrize("name", LISTED)
def test_reductions_softmax_and_running_sums_take_a_list_of_tensors(name: str) -> None:
    f, numbers = LISTED[name], [0.3, -1.2, 2.0]
    steps, whole = [Tensor(x) for x in numbers], Tensor(numbers)
    y, z = f(steps), f(whole)
    np.testing.assert_array_equal(y.data, z.data)
    np.testing.assert_array_equal(f(numbers), z.data)
    seed = np.arange(1.0, 1 + z.data.size).reshape(z.shape)
    np.testing.assert_array_equal(mg.grad(y, steps, seed=seed), mg.grad(z, whole, seed=seed))


@pytest.mark.parametrize("name", LISTED)
def test_what_is_neither_an_array_nor_a_list_is_refused(name: str) -> None:
    f, losses = LISTED[name], {"a": Tensor(1.0), "b": Tensor(2.0)}
    with pytest.raises(TypeError, match=rf"^{name}: a dict_values is neither .*; make a list of it: list\(\.\.\.\)"):
        f(losses.values())
    with pytest.raises(TypeError, match=f"^{name}: a generator is neither"):
        f(loss for loss in losses.values())
    with pytest.raises(TypeError, match=f"^{name}: a NoneType is neither an array nor a list of numbers$"):
        f(None)
    with pytest.raises(TypeError, match="a list that holds a Value is no array"):
        f([mg.Value(1.0), mg.Value(2.0)])
