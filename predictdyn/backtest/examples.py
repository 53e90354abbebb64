"""Examples: a few runs, drawn by lot, whose whole forecast path a report may show."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from predictdyn.backtest.plan import Plan, matching_runs, target_metrics
from predictdyn.curves import Curves, ended

PATH_POINTS = 24
LITTLE = 0.08  # share of a run below which figures have a logarithmic axis
DRAWN = 9  # runs of each kind: few enough to cost little, odd so that one of them is the median


def examples(curves: Curves, plan: Plan) -> pd.DataFrame:
    """Which curves a report may show: run, metric, cutoff.

    Per kind the first metric in the order of the metrics table, and `DRAWN` runs at every cutoff of the plan. Runs are
    drawn by lot (a hash of seed and name), before any score is known; the report picks the best, the median and the
    worst of them. Runs that ended come first, since others have no truth; no run is of two kinds while others are left.
    """
    names = target_metrics(curves, plan.metrics)
    cutoffs = [np.nan] if plan.split == "seen" else sorted(plan.cutoffs)
    allowed = set(matching_runs(curves, plan.test)) if plan.test else set(curves.runs.index)
    logged = curves.points.groupby("metric")["run"].unique()
    done = set(ended(curves))
    chosen: dict[str, list[str]] = {}
    for name in names:
        chosen.setdefault(curves.metrics[name].kind, []).append(name)
    rows: list[tuple[str, str, float]] = []
    used: set[str] = set()
    for of_kind in chosen.values():
        # A single kind has room for more than one metric.
        for metric in of_kind[: 3 if len(chosen) == 1 else 1]:
            runs = [run for run in logged[metric] if run in allowed]
            if plan.split == "seen":
                partly = curves.points.loc[(curves.points["metric"] == metric) & ~curves.points["seen"], "run"]
                runs = [run for run in runs if run in set(partly)]
            lot = [hashlib.sha256(f"{plan.seed}:{run}".encode()).digest() for run in runs]
            ranked = sorted((run not in done, run in used, ball, run) for run, ball in zip(runs, lot, strict=True))
            drawn = [run for *_, run in ranked[:DRAWN]]
            used |= set(drawn)
            rows.extend((run, metric, cutoff) for run in drawn for cutoff in cutoffs)
    return pd.DataFrame(rows, columns=["run", "metric", "cutoff"])


def path_targets(curves: Curves, chosen: pd.DataFrame) -> pd.DataFrame:
    """Steps from the cutoff to the planned end for each example: run, metric, step, cutoff.

    They are even, as on the linear axis of a figure; even in the logarithm where little of the run was seen.
    """
    frames = []
    for run, metric, cutoff in chosen.itertuples(index=False):
        curve = curves.series[(run, metric)]
        end = float(curves.runs.loc[run, "last_step"])
        if np.isnan(cutoff):
            rows = curves.points[(curves.points["run"] == run) & (curves.points["metric"] == metric)]
            seen = rows.loc[rows["seen"], "step"]
            begin, end = (float(seen.max()) if len(seen) else end / 100), float(curve.step[-1])
        else:
            begin = end * cutoff
        spread = np.geomspace if begin < LITTLE * end else np.linspace
        step = spread(max(begin, end * 1e-4), end, PATH_POINTS)
        frames.append(pd.DataFrame({"run": run, "metric": metric, "step": step, "cutoff": cutoff}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["run", "metric", "step", "cutoff"])


def example_points(curves: Curves, chosen: pd.DataFrame) -> pd.DataFrame:
    """The logged points of the examples, with whether each was seen: ``examples.parquet``."""
    frames = []
    for run, metric, cutoff in chosen.itertuples(index=False):
        rows = curves.points[(curves.points["run"] == run) & (curves.points["metric"] == metric)]
        fixed = np.isnan(cutoff)
        seen = rows["seen"].to_numpy() if fixed else rows["step"].to_numpy(float) <= curves.limit(cutoff)[run]
        kind = curves.metrics[metric].kind
        shown = rows[["run", "metric", "step", "value", "stderr"]]
        frames.append(shown.assign(kind=kind, cutoff=cutoff, seen=seen))
    columns = ["run", "metric", "kind", "step", "value", "stderr", "cutoff", "seen"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
