"""What Numba kernels call: exp, tanh and the sigmoid in a form that a compiler can vectorise, and NumPy's own BLAS.

The functions of the C library take one number at a time. The forms here are arithmetic only, so that a loop over them
computes many numbers at once. Their relative error is below 4e-16 in float64 and 3e-7 in float32, also near 0 and
where results are very small. A NaN stays a NaN.

Products of large matrices go to the BLAS that NumPy itself has loaded. A second BLAS would start a second pool of
threads, and the two would wait for processors that the other one keeps busy.

Source of the coefficients: Cephes (Moshier) for exp in float32 and tanh in float64; Eigen for tanh in float32.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy import float32, float64, int32, int64

# In these functions the order of operations matters, so that the compiler may only fuse a product with a sum.
arithmetic: Callable[[Any], Any] = njit(fastmath={"contract"}, error_model="numpy", forceinline=True)


@intrinsic
def wide_vectors(typing):  # type: ignore[no-untyped-def]
    """Say that the function this is called in may use the widest vectors of the processor; LLVM prefers half of that.

    For exp, tanh and divisions, of which a step is full, the widest ones are quicker.
    """
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite's own `add` does not know it
        return context.get_dummy_value()

    return types.void(), code


# --------------------------------------------------------------------------------------------------------------- exp
@arithmetic
def exp_32(x):  # type: ignore[no-untyped-def]
    """exp(x) in float32: x = k log 2 + r, exp(r) by a polynomial, and 2^k by writing the exponent's bits."""
    x = float32(-105) if x < float32(-105) else x
    x = float32(90) if x > float32(90) else x
    k = np.floor(x * float32(1.44269504) + float32(0.5))
    r = x - k * float32(0.693359375) + k * float32(2.12194440e-4)
    p = float32(1.9875691500e-4)
    p = p * r + float32(1.3981999507e-3)
    p = p * r + float32(8.3334519073e-3)
    p = p * r + float32(4.1665795894e-2)
    p = p * r + float32(1.6666665459e-1)
    p = p * r + float32(5.0000001201e-1)
    p = p * (r * r) + r + float32(1)
    n = int32(k if k == k else float32(0))
    half = n >> int32(1)  # 2^k in two factors: it may be too large or too small for one
    first = int32((half + int32(127)) << int32(23)).view(float32)
    second = int32((n - half + int32(127)) << int32(23)).view(float32)
    return p * first * second


@arithmetic
def exp_64(x):  # type: ignore[no-untyped-def]
    """exp(x) in float64: as in float32. For exp(r), with |r| < 0.35, the series up to r^13 / 13! is enough."""
    x = -746.0 if x < -746.0 else x
    x = 711.0 if x > 711.0 else x
    k = np.floor(x * 1.4426950408889634073599 + 0.5)
    r = x - k * 6.93145751953125e-1 - k * 1.42860682030941723212e-6
    p = 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 0.0001984126984126984
    p = p * r + 0.001388888888888889
    p = p * r + 0.008333333333333333
    p = p * r + 0.041666666666666664
    p = p * r + 0.16666666666666666
    p = p * r + 0.5
    p = p * (r * r) + r + 1.0
    n = int32(k if k == k else 0.0)
    half = n >> int32(1)
    first = int64(int64(half + int32(1023)) << int64(52)).view(float64)
    second = int64(int64(n - half + int32(1023)) << int64(52)).view(float64)
    return p * first * second


# -------------------------------------------------------------------------------------------------------------- tanh
@arithmetic
def tanh_32(x):  # type: ignore[no-untyped-def]
    """tanh(x) in float32: an odd rational function, up to where the result is 1."""
    x = float32(-7.905311) if x < float32(-7.905311) else x
    x = float32(7.905311) if x > float32(7.905311) else x
    xx = x * x
    p = float32(-2.76076847742355e-16)
    p = p * xx + float32(2.00018790482477e-13)
    p = p * xx + float32(-8.60467152213735e-11)
    p = p * xx + float32(5.12229709037114e-08)
    p = p * xx + float32(1.48572235717979e-05)
    p = p * xx + float32(6.37261928875436e-04)
    p = p * xx + float32(4.89352455891786e-03)
    q = float32(1.19825839466702e-06)
    q = q * xx + float32(1.18534705686654e-04)
    q = q * xx + float32(2.26843463243900e-03)
    q = q * xx + float32(4.89352518554385e-03)
    return x * p / q


