"""What W&B exports as CSV or JSON lines: the history of a run, or the chart of a metric over many runs.

A history has columns ``_step`` and ``_runtime`` or ``_timestamp``; the file is named like the run. A chart has a clock
in its first column and then, for every run, ``name - metric`` with ``name - metric__MIN`` and ``__MAX`` beside it;
charts of several metrics, a file each, are put together by the names of the runs.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.contents import read_bytes
from predictdyn.loaders.files.folders import first_line
from predictdyn.loaders.files.logs import log_files, run_names
from predictdyn.loaders.files.tables import Table, numbers, read_table
from predictdyn.loaders.json_lines.lines import ENDINGS
from predictdyn.loaders.wandb.values import OWN, STEP, WALL, Row, logged, row_of, run_log_of

TABLES = (".csv", ".csv.gz")
CLOCKS = ("_runtime", WALL)  # one of them is in every history
LOW, HIGH, BETWEEN = "__MIN", "__MAX", " - "
TIMES = ("Relative Time", "Wall Time")  # clocks of a chart that are no steps
WHERE_CUT = "line(s) cut short at the end of a file"
NO_ROW = "line(s) that are no row of history"
TEXT = "text value(s)"
AVERAGED = "value(s) that W&B has averaged over several steps (kept)"


def load(path: Path | str, **options: object) -> Curves:
    """All runs of exports at a path; options and rules are those of `gather.gathered`."""
    return gathered(path, SOURCE, options)


def scan(path: Path) -> list[Item]:
    """The runs of all exports at a path; charts of one run are together, and are read at once, each chart once."""
    histories, charts = _exports(path)
    root = path if path.is_dir() else path.parent
    items = [Item(run, (file,)) for run, file in zip(run_names(root, histories), histories, strict=True)]
    tables: dict[Path, Table] = {}
    for run, files in charts.items():
        item = Item(run, tuple(files), run)
        try:
            tables.update({file: read_table(file) for file in files if file not in tables})
            items.append(item._replace(log=_of_charts(item, [tables[file] for file in files])))
        except ValueError:
            items.append(item)  # `read` will say why
    return sorted(items, key=lambda item: item[:3])


def sniff(path: Path) -> str | None:
    """What a path holds, in words; None if no table there is an export of W&B."""
    try:
        histories, charts = _exports(path)
    except ValueError:
        return None
    files = {*histories, *(file for of_run in charts.values() for file in of_run)}
    runs = len(histories) + len(charts)
    return f"exports of W&B: {len(files)} file{'s'[: len(files) > 1]}, {runs} run{'s'[: runs > 1]}"


def read(item: Item) -> RunLog:
    """All of a run that is in its files."""
    if item.log is not None:
        return item.log
    if item.key:
        return _of_charts(item, [read_table(file) for file in item.files])
    dropped: Counter[str] = Counter()
    if item.files[0].name.lower().endswith(ENDINGS):
        rows = _lines(item.files[0], dropped)
    else:
        rows = _history_rows(read_table(item.files[0]), dropped)
    return run_log_of(item.run, [rows], {}, [], dropped)


def _exports(path: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """The histories at a path, and of each run that is in charts the files of these; ValueError if there is none."""
    histories, charts = [], dict[str, list[Path]]()
    for file in log_files(path, (*TABLES, *ENDINGS)):
        names = _columns(file)
        if _is_history(names):
            histories.append(file)
        for run in dict.fromkeys(run for run, _ in _charted(names)):
            charts.setdefault(run, []).append(file)
    if not histories and not charts:
        raise ValueError(
            f"{path}: no export of W&B, neither a history (columns {STEP} and {' or '.join(CLOCKS)}) nor a chart "
            f"(columns 'run{BETWEEN}metric' with {LOW} and {HIGH})"
        )
    return histories, charts


def _of_charts(item: Item, tables: Sequence[Table]) -> RunLog:
    dropped: Counter[str] = Counter()
    rows = [row for table in tables for row in _chart_rows(table, item.key, dropped)]
    return run_log_of(item.run, [rows], {}, [], dropped)


def _columns(file: Path) -> list[str]:
    """The column names of an export, as far as the first line tells."""
    name = file.name.lower()
    if not name.endswith(ENDINGS):
        try:
            first = first_line(file).decode("utf-8-sig") if name.endswith(TABLES) else ""
            return next(csv.reader([first.rstrip("\r\n")]), [])
        except (csv.Error, UnicodeDecodeError):
            return []
    try:
        first = json.loads(first_line(file))
    except (ValueError, RecursionError):
        return []
    return [*first] if isinstance(first, dict) else []


def _is_history(names: list[str]) -> bool:
    return STEP in names and any(clock in names for clock in CLOCKS)


def _charted(names: list[str]) -> list[tuple[str, str]]:
    """The runs and metrics of a chart. A metric has no " - " in its name, or it would be taken for part of the run's.

    >>> _charted(["Step", "a - b - loss", "a - b - loss__MIN", "a - b - loss__MAX"])
    [('a - b', 'loss')]
    """
    known = set(names)
    both = [name for name in names if {name + LOW, name + HIGH} <= known]
    return [(run, metric) for run, between, metric in (name.rpartition(BETWEEN) for name in both) if between]


def _history_rows(table: Table, dropped: Counter[str]) -> list[Row]:
    columns = {name: numbers(table.cells[name]) for name in map(str, table.cells)}
    step, wall = columns[STEP].value, columns[WALL].value if WALL in columns else np.full(len(table.cells), np.nan)
    metrics = {
        name: column for name, column in columns.items() if name not in (STEP, WALL) and not name.startswith(OWN)
    }
    dropped[TEXT] += sum(int(column.wrong.sum()) for column in metrics.values())
    values = {name: column.value.tolist() for name, column in metrics.items()}
    full = {name: (~column.blank & ~column.wrong).tolist() for name, column in metrics.items()}
    rows = []
    for i in range(len(step)):
        names = [name for name in values if full[name][i]]
        rows.append(Row(float(step[i]), float(wall[i]), names, [values[name][i] for name in names]))
    return rows


def _chart_rows(table: Table, run: str, dropped: Counter[str]) -> list[Row]:
    """The rows of one run in a chart; its own column of steps counts, if there is one."""
    names = [str(name) for name in table.cells]
    metrics = [metric for one, metric in _charted(names) if one == run]
    own = f"{run}{BETWEEN}{STEP}"
    if own not in names and names[0].startswith(TIMES):
        raise ValueError(f"{table.path}: this chart is over {names[0]!r}; export it over Step")
    step = numbers(table.cells[own if own in names else names[0]])
    rows = []
    for metric in metrics:
        column, low, high = (numbers(table.cells[f"{run}{BETWEEN}{metric}{end}"]) for end in ("", LOW, HIGH))
        if metric == STEP:
            continue
        dropped[TEXT] += int(column.wrong.sum())
        full = ~column.blank & ~column.wrong
        dropped[AVERAGED] += int((full & (low.value < high.value)).sum())
        rows += [Row(float(step.value[i]), np.nan, [metric], [float(column.value[i])]) for i in np.flatnonzero(full)]
    return rows


def _lines(file: Path, dropped: Counter[str]) -> list[Row]:
    rows = []
    lines = read_bytes(file).split(b"\n")
    for i, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
            if not isinstance(cells, dict):
                raise ValueError("no object")
            rows.append(row_of(logged(cells), dropped))
        except (ValueError, RecursionError):
            dropped[WHERE_CUT if i == len(lines) - 1 else NO_ROW] += 1
    return rows


SOURCE = Source(
    "wandb_export",
    "the history of a run, or the chart of a metric over many runs, saved as CSV or JSON lines",
    sniff,
    load,
    scan,
    read,
)
