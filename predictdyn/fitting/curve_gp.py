r"""Whole curves of all runs and metrics as one Gaussian process, whatever the number of checkpoints.

A curve is its values at q places in ln share, kriged between; its checkpoints enter only by q numbers. For run r and
metric j, with size x, other settings z and families f,

.. math:: \mathrm{cov} = \sum_{e} \sum_k (w_{0ek}^2 + w_{1ek}^2 \delta_{jj'})\, E_e(r, r')\, T_k(t, t'),

with effects :math:`E = 1,\; xx',\; M(|s - s'|),\; zz',\; \delta_{ff'},\; \delta_{rr'}` and kernels of time T: constant,
linear, and Matern 5/2, in t = ln share.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from predictdyn.fitting.change_gp import Runs, kernels, matern
from predictdyn.fitting.multitask_gp import Ahead, Given, Solved, given, mode, solved

EFFECTS = ("constant", "size", "distance", "rest", "family", "run")
TIMES = ("constant", "linear", "bent")
LENGTH = 2.0  # of the Matern kernel of time, in ln share
SLOPE = 2.0  # ln shares in which the linear kernel grows by one unit
# Means of the normal priors of the log sds, for each kernel of time: shared by all metrics, and of a metric's own.
PRIOR = {
    "constant": (-1.0, -1.0), "size": (-1.0, -1.5), "distance": (-2.0, -1.5),
    "rest": (-2.5, -2.5), "family": (-2.5, -2.5), "run": (-2.5, -2.0),
}  # fmt: skip
LATER = (0.0, -0.5, -0.5)  # added to them for each kernel of time
NOISE_PRIOR = (-2.0, -0.5, -0.2)
STEPS = 30
N_SCALES = len(EFFECTS) * len(TIMES)


class Sketch(NamedTuple):
    """Curves of m metrics and r runs by their values at q places, standardised by metric.

    The k-th checkpoint is a sum over places; rotated, at most q combinations of them, ``seen`` (m, r, q), say all:
    ``seen`` = ``root`` (m, r, q, q) @ values + noise, where ``used`` (m, r, q). Of the other combinations there are
    ``spare`` (m, r), with the sum of squares ``off`` (m, r). ``stderr`` and ``scatter`` (m, r) are variances. What
    the curves between places do not follow, and logged errors, last: of ``dense`` (m, r) neighbouring checkpoints they
    leave no more than of one, while the scatter averages out.
    """

    root: np.ndarray
    seen: np.ndarray
    used: np.ndarray
    spare: np.ndarray
    off: np.ndarray
    stderr: np.ndarray
    scatter: np.ndarray
    dense: np.ndarray


def weights(when: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How values at places (q,) make those at times (t,): (t, q), exact for straight lines.

    >>> places = np.array([-4.0, -2.0, 0.0])
    >>> (weights(np.array([-3.0]), places) @ np.array([1.0, 3.0, 5.0])).round(2).tolist()
    [2.0]
    """

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        # Weights of a constant and a slope so large that kriging keeps them whole.
        return 1e4 * (1 + np.multiply.outer(a, b) / SLOPE**2) + matern((a[:, None] - b) / LENGTH)

    found: np.ndarray = np.linalg.solve(kernel(places, places), kernel(places, when)).T
    return found


def nothing(m: int, r: int, q: int) -> Sketch:
    """A sketch of m metrics and r runs of which nothing was seen, to be filled by `put`."""
    used = np.zeros((m, r, q), dtype=bool)
    spare, off, stderr, scatter = np.zeros((4, m, r))
    return Sketch(
        np.zeros((m, r, q, q)), np.zeros((m, r, q)), used, spare, off, stderr, scatter, np.ones((m, r))
    )  # fmt: skip


def put(sketch: Sketch, metric: int, run: int, weight: np.ndarray, value: np.ndarray) -> None:
    """Put a curve (t,) with the weights (t, q) of places in its row: its checkpoints, rotated to at most q numbers."""
    t, q = weight.shape
    k = min(t, q)
    rotation, root = np.linalg.qr(weight)
    turned = rotation.T @ value
    sketch.root[metric, run, :k], sketch.seen[metric, run, :k], sketch.used[metric, run, :k] = root, turned, True
    sketch.spare[metric, run] = t - k
    sketch.off[metric, run] = max(float(value @ value - turned @ turned), 0.0)


def times(places: np.ndarray) -> np.ndarray:
    """The kernels of time (3, q, q) at places (q,)."""
    return np.stack(
        [
            np.ones((len(places),) * 2),
            np.outer(places, places) / SLOPE**2,
            matern((places[:, None] - places) / LENGTH),
        ]
    )


def prior_means() -> np.ndarray:
    """Means (39,) of the priors of the log sds: shared, own, then the noise."""
    both = [[PRIOR[name][i] + later for name in EFFECTS for later in LATER] for i in (0, 1)]
    return np.array([*both[0], *both[1], *NOISE_PRIOR])


