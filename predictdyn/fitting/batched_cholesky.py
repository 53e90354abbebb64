"""Cholesky factors of many small matrices, written out: a library call for each of them costs far more.

A matrix (j, j, ...) is a list of rows of arrays (...), a vector (j, ...) a list of arrays, or an array of that shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any
Rows = list[list[Array]]


def cholesky(a: Any) -> Rows:
    """The rows of the lower root L, up to the diagonal, of symmetric a = L L'; a pivot <= 0 gives a column of zeros.

    >>> [[float(part) for part in row] for row in cholesky([[4.0, 2.0], [2.0, 5.0]])]
    [[2.0], [1.0, 2.0]]
    """
    root: Rows = []
    for i in range(len(a)):
        row: list[Array] = []
        for j in range(i):
            row.append(_over(a[i][j] - sum(row[c] * root[j][c] for c in range(j)), root[j][j]))
        pivot = a[i][i] - sum(part**2 for part in row)
        root.append([*row, np.sqrt(np.maximum(pivot, 0.0))])
    return root


def forward(root: Rows, b: Any) -> list[Array]:
    """x with L x = b; zero where the pivot is."""
    x: list[Array] = []
    for i in range(len(root)):
        x.append(_over(b[i] - sum(root[i][c] * x[c] for c in range(i)), root[i][i]))
    return x


def backward(root: Rows, b: Any) -> list[Array]:
    """x with L' x = b; zero where the pivot is."""
    j = len(root)
    x: list[Array] = [0.0] * j
    for i in reversed(range(j)):
        x[i] = _over(b[i] - sum(root[c][i] * x[c] for c in range(i + 1, j)), root[i][i])
    return x


def solve(a: Any, b: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """The solution of a x = b for small positive definite a, and the pivots of a (one where they are not positive)."""
    if len(b) == 1:
        return [b[0] / a[0][0]], [a[0][0]]
    root = cholesky(a)
    pivots = [np.where(root[i][i] > 0, root[i][i], 1.0) ** 2 for i in range(len(b))]
    return backward(root, forward(root, b)), pivots


def _over(value: Array, pivot: Array) -> Array:
    return np.where(pivot > 0, value / np.where(pivot > 0, pivot, 1.0), 0.0)
