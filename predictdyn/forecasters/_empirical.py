"""Point rules with the spread of their own past errors at the same horizon: what every simple baseline is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters._spread import (
    FEWEST_ERRORS,
    FEWEST_SEEN,
    Moments,
    moments_of,
    smallest_spread,
    unknown_spread,
)
from predictdyn.problem import LatentCurve, Panel, Problem, Query, log_progress, progress_at

GRID = progress_at(np.linspace(0, 1, 33))
MOST_ERRORS = 40  # two beyond a 5 % quantile; keeps the cost of a backtest linear in the number of runs
FINENESS = 40  # origins whose logarithms, times this, round up to the same number are replayed alike
OWN_TARGETS = 8  # last points of each curve that serve as pseudo-targets
OWN_CURVES = 8
RATIOS = (1.25, 2.0, 4.0, 10.0)  # target / origin at which a run's own past is replayed


class ReferenceRuns(NamedTuple):
    """Finished runs, one metric, latent: their value now (n,), where it is asked for (n, m), and on `GRID`."""

    now: np.ndarray
    end: np.ndarray
    grid: np.ndarray  # (n, len(GRID)), NaN outside what the run logged
    chance: float | None

    def only(self, keep: np.ndarray) -> ReferenceRuns:
        """Only the runs for which ``keep`` (n,) is true."""
        return ReferenceRuns(self.now[keep], self.end[keep], self.grid[keep], self.chance)


# (what is seen of a run, progress asked for (m,), finished runs) -> latent points (m,), NaN where there is no answer
PointRule = Callable[[LatentCurve, np.ndarray, ReferenceRuns], np.ndarray]


@dataclass(frozen=True)
class EmpiricalErrors:
    """A point rule on the latent scale; its predictive distribution is the rule plus its own past errors.

    Errors come from the finished runs of the history, replayed at the same progress with the run's own family left
    out (unless the run in question has its family in the history too); where fewer than four are to be had, from
    pseudo-origins within the seen parts at the same ratio of target to origin. The errors are taken with both signs,
    so that the median is the rule's answer, and smoothed by a Gaussian kernel.
    """

    name: str
    rule: PointRule = field(repr=False)  # the name says which; its address would change a repr from process to process

    def latent(self, problem: Problem) -> Latent:
        """Draws around the rule's answer; a row without an answer falls back on last value, then on finished runs."""
        draws = np.empty((len(problem.target), DRAWS))
        status = np.empty(len(problem.target), dtype=object)
        for panel in problem.panels:
            context = _context(problem, panel)
            for query in panel.queries:
                noise = _noise_for(problem.seed, query.run, panel.metric)
                draws[query.rows], status[query.rows] = self._rows(panel, context, query, noise)
        return Latent(draws, status)

    def _rows(self, panel: Panel, context: _Context, query: Query, noise: _Noise) -> tuple[np.ndarray, np.ndarray]:
        """Latent draws (m, s) and statuses (m,) for the targets of one run; no target moves the draws of another."""
        curve, asked = panel.observed[query.run], query.progress
        origin = float(curve.progress[-1]) if len(curve.progress) else 0.0
        others, kin = context.beside(curve), curve.family in context.counts
        runs = others.reference(origin, asked, panel.chance)
        fallback, why = _fallback(curve, asked, runs)
        answer = self.rule(curve, asked, runs)
        point = np.where(np.isfinite(answer), answer, fallback)
        status = np.where(np.isfinite(answer), "ok", why).astype(object)
        if not len(curve.progress) and not len(others.curves):
            status[:] = "nothing to learn from"
        known = others.moments.joined(moments_of(curve.latent))
        least = 0.0
        if known.n < FEWEST_SEEN:
            least, words = unknown_spread(known.largest, panel.scale)
            status = np.where(status == "ok", words, status)
        floor = smallest_spread(known, bounded=panel.scale.bounded)
        errors = others.errors(self.name, self.rule, origin, asked, panel.chance, by_run=kin)
        own = None
        spread = np.empty((len(point), DRAWS))
        for j, column in enumerate(errors.T):
            error = column[np.isfinite(column)]
            if len(error) >= FEWEST_ERRORS:
                spread[j] = noise.smoothed(error) + floor * noise.jitter
                continue
            if own is None:
                own = _own_spread(self.rule, [curve, *others.curves[:OWN_CURVES]], known, asked, origin, panel.chance)
            spread[j] = max(own[j], floor, least) * noise.tail
        return point[:, None] + spread, status


