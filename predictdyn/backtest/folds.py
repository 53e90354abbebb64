"""Folds: the only place that hides the future."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.backtest.plan import Plan, matching_runs, target_metrics
from predictdyn.curves import ENDED, Curves
from predictdyn.naming import BY_RUNS


@dataclass(frozen=True)
class Group:
    """Runs held out together, and all that may be learnt from while they are.

    In ``curves`` the family of a run is what it is held out by. The history is cut out where it is needed, so that a
    group sent to another process takes no second copy along.
    """

    name: str
    test: list[str]
    curves: Curves
    plan: Plan

    @cached_property
    def history(self) -> Curves:
        """Runs that may be learnt from: no run held out, none over the compute budget; under a split, what is seen."""
        if self.plan.split == "seen":
            return self.curves.where(self.curves.points["seen"].to_numpy())
        return self.curves.select(runs=self._others())

    def teaches(self) -> bool:
        """Whether the history holds anything: without one every forecast rests on the run's own beginning alone."""
        if self.plan.split == "seen":
            return bool(self.curves.points["seen"].any())
        return len(self._others()) > 0

    def _others(self) -> pd.Index:
        keep = ~self.curves.runs.index.isin(self.test)
        if self.plan.budget is not None:
            keep &= pd.to_numeric(self.curves.runs["flops"], errors="coerce") <= self.plan.budget
        return self.curves.runs.index[keep]


class Fold(NamedTuple):
    """One replay: what was visible, what is asked, what then happened (truth is NaN where the log does not say)."""

    group: str
    cutoff: float  # NaN under a fixed split
    observed: Curves
    target: pd.DataFrame
    truth: np.ndarray


def groups(curves: Curves, plan: Plan) -> list[Group]:
    """Who is held out together. Raises ValueError when the plan does not fit the data, or leaves no history.

    Every value of the hold-out column is a group, and the family of its runs as forecasters see them; more than
    ``plan.max_folds`` of them are dealt into that many by a hash of their names, so that adding runs moves few others.
    """
    found = _groups(curves, plan)
    empty = [group for group in found if not group.teaches()]
    if empty:
        raise ValueError(_no_history(curves, plan, empty, len(found)))
    return found


def _groups(curves: Curves, plan: Plan) -> list[Group]:
    if plan.split == "seen":
        if "seen" not in curves.points:
            raise ValueError("split seen needs a column seen (0/1) in points; found none")
        return [Group("seen", list(curves.runs.index), curves, plan)]
    if plan.budget is not None and "flops" not in curves.runs:
        raise ValueError("a compute budget needs a column flops in runs; found none")
    if plan.test:
        return [Group("test", matching_runs(curves, plan.test), curves, plan)]
    if plan.hold_out != "run" and plan.hold_out not in curves.runs:
        raise ValueError(
            f"hold-out column {plan.hold_out!r} is not in runs; there are run, {', '.join(curves.runs.columns)}"
        )
    column = curves.runs.reset_index().set_index("run", drop=False)[plan.hold_out].astype("str")
    if plan.hold_out != "family":
        # Who replays its history, or learns its errors from runs left out, must leave out what is left out here.
        curves = Curves(curves.points, curves.runs.assign(family=column), curves.metrics, curves.events)
    names = sorted(column.unique())
    if len(names) > plan.max_folds:
        order = sorted(names, key=lambda name: hashlib.sha256(f"{plan.seed}:{name}".encode()).digest())
        dealt = [sorted(order[i :: plan.max_folds]) for i in range(plan.max_folds)]
        named = [(f"fold{i + 1}", part) for i, part in enumerate(dealt)]
    else:
        named = [(name, [name]) for name in names]
    return [Group(label, list(column.index[column.isin(values)]), curves, plan) for label, values in named]


def _no_history(curves: Curves, plan: Plan, empty: list[Group], total: int) -> str:
    """Why some groups have nothing to learn from, and what to do about it."""
    runs = len(curves.runs)
    first = f"nothing is left to learn from in {len(empty)} of {total} fold(s), so a backtest would say nothing"
    if plan.split == "seen":
        return f"{first}: no point is marked as seen; set the column seen of points to 1 where a forecast may look"
    if runs == 1:
        return f"{first}: there is one run only; add finished runs, or forecast it with cutoff=F"
    if plan.budget is not None:
        return (
            f"{first}: every run within the budget of {plan.budget:g} flops is held out there (first: "
            f"{empty[0].name!r}); raise budget=, or name with test= only runs beyond it"
        )
    if plan.test:
        return f"{first}: test= holds out all {runs} runs; let it match some of them only"
    value = curves.runs[plan.hold_out].iloc[0] if plan.hold_out in curves.runs else empty[0].name
    return (
        f"{first}: all {runs} runs have the {plan.hold_out} {str(value)!r}, and are held out together; "
        f"{f'name families {BY_RUNS}; or ' if plan.hold_out == 'family' else ''}"
        "type hold_out='run' to hold out one run at a time"
    )


def folds(curves: Curves, group: Group, plan: Plan) -> Iterator[Fold]:
    """The replays of one group: one per cutoff, or one under a fixed split."""
    whole = group.curves.select(runs=group.test)
    names = target_metrics(curves, plan.metrics)
    if plan.split == "seen":
        visible = whole.points["seen"].to_numpy()
        seen = whole.where(visible)
        hidden = whole.points[~visible & whole.points["metric"].isin(names).to_numpy()]
        if plan.targets == "final":
            hidden = hidden.groupby(["run", "metric"], sort=False).tail(1)
        yield _fold(group.name, np.nan, seen, hidden)
        return
    for cutoff in plan.cutoffs:
        seen = whole.truncate(cutoff)
        limit = whole.limit(cutoff)
        points = whole.points[whole.points["metric"].isin(names)]
        if plan.targets == "final":
            points = _final(points, whole)
        hidden = points[points["step"].to_numpy(dtype=float) > points["run"].map(limit).to_numpy(dtype=float)]
        fold = _fold(group.name, cutoff, seen, hidden)
        _check(fold, group, limit)
        yield fold


def _final(points: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """The last point of each curve; where the run stopped before its planned end, that end with a blank truth."""
    last = points.groupby(["run", "metric"], sort=False).tail(1).copy()
    planned = last["run"].map(curves.runs["last_step"])
    stopped = last["step"].to_numpy(dtype=float) < ENDED * planned.to_numpy(dtype=float)
    last.loc[stopped, "value"] = np.nan
    last["step"] = last["step"].where(~stopped, planned)
    return last


def _fold(group: str, cutoff: float, seen: Curves, hidden: pd.DataFrame) -> Fold:
    target = hidden[["run", "metric", "step"]].reset_index(drop=True)
    return Fold(group, cutoff, seen, target, hidden["value"].to_numpy(dtype=float))


def _check(fold: Fold, group: Group, limit: pd.Series) -> None:
    """The leakage rules that a fold itself can break; one that does is a bug, and the backtest must not go on."""
    points = fold.observed.points
    planned = {name for name, metric in fold.observed.metrics.items() if metric.known_ahead}
    late = points["step"].to_numpy(dtype=float) > points["run"].map(limit).to_numpy(dtype=float)
    if (late & ~points["metric"].isin(planned).to_numpy()).any():
        raise AssertionError(f"leak (L1): fold {fold.group} at {fold.cutoff} shows points after the cutoff")
    if set(group.history.runs.index) & set(group.test):
        raise AssertionError(f"leak (L3): fold {fold.group} has a test run in its history")
    if not set(fold.target["run"]) <= set(group.test):
        raise AssertionError(f"leak (L3): fold {fold.group} asks for a run that is not held out")
