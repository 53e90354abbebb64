"""Forecasts by regression over finished runs, from features of how they looked when as much of them was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn import features
from predictdyn.covariates import encoder_for
from predictdyn.curves import Curves
from predictdyn.fitting.crossfit import Answers, Examples, Make, crossfit, errors
from predictdyn.forecast import DRAWS, Forecast, seed_for
from predictdyn.forecasters._columns import units
from predictdyn.forecasters._core import ends
from predictdyn.forecasters._errors import smallest_spread
from predictdyn.forecasters._fallback import answered
from predictdyn.forecasters._history import read_history, write_history
from predictdyn.forecasters._places import about, alike, share_of
from predictdyn.lines import Asked, Line, Task, tasks
from predictdyn.scales import Scale

FEWEST_RUNS = 20
FEWEST_FAMILIES = 4
APART = 1.25  # factor between the origins that are learnt from together
MOST_ROWS = 1500  # to learn from: many runs need fewer origins
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
    origins: int = 1
    folds: int = 5

    def fit(self, history: Curves, *, seed: int) -> RegressedFitted:
        """Keep the history; what it teaches depends on how much of a run is seen."""
        return RegressedFitted(self, history, seed)

    def load(self, folder: Path) -> RegressedFitted:
        """Read back a saved history."""
        return RegressedFitted(self, read_history(folder), int((folder / "seed.txt").read_text(encoding="utf-8")))


# Features (n, p) of the finished runs, or of those in question, as they look at a share of the run.
Described = Callable[[float], pd.DataFrame]


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
        encoder = encoder_for(self.history.runs) if len(self.history.runs) else None
        described = partial(features.table, scales=features.scales_for(self.history, seen), encoder=encoder)
        past, now = cache(partial(described, self.history)), cache(partial(described, seen))
        for task in tasks(self.history, seen, target):
            scales[task.metric] = task.scale
            last = {run: float(line.share[-1]) for run, line in task.seen.items() if len(line.share)}
            for origin, group in alike(task.asked, last).items():
                self._group(task, group, origin, past, now, latent, status, seed)
        return answered(self.history, seen, target, latent, scales, status, seed=seed)

    def save(self, folder: Path) -> None:
        """The history as parquet and JSON."""
        write_history(self.history, folder)
        (folder / "seed.txt").write_text(f"{self.seed}\n", encoding="utf-8")

    def _group(
        self, task: Task, group: Sequence[Asked], origin: float, past: Described, now: Described, latent: np.ndarray,
        status: np.ndarray, seed: int,
    ) -> None:  # fmt: skip
        """Latent draws and statuses of runs of which about the same share was seen."""
        # Each row is answered at the places about it alone: what else is asked moves nothing.
        places = {place for asked in group for share in asked.share for place, _ in about(share, origin)}
        answers = {place: self._answers(task, group, origin, past, now, share_of(place)) for place in sorted(places)}
        known = np.concatenate([np.zeros(0), *(line.latent for line in task.past.values())])
        for i, asked in enumerate(group):
            rng = np.random.default_rng(seed_for(seed, asked.run, task.metric))
            lots, tails, jitter = rng.random(DRAWS), rng.random(DRAWS), rng.standard_normal(DRAWS)
            line = task.seen[asked.run]
            floor = smallest_spread(np.concatenate([known, line.latent]), bounded=task.scale.bounded)
            for row, share in zip(asked.rows, asked.share, strict=True):
                beside = [(weight, answers[place]) for place, weight in about(share, origin)]
                parts = [w * (one.point[i] + one.size[i] * errors(one, lots, tails)) for w, one in beside if one]
                if len(parts) == len(beside):
                    latent[row] = line.latent[-1] + sum(parts) + floor * jitter
                    status[row] = "ok"

    def _answers(
        self, task: Task, group: Sequence[Asked], origin: float, past: Described, now: Described, end: float
    ) -> Answers | None:
        """The change of each run of a group from its last value to a share of the run; None where too few got there."""
        lines = _lines(task, origin, end)
        if len(lines) < FEWEST_RUNS or len({line.family for line in lines}) < FEWEST_FAMILIES:
            return None
        columns = columns_for(past(origin), task.metric, own=self.settings.own)
        rows = _examples(lines, past(origin), columns, origin, end)
        seen = now(origin).reindex(index=[asked.run for asked in group], columns=columns).to_numpy()
        at = np.concatenate([seen, ends([task.seen[asked.run] for asked in group], end)], axis=1)
        made = units(rows.x)
        more = [
            _examples(_lines(task, other, end), past(other), columns, other, end)
            for other in _others(origin, end, min(self.settings.origins, max(MOST_ROWS // len(lines), 1)))
        ]
        return crossfit(
            self.settings.make, rows._replace(x=made.apply(rows.x)), made.apply(at),
            (rough(rows.x, columns), rough(at, columns)), more=[one._replace(x=made.apply(one.x)) for one in more],
            folds=self.settings.folds, seed=seed_for(self.seed, task.metric),
        )  # fmt: skip


def _lines(task: Task, origin: float, end: float) -> list[Line]:
    """The finished runs that began before a share of the run and got to another one."""
    return [line for line in task.past.values() if len(line.upto(origin).share) and line.reaches(end)]


def _examples(
    lines: Sequence[Line], table: pd.DataFrame, columns: Sequence[str], origin: float, end: float
) -> Examples:
    """Features and what the curve's posterior says at a share of the run, and the change from there to another."""
    begun = [line.upto(origin) for line in lines]
    change = [float(line.at(np.array(end))) - b.latent[-1] for line, b in zip(lines, begun, strict=True)]
    x = table.loc[[line.run for line in lines], list(columns)].to_numpy()
    family = np.array([line.family for line in lines], dtype=object)
    return Examples(np.concatenate([x, ends(begun, end)], axis=1), np.array(change), family)


def _others(origin: float, end: float, count: int) -> list[float]:
    """The shares next to an origin, on both sides in turn and before the end: with the origin ``count`` at most."""
    powers = sorted(range(-(count // 2), (count - 1) // 2 + 1), key=abs)
    return [share for share in (origin * APART**power for power in powers if power) if share < end / APART]


def columns_for(table: pd.DataFrame, metric: str, *, own: bool) -> list[str]:
    """Columns that a metric is regressed on."""
    found = []
    for column in map(str, table.columns):
        of, _, what = column.rpartition(":")
        if of in ("plan", "phase") or of == metric or metric in of.split("/") or (not own and what in OF_OTHERS):
            found.append(column)
    return found


def rough(x: np.ndarray, columns: Sequence[str]) -> np.ndarray:
    """What the size of an error may depend on (n, 3): noise of the curve, what its posterior expects, how surely.

    Of rows x (n, p + 2) that end with what `ends` says.
    """
    at = [i for i, column in enumerate(columns) if column.endswith(":noise")]
    noise, (expected, sd) = x[:, at[0]] if at else np.zeros(len(x)), x[:, -2:].T
    return np.log(np.nan_to_num(np.stack([noise, np.abs(expected), sd], axis=1), nan=0.0) + 1e-6)