class _Noise(NamedTuple):
    """Random numbers of one run and metric, (s,) each; the second half mirrors the first, so the median is the rule's.

    The same for every target of a run: its draws are then paths, and no target moves another.
    """

    place: np.ndarray  # uniform
    kernel: np.ndarray
    jitter: np.ndarray
    tail: np.ndarray  # Student's t with 4 degrees of freedom
    sign: np.ndarray

    def smoothed(self, error: np.ndarray) -> np.ndarray:
        """A smoothed bootstrap of errors (n,) with both signs, (s,).

        The kernel has Silverman's width on a robust scale; all is shrunk so that it does not add to the variance, and
        the factor (1 + 1/n) restores what n errors cannot show.
        """
        n = len(error)
        square = float(np.mean(error**2))
        width = 1.06 * n**-0.2 * min(np.sqrt(square), 1.4826 * float(np.median(np.abs(error))))
        shrink = np.sqrt((1 + 1 / n) * square / (square + width**2)) if square > 0 else 1.0
        return np.asarray(shrink * (self.sign * error[(self.place * n).astype(int)] + width * self.kernel))


def _noise_for(seed: int, run: str, metric: str) -> _Noise:
    rng = np.random.default_rng(seed_for(seed, run, metric))
    half = DRAWS // 2
    place = np.tile(rng.random(half), 2)
    mirrored = [np.concatenate([one, -one]) for one in (*rng.standard_normal((2, half)), rng.standard_t(4, half))]
    return _Noise(place, *mirrored, np.repeat([1.0, -1.0], half))


class _Context:
    """The finished curves of a metric, and the errors that rules made on them so far."""

    def __init__(self, curves: Mapping[str, LatentCurve]) -> None:
        self.curves = list(curves.values())
        self.runs = dict(zip(curves, range(len(curves)), strict=True))
        self.family = np.array([curve.family for curve in self.curves], dtype=object)
        self.counts = {family: int((self.family == family).sum()) for family in set(self.family.tolist())}
        self.moments = moments_of(np.concatenate([np.zeros(0), *(curve.latent for curve in self.curves)]))
        self._knots = _Knots(self.curves)
        self._grid: np.ndarray | None = None
        self._errors: dict[tuple[object, ...], np.ndarray] = {}
        self._beside: dict[str, _Context] = {}

    def beside(self, curve: LatentCurve) -> _Context:
        """The curves of all other runs."""
        if curve.run not in self.runs:
            return self
        if curve.run not in self._beside:
            self._beside[curve.run] = _Context({one.run: one for one in self.curves if one.run != curve.run})
        return self._beside[curve.run]

    def reference(self, origin: float, asked: np.ndarray, chance: float | None) -> ReferenceRuns:
        """The values of all runs at an origin, where it is asked for, and on the grid."""
        if self._grid is None:
            self._grid = np.stack([self._knots.at(share, begun=True) for share in GRID], axis=1)
        end = np.stack([self._knots.at(share) for share in asked], axis=1)
        return ReferenceRuns(self._knots.at(origin), end, self._grid, chance)

    def errors(
        self, name: str, rule: PointRule, origin: float, asked: np.ndarray, chance: float | None, *, by_run: bool
    ) -> np.ndarray:
        """Errors (k, m) of a rule on finished runs, each replayed from about the same origin.

        Each replay leaves out the run's family (only the run itself with ``by_run``). NaN where a run does not get as
        far as asked (m,), or the rule has no answer.
        """
        begin = float(np.exp(np.ceil(FINENESS * np.log(origin) - 1e-6) / FINENESS)) if origin > 0 else 0.0
        key = (name, begin, tuple(asked), chance, by_run)
        if key not in self._errors:
            self._errors[key] = self._replayed(rule, begin, asked, self.reference(begin, asked, chance), by_run)
        return self._errors[key]

    def _replayed(
        self, rule: PointRule, origin: float, asked: np.ndarray, runs: ReferenceRuns, by_run: bool
    ) -> np.ndarray:
        usable = np.flatnonzero(np.isfinite(runs.end).any(axis=1)) if self.curves else np.zeros(0, dtype=int)
        if len(usable) > MOST_ERRORS:
            usable = usable[np.linspace(0, len(usable) - 1, MOST_ERRORS).round().astype(int)]
        errors, of_family = [], {}
        for i in usable.tolist():
            begun = self.curves[i].truncate(origin)
            if origin > 0 and not len(begun.progress):
                continue
            if by_run:
                rest = runs.only(np.arange(len(self.curves)) != i)
            else:
                family = self.family[i]
                if family not in of_family:
                    of_family[family] = runs.only(self.family != family)
                rest = of_family[family]
            errors.append(runs.end[i] - rule(begun, asked, rest))
        return np.array(errors).reshape(len(errors), len(asked))


