"""Weights by which every family counts alike, however many rows it has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def family_weights(family: Sequence[str] | np.ndarray) -> Float[np.ndarray, " n"]:
    """Weights (n,) of rows in families (n,): they sum to one, and those of each family to the same.

    >>> family_weights(["a", "b", "b"]).tolist()
    [0.5, 0.25, 0.25]
    """
    _, code, count = np.unique(family, return_inverse=True, return_counts=True)
    return 1 / (len(count) * count[code])
