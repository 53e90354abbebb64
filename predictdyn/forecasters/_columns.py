"""Columns of features made fit for a regression: robust units, no outliers, no gaps, nothing constant."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SMALLEST_SHARE = 0.1  # of rows in which a column differs from its median; rarer ones teach nothing


class Units(NamedTuple):
    """Which columns (p,) are kept, and their medians and spreads."""

    kept: np.ndarray
    median: np.ndarray
    spread: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Columns (n, k) of about unit size: asinh of what they are above the median in units of their spread.

        What is missing counts as the median.
        """
        return np.nan_to_num(np.arcsinh((x[:, self.kept] - self.median) / self.spread))


def units(x: np.ndarray) -> Units:
    """Learn the units of columns (n, p) with NaN where unknown.

    >>> made = units(np.array([[1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [3.0, 5.0, 1.0]]))
    >>> made.kept.tolist()
    [True, False, False]
    """
    known = np.isfinite(x).sum(axis=0) >= len(x) / 2
    some = np.where(known, x, 0.0)
    median = np.nanmedian(some, axis=0)
    off = np.abs(some - median)
    moved = np.nanmean(off > 0, axis=0) >= SMALLEST_SHARE
    quartile = np.nanquantile(some, [0.25, 0.75], axis=0)
    spread = np.where(quartile[1] > quartile[0], (quartile[1] - quartile[0]) / 1.35, np.nanmean(off, axis=0))
    kept = known & moved & (spread > 0)
    return Units(kept, median[kept], spread[kept])
