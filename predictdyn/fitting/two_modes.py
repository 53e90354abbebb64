r"""Two modes: whether numbers, or each row of draws, lie in two heaps with a valley between them, and where it is.

Sorted numbers are cut in two where the variance between the parts is largest (Otsu 1979,
doi:10.1109/TSMC.1979.4310076). The parts are two modes where each has enough of the weight, and where the density half
way between their medians, and at the cut, is at most half of that at the lower of the two. One heap, however skewed or
flat, has no such valley: a normal distribution, a uniform and an exponential one never have.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

LEAST_PART = 0.1  # of the weight, in each mode
DEEPEST = 0.5  # of the lower mode's density: a valley is no higher
WINDOW = 0.3  # of the distance between medians, over which a density is taken


class TwoModes(NamedTuple):
    """Of each row (n,): whether it has two modes, the share in the upper one, and the number that parts them."""

    found: Bool[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]
    valley: Float[np.ndarray, " n"]


def two_modes(
    ordered: Float[np.ndarray, "n s"], weight: Float[np.ndarray, " s"] | None = None, least: float = LEAST_PART,
    deepest: float = DEEPEST,
) -> TwoModes:  # fmt: skip
    """Modes of rows of numbers (n, s) that are sorted; with ``weight`` (s,) of the numbers, for one row.

    ``least`` of the weight is in each mode, and the density in the valley is at most ``deepest`` of the lower mode's.

    >>> rows = np.stack([np.linspace(0, 1, 100), np.r_[np.linspace(0, 0.2, 60), np.linspace(0.8, 1, 40)]])
    >>> found = two_modes(rows)
    >>> found.found.tolist(), found.upper.round(2).tolist()[1], found.valley.round(2).tolist()[1]
    ([False, True], 0.4, 0.5)
    """
    n, s = ordered.shape
    share = np.full(s, 1.0 / s) if weight is None else weight / weight.sum()
    below = np.cumsum(share)[:-1]
    # In units of the largest: squares of 1e200 are no numbers.
    largest = np.maximum(np.abs(ordered).max(axis=1, keepdims=True), 1e-300)
    centred = ordered / largest
    centred = centred - (centred @ share)[:, None]
    total = np.cumsum(centred * share, axis=1)[:, :-1]
    between = total**2 / np.maximum(below * (1 - below), 1e-12)
    # Equal numbers cannot be parted, and a part of too little weight is no mode.
    allowed = (np.diff(ordered, axis=1) > 0) & (below >= least - 1e-9) & (below <= 1 - least + 1e-9)
    between = np.where(allowed, between, -1.0)
    cut = between.argmax(axis=1)
    found = between[np.arange(n), cut] > 0
    low, high = (_quantile(ordered, share, at) for at in (below[cut] / 2, (1 + below[cut]) / 2))
    apart = np.maximum(high - low, 0.0)
    half = WINDOW * apart / 2
    rows = np.arange(n)
    valley = (ordered[rows, cut] + ordered[rows, cut + 1]) / 2
    at = [low, (low + high) / 2, valley, high]
    dense = [_within(ordered, share, middle - half, middle + half) for middle in at]
    found &= (apart > 0) & (np.maximum(dense[1], dense[2]) <= deepest * np.minimum(dense[0], dense[3]))
    return TwoModes(found, np.where(found, 1 - below[cut], np.nan), np.where(found, valley, np.nan))


def _quantile(ordered: np.ndarray, share: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The number (n,) of each row with this much of the weight (n,) below it."""
    place = np.searchsorted(np.cumsum(share) - share / 2, level)
    return np.asarray(ordered[np.arange(len(ordered)), np.minimum(place, ordered.shape[1] - 1)])


def _within(ordered: np.ndarray, share: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The weight (n,) of the numbers of each row that lie between two ends (n,)."""
    inside = (ordered >= low[:, None]) & (ordered <= high[:, None])
    return np.asarray(inside @ share)
