"""Elastic net: a sparse linear regression on the features of how finished runs began."""

from __future__ import annotations

import numpy as np

from predictdyn.fitting.crossfit import Regressor
from predictdyn.forecasters._regressed import Regressed


def make(family: np.ndarray, seed: int) -> Regressor:
    """Zou and Hastie 2005, doi:10.1111/j.1467-9868.2005.00503.x; the penalty by leaving families out."""
    from sklearn.linear_model import ElasticNetCV
    from sklearn.model_selection import GroupKFold

    rows = np.arange(len(family))[:, None]
    folds = list(GroupKFold(min(4, len(np.unique(family)))).split(rows, groups=family))
    return ElasticNetCV(l1_ratio=0.5, alphas=12, eps=1e-2, cv=folds, max_iter=5000, tol=5e-3)


FORECASTER = Regressed("elastic_net", make)
