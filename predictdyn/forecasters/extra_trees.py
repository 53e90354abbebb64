"""Extra trees: averages of randomised regression trees on the features of how finished runs began."""

from __future__ import annotations

import numpy as np

from predictdyn.fitting.crossfit import Make, Regressor
from predictdyn.forecasters._regressed import Regressed


def trees(leaf: int) -> Make:
    """Trees whose leaves hold at least so many rows: Geurts et al. 2006, doi:10.1007/s10994-006-6226-1."""

    def make(family: np.ndarray, seed: int) -> Regressor:
        from sklearn.ensemble import ExtraTreesRegressor

        return ExtraTreesRegressor(60, min_samples_leaf=leaf, max_features=0.5, random_state=seed)

    return make


# A run is there as it looked at up to five origins, so a leaf of six rows holds little more than one run.
FORECASTER = Regressed("extra_trees", trees(6), origins=5)
