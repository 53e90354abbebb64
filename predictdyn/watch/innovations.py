r"""Innovations: how far each new value of a curve lies from what the curve itself had announced.

.. math:: z_{i+1} = z_i + x_i' b + \sigma_i \epsilon, \qquad \ln \sigma_i = r_i' c, \qquad g = \Phi^{-1}(F(\epsilon))

:math:`x_i` and :math:`r_i` are numbers of the curve up to its checkpoint i (slopes, how far it stands from its recent
means, its recent roughness), the time to the next one and the planned learning rate. :math:`b` and :math:`c` are
learnt from healthy runs by weighted ridge regression, every family counting alike; F is the distribution of the errors
on families left out. So g is about standard normal while a run goes as healthy ones do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtri

from predictdyn.fitting.family_weights import family_weights
from predictdyn.problem import log_progress
from predictdyn.watch.checkpoints import Track, rate_at

FIRST = 3  # checkpoints of a curve before the first that is judged
MOST = 8.0  # of a normal score: a larger surprise is no more telling
TAIL = 3.0  # degrees of freedom beyond the largest error
SMALL = 1e-6
PULL = 1e-3  # of the ridge, per unit of weight
KNOTS = ndtri((np.arange(199) + 1) / 200)  # normal scores at which the distribution of errors is kept


class Rows(NamedTuple):
    """What a curve announces: ``x`` (t, p) for the change ``y`` (t,), ``r`` (t, q) for its size.

    Row i is of checkpoint i + FIRST, at ``step`` (t,) and ``progress`` (t,).
    """

    x: np.ndarray
    r: np.ndarray
    y: np.ndarray
    step: np.ndarray
    progress: np.ndarray


class Announced(NamedTuple):
    """What was learnt of one metric: slopes (p,) of the mean, of the log size (q,), and quantiles of the errors."""

    mean: np.ndarray
    size: np.ndarray
    quantiles: np.ndarray  # (199,) of the errors over their size
    still: np.ndarray  # () the least size

    def scores(self, rows: Rows) -> np.ndarray:
        """Normal scores (t,) of what then happened."""
        if not len(rows.y):
            return np.zeros(0)
        return self.normal((rows.y - rows.x @ self.mean) / sizes(rows.r, self.size, self.still))

    def normal(self, error: np.ndarray) -> np.ndarray:
        """The normal scores (t,) of errors over their size."""
        score = np.interp(error, self.quantiles, KNOTS)
        # Beyond the last quantile the tail is that of a power law, as long as the innermost half of the errors wide.
        wide = max(float(self.quantiles[149] - self.quantiles[49]), SMALL)
        low, high = self.quantiles[0], self.quantiles[-1]
        over = np.maximum(np.maximum(error - high, low - error), 0.0) / wide
        far = np.sqrt(KNOTS[-1] ** 2 + 2 * TAIL * np.log1p(over))
        return np.asarray(np.clip(np.where(over > 0, np.sign(error - (low + high) / 2) * far, score), -MOST, MOST))


def smoothed(values: np.ndarray, share: float) -> np.ndarray:
    """Exponentially weighted means (t,) of values (t,), each of what came until then."""
    if not len(values):
        return values
    return np.asarray(lfilter([share], [1.0, share - 1.0], values, zi=[(1 - share) * values[0]])[0])


def rows_of(track: Track, still: float, rate: tuple[np.ndarray, np.ndarray] | None, twin: Track | None = None) -> Rows:
    """The rows of a curve, whose changes below ``still`` are none.

    ``rate`` is its planned learning rate, ``twin`` the mean curve of its family at the same checkpoints, if known.
    """
    z, n = track.latent, len(track.latent)
    if n <= FIRST:
        wide = 14 if twin is not None else 11
        return Rows(np.zeros((0, wide)), np.zeros((0, 8)), np.zeros(0), np.zeros(0), np.zeros(0))
    w = log_progress(track.progress)
    dw = np.maximum(np.diff(w), 1e-6)
    dz = np.diff(z)
    slope = dz / dw
    slow, fast = smoothed(slope, 0.2), smoothed(slope, 0.5)
    off_fast, off_slow = z - smoothed(z, 0.5), z - smoothed(z, 0.15)
    bent = np.r_[np.abs(dz[0]), np.abs(dz[1:] - fast[:-1] * dw[1:])]  # errors of going straight on
    rough = np.exp(smoothed(np.log(bent + still), 0.2))  # a geometric mean, which one shock hardly moves
    now = np.arange(FIRST - 1, n - 1)  # what is known
    ahead = dw[now]
    lograte = rate_at(rate, track.progress)
    level = z[now]
    x = np.stack(
        [
            ahead, ahead * track.progress[now], slow[now - 1] * ahead, fast[now - 1] * ahead, slope[now - 1] * ahead,
            off_fast[now], off_slow[now], ahead * level, ahead * lograte[now],
            lograte[now + 1] - lograte[now], np.clip(dz[now - 1], -1, 1),
        ],
        axis=1,
    )  # fmt: skip
    r = np.stack(
        [
            np.ones(len(now)), np.log(rough[now - 1]), np.log(bent[now - 1] + still),
            np.log(np.abs(slow[now - 1]) * ahead + still), np.log(ahead), np.log(track.progress[now] + 1e-3),
            level, lograte[now + 1],
        ],
        axis=1,
    )  # fmt: skip
    if twin is not None:
        gap = twin.latent - z
        more = [twin.latent[now + 1] - twin.latent[now], gap[now], smoothed(gap, 0.2)[now]]
        x = np.concatenate([x, np.stack(more, axis=1)], axis=1)
    return Rows(x, r, z[now + 1] - z[now], track.step[now + 1], track.progress[now + 1])


def sizes(r: np.ndarray, slopes: np.ndarray, still: np.ndarray | float) -> np.ndarray:
    """How large errors (t,) are, by numbers (t, q) and slopes (q,) of their logarithm."""
    return np.asarray(np.exp(np.clip(r @ slopes, -30, 30)) + still)


def learnt(rows: Sequence[Rows], family: Sequence[str], still: float) -> Announced:
    """Learn from the rows of healthy curves and their families; errors are at least ``still`` in size."""
    count = [len(one.y) for one in rows]
    names = np.repeat(np.asarray(family, dtype=object), count).astype(str)
    x, r, y = (np.concatenate([getattr(one, part) for one in rows]) for part in ("x", "r", "y"))
    weight = family_weights(names) * len(names)
    size = np.full(len(y), max(float(np.median(np.abs(y))), still))
    slopes = np.zeros(r.shape[1])
    mean = np.zeros(x.shape[1])
    for _ in range(4):
        error = (y - x @ mean) / size
        calm = weight / size**2 / np.maximum(1.0, np.abs(error) / 2.0)  # large errors count as if they were smaller
        mean = _ridge(x, y, calm)
        error = np.abs(y - x @ mean)
        slopes = _ridge(r, np.log(error + 0.1 * size), weight)
        size = sizes(r, slopes, still)
    return Announced(mean, slopes, _quantiles((y - x @ mean) / size, weight), np.array(still))


def _ridge(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted ridge regression; each column is drawn to 0 in its own unit."""
    root = np.sqrt(weight / weight.sum())[:, None]
    design = x * root
    unit = np.sqrt((design**2).sum(axis=0)) + 1e-30
    design = design / unit
    gram = design.T @ design + PULL * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(gram, design.T @ (y * root[:, 0])) / unit)


def _quantiles(error: np.ndarray, weight: np.ndarray) -> np.ndarray:
    order = np.argsort(error)
    level = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    return np.asarray(np.interp((np.arange(199) + 1) / 200, level, error[order]))
