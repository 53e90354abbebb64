"""One metric of many runs as padded arrays, up to a share of each run's plan: what all features are made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from predictdyn.curves import Curve, Curves
from predictdyn.scales import Scale

NOTHING = np.zeros(0)
NO_CURVE = Curve(NOTHING, NOTHING, NOTHING)


class Seen(NamedTuple):
    """One metric of n runs, aligned to the right: column -1 is the last point seen, blank columns come first.

    Arrays (n, t), zero where ``here`` is false: ``step``, ``x`` = ln(step / last_step), ``latent``, ``value``. Step 0
    has no logarithm; it lies at half the run's first positive step. ``now`` is the logarithm of the share.
    """

    here: np.ndarray
    step: np.ndarray
    x: np.ndarray
    latent: np.ndarray
    value: np.ndarray
    now: float

    @property
    def counts(self) -> np.ndarray:
        """Number of points of each run, (n,)."""
        return self.here.sum(axis=1)

    def latest(self, number: np.ndarray | int) -> np.ndarray:
        """Which points are among the last ``number`` (n,) of their run, (n, t)."""
        t = self.here.shape[1]
        return self.here & (np.arange(t) >= t - np.reshape(number, (-1, 1)))

    def later(self) -> np.ndarray:
        """Which points are in the later half of their run, or among its last five, (n, t)."""
        return self.latest(np.maximum(-(-self.counts // 2), 5))

    def at_first(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers (n, t) at the first point of each run, NaN without points: (n,)."""
        first = np.argmax(self.here, axis=1)
        return np.where(self.counts > 0, np.take_along_axis(numbers, first[:, None], axis=1)[:, 0], np.nan)


def seen(curves: Curves, metric: str, share: float) -> Seen:
    """The points of a metric up to a share of each run of ``curves.runs``, the latent scale left out (``latent`` is 0).

    The last column is always there, so that a table without points still has one.
    """
    found = [curves.series.get((run, metric), NO_CURVE) for run in curves.runs.index]
    n = len(found)
    row = np.repeat(np.arange(n), [len(curve.step) for curve in found])
    step, value = (np.concatenate([NOTHING, *(curve[i] for curve in found)]).astype(float) for i in (0, 1))
    keep = step <= curves.limit(share).to_numpy(dtype=float)[row]
    row, step, value = row[keep], step[keep], value[keep]
    count = np.bincount(row, minlength=n)
    t = max(int(count.max(initial=0)), 1)
    before = np.cumsum(count) - count
    column = t - count[row] + np.arange(len(row)) - before[row]
    here, steps, values = np.zeros((n, t), dtype=bool), np.zeros((n, t)), np.zeros((n, t))
    here[row, column], steps[row, column], values[row, column] = True, step, value
    positive = np.min(steps, axis=1, where=steps > 0, initial=np.inf)
    last_step = curves.runs["last_step"].to_numpy(dtype=float)
    start = np.where(np.isfinite(positive), positive, last_step * share) / 2
    x = np.log(np.where(steps > 0, steps, start[:, None]) / last_step[:, None]) * here
    return Seen(here, steps, x, np.zeros((n, t)), values, float(np.log(share)))


def scaled(points: Seen, scale: Scale) -> Seen:
    """The same points with their latent values."""
    return points._replace(latent=np.where(points.here, scale.latent(points.value), 0.0))


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is not positive."""
    blank = np.full(np.broadcast_shapes(np.shape(above), np.shape(below)), np.nan)
    return np.divide(above, below, out=blank, where=np.asarray(below) > 0)


def mean(numbers: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Mean of the chosen numbers (n, t) of each row, NaN without any: (n,)."""
    return ratio(np.sum(numbers, axis=1, where=which), which.sum(axis=1))


def trimmed(numbers: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Mean of the chosen numbers (n, t) of each row without the largest and the smallest, where there are three: (n,).

    >>> trimmed(np.array([[1.0, 2.0, 9.0]]), np.array([[True, True, True]])).tolist()
    [2.0]
    """
    total, count = np.sum(numbers, axis=1, where=which), which.sum(axis=1)
    high = np.max(numbers, axis=1, where=which, initial=-np.inf)
    low = np.min(numbers, axis=1, where=which, initial=np.inf)
    many = count > 2
    average = ratio(total - np.where(many, high, 0) - np.where(many, low, 0), count - 2 * many)
    return np.clip(average, low, high)  # rounding must not move a curve that stands still


def median(numbers: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Median of the chosen numbers (n, t) of each row, NaN without any: (n,).

    >>> median(np.array([[1.0, 2.0, 9.0]]), np.array([[True, False, True]])).tolist()
    [5.0]
    """
    ordered, count = np.sort(np.where(which, numbers, np.inf), axis=1), which.sum(axis=1)
    places = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, numbers.shape[1] - 1)], axis=1)
    middle = np.take_along_axis(ordered, places, axis=1)
    return np.where(count > 0, np.where(count[:, None] > 0, middle, 0.0).mean(axis=1), np.nan)


class QuadraticFit(NamedTuple):
    """A weighted quadratic of each row: slope of its line, curvature, and the line's value at an x, all (n,)."""

    slope: np.ndarray
    curvature: np.ndarray
    centre: np.ndarray
    height: np.ndarray

    def at(self, x: float | np.ndarray) -> np.ndarray:
        """The line at x."""
        return self.height + self.slope * (x - self.centre)


def fitted(x: np.ndarray, z: np.ndarray, weight: np.ndarray) -> QuadraticFit:
    """Least squares of z on 1, x, x^2, each (n, t), by polynomials that are orthogonal under the weights.

    The slope is that of the weighted line, NaN below two points; the curvature is the second derivative of the
    quadratic, NaN below four.
    """
    total, count = weight.sum(axis=1), (weight > 0).sum(axis=1)
    centre, height = ratio((weight * x).sum(axis=1), total), ratio((weight * z).sum(axis=1), total)
    u = np.where(weight > 0, x - centre[:, None], 0.0)
    z = np.where(weight > 0, z - height[:, None], 0.0)
    spread = (weight * u**2).sum(axis=1)
    slope = np.where(count > 1, ratio((weight * u * z).sum(axis=1), spread), np.nan)
    tilt, offset = ratio((weight * u**3).sum(axis=1), spread), ratio(spread, total)
    bow = np.where(weight > 0, u**2 - tilt[:, None] * u - offset[:, None], 0.0)
    curvature = 2 * ratio((weight * bow * z).sum(axis=1), (weight * bow**2).sum(axis=1))
    return QuadraticFit(slope, np.where(count > 3, curvature, np.nan), centre, height)


def rising(which: np.ndarray) -> np.ndarray:
    """Weights that rise linearly to 1 at the last of the chosen points, (n, t)."""
    return which * np.cumsum(which, axis=1) / np.maximum(which.sum(axis=1), 1)[:, None]
