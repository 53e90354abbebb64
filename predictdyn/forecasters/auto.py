"""Auto, the default: the curve ensemble with what finished runs teach, by Gaussian processes and regressions."""

from __future__ import annotations

from predictdyn.forecasters import curve_ensemble
from predictdyn.forecasters._ensemble import Ensemble

FROM_RUNS = {
    "pooled_change": 10.0, "pooled_curves": 10.0, "extra_trees": 20.0, "quantile_regression": 5.0, "exposures": 20.0,
}  # fmt: skip
FORECASTER = Ensemble(
    "auto",
    (*curve_ensemble.FORECASTER.members, *FROM_RUNS),
    (*curve_ensemble.FORECASTER.lean, *FROM_RUNS.values()),
)
