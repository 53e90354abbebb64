"""Quantile regression: the median of what is left, linear in a few directions of how finished runs began."""

from __future__ import annotations

import numpy as np

from predictdyn.fitting.crossfit import Regressor
from predictdyn.forecasters._directed import Directed, Linear
from predictdyn.forecasters._regressed import Regressed


def make(family: np.ndarray, seed: int) -> Regressor:
    """Koenker and Bassett 1978, doi:10.2307/1913643, at the median."""
    from statsmodels.regression.quantile_regression import QuantReg

    return Directed(Linear(lambda y, design: QuantReg(y, design).fit(q=0.5, max_iter=200).params))


FORECASTER = Regressed("quantile_regression", make, own=True)
