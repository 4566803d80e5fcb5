"""Small symmetric positive definite systems, inside kernels. Golub and Van Loan 2013, §4.2.

LAPACK takes longer to call than to solve one. Plain arithmetic: fast arithmetic rounds by how small arrays lie in
memory, and two runs over the same frames would differ.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from realtime.vision.jit import jit

Matrix = NDArray[np.float64]


@jit(fastmath=False)
def factorise(matrix: Matrix) -> None:
    """(n, n) becomes its Cholesky factor in the lower triangle; what stands above is not read."""
    n = matrix.shape[0]
    for j in range(n):
        for k in range(j):
            matrix[j, j] -= matrix[j, k] * matrix[j, k]
        matrix[j, j] = math.sqrt(max(matrix[j, j], 1e-12))
        for i in range(j + 1, n):
            for k in range(j):
                matrix[i, j] -= matrix[i, k] * matrix[j, k]
            matrix[i, j] /= matrix[j, j]


@jit(fastmath=False)
def substitute(factor: Matrix, values: Matrix) -> None:
    """values (n,) becomes the solution of the system that ``factorise`` made ``factor`` of, with them to the right."""
    n = values.shape[0]
    for i in range(n):
        for k in range(i):
            values[i] -= factor[i, k] * values[k]
        values[i] /= factor[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            values[i] -= factor[k, i] * values[k]
        values[i] /= factor[i, i]
