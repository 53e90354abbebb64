"""Last value, plus the mean change that finished runs made from the same share of training on."""

from __future__ import annotations

import numpy as np

from predictdyn.forecasters._empirical import Empirical
from predictdyn.forecasters._rule import Peers
from predictdyn.lines import Line


def drift(line: Line, share: np.ndarray, peers: Peers) -> np.ndarray:
    """z(x) = z(now) + mean over finished runs of (z_h(x) - z_h(now)), latent; no answer without a finished run."""
    if not len(line.latent):
        return np.full(len(share), np.nan)
    change = peers.end - peers.now[:, None]
    known = np.isfinite(change)
    count = known.sum(axis=0)
    mean = np.where(known, change, 0.0).sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, line.latent[-1] + mean, np.nan)


FORECASTER = Empirical("drift", drift)
