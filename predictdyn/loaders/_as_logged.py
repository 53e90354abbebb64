"""Rows of tables in which runs restart, or numbers are not finite, become points by the rules of tools' own logs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictdyn.curves import EVENT_COLUMNS
from predictdyn.loaders._merge import Rules, lines_of, tidy_run
from predictdyn.loaders._runlog import RunLog


def as_logged(points: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Points (run, metric, step, value, stderr, file, line) in any order, with all that is wrong with them, as
    points, events, and lines on what was merged or dropped.

    The rows of a run are taken in the order of files and lines, by the rules of `_gather.gathered`.
    """
    parts, events, said = [], [], {}
    for run, rows in points.groupby("run"):
        errors = rows.loc[rows["stderr"].notna(), ["metric", "step", "stderr"]].rename(columns={"stderr": "value"})
        errors["metric"] += "_stderr"
        both = pd.concat([rows, rows.loc[errors.index, ["file", "line"]].join(errors)])
        both = both.sort_values(["file", "line"], kind="stable")
        blank = np.full(len(both), np.nan)
        step, value = both["step"].to_numpy(float), both["value"].to_numpy(float)
        log = RunLog(str(run), both["metric"].to_numpy(object), step, value, blank, np.zeros(len(both), dtype=int))
        tidy = tidy_run(log, Rules(metrics=list(rows["metric"].unique())))
        parts.append(tidy.points.assign(run=run, file=rows["file"].iloc[0], line=0))
        events += [(str(run), step, what) for step, what in tidy.events if len(tidy.points)]
        said[str(run)] = tidy.said
    table = pd.DataFrame(events, columns=EVENT_COLUMNS)
    return pd.concat(parts, ignore_index=True), table, lines_of(said)
