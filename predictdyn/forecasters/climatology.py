"""Climatology: the mean of what finished runs reached, whatever this run shows."""

from __future__ import annotations

import numpy as np

from predictdyn.forecasters._empirical import Empirical
from predictdyn.forecasters._rule import Peers
from predictdyn.lines import Line


def climatology(line: Line, share: np.ndarray, peers: Peers) -> np.ndarray:
    """z(x) = mean over finished runs of z_h(x), latent; no answer without finished runs."""
    known = np.isfinite(peers.end)
    count = known.sum(axis=0)
    total = np.where(known, peers.end, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


FORECASTER = Empirical("climatology", climatology)
