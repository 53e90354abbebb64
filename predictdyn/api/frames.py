"""Curves of a data frame: its columns found by the names that loaders know, metrics known as in logs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.api.frame_blanks import ends_in_nan
from predictdyn.api.frame_runs import runs_of, settings_of
from predictdyn.api.reading import tell
from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.loaders.engine.facts import is_clock, log_metrics
from predictdyn.loaders.engine.not_finite import broke, broken
from predictdyn.loaders.engine.points import fitted_to
from predictdyn.loaders.engine.remarks import fingerprints, remarks
from predictdyn.loaders.tables.clock import STEP_NAMES
from predictdyn.loaders.tables.kinds import METRIC_NAMES, VALUE_NAMES
from predictdyn.loaders.tables.runs import RUN_NAMES
from predictdyn.naming import meant, some

OF_RUNS = ("family", "last_step")  # columns of a frame that are facts of runs, and no metrics
BESIDE_VALUES = ("stderr", "seen")  # columns of a long table that belong to its values
ERROR = "_stderr"  # behind the name of a metric: its standard error
# Files beside a log, as loaders name them, and what a frame has instead.
BESIDE = {
    r"in runs\.csv \(run, family(; runs_file=FILE)?\) or (with|by) family=\.\.\.": r"by runs={'family': {RUN: FAMILY}}",
    r"in metrics\.csv \(metric, kind; metrics_file=FILE\)": r"by metrics={METRIC: KIND}",
    r"write a metrics\.csv with .*$": r"give metrics={METRIC: {'kind': KIND, 'lower': LOWER, 'upper': UPPER}}",
}
FACTS = tuple(name for name in Metric._fields if name != "name")


def from_frame(
    frame: pd.DataFrame,
    runs: pd.DataFrame | Mapping[str, Any] | None = None,
    metrics: pd.DataFrame | Mapping[str, Any] | Sequence[str] | None = None,
    *,
    run: str | None = None,
    step: str | None = None,
    metric: str | None = None,
    value: str | None = None,
    family: Any = None,
    last_step: Any = None,
) -> Curves:
    """See `Curves.from_frame`."""
    table = _flat(frame)
    step = _column(table, step, "step", STEP_NAMES, "that counts steps")
    assert step is not None
    run = _run_column(table, run, step)
    long = _column(table, metric, "metric", METRIC_NAMES, None)
    of_value = _column(table, value, "value", VALUE_NAMES, None)
    named = table[run].astype("str") if run is not None else pd.Series("run", index=table.index)
    if run is not None and table[run].isna().any():
        raise ValueError(f"from_frame: column {run!r} of runs is blank in {int(table[run].isna().sum())} row(s)")
    points = pd.DataFrame({"run": named, "step": _steps(table, step)})
    of_runs = {name: table[name] for name in OF_RUNS if name in table}
    keywords = {"family": family, "last_step": last_step}
    given = {name: one for name, one in keywords.items() if one is not None}
    # A keyword that names a column means the column.
    told = {name: one for name, one in given.items() if isinstance(one, str) and one in table}
    of_runs |= {name: table[one] for name, one in told.items()}
    aside = {run, step, *OF_RUNS, *told.values()}
    settings: list[str] = []
    if long is not None and of_value is not None:
        columns = [name for name in table.columns if name not in {*aside, long, of_value, *BESIDE_VALUES}]
        settings = settings_of(table, named, points["step"], [name for name in columns if not is_clock(name)])
        points = _long(points, table, long, of_value)
    elif metric is not None or value is not None:
        missing = "value" if of_value is None else "metric"
        raise ValueError(f"from_frame: a long table needs metric= and value=; no column is known as {missing}")
    else:
        settings = _settings(table, points, aside, metrics)
        points = _wide(points, table, {*aside, *settings}, metrics)
    stated, only = _stated(metrics, [str(name) for name in pd.unique(points["metric"])])
    points = points[points["metric"].isin(only)] if only is not None else points
    before = points["metric"][points["value"].isna()].unique()
    nan = ends_in_nan(points)
    every = points["run"].unique()
    points, events, lines = _finite(points)
    events = pd.concat([nan.events, events], ignore_index=True)
    lines += nan.lines
    if lost := sorted(set(every) - set(points["run"])):
        lines.append(f"{len(lost)} run(s) without a value left out: {some(lost)}")
    empty = sorted({str(name) for name in before} - set(points["metric"]) - _told_of(events))
    if empty:
        lines.append(f"metric(s) {some(empty, 6)} left out: no cell has a value; nothing is forecast of them")
    points = _unique(points, [run, step, *([long] if long and of_value else [])])
    if points.empty:
        raise ValueError("from_frame: no metric has a value; name the columns with metric= and value=, or step=")
    known = log_metrics([str(name) for name in pd.unique(points["metric"])])
    facts, noted = fitted_to(points, known, stated)
    rest = {name: one for name, one in given.items() if name not in told}
    columns_of_runs = {**of_runs, **{name: table[name] for name in settings}}
    table_of_runs, assumed = runs_of(
        points, runs, columns_of_runs, named, rest, ends=_went_on(points, events, nan.last)
    )
    taken = [name for name in settings if runs is None or name not in _columns_of(runs)]
    if taken:
        lines.append(
            f"column(s) {some(taken, 6)} never change within a run, so they count as settings of runs and not as "
            f"metrics; say metrics={{'{taken[0]}': KIND}} for a metric, or leave the column out"
        )
    curves = curves_from(points, table_of_runs, facts, events)
    said = remarks(
        curves.runs, curves.metrics, stated, fingerprints(curves.points),
        families=family is not None or "family" in table or (runs is not None and "family" in _columns_of(runs)),
        settings=runs is not None or bool(settings),
    )  # fmt: skip
    curves = replace(curves, notes=(*lines, *assumed, *map(_by_keyword, (*noted, *said))))
    tell(curves.notes, stacklevel=3)
    return curves


def _went_on(points: pd.DataFrame, events: pd.DataFrame, last: Mapping[str, float]) -> dict[str, float]:
    """The last step of each run that went on behind its ``points`` without a finite value."""
    reached = points.groupby("run")["step"].max().to_dict()
    infinite = events.groupby("run")["step"].max().astype(float)
    ends = pd.concat([infinite, pd.Series(last, dtype=float)]).groupby(level=0).max()
    return {str(run): float(end) for run, end in ends.items() if end > reached.get(run, np.inf)}


def _by_keyword(line: str) -> str:
    """A line of the loaders, which names files beside a log, for a frame, which has keywords.

    >>> _by_keyword("say so in runs.csv (run, family) or by family=...")
    "say so by runs={'family': {RUN: FAMILY}}"
    """
    for words, keyword in BESIDE.items():
        line = re.sub(words, keyword, line)
    return line


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(f"from_frame takes a pandas DataFrame, got {type(frame).__name__}")
    if frame.empty:
        raise ValueError("from_frame: the table has no rows")
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    table = frame.reset_index(level=named) if named else frame
    table = table.reset_index(drop=True)
    table.columns = [str(name) for name in table.columns]
    double = table.columns[table.columns.duplicated()]
    if len(double):
        raise ValueError(f"from_frame: column {double[0]!r} is there more than once")
    return table


def _column(table: pd.DataFrame, given: str | None, keyword: str, known: Sequence[str], what: str | None) -> str | None:
    """The column that was named, else the first that has a usual name; None where there is none and none is needed."""
    columns = list(table.columns)
    if given is not None:
        if given not in columns:
            raise ValueError(
                f"from_frame: {keyword}={given!r} is no column; {meant(str(given), columns)}found {some(columns, 12)}"
            )
        return given
    lower = {name.lower(): name for name in reversed(columns)}
    found = next((lower[name] for name in known if name in lower), None)
    if found is None and what is not None:
        raise ValueError(f"from_frame: no column {what}; found {some(columns, 12)}; name it with {keyword}=...")
    return found


def _run_column(table: pd.DataFrame, run: str | None, step: str) -> str | None:
    found = _column(table, run, "run", RUN_NAMES, None)
    # A column "name" or "model" of numbers is a metric or a setting, and names no run.
    if found is not None and run is None and found.lower() != "run" and pd.api.types.is_numeric_dtype(table[found]):
        found = None
    if found is None and len(table.columns) and not {*METRIC_NAMES} & {name.lower() for name in table.columns}:
        again = table[step].duplicated()
        if again.any():
            raise ValueError(
                f"from_frame: no column names the run, but {int(again.sum())} step(s) are there more than once; "
                f"found {some(list(table.columns), 12)}; name the column that tells runs apart with run=..."
            )
    return found


def _numbers(table: pd.DataFrame, name: str, what: str) -> np.ndarray:
    number = pd.to_numeric(table[name], errors="coerce")
    wrong = number.isna() & table[name].notna()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        cell = table[name].iloc[row]
        sign = isinstance(cell, str) and cell.strip().endswith("%")
        percent = f"; take the sign off: frame[{name!r}].str.rstrip('% ').astype(float)" if sign else ""
        raise ValueError(f"from_frame: column {name!r} holds {cell!r} (row {row + 1}), expected {what}{percent}")
    return number.to_numpy(dtype=float)


def _steps(table: pd.DataFrame, name: str) -> np.ndarray:
    """The column that counts steps; dates count none."""
    cells = table[name]
    found = cells.dropna()
    dates = pd.api.types.is_datetime64_any_dtype(cells) or pd.api.types.is_timedelta64_dtype(cells)
    if not dates and len(found) and pd.to_numeric(found, errors="coerce").isna().all():
        dates = bool(pd.to_datetime(found.iloc[:1], errors="coerce", format="mixed").notna().all())
    if dates:
        raise ValueError(
            f"from_frame: column {name!r} holds dates, expected steps; name another column with step=..., or count "
            f"them: frame[{name!r}] = frame.groupby('run').cumcount()"
        )
    return _numbers(table, name, "steps; name another column with step=...")


def _settings(table: pd.DataFrame, points: pd.DataFrame, aside: set[str | None], metrics: object) -> list[str]:
    """The columns of a wide table that are settings of runs; none where the metrics to take are named."""
    if metrics is not None and not isinstance(metrics, Mapping | pd.DataFrame):
        return []
    stated = set(_table_of(metrics)) if metrics is not None else set()
    columns = [
        name for name in table.columns
        if name not in aside and name not in stated and not is_clock(name) and not name.endswith(ERROR)
    ]  # fmt: skip
    return settings_of(table, points["run"], points["step"], columns)


def _columns_of(runs: object) -> set[str]:
    """What ``runs`` says of runs, by column or by run."""
    if isinstance(runs, pd.DataFrame):
        return set(map(str, runs.columns))
    assert isinstance(runs, Mapping)
    inner = [set(map(str, one)) for one in runs.values() if isinstance(one, Mapping)]
    return set(map(str, runs)).union(*inner)


def _told_of(events: pd.DataFrame) -> set[str]:
    """The metrics that events tell of."""
    return {str(broken(what)) for what in events["what"]}


def _unique(points: pd.DataFrame, columns: Sequence[str | None]) -> pd.DataFrame:
    """One value a run, metric and step: repeats of the same value are one; others are for the user to choose from."""
    key = ["run", "metric", "step"]
    points = points.drop_duplicates([*key, "value"], keep="last")
    double = points.duplicated(key)
    if double.any():
        first = points[double].iloc[0]
        names = ", ".join(f'"{name}"' for name in columns if name is not None)
        raise ValueError(
            f"from_frame: run, metric, step must be unique, but {int(double.sum())} value(s) come again with another "
            f"value, first run {first['run']!r}, metric {first['metric']!r}, step {first['step']:g}; keep one of each: "
            f'frame.drop_duplicates([{names}], keep="last"), or name the column that tells runs apart with run=...'
        )
    return points


def _long(points: pd.DataFrame, table: pd.DataFrame, metric: str, value: str) -> pd.DataFrame:
    if table[metric].isna().any():
        raise ValueError(
            f"from_frame: column {metric!r} of metrics is blank in {int(table[metric].isna().sum())} row(s)"
        )
    points = points.assign(
        metric=table[metric].astype("str"), value=_numbers(table, value, "values; name another column with value=...")
    )
    if "stderr" in table:
        points["stderr"] = _numbers(table, "stderr", "standard errors")
    return points


def _wide(points: pd.DataFrame, table: pd.DataFrame, aside: set[str | None], metrics: object) -> pd.DataFrame:
    """One block of points a column, the standard errors of a metric beside it."""
    asked = None if metrics is None or isinstance(metrics, Mapping | pd.DataFrame) else set(_names(metrics))
    stated = set(_table_of(metrics)) if isinstance(metrics, Mapping | pd.DataFrame) else set()
    columns = [name for name in table.columns if name not in aside]
    errors = {name for name in columns if name.endswith(ERROR) and name.removesuffix(ERROR) in columns}
    taken = [
        name for name in columns
        if name not in errors and (name in asked if asked is not None else name in stated or not is_clock(name))
    ]  # fmt: skip
    text = [
        name
        for name in taken
        if table[name].notna().any()
        and (
            pd.api.types.is_datetime64_any_dtype(table[name])
            or pd.to_numeric(table[name], errors="coerce").isna().all()
        )
    ]
    if text:
        percent = table[text[0]].dropna().astype("str").str.strip().str.endswith("%").all()
        numbers = [name for name in taken if name not in text]
        long = f"metric={text[0]!r}, value={numbers[0]!r}" if len(text) == 1 and numbers else "metric= and value="
        words = (
            f"hold percent as text; make numbers of them: frame[{text[0]!r}].str.rstrip('% ').astype(float)"
            if percent
            else "hold text, and are no metrics; leave them out, name the metrics with metrics=[...], or give what was "
            "known of runs before by runs={'column': {'run': value}}; "
            f"if the table has a value a row, say {long}"
        )
        raise ValueError(f"from_frame: column(s) {some(text, 6)} {words}")
    if not taken:
        _need(sorted(asked or ()), columns)
        raise ValueError(
            f"from_frame: no column is a metric; found {some(list(table.columns), 12)}; name some with metrics=[...]"
        )
    blocks = []
    for name in taken:
        block = points.assign(metric=name, value=_numbers(table, name, "numbers; name the metrics with metrics=[...]"))
        if name + ERROR in errors:
            block["stderr"] = _numbers(table, name + ERROR, "standard errors")
        blocks.append(block)
    return pd.concat(blocks, ignore_index=True)


def _finite(points: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Points with a value; blank ones were not logged, infinite ones become events."""
    lost = points["step"].isna() & points["value"].notna()
    blank = points["step"].isna() | points["value"].isna()
    wild = np.isinf(points["value"]) & ~blank
    lines = [f"{int(lost.sum())} value(s) lost: their row has no step"] if lost.any() else []
    if not wild.any():
        return points[~blank], pd.DataFrame(columns=["run", "step", "what"]), lines
    names = some(sorted(points.loc[wild, "metric"].unique()))
    lines.append(f"{int(wild.sum())} value(s) of {names} infinite, kept as events")
    what = [broke(*cells) for cells in points.loc[wild, ["metric", "value"]].itertuples(index=False, name=None)]
    events = points.loc[wild, ["run", "step"]].assign(what=what)
    rest = points[~blank & ~wild]
    return rest, events[events["run"].isin(rest["run"])], lines


