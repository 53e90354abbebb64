"""Curve ensemble: models of single curves and the simple baselines, mixed by what replays say of each."""

from __future__ import annotations

from predictdyn.forecasters._ensemble import Ensemble

FORECASTER = Ensemble(
    "curve_ensemble",
    ("last_value", "drift", "climatology", "log_linear", "damped_slope", "nearest", "structural"),
    (1.0, 1.0, 1.0, 0.5, 0.5, 1.0, 10.0),
)
