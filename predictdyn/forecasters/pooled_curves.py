"""Pooled curves: whole curves of finished runs and the beginning of one more, in all metrics of a kind at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.fitting import whole
from predictdyn.fitting.change_gp import Runs
from predictdyn.fitting.multitask_gp import Given
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
from predictdyn.lines import Task

EARLIEST = 0.005  # share of the run: what came before says little, and moves much
BACK = 6.0  # how many times earlier than a run in question stands curves begin to count
PER_GAP = 3.0  # checkpoints between places beyond which their misfits are one
MOST_NUMBERS = 6e7  # metrics x (runs x places)^3: what a forecast may cost


@dataclass(frozen=True)
class PooledCurves:
    """A Gaussian process over runs, metrics and ln share, learnt from the history; see `fitting.whole`.

    A curve is its values at ``places``. Scales are learnt from at most ``learning_metrics`` metrics of
    ``learning_runs`` runs; forecasts condition on the ``conditioning_runs`` that are most alike, and on all that was
    seen of the run in question. Beyond the largest finished run the linear effect of size dies away, but for losses.
    """

    places: int = 6
    learning_metrics: int = 16
    learning_runs: int = 12
    conditioning_runs: int = 20
    name: str = "pooled_curves"

    def fit(self, history: Curves, *, seed: int) -> PooledCurvesFitted:
        """Keep the history; scales are learnt for the kinds that are asked for."""
        return PooledCurvesFitted(self, history)

    def load(self, folder: Path) -> PooledCurvesFitted:
        """Read back a saved history."""
        return PooledCurvesFitted(self, read_history(folder))


@dataclass(frozen=True)
class PooledCurvesFitted:
    """The settings and the finished runs."""

    settings: PooledCurves
    history: Curves

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Draws of each row; where there is too little to learn from, the last value and why."""
        rows = rows_for(target)
        share = target["step"].to_numpy(dtype=float) / target["run"].map(seen.runs["last_step"]).to_numpy(dtype=float)
        pairs = list(zip(target["run"], target["metric"], strict=True))
        for group in pooled(self.history, seen, target):
            rows.scales.update({task.metric: task.scale for task in group.tasks})
            one = _Group(self.settings, self.history.runs, seen.runs, group, {})
            names = {task.metric for task in group.tasks}
            rows_of_run: dict[str, list[int]] = {}
            for row, (run, metric) in enumerate(pairs):
                if metric in names:
                    rows_of_run.setdefault(run, []).append(row)
            for run, mine in rows_of_run.items():
                values, places = one.draws(run, seed), one.places(run)
                for row in mine:
                    metric = pairs[row][1]
                    if metric in values and one.reached(metric, run, share[row]):
                        rows.status[row] = "ok"
                        rows.latent[row] = _at(share[row], places) @ values[metric]
        return answered(self.history, seen, target, *rows, seed=seed)

    def save(self, folder: Path) -> None:
        """The history as parquet and JSON."""
        write_history(self.history, folder)


class Faced(NamedTuple):
    """Finished runs and last the run in question: metrics, their curves and plans; centre and unit (m,) of each."""

    names: list[str]
    sketch: whole.Sketch
    runs: Runs
    centre: np.ndarray
    unit: np.ndarray