class _Knots:
    """Many curves as one sorted array of places, so that all are interpolated at once."""

    def __init__(self, curves: Sequence[LatentCurve]) -> None:
        self.count = np.array([len(curve.progress) for curve in curves], dtype=int)
        self.first = np.cumsum(self.count) - self.count
        joined = np.concatenate([np.zeros(0), *(curve.progress for curve in curves)])
        self.place = log_progress(joined)
        self.latent = np.concatenate([np.zeros(0), *(curve.latent for curve in curves)])
        # A stride beyond any place keeps the curves apart.
        self.stride = 2.0 + float(self.place.max(initial=0.0))
        self.keys = self.place + self.stride * np.repeat(np.arange(len(curves)), self.count)
        self.begin = np.array([curve.progress[0] if len(curve.progress) else np.inf for curve in curves])
        self.reach = np.array([curve.reaches_to for curve in curves])

    def at(self, progress: float, *, begun: bool = False) -> np.ndarray:
        """Values (n,) at a progress as `LatentCurve.at` has them, NaN for curves that do not reach as far.

        ``begun``: also for those that were not logged as early.
        """
        n = len(self.count)
        if not len(self.place):
            return np.full(n, np.nan)
        when = float(log_progress(np.array(progress)))
        after = np.searchsorted(self.keys, when + self.stride * np.arange(n), side="right") - self.first
        low = self.first + np.clip(after - 1, 0, np.maximum(self.count - 1, 0))
        high = self.first + np.clip(after, 0, np.maximum(self.count - 1, 0))
        low, high = np.minimum(low, len(self.place) - 1), np.minimum(high, len(self.place) - 1)
        gap = self.place[high] - self.place[low]
        part = np.where(gap > 0, (when - self.place[low]) / np.where(gap > 0, gap, 1.0), 0.0)
        value = self.latent[low] + np.clip(part, 0.0, 1.0) * (self.latent[high] - self.latent[low])
        known = (self.count > 0) & (progress <= self.reach)
        return np.where(known & (self.begin <= progress + 1e-12) if begun else known, value, np.nan)


def _context(problem: Problem, panel: Panel) -> _Context:
    key = ("empirical errors", panel.metric, panel.scale.floor, panel.scale.unit)
    return problem.history.once(key, lambda: _Context(panel.context))


def _own_spread(
    rule: PointRule, curves: Sequence[LatentCurve], known: Moments, asked: np.ndarray, origin: float,
    chance: float | None,
) -> np.ndarray:  # fmt: skip
    """Scale of the error (m,) of a rule from pseudo-origins within curves, the run's own first.

    The last points of each curve are forecast from 1/1.25 to 1/10 of their progress; the root mean square error is
    interpolated in the log of that ratio, and grows in proportion to it beyond the largest that the curves allow. With
    fewer than two errors the spread of all known values serves.
    """
    nobody = ReferenceRuns(np.zeros(0), np.zeros((0, 1)), np.zeros((0, len(GRID))), chance)
    at, rms = [], []
    for ratio in RATIOS:
        squares: list[float] = []
        for one in curves[:OWN_CURVES]:
            n = len(one.progress)
            for j in range(max(n - OWN_TARGETS, 2), n):
                begun = one.truncate(float(one.progress[j]) / ratio)
                if 2 <= len(begun.progress) <= j:
                    error = float(one.latent[j] - rule(begun, one.progress[j : j + 1], nobody)[0])
                    squares += [error**2] if np.isfinite(error) else []
            # A run's own errors, where there are enough, say more than those of other runs.
            if len(squares) >= FEWEST_ERRORS:
                break
        if len(squares) >= 2:
            at.append(np.log(ratio))
            rms.append(np.sqrt(np.mean(squares)))
    if not at:
        spread = known.sd if known.n > 1 else 0.0
        return np.full(len(asked), spread if spread > 0 else float(not known.n))
    wanted = np.log(np.maximum(asked, 1e-9) / max(origin, 1e-9))
    beyond = np.clip(wanted / at[-1], 1.0, 4.0)
    return np.asarray(np.interp(wanted, at, rms) * beyond)


def _fallback(curve: LatentCurve, asked: np.ndarray, runs: ReferenceRuns) -> tuple[np.ndarray, str]:
    """A latent answer (m,) where the rule has none, and the words for it."""
    if len(curve.latent):
        return np.full(len(asked), curve.latent[-1]), "rule has no answer: last value"
    known = np.isfinite(runs.end)
    count = known.sum(axis=0)
    level = 0.0 if runs.chance is None else runs.chance
    mean = np.where(known, runs.end, 0.0).sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, mean, level), "nothing seen: mean of finished runs"
