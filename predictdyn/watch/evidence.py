r"""Evidence that a run has left its path: bets on how far its new values lie from what was announced.

At a checkpoint with normal scores :math:`g \in R^k` (`watch.innovations`) there are two surprises. That of all metrics
together is

.. math:: \ln \frac2k \Big( \ln f(0) - \ln f(g) \Big)

where f is the density of healthy runs, a mixture of up to three normal distributions about zero, since they make large
steps in other directions than small ones. With one it is the Mahalanobis distance. The other surprise is
:math:`\ln \max_j g_j^2`, of the metric that went furthest. Both are taken less the mean of those of this run so far; F,
their distribution on healthy runs, makes each a normal score q. A bet

.. math:: e = \tfrac13 \sum_\lambda \exp(\lambda q - \lambda^2 / 2)

has expectation one (Shafer 2021, doi:10.1111/rssa.12647). The wealth

.. math:: E_t = \sum_s w_s \sum_L \tfrac12 \prod_{i=s}^{\min(t, s + L - 1)} e_i + 1 - \sum_{s \le t} w_s

begins at every checkpoint s with the stake :math:`w_s` (its share of the run), bets for L = 1 or 2 checkpoints and then
rests: a mixture of martingales, so its expectation is at most one whenever one looks (an e-detector: Shin, Ramdas
and Rinaldo 2024, doi:10.51387/23-NEJSDS51). So is the mean of the wealths of both surprises. That is so where q is as
it is said to be; how far it is not, on families that were never seen, is measured (`watch.threshold`).
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, ndtri

from predictdyn.fitting.family_weights import family_weights
from predictdyn.watch.innovations import MOST

BEGIN = 0.02  # progress before which nothing is judged: runs begin in very different ways
BETS = (1.0, 2.0, 3.0)
LENGTHS = (1, 2)  # checkpoints
PARTS, ROWS = 3, 20  # normal distributions of a mixture at most, and checkpoints a metric for each
SHRUNK = 0.05  # of the covariances towards none, at least
PLAIN = 0.1  # added to the variances, where a healthy score has one
LEAST = 1e-3
OWN = 6.0  # checkpoints of a run that weigh as much as what is known of all runs
LEVELS = (np.arange(399) + 0.5) / 399


class Density(NamedTuple):
    """Normal distributions about zero of healthy scores: log shares (c,), covariances (c, k, k)."""

    share: np.ndarray
    covariance: np.ndarray

    def surprise(self, streams: np.ndarray) -> np.ndarray:
        """How far (t,) streams (t, k), in which NaN is not logged, lie from the likeliest: 2 (ln f(0) - ln f) / k."""
        logged = ~np.isnan(streams)
        found = np.zeros(len(streams))
        patterns, code = np.unique(logged, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            rows = np.flatnonzero(code.ravel() == number)
            if pattern.any():
                part = np.clip(streams[np.ix_(rows, pattern)], -MOST, MOST)
                density = self._log_density(np.r_[np.zeros((1, part.shape[1])), part], pattern)
                found[rows] = np.maximum(2 * (density[0] - density[1:]) / pattern.sum(), 0.0)
        return found

    def _log_density(self, rows: np.ndarray, pattern: np.ndarray) -> np.ndarray:
        parts = []
        for share, covariance in zip(self.share, self.covariance, strict=True):
            root = np.linalg.cholesky(covariance[np.ix_(pattern, pattern)])
            far = np.linalg.solve(root, rows.T)
            parts.append(share - (far**2).sum(axis=0) / 2 - np.log(np.diag(root)).sum())
        return np.asarray(logsumexp(np.stack(parts), axis=0))


class Surprise(NamedTuple):
    """How surprises of healthy runs are distributed.

    ``share`` and ``covariance`` are a `Density`. ``centre`` and ``quantiles`` (399,) of the surprise of all
    metrics together, for checkpoints at which at most half of the streams were logged (row 0), and others (row 1), and
    of that of the metric that went furthest (row 2).
    """

    share: np.ndarray
    covariance: np.ndarray
    centre: np.ndarray  # (3,)
    quantiles: np.ndarray  # (3, 399)

    def scores(self, streams: np.ndarray) -> np.ndarray:
        """Normal scores q (2, t) of the checkpoints of one run, from its streams (t, k); NaN is not logged."""
        together, furthest, many = raw_surprises(streams, Density(self.share, self.covariance))
        own = _less_its_past(together - self.centre[many])
        found = np.zeros((2, len(own)))
        for group in (0, 1):
            mine = many == group
            found[0, mine] = _normal(own[mine], self.quantiles[group])
        found[1] = _normal(_less_its_past(furthest - self.centre[2]), self.quantiles[2])
        return found


def raw_surprises(streams: np.ndarray, density: Density) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms (t,) of both surprises at each checkpoint, and whether more than half of the streams were logged."""
    many = ((~np.isnan(streams)).mean(axis=1) > 0.5).astype(np.intp)
    largest = np.nan_to_num(np.clip(streams, -MOST, MOST) ** 2).max(axis=1)
    return np.log(density.surprise(streams) + LEAST), np.log(largest + LEAST), many


