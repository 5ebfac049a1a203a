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
    "norm, another norm": (lambda t: np.linalg.norm(t, 1), "by name"),
    "norm, ord=": (lambda t: np.linalg.norm(t, ord=1), "'ord'"),
    "norm, nuclear": (lambda t: np.linalg.norm(t, "nuc"), "by name"),
    "linalg.trace of the last axes": (lambda t: np.linalg.trace(mg.stack([t, t, t])), "no counterpart"),
    "linalg.diagonal of the last axes": (lambda t: np.linalg.diagonal(mg.stack([t, t, t])), "no counterpart"),
    "pad, mode": (lambda t: np.pad(t, 1, mode="edge"), "np.pad .* 'mode'"),
    "pad, mode by position": (lambda t: np.pad(t, 1, "wrap"), "np.pad .* positional"),
    "reshape, order": (lambda t: np.reshape(t, (3, 2), order="F"), "np.reshape .* 'order'"),
    "ravel, order by position": (lambda t: np.ravel(t, "F"), "np.ravel .* positional"),
    "clip, out by position": (lambda t: np.clip(t, 0, 1, np.zeros((2, 3))), "np.clip .* positional"),
    "einsum, out=": (lambda t: np.einsum("ij->j", t, out=np.zeros(3)), "out="),
    "add.reduce": (lambda t: np.add.reduce(t), r"np.add.reduce has no counterpart"),
    "add.accumulate": (lambda t: np.add.accumulate(t), r"np.add.accumulate has no counterpart"),
    "multiply.outer": (lambda t: np.multiply.outer(t, ROWS), r"np.multiply.outer has no counterpart"),
    "add.at": (lambda t: np.add.at(np.zeros((2, 3)), 0, t), r"np.add.at has no counterpart"),
    "dot": (lambda t: np.dot(LEFT, t), "np.dot has no counterpart"),
    "sort": (np.sort, "np.sort has no counterpart"),
    "median": (np.median, "np.median has no counterpart"),
    "interp": (lambda t: np.interp(t, [0, 1], [0, 1]), "no counterpart"),
    "full_like": (lambda t: np.full_like(ROWS, t), "no counterpart"),
    "fmod": (lambda t: np.fmod(t, 2.0), "np.fmod has no counterpart"),
    "fft": (lambda t: np.fft.fft(t), "np.fft has no counterpart"),
    "linalg.inv": (lambda t: np.linalg.inv(t), "np.inv has no counterpart"),
    "apply_along_axis": (lambda t: np.apply_along_axis(np.sum, 0, t), "no counterpart"),
    "a list of nodes": (lambda t: np.sum([t, t]), "without losing its gradient"),
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
                                 lambda v: np.ones(3) * v, lambda v: v + np.ones(3), lambda v: np.dot(v, v),
                                 lambda v: np.add.reduce([v, v]), lambda v: Tensor([v, v]),
                                 lambda v: np.linspace(0, v)])
def test_arrays_of_values_are_refused(use: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        use(Value(2.0))
