"""Origins: runs that are seen up to about the same progress are taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from predictdyn.problem import Query

FINENESS = 20  # of the origins of regressions


def rounded(progress: float, fineness: int) -> float:
    """The progress, at or after this one, up to which runs count as seen alike; at most one; as it is where nothing is.

    Origins are alike when the logarithms of their progress, times ``fineness``, round up to the same number.

    >>> rounded(0.1, 20) == rounded(0.0999, 20) >= 0.1
    True
    """
    return min(float(np.exp(np.ceil(fineness * np.log(progress) - 1e-6) / fineness)), 1.0) if progress > 0 else progress


def alike(queries: Sequence[Query], last: Mapping[str, float]) -> dict[float, list[Query]]:
    """Queries by the rounded progress ``last`` seen of their run; those of which nothing is seen are left out."""
    groups: dict[float, list[Query]] = {}
    for query in queries:
        if last.get(query.run, 0.0) > 0:
            groups.setdefault(rounded(last[query.run], FINENESS), []).append(query)
    return groups