def _names(metrics: object) -> list[str]:
    return [metrics] if isinstance(metrics, str) else [str(name) for name in metrics]  # type: ignore[attr-defined]


def _table_of(metrics: pd.DataFrame | Mapping[str, Any]) -> dict[str, Any]:
    """A name -> kind, facts or `Metric`."""
    if isinstance(metrics, Mapping):
        return {str(name): one for name, one in metrics.items()}
    table = metrics if "metric" in metrics else metrics.rename_axis("metric").reset_index()
    if "kind" not in table:
        raise ValueError(f"from_frame: metrics= has no column kind; found {some(list(map(str, table.columns)), 12)}")
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return {str(row["metric"]): {name: row[name] for name in FACTS if row.get(name) is not None} for row in rows}


def _stated(metrics: object, logged: Sequence[str]) -> tuple[dict[str, Metric], set[str] | None]:
    """The metrics that were described, and the names of those to take (None: all)."""
    if metrics is None:
        return {}, None
    if not isinstance(metrics, Mapping | pd.DataFrame):
        names = _names(metrics)
        _need(names, logged)
        return {}, set(names)
    described = _table_of(metrics)
    _need(list(described), logged)
    return {name: _described(name, one) for name, one in described.items()}, None


def _need(names: Sequence[str], logged: Sequence[str]) -> None:
    missing = [name for name in names if name not in set(logged)]
    if missing:
        raise ValueError(
            f"from_frame: metrics= names {missing[0]!r}, which was not logged; {meant(missing[0], logged)}"
            f"there are {some(list(logged), 12)}"
        )


def _described(name: str, one: Any) -> Metric:
    """A metric of a kind: with the range that its name has in logs, if it is of that kind there."""
    if isinstance(one, Metric):
        return one._replace(name=name)
    facts: dict[str, Any] = {"kind": one} if isinstance(one, str) else dict(one)
    wrong = [key for key in facts if key not in FACTS]
    if wrong or "kind" not in facts:
        raise ValueError(
            f"from_frame: metrics= says {one!r} of {name!r}; expected a kind, or a kind and some of "
            f"{', '.join(FACTS[1:-1])}"
        )
    usual = log_metrics([name])[name]
    known = usual if usual.kind == facts["kind"] else Metric(name, facts["kind"])
    return known._replace(**facts)
