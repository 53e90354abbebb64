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


def schedule(curves: Curves, metric: str, share: float, scale: Scale) -> dict[str, np.ndarray]:
    """Peak, present, end, warm-up, decay and rest of a planned curve, used whole; NaN for a run that has none.

    Between points it is linear in steps; the peak is the largest size, so shares of it lie in [-1, 1].
    """
    rest = np.linspace(share, 1.0, GRID)
    found = np.full((len(curves.runs), 6), np.nan)
    last_step = curves.runs["last_step"].to_numpy(dtype=float)
    for row, run in enumerate(curves.runs.index):
        curve = curves.by_key.get((run, metric))
        if curve is None:
            continue
        done, size = curve.step / last_step[row], np.abs(curve.value)
        peak = float(size.max())
        there = done[size >= NEAR_PEAK * peak]
        remaining = np.interp(rest, done, curve.value) / (peak or 1.0)
        average = np.trapezoid(remaining, rest) / (1 - share) if share < 1 else remaining[-1]
        found[row] = peak, remaining[0], remaining[-1], there[0], 1 - there[-1], average
    found[:, 0] = scale.latent(found[:, 0])
    return dict(zip(("peak", "now", "final", "warmup", "decay", "rest"), found.T, strict=True))