@arithmetic
def tanh_64(x):  # type: ignore[no-untyped-def]
    """tanh(x) in float64: a rational function near 0, and 1 - 2 / (exp(2 |x|) + 1) farther out."""
    size = abs(x)
    xx = x * x
    p = -9.64399179425052238628e-1 * xx - 9.92877231001918586564e1
    p = p * xx - 1.61468768441708447952e3
    q = (xx + 1.12811678491632931402e2) * xx + 2.23548839060100448583e3
    q = q * xx + 4.84406305325125486048e3
    near = size < 0.625
    quotient = (xx * p if near else 2.0) / (q if near else exp_64(2.0 * size) + 1.0)  # one division for both cases
    far = quotient - 1.0 if x < 0 else 1.0 - quotient
    return x + x * quotient if near else far


# ----------------------------------------------------------------------------------------------------------- sigmoid
@arithmetic
def sigmoid_32(x):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-x)) in the engine's form, which is exact far below 0."""
    e = exp_32(float32(40) if x > float32(40) else x)
    return e / (e + float32(1))


@arithmetic
def sigmoid_64(x):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-x)) in the engine's form, which is exact far below 0."""
    e = exp_64(40.0 if x > 40.0 else x)
    return e / (e + 1.0)


# -------------------------------------------------------------------------------------------------------------- BLAS
STYLES = (  # how builds of NumPy name a function of BLAS, and how wide its integers are
    ("scipy_cblas_{}64_", 64), ("cblas_{}64_", 64), ("cblas_{}$NEWLAPACK$ILP64", 64), ("cblas_{}$NEWLAPACK", 32),
    ("scipy_cblas_{}", 32), ("cblas_{}", 32),
)  # fmt: skip


def numpys_blas() -> tuple[dict[str, int], int]:
    """The addresses of the functions of NumPy's BLAS, and the width of their integers; no functions if there is none.

    A library that is loaded already is asked, along with those that it needs; on Windows, where a library does not
    answer for others, those that lie beside NumPy.
    """
    core = importlib.import_module("numpy._core._multiarray_umath")
    beside = Path(np.__file__).parent.parent / "numpy.libs"
    for file in [str(core.__file__), *map(str, beside.glob("*openblas*"))]:
        try:
            library = ctypes.CDLL(file)
        except OSError:
            continue
        for style, bits in STYLES:
            try:
                return {name: ctypes.cast(getattr(library, style.format(name)), ctypes.c_void_p).value or 0
                        for name in ("sgemm", "dgemm", "sgemv", "dgemv")}, bits  # fmt: skip
            except AttributeError:
                continue
    return {}, 64


def linked(name: str, real: Any, whole: Any) -> Any:
    """A function of BLAS, as kernels call it. Its name, not its address, is part of the machine code on disk."""
    n, enum, address = whole, types.int32, types.intp
    arguments = {
        "gemm": (enum, enum, enum, n, n, n, real, address, n, address, n, real, address, n),
        "gemv": (enum, enum, n, n, real, address, n, address, n, real, address, n),
    }[name[1:]]
    return types.ExternalFunction(f"microgradrnn_{name}", types.void(*arguments))


BLAS, BITS = numpys_blas()
for _name, _address in BLAS.items():
    llvm.add_symbol(f"microgradrnn_{_name}", _address)
WHOLE: Any = types.int64 if BITS == 64 else types.int32
sgemm, sgemv = (linked(name, types.float32, WHOLE) for name in ("sgemm", "sgemv"))
dgemm, dgemv = (linked(name, types.float64, WHOLE) for name in ("dgemm", "dgemv"))
