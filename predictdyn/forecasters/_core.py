"""What the posterior of single curves says of where they end, as columns for a regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictdyn.fitting import quadrature
from predictdyn.forecasters._series import padded, usable
from predictdyn.forms import BY_NAME
from predictdyn.lines import Line

FORMS = ("log_linear", "pow3", "weibull")
MOST = 5.0  # what a curve may still do, in units of the sd of what it has done


def ends(lines: Sequence[Line], share: float) -> np.ndarray:
    """The change (n, 2) from the last value of each curve to its mean at a share, and its sd; latent, NaN if too short.

    Means over forms by their evidence, of curves without noise.
    """
    found = np.full((len(lines), 2), np.nan)
    some = [i for i, line in enumerate(lines) if usable(line)]
    if not some:
        return found
    batch = padded([lines[i] for i in some])
    weight = np.where(np.isfinite(batch.variance), 1 / batch.variance, 0.0)
    at = np.array([max(share / lines[i].share[-1], 1.0) for i in some])[:, None]
    each = [quadrature.forecast(BY_NAME[name], np.exp(batch.u), batch.z, weight, at=at) for name in FORMS]
    evidence = np.stack([one.log_evidence for one in each])
    part = np.exp(evidence - evidence.max(axis=0))
    part /= part.sum(axis=0)
    mean, sd = (np.stack([one[i][:, 0] for one in each]) for i in range(2))
    middle = (part * mean).sum(axis=0)
    spread = np.sqrt((part * (sd**2 + (mean - middle) ** 2)).sum(axis=0))
    limited = np.stack([np.clip(middle, -MOST, MOST), np.minimum(spread, MOST)], axis=1)
    found[some] = limited * batch.unit[:, None]
    return found
