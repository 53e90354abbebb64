"""Gradient boosting: regression trees on what the trees before them left, from the features of how runs began."""

from __future__ import annotations

import numpy as np

from predictdyn.fitting.crossfit import Regressor
from predictdyn.forecasters._regressed import Regressed


def make(family: np.ndarray, seed: int) -> Regressor:
    """Friedman 2001, doi:10.1214/aos/1013203451; absolute errors, since a few runs of every history go astray."""
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(
        loss="absolute_error", n_estimators=150, learning_rate=0.06, max_depth=3, min_samples_leaf=4, max_features=0.2,
        subsample=0.7, random_state=seed,
    )  # fmt: skip


FORECASTER = Regressed("boosting", make)
