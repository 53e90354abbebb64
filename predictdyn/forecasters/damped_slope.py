"""Damped slope: from the last points on at six tenths of the slope of the tail, in the logarithm of the step."""

from __future__ import annotations

import numpy as np

from predictdyn.forecasters._empirical import Empirical
from predictdyn.forecasters._rule import Peers
from predictdyn.forecasters.log_linear import tail
from predictdyn.lines import Line

DAMPING = 0.6  # curves flatten as they go on
LEVEL_OF = 3  # last points that the level is a mean of


def damped_slope(line: Line, share: np.ndarray, peers: Peers) -> np.ndarray:
    """z(x) = a + .6 b ln(x / now), latent, b that of `log_linear`; no answer with fewer than 3 points.

    The level a is the mean of the last three points, each moved to now along b. A damped trend beats a straight one
    where it is not known how long it will last (Gardner and McKenzie 1985, doi:10.1287/mnsc.31.10.1237).
    """
    x, z, slope = tail(line)
    if np.isnan(slope):
        return np.full(len(share), np.nan)
    level = np.mean(z[-LEVEL_OF:] - slope * (x[-LEVEL_OF:] - x[-1]))
    return level + DAMPING * slope * (np.log(np.maximum(share, 1e-12)) - x[-1])


FORECASTER = Empirical("damped_slope", damped_slope)
