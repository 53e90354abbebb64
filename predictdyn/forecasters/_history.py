"""The history that a fitted forecaster keeps: parquet and JSON, never a pickle."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from predictdyn.curves import Curves, Metric

HISTORY = "history_points.parquet"


def write_history(history: Curves, folder: Path) -> None:
    """The history a forecaster keeps: points and runs as parquet, metrics as JSON."""
    history.points.to_parquet(folder / HISTORY, index=False)
    history.runs.reset_index().to_parquet(folder / "history_runs.parquet", index=False)
    history.events.to_parquet(folder / "history_events.parquet", index=False)
    metrics = [metric._asdict() for metric in history.metrics.values()]
    (folder / "history_metrics.json").write_text(json.dumps(metrics, indent=1))


def read_history(folder: Path) -> Curves:
    """Back from `write_history`."""
    metrics = {entry["name"]: Metric(**entry) for entry in json.loads((folder / "history_metrics.json").read_text())}
    return Curves(
        pd.read_parquet(folder / HISTORY),
        pd.read_parquet(folder / "history_runs.parquet").set_index("run"),
        metrics,
        pd.read_parquet(folder / "history_events.parquet"),
    )
