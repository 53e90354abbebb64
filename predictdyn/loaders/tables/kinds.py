"""What kind of table a file holds, by the names of its columns: a value a row, points of the tidy folder, or else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from predictdyn.loaders.files.contents import open_binary
from predictdyn.loaders.files.tables import header, is_table
from predictdyn.loaders.tables.clock import STEP_NAMES

COMPANIONS = ("runs.csv", "runs.parquet", "events.csv")  # tables beside logs that only say something of them
VALUE_NAMES = ("value", "metric_value", "metricvalue", "metric.value")
METRIC_NAMES = ("metric", "metric_name", "metricname", "metric.name", "tag", "key")
PARTS = (
    "suite",
    "benchmark",
    "dataset",
    "task",
    "subset",
    "split",
    "metric.context",
    "runcontext",
)  # of the name of a metric, in front of it


def is_long(names: Iterable[str]) -> bool:
    """Whether columns of these names make a long table.

    >>> is_long(["model", "task", "step", "value"]), is_long(["step", "value"])
    (True, False)
    """
    lower = {name.lower() for name in names}
    return all(lower & set(known) for known in (VALUE_NAMES, (*METRIC_NAMES, *PARTS), STEP_NAMES))


def names_in(file: Path) -> list[str]:
    """The columns of a table, or the keys of the first line of JSON; none where it cannot be read."""
    try:
        if is_table(file):
            return header(file)
        with open_binary(file) as opened:
            record = json.loads(opened.readline(1 << 20))
    except (ValueError, OSError, EOFError, RecursionError):
        return []
    return list(record) if isinstance(record, dict) else []
