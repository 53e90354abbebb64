"""The history that a fitted forecaster keeps: parquet and JSON, never a pickle, checked when it is read."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.curves import EVENT_COLUMNS, KEY, KINDS, Curves, Metric

HISTORY = "history_points.parquet"
RUNS = "history_runs.parquet"
EVENTS = "history_events.parquet"
METRICS = "history_metrics.json"
HISTORY_FILES = (HISTORY, RUNS, EVENTS, METRICS)
LEARNT = "learnt.npz"
LEARNT_NAMES = "learnt.json"
POINT_COLUMNS = [*KEY, "value", "stderr"]


def write_history(history: Curves, folder: Path) -> None:
    """The history a forecaster keeps: points and runs as parquet, metrics as JSON."""
    history.points.to_parquet(folder / HISTORY, index=False)
    history.runs.reset_index().to_parquet(folder / RUNS, index=False)
    history.events.to_parquet(folder / EVENTS, index=False)
    metrics = [metric._asdict() for metric in history.metrics.values()]
    (folder / METRICS).write_text(json.dumps(metrics, indent=1), encoding="utf-8")


def read_history(folder: Path) -> Curves:
    """Back from `write_history`.

    Raises ValueError, one line with the file, where a column or an entry is missing, out of order or of another type,
    a number is not finite, or the tables do not fit each other.
    """
    points, runs, events = _points(folder / HISTORY), _runs(folder / RUNS), _events(folder / EVENTS)
    metrics = _metrics(folder / METRICS)
    for name, known, file in (("run", runs.index, RUNS), ("metric", pd.Index(list(metrics)), METRICS)):
        unknown = ~points[name].isin(known).to_numpy()
        if unknown.any():
            raise ValueError(f"{folder / file}: has no {name} {points[name][unknown].iloc[0]!r}, which {HISTORY} has")
    return Curves(points, runs, metrics, events)


def _points(file: Path) -> pd.DataFrame:
    points = _table(file, POINT_COLUMNS, ["run", "metric"], more=["seen"])
    _finite(file, points, ["step", "value"])
    if not np.all(np.isnan(points["stderr"]) | (np.isfinite(points["stderr"]) & (points["stderr"] >= 0))):
        raise ValueError(f"{file}: stderr must be finite and not negative, or blank")
    # Places of names in order, since a million strings take a second to compare.
    run, metric = (pd.factorize(points[name], sort=True)[0] for name in ("run", "metric"))
    step = points["step"].to_numpy()
    later = step[:-1] < step[1:]
    for name in (metric, run):
        later = (name[:-1] < name[1:]) | ((name[:-1] == name[1:]) & later)
    if not later.all():
        raise ValueError(f"{file}: points must be unique and sorted by run, metric and step")
    return points


def _runs(file: Path) -> pd.DataFrame:
    runs = _table(file, ["run", "family", "last_step"], ["run", "family"], more=None)
    _finite(file, runs, ["last_step"])
    if not (runs["last_step"] > 0).all():
        raise ValueError(f"{file}: last_step must be above 0")
    if not runs["run"].is_unique:
        raise ValueError(f"{file}: run must be unique")
    return runs.set_index("run")


def _events(file: Path) -> pd.DataFrame:
    events = _table(file, EVENT_COLUMNS, ["run", "what"], more=[])
    _finite(file, events, ["step"])
    return events


def _metrics(file: Path) -> dict[str, Metric]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{file}: cannot be read as JSON ({_words(error)})") from None
    if not isinstance(entries, list):
        raise ValueError(f"{file}: expected a list of metrics, found {type(entries).__name__}")
    metrics = {}
    for entry in entries:
        if not isinstance(entry, dict) or list(entry) != list(Metric._fields):
            raise ValueError(f"{file}: expected of each metric {', '.join(Metric._fields)}, found {_words(entry)}")
        text = [entry[name] for name in ("name", "kind")] + [entry["better"] or ""]
        numbers = [entry[name] for name in ("lower", "upper", "chance") if entry[name] is not None]
        plain = all(isinstance(cell, str) for cell in text) and entry["kind"] in KINDS
        if not plain or not all(type(number) in (int, float) and np.isfinite(number) for number in numbers):
            raise ValueError(f"{file}: metric {entry['name']!r} has a kind, range or chance of another type")
        metrics[entry["name"]] = Metric(**entry)
    return metrics


def _table(file: Path, columns: Sequence[str], text: Sequence[str], more: Sequence[str] | None) -> pd.DataFrame:
    """A table with these columns in this order (and any ``more`` behind them: None, all others), of the right types."""
    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError, KeyError, NotImplementedError, MemoryError) as error:
        raise ValueError(f"{file}: cannot be read as parquet ({_words(error)})") from None
    found = list(map(str, table.columns))
    rest = found[len(columns) :]
    if found[: len(columns)] != list(columns) or (more is not None and set(rest) - set(more)):
        raise ValueError(f"{file}: expected columns {', '.join(columns)}, in this order, found {', '.join(found[:12])}")
    for name in columns:
        if name in text and not all(isinstance(cell, str) for cell in pd.unique(table[name])):
            raise ValueError(f"{file}: {name} must be text")
        if name not in text and (table[name].dtype.kind not in "iuf"):
            raise ValueError(f"{file}: {name} must be numbers, found {table[name].dtype}")
    return table


def _finite(file: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    for name in columns:
        bad = ~np.isfinite(table[name].to_numpy(float))
        if bad.any():
            raise ValueError(
                f"{file}: {name} must be finite, found {table[name][bad].iloc[0]} in row {bad.argmax() + 1}"
            )


def _words(error: object) -> str:
    return " ".join(str(error).split())[:160]


def write_learnt(learnt: Mapping[str, Mapping[str, np.ndarray]], folder: Path) -> None:
    """What was learnt of a history, arrays by key and name, as npz, and the keys as JSON; no file where nothing was."""
    if not learnt:
        return
    names = [[key, name] for key in sorted(learnt) for name in sorted(learnt[key])]
    arrays: dict[str, Any] = {f"a{i}": learnt[key][name] for i, (key, name) in enumerate(names)}
    np.savez_compressed(folder / LEARNT, **arrays)
    (folder / LEARNT_NAMES).write_text(json.dumps({"arrays": names}, indent=1), encoding="utf-8")


def read_learnt(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Back from `write_learnt`; ValueError, one line with the file, where it cannot be read."""
    file = folder / LEARNT
    if not file.exists():
        return {}
    try:
        names = json.loads((folder / LEARNT_NAMES).read_text(encoding="utf-8"))["arrays"]
        found: dict[str, dict[str, np.ndarray]] = {}
        with np.load(file, allow_pickle=False) as arrays:
            for i, (key, name) in enumerate(names):
                found.setdefault(key, {})[name] = arrays[f"a{i}"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file}: cannot be read as what was learnt ({_words(error)})") from None
    for key, of_key in found.items():
        for name, array in of_key.items():
            if array.dtype.kind == "f" and np.isnan(array).any():
                raise ValueError(f"{file}: {name} of {key!r} must be finite numbers")
    return found
