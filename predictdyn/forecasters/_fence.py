"""Runs that diverged, kept from teaching that every run may."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from predictdyn.problem import LatentCurve
from predictdyn.scales import Scale

FEWEST_CURVES = 3
FENCE = 3.0  # interquartile ranges above the typical peak from which a curve has diverged


def fenced(curves: Mapping[str, LatentCurve], scale: Scale) -> dict[str, LatentCurve]:
    """Finished curves beside a lower bound alone that diverged count as having risen to a fence, not without end.

    A loss of 1e36 at the end of one run is a reason for a process or a regression to think all of them capable of it.
    """
    if scale.lower is None or scale.upper is not None or len(curves) < FEWEST_CURVES:
        return dict(curves)
    low, high = np.quantile(np.concatenate([one.latent for one in curves.values()]), [0.25, 0.75])
    fence = float(np.median([one.latent.max() for one in curves.values()]) + FENCE * (high - low))
    return {run: one._replace(latent=np.minimum(one.latent, fence)) for run, one in curves.items()}
