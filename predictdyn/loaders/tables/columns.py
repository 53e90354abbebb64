"""Tables with one column a run, as a chart of one metric over many runs is saved: told by their columns, and turned."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from predictdyn.loaders.engine.facts import is_clock, log_metric, looks_like_outcome
from predictdyn.loaders.engine.notes import some
from predictdyn.loaders.files.tables import Table, numbers, stem
from predictdyn.loaders.tables.clock import STEP_NAMES, counts, named

RUNS = "runs"
COLUMNS = ("metrics", RUNS)  # what the option says that columns are
BETWEEN = " - "  # in W&B's charts between the run and the metric
FEWEST = 3  # columns that make one think of runs
FACTOR = 10.0  # between the typical values of curves of one metric
_BY_RUN = re.compile(r"(?i)[\s_-]+(by|per|of)[\s_-]+(all[\s_-]+)?(runs?|experiments?|models?)$")


def of_runs(table: Table, step: str | None) -> Table:
    """The same values with a column ``run``: each column beside the clock is a run of the metric that the file names.

    Where all columns are ``RUN - METRIC`` with one metric, this names it. ValueError where there is no clock.
    """
    clock = step if step is not None and step in table.cells else _clock(table)
    if clock is None:
        raise ValueError(f"{table.path}: columns='runs' needs a column for the step; name it with step=...")
    runs = _beside(table, clock)
    if not runs:
        raise ValueError(f"{table.path}: columns='runs' finds no column beside {clock}")
    metrics = {run.rpartition(BETWEEN)[2] for run in runs}
    charted = len(metrics) == 1 and all(BETWEEN in run for run in runs)
    metric = metrics.pop() if charted else _BY_RUN.sub("", stem(table.path))
    names = [run.rpartition(BETWEEN)[0] if charted else run for run in runs]
    cells = pd.DataFrame(
        {
            clock: pd.concat([table.cells[clock]] * len(runs), ignore_index=True),
            "run": np.repeat(np.array(names, dtype=object), len(table.cells)),
            metric: pd.concat([table.cells[run] for run in runs], ignore_index=True),
        }
    )
    return Table(table.path, cells, np.tile(table.line, len(runs)), table.notes)


def remark(table: Table) -> str | None:
    """A line where the columns of a table look like runs: no name of a metric, names with numbers or a file that is
    called like a metric, and values of one size.
    """
    clock = _clock(table)
    columns = [] if clock is None else _beside(table, clock)
    if len(columns) < FEWEST or any(map(_is_known, columns)):
        return None
    numbered = sum(any(char.isdigit() for char in name) for name in columns) > 0.8 * len(columns)
    if not numbered and not _is_known(_BY_RUN.sub("", stem(table.path))):
        return None
    if not _alike([numbers(table.cells[name]).value for name in columns]):
        return None
    return (
        f"{table.path}: the {len(columns)} columns beside {clock} look like runs and not like metrics "
        f"({some(columns, 3)}); if each is a run, read the table with source='wide', columns='runs'"
    )


def _clock(table: Table) -> str | None:
    return named(table, STEP_NAMES) or next((name for name in map(str, table.cells) if counts(name)), None)


def _beside(table: Table, clock: str) -> list[str]:
    return [name for name in map(str, table.cells) if name != clock and not is_clock(name)]


def _is_known(name: str) -> bool:
    return log_metric(name).kind != "signal" or looks_like_outcome(name)


def _alike(columns: Sequence[np.ndarray]) -> bool:
    """Whether columns (n,) of numbers have typical values of one sign and size."""
    if not all(np.isfinite(column).any() for column in columns):
        return False
    typical = np.array([np.nanmedian(np.where(np.isfinite(column), column, np.nan)) for column in columns])
    sign = np.sign(typical[0])
    return bool((np.sign(typical) == sign).all() and np.abs(typical).max() <= FACTOR * np.abs(typical).min())
