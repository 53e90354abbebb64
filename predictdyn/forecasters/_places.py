"""Origins: runs that are seen up to about the same progress are taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from predictdyn.problem import Query

FINENESS = 20  # origins are alike when the logarithms of their progress, times this, round up to the same number


def rounded(progress: float) -> float:
    """The progress, at or after this one, up to which runs count as seen alike; at most one.

    >>> rounded(0.1) == rounded(0.0999) >= 0.1
    True
    """
    return min(float(np.exp(np.ceil(FINENESS * np.log(progress) - 1e-6) / FINENESS)), 1.0)


def alike(queries: Sequence[Query], last: Mapping[str, float]) -> dict[float, list[Query]]:
    """Queries by the rounded progress ``last`` seen of their run; those of which nothing is seen are left out."""
    groups: dict[float, list[Query]] = {}
    for query in queries:
        if last.get(query.run, 0.0) > 0:
            groups.setdefault(rounded(last[query.run]), []).append(query)
    return groups
