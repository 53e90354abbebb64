"""A long table: one row a value, with columns for run, metric, step and value (CSV, parquet or JSON lines)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.loaders._logs import (
    CLOCKS,
    RUN_NAMES,
    STEP_NAMES,
    Keys,
    Options,
    as_curves,
    check_column,
    chosen_columns,
    joined,
    listed,
    log_files,
    named,
    need_column,
    run_names,
)
from predictdyn.loaders._merge import some
from predictdyn.loaders._tables import TABLES, Table, header, is_table, numbers, open_binary, read_table, text
from predictdyn.loaders.json_lines import ENDINGS, read_lines
from predictdyn.loaders.wide import COMPANIONS

VALUE_NAMES = ("value", "metric_value")
METRIC_NAMES = ("metric", "metric_name", "tag", "key")
PARTS = ("suite", "benchmark", "dataset", "task", "subset", "split")  # of the name of a metric, in front of it
ERROR_NAMES = ("stderr", "value_stderr", "standard_error")
ASIDE = (*COMPANIONS, "metrics.csv")  # no points, even where the columns look like it
ASKED = 20  # files of a folder whose first lines are looked at


def looks(path: Path) -> str | None:
    """How many tables there are with a column each for step, metric and value, in words, or None."""
    try:
        files = log_files(path, (*TABLES, *ENDINGS), ASIDE)
    except ValueError:
        return None
    long = sum(is_long(names_in(file)) for file in files[:ASKED])
    more = f" (or more: {len(files)} files)" if len(files) > ASKED else ""
    return f"long tables, one row a value: {long}{more}" if long else None


def is_long(names: Iterable[str]) -> bool:
    """Whether columns of these names make a long table.

    >>> is_long(["model", "task", "step", "value"]), is_long(["step", "value"])
    (True, False)
    """
    lower = {name.lower() for name in names}
    return all(lower & set(known) for known in (VALUE_NAMES, (*METRIC_NAMES, *PARTS), STEP_NAMES))


def load(
    path: Path | str,
    *,
    run: str | Sequence[str] | None = None,
    metric: str | Sequence[str] | None = None,
    step: str | None = None,
    value: str | None = None,
    family: str | None = None,
    metrics: str | Sequence[str] | None = None,
    covariates: str | Sequence[str] | None = None,
    last_step: str | float | None = None,
    metrics_file: Path | str | None = None,
    runs_file: Path | str | None = None,
    merge: bool | str = False,
) -> Curves:
    """Read one file, or all such files of a folder.

    * ``run``: the columns that name the run, joined with /. By itself: run, run_name, name, model, ..., else all
      columns of text that are nothing else and not the same throughout (a UserWarning names them), else the file name.
    * ``metric``: the columns that name the metric, joined with a space. By itself: metric, metric_name, tag or key, and
      in front of it what suite, benchmark, dataset, task, subset and split say.
    * ``step``: as in `wide.load`. ``value``: by itself value or metric_value; stderr beside it is its standard
      error.
    * ``metrics``: names or globs of the metrics to keep, all by itself.
    * ``family``, ``covariates``, ``last_step``, ``metrics_file``, ``runs_file``, ``merge``: as in `wide.load`.

    A blank value was not logged. Raises ValueError, one line with file and line, for what is no number, for a run,
    metric or step that is blank, and for a value that is there twice.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = "model,step,task,metric,value,stderr\\n70m,1000,sciq,acc,.5,.02\\n70m,2000,sciq,acc,.55,.02\\n"
    ...     _ = Path(folder, "scores.csv").write_text(rows)
    ...     load(Path(folder, "scores.csv")).points[["run", "metric", "step", "value"]].values.tolist()
    [['70m', 'sciq acc', 1000, 0.5], ['70m', 'sciq acc', 2000, 0.55]]
    """
    path = Path(path)
    options = Options(run, step, family, metrics, covariates, last_step, metrics_file, runs_file, merge)
    tables = _tables(path, metric, value, step)
    parts, keys = [], []
    for i, (table, name) in enumerate(zip(tables, run_names(path, [table.path for table in tables]), strict=True)):
        metric_columns, value_column = _metric(table, metric), _value(table, value)
        own = run if run is not None else _telling(table, {*metric_columns, value_column}, options)
        key = Keys.of(table, name, options._replace(run=own))
        if run is None and own:
            _need_curves(table, key)
        parts.append(_points(i, table, key, metric_columns, value_column, finite=not options.merging))
        keys.append(key)
    points = _kept(path, pd.concat(parts, ignore_index=True), listed(metrics))
    return as_curves(path, tables, keys, points, options)


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


def _tables(path: Path, metric: str | Sequence[str] | None, value: str | None, step: str | None) -> list[Table]:
    """The long tables of a folder, or the one file; what is passed over is said."""
    files = log_files(path, (*TABLES, *ENDINGS), ASIDE)
    if path.is_dir() and metric is None and value is None:
        long = [file for file in files if is_long(names_in(file))]
        if long and len(long) < len(files):
            without = [file.name for file in files if file not in long]
            line = f"{path}: {len(without)} file(s) that are no long table passed over: {some(without)}"
            warnings.warn(line, UserWarning, stacklevel=3)
        files = long or files
    return [read_table(file) if is_table(file) else read_lines(file, step) for file in files]


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


def _telling(table: Table, taken: set[str], options: Options) -> list[str] | None:
    """Where no column is known to name the run: the columns of text that tell runs apart, if there are some."""
    if named(table, RUN_NAMES) is not None:
        return None
    aside = {*taken, *listed(options.covariates), options.step, options.family, options.last_step}
    every = map(str, table.cells)
    rest = [name for name in every if name not in aside and name.lower() not in (*CLOCKS, *ERROR_NAMES)]
    words = {name: text(table.cells[name]) for name in rest if numbers(table.cells[name]).wrong.all()}
    found = [name for name, column in words.items() if (column != column.iloc[0]).any()]
    if found:
        line = f"{table.path}: runs are told apart by {', '.join(found)}; choose the columns with run=..."
        warnings.warn(line, UserWarning, stacklevel=3)
    return found or None


def _need_curves(table: Table, key: Keys) -> None:
    """Columns that were only guessed to name runs must leave curves: a text of its own in every row names none."""
    n = len(set(key.run))
    if n > 1 and 2 * n > len(key.run):
        raise ValueError(
            f"{table.path}: by {', '.join(key.run_columns)} {len(key.run)} rows would be {n} runs; "
            "name the columns that tell runs apart with run=..."
        )


def _points(i: int, table: Table, key: Keys, metric: list[str], value: str, *, finite: bool) -> pd.DataFrame:
    """One row a value that is not blank."""
    column = numbers(table.cells[value])
    check_column(table, value, column, finite=finite)
    name = joined(table, metric[-1:], " ", "the metric")
    for part in reversed(metric[:-1]):
        front = text(table.cells[part]).fillna("").to_numpy(dtype=object)
        name = np.array([f"{one} {rest}".strip() for one, rest in zip(front, name, strict=True)], dtype=object)
    stderr = np.full(len(name), np.nan)
    error = named(table, ERROR_NAMES)
    if error is not None:
        found = numbers(table.cells[error])
        check_column(table, error, found._replace(blank=found.blank | np.isnan(found.value)), low=0.0)
        stderr = found.value
    columns = {"run": key.run, "metric": name, "step": key.step, "value": column.value, "stderr": stderr}
    return pd.DataFrame(columns).assign(file=i, line=table.line)[~column.blank]


def _kept(path: Path, points: pd.DataFrame, patterns: list[str]) -> pd.DataFrame:
    """The points of the metrics that are asked for; ValueError for a pattern that finds none."""
    names = [str(name) for name in pd.unique(points["metric"])]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"{path}: metrics={pattern!r} matches no metric; found {some(names)}")
    keep = [name for name in names if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)]
    return points[points["metric"].isin(keep)]
