r"""The change from a level at the cutoff to the value at the end: one Gaussian process over all runs and metrics.

For run r and metric j, with size x, level u, slope g, other settings z and families f, all centred,

.. math:: \mathrm{cov} = \sum_{w} (w_0^2 + w_1^2 \delta_{jj'})\, k_w, \quad
   k = 1,\; xx',\; uu',\; gg',\; M(|s - s'|),\; zz' + M(|(z - z', (s - s') / 3)|),\; \delta_{ff'},\; \delta_{rr'},

M a Matern 5/2 kernel of the log sizes s, and of other settings at about the same size: what a setting does at one size
it need not do at another. The noise has three parts: one common, one from the logged standard error, one
from how far neighbouring checkpoints scatter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real

from predictdyn.fitting.multitask_gp import (
    DenseLoading,
    Factorization,
    extension,
    factorize,
    likelihood,
    mode,
    new_rows,
    root_of,
)

EFFECTS = ("constant", "size", "level", "slope", "distance", "rest", "family", "run")
SHARED = ("constant", "size", "level", "slope")  # these load on every row; the others on every run
OF_RUNS = EFFECTS[len(SHARED) :]
REACH = 1.5  # of the Matern kernel of sizes, in ln size
ALIKE = 3.0  # of that of settings, in ln size; chosen on tinylm and digits
# Means of the normal priors of the log sds: shared by all metrics, and of a metric's own.
PRIOR = {
    "constant": (-1.0, -1.0), "size": (-1.5, -2.0), "level": (-1.5, -2.0), "slope": (-1.5, -2.0),
    "distance": (-2.0, -1.5), "rest": (-2.0, -2.0), "family": (-2.5, -2.5), "run": (-2.0, -3.0),
}  # fmt: skip
NOISE_PRIOR = (-1.5, -0.5, -0.2)  # common, of the standard error, of the scatter
SPREAD = 0.6  # sd of the priors of effects; chosen on sizes held out of Gemstones
STEPS = 40


class PlannedRuns(NamedTuple):
    """What is planned of runs: size (r,), log size (r,), other settings (r, k), number of the family (r,)."""

    size: Float[np.ndarray, " r"]
    log_size: Float[np.ndarray, " r"]
    rest: Float[np.ndarray, "r k"]
    family: Real[np.ndarray, " r"]

    def rows(self, which: np.ndarray) -> PlannedRuns:
        """Some of the runs, by place."""
        return PlannedRuns(*(part[which] for part in self))


class Changes(NamedTuple):
    """Changes of m metrics and r runs in units of each metric, and what goes with them; each (m, r).

    ``stderr`` and ``scatter`` are variances. Where ``known`` is false the change is not used.
    """

    change: Float[np.ndarray, "m r"]
    level: Float[np.ndarray, "m r"]
    slope: Float[np.ndarray, "m r"]
    stderr: Float[np.ndarray, "m r"]
    scatter: Float[np.ndarray, "m r"]
    known: Bool[np.ndarray, "m r"]


def matern(apart: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """The Matern 5/2 correlation of a distance in lengths, any shape.

    >>> matern(np.array([0.0, 1.0])).round(3).tolist()
    [1.0, 0.524]
    """
    d = np.sqrt(5.0) * np.abs(apart)
    return (1 + d + d**2 / 3) * np.exp(-d)


def run_kernels(runs: PlannedRuns, others: PlannedRuns | None = None) -> dict[str, Float[np.ndarray, "r s"]]:
    """Correlations (r, s) between runs by what is planned of them, and ``others``, which are none of them."""
    to = runs if others is None else others
    r, s = len(runs.size), len(to.size)
    linear, off = runs.rest @ to.rest.T, runs.log_size[:, None] - to.log_size
    apart = (runs.rest**2).sum(axis=1)[:, None] + (to.rest**2).sum(axis=1) - 2 * linear
    return {
        "constant": np.ones((r, s)),
        "size": np.outer(runs.size, to.size),
        "distance": matern(off / REACH),
        "rest": linear + matern(np.sqrt(np.maximum(apart, 0.0) + (off / ALIKE) ** 2)),
        "family": (runs.family[:, None] == to.family).astype(float),
        "run": np.eye(r) if others is None else np.zeros((r, s)),
    }


def prior_means(*, smooth: bool) -> Float[np.ndarray, " 19"]:
    """Means (19,) of the priors of the log sds; the slope at the cutoff counts where curves are ``smooth``."""
    means = [m if smooth or name != "slope" else (-3.5, -3.5) for name, m in PRIOR.items()]
    return np.array([*(m[0] for m in means), *(m[1] for m in means), *NOISE_PRIOR])


class ChangeCovariance(NamedTuple):
    """The parts of the covariance: own (m, r, r), noise (m, r), loading (m, r, h), prior (h, h)."""

    own: Float[np.ndarray, "m r r"]
    noise: Float[np.ndarray, "m r"]
    loading: Float[np.ndarray, "m r h"]
    prior: Float[np.ndarray, "h h"]


def _own_kernels(of_runs: dict[str, np.ndarray], rows: Changes, others: Changes) -> dict[str, np.ndarray]:
    """A metric's own correlations by effect: (r, s), or (m, r, s) where they depend on what it showed."""
    features = {"level": (rows.level, others.level), "slope": (rows.slope, others.slope)}
    return {**of_runs, **{name: a[:, :, None] * b[:, None] for name, (a, b) in features.items()}}


