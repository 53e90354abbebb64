"""Chance: the value of a model that knows nothing."""

from __future__ import annotations

import numpy as np

from predictdyn.forecasters._empirical import Empirical
from predictdyn.forecasters._rule import Peers
from predictdyn.lines import Line


def chance(line: Line, share: np.ndarray, peers: Peers) -> np.ndarray:
    """z(x) = the stated chance level, latent; without one the first value of this run, else of finished runs."""
    if peers.chance is not None:
        return np.full(len(share), peers.chance)
    if len(line.latent):
        return np.full(len(share), line.latent[0])
    first = peers.grid[:, 0] if len(peers.grid) else np.zeros(0)
    known = first[np.isfinite(first)]
    return np.full(len(share), known.mean() if len(known) else np.nan)


FORECASTER = Empirical("chance", chance)
