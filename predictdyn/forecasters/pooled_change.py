"""Pooled change: what finished runs of all sizes, in all metrics of a kind, teach of the change still to come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.fitting import change
from predictdyn.forecast import Forecast
from predictdyn.forecasters._crossed import (
    FEWEST_FAMILIES,
    FEWEST_RUNS,
    Pooled,
    pooled,
    rows_for,
    sampled,
    scatter,
)
from predictdyn.forecasters._errors import smallest_spread
from predictdyn.forecasters._fallback import answered
from predictdyn.forecasters._history import read_history, write_history
from predictdyn.forecasters._plans import in_turn, planned, spread_over
from predictdyn.lines import Line, clock, share_at

MOST_NUMBERS = 1e7  # metrics x runs^3: what a forecast may cost
LAST = 4  # checkpoints of the line through the end of what was seen
FARTHEST = 3.0  # sds from the history that a level or slope counts
ANCHORS = np.array([0.2, 0.5, 1.0])  # of the way to the end: where scales are learnt


@dataclass(frozen=True)
class PooledChange:
    """A Gaussian process of the change from the cutoff on, over runs and metrics; see `fitting.change`.

    Finished runs are cut at the share of the run at which the one in question stands. The change is counted from a
    level, half the last value and half a line through the last checkpoints, in units of each metric's typical change.
    Scales are learnt from at most ``learning_runs`` runs, forecasts from the ``conditioning_runs`` that are most alike.
    """

    learning_runs: int = 40
    conditioning_runs: int = 40
    name: str = "pooled_change"

    def fit(self, history: Curves, *, seed: int) -> PooledChangeFitted:
        """Keep the history; what it teaches depends on how much of a run is seen."""
        return PooledChangeFitted(self, history)

    def load(self, folder: Path) -> PooledChangeFitted:
        """Read back a saved history."""
        return PooledChangeFitted(self, read_history(folder))


@dataclass(frozen=True)
class PooledChangeFitted:
    """The settings and the finished runs."""

    settings: PooledChange
    history: Curves

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Draws of each row; where there is too little to learn from, the last value and why."""
        rows = rows_for(target)
        share = target["step"].to_numpy(dtype=float) / target["run"].map(seen.runs["last_step"]).to_numpy(dtype=float)
        place = {key: i for i, key in enumerate(zip(target["run"], target["metric"], share, strict=True))}
        for group in pooled(self.history, seen, target):
            rows.scales.update({task.metric: task.scale for task in group.tasks})
            names = {task.metric for task in group.tasks}
            one = _Group(self.settings, self.history.runs, seen.runs, group, {}, {})
            asked = {(run, at) for run, metric, at in place if metric in names}
            for run, at in sorted(asked):
                latent, status = one.draws(run, at, seed)
                for task in group.tasks:
                    row = place.get((run, task.metric, at))
                    if row is not None and task.metric in status:
                        rows.status[row] = status[task.metric]
                    if row is not None and task.metric in latent:
                        rows.latent[row] = latent[task.metric]
        return answered(self.history, seen, target, *rows, seed=seed)

    def save(self, folder: Path) -> None:
        """The history as parquet and JSON."""
        write_history(self.history, folder)


class Faced(NamedTuple):
    """Finished runs beside a run in question, in units of each metric: the names of the metrics, what they showed when
    cut like it, what is planned of them, the level (m,) of the run in question, the unit (m,)."""

    names: list[str]
    rows: change.Rows
    runs: change.Runs
    level: np.ndarray
    unit: np.ndarray


