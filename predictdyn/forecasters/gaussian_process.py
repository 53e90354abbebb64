"""Gaussian process: a linear and a smooth function of a few directions of how finished runs began."""

from __future__ import annotations

import numpy as np

from predictdyn.fitting.crossfit import Regressor
from predictdyn.forecasters._directed import DIRECTIONS, Directed
from predictdyn.forecasters._regressed import Regressed


def make(family: np.ndarray, seed: int) -> Regressor:
    """Rasmussen and Williams 2006, ch. 2 and 5: scales by maximum marginal likelihood, noise among them."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    smooth = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(np.sqrt(DIRECTIONS), (0.5, 50.0))
    linear = ConstantKernel(0.1, (1e-3, 1e1)) * DotProduct(1.0, (0.1, 10.0))
    kernel = smooth + linear + WhiteKernel(0.3, (1e-3, 1e1))
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    return Directed(make_pipeline(StandardScaler(), process))


FORECASTER = Regressed("gaussian_process", make)
