"""Log-linear tail: a straight line in the logarithm of the step through the last half of what was seen."""

from __future__ import annotations

import numpy as np

from predictdyn.forecasters._empirical import Empirical
from predictdyn.forecasters._rule import Peers
from predictdyn.lines import Line

FEWEST = 3  # points


def tail(line: Line) -> tuple[np.ndarray, np.ndarray, float]:
    """ln x (t,) and z (t,) of the last half of the points, at least 3, and the least-squares slope; NaN with fewer."""
    begun = line.share > 0
    x, z = np.log(line.share[begun]), line.latent[begun]
    half = max(len(x) // 2, FEWEST)
    x, z = x[-half:], z[-half:]
    if len(x) < FEWEST:
        return x, z, np.nan
    return x, z, float(np.sum((x - x.mean()) * (z - z.mean())) / np.sum((x - x.mean()) ** 2))


def log_linear(line: Line, share: np.ndarray, peers: Peers) -> np.ndarray:
    """z(x) = a + b ln x, least squares over the last half of the points (at least 3), latent; no answer with fewer."""
    x, z, slope = tail(line)
    if np.isnan(slope):
        return np.full(len(share), np.nan)
    return z.mean() + slope * (np.log(np.maximum(share, 1e-12)) - x.mean())


FORECASTER = Empirical("log_linear", log_linear)
