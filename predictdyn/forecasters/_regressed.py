"""Forecasts by regression over finished runs, from features of how they looked when as much of them was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn import features
from predictdyn.covariates import encoder_for
from predictdyn.curves import Curves
from predictdyn.fitting.crossfit import Answers, Make, crossfit, errors
from predictdyn.forecast import DRAWS, Forecast, seed_for
from predictdyn.forecasters._columns import units
from predictdyn.forecasters._core import ends
from predictdyn.forecasters._errors import smallest_spread
from predictdyn.forecasters._fallback import answered
from predictdyn.forecasters._history import read_history, write_history
from predictdyn.lines import Asked, Task, clock, share_at, tasks
from predictdyn.scales import Scale

FEWEST_RUNS = 20
FEWEST_FAMILIES = 4
FINENESS = 20  # origins are alike when the logarithms of their shares, times this, round to the same number
PLACES = 24  # shares, even in `lines.clock`, at which regressions stand; targets lie between two of them
OF_OTHERS = ("level", "slope")  # features of all other curves of a run


@dataclass(frozen=True)
class Regressed:
    """A regression of what is left of the change of a metric, on the features of its run and on the curve's posterior.

    Rows are the finished runs, as they looked at the share of the run at which the target's run stands. Columns are the
    features of the metric and of pairs with it, level and slope of all other metrics, the plan, and what the exact
    posterior of the curve alone says of its end. ``own`` leaves the other metrics out. Answers and their
    distribution are those of `fitting.crossfit`.
    """

    name: str
    make: Make = field(repr=False)  # the name says which
    own: bool = False
    folds: int = 5

    def fit(self, history: Curves, *, seed: int) -> RegressedFitted:
        """Keep the history; what it teaches depends on how much of a run is seen."""
        return RegressedFitted(self, history, seed)

    def load(self, folder: Path) -> RegressedFitted:
        """Read back a saved history."""
        return RegressedFitted(self, read_history(folder), int((folder / "seed.txt").read_text()))


class _Tables(NamedTuple):
    """Features of the finished runs and of those in question, as they look at one share of the run."""

    past: pd.DataFrame
    seen: pd.DataFrame


@dataclass(frozen=True)
class RegressedFitted:
    """The settings and the finished runs."""

    settings: Regressed
    history: Curves
    seed: int

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Draws of the regression; the last value where too few runs have ended or the run's curve is too short."""
        latent = np.zeros((len(target), DRAWS))
        status = np.full(len(target), f"fewer than {FEWEST_RUNS} finished runs: last value", dtype=object)
        scales: dict[str, Scale] = {}
        of_features = features.scales_for(self.history, seen)
        encoder = encoder_for(self.history.runs) if len(self.history.runs) else None
        tables: dict[float, _Tables] = {}
        for task in tasks(self.history, seen, target):
            scales[task.metric] = task.scale
            for origin, group in _alike(task).items():
                if origin not in tables:
                    described = partial(features.table, share=origin, scales=of_features, encoder=encoder)
                    tables[origin] = _Tables(described(self.history), described(seen))
                self._group(task, group, origin, tables[origin], latent, status, seed)
        return answered(self.history, seen, target, latent, scales, status, seed=seed)

    def save(self, folder: Path) -> None:
        """The history as parquet and JSON."""
        write_history(self.history, folder)
        (folder / "seed.txt").write_text(f"{self.seed}\n")

    def _group(
        self, task: Task, group: Sequence[Asked], origin: float, tables: _Tables, latent: np.ndarray,
        status: np.ndarray, seed: int,
    ) -> None:  # fmt: skip
        """Latent draws and statuses of runs of which about the same share was seen."""
        # Each row is answered at the places about it alone: what else is asked moves nothing.
        places = {place for asked in group for share in asked.share for place, _ in _about(share, origin)}
        answers = {place: self._answers(task, group, origin, tables, _share(place)) for place in sorted(places)}
        known = np.concatenate([np.zeros(0), *(line.latent for line in task.past.values())])
        for i, asked in enumerate(group):
            rng = np.random.default_rng(seed_for(seed, asked.run, task.metric))
            lots, tails, jitter = rng.random(DRAWS), rng.random(DRAWS), rng.standard_normal(DRAWS)
            line = task.seen[asked.run]
            floor = smallest_spread(np.concatenate([known, line.latent]), bounded=task.scale.bounded)
            for row, share in zip(asked.rows, asked.share, strict=True):
                about = [(weight, answers[place]) for place, weight in _about(share, origin)]
                parts = [w * (one.point[i] + one.size[i] * errors(one, lots, tails)) for w, one in about if one]
                if len(parts) == len(about):
                    latent[row] = line.latent[-1] + sum(parts) + floor * jitter
                    status[row] = "ok"

    def _answers(
        self, task: Task, group: Sequence[Asked], origin: float, tables: _Tables, end: float
    ) -> Answers | None:
        """The change of each run of a group from its last value to a share of the run; None where too few got there."""
        begun = {run: line.upto(origin) for run, line in task.past.items()}
        lines = {run: line for run, line in task.past.items() if len(begun[run].share) and line.reaches(end)}
        family = np.array([line.family for line in lines.values()])
        if len(lines) < FEWEST_RUNS or len(set(family)) < FEWEST_FAMILIES:
            return None
        change = np.array([float(line.at(np.array([end]))[0]) - begun[run].latent[-1] for run, line in lines.items()])
        columns = columns_for(tables.past, task.metric, own=self.settings.own)
        core = ends([begun[run] for run in lines], end), ends([task.seen[asked.run] for asked in group], end)
        past = tables.past.loc[list(lines), columns].to_numpy()
        seen = tables.seen.reindex(index=[asked.run for asked in group], columns=columns).to_numpy()
        x = np.concatenate([past, core[0]], axis=1)
        made = units(x)
        return crossfit(
            self.settings.make, made.apply(x), change, family, made.apply(np.concatenate([seen, core[1]], axis=1)),
            (_rough(past, columns, core[0]), _rough(seen, columns, core[1])), folds=self.settings.folds,
            seed=seed_for(self.seed, task.metric),
        )  # fmt: skip