@dataclass(frozen=True)
class _Group:
    """Metrics of a kind, and the scales that were learnt of them, once for all runs in question."""

    settings: PooledCurves
    history: pd.DataFrame
    seen: pd.DataFrame
    group: Pooled
    learnt: dict[float, np.ndarray]

    def places(self, run: str) -> np.ndarray:
        """Places (q,) in ln share: evenly from well before a run in question stands to the end.

        Runs that stand about there have the same places, so that scales are learnt once for all of them.
        """
        ends = [task.seen[run].share[-1] for task in self.group.tasks if len(task.seen[run].share)]
        origin = np.exp(np.round(4 * np.log(max(ends, default=EARLIEST))) / 4)
        return np.linspace(np.log(min(max(origin / BACK, EARLIEST), 0.5)), 0.0, self.settings.places)

    def reached(self, metric: str, run: str, share: float) -> bool:
        """Whether runs of enough families got as far."""
        task = next(task for task in self.group.tasks if task.metric == metric)
        far = [line for name, line in task.past.items() if name != run and line.reaches(share)]
        return len(far) >= FEWEST_RUNS and len({line.family for line in far}) >= FEWEST_FAMILIES

    def draws(self, run: str, seed: int) -> dict[str, np.ndarray]:
        """For each metric, latent draws (q + 1, s) of a run's values at all places, and of the noise."""
        past, places = [name for name in self.group.past() if name != run], self.places(run)
        if not past:
            return {}
        faced = self._faced(run, self._alike(run, past), self._tasks(past, places), places)
        if faced is None:
            return {}
        given, found, noise = whole.forecast(self._scales(places), faced.sketch, faced.runs, places)
        m, q = given.mean.shape
        own = np.zeros((m, q + 1, q + 1))
        own[:, :q, :q], own[:, q, q] = given.own, noise
        leaning = np.concatenate([given.leaning, np.zeros((m, 1, given.leaning.shape[2]))], axis=1)
        with_noise = Given(np.concatenate([given.mean, np.zeros((m, 1))], axis=1), own, leaning)
        families = len(np.unique(faced.runs.family[:-1]))
        words = (run, self.group.name)
        values = sampled(with_noise, found, faced.names, *words, families=families, seed=seed)
        values *= faced.unit[:, None, None]
        values[:, :q] += faced.centre[:, None, None]
        return dict(zip(faced.names, values, strict=True))

    def _tasks(self, past: list[str], places: np.ndarray) -> list[Task]:
        """Metrics that enough of some runs log."""
        some, first = set(past), np.exp(places[0])
        return [
            task
            for task in self.group.tasks
            if sum(name in some and line.share[-1] >= first for name, line in task.past.items()) >= FEWEST_RUNS
        ]

    def _scales(self, places: np.ndarray) -> np.ndarray:
        """Log sds of the effects, learnt from some metrics and runs, once for all runs that stand about there."""
        key = float(places[0])
        if key not in self.learnt:
            past = self.group.past()
            tasks, most = self._tasks(past, places), self.settings.learning_metrics
            some = [tasks[i] for i in np.unique(np.linspace(0, len(tasks) - 1, most).round().astype(int))]
            family = self.history["family"].reindex(past).to_numpy()
            few = [past[i] for i in spread_over(family, self.settings.learning_runs)]
            faced = self._faced(None, few, some, places)
            self.learnt[key] = whole.prior_means() if faced is None else whole.fitted(faced.sketch, faced.runs, places)
        return self.learnt[key]

    def _alike(self, run: str, past: list[str]) -> list[str]:
        """The finished runs to learn from: those with the nearest plans, one of each family in turn."""
        numbers = (MOST_NUMBERS / max(len(self.group.tasks), 1)) ** (1 / 3) / self.settings.places
        most = min(self.settings.conditioning_runs, int(numbers))
        if len(past) <= most:
            return past
        runs = planned(self.history.loc[past], self.seen.loc[[run]], damped=False)
        apart = np.abs(runs.size - runs.size[-1]) + np.linalg.norm(runs.rest - runs.rest[-1], axis=1)
        return [past[i] for i in in_turn(np.argsort(apart[:-1], kind="stable"), runs.family, most)]

    def _faced(self, run: str | None, past: list[str], tasks: list[Task], places: np.ndarray) -> Faced | None:
        """Finished runs beside the one in question, or alone; None where they are of fewer than two families."""
        if not tasks or len(set(self.history["family"].reindex(past))) < FEWEST_FAMILIES:
            return None
        m, r, q = len(tasks), len(past) + (run is not None), len(places)
        sketch = whole.nothing(m, r, q)
        centre, unit = np.zeros(m), np.zeros(m)
        weights: dict[bytes, np.ndarray] = {}
        for j, task in enumerate(tasks):
            lines = [task.past.get(name) for name in past]
            finished = [line for line in lines if line is not None]
            values = np.concatenate([line.at(np.exp(places)) for line in finished]) if finished else np.zeros(1)
            jitter, centre[j] = scatter(finished), values.mean()
            unit[j] = max(np.sqrt(values.var() + jitter), smallest_spread(values, bounded=task.scale.bounded))
            sketch.scatter[j] = jitter / unit[j] ** 2
            for i, line in enumerate(lines if run is None else [*lines, task.seen[run]]):
                # A point at the first place counts, whatever rounding says.
                first = 0 if line is None else int(np.searchsorted(line.share, np.exp(places[0]) * (1 - 1e-9)))
                if line is not None and first < len(line.share):
                    share = line.share[first:]
                    if share.tobytes() not in weights:
                        weights[share.tobytes()] = whole.weights(np.log(share), places)
                    value = (line.latent[first:] - centre[j]) / unit[j]
                    whole.put(sketch, j, i, weights[share.tobytes()], value)
                    sketch.stderr[j, i] = np.mean(np.nan_to_num(line.stderr[first:]) ** 2) / unit[j] ** 2
                    gaps = max(np.log(share[-1] / share[0]) / (places[1] - places[0]), 1.0)
                    sketch.dense[j, i] = max(len(share) / (PER_GAP * gaps), 1.0)
        asked = self.history.loc[past[-1:]] if run is None else self.seen.loc[[run]]
        runs = planned(self.history.loc[past], asked, damped=not self.group.smooth)
        if run is None:
            runs = Runs(*(part[:-1] for part in runs))
        return Faced([task.metric for task in tasks], sketch, runs, centre, unit)


def _at(share: float, places: np.ndarray) -> np.ndarray:
    """What makes a measurement (q + 1,) at a share out of the values at places, and the noise."""
    return np.r_[whole.weights(np.log([max(share, float(np.exp(places[0])))]), places)[0], 1.0]


FORECASTER = PooledCurves()
