"""Reliability: how often intervals held the truth and where in its forecast it fell, with runs as the unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.backtest.calibration import PitBand, coverage_interval, pit_band

# level of a central interval -> the columns of its ends
ENDS = {0.5: ("q0.25", "q0.75"), 0.8: ("q0.1", "q0.9"), 0.9: ("q0.05", "q0.95"), 0.95: ("q0.025", "q0.975")}


class Held(NamedTuple):
    """Share of truths inside an interval, and the interval of that share by runs."""

    share: float
    low: float
    high: float


def resolved(rows: pd.DataFrame) -> pd.DataFrame:
    """The forecasts whose truth is known."""
    return rows[rows["truth"].notna() & (rows["status"] != "censored")]


def share_held(rows: pd.DataFrame, level: float, seed: int) -> Held:
    """Coverage of the central interval of coverage ``level``; rows must be `resolved`."""
    low, high = ENDS[level]
    hit = (rows["truth"] >= rows[low]) & (rows["truth"] <= rows[high])
    return Held(*map(float, coverage_interval(hit.to_numpy(), rows["run"].to_numpy(dtype=object), seed=seed)))


def pit_difference(rows: pd.DataFrame, seed: int, points: int = 101) -> PitBand:
    """ECDF of the PIT less the uniform with a simultaneous band; rows must have a ``pit``."""
    known = rows[rows["pit"].notna()]
    grid = np.linspace(0, 1, points)
    return pit_band(known["pit"].to_numpy(dtype=float), known["run"].to_numpy(dtype=object), grid, seed=seed)
