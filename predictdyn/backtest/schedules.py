"""Which schedules are known ahead: those that are declared, and those that the data show to follow from the plan."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pandas as pd

from predictdyn.covariates import LABELS, MOST_LEVELS
from predictdyn.curves import Curve, Curves
from predictdyn.naming import BY_METRICS

FEWEST = 3  # places that two curves share before they are compared
CLOSE = 1e-5  # of the peak: logs round


def settled(curves: Curves) -> tuple[Curves, list[str]]:
    """The same curves, in which a schedule is only one by its name where the data do not bear it out, and lines on it.

    A rate that reacts to the outcome has the name of a plan, and its future tells how the run goes on. So a schedule
    that is known by its name alone (``guessed``) counts as known ahead only if it is a function of the plan. Runs of
    equal plans (family and settings, but for seeds and length) must have equal curves, and at least two such runs,
    which are no copies of each other, a curve that moves. A run without such a sibling must have the shape of one that
    has some. The answer is one for a metric, whichever run is asked for: nothing can be learnt from it.
    """
    metrics, lines = dict(curves.metrics), []
    logged = set(curves.points["metric"].unique())
    for name, metric in curves.metrics.items():
        if metric.kind == "schedule" and metric.guessed and name in logged:
            why = _why_not(curves, name)
            if why is None:
                metrics[name] = metric._replace(guessed=False)
            elif why:
                lines.append(
                    f"{name} is a schedule by its name alone, and {why}: it may have reacted to the outcomes, so it is "
                    f"seen up to the cutoff only; if it was fixed beforehand, state its kind, schedule, {BY_METRICS}"
                )
    return Curves(curves.points, curves.runs, metrics, curves.events), lines


def _why_not(curves: Curves, name: str) -> str | None:
    """Why a metric is not known ahead, "" where that cannot matter, since it never moves; None where it is known."""
    of_run = {run: curve for (run, metric), curve in curves.series.items() if metric == name}
    if not any(_moves(curve.value) for curve in of_run.values()):
        return ""
    borne_out: set[str] = set()
    for runs in _equal_plans(curves.runs.loc[list(of_run)]):
        # Each with the first and with the next: of thousands of equal runs all pairs would take too long.
        for a, b in sorted({*((runs[0], run) for run in runs[1:]), *pairwise(runs)}):
            same = _same(of_run[a], of_run[b], *(float(curves.runs["last_step"][run]) for run in (a, b)))
            if same is False:
                return f"runs of equal plans differ in it (first: {a} and {b})"
            if same and _moves(of_run[a].value) and _moves(of_run[b].value) and not _copies(curves, a, b):
                borne_out |= {a, b}
    if not borne_out:
        return "no two runs of equal plans show that it follows from the plan"
    models = [_shape(of_run[run], float(curves.runs["last_step"][run])) for run in sorted(borne_out)]
    for run, curve in of_run.items():
        shape = _shape(curve, float(curves.runs["last_step"][run]))
        if run not in borne_out and _moves(curve.value) and not any(_same(shape, one, 1.0, 1.0) for one in models):
            return f"no other run of the plan of {run} shows that it follows from it"
    return None


def _equal_plans(runs: pd.DataFrame) -> list[list[str]]:
    """Runs that were planned alike, together: same family and settings; where no two are, same settings alone."""
    named = [
        name
        for name in runs.columns
        if name not in (*LABELS, "last_step")
        and "seed" not in str(name).lower()
        and (pd.api.types.is_numeric_dtype(runs[name]) or runs[name].nunique() <= MOST_LEVELS)
    ]
    settings = {run: tuple(map(str, row)) for run, row in zip(runs.index, runs[named].to_numpy(object), strict=True)}
    for keys in ({run: (runs["family"][run], *settings[run]) for run in runs.index}, settings):
        together = defaultdict(list)
        for run, key in keys.items():
            together[key].append(str(run))
        found = [some for some in together.values() if len(some) > 1]
        if found:
            return found
    return []


def _same(one: Curve, other: Curve, length: float, other_length: float) -> bool | None:
    """Whether two curves are equal at all steps, or all shares of the run, that both log; None where these are few."""
    answers = []
    for unit, other_unit in ((1.0, 1.0), (length, other_length)):
        at, also = np.round(one.step / unit, 9), np.round(other.step / other_unit, 9)
        _, left, right = np.intersect1d(at, also, return_indices=True)
        if len(left) >= FEWEST:
            peak = max(float(np.abs(one.value).max()), float(np.abs(other.value).max()))
            answers.append(bool((np.abs(one.value[left] - other.value[right]) <= CLOSE * peak).all()))
    return any(answers) if answers else None


def _shape(curve: Curve, length: float) -> Curve:
    """A curve by the share of its run, in units of its peak."""
    peak = float(np.abs(curve.value).max()) or 1.0
    return Curve(curve.step / length, curve.value / peak, curve.stderr)


def _moves(value: np.ndarray) -> bool:
    return bool(np.ptp(value) > CLOSE * np.abs(value).max())


def _copies(curves: Curves, a: str, b: str) -> bool:
    """Whether nothing but schedules tells two runs apart: one run that is logged twice bears nothing out."""
    for name, metric in curves.metrics.items():
        one, other = (curves.series.get((run, name)) for run in (a, b))
        if metric.kind != "schedule" and one is not None and other is not None:
            _, left, right = np.intersect1d(one.step, other.step, return_indices=True)
            if len(left) and not np.array_equal(one.value[left], other.value[right]):
                return False
    return True
