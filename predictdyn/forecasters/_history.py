"""The history that a fitted forecaster keeps: parquet and JSON, never a pickle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.curves import EVENT_COLUMNS, KEY, KINDS, Curves, Metric

HISTORY = "history_points.parquet"
RUNS = "history_runs.parquet"
EVENTS = "history_events.parquet"
METRICS = "history_metrics.json"


def write_history(history: Curves, folder: Path) -> None:
    """The history a forecaster keeps: points and runs as parquet, metrics as JSON."""
    history.points.to_parquet(folder / HISTORY, index=False)
    history.runs.reset_index().to_parquet(folder / RUNS, index=False)
    history.events.to_parquet(folder / EVENTS, index=False)
    metrics = [metric._asdict() for metric in history.metrics.values()]
    (folder / METRICS).write_text(json.dumps(metrics, indent=1), encoding="utf-8")


def read_history(folder: Path) -> Curves:
    """Back from `write_history`. Raises ValueError, one line that names the file, where a table is not as it writes."""
    try:
        listed = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        metrics = {entry["name"]: Metric(**entry) for entry in listed}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / METRICS}: expected a list of metrics ({type(error).__name__}: {error})") from None
    points, runs, events = (pd.read_parquet(folder / name) for name in (HISTORY, RUNS, EVENTS))
    if list(runs.columns[:3]) != ["run", "family", "last_step"]:
        raise ValueError(f"{folder / RUNS}: {_columns(runs)}, expected run, family, last_step and covariates")
    if list(events.columns) != EVENT_COLUMNS:
        raise ValueError(f"{folder / EVENTS}: {_columns(events)}, expected {', '.join(EVENT_COLUMNS)}")
    history = Curves(points, runs.set_index("run"), metrics, events)
    check_history(history, points=folder / HISTORY, runs=folder / RUNS, metrics=folder / METRICS)
    return history


def check_history(history: Curves, *, points: Path, runs: Path, metrics: Path) -> None:
    """ValueError, with the file at fault, where curves are not as `curves_from` gives them: columns, order, numbers."""
    table, known = history.points, history.runs
    wanted = [*KEY, "value", "stderr"]
    if list(table.columns) not in (wanted, [*wanted, "seen"]):
        raise ValueError(f"{points}: {_columns(table)}, expected {', '.join(wanted)} (and seen)")
    for name in ("step", "value", "stderr"):
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise ValueError(f"{points}: {name} is {table[name].dtype}, expected numbers")
        column = table[name].to_numpy(dtype=float)
        bad = np.isinf(column) | (column < 0) if name == "stderr" else ~np.isfinite(column)
        if bad.any():
            raise ValueError(f"{points}: {name} is {column[bad][0]} in row {int(np.flatnonzero(bad)[0]) + 1}")
    if table[["run", "metric"]].isna().to_numpy().any():
        raise ValueError(f"{points}: a run or metric is blank")
    if table.duplicated(KEY).any() or not table.index.equals(table.sort_values(KEY, kind="stable").index):
        raise ValueError(f"{points}: rows are not sorted by {', '.join(KEY)}, each once")
    if known.index.has_duplicates or not set(table["run"]) <= set(known.index):
        raise ValueError(f"{runs}: expected one row for each run of {points.name}")
    last = pd.to_numeric(known["last_step"], errors="coerce").to_numpy(dtype=float)
    if not (np.isfinite(last) & (last > 0)).all() or known["family"].isna().any():
        raise ValueError(f"{runs}: expected a family, and a last_step > 0, for each run")
    if not set(table["metric"]) <= set(history.metrics):
        raise ValueError(f"{metrics}: a metric of {points.name} is missing")
    wrong = [name for name, metric in history.metrics.items() if metric.kind not in KINDS]
    if wrong:
        raise ValueError(f"{metrics}: {wrong[0]!r} has kind {history.metrics[wrong[0]].kind!r}")


def _columns(table: pd.DataFrame) -> str:
    return f"has columns {', '.join(map(str, table.columns))}"
