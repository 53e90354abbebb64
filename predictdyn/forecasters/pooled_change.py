"""Pooled change: what finished runs of all sizes, in all metrics of a kind, teach of the change still to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from predictdyn.fitting import change_gp
from predictdyn.fitting.change_gp import ChangePosterior, Changes, PlannedRuns
from predictdyn.forecast import Latent
from predictdyn.forecasters._fitted import no_answer
from predictdyn.forecasters._multitask import (
    FEWEST_FAMILIES,
    FEWEST_RUNS,
    TOO_FEW,
    FinishedRuns,
    GroupAhead,
    MetricGroup,
    Outcome,
    answer,
    finished_runs,
    own_scale_curves,
    rows_by_group,
    scatter,
)
from predictdyn.forecasters._places import rounded
from predictdyn.problem import History, LatentCurve, Problem, log_progress, progress_at

MOST_NUMBERS = 3e7  # metrics x runs^3: what a factorization may cost
MOST_LEARNING = 1.5e6  # the same, of each step when scales are learnt
LAST = 4  # checkpoints of the line through the end of what was seen
FARTHEST = 3.0  # sds from the history that a level or slope counts
WAYS = (0.2, 0.5, 1.0)  # of the way from the origin to the end: where answers stand, and scales are learnt
FINENESS = 50  # of origins: finished runs are cut up to 2 % after the run in question


@dataclass(frozen=True)
class PooledChange:
    """A Gaussian process of the change from the cutoff on, over runs and metrics; see `fitting.change_gp`.

    Finished runs are cut where the one in question stands. The change is counted from a level, half the last value and
    half a line through the last checkpoints, in units of each metric's typical change. Scales are learnt from at most
    ``learning_runs`` runs, forecasts from ``conditioning_runs``, of all families in turn. Answers stand at a few places
    of the way to the end; between them means and variances are interpolated.
    """

    learning_runs: int = 100
    conditioning_runs: int = 180
    name: str = "pooled_change"

    def latent(self, problem: Problem) -> Latent:
        """Draws of each row; where there is too little to learn from, no answer and why."""
        latent = no_answer(problem, TOO_FEW)
        for group, rows in rows_by_group(problem):
            ahead = _Ahead(self, problem, group)
            for row in rows:
                if not np.isfinite(ahead.origin(row.run)):
                    latent.status[row.place] = "nothing seen: last value"
                elif found := ahead.at(row.run, row.metric, row.progress):
                    answer(latent, row, found, problem.seed)
        return latent


class CutRuns(NamedTuple):
    """Finished runs, cut where runs in question stand, in units of each metric.

    The m metrics that enough of them log; their changes to a progress; what is planned of them; mean and sd (m,) of
    level and slope, the unit (m,), the number of families.
    """

    metrics: tuple[str, ...]
    changes: Changes
    runs: PlannedRuns
    level: tuple[np.ndarray, np.ndarray]
    slope: tuple[np.ndarray, np.ndarray]
    unit: np.ndarray
    families: int


class _Ahead(GroupAhead):
    """The way ahead of the runs of a problem, in the metrics of a group; what several rows need is computed once."""

    def __init__(self, settings: PooledChange, problem: Problem, group: MetricGroup) -> None:
        super().__init__(problem, group)
        self.settings = settings
        self._outcomes: dict[tuple[str, float], dict[str, Outcome]] = {}
        self._posteriors: dict[tuple[object, ...], tuple[CutRuns, ChangePosterior] | None] = {}

    def at(self, run: str, metric: str, progress: float) -> Outcome | None:
        """A run at a progress; between two places of the way their means and variances are interpolated."""
        origin = rounded(self.origin(run), FINENESS)
        way = _way(progress, origin)
        places = [0.0, *WAYS]
        if way in places or way > 1.0 or way < 0.0 or origin >= 1.0:
            return self._outcomes_at(run, max(progress, origin)).get(metric)
        above = int(np.searchsorted(places, way))
        before, after = (self._outcomes_at(run, _progress(places[i], origin)).get(metric) for i in (above - 1, above))
        if before is None or after is None:
            # Finished runs do not get as far as the next place.
            return self._outcomes_at(run, progress).get(metric)
        part = (way - places[above - 1]) / (places[above] - places[above - 1])
        mean = (1 - part) * before.mean + part * after.mean
        variance = (1 - part) * before.sd**2 + part * after.sd**2
        return Outcome(mean, float(np.sqrt(variance)), after.families)

    def origin(self, run: str) -> float:
        """The progress up to which a run is seen in these metrics, NaN where nothing is."""
        ends = [float(curve.progress[-1]) for curve in self._observed(run) if len(curve.progress)]
        return max(ends, default=np.nan)

    def _observed(self, run: str) -> list[LatentCurve]:
        return [panel.observed[run] for panel in self.panels]

    def _outcomes_at(self, run: str, progress: float) -> dict[str, Outcome]:
        """A run at a progress, in all metrics of which something is seen and enough finished runs tell."""
        if (run, progress) not in self._outcomes:
            self._outcomes[run, progress] = self._predicted(run, progress)
        return self._outcomes[run, progress]

    def _predicted(self, run: str, progress: float) -> dict[str, Outcome]:
        posterior = self._posterior(run, progress)
        if posterior is None:
            return {}
        cut, data = posterior
        seen = {
            name: begun(curve) for name, curve in zip(self.group.metrics, self._observed(run), strict=True)
        }  # fmt: skip
        level, slope, stderr = np.array([seen[name] for name in cut.metrics]).T
        rows = Changes(
            np.zeros((len(level), 1)), _against(level, *cut.level)[:, None], _against(slope, *cut.slope)[:, None],
            np.nan_to_num(stderr / cut.unit)[:, None] ** 2, cut.changes.scatter[:, :1],
            np.zeros((len(level), 1), dtype=bool),
        )  # fmt: skip
        mean, variance = data.predict(rows, self.plan(run))
        mean, sd = level + cut.unit * mean[:, 0], cut.unit * np.sqrt(variance[:, 0])
        return {
            name: Outcome(float(mean[j]), float(sd[j]), cut.families) for j, name in enumerate(cut.metrics)
        }  # fmt: skip

    def _posterior(self, run: str, progress: float) -> tuple[CutRuns, ChangePosterior] | None:
        """Finished runs, conditioned on once for all runs that stand about where this one does."""
        origins = tuple(
            rounded(float(curve.progress[-1]), FINENESS) if len(curve.progress) else np.nan
            for curve in self._observed(run)
        )
        left_out = self.left_out(run)
        key = ("posterior", left_out, progress, *np.nan_to_num(origins, nan=-1.0))
        if key not in self._posteriors:
            self._posteriors[key] = self._conditioned(origins, progress, left_out)
        return self._posteriors[key]

    def _conditioned(
        self, origins: tuple[float, ...], progress: float, left_out: str
    ) -> tuple[CutRuns, ChangePosterior] | None:
        past = self.finished(left_out)
        seen = int(np.isfinite(origins).sum())
        most = min(self.settings.conditioning_runs, int((MOST_NUMBERS / seen) ** (1 / 3)))
        scales = tuple((panel.scale.floor, panel.scale.unit) for panel in self.panels)
        about = tuple(np.nan_to_num(origins, nan=-1.0))
        key = ("cut runs", self.group.metrics, scales, left_out, most, about, progress)
        cut = self.problem.history.once(key, lambda: cut_runs(past, past.chosen(most), origins, progress))
        if cut is None:
            return None
        origin = float(np.nanmax(origins))
        theta = self._scales(origin, min(WAYS, key=lambda way: abs(way - _way(progress, origin))))
        return cut, change_gp.conditioned(theta, cut.changes, cut.runs)

    def _scales(self, origin: float, way: float) -> np.ndarray:
        """Log sds of the effects, learnt once for all runs that stand about there, of finished runs alone."""
        source: History = self.problem.whole or self.problem.history
        about = round(4 * np.log(max(origin, 1e-12)))
        standing = float(min(np.exp(about / 4), 1.0)) if origin > 0 else 0.0
        words = (self.settings.name, self.settings.learning_runs, about, way, *self.group.metrics)

        def make() -> dict[str, np.ndarray]:
            past = finished_runs(source, tuple(own_scale_curves(source, name) for name in self.group.metrics))
            origins = (standing,) * len(self.group.metrics)
            most = min(self.settings.learning_runs, int((MOST_LEARNING / len(origins)) ** (1 / 3)))
            cut = cut_runs(past, past.chosen(most), origins, _progress(way, standing))
            if cut is None:
                return {"log_sd": change_gp.prior_means(smooth=self.group.smooth)}
            return {"log_sd": change_gp.fitted(cut.changes, cut.runs, smooth=self.group.smooth)}

        return source.learn("\x1f".join(map(str, words)), make)["log_sd"]


def cut_runs(
    past: FinishedRuns, which: np.ndarray, origins: tuple[float, ...], progress: float
) -> CutRuns | None:  # fmt: skip
    """Some finished runs, each metric cut at its origin (m; NaN: left out), and their changes to a progress.

    None where no metric has enough runs of enough families.
    """
    seen = [j for j, origin in enumerate(origins) if np.isfinite(origin)]
    if past.plans is None or not seen:
        return None
    runs, metrics = [past.runs[i] for i in which], [past.metrics[j] for j in seen]
    shape = (len(metrics), len(runs))
    level, slope, stderr, end = (np.full(shape, np.nan) for _ in range(4))
    jitter = np.zeros(len(metrics))
    for j, (finished, origin) in enumerate(zip(metrics, (origins[j] for j in seen), strict=True)):
        curves = [finished.curves.get(run) for run in runs]
        for r, curve in enumerate(curves):
            if curve is not None:
                level[j, r], slope[j, r], stderr[j, r] = begun(curve.truncate(origin))
                if progress <= curve.reaches_to:
                    end[j, r] = curve.at(np.array([progress]))[0]
        jitter[j] = scatter([curve for curve in curves if curve is not None])
    known = np.isfinite(level) & np.isfinite(end)
    enough = known.sum(axis=1) >= FEWEST_RUNS
    families = len(set(past.family[which][known[enough].any(axis=0)]))
    if not enough.any() or families < FEWEST_FAMILIES:
        return None
    metrics = [one for one, keep in zip(metrics, enough, strict=True) if keep]
    level, slope, stderr, end, known, jitter = (part[enough] for part in (level, slope, stderr, end, known, jitter))
    step = np.where(known, end - level, np.nan)
    least = [one.least for one in metrics]
    unit = np.maximum(np.sqrt(np.nanvar(step, axis=1) + np.nanmean(step, axis=1) ** 2 / 4 + jitter), least)
    levels, slopes = _moments(level, known), _moments(slope, known)
    changes = Changes(
        np.nan_to_num(step / unit[:, None]), _against(level, *levels), _against(slope, *slopes),
        np.nan_to_num(stderr / unit[:, None]) ** 2, np.tile((jitter / unit**2)[:, None], len(runs)), known,
    )  # fmt: skip
    names = tuple(one.metric for one in metrics)
    return CutRuns(names, changes, past.planned(which), levels, slopes, unit, len(set(past.family[which])))


def begun(curve: LatentCurve) -> tuple[float, float, float]:
    """Level, slope in ln step and standard error at the end of what was seen; NaN where nothing was."""
    n = len(curve.progress)
    if not n:
        return np.nan, np.nan, np.nan
    first = max(min(n - LAST, int(np.searchsorted(curve.progress, curve.progress[-1] / 2))), 0)
    progress, latent = curve.progress[first:], curve.latent[first:]
    progress, latent = progress[progress > 0], latent[progress > 0]
    last, error = float(curve.latent[-1]), float(curve.stderr[-1])
    if len(progress) < 2:
        return last, 0.0, error
    when = np.log(progress / progress[-1])
    middle, mean = when.sum() / len(when), latent.sum() / len(latent)
    off = when - middle
    slope = float(off @ latent) / float(off @ off)
    return (last + float(mean) - slope * float(middle)) / 2, slope, error


def _way(progress: float, origin: float) -> float:
    """How far a progress is, in `log_progress`, from the origin (0) to the planned end (1)."""
    now, then = log_progress(np.array([origin, progress]))
    return float(then - now) / max(1.0 - float(now), 1e-9) if progress != 1.0 else 1.0


def _progress(way: float, origin: float) -> float:
    """The progress at which `_way` is a number."""
    now = float(log_progress(np.array(origin)))
    return float(progress_at(np.array(now + way * (1 - now)))) if way < 1.0 else 1.0


def _moments(value: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd (m,) of what is known of values (m, r)."""
    finished = np.where(known, value, np.nan)
    return np.nanmean(finished, axis=1), np.nanstd(finished, axis=1)


def _against(value: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Values (m, r) or (m,) in sds from the mean of the finished runs, at most three; zero where there is none."""
    shape = (len(centre),) + (1,) * (value.ndim - 1)
    centre, spread = centre.reshape(shape), spread.reshape(shape)
    off = (value - centre) / np.maximum(spread, 1e-12 + 1e-9 * np.abs(centre))
    return np.nan_to_num(np.clip(off, -FARTHEST, FARTHEST))


POOLED_CHANGE = PooledChange()
