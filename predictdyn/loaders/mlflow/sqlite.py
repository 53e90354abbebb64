"""The SQLite store of MLflow: tables experiments, runs, metrics, params and tags."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import numpy as np

from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.files.sqlite import reading, with_journal
from predictdyn.loaders.mlflow.parts import PARENT, RUN_NAME, Cells, StoredRun, as_run_log

TABLES = ("experiments", "runs", "metrics", "params", "tags")
NAN, WRONG = 1, 2
# Cells as numbers, whatever is in them; those that are none are marked.
METRICS = (
    "SELECT CAST(key AS TEXT), coalesce(CAST(step AS REAL), 0), coalesce(CAST(value AS REAL), 0), "
    "coalesce(CAST(timestamp AS REAL), 0), "
    "CASE WHEN typeof(step) IN ('integer', 'real') AND typeof(value) IN ('integer', 'real') "
    f"THEN is_nan IS TRUE ELSE {WRONG} END FROM metrics WHERE run_uuid = ? ORDER BY rowid"
)
ROW = np.dtype([("key", "O"), ("step", "f8"), ("value", "f8"), ("time", "f8"), ("mark", "i1")])
DELETED = "(r.lifecycle_stage = 'deleted' OR e.lifecycle_stage = 'deleted')"


def found(path: Path) -> list[StoredRun]:
    """All runs of a store, deleted ones too, in the order in which they were started."""
    query = (
        f"SELECT r.run_uuid, CASE WHEN {DELETED} THEN r.run_uuid ELSE coalesce(t.value, nullif(r.name, ''), "
        "r.run_uuid) END, e.name FROM runs r JOIN experiments e USING (experiment_id) "
        "LEFT JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = ? ORDER BY r.start_time, r.rowid"
    )
    with reading(path) as connection:
        rows = connection.execute(query, (RUN_NAME,)).fetchall()
    files = with_journal(path)
    return [StoredRun(str(run), str(name), str(experiment), files) for run, name, experiment in rows]


def logged(path: Path, run: str, name: str) -> RunLog:
    """What one run logged, in the order in which it was written."""
    state = f"SELECT r.status, {DELETED} FROM runs r JOIN experiments e USING (experiment_id) WHERE r.run_uuid = ?"
    with reading(path) as connection:
        about = connection.execute(state, (run,)).fetchone()
        if about is None:
            raise ValueError(f"{path}: has no run {run}")
        rows = np.fromiter(() if about[1] else connection.execute(METRICS, (run,)), ROW)
        params = connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run,)).fetchall()
        parents = _parents(connection, run)
    # The store keeps NaN as 0 with a mark, and infinity as the largest number.
    value = np.where(np.abs(rows["value"]) == sys.float_info.max, np.copysign(np.inf, rows["value"]), rows["value"])
    value[rows["mark"] == NAN] = np.nan
    return as_run_log(
        name,
        Cells(rows["key"], np.where(rows["mark"] == WRONG, np.nan, rows["step"]), value, rows["time"]),
        status=str(about[0]),
        deleted=bool(about[1]),
        params={str(key): str(value) for key, value in params},
        parents=parents,
    )


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
