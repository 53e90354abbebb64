r"""The change from a level at the cutoff to the value at the end: one Gaussian process over all runs and metrics.

For run r and metric j, with size x, level u, slope g, other settings z and families f, all centred,

.. math:: \mathrm{cov} = \sum_{w} (w_0^2 + w_1^2 \delta_{jj'})\, k_w, \quad
   k = 1,\; xx',\; uu',\; gg',\; M(|s - s'|),\; zz',\; \delta_{ff'},\; \delta_{rr'},

M a Matern 5/2 kernel of the log sizes s. The noise has three parts: one common, one from the logged standard error, one
from how far neighbouring checkpoints scatter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from predictdyn.fitting.multitask_gp import Ahead, Given, Solved, given, mode, solved

EFFECTS = ("constant", "size", "level", "slope", "distance", "rest", "family", "run")
SHARED = ("constant", "size", "level", "slope")  # these load on every row; the others on every run
REACH = 1.5  # of the Matern kernel, in ln size
# Means of the normal priors of the log sds: shared by all metrics, and of a metric's own.
PRIOR = {
    "constant": (-1.0, -1.0), "size": (-1.5, -2.0), "level": (-1.5, -2.0), "slope": (-1.5, -2.0),
    "distance": (-2.0, -1.5), "rest": (-2.5, -2.5), "family": (-2.5, -2.5), "run": (-2.0, -3.0),
}  # fmt: skip
NOISE_PRIOR = (-1.5, -0.5, -0.2)  # common, of the standard error, of the scatter
SPREAD = 0.6  # sd of the priors of effects; chosen on sizes held out of Gemstones
STEPS = 40


class Runs(NamedTuple):
    """What is planned of runs: size (r,), log size (r,), other settings (r, k), family (r,)."""

    size: np.ndarray
    place: np.ndarray
    rest: np.ndarray
    family: np.ndarray


class Rows(NamedTuple):
    """Changes of m metrics and r runs in units of each metric, and what goes with them; each (m, r).

    ``stderr`` and ``scatter`` are variances. Where ``known`` is false the change is not used.
    """

    change: np.ndarray
    level: np.ndarray
    slope: np.ndarray
    stderr: np.ndarray
    scatter: np.ndarray
    known: np.ndarray


def matern(apart: np.ndarray) -> np.ndarray:
    """The Matern 5/2 correlation of a distance in lengths, any shape.

    >>> matern(np.array([0.0, 1.0])).round(3).tolist()
    [1.0, 0.524]
    """
    d = np.sqrt(5.0) * np.abs(apart)
    return (1 + d + d**2 / 3) * np.exp(-d)


def kernels(runs: Runs) -> dict[str, np.ndarray]:
    """Correlations (r, r) between runs by what is planned of them."""
    r = len(runs.size)
    return {
        "constant": np.ones((r, r)),
        "size": np.outer(runs.size, runs.size),
        "distance": matern((runs.place[:, None] - runs.place) / REACH),
        "rest": runs.rest @ runs.rest.T,
        "family": (runs.family[:, None] == runs.family).astype(float),
        "run": np.eye(r),
    }


def prior_means(*, smooth: bool) -> np.ndarray:
    """Means (19,) of the priors of the log sds; the slope at the cutoff counts where curves are ``smooth``."""
    means = [m if smooth or name != "slope" else (-3.5, -3.5) for name, m in PRIOR.items()]
    return np.array([*(m[0] for m in means), *(m[1] for m in means), *NOISE_PRIOR])


class Built(NamedTuple):
    """The parts of the covariance: own (m, r, r), noise (m, r), loading (m, r, h), prior (h, h)."""

    own: np.ndarray
    noise: np.ndarray
    loading: np.ndarray
    prior: np.ndarray


def _own_kernels(rows: Rows, of_runs: dict[str, np.ndarray]) -> list[np.ndarray]:
    features = {"level": rows.level, "slope": rows.slope}
    return [
        features[name][:, :, None] * features[name][:, None] if name in features else of_runs[name] for name in EFFECTS
    ]


def built(theta: np.ndarray, rows: Rows, runs: Runs) -> Built:
    """The covariance of rows under log sds theta (19,)."""
    of_runs, k = kernels(runs), len(EFFECTS)
    square = np.exp(2 * theta)
    m, r = rows.change.shape
    own = np.zeros((m, r, r))
    for s, kernel in zip(square[k : 2 * k], _own_kernels(rows, of_runs), strict=True):
        own += s * kernel
    loading = np.zeros((m, r, len(SHARED) + r))
    loading[:, :, 0] = 1.0
    loading[:, :, 1] = runs.size
    loading[:, :, 2], loading[:, :, 3] = rows.level, rows.slope
    loading[:, :, len(SHARED) :] = np.eye(r)
    prior = np.zeros((len(SHARED) + r,) * 2)
    prior[range(len(SHARED)), range(len(SHARED))] = square[: len(SHARED)]
    for s, name in zip(square[len(SHARED) : k], EFFECTS[len(SHARED) :], strict=True):
        prior[len(SHARED) :, len(SHARED) :] += s * of_runs[name]
    noise = square[-3] + square[-2] * rows.stderr + square[-1] * rows.scatter
    return Built(own, noise, loading, prior)


def conditioned(theta: np.ndarray, rows: Rows, runs: Runs) -> tuple[Built, Solved]:
    """The covariance, and all that follows from the changes that are known."""
    parts = built(theta, rows, runs)
    pair = rows.known[:, :, None] & rows.known[:, None]
    own = np.where(pair, parts.own, 0.0)
    diagonal = np.arange(own.shape[1])
    own[:, diagonal, diagonal] += np.where(rows.known, parts.noise, 1.0)
    loading = np.where(rows.known[:, :, None], parts.loading, 0.0)
    return parts, solved(np.where(rows.known, rows.change, 0.0), own, loading, parts.prior)


def nll(theta: np.ndarray, rows: Rows, runs: Runs) -> tuple[float, np.ndarray]:
    """Negative log density of the known changes, and its gradient (19,) by the log sds."""
    _, found = conditioned(theta, rows, runs)
    of_runs, square, k = kernels(runs), np.exp(2 * theta), len(EFFECTS)
    inside = found.precision - found.alpha[:, :, None] * found.alpha[:, None]
    inside = np.where(rows.known[:, :, None] & rows.known[:, None], inside, 0.0)
    total = inside.sum(axis=0)
    slope = np.zeros(len(theta))
    for i, kernel in enumerate(_own_kernels(rows, of_runs)):
        slope[k + i] = (inside * kernel).sum() if kernel.ndim == 3 else (total * kernel).sum()
    outside = found.information - np.outer(found.towards, found.towards)
    slope[: len(SHARED)] = np.diagonal(outside)[: len(SHARED)]
    for i, name in enumerate(EFFECTS[len(SHARED) :], len(SHARED)):
        slope[i] = (outside[len(SHARED) :, len(SHARED) :] * of_runs[name]).sum()
    diagonal = np.diagonal(inside, axis1=1, axis2=2)
    slope[-3:] = diagonal.sum(), (diagonal * rows.stderr).sum(), (diagonal * rows.scatter).sum()
    return found.nll, slope * square


def fitted(rows: Rows, runs: Runs, *, smooth: bool) -> np.ndarray:
    """The most probable log sds (19,); the priors of the noise have sd one."""
    spread = np.r_[np.full(2 * len(EFFECTS), SPREAD), np.ones(len(NOISE_PRIOR))]
    return mode(lambda theta: nll(theta, rows, runs), prior_means(smooth=smooth), spread, STEPS)


def forecast(theta: np.ndarray, rows: Rows, runs: Runs) -> tuple[Given, Solved]:
    """The change of the last run, which is not known, in every metric; noise of the next measurement included."""
    parts, found = conditioned(theta, rows, runs)
    across = np.where(rows.known, parts.own[:, -1], 0.0)[:, None]
    own = parts.own[:, -1:, -1:] + parts.noise[:, -1:, None]
    y = np.where(rows.known, rows.change, 0.0)
    return given(found, y, Ahead(across, own, parts.loading[:, -1:])), found
