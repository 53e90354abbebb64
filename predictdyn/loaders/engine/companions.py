"""The small tables beside a log: runs.csv, metrics.csv and events.csv, in the columns of the tidy folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from predictdyn.curves import EVENT_COLUMNS, KINDS, Better, Metric
from predictdyn.loaders.files.tables import Table, finite, header, read_table, text, typed

BOUNDS = ["lower", "upper", "chance"]


def beside(folder: Path, name: str, columns: Iterable[str], *, log: Path | None = None) -> Path | None:
    """The table ``name``.csv or .parquet of a folder, if it has one of ``columns`` in its header.

    A file of that name that has none of them is something else (some loggers call their log metrics.csv), as is
    ``log`` itself.
    """
    found = [path for ending in (".csv", ".parquet") if (path := folder / f"{name}{ending}").is_file() and path != log]
    if len(found) > 1:
        raise ValueError(f"{folder}: has both {found[0].name} and {found[1].name}; keep one")
    return found[0] if found and set(columns) & set(header(found[0])) else None


def read_runs(path: Path, key: str = "run") -> pd.DataFrame:
    """A table of runs, indexed by run (the column ``key``): family, last_step and covariates, typed.

    Raises ValueError for a missing or blank run and for text in last_step. A run named twice is left to the reader.
    """
    table = read_table(path)
    _need(table, [key], "family, last_step and covariates are optional")
    # Parquet has its types: text that looks like a number (007) is text there, whatever pandas calls it.
    own = path.suffix.lower() == ".parquet"
    columns = {str(name): table.cells[name] if own else typed(table.cells[name]) for name in table.cells if name != key}
    for name in ("family",):
        if name in columns:
            columns[name] = text(table.cells[name])
    if "last_step" in columns:
        columns["last_step"] = pd.Series(finite(table, "last_step"))
        if not (columns["last_step"].dropna() > 0).all():
            row = int(np.flatnonzero(~(columns["last_step"].fillna(1) > 0))[0])
            raise ValueError(f"{table.where(row)}: last_step must be > 0, found {columns['last_step'][row]:g}")
    runs = pd.DataFrame(columns, index=pd.RangeIndex(len(table.cells)))
    runs.index = pd.Index(_names(table, key), name="run", dtype="str")
    return runs


def read_metrics(path: Path) -> dict[str, Metric]:
    """A table of metrics: metric, kind and optionally lower, upper, better, chance, label, unit, blank where unknown.

    ``guessed`` (1 or blank) marks a schedule that is one by its name alone; a table without that column states kinds.
    """
    table = read_table(path)
    _need(table, ["metric", "kind"], "lower, upper, better, chance, label and unit are optional")
    names = _names(table, "metric")
    bounds = {name: finite(table, name) if name in table.cells else np.full(len(names), np.nan) for name in BOUNDS}
    kinds = _words(table, "kind")
    said, betters = (_optional(table, column) for column in ("guessed", "better"))
    labels, units = ([one or "" for one in _optional(table, column)] for column in ("label", "unit"))
    metrics: dict[str, Metric] = {}
    for row, name in enumerate(names):
        if name in metrics:
            raise ValueError(f"{table.where(row)}: metric {name!r} is named more than once")
        if kinds[row] not in KINDS:
            raise ValueError(
                f"{table.where(row)}: metric {name!r} has kind {kinds[row]!r}; allowed are {', '.join(KINDS)}"
            )
        better = betters[row] if isinstance(betters[row], str) else None
        if better not in (None, *get_args(Better)):
            raise ValueError(
                f"{table.where(row)}: metric {name!r} has better {better!r}; "
                f"allowed are {', '.join(get_args(Better))} or blank"
            )
        lower, upper, chance = (None if np.isnan(bounds[b][row]) else float(bounds[b][row]) for b in BOUNDS)
        if lower is not None and upper is not None and not lower < upper:
            raise ValueError(f"{table.where(row)}: metric {name!r} has lower {lower:g} not below upper {upper:g}")
        if said[row] not in (None, "", "0", "1") and said[row] == said[row]:
            raise ValueError(f"{table.where(row)}: guessed must be 1, 0 or blank, found {said[row]!r}")
        ranges = (lower, upper, better, chance, said[row] == "1")
        metrics[name] = Metric(name, kinds[row], *ranges, labels[row], units[row])
    return metrics


def _optional(table: Table, name: str) -> list[Any]:
    """As `_words`; None in every row where there is no such column."""
    return _words(table, name) if name in table.cells else [None] * len(table.cells)


def _words(table: Table, name: str) -> list[Any]:
    """A column of words, without the blanks around them; None where blank."""
    return [cell.strip() if isinstance(cell, str) else None for cell in text(table.cells[name])]


def read_events(path: Path) -> pd.DataFrame:
    """A table of events: run, step, what."""
    table = read_table(path)
    _need(table, EVENT_COLUMNS, "")
    step = finite(table, "step")
    if np.isnan(step).any():
        raise ValueError(f"{table.where(int(np.flatnonzero(np.isnan(step))[0]))}: step is blank")
    what = [cell or "" for cell in text(table.cells["what"]).astype(object).where(lambda cells: cells.notna(), "")]
    return pd.DataFrame({"run": _names(table, "run"), "step": step, "what": what})


def metrics_beside(folder: Path, metrics_file: Path | str | None, *, log: Path | None = None) -> dict[str, Metric]:
    """The metrics that a user states: from ``metrics_file``, else from the metrics.csv of the folder, else none."""
    path = Path(metrics_file) if metrics_file else beside(folder, "metrics", ["kind"], log=log)
    return read_metrics(path) if path else {}


def unique_runs(runs: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The same table; ValueError where a run is named twice."""
    double = runs.index[runs.index.duplicated()]
    if len(double):
        raise ValueError(f"{path}: run {double[0]!r} is named more than once")
    return runs


def _need(table: Table, needed: list[str], rest: str) -> None:
    missing = [name for name in needed if name not in table.cells]
    if missing:
        found = ", ".join(map(str, table.cells))
        raise ValueError(
            f"{table.path}: missing column(s) {', '.join(missing)}; found {found}; needed are {', '.join(needed)}"
            + (f" ({rest})" if rest else "")
        )


def _names(table: Table, name: str) -> list[str]:
    """A column of names; ValueError where one is blank."""
    names = text(table.cells[name])
    if names.isna().any():
        raise ValueError(f"{table.where(int(np.flatnonzero(names.isna())[0]))}: {name} is blank")
    return names.tolist()
