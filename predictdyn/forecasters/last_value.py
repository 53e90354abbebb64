"""Last value carried forward."""

from __future__ import annotations

import numpy as np

from predictdyn.forecasters._empirical import Empirical
from predictdyn.forecasters._rule import Peers
from predictdyn.lines import Line


def last_value(line: Line, share: np.ndarray, peers: Peers) -> np.ndarray:
    """z(x) = the last latent value seen, at every share asked (m,)."""
    return np.full(len(share), line.latent[-1] if len(line.latent) else np.nan)


FORECASTER = Empirical("last_value", last_value)
