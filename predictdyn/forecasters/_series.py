"""Latent curves as `fitting` takes them: after step 0, binned where there are many points, in units of their own sd."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from predictdyn.fitting.stacks import Series
from predictdyn.problem import LatentCurve

FEWEST = 3  # points below which nothing can be told about a slope
LONGEST = 48  # points; more are binned
LATE = 12  # the last points stay as they are: the end is what is extrapolated
FEWEST_RECORDS = 4


class Standardised(NamedTuple):
    """A curve as `structural.Series`, and the latent value that z is measured from."""

    series: Series
    zero: float


def usable(curve: LatentCurve) -> bool:
    """Whether a curve has the points it takes."""
    return int((curve.progress > 0).sum()) >= FEWEST


def standardised(curve: LatentCurve) -> Standardised:
    """A curve with at least `FEWEST` points after step 0."""
    u, latent, variance = _points(curve)
    # A constant curve has no unit of its own.
    unit = max(float(latent.std()), 1e-9 * float(np.abs(latent).max()), 1e-150)
    zero = float(latent[-1]) + record_bias(curve.latent[curve.progress > 0])
    return Standardised(Series(u, (latent - latent[-1]) / unit, variance, unit), zero)


def record_bias(latent: np.ndarray) -> float:
    """What to add to a curve (t,) that was logged as the best value so far, so that it speaks of the next measurement.

    A best-so-far log never turns back, and repeats a value whenever no record is set. A record is a lucky
    measurement: on average the one before it was no worse a guess, so the mean size of the later records is taken
    back. Zero for curves that turn back, repeat no value before their last record, or have few records.

    >>> record_bias(np.array([5.0, 5.0, 4.0, 3.0, 3.0, 2.0, 2.0, 1.0]))
    1.0
    """
    step = np.diff(latent)
    moved = np.flatnonzero(step)
    if len(moved) < FEWEST_RECORDS or not ((step >= 0).all() or (step <= 0).all()):
        return 0.0
    if (step[: moved[-1]] == 0).sum() < 2:
        return 0.0
    late = step[len(latent) // 2 :]
    return -float(late[late != 0].mean()) if late.any() else 0.0


def _points(curve: LatentCurve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ln x relative to the last point, latent value and relative variance of the noise."""
    begun = curve.progress > 0
    u, z = np.log(curve.progress[begun] / curve.progress[-1]), curve.latent[begun]
    stderr = curve.stderr[begun]
    # Standard errors say how noise changes along a curve, not how large it is: all checkpoints answer the same items.
    known = np.isfinite(stderr) & (stderr > 0)
    typical = float(np.median(stderr[known])) if known.any() else 1.0
    variance = np.clip(np.where(known, stderr / typical, 1.0), 0.3, 3.0) ** 2
    most = LONGEST
    if len(u) <= most:
        return u, z, variance
    body, bins = len(u) - LATE, most - LATE
    cell = np.minimum((u[:body] - u[0]) / (u[body - 1] - u[0]) * bins, bins - 1).astype(int)
    count = np.bincount(cell, minlength=bins)
    full = count > 0
    mean = [np.bincount(cell, weights=part[:body], minlength=bins)[full] / count[full] for part in (u, z, variance)]
    mean[2] /= count[full]
    return tuple(np.concatenate([early, part[body:]]) for early, part in zip(mean, (u, z, variance), strict=True))  # type: ignore[return-value]
