"""Extra trees: averages of randomised regression trees on the features of how finished runs began."""

from __future__ import annotations

import numpy as np

from predictdyn.fitting.crossfit import Regressor
from predictdyn.forecasters._regressed import Regressed


def make(family: np.ndarray, seed: int) -> Regressor:
    """Geurts et al. 2006, doi:10.1007/s10994-006-6226-1."""
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(60, min_samples_leaf=6, max_features=0.5, random_state=seed)


FORECASTER = Regressed("extra_trees", make, origins=5)