def _alike(task: Task) -> dict[float, list[Asked]]:
    """Runs by the share of the run up to which their curve is seen; those of which nothing is are left out."""
    groups: dict[float, list[Asked]] = {}
    for asked in task.asked:
        line = task.seen[asked.run]
        if len(line.share) and line.share[-1] > 0:
            origin = float(np.exp(np.ceil(FINENESS * np.log(line.share[-1])) / FINENESS))
            groups.setdefault(min(origin, 1.0), []).append(asked)
    return groups


def columns_for(table: pd.DataFrame, metric: str, *, own: bool) -> list[str]:
    """Columns that a metric is regressed on."""
    found = []
    for column in map(str, table.columns):
        of, _, what = column.rpartition(":")
        if of in ("plan", "phase") or of == metric or metric in of.split("/") or (not own and what in OF_OTHERS):
            found.append(column)
    return found


def _rough(x: np.ndarray, columns: Sequence[str], core: np.ndarray) -> np.ndarray:
    """What the size of an error may depend on (n, 3): noise of the curve, what its posterior expects, how surely."""
    at = [i for i, column in enumerate(columns) if column.endswith(":noise")]
    noise = x[:, at[0]] if at else np.zeros(len(x))
    return np.log(np.nan_to_num(np.stack([noise, np.abs(core[:, 0]), core[:, 1]], axis=1), nan=0.0) + 1e-6)


def _share(place: int) -> float:
    return float(share_at(np.array(place / PLACES)))


def _about(share: float, origin: float) -> list[tuple[int, float]]:
    """The places before and after a share, with their weights: after the origin, the last one the end of the run."""
    first = min(int(np.floor(clock(np.array(origin)) * PLACES)) + 1, PLACES)
    at = float(np.clip(clock(np.array(share)) * PLACES, first, PLACES))
    low = int(np.floor(at + 1e-9))
    part = max(at - low, 0.0)
    return [(low, 1.0)] if part < 1e-6 else [(low, 1 - part), (low + 1, part)]
