"""Stop rules: which of several runs to stop now, since they will neither reach a target nor be among the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np


class PoolMoment(NamedTuple):
    """A pool of n runs at one progress, seen so that larger values are better.

    ``values`` (n, r): the last value at each of the r rungs so far, NaN after a run was stopped. ``draws`` (n, s): how
    each run would end, of a stopped one as it was forecast last. ``running`` (n,) and ``progress`` of the latest rung.
    """

    values: np.ndarray
    draws: np.ndarray
    running: np.ndarray
    progress: float


class StopRule(Protocol):
    """Says which runs to stop at a moment, (n,); runs that do not run already are ignored."""

    def stops(self, moment: PoolMoment) -> np.ndarray:
        """Truth values (n,)."""
        ...


class Verdict(NamedTuple):
    """What the forecast rule thinks of each run (n,).

    ``p_best`` is the probability to be among the best k of all; ``regret`` the expected loss if this run, and all that
    are less likely than it to be among the best, are stopped; ``stop`` what to do.
    """

    p_best: np.ndarray
    regret: np.ndarray
    stop: np.ndarray


@dataclass(frozen=True)
class ForecastRule:
    """Stop the runs that are least likely to be among the best ``k``, as long as that is expected to cost little.

    .. math:: E[m_k(\\text{all runs}) - m_k(\\text{kept runs})] \\le \\text{regret}

    m_k is the mean of the k best ends in a draw, in the metric's units. Runs that were stopped before count among all,
    with the forecast that they had, so the cost of all stops together stays below ``regret``. At least k runs go on.
    """

    regret: float
    k: int = 1

    def stops(self, moment: PoolMoment) -> np.ndarray:
        """As `StopRule.stops`."""
        return self.verdict(moment.draws, moment.running).stop

    def verdict(self, draws: np.ndarray, running: np.ndarray, finished: np.ndarray | None = None) -> Verdict:
        """What to do, from draws (n, s) of the ends, larger better, and which runs still run (n,).

        ``finished`` (m,) are ends that are known and stay: they compete, and are kept whatever is stopped.
        """
        done = np.repeat(np.reshape([] if finished is None else finished, (-1, 1)), draws.shape[1], axis=1)
        every = np.concatenate([draws, done])
        p_best = among_best(every, self.k)[: len(draws)]
        order = np.flatnonzero(running)[np.argsort(p_best[running], kind="stable")]
        regret = np.full(len(draws), np.nan)
        stop = np.zeros(len(draws), dtype=bool)
        best = np.sort(np.concatenate([np.full((self.k, draws.shape[1]), -np.inf), done]), axis=0)[-self.k :]
        # From the most likely run down: what is kept if all that are less likely are stopped.
        for run in order[::-1]:
            if np.isfinite(best).all():
                regret[run] = float(np.mean(_mean_best(every, self.k) - best.mean(axis=0)))
                stop[run] = regret[run] <= self.regret
            best = np.sort(np.concatenate([best, draws[run][None]]), axis=0)[-self.k :]
        return Verdict(p_best, regret, stop)


@dataclass(frozen=True)
class SuccessiveHalving:
    """ASHA, all runs in step: at ``first`` * eta^j of the run the best 1/eta go on.

    Li et al. 2020, arXiv:1810.05934.
    """

    eta: float = 3.0
    first: float = 0.1

    def stops(self, moment: PoolMoment) -> np.ndarray:
        """As `StopRule.stops`."""
        rungs = self.first * self.eta ** np.arange(20)
        due = rungs[(rungs <= moment.progress * (1 + 1e-9)) & (rungs < 1)]
        before = moment.values.shape[1]
        n = len(moment.values)
        keep = max(int(np.ceil(n / self.eta ** len(due) - 1e-9)), 1) if len(due) else n
        if not before or moment.running.sum() <= keep:
            return np.zeros(n, dtype=bool)
        return np.asarray(~_best(moment.values[:, -1], moment.running, keep))


@dataclass(frozen=True)
class MedianRule:
    """Stop a run whose best value so far is below a quantile of what all runs had at this progress (Golovin 2017)."""

    level: float = 0.5
    warmup: float = 0.1

    def stops(self, moment: PoolMoment) -> np.ndarray:
        """As `StopRule.stops`. Values of runs that were stopped before are not known here, so they do not count."""
        if moment.progress < self.warmup * (1 - 1e-9) or moment.running.sum() <= 1:
            return np.zeros(len(moment.values), dtype=bool)
        now = moment.values[moment.running, -1]
        return np.asarray(moment.running & (np.nanmax(moment.values, axis=1) < np.quantile(now, self.level)))


@dataclass(frozen=True)
class Patience:
    """Stop a run that has not become better by ``gain`` for ``rungs`` rungs; the best run always goes on."""

    rungs: int = 3
    gain: float = 0.0

    def stops(self, moment: PoolMoment) -> np.ndarray:
        """As `StopRule.stops`."""
        if moment.values.shape[1] <= self.rungs:
            return np.zeros(len(moment.values), dtype=bool)
        before, late = moment.values[:, : -self.rungs], moment.values[:, -self.rungs :]
        idle = moment.running & (_largest(late) <= _largest(before) + self.gain)
        return np.asarray(idle & ~_best(moment.values[:, -1], moment.running, 1))


@dataclass(frozen=True)
class LastValue:
    """Stop a run whose last value is more than ``margin`` below the best one, from ``warmup`` on."""

    margin: float
    warmup: float = 0.1

    def stops(self, moment: PoolMoment) -> np.ndarray:
        """As `StopRule.stops`."""
        now = np.where(moment.running, moment.values[:, -1], -np.inf)
        if moment.progress < self.warmup * (1 - 1e-9):
            return np.zeros(len(now), dtype=bool)
        return np.asarray(moment.running & (now < now.max() - self.margin))


class StopOutcome(NamedTuple):
    """A replay: the share of the pool's compute that was ``saved``, the ``regret`` and when each run stopped (n,)."""

    saved: float
    regret: float
    stopped: np.ndarray


