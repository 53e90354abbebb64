"""What the peak of a learning rate does beside what schedule laws say of it: a parabola in its logarithm.

By the laws a larger rate only ever brings more. That real runs have a best peak is seen in what the laws leave over at
the end of runs of several peaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from predictdyn.fitting.schedule_mixture import LossCurve, ScheduleFit, blocks

LATE = 0.25  # of the blocks of a run: the end, where what is left over counts
PRIOR_SD = 0.05  # of the log loss, for a factor of e in the peak
LEAST_NOISE = 0.002
SEVERAL = 1.05  # a larger peak is another one


class PeakEffect(NamedTuple):
    """Log loss as a x + b x^2 of x = ln(peak / middle): the normal of (a, b), and the least and the largest peak."""

    middle: float
    mean: Float[np.ndarray, " 2"]
    covariance: Float[np.ndarray, "2 2"]
    low: float
    high: float

    def draws(self, peaks: Float[np.ndarray, " m"], n: int, *, seed: int) -> Float[np.ndarray, "m n"]:
        """Draws of the effect at some peaks; a column is one parabola."""
        chosen = np.random.default_rng(seed).multivariate_normal(self.mean, self.covariance, n)
        return np.asarray(self._columns(peaks) @ chosen.T)

    def at(self, peaks: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """The mean effect at some peaks."""
        return np.asarray(self._columns(peaks) @ self.mean)

    def _columns(self, peaks: np.ndarray) -> np.ndarray:
        return _columns(np.asarray(peaks, dtype=float), self.middle)


def peak_effect(fit: ScheduleFit, curves: Sequence[LossCurve]) -> PeakEffect | None:
    """What the fit leaves over at the end of its curves, by their peaks; None where all have one peak."""
    peaks = np.array([curve.rate.peak for curve in curves])
    low, high = float(peaks.min()), float(peaks.max())
    if high < SEVERAL * low:
        return None
    middle = float(np.exp(np.log(peaks).mean()))
    left = np.array([_late(fit, curve) for curve in curves])
    x = _columns(peaks, middle)
    precision = np.eye(2) / PRIOR_SD**2
    # An intercept takes what all runs have in common.
    x1, left1 = x - x.mean(axis=0), left - left.mean()
    rough = left1 - x1 @ np.linalg.lstsq(x1, left1, rcond=None)[0]
    noise = max(float(np.sqrt((rough**2).sum() / max(len(left) - 3, 1))), LEAST_NOISE)
    covariance = np.linalg.inv(precision + x1.T @ x1 / noise**2)
    return PeakEffect(middle, covariance @ (x1.T @ left1) / noise**2, covariance, low, high)


def _columns(peaks: np.ndarray, middle: float) -> np.ndarray:
    x = np.log(peaks / middle)
    return np.stack([x, x**2], axis=1)


def _late(fit: ScheduleFit, curve: LossCurve) -> float:
    thinned = blocks(curve)
    late = max(int(np.ceil(LATE * len(thinned.step))), 1)
    said = [member.at_mode(curve.rate, thinned.step, fit) for member in fit.members]
    return float(np.mean((thinned.log_loss - fit.weights @ np.array(said))[-late:]))