def _own(square: np.ndarray, kernels: dict[str, np.ndarray], metrics: int) -> np.ndarray:
    """A metric's own covariance (m, r, s) under the variances (19,) of the effects."""
    own = np.zeros((metrics, *kernels["run"].shape))
    for part, name in zip(square[len(EFFECTS) : 2 * len(EFFECTS)], EFFECTS, strict=True):
        own += part * kernels[name]
    return own


def _run_effects(square: np.ndarray, of_runs: dict[str, np.ndarray]) -> np.ndarray:
    """The covariance (r, s) of what all metrics of a run share beside the linear effects."""
    parts = zip(square[len(SHARED) : len(EFFECTS)], OF_RUNS, strict=True)
    return np.asarray(sum(part * of_runs[name] for part, name in parts))


def _features(rows: Changes, runs: PlannedRuns) -> np.ndarray:
    """What the linear effects are multiplied by, (m, r, 4)."""
    size = np.broadcast_to(runs.size, rows.level.shape)
    return np.stack([np.ones(rows.level.shape), size, rows.level, rows.slope], axis=2)


def covariance(theta: Float[np.ndarray, " 19"], rows: Changes, runs: PlannedRuns) -> ChangeCovariance:
    """The covariance of rows under log sds theta (19,)."""
    of_runs = run_kernels(runs)
    return _covariance(theta, rows, _features(rows, runs), of_runs, _own_kernels(of_runs, rows, rows))


def _covariance(
    theta: np.ndarray, rows: Changes, features: np.ndarray, of_runs: dict[str, np.ndarray],
    kernels: dict[str, np.ndarray],
) -> ChangeCovariance:  # fmt: skip
    square = np.exp(2 * theta)
    m, r = rows.level.shape
    loading = np.concatenate([features, np.broadcast_to(np.eye(r), (m, r, r))], axis=2)
    k = len(SHARED)
    prior = np.zeros((k + r, k + r))
    prior[range(k), range(k)] = square[:k]
    prior[k:, k:] = _run_effects(square, of_runs)
    return ChangeCovariance(_own(square, kernels, m), _noise(square, rows), loading, prior)


def _noise(square: np.ndarray, rows: Changes) -> np.ndarray:
    return np.asarray(square[-3] + square[-2] * rows.stderr + square[-1] * rows.scatter)


def _known_only(parts: ChangeCovariance, rows: Changes) -> tuple[np.ndarray, np.ndarray, DenseLoading, np.ndarray]:
    """y, D, Phi and Lambda as `multitask_gp` takes them."""
    own = np.where(rows.known[:, :, None] & rows.known[:, None], parts.own, 0.0)
    diagonal = np.arange(own.shape[1])
    own[:, diagonal, diagonal] += np.where(rows.known, parts.noise, 1.0)
    loading = DenseLoading(np.where(rows.known[:, :, None], parts.loading, 0.0))
    return np.where(rows.known, rows.change, 0.0), own, loading, parts.prior


