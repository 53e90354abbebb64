"""The SQLite store of MLflow: tables experiments, runs, metrics, params and tags."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import numpy as np

from predictdyn.loaders._mlflow_parts import PARENT, RUN_NAME, Cells, Found, as_run_log
from predictdyn.loaders._runlog import RunLog
from predictdyn.loaders._sqlite import reading, with_journal

TABLES = ("experiments", "runs", "metrics", "params", "tags")
DELETED = "(r.lifecycle_stage = 'deleted' OR e.lifecycle_stage = 'deleted')"


def found(path: Path) -> list[Found]:
    """All runs of a store, deleted ones too, in the order in which they were started."""
    query = (
        f"SELECT r.run_uuid, CASE WHEN {DELETED} THEN r.run_uuid ELSE coalesce(t.value, nullif(r.name, ''), "
        "r.run_uuid) END, e.name FROM runs r JOIN experiments e USING (experiment_id) "
        "LEFT JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = ? ORDER BY r.start_time, r.rowid"
    )
    with reading(path) as connection:
        rows = connection.execute(query, (RUN_NAME,)).fetchall()
    files = with_journal(path)
    return [Found(str(run), str(name), str(experiment), files) for run, name, experiment in rows]


def logged(path: Path, run: str, name: str) -> RunLog:
    """What one run logged, in the order in which it was written."""
    metrics = "SELECT key, step, value, timestamp, is_nan FROM metrics WHERE run_uuid = ? ORDER BY rowid"
    state = f"SELECT r.status, {DELETED} FROM runs r JOIN experiments e USING (experiment_id) WHERE r.run_uuid = ?"
    with reading(path) as connection:
        about = connection.execute(state, (run,)).fetchone()
        if about is None:
            raise ValueError(f"{path}: has no run {run}")
        rows = [] if about[1] else connection.execute(metrics, (run,)).fetchall()
        params = connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run,)).fetchall()
        parents = _parents(connection, run)
    key, step, value, time, nan = zip(*rows, strict=True) if rows else ((),) * 5
    return as_run_log(
        name,
        Cells(key, step, _restored(value, nan), time),
        status=str(about[0]),
        deleted=bool(about[1]),
        params={str(key): str(value) for key, value in params},
        parents=parents,
    )


def _restored(value: tuple[object, ...], nan: tuple[object, ...]) -> tuple[object, ...]:
    """Values as they were logged: the store keeps NaN as 0 with a mark, and infinity as the largest number."""
    largest: dict[object, object] = {sys.float_info.max: np.inf, -sys.float_info.max: -np.inf}
    if not any(nan) and largest.keys().isdisjoint(value):
        return value
    return tuple(np.nan if mark else largest.get(number, number) for number, mark in zip(value, nan, strict=True))


def _parents(connection: sqlite3.Connection, run: str) -> list[str]:
    """Names of the runs that a run is nested in, the innermost first."""
    query = "SELECT t.value, r.name FROM tags t JOIN runs r ON r.run_uuid = t.value WHERE t.run_uuid = ? AND t.key = ?"
    names: list[str] = []
    above = {run}
    while (row := connection.execute(query, (run, PARENT)).fetchone()) and row[0] not in above:
        run = row[0]
        above.add(run)
        names.append(str(row[1] or run))
    return names
