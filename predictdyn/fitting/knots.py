"""Many latent curves at once: their values at one progress, for a history of thousands of runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from predictdyn.problem import LatentCurve, log_progress


class Knots:
    """Many curves as one sorted array of places, so that all are interpolated at once.

    >>> curves = [LatentCurve(run, run, np.array([0.1, last]), np.array([0.0, 1.0]), np.zeros(2)) for run, last in
    ...           (("a", 0.5), ("b", 1.0))]
    >>> Knots(curves).at(1.0).tolist()
    [nan, 1.0]
    """

    def __init__(self, curves: Sequence[LatentCurve]) -> None:
        self.count = np.array([len(curve.progress) for curve in curves], dtype=int)
        self.first = np.cumsum(self.count) - self.count
        joined = np.concatenate([np.zeros(0), *(curve.progress for curve in curves)])
        self.place = log_progress(joined)
        self.latent = np.concatenate([np.zeros(0), *(curve.latent for curve in curves)])
        # A stride beyond any place keeps the curves apart.
        self.stride = 2.0 + float(self.place.max(initial=0.0))
        self.keys = self.place + self.stride * np.repeat(np.arange(len(curves)), self.count)
        self.begin = np.array([curve.progress[0] if len(curve.progress) else np.inf for curve in curves])
        self.reach = np.array([curve.reaches_to for curve in curves])

    def at(self, progress: float, *, begun: bool = False) -> Float[np.ndarray, " n"]:
        """Values (n,) at a progress as `LatentCurve.at` has them, NaN for curves that do not reach as far.

        ``begun``: also for those that were not logged as early.
        """
        n = len(self.count)
        if not len(self.place):
            return np.full(n, np.nan)
        when = float(log_progress(np.array(progress)))
        after = np.searchsorted(self.keys, when + self.stride * np.arange(n), side="right") - self.first
        low = self.first + np.clip(after - 1, 0, np.maximum(self.count - 1, 0))
        high = self.first + np.clip(after, 0, np.maximum(self.count - 1, 0))
        low, high = np.minimum(low, len(self.place) - 1), np.minimum(high, len(self.place) - 1)
        gap = self.place[high] - self.place[low]
        part = np.where(gap > 0, (when - self.place[low]) / np.where(gap > 0, gap, 1.0), 0.0)
        value = self.latent[low] + np.clip(part, 0.0, 1.0) * (self.latent[high] - self.latent[low])
        known = (self.count > 0) & (progress <= self.reach)
        return np.where(known & (self.begin <= progress + 1e-12) if begun else known, value, np.nan)
