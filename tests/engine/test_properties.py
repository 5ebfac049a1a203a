"""Properties over the tables (hypothesis): random shapes, broadcasting, axes and precisions, in both orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import microgradrnn as mg
from microgradrnn import Tensor

torch = pytest.importorskip("torch")

quick = settings(max_examples=25)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
filled_shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=3)
dtypes = st.sampled_from([np.float32, np.float64])
TOLERANCE = {np.dtype(np.float32): 2e-4, np.dtype(np.float64): 1e-11}


def numbers(shape: tuple[int, ...], salt: int, domain: str = "real", dtype: Any = np.float64) -> np.ndarray:
    """Distinct, between 0.15 and 0.85 in size, so that no function of the table is near a kink or a pole."""
    n = int(np.prod(shape))
    size = (np.arange(n) + 0.5) / max(n, 1) * 0.7 + 0.15
    sign = np.where(np.random.default_rng(salt + 50).random(n) < 0.5, -1, 1) if domain == "real" else 1
    lift = 1 if domain == "above 1" else 0
    return np.random.default_rng(salt).permutation(size * sign + lift).reshape(shape).astype(dtype)


def close(ours: Any, theirs: Any, dtype: Any) -> None:
    """Equal to the precision of a dtype, relative to the largest entry, at least 1; and of that dtype."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.dtype == dtype
    assert ours.shape == theirs.shape
    scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
    atol = TOLERANCE[np.dtype(dtype)] * scale
    np.testing.assert_allclose(ours.astype(float), theirs.astype(float), rtol=0, atol=atol)


def check_against_torch(ours: Callable[..., Any], theirs: Callable[..., Any], arrays: list[np.ndarray]) -> None:
    """Value, gradient, and the gradient of a gradient, each in the precision of the inputs; PyTorch works in double."""
    dtype = np.result_type(*arrays)
    xs = [Tensor(a) for a in arrays]
    ts = [torch.tensor(a.astype(np.float64), requires_grad=True) for a in arrays]
    y, t = ours(*xs), theirs(*ts)
    close(y.data, t.detach().numpy(), dtype)
    seed = numbers(y.shape, 7)
    gs = mg.grad(y, xs, seed=seed)
    g_ts = torch.autograd.grad(t, ts, torch.tensor(seed), retain_graph=True)
    for x, g, g_t in zip(xs, gs, g_ts, strict=True):
        close(g, g_t.numpy(), x.dtype)

    directions = [numbers(x.shape, 8) for x in xs]
    slopes = mg.grad((y * y * seed.astype(dtype)).sum(), xs, create_graph=True)
    slope = sum((g * v.astype(g.dtype)).sum() for g, v in zip(slopes, directions, strict=True))
    second = mg.grad(slope, xs)
    slopes_t = torch.autograd.grad((t * t * torch.tensor(seed)).sum(), ts, create_graph=True)
    slope_t = sum((g * torch.tensor(v)).sum() for g, v in zip(slopes_t, directions, strict=True))
    for x, g, g_t in zip(xs, second, torch.autograd.grad(slope_t, ts), strict=True):
        close(g, g_t.numpy(), x.dtype)


F = torch.nn.functional
UNARY: dict[str, tuple[Any, str]] = {
    **{name: (getattr(torch, name), "real") for name in (
        "abs", "arccos", "arcsin", "arcsinh", "arctan", "arctanh", "cos", "cosh", "erf", "exp", "exp2", "expm1",
        "negative", "reciprocal", "relu", "sigmoid", "sin", "sinh", "square", "tan", "tanh",
    )},
    **{name: (getattr(torch, name), "positive") for name in ("log", "log1p", "log2", "log10", "sqrt")},
    "arccosh": (torch.arccosh, "above 1"),
    "softplus": (F.softplus, "real"),
}  # fmt: skip
FLAT = ("ceil", "floor", "round", "sign")
BINARY: dict[str, Any] = {
    name: getattr(torch, name) for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")
}
BINARY |= {name: getattr(torch, name) for name in ("arctan2", "hypot", "logaddexp", "remainder")}
BINARY["power"] = torch.pow