def _covariance(square: np.ndarray, effects: list[np.ndarray], of_time: np.ndarray) -> np.ndarray:
    """Of values at places, run by run (r q, r q), under variances (18,)."""
    of_runs = np.einsum("ek,ers->krs", square.reshape(len(EFFECTS), len(TIMES)), np.stack(effects))
    r, q = of_runs.shape[1], of_time.shape[1]
    return np.einsum("krs,kij->risj", of_runs, of_time).reshape(r * q, r * q)


class Built(NamedTuple):
    """Parts of the covariance: of a metric's own values and of the shared ones (r q, r q); noise (m, r)."""

    own: np.ndarray
    shared: np.ndarray
    noise: np.ndarray


def _built(theta: np.ndarray, sketch: Sketch, runs: Runs, places: np.ndarray) -> Built:
    of_runs, of_time, square = kernels(runs), times(places), np.exp(2 * theta)
    effects = [of_runs[name] for name in EFFECTS]
    return Built(
        _covariance(square[N_SCALES : 2 * N_SCALES], effects, of_time),
        _covariance(square[:N_SCALES], effects, of_time),
        sketch.dense * (square[-3] + square[-2] * sketch.stderr) + square[-1] * sketch.scatter,
    )


def _loading(sketch: Sketch) -> np.ndarray:
    """From values at places to what was seen, (m, r q, r q): one block for each run."""
    m, r, q = sketch.seen.shape
    loading = np.zeros((m, r, q, r, q))
    each = np.arange(r)
    loading[:, each, :, each, :] = sketch.root.transpose(1, 0, 2, 3)
    return loading.reshape(m, r * q, r * q)


class Conditioned(NamedTuple):
    """All that follows from what was seen; loading (m, r q, r q), what it makes of own values (m, r q, r q)."""

    parts: Built
    found: Solved
    loading: np.ndarray
    across: np.ndarray


def conditioned(theta: np.ndarray, sketch: Sketch, runs: Runs, places: np.ndarray) -> Conditioned:
    """Condition on all curves under log sds theta (39,)."""
    parts, loading = _built(theta, sketch, runs, places), _loading(sketch)
    m, r, q = sketch.seen.shape
    across = loading @ parts.own
    own = across @ loading.transpose(0, 2, 1)
    diagonal = np.arange(r * q)
    own[:, diagonal, diagonal] += np.where(sketch.used, parts.noise[:, :, None], 1.0).reshape(m, r * q)
    found = solved(sketch.seen.reshape(m, r * q), own, loading, parts.shared)
    return Conditioned(parts, found, loading, across)


def nll(theta: np.ndarray, sketch: Sketch, runs: Runs, places: np.ndarray) -> tuple[float, np.ndarray]:
    """Negative log density of all checkpoints, and its gradient (39,) by the log sds."""
    parts, found, loading, _ = conditioned(theta, sketch, runs, places)
    m, r, q = sketch.seen.shape
    value = found.nll + 0.5 * float((sketch.spare * np.log(parts.noise) + sketch.off / parts.noise).sum())
    inside = found.precision - found.alpha[:, :, None] * found.alpha[:, None]
    own = (loading.transpose(0, 2, 1) @ inside @ loading).sum(axis=0)
    shared = found.information - np.outer(found.towards, found.towards)
    of_runs, of_time = kernels(runs), times(places)
    effects = np.stack([of_runs[name] for name in EFFECTS])
    slope = np.empty(len(theta))
    for first, part in ((0, shared), (N_SCALES, own)):
        by_time = np.einsum("risj,kij->krs", part.reshape(r, q, r, q), of_time)
        slope[first : first + N_SCALES] = np.einsum("ers,krs->ek", effects, by_time).ravel()
    diagonal = np.where(sketch.used, np.diagonal(inside, axis1=1, axis2=2).reshape(m, r, q), 0.0).sum(axis=2)
    diagonal = diagonal + sketch.spare / parts.noise - sketch.off / parts.noise**2
    lasting = diagonal * sketch.dense
    slope[-3:] = lasting.sum(), (lasting * sketch.stderr).sum(), (diagonal * sketch.scatter).sum()
    return value, slope * np.exp(2 * theta)


def fitted(sketch: Sketch, runs: Runs, places: np.ndarray) -> np.ndarray:
    """The most probable log sds (39,); priors are normal with sd one."""
    centre = prior_means()
    return mode(lambda theta: nll(theta, sketch, runs, places), centre, np.ones(len(centre)), STEPS)


def forecast(theta: np.ndarray, sketch: Sketch, runs: Runs, places: np.ndarray) -> tuple[Given, Solved, np.ndarray]:
    """Values at all places of the last run in every metric, and the variance of the noise there (m,)."""
    parts, found, _, across = conditioned(theta, sketch, runs, places)
    m, r, q = sketch.seen.shape
    last = slice((r - 1) * q, r * q)
    loading = np.zeros((m, q, r * q))
    loading[:, :, last] = np.eye(q)
    ahead = Ahead(across[:, :, last].transpose(0, 2, 1), np.tile(parts.own[last, last], (m, 1, 1)), loading)
    square = np.exp(2 * theta[-3:])
    noise = square[0] + square[1] * sketch.stderr[:, -1] + square[2] * sketch.scatter[:, -1]
    return given(found, sketch.seen.reshape(m, r * q), ahead), found, noise
