"""Sights: all metrics of a run side by side at its checkpoints, as alarms look at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.curves import Curves
from predictdyn.problem import log_progress
from predictdyn.watch.checkpoints import Axis, Track, checkpoints, rates, tracks
from predictdyn.watch.innovations import Announced, Rows, rows_of

GRID = np.linspace(0.0, 1.0, 10_001)[checkpoints(np.linspace(0.0, 1.0, 10_001))]  # where family curves are kept
FEWEST = 3  # healthy runs of a family that make a family curve


class Sight(NamedTuple):
    """One run: step and progress (t,); normal scores and latent levels (t, k) of the metrics, NaN where not logged."""

    run: str
    family: str
    step: np.ndarray
    progress: np.ndarray
    scores: np.ndarray
    levels: np.ndarray


class Prepared(NamedTuple):
    """What curves say before anything is learnt of them: tracks and rows of each metric, by run."""

    axes: dict[str, Axis]
    tracks: dict[str, dict[str, Track]]
    rows: dict[str, dict[str, Rows]]


def prepared(
    curves: Curves, axes: Mapping[str, Axis], families: Mapping[str, np.ndarray] | None = None,
    own: Mapping[str, np.ndarray] | None = None,
) -> Prepared:  # fmt: skip
    """Tracks and rows of all runs.

    ``families``: the mean curve of each family, (k, grid) on `GRID`; only runs of these are prepared then. ``own``: in
    its place for single runs, so that a run is not compared with a mean that it is part of.
    """
    of_metric = {name: {one.run: one for one in some} for name, some in tracks(curves, axes).items()}
    rate = rates(curves)
    rows: dict[str, dict[str, Rows]] = {}
    for place, (name, axis) in enumerate(axes.items()):
        rows[name] = {}
        for run, track in of_metric[name].items():
            if families is None:
                rows[name][run] = rows_of(track, axis.still, rate.get(run))
                continue
            mean = (own or {}).get(run, families.get(track.family))
            if mean is not None and np.isfinite(mean[place]).any():
                rows[name][run] = rows_of(track, axis.still, rate.get(run), _twin(track, mean[place]))
    return Prepared(dict(axes), of_metric, rows)


def sights(ready: Prepared, models: Mapping[str, Announced], runs: Sequence[str]) -> dict[str, Sight]:
    """The sight of each of some runs that has one, by models of the metrics."""
    found = {}
    for run in runs:
        mine = [(k, name) for k, name in enumerate(ready.axes) if run in ready.rows[name] and name in models]
        mine = [(k, name) for k, name in mine if len(ready.rows[name][run].y)]
        if not mine:
            continue
        step = np.unique(np.concatenate([ready.rows[name][run].step for _, name in mine]))
        scores, levels = (np.full((len(step), len(ready.axes)), np.nan) for _ in range(2))
        track = ready.tracks[mine[0][1]][run]
        for k, name in mine:
            rows, curve = ready.rows[name][run], ready.tracks[name][run]
            at = np.searchsorted(step, rows.step)
            scores[at, k] = models[name].scores(rows)
            levels[at, k] = curve.latent[len(curve.latent) - len(rows.y) :]
        last = float(track.step[-1] / track.progress[-1]) if track.progress[-1] > 0 else 1.0
        found[run] = Sight(run, track.family, step, step / last, scores, levels)
    return found


def family_means(
    ready: Prepared, healthy: Sequence[str], family: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The mean curves (k, grid) of families with enough healthy runs, and for each of these runs that of the others."""
    members: dict[str, list[str]] = {}
    for run in healthy:
        members.setdefault(family[run], []).append(run)
    means, others = {}, {}
    for name, runs in members.items():
        if len(runs) < FEWEST:
            continue
        curves = np.stack([_on_grid(ready, run) for run in runs])
        known = np.isfinite(curves)
        total, count = np.where(known, curves, 0.0).sum(axis=0), known.sum(axis=0)
        means[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        for run, own, there in zip(runs, curves, known, strict=True):
            left = count - there
            rest = (total - np.where(there, own, 0.0)) / np.maximum(left, 1)
            others[run] = np.where(left > 0, rest, np.nan)
    return means, others


def _on_grid(ready: Prepared, run: str) -> np.ndarray:
    """The latent curves (k, grid) of a run; NaN for a metric that it has not, the last value after its end."""
    found = np.full((len(ready.axes), len(GRID)), np.nan)
    for k, name in enumerate(ready.axes):
        track = ready.tracks[name].get(run)
        if track is not None and len(track.step):
            found[k] = np.interp(log_progress(GRID), log_progress(track.progress), track.latent)
    return found


def _twin(track: Track, mean: np.ndarray) -> Track:
    """The mean curve (grid,) of a family at the checkpoints of a run."""
    return track._replace(latent=np.interp(log_progress(track.progress), log_progress(GRID), mean))