class Likely(NamedTuple):
    """All of the density of known changes that does not depend on the log sds."""

    rows: Changes
    features: Float[np.ndarray, "m r 4"]
    of_runs: dict[str, Float[np.ndarray, "r r"]]
    kernels: dict[str, Float[np.ndarray, "*m r r"]]

    def nll(self, theta: Float[np.ndarray, " 19"]) -> tuple[float, Float[np.ndarray, " 19"]]:
        """Negative log density of the known changes, and its gradient (19,) by the log sds."""
        parts = _covariance(theta, self.rows, self.features, self.of_runs, self.kernels)
        found = likelihood(*_known_only(parts, self.rows))
        inside = np.where(self.rows.known[:, :, None] & self.rows.known[:, None], found.inside, 0.0)
        total = inside.sum(axis=0)
        k, of_rows = len(SHARED), found.outside[len(SHARED) :, len(SHARED) :]
        own = [
            np.vdot(inside if self.kernels[name].ndim == 3 else total, self.kernels[name]) for name in EFFECTS
        ]  # fmt: skip
        shared = [*np.diagonal(found.outside)[:k], *(np.vdot(of_rows, self.of_runs[name]) for name in OF_RUNS)]
        diagonal = np.diagonal(inside, axis1=1, axis2=2)
        noise = diagonal.sum(), np.vdot(diagonal, self.rows.stderr), np.vdot(diagonal, self.rows.scatter)
        return found.nll, np.array([*shared, *own, *noise]) * np.exp(2 * theta)


def likely(rows: Changes, runs: PlannedRuns) -> Likely:
    """The density of changes of runs, to be asked at any log sds."""
    of_runs = run_kernels(runs)
    return Likely(rows, _features(rows, runs), of_runs, _own_kernels(of_runs, rows, rows))


def fitted(rows: Changes, runs: PlannedRuns, *, smooth: bool) -> Float[np.ndarray, " 19"]:
    """The most probable log sds (19,); the priors of the noise have sd one."""
    spread = np.r_[np.full(2 * len(EFFECTS), SPREAD), np.ones(len(NOISE_PRIOR))]
    return mode(likely(rows, runs).nll, prior_means(smooth=smooth), spread, STEPS)


class ChangePosterior(NamedTuple):
    """Finished runs, conditioned on once for any number of runs in question."""

    theta: Float[np.ndarray, " 19"]
    rows: Changes
    runs: PlannedRuns
    root: Float[np.ndarray, "r r"]  # of the prior of what all metrics of a run share
    data: Factorization

    def predict(self, rows: Changes, runs: PlannedRuns) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, "m n"]]:
        """Mean and variance (m, n) of the changes of n new runs, noise of the next measurement included.

        The covariance of new runs with each other is left out: each is answered as if it were the only one.
        """
        square = np.exp(2 * self.theta)
        m, n = rows.level.shape
        to_old = run_kernels(runs, self.runs)
        across = _own(square, _own_kernels(to_old, rows, self.rows), m)
        across = np.where(self.rows.known[:, None], across, 0.0)
        # What is planned of a run alone makes its effects out of those of finished runs, the same in all metrics.
        itself = run_kernels(runs)
        weight, left = extension(self.root, _run_effects(square, to_old), _run_effects(square, itself))
        loading = np.concatenate([_features(rows, runs), np.broadcast_to(weight, (m, n, len(self.runs.size)))], axis=2)
        ahead = new_rows(self.data, across, loading)
        own = _own(square, _own_kernels(itself, rows, rows), m) - ahead.explained
        shared = np.einsum("mnh,mnh->mn", ahead.leaning @ self.data.covariance, ahead.leaning) + np.diagonal(left)
        return ahead.mean, np.diagonal(own, axis1=1, axis2=2) + shared + _noise(square, rows)


def conditioned(theta: Float[np.ndarray, " 19"], rows: Changes, runs: PlannedRuns) -> ChangePosterior:
    """All that the known changes of finished runs say under log sds theta (19,)."""
    parts = covariance(theta, rows, runs)
    root = root_of(parts.prior[len(SHARED) :, len(SHARED) :])
    return ChangePosterior(theta, rows, runs, root, factorize(*_known_only(parts, rows)))
