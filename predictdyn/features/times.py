"""Features of one curve in time: when it had moved how far, and its steps back and spikes."""

from __future__ import annotations

import numpy as np

from predictdyn.curves import Metric
from predictdyn.features.seen import Seen, ratio
from predictdyn.features.shape import deviations
from predictdyn.scales import Scale

FRACTIONS = {"time_25": 0.25, "time_50": 0.5, "time_75": 0.75}
LEVELS = {"reach_0.25": 0.25, "reach_1": 1.0, "reach_2": 2.0}
SPIKE = 5.0  # noise scales


def no_gap(metric: Metric) -> float | None:
    """The value that means no gap: chance, or 0 for a metric that is better near zero."""
    return 0.0 if metric.chance is None and metric.better == "zero" else metric.chance


def crossing(points: Seen, progress: np.ndarray, level: float) -> np.ndarray:
    """x at which progress (n, t) first reaches a level, linear between points; NaN where it never does: (n,)."""
    reached = points.here & (progress >= level)
    place = np.argmax(reached, axis=1)[:, None]
    before = np.maximum(place - 1, 0)
    x, gone = (np.take_along_axis(a, place, axis=1)[:, 0] for a in (points.x, progress))
    x_before, gone_before = (np.take_along_axis(a, before, axis=1)[:, 0] for a in (points.x, progress))
    inside = np.take_along_axis(points.here, before, axis=1)[:, 0] & (gone > gone_before)
    back = np.where(inside, np.nan_to_num(ratio(gone - level, gone - gone_before)), 0.0)
    return np.where(reached.any(axis=1), x - back * (x - x_before), np.nan)


def thresholds(points: Seen, metric: Metric, change: np.ndarray) -> dict[str, np.ndarray]:
    """Group thresholds; a curve with a direction is followed for the better, any other by its distance."""
    moved = np.where(points.here, points.latent - points.at_first(points.latent)[:, None], 0.0)
    part = ratio(moved * np.sign(change)[:, None], np.abs(change)[:, None])
    toward = {"higher": moved, "lower": -moved}.get(metric.better or "", np.abs(moved))
    found = {name: crossing(points, np.nan_to_num(part), level) for name, level in FRACTIONS.items()}
    for name, level in LEVELS.items():
        at = crossing(points, toward, level)
        found[name] = np.where(points.counts > 0, np.where(np.isnan(at), points.now, at), np.nan)
    return found


def instability(points: Seen, metric: Metric, scale: Scale, noise: np.ndarray) -> dict[str, np.ndarray]:
    """Group instability; without a direction every step counts, and near zero only a step away from no gap."""
    z = points.latent
    if metric.better == "zero":
        z = np.abs(z - float(scale.latent(np.array(no_gap(metric)))))
    step = np.diff(z, axis=1)
    worse = {"higher": -step, "lower": step, "zero": step}.get(metric.better or "", np.abs(step))
    worst = np.max(worse, axis=1, where=points.here[:, :-1], initial=0.0)
    return {
        "worst_step": np.log1p(ratio(worst, noise)),
        "spikes": np.where(np.isnan(noise), np.nan, _spikes(points, noise)),
    }


def _spikes(points: Seen, noise: np.ndarray) -> np.ndarray:
    """How many points are far from the median of themselves and their neighbours, (n,).

    The median passes over a jump to another level. On a slope a spike moves the medians of its neighbours too; it
    alone is the furthest from the line between its neighbours.
    """
    if points.here.shape[1] < 3:
        return np.zeros(len(points.here))
    a, b, c = points.latent[:, :-2], points.latent[:, 1:-1], points.latent[:, 2:]
    middle = np.maximum(np.minimum(a, c), np.minimum(np.maximum(a, c), b))
    size = np.abs(deviations(points)[0])
    furthest = (size[:, 1:-1] >= size[:, :-2]) & (size[:, 1:-1] > size[:, 2:])
    return (points.here[:, :-2] & furthest & (np.abs(b - middle) > SPIKE * noise[:, None])).sum(axis=1)
