"""Points that fill a cube evenly: Sobol's sequence, with the direction numbers of Joe and Kuo."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

BITS = 30
# A polynomial's degree and inner coefficients as bits, and the first numbers, for each dimension after the first (Joe
# and Kuo 2008, doi:10.1137/070709359, table new-joe-kuo-6.21201).
DIRECTIONS = ((1, 0, (1,)), (2, 1, (1, 3)), (3, 1, (1, 3, 1)), (3, 2, (1, 1, 1)), (4, 1, (1, 1, 3, 3)))


def sobol(n: int, dimensions: int) -> Float[np.ndarray, "{n} {dimensions}"]:
    """The first n points in up to six dimensions, in the order of Gray codes, the origin first.

    >>> sobol(4, 2).tolist()
    [[0.0, 0.0], [0.5, 0.5], [0.75, 0.25], [0.25, 0.75]]
    """
    code = np.arange(n)
    code ^= code >> 1
    points = np.zeros((n, dimensions), dtype=np.int64)
    for j in range(dimensions):
        for bit, number in enumerate(_numbers(j)):
            points[:, j] ^= np.where(code >> bit & 1, number, 0)
    return points / 2.0**BITS


def _numbers(dimension: int) -> list[int]:
    """Direction numbers of a dimension, `BITS` of them, as whole numbers of 2^-BITS."""
    if dimension == 0:
        return [1 << (BITS - 1 - i) for i in range(BITS)]
    degree, inner, first = DIRECTIONS[dimension - 1]
    found = list(first)
    for i in range(degree, BITS):
        new = found[i - degree] ^ (found[i - degree] << degree)
        for k in range(1, degree):
            new ^= (inner >> (degree - 1 - k) & 1) * (found[i - k] << k)
        found.append(new)
    return [number << (BITS - 1 - i) for i, number in enumerate(found)]
