"""Three-parameter power law by least squares."""

from __future__ import annotations

import numpy as np

from predictdyn.forecasters._empirical import Empirical
from predictdyn.forecasters._rule import Peers
from predictdyn.lines import Line

EXPONENTS = np.geomspace(0.02, 4.0, 40)


def pow3(line: Line, share: np.ndarray, peers: Peers) -> np.ndarray:
    """z(x) = c - a x^-alpha on the latent scale, least squares; no answer with fewer than 4 points after step 0.

    Variable projection: c and a are solved for at each of 40 exponents between 0.02 and 4, the best exponent is kept.
    Form of Domhan et al. 2015 (IJCAI).
    """
    begun = line.share > 0
    x, z = line.share[begun], line.latent[begun]
    if len(x) < 4:
        return np.full(len(share), np.nan)
    # Relative to the last share, so that the power is of order one near the end of what was seen.
    power = (x[None, :] / x[-1]) ** -EXPONENTS[:, None]
    centred = power - power.mean(axis=1, keepdims=True)
    size = (centred**2).sum(axis=1)
    slope = (centred @ (z - z.mean())) / np.maximum(size, 1e-300)
    misfit = ((z - z.mean() - slope[:, None] * centred) ** 2).sum(axis=1)
    best = int(np.argmin(misfit))
    level = z.mean() - slope[best] * power[best].mean()
    return level + slope[best] * (np.maximum(share, 1e-12) / x[-1]) ** -EXPONENTS[best]


FORECASTER = Empirical("pow3", pow3)
