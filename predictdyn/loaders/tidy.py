"""The tidy folder: points, runs.csv, metrics.csv and events.csv, read and written without loss."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.curves import KEY, Curves
from predictdyn.loaders.engine.companions import (
    beside,
    metrics_beside,
    read_events,
    read_metrics,
    read_runs,
    unique_runs,
)
from predictdyn.loaders.engine.facts import log_metrics
from predictdyn.loaders.engine.notes import some
from predictdyn.loaders.engine.options import METRICS_FILE, RUNS_FILE, Option
from predictdyn.loaders.engine.points import curves_at, fitted_to
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.tables import TABLES, Table, header, is_table, numbers, read_table, text

NEEDED = [*KEY, "value"]
OPTIONAL = ["stderr", "seen"]
POINTS = tuple(f"points{ending}" for ending in TABLES)
EVENTS_FILE = Option("events_file", "the table of events, where it is elsewhere")
METRIC_COLUMNS = ["metric", "kind", "lower", "upper", "better", "chance"]
READERS = ["label", "unit"]  # columns for readers, written only where one is not blank


def sniff(path: Path) -> str | None:
    """The file of points of a folder, in words, or None.

    A table of points that has another name is one where it has ``seen``, or a table of runs lies beside it. Elsewhere
    nothing says where its runs end, and the rules of all long tables (`long`) find that out.
    """
    if path.is_dir():
        name = next((name for name in POINTS if (path / name).is_file()), None)
        return f"a tidy folder ({name})" if name else None
    try:
        columns = set(header(path)) if is_table(path) else set()
        if not set(NEEDED) <= columns:
            return None
        own = path.name in POINTS or "seen" in columns or beside(path.parent, "runs", ["run"], log=path) is not None
        return "a tidy table of points" if own else None
    except ValueError:
        return None


def load(
    path: Path | str,
    *,
    runs_file: Path | str | None = None,
    metrics_file: Path | str | None = None,
    events_file: Path | str | None = None,
) -> Curves:
    """Read a tidy folder, or one file of points.

    * ``points.csv``, ``.csv.gz`` or ``.parquet``: run, metric, step, value and optionally stderr (blank where not
      known) and seen (0/1 or true/false). Names of runs and metrics are text, whatever they look like.
    * ``runs.csv`` or ``.parquet``: run, family, last_step and covariates; without it every run is its own family and
      ends at its largest step.
    * ``metrics.csv``: metric, kind, lower, upper, better, chance, label, unit; a metric not listed is known by its name
      (docs/metric-names.md), else of kind ``signal``.
    * ``events.csv``: run, step, what.

    The three options name these tables where they are elsewhere. Raises ValueError, one line with file and line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "points.csv").write_text("run,metric,step,value\\n001,loss,10,2.5\\n001,loss,20,2.25\\n")
    ...     _ = Path(folder, "runs.csv").write_text("run,last_step\\n001,40\\n")
    ...     load(Path(folder)).points["run"].tolist()
    ['001', '001']
    """
    path = Path(path)
    file = _points_file(path)
    table = read_table(file)
    _check_columns(table)
    folder = file.parent
    runs = Path(runs_file) if runs_file else beside(folder, "runs", ["run"], log=file)
    events = Path(events_file) if events_file else beside(folder, "events", ["run", "step", "what"], log=file)
    points = _points(table)
    for line in _left_open(table, runs is None):
        warnings.warn(line, UserWarning, stacklevel=2)
    stated = metrics_beside(folder, metrics_file, log=file)
    metrics, lines = fitted_to(points, log_metrics(list(pd.unique(points["metric"]))), stated)
    for line in lines:
        warnings.warn(line, UserWarning, stacklevel=2)
    return curves_at(
        points,
        [file],
        source=path,
        runs=unique_runs(read_runs(runs), runs) if runs else None,
        metrics=metrics,
        stated=stated,
        events=read_events(events) if events else None,
    )


def save(curves: Curves, folder: Path | str) -> None:
    """Write curves as a tidy folder that `load` reads back exactly.

    Points are parquet, the other tables CSV. A table is parquet too where its text would come back as something else:
    a covariate as a number (``001``), a name without the blanks around it. Everything is written aside first and then
    moved into place, over the tables that an earlier call left there. Raises ValueError if the folder holds points of
    another file type, which stay untouched.
    """
    folder = Path(folder)
    foreign = [name for name in POINTS if name != "points.parquet" and (folder / name).exists()]
    if foreign:
        raise ValueError(f"{folder}: holds {foreign[0]} already; choose an empty folder, or remove that file")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written ({error.strerror})") from None
    try:
        _write(curves, aside)
        folder.mkdir(exist_ok=True)
        beside = [f"{name}{ending}" for name in ("metrics", "runs", "events") for ending in (".csv", ".parquet")]
        for name in ("points.parquet", *beside):
            if (aside / name).exists():
                os.replace(aside / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(curves: Curves, folder: Path) -> None:
    _write_parquet(curves.points, folder / "points.parquet")
    save_tables(curves, folder)


def save_tables(curves: Curves, folder: Path) -> None:
    """Write the tables of a tidy folder but for its points."""
    metrics = pd.DataFrame(list(curves.metrics.values()), columns=[*METRIC_COLUMNS, "guessed", *READERS])
    metrics = metrics.drop(columns=[name for name in READERS if not (metrics[name] != "").any()])
    # A kind that is known by its name alone must not come back as one that somebody stated.
    guessed = metrics.pop("guessed").astype(bool)
    metrics = metrics.assign(guessed=np.where(guessed, "1", "")) if guessed.any() else metrics
    _write_table(curves.runs.reset_index(), folder / "runs.csv", lambda path: _same(curves.runs, path))
    _write_table(metrics, folder / "metrics.csv", lambda path: read_metrics(path) == dict(curves.metrics))
    if len(curves.events):
        what = curves.events[["run", "what"]]
        _write_table(curves.events, folder / "events.csv", lambda path: read_events(path)[["run", "what"]].equals(what))


def _write_table(table: pd.DataFrame, path: Path, same: Callable[[Path], bool]) -> None:
    """A table as CSV, or as parquet where the CSV would not be read as what was written."""
    _write_csv(table, path)
    try:
        kept = same(path)
    except ValueError:
        kept = False  # two names that differ in blanks only
    if not kept:
        path.unlink()
        _write_parquet(table, path.with_suffix(".parquet"))


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    with path.open("wb") as file:  # by its path, pyarrow opens no file whose name is no UTF-8
        table.to_parquet(file, index=False)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    lines = table.to_csv(index=False)
    # A carriage return in a name is only safe between quotes, which csv does not always set by itself.
    lines = table.to_csv(index=False, quoting=csv.QUOTE_ALL) if "\r" in lines else lines
    path.write_text(lines, encoding="utf-8", newline="")


def _same(runs: pd.DataFrame, path: Path) -> bool:
    """Whether a table of runs would be read back as it was written (last_step takes the type of the steps anyway)."""
    back = read_runs(path)
    rest = [name for name in runs.columns if name != "last_step"]
    # Some versions of pandas call whole numbers equal that are objects here and integers there.
    alike = all(runs[name].dtype.kind == back[name].dtype.kind for name in rest)
    return alike and runs[rest].equals(back[rest])


def _points_file(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if not path.is_dir():
        return path
    found = [name for name in POINTS if (path / name).is_file()]
    if len(found) > 1:
        raise ValueError(f"{path}: holds {' and '.join(found)}; keep one file of points")
    if not found:
        inside = ", ".join(sorted(file.name for file in path.iterdir())[:5]) or "nothing"
        raise ValueError(f"{path}: expected points.csv, points.csv.gz or points.parquet, found {inside}")
    return path / found[0]


def _check_columns(table: Table) -> None:
    missing = [name for name in NEEDED if name not in table.cells]
    if missing:
        raise ValueError(
            f"{table.path}: missing column(s) {', '.join(missing)}; found {', '.join(map(str, table.cells))}; needed "
            f"are {', '.join(NEEDED)} (stderr and seen are optional)"
        )
    if table.cells.empty:
        raise ValueError(f"{table.path}: no rows")


def _left_open(table: Table, alone: bool) -> list[str]:
    """What is not read of a table of points, and what is assumed where it is ``alone``, without a table of runs."""
    lines = []
    rest = [str(name) for name in table.cells if name not in (*NEEDED, *OPTIONAL)]
    if rest:
        lines.append(
            f"{table.path}: {len(rest)} column(s) left out: {some(rest, 6)}; settings of runs belong in runs.csv, or "
            "read the file as a long table with source='long'"
        )
    if alone:
        lines.append(
            f"{table.path}: no runs.csv says where runs end, so each counts as ended at its last step; a run that goes "
            "on needs last_step in runs.csv, or read the file as a long table with source='long'"
        )
    return lines


def _points(table: Table) -> pd.DataFrame:
    columns: dict[str, object] = {}
    for name in ("run", "metric"):
        names = text(table.cells[name])
        _refuse(names.isna().to_numpy(), table, f"{name} is blank")
        columns[name] = names
    for name in ("step", "value"):
        found = numbers(table.cells[name])
        _refuse(found.blank & ~np.isfinite(found.value), table, f"{name} is blank, expected a number")
        _refuse(found.wrong, table, f"{name} must be a number", name)
        columns[name] = found.value
    if "stderr" in table.cells:
        found = numbers(table.cells["stderr"])
        wrong = found.wrong | np.isinf(found.value) | (found.value < 0)
        _refuse(wrong, table, "stderr must be a finite number >= 0 or blank", "stderr")
        columns["stderr"] = found.value
    if "seen" in table.cells:
        cells = text(table.cells["seen"]).str.lower()
        known = {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}
        _refuse(~cells.isin(list(known)).to_numpy(), table, "seen must be 0 or 1 (or false, true)", "seen")
        columns["seen"] = cells.map(known).astype(bool)
    return pd.DataFrame(columns).assign(file=0, line=table.line)


def _refuse(bad: np.ndarray, table: Table, rule: str, name: str = "") -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        cell = f", found {table.cells[name].iloc[row]!r}" if name else ""
        raise ValueError(f"{table.where(row)}: {rule}{cell}")


SOURCE = Source(
    "tidy",
    "the tidy folder, see below",
    sniff,
    load,
    load_options=(RUNS_FILE, METRICS_FILE, EVENTS_FILE),
)
