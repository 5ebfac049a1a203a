"""Products of matrices in a kernel: small ones in loops, large ones by BLAS."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from microgradrnn.compiler.numba_memory import entry

SMALL = 1 << 12  # multiplications: so many are quicker in a loop than by BLAS
PLAIN, TURNED = 111, 112  # CBLAS: the matrix as it is, and transposed


class Matrix(NamedTuple):
    """A matrix in an array: the array, where it begins, and how far apart its rows and its columns are."""

    head: str
    start: int
    down: int
    across: int

    def entry(self, row: str, column: str) -> str:
        """The text of an entry."""
        return entry(self.head, self.start, [(row, self.down), (column, self.across)])

    def address(self) -> str:
        """The text of the address of the first entry."""
        return f"np.intp({self.head}{self.start}:].ctypes.data)"

    def way(self, rows: int, columns: int) -> tuple[int, int] | None:
        """How BLAS is told of it: transposed or not, and the distance of rows; None if it cannot be."""
        if self.across == 1 and (self.down >= columns or rows == 1):
            return PLAIN, max(self.down, columns)
        if self.down == 1 and (self.across >= rows or columns == 1):
            return TURNED, max(self.across, rows)
        return None


def small_product(
    left: Matrix, right: Matrix, out: Matrix, sizes: tuple[int, int, int], dtype: np.dtype[Any], adds: bool
) -> list[str]:
    """A product in loops. Four rows of the right matrix at a time, which spares reading and writing the result."""
    rows, columns, inner = sizes
    target, whole = out.entry("i", "j"), inner // 4 * 4
    lines = [f"for i in range({rows}):"]
    if not adds:
        lines += [f"    for j in range({columns}):", f"        {target} = {dtype}(0)"]
    if whole:
        terms = " + ".join(f"a{n} * {right.entry(f'(k + {n})', 'j')}" for n in range(4))
        lines += [f"    for k in range(0, {whole}, 4):"]
        lines += [f"        a{n} = {left.entry('i', f'(k + {n})')}" for n in range(4)]
        lines += [f"        for j in range({columns}):", f"            {target} += {terms}"]
    if whole < inner:
        lines += [f"    for k in range({whole}, {inner}):", f"        a = {left.entry('i', 'k')}",
                  f"        for j in range({columns}):",
                  f"            {target} += a * {right.entry('k', 'j')}"]  # fmt: skip
    return lines


def blas_product(
    left: Matrix, right: Matrix, out: Matrix, sizes: tuple[int, int, int], dtype: np.dtype[Any], adds: bool
) -> str | None:
    """A call of BLAS; None if rows of a matrix are in an order that it does not take."""
    rows, columns, inner = sizes
    kind, one, beta = "s" if dtype == np.float32 else "d", f"{dtype}(1)", f"{dtype}({int(adds)})"
    ways = [w for w in (left.way(rows, inner), right.way(inner, columns), out.way(rows, columns)) if w is not None]
    if len(ways) < 3 or ways[2][0] != PLAIN:
        return None
    (turn_left, wide_left), (turn_right, wide_right), (_, wide) = ways
    if rows == 1 and left.across == 1:
        turned, high, broad = (TURNED, inner, columns) if turn_right == PLAIN else (PLAIN, columns, inner)
        return (f"{kind}gemv(int32(101), int32({turned}), whole({high}), whole({broad}), {one}, {right.address()}, "
                f"whole({wide_right}), {left.address()}, whole(1), {beta}, {out.address()}, whole(1))")  # fmt: skip
    return (f"{kind}gemm(int32(101), int32({turn_left}), int32({turn_right}), whole({rows}), whole({columns}), "
            f"whole({inner}), {one}, {left.address()}, whole({wide_left}), {right.address()}, whole({wide_right}), "
            f"{beta}, {out.address()}, whole({wide}))")  # fmt: skip
