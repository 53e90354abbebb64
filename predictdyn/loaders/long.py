"""A long table: one row a value, with columns for run, metric, step and value (CSV, parquet or JSON lines)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from predictdyn.curves import Curves
from predictdyn.loaders.engine.facts import is_clock
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.notes import some
from predictdyn.loaders.engine.options import Option
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.engine.words import listed
from predictdyn.loaders.files.logs import log_files, run_names
from predictdyn.loaders.files.tables import TABLES, Table, is_table, numbers, read_table, text
from predictdyn.loaders.json_lines.lines import ENDINGS, read_lines
from predictdyn.loaders.tables.clock import STEP_NAMES, named
from predictdyn.loaders.tables.kinds import COMPANIONS, METRIC_NAMES, PARTS, VALUE_NAMES, is_long, names_in
from predictdyn.loaders.tables.options import RUN, SHARED_WITH_TABLES, STEP
from predictdyn.loaders.tables.places import Part
from predictdyn.loaders.tables.runs import (
    RUN_NAMES,
    Choices,
    Columns,
    Logged,
    Noted,
    check_column,
    chosen_columns,
    columns_of,
    joined,
    logs_of,
    need_column,
    note,
    read_item,
    readable,
    with_settings,
)
from predictdyn.loaders.tables.words import Words, lines_beside, settings_in

ERROR_NAMES = ("stderr", "value_stderr", "standard_error")
ASIDE = (*COMPANIONS, "metrics.csv")  # no points, even where the columns look like it
ASKED = 20  # files of a folder whose first lines are looked at
METRIC = Option("metric", "the columns that name the metric")
VALUE = Option("value", "the column with the values")


def sniff(path: Path) -> str | None:
    """How many tables there are with a column each for step, metric and value, in words, or None."""
    try:
        files = log_files(path, (*TABLES, *ENDINGS), ASIDE)
    except ValueError:
        return None
    long = sum(is_long(names_in(file)) for file in files[:ASKED])
    more = f" (or more: {len(files)} files)" if len(files) > ASKED else ""
    return f"long tables, one row a value: {long}{more}" if long else None


def load(path: Path | str, **options: object) -> Curves:
    """Read one file, or all such files of a folder. Options are those of `gather.gathered`, and of `scan`:

    * ``run``: the columns that name the run, joined with /. By itself: run, run_name, name, model, ..., else all
      columns of text that are nothing else and not the same throughout (a UserWarning names them), else the file name.
    * ``metric``: the columns that name the metric, joined with a space. By itself: metric, metric_name, tag or key, and
      in front of it what suite, benchmark, dataset, task, subset and split say.
    * ``step``: as in `wide.load`. ``value``: by itself value or metric_value; stderr beside it is its standard
      error.
    * ``family``, ``covariates``, ``last_step``, ``merge``: as in `wide.load`.

    A blank value was not logged. Raises ValueError, one line with file and line, for what is no number, for a run,
    metric or step that is blank, and for values that contradict each other.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = "model,step,task,metric,value,stderr\\n70m,1000,sciq,acc,.5,.02\\n70m,2000,sciq,acc,.55,.02\\n"
    ...     _ = Path(folder, "scores.csv").write_text(rows)
    ...     curves = load(Path(folder, "scores.csv"), last_step=2000)
    >>> curves.points[["run", "metric", "step", "value"]].values.tolist()
    [['70m', 'sciq acc', 1000, 0.5], ['70m', 'sciq acc', 2000, 0.55]]
    """
    return gathered(path, SOURCE, options)


def scan(
    path: Path, *, metric: str | Sequence[str] | None = None, value: str | None = None, **options: Any
) -> list[Item]:
    """The runs of all tables, each with its log; options are those of ``SOURCE``.

    Raises ValueError, one line with file and line, for a faulty table.
    """
    choices = Choices(**options)
    found = _tables(path, metric, value, choices.step)
    tables = [table for table in found if isinstance(table, Table)]
    damaged = [table for table in found if isinstance(table, Item)]
    if not tables:
        raise ValueError(damaged[0].key)
    columns, points = [], []
    for table, name in zip(tables, run_names(path, [table.path for table in tables]), strict=True):
        metric_columns, value_column = _metric(table, metric), _value(table, value)
        own = choices.run if choices.run is not None else _telling(table, {*metric_columns, value_column}, choices)
        values = (value_column, *_errors(table))
        of_table = columns_of(table, Part(name), choices._replace(run=own), only=values)
        for name_of_column in values if choices.refusing else ():
            check_column(table, name_of_column, numbers(table.cells[name_of_column]))
        if choices.run is None and own:
            _need_curves(table, of_table.run)
        rest = [one for one in of_table.words if one not in (*metric_columns, *values) and not is_clock(one)]
        columns.append(of_table._replace(words=rest))
        points.append(_values(table, of_table, metric_columns, value_column))
    beside = [Words(one.table, one.run, one.words) for one in columns]
    settings = settings_in(beside, set()) if choices.covariates is None else []
    noted = Noted({}, {}, {}, {})
    for of_table in columns:
        note(with_settings(of_table, settings), noted)
    for line in lines_beside(beside, settings):
        warnings.warn(line, UserWarning, stacklevel=3)
    return [*logs_of([table.path for table in tables], points, noted, strict=True), *damaged]


def read(item: Item) -> RunLog:
    """The log of a run as `scan` found it."""
    return read_item(item)


def _tables(path: Path, metric: str | Sequence[str] | None, value: str | None, step: str | None) -> list[Table | Item]:
    """The long tables of a folder, or the one file; what is passed over is said."""
    files = log_files(path, (*TABLES, *ENDINGS), ASIDE)
    if path.is_dir() and metric is None and value is None:
        long = [file for file in files if is_long(names_in(file))]
        if long and len(long) < len(files):
            without = [file.name for file in files if file not in long]
            line = f"{path}: {len(without)} file(s) that are no long table passed over: {some(without)}"
            warnings.warn(line, UserWarning, stacklevel=3)
        files = long or files
    one = lambda file: read_table(file) if is_table(file) else read_lines(file, step, strict=True)  # noqa: E731
    return readable(files, one, whole=len(files) == 1)


def _metric(table: Table, wanted: str | Sequence[str] | None) -> list[str]:
    """The columns that name the metric, the one that must not be blank last."""
    if wanted is not None:
        return chosen_columns(table, wanted, "metric")
    parts = [name for part in PARTS if (name := named(table, (part,))) is not None]
    last = named(table, METRIC_NAMES)
    if last is None and not parts:
        raise ValueError(
            f"{table.path}: no column names the metric; found {', '.join(map(str, table.cells))}; name it with "
            f"metric=..., known by themselves are {', '.join((*METRIC_NAMES, *PARTS))}"
        )
    return [*parts, last] if last is not None else parts


def _value(table: Table, wanted: str | None) -> str:
    if wanted is not None:
        need_column(table, wanted, f"value={wanted!r}")
        return wanted
    found = named(table, VALUE_NAMES)
    if found is None:
        raise ValueError(
            f"{table.path}: no column of values; found {', '.join(map(str, table.cells))}; name it with value=..., "
            f"known by themselves are {', '.join(VALUE_NAMES)}"
        )
    return found


def _telling(table: Table, taken: set[str], options: Choices) -> list[str] | None:
    """Where no column is known to name the run: the columns of text that tell runs apart, if there are some."""
    if named(table, RUN_NAMES) is not None:
        return None
    aside = {*taken, *listed(options.covariates), options.step, options.family, options.last_step}
    every = map(str, table.cells)
    known = (*STEP_NAMES, *ERROR_NAMES)
    rest = [name for name in every if name not in aside and name.lower() not in known and not is_clock(name)]
    words = {name: text(table.cells[name]) for name in rest if numbers(table.cells[name]).wrong.all()}
    found = [name for name, column in words.items() if (column != column.iloc[0]).any()]
    if found:
        line = f"{table.path}: runs are told apart by {', '.join(found)}; choose the columns with run=..."
        warnings.warn(line, UserWarning, stacklevel=3)
    return found or None


def _need_curves(table: Table, run: np.ndarray) -> None:
    """Columns that were only guessed to name runs must leave curves: a text of its own in every row names none."""
    n = len(set(run))
    if n > 1 and 2 * n > len(run):
        raise ValueError(
            f"{table.path}: by the columns that are not the same throughout {len(run)} rows would be {n} runs; "
            "name the columns that tell runs apart with run=..."
        )


def _errors(table: Table) -> list[str]:
    found = named(table, ERROR_NAMES)
    return [] if found is None else [found]


def _values(table: Table, columns: Columns, metric: list[str], value: str) -> Logged:
    """One row a value that is not blank, and one for each standard error."""
    name = joined(table, metric[-1:], " ", "the metric")
    for part in reversed(metric[:-1]):
        front = text(table.cells[part]).fillna("").to_numpy(dtype=object)
        name = np.array([f"{one} {rest}".strip() for one, rest in zip(front, name, strict=True)], dtype=object)
    parts = []
    for place, column in enumerate((value, *_errors(table))):
        cells = numbers(table.cells[column])
        row = np.flatnonzero(~cells.blank & ~cells.wrong & np.isfinite(columns.step))
        row = row if place == 0 else row[np.isfinite(cells.value[row])]
        metrics = name[row] if place == 0 else name[row] + "_stderr"
        numbers_here = (columns.step[row], cells.value[row], table.line[row], np.full(len(row), place))
        parts.append((columns.run[row], metrics, *numbers_here))
    return Logged(*(np.concatenate(column) for column in zip(*parts, strict=True)))


SOURCE = Source(
    "long",
    "CSV, parquet or JSON lines, one row a value",
    sniff,
    load,
    scan,
    read,
    scan_options=(RUN, METRIC, STEP, VALUE, *SHARED_WITH_TABLES),
)
