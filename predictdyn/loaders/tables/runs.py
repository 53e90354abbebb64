"""Rows of tables, one row a step and one column a metric, become the logs of runs."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.loaders.engine.facts import is_clock, plain_name
from predictdyn.loaders.engine.lengths import EPOCHS as EPOCH_KEYS
from predictdyn.loaders.engine.lengths import STEPS as STEP_KEYS
from predictdyn.loaders.engine.lengths import epochs_planned
from predictdyn.loaders.engine.notes import some
from predictdyn.loaders.engine.runlog import Item, Places, RunLog
from predictdyn.loaders.engine.words import listed
from predictdyn.loaders.files.settings_beside import table_settings
from predictdyn.loaders.files.tables import Numbers, Table, numbers, text, typed
from predictdyn.loaders.tables.clock import EPOCHS as EPOCH_CLOCKS
from predictdyn.loaders.tables.clock import STEP_NAMES, clock_of, named
from predictdyn.loaders.tables.places import PHASES, Part, parts_of
from predictdyn.loaders.tables.words import Words, lines_on, settings_in

RUN_NAMES = ("run", "run_name", "name", "model", "model_name", "run_id", "experiment")
TELLING = re.compile(r"(?:^|_)(?:seeds?|trials?|trial_id|folds?|replicas?|repeats?|repetition)(?:_|$)")
NO_RUN = re.compile(r"(?:^|_)(?:metrics?|tags?|keys?|name_of_metric|phase|time|date)(?:_|$)")
PHASE_NAMES = ("mode", "phase", "split", "stage", "subset", "set")
MOST_BESIDE = 8  # columns that a table of one metric may have beside it
UNREAD = "row(s) without a step left out"
NO_NUMBER = "cell(s) left out that are no numbers"


class Choices(NamedTuple):
    """What a user says of tables: a field an option of `options.TABLE_OPTIONS`, as `wide.load` documents it."""

    run: str | Sequence[str] | None = None
    step: str | None = None
    files: str | None = None
    family: str | None = None
    covariates: str | Sequence[str] | None = None
    last_step: str | float | None = None
    merge: str = "auto"
    # Whether a fault in a cell, or values that contradict each other, are errors unless merge says otherwise.
    strict: bool = True

    @property
    def refusing(self) -> bool:
        """Whether faults are errors."""
        return self.strict if self.merge == "auto" else self.merge == "no"


class Columns(NamedTuple):
    """A table as curves: of each row its ``run``, ``front`` (of the metric) and ``step``; ``metrics`` are its columns
    of numbers by name; ``settings`` are columns that hold for a whole run, ``clock`` is the column of the step,
    ``words`` are columns that hold something, but no value: no number, or, where metrics were given, none of them.
    """

    table: Table
    run: np.ndarray
    front: np.ndarray | None
    step: np.ndarray
    metrics: Mapping[str, Numbers]
    settings: Mapping[str, pd.Series]
    clock: str
    study: str = ""
    words: Sequence[str] = ()


def items_of(root: Path, tables: Sequence[Table | Item], choices: Choices) -> list[Item]:
    """The runs of wide tables, each with its log; tables that could not be read are runs without one."""
    read = [table for table in tables if isinstance(table, Table)]
    damaged = [table for table in tables if isinstance(table, Item)]
    if damaged and not read:
        raise ValueError(damaged[0].key)
    with_clock = _with_clock(root, read, choices)
    single = {table.path: _single(table) for table in with_clock}
    parts = parts_of(root, single, choices.files)
    found = [columns_of(table, parts[table.path], choices) for table in with_clock]
    found, lines = _with_words(found, choices)
    if not any(columns.metrics for columns in found):
        every = list(dict.fromkeys(str(name) for table in with_clock for name in table.cells))
        more = "".join(f"; {line}" for line in lines[:1])
        raise ValueError(f"{root}: no column of numbers to take as a metric; found {few(every)}{more}")
    for line in lines:
        warnings.warn(line, UserWarning, stacklevel=3)
    noted = Noted({}, {}, {}, {})
    for columns in found:
        note(columns, noted)
    _with_settings(found, noted)
    rows = [rows_of(columns) for columns in found]
    return [*logs_of([table.path for table in with_clock], rows, noted, strict=choices.strict), *damaged]


def read_item(item: Item) -> RunLog:
    """The log of an item; ValueError, with the reason, where its file could not be read."""
    if item.log is None:
        raise ValueError(item.key)
    return item.log


def readable(files: Sequence[Path], read, whole: bool) -> list[Table | Item]:  # type: ignore[no-untyped-def]
    """The tables of files; of several (``whole`` is false) those that are damaged become items that say why.

    So does a table without rows: its run has just begun.
    """
    tables: list[Table | Item] = []
    for file in files:
        try:
            table = read(file)
            if table.cells.empty:
                raise ValueError(f"{file}: no rows, only names of columns")
            tables.append(table)
        except ValueError as error:
            if whole:
                raise
            tables.append(Item(file.name, (file,), str(error)))
    return tables


def _with_clock(root: Path, tables: Sequence[Table], choices: Choices) -> list[Table]:
    """The tables that have a step, if any has; what is passed over is said."""
    if choices.step is not None or len(tables) < 2:
        return list(tables)
    has = [named(table, STEP_NAMES) is not None or _guess(table) for table in tables]
    if all(has) or not any(has):
        return list(tables)
    without = [table.path.name for table, one in zip(tables, has, strict=True) if not one]
    line = f"{root}: {len(without)} file(s) without a step passed over: {some(without)}; name their step with step=..."
    warnings.warn(line, UserWarning, stacklevel=4)
    return [table for table, one in zip(tables, has, strict=True) if one]


def _guess(table: Table) -> bool:
    blank = np.full(len(table.cells), "", dtype=object)
    return clock_of(table, blank, None, None) is not None


def _single(table: Table) -> str | None:
    """The one column of numbers beside clocks and times, where there is one."""
    rest = [str(name) for name in table.cells if str(name).lower() not in STEP_NAMES and not is_clock(str(name))]
    if len(rest) > MOST_BESIDE:
        return None
    rest = [name for name in rest if not numbers(table.cells[name]).wrong.any()]
    return rest[0] if len(rest) == 1 else None


def columns_of(table: Table, part: Part, choices: Choices, only: Sequence[str] | None = None) -> Columns:
    """What the columns of one table are; ValueError, with file and line, for what is wrong in them.

    ``only`` these may be metrics, where it is given, and phases are left to the reader.
    """
    run_columns = chosen_columns(table, choices.run, "run") or [one for one in [named(table, RUN_NAMES)] if one]
    if choices.step is not None:
        need_column(table, choices.step, f"step={choices.step!r}")
    run = joined(table, run_columns, "/", "the run") if run_columns else np.full(len(table.cells), part.run, object)
    phase_column, phase = _phase(table) if only is None else (None, None)
    clock = clock_of(table, run, phase, choices.step)
    guess = clock is not None and only is None and not run_columns
    if guess and clock is not None and (telling := _telling(table, clock.step, phase_column)):
        line = f"{table.path}: steps repeat, and runs are told apart by {telling}; choose the columns with run=..."
        warnings.warn(line, UserWarning, stacklevel=5)
        run_columns, run = [telling], joined(table, [telling], "/", "the run")
        if not numbers(table.cells[telling]).wrong.any():
            run = np.array([f"{part.run}_{telling}{cell}" for cell in run], dtype=object)
        clock = clock_of(table, run, phase, choices.step)
    if clock is None:
        raise ValueError(
            f"{table.path}: no step column; found {few(table.cells.columns)}; name it with step=..., "
            f"known by themselves are {', '.join(STEP_NAMES)}"
        )
    if clock.line:
        warnings.warn(clock.line, UserWarning, stacklevel=5)
    if choices.refusing:
        _check_clock(table, clock.columns[0], clock.step)
    settings = _settings(table, run, choices)
    used = {*run_columns, *clock.columns, *settings, *([phase_column] if phase_column else [])}
    free = [str(name) for name in table.cells if str(name) not in used]
    names = [name for name in free if only is None or name in only]
    rest = {name: numbers(table.cells[name]) for name in names}
    metrics = {name: column for name, column in rest.items() if (~column.blank & ~column.wrong).any()}
    words = [name for name, column in rest.items() if name not in metrics and column.wrong.any()]
    words += [name for name in free if name not in names and not numbers(table.cells[name]).blank.all()]
    if choices.refusing:
        for name, column in metrics.items():
            check_column(table, name, column)
    if part.metric is not None and len(single := [name for name in metrics if not is_clock(name)]) == 1:
        metrics = {part.metric: metrics[single[0]]}
    front = _fronts(table, phase, metrics) if phase is not None else None
    if part.front:
        front = np.full(len(run), f"{part.front}/", object) if front is None else f"{part.front}/" + front
    # Trials of a search were meant to be equally long.
    study = str(table.path) if any("trial" in plain_name(name) for name in run_columns) else ""
    return Columns(table, run, front, clock.step, metrics, settings, clock.columns[0], study, words)


def _with_words(found: Sequence[Columns], choices: Choices) -> tuple[list[Columns], list[str]]:
    """The same columns with settings that are words, and lines on all columns without numbers."""
    words = [Words(columns.table, columns.run, columns.words) for columns in found]
    metrics = {name for columns in found for name in columns.metrics}
    kept = settings_in(words, metrics) if choices.covariates is None else []
    return [with_settings(columns, kept) for columns in found], lines_on(words, metrics, kept)


def with_settings(columns: Columns, names: Sequence[str]) -> Columns:
    """The same columns, where those of ``words`` that have one of these names are settings of runs, too."""
    more = {name: typed(columns.table.cells[name]) for name in names if name in columns.words}
    return columns._replace(settings={**columns.settings, **more})


def _telling(table: Table, step: np.ndarray, phase: str | None) -> str | None:
    """Where steps repeat: the first column of words, or of numbers with such a name, within which none does."""
    if not (np.diff(step) <= 0).any():
        return None
    for name in map(str, table.cells):
        words = text(table.cells[name])
        says = TELLING.search(plain_name(name)) is not None
        if name == phase or words.isna().any() or not (says or numbers(table.cells[name]).wrong.all()):
            continue
        if NO_RUN.search(plain_name(name)):
            continue
        groups = pd.Series(step).groupby(words.to_numpy(dtype=object))
        if 1 < groups.ngroups <= len(step) / 3 and groups.apply(lambda own: (own.diff().dropna() > 0).all()).all():
            return name
    return None


def _phase(table: Table) -> tuple[str | None, np.ndarray | None]:
    """The column that says which phase a row is of, where rows are of several, and its cells in lower case."""
    for name in PHASE_NAMES:
        column = named(table, (name,))
        if column is None:
            continue
        cells = text(table.cells[column]).fillna("").str.strip().str.lower().to_numpy(dtype=object)
        if set(cells) <= set(PHASES) and len(set(cells)) > 1:
            return column, cells
    return None, None


def _fronts(table: Table, phase: np.ndarray, metrics: Mapping[str, Numbers]) -> np.ndarray:
    """What stands in front of the metrics of each row: its phase, if phases share metrics, else nothing."""
    logged = {
        one: {name for name, column in metrics.items() if (~column.blank[phase == one]).any() and not is_clock(name)}
        for one in sorted(set(phase))
    }
    times = Counter(name for names in logged.values() for name in names)
    shared = any(count > 1 for count in times.values())
    return np.array([f"{one}/" if shared else "" for one in phase], dtype=object)


def _check_clock(table: Table, name: str, step: np.ndarray) -> None:
    bad = ~np.isfinite(step) | (step < 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        found = table.cells[name].iloc[row]
        raise ValueError(
            f"{table.where(row)}: {name} (the step) must be a finite number >= 0, found {found!r}; merge='yes' leaves "
            "such rows out"
        )


def _settings(table: Table, run: np.ndarray, choices: Choices) -> dict[str, pd.Series]:
    """Columns that hold for a whole run: those that options name, and those that state its length."""
    everything = [str(name) for name in table.cells]
    asked = [*listed(choices.covariates)]
    for name in asked:
        need_column(table, name, f"covariate {name!r}")
    if choices.family is not None:
        asked += [name for name in listed(choices.family) if name in everything]
    if choices.last_step is not None and str(choices.last_step) in everything:
        asked.append(str(choices.last_step))
    settings = {name: constant(table, run, name) for name in dict.fromkeys(asked)}
    for name in everything:
        plain = name.rpartition("/")[2].lower()
        if plain in (*STEP_KEYS, *EPOCH_KEYS) and name not in settings:
            column = numbers(table.cells[name])
            varies = pd.Series(column.value).groupby(pd.factorize(run)[0]).nunique()
            if not column.wrong.any() and (varies == 1).all():
                settings[name] = typed(table.cells[name])
    return settings


def constant(table: Table, run: np.ndarray, name: str) -> pd.Series:
    """A column that must be constant within a run; ValueError, with file and line, where it is not."""
    cells = typed(table.cells[name])
    first: dict[str, object] = {}
    for row in map(int, np.flatnonzero(cells.notna())):
        cell = cells.iloc[row]
        if first.setdefault(run[row], cell) != cell:
            raise ValueError(
                f"{table.where(row)}: {name!r} must be constant within a run, but run {run[row]!r} has "
                f"{first[run[row]]} and {cell}; take it as a metric instead"
            )
    return cells


class Logged(NamedTuple):
    """Logged values of one table, each (n,), in any order: the run, metric, step and value of each, the line where it
    stands, and its ``place`` among the values of that line.
    """

    run: np.ndarray
    metric: np.ndarray
    step: np.ndarray
    value: np.ndarray
    line: np.ndarray
    place: np.ndarray


class Noted(NamedTuple):
    """What of tables is no value, by run: what was left out, settings, and the planned end."""

    dropped: dict[str, Counter[str]]
    configs: dict[str, dict[str, object]]
    planned: dict[str, float]
    studies: dict[str, str]


def rows_of(columns: Columns) -> Logged:
    """One row a value of a wide table that was logged."""
    parts: list[tuple[np.ndarray, ...]] = []
    for place, (name, column) in enumerate(columns.metrics.items()):
        row = np.flatnonzero(~column.blank & ~column.wrong & np.isfinite(columns.step))
        metric = np.full(len(row), name, object) if columns.front is None else columns.front[row] + name
        line = columns.table.line[row]
        parts.append((columns.run[row], metric, columns.step[row], column.value[row], line, np.full(len(row), place)))
    if not parts:
        return Logged(*(np.empty(0, dtype=kind) for kind in (object, object, float, float, int, int)))
    return Logged(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def logs_of(paths: Sequence[Path], found: Sequence[Logged], noted: Noted, *, strict: bool) -> list[Item]:
    """The values of all tables by run, in the order of files and lines."""
    files = tuple(paths)
    run, metric, step, value, line, place = (np.concatenate(column) for column in zip(*found, strict=True))
    file = np.repeat(np.arange(len(found)), [len(rows.run) for rows in found])
    code, names = pd.factorize(run)
    order = np.lexsort((place, line, file, code))
    logs = []
    for rows in np.split(order, np.flatnonzero(np.diff(code[order])) + 1) if len(order) else ():
        name = str(names[code[rows[0]]])
        blank, segment = np.full(len(rows), np.nan), np.zeros(len(rows), dtype=int)
        log = RunLog(
            name, metric[rows], step[rows], value[rows], blank, segment, noted.configs.get(name, {}),
            noted.planned.get(name), dropped=dict(noted.dropped.get(name, {})), strict=strict,
            study=noted.studies.get(name, ""), places=Places(files, file[rows], line[rows]),
        )  # fmt: skip
        logs.append(Item(name, tuple(files[k] for k in np.unique(file[rows])), log=log))
    return logs


def _with_settings(found: Sequence[Columns], noted: Noted) -> None:
    """Settings that lie beside the only table of a folder are those of its one run."""
    folders = Counter(columns.table.path.parent for columns in found)
    for columns in found:
        runs = set(map(str, columns.run))
        if len(runs) > 1 or folders[columns.table.path.parent] > 1:
            continue
        run = runs.pop()
        config = table_settings(columns.table.path) | noted.configs.get(run, {})
        step = columns.step[np.isfinite(columns.step)]
        if config:
            noted.configs[run] = config
        if len(step) and columns.clock.lower() in EPOCH_CLOCKS:
            end = epochs_planned(config, float(step.min()), float(step.max()))
            if end is not None:
                noted.planned[run] = end


def note(columns: Columns, noted: Noted) -> None:
    """What of a table is no value: rows without a step, cells that are no numbers, settings of runs."""
    codes, names = pd.factorize(columns.run)
    if columns.study:
        noted.studies.update(dict.fromkeys(map(str, names), columns.study))
    for name, cells in columns.settings.items():
        # By codes: the name of a run that is that of a file may be no text that pandas can index.
        by_code = cells.groupby(codes).first().dropna()
        for code, value in zip(by_code.index.to_numpy(int), by_code, strict=True):
            noted.configs.setdefault(str(names[code]), {})[name] = (
                value.item() if isinstance(value, np.generic) else value
            )
    wrong = [column.wrong for column in columns.metrics.values() if column.wrong.any()]
    for reason, rows in ((UNREAD, ~np.isfinite(columns.step)), *((NO_NUMBER, rows) for rows in wrong)):
        for run, count in zip(names, np.bincount(codes[rows], minlength=len(names)), strict=True):
            if count:
                noted.dropped.setdefault(str(run), Counter())[reason] += int(count)
    for reason, count in columns.table.notes.items():
        noted.dropped.setdefault(str(names[0]), Counter())[reason] += count


def joined(table: Table, names: Sequence[str], between: str, word: str) -> np.ndarray:
    """The cells of some columns (rows,) as one text each; ValueError for the first that is blank."""
    cells = [text(table.cells[name]).str.strip() for name in names]
    for name, column in zip(names, cells, strict=True):
        blank = (column.isna() | (column == "")).to_numpy()
        if blank.any():
            raise ValueError(f"{table.where(int(np.flatnonzero(blank)[0]))}: {name} ({word}) is blank")
    return np.array([between.join(row) for row in zip(*cells, strict=True)], dtype=object)


def chosen_columns(table: Table, wanted: str | Sequence[str] | None, word: str) -> list[str]:
    """The columns that an option names, several between commas; ValueError for one that is not there."""
    names = [wanted] if isinstance(wanted, str) and wanted in table.cells else listed(wanted)
    for name in names:
        need_column(table, name, f"{word}={wanted!r}")
    return names


def few(names: Iterable[object]) -> str:
    """The first dozen of names."""
    first = [str(name) for name in names]
    return ", ".join(first[:12]) + (", ..." if len(first) > 12 else "")


def need_column(table: Table, name: str, said: str) -> None:
    """Raises ValueError where a table has no such column; ``said`` is what asked for it."""
    if name not in table.cells:
        raise ValueError(f"{table.path}: {said} names no column; found {few(table.cells.columns)}")


def check_column(table: Table, name: str, column: Numbers) -> None:
    """Raises ValueError for the first cell that is neither a number nor blank, and for errors that are none."""
    bad = column.wrong | (column.value < 0 if name.endswith("stderr") else np.zeros(len(column.wrong), dtype=bool))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{table.where(row)}: {name} must be a number{' >= 0' * name.endswith('stderr')} or blank, found "
            f"{table.cells[name].iloc[row]!r}; choose other columns with metrics=..., leave the cell blank, or say "
            "merge='yes', which leaves such cells out"
        )
