"""The small solver against LAPACK."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.vision.face.cholesky import factorise, substitute


@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 12])
def test_it_solves_what_lapack_solves(n: int) -> None:
    rng = np.random.default_rng(n)
    half = rng.normal(size=(n, n + 3))
    matrix, right = half @ half.T + 0.1 * np.eye(n), rng.normal(size=n)
    factor, found = matrix.copy(), right.copy()
    factor[np.triu_indices(n, 1)] = np.nan  # not read
    factorise(factor)
    substitute(factor, found)
    np.testing.assert_allclose(np.tril(factor), np.linalg.cholesky(matrix), atol=1e-12)
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-9)


def test_what_is_not_definite_gives_numbers_all_the_same() -> None:
    """A face without texture: nothing is known, and nothing may be infinite."""
    factor, found = np.zeros((3, 3)), np.zeros(3)
    factorise(factor)
    substitute(factor, found)
    assert np.isfinite(factor).all()
    np.testing.assert_array_equal(found, 0.0)
