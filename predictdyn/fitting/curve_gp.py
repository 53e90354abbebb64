r"""Whole curves of all runs and metrics as one Gaussian process, whatever the number of checkpoints.

A curve is its values at q knots in ln progress, kriged between; its checkpoints enter only by q numbers. For run r and
metric j, with size x, other settings z and families f,

.. math:: \mathrm{cov} = \sum_{e} \sum_k (w_{0ek}^2 + w_{1ek}^2 \delta_{jj'})\, E_e(r, r')\, T_k(t, t'),

with the effects E of `change_gp`, but for what depends on the end of what was seen,
:math:`1,\; xx',\; M(s),\; zz' + M(z, s),\; \delta_{ff'},\; \delta_{rr'}`, and kernels of time T: constant, linear, and
Matern 5/2, in t = ln progress.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import linalg

from predictdyn.fitting.change_gp import PlannedRuns, matern, run_kernels
from predictdyn.fitting.multitask_gp import (
    BlockLoading,
    Factorization,
    extension,
    factorize,
    likelihood,
    mode,
    new_rows,
    root_of,
)

EFFECTS = ("constant", "size", "distance", "rest", "family", "run")
TIMES = ("constant", "linear", "bent")
LENGTH = 2.0  # of the Matern kernel of time, in ln progress
SLOPE = 2.0  # ln progress in which the linear kernel grows by one unit
# Means of the normal priors of the log sds, for each kernel of time: shared by all metrics, and of a metric's own.
PRIOR = {
    "constant": (-1.0, -1.0), "size": (-1.0, -1.5), "distance": (-2.0, -1.5),
    "rest": (-2.0, -2.0), "family": (-2.5, -2.5), "run": (-2.5, -2.0),
}  # fmt: skip
LATER = (0.0, -0.5, -0.5)  # added to them for each kernel of time
NOISE_PRIOR = (-2.0, -0.5, -0.2)
STEPS = 30
N_SCALES = len(EFFECTS) * len(TIMES)


class ProjectedCurves(NamedTuple):
    """Curves of m metrics and r runs by their values at q knots, standardised by metric.

    The k-th checkpoint is a sum over knots; rotated, at most q combinations of them, ``seen`` (m, r, q), say all:
    ``seen`` = ``root`` (m, r, q, q) @ values + noise, where ``used`` (m, r, q). Of the other combinations there are
    ``spare`` (m, r), with the sum of squares ``off`` (m, r). ``stderr`` and ``scatter`` (m, r) are variances. What
    the curves between knots do not follow, and logged errors, last: of ``dense`` (m, r) neighbouring checkpoints they
    leave no more than of one, while the scatter averages out.
    """

    root: Float[np.ndarray, "m r q q"]
    seen: Float[np.ndarray, "m r q"]
    used: Bool[np.ndarray, "m r q"]
    spare: Float[np.ndarray, "m r"]
    off: Float[np.ndarray, "m r"]
    stderr: Float[np.ndarray, "m r"]
    scatter: Float[np.ndarray, "m r"]
    dense: Float[np.ndarray, "m r"]

    def noise(self, square: Float[np.ndarray, " 39"]) -> Float[np.ndarray, "m r"]:
        """The variance of the noise of each curve (m, r), under the variances (39,) of all effects."""
        return np.asarray(self.dense * (square[-3] + square[-2] * self.stderr) + square[-1] * self.scatter)


def weights(when: Float[np.ndarray, " t"], knots: Float[np.ndarray, " q"]) -> Float[np.ndarray, "t q"]:
    """How values at knots (q,) make those at times (t,): (t, q), exact for straight lines.

    >>> knots = np.array([-4.0, -2.0, 0.0])
    >>> (weights(np.array([-3.0]), knots) @ np.array([1.0, 3.0, 5.0])).round(2).tolist()
    [2.0]
    """

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        # Weights of a constant and a slope so large that kriging keeps them whole.
        return 1e4 * (1 + np.multiply.outer(a, b) / SLOPE**2) + matern((a[:, None] - b) / LENGTH)

    found: np.ndarray = np.linalg.solve(kernel(knots, knots), kernel(knots, when)).T
    return found


def no_curves(m: int, r: int, q: int) -> ProjectedCurves:
    """Curves of m metrics and r runs of which nothing was seen, to be filled by `add_curve`."""
    used = np.zeros((m, r, q), dtype=bool)
    spare, off, stderr, scatter = np.zeros((4, m, r))
    return ProjectedCurves(
        np.zeros((m, r, q, q)), np.zeros((m, r, q)), used, spare, off, stderr, scatter, np.ones((m, r))
    )  # fmt: skip


class Rotation(NamedTuple):
    """Of the checkpoints of a curve to at most q numbers, (t, k), and what these are of the values at knots, (k, q)."""

    turn: Float[np.ndarray, "t k"]
    root: Float[np.ndarray, "k q"]


def rotation(when: Float[np.ndarray, " t"], knots: Float[np.ndarray, " q"]) -> Rotation:
    """For checkpoints at times (t,); the same for all curves that have them."""
    return Rotation(*np.linalg.qr(weights(when, knots)))


def add_curve(curves: ProjectedCurves, metric: int, run: int, turned: Rotation, value: np.ndarray) -> None:
    """Put a curve (t,) in its row: its checkpoints, rotated to at most q numbers."""
    t, k = turned.turn.shape
    seen = value @ turned.turn
    curves.root[metric, run, :k], curves.seen[metric, run, :k], curves.used[metric, run, :k] = turned.root, seen, True
    curves.spare[metric, run] = t - k
    curves.off[metric, run] = max(float(value @ value - seen @ seen), 0.0)


def time_kernels(knots: np.ndarray) -> np.ndarray:
    """The kernels of time (3, q, q) at knots (q,)."""
    return np.stack(
        [
            np.ones((len(knots),) * 2),
            np.outer(knots, knots) / SLOPE**2,
            matern((knots[:, None] - knots) / LENGTH),
        ]
    )


def prior_means() -> np.ndarray:
    """Means (39,) of the priors of the log sds: shared, own, then the noise."""
    both = [[PRIOR[name][i] + later for name in EFFECTS for later in LATER] for i in (0, 1)]
    return np.array([*both[0], *both[1], *NOISE_PRIOR])


def _effects(runs: PlannedRuns, others: PlannedRuns | None = None) -> np.ndarray:
    """The kernels of runs (6, r, s) in order."""
    kernels = run_kernels(runs, others)
    return np.stack([kernels[name] for name in EFFECTS])


def _values(square: np.ndarray, effects: np.ndarray, of_time: np.ndarray) -> np.ndarray:
    """The covariance (r q, s q) of values at knots, run by run, under variances (18,)."""
    e, r, s = effects.shape
    k, q = of_time.shape[:2]
    of_runs = square.reshape(e, k).T @ effects.reshape(e, r * s)
    return (of_runs.T @ of_time.reshape(k, q * q)).reshape(r, s, q, q).transpose(0, 2, 1, 3).reshape(r * q, s * q)


def _both_sides(root: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """R S R' (m, r q, r q) with block diagonal R (m, r, q, q), and symmetric S (r q, r q) or (m, r q, r q)."""
    m, r, q, _ = root.shape
    left = (root @ inside.reshape(-1, r, q, r * q)).reshape(m, r * q, r * q)
    return (root @ left.transpose(0, 2, 1).reshape(m, r, q, r * q)).reshape(m, r * q, r * q)


