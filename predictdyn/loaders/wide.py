"""A table of a log: one row a step, one column a metric (CSV, TSV or parquet, zipped or not)."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.logs import log_files
from predictdyn.loaders.files.tables import TABLES, Table, header, is_table, read_table
from predictdyn.loaders.tables.clock import counts
from predictdyn.loaders.tables.columns import RUNS, of_runs, remark
from predictdyn.loaders.tables.kinds import COMPANIONS, is_long
from predictdyn.loaders.tables.options import COLUMNS, TABLE_OPTIONS
from predictdyn.loaders.tables.runs import Choices, items_of, read_item, readable
from predictdyn.loaders.tidy import NEEDED

ASKED = 20  # files of a folder whose first lines are looked at


def sniff(path: Path) -> str | None:
    """How many tables there are with a column for the step, in words, or None; a single table need not have one."""
    try:
        files = _logs(path)
        columns = [{name.lower() for name in header(file)} for file in files[:ASKED]] if is_table(files[0]) else []
    except ValueError:
        return None
    others = [names for names in columns if not set(NEEDED) <= names and not is_long(names)]
    tables = [names for names in others if any(map(counts, names)) or not path.is_dir()]
    more = f" (or more: {len(files)} files)" if len(files) > ASKED else ""
    return f"tables of a training log: {len(tables)}{more}" if tables else None


def _logs(path: Path) -> list[Path]:
    """The tables of a path but for those that only say something of runs, metrics and events."""
    files = log_files(path, TABLES, COMPANIONS)
    logs = [file for file in files if file == path or file.name != "metrics.csv" or not _describes(file)]
    if not logs:
        raise ValueError(f"{path}: no table of a log in this folder")
    return logs


def _describes(file: Path) -> bool:
    """Whether a metrics.csv states kinds of metrics, and is no log."""
    try:
        return {"metric", "kind"} <= set(header(file))
    except ValueError:
        return False


def load(path: Path | str, **options: object) -> Curves:
    """Read one file, or all such files of a folder (each a run of its own, unless a column says which run it is).

    Options are those of `gather.gathered`, and of `scan`:

    * ``run``: the columns that name the run, joined with /. By itself: run, run_name, name, model, ..., else the file
      name is the run (with its folders in front where two files share it).
    * ``step``: the column of the clock; by itself as `tables.clock.clock_of` finds it.
    * ``files``: "metrics" or "runs", where a file holds one column and its name could be that of either.
    * ``columns``: "runs" where each column beside the step is a run, and the file names the metric (a chart of one
      metric over many runs). Columns that look so are told.
    * ``family``, ``covariates``, ``last_step`` name columns, too, which must be constant within every run.

    A column mode, phase or split that says train and val tells the metrics of phases apart, if they share names. A
    blank cell (in parquet also NaN) was not logged at that step; NaN and infinity in a CSV are events. A cell of a
    metric that is no number, a row without a step, and values that contradict each other at one step are errors with
    file and line: ``merge=yes`` (the later value counts) or ``merge=runs`` reads them, and what is left out is said.
    A column without any number is a setting of the run, or is left out, and that is said (`tables.words`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "log.csv").write_text("step,loss,val_loss\\n1,3.5,\\n2,3.25,3.75\\n")
    ...     curves = load(Path(folder, "log.csv"), last_step=2)
    >>> curves.points[["metric", "step", "value"]].values.tolist()
    [['loss', 1, 3.5], ['loss', 2, 3.25], ['val_loss', 2, 3.75]]
    """
    return gathered(path, SOURCE, options)


def scan(path: Path, *, columns: str = COLUMNS.allowed[0], **options: Any) -> list[Item]:
    """The runs of all tables, each with its log; options are ``columns`` and `TABLE_OPTIONS`.

    Raises ValueError, one line with file and line, for a faulty table.
    """
    found = _logs(path)
    choices = Choices(**options)
    one = partial(read_table, keep=() if choices.step is None else (choices.step,))
    tables = readable(found, one, whole=len(found) == 1)
    if columns == RUNS:
        turned = [of_runs(table, choices.step) if isinstance(table, Table) else table for table in tables]
        return items_of(path, turned, choices._replace(run="run", files="runs"))
    if choices.run is None:
        for line in filter(None, (remark(table) for table in tables if isinstance(table, Table))):
            warnings.warn(line, UserWarning, stacklevel=2)
    return items_of(path, tables, choices)


def read(item: Item) -> RunLog:
    """The log of a run as `scan` found it."""
    return read_item(item)


SOURCE = Source(
    "wide",
    "CSV, TSV or parquet, one row a step and one column a metric; one file a metric; settings in `args.yaml` "
    "and the like beside",
    sniff,
    load,
    scan,
    read,
    scan_options=(*TABLE_OPTIONS, COLUMNS),
)
