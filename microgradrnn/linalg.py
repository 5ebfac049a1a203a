"""Linear algebra with the names and arguments of ``numpy.linalg``.

All but `norm` is in `microgradrnn` itself too. There, ``norm(x, axis)`` is the Euclidean norm, as the losses need it;
here, as in NumPy, the second argument is the kind of norm.

>>> from microgradrnn import Tensor, linalg
>>> linalg.norm(Tensor([3.0, -4.0]), 1).data
array(7.)
"""

from microgradrnn.engine.rules.matrices import cholesky, det, eigh, inv, matrix_power, norm, pinv, slogdet, solve, svd

__all__ = [
    "cholesky", "det", "eigh", "inv", "matrix_power", "norm", "pinv", "slogdet", "solve", "svd",
]  # fmt: skip
