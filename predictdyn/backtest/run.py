"""Run a backtest: every forecaster on every fold, in chunks of work that can be resumed and spread over a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn import scores
from predictdyn.backtest.folder import digest
from predictdyn.backtest.folds import Fold, Group, folds, groups
from predictdyn.backtest.modes import MODES, last_rows, modes_of, upper_share
from predictdyn.backtest.pieces import Done
from predictdyn.backtest.plan import Plan
from predictdyn.backtest.spread import address, code, spread
from predictdyn.curves import Curves
from predictdyn.forecast import LEVELS, Model, Prediction, seed_for
from predictdyn.forecasters import forecaster
from predictdyn.forecasters._fitted import answer_to
from predictdyn.problem import History, Problem
from predictdyn.scales import HUGE
from predictdyn.secrets import shown

BLOCK = 64  # rows whose draws are sorted and scored together: they fit a cache
QUANTILES = [f"q{level:g}" for level in LEVELS]
NUMBERS = ["mean", "sd", *QUANTILES, "crps", "log_score", "pit"]
COLUMNS = ["forecaster", "fold", "cutoff", "run", "metric", "kind", "step", "status", "truth", *NUMBERS, *MODES]


class Work(NamedTuple):
    """One piece: some forecasters on all cutoffs of one group. ``paths`` asks one of them for the way there as well."""

    group: Group
    forecasters: tuple[Model, ...]
    paths: pd.DataFrame | None  # run, metric, step, cutoff
    shown: str = ""  # the name of the one


def run(
    curves: Curves,
    plan: Plan,
    forecasters: Sequence[Model],
    baselines: Sequence[str],
    *,
    paths: pd.DataFrame | None = None,
    primary_forecaster: str | None = None,
    workers: int = 1,
    resume: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> Done:
    """Forecast every fold of the plan with every forecaster.

    ``paths`` (run, metric, step, cutoff) are extra targets for figures, given to ``primary_forecaster`` alone.
    Work is cut into pieces (group x forecaster, all baselines together) that joblib spreads over ``workers`` processes,
    or over a cluster inside ``joblib.parallel_config(backend="dask")``. Finished pieces are kept under ``resume`` by a
    hash of all that they depend on, and are not done again; a damaged one is. A forecaster that raises gets the draws
    of the last value and a status, but an OSError is a fault of the machine, and is raised. The rows do not depend on
    the number of workers, on which other forecasters run, nor on what was kept.
    """
    held_out = groups(curves, plan)
    pieces = []
    for group in held_out:
        together = tuple(one for one in forecasters if one.name in baselines)
        alone = [(one,) for one in forecasters if one.name not in baselines]
        for some in ([together] if together else []) + alone:
            mine = paths is not None and any(one.name == primary_forecaster for one in some)
            asked = paths[paths["run"].isin(group.test)] if paths is not None and mine else None
            pieces.append(Work(group, some, asked, str(primary_forecaster) if mine else ""))
    if not pieces:
        raise ValueError("nothing to backtest: no forecaster was named")
    data = digest(curves) + code()
    done = spread(
        _worked, [(curves, plan, piece) for piece in pieces], [_name(plan, piece, data) for piece in pieces],
        workers=workers, resume=resume, progress=progress,
    )  # fmt: skip
    seconds: dict[str, float] = {}
    for one in done:
        for name, spent in one.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + spent
    rows = pd.concat([one.rows for one in done if len(one.rows)] or [done[0].rows], ignore_index=True)
    rank = {one.name: i for i, one in enumerate(forecasters)}
    order = rows["forecaster"].map(rank).argsort(kind="stable")
    ways = [one.paths for one in done if len(one.paths)] or [done[0].paths]
    return Done(rows.iloc[order].reset_index(drop=True), pd.concat(ways, ignore_index=True), seconds)


def rows_of(
    forecast: Prediction, truth: np.ndarray, curves: Curves, *, forecaster: str, fold: str, cutoff: float
) -> pd.DataFrame:
    """A forecast and what happened (NaN: not known) as rows of ``forecasts.parquet``."""
    target = forecast.target
    place, names = pd.factorize(target["metric"])
    metrics = [curves.metrics[name] for name in names]
    ends, upper = last_rows(target), np.full(len(truth), np.nan)
    found = np.zeros((len(truth), len(NUMBERS)))
    for first in range(0, len(truth), BLOCK):
        block = slice(first, first + BLOCK)
        # A fallback draws both ways from the last value: its two heaps are no outcomes.
        ordered, last = np.sort(forecast.draws[block], axis=1), ends.last[block] & (forecast.status[block] == "ok")
        found[block] = numbers_of(truth[block], ordered)
        upper[block][last] = upper_share(ordered[last], [metrics[i] for i in place[block][last]])
    kinds = pd.Series([metric.kind for metric in metrics], dtype="str").array
    columns = {
        "forecaster": forecaster,
        "fold": fold,
        "cutoff": cutoff,
        "run": target["run"].array,
        "metric": target["metric"].array,
        "kind": kinds.take(place),
        "step": target["step"].array,
        "status": forecast.status,
        "truth": truth,
        **dict(zip(NUMBERS, found.T, strict=True)),
        **dict(zip(MODES, modes_of(ends, upper, forecast.draws).T, strict=True)),
    }
    # Made at once: a table that grows by a column at a time costs more than all its scores.
    return pd.DataFrame(columns, index=pd.RangeIndex(len(truth)))


def numbers_of(truth: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """The columns `NUMBERS` of rows with a truth (n,), NaN where it is not known, and sorted draws (n, s)."""
    found = np.full((len(truth), len(NUMBERS)), np.nan)
    found[:, 2 : 2 + len(LEVELS)] = scores.quantiles(ordered, LEVELS)
    # Squares of numbers beyond 1e150 are no numbers.
    size = np.maximum(np.abs(ordered[:, 0]), np.abs(ordered[:, -1]))
    unit = np.where(size > HUGE, size, 1.0)
    scaled = ordered / unit[:, None] if (unit != 1.0).any() else ordered
    found[:, 0], found[:, 1] = unit * scaled.mean(axis=1), unit * scaled.std(axis=1, ddof=1)
    known = np.isfinite(truth)
    if known.any():
        got = scores.ranked((truth / unit)[known], scaled if known.all() else scaled[known])
        found[known, -3:] = np.stack([got.crps * unit[known], got.log_score + np.log(unit[known]), got.pit], axis=1)
    return found


def _worked(curves: Curves, plan: Plan, work: Work) -> Done:
    rows, paths = [], []
    seconds: dict[str, float] = {}
    history = History(work.group.history)
    seed = seed_for(plan.seed, work.group.name)
    for fold in folds(curves, work.group, plan):
        asked = _with_paths(work.paths, fold)
        n = len(fold.target)
        with_way = Problem(history, fold.observed, asked, seed, seed)
        problem = with_way.rows(np.arange(n))
        for one in work.forecasters:
            began = time.perf_counter()
            answer = _answer(one, with_way if one.name == work.shown else problem)
            final = np.arange(len(answer.target)) < n
            table = _rows(answer if final.all() else answer.rows(final), fold.truth, curves, one.name, fold)
            if np.isnan(fold.truth).any():
                table.loc[table["truth"].isna(), "status"] = "censored"
            rows.append(table)
            if not final.all():
                way = answer.rows(~final)
                paths.append(_rows(way, np.full(len(way.target), np.nan), curves, one.name, fold))
            seconds[one.name] = seconds.get(one.name, 0.0) + time.perf_counter() - began
    nothing = pd.DataFrame(columns=COLUMNS)
    some, ways = (pd.concat([table for table in tables if len(table)] or [nothing]) for tables in (rows, paths))
    return Done(some, ways, seconds)


def _with_paths(paths: pd.DataFrame | None, fold: Fold) -> pd.DataFrame:
    """The targets of a fold, and after them the steps on the way there that figures show."""
    target = fold.target.reset_index(drop=True)
    if paths is None:
        return target
    mine = paths[(paths["cutoff"] == fold.cutoff) | np.isnan(fold.cutoff)]
    return pd.concat([target, mine[["run", "metric", "step"]]], ignore_index=True) if len(mine) else target


def _rows(forecast: Prediction, truth: np.ndarray, curves: Curves, name: str, fold: Fold) -> pd.DataFrame:
    return rows_of(forecast, truth, curves, forecaster=name, fold=fold.group, cutoff=fold.cutoff)


def _answer(one: Model, problem: Problem) -> Prediction:
    """A forecast; that of the last value and why where the model raises: one must not stop a backtest of twelve."""
    try:
        return answer_to(problem, one)
    except OSError:
        raise
    except Exception as error:
        plain = answer_to(problem, forecaster("last_value"))
        return Prediction(plain.target, plain.draws, np.full(len(plain.target), _why(error), dtype=object))


def _why(error: Exception) -> str:
    """The status of rows that a forecaster had no answer for, which pages show."""
    return str(shown(f"forecast failed: {type(error).__name__}: {error}"))[:200]


def _name(plan: Plan, work: Work, data: str) -> str:
    """The content address of a piece: data and code, plan, group, the settings of its forecasters."""
    asked = "" if work.paths is None else work.paths.to_csv(index=False)
    words = [data, repr(plan), work.group.name, repr(work.forecasters), asked, work.shown]
    return address(*words)
