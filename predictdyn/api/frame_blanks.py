"""Blank cells of a data frame: not logged at that step, or NaN where a metric ends while its run goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.loaders.engine.facts import log_metric, looks_like_outcome
from predictdyn.loaders.engine.not_finite import broke
from predictdyn.naming import some

FEW = 3  # values that say how often a metric is logged


class NanEnds(NamedTuple):
    """What blank cells say: ``events`` (run, step, what), the last step of each run that went on as NaN, and lines."""

    events: pd.DataFrame
    last: Mapping[str, float]
    lines: list[str]


def ends_in_nan(points: pd.DataFrame) -> NanEnds:
    """Metrics of runs that end in NaN, by points (run, step, metric, value), a row a cell, NaN where it is blank.

    A data frame has one sign for two things: a value that was not logged, and one that was no number. A blank cell with
    a value behind it was not logged. Behind the last value of a metric it was NaN if the metric is due there: in all
    earlier rows with the same other metrics it had a value. Others count as long as they have values themselves. So a
    metric that is logged every tenth row, or not in a last row of results, does not end in NaN. Beside metrics that go
    on, two such rows are needed; and a signal beside outcomes that go on does not end in NaN. A metric that is blank
    for more than twice its longest gap is told of.

    >>> points = pd.DataFrame({"run": "a", "metric": "loss", "step": [1, 2, 3, 4], "value": [2, 1, np.nan, np.nan]})
    >>> ends = ends_in_nan(points)
    >>> ends.events.to_numpy().tolist(), ends.last
    ([['a', 3.0, 'loss is NaN']], {'a': 4.0})
    """
    points = points[points["step"].notna()]
    blank = points["value"].isna()
    key = ["run", "metric"]
    last = points[~blank].groupby(key, sort=False)["step"].max()
    open_ends = points[blank].groupby(key, sort=False)["step"].max().reindex(last.index)
    ending = last.index[(open_ends > last).to_numpy()]
    events: list[tuple[str, float, str]] = []
    ends: dict[str, float] = {}
    count: Counter[str] = Counter()
    sparse: list[tuple[str, str, float, float]] = []
    runs = ending.get_level_values("run")
    for run, cells in points[points["run"].isin(runs)].groupby("run", sort=True):
        step, code = np.unique(cells["step"].to_numpy(float), return_inverse=True)
        names = cells["metric"].unique()
        column = pd.Index(names).get_indexer(cells["metric"])
        there, empty = np.zeros((2, len(step), len(names)), dtype=bool)
        full = cells["value"].notna().to_numpy()
        outcome = np.array([log_metric(name).kind != "signal" or looks_like_outcome(name) for name in names])
        there[code[full], column[full]] = True
        empty[code[~full], column[~full]] = True
        for name in ending[runs == run].get_level_values("metric"):
            own = int(np.flatnonzero(names == name)[0])
            due = _due(there, empty[:, own], own)
            # Beside outcomes that go on, a signal belonged to a phase that is over.
            if not outcome[own] and (there[step > step[there[:, own]][-1]].any(axis=0) & outcome).any():
                due = np.zeros_like(due)
            at = np.flatnonzero(there[:, own])
            if due.any():
                events.append((str(run), float(step[due][0]), broke(str(name), np.nan)))
                count[str(name)] += int(due.sum())
                ends[str(run)] = max(ends.get(str(run), 0.0), float(step[due][-1]))
            elif len(at) >= FEW and len(step) - 1 - at[-1] > 2 * np.diff(at).max():
                sparse.append((str(run), str(name), float(step[at[-1]]), float(step[-1])))
    lines = [*_told(count, list(ends)), *_told_sparse(sparse)]
    return NanEnds(pd.DataFrame(events, columns=["run", "step", "what"]), ends, lines)


def _due(there: np.ndarray, empty: np.ndarray, own: int) -> np.ndarray:
    """The rows (n,) behind the last value of a metric in which it is blank, though such rows always had a value.

    ``there`` (n, metrics) says which metrics have a value, ``empty`` (n,) where a cell of this one is blank.
    """
    row = np.arange(len(there))
    first, last = np.flatnonzero(there[:, own])[[0, -1]]
    living = there[last + 1 :].any(axis=0)
    kinds, kind = np.unique(there[:, living], axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    before = (row >= first) & (row <= last)
    logged = np.bincount(kind[before & there[:, own]], minlength=len(kinds))
    seen = np.bincount(kind[before], minlength=len(kinds))
    # One row beside other metrics may be chance: the values before the first step, or a last row still to be filled.
    least = 2 if living.any() else 1
    always = (logged == seen) & (seen >= least)
    due: np.ndarray = (row > last) & empty & always[kind]
    return due if due.sum() >= least else np.zeros_like(due)


def _told(count: Mapping[str, int], runs: list[str]) -> list[str]:
    if not count:
        return []
    return [
        f"{sum(count.values()):,} value(s) of {some(sorted(count), 6)} NaN at the end of a run, kept as events, in "
        f"{some(runs)}; these runs are planned to go on to their last row at least; if nothing was logged there, take "
        f"such rows out: frame.dropna(subset=[{next(iter(count))!r}])"
    ]


def _told_sparse(sparse: list[tuple[str, str, float, float]]) -> list[str]:
    if not sparse:
        return []
    run, name, at, end = sparse[0]
    return [
        f"{len(sparse)} curve(s) are blank long before the last row of their run, and count as not logged there; first "
        f"run {run!r}, metric {name!r}, from step {at:g} to {end:g}; if the values were no numbers, write inf for them"
    ]
