"""Many runs as they were logged become `Curves`, by rules that all sources share; what was dropped is said."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.loaders.engine.companions import beside, metrics_beside, read_runs, unique_runs
from predictdyn.loaders.engine.facts import fitted_to_runs, log_metrics
from predictdyn.loaders.engine.lengths import Length
from predictdyn.loaders.engine.merge import Conflict, Rules, Tidy, matches, tidy_runs
from predictdyn.loaders.engine.notes import Notes, flat, lines_of, some
from predictdyn.loaders.engine.percent import as_shares
from predictdyn.loaders.engine.plans import planned_runs
from predictdyn.loaders.engine.remarks import fingerprints, remarks, unlogged
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.engine.words import listed
from predictdyn.loaders.files.contents import written
from predictdyn.loaders.files.folders import walk
from predictdyn.loaders.files.paths import is_address, is_there
from predictdyn.secrets import without
from predictdyn.workers import end_with, parent

IN_PERCENT = "Name the runs in percent with percent=RUNS (names or globs), which divides their values by 100"


class Head(NamedTuple):
    """What is kept of a run once its points are written: ``ranges`` are (lowest, highest) of each metric, ``prints``
    tell whether two curves are equal.
    """

    run: str
    size: int
    length: Length
    ranges: Mapping[str, tuple[float, float]]
    prints: Mapping[tuple[str, str], int]
    names: Sequence[str]
    events: Sequence[tuple[float, str]]
    config: Mapping[str, object]
    notes: Notes


class Tables(NamedTuple):
    """All of `Curves` but its points, and ``notes`` that say what was read, merged, dropped and assumed."""

    runs: pd.DataFrame
    metrics: Mapping[str, Metric]
    events: pd.DataFrame
    notes: Sequence[str]


def gathered(path: Path | str, source: Source, options: Mapping[str, object]) -> Curves:
    """All runs that a source finds at a path, as it reads them, by one set of rules.

    Options, all of them optional (`options.SHARED`), beside those that the source declares:

    * ``metrics``, ``exclude``: names or globs to take and to leave out, ``"val_*,loss"`` or a list. By itself all but
      clocks (epoch, wall time, ...: `facts.CLOCKS`). ``<metric>_stderr`` is the standard error of ``<metric>``.
    * ``clock``: "step", or a logged metric that never goes back, such as "epoch": points lie on it by interpolation in
      steps, of several at one place the last counts; what lies outside what was logged of it is dropped.
    * ``thin``: at most so many points a curve (4 or more): first, last, lowest and highest of equal bins in ln step.
    * ``merge``: where the steps of a log go back, ``yes`` makes it one run that restarted, ``runs`` makes every
      beginning a run of its own, ``no`` makes values that contradict each other an error. By itself tools' logs are
      merged by the rules below, and tables (wide, long) must not contradict themselves.
    * ``percent``: names or globs of runs that log shares in percent, beside others that log them from 0 to 1: their
      shares that go beyond 1 are divided by 100.
    * ``family``: a pattern such as ``"{family}_s*"`` or a regular expression with one group on the run name, or keys of
      the configuration. By itself runs are one family if their names differ in seed or variant only
      (`names.VARIANTS`), or their configurations in seed, name and folders only, with nothing in runs_file that
      differs. Where a configuration has neither a rate nor a seed, it may be that of a model alone: then the names,
      but for counters, and the highest rates that were logged must be equal, too.
    * ``covariates``: keys (globs) of the configuration; by itself all with one number, truth value or word that differ
      between runs, but for seeds, names and folders; "" for none.
    * ``last_step``: where runs are planned to end: a number, a key of the configuration, ``logged`` or ``longest``. By
      itself runs_file says so, else the configuration, else the longest of the sibling runs (`lengths`), else the
      largest logged step is taken; a warning names the runs.
    * ``metrics_file``, ``runs_file``: tables as in the tidy folder; by themselves metrics.csv (if it has a column kind)
      and runs.csv (if it has a column run) beside the data. They override all else.
    * ``workers``: processes that read runs side by side.

    Rules. **Several runs** in one log, one after the other, are several runs (`begin.beginnings`). **Restarts**: where
    a metric's step goes back, or comes again, what was logged later counts, and what was logged before beyond that step
    is lost; a metric that is not logged again ends where the run went back to. Where more than half of all values would
    be lost, the log is refused. **Clocks** that do not move, or count something else, are placed on that of the other
    metrics (`clocks.on_one_clock`). **NaN and infinity** are no points: each stretch of them is an event ("loss is
    NaN"), and the run keeps its planned end. **Steps** stay as irregular as they are. **Kinds** are those of
    `facts.LOG`, ranges those that fit the values (`facts.fitted`: percent or fractions). **A run** that cannot be
    read, or has no points, is left out. Each of these is counted, and said in a UserWarning of one line. Raises
    ValueError, one line, where no run is left.
    """
    chosen = source.checked(options)
    heads, parts = [], []
    for tidy in tidied(path, source, chosen):
        heads.append(head_of(tidy))
        parts.append(tidy.points.assign(run=tidy.run))
    tables = tables_of(Path(path), heads, chosen)
    for line in tables.notes:
        warnings.warn(line, UserWarning, stacklevel=3)
    points = pd.concat([part for part in parts if len(part)], ignore_index=True)
    try:
        return curves_from(points, tables.runs, tables.metrics, tables.events)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def tidied(
    path: Path | str,
    source: Source,
    chosen: Mapping[str, object],
    known: Callable[[Item], list[Tidy]] = lambda item: [],
) -> Iterator[Tidy]:
    """The runs of a path one after the other, sorted by name: no more than a few (2 a worker) are held at a time.

    Options are those of `gathered`, checked (`Source.checked`). A run that cannot be read comes without points, and
    says why. What is ``known`` of a run already is not read again. ValueError for a source that loads whole.
    """
    if source.scan is None or source.read is None:
        raise ValueError(f"the source {source.name} does not give its runs one by one")
    read, workers, rules = source.read, cast(int, chosen["workers"]), rules_of(chosen)
    for_scan, for_read = (
        {option.name: chosen[option.name] for option in own} for own in (source.scan_options, source.read_options)
    )
    path = Path(path)
    if not is_there(path) and not is_address(path):
        raise ValueError(f"{path}: no such file or folder")
    items = iter(_apart(sorted(source.scan(path, **for_scan), key=lambda item: item.run)))
    if workers == 1:
        for item in items:
            yield from known(item) or _tidied(item, read, for_read, rules)
        return
    from joblib import Parallel, delayed

    with Parallel(n_jobs=workers, initializer=end_with, initargs=(parent(),)) as parallel:
        while few := list(islice(items, 2 * workers)):
            before = {item.run: known(item) for item in few}
            new = [item.run for item in few if not before[item.run]]
            made = parallel(delayed(_tidied)(item, read, for_read, rules) for item in few if item.run in new)
            done = dict(zip(new, made, strict=True))
            for item in few:
                yield from before[item.run] or done[item.run]


def head_of(tidy: Tidy) -> Head:
    """What is kept of a run once its points have gone where they should."""
    points = tidy.points
    metric, value = points["metric"].to_numpy(dtype=object), points["value"].to_numpy(float)
    ranges: dict[str, tuple[float, float]] = {}
    if len(points):
        begins = np.flatnonzero(np.append(True, metric[1:] != metric[:-1]))
        low, high = np.minimum.reduceat(value, begins), np.maximum.reduceat(value, begins)
        ranges = {str(metric[at]): (float(a), float(b)) for at, a, b in zip(begins, low, high, strict=True)}
    last = float(points["step"].max()) if len(points) else 0.0
    length = Length(tidy.planned, last, tidy.stopped, tidy.study, tidy.pace, tuple(ranges))
    prints = fingerprints(points.assign(run=tidy.run))
    return Head(tidy.run, len(points), length, ranges, prints, tidy.names, tidy.events, tidy.config, tidy.notes)


def tables_of(path: Path, heads: Sequence[Head], chosen: Mapping[str, object]) -> Tables:
    """Runs, metrics and events of all runs together, once each has been read; ValueError where none has points."""
    logged = sorted({name for head in heads for name in head.names})
    for pattern in listed(chosen["metrics"]):
        if logged and not any(matches(name, [pattern]) for name in logged):
            raise ValueError(f"{path}: metrics={pattern!r} matches no metric; logged were {some(logged, 12)}")
    for pattern in listed(chosen["percent"]):
        if heads and not any(matches(head.run, [pattern]) for head in heads):
            raise ValueError(
                f"{path}: percent={pattern!r} is the name of no run; there are {some([head.run for head in heads], 12)}"
            )
    full = [head for head in heads if head.size]
    if not full:
        raise ValueError(
            f"{path}: no points found"
            + "".join(f"; {line}" for line in lines_of({head.run: head.notes for head in heads})[:1])
        )
    folder, log = (path, None) if path.is_dir() else (path.parent, path)
    stated = metrics_beside(folder, chosen["metrics_file"], log=log)  # type: ignore[arg-type]
    metrics, wide = _metrics(full, stated)
    runs_file = chosen["runs_file"] or beside(folder, "runs", ["run"], log=log)
    table = unique_runs(read_runs(Path(str(runs_file))), Path(str(runs_file))) if runs_file else None
    try:
        runs, assumed = planned_runs(
            {head.run: without(head.config) for head in full},
            {head.run: head.length for head in full},
            table,
            **{name: chosen[name] for name in ("family", "covariates", "last_step")},  # type: ignore[arg-type]
            highest={head.run: {name: high for name, (_, high) in head.ranges.items()} for head in full},
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    events = [(head.run, step, what) for head in full for step, what in head.events]
    empty = [head.run for head in heads if not head.size]
    passed = walk(path).passed.items() if path.is_dir() else ()
    lines = [
        *(f"{len(places)} {what}: {some([str(place) for place in places])}" for what, places in passed),
        *lines_of({head.run: head.notes for head in heads}),
        *([f"{len(empty)} run(s) without points left out: {some(empty)}"] if empty else []),
        # A table beside one log of many names the others too.
        *([] if table is None or (log and not chosen["runs_file"]) else unlogged(table.index, {h.run for h in heads})),
        *([] if log is None else _unasked(log, chosen, stated, table, full)),
    ]
    stated_families = chosen["family"] is not None or (table is not None and "family" in table)
    settings = any(head.config for head in full) or len(runs.columns) > 2
    prints = {key: mark for head in full for key, mark in head.prints.items()}
    noted = remarks(runs, metrics, stated, prints, families=stated_families, settings=settings)
    table_of_events = pd.DataFrame(events, columns=["run", "step", "what"])
    return Tables(runs, metrics, table_of_events, [*lines, *wide, *assumed, *noted])


def _unasked(
    log: Path, chosen: Mapping[str, object], stated: Mapping[str, Metric], table: pd.DataFrame | None, heads: list[Head]
) -> list[str]:
    """Lines on tables that lie beside a single log, and state something of it, without having been named."""
    logged = {name for head in heads for name in head.names}
    used = {
        ("metrics", "kinds and ranges of metrics"): bool(logged & set(stated)),
        ("runs", "families, ends and settings of runs"): table is not None
        and bool({*table.index} & {h.run for h in heads}),
    }
    return [
        f"{name}.csv beside {log.name} states {what} (no data lost); name another table with {name}_file=..."
        for (name, what), taken in used.items()
        if taken and not chosen[f"{name}_file"]
    ]


def rules_of(chosen: Mapping[str, object]) -> Rules:
    """The rules that checked options state."""
    return Rules(
        listed(chosen["metrics"]),
        listed(chosen["exclude"]),
        str(chosen["clock"]),
        cast("int | None", chosen["thin"]),
        str(chosen["merge"]),
        listed(chosen["percent"]),
    )


def _apart(items: Sequence[Item]) -> list[Item]:
    """Items with unique names: ~2, ~3, ... behind a name that was there before."""
    seen: dict[str, int] = {}
    apart = []
    for item in (item._replace(run=written(item.run) if item.run.strip() else "run") for item in items):
        seen[item.run] = seen.get(item.run, 0) + 1
        apart.append(item._replace(run=f"{item.run}~{seen[item.run]}") if seen[item.run] > 1 else item)
    return apart


def _tidied(item: Item, read: Callable[..., RunLog], own: Mapping[str, Any], rules: Rules) -> list[Tidy]:
    """The runs of an item; one that cannot be read is empty, and the reason is counted.

    Raises `Conflict` where values that contradict each other are an error.
    """
    try:
        found = tidy_runs(read(item, **own)._replace(run=item.run), rules)
        return [as_shares(tidy, rules.percent) for tidy in found]
    except Conflict:
        raise
    except ValueError as error:
        points = pd.DataFrame({name: np.empty(0) for name in ("metric", "step", "value", "stderr")})
        notes = flat({f"run(s) left out: {error}": 1})
        return [Tidy(item.run, points, [], [], {}, None, notes, item=item.run)]


def _metrics(heads: Sequence[Head], stated: Mapping[str, Metric]) -> tuple[dict[str, Metric], list[str]]:
    """What is known of every metric, with the range that its values have; what was not clear is said."""
    metrics, lines = {}, []
    known = log_metrics(sorted({name for head in heads for name in head.ranges}))
    for name in known:
        if name in stated:
            metrics[name] = stated[name]
            continue
        ranges = {head.run: head.ranges[name] for head in heads if name in head.ranges}
        metrics[name], line = fitted_to_runs(known[name], ranges, mend=IN_PERCENT)
        lines += [line] if line else []
    return metrics, lines
