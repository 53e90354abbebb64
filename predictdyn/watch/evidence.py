r"""Evidence that a run has left its path: bets on how far all of its new values together lie from what was announced.

At a checkpoint with normal scores :math:`g \in R^k` (`watch.innovations`) the surprise is :math:`\ln(g' C^{-1} g / k)`
with the correlation C of healthy runs, less what this run's surprises have been so far; F, its distribution on healthy
runs, makes it a normal score q. A bet :math:`e = \tfrac13 \sum_\lambda \exp(\lambda q - \lambda^2 / 2)` has expectation
one (Shafer 2021, doi:10.1111/rssa.12647). The wealth

.. math:: E_t = \sum_s w_s \sum_L \tfrac12 \prod_{i=s}^{\min(t, s + L - 1)} e_i + 1 - \sum_{s \le t} w_s

begins at every checkpoint s with the stake :math:`w_s` (its share of the run), bets for L = 1 or 2 checkpoints and then
rests: a mixture of martingales, so its expectation is at most one whenever one looks (an e-detector: Shin, Ramdas
and Rinaldo 2024, doi:10.51387/23-NEJSDS51). That is so where q is as it is said to be; how far it is not, on families
that were never seen, is measured (`watch.threshold`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, ndtri

from predictdyn.fitting.family_weights import family_weights
from predictdyn.watch.innovations import MOST

BEGIN = 0.02  # progress before which nothing is judged: runs begin in very different ways
BETS = (1.0, 2.0, 3.0)
LENGTHS = (1, 2)  # checkpoints
SHRUNK = 0.15  # of the correlation towards none
OWN = 6.0  # checkpoints of a run that weigh as much as what is known of all runs
LEVELS = (np.arange(399) + 0.5) / 399


class Surprise(NamedTuple):
    """How surprises of healthy runs are distributed.

    ``correlation`` (k, k) of the streams; ``centre`` and ``quantiles`` (399,) of the surprise, for checkpoints at which
    at most half of the streams were logged (row 0), and others (row 1).
    """

    correlation: np.ndarray
    centre: np.ndarray  # (2,)
    quantiles: np.ndarray  # (2, 399)

    def scores(self, streams: np.ndarray) -> np.ndarray:
        """Normal scores q (t,) of the checkpoints of one run, from its streams (t, k); NaN is not logged."""
        raw, many = raw_surprise(streams, self.correlation)
        found = np.zeros(len(raw))
        own = _less_its_past(raw - self.centre[many])
        for group in (0, 1):
            mine = many == group
            found[mine] = _normal(own[mine], self.quantiles[group])
        return found


def raw_surprise(streams: np.ndarray, correlation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln(g' C^-1 g / k) of streams (t, k) at each checkpoint (t,), and whether more than half of them were logged."""
    logged = ~np.isnan(streams)
    found, many = np.zeros(len(streams)), (logged.mean(axis=1) > 0.5).astype(np.intp)
    patterns, code = np.unique(logged, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = np.flatnonzero(code.ravel() == number)
        if not pattern.any():
            continue
        part = streams[np.ix_(rows, pattern)]
        solved = np.linalg.solve(correlation[np.ix_(pattern, pattern)], part.T).T
        found[rows] = np.log((part * solved).sum(axis=1) / pattern.sum() + 1e-3)
    return found, many


def learnt(streams: list[np.ndarray], family: list[str]) -> Surprise:
    """Learn from the streams (t, k) of healthy runs, whose models have not seen these runs, and their families."""
    joined = np.concatenate(streams)
    filled = np.nan_to_num(np.clip(joined, -MOST, MOST))
    size = np.sqrt((filled**2).sum(axis=0))
    raw_correlation = (filled.T @ filled) / np.maximum(np.outer(size, size), 1e-12)
    # Few checkpoints say little of how many metrics move together.
    correlation = (1 - max(SHRUNK, len(size) / (len(size) + len(joined)))) * raw_correlation
    np.fill_diagonal(correlation, 1.0)
    pieces = [raw_surprise(part, correlation) for part in streams]
    rows = np.repeat(np.asarray(family, dtype=object), [len(part) for part in streams]).astype(str)
    raw, many = (np.concatenate(part) for part in zip(*pieces, strict=True))
    both = [raw[many == group] if (many == group).any() else raw for group in (0, 1)]
    centre = np.array([np.median(part) for part in both])
    own = np.concatenate([_less_its_past(one - centre[which]) for one, which in pieces])
    quantiles = []
    for group in (0, 1):
        mine = many == group if (many == group).any() else np.ones(len(many), dtype=bool)
        quantiles.append(_weighted(own[mine], family_weights(rows[mine])))
    return Surprise(correlation, centre, np.stack(quantiles))


def log_evidence(scores: np.ndarray, progress: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln E (t,) after each checkpoint, and at which checkpoint (t,) the part of it that won most began.

    >>> calm = np.zeros(20)
    >>> bool(log_evidence(calm, np.linspace(0.05, 1, 20))[0].max() < 0.1)
    True
    >>> shock = np.where(np.arange(20) == 12, 5.0, 0.0)
    >>> value, begin = log_evidence(shock, np.linspace(0.05, 1, 20))
    >>> bool(value[11] < 0.1 < 4 < value[12]), int(begin[12])
    (True, 12)
    """
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
