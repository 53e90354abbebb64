"""Checkpoints: a log as few, evenly told points a curve, each of which follows from the log up to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from predictdyn.curves import Curves, Metric
from predictdyn.scales import Scale, scale_for

LEAST_GAP, GAP = 0.0008, 0.008  # progress between two checkpoints: at the start, and added per unit of progress
TIE = 1e-6  # of a gap, so that a tie is one whatever the rounding
STILL, LEAST_STILL = 0.1, 1e-6  # of the median change
LEAST_RATE = 0.03  # of the peak: below, a learning rate changes nothing more


class Axis(NamedTuple):
    """Where a metric is looked at: its latent scale; a metric without bounds goes on as arcsinh(value / unit).

    Changes below ``still`` are no more telling than none: late in a run, shares of finitely many items hardly move.
    """

    scale: Scale
    unit: float
    still: float

    def latent(self, value: np.ndarray) -> np.ndarray:
        """Values (t,) as latent numbers (t,)."""
        latent = self.scale.latent(value)
        return latent if self.scale.bounded else np.arcsinh(latent / self.unit)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        plain = {name: None if value == np.inf else value for name, value in self.scale._asdict().items()}
        return {"scale": plain, "unit": self.unit, "still": self.still}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Axis:
        """Back from `to_json`."""
        scale = {
            name: value for name, value in data["scale"].items() if value is not None or name in ("lower", "upper")
        }
        return Axis(Scale(**scale), float(data["unit"]), float(data["still"]))


class Track(NamedTuple):
    """One curve at its checkpoints: step, progress and latent value (t,) each."""

    run: str
    family: str
    step: np.ndarray
    progress: np.ndarray
    latent: np.ndarray


def axis_for(metric: Metric, curves: Sequence[np.ndarray]) -> Axis:
    """The axis of a metric, from the values (t,) of each finished run."""
    scale = scale_for(metric, np.concatenate(curves))
    size = np.abs(scale.latent(np.concatenate(curves)))
    axis = Axis(scale, max(float(np.median(size)), 1e-12), 0.0)
    change = np.concatenate([np.abs(np.diff(axis.latent(values))) for values in curves])
    change = change[change > 0]
    return axis._replace(still=max(STILL * float(np.median(change)), LEAST_STILL) if len(change) else LEAST_STILL)


def checkpoints(progress: np.ndarray) -> np.ndarray:
    """The points (t,) of a curve at which it is looked at, in order: (k,), at most some 300.

    A point is one where it lies far enough beyond the checkpoint before it. So it follows from the log up to it, and a
    log with fewer points has all of them.

    >>> checkpoints(np.array([0.0, 0.0001, 0.5, 0.5001, 1.0])).tolist()
    [0, 2, 4]
    """
    # Most logs are sparse, and have nothing to leave out.
    if (np.diff(progress) >= (LEAST_GAP + GAP * progress[:-1]) * (1 - TIE)).all():
        return np.arange(len(progress))
    found, at = [], 0
    while at < len(progress):
        found.append(at)
        here = float(progress[at])
        at = int(np.searchsorted(progress, here + (LEAST_GAP + GAP * here) * (1 - TIE)))
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
            found[run] = curve.step / last[run], np.log(np.maximum(curve.value / peak, LEAST_RATE))
    return found


def rate_at(rate: tuple[np.ndarray, np.ndarray] | None, progress: np.ndarray) -> np.ndarray:
    """The logarithm (t,) of the rate over its peak; 0 where there is no schedule."""
    return np.zeros(len(progress)) if rate is None else np.interp(progress, *rate, left=None, right=None)
