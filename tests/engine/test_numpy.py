"""NumPy's own functions on nodes: the gradient comes through, or an error names our function. Nothing in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value
from microgradrnn.engine import Node
from tests.numerics import assert_same, finite_differences

ROWS = np.array([[0.3, -1.2, 0.8], [1.7, 0.4, -0.6]])
ONES = np.ones((1, 3))
LEFT = np.array([[1.5, -0.5], [0.25, 2.0]])

# Each is called on an array and on a Tensor; with what NumPy offers, in the ways people write it.
WORKING: dict[str, Any] = {
    "add": lambda x: np.add(x, 2.0),
    "add, array first": lambda x: np.add(ROWS, x),
    "subtract": lambda x: np.subtract(1.0, x),
    "multiply": lambda x: np.multiply(x, x),
    "true_divide": lambda x: np.true_divide(1.0, x),
    "divide": lambda x: np.divide(x, ROWS),
    "power": lambda x: np.power(x, 2),
    "negative": np.negative,
    "absolute": np.absolute,
    "abs": np.abs,
    "square": np.square,
    "reciprocal": np.reciprocal,
    "sqrt": lambda x: np.sqrt(np.square(x) + 1),
    "exp, log": lambda x: np.log(1 + np.exp(x)),
    "expm1, log1p": lambda x: np.log1p(np.expm1(x) + 2),
    "log2": lambda x: np.log2(np.abs(x)),
    "circular": lambda x: np.sin(x) * np.cos(x) + np.tan(x / 2),
    "inverse": lambda x: np.arcsin(x / 2) + np.arccos(x / 2) + np.arctan(x) + np.arctanh(x / 2),
    "hyperbolic": lambda x: np.sinh(x) + np.cosh(x) * np.tanh(x),
    "maximum": lambda x: np.maximum(x, 0.1),
    "minimum": lambda x: np.minimum(0.1, x),
    "clip": lambda x: np.clip(x, -0.5, 1.0),
    "clip, named": lambda x: np.clip(x, a_min=None, a_max=0.5),
    "where": lambda x: np.where(ROWS > 0, x, x * x),
    "sign": lambda x: np.sign(x) * x,
    "floor": lambda x: np.floor(x) * x,
    "ceil": lambda x: np.ceil(x) * x,
    "sum": np.sum,
    "sum, axis": lambda x: np.sum(x, 1),
    "sum, named": lambda x: np.sum(x, axis=-1, keepdims=True),
    "mean": lambda x: np.mean(x, axis=0),
    "prod": lambda x: np.prod(x, axis=1),
    "max": lambda x: np.max(x, axis=0),
    "amax": lambda x: np.amax(x, 1),
    "amin": lambda x: np.amin(x),
    "var": lambda x: np.var(x, axis=1, ddof=1),
    "std": lambda x: np.std(x, axis=0, keepdims=True),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "linalg.norm": np.linalg.norm,
    "linalg.norm, axis": lambda x: np.linalg.norm(x, axis=1, keepdims=True),
    "matmul": lambda x: np.matmul(LEFT, x),
    "@": lambda x: LEFT @ x,
    "einsum": lambda x: np.einsum("ij,jk->ik", LEFT, x),
    "einsum, implicit": lambda x: np.einsum("ij,kj", LEFT, np.transpose(x)),
    "outer": lambda x: np.outer(x, LEFT),
    "trace": lambda x: np.trace(x, 1),
    "diagonal": lambda x: np.diagonal(x, -1),
    "concatenate": lambda x: np.concatenate([x, ONES]),
    "concatenate, axis": lambda x: np.concatenate((LEFT, x, x), axis=1),
    "stack": lambda x: np.stack([ROWS, x], axis=-1),
    "split": lambda x: np.split(x, 3, axis=1)[1] * 2.0,
    "reshape": lambda x: np.reshape(x, (3, 2)) @ LEFT,
    "ravel": lambda x: np.ravel(x) * np.arange(6.0),
    "transpose": lambda x: np.transpose(x) @ LEFT,
    "swapaxes": lambda x: np.swapaxes(x, 0, 1) * 2.0,
    "squeeze": lambda x: np.squeeze(np.expand_dims(x, 1), axis=1) * x,
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)) * 2.0,
    "flip": lambda x: np.flip(x, 1) * ROWS,
    "pad": lambda x: np.pad(x, ((1, 0), (0, 2))),
    "roll": lambda x: np.roll(x, 2, axis=1) * ROWS,
    "tile": lambda x: np.tile(x, (2, 1)),
    "take": lambda x: np.take(x, [0, 2, 2], axis=1),
    "round": lambda x: np.round(x) * x,
    "remainder": lambda x: np.remainder(x, 0.37) + np.mod(2.3, x) + x % 0.41,
    "log10, exp2": lambda x: np.log10(np.exp2(x) + 1),
    "logaddexp": lambda x: np.logaddexp(x, ROWS[::-1]),
    "hypot, arctan2": lambda x: np.hypot(x, 2.0) * np.arctan2(x, ROWS[::-1]),
    "arcsinh, arccosh": lambda x: np.arcsinh(x) * np.arccosh(np.square(x) + 1.5),
    "around": lambda x: np.around(x, 1) * x,
    "clip, min= and max=": lambda x: np.clip(x, min=-0.5, max=1.0),
    "dot": lambda x: np.dot(LEFT, x),
    "dot, a vector": lambda x: np.dot(x, [1.0, 2.0, 3.0]),
    "inner": lambda x: np.inner(x, ROWS),
    "tensordot": lambda x: np.tensordot(x, LEFT, axes=([0], [1])),
    "kron": lambda x: np.kron(LEFT, x),
    "diag": lambda x: np.diag(x, 1) * 2.0,
    "diag, of a vector": lambda x: np.diag(np.ravel(x), k=-1),
    "tril": lambda x: np.tril(x, -1),
    "triu": lambda x: np.triu(x, k=1),
    "einsum, ...": lambda x: np.einsum("...j,...j->...", x, ROWS),
    "einsum, lists": lambda x: np.einsum(x, [0, 1], LEFT, [0, 2], [2, 1]),
    "outer, a number": lambda x: np.outer(x, 2.0),
    "hstack": lambda x: np.hstack([x, LEFT]),
    "vstack": lambda x: np.vstack((x, ONES, [1.0, 2.0, 3.0])),
    "column_stack": lambda x: np.column_stack([x, [1.0, 2.0], x]),
    "concatenate, flat": lambda x: np.concatenate([x, ONES], axis=None),
    "append": lambda x: np.append(x, [1.0, 2.0]) * np.arange(8.0),
    "append, axis": lambda x: np.append(x, ONES, axis=0),
    "array, like": lambda x: np.array([x[0], x[1] * x[0]], like=x),
    "array_split": lambda x: np.array_split(x, 2, axis=1)[0] * 2.0,
    "atleast_1d": lambda x: np.atleast_1d(x[0, 0], x)[0] * ROWS,
    "atleast_2d": lambda x: np.atleast_2d(x[0]) * ROWS,
    "atleast_3d": lambda x: np.atleast_3d(x) * np.arange(4.0),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1) @ LEFT,
    "flatten": lambda x: x.flatten() * np.arange(6.0),
    "repeat": lambda x: np.repeat(x, [2, 0, 1], axis=1) * ROWS,
    "repeat, a method": lambda x: x.repeat(2) * np.arange(12.0),
    "cumprod": lambda x: np.cumprod(x, axis=1) + x.cumprod(0),
    "diff": lambda x: np.diff(x, axis=0) * ROWS,
    "sort": lambda x: np.sort(x, axis=0) * ROWS,
    "partition": lambda x: np.partition(x, 1, axis=1) * ROWS,
    "partition, flat": lambda x: np.partition(x, (1, 4), axis=None) * np.arange(6.0),
    "sort, flat": lambda x: np.sort(x, axis=None) * np.arange(6.0),
    "argsort": lambda x: np.take(x, np.argsort(x, axis=None)) * np.arange(6.0),
    "pad, constant": lambda x: np.pad(x, 1, mode="constant", constant_values=2.0),
    "pad, mode by position": lambda x: np.pad(x, 1, "constant"),
    "roll, axes": lambda x: np.roll(x, (1, 2), axis=(0, 1)) * ROWS,
    "linalg.solve": lambda x: np.linalg.solve(LEFT, x),
    "linalg.solve, a node on the left": lambda x: np.linalg.solve(x @ x.T, [1.0, 2.0]),
    "linalg.inv": lambda x: np.linalg.inv(x @ x.T),
    "linalg.det": lambda x: np.linalg.det(x @ x.T),
    "linalg.slogdet": lambda x: np.linalg.slogdet(x @ x.T).logabsdet * np.linalg.slogdet(x[:, :2])[0],
    "linalg.cholesky": lambda x: np.linalg.cholesky(x @ x.T),
    "linalg.eigh": lambda x: np.linalg.eigh(x @ x.T).eigenvalues * np.linalg.eigh(x @ x.T).eigenvectors ** 2,
    "linalg.pinv": lambda x: np.linalg.pinv(x) + np.linalg.pinv(x[:, :2], 1e-9)[:1] @ [2.0, 1.0],
    "linalg.matrix_power": lambda x: np.linalg.matrix_power(x[:, :2], 3) @ np.linalg.matrix_power(x[:, 1:], -1),
    "linalg.eigh, UPLO": lambda x: np.linalg.eigh(x[:, :2], "U").eigenvectors * np.linalg.eigh(x[:, 1:], UPLO="L")[1],
    "linalg.svd": lambda x: np.linalg.svd(x, full_matrices=False).S,
    "linalg.svd, values": lambda x: np.linalg.svd(x, compute_uv=False),
    **{f"linalg.norm, {ord}": lambda x, ord=ord: np.linalg.norm(x, ord)
       for ord in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)},
    **{f"linalg.norm of rows, {ord}": lambda x, ord=ord: np.linalg.norm(x, ord=ord, axis=1, keepdims=True)
       for ord in (1, 2, 3.5, 0.5, np.inf, -np.inf)},
    "deg2rad, degrees": lambda x: np.deg2rad(x) * np.degrees(x) + np.rad2deg(x) * np.radians(x),
    "fabs, mod": lambda x: np.fabs(x) * np.mod(x, 0.37),
    "nan_to_num": lambda x: np.nan_to_num(x * [1.0, np.nan, np.inf], nan=2.0, posinf=3.0, neginf=-3.0) * x,
    "select": lambda x: np.select([ROWS > 1, ROWS < 0], [x * x, np.exp(x)], default=x),
    "linspace": lambda x: np.linspace(x, 2.0, 4),
    "linspace, axis": lambda x: np.linspace(x[0], x[1], 3, endpoint=False, axis=-1),
    "linspace, one point and none": lambda x: np.concatenate([np.linspace(x, 1.0, 1), np.linspace(x, x, 0)]),
    "flipud, fliplr": lambda x: np.flipud(x) * np.fliplr(x),
    "vsplit": lambda x: np.vsplit(x, 2)[1] * 2.0,
    "hsplit": lambda x: np.hsplit(x, [1, 2])[2] * np.hsplit(x[0], 3)[0],
    "dsplit": lambda x: np.dsplit(np.atleast_3d(x), 1)[0] * 2.0,
    "round to a decimal": lambda x: np.round(x, 1) * np.round(x, decimals=2) * x,
}


@pytest.mark.parametrize("name", WORKING)
def test_numpys_function_gives_numpys_value_and_the_right_gradient(name: str) -> None:
    f = WORKING[name]
    x = Tensor(ROWS)
    y = f(x)
    assert isinstance(y, Tensor)
    expected = f(ROWS)
    assert_same(y.data, expected, rel=1e-14)
    seed = np.random.default_rng(0).uniform(0.5, 1.5, np.shape(expected))
    numeric = finite_differences(lambda a: float((f(a) * seed).sum()), [ROWS])[0]
    assert_same(mg.grad(y, x, seed=seed), numeric, rel=1e-8)


MASK = np.array([[True, False, True], [False, True, True]])
CUBE = np.arange(24.0).reshape(2, 3, 4)

# What we do not do as NumPy does it. Each must raise, and say what to do.
REFUSED: dict[str, tuple[Any, str]] = {
    "out=": (lambda t: np.tanh(t, out=np.zeros((2, 3))), "out= writes in place"),
    "out, by position": (lambda t: np.tanh(t, np.zeros((2, 3))), "out= writes in place"),
    "sum, out=": (lambda t: np.sum(t, axis=0, out=np.zeros(3)), "out= writes in place"),
    "where=": (lambda t: np.add(t, 1.0, where=MASK), "np.add on a node takes no where="),
    "sum, where=": (lambda t: np.sum(t, where=MASK), "np.sum .* 'where'"),
    "dtype=": (lambda t: np.exp(t, dtype=np.float32), "np.exp on a node takes no dtype="),
    "sum, dtype=": (lambda t: np.sum(t, dtype=np.float32), "np.sum .* 'dtype'"),
    "sum, dtype by position": (lambda t: np.sum(t, 0, np.float32), "np.sum on a node: .* by name"),
    "max, out by position": (lambda t: np.max(t, 0, np.zeros(3)), "np.max on a node: .* by name"),
    "std, by position": (lambda t: np.std(t, 0, None, None, 1), "np.std on a node: .* by name"),
    "linalg.trace of the last axes": (lambda t: np.linalg.trace(mg.stack([t, t, t])), "no counterpart"),
    "linalg.diagonal of the last axes": (lambda t: np.linalg.diagonal(mg.stack([t, t, t])), "no counterpart"),
    "pad, a number for each side": (lambda t: np.pad(t, 1, constant_values=(1, 2)), "one plain number"),
    "pad, stat_length=": (lambda t: np.pad(t, 1, "constant", stat_length=2), "np.pad .* 'stat_length'"),
    "sort, kind=": (lambda t: np.sort(t, kind="stable"), "np.sort .* 'kind'"),
    "partition, kind=": (lambda t: np.partition(t, 1, kind="introselect"), "np.partition .* 'kind'"),
    "diff, prepend=": (lambda t: np.diff(t, prepend=0), "np.diff .* 'prepend'"),
    "cumprod, dtype by position": (lambda t: np.cumprod(t, 0, np.float32), "np.cumprod on a node: .* by name"),
    "linalg.svd, hermitian=": (lambda t: np.linalg.svd(t, hermitian=True), "np.svd .* 'hermitian'"),
    "linalg.pinv, hermitian=": (lambda t: np.linalg.pinv(t, hermitian=True), "np.pinv .* 'hermitian'"),
    "linalg.qr": (lambda t: np.linalg.qr(t), "np.qr has no counterpart"),
    "reshape, order": (lambda t: np.reshape(t, (3, 2), order="F"), "np.reshape .* 'order'"),
    "ravel, order by position": (lambda t: np.ravel(t, "F"), "np.ravel .* positional"),
    "clip, out by position": (lambda t: np.clip(t, 0, 1, np.zeros((2, 3))), "np.clip .* positional"),
    "einsum, out=": (lambda t: np.einsum("ij->j", t, out=np.zeros(3)), "out="),
    "add.reduce": (lambda t: np.add.reduce(t), r"np.add.reduce has no counterpart"),
    "add.accumulate": (lambda t: np.add.accumulate(t), r"np.add.accumulate has no counterpart"),
    "multiply.outer": (lambda t: np.multiply.outer(t, ROWS), r"np.multiply.outer has no counterpart"),
    "add.at": (lambda t: np.add.at(np.zeros((2, 3)), 0, t), r"np.add.at has no counterpart"),
    "median": (np.median, "np.median has no counterpart"),
    "nan_to_num, copy=": (lambda t: np.nan_to_num(t, copy=False), "np.nan_to_num .* 'copy'"),
    "linspace, retstep=": (lambda t: np.linspace(t, 1.0, retstep=True), "np.linspace .* 'retstep'"),
    "linspace, dtype=": (lambda t: np.linspace(t, 1.0, dtype=np.float32), "np.linspace .* 'dtype'"),
    "interp": (lambda t: np.interp(t, [0, 1], [0, 1]), "no counterpart"),
    "full_like": (lambda t: np.full_like(ROWS, t), "no counterpart"),
    "fmod": (lambda t: np.fmod(t, 2.0), "np.fmod has no counterpart"),
    "fft": (lambda t: np.fft.fft(t), "np.fft has no counterpart"),
    "apply_along_axis": (lambda t: np.apply_along_axis(np.sum, 0, t), "no counterpart"),
    "a list of nodes": (lambda t: np.sum([t, t]), "without losing its gradient"),
    "an array of nodes": (lambda t: np.array([t, t]), r"microgradrnn.array\(\[...\]\) for a list of Tensors"),
    "an array in place": (lambda t: ROWS.copy().__iadd__(t), "out= writes in place"),
    "an assigned array": (lambda t: ROWS.copy().__setitem__(slice(None), t), "without losing its gradient"),
    "where, one argument": (lambda t: np.where(t), "np.where"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_we_do_not_have_is_refused(name: str) -> None:
    use, words = REFUSED[name]
    t = Tensor(ROWS)
    with pytest.raises(TypeError, match=words):
        use(t)
    assert_same(t.data, ROWS)


@pytest.mark.parametrize("use", [np.shape, np.ndim, np.size, np.argmax, np.argmin, np.argsort, np.isnan, np.isfinite,
                                 np.isinf, np.any, np.all, np.count_nonzero, np.zeros_like, np.ones_like,
                                 lambda t: np.greater(t, 0), lambda t: np.equal(t, ROWS), lambda t: np.less_equal(1, t),
                                 lambda t: np.allclose(t, ROWS), lambda t: np.array_equal(ROWS, t), np.result_type])
def test_questions_get_plain_answers(use: Any) -> None:
    answer = use(Tensor(ROWS))
    assert not isinstance(answer, Node)
    np.testing.assert_equal(answer, use(ROWS))


def test_every_ufunc_is_right_or_refused() -> None:
    """Whatever NumPy has on one number or two: our result is a node with NumPy's value, a plain answer, or an error."""
    refusals = []
    for name, ufunc in vars(np).items():
        if not isinstance(ufunc, np.ufunc) or ufunc.nin > 2 or ufunc.signature:
            continue
        for make, at in ((Tensor, np.array([0.5, 0.25])), (Value, 0.5)):
            try:
                y = ufunc(*[make(at)] * ufunc.nin)
            except TypeError as error:
                refusals.append(str(error))
                continue
            expected = ufunc(*[at] * ufunc.nin)
            if isinstance(y, Node):
                np.testing.assert_allclose(y.data, expected, rtol=1e-15)
                assert y.requires_grad
            else:
                assert np.asarray(y).dtype == bool, f"np.{name} silently gave a plain {type(y).__name__}"
                np.testing.assert_array_equal(y, expected)
    assert refusals
    assert all("np." in words for words in refusals)


def test_numpys_functions_work_on_values() -> None:
    x = Value(0.3)
    y = np.tanh(x) * np.exp(x) + np.maximum(x, 0.1) + np.float64(2.0) * x + np.where(True, x, 0.0)
    assert isinstance(y, Value)
    y.backward()
    t = np.tanh(0.3)
    assert x.grad == pytest.approx((1 - t * t + t) * np.exp(0.3) + 4, rel=1e-14)


@pytest.mark.parametrize("use", [lambda v: np.sum(v, axis=0), lambda v: np.sum([v, v]), lambda v: np.mean([v]),
                                 lambda v: np.concatenate([v, v]), lambda v: np.array([v, v]), lambda v: np.full(2, v),
                                 lambda v: np.ones(3) * v, lambda v: v + np.ones(3), lambda v: mg.array([v, v]),
                                 lambda v: np.add.reduce([v, v]), lambda v: Tensor([v, v]),
                                 lambda v: np.linspace(0, v)])
def test_arrays_of_values_are_refused(use: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        use(Value(2.0))
