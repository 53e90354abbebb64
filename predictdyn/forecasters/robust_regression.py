"""Robust regression: linear in a few directions of how finished runs began, with Huber's loss."""

from __future__ import annotations

import numpy as np

from predictdyn.fitting.crossfit import Regressor
from predictdyn.forecasters._directed import Directed, Linear
from predictdyn.forecasters._regressed import Regressed


def make(family: np.ndarray, seed: int) -> Regressor:
    """Huber 1964, doi:10.1214/aoms/1177703732, by reweighted least squares."""
    from statsmodels.robust.norms import HuberT
    from statsmodels.robust.robust_linear_model import RLM

    return Directed(Linear(lambda y, design: RLM(y, design, M=HuberT()).fit().params))


FORECASTER = Regressed("robust_regression", make, own=True)