@pytest.mark.parametrize("name", UNARY)
@quick
@given(shapes, dtypes)
def test_functions_of_one_number(name: str, shape: tuple[int, ...], dtype: Any) -> None:
    theirs, domain = UNARY[name]
    check_against_torch(getattr(mg, name), theirs, [numbers(shape, 1, domain, dtype)])


@pytest.mark.parametrize("name", FLAT)
@quick
@given(filled_shapes, dtypes)
def test_flat_functions_send_no_gradient(name: str, shape: tuple[int, ...], dtype: Any) -> None:
    x = Tensor(numbers(shape, 1, dtype=dtype) * 4)
    y = getattr(mg, name)(x)
    close(y.data, getattr(np, name)(x.data), dtype)
    close(mg.grad(y, x, seed=np.ones(shape)), np.zeros(shape), dtype)
    close(mg.grad(y * x, x, seed=np.ones(shape)), y.data, dtype)


@pytest.mark.parametrize("name", BINARY)
@quick
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3), dtypes, dtypes)
def test_functions_of_two_numbers_broadcast(name: str, pair: Any, first: Any, second: Any) -> None:
    a, b = (numbers(shape, k, "positive", dtype) for k, (shape, dtype) in
            enumerate(zip(pair.input_shapes, (first, second), strict=True)))
    if first != second:  # each gradient comes back in its input's precision, but is no better than the coarser one
        a, b = a.astype(np.float32).astype(first), b.astype(np.float32).astype(second)
        x, y = Tensor(a), Tensor(b)
        out = getattr(mg, name)(x, y)
        assert out.dtype == np.float64
        gx, gy = mg.grad(out, [x, y], seed=numbers(out.shape, 3), create_graph=True)
        assert (gx.dtype, gy.dtype) == (first, second)
        assert (gx.shape, gy.shape) == (a.shape, b.shape)
        return
    if name in ("maximum", "minimum", "remainder"):
        b = (b * 1.01).astype(second)  # no ties, and no whole multiples
    check_against_torch(getattr(mg, name), BINARY[name], [a, b])


@quick
@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3), dtypes)
def test_where_and_clip_broadcast(three: Any, dtype: Any) -> None:
    a, b, c = (numbers(shape, k, "real", dtype) for k, shape in enumerate(three.input_shapes))
    condition = c > 0
    check_against_torch(lambda x, y: mg.where(condition, x, y), lambda x, y: torch.where(torch.tensor(condition), x, y),
                        [a, b])
    low, high = np.minimum(b, c), np.maximum(b, c) + np.asarray(0.01, dtype)
    check_against_torch(lambda x: mg.clip(x, low, high),
                        lambda x: torch.clip(x, torch.tensor(low.astype(float)), torch.tensor(high.astype(float))), [a])


@st.composite
def reductions(draw: Any, one_axis: bool = False) -> tuple[tuple[int, ...], Any, bool]:
    """A shape, an axis (none, one, several; negative ones too), and keepdims."""
    shape = draw(filled_shapes)
    axes = st.none()
    if shape:
        one = st.integers(-len(shape), len(shape) - 1)
        several = st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True).flatmap(
            lambda some: st.tuples(*[st.sampled_from([i, i - len(shape)]) for i in some])
        )
        axes = st.one_of(st.none(), one) if one_axis else st.one_of(st.none(), one, several)
    return shape, draw(axes), draw(st.booleans())


def over_last(f: Callable[[Any], Any], shape: tuple[int, ...], axis: Any, keepdims: bool) -> Callable[[Any], Any]:
    """A PyTorch function of the last axis as one of any axes: they are moved there and flattened."""
    axes = tuple(range(len(shape))) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = tuple(i % len(shape) for i in axes)
    rest = [i for i in range(len(shape)) if i not in axes]
    kept = [1 if i in axes else n for i, n in enumerate(shape)] if keepdims else [shape[i] for i in rest]
    return lambda x: f(x.permute((*rest, *axes)).reshape([*(shape[i] for i in rest), -1])).reshape(kept)