@dataclass(frozen=True)
class _Group:
    """Metrics of a kind: what was learnt of them so far, and what finished runs had shown at a share."""

    settings: PooledChange
    history: pd.DataFrame
    seen: pd.DataFrame
    group: Pooled
    learnt: dict[tuple[int | None, float], np.ndarray]
    begun: dict[tuple[str, str, float], tuple[float, float, float]]

    def draws(self, run: str, share: float, seed: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Latent draws (s,) and a status for each metric of a run at a share."""
        origin = self._origin(run)
        if np.isnan(origin):
            return {}, {task.metric: "nothing seen: last value" for task in self.group.tasks}
        faced = self._faced(run, share, self._alike(run))
        if faced is None:
            return {}, {task.metric: "too few finished runs: last value" for task in self.group.tasks}
        way = _when(share, origin)
        theta = self._scales(origin, float(ANCHORS[np.argmin(np.abs(ANCHORS - way))]))
        given, found = change.forecast(theta, faced.rows, faced.runs)
        late = float(np.clip(way, 0.0, 1.0))
        families, words = len(np.unique(faced.runs.family[:-1])), (run, self.group.name)
        off = sampled(given, found, faced.names, *words, families=families, seed=seed, late=late)
        latent = faced.level[:, None] + faced.unit[:, None] * off[:, 0]
        return dict(zip(faced.names, latent, strict=True)), dict.fromkeys(faced.names, "ok")

    def _origin(self, run: str) -> float:
        """The share up to which a run is seen in these metrics, NaN where nothing is."""
        ends = [task.seen[run].share[-1] for task in self.group.tasks if len(task.seen[run].share)]
        return float(max(ends)) if ends else np.nan

    def _scales(self, origin: float, anchor: float) -> np.ndarray:
        """Log sds of the effects, learnt once for all runs that stand about there, at an anchor of the way ahead."""
        about = _about(origin)
        if (about, anchor) not in self.learnt:
            alike = [run for run in self.group.runs if _about(self._origin(run)) == about]
            share = _share(anchor, origin)
            past = [name for name in self.group.past() if name != alike[0]]
            some = spread_over(self.history["family"].reindex(past).to_numpy(), self.settings.learning_runs)
            faced = self._faced(alike[0], share, [past[i] for i in some])
            smooth = self.group.smooth
            self.learnt[about, anchor] = (
                change.prior_means(smooth=smooth)
                if faced is None
                else change.fitted(faced.rows, faced.runs, smooth=smooth)
            )
        return self.learnt[about, anchor]

    def _alike(self, run: str) -> list[str]:
        """The finished runs to learn from: those with the nearest plans, one of each family in turn."""
        past = [name for name in self.group.past() if name != run]
        most = min(self.settings.conditioning_runs, int((MOST_NUMBERS / len(self.group.tasks)) ** (1 / 3)))
        if len(past) <= most:
            return past
        runs = planned(self.history.loc[past], self.seen.loc[[run]], damped=False)
        apart = np.abs(runs.size - runs.size[-1]) + np.linalg.norm(runs.rest - runs.rest[-1], axis=1)
        chosen = in_turn(np.argsort(apart[:-1], kind="stable"), runs.family, most)
        return [past[i] for i in chosen]

    def _faced(self, run: str, share: float, past: list[str]) -> Faced | None:
        """Finished runs, cut like the one in question; None where they are of fewer than two families."""
        tasks = [task for task in self.group.tasks if len(task.seen[run].share)]
        if not past:
            return None
        shape = (len(tasks), len(past) + 1)
        level, slope, stderr, end = (np.full(shape, np.nan) for _ in range(4))
        jitter = np.zeros(len(tasks))
        for j, task in enumerate(tasks):
            origin = float(task.seen[run].share[-1])
            lines = [task.past.get(name) for name in past]
            for r, line in enumerate([*lines, task.seen[run]]):
                if line is not None and len(line.share):
                    level[j, r], slope[j, r], stderr[j, r] = self._at(task.metric, line, origin, own=r == len(past))
                    if r < len(past) and line.reaches(share):
                        end[j, r] = line.at(np.array([share]))[0]
            jitter[j] = scatter([line for line in lines if line is not None])
        known = np.isfinite(level) & np.isfinite(end)
        family = self.history["family"].reindex(past).to_numpy()
        enough = known.sum(axis=1) >= FEWEST_RUNS
        if not enough.any() or len(set(family[known[:, :-1].any(axis=0)])) < FEWEST_FAMILIES:
            return None
        tasks = [task for task, keep in zip(tasks, enough, strict=True) if keep]
        level, slope, stderr, end, known, jitter = (part[enough] for part in (level, slope, stderr, end, known, jitter))
        step = np.where(known, end - level, np.nan)
        least = [_least(task.past.values(), bounded=task.scale.bounded) for task in tasks]
        unit = np.maximum(np.sqrt(np.nanvar(step, axis=1) + np.nanmean(step, axis=1) ** 2 / 4 + jitter), least)
        rows = change.Rows(
            np.nan_to_num(step / unit[:, None]), _against(level, known), _against(slope, known),
            np.nan_to_num(stderr / unit[:, None]) ** 2, np.tile((jitter / unit**2)[:, None], len(past) + 1), known,
        )  # fmt: skip
        runs = planned(self.history.loc[past], self.seen.loc[[run]], damped=not self.group.smooth)
        return Faced([task.metric for task in tasks], rows, runs, level[:, -1], unit)

    def _at(self, metric: str, line: Line, origin: float, *, own: bool) -> tuple[float, float, float]:
        key = (metric, line.run, -1.0 if own else origin)
        if key not in self.begun:
            self.begun[key] = _begun(line.upto(origin))
        return self.begun[key]


def _about(origin: float) -> int | None:
    """Origins within an eighth of each other, in ln share; None where nothing was seen."""
    return None if np.isnan(origin) else round(4 * np.log(max(origin, 1e-12)))


def _when(share: float, origin: float) -> float:
    """How far a share is, in the clock, from the origin (0) to the planned end (1)."""
    now, then = clock(np.array([origin, share]))
    return float((then - now) / max(1.0 - now, 1e-9))


def _share(way: float, origin: float) -> float:
    """The share at which `_when` is a number."""
    now = float(clock(np.array(origin)))
    return float(share_at(np.array(now + way * (1 - now))))


def _begun(line: Line) -> tuple[float, float, float]:
    """Level, slope in ln step and standard error at the end of what was seen; NaN where nothing was."""
    n = len(line.share)
    if not n:
        return np.nan, np.nan, np.nan
    first = max(min(n - LAST, int(np.searchsorted(line.share, line.share[-1] / 2))), 0)
    share, latent = line.share[first:], line.latent[first:]
    share, latent = share[share > 0], latent[share > 0]
    last, error = float(line.latent[-1]), float(line.stderr[-1])
    if len(share) < 2:
        return last, 0.0, error
    when = np.log(share / share[-1])
    slope, fitted = np.polyfit(when, latent, 1)
    return (last + float(fitted)) / 2, float(slope), error


def _against(value: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values (m, r) in sds from the mean of the finished runs, at most three; zero where there is none."""
    finished = np.where(known, value, np.nan)
    centre, spread = np.nanmean(finished, axis=1), np.nanstd(finished, axis=1)
    off = (value - centre[:, None]) / np.maximum(spread, 1e-12 + 1e-9 * np.abs(centre))[:, None]
    return np.nan_to_num(np.clip(off, -FARTHEST, FARTHEST))


def _least(lines: Iterable[Line], *, bounded: bool) -> float:
    return smallest_spread(np.concatenate([line.latent for line in lines]), bounded=bounded)


FORECASTER = PooledChange()
