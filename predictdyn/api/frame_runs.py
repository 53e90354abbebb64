"""Runs of a data frame: what was known of them before, by runs=, by keywords and by columns that never change."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.loaders.engine.facts import log_metric
from predictdyn.loaders.engine.names import families_like
from predictdyn.naming import some

# Names that a planned end has elsewhere.
PLANNED = re.compile(r"(?:^|[_ ])(?:steps?|planned|total|max|end)(?:$|[_ ])", re.IGNORECASE)
PATTERN = re.compile(r"[\\^$*+?|()\[\]{}]")  # what a pattern has, and the name of a family seldom


def settings_of(table: pd.DataFrame, named: pd.Series, step: pd.Series, columns: Sequence[str]) -> list[str]:
    """The columns that are settings of runs: of each run they say one thing, whatever the step.

    At least two runs must have two steps or more. A name that is known to be an outcome is none, and one that is known
    as a schedule, or that holds text, only where runs differ.

    >>> frame = pd.DataFrame({"run": [*"aabb"], "step": [1, 2, 1, 2], "width": [8, 8, 16, 16], "x": [1, 2, 1, 2]})
    >>> settings_of(frame, frame["run"], frame["step"], ["width", "x"])
    ['width']
    """
    several = step.groupby(named).max() > step.groupby(named).min()
    found = []
    for name in columns:
        cells = table[name]
        by_run = cells.groupby(named)
        levels = by_run.nunique()
        if levels.max() != 1 or (by_run.count()[several] > 1).sum() < 2:
            continue
        kind = log_metric(name).kind
        differ = len(cells.dropna().unique()) > 1
        text = not pd.api.types.is_numeric_dtype(cells)
        if (kind == "signal" and not text) or (kind in ("signal", "schedule") and differ):
            found.append(name)
    return found


def runs_of(
    points: pd.DataFrame,
    runs: pd.DataFrame | Mapping[str, Any] | None,
    columns: Mapping[str, pd.Series],
    named: pd.Series,
    given: Mapping[str, Any],
    *,
    ends: Mapping[str, float],
) -> tuple[pd.DataFrame, list[str]]:
    """The table of runs, by ``runs``, by keywords (``given``) and by columns; and lines on what was assumed.

    ``ends`` are planned ends of some runs, which count where nothing else states one.
    """
    names = sorted(points["run"].unique())
    table = _table_of_runs(runs, names)
    for name, one in given.items():
        if name in table:
            raise ValueError(f"from_frame: {name} is given twice, by {name}= and by runs=; leave one out")
        if name == "last_step" and isinstance(one, str):
            raise ValueError(f"from_frame: last_step={one!r} is no column; give a number, a column, or {{RUN: STEP}}")
        table[name] = _of_runs(name, one, names)
    for name, column in columns.items():
        if name in table:
            continue
        of_run = {str(run): cells.dropna().unique().tolist() for run, cells in column.groupby(named)}
        several = [run for run in names if len(of_run[run]) > 1]
        if several:
            raise ValueError(
                f"from_frame: column {name!r} has more than one value in run {several[0]!r}; give it by runs="
            )
        table[name] = [of_run[run][0] if len(of_run[run]) else None for run in names]
    stated = (
        pd.to_numeric(table["last_step"], errors="coerce") if "last_step" in table else pd.Series(np.nan, table.index)
    )
    if ends:
        stated = stated.fillna(pd.Series(ends, dtype=float).reindex(table.index))
        table["last_step"] = stated
    unknown = int(stated.isna().sum())
    if not unknown:
        return table, []
    count = "all" if unknown == len(names) else f"{unknown} of {len(names)}"
    longest = points.groupby("run")["step"].max().reindex(names).to_numpy()
    near = [
        str(name)
        for name in table.columns
        if name != "last_step"
        and PLANNED.search(str(name))
        and (pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float) >= longest).all()
    ]
    meant = f" (did you mean {some(near)}? call it last_step)" if near else ""
    return table, [
        f"the planned end of {count} run(s) is not known, so they count as finished at their longest step, and are not "
        f"forecast{meant}; give runs={{'last_step': STEP}}, last_step=STEP, or a column last_step"
    ]


def _table_of_runs(runs: pd.DataFrame | Mapping[str, Any] | None, names: Sequence[str]) -> pd.DataFrame:
    index = pd.Index(list(names), name="run", dtype="str")
    if runs is None:
        return pd.DataFrame(index=index)
    if isinstance(runs, pd.DataFrame):
        table = runs.set_index("run") if "run" in runs.columns else runs
    elif isinstance(runs, Mapping):
        by_run = (
            bool(runs) and all(isinstance(one, Mapping) for one in runs.values()) and set(map(str, runs)) <= set(names)
        )
        if by_run:
            table = pd.DataFrame.from_dict({str(run): dict(facts) for run, facts in runs.items()}, orient="index")
        else:
            table = pd.DataFrame(
                {str(name): _of_runs(str(name), one, names) for name, one in runs.items()}, index=index
            )
    else:
        raise ValueError(f"from_frame: runs= takes a table or a dictionary, got {type(runs).__name__}")
    table = table.rename_axis("run")
    table.index = table.index.astype("str")
    double = table.index[table.index.duplicated()]
    if len(double):
        raise ValueError(f"from_frame: runs= has run {double[0]!r} more than once")
    missing = [run for run in names if run not in table.index]
    if missing:
        raise ValueError(
            f"from_frame: runs= has no row for {len(missing)} run(s) of the table, first {missing[0]!r}; "
            f"it has {some(list(table.index), 8)}"
        )
    return table.loc[list(names)].copy()


def _of_runs(name: str, one: Any, names: Sequence[str]) -> list[Any]:
    """A column of runs: one value for all, or a value for each by its name."""
    if isinstance(one, pd.Series):
        one = one.to_dict()
    if isinstance(one, Mapping):
        by_name = {str(run): cell for run, cell in one.items()}
        strange = [run for run in by_name if run not in set(names)]
        if strange:
            raise ValueError(
                f"from_frame: runs= says {name} of run {strange[0]!r}, which is not there; there are {some(names, 8)}"
            )
        return [by_name.get(run) for run in names]
    if name == "family" and isinstance(one, str) and PATTERN.search(one):
        # One family for all is seldom meant, and never by a pattern.
        return list(families_like(one, names).values())
    if isinstance(one, str) or np.isscalar(one):
        return [one] * len(names)
    raise ValueError(
        f"from_frame: runs= takes for {name} one value, or a dictionary run -> value, got {type(one).__name__}"
    )
