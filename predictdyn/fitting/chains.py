"""What draws of chains can be trusted by: whether chains have met, how many draws they are worth, and lost paths."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

MET = 1.05  # of R-hat: chains that differ by more have not met
LOST = 0.01  # share of divergent transitions


class Mixing(NamedTuple):
    """The largest split R-hat of all numbers, the smallest effective number of draws, the share of divergent paths."""

    rhat: float
    size: float
    divergent: float

    @property
    def converged(self) -> bool:
        """As `converged`."""
        return converged(self.rhat, self.divergent)


UNSAMPLED = Mixing(np.nan, np.nan, np.nan)  # of what no chain has drawn


def converged(rhat: float | np.ndarray, divergent: float) -> bool:
    """Split R-hat of every number at most 1.05, and at most 1 % divergent transitions; NaN has not converged.

    >>> converged(np.array([1.0, 1.06]), 0.0), converged(1.01, 0.0), converged(np.nan, 0.0)
    (False, True, False)
    """
    return bool(np.max(rhat) <= MET and divergent <= LOST)


def mixing(draws: Float[np.ndarray, "chains draws d"], divergent: float) -> Mixing:
    """The worst of all numbers (d); a number that no chain moved has no R-hat, which is NaN."""
    from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

    with np.errstate(all="ignore"):
        return Mixing(float(np.max(split_gelman_rubin(draws))), float(np.min(effective_sample_size(draws))), divergent)
