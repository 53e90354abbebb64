"""Where regressions over finished runs stand: shares up to which runs are seen alike, and places between targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from predictdyn.lines import Asked, clock, share_at

FINENESS = 20  # origins are alike when the logarithms of their shares, times this, round to the same number
PLACES = 24  # shares, even in `lines.clock`, at which regressions stand; targets lie between two of them


def alike(asked: Sequence[Asked], last: Mapping[str, float]) -> dict[float, list[Asked]]:
    """Runs by the share, at or after ``last``, up to which they are seen; those of which nothing is are left out."""
    groups: dict[float, list[Asked]] = {}
    for one in asked:
        if last.get(one.run, 0.0) > 0:
            origin = float(np.exp(np.ceil(FINENESS * np.log(last[one.run])) / FINENESS))
            groups.setdefault(min(origin, 1.0), []).append(one)
    return groups


def share_of(place: int) -> float:
    """The share of the run at a place.

    >>> round(share_of(PLACES), 9)
    1.0
    """
    return float(share_at(np.array(place / PLACES)))


def about(share: float, origin: float) -> list[tuple[int, float]]:
    """The places before and after a share, with their weights: after the origin, the last one the end of the run.

    >>> about(1.0, 0.1)
    [(24, 1.0)]
    """
    first = min(int(np.floor(clock(np.array(origin)) * PLACES)) + 1, PLACES)
    at = float(np.clip(clock(np.array(share)) * PLACES, first, PLACES))
    low = int(np.floor(at + 1e-9))
    part = max(at - low, 0.0)
    return [(low, 1.0)] if part < 1e-6 else [(low, 1 - part), (low + 1, part)]
