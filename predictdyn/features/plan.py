"""Features of what was decided before a run: its covariates, its length, and the whole of its schedules."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictdyn.covariates import Encoder
from predictdyn.curves import Curves
from predictdyn.scales import Scale

NEAR_PEAK = 0.99
GRID = 65  # shares at which the rest of a schedule is averaged


def covariates(runs: pd.DataFrame, encoder: Encoder | None) -> dict[str, np.ndarray]:
    """Log of the planned length and the encoded covariates of the runs (n rows)."""
    found = {"log_steps": np.log(runs["last_step"].to_numpy(dtype=float))}
    if encoder is not None:
        found |= dict(zip(encoder.names, encoder.encode(runs).T, strict=True))
    return found


def schedule(curves: Curves, metric: str, share: float, scale: Scale, *, whole: bool = True) -> dict[str, np.ndarray]:
    """Peak, present, end, warm-up, decay and rest of a planned curve; NaN for a run that has none.

    It is used ``whole``, or up to the share, as if it stayed where it is then. Between points it is linear in steps;
    the peak is the largest size, so shares of it lie in [-1, 1].
    """
    rest = np.linspace(share, 1.0, GRID)
    found = np.full((len(curves.runs), 6), np.nan)
    last_step, limit = curves.runs["last_step"].to_numpy(dtype=float), curves.limit(share).to_numpy()
    for row, run in enumerate(curves.runs.index):
        curve = curves.series.get((run, metric))
        keep = slice(0) if curve is None else slice(None) if whole else curve.step <= limit[row]
        if curve is None or not len(curve.step[keep]):
            continue
        done, size = curve.step[keep] / last_step[row], np.abs(curve.value[keep])
        peak = float(size.max())
        there = done[size >= NEAR_PEAK * peak]
        remaining = np.interp(rest, done, curve.value[keep]) / (peak or 1.0)
        average = np.trapezoid(remaining, rest) / (1 - share) if share < 1 else remaining[-1]
        found[row] = peak, remaining[0], remaining[-1], there[0], 1 - there[-1], average
    found[:, 0] = scale.latent(found[:, 0])
    return dict(zip(("peak", "now", "final", "warmup", "decay", "rest"), found.T, strict=True))
