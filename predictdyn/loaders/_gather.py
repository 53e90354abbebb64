"""Many runs as they were logged become `Curves`, by rules that all sources share; what was dropped is said."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.loaders import is_address
from predictdyn.loaders._companions import beside, metrics_beside, read_runs, unique_runs
from predictdyn.loaders._facts import log_metric
from predictdyn.loaders._logs import listed
from predictdyn.loaders._merge import Rules, Tidy, lines_of, matches, some, tidy_run
from predictdyn.loaders._plans import planned_runs
from predictdyn.loaders._runlog import Item, RunLog

# What holds if an option is not given.
OPTIONS: Mapping[str, object] = {
    "metrics": None, "exclude": None, "clock": "step", "thin": None, "family": None, "covariates": None,
    "last_step": None, "metrics_file": None, "runs_file": None, "workers": 1,
}  # fmt: skip


class Head(NamedTuple):
    """What is kept of a run once its points are written: ``ranges`` are (lowest, highest) of each metric."""

    run: str
    last: float
    size: int
    ranges: Mapping[str, tuple[float, float]]
    names: Sequence[str]
    events: Sequence[tuple[float, str]]
    config: Mapping[str, object]
    planned: float | None
    said: Mapping[str, int]


class Tables(NamedTuple):
    """All of `Curves` but its points, and ``lines`` that say what was read, merged, dropped and assumed."""

    runs: pd.DataFrame
    metrics: Mapping[str, Metric]
    events: pd.DataFrame
    lines: Sequence[str]


def gathered(
    path: Path | str, scan: Callable[..., list[Item]], read: Callable[..., RunLog], options: Mapping[str, object]
) -> Curves:
    """All runs that ``scan`` finds at a path, as ``read`` gives them, by one set of rules.

    Options, all of them optional; any other is a keyword-only argument of ``scan`` or ``read``, and goes there:

    * ``metrics``, ``exclude``: names or globs to take and to leave out, ``"val_*,loss"`` or a list. By itself all but
      clocks (epoch, wall time, ...: `_facts.CLOCKS`). ``<metric>_stderr`` is the standard error of ``<metric>``.
    * ``clock``: "step", or a logged metric that never goes back, such as "epoch": points lie on it by interpolation in
      steps, of several at one place the last counts; what lies outside what was logged of it is dropped.
    * ``thin``: at most so many points a curve (4 or more): first, last, lowest and highest of equal bins in ln step.
    * ``family``: a pattern such as ``"{family}_s*"`` or a regular expression with one group on the run name, or keys of
      the configuration. By itself runs are one family if their names differ in seed or variant only
      (`_names.VARIANTS`), or their configurations in seed, name and folders only.
    * ``covariates``: keys (globs) of the configuration; by itself all with one number, truth value or word that differ
      between runs, but for seeds, names and folders; "" for none.
    * ``last_step``: where runs are planned to end: a number, or a key of the configuration. By itself runs_file says
      so, else the configuration; where nothing does, the largest logged step is taken, and a warning names the runs.
    * ``metrics_file``, ``runs_file``: tables as in the tidy folder; by themselves metrics.csv (if it has a column kind)
      and runs.csv (if it has a column run) beside the data. They override all else.
    * ``workers``: processes that read runs side by side.

    Rules. **Restarts**: where a metric's step goes back, or comes again, what was logged later wins, and what was
    logged before beyond that step is dropped; a metric that is not logged again ends where the run went back to. **NaN
    and infinity** are no points: each stretch of them is an event ("loss is NaN"), and the run keeps its planned end.
    **Steps** stay as irregular as they are. **Kinds** are those of `_facts.LOG`; where values lie outside the range
    stated there (an accuracy of 75), that bound is given up. **A run** that cannot be read, or has no points, is left
    out. Each of these is counted, and said in a UserWarning of one line. Raises ValueError, one line, where no run is
    left.
    """
    heads, parts = [], []
    for tidy in tidied(path, scan, read, options):
        heads.append(head_of(tidy))
        parts.append(tidy.points.assign(run=tidy.run))
    tables = tables_of(Path(path), heads, options)
    for line in tables.lines:
        warnings.warn(line, UserWarning, stacklevel=3)
    points = pd.concat([part for part in parts if len(part)], ignore_index=True)
    try:
        return curves_from(points, tables.runs, tables.metrics, tables.events)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def tidied(
    path: Path | str,
    scan: Callable[..., list[Item]],
    read: Callable[..., RunLog],
    options: Mapping[str, object],
    known: Callable[[Item], Tidy | None] = lambda item: None,
) -> Iterator[Tidy]:
    """The runs of a path one after the other, sorted by name: no more than a few (2 a worker) are held at a time.

    Options are those of `gathered`. A run that cannot be read comes without points, and says why. What is ``known`` of
    a run already is not read again.
    """
    own = {name: value for name, value in options.items() if name not in OPTIONS}
    takes = [dict(getattr(function, "__kwdefaults__", None) or {}) for function in (scan, read)]
    unknown = [name for name in own if not any(name in taken for taken in takes)]
    if unknown:
        raise ValueError(f"no option {unknown[0]!r}; there are {', '.join([*takes[0], *takes[1], *OPTIONS])}")
    for_scan, for_read = ({name: own[name] for name in own if name in taken} for taken in takes)
    rules, workers = _rules(options), _count(options.get("workers", 1), "workers", 1)
    path = Path(path)
    if not path.exists() and not is_address(path):
        raise ValueError(f"{path}: no such file or folder")
    items = iter(_apart(sorted(scan(path, **for_scan), key=lambda item: item.run)))
    if workers == 1:
        for item in items:
            yield known(item) or _tidied(item, read, for_read, rules)
        return
    from joblib import Parallel, delayed

    with Parallel(n_jobs=workers) as parallel:
        while few := list(islice(items, 2 * workers)):
            before = {item.run: known(item) for item in few}
            new = [item for item in few if before[item.run] is None]
            done = dict(zip(new, parallel(delayed(_tidied)(item, read, for_read, rules) for item in new), strict=True))
            yield from (before[item.run] or done[item] for item in few)


def head_of(tidy: Tidy) -> Head:
    """What is kept of a run once its points have gone where they should."""
    points = tidy.points
    by_metric = points.groupby("metric")["value"]
    ranges = {
        str(name): (float(low), float(high))
        for name, low, high in zip(by_metric.groups, by_metric.min(), by_metric.max(), strict=True)
    }
    last = float(points["step"].max()) if len(points) else 0.0
    rest = (tidy.names, tidy.events, tidy.config, tidy.planned, tidy.said)
    return Head(tidy.run, last, len(points), ranges, *rest)


def tables_of(path: Path, heads: Sequence[Head], options: Mapping[str, object]) -> Tables:
    """Runs, metrics and events of all runs together, once each has been read; ValueError where none has points."""
    logged = sorted({name for head in heads for name in head.names})
    for pattern in _words(options.get("metrics")):
        if logged and not any(matches(name, [pattern]) for name in logged):
            raise ValueError(f"{path}: metrics={pattern!r} matches no metric; logged were {some(logged, 12)}")
    full = [head for head in heads if head.size]
    if not full:
        raise ValueError(
            f"{path}: no points found"
            + "".join(f"; {line}" for line in lines_of({head.run: head.said for head in heads})[:1])
        )
    folder, log = (path, None) if path.is_dir() else (path.parent, path)
    stated = metrics_beside(folder, options.get("metrics_file"), log=log)  # type: ignore[arg-type]
    metrics, wide = _metrics(full, stated)
    runs_file = options.get("runs_file") or beside(folder, "runs", ["run"], log=log)
    table = unique_runs(read_runs(Path(str(runs_file))), Path(str(runs_file))) if runs_file else None
    runs, assumed = planned_runs(
        {head.run: head.config for head in full},
        {head.run: (head.planned, head.last) for head in full},
        table,
        **{name: options.get(name) for name in ("family", "covariates", "last_step")},  # type: ignore[arg-type]
    )
    events = [(head.run, step, what) for head in full for step, what in head.events]
    empty = [head.run for head in heads if not head.size]
    lines = [
        *lines_of({head.run: head.said for head in heads}),
        *([f"{len(empty)} run(s) without points left out: {some(empty)}"] if empty else []),
    ]
    return Tables(runs, metrics, pd.DataFrame(events, columns=["run", "step", "what"]), [*lines, *wide, *assumed])


def _rules(options: Mapping[str, object]) -> Rules:
    thin = options.get("thin")
    return Rules(
        _words(options.get("metrics")),
        _words(options.get("exclude")),
        str(options.get("clock", "step")),
        None if thin is None else _count(thin, "thin", 4),
    )


def _words(chosen: object) -> list[str]:
    return listed(chosen)  # type: ignore[arg-type]


def _count(said: object, name: str, least: int) -> int:
    try:
        number = int(str(said))
    except ValueError:
        number = least - 1
    if number < least:
        raise ValueError(f"{name} must be a whole number >= {least}, found {said!r}")
    return number


def _apart(items: Sequence[Item]) -> list[Item]:
    """Items with unique names: ~2, ~3, ... behind a name that was there before."""
    seen: dict[str, int] = {}
    apart = []
    for item in items:
        seen[item.run] = seen.get(item.run, 0) + 1
        apart.append(item._replace(run=f"{item.run}~{seen[item.run]}") if seen[item.run] > 1 else item)
    return apart


def _tidied(item: Item, read: Callable[..., RunLog], own: Mapping[str, Any], rules: Rules) -> Tidy:
    """One run; one that cannot be read is empty, and the reason is counted."""
    try:
        return tidy_run(read(item, **own)._replace(run=item.run), rules)
    except ValueError as error:
        points = pd.DataFrame({name: np.empty(0) for name in ("metric", "step", "value", "stderr")})
        return Tidy(item.run, points, [], [], {}, None, {f"run(s) left out: {error}": 1})


def _metrics(heads: Sequence[Head], stated: Mapping[str, Metric]) -> tuple[dict[str, Metric], list[str]]:
    """What is known of every metric; a bound of the table that values break is given up, and that is said."""
    metrics, lines = {}, []
    for name in sorted({name for head in heads for name in head.ranges}):
        low = min(head.ranges[name][0] for head in heads if name in head.ranges)
        high = max(head.ranges[name][1] for head in heads if name in head.ranges)
        known = stated.get(name) or log_metric(name)
        if name not in stated:
            under = known.lower is not None and low < known.lower - 1e-6 * max(1, abs(known.lower))
            over = known.upper is not None and high > known.upper + 1e-6 * max(1, abs(known.upper))
            if under or over:
                lines.append(
                    f"{name} runs from {low:g} to {high:g}, outside {known.lower} to {known.upper}: the bound is given "
                    "up; state it in metrics.csv"
                )
                known = known._replace(
                    lower=None if under else known.lower, upper=None if over else known.upper, chance=None
                )
        metrics[name] = known
    return metrics, lines