def replay(rule: StopRule, progress: np.ndarray, values: np.ndarray, draws: np.ndarray, end: np.ndarray) -> StopOutcome:
    """What a rule would have done with a pool that has ended: larger values are better.

    progress (r,) of the rungs, values (n, r), draws (n, r, s) as forecast at each rung, end (n,) -> regret in the
    metric's units: the best end of all runs less the best end of those that went on. A run that is stopped at a rung
    has cost its progress. Where all were stopped, the best value at a stop counts.

    >>> values = np.array([[0.2, 0.4], [0.1, 0.1]])
    >>> draws = np.repeat(np.array([[[0.9], [0.9]], [[0.3], [0.3]]]), 4, axis=2)
    >>> replay(ForecastRule(0.01), np.array([0.25, 0.5]), values, draws, np.array([0.9, 0.3]))[:2]
    (0.375, 0.0)
    """
    n = len(end)
    stopped = np.ones(n)
    running = np.ones(n, dtype=bool)
    seen = np.full(values.shape, np.nan)
    last = draws[:, 0].copy()
    for rung, share in enumerate(progress):
        seen[running, rung] = values[running, rung]
        last[running] = draws[running, rung]
        now = rule.stops(PoolMoment(seen[:, : rung + 1], last, running, float(share))) & running
        stopped[now] = share
        running &= ~now
    kept = end[running].max() if running.any() else np.nanmax(seen)
    return StopOutcome(float(1 - stopped.mean()), float(max(end.max() - kept, 0.0)), stopped)


def among_best(draws: np.ndarray, k: int) -> np.ndarray:
    """The probability of each run to be among the best k: draws (n, s), larger better -> (n,). Ties share.

    >>> among_best(np.array([[1.0, 3.0], [2.0, 2.0]]), 1).tolist()
    [0.5, 0.5]
    """
    if k >= len(draws):
        return np.ones(len(draws))
    edge = np.sort(draws, axis=0)[-k]
    above, level = draws > edge, draws == edge
    room = k - above.sum(axis=0)
    return np.asarray((above + level * (room / level.sum(axis=0))).mean(axis=1))


def _mean_best(draws: np.ndarray, k: int) -> np.ndarray:
    """The mean of the k best of each draw, (s,)."""
    return np.asarray(np.sort(draws, axis=0)[-k:].mean(axis=0))


def _best(value: np.ndarray, running: np.ndarray, keep: int) -> np.ndarray:
    """The best few runs that run (n,)."""
    order = np.argsort(np.where(running, value, -np.inf), kind="stable")[::-1][:keep]
    found = np.zeros(len(value), dtype=bool)
    found[order] = True
    return np.asarray(found & running)


def _largest(values: np.ndarray) -> np.ndarray:
    """The largest value of each row that is not NaN; -inf where there is none."""
    return np.asarray(np.max(np.where(np.isnan(values), -np.inf, values), axis=1))
