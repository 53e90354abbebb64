"""Auto, the default: the curve ensemble with what finished runs teach, by Gaussian processes and regressions."""

from __future__ import annotations

from predictdyn.forecasters import curve_ensemble
from predictdyn.forecasters._ensemble import Ensemble

FORECASTER = Ensemble(
    "auto",
    (*curve_ensemble.FORECASTER.members, "pooled_change", "pooled_curves", "extra_trees", "quantile_regression"),
    (*curve_ensemble.FORECASTER.lean, 10.0, 10.0, 20.0, 5.0),
)
