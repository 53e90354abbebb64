"""The CSV files of loggers (Lightning, Keras): a row a time of logging, blank where nothing was, perhaps cut short."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from predictdyn.loaders._runlog import RunLog

BLANK = {"", "NA"}  # Keras writes NA where a row lacks what others have
CUT = "last line cut short, dropped"
OTHER_CELLS = "line(s) with other cells than the header says dropped"
NO_NUMBER = "value(s) that are no numbers dropped"
NO_STEP = "line(s) without a step dropped"


class Rows(NamedTuple):
    """The names of the columns, one cell a name for every row, and what was dropped."""

    names: list[str]
    cells: list[list[str]]
    dropped: Counter[str]


def csv_rows(raw: bytes) -> Rows:
    r"""The rows of a CSV; a last line without an end may lack digits, and is dropped.

    >>> csv_rows(b"epoch,loss\n0,2.5\n1,2.")
    Rows(names=['epoch', 'loss'], cells=[['0', '2.5']], dropped=Counter({'last line cut short, dropped': 1}))
    """
    *lines, rest = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    dropped = Counter({CUT: 1} if rest.strip() else {})
    cells = []
    for line in lines:
        try:
            row = next(csv.reader([line.decode("utf-8", errors="replace").rstrip("\r")]), [])
        except csv.Error:
            row = []
        if row:
            cells.append(row)
        else:
            dropped[OTHER_CELLS] += bool(line.strip())
    names, *cells = cells or [[]]
    full = [row for row in cells if len(row) == len(names)]
    dropped[OTHER_CELLS] += len(cells) - len(full)
    return Rows(names, full, +dropped)


def run_of(
    run: str, rows: Rows, clock: str, config: Mapping[str, object], planned: float | None, aside: Iterable[str] = ()
) -> RunLog:
    """All numbers of the rows by row, then column; ``aside`` are columns that are no metrics."""
    dropped = Counter(rows.dropped)
    place = rows.names.index(clock)
    columns = [(i, name) for i, name in enumerate(rows.names) if i != place and name not in aside]
    metric, step, value = [], [], []
    for row in rows.cells:
        at = _number(row[place])
        if at is None or not 0 <= at < np.inf:
            dropped[NO_STEP] += 1
            continue
        for i, name in columns:
            number = _number(row[i])
            if number is not None:
                metric.append(name)
                step.append(at)
                value.append(number)
            elif row[i].strip() not in BLANK:
                dropped[NO_NUMBER] += 1
    wall, segment = np.full(len(metric), np.nan), np.zeros(len(metric), dtype=int)
    names = np.array(metric, dtype=object)
    return RunLog(run, names, np.array(step), np.array(value), wall, segment, config, planned, dropped=+dropped)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
