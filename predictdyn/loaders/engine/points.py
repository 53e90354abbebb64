"""Points with a place in a file become Curves, and what is wrong with one is said with that place."""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.curves import KEY, Curves, Metric, bounds, curves_from
from predictdyn.loaders.engine.facts import fitted_to_runs
from predictdyn.loaders.engine.remarks import fingerprints, remarks, unlogged
from predictdyn.loaders.files.tables import place


def curves_at(
    points: pd.DataFrame,
    files: Sequence[Path],
    *,
    source: Path,
    runs: pd.DataFrame | None = None,
    metrics: Mapping[str, Metric] | None = None,
    events: pd.DataFrame | None = None,
    stated: Container[str] = (),
) -> Curves:
    """`curves_from` for points that know where they come from: ``file`` (index into files) and ``line`` (0: unknown).

    Says itself, with file and line, what is most often wrong with one point (not finite, negative step, twice there,
    out of range); anything else is the message of `curves_from` behind the name of ``source``.
    """
    points = points.reset_index(drop=True)
    if points.empty:
        raise ValueError(f"{source}: no points found")
    step, value = points["step"].to_numpy(dtype=float), points["value"].to_numpy(dtype=float)
    for name, number in (("step", step), ("value", value)):
        rule = f"{name} must be a finite number; leave the point out, and note a diverged run in events.csv"
        _refuse(~np.isfinite(number), points, files, rule, number)
    _refuse(step < 0, points, files, "step must not be negative", step)
    outside = _outside(points, value, metrics or {})
    if outside.any():
        _refuse_repeats(points, files)
        metric = (metrics or {})[points["metric"].iloc[int(np.flatnonzero(outside)[0])]]
        rule = f"it must lie between {metric.lower} and {metric.upper}; mend the data or the range in metrics.csv"
        _refuse(outside, points, files, rule, value)
    try:
        curves = curves_from(points.drop(columns=["file", "line"]), runs, metrics, events)
    except ValueError as error:
        _refuse_repeats(points, files)  # looked for where something is wrong: millions of names are slow to compare
        raise ValueError(f"{source}: {error}") from None
    told = runs is not None
    noted = remarks(curves.runs, curves.metrics, stated, fingerprints(curves.points), families=told, settings=told)
    for line in (*([] if runs is None else unlogged(runs.index, set(curves.runs.index))), *noted):
        warnings.warn(line, UserWarning, stacklevel=3)
    return curves


def fitted_to(
    points: pd.DataFrame, known: Mapping[str, Metric], stated: Mapping[str, Metric]
) -> tuple[dict[str, Metric], list[str]]:
    """The metrics of points (run, metric, value): as ``stated``, else as ``known`` with the range that the values
    have, and lines on what was not clear.
    """
    metrics, lines = dict(stated), []
    rest = points[~points["metric"].isin(stated)].astype({"value": float})
    finite = np.isfinite(rest["value"]).groupby(rest["metric"]).all()
    ranges = rest.groupby(["metric", "run"])["value"].agg(["min", "max"])
    for name in finite.index[finite.to_numpy(dtype=bool)]:
        by_run = {str(run): (float(low), float(high)) for run, low, high in ranges.loc[name].itertuples()}
        metrics[str(name)], line = fitted_to_runs(known[str(name)], by_run)
        lines += [line] if line else []
    return metrics, lines


def _outside(points: pd.DataFrame, value: np.ndarray, metrics: Mapping[str, Metric]) -> np.ndarray:
    """Where values (n,) lie outside the range of their metric, with the slack that `curves_from` gives."""
    lower, upper = bounds(points["metric"], metrics)
    low, high = 1e-6 * np.maximum(1, np.abs(lower)), 1e-6 * np.maximum(1, np.abs(upper))
    return (value < lower - low) | (value > upper + high)


def _refuse(bad: np.ndarray, points: pd.DataFrame, files: Sequence[Path], rule: str, number: np.ndarray) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{_place(points, files, row)}: found {number[row]:g} for {_key(points, row)}; {rule}")


def _refuse_repeats(points: pd.DataFrame, files: Sequence[Path]) -> None:
    again = points.duplicated(KEY).to_numpy()
    if again.any():
        row = int(np.flatnonzero(again)[0])
        same = (points[KEY] == points[KEY].iloc[row]).all(axis=1).to_numpy()
        twin = _place(points, files, int(np.flatnonzero(same)[0]))
        raise ValueError(
            f"{_place(points, files, row)}: {_key(points, row)} is repeated from {twin} ({int(again.sum())} in all); "
            "run, metric, step must be unique: keep the value that counts, or give runs names that tell them apart"
        )


def _place(points: pd.DataFrame, files: Sequence[Path], row: int) -> str:
    return place(files[int(points["file"].iloc[row])], int(points["line"].iloc[row]))


def _key(points: pd.DataFrame, row: int) -> str:
    run, metric, step = (points[name].iloc[row] for name in KEY)
    return f"run {run!r}, metric {metric!r}, step {step:g}"
