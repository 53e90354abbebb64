"""Checkpoints: a log as few, evenly told points a curve, each of which follows from the log up to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from predictdyn.curves import Curves, Metric
from predictdyn.scales import Scale, scale_for

LEAST_GAP, GAP = 0.0008, 0.008  # progress between two checkpoints: at the start, and added per unit of progress
STILL = 1e-6  # of the progress, so that a tie is one whatever the rounding


class Axis(NamedTuple):
    """Where a metric is looked at: its latent scale; a metric without bounds goes on as arcsinh(value / unit)."""

    scale: Scale
    unit: float

    def latent(self, value: np.ndarray) -> np.ndarray:
        """Values (t,) as latent numbers (t,)."""
        latent = self.scale.latent(value)
        return latent if self.scale.bounded else np.arcsinh(latent / self.unit)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        plain = {name: None if value == np.inf else value for name, value in self.scale._asdict().items()}
        return {"scale": plain, "unit": self.unit}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Axis:
        """Back from `to_json`."""
        scale = {
            name: value for name, value in data["scale"].items() if value is not None or name in ("lower", "upper")
        }
        return Axis(Scale(**scale), float(data["unit"]))


class Track(NamedTuple):
    """One curve at its checkpoints: step, progress and latent value (t,) each."""

    run: str
    family: str
    step: np.ndarray
    progress: np.ndarray
    latent: np.ndarray


def axis_for(metric: Metric, values: np.ndarray) -> Axis:
    """The axis of a metric, from values (t,) of finished runs."""
    scale = scale_for(metric, values)
    size = np.abs(scale.latent(values))
    return Axis(scale, max(float(np.median(size)), 1e-12) if len(size) else 1.0)


def checkpoints(progress: np.ndarray) -> np.ndarray:
    """The points (t,) of a curve at which it is looked at, in order: (k,), at most some 300.

    A point is one where it lies far enough beyond the checkpoint before it. So it follows from the log up to it, and a
    log with fewer points has all of them.

    >>> checkpoints(np.array([0.0, 0.0001, 0.5, 0.5001, 1.0])).tolist()
    [0, 2, 4]
    """
    # Most logs are sparse, and have nothing to leave out.
    if (np.diff(progress) >= (LEAST_GAP + GAP * progress[:-1]) * (1 - STILL)).all():
        return np.arange(len(progress))
    found, at = [], 0
    while at < len(progress):
        found.append(at)
        here = float(progress[at])
        at = int(np.searchsorted(progress, here + (LEAST_GAP + GAP * here) * (1 - STILL)))
    return np.array(found, dtype=np.intp)


def tracks(curves: Curves, axes: Mapping[str, Axis]) -> dict[str, list[Track]]:
    """The curves of each metric that has an axis; a checkpoint has the mean of what was logged since the one before."""
    found: dict[str, list[Track]] = {name: [] for name in axes}
    family = curves.runs["family"].to_dict()
    last = curves.runs["last_step"].astype(float).to_dict()
    for (run, name), curve in curves.series.items():
        if name not in axes:
            continue
        progress = curve.step / last[run]
        ends = checkpoints(progress)
        latent = axes[name].latent(curve.value)
        if len(ends) < len(progress):
            begins = np.r_[0, ends[:-1] + 1]
            # The points after the last checkpoint wait for theirs.
            total = np.add.reduceat(latent[: ends[-1] + 1], begins)
            latent = total / (ends + 1 - begins)
        found[name].append(Track(run, family[run], curve.step[ends], progress[ends], latent))
    return found


def looked_at(metrics: Iterable[Metric]) -> list[str]:
    """The metrics that alarms look at: all but schedules, which are plans."""
    return sorted(metric.name for metric in metrics if metric.kind != "schedule")


def rates(curves: Curves) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The learning rate of each run that has one as a schedule known ahead: progress and logarithm, (t,) each."""
    last = curves.runs["last_step"].astype(float).to_dict()
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for (run, name), curve in curves.series.items():
        metric = curves.metrics[name]
        if metric.known_ahead and run not in found and (curve.value > 0).any():
            peak = curve.value.max()
            found[run] = curve.step / last[run], np.log(np.maximum(curve.value / peak, 1e-3))
    return found


def rate_at(rate: tuple[np.ndarray, np.ndarray] | None, progress: np.ndarray) -> np.ndarray:
    """The logarithm (t,) of the rate over its peak; 0 where there is no schedule."""
    return np.zeros(len(progress)) if rate is None else np.interp(progress, *rate, left=None, right=None)