class LikelyCurves(NamedTuple):
    """All of the density of curves that does not depend on the log sds."""

    curves: ProjectedCurves
    effects: Float[np.ndarray, "e r r"]
    of_time: Float[np.ndarray, "k q q"]

    def parts(
        self, square: Float[np.ndarray, " 39"]
    ) -> tuple[Float[np.ndarray, "m p"], Float[np.ndarray, "m p p"], BlockLoading, Float[np.ndarray, "p p"]]:
        """y, D, Phi and Lambda as `multitask_gp` takes them, under variances (39,)."""
        root, used = self.curves.root, self.curves.used
        m, r, q = used.shape
        values = _values(square[N_SCALES : 2 * N_SCALES], self.effects, self.of_time)
        own = _both_sides(root, values)
        diagonal = np.arange(r * q)
        own[:, diagonal, diagonal] += np.where(used, self.curves.noise(square)[:, :, None], 1.0).reshape(m, r * q)
        shared = _values(square[:N_SCALES], self.effects, self.of_time)
        return self.curves.seen.reshape(m, r * q), own, BlockLoading(root), shared

    def nll(self, theta: Float[np.ndarray, " 39"]) -> tuple[float, Float[np.ndarray, " 39"]]:
        """Negative log density of all checkpoints, and its gradient (39,) by the log sds."""
        curves, square = self.curves, np.exp(2 * theta)
        m, r, q = curves.seen.shape
        noise = curves.noise(square)
        found = likelihood(*self.parts(square))
        value = found.nll + 0.5 * float((curves.spare * np.log(noise) + curves.off / noise).sum())
        back = curves.root.transpose(0, 1, 3, 2)
        own = _both_sides(back, found.inside).sum(axis=0)
        slope = [np.zeros(0)]
        for part in (found.outside, own):
            by_pair = part.reshape(r, q, r, q).transpose(0, 2, 1, 3).reshape(r * r, q * q)
            by_time = by_pair @ self.of_time.reshape(len(TIMES), q * q).T
            slope.append((self.effects.reshape(len(EFFECTS), r * r) @ by_time).ravel())
        diagonal = np.diagonal(found.inside, axis1=1, axis2=2).reshape(m, r, q)
        diagonal = np.where(curves.used, diagonal, 0.0).sum(axis=2)
        diagonal = diagonal + curves.spare / noise - curves.off / noise**2
        lasting = diagonal * curves.dense
        slope.append(
            np.array([lasting.sum(), np.vdot(lasting, curves.stderr), np.vdot(diagonal, curves.scatter)])
        )  # fmt: skip
        return value, np.concatenate(slope) * square


