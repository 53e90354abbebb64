"""Columns: what is known of a run before its intervention, as numbers that the effect may depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.covariates import Encoder
from predictdyn.curves import Curves
from predictdyn.problem import LatentCurve

FURTHEST = 3.0  # standard deviations: no run is taken to be further from the mean of the others
SIZE = 2  # the first columns, on which the size of an error may depend too


class Moment(NamedTuple):
    """When, as shares of the run: the last point seen, the start of the intervention, the end that is asked for."""

    seen: float
    start: float
    end: float


def columns(
    curves: Curves, lines: Sequence[Mapping[str, LatentCurve]], runs: Sequence[str], start: np.ndarray, moment: Moment,
    plan: Encoder,
) -> np.ndarray:  # fmt: skip
    """Numbers (m, p) of m runs that are changed at shares ``start`` (m,); NaN where unknown.

    The share of the run that is left and its logarithm, the latent levels of metrics (``lines``: each a metric's lines
    by run, the metric in question first), the plan, and what is left of each planned schedule. Levels are those of the
    last point seen, which lies as long before the start as ``moment`` says: of later points nothing is used.
    """
    left = np.maximum(moment.end - start, 1e-9)
    known = np.maximum(start - max(moment.start - moment.seen, 0.0), 0.0)
    levels = [[_last(of_run.get(run), share) for run, share in zip(runs, known, strict=True)] for of_run in lines]
    parts = [np.log(left), np.array(levels[0], dtype=float), left, *map(np.array, levels[1:])]
    parts += list(plan.encode(curves.runs.loc[list(runs)]).T)
    for name in sorted(name for name, metric in curves.metrics.items() if metric.known_ahead):
        parts.append(np.array([_left(curves, run, name, s, moment.end) for run, s in zip(runs, start, strict=True)]))
    return np.stack([np.asarray(part, dtype=float).reshape(len(runs)) for part in parts], axis=1)


def standard(columns: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """How columns (m, p) come to mean 0 and standard deviation 1, learnt from runs of the history alone.

    Unknown numbers become 0, a column that does not vary becomes 0.
    """
    known = np.isfinite(columns)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, columns, 0.0).sum(axis=0) / count
    sd = np.sqrt(np.where(known, (columns - mean) ** 2, 0.0).sum(axis=0) / count)
    flat = sd <= 1e-9 * np.maximum(np.abs(mean), 1.0)

    def apply(some: np.ndarray) -> np.ndarray:
        number = np.where(flat, 0.0, (some - mean) / np.where(flat, 1.0, sd))
        return np.clip(np.nan_to_num(number, nan=0.0), -FURTHEST, FURTHEST)

    return apply


def _last(line: LatentCurve | None, share: float) -> float:
    n = 0 if line is None else int(np.searchsorted(line.progress, share * (1 + 1e-9), side="right"))
    return float(line.latent[n - 1]) if line is not None and n else np.nan


def _left(curves: Curves, run: str, schedule: str, start: float, end: float) -> float:
    """The share of a planned schedule's sum that lies between the start and the end."""
    curve = curves.series.get((run, schedule))
    if curve is None or len(curve.step) < 2:
        return np.nan
    share = curve.step / float(curves.runs["last_step"][run])
    total = np.concatenate([[0.0], np.cumsum(np.diff(share) * (curve.value[1:] + curve.value[:-1]) / 2)])
    part = np.diff(np.interp([start, end], share, total))[0]
    return float(part / total[-1]) if total[-1] > 0 else np.nan
