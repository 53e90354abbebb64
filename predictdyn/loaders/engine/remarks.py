"""What a person should be told of runs that are read: copies, one family for all, outcomes that are not forecast."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

import numpy as np
import pandas as pd

from predictdyn.curves import OUTCOMES, Metric, starts
from predictdyn.loaders.engine.facts import looks_like_outcome
from predictdyn.loaders.engine.notes import some
from predictdyn.naming import BY_LAW

ENOUGH = 5  # different values that two curves must share to be copies


def fingerprints(points: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Of every curve (run, metric; sorted by these, then by step) that changes often, a number that tells it apart.

    >>> value = [1 / (1 + i) for i in range(9)]
    >>> points = pd.DataFrame({"run": "a", "metric": "loss", "step": range(9), "value": value})
    >>> fingerprints(points) == fingerprints(points.copy()), fingerprints(points[:3])
    (True, {})
    """
    if points.empty:
        return {}
    step, value = (points[name].to_numpy(float) for name in ("step", "value"))
    begins = starts(points, ["run", "metric"])
    changes = np.append(0, (value[1:] != value[:-1]).astype(int))
    changes[begins] = 0
    often = np.add.reduceat(changes, begins) >= ENOUGH - 1
    marks = np.add.reduceat(_mixed(step) * np.uint64(3) ^ _mixed(value), begins)[often]
    run, metric = (points[name].iloc[begins[often]].tolist() for name in ("run", "metric"))
    return dict(zip(zip(run, metric, strict=True), marks.tolist(), strict=True))


def _mixed(number: np.ndarray) -> np.ndarray:
    """Numbers (n,) as whole ones that look random, the same for the same (Stafford's mix of 64 bits, as splitmix)."""
    bits = (number + 0.0).view(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))


def remarks(
    runs: pd.DataFrame,
    metrics: Mapping[str, Metric],
    stated: Container[str],
    prints: Mapping[tuple[str, str], int],
    *,
    families: bool,
    settings: bool,
) -> list[str]:
    """Lines on a table of runs (index run; family), of which kinds of metrics are ``stated``; ``families`` says whether
    these were stated, ``settings`` whether those were logged.
    """
    return [*_twins(runs, metrics, prints), *_one_family(runs, families, settings), *_unseen(metrics, stated)]


def unlogged(named: Iterable[str], there: Container[str]) -> list[str]:
    """A line on runs that a table of runs names, and of which there is no log: they have not begun.

    >>> unlogged(["a", "b "], {"a", "b"})
    []
    """
    left = [run for run in named if run not in there and run.strip() not in there]
    if not left:
        return []
    return [
        f"{len(left)} run(s) of the table of runs have no points and are left out (no value is lost): {some(left)}; "
        f"forecast them from their plan {BY_LAW}"
    ]


def _twins(runs: pd.DataFrame, metrics: Mapping[str, Metric], prints: Mapping[tuple[str, str], int]) -> list[str]:
    family = runs["family"].to_dict()
    first: dict[tuple[str, int], str] = {}
    pairs: dict[tuple[str, str], str] = {}
    sharing: dict[tuple[str, int], list[str]] = {}
    for (run, metric), mark in prints.items():
        sharing.setdefault((metric, mark), []).append(run)
    outcomes = [name for name, one in metrics.items() if one.kind in OUTCOMES]
    telling = {
        (metric, mark)
        for (metric, mark), same in sharing.items()
        if metric in outcomes and not _otherwise_apart(same, [name for name in outcomes if name != metric], prints)
    }
    for (run, metric), mark in sorted(prints.items()):
        if (metric, mark) in telling:
            twin = first.setdefault((metric, mark), run)
            if family[twin] != family[run]:
                pairs.setdefault((twin, run), metric)
    if not pairs:
        return []
    words = some([f"{run} and {twin} ({metric})" for (twin, run), metric in pairs.items()])
    return [
        f"{len(pairs)} pair(s) of runs have an equal curve but are of two families, so that one could give away the "
        f"other in a backtest: {words}; if they are copies or forks, say so in runs.csv (run, family) or by family=..."
    ]


def _otherwise_apart(runs: list[str], others: list[str], prints: Mapping[tuple[str, str], int]) -> bool:
    """Whether several runs share a curve though ``others`` tell them apart: then its metric says nothing."""
    return len(runs) > 2 and any(
        len({prints[run, name] for run in runs if (run, name) in prints}) > 1 for name in others
    )


def _one_family(runs: pd.DataFrame, stated: bool, settings: bool) -> list[str]:
    if len(runs) < 2 or len(set(runs["family"])) > 1 or stated:
        return []
    why = "names and settings" if settings else "names alone, since their settings are not known"
    return [
        f"all {len(runs)} runs fall into one family ({runs['family'].iloc[0]}), by their {why}; a backtest holds out "
        "whole families and would have no history, and a forecast learns from no run of the same family: if they "
        "differ in more than a seed, state the families in runs.csv (run, family; runs_file=FILE) or with family=..."
    ]


def _unseen(metrics: Mapping[str, Metric], stated: Container[str]) -> list[str]:
    if not any(metric.kind in OUTCOMES for metric in metrics.values()):
        return []  # where no outcome is known, all that was logged is forecast
    signals = [name for name, metric in metrics.items() if metric.kind == "signal" and name not in stated]
    names = [name for name in signals if looks_like_outcome(name)]
    if not names:
        return []
    return [
        f"{len(names)} metric(s) look like outcomes but are of kind signal, so they are not forecast unless asked for: "
        f"{some(sorted(names), 6)}; state their kind in metrics.csv (metric, kind; metrics_file=FILE)"
    ]
