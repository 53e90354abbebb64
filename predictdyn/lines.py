"""Where tables become arrays and arrays become a Forecast: curves on the latent scale over the share of the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curve, Curves
from predictdyn.forecast import Forecast
from predictdyn.scales import Scale, scale_for

SLACK = 1.02  # how far beyond its last point a curve speaks


class Line(NamedTuple):
    """One curve, ready to model. Arrays (t,): share of the planned run done, latent value, latent standard error."""

    run: str
    family: str
    share: np.ndarray
    latent: np.ndarray
    stderr: np.ndarray

    def upto(self, share: float) -> Line:
        """The points up to and including a share of the run."""
        n = int(np.searchsorted(self.share, share * (1 + 1e-9), side="right"))
        return self._replace(share=self.share[:n], latent=self.latent[:n], stderr=self.stderr[:n])

    def at(self, share: np.ndarray) -> np.ndarray:
        """Latent values at shares (m,), linear in ln(1 + 1000 share) between points, constant outside: (m,)."""
        if not len(self.share):
            return np.full(np.shape(share), np.nan)
        return np.interp(clock(share), clock(self.share), self.latent)

    def reaches(self, share: np.ndarray | float) -> np.ndarray:
        """Whether the curve was logged as far as a share (a number, or (m,)); one that ends less than 2 % before was.

        >>> Line("a", "a", np.array([0.1, 0.99]), np.zeros(2), np.zeros(2)).reaches(np.array([0.5, 1.0, 1.1])).tolist()
        [True, True, False]
        """
        end = self.share[-1] * SLACK + 1e-12 if len(self.share) else -1.0  # a tie is one whatever the rounding
        return np.asarray(share <= end)


class Task(NamedTuple):
    """All targets of one metric: the curves that may be learnt from, those seen in part, and what is asked."""

    metric: str
    scale: Scale
    chance: float | None  # on the latent scale
    past: dict[str, Line]
    seen: dict[str, Line]  # of the runs in question only; empty arrays where nothing was seen
    asked: list[Asked]


class Asked(NamedTuple):
    """The targets of one run: rows of the target table and the shares of the run they lie at, each (m,)."""

    run: str
    rows: np.ndarray
    share: np.ndarray


def clock(share: np.ndarray) -> np.ndarray:
    """A time axis between linear and logarithmic, 0 at the start and 1 at the planned end: ln(1 + 1000 x)/ln 1001.

    Training changes by orders of magnitude of steps, but step 0 has no logarithm.

    >>> clock(np.array([0.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    return np.log1p(1000.0 * np.asarray(share, dtype=float)) / np.log(1001.0)


def share_at(clock: np.ndarray) -> np.ndarray:
    """The share of the run at a number of `clock`.

    >>> share_at(np.array([0.0, 1.0])).round(9).tolist()
    [0.0, 1.0]
    """
    return np.expm1(np.asarray(clock, dtype=float) * np.log(1001.0)) / 1000.0


def tasks(history: Curves, seen: Curves, target: pd.DataFrame) -> list[Task]:
    """One `Task` per metric that is asked for, in the order of first mention; scales come from visible values only.

    Raises ValueError for a run or a metric that neither table knows.
    """
    # The members of a mixture ask the same of the same tables, one after the other.
    global _last
    if _last is not None and _last[0] is history and _last[1] is seen and _last[2].equals(target):
        return _last[3]
    found = list(_tasks(history, seen, target))
    _last = history, seen, target.copy(), found
    return found


_last: Any = None


def _tasks(history: Curves, seen: Curves, target: pd.DataFrame) -> Iterator[Task]:
    past_of, seen_of = _by_metric(history), _by_metric(seen)
    past_plan, seen_plan = _plan(history), _plan(seen)
    metrics = {**history.metrics, **seen.metrics}
    step = target["step"].to_numpy(dtype=float)
    rows_of: dict[str, dict[str, list[int]]] = {}
    for row, (run, name) in enumerate(zip(target["run"], target["metric"], strict=True)):
        if run not in seen_plan:
            raise ValueError(f"target asks for run {run!r}, which has no row in the seen runs")
        if name not in metrics:
            raise ValueError(f"target asks for metric {name!r}; known are {', '.join(sorted(metrics)[:20])}")
        rows_of.setdefault(name, {}).setdefault(run, []).append(row)
    nothing = np.zeros(0)
    for name, of_run in rows_of.items():
        past, begun = past_of.get(name, {}), seen_of.get(name, {})
        known = [curve.value for curve in (*past.values(), *begun.values())]
        metric = metrics[name]
        scale = scale_for(metric, np.concatenate(known) if known else nothing)
        asked, lines = [], {}
        for run, rows in of_run.items():
            family, planned = seen_plan[run]
            index = np.array(rows)
            asked.append(Asked(run, index, step[index] / planned))
            empty = Line(run, family, nothing, nothing, nothing)
            lines[run] = _line(run, begun[run], seen_plan, scale) if run in begun else empty
        chance = None if metric.chance is None else float(scale.latent(np.array(metric.chance)))
        finished = {run: _line(run, curve, past_plan, scale) for run, curve in past.items()}
        scale = scale.below(scale.latent(values) for values in known)
        yield Task(name, scale, chance, finished, lines, asked)


def answer(target: pd.DataFrame, latent: np.ndarray, scales: dict[str, Scale], status: np.ndarray) -> Forecast:
    """Latent draws (n, s) of the rows of a target table, mapped back to each metric's units."""
    draws = np.empty_like(latent)
    metric = target["metric"].to_numpy(dtype=object)
    for name, scale in scales.items():
        rows = metric == name
        draws[rows] = scale.value(latent[rows])
    return Forecast(target.reset_index(drop=True), draws, status)


def _by_metric(curves: Curves) -> dict[str, dict[str, Curve]]:
    grouped: dict[str, dict[str, Curve]] = {}
    for (run, metric), curve in curves.by_key.items():
        grouped.setdefault(metric, {})[run] = curve
    return grouped


def _plan(curves: Curves) -> dict[str, tuple[str, float]]:
    """Family and planned end of each run."""
    runs = curves.runs
    return dict(zip(runs.index, zip(runs["family"], runs["last_step"].astype(float), strict=True), strict=True))


def _line(run: str, curve: Curve, plan: dict[str, tuple[str, float]], scale: Scale) -> Line:
    family, planned = plan[run]
    stderr = scale.latent_stderr(curve.value, curve.stderr)
    return Line(run, family, curve.step / planned, scale.latent(curve.value), stderr)
