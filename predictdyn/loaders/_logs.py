"""Tables of training logs become Curves: the shared part of wide, json_lines and long."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.loaders._as_logged import as_logged
from predictdyn.loaders._companions import beside, metrics_beside, read_runs, unique_runs
from predictdyn.loaders._facts import log_metric
from predictdyn.loaders._folders import files_named
from predictdyn.loaders._merge import some
from predictdyn.loaders._names import families_by
from predictdyn.loaders._points import curves_at
from predictdyn.loaders._tables import Numbers, Table, numbers, stem, text, typed

RUN_NAMES = ("run", "run_name", "name", "model", "model_name", "run_id", "experiment")
STEP_NAMES = (
    "step", "global_step", "trainer/global_step", "train/global_step", "_step", "steps", "iteration", "iter", "tokens",
    "epoch",
)  # fmt: skip
# Clocks, not metrics: left out unless chosen.
CLOCKS = (*STEP_NAMES, "train/epoch", "time", "timestamp", "_timestamp", "_runtime", "wall_time", "elapsed", "eta")


YES, NO = ("yes", "true", "1"), ("no", "false", "0")


class Options(NamedTuple):
    """The choices of a user, as `wide.load` documents them."""

    run: str | Sequence[str] | None
    step: str | None
    family: str | None
    metrics: str | Sequence[str] | None
    covariates: str | Sequence[str] | None
    last_step: str | float | None
    metrics_file: Path | str | None
    runs_file: Path | str | None
    merge: bool | str = False

    @property
    def merging(self) -> bool:
        """Whether faults are merged; ValueError where that is not yes or no."""
        word = str(self.merge).lower()
        if word not in (*YES, *NO):
            raise ValueError(f"merge must be yes or no, found {self.merge!r}")
        return word in YES


def log_files(path: Path, endings: tuple[str, ...], aside: tuple[str, ...] = ()) -> list[Path]:
    """The log itself, or all logs below a folder but for companions (``aside``); ValueError if there is none."""
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    files = files_named(path, lambda name: name.lower().endswith(endings) and name not in aside)
    if not files:
        raise ValueError(f"{path}: no {', '.join(endings)} file in this folder")
    return files


def run_names(root: Path, files: list[Path]) -> list[str]:
    """The run of every file: its name without endings, with its folders in front where two files share that name."""
    names = [stem(file) for file in files]
    if len(set(names)) == len(names):
        return names
    return [str(file.relative_to(root).parent / stem(file)) for file in files]


def listed(chosen: str | Sequence[str] | None) -> list[str]:
    """Names as a list; a string holds them between commas."""
    names = chosen.split(",") if isinstance(chosen, str) else (chosen or [])
    return [name.strip() for name in names if name.strip()]


def curves_of_logs(root: Path, tables: list[Table], options: Options) -> Curves:
    """All tables of a log, one row a step and one column a metric, each with its own clock, as one set of curves."""
    tables = _with_clock(root, tables, options)
    names = run_names(root, [table.path for table in tables])
    keys = [Keys.of(table, name, options) for table, name in zip(tables, names, strict=True)]
    chosen = _metrics(root, tables, keys, options)
    parts = [_melt(i, table, key, chosen[i]) for i, (table, key) in enumerate(zip(tables, keys, strict=True))]
    return as_curves(root, tables, keys, pd.concat(parts, ignore_index=True), options)


def as_curves(root: Path, tables: list[Table], keys: list[Keys], points: pd.DataFrame, options: Options) -> Curves:
    """Points (run, metric, step, value, stderr, file, line) with what tables and companions say of runs and metrics."""
    folder, only = (root, None) if root.is_dir() else (root.parent, root)
    if points.empty:
        raise ValueError(f"{root}: the metrics have no values")
    events = None
    if options.merging:
        points, events, lines = as_logged(points)
        for line in lines:
            warnings.warn(line, UserWarning, stacklevel=4)
    stated = metrics_beside(folder, options.metrics_file, log=only)
    return curves_at(
        points,
        [table.path for table in tables],
        source=root,
        runs=_runs(folder, tables, keys, set(points["run"]), options, only),
        metrics={name: log_metric(name) for name in pd.unique(points["metric"])} | stated,
        events=events,
    )


def _with_clock(root: Path, tables: list[Table], options: Options) -> list[Table]:
    """Of the tables of a folder those that have a step, if any has; what is passed over is said."""
    has = [named(table, STEP_NAMES) is not None for table in tables]
    if options.step is not None or all(has) or not any(has):
        return tables
    without = [table.path.name for table, one in zip(tables, has, strict=True) if not one]
    line = f"{root}: {len(without)} file(s) without a step passed over: {some(without)}; name their step with step=..."
    warnings.warn(line, UserWarning, stacklevel=4)
    return [table for table, one in zip(tables, has, strict=True) if one]


class Keys(NamedTuple):
    """Which columns of a table name run and step, its run of every row and its step of every row, each (rows,)."""

    run_columns: list[str]
    step_column: str
    run: np.ndarray
    step: np.ndarray

    @classmethod
    def of(cls, table: Table, name: str, options: Options) -> Keys:
        """``name`` is that of the run where no column says it; of several columns the cells are joined with /."""
        if table.cells.empty:
            raise ValueError(f"{table.path}: no rows")
        run_columns = chosen_columns(table, options.run, "run") or [one for one in [named(table, RUN_NAMES)] if one]
        step_column = options.step or named(table, STEP_NAMES)
        if options.step is not None:
            need_column(table, options.step, f"step={options.step!r}")
        if step_column is None:
            raise ValueError(
                f"{table.path}: no step column; found {_few(table.cells.columns)}; name it with step=..., "
                f"known by themselves are {', '.join(STEP_NAMES)}"
            )
        runs = joined(table, run_columns, "/", "the run") if run_columns else np.full(len(table.cells), name, object)
        step = numbers(table.cells[step_column])
        bad = ~np.isfinite(step.value)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            found = table.cells[step_column].iloc[row]
            raise ValueError(f"{table.where(row)}: {step_column} (the step) must be a finite number, found {found!r}")
        return cls(run_columns, step_column, runs, step.value)


def joined(table: Table, names: Sequence[str], between: str, word: str) -> np.ndarray:
    """The cells of some columns (rows,) as one text each; ValueError for the first that is blank."""
    cells = [text(table.cells[name]) for name in names]
    for name, column in zip(names, cells, strict=True):
        if column.isna().any():
            raise ValueError(f"{table.where(int(np.flatnonzero(column.isna())[0]))}: {name} ({word}) is blank")
    return np.array([between.join(row) for row in zip(*cells, strict=True)], dtype=object)


def chosen_columns(table: Table, wanted: str | Sequence[str] | None, word: str) -> list[str]:
    """The columns that an option names, several between commas; ValueError for one that is not there."""
    names = [wanted] if isinstance(wanted, str) and wanted in table.cells else listed(wanted)
    for name in names:
        need_column(table, name, f"{word}={wanted!r}")
    return names


def named(table: Table, known: tuple[str, ...]) -> str | None:
    """The column of a table that has the first of some names, in whatever case."""
    lower = {str(name).lower(): str(name) for name in reversed(list(table.cells))}
    return next((lower[name] for name in known if name in lower), None)


def _few(names: Iterable[str]) -> str:
    first = [str(name) for name in names]
    return ", ".join(first[:12]) + (", ..." if len(first) > 12 else "")


def need_column(table: Table, name: str, said: str) -> None:
    """Raises ValueError where a table has no such column; ``said`` is what asked for it."""
    if name not in table.cells:
        raise ValueError(f"{table.path}: {said} names no column; found {_few(table.cells.columns)}")


def _metrics(
    root: Path, tables: list[Table], keys: list[Keys], options: Options
) -> list[dict[str, tuple[Numbers, Numbers | None]]]:
    """For every table the numbers (and standard errors) of the columns that are metrics."""
    everything = list(dict.fromkeys(str(name) for table in tables for name in table.cells))
    patterns = listed(options.metrics)
    for pattern in patterns:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in everything):
            raise ValueError(f"{root}: metrics={pattern!r} matches no column; found {_few(everything)}")
    taken = {options.family, options.last_step, *listed(options.covariates)}
    taken |= {name for key in keys for name in (*key.run_columns, key.step_column)}
    if patterns:
        names = [n for n in everything if any(n == p or fnmatchcase(n, p) for p in patterns) and n not in taken]
    else:
        names = [name for name in everything if name not in taken and name.lower() not in CLOCKS]
    errors = {f"{name}_stderr" for name in everything if f"{name}_stderr" in everything}
    found = [{n: numbers(table.cells[n]) for n in names if n in table.cells} for table in tables]
    numeric = {name for columns in found for name, column in columns.items() if np.any(~column.blank & ~column.wrong)}
    numeric -= errors
    if not numeric:
        raise ValueError(f"{root}: no column of numbers to take as a metric; found {_few(everything)}")
    chosen = []
    for table, columns in zip(tables, found, strict=True):
        with_error: dict[str, tuple[Numbers, Numbers | None]] = {}
        for name in (name for name in columns if name in numeric):
            error = numbers(table.cells[f"{name}_stderr"]) if f"{name}_stderr" in table.cells else None
            check_column(table, name, columns[name], finite=not options.merging)
            if error is not None:
                check_column(
                    table, f"{name}_stderr", error._replace(blank=error.blank | np.isnan(error.value)), low=0.0
                )
            with_error[name] = (columns[name], error)
        chosen.append(with_error)
    return chosen


def check_column(table: Table, name: str, column: Numbers, low: float = -np.inf, *, finite: bool = True) -> None:
    """Raises ValueError for the first cell that is neither a number (``finite``, of at least ``low``) nor blank."""
    bad = column.wrong | (~np.isfinite(column.value) & ~column.blank & finite) | (column.value < low)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        found = table.cells[name].iloc[row]
        least = "" if low == -np.inf else f" >= {low:g}"
        raise ValueError(
            f"{table.where(row)}: {name} must be a finite number{least} or blank, found {found!r}; "
            "choose other columns with metrics=..., or leave the cell blank"
            + " (merge=yes makes it an event)"
            * (not column.wrong[row])
        )


def _melt(i: int, table: Table, key: Keys, chosen: dict[str, tuple[Numbers, Numbers | None]]) -> pd.DataFrame:
    """One row a logged value: a blank cell was not logged at that step."""
    parts = []
    for name, (column, error) in chosen.items():
        row = np.flatnonzero(~column.blank)
        stderr = np.full(len(row), np.nan) if error is None else error.value[row]
        part = {"run": key.run[row], "metric": name, "step": key.step[row], "value": column.value[row]}
        parts.append(pd.DataFrame({**part, "stderr": stderr, "file": i, "line": table.line[row]}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _constant(tables: list[Table], keys: list[Keys], name: str, said: str) -> dict[str, object]:
    """The one value of a column in every run; ValueError where a run has two."""
    value: dict[str, object] = {}
    if not any(name in table.cells for table in tables):
        need_column(tables[0], name, said)
    for table, key in zip(tables, keys, strict=True):
        if name not in table.cells:
            continue
        cells = typed(table.cells[name])
        for row in map(int, np.flatnonzero(cells.notna())):
            run, cell = key.run[row], cells.iloc[row]
            if value.setdefault(run, cell) != cell:
                raise ValueError(
                    f"{table.where(row)}: {said} must be constant within a run, but run {run!r} has "
                    f"{value[run]} and {cell}; take it as a metric instead"
                )
    return value


def _runs(
    folder: Path, tables: list[Table], keys: list[Keys], names: set[str], options: Options, only: Path | None
) -> pd.DataFrame:
    path = Path(options.runs_file) if options.runs_file else beside(folder, "runs", ["run"], log=only)
    index = pd.Index(sorted(names), name="run", dtype="str")
    runs = unique_runs(read_runs(path), path) if path else pd.DataFrame(index=index)
    missing = index.difference(runs.index)
    if len(missing):
        raise ValueError(f"{path}: no row for run {missing[0]!r}; every run of the log needs one")
    runs = runs.loc[index].copy()
    everything = {str(name) for table in tables for name in table.cells}
    if options.family is not None:
        by_regex = options.family not in everything and "(" in options.family
        family = families_by(options.family, index) if by_regex else _constant(
            tables, keys, options.family, f"family={options.family!r}"
        )  # fmt: skip
        runs["family"] = pd.Series([family.get(run, run) for run in index], index=index).astype("str")
    if options.last_step is not None:
        said = f"last_step={options.last_step!r}"
        if str(options.last_step) in everything:
            planned = _constant(tables, keys, str(options.last_step), said)
            runs["last_step"] = pd.to_numeric(pd.Series([planned.get(run) for run in index], index=index))
        else:
            runs["last_step"] = planned_end(options.last_step, f"{folder if only is None else only}: ")
    for name in listed(options.covariates):
        value = _constant(tables, keys, name, f"covariate {name!r}")
        runs[name] = pd.Series([value.get(run) for run in index], index=index).infer_objects()
    return runs


def planned_end(last_step: str | float, source: str = "") -> float:
    """``last_step`` as a number of steps; ValueError where it is none."""
    try:
        number = float(last_step)
    except (ValueError, TypeError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise ValueError(f"{source}last_step must be a number > 0 (or name a column of it), found {last_step!r}")
    return number
