"""The simple baselines: rules that give one point, each with the spread of its own past errors.

A rule takes what is observed of a run, the progress (m,) that is asked for, and the finished runs beside it, all on
the latent scale, and gives points (m,), NaN where it has no answer.
"""

from __future__ import annotations

import numpy as np

from predictdyn.forecasters._empirical import GRID, EmpiricalErrors, OneByOne, ReferenceRuns
from predictdyn.problem import LatentCurve, log_progress

FEWEST = 3  # points of a tail
EXPONENTS = np.geomspace(0.02, 4.0, 40)
DAMPING = 0.6  # curves flatten as they go on
LEVEL_OF = 3  # last points that the level is a mean of
NEIGHBOURS = 3
STIFFNESS = 1.0  # pseudo-points that pull the scale of a neighbour towards one


def last_value(curve: LatentCurve, progress: np.ndarray, runs: ReferenceRuns) -> np.ndarray:
    """z(x) = the last latent value seen, wherever it is asked for."""
    return np.full(len(progress), curve.latent[-1] if len(curve.latent) else np.nan)


def mean_change(curve: LatentCurve, progress: np.ndarray, runs: ReferenceRuns) -> np.ndarray:
    """z(x) = z(now) + mean over finished runs of (z_h(x) - z_h(now)), latent; no answer without a finished run."""
    if not len(curve.latent):
        return np.full(len(progress), np.nan)
    return curve.latent[-1] + runs.mean_change


def mean_outcome(curve: LatentCurve, progress: np.ndarray, runs: ReferenceRuns) -> np.ndarray:
    """z(x) = mean over finished runs of z_h(x), latent, whatever this run shows; no answer without finished runs."""
    return runs.mean_end


def chance(curve: LatentCurve, progress: np.ndarray, runs: ReferenceRuns) -> np.ndarray:
    """z(x) = the stated chance level, latent; without one the first value of this run, else of finished runs."""
    if runs.chance is not None:
        return np.full(len(progress), runs.chance)
    if len(curve.latent):
        return np.full(len(progress), curve.latent[0])
    known = runs.first[np.isfinite(runs.first)]
    return np.full(len(progress), known.mean() if len(known) else np.nan)


def log_linear(curve: LatentCurve, progress: np.ndarray, runs: ReferenceRuns) -> np.ndarray:
    """z(x) = a + b ln x, least squares over the last half of the points (at least 3), latent; no answer with fewer."""
    x, z, slope = tail(curve)
    if np.isnan(slope):
        return np.full(len(progress), np.nan)
    return z.mean() + slope * (np.log(np.maximum(progress, 1e-12)) - x.mean())


def damped_slope(curve: LatentCurve, progress: np.ndarray, runs: ReferenceRuns) -> np.ndarray:
    """z(x) = a + .6 b ln(x / now), latent, b that of `log_linear`; no answer with fewer than 3 points.

    The level a is the mean of the last three points, each moved to now along b. A damped trend beats a straight one
    where it is not known how long it will last (Gardner and McKenzie 1985, doi:10.1287/mnsc.31.10.1237).
    """
    x, z, slope = tail(curve)
    if np.isnan(slope):
        return np.full(len(progress), np.nan)
    level = np.mean(z[-LEVEL_OF:] - slope * (x[-LEVEL_OF:] - x[-1]))
    return level + DAMPING * slope * (np.log(np.maximum(progress, 1e-12)) - x[-1])


def pow3(curve: LatentCurve, progress: np.ndarray, runs: ReferenceRuns) -> np.ndarray:
    """z(x) = c - a x^-alpha on the latent scale, least squares; no answer with fewer than 4 points after step 0.

    Variable projection: c and a are solved for at each of 40 exponents between 0.02 and 4, the best exponent is kept.
    Form of Domhan et al. 2015 (IJCAI).
    """
    begun = curve.progress > 0
    x, z = curve.progress[begun], curve.latent[begun]
    if len(x) < 4:
        return np.full(len(progress), np.nan)
    # Relative to the last point, so that the power is of order one near the end of what was seen.
    power = (x[None, :] / x[-1]) ** -EXPONENTS[:, None]
    middle = power.mean(axis=1)
    centred, mean = power - middle[:, None], z.mean()
    slope = (centred @ (z - mean)) / np.maximum((centred**2).sum(axis=1), 1e-300)
    misfit = ((z - mean - slope[:, None] * centred) ** 2).sum(axis=1)
    best = int(np.argmin(misfit))
    ahead = (np.maximum(progress, 1e-12) / x[-1]) ** -EXPONENTS[best]
    return mean + slope[best] * (ahead - middle[best])


def nearest_run(curve: LatentCurve, progress: np.ndarray, runs: ReferenceRuns) -> np.ndarray:
    """z(x) = mean over the 3 best-fitting finished runs h of z(now) + b_h (z_h(x) - z_h(now)), latent.

    b_h >= 0 is fitted over the seen part by least squares with a pull towards 1; the misfit after that ranks the runs.
    An affine alignment of earlier complete curves after Chandrashekaran and Lane 2017 (ECML). No answer without a
    finished run or with fewer than 2 points seen.
    """
    if len(curve.latent) < 2:
        return np.full(len(progress), np.nan)
    inside = (curve.progress[0] <= GRID + 1e-12) & (curve.progress[-1] >= GRID)
    own = np.interp(log_progress(GRID[inside]), log_progress(curve.progress), curve.latent) - curve.latent[-1]
    theirs = runs.shapes(inside)
    n = int(np.count_nonzero(theirs.counts))
    if not n:
        return np.full(len(progress), np.nan)
    square, along = float(own @ own), theirs.seen @ own
    unit = max(square / len(own), 1e-12) if len(own) else 1e-12
    scale = np.maximum((along + STIFFNESS * unit) / (theirs.square + STIFFNESS * unit), 0.0)
    misfit = np.where(theirs.counts, square - 2 * scale * along + scale**2 * theirs.square, np.inf)
    # Sorting the best alone is what sorting all gives, ties included.
    last = min(NEIGHBOURS, n) - 1
    near = np.flatnonzero(misfit <= np.partition(misfit, last)[last])
    best = near[np.argsort(misfit[near], kind="stable")[: last + 1]]
    return curve.latent[-1] + (scale[best, None] * theirs.change[best]).mean(axis=0)


def tail(curve: LatentCurve) -> tuple[np.ndarray, np.ndarray, float]:
    """ln x (t,) and z (t,) of the last half of the points, at least 3, and the least-squares slope; NaN with fewer."""
    begun = curve.progress > 0
    x, z = np.log(curve.progress[begun]), curve.latent[begun]
    half = max(len(x) // 2, FEWEST)
    x, z = x[-half:], z[-half:]
    if len(x) < FEWEST:
        return x, z, np.nan
    off = x - x.mean()
    return x, z, float(off @ (z - z.mean()) / (off @ off))


LAST_VALUE = EmpiricalErrors("last_value", OneByOne(last_value))
MEAN_CHANGE = EmpiricalErrors("mean_change", OneByOne(mean_change))
MEAN_OUTCOME = EmpiricalErrors("mean_outcome", OneByOne(mean_outcome))
LOG_LINEAR = EmpiricalErrors("log_linear", OneByOne(log_linear))
POW3 = EmpiricalErrors("pow3", OneByOne(pow3))
NEAREST_RUN = EmpiricalErrors("nearest_run", OneByOne(nearest_run))
CHANCE = EmpiricalErrors("chance", OneByOne(chance))
DAMPED_SLOPE = EmpiricalErrors("damped_slope", OneByOne(damped_slope))
