"""Rows of loggers' CSV files (Lightning, Keras), a row a time of logging, as what a run logged at one clock."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from predictdyn.loaders.engine.rows import number_of
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.files.csv_rows import csv_names
from predictdyn.loaders.files.json_rows import FileRows

ABSENT = "NA"  # Keras writes it where a row lacks what others have
NO_NUMBER = "value(s) that are no numbers dropped"
NO_STEP = "line(s) without a step dropped"


def need_clock(file: Path, raw: bytes, clock: str) -> None:
    """Raises ValueError where the first line of a table does not name its clock."""
    try:
        names = csv_names(raw)
    except csv.Error as error:
        raise ValueError(f"{file}, line 1: no names of columns ({error})") from None
    if clock not in names:
        raise ValueError(f"{file}: no column {clock}; found {', '.join(names[:12]) or 'nothing'}")


def run_of(run: str, found: FileRows, clock: str, config: Mapping[str, object], planned: float | None) -> RunLog:
    """All numbers of the rows by row, then column.

    >>> rows = FileRows([{"epoch": "0", "loss": "2.5"}, {"epoch": "1", "loss": "?"}], Counter())
    >>> log = run_of("a", rows, "epoch", {}, None)
    >>> log.step.tolist(), log.value.tolist(), log.dropped[NO_NUMBER]
    ([0.0], [2.5], 1)
    """
    dropped = Counter(found.dropped)
    metric, step, value = [], [], []
    for row in found.rows:
        at = number_of(row.get(clock))
        if at is None or not 0 <= at < np.inf:
            dropped[NO_STEP] += 1
            continue
        for name, cell in row.items():
            if name == clock or str(cell).strip() == ABSENT:
                continue
            number = number_of(cell)
            if number is None:
                dropped[NO_NUMBER] += 1
                continue
            metric.append(name)
            step.append(at)
            value.append(number)
    wall, segment = np.full(len(metric), np.nan), np.zeros(len(metric), dtype=int)
    names = np.array(metric, dtype=object)
    return RunLog(run, names, np.array(step), np.array(value), wall, segment, config, planned, dropped=+dropped)