def likely(curves: ProjectedCurves, runs: PlannedRuns, knots: Float[np.ndarray, " q"]) -> LikelyCurves:
    """The density of curves of runs, to be asked at any log sds."""
    return LikelyCurves(curves, _effects(runs), time_kernels(knots))


def fitted(curves: ProjectedCurves, runs: PlannedRuns, knots: Float[np.ndarray, " q"]) -> Float[np.ndarray, " 39"]:
    """The most probable log sds (39,); priors are normal with sd one."""
    centre = prior_means()
    return mode(likely(curves, runs, knots).nll, centre, np.ones(len(centre)), STEPS)


class CurvePosterior(NamedTuple):
    """Finished runs, conditioned on once for any number of runs in question."""

    theta: Float[np.ndarray, " 39"]
    curve_root: Float[np.ndarray, "m r q q"]  # of the finished curves
    runs: PlannedRuns
    of_time: Float[np.ndarray, "k q q"]
    root: Float[np.ndarray, "r*q r*q"]  # of the prior of what all metrics of a run share
    data: Factorization

    def predict(
        self, curves: ProjectedCurves, run: PlannedRuns
    ) -> tuple[Float[np.ndarray, "m q"], Float[np.ndarray, "m q q"], Float[np.ndarray, " m"]]:
        """Of a new run and what was seen of it (m, 1, q): the mean (m, q) and covariance (m, q, q) of its values at
        knots, and the variance (m,) of the noise of the next measurement.

        Finished runs give a normal prior over all its values, which its own checkpoints then sharpen.
        """
        square = np.exp(2 * self.theta)
        own, shared = square[N_SCALES : 2 * N_SCALES], square[:N_SCALES]
        m, r, q, _ = self.curve_root.shape
        to_old, itself = _effects(run, self.runs), _effects(run)
        between = _values(own, to_old, self.of_time).T.reshape(r, q, q)
        across = (self.curve_root @ between).reshape(m, r * q, q).transpose(0, 2, 1)
        weight, left = extension(
            self.root, _values(shared, to_old, self.of_time), _values(shared, itself, self.of_time)
        )  # fmt: skip
        ahead = new_rows(self.data, across, np.broadcast_to(weight, (m, q, r * q)))
        leaning = ahead.leaning.reshape(m * q, r * q)
        joint = (leaning @ self.data.covariance @ leaning.T).reshape(m, q, m, q) + left[:, None]
        each = np.arange(m)
        joint[each, :, each] += _values(own, itself, self.of_time) - ahead.explained
        mean, covariance = _observed(ahead.mean.ravel(), joint.reshape(m * q, m * q), curves, curves.noise(square))
        noise = square[-3] + square[-2] * curves.stderr[:, 0] + square[-1] * curves.scatter[:, 0]
        return mean.reshape(m, q), covariance.reshape(m, q, m, q)[each, :, each], noise


def _observed(
    mean: np.ndarray, covariance: np.ndarray, curves: ProjectedCurves, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (m q,) and covariance of the values of one run, given what was seen of it, with noise (m, 1)."""
    used = curves.used.ravel()
    if not used.any():
        return mean, covariance
    design = linalg.block_diag(*curves.root[:, 0])[used]
    across = design @ covariance
    inside = across @ design.T + np.diag(np.repeat(noise[:, 0], curves.used.shape[2])[used])
    gain = linalg.solve(inside, across, assume_a="pos").T
    return mean + gain @ (curves.seen.ravel()[used] - design @ mean), covariance - gain @ across


def conditioned(
    theta: Float[np.ndarray, " 39"], curves: ProjectedCurves, runs: PlannedRuns, knots: Float[np.ndarray, " q"]
) -> CurvePosterior:
    """All that finished curves say under log sds theta (39,)."""
    whole = likely(curves, runs, knots)
    y, own, loading, shared = whole.parts(np.exp(2 * theta))
    data = factorize(y, own, loading, shared)
    return CurvePosterior(theta, curves.root, runs, whole.of_time, root_of(shared), data)
