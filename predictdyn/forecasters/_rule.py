"""What a point rule is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from predictdyn.lines import Line, share_at

GRID = share_at(np.linspace(0, 1, 33))  # shares, even in `lines.clock`


class Peers(NamedTuple):
    """What finished runs say about one metric, latent: their value now (n,), at the shares asked (n, m), on a grid."""

    now: np.ndarray
    end: np.ndarray
    grid: np.ndarray  # (n, len(GRID)), NaN outside what the run logged
    chance: float | None

    def without(self, keep: np.ndarray) -> Peers:
        """Only the runs for which ``keep`` (n,) is true."""
        return Peers(self.now[keep], self.end[keep], self.grid[keep], self.chance)


# (what is seen of a run, shares asked (m,), peers) -> latent points (m,), NaN where the rule has no answer
Rule = Callable[[Line, np.ndarray, Peers], np.ndarray]
