"""Mixed effects: linear in a few directions of how finished runs began, with an offset of every family."""

from __future__ import annotations

import numpy as np

from predictdyn.fitting.crossfit import Regressor
from predictdyn.forecasters._directed import Directed, Linear
from predictdyn.forecasters._regressed import Regressed


def make(family: np.ndarray, seed: int) -> Regressor:
    """Laird and Ware 1982, doi:10.2307/2529876; a family that is new has the offset zero."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    return Directed(Linear(lambda y, design: MixedLM(y, design, groups=family).fit(reml=True, maxiter=50).fe_params))


FORECASTER = Regressed("mixed_effects", make, own=True)