def learnt(streams: list[np.ndarray], family: list[str], *, seed: int = 0) -> Surprise:
    """Learn from the streams (t, k) of healthy runs, whose models have not seen these runs, and their families."""
    density = _density(np.concatenate(streams), seed)
    pieces = [raw_surprises(part, density) for part in streams]
    weight = family_weights(np.repeat(np.asarray(family, dtype=object), [len(part) for part in streams]).astype(str))
    raw, furthest, many = (np.concatenate(part) for part in zip(*pieces, strict=True))
    groups = [many == group if (many == group).any() else np.ones(len(many), dtype=bool) for group in (0, 1)]
    centre = np.array([*(np.median(raw[mine]) for mine in groups), np.median(furthest)])
    own = np.concatenate([_less_its_past(one - centre[which]) for one, _, which in pieces])
    far = np.concatenate([_less_its_past(one - centre[2]) for _, one, _ in pieces])
    quantiles = [*(_weighted(own[mine], weight[mine]) for mine in groups), _weighted(far, weight)]
    return Surprise(*density, centre, np.stack(quantiles))


def _density(rows: np.ndarray, seed: int) -> Density:
    """The density of rows (n, k) of scores; NaN is not logged."""
    from sklearn.mixture import GaussianMixture

    whole = ~np.isnan(rows).any(axis=1)
    rows = np.nan_to_num(np.clip(rows[whole] if whole.mean() > 0.5 else rows, -MOST, MOST))
    n, k = rows.shape
    parts = int(np.clip(n // (ROWS * k), 1, PARTS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not settled: any density will do, as surprises are ranked
        found = GaussianMixture(parts, reg_covar=PLAIN, random_state=seed).fit(rows)
    # Scores are about zero: what was announced is what is expected.
    covariance = found.covariances_ + found.means_[:, :, None] * found.means_[:, None, :]
    # Few checkpoints say little of how many metrics move together.
    kept = 1 - np.maximum(SHRUNK, k / (k + n * found.weights_))[:, None, None]
    shrunk = np.where(np.eye(k, dtype=bool), covariance, kept * covariance)
    return Density(np.log(found.weights_), shrunk)


def log_evidence(scores: np.ndarray, progress: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln E (t,) after each checkpoint, and at which checkpoint (t,) the part of it that won most began.

    ``scores`` (t,) of one surprise, or (c, t) of some, whose wealths are averaged.

    >>> calm = np.zeros(20)
    >>> bool(log_evidence(calm, np.linspace(0.05, 1, 20))[0].max() < 0.1)
    True
    >>> shock = np.where(np.arange(20) == 12, 5.0, 0.0)
    >>> value, begin = log_evidence(shock, np.linspace(0.05, 1, 20))
    >>> bool(value[11] < 0.1 < 4 < value[12]), int(begin[12])
    (True, 12)
    """
    if scores.ndim > 1:
        value, begin = zip(*(log_evidence(one, progress) for one in scores), strict=True)
        mean = logsumexp(np.stack(value), axis=0) - np.log(len(scores))
        most = np.stack(value).argmax(axis=0)
        return np.asarray(mean), np.stack(begin)[most, np.arange(len(most))]
    n = len(scores)
    if not n:
        return np.zeros(0), np.zeros(0, dtype=np.intp)
    rate = np.array(BETS)
    bet = logsumexp(rate * scores[:, None] - rate**2 / 2, axis=1) - np.log(len(BETS))
    stake = np.maximum(np.diff(np.r_[BEGIN, np.clip(progress, BEGIN, 1.0)]), 0.0)
    total = np.r_[0.0, np.cumsum(bet)]
    now = np.arange(1, n + 1)
    parts = []
    for length in LENGTHS:
        # wealth[s, t] of what began at s, after checkpoint t
        until = np.minimum(now[None], np.arange(n)[:, None] + length)
        wealth = total[until] - total[np.arange(n)][:, None]
        begun = now[None] > np.arange(n)[:, None]
        parts.append(np.where(begun, wealth + np.log(stake + 1e-300)[:, None] - np.log(len(LENGTHS)), -np.inf))
    joined = np.stack(parts)
    rest = np.log(np.maximum(1.0 - np.cumsum(stake), 1e-12))
    value = np.logaddexp(logsumexp(joined, axis=(0, 1)), rest)
    return value, joined.max(axis=0).argmax(axis=0)


def _less_its_past(raw: np.ndarray) -> np.ndarray:
    """Surprises (t,) less the mean of those before, drawn to zero."""
    count = np.arange(len(raw))
    return np.asarray(raw - np.r_[0.0, np.cumsum(raw)[:-1]] / (count + OWN))


def _weighted(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    order = np.argsort(values)
    level = np.cumsum(weight[order]) - weight[order] / 2
    return np.asarray(np.interp(LEVELS, level / weight.sum(), values[order]))


def _normal(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Normal scores (t,) by quantiles (399,); above the last on the line through the upper tenth of them."""
    knots = ndtri(LEVELS)
    slope = (knots[-1] - knots[-40]) / max(quantiles[-1] - quantiles[-40], 1e-6)
    over = values - quantiles[-1]
    inside = np.interp(values, quantiles, knots)
    return np.asarray(np.minimum(np.where(over > 0, knots[-1] + slope * over, inside), MOST))
