"""The table of operations: every public function of the engine, how PyTorch computes it, and where to try it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import microgradrnn as mg

torch = pytest.importorskip("torch")


class Case(NamedTuple):
    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    domain: str = "real"  # or "positive", or "unit": between -1 and 1; no two entries tie, and none is near a kink


IDS = np.array([2, 0, 2, 1, 2])
MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, True]])
PICK = MASK[:, :1]
KEPT = np.random.default_rng(3).random((3, 4)) >= 0.4
ONE_ZERO = np.ones((3, 4), dtype=bool)
ONE_ZERO[0, 2] = ONE_ZERO[1, 0] = ONE_ZERO[1, 3] = False
NOT_FINITE = np.zeros((3, 4))
NOT_FINITE[0, 1], NOT_FINITE[1, 3], NOT_FINITE[2, 0] = np.nan, np.inf, -np.inf


def regular(a: Any) -> Any:
    """A matrix of ours or PyTorch's made regular, and definite(a) one symmetric and positive definite."""
    eye = torch.eye if torch.is_tensor(a) else np.eye
    return a / (1 + a * a) + 3 * eye(a.shape[-1], dtype=a.dtype)


def definite(a: Any) -> Any:
    return regular(a @ a.mT)


TABLE = [
    Case("add", lambda a, b: a + b, lambda a, b: a + b, ((3, 4), (3, 4))),
    Case("add, row", lambda a, b: a + b, lambda a, b: a + b, ((3, 4), (4,))),
    Case("subtract", lambda a, b: a - b, lambda a, b: a - b, ((3, 1), (2, 1, 4))),
    Case("subtract, constant left", lambda a: 2 - a, lambda a: 2 - a, ((3, 4),)),
    Case("multiply", lambda a, b: a * b, lambda a, b: a * b, ((3, 4), (3, 1))),
    Case("multiply, constant left", lambda a: 2.5 * a, lambda a: 2.5 * a, ((3, 4),)),
    Case("multiply, 0-d", lambda a, b: a * b, lambda a, b: a * b, ((3, 4), ())),
    Case("multiply, by itself", lambda a: a * a, lambda a: a * a, ((3, 4),)),
    Case("divide", lambda a, b: a / b, lambda a, b: a / b, ((3, 4), (2, 3, 4)), "positive"),
    Case("divide, constant left", lambda a: 3 / a, lambda a: 3 / a, ((3, 4),), "positive"),
    Case("negative", lambda a: -a, lambda a: -a, ((3, 4),)),
    Case("power, cube", lambda a: a**3, lambda a: a**3, ((3, 4),)),
    Case("power, square root", lambda a: a**0.5, lambda a: a**0.5, ((3, 4),), "positive"),
    Case("power, negative", lambda a: a**-2, lambda a: a**-2, ((3, 4),), "positive"),
    Case("power of two tensors", lambda a, b: a**b, lambda a, b: a**b, ((3, 4), (3, 1)), "positive"),
    Case("power, constant base", lambda a: 2.0**a, lambda a: 2.0**a, ((3, 4),)),
    Case("abs", mg.abs, torch.abs, ((3, 4),)),
    Case("exp", mg.exp, torch.exp, ((3, 4),)),
    Case("log", mg.log, torch.log, ((3, 4),), "positive"),
    Case("sqrt", mg.sqrt, torch.sqrt, ((3, 4),), "positive"),
    Case("sin", mg.sin, torch.sin, ((3, 4),)),
    Case("cos", mg.cos, torch.cos, ((3, 4),)),
    Case("tanh", mg.tanh, torch.tanh, ((3, 4),)),
    Case("sigmoid", mg.sigmoid, torch.sigmoid, ((3, 4),)),
    Case("relu", mg.relu, torch.relu, ((3, 4),)),
    Case("sign", lambda a: mg.sign(a) * a * a, lambda a: torch.sign(a) * a * a, ((3, 4),)),
    Case("maximum", mg.maximum, torch.maximum, ((3, 4), (4,))),
    Case("minimum", mg.minimum, torch.minimum, ((3, 1), (3, 4))),
    Case("where", lambda a, b: mg.where(MASK, a, b * b), lambda a, b: torch.where(torch.tensor(MASK), a, b * b),
         ((3, 4), (4,))),
    Case("where, broadcast condition", lambda a, b: mg.where(PICK, a, b),
         lambda a, b: torch.where(torch.tensor(PICK), a, b), ((1, 4), ())),
    Case("matmul, 2 and 2", mg.matmul, torch.matmul, ((3, 4), (4, 5))),
    Case("matmul, 1 and 1", mg.matmul, torch.matmul, ((4,), (4,))),
    Case("matmul, 1 and 2", mg.matmul, torch.matmul, ((4,), (4, 5))),
    Case("matmul, 2 and 1", mg.matmul, torch.matmul, ((3, 4), (4,))),
    Case("matmul, 3 and 2", mg.matmul, torch.matmul, ((2, 3, 4), (4, 5))),
    Case("matmul, 2 and 3", mg.matmul, torch.matmul, ((3, 4), (2, 4, 5))),
    Case("matmul, 3 and 1", mg.matmul, torch.matmul, ((2, 3, 4), (4,))),
    Case("matmul, 1 and 3", mg.matmul, torch.matmul, ((4,), (2, 4, 5))),
    Case("matmul, batches broadcast", mg.matmul, torch.matmul, ((6, 1, 3, 4), (2, 4, 5))),
    Case("matmul with itself", lambda a: a @ a.T, lambda a: a @ a.T, ((3, 4),)),
    Case("affine", mg.affine, lambda x, W, b: x @ W + b, ((3, 4), (4, 5), (5,))),
    Case("affine, a bias for each row", mg.affine, lambda x, W, b: x @ W + b, ((3, 4), (4, 5), (3, 5))),
    Case("affine, a step's own bias", mg.affine, lambda x, W, b: x @ W + b, ((2, 3, 4), (4, 5), (5,))),
    Case("affine, one bias", mg.affine, lambda x, W, b: x @ W + b, ((3, 4), (4, 5), ())),
    Case("affine, of a vector", mg.affine, lambda x, W, b: x @ W + b, ((4,), (4, 5), (5,))),
    Case("affine, constant bias", lambda x, W: mg.affine(x, W, 2.0), lambda x, W: x @ W + 2.0, ((3, 4), (4, 5))),
    Case("affine, x twice", lambda x, W: mg.affine(x, W, x @ W), lambda x, W: x @ W * 2, ((3, 4), (4, 5))),
    Case("sum", mg.sum, torch.sum, ((3, 4),)),
    Case("sum, axis", lambda a: mg.sum(a, 1), lambda a: a.sum(1), ((2, 3, 4),)),
    Case("sum, axes", lambda a: mg.sum(a, (0, -1), keepdims=True), lambda a: a.sum((0, -1), True), ((2, 3, 4),)),
    Case("mean", mg.mean, torch.mean, ((3, 4),)),
    Case("mean, axes", lambda a: mg.mean(a, (0, 2)), lambda a: a.mean((0, 2)), ((2, 3, 4),)),
    Case("max", mg.max, torch.amax, ((3, 4),)),
    Case("max, axis", lambda a: mg.max(a * a, -1), lambda a: torch.amax(a * a, -1), ((2, 3, 4),)),
    Case("min, axes", lambda a: mg.min(a, (0, 2), keepdims=True), lambda a: torch.amin(a, (0, 2), True), ((2, 3, 4),)),
    Case("logsumexp", lambda a: mg.logsumexp(a, 1), lambda a: torch.logsumexp(a, 1), ((2, 3, 4),)),
    Case("logsumexp, all", mg.logsumexp, lambda a: torch.logsumexp(a, (0, 1)), ((3, 4),)),
    Case("softmax", mg.softmax, lambda a: torch.softmax(a, -1), ((3, 4),)),
    Case("softmax, axis 0", lambda a: mg.softmax(a, 0), lambda a: torch.softmax(a, 0), ((3, 4),)),
    Case("log_softmax", mg.log_softmax, lambda a: torch.log_softmax(a, -1), ((3, 4),)),
    Case("log_softmax, axis 1", lambda a: mg.log_softmax(a, 1), lambda a: torch.log_softmax(a, 1), ((2, 3, 4),)),
    Case("reshape", lambda a: mg.reshape(a, (4, -1)), lambda a: a.reshape(4, -1), ((2, 3, 4),)),
    Case("transpose", mg.transpose, lambda a: a.permute(2, 1, 0), ((2, 3, 4),)),
    Case("transpose, axes", lambda a: mg.transpose(a, (1, 2, 0)), lambda a: a.permute(1, 2, 0), ((2, 3, 4),)),
    Case("transpose, negative axes", lambda a: a.transpose(-1, 0, 1), lambda a: a.permute(2, 0, 1), ((2, 3, 4),)),
    Case("swapaxes", lambda a: mg.swapaxes(a, 0, -1), lambda a: a.swapaxes(0, -1), ((2, 3, 4),)),
    Case("transpose, mT", lambda a: a.mT, lambda a: a.mT, ((2, 3, 4),)),
    Case("broadcast_to", lambda a: mg.broadcast_to(a, (2, 3, 4)), lambda a: a.expand(2, 3, 4), ((3, 1),)),
    Case("astype", lambda a: mg.astype(a, np.float64), lambda a: a.to(torch.float64), ((3, 4),)),
    Case("concat", lambda a, b: mg.concat([a, b], 1), lambda a, b: torch.cat([a, b], 1), ((3, 4), (3, 2))),
    Case("concat, one input twice", lambda a: mg.concat([a, a * a, a], -1), lambda a: torch.cat([a, a * a, a], -1),
         ((2, 3, 4),)),
    Case("stack", lambda a, b: mg.stack([a, b, a]), lambda a, b: torch.stack([a, b, a]), ((3, 4), (3, 4))),
    Case("stack, last axis", lambda a, b: mg.stack([a, b], -1), lambda a, b: torch.stack([a, b], -1),
         ((3, 4), (3, 4))),
    Case("split, equal parts", lambda a: mg.split(a, 2, -1)[0] * mg.split(a, 2, -1)[1],
         lambda a: a[:, :3] * a[:, 3:], ((2, 6),)),
    Case("split, places", lambda a: mg.split(a, [1, 3], 0)[1], lambda a: a[1:3], ((4, 3),)),
    Case("getitem, integer", lambda a: a[-1], lambda a: a[-1], ((3, 4),)),
    Case("getitem, slices", lambda a: a[1:, ::2], lambda a: a[1:, ::2], ((3, 5),)),
    Case("getitem, None and ...", lambda a: a[..., None, 1], lambda a: a[..., None, 1], ((2, 3, 4),)),
    Case("getitem, repeats", lambda a: a[IDS], lambda a: a[torch.tensor(IDS)], ((3, 4),)),
    Case("getitem, pairs", lambda a: a[IDS, [0, 1, 0, 3, 0]], lambda a: a[torch.tensor(IDS), [0, 1, 0, 3, 0]],
         ((3, 4),)),
    Case("getitem, mask", lambda a: a[MASK], lambda a: a[torch.tensor(MASK)], ((3, 4),)),
    Case("getitem, the same row twice", lambda a: a[1] * a[1] + a[0], lambda a: a[1] * a[1] + a[0], ((3, 4),)),
    Case("add, in a diamond", lambda a: (a.tanh() * a.sigmoid() + a.tanh()).exp(),
         lambda a: (a.tanh() * a.sigmoid() + a.tanh()).exp(), ((3, 4),)),
    # ------------------------------------------------------------------------------------------ elementwise
    Case("square", mg.square, torch.square, ((3, 4),)),
    Case("reciprocal", mg.reciprocal, torch.reciprocal, ((3, 4),)),
    Case("expm1", mg.expm1, torch.expm1, ((3, 4),)),
    Case("log1p", mg.log1p, torch.log1p, ((3, 4),), "positive"),
    Case("log2", mg.log2, torch.log2, ((3, 4),), "positive"),
    Case("tan", mg.tan, torch.tan, ((3, 4),), "unit"),
    Case("arcsin", mg.arcsin, torch.arcsin, ((3, 4),), "unit"),
    Case("arccos", mg.arccos, torch.arccos, ((3, 4),), "unit"),
    Case("arctan", mg.arctan, torch.arctan, ((3, 4),)),
    Case("sinh", mg.sinh, torch.sinh, ((3, 4),)),
    Case("cosh", mg.cosh, torch.cosh, ((3, 4),)),
    Case("arctanh", mg.arctanh, torch.arctanh, ((3, 4),), "unit"),
    Case("softplus", mg.softplus, torch.nn.functional.softplus, ((3, 4),)),
    Case("erf", mg.erf, torch.erf, ((3, 4),)),
    Case("floor", lambda a: mg.floor(a) * a, lambda a: torch.floor(a) * a, ((3, 4),)),
    Case("ceil", lambda a: mg.ceil(a) * a, lambda a: torch.ceil(a) * a, ((3, 4),)),
    Case("round", lambda a: mg.round(a) * a, lambda a: torch.round(a) * a, ((3, 4),)),
    Case("clip", lambda a: mg.clip(a, -0.8, 1.1), lambda a: torch.clip(a, -0.8, 1.1), ((3, 4),)),
    Case("clip, below only", lambda a: mg.clip(a * a, a_min=1.0), lambda a: torch.clip(a * a, min=1.0), ((3, 4),)),
    Case("clip, above only", lambda a: mg.clip(a, a_max=0.4), lambda a: torch.clip(a, max=0.4), ((3, 4),)),
    Case("clip, bounds with a gradient", mg.clip, torch.clip, ((3, 4), (4,), (3, 1))),
    Case("where, of itself", lambda a: mg.where(MASK, a * a, mg.exp(a)),
         lambda a: torch.where(torch.tensor(MASK), a * a, torch.exp(a)), ((3, 4),)),
    Case("dropout", lambda a: mg.dropout(a, 0.4, rng=np.random.default_rng(3)) * a,
         lambda a: a * torch.tensor(KEPT, dtype=a.dtype) / 0.6 * a, ((3, 4),)),
    # ------------------------------------------------------------------------------------------- reductions
    Case("prod", mg.prod, torch.prod, ((2, 3),)),
    Case("prod, axis", lambda a: mg.prod(a, 1), lambda a: torch.prod(a, 1), ((2, 3, 4),)),
    Case("prod, axes", lambda a: mg.prod(a, (0, -1), keepdims=True),
         lambda a: torch.prod(torch.prod(a, 0, True), 2, True), ((2, 3, 2),)),
    Case("prod, one zero", lambda a: mg.prod(a * ONE_ZERO, -1), lambda a: torch.prod(a * torch.tensor(ONE_ZERO), -1),
         ((3, 4),)),
    Case("var", mg.var, lambda a: torch.var(a, correction=0), ((3, 4),)),
    Case("var, axes", lambda a: mg.var(a, (0, 2), keepdims=True, ddof=1),
         lambda a: torch.var(a, (0, 2), correction=1, keepdim=True), ((2, 3, 4),)),
    Case("std", mg.std, lambda a: torch.std(a, correction=0), ((3, 4),)),
    Case("std, axis", lambda a: mg.std(a, -1, ddof=1), lambda a: torch.std(a, -1), ((2, 3, 4),)),
    Case("norm", mg.norm, torch.linalg.norm, ((3, 4),)),
    Case("norm, axes", lambda a: mg.norm(a, (0, 2), True),
         lambda a: torch.linalg.vector_norm(a, dim=(0, 2), keepdim=True), ((2, 3, 4),)),
    Case("cumsum", lambda a: mg.cumsum(a, -2), lambda a: torch.cumsum(a, -2), ((2, 3, 4),)),
    Case("cumsum, flat", mg.cumsum, lambda a: torch.cumsum(a.reshape(-1), 0), ((3, 4),)),
    Case("min", mg.min, torch.amin, ((3, 4),)),
    Case("mean, keepdims", lambda a: mg.mean(a, -1, keepdims=True), lambda a: a.mean(-1, True), ((2, 3, 4),)),
    # --------------------------------------------------------------------------------------- linear algebra
    Case("einsum, product", lambda a, b: mg.einsum("ij,jk->ik", a, b), lambda a, b: torch.einsum("ij,jk->ik", a, b),
         ((3, 4), (4, 5))),
    Case("einsum, implicit", lambda a, b: mg.einsum("kj,ji", a, b), lambda a, b: torch.einsum("kj,ji", a, b),
         ((3, 4), (4, 5))),
    Case("einsum, axes summed alone", lambda a, b: mg.einsum("ijk,lj->k", a, b),
         lambda a, b: torch.einsum("ijk,lj->k", a, b), ((2, 3, 4), (5, 3))),
    Case("einsum, three operands", lambda a, b, c: mg.einsum("bi,ijk,bk->b", a, b, c),
         lambda a, b, c: torch.einsum("bi,ijk,bk->b", a, b, c), ((2, 3), (3, 2, 4), (2, 4))),
    Case("einsum, one operand twice", lambda a: mg.einsum("ij,kj->ik", a, a),
         lambda a: torch.einsum("ij,kj->ik", a, a), ((3, 4),)),
    Case("einsum, transpose", lambda a: mg.einsum("ijk->kji", a), lambda a: torch.einsum("ijk->kji", a),
         ((2, 3, 4),)),
    Case("einsum, everything", lambda a: mg.einsum("ij->", a * a), lambda a: torch.einsum("ij->", a * a), ((3, 4),)),
    Case("outer", mg.outer, torch.outer, ((3,), (4,))),
    Case("outer, flattened", mg.outer, lambda a, b: torch.outer(a.reshape(-1), b.reshape(-1)), ((2, 2), (3,))),
    Case("diagonal", mg.diagonal, torch.diagonal, ((3, 4),)),
    Case("diagonal, offset and axes", lambda a: mg.diagonal(a, -1, 2, 0), lambda a: torch.diagonal(a, -1, 2, 0),
         ((4, 2, 3),)),
    Case("trace", mg.trace, torch.trace, ((3, 4),)),
    Case("trace, of a stack", lambda a: mg.trace(a, 1, 1, -1),
         lambda a: torch.diagonal(a, 1, 1, -1).sum(-1), ((2, 3, 4),)),
    # ------------------------------------------------------------------------------------- shape and indices
    Case("ravel", mg.ravel, torch.ravel, ((2, 3, 4),)),
    Case("squeeze", mg.squeeze, torch.squeeze, ((1, 3, 1, 4),)),
    Case("squeeze, axis", lambda a: mg.squeeze(a, -2), lambda a: torch.squeeze(a, -2), ((1, 3, 1, 4),)),
    Case("expand_dims", lambda a: mg.expand_dims(a, (0, -1)), lambda a: a[None, ..., None], ((3, 4),)),
    Case("flip", mg.flip, lambda a: torch.flip(a, (0, 1)), ((3, 4),)),
    Case("flip, axes", lambda a: mg.flip(a, (0, -1)), lambda a: torch.flip(a, (0, -1)), ((2, 3, 4),)),
    Case("pad", lambda a: mg.pad(a, ((1, 2), (0, 3))), lambda a: torch.nn.functional.pad(a, (0, 3, 1, 2)), ((3, 4),)),
    Case("pad, all sides", lambda a: mg.pad(a, 2), lambda a: torch.nn.functional.pad(a, (2,) * 4), ((3, 4),)),
    Case("roll", lambda a: mg.roll(a, 5), lambda a: torch.roll(a, 5), ((3, 4),)),
    Case("roll, axis", lambda a: mg.roll(a, -1, -1), lambda a: torch.roll(a, -1, -1), ((3, 4),)),
    Case("tile", lambda a: mg.tile(a, (2, 3)), lambda a: torch.tile(a, (2, 3)), ((3, 4),)),
    Case("tile, a new axis", lambda a: mg.tile(a, (2, 1, 3)), lambda a: torch.tile(a, (2, 1, 3)), ((3, 4),)),
    Case("tile, fewer reps", lambda a: mg.tile(a, 2), lambda a: torch.tile(a, (2,)), ((3, 4),)),
    Case("take", lambda a: mg.take(a, IDS, -2), lambda a: a[torch.tensor(IDS)], ((3, 4),)),
    Case("take, flat", lambda a: mg.take(a, [[5, 5], [-1, 0]]),
         lambda a: a.reshape(-1)[torch.tensor([[5, 5], [-1, 0]])], ((3, 4),)),
    Case("scatter", lambda a: mg.scatter(a, IDS, (4, 2)),
         lambda a: torch.zeros(4, 2, dtype=a.dtype).index_add(0, torch.tensor(IDS), a), ((5, 2),)),
    Case("scatter, a slice", lambda a: mg.scatter(a, (slice(None), slice(0, None, 2)), (3, 5)),
         lambda a: torch.stack([a[:, 0], a[:, 0] * 0, a[:, 1], a[:, 0] * 0, a[:, 2]], 1), ((3, 3),)),
    Case("index_update", lambda a, b: mg.index_update(a, (slice(None), 1), b),
         lambda a, b: torch.cat([a[:, :1], b[:, None], a[:, 2:]], 1), ((3, 4), (3,))),
    Case("index_update, one value", lambda a, b: mg.index_update(a, MASK, b),
         lambda a, b: torch.where(torch.tensor(MASK), b, a), ((3, 4), ())),
    Case("index_update, of integers", lambda a, b: mg.index_update(a, [2, 0], b * b),
         lambda a, b: torch.stack([b[1] ** 2, a[1], b[0] ** 2]), ((3, 4), (2, 4))),
    Case("getitem, function", lambda a: mg.getitem(a, (slice(1, None), -1)), lambda a: a[1:, -1], ((3, 4),)),
    Case("getitem, nested tuple", lambda a: a[((0, 0, 2),)], lambda a: a[[0, 0, 2]], ((3, 4),)),
    # ------------------------------------------------------------------------- elementwise, of two numbers and more
    Case("log10", mg.log10, torch.log10, ((3, 4),), "positive"),
    Case("exp2", mg.exp2, torch.exp2, ((3, 4),)),
    Case("logaddexp", mg.logaddexp, torch.logaddexp, ((3, 4), (4,))),
    Case("hypot", mg.hypot, torch.hypot, ((3, 1), (2, 1, 4))),
    Case("arctan2", mg.arctan2, torch.arctan2, ((3, 4), (4,))),
    Case("arcsinh", mg.arcsinh, torch.arcsinh, ((3, 4),)),
    Case("arccosh", lambda a: mg.arccosh(a + 1), lambda a: torch.arccosh(a + 1), ((3, 4),), "positive"),
    Case("remainder", mg.remainder, torch.remainder, ((3, 4), (4,))),
    Case("remainder, operator", lambda a: 7.4 % a + a % 0.83, lambda a: torch.full_like(a, 7.4) % a + a % 0.83,
         ((3, 4),)),
    Case("around", lambda a: mg.around(a, 1) * a, lambda a: torch.round(a, decimals=1) * a, ((3, 4),)),
    Case("clip, min= and max=", lambda a: mg.clip(a, min=-0.8, max=1.1), lambda a: torch.clip(a, -0.8, 1.1), ((3, 4),)),
    Case("absolute", mg.absolute, torch.absolute, ((3, 4),)),
    Case("fabs", mg.fabs, torch.abs, ((3, 4),)),
    Case("mod", mg.mod, torch.remainder, ((3, 4), (3, 1))),
    Case("true_divide", mg.true_divide, torch.true_divide, ((4,), (3, 4)), "positive"),
    Case("amax", lambda a: mg.amax(a, (0, -1)), lambda a: torch.amax(a, (0, -1)), ((2, 3, 4),)),
    Case("amin", lambda a: mg.amin(a, -2, keepdims=True), lambda a: torch.amin(a, -2, keepdim=True), ((2, 3, 4),)),
    # --------------------------------------------------------------------------------------- order and repetition
    Case("sort", mg.sort, lambda a: torch.sort(a).values, ((3, 4),)),
    Case("sort, axis", lambda a: mg.sort(a * a, 1), lambda a: torch.sort(a * a, 1).values, ((2, 4, 3),)),
    Case("sort, flat", lambda a: mg.sort(a, None), lambda a: torch.sort(a.reshape(-1)).values, ((3, 4),)),
    Case("argsort", lambda a: mg.take(a, mg.argsort(a, None)), lambda a: torch.sort(a.reshape(-1)).values, ((3, 4),)),
    Case("partition", lambda a: mg.partition(a, 1)[:, 1], lambda a: torch.kthvalue(a, 2).values, ((3, 4),)),
    Case("partition, axis", lambda a: mg.sum(mg.partition(a * a, 2, 0)[2:] ** 2, 0),
         lambda a: torch.sum(torch.topk(a * a, 2, 0).values ** 2, 0), ((4, 3),)),
    Case("partition, flat", lambda a: mg.partition(a, [0, -1], None)[[0, -1]],
         lambda a: torch.stack([a.min(), a.max()]), ((3, 4),)),
    Case("repeat", lambda a: mg.repeat(a, 2), lambda a: a.reshape(-1).repeat_interleave(2), ((3, 4),)),
    Case("repeat, counts", lambda a: mg.repeat(a, [2, 0, 3], -2),
         lambda a: a.repeat_interleave(torch.tensor([2, 0, 3]), -2), ((2, 3, 4),)),
    Case("cumprod", lambda a: mg.cumprod(a, 1), lambda a: torch.cumprod(a, 1), ((2, 3, 4),)),
    Case("cumprod, flat", mg.cumprod, lambda a: torch.cumprod(a.reshape(-1), 0), ((2, 3),)),
    Case("cumprod, zeros", lambda a: mg.cumprod(a * ONE_ZERO, -1),
         lambda a: torch.cumprod(a * torch.tensor(ONE_ZERO), -1), ((3, 4),)),
    Case("diff", mg.diff, torch.diff, ((3, 4),)),
    Case("diff, twice", lambda a: mg.diff(a, 2, 1), lambda a: torch.diff(a, 2, 1), ((2, 4, 3),)),
    # ---------------------------------------------------------------------------------------- products of arrays
    Case("dot", mg.dot, torch.matmul, ((3, 4), (4, 5))),
    Case("dot, a number", mg.dot, torch.mul, ((), (3, 4))),
    Case("dot, stacks", mg.dot, lambda a, b: torch.tensordot(a, b, ([2], [1])), ((2, 3, 4), (5, 4, 2))),
    Case("inner", mg.inner, torch.inner, ((2, 3, 4), (5, 4))),
    Case("tensordot", mg.tensordot, torch.tensordot, ((2, 3, 4), (3, 4, 5))),
    Case("tensordot, pairs of axes", lambda a, b: mg.tensordot(a, b, ([0, -1], [1, 0])),
         lambda a, b: torch.tensordot(a, b, ([0, 2], [1, 0])), ((2, 3, 4), (4, 2, 5))),
    Case("kron", mg.kron, torch.kron, ((2, 3), (4, 2))),
    Case("kron, other ranks", mg.kron, torch.kron, ((3,), (2, 1, 2))),
    Case("outer, a number", lambda a: mg.outer(a, 2.5), lambda a: a.reshape(-1, 1) * 2.5, ((3, 4),)),
    Case("diag", mg.diag, torch.diag, ((3, 4),)),
    Case("diag, of a vector", lambda a: mg.diag(a, -1), lambda a: torch.diag(a, -1), ((3,),)),
    Case("tril", lambda a: mg.tril(a, 1), lambda a: torch.tril(a, 1), ((2, 3, 4),)),
    Case("triu", mg.triu, torch.triu, ((3, 4),)),
    Case("einsum, ...", lambda a, b: mg.einsum("...ij,jk->...ik", a, b),
         lambda a, b: torch.einsum("...ij,jk->...ik", a, b), ((2, 3, 4), (4, 5))),
    Case("einsum, ... broadcasts", lambda a, b: mg.einsum("i...,...i", a, b),
         lambda a, b: torch.einsum("i...,...i->...", a, b), ((4, 1, 3), (2, 1, 4))),
    Case("einsum, a letter twice", lambda a, b: mg.einsum("iij,ik->kj", a, b),
         lambda a, b: torch.einsum("iij,ik->kj", a, b), ((3, 3, 2), (3, 4))),
    Case("einsum, numbers for letters", lambda a, b: mg.einsum(a, [0, 1], b, [1, 2], [2, 0]),
         lambda a, b: (a @ b).T, ((3, 4), (4, 5))),
    # ----------------------------------------------------------------------------------------- joining and moving
    Case("hstack", lambda a, b: mg.hstack([a, b]), lambda a, b: torch.hstack([a, b]), ((3, 4), (3, 2))),
    Case("hstack, vectors", lambda a, b: mg.hstack([a, b]), lambda a, b: torch.hstack([a, b]), ((3,), (4,))),
    Case("vstack", lambda a, b: mg.vstack([a, b]), lambda a, b: torch.vstack([a, b]), ((3, 4), (4,))),
    Case("column_stack", lambda a, b: mg.column_stack([a, b]), lambda a, b: torch.column_stack([a, b]), ((3, 4), (3,))),
    Case("append", mg.append, lambda a, b: torch.cat([a.reshape(-1), b.reshape(-1)]), ((3, 4), (2,))),
    Case("append, axis", lambda a, b: mg.append(a, b, 1), lambda a, b: torch.cat([a, b], 1), ((3, 4), (3, 1))),
    Case("array", lambda a, b: mg.array([[a, b * a], [b, a]]),
         lambda a, b: torch.stack([torch.stack([a, b * a]), torch.stack([b, a])]), ((3,), (3,))),
    Case("concatenate", lambda a, b: mg.concatenate([a, b], axis=None),
         lambda a, b: torch.cat([a.reshape(-1), b.reshape(-1)]), ((3, 4), (2,))),
    Case("array_split", lambda a: mg.array_split(a, 3, -1)[0] * mg.array_split(a, 3, -1)[2][:, :1],
         lambda a: a[:, :3] * a[:, 5:6], ((2, 7),)),
    Case("atleast_1d", lambda a, b: mg.atleast_1d(a, b)[0] * b, lambda a, b: torch.atleast_1d(a) * b, ((), (3,))),
    Case("atleast_2d", lambda a, b: mg.atleast_2d(a, b)[1] * a, lambda a, b: torch.atleast_2d(b) * a, ((), (3,))),
    Case("atleast_3d", mg.atleast_3d, lambda a: a.reshape(3, 4, 1), ((3, 4),)),
    Case("flatten", mg.flatten, torch.flatten, ((2, 3, 4),)),
    Case("moveaxis", lambda a: mg.moveaxis(a, 0, -1), lambda a: torch.moveaxis(a, 0, -1), ((2, 3, 4),)),
    Case("moveaxis, several", lambda a: mg.moveaxis(a, (0, 1), (-1, 0)), lambda a: torch.moveaxis(a, (0, 1), (-1, 0)),
         ((2, 3, 4),)),
    Case("pad, a constant", lambda a: mg.pad(a, (1, 2), mode="constant", constant_values=1.5),
         lambda a: torch.nn.functional.pad(a, (1, 2, 1, 2), value=1.5), ((3, 4),)),
    Case("pad, 0-d", lambda a, b: mg.pad(a, 2) * b, lambda a, b: a * b, ((), (3,))),
    Case("roll, axes", lambda a: mg.roll(a, (1, -2), (0, 2)), lambda a: torch.roll(a, (1, -2), (0, 2)), ((2, 3, 4),)),
    # ------------------------------------------------------------------------------------------- made of others
    Case("deg2rad", lambda a: mg.sin(mg.deg2rad(40 * a)), lambda a: torch.sin(torch.deg2rad(40 * a)), ((3, 4),)),
    Case("radians", mg.radians, torch.deg2rad, ((3, 4),)),
    Case("rad2deg", mg.rad2deg, torch.rad2deg, ((3, 4),)),
    Case("degrees", mg.degrees, torch.rad2deg, ((3, 4),)),
    Case("nan_to_num", lambda a: mg.nan_to_num(a + NOT_FINITE.astype(a.dtype), nan=2.0, neginf=-1.0, posinf=3.0) * a,
         lambda a: torch.nan_to_num(a + torch.tensor(NOT_FINITE, dtype=a.dtype), 2.0, 3.0, -1.0) * a, ((3, 4),)),
    Case("select", lambda a, b: mg.select([MASK, PICK], [a * b, b], default=a),
         lambda a, b: torch.where(torch.tensor(MASK), a * b, torch.where(torch.tensor(PICK), b, a)), ((3, 4), (4,))),
    Case("select, hard tanh", lambda a: mg.select([a < -1, a > 1], [-1.0, a * a], a),
         lambda a: torch.where(a < -1, -torch.ones_like(a), torch.where(a > 1, a * a, a)), ((3, 4),)),
    Case("linspace", lambda a, b: mg.linspace(a, b, 5), lambda a, b: a + (b - a) * (torch.arange(5) / 4)[:, None, None],
         ((3, 4), (4,))),
    Case("linspace, axis", lambda a, b: mg.linspace(a, b, 4, endpoint=False, axis=-1),
         lambda a, b: a[:, None] + (b - a)[:, None] * torch.arange(4) / 4, ((3,), ())),
    Case("flipud", mg.flipud, torch.flipud, ((2, 3, 4),)),
    Case("fliplr", mg.fliplr, torch.fliplr, ((2, 3, 4),)),
    Case("vsplit", lambda a: mg.vsplit(a, 2)[0] * mg.vsplit(a, [1, 3])[1],
         lambda a: torch.vsplit(a, 2)[0] * torch.vsplit(a, [1, 3])[1], ((4, 3),)),
    Case("hsplit", lambda a: mg.hsplit(a, 2)[0] * mg.hsplit(a, [1, 3])[1],
         lambda a: torch.hsplit(a, 2)[0] * torch.hsplit(a, [1, 3])[1], ((3, 4),)),
    Case("hsplit, of a vector", lambda a: mg.hsplit(a, 3)[1], lambda a: torch.hsplit(a, 3)[1], ((6,),)),
    Case("dsplit", lambda a: mg.dsplit(a, 2)[1], lambda a: torch.dsplit(a, 2)[1], ((2, 3, 4),)),
    # -------------------------------------------------------------------------------------------------- matrices
    Case("solve", lambda a, b: mg.solve(regular(a), b), lambda a, b: torch.linalg.solve(regular(a), b),
         ((3, 3), (3, 2))),
    Case("solve, one vector", lambda a, b: mg.solve(regular(a), b), lambda a, b: torch.linalg.solve(regular(a), b),
         ((4, 4), (4,))),
    Case("solve, stacks", lambda a, b: mg.solve(regular(a), b), lambda a, b: torch.linalg.solve(regular(a), b),
         ((2, 3, 3), (3, 4))),
    Case("inv", lambda a: mg.inv(regular(a)), lambda a: torch.linalg.inv(regular(a)), ((2, 3, 3),)),
    Case("det", mg.det, torch.linalg.det, ((2, 3, 3),)),
    Case("slogdet", lambda a: mg.slogdet(regular(a)).logabsdet * mg.slogdet(regular(a)).sign,
         lambda a: torch.linalg.slogdet(regular(a)).logabsdet, ((2, 3, 3),)),
    Case("pinv", mg.pinv, torch.linalg.pinv, ((2, 4, 3),)),
    Case("pinv, wide", lambda a: mg.pinv(a * a - 0.5), lambda a: torch.linalg.pinv(a * a - 0.5), ((3, 4),)),
    Case("matrix_power", lambda a: mg.matrix_power(a, 5), lambda a: torch.linalg.matrix_power(a, 5), ((2, 3, 3),)),
    Case("matrix_power, square", lambda a: mg.matrix_power(a, 2), lambda a: a @ a, ((3, 3),)),
    Case("matrix_power, of the inverse", lambda a: mg.matrix_power(regular(a), -3),
         lambda a: torch.linalg.matrix_power(regular(a), -3), ((3, 3),)),
    Case("eigh, lower triangle", lambda a: mg.eigh(a, "L")[0] * mg.eigh(a, "L")[1] ** 2,
         lambda a: torch.linalg.eigh(a.tril() + a.tril(-1).mT)[0] * torch.linalg.eigh(a.tril() + a.tril(-1).mT)[1] ** 2,
         ((3, 3),)),
    Case("eigh, upper triangle", lambda a: mg.eigh(a, UPLO="U")[0],
         lambda a: torch.linalg.eigvalsh(a.triu() + a.triu(1).mT), ((3, 3),)),
    Case("cholesky", lambda a: mg.cholesky(definite(a)), lambda a: torch.linalg.cholesky(definite(a)), ((2, 3, 3),)),
    Case("eigh, values", lambda a: mg.eigh(a + a.mT)[0], lambda a: torch.linalg.eigh(a + a.mT)[0], ((2, 3, 3),)),
    Case("eigh, vectors", lambda a: mg.eigh(a + a.mT)[1] ** 2, lambda a: torch.linalg.eigh(a + a.mT)[1] ** 2,
         ((3, 3),)),
    Case("svd", lambda a: mg.svd(a, False)[0] @ mg.svd(a, False)[2],
         lambda a: torch.linalg.svd(a, False)[0] @ torch.linalg.svd(a, False)[2], ((3, 4),)),
    Case("svd, values", lambda a: mg.svd(a, compute_uv=False), torch.linalg.svdvals, ((2, 4, 3),)),
    Case("svd, vectors", lambda a: mg.svd(a)[2] ** 2 @ mg.svd(a)[0] ** 2,
         lambda a: torch.linalg.svd(a)[2] ** 2 @ torch.linalg.svd(a)[0] ** 2, ((3, 3),)),
    Case("norm, ord 1", lambda a: mg.linalg.norm(a, 1, 0), lambda a: torch.linalg.vector_norm(a, 1, 0), ((3, 4),)),
    Case("norm, ord 3", lambda a: mg.linalg.norm(a, 3, -1, True), lambda a: torch.linalg.vector_norm(a, 3, -1, True),
         ((3, 4),)),
    Case("norm, ord inf", lambda a: mg.linalg.norm(a, np.inf, 1), lambda a: torch.linalg.vector_norm(a, np.inf, 1),
         ((3, 4),)),
    Case("norm, nuclear", lambda a: mg.linalg.norm(a, "nuc"), lambda a: torch.linalg.matrix_norm(a, "nuc"), ((3, 4),)),
    Case("norm, spectral", lambda a: mg.linalg.norm(a, 2, (0, 2)), lambda a: torch.linalg.matrix_norm(a, 2, (0, 2)),
         ((3, 2, 4),)),
    Case("norm, of columns", lambda a: mg.linalg.norm(a * a, 1), lambda a: torch.linalg.matrix_norm(a * a, 1),
         ((3, 4),)),
]


def inputs(case: Case, dtype: Any = np.float64) -> list[np.ndarray]:
    """Distinct numbers, away from each other and from 0, so that no finite difference crosses a kink."""
    rng = np.random.default_rng(len(case.name))
    total = sum(int(np.prod(shape)) for shape in case.shapes)
    grid = (np.arange(total) + 0.5) / total * 1.5 + 0.3
    if case.domain == "unit":
        grid = grid * 0.4
    if case.domain != "positive":
        grid = grid * np.where(np.arange(total) % 2, 1, -1)
    grid = rng.permutation(grid)
    cuts = np.cumsum([int(np.prod(shape)) for shape in case.shapes])[:-1]
    return [part.reshape(shape).astype(dtype) for part, shape in zip(np.split(grid, cuts), case.shapes, strict=True)]


def weights(shape: tuple[int, ...], salt: int = 0) -> np.ndarray:
    """A cotangent with no structure a wrong rule could hide in."""
    return np.random.default_rng(100 + salt).uniform(0.5, 2.0, shape) * np.random.default_rng(salt).choice(
        [-1.0, 1.0], shape
    )


def names() -> set[str]:
    """The functions in the table."""
    return {case.name.split(",")[0].split(" ")[0] for case in TABLE}
