"""Auto, the default: the curve ensemble with the Bayesian hierarchy over runs among its members."""

from __future__ import annotations

from predictdyn.forecasters import curve_ensemble
from predictdyn.forecasters._ensemble import Ensemble

FORECASTER = Ensemble(
    "auto",
    (*curve_ensemble.FORECASTER.members, "pooled"),
    (*curve_ensemble.FORECASTER.lean, 10.0),
)