REDUCTIONS: dict[str, Any] = {
    "sum": lambda x: x.sum(-1),
    "mean": lambda x: x.mean(-1),
    "max": lambda x: x.amax(-1),
    "min": lambda x: x.amin(-1),
    "prod": lambda x: x.prod(-1),
    "var": lambda x: x.var(-1, correction=0),
    "norm": lambda x: torch.sqrt((x * x).sum(-1)),
    "logsumexp": lambda x: x.logsumexp(-1),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@quick
@given(reductions(), dtypes)
def test_reductions_over_any_axes(name: str, case: Any, dtype: Any) -> None:
    shape, axis, keepdims = case
    check_against_torch(lambda x: getattr(mg, name)(x, axis=axis, keepdims=keepdims),
                        over_last(REDUCTIONS[name], shape, axis, keepdims), [numbers(shape, 2, dtype=dtype)])


@quick
@given(reductions(), st.integers(0, 1))
def test_standard_deviations_over_any_axes(case: Any, ddof: int) -> None:
    shape, axis, keepdims = case
    axes = tuple(range(len(shape))) if axis is None else (axis,) if isinstance(axis, int) else axis
    if np.prod([shape[i] for i in axes]) < 2:  # one number has no spread; see the edges
        return
    check_against_torch(lambda x: mg.std(x, axis, keepdims, ddof),
                        over_last(lambda x: x.std(-1, correction=ddof), shape, axis, keepdims), [numbers(shape, 2)])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@quick
@given(reductions(one_axis=True), dtypes)
def test_the_softmax_family_along_any_axis(name: str, case: Any, dtype: Any) -> None:
    shape, axis, _ = case
    if not shape:
        return
    axis = -1 if axis is None else axis
    check_against_torch(lambda x: getattr(mg, name)(x, axis), lambda x: getattr(torch, name)(x, axis),
                        [numbers(shape, 2, dtype=dtype) * np.asarray(5, dtype)])


# ------------------------------------------------------------------ operations that move numbers: y = A x
def check_linear(ours: Callable[[Any], Any], theirs: Callable[[Any], Any], shape: tuple[int, ...], dtype: Any) -> None:
    """A linear map: NumPy's value; the gradient is the transposed map; and so is that of the gradient, of the seed."""
    x = Tensor(numbers(shape, 1, dtype=dtype))
    y = ours(x)
    close(y.data, theirs(x.data), dtype)
    seed = Tensor(numbers(y.shape, 2, dtype=dtype))
    g = mg.grad(y, x, seed=seed.data)
    columns = [theirs(e.reshape(shape)) for e in np.eye(x.size, dtype=dtype)]
    transposed = np.array([float((c * seed.data).sum()) for c in columns]).reshape(shape)
    close(g, transposed, dtype)
    recorded = mg.grad(y, x, seed=seed, create_graph=True)
    close(recorded.data, transposed, dtype)
    if y.size and x.size:
        v = numbers(shape, 3, dtype=dtype)
        close(mg.grad(recorded, seed, seed=v), theirs(v), dtype)


@st.composite
def layouts(draw: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """An operation that only moves numbers: ours, NumPy's, and a shape it fits."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=3))
    n = len(shape)
    axis = draw(st.integers(-n, n - 1))
    other = draw(st.integers(-n, n - 1))
    several = tuple(draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1)))
    shift = draw(st.integers(-5, 5))
    reps = tuple(draw(st.lists(st.integers(0, 2), min_size=1, max_size=5)))
    widths = tuple(draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in shape)
    indices = np.array(draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), max_size=4)), dtype=int)
    new = draw(st.integers(-n - 1, n))
    offset = draw(st.integers(-3, 3))
    order = draw(st.permutations(range(n)))
    places = sorted(draw(st.lists(st.integers(0, shape[axis]), max_size=2)))
    choices: list[tuple[Any, Any]] = [
        (lambda x: mg.flip(x, axis), lambda x: np.flip(x, axis)),
        (lambda x: mg.flip(x, several), lambda x: np.flip(x, several)),
        (lambda x: mg.roll(x, shift, axis), lambda x: np.roll(x, shift, axis)),
        (lambda x: mg.roll(x, shift), lambda x: np.roll(x, shift)),
        (lambda x: mg.tile(x, reps), lambda x: np.tile(x, reps)),
        (lambda x: mg.pad(x, widths), lambda x: np.pad(x, widths)),
        (lambda x: mg.take(x, indices, axis), lambda x: np.take(x, indices, axis)),
        (lambda x: mg.take(x, indices % max(x.size, 1)), lambda x: np.take(x, indices % max(x.size, 1))),
        (lambda x: mg.expand_dims(x, new), lambda x: np.expand_dims(x, new)),
        (lambda x: mg.squeeze(mg.expand_dims(x, new), new), lambda x: x),
        (mg.squeeze, np.squeeze),
        (mg.ravel, np.ravel),
        (lambda x: mg.transpose(x, order), lambda x: np.transpose(x, order)),
        (lambda x: mg.swapaxes(x, axis, other), lambda x: np.swapaxes(x, axis, other)),
        (lambda x: mg.cumsum(x, axis), lambda x: np.cumsum(x, axis)),
        (mg.cumsum, np.cumsum),
        (lambda x: mg.broadcast_to(x, (2, *shape)), lambda x: np.broadcast_to(x, (2, *shape))),
        (lambda x: mg.reshape(x, (-1, shape[0])), lambda x: np.reshape(x, (-1, shape[0]))),
        (lambda x: mg.split(x, places, axis)[-1], lambda x: np.split(x, places, axis)[-1]),
        (lambda x: mg.concat([x, 2 * x], axis), lambda x: np.concatenate([x, 2 * x], axis)),
        (lambda x: mg.stack([x, 2 * x], new), lambda x: np.stack([x, 2 * x], new)),
    ]
    if axis % n != other % n:
        choices += [
            (lambda x: mg.diagonal(x, offset, axis, other), lambda x: np.diagonal(x, offset, axis, other)),
            (lambda x: mg.trace(x, offset, axis, other), lambda x: np.trace(x, offset, axis, other)),
        ]
    ours, theirs = draw(st.sampled_from(choices))
    return ours, theirs, shape


@settings(max_examples=400)
@given(layouts(), dtypes)
def test_moving_numbers_has_the_transposed_map_as_gradient(case: Any, dtype: Any) -> None:
    ours, theirs, shape = case
    check_linear(ours, theirs, shape, dtype)


@settings(max_examples=100)
@given(st.data())
def test_index_update_and_scatter_at_any_index(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    kind = data.draw(st.sampled_from(["basic", "mask", "integers"]))
    if kind == "basic":
        index = data.draw(hnp.basic_indices(shape))
    elif kind == "mask":
        index = data.draw(hnp.arrays(bool, shape))
    else:  # no place twice
        index = (np.array(data.draw(st.lists(st.integers(0, shape[0] - 1), unique=True, max_size=3)), dtype=int),)
    base = np.zeros(shape)
    part = base[index]

    def written(values: np.ndarray) -> np.ndarray:
        y = np.zeros(shape, values.dtype)
        y[index] = values
        return y

    def blanked(x: np.ndarray) -> np.ndarray:
        y = x.copy()
        y[index] = 0
        return y

    check_linear(lambda v: mg.index_update(base, index, v), written, np.shape(part), np.float64)
    check_linear(lambda v: mg.scatter(v, index, shape), written, np.shape(part), np.float64)
    check_linear(lambda x: mg.index_update(x, index, 0.0), blanked, shape, np.float64)
    one = Tensor(2.0)
    y = mg.index_update(base, index, one)
    assert mg.grad(y.sum(), one) == np.size(part)


@settings(max_examples=60)
@given(st.data())
def test_scatter_adds_up_where_an_index_repeats(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    index = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))

    def added(values: np.ndarray) -> np.ndarray:
        y = np.zeros(shape, values.dtype)
        np.add.at(y, index, values)
        return y

    check_linear(lambda v: mg.scatter(v, index, shape), added, np.zeros(shape)[index].shape, np.float64)


@st.composite
def einsums(draw: Any) -> tuple[str, list[tuple[int, ...]]]:
    """Random subscripts of one to three operands, and shapes for them."""
    lengths = {c: draw(st.integers(1, 3)) for c in "abcd"}
    inputs = ["".join(draw(st.permutations(sorted(draw(st.sets(st.sampled_from("abcd"), max_size=3))))))
              for _ in range(draw(st.integers(1, 3)))]
    used = sorted(set("".join(inputs)))
    out = "".join(draw(st.permutations(sorted(draw(st.sets(st.sampled_from(used))))))) if used else ""
    text = ",".join(inputs) + ("->" + out if draw(st.booleans()) else "")
    return text, [tuple(lengths[c] for c in name) for name in inputs]


@settings(max_examples=150)
@given(einsums(), dtypes)
def test_einsum_of_any_subscripts(case: Any, dtype: Any) -> None:
    text, sizes = case
    explicit = text if "->" in text else text + "->" + "".join(sorted(c for c in "abcd" if text.count(c) == 1))
    arrays = [numbers(shape, k, dtype=dtype) for k, shape in enumerate(sizes)]
    np.testing.assert_allclose(mg.einsum(text, *arrays), np.einsum(text, *arrays), rtol=1e-5)
    check_against_torch(lambda *xs: mg.einsum(text, *xs), lambda *xs: torch.einsum(explicit, *xs), arrays)


@quick
@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, min_side=1, max_side=3), dtypes)
def test_products_of_any_ranks_in_both_orders(pair: Any, dtype: Any) -> None:
    arrays = [numbers(shape, k, dtype=dtype) for k, shape in enumerate(pair.input_shapes)]
    check_against_torch(mg.matmul, torch.matmul, arrays)


@quick
@given(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3), st.sampled_from(["none", "row", "full", "one"]), dtypes)
def test_affine_is_a_product_and_a_sum(B: int, D: int, H: int, bias: str, dtype: Any) -> None:
    shape = {"none": (), "row": (H,), "full": (B, H), "one": (1, 1)}[bias]
    arrays = [numbers(s, k, dtype=dtype) for k, s in enumerate([(B, D), (D, H), shape])]
    check_against_torch(mg.affine, lambda x, W, b: x @ W + b, arrays)


@quick
@given(filled_shapes, st.floats(0, 0.9), st.integers(0, 100), dtypes)
def test_dropout_keeps_or_scales_and_its_gradient_does_the_same(shape: Any, p: float, seed: int, dtype: Any) -> None:
    x = Tensor(numbers(shape, 1, dtype=dtype))
    y = mg.dropout(x, p, rng=np.random.default_rng(seed))
    kept = y.data != 0
    close(y.data, np.where(kept, x.data / np.asarray(1 - p, dtype), 0), dtype)
    close(mg.grad(y, x, seed=np.ones(shape)), kept / (1 - p), dtype)
    again = mg.dropout(x.data, p, rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(again, y.data)


@quick
@given(filled_shapes, dtypes, dtypes)
def test_astype_keeps_each_gradient_in_its_inputs_precision(shape: Any, first: Any, second: Any) -> None:
    x = Tensor(numbers(shape, 1, dtype=first))
    y = mg.astype(x, second)
    assert y.dtype == second
    g = mg.grad((y * y).sum(), x, create_graph=True)
    assert g.dtype == first
    np.testing.assert_allclose(g.data, 2 * x.data, rtol=1e-6)
    np.testing.assert_allclose(mg.grad(g.sum(), x), np.full(shape, 2.0))
